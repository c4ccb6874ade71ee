/* rpc/line.c - one JSON text a line. Vends of the usual shape are only parsed and prefetched here; the settle
 * step answers them all, so that their cache misses overlap. */
#include "rpc/rpc_int.h"
#include "base/mem.h"

#include <string.h>

static void too_large(struct conn *c)
{
    struct gd_err err;

    gd_err_set(&err, GD_R_FRAME_TOO_LARGE, "a request may have %d bytes; the connection is closed",
               GD_RPC_FRAME_MAX);
    gd_frame_error(c, &err);
    if (!c->closing)
        gd_conn_last_word(c);
}

static bool is_blank(const char *p, size_t n)
{
    while (n && (*p == ' ' || *p == '\t' || *p == '\r')) {
        p++;
        n--;
    }
    return n == 0;
}

static bool take_fast(struct conn *c, const char *p, size_t n)
{
    struct gd_rpc *r = c->rpc;
    struct fast_entry *e;

    if (r->draining)
        return false;
    if (r->nfast == GD_RPC_FAST_MAX)
        gd_fast_run(r);
    if (c->closing)
        return true;
    e = &r->fast[r->nfast];
    if (!gd_fast_read(p, n, &e->req))
        return false;
    e->conn = c;
    r->nfast++;
    c->running++;
    gd_vend_prefetch(r->broker, &e->req.grant);
    return true;
}

static void one_line(struct conn *c, const char *p, size_t n)
{
    if (n > GD_RPC_FRAME_MAX)
        too_large(c);
    else if (!is_blank(p, n) && !take_fast(c, p, n))
        gd_frame_open(c, p, n);
}

static bool stopped(const struct conn *c)
{
    return c->closing || c->last_word;
}

/* Takes whole lines until none is left or too much runs; returns how many bytes are used up. */
static size_t take_lines(struct conn *c, const char *p, size_t n)
{
    size_t used = 0;

    while (used < n && !stopped(c) && !gd_conn_busy(c)) {
        const char *nl = memchr(p + used, '\n', n - used);

        if (!nl)
            break;
        one_line(c, p + used, (size_t)(nl - p) - used);
        used = (size_t)(nl - p) + 1;
    }
    return used;
}

void gd_line_resume(struct conn *c)
{
    struct gd_buf in = c->in;
    size_t used;

    gd_buf_init(&c->in, in.max); /* the lines stay where they are while they are taken */
    used = in.len ? take_lines(c, in.ptr, in.len) : 0;
    if (stopped(c)) {
        gd_buf_done(&in);
        return;
    }
    gd_buf_consume(&in, used);
    c->in = in;
    if (!gd_conn_busy(c) && c->in.len > GD_RPC_FRAME_MAX)
        too_large(c);
}

void gd_line_feed(struct conn *c, const char *p, size_t n)
{
    size_t used;

    if (c->in.len) {
        gd_buf_add(&c->in, p, n);
        gd_line_resume(c);
        return;
    }
    used = take_lines(c, p, n);
    if (stopped(c) || used == n)
        return;
    gd_buf_add(&c->in, p + used, n - used);
    if (!gd_conn_busy(c) && c->in.len > GD_RPC_FRAME_MAX)
        too_large(c);
}

/* The peer says no more: what it left without a line feed is its last request. */
void gd_line_eof(struct conn *c)
{
    if (c->paused || !c->in.len)
        return;
    gd_buf_addc(&c->in, '\n');
    c->paused = gd_conn_busy(c);
    if (!c->paused)
        gd_line_resume(c);
}

/* ---- the check phase of the vends -------------------------------------------------------------------------
 */

/* Bytes of the answer in out; 0: the general way was taken. */
static size_t answer(struct gd_rpc *r, const struct fast_entry *e, char *out, size_t cap)
{
    const struct gd_fast *f = &e->req;
    struct gd_err err;
    size_t n = 0;

    if (gd_vend_try(r->broker, r->policy, &e->conn->caller, f->workspace[0] ? f->workspace : NULL, &f->grant,
                    r->vend, &err) == GD_VEND_OK) {
        n = gd_fast_render(out, cap, f, r->vend->token, r->vend->len, r->vend->expires_at, r->vend->gen);
        gd_wipe(r->vend->token, r->vend->len);
    }
    if (n)
        r->vends++;
    else
        gd_call_vend(e->conn, f); /* refusals too: one place decides how they are worded */
    return n;
}

/* Straight to the kernel when nothing waits; the rest is kept. */
static void send_now(struct conn *c, char *p, size_t n)
{
    uv_buf_t b = uv_buf_init(p, (unsigned)n);
    int sent = 0;

    if (!n || c->closing)
        return;
    if (!c->writing && !c->out.len) {
        sent = uv_try_write((uv_stream_t *)&c->pipe, &b, 1);
        if (sent < 0 && sent != UV_EAGAIN) {
            gd_conn_cut(c);
            return;
        }
    }
    if (sent < 0)
        sent = 0;
    if ((size_t)sent < n)
        gd_conn_send(c, p + sent, n - (size_t)sent);
}

/* All entries of one connection that follow each other; returns the index behind them. */
static unsigned run_of_one(struct gd_rpc *r, unsigned i)
{
    struct conn *c = r->fast[i].conn;
    size_t n = 0;

    for (; i < r->nfast && r->fast[i].conn == c; i++) {
        c->running--;
        if (c->closing)
            continue;
        if (RENDER_SIZE - n < GD_TOKEN_MAX + 512) {
            send_now(c, r->render, n);
            gd_wipe(r->render, n);
            n = 0;
        }
        n += answer(r, &r->fast[i], r->render + n, RENDER_SIZE - n);
    }
    send_now(c, r->render, n);
    gd_wipe(r->render, n);
    if (c->paused || c->eof)
        gd_conn_touch(c);
    return i;
}

void gd_fast_run(struct gd_rpc *r)
{
    unsigned i = 0;

    while (i < r->nfast)
        i = run_of_one(r, i);
    r->nfast = 0;
}
