/* What a platform does wrong is the platform's fault and nobody else's; what it hands over is looked at; it
 * keeps within its budgets; and the services that it gets. The platforms are functions of this file. */
#include "op_kit.h"

/* ---- the contract, broken ---- */

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
static grantd_next *too_much_to_read(grantd_op *op)
{
    char *text = grantd_alloc(op, GD_OP_TEXT_MAX + 1);

    memset(text, 'x', GD_OP_TEXT_MAX);
    for (int i = 0; i < 17; i++)
        grantd_step(op, .title = "read", .text = text);
    return grantd_finish(op);
}
static grantd_next *too_much_kept(grantd_op *op)
{
    char text[4001] = { 0 };

    memset(text, '"', sizeof text - 1); /* each is two bytes as JSON */
    for (int i = 0; i < 5; i++)
        grantd_keep(op, grantd_strf(op, "k%d", i), text);
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
        { too_much_to_read, "steps of more than 1048576 bytes" },
        { too_much_kept, "more than 32768 bytes are kept" },
        { too_many_assets, "more than 4096 assets" },
        { odd_surface, "unknown outcome" },
        { nameless_step, "no title" },
    };
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        op_runs(f, bad[i].fn);
        op_assert_failed(f, GRANTD_E_PLUGIN, bad[i].says);
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
        op_runs(f, says);
        op_assert_failed(f, said, said == GRANTD_E_PLUGIN ? "" : "as the test says");
        assert_false(f->spent);
    }
    for (said = GRANTD_E_TRANSIENT; said <= GRANTD_E_NOMEM; said++)
        assert_string_equal(gd_reason_word(gd_op_class_reason(said)), op_words_of_classes[said]);
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
    op_runs(f, leads_nowhere);
    op_assert_failed(f, GRANTD_E_PLUGIN, "without a URL");
}

static void a_function_that_is_not_there(void **state)
{
    struct fix *f = *state;

    f->start.kind = GD_OP_VERIFY;
    op_runs(f, op_nothing);
    op_assert_failed(f, GRANTD_E_MANUAL, "no function");
}

/* ---- what comes from outside ---- */

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
    char url[GD_OP_BROWSER_URL_MAX + 2] = { 0 };
    struct fix *f = *state;

    memset(longest, 'a', GD_TOKEN_MAX + 1);
    for (size_t i = 0; i < 4; i++) {
        static const char *const tokens[] = { "", "a\r\nb", "a\x7f", "\xc3\xa9" };

        given = tokens[i];
        op_runs(f, gives_token);
        op_assert_failed(f, GRANTD_E_PROTOCOL, "access token");
    }
    given = longest;
    op_runs(f, gives_token);
    op_assert_failed(f, GRANTD_E_PROTOCOL, "longer than");
    longest[GD_TOKEN_MAX] = '\0';
    op_runs(f, gives_token);
    assert_int_equal(f->end, GD_OP_DONE);
    given = NULL;
    op_runs(f, gives_asset);
    op_assert_failed(f, GRANTD_E_PROTOCOL, "without an id");
    given = "a\nb\x01";
    op_runs(f, gives_asset);
    op_assert_failed(f, GRANTD_E_PROTOCOL, "plain text");
    op_runs(f, gives_note);
    op_assert_failed(f, GRANTD_E_PROTOCOL, "plain text");
    given = longest;
    op_runs(f, gives_note);
    op_assert_failed(f, GRANTD_E_PROTOCOL, "longer than 4096");
    given = "javascript:alert(1)";
    op_runs(f, gives_url);
    op_assert_failed(f, GRANTD_E_PROTOCOL, "not an https URL");
    memset(url, 'a', sizeof url - 1);
    memcpy(url, "https://x.example/", 18);
    given = url; /* it would not fit into an answer's head */
    op_runs(f, gives_url);
    op_assert_failed(f, GRANTD_E_PROTOCOL, "longer than 16384 bytes");
    url[GD_OP_BROWSER_URL_MAX] = '\0';
    op_runs(f, gives_url);
    assert_int_equal(f->end, GD_OP_DONE);
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
        op_runs(f, gives_odd_clocks);
        assert_int_equal(f->end, GD_OP_DONE);
        assert_string_equal(f->token, "good");
        assert_int_equal(f->expires_in, 0);
        assert_int_equal(f->expires_at, 0);
    }
    odd = (struct grantd_result){ .access_token = "good", .expires_in = GRANTD_NEVER };
    op_runs(f, gives_odd_clocks);
    assert_int_equal(f->expires_in, GRANTD_NEVER);
}

/* ---- memory ---- */

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
    return grantd_continue(op, op_nothing);
}

static void memory_has_an_end(void **state)
{
    struct fix *f = *state;

    op_runs(f, eats);
    op_assert_failed(f, GRANTD_E_NOMEM, "more than");
    op_runs(f, asks_for_everything);
    op_assert_failed(f, GRANTD_E_NOMEM, "more than");
    f->start.fail_alloc_at = 1; /* the state itself */
    op_runs(f, uses_state);
    op_assert_failed(f, GRANTD_E_NOMEM, "more than");
}

/* ---- texts ---- */

static grantd_next *formats(grantd_op *op)
{
    char many[600];

    memset(many, 'x', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    assert_string_equal(grantd_strf(op, "plain"), "plain");
    assert_string_equal(grantd_strf(op, "%s", ""), "");
    assert_string_equal(grantd_strf(op, "%s.%s:%s", "a", "", "c"), "a.:c");
    assert_string_equal(grantd_strf(op, "a.%lld", 0LL), "a.0");
    assert_string_equal(grantd_strf(op, "%lld-%lld", (long long)INT64_MIN, (long long)INT64_MAX),
                        "-9223372036854775808-9223372036854775807");
    assert_string_equal(grantd_strf(op, "%s %d%% %5.2s|%c", "a", -7, "xyz", 'c'), "a -7%    xy|c");
    for (size_t n = 250; n < 262; n++) { /* about the length that is formatted once */
        const char *s;

        many[n] = '\0';
        s = grantd_strf(op, "%s.%lld", many, 12LL);
        assert_int_equal(strlen(s), n + 3);
        assert_memory_equal(s, many, n);
        assert_string_equal(s + n, ".12");
        s = grantd_strf(op, "%s.%d", many, 12);
        assert_int_equal(strlen(s), n + 3);
        assert_string_equal(s + n, ".12");
        many[n] = 'x';
    }
    return grantd_finish(op);
}

static void texts_are_put_together(void **state)
{
    struct fix *f = *state;

    op_runs(f, formats);
    assert_int_equal(f->end, GD_OP_DONE);
}

/* ---- defer, secrets, options ---- */

static void count_defer(void *arg)
{
    unsigned *order = arg;

    assert_int_equal(*order, 2 - op_now_running->defers); /* last first */
    op_now_running->defers++;
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

    op_runs(f, defers);
    assert_int_equal(f->defers, 2);
    f->defers = 0;
    op_begin(f, defers);
    (void)gd_op_tick(f->op);
    assert_false(gd_op_cancel(&f->op));
    assert_int_equal(f->defers, 2);
}

static void still_reads(void *arg)
{
    assert_string_equal(arg, "the old token");
    op_now_running->defers++;
}
static grantd_next *ends(grantd_op *op)
{
    assert_string_equal(grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), "the new token");
    return grantd_finish(op);
}
static grantd_next *defers_then_saves(grantd_op *op)
{
    grantd_defer(op, still_reads, (void *)(uintptr_t)grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN));
    return grantd_save(op, ends, .access_token = "the new token");
}

/* What was deferred may read what the run was given, also when it was replaced since. */
static void what_was_deferred_reads_what_was_given(void **state)
{
    struct fix *f = *state;

    f->start.given.args[GRANTD_ARG_ACCESS_TOKEN] = "the old token";
    op_runs(f, defers_then_saves);
    assert_int_equal(f->end, GD_OP_DONE);
    assert_int_equal(f->defers, 1);
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
    op_begin(f, asks_then_tells);
    op_turns(f);
    op_reply_json(f, 200, "{\"access_token\":\"access-secret\",\"word\":\"bell\\u0007\\u00e9\"}");
    assert_string_equal(f->text, "[secret]|[secret]|[secret]|bell?\xc3\xa9");
    assert_true(pread(fileno(log), line, sizeof line - 1, 0) > 0);
    assert_non_null(strstr(line, "log [secret] [secret]"));
    assert_null(strstr(line, "-secret"));
    gd_log_free(f->env.log);
    (void)fclose(log);
}

static grantd_doc_fn tells_a_long_one;
static grantd_next *asks_for_a_long_one(grantd_op *op)
{
    return grantd_http(op, tells_a_long_one, .url = "https://api.example.com/",
                       .flags = GRANTD_HTTP_REPEATABLE);
}
static grantd_next *tells_a_long_one(grantd_op *op, const grantd_doc *a)
{
    const char *token = grantd_text(op, a, "access_token");

    grantd_log(op, GRANTD_WARN, "log %s", token);
    grantd_warn(op, "ODD", "warn %s", token);
    return grantd_fail(op, GRANTD_E_PROTOCOL, "%s|%.20s|%.9s|%s", token, token, token, token);
}

/* A token that is longer than any line, or was cut by the platform. */
static void long_secrets_are_not_said(void **state)
{
    struct fix *f = *state;
    FILE *log = tmpfile();
    char line[8192] = { 0 }, token[1001], answer[1100];

    for (size_t i = 0; i < sizeof token - 1; i++)
        token[i] = (char)('A' + i % 23);
    token[sizeof token - 1] = '\0';
    (void)snprintf(answer, sizeof answer, "{\"access_token\":\"%s\"}", token);
    f->env.log = gd_log_new(fileno(log), GD_LOG_DEBUG, &f->clock.clock, (const unsigned char[32]){ 0 });
    op_begin(f, asks_for_a_long_one);
    op_turns(f);
    op_reply_json(f, 200, answer);
    assert_string_equal(f->text, "[secret]|[secret]|ABCDEFGHI|[secret]");
    assert_true(pread(fileno(log), line, sizeof line - 1, 0) > 0);
    assert_non_null(strstr(line, "log [secret]"));
    assert_non_null(strstr(line, "warn [secret]"));
    assert_null(strstr(line, "ABCDEFGH"));
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
    op_runs(f, reads_options);
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

    op_runs(f, signs);
    op_assert_failed(f, GRANTD_E_CONFIG, "it is not set");
    f->start.given.options = opts;
    op_runs(f, signs);
    op_assert_failed(f, GRANTD_E_CONFIG, "does not sign");
    assert_null(strstr(f->text, "no pem"));
}

static void origins_apply_to_browsers(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON o = json_pack("{s:s}", "https://www.example.com", "http://127.0.0.1:7700/www");

    f->env.origins = o;
    given = "https://www.example.com/a?b=c";
    f->start.kind = GD_OP_REQUEST;
    f->start.on_end = op_on_end;
    op_begin(f, gives_url);
    op_turns(f);
    assert_int_equal(f->end, GD_OP_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_broken_contract_is_the_plugins_fault),
        T(every_class_has_its_word),
        T(a_request_must_lead_somewhere),
        T(a_function_that_is_not_there),
        T(what_came_is_looked_at),
        T(odd_lifetimes_are_unknown),
        T(memory_has_an_end),
        T(texts_are_put_together),
        T(what_was_deferred_runs_whatever_the_end),
        T(what_was_deferred_reads_what_was_given),
        T(secrets_are_not_said),
        T(long_secrets_are_not_said),
        T(services),
        T(a_key_that_does_not_sign_is_the_operators_matter),
        T(origins_apply_to_browsers),
    };

    return op_ready() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
