/* store/postgresql/apart.c - small transactions that wait for nobody of this process and for nobody's lock: a
 * node says that it lives, or ends another. They have no row in the feed: what is lost is asked again by
 * whoever needs it. Nor do they wait for a standby: a lease that a failover forgets is a shorter lease, and a
 * fence is in the log before whatever is built on it.
 *
 * A node that froze in the middle of a group, or whose network is gone, leaves a server's process behind that
 * holds its locks and waits: the time-outs of the server may not see it (in a pipeline it is not idle). So
 * who fences a node ends its processes first. */
#include "store/postgresql/pg.h"

#include "base/fault.h"

#include <string.h>

#define LOCK_MS 250 /* the next one in the queue is this node's own beat */

/* One that waits for a standby is let be: ended, it would tell a commit that the standby does not have. */
GD_SQL(sql_end,
       "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
       "usename = current_user AND substr(application_name, 1, length($1)) = $1 AND "
       "coalesce(wait_event, '') <> 'SyncRep'");

/* Where it is not allowed or not known, the server's own time-outs end them. */
static void end_processes(struct gd_engine *e, const char *node, int64_t until)
{
    GD_AUTO_FREE char *name = gd_strf("grantd/%s/", node);
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_err err;

    gd_tx_add(tx, &sql_end, GD_P_TEXT(name));
    if (gd_pg_ask(&e->apart, tx, until, &err) < 0)
        GD_LOG(e->host.log, GD_LOG_WARN, "store.not_ended", GD_F_STR("node", node), GD_F_ERR(&err));
    gd_tx_free(tx);
}

static const char *fenced(const struct gd_tx *tx)
{
    for (size_t i = 0; i < tx->nstmts; i++)
        if (tx->stmts[i].sql == &gd_pg_fence)
            return tx->stmts[i].params[0].p;
    return NULL;
}

/* The node that is to be fenced may have started anew since somebody found it dead. */
static bool still_wanted(struct gd_engine *e, const struct gd_tx *tx, int64_t until)
{
    const struct gd_stmt *first = &tx->stmts[0];
    struct gd_tx *ask;
    struct gd_err err;
    bool wanted;

    if (strncmp(first->sql->text, "SELECT", 6) != 0)
        return true;
    ask = gd_tx_new(NULL);
    (void)gd_tx_add_(ask, first->sql, first->params, first->nparams);
    wanted = gd_pg_ask(&e->apart, ask, until, &err) == 0 && gd_tx_rows(ask, 0) > 0;
    gd_tx_free(ask);
    return wanted;
}

static bool changed_all(const struct gd_tx *tx)
{
    for (size_t i = 0; i < tx->nstmts; i++)
        if (strncmp(tx->stmts[i].sql->text, "SELECT", 6) != 0 && tx->stmts[i].changes == 0)
            return false;
    return true;
}

static int run(struct gd_engine *e, struct gd_tx *tx, int64_t until, const char *end, struct gd_err *err)
{
    GD_AUTO_FREE char *wait = gd_strf("SET LOCAL lock_timeout = %d", LOCK_MS);
    struct gd_pg_run r;
    int rc;

    gd_pg_run_init(&r, &e->apart, until);
    if (!end) {
        gd_pg_begin(&r, "READ COMMITTED");
        gd_pg_command(&r, wait);
        gd_pg_command(&r, "SET LOCAL synchronous_commit = off");
        for (size_t i = 0; i < tx->nstmts; i++)
            gd_pg_stmt(&r, tx, &tx->stmts[i]);
    } else {
        gd_pg_command(&r, end);
    }
    rc = gd_pg_end(&r);
    if (rc < 0)
        gd_err_set(err, r.err.reason, "%s", r.err.text);
    if (rc < 0)
        gd_pg_drop(&e->apart); /* no half of a transaction is left behind */
    gd_pg_run_done(&r);
    return rc;
}

void gd_pg_apart(struct gd_engine *e, struct gd_tx *tx)
{
    int64_t until = gd_pg_now() + e->deadline_ms;
    const char *node = fenced(tx);
    struct gd_err err = { 0 };

    if (gd_pg_stopped(e, &err) || gd_pg_connect(&e->apart, until, &err) < 0 ||
        (e->unprepared && gd_pg_check_ours(&e->apart, until, &err) < 0)) {
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
        return;
    }
    if (node && !still_wanted(e, tx, until))
        return; /* nothing was changed */
    if (node)
        end_processes(e, node, until);
    if (gd_pg_connect(&e->apart, until, &err) < 0 || run(e, tx, until, NULL, &err) < 0) {
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
        return;
    }
    if (node)
        (void)GD_FAULT("node.fencing");
    if (run(e, tx, until, changed_all(tx) ? "COMMIT" : "ROLLBACK", &err) < 0)
        gd_tx_fail(tx, GD_STORE_UNCERTAIN, &err);
}
