/* grant/outcome.c - what becomes of a refresh: an answer is made durable, committed by compare-and-set and
 * only then published; without one the credential waits, retries, is in doubt or in quarantine. */
#include "base/fault.h"
#include "grant/flight.h"
#include "grant/heed.h"

#include <string.h>

#define COMMIT_RETRY_MS 1000
#define LATE_AGAIN_MS   5000

GD_SQL(sql_outcome, "SELECT current_attempt, gen, expires_at, status, next_at FROM credentials"
                    " WHERE workspace = $1 AND id = $2");
GD_SQL(sql_settle,
       "UPDATE credentials SET status = $1, next_at = $2, attempts = $3, reason = $4, reason_text = $5,"
       " lease_owner = NULL, lease_until = 0 WHERE workspace = $6 AND id = $7 AND gen = $8 AND lease_attempt "
       "= $9"
       " AND status <> 'revoked'");
/* Its own, and those of attempts that can bring nothing any more. */
GD_SQL(sql_intent_close, "DELETE FROM intents WHERE workspace = $1 AND credential_id = $2"
                         " AND (attempt_id = $3 OR deadline < gd_now() - $4)");
/* The newest answer that never became current: ids sort by the time they were made. The empty text keeps
 * SQLite from looking for the greatest of all ids first. */
GD_SQL(sql_sibling, "SELECT MAX(attempt_id || '') FROM token_versions WHERE workspace = $1"
                    " AND credential_id = $2 AND status = 'candidate'");
GD_SQL(sql_others, "SELECT COUNT(*) FROM intents WHERE workspace = $1 AND credential_id = $2"
                   " AND attempt_id <> $3 AND deadline >= gd_now() - $4");
GD_SQL(sql_version_status, "UPDATE token_versions SET status = $3 WHERE workspace = $1 AND attempt_id = $2");
GD_SQL(sql_promote_sibling,
       "UPDATE credentials SET gen = gen + 1, current_attempt = $1, status = 'retrying', next_at = $2,"
       " issued_at = (SELECT issued_at FROM token_versions WHERE workspace = $3 AND attempt_id = $1),"
       " expires_at = (SELECT expires_at FROM token_versions WHERE workspace = $3 AND attempt_id = $1),"
       " lease_owner = NULL, lease_until = 0 WHERE workspace = $3 AND id = $4 AND gen = $5");
GD_SQL(sql_take_back,
       "UPDATE credentials SET gen = $1, current_attempt = $2, issued_at = $3, expires_at = $4,"
       " refresh_expires_at = $5, account_id = $6"
       " WHERE workspace = $7 AND id = $8 AND gen = $9");
GD_SQL(sql_versions_reject,
       "UPDATE token_versions SET status = 'rejected' WHERE workspace = $1 AND credential_id = $2"
       " AND status = 'current' AND attempt_id <> $3");

static void settle(struct gd_flight *f, const struct verdict *v);
static void end_mismatch(struct gd_flight *f);
static void on_committed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_settled(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_promoted(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void ask_row(struct gd_flight *f);

/* An attempt whose deadline is past for so long brings no answer any more. */
static int64_t long_over(const struct gd_flight *f)
{
    return f->b->plan.deadline_ms + 2 * f->b->plan.skew_ms;
}

/* own: nothing was sent, so what is known of earlier attempts stays (a node that is gone may hold the answer
 * of one). */
static void close_intent(const struct gd_flight *f, struct gd_tx *tx, bool own)
{
    gd_tx_add(tx, &sql_intent_close, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id), GD_P_TEXT(f->intent),
              GD_P_INT(own ? INT64_MAX : long_over(f)));
}

/* ---- an answer: record, spool, commit, publish ---- */

static void commit_answer(struct gd_flight *f)
{
    struct gd_tx *tx = gd_tx_new(f->b->d.store);

    f->promote = gd_journal_add_version(tx, &f->version, f->bytes, f->nbytes);
    gd_store_commit(f->b->d.store, tx, on_committed, f);
}

static void on_again(uv_timer_t *t)
{
    commit_answer(t->data);
}

/* Takes what came; *ret false: there was nothing to keep. */
static int take_answer(struct gd_flight *f, const struct gd_op_result *r, bool *ret, struct gd_err *err)
{
    struct gd_answer a = { .workspace = f->workspace,
                           .client = f->client,
                           .app = f->app->app.id,
                           .cred = f->id,
                           .attempt = f->attempt,
                           .parent_gen = f->gen,
                           .intent = f->intent,
                           .created_at = gd_now(f->b->d.clock),
                           .r = r,
                           .old_refresh_token = f->refresh.ptr };

    f->mismatch = f->account && r->res.account_id && strcmp(f->account, r->res.account_id) != 0;
    /* What a save brought is durable already; the end names it again. */
    *ret = r->res.access_token && !(f->saved && gd_same_text(r->res.access_token, f->answer.ptr));
    if (!*ret)
        return 0;
    gd_free(f->bytes);
    f->bytes = gd_journal_bytes(f->b, &a, f->mismatch, &f->nbytes, err);
    if (!f->bytes || gd_record_read(&f->version, f->bytes, f->nbytes, err))
        return -1;
    f->version.over = long_over(f);
    gd_secret_set(&f->answer, r->res.access_token, strlen(r->res.access_token));
    if (r->res.refresh_token)
        gd_secret_set(&f->refresh, r->res.refresh_token, strlen(r->res.refresh_token));
    return 0;
}

void gd_flight_on_save(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_flight *f = arg;
    struct gd_err err = { 0 };
    bool some;

    if (take_answer(f, r, &some, &err)) {
        gd_flight_fail(f, &err);
        gd_op_saved(op, false);
    } else if (!some) {
        gd_op_saved(op, true);
    } else {
        commit_answer(f);
    }
}

/* While the process lives it is tried again. A drain gives up after a while: the spool has the record, and
 * the next start reads it. */
static void again_or_end(struct gd_flight *f, uv_timer_cb again, const struct gd_err *err)
{
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the answer is in the spool and becomes durable at the next start" };

    GD_LOG(f->b->d.log, GD_LOG_ERROR, "refresh.commit_failed", GD_F_STR("credential", f->id), GD_F_ERR(err));
    if (!f->b->draining || ++f->tries < GD_DRAIN_TRIES) {
        uv_timer_start(&f->again, again, COMMIT_RETRY_MS, 0);
        return;
    }
    if (f->op)
        gd_op_cancel(&f->op);
    gd_flight_fail(f, &e);
    gd_flight_end(f);
}

/* Somebody else moved the credential: the index follows the store. row: statement that reads it. */
static void follow_store(struct gd_flight *f, const struct gd_tx *tx, size_t row)
{
    struct gd_ix_cred *c = gd_cred_at(&f->b->ix, f->cred);
    enum gd_cred_status status;

    if (gd_tx_rows(tx, row) == 0 || !gd_cred_status_parse(gd_tx_text(tx, row, 0, 3), &status))
        return;
    gd_tokens_drop(f->b->tokens, f->cred);
    c->gen = (uint32_t)gd_tx_int(tx, row, 0, 1);
    c->expires_at = gd_tx_int(tx, row, 0, 2);
    c->status = (uint8_t)status;
    f->due = status == GD_CRED_REVOKED ? GD_NEVER_DUE : gd_tx_int(tx, row, 0, 4);
}

/* row: NULL when the answer became current, else what the credential is now. */
static void answer_kept(struct gd_flight *f, const struct gd_tx *row)
{
    if (!row)
        gd_heed_worked(f->b, f->app);
    gd_journal_publish_version(f->b, &f->version, f->answer.ptr, !row);
    if (row)
        follow_store(f, row, 0);
    else
        f->due = f->version.due;
    f->saved = true;
    f->gen++;
    gd_id_make(f->attempt, "at", gd_now(f->b->d.clock), f->b->d.rng);
    if (f->last)
        gd_flight_end(f);
    else
        gd_op_saved(f->op, true);
}

static void on_ask_again(uv_timer_t *t)
{
    ask_row(t->data);
}

static void on_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_flight *f = arg;
    const char *attempt = r == GD_STORE_OK && gd_tx_rows(tx, 0) ? gd_tx_text(tx, 0, 0, 0) : NULL;

    if (r == GD_STORE_OK) {
        answer_kept(f, attempt && !strcmp(attempt, f->attempt) ? NULL : tx);
        return;
    }
    again_or_end(f, on_ask_again, err);
}

/* No row changed: another was faster, and the answer stays a candidate; or it was a commit in doubt, that was
 * repeated and had happened the first time. The row tells. */
static void ask_row(struct gd_flight *f)
{
    struct gd_tx *tx = gd_tx_new(f->b->d.store);

    gd_tx_add(tx, &sql_outcome, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id));
    gd_store_read(f->b->d.store, tx, on_row, f);
}

static void on_committed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_flight *f = arg;

    f->version.group = gd_tx_group(tx);
    if (r != GD_STORE_OK) /* keep it, the same attempt id makes repeating harmless */
        again_or_end(f, on_again, err);
    else if (f->mismatch)
        end_mismatch(f);
    else if (gd_tx_changes(tx, f->promote) > 0)
        answer_kept(f, NULL);
    else
        ask_row(f);
}

/* The answer was somebody else's. What a save had made current on the way is taken back; all of it stays,
 * rejected. */
static void take_back(struct gd_flight *f, struct gd_tx *tx)
{
    struct gd_ix_cred *c = gd_cred_at(&f->b->ix, f->cred);

    gd_tx_add(tx, &sql_take_back, GD_P_INT(f->first_gen), GD_P_TEXT(f->current_attempt),
              GD_P_INT(f->clocks.issued_at), GD_P_INT(f->clocks.expires_at),
              GD_P_INT(f->clocks.refresh_expires_at), GD_P_TEXT(f->account), GD_P_TEXT(f->workspace),
              GD_P_TEXT(f->id), GD_P_INT(f->gen));
    gd_tx_add(tx, &sql_versions_reject, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id),
              GD_P_TEXT(f->current_attempt));
    gd_tx_add(tx, &sql_version_status, GD_P_TEXT(f->workspace), GD_P_TEXT(f->current_attempt),
              GD_P_TEXT("current"));
    gd_tokens_drop(f->b->tokens, f->cred);
    c->gen = (uint32_t)f->first_gen;
    c->expires_at = f->clocks.expires_at;
}

static void end_mismatch(struct gd_flight *f)
{
    struct verdict v = { GD_CRED_NEEDS_CONSENT, GD_NEVER_DUE, f->attempts + 1, true };
    struct gd_err err;

    gd_err_set(&err, GD_R_SUBJECT_MISMATCH,
               "the refresh answered with another account's tokens; they are kept aside");
    gd_flight_fail(f, &err);
    if (f->op)
        gd_op_cancel(&f->op);
    settle(f, &v);
}

/* The date is past that no refresh moves: only a person can go on. */
void gd_flight_horizon(struct gd_flight *f)
{
    struct verdict v = { GD_CRED_NEEDS_CONSENT, GD_NEVER_DUE, f->attempts, true };
    struct gd_err err;

    gd_err_set(&err, GD_R_GRANT_HORIZON_PASSED,
               "the date is past that no refresh can move; the client must consent again");
    gd_flight_fail(f, &err);
    settle(f, &v);
}

/* Trying again opens it no better: until a restart or an order nothing more is done. */
void gd_flight_unreadable(struct gd_flight *f, const struct gd_err *err)
{
    struct verdict v = { GD_CRED_UNREADABLE, GD_NEVER_DUE, f->attempts, true };

    gd_flight_fail(f, err);
    settle(f, &v);
}

/* This process slept, or the store did: nothing was sent, and somebody else may be at it by now. */
void gd_flight_late(struct gd_flight *f, const struct gd_err *err)
{
    struct verdict v = { f->status, gd_now(f->b->d.clock) + LATE_AGAIN_MS, f->attempts, true, true };

    if (f->status == GD_CRED_UNCERTAIN || f->status == GD_CRED_QUARANTINED)
        v.next_at = f->next_at > v.next_at ? f->next_at : v.next_at; /* a doubt keeps its date */
    gd_flight_fail(f, err);
    settle(f, &v);
}

void gd_flight_patient(struct gd_flight *f)
{
    struct verdict v = { f->status, f->next_at, f->attempts, true, true };
    bool doubt = f->status == GD_CRED_UNCERTAIN;
    struct gd_err err;
    char at[32];

    gd_time_text(at, f->next_at);
    if (f->next_at == GD_NEVER_DUE) {
        gd_err_set(
            &err, GD_R_CREDENTIAL_UNCERTAIN,
            "a node that is gone may hold the answer to the last refresh; start it again, or give it up: "
            "grantctl node list, grantctl node forget");
    } else {
        gd_err_set(&err, doubt ? GD_R_CREDENTIAL_UNCERTAIN : GD_R_CREDENTIAL_QUARANTINED,
                   "the refresh token is not presented again before %s: this platform may end everything if "
                   "it is",
                   at);
        err.retry_at = f->next_at;
    }
    gd_flight_fail(f, &err);
    settle(f, &v);
}

/* ---- no answer to keep: what the credential becomes ---- */

static void settle(struct gd_flight *f, const struct verdict *v)
{
    struct gd_broker *b = f->b;
    struct gd_ix_cred *c = gd_cred_at(&b->ix, f->cred);
    struct gd_tx *tx = gd_tx_new(b->d.store);
    const char *word = f->failed ? gd_reason_word(f->err.reason) : NULL;
    bool taken_back = f->mismatch && f->saved;

    f->verdict = *v;
    if (taken_back)
        take_back(f, tx);
    gd_tx_add(tx, &sql_settle, GD_P_TEXT(gd_cred_status_word(v->status)), GD_P_INT(v->next_at),
              GD_P_INT(v->attempts), GD_P_TEXT(word), GD_P_TEXT(f->failed ? f->err.text : NULL),
              GD_P_TEXT(f->workspace), GD_P_TEXT(f->id), GD_P_INT(taken_back ? f->first_gen : f->gen),
              GD_P_TEXT(f->intent));
    if (v->close_intent)
        close_intent(f, tx, v->unsent);
    if (v->status != (enum gd_cred_status)c->status) {
        GD_AUTO_FREE char *type = gd_strf("credential.%s", gd_cred_status_word(v->status));

        gd_event_add(b->d.events, tx, f->workspace, type, f->id, NULL);
    }
    c->status = (uint8_t)v->status;
    f->due = v->next_at;
    gd_tx_news(tx, f->workspace, f->id);
    gd_store_commit(b->d.store, tx, on_settled, f);
}

static void on_settle_again(uv_timer_t *t)
{
    struct gd_flight *f = t->data;
    struct verdict v = f->verdict;

    settle(f, &v);
}

static void on_settled(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_flight *f = arg;

    (void)tx;
    /* Another account's tokens must not stay the current ones. */
    if (r != GD_STORE_OK && f->mismatch && f->saved && (!f->b->draining || ++f->tries < GD_DRAIN_TRIES)) {
        uv_timer_start(&f->again, on_settle_again, COMMIT_RETRY_MS, 0);
        return;
    }
    /* Not stored: the intent stays open and the next start reads it as a doubt, which is the safe side. */
    if (r != GD_STORE_OK)
        GD_LOG(f->b->d.log, GD_LOG_ERROR, "refresh.settle_failed", GD_F_STR("credential", f->id),
               GD_F_ERR(err));
    gd_events_wake(f->b->d.events);
    gd_flight_end(f);
}

/* A refused token has a sibling that never was tried: make that one current and go on with it at once. */
static void promote_sibling(struct gd_flight *f)
{
    struct gd_tx *tx = gd_tx_new(f->b->d.store);
    int64_t now = gd_now(f->b->d.clock);

    gd_tx_add(tx, &sql_promote_sibling, GD_P_TEXT(f->sibling), GD_P_INT(now), GD_P_TEXT(f->workspace),
              GD_P_TEXT(f->id), GD_P_INT(f->gen));
    gd_tx_add(tx, &sql_version_status, GD_P_TEXT(f->workspace), GD_P_TEXT(f->sibling), GD_P_TEXT("current"));
    gd_tx_add(tx, &sql_version_status, GD_P_TEXT(f->workspace), GD_P_TEXT(f->current_attempt),
              GD_P_TEXT("rejected"));
    close_intent(f, tx, false);
    f->outcome = gd_tx_add(tx, &sql_outcome, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id));
    f->due = now;
    gd_tx_news(tx, f->workspace, f->id);
    gd_store_commit(f->b->d.store, tx, on_promoted, f);
}

static void on_promoted(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_flight *f = arg;

    if (r == GD_STORE_OK)
        follow_store(f, tx, f->outcome);
    else
        f->due += 5000; /* nothing moved, or nobody knows: the next attempt reads the row */
    on_settled(f, tx, r, err);
}

/* The platform says that the token is no good. Never dead at the first answer. others: attempts that may
 * still bring the answer that explains this. */
static struct verdict refused(struct gd_flight *f, bool others)
{
    struct gd_broker *b = f->b;
    int64_t now = gd_now(b->d.clock);

    if (others)
        return (struct verdict){ GD_CRED_UNCERTAIN, gd_plan_patience(&b->plan, &f->clocks, now, now),
                                 f->attempts + 1, true };
    /* What a frozen app is told says nothing about this one client. */
    if (f->status != GD_CRED_QUARANTINED || f->app->interlock.frozen)
        return (struct verdict){ GD_CRED_QUARANTINED, gd_plan_confirm(&b->plan, &f->clocks, now),
                                 f->attempts + 1, true };
    return (struct verdict){ GD_CRED_NEEDS_CONSENT, GD_NEVER_DUE, f->attempts + 1, true };
}

enum { SIBLING = 0, OTHERS = 1 };

static void on_rivals(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_flight *f = arg;
    struct verdict v;

    if (r != GD_STORE_OK) /* nobody knows: the safe side */
        GD_LOG(f->b->d.log, GD_LOG_ERROR, "refresh.rivals_failed", GD_F_STR("credential", f->id),
               GD_F_ERR(err));
    f->sibling = r == GD_STORE_OK && f->dead ? gd_strdup(gd_tx_text(tx, SIBLING, 0, 0)) : NULL;
    if (f->sibling) {
        promote_sibling(f);
        return;
    }
    v = refused(f, r != GD_STORE_OK || gd_tx_int(tx, OTHERS, 0, 0) > 0);
    settle(f, &v);
}

/* A refusal may have to do with other answers and attempts. It is rare, so only now they are looked for. */
static void look_for_rivals(struct gd_flight *f)
{
    struct gd_tx *tx = gd_tx_new(f->b->d.store);

    gd_tx_add(tx, &sql_sibling, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id));
    gd_tx_add(tx, &sql_others, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id), GD_P_TEXT(f->intent),
              GD_P_INT(long_over(f)));
    gd_store_read(f->b->d.store, tx, on_rivals, f);
}

/* May the token have been used up although no tokens came? A gateway's 5xx says nothing about what stands
 * behind it; 503 and 429 say that the request was not taken. */
static bool in_doubt(const struct gd_op_result *r)
{
    if (r->fail_class == GRANTD_E_UNCERTAIN)
        return true;
    if (r->fail_class == GRANTD_E_DEADLINE || r->fail_class == GRANTD_E_CANCELLED)
        return r->spent;
    /* It answered well and we do not understand it: what was spent may have been replaced. */
    if (r->fail_class == GRANTD_E_PROTOCOL || r->fail_class == GRANTD_E_PLUGIN)
        return r->spent && (r->spent_status == 0 || r->spent_status / 100 == 2);
    return r->fail_class == GRANTD_E_TRANSIENT && r->spent && r->spent_status >= 500 &&
           r->spent_status != 503;
}

static struct verdict judge(struct gd_flight *f, const struct gd_op_result *r)
{
    struct gd_broker *b = f->b;
    int64_t now = gd_now(b->d.clock), sent = r->sent_at ? r->sent_at : f->started_at;
    int64_t again = gd_plan_backoff(&b->plan, &f->clocks, f->attempts + 1, now, b->d.rng), patience;

    if (r->retry_at > again)
        again = r->retry_at;
    if (in_doubt(r)) {
        patience = gd_plan_patience(&b->plan, &f->clocks, sent, now);
        return (struct verdict){ GD_CRED_UNCERTAIN, patience > again ? patience : again, f->attempts + 1,
                                 false };
    }
    return (struct verdict){ f->status == GD_CRED_QUARANTINED ? GD_CRED_QUARANTINED : GD_CRED_RETRYING, again,
                             f->attempts + 1, true };
}

/* Our own guard let no request out (a host that is not declared, an address that may not be talked to): that
 * is the operator's or the plugin's matter and says nothing about what the platform thinks of the app. */
static bool never_asked(const struct gd_op_result *r)
{
    return r->fail_class == GRANTD_E_CONFIG && r->err.reason != GD_R_OP_CONFIG;
}

static void end_failed(struct gd_flight *f, const struct gd_op_result *r)
{
    bool dead = r->fail_class == GRANTD_E_REAUTH, config = r->fail_class == GRANTD_E_CONFIG;
    struct gd_broker *b = f->b;
    struct verdict v;

    gd_flight_fail(f, &r->err);
    if (!never_asked(r))
        gd_heed_failed(b, f->app, f->cred, config, dead, &r->err);
    if (dead || r->fail_class == GRANTD_E_DECLINED || r->fail_class == GRANTD_E_FORBIDDEN) {
        f->dead = dead;
        look_for_rivals(f);
        return;
    }
    v = judge(f, r);
    settle(f, &v);
}

static void end_unchanged(struct gd_flight *f)
{
    struct verdict v = { .status = GD_CRED_CURRENT, .close_intent = true };

    gd_heed_worked(f->b, f->app);
    v.next_at = gd_plan_unchanged(&f->b->plan, &f->clocks, gd_now(f->b->d.clock), f->b->d.rng);
    settle(f, &v);
}

void gd_flight_on_end(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_flight *f = arg;
    struct gd_err err = { 0 };
    bool some = false;

    (void)op;
    f->op = NULL;
    (void)GD_FAULT("F10");
    if (r->end == GD_OP_FAILED) {
        if (f->saved) { /* what was saved is good; the rest comes with the next refresh */
            gd_flight_fail(f, &r->err);
            gd_flight_end(f);
        } else {
            end_failed(f, r);
        }
        return;
    }
    if (take_answer(f, r, &some, &err)) { /* it could not even be sealed */
        gd_flight_fail(f, &err);
        settle(f, &(struct verdict){ GD_CRED_UNCERTAIN, GD_NEVER_DUE, f->attempts + 1, false });
    } else if (some) {
        f->last = true;
        commit_answer(f);
    } else if (f->mismatch) {
        end_mismatch(f);
    } else if (f->saved) {
        gd_flight_end(f);
    } else {
        end_unchanged(f);
    }
}
