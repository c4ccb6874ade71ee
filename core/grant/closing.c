/* grant/closing.c - a closing under way, from the moment when the grant is "ending" in the store: what it
 * stands on is read, the platform is asked for what is left to close, and what it said is kept. What could
 * not be closed now is tried again with back-off. The credential goes with its last grant. */
#include "base/fault.h"
#include "grant/closing.h"

#include <string.h>

#define LEFT_LOOK_MS (3600 * (int64_t)1000) /* the first look at what is left for a person */
#define HELD_MS      1000                   /* another node is at work with the credential */

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
GD_SQL(sql_grant_again,
       "UPDATE grants SET looks = looks + 1, ordered = COALESCE($3, ordered), closing_until = 0"
       " WHERE workspace = $1 AND id = $2");

static void after_flight(void *arg, const struct gd_err *err);
static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_revoked(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_closed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_held(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* True: a refresh of the credential is under way, and what it brings is what will be revoked. */
static bool wait_for_flight(struct gd_closing *x)
{
    if (!x->cred[0] || x->ix_cred == GD_NONE || !gd_refresh_in_flight(x->b, x->cred))
        return false;
    x->waited = true;
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

void gd_closing_go(struct gd_closing *x)
{
    if (x->shared || !x->grant[0] || !wait_for_flight(x))
        after_flight(x, NULL);
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
        gd_closing_failed(x, err);
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

/* For somebody else, who ends by himself; a stop does not wait for him. */
static void wait_more(struct gd_closing *x, uv_timer_cb again)
{
    struct gd_err e = { .reason = GD_R_SHUTTING_DOWN, .text = "it is gone on with after the restart" };

    x->waited = true;
    if (x->b->draining)
        gd_closing_failed(x, &e);
    else
        uv_timer_start(&x->again, again, HELD_MS, 0);
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
        wait_more(x, on_hold_again);
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
    } else if (x->waited && x->grant[0]) { /* what was claimed may be over: once more, and then the facts */
        x->waited = false;
        gd_closing_claim(x);
    } else {
        ask_platform(x);
    }
}

static void on_run_over(uv_timer_t *t)
{
    after_flight(t->data, NULL);
}

/* True: it is not gone on with now. A run that is under way ends by itself, and the next one waits for this
 * closing: at most one is waited for. */
static bool wait_for_run(struct gd_closing *x, const struct gd_tx *tx)
{
    if (!gd_closing_meets(x, tx))
        return false;
    wait_more(x, on_run_over);
    return true;
}

static void no_orphan(struct gd_closing *x)
{
    if (x->let_go) {
        x->let_go = false;
        after_flight(x, NULL);
        return;
    }
    unhold_cred(x);
    gd_closing_free(x);
}

static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_closing *x = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the store could not be read; it is tried again" };

    if (r != GD_STORE_OK || GD_FAULT("facts.unread")) {
        gd_closing_later(x, gd_now(x->b->d.clock) + GD_CLOSING_AGAIN_MS);
        gd_closing_failed(x, err ? err : &e);
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
        gd_closing_hold_cred(x);
        if (wait_for_flight(x))
            return;
    }
    if (!wait_for_run(x, tx))
        close_facts(x, tx);
}

/* ---- what the platform said ---- */

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
    gd_closing_done(arg);
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
    gd_closing_later(x, at);
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
        gd_closing_later(x, gd_now(x->b->d.clock) + GD_CLOSING_AGAIN_MS);
        gd_closing_failed(x, err ? err : &e);
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
    gd_closing_done(x);
}
