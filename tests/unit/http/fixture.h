/* What the tests of the client share: a loop with a client on it, and what came back. */
#ifndef TEST_HTTP_FIXTURE_H
#define TEST_HTTP_FIXTURE_H

#include "base/mem.h"
#include "http/http.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <cmocka.h>
#include <string.h>

/* The same tests are built a second time for the client on a thread of its own. */
#ifdef HTTP_THREADED
#define gd_http_client            gd_http_threaded
#define gd_http_client_new        gd_http_threaded_new
#define gd_http_client_close      gd_http_threaded_close
#define gd_http_client_transport  gd_http_threaded_transport
#define gd_http_client_set_limits gd_http_threaded_set_limits
#define gd_http_client_status     gd_http_threaded_status
#endif

struct fixture {
    uv_loop_t loop;
    struct gd_http_client *client;
    struct gd_transport *t;
    struct server *server;
    json_t *origins, *allow;
    const char *ca_file;
    const struct gd_clock *clock;
    struct gd_http_limits limits;
    int order; /* counts answers */
};
struct got {
    struct fixture *f;
    struct gd_http_call *call;
    int order; /* 0: nothing came yet; 1: the first answer of the fixture */
    enum gd_http_end end;
    int status;
    char *body, *headers; /* headers: "name=value\n"... */
    size_t body_len;
    int64_t sent_at, took_ms, date;
    struct gd_err err;
};

void fixture_start(struct fixture *f); /* makes loop and client from origins, allow, limits, ... */
void fixture_stop(struct fixture *f);  /* closes; fails when a handle is left */
/* https://good.test of the fixture's plain server. */
void fixture_plain(struct fixture *f);
struct gd_http_request fixture_request(const char *url);
void fixture_send(struct fixture *f, struct got *g, const struct gd_http_request *r);
void fixture_wait(struct fixture *f, struct got *g);                 /* until it came; fails after 10 s */
void fixture_get(struct fixture *f, struct got *g, const char *url); /* send and wait */
void fixture_turn(struct fixture *f, int ms);                        /* lets the loop run for so long */
void fixture_reaches(struct fixture *f,
                     unsigned n); /* until n requests are at the server; fails after 10 s */
void got_free(struct got *g);

/* Names below .test that the resolver of these programs knows; everything else does not exist. */
extern atomic_uint resolver_calls; /* curl asks on threads of its own */
/* slow.test: nobody hears of it until this is set, or 10 s are over; how often that was. */
extern atomic_bool resolver_let_go;
extern atomic_uint resolver_slow_over;
/* What names below fixed.test lead to: numeric addresses, separated by commas, a new one each time. */
void resolver_set(const char *addresses);

#endif
