/* portal/server.c - the listener, the sweep that enforces every deadline, and who is let in. A connection
 * that is not let in yet stays in libuv's hand: as long as it is not accepted, the listener is not polled. */
#include "portal/server_int.h"

#include "base/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const struct gd_portal_server_limits gd_portal_server_limits_default = {
    .handshake_ms = 5000,
    .head_ms = 10000,
    .body_ms = 15000,
    .idle_ms = 30000,
    .total_ms = 60000,
    .write_ms = 15000,
    .drain_ms = 1000,
    .grace_ms = 5000,
    .sweep_ms = 250,
    .conns = GD_PORTAL_CONNS_MAX,
    .conns_per_address = GD_PORTAL_CONNS_PER_ADDRESS,
    .requests_per_conn = 100,
};

void gd_portal_reply_init(struct gd_portal_reply *r, int status)
{
    r->status = status;
    gd_buf_init(&r->head, 32768);
    gd_buf_init(&r->body, (size_t)2 * 1024 * 1024);
}

void gd_portal_reply_done(struct gd_portal_reply *r)
{
    gd_buf_done(&r->head);
    gd_buf_done(&r->body);
}

/* ---- who is let in ----------------------------------------------------------------------------------------
 */

/* The lowest free descriptor: at least so many files are open. */
static unsigned open_files(void)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return UINT32_MAX;
    (void)close(fd);
    return (unsigned)fd;
}

static unsigned default_fds(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur == RLIM_INFINITY || rl.rlim_cur > 1u << 20)
        return 1u << 20;
    return (unsigned)rl.rlim_cur / 10 * 8;
}

/* The oldest of those that may be given up most readily; of one address when addr is given. */
static struct gd_portal_conn *victim(struct gd_portal_server *s, const struct gd_portal_address *addr,
                                     int least)
{
    struct gd_portal_conn *best = NULL;

    gd_list_each(n, &s->conns)
    {
        struct gd_portal_conn *c = gd_container_of(n, struct gd_portal_conn, node);
        int worth = gd_portal_conn_worth(c);

        if (addr && memcmp(addr, &c->peer, sizeof *addr) != 0)
            continue;
        if (worth >= least && (!best || worth > gd_portal_conn_worth(best)))
            best = c;
    }
    return best;
}

static bool evict(struct gd_portal_server *s, const struct gd_portal_address *addr, int least)
{
    struct gd_portal_conn *c = victim(s, addr, least);

    if (!c)
        return false;
    s->evicted++;
    gd_portal_conn_close(c);
    return true;
}

/* True when there is room for one more. A closed connection's descriptor is free at once, its memory a turn
 * later. */
static bool room(struct gd_portal_server *s)
{
    unsigned living = 0;

    gd_list_each(n, &s->conns) living +=
        gd_container_of(n, struct gd_portal_conn, node)->state != GD_CONN_CLOSING;
    if (living >= s->limits.conns)
        return evict(s, NULL, 1);
    if (open_files() >= s->limits.fds)
        return evict(s, NULL, 2);
    return true;
}

/* The newest connection is one too many for its address: an idle one of that address goes first, then itself.
 */
static void check_address(struct gd_portal_server *s, struct gd_portal_conn *newest)
{
    struct gd_portal_conn *idle;
    unsigned n = 0;

    if (newest->exempt || newest->state == GD_CONN_CLOSING)
        return;
    gd_list_each(i, &s->conns)
    {
        struct gd_portal_conn *c = gd_container_of(i, struct gd_portal_conn, node);

        n += c->state != GD_CONN_CLOSING && memcmp(&c->peer, &newest->peer, sizeof c->peer) == 0;
    }
    if (n <= s->limits.conns_per_address)
        return;
    s->evicted++;
    idle = victim(s, &newest->peer, 2);
    gd_portal_conn_close(idle ? idle : newest);
}

static void let_in(struct gd_portal_server *s)
{
    if (s->closing || !s->waiting || !room(s))
        return;
    s->waiting = false;
    s->accepted++;
    gd_portal_conn_accept(s);
    if (!gd_list_empty(&s->conns))
        check_address(s, gd_container_of(s->conns.prev, struct gd_portal_conn, node));
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct gd_portal_server *s = stream->data;

    if (status < 0)
        return;
    s->waiting = true;
    let_in(s);
}

/* ---- life -------------------------------------------------------------------------------------------------
 */

static void on_gone(uv_handle_t *h)
{
    struct gd_portal_server *s = h->data;
    void (*done)(void *) = s->done;
    void *arg = s->done_arg;

    gd_portal_tls_context_free(s->tls);
    gd_free(s->exempt);
    gd_free(s);
    done(arg);
}

/* Ends the server once nobody refers to it: the timer is its last handle. */
static void end_if_over(struct gd_portal_server *s)
{
    if (!s->unbound || s->ending || s->nconns || s->nexchanges)
        return;
    s->ending = true;
    uv_close((uv_handle_t *)&s->timer, on_gone);
}

/* A connection was freed, or an exchange whose connection had gone was answered. */
void gd_portal_server_conn_gone(struct gd_portal_server *s)
{
    unsigned n = 0;

    gd_list_each(i, &s->conns) n++;
    s->nconns = n;
    let_in(s);
    end_if_over(s);
}

static void on_sweep(uv_timer_t *t)
{
    struct gd_portal_server *s = t->data;
    int64_t now = gd_mono(s->o.clock);

    for (struct gd_list *n = s->conns.next, *next = n->next; n != &s->conns; n = next, next = n->next)
        gd_portal_conn_sweep(gd_container_of(n, struct gd_portal_conn, node), now);
    let_in(s);
    end_if_over(s);
}

static void on_listener_closed(uv_handle_t *h)
{
    struct gd_portal_server *s = h->data;

    s->unbound = true;
    end_if_over(s);
}

void gd_portal_server_close(struct gd_portal_server *s, void (*done)(void *), void *arg)
{
    int64_t grace = gd_mono(s->o.clock) + s->limits.grace_ms;

    s->closing = true;
    s->done = done;
    s->done_arg = arg;
    uv_close((uv_handle_t *)&s->tcp, on_listener_closed);
    for (struct gd_list *n = s->conns.next, *next = n->next; n != &s->conns; n = next, next = n->next) {
        struct gd_portal_conn *c = gd_container_of(n, struct gd_portal_conn, node);

        if (c->state == GD_CONN_DELAYED)
            c->due = 0; /* the answer leaves now */
        else if (gd_portal_conn_worth(c))
            gd_portal_conn_close(c);
        else if (c->deadline > grace)
            c->deadline = grace;
    }
}

bool gd_portal_server_closing(const struct gd_portal_server *s)
{
    return s->closing;
}

static int bind_to(struct gd_portal_server *s, struct gd_err *err)
{
    int n = uv_tcp_bind(&s->tcp, (const struct sockaddr *)&s->o.listen, 0);

    if (n == 0)
        n = uv_listen((uv_stream_t *)&s->tcp, 512, on_connection);
    if (n < 0)
        return gd_err_set(err, GD_R_PORTAL_LISTEN_FAILED, "the portal's address cannot be bound: %s",
                          uv_strerror(n));
    return 0;
}

static void on_failed_closed(uv_handle_t *h)
{
    struct gd_portal_server *s = h->data;

    if (h == (uv_handle_t *)&s->tcp) {
        uv_close((uv_handle_t *)&s->timer, on_failed_closed);
        return;
    }
    gd_free(s->exempt);
    gd_free(s);
}

static struct gd_portal_server *make(uv_loop_t *loop, const struct gd_portal_server_options *o)
{
    struct gd_portal_server *s = gd_new(sizeof *s);

    s->loop = loop;
    s->o = *o;
    s->limits = o->limits ? *o->limits : gd_portal_server_limits_default;
    if (!s->limits.fds)
        s->limits.fds = default_fds();
    s->exempt = gd_new_array(o->nexempt + 1, sizeof *s->exempt);
    if (o->nexempt)
        memcpy(s->exempt, o->exempt, o->nexempt * sizeof *s->exempt);
    gd_list_init(&s->conns);
    (void)uv_tcp_init(loop, &s->tcp);
    (void)uv_timer_init(loop, &s->timer);
    s->tcp.data = s->timer.data = s;
    return s;
}

int gd_portal_server_open(struct gd_portal_server **ret, uv_loop_t *loop,
                          const struct gd_portal_server_options *o, struct gd_err *err)
{
    struct gd_portal_server *s = make(loop, o);

    if (bind_to(s, err) < 0) {
        uv_close((uv_handle_t *)&s->tcp, on_failed_closed);
        return -1;
    }
    s->tls = o->tls;
    (void)uv_timer_start(&s->timer, on_sweep, (uint64_t)s->limits.sweep_ms, (uint64_t)s->limits.sweep_ms);
    *ret = s;
    return 0;
}

int gd_portal_server_port(const struct gd_portal_server *s)
{
    struct sockaddr_storage ss;
    int n = sizeof ss;

    if (uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&ss, &n) < 0)
        return -1;
    if (ss.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&ss)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)&ss)->sin6_port);
}

void gd_portal_server_set_tls(struct gd_portal_server *s, struct gd_portal_tls_context *tls)
{
    gd_portal_tls_context_free(s->tls);
    s->tls = tls;
}

/* Connections on which a request (or a handshake) has begun and not come to its end. */
static unsigned unfinished(const struct gd_portal_server *s)
{
    unsigned n = 0;

    gd_list_each(i, &s->conns) n +=
        gd_portal_conn_worth(gd_container_of(i, struct gd_portal_conn, node)) == 1;
    return n;
}

json_t *gd_portal_server_status(const struct gd_portal_server *s)
{
    return json_pack("{s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:b}", "connections", (int)s->nconns,
                     "unfinished", (int)unfinished(s), "exchanges", (int)s->nexchanges, "accepted",
                     (json_int_t)s->accepted, "requests", (json_int_t)s->requests, "refused",
                     (json_int_t)s->refused, "timeouts", (json_int_t)s->timeouts, "evicted",
                     (json_int_t)s->evicted, "paused", s->waiting);
}
