/* The op driver: ends once, never too early, never inside a call; what is saved is durable before it goes on;
 * deadlines, cancelling, and many operations on one loop. */
#include "op_kit.h"

/* ---- save and continue ---- */

static grantd_fn after_save, second_run;
static grantd_next *saves(grantd_op *op)
{
    grantd_asset(op, .kind = "page", .id = "1");
    grantd_asset(op, .kind = "page", .id = "1", .name = "again");
    grantd_note(op, "page", "1");
    grantd_keep(op, "base", "https://x.example");
    *(char *)op->state = 'x';
    return grantd_save(op, after_save, .access_token = "saved", .refresh_token = "r", .expires_in = 60);
}
static grantd_next *after_save(grantd_op *op)
{
    assert_string_equal(grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), "saved");
    assert_string_equal(grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN), "r");
    assert_int_equal(*(char *)op->state, 'x');
    grantd_asset(op, .kind = "page", .id = "2");
    return grantd_continue(op, second_run);
}
static grantd_next *second_run(grantd_op *op)
{
    assert_string_equal(grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), "saved");
    assert_string_equal(grantd_noted(op, "page"), "1");
    assert_string_equal(grantd_kept(op, "base"), "https://x.example");
    assert_int_equal(*(char *)op->state, 0);
    grantd_asset(op, .kind = "page", .id = "3");
    return grantd_finish(op);
}

static void saving_comes_before_going_on(void **state)
{
    struct fix *f = *state;

    f->save = ANSWER_LATER;
    op_begin(f, saves);
    op_turns(f);
    assert_int_equal(f->saves, 1);
    assert_int_equal(f->assets, 1);
    assert_string_equal(f->token, "saved");
    assert_false(gd_op_tick(f->op)); /* nothing moves until it is durable */
    f->inside = true;
    gd_op_saved(f->op, true);
    gd_op_saved(f->op, true); /* twice is once */
    f->inside = false;
    op_turns(f);
    assert_int_equal(f->saves, 2);
    gd_op_saved(f->op, true);
    op_turns(f);
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->end, GD_OP_DONE);
    assert_int_equal(f->assets, 3);
    assert_int_equal(f->assets_saved, 2);
    assert_int_equal(json_object_size(f->notes), 0);
    assert_string_equal(gd_json_text(f->kept, "base", ""), "https://x.example");
    assert_string_equal(f->token, "saved");
}

static void without_a_store_it_goes_on(void **state)
{
    struct fix *f = *state;

    f->start.on_save = NULL;
    op_runs(f, saves);
    assert_int_equal(f->end, GD_OP_DONE);
    assert_int_equal(f->assets, 3);
    assert_string_equal(f->token, "saved");
}

static void a_save_that_fails(void **state)
{
    struct fix *f = *state;

    f->save = ANSWER_NO;
    op_runs(f, saves);
    op_assert_failed(f, GRANTD_E_UNCERTAIN, "not be made durable");
    assert_string_equal(f->token, "saved"); /* it is still with the caller */
    assert_string_equal(gd_json_text(f->notes, "page", ""), "1");
}

static void cancelled_while_saving(void **state)
{
    struct fix *f = *state;

    f->save = CANCEL;
    op_begin(f, saves);
    while (f->op && gd_op_tick(f->op))
        continue;
    assert_null(f->op);
    assert_int_equal(f->ends, 0);
    f->save = ANSWER_LATER;
    f->saves = 0;
    op_begin(f, saves);
    op_turns(f);
    assert_int_equal(f->saves, 1);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->ends, 0);
}

static grantd_next *after_exchange(grantd_op *op)
{
    return grantd_http(op, op_on_any, .url = "https://api.example.com/me", .flags = GRANTD_HTTP_REPEATABLE);
}
static grantd_doc_fn on_exchange;
static grantd_next *exchanges(grantd_op *op)
{
    return grantd_http(op, on_exchange, .url = "https://api.example.com/token", .body = "code");
}
static grantd_next *on_exchange(grantd_op *op, const grantd_doc *a)
{
    return grantd_save(op, after_exchange, .access_token = grantd_text(op, a, "access_token"),
                       .expires_in = grantd_num(op, a, "expires_in", 0));
}

/* expires_in counts from the request that brought it, also when another one left since. */
static void lifetimes_count_from_their_own_request(void **state)
{
    struct fix *f = *state;

    op_begin(f, exchanges);
    op_turns(f);
    op_reply_json(f, 200, "{\"access_token\":\"t\",\"expires_in\":60}");
    gd_clock_virtual_advance(&f->clock, 5000);
    op_reply_json(f, 200, "{}");
    assert_int_equal(f->end, GD_OP_DONE);
    assert_int_equal(f->expires_in, 0);
    assert_int_equal(f->expires_at, 1700000060);
}

/* ---- pending, wait ---- */

static grantd_next *waits(grantd_op *op)
{
    grantd_note(op, "op_asked", "1");
    return grantd_pending(op, grantd_now(op) + 30);
}

static void pending_keeps_notes(void **state)
{
    struct fix *f = *state;

    f->start.kind = GD_OP_GRANT;
    op_runs(f, waits);
    assert_int_equal(f->end, GD_OP_PENDING);
    assert_int_equal(f->next_look, (1700000000 + 30) * 1000LL);
    assert_string_equal(gd_json_text(f->notes, "op_asked", ""), "1");
}

/* ---- deadlines and cancel ---- */

static grantd_next *forever(grantd_op *op)
{
    return grantd_wait(op, 0, forever);
}

static void the_deadline_of_what_may_be_repeated(void **state)
{
    struct fix *f = *state;

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/",
                                      .flags = GRANTD_HTTP_REPEATABLE,
                                      .timeout_ms = 99999 });
    assert_int_equal(f->http.timeout_ms, 10000);
    assert_false(gd_op_tick(f->op));
    gd_clock_virtual_advance(&f->clock, 10000);
    op_turns(f);
    op_assert_failed(f, GRANTD_E_DEADLINE, "deadline");
    assert_int_equal(f->http.cancelled, 1);
    assert_false(f->spent);
}

static void what_may_not_be_repeated_has_the_hard_one(void **state)
{
    struct fix *f = *state;

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    assert_int_equal(f->http.timeout_ms, 30000);
    gd_clock_virtual_advance(&f->clock, 20000);
    assert_false(gd_op_tick(f->op));
    op_reply_json(f, 200, "{\"access_token\":\"late\"}");
    assert_int_equal(f->end, GD_OP_DONE);
    assert_string_equal(f->token, "late");
    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/", .timeout_ms = 500 });
    assert_int_equal(f->http.timeout_ms, 500);
    gd_clock_virtual_advance(&f->clock, 30000);
    op_turns(f);
    op_assert_failed(f, GRANTD_E_UNCERTAIN, "no answer came");
    assert_true(f->spent);
}

/* The process was stopped, or the machine suspended: the answer may lie in the socket. */
static void a_deadline_that_was_slept_through(void **state)
{
    struct fix *f = *state;

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    gd_clock_virtual_advance(&f->clock, 3600000);
    op_turns(f);
    assert_int_equal(f->ends, 0);
    op_reply_json(f, 200, "{\"access_token\":\"slept\"}");
    assert_int_equal(f->end, GD_OP_DONE);
    assert_string_equal(f->token, "slept");

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    gd_clock_virtual_advance(&f->clock, 3600000);
    op_turns(f);
    gd_clock_virtual_advance(&f->clock, 3600000); /* once */
    op_turns(f);
    op_assert_failed(f, GRANTD_E_UNCERTAIN, "no answer came");
    assert_true(f->spent);

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE });
    gd_clock_virtual_advance(&f->clock, 3600000);
    op_turns(f);
    op_assert_failed(f, GRANTD_E_DEADLINE, "deadline");
}

static grantd_next *asks_again(grantd_op *op, const grantd_doc *a)
{
    (void)a;
    return op_asks(op);
}

static grantd_next *asks_twice(grantd_op *op)
{
    struct grantd_http h = { .size = sizeof h, .url = op_asked.url };

    return op->host->http(op, &h, asks_again);
}

/* What was slept through is waited for, but nothing new is spent then. */
static void nothing_is_begun_after_it(void **state)
{
    struct fix *f = *state;
    unsigned sent = f->http.sent;

    op_asked = (struct grantd_http){ .url = "https://api.example.com/" };
    op_begin(f, asks_twice);
    op_turns(f);
    gd_clock_virtual_advance(&f->clock, 3600000);
    op_turns(f);
    op_reply_json(f, 200, "{}");
    op_assert_failed(f, GRANTD_E_DEADLINE, "no time is left");
    assert_int_equal(f->http.sent, sent + 1);
}

static void no_time_at_all(void **state)
{
    struct fix *f = *state;

    f->start.deadline_ms = 0;
    f->start.hard_deadline_ms = 0;
    op_runs(f, op_asks);
    op_assert_failed(f, GRANTD_E_DEADLINE, "deadline");
    assert_int_equal(f->http.sent, 0);
}

/* An answer that was paid for is heard even when it comes at the last moment. */
static void an_answer_at_the_last_moment(void **state)
{
    struct fix *f = *state;
    struct gd_http_header h = { "content-type", "application/json" };
    char body[] = "{\"access_token\":\"last\"}";
    gd_http_fn *fn;

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    fn = f->http.fn;
    f->http.fn = NULL;
    fn(f->http.arg,
       &(struct gd_http_answer){
           .status = 200, .headers = &h, .nheaders = 1, .body = body, .body_len = sizeof body - 1 });
    gd_clock_virtual_advance(&f->clock, 60000);
    op_turns(f);
    assert_int_equal(f->end, GD_OP_DONE);
    assert_string_equal(f->token, "last");
}

static void cancel_is_silent_where_nothing_is_lost(void **state)
{
    struct fix *f = *state;

    op_begin(f, op_nothing);
    assert_false(gd_op_cancel(&f->op));
    assert_null(f->op);
    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE });
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->http.cancelled, 1);
    op_begin(f, forever);
    (void)gd_op_tick(f->op);
    assert_false(gd_op_cancel(&f->op));
    assert_false(gd_op_cancel(&f->op)); /* NULL is fine */
    assert_int_equal(f->ends, 0);
}

static void cancel_only_detaches_what_was_spent(void **state)
{
    struct fix *f = *state;
    struct gd_op *mine;

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    mine = f->op;
    assert_true(gd_op_cancel(&mine));
    assert_null(mine);
    assert_int_equal(f->http.cancelled, 0);
    op_reply_json(f, 200, "{\"access_token\":\"kept\"}");
    assert_int_equal(f->ends, 1);
    assert_true(f->detached);
    assert_string_equal(f->token, "kept");
}

static void once_it_is_durable_cancel_is_silent_again(void **state)
{
    struct fix *f = *state;

    op_begin(f, exchanges);
    op_turns(f);
    op_reply_json(f, 200, "{\"access_token\":\"t\"}");
    assert_int_equal(f->saves, 1);
    assert_true(f->http.repeatable);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->ends, 0);
}

/* ---- on a loop ---- */

static uint64_t slow_until;
static grantd_next *slow(grantd_op *op)
{
    slow_until = uv_hrtime() + 25000000;
    while (uv_hrtime() < slow_until)
        continue;
    return grantd_finish(op);
}
/* Its time begins with its request, however late the machine comes to that: only then it is uncertain. */
static const struct fake *asked_over;
static int64_t asked_at;
static int64_t since_asked(const struct gd_clock *c)
{
    int64_t now = gd_mono(gd_clock_system());

    (void)c;
    if (asked_over->sent && !asked_at)
        asked_at = now;
    return 1000 + (asked_at ? now - asked_at : 0);
}
static const struct gd_clock begins_when_asked = { since_asked, since_asked };

static void ask_and_wait(struct fix *f, uv_loop_t *loop)
{
    f->http.sent = 0;
    asked_over = &f->http;
    asked_at = 0;
    f->env.clock = &begins_when_asked;
    f->start.deadline_ms = f->start.hard_deadline_ms = 5;
    op_begin(f, op_asks);
    assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
}

static grantd_next *short_wait(grantd_op *op)
{
    return grantd_wait(op, 5, op_nothing);
}

static void on_a_loop(void **state)
{
    struct fix *f = *state;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    f->env.loop = &loop;
    f->env.clock = gd_clock_system();
    op_begin(f, short_wait);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    op_begin(f, forever);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    ask_and_wait(f, &loop);
    assert_int_equal(f->ends, 2);
    assert_int_equal(f->fail_class, GRANTD_E_UNCERTAIN);
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing is left behind */
}

/* The same with the turns in a line: nobody is forgotten, and the loop gets round between them. */
static void in_a_line(void **state)
{
    struct fix *f = *state;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    f->env.loop = &loop;
    f->env.clock = gd_clock_system();
    f->env.turns = gd_op_turns_new(&loop);
    op_begin(f, short_wait);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    op_begin(f, short_wait);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    op_begin(f, op_nothing);
    assert_false(gd_op_cancel(&f->op)); /* out of the line before its turn came */
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    ask_and_wait(f, &loop);
    assert_int_equal(f->ends, 2);
    assert_int_equal(f->fail_class, GRANTD_E_UNCERTAIN);
    gd_op_turns_free(f->env.turns);
    f->env.turns = NULL;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static unsigned rounds, round_of_first, round_of_last;
static grantd_next *takes_a_millisecond(grantd_op *op)
{
    uint64_t until = uv_hrtime() + 1000000;

    while (uv_hrtime() < until)
        continue;
    round_of_first = round_of_first ? round_of_first : rounds;
    round_of_last = rounds;
    return grantd_finish(op);
}

static void on_round(uv_prepare_t *h)
{
    (void)h;
    rounds++;
}

static void the_loop_gets_round_between_many(void **state)
{
    struct fix *f = *state;
    uv_prepare_t prepare;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_prepare_init(&loop, &prepare), 0);
    assert_int_equal(uv_prepare_start(&prepare, on_round), 0);
    uv_unref((uv_handle_t *)&prepare);
    f->env.loop = &loop;
    f->env.clock = gd_clock_system();
    f->env.turns = gd_op_turns_new(&loop);
    rounds = 1;
    round_of_first = 0;
    for (int i = 0; i < 10; i++)
        op_begin(f, takes_a_millisecond);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 10);
    assert_true(round_of_last - round_of_first >= 9); /* each is longer than a slice */
    gd_op_turns_free(f->env.turns);
    f->env.turns = NULL;
    uv_close((uv_handle_t *)&prepare, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void calls_are_measured(void **state)
{
    struct fix *f = *state;
    int64_t calls = 0;

    do { /* the machine may stop us in the middle of one that does nothing: not every time */
        f->platform.slow_calls = 0;
        op_runs(f, op_nothing);
        assert_in_range(f->platform.calls, ++calls, 1000);
    } while (f->platform.slow_calls);
    assert_int_equal(f->platform.calls, calls);
    op_runs(f, slow);
    assert_int_equal(f->platform.calls, calls + 1);
    assert_int_equal(f->platform.slow_calls, 1);
    assert_true(f->platform.worst_us >= 25000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(saving_comes_before_going_on),
        T(without_a_store_it_goes_on),
        T(a_save_that_fails),
        T(cancelled_while_saving),
        T(lifetimes_count_from_their_own_request),
        T(pending_keeps_notes),
        T(the_deadline_of_what_may_be_repeated),
        T(what_may_not_be_repeated_has_the_hard_one),
        T(a_deadline_that_was_slept_through),
        T(nothing_is_begun_after_it),
        T(no_time_at_all),
        T(an_answer_at_the_last_moment),
        T(cancel_is_silent_where_nothing_is_lost),
        T(cancel_only_detaches_what_was_spent),
        T(once_it_is_durable_cancel_is_silent_again),
        T(on_a_loop),
        T(in_a_line),
        T(the_loop_gets_round_between_many),
        T(calls_are_measured),
    };

    return op_ready() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
