/* grant/take.c - a flow is taken before the platform is asked, by one run on one node. Where the store does
 * not say whether it was, its row is asked: a flow that is taken and that nobody runs would stand still, with
 * all that is being closed of its client, until the next start. */
#include "base/fault.h"
#include "grant/exchange.h"

#include <string.h>

#define ASK_AGAIN_MS 1000

GD_SQL(sql_row, "SELECT status, worker FROM flows WHERE workspace = $1 AND id = $2");

struct taking {
    struct gd_broker *b;
    const struct gd_flow *f; /* of the caller, who waits */
    gd_taken_fn *fn;
    void *arg;
    bool taken;
    struct gd_err err;
    uv_timer_t again;
};

static void on_closed(uv_handle_t *h)
{
    struct taking *t = h->data;
    struct gd_broker *b = t->b;

    t->fn(t->arg, t->taken, t->err.reason ? &t->err : NULL);
    gd_free(t);
    gd_busy(b, -1);
}

static void end(struct taking *t, bool taken)
{
    t->taken = taken;
    uv_close((uv_handle_t *)&t->again, on_closed);
}

static void end_failed(struct taking *t, const struct gd_err *err)
{
    gd_err_set(&t->err, GD_R_STORE_FAILED, "%s",
               err && err->text[0] ? err->text : "the store could not be used");
    end(t, false);
}

static void on_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

static void ask_row(uv_timer_t *timer)
{
    struct taking *t = timer->data;
    struct gd_tx *tx = gd_tx_new(t->b->d.store);

    gd_tx_add(tx, &sql_row, GD_P_TEXT(t->f->workspace), GD_P_TEXT(t->f->id));
    gd_store_read(t->b->d.store, tx, on_row, t);
}

/* Ours, when this process has it and no run of it is at work. */
static void on_row(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct taking *t = arg;
    const char *status, *worker;

    if (r != GD_STORE_OK && t->b->draining) {
        end_failed(t, err);
    } else if (r != GD_STORE_OK) {
        uv_timer_start(&t->again, ask_row, ASK_AGAIN_MS, 0);
    } else {
        status = gd_tx_text(tx, 0, 0, 0);
        worker = gd_tx_text(tx, 0, 0, 1);
        end(t, status && worker && !strcmp(status, "exchanging") &&
                   !strcmp(worker, gd_nodes_worker(t->b->d.nodes)) && !gd_map_get(&t->b->runs, t->f->id));
    }
}

static void on_taken(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct taking *t = arg;

    if (r == GD_STORE_OK && GD_FAULT("flow.unheard"))
        r = GD_STORE_UNCERTAIN;
    if (r == GD_STORE_UNCERTAIN)
        ask_row(&t->again);
    else if (r == GD_STORE_FAILED)
        end_failed(t, err);
    else
        end(t, gd_tx_changes(tx, 1) == 1);
}

void gd_flow_take(struct gd_broker *b, const struct gd_flow *f, const struct gd_sql *how, gd_taken_fn *fn,
                  void *arg)
{
    struct taking *t = gd_new(sizeof *t);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    *t = (struct taking){ .b = b, .f = f, .fn = fn, .arg = arg };
    gd_busy(b, 1);
    uv_timer_init(b->d.loop, &t->again);
    t->again.data = t;
    gd_client_hold(tx, f->workspace, f->client);
    gd_tx_add(tx, how, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id), GD_P_TEXT(gd_nodes_worker(b->d.nodes)),
              GD_P_TEXT(f->client));
    gd_store_commit(b->d.store, tx, on_taken, t);
}
