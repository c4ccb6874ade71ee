/* http/client.c - the client: takes requests, lets them go when their app allows it, delivers answers from a
 * check handle. It owns every call from send to its delivery. Handles are closed by gd_http_client_close; the
 * memory goes in the close callback of the last one. */
#include "base/mem.h"
#include "base/text.h"
#include "http/http_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XFERS_KEPT   64
#define SKEW_AGE_MS  (3600 * 1000) /* an older sample says nothing */
#define SKEW_STEP_MS 5000          /* our clock was set since */

static void pump(struct gd_http_client *c, struct gd_http_app *a);
static void slot_free(struct gd_http_client *c, struct gd_http_app *a);

static struct gd_http_client *of_transport(struct gd_transport *t)
{
    return gd_container_of(t, struct gd_http_client, transport);
}

/* ---- a call ------------------------------------------------------------------------------------------ */

/* Text of one header as curl wants it; a header without value ends in a semicolon there. */
static size_t header_text(char *out, const struct gd_http_header *h)
{
    size_t n = strlen(h->name), v = strlen(h->value);

    if (!out)
        return n + 2 + v + 1;
    memcpy(out, h->name, n);
    if (v == 0) {
        memcpy(out + n, ";", 2);
        return n + 2;
    }
    memcpy(out + n, ": ", 2);
    memcpy(out + n + 2, h->value, v + 1);
    return n + 2 + v + 1;
}

static const char *copy_text(char **p, const char *s, size_t n)
{
    char *at = *p;

    if (n)
        memcpy(at, s, n);
    at[n] = '\0';
    *p += n + 1;
    return at;
}

/* Sent with every request: nothing is unpacked here, nothing waits for a 100, nothing is guessed. */
static const struct gd_http_header fixed[] = { { "Accept-Encoding", "identity" } };
#define NFIXED (sizeof fixed / sizeof *fixed)
static const char *const removed[] = { "Expect:", "Content-Type:" }; /* what curl would add by itself */

static bool has_header(const struct gd_http_request *r, const char *name)
{
    for (size_t i = 0; i < r->nheaders; i++)
        if (!strcasecmp(r->headers[i].name, name))
            return true;
    return false;
}

/* The list that curl reads, built inside the call's own block. */
static void lay_headers(struct gd_http_call *call, struct curl_slist *node, char **p,
                        const struct gd_http_request *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->nheaders + NFIXED; i++) {
        node[n++].data = *p;
        *p += header_text(*p, i < NFIXED ? &fixed[i] : &r->headers[i - NFIXED]);
    }
    node[n++].data = (char *)(uintptr_t)removed[0];
    if (!has_header(r, "content-type"))
        node[n++].data = (char *)(uintptr_t)removed[1];
    for (size_t i = 0; i + 1 < n; i++)
        node[i].next = &node[i + 1];
    call->headers = node;
}

/* One block: the call, the header list, the texts. */
static struct gd_http_call *call_new(struct gd_http_client *c, const struct gd_http_request *r)
{
    size_t nnodes = r->nheaders + NFIXED + sizeof removed / sizeof *removed, text, nurl = strlen(r->url);
    struct gd_http_call *call;
    char *p;

    text = strlen(r->method) + 1 + nurl + 1 + r->body_len + 1 + header_text(NULL, &fixed[0]);
    for (size_t i = 0; i < r->nheaders; i++)
        text += header_text(NULL, &r->headers[i]);
    call = gd_new(sizeof *call + nnodes * sizeof(struct curl_slist) + text);
    p = (char *)(call + 1) + nnodes * sizeof(struct curl_slist);
    lay_headers(call, (struct curl_slist *)(void *)(call + 1), &p, r);
    call->method = copy_text(&p, r->method, strlen(r->method));
    call->url = copy_text(&p, r->url, nurl);
    call->body = r->body ? copy_text(&p, r->body, r->body_len) : NULL;
    call->body_len = r->body ? r->body_len : 0;
    call->client = c;
    gd_list_init(&call->link);
    gd_list_init(&call->arrived);
    gd_list_init(&call->people);
    return call;
}

static void xfer_release(struct gd_http_client *c, struct gd_http_xfer *x)
{
    if (!x)
        return;
    gd_http_xfer_clear(x);
    if (c->closed || c->nidle_xfers >= XFERS_KEPT) {
        gd_http_xfer_free(x);
        return;
    }
    c->nidle_xfers++;
    gd_list_add(&c->idle_xfers, &x->link);
}

static struct gd_http_xfer *xfer_get(struct gd_http_client *c)
{
    struct gd_list *n = c->idle_xfers.prev; /* the last one used: its memory is warm */

    if (n == &c->idle_xfers)
        return gd_http_xfer_new(c);
    gd_list_del(n);
    c->nidle_xfers--;
    return gd_container_of(n, struct gd_http_xfer, link);
}

static void call_free(struct gd_http_call *call)
{
    xfer_release(call->client, call->xfer);
    gd_free(call->target.mapped);
    gd_free(call);
}

/* ---- answers ----------------------------------------------------------------------------------------- */
static void on_idle(uv_idle_t *h)
{
    (void)h; /* only keeps the loop from sleeping over ready answers */
}

static void on_check(uv_check_t *h)
{
    struct gd_http_client *c = gd_container_of(h, struct gd_http_client, check);
    struct gd_list *n;

    gd_list_take(&c->batch, &c->ready);
    while (!c->closed && (n = gd_list_pop(&c->batch))) {
        struct gd_http_call *call = gd_container_of(n, struct gd_http_call, link);

        call->state = GD_HTTP_DELIVERING;
        call->fn(call->arg, &call->answer);
        call_free(call);
    }
    if (!c->closed && gd_list_empty(&c->ready)) {
        (void)uv_check_stop(&c->check);
        (void)uv_idle_stop(&c->idle);
    }
}

static void make_ready(struct gd_http_client *c, struct gd_http_call *call)
{
    call->state = GD_HTTP_READY;
    gd_list_add(&c->ready, &call->link);
    (void)uv_check_start(&c->check, on_check);
    (void)uv_idle_start(&c->idle, on_idle);
}

static void note_skew(struct gd_http_client *c, const struct gd_http_call *call)
{
    const struct gd_http_answer *a = &call->answer;
    uint64_t host = gd_hash_text(call->target.url.host);
    size_t i = 0;

    if (a->date < 0 || a->date > INT64_MAX / 2000)
        return;
    while (i < c->nskew && c->skew[i].host != host)
        i++;
    if (i == c->nskew && c->nskew == GD_HTTP_SKEW_HOSTS)
        i = c->skew_at++ % GD_HTTP_SKEW_HOSTS;
    else if (i == c->nskew)
        c->nskew++;
    /* The Date is cut to seconds and was made somewhere between sending and now. */
    c->skew[i] = (struct gd_http_skew){ .host = host,
                                        .ms = a->date * 1000 + 500 - (a->sent_at + a->took_ms / 2),
                                        .at = gd_mono(c->clock),
                                        .offset = gd_now(c->clock) - gd_mono(c->clock) };
}

void gd_http_client_finished(struct gd_http_client *c, struct gd_http_call *call, CURLcode code)
{
    enum gd_http_health health = gd_http_wire_finish(call, code);
    const struct gd_http_answer *a = &call->answer;
    int64_t now = gd_mono(c->clock);

    gd_list_del(&call->link);
    c->nflying--;
    gd_http_app_landed(call->app, call, health, now);
    if (a->end == GD_HTTP_ANSWER) {
        call->answer.held_ms = gd_http_app_heed(call->app, a, now, gd_now(c->clock));
        note_skew(c, call);
    }
    GD_LOG(c->log, GD_LOG_DEBUG, "http.end", GD_F_STR("app", call->app->name),
           GD_F_STR("host", call->target.url.host), GD_F_INT("status", a->status), GD_F_INT("ms", a->took_ms),
           GD_F_STR("reason", a->end == GD_HTTP_ANSWER ? "" : gd_reason_word(a->err.reason)));
    make_ready(c, call);
    slot_free(c, call->app);
}

/* ---- going
 * -----------------------------------------------------------------------------------------------------------
 */
static void fly(struct gd_http_client *c, struct gd_http_call *call)
{
    call->state = GD_HTTP_FLYING;
    call->xfer = xfer_get(c);
    call->started = gd_mono(c->clock);
    call->answer.sent_at = gd_now(c->clock);
    gd_http_wire_prepare(call);
    c->nflying++;
    gd_list_add(&c->flying, &call->link);
    gd_http_late_watch(call);
    if (curl_multi_add_handle(c->multi, call->xfer->easy) != CURLM_OK)
        gd_http_client_finished(c, call, CURLE_OUT_OF_MEMORY);
}

/* From another app each time, so that none lives at the cost of the others when all flights are taken. */
static void pump_all(struct gd_http_client *c)
{
    size_t from = c->apps.cap ? c->pump_from++ % c->apps.cap : 0;

    c->capped = false;
    for (size_t i = 0; i < c->apps.cap; i++) {
        struct gd_http_app *a = c->apps.entries[(from + i) % c->apps.cap].value;

        if (a && a->waiting)
            pump(c, a);
    }
}

static void slot_free(struct gd_http_client *c, struct gd_http_app *a)
{
    if (c->capped)
        pump_all(c);
    else
        pump(c, a);
}

static void on_pump_timer(uv_timer_t *t)
{
    struct gd_http_client *c = gd_container_of(t, struct gd_http_client, pump_timer);

    c->wake_at = INT64_MAX;
    pump_all(c);
}

static void wake_at(struct gd_http_client *c, int64_t at, int64_t now)
{
    if (at >= c->wake_at)
        return;
    c->wake_at = at;
    uv_update_time(c->loop);
    (void)uv_timer_start(&c->pump_timer, on_pump_timer, at > now ? (uint64_t)(at - now) : 0, 0);
}

/* Lets everything of this app go that may. */
static void pump(struct gd_http_client *c, struct gd_http_app *a)
{
    struct gd_http_call *call = NULL;
    int64_t at = 0;

    while (a->waiting && !c->closed) {
        int64_t now = gd_mono(c->clock);

        if (c->nflying >= GD_HTTP_FLYING_MAX) {
            c->capped = true;
            return;
        }
        switch (gd_http_app_next(a, now, gd_now(c->clock), &call, &at)) {
        case GD_HTTP_NONE:
            return;
        case GD_HTTP_LATER:
            wake_at(c, at, now);
            return;
        case GD_HTTP_DROP:
            make_ready(c, call);
            break;
        case GD_HTTP_GO:
            fly(c, call);
            break;
        }
    }
}

static struct gd_http_app *app_get(struct gd_http_client *c, const char *name)
{
    struct gd_http_app *a = gd_map_get(&c->apps, name);

    if (a)
        return a;
    a = gd_http_app_new(name, &c->dflt, gd_mono(c->clock));
    a->share = curl_share_init();
    if (!a->share || curl_share_setopt(a->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK)
        abort(); /* out of memory */
    (void)gd_map_set(&c->apps, name, a);
    return a;
}

/* 0, or the call's answer says why not. */
static int admit(struct gd_http_client *c, struct gd_http_call *call, const struct gd_http_request *r)
{
    struct gd_http_answer *a = &call->answer;

    a->end = GD_HTTP_REFUSED;
    if (gd_http_request_check(r, &a->err) || gd_http_guard_check(&c->guard, r, &call->target, &a->err))
        return -1;
    if (call->target.mapped)
        call->url = call->target.mapped;
    if (call->app->waiting < GD_HTTP_QUEUE_MAX)
        return 0;
    a->end = GD_HTTP_NOT_SENT;
    return gd_err_set(&a->err, GD_R_LIMIT_REACHED, "%d requests of %s wait already", GD_HTTP_QUEUE_MAX,
                      call->app->name);
}

static struct gd_http_call *client_send(struct gd_transport *t, const struct gd_http_request *r,
                                        gd_http_fn *fn, void *arg)
{
    struct gd_http_client *c = of_transport(t);
    struct gd_http_call *call = call_new(c, r);
    int64_t now = gd_mono(c->clock);

    call->fn = fn;
    call->arg = arg;
    call->app = app_get(c, r->app);
    call->seq = c->seq++;
    call->due = r->due_mono_ms;
    call->reuse = r->repeatable || r->reuse;
    call->interactive = r->interactive;
    call->timeout_ms = r->timeout_ms > 0 ? r->timeout_ms : 45000;
    call->send_by = r->send_by_mono_ms ? r->send_by_mono_ms : INT64_MAX;
    call->expires = now + (r->interactive ? GD_HTTP_WAIT_PERSON_MS : GD_HTTP_WAIT_MS);
    call->answer.date = -1;
    if (admit(c, call, r)) {
        make_ready(c, call);
        return call;
    }
    gd_http_app_push(call->app, call);
    pump(c, call->app);
    return call;
}

static void client_cancel(struct gd_transport *t, struct gd_http_call **pcall)
{
    struct gd_http_client *c = of_transport(t);
    struct gd_http_call *call = *pcall;
    struct gd_http_app *a = call ? call->app : NULL;

    *pcall = NULL;
    if (!call || call->state == GD_HTTP_DELIVERING)
        return;
    gd_list_del(&call->link);
    if (call->state == GD_HTTP_WAITING) {
        gd_http_app_remove(a, call);
    } else if (call->state == GD_HTTP_FLYING) {
        (void)curl_multi_remove_handle(c->multi, call->xfer->easy);
        c->nflying--;
        gd_http_app_landed(a, call, GD_HTTP_UNKNOWN, gd_mono(c->clock));
    }
    call_free(call);
    slot_free(c, a);
}

/* ---- the client -------------------------------------------------------------------------------------- */
static int check_private(const json_t *list, struct gd_err *err)
{
    struct gd_http_url u;
    json_t *one;
    size_t i;

    if (list && !json_is_array(list))
        return gd_err_set(err, GD_R_URL_INVALID, "allow_private is not a list");
    json_array_foreach(list, i, one)
    {
        GD_AUTO_FREE char *url = gd_strf("http://%s", json_is_string(one) ? json_string_value(one) : "");
        const char *colon = strrchr(url + 7, ':');

        if (gd_http_url_parse(&u, url, err) || *u.rest || !colon || url[strlen(url) - 1] == ']')
            return gd_err_set(err, GD_R_URL_INVALID, "allow_private: entry %zu is not host:port", i + 1);
    }
    return 0;
}

static int check_options(const struct gd_http_options *o, struct gd_err *err)
{
    if (o->ca_file && access(o->ca_file, R_OK) != 0)
        return gd_err_set(err, GD_R_CONFIG_UNREADABLE, "the CA file %s cannot be read", o->ca_file);
    return gd_http_origins_check(o->origins, err) || check_private(o->allow_private, err) ? -1 : 0;
}

static void init_handles(struct gd_http_client *c)
{
    (void)uv_timer_init(c->loop, &c->curl_timer);
    (void)uv_timer_init(c->loop, &c->pump_timer);
    gd_http_late_init(c);
    (void)uv_check_init(c->loop, &c->check);
    (void)uv_idle_init(c->loop, &c->idle);
    gd_list_init(&c->flying);
    gd_list_init(&c->ready);
    gd_list_init(&c->batch);
    gd_list_init(&c->idle_xfers);
}

struct gd_http_client *gd_http_client_new(uv_loop_t *loop, const struct gd_http_options *o,
                                          const struct gd_clock *clock, struct gd_log *log,
                                          struct gd_err *err)
{
    struct gd_http_client *c;

    if (check_options(o, err))
        return NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        gd_err_set(err, GD_R_NO_MEMORY, "libcurl could not be started");
        return NULL;
    }
    c = gd_new(sizeof *c);
    c->transport = (struct gd_transport){ client_send, client_cancel };
    c->loop = loop;
    c->clock = clock;
    c->log = log;
    c->dflt = o->limits;
    c->wake_at = INT64_MAX;
    if (gd_http_poll_init(c, err)) {
        gd_free(c);
        curl_global_cleanup();
        return NULL;
    }
    c->guard =
        (struct gd_http_guard){ json_incref(o->origins), json_incref(o->allow_private), o->loopback_only };
    c->ca_file = gd_strdup(o->ca_file);
    c->user_agent = gd_strdup(o->user_agent ? o->user_agent : "grantd/" GRANTD_VERSION);
#ifdef GRANTD_FAULTS
    {
        const char *env = getenv("GRANTD_FAULT"); /* check:allow test build */

        c->split_bodies = env && strstr(env, "F06");
    }
#endif
    init_handles(c);
    return c;
}

static void app_free(void *app)
{
    (void)curl_share_cleanup(((struct gd_http_app *)app)->share);
    gd_http_app_free(app);
}

void gd_http_client_handle_closed(struct gd_http_client *c)
{
    void (*done)(void *) = c->on_closed;
    void *arg = c->closed_arg;

    if (--c->closing > 0 || !c->closed)
        return;
    gd_map_done(&c->apps, app_free);
    json_decref(c->guard.origins);
    json_decref(c->guard.allow_private);
    gd_free(c->ca_file);
    gd_free(c->user_agent);
    gd_free(c->socks);
    gd_free(c);
    curl_global_cleanup();
    if (done)
        done(arg);
}

static void on_timer_closed(uv_handle_t *h)
{
    gd_http_client_handle_closed(h->data);
}

static void close_handle(struct gd_http_client *c, uv_handle_t *h)
{
    c->closing++;
    h->data = c;
    uv_close(h, on_timer_closed);
}

static void drop_list(struct gd_http_client *c, struct gd_list *list)
{
    struct gd_list *n;

    while ((n = gd_list_pop(list))) {
        struct gd_http_call *call = gd_container_of(n, struct gd_http_call, link);

        if (call->state == GD_HTTP_FLYING)
            (void)curl_multi_remove_handle(c->multi, call->xfer->easy);
        call_free(call);
    }
}

static void drop_waiting(struct gd_http_app *a)
{
    struct gd_list *n;

    while ((n = gd_list_pop(&a->arrived)))
        call_free(gd_container_of(n, struct gd_http_call, arrived));
    a->waiting = 0;
}

void gd_http_client_close(struct gd_http_client *c, void (*done)(void *), void *arg)
{
    struct gd_list *n;

    c->closed = true;
    c->on_closed = done;
    c->closed_arg = arg;
    drop_list(c, &c->flying);
    drop_list(c, &c->ready);
    drop_list(c, &c->batch);
    gd_map_each(e, &c->apps) drop_waiting(e->value);
    while ((n = gd_list_pop(&c->idle_xfers)))
        gd_http_xfer_free(gd_container_of(n, struct gd_http_xfer, link));
    gd_http_poll_done(c);
    close_handle(c, (uv_handle_t *)&c->curl_timer);
    close_handle(c, (uv_handle_t *)&c->pump_timer);
    close_handle(c, (uv_handle_t *)&c->end_timer);
    close_handle(c, (uv_handle_t *)&c->check);
    close_handle(c, (uv_handle_t *)&c->idle);
}

struct gd_transport *gd_http_client_transport(struct gd_http_client *c)
{
    return &c->transport;
}

void gd_http_client_hold(struct gd_http_client *c, const char *app, int64_t ms)
{
    gd_http_app_hold(app_get(c, app), ms, gd_mono(c->clock));
}

void gd_http_client_set_limits(struct gd_http_client *c, const char *app, const struct gd_http_limits *l)
{
    struct gd_http_limits use = *l;

    use.concurrency = use.concurrency ? use.concurrency : c->dflt.concurrency;
    use.per_minute = use.per_minute ? use.per_minute : c->dflt.per_minute;
    use.burst = use.burst ? use.burst : c->dflt.burst;
    gd_http_app_set_limits(app_get(c, app), &use, gd_mono(c->clock));
    pump(c, app_get(c, app));
}

static int by_ms(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

bool gd_http_client_skew(const struct gd_http_client *c, int64_t *ret_ms)
{
    int64_t all[GD_HTTP_SKEW_HOSTS], mono = gd_mono(c->clock), offset = gd_now(c->clock) - mono;
    size_t n = 0;

    for (size_t i = 0; i < c->nskew; i++)
        if (mono - c->skew[i].at < SKEW_AGE_MS && llabs(c->skew[i].offset - offset) < SKEW_STEP_MS)
            all[n++] = c->skew[i].ms;
    if (n == 0)
        return false;
    qsort(all, n, sizeof *all, by_ms);
    *ret_ms = all[n / 2];
    return true;
}

json_t *gd_http_client_status(struct gd_http_client *c)
{
    json_t *apps = json_object();
    int64_t now = gd_mono(c->clock), unix_now = gd_now(c->clock), skew;

    gd_map_each(e, &c->apps)(void)
        json_object_set_new(apps, e->key, gd_http_app_status(e->value, now, unix_now));
    return json_pack("{s:o,s:o}", "apps", apps, "skew_ms",
                     gd_http_client_skew(c, &skew) ? json_integer((json_int_t)skew) : json_null());
}
