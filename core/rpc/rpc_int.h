/* rpc/rpc_int.h - what the files of this room share. Loop thread.
 *
 * A frame is one JSON text of a peer: a call, or a batch of them. It lives until its last call has ended, so
 * it may outlive its connection; its answer is then dropped. Bytes for a peer are collected and leave in the
 * settle step before and after each poll; nothing is written from inside a callback of somebody else. */
#ifndef GD_RPC_RPC_INT_H
#define GD_RPC_RPC_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "grant/vend.h"
#include "rpc/fast.h"
#include "rpc/rpc.h"
#include "rpc/schema.h"

struct http;
struct watch;
struct call;

struct method {
    const struct gd_schema *schema;
    gd_act_fn *act;             /* the broker's, or NULL */
    void (*own)(struct call *); /* answers with gd_call_reply, now or later */
    uint64_t calls;
    size_t likely; /* bytes that an answer is expected to have, by those that went before */
};

enum conn_mode { CONN_NEW, CONN_LINES, CONN_HTTP };

struct conn {
    struct gd_list link;  /* in rpc->conns */
    struct gd_list dirty; /* in rpc->dirty, or alone */
    struct gd_list frames;
    struct gd_rpc *rpc;
    uv_pipe_t pipe;
    uv_write_t write;
    struct gd_caller caller;
    enum conn_mode mode;
    struct gd_buf in;      /* an unfinished line, or what waits while too much runs */
    struct gd_buf out;     /* not yet handed to the kernel */
    struct gd_buf sending; /* owned by the write in flight */
    size_t thrown;         /* bytes dropped since the last word was said */
    size_t likely;         /* bytes that the calls that run may answer */
    uint64_t handed;       /* bytes given to the kernel, or to libuv for it */
    uint64_t taken;        /* of them, what the peer had read when it was last looked at ... */
    int64_t taken_at;      /* ... and since when it is so; 0: it does not matter */
    unsigned running;      /* calls, those of the hot path that wait for the check phase included */
    bool writing, paused, eof, closing;
    bool said;      /* the last word is out, the sending side is shut */
    bool last_word; /* what is in out is the last; input is thrown away */
    struct http *http;
    struct watch *watch;
};

struct frame {
    struct gd_list link; /* in conn->frames, or alone */
    struct conn *conn;   /* NULL once it is gone */
    struct gd_buf out;
    unsigned pending, replies;
    bool batch;
};

struct call {
    struct gd_list link; /* in rpc->calls, oldest first */
    struct gd_rpc *rpc;
    struct frame *frame;
    struct method *method;
    struct gd_caller caller;
    char actor_name[32];
    char *id; /* JSON text; NULL: a notification */
    json_t *params, *result;
    size_t likely; /* its part of conn->likely */
    struct gd_err err;
    bool failed;    /* err holds */
    bool caught_up; /* what it names was not known here: others were asked */
    bool abandoned; /* answered by the sentinel; only waits for its handler */
    int64_t started;
    unsigned rules;        /* rpc->rules when it was let in */
    const char *workspace; /* in params, or NULL */
    char client[GD_ID_TEXT_MAX], subject[GD_ID_TEXT_MAX];
};

struct fast_entry {
    struct conn *conn;
    struct gd_fast req;
};

struct gd_rpc {
    uv_loop_t *loop;
    uv_pipe_t listener;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_timer_t sweep;
    struct gd_broker *broker;
    struct gd_rpc_daemon daemon;
    struct gd_policy *policy;
    unsigned rules; /* goes up with each change of it */
    struct gd_audit *audit;
    struct gd_events *events;
    const struct gd_clock *clock;
    struct gd_log *log;
    struct gd_schemas *schemas;
    struct method *methods; /* same order as the schemas */
    char *socket_path, *audit_path;
    uint64_t socket_dev, socket_ino;
    bool unlink_socket, draining, closing;
    bool hung_up; /* closing, and no peer is heard any more */
    struct gd_list conns, dirty, calls;
    unsigned nconns, ncalls, nhandles;
    struct gd_caller *callers; /* identities seen last, by number */
    unsigned ncallers;         /* ever */
    struct fast_entry *fast;
    unsigned nfast;
    struct gd_vend *vend;
    char *read_buf, *render;
    uint64_t accepted, turned_away, vends, denied;
    int64_t denials_from; /* window of audited refusals */
    unsigned denials;
    void (*on_closed)(void *);
    void *closed_arg;
};
#define READ_SIZE   65536
#define RENDER_SIZE (256 * 1024)

/* rpc.c */
void gd_rpc_ended(struct gd_rpc *r);
/* conn.c */
void gd_conn_accept(uv_stream_t *listener, int status);
void gd_conn_cut(struct conn *c);   /* now, without another word */
void gd_conn_touch(struct conn *c); /* looked at in the next settle step */
void gd_conn_send(struct conn *c, const char *p, size_t n);
void gd_conn_last_word(struct conn *c); /* nothing is read any more; closes when out is empty */
void gd_rpc_settle(struct gd_rpc *r);
void gd_conn_sweep(struct gd_rpc *r); /* cuts who does not read what waits for him */
/* line.c */
void gd_line_feed(struct conn *c, const char *p, size_t n);
void gd_line_resume(struct conn *c);
void gd_line_eof(struct conn *c);
bool gd_conn_busy(const struct conn *c); /* enough runs or waits unread: read no more */
void gd_fast_run(struct gd_rpc *r);
/* http.c */
void gd_http_feed(struct conn *c, const char *p, size_t n);
void gd_http_reply(struct conn *c, const char *body, size_t n); /* n 0: nothing to say (204) */
void gd_http_free(struct http *h);
/* frame.c: a new frame is held by who made it; the last one to let go sends the answer. */
struct frame *gd_frame_new(struct conn *c, bool batch);
void gd_frame_answer(struct frame *f, const char *id, json_t *result, const struct gd_err *err);
void gd_frame_unref(struct frame *f);
void gd_frame_error(struct conn *c, const struct gd_err *err); /* an answer without a call */
/* call.c */
void gd_frame_open(struct conn *c, const char *p, size_t n);
/* The general way of a vend that the hot path could not answer. */
void gd_call_vend(struct conn *c, const struct gd_fast *f);
/* result is borrowed; NULL with err. Once. */
void gd_call_reply(struct call *call, json_t *result, const struct gd_err *err);
void gd_call_sweep(struct gd_rpc *r);
bool gd_call_sees(const struct call *call,
                  const char *client); /* may this caller see that client's things? */
/* methods.c */
void gd_methods_open(struct gd_rpc *r);
struct method *gd_method_find(struct gd_rpc *r, const char *name);
bool gd_event_type_asked(json_t *types, const char *type);
/* watch.c */
void gd_watch_start(struct call *call); /* event.subscribe */
void gd_watch_stop(struct conn *c);
void gd_watch_settle(struct conn *c); /* goes on when the peer has read */
const char *gd_event_client(struct gd_rpc *r, const json_t *event);
/* socket.c */
int gd_rpc_socket(const char *path, unsigned mode, struct gd_err *err); /* a bound descriptor, or -1 */

#endif
