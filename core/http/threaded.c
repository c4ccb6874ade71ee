/* http/threaded.c - the client on a thread and a loop of its own, so that TLS and libcurl take no time of the
 * loop that vends. Seen from outside it is a transport like any other: send copies the request and hands it
 * over, the answer is handed back as a copy and told on the caller's loop, a few hundred microseconds' worth
 * in a turn.
 *
 * A call belongs to the caller's loop, which makes and frees it. Between the two it is passed on by lists
 * under one lock: asked -> (the other thread) -> done. Each comes back exactly once: with its answer, or
 * empty when it was cancelled before. What else is wanted of the client (limits, status, the end) is done
 * over there while the caller waits. */
#include "base/list.h"
#include "base/mem.h"
#include "http/http.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum state { ASKED, GOING, ANSWERED };

struct passed {            /* seen from outside: struct gd_http_call */
    struct gd_list link;   /* [lock] asked or done; ready */
    struct gd_list cancel; /* [lock] in cancels, or alone */
    struct gd_list all;
    struct gd_http_threaded *t;
    gd_http_fn *fn;
    void *arg;
    struct gd_http_request request; /* with its texts in one block */
    char *texts;
    enum state state;              /* [lock] */
    bool cancelled;                /* [lock] */
    struct gd_http_call *inner;    /* [other thread] */
    struct gd_http_answer *answer; /* with its texts in one block */
};

struct job { /* something to be done over there */
    void (*fn)(struct gd_http_threaded *t, void *arg);
    void *arg;
    bool done;
};

struct gd_http_threaded {
    struct gd_transport transport;
    struct gd_http_client *client; /* [other thread] */
    uv_loop_t there;
    uv_async_t wake_there, wake_here;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t job_done;
    struct gd_list asked, cancels, done; /* [lock] */
    struct job *job;                     /* [lock] */
    struct gd_list all, ready;           /* here: every call; answers that wait for their turn */
    struct passed *telling;
    void (*on_held)(void *arg, const char *app, int64_t ms);
    void *held_arg;
    void (*on_closed)(void *);
    void *closed_arg;
};

static struct passed *call_of(struct gd_list *l)
{
    return gd_container_of(l, struct passed, link);
}

/* ---- copies in one block ------------------------------------------------------------------------------- */
struct pack {
    char *p; /* NULL: only counts */
    size_t n;
};

static char *pack_text(struct pack *k, const char *s, size_t n)
{
    char *to = k->p ? k->p + k->n : NULL;

    if (to && n)
        memcpy(to, s, n);
    if (to)
        to[n] = '\0';
    k->n += n + 1;
    return to;
}

static char *pack_string(struct pack *k, const char *s)
{
    return s ? pack_text(k, s, strlen(s)) : NULL;
}

/* Before all texts, while the place is aligned. */
static void *pack_array(struct pack *k, size_t bytes)
{
    void *to = k->p ? k->p + k->n : NULL;

    k->n += (bytes + 15) & ~(size_t)15;
    return to;
}

static void pack_headers(struct pack *k, struct gd_http_header *to, const struct gd_http_header *from,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = pack_string(k, from[i].name), *value = pack_string(k, from[i].value);

        if (to)
            to[i] = (struct gd_http_header){ name, value };
    }
}

static void pack_request(struct pack *k, struct gd_http_request *to, const struct gd_http_request *r)
{
    struct gd_http_header *headers = pack_array(k, r->nheaders * sizeof *headers);
    size_t nhosts = 0;
    const char **hosts;

    while (r->hosts && r->hosts[nhosts])
        nhosts++;
    hosts = r->hosts ? pack_array(k, (nhosts + 1) * sizeof *hosts) : NULL;
    *to = *r;
    pack_headers(k, headers, r->headers, r->nheaders);
    for (size_t i = 0; i < nhosts; i++) {
        const char *host = pack_string(k, r->hosts[i]);

        if (hosts)
            hosts[i] = host;
    }
    to->headers = headers;
    to->hosts = hosts;
    to->method = pack_string(k, r->method);
    to->url = pack_string(k, r->url);
    to->app = pack_string(k, r->app);
    to->body = r->body ? pack_text(k, r->body, r->body_len) : NULL;
}

static void pack_answer(struct pack *k, struct gd_http_answer *to, const struct gd_http_answer *a)
{
    struct gd_http_header *headers = pack_array(k, a->nheaders * sizeof *headers);

    *to = *a;
    pack_headers(k, headers, a->headers, a->nheaders);
    to->headers = headers;
    to->body = a->body ? pack_text(k, a->body, a->body_len) : NULL;
}

static void copy_request(struct passed *c, const struct gd_http_request *r)
{
    struct pack k = { 0 };

    pack_request(&k, &c->request, r);
    c->texts = gd_new(k.n);
    k = (struct pack){ c->texts, 0 };
    pack_request(&k, &c->request, r);
}

static struct gd_http_answer *copy_answer(const struct gd_http_answer *a)
{
    struct gd_http_answer *to, first;
    struct pack k = { 0 };
    char *block;

    (void)pack_array(&k, sizeof *to);
    pack_answer(&k, &first, a);
    block = gd_new(k.n);
    k = (struct pack){ block, 0 };
    to = pack_array(&k, sizeof *to);
    pack_answer(&k, to, a);
    return to;
}

/* ---- [other thread] ------------------------------------------------------------------------------------ */

/* Back to where it came from; under the lock. */
static void give_back(struct gd_http_threaded *t, struct passed *c)
{
    c->state = ANSWERED;
    gd_list_del(&c->cancel);
    if (gd_list_empty(&t->done))
        uv_async_send(&t->wake_here);
    gd_list_add(&t->done, &c->link);
}

static void on_answer(void *arg, const struct gd_http_answer *a)
{
    struct passed *c = arg;
    struct gd_http_threaded *t = c->t;

    c->inner = NULL;
    c->answer = copy_answer(a);
    pthread_mutex_lock(&t->lock);
    give_back(t, c);
    pthread_mutex_unlock(&t->lock);
}

static void pass_on(struct gd_http_threaded *t, struct passed *c)
{
    struct gd_transport *inner = gd_http_client_transport(t->client);

    c->inner = inner->send(inner, &c->request, on_answer, c); /* copies; the texts go where they came from */
}

static void take_back(struct gd_http_threaded *t, struct passed *c)
{
    struct gd_transport *inner = gd_http_client_transport(t->client);

    if (c->inner)
        inner->cancel(inner, &c->inner);
    pthread_mutex_lock(&t->lock);
    give_back(t, c);
    pthread_mutex_unlock(&t->lock);
}

static struct passed *next_asked(struct gd_http_threaded *t)
{
    struct gd_list *l;
    struct passed *c = NULL;

    pthread_mutex_lock(&t->lock);
    while (!c && (l = gd_list_pop(&t->asked))) {
        c = call_of(l);
        if (c->cancelled) {
            give_back(t, c);
            c = NULL;
        }
    }
    if (c)
        c->state = GOING;
    pthread_mutex_unlock(&t->lock);
    return c;
}

static struct passed *next_cancelled(struct gd_http_threaded *t)
{
    struct gd_list *l;

    pthread_mutex_lock(&t->lock);
    l = gd_list_pop(&t->cancels);
    pthread_mutex_unlock(&t->lock);
    return l ? gd_container_of(l, struct passed, cancel) : NULL;
}

static void do_job(struct gd_http_threaded *t)
{
    struct job *j;

    pthread_mutex_lock(&t->lock);
    j = t->job;
    t->job = NULL;
    pthread_mutex_unlock(&t->lock);
    if (!j)
        return;
    j->fn(t, j->arg);
    pthread_mutex_lock(&t->lock);
    j->done = true;
    pthread_cond_signal(&t->job_done);
    pthread_mutex_unlock(&t->lock);
}

static void on_wake_there(uv_async_t *h)
{
    struct gd_http_threaded *t = gd_container_of(h, struct gd_http_threaded, wake_there);
    struct passed *c;

    while ((c = next_asked(t)))
        pass_on(t, c);
    while ((c = next_cancelled(t)))
        take_back(t, c);
    do_job(t);
}

static void *thread_main(void *arg)
{
    struct gd_http_threaded *t = arg;

    /* The loop, which serves people and programs, goes first where all want to run. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + GD_NICE_BEHIND);
    (void)uv_run(&t->there, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- here ---------------------------------------------------------------------------------------------- */

static void call_free(struct passed *c)
{
    gd_list_del(&c->all);
    if (gd_list_empty(&c->t->all))
        uv_unref((uv_handle_t *)&c->t->wake_here);
    gd_free(c->texts);
    gd_free(c->answer);
    gd_free(c);
}

static void tell(struct gd_http_threaded *t, struct passed *c)
{
    t->telling = c;
    if (c->answer && c->answer->held_ms && c->request.app && t->on_held)
        t->on_held(t->held_arg, c->request.app, c->answer->held_ms);
    if (!c->cancelled)
        c->fn(c->arg, c->answer);
    t->telling = NULL;
    call_free(c);
}

static void on_wake_here(uv_async_t *h)
{
    struct gd_http_threaded *t = gd_container_of(h, struct gd_http_threaded, wake_here);
    uint64_t until = uv_hrtime() + GD_LOOP_SLICE_US * 1000;
    struct gd_list *l;

    pthread_mutex_lock(&t->lock);
    while ((l = gd_list_pop(&t->done)))
        gd_list_add(&t->ready, l);
    pthread_mutex_unlock(&t->lock);
    while (!t->on_closed && (l = gd_list_pop(&t->ready))) {
        tell(t, call_of(l));
        if (uv_hrtime() > until)
            break;
    }
    if (!t->on_closed && !gd_list_empty(&t->ready))
        uv_async_send(&t->wake_here); /* others have their turn first */
}

static struct gd_http_call *threaded_send(struct gd_transport *transport, const struct gd_http_request *r,
                                          gd_http_fn *fn, void *arg)
{
    struct gd_http_threaded *t = gd_container_of(transport, struct gd_http_threaded, transport);
    struct passed *c = gd_new(sizeof *c);
    bool first;

    c->t = t;
    c->fn = fn;
    c->arg = arg;
    gd_list_init(&c->link);
    gd_list_init(&c->cancel);
    if (gd_list_empty(&t->all))
        uv_ref((uv_handle_t *)&t->wake_here);
    gd_list_add(&t->all, &c->all);
    copy_request(c, r);
    pthread_mutex_lock(&t->lock);
    first = gd_list_empty(&t->asked);
    gd_list_add(&t->asked, &c->link);
    pthread_mutex_unlock(&t->lock);
    if (first)
        uv_async_send(&t->wake_there);
    return (struct gd_http_call *)(void *)c;
}

static void threaded_cancel(struct gd_transport *transport, struct gd_http_call **pcall)
{
    struct gd_http_threaded *t = gd_container_of(transport, struct gd_http_threaded, transport);
    struct passed *c = (struct passed *)(void *)*pcall;

    *pcall = NULL;
    if (!c || c == t->telling)
        return;
    pthread_mutex_lock(&t->lock);
    c->cancelled = true;
    if (c->state == GOING && gd_list_empty(&c->cancel))
        gd_list_add(&t->cancels, &c->cancel);
    pthread_mutex_unlock(&t->lock);
    uv_async_send(&t->wake_there);
}

/* Has it done over there and waits until it is. */
static void do_there(struct gd_http_threaded *t, void (*fn)(struct gd_http_threaded *t, void *arg), void *arg)
{
    struct job j = { .fn = fn, .arg = arg };

    pthread_mutex_lock(&t->lock);
    t->job = &j;
    uv_async_send(&t->wake_there);
    while (!j.done)
        pthread_cond_wait(&t->job_done, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

struct wanted_limits {
    const char *app;
    const struct gd_http_limits *limits;
};

static void limits_there(struct gd_http_threaded *t, void *arg)
{
    const struct wanted_limits *w = arg;

    gd_http_client_set_limits(t->client, w->app, w->limits);
}

void gd_http_threaded_set_limits(struct gd_http_threaded *t, const char *app, const struct gd_http_limits *l)
{
    struct wanted_limits w = { app, l };

    do_there(t, limits_there, &w);
}

struct wanted_hold {
    const char *app;
    int64_t ms;
};

static void hold_there(struct gd_http_threaded *t, void *arg)
{
    const struct wanted_hold *w = arg;

    gd_http_client_hold(t->client, w->app, w->ms);
}

void gd_http_threaded_hold(struct gd_http_threaded *t, const char *app, int64_t ms)
{
    struct wanted_hold w = { app, ms };

    do_there(t, hold_there, &w);
}

static void status_there(struct gd_http_threaded *t, void *arg)
{
    *(json_t **)arg = gd_http_client_status(t->client);
}

json_t *gd_http_threaded_status(struct gd_http_threaded *t)
{
    json_t *j = NULL;

    do_there(t, status_there, &j);
    return j;
}

struct wanted_skew {
    bool known;
    int64_t ms;
};

static void skew_there(struct gd_http_threaded *t, void *arg)
{
    struct wanted_skew *w = arg;

    w->known = gd_http_client_skew(t->client, &w->ms);
}

bool gd_http_threaded_skew(struct gd_http_threaded *t, int64_t *ret_ms)
{
    struct wanted_skew w = { false, 0 };

    do_there(t, skew_there, &w);
    if (w.known)
        *ret_ms = w.ms;
    return w.known;
}

struct gd_transport *gd_http_threaded_transport(struct gd_http_threaded *t)
{
    return &t->transport;
}

/* ---- the beginning and the end ------------------------------------------------------------------------- */
static void on_client_closed(void *arg)
{
    struct gd_http_threaded *t = arg;

    uv_close((uv_handle_t *)&t->wake_there, NULL); /* the last handle: the loop over there ends */
}

static void close_there(struct gd_http_threaded *t, void *arg)
{
    (void)arg;
    gd_http_client_close(t->client, on_client_closed, t);
}

static void on_here_closed(uv_handle_t *h)
{
    struct gd_http_threaded *t = gd_container_of(h, struct gd_http_threaded, wake_here);
    void (*done)(void *) = t->on_closed;
    void *arg = t->closed_arg;

    while (!gd_list_empty(&t->all))
        call_free(gd_container_of(t->all.next, struct passed, all));
    (void)uv_loop_close(&t->there);
    pthread_cond_destroy(&t->job_done);
    pthread_mutex_destroy(&t->lock);
    gd_free(t);
    done(arg);
}

void gd_http_threaded_close(struct gd_http_threaded *t, void (*done)(void *), void *arg)
{
    t->on_closed = done;
    t->closed_arg = arg;
    do_there(t, close_there, NULL);
    (void)pthread_join(t->thread, NULL);
    uv_close((uv_handle_t *)&t->wake_here, on_here_closed);
}

/* The thread takes no signals: those are the loop's. */
static void start_thread(struct gd_http_threaded *t)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&t->thread, NULL, thread_main, t) != 0)
        abort(); /* start-up only: no threads to be had */
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

struct gd_http_threaded *gd_http_threaded_new(uv_loop_t *loop, const struct gd_http_options *o,
                                              const struct gd_clock *clock, struct gd_log *log,
                                              struct gd_err *err)
{
    struct gd_http_threaded *t = gd_new(sizeof *t);

    if (uv_loop_init(&t->there) < 0)
        abort(); /* out of descriptors before anything began */
    t->client = gd_http_client_new(&t->there, o, clock, log, err);
    if (!t->client) {
        (void)uv_loop_close(&t->there);
        gd_free(t);
        return NULL;
    }
    t->transport = (struct gd_transport){ threaded_send, threaded_cancel };
    t->on_held = o->on_held;
    t->held_arg = o->arg;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->job_done, NULL);
    gd_list_init(&t->asked);
    gd_list_init(&t->cancels);
    gd_list_init(&t->done);
    gd_list_init(&t->all);
    gd_list_init(&t->ready);
    if (uv_async_init(&t->there, &t->wake_there, on_wake_there) < 0 ||
        uv_async_init(loop, &t->wake_here, on_wake_here) < 0)
        abort();
    uv_unref((uv_handle_t *)&t->wake_here); /* keeps the loop up while calls are out, not otherwise */
    start_thread(t);
    return t;
}
