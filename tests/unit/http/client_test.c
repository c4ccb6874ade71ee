/* The client against a nasty server: what an answer is, what is uncertain, what was never sent. */
#include "fixture.h"
#include "base/clock.h"
#include "http/http_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    fixture_plain(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

struct row {
    const char *path;
    enum gd_http_end end;
    int status;
    enum gd_reason reason;
    const char *body; /* NULL: not looked at */
};

/* Each twice: sent once on a fresh connection, and as a repeatable request. */
static const struct row rows[] = {
    { "/ok", GD_HTTP_ANSWER, 200, GD_R_OK, "{\"ok\":true}" },
    { "/400", GD_HTTP_ANSWER, 400, GD_R_OK, "{\"error\":\"invalid_grant\"}" },
    { "/204", GD_HTTP_ANSWER, 204, GD_R_OK, "" },
    { "/302", GD_HTTP_ANSWER, 302, GD_R_OK, "" },
    { "/307", GD_HTTP_ANSWER, 307, GD_R_OK, "" },
    { "/401", GD_HTTP_ANSWER, 401, GD_R_OK, "" },
    { "/chunked", GD_HTTP_ANSWER, 200, GD_R_OK, "{\"a\":1}" },
    { "/gzip", GD_HTTP_ANSWER, 200, GD_R_OK, "\x1f\x8b\x08\x01" },
    { "/early", GD_HTTP_ANSWER, 200, GD_R_OK, "ok" },
    { "/until-close", GD_HTTP_ANSWER, 200, GD_R_OK, "all there is" },
    { "/split", GD_HTTP_ANSWER, 200, GD_R_OK, "ok" },
    { "/big", GD_HTTP_ANSWER, 200, GD_R_OK, NULL },
    { "/cut-before", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_CUT, NULL },
    { "/cut-head", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_CUT, NULL },
    { "/cut-line", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_CUT, NULL },
    { "/cut-body", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_CUT, NULL },
    { "/cut-chunk", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_CUT, NULL },
    { "/cut-last-chunk", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_CUT, NULL },
    { "/only-interim", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_CUT, NULL },
    { "/101", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_INVALID, NULL },
    { "/garbage", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_INVALID, NULL },
    { "/http09", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_INVALID, NULL },
    { "/no-colon", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_INVALID, NULL },
    { "/nul-head", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_INVALID, NULL },
    { "/too-big", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_TOO_LARGE, NULL },
    { "/too-big-chunked", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_TOO_LARGE, NULL },
    { "/big-head", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_TOO_LARGE, NULL },
    { "/many-headers", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_TOO_LARGE, NULL },
    { "/long-line", GD_HTTP_UNCERTAIN, 0, GD_R_ANSWER_TOO_LARGE, NULL },
};

static void check_row(struct fixture *f, const struct row *row, bool repeatable, size_t n)
{
    char url[128] = "", app[32];
    struct gd_http_request r = fixture_request(url);
    unsigned before = server_requests(f->server);
    struct got g;

    snprintf(url, sizeof url, "https://good.test%s", row->path);
    snprintf(app, sizeof app, "test/%zu", n); /* breakers apart */
    r.app = app;
    r.method = "POST";
    r.body = "a=b";
    r.body_len = 3;
    r.repeatable = repeatable;
    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    if (g.end != row->end || g.status != row->status || g.err.reason != row->reason)
        fail_msg("%s: end %d status %d reason %s (%s)", row->path, g.end, g.status,
                 gd_reason_word(g.err.reason), g.err.text);
    if (row->body)
        assert_string_equal(g.body, row->body);
    if (!repeatable)
        assert_int_equal(server_requests(f->server), before + 1);
    got_free(&g);
}

static void test_answers(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_row(*state, &rows[i], false, i);
        check_row(*state, &rows[i], true, i);
    }
}

static void test_timeouts(void **state)
{
    static const char *const paths[] = { "/hang", "/slow-head", "/slow-body" };
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        char url[64] = "";
        struct gd_http_request r = fixture_request(url);
        struct got g;

        snprintf(url, sizeof url, "https://good.test%s", paths[i]);
        r.timeout_ms = 250;
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        assert_int_equal(g.end, GD_HTTP_UNCERTAIN);
        assert_int_equal(g.err.reason, GD_R_PLATFORM_TIMEOUT);
        assert_in_range(g.took_ms, 200, 2000);
        got_free(&g);
    }
}

static void test_request_as_sent(void **state)
{
    struct fixture *f = *state;
    static const struct gd_http_header headers[] = { { "Content-Type", "application/x-www-form-urlencoded" },
                                                     { "Authorization", "Basic abc" },
                                                     { "X-Empty", "" } };
    struct gd_http_request r = { .method = "POST",
                                 .url = "https://good.test/echo",
                                 .headers = headers,
                                 .nheaders = 3,
                                 .body = "grant_type=refresh_token",
                                 .body_len = 24,
                                 .app = "test/a",
                                 .timeout_ms = 5000 };
    struct got g;

    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    assert_int_equal(g.status, 200);
    assert_non_null(strstr(g.body, "POST /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(g.body, "\r\nAuthorization: Basic abc\r\n"));
    assert_non_null(strstr(g.body, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(g.body, "\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
    assert_non_null(strstr(g.body, "\r\nAccept-Encoding: identity\r\n"));
    assert_non_null(strstr(g.body, "\r\nUser-Agent: grantd/"));
    assert_non_null(strstr(g.body, "\r\nContent-Length: 24\r\n"));
    assert_non_null(strstr(g.body, "\r\n\r\ngrant_type=refresh_token"));
    assert_null(strstr(g.body, "Expect"));
    assert_null(strstr(g.body, "Cookie"));
    assert_non_null(strstr(g.headers, "x-path=padded\n"));
    got_free(&g);
}

static void check_method(struct fixture *f, const char *method, const char *body)
{
    struct gd_http_request r = fixture_request("https://good.test/echo");
    char line[64];
    struct got g;

    r.method = method;
    r.body = body;
    r.body_len = body ? strlen(body) : 0;
    r.repeatable = true;
    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    if (g.status != 200)
        fail_msg("%s: %s", method, g.err.text);
    snprintf(line, sizeof line, "%s /echo HTTP/1.1\r\n", method);
    if (strcmp(method, "HEAD") != 0)
        assert_ptr_equal(strstr(g.body, line), g.body);
    if (body)
        assert_non_null(strstr(g.body, body));
    got_free(&g);
}

/* One handle serves all of them in turn: nothing of one may stick to the next. */
static void test_methods(void **state)
{
    static const char *const methods[] = { "POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "GET", "POST" };

    for (size_t i = 0; i < 8; i++) {
        check_method(*state, methods[i], NULL);
        if (strcmp(methods[i], "HEAD") != 0)
            check_method(*state, methods[i], "some body");
    }
}

static void test_redirect_cookie_gzip(void **state)
{
    struct fixture *f = *state;
    char *paths;
    struct got g;

    fixture_get(f, &g, "https://good.test/302");
    assert_non_null(strstr(g.headers, "location=/ok\n"));
    got_free(&g);
    fixture_get(f, &g, "https://good.test/cookie");
    got_free(&g);
    fixture_get(f, &g, "https://good.test/echo");
    assert_null(strstr(g.body, "ookie"));
    got_free(&g);
    paths = server_paths(f->server);
    assert_string_equal(paths, "/302 /cookie /echo ");
    free(paths);
}

static void test_headers_of_answers(void **state)
{
    struct fixture *f = *state;
    struct got g;

    fixture_get(f, &g, "https://good.test/folded");
    assert_int_equal(g.status, 200);
    assert_non_null(strstr(g.headers, "x-b=b\n"));
    assert_null(strstr(g.headers, "colon"));
    got_free(&g);
    fixture_get(f, &g, "https://good.test/early");
    assert_non_null(strstr(g.headers, "x-twice=late\n"));
    assert_null(strstr(g.headers, "early"));
    assert_null(strstr(g.headers, "link"));
    got_free(&g);
    fixture_get(f, &g, "https://good.test/chunked");
    assert_null(strstr(g.headers, "x-after"));
    got_free(&g);
    fixture_get(f, &g, "https://good.test/nul-body");
    assert_int_equal(g.body_len, 3);
    got_free(&g);
}

static void test_origin_star(void **state)
{
    struct fixture *f = *state;
    struct got g;
    char *paths;

    fixture_get(f, &g, "https://acme.shop.test/admin?x=1");
    assert_int_equal(g.status, 200);
    got_free(&g);
    paths = server_paths(f->server);
    assert_string_equal(paths, "/acme/admin?x=1 ");
    free(paths);
}

/* What must not be repeated goes out on a connection of its own, however many are open. */
static void test_fresh_connections(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://good.test/ok");
    struct got g;

    for (int i = 0; i < 3; i++) {
        r.repeatable = true;
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        got_free(&g);
    }
    assert_int_equal(server_accepts(f->server), 1);
    for (int i = 0; i < 3; i++) {
        r.repeatable = false;
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        assert_int_equal(g.status, 200);
        got_free(&g);
    }
    assert_int_equal(server_accepts(f->server), 4);
    r.repeatable = true; /* and theirs are never used again */
    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    got_free(&g);
    assert_int_equal(server_accepts(f->server), 4);
}

/* A sender may allow the reuse without making it repeatable; the one beside it stays on its own connection.
 */
static void test_allowed_reuse(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://good.test/ok");
    struct got g;

    r.method = "POST";
    r.body = "grant_type=refresh_token";
    r.body_len = strlen(r.body);
    for (int i = 0; i < 6; i++) {
        r.reuse = i % 2 == 0;
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        assert_int_equal(g.status, 200);
        got_free(&g);
    }
    assert_int_equal(server_accepts(f->server), 4); /* one for three, three of their own */
    r.reuse = true;
    r.url = "https://good.test/die-second"; /* dies under it: sent again on a fresh one, and answered */
    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_ANSWER);
    got_free(&g);
    assert_int_equal(server_requests(f->server), 8);
    assert_int_equal(server_accepts(f->server), 5);
}

/* The server takes the second request on a connection and closes: libcurl resends by itself, but only what
 * may be. */
static void test_reuse_death(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://good.test/die-second");
    struct got g;

    r.method = "POST";
    r.body = "once=1";
    r.body_len = 6;
    for (int i = 0; i < 4; i++) {
        r.repeatable = i % 2 == 0;
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        assert_int_equal(g.end, GD_HTTP_ANSWER);
        got_free(&g);
    }
    /* 1; 1 fresh; 1 died + 1 resent; 1 fresh */
    assert_int_equal(server_requests(f->server), 5);
    for (int i = 0; i < 20; i++) {
        unsigned before = server_requests(f->server);

        r.repeatable = true;
        r.url = "https://good.test/ok";
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        got_free(&g);
        r.repeatable = false;
        r.url = "https://good.test/cut-before";
        r.app = i < 3 ? "test/a" : i < 6 ? "test/b" : i < 9 ? "test/c" : "test/d";
        if (i == 12)
            break;
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        assert_int_equal(g.end, GD_HTTP_UNCERTAIN);
        got_free(&g);
        assert_int_equal(server_requests(f->server), before + 2);
    }
}

static void test_not_sent(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t n = sizeof sa;
    char target[64];
    struct got g;

    fixture_stop(f);
    memset(f, 0, sizeof *f);
    assert_int_equal(bind(deaf, (struct sockaddr *)&sa, sizeof sa), 0); /* ours, and nobody listens there */
    assert_int_equal(getsockname(deaf, (struct sockaddr *)&sa, &n), 0);
    snprintf(target, sizeof target, "http://127.0.0.1:%d", ntohs(sa.sin_port));
    f->origins = json_pack("{s:s}", "https://good.test", target);
    fixture_start(f);
    fixture_get(f, &g, "https://good.test/ok");
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    assert_int_equal(g.err.reason, GD_R_CONNECT_FAILED);
    got_free(&g);
    fixture_get(f, &g, "https://none.test/ok");
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    assert_int_equal(g.err.reason, GD_R_RESOLVE_FAILED);
    got_free(&g);
    close(deaf);
}

/* A slow resolver stalls nobody: neither its time-out nor giving up waits for it. */
static void test_slow_resolver(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://slow.test/ok");
    struct got g;

    resolver_let_go = false;
    resolver_slow_over = 0;
    r.timeout_ms = 150;
    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    assert_int_equal(g.err.reason, GD_R_PLATFORM_TIMEOUT);
    got_free(&g);
    r.timeout_ms = 5000;
    fixture_send(f, &g, &r);
    fixture_turn(f, 50);
    f->t->cancel(f->t, &g.call);
    assert_null(g.call);
    fixture_turn(f, 20);
    assert_int_equal(g.order, 0);
    assert_int_equal(resolver_slow_over, 0); /* all that while it still asked */
    resolver_let_go = true;
}

/* ---- cancel and close in every state
 * ------------------------------------------------------------------------------ */
static void test_cancel(void **state)
{
    struct fixture *f = *state;
    struct gd_http_limits one = { .concurrency = 1 };
    struct gd_http_request r = fixture_request("https://good.test/hang"), bad = fixture_request("ftp://x/");
    struct got flying, waiting, ready, after;

    gd_http_client_set_limits(f->client, "test/a", &one);
    fixture_send(f, &flying, &r);
    fixture_send(f, &waiting, &r);
    fixture_send(f, &ready, &bad);
    f->t->cancel(f->t, &ready.call);
    fixture_reaches(f, 1);
    fixture_turn(f, 20);
    assert_int_equal(server_requests(f->server), 1);
    f->t->cancel(f->t, &waiting.call);
    f->t->cancel(f->t, &flying.call);
    f->t->cancel(f->t, &flying.call); /* NULL is fine */
    assert_true(!flying.call && !waiting.call && !ready.call);
    r.url = "https://good.test/ok";
    fixture_send(f, &after, &r); /* the slot is free again */
    fixture_wait(f, &after);
    assert_int_equal(after.status, 200);
    assert_int_equal(flying.order + waiting.order + ready.order, 0);
    got_free(&after);
}

static void test_cancel_mid_answer(void **state)
{
    static const char *const urls[] = { "https://good.test/slow-head", "https://good.test/slow-body" };
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        struct gd_http_request r = fixture_request(urls[i]);
        struct got g;

        fixture_send(f, &g, &r);
        fixture_turn(f, 100);
        f->t->cancel(f->t, &g.call);
        fixture_turn(f, 30);
        assert_int_equal(g.order, 0);
    }
}

struct inside {
    struct fixture *f;
    struct gd_http_call *call;
    struct got next;
    int calls;
};

static void cancel_inside(void *arg, const struct gd_http_answer *a)
{
    struct inside *in = arg;
    struct gd_http_request r = fixture_request("https://good.test/ok");

    assert_int_equal(a->status, 200);
    in->f->t->cancel(in->f->t, &in->call); /* of the very call that is being delivered */
    assert_string_equal(a->body, "{\"ok\":true}");
    fixture_send(in->f, &in->next, &r);
    in->calls++;
}

static void test_cancel_inside(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://good.test/ok");
    struct inside in = { .f = f };

    in.call = f->t->send(f->t, &r, cancel_inside, &in);
    while (!in.calls)
        uv_run(&f->loop, UV_RUN_ONCE);
    fixture_wait(f, &in.next);
    assert_int_equal(in.calls, 1);
    assert_int_equal(in.next.status, 200);
    got_free(&in.next);
}

static void never(void *arg, const struct gd_http_answer *a)
{
    (void)arg;
    (void)a;
    fail_msg("called back after close");
}

static void test_close_with_everything(void **state)
{
    struct fixture *f = *state;
    struct gd_http_limits one = { .concurrency = 1 };
    struct gd_http_request hang = fixture_request("https://good.test/hang"),
                           bad = fixture_request("ftp://x/"), slow = fixture_request("https://slow.test/"),
                           kept = fixture_request("https://good.test/ok");
    struct got g;

    resolver_let_go = false;
    kept.repeatable = true;
    fixture_send(f, &g, &kept); /* an idle connection */
    fixture_wait(f, &g);
    got_free(&g);
    gd_http_client_set_limits(f->client, "test/a", &one);
    f->t->send(f->t, &hang, never, NULL);
    f->t->send(f->t, &hang, never, NULL);
    slow.app = "test/slow";
    f->t->send(f->t, &slow, never, NULL);
    fixture_turn(f, 50);
    f->t->send(f->t, &bad, never, NULL);
    resolver_let_go = true;
    /* tear_down closes and fails when a handle is left */
}

struct closing {
    struct fixture *f;
    bool closed;
    int calls;
};

static void set_true(void *arg)
{
    ((struct closing *)arg)->closed = true;
}

static void close_inside(void *arg, const struct gd_http_answer *a)
{
    struct closing *c = arg;

    (void)a;
    c->calls++;
    gd_http_client_close(c->f->client, set_true, c);
}

/* Closing from within a callback: the second answer that was ready in the same turn never comes. */
static void test_close_inside(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct closing c = { .f = f };
    struct gd_http_request bad = fixture_request("ftp://x/");

    (void)state;
    fixture_start(f);
    f->t->send(f->t, &bad, close_inside, &c);
    f->t->send(f->t, &bad, never, NULL);
    while (uv_run(&f->loop, UV_RUN_ONCE))
        ;
    assert_true(c.closed);
    assert_int_equal(c.calls, 1);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    struct gd_http_limits wide = { .concurrency = 32 };
    struct gd_http_request r = fixture_request("https://good.test/ok");
    struct got all[200];

    r.repeatable = true;
    gd_http_client_set_limits(f->client, "test/a", &wide);
    for (int i = 0; i < 200; i++)
        fixture_send(f, &all[i], &r);
    for (int i = 0; i < 200; i++) {
        fixture_wait(f, &all[i]);
        assert_int_equal(all[i].status, 200);
        got_free(&all[i]);
    }
    assert_in_range(server_accepts(f->server), 1, 32);
    assert_int_equal(server_requests(f->server), 200);
}

#ifndef HTTP_THREADED /* looks into the client itself */
static size_t sockets(const struct gd_http_client *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->nsocks; i++)
        n += c->socks[i] != NULL;
    return n;
}

static void count_turn(uv_prepare_t *h)
{
    ++*(unsigned *)h->data;
}

/* A socket's handle goes with the socket; one that is kept costs nothing while it lies, not even when the
 * server has closed it. */
static void test_sockets(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://good.test/ok");
    unsigned turns = 0;
    uv_prepare_t prepare;
    struct got g;

    for (int i = 0; i < 6; i++) {
        r.repeatable = i % 2;
        r.url = i == 3   ? "https://none.test/"
                : i == 4 ? "https://good.test/cut-body"
                         : "https://good.test/ok";
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        got_free(&g);
    }
    fixture_turn(f, 30);
    assert_int_equal(sockets(f->client), 1); /* the one that is kept */
    server_free(f->server);
    f->server = NULL;
    uv_prepare_init(&f->loop, &prepare);
    prepare.data = &turns;
    uv_prepare_start(&prepare, count_turn);
    fixture_turn(f, 100);
    uv_close((uv_handle_t *)&prepare, NULL);
    assert_true(turns < 20);
    fixture_send(f, &g, &r); /* found dead, and nobody listens any more */
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    got_free(&g);
    fixture_turn(f, 30);
    assert_int_equal(sockets(f->client), 0);
}
#endif

static void test_options_checked(void **state)
{
    static const char *const bad[][2] = {
        { "https://a.test", "http://192.0.2.1/" }, /* plain http that leaves the machine */
        { "https://a.test", "http://example.com" }, { "http://a.test", "https://b.test" },
        { "https://A.test", "https://b.test" },     { "https://a.test:443", "https://b.test" },
        { "https://a.test/", "https://b.test" },    { "https://x*.a.test", "https://b.test" },
        { "https://a.test", "https://*.b.test" },   { "https://a.test", "https://b.test/?x" },
    };
    uv_loop_t loop;

    (void)state;
    uv_loop_init(&loop);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct gd_http_options o = { .origins = json_pack("{s:s}", bad[i][0], bad[i][1]) };
        struct gd_err err = { 0 };

        assert_null(gd_http_client_new(&loop, &o, gd_clock_system(), NULL, &err));
        assert_int_equal(err.reason, GD_R_URL_INVALID);
        json_decref(o.origins);
    }
    {
        struct gd_http_options o = { .ca_file = "/nonexistent/ca.pem" };
        struct gd_err err = { 0 };

        assert_null(gd_http_client_new(&loop, &o, gd_clock_system(), NULL, &err));
        assert_int_equal(err.reason, GD_R_CONFIG_UNREADABLE);
        o = (struct gd_http_options){ .allow_private = json_pack("[s]", "intranet") };
        assert_null(gd_http_client_new(&loop, &o, gd_clock_system(), NULL, &err));
        assert_int_equal(err.reason, GD_R_URL_INVALID);
        json_decref(o.allow_private);
    }
    uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timeouts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_request_as_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_methods, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redirect_cookie_gzip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_headers_of_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_origin_star, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fresh_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_allowed_reuse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reuse_death, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_resolver, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_mid_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel_inside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_with_everything, set_up, tear_down),
        cmocka_unit_test(test_close_inside),
        cmocka_unit_test_setup_teardown(test_many_at_once, set_up, tear_down),
#ifndef HTTP_THREADED
        cmocka_unit_test_setup_teardown(test_sockets, set_up, tear_down),
#endif
        cmocka_unit_test(test_options_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
