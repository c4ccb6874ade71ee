/* The op driver: ends once, never too early, never inside a call; keeps within its budgets; and what a
 * platform does wrong is the platform's fault and nobody else's. The platforms are functions of this file;
 * the transport is one that the test answers by hand. */
#include "kit.h"
#include "crypto/crypto.h"
#include "plugin/op.h"
#include "plugin/op_int.h"

#include <unistd.h>

/* cmocka's fail() would rewrite op->host->fail(...) */
#undef fail
#undef fail_msg
#define fail_msg(...)              \
    do {                           \
        print_error(__VA_ARGS__);  \
        print_error("\n");         \
        _fail(__FILE__, __LINE__); \
    } while (0)

/* ---- a transport that waits for the test
 * ------------------------------------------------------------------- */

struct fake {
    struct gd_transport t; /* first */
    gd_http_fn *fn;        /* NULL: nothing in flight */
    void *arg;
    unsigned sent, cancelled;
    char url[512], body[512], method[16], headers[1024];
    bool repeatable, reuse;
    int64_t timeout_ms;
};

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

/* ---- the fixture
 * ------------------------------------------------------------------------------------------- */

struct fix {
    struct fake http;
    struct gd_clock_virtual clock;
    struct gd_rng_seeded rng;
    struct gd_platform platform;
    struct gd_op_env env;
    struct gd_op_start start;
    struct gd_op *op;
    bool inside; /* a start or saved is being called */
    unsigned ends, saves, defers;
    enum gd_op_end end;
    int fail_class;
    enum gd_reason reason;
    char text[GD_ERR_TEXT_MAX], token[64];
    int64_t retry_at, next_look, expires_at, expires_in;
    bool spent, detached;
    size_t assets, assets_saved;
    json_t *notes, *kept;
    enum { ANSWER_YES, ANSWER_NO, ANSWER_LATER, CANCEL } save;
};
static struct fix *now_running; /* for the plugins below: a test is one at a time */

static void on_end(void *arg, struct gd_op *op, const struct gd_op_result *r)
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

static grantd_next *nothing(grantd_op *op)
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

static int setup(void **state)
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
                                              .request = nothing,
                                              .grant = nothing,
                                              .refresh = nothing,
                                              .revoke = nothing,
                                              .state_size = 64 };
    f->env = (struct gd_op_env){ .transport = &f->http.t, .clock = &f->clock.clock, .rng = &f->rng.rng };
    f->start = (struct gd_op_start){ .platform = &f->platform,
                                     .kind = GD_OP_REFRESH,
                                     .app = "app",
                                     .arg = f,
                                     .deadline_ms = 10000,
                                     .hard_deadline_ms = 30000,
                                     .on_end = on_end,
                                     .on_save = on_save };
    now_running = f;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;

    assert_null(f->op);
    json_decref(f->notes);
    json_decref(f->kept);
    gd_free(f);
    return 0;
}

static void begin(struct fix *f, grantd_fn *fn)
{
    unsigned before = f->ends;

    f->platform.p.refresh = f->platform.p.grant = f->platform.p.request = fn;
    f->inside = true;
    f->op = gd_op_start(&f->env, &f->start);
    f->inside = false;
    assert_non_null(f->op);
    assert_int_equal(f->ends, before);
}

static void turns(struct fix *f)
{
    for (unsigned i = 0; f->op && gd_op_tick(f->op); i++)
        assert_true(i < 20000);
}

static void reply(struct fix *f, const struct gd_http_answer *a)
{
    gd_http_fn *fn = f->http.fn;

    assert_non_null(fn);
    f->http.fn = NULL;
    f->inside = true;
    fn(f->http.arg, a);
    f->inside = false;
    turns(f);
}

static void reply_json(struct fix *f, int status, const char *text)
{
    GD_AUTO_FREE char *copy = gd_strdup(text);
    struct gd_http_header h = { "content-type", "application/json" };

    reply(f, &(struct gd_http_answer){ .status = status,
                                       .headers = &h,
                                       .nheaders = 1,
                                       .body = copy,
                                       .body_len = strlen(copy),
                                       .sent_at = f->clock.unix_now });
}

static void reply_end(struct fix *f, enum gd_http_end end, enum gd_reason reason)
{
    struct gd_http_answer a = { .end = end };

    gd_err_set(&a.err, reason, "the transport said so");
    reply(f, &a);
}

/* The word that people get to see for each class. Nobody is told OP_CANCELLED by the driver: what is
 * cancelled is silent, and a platform may not say it; the word is there for the tables that name every class.
 */
static const char *const words_of_classes[] = {
    [GRANTD_E_TRANSIENT] = "OP_TRANSIENT", [GRANTD_E_LIMITED] = "OP_LIMITED",
    [GRANTD_E_UNCERTAIN] = "OP_UNCERTAIN", [GRANTD_E_REAUTH] = "OP_REAUTH",
    [GRANTD_E_DECLINED] = "OP_DECLINED",   [GRANTD_E_FORBIDDEN] = "OP_FORBIDDEN",
    [GRANTD_E_MANUAL] = "OP_MANUAL",       [GRANTD_E_CONFIG] = "OP_CONFIG",
    [GRANTD_E_ABSENT] = "OP_ABSENT",       [GRANTD_E_PROTOCOL] = "OP_PROTOCOL",
    [GRANTD_E_PLUGIN] = "OP_PLUGIN",       [GRANTD_E_CANCELLED] = "OP_CANCELLED",
    [GRANTD_E_DEADLINE] = "OP_DEADLINE",   [GRANTD_E_NOMEM] = "OP_NOMEM",
};

static void assert_failed(const struct fix *f, int fail_class, const char *says)
{
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->end, GD_OP_FAILED);
    if (f->reason >= GD_R_OP_TRANSIENT && f->reason <= GD_R_OP_NOMEM) /* else a word of the transport's */
        assert_string_equal(gd_reason_word(f->reason), words_of_classes[f->fail_class]);
    if (f->fail_class != fail_class || !strstr(f->text, says))
        fail_msg("%s: %s (expected %s: ... %s ...)", gd_op_class_word(f->fail_class), f->text,
                 gd_op_class_word(fail_class), says);
}

/* Runs one function to its end without any request. */
static void runs(struct fix *f, grantd_fn *fn)
{
    f->ends = f->saves = 0;
    begin(f, fn);
    turns(f);
    assert_null(f->op);
}

/* ---- the contract, broken
 * ---------------------------------------------------------------------------------- */

static grantd_next *returns_null(grantd_op *op)
{
    (void)op;
    return NULL;
}
static struct grantd_next foreign;
static grantd_next *returns_foreign(grantd_op *op)
{
    (void)op;
    return &foreign;
}
static grantd_next *makes_two(grantd_op *op)
{
    grantd_next *n = grantd_done(op, .access_token = "first");

    (void)n;
    return grantd_done(op, .access_token = "second");
}
static grantd_next *fails_then_succeeds(grantd_op *op)
{
    grantd_next *n = grantd_fail(op, GRANTD_E_REAUTH, "no");

    (void)n;
    return grantd_finish(op);
}
static grantd_next *unknown_class(grantd_op *op)
{
    return grantd_fail(op, GRANTD_E_CANCELLED, "not mine to say");
}
static grantd_next *forever(grantd_op *op)
{
    return grantd_wait(op, 0, forever);
}
static grantd_next *runs_forever(grantd_op *op)
{
    return grantd_continue(op, runs_forever);
}
static grantd_next *no_next(grantd_op *op)
{
    return grantd_http(op, NULL, .url = "https://api.example.com/");
}
static grantd_next *no_next_wait(grantd_op *op)
{
    return grantd_wait(op, 1, NULL);
}
static grantd_next *bad_shape(grantd_op *op)
{
    return grantd_done(op, .shape = 99);
}
static grantd_next *pending_refresh(grantd_op *op)
{
    return grantd_pending(op, 0);
}
static grantd_next *bad_random(grantd_op *op)
{
    (void)grantd_random(op, 65);
    return grantd_finish(op);
}
static grantd_next *bad_digest(grantd_op *op)
{
    (void)grantd_digest(op, GRANTD_HMAC_SHA256_HEX, "", "text");
    return grantd_finish(op);
}
static grantd_next *too_many_notes(grantd_op *op)
{
    for (int i = 0; i <= GD_OP_NOTES_MAX; i++)
        grantd_note(op, grantd_strf(op, "n%d", i), "x");
    return grantd_finish(op);
}
static grantd_next *too_many_assets(grantd_op *op)
{
    for (int i = 0; i <= GD_OP_ASSETS_MAX; i++)
        grantd_asset(op, .kind = "k", .id = grantd_strf(op, "%d", i));
    return grantd_finish(op);
}
static grantd_next *odd_surface(grantd_op *op)
{
    grantd_surface(op, .kind = "token", .outcome = 99);
    return grantd_finish(op);
}
static grantd_next *nameless_step(grantd_op *op)
{
    grantd_step(op, .text = "do it");
    return grantd_finish(op);
}

static void a_broken_contract_is_the_plugins_fault(void **state)
{
    static const struct {
        grantd_fn *fn;
        const char *says;
    } bad[] = {
        { returns_null, "nothing" },
        { returns_foreign, "something else" },
        { makes_two, "two constructors" },
        { fails_then_succeeds, "two constructors" },
        { unknown_class, "unknown class" },
        { forever, "more than 64 steps" },
        { runs_forever, "more than 4096 runs" },
        { no_next, "grantd_http was called without" },
        { no_next_wait, "grantd_wait was called without" },
        { bad_shape, "unknown shape" },
        { pending_refresh, "only request and grant" },
        { bad_random, "1 to 64 bytes" },
        { bad_digest, "without a key" },
        { too_many_notes, "more than 64" },
        { too_many_assets, "more than 4096 assets" },
        { odd_surface, "unknown outcome" },
        { nameless_step, "no title" },
    };
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        runs(f, bad[i].fn);
        assert_failed(f, GRANTD_E_PLUGIN, bad[i].says);
        assert_int_equal(f->reason, GD_R_OP_PLUGIN);
    }
    assert_int_equal(f->http.sent, 0);
}

static int said; /* by the test */
static grantd_next *says(grantd_op *op)
{
    return grantd_fail(op, said, "as the test says");
}

static void every_class_has_its_word(void **state)
{
    struct fix *f = *state;

    for (said = GRANTD_E_TRANSIENT; said <= GRANTD_E_PLUGIN; said++) {
        runs(f, says);
        assert_failed(f, said, said == GRANTD_E_PLUGIN ? "" : "as the test says");
        assert_false(f->spent);
    }
    for (said = GRANTD_E_TRANSIENT; said <= GRANTD_E_NOMEM; said++)
        assert_string_equal(gd_reason_word(gd_op_class_reason(said)), words_of_classes[said]);
    assert_int_equal(f->http.sent, 0);
}

static grantd_next *leads_nowhere(grantd_op *op)
{
    return grantd_finish(op);
}

static void a_request_must_lead_somewhere(void **state)
{
    struct fix *f = *state;

    f->start.kind = GD_OP_REQUEST;
    runs(f, leads_nowhere);
    assert_failed(f, GRANTD_E_PLUGIN, "without a URL");
}

static void a_function_that_is_not_there(void **state)
{
    struct fix *f = *state;

    f->start.kind = GD_OP_VERIFY;
    runs(f, nothing);
    assert_failed(f, GRANTD_E_MANUAL, "no function");
}

/* ---- what comes from outside
 * ------------------------------------------------------------------------------- */

static const char *given; /* by the test */
static grantd_next *gives_token(grantd_op *op)
{
    return grantd_done(op, .access_token = given);
}
static grantd_next *gives_asset(grantd_op *op)
{
    grantd_asset(op, .kind = "page", .id = given);
    return grantd_finish(op);
}
static grantd_next *gives_url(grantd_op *op)
{
    return grantd_done(op, .redirect_url = given);
}
static grantd_next *gives_note(grantd_op *op)
{
    grantd_note(op, "n", given);
    return grantd_finish(op);
}

static void what_came_is_looked_at(void **state)
{
    GD_AUTO_FREE char *longest = gd_new(GD_TOKEN_MAX + 2);
    struct fix *f = *state;

    memset(longest, 'a', GD_TOKEN_MAX + 1);
    for (size_t i = 0; i < 4; i++) {
        static const char *const tokens[] = { "", "a\r\nb", "a\x7f", "\xc3\xa9" };

        given = tokens[i];
        runs(f, gives_token);
        assert_failed(f, GRANTD_E_PROTOCOL, "access token");
    }
    given = longest;
    runs(f, gives_token);
    assert_failed(f, GRANTD_E_PROTOCOL, "longer than");
    longest[GD_TOKEN_MAX] = '\0';
    runs(f, gives_token);
    assert_int_equal(f->end, GD_OP_DONE);
    given = NULL;
    runs(f, gives_asset);
    assert_failed(f, GRANTD_E_PROTOCOL, "without an id");
    given = "a\nb\x01";
    runs(f, gives_asset);
    assert_failed(f, GRANTD_E_PROTOCOL, "plain text");
    runs(f, gives_note);
    assert_failed(f, GRANTD_E_PROTOCOL, "plain text");
    given = longest;
    runs(f, gives_note);
    assert_failed(f, GRANTD_E_PROTOCOL, "longer than 4096");
    given = "javascript:alert(1)";
    runs(f, gives_url);
    assert_failed(f, GRANTD_E_PROTOCOL, "not an https URL");
}

static struct grantd_result odd;
static grantd_next *gives_odd_clocks(grantd_op *op)
{
    odd.size = sizeof odd;
    return op->host->done(op, &odd);
}

/* A good token with an odd lifetime is a good token. */
static void odd_lifetimes_are_unknown(void **state)
{
    static const int64_t ins[] = { -5, INT64_MAX, 9007199254740993, INT64_MIN };
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof ins / sizeof *ins; i++) {
        odd = (struct grantd_result){ .access_token = "good", .expires_in = ins[i], .expires_at = ins[i] };
        runs(f, gives_odd_clocks);
        assert_int_equal(f->end, GD_OP_DONE);
        assert_string_equal(f->token, "good");
        assert_int_equal(f->expires_in, 0);
        assert_int_equal(f->expires_at, 0);
    }
    odd = (struct grantd_result){ .access_token = "good", .expires_in = GRANTD_NEVER };
    runs(f, gives_odd_clocks);
    assert_int_equal(f->expires_in, GRANTD_NEVER);
}

/* ---- requests
 * ---------------------------------------------------------------------------------------------- */

static struct grantd_http asked;
static grantd_doc_fn on_any;
static grantd_next *asks(grantd_op *op)
{
    asked.size = sizeof asked;
    return op->host->http(op, &asked, on_any);
}
static grantd_next *on_any(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a))
        return grantd_fail_answer(op, a);
    return grantd_done(op, .access_token = grantd_text(op, a, "access_token"),
                       .expires_in = grantd_num(op, a, "expires_in", 0));
}

static void sends(struct fix *f, struct grantd_http h)
{
    asked = h;
    f->ends = 0;
    begin(f, asks);
    turns(f);
}

static void done_with(struct fix *f)
{
    reply_json(f, 200, "{}");
    assert_int_equal(f->ends, 1);
}

static void a_request_is_written_as_asked(void **state)
{
    struct fix *f = *state;

    sends(f, (struct grantd_http){ .url = "https://api.example.com/a?x=1",
                                   .query = grantd_pairs("b c", "d&e", "no", NULL),
                                   .bearer = "tok" });
    assert_string_equal(f->http.method, "GET");
    assert_string_equal(f->http.url, "https://api.example.com/a?x=1&b%20c=d%26e");
    assert_non_null(strstr(f->http.headers, "authorization: Bearer tok\n"));
    assert_non_null(strstr(f->http.headers, "accept: application/json\n"));
    done_with(f);
    sends(f, (struct grantd_http){ .url = "https://api.example.com/",
                                   .form = grantd_pairs("a b", "c+d", "no", NULL, "e", "f"),
                                   .basic_user = "u:x",
                                   .basic_pass = "p q",
                                   .flags = GRANTD_HTTP_BASIC_FORM });
    assert_string_equal(f->http.method, "POST");
    assert_string_equal(f->http.body, "a+b=c%2Bd&e=f");
    assert_non_null(strstr(f->http.headers, "authorization: Basic dSUzQXg6cCtx\n"));
    assert_non_null(strstr(f->http.headers, "content-type: application/x-www-form-urlencoded\n"));
    done_with(f);
    sends(f,
          (struct grantd_http){ .url = "https://a.shops.example/",
                                .method = "PUT",
                                .json = grantd_pairs("a", "\"x", "n:=", "[1,{\"b\":null}]", "no", NULL),
                                .headers = grantd_pairs("X-Key", "v", "No", NULL, "Accept", "text/plain") });
    assert_string_equal(f->http.body, "{\"a\":\"\\\"x\",\"n\":[1,{\"b\":null}]}");
    assert_non_null(strstr(f->http.headers, "X-Key: v\n"));
    assert_null(strstr(f->http.headers, "application/json\naccept"));
    assert_null(strstr(f->http.headers, "No:"));
    done_with(f);
}

static void refuses(struct fix *f, struct grantd_http h, int fail_class, const char *says)
{
    unsigned sent = f->http.sent;

    sends(f, h);
    assert_failed(f, fail_class, says);
    assert_int_equal(f->http.sent, sent);
}

static void a_request_that_must_not_leave(void **state)
{
    const char *const base = "https://api.example.com/";
    struct fix *f = *state;

    refuses(f, (struct grantd_http){ .url = "https://evil.example/" }, GRANTD_E_PLUGIN,
            "evil.example is no host");
    assert_int_equal(f->reason, GD_R_OP_HOST_DENIED);
    refuses(f, (struct grantd_http){ .url = "https://b.a.shops.example/" }, GRANTD_E_PLUGIN, "no host");
    refuses(f, (struct grantd_http){ .url = "http://api.example.com/" }, GRANTD_E_PROTOCOL,
            "not an https URL");
    refuses(f, (struct grantd_http){ .url = "https://api.example.com@evil.example/" }, GRANTD_E_PROTOCOL,
            "https URL");
    refuses(f, (struct grantd_http){ .url = "http://127.0.0.1:80/" }, GRANTD_E_PLUGIN, "no host");
    refuses(f, (struct grantd_http){ 0 }, GRANTD_E_PROTOCOL, "https URL");
    refuses(f, (struct grantd_http){ .url = base, .bearer = "a\r\nX-Evil: 1" }, GRANTD_E_PROTOCOL,
            "control characters");
    refuses(f, (struct grantd_http){ .url = base, .headers = grantd_pairs("Host", "x") }, GRANTD_E_PLUGIN,
            "header Host");
    refuses(f, (struct grantd_http){ .url = base, .headers = grantd_pairs("a b", "x") }, GRANTD_E_PLUGIN,
            "header a b");
    refuses(f, (struct grantd_http){ .url = base, .headers = grantd_pairs("a", "x\ny") }, GRANTD_E_PROTOCOL,
            "control");
    refuses(f, (struct grantd_http){ .url = base, .method = "GET /evil" }, GRANTD_E_PLUGIN, "not a method");
    refuses(f, (struct grantd_http){ .url = base, .method = "CONNECT" }, GRANTD_E_PLUGIN, "not a method");
    refuses(f, (struct grantd_http){ .url = base, .body = "a", .form = grantd_pairs("a", "b") },
            GRANTD_E_PLUGIN, "more than one");
    refuses(f, (struct grantd_http){ .url = base, .bearer = "a", .basic_user = "b" }, GRANTD_E_PLUGIN,
            "both");
    refuses(f, (struct grantd_http){ .url = base, .json = grantd_pairs("a:=", "{") }, GRANTD_E_PLUGIN,
            "not JSON");
}

static void option_and_description_hosts(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON opts = json_pack("{s:s}", "base", "https://other.example:8443/x");
    GD_AUTO_JSON desc = json_pack("{s:s, s:s}", "a", "https://${in.dc}.d.example/t", "b", "${saved.acc}/t");
    GD_AUTO_JSON kept = json_pack("{s:s}", "acc", "https://kept.example");

    sends(f, (struct grantd_http){ .url = "https://base.example/x" });
    done_with(f);
    f->start.given.options = opts;
    refuses(f, (struct grantd_http){ .url = "https://base.example/x" }, GRANTD_E_PLUGIN, "no host");
    sends(f, (struct grantd_http){ .url = "https://other.example:8443/y" });
    done_with(f);
    f->start.given.description = desc;
    f->start.given.kept = kept;
    refuses(f, (struct grantd_http){ .url = "https://eu.d.example/t" }, GRANTD_E_PLUGIN, "no host");
    f->platform.p.caps = GRANTD_CAP_DESCRIBED_HOSTS;
    sends(f, (struct grantd_http){ .url = "https://eu.d.example/t" });
    done_with(f);
    sends(f, (struct grantd_http){ .url = "https://kept.example/t" });
    done_with(f);
    refuses(f, (struct grantd_http){ .url = "https://evil.example/t" }, GRANTD_E_PLUGIN, "no host");
}

static grantd_doc_fn on_discovery;
static grantd_next *discovers(grantd_op *op)
{
    return grantd_http(op, on_discovery, .url = "https://api.example.com/.well-known");
}
static grantd_next *on_discovery(grantd_op *op, const grantd_doc *a)
{
    return grantd_http(op, on_any, .url = grantd_text(op, a, "token_endpoint"));
}

static void documents_lead_to_hosts(void **state)
{
    struct fix *f = *state;

    f->platform.p.caps = GRANTD_CAP_DESCRIBED_HOSTS;
    begin(f, discovers);
    turns(f);
    reply_json(f, 200, "{\"token_endpoint\":\"https://tokens.example/t\"}");
    assert_string_equal(f->http.url, "https://tokens.example/t");
    done_with(f);
    f->platform.p.caps = 0;
    f->ends = 0;
    begin(f, discovers);
    turns(f);
    reply_json(f, 200, "{\"token_endpoint\":\"https://tokens.example/t\"}");
    assert_failed(f, GRANTD_E_PLUGIN, "no host");
}

/* ---- ends of requests
 * -------------------------------------------------------------------------------------- */

static void ends_as(struct fix *f, unsigned flags, enum gd_http_end end, int fail_class, bool spent)
{
    sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = flags });
    reply_end(f, end, GD_R_EGRESS_DENIED);
    assert_failed(f, fail_class, "the transport said so");
    assert_int_equal(f->spent, spent);
}

static grantd_next *asks_once(grantd_op *op)
{
    return grantd_http(op, on_any, .url = "https://api.example.com/token");
}

/* Only refreshes of credentials whose old token outlives the answer; never what spends something else. */
static void the_class_of_a_credential_decides_on_connections(void **state)
{
    static const struct {
        enum gd_op_kind kind;
        uint32_t retry_class;
        bool reuse;
    } rows[] = {
        { GD_OP_REFRESH, GRANTD_RETRY_NONE, true },     { GD_OP_REFRESH, GRANTD_RETRY_OVERLAP, true },
        { GD_OP_REFRESH, GRANTD_RETRY_UNKNOWN, false }, { GD_OP_REFRESH, GRANTD_RETRY_GRACE, false },
        { GD_OP_REFRESH, GRANTD_RETRY_STRICT, false },  { GD_OP_REFRESH, GRANTD_RETRY_FAMILY, false },
        { GD_OP_GRANT, GRANTD_RETRY_NONE, false },      { GD_OP_GRANT, GRANTD_RETRY_OVERLAP, false },
        { GD_OP_REQUEST, GRANTD_RETRY_OVERLAP, false }
    };
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->start.kind = rows[i].kind;
        f->start.retry_class = rows[i].retry_class;
        f->ends = 0;
        f->http.reuse = !rows[i].reuse;
        begin(f, asks_once);
        turns(f);
        assert_int_equal(f->http.reuse, rows[i].reuse);
        assert_false(f->http.repeatable); /* an answer that does not come is a doubt all the same */
        reply_end(f, GD_HTTP_UNCERTAIN, GD_R_ANSWER_CUT);
        assert_int_equal(f->fail_class, GRANTD_E_UNCERTAIN);
        assert_true(f->spent);
    }
}

static void what_becomes_of_a_request(void **state)
{
    struct fix *f = *state;

    ends_as(f, 0, GD_HTTP_UNCERTAIN, GRANTD_E_UNCERTAIN, true);
    ends_as(f, GRANTD_HTTP_REPEATABLE, GD_HTTP_UNCERTAIN, GRANTD_E_TRANSIENT, false);
    ends_as(f, 0, GD_HTTP_NOT_SENT, GRANTD_E_TRANSIENT, false);
    ends_as(f, GRANTD_HTTP_REPEATABLE, GD_HTTP_NOT_SENT, GRANTD_E_TRANSIENT, false);
    ends_as(f, 0, GD_HTTP_REFUSED, GRANTD_E_CONFIG, false);
    assert_int_equal(f->reason, GD_R_EGRESS_DENIED);
}

static void answer_is(struct fix *f, int status, const char *header, const char *value, const char *body,
                      int fail_class)
{
    GD_AUTO_FREE char *copy = gd_strdup(body);
    struct gd_http_header h[] = { { "content-type", "application/json" }, { header, value } };

    sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    reply(f, &(struct gd_http_answer){ .status = status,
                                       .headers = h,
                                       .nheaders = header ? 2 : 1,
                                       .body = copy,
                                       .body_len = strlen(copy),
                                       .sent_at = f->clock.unix_now });
    assert_failed(f, fail_class, "HTTP");
}

static void failures_by_answer(void **state)
{
    const int64_t now = 1700000000;
    struct fix *f = *state;

    answer_is(f, 400, NULL, NULL, "{\"error\":\"invalid_grant\"}", GRANTD_E_REAUTH);
    assert_true(f->spent);
    answer_is(f, 400, NULL, NULL, "{\"error\":\"access_denied\"}", GRANTD_E_DECLINED);
    answer_is(f, 400, NULL, NULL, "{\"error\":\"invalid_client\"}", GRANTD_E_CONFIG);
    answer_is(f, 400, NULL, NULL, "{\"error\":\"invalid_request\"}", GRANTD_E_PROTOCOL);
    answer_is(f, 400, NULL, NULL, "{\"error\":{\"code\":7}}", GRANTD_E_PROTOCOL);
    answer_is(f, 400, NULL, NULL, "{\"error\":\"temporarily_unavailable\"}", GRANTD_E_TRANSIENT);
    answer_is(f, 401, NULL, NULL, "", GRANTD_E_CONFIG);
    answer_is(f, 403, NULL, NULL, "", GRANTD_E_FORBIDDEN);
    answer_is(f, 302, NULL, NULL, "", GRANTD_E_PROTOCOL);
    answer_is(f, 500, NULL, NULL, "{\"error\":\"invalid_grant\"}", GRANTD_E_TRANSIENT);
    answer_is(f, 429, NULL, NULL, "{\"error\":\"invalid_grant\"}", GRANTD_E_LIMITED);
    assert_int_equal(f->retry_at, 0);
    answer_is(f, 429, "retry-after", "120", "", GRANTD_E_LIMITED);
    assert_int_equal(f->retry_at, (now + 120) * 1000);
    answer_is(f, 503, "retry-after", "Tue, 14 Nov 2023 22:14:20 GMT", "", GRANTD_E_LIMITED);
    assert_int_equal(f->retry_at, (now + 60) * 1000);
    answer_is(f, 429, "retry-after", "99999999999", "", GRANTD_E_LIMITED);
    assert_int_equal(f->retry_at, (now + GD_OP_RETRY_AFTER_MAX) * 1000);
    answer_is(f, 429, "retry-after", "-1", "", GRANTD_E_LIMITED);
    assert_int_equal(f->retry_at, 0);
    answer_is(f, 429, "retry-after", "soon", "", GRANTD_E_LIMITED);
    assert_int_equal(f->retry_at, 0);
    answer_is(f, 400, NULL, NULL, "{\"error\":\"a b\\u0007<script>\"}", GRANTD_E_PROTOCOL);
    assert_null(strchr(f->text, '<'));
}

static void a_plain_401_is_about_the_token_that_was_shown(void **state)
{
    struct fix *f = *state;

    sends(f, (struct grantd_http){ .url = "https://api.example.com/", .bearer = "tok" });
    reply_json(f, 401, "");
    assert_failed(f, GRANTD_E_REAUTH, "HTTP 401");
}

static void an_answer_beyond_the_budget(void **state)
{
    struct fix *f = *state;
    size_t n = GD_HTTP_BODY_MAX;
    GD_AUTO_FREE char *body = gd_new(n + 2);
    struct gd_http_answer a = { .status = 200, .body = body, .body_len = n + 1 };

    memset(body, ' ', n + 1);
    sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    reply(f, &a);
    assert_failed(f, GRANTD_E_UNCERTAIN, "more than");
    memset(body, ',', n);
    a.body_len = n;
    sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE });
    reply(f, &a);
    assert_failed(f, GRANTD_E_NOMEM, "need more than");
}

/* ---- memory
 * ------------------------------------------------------------------------------------------------ */

static grantd_next *eats(grantd_op *op)
{
    for (int i = 0; i < 100; i++)
        if (!grantd_alloc(op, 1024 * 1024))
            break;
    return grantd_done(op, .access_token = grantd_strf(op, "%s", "never seen"));
}
static grantd_next *asks_for_everything(grantd_op *op)
{
    (void)grantd_alloc(op, SIZE_MAX);
    return grantd_finish(op);
}
static grantd_next *uses_state(grantd_op *op)
{
    memset(op->state, 1, 64);
    return grantd_continue(op, nothing);
}

static void memory_has_an_end(void **state)
{
    struct fix *f = *state;

    runs(f, eats);
    assert_failed(f, GRANTD_E_NOMEM, "more than");
    runs(f, asks_for_everything);
    assert_failed(f, GRANTD_E_NOMEM, "more than");
    f->start.fail_alloc_at = 1; /* the state itself */
    runs(f, uses_state);
    assert_failed(f, GRANTD_E_NOMEM, "more than");
}

/* ---- save and continue
 * ------------------------------------------------------------------------------------- */

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
    begin(f, saves);
    turns(f);
    assert_int_equal(f->saves, 1);
    assert_int_equal(f->assets, 1);
    assert_string_equal(f->token, "saved");
    assert_false(gd_op_tick(f->op)); /* nothing moves until it is durable */
    f->inside = true;
    gd_op_saved(f->op, true);
    gd_op_saved(f->op, true); /* twice is once */
    f->inside = false;
    turns(f);
    assert_int_equal(f->saves, 2);
    gd_op_saved(f->op, true);
    turns(f);
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
    runs(f, saves);
    assert_int_equal(f->end, GD_OP_DONE);
    assert_int_equal(f->assets, 3);
    assert_string_equal(f->token, "saved");
}

static void a_save_that_fails(void **state)
{
    struct fix *f = *state;

    f->save = ANSWER_NO;
    runs(f, saves);
    assert_failed(f, GRANTD_E_UNCERTAIN, "not be made durable");
    assert_string_equal(f->token, "saved"); /* it is still with the caller */
    assert_string_equal(gd_json_text(f->notes, "page", ""), "1");
}

static void cancelled_while_saving(void **state)
{
    struct fix *f = *state;

    f->save = CANCEL;
    begin(f, saves);
    while (f->op && gd_op_tick(f->op))
        continue;
    assert_null(f->op);
    assert_int_equal(f->ends, 0);
    f->save = ANSWER_LATER;
    f->saves = 0;
    begin(f, saves);
    turns(f);
    assert_int_equal(f->saves, 1);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->ends, 0);
}

static grantd_next *after_exchange(grantd_op *op)
{
    return grantd_http(op, on_any, .url = "https://api.example.com/me", .flags = GRANTD_HTTP_REPEATABLE);
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

    begin(f, exchanges);
    turns(f);
    reply_json(f, 200, "{\"access_token\":\"t\",\"expires_in\":60}");
    gd_clock_virtual_advance(&f->clock, 5000);
    reply_json(f, 200, "{}");
    assert_int_equal(f->end, GD_OP_DONE);
    assert_int_equal(f->expires_in, 0);
    assert_int_equal(f->expires_at, 1700000060);
}

/* ---- pending, wait
 * ----------------------------------------------------------------------------------------- */

static grantd_next *waits(grantd_op *op)
{
    grantd_note(op, "asked", "1");
    return grantd_pending(op, grantd_now(op) + 30);
}

static void pending_keeps_notes(void **state)
{
    struct fix *f = *state;

    f->start.kind = GD_OP_GRANT;
    runs(f, waits);
    assert_int_equal(f->end, GD_OP_PENDING);
    assert_int_equal(f->next_look, (1700000000 + 30) * 1000LL);
    assert_string_equal(gd_json_text(f->notes, "asked", ""), "1");
}

/* ---- deadlines and cancel
 * ---------------------------------------------------------------------------------- */

static void the_deadline_of_what_may_be_repeated(void **state)
{
    struct fix *f = *state;

    sends(f, (struct grantd_http){
                 .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE, .timeout_ms = 99999 });
    assert_int_equal(f->http.timeout_ms, 10000);
    assert_false(gd_op_tick(f->op));
    gd_clock_virtual_advance(&f->clock, 10000);
    turns(f);
    assert_failed(f, GRANTD_E_DEADLINE, "deadline");
    assert_int_equal(f->http.cancelled, 1);
    assert_false(f->spent);
}

static void what_may_not_be_repeated_has_the_hard_one(void **state)
{
    struct fix *f = *state;

    sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    assert_int_equal(f->http.timeout_ms, 30000);
    gd_clock_virtual_advance(&f->clock, 20000);
    assert_false(gd_op_tick(f->op));
    reply_json(f, 200, "{\"access_token\":\"late\"}");
    assert_int_equal(f->end, GD_OP_DONE);
    assert_string_equal(f->token, "late");
    sends(f, (struct grantd_http){ .url = "https://api.example.com/", .timeout_ms = 500 });
    assert_int_equal(f->http.timeout_ms, 500);
    gd_clock_virtual_advance(&f->clock, 30000);
    turns(f);
    assert_failed(f, GRANTD_E_UNCERTAIN, "no answer came");
    assert_true(f->spent);
}

static void no_time_at_all(void **state)
{
    struct fix *f = *state;

    f->start.deadline_ms = 0;
    f->start.hard_deadline_ms = 0;
    runs(f, asks);
    assert_failed(f, GRANTD_E_DEADLINE, "deadline");
    assert_int_equal(f->http.sent, 0);
}

/* An answer that was paid for is heard even when it comes at the last moment. */
static void an_answer_at_the_last_moment(void **state)
{
    struct fix *f = *state;
    struct gd_http_header h = { "content-type", "application/json" };
    char body[] = "{\"access_token\":\"last\"}";
    gd_http_fn *fn;

    sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    fn = f->http.fn;
    f->http.fn = NULL;
    fn(f->http.arg,
       &(struct gd_http_answer){
           .status = 200, .headers = &h, .nheaders = 1, .body = body, .body_len = sizeof body - 1 });
    gd_clock_virtual_advance(&f->clock, 60000);
    turns(f);
    assert_int_equal(f->end, GD_OP_DONE);
    assert_string_equal(f->token, "last");
}

static void cancel_is_silent_where_nothing_is_lost(void **state)
{
    struct fix *f = *state;

    begin(f, nothing);
    assert_false(gd_op_cancel(&f->op));
    assert_null(f->op);
    sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE });
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->http.cancelled, 1);
    begin(f, forever);
    (void)gd_op_tick(f->op);
    assert_false(gd_op_cancel(&f->op));
    assert_false(gd_op_cancel(&f->op)); /* NULL is fine */
    assert_int_equal(f->ends, 0);
}

static void cancel_only_detaches_what_was_spent(void **state)
{
    struct fix *f = *state;
    struct gd_op *mine;

    sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    mine = f->op;
    assert_true(gd_op_cancel(&mine));
    assert_null(mine);
    assert_int_equal(f->http.cancelled, 0);
    reply_json(f, 200, "{\"access_token\":\"kept\"}");
    assert_int_equal(f->ends, 1);
    assert_true(f->detached);
    assert_string_equal(f->token, "kept");
}

static void once_it_is_durable_cancel_is_silent_again(void **state)
{
    struct fix *f = *state;

    begin(f, exchanges);
    turns(f);
    reply_json(f, 200, "{\"access_token\":\"t\"}");
    assert_int_equal(f->saves, 1);
    assert_true(f->http.repeatable);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->ends, 0);
}

/* ---- defer, secrets, options
 * ------------------------------------------------------------------------------- */

static void count_defer(void *arg)
{
    unsigned *order = arg;

    assert_int_equal(*order, 2 - now_running->defers); /* last first */
    now_running->defers++;
}
static grantd_next *defers(grantd_op *op)
{
    static unsigned order[] = { 1, 2 };

    grantd_defer(op, count_defer, &order[0]);
    grantd_defer(op, count_defer, &order[1]);
    return grantd_fail(op, GRANTD_E_FORBIDDEN, "whatever the end");
}

static void what_was_deferred_runs_whatever_the_end(void **state)
{
    struct fix *f = *state;

    runs(f, defers);
    assert_int_equal(f->defers, 2);
    f->defers = 0;
    begin(f, defers);
    (void)gd_op_tick(f->op);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->defers, 2);
}

static grantd_doc_fn tells_secrets;
static grantd_next *asks_then_tells(grantd_op *op)
{
    return grantd_http(op, tells_secrets, .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE);
}
static grantd_next *tells_secrets(grantd_op *op, const grantd_doc *a)
{
    grantd_log(op, GRANTD_WARN, "log %s %s", grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
               grantd_text(op, a, "access_token"));
    return grantd_fail(op, GRANTD_E_PROTOCOL, "%s|%s|%s|%s", grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
                       grantd_option(op, "secret"), grantd_text(op, a, "access_token"),
                       grantd_text(op, a, "word"));
}

static void secrets_are_not_said(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON opts = json_pack("{s:s}", "secret", "app-secret");
    FILE *log = tmpfile();
    char line[4096] = { 0 };

    f->env.log = gd_log_new(fileno(log), GD_LOG_DEBUG, &f->clock.clock, (const unsigned char[32]){ 0 });
    f->start.given.options = opts;
    f->start.given.args[GRANTD_ARG_REFRESH_TOKEN] = "refresh-secret";
    begin(f, asks_then_tells);
    turns(f);
    reply_json(f, 200, "{\"access_token\":\"access-secret\",\"word\":\"bell\\u0007\\u00e9\"}");
    assert_string_equal(f->text, "[secret]|[secret]|[secret]|bell?\xc3\xa9");
    assert_true(pread(fileno(log), line, sizeof line - 1, 0) > 0);
    assert_non_null(strstr(line, "log [secret] [secret]"));
    assert_null(strstr(line, "-secret"));
    gd_log_free(f->env.log);
    (void)fclose(log);
}

static grantd_next *reads_options(grantd_op *op)
{
    assert_string_equal(grantd_option(op, "base"), "https://base.example");
    assert_string_equal(grantd_option(op, "n"), "7");
    assert_null(grantd_option(op, "secret"));
    assert_null(grantd_option(op, "undeclared"));
    assert_null(grantd_arg(op, 999));
    assert_null(grantd_arg(op, -1));
    assert_null(grantd_document(op, GRANTD_DOC_DESCRIPTION));
    assert_string_equal(grantd_encode(op, GRANTD_JSON, "a\"\n"), "\"a\\\"\\u000a\"");
    assert_string_equal(grantd_encode(op, GRANTD_BASE64, "ab"), "YWI=");
    assert_string_equal(grantd_encode(op, GRANTD_BASE64URL, "ab"), "YWI");
    assert_string_equal(grantd_encode(op, GRANTD_FORM, "a b"), "a+b");
    assert_string_equal(grantd_encode(op, GRANTD_PERCENT, "a b"), "a%20b");
    assert_string_equal(
        grantd_digest(op, GRANTD_SHA256_B64URL, NULL, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert_string_equal(
        grantd_digest(op, GRANTD_HMAC_SHA256_HEX, "key", "The quick brown fox jumps over the lazy dog"),
        "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
    assert_int_equal(strlen(grantd_random(op, 32)), 43);
    assert_string_equal(grantd_url(op, "https://a.example/", "k", "v w", "no", NULL),
                        "https://a.example/?k=v%20w");
    assert_string_equal(grantd_url(op, "https://a.example/?", "k", "v"), "https://a.example/?k=v");
    return grantd_finish(op);
}

static void services(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON opts = json_pack("{s:i, s:s}", "n", 7, "undeclared", "x");

    f->start.given.options = opts;
    runs(f, reads_options);
    assert_int_equal(f->end, GD_OP_DONE);
}

static grantd_next *signs(grantd_op *op)
{
    (void)grantd_jwt_sign(op, "RS256", "secret", "{}");
    return grantd_finish(op);
}

static void a_key_that_does_not_sign_is_the_operators_matter(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON opts = json_pack("{s:s}", "secret", "no pem");

    runs(f, signs);
    assert_failed(f, GRANTD_E_CONFIG, "it is not set");
    f->start.given.options = opts;
    runs(f, signs);
    assert_failed(f, GRANTD_E_CONFIG, "does not sign");
    assert_null(strstr(f->text, "no pem"));
}

static void origins_apply_to_browsers(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON o = json_pack("{s:s}", "https://www.example.com", "http://127.0.0.1:7700/www");

    f->env.origins = o;
    given = "https://www.example.com/a?b=c";
    f->start.kind = GD_OP_REQUEST;
    f->start.on_end = on_end;
    begin(f, gives_url);
    turns(f);
    assert_int_equal(f->end, GD_OP_DONE);
}

/* ---- on a loop
 * --------------------------------------------------------------------------------------------- */

static uint64_t slow_until;
static grantd_next *slow(grantd_op *op)
{
    slow_until = uv_hrtime() + 25000000;
    while (uv_hrtime() < slow_until)
        continue;
    return grantd_finish(op);
}
static grantd_next *short_wait(grantd_op *op)
{
    return grantd_wait(op, 5, nothing);
}

static void on_a_loop(void **state)
{
    struct fix *f = *state;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    f->env.loop = &loop;
    f->env.clock = gd_clock_system();
    begin(f, short_wait);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    begin(f, forever);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    f->start.deadline_ms = f->start.hard_deadline_ms = 5;
    begin(f, asks);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
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
    begin(f, short_wait);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    begin(f, short_wait);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    begin(f, nothing);
    assert_false(gd_op_cancel(&f->op)); /* out of the line before its turn came */
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->ends, 1);
    f->start.deadline_ms = f->start.hard_deadline_ms = 5;
    begin(f, asks);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
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
        begin(f, takes_a_millisecond);
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

    runs(f, nothing);
    assert_int_equal(f->platform.calls, 1);
    assert_int_equal(f->platform.slow_calls, 0);
    runs(f, slow);
    assert_int_equal(f->platform.calls, 2);
    assert_int_equal(f->platform.slow_calls, 1);
    assert_true(f->platform.worst_us >= 25000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_broken_contract_is_the_plugins_fault),
        T(every_class_has_its_word),
        T(a_request_must_lead_somewhere),
        T(a_function_that_is_not_there),
        T(what_came_is_looked_at),
        T(odd_lifetimes_are_unknown),
        T(a_request_is_written_as_asked),
        T(a_request_that_must_not_leave),
        T(option_and_description_hosts),
        T(documents_lead_to_hosts),
        T(what_becomes_of_a_request),
        T(the_class_of_a_credential_decides_on_connections),
        T(failures_by_answer),
        T(a_plain_401_is_about_the_token_that_was_shown),
        T(an_answer_beyond_the_budget),
        T(memory_has_an_end),
        T(saving_comes_before_going_on),
        T(without_a_store_it_goes_on),
        T(a_save_that_fails),
        T(cancelled_while_saving),
        T(lifetimes_count_from_their_own_request),
        T(pending_keeps_notes),
        T(the_deadline_of_what_may_be_repeated),
        T(what_may_not_be_repeated_has_the_hard_one),
        T(no_time_at_all),
        T(an_answer_at_the_last_moment),
        T(cancel_is_silent_where_nothing_is_lost),
        T(cancel_only_detaches_what_was_spent),
        T(once_it_is_durable_cancel_is_silent_again),
        T(what_was_deferred_runs_whatever_the_end),
        T(secrets_are_not_said),
        T(services),
        T(a_key_that_does_not_sign_is_the_operators_matter),
        T(origins_apply_to_browsers),
        T(on_a_loop),
        T(in_a_line),
        T(the_loop_gets_round_between_many),
        T(calls_are_measured),
    };

    gd_json_setup();
    if (gd_crypto_setup(NULL) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
