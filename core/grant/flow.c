/* grant/flow.c - the client's side: a link is opened, items of one app are approved, the browser comes back.
 * Nothing that a browser sends is trusted before it was compared: the link's secret and the session as keyed
 * hashes, the state by look-up, the context with the flow's, and the status by one conditional update before
 * the platform is asked. */
#include "base/fault.h"
#include "grant/exchange.h"
#include "grant/flow.h"
#include "grant/link.h"

#include <string.h>

#define SKEW_MAX_MS (300 * 1000)

GD_SQL(sql_flow_insert, "INSERT INTO flows (workspace, id, link_id, request_id, client_id, app, context, "
                        "state_hash, session_hash, sealed,"
                        " items, notes, status, created_at, expires_at)"
                        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)");
GD_SQL(sql_item_started,
       "UPDATE items SET state = $1, flow_id = $2, steps = $3, next_look_at = $4, reason = NULL,"
       " reason_text = NULL, updated_at = $5 WHERE workspace = $6 AND id = $7"
       " AND state IN ('open', 'started', 'waiting', 'declined')");
GD_SQL(sql_flow_by_state,
       "SELECT f.workspace, f.id, f.link_id, f.request_id, f.client_id, f.app, f.context, f.session_hash,"
       " f.sealed, f.items, f.notes, f.status, f.created_at, f.expires_at, r.confirm, r.state FROM flows f"
       " JOIN requests r ON r.workspace = f.workspace AND r.id = f.request_id"
       " WHERE f.state_hash = $1");
GD_SQL(sql_flow_items,
       "SELECT i.id, i.role, i.mode, i.asset, i.scope, i.expect_account, i.params FROM items i JOIN flows f"
       " ON f.workspace = i.workspace AND f.id = i.flow_id WHERE "
       "f.state_hash = $1 AND i.state = 'started'"
       " ORDER BY i.position");
GD_SQL(sql_flow_parts, "SELECT p.position, p.part FROM flow_parts p JOIN flows f ON f.workspace = p.workspace"
                       " AND f.id = p.flow_id WHERE f.state_hash = $1 ORDER BY p.position");
GD_SQL(sql_flow_take,
       "UPDATE flows SET status = 'exchanging', worker = $3 WHERE workspace = $1 AND id = $2 AND status = "
       "'pending'"
       " AND EXISTS (SELECT 1 FROM items WHERE workspace = $1 AND flow_id = $2 AND state = "
       "'started')" GD_CLIENT_STAYS);

struct start {
    struct gd_link link;
    struct gd_flow flow;
    json_t *items; /* ids asked for; borrowed from the arena's JSON */
    char *session, *app;
    size_t left;      /* statement that reads what older attempts left */
    bool by_operator; /* who hands in what the client gave by other means: no browser is here */
    json_t *result;
    struct gd_err err; /* it failed, and what it had opened is to be closed */
};

static void on_link(void *arg);
static void on_dek(void *arg, const struct gd_dek *dek, const struct gd_err *err);
static void on_recorded(void *arg, const struct gd_err *err);
static void on_request_end(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_flow_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* ---- start ---- */

static char *random_text(struct gd_broker *b, struct gd_arena *a)
{
    unsigned char bytes[32];
    char *text = gd_arena_alloc(a, 64);

    gd_rng_bytes(b->d.rng, bytes, sizeof bytes);
    gd_b64url(text, bytes, sizeof bytes);
    gd_wipe(bytes, sizeof bytes);
    return text;
}

static void start_fail(struct gd_call *c, const struct gd_err *err)
{
    struct start *s = c->state;

    gd_flow_done(&s->flow);
    json_decref(s->items);
    json_decref(s->result);
    gd_link_done(&s->link);
    gd_call_error(c, err);
}

static void start_refuse(struct gd_call *c, enum gd_reason r, const char *text)
{
    struct gd_err err = { .reason = r };

    (void)snprintf(err.text, sizeof err.text, "%s", text);
    start_fail(c, &err);
}

void gd_flow_start(struct gd_broker *b, const struct gd_visitor *v, const char *app, json_t *items,
                   gd_reply_fn *reply, void *arg)
{
    struct gd_actor who = { -1, -1, -1, "portal", 0 };
    struct gd_call *c = gd_call_new(b, &who, NULL, reply, arg);
    struct start *s = gd_arena_alloc(c->arena, sizeof *s);

    c->state = s;
    s->app = gd_arena_strdup(c->arena, app);
    s->session = gd_arena_strdup(c->arena, v->session);
    s->items = json_incref(items);
    if (!s->session) {
        start_refuse(c, GD_R_SESSION_MISSING,
                     "the browser sent no session cookie; allow cookies and open the link again");
        return;
    }
    gd_link_load(c, v, &s->link, on_link);
}

GD_SQL(
    sql_item_open,
    "SELECT l.id, r.client_id, r.state, i.app, i.role, i.mode, i.asset, i.scope, i.expect_account, i.params"
    " FROM items i JOIN requests r ON r.workspace = i.workspace AND r.id = i.request_id"
    " JOIN links l ON l.workspace = r.workspace AND l.request_id = r.id WHERE i.workspace = $1"
    " AND i.request_id = $2 AND i.id = $3 AND i.state = 'open' ORDER BY l.id LIMIT 1");

static void on_item_open(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    static const char *const names[] = {
        "app", "role", "mode", "asset", "scope", "expect_account", "params"
    };
    struct gd_call *c = arg;
    struct start *s = c->state;
    json_t *it;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0 || strcmp(gd_tx_text(tx, 0, 0, 2), "open") != 0) {
        start_refuse(c, GD_R_ITEM_CLOSED, "nothing is waiting here any more");
        return;
    }
    s->link.id = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 0));
    s->link.client = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 1));
    s->app = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 3));
    it = json_pack("{s:s, s:s}", "id", s->flow.items[0].id, "state", "open");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        json_object_set_new(it, names[i], gd_text_json(gd_tx_text(tx, 0, 0, 3 + i)));
    s->link.items = json_pack("[o]", it);
    on_link(c);
}

void gd_flow_start_item(struct gd_broker *b, const struct gd_flow_place *at, gd_reply_fn *reply, void *arg)
{
    struct gd_actor who = { -1, -1, -1, "operator", 0 };
    struct gd_call *c = gd_call_new(b, &who, NULL, reply, arg);
    struct start *s = gd_arena_alloc(c->arena, sizeof *s);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    c->state = s;
    s->by_operator = true;
    s->session = random_text(b, c->arena); /* nobody's */
    s->link.workspace = gd_arena_strdup(c->arena, at->workspace);
    s->link.request = gd_arena_strdup(c->arena, at->request);
    (void)snprintf(s->flow.items[0].id, sizeof s->flow.items[0].id, "%s", at->item);
    gd_tx_add(tx, &sql_item_open, GD_P_TEXT(at->workspace), GD_P_TEXT(at->request), GD_P_TEXT(at->item));
    gd_store_read(b->d.store, tx, on_item_open, c);
}

static bool wanted(const json_t *items, const char *id)
{
    size_t i;
    json_t *it;

    if (json_array_size(items) == 0)
        return true;
    json_array_foreach(items, i,
                       it) if (json_is_string(it) && !strcmp(json_string_value(it), id)) return true;
    return false;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* One consent has one mode, is given by one account, and asks for scopes that are either all named or the
 * app's. */
static bool may_share(const struct gd_flow *f, const json_t *it)
{
    const struct gd_flow_item *first = &f->items[0];

    if (f->nitems == 0)
        return true;
    return (f->app->app.platform->p.caps & GRANTD_CAP_SHARED_CONSENT) &&
           same_text(first->mode, gd_json_text(it, "mode", NULL)) &&
           same_text(first->expect_account, gd_json_text(it, "expect_account", NULL)) &&
           !first->scope == !gd_json_text(it, "scope", NULL);
}

/* All scopes that the items name, each once. */
static const char *united_scope(const struct gd_flow *f)
{
    struct gd_buf b;
    const char *out;

    if (!f->items[0].scope)
        return NULL;
    gd_buf_init(&b, SIZE_MAX / 2);
    for (unsigned i = 0; i < f->nitems; i++)
        for (const char *p = f->items[i].scope; *p;) {
            size_t n = strcspn(p, " ");
            GD_AUTO_FREE char *word = gd_strndup(p, n), *all = gd_strf(" %s ", b.len ? b.ptr : "");
            GD_AUTO_FREE char *padded = gd_strf(" %s ", word);

            if (n && !strstr(all, padded))
                gd_buf_addf(&b, "%s%s", b.len ? " " : "", word);
            p += n;
            p += strspn(p, " ");
        }
    out = gd_arena_strdup(f->arena, b.ptr);
    gd_buf_done(&b);
    return out;
}

/* Takes the items of the app that may be asked in one consent. */
static void choose_items(struct start *s)
{
    struct gd_flow *f = &s->flow;
    size_t i;
    json_t *it;

    json_array_foreach(s->link.items, i, it)
    {
        struct gd_flow_item *to = &f->items[f->nitems];

        if (strcmp(gd_json_text(it, "app", ""), s->app) != 0 || !gd_link_item_open(it) ||
            !wanted(s->items, gd_json_text(it, "id", "")) || !may_share(f, it))
            continue;
        (void)snprintf(to->id, sizeof to->id, "%s", gd_json_text(it, "id", ""));
        to->mode = gd_arena_strdup(f->arena, gd_json_text(it, "mode", NULL));
        to->role =
            gd_arena_strdup(f->arena, gd_link_role_asked(f->app, to->mode, gd_json_text(it, "role", NULL)));
        to->asset = gd_arena_strdup(f->arena, gd_json_text(it, "asset", NULL));
        to->scope = gd_arena_strdup(f->arena, gd_json_text(it, "scope", NULL));
        to->expect_account = gd_arena_strdup(f->arena, gd_json_text(it, "expect_account", NULL));
        to->params = gd_arena_strdup(f->arena, gd_json_text(it, "params", NULL));
        if (++f->nitems == GD_REQUEST_ITEMS_MAX)
            break;
    }
    if (f->nitems)
        f->scope = united_scope(f);
}

/* What is made with such a clock would expire at the wrong time. */
static bool clocks_apart(const struct gd_broker *b)
{
    int64_t skew = 0;

    return b->skew && b->skew(b->skew_arg, &skew) && (skew > SKEW_MAX_MS || skew < -SKEW_MAX_MS);
}

static void on_link(void *arg)
{
    struct gd_call *c = arg;
    struct start *s = c->state;
    struct gd_flow *f = &s->flow;

    if (s->link.err.reason) {
        start_fail(c, &s->link.err);
        return;
    }
    f->arena = c->arena;
    f->app = gd_app_find(c->b, s->app);
    /* An app that was moved to another workspace is not this client's any more. */
    if (!f->app || strcmp(f->app->app.workspace, s->link.workspace) != 0) {
        start_refuse(c, GD_R_APP_UNKNOWN, "this is not offered any more; ask the agency");
        return;
    }
    if (clocks_apart(c->b)) {
        start_refuse(c, GD_R_CLOCK_SKEW,
                     "the clocks are too far apart for anything new; the agency has to set its clock");
        return;
    }
    choose_items(s);
    if (f->nitems == 0) {
        start_refuse(c, GD_R_ITEM_CLOSED, "nothing is open here any more");
        return;
    }
    (void)snprintf(f->workspace, sizeof f->workspace, "%s", s->link.workspace);
    (void)snprintf(f->link, sizeof f->link, "%s", s->link.id);
    (void)snprintf(f->request, sizeof f->request, "%s", s->link.request);
    (void)snprintf(f->client, sizeof f->client, "%s", s->link.client);
    gd_id_make(f->id, "fl", gd_now(c->b->d.clock), c->b->d.rng);
    gd_dek_need(c->b, f->workspace, f->client, on_dek, c);
}

/* Approving is in the audit log before the platform hears of it. */
static void on_dek(void *arg, const struct gd_dek *dek, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct start *s = c->state;
    GD_AUTO_JSON data = json_pack("{s:s, s:s}", "app", s->app, "flow", s->flow.id);
    struct gd_audit_entry e = { .act = s->by_operator ? "grant.submit" : "portal.approve",
                                .phase = "request",
                                .workspace = s->flow.workspace,
                                .client = s->flow.client,
                                .subject = s->flow.request,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1,
                                .data = data };

    if (!dek)
        start_fail(c, err);
    else
        gd_audit_write(c->b->d.audit, &e, on_recorded, c);
}

static void on_recorded(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct start *s = c->state;
    struct gd_broker *b = c->b;
    struct gd_op_start o = { .platform = s->flow.app->app.platform,
                             .kind = GD_OP_REQUEST,
                             .app = s->flow.app->app.id,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = true,
                             .on_end = on_request_end,
                             .arg = c };
    unsigned char digest[32];
    char challenge[64];
    struct gd_flow_given given;

    if (err) {
        start_fail(c, err);
        return;
    }
    s->flow.nonce = random_text(b, c->arena);
    s->flow.verifier = random_text(b, c->arena);
    s->flow.state = random_text(b, c->arena);
    gd_sha256(digest, s->flow.verifier, strlen(s->flow.verifier));
    gd_b64url(challenge, digest, sizeof digest);
    gd_flow_given(b, &s->flow, &o.given, &given);
    o.given.args[GRANTD_ARG_CODE_CHALLENGE] = challenge;
    o.given.args[GRANTD_ARG_CODE_VERIFIER] = NULL;
    gd_op_start(&b->env, &o);
    gd_flow_given_done(&given);
}

/* item_state NULL: no item goes on with it. */
static void store_flow(struct gd_call *c, const char *status, const char *item_state, const char *steps,
                       int64_t look)
{
    struct start *s = c->state;
    struct gd_flow *f = &s->flow;
    struct gd_broker *b = c->b;
    struct gd_tx *tx = gd_tx_new(b->d.store);
    int64_t now = gd_now(b->d.clock);
    unsigned char state[32], session[32];
    const struct gd_flow_progress p = { .notes = f->notes, .surfaces = f->surfaces, .warnings = f->warnings };
    bool opened = !strcmp(status, "waiting") || json_object_size(f->notes) || json_array_size(f->surfaces) ||
                  json_object_size(f->warnings);
    GD_AUTO_FREE char *notes = opened ? gd_flow_progress_text(&p) : NULL;
    GD_AUTO_FREE unsigned char *sealed = NULL;
    GD_AUTO_JSON ids = json_array();
    GD_AUTO_FREE char *ids_text = NULL;
    struct gd_err err = { 0 };
    size_t n = 0;

    for (unsigned i = 0; i < f->nitems; i++)
        json_array_append_new(ids, json_string(f->items[i].id));
    ids_text = gd_json_dump(ids);
    sealed = gd_flow_seal(b, f, &n, &err);
    gd_keyring_lookup(b->d.keyring, "state", f->state, strlen(f->state), state);
    gd_keyring_lookup(b->d.keyring, "session", s->session, strlen(s->session), session);
    gd_tx_add(tx, &sql_flow_insert, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id), GD_P_TEXT(f->link),
              GD_P_TEXT(f->request), GD_P_TEXT(f->client), GD_P_TEXT(s->app),
              GD_P_TEXT(gd_arena_strf(c->arena, "%s.%s", f->workspace, s->app)), GD_P_BYTES(state, 32),
              GD_P_BYTES(session, 32), GD_P_BYTES(sealed, n), GD_P_TEXT(ids_text), GD_P_TEXT(notes),
              GD_P_TEXT(status), GD_P_INT(now), GD_P_INT(now + GD_FLOW_TTL_MS));
    for (unsigned i = 0; item_state && i < f->nitems; i++)
        gd_tx_add(tx, &sql_item_started, GD_P_TEXT(item_state), GD_P_TEXT(f->id), GD_P_TEXT(steps),
                  GD_P_INT(i == 0 ? look : 0), GD_P_INT(now), GD_P_TEXT(f->workspace),
                  GD_P_TEXT(f->items[i].id));
    if (look && b->ears.look)
        b->ears.look(b->ears.arg, f->workspace, f->items[0].id, look);
    s->left = gd_flow_left(b, tx, f->workspace, f->request);
    gd_tx_news(tx, f->workspace, f->client); /* its data key may be new */
    gd_store_commit(b->d.store, tx, on_flow_stored, c);
}

static bool has_opened(const struct gd_op_result *r)
{
    json_t *one;
    size_t i;

    json_array_foreach(r->surfaces, i, one)
    {
        if (!strcmp(gd_json_text(one, "outcome", ""), "open"))
            return true;
    }
    return false;
}

static void on_request_end(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_call *c = arg;
    struct start *s = c->state;
    GD_AUTO_FREE char *steps = NULL;

    (void)op;
    if (r->end == GD_OP_FAILED) {
        /* The client can only say the word; who can mend it reads the sentence here. */
        GD_LOG(c->b->d.log, GD_LOG_WARN, "flow.refused", GD_F_STR("request", s->flow.request),
               GD_F_STR("app", s->app), GD_F_ERR(&r->err));
        s->err = r->err;
    }
    if (r->end == GD_OP_FAILED && !has_opened(r)) {
        start_fail(c, &r->err);
        return;
    }
    s->flow.kept = json_incref(r->kept);
    s->flow.notes = json_incref(r->notes);
    s->flow.surfaces = json_incref(r->surfaces);
    s->flow.warnings = json_incref(r->warnings);
    if (r->end == GD_OP_FAILED) {
        store_flow(c, "waiting", NULL, NULL, 0);
        return;
    }
    if (r->end == GD_OP_DONE && r->res.redirect_url && s->by_operator) {
        start_refuse(c, GD_R_ITEM_CLOSED,
                     "only the client can go on here: it approves at the platform, by its link");
        return;
    }
    if (r->end == GD_OP_DONE && r->res.redirect_url) {
        s->result = json_pack("{s:s, s:s}", "redirect", r->res.redirect_url, "flow", s->flow.id);
        store_flow(c, "pending", "started", NULL, 0);
        return;
    }
    s->flow.nitems = 1; /* no consent that could be shared: the others are asked by themselves */
    steps = gd_json_dump(r->steps);
    s->result = json_pack("{s:O, s:s}", "steps", r->steps, "flow", s->flow.id);
    store_flow(c, "waiting", "waiting", steps, r->end == GD_OP_PENDING ? r->next_look_at : 0);
}

static void on_flow_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct start *s = c->state;
    json_t *result = s->result;

    (void)GD_FAULT("flow.asked");
    if (r == GD_STORE_OK)
        gd_flow_close_left(c->b, tx, s->left, s->flow.workspace);
    s->result = NULL;
    gd_flow_done(&s->flow);
    json_decref(s->items);
    gd_link_done(&s->link);
    if (gd_call_store_failed(c, r, err))
        json_decref(result);
    else if (s->err.reason)
        gd_call_error(c, &s->err);
    else
        gd_call_done(c, result);
}

/* ---- callback ---- */

struct back {
    struct gd_flow flow;
    json_t *query;
    char *context, *session, *raw, *link;
    unsigned char state[32]; /* as the store has it */
};

static void on_flow_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_apart(void *arg, bool met);
static void on_taken(void *arg, bool taken, const struct gd_err *err);
static void on_exchanged(void *arg, const struct gd_exchange_result *r);

static void back_end(struct gd_call *c)
{
    struct back *k = c->state;

    gd_flow_done(&k->flow);
    json_decref(k->query);
}

static void back_refuse(struct gd_call *c, enum gd_reason r, const char *text)
{
    back_end(c);
    GD_LOG(c->b->d.log, GD_LOG_WARN, "callback.refused", GD_F_STR("reason", gd_reason_word(r)),
           GD_F_STR("address", c->who.name));
    gd_call_fail(c, r, "%s", text);
}

/* Name of the state parameter: descriptions of providers may rename it. */
static const char *state_of(struct gd_broker *b, const char *context, const json_t *query)
{
    const char *dot = strchr(context, '.');
    struct gd_app_state *a = dot ? gd_app_find(b, dot + 1) : NULL;
    const json_t *name = a && a->app.description ? gd_json_at(a->app.description, "callback.state") : NULL;

    return gd_json_text(query, json_is_string(name) ? json_string_value(name) : "state", NULL);
}

static void read_flow(void *arg)
{
    struct gd_call *c = arg;
    struct back *k = c->state;
    struct gd_tx *tx = gd_tx_new(c->b->d.store);

    gd_tx_add(tx, &sql_flow_by_state, GD_P_BYTES(k->state, sizeof k->state));
    gd_tx_add(tx, &sql_flow_items, GD_P_BYTES(k->state, sizeof k->state));
    gd_tx_add(tx, &sql_flow_parts, GD_P_BYTES(k->state, sizeof k->state));
    gd_store_read(c->b->d.store, tx, on_flow_row, c);
}

void gd_flow_callback(struct gd_broker *b, const char *context, json_t *query, const char *raw,
                      const char *duplicate, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    struct gd_actor who = { -1, -1, -1, v->address, 0 };
    struct gd_call *c = gd_call_new(b, &who, NULL, reply, arg);
    struct back *k = gd_arena_alloc(c->arena, sizeof *k);
    const char *state = state_of(b, context, query);
    unsigned char hash[32];

    c->state = k;
    k->flow.arena = c->arena;
    k->query = json_incref(query);
    k->context = gd_arena_strdup(c->arena, context);
    k->session = gd_arena_strdup(c->arena, v->session);
    k->raw = gd_arena_strdup(c->arena, raw);
    if (duplicate)
        back_refuse(c, GD_R_PARAM_DUPLICATE, "a parameter of the platform's answer came twice");
    else if (!state || !*state)
        back_refuse(c, GD_R_STATE_MISSING, "the platform's answer came without a state");
    else if (!k->session)
        back_refuse(c, GD_R_SESSION_MISSING, "the browser sent no session cookie");
    else {
        gd_keyring_lookup(b->d.keyring, "state", state, strlen(state), hash);
        memcpy(k->state, hash, sizeof hash);
        gd_broker_catch_up(b, read_flow, c); /* it may have been begun on another node */
    }
}

static bool session_fits(struct gd_call *c, const struct gd_tx *tx, int col)
{
    struct back *k = c->state;
    unsigned char hash[32];
    size_t n = 0;
    const void *stored = gd_tx_bytes(tx, 0, 0, (size_t)col, &n);

    gd_keyring_lookup(c->b->d.keyring, "session", k->session, strlen(k->session), hash);
    return stored && n == sizeof hash && gd_same_bytes(stored, hash, n);
}

static int copy_flow(struct gd_call *c, const struct gd_tx *tx, struct gd_err *err)
{
    struct gd_flow *f = &((struct back *)c->state)->flow;
    const void *sealed;
    size_t n = 0;

    (void)snprintf(f->workspace, sizeof f->workspace, "%s", gd_tx_text(tx, 0, 0, 0));
    (void)snprintf(f->id, sizeof f->id, "%s", gd_tx_text(tx, 0, 0, 1));
    (void)snprintf(f->link, sizeof f->link, "%s", gd_tx_text(tx, 0, 0, 2));
    (void)snprintf(f->request, sizeof f->request, "%s", gd_tx_text(tx, 0, 0, 3));
    (void)snprintf(f->client, sizeof f->client, "%s", gd_tx_text(tx, 0, 0, 4));
    f->app = gd_app_find(c->b, gd_tx_text(tx, 0, 0, 5));
    f->confirm = gd_tx_int(tx, 0, 0, 14) != 0;
    gd_flow_items_from(f, tx, 1);
    if (!f->app)
        return gd_err_set(err, GD_R_APP_UNKNOWN, "this is not offered any more");
    if (gd_flow_read_progress(f, gd_tx_text(tx, 0, 0, 10), tx, 2, err))
        return -1;
    sealed = gd_tx_bytes(tx, 0, 0, 8, &n);
    return gd_flow_open(c->b, f, sealed, n, err);
}

static void on_flow_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct back *k = c->state;
    struct gd_err e = { 0 };

    if (r != GD_STORE_OK) {
        back_end(c);
        gd_call_store_failed(c, r, err);
        return;
    }
    if (gd_tx_rows(tx, 0) != 1)
        back_refuse(c, GD_R_STATE_UNKNOWN, "the platform's answer carries a state that was not made here");
    else if (strcmp(gd_tx_text(tx, 0, 0, 6), k->context) != 0)
        back_refuse(c, GD_R_CONTEXT_MISMATCH, "the answer came back at another app's address");
    else if (!session_fits(c, tx, 7))
        back_refuse(c, GD_R_SESSION_MISMATCH,
                    "the answer arrived in another browser than the one that asked");
    else if (strcmp(gd_tx_text(tx, 0, 0, 11), "pending") != 0)
        back_refuse(c, GD_R_STATE_ALREADY_USED, "this answer of the platform was used already");
    else if (gd_tx_int(tx, 0, 0, 13) < gd_now(c->b->d.clock))
        back_refuse(c, GD_R_FLOW_EXPIRED, "more than 15 minutes passed between asking and approving");
    else if (!strcmp(gd_tx_text(tx, 0, 0, 15), "cancelled"))
        back_refuse(c, GD_R_REQUEST_CANCELLED, "the agency took this request back");
    else if (gd_tx_rows(tx, 1) == 0)
        back_refuse(c, GD_R_ITEM_CLOSED, "this was declined, or is being approved in another window");
    else if (copy_flow(c, tx, &e))
        back_refuse(c, e.reason, e.text);
    else
        gd_meet_wait(c->b, &k->flow, GD_MEET_PATIENCE_MS, on_apart, c);
}

/* Whatever it meets: the platform's answer is of use only for a while. */
static void on_apart(void *arg, bool met)
{
    struct gd_call *c = arg;
    struct back *k = c->state;

    (void)met;
    gd_flow_take(c->b, &k->flow, &sql_flow_take, on_taken, c);
}

static void on_taken(void *arg, bool taken, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct back *k = c->state;

    if (err) {
        back_end(c);
        gd_call_error(c, err);
        return;
    }
    if (!taken) {
        back_refuse(c, GD_R_STATE_ALREADY_USED, "this answer of the platform was used already");
        return;
    }
    (void)GD_FAULT("flow.taken");
    gd_exchange_start(c->b, &k->flow, k->query, k->raw, NULL, on_exchanged, c);
}

static void on_exchanged(void *arg, const struct gd_exchange_result *r)
{
    struct gd_call *c = arg;
    struct back *k = c->state;
    const char *word =
        r->end == GD_EXCHANGE_GRANTED || r->end == GD_EXCHANGE_WAITING ? NULL : gd_reason_word(r->err.reason);
    json_t *result =
        json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "link", k->flow.link, "flow", k->flow.id, "outcome",
                  gd_exchange_word(r->end), "reason", word, "text", word ? r->err.text : NULL);

    gd_link_expect(c->b, &k->flow, r);
    back_end(c);
    gd_call_done(c, result);
}
