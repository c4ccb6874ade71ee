/* rpc/rpc.h - JSON-RPC 2.0 on a Unix socket: one object a line, and the same objects by HTTP POST, told apart
 * by the first byte. The peer is who the kernel says (SO_PEERCRED); the policy decides; schemas check
 * parameters. Reads only parse and prefetch; a check phase answers, so that the cache misses of one poll
 * overlap. Loop thread.
 *
 * Three lifetimes: a connection (until its socket closes), a call (until its one reply; it outlives its
 * connection, the reply is then dropped), and a method (static). */
#ifndef GD_RPC_RPC_H
#define GD_RPC_RPC_H

#include "grant/broker.h"
#include "sched/sched.h"

struct gd_rpc;
/* Things that rpc answers but that are the daemon's to do. */
struct gd_rpc_daemon {
    void *arg;
    json_t *(*status)(void *arg); /* new reference */
    void (*check)(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg);
    void (*reload)(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg);
    void (*drain)(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg);
    void (*clock)(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg);
    /* store.backup, store.check: method says which. */
    void (*storage)(void *arg, const char *method, json_t *params, gd_reply_fn *reply, void *reply_arg);
};
struct gd_rpc_options {
    const char *socket_path;
    int listen_fd; /* from socket activation; -1: make the socket at socket_path */
    unsigned mode; /* of the socket file, e.g. 0660 */
    const char *audit_path;
};
int gd_rpc_open(struct gd_rpc **ret, uv_loop_t *loop, const struct gd_rpc_options *o, struct gd_broker *b,
                const struct gd_rpc_daemon *d, struct gd_policy *policy, struct gd_audit *audit,
                struct gd_events *events, const struct gd_clock *clock, struct gd_log *log,
                struct gd_err *err);
void gd_rpc_set_policy(struct gd_rpc *r,
                       struct gd_policy *policy); /* after a reload; the old one is the caller's to free */
/* Refuses new calls with SHUTTING_DOWN, lets the running ones end. */
void gd_rpc_drain(struct gd_rpc *r);
/* Nobody new is let in; once the calls that run have ended and were answered, the peers are cut. */
void gd_rpc_close(struct gd_rpc *r, void (*done)(void *), void *arg);
/* Counters for status: connections, calls by method, refused. New reference. */
json_t *gd_rpc_status(struct gd_rpc *r);

#endif
