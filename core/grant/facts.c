/* grant/facts.c - what a closing stands on: the grant with its surfaces, the credential with its tokens, and
 * who else needs it. */
#include "grant/closing.h"
#include "grant/exchange.h"

#include <string.h>

GD_SQL(
    sql_grant,
    "SELECT asset_id, asset_kind, asset_name, role_asked, credential_id, client_id, app, mode, params,"
    " asset_parent, starts_at, ends_at, looks, native, ordered FROM grants WHERE workspace = $1 AND id = $2");
GD_SQL(sql_cred, "SELECT c.client_id, c.app, c.account_id, c.status, c.attempts, v.attempt_id, v.parent_gen, "
                 "v.created_at, v.sealed"
                 " FROM credentials c LEFT JOIN token_versions v ON v.workspace = c.workspace AND "
                 "v.attempt_id = c.current_attempt"
                 " WHERE c.workspace = $1 AND c.id = $2");
/* Who else needs the credential: grants, what is still being set up with it, a hub. */
GD_SQL(sql_others,
       "SELECT COUNT(*) FROM grants g WHERE g.workspace = $1 AND g.credential_id = $2 AND g.id <> $3"
       " AND (g.lifecycle IN ('confirming', 'live') OR (g.lifecycle = 'ending' AND EXISTS"
       " (SELECT 1 FROM surfaces s WHERE s.workspace = g.workspace AND s.grant_id = g.id"
       " AND s.kind <> 'token' AND s.outcome IN ('open', 'failed'))))");
GD_SQL(sql_any, "SELECT COUNT(*) FROM grants WHERE workspace = $1 AND credential_id = $2"
                " AND lifecycle NOT IN ('ended', 'erased')");
GD_SQL(sql_flows,
       "SELECT COUNT(*) FROM flows f WHERE f.workspace = $1 AND f.credential_id = $2 AND (f.status "
       "IN ('exchanging', 'left') OR (f.status = 'waiting' AND EXISTS (SELECT 1 FROM items i"
       " WHERE i.workspace = f.workspace AND i.request_id = f.request_id AND i.flow_id = f.id"
       " AND i.state IN ('started', 'waiting'))))");
GD_SQL(sql_hubs, "SELECT COUNT(*) FROM hubs WHERE workspace = $1 AND credential_id = $2");
/* Living credentials of the same account: some platforms give the same token again. */
GD_SQL(sql_siblings,
       "SELECT o.id, v.attempt_id, v.parent_gen, v.created_at, v.sealed FROM credentials c JOIN credentials o"
       " ON o.workspace = c.workspace AND o.client_id = c.client_id AND o.app = c.app"
       " AND o.account_id = c.account_id AND o.id <> c.id AND o.status <> 'revoked'"
       " JOIN token_versions v ON v.workspace = o.workspace AND v.attempt_id = o.current_attempt"
       " WHERE c.workspace = $1 AND c.id = $2");
/* What else stands on access to this asset, whichever client record it belongs to: other living grants, and
 * items that somebody is still asked for. Whether their apps lead to the same place says gd_hub_shared. */
GD_SQL(sql_others_have,
       "SELECT t.kind, t.ref, o.app FROM grants g JOIN grants o ON o.workspace = g.workspace"
       " AND o.asset_id = g.asset_id AND o.id <> g.id"
       " AND o.lifecycle IN ('confirming', 'live') JOIN surfaces t ON t.workspace = o.workspace"
       " AND t.grant_id = o.id WHERE g.workspace = $1 AND g.id = $2 AND t.kind <> 'token'"
       " AND t.ref IS NOT NULL AND t.outcome NOT IN ('closed', 'gone')");
/* Of the client, what the platform is being asked at this moment: it may take over what it finds there. */
GD_SQL(sql_runs, "SELECT f.app FROM grants g JOIN requests q ON q.workspace = g.workspace"
                 " AND q.client_id = g.client_id JOIN flows f ON f.workspace = q.workspace"
                 " AND f.request_id = q.id AND f.status = 'exchanging' WHERE g.workspace = $1 AND g.id = $2");
/* Of the client's own items all that they have opened; of others' what names this asset. Flows that came to
 * nothing are never deleted: only those that wait are looked for among all. */
#define OWN_FLOWS                                                                               \
    " FROM grants g JOIN requests q ON q.workspace = g.workspace AND q.client_id = g.client_id" \
    " JOIN flows f ON f.workspace = q.workspace AND f.request_id = q.id"                        \
    " AND f.status IN ('pending', 'exchanging', 'waiting')"
#define ELSEWHERE                                                                             \
    " FROM grants g JOIN flows f ON f.workspace = g.workspace AND f.client_id <> g.client_id" \
    " AND f.status IN ('exchanging', 'waiting')"
#define OF_OPEN_ITEMS                                                                       \
    " WHERE g.workspace = $1 AND g.id = $2 AND EXISTS (SELECT 1 FROM items i"               \
    " WHERE i.workspace = f.workspace AND i.request_id = f.request_id AND i.flow_id = f.id" \
    " AND i.state IN ('started', 'waiting'))"
#define PARTS    " JOIN flow_parts p ON p.workspace = f.workspace AND p.flow_id = f.id"
#define ITS_NAME " LIKE '%' || g.asset_id || '%'"
GD_SQL(sql_open_items,
       "SELECT f.id, -1, f.notes, f.app" OWN_FLOWS OF_OPEN_ITEMS " AND f.notes IS NOT NULL"
       " UNION ALL SELECT f.id, p.position, p.part, f.app" OWN_FLOWS PARTS OF_OPEN_ITEMS
       " UNION ALL SELECT f.id, -1, f.notes, f.app" ELSEWHERE OF_OPEN_ITEMS " AND f.notes" ITS_NAME
       " UNION ALL SELECT f.id, p.position, p.part, f.app" ELSEWHERE PARTS OF_OPEN_ITEMS
       " AND p.part" ITS_NAME " ORDER BY 1, 2");

void gd_closing_read(const struct gd_closing *x, struct gd_tx *tx)
{
    const struct gd_param id[] = { GD_P_TEXT(x->workspace), GD_P_TEXT(x->cred), GD_P_TEXT(x->grant) };

    gd_tx_add(tx, &sql_grant, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
    gd_surfaces_read(tx, x->workspace, x->grant);
    gd_tx_add_(tx, &sql_cred, id, 2);
    if (x->grant[0])
        gd_tx_add_(tx, &sql_others, id, 3);
    else
        gd_tx_add_(tx, &sql_any, id, 2);
    gd_tx_add_(tx, &sql_flows, id, 2);
    gd_tx_add_(tx, &sql_hubs, id, 2);
    gd_tx_add_(tx, &sql_siblings, id, 2);
    gd_tx_add(tx, &sql_others_have, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
    gd_tx_add(tx, &sql_open_items, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
    gd_tx_add(tx, &sql_runs, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
}

static int open_version(const struct gd_closing *x, const struct gd_tx *tx, size_t stmt, size_t row, int col,
                        const char *owner, json_t **ret, struct gd_err *err)
{
    size_t n = 0, c = (size_t)col;
    const void *sealed = gd_tx_bytes(tx, stmt, row, c + 3, &n);
    struct gd_seal_name name = { .workspace = x->workspace,
                                 .client = x->client,
                                 .owner = owner,
                                 .gen = gd_tx_int(tx, stmt, row, c + 1),
                                 .attempt = gd_tx_text(tx, stmt, row, c),
                                 .column = "tok",
                                 .created_at = gd_tx_int(tx, stmt, row, c + 2) };
    GD_AUTO_FREE char *text = sealed ? gd_open_text(x->b, &name, sealed, n, err) : NULL;

    *ret = text ? gd_blob_json(text, err) : NULL;
    return *ret || !sealed ? 0 : -1; /* nothing there: dropped already */
}

int gd_closing_open(struct gd_closing *x, const struct gd_tx *tx, struct gd_err *err)
{
    GD_AUTO_JSON blob = NULL;
    const char *at, *rt;

    if (open_version(x, tx, GD_FACTS_CRED, 0, 5, x->cred, &blob, err))
        return -1;
    at = gd_json_text(blob, "access_token", NULL);
    rt = gd_json_text(blob, "refresh_token", NULL);
    gd_secret_set(&x->access, at, at ? strlen(at) : 0);
    gd_secret_set(&x->refresh, rt, rt ? strlen(rt) : 0);
    json_decref(x->kept);
    x->kept = json_incref(json_object_get(blob, "kept"));
    return 0;
}

bool gd_closing_held_elsewhere(const struct gd_closing *x, const struct gd_tx *tx)
{
    for (size_t i = 0; i < gd_tx_rows(tx, GD_FACTS_SIBLINGS); i++) {
        GD_AUTO_JSON blob = NULL;

        if (open_version(x, tx, GD_FACTS_SIBLINGS, i, 1, gd_tx_text(tx, GD_FACTS_SIBLINGS, i, 0), &blob,
                         NULL) == 0 &&
            (gd_same_text(gd_json_text(blob, "access_token", NULL), x->access.ptr) ||
             gd_same_text(gd_json_text(blob, "refresh_token", NULL), x->refresh.ptr)))
            return true;
    }
    return false;
}

static const char *copy(struct gd_closing *x, const struct gd_tx *tx, size_t stmt, size_t col)
{
    return gd_arena_strdup(x->arena, gd_tx_text(tx, stmt, 0, col));
}

/* ---- what was ordered ---- */

static struct gd_seal_name order_name(const struct gd_closing *x, const char *client)
{
    return (struct gd_seal_name){
        .workspace = x->workspace, .client = client, .owner = x->grant, .column = "order"
    };
}

unsigned char *gd_closing_seal_order(const struct gd_closing *x, const char *client, size_t *ret_n)
{
    struct gd_seal_name name = order_name(x, client);
    struct gd_err err = { 0 };
    unsigned char *sealed;
    char *text;
    json_t *j;

    if (!x->force && !x->inputs)
        return NULL;
    j = json_pack("{s:b, s:O?}", "force", (int)x->force, "inputs", x->inputs);
    text = gd_json_dump(j);
    sealed = gd_seal_text(x->b, &name, text, ret_n, &err);
    if (!sealed) /* it is ended all the same; ordered again if it has to be tried again */
        GD_LOG(x->b->d.log, GD_LOG_WARN, "close.order", GD_F_STR("grant", x->grant), GD_F_ERR(&err));
    gd_free(text);
    json_decref(j);
    return sealed;
}

/* What a caller has ordered just now comes first. */
static void take_order(struct gd_closing *x, const struct gd_tx *tx)
{
    struct gd_seal_name name = order_name(x, x->client);
    struct gd_err err = { 0 };
    size_t n = 0;
    const void *sealed = gd_tx_bytes(tx, GD_FACTS_GRANT, 0, 14, &n);
    GD_AUTO_FREE char *text = sealed && n ? gd_open_text(x->b, &name, sealed, n, &err) : NULL;
    GD_AUTO_JSON j = text ? gd_json_parse(text, strlen(text), GD_CRED_BLOB_MAX * 4, &err) : NULL;

    if (err.reason)
        GD_LOG(x->b->d.log, GD_LOG_WARN, "close.order", GD_F_STR("grant", x->grant), GD_F_ERR(&err));
    if (!j || x->inputs || x->force)
        return;
    x->force = gd_json_bool(j, "force", false);
    if (json_is_object(json_object_get(j, "inputs")))
        x->inputs = json_incref(json_object_get(j, "inputs"));
}

/* ---- what others stand on ---- */

static void add_other(json_t *others, const char *kind, const char *id)
{
    json_array_append_new(others, json_pack("{s:s, s:s}", "kind", kind, "id", id));
}

/* One report of a flow that is still open; its last word on a surface is the right one. */
static void take_report(json_t *open, const char *flow, json_t *one, const char *asset)
{
    const char *kind = gd_json_text(one, "kind", "token"), *id = gd_json_text(one, "id", NULL);
    const char *outcome = gd_json_text(one, "outcome", "open"), *of = gd_json_text(one, "asset", NULL);
    GD_AUTO_FREE char *key = gd_strf("%s\n%s\n%s", flow, kind, id ? id : "");

    if (!id || !strcmp(kind, "token") || (of && asset && strcmp(of, asset) != 0))
        return;
    if (!strcmp(outcome, "closed") || !strcmp(outcome, "gone"))
        json_object_del(open, key);
    else
        json_object_set(open, key, one);
}

static bool same_place(const struct gd_closing *x, const char *app)
{
    const struct gd_app_state *other = gd_app_find(x->b, app);

    return x->app && other && gd_hub_shared(x->b, x->app, other);
}

static void take_others(struct gd_closing *x, const struct gd_tx *tx, const char *asset)
{
    GD_AUTO_JSON open = json_object();
    const char *key;
    json_t *one;

    json_decref(x->others);
    x->others = json_array();
    for (size_t i = 0; i < gd_tx_rows(tx, GD_FACTS_OTHERS_HAVE); i++)
        if (same_place(x, gd_tx_text(tx, GD_FACTS_OTHERS_HAVE, i, 2)))
            add_other(x->others, gd_tx_text(tx, GD_FACTS_OTHERS_HAVE, i, 0),
                      gd_tx_text(tx, GD_FACTS_OTHERS_HAVE, i, 1));
    for (size_t i = 0; i < gd_tx_rows(tx, GD_FACTS_OPEN_ITEMS); i++) {
        const char *text = gd_tx_text(tx, GD_FACTS_OPEN_ITEMS, i, 2);
        GD_AUTO_JSON part = gd_json_parse(text, strlen(text), GD_FLOW_PROGRESS_MAX, NULL);
        size_t n;

        if (!same_place(x, gd_tx_text(tx, GD_FACTS_OPEN_ITEMS, i, 3)))
            continue;
        json_array_foreach(json_object_get(part, "surfaces"), n, one)
            take_report(open, gd_tx_text(tx, GD_FACTS_OPEN_ITEMS, i, 0), one, asset);
    }
    json_object_foreach(open, key, one)
        add_other(x->others, gd_json_text(one, "kind", ""), gd_json_text(one, "id", ""));
}

void gd_closing_copy(struct gd_closing *x, const struct gd_tx *tx)
{
    const char *params = gd_tx_rows(tx, GD_FACTS_GRANT) ? gd_tx_text(tx, GD_FACTS_GRANT, 0, 8) : NULL;

    gd_surfaces_take(&x->surfaces, tx, GD_FACTS_SURFACES);
    json_decref(x->params);
    x->params = params ? gd_json_parse(params, strlen(params), GD_CRED_BLOB_MAX, NULL) : NULL;
    if (gd_tx_rows(tx, GD_FACTS_GRANT)) {
        x->doc = (struct gd_grant_doc){ .asset_id = copy(x, tx, GD_FACTS_GRANT, 0),
                                        .asset_kind = copy(x, tx, GD_FACTS_GRANT, 1),
                                        .asset_name = copy(x, tx, GD_FACTS_GRANT, 2),
                                        .role = copy(x, tx, GD_FACTS_GRANT, 3),
                                        .mode = copy(x, tx, GD_FACTS_GRANT, 7),
                                        .params = x->params,
                                        .asset_parent = copy(x, tx, GD_FACTS_GRANT, 9),
                                        .starts_at = gd_tx_int(tx, GD_FACTS_GRANT, 0, 10),
                                        .ends_at = gd_tx_int(tx, GD_FACTS_GRANT, 0, 11) };
        x->client = copy(x, tx, GD_FACTS_GRANT, 5);
        x->app = gd_app_find(x->b, gd_tx_text(tx, GD_FACTS_GRANT, 0, 6));
        x->attempts = (unsigned)gd_tx_int(tx, GD_FACTS_GRANT, 0, 12);
        take_order(x, tx);
    }
    if (gd_tx_rows(tx, GD_FACTS_CRED)) {
        x->client = copy(x, tx, GD_FACTS_CRED, 0);
        x->app = gd_app_find(x->b, gd_tx_text(tx, GD_FACTS_CRED, 0, 1));
        x->account = copy(x, tx, GD_FACTS_CRED, 2);
        if (!x->shared)
            x->attempts = (unsigned)gd_tx_int(tx, GD_FACTS_CRED, 0, 4);
    }
    x->siblings = (json_int_t)gd_tx_rows(tx, GD_FACTS_SIBLINGS);
    take_others(x, tx, x->doc.asset_id);
    gd_surfaces_hold(&x->surfaces, x->others);
}

bool gd_closing_meets(const struct gd_closing *x, const struct gd_tx *tx)
{
    GD_AUTO_JSON places = gd_surfaces_listed(&x->surfaces, false);

    if (json_array_size(places) == 0)
        return false;
    for (size_t i = 0; i < gd_tx_rows(tx, GD_FACTS_RUNS); i++)
        if (same_place(x, gd_tx_text(tx, GD_FACTS_RUNS, i, 0)))
            return true;
    return false;
}

bool gd_closing_in_use(const struct gd_tx *tx)
{
    return gd_tx_int(tx, GD_FACTS_USERS, 0, 0) > 0 || gd_tx_int(tx, GD_FACTS_FLOWS, 0, 0) > 0 ||
           gd_tx_int(tx, GD_FACTS_HUBS, 0, 0) > 0;
}

static bool has_living_grant(const struct gd_broker *b, const struct gd_ix_cred *c)
{
    for (uint32_t g = c->first_grant; g != GD_NONE; g = gd_grant_at(&b->ix, g)->next_of_cred)
        if (gd_grant_at(&b->ix, g)->lifecycle <= GD_LIFE_ENDING)
            return true;
    return false;
}

bool gd_close_is_orphan(const struct gd_broker *b, uint32_t cred)
{
    const struct gd_ix_cred *c = gd_cred_at(&b->ix, cred);

    return c->status != GD_CRED_REVOKED && !has_living_grant(b, c);
}
