/* http/http.h - HTTP to platforms. A transport takes a request and brings an answer; the client (libcurl
 * multi on the loop) is one, the tape of tests another. Loop thread. */
#ifndef GD_HTTP_HTTP_H
#define GD_HTTP_HTTP_H

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "log/log.h"

#include <uv.h>

struct gd_http_header {
    const char *name, *value;
};
struct gd_http_request {
    const char *method, *url;
    /* Sent as they are; a Content-Type is the caller's. Those that say how the message is carried (Host,
     * lengths, Connection, Accept-Encoding, Cookie ...) are refused: HTTP_REQUEST_INVALID. */
    const struct gd_http_header *headers;
    size_t nheaders;
    const char *body; /* NULL: none */
    size_t body_len;
    const char *app;  /* bucket, breaker and slots are per app: "<platform>/<app id>" */
    bool repeatable;  /* may reuse a connection and be resent; all others go out on a fresh connection */
    bool reuse;       /* may too, although it is not repeatable: libcurl resends on a connection that died */
    bool interactive; /* a person waits: own slots, ahead of the queue */
    int64_t due_mono_ms; /* the queue in front of a bucket is ordered by it (deadline first) */
    /* Total, counted from the moment it leaves the queue. When this process slept past it, what was sent
     * whole is awaited a little longer, once: its answer may lie in the socket. */
    int64_t timeout_ms;
    int64_t send_by_mono_ms; /* no byte of it leaves later; 0: as long as its time is not over */
    /* Allowed host patterns (exact or "*.suffix" for one label; with ":port" also for a port other than 443),
     * judged before origins are mapped. NULL: the caller has checked. */
    const char *const *hosts;
};

/* What became of a request. Only ANSWER has a status. */
enum gd_http_end {
    GD_HTTP_ANSWER,
    GD_HTTP_NOT_SENT,  /* no byte of the request can have arrived */
    GD_HTTP_UNCERTAIN, /* it may have arrived; nothing, or not everything, came back */
    GD_HTTP_REFUSED,   /* our own guard said no (EGRESS_DENIED, HOST_INVALID, URL_INVALID, ...): nothing was
                          sent */
};
struct gd_http_answer {
    enum gd_http_end end;
    int status;
    struct gd_http_header *headers; /* as received, names in lower case */
    size_t nheaders;
    char *body; /* NUL-terminated */
    size_t body_len;
    int64_t sent_at; /* Unix ms just before the first byte was written (NOT_SENT: when it left the queue) */
    int64_t took_ms;
    int64_t held_ms;   /* it asks that all calls of the app wait, for longer than was known; 0: no */
    int64_t date;      /* Unix s of the Date header, -1: none (for the skew estimate) */
    struct gd_err err; /* when end is not ANSWER */
};
const char *gd_http_answer_header(const struct gd_http_answer *a, const char *name); /* NULL when absent */

/* The answer is the transport's and dies after the callback returns. Never called inside send. */
typedef void gd_http_fn(void *arg, const struct gd_http_answer *answer);
struct gd_http_call;

struct gd_transport {
    /* Copies the request. Never fails: a refusal is an answer. */
    struct gd_http_call *(*send)(struct gd_transport *t, const struct gd_http_request *r, gd_http_fn *fn,
                                 void *arg);
    /* No callback after this; *call becomes NULL. Whether it had been sent is then unknown. */
    void (*cancel)(struct gd_transport *t, struct gd_http_call **call);
};

/* ---- the client -------------------------------------------------------------------------------------- */
struct gd_http_limits { /* per app */
    unsigned concurrency, per_minute, burst;
};
struct gd_http_options {
    /* A key may also be a plain http loopback origin (mapped to itself: a server whose documents name itself
     * so). Plain http is taken in no other way; a mapped https target may be any address. */
    json_t *origins; /* "https://graph.example.com" -> "http://127.0.0.1:7700/graph.example.com", a host may
                        begin with a star label */
    const char *ca_file; /* PEM bundle; NULL: the system's */
    const char *user_agent;
    bool loopback_only;           /* nothing but mapped loopback origins may be dialled */
    json_t *allow_private;        /* array of "host:port" the operator allows: any address, and that port */
    struct gd_http_limits limits; /* defaults */
    /* Threaded only; on loop, before the answer is told: a platform asked that all calls of app wait. */
    void (*on_held)(void *arg, const char *app, int64_t ms);
    void *arg;
};
struct gd_http_client;
struct gd_http_client *gd_http_client_new(uv_loop_t *loop, const struct gd_http_options *o,
                                          const struct gd_clock *clock, struct gd_log *log,
                                          struct gd_err *err);
/* Cancels everything, closes its handles; done runs when the loop may be closed. */
void gd_http_client_close(struct gd_http_client *c, void (*done)(void *), void *arg);
struct gd_transport *gd_http_client_transport(struct gd_http_client *c);
void gd_http_client_set_limits(struct gd_http_client *c, const char *app, const struct gd_http_limits *l);
/* Somebody else was asked to let the calls of app wait: ours do, too. */
void gd_http_client_hold(struct gd_http_client *c, const char *app, int64_t ms);
/* {"apps":{"oauth2/x":{"in_flight","queued","tokens","retry_at","breaker"}},"skew_ms":n} for status. */
json_t *gd_http_client_status(struct gd_http_client *c);
/* Median over hosts of their Date minus our clock, of the last hour and since our clock was set; false while
 * no answer had a Date. */
bool gd_http_client_skew(const struct gd_http_client *c, int64_t *ret_ms);
/* The same on a thread of its own: answers are told on loop, which spends no time on TLS and libcurl. All
 * functions on the loop's thread. */
struct gd_http_threaded;
struct gd_http_threaded *gd_http_threaded_new(uv_loop_t *loop, const struct gd_http_options *o,
                                              const struct gd_clock *clock, struct gd_log *log,
                                              struct gd_err *err);
void gd_http_threaded_close(struct gd_http_threaded *t, void (*done)(void *), void *arg);
struct gd_transport *gd_http_threaded_transport(struct gd_http_threaded *t);
void gd_http_threaded_set_limits(struct gd_http_threaded *t, const char *app, const struct gd_http_limits *l);
void gd_http_threaded_hold(struct gd_http_threaded *t, const char *app, int64_t ms);
json_t *gd_http_threaded_status(struct gd_http_threaded *t);
bool gd_http_threaded_skew(struct gd_http_threaded *t, int64_t *ret_ms);

/* The URL that a browser or request really goes to, origins mapped; caller frees. NULL with URL_INVALID. */
char *gd_http_map_origin(const json_t *origins, const char *url, struct gd_err *err);
/* True when the address is one that the internet reaches (T21: not loopback, private, link-local, CGNAT,
 * multicast, mapped, NAT64, 6to4, documentation ...). */
bool gd_http_address_public(const struct sockaddr *sa);

#endif
