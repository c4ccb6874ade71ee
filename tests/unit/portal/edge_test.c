/* The portal's edge: too many requests and guesses, proxies, where TLS is demanded, TLS itself (reliability:
 * T18 to T20). */
#include "base/mem.h"
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WRONG_WAITS 4500  /* ms that an answer is held back at least, after too many guesses */
#define HANDSHAKE   10000 /* ms for one that is to succeed, however slow the machine is */

/* ---- too many ---- */

static void test_rate(void **state)
{
    struct world w;
    int limited = 0, fd;
    GD_AUTO_FREE char *retry = NULL;
    (void)state;

    start(&w);
    world_stop_clock();
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
    world_stop_clock();
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
    assert_true(took < WRONG_WAITS);
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
    assert_true(took >= WRONG_WAITS); /* the eleventh */
    took = ms_now();
    expect(ask(&w, "GET", DOUBLE_PATH, NULL, NULL), 200, NULL);
    assert_true(ms_now() - took < WRONG_WAITS);
    world_stop(&w);
}

static void test_posts_per_link(void **state)
{
    struct browser b = { 0 };
    struct world w;
    int limited = 0;
    (void)state;

    start(&w);
    world_stop_clock();
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
/* The scheme's own port is no part of an origin. */
static void test_own_port(void **state)
{
    struct browser b = { 0 };
    struct world w;
    (void)state;

    world_init(&w);
    w.options.listen = "[::1]:0";
    w.options.public_url = "http://[::1]:80";
    world_start(&w);
    assert_true(w.port > 0);
    world_stop(&w);
    world_init(&w);
    w.options.public_url = "http://localhost:80/";
    world_start(&w);
    gd_free(get(&w, &b, DOUBLE_PATH));
    expect(post_with(&w, &b, DOUBLE_PATH, FORM_TYPE "Origin: http://localhost\r\n", "act=approve&app=acme"),
           303, NULL);
    expect(
        post_with(&w, &b, DOUBLE_PATH, FORM_TYPE "Origin: http://localhost:81\r\n", "act=approve&app=acme"),
        403, NULL);
    world_stop(&w);
}

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

static void start_tls(struct world *w, const struct certs *c, unsigned handshake_ms)
{
    world_init(w);
    w->options.public_url = "https://127.0.0.1";
    w->options.tls_cert = c->a_crt;
    w->options.tls_key = c->a_key;
    w->limits.handshake_ms = handshake_ms;
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
    start_tls(&w, &c, HANDSHAKE);
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
    start_tls(&w, &c, HANDSHAKE);
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
    world_stop(&w);
    start_tls(&w, &c, 300);
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
    start_tls(&w, &c, HANDSHAKE);
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
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_guessing),
        cmocka_unit_test(test_guess_waits),
        cmocka_unit_test(test_posts_per_link),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_own_port),
        cmocka_unit_test(test_forged_address),
        cmocka_unit_test(test_configurations),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_refused),
        cmocka_unit_test(test_tls_split),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
