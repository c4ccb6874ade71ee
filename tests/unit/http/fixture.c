/* See fixture.h. getaddrinfo is ours here: nothing asks a name server, and a name leads where a test says. */
#include "fixture.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

atomic_uint resolver_calls, resolver_slow_over;
atomic_bool resolver_let_go;
static char resolver_list[1024];
static unsigned resolver_next;

void resolver_set(const char *addresses)
{
    snprintf(resolver_list, sizeof resolver_list, "%s", addresses);
    resolver_next = 0;
}

static void pick_address(char *out, size_t cap)
{
    const char *p = resolver_list;
    unsigned n = 1;

    for (const char *c = p; *c; c++)
        n += *c == ',';
    for (unsigned i = resolver_next++ % n; i; i--)
        p = strchr(p, ',') + 1;
    snprintf(out, cap, "%.*s", (int)strcspn(p, ","), p);
}

static void wait_let_go(void)
{
    const struct timespec ts = { 0, 5000000 };

    for (int i = 0; i < 2000 && !resolver_let_go; i++)
        nanosleep(&ts, NULL);
    resolver_slow_over++;
}

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **res)
{
    static _Thread_local int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    struct addrinfo h = hints ? *hints : (struct addrinfo){ 0 };
    char address[64];

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    resolver_calls++;
    if (!strcmp(node, "slow.test")) {
        wait_let_go();
        return EAI_AGAIN;
    }
    if (!strcmp(node, "good.test") || !strcmp(node, "evil.test") || !strcmp(node, "localhost."))
        node = "127.0.0.1";
    else if (strlen(node) > 11 && !strcmp(node + strlen(node) - 11, ".fixed.test")) {
        pick_address(address, sizeof address);
        node = address;
    } else {
        return EAI_NONAME;
    }
    h.ai_flags |= AI_NUMERICHOST;
    h.ai_family = AF_UNSPEC;
    return real(node, service, &h, res);
}

void fixture_start(struct fixture *f)
{
    struct gd_http_options o = {
        .origins = f->origins, .allow_private = f->allow, .ca_file = f->ca_file, .limits = f->limits
    };
    struct gd_err err = { 0 };

    if (!f->clock)
        f->clock = gd_clock_system();
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->client = gd_http_client_new(&f->loop, &o, f->clock, NULL, &err);
    if (!f->client)
        fail_msg("%s", err.text);
    f->t = gd_http_client_transport(f->client);
}

void fixture_plain(struct fixture *f)
{
    char url[64];

    f->server = server_new(NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", server_port(f->server));
    f->origins = json_pack("{s:s,s:s+}", "https://good.test", url, "https://*.shop.test", url, "/*");
    fixture_start(f);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void fixture_stop(struct fixture *f)
{
    bool closed = false;

    gd_http_client_close(f->client, on_closed, &closed);
    while (uv_run(&f->loop, UV_RUN_ONCE))
        ;
    assert_true(closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    if (f->server)
        server_free(f->server);
    json_decref(f->origins);
    json_decref(f->allow);
}

struct gd_http_request fixture_request(const char *url)
{
    return (struct gd_http_request){ .method = "GET", .url = url, .app = "test/a", .timeout_ms = 5000 };
}

static void on_answer(void *arg, const struct gd_http_answer *a)
{
    struct got *g = arg;
    size_t cap = 1, at = 0;

    assert_int_equal(g->order, 0);
    g->order = ++g->f->order;
    g->call = NULL;
    g->end = a->end;
    g->status = a->status;
    g->body = gd_strndup(a->body ? a->body : "", a->body_len);
    g->body_len = a->body_len;
    g->sent_at = a->sent_at;
    g->took_ms = a->took_ms;
    g->date = a->date;
    g->err = a->err;
    for (size_t i = 0; i < a->nheaders; i++)
        cap += strlen(a->headers[i].name) + strlen(a->headers[i].value) + 2;
    g->headers = gd_new(cap);
    for (size_t i = 0; i < a->nheaders; i++)
        at += (size_t)snprintf(g->headers + at, cap - at, "%s=%s\n", a->headers[i].name, a->headers[i].value);
    if (a->end == GD_HTTP_ANSWER) {
        assert_non_null(a->body);
        assert_int_equal(a->body[a->body_len], 0);
    } else {
        assert_int_equal(a->status, 0);
        assert_true(a->err.text[0] != '\0');
    }
}

void fixture_send(struct fixture *f, struct got *g, const struct gd_http_request *r)
{
    *g = (struct got){ .f = f };
    g->call = f->t->send(f->t, r, on_answer, g);
    assert_non_null(g->call); /* and so never called back inside */
}

static void on_limit(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

static void on_gone(uv_handle_t *h)
{
    *(bool *)h->data = false;
}

/* Runs the loop until *stop or ms are over; true when it was stopped. */
static bool run(struct fixture *f, const int *stop, int ms)
{
    uv_timer_t timer;
    bool over = false, open = true;

    uv_timer_init(&f->loop, &timer);
    timer.data = &over;
    uv_update_time(&f->loop);
    /* It comes again: when it is due before the loop has begun to turn, the loop would wait for nothing. */
    uv_timer_start(&timer, on_limit, (uint64_t)ms, 1);
    while (!over && !(stop && *stop))
        uv_run(&f->loop, UV_RUN_ONCE);
    timer.data = &open;
    uv_close((uv_handle_t *)&timer, on_gone);
    while (open)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    return !over;
}

void fixture_wait(struct fixture *f, struct got *g)
{
    if (!run(f, &g->order, 10000))
        fail_msg("no answer within 10 s");
}

void fixture_turn(struct fixture *f, int ms)
{
    (void)run(f, NULL, ms);
}

void fixture_reaches(struct fixture *f, unsigned n)
{
    int64_t end = gd_mono(gd_clock_system()) + 10000;

    while (server_requests(f->server) < n) {
        if (gd_mono(gd_clock_system()) > end)
            fail_msg("%u requests at the server within 10 s, not %u", server_requests(f->server), n);
        fixture_turn(f, 1);
    }
}

void fixture_get(struct fixture *f, struct got *g, const char *url)
{
    struct gd_http_request r = fixture_request(url);

    fixture_send(f, g, &r);
    fixture_wait(f, g);
}

void got_free(struct got *g)
{
    gd_free(g->body);
    gd_free(g->headers);
    *g = (struct got){ .f = g->f };
}
