/* grant/exchange.c - the platform's grant function for a flow. What it saves on the way is durable before it
 * goes on; the credential exists from its first answer on, the grants from its end. */
#include "grant/exchange.h"

#include <string.h>

#define COMMIT_RETRY_MS 1000
#define LOOK_AGAIN_MS   60000

GD_SQL(sql_items_back,
       "UPDATE items SET state = $1, reason = $2, reason_text = $3, next_look_at = 0, updated_at = $4"
       " WHERE workspace = $5 AND flow_id = $6 AND state IN ('open', 'started', 'waiting')");
GD_SQL(sql_flow_end, "UPDATE flows SET status = $1, outcome = $2, reason = $3, reason_text = $4"
                     " WHERE workspace = $5 AND id = $6");
GD_SQL(sql_items_wait,
       "UPDATE items SET state = 'waiting', steps = COALESCE($1, steps), next_look_at = $2,"
       " reason = NULL, reason_text = NULL, updated_at = $3 WHERE workspace = $4 AND flow_id = $5"
       " AND state IN ('open', 'started', 'waiting')");
GD_SQL(sql_flow_wait, "UPDATE flows SET status = 'waiting', outcome = 'waiting', notes = $1, sealed = $2"
                      " WHERE workspace = $3 AND id = $4");
GD_SQL(sql_flow_notes, "UPDATE flows SET notes = $1 WHERE workspace = $2 AND id = $3");

struct exchange {
    struct gd_broker *b;
    struct gd_flow *f;
    gd_exchange_fn *fn;
    void *arg;
    struct gd_op *op;
    char cred[GD_ID_TEXT_MAX], attempt[GD_ID_TEXT_MAX];
    int64_t gen;              /* of what is durable; 0: nothing yet */
    json_t *rec;              /* on its way to the store */
    struct gd_secret answer;  /* access token of rec */
    struct gd_secret refresh; /* newest refresh token, for answers that bring none */
    json_t *kept, *assets;
    char *account;
    bool last, waiting; /* waiting: not from a callback, may go back to waiting */
    unsigned tries;     /* of a commit, in a drain */
    uv_timer_t again;
    struct gd_exchange_result result;
};

static void on_save(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_end(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_committed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

const char *gd_exchange_word(enum gd_exchange_end e)
{
    static const char *const words[] = { "granted", "waiting", "declined", "failed" };

    return words[e];
}

/* ---- the flow's own ---- */

void gd_flow_done(struct gd_flow *f)
{
    json_decref(f->kept);
    json_decref(f->notes);
    f->kept = f->notes = NULL;
}

static struct gd_seal_name flow_name(const struct gd_flow *f)
{
    return (struct gd_seal_name){
        .workspace = f->workspace, .client = f->client, .owner = f->id, .column = "flow"
    };
}

unsigned char *gd_flow_seal(struct gd_broker *b, const struct gd_flow *f, size_t *ret_n, struct gd_err *err)
{
    struct gd_seal_name name = flow_name(f);
    GD_AUTO_JSON j =
        json_pack("{s:s?, s:s?, s:O?}", "nonce", f->nonce, "verifier", f->verifier, "kept", f->kept);
    GD_AUTO_FREE char *text = gd_json_dump(j);

    return gd_seal_text(b, &name, text, ret_n, err);
}

int gd_flow_open(struct gd_broker *b, struct gd_flow *f, const void *sealed, size_t n, struct gd_err *err)
{
    struct gd_seal_name name = flow_name(f);
    GD_AUTO_FREE char *text = gd_open_text(b, &name, sealed, n, err);
    GD_AUTO_JSON j = text ? gd_json_parse(text, strlen(text), GD_CRED_BLOB_MAX, err) : NULL;

    if (!j)
        return -1;
    f->nonce = gd_arena_strdup(f->arena, gd_json_text(j, "nonce", NULL));
    f->verifier = gd_arena_strdup(f->arena, gd_json_text(j, "verifier", NULL));
    f->kept = json_incref(json_object_get(j, "kept"));
    return 0;
}

const char *gd_flow_redirect_uri(struct gd_broker *b, struct gd_arena *a, const char *workspace,
                                 const char *app)
{
    return gd_arena_strf(a, "%s/cb/%s.%s", b->public_url ? b->public_url : "", workspace, app);
}

void gd_flow_given(struct gd_broker *b, const struct gd_flow *f, struct gd_op_given *g, json_t **ret_doc)
{
    const struct gd_flow_item *first = &f->items[0];

    *ret_doc = json_pack("{s:{s:s?, s:s?, s:s?}, s:[], s:[], s:{}}", "item", "role", first->role, "asset",
                         first->asset, "mode", first->mode, "assets", "surfaces", "inputs");
    gd_given_app(b, f->app, g);
    g->args[GRANTD_ARG_REDIRECT_URI] = gd_flow_redirect_uri(b, f->arena, f->workspace, f->app->app.id);
    g->args[GRANTD_ARG_STATE] = f->state;
    g->args[GRANTD_ARG_NONCE] = f->nonce;
    g->args[GRANTD_ARG_CODE_VERIFIER] = f->verifier;
    g->args[GRANTD_ARG_SCOPE] = first->scope;
    g->args[GRANTD_ARG_ROLE] = first->role;
    g->args[GRANTD_ARG_MODE] = first->mode;
    g->args[GRANTD_ARG_ASSET_ID] = first->asset;
    g->grant = *ret_doc;
    g->kept = f->kept;
    g->notes = f->notes;
}

/* ---- start and end ---- */

static void on_closed(uv_handle_t *h)
{
    struct exchange *x = h->data;
    struct gd_broker *b = x->b;

    json_decref(x->rec);
    json_decref(x->kept);
    json_decref(x->assets);
    json_decref(x->result.grants);
    gd_secret_done(&x->answer);
    gd_secret_done(&x->refresh);
    gd_free(x->account);
    gd_free(x);
    gd_busy(b, -1);
}

static void on_recorded(void *arg, const struct gd_err *err)
{
    struct exchange *x = arg;

    (void)err; /* what happened has happened; the log says by itself that it could not be written */
    x->fn(x->arg, &x->result);
    uv_close((uv_handle_t *)&x->again, on_closed);
}

/* The outcome is in the audit log before anybody is told. */
static void finish(struct exchange *x)
{
    bool bad = x->result.end == GD_EXCHANGE_FAILED || x->result.end == GD_EXCHANGE_DECLINED;
    GD_AUTO_JSON data = json_pack("{s:s, s:s, s:s, s:O}", "app", x->f->app->app.id, "flow", x->f->id, "end",
                                  gd_exchange_word(x->result.end), "grants", x->result.grants);
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

    gd_events_wake(x->b->d.events);
    GD_LOG(x->b->d.log, x->result.end == GD_EXCHANGE_FAILED ? GD_LOG_WARN : GD_LOG_INFO, "flow.end",
           GD_F_STR("flow", x->f->id), GD_F_STR("app", x->f->app->app.id),
           GD_F_STR("outcome", gd_exchange_word(x->result.end)), GD_F_STR("text", x->result.err.text));
    gd_audit_write(x->b->d.audit, &e, on_recorded, x);
}

void gd_exchange_start(struct gd_broker *b, struct gd_flow *f, json_t *query, const char *raw, json_t *inputs,
                       gd_exchange_fn *fn, void *arg)
{
    struct exchange *x = gd_new(sizeof *x);
    int64_t now = gd_now(b->d.clock);
    struct gd_op_start s = { .platform = f->app->app.platform,
                             .kind = GD_OP_GRANT,
                             .app = f->app->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = true,
                             .on_save = on_save,
                             .on_end = on_end,
                             .arg = x };
    json_t *doc, *handed = inputs ? json_copy(inputs) : NULL;

    *x = (struct exchange){ .b = b, .f = f, .fn = fn, .arg = arg, .waiting = query == NULL };
    gd_busy(b, 1);
    uv_timer_init(b->d.loop, &x->again);
    x->again.data = x;
    x->kept = json_object();
    x->assets = json_array();
    x->result.grants = json_array();
    gd_id_make(x->cred, "cr", now, b->d.rng);
    gd_id_make(x->attempt, "at", now, b->d.rng);
    gd_flow_given(b, f, &s.given, &doc);
    s.given.query = query;
    if (handed) { /* what a person handed in, beside what the operator configured */
        if (s.given.inputs)
            json_object_update_missing(handed, s.given.inputs);
        s.given.inputs = handed;
    }
    s.given.args[GRANTD_ARG_QUERY] = raw;
    s.given.args[GRANTD_ARG_CODE] = query ? gd_json_text(query, "code", NULL) : NULL;
    x->op = gd_op_start(&b->env, &s);
    json_decref(handed);
    json_decref(doc);
}

/* ---- answers ---- */

static void commit_record(struct exchange *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    gd_journal_statements(x->b, tx, x->rec, true, NULL);
    gd_store_commit(x->b->d.store, tx, on_committed, x);
}

static void on_again(uv_timer_t *t)
{
    commit_record(t->data);
}

/* rec from what the platform gave; a record without tokens when it gave none. */
static int take_answer(struct exchange *x, const struct gd_op_result *r, struct gd_err *err)
{
    struct gd_answer a = { .workspace = x->f->workspace,
                           .client = x->f->client,
                           .app = x->f->app->app.id,
                           .cred = x->cred,
                           .attempt = x->attempt,
                           .parent_gen = x->gen,
                           .created_at = gd_now(x->b->d.clock),
                           .is_new = x->gen == 0,
                           .r = r,
                           .old_refresh_token = x->refresh.ptr,
                           .old_kept = x->kept };

    json_object_update(x->kept, r->kept);
    json_decref(x->assets);
    x->assets = json_copy(r->assets); /* everything since the start */
    if (r->res.account_id) {
        gd_free(x->account);
        x->account = gd_strdup(r->res.account_id);
    }
    x->rec = gd_journal_record(x->b, &a, err);
    if (!x->rec)
        return -1;
    if (!r->res.access_token)
        return 0;
    gd_secret_set(&x->answer, r->res.access_token, strlen(r->res.access_token));
    if (r->res.refresh_token)
        gd_secret_set(&x->refresh, r->res.refresh_token, strlen(r->res.refresh_token));
    return 0;
}

static void on_notes_saved(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct exchange *x = arg;

    (void)tx;
    (void)err;
    gd_op_saved(x->op, r == GD_STORE_OK);
}

static void save_notes(struct exchange *x, const struct gd_op_result *r)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    GD_AUTO_FREE char *notes = gd_json_dump(r->notes);

    gd_tx_add(tx, &sql_flow_notes, GD_P_TEXT(notes), GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->f->id));
    gd_store_commit(x->b->d.store, tx, on_notes_saved, x);
}

static void on_save(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct exchange *x = arg;
    struct gd_err err = { 0 };

    if (take_answer(x, r, &err)) {
        gd_op_saved(op, false);
        return;
    }
    if (json_object_get(x->rec, "sealed")) {
        commit_record(x);
        return;
    }
    json_decref(x->rec);
    x->rec = NULL;
    save_notes(x, r);
}

/* As with a refresh: again while the process lives; after a drain the next start reads the spool. */
static void commit_again(struct exchange *x, const struct gd_err *err)
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
    finish(x);
}

static void on_committed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct exchange *x = arg;

    (void)tx;
    if (r != GD_STORE_OK) {
        commit_again(x, err);
        return;
    }
    gd_journal_publish(x->b, x->rec, x->answer.ptr, true);
    if (json_object_get(x->rec, "sealed"))
        x->gen++;
    json_decref(x->rec);
    x->rec = NULL;
    gd_id_make(x->attempt, "at", gd_now(x->b->d.clock), x->b->d.rng);
    if (x->last)
        finish(x);
    else
        gd_op_saved(x->op, true);
}

/* ---- the end: grants ---- */

static bool unexpected(const struct exchange *x, const struct gd_flow_item *it)
{
    return it->expect_account && (!x->account || strcmp(it->expect_account, x->account) != 0);
}

static void add_grant(struct exchange *x, const struct gd_flow_item *it, const json_t *asset, bool has_token)
{
    const char *life = "live";
    char id[GD_ID_TEXT_MAX], sf[GD_ID_TEXT_MAX];
    int64_t now = gd_now(x->b->d.clock);
    json_t *g, *surfaces = json_array();

    if (unexpected(x, it))
        life = "ending";
    else if (x->f->confirm && !it->expect_account)
        life = "confirming";
    gd_id_make(id, "gr", now, x->b->d.rng);
    gd_id_make(sf, "sf", now, x->b->d.rng);
    json_array_append_new(surfaces,
                          json_pack("{s:s, s:s}", "id", sf, "kind", has_token ? "token" : "partner"));
    g = json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s, s:s, s:o}", "id", id, "request",
                  x->f->request, "item", it->id, "asset_id",
                  asset ? gd_json_text(asset, "id", NULL) : it->asset, "asset_kind",
                  asset ? gd_json_text(asset, "kind", NULL) : NULL, "asset_name",
                  asset ? gd_json_text(asset, "name", NULL) : NULL, "role_asked", it->role, "role_granted",
                  asset ? gd_json_text(asset, "role", NULL) : NULL, "lifecycle", life, "native",
                  has_token ? "none" : "present", "surfaces", surfaces);
    gd_journal_add_grant(x->rec, g);
    json_array_append_new(x->result.grants, json_string(id));
}

/* One grant for each asset that came out, or for the one that was asked, or for the account as a whole. */
static void add_grants(struct exchange *x, const struct gd_flow_item *it, bool has_token)
{
    bool some = false;
    json_t *asset;
    size_t i;

    json_array_foreach(x->assets, i, asset)
    {
        if (it->asset && strcmp(it->asset, gd_json_text(asset, "id", "")) != 0)
            continue;
        add_grant(x, it, asset, has_token);
        some = true;
    }
    if (!some)
        add_grant(x, it, NULL, has_token);
}

static void end_granted(struct exchange *x, const struct gd_op_result *r)
{
    struct gd_err err = { 0 };
    bool has_token;

    if (take_answer(x, r, &err)) {
        x->result.end = GD_EXCHANGE_FAILED;
        x->result.err = err;
        finish(x);
        return;
    }
    has_token = x->gen > 0 || json_object_get(x->rec, "sealed");
    if (has_token)
        json_object_set_new(x->rec, "cred", json_string(x->cred));
    json_object_set_new(x->rec, "flow", json_string(x->f->id));
    for (unsigned i = 0; i < x->f->nitems; i++)
        add_grants(x, &x->f->items[i], has_token);
    x->last = true;
    x->result.end = GD_EXCHANGE_GRANTED;
    if (x->f->nitems && unexpected(x, &x->f->items[0])) { /* the account is the same for all of them */
        json_object_set_new(x->rec, "unexpected", json_true());
        x->result.end = GD_EXCHANGE_FAILED;
        gd_err_set(&x->result.err, GD_R_ACCOUNT_UNEXPECTED, "%s",
                   gd_reason_info(GD_R_ACCOUNT_UNEXPECTED)->meaning);
    }
    commit_record(x);
}

static void on_settled(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct exchange *x = arg;

    (void)tx;
    if (r != GD_STORE_OK)
        GD_LOG(x->b->d.log, GD_LOG_ERROR, "flow.settle_failed", GD_F_STR("flow", x->f->id), GD_F_ERR(err));
    finish(x);
}

/* A look at a pending ask that could not be made now: look again, nothing has changed. */
static void look_again(struct exchange *x, const struct gd_op_result *r)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    int64_t now = gd_now(x->b->d.clock), at = r->retry_at > now ? r->retry_at : now + LOOK_AGAIN_MS;

    x->result.end = GD_EXCHANGE_FAILED;
    x->result.err = r->err;
    gd_tx_add(tx, &sql_items_wait, GD_P_NULL, GD_P_INT(at), GD_P_INT(now), GD_P_TEXT(x->f->workspace),
              GD_P_TEXT(x->f->id));
    gd_tx_add(tx, &sql_flow_end, GD_P_TEXT("waiting"), GD_P_TEXT("waiting"), GD_P_NULL, GD_P_NULL,
              GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->f->id));
    if (x->b->ears.look)
        x->b->ears.look(x->b->ears.arg, x->f->workspace, x->f->items[0].id, at);
    gd_store_commit(x->b->d.store, tx, on_settled, x);
}

static bool is_passing(int fail_class)
{
    return fail_class == GRANTD_E_TRANSIENT || fail_class == GRANTD_E_LIMITED ||
           fail_class == GRANTD_E_UNCERTAIN || fail_class == GRANTD_E_DEADLINE;
}

static void end_failed(struct exchange *x, const struct gd_op_result *r)
{
    bool declined = r->fail_class == GRANTD_E_DECLINED;
    const char *word = declined ? "CONSENT_DENIED" : gd_reason_word(r->err.reason);
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    x->result.end = declined ? GD_EXCHANGE_DECLINED : GD_EXCHANGE_FAILED;
    x->result.err = r->err;
    if (declined)
        gd_err_set(&x->result.err, GD_R_CONSENT_DENIED, "the platform says that access was not approved");
    gd_tx_add(tx, &sql_items_back, GD_P_TEXT(declined ? "declined" : "open"), GD_P_TEXT(word),
              GD_P_TEXT(r->err.text), GD_P_INT(gd_now(x->b->d.clock)), GD_P_TEXT(x->f->workspace),
              GD_P_TEXT(x->f->id));
    gd_tx_add(tx, &sql_flow_end, GD_P_TEXT("failed"), GD_P_TEXT(gd_exchange_word(x->result.end)),
              GD_P_TEXT(word), GD_P_TEXT(r->err.text), GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->f->id));
    if (x->gen > 0) /* tokens without a grant: nobody will use them, so they are ended */
        gd_close_orphan(x->b, x->f->workspace, x->cred);
    gd_event_add(x->b->d.events, tx, x->f->workspace, declined ? "request.declined" : "request.failed",
                 x->f->request, NULL);
    gd_store_commit(x->b->d.store, tx, on_settled, x);
}

static void end_waiting(struct exchange *x, const struct gd_op_result *r)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    int64_t now = gd_now(x->b->d.clock);
    GD_AUTO_FREE char *notes = gd_json_dump(r->notes);
    GD_AUTO_FREE char *steps = json_array_size(r->steps) ? gd_json_dump(r->steps) : NULL;
    GD_AUTO_FREE unsigned char *sealed = NULL;
    size_t n = 0;

    json_object_update(x->kept, r->kept);
    if (x->f->kept)
        json_object_update_missing(x->kept, x->f->kept);
    json_decref(x->f->kept);
    x->f->kept = json_incref(x->kept);
    sealed = gd_flow_seal(x->b, x->f, &n, &x->result.err);
    x->result.end = GD_EXCHANGE_WAITING;
    gd_tx_add(tx, &sql_items_wait, GD_P_TEXT(steps), GD_P_INT(r->next_look_at), GD_P_INT(now),
              GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->f->id));
    gd_tx_add(tx, &sql_flow_wait, GD_P_TEXT(notes), GD_P_BYTES(sealed, n), GD_P_TEXT(x->f->workspace),
              GD_P_TEXT(x->f->id));
    if (r->next_look_at && x->b->ears.look)
        x->b->ears.look(x->b->ears.arg, x->f->workspace, x->f->items[0].id, r->next_look_at);
    gd_store_commit(x->b->d.store, tx, on_settled, x);
}

static void on_end(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct exchange *x = arg;

    (void)op;
    x->op = NULL;
    if (r->end == GD_OP_DONE)
        end_granted(x, r);
    else if (r->end == GD_OP_PENDING)
        end_waiting(x, r);
    else if (x->waiting && x->gen == 0 && is_passing(r->fail_class))
        look_again(x, r);
    else
        end_failed(x, r);
}
