/* grant/refresh.c - the refresh protocol. One attempt is a flight:
 *
 *   start -> lease and intent committed -> the platform's refresh runs -> answer validated, sealed, spooled
 * and synced, committed by compare-and-set -> published -> waiters told
 *
 * Up to the question that is asked of the platform here, what becomes of the answer in outcome.c.
 *
 * Single flight per credential; who comes later joins. An answer is never dropped: a commit that fails is
 * repeated while the process lives, and the spool carries it over a crash. A doubt is uncertain, not failed;
 * a refusal is a quarantine, not a death. */
#include "base/fault.h"
#include "grant/flight.h"

#include <string.h>

#define AUDIT_PATIENCE_MS (10 * 60 * 1000)
#define NO_DUE_MS         60000
#define OTHERS_MS         5000  /* until it is looked whether another node did what was due */
#define AGAIN_MS          1000  /* the same, of what nobody is at */
#define STEP_IN_MS        20000 /* a token that lives shorter is anybody's to renew */

/* By the clock that all nodes share; a node's own is compared with nobody's. A lease whose time is over while
 * its request may still be answered, or was, is anybody's only where a token may be presented twice: for the
 * others what comes of it is settled by its owner, or by who takes over from that (takeover.c). After the
 * database changed its primary no token that a refresh spends is presented before every node has given back
 * what the new one may lack: it may not be the last one. */
GD_SQL(sql_lease,
       "UPDATE credentials SET lease_owner = $1, lease_epoch = lease_epoch + 1, lease_until = gd_now() + $2,"
       " lease_attempt = $3 WHERE workspace = $4 AND id = $5 AND gen = $6 AND status NOT IN ('revoked', "
       "'restored') AND (retry_class = $7 OR NOT " GD_NODES_BEHIND ")"
       " AND (lease_owner IS NULL OR lease_owner = $1 OR (lease_until < gd_now() AND (retry_class IN ($7, $8)"
       " OR NOT EXISTS (SELECT 1 FROM intents i WHERE i.workspace = credentials.workspace"
       " AND i.attempt_id = credentials.lease_attempt))))");
GD_SQL(sql_intent, "INSERT INTO intents (workspace, attempt_id, credential_id, gen, epoch, node, deadline, "
                   "created_at)"
                   " SELECT workspace, $3, id, gen, lease_epoch, $4, gd_now() + $5, gd_now() FROM credentials"
                   " WHERE workspace = $1 AND id = $2 AND lease_attempt = $3");
GD_SQL(sql_current,
       "SELECT c.gen, c.account_id, c.scope, c.issued_at, c.expires_at, c.refresh_expires_at, c.horizon_at, "
       "c.shape,"
       " c.retry_class, c.retry_grace_ms, c.attempts, c.status, c.lease_attempt, v.attempt_id, v.parent_gen,"
       " v.created_at, v.sealed, c.next_at, c.lease_owner,"
       " CASE WHEN c.lease_owner IS NULL AND c.retry_class <> $3 AND " GD_NODES_BEHIND " THEN 1 ELSE 0 END"
       " FROM credentials c LEFT JOIN token_versions v"
       " ON v.workspace = c.workspace AND v.attempt_id = c.current_attempt WHERE c.workspace = $1 AND c.id = "
       "$2");

struct waiter {
    struct gd_list node;
    gd_refresh_fn *fn;
    void *arg;
};

static void refresh(struct gd_broker *b, uint32_t cred, const char *cause, bool admitted, gd_refresh_fn *fn,
                    void *arg);
static void on_leased(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

void gd_cred_due(struct gd_broker *b, uint32_t cred, int64_t due)
{
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, cred);

    if (b->ears.due)
        b->ears.due(b->ears.arg, cred, due, c->expires_at, c->app);
}

bool gd_refresh_in_flight(const struct gd_broker *b, const char *cred)
{
    return gd_map_get(&b->flights, cred) != NULL;
}

/* ---- the end of a flight ---- */

static void on_again_closed(uv_handle_t *h)
{
    struct gd_flight *f = h->data;
    struct gd_broker *b = f->b;

    json_decref(f->kept);
    gd_free(f->bytes);
    gd_secret_done(&f->access);
    gd_secret_done(&f->refresh);
    gd_secret_done(&f->answer);
    gd_free(f->account);
    gd_free(f->scope);
    gd_free(f->current_attempt);
    gd_free(f->sibling);
    gd_free(f);
    gd_busy(b, -1);
}

static void audit_end(const struct gd_flight *f)
{
    struct gd_audit_entry e = { .act = "credential.refresh",
                                .phase = "done",
                                .outcome = f->failed ? gd_reason_word(f->err.reason) : "ok",
                                .workspace = f->workspace,
                                .client = f->client,
                                .subject = f->id,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1 };

    gd_audit_write(f->b->d.audit, &e, NULL, NULL);
}

void gd_flight_end(struct gd_flight *f)
{
    struct gd_list waiters, *n;
    uint16_t app = gd_cred_at(&f->b->ix, f->cred)->app;
    bool warn = f->failed && f->err.reason != GD_R_CONFLICT; /* that one: a neighbour was quicker */

    audit_end(f);
    GD_LOG(f->b->d.log, warn ? GD_LOG_WARN : GD_LOG_DEBUG, "refresh.end", GD_F_STR("credential", f->id),
           GD_F_STR("app", f->app ? f->app->app.id : ""),
           GD_F_STR("reason", f->failed ? gd_reason_word(f->err.reason) : "OK"),
           GD_F_STR("text", f->failed ? f->err.text : ""));
    gd_map_del(&f->b->flights, f->id);
    if (!f->due) /* every flight leaves a next action behind */
        f->due = gd_now(f->b->d.clock) + NO_DUE_MS;
    gd_cred_due(f->b, f->cred, f->due);
    gd_list_take(&waiters, &f->waiters);
    while ((n = gd_list_pop(&waiters))) {
        struct waiter *w = gd_container_of(n, struct waiter, node);

        w->fn(w->arg, f->failed ? &f->err : NULL);
        (void)GD_FAULT("F20");
        gd_free(w);
    }
    if (f->admitted && f->b->ears.flight_end)
        f->b->ears.flight_end(f->b->ears.arg, app);
    uv_close((uv_handle_t *)&f->again, on_again_closed);
}

void gd_flight_fail(struct gd_flight *f, const struct gd_err *err)
{
    f->failed = true;
    f->err = *err;
}

/* ---- start: lease and intent ---- */

static int may_start(struct gd_broker *b, uint32_t cred, struct gd_err *err)
{
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, cred);
    int64_t mono = gd_mono(b->d.clock);

    if (b->draining)
        return gd_err_set(err, GD_R_SHUTTING_DOWN,
                          "the daemon is draining; the credential is refreshed after the restart");
    if (c->status == GD_CRED_REVOKED || (c->flags & GD_IX_REVOKING))
        return gd_err_set(err, GD_R_CREDENTIAL_REVOKED, "the credential is revoked or being revoked");
    if (c->status == GD_CRED_RESTORED)
        return gd_err_set(
            err, GD_R_CREDENTIAL_RESTORED,
            "the store was set back, and this token may have been spent since; an operator decides");
    if (c->app >= b->napps)
        return gd_err_set(err, GD_R_APP_UNKNOWN, "the app of this credential is no longer configured");
    if (!gd_interlock_admit(&b->apps[c->app].interlock, mono))
        return gd_err_set(err, GD_R_APP_FROZEN,
                          "app %s is frozen: the platform refuses it or many of its grants",
                          b->apps[c->app].app.id);
    if (gd_audit_usable(b->d.audit)) {
        b->audit_lost_at = 0;
        return 0;
    }
    if (!b->audit_lost_at)
        b->audit_lost_at = mono;
    if (mono - b->audit_lost_at > AUDIT_PATIENCE_MS)
        return gd_err_set(err, GD_R_AUDIT_UNAVAILABLE, "the audit log has not been writable for ten minutes");
    return 0;
}

struct refused {
    struct gd_broker *b;
    gd_refresh_fn *fn;
    void *arg;
    uint16_t app;
    bool admitted;
    struct gd_err err;
};

static void tell_refused(void *arg)
{
    struct refused *r = arg;

    if (r->fn)
        r->fn(r->arg, &r->err);
    if (r->admitted && r->b->ears.flight_end)
        r->b->ears.flight_end(r->b->ears.arg, r->app);
    gd_busy(r->b, -1);
    gd_free(r);
}

/* err NULL: nothing was refused, only the scheduler's turn is given back. */
static void refuse(struct gd_broker *b, uint32_t cred, const struct gd_err *err, bool admitted,
                   gd_refresh_fn *fn, void *arg)
{
    struct refused *r = gd_new(sizeof *r);
    int64_t now = gd_now(b->d.clock);

    *r = (struct refused){ b, fn, arg, gd_cred_at(&b->ix, cred)->app, admitted, { 0 } };
    if (err)
        r->err = *err;
    gd_busy(b, 1);
    /* Only the scheduler's own attempt used up its timer; a caller's moves nothing. */
    if (admitted && err && err->reason != GD_R_CREDENTIAL_REVOKED &&
        err->reason != GD_R_CREDENTIAL_RESTORED && err->reason != GD_R_SHUTTING_DOWN)
        gd_cred_due(b, cred, now + GD_INTERLOCK_PROBE_MS / 5 + (int64_t)gd_rng_below(b->d.rng, 30000));
    gd_defer(b, tell_refused, r);
}

static void join(struct gd_flight *f, gd_refresh_fn *fn, void *arg)
{
    struct waiter *w;

    if (!fn)
        return;
    w = gd_new(sizeof *w);
    w->fn = fn;
    w->arg = arg;
    gd_list_add(&f->waiters, &w->node);
}

static struct gd_flight *flight_new(struct gd_broker *b, uint32_t cred)
{
    struct gd_flight *f = gd_new(sizeof *f);
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, cred);
    const struct gd_ix_client *cl = gd_client_at(&b->ix, c->client);

    f->b = b;
    f->cred = cred;
    f->app = &b->apps[c->app];
    f->started_at = gd_now(b->d.clock);
    f->started_mono = gd_mono(b->d.clock);
    f->workspace = b->workspaces[cl->workspace];
    gd_list_init(&f->waiters);
    gd_id_text(f->id, "cr", &c->id);
    gd_id_text(f->client, "cl", &cl->id);
    gd_id_make(f->intent, "at", f->started_at, b->d.rng);
    memcpy(f->attempt, f->intent, sizeof f->attempt);
    uv_timer_init(b->d.loop, &f->again);
    f->again.data = f;
    gd_map_set(&b->flights, f->id, f);
    gd_busy(b, 1);
    return f;
}

void gd_refresh(struct gd_broker *b, uint32_t cred, const char *cause, gd_refresh_fn *fn, void *arg)
{
    refresh(b, cred, cause, false, fn, arg);
}

/* With several nodes the one that prefers it comes first; the others look again later whether it was done,
 * and step in when the token is about to end. */
static bool is_anothers(const struct gd_broker *b, uint32_t cred)
{
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, cred);

    return !gd_nodes_prefers(b->d.nodes, &c->id) &&
           (!c->expires_at || c->expires_at > gd_now(b->d.clock) + STEP_IN_MS);
}

void gd_refresh_due(struct gd_broker *b, uint32_t cred)
{
    if (!is_anothers(b, cred)) {
        refresh(b, cred, "due", true, NULL, NULL);
        return;
    }
    gd_cred_due(b, cred, gd_now(b->d.clock) + OTHERS_MS);
    gd_refresh_not_now(b, cred);
}

void gd_refresh_not_now(struct gd_broker *b, uint32_t cred)
{
    refuse(b, cred, NULL, true, NULL, NULL);
}

void gd_lease_add(struct gd_tx *tx, const struct gd_lease *l)
{
    gd_tx_add(tx, &sql_lease, GD_P_TEXT(l->worker), GD_P_INT(l->lease_ms), GD_P_TEXT(l->attempt),
              GD_P_TEXT(l->workspace), GD_P_TEXT(l->cred), GD_P_INT(l->gen), GD_P_INT(GRANTD_RETRY_NONE),
              GD_P_INT(GRANTD_RETRY_OVERLAP));
    gd_tx_add(tx, &sql_intent, GD_P_TEXT(l->workspace), GD_P_TEXT(l->cred), GD_P_TEXT(l->attempt),
              GD_P_TEXT(l->worker), GD_P_INT(l->deadline_ms));
    gd_tx_add(tx, &sql_current, GD_P_TEXT(l->workspace), GD_P_TEXT(l->cred), GD_P_INT(GRANTD_RETRY_NONE));
    gd_tx_lease(tx);
}

static void take_lease(struct gd_flight *f)
{
    struct gd_broker *b = f->b;
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, f->cred);
    struct gd_clocks k = { .retry_class = c->retry_class };
    struct gd_tx *tx = gd_tx_new(b->d.store);

    f->first_gen = c->gen; /* news may move the index until the answer is here */
    f->lease_ms = gd_plan_lease(&b->plan, &k, b->family_lease_ms);
    gd_lease_add(tx, &(struct gd_lease){ .workspace = f->workspace,
                                         .cred = f->id,
                                         .attempt = f->intent,
                                         .worker = gd_nodes_worker(b->d.nodes),
                                         .gen = f->first_gen,
                                         .lease_ms = f->lease_ms,
                                         .deadline_ms = b->plan.deadline_ms });
    gd_store_commit(b->d.store, tx, on_leased, f);
}

static void refresh(struct gd_broker *b, uint32_t cred, const char *cause, bool admitted, gd_refresh_fn *fn,
                    void *arg)
{
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, cred);
    char id[GD_ID_TEXT_MAX];
    struct gd_flight *f;
    struct gd_err err = { 0 };

    gd_id_text(id, "cr", &c->id);
    f = gd_map_get(&b->flights, id);
    if (f) {
        join(f, fn, arg);
        if (admitted) /* the flight's own end is that of whoever began it */
            gd_refresh_not_now(b, cred);
        return;
    }
    if (may_start(b, cred, &err)) {
        refuse(b, cred, &err, admitted, fn, arg);
        return;
    }
    f = flight_new(b, cred);
    f->admitted = admitted;
    join(f, fn, arg);
    GD_LOG(b->d.log, GD_LOG_DEBUG, "refresh.start", GD_F_STR("credential", id), GD_F_STR("cause", cause));
    (void)GD_FAULT("F01");
    take_lease(f);
}

enum { ROW = 2 }; /* statement of the lease */

static int open_blob(struct gd_flight *f, const struct gd_tx *tx, struct gd_err *err)
{
    struct gd_seal_name name = { .workspace = f->workspace,
                                 .client = f->client,
                                 .owner = f->id,
                                 .gen = gd_tx_int(tx, ROW, 0, 14),
                                 .attempt = gd_tx_text(tx, ROW, 0, 13),
                                 .column = "tok",
                                 .created_at = gd_tx_int(tx, ROW, 0, 15) };
    size_t n = 0;
    const void *sealed = gd_tx_bytes(tx, ROW, 0, 16, &n);
    GD_AUTO_FREE char *text = gd_open_text(f->b, &name, sealed, n, err);
    struct gd_blob blob;

    if (!text || gd_blob_read(&blob, text, err))
        return -1;
    gd_secret_set(&f->access, blob.access, blob.access ? strlen(blob.access) : 0);
    gd_secret_set(&f->refresh, blob.refresh, blob.refresh ? strlen(blob.refresh) : 0);
    f->kept = json_incref(blob.kept);
    gd_blob_done(&blob);
    return 0;
}

static int read_row(struct gd_flight *f, const struct gd_tx *tx, struct gd_err *err)
{
    if (gd_tx_rows(tx, ROW) == 0)
        return gd_err_set(err, GD_R_NOT_FOUND, "the credential is not in the store");
    f->gen = f->first_gen = gd_tx_int(tx, ROW, 0, 0);
    f->account = gd_strdup(gd_tx_text(tx, ROW, 0, 1));
    f->scope = gd_strdup(gd_tx_text(tx, ROW, 0, 2));
    f->clocks = (struct gd_clocks){ .issued_at = gd_tx_int(tx, ROW, 0, 3),
                                    .expires_at = gd_tx_int(tx, ROW, 0, 4),
                                    .refresh_expires_at = gd_tx_int(tx, ROW, 0, 5),
                                    .horizon_at = gd_tx_int(tx, ROW, 0, 6),
                                    .shape = (uint32_t)gd_tx_int(tx, ROW, 0, 7),
                                    .retry_class = (uint32_t)gd_tx_int(tx, ROW, 0, 8),
                                    .retry_grace_ms = gd_tx_int(tx, ROW, 0, 9) };
    f->attempts = (unsigned)gd_tx_int(tx, ROW, 0, 10);
    f->next_at = gd_tx_int(tx, ROW, 0, 17);
    if (!gd_cred_status_parse(gd_tx_text(tx, ROW, 0, 11), &f->status))
        return gd_err_set(err, GD_R_INTERNAL, "the credential has a status that this version does not know");
    f->current_attempt = gd_strdup(gd_tx_text(tx, ROW, 0, 13));
    return open_blob(f, tx, err);
}

/* A doubt, or a refusal that is to be confirmed, has a date; whoever is in a hurry does not move it where
 * presenting the token too early may end everything. */
static bool must_wait(const struct gd_flight *f)
{
    return (f->status == GD_CRED_UNCERTAIN || f->status == GD_CRED_QUARANTINED) &&
           f->next_at > f->started_at &&
           (f->clocks.retry_class == GRANTD_RETRY_STRICT ||
            gd_plan_is_family(&f->clocks, f->clocks.issued_at, f->started_at));
}

static void start_op(struct gd_flight *f)
{
    struct gd_broker *b = f->b;
    char issued[32], expires[32];
    struct gd_op_start s = { .platform = f->app->app.platform,
                             .kind = GD_OP_REFRESH,
                             .app = f->app->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .retry_class = f->clocks.retry_class,
                             .due_mono_ms = gd_mono(b->d.clock) + (f->clocks.expires_at - f->started_at),
                             .on_save = gd_flight_on_save,
                             .on_end = gd_flight_on_end,
                             .arg = f };

    (void)snprintf(issued, sizeof issued, "%lld", (long long)(f->clocks.issued_at / 1000));
    (void)snprintf(expires, sizeof expires, "%lld", (long long)(f->clocks.expires_at / 1000));
    gd_given_app(b, f->app, &s.given);
    s.given.args[GRANTD_ARG_ACCESS_TOKEN] = f->access.ptr;
    s.given.args[GRANTD_ARG_REFRESH_TOKEN] = f->refresh.ptr;
    s.given.args[GRANTD_ARG_ACCOUNT_ID] = f->account;
    s.given.args[GRANTD_ARG_SCOPE] = f->scope;
    s.given.args[GRANTD_ARG_ISSUED_AT] = issued;
    s.given.args[GRANTD_ARG_EXPIRES_AT] = f->clocks.expires_at ? expires : NULL;
    s.given.kept = f->kept;
    f->op = gd_op_start(&b->env, &s);
}

static bool cannot_be_opened(enum gd_reason r)
{
    return r == GD_R_SEAL_FORMAT || r == GD_R_SEAL_KEY_UNKNOWN || r == GD_R_SEAL_COMMIT_MISMATCH ||
           r == GD_R_SEAL_TAMPERED || r == GD_R_KEY_MISSING;
}

static void say_why_not(const struct gd_flight *f, bool behind, struct gd_err *ret)
{
    enum gd_cred_status status = gd_cred_at(&f->b->ix, f->cred)->status;

    if (status == GD_CRED_REVOKED)
        gd_err_set(ret, GD_R_CREDENTIAL_REVOKED, "the credential was revoked");
    else if (status == GD_CRED_RESTORED)
        gd_err_set(ret, GD_R_CREDENTIAL_RESTORED, "the store was set back; an operator decides");
    else if (behind)
        gd_err_set(ret, GD_R_NODES_BEHIND,
                   "another server took the database's place, or it was set back, and not every node has "
                   "given back what it may lack; nothing was sent");
    else
        gd_err_set(ret, GD_R_CONFLICT, "another node is renewing the credential");
}

/* No lease: another node has it, or was here before us, or all wait for a node. The index follows the row;
 * when that has a newer generation than we knew, what was to be done is done. What nobody has any more, is
 * soon looked at again. */
static void follow_row(struct gd_flight *f, const struct gd_tx *tx)
{
    struct gd_broker *b = f->b;
    struct gd_ix_cred *c = gd_cred_at(&b->ix, f->cred);
    int64_t gen = gd_tx_int(tx, ROW, 0, 0);
    bool moved = gen > f->first_gen, nobodys = gd_tx_is_null(tx, ROW, 0, 18);
    enum gd_cred_status status;
    struct gd_err e;

    if (gd_cred_status_parse(gd_tx_text(tx, ROW, 0, 11), &status))
        c->status = (uint8_t)status;
    if (gen != (int64_t)c->gen)
        gd_tokens_drop(b->tokens, f->cred);
    c->gen = (uint32_t)gen;
    c->expires_at = gd_tx_int(tx, ROW, 0, 4);
    f->due = moved ? gd_tx_int(tx, ROW, 0, 17) : gd_now(b->d.clock) + (nobodys ? AGAIN_MS : OTHERS_MS);
    if (c->status == GD_CRED_REVOKED || c->status == GD_CRED_RESTORED)
        f->due = GD_NEVER_DUE;
    say_why_not(f, gd_tx_int(tx, ROW, 0, 19) != 0, &e);
    if (!moved)
        gd_flight_fail(f, &e);
    gd_flight_end(f);
}

static void on_leased(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_flight *f = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the lease could not be stored; nothing was sent" };

    if (r == GD_STORE_OK && gd_tx_changes(tx, 0) == 0 && gd_tx_rows(tx, ROW) > 0) {
        follow_row(f, tx);
        return;
    }
    if (r == GD_STORE_OK && read_row(f, tx, &e) == 0) {
        e.reason = GD_R_OK;
    } else if (r == GD_STORE_OK && cannot_be_opened(e.reason)) {
        gd_flight_unreadable(f, &e);
        return;
    }
    if (r != GD_STORE_OK || e.reason) {
        gd_flight_fail(f, r != GD_STORE_OK && err ? err : &e);
        f->due = gd_now(f->b->d.clock) + 5000 + (int64_t)gd_rng_below(f->b->d.rng, 5000);
        gd_flight_end(f);
        return;
    }
    (void)GD_FAULT("F03");
    if (gd_mono(f->b->d.clock) > f->started_mono + f->lease_ms - f->b->plan.deadline_ms) {
        gd_err_set(&e, GD_R_LEASE_LATE,
                   "the lease took so long to store that it may be over before an answer");
        gd_flight_late(f, &e);
        return;
    }
    if (f->clocks.horizon_at && f->clocks.horizon_at <= f->started_at)
        gd_flight_horizon(f);
    else if (must_wait(f))
        gd_flight_patient(f);
    else
        start_op(f);
}
