/* grant/request.c - requests: what the agency asks of one client, and the link that is shown once. The secret
 * of a link is never stored; a reminder makes a further link with a secret of its own. */
#include "base/fault.h"
#include "grant/asked.h"
#include "grant/exchange.h"
#include "grant/mails.h"
#include "grant/params.h"
#include "grant/rehearse.h"

#include <string.h>

#define SECRET_BYTES 32

GD_SQL(sql_client, "SELECT state, name, email FROM clients WHERE workspace = $1 AND id = $2");
GD_SQL(sql_client_of, "SELECT c.state, c.name, c.email FROM clients c JOIN requests r"
                      " ON r.workspace = c.workspace AND r.client_id = c.id WHERE r.workspace = $1"
                      " AND r.id = $2");
/* Of a client who was erased meanwhile there is no id, and nothing of the transaction happens: CONFLICT. */
GD_SQL(sql_insert,
       "INSERT INTO requests (workspace, id, client_id, state, message, confirm, created_at, expires_at)"
       " VALUES ($1, $2, (SELECT c.id FROM clients c WHERE c.workspace = $1 AND c.id = $3"
       " AND c.state IN ('active', 'hub')), 'open', $4, $5, $6, $7)");
GD_SQL(sql_item_insert,
       "INSERT INTO items (workspace, id, request_id, position, app, role, mode, asset, scope, "
       "expect_account, state,"
       " next_look_at, updated_at, params) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', 0, $11, "
       "$12)");
GD_SQL(sql_link_insert, "INSERT INTO links (workspace, id, request_id, hash, created_at, expires_at)"
                        " VALUES ($1, $2, $3, $4, $5, $6)");
#define COLUMNS "id, client_id, state, message, confirm, created_at, expires_at"
GD_SQL(sql_get, "SELECT " COLUMNS " FROM requests WHERE workspace = $1 AND id = $2");
GD_SQL(sql_items, "SELECT id, app, role, mode, asset, scope, expect_account, state, reason, reason_text, "
                  "request_id, params, problems, steps, next_look_at"
                  " FROM items WHERE workspace = $1 AND request_id = $2 ORDER BY position");
GD_SQL(sql_links, "SELECT COUNT(*) FROM links WHERE workspace = $1 AND request_id = $2 AND ended_at IS NULL");
GD_SQL(sql_item_grants,
       "SELECT item_id, id FROM grants WHERE workspace = $1 AND request_id = $2 ORDER BY id");
GD_SQL(sql_list,
       "SELECT " COLUMNS " FROM requests WHERE workspace = $1 AND id > $2 AND ($3 = '' OR client_id = $3)"
       " ORDER BY id LIMIT $4");
GD_SQL(sql_cancel,
       "UPDATE requests SET state = 'cancelled' WHERE workspace = $1 AND id = $2 AND state = 'open'");
GD_SQL(sql_cancel_items,
       "UPDATE items SET state = 'cancelled', next_look_at = 0, updated_at = $3 WHERE workspace = $1"
       " AND request_id = $2 AND state IN ('open', 'started', 'waiting', 'declined')");
GD_SQL(sql_cancel_links,
       "UPDATE links SET ended_at = $3 WHERE workspace = $1 AND request_id = $2 AND ended_at IS NULL");

enum { GET = 0, ITEMS, LINKS, GRANTS, PER_REQUEST }; /* statements that read one request */

static void add_reads(struct gd_tx *tx, const char *workspace, const char *request)
{
    gd_tx_add(tx, &sql_get, GD_P_TEXT(workspace), GD_P_TEXT(request));
    gd_tx_add(tx, &sql_items, GD_P_TEXT(workspace), GD_P_TEXT(request));
    gd_tx_add(tx, &sql_links, GD_P_TEXT(workspace), GD_P_TEXT(request));
    gd_tx_add(tx, &sql_item_grants, GD_P_TEXT(workspace), GD_P_TEXT(request));
}

/* JSON of a column; otherwise (reference taken) when there is none. */
static json_t *stored_json(const char *text, json_t *otherwise)
{
    json_t *j = text ? gd_json_parse(text, strlen(text), GD_HTTP_BODY_MAX, NULL) : NULL;

    if (!j)
        return otherwise;
    json_decref(otherwise);
    return j;
}

static json_t *item_json(struct gd_broker *b, const struct gd_tx *tx, size_t base, size_t row)
{
    size_t s = base + ITEMS;
    const char *app = gd_tx_text(tx, s, row, 1), *id = gd_tx_text(tx, s, row, 0);
    struct gd_app_state *a = gd_app_find(b, app);
    json_t *grants = json_array(), *j;

    for (size_t i = 0; i < gd_tx_rows(tx, base + GRANTS); i++)
        if (gd_tx_text(tx, base + GRANTS, i, 0) && !strcmp(gd_tx_text(tx, base + GRANTS, i, 0), id))
            json_array_append_new(grants, json_string(gd_tx_text(tx, base + GRANTS, i, 1)));
    j = json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s, s:s?, s:s?, s:o}", "id", id,
                  "app", app, "platform", a ? a->app.platform->p.name : "unknown", "provider",
                  a ? a->app.provider : NULL, "role", gd_tx_text(tx, s, row, 2), "mode",
                  gd_tx_text(tx, s, row, 3), "asset", gd_tx_text(tx, s, row, 4), "scope",
                  gd_tx_text(tx, s, row, 5), "expect_account", gd_tx_text(tx, s, row, 6), "state",
                  gd_tx_text(tx, s, row, 7), "reason", gd_tx_text(tx, s, row, 8), "reason_text",
                  gd_tx_text(tx, s, row, 9), "grants", grants);
    json_object_set_new(j, "params", stored_json(gd_tx_text(tx, s, row, 11), json_object()));
    json_object_set_new(j, "problems", stored_json(gd_tx_text(tx, s, row, 12), json_array()));
    json_object_set_new(j, "steps", stored_json(gd_tx_text(tx, s, row, 13), json_array()));
    json_object_set_new(j, "next_look_at", gd_time_json(gd_tx_int(tx, s, row, 14)));
    return j;
}

/* open, done (nothing is open any more), expired or cancelled: derived, but for cancelled. */
static const char *derive_state(struct gd_broker *b, const struct gd_tx *tx, size_t base)
{
    bool open = false;

    if (!strcmp(gd_tx_text(tx, base, 0, 2), "cancelled"))
        return "cancelled";
    for (size_t i = 0; i < gd_tx_rows(tx, base + ITEMS); i++) {
        const char *s = gd_tx_text(tx, base + ITEMS, i, 7);

        open = open || !strcmp(s, "open") || !strcmp(s, "started") || !strcmp(s, "waiting");
    }
    if (!open)
        return "done";
    return gd_tx_int(tx, base, 0, 6) < gd_now(b->d.clock) ? "expired" : "open";
}

static json_t *request_json(struct gd_broker *b, const char *workspace, const struct gd_tx *tx, size_t base)
{
    json_t *items = json_array();

    for (size_t i = 0; i < gd_tx_rows(tx, base + ITEMS); i++)
        json_array_append_new(items, item_json(b, tx, base, i));
    return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:b, s:o, s:o, s:I, s:o}", "id", gd_tx_text(tx, base, 0, 0),
                     "workspace", workspace, "client", gd_tx_text(tx, base, 0, 1), "state",
                     derive_state(b, tx, base), "message", gd_tx_text(tx, base, 0, 3), "confirm",
                     (int)gd_tx_int(tx, base, 0, 4), "created_at", gd_time_json(gd_tx_int(tx, base, 0, 5)),
                     "expires_at", gd_time_json(gd_tx_int(tx, base, 0, 6)), "links",
                     (json_int_t)gd_tx_int(tx, base + LINKS, 0, 0), "items", items);
}

/* ---- one request as an answer ---- */

struct answer {
    const char *link;
    bool notified; /* the link went out by mail, and only there */
    const char *notices;
    size_t grants; /* that were read behind the request */
};

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct answer *a = c->state;
    json_t *result, *list;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, GET) == 0) {
        gd_call_fail(c, GD_R_NOT_FOUND, "no request of that id is visible to you");
        return;
    }
    result = json_pack("{s:o}", "request", request_json(c->b, c->workspace, tx, 0));
    if (a->link)
        json_object_set_new(result, "link", json_string(a->link));
    if (a->notified)
        json_object_set_new(result, "notified", json_true());
    if (a->notices)
        json_object_set_new(result, "notices", stored_json(a->notices, json_array()));
    if (a->link || a->notified)
        json_object_set_new(result, "expires_at", gd_time_json(gd_tx_int(tx, GET, 0, 6)));
    if (a->grants != SIZE_MAX) {
        list = json_array();
        for (size_t i = 0; i < a->grants; i++)
            json_array_append_new(list, gd_grant_read_json(c->b, c->workspace, tx, PER_REQUEST + 2 * i));
        json_object_set_new(result, "grants", list);
    }
    gd_call_done(c, result);
}

void gd_request_reply(struct gd_call *c, const char *request, const char *link, json_t *grant_ids)
{
    struct answer *a = gd_arena_alloc(c->arena, sizeof *a);
    struct gd_tx *tx = gd_tx_new(c->b->d.store);
    json_t *id;
    size_t i;

    a->link = link;
    a->grants = grant_ids ? json_array_size(grant_ids) : SIZE_MAX;
    c->state = a;
    add_reads(tx, c->workspace, request);
    json_array_foreach(grant_ids, i, id) gd_grant_read(tx, c->workspace, json_string_value(id));
    gd_store_read(c->b->d.store, tx, on_read, c);
}

void gd_request_get(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                    void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);

    gd_request_reply(c, gd_param(c, "request"), NULL, NULL);
}

/* ---- create ---- */

struct making {
    char request[GD_ID_TEXT_MAX];
    const char *link;
    const char *name, *email, *message; /* for the mail */
    int64_t until;
    bool hub;            /* the agency's own consent, asked by hub.connect */
    const char *notices; /* JSON; NULL: none are told */
};

/* By mail: can it go to this client? False: the call has been failed, and nothing was made. */
static bool may_notify(struct gd_call *c, const struct gd_tx *tx, size_t stmt)
{
    struct making *m = c->state;
    struct gd_err err = { 0 };

    if (!gd_json_bool(c->params, "notify", false))
        return true;
    m->name = gd_arena_strdup(c->arena, gd_tx_text(tx, stmt, 0, 1));
    m->email = gd_arena_strdup(c->arena, gd_tx_text(tx, stmt, 0, 2));
    if (gd_mails_ready(c->b, m->email, &err) == 0)
        return true;
    gd_call_error(c, &err);
    return false;
}

/* Adds a further link of the request and returns its URL, in the arena. */
static const char *add_link(struct gd_call *c, struct gd_tx *tx, const char *request, int64_t expires_at)
{
    struct gd_broker *b = c->b;
    unsigned char secret[SECRET_BYTES], hash[32];
    char text[64], id[GD_ID_TEXT_MAX];
    int64_t now = gd_now(b->d.clock);
    const char *url;

    gd_rng_bytes(b->d.rng, secret, sizeof secret);
    gd_b64url(text, secret, sizeof secret);
    gd_id_make(id, "ln", now, b->d.rng);
    gd_keyring_lookup(b->d.keyring, "link", text, strlen(text), hash);
    gd_tx_add(tx, &sql_link_insert, GD_P_TEXT(c->workspace), GD_P_TEXT(id), GD_P_TEXT(request),
              GD_P_BYTES(hash, 32), GD_P_INT(now), GD_P_INT(expires_at));
    url = gd_arena_strf(c->arena, "%s/a/%s/%s", b->public_url, id, text);
    gd_wipe(secret, sizeof secret);
    gd_wipe(text, sizeof text);
    return url;
}

/* The item's role becomes what will be shown and asked: the mode's default when none is named. */
static int decide_role(const struct gd_app_state *a, json_t *it, struct gd_err *err)
{
    const char *named = gd_json_text(it, "role", NULL), *mode = gd_json_text(it, "mode", NULL);
    const struct gd_platform *p = a->app.platform;
    const struct grantd_role *r = gd_platform_role(p, mode, named);

    if (named && !r && p->p.roles) /* platforms without roles of their own take any word as a label */
        return gd_err_set(err, GD_R_ROLE_UNKNOWN, "platform %s has no role %s%s%s", p->p.name, named,
                          mode ? " in mode " : "", mode ? mode : "");
    if (!named && r)
        json_object_set_new(it, "role", json_string(r->name));
    return 0;
}

static int check_mode(const struct gd_app_state *a, const char *mode, bool is_hub, struct gd_err *err)
{
    const char *const *m = a->app.platform->p.modes;

    if (mode && !strcmp(mode, GRANTD_MODE_HUB) && is_hub)
        return 0;
    for (; mode && m && *m; m++)
        if (!strcmp(*m, mode))
            return 0;
    return mode ? gd_err_set(err, GD_R_NOT_SUPPORTED, "platform %s has no mode %s", a->app.platform->p.name,
                             mode)
                : 0;
}

static int check_items(struct gd_call *c, struct gd_err *err)
{
    bool is_hub = ((struct making *)c->state)->hub;
    json_t *it;
    size_t i;

    json_array_foreach(json_object_get(c->params, "items"), i, it)
    {
        const char *app = gd_json_text(it, "app", "");
        struct gd_app_state *a = gd_app_find(c->b, app);

        if (!a || strcmp(a->app.workspace, c->workspace) != 0)
            return gd_err_set(err, GD_R_APP_UNKNOWN,
                              "items[%zu].app: no app %s is configured in workspace %s", i, app,
                              c->workspace);
        if (check_mode(a, gd_json_text(it, "mode", NULL), is_hub, err) || decide_role(a, it, err) ||
            (!is_hub && gd_params_check(a->app.platform, json_object_get(it, "params"), i, err)))
            return -1;
    }
    return 0;
}

static void on_notify_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct making *m = c->state;

    (void)tx;
    if (gd_call_store_failed(c, r, err))
        return;
    gd_events_wake(c->b->d.events);
    gd_request_reply(c, m->request, NULL, NULL);
    ((struct answer *)c->state)->notified = true;
    ((struct answer *)c->state)->notices = m->notices;
}

static void on_notified(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct making *m = c->state;
    struct gd_tx *tx;

    if (err) {
        gd_call_fail(c, err->reason, "%.200s; request %s stands: `grantctl request remind`", err->text,
                     m->request);
        return;
    }
    (void)GD_FAULT("request.mailed");
    tx = gd_tx_new(c->b->d.store);
    gd_event_add(c->b->d.events, tx, c->workspace, "request.notified", m->request, NULL);
    gd_store_commit(c->b->d.store, tx, on_notify_stored, c);
}

static void on_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct making *m = c->state;

    (void)tx;
    if (gd_call_store_failed(c, r, err))
        return;
    (void)GD_FAULT("request.made");
    gd_events_wake(c->b->d.events);
    if (m->email) {
        struct gd_mail_client to = { c->workspace, m->name, m->email };

        gd_mails_link(c->b, &to, m->link, m->message, m->until, on_notified, c);
        return;
    }
    gd_request_reply(c, m->request, m->link, NULL);
    ((struct answer *)c->state)->notices = m->notices;
}

static void add_items(struct gd_call *c, struct gd_tx *tx, const char *request, int64_t now)
{
    json_t *it;
    size_t i;

    json_array_foreach(json_object_get(c->params, "items"), i, it)
    {
        char id[GD_ID_TEXT_MAX];
        const struct gd_app_state *a = gd_app_find(c->b, gd_json_text(it, "app", ""));
        GD_AUTO_FREE char *text = gd_params_text(a->app.platform, json_object_get(it, "params"));

        gd_id_make(id, "it", now, c->b->d.rng);
        gd_tx_add(tx, &sql_item_insert, GD_P_TEXT(c->workspace), GD_P_TEXT(id), GD_P_TEXT(request),
                  GD_P_INT(i), GD_P_TEXT(gd_json_text(it, "app", NULL)),
                  GD_P_TEXT(gd_json_text(it, "role", NULL)), GD_P_TEXT(gd_json_text(it, "mode", NULL)),
                  GD_P_TEXT(gd_json_text(it, "asset", NULL)), GD_P_TEXT(gd_json_text(it, "scope", NULL)),
                  GD_P_TEXT(gd_json_text(it, "expect_account", NULL)), GD_P_INT(now), GD_P_TEXT(text));
    }
}

static void on_client(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct making *m = c->state;
    int64_t now = gd_now(c->b->d.clock),
            expires = now + gd_json_i64(c->params, "expires_in", 14 * 86400) * 1000;
    struct gd_tx *w;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0 || (!m->hub && !strcmp(gd_tx_text(tx, 0, 0, 0), "hub"))) {
        gd_call_fail(c, GD_R_NOT_FOUND, "no client of that id is visible to you");
        return;
    }
    if (strcmp(gd_tx_text(tx, 0, 0, 0), "active") != 0 && !m->hub) {
        gd_call_fail(c, GD_R_CLIENT_ENDED, "this client is %s", gd_tx_text(tx, 0, 0, 0));
        return;
    }
    if (!may_notify(c, tx, 0))
        return;
    if (!m->hub)
        m->notices = gd_asked_notices(c, tx, 1, m->notices);
    m->message = gd_param(c, "message");
    m->until = expires;
    gd_id_make(m->request, "rq", now, c->b->d.rng);
    w = gd_tx_new(c->b->d.store);
    gd_client_hold(w, c->workspace, gd_param(c, "client"));
    gd_tx_add(w, &sql_insert, GD_P_TEXT(c->workspace), GD_P_TEXT(m->request),
              GD_P_TEXT(gd_param(c, "client")), GD_P_TEXT(gd_param(c, "message")),
              GD_P_INT(gd_json_bool(c->params, "confirm", true)), GD_P_INT(now), GD_P_INT(expires));
    add_items(c, w, m->request, now);
    m->link = add_link(c, w, m->request, expires);
    gd_event_add(c->b->d.events, w, c->workspace, "request.created", m->request, NULL);
    gd_store_commit(c->b->d.store, w, on_stored, c);
}

static void on_rehearsed(struct gd_call *c, const char *notices, const struct gd_err *err)
{
    struct making *m = c->state;
    struct gd_tx *tx;

    if (err) {
        gd_call_error(c, err);
        return;
    }
    m->notices = notices;
    tx = gd_tx_new(c->b->d.store);
    gd_tx_add(tx, &sql_client, GD_P_TEXT(c->workspace), GD_P_TEXT(gd_param(c, "client")));
    if (!m->hub)
        gd_asked_read(c, tx);
    gd_store_read(c->b->d.store, tx, on_client, c);
}

static void create(struct gd_call *c, bool hub)
{
    struct making *m = gd_arena_alloc(c->arena, sizeof *m);
    struct gd_broker *b = c->b;
    struct gd_err err = { 0 };

    c->state = m;
    m->hub = hub;
    if (!b->public_url)
        gd_call_fail(c, GD_R_PUBLIC_URL_MISSING, "set listen and public_url in the configuration first");
    else if (!hub && gd_hub_of_client(b, gd_param(c, "client")))
        gd_call_fail(c, GD_R_NOT_FOUND, "no client of that id is visible to you");
    else if (check_items(c, &err))
        gd_call_error(c, &err);
    else if (hub)
        on_rehearsed(c, NULL, NULL);
    else
        gd_rehearse(c, on_rehearsed);
}

void gd_request_create(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                       void *arg)
{
    create(gd_call_new(b, who, params, reply, arg), false);
}

void gd_request_create_hub(struct gd_broker *b, const struct gd_actor *who, json_t *params,
                           gd_reply_fn *reply, void *arg)
{
    create(gd_call_new(b, who, params, reply, arg), true);
}

/* ---- remind, cancel ---- */

static void on_remind(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct making *m = c->state;
    struct gd_tx *w;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0 || gd_hub_of_client(c->b, gd_tx_text(tx, 0, 0, 1)))
        gd_call_fail(c, GD_R_NOT_FOUND,
                     "no request of that id is visible to you"); /* hub.connect makes links */
    else if (!strcmp(gd_tx_text(tx, 0, 0, 2), "cancelled"))
        gd_call_fail(c, GD_R_REQUEST_CANCELLED, "this request was taken back; create a new one");
    else if (gd_tx_int(tx, 0, 0, 6) < gd_now(c->b->d.clock))
        gd_call_fail(c, GD_R_LINK_EXPIRED, "this request is past its date; create a new one");
    else if (may_notify(c, tx, 1)) {
        m->message = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 3));
        m->until = gd_tx_int(tx, 0, 0, 6);
        w = gd_tx_new(c->b->d.store);
        m->link = add_link(c, w, m->request, gd_tx_int(tx, 0, 0, 6));
        gd_event_add(c->b->d.events, w, c->workspace, "request.reminded", m->request, NULL);
        gd_store_commit(c->b->d.store, w, on_stored, c);
    }
}

void gd_request_remind(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                       void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct making *m = gd_arena_alloc(c->arena, sizeof *m);
    struct gd_tx *tx;

    c->state = m;
    if (!b->public_url) {
        gd_call_fail(c, GD_R_PUBLIC_URL_MISSING, "set listen and public_url in the configuration first");
        return;
    }
    (void)snprintf(m->request, sizeof m->request, "%s", gd_param(c, "request"));
    tx = gd_tx_new(b->d.store);
    gd_tx_add(tx, &sql_get, GD_P_TEXT(c->workspace), GD_P_TEXT(m->request));
    gd_tx_add(tx, &sql_client_of, GD_P_TEXT(c->workspace), GD_P_TEXT(m->request));
    gd_store_read(b->d.store, tx, on_remind, c);
}

static void on_cancelled(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;

    if (gd_call_store_failed(c, r, err))
        return;
    gd_flow_close_left(c->b, tx, *(const size_t *)c->state, c->workspace);
    gd_events_wake(c->b->d.events);
    gd_request_reply(c, gd_param(c, "request"), NULL, NULL);
}

void gd_request_cancel(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                       void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const char *request = gd_param(c, "request");
    struct gd_tx *tx = gd_tx_new(b->d.store);
    size_t *left = gd_arena_alloc(c->arena, sizeof *left);
    int64_t now = gd_now(b->d.clock);

    c->state = left;
    gd_tx_add(tx, &sql_cancel, GD_P_TEXT(c->workspace), GD_P_TEXT(request));
    gd_tx_add(tx, &sql_cancel_items, GD_P_TEXT(c->workspace), GD_P_TEXT(request), GD_P_INT(now));
    gd_tx_add(tx, &sql_cancel_links, GD_P_TEXT(c->workspace), GD_P_TEXT(request), GD_P_INT(now));
    *left = gd_flow_left(c->b, tx, c->workspace, request);
    gd_event_add(b->d.events, tx, c->workspace, "request.cancelled", request, NULL);
    gd_store_commit(b->d.store, tx, on_cancelled, c);
}

/* ---- list: the page of requests, then all of each in one further read ---- */

struct listing {
    size_t rows;
    const char *next; /* NULL: the last page */
};

static void on_list_whole(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    const struct listing *l = c->state;
    const char *state = gd_param(c, "state");
    json_t *list;

    if (gd_call_store_failed(c, r, err))
        return;
    list = json_array();
    for (size_t i = 0; i < l->rows; i++)
        if (gd_tx_rows(tx, i * PER_REQUEST) &&
            (!state || !strcmp(state, derive_state(c->b, tx, i * PER_REQUEST))))
            json_array_append_new(list, request_json(c->b, c->workspace, tx, i * PER_REQUEST));
    gd_call_done(c, json_pack("{s:o, s:o}", "requests", list, "next", gd_text_json(l->next)));
}

static void on_list(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    size_t rows, limit = (size_t)gd_json_i64(c->params, "limit", 100);
    struct listing *l = gd_arena_alloc(c->arena, sizeof *l);
    struct gd_tx *whole;

    if (gd_call_store_failed(c, r, err))
        return;
    rows = gd_tx_rows(tx, 0);
    l->next = rows > limit ? gd_arena_strdup(c->arena, gd_tx_text(tx, 0, limit - 1, 0)) : NULL;
    l->rows = rows > limit ? limit : rows;
    c->state = l;
    if (l->rows == 0) {
        json_t *none = json_array();

        if (!gd_call_nowhere(c, none))
            gd_call_done(c, json_pack("{s:o, s:n}", "requests", none, "next"));
        return;
    }
    whole = gd_tx_new(c->b->d.store);
    for (size_t i = 0; i < l->rows; i++)
        add_reads(whole, c->workspace, gd_tx_text(tx, 0, i, 0));
    gd_store_read(c->b->d.store, whole, on_list_whole, c);
}

void gd_request_list(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);
    const char *after = gd_param(c, "after"), *client = gd_param(c, "client");

    gd_tx_add(tx, &sql_list, GD_P_TEXT(c->workspace), GD_P_TEXT(after ? after : ""),
              GD_P_TEXT(client ? client : ""), GD_P_INT(gd_json_i64(params, "limit", 100) + 1));
    gd_store_read(b->d.store, tx, on_list, c);
}
