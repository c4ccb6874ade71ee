/* portal/server_int.h - what server.c (listener, sweep, limits) and conn.c (one connection) share. */
#ifndef GD_PORTAL_SERVER_INT_H
#define GD_PORTAL_SERVER_INT_H

#include "base/list.h"
#include "portal/server.h"
#include "portal/tls.h"

#define GD_READ_CHUNK 16384

enum gd_portal_conn_state {
    GD_CONN_HANDSHAKE,
    GD_CONN_READING, /* for a request, or between two */
    GD_CONN_RUNNING, /* the application has it */
    GD_CONN_DELAYED, /* the answer is there and waits for its time */
    GD_CONN_WRITING,
    GD_CONN_DRAINING, /* answered and shut down: what still comes is read and dropped, so that no reset eats
                         the answer */
    GD_CONN_CLOSING
};

struct gd_portal_conn {
    struct gd_list node; /* server->conns, oldest first */
    struct gd_portal_server *server;
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct gd_portal_tls *tls; /* NULL: plain */
    enum gd_portal_conn_state state;
    struct gd_portal_address peer;
    struct gd_portal_reader reader;
    struct gd_portal_exchange *exchange;
    struct gd_buf in;      /* plain bytes not read yet */
    struct gd_buf pending; /* bytes for the network */
    struct gd_buf flight;  /* being written */
    int64_t deadline, total, begun, due;
    size_t dropped;
    unsigned requests;
    bool busy;   /* a write is in flight */
    bool head;   /* the answer has no body */
    bool last;   /* close after this answer */
    bool exempt; /* a trusted proxy */
};

struct gd_portal_server {
    uv_loop_t *loop;
    uv_tcp_t tcp;
    uv_timer_t timer;
    struct gd_list conns;
    struct gd_portal_tls_context *tls;
    struct gd_portal_server_limits limits;
    struct gd_portal_server_options o;
    struct gd_portal_prefix *exempt;
    unsigned nconns, nexchanges;
    uint64_t accepted, requests, refused, timeouts, evicted;
    bool waiting;                  /* a connection is there that was not accepted */
    bool closing, unbound, ending; /* unbound: the listener is closed */
    void (*done)(void *);
    void *done_arg;
    char chunk[GD_READ_CHUNK]; /* shared by all reads: each is used up inside its callback */
};

/* server.c */
void gd_portal_server_conn_gone(struct gd_portal_server *s);
/* conn.c */
void gd_portal_conn_accept(struct gd_portal_server *s);
void gd_portal_conn_close(struct gd_portal_conn *c);
void gd_portal_conn_sweep(struct gd_portal_conn *c, int64_t now);
/* How readily it is given up when there are too many: 0 not at all, 1 unfinished request, 2 idle, or its
 * answer is held back because it guessed. */
int gd_portal_conn_worth(const struct gd_portal_conn *c);
void gd_portal_conn_refuse(struct gd_portal_conn *c, int status, const char *why);

#endif
