/* store/postgresql/read.c - reads: several statements see one state of the database; what was lost with a
 * connection is asked again until the deadline. Scans have a connection of their own and are given row by
 * row. */
#include "store/postgresql/pg.h"

#include <poll.h>
#include <string.h>

#define SCAN_TIMES 60 /* the deadline, for one row to the next */

static int ask_once(struct gd_pg_conn *c, struct gd_tx *tx, int64_t until, bool *ret_lost)
{
    const struct gd_engine *e = c->engine;
    bool framed = tx->nstmts > 1 || e->unprepared;
    struct gd_pg_run r;
    int rc;

    gd_tx_reset(tx);
    gd_pg_run_init(&r, c, until);
    if (framed)
        gd_pg_begin(&r, "REPEATABLE READ READ ONLY");
    for (size_t i = 0; i < tx->nstmts; i++)
        gd_pg_stmt(&r, tx, &tx->stmts[i]);
    if (framed)
        gd_pg_command(&r, "COMMIT");
    rc = gd_pg_end(&r);
    *ret_lost = r.lost && !r.slow;
    if (rc < 0 && (framed || !strcmp(r.state, "26000")))
        gd_pg_drop(c); /* no half of a transaction is left behind */
    if (rc < 0 && (!strcmp(r.state, "26000") || !strcmp(r.state, "40001")))
        *ret_lost = true;
    if (rc < 0)
        gd_tx_fail(tx, GD_STORE_FAILED, &r.err);
    gd_pg_run_done(&r);
    return rc;
}

static void read_one(struct gd_pg_conn *c, struct gd_tx *tx)
{
    int64_t now = gd_pg_now(), until = (tx->since ? tx->since : now) + c->engine->deadline_ms;
    struct gd_err err = { 0 };
    bool again = true;
    unsigned turn = 0;

    if (until <= now) {
        gd_err_set(&err, GD_R_STORE_SLOW, "the database is too slow or was away");
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
        return;
    }
    while (again) {
        if (gd_pg_connect(c, until, &err) < 0) {
            gd_tx_fail(tx, GD_STORE_FAILED, &err);
            return;
        }
        if (ask_once(c, tx, until, &again) == 0)
            return;
        if (again)
            gd_pg_wait(turn++);
        again &= gd_pg_now() < until;
    }
}

void gd_pg_read(struct gd_engine *e, struct gd_tx *tx)
{
    read_one(&e->r, tx);
}

/* ---- small ones, together
 * ------------------------------------------------------------------------------------------------------- */

/* Each statement sees what is committed when its turn comes; so the frame needs no more. */
static int ask_all(struct gd_pg_conn *c, const struct gd_list *group, int64_t until)
{
    struct gd_pg_run r;
    int rc;

    gd_pg_run_init(&r, c, until);
    if (c->engine->unprepared)
        gd_pg_begin(&r, "READ COMMITTED");
    gd_list_each(it, group)
    {
        gd_tx_reset(gd_tx_of(it));
        gd_pg_stmt(&r, gd_tx_of(it), &gd_tx_of(it)->stmts[0]);
    }
    if (c->engine->unprepared)
        gd_pg_command(&r, "COMMIT");
    rc = gd_pg_end(&r);
    if (rc < 0)
        gd_pg_drop(c);
    gd_pg_run_done(&r);
    return rc;
}

/* One that fails fails the others with it: then each is asked alone, for as long as somebody waits for it. */
void gd_pg_soon(struct gd_engine *e, struct gd_list *group)
{
    int64_t until = gd_pg_now() + e->deadline_ms;
    struct gd_err err = { 0 };
    bool alone = group->next->next == group;

    gd_list_each(it, group)
    {
        alone |= gd_tx_of(it)->nstmts != 1;
        until = gd_tx_of(it)->since + e->deadline_ms < until ? gd_tx_of(it)->since + e->deadline_ms : until;
    }
    if (!alone && until > gd_pg_now() && gd_pg_connect(&e->soon, until, &err) == 0 &&
        ask_all(&e->soon, group, until) == 0)
        return;
    gd_list_each(it, group) read_one(&e->soon, gd_tx_of(it));
}

/* ---- scans
 * ------------------------------------------------------------------------------------------------------ */

static int wait_row(PGconn *pg, int64_t ms, struct gd_err *err)
{
    int64_t until = gd_pg_now() + ms;

    while (PQisBusy(pg)) {
        int unsent = PQflush(pg);
        struct pollfd p = { .fd = PQsocket(pg), .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0)) };

        if (p.fd < 0)
            return gd_err_set(err, GD_R_STORE_UNREACHABLE, "the connection to the database was lost");
        if (gd_pg_now() >= until)
            return gd_err_set(err, GD_R_STORE_SLOW, "the database did not answer in time");
        (void)poll(&p, 1, 1000);
        if ((p.revents & ~POLLOUT) && !PQconsumeInput(pg) && PQisBusy(pg))
            return gd_err_set(err, GD_R_STORE_UNREACHABLE, "the connection to the database was lost");
    }
    return 0;
}

static int give_rows(const PGresult *res, gd_row_fn *fn, void *arg, struct gd_err *err)
{
    struct gd_param cells[GD_STORE_PARAMS_MAX];
    struct gd_row row = { .cells = cells, .ncols = PQnfields(res) };
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE), *message = PQresultErrorMessage(res);

    if (PQresultStatus(res) == PGRES_FATAL_ERROR && !state) /* libpq's own word, not the server's */
        return gd_err_set(err, GD_R_STORE_UNREACHABLE, "the connection to the database was lost: %.*s",
                          (int)strcspn(message, "\r\n"), message);
    if (PQresultStatus(res) != PGRES_SINGLE_TUPLE && PQresultStatus(res) != PGRES_TUPLES_OK) {
        gd_pg_explain(err, state ? state : "", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
        return -1;
    }
    if (row.ncols > GD_STORE_PARAMS_MAX || !gd_pg_types_known(res))
        return gd_err_set(err, GD_R_STORE_FAILED, "a result is of a form that the store does not know");
    for (int i = 0; i < PQntuples(res); i++) {
        for (int k = 0; k < row.ncols; k++)
            gd_pg_value(res, i, k, &cells[k]);
        fn(arg, &row);
    }
    return 0;
}

static int scan_rows(struct gd_pg_conn *c, const char *text, gd_row_fn *fn, void *arg, struct gd_err *err)
{
    int64_t ms = c->engine->deadline_ms * SCAN_TIMES;
    PGresult *res = NULL;
    int rc = 0;

    if (!PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL, 1) || !PQsetSingleRowMode(c->pg))
        return gd_err_set(err, GD_R_STORE_UNREACHABLE, "the connection to the database was lost");
    while (rc == 0 && (rc = wait_row(c->pg, ms, err)) == 0 && (res = PQgetResult(c->pg))) {
        rc = give_rows(res, fn, arg, err);
        PQclear(res);
    }
    return rc;
}

/* A connection in the middle of a transaction that only reads; everything it is asked sees one state, that of
 * now: the server takes its snapshot with the first question, not with BEGIN. */
static int look(struct gd_pg_conn *c, struct gd_err *err)
{
    struct gd_pg_run r;
    int rc;

    if (gd_pg_connect(c, gd_pg_now() + c->engine->deadline_ms, err) < 0)
        return -1;
    gd_pg_run_init(&r, c, gd_pg_now() + c->engine->deadline_ms);
    gd_pg_begin(&r, "REPEATABLE READ READ ONLY");
    gd_pg_command(&r, "SELECT 1");
    rc = gd_pg_end(&r);
    if (rc < 0)
        gd_err_set(err, r.err.reason, "%s", r.err.text);
    gd_pg_run_done(&r);
    if (rc == 0 && !PQexitPipelineMode(c->pg))
        rc = gd_err_set(err, GD_R_STORE_UNREACHABLE, "the connection to the database was lost");
    return rc;
}

int gd_pg_scan(struct gd_engine *e, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err)
{
    struct gd_pg_conn *own = e->view ? NULL : gd_new(sizeof *own), *c = own ? own : e->view;
    struct gd_err why = { 0 };
    bool travels;
    GD_AUTO_FREE char *text = gd_pg_translate(sql->text, 0, e->era, &travels);
    int rc = travels ? gd_err_set(&why, GD_R_INTERNAL, "a scan takes no clock") : 0;

    if (own)
        gd_pg_conn_init(own, e, "scan");
    if (rc == 0 && own)
        rc = look(own, &why);
    if (rc == 0)
        rc = scan_rows(c, text, fn, arg, &why);
    if (rc < 0)
        gd_err_set(err, why.reason, "%s", why.text);
    if (own)
        gd_pg_conn_done(own);
    gd_free(own);
    return rc;
}

int gd_pg_view(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
               struct gd_err *err)
{
    struct gd_err why = { 0 };
    struct gd_engine *e;

    if (gd_pg_new(&e, o, host, err) < 0)
        return -1;
    e->view = gd_new(sizeof *e->view);
    gd_pg_conn_init(e->view, e, "view");
    if (look(e->view, &why) < 0) {
        gd_pg_close(e);
        return gd_err_set(err, why.reason, "%s", why.text);
    }
    *ret = e;
    return 0;
}
