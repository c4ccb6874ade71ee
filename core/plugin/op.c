/* plugin/op.c - the driver: a trampoline that calls one function of the platform at a time, and the only
 * place where an operation ends. Everything that happens to it (an answer, a time, the end of a save) only
 * marks it ready; the work is done in its next turn, from the loop, so that no callback runs inside the call
 * that started it. */
#include "plugin/op_int.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SLOW_US     20000
#define AT_ONCE_MAX 16

static void turn(struct gd_op *op);

/* ---- runs
 * -------------------------------------------------------------------------------------------------- */

static void run_start(struct gd_op *op)
{
    unsigned fail_at = op->fail_alloc_at;

    op->run = (struct gd_op_run){ .arena = gd_arena_new(GD_OP_BYTES_MAX) };
    if (fail_at > op->allocs)
        gd_arena_fail_at(op->run.arena, fail_at - op->allocs);
    op->pub.state = op->platform->p.state_size ? gd_op_alloc(op, op->platform->p.state_size) : NULL;
    op->runs++;
}

/* Runs what was deferred, last first, and forgets everything that the run made. */
static void run_done(struct gd_op *op)
{
    while (op->run.defers) {
        struct gd_op_defer *d = op->run.defers;

        op->run.defers = d->next;
        d->fn(d->arg);
        gd_free(d);
    }
    if (op->run.arena)
        op->allocs += gd_arena_allocs(op->run.arena);
    gd_doc_free(op->run.docs);
    gd_arena_free(op->run.arena);
    op->run = (struct gd_op_run){ 0 };
    op->pub.state = NULL;
    op->answer = NULL;
    op->ask = (struct gd_op_ask){ 0 };
}

/* ---- clocks
 * ------------------------------------------------------------------------------------------------ */

/* What was spent and is not durable must not be cut short. */
static bool must_not_stop(const struct gd_op *op)
{
    return op->unsaved || (op->at == GD_AT_HTTP && !op->ask.http.repeatable);
}

static int64_t limit(const struct gd_op *op)
{
    return must_not_stop(op) ? op->hard : op->soft;
}

static void on_timer(uv_timer_t *t)
{
    turn(gd_container_of(t, struct gd_op, timer));
}

struct gd_op_turns {
    struct gd_list ready;
    uv_idle_t idle; /* active while somebody is ready */
};

static void on_idle(uv_idle_t *h)
{
    struct gd_op_turns *t = gd_container_of(h, struct gd_op_turns, idle);
    uint64_t until = uv_hrtime() + GD_LOOP_SLICE_US * 1000;
    struct gd_list *l;

    while ((l = gd_list_pop(&t->ready))) {
        turn(gd_container_of(l, struct gd_op, ready));
        if (uv_hrtime() > until)
            break;
    }
    if (gd_list_empty(&t->ready))
        (void)uv_idle_stop(h);
}

struct gd_op_turns *gd_op_turns_new(uv_loop_t *loop)
{
    struct gd_op_turns *t = gd_new(sizeof *t);

    gd_list_init(&t->ready);
    (void)uv_idle_init(loop, &t->idle);
    return t;
}

static void on_turns_closed(uv_handle_t *h)
{
    gd_free(gd_container_of((uv_idle_t *)(void *)h, struct gd_op_turns, idle));
}

void gd_op_turns_free(struct gd_op_turns *t)
{
    if (t)
        uv_close((uv_handle_t *)&t->idle, on_turns_closed);
}

static void get_in_line(struct gd_op *op)
{
    (void)uv_timer_stop(&op->timer);
    if (gd_list_empty(&op->ready))
        gd_list_add(&op->env.turns->ready, &op->ready);
    (void)uv_idle_start(&op->env.turns->idle, on_idle);
}

/* libuv runs a timer that is due at once in the same round again: somebody who never waits would hold up the
 * loop. */
static int64_t soon(struct gd_op *op, int64_t now)
{
    if (++op->at_once < AT_ONCE_MAX)
        return now;
    op->at_once = 0;
    return now + 1;
}

static void arm(struct gd_op *op)
{
    int64_t now = gd_mono(op->env.clock), at = limit(op);

    if (!op->env.loop)
        return;
    if (op->at == GD_AT_SAVING || op->at == GD_AT_OVER) {
        gd_list_del(&op->ready);
        (void)uv_timer_stop(&op->timer);
        return;
    }
    if (op->at == GD_AT_WAIT && op->wait_until < at)
        at = op->wait_until;
    if (op->env.turns && ((op->at != GD_AT_WAIT && op->at != GD_AT_HTTP) || at <= now)) {
        get_in_line(op);
        return;
    }
    gd_list_del(&op->ready);
    if ((op->at != GD_AT_WAIT && op->at != GD_AT_HTTP) || at <= now)
        at = soon(op, now);
    (void)uv_timer_start(&op->timer, on_timer, at > now ? (uint64_t)(at - now) : 0, 0);
}

/* ---- the end
 * ----------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
    gd_free(gd_container_of((uv_timer_t *)(void *)h, struct gd_op, timer));
}

static void destroy(struct gd_op *op)
{
    op->at = GD_AT_OVER;
    gd_list_del(&op->ready);
    if (op->call)
        op->env.transport->cancel(op->env.transport, &op->call);
    run_done(op);
    gd_op_result_done(op);
    gd_op_given_done(op);
    gd_log_free(op->log);
    gd_free(op->app);
    if (op->env.loop)
        uv_close((uv_handle_t *)&op->timer, on_closed);
    else
        gd_free(op);
}

void gd_op_set_err(struct gd_op *op, int fail_class, enum gd_reason reason, const char *text)
{
    op->fail_class = fail_class;
    gd_err_set(&op->err, reason, "%s", text);
}

/* Ready to tell the owner. */
static void end(struct gd_op *op, enum gd_op_end how)
{
    if (op->call)
        op->env.transport->cancel(op->env.transport, &op->call);
    op->end = how;
    op->at = GD_AT_END;
}

static void end_failed(struct gd_op *op, int fail_class, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void end_failed(struct gd_op *op, int fail_class, const char *fmt, ...)
{
    char text[GD_ERR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    gd_op_set_err(op, fail_class, gd_op_class_reason(fail_class), text);
    end(op, GD_OP_FAILED);
}

static void tell(struct gd_op *op, gd_op_fn *fn)
{
    struct gd_op_result r = { 0 };

    gd_op_fill_result(op, &r);
    op->in_call = true;
    fn(op->arg, op, &r);
    op->in_call = false;
}

static void deliver_end(struct gd_op *op)
{
    op->at = GD_AT_OVER;
    tell(op, op->on_end);
    destroy(op);
}

/* ---- steps
 * ------------------------------------------------------------------------------------------------- */

static void measure(struct gd_op *op, uint64_t start)
{
    int64_t us = (int64_t)((uv_hrtime() - start) / 1000);
    struct gd_platform *p = op->platform;

    p->calls++;
    if (us > p->worst_us)
        p->worst_us = us;
    if (us <= SLOW_US)
        return;
    p->slow_calls++;
    GD_LOG(op->log, GD_LOG_WARN, "platform.slow", GD_F_INT("us", us), GD_F_INT("step", op->run.steps));
}

static grantd_next *call_platform(struct gd_op *op)
{
    struct grantd_doc *answer = op->answer;
    grantd_doc_fn *on_answer = op->ask.on_answer;
    grantd_fn *go = op->ask.go;
    uint64_t start = uv_hrtime();
    grantd_next *n;

    op->answer = NULL;
    op->next.kind = GD_NEXT_NONE;
    op->in_step = true;
    n = answer ? on_answer(&op->pub, answer) : go(&op->pub);
    op->in_step = false;
    measure(op, start);
    return n;
}

static void send_request(struct gd_op *op);

static void save(struct gd_op *op, bool new_run)
{
    op->new_run = new_run;
    op->at = GD_AT_SAVE;
}

static void follow(struct gd_op *op)
{
    if (op->rehearsal && (op->next.kind == GD_NEXT_HTTP || op->next.kind == GD_NEXT_WAIT ||
                          op->next.kind == GD_NEXT_SAVE || op->next.kind == GD_NEXT_CONTINUE)) {
        end(op, GD_OP_PENDING);
        return;
    }
    switch (op->next.kind) {
    case GD_NEXT_HTTP:
        send_request(op);
        break;
    case GD_NEXT_WAIT:
        op->at = GD_AT_WAIT;
        op->wait_until = gd_add_sat(gd_mono(op->env.clock), op->ask.wait_ms);
        break;
    case GD_NEXT_SAVE:
    case GD_NEXT_CONTINUE:
        save(op, op->next.kind == GD_NEXT_CONTINUE);
        break;
    case GD_NEXT_PENDING:
        end(op, GD_OP_PENDING);
        break;
    case GD_NEXT_DONE:
        end(op, GD_OP_DONE);
        break;
    default:
        end(op, GD_OP_FAILED);
    }
}

static void step(struct gd_op *op)
{
    grantd_next *n;

    if (op->fail_class) { /* its state did not fit into the budget */
        end(op, GD_OP_FAILED);
        return;
    }
    if (op->run.steps >= GD_OP_STEPS_MAX) {
        end_failed(op, GRANTD_E_PLUGIN, "more than %d steps in one run; grantd_continue starts a new one",
                   GD_OP_STEPS_MAX);
        return;
    }
    op->run.steps++;
    op->steps_run++;
    n = call_platform(op);
    if (n != &op->next || op->next.kind == GD_NEXT_NONE)
        end_failed(op, GRANTD_E_PLUGIN, "a function returned %s instead of what a constructor made",
                   n ? "something else" : "nothing");
    else
        follow(op);
}

/* ---- requests
 * ---------------------------------------------------------------------------------------------- */

static void got_nothing(struct gd_op *op, const struct gd_http_answer *a)
{
    bool maybe = a->end == GD_HTTP_UNCERTAIN && !op->ask.http.repeatable;

    if (maybe)
        op->spent = op->unsaved = true;
    if (a->end == GD_HTTP_REFUSED) {
        end_failed(op, GRANTD_E_CONFIG, "%s", a->err.text);
        op->err.reason = a->err.reason;
        return;
    }
    if (a->err.reason == GD_R_ANSWER_TOO_LARGE) { /* it would be again */
        end_failed(op, maybe ? GRANTD_E_UNCERTAIN : GRANTD_E_PROTOCOL, "%s", a->err.text);
        op->err.reason = a->err.reason;
        return;
    }
    end_failed(op, maybe ? GRANTD_E_UNCERTAIN : GRANTD_E_TRANSIENT, "%s",
               a->err.text[0] ? a->err.text : "no answer came back");
    op->retry_at = a->err.retry_at;
}

/* An answer that cannot be kept within the budget counts as one that did not come. */
static bool fits(struct gd_op *op, const struct gd_http_answer *a, size_t cost)
{
    if (a->body_len > GD_HTTP_BODY_MAX)
        end_failed(op, op->ask.http.repeatable ? GRANTD_E_PROTOCOL : GRANTD_E_UNCERTAIN,
                   "the answer has more than %d bytes", GD_HTTP_BODY_MAX);
    else if (op->run.doc_bytes + cost + gd_arena_used(op->run.arena) > GD_OP_BYTES_MAX)
        end_failed(op, op->ask.http.repeatable ? GRANTD_E_NOMEM : GRANTD_E_UNCERTAIN,
                   "the answers of this run need more than %d bytes", GD_OP_BYTES_MAX);
    else
        return true;
    return false;
}

static void got_answer(struct gd_op *op, const struct gd_http_answer *a)
{
    size_t cost = gd_doc_cost(a);
    struct grantd_doc *d;

    op->sent_at = a->sent_at;
    if (!op->ask.http.repeatable) {
        op->spent = op->unsaved = true;
        op->spent_status = a->status;
    }
    if (!fits(op, a, cost))
        return;
    d = gd_doc_answer(a);
    d->next = op->run.docs;
    op->run.docs = op->answer = d;
    op->run.doc_bytes += cost;
    op->at = GD_AT_STEP;
}

static void on_http(void *arg, const struct gd_http_answer *a)
{
    struct gd_op *op = arg;

    op->call = NULL;
    if (a->end == GD_HTTP_ANSWER)
        got_answer(op, a);
    else
        got_nothing(op, a);
    arm(op);
}

static void send_request(struct gd_op *op)
{
    struct gd_http_request *r = &op->ask.http;
    int64_t now = gd_mono(op->env.clock), left = (r->repeatable && !op->unsaved ? op->soft : op->hard) - now;

    if (left <= 0 || (!op->more_ms && !r->repeatable)) { /* what was slept through is only waited for */
        end_failed(op, GRANTD_E_DEADLINE, "no time is left for a request");
        return;
    }
    r->timeout_ms = op->ask.timeout_ms && op->ask.timeout_ms < left ? op->ask.timeout_ms : left;
    r->app = op->app;
    r->interactive = op->interactive;
    r->reuse = op->reuse;
    r->due_mono_ms = op->due_mono_ms;
    r->send_by_mono_ms = r->repeatable ? 0 : op->hard;
    op->requests++;
    op->at = GD_AT_HTTP;
    op->call = op->env.transport->send(op->env.transport, r, on_http, op);
}

/* ---- saving
 * ------------------------------------------------------------------------------------------------ */

/* The platform may still read the old one: it goes with the run, behind all that was deferred. */
static void replace_arg(struct gd_op *op, int id, const char *text)
{
    struct gd_op_defer *d, **last = &op->run.defers;

    if (!text)
        return;
    d = gd_new(sizeof *d);
    d->fn = gd_free;
    d->arg = op->args[id];
    while (*last)
        last = &(*last)->next;
    *last = d;
    op->args[id] = gd_strdup(text);
}

static void go_on(struct gd_op *op)
{
    grantd_fn *go = op->ask.go;

    if (!op->new_run) {
        replace_arg(op, GRANTD_ARG_ACCESS_TOKEN, op->res.access_token);
        replace_arg(op, GRANTD_ARG_REFRESH_TOKEN, op->res.refresh_token);
        replace_arg(op, GRANTD_ARG_ACCOUNT_ID, op->res.account_id);
    } else {
        run_done(op);
        if (op->runs >= GD_OP_RUNS_MAX) {
            end_failed(op, GRANTD_E_PLUGIN, "more than %d runs in one operation", GD_OP_RUNS_MAX);
            return;
        }
        run_start(op);
        op->ask.go = go;
    }
    op->at = GD_AT_STEP;
}

/* False when the owner went away in its callback, and the operation with it. */
static bool deliver_save(struct gd_op *op)
{
    if (!op->on_save) {
        go_on(op);
        return true;
    }
    op->at = GD_AT_SAVING;
    tell(op, op->on_save);
    if (!op->kill)
        return true;
    destroy(op);
    return false;
}

void gd_op_saved(struct gd_op *op, bool ok)
{
    if (op->at != GD_AT_SAVING || op->kill)
        return;
    if (ok) {
        op->unsaved = false;
        op->assets_saved = json_array_size(op->assets);
        go_on(op);
    } else {
        end_failed(op, GRANTD_E_UNCERTAIN, "what came so far could not be made durable");
    }
    arm(op);
}

/* ---- turns
 * ------------------------------------------------------------------------------------------------- */

static void deadline(struct gd_op *op)
{
    int64_t waits = op->at == GD_AT_WAIT ? op->wait_until - gd_mono(op->env.clock) : 0;

    if (op->at == GD_AT_HTTP && !op->ask.http.repeatable) {
        op->spent = op->unsaved = true;
        end_failed(op, GRANTD_E_UNCERTAIN, "no answer came before the deadline");
        return;
    }
    end_failed(op, GRANTD_E_DEADLINE, "it was not done within its deadline");
    if (waits > 0 && op->kind == GD_OP_GRANT) /* which goes on in another operation, not before that */
        op->retry_at = gd_now(op->env.clock) + waits;
}

/* An answer that was paid for is always heard. */
static bool overdue(const struct gd_op *op)
{
    if (op->at == GD_AT_STEP && op->answer && op->unsaved)
        return false;
    return (op->at == GD_AT_STEP || op->at == GD_AT_HTTP || op->at == GD_AT_WAIT) &&
           gd_mono(op->env.clock) >= limit(op);
}

/* This process slept past the deadline, and the answer may lie in the socket: it is waited for once more. The
 * client, which waits a little less, says before what became of it. */
static bool overslept(struct gd_op *op)
{
    int64_t now = gd_mono(op->env.clock);

    if (!op->more_ms || op->at != GD_AT_HTTP || op->ask.http.repeatable || now < op->hard + GD_HTTP_LATE_MS)
        return false;
    op->hard = now + op->more_ms;
    op->more_ms = 0;
    return true;
}

static void turn(struct gd_op *op)
{
    if (overdue(op) && !overslept(op))
        deadline(op);
    else if (op->at == GD_AT_WAIT && gd_mono(op->env.clock) >= op->wait_until)
        op->at = GD_AT_STEP;
    switch (op->at) {
    case GD_AT_STEP:
        step(op);
        break;
    case GD_AT_SAVE:
        if (!deliver_save(op))
            return;
        break;
    case GD_AT_END:
        deliver_end(op);
        return;
    default:
        break;
    }
    arm(op);
}

bool gd_op_tick(struct gd_op *op)
{
    if (op->at == GD_AT_WAIT)
        op->wait_until = gd_mono(op->env.clock);
    if ((op->at == GD_AT_HTTP && !overdue(op)) || op->at == GD_AT_SAVING || op->at == GD_AT_OVER)
        return false;
    turn(op);
    return true;
}

/* ---- start and cancel
 * -------------------------------------------------------------------------------------- */

static grantd_fn *function_of(const struct grantd_platform *p, enum gd_op_kind kind)
{
    switch (kind) {
    case GD_OP_REQUEST:
        return p->request;
    case GD_OP_GRANT:
        return p->grant;
    case GD_OP_REFRESH:
        return p->refresh;
    case GD_OP_VERIFY:
        return p->verify;
    case GD_OP_SCAN:
        return p->scan;
    case GD_OP_NOTICE:
        return p->notice;
    default:
        return p->revoke;
    }
}

/* Where the old refresh token stays good for as long as the new one was not used, libcurl may present it
 * twice. That is not the platform's to judge: it knows the protocol, the credential's class is the host's. */
static bool may_reuse(const struct gd_op_start *s)
{
    return s->kind == GD_OP_REFRESH &&
           (s->retry_class == GRANTD_RETRY_NONE || s->retry_class == GRANTD_RETRY_OVERLAP);
}

struct gd_op *gd_op_start(const struct gd_op_env *env, const struct gd_op_start *s)
{
    struct gd_op *op = gd_new(sizeof *op);
    int64_t now = gd_mono(env->clock);

    op->pub.host = &gd_op_host;
    op->env = *env;
    op->platform = s->platform;
    op->kind = s->kind;
    op->app = gd_strf("%s/%s", s->platform->p.name, s->app ? s->app : "");
    op->log = env->log ? gd_log_child(env->log, "app", op->app) : NULL;
    op->on_save = s->on_save;
    op->rehearsal = s->rehearsal;
    op->on_end = s->on_end;
    op->arg = s->arg;
    op->interactive = s->interactive;
    op->reuse = may_reuse(s);
    op->due_mono_ms = s->due_mono_ms;
    op->fail_alloc_at = s->fail_alloc_at;
    op->soft = gd_add_sat(now, s->deadline_ms);
    op->hard = gd_add_sat(now, s->hard_deadline_ms > s->deadline_ms ? s->hard_deadline_ms : s->deadline_ms);
    op->more_ms =
        (op->hard - now < GD_HTTP_AWAKE_MS ? op->hard - now : GD_HTTP_AWAKE_MS) + GD_HTTP_AWAKE_MS / 4;
    gd_op_take_given(op, &s->given);
    gd_list_init(&op->ready);
    if (env->loop)
        (void)uv_timer_init(env->loop, &op->timer);
    run_start(op);
    op->ask.go = function_of(&s->platform->p, s->kind);
    op->at = GD_AT_STEP;
    if (!op->ask.go)
        end_failed(op, GRANTD_E_MANUAL, "the platform has no function for this");
    arm(op);
    return op;
}

bool gd_op_cancel(struct gd_op **pop)
{
    struct gd_op *op = *pop;

    *pop = NULL;
    if (!op || op->at == GD_AT_OVER)
        return false;
    op->detached = true;
    if (op->at != GD_AT_SAVING && must_not_stop(op)) /* while saving, what came is with the owner already */
        return true;
    if (op->in_call)
        op->kill = true;
    else
        destroy(op);
    return false;
}

bool gd_op_detached(const struct gd_op *op)
{
    return op->detached;
}
