/* grant/close.c - ending access. From the first line on nothing is vended; the grant is "ending" in the store
 * before the platform is asked, so a crash goes on with it. A refresh in flight is waited for and what it
 * brought is what is revoked. The credential goes with its last grant. What could not be closed now is tried
 * again with back-off. */
#include "base/fault.h"
#include "grant/closing.h"

#include <string.h>

#define LEFT_LOOK_MS (3600 * (int64_t)1000) /* the first look at what is left for a person */
#define AGAIN_MS     5000                   /* after a failure of the store */
#define HELD_MS      1000                   /* another node is at work with the credential */

GD_SQL(sql_ending,
       "UPDATE grants SET lifecycle = 'ending', reason = 'GRANT_ENDING', reason_text = COALESCE($3, "
       "reason_text), worker = $4, ordered = COALESCE($5, ordered) WHERE workspace = $1 AND id = $2 AND "
       "(lifecycle IN ('confirming', 'live')"
       " OR (lifecycle = 'ending' AND (worker IS NULL OR worker = $4)))");
GD_SQL(sql_life, "SELECT lifecycle FROM grants WHERE workspace = $1 AND id = $2");
/* What only a person can close is left: it has ended for us, and is looked at until it is gone. */
#define LEFT                                                                                               \
    "EXISTS (SELECT 1 FROM surfaces s WHERE s.workspace = $1 AND s.grant_id = $2 AND s.outcome = 'manual'" \
    " AND s.kind <> 'token')"
GD_SQL(sql_ended,
       "UPDATE grants SET lifecycle = 'ended', ended_at = $3, ordered = NULL, reason_text = COALESCE($4, "
       "reason_text),"
       " reason = CASE WHEN " LEFT " THEN 'SURFACE_LEFT' ELSE 'GRANT_ENDED' END,"
       " look_at = CASE WHEN " LEFT " THEN $5 ELSE 0 END,"
       " native = CASE WHEN native = 'none' THEN 'none' WHEN " LEFT " THEN 'unknown' ELSE 'gone' END"
       " WHERE workspace = $1 AND id = $2");
GD_SQL(sql_cred_revoked,
       "UPDATE credentials SET status = 'revoked', ended_at = $3, next_at = $4, reason = NULL,"
       " reason_text = NULL, lease_owner = NULL WHERE workspace = $1 AND id = $2");
GD_SQL(sql_versions_drop, "DELETE FROM token_versions WHERE workspace = $1 AND credential_id = $2");
GD_SQL(sql_intents_close, "DELETE FROM intents WHERE workspace = $1 AND credential_id = $2");
GD_SQL(sql_cred_again,
       "UPDATE credentials SET next_at = $3, attempts = attempts + 1, reason = $4, reason_text = $5,"
       " lease_owner = NULL, lease_until = 0"
       " WHERE workspace = $1 AND id = $2");
/* Nobody refreshes what is being revoked: on this node the index says so, on others the lease. */
GD_SQL(sql_cred_hold,
       "UPDATE credentials SET lease_owner = $3, lease_epoch = lease_epoch + 1, lease_until = gd_now() + $4,"
       " lease_attempt = NULL WHERE workspace = $1 AND id = $2 AND status <> 'revoked'"
       " AND (lease_owner IS NULL OR lease_owner = $3 OR lease_until < gd_now())");
GD_SQL(sql_grant_again, "UPDATE grants SET looks = looks + 1, ordered = COALESCE($3, ordered)"
                        " WHERE workspace = $1 AND id = $2");

static void on_ending(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static bool wait_for_flight(struct gd_closing *x);
static void after_flight(void *arg, const struct gd_err *err);
static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_revoked(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_closed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_held(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* cred: of an orphan, where grant is "". */
static struct gd_closing *closing_new(struct gd_broker *b, const char *workspace, const char *grant,
                                      const char *cred)
{
    struct gd_closing *x = gd_new(sizeof *x);

    x->b = b;
    x->arena = gd_arena_new(0);
    x->workspace = gd_arena_strdup(x->arena, workspace);
    x->grant = gd_arena_strdup(x->arena, grant);
    x->ix_grant = x->ix_cred = GD_NONE;
    x->before = GD_LIFE_ENDING;
    (void)snprintf(x->cred, sizeof x->cred, "%s", cred);
    x->key = gd_arena_strdup(x->arena, grant[0] ? grant : cred);
    x->surfaces = (struct gd_surfaces){ .b = b, .workspace = x->workspace, .grant = x->grant };
    uv_timer_init(b->d.loop, &x->again);
    x->again.data = x;
    (void)gd_map_set(&b->closings, x->key, x);
    gd_busy(b, 1);
    return x;
}

static void closing_join(struct gd_closing *x, struct gd_call *c)
{
    json_t *inputs = json_object_get(c->params, "inputs");

    if (inputs && !x->inputs)
        x->inputs = json_incref(inputs);
    x->force = x->force || gd_json_bool(c->params, "force", false);
    x->calls = gd_resize(x->calls, (x->ncalls + 1) * sizeof *x->calls);
    x->calls[x->ncalls++] = c;
}

static void on_again_closed(uv_handle_t *h)
{
    struct gd_closing *x = h->data;
    struct gd_broker *b = x->b;

    gd_secret_done(&x->access);
    gd_secret_done(&x->refresh);
    json_decref(x->kept);
    json_decref(x->params);
    json_decref(x->inputs);
    json_decref(x->others);
    gd_surfaces_done(&x->surfaces);
    gd_arena_free(x->arena);
    gd_free(x->calls);
    gd_free(x);
    gd_busy(b, -1);
}

static void closing_free(struct gd_closing *x)
{
    (void)gd_map_del(&x->b->closings, x->key);
    uv_close((uv_handle_t *)&x->again, on_again_closed);
}

/* The grant stays "ending" and is tried again: by the credential's clock where it is being revoked, else by
 * one of its own. */
static void close_later(struct gd_closing *x, int64_t at)
{
    struct gd_broker *b = x->b;

    if (x->ix_cred != GD_NONE && (gd_cred_at(&b->ix, x->ix_cred)->flags & GD_IX_REVOKING))
        gd_cred_due(b, x->ix_cred, at);
    else if (x->grant[0] && b->ears.look)
        b->ears.look(b->ears.arg, x->workspace, x->grant, at);
}

static void close_failed(struct gd_closing *x, const struct gd_err *err)
{
    GD_LOG(x->b->d.log, GD_LOG_ERROR, "close.failed", GD_F_STR("grant", x->grant),
           GD_F_STR("credential", x->cred), GD_F_ERR(err));
    for (unsigned i = 0; i < x->ncalls; i++)
        gd_call_error(x->calls[i], err);
    closing_free(x);
}

/* Whoever ordered it is recorded with the order; what a start or a clock went on with has no one else. */
static void audit_end(const struct gd_closing *x)
{
    GD_AUTO_JSON data = json_pack("{s:b, s:b}", "resumed", 1, "forced", (int)x->force);
    struct gd_audit_entry e = { .act = x->grant[0] ? "grant.revoke" : "credential.revoke",
                                .phase = "done",
                                .outcome = "ok",
                                .workspace = x->workspace,
                                .client = x->client,
                                .subject = x->grant[0] ? x->grant : x->cred,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1,
                                .data = data };

    gd_audit_write(x->b->d.audit, &e, NULL, NULL);
}

static void close_done(struct gd_closing *x)
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
static void hold_cred(struct gd_closing *x)
{
    gd_cred_at(&x->b->ix, x->ix_cred)->flags |= GD_IX_REVOKING;
    gd_tokens_drop(x->b->tokens, x->ix_cred);
}

static void stop_vending(struct gd_closing *x)
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

static void undo_stop(struct gd_closing *x)
{
    gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = (uint8_t)x->before;
    if (x->ix_cred != GD_NONE && !x->shared)
        gd_cred_at(&x->b->ix, x->ix_cred)->flags &= (uint8_t)~GD_IX_REVOKING;
}

static void start_closing(struct gd_closing *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    GD_AUTO_FREE unsigned char *order = NULL;
    char client[GD_ID_TEXT_MAX];
    size_t n = 0;

    gd_id_text(client, "cl", &gd_client_at(&x->b->ix, gd_grant_at(&x->b->ix, x->ix_grant)->client)->id);
    order = gd_closing_seal_order(x, client, &n);
    stop_vending(x);
    (void)GD_FAULT("F28");
    gd_tx_add(tx, &sql_ending, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_TEXT(x->why),
              GD_P_TEXT(gd_nodes_worker(x->b->d.nodes)), GD_P_BYTES(order, n));
    gd_tx_add(tx, &sql_life, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
    gd_tx_news(tx, x->workspace, x->grant);
    gd_store_commit(x->b->d.store, tx, on_ending, x);
}

/* What only a person could close may be closed by now: ordered again, it is looked at. */
static void on_left_looked(void *arg, const struct gd_look_result *r)
{
    struct gd_call *c = arg;

    (void)r;
    gd_grant_reply(c, gd_param(c, "grant"), json_pack("{s:[]}", "surfaces"));
}

void gd_grant_revoke(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const char *text = gd_param(c, "grant");
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", text, strlen(text)) ? gd_grant_number(b, c->workspace, &id) : GD_NONE;
    struct gd_closing *x;

    if (n == GD_NONE || gd_grant_at(&b->ix, n)->lifecycle >= GD_LIFE_ENDED) {
        gd_look(b, c->workspace, text, true, on_left_looked, c); /* ended long ago, or not there */
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
    struct gd_closing *x;

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
    struct gd_closing *x;

    x = gd_map_get(&b->closings, cred);
    if (x)
        x->let_go = true;
    if (n == GD_NONE || b->draining || x || !gd_close_is_orphan(b, n))
        return;
    x = closing_new(b, workspace, "", cred);
    x->ix_cred = n;
    after_flight(x, NULL); /* the store knows more: what is being set up with it */
}

void gd_close_orphans(struct gd_broker *b)
{
    char id[GD_ID_TEXT_MAX];

    for (uint32_t i = 0; i < b->ix.creds.count; i++) {
        const struct gd_ix_cred *c = gd_cred_at(&b->ix, i);

        if (!gd_close_is_orphan(b, i) || c->app >= b->napps)
            continue;
        gd_id_text(id, "cr", &c->id);
        gd_close_orphan(b, b->workspaces[gd_client_at(&b->ix, c->client)->workspace], id);
    }
}

/* ---- ask the platform ---- */

static void on_ending(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_closing *x = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the store could not be written; nothing was revoked" };

    (void)GD_FAULT("close.ending");
    if (r == GD_STORE_FAILED) {
        undo_stop(x);
        close_failed(x, err ? err : &e);
    } else if (r != GD_STORE_OK) { /* it may be "ending" there: go on as if, it is the safe side */
        close_later(x, gd_now(x->b->d.clock) + AGAIN_MS);
        close_failed(x, err ? err : &e);
    } else if (gd_tx_changes(tx, 0) == 0) { /* has ended meanwhile, or another node is closing it */
        bool ending = gd_tx_rows(tx, 1) && !strcmp(gd_tx_text(tx, 1, 0, 0), "ending");

        gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = ending ? GD_LIFE_ENDING : GD_LIFE_ENDED;
        close_done(x);
    } else if (x->shared || !wait_for_flight(x)) {
        after_flight(x, NULL);
    }
}

/* True: a refresh of the credential is under way, and what it brings is what will be revoked. */
static bool wait_for_flight(struct gd_closing *x)
{
    if (!x->cred[0] || x->ix_cred == GD_NONE || !gd_refresh_in_flight(x->b, x->cred))
        return false;
    gd_refresh(x->b, x->ix_cred, "revoke waits", after_flight, x); /* joins */
    return true;
}

static void after_flight(void *arg, const struct gd_err *err)
{
    struct gd_closing *x = arg;
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    (void)err; /* however it ended: what is current now is what is revoked */
    gd_closing_read(x, tx);
    gd_store_read(x->b->d.store, tx, on_facts, x);
}

static const char *token_note(const struct gd_closing *x)
{
    if (x->shared)
        return "others still use the credential; this grant no longer vends it";
    return x->spent ? "the credential was revoked, or a newer one holds the same token" : NULL;
}

/* The end of the grant; of the credential too, when it was the last that needed it. */
static void add_end(struct gd_closing *x, struct gd_tx *tx, int64_t now)
{
    if (token_note(x))
        gd_surfaces_rest(&x->surfaces, tx, GD_SURFACES_TOKEN, "closed", token_note(x), now);
    gd_surfaces_rest(&x->surfaces, tx, GD_SURFACES_HELD, "closed",
                     "another grant, or what is still asked for, stands on the same access: it ends with "
                     "that one",
                     now);
    if (x->grant[0]) {
        gd_tx_add(tx, &sql_ended, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_INT(now),
                  GD_P_TEXT(x->why), GD_P_INT(now + LEFT_LOOK_MS));
        gd_event_add(x->b->d.events, tx, x->workspace, "grant.ended", x->grant, NULL);
        gd_tx_news(tx, x->workspace, x->grant);
    }
    if (!x->cred[0] || x->shared)
        return;
    gd_tx_add(tx, &sql_cred_revoked, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred), GD_P_INT(now),
              GD_P_INT(GD_NEVER_DUE));
    gd_tx_add(tx, &sql_versions_drop, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred));
    gd_tx_add(tx, &sql_intents_close, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred));
    gd_event_add(x->b->d.events, tx, x->workspace, "credential.revoked", x->cred, NULL);
    gd_tx_news(tx, x->workspace, x->cred);
    if (x->ix_cred != GD_NONE)
        gd_cred_due(x->b, x->ix_cred, GD_NEVER_DUE);
}

/* Nothing is left to be asked of the platform. */
static void end_here(struct gd_closing *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    add_end(x, tx, gd_now(x->b->d.clock));
    gd_store_commit(x->b->d.store, tx, on_closed, x);
}

/* Ordered so: what cannot be closed is a person's, with what stood in the way. */
static void end_forced(struct gd_closing *x, struct gd_tx *tx, const struct gd_err *err)
{
    int64_t now = gd_now(x->b->d.clock);
    GD_AUTO_FREE char *note = gd_strf(
        "grantd gave up on it as it was ordered to (%s); look at the platform yourself and remove the "
        "access there",
        err->text);

    GD_LOG(x->b->d.log, GD_LOG_WARN, "close.forced", GD_F_STR("grant", x->grant), GD_F_ERR(err));
    if (token_note(x))
        gd_surfaces_rest(&x->surfaces, tx, GD_SURFACES_TOKEN, "closed", token_note(x), now);
    gd_surfaces_give_up(&x->surfaces, tx, note, now);
    add_end(x, tx, now);
    gd_store_commit(x->b->d.store, tx, on_closed, x);
}

/* It cannot even be asked. */
static void cannot_ask(struct gd_closing *x, const struct gd_err *err)
{
    if (x->force && x->grant[0])
        end_forced(x, gd_tx_new(x->b->d.store), err);
    else
        close_failed(x, err);
}

static void ask_platform(struct gd_closing *x)
{
    struct gd_broker *b = x->b;
    struct gd_op_start s = { .platform = x->app->app.platform,
                             .kind = GD_OP_REVOKE,
                             .app = x->app->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = x->ncalls > 0,
                             .on_end = on_revoked,
                             .arg = x };
    GD_AUTO_JSON listed = gd_surfaces_listed(&x->surfaces, !x->shared && !x->spent);
    GD_AUTO_JSON inputs = x->inputs ? json_copy(x->inputs) : NULL;
    GD_AUTO_JSON doc = NULL;
    struct gd_hub_given hub;

    x->doc.surfaces = listed;
    doc = gd_grant_document(&x->doc);
    json_object_set_new(doc, "siblings", json_integer(x->siblings));
    json_object_set(doc, "others", x->others);
    gd_given_app(b, x->app, &s.given);
    gd_given_hub(b, x->app, &s.given, &hub);
    if (inputs) {
        json_object_set(doc, "inputs", inputs);
        json_object_update_missing(inputs, s.given.inputs);
        s.given.inputs = inputs;
    }
    s.given.args[GRANTD_ARG_ACCESS_TOKEN] = x->access.ptr;
    s.given.args[GRANTD_ARG_REFRESH_TOKEN] = x->refresh.ptr;
    s.given.args[GRANTD_ARG_ACCOUNT_ID] = x->account;
    s.given.args[GRANTD_ARG_ASSET_ID] = x->doc.asset_id;
    s.given.args[GRANTD_ARG_ROLE] = x->doc.role;
    s.given.args[GRANTD_ARG_MODE] = x->doc.mode;
    s.given.params = x->params;
    s.given.kept = x->kept;
    s.given.grant = doc;
    gd_op_start(&b->env, &s);
    gd_hub_given_done(&hub);
}

static void unhold_cred(struct gd_closing *x)
{
    if (x->ix_cred != GD_NONE)
        gd_cred_at(&x->b->ix, x->ix_cred)->flags &= (uint8_t)~GD_IX_REVOKING;
}

/* The grant's credential is another one than the index said: a newer consent took its place, or it was
 * revoked before the last start. */
static bool follow_row(struct gd_closing *x, const struct gd_tx *tx)
{
    const char *cred = gd_tx_rows(tx, GD_FACTS_GRANT) ? gd_tx_text(tx, GD_FACTS_GRANT, 0, 4) : NULL;
    struct gd_id id;

    if (!cred || !strcmp(cred, x->cred))
        return false;
    unhold_cred(x);
    (void)snprintf(x->cred, sizeof x->cred, "%s", cred);
    x->ix_cred = gd_id_parse(&id, "cr", cred, strlen(cred)) ? gd_index_cred(&x->b->ix, &id) : GD_NONE;
    x->shared = x->held = false;
    after_flight(x, NULL);
    return true;
}

static void on_hold_again(uv_timer_t *t)
{
    after_flight(t->data, NULL);
}

/* Another node is refreshing it: what that brings is what is to be revoked. */
static void on_held(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_closing *x = arg;

    (void)err; /* the facts are read again, and say it if the store is away */
    x->held = r == GD_STORE_OK && gd_tx_changes(tx, 0) > 0;
    if (x->held || r != GD_STORE_OK)
        after_flight(x, NULL);
    else
        uv_timer_start(&x->again, on_hold_again, HELD_MS, 0);
}

/* True: the facts are read again when it is held. */
static bool hold_first(struct gd_closing *x)
{
    struct gd_broker *b = x->b;
    struct gd_tx *tx;

    if (x->held || !x->cred[0] || x->shared || x->spent)
        return false;
    tx = gd_tx_new(b->d.store);
    gd_tx_add(tx, &sql_cred_hold, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred),
              GD_P_TEXT(gd_nodes_worker(b->d.nodes)), GD_P_INT(4 * b->plan.deadline_ms));
    gd_store_commit(b->d.store, tx, on_held, x);
    return true;
}

/* Asks for what is left to close. */
static void close_facts(struct gd_closing *x, const struct gd_tx *tx)
{
    struct gd_err e = { 0 };
    json_t *listed;
    bool todo;

    x->spent = x->cred[0] && gd_tx_rows(tx, GD_FACTS_CRED) &&
               !strcmp(gd_tx_text(tx, GD_FACTS_CRED, 0, 3), "revoked");
    if (hold_first(x))
        return;
    if (x->cred[0] && !x->spent && gd_closing_open(x, tx, &e)) {
        cannot_ask(x, &e);
        return;
    }
    if (x->cred[0] && !x->spent && !x->shared)
        x->spent = gd_closing_held_elsewhere(x, tx);
    listed = gd_surfaces_listed(&x->surfaces, !x->shared && !x->spent);
    todo = json_array_size(listed) > 0;
    json_decref(listed);
    if (!todo && (x->shared || x->spent || !x->cred[0])) {
        end_here(x);
    } else if (!x->app) {
        gd_err_set(&e, GD_R_APP_UNKNOWN,
                   "the app of this grant is no longer configured; add it to revoke at the platform");
        cannot_ask(x, &e);
    } else {
        ask_platform(x);
    }
}

static void no_orphan(struct gd_closing *x)
{
    if (x->let_go) {
        x->let_go = false;
        after_flight(x, NULL);
        return;
    }
    unhold_cred(x);
    closing_free(x);
}

static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_closing *x = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the store could not be read; it is tried again" };

    if (r != GD_STORE_OK) {
        close_later(x, gd_now(x->b->d.clock) + AGAIN_MS);
        close_failed(x, err ? err : &e);
        return;
    }
    if (follow_row(x, tx))
        return;
    if (!x->grant[0] && gd_closing_in_use(tx)) {
        no_orphan(x);
        return;
    }
    x->shared = x->grant[0] && x->cred[0] && gd_closing_in_use(tx);
    if (x->shared)
        unhold_cred(x);
    gd_closing_copy(x, tx);
    if (!x->shared && x->ix_cred != GD_NONE) { /* those who shared it may have ended since */
        hold_cred(x);
        if (wait_for_flight(x))
            return;
    }
    close_facts(x, tx);
}

/* ---- what the platform said ---- */

static bool any_failed(const struct gd_op_result *r)
{
    size_t i;
    json_t *s;

    json_array_foreach(r->surfaces, i, s) if (!strcmp(gd_json_text(s, "outcome", ""), "failed")) return true;
    return false;
}

/* Gone, closed or only a person can do more: grantd's part is over. */
static void end_closed(struct gd_closing *x, const struct gd_op_result *r)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    int64_t now = gd_now(x->b->d.clock);
    bool failed = r->end == GD_OP_FAILED;

    gd_surfaces_report(&x->surfaces, tx, r->surfaces, now);
    if (token_note(x))
        gd_surfaces_rest(&x->surfaces, tx, GD_SURFACES_TOKEN, "closed", token_note(x), now);
    if (failed && r->fail_class == GRANTD_E_ABSENT)
        gd_surfaces_rest(&x->surfaces, tx, GD_SURFACES_ALL, "gone", r->err.text, now);
    if (failed && r->fail_class == GRANTD_E_REAUTH) /* the token is dead; what it made may stand */
        gd_surfaces_rest(&x->surfaces, tx, GD_SURFACES_TOKEN, "gone", r->err.text, now);
    gd_surfaces_rest(&x->surfaces, tx, GD_SURFACES_ALL, "manual",
                     failed ? r->err.text
                            : "the platform did not say what became of it; look there and remove it by hand",
                     now);
    add_end(x, tx, now);
    gd_store_commit(x->b->d.store, tx, on_closed, x);
}

static void on_again_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    (void)tx;
    (void)r;
    (void)err;
    (void)GD_FAULT("close.again");
    close_done(arg);
}

/* Not now: the grant stays "ending", a clock brings us back. */
static void close_again(struct gd_closing *x, const struct gd_op_result *r)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    int64_t now = gd_now(x->b->d.clock);
    struct gd_clocks k = { .expires_at = 0 };
    int64_t at = gd_plan_backoff(&x->b->plan, &k, x->attempts + 1, now, x->b->d.rng);
    size_t n = 0;
    GD_AUTO_FREE unsigned char *order = x->grant[0] ? gd_closing_seal_order(x, x->client, &n) : NULL;

    if (r->retry_at > at)
        at = r->retry_at;
    gd_surfaces_report(&x->surfaces, tx, r->surfaces, now);
    gd_surfaces_rest(&x->surfaces, tx, x->shared ? GD_SURFACES_NATIVE : GD_SURFACES_ALL, "failed",
                     r->err.text, now);
    if (x->cred[0] && !x->shared)
        gd_tx_add(tx, &sql_cred_again, GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred), GD_P_INT(at),
                  GD_P_TEXT(gd_reason_word(r->err.reason)), GD_P_TEXT(r->err.text));
    gd_tx_add(tx, &sql_grant_again, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_BYTES(order, n));
    close_later(x, at);
    GD_LOG(x->b->d.log, GD_LOG_WARN, "close.again", GD_F_STR("grant", x->grant), GD_F_ERR(&r->err));
    gd_store_commit(x->b->d.store, tx, on_again_stored, x);
}

static void on_revoked(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_closing *x = arg;
    bool final = r->end == GD_OP_DONE || r->fail_class == GRANTD_E_ABSENT ||
                 r->fail_class == GRANTD_E_REAUTH || r->fail_class == GRANTD_E_MANUAL;
    struct gd_err e = { .reason = GD_R_OP_TRANSIENT, .text = "the platform could not close it now" };
    struct gd_tx *tx;

    (void)op;
    (void)GD_FAULT("close.said");
    if (final && !any_failed(r)) {
        end_closed(x, r);
    } else if (x->force && x->grant[0]) {
        tx = gd_tx_new(x->b->d.store);
        gd_surfaces_report(&x->surfaces, tx, r->surfaces, gd_now(x->b->d.clock));
        end_forced(x, tx, r->end == GD_OP_FAILED ? &r->err : &e);
    } else {
        close_again(x, r);
    }
}

static void on_closed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_closing *x = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "it is closed at the platform; noting it is tried again" };

    (void)tx;
    (void)GD_FAULT("close.ended");
    if (r != GD_STORE_OK) { /* still "ending" in the store: done once more, which is harmless */
        close_later(x, gd_now(x->b->d.clock) + AGAIN_MS);
        close_failed(x, err ? err : &e);
        return;
    }
    if (x->ix_grant != GD_NONE)
        gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = GD_LIFE_ENDED;
    if (x->cred[0] && !x->shared && x->ix_cred != GD_NONE)
        gd_cred_at(&x->b->ix, x->ix_cred)->status = GD_CRED_REVOKED;
    if (x->ncalls == 0)
        audit_end(x);
    if (x->grant[0] && x->cred[0] && x->shared) /* those who needed it may have ended beside this one */
        gd_close_orphan(x->b, x->workspace, x->cred);
    close_done(x);
}
