/* grant/look.c - looking at what the platform shows now: verify. Differences are facts; they are kept,
 * answered and raised as an event when they are news, and change no token. The same look sees the walls that
 * no refresh passes (a window's end, a credential's horizon) coming, and says so once in time. */
#include "base/fault.h"
#include "grant/broker_int.h"
#include "grant/seen.h"
#include "plugin/warnings.h"

#include <string.h>

#define HOUR_MS (3600 * (int64_t)1000)
#define DAY_MS  (24 * HOUR_MS)
/* A platform that could not be asked so often in a row: what is there is unknown. */
#define LOOKS_UNKNOWN 3
#define LOOKS_LEFT    30 /* then an operator says it: grant.confirm */

GD_SQL(
    sql_grant,
    "SELECT g.asset_id, g.asset_kind, g.asset_name, g.role_asked, g.role_granted, g.credential_id, "
    "g.client_id, g.app, g.native, c.account_id, c.scope, c.expires_at, v.attempt_id, v.parent_gen, "
    "v.created_at, v.sealed, g.mode, g.params, g.asset_parent, g.starts_at, g.ends_at, g.looks, g.warnings,"
    " g.observed, c.horizon_at, g.lifecycle, g.reason, g.item_id FROM grants g LEFT JOIN credentials c ON "
    "c.workspace = "
    "g.workspace AND c.id = g.credential_id"
    " LEFT JOIN token_versions v ON v.workspace = c.workspace AND v.attempt_id = c.current_attempt"
    " WHERE g.workspace = $1 AND g.id = $2");
enum {
    L_ASSET,
    L_KIND,
    L_NAME,
    L_ASKED,
    L_GRANTED,
    L_CRED,
    L_CLIENT,
    L_APP,
    L_NATIVE,
    L_ACCOUNT,
    L_SCOPE,
    L_EXPIRES,
    L_ATTEMPT,
    L_PARENT_GEN,
    L_CREATED,
    L_SEALED,
    L_MODE,
    L_PARAMS,
    L_PARENT,
    L_STARTS,
    L_ENDS,
    L_LOOKS,
    L_WARNINGS,
    L_OBSERVED,
    L_HORIZON,
    L_LIFE,
    L_REASON,
    L_ITEM
};
GD_SQL(sql_surfaces,
       "SELECT kind, ref, outcome FROM surfaces WHERE workspace = $1 AND grant_id = $2 ORDER BY id");
GD_SQL(sql_observed,
       "UPDATE grants SET observed = COALESCE($3, observed), role_observed = COALESCE($4, role_observed),"
       " verified_at = CASE WHEN $5 > 0 THEN $5 ELSE verified_at END, native = $6, look_at = $7, looks = $8,"
       " warnings = $9, starts_at = $10, ends_at = $11"
       " WHERE workspace = $1 AND id = $2 AND COALESCE(item_id, '') = $12 AND (lifecycle IN ('confirming', "
       "'live')"
       " OR (lifecycle = 'ended' AND reason = 'SURFACE_LEFT'))");
/* An ended grant whose last place is gone now: the person did it. */
GD_SQL(sql_left_gone, "UPDATE surfaces SET outcome = $4, changed_at = $3 WHERE workspace = $1"
                      " AND grant_id = $2 AND outcome = 'manual' AND kind <> 'token'");
GD_SQL(sql_left_none, "UPDATE grants SET reason = 'GRANT_ENDED', look_at = 0, native = 'gone'"
                      " WHERE workspace = $1 AND id = $2 AND lifecycle = 'ended'");

json_t *gd_grant_document(const struct gd_grant_doc *d)
{
    json_t *doc = json_pack("{s:{s:s?, s:s?, s:s?, s:O?}, s:[], s:O?, s:{}}", "item", "role", d->role,
                            "asset", d->asset_id, "mode", d->mode, "params", d->params, "assets", "surfaces",
                            d->surfaces, "inputs");
    json_t *asset;

    if (!d->asset_id)
        return doc;
    asset = json_pack("{s:s, s:s?, s:s?, s:s?, s:s?}", "id", d->asset_id, "kind", d->asset_kind, "name",
                      d->asset_name, "role", d->role, "parent", d->asset_parent);
    if (d->starts_at)
        json_object_set_new(asset, "starts_at", json_integer(d->starts_at / 1000));
    if (d->ends_at)
        json_object_set_new(asset, "ends_at", json_integer(d->ends_at / 1000));
    json_array_append_new(json_object_get(doc, "assets"), asset);
    return doc;
}

struct look {
    struct gd_broker *b;
    struct gd_arena *arena;
    const char *workspace, *grant;
    char *role_asked, *role_granted, *account, *scope, *cred, *seen; /* seen: what was observed before */
    enum gd_native native;
    int64_t expires_at, starts_at, ends_at, horizon_at;
    int64_t looks, gen;      /* gen: of the token that it is made with */
    const char *item;        /* whose consent made the grant what it is; "": none */
    struct gd_list node;     /* in the broker's looks */
    bool lived, again;       /* lived: when it began; again: because of what came meanwhile */
    bool outdated;           /* another consent has renewed the grant since */
    bool interactive, ended; /* ended: something is left that only a person can close */
    json_t *warnings;        /* as stored */
    json_t *news;            /* warnings that were not there before */
    struct gd_look_result r;
    gd_look_fn *fn;
    void *arg;
};

static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_seen(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_kept(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

static void read_facts(struct look *l)
{
    struct gd_tx *tx = gd_tx_new(l->b->d.store);

    gd_tx_add(tx, &sql_grant, GD_P_TEXT(l->workspace), GD_P_TEXT(l->grant));
    gd_tx_add(tx, &sql_surfaces, GD_P_TEXT(l->workspace), GD_P_TEXT(l->grant));
    gd_store_read(l->b->d.store, tx, on_facts, l);
}

void gd_look(struct gd_broker *b, const char *workspace, const char *grant, bool interactive, gd_look_fn *fn,
             void *arg)
{
    struct look *l = gd_new(sizeof *l);

    *l = (struct look){ .b = b, .arena = gd_arena_new(0), .interactive = interactive, .fn = fn, .arg = arg };
    l->workspace = gd_arena_strdup(l->arena, workspace);
    l->grant = gd_arena_strdup(l->arena, grant);
    l->news = json_object();
    gd_list_add(&b->looks, &l->node);
    gd_busy(b, 1);
    read_facts(l);
}

void gd_look_outdate(struct gd_broker *b, const char *grant)
{
    gd_list_each(n, &b->looks)
    {
        struct look *l = gd_container_of(n, struct look, node);

        l->outdated = l->outdated || !strcmp(l->grant, grant);
    }
}

static void look_end(struct look *l)
{
    struct gd_broker *b = l->b;

    gd_events_wake(b->d.events);
    gd_list_del(&l->node);
    l->fn(l->arg, &l->r);
    json_decref(l->r.observed);
    json_decref(l->r.differences);
    json_decref(l->warnings);
    json_decref(l->news);
    gd_arena_free(l->arena);
    gd_free(l);
    gd_busy(b, -1);
}

static void look_refuse(struct look *l, enum gd_reason reason, const char *text)
{
    gd_err_set(&l->r.err, reason, "%s", text);
    look_end(l);
}

/* ---- what is known ---- */

/* Opened blob of the row, new reference; json_object() when there is no credential. */
static json_t *open_blob(struct look *l, const struct gd_tx *tx, struct gd_err *err)
{
    size_t n = 0;
    const void *sealed = gd_tx_bytes(tx, 0, 0, L_SEALED, &n);
    struct gd_seal_name name = { .workspace = l->workspace,
                                 .client = gd_tx_text(tx, 0, 0, L_CLIENT),
                                 .owner = gd_tx_text(tx, 0, 0, L_CRED),
                                 .gen = gd_tx_int(tx, 0, 0, L_PARENT_GEN),
                                 .attempt = gd_tx_text(tx, 0, 0, L_ATTEMPT),
                                 .column = "tok",
                                 .created_at = gd_tx_int(tx, 0, 0, L_CREATED) };
    GD_AUTO_FREE char *text = NULL;

    if (!sealed)
        return json_object();
    text = gd_open_text(l->b, &name, sealed, n, err);
    return text ? gd_blob_json(text, err) : NULL;
}

static json_t *surfaces_of(const struct gd_tx *tx)
{
    json_t *list = json_array();

    for (size_t i = 0; i < gd_tx_rows(tx, 1); i++)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:s}", "kind", gd_tx_text(tx, 1, i, 0), "id",
                                              gd_tx_text(tx, 1, i, 1), "outcome", gd_tx_text(tx, 1, i, 2)));
    return list;
}

static json_t *column_json(const struct gd_tx *tx, size_t col)
{
    const char *text = gd_tx_text(tx, 0, 0, col);

    return text ? gd_json_parse(text, strlen(text), GD_HTTP_BODY_MAX, NULL) : NULL;
}

static void copy_facts(struct look *l, const struct gd_tx *tx)
{
    enum gd_lifecycle life = GD_LIFE_LIVE;

    l->role_asked = gd_arena_strdup(l->arena, gd_tx_text(tx, 0, 0, L_ASKED));
    l->role_granted = gd_arena_strdup(l->arena, gd_tx_text(tx, 0, 0, L_GRANTED));
    l->account = gd_arena_strdup(l->arena, gd_tx_text(tx, 0, 0, L_ACCOUNT));
    l->scope = gd_arena_strdup(l->arena, gd_tx_text(tx, 0, 0, L_SCOPE));
    l->item = gd_tx_text(tx, 0, 0, L_ITEM) ? gd_arena_strdup(l->arena, gd_tx_text(tx, 0, 0, L_ITEM)) : "";
    l->cred = gd_arena_strdup(l->arena, gd_tx_text(tx, 0, 0, L_CRED));
    l->seen = gd_arena_strdup(l->arena, gd_tx_text(tx, 0, 0, L_OBSERVED));
    l->expires_at = gd_tx_int(tx, 0, 0, L_EXPIRES);
    l->starts_at = gd_tx_int(tx, 0, 0, L_STARTS);
    l->ends_at = gd_tx_int(tx, 0, 0, L_ENDS);
    l->horizon_at = gd_tx_int(tx, 0, 0, L_HORIZON);
    l->looks = gd_tx_int(tx, 0, 0, L_LOOKS);
    l->warnings = column_json(tx, L_WARNINGS);
    gd_lifecycle_parse(gd_tx_text(tx, 0, 0, L_LIFE), &life);
    l->ended = life >= GD_LIFE_ENDED;
    l->lived = life <= GD_LIFE_LIVE;
    l->gen = gd_tx_int(tx, 0, 0, L_PARENT_GEN) + 1;
    gd_native_parse(gd_tx_text(tx, 0, 0, L_NATIVE), &l->native);
}

static void ask(struct look *l, const struct gd_tx *tx, struct gd_app_state *a, const json_t *blob)
{
    struct gd_broker *b = l->b;
    struct gd_op_start s = { .platform = a->app.platform,
                             .kind = GD_OP_VERIFY,
                             .app = a->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = l->interactive,
                             .on_end = on_seen,
                             .arg = l };
    GD_AUTO_JSON surfaces = surfaces_of(tx);
    GD_AUTO_JSON params = column_json(tx, L_PARAMS);
    const struct gd_grant_doc d = { .role = l->role_asked,
                                    .mode = gd_tx_text(tx, 0, 0, L_MODE),
                                    .asset_id = gd_tx_text(tx, 0, 0, L_ASSET),
                                    .asset_kind = gd_tx_text(tx, 0, 0, L_KIND),
                                    .asset_name = gd_tx_text(tx, 0, 0, L_NAME),
                                    .asset_parent = gd_tx_text(tx, 0, 0, L_PARENT),
                                    .params = params,
                                    .starts_at = l->starts_at,
                                    .ends_at = l->ends_at,
                                    .surfaces = surfaces };
    GD_AUTO_JSON doc = gd_grant_document(&d);
    struct gd_hub_given hub;
    char expires[32];

    (void)snprintf(expires, sizeof expires, "%lld", (long long)(l->expires_at / 1000));
    gd_given_app(b, a, &s.given);
    gd_given_hub(b, a, &s.given, &hub);
    s.given.args[GRANTD_ARG_ACCESS_TOKEN] = gd_json_text(blob, "access_token", NULL);
    s.given.args[GRANTD_ARG_REFRESH_TOKEN] = gd_json_text(blob, "refresh_token", NULL);
    s.given.args[GRANTD_ARG_ACCOUNT_ID] = l->account;
    s.given.args[GRANTD_ARG_ROLE] = l->role_asked;
    s.given.args[GRANTD_ARG_MODE] = d.mode;
    s.given.args[GRANTD_ARG_SCOPE] = l->scope;
    s.given.args[GRANTD_ARG_ASSET_ID] = d.asset_id;
    s.given.args[GRANTD_ARG_EXPIRES_AT] = l->expires_at ? expires : NULL;
    s.given.params = params;
    s.given.kept = json_object_get(blob, "kept");
    s.given.grant = doc;
    gd_op_start(&b->env, &s);
    gd_hub_given_done(&hub);
}

static void keep(struct look *l, const struct gd_op_result *r);

static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct look *l = arg;
    struct gd_app_state *a;
    GD_AUTO_JSON blob = NULL;
    bool left;

    if (r != GD_STORE_OK) {
        look_refuse(l, GD_R_STORE_FAILED, err ? err->text : "the store could not be read");
        return;
    }
    if (gd_tx_rows(tx, 0) == 0) {
        look_refuse(l, GD_R_NOT_FOUND, "no grant of that id is visible to you");
        return;
    }
    copy_facts(l, tx);
    left = gd_tx_text(tx, 0, 0, L_REASON) && !strcmp(gd_tx_text(tx, 0, 0, L_REASON), "SURFACE_LEFT");
    if (l->ended && !left) {
        look_refuse(l, GD_R_GRANT_ENDED, "nothing is left to look at");
        return;
    }
    a = gd_app_find(l->b, gd_tx_text(tx, 0, 0, L_APP));
    if (!a || !a->app.platform->p.verify) {
        gd_err_set(&l->r.err, a ? GD_R_NOT_SUPPORTED : GD_R_APP_UNKNOWN,
                   "the platform of this grant cannot be asked");
        keep(l, NULL); /* its window and horizon are seen all the same */
        return;
    }
    blob = open_blob(l, tx, &l->r.err);
    if (!blob)
        keep(l, NULL);
    else
        ask(l, tx, a, blob);
}

/* ---- what is kept ---- */

static enum gd_native native_of(const struct look *l, const json_t *o)
{
    const char *native = gd_json_text(o, "native", NULL), *alive = gd_json_text(o, "alive", "unknown");
    const char *role = gd_json_text(o, "role", NULL);
    const char *wanted = l->role_granted ? l->role_granted : l->role_asked;
    enum gd_native n = l->native;

    if (n == GD_NATIVE_NONE)
        return n;
    if (!native && !l->cred) /* nothing but the native layer can be alive */
        native = !strcmp(alive, "yes") ? "present" : !strcmp(alive, "no") ? "gone" : NULL;
    if (native)
        (void)gd_native_parse(native, &n);
    if (n == GD_NATIVE_NONE)
        n = l->native;
    if (n == GD_NATIVE_PRESENT && role && wanted && strcmp(role, wanted) != 0)
        n = GD_NATIVE_CHANGED;
    return n;
}

static int64_t wall_of(const struct look *l)
{
    return gd_grant_wall(l->starts_at, l->ends_at, l->horizon_at, NULL);
}

static int64_t warn_at(const struct look *l)
{
    int64_t warn;

    (void)gd_grant_wall(l->starts_at, l->ends_at, l->horizon_at, &warn);
    return warn;
}

static void warn(struct look *l, json_t *all, const char *word, const char *text)
{
    (void)gd_warnings_add(all, word, text);
    gd_warnings_news(l->warnings, word, text, l->news);
}

/* Warnings as they stand now, new reference; what is new goes into l->news. */
static json_t *warnings_of(struct look *l, const json_t *said)
{
    int64_t now = gd_now(l->b->d.clock), wall = wall_of(l);
    json_t *all = said || !l->warnings ? json_object() : json_copy(l->warnings), *v;
    const char *word;
    char when[32], text[160];

    json_object_foreach((json_t *)(uintptr_t)said, word, v)
    {
        json_object_set(all, word, v);
        gd_warnings_news(l->warnings, word, json_string_value(v), l->news);
    }
    if (!wall || now < warn_at(l))
        return all;
    gd_time_text(when, wall);
    (void)snprintf(text, sizeof text,
                   now < wall ? "no refresh passes %s: ask the client again before"
                              : "it ended at %s: ask the client again",
                   when);
    warn(l, all, now < wall ? "ENDS_SOON" : "ENDED", text);
    return all;
}

/* The next look: the daily one, sooner while something is pending or failed, and at each wall. */
static int64_t next_look(struct look *l, bool seen, enum gd_native native)
{
    int64_t now = gd_now(l->b->d.clock), every = l->b->look_every_ms, at;
    int64_t walls[] = { warn_at(l), wall_of(l) };
    int64_t back_off = l->looks < 5 ? HOUR_MS << l->looks : DAY_MS;

    if ((!seen && l->r.err.reason == GD_R_NOT_SUPPORTED) || (l->ended && l->looks >= LOOKS_LEFT))
        every = 0;
    if (every && (!seen || native == GD_NATIVE_PENDING))
        every = (seen ? HOUR_MS : back_off) < every ? (seen ? HOUR_MS : back_off) : every;
    at = every ? now + every - (int64_t)gd_rng_below(l->b->d.rng, (uint64_t)every / 8 + 1) : 0;
    for (size_t i = 0; i < 2; i++)
        if (walls[i] > now && (!at || walls[i] < at))
            at = walls[i];
    return at;
}

static void tell_news(struct look *l, struct gd_tx *tx, const char *observed)
{
    const char *word;
    json_t *v;

    if (json_array_size(l->r.differences) && (!l->seen || !observed || strcmp(l->seen, observed) != 0))
        gd_event_add(l->b->d.events, tx, l->workspace, "grant.drift", l->grant, l->r.differences);
    json_object_foreach(l->news, word, v)
    {
        GD_AUTO_JSON data = json_pack("{s:s, s:O}", "warning", word, "text", v);

        gd_event_add(l->b->d.events, tx, l->workspace, "grant.warning", l->grant, data);
    }
}

static void note_window(struct look *l, const json_t *o)
{
    int64_t starts = gd_seen_time(o, "starts_at"), ends = gd_seen_time(o, "ends_at");

    l->starts_at = starts ? starts : l->starts_at;
    l->ends_at = ends ? ends : l->ends_at;
}

void gd_look_left(struct gd_broker *b, struct gd_tx *tx, const char *workspace, const char *grant,
                  const char *outcome)
{
    gd_tx_add(tx, &sql_left_gone, GD_P_TEXT(workspace), GD_P_TEXT(grant), GD_P_INT(gd_now(b->d.clock)),
              GD_P_TEXT(outcome));
    gd_tx_add(tx, &sql_left_none, GD_P_TEXT(workspace), GD_P_TEXT(grant));
    gd_event_add(b->d.events, tx, workspace, "grant.closed", grant, NULL);
}

/* r NULL: it could not be looked at. */
static void keep(struct look *l, const struct gd_op_result *r)
{
    struct gd_broker *b = l->b;
    enum gd_native native = r ? native_of(l, r->observed) : l->native;
    GD_AUTO_FREE char *observed = l->r.observed ? gd_json_dump(l->r.observed) : NULL;
    GD_AUTO_FREE char *said = NULL;
    json_t *warnings;
    struct gd_tx *tx = gd_tx_new(b->d.store);
    int64_t now = gd_now(b->d.clock);

    if (r)
        note_window(l, r->observed);
    else if (l->looks + 1 >= LOOKS_UNKNOWN && native == GD_NATIVE_PRESENT)
        native = GD_NATIVE_UNKNOWN;
    warnings = warnings_of(l, r ? r->warnings : NULL);
    said = json_object_size(warnings) ? gd_json_dump(warnings) : NULL;
    json_decref(warnings);
    gd_tx_add(tx, &sql_observed, GD_P_TEXT(l->workspace), GD_P_TEXT(l->grant), GD_P_TEXT(observed),
              GD_P_TEXT(r ? gd_json_text(r->observed, "role", NULL) : NULL), GD_P_INT(r ? now : 0),
              GD_P_TEXT(gd_native_word(native)), GD_P_INT(next_look(l, r != NULL, native)),
              GD_P_INT(r ? 0 : l->looks + 1), GD_P_TEXT(said), GD_P_INT(l->starts_at), GD_P_INT(l->ends_at),
              GD_P_TEXT(l->item));
    if (!l->ended)
        tell_news(l, tx, observed);
    else if (native == GD_NATIVE_GONE)
        gd_look_left(b, tx, l->workspace, l->grant, "gone");
    l->native = native;
    (void)GD_FAULT("look.seen");
    gd_store_commit(b->d.store, tx, on_kept, l);
}

/* Did its end begin meanwhile? What the platform shows of it then was our doing. */
static bool has_ended(const struct look *l)
{
    struct gd_id id;
    uint32_t n =
        gd_id_parse(&id, "gr", l->grant, strlen(l->grant)) ? gd_index_grant(&l->b->ix, &id) : GD_NONE;

    return l->lived && n != GD_NONE && gd_grant_at(&l->b->ix, n)->lifecycle > GD_LIFE_LIVE;
}

/* Was its token replaced meanwhile? Then a no was said to the old one. */
static bool was_renewed(const struct look *l)
{
    struct gd_id id;
    uint32_t n =
        l->cred && gd_id_parse(&id, "cr", l->cred, strlen(l->cred)) ? gd_index_cred(&l->b->ix, &id) : GD_NONE;

    return n != GD_NONE && gd_cred_at(&l->b->ix, n)->gen != l->gen;
}

static bool is_no(const struct gd_op_result *r)
{
    return r->end == GD_OP_FAILED ? r->fail_class == GRANTD_E_REAUTH
                                  : !strcmp(gd_json_text(r->observed, "alive", "unknown"), "no");
}

static void on_seen(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct look *l = arg;
    const struct gd_seen_was was = { .role_asked = l->role_asked,
                                     .role_granted = l->role_granted,
                                     .account = l->account,
                                     .scope = l->scope,
                                     .native = l->native };

    (void)op;
    if (has_ended(l)) {
        look_refuse(l, GD_R_GRANT_ENDED, "the grant was ended while it was looked at");
        return;
    }
    if (!l->again && (l->outdated || (is_no(r) && was_renewed(l)))) {
        l->again = true;
        json_decref(l->warnings);
        l->warnings = NULL;
        read_facts(l);
        return;
    }
    if (r->end == GD_OP_FAILED) {
        l->r.err = r->err;
        keep(l, NULL);
        return;
    }
    l->r.observed = gd_seen_json(r->observed);
    l->r.differences = gd_seen_differences(&was, r->observed);
    keep(l, r);
}

/* A token that the platform no longer takes is confirmed by a refresh: one refusal never kills a grant. */
static void confirm_dead(struct look *l)
{
    struct gd_id id;
    uint32_t n;

    if (!l->cred || !l->r.observed || !json_is_false(json_object_get(l->r.observed, "alive")))
        return;
    n = gd_id_parse(&id, "cr", l->cred, strlen(l->cred)) ? gd_index_cred(&l->b->ix, &id) : GD_NONE;
    if (n != GD_NONE && !l->b->draining)
        gd_refresh(l->b, n, "verify", NULL, NULL);
}

static void on_kept(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct look *l = arg;
    struct gd_id id;
    uint32_t n =
        gd_id_parse(&id, "gr", l->grant, strlen(l->grant)) ? gd_index_grant(&l->b->ix, &id) : GD_NONE;

    if (r != GD_STORE_OK) {
        look_refuse(l, GD_R_STORE_FAILED, err ? err->text : "what was seen could not be kept");
        return;
    }
    (void)GD_FAULT("look.kept");
    if (n != GD_NONE && gd_tx_changes(tx, 0))
        gd_grant_at(&l->b->ix, n)->native = (uint8_t)l->native;
    if (!l->ended)
        confirm_dead(l);
    look_end(l);
}

/* ---- ordered by a caller ---- */

static void on_looked(void *arg, const struct gd_look_result *r)
{
    struct gd_call *c = arg;

    if (r->err.reason)
        gd_call_error(c, &r->err);
    else
        gd_grant_reply(c, gd_param(c, "grant"),
                       json_pack("{s:O, s:O}", "observed", r->observed, "differences", r->differences));
}

void gd_grant_verify(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);

    /* The rules were asked about the one grant, or about the one client: never about one for the other. */
    if (gd_param(c, "grant") && (gd_json_bool(c->params, "all", false) || gd_param(c, "client")))
        gd_call_fail(c, GD_R_PARAM_INVALID, "say one grant, or --all (and perhaps --client), not both");
    else if (gd_json_bool(c->params, "all", false))
        gd_verify_all(c);
    else if (gd_param(c, "grant"))
        gd_look(b, c->workspace, gd_param(c, "grant"), true, on_looked, c);
    else
        gd_call_fail(c, GD_R_PARAM_INVALID, "say which grant, or --all");
}
