/* grant/item.c - items that wait for somebody: what a guided step asked for is handed in, a pending ask is
 * looked at, an item is declined; and the pages that only read. */
#include "base/fault.h"
#include "grant/link.h"

#include <string.h>

GD_SQL(sql_waiting,
       "SELECT f.workspace, f.id, f.link_id, f.request_id, f.client_id, f.app, f.sealed, f.notes, f.status,"
       " r.confirm, f.credential_id, c.gen, c.status, c.account_id, c.scope, c.shape, c.retry_class,"
       " c.issued_at, c.expires_at, c.refresh_expires_at, c.horizon_at, v.attempt_id, v.parent_gen,"
       " v.created_at, v.sealed, i.next_look_at, r.expires_at FROM items i JOIN flows f ON f.workspace = "
       "i.workspace AND "
       "f.id = i.flow_id"
       " JOIN requests r ON r.workspace = i.workspace AND r.id = i.request_id"
       " LEFT JOIN credentials c ON c.workspace = f.workspace AND c.id = f.credential_id"
       " LEFT JOIN token_versions v ON v.workspace = c.workspace AND v.attempt_id = c.current_attempt"
       " WHERE i.workspace = $1 AND i.id = $2 AND i.state = 'waiting' AND ($3 = '' OR i.request_id = $3)");
enum { /* columns of a waiting flow */
       W_WORKSPACE,
       W_FLOW,
       W_LINK,
       W_REQUEST,
       W_CLIENT,
       W_APP,
       W_SEALED,
       W_NOTES,
       W_STATUS,
       W_CONFIRM,
       W_CRED,
       W_GEN,
       W_CRED_STATUS,
       W_ACCOUNT,
       W_SCOPE,
       W_SHAPE,
       W_RETRY,
       W_ISSUED,
       W_EXPIRES,
       W_REFRESH_EXPIRES,
       W_HORIZON,
       W_ATTEMPT,
       W_PARENT_GEN,
       W_CREATED,
       W_TOKENS,
       W_LOOK,
       W_UNTIL
};
GD_SQL(sql_waiting_items,
       "SELECT s.id, s.role, s.mode, s.asset, s.scope, s.expect_account, s.params FROM items s JOIN items i"
       " ON i.workspace = s.workspace AND i.flow_id = s.flow_id WHERE i.workspace = $1 AND i.id = $2"
       " AND s.state = 'waiting' ORDER BY s.position");
GD_SQL(sql_waiting_parts,
       "SELECT p.position, p.part FROM flow_parts p JOIN items i ON i.workspace = p.workspace"
       " AND i.flow_id = p.flow_id WHERE i.workspace = $1 AND i.id = $2 ORDER BY p.position");
GD_SQL(sql_waiting_take,
       "UPDATE flows SET status = 'exchanging', outcome = 'waiting', worker = $3 WHERE "
       "workspace = $1 AND id = $2"
       " AND status = 'waiting'" GD_CLIENT_STAYS); /* a crash puts back what waited: takeover.c */
/* What was asked of a person stays. */
GD_SQL(sql_waiting_later, "UPDATE items SET next_look_at = $3, reason = $4, reason_text = $5 WHERE"
                          " workspace = $1 AND id = $2 AND state = 'waiting'");
GD_SQL(sql_decline,
       "UPDATE items SET state = 'declined', reason = 'CONSENT_DENIED', reason_text = 'declined on the page',"
       " updated_at = $1 WHERE workspace = $2 AND id = $3 AND request_id = $4"
       " AND state IN ('open', 'started', 'waiting')");
GD_SQL(sql_flow_end_row,
       "SELECT link_id, session_hash, outcome, reason, reason_text FROM flows WHERE id = $1");

/* ---- pages ---- */

struct page {
    struct gd_link link;
    char *flow, *session, *outcome, *reason, *text;
    json_t *inputs;
    char *item;
    size_t left; /* statement of the declining that reads what flows left */
};

static void on_show(void *arg)
{
    struct gd_call *c = arg;
    struct page *p = c->state;
    json_t *page;

    if (p->link.err.reason) {
        gd_call_error(c, &p->link.err);
        return;
    }
    page = gd_link_page(c->b, &p->link);
    if (p->flow) {
        json_object_set_new(page, "outcome", gd_text_json(p->outcome));
        json_object_set_new(page, "reason", gd_text_json(p->reason));
        json_object_set_new(page, "text", gd_text_json(p->text));
    }
    gd_link_done(&p->link);
    gd_call_done(c, page);
}

static struct gd_call *visitor_call(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply,
                                    void *arg)
{
    struct gd_actor who = { -1, -1, -1, v->address, 0 };
    struct gd_call *c = gd_call_new(b, &who, NULL, reply, arg);
    struct page *p = gd_arena_alloc(c->arena, sizeof *p);

    p->session = gd_arena_strdup(c->arena, v->session);
    c->state = p;
    return c;
}

void gd_link_show(struct gd_broker *b, const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    struct gd_call *c = visitor_call(b, v, reply, arg);

    gd_link_load(c, v, &((struct page *)c->state)->link, on_show);
}

static void on_end_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct page *p = c->state;
    struct gd_visitor v = { .session = p->session };
    unsigned char hash[32];
    size_t n = 0;
    const void *stored;

    if (gd_call_store_failed(c, r, err))
        return;
    stored = gd_tx_rows(tx, 0) ? gd_tx_bytes(tx, 0, 0, 1, &n) : NULL;
    gd_keyring_lookup(c->b->d.keyring, "session", p->session ? p->session : "",
                      p->session ? strlen(p->session) : 0, hash);
    if (!stored || n != 32 || !p->session || !gd_same_bytes(stored, hash, 32)) {
        gd_call_fail(c, GD_R_FLOW_UNKNOWN, "there is no such attempt for this browser");
        return;
    }
    p->outcome = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 2));
    p->reason = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 3));
    p->text = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 4));
    v.link = gd_arena_strdup(c->arena, gd_tx_text(tx, 0, 0, 0));
    gd_link_load(c, &v, &p->link, on_show);
}

void gd_flow_show(struct gd_broker *b, const char *flow, const struct gd_visitor *v, gd_reply_fn *reply,
                  void *arg)
{
    struct gd_call *c = visitor_call(b, v, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    ((struct page *)c->state)->flow = gd_arena_strdup(c->arena, flow);
    gd_tx_add(tx, &sql_flow_end_row, GD_P_TEXT(flow));
    gd_store_read(b->d.store, tx, on_end_row, c);
}

/* ---- decline ---- */

static void on_declined(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    const struct page *p = c->state;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_changes(tx, 0) == 0) {
        gd_call_fail(c, GD_R_ITEM_CLOSED, "nothing is open here any more");
        return;
    }
    (void)GD_FAULT("item.declined");
    gd_flow_close_left(c->b, tx, p->left, p->link.workspace);
    gd_events_wake(c->b->d.events);
    gd_call_done(c, json_pack("{s:s}", "outcome", "declined"));
}

static void on_decline_recorded(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct page *p = c->state;
    struct gd_tx *tx;

    if (err) {
        gd_link_done(&p->link);
        gd_call_error(c, err);
        return;
    }
    tx = gd_tx_new(c->b->d.store);
    gd_tx_add(tx, &sql_decline, GD_P_INT(gd_now(c->b->d.clock)), GD_P_TEXT(p->link.workspace),
              GD_P_TEXT(p->item), GD_P_TEXT(p->link.request));
    p->left = gd_flow_left(c->b, tx, p->link.workspace, p->link.request);
    gd_event_add(c->b->d.events, tx, p->link.workspace, "request.declined", p->link.request, NULL);
    gd_link_done(&p->link);
    gd_store_commit(c->b->d.store, tx, on_declined, c);
}

static void on_decline_link(void *arg)
{
    struct gd_call *c = arg;
    struct page *p = c->state;
    struct gd_audit_entry e = { .act = "portal.decline",
                                .phase = "request",
                                .workspace = p->link.workspace,
                                .client = p->link.client,
                                .subject = p->item,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1 };

    if (p->link.err.reason)
        gd_call_error(c, &p->link.err);
    else
        gd_audit_write(c->b->d.audit, &e, on_decline_recorded, c);
}

void gd_item_decline(struct gd_broker *b, const struct gd_visitor *v, const char *item, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = visitor_call(b, v, reply, arg);
    struct page *p = c->state;

    p->item = gd_arena_strdup(c->arena, item);
    gd_link_load(c, v, &p->link, on_decline_link);
}

/* ---- items that wait ---- */

#define LOOK_AGAIN_MS 30000 /* when it could not be made */
#define LOOK_SOON_MS  1000
#define TOKEN_LEFT_MS 30000 /* a token that lives shorter is refreshed before the run */

struct waiting {
    struct gd_broker *b;
    const char *workspace, *item, *request; /* in the flow's arena */
    struct gd_flow flow;
    json_t *inputs;
    gd_exchange_fn *fn;
    void *arg;
    bool refreshed;
    bool may_open, opened; /* by an operator: an open item is begun first */
    struct gd_err refusal;
};

static void waiting_read(struct waiting *w);
static void on_waiting_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_waiting_taken(void *arg, bool taken, const struct gd_err *err);
static void on_waiting_end(void *arg, const struct gd_exchange_result *r);

static void waiting_end(struct waiting *w, const struct gd_exchange_result *r)
{
    struct gd_broker *b = w->b;

    if (w->fn)
        w->fn(w->arg, r);
    else if (r->err.reason == GD_R_CLOSING_FIRST && b->ears.look)
        b->ears.look(b->ears.arg, w->workspace, w->item, gd_now(b->d.clock) + GD_MEET_AGAIN_MS);
    else if ((r->err.reason == GD_R_STORE_FAILED || r->err.reason == GD_R_TOKEN_EXPIRED) && b->ears.look)
        b->ears.look(b->ears.arg, w->workspace, w->item, gd_now(b->d.clock) + LOOK_AGAIN_MS);
    gd_link_expect(b, &w->flow, r);
    gd_flow_done(&w->flow);
    json_decref(w->inputs);
    gd_arena_free(w->flow.arena);
    gd_free(w);
    gd_busy(b, -1);
}

static void waiting_refuse(struct waiting *w, enum gd_reason reason, const char *text)
{
    struct gd_exchange_result r = { .end = GD_EXCHANGE_FAILED, .err = { .reason = reason } };

    (void)snprintf(r.err.text, sizeof r.err.text, "%s", text);
    waiting_end(w, &r);
}

static void waiting_known(void *arg)
{
    waiting_read(arg);
}

/* Runs the platform's grant function for the flow that an item waits in. request NULL: of any; fn may be
 * NULL. */
static struct waiting *waiting_run(struct gd_broker *b, const char *workspace, const char *request,
                                   const char *item, json_t *inputs, gd_exchange_fn *fn, void *arg)
{
    struct waiting *w = gd_new(sizeof *w);

    w->b = b;
    w->flow.arena = gd_arena_new(0);
    w->workspace = gd_arena_strdup(w->flow.arena, workspace);
    w->item = gd_arena_strdup(w->flow.arena, item);
    w->request = gd_arena_strdup(w->flow.arena, request ? request : "");
    w->inputs = json_incref(inputs);
    w->fn = fn;
    w->arg = arg;
    gd_busy(b, 1);
    gd_broker_catch_up(b, waiting_known, w); /* it may have been begun on another node */
    return w;
}

static void on_opened(void *arg, json_t *result, const struct gd_err *err)
{
    struct waiting *w = arg;

    if (!result)
        waiting_refuse(w, err->reason, err->text);
    else
        waiting_read(w);
}

static void nothing_waits(struct waiting *w)
{
    const struct gd_flow_place at = { w->workspace, w->request, w->item };

    if (!w->may_open || w->opened) {
        waiting_refuse(w, GD_R_ITEM_CLOSED, "nothing is waiting here any more");
        return;
    }
    w->opened = true;
    gd_flow_start_item(w->b, &at, on_opened, w);
}

static void waiting_read(struct waiting *w)
{
    struct gd_tx *tx = gd_tx_new(w->b->d.store);

    gd_tx_add(tx, &sql_waiting, GD_P_TEXT(w->workspace), GD_P_TEXT(w->item), GD_P_TEXT(w->request));
    gd_tx_add(tx, &sql_waiting_items, GD_P_TEXT(w->workspace), GD_P_TEXT(w->item));
    gd_tx_add(tx, &sql_waiting_parts, GD_P_TEXT(w->workspace), GD_P_TEXT(w->item));
    gd_store_read(w->b->d.store, tx, on_waiting_row, w);
}

#define TEXT(col) gd_tx_text(tx, 0, 0, (col))
#define INT(col)  gd_tx_int(tx, 0, 0, (col))

static int copy_cred(struct waiting *w, const struct gd_tx *tx, struct gd_err *err)
{
    struct gd_flow *f = &w->flow;
    struct gd_flow_version v = { .attempt = TEXT(W_ATTEMPT),
                                 .parent_gen = INT(W_PARENT_GEN),
                                 .created_at = INT(W_CREATED) };

    v.sealed = gd_tx_bytes(tx, 0, 0, W_TOKENS, &v.n);
    (void)snprintf(f->cred.id, sizeof f->cred.id, "%s", TEXT(W_CRED));
    f->cred.gen = INT(W_GEN);
    f->cred.account = gd_arena_strdup(f->arena, TEXT(W_ACCOUNT));
    f->cred.scope = gd_arena_strdup(f->arena, TEXT(W_SCOPE));
    f->cred.clocks = (struct gd_clocks){ .shape = (uint32_t)INT(W_SHAPE),
                                         .retry_class = (uint32_t)INT(W_RETRY),
                                         .issued_at = INT(W_ISSUED),
                                         .expires_at = INT(W_EXPIRES),
                                         .refresh_expires_at = INT(W_REFRESH_EXPIRES),
                                         .horizon_at = INT(W_HORIZON) };
    if (!TEXT(W_CRED_STATUS) || !strcmp(TEXT(W_CRED_STATUS), "revoked"))
        return gd_err_set(err, GD_R_CREDENTIAL_REVOKED, "what this consent yielded was revoked meanwhile");
    return gd_flow_open_cred(w->b, f, &v, err);
}

static int waiting_copy(struct waiting *w, const struct gd_tx *tx, struct gd_err *err)
{
    struct gd_flow *f = &w->flow;
    size_t n = 0;
    const void *sealed = gd_tx_bytes(tx, 0, 0, W_SEALED, &n);

    (void)snprintf(f->workspace, sizeof f->workspace, "%s", TEXT(W_WORKSPACE));
    (void)snprintf(f->id, sizeof f->id, "%s", TEXT(W_FLOW));
    (void)snprintf(f->link, sizeof f->link, "%s", TEXT(W_LINK));
    (void)snprintf(f->request, sizeof f->request, "%s", TEXT(W_REQUEST));
    (void)snprintf(f->client, sizeof f->client, "%s", TEXT(W_CLIENT));
    f->app = gd_app_find(w->b, TEXT(W_APP));
    f->confirm = INT(W_CONFIRM) != 0;
    f->until = w->inputs ? 0 : INT(W_UNTIL);
    gd_flow_items_from(f, tx, 1);
    if (!f->app || f->nitems == 0)
        return gd_err_set(err, GD_R_APP_UNKNOWN, "the app of this item is no longer configured");
    if (gd_flow_read_progress(f, TEXT(W_NOTES), tx, 2, err))
        return -1;
    return gd_flow_open(w->b, f, sealed, n, err);
}

static void on_refreshed(void *arg, const struct gd_err *err)
{
    struct waiting *w = arg;

    (void)err; /* the row says what it is now */
    waiting_read(w);
}

/* True: the credential is refreshed first, then the row is read again. */
static bool refresh_first(struct waiting *w, const struct gd_tx *tx)
{
    const char *cred = TEXT(W_CRED);
    int64_t expires = INT(W_EXPIRES);
    struct gd_id id;
    uint32_t n = cred && gd_id_parse(&id, "cr", cred, strlen(cred)) ? gd_index_cred(&w->b->ix, &id) : GD_NONE;

    if (n == GD_NONE || w->refreshed)
        return false;
    if (!gd_refresh_in_flight(w->b, cred) &&
        (!expires || expires > gd_now(w->b->d.clock) + TOKEN_LEFT_MS || !TEXT(W_CRED_STATUS) ||
         strcmp(TEXT(W_CRED_STATUS), "current") != 0))
        return false;
    w->refreshed = true;
    gd_refresh(w->b, n, "flow", on_refreshed, w);
    return true;
}

/* Why the run cannot be made with the credential as it is; false: not at present. */
static bool cred_is_over(struct waiting *w, const struct gd_tx *tx, struct gd_err *err)
{
    const char *status = TEXT(W_CRED_STATUS);

    if (!status || !strcmp(status, "needs_consent") || !strcmp(status, "revoked"))
        return gd_err_set(err, GD_R_GRANT_NEEDS_CONSENT,
                          "what this consent yielded is no longer accepted; the client approves again") != 0;
    if (INT(W_EXPIRES) && INT(W_EXPIRES) <= gd_now(w->b->d.clock))
        gd_err_set(err, GD_R_TOKEN_EXPIRED, "the token of this consent has expired and is being renewed");
    return false;
}

static void on_later(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct waiting *w = arg;

    (void)tx;
    (void)r; /* this process looks again; another one later, by the date that was there before */
    (void)err;
    waiting_refuse(w, w->refusal.reason, w->refusal.text);
}

/* A look is made again soon; who hands something in has waited a moment, and does it once more. */
static void waiting_give_way(struct waiting *w)
{
    struct gd_tx *tx;

    (void)gd_meet_err(&w->refusal);
    if (w->fn) {
        waiting_refuse(w, w->refusal.reason, w->refusal.text);
        return;
    }
    tx = gd_tx_new(w->b->d.store);
    gd_tx_add(tx, &sql_waiting_later, GD_P_TEXT(w->workspace), GD_P_TEXT(w->item),
              GD_P_INT(gd_now(w->b->d.clock) + GD_MEET_AGAIN_MS),
              GD_P_TEXT(gd_reason_word(w->refusal.reason)), GD_P_TEXT(w->refusal.text));
    gd_store_commit(w->b->d.store, tx, on_later, w);
}

static void waiting_take(void *arg, bool met)
{
    struct waiting *w = arg;

    if (met && !w->refusal.reason)
        waiting_give_way(w);
    else
        gd_flow_take(w->b, &w->flow, &sql_waiting_take, on_waiting_taken, w);
}

static void on_waiting_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct waiting *w = arg;
    struct gd_err e = { 0 };

    if (r != GD_STORE_OK) {
        waiting_refuse(w, GD_R_STORE_FAILED, err ? err->text : "the store could not be read");
        return;
    }
    if (gd_tx_rows(tx, 0) == 0) {
        nothing_waits(w);
        return;
    }
    if (!w->fn && INT(W_LOOK) > gd_now(w->b->d.clock) + LOOK_SOON_MS) { /* another node was here before */
        waiting_refuse(w, GD_R_CONFLICT, "it has been looked at");
        return;
    }
    if (refresh_first(w, tx))
        return;
    if (waiting_copy(w, tx, &e)) {
        waiting_refuse(w, e.reason, e.text);
        return;
    }
    if (TEXT(W_CRED) && !cred_is_over(w, tx, &w->refusal)) {
        if (w->refusal.reason) { /* not now */
            waiting_refuse(w, w->refusal.reason, w->refusal.text);
            return;
        }
        (void)copy_cred(w, tx, &w->refusal);
    }
    gd_meet_wait(w->b, &w->flow, w->fn ? GD_MEET_PATIENCE_MS : 0, waiting_take, w);
}

static void on_waiting_taken(void *arg, bool taken, const struct gd_err *err)
{
    struct waiting *w = arg;

    if (err) {
        waiting_refuse(w, err->reason, err->text);
        return;
    }
    if (!taken) {
        waiting_refuse(w, GD_R_CONFLICT, "it is being looked at right now");
        return;
    }
    (void)GD_FAULT("item.taken");
    if (w->refusal.reason)
        gd_exchange_refuse(w->b, &w->flow, &w->refusal, on_waiting_end, w);
    else
        gd_exchange_start(w->b, &w->flow, NULL, NULL, w->inputs, on_waiting_end, w);
}

static void on_waiting_end(void *arg, const struct gd_exchange_result *r)
{
    waiting_end(arg, r);
}

void gd_broker_look(struct gd_broker *b, const char *workspace, const char *item)
{
    if (!strncmp(item, "gr", 2)) /* a grant whose end is tried again */
        gd_close_resume(b, workspace, item);
    else if (!b->draining)
        (void)waiting_run(b, workspace, NULL, item, NULL, NULL, NULL);
}

/* ---- handed in: by the client on the page ---- */

static void on_submitted(void *arg, const struct gd_exchange_result *r)
{
    struct gd_call *c = arg;

    if (r->end == GD_EXCHANGE_FAILED || r->end == GD_EXCHANGE_DECLINED)
        gd_call_error(c, &r->err);
    else
        gd_call_done(c, json_pack("{s:s, s:O?}", "outcome", gd_exchange_word(r->end), "grants", r->grants));
}

/* No browser says that at least one box has to be ticked: who sends none would see the same page again. */
static bool unanswered(const json_t *it, const json_t *inputs)
{
    const char *text = gd_json_text(it, "steps", ""), *name;
    GD_AUTO_JSON steps = *text ? gd_json_parse(text, strlen(text), GD_HTTP_BODY_MAX, NULL) : NULL;
    bool asks = false;
    json_t *step, *v;
    size_t i;

    json_array_foreach(steps, i, step) asks = asks || *gd_json_text(step, "ask", "");
    json_object_foreach((json_t *)(uintptr_t)inputs, name, v) asks = asks && !json_string_length(v);
    return asks;
}

static void on_submit_link(void *arg)
{
    struct gd_call *c = arg;
    struct page *p = c->state;
    json_t *it, *inputs = p->inputs;
    bool known = false, empty = false;
    size_t i;

    if (p->link.err.reason) {
        json_decref(inputs);
        gd_call_error(c, &p->link.err);
        return;
    }
    json_array_foreach(p->link.items, i, it)
    {
        if (strcmp(gd_json_text(it, "id", ""), p->item) != 0)
            continue;
        known = true;
        empty = unanswered(it, inputs);
    }
    gd_link_done(&p->link);
    if (!known)
        gd_call_fail(c, GD_R_ITEM_UNKNOWN, "there is no such item in this request");
    else if (empty)
        gd_call_fail(c, GD_R_STEP_UNANSWERED, "nothing was chosen or written");
    else
        (void)waiting_run(c->b, p->link.workspace, p->link.request, p->item, inputs, on_submitted, c);
    json_decref(inputs);
}

void gd_item_submit(struct gd_broker *b, const struct gd_visitor *v, const char *item, json_t *inputs,
                    gd_reply_fn *reply, void *arg)
{
    struct gd_call *c = visitor_call(b, v, reply, arg);
    struct page *p = c->state;

    p->item = gd_arena_strdup(c->arena, item);
    p->inputs = json_incref(inputs);
    gd_link_load(c, v, &p->link, on_submit_link);
}

/* ---- handed in: by the operator, as the client told it ---- */

/* One object of names and values from a list of them. */
static json_t *submitted_inputs(const json_t *list)
{
    json_t *inputs = json_object(), *one;
    size_t i;

    json_array_foreach(list, i, one) json_object_update(inputs, one);
    return inputs;
}

static void on_operator_submitted(void *arg, const struct gd_exchange_result *r)
{
    struct gd_call *c = arg;

    if (r->end == GD_EXCHANGE_FAILED || r->end == GD_EXCHANGE_DECLINED)
        gd_call_error(c, &r->err);
    else
        gd_request_reply(c, gd_param(c, "request"), NULL, r->grants);
}

void gd_grant_submit(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    json_t *inputs = submitted_inputs(json_object_get(params, "inputs"));

    waiting_run(b, c->workspace, gd_param(c, "request"), gd_param(c, "item"), inputs, on_operator_submitted,
                c)
        ->may_open = true;
    json_decref(inputs);
}
