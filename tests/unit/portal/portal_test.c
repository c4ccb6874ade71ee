/* What the portal lets through to the broker and what every answer carries: sessions, form tokens, origins,
 * duplicate parameters, rate limits, proxies, logs (reliability: T1, T3, T4, T8, T9, T11 to T16, T19, T20).
 */
#include "base/mem.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded\r\n"

/* A visitor's browser: its cookie and the token of the page it saw last. */
struct browser {
    char cookie[128], token[64];
};

static void see(struct browser *b, const char *answer)
{
    GD_AUTO_FREE char *set = field_of(answer, "Set-Cookie");
    const char *token = strstr(answer, "name=\"csrf\" value=\"");

    if (set)
        (void)snprintf(b->cookie, sizeof b->cookie, "Cookie: %.*s\r\n", (int)strcspn(set, ";"), set);
    if (token)
        (void)snprintf(b->token, sizeof b->token, "%.43s", token + 19);
}

static char *get(struct world *w, struct browser *b, const char *path)
{
    char *answer = ask(w, "GET", path, b->cookie, NULL);

    see(b, answer);
    return answer;
}

static char *post_with(struct world *w, const struct browser *b, const char *path, const char *fields,
                       const char *form)
{
    GD_AUTO_FREE char *all = gd_strf("%s%s", b->cookie, fields);
    GD_AUTO_FREE char *body = gd_strf("csrf=%s&%s", b->token, form);

    return ask(w, "POST", path, all, body);
}

static char *post(struct world *w, const struct browser *b, const char *path, const char *form)
{
    return post_with(w, b, path, FORM_TYPE, form);
}

/* Takes the answer. */
static void expect(char *answer, int status, const char *word)
{
    if (status_of(answer) != status || (word && !strstr(answer, word)))
        print_error("%s\n", answer ? answer : "(nothing)");
    assert_int_equal(status_of(answer), status);
    if (word)
        assert_non_null(strstr(answer, word));
    gd_free(answer);
}

static void expect_location(char *answer, const char *where)
{
    GD_AUTO_FREE char *location = field_of(answer, "Location");

    assert_int_equal(status_of(answer), 303);
    assert_string_equal(location, where);
    gd_free(answer);
}

static void start(struct world *w)
{
    world_init(w);
    world_start(w);
}

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
    expect(get(&w, &b, "/end/" DOUBLE_FLOW), 200, "You declined at the platform.");
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

/* ---- what every answer carries ---- */

static void has(const char *answer, const char *name, const char *value)
{
    GD_AUTO_FREE char *found = field_of(answer, name);

    if (!found || !strstr(found, value))
        print_error("%s lacks in:\n%s\n", name, answer);
    assert_non_null(found);
    assert_non_null(strstr(found, value));
}

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

static char *raw(struct world *w, const char *text)
{
    int fd = dial(w);
    char *answer;

    say(fd, text);
    answer = hear_all(fd, NULL);
    (void)close(fd);
    return answer;
}

static void test_fields_everywhere(void **state)
{
    struct browser b = { 0 };
    struct world w;
    (void)state;

    world_init(&w);
    w.limits.head_ms = 100;
    world_start(&w);
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

/* ---- too many ---- */

static void test_rate(void **state)
{
    struct world w;
    int limited = 0, fd;
    GD_AUTO_FREE char *retry = NULL;
    (void)state;

    start(&w);
    fd = dial(&w);
    for (int i = 0; i < 90; i++) { /* one connection has at most 100 */
        say(fd, "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
        gd_free(hear(fd, false));
    }
    (void)close(fd);
    for (int i = 0; i < 60; i++) {
        GD_AUTO_FREE char *answer = ask(&w, "GET", "/nowhere", NULL, NULL);

        if (status_of(answer) == 429 && !limited++)
            retry = field_of(answer, "Retry-After");
    }
    assert_true(limited > 0);
    assert_string_equal(retry, "1");
    expect(ask(&w, "GET", "/health", NULL, NULL), 200, NULL);
    expect(ask_from(&w, "127.0.5.1", "GET", "/nowhere", NULL, NULL), 404, NULL); /* others are not */
    world_stop(&w);
}

/* Strangers guess: a network that guesses at many links is stopped, one that guesses at a single link waits,
 * and the owner of that link is not hindered by either (T20). */
static void test_guessing(void **state)
{
    struct browser b = { 0 };
    struct world w;
    int64_t took;
    int stopped = 0, fds[15];
    (void)state;

    start(&w);
    for (int i = 0; i < 30; i++) {
        GD_AUTO_FREE char *path = gd_strf("/a/ln01jdk3000000000000000001%02d/guess", i);
        GD_AUTO_FREE char *answer = ask_from(&w, "127.0.6.1", "GET", path, NULL, NULL);

        stopped += status_of(answer) == 429;
        assert_int_equal(status_of(answer), stopped ? 429 : 404);
    }
    assert_int_equal(stopped, 10);
    for (int i = 0; i < 15; i++) {
        fds[i] = dial_from(&w, "127.0.7.1");
        say(fds[i], "GET /a/" DOUBLE_LINK "/guess HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_true(world_settles(&w, "wrong", 35));
    took = ms_now();
    expect(get(&w, &b, DOUBLE_PATH), 200, NULL);
    expect(post(&w, &b, DOUBLE_PATH, "act=approve&app=acme"), 303, NULL);
    took = ms_now() - took;
    assert_true(took < 2000);
    for (int i = 0; i < 15; i++)
        (void)close(fds[i]);
    world_stop(&w);
}

static void test_guess_waits(void **state)
{
    struct world w;
    char from[32];
    int64_t took;
    (void)state;

    start(&w);
    for (int i = 0; i < 11; i++) {
        (void)snprintf(from, sizeof from, "127.1.%d.1", i);
        took = ms_now();
        expect(ask_from(&w, from, "GET", "/a/" DOUBLE_NONE "/" DOUBLE_SECRET, NULL, NULL), 404,
               "LINK_UNKNOWN");
        took = ms_now() - took;
    }
    assert_true(took >= 4500); /* the eleventh */
    took = ms_now();
    expect(ask(&w, "GET", DOUBLE_PATH, NULL, NULL), 200, NULL);
    assert_true(ms_now() - took < 2000);
    world_stop(&w);
}

static void test_posts_per_link(void **state)
{
    struct browser b = { 0 };
    struct world w;
    int limited = 0;
    (void)state;

    start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    for (int i = 0; i < 40; i++) {
        GD_AUTO_FREE char *answer = post(&w, &b, DOUBLE_PATH, "act=decline&item=it1");

        limited += status_of(answer) == 429;
    }
    assert_true(limited >= 5);
    assert_true(w.broker.declines <= 35);
    expect(get(&w, &b, DOUBLE_PATH), 200, NULL);
    world_stop(&w);
}

/* ---- proxies and TLS ---- */

static const char *const proxies[] = { "127.0.0.1", NULL };

static void test_proxy(void **state)
{
    struct world w;
    char *answer;
    GD_AUTO_FREE char *set = NULL;
    (void)state;

    world_init(&w);
    w.options.public_url = "https://grants.example/";
    w.options.trusted_proxies = proxies;
    world_start(&w);
    answer = ask(&w, "GET", DOUBLE_PATH,
                 "X-Forwarded-Proto: https\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n", NULL);
    assert_string_equal(w.broker.last_address, "203.0.113.9");
    has(answer, "Strict-Transport-Security", "max-age=31536000");
    set = field_of(answer, "Set-Cookie");
    assert_memory_equal(set, "__Host-grantd=", 14);
    assert_string_equal(set + 14 + 43, "; Path=/; Secure; HttpOnly; SameSite=Lax");
    has(answer, "Content-Security-Policy", "form-action 'self' https:;");
    expect(answer, 200, NULL);
    expect(ask(&w, "GET", DOUBLE_PATH, "X-Forwarded-Proto: http\r\n", NULL), 403, "PORTAL_TLS_REQUIRED");
    expect(ask(&w, "GET", DOUBLE_PATH, "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", NULL), 403,
           NULL);
    expect(ask_from(&w, "127.0.0.2", "GET", DOUBLE_PATH, "X-Forwarded-Proto: https\r\n", NULL), 403,
           "PORTAL_TLS_REQUIRED");
    expect(ask_from(&w, "127.0.0.2", "GET", "/health", NULL, NULL), 200, "ok");
    world_stop(&w);
}

/* A field from a stranger does not change whom the limits count (T19). */
static void test_forged_address(void **state)
{
    struct world w;
    (void)state;

    start(&w);
    expect(ask(&w, "GET", DOUBLE_PATH, "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=1.1.1.1\r\n", NULL),
           200, NULL);
    assert_string_equal(w.broker.last_address, "127.0.0.1");
    world_stop(&w);
}

static void refuses(const char *listen_at, const char *url, const char *cert, const char *const *trusted,
                    enum gd_reason reason)
{
    struct world w;

    world_init(&w);
    w.options.listen = listen_at;
    w.options.public_url = url;
    w.options.tls_cert = w.options.tls_key = cert;
    w.options.trusted_proxies = trusted;
    assert_int_equal(gd_portal_open(&w.portal, &w.loop, &w.options, &w.broker, gd_clock_system(), &w.rng.rng,
                                    NULL, &w.err),
                     -1);
    if (w.err.reason != reason)
        print_error("%s: %s\n", url ? url : "-", w.err.text);
    assert_int_equal(w.err.reason, reason);
    (void)uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    (void)fclose(w.log_file);
}

static void test_configurations(void **state)
{
    static const char *const nonsense[] = { "10.0.0.0/40", NULL };
    (void)state;

    refuses("127.0.0.1:0", "http://grants.example", NULL, NULL, GD_R_PORTAL_TLS_REQUIRED);
    refuses("127.0.0.1:0", "http://grants.example", NULL, proxies, GD_R_PORTAL_TLS_REQUIRED);
    refuses("127.0.0.1:0", "http://127.0.0.1.evil.example", NULL, NULL, GD_R_PORTAL_TLS_REQUIRED);
    refuses("127.0.0.1:0", "https://grants.example", NULL, NULL, GD_R_PORTAL_TLS_REQUIRED);
    refuses("0.0.0.0:0", "http://127.0.0.1", NULL, NULL, GD_R_PORTAL_TLS_REQUIRED);
    refuses("127.0.0.1:0", "http://127.0.0.1", "/nonexistent", NULL, GD_R_PORTAL_URL_INVALID);
    refuses("127.0.0.1:0", "https://127.0.0.1", "/nonexistent", NULL, GD_R_PORTAL_TLS_INVALID);
    refuses("127.0.0.1:0", "https://grants.example/path", NULL, proxies, GD_R_PORTAL_URL_INVALID);
    refuses("127.0.0.1:0", "https://u@grants.example", NULL, proxies, GD_R_PORTAL_URL_INVALID);
    refuses("127.0.0.1:0", "https://grants.example:x", NULL, proxies, GD_R_PORTAL_URL_INVALID);
    refuses("127.0.0.1:0", "https://", NULL, proxies, GD_R_PORTAL_URL_INVALID);
    refuses("127.0.0.1:0", "ftp://grants.example", NULL, proxies, GD_R_PORTAL_URL_INVALID);
    refuses("127.0.0.1:0", NULL, NULL, proxies, GD_R_PORTAL_URL_INVALID);
    refuses("somewhere:80", "http://127.0.0.1", NULL, NULL, GD_R_PORTAL_LISTEN_INVALID);
    refuses("127.0.0.1:0", "https://grants.example", NULL, nonsense, GD_R_PORTAL_PROXY_INVALID);
}

struct certs {
    char dir[64], a_crt[96], a_key[96], b_crt[96], b_key[96];
};

static void make_certs(struct certs *c)
{
    (void)snprintf(c->dir, sizeof c->dir, "/tmp/grantd-portal-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    make_cert(c->dir, "first");
    make_cert(c->dir, "second");
    (void)snprintf(c->a_crt, sizeof c->a_crt, "%s/first.crt", c->dir);
    (void)snprintf(c->a_key, sizeof c->a_key, "%s/first.key", c->dir);
    (void)snprintf(c->b_crt, sizeof c->b_crt, "%s/second.crt", c->dir);
    (void)snprintf(c->b_key, sizeof c->b_key, "%s/second.key", c->dir);
}

static void remove_certs(const struct certs *c)
{
    (void)unlink(c->a_crt);
    (void)unlink(c->a_key);
    (void)unlink(c->b_crt);
    (void)unlink(c->b_key);
    (void)rmdir(c->dir);
}

static void start_tls(struct world *w, const struct certs *c)
{
    world_init(w);
    w->options.public_url = "https://127.0.0.1";
    w->options.tls_cert = c->a_crt;
    w->options.tls_key = c->a_key;
    w->limits.handshake_ms = 300;
    world_start(w);
}

static char *tls_ask(SSL *ssl, const char *text)
{
    struct gd_buf b;
    char chunk[4096];
    const char *end, *len;
    int n;

    assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
    gd_buf_init(&b, 1 << 20);
    while ((n = SSL_read(ssl, chunk, sizeof chunk)) > 0) {
        gd_buf_add(&b, chunk, (size_t)n);
        end = strstr(b.ptr, "\r\n\r\n");
        len = end ? strstr(b.ptr, "Content-Length: ") : NULL;
        if (len && b.len >= (size_t)(end + 4 - b.ptr) + strtoul(len + 16, NULL, 10))
            break;
    }
    return gd_buf_steal(&b);
}

static void expect_name(const SSL *ssl, const char *name)
{
    X509 *x = SSL_get1_peer_certificate(ssl);
    char text[64] = "";

    assert_non_null(x);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, text, sizeof text);
    assert_string_equal(text, name);
    X509_free(x);
}

static void reload(struct world *w)
{
    assert_int_equal(gd_portal_reload_tls(w->portal, "/nonexistent", "/nonexistent", &w->err), -1);
    assert_int_equal(w->err.reason, GD_R_PORTAL_TLS_INVALID);
    assert_int_equal(gd_portal_reload_tls(w->portal, w->cert, w->options.tls_key, &w->err),
                     -1); /* not its key */
    assert_int_equal(gd_portal_reload_tls(w->portal, w->cert, w->key, &w->err), 0);
}

static void test_tls(void **state)
{
    static const char text[] = "GET " DOUBLE_PATH " HTTP/1.1\r\nHost: a\r\n\r\n";
    struct certs c;
    struct world w;
    SSL *old, *fresh;
    int a, b;
    (void)state;

    make_certs(&c);
    start_tls(&w, &c);
    a = dial(&w);
    old = tls_dial(a, 0, 0, "http/1.1");
    assert_non_null(old);
    expect_name(old, "first");
    expect(tls_ask(old, text), 200, "Strict-Transport-Security");
    w.cert = c.b_crt;
    w.key = c.b_key;
    world_do(&w, reload);
    expect(tls_ask(old, text), 200, "Set-Cookie: __Host-grantd="); /* goes on with what it began with */
    b = dial(&w);
    fresh = tls_dial(b, 0, 0, NULL);
    assert_non_null(fresh);
    expect_name(fresh, "second");
    expect(tls_ask(fresh, text), 200, NULL);
    SSL_free(old);
    SSL_free(fresh);
    (void)close(a);
    (void)close(b);
    world_stop(&w);
    remove_certs(&c);
}

static void test_tls_refused(void **state)
{
    struct certs c;
    struct world w;
    SSL *ssl;
    bool clean;
    char *answer;
    int fd;
    (void)state;

    make_certs(&c);
    start_tls(&w, &c);
    fd = dial(&w);
    assert_null(tls_dial(fd, TLS1_VERSION, TLS1_1_VERSION, NULL));
    (void)close(fd);
    fd = dial(&w);
    assert_null(tls_dial(fd, 0, 0, "h2"));
    (void)close(fd);
    fd = dial(&w);
    ssl = tls_dial(fd, TLS1_2_VERSION, TLS1_2_VERSION, NULL);
    assert_non_null(ssl);
    answer = tls_ask(ssl, "GET / HTTP/1.1\n");
    assert_int_equal(status_of(answer), 400);
    gd_free(answer);
    assert_int_equal(SSL_read(ssl, &clean, 1), 0);
    assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN); /* it said goodbye */
    SSL_free(ssl);
    (void)close(fd);
    fd = dial(&w);
    say(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* plain http on the TLS port: an alert, nothing of ours */
    answer = hear_all(fd, &clean);
    assert_null(strstr(answer, "HTTP/"));
    gd_free(answer);
    (void)close(fd);
    fd = dial(&w);
    say(fd, "\x16\x03\x01"); /* a hello that never ends */
    assert_true(ended(fd, 5000));
    (void)close(fd);
    world_stop(&w);
    remove_certs(&c);
}

/* Byte by byte through TLS, pipelined, and a large head. */
static void test_tls_split(void **state)
{
    static const char text[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    struct certs c;
    struct world w;
    SSL *ssl;
    int fd;
    (void)state;

    make_certs(&c);
    start_tls(&w, &c);
    fd = dial(&w);
    ssl = tls_dial(fd, 0, 0, NULL);
    assert_non_null(ssl);
    for (size_t i = 0; i + 1 < sizeof text - 1; i++)
        assert_int_equal(SSL_write(ssl, text + i, 1), 1);
    expect(tls_ask(ssl, "\n"), 200, "ok");
    for (int i = 0; i < 3; i++)
        expect(tls_ask(ssl, text), 200, "ok");
    SSL_free(ssl);
    (void)close(fd);
    world_stop(&w);
    remove_certs(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_approve),
        cmocka_unit_test(test_guided),
        cmocka_unit_test(test_go_on),
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_forms_refused),
        cmocka_unit_test(test_scanners),
        cmocka_unit_test(test_same_shape),
        cmocka_unit_test(test_fields_everywhere),
        cmocka_unit_test(test_cookie),
        cmocka_unit_test(test_open_redirects),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_guessing),
        cmocka_unit_test(test_guess_waits),
        cmocka_unit_test(test_posts_per_link),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_forged_address),
        cmocka_unit_test(test_configurations),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_refused),
        cmocka_unit_test(test_tls_split),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
