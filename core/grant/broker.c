/* grant/broker.c - opening and closing, apps, and calls: one act under way, from its parameters to its one
 * reply. */
#include "grant/peers.h"
#include "grant/erased.h"
#include "grant/witness.h"

#include <string.h>

struct deferred {
    struct gd_list node;
    void (*fn)(void *);
    void *arg;
};

static void on_wake(uv_async_t *h)
{
    struct gd_broker *b = h->data;
    struct gd_list batch, *n;

    gd_list_take(&batch, &b->ready);
    while ((n = gd_list_pop(&batch))) {
        struct deferred d = *gd_container_of(n, struct deferred, node);

        gd_free(gd_container_of(n, struct deferred, node));
        d.fn(d.arg);
    }
}

void gd_defer(struct gd_broker *b, void (*fn)(void *), void *arg)
{
    struct deferred *d = gd_new(sizeof *d);

    d->fn = fn;
    d->arg = arg;
    if (gd_list_empty(&b->ready))
        uv_async_send(&b->wake);
    gd_list_add(&b->ready, &d->node);
}

static void tell_drained(void *arg)
{
    struct gd_broker *b = arg;
    void (*done)(void *) = b->drained;

    if (!done || b->busy)
        return;
    b->drained = NULL;
    done(b->drained_arg);
}

void gd_busy(struct gd_broker *b, int by)
{
    b->busy = (unsigned)((int)b->busy + by);
    if (b->busy == 0 && b->drained)
        gd_defer(b, tell_drained, b);
}

int gd_workspace_number(const struct gd_broker *b, const char *name)
{
    for (unsigned i = 0; i < b->nworkspaces; i++)
        if (!strcmp(b->workspaces[i], name))
            return (int)i;
    return -1;
}

struct gd_app_state *gd_app_find(struct gd_broker *b, const char *id)
{
    for (unsigned i = 0; id && i < b->napps; i++)
        if (!strcmp(b->apps[i].app.id, id))
            return &b->apps[i];
    return NULL;
}

unsigned gd_app_number(const struct gd_broker *b, const struct gd_app_state *a)
{
    return (unsigned)(a - b->apps);
}

void gd_given_app(struct gd_broker *b, const struct gd_app_state *a, struct gd_op_given *g)
{
    (void)b;
    g->options = a->app.options;
    g->description = a->app.description;
    g->inputs = a->app.inputs;
}

/* ---- calls ---- */

struct gd_call *gd_call_new(struct gd_broker *b, const struct gd_actor *who, json_t *params,
                            gd_reply_fn *reply, void *arg)
{
    struct gd_call *c = gd_new(sizeof *c);

    c->b = b;
    c->arena = gd_arena_new(0);
    c->who = *who;
    c->who.name = gd_arena_strdup(c->arena, who->name ? who->name : "");
    c->params = params ? json_incref(params) : json_object();
    c->workspace = gd_json_text(c->params, "workspace", "main");
    c->reply = reply;
    c->arg = arg;
    gd_busy(b, 1);
    return c;
}

static void call_end(void *arg)
{
    struct gd_call *c = arg;
    struct gd_broker *b = c->b;

    if (c->reply)
        c->reply(c->arg, c->failed ? NULL : c->result, c->failed ? &c->err : NULL);
    json_decref(c->result);
    json_decref(c->params);
    gd_arena_free(c->arena);
    gd_free(c);
    gd_busy(b, -1);
}

void gd_call_done(struct gd_call *c, json_t *result)
{
    c->result = result;
    gd_defer(c->b, call_end, c);
}

void gd_call_error(struct gd_call *c, const struct gd_err *err)
{
    c->err = *err;
    c->failed = true;
    gd_defer(c->b, call_end, c);
}

void gd_call_fail(struct gd_call *c, enum gd_reason r, const char *fmt, ...)
{
    va_list ap;
    struct gd_err err = { .reason = r };

    va_start(ap, fmt);
    (void)vsnprintf(err.text, sizeof err.text, fmt, ap);
    va_end(ap);
    gd_err_clean(&err);
    gd_call_error(c, &err);
}

bool gd_call_nowhere(struct gd_call *c, json_t *list)
{
    if (json_array_size(list) || gd_workspace_number(c->b, c->workspace) >= 0)
        return false;
    json_decref(list);
    gd_call_fail(c, GD_R_WORKSPACE_UNKNOWN, "no workspace %s is configured", c->workspace);
    return true;
}

bool gd_call_store_failed(struct gd_call *c, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_err e = { .reason = GD_R_STORE_FAILED };

    if (r == GD_STORE_OK)
        return false;
    (void)snprintf(e.text, sizeof e.text, "%s",
                   err && err->text[0] ? err->text : "the store could not be used; nothing was changed");
    if (r == GD_STORE_UNCERTAIN)
        gd_err_set(&e, GD_R_STORE_UNCERTAIN,
                   "the store did not say whether it kept the change; look before repeating");
    else if (err)
        e.reason = err->reason;
    gd_call_error(c, &e);
    return true;
}

json_t *gd_time_json(int64_t unix_ms)
{
    char text[32];

    if (unix_ms <= 0 || unix_ms == INT64_MAX)
        return json_null();
    gd_time_text(text, unix_ms);
    return json_string(text);
}

json_t *gd_text_json(const char *s)
{
    json_t *j = s ? json_string(s) : NULL;

    return j ? j : json_null();
}

/* ---- opening ---- */

static void copy_apps(struct gd_broker *b, const struct gd_broker_options *o)
{
    b->apps = gd_new_array(o->napps, sizeof *b->apps);
    b->napps = (unsigned)o->napps;
    for (unsigned i = 0; i < b->napps; i++) {
        struct gd_app *a = &b->apps[i].app;

        *a = o->apps[i];
        a->id = gd_strdup(o->apps[i].id);
        a->workspace = gd_strdup(o->apps[i].workspace);
        a->provider = gd_strdup(o->apps[i].provider);
        a->description = json_incref(o->apps[i].description);
        a->options = json_incref(o->apps[i].options);
        a->inputs = json_incref(o->apps[i].inputs);
    }
    gd_hubs_copy(b, o->hubs, o->nhubs);
}

static void copy_options(struct gd_broker *b, const struct gd_broker_options *o)
{
    unsigned n = 0;

    b->plan = (struct gd_plan_options){ .outage_ms = o->outage_ms,
                                        .skew_ms = o->skew_ms,
                                        .margin_min_ms = o->margin_min_ms,
                                        .deadline_ms = o->deadline_ms,
                                        .quiet_ms = o->quiet_ms };
    b->family_lease_ms = o->family_lease_ms;
    b->blind_ms = o->blind_ms;
    b->look_every_ms = o->look_every_ms;
    b->skew = o->skew;
    b->skew_arg = o->skew_arg;
    b->public_url = gd_strdup(o->public_url);
    (void)snprintf(b->kek, sizeof b->kek, "%s", o->kek ? o->kek : "");
    b->mail = o->mail;
    b->node = gd_strdup(o->node);
    b->origins = json_incref(o->origins);
    b->titles = json_incref(o->titles);
    while (o->workspaces[n])
        n++;
    b->workspaces = gd_new_array(n + 1, sizeof *b->workspaces);
    b->nworkspaces = n;
    for (unsigned i = 0; i < n; i++)
        b->workspaces[i] = gd_strdup(o->workspaces[i]);
    copy_apps(b, o);
}

static void open_tokens(struct gd_broker *b, const struct gd_broker_options *o)
{
    struct gd_err err;

    b->tokens = gd_tokens_new(&b->ix, o->cache_bytes, b->d.rng);
    if (o->cache_dir && o->cache_bytes && gd_tokens_add_file(b->tokens, o->cache_dir, &err))
        GD_LOG(b->d.log, GD_LOG_WARN, "tokens.file",
               GD_F_ERR(&err)); /* slower for many grants, no less right */
}

int gd_broker_open(struct gd_broker **ret, const struct gd_broker_options *o, const struct gd_broker_deps *d,
                   struct gd_err *err)
{
    struct gd_broker *b = gd_new(sizeof *b);

    b->d = *d;
    gd_list_init(&b->ready);
    gd_list_init(&b->looks);
    gd_buf_init(&b->endings, SIZE_MAX / 2);
    b->ears = o->ears;
    copy_options(b, o);
    b->env = (struct gd_op_env){ .loop = d->loop,
                                 .transport = d->transport,
                                 .clock = d->clock,
                                 .rng = d->rng,
                                 .log = d->log,
                                 .origins = b->origins,
                                 .turns = gd_op_turns_new(d->loop) };
    gd_index_init(&b->ix);
    open_tokens(b, o);
    b->vends = gd_vends_new();
    if (uv_async_init(d->loop, &b->wake, on_wake))
        return gd_err_set(err, GD_R_INTERNAL, "the loop takes no more handles");
    b->wake.data = b;
    uv_unref((uv_handle_t *)&b->wake);
    if (o->witness_path && gd_witness_open(&b->witness, o->witness_path, err) < 0)
        return -1;
    if (o->erased_path && gd_store_shared(d->store) && gd_erased_open(&b->erased, o->erased_path, err) < 0)
        return -1;
    *ret = b; /* what others change while it is loaded is told to it already */
    return gd_load(b, err) || gd_hubs_load(b, err) ? -1 : 0; /* the process ends */
}

void gd_broker_drain(struct gd_broker *b, void (*done)(void *), void *arg)
{
    b->draining = true;
    b->drained = done;
    b->drained_arg = arg;
    if (b->busy == 0)
        gd_defer(b, tell_drained, b);
}

static void free_broker(uv_handle_t *h)
{
    struct gd_broker *b = h->data;

    for (unsigned i = 0; i < b->napps; i++) {
        gd_free(b->apps[i].app.id);
        gd_free(b->apps[i].app.workspace);
        gd_free(b->apps[i].app.provider);
        json_decref(b->apps[i].app.description);
        json_decref(b->apps[i].app.options);
        json_decref(b->apps[i].app.inputs);
    }
    gd_hubs_free(b);
    for (unsigned i = 0; i < b->nworkspaces; i++)
        gd_free(b->workspaces[i]);
    gd_free(b->workspaces);
    gd_free(b->apps);
    gd_free(b->public_url);
    gd_free(b->node);
    json_decref(b->origins);
    json_decref(b->titles);
    gd_map_done(&b->flights, NULL);
    gd_map_done(&b->closings, NULL);
    gd_map_done(&b->leaving, NULL);
    gd_map_done(&b->runs, NULL);
    gd_map_done(&b->deks, NULL);
    gd_buf_done(&b->endings);
    gd_peers_free(b);
    gd_tokens_free(b->tokens);
    gd_witness_free(b->witness);
    gd_erased_free(b->erased);
    gd_vends_free(b->vends);
    gd_index_done(&b->ix);
    gd_free(b);
}

void gd_broker_free(struct gd_broker *b)
{
    if (!b)
        return;
    gd_op_turns_free(b->env.turns);
    uv_close((uv_handle_t *)&b->wake, free_broker);
}

bool gd_broker_idle(const struct gd_broker *b)
{
    return b->busy == 0;
}

static void put_number(json_t *j, const char *key, int64_t n)
{
    json_object_set_new(j, key, json_integer(n));
}

static void count_states(struct gd_broker *b, json_t *by)
{
    int64_t counts[GD_CRED__COUNT] = { 0 };

    for (uint32_t i = 0; i < b->ix.creds.count; i++)
        counts[gd_cred_at(&b->ix, i)->status]++;
    for (unsigned s = 0; s < GD_CRED__COUNT; s++)
        json_object_set_new(by, gd_cred_status_word((enum gd_cred_status)s), json_integer(counts[s]));
}

json_t *gd_broker_status(struct gd_broker *b)
{
    json_t *j = json_object(), *by = json_object(), *memory = json_object();

    count_states(b, by);
    put_number(j, "clients", b->ix.clients.count);
    put_number(j, "grants", b->ix.grants.count);
    put_number(j, "credentials", b->ix.creds.count);
    put_number(j, "in_flight", (int64_t)b->flights.count);
    put_number(j, "late", b->late);
    put_number(memory, "index", (int64_t)gd_index_bytes(&b->ix));
    put_number(memory, "token_cache", (int64_t)gd_tokens_bytes(b->tokens));
    put_number(memory, "token_file", (int64_t)gd_tokens_file_bytes(b->tokens));
    put_number(memory, "tokens", (int64_t)gd_tokens_count(b->tokens));
    put_number(memory, "vends", (int64_t)gd_vends_bytes(b->vends));
    json_object_set_new(j, "by_state", by);
    json_object_set_new(j, "memory", memory);
    return j;
}

/* ---- due ---- */

void gd_broker_act(struct gd_broker *b, uint32_t cred)
{
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, cred);
    char id[GD_ID_TEXT_MAX];

    if (!(c->flags & GD_IX_REVOKING)) {
        gd_refresh_due(b, cred);
        return;
    }
    for (uint32_t g = c->first_grant; g != GD_NONE; g = gd_grant_at(&b->ix, g)->next_of_cred)
        if (gd_grant_at(&b->ix, g)->lifecycle == GD_LIFE_ENDING) {
            gd_id_text(id, "gr", &gd_grant_at(&b->ix, g)->id);
            gd_close_resume(b, b->workspaces[gd_client_at(&b->ix, c->client)->workspace], id);
        }
    if (gd_close_is_orphan(b, cred)) {
        gd_id_text(id, "cr", &c->id);
        gd_close_orphan(b, b->workspaces[gd_client_at(&b->ix, c->client)->workspace], id);
    }
    gd_refresh_not_now(b, cred);
}
