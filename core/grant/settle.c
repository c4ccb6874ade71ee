/* grant/settle.c - how a run of a platform's grant function ends without a grant: it waits with all that is
 * known, or its items are open again. And flows that no item goes on with any more, because the client or the
 * agency took them back, or began them anew: what was opened on the way becomes grants that end at once, so
 * that each place is closed at the platform and looked at. Such a flow is "left" in the store from the commit
 * that took its items away until the commit of those grants; the next start goes on with it. */
#include "base/fault.h"
#include "grant/exchange_int.h"
#include "grant/link.h"

#include <string.h>

#define SETTLE_RETRY_MS 1000

GD_SQL(sql_items_back,
       "UPDATE items SET state = $1, reason = $2, reason_text = $3, next_look_at = 0, updated_at = $4"
       " WHERE workspace = $5 AND flow_id = $6 AND state IN ('open', 'started', 'waiting')");
GD_SQL(sql_flow_end, "UPDATE flows SET status = $1, outcome = $2, reason = $3, reason_text = $4, notes = NULL"
                     " WHERE workspace = $5 AND id = $6");
GD_SQL(sql_parts_end, "DELETE FROM flow_parts WHERE workspace = $1 AND flow_id = $2");
GD_SQL(sql_flow_apart, "UPDATE flows SET status = 'left', outcome = $1, reason = $2, reason_text = $3,"
                       " notes = $4, worker = $7, closing_until = gd_now() + $8"
                       " WHERE workspace = $5 AND id = $6");
GD_SQL(sql_items_wait, "UPDATE items SET state = 'waiting', steps = COALESCE($1, steps), next_look_at = $2,"
                       " reason = $6, reason_text = $7, updated_at = $3 WHERE workspace = $4 AND flow_id = $5"
                       " AND state IN ('open', 'started', 'waiting')");
GD_SQL(sql_flow_wait, "UPDATE flows SET status = 'waiting', outcome = 'waiting', notes = $1, sealed = $2"
                      " WHERE workspace = $3 AND id = $4");

GD_SQL(
    sql_leave,
    "UPDATE flows SET status = 'left', worker = $3, closing_until = gd_now() + $4 WHERE workspace = $1 AND "
    "request_id = $2"
    " AND status IN ('pending', 'waiting') AND (credential_id IS NOT NULL OR notes IS NOT NULL)"
    " AND NOT EXISTS (SELECT 1 FROM items i WHERE i.workspace = flows.workspace"
    " AND i.request_id = flows.request_id AND i.flow_id = flows.id AND i.state IN ('started', 'waiting'))");
GD_SQL(sql_left, "SELECT id FROM flows WHERE workspace = $1 AND request_id = $2 AND status = 'left'");
GD_SQL(sql_left_flow,
       "SELECT f.link_id, f.request_id, f.client_id, f.app, f.items, f.notes, f.credential_id, c.gen,"
       " c.account_id, c.scope, f.reason, f.reason_text FROM flows f LEFT JOIN credentials c ON c.workspace "
       "= f.workspace"
       " AND c.id = f.credential_id WHERE f.workspace = $1 AND f.id = $2 AND f.status = 'left'");
GD_SQL(sql_left_items,
       "SELECT i.id, i.role, i.mode, i.asset, i.scope, i.expect_account, i.params FROM items i JOIN flows f"
       " ON f.workspace = i.workspace AND f.request_id = i.request_id WHERE f.workspace = $1 AND f.id = $2"
       " ORDER BY i.position");

GD_SQL(sql_left_parts, "SELECT position, part FROM flow_parts WHERE workspace = $1 AND flow_id = $2"
                       " ORDER BY position");

static void on_settled(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* ---- it waits ---- */

void gd_exchange_put_back(struct gd_exchange *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    const struct gd_flow *f = x->f;
    GD_AUTO_FREE unsigned char *sealed = NULL;
    struct gd_err err;
    size_t n = 0;

    sealed = gd_flow_seal(x->b, f, &n, &err);
    gd_tx_add(tx, &sql_items_wait, GD_P_TEXT(x->steps), GD_P_INT(x->look_at), GD_P_INT(gd_now(x->b->d.clock)),
              GD_P_TEXT(f->workspace), GD_P_TEXT(f->id),
              GD_P_TEXT(x->met ? gd_reason_word(x->result.err.reason) : NULL),
              GD_P_TEXT(x->met ? x->result.err.text : NULL));
    gd_reports_save(&x->reports, tx, f);
    gd_tx_add(tx, &sql_flow_wait, GD_P_TEXT(x->progress), GD_P_BYTES(sealed, n), GD_P_TEXT(f->workspace),
              GD_P_TEXT(f->id));
    gd_exchange_add_warnings(x, tx);
    x->left = gd_flow_left(x->b, tx, f->workspace, f->request);
    gd_store_commit(x->b->d.store, tx, on_settled, x);
}

/* ---- its items are open again ---- */

/* Another account's tokens came after half of the work: what was opened is the first one's. */
static bool is_apart(const struct gd_exchange *x)
{
    return x->mismatch && x->gen > 0 && x->progress;
}

static void open_again(struct gd_exchange *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    const struct gd_flow *f = x->f;
    bool declined = x->result.end == GD_EXCHANGE_DECLINED;
    const char *word = gd_reason_word(x->result.err.reason), *text = x->result.err.text;
    const char *end = gd_exchange_word(x->result.end);

    gd_tx_add(tx, &sql_items_back, GD_P_TEXT(declined ? "declined" : "open"), GD_P_TEXT(word),
              GD_P_TEXT(text), GD_P_INT(gd_now(x->b->d.clock)), GD_P_TEXT(f->workspace), GD_P_TEXT(f->id));
    if (is_apart(x)) {
        gd_reports_save(&x->reports, tx, f);
        gd_tx_add(tx, &sql_flow_apart, GD_P_TEXT(end), GD_P_TEXT(word), GD_P_TEXT(text),
                  GD_P_TEXT(x->progress), GD_P_TEXT(f->workspace), GD_P_TEXT(f->id),
                  GD_P_TEXT(gd_nodes_worker(x->b->d.nodes)), GD_P_INT(gd_closing_ms(x->b)));
    } else {
        gd_tx_add(tx, &sql_parts_end, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id));
        gd_tx_add(tx, &sql_flow_end, GD_P_TEXT("failed"), GD_P_TEXT(end), GD_P_TEXT(word), GD_P_TEXT(text),
                  GD_P_TEXT(f->workspace), GD_P_TEXT(f->id));
    }
    if (x->mismatch && x->rec)
        gd_journal_statements(x->b, tx, x->rec, true);
    if (!x->leaves)
        gd_event_add(x->b->d.events, tx, f->workspace, declined ? "request.declined" : "request.failed",
                     f->request, NULL);
    x->left = gd_flow_left(x->b, tx, f->workspace, f->request);
    gd_store_commit(x->b->d.store, tx, on_settled, x);
}

static void on_settle_again(uv_timer_t *t)
{
    struct gd_exchange *x = t->data;

    if (x->back)
        gd_exchange_put_back(x);
    else
        open_again(x);
}

static void on_settled(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_exchange *x = arg;

    (void)GD_FAULT(x->back ? "flow.waits" : "flow.failed");
    if (r != GD_STORE_OK) {
        GD_LOG(x->b->d.log, GD_LOG_ERROR, "flow.settle_failed", GD_F_STR("flow", x->f->id), GD_F_ERR(err));
        if (!x->b->draining) { /* until then the item stands still: nobody could begin it again */
            uv_timer_start(&x->again, on_settle_again, SETTLE_RETRY_MS, 0);
            return;
        }
        json_array_clear(x->orphans); /* the next start settles it */
    } else {
        gd_flow_close_left(x->b, tx, x->left,
                           x->f->workspace); /* this one, where it was taken back meanwhile */
        if (x->back && gd_tx_changes(tx, 0) && x->look_at && x->b->ears.look)
            x->b->ears.look(x->b->ears.arg, x->f->workspace, x->f->items[0].id, x->look_at);
    }
    gd_exchange_finish(x);
}

void gd_exchange_fail(struct gd_exchange *x, bool declined)
{
    x->result.end = declined ? GD_EXCHANGE_DECLINED : GD_EXCHANGE_FAILED;
    if (gd_made_failed(x)) {
        x->last = true;
        gd_exchange_commit(x);
        return;
    }
    if (x->gen > 0 && !is_apart(x)) /* tokens without a grant: ended, unless others use them */
        json_array_append_new(x->orphans, json_string(x->cred));
    open_again(x);
}

void gd_exchange_refuse(struct gd_broker *b, struct gd_flow *f, const struct gd_err *err, gd_exchange_fn *fn,
                        void *arg)
{
    struct gd_exchange *x = gd_exchange_new(b, f, fn, arg);

    x->result.err = *err;
    if (f->cred.id[0])
        x->gen = x->gen > 0 ? x->gen : 1; /* it is there, though it may not be opened */
    gd_exchange_fail(x, false);
}

/* ---- flows that no item goes on with ---- */

struct leaving {
    struct gd_broker *b;
    const char *workspace, *id; /* in the flow's arena */
    struct gd_flow flow;
};

size_t gd_flow_left(struct gd_broker *b, struct gd_tx *tx, const char *workspace, const char *request)
{
    gd_tx_add(tx, &sql_leave, GD_P_TEXT(workspace), GD_P_TEXT(request),
              GD_P_TEXT(gd_nodes_worker(b->d.nodes)), GD_P_INT(gd_closing_ms(b)));
    return gd_tx_add(tx, &sql_left, GD_P_TEXT(workspace), GD_P_TEXT(request));
}

static void leaving_free(struct leaving *l)
{
    struct gd_broker *b = l->b;

    (void)gd_map_del(&b->leaving, l->id);
    gd_flow_done(&l->flow);
    gd_arena_free(l->flow.arena);
    gd_free(l);
    gd_busy(b, -1);
}

static void on_left(void *arg, const struct gd_exchange_result *r)
{
    struct leaving *l = arg;

    gd_link_expect(l->b, &l->flow, r);
    leaving_free(l);
}

/* The item that the flow was for; a new flow may have it by now. */
static bool take_item(struct gd_flow *f, const char *ids)
{
    GD_AUTO_JSON list = gd_json_parse(ids, strlen(ids), GD_CRED_BLOB_MAX, NULL);
    const char *first = json_string_value(json_array_get(list, 0));

    for (unsigned i = 0; first && i < f->nitems; i++)
        if (!strcmp(f->items[i].id, first)) {
            f->items[0] = f->items[i];
            f->nitems = 1;
            return true;
        }
    return false;
}

static bool copy_left(struct leaving *l, const struct gd_tx *tx, struct gd_err *err)
{
    struct gd_flow *f = &l->flow;

    (void)snprintf(f->workspace, sizeof f->workspace, "%s", l->workspace);
    (void)snprintf(f->id, sizeof f->id, "%s", l->id);
    (void)snprintf(f->link, sizeof f->link, "%s", gd_tx_text(tx, 0, 0, 0));
    (void)snprintf(f->request, sizeof f->request, "%s", gd_tx_text(tx, 0, 0, 1));
    (void)snprintf(f->client, sizeof f->client, "%s", gd_tx_text(tx, 0, 0, 2));
    f->app = gd_app_find(l->b, gd_tx_text(tx, 0, 0, 3));
    gd_flow_items_from(f, tx, 1);
    if (gd_tx_text(tx, 0, 0, 6)) {
        (void)snprintf(f->cred.id, sizeof f->cred.id, "%s", gd_tx_text(tx, 0, 0, 6));
        f->cred.gen = gd_tx_int(tx, 0, 0, 7);
        f->cred.account = gd_arena_strdup(f->arena, gd_tx_text(tx, 0, 0, 8));
        f->cred.scope = gd_arena_strdup(f->arena, gd_tx_text(tx, 0, 0, 9));
    }
    if (!f->app || !take_item(f, gd_tx_text(tx, 0, 0, 4)))
        return gd_err_set(err, GD_R_APP_UNKNOWN, "its app is no longer configured") == 0;
    return gd_flow_read_progress(f, gd_tx_text(tx, 0, 0, 5), tx, 2, err) == 0;
}

static void on_left_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct leaving *l = arg;
    struct gd_err e = { 0 };
    struct gd_exchange *x;

    (void)err;
    if (GD_FAULT("left.unread"))
        r = GD_STORE_FAILED;
    if (r != GD_STORE_OK) /* it stays "left": the next sweep goes on with it */
        gd_ending_note(l->b, l->workspace, l->id);
    if (r != GD_STORE_OK || gd_tx_rows(tx, 0) == 0) {
        leaving_free(l);
        return;
    }
    if (!copy_left(l, tx, &e)) { /* what it has opened stands at the platform */
        GD_LOG(l->b->d.log, GD_LOG_ERROR, "flow.left", GD_F_STR("flow", l->id), GD_F_ERR(&e));
        leaving_free(l);
        return;
    }
    x = gd_exchange_new(l->b, &l->flow, on_left, l);
    x->leaves = true;
    x->gen = l->flow.cred.id[0] && x->gen == 0 ? 1 : x->gen;
    if (gd_tx_text(tx, 0, 0, 10))
        gd_err_set(&x->result.err, gd_reason_find(gd_tx_text(tx, 0, 0, 10)), "%s", gd_tx_text(tx, 0, 0, 11));
    else
        gd_err_set(&x->result.err, GD_R_ITEM_CLOSED, "it was taken back, or begun anew, before its end");
    gd_exchange_fail(x, false);
}

void gd_flow_leave(struct gd_broker *b, const char *workspace, const char *id)
{
    struct leaving *l;
    struct gd_tx *tx;

    if (b->draining || gd_map_get(&b->leaving, id))
        return;
    (void)GD_FAULT("flow.left");
    l = gd_new(sizeof *l);
    l->b = b;
    l->flow.arena = gd_arena_new(0);
    l->workspace = gd_arena_strdup(l->flow.arena, workspace);
    l->id = gd_arena_strdup(l->flow.arena, id);
    (void)gd_map_set(&b->leaving, l->id, l);
    gd_busy(b, 1);
    tx = gd_tx_new(b->d.store);
    gd_tx_add(tx, &sql_left_flow, GD_P_TEXT(workspace), GD_P_TEXT(id));
    gd_tx_add(tx, &sql_left_items, GD_P_TEXT(workspace), GD_P_TEXT(id));
    gd_tx_add(tx, &sql_left_parts, GD_P_TEXT(workspace), GD_P_TEXT(id));
    gd_store_read(b->d.store, tx, on_left_row, l);
}

void gd_flow_close_left(struct gd_broker *b, const struct gd_tx *tx, size_t stmt, const char *workspace)
{
    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++)
        gd_flow_leave(b, workspace, gd_tx_text(tx, stmt, i, 0));
}
