/* grant/hub.c - the agency's own identities on the platforms: which one an app works with, and their
 * credentials. A hub's credential is a credential like any other (lease, journal, schedule, sealing); it
 * belongs to a client that stands for the agency itself (state 'hub', shown nowhere), so its link, its key
 * and its consent need no second way. What a hub was handed in the configuration comes before it. */
#include "base/fault.h"
#include "grant/peers.h"

#include <string.h>

#define HUB_ROW                                                                                             \
    "SELECT h.workspace, h.id, h.client_id, h.credential_id, h.verified_at, h.observed, h.reason,"          \
    " h.reason_text, h.warnings, c.account_id, v.attempt_id, v.parent_gen, v.created_at, v.sealed,"         \
    " c.horizon_at FROM hubs h LEFT JOIN credentials c ON c.workspace = h.workspace AND c.id = "            \
    "h.credential_id AND c.status <> 'revoked' LEFT JOIN token_versions v ON v.workspace = c.workspace AND" \
    " v.attempt_id = c.current_attempt"
GD_SQL(sql_hubs, HUB_ROW);
GD_SQL(sql_hub, HUB_ROW " WHERE h.workspace = $1 AND h.id = $2");
/* One for each hub, whoever comes first: links of two that were asked for at once are both the agency's. */
GD_SQL(sql_hub_client, "INSERT INTO hubs (workspace, id, client_id, look_at, looks) VALUES ($1, $2, $3, 0, 0)"
                       " ON CONFLICT (workspace, id) DO UPDATE SET client_id = COALESCE(hubs.client_id, $3)");
GD_SQL(sql_client_insert,
       "INSERT INTO clients (workspace, id, name, email, locale, state, created_at, updated_at)"
       " SELECT $1, $2, $3, NULL, NULL, 'hub', $4, $4 FROM hubs WHERE workspace = $1 AND id = $3"
       " AND client_id = $2");
GD_SQL(sql_client_of, "SELECT client_id FROM hubs WHERE workspace = $1 AND id = $2");

/* ---- which one ---- */

struct gd_hub_state *gd_hub_find(struct gd_broker *b, const char *workspace, const char *id)
{
    for (unsigned i = 0; i < b->nhubs; i++)
        if (!strcmp(b->hubs[i].hub.id, id) && !strcmp(b->hubs[i].hub.workspace, workspace))
            return &b->hubs[i];
    return NULL;
}

struct gd_hub_state *gd_hub_of_client(struct gd_broker *b, const char *client)
{
    for (unsigned i = 0; i < b->nhubs; i++)
        if (b->hubs[i].client[0] && !strcmp(b->hubs[i].client, client))
            return &b->hubs[i];
    return NULL;
}

/* The one that names the app, else one of the app's platform that names none. */
struct gd_hub_state *gd_hub_of_app(struct gd_broker *b, const struct gd_app_state *a)
{
    struct gd_hub_state *any = NULL;

    for (unsigned i = 0; i < b->nhubs; i++) {
        struct gd_hub_state *h = &b->hubs[i];

        if (strcmp(h->hub.workspace, a->app.workspace) != 0 || h->hub.platform != a->app.platform)
            continue;
        if (h->hub.app && !strcmp(h->hub.app, a->app.id))
            return h;
        if (!h->hub.app && !any)
            any = h;
    }
    return any;
}

struct gd_app_state *gd_hub_app(struct gd_broker *b, const struct gd_hub_state *h)
{
    for (unsigned i = 0; i < b->napps; i++)
        if (gd_hub_of_app(b, &b->apps[i]) == h)
            return &b->apps[i];
    return NULL;
}

static const char *identity(const struct gd_hub_state *h)
{
    return h->hub.hub_id ? h->hub.hub_id : h->account; /* known once it is connected */
}

bool gd_hub_shared(struct gd_broker *b, const struct gd_app_state *one, const struct gd_app_state *two)
{
    const struct gd_hub_state *h = gd_hub_of_app(b, one), *k = gd_hub_of_app(b, two);

    return one == two || (one->app.platform == two->app.platform && h && k &&
                          (h == k || gd_same_text(identity(h), identity(k))));
}

/* ---- what operations are given ---- */

static const char *handed_in(const struct gd_hub_state *h)
{
    return gd_json_text(h->hub.options, "access_token", NULL);
}

void gd_given_hub(struct gd_broker *b, const struct gd_app_state *a, struct gd_op_given *g,
                  struct gd_hub_given *ret)
{
    const struct gd_hub_state *h = gd_hub_of_app(b, a);

    *ret = (struct gd_hub_given){ 0 };
    if (!h)
        return;
    ret->options = a->app.options ? json_copy(a->app.options) : json_object();
    json_object_update(ret->options, h->hub.options);
    json_object_del(ret->options, "access_token");
    g->options = ret->options;
    g->args[GRANTD_ARG_HUB_ID] = identity(h);
    g->args[GRANTD_ARG_HUB_ACCESS_TOKEN] = handed_in(h);
    if (handed_in(h) || !h->sealed)
        return;
    ret->token = gd_new(h->sealed_len - GD_MEMSEAL_OVERHEAD + 1);
    if (!gd_memseal_open(b->hub_seal, ret->token, h->cred, strlen(h->cred), h->sealed, h->sealed_len))
        return;
    g->args[GRANTD_ARG_HUB_ACCESS_TOKEN] = ret->token;
    g->args[GRANTD_ARG_HUB_ACCOUNT_ID] = h->account;
}

void gd_hub_given_done(struct gd_hub_given *g)
{
    json_decref(g->options);
    gd_free(g->token);
    *g = (struct gd_hub_given){ 0 };
}

/* ---- its credential ---- */

static void forget_token(struct gd_hub_state *h)
{
    gd_free(h->sealed);
    h->sealed = NULL;
    h->sealed_len = 0;
}

static void take_token(struct gd_broker *b, struct gd_hub_state *h, const char *token)
{
    size_t n = strlen(token);

    forget_token(h);
    h->sealed_len = n + GD_MEMSEAL_OVERHEAD;
    h->sealed = gd_new(h->sealed_len);
    gd_memseal_seal(b->hub_seal, h->sealed, h->cred, strlen(h->cred), token, n);
}

static struct gd_hub_state *hub_of_cred(struct gd_broker *b, const char *cred)
{
    for (unsigned i = 0; i < b->nhubs; i++)
        if (b->hubs[i].cred[0] && !strcmp(b->hubs[i].cred, cred))
            return &b->hubs[i];
    return NULL;
}

bool gd_hub_uses(struct gd_broker *b, const char *cred)
{
    return hub_of_cred(b, cred) != NULL;
}

void gd_hub_published(struct gd_broker *b, const struct gd_version *v, const char *hub,
                      const char *access_token)
{
    const char *cred = v->cred ? v->cred : "";
    struct gd_hub_state *h = hub ? gd_hub_find(b, v->workspace, hub) : hub_of_cred(b, cred);
    char old[GD_ID_TEXT_MAX];

    if (!h)
        return;
    (void)snprintf(old, sizeof old, "%s", h->cred);
    (void)snprintf(h->cred, sizeof h->cred, "%s", cred);
    if (v->horizon_at > 0 || strcmp(old, cred) != 0)
        h->horizon_at = v->horizon_at;
    if (access_token)
        take_token(b, h, access_token);
    if (v->account_id) {
        gd_free(h->account);
        h->account = gd_strdup(v->account_id);
    }
    gd_hub_clear(h);
    if (old[0] && strcmp(old, cred) != 0) /* a newer consent has taken its place */
        gd_close_orphan(b, h->hub.workspace, old);
}

void gd_hub_clear(struct gd_hub_state *h)
{
    h->err = (struct gd_err){ 0 };
}

/* ---- start and end ---- */

void gd_hubs_copy(struct gd_broker *b, const struct gd_hub *hubs, size_t n)
{
    b->hubs = gd_new_array(n, sizeof *b->hubs);
    b->nhubs = (unsigned)n;
    b->hub_seal = gd_memseal_new(b->d.rng);
    for (unsigned i = 0; i < b->nhubs; i++) {
        struct gd_hub *h = &b->hubs[i].hub;

        *h = hubs[i];
        h->id = gd_strdup(hubs[i].id);
        h->workspace = gd_strdup(hubs[i].workspace);
        h->hub_id = gd_strdup(hubs[i].hub_id);
        h->app = gd_strdup(hubs[i].app);
        h->options = hubs[i].options ? json_incref(hubs[i].options) : json_object();
    }
}

void gd_hubs_free(struct gd_broker *b)
{
    for (unsigned i = 0; i < b->nhubs; i++) {
        struct gd_hub_state *h = &b->hubs[i];

        gd_free(h->hub.id);
        gd_free(h->hub.workspace);
        gd_free(h->hub.hub_id);
        gd_free(h->hub.app);
        json_decref(h->hub.options);
        json_decref(h->observed);
        json_decref(h->warnings);
        gd_free(h->account);
        forget_token(h);
    }
    gd_free(b->hubs);
    gd_memseal_free(b->hub_seal);
}

struct loading {
    struct gd_broker *b;
    struct gd_err *err;
};

static json_t *row_json(const struct gd_row *row, int col)
{
    const char *text = gd_row_text(row, col);

    return text ? gd_json_parse(text, strlen(text), GD_HTTP_BODY_MAX, NULL) : NULL;
}

static void open_row(struct gd_broker *b, struct gd_hub_state *h, const struct gd_row *row)
{
    struct gd_err err = { 0 };
    size_t n = 0;
    const void *sealed = gd_row_bytes(row, 13, &n);
    struct gd_seal_name name = { .workspace = h->hub.workspace,
                                 .client = h->client,
                                 .owner = h->cred,
                                 .gen = gd_row_int(row, 11),
                                 .attempt = gd_row_text(row, 10),
                                 .column = "tok",
                                 .created_at = gd_row_int(row, 12) };
    GD_AUTO_FREE char *text = sealed ? gd_open_text(b, &name, sealed, n, &err) : NULL;
    GD_AUTO_JSON blob = text ? gd_blob_json(text, &err) : NULL;
    const char *token = gd_json_text(blob, "access_token", NULL);

    if (token)
        take_token(b, h, token);
    else if (err.reason)
        GD_LOG(b->d.log, GD_LOG_ERROR, "hub.credential", GD_F_STR("hub", h->hub.id), GD_F_ERR(&err));
}

static void on_hub_row(void *arg, const struct gd_row *row)
{
    struct loading *l = arg;
    struct gd_hub_state *h = gd_hub_find(l->b, gd_row_text(row, 0), gd_row_text(row, 1));

    if (!h) /* no longer configured; its credential stays until it is again, or is revoked as an orphan */
        return;
    (void)snprintf(h->client, sizeof h->client, "%s", gd_row_text(row, 2) ? gd_row_text(row, 2) : "");
    (void)snprintf(h->cred, sizeof h->cred, "%s", gd_row_text(row, 3) ? gd_row_text(row, 3) : "");
    h->verified_at = gd_row_int(row, 4);
    json_decref(h->observed);
    json_decref(h->warnings);
    gd_free(h->account);
    h->observed = row_json(row, 5);
    h->warnings = row_json(row, 8);
    h->account = gd_strdup(gd_row_text(row, 9));
    h->horizon_at = gd_row_int(row, 14);
    gd_hub_clear(h);
    if (gd_row_text(row, 6))
        gd_err_set(&h->err, gd_reason_find(gd_row_text(row, 6)), "%s",
                   gd_row_text(row, 7) ? gd_row_text(row, 7) : "");
    if (h->cred[0])
        open_row(l->b, h, row);
}

int gd_hubs_load(struct gd_broker *b, struct gd_err *err)
{
    struct loading l = { b, err };

    return gd_store_scan(b->d.store, &sql_hubs, on_hub_row, &l, err);
}

struct reading {
    struct gd_broker *b;
    char *workspace, *news; /* as the others tell of it */
};

static void on_hub_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct reading *k = arg;
    struct gd_broker *b = k->b;
    struct loading l = { b, NULL };

    if (GD_FAULT("hub.unread"))
        r = GD_STORE_FAILED;
    if (r == GD_STORE_OK)
        gd_tx_each(tx, 0, on_hub_row, &l);
    else
        GD_LOG(b->d.log, GD_LOG_WARN, "hub.read_failed", GD_F_ERR(err));
    gd_peers_reads(b, -1, k->workspace, r == GD_STORE_OK ? NULL : k->news);
    gd_free(k->workspace);
    gd_free(k->news);
    gd_free(k);
    gd_busy(b, -1);
}

void gd_hubs_reload(struct gd_broker *b, const char *workspace, const char *hub)
{
    struct gd_tx *tx = gd_tx_new(b->d.store);
    struct reading *k = gd_new(sizeof *k);

    *k = (struct reading){ b, gd_strdup(workspace), gd_strf("hub %s", hub) };
    gd_busy(b, 1);
    gd_peers_reads(b, 1, NULL, NULL);
    gd_tx_add(tx, &sql_hub, GD_P_TEXT(workspace), GD_P_TEXT(hub));
    gd_store_read(b->d.store, tx, on_hub_read, k);
}

/* ---- connect ---- */

struct connecting {
    struct gd_hub_state *h;
};
enum { HUB_UPSERT, CLIENT_INSERT, HUB_CLIENT }; /* statements that give a hub its client */

static void on_link(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_call *c = arg;

    (void)GD_FAULT("hub.asked");
    if (!result)
        gd_call_error(c, err);
    else
        gd_call_done(c, json_pack("{s:s, s:O, s:O?}", "hub", gd_param(c, "hub"), "link",
                                  json_object_get(result, "link"), "expires_at",
                                  json_object_get(result, "expires_at")));
}

/* A request like any other, whose one item is the hub's own consent. */
static void ask(struct gd_call *c)
{
    struct connecting *k = c->state;
    struct gd_app_state *a = gd_hub_app(c->b, k->h);
    json_t *p =
        json_pack("{s:s, s:s, s:b, s:i, s:[{s:s, s:s}]}", "workspace", c->workspace, "client", k->h->client,
                  "confirm", 0, "expires_in", 86400, "items", "app", a->app.id, "mode", GRANTD_MODE_HUB);

    gd_request_create_hub(c->b, &c->who, p, on_link, c);
    json_decref(p);
}

static void on_client(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct connecting *k = c->state;
    const char *client;
    struct gd_id id;

    if (gd_call_store_failed(c, r, err))
        return;
    (void)GD_FAULT("hub.client");
    client = gd_tx_text(tx, HUB_CLIENT, 0, 0);
    if (gd_id_parse(&id, "cl", client, strlen(client)))
        gd_index_add_client(&c->b->ix, &id, (uint16_t)gd_workspace_number(c->b, c->workspace));
    (void)snprintf(k->h->client, sizeof k->h->client, "%s", client);
    ask(c);
}

void gd_hub_connect(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                    void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct connecting *k = gd_arena_alloc(c->arena, sizeof *k);
    int64_t now = gd_now(b->d.clock);
    char client[GD_ID_TEXT_MAX];
    struct gd_tx *tx;

    c->state = k;
    k->h = gd_hub_find(b, c->workspace, gd_param(c, "hub"));
    if (!k->h)
        gd_call_fail(c, GD_R_HUB_UNKNOWN, "no hub %s is configured in workspace %s", gd_param(c, "hub"),
                     c->workspace);
    else if (!(k->h->hub.platform->p.caps & GRANTD_CAP_HUB_CONSENT))
        gd_call_fail(
            c, GD_R_NOT_SUPPORTED,
            "the platform %s has no consent for hubs; set access_token of hubs.%s in the configuration",
            k->h->hub.platform->p.name, k->h->hub.id);
    else if (!gd_hub_app(b, k->h))
        gd_call_fail(c, GD_R_APP_UNKNOWN, "no app of the platform %s is configured for hubs.%s",
                     k->h->hub.platform->p.name, k->h->hub.id);
    else if (k->h->client[0])
        ask(c);
    else {
        gd_id_make(client, "cl", now, b->d.rng);
        tx = gd_tx_new(b->d.store);
        gd_tx_add(tx, &sql_hub_client, GD_P_TEXT(c->workspace), GD_P_TEXT(k->h->hub.id), GD_P_TEXT(client));
        gd_tx_add(tx, &sql_client_insert, GD_P_TEXT(c->workspace), GD_P_TEXT(client), GD_P_TEXT(k->h->hub.id),
                  GD_P_INT(now));
        gd_tx_add(tx, &sql_client_of, GD_P_TEXT(c->workspace), GD_P_TEXT(k->h->hub.id));
        gd_tx_news(tx, c->workspace, client);
        gd_tx_news(tx, c->workspace, gd_arena_strf(c->arena, "hub %s", k->h->hub.id));
        gd_store_commit(b->d.store, tx, on_client, c);
    }
}
