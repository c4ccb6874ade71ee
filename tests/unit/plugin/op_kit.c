/* op_kit.c */
#include "op_kit.h"

/* ---- a transport that waits for the test ---- */

static struct gd_http_call *fake_send(struct gd_transport *t, const struct gd_http_request *r, gd_http_fn *fn,
                                      void *arg)
{
    struct fake *f = (struct fake *)t;
    size_t at = 0;

    assert_null(f->fn);
    f->fn = fn;
    f->arg = arg;
    f->sent++;
    f->repeatable = r->repeatable;
    f->reuse = r->reuse;
    f->timeout_ms = r->timeout_ms;
    (void)snprintf(f->method, sizeof f->method, "%s", r->method);
    (void)snprintf(f->url, sizeof f->url, "%s", r->url);
    (void)snprintf(f->body, sizeof f->body, "%s", r->body ? r->body : "");
    f->headers[0] = '\0';
    for (size_t i = 0; i < r->nheaders; i++)
        at += (size_t)snprintf(f->headers + at, sizeof f->headers - at, "%s: %s\n", r->headers[i].name,
                               r->headers[i].value);
    return (struct gd_http_call *)(void *)f;
}

static void fake_cancel(struct gd_transport *t, struct gd_http_call **call)
{
    struct fake *f = (struct fake *)t;

    f->fn = NULL;
    f->cancelled++;
    *call = NULL;
}

/* ---- the fixture ---- */

struct fix *op_now_running;

void op_on_end(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct fix *f = arg;

    assert_false(f->inside);
    f->ends++;
    f->end = r->end;
    f->fail_class = r->fail_class;
    f->reason = r->err.reason;
    (void)snprintf(f->text, sizeof f->text, "%s", r->err.text);
    (void)snprintf(f->token, sizeof f->token, "%s", r->res.access_token ? r->res.access_token : "");
    f->retry_at = r->retry_at;
    f->next_look = r->next_look_at;
    f->expires_at = r->res.expires_at;
    f->expires_in = r->res.expires_in;
    f->spent = r->spent;
    f->assets = json_array_size(r->assets);
    f->assets_saved = r->assets_saved;
    f->detached = gd_op_detached(op);
    json_decref(f->notes);
    json_decref(f->kept);
    f->notes = json_deep_copy(r->notes);
    f->kept = json_deep_copy(r->kept);
    f->op = NULL;
}

static void on_save(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct fix *f = arg;

    assert_false(f->inside);
    f->saves++;
    f->assets = json_array_size(r->assets);
    (void)snprintf(f->token, sizeof f->token, "%s", r->res.access_token ? r->res.access_token : "");
    f->inside = true;
    if (f->save == CANCEL)
        assert_false(gd_op_cancel(&f->op));
    else if (f->save != ANSWER_LATER)
        gd_op_saved(op, f->save == ANSWER_YES);
    f->inside = false;
}

grantd_next *op_nothing(grantd_op *op)
{
    return grantd_finish(op);
}

static const char *const hosts[] = { "api.example.com", "*.shops.example", NULL };
static const struct grantd_option options[] = {
    { .key = "base", .help = "b", .type = GRANTD_URL, .dflt = "https://base.example" },
    { .key = "secret", .help = "s", .flags = GRANTD_OPT_SECRET },
    { .key = "n", .help = "n", .type = GRANTD_INT, .dflt = "5" },
    { 0 },
};

int op_setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);

    f->http.t = (struct gd_transport){ fake_send, fake_cancel };
    gd_clock_virtual_init(&f->clock, 1700000000000);
    gd_rng_seed(&f->rng, 7);
    f->platform.p = (struct grantd_platform){ GRANTD_ABI,
                                              sizeof f->platform.p,
                                              "test",
                                              "Test",
                                              .hosts = hosts,
                                              .options = options,
                                              .request = op_nothing,
                                              .grant = op_nothing,
                                              .refresh = op_nothing,
                                              .revoke = op_nothing,
                                              .state_size = 64 };
    f->env = (struct gd_op_env){ .transport = &f->http.t, .clock = &f->clock.clock, .rng = &f->rng.rng };
    f->start = (struct gd_op_start){ .platform = &f->platform,
                                     .kind = GD_OP_REFRESH,
                                     .app = "app",
                                     .arg = f,
                                     .deadline_ms = 10000,
                                     .hard_deadline_ms = 30000,
                                     .on_end = op_on_end,
                                     .on_save = on_save };
    op_now_running = f;
    *state = f;
    return 0;
}

int op_teardown(void **state)
{
    struct fix *f = *state;

    assert_null(f->op);
    json_decref(f->notes);
    json_decref(f->kept);
    gd_free(f);
    return 0;
}

void op_begin(struct fix *f, grantd_fn *fn)
{
    unsigned before = f->ends;

    f->platform.p.refresh = f->platform.p.grant = f->platform.p.request = fn;
    f->inside = true;
    f->op = gd_op_start(&f->env, &f->start);
    f->inside = false;
    assert_non_null(f->op);
    assert_int_equal(f->ends, before);
}

void op_turns(struct fix *f)
{
    for (unsigned i = 0; f->op && gd_op_tick(f->op); i++)
        assert_true(i < 20000);
}

void op_reply(struct fix *f, const struct gd_http_answer *a)
{
    gd_http_fn *fn = f->http.fn;

    assert_non_null(fn);
    f->http.fn = NULL;
    f->inside = true;
    fn(f->http.arg, a);
    f->inside = false;
    op_turns(f);
}

void op_reply_json(struct fix *f, int status, const char *text)
{
    GD_AUTO_FREE char *copy = gd_strdup(text);
    struct gd_http_header h = { "content-type", "application/json" };

    op_reply(f, &(struct gd_http_answer){ .status = status,
                                          .headers = &h,
                                          .nheaders = 1,
                                          .body = copy,
                                          .body_len = strlen(copy),
                                          .sent_at = f->clock.unix_now });
}

void op_reply_end(struct fix *f, enum gd_http_end end, enum gd_reason reason)
{
    struct gd_http_answer a = { .end = end };

    gd_err_set(&a.err, reason, "the transport said so");
    op_reply(f, &a);
}

/* The word that people get to see for each class. Nobody is told OP_CANCELLED by the driver: what is
 * cancelled is silent, and a platform may not say it; the word is there for the tables that name every class.
 */
const char *const op_words_of_classes[] = {
    [GRANTD_E_TRANSIENT] = "OP_TRANSIENT", [GRANTD_E_LIMITED] = "OP_LIMITED",
    [GRANTD_E_UNCERTAIN] = "OP_UNCERTAIN", [GRANTD_E_REAUTH] = "OP_REAUTH",
    [GRANTD_E_DECLINED] = "OP_DECLINED",   [GRANTD_E_FORBIDDEN] = "OP_FORBIDDEN",
    [GRANTD_E_MANUAL] = "OP_MANUAL",       [GRANTD_E_CONFIG] = "OP_CONFIG",
    [GRANTD_E_ABSENT] = "OP_ABSENT",       [GRANTD_E_PROTOCOL] = "OP_PROTOCOL",
    [GRANTD_E_PLUGIN] = "OP_PLUGIN",       [GRANTD_E_CANCELLED] = "OP_CANCELLED",
    [GRANTD_E_DEADLINE] = "OP_DEADLINE",   [GRANTD_E_NOMEM] = "OP_NOMEM",
};

void op_assert_failed(const struct fix *f, int fail_class, const char *says)
{
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->end, GD_OP_FAILED);
    if (f->reason >= GD_R_OP_TRANSIENT && f->reason <= GD_R_OP_NOMEM) /* else a word of the transport's */
        assert_string_equal(gd_reason_word(f->reason), op_words_of_classes[f->fail_class]);
    if (f->fail_class != fail_class || !strstr(f->text, says))
        fail_msg("%s: %s (expected %s: ... %s ...)", gd_op_class_word(f->fail_class), f->text,
                 gd_op_class_word(fail_class), says);
}

/* Runs one function to its end without any request. */
void op_runs(struct fix *f, grantd_fn *fn)
{
    f->ends = f->saves = 0;
    op_begin(f, fn);
    op_turns(f);
    assert_null(f->op);
}

/* ---- a request ---- */

struct grantd_http op_asked;

grantd_next *op_asks(grantd_op *op)
{
    op_asked.size = sizeof op_asked;
    return op->host->http(op, &op_asked, op_on_any);
}
grantd_next *op_on_any(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a))
        return grantd_fail_answer(op, a);
    return grantd_done(op, .access_token = grantd_text(op, a, "access_token"),
                       .expires_in = grantd_num(op, a, "expires_in", 0));
}

void op_sends(struct fix *f, struct grantd_http h)
{
    op_asked = h;
    f->ends = 0;
    op_begin(f, op_asks);
    op_turns(f);
}

void op_done_with(struct fix *f)
{
    op_reply_json(f, 200, "{}");
    assert_int_equal(f->ends, 1);
}

int op_ready(void)
{
    gd_json_setup();
    return gd_crypto_setup(NULL);
}
