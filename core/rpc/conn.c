/* rpc/conn.c - connections: who is there, bytes in, bytes out, and when to stop. */
#include "rpc/rpc_int.h"
#include "base/mem.h"

#include <string.h>
#include <unistd.h>

static const char too_many[] =
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32006,\"data\":{\"act\":\"later\","
    "\"reason\":\"PEERS_TOO_MANY\"},\"message\":\"there are too many connections, or too many "
    "of this user: close some, then connect again\"}}\n";
static const char unknown[] =
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32004,\"data\":{\"act\":\"denied\","
    "\"reason\":\"CALLER_UNKNOWN\"},\"message\":\"the kernel did not say who is at the other end "
    "of the socket\"}}\n";

/* ---- the end ----------------------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct gd_rpc *r = c->rpc;

    gd_buf_done(&c->in);
    gd_buf_done(&c->out);
    gd_buf_done(&c->sending);
    gd_http_free(c->http);
    gd_free(c);
    r->nconns--;
    gd_rpc_ended(r);
}

void gd_conn_cut(struct conn *c)
{
    struct gd_list *l;

    if (c->closing)
        return;
    c->closing = true;
    gd_watch_stop(c);
    while ((l = gd_list_pop(&c->frames)))
        gd_container_of(l, struct frame, link)->conn = NULL;
    gd_list_del(&c->link);
    gd_list_del(&c->dirty);
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

void gd_conn_last_word(struct conn *c)
{
    c->last_word = true;
    gd_watch_stop(c);
    gd_buf_clear(&c->in);
    gd_conn_touch(c);
}

/* ---- bytes out --------------------------------------------------------------------------------------------
 */

void gd_conn_touch(struct conn *c)
{
    if (!c->closing && gd_list_empty(&c->dirty))
        gd_list_add(&c->rpc->dirty, &c->dirty);
}

static void on_written(uv_write_t *w, int status)
{
    struct conn *c = w->data;

    c->writing = false;
    gd_buf_done(&c->sending);
    if (status < 0)
        gd_conn_cut(c);
    else
        gd_conn_touch(c);
}

static void write_rest(struct conn *c)
{
    uv_buf_t b;

    c->sending = c->out;
    gd_buf_init(&c->out, c->sending.max);
    b = uv_buf_init(c->sending.ptr, (unsigned)c->sending.len);
    c->write.data = c;
    c->writing = true;
    c->handed += c->sending.len;
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &b, 1, on_written) < 0) {
        c->writing = false;
        gd_conn_cut(c);
    }
}

/* As much as the kernel takes now; the rest when it can. */
static void flush(struct conn *c)
{
    uv_buf_t b;
    int n;

    if (c->writing || !c->out.len)
        return;
    b = uv_buf_init(c->out.ptr, (unsigned)c->out.len);
    n = uv_try_write((uv_stream_t *)&c->pipe, &b, 1);
    if (n < 0 && n != UV_EAGAIN) {
        gd_conn_cut(c);
        return;
    }
    c->handed += n > 0 ? (uint64_t)n : 0;
    if (n > 0 && (size_t)n == c->out.len)
        gd_buf_clear(&c->out);
    else if (n > 0)
        gd_buf_consume(&c->out, (size_t)n);
    if (c->out.len)
        write_rest(c);
    else if (c->out.cap > READ_SIZE)
        gd_buf_done(&c->out); /* a long answer does not keep its memory */
}

static void cut_unread(struct conn *c)
{
    GD_LOG(c->rpc->log, GD_LOG_WARN, "rpc.unread", GD_F_INT("uid", c->caller.uid),
           GD_F_INT("pid", c->caller.pid));
    gd_conn_cut(c);
}

void gd_conn_send(struct conn *c, const char *p, size_t n)
{
    if (c->closing)
        return;
    if (c->out.len > GD_RPC_UNSENT_MAX / 4)
        flush(c);
    if (c->closing)
        return;
    if (c->out.len + c->sending.len > GD_RPC_UNSENT_HARD || !gd_buf_add(&c->out, p, n))
        cut_unread(c);
    else
        gd_conn_touch(c);
}

/* Answers come in heaps that no peer can have read yet; who takes none of it for long reads no more. */
static void look_at_unread(struct conn *c, int64_t now)
{
    uint64_t waiting = uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe);
    uint64_t taken = c->handed - waiting;

    if (waiting + c->out.len <= GD_RPC_UNSENT_MAX) {
        c->taken_at = 0;
    } else if (!c->taken_at || taken != c->taken) {
        c->taken_at = now;
        c->taken = taken;
    } else if (now - c->taken_at >= GD_RPC_UNREAD_MS) {
        cut_unread(c);
    }
}

void gd_conn_sweep(struct gd_rpc *r)
{
    int64_t now = gd_mono(r->clock);

    for (struct gd_list *l = r->conns.next, *next; l != &r->conns; l = next) {
        next = l->next;
        look_at_unread(gd_container_of(l, struct conn, link), now);
    }
}

/* ---- bytes in ---------------------------------------------------------------------------------------------
 */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = h->data;

    (void)suggested;
    *buf = uv_buf_init(c->rpc->read_buf, READ_SIZE);
}

static void choose_mode(struct conn *c, char first)
{
    c->mode = first >= 'A' && first <= 'Z' ? CONN_HTTP : CONN_LINES;
}

static void on_bytes(struct conn *c, const char *p, size_t n)
{
    if (c->last_word) {
        c->thrown += n;
        gd_conn_touch(c);
        return;
    }
    if (c->mode == CONN_NEW)
        choose_mode(c, *p);
    if (c->mode == CONN_HTTP)
        gd_http_feed(c, p, n);
    else
        gd_line_feed(c, p, n);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = s->data;

    if (n == 0 || c->closing)
        return;
    if (n < 0 && n != UV_EOF) {
        gd_conn_cut(c);
        return;
    }
    if (n == UV_EOF) {
        c->eof = true;
        uv_read_stop(s);
        if (c->mode == CONN_LINES && !c->last_word)
            gd_line_eof(c);
        gd_conn_touch(c);
        return;
    }
    on_bytes(c, buf->base, (size_t)n);
    if (!c->closing && !c->last_word && gd_conn_busy(c)) {
        c->paused = true;
        uv_read_stop(s);
    }
}

static void on_shut(uv_shutdown_t *s, int status)
{
    (void)status;
    gd_free(s);
}

/* The last word was said: the peer sees the end; what it still sends is thrown away until it closes. */
static void say_goodbye(struct conn *c)
{
    uv_shutdown_t *s;

    if (c->eof || c->thrown > GD_RPC_LINGER_MAX) {
        gd_conn_cut(c);
        return;
    }
    if (c->said)
        return;
    c->said = true;
    if (c->paused)
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
    s = gd_new(sizeof *s);
    if (uv_shutdown(s, (uv_stream_t *)&c->pipe, on_shut) < 0) {
        gd_free(s);
        gd_conn_cut(c);
    }
}

bool gd_conn_busy(const struct conn *c)
{
    if (c->mode == CONN_HTTP)
        return c->running > 0;
    return c->running >= GD_RPC_CALLS_PER_PEER ||
           c->likely + c->out.len + c->sending.len > GD_RPC_UNSENT_MAX / 4;
}

/* Goes on reading once there is room again. What was held back comes first. */
static void resume(struct conn *c)
{
    if (!c->paused || gd_conn_busy(c))
        return;
    if (c->mode == CONN_HTTP)
        gd_http_feed(c, NULL, 0);
    else
        gd_line_resume(c);
    if (c->closing || c->last_word || gd_conn_busy(c))
        return;
    c->paused = false;
    if (!c->eof)
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
}

static void settle_one(struct conn *c)
{
    flush(c);
    if (c->closing)
        return;
    if (c->last_word) {
        if (!c->running && !c->writing && !c->out.len)
            say_goodbye(c);
        return;
    }
    resume(c);
    if (c->closing || c->last_word)
        return;
    gd_watch_settle(c);
    if (!c->closing && c->eof && !c->running && !c->writing && !c->out.len && !c->paused)
        gd_conn_cut(c);
}

void gd_rpc_settle(struct gd_rpc *r)
{
    struct gd_list *l;

    while (r->nfast || !gd_list_empty(&r->dirty)) {
        gd_fast_run(r);
        l = gd_list_pop(&r->dirty);
        if (l)
            settle_one(gd_container_of(l, struct conn, dirty));
    }
}

/* ---- who is there -----------------------------------------------------------------------------------------
 */

static bool same_identity(const struct gd_caller *a, const struct gd_caller *b)
{
    return a->uid == b->uid && a->gid == b->gid && a->ngroups == b->ngroups &&
           !memcmp(a->groups, b->groups, a->ngroups * sizeof a->groups[0]);
}

/* The number of this identity; numbers are never given twice, so that "was vended to it" stays true. Who was
 * forgotten gets another one: then its next vend is a first one again. */
static void number_caller(struct gd_rpc *r, struct gd_caller *c)
{
    unsigned known = r->ncallers < GD_RPC_CALLERS_MAX ? r->ncallers : GD_RPC_CALLERS_MAX;

    c->number = GD_CALLER_UNNUMBERED;
    for (unsigned i = 0; i < known; i++)
        if (same_identity(&r->callers[i], c)) {
            c->number = r->callers[i].number;
            return;
        }
    if (r->ncallers == GD_CALLER_UNNUMBERED)
        return;
    c->number = r->ncallers++;
    r->callers[c->number % GD_RPC_CALLERS_MAX] = *c;
}

/* Some seats are kept for who looks after the daemon. */
static unsigned seats_for(uid_t uid)
{
    return uid == 0 || uid == geteuid() ? GD_RPC_PEERS_MAX : GD_RPC_PEERS_MAX - GD_RPC_PEERS_KEPT;
}

static bool has_room(const struct gd_rpc *r, uid_t uid)
{
    unsigned n = 0;

    if (r->nconns > seats_for(uid))
        return false;
    gd_list_each(l, &r->conns) n += gd_container_of(l, struct conn, link)->caller.uid == uid;
    return n < GD_RPC_PEERS_PER_UID;
}

static void turn_away(struct conn *c, const char *text)
{
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));

    c->rpc->turned_away++;
    (void)uv_try_write((uv_stream_t *)&c->pipe, &b, 1);
    gd_conn_cut(c);
}

static struct conn *new_conn(struct gd_rpc *r)
{
    struct conn *c = gd_new(sizeof *c);

    c->rpc = r;
    gd_list_init(&c->link);
    gd_list_init(&c->dirty);
    gd_list_init(&c->frames);
    gd_buf_init(&c->in, READ_SIZE + GD_RPC_FRAME_MAX + 2);
    gd_buf_init(&c->out, GD_RPC_UNSENT_HARD + GD_RPC_ANSWER_MAX + GD_RPC_BATCH_MAX * RENDER_SIZE);
    uv_pipe_init(r->loop, &c->pipe, 0);
    c->pipe.data = c;
    r->nconns++;
    return c;
}

void gd_conn_accept(uv_stream_t *listener, int status)
{
    struct gd_rpc *r = listener->data;
    struct conn *c;
    struct gd_err err;
    uv_os_fd_t fd;

    if (status < 0)
        return;
    c = new_conn(r);
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0) {
        gd_conn_cut(c);
        return;
    }
    r->accepted++;
    if (uv_fileno((uv_handle_t *)&c->pipe, &fd) < 0 || gd_caller_from_fd(&c->caller, fd, &err) < 0) {
        turn_away(c, unknown);
        return;
    }
    if (!has_room(r, c->caller.uid)) {
        turn_away(c, too_many);
        return;
    }
    number_caller(r, &c->caller);
    gd_list_add(&r->conns, &c->link);
    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
}
