/* daemon/whole.c - are the files of the store whole? Small ones are looked at before the daemon is ready. To
 * read a large one takes seconds, on a slow disk minutes: it is looked at beside the vends, which need
 * nothing but the index and single reads. Until then nothing is changed in it (store.h) and the daemon does
 * nothing of its own accord: no refresh, no look, no revoke that was interrupted. A file that is damaged ends
 * the daemon.
 */
#include "base/mem.h"
#include "daemon/daemon.h"

int gd_daemon_begin(struct gd_daemon *d, struct gd_err *err)
{
    if (!d->whole)
        return 0;
    if (gd_sched_start(d->sched, err))
        return -1;
    gd_nodes_start(d->nodes);
    d->acting = true;
    gd_broker_resume(d->broker);
    return 0;
}

static void on_looked(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_daemon *d = arg;

    (void)tx;
    d->looking--;
    if (r != GD_STORE_OK && !d->failed && !d->stopping) {
        d->failed = true;
        d->why = *err;
    }
    d->whole = d->looking == 0 && !d->failed && !d->stopping;
}

static void look(struct gd_daemon *d, gd_tx_fn *done)
{
    d->looking = 2;
    d->looked_at = gd_mono(gd_clock_system());
    gd_store_check(d->keys, done, d);
    gd_store_check(d->store, done, d);
}

/* Time that somebody moves waits for nobody, so everything has to be there when it begins to move. */
static bool is_large(const struct gd_daemon *d)
{
    return gd_store_bytes(d->store) + gd_store_bytes(d->keys) > GD_STORE_CHECK_FIRST && !d->o.virtual_clock;
}

int gd_daemon_look_first(struct gd_daemon *d, struct gd_err *err)
{
    if (is_large(d))
        return 0;
    look(d, on_looked);
    while (d->looking)
        uv_run(&d->loop, UV_RUN_ONCE);
    if (d->failed)
        *err = d->why;
    return d->failed ? -1 : 0;
}

static void on_looked_beside(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_daemon *d = arg;

    on_looked(arg, tx, r, err);
    if (d->looking || d->stopping)
        return;
    if (d->whole)
        GD_LOG(d->log, GD_LOG_INFO, "store.whole",
               GD_F_INT("took_ms", gd_mono(gd_clock_system()) - d->looked_at));
    d->failed |= gd_daemon_begin(d, &d->why) != 0;
    if (!d->failed)
        return;
    gd_daemon_say_failed(d, &d->why);
    gd_daemon_stop(d);
}

void gd_daemon_look_beside(struct gd_daemon *d)
{
    if (!d->whole)
        look(d, on_looked_beside);
}
