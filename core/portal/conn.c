/* portal/conn.c - one connection: bytes in, a request out, an answer back, and a deadline on every step. The
 * struct embeds its handle and is freed in the close callback only. */
#include "portal/server_int.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DROP_MAX (256 * 1024) /* bytes that are read after the last answer */

static void pump(struct gd_portal_conn *c);
static void flush(struct gd_portal_conn *c);

static int64_t now_of(const struct gd_portal_conn *c)
{
    return gd_mono(c->server->o.clock);
}

static void on_closed(uv_handle_t *h)
{
    struct gd_portal_conn *c = h->data;
    struct gd_portal_server *s = c->server;

    gd_portal_tls_free(c->tls);
    gd_portal_reader_done(&c->reader);
    gd_buf_done(&c->in);
    gd_buf_done(&c->pending);
    gd_buf_done(&c->flight);
    gd_list_del(&c->node);
    gd_free(c);
    gd_portal_server_conn_gone(s);
}

/* The application keeps its exchange; it only has nobody to answer any more. */
static void detach(struct gd_portal_conn *c)
{
    if (c->exchange)
        c->exchange->conn = NULL;
    c->exchange = NULL;
}

void gd_portal_conn_close(struct gd_portal_conn *c)
{
    if (c->state == GD_CONN_CLOSING)
        return;
    detach(c);
    c->state = GD_CONN_CLOSING;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

int gd_portal_conn_worth(const struct gd_portal_conn *c)
{
    if (c->state == GD_CONN_HANDSHAKE)
        return 1;
    if (c->state == GD_CONN_READING)
        return gd_portal_reader_begun(&c->reader) || c->in.len ? 1 : 2;
    return c->state == GD_CONN_DELAYED ? 2 : 0; /* who guesses must not keep others out while he waits */
}

/* ---- writing ----------------------------------------------------------------------------------------------
 */

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct gd_portal_conn *c = req->data;

    if (status < 0)
        gd_portal_conn_close(c);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct gd_portal_conn *c = h->data;
    (void)suggested;

    *buf = uv_buf_init(c->server->chunk, sizeof c->server->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void read_on(struct gd_portal_conn *c)
{
    if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0)
        gd_portal_conn_close(c);
}

/* The last answer is out: say goodbye, then listen for a moment without interest. */
static void drain(struct gd_portal_conn *c)
{
    c->state = GD_CONN_DRAINING;
    c->deadline = now_of(c) + c->server->limits.drain_ms;
    c->shutdown.data = c;
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) < 0)
        gd_portal_conn_close(c);
    else
        read_on(c);
}

static void next_request(struct gd_portal_conn *c)
{
    gd_portal_reader_done(&c->reader);
    gd_portal_reader_init(&c->reader);
    c->state = GD_CONN_READING;
    c->begun = 0;
    c->deadline = now_of(c) + c->server->limits.idle_ms;
    pump(c);
    if (c->state == GD_CONN_READING)
        read_on(c);
}

static void reply_sent(struct gd_portal_conn *c)
{
    if (c->last || c->server->closing)
        drain(c);
    else
        next_request(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct gd_portal_conn *c = req->data;

    c->busy = false;
    gd_buf_clear(&c->flight);
    if (c->state == GD_CONN_CLOSING)
        return;
    if (status < 0)
        gd_portal_conn_close(c);
    else
        flush(c);
}

static void take_cipher(struct gd_portal_conn *c)
{
    char chunk[4096];
    size_t n;

    while (c->tls && (n = gd_portal_tls_take(c->tls, chunk, sizeof chunk)) > 0)
        gd_buf_add(&c->pending, chunk, n);
}

/* Sends what there is; when all is out and an answer was being written, goes on. */
static void flush(struct gd_portal_conn *c)
{
    struct gd_buf swap;
    uv_buf_t b;

    if (c->busy || c->state == GD_CONN_CLOSING || c->state == GD_CONN_DELAYED)
        return;
    take_cipher(c);
    if (c->pending.len == 0) {
        if (c->state == GD_CONN_WRITING)
            reply_sent(c);
        return;
    }
    swap = c->flight;
    c->flight = c->pending;
    c->pending = swap;
    b = uv_buf_init(c->flight.ptr, (unsigned)c->flight.len);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_written) < 0)
        gd_portal_conn_close(c);
    else
        c->busy = true;
}

static bool put(struct gd_portal_conn *c, const char *p, size_t n)
{
    if (c->tls)
        return gd_portal_tls_write(c->tls, p, n);
    return gd_buf_add(&c->pending, p, n);
}

/* ---- answers ----------------------------------------------------------------------------------------------
 */

static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } all[] = {
        { 200, "OK" },
        { 303, "See Other" },
        { 400, "Bad Request" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].status == status)
            return all[i].text;
    return "Answer";
}

/* RFC 9110 6.6.1; names are written out because strftime's follow the locale. */
static void add_date(struct gd_buf *b, int64_t unix_ms)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)(unix_ms / 1000);
    struct tm tm;

    if (gmtime_r(&t, &tm))
        gd_buf_addf(b, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n", days + (ptrdiff_t)tm.tm_wday * 3,
                    tm.tm_mday, months + (ptrdiff_t)tm.tm_mon * 3, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                    tm.tm_sec);
}

static void write_reply(struct gd_portal_conn *c, const struct gd_portal_reply *r)
{
    struct gd_buf head;
    bool ok;

    gd_buf_init(&head, 65536);
    gd_buf_addf(&head, "HTTP/1.1 %d %s\r\n", r->status, status_text(r->status));
    add_date(&head, gd_now(c->server->o.clock));
    if (r->head.len)
        gd_buf_add(&head, r->head.ptr, r->head.len);
    gd_buf_addf(&head, "Content-Length: %zu\r\nConnection: %s\r\n\r\n", r->body.len,
                c->last ? "close" : "keep-alive");
    ok = !head.failed && put(c, head.ptr, head.len) && (c->head || put(c, r->body.ptr, r->body.len));
    gd_buf_done(&head);
    if (!ok) {
        gd_portal_conn_close(c);
        return;
    }
    if (c->last && c->tls)
        gd_portal_tls_end(c->tls);
}

/* The bytes are made at once, so that nothing has to be kept but them; a delay keeps them back. */
static void answer(struct gd_portal_conn *c, const struct gd_portal_reply *r, int64_t delay_ms)
{
    int64_t now = now_of(c);

    c->state = GD_CONN_DELAYED;
    c->due = now + delay_ms;
    write_reply(c, r);
    if (c->state == GD_CONN_CLOSING)
        return;
    if (delay_ms > 0) {
        take_cipher(c);
        return;
    }
    c->state = GD_CONN_WRITING;
    c->deadline = now + c->server->limits.write_ms;
    flush(c);
}

void gd_portal_conn_refuse(struct gd_portal_conn *c, int status, const char *why)
{
    struct gd_portal_reply r;

    detach(c);
    (void)uv_read_stop((uv_stream_t *)&c->tcp);
    c->server->refused++;
    c->last = true;
    c->head = false;
    gd_portal_reply_init(&r, status);
    c->server->o.on_refused(c->server->o.arg, &c->peer, status, why, &r);
    answer(c, &r, 0);
    gd_portal_reply_done(&r);
}

void gd_portal_exchange_answer(struct gd_portal_exchange *x, struct gd_portal_reply *reply, int64_t delay_ms)
{
    struct gd_portal_server *s = x->server;
    struct gd_portal_conn *c = x->conn;

    s->nexchanges--;
    if (c) {
        c->exchange = NULL;
        c->last = !x->request->keep_alive || s->closing || c->requests >= s->limits.requests_per_conn;
        c->head = x->request->method == GD_METHOD_HEAD;
        answer(c, reply, delay_ms);
    }
    gd_portal_reply_done(reply);
    gd_portal_request_free(x->request);
    gd_free(x);
    if (!c)
        gd_portal_server_conn_gone(s);
}

/* ---- reading ----------------------------------------------------------------------------------------------
 */

static void dispatch(struct gd_portal_conn *c)
{
    struct gd_portal_server *s = c->server;
    struct gd_portal_exchange *x = gd_new(sizeof *x);

    *x = (struct gd_portal_exchange){ gd_portal_reader_take(&c->reader), c->peer, c->begun, s, c };
    c->exchange = x;
    c->state = GD_CONN_RUNNING;
    c->deadline = c->total;
    c->requests++;
    s->requests++;
    s->nexchanges++;
    (void)uv_read_stop((uv_stream_t *)&c->tcp);
    s->o.on_request(s->o.arg, x);
}

/* Deadlines of a request that is not whole yet, each from the first byte of its part. */
static void on_progress(struct gd_portal_conn *c, bool was_body)
{
    const struct gd_portal_server_limits *l = &c->server->limits;
    int64_t now = now_of(c);

    if (c->begun == 0) {
        c->begun = now;
        c->total = now + l->total_ms;
        c->deadline = now + l->head_ms;
    }
    if (c->reader.in_body && !was_body)
        c->deadline = now + l->body_ms;
}

static void invite(struct gd_portal_conn *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    if (put(c, go_on, sizeof go_on - 1))
        flush(c);
}

static void pump(struct gd_portal_conn *c)
{
    while (c->state == GD_CONN_READING && c->in.len) {
        bool was_body = c->reader.in_body;
        size_t used = 0;
        enum gd_portal_read_end end = gd_portal_reader_feed(&c->reader, c->in.ptr, c->in.len, &used);

        on_progress(c, was_body);
        gd_buf_consume(&c->in, used);
        if (end == GD_READ_REFUSED)
            gd_portal_conn_refuse(c, c->reader.status, c->reader.why);
        else if (end == GD_READ_DONE)
            dispatch(c);
        else if (c->reader.in_body && !was_body && c->reader.request->expects && c->in.len == 0)
            invite(c);
    }
}

/* Plain bytes out of what TLS was fed. False when the peer ended or broke it. */
static bool pull(struct gd_portal_conn *c)
{
    char chunk[4096];
    long n;

    while ((n = gd_portal_tls_read(c->tls, chunk, sizeof chunk)) > 0)
        if (c->state != GD_CONN_DRAINING && !gd_buf_add(&c->in, chunk, (size_t)n))
            return false;
    gd_wipe(chunk, sizeof chunk);
    if (c->state == GD_CONN_HANDSHAKE && gd_portal_tls_ready(c->tls)) {
        c->state = GD_CONN_READING;
        c->deadline = now_of(c) + c->server->limits.head_ms;
    }
    return n == 0;
}

static void on_bytes(struct gd_portal_conn *c, const char *p, size_t n)
{
    bool alive = true;

    if (c->tls) {
        gd_portal_tls_feed(c->tls, p, n);
        alive = pull(c);
        flush(c); /* handshake, alerts */
    } else {
        alive = gd_buf_add(&c->in, p, n);
    }
    if (alive || c->in.len)
        pump(c);
    if (!alive && (c->state == GD_CONN_READING || c->state == GD_CONN_HANDSHAKE))
        gd_portal_conn_close(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct gd_portal_conn *c = stream->data;

    if (c->state == GD_CONN_CLOSING || n == 0)
        return;
    if (n < 0) {
        gd_portal_conn_close(c);
        return;
    }
    if (c->state == GD_CONN_DRAINING) {
        c->dropped += (size_t)n;
        if (c->dropped > DROP_MAX)
            gd_portal_conn_close(c);
        return;
    }
    on_bytes(c, buf->base, (size_t)n);
    gd_wipe(buf->base, (size_t)n);
}

/* ---- life -------------------------------------------------------------------------------------------------
 */

void gd_portal_conn_sweep(struct gd_portal_conn *c, int64_t now)
{
    if (c->state == GD_CONN_DELAYED && now >= c->due) {
        c->state = GD_CONN_WRITING;
        c->deadline = now + c->server->limits.write_ms;
        flush(c);
        return;
    }
    if (now < c->deadline || c->state == GD_CONN_CLOSING || c->state == GD_CONN_DELAYED)
        return;
    if (c->state != GD_CONN_DRAINING)
        c->server->timeouts++;
    if (c->state == GD_CONN_READING && gd_portal_conn_worth(c) == 1)
        gd_portal_conn_refuse(c, 408, "the request did not arrive in time");
    else if (c->state == GD_CONN_RUNNING)
        gd_portal_conn_refuse(c, 503, "the answer was not ready in time");
    else
        gd_portal_conn_close(c);
}

static bool peer_of(struct gd_portal_conn *c)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;

    return uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&ss, &n) == 0 &&
           gd_portal_address_from(&c->peer, (const struct sockaddr *)&ss);
}

static bool set_up(struct gd_portal_conn *c)
{
    struct gd_portal_server *s = c->server;
    int64_t now = now_of(c);

    if (!peer_of(c))
        return false;
    c->exempt = gd_portal_address_trusted(&c->peer, s->exempt, s->o.nexempt);
    c->state = s->tls ? GD_CONN_HANDSHAKE : GD_CONN_READING;
    c->deadline = now + (s->tls ? s->limits.handshake_ms : s->limits.head_ms);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    c->tls = s->tls ? gd_portal_tls_new(s->tls) : NULL;
    return !s->tls || c->tls;
}

void gd_portal_conn_accept(struct gd_portal_server *s)
{
    struct gd_portal_conn *c = gd_new(sizeof *c);

    c->server = s;
    c->tcp.data = c;
    gd_portal_reader_init(&c->reader);
    gd_buf_init(&c->in, GD_PORTAL_HEAD_MAX + GD_PORTAL_BODY_MAX + (size_t)4 * GD_READ_CHUNK);
    gd_buf_init(&c->pending, (size_t)4 * 1024 * 1024);
    gd_buf_init(&c->flight, (size_t)4 * 1024 * 1024);
    gd_list_add(&s->conns, &c->node);
    s->nconns++;
    c->state = GD_CONN_READING;
    if (uv_tcp_init(s->loop, &c->tcp) < 0 || uv_accept((uv_stream_t *)&s->tcp, (uv_stream_t *)&c->tcp) < 0 ||
        !set_up(c))
        gd_portal_conn_close(c);
    else
        read_on(c);
}
