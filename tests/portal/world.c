/* tests/portal/world.c - see world.h. */
#include "world.h"

#include "base/mem.h"
#include "crypto/crypto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

static const unsigned char cookie_key[32] = "0123456789abcdef0123456789abcde";
static const unsigned char log_key[32] = "log";

int64_t ms_now(void)
{
    return gd_mono(gd_clock_system());
}

/* ---- the portal's clock ---- */

static _Atomic int64_t stands_at; /* 0: it goes */

static int64_t world_unix(const struct gd_clock *c)
{
    (void)c;
    return gd_now(gd_clock_system());
}

static int64_t world_mono(const struct gd_clock *c)
{
    int64_t at = stands_at;

    (void)c;
    return at ? at : ms_now();
}

static const struct gd_clock world_clock = { world_unix, world_mono };

void world_stop_clock(void)
{
    stands_at = ms_now();
}

/* ---- the loop's thread ---- */

static void on_wake(uv_async_t *a)
{
    struct world *w = a->data;

    if (w->job) {
        w->job(w);
        w->job = NULL;
        uv_sem_post(&w->done);
    }
}

static void on_thread(void *arg)
{
    struct world *w = arg;

    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
}

void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    (void)signal(SIGPIPE, SIG_IGN);
    w->limits = gd_portal_server_limits_default;
    w->limits.sweep_ms = 10;
    w->limits.drain_ms = 300;
    w->options = (struct gd_portal_options){ .listen = "127.0.0.1:0",
                                             .public_url = "http://127.0.0.1",
                                             .cookie_key = cookie_key };
    w->log_file = tmpfile();
    assert_non_null(w->log_file);
    gd_rng_seed(&w->rng, 7);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    double_init(&w->broker, &w->loop);
}

void world_start(struct world *w)
{
    w->options.limits = &w->limits;
    w->log = gd_log_new(fileno(w->log_file), GD_LOG_DEBUG, gd_clock_system(), log_key);
    w->wake.data = w;
    assert_int_equal(uv_async_init(&w->loop, &w->wake, on_wake), 0);
    assert_int_equal(uv_sem_init(&w->done, 0), 0);
    if (gd_portal_open(&w->portal, &w->loop, &w->options, &w->broker, &world_clock, &w->rng.rng, w->log,
                       &w->err) < 0)
        fail_msg("%s", w->err.text);
    w->port = gd_portal_port(w->portal);
    assert_int_equal(uv_thread_create(&w->thread, on_thread, w), 0);
}

void world_do(struct world *w, void (*job)(struct world *w))
{
    w->job = job;
    (void)uv_async_send(&w->wake);
    uv_sem_wait(&w->done);
}

static void nothing(struct world *w)
{
    (void)w;
}

static void on_portal_closed(void *arg)
{
    struct world *w = arg;

    uv_close((uv_handle_t *)&w->wake, NULL);
}

static void stop(struct world *w)
{
    gd_portal_close(w->portal, on_portal_closed, w);
}

void world_stop(struct world *w)
{
    stands_at = 0;
    world_do(w, stop);
    assert_int_equal(uv_thread_join(&w->thread), 0);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    uv_sem_destroy(&w->done);
    gd_log_free(w->log);
    (void)fclose(w->log_file);
    double_done(&w->broker);
}

static void take_status(struct world *w)
{
    w->status = gd_portal_status(w->portal);
}

long long world_status(struct world *w, const char *key)
{
    long long n;

    world_do(w, take_status);
    n = json_integer_value(json_object_get(w->status, key));
    json_decref(w->status);
    return n;
}

bool world_settles(struct world *w, const char *key, long long value)
{
    int64_t until = ms_now() + 8000;

    while (world_status(w, key) != value) {
        if (ms_now() > until)
            return false;
        (void)usleep(2000);
    }
    return true;
}

char *world_log(struct world *w)
{
    size_t n = 0, cap = (size_t)4 * 1024 * 1024;
    char *text = gd_new(cap + 1);
    ssize_t got;

    while (n < cap && (got = pread(fileno(w->log_file), text + n, cap - n, (off_t)n)) > 0)
        n += (size_t)got;
    return text;
}

/* ---- clients ---- */

int dial_from(struct world *w, const char *from)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w->port) };
    struct sockaddr_in local = { .sin_family = AF_INET };
    struct timeval t = { .tv_sec = 10 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    if (from) {
        assert_int_equal(inet_pton(AF_INET, from, &local.sin_addr), 1);
        assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof local), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

int dial(struct world *w)
{
    return dial_from(w, NULL);
}

bool say_some(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);

        if (put <= 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

void say(int fd, const char *text)
{
    assert_true(say_some(fd, text, strlen(text)));
}

char *hear_all(int fd, bool *ret_clean)
{
    struct gd_buf b;
    char chunk[4096];
    ssize_t n;

    gd_buf_init(&b, (size_t)16 * 1024 * 1024);
    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0)
        gd_buf_add(&b, chunk, (size_t)n);
    if (ret_clean)
        *ret_clean = n == 0;
    return gd_buf_steal(&b);
}

char *hear(int fd, bool head)
{
    struct gd_buf b;
    const char *end = NULL, *len;
    size_t want = 1;
    char c[1];

    gd_buf_init(&b, (size_t)4 * 1024 * 1024);
    while (!end || b.len < want) {
        if (recv(fd, c, 1, 0) != 1) {
            gd_buf_done(&b);
            return NULL;
        }
        gd_buf_add(&b, c, 1);
        if (!end && (end = strstr(b.ptr, "\r\n\r\n")) != NULL) {
            len = strstr(b.ptr, "Content-Length: ");
            want = b.len + (!head && len ? (size_t)strtoul(len + 16, NULL, 10) : 0);
        }
    }
    return gd_buf_steal(&b);
}

bool ended(int fd, int ms)
{
    int64_t until = ms_now() + ms;
    char chunk[4096];

    while (ms_now() < until) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (poll(&p, 1, 20) > 0 && recv(fd, chunk, sizeof chunk, 0) <= 0)
            return true;
    }
    return false;
}

int status_of(const char *answer)
{
    return answer && strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : -1;
}

char *field_of(const char *answer, const char *name)
{
    GD_AUTO_FREE char *start = gd_strf("\r\n%s: ", name);
    const char *end = strstr(answer, "\r\n\r\n"), *p = strstr(answer, start);

    if (!p || !end || p > end)
        return NULL;
    p += strlen(start);
    return gd_strndup(p, strcspn(p, "\r"));
}

char *ask_from(struct world *w, const char *from, const char *method, const char *path, const char *fields,
               const char *body)
{
    GD_AUTO_FREE char *length = body ? gd_strf("Content-Length: %zu\r\n", strlen(body)) : gd_strdup("");
    GD_AUTO_FREE char *text = gd_strf("%s %s HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n%s%s\r\n%s",
                                      method, path, fields ? fields : "", length, body ? body : "");
    int fd = dial_from(w, from);
    char *answer;

    say(fd, text);
    answer = hear_all(fd, NULL);
    (void)close(fd);
    world_do(w, nothing); /* whatever the loop did for it is visible from here on */
    return answer;
}

char *ask(struct world *w, const char *method, const char *path, const char *fields, const char *body)
{
    return ask_from(w, NULL, method, path, fields, body);
}

/* ---- TLS ---- */

static void save(const char *dir, const char *name, const char *suffix, X509 *x, EVP_PKEY *key)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s.%s", dir, name, suffix);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(x ? PEM_write_X509(f, x) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

void make_cert(const char *dir, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_NAME *n;

    assert_non_null(key);
    assert_non_null(x);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x), -60);
    (void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    (void)X509_set_pubkey(x, key);
    n = X509_get_subject_name(x);
    (void)X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    (void)X509_set_issuer_name(x, n);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    save(dir, name, "crt", x, NULL);
    save(dir, name, "key", NULL, key);
    X509_free(x);
    EVP_PKEY_free(key);
}

SSL *tls_dial(int fd, int min, int max, const char *alpn)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    unsigned char list[64];
    SSL *ssl;

    assert_non_null(ctx);
    (void)SSL_CTX_set_min_proto_version(ctx, min);
    (void)SSL_CTX_set_max_proto_version(ctx, max);
    SSL_CTX_set_security_level(ctx, 0);
    if (alpn) {
        list[0] = (unsigned char)strlen(alpn);
        memcpy(list + 1, alpn, strlen(alpn));
        (void)SSL_CTX_set_alpn_protos(ctx, list, list[0] + 1u);
    }
    ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_non_null(ssl);
    (void)SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}
