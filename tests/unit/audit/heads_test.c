/* heads_test.c - the logs of two nodes hold each other. */
#include "kit.h"

#include <unistd.h>

struct two {
    struct kit a, b;
};

static int setup(void **state)
{
    struct two *t = gd_new(sizeof *t);
    struct kit *both[] = { &t->a, &t->b };
    struct gd_err err;

    for (size_t i = 0; i < 2; i++) {
        kit_init(both[i]);
        both[i]->o.node = i ? "nd-b" : "nd-a";
        both[i]->o.checkpoint_ms = 10;
        assert_int_equal(kit_open(both[i], &err), 0);
    }
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct two *t = *state;

    kit_done(&t->a);
    kit_done(&t->b);
    gd_free(t);
    return 0;
}

static void on_turned(uv_handle_t *h)
{
    *(bool *)h->data = true;
}

static void on_time(uv_timer_t *t)
{
    uv_close((uv_handle_t *)t, on_turned);
}

/* The log's own handles keep no loop awake. */
static void turn(struct kit *k)
{
    bool turned = false;
    uv_timer_t t;

    uv_timer_init(&k->loop, &t);
    t.data = &turned;
    uv_timer_start(&t, on_time, 2, 0);
    while (!turned)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
}

/* Until a checkpoint signs all that was written; what others are shown of it then. */
static char *shown(struct kit *k)
{
    char *before = gd_audit_shown(k->a), *now;

    kit_write(k, 5);
    for (;; gd_free(now)) {
        turn(k);
        now = gd_audit_shown(k->a);
        if (now && (!before || strcmp(now, before) != 0))
            break;
    }
    gd_free(before);
    return now;
}

static size_t count(const struct kit *k, const char *what)
{
    size_t n, found = 0;
    GD_AUTO_FREE char *text = kit_read(k->path, &n);

    for (const char *p = text; (p = strstr(p, what)); p++)
        found++;
    return found;
}

static void tell(struct kit *k, const char *note)
{
    GD_AUTO_JSON notes = json_pack("[s]", note);

    gd_audit_set_heads(k->a, notes);
}

/* b knows what a signed. */
static void join(struct two *t)
{
    GD_AUTO_FREE char *note = shown(&t->a);

    tell(&t->b, note);
    while (count(&t->b, "audit.heads") == 0)
        turn(&t->b);
    kit_close(&t->a);
    kit_close(&t->b);
}

static void expect(const struct two *t, const char *why)
{
    const char *others[] = { t->b.path };
    struct gd_audit_verdict v;
    struct gd_err err;

    assert_int_equal(gd_audit_verify_among(t->a.path, NULL, others, 1, &v, &err), 0);
    if (why)
        assert_string_equal(v.why, why);
    assert_int_equal(v.bad_line != 0, why != NULL);
}

static void whole_logs_are_whole(void **state)
{
    struct two *t = *state;

    join(t);
    kit_expect_whole(&t->a);
    kit_expect_whole(&t->b);
    expect(t, NULL);
}

/* Alone it looks whole: the checkpoint beside it is gone, too. */
static void an_end_that_was_cut_off_shows(void **state)
{
    struct two *t = *state;
    char *text, *end;
    size_t n;

    join(t);
    text = kit_read(t->a.path, &n);
    end = strchr(strchr(text, '\n') + 1, '\n') + 1;
    kit_put(t->a.path, text, (size_t)(end - text));
    gd_free(text);
    unlink(t->a.head);
    kit_expect_whole(&t->a);
    expect(t, "the log ends before what another node's log knows of it");
}

static void a_log_made_anew_shows(void **state)
{
    struct two *t = *state;
    struct gd_err err;

    join(t);
    unlink(t->a.path);
    unlink(t->a.head);
    assert_int_equal(kit_open(&t->a, &err), 0);
    kit_write(&t->a, 40);
    kit_close(&t->a);
    kit_expect_whole(&t->a);
    expect(t, "another node's log knows a different one here");
}

static void a_log_that_is_not_there_is_no_witness(void **state)
{
    struct two *t = *state;
    const char *others[] = { "/nonexistent/audit.log" };
    struct gd_audit_verdict v;
    struct gd_err err;

    assert_int_equal(gd_audit_verify_among(t->a.path, NULL, others, 1, &v, &err), -1);
    assert_int_equal(err.reason, GD_R_AUDIT_UNREADABLE);
}

/* Else two idle nodes would write down each other's heads for ever. */
static void heads_alone_are_not_shown(void **state)
{
    struct two *t = *state;
    GD_AUTO_FREE char *of_b = shown(&t->b), *of_a = shown(&t->a), *again = NULL;
    size_t n = count(&t->b, "audit.checkpoint");

    tell(&t->b, of_a);
    while (count(&t->b, "audit.checkpoint") == n)
        turn(&t->b);
    assert_int_equal(count(&t->b, "audit.heads"), 1);
    again = gd_audit_shown(t->b.a);
    assert_string_equal(again, of_b);
    tell(&t->b, of_a); /* nor is it written twice */
    tell(&t->b, of_b); /* nor its own */
    kit_close(&t->b);
    assert_int_equal(count(&t->b, "audit.heads"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_logs_are_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_that_was_cut_off_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_made_anew_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_is_not_there_is_no_witness, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_alone_are_not_shown, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
