/* What the portal lets through to the broker and what every answer carries: sessions, form tokens, origins,
 * duplicate parameters, redirects, logs (reliability: T1, T3, T4, T8, T9, T11, T12, T14 to T16). */
#include "base/mem.h"
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the way of a client ---- */

static void test_approve(void **state)
{
    struct browser b = { 0 };
    struct world w;
    char *answer;
    (void)state;

    start(&w);
    answer = get(&w, &b, DOUBLE_PATH);
    assert_non_null(strstr(answer, "Example Agency asks for access"));
    assert_non_null(strstr(answer, "Approve at Acme Ads"));
    expect(answer, 200, "&lt;b&gt;Bold &amp; Co.&lt;/b&gt;");
    expect_location(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme&item.it1=1&item.it2=1"),
                    "https://login.example/authorize?state=state-1");
    assert_string_equal(w.broker.last_items, "it1 it2 ");
    expect_location(get(&w, &b, "/cb/main.acme?code=c&state=state-1&x=a%26b+c"), "/end/" DOUBLE_FLOW);
    assert_string_equal(w.broker.last_raw, "code=c&state=state-1&x=a%26b+c");
    assert_string_equal(gd_json_text(w.broker.last_query, "x", ""), "a&b c");
    answer = get(&w, &b, "/end/" DOUBLE_FLOW);
    assert_non_null(strstr(answer, "Thank you"));
    assert_null(strstr(answer, "raw text"));
    assert_non_null(strstr(answer, "<form method=\"post\" action=\"/end/" DOUBLE_FLOW "\">"));
    expect(answer, 200, "What is still open is listed below.");
    expect(get(&w, &b, "/cb/main.acme?code=c&state=state-1"), 409, "STATE_ALREADY_USED");
    assert_int_equal(w.broker.callbacks, 1);
    world_stop(&w);
}

static void test_guided(void **state)
{
    struct browser b = { 0 };
    struct world w;
    char *answer;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    expect_location(post(&w, &b, DOUBLE_PATH, "act=approve&app=guide"), DOUBLE_PATH);
    answer = get(&w, &b, DOUBLE_PATH);
    assert_non_null(strstr(answer, "value=\"7123456789\" readonly"));
    assert_non_null(strstr(answer, "<svg class=\"qr\""));
    expect(answer, 200, "name=\"in.code\"");
    expect(post(&w, &b, DOUBLE_PATH, "act=submit&item=it3&in.code=a%01b"), 400, "TEXT_INVALID");
    assert_int_equal(w.broker.submits, 0);
    expect_location(post(&w, &b, DOUBLE_PATH, "act=submit&item=it3&in.code=%23AB+%C3%A9"), DOUBLE_PATH);
    assert_string_equal(w.broker.last_input, "#AB \xc3\xa9");
    expect_location(post(&w, &b, DOUBLE_PATH, "act=decline&item=it1"), DOUBLE_PATH);
    assert_int_equal(w.broker.declines, 1);
    expect(post(&w, &b, DOUBLE_PATH, "act=decline&item=it99"), 404, "ITEM_UNKNOWN");
    world_stop(&w);
}

/* Several lines, and boxes that are ticked: each question has one answer, a line for each. */
static void test_choices(void **state)
{
    struct browser b = { 0 };
    struct world w;
    char *answer;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    gd_free(post(&w, &b, DOUBLE_PATH, "act=approve&app=guide"));
    answer = get(&w, &b, DOUBLE_PATH);
    assert_non_null(strstr(answer, "<textarea id=\"in-it3-4\" name=\"in.codes\""));
    assert_non_null(strstr(answer, "<legend>Share these</legend>"));
    assert_non_null(
        strstr(answer, "type=\"checkbox\" id=\"in-it3-5-1\" name=\"in.accounts:1\" value=\"701\""));
    expect(answer, 200, "Shoes &lt;EU&gt;");
    expect(post(&w, &b, DOUBLE_PATH, "act=submit&item=it3&in.accounts:1=7%0A8"), 400, "TEXT_INVALID");
    assert_int_equal(w.broker.submits, 0);
    expect_location(
        post(&w, &b, DOUBLE_PATH,
             "act=submit&item=it3&in.codes=%23A%0D%0A%23B%0D%0A&in.accounts:1=701&in.accounts:3=703"),
        DOUBLE_PATH);
    assert_string_equal(w.broker.last_lines, "#A\n#B\n");
    assert_string_equal(w.broker.last_picked, "701\n703");
    world_stop(&w);
}

#define NOTICE_BODY "{\"shop\":\"a.example\"}"

/* A platform calls: no cookie, no token of ours, the body as it came. */
static void test_notice(void **state)
{
    struct world w;
    (void)state;

    start(&w);
    expect(raw(&w, "POST /hook/main.acme HTTP/1.1\r\nHost: x\r\nX-Genuine: yes\r\nContent-Type: "
                   "application/json\r\nContent-Length: 20\r\nConnection: close\r\n\r\n" NOTICE_BODY),
           200, "");
    assert_int_equal(w.broker.notices, 1);
    assert_string_equal(w.broker.last_notice, NOTICE_BODY);
    expect(raw(&w, "POST /hook/main.acme HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nConnection: "
                   "close\r\n\r\n" NOTICE_BODY),
           403, "NOTICE_REFUSED");
    expect(raw(&w, "POST /hook/main.other HTTP/1.1\r\nHost: x\r\nX-Genuine: yes\r\nContent-Length: "
                   "20\r\nConnection: close\r\n\r\n" NOTICE_BODY),
           404, "NOT_FOUND");
    expect(
        raw(&w, "PUT /hook/main.acme HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        405, "HTTP_METHOD");
    expect(raw(&w, "GET /hook/main.acme?challenge=4711 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
           200, "4711");
    assert_int_equal(w.broker.notices, 1);
    world_stop(&w);
}

/* From the end page, by the session alone; whose link it is the broker says. */
static void test_go_on(void **state)
{
    struct browser b = { 0 }, other = { 0 };
    struct world w;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    gd_free(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme&item.it1=1"));
    gd_free(get(&w, &b, "/cb/main.acme?error=access_denied&error_description=%3Cscript%3E&state=state-1"));
    expect(get(&w, &b, "/end/" DOUBLE_FLOW), 200, "You declined.");
    expect_location(post(&w, &b, "/end/" DOUBLE_FLOW, "act=approve&app=acme&item.it2=1"),
                    "https://login.example/authorize?state=state-2");
    expect_location(post(&w, &b, "/end/" DOUBLE_FLOW, "act=decline&item=it2"), "/end/" DOUBLE_FLOW);
    gd_free(get(&w, &other, DOUBLE_PATH));
    expect(get(&w, &other, "/end/" DOUBLE_FLOW), 404, "FLOW_UNKNOWN");
    expect(post(&w, &other, "/end/" DOUBLE_FLOW, "act=decline&item=it1"), 403, "FORM_FOREIGN");
    expect(ask(&w, "GET", "/end/" DOUBLE_FLOW, NULL, NULL), 403, "SESSION_MISSING");
    assert_int_equal(w.broker.declines, 1);
    world_stop(&w);
}

/* ---- what was given earlier (T10) ---- */

static void test_past(void **state)
{
    struct browser b = { 0 }, other = { 0 };
    struct world w;
    (void)state;

    start(&w);
    expect(get(&w, &b, DOUBLE_PATH), 200, "Show what was given");
    expect(post(&w, &b, DOUBLE_PATH, "act=end&grant=" DOUBLE_GRANT), 403, "CODE_NEEDED");
    expect_location(post(&w, &b, DOUBLE_PATH, "act=ask"), DOUBLE_PATH);
    assert_int_equal(w.broker.asks, 1);
    expect(get(&w, &b, DOUBLE_PATH), 200, "autocomplete=\"one-time-code\"");
    expect(post(&w, &b, DOUBLE_PATH, "act=enter&code=000000"), 403, "CODE_WRONG");
    expect_location(post(&w, &b, DOUBLE_PATH, "act=enter&code=12+34+56"), DOUBLE_PATH);
    expect(get(&w, &b, DOUBLE_PATH), 200, "<dt>For</dt><dd>Account &lt;1&gt;</dd>");
    expect(get(&w, &b, DOUBLE_PATH), 200, "<dd>2026-03-04</dd>");
    expect(get(&w, &b, DOUBLE_PATH), 200, "aria-label=\"Take back: Acme Ads\"");
    expect(get(&w, &other, DOUBLE_PATH), 200, "Show what was given");
    expect(post(&w, &other, DOUBLE_PATH, "act=end&grant=" DOUBLE_GRANT), 403, "CODE_NEEDED");
    expect(post(&w, &b, DOUBLE_PATH, "act=end&grant=../x"), 400, "FORM_INVALID");
    assert_int_equal(w.broker.ends, 0);
    expect_location(post(&w, &b, DOUBLE_PATH, "act=end&grant=" DOUBLE_GRANT), DOUBLE_PATH);
    assert_int_equal(w.broker.ends, 1);
    expect(get(&w, &b, DOUBLE_PATH), 200, "Taken back.");
    expect(get(&w, &b, DOUBLE_PATH), 200, "<p>Open &lt;settings&gt; and remove the agency.</p>");
    world_stop(&w);
}

/* The end page of a flow stands without the link's secret: nothing of the past begins there. */
static void test_past_needs_the_link(void **state)
{
    struct browser b = { 0 };
    struct world w;
    char *page;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    gd_free(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme"));
    gd_free(get(&w, &b, "/cb/main.acme?code=c&state=state-1"));
    page = get(&w, &b, "/end/" DOUBLE_FLOW);
    assert_null(strstr(page, "Show what was given"));
    expect(page, 200, NULL);
    expect(post(&w, &b, "/end/" DOUBLE_FLOW, "act=ask"), 400, "FORM_INVALID");
    expect(post(&w, &b, "/end/" DOUBLE_FLOW, "act=enter&code=123456"), 400, "FORM_INVALID");
    assert_int_equal(w.broker.asks, 0);
    w.broker.no_mail = true;
    page = get(&w, &b, DOUBLE_PATH);
    assert_null(strstr(page, "Show what was given"));
    expect(page, 200, NULL);
    world_stop(&w);
}

/* ---- who may not ---- */

/* Two browsers and two contexts: only what belongs together passes (T1, T3, T4). */
static void test_matrix(void **state)
{
    struct browser a = { 0 }, b = { 0 }, none = { 0 };
    struct world w;
    (void)state;

    start(&w);
    gd_free(get(&w, &a, DOUBLE_PATH));
    gd_free(get(&w, &b, DOUBLE_PATH));
    assert_string_not_equal(a.cookie, b.cookie);
    gd_free(post(&w, &a, DOUBLE_PATH, "act=approve&app=acme"));
    expect(get(&w, &b, "/cb/main.acme?code=c&state=state-1"), 403, "SESSION_MISMATCH");
    expect(get(&w, &b, "/cb/main.other?code=c&state=state-1"), 403, "CONTEXT_MISMATCH");
    expect(get(&w, &a, "/cb/main.other?code=c&state=state-1"), 403, "CONTEXT_MISMATCH");
    expect(get(&w, &none, "/cb/main.acme?code=c&state=state-1"), 403, "SESSION_MISSING");
    expect(get(&w, &a, "/cb/main.acme?code=c&state=state-1&state=state-1"), 400, "PARAM_DUPLICATE");
    expect(get(&w, &a, "/cb/main.acme?code=c&code=d&state=state-1"), 400, "PARAM_DUPLICATE");
    expect(get(&w, &a, "/cb/main.acme?code=c"), 400, "STATE_MISSING");
    expect(get(&w, &a, "/cb/main.acme?code=c&state=other"), 400, "STATE_UNKNOWN");
    expect(get(&w, &a, "/cb/main.acme?code=c&state=%ff"), 400, "TEXT_INVALID");
    expect(ask(&w, "HEAD", "/cb/main.acme?code=c&state=state-1", a.cookie, NULL), 405, NULL);
    expect(ask(&w, "POST", "/cb/main.acme?code=c&state=state-1", a.cookie, ""), 405, "HTTP_METHOD");
    assert_int_equal(w.broker.callbacks, 0);
    expect_location(get(&w, &a, "/cb/main.acme?code=c&state=state-1"), "/end/" DOUBLE_FLOW);
    world_stop(&w);
}

static void test_forms_refused(void **state)
{
    static const struct {
        const char *fields, *form;
        int status;
        const char *word;
    } bad[] = {
        { FORM_TYPE "Origin: https://evil.example\r\n", "act=approve&app=acme", 403, "FORM_FOREIGN" },
        { FORM_TYPE "Origin: null\r\nSec-Fetch-Site: cross-site\r\n", "act=approve&app=acme", 403,
          "FORM_FOREIGN" },
        { "Content-Type: text/plain\r\n", "act=approve&app=acme", 415, "FORM_INVALID" },
        { "", "act=approve&app=acme", 415, "FORM_INVALID" },
        { FORM_TYPE, "act=approve&app=acme&app=acme", 400, "FORM_INVALID" },
        { FORM_TYPE, "csrf=x&act=approve&app=acme", 400, "FORM_INVALID" },
        { FORM_TYPE, "act=approve", 400, "FORM_INVALID" },
        { FORM_TYPE, "act=approve&app=..%2fx", 400, "FORM_INVALID" },
        { FORM_TYPE, "act=nonsense&app=acme", 400, "FORM_INVALID" },
        { FORM_TYPE, "", 400, "FORM_INVALID" },
        { FORM_TYPE, "act=approve&app=%", 400, "TEXT_INVALID" },
    };
    struct browser b = { 0 }, wrong;
    struct world w;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect(post_with(&w, &b, DOUBLE_PATH, bad[i].fields, bad[i].form), bad[i].status, bad[i].word);
    wrong = b;
    wrong.token[0] = wrong.token[0] == 'A' ? 'B' : 'A';
    expect(post(&w, &wrong, DOUBLE_PATH, "act=approve&app=acme"), 403, "FORM_FOREIGN");
    wrong = b;
    wrong.cookie[0] = '\0';
    expect(post(&w, &wrong, DOUBLE_PATH, "act=approve&app=acme"), 403, "FORM_FOREIGN");
    (void)snprintf(wrong.cookie, sizeof wrong.cookie,
                   "Cookie: grantd=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n");
    expect(post(&w, &wrong, DOUBLE_PATH, "act=approve&app=acme"), 403, "FORM_FOREIGN");
    expect(post(&w, &b, "/a/" DOUBLE_GONE "/" DOUBLE_SECRET, "act=approve&app=acme"), 403, "FORM_FOREIGN");
    expect(post(&w, &b, "/end/" DOUBLE_FLOW, "act=approve&app=acme"), 403, "FORM_FOREIGN");
    assert_int_equal(w.broker.starts + w.broker.declines + w.broker.submits + w.broker.flow_shows, 0);
    expect(post_with(&w, &b, DOUBLE_PATH,
                     FORM_TYPE "Origin: http://127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n",
                     "act=approve&app=acme"),
           303, NULL);
    world_stop(&w);
}

/* Mail scanners open a link many times before the person does (T9). */
static void test_scanners(void **state)
{
    struct browser b = { 0 };
    struct world w;
    (void)state;

    start(&w);
    for (int i = 0; i < 50; i++) {
        expect(ask(&w, i % 2 ? "HEAD" : "GET", DOUBLE_PATH "?utm_source=mail", NULL, NULL), 200, NULL);
        assert_int_equal(w.broker.starts + w.broker.declines + w.broker.submits, 0);
    }
    gd_free(get(&w, &b, DOUBLE_PATH));
    expect(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme"), 303, NULL);
    world_stop(&w);
}

/* Everything behind the status line but the time of day. Takes the answer. */
static char *shape(char *answer)
{
    char *date = strstr(answer, "Date: ");

    assert_non_null(date);
    memset(date, '-', 35);
    return answer;
}

/* An unknown link, a wrong secret and a malformed one cannot be told apart (T8). */
static void test_same_shape(void **state)
{
    static const char *const paths[] = {
        "/a/" DOUBLE_NONE "/" DOUBLE_SECRET,
        "/a/" DOUBLE_LINK "/Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmA",
        "/a/" DOUBLE_LINK "/x",
        "/a/" DOUBLE_LINK "/",
        "/a/nonsense/" DOUBLE_SECRET,
        "/a/" DOUBLE_LINK "/" DOUBLE_SECRET "/more",
    };
    struct world w;
    char *first;
    (void)state;

    start(&w);
    first = shape(ask(&w, "GET", paths[0], NULL, NULL));
    assert_int_equal(status_of(first), 404);
    assert_null(strstr(first, "Set-Cookie"));
    for (size_t i = 1; i < sizeof paths / sizeof paths[0]; i++) {
        GD_AUTO_FREE char *other = shape(ask(&w, "GET", paths[i], NULL, NULL));

        assert_string_equal(first, other);
    }
    gd_free(first);
    expect(ask(&w, "GET", "/a/" DOUBLE_GONE "/" DOUBLE_SECRET, NULL, NULL), 410, "LINK_EXPIRED");
    world_stop(&w);
}

/* ---- what the broker may say ---- */

/* Each reason becomes a status and a page with its word; nothing of the broker's own sentence is shown. */
static void test_refusals(void **state)
{
    static const struct {
        const char *word;
        int status;
    } all[] = {
        { "LINK_UNKNOWN", 404 },  { "LINK_ENDED", 410 },      { "REQUEST_CANCELLED", 410 },
        { "FLOW_EXPIRED", 410 },  { "SESSION_MISSING", 403 }, { "DENIED", 403 },
        { "ITEM_CLOSED", 409 },   { "OP_FORBIDDEN", 409 },    { "SHUTTING_DOWN", 503 },
        { "STORE_FAILED", 503 },  { "INTERNAL", 500 },        { "CONFLICT", 409 },
        { "PARAM_INVALID", 400 }, { "ITEM_UNKNOWN", 404 },    { "AUDIT_UNAVAILABLE", 503 },
    };
    static const char *const acts[] = { "act=approve&app=acme", "act=decline&item=it1",
                                        "act=submit&item=it3&in.code=1" };
    struct browser b = { 0 };
    struct world w;
    (void)state;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        memset(&b, 0, sizeof b);
        world_init(&w);
        world_start(&w);
        gd_free(get(&w, &b, DOUBLE_PATH));
        gd_free(post(&w, &b, DOUBLE_PATH, acts[0]));
        (void)snprintf(w.broker.word, sizeof w.broker.word, "%s", all[i].word);
        expect(get(&w, &b, DOUBLE_PATH), all[i].status, all[i].word);
        for (size_t a = 0; a < sizeof acts / sizeof acts[0]; a++) {
            GD_AUTO_FREE char *answer = post(&w, &b, DOUBLE_PATH, acts[a]);

            assert_null(strstr(answer, "the double says"));
            assert_int_equal(status_of(answer), all[i].status);
        }
        expect(get(&w, &b, "/cb/main.acme?code=c&state=state-2"), all[i].status, all[i].word);
        world_stop(&w);
    }
}

/* A redirect that is none, a flow's name that is none: nothing of it reaches the browser. */
static void test_bad_replies(void **state)
{
    static const char *const urls[] = {
        "javascript:alert(1)", "//evil.example",   "https://a/\r\nSet-Cookie: a=b",
        "https://a/ b",        "data:text/html,x", "",
        "https://a/\"x",       "ftp://a/"
    };
    struct browser b = { 0 };
    struct world w;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        (void)snprintf(w.broker.redirect, sizeof w.broker.redirect, "%s", urls[i][0] ? urls[i] : "relative");
        expect(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme"), 500, "INTERNAL");
    }
    (void)snprintf(w.broker.flow, sizeof w.broker.flow, "x/../y");
    (void)snprintf(w.broker.redirect, sizeof w.broker.redirect, "http://127.0.0.1:1/x?y=z");
    expect_location(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme"), "http://127.0.0.1:1/x?y=z");
    {
        GD_AUTO_FREE char *path = gd_strf("/cb/main.acme?code=c&state=%s", w.broker.state);

        expect(get(&w, &b, path), 500, "INTERNAL");
    }
    gd_free(get(&w, &b, "/end/" DOUBLE_FLOW));
    w.broker.no_link = true;
    expect(post(&w, &b, "/end/" DOUBLE_FLOW, "act=decline&item=it1"), 500, "INTERNAL");
    (void)snprintf(w.broker.word, sizeof w.broker.word, "SHUTTING_DOWN");
    expect(post(&w, &b, "/end/" DOUBLE_FLOW, "act=decline&item=it1"), 503, "SHUTTING_DOWN");
    w.broker.word[0] = '\0';
    w.broker.huge = true;
    expect(get(&w, &b, DOUBLE_PATH), 500, "This page cannot be shown.");
    world_stop(&w);
}

/* ---- what every answer carries ---- */

static void has_all(char *answer, int status)
{
    assert_int_equal(status_of(answer), status);
    has(answer, "Content-Security-Policy", "default-src 'none'; style-src 'sha256-");
    has(answer, "Content-Security-Policy", "frame-ancestors 'none'; base-uri 'none'");
    has(answer, "Content-Security-Policy", "form-action 'self'");
    has(answer, "X-Frame-Options", "DENY");
    has(answer, "X-Content-Type-Options", "nosniff");
    has(answer, "Referrer-Policy", "no-referrer");
    has(answer, "Cache-Control", "no-store");
    has(answer, "Date", " GMT");
    assert_null(strstr(answer, "<script"));
    assert_null(strstr(answer, " src="));
    gd_free(answer);
}

static void test_fields_everywhere(void **state)
{
    struct browser b = { 0 };
    struct world w;
    (void)state;

    start(&w);
    has_all(get(&w, &b, DOUBLE_PATH), 200);
    has_all(get(&w, &b, "/health"), 200);
    has_all(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme"), 303);
    has_all(get(&w, &b, "/cb/main.acme?code=c&state=state-1"), 303);
    has_all(get(&w, &b, "/end/" DOUBLE_FLOW), 200);
    has_all(get(&w, &b, "/nowhere"), 404);
    has_all(get(&w, &b, "/"), 404);
    has_all(get(&w, &b, "/a/x/y"), 404);
    has_all(get(&w, &b, "/cb/x"), 400);
    has_all(get(&w, &b, "/a/" DOUBLE_GONE "/" DOUBLE_SECRET), 410);
    has_all(ask(&w, "POST", DOUBLE_PATH, "Content-Type: text/plain\r\n", "x"), 415);
    has_all(ask(&w, "POST", DOUBLE_PATH, FORM_TYPE, "x"), 403);
    has_all(raw(&w, "PUT / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
    has_all(raw(&w, "GET / HTTP/1.1\n"), 400);
    has_all(raw(&w, "GET / HTTP/3.0\r\n"), 505);
    has_all(raw(&w, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"), 413);
    has_all(raw(&w, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"), 501);
    world_stop(&w);
    world_init(&w);
    w.limits.head_ms = 100;
    world_start(&w);
    has_all(raw(&w, "GET / HTTP"), 408);
    world_stop(&w);
}

static void test_cookie(void **state)
{
    struct browser b = { 0 };
    struct world w;
    char *answer;
    GD_AUTO_FREE char *set = NULL, *again = NULL;
    (void)state;

    start(&w);
    answer = get(&w, &b, DOUBLE_PATH);
    set = field_of(answer, "Set-Cookie");
    assert_non_null(set);
    assert_int_equal(strspn(set + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    assert_string_equal(set + 7 + 43, "; Path=/; HttpOnly; SameSite=Lax");
    assert_memory_equal(set, "grantd=", 7);
    gd_free(answer);
    answer = get(&w, &b, DOUBLE_PATH);
    again = field_of(answer, "Set-Cookie");
    assert_null(again); /* it is kept */
    gd_free(answer);
    world_stop(&w);
}

/* Nothing that a visitor writes ever becomes a Location (T14). */
static void test_open_redirects(void **state)
{
    static const char *const evil[] = {
        "//evil.example",         "/\\evil.example",
        "https://evil.example",   "//evil.example/%2f..",
        "/%2f%2fevil.example",    "https:evil.example",
        "javascript:alert(1)",    "/%0d%0aLocation:%20https://evil.example",
        "////evil.example",       "https://a.example@evil.example",
        "\\\\evil.example",       "/.evil.example",
        "%68ttps://evil.example", "//evil%E3%80%82example",
        "/%09/evil.example",      "?next=//evil.example",
    };
    static const char *const names[] = { "next", "return_to", "redirect_uri", "url", "continue", "target" };
    struct world w;
    (void)state;

    world_init(&w);
    w.options.public_url = "http://127.0.0.1";
    world_start(&w);
    for (size_t i = 0; i < sizeof evil / sizeof evil[0]; i++) {
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
            GD_AUTO_FREE char *path = gd_strf(DOUBLE_PATH "?%s=%s", names[n], evil[i]);
            GD_AUTO_FREE char *answer =
                ask_from(&w, i % 2 ? "127.0.7.1" : "127.0.8.1", "GET", path, NULL, NULL);

            assert_null(strstr(answer, "\r\nLocation:"));
            assert_null(strstr(answer, "evil"));
        }
        if (evil[i][0] == '/') {
            GD_AUTO_FREE char *answer = ask_from(&w, "127.0.9.1", "GET", evil[i], NULL, NULL);

            assert_null(strstr(answer, "\r\nLocation:"));
        }
    }
    world_stop(&w);
}

/* The secret of a link and what came in a callback are in no log line; the route's template is (T11). */
static void test_log(void **state)
{
    struct browser b = { 0 };
    struct world w;
    char *log;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    gd_free(get(&w, &b, "/a/" DOUBLE_NONE "/" DOUBLE_SECRET));
    gd_free(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme"));
    gd_free(get(&w, &b, "/cb/main.acme?code=CANARY&state=state-1"));
    gd_free(get(&w, &b, "/end/" DOUBLE_FLOW));
    gd_free(raw(&w, "GET /" DOUBLE_SECRET " HTTP/1.1\nX: " DOUBLE_SECRET "\r\n\r\n"));
    gd_free(get(&w, &b, "/" DOUBLE_SECRET));
    log = world_log(&w);
    assert_non_null(strstr(log, "\"route\":\"/a/{link}\""));
    assert_non_null(strstr(log, "\"route\":\"/cb/{context}\""));
    assert_non_null(strstr(log, "\"route\":\"/end/{flow}\""));
    assert_non_null(strstr(log, "portal.refused"));
    assert_null(strstr(log, DOUBLE_SECRET));
    assert_null(strstr(log, "CANARY"));
    assert_null(strstr(log, "state-1"));
    assert_null(strstr(log, b.token));
    assert_null(strstr(log, b.cookie + 15));
    gd_free(log);
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_approve),
        cmocka_unit_test(test_guided),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_notice),
        cmocka_unit_test(test_go_on),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_past_needs_the_link),
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_forms_refused),
        cmocka_unit_test(test_scanners),
        cmocka_unit_test(test_same_shape),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_replies),
        cmocka_unit_test(test_fields_everywhere),
        cmocka_unit_test(test_cookie),
        cmocka_unit_test(test_open_redirects),
        cmocka_unit_test(test_log),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
