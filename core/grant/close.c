/* grant/close.c - ending access. From the first line on nothing is vended; the grant is "ending" in the store
 * before the platform is asked, so a crash goes on with it. A refresh in flight is waited for and what it
 * brought is what is revoked. The credential goes with its last grant. What could not be closed now is tried
 * again with back-off. */
#include "base/fault.h"
#include "grant/broker_int.h"

#include <string.h>

#define AGAIN_MS 5000 /* after a failure of the store */

GD_SQL(sql_ending,
       "UPDATE grants SET lifecycle = 'ending', reason = 'GRANT_ENDING', reason_text = COALESCE($3, "
       "reason_text) WHERE workspace = $1"
       " AND id = $2 AND lifecycle IN ('confirming', 'live', 'ending')");
GD_SQL(sql_others, "SELECT COUNT(*) FROM grants WHERE workspace = $1 AND credential_id = $2 AND id <> $3"
                   " AND lifecycle IN ('confirming', 'live')");
GD_SQL(sql_any, "SELECT COUNT(*) FROM grants WHERE workspace = $1 AND credential_id = $2");
GD_SQL(sql_cred, "SELECT c.client_id, c.app, c.account_id, c.status, c.attempts, v.attempt_id, v.parent_gen, "
                 "v.created_at, v.sealed"
                 " FROM credentials c LEFT JOIN token_versions v ON v.workspace = c.workspace AND "
                 "v.attempt_id = c.current_attempt"
                 " WHERE c.workspace = $1 AND c.id = $2");
GD_SQL(sql_grant,
       "SELECT asset_id, asset_kind, asset_name, role_asked, credential_id, client_id, app FROM grants"
       " WHERE workspace = $1 AND id = $2");
GD_SQL(sql_surfaces,
       "SELECT id, kind, ref, outcome FROM surfaces WHERE workspace = $1 AND grant_id = $2 ORDER BY id");
GD_SQL(sql_surface_set,
       "UPDATE surfaces SET outcome = $1, note = $2, changed_at = $3 WHERE workspace = $4 AND grant_id = $5"
       " AND kind = $6 AND outcome <> 'closed' AND outcome <> 'gone'");
GD_SQL(sql_surface_add,
       "INSERT INTO surfaces (workspace, id, grant_id, kind, ref, outcome, note, changed_at)"
       " SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM grants WHERE workspace = $1 AND id = $3 AND NOT EXISTS"
       " (SELECT 1 FROM surfaces WHERE workspace = $1 AND grant_id = $3 AND kind = $4)");
GD_SQL(sql_ended,
       "UPDATE grants SET lifecycle = 'ended', ended_at = $3, reason = 'GRANT_ENDED',"
       " reason_text = COALESCE($4, reason_text),"
       " native = CASE WHEN native = 'none' THEN 'none' ELSE 'gone' END WHERE workspace = $1 AND id = $2");
GD_SQL(sql_cred_revoked,
       "UPDATE credentials SET status = 'revoked', ended_at = $3, next_at = $4, reason = NULL,"
       " reason_text = NULL, lease_owner = NULL WHERE workspace = $1 AND id = $2");
GD_SQL(sql_versions_drop, "DELETE FROM token_versions WHERE workspace = $1 AND credential_id = $2");
GD_SQL(sql_intents_close, "DELETE FROM intents WHERE workspace = $1 AND credential_id = $2");
GD_SQL(sql_cred_again,
       "UPDATE credentials SET next_at = $3, attempts = attempts + 1, reason = $4, reason_text = $5"
       " WHERE workspace = $1 AND id = $2");

/* One for each grant (or orphan) at a time; who asks meanwhile waits for its end. */
struct closing {
    struct gd_broker *b;
    struct gd_call **calls; /* none: resumed, or an orphan */
    unsigned ncalls;
    struct gd_arena *arena;
    const char *workspace, *grant; /* grant "": an orphan */
    const char *key;               /* in gd_broker.closings */
    const char *why;
    char cred[GD_ID_TEXT_MAX]; /* "": native only, or others still use it */
    uint32_t ix_grant, ix_cred;
    enum gd_lifecycle before;
    struct gd_app_state *app;
    const char *client, *account, *asset_id, *asset_kind, *asset_name, *role;
    struct gd_secret access, refresh;
    json_t *kept, *surfaces;
    bool shared;
    unsigned attempts;
};

static void on_ending(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static bool wait_for_flight(struct closing *x);
static void after_flight(void *arg, const struct gd_err *err);
static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_revoked(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_closed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* cred: of an orphan, where grant is "". */
static struct closing *closing_new(struct gd_broker *b, const char *workspace, const char *grant,
                                   const char *cred)
{
    struct closing *x = gd_new(sizeof *x);

    x->b = b;
    x->arena = gd_arena_new(0);
    x->workspace = gd_arena_strdup(x->arena, workspace);
    x->grant = gd_arena_strdup(x->arena, grant);
    x->ix_grant = x->ix_cred = GD_NONE;
    x->before = GD_LIFE_ENDING;
    (void)snprintf(x->cred, sizeof x->cred, "%s", cred);
    x->key = gd_arena_strdup(x->arena, grant[0] ? grant : cred);
    (void)gd_map_set(&b->closings, x->key, x);
    gd_busy(b, 1);
    return x;
}

static void closing_join(struct closing *x, struct gd_call *c)
{
    x->calls = gd_resize(x->calls, (x->ncalls + 1) * sizeof *x->calls);
    x->calls[x->ncalls++] = c;
}

static void closing_free(struct closing *x)
{
    struct gd_broker *b = x->b;

    (void)gd_map_del(&b->closings, x->key);
    gd_secret_done(&x->access);
    gd_secret_done(&x->refresh);
    json_decref(x->kept);
    json_decref(x->surfaces);
    gd_arena_free(x->arena);
    gd_free(x->calls);
    gd_free(x);
    gd_busy(b, -1);
}

/* The grant stays "ending" and is tried again: by the credential's clock where it is being revoked, else by
 * one of its own. */
static void close_later(struct closing *x, int64_t at)
{
    struct gd_broker *b = x->b;

    if (x->ix_cred != GD_NONE && (gd_cred_at(&b->ix, x->ix_cred)->flags & GD_IX_REVOKING))
        gd_cred_due(b, x->ix_cred, at);
    else if (x->grant[0] && b->ears.look)
        b->ears.look(b->ears.arg, x->workspace, x->grant, at);
}

static void close_failed(struct closing *x, const struct gd_err *err)
{
    GD_LOG(x->b->d.log, GD_LOG_ERROR, "close.failed", GD_F_STR("grant", x->grant),
           GD_F_STR("credential", x->cred), GD_F_ERR(err));
    for (unsigned i = 0; i < x->ncalls; i++)
        gd_call_error(x->calls[i], err);
    closing_free(x);
}

static void close_done(struct closing *x)
{
    gd_events_wake(x->b->d.events);
    for (unsigned i = 0; i < x->ncalls; i++)
        gd_grant_reply(x->calls[i], x->grant, json_pack("{s:[]}", "surfaces"));
    closing_free(x);
}

/* ---- from here on nothing is vended ---- */

static bool others_live(const struct gd_broker *b, uint32_t cred, uint32_t but)
{
    for (uint32_t g = gd_cred_at(&b->ix, cred)->first_grant; g != GD_NONE;
         g = gd_grant_at(&b->ix, g)->next_of_cred) {
        uint8_t life = gd_grant_at(&b->ix, g)->lifecycle;

        if (g != but && (life == GD_LIFE_LIVE || life == GD_LIFE_CONFIRMING))
            return true;
    }
    return false;
}

/* Nothing is vended or refreshed any more. */
static void hold_cred(struct closing *x)
{
    gd_cred_at(&x->b->ix, x->ix_cred)->flags |= GD_IX_REVOKING;
    gd_tokens_drop(x->b->tokens, x->ix_cred);
}

static void stop_vending(struct closing *x)
{
    struct gd_ix_grant *g = gd_grant_at(&x->b->ix, x->ix_grant);

    x->before = (enum gd_lifecycle)g->lifecycle;
    g->lifecycle = GD_LIFE_ENDING;
    x->ix_cred = g->cred;
    if (g->cred == GD_NONE)
        return;
    gd_id_text(x->cred, "cr", &gd_cred_at(&x->b->ix, g->cred)->id);
    x->shared = others_live(x->b, g->cred, x->ix_grant);
    if (!x->shared)
        hold_cred(x);
}

static void undo_stop(struct closing *x)
{
    gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = (uint8_t)x->before;
    if (x->ix_cred != GD_NONE && !x->shared)
        gd_cred_at(&x->b->ix, x->ix_cred)->flags &= (uint8_t)~GD_IX_REVOKING;
}

static void start_closing(struct closing *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    stop_vending(x);
    (void)GD_FAULT("F28");
    gd_tx_add(tx, &sql_ending, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_TEXT(x->why));
    gd_store_commit(x->b->d.store, tx, on_ending, x);
}

void gd_grant_revoke(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const char *text = gd_param(c, "grant");
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", text, strlen(text)) ? gd_grant_number(b, c->workspace, &id) : GD_NONE;
    struct closing *x;

    if (n == GD_NONE || gd_grant_at(&b->ix, n)->lifecycle >= GD_LIFE_ENDED) {
        gd_grant_reply(c, text, json_pack("{s:[]}", "surfaces")); /* ended long ago, or not there */
        return;
    }
    x = gd_map_get(&b->closings, text);
    if (x) {
        closing_join(x, c);
        return;
    }
    x = closing_new(b, c->workspace, text, "");
    closing_join(x, c);
    x->ix_grant = n;
    x->why =
        gd_arena_strdup(x->arena, gd_param(c, "reason") ? gd_param(c, "reason") : "revoked by an operator");
    start_closing(x);
}

void gd_close_resume(struct gd_broker *b, const char *workspace, const char *grant)
{
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", grant, strlen(grant)) ? gd_index_grant(&b->ix, &id) : GD_NONE;
    struct closing *x;

    if (n == GD_NONE || b->draining || gd_grant_at(&b->ix, n)->lifecycle != GD_LIFE_ENDING ||
        gd_map_get(&b->closings, grant))
        return;
    x = closing_new(b, workspace, grant, "");
    x->ix_grant = n;
    start_closing(x);
}

void gd_close_orphan(struct gd_broker *b, const char *workspace, const char *cred)
{
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "cr", cred, strlen(cred)) ? gd_index_cred(&b->ix, &id) : GD_NONE;
    struct closing *x;

    if (n == GD_NONE || b->draining || gd_map_get(&b->closings, cred))
        return;
    x = closing_new(b, workspace, "", cred);
    x->ix_cred = n;
    hold_cred(x);
    after_flight(x, NULL);
}

void gd_close_orphans(struct gd_broker *b)
{
    char id[GD_ID_TEXT_MAX];

    for (uint32_t i = 0; i < b->ix.creds.count; i++) {
        const struct gd_ix_cred *c = gd_cred_at(&b->ix, i);

        if (c->first_grant != GD_NONE || c->status == GD_CRED_REVOKED || c->app >= b->napps)
            continue;
        gd_id_text(id, "cr", &c->id);
        gd_close_orphan(b, b->workspaces[gd_client_at(&b->ix, c->client)->workspace], id);
    }
}

/* ---- ask the platform ---- */

static void on_ending(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct closing *x = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the store could not be written; nothing was revoked" };

    if (r == GD_STORE_FAILED) {
        undo_stop(x);
        close_failed(x, err ? err : &e);
    } else if (r != GD_STORE_OK) { /* it may be "ending" there: go on as if, it is the safe side */
        close_later(x, gd_now(x->b->d.clock) + AGAIN_MS);
        close_failed(x, err ? err : &e);
    } else if (gd_tx_changes(tx, 0) == 0) { /* has ended meanwhile */
        gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = GD_LIFE_ENDED;
        close_done(x);
    } else if (x->shared || !wait_for_flight(x)) {
        after_flight(x, NULL);
    }
}

/* True: a refresh of the credential is under way, and what it brings is what will be revoked. */
static bool wait_for_flight(struct closing *x)
{
    if (!x->cred[0] || x->ix_cred == GD_NONE || !gd_refresh_in_flight(x->b, x->cred))
        return false;
    gd_refresh(x->b, x->ix_cred, "revoke waits", after_flight, x); /* joins */
    return true;
}

static void after_flight(void *arg, const struct gd_err *err)
{
    struct closing *x = arg;
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    (void)err; /* however it ended: what is current now is what is revoked */
    gd_tx_add(tx, &sql_grant, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
    gd_tx_add(tx, &sql_surfaces, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
    gd_tx_add(tx, &sql_cred, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred));
    if (x->grant[0])
        gd_tx_add(tx, &sql_others, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred), GD_P_TEXT(x->grant));
    else
        gd_tx_add(tx, &sql_any, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred));
    gd_store_read(x->b->d.store, tx, on_facts, x);
}

static int open_cred(struct closing *x, const struct gd_tx *tx, struct gd_err *err)
{
    size_t n = 0;
    const void *sealed = gd_tx_bytes(tx, 2, 0, 8, &n);
    struct gd_seal_name name = { .workspace = x->workspace,
                                 .client = x->client,
                                 .owner = x->cred,
                                 .gen = gd_tx_int(tx, 2, 0, 6),
                                 .attempt = gd_tx_text(tx, 2, 0, 5),
                                 .column = "tok",
                                 .created_at = gd_tx_int(tx, 2, 0, 7) };
    GD_AUTO_FREE char *text = sealed ? gd_open_text(x->b, &name, sealed, n, err) : NULL;
    GD_AUTO_JSON blob = text ? gd_json_parse(text, strlen(text), GD_CRED_BLOB_MAX, err) : NULL;
    const char *at, *rt;

    if (!sealed)
        return 0; /* dropped already */
    if (!blob)
        return -1;
    at = gd_json_text(blob, "access_token", NULL);
    rt = gd_json_text(blob, "refresh_token", NULL);
    gd_secret_set(&x->access, at, at ? strlen(at) : 0);
    gd_secret_set(&x->refresh, rt, rt ? strlen(rt) : 0);
    x->kept = json_incref(json_object_get(blob, "kept"));
    return 0;
}

static void copy_grant(struct closing *x, const struct gd_tx *tx)
{
    json_decref(x->surfaces);
    x->surfaces = json_array();
    for (size_t i = 0; i < gd_tx_rows(tx, 1); i++)
        json_array_append_new(x->surfaces,
                              json_pack("{s:s, s:s?, s:s}", "kind", gd_tx_text(tx, 1, i, 1), "id",
                                        gd_tx_text(tx, 1, i, 2), "outcome", gd_tx_text(tx, 1, i, 3)));
    if (gd_tx_rows(tx, 0)) {
        x->asset_id = gd_arena_strdup(x->arena, gd_tx_text(tx, 0, 0, 0));
        x->asset_kind = gd_arena_strdup(x->arena, gd_tx_text(tx, 0, 0, 1));
        x->asset_name = gd_arena_strdup(x->arena, gd_tx_text(tx, 0, 0, 2));
        x->role = gd_arena_strdup(x->arena, gd_tx_text(tx, 0, 0, 3));
        x->client = gd_arena_strdup(x->arena, gd_tx_text(tx, 0, 0, 5));
        x->app = gd_app_find(x->b, gd_tx_text(tx, 0, 0, 6));
    }
    if (gd_tx_rows(tx, 2)) {
        x->client = gd_arena_strdup(x->arena, gd_tx_text(tx, 2, 0, 0));
        x->app = gd_app_find(x->b, gd_tx_text(tx, 2, 0, 1));
        x->account = gd_arena_strdup(x->arena, gd_tx_text(tx, 2, 0, 2));
        x->attempts = (unsigned)gd_tx_int(tx, 2, 0, 4);
    }
}

/* Nothing is left to be asked of the platform for this grant. */
static void end_here(struct closing *x, const char *note)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    int64_t now = gd_now(x->b->d.clock);

    gd_tx_add(tx, &sql_surface_set, GD_P_TEXT("closed"), GD_P_TEXT(note), GD_P_INT(now),
              GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_TEXT("token"));
    gd_tx_add(tx, &sql_ended, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_INT(now), GD_P_TEXT(x->why));
    gd_event_add(x->b->d.events, tx, x->workspace, "grant.ended", x->grant, NULL);
    gd_store_commit(x->b->d.store, tx, on_closed, x);
}

static void ask_platform(struct closing *x)
{
    struct gd_broker *b = x->b;
    struct gd_op_start s = { .platform = x->app->app.platform,
                             .kind = GD_OP_REVOKE,
                             .app = x->app->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = x->ncalls > 0,
                             .on_end = on_revoked,
                             .arg = x };
    const struct gd_grant_doc d = { .role = x->role,
                                    .asset_id = x->asset_id,
                                    .asset_kind = x->asset_kind,
                                    .asset_name = x->asset_name,
                                    .surfaces = x->surfaces };
    json_t *doc = gd_grant_document(&d);

    gd_given_app(b, x->app, &s.given);
    s.given.args[GRANTD_ARG_ACCESS_TOKEN] = x->access.ptr;
    s.given.args[GRANTD_ARG_REFRESH_TOKEN] = x->refresh.ptr;
    s.given.args[GRANTD_ARG_ACCOUNT_ID] = x->account;
    s.given.args[GRANTD_ARG_ASSET_ID] = x->asset_id;
    s.given.args[GRANTD_ARG_ROLE] = x->role;
    s.given.kept = x->kept;
    s.given.grant = doc;
    gd_op_start(&b->env, &s);
    json_decref(doc);
}

/* The index does not know its grants (another version wrote them?): it is left alone. */
static void not_an_orphan(struct closing *x)
{
    struct gd_err e = { .reason = GD_R_CONFLICT, .text = "grants still reference the credential" };

    gd_cred_at(&x->b->ix, x->ix_cred)->flags &= (uint8_t)~GD_IX_REVOKING;
    close_failed(x, &e);
}

static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct closing *x = arg;
    const char *cred = r == GD_STORE_OK && gd_tx_rows(tx, 0) ? gd_tx_text(tx, 0, 0, 4) : NULL;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the store could not be read; it is tried again" };

    if (r != GD_STORE_OK) {
        close_later(x, gd_now(x->b->d.clock) + AGAIN_MS);
        close_failed(x, err ? err : &e);
        return;
    }
    if (cred && !x->cred[0]) { /* not in the index: revoked with another grant, before the last start */
        (void)snprintf(x->cred, sizeof x->cred, "%s", cred);
        after_flight(x, NULL);
        return;
    }
    copy_grant(x, tx);
    if (!x->grant[0] && gd_tx_int(tx, 3, 0, 0) > 0) {
        not_an_orphan(x);
        return;
    }
    x->shared = x->grant[0] && x->cred[0] && gd_tx_int(tx, 3, 0, 0) > 0;
    if (!x->shared && x->ix_cred != GD_NONE) { /* those who shared it may have ended since */
        hold_cred(x);
        if (wait_for_flight(x))
            return;
    }
    if (x->shared) {
        end_here(x, "other grants still use the credential; this grant no longer vends it");
    } else if (gd_tx_rows(tx, 2) && !strcmp(gd_tx_text(tx, 2, 0, 3), "revoked")) {
        end_here(x, "the credential was revoked with the last other grant that used it");
    } else if (x->cred[0] && open_cred(x, tx, &e)) {
        close_failed(x, &e);
    } else if (!x->app) {
        gd_err_set(&e, GD_R_APP_UNKNOWN,
                   "the app of this grant is no longer configured; add it to revoke at the platform");
        close_failed(x, &e);
    } else {
        ask_platform(x);
    }
}

/* ---- what the platform said ---- */

static const char *const outcome_words[] = { "open", "open", "closed", "gone", "manual", "failed" };

static void store_surfaces(struct closing *x, struct gd_tx *tx, const struct gd_op_result *r, int64_t now)
{
    size_t i;
    json_t *s;

    json_array_foreach(r->surfaces, i, s)
    {
        int64_t n = gd_json_i64(s, "outcome", 0);
        const char *kind = gd_json_text(s, "kind", "token"), *text = gd_json_text(s, "text", NULL);
        const char *word = n > 0 && n < 6 ? outcome_words[n] : gd_json_text(s, "outcome", "open");
        char id[GD_ID_TEXT_MAX];

        gd_id_make(id, "sf", now, x->b->d.rng);
        gd_tx_add(tx, &sql_surface_add, GD_P_TEXT(x->workspace), GD_P_TEXT(id), GD_P_TEXT(x->grant),
                  GD_P_TEXT(kind), GD_P_TEXT(gd_json_text(s, "id", NULL)), GD_P_TEXT(word), GD_P_TEXT(text),
                  GD_P_INT(now));
        gd_tx_add(tx, &sql_surface_set, GD_P_TEXT(word), GD_P_TEXT(text), GD_P_INT(now),
                  GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_TEXT(kind));
    }
}

static bool any_failed(const struct gd_op_result *r)
{
    size_t i;
    json_t *s;

    json_array_foreach(r->surfaces, i, s) if (gd_json_i64(s, "outcome", 0) == GRANTD_SURFACE_FAILED ||
                                              !strcmp(gd_json_text(s, "outcome", ""), "failed")) return true;
    return false;
}

/* Gone, closed or only a person can do more: grantd's part is over. */
static void end_closed(struct closing *x, const struct gd_op_result *r)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    int64_t now = gd_now(x->b->d.clock);
    bool gone =
        r->end == GD_OP_FAILED && (r->fail_class == GRANTD_E_ABSENT || r->fail_class == GRANTD_E_REAUTH);
    bool manual = r->end == GD_OP_FAILED && r->fail_class == GRANTD_E_MANUAL;

    store_surfaces(x, tx, r, now);
    if (gone || manual)
        gd_tx_add(tx, &sql_surface_set, GD_P_TEXT(gone ? "gone" : "manual"), GD_P_TEXT(r->err.text),
                  GD_P_INT(now), GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_TEXT("token"));
    if (x->grant[0]) {
        gd_tx_add(tx, &sql_ended, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_INT(now),
                  GD_P_TEXT(x->why));
        gd_event_add(x->b->d.events, tx, x->workspace, "grant.ended", x->grant, NULL);
    }
    if (x->cred[0]) {
        gd_tx_add(tx, &sql_cred_revoked, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred), GD_P_INT(now),
                  GD_P_INT(GD_NEVER_DUE));
        gd_tx_add(tx, &sql_versions_drop, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred));
        gd_tx_add(tx, &sql_intents_close, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred));
        gd_event_add(x->b->d.events, tx, x->workspace, "credential.revoked", x->cred, NULL);
        if (x->ix_cred != GD_NONE)
            gd_cred_due(x->b, x->ix_cred, GD_NEVER_DUE);
    }
    gd_store_commit(x->b->d.store, tx, on_closed, x);
}

static void on_again_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    (void)tx;
    (void)r;
    (void)err;
    close_done(arg);
}

/* Not now: the grant stays "ending", the credential's clock brings us back. */
static void close_again(struct closing *x, const struct gd_op_result *r)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    int64_t now = gd_now(x->b->d.clock);
    struct gd_clocks k = { .expires_at = 0 };
    int64_t at = gd_plan_backoff(&x->b->plan, &k, x->attempts + 1, now, x->b->d.rng);

    if (r->retry_at > at)
        at = r->retry_at;
    store_surfaces(x, tx, r, now);
    gd_tx_add(tx, &sql_surface_set, GD_P_TEXT("failed"), GD_P_TEXT(r->err.text), GD_P_INT(now),
              GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_TEXT("token"));
    if (x->cred[0])
        gd_tx_add(tx, &sql_cred_again, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred), GD_P_INT(at),
                  GD_P_TEXT(gd_reason_word(r->err.reason)), GD_P_TEXT(r->err.text));
    close_later(x, at);
    GD_LOG(x->b->d.log, GD_LOG_WARN, "close.again", GD_F_STR("grant", x->grant), GD_F_ERR(&r->err));
    gd_store_commit(x->b->d.store, tx, on_again_stored, x);
}

static void on_revoked(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct closing *x = arg;
    bool final = r->end == GD_OP_DONE || r->fail_class == GRANTD_E_ABSENT ||
                 r->fail_class == GRANTD_E_REAUTH || r->fail_class == GRANTD_E_MANUAL;

    (void)op;
    if (final && !any_failed(r))
        end_closed(x, r);
    else
        close_again(x, r);
}

static void on_closed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct closing *x = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "it is closed at the platform; noting it is tried again" };

    (void)tx;
    if (r != GD_STORE_OK) { /* still "ending" in the store: done once more, which is harmless */
        close_later(x, gd_now(x->b->d.clock) + AGAIN_MS);
        close_failed(x, err ? err : &e);
        return;
    }
    if (x->ix_grant != GD_NONE)
        gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = GD_LIFE_ENDED;
    if (x->cred[0] && !x->shared && x->ix_cred != GD_NONE)
        gd_cred_at(&x->b->ix, x->ix_cred)->status = GD_CRED_REVOKED;
    close_done(x);
}
