/* http/http_int.h - what the files of this room share: URLs and the egress guard (url.c, egress.c), the queue
 * of an app (app.c: no network in it), the easy handles (wire.c), libcurl on the loop (poll.c), the client
 * (client.c).
 *
 * A call is one block of memory that belongs to the client from send to its delivery. Its way:
 * WAITING (in its app's queue) -> FLYING (an easy handle works on it) -> READY (has its answer) -> delivered,
 * freed. A refusal goes straight to READY. READY calls are delivered by a uv_check, never from inside send or
 * curl. */
#ifndef GD_HTTP_HTTP_INT_H
#define GD_HTTP_HTTP_INT_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "http/http.h"

#include <curl/curl.h>

/* ---- url.c ------------------------------------------------------------------------------------------- */
struct gd_http_url {
    bool https, ip4, ip6;            /* the host is an address; ip4 also in its odd spellings */
    char host[GD_HOST_NAME_MAX + 1]; /* lower case, no final dot, no brackets */
    uint16_t port;
    const char *rest; /* from the path on; points into the parsed text */
};
/* http or https, host, port; nothing of the address is judged. URL_INVALID or HOST_INVALID. */
int gd_http_url_parse(struct gd_http_url *ret, const char *url, struct gd_err *err);
/* "https://host" or "https://host:port", without the default port. out: GD_HTTP_ORIGIN_MAX bytes. */
#define GD_HTTP_ORIGIN_MAX (GD_HOST_NAME_MAX + 20)
void gd_http_origin_text(char *out, const struct gd_http_url *u);
/* Maps u's origin; NULL when it is not mapped. Caller frees. */
char *gd_http_map_url(const json_t *origins, const struct gd_http_url *u);
/* Every key and value of an origin map is of the right form. */
int gd_http_origins_check(const json_t *origins, struct gd_err *err);
/* Does one of the patterns ("host", "*.suffix" for one label, both with or without ":port") hold for u? Sets
 * *ret_port when it was one that names the port. */
bool gd_http_host_declared(const char *const *patterns, const struct gd_http_url *u, bool *ret_port);

/* ---- egress.c ---------------------------------------------------------------------------------------- */
/* Which addresses a request may dial, decided before and checked at the moment of dialling. */
enum gd_http_reach {
    GD_HTTP_REACH_PUBLIC,   /* gd_http_address_public */
    GD_HTTP_REACH_LOOPBACK, /* plain http to a mapped origin */
    GD_HTTP_REACH_ANY,      /* the operator mapped or listed it */
};
struct gd_http_target {
    struct gd_http_url url;
    char *mapped; /* the URL to use instead of the request's; NULL: the request's. Owned */
    enum gd_http_reach reach;
};
struct gd_http_guard {
    json_t *origins, *allow_private;
    bool loopback_only;
};
/* Everything that can be said about a request before a name is looked up. */
int gd_http_guard_check(const struct gd_http_guard *g, const struct gd_http_request *r,
                        struct gd_http_target *ret, struct gd_err *err);
/* Method, headers and sizes: HTTP_REQUEST_INVALID. */
int gd_http_request_check(const struct gd_http_request *r, struct gd_err *err);
bool gd_http_address_allowed(enum gd_http_reach reach, const struct sockaddr *sa);
bool gd_http_address_loopback(const struct sockaddr *sa);
/* "192.0.2.1" or "2001:db8::1" -> socket address; false when it is none. */
bool gd_http_address_parse(struct sockaddr_storage *ret, const char *text);

/* ---- app.c: queue, slots, bucket, breaker of one app. Time comes in as milliseconds of gd_mono(). ---- */
enum gd_http_breaker_state { GD_HTTP_BREAKER_CLOSED, GD_HTTP_BREAKER_OPEN, GD_HTTP_BREAKER_PROBING };
struct gd_http_breaker { /* per host */
    char host[GD_HOST_NAME_MAX + 1];
    enum gd_http_breaker_state state;
    unsigned consecutive, seen; /* failures in a row; outcomes in the window, at most 20 */
    uint32_t window;            /* one bit per outcome, 1: failed */
    unsigned users;             /* calls that hold a pointer to it */
    int64_t open_ms, next_mono; /* how long it rests; when a probe may go */
    enum gd_reason last;        /* what the last failure was */
};
struct gd_http_app {
    char *name;
    struct gd_http_limits limits;
    bool limits_set;            /* by set_limits: defaults do not apply */
    struct gd_http_call **heap; /* waiting, earliest due first */
    size_t nheap, heap_cap;
    struct gd_list people;  /* waiting interactive calls, first come first served */
    struct gd_list arrived; /* all waiting calls by arrival: who waited too long stands in front */
    unsigned flying, flying_people, waiting;
    int64_t tokens, filled_mono; /* in 1/60000 of a request: a millisecond adds per_minute of them */
    int64_t hold_until;          /* Retry-After; mono, 0: none */
    int64_t told_until;          /* and until when the caller knows of it */
    unsigned limited_in_row;     /* 429s without a Retry-After */
    struct gd_http_breaker *breakers[GD_HTTP_BREAKERS_MAX];
    size_t nbreakers;
    CURLSH *share; /* TLS sessions */
};
struct gd_http_app *gd_http_app_new(const char *name, const struct gd_http_limits *dflt, int64_t now);
void gd_http_app_free(struct gd_http_app *a);
void gd_http_app_set_limits(struct gd_http_app *a, const struct gd_http_limits *l, int64_t now);
void gd_http_app_push(struct gd_http_app *a, struct gd_http_call *call);
void gd_http_app_remove(struct gd_http_app *a, struct gd_http_call *call); /* from the queue */
/* What to do with the next waiting call. */
enum gd_http_verdict {
    GD_HTTP_NONE,  /* nobody waits, or no slot is free */
    GD_HTTP_GO,    /* *ret left the queue: it flies now */
    GD_HTTP_DROP,  /* *ret left the queue unsent; its answer's err says why */
    GD_HTTP_LATER, /* ask again at *ret_at (mono) */
};
enum gd_http_verdict gd_http_app_next(struct gd_http_app *a, int64_t now, int64_t unix_now,
                                      struct gd_http_call **ret, int64_t *ret_at);
/* A flying call ended: slot, breaker and hold. ok says whether the platform is alive (4xx is alive). */
enum gd_http_health { GD_HTTP_ALIVE, GD_HTTP_FAILED, GD_HTTP_UNKNOWN };
void gd_http_app_landed(struct gd_http_app *a, struct gd_http_call *call, enum gd_http_health health,
                        int64_t now);
/* Reads 429 and 503 and their Retry-After. How long the calls have to wait, if longer than was known; else 0.
 */
int64_t gd_http_app_heed(struct gd_http_app *a, const struct gd_http_answer *answer, int64_t now,
                         int64_t unix_now);
void gd_http_app_hold(struct gd_http_app *a, int64_t ms, int64_t now); /* heard of from somebody else */
/* Milliseconds that a Retry-After asks for, clamped to 1 s .. 6 h; -1: garbage. */
int64_t gd_http_retry_after(const char *value, int64_t date_s, int64_t unix_now);
json_t *gd_http_app_status(struct gd_http_app *a, int64_t now, int64_t unix_now);

/* ---- the call and the easy handle -------------------------------------------------------------------- */
enum gd_http_state { GD_HTTP_WAITING, GD_HTTP_FLYING, GD_HTTP_READY, GD_HTTP_DELIVERING };
struct gd_http_xfer { /* pooled: an easy handle set up once, and the buffers of one answer */
    struct gd_list link;
    CURL *easy;
    struct gd_buf head, body;
    struct gd_http_header *headers;
    size_t headers_cap;
    char errbuf[CURL_ERROR_SIZE];
};
struct gd_http_call {
    struct gd_list link;            /* flying or ready list of the client */
    struct gd_list arrived, people; /* the app's lists */
    struct gd_http_client *client;
    struct gd_http_app *app;
    struct gd_http_breaker *breaker; /* NULL: none */
    struct gd_http_xfer *xfer;
    enum gd_http_state state;
    size_t heap_at;
    uint64_t seq;
    int64_t due, expires;                      /* mono */
    int64_t timeout_ms, started;               /* started: mono */
    int64_t ends, send_by;                     /* mono; see late.c */
    bool reuse, interactive, probe, head_only; /* reuse: repeatable, or allowed to */
    struct gd_http_target target;
    const char *method, *url, *body;
    size_t body_len;
    struct curl_slist *headers;
    gd_http_fn *fn;
    void *arg;
    /* what the callbacks saw */
    unsigned dialled, denied; /* addresses */
    bool written;             /* see wire.c: from here on a byte may have arrived */
    bool head_done, too_large, bad_head;
    bool overslept; /* nothing was sent: its time was over */
    bool awaited;   /* once more */
    size_t head_bytes, nheaders;
    size_t half; /* fault points: bytes of the body handed to curl so far */
    unsigned seen_faults;
    struct gd_http_answer answer;
};

/* ---- wire.c ------------------------------------------------------------------------------------------ */
struct gd_http_xfer *gd_http_xfer_new(struct gd_http_client *c);
void gd_http_xfer_free(struct gd_http_xfer *x);
void gd_http_xfer_clear(struct gd_http_xfer *x); /* forgets request and answer, keeps memory */
/* Sets the handle up for the call. */
void gd_http_wire_prepare(struct gd_http_call *call);
/* Fills call->answer from what curl says; returns how the platform is. */
enum gd_http_health gd_http_wire_finish(struct gd_http_call *call, CURLcode code);

/* ---- late.c: when a call's time is over ---------------------------------------------------------------- */
void gd_http_late_init(struct gd_http_client *c);
void gd_http_late_watch(struct gd_http_call *call); /* it flies from now on */
/* Ends whatever has no time left. Before curl is let do anything, so that it goes on with nothing that is
 * over; not from inside curl. */
void gd_http_late_look(struct gd_http_client *c);
/* May another byte of it leave? */
bool gd_http_late_may_send(const struct gd_http_call *call);

/* ---- poll.c: CURLM on the loop ----------------------------------------------------------------------- */
struct gd_http_sock {
    uv_poll_t poll; /* first */
    struct gd_http_client *client;
    curl_socket_t fd;
    int events;  /* what uv_poll is asked for */
    bool tcp;    /* opened by us; else a pair that curl wakes itself with */
    bool wanted; /* curl wants events; otherwise the socket lies in its connection cache */
};
int gd_http_poll_init(struct gd_http_client *c, struct gd_err *err);
void gd_http_poll_done(struct gd_http_client *c); /* starts closing; each handle counts in c->closing */
curl_socket_t gd_http_poll_open(struct gd_http_client *c, const struct curl_sockaddr *a);
int gd_http_poll_close_socket(void *client, curl_socket_t fd);

/* ---- client.c ---------------------------------------------------------------------------------------- */
#define GD_HTTP_SKEW_HOSTS 64
struct gd_http_skew {
    uint64_t host;  /* hash */
    int64_t ms, at; /* at: monotonic, when it was measured */
    int64_t offset; /* of our clocks then: a sample from before our clock was set says nothing */
};
struct gd_http_client {
    struct gd_transport transport; /* first */
    uv_loop_t *loop;
    const struct gd_clock *clock;
    struct gd_log *log;
    struct gd_http_guard guard;
    char *ca_file, *user_agent;
    struct gd_http_limits dflt;
    struct gd_map apps;
    CURLM *multi;
    uv_timer_t curl_timer, pump_timer, end_timer;
    uv_check_t check;
    uv_idle_t idle; /* active while ready is not empty, so that the loop does not sleep over it */
    struct gd_http_sock **socks; /* by descriptor */
    size_t nsocks;
    struct gd_list flying, ready, batch; /* batch: what is being delivered in this turn */
    struct gd_list idle_xfers;
    unsigned nflying, nidle_xfers, closing;
    int64_t wake_at; /* what pump_timer is set to (mono); INT64_MAX: not */
    int64_t end_at;  /* the same of end_timer; nobody's time is over before */
    bool capped;     /* somebody could not go because GD_HTTP_FLYING_MAX were on their way */
    uint64_t seq;
    size_t pump_from;
    struct gd_http_skew skew[GD_HTTP_SKEW_HOSTS];
    size_t nskew, skew_at;
    char date_text[48]; /* of the last answer, and what it says: the next one is mostly of the same second */
    int64_t date;
    bool closed;
    bool split_bodies; /* fault point F06 */
    void (*on_closed)(void *);
    void *closed_arg;
};
/* poll.c tells: a transfer ended. */
void gd_http_client_finished(struct gd_http_client *c, struct gd_http_call *call, CURLcode code);
void gd_http_client_handle_closed(struct gd_http_client *c);

#endif
