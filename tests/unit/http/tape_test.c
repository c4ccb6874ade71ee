/* The tape: what it takes for the same request, and what it plays. */
#include "base/mem.h"
#include "http/tape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

struct got {
    int calls;
    enum gd_http_end end;
    int status;
    enum gd_reason reason;
    char body[256], type[64];
    size_t body_len;
    int64_t sent_at, date;
};

static struct gd_clock_virtual now;

static void on_answer(void *arg, const struct gd_http_answer *a)
{
    struct got *g = arg;
    const char *type = gd_http_answer_header(a, "Content-Type");

    g->calls++;
    g->end = a->end;
    g->status = a->status;
    g->reason = a->err.reason;
    g->body_len = a->body_len;
    memcpy(g->body, a->body ? a->body : "", a->body && a->body_len < 255 ? a->body_len + 1 : 1);
    memcpy(g->type, type ? type : "", type ? strlen(type) + 1 : 1);
    g->sent_at = a->sent_at;
    g->date = a->date;
    for (size_t i = 0; i < a->nheaders; i++)
        assert_null(strpbrk(a->headers[i].name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
}

static struct gd_tape *tape(const char *frames)
{
    struct gd_err err = { 0 };
    json_t *j = gd_json_parse(frames, strlen(frames), 65536, &err);
    struct gd_tape *t;

    if (!j)
        fail_msg("%s", err.text);
    gd_clock_virtual_init(&now, 1795255200000);
    t = gd_tape_new(j, &now.clock);
    json_decref(j);
    return t;
}

static const struct gd_http_header form_headers[] = {
    { "Content-Type", "application/x-www-form-urlencoded; charset=UTF-8" },
    { "Authorization", "Basic Y2xpZW50" },
};
static const struct gd_http_request token_request = {
    .method = "POST",
    .url = "https://as.test/token?v=1&w=a%20b",
    .headers = form_headers,
    .nheaders = 2,
    .body = "grant_type=refresh_token&refresh_token=r%2B1&a=x+y",
    .body_len = 50,
    .app = "test/a"
};

/* Plays r against a tape of one frame with that "expect"; the problem, or NULL. Freed with the next call. */
static const char *problem_of(const char *expect, const struct gd_http_request *r)
{
    static char *kept;
    char *frames = gd_strf("[{\"expect\":%s,\"answer\":{}}]", expect);
    struct gd_tape *t = tape(frames);
    struct got g = { 0 };
    struct gd_http_call *call = gd_tape_transport(t)->send(gd_tape_transport(t), r, on_answer, &g);

    assert_non_null(call);
    assert_int_equal(g.calls, 0);
    assert_true(gd_tape_step(t));
    assert_false(gd_tape_step(t));
    assert_int_equal(g.calls, 1);
    assert_int_equal(gd_tape_played(t), 1);
    assert_int_equal(g.end, gd_tape_problem(t) ? GD_HTTP_REFUSED : GD_HTTP_ANSWER);
    gd_free(kept);
    kept = gd_strdup(gd_tape_problem(t));
    gd_tape_free(t);
    gd_free(frames);
    return kept;
}

static void matches(const char *expect, const struct gd_http_request *r)
{
    const char *problem = problem_of(expect, r);

    if (problem)
        fail_msg("%s: %s", expect, problem);
}

static void differs(const char *expect, const struct gd_http_request *r, const char *what)
{
    const char *problem = problem_of(expect, r);

    if (!problem || !strstr(problem, what))
        fail_msg("%s: the problem is %s, expected %s", expect, problem ? problem : "none", what);
}

#define FORM "\"form\":{\"grant_type\":\"refresh_token\",\"refresh_token\":\"r+1\",\"a\":\"x y\"}"

static void test_form(void **state)
{
    (void)state;
    matches("{\"method\":\"POST\",\"url\":\"https://as.test/token?v=1&w=a%20b\"," FORM "}", &token_request);
    matches("{\"url\":\"https://as.test/token?w=a+b&v=1\"," FORM "}", &token_request);
    matches("{\"url\":\"https://as.test/token\",\"query\":{\"w\":\"a b\",\"v\":\"*\"}," FORM "}",
            &token_request);
    matches("{\"url\":\"*\",\"form\":{\"a\":\"*\",\"refresh_token\":\"*\",\"grant_type\":\"*\"}}",
            &token_request);
    matches("{" FORM ",\"headers\":{\"authorization\":\"*\",\"X-Not\":null}}", &token_request);
    differs("{\"method\":\"GET\"," FORM "}", &token_request, "frame 0: method is POST, expected GET");
    differs("{\"url\":\"https://as.test/other\"," FORM "}", &token_request,
            "frame 0: url is https://as.test/token");
    differs("{\"url\":\"https://as.test/token?v=2&w=a%20b\"," FORM "}", &token_request, "query.v");
    differs("{\"url\":\"https://as.test/token\",\"query\":{\"v\":\"1\"}," FORM "}", &token_request,
            "query.w");
    differs("{" FORM ",\"headers\":{\"Authorization\":null}}", &token_request, "header Authorization");
    differs("{" FORM ",\"headers\":{\"X-A\":\"*\"}}", &token_request, "header X-A is absent");
    differs("{\"form\":{\"grant_type\":\"refresh_token\",\"refresh_token\":\"r+1\"}}", &token_request,
            "form.a");
    differs("{\"form\":{\"grant_type\":\"*\",\"refresh_token\":\"*\",\"a\":\"*\",\"b\":\"*\"}}",
            &token_request, "form.b is absent");
    differs("{\"form\":{\"grant_type\":\"x\",\"refresh_token\":\"*\",\"a\":\"*\"}}", &token_request,
            "form.grant_type is \"refresh_token\", expected \"x\"");
    differs("{}", &token_request, "expected form, json or body in the tape");
    differs("{\"json\":{}}", &token_request, "not JSON");
}

static void test_json(void **state)
{
    struct gd_http_request r = { .method = "POST",
                                 .url = "https://as.test/x",
                                 .body = "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
                                 .body_len = 28,
                                 .app = "test/a" };

    (void)state;
    matches("{\"json\":{\"c\":\"d\",\"a\":[1,{\"b\":null}]}}", &r);
    matches("{\"json\":{\"c\":\"*\",\"a\":[\"*\",{\"b\":\"*\"}]}}", &r);
    matches("{\"json\":\"*\"}", &r);
    matches("{\"body\":\"*\"}", &r);
    differs("{\"json\":{\"c\":\"d\",\"a\":[1]}}", &r, "json.a");
    differs("{\"json\":{\"c\":\"d\",\"a\":[1,{\"b\":1}]}}", &r, "json.a.1.b is null, expected 1");
    differs("{\"json\":{\"c\":\"d\"}}", &r, "json.a");
    differs("{\"body\":\"x\"}", &r, "body");
    differs("{\"form\":{}}", &r, "form");
    r.body = NULL;
    r.body_len = 0;
    matches("{}", &r);
    differs("{\"json\":{}}", &r, "body is absent");
    differs("{\"form\":{}}", &r, "body is absent");
}

/* A tape is no way around the guard. */
static void test_guard_holds(void **state)
{
    static const char *const hosts[] = { "as.test", NULL };
    struct gd_http_request r = { .method = "GET", .url = "http://as.test/", .app = "test/a" };

    (void)state;
    differs("{}", &r, "URL_INVALID");
    r.url = "https://127.0.0.1/";
    differs("{}", &r, "EGRESS_DENIED");
    r.url = "https://other.test/";
    r.hosts = hosts;
    differs("{}", &r, "HOST_NOT_DECLARED");
    r.url = "https://as.test/";
    r.method = "G\nET";
    differs("{}", &r, "HTTP_REQUEST_INVALID");
}

static void ask(struct gd_tape *t, struct got *g)
{
    struct gd_http_request r = { .method = "GET", .url = "https://as.test/", .app = "test/a" };

    *g = (struct got){ 0 };
    gd_tape_transport(t)->send(gd_tape_transport(t), &r, on_answer, g);
    assert_int_equal(g->calls, 0);
    gd_clock_virtual_advance(&now, 5000);
    assert_true(gd_tape_step(t));
    assert_int_equal(g->calls, 1);
}

static void test_answers(void **state)
{
    struct gd_tape *t = tape(
        "[{\"answer\":{\"json\":{\"b\":1,\"a\":2},\"headers\":{\"Date\":\"Sat, 21 Nov 2026 10:00:01 GMT\","
        "\"X-Multi\":[\"1\",\"2\"]}}},"
        "{\"answer\":{\"status\":400,\"form\":{\"error\":\"a b\",\"c\":\"&\"}}},"
        "{\"answer\":{\"status\":503,\"body\":\"<html>\",\"headers\":{\"CONTENT-TYPE\":\"text/html\"}}},"
        "{\"answer\":{\"end\":\"uncertain\"}},{\"answer\":{\"end\":\"not_sent\"}},"
        "{\"answer\":{\"end\":\"not_sent\",\"reason\":\"TLS_VERIFY\"}},{\"answer\":{\"end\":\"refused\"}},{}"
        "]");
    struct got g;

    (void)state;
    assert_int_equal(gd_tape_frames(t), 8);
    ask(t, &g);
    assert_int_equal(g.status, 200);
    assert_string_equal(g.body, "{\"a\":2,\"b\":1}");
    assert_string_equal(g.type, "application/json");
    assert_int_equal(g.date, 1795255201);
    assert_int_equal(g.sent_at, 1795255200000);
    ask(t, &g);
    assert_int_equal(g.status, 400);
    assert_true(!strcmp(g.body, "error=a+b&c=%26") || !strcmp(g.body, "c=%26&error=a+b"));
    ask(t, &g);
    assert_int_equal(g.status, 503);
    assert_string_equal(g.type, "text/html");
    ask(t, &g);
    assert_int_equal(g.end, GD_HTTP_UNCERTAIN);
    assert_int_equal(g.reason, GD_R_PLATFORM_TIMEOUT);
    ask(t, &g);
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    ask(t, &g);
    assert_int_equal(g.reason, GD_R_TLS_VERIFY);
    ask(t, &g);
    assert_int_equal(g.end, GD_HTTP_REFUSED);
    ask(t, &g);
    assert_int_equal(g.status, 200);
    assert_int_equal(g.body_len, 0);
    assert_null(gd_tape_problem(t));
    ask(t, &g); /* one too many */
    assert_int_equal(g.end, GD_HTTP_REFUSED);
    assert_int_equal(g.reason, GD_R_TAPE_MISMATCH);
    assert_string_equal(gd_tape_problem(t),
                        "frame 8: the tape has ended, but a request came: GET https://as.test/");
    gd_tape_free(t);
}

static void test_fault(void **state)
{
    struct gd_tape *t = tape("[{\"answer\":{\"status\":200}},{\"answer\":{\"status\":201}}]");
    json_t *fault = json_pack("{s:i}", "status", 500), *large = json_object();
    char *text = gd_new(GD_HTTP_BODY_MAX + 2);
    struct got g;

    (void)state;
    memset(text, 'x', GD_HTTP_BODY_MAX + 1);
    json_object_set_new(large, "body", json_string(text));
    gd_tape_fault(t, 1, large);
    gd_tape_fault(t, 0, fault);
    gd_tape_fault(t, 7, fault); /* there is none */
    ask(t, &g);
    assert_int_equal(g.status, 500);
    ask(t, &g);
    assert_int_equal(g.end, GD_HTTP_UNCERTAIN);
    assert_int_equal(g.reason, GD_R_ANSWER_TOO_LARGE);
    gd_tape_free(t);
    json_decref(fault);
    json_decref(large);
    gd_free(text);
}

static void test_cancel(void **state)
{
    struct gd_tape *t = tape("[{},{},{}]");
    struct gd_transport *tr = gd_tape_transport(t);
    struct gd_http_request r = { .method = "GET", .url = "https://as.test/", .app = "test/a" };
    struct got first = { 0 }, second = { 0 }, third = { 0 };
    struct gd_http_call *call = tr->send(tr, &r, on_answer, &first);

    (void)state;
    tr->send(tr, &r, on_answer, &second);
    tr->cancel(tr, &call);
    assert_null(call);
    tr->cancel(tr, &call);
    assert_true(gd_tape_step(t));
    assert_false(gd_tape_step(t));
    assert_int_equal(first.calls, 0);
    assert_int_equal(second.calls, 1);
    tr->send(tr, &r, on_answer, &third); /* freed with the tape */
    gd_tape_free(t);
    assert_int_equal(third.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),    cmocka_unit_test(test_json),  cmocka_unit_test(test_guard_holds),
        cmocka_unit_test(test_answers), cmocka_unit_test(test_fault), cmocka_unit_test(test_cancel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
