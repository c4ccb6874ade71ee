/* portal/server.h - HTTP/1.1 over uv_tcp, with or without TLS: connections, deadlines and limits. It knows
 * nothing of pages. One request at a time per connection; nothing is read while it runs, which gives order
 * and back-pressure. Loop thread. */
#ifndef GD_PORTAL_SERVER_H
#define GD_PORTAL_SERVER_H

#include "base/clock.h"
#include "base/json.h"
#include "portal/address.h"
#include "portal/reader.h"

#include <uv.h>

/* Total times, not idle ones: a byte now and then wins nobody anything. */
struct gd_portal_server_limits {
    int64_t handshake_ms, head_ms, body_ms, idle_ms, total_ms, write_ms, drain_ms, grace_ms, sweep_ms;
    unsigned conns, conns_per_address, requests_per_conn;
    unsigned fds; /* open files at which nothing more is accepted; 0: 80 % of RLIMIT_NOFILE */
};
extern const struct gd_portal_server_limits gd_portal_server_limits_default;

struct gd_portal_reply {
    int status;
    struct gd_buf head; /* field lines, each with its CRLF */
    struct gd_buf body;
};
void gd_portal_reply_init(struct gd_portal_reply *r, int status);
void gd_portal_reply_done(struct gd_portal_reply *r);

struct gd_portal_conn;
/* One request that waits for its answer. It is the application's until it is answered, whatever happens to
 * the connection meanwhile. */
struct gd_portal_exchange {
    struct gd_portal_request *request;
    struct gd_portal_address peer;
    int64_t begun; /* mono ms of the first byte */
    struct gd_portal_server *server;
    struct gd_portal_conn *conn; /* NULL: the visitor has gone */
};
/* The answer; takes the contents of reply and frees x. It leaves after delay_ms. Never calls back inside. */
void gd_portal_exchange_answer(struct gd_portal_exchange *x, struct gd_portal_reply *reply, int64_t delay_ms);

struct gd_portal_server_options {
    struct sockaddr_storage listen;
    struct gd_portal_tls_context *tls;            /* taken; NULL: plain */
    const struct gd_portal_server_limits *limits; /* copied; NULL: the defaults */
    const struct gd_portal_prefix *exempt;        /* proxies: not counted per address; copied */
    size_t nexempt;
    const struct gd_clock *clock;
    void *arg;
    void (*on_request)(void *arg, struct gd_portal_exchange *x);
    /* Fills the answer to bytes that are no request, or to a limit; why is for the log. */
    void (*on_refused)(void *arg, const struct gd_portal_address *peer, int status, const char *why,
                       struct gd_portal_reply *reply);
};
/* PORTAL_LISTEN_FAILED. */
int gd_portal_server_open(struct gd_portal_server **ret, uv_loop_t *loop,
                          const struct gd_portal_server_options *o, struct gd_err *err);
int gd_portal_server_port(const struct gd_portal_server *s);
void gd_portal_server_set_tls(struct gd_portal_server *s,
                              struct gd_portal_tls_context *tls); /* taken; the old one is freed */
/* Nothing new is accepted; running requests have grace_ms. done comes later, once every exchange was
 * answered; the server is gone then. */
void gd_portal_server_close(struct gd_portal_server *s, void (*done)(void *), void *arg);
bool gd_portal_server_closing(const struct gd_portal_server *s);
/* {"connections","unfinished","exchanges","accepted","requests","refused","timeouts","evicted","paused"} */
json_t *gd_portal_server_status(const struct gd_portal_server *s);

#endif
