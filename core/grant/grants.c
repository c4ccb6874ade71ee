/* grant/grants.c - grants as people and programs see them: rows joined with their credential, the state
 * derived. */
#include "grant/broker_int.h"

#include <string.h>

#define FROM " FROM grants g LEFT JOIN credentials c ON c.workspace = g.workspace AND c.id = g.credential_id"

GD_SQL(sql_get, "SELECT " GD_GRANT_COLUMNS FROM " WHERE g.workspace = $1 AND g.id = $2");
GD_SQL(sql_surfaces,
       "SELECT id, kind, ref, outcome, note, changed_at FROM surfaces WHERE workspace = $1 AND grant_id = $2"
       " ORDER BY id");
GD_SQL(sql_list, "SELECT " GD_GRANT_COLUMNS FROM
                 " WHERE g.workspace = $1 AND g.id > $2 AND ($3 = '' OR g.client_id = $3)"
                 " AND ($4 = '' OR g.app = $4) ORDER BY g.id LIMIT $5");
GD_SQL(sql_confirming, "SELECT g.lifecycle, COALESCE(c.account_id, g.account_id), g.reason" FROM
                       " WHERE g.workspace = $1 AND g.id = $2");
GD_SQL(sql_confirm,
       "UPDATE grants SET lifecycle = 'live' WHERE workspace = $1 AND id = $2 AND lifecycle = 'confirming'");

enum { /* columns of GD_GRANT_COLUMNS */
       G_ID,
       G_CLIENT,
       G_REQUEST,
       G_ITEM,
       G_CRED,
       G_APP,
       G_ASSET,
       G_ASSET_KIND,
       G_ASSET_NAME,
       G_ASKED,
       G_GRANTED,
       G_OBSERVED,
       G_LIFE,
       G_NATIVE,
       G_FACTS,
       G_CREATED,
       G_VERIFIED,
       G_ENDED,
       C_STATUS,
       C_SHAPE,
       C_RETRY,
       C_SCOPE,
       C_GEN,
       C_ISSUED,
       C_EXPIRES,
       C_REFRESH_EXPIRES,
       C_HORIZON,
       C_NEXT,
       C_REFRESHED,
       C_ACCOUNT,
       C_ACCOUNT_NAME,
       C_REASON,
       C_REASON_TEXT,
       G_REASON,
       G_REASON_TEXT,
       G_STARTS,
       G_ENDS,
       G_LOOK,
       G_WARNINGS,
       G_MODE,
       G_PARENT
};
#define TEXT(col) gd_tx_text(tx, stmt, row, (col))
#define INT(col)  gd_tx_int(tx, stmt, row, (col))

static json_t *token_json(const struct gd_tx *tx, size_t stmt, size_t row, bool frozen)
{
    if (!TEXT(C_STATUS))
        return json_null();
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "credential", TEXT(G_CRED),
                     "status", frozen && strcmp(TEXT(C_STATUS), "revoked") != 0 ? "frozen" : TEXT(C_STATUS),
                     "shape", gd_shape_word((uint32_t)INT(C_SHAPE)), "retry_class",
                     gd_retry_word((uint32_t)INT(C_RETRY)), "scope", gd_text_json(TEXT(C_SCOPE)), "gen",
                     (json_int_t)INT(C_GEN), "expires_at", gd_time_json(INT(C_EXPIRES)), "refresh_expires_at",
                     gd_time_json(INT(C_REFRESH_EXPIRES)), "horizon_at", gd_time_json(INT(C_HORIZON)),
                     "next_refresh_at", gd_time_json(INT(C_NEXT)), "last_refresh_at",
                     gd_time_json(INT(C_REFRESHED)));
}

static struct gd_grant_view view_of(struct gd_broker *b, const struct gd_tx *tx, size_t stmt, size_t row,
                                    bool *ret_frozen)
{
    struct gd_app_state *a = gd_app_find(b, TEXT(G_APP));
    struct gd_grant_facts f = { .app_frozen = a && a->interlock.frozen,
                                .has_cred = TEXT(C_STATUS) != NULL,
                                .expires_at = INT(C_EXPIRES),
                                .horizon_at = INT(C_HORIZON),
                                .starts_at = INT(G_STARTS),
                                .ends_at = INT(G_ENDS),
                                .now = gd_now(b->d.clock) };

    f.left = TEXT(G_REASON) && !strcmp(TEXT(G_REASON), "SURFACE_LEFT");
    gd_lifecycle_parse(TEXT(G_LIFE), &f.lifecycle);
    gd_native_parse(TEXT(G_NATIVE), &f.native);
    gd_cred_status_parse(TEXT(C_STATUS), &f.cred);
    *ret_frozen = f.app_frozen;
    return gd_grant_derive(&f);
}

/* What is shared, and with which permission. */
static void put_share(json_t *j, const struct gd_tx *tx, size_t stmt, size_t row)
{
    json_object_set_new(j, "asset",
                        json_pack("{s:s?, s:s?, s:s?, s:s?}", "id", TEXT(G_ASSET), "kind", TEXT(G_ASSET_KIND),
                                  "name", TEXT(G_ASSET_NAME), "parent", TEXT(G_PARENT)));
    json_object_set_new(j, "role",
                        json_pack("{s:s?, s:s?, s:s?}", "asked", TEXT(G_ASKED), "granted", TEXT(G_GRANTED),
                                  "observed", TEXT(G_OBSERVED)));
    json_object_set_new(j, "mode", gd_text_json(TEXT(G_MODE)));
    json_object_set_new(j, "account",
                        json_pack("{s:s?, s:s?}", "id", TEXT(C_ACCOUNT), "name", TEXT(C_ACCOUNT_NAME)));
    json_object_set_new(j, "window",
                        INT(G_ENDS) ? json_pack("{s:o, s:o}", "starts_at", gd_time_json(INT(G_STARTS)),
                                                "ends_at", gd_time_json(INT(G_ENDS)))
                                    : json_null());
}

/* What the last looks said that is no failure yet: word -> sentences, one a line. */
static json_t *warnings_json(const char *text)
{
    json_t *j = text ? gd_json_parse(text, strlen(text), GD_HTTP_BODY_MAX, NULL) : NULL;

    return j ? j : json_object();
}

json_t *gd_grant_row_json(struct gd_broker *b, const char *workspace, const struct gd_tx *tx, size_t stmt,
                          size_t row)
{
    struct gd_app_state *a = gd_app_find(b, TEXT(G_APP));
    bool frozen;
    struct gd_grant_view v = view_of(b, tx, stmt, row, &frozen);
    bool live = !strcmp(TEXT(G_LIFE), "live");
    const char *text = live ? TEXT(C_REASON_TEXT) : TEXT(G_REASON_TEXT);
    json_t *j = json_object();

    json_object_set_new(j, "id", json_string(TEXT(G_ID)));
    json_object_set_new(j, "workspace", json_string(workspace));
    json_object_set_new(j, "client", json_string(TEXT(G_CLIENT)));
    json_object_set_new(j, "request", gd_text_json(TEXT(G_REQUEST)));
    json_object_set_new(j, "item", gd_text_json(TEXT(G_ITEM)));
    json_object_set_new(j, "credential", gd_text_json(TEXT(G_CRED)));
    json_object_set_new(j, "app", json_string(TEXT(G_APP)));
    json_object_set_new(j, "platform", json_string(a ? a->app.platform->p.name : "unknown"));
    json_object_set_new(j, "provider", gd_text_json(a ? a->app.provider : NULL));
    put_share(j, tx, stmt, row);
    json_object_set_new(j, "state", json_string(v.state));
    json_object_set_new(j, "reason", v.reason[0] ? json_string(v.reason) : json_null());
    json_object_set_new(j, "reason_text",
                        v.reason[0]
                            ? json_string(text ? text : gd_reason_info(gd_reason_find(v.reason))->meaning)
                            : json_null());
    json_object_set_new(j, "owner", json_string(v.owner));
    json_object_set_new(j, "next_at", live && TEXT(C_STATUS) ? gd_time_json(INT(C_NEXT)) : json_null());
    json_object_set_new(j, "layers",
                        json_pack("{s:o, s:{s:s, s:o}}", "token", token_json(tx, stmt, row, frozen), "native",
                                  "status", TEXT(G_NATIVE), "next_look_at",
                                  live ? gd_time_json(INT(G_LOOK)) : json_null()));
    json_object_set_new(j, "warnings", warnings_json(TEXT(G_WARNINGS)));
    json_object_set_new(j, "surfaces", json_array());
    json_object_set_new(j, "created_at", gd_time_json(INT(G_CREATED)));
    json_object_set_new(j, "verified_at", gd_time_json(INT(G_VERIFIED)));
    json_object_set_new(j, "ended_at", gd_time_json(INT(G_ENDED)));
    return j;
}

static json_t *surface_json(const struct gd_tx *tx, size_t stmt, size_t row)
{
    const char *outcome = TEXT(3), *ref = TEXT(2), *note = TEXT(4);
    bool closed = !strcmp(outcome, "closed") || !strcmp(outcome, "gone");

    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:o}", "id", ref ? ref : TEXT(0), "kind", TEXT(1), "state",
                     outcome, "text", note, "step", !strcmp(outcome, "manual") ? note : NULL, "closed_at",
                     closed ? gd_time_json(INT(5)) : json_null());
}

void gd_grant_read(struct gd_tx *tx, const char *workspace, const char *grant)
{
    gd_tx_add(tx, &sql_get, GD_P_TEXT(workspace), GD_P_TEXT(grant));
    gd_tx_add(tx, &sql_surfaces, GD_P_TEXT(workspace), GD_P_TEXT(grant));
}

json_t *gd_grant_read_json(struct gd_broker *b, const char *workspace, const struct gd_tx *tx, size_t stmt)
{
    json_t *j;

    if (gd_tx_rows(tx, stmt) == 0)
        return NULL;
    j = gd_grant_row_json(b, workspace, tx, stmt, 0);
    for (size_t i = 0; i < gd_tx_rows(tx, stmt + 1); i++)
        json_array_append_new(json_object_get(j, "surfaces"), surface_json(tx, stmt + 1, i));
    return j;
}

/* ---- one grant as an answer ---- */

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    json_t *extra = c->state, *grant;

    if (gd_call_store_failed(c, r, err)) {
        json_decref(extra);
        return;
    }
    grant = gd_grant_read_json(c->b, c->workspace, tx, 0);
    if (!grant) {
        json_decref(extra);
        gd_call_fail(c, GD_R_NOT_FOUND, "no grant of that id is visible to you");
        return;
    }
    if (!extra)
        extra = json_object();
    if (json_object_get(extra, "surfaces"))
        json_object_set(extra, "surfaces", json_object_get(grant, "surfaces"));
    json_object_set_new(extra, "grant", grant);
    gd_call_done(c, extra);
}

void gd_grant_reply(struct gd_call *c, const char *grant, json_t *extra)
{
    struct gd_tx *tx = gd_tx_new(c->b->d.store);

    c->state = extra;
    gd_grant_read(tx, c->workspace, grant);
    gd_store_read(c->b->d.store, tx, on_read, c);
}

void gd_grant_get(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                  void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);

    gd_grant_reply(c, gd_param(c, "grant"), NULL);
}

uint32_t gd_grant_number(const struct gd_broker *b, const char *workspace, const struct gd_id *grant)
{
    uint32_t n = gd_index_grant(&b->ix, grant);
    uint32_t client = n == GD_NONE ? GD_NONE : gd_grant_at(&b->ix, n)->client;

    if (client == GD_NONE || strcmp(b->workspaces[gd_client_at(&b->ix, client)->workspace], workspace) != 0)
        return GD_NONE;
    return n;
}

const char *gd_grant_client(struct gd_broker *b, const struct gd_id *grant, const char **ret_workspace)
{
    static char text[GD_ID_TEXT_MAX];
    uint32_t n = gd_index_grant(&b->ix, grant);
    const struct gd_ix_client *cl;

    if (n == GD_NONE)
        return "";
    cl = gd_client_at(&b->ix, gd_grant_at(&b->ix, n)->client);
    gd_id_text(text, "cl", &cl->id);
    if (ret_workspace)
        *ret_workspace = b->workspaces[cl->workspace];
    return text;
}

const char *gd_grant_platform(struct gd_broker *b, const struct gd_id *grant)
{
    uint32_t n = gd_index_grant(&b->ix, grant);
    uint16_t app = n == GD_NONE ? UINT16_MAX : gd_grant_at(&b->ix, n)->app;

    return app < b->napps ? b->apps[app].app.platform->p.name : NULL;
}

/* ---- list and doctor: pages of rows, filtered by what is derived ---- */

#define PAGE 500

struct listing {
    json_t *list;
    char after[GD_ID_TEXT_MAX];
    size_t limit;
    bool doctor;
};

static void list_page(struct gd_call *c);

static bool wanted(struct gd_call *c, const json_t *g)
{
    const char *state = gd_param(c, "state"), *platform = gd_param(c, "platform");
    const struct listing *l = c->state;
    const char *is = gd_json_text(g, "state", "");

    if (l->doctor)
        return strcmp(is, "active") != 0 && strcmp(is, "erased") != 0 &&
               (strcmp(is, "ended") != 0 || strcmp(gd_json_text(g, "owner", ""), "nobody") != 0);
    return (!state || !strcmp(state, is)) &&
           (!platform || !strcmp(platform, gd_json_text(g, "platform", "")));
}

static json_t *finding(const json_t *g)
{
    const char *reason = gd_json_text(g, "reason", "INTERNAL");
    const struct gd_reason_info *info = gd_reason_info(gd_reason_find(reason));

    return json_pack("{s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:O, s:s}", "subject",
                     json_object_get(g, "id"), "workspace", json_object_get(g, "workspace"), "client",
                     json_object_get(g, "client"), "grant", json_object_get(g, "id"), "state",
                     json_object_get(g, "state"), "reason", json_object_get(g, "reason"), "text",
                     json_object_get(g, "reason_text"), "owner", json_object_get(g, "owner"), "next_at",
                     json_object_get(g, "next_at"), "remedy", info->remedy);
}

static void list_end(struct gd_call *c, const char *next)
{
    struct listing *l = c->state;

    if (gd_call_nowhere(c, l->list))
        return;
    if (l->doctor)
        gd_call_done(c, json_pack("{s:b, s:o}", "ok", json_array_size(l->list) == 0, "findings", l->list));
    else
        gd_call_done(c, json_pack("{s:o, s:o}", "grants", l->list, "next", gd_text_json(next)));
}

static void on_page(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct listing *l = c->state;
    size_t rows;

    if (r != GD_STORE_OK)
        json_decref(l->list);
    if (gd_call_store_failed(c, r, err))
        return;
    rows = gd_tx_rows(tx, 0);
    for (size_t i = 0; i < rows; i++) {
        GD_AUTO_JSON g = gd_grant_row_json(c->b, c->workspace, tx, 0, i);

        if (!wanted(c, g))
            continue;
        if (json_array_size(l->list) == l->limit) {
            list_end(c, l->after);
            return;
        }
        json_array_append_new(l->list, l->doctor ? finding(g) : json_incref(g));
        (void)snprintf(l->after, sizeof l->after, "%s", gd_json_text(g, "id", ""));
    }
    if (rows < PAGE) {
        list_end(c, NULL);
        return;
    }
    (void)snprintf(l->after, sizeof l->after, "%s", gd_tx_text(tx, 0, rows - 1, 0));
    list_page(c);
}

static void list_page(struct gd_call *c)
{
    struct listing *l = c->state;
    struct gd_tx *tx = gd_tx_new(c->b->d.store);
    const char *client = gd_param(c, "client"), *app = gd_param(c, "app");

    gd_tx_add(tx, &sql_list, GD_P_TEXT(c->workspace), GD_P_TEXT(l->after), GD_P_TEXT(client ? client : ""),
              GD_P_TEXT(app ? app : ""), GD_P_INT(PAGE));
    gd_store_read(c->b->d.store, tx, on_page, c);
}

static struct listing *list_new(struct gd_call *c, bool doctor)
{
    struct listing *l = gd_arena_alloc(c->arena, sizeof *l);
    const char *after = gd_param(c, "after");

    l->list = json_array();
    l->doctor = doctor;
    l->limit = doctor ? 10000 : (size_t)gd_json_i64(c->params, "limit", 100);
    (void)snprintf(l->after, sizeof l->after, "%s", after ? after : "");
    c->state = l;
    return l;
}

void gd_grant_list(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                   void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);

    list_new(c, false);
    list_page(c);
}

void gd_broker_doctor(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                      void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);

    list_new(c, true);
    list_page(c);
}

/* ---- confirm: read first, so that the event is only written with what it says ---- */

static void on_confirmed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    const char *text = gd_param(c, "grant");
    struct gd_id id;
    uint32_t n;

    if (gd_call_store_failed(c, r, err))
        return;
    n = gd_id_parse(&id, "gr", text, strlen(text)) ? gd_grant_number(c->b, c->workspace, &id) : GD_NONE;
    if (n != GD_NONE && gd_tx_changes(tx, 0) == 1 &&
        gd_grant_at(&c->b->ix, n)->lifecycle == GD_LIFE_CONFIRMING) /* and no revoke has begun meanwhile */
        gd_grant_at(&c->b->ix, n)->lifecycle = GD_LIFE_LIVE;
    gd_events_wake(c->b->d.events);
    gd_grant_reply(c, text, NULL);
}

static void on_confirm_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    const char *account = gd_param(c, "account"), *grant = gd_param(c, "grant"), *is;
    struct gd_tx *w;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0) {
        gd_call_fail(c, GD_R_NOT_FOUND, "no grant of that id is visible to you");
        return;
    }
    if (gd_tx_text(tx, 0, 0, 2) && !strcmp(gd_tx_text(tx, 0, 0, 2), "SURFACE_LEFT")) {
        w = gd_tx_new(c->b->d.store); /* somebody did by hand what only a person can */
        gd_look_left(c->b, w, c->workspace, grant, "closed");
        gd_store_commit(c->b->d.store, w, on_confirmed, c);
        return;
    }
    if (strcmp(gd_tx_text(tx, 0, 0, 0), "confirming") != 0) { /* nothing is left to confirm */
        gd_grant_reply(c, grant, NULL);
        return;
    }
    is = gd_tx_text(tx, 0, 0, 1);
    if (account && (!is || strcmp(is, account) != 0)) {
        gd_call_fail(c, GD_R_ACCOUNT_UNEXPECTED,
                     "another account approved this grant than the one you named");
        return;
    }
    w = gd_tx_new(c->b->d.store);
    gd_tx_add(w, &sql_confirm, GD_P_TEXT(c->workspace), GD_P_TEXT(grant));
    gd_event_add(c->b->d.events, w, c->workspace, "grant.confirmed", grant, NULL);
    gd_tx_news(w, c->workspace, grant);
    gd_store_commit(c->b->d.store, w, on_confirmed, c);
}

void gd_grant_confirm(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                      void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    gd_tx_add(tx, &sql_confirming, GD_P_TEXT(c->workspace), GD_P_TEXT(gd_param(c, "grant")));
    gd_store_read(b->d.store, tx, on_confirm_read, c);
}

/* ---- refresh, because somebody says so ---- */

static void on_refreshed(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;

    if (err)
        gd_call_error(c, err);
    else
        gd_grant_reply(c, gd_param(c, "grant"), NULL);
}

void gd_grant_refresh(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                      void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const char *text = gd_param(c, "grant");
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", text, strlen(text)) ? gd_grant_number(b, c->workspace, &id) : GD_NONE;

    if (n == GD_NONE)
        gd_call_fail(c, GD_R_NOT_FOUND, "no grant of that id is visible to you");
    else if (gd_grant_at(&b->ix, n)->cred == GD_NONE)
        gd_call_fail(c, GD_R_GRANT_NO_TOKEN, "this grant is native access only; there is nothing to refresh");
    else
        gd_refresh(b, gd_grant_at(&b->ix, n)->cred, "operator", on_refreshed, c);
}
