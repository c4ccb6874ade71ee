/* grant/reconcile.c - the timers in memory are a cache of the due column. Now and then the two are compared:
 * what is due for longer than it may be and that nobody is working on is armed again, and counted. The count
 * must stay 0. What was woken in time and waits until its app has room is not late in this sense, however
 * long that takes: how much waits is in the scheduler's status. */
#include "grant/broker_int.h"

#include <string.h>

#define LATE_MS 60000
#define AT_ONCE 1000

GD_SQL(sql_late,
       "SELECT id FROM credentials WHERE workspace = $1 AND next_at < $2"
       " AND status IN ('current', 'retrying', 'uncertain', 'quarantined') ORDER BY next_at LIMIT $3");

static void on_late(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_broker *b = arg;
    int64_t now = gd_now(b->d.clock);

    (void)err;
    for (size_t s = 0; r == GD_STORE_OK && s < b->nworkspaces; s++)
        for (size_t i = 0; i < gd_tx_rows(tx, s); i++) {
            const char *text = gd_tx_text(tx, s, i, 0);
            struct gd_id id;
            uint32_t n = gd_id_parse(&id, "cr", text, strlen(text)) ? gd_index_cred(&b->ix, &id) : GD_NONE;

            if (n == GD_NONE || !gd_nodes_prefers(b->d.nodes, &id) || gd_refresh_in_flight(b, text) ||
                gd_cred_at(&b->ix, n)->app >= b->napps)
                continue;
            if (b->apps[gd_cred_at(&b->ix, n)->app].interlock.frozen || b->ears.waits(b->ears.arg, n))
                continue;
            b->late++;
            GD_LOG(b->d.log, GD_LOG_ERROR, "due.late", GD_F_STR("credential", text));
            gd_cred_due(b, n, now);
        }
    gd_busy(b, -1);
}

void gd_broker_reconcile(struct gd_broker *b)
{
    struct gd_tx *tx;

    if (b->draining)
        return;
    tx = gd_tx_new(b->d.store);
    for (unsigned i = 0; i < b->nworkspaces; i++)
        gd_tx_add(tx, &sql_late, GD_P_TEXT(b->workspaces[i]), GD_P_INT(gd_now(b->d.clock) - LATE_MS),
                  GD_P_INT(AT_ONCE));
    gd_busy(b, 1);
    gd_store_read(b->d.store, tx, on_late, b);
}
