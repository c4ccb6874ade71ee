/* See server.h. */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS   256
#define REQ_MAX (2 * 1024 * 1024)
#define PATHS   65536

struct conn {
    struct server *s;
    pthread_t thread;
    int fd;
    SSL *ssl;
    char *req;
    size_t len;
    unsigned nth; /* request on this connection, from 1 */
};
struct server {
    int fd, port;
    SSL_CTX *tls;
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t gate;
    struct conn *conns[CONNS];
    unsigned nconns;
    bool open;
    atomic_bool stop;
    atomic_uint accepts, requests, resumed;
    atomic_size_t bytes;
    char paths[PATHS], url[512];
    char *last;
};

static void nap(int ms)
{
    struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

    nanosleep(&ts, NULL);
}

static bool put(struct conn *c, const void *p, size_t n)
{
    const char *at = p;

    while (n) {
        long w = c->ssl ? SSL_write(c->ssl, at, (int)n) : send(c->fd, at, n, MSG_NOSIGNAL);

        if (w <= 0)
            return false;
        at += w;
        n -= (size_t)w;
    }
    return true;
}

static bool puts_(struct conn *c, const char *s)
{
    return put(c, s, strlen(s));
}

static long get(struct conn *c)
{
    char buf[16384];
    long n = c->ssl ? SSL_read(c->ssl, buf, sizeof buf) : recv(c->fd, buf, sizeof buf, 0);

    if (n <= 0 || c->len + (size_t)n >= REQ_MAX)
        return -1;
    memcpy(c->req + c->len, buf, (size_t)n);
    c->len += (size_t)n;
    c->req[c->len] = '\0';
    atomic_fetch_add(&c->s->bytes, (size_t)n);
    pthread_mutex_lock(&c->s->lock);
    free(c->s->last);
    c->s->last = strdup(c->req);
    pthread_mutex_unlock(&c->s->lock);
    return n;
}

/* Reads one request with its body; false when the peer went away. */
static bool read_request(struct conn *c)
{
    char *end, *cl;
    size_t want;

    c->len = 0;
    c->req[0] = '\0';
    while (!(end = strstr(c->req, "\r\n\r\n")))
        if (get(c) < 0)
            return false;
    cl = strcasestr(c->req, "\r\nContent-Length:");
    want = (size_t)(end + 4 - c->req) + (cl && cl < end ? strtoul(cl + 17, NULL, 10) : 0);
    while (c->len < want)
        if (get(c) < 0)
            return false;
    return true;
}

static void note_path(struct conn *c, char *path, size_t cap)
{
    struct server *s = c->s;
    char *sp = strchr(c->req, ' '), *stop = sp ? strchr(sp + 1, ' ') : NULL;
    size_t n = stop ? (size_t)(stop - sp - 1) : 0, have;

    n = n < cap ? n : cap - 1;
    memcpy(path, sp ? sp + 1 : "", n);
    path[n] = '\0';
    pthread_mutex_lock(&s->lock);
    have = strlen(s->paths);
    if (have + n + 2 < PATHS)
        snprintf(s->paths + have, PATHS - have, "%s ", path);
    pthread_mutex_unlock(&s->lock);
    atomic_fetch_add(&s->requests, 1);
}

static bool reply(struct conn *c, const char *status, const char *headers, const char *body)
{
    char head[1024];

    snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers,
             strlen(body));
    return puts_(c, head) && (!strncmp(c->req, "HEAD ", 5) || puts_(c, body));
}

/* A body of n bytes, with a length or in chunks. */
static bool big(struct conn *c, size_t n, bool chunked)
{
    char *block = malloc(65536), head[128];
    bool ok;

    memset(block, 'x', 65536);
    if (chunked)
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    else
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    ok = puts_(c, head);
    for (size_t left = n; ok && left;) {
        size_t k = left < 65536 ? left : 65536;

        if (chunked) {
            snprintf(head, sizeof head, "%zx\r\n", k);
            ok = puts_(c, head);
        }
        ok = ok && put(c, block, k) && (!chunked || puts_(c, "\r\n"));
        left -= k;
    }
    free(block);
    return ok && (!chunked || puts_(c, "0\r\n\r\n"));
}

static bool many_headers(struct conn *c, int n, int len)
{
    char *line = malloc((size_t)len + 64);
    bool ok = puts_(c, "HTTP/1.1 200 OK\r\n");

    for (int i = 0; ok && i < n; i++) {
        int at = snprintf(line, (size_t)len + 64, "X-%d: ", i);

        memset(line + at, 'y', (size_t)len);
        memcpy(line + at + len, "\r\n", 3);
        ok = puts_(c, line);
    }
    free(line);
    return ok && puts_(c, "Content-Length: 2\r\n\r\nok");
}

static bool trickle(struct conn *c, const char *text, int ms)
{
    for (; *text && !c->s->stop; text++) {
        if (!put(c, text, 1))
            return false;
        nap(ms);
    }
    return true;
}

static bool hang(struct conn *c)
{
    struct pollfd p = { c->fd, POLLIN, 0 };

    while (!c->s->stop && poll(&p, 1, 20) == 0)
        ;
    return false;
}

static bool wait_gate(struct conn *c)
{
    pthread_mutex_lock(&c->s->lock);
    while (!c->s->open && !c->s->stop)
        pthread_cond_wait(&c->s->gate, &c->s->lock);
    pthread_mutex_unlock(&c->s->lock);
    return reply(c, "200 OK", "", "gate");
}

struct fixed {
    const char *path, *bytes;
    bool close;
};
static const struct fixed fixed[] = {
    { "/cut-before", "", true },
    { "/cut-head", "HTTP/1.1 200 OK\r\nContent-Le", true },
    { "/cut-line", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", true },
    { "/cut-body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access_token\":", true },
    { "/cut-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"access", true },
    { "/cut-last-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", true },
    { "/chunked",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: "
      "X-After\r\n\r\n4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n"
      "X-After: yes\r\n\r\n",
      false },
    { "/302", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", false },
    { "/307", "HTTP/1.1 307 Temporary Redirect\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", false },
    { "/401", "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
      false },
    { "/cookie", "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", false },
    { "/gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x01",
      false },
    { "/204", "HTTP/1.1 204 No Content\r\n\r\n", false },
    { "/early",
      "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Twice: early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 200 OK\r\nX-Twice: late\r\nContent-Length: 2\r\n\r\nok",
      false },
    { "/only-interim", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", true },
    { "/101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", true },
    { "/garbage", "hello, this is no HTTP\r\n\r\n", true },
    { "/http09", "<html>captive portal</html>", true },
    { "/nul", "HTTP/1.1 200 OK\r\nX-A: a", true },
    { "/until-close", "HTTP/1.0 200 OK\r\n\r\nall there is", true },
    { "/no-date", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false },
    { "/no-colon", "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", true },
    { "/folded", "HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nX-B:\tb \t\r\nContent-Length: 0\r\n\r\n", false },
    { "/429", "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", false },
    { "/429-2", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n", false },
    { "/429-3600", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n",
      false },
    { "/429-date",
      "HTTP/1.1 429 Too Many Requests\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
      "Retry-After: Sat, 21 Nov 2026 10:30:00 GMT\r\nContent-Length: 0\r\n\r\n",
      false },
    { "/500", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", false },
    { "/400", "HTTP/1.1 400 Bad Request\r\nContent-Length: 25\r\n\r\n{\"error\":\"invalid_grant\"}", false },
};

static bool is(const char *path, const char *name)
{
    return !strcmp(path, name);
}

/* False: the connection ends. */
static bool act(struct conn *c, const char *path)
{
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (is(path, fixed[i].path))
            return puts_(c, fixed[i].bytes) && !fixed[i].close;
    if (is(path, "/nul-head"))
        return put(c, "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n", 49);
    if (is(path, "/nul-body"))
        return put(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na\0b", 41);
    if (is(path, "/echo"))
        return reply(c, "200 OK", "X-Path:  padded \r\n", c->req);
    if (is(path, "/big"))
        return big(c, 1024 * 1024, false);
    if (is(path, "/too-big"))
        return big(c, 1024 * 1024 + 1, false);
    if (is(path, "/too-big-chunked"))
        return big(c, 3 * 1024 * 1024, true);
    if (is(path, "/big-head"))
        return many_headers(c, 100, 1000);
    if (is(path, "/many-headers"))
        return many_headers(c, 300, 10);
    if (is(path, "/long-line"))
        return many_headers(c, 1, 200000);
    if (is(path, "/hang"))
        return hang(c);
    if (is(path, "/slow-head"))
        return trickle(
            c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            20);
    if (is(path, "/slow-body"))
        return puts_(c, "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n") &&
               trickle(c,
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                       20);
    if (is(path, "/split")) /* every byte of its own, but in time */
        return trickle(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok", 1);
    if (is(path, "/gate"))
        return wait_gate(c);
    if (is(path, "/die-second") && c->nth > 1)
        return false;
    if (!strncmp(path, "/date/", 6)) { /* %20-free: dashes stand for blanks */
        char head[128], date[64];

        snprintf(date, sizeof date, "%.60s", path + 6);
        for (char *p = date; *p; p++)
            *p = *p == '_' ? ' ' : *p;
        snprintf(head, sizeof head, "Date: %s\r\n", date);
        return reply(c, "200 OK", head, "");
    }
    return reply(c, "200 OK", "Content-Type: application/json\r\n", "{\"ok\":true}");
}

static bool handshake(struct conn *c)
{
    c->ssl = SSL_new(c->s->tls);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_accept(c->ssl) != 1)
        return false;
    if (SSL_session_reused(c->ssl))
        atomic_fetch_add(&c->s->resumed, 1);
    return true;
}

static void *serve(void *arg)
{
    struct conn *c = arg;
    char path[512];

    c->req = calloc(1, REQ_MAX);
    if (!c->s->tls || handshake(c)) {
        while (!c->s->stop && read_request(c)) {
            c->nth++;
            note_path(c, path, sizeof path);
            if (!act(c, path))
                break;
        }
        if (c->ssl)
            SSL_shutdown(c->ssl);
    }
    SSL_free(c->ssl);
    c->ssl = NULL;
    shutdown(c->fd, SHUT_RDWR);
    free(c->req);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct server *s = arg;

    while (!s->stop) {
        struct pollfd p = { s->fd, POLLIN, 0 };
        struct conn *c;
        int fd;

        if (poll(&p, 1, 50) <= 0 || (fd = accept(s->fd, NULL, NULL)) < 0)
            continue;
        atomic_fetch_add(&s->accepts, 1);
        if (s->nconns == CONNS) {
            close(fd);
            continue;
        }
        c = calloc(1, sizeof *c);
        c->s = s;
        c->fd = fd;
        pthread_mutex_lock(&s->lock);
        s->conns[s->nconns++] = c;
        pthread_mutex_unlock(&s->lock);
        if (pthread_create(&c->thread, NULL, serve, c))
            abort();
    }
    return NULL;
}

struct server *server_new(SSL_CTX *tls)
{
    struct server *s = calloc(1, sizeof *s);
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof sa;

    signal(SIGPIPE, SIG_IGN);
    s->tls = tls;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->gate, NULL);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->fd, (struct sockaddr *)&sa, sizeof sa) || listen(s->fd, 128) ||
        getsockname(s->fd, (struct sockaddr *)&sa, &n))
        abort();
    s->port = ntohs(sa.sin_port);
    if (pthread_create(&s->acceptor, NULL, accept_all, s))
        abort();
    return s;
}

void server_free(struct server *s)
{
    s->stop = true;
    server_let_go(s);
    pthread_join(s->acceptor, NULL);
    for (unsigned i = 0; i < s->nconns; i++) {
        shutdown(s->conns[i]->fd, SHUT_RDWR);
        pthread_join(s->conns[i]->thread, NULL);
        close(s->conns[i]->fd);
        free(s->conns[i]);
    }
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->gate);
    free(s->last);
    free(s);
}

int server_port(const struct server *s)
{
    return s->port;
}

const char *server_url(struct server *s, const char *path)
{
    snprintf(s->url, sizeof s->url, "%s://127.0.0.1:%d%s", s->tls ? "https" : "http", s->port, path);
    return s->url;
}

unsigned server_accepts(struct server *s)
{
    return s->accepts;
}

unsigned server_requests(struct server *s)
{
    return s->requests;
}

unsigned server_resumed(struct server *s)
{
    return s->resumed;
}

size_t server_bytes(struct server *s)
{
    return s->bytes;
}

char *server_paths(struct server *s)
{
    char *copy;

    pthread_mutex_lock(&s->lock);
    copy = strdup(s->paths);
    pthread_mutex_unlock(&s->lock);
    return copy;
}

char *server_last(struct server *s)
{
    char *copy;

    pthread_mutex_lock(&s->lock);
    copy = strdup(s->last ? s->last : "");
    pthread_mutex_unlock(&s->lock);
    return copy;
}

void server_let_go(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->open = true;
    pthread_cond_broadcast(&s->gate);
    pthread_mutex_unlock(&s->lock);
}
