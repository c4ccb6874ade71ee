/* grant/look.c - looking at what the platform shows now: verify. Differences are facts; they are kept,
 * answered and raised as an event, and change no token. And what the scheduler does when a credential is due.
 */
#include "grant/broker_int.h"

#include <string.h>

GD_SQL(sql_grant,
       "SELECT g.asset_id, g.asset_kind, g.asset_name, g.role_asked, g.role_granted, g.credential_id, "
       "g.client_id,"
       " g.app, g.native, c.account_id, c.scope, c.expires_at, v.attempt_id, v.parent_gen, v.created_at, "
       "v.sealed"
       " FROM grants g LEFT JOIN credentials c ON c.workspace = g.workspace AND c.id = g.credential_id"
       " LEFT JOIN token_versions v ON v.workspace = c.workspace AND v.attempt_id = c.current_attempt"
       " WHERE g.workspace = $1 AND g.id = $2");
GD_SQL(sql_surfaces,
       "SELECT kind, ref, outcome FROM surfaces WHERE workspace = $1 AND grant_id = $2 ORDER BY id");
GD_SQL(sql_observed,
       "UPDATE grants SET observed = $3, role_observed = COALESCE($4, role_observed), verified_at = $5,"
       " native = CASE WHEN native = 'none' THEN 'none' WHEN $6 = 'no' THEN 'gone' WHEN $6 = 'yes'"
       " THEN 'present' ELSE native END WHERE workspace = $1 AND id = $2 AND lifecycle <> 'erased'");

json_t *gd_grant_document(const char *role, const char *mode, const char *asset_id, const char *asset_kind,
                          const char *asset_name, json_t *surfaces)
{
    json_t *doc = json_pack("{s:{s:s?, s:s?, s:s?}, s:[], s:O?, s:{}}", "item", "role", role, "asset",
                            asset_id, "mode", mode, "assets", "surfaces", surfaces, "inputs");

    if (asset_id)
        json_array_append_new(json_object_get(doc, "assets"),
                              json_pack("{s:s, s:s?, s:s?, s:s?}", "id", asset_id, "kind", asset_kind, "name",
                                        asset_name, "role", role));
    return doc;
}

struct look {
    char *role_asked, *role_granted, *account, *scope;
    int64_t expires_at;
    json_t *observed, *differences;
};

static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_seen(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_kept(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

void gd_grant_verify(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    c->state = gd_arena_alloc(c->arena, sizeof(struct look));
    gd_tx_add(tx, &sql_grant, GD_P_TEXT(c->workspace), GD_P_TEXT(gd_param(c, "grant")));
    gd_tx_add(tx, &sql_surfaces, GD_P_TEXT(c->workspace), GD_P_TEXT(gd_param(c, "grant")));
    gd_store_read(b->d.store, tx, on_facts, c);
}

/* Opened blob of the row, new reference; json_object() when there is no credential. */
static json_t *open_blob(struct gd_call *c, const struct gd_tx *tx, struct gd_err *err)
{
    size_t n = 0;
    const void *sealed = gd_tx_bytes(tx, 0, 0, 15, &n);
    struct gd_seal_name name = { .workspace = c->workspace,
                                 .client = gd_tx_text(tx, 0, 0, 6),
                                 .owner = gd_tx_text(tx, 0, 0, 5),
                                 .gen = gd_tx_int(tx, 0, 0, 13),
                                 .attempt = gd_tx_text(tx, 0, 0, 12),
                                 .column = "tok",
                                 .created_at = gd_tx_int(tx, 0, 0, 14) };
    GD_AUTO_FREE char *text = NULL;

    if (!sealed)
        return json_object();
    text = gd_open_text(c->b, &name, sealed, n, err);
    return text ? gd_json_parse(text, strlen(text), GD_CRED_BLOB_MAX, err) : NULL;
}

static json_t *surfaces_of(const struct gd_tx *tx)
{
    json_t *list = json_array();

    for (size_t i = 0; i < gd_tx_rows(tx, 1); i++)
        json_array_append_new(list, json_pack("{s:s, s:s?, s:s}", "kind", gd_tx_text(tx, 1, i, 0), "id",
                                              gd_tx_text(tx, 1, i, 1), "outcome", gd_tx_text(tx, 1, i, 2)));
    return list;
}

static void ask(struct gd_call *c, const struct gd_tx *tx, struct gd_app_state *a, json_t *blob)
{
    struct gd_broker *b = c->b;
    struct look *l = c->state;
    struct gd_op_start s = { .platform = a->app.platform,
                             .kind = GD_OP_VERIFY,
                             .app = a->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = true,
                             .on_end = on_seen,
                             .arg = c };
    GD_AUTO_JSON surfaces = surfaces_of(tx);
    GD_AUTO_JSON doc = gd_grant_document(l->role_asked, NULL, gd_tx_text(tx, 0, 0, 0),
                                         gd_tx_text(tx, 0, 0, 1), gd_tx_text(tx, 0, 0, 2), surfaces);
    char expires[32];

    (void)snprintf(expires, sizeof expires, "%lld", (long long)(l->expires_at / 1000));
    gd_given_app(b, a, &s.given);
    s.given.args[GRANTD_ARG_ACCESS_TOKEN] = gd_json_text(blob, "access_token", NULL);
    s.given.args[GRANTD_ARG_REFRESH_TOKEN] = gd_json_text(blob, "refresh_token", NULL);
    s.given.args[GRANTD_ARG_ACCOUNT_ID] = l->account;
    s.given.args[GRANTD_ARG_ROLE] = l->role_asked;
    s.given.args[GRANTD_ARG_SCOPE] = l->scope;
    s.given.args[GRANTD_ARG_ASSET_ID] = gd_tx_text(tx, 0, 0, 0);
    s.given.args[GRANTD_ARG_EXPIRES_AT] = l->expires_at ? expires : NULL;
    s.given.kept = json_object_get(blob, "kept");
    s.given.grant = doc;
    gd_op_start(&b->env, &s);
}

static void on_facts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct look *l = c->state;
    struct gd_err e = { 0 };
    struct gd_app_state *a;
    GD_AUTO_JSON blob = NULL;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0) {
        gd_call_fail(c, GD_R_NOT_FOUND, "no grant of that id is visible to you");
        return;
    }
    a = gd_app_find(c->b, gd_tx_text(tx, 0, 0, 7));
    if (!a || !a->app.platform->p.verify) {
        gd_call_fail(c, a ? GD_R_NOT_SUPPORTED : GD_R_APP_UNKNOWN,
                     "the platform of this grant cannot be asked");
        return;
    }
    l->role_asked = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 3));
    l->role_granted = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 4));
    l->account = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 9));
    l->scope = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 10));
    l->expires_at = gd_tx_int(tx, 0, 0, 11);
    blob = open_blob(c, tx, &e);
    if (!blob)
        gd_call_error(c, &e);
    else
        ask(c, tx, a, blob);
}

static void differ(struct look *l, const char *what, const char *asked, const char *observed,
                   const char *text)
{
    json_array_append_new(l->differences, json_pack("{s:s, s:s?, s:s?, s:s}", "what", what, "asked", asked,
                                                    "observed", observed, "text", text));
}

static bool word_in(const char *list, const char *word, size_t n)
{
    for (const char *p = list; (p = strstr(p, word)); p++)
        if ((p == list || p[-1] == ' ') && strlen(p) >= n && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

/* Scopes that were granted and are no longer seen. */
static void compare_scopes(struct look *l, const char *seen)
{
    const char *p = l->scope;

    while (p && *p) {
        size_t n = strcspn(p, " ");
        char word[256];

        if (n && n < sizeof word) {
            memcpy(word, p, n);
            word[n] = '\0';
            if (!word_in(seen, word, n))
                differ(l, "scope", word, NULL, "this scope was granted and is not seen any more");
        }
        p += n;
        p += strspn(p, " ");
    }
}

static void compare(struct look *l, const json_t *o)
{
    const char *alive = gd_json_text(o, "alive", "unknown"), *role = gd_json_text(o, "role", NULL);
    const char *account = gd_json_text(o, "account_id", NULL), *scope = gd_json_text(o, "scope", NULL);
    const char *wanted = l->role_granted ? l->role_granted : l->role_asked;

    if (!strcmp(alive, "no"))
        differ(l, "alive", "yes", "no", "the platform no longer accepts this access");
    if (role && wanted && strcmp(role, wanted) != 0)
        differ(l, "role", wanted, role, "the platform shows another role");
    if (account && l->account && strcmp(account, l->account) != 0)
        differ(l, "account", l->account, account, "the platform shows another account");
    if (scope && l->scope)
        compare_scopes(l, scope);
}

/* Facts in the shape of answers: alive as a boolean, account as an object, times as text. */
static json_t *observed_json(const json_t *o)
{
    json_t *j = json_deep_copy(o);
    const char *alive = gd_json_text(o, "alive", NULL), *account = gd_json_text(o, "account_id", NULL);
    const char *expires = gd_json_text(o, "expires_at", NULL);
    int64_t at;

    json_object_set_new(j, "alive",
                        alive && !strcmp(alive, "yes")  ? json_true()
                        : alive && !strcmp(alive, "no") ? json_false()
                                                        : json_null());
    json_object_del(j, "account_id");
    json_object_del(j, "account_name");
    if (account)
        json_object_set_new(
            j, "account",
            json_pack("{s:s, s:s?}", "id", account, "name", gd_json_text(o, "account_name", NULL)));
    if (expires)
        json_object_set_new(j, "expires_at",
                            gd_parse_i64(expires, &at) ? gd_time_json(at * 1000) : json_null());
    return j;
}

static void on_seen(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_call *c = arg;
    struct look *l = c->state;
    GD_AUTO_FREE char *text = NULL;
    struct gd_tx *tx;

    (void)op;
    if (r->end == GD_OP_FAILED) {
        gd_call_error(c, &r->err);
        return;
    }
    l->differences = json_array();
    l->observed = observed_json(r->observed);
    compare(l, r->observed);
    text = gd_json_dump(l->observed);
    tx = gd_tx_new(c->b->d.store);
    gd_tx_add(tx, &sql_observed, GD_P_TEXT(c->workspace), GD_P_TEXT(gd_param(c, "grant")), GD_P_TEXT(text),
              GD_P_TEXT(gd_json_text(r->observed, "role", NULL)), GD_P_INT(gd_now(c->b->d.clock)),
              GD_P_TEXT(gd_json_text(r->observed, "alive", "unknown")));
    if (json_array_size(l->differences))
        gd_event_add(c->b->d.events, tx, c->workspace, "grant.drift", gd_param(c, "grant"), l->differences);
    gd_store_commit(c->b->d.store, tx, on_kept, c);
}

static void on_kept(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct look *l = c->state;
    json_t *extra = json_pack("{s:o, s:o}", "observed", l->observed, "differences", l->differences);

    (void)tx;
    if (gd_call_store_failed(c, r, err)) {
        json_decref(extra);
        return;
    }
    gd_events_wake(c->b->d.events);
    gd_grant_reply(c, gd_param(c, "grant"), extra);
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
    if (c->first_grant == GD_NONE && c->status != GD_CRED_REVOKED) {
        gd_id_text(id, "cr", &c->id);
        gd_close_orphan(b, b->workspaces[gd_client_at(&b->ix, c->client)->workspace], id);
    }
    gd_refresh_not_now(b, cred);
}
