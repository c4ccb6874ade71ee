/* Requests of platforms: written as asked, refused where they must not leave, and what becomes of them. */
#include "op_kit.h"

static void a_request_is_written_as_asked(void **state)
{
    struct fix *f = *state;

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/a?x=1",
                                      .query = grantd_pairs("b c", "d&e", "no", NULL),
                                      .bearer = "tok" });
    assert_string_equal(f->http.method, "GET");
    assert_string_equal(f->http.url, "https://api.example.com/a?x=1&b%20c=d%26e");
    assert_non_null(strstr(f->http.headers, "authorization: Bearer tok\n"));
    assert_non_null(strstr(f->http.headers, "accept: application/json\n"));
    op_done_with(f);
    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/",
                                      .form = grantd_pairs("a b", "c+d", "no", NULL, "e", "f"),
                                      .basic_user = "u:x",
                                      .basic_pass = "p q",
                                      .flags = GRANTD_HTTP_BASIC_FORM });
    assert_string_equal(f->http.method, "POST");
    assert_string_equal(f->http.body, "a+b=c%2Bd&e=f");
    assert_non_null(strstr(f->http.headers, "authorization: Basic dSUzQXg6cCtx\n"));
    assert_non_null(strstr(f->http.headers, "content-type: application/x-www-form-urlencoded\n"));
    op_done_with(f);
    op_sends(
        f, (struct grantd_http){ .url = "https://a.shops.example/",
                                 .method = "PUT",
                                 .json = grantd_pairs("a", "\"x", "n:=", "[1,{\"b\":null}]", "no", NULL),
                                 .headers = grantd_pairs("X-Key", "v", "No", NULL, "Accept", "text/plain") });
    assert_string_equal(f->http.body, "{\"a\":\"\\\"x\",\"n\":[1,{\"b\":null}]}");
    assert_non_null(strstr(f->http.headers, "X-Key: v\n"));
    assert_null(strstr(f->http.headers, "application/json\naccept"));
    assert_null(strstr(f->http.headers, "No:"));
    op_done_with(f);
}

static void refuses(struct fix *f, struct grantd_http h, int fail_class, const char *says)
{
    unsigned sent = f->http.sent;

    op_sends(f, h);
    op_assert_failed(f, fail_class, says);
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
    refuses(f, (struct grantd_http){ .url = base, .headers = grantd_pairs("a", "x\t\r\nX-Evil: 1") },
            GRANTD_E_PROTOCOL, "control");
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

    op_sends(f, (struct grantd_http){ .url = "https://base.example/x" });
    op_done_with(f);
    f->start.given.options = opts;
    refuses(f, (struct grantd_http){ .url = "https://base.example/x" }, GRANTD_E_PLUGIN, "no host");
    op_sends(f, (struct grantd_http){ .url = "https://other.example:8443/y" });
    op_done_with(f);
    f->start.given.description = desc;
    f->start.given.kept = kept;
    refuses(f, (struct grantd_http){ .url = "https://eu.d.example/t" }, GRANTD_E_PLUGIN, "no host");
    f->platform.p.caps = GRANTD_CAP_DESCRIBED_HOSTS;
    op_sends(f, (struct grantd_http){ .url = "https://eu.d.example/t" });
    op_done_with(f);
    op_sends(f, (struct grantd_http){ .url = "https://kept.example/t" });
    op_done_with(f);
    refuses(f, (struct grantd_http){ .url = "https://evil.example/t" }, GRANTD_E_PLUGIN, "no host");
}

static grantd_doc_fn on_discovery;
static grantd_next *discovers(grantd_op *op)
{
    return grantd_http(op, on_discovery, .url = "https://api.example.com/.well-known");
}
static grantd_next *on_discovery(grantd_op *op, const grantd_doc *a)
{
    return grantd_http(op, op_on_any, .url = grantd_text(op, a, "token_endpoint"));
}

static void documents_lead_to_hosts(void **state)
{
    struct fix *f = *state;

    f->platform.p.caps = GRANTD_CAP_DESCRIBED_HOSTS;
    op_begin(f, discovers);
    op_turns(f);
    op_reply_json(f, 200, "{\"token_endpoint\":\"https://tokens.example/t\"}");
    assert_string_equal(f->http.url, "https://tokens.example/t");
    op_done_with(f);
    f->platform.p.caps = 0;
    f->ends = 0;
    op_begin(f, discovers);
    op_turns(f);
    op_reply_json(f, 200, "{\"token_endpoint\":\"https://tokens.example/t\"}");
    op_assert_failed(f, GRANTD_E_PLUGIN, "no host");
}

/* ---- ends of requests ---- */

static void ends_as(struct fix *f, unsigned flags, enum gd_http_end end, int fail_class, bool spent)
{
    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = flags });
    op_reply_end(f, end, GD_R_EGRESS_DENIED);
    op_assert_failed(f, fail_class, "the transport said so");
    assert_int_equal(f->spent, spent);
}

static grantd_next *asks_once(grantd_op *op)
{
    return grantd_http(op, op_on_any, .url = "https://api.example.com/token");
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
        op_begin(f, asks_once);
        op_turns(f);
        assert_int_equal(f->http.reuse, rows[i].reuse);
        assert_false(f->http.repeatable); /* an answer that does not come is a doubt all the same */
        op_reply_end(f, GD_HTTP_UNCERTAIN, GD_R_ANSWER_CUT);
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

/* It came, and would come so again: that is no outage, and its word says what it is. */
static void an_answer_that_is_too_large(void **state)
{
    struct fix *f = *state;

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE });
    op_reply_end(f, GD_HTTP_UNCERTAIN, GD_R_ANSWER_TOO_LARGE);
    assert_int_equal(f->fail_class, GRANTD_E_PROTOCOL);
    assert_int_equal(f->reason, GD_R_ANSWER_TOO_LARGE);
    assert_false(f->spent);
    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    op_reply_end(f, GD_HTTP_UNCERTAIN, GD_R_ANSWER_TOO_LARGE);
    assert_int_equal(f->fail_class, GRANTD_E_UNCERTAIN);
    assert_int_equal(f->reason, GD_R_ANSWER_TOO_LARGE);
    assert_true(f->spent);
}

static void answer_is(struct fix *f, int status, const char *header, const char *value, const char *body,
                      int fail_class)
{
    GD_AUTO_FREE char *copy = gd_strdup(body);
    struct gd_http_header h[] = { { "content-type", "application/json" }, { header, value } };

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    op_reply(f, &(struct gd_http_answer){ .status = status,
                                          .headers = h,
                                          .nheaders = header ? 2 : 1,
                                          .body = copy,
                                          .body_len = strlen(copy),
                                          .sent_at = f->clock.unix_now });
    op_assert_failed(f, fail_class, "HTTP");
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

    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/", .bearer = "tok" });
    op_reply_json(f, 401, "");
    op_assert_failed(f, GRANTD_E_REAUTH, "HTTP 401");
}

static void an_answer_beyond_the_budget(void **state)
{
    struct fix *f = *state;
    size_t n = GD_HTTP_BODY_MAX;
    GD_AUTO_FREE char *body = gd_new(n + 2);
    struct gd_http_answer a = { .status = 200, .body = body, .body_len = n + 1 };

    memset(body, ' ', n + 1);
    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/" });
    op_reply(f, &a);
    op_assert_failed(f, GRANTD_E_UNCERTAIN, "more than");
    memset(body, ',', n);
    a.body_len = n;
    op_sends(f, (struct grantd_http){ .url = "https://api.example.com/", .flags = GRANTD_HTTP_REPEATABLE });
    op_reply(f, &a);
    op_assert_failed(f, GRANTD_E_NOMEM, "need more than");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_is_written_as_asked),
        T(a_request_that_must_not_leave),
        T(option_and_description_hosts),
        T(documents_lead_to_hosts),
        T(what_becomes_of_a_request),
        T(an_answer_that_is_too_large),
        T(the_class_of_a_credential_decides_on_connections),
        T(failures_by_answer),
        T(a_plain_401_is_about_the_token_that_was_shown),
        T(an_answer_beyond_the_budget),
    };

    return op_ready() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
