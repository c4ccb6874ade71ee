/* grant/link.c - a link, its request, client and items; what the page shows of them. */
#include "grant/link.h"

#include <string.h>

GD_SQL(sql_link,
       "SELECT l.workspace, l.id, l.request_id, l.hash, l.expires_at, l.ended_at, r.client_id, r.state, "
       "r.message,"
       " c.name, c.locale FROM links l JOIN requests r ON r.workspace = l.workspace AND r.id = l.request_id"
       " JOIN clients c ON c.workspace = r.workspace AND c.id = r.client_id WHERE l.id = $1");
GD_SQL(sql_link_items,
       "SELECT i.id, i.app, i.role, i.mode, i.asset, i.scope, i.expect_account, i.state, i.reason, i.steps, "
       "i.flow_id, i.params, i.reason_text, i.problems, CASE WHEN f.session_hash = $2 THEN 'yes' END"
       " FROM items i JOIN links l ON l.workspace = i.workspace AND l.request_id = i.request_id"
       " LEFT JOIN flows f ON f.workspace = i.workspace AND f.id = i.flow_id WHERE l.id = $1"
       " ORDER BY i.position");
GD_SQL(sql_link_session, "SELECT COUNT(*) FROM flows WHERE link_id = $1 AND session_hash = $2");

struct loading_link {
    struct gd_call *c;
    struct gd_link *l;
    unsigned char secret[32], session[32];
    bool has_secret, has_session;
};

void gd_link_done(struct gd_link *l)
{
    json_decref(l->items);
    l->items = NULL;
}

bool gd_link_item_open(const json_t *item)
{
    const char *s = gd_json_text(item, "state", "");

    return !strcmp(s, "open") || !strcmp(s, "started") || !strcmp(s, "waiting") || !strcmp(s, "declined");
}

static void load_items(struct gd_link *l, const struct gd_tx *tx)
{
    static const char *const names[] = {
        "id",    "app",  "role",   "mode",        "asset",    "scope", "expect_account", "state", "reason",
        "steps", "flow", "params", "reason_text", "problems", "mine"
    };

    l->items = json_array();
    for (size_t row = 0; row < gd_tx_rows(tx, 1); row++) {
        json_t *it = json_object();

        for (size_t col = 0; col < sizeof names / sizeof *names; col++)
            json_object_set_new(it, names[col], gd_text_json(gd_tx_text(tx, 1, row, col)));
        json_array_append_new(l->items, it);
    }
}

static int check(struct loading_link *x, const struct gd_tx *tx, struct gd_err *err)
{
    size_t n = 0;
    const void *hash = gd_tx_rows(tx, 0) ? gd_tx_bytes(tx, 0, 0, 3, &n) : NULL;
    unsigned char none[32] = { 0 };
    /* The same comparison for a link that does not exist, so that time does not tell. */
    bool same = gd_same_bytes(n == 32 ? hash : none, x->secret, 32);
    int64_t now = gd_now(x->c->b->d.clock);

    x->l->by_session = x->has_session && gd_tx_int(tx, 2, 0, 0) > 0;
    if (!hash || !((x->has_secret && same) || x->l->by_session))
        return gd_err_set(err, GD_R_LINK_UNKNOWN, "this link is not known, or not complete");
    if (!strcmp(gd_tx_text(tx, 0, 0, 7), "cancelled")) /* before the next: cancelling ends its links, too */
        return gd_err_set(err, GD_R_REQUEST_CANCELLED, "the agency took this request back");
    if (!gd_tx_is_null(tx, 0, 0, 5))
        return gd_err_set(err, GD_R_LINK_ENDED, "this link was replaced");
    if (gd_tx_int(tx, 0, 0, 4) < now)
        return gd_err_set(err, GD_R_LINK_EXPIRED, "this link is past its date");
    return 0;
}

static void on_rows(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct loading_link *x = arg;
    struct gd_link *l = x->l;
    struct gd_arena *a = x->c->arena;

    if (r != GD_STORE_OK) {
        gd_err_set(&l->err, GD_R_STORE_FAILED, "%s",
                   err && err->text[0] ? err->text : "the store could not be read");
    } else if (check(x, tx, &l->err) == 0) {
        l->workspace = gd_arena_strdup(a, gd_tx_text(tx, 0, 0, 0));
        l->id = gd_arena_strdup(a, gd_tx_text(tx, 0, 0, 1));
        l->request = gd_arena_strdup(a, gd_tx_text(tx, 0, 0, 2));
        l->expires_at = gd_tx_int(tx, 0, 0, 4);
        l->client = gd_arena_strdup(a, gd_tx_text(tx, 0, 0, 6));
        l->message = gd_arena_strdup(a, gd_tx_text(tx, 0, 0, 8));
        l->client_name = gd_arena_strdup(a, gd_tx_text(tx, 0, 0, 9));
        l->locale = gd_arena_strdup(a, gd_tx_text(tx, 0, 0, 10));
        load_items(l, tx);
    }
    l->next(x->c);
}

void gd_link_load(struct gd_call *c, const struct gd_visitor *v, struct gd_link *l, void (*next)(void *))
{
    struct loading_link *x = gd_arena_alloc(c->arena, sizeof *x);
    struct gd_tx *tx = gd_tx_new(c->b->d.store);

    x->c = c;
    x->l = l;
    l->next = next;
    if (v->secret) {
        x->has_secret = true;
        gd_keyring_lookup(c->b->d.keyring, "link", v->secret, strlen(v->secret), x->secret);
    }
    if (v->session) {
        x->has_session = true;
        gd_keyring_lookup(c->b->d.keyring, "session", v->session, strlen(v->session), x->session);
    }
    gd_tx_add(tx, &sql_link, GD_P_TEXT(v->link));
    gd_tx_add(tx, &sql_link_items, GD_P_TEXT(v->link), GD_P_BYTES(x->session, 32));
    gd_tx_add(tx, &sql_link_session, GD_P_TEXT(v->link), GD_P_BYTES(x->session, 32));
    gd_store_read(c->b->d.store, tx, on_rows, x);
}

void gd_flow_items_from(struct gd_flow *f, const struct gd_tx *tx, size_t stmt)
{
    for (size_t row = 0; row < gd_tx_rows(tx, stmt) && f->nitems < GD_REQUEST_ITEMS_MAX; row++) {
        struct gd_flow_item *to = &f->items[f->nitems++];

        (void)snprintf(to->id, sizeof to->id, "%s", gd_tx_text(tx, stmt, row, 0));
        to->mode = gd_arena_strdup(f->arena, gd_tx_text(tx, stmt, row, 2));
        to->role =
            gd_arena_strdup(f->arena, gd_link_role_asked(f->app, to->mode, gd_tx_text(tx, stmt, row, 1)));
        to->asset = gd_arena_strdup(f->arena, gd_tx_text(tx, stmt, row, 3));
        to->scope = gd_arena_strdup(f->arena, gd_tx_text(tx, stmt, row, 4));
        to->expect_account = gd_arena_strdup(f->arena, gd_tx_text(tx, stmt, row, 5));
        to->params = gd_arena_strdup(f->arena, gd_tx_text(tx, stmt, row, 6));
    }
}

void gd_link_expect(struct gd_broker *b, const struct gd_flow *f, const struct gd_exchange_result *r)
{
    size_t i;
    json_t *id;

    json_array_foreach(r->grants, i, id)
    {
        struct gd_id gid;
        uint32_t n;

        if (!gd_id_parse(&gid, "gr", json_string_value(id), json_string_length(id)))
            continue;
        n = gd_index_grant(&b->ix, &gid);
        if (n != GD_NONE && gd_grant_at(&b->ix, n)->lifecycle == GD_LIFE_ENDING)
            gd_close_resume(b, f->workspace, json_string_value(id));
    }
}

/* ---- the page ---- */

const struct grantd_role *gd_link_role(const struct gd_app_state *a, const char *name)
{
    const struct grantd_role *r = a ? a->app.platform->p.roles : NULL;

    for (; r && name && r->name; r++)
        if (!strcmp(r->name, name))
            return r;
    return NULL;
}

/* What the item is called when neither an asset nor a role is asked for. */
const char *gd_link_title(const struct gd_app_state *a)
{
    const json_t *title = a && a->app.description ? gd_json_at(a->app.description, "title") : NULL;

    if (json_is_string(title))
        return json_string_value(title);
    return a ? a->app.platform->p.title : "";
}

const char *gd_link_role_asked(const struct gd_app_state *a, const char *mode, const char *stored)
{
    const struct grantd_role *r = a && !stored ? gd_platform_role(a->app.platform, mode, NULL) : NULL;

    return r ? r->name : stored;
}

static json_t *item_json(const struct gd_app_state *a, const json_t *it)
{
    const char *steps = gd_json_text(it, "steps", NULL),
               *name = gd_link_role_asked(a, gd_json_text(it, "mode", NULL), gd_json_text(it, "role", NULL));
    const struct grantd_role *role = gd_link_role(a, name);
    const char *asset = gd_json_text(it, "asset", NULL), *problems = gd_json_text(it, "problems", NULL);
    json_t *j, *list = steps ? gd_json_parse(steps, strlen(steps), GD_HTTP_BODY_MAX, NULL) : NULL;
    json_t *r = name ? json_pack("{s:s, s:s?, s:s?}", "title", role ? role->title : name, "may",
                                 role ? role->may : NULL, "may_not", role ? role->may_not : NULL)
                     : json_null();

    j = json_pack("{s:s, s:s, s:o, s:s?, s:s, s:s?, s:o}", "id", gd_json_text(it, "id", ""), "title",
                  asset ? asset : (role ? role->title : (name ? name : gd_link_title(a))), "role", r, "asset",
                  asset, "state", gd_json_text(it, "state", ""), "reason", gd_json_text(it, "reason", NULL),
                  "steps", list ? list : json_array());
    json_object_set_new(j, "reason_text", gd_text_json(gd_json_text(it, "reason_text", NULL)));
    list = problems ? gd_json_parse(problems, strlen(problems), GD_HTTP_BODY_MAX, NULL) : NULL;
    json_object_set_new(j, "problems", list ? list : json_array());
    return j;
}

static json_t *group_of(struct gd_broker *b, json_t *groups, const char *app)
{
    struct gd_app_state *a = gd_app_find(b, app);
    const json_t *title = a && a->app.description ? gd_json_at(a->app.description, "title") : NULL;
    json_t *g;
    size_t i;

    json_array_foreach(groups, i, g) if (!strcmp(gd_json_text(g, "app", ""), app)) return g;
    g = json_pack("{s:s, s:s, s:s?, s:[]}", "app", app, "platform_title", a ? a->app.platform->p.title : app,
                  "provider_title", json_is_string(title) ? json_string_value(title) : NULL, "items");
    json_array_append_new(groups, g);
    return g;
}

/* What is over is shown to the browser that was there, and to nobody else: a link may have been forwarded
 * (given.c shows it after a code). */
static bool may_see(const json_t *item)
{
    return gd_link_item_open(item) || gd_json_text(item, "mine", NULL);
}

json_t *gd_link_page(struct gd_broker *b, const struct gd_link *l)
{
    json_t *groups = json_array(), *it;
    json_int_t open = 0;
    size_t i;

    json_array_foreach(l->items, i, it)
    {
        const char *app = gd_json_text(it, "app", "");

        if (!may_see(it))
            continue;
        open += gd_link_item_open(it) && strcmp(gd_json_text(it, "state", ""), "declined") != 0;
        json_array_append_new(json_object_get(group_of(b, groups, app), "items"),
                              item_json(gd_app_find(b, app), it));
    }
    return json_pack("{s:{s:s, s:s?, s:o}, s:s, s:{s:s, s:s}, s:{s:s, s:s?}, s:o, s:I, s:b}", "request", "id",
                     l->request, "message", l->message, "expires_at", gd_time_json(l->expires_at), "link",
                     l->id, "workspace", "name", l->workspace, "title",
                     gd_json_text(b->titles, l->workspace, l->workspace), "client", "name", l->client_name,
                     "locale", l->locale, "groups", groups, "open", open, "done", open == 0);
}
