/* grant/sweep.c - looks that are due, a few at a time, in the order of the durable look_at column: a grant
 * waits for its next look in the store and not in memory. And the looks at all grants that a caller orders.
 */
#include "grant/keys.h"
#include "grant/peers.h"

#include <string.h>

#define AT_ONCE    16                /* looks of one sweep */
#define CLAIM_MS   (5 * 60 * 1000LL) /* a look that says nothing in so long was interrupted */
#define OVERDUE_MS 15000

GD_SQL(sql_due, "SELECT id FROM grants WHERE workspace = $1 AND look_at > 0 AND look_at <= $2"
                " AND lifecycle IN ('confirming', 'live', 'ended') ORDER BY look_at LIMIT $3");
/* Whoever moves it makes the look; the look then says when the next one is. */
GD_SQL(sql_claim, "UPDATE grants SET look_at = $3 WHERE workspace = $1 AND id = $2 AND look_at > 0"
                  " AND look_at <= $4");
GD_SQL(sql_items, "SELECT id FROM items WHERE workspace = $1 AND state = 'waiting' AND next_look_at > 0"
                  " AND next_look_at <= $2 ORDER BY next_look_at LIMIT $3");
GD_SQL(sql_all,
       "SELECT id FROM grants WHERE workspace = $1 AND id > $2 AND lifecycle IN ('confirming', 'live')"
       " AND ($3 = '' OR client_id = $3) ORDER BY id LIMIT $4");

/* ---- due ---- */

static void on_swept(void *arg, const struct gd_look_result *r)
{
    struct gd_broker *b = arg;

    b->looking--;
    if (r->err.reason && r->err.reason != GD_R_NOT_SUPPORTED)
        GD_LOG(b->d.log, GD_LOG_INFO, "look.failed", GD_F_ERR(&r->err));
}

struct claim {
    struct gd_broker *b;
    struct {
        unsigned workspace;
        char grant[GD_ID_TEXT_MAX];
    } list[AT_ONCE];
    unsigned count;
};

static void on_claimed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct claim *c = arg;
    struct gd_broker *b = c->b;

    (void)err; /* the next sweep asks again */
    b->looking--;
    for (unsigned i = 0; r == GD_STORE_OK && i < c->count && !b->draining; i++)
        if (gd_tx_changes(tx, i) > 0) {
            b->looking++;
            gd_look(b, b->workspaces[c->list[i].workspace], c->list[i].grant, false, on_swept, b);
        }
    gd_free(c);
    gd_busy(b, -1);
}

static void add_claim(struct claim *c, struct gd_tx *to, unsigned workspace, const char *grant)
{
    int64_t now = gd_now(c->b->d.clock);

    c->list[c->count].workspace = workspace;
    (void)snprintf(c->list[c->count++].grant, GD_ID_TEXT_MAX, "%s", grant);
    gd_tx_add(to, &sql_claim, GD_P_TEXT(c->b->workspaces[workspace]), GD_P_TEXT(grant),
              GD_P_INT(now + CLAIM_MS), GD_P_INT(now));
}

/* Items whose look is overdue: the node that was to make it is gone. */
static void overdue_items(struct gd_broker *b, const struct gd_tx *tx, unsigned workspace, size_t stmt)
{
    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++)
        gd_broker_look(b, b->workspaces[workspace], gd_tx_text(tx, stmt, i, 0));
}

static void on_due(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_broker *b = arg;
    struct claim *c = gd_new(sizeof *c);
    struct gd_tx *to = gd_tx_new(b->d.store);

    (void)err; /* the next sweep asks again */
    c->b = b;
    for (unsigned s = 0; r == GD_STORE_OK && s < b->nworkspaces && !b->draining; s++) {
        for (size_t i = 0; i < gd_tx_rows(tx, 2 * s) && c->count < AT_ONCE; i++)
            add_claim(c, to, s, gd_tx_text(tx, 2 * s, i, 0));
        overdue_items(b, tx, s, 2 * s + 1);
    }
    if (c->count) {
        gd_store_commit(b->d.store, to, on_claimed, c);
        return;
    }
    gd_tx_free(to);
    gd_free(c);
    b->looking--;
    gd_busy(b, -1);
}

void gd_broker_sweep(struct gd_broker *b)
{
    int64_t now = gd_now(b->d.clock);
    struct gd_tx *tx;

    if (b->draining)
        return;
    gd_peers_go_on(b);
    if (!b->taking_over)
        gd_endings_go_on(b);
    if (b->looking)
        return;
    gd_hubs_look(b);
    gd_rotate_sweep(b);
    tx = gd_tx_new(b->d.store);
    for (unsigned i = 0; i < b->nworkspaces; i++) {
        gd_tx_add(tx, &sql_due, GD_P_TEXT(b->workspaces[i]), GD_P_INT(now), GD_P_INT(AT_ONCE));
        gd_tx_add(tx, &sql_items, GD_P_TEXT(b->workspaces[i]), GD_P_INT(now - OVERDUE_MS), GD_P_INT(AT_ONCE));
    }
    b->looking++;
    gd_busy(b, 1);
    gd_store_read(b->d.store, tx, on_due, b);
}

/* ---- all of them ---- */

struct all {
    struct gd_call *c;
    char last[GD_ID_TEXT_MAX]; /* the page begins behind it */
    char ids[AT_ONCE][GD_ID_TEXT_MAX];
    unsigned nids, left; /* of this page */
    int64_t looked, failed;
    json_t *drifted;
};
struct one { /* of a page */
    struct all *all;
    unsigned i;
};

static void on_page(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

static void next_page(struct all *a)
{
    const char *client = gd_param(a->c, "client");
    struct gd_tx *tx = gd_tx_new(a->c->b->d.store);

    gd_tx_add(tx, &sql_all, GD_P_TEXT(a->c->workspace), GD_P_TEXT(a->last), GD_P_TEXT(client ? client : ""),
              GD_P_INT(AT_ONCE));
    gd_store_read(a->c->b->d.store, tx, on_page, a);
}

static void note_drift(struct all *a, const char *grant, json_t *differences)
{
    json_t *d;
    size_t i;

    json_array_foreach(differences, i, d)
    {
        json_t *row = json_copy(d);

        json_object_set_new(row, "grant", json_string(grant));
        if (json_array_size(a->drifted) < GD_VERIFY_LISTED_MAX)
            json_array_append_new(a->drifted, row);
        else
            json_decref(row);
    }
}

static void on_one(void *arg, const struct gd_look_result *r)
{
    struct one *o = arg;
    struct all *a = o->all;

    a->looked += r->err.reason == GD_R_OK;
    a->failed += r->err.reason != GD_R_OK;
    if (r->differences)
        note_drift(a, a->ids[o->i], r->differences);
    gd_free(o);
    if (--a->left == 0)
        next_page(a);
}

static void on_page(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct all *a = arg;
    struct gd_broker *b = a->c->b;
    size_t n = r == GD_STORE_OK ? gd_tx_rows(tx, 0) : 0;

    if (gd_call_store_failed(a->c, r, err)) {
        json_decref(a->drifted);
        return;
    }
    if (n == 0 || b->draining) {
        gd_call_done(a->c, json_pack("{s:I, s:I, s:o}", "looked", (json_int_t)a->looked, "failed",
                                     (json_int_t)a->failed, "differences", a->drifted));
        return;
    }
    a->left = a->nids = (unsigned)n;
    for (unsigned i = 0; i < a->nids; i++)
        (void)snprintf(a->ids[i], sizeof a->ids[i], "%s", gd_tx_text(tx, 0, i, 0));
    (void)snprintf(a->last, sizeof a->last, "%s", a->ids[n - 1]);
    for (unsigned i = 0; i < a->nids; i++) {
        struct one *o = gd_new(sizeof *o);

        *o = (struct one){ a, i };
        gd_look(b, a->c->workspace, a->ids[i], true, on_one, o);
    }
}

void gd_verify_all(struct gd_call *c)
{
    struct all *a = gd_arena_alloc(c->arena, sizeof *a);

    a->c = c;
    a->drifted = json_array();
    next_page(a);
}
