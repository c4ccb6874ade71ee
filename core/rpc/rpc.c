/* rpc/rpc.c - start, drain and end of the room; its counters. */
#include "rpc/rpc_int.h"
#include "base/mem.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_MS 1000

static void on_check(uv_check_t *h)
{
    gd_rpc_settle(h->data);
}

static void on_prepare(uv_prepare_t *h)
{
    gd_rpc_settle(h->data);
}

static void on_sweep(uv_timer_t *h)
{
    gd_call_sweep(h->data);
    gd_conn_sweep(h->data);
}

static int take_socket(struct gd_rpc *r, const struct gd_rpc_options *o, struct gd_err *err)
{
    struct stat st;
    int fd = o->listen_fd;

    if (fd < 0) {
        fd = gd_rpc_socket(o->socket_path, o->mode, err);
        if (fd < 0)
            return -1;
        r->unlink_socket = lstat(o->socket_path, &st) == 0;
        r->socket_dev = (uint64_t)st.st_dev;
        r->socket_ino = (uint64_t)st.st_ino;
        r->socket_path = gd_strdup(o->socket_path);
    }
    return fd;
}

static struct gd_rpc *make(uv_loop_t *loop, const struct gd_rpc_options *o, struct gd_broker *b,
                           const struct gd_rpc_daemon *d)
{
    struct gd_rpc *r = gd_new(sizeof *r);

    r->loop = loop;
    r->broker = b;
    r->daemon = *d;
    r->audit_path = gd_strdup(o->audit_path);
    gd_list_init(&r->conns);
    gd_list_init(&r->dirty);
    gd_list_init(&r->calls);
    r->callers = gd_new_array(GD_RPC_CALLERS_MAX, sizeof *r->callers);
    r->fast = gd_new_array(GD_RPC_FAST_MAX, sizeof *r->fast);
    r->vend = gd_new(sizeof *r->vend);
    r->read_buf = gd_new(READ_SIZE);
    r->render = gd_new(RENDER_SIZE);
    r->schemas = gd_schemas_new();
    gd_methods_open(r);
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that left is an error of the write, not our end */
    return r;
}

static void discard(struct gd_rpc *r)
{
    gd_schemas_free(r->schemas);
    gd_free(r->methods);
    gd_free(r->callers);
    gd_free(r->fast);
    gd_free(r->vend);
    gd_free(r->read_buf);
    gd_free(r->render);
    gd_free(r->socket_path);
    gd_free(r->audit_path);
    gd_free(r);
}

static void start_handles(struct gd_rpc *r)
{
    uv_check_init(r->loop, &r->check);
    uv_prepare_init(r->loop, &r->prepare);
    uv_timer_init(r->loop, &r->sweep);
    r->check.data = r->prepare.data = r->sweep.data = r->listener.data = r;
    uv_check_start(&r->check, on_check);
    uv_prepare_start(&r->prepare, on_prepare);
    uv_timer_start(&r->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    uv_unref((uv_handle_t *)&r->sweep);
    r->nhandles = 4;
}

int gd_rpc_open(struct gd_rpc **ret, uv_loop_t *loop, const struct gd_rpc_options *o, struct gd_broker *b,
                const struct gd_rpc_daemon *d, struct gd_policy *policy, struct gd_audit *audit,
                struct gd_events *events, const struct gd_clock *clock, struct gd_log *log,
                struct gd_err *err)
{
    struct gd_rpc *r = make(loop, o, b, d);
    int fd = take_socket(r, o, err), rc;

    r->policy = policy;
    r->audit = audit;
    r->events = events;
    r->clock = clock;
    r->log = log;
    if (fd < 0) {
        discard(r);
        return -1;
    }
    uv_pipe_init(loop, &r->listener, 0);
    start_handles(r);
    rc = uv_pipe_open(&r->listener, fd);
    if (rc < 0)
        (void)close(fd);
    else
        rc = uv_listen((uv_stream_t *)&r->listener, 1024, gd_conn_accept);
    if (rc < 0) {
        gd_err_set(err, GD_R_SOCKET_FAILED, "the socket cannot be listened on: %s", uv_strerror(rc));
        gd_rpc_close(r, NULL, NULL);
        return -1;
    }
    *ret = r;
    return 0;
}

void gd_rpc_set_policy(struct gd_rpc *r, struct gd_policy *policy)
{
    r->policy = policy;
    r->rules++;
}

void gd_rpc_drain(struct gd_rpc *r)
{
    r->draining = true;
}

static void on_handle_closed(uv_handle_t *h)
{
    struct gd_rpc *r = h->data;

    r->nhandles--;
    gd_rpc_ended(r);
}

/* The last call has ended: its answer leaves, as far as the peers take it now, and they are cut. */
static void hang_up(struct gd_rpc *r)
{
    r->hung_up = true;
    gd_rpc_settle(r);
    uv_close((uv_handle_t *)&r->check, on_handle_closed);
    uv_close((uv_handle_t *)&r->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&r->sweep, on_handle_closed);
    for (struct gd_list *l = r->conns.next, *next; l != &r->conns; l = next) {
        next = l->next;
        gd_conn_cut(gd_container_of(l, struct conn, link));
    }
}

/* Called whenever something has ended; frees the room when nothing is left. */
void gd_rpc_ended(struct gd_rpc *r)
{
    void (*done)(void *) = r->on_closed;
    void *arg = r->closed_arg;

    if (r->closing && !r->ncalls && !r->hung_up)
        hang_up(r);
    if (!r->closing || r->nhandles || r->ncalls || r->nconns)
        return;
    discard(r);
    if (done)
        done(arg);
}

/* Only when it is still the one that we made. */
static void remove_socket(const struct gd_rpc *r)
{
    struct stat st;

    if (r->unlink_socket && lstat(r->socket_path, &st) == 0 && (uint64_t)st.st_dev == r->socket_dev &&
        (uint64_t)st.st_ino == r->socket_ino)
        (void)unlink(r->socket_path);
}

void gd_rpc_close(struct gd_rpc *r, void (*done)(void *), void *arg)
{
    if (r->closing)
        return;
    gd_rpc_settle(r);
    r->closing = r->draining = true;
    r->on_closed = done;
    r->closed_arg = arg;
    remove_socket(r);
    uv_close((uv_handle_t *)&r->listener, on_handle_closed);
    gd_rpc_ended(r);
}

json_t *gd_rpc_status(struct gd_rpc *r)
{
    json_t *calls = json_object();

    for (size_t i = 0; i < gd_schemas_count(r->schemas); i++)
        if (r->methods[i].calls)
            json_object_set_new(calls, r->methods[i].schema->method,
                                json_integer((json_int_t)r->methods[i].calls));
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:o}", "connections", (json_int_t)r->nconns,
                     "accepted", (json_int_t)r->accepted, "turned_away", (json_int_t)r->turned_away,
                     "in_flight", (json_int_t)r->ncalls, "callers", (json_int_t)r->ncallers, "fast_vends",
                     (json_int_t)r->vends, "denied", (json_int_t)r->denied, "draining", r->draining, "calls",
                     calls);
}
