/* grant/journal.c - a record of what a platform answered, and that record as one transaction. The live path
 * and the replay of the spool after a crash build the same statements from the same record, so there is one
 * way only in which an answer becomes durable. Nothing here drops an answer: one that lost a race stays a
 * candidate. */
#include "base/fault.h"
#include "grant/about.h"
#include "grant/witness.h"

#include <string.h>

GD_SQL(sql_version_insert,
       "INSERT INTO token_versions (workspace, attempt_id, credential_id, parent_gen, status, sealed, "
       "created_at, issued_at, expires_at, refresh_expires_at) VALUES ($1, $2, $3, $4,"
       " CASE WHEN EXISTS (SELECT 1 FROM credentials WHERE workspace = $1 AND id = $3"
       " AND current_attempt = $2) THEN 'current' ELSE 'candidate' END, $5, $6, $7, $8, $9)"
       " ON CONFLICT (workspace, attempt_id) DO UPDATE SET status = excluded.status"
       " WHERE excluded.status = 'current'");
GD_SQL(sql_version_reject,
       "INSERT INTO token_versions (workspace, attempt_id, credential_id, parent_gen, status, sealed, "
       "created_at, issued_at, expires_at, refresh_expires_at)"
       " VALUES ($1, $2, $3, $4, 'rejected', $5, $6, $7, $8, $9)"
       " ON CONFLICT (workspace, attempt_id) DO NOTHING");
GD_SQL(sql_cred_insert,
       "INSERT INTO credentials (workspace, id, client_id, app, account_id, account_name, gen, status, shape,"
       " retry_class, retry_grace_ms, scope, issued_at, expires_at, refresh_expires_at, horizon_at, next_at, "
       "attempts,"
       " lease_epoch, lease_until, created_at, refreshed_at)"
       " VALUES ($1, $2, $3, $4, $5, $6, 0, 'current', $7, $8, $9, $10, 0, 0, 0, $11, 0, 0, 0, 0, $12, 0)"
       " ON CONFLICT (workspace, id) DO NOTHING");
GD_SQL(
    sql_cred_promote,
    "UPDATE credentials SET gen = gen + 1, current_attempt = $1, status = 'current', shape = $2, retry_class "
    "= $3,"
    " retry_grace_ms = $4, scope = COALESCE($5, scope), account_id = COALESCE($6, account_id),"
    " account_name = COALESCE($7, account_name), issued_at = $8, expires_at = $9, refresh_expires_at = $10,"
    " horizon_at = CASE WHEN $11 > 0 THEN $11 ELSE horizon_at END, next_at = $12, attempts = 0, reason = "
    "NULL,"
    " reason_text = NULL, lease_owner = NULL, lease_until = 0, refreshed_at = $13"
    " WHERE workspace = $14 AND id = $15 AND gen = $16 AND status <> 'revoked'");
GD_SQL(sql_version_supersede,
       "UPDATE token_versions SET status = 'superseded' WHERE workspace = $1 AND credential_id = $3"
       " AND status = 'current' AND attempt_id <> $2 AND EXISTS"
       " (SELECT 1 FROM credentials WHERE workspace = $1 AND id = $3 AND current_attempt = $2)");
GD_SQL(sql_version_collect, "DELETE FROM token_versions WHERE workspace = $1 AND credential_id = $2"
                            " AND status = 'superseded' AND parent_gen < $3");
GD_SQL(sql_intent_close, "DELETE FROM intents WHERE workspace = $1 AND credential_id = $2"
                         " AND (attempt_id = $3 OR deadline < gd_now() - $4)");
GD_SQL(sql_grant_insert,
       "INSERT INTO grants (workspace, id, client_id, credential_id, request_id, item_id, app, asset_id, "
       "asset_kind, asset_name, role_asked, role_granted, lifecycle, native, created_at, mode, params, "
       "asset_parent, starts_at, ends_at, look_at, warnings, account_id, worker, closing_until)"
       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, "
       "$21, $22, $23, $24, CASE WHEN $13 = 'ending' THEN gd_now() + $25 ELSE 0 END) ON CONFLICT (workspace, "
       "id) DO NOTHING");
/* A new consent of the same account: programs go on with the grant that they know. */
GD_SQL(
    sql_grant_renew,
    "UPDATE grants SET credential_id = COALESCE($3, credential_id), request_id = $4, item_id = $5,"
    " asset_kind = COALESCE($6, asset_kind), asset_name = COALESCE($7, asset_name), role_asked = $8,"
    " role_granted = $9, native = CASE WHEN $10 = 'none' THEN native ELSE $10 END, mode = $11, params = $12,"
    " asset_parent = COALESCE($13, asset_parent), starts_at = $14, ends_at = $15, look_at = $16, looks = 0,"
    " warnings = $18, account_id = COALESCE($19, account_id),"
    " reason = NULL, reason_text = NULL WHERE workspace = $1 AND id = $2"
    " AND lifecycle IN ('confirming', 'live') AND COALESCE(credential_id, '') = $17");
GD_SQL(sql_grant_move,
       "UPDATE grants SET credential_id = $3 WHERE workspace = $1 AND id = $2 AND credential_id = $4"
       " AND lifecycle IN ('confirming', 'live')");
GD_SQL(sql_surface_insert,
       "INSERT INTO surfaces (workspace, id, grant_id, kind, ref, outcome, changed_at)"
       " SELECT $1, $2, $3, $4, $5, 'open', $6 FROM grants WHERE workspace = $1 AND id = $3 AND NOT EXISTS"
       " (SELECT 1 FROM surfaces WHERE workspace = $1 AND grant_id = $3 AND kind = $4"
       " AND COALESCE(ref, '') = COALESCE($5, ''))");
GD_SQL(sql_item_end,
       "UPDATE items SET state = $3, reason = $4, reason_text = $5, problems = $6, steps = NULL,"
       " next_look_at = 0, updated_at = $7 WHERE workspace = $1 AND id = $2"
       " AND state IN ('open', 'started', 'waiting') AND ($3 = 'granted' OR flow_id = $8)");
GD_SQL(sql_flow_end, "UPDATE flows SET status = $3, outcome = $4, reason = $5, reason_text = $6, notes = NULL"
                     " WHERE workspace = $1 AND id = $2");
/* The client said no, or the agency took the request back, while the platform was being asked: what the
 * platform opened all the same is to be closed. Grants that were there before are left alone. */
GD_SQL(sql_grants_taken_back,
       "UPDATE grants SET lifecycle = 'ending', worker = $5, closing_until = gd_now() + $6,"
       " reason = 'GRANT_ENDING',"
       " reason_text = 'taken back while the platform was being asked' WHERE workspace = $1"
       " AND client_id = $2 AND item_id = $3 AND created_at = $4 AND lifecycle IN ('confirming', 'live')"
       " AND EXISTS (SELECT 1 FROM items WHERE workspace = $1 AND id = $3"
       " AND state IN ('declined', 'cancelled'))");
GD_SQL(sql_flow_taken_back,
       "UPDATE flows SET status = 'failed', outcome = 'declined', reason = 'ITEM_CLOSED',"
       " reason_text = 'taken back while the platform was being asked' WHERE workspace = $1 AND id = $2"
       " AND EXISTS (SELECT 1 FROM items WHERE workspace = $1 AND id = $3"
       " AND state IN ('declined', 'cancelled'))");
GD_SQL(sql_hub_consented,
       "UPDATE hubs SET credential_id = $3, reason = NULL, reason_text = NULL, look_at = $4"
       " WHERE workspace = $1 AND id = $2");

/* What a flow has got: from here on it goes on with the credential, also after a crash. */
GD_SQL(sql_flow_consented,
       "UPDATE flows SET credential_id = $3 WHERE workspace = $1 AND id = $2 AND status = 'exchanging'");
GD_SQL(sql_flow_progress,
       "UPDATE flows SET notes = $3 WHERE workspace = $1 AND id = $2 AND status = 'exchanging'");
GD_SQL(sql_flow_part,
       "INSERT INTO flow_parts (workspace, flow_id, position, part) SELECT workspace, id, $3, $4"
       " FROM flows WHERE workspace = $1 AND id = $2 AND status = 'exchanging'"
       " ON CONFLICT (workspace, flow_id, position) DO NOTHING");
GD_SQL(sql_parts_end, "DELETE FROM flow_parts WHERE workspace = $1 AND flow_id = $2");
/* The other items of a consent get flows of their own, which wait for their turn. Nobody can come back to
 * them from a platform: the hash of their state is empty. */
GD_SQL(sql_flow_split,
       "INSERT INTO flows (workspace, id, link_id, request_id, client_id, app, context, state_hash,"
       " session_hash, sealed, items, notes, status, outcome, created_at, expires_at, credential_id)"
       " SELECT workspace, $3, link_id, request_id, client_id, app, context, $4, session_hash, $5, $6, NULL,"
       " 'waiting', 'waiting', $7, expires_at, $8 FROM flows WHERE workspace = $1 AND id = $2"
       " ON CONFLICT (workspace, id) DO NOTHING");
GD_SQL(sql_item_split,
       "UPDATE items SET state = 'waiting', flow_id = $4, steps = NULL, next_look_at = $5, reason = NULL,"
       " reason_text = NULL, updated_at = $5 WHERE workspace = $1 AND id = $2 AND flow_id = $3"
       " AND state IN ('open', 'started', 'waiting')");

/* Unix ms of an expiry that the platform gave as an instant, as a duration from sent_at, or not at all (0).
 */
static int64_t expiry(int64_t at, int64_t in, int64_t sent_at)
{
    const int64_t ten_years = 10 * 366 * (int64_t)86400;

    if (at > 0)
        return at > INT64_MAX / 1000 ? 0 : at * 1000;
    if (in <= 0)
        return 0;
    return sent_at + (in > ten_years ? ten_years : in) * 1000;
}

static char *blob_of(const struct gd_answer *a)
{
    const struct grantd_result *res = &a->r->res;

    /* what was kept before was given to the operation: all that stays is in its result */
    return gd_blob_make(res->access_token, res->refresh_token ? res->refresh_token : a->old_refresh_token,
                        a->r->kept);
}

static unsigned char *seal_answer(struct gd_broker *b, const struct gd_answer *a, size_t *ret_n,
                                  struct gd_err *err)
{
    struct gd_seal_name name = { .workspace = a->workspace,
                                 .client = a->client,
                                 .owner = a->cred,
                                 .gen = a->parent_gen,
                                 .attempt = a->attempt,
                                 .column = "tok",
                                 .created_at = a->created_at };
    GD_AUTO_FREE char *text = blob_of(a);
    unsigned char *sealed = gd_seal_text(b, &name, text, ret_n, err);

    (void)GD_FAULT("F11");
    return sealed;
}

static struct gd_clocks clocks_of(const struct gd_answer *a, const struct grantd_platform *p)
{
    const struct grantd_result *res = &a->r->res;
    int64_t sent = a->r->sent_at ? a->r->sent_at : a->created_at;

    return (struct gd_clocks){ .shape = res->shape ? res->shape : p->shape,
                               .retry_class = res->retry_class ? res->retry_class : p->retry_class,
                               .retry_grace_ms =
                                   (int64_t)(res->retry_grace ? res->retry_grace : p->retry_grace) * 1000,
                               .issued_at = sent,
                               .expires_at = expiry(res->expires_at, res->expires_in, sent),
                               .refresh_expires_at =
                                   expiry(res->refresh_expires_at, res->refresh_expires_in, sent),
                               .horizon_at = expiry(res->horizon_at, 0, sent) };
}

/* The plan's date, moved by what this platform says of its tokens: a wider margin, not younger than, not idle
 * longer than. A narrower one would not outlast the outage that the plan is made for. */
static int64_t due_of(struct gd_broker *b, const struct gd_clocks *c, const struct grantd_result *res)
{
    int64_t now = gd_now(b->d.clock), due = gd_plan_due(&b->plan, c, now, b->d.rng), asked, most;

    if (due == GD_NEVER_DUE)
        return due;
    if (res->margin > 0 && c->expires_at) { /* where the bounds cross, the upper one wins: as in the plan */
        most = (c->expires_at - c->issued_at) * 8 / 10;
        asked = c->expires_at - ((int64_t)res->margin * 1000 < most ? (int64_t)res->margin * 1000 : most);
        due = asked < due ? asked : due;
    }
    if (res->idle > 0 && due > c->issued_at + (int64_t)res->idle * 1000)
        due = c->issued_at + (int64_t)res->idle * 1000;
    if (res->min_age > 0 && due < c->issued_at + (int64_t)res->min_age * 1000)
        due = c->issued_at + (int64_t)res->min_age * 1000;
    return due > now + GD_PLAN_GAP_MS ? due : now + GD_PLAN_GAP_MS;
}

/* Borrows from a; what is sealed is the caller's. */
static int make_version(struct gd_broker *b, const struct gd_answer *a, struct gd_version *ret,
                        unsigned char **ret_sealed, struct gd_err *err)
{
    const struct grantd_result *res = &a->r->res;
    struct gd_clocks c = clocks_of(a, &gd_app_find(b, a->app)->app.platform->p);
    size_t n;
    unsigned char *sealed = seal_answer(b, a, &n, err);

    if (!sealed)
        return -1;
    *ret = (struct gd_version){ .workspace = a->workspace,
                                .client = a->client,
                                .app = a->app,
                                .cred = a->cred,
                                .attempt = a->attempt,
                                .intent = a->intent,
                                .account_id = res->account_id,
                                .account_name = res->account_name,
                                .scope = res->scope,
                                .sealed = sealed,
                                .nsealed = n,
                                .gen = a->parent_gen,
                                .at = a->created_at,
                                .issued_at = c.issued_at,
                                .expires_at = c.expires_at,
                                .refresh_expires_at = c.refresh_expires_at,
                                .horizon_at = c.horizon_at,
                                .due = due_of(b, &c, res),
                                .grace = c.retry_grace_ms,
                                .shape = c.shape,
                                .retry_class = c.retry_class,
                                .is_new = a->is_new };
    *ret_sealed = sealed;
    return 0;
}

unsigned char *gd_journal_bytes(struct gd_broker *b, const struct gd_answer *a, bool rejected, size_t *ret_n,
                                struct gd_err *err)
{
    GD_AUTO_FREE unsigned char *sealed = NULL;
    struct gd_version v;

    if (make_version(b, a, &v, &sealed, err))
        return NULL;
    v.rejected = rejected;
    return gd_record_write(&v, ret_n);
}

static void set_text(json_t *rec, const char *key, const char *text)
{
    json_object_set_new(rec, key, gd_text_json(text));
}

static void set_num(json_t *rec, const char *key, int64_t n)
{
    json_object_set_new(rec, key, json_integer((json_int_t)n));
}

static void set_version(json_t *rec, const struct gd_version *v)
{
    GD_AUTO_FREE char *sealed = gd_new(4 * ((v->nsealed + 2) / 3) + 1);

    gd_b64url(sealed, v->sealed, v->nsealed);
    set_text(rec, "account_id", v->account_id);
    set_text(rec, "account_name", v->account_name);
    set_text(rec, "attempt", v->attempt);
    set_text(rec, "cred", v->cred);
    set_num(rec, "due", v->due);
    set_num(rec, "expires_at", v->expires_at);
    set_num(rec, "gen", v->gen);
    set_num(rec, "grace", v->grace);
    set_num(rec, "horizon_at", v->horizon_at);
    if (v->intent)
        set_text(rec, "intent", v->intent);
    set_num(rec, "issued_at", v->issued_at);
    json_object_set_new(rec, "new", json_boolean(v->is_new));
    set_num(rec, "refresh_expires_at", v->refresh_expires_at);
    set_num(rec, "retry_class", v->retry_class);
    set_text(rec, "scope", v->scope);
    set_text(rec, "sealed", sealed);
    set_num(rec, "shape", v->shape);
}

json_t *gd_journal_record(struct gd_broker *b, const struct gd_answer *a, struct gd_err *err)
{
    bool token =
        a->r->res.access_token && !a->known; /* else native access only: grants without a credential */
    GD_AUTO_FREE unsigned char *sealed = NULL;
    struct gd_version v;
    json_t *rec;

    if (token && make_version(b, a, &v, &sealed, err))
        return NULL;
    rec = json_object();
    if (token)
        set_version(rec, &v);
    if (token && v.is_new && gd_broker_shared(b))
        gd_about_key(b, rec, a->workspace, a->client);
    set_text(rec, "app", a->app);
    set_num(rec, "at", a->created_at);
    set_text(rec, "client", a->client);
    set_num(rec, "v", 1);
    set_text(rec, "workspace", a->workspace);
    return rec;
}

static void add_to(json_t *rec, const char *key, json_t *one)
{
    json_t *list = json_object_get(rec, key);

    if (!list) {
        list = json_array();
        json_object_set_new(rec, key, list);
    }
    json_array_append_new(list, one);
}

void gd_journal_add_grant(json_t *rec, json_t *grant)
{
    add_to(rec, "grants", grant);
}

void gd_journal_add_move(json_t *rec, json_t *move)
{
    add_to(rec, "moves", move);
}

void gd_journal_add_split(json_t *rec, json_t *split)
{
    add_to(rec, "split", split);
}

#define T(key) GD_P_TEXT(gd_json_text(rec, key, NULL))
#define I(key) GD_P_INT(gd_json_i64(rec, key, 0))

/* What a JSON record says of a version, as far as it says anything. The caller frees *ret_sealed. */
static void read_version(const json_t *rec, struct gd_version *ret, unsigned char **ret_sealed)
{
    const char *b64 = gd_json_text(rec, "sealed", "");
    size_t cap = strlen(b64);
    unsigned char *sealed = gd_new(cap + 1);
    long n = gd_b64url_decode(sealed, cap, b64, cap);

    *ret = (struct gd_version){ .workspace = gd_json_text(rec, "workspace", ""),
                                .client = gd_json_text(rec, "client", ""),
                                .app = gd_json_text(rec, "app", ""),
                                .cred = gd_json_text(rec, "cred", NULL),
                                .attempt = gd_json_text(rec, "attempt", NULL),
                                .intent = gd_json_text(rec, "intent", NULL),
                                .account_id = gd_json_text(rec, "account_id", NULL),
                                .account_name = gd_json_text(rec, "account_name", NULL),
                                .scope = gd_json_text(rec, "scope", NULL),
                                .sealed = sealed,
                                .nsealed = (size_t)(n < 0 ? 0 : n),
                                .gen = gd_json_i64(rec, "gen", 0),
                                .at = gd_json_i64(rec, "at", 0),
                                .issued_at = gd_json_i64(rec, "issued_at", 0),
                                .expires_at = gd_json_i64(rec, "expires_at", 0),
                                .refresh_expires_at = gd_json_i64(rec, "refresh_expires_at", 0),
                                .horizon_at = gd_json_i64(rec, "horizon_at", 0),
                                .due = gd_json_i64(rec, "due", GD_NEVER_DUE),
                                .grace = gd_json_i64(rec, "grace", 0),
                                .shape = gd_json_i64(rec, "shape", 0),
                                .retry_class = gd_json_i64(rec, "retry_class", 0),
                                .is_new = gd_json_bool(rec, "new", false),
                                .rejected = gd_json_bool(rec, "rejected", false) };
    *ret_sealed = sealed;
}

static void insert_version(struct gd_tx *tx, const struct gd_sql *sql, const struct gd_version *v)
{
    gd_tx_add(tx, sql, GD_P_TEXT(v->workspace), GD_P_TEXT(v->attempt), GD_P_TEXT(v->cred), GD_P_INT(v->gen),
              GD_P_BYTES(v->sealed, v->nsealed), GD_P_INT(v->at), GD_P_INT(v->issued_at),
              GD_P_INT(v->expires_at), GD_P_INT(v->refresh_expires_at));
}

static void close_intent(struct gd_tx *tx, const struct gd_version *v)
{
    if (v->intent)
        gd_tx_add(tx, &sql_intent_close, GD_P_TEXT(v->workspace), GD_P_TEXT(v->cred), GD_P_TEXT(v->intent),
                  GD_P_INT(v->over ? v->over : INT64_MAX / 2));
}

/* The credential first: whether it now stands on this answer says what the answer is. */
static size_t add_version(struct gd_tx *tx, const struct gd_version *v)
{
    size_t promote;

    gd_tx_news(tx, v->workspace, v->cred);
    if (v->rejected) { /* kept, never used: the wrong account's tokens */
        insert_version(tx, &sql_version_reject, v);
        close_intent(tx, v);
        return SIZE_MAX;
    }
    if (v->is_new)
        gd_tx_add(tx, &sql_cred_insert, GD_P_TEXT(v->workspace), GD_P_TEXT(v->cred), GD_P_TEXT(v->client),
                  GD_P_TEXT(v->app), GD_P_TEXT(v->account_id), GD_P_TEXT(v->account_name), GD_P_INT(v->shape),
                  GD_P_INT(v->retry_class), GD_P_INT(v->grace), GD_P_TEXT(v->scope), GD_P_INT(v->horizon_at),
                  GD_P_INT(v->at));
    promote =
        gd_tx_add(tx, &sql_cred_promote, GD_P_TEXT(v->attempt), GD_P_INT(v->shape), GD_P_INT(v->retry_class),
                  GD_P_INT(v->grace), GD_P_TEXT(v->scope), GD_P_TEXT(v->account_id),
                  GD_P_TEXT(v->account_name), GD_P_INT(v->issued_at), GD_P_INT(v->expires_at),
                  GD_P_INT(v->refresh_expires_at), GD_P_INT(v->horizon_at), GD_P_INT(v->due), GD_P_INT(v->at),
                  GD_P_TEXT(v->workspace), GD_P_TEXT(v->cred), GD_P_INT(v->gen));
    insert_version(tx, &sql_version_insert, v);
    gd_tx_add(tx, &sql_version_supersede, GD_P_TEXT(v->workspace), GD_P_TEXT(v->attempt), GD_P_TEXT(v->cred));
    if (v->gen > GD_KEEP_VERSIONS && v->gen % GD_COLLECT_EVERY == 0)
        gd_tx_add(tx, &sql_version_collect, GD_P_TEXT(v->workspace), GD_P_TEXT(v->cred),
                  GD_P_INT(v->gen - GD_KEEP_VERSIONS));
    close_intent(tx, v);
    return promote;
}

size_t gd_journal_add_version(struct gd_tx *tx, const struct gd_version *v, const void *bytes, size_t n)
{
    if (bytes)
        gd_tx_spool(tx, bytes, n);
    return add_version(tx, v);
}

#define G(key)  GD_P_TEXT(gd_json_text(g, key, NULL))
#define GI(key) GD_P_INT(gd_json_i64(g, key, 0))

static void add_grant(struct gd_broker *b, struct gd_tx *tx, const json_t *rec, const json_t *g)
{
    const char *ws = gd_json_text(rec, "workspace", ""), *id = gd_json_text(g, "id", "");
    const char *cred = gd_json_bool(g, "token", false) ? gd_json_text(rec, "cred", NULL) : NULL;
    json_t *said = json_object_get(g, "warnings");
    GD_AUTO_FREE char *warnings = said ? gd_json_dump(said) : NULL;
    bool old = gd_json_bool(g, "old", false);
    size_t i;
    json_t *s;

    if (old)
        gd_tx_add(tx, &sql_grant_renew, GD_P_TEXT(ws), GD_P_TEXT(id), GD_P_TEXT(cred), G("request"),
                  G("item"), G("asset_kind"), G("asset_name"), G("role_asked"), G("role_granted"),
                  G("native"), G("mode"), G("params"), G("asset_parent"), GI("starts_at"), GI("ends_at"),
                  GI("look_at"), GD_P_TEXT(gd_json_text(g, "from", "")), GD_P_TEXT(warnings), G("account"));
    else
        gd_tx_add(tx, &sql_grant_insert, GD_P_TEXT(ws), GD_P_TEXT(id), T("client"), GD_P_TEXT(cred),
                  G("request"), G("item"), T("app"), G("asset_id"), G("asset_kind"), G("asset_name"),
                  G("role_asked"), G("role_granted"), G("lifecycle"), G("native"), I("at"), G("mode"),
                  G("params"), G("asset_parent"), GI("starts_at"), GI("ends_at"), GI("look_at"),
                  GD_P_TEXT(warnings), G("account"), GD_P_TEXT(gd_nodes_worker(b->d.nodes)),
                  GD_P_INT(gd_closing_ms(b)));
    gd_tx_news(tx, ws, id);
    json_array_foreach(json_object_get(g, "surfaces"), i, s)
        gd_tx_add(tx, &sql_surface_insert, GD_P_TEXT(ws), GD_P_TEXT(gd_json_text(s, "id", "")), GD_P_TEXT(id),
                  GD_P_TEXT(gd_json_text(s, "kind", "")), GD_P_TEXT(gd_json_text(s, "ref", NULL)), I("at"));
    gd_event_add(b->d.events, tx, ws, old ? "grant.renewed" : "grant.created", id, NULL);
}

static void add_hub(struct gd_tx *tx, const json_t *rec)
{
    GD_AUTO_FREE char *name = gd_strf("hub %s", gd_json_text(rec, "hub", ""));

    gd_tx_add(tx, &sql_hub_consented, T("workspace"), T("hub"), T("cred"), I("at"));
    gd_tx_news(tx, gd_json_text(rec, "workspace", ""), name);
}

/* Granted, or open again with the reason: that only when no new flow has begun for it. */
static void add_item(struct gd_tx *tx, const json_t *rec)
{
    const json_t *g = json_object_get(rec, "item"), *problems = json_object_get(g, "problems");
    GD_AUTO_FREE char *text = problems ? gd_json_dump(problems) : NULL;

    gd_tx_add(tx, &sql_item_end, T("workspace"), G("id"), G("state"), G("reason"), G("reason_text"),
              GD_P_TEXT(text), I("at"), T("flow"));
}

/* The end of a flow: what became of its item, and the grants. */
static void add_end(struct gd_broker *b, struct gd_tx *tx, const json_t *rec)
{
    const json_t *item = json_object_get(rec, "item");
    bool granted = !strcmp(gd_json_text(item, "state", ""), "granted");
    size_t i;
    json_t *g;

    json_array_foreach(json_object_get(rec, "grants"), i, g) add_grant(b, tx, rec, g);
    json_array_foreach(json_object_get(rec, "moves"), i, g)
    {
        gd_tx_add(tx, &sql_grant_move, T("workspace"), G("id"), T("cred"), G("from"));
        gd_tx_news(tx, gd_json_text(rec, "workspace", ""), gd_json_text(g, "id", ""));
    }
    if (item)
        add_item(tx, rec);
    if (json_object_get(rec, "flow"))
        gd_tx_add(tx, &sql_parts_end, T("workspace"), T("flow"));
    if (json_object_get(rec, "flow"))
        gd_tx_add(tx, &sql_flow_end, T("workspace"), T("flow"), GD_P_TEXT(granted ? "done" : "failed"),
                  GD_P_TEXT(granted ? "granted" : "failed"), GD_P_TEXT(gd_json_text(item, "word", NULL)),
                  GD_P_TEXT(gd_json_text(item, "text", NULL)));
    if (item) {
        gd_tx_add(tx, &sql_grants_taken_back, T("workspace"), T("client"),
                  GD_P_TEXT(gd_json_text(item, "id", "")), I("at"), GD_P_TEXT(gd_nodes_worker(b->d.nodes)),
                  GD_P_INT(gd_closing_ms(b)));
        gd_tx_add(tx, &sql_flow_taken_back, T("workspace"), T("flow"),
                  GD_P_TEXT(gd_json_text(item, "id", "")));
    }
    if (json_object_get(rec, "hub"))
        add_hub(tx, rec);
}

static void add_split(struct gd_tx *tx, const json_t *rec, const json_t *g)
{
    const char *b64 = gd_json_text(g, "sealed", "");
    size_t cap = strlen(b64);
    unsigned char *sealed = gd_arena_alloc(gd_tx_arena(tx), cap + 1);
    long n = gd_b64url_decode(sealed, cap, b64, cap);
    GD_AUTO_FREE char *items = gd_strf("[\"%s\"]", gd_json_text(g, "item", ""));

    gd_tx_add(tx, &sql_flow_split, T("workspace"), T("of"), G("flow"), GD_P_BYTES("", 0),
              GD_P_BYTES(sealed, (size_t)(n < 0 ? 0 : n)), GD_P_TEXT(items), I("at"), T("cred"));
    gd_tx_add(tx, &sql_item_split, T("workspace"), G("item"), T("of"), G("flow"), I("at"));
}

static void add_progress(struct gd_tx *tx, const json_t *rec)
{
    json_int_t at = (json_int_t)gd_json_i64(rec, "parts_at", 0);
    json_t *part;
    size_t i;

    gd_tx_add(tx, &sql_flow_progress, T("workspace"), T("of"), T("progress"));
    json_array_foreach(json_object_get(rec, "parts"), i, part)
        gd_tx_add(tx, &sql_flow_part, T("workspace"), T("of"), GD_P_INT(at + (json_int_t)i),
                  GD_P_TEXT(json_string_value(part)));
}

void gd_journal_statements(struct gd_broker *b, struct gd_tx *tx, const json_t *rec, bool spool)
{
    GD_AUTO_FREE unsigned char *sealed = NULL;
    bool token = json_object_get(rec, "sealed") != NULL;
    struct gd_version v;
    size_t i;
    json_t *g;

    if (spool) {
        GD_AUTO_FREE char *text = gd_json_dump(rec);

        gd_tx_spool(tx, text, strlen(text));
    }
    if (token) {
        read_version(rec, &v, &sealed);
        (void)add_version(tx, &v);
    }
    if (token && json_object_get(rec, "of") && !v.rejected)
        gd_tx_add(tx, &sql_flow_consented, T("workspace"), T("of"), T("cred"));
    if (json_object_get(rec, "progress"))
        add_progress(tx, rec);
    json_array_foreach(json_object_get(rec, "split"), i, g) add_split(tx, rec, g);
    add_end(b, tx, rec);
}

/* ---- after the commit ---- */

/* What is published is committed: from now on a store that does not know it was set back. One of each commit
 * is enough: a store that lacks another of it lacks that one as well. */
static void note_witness(struct gd_broker *b, const struct gd_version *v)
{
    struct gd_witnessed w = { .gen = v->gen + 1 };

    if (v->group && v->group == b->witnessed)
        return;
    b->witnessed = v->group;
    w.at = gd_now(b->d.clock);
    (void)snprintf(w.workspace, sizeof w.workspace, "%s", v->workspace);
    (void)snprintf(w.client, sizeof w.client, "%s", v->client);
    (void)snprintf(w.cred, sizeof w.cred, "%s", v->cred);
    (void)snprintf(w.attempt, sizeof w.attempt, "%s", v->attempt);
    gd_witness_note(b->witness, &w);
}

static uint32_t publish_cred(struct gd_broker *b, const struct gd_version *v, const char *access_token)
{
    const char *text = v->cred ? v->cred : "";
    struct gd_id id, cid;
    struct gd_ix_cred *c;
    uint32_t n;

    if (!gd_id_parse(&id, "cr", text, strlen(text)) || !gd_id_parse(&cid, "cl", v->client, strlen(v->client)))
        return GD_NONE;
    note_witness(b, v);
    n = gd_index_add_cred(&b->ix, &id);
    c = gd_cred_at(&b->ix, n);
    c->client = gd_index_client(&b->ix, &cid);
    c->app = (uint16_t)gd_app_number(b, gd_app_find(b, v->app));
    c->gen = (uint32_t)v->gen + 1;
    c->expires_at = v->expires_at;
    c->shape = (uint8_t)v->shape;
    c->retry_class = (uint8_t)v->retry_class;
    c->status = GD_CRED_CURRENT;
    if (access_token && (v->gen == 0 || gd_tokens_has(b->tokens, n)))
        gd_tokens_put(b->tokens, n, access_token, strlen(access_token));
    else /* the first who asks for it gets it from the store */
        gd_tokens_drop(b->tokens, n);
    gd_cred_due(b, n, v->due);
    return n;
}

void gd_journal_publish_version(struct gd_broker *b, const struct gd_version *v, const char *access_token,
                                bool current)
{
    (void)GD_FAULT("F19");
    if (current) {
        (void)publish_cred(b, v, access_token);
        gd_hub_published(b, v, NULL, access_token);
    }
    gd_events_wake(b->d.events);
    (void)GD_FAULT("F21");
}

static void publish_grant(struct gd_broker *b, const json_t *rec, const json_t *g, uint32_t cred)
{
    const char *text = gd_json_text(g, "id", ""), *client = gd_json_text(rec, "client", "");
    enum gd_lifecycle life = GD_LIFE_CONFIRMING;
    enum gd_native native = GD_NATIVE_NONE;
    bool old = gd_json_bool(g, "old", false), token = gd_json_bool(g, "token", false);
    struct gd_ix_grant *ig;
    struct gd_id id, cid;
    uint32_t n;

    if (!gd_id_parse(&id, "gr", text, strlen(text)) || !gd_id_parse(&cid, "cl", client, strlen(client)))
        return;
    n = old ? gd_index_grant(&b->ix, &id) : gd_index_add_grant(&b->ix, &id, token ? cred : GD_NONE);
    if (n == GD_NONE)
        return;
    ig = gd_grant_at(&b->ix, n);
    gd_lifecycle_parse(gd_json_text(g, "lifecycle", NULL), &life);
    gd_native_parse(gd_json_text(g, "native", NULL), &native);
    if (!old || native != GD_NATIVE_NONE)
        ig->native = (uint8_t)native;
    if (old) {
        gd_look_outdate(b, text);
        if (token && ig->lifecycle <= GD_LIFE_LIVE)
            gd_index_move_grant(&b->ix, n, cred);
        return;
    }
    ig->client = gd_index_client(&b->ix, &cid);
    ig->app = (uint16_t)gd_app_number(b, gd_app_find(b, gd_json_text(rec, "app", "")));
    ig->lifecycle = (uint8_t)life;
}

static void publish_move(struct gd_broker *b, const json_t *move, uint32_t cred)
{
    const char *text = gd_json_text(move, "id", "");
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", text, strlen(text)) ? gd_index_grant(&b->ix, &id) : GD_NONE;

    if (n != GD_NONE && cred != GD_NONE && gd_grant_at(&b->ix, n)->lifecycle <= GD_LIFE_LIVE)
        gd_index_move_grant(&b->ix, n, cred);
}

void gd_journal_publish(struct gd_broker *b, const json_t *rec, const char *access_token, bool current)
{
    GD_AUTO_FREE unsigned char *sealed = NULL;
    bool token = json_object_get(rec, "sealed") != NULL;
    const char *hub = gd_json_text(rec, "hub", NULL);
    uint32_t cred = GD_NONE;
    struct gd_version v;
    struct gd_id id;
    size_t i;
    json_t *g;

    (void)GD_FAULT("F19");
    read_version(rec, &v, &sealed);
    if (token && current)
        cred = publish_cred(b, &v, access_token);
    else if (v.cred && gd_id_parse(&id, "cr", v.cred, strlen(v.cred)))
        cred = gd_index_cred(&b->ix, &id);
    if (current && (token || hub))
        gd_hub_published(b, &v, hub, access_token);
    json_array_foreach(json_object_get(rec, "grants"), i, g) publish_grant(b, rec, g, cred);
    json_array_foreach(json_object_get(rec, "moves"), i, g) publish_move(b, g, cred);
    gd_events_wake(b->d.events);
    (void)GD_FAULT("F21");
}
