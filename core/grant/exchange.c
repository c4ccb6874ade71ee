/* grant/exchange.c - the platform's grant function for one item of a flow. What it saves on the way is
 * durable before it goes on; the credential exists from its first answer on, and from then on a failure that
 * passes, a stop or a crash only interrupts the run. The other items of the same consent get flows of their
 * own in that first commit. The grants exist from the end (made.c). */
#include "base/fault.h"
#include "grant/exchange_int.h"

#include <string.h>

#define COMMIT_RETRY_MS 1000
#define LOOK_AGAIN_MS   60000
#define LOOK_FIRST_MS   5000

GD_SQL(sql_flow_progress, "UPDATE flows SET notes = $1, sealed = $2 WHERE workspace = $3 AND id = $4");
GD_SQL(sql_cred, "SELECT current_attempt, gen FROM credentials WHERE workspace = $1 AND id = $2");

static void on_save(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_end(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_committed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_ready(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* ---- the end ---- */

static void on_closed(uv_handle_t *h)
{
    struct gd_exchange *x = h->data;
    struct gd_broker *b = x->b;
    json_t *held[] = { x->rec,     x->rest,  x->kept,   x->same,     x->opened, x->said,         x->others,
                       x->orphans, x->query, x->inputs, x->warnings, x->news,   x->result.grants };

    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        json_decref(held[i]);
    gd_reports_done(&x->reports);
    gd_secret_done(&x->answer);
    gd_secret_done(&x->refresh);
    gd_free(x->progress);
    gd_free(x->about);
    gd_free(x->steps);
    gd_free(x->account);
    gd_free(x->scope);
    gd_free(x->raw);
    gd_free(x);
    gd_busy(b, -1);
}

/* Credentials that nothing references any more are looked at once more in the store, and revoked. */
static void close_orphans(struct gd_exchange *x)
{
    json_t *one;
    size_t i;

    json_array_foreach(x->orphans, i, one) gd_close_orphan(x->b, x->f->workspace, json_string_value(one));
}

/* The consent is had and durable: the other items go on at once, beside this one; when it is not known yet
 * who gave it, once that is known. */
static void start_others(struct gd_exchange *x)
{
    json_t *one;
    size_t i;

    json_array_foreach(x->others, i, one) gd_broker_look(x->b, x->f->workspace, json_string_value(one));
    json_decref(x->others);
    x->others = NULL;
}

static void on_recorded(void *arg, const struct gd_err *err)
{
    struct gd_exchange *x = arg;

    (void)err; /* what happened has happened; the log says by itself that it could not be written */
    (void)GD_FAULT("flow.told");
    start_others(x);
    close_orphans(x);
    (void)gd_map_del(&x->b->runs, x->f->id);
    x->fn(x->arg, &x->result);
    uv_close((uv_handle_t *)&x->again, on_closed);
}

/* The outcome is in the audit log before anybody is told. */
void gd_exchange_finish(struct gd_exchange *x)
{
    bool bad = x->result.end == GD_EXCHANGE_FAILED || x->result.end == GD_EXCHANGE_DECLINED;
    GD_AUTO_JSON data =
        json_pack("{s:s, s:s, s:s, s:s, s:O}", "app", x->f->app->app.id, "flow", x->f->id, "item",
                  x->f->items[0].id, "end", gd_exchange_word(x->result.end), "grants", x->result.grants);
    struct gd_audit_entry e = { .act = "portal.consent",
                                .phase = "done",
                                .outcome = bad ? gd_reason_word(x->result.err.reason) : "ok",
                                .workspace = x->f->workspace,
                                .client = x->f->client,
                                .subject = x->f->request,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1,
                                .data = data };

    if (json_array_size(x->result.grants) > 100) /* a record has its size; the grants name their request */
        json_object_set_new(data, "grants", json_integer((json_int_t)json_array_size(x->result.grants)));
    gd_events_wake(x->b->d.events);
    GD_LOG(x->b->d.log, x->result.end == GD_EXCHANGE_FAILED ? GD_LOG_WARN : GD_LOG_INFO, "flow.end",
           GD_F_STR("flow", x->f->id), GD_F_STR("app", x->f->app->app.id),
           GD_F_STR("outcome", gd_exchange_word(x->result.end)), GD_F_STR("text", x->result.err.text));
    gd_audit_write(x->b->d.audit, &e, on_recorded, x);
}

/* ---- the start ---- */

struct gd_exchange *gd_exchange_new(struct gd_broker *b, struct gd_flow *f, gd_exchange_fn *fn, void *arg)
{
    struct gd_exchange *x = gd_new(sizeof *x);
    int64_t now = gd_now(b->d.clock);

    *x = (struct gd_exchange){ .b = b, .f = f, .fn = fn, .arg = arg };
    (void)gd_map_set(&b->runs, f->id, x);
    gd_busy(b, 1);
    uv_timer_init(b->d.loop, &x->again);
    x->again.data = x;
    x->kept = f->kept ? json_copy(f->kept) : json_object();
    gd_reports_init(&x->reports, f);
    x->warnings = f->warnings ? json_copy(f->warnings) : json_object();
    x->news = json_object();
    x->result.grants = json_array();
    x->orphans = json_array();
    x->gen = f->cred.gen;
    x->clocks = f->cred.clocks;
    x->account = gd_strdup(f->cred.account);
    x->scope = gd_strdup(f->cred.scope);
    if (f->cred.id[0])
        (void)snprintf(x->cred, sizeof x->cred, "%s", f->cred.id);
    else
        gd_id_make(x->cred, "cr", now, b->d.rng);
    gd_id_make(x->attempt, "at", now, b->d.rng);
    gd_secret_set(&x->answer, f->cred.access.ptr, f->cred.access.len);
    gd_secret_set(&x->refresh, f->cred.refresh.ptr, f->cred.refresh.len);
    return x;
}

static void read_first(uv_timer_t *t)
{
    struct gd_exchange *x = t->data;
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    gd_made_read(x, tx);
    if (gd_broker_shared(x->b))
        x->about_read = gd_about_read(tx, x->f);
    x->closings = gd_meet_read(x->f, tx);
    gd_store_read(x->b->d.store, tx, on_ready, x);
}

/* Nothing has been asked yet, and what the consent brought before is not given up for a store that is away.
 */
static void read_again(struct gd_exchange *x, const struct gd_err *err)
{
    GD_LOG(x->b->d.log, GD_LOG_ERROR, "flow.read_failed", GD_F_STR("flow", x->f->id), GD_F_ERR(err));
    if (!x->b->draining) {
        uv_timer_start(&x->again, read_first, COMMIT_RETRY_MS, 0);
        return;
    }
    x->result.end = GD_EXCHANGE_FAILED;
    gd_err_set(&x->result.err, GD_R_STORE_FAILED, "the store could not be read; the next start goes on");
    gd_exchange_finish(x);
}

void gd_exchange_start(struct gd_broker *b, struct gd_flow *f, json_t *query, const char *raw, json_t *inputs,
                       gd_exchange_fn *fn, void *arg)
{
    struct gd_exchange *x = gd_exchange_new(b, f, fn, arg);

    x->waiting = query == NULL;
    x->query = json_incref(query);
    x->inputs = json_incref(inputs);
    x->raw = gd_strdup(raw);
    read_first(&x->again);
}

static void start_op(struct gd_exchange *x)
{
    struct gd_broker *b = x->b;
    struct gd_flow *f = x->f;
    struct gd_op_start s = { .platform = f->app->app.platform,
                             .kind = GD_OP_GRANT,
                             .app = f->app->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .hard_deadline_ms = 2 * b->plan.deadline_ms, /* nothing is shared in doubt */
                             .interactive = true,
                             .on_save = on_save,
                             .on_end = on_end,
                             .arg = x };
    GD_AUTO_JSON handed = x->inputs ? json_copy(x->inputs) : NULL;
    struct gd_flow_given given;

    gd_flow_given(b, f, &s.given, &given);
    s.given.query = x->query;
    if (handed) { /* what a person handed in, beside what the operator configured */
        if (s.given.inputs)
            json_object_update_missing(handed, s.given.inputs);
        s.given.inputs = handed;
    }
    s.given.args[GRANTD_ARG_QUERY] = x->raw;
    s.given.args[GRANTD_ARG_CODE] = x->query ? gd_json_text(x->query, "code", NULL) : NULL;
    x->began = gd_mono(b->d.clock);
    x->op = gd_op_start(&b->env, &s);
    gd_flow_given_done(&given);
}

/* ---- answers ---- */

/* What the platform wants an operator to know, once. */
void gd_exchange_add_warnings(struct gd_exchange *x, struct gd_tx *tx)
{
    const char *word;
    json_t *text;

    json_object_foreach(x->news, word, text)
    {
        GD_AUTO_JSON data =
            json_pack("{s:s, s:s, s:O}", "item", x->f->items[0].id, "warning", word, "text", text);

        gd_event_add(x->b->d.events, tx, x->f->workspace, "request.warning", x->f->request, data);
    }
}

/* The record with its progress. What is too large for the spool is stored without it: it can be asked for
 * again, tokens cannot. */
void gd_exchange_commit(struct gd_exchange *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    GD_AUTO_FREE char *text = NULL;
    GD_AUTO_FREE unsigned char *sealed = NULL;
    bool lasting = json_object_get(x->rec, "sealed") || json_object_get(x->rec, "flow");
    struct gd_err err;
    size_t n = 0;

    if (lasting)
        gd_about_add(x->b, x->rec, x->about);
    text = gd_json_dump(x->rec);
    gd_journal_statements(x->b, tx, x->rec, lasting && strlen(text) <= GD_SPOOL_RECORD_MAX);
    if (x->progress) {
        gd_reports_save(&x->reports, tx, x->f);
        sealed = gd_flow_seal(x->b, x->f, &n, &err);
        gd_tx_add(tx, &sql_flow_progress, GD_P_TEXT(x->progress), GD_P_BYTES(sealed, n),
                  GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->f->id));
    }
    if (x->last && !x->rest) {
        gd_exchange_add_warnings(x, tx);
        gd_made_after(x, tx);
        x->left = gd_flow_left(x->b, tx, x->f->workspace, x->f->request);
    }
    x->outcome = gd_tx_add(tx, &sql_cred, GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->cred));
    if (!x->apart)
        x->closings = gd_meet_read(x->f, tx);
    gd_store_commit(x->b->d.store, tx, on_committed, x);
}

static void on_again(uv_timer_t *t)
{
    gd_exchange_commit(t->data);
}

static void on_save(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_exchange *x = arg;
    struct gd_err err = { 0 };
    bool sealed;

    if (gd_brought_record(x, r, &err)) {
        gd_op_saved(op, false);
        return;
    }
    sealed = json_object_get(x->rec, "sealed") != NULL;
    if (sealed && !x->mismatch && gd_brought_split(x, &err)) {
        gd_op_saved(op, false);
        return;
    }
    if (!sealed && x->gen == 0)
        gd_brought_kept(x, r);
    gd_brought_progress(x, r->notes, false);
    gd_exchange_commit(x);
}

/* As with a refresh: again while the process lives; after a drain the next start reads the spool. */
static void commit_again(struct gd_exchange *x, const struct gd_err *err)
{
    GD_LOG(x->b->d.log, GD_LOG_ERROR, "flow.commit_failed", GD_F_STR("flow", x->f->id), GD_F_ERR(err));
    if (!x->b->draining || ++x->tries < GD_DRAIN_TRIES) {
        uv_timer_start(&x->again, on_again, COMMIT_RETRY_MS, 0);
        return;
    }
    if (x->op)
        gd_op_cancel(&x->op);
    x->result.end = GD_EXCHANGE_FAILED;
    gd_err_set(&x->result.err, GD_R_STORE_FAILED,
               "what the platform answered is in the spool and becomes durable at the next start");
    json_array_clear(x->orphans);
    gd_exchange_finish(x);
}

/* It waits until what it meets is closed, and is made again then with all it has got. What was handed in is
 * not kept: whoever did so does it again. */
static void give_way(struct gd_exchange *x)
{
    if (x->op)
        gd_op_cancel(&x->op);
    (void)gd_meet_err(&x->result.err);
    x->result.end = x->inputs ? GD_EXCHANGE_FAILED : GD_EXCHANGE_WAITING;
    x->back = x->met = true;
    x->look_at = gd_now(x->b->d.clock) + GD_MEET_AGAIN_MS;
    gd_exchange_put_back(x);
}

/* A code is of use only once, and not for long: what it brings is saved first. */
static bool meets_closing(struct gd_exchange *x, const struct gd_tx *tx)
{
    if (x->apart || x->last || x->mismatch || x->gen == 0)
        return false;
    x->apart = !gd_meet_any(x->b, x->f, tx, x->closings);
    return !x->apart;
}

/* Somebody else, a refresh, may have moved the credential meanwhile: then the answer stays a candidate. */
static bool became_current(struct gd_exchange *x, const struct gd_tx *tx)
{
    const char *attempt = gd_tx_rows(tx, x->outcome) ? gd_tx_text(tx, x->outcome, 0, 0) : NULL;

    if (gd_tx_rows(tx, x->outcome))
        x->gen = gd_tx_int(tx, x->outcome, 0, 1);
    return !json_object_get(x->rec, "sealed") || (attempt && !strcmp(attempt, x->attempt));
}

static void on_committed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_exchange *x = arg;
    bool current;

    if (r != GD_STORE_OK) {
        commit_again(x, err);
        return;
    }
    (void)GD_FAULT(x->last ? "flow.made" : x->others ? "flow.split" : "flow.saved");
    current = became_current(x, tx);
    if (!x->mismatch)
        gd_journal_publish(x->b, x->rec, x->answer.ptr, current);
    if (x->last && !x->rest) {
        gd_made_taken_back(x, tx);
        gd_flow_close_left(x->b, tx, x->left, x->f->workspace); /* of who began it anew beside this one */
    }
    json_decref(x->rec);
    x->rec = x->rest;
    x->rest = NULL;
    if (x->progress)
        gd_reports_saved(&x->reports);
    if (meets_closing(x, tx)) {
        start_others(x);
        give_way(x);
        return;
    }
    gd_free(x->progress);
    x->progress = NULL;
    gd_id_make(x->attempt, "at", gd_now(x->b->d.clock), x->b->d.rng);
    if (x->account)
        start_others(x);
    if (x->rec)
        gd_exchange_commit(x);
    else if (x->last)
        gd_exchange_finish(x);
    else
        gd_op_saved(x->op, !x->mismatch);
}

/* ---- how a run ends ---- */

static void end_failed(struct gd_exchange *x, const struct gd_op_result *r)
{
    bool declined = r->fail_class == GRANTD_E_DECLINED;

    x->result.err = r->err;
    if (!x->mismatch)
        gd_brought_reports(x, r);
    if (x->mismatch)
        gd_err_set(&x->result.err, GD_R_SUBJECT_MISMATCH,
                   "the platform answered with another account's tokens; they are kept aside");
    else if (declined)
        gd_err_set(&x->result.err, GD_R_CONSENT_DENIED, "the platform says that access was not approved");
    gd_exchange_fail(x, declined && !x->mismatch);
}

static void on_ready(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_exchange *x = arg;

    if (r != GD_STORE_OK || GD_FAULT("flow.unread")) {
        read_again(x, err);
        return;
    }
    gd_made_same(x, tx);
    if (gd_broker_shared(x->b))
        x->about = gd_about_take(tx, x->about_read);
    if (!x->f->made) {
        x->apart = !gd_meet_any(x->b, x->f, tx, x->closings);
        if (x->apart || x->query) {
            start_op(x);
        } else {
            gd_brought_progress(x, x->f->notes, false);
            give_way(x);
        }
        return;
    }
    x->rec = gd_made_record(x);
    x->last = true;
    gd_made(x);
    gd_exchange_commit(x);
}

static void end_done(struct gd_exchange *x, const struct gd_op_result *r)
{
    struct gd_err err = { 0 };

    if (gd_brought_record(x, r, &err) || (!x->mismatch && gd_brought_split(x, &err))) {
        x->result.err = err;
        gd_exchange_fail(x, false);
        return;
    }
    x->last = true;
    if (x->mismatch) {
        json_object_del(x->rec, "of");
        gd_brought_progress(x, r->notes, false);
        end_failed(x, r);
        return;
    }
    gd_made(x);
    gd_brought_part(x, r->notes);
    gd_exchange_commit(x);
}

/* Thousands take longer than one run may: what only ran out of time while it got on goes on at once. */
static bool ran_out(const struct gd_exchange *x, const struct gd_op_result *r)
{
    int64_t ran = gd_mono(x->b->d.clock) - x->began;

    return (x->moved || !json_equal(x->f->notes, r->notes)) &&
           (r->fail_class == GRANTD_E_DEADLINE ||
            (r->fail_class == GRANTD_E_TRANSIENT && ran >= x->b->plan.deadline_ms * 9 / 10));
}

/* What passes is not the client's business: the run is made again, with all it knows. */
static void look_again(struct gd_exchange *x, const struct gd_op_result *r)
{
    int64_t now = gd_now(x->b->d.clock), at = now + (x->waiting ? LOOK_AGAIN_MS : LOOK_FIRST_MS);

    gd_brought_reports(x, r);
    gd_brought_progress(x, r->notes, false);
    if (ran_out(x, r))
        at = now;
    x->result.end = x->gen > 0 ? GD_EXCHANGE_WAITING : GD_EXCHANGE_FAILED;
    x->result.err = r->err;
    x->back = true;
    x->look_at = r->retry_at > at ? r->retry_at : at;
    gd_exchange_put_back(x);
}

static bool is_passing(int fail_class)
{
    return fail_class == GRANTD_E_TRANSIENT || fail_class == GRANTD_E_LIMITED ||
           fail_class == GRANTD_E_UNCERTAIN || fail_class == GRANTD_E_DEADLINE;
}

/* The request has ended, and this was the last look: what was granted by now is, the rest is taken back. */
static void end_over(struct gd_exchange *x)
{
    gd_err_set(&x->result.err, GD_R_LINK_EXPIRED, "nobody agreed to it before the request ended");
    if (!gd_made_some(x)) {
        gd_exchange_fail(x, false);
        return;
    }
    x->over = x->last = true;
    x->rec = gd_made_record(x);
    gd_made(x);
    gd_exchange_commit(x);
}

static void end_waiting(struct gd_exchange *x, const struct gd_op_result *r)
{
    gd_brought_reports(x, r);
    if (x->f->until && x->f->until <= gd_now(x->b->d.clock)) {
        end_over(x);
        return;
    }
    gd_brought_progress(x, r->notes, false);
    gd_brought_kept(x, r);
    x->result.end = GD_EXCHANGE_WAITING;
    x->steps = json_array_size(r->steps) ? gd_json_dump(r->steps) : NULL;
    x->back = true;
    x->look_at = r->next_look_at;
    gd_exchange_put_back(x);
}

static void on_end(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_exchange *x = arg;

    (void)op;
    x->op = NULL;
    if (r->end == GD_OP_DONE)
        end_done(x, r);
    else if (r->end == GD_OP_PENDING)
        end_waiting(x, r);
    else if (!x->mismatch && (x->waiting || x->gen > 0) && is_passing(r->fail_class))
        look_again(x, r);
    else
        end_failed(x, r);
}
