/* store/postgresql/scrub.c - no copy of what was deleted stays in the tables' files: small tables are written
 * anew, large ones are vacuumed, which frees the room of dead rows but need not overwrite it. A row that some
 * transaction might still see is carried over into the new file, so those that began before are waited for;
 * and the server does not learn what stands in our columns, for what it learned would outlive the rows. What
 * its log, its standbys and its backups still hold is their owner's business; what grantd seals is gone with
 * its key all the same. */
#include "store/postgresql/pg.h"

#include <time.h>

#define SCRUB_TIMES 30   /* the deadline */
#define WAIT_MS     2000 /* others who write wait meanwhile: rather later than for long */
#define LOOK_MS     10

/* Whoever began before the next number was given out may see what was deleted until now. */
GD_SQL(sql_next, "SELECT (pg_snapshot_xmax(pg_current_snapshot())::text)::bigint");
GD_SQL(sql_older,
       "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (datname = current_database()"
       " OR datname IS NULL) AND (age(backend_xmin) > age(($1::bigint & 4294967295)::text::xid)"
       " OR age(backend_xid) > age(($1::bigint & 4294967295)::text::xid))");
/* Columns with values of people; our own names stand in indexes, and the planner needs to know about them. */
GD_SQL(sql_learned,
       "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN "
       "pg_attribute a ON a.attrelid = c.oid WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND "
       "NOT a.attisdropped AND a.atttypid IN ('text'::regtype, 'bytea'::regtype) AND "
       "coalesce(a.attstattarget, -1) <> 0 AND pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (SELECT 1 "
       "FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey)) ORDER BY 1, 2");

GD_SQL(sql_tables,
       "SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = "
       "c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname NOT IN ('feed', "
       "'installation', 'schema_migrations') ORDER BY c.relname");

static int command(struct gd_pg_conn *c, const char *text, int64_t until, struct gd_err *err)
{
    struct gd_pg_run r;
    int rc;

    gd_pg_run_init(&r, c, until);
    gd_pg_command(&r, text);
    rc = gd_pg_end(&r);
    if (rc < 0)
        gd_err_set(err, r.err.reason, "%s", r.err.text);
    gd_pg_run_done(&r);
    return rc;
}

static int vacuum(struct gd_pg_conn *c, const struct gd_tx *tables, int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    int rc = 0;

    for (size_t i = 0; i < gd_tx_rows(tables, 0) && rc == 0; i++) {
        const char *name = gd_tx_text(tables, 0, i, 0);
        bool small = gd_tx_int(tables, 0, i, 1) <= GD_STORE_SCRUB_MAX;
        GD_AUTO_FREE char *text = gd_strf("VACUUM %s\"%s\".\"%s\"", small ? "(FULL) " : "", e->schema, name);

        if (!small)
            GD_LOG(e->host.log, GD_LOG_WARN, "store.not_rewritten", GD_F_STR("table", name));
        rc = command(c, text, until, err);
    }
    return rc;
}

static int ask_number(struct gd_pg_conn *c, const struct gd_sql *sql, int64_t arg, int64_t until,
                      int64_t *ret, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    int rc;

    if (sql == &sql_next)
        gd_tx_add_(tx, sql, NULL, 0);
    else
        gd_tx_add(tx, sql, GD_P_INT(arg));
    rc = gd_pg_ask(c, tx, until, err);
    if (rc == 0)
        *ret = gd_tx_int(tx, 0, 0, 0);
    gd_tx_free(tx);
    return rc;
}

/* An engine that knows no such numbers needs no such care. */
static int wait_for_others(struct gd_pg_conn *c, struct gd_err *err)
{
    int64_t until = gd_pg_now() + WAIT_MS, next = 0, older = 0;
    struct gd_err why;

    if (ask_number(c, &sql_next, 0, gd_pg_now() + c->engine->deadline_ms, &next, &why) < 0)
        return 0;
    while (ask_number(c, &sql_older, next, gd_pg_now() + c->engine->deadline_ms, &older, &why) == 0 &&
           older > 0) {
        if (gd_pg_now() >= until)
            return gd_err_set(err, GD_R_STORE_SLOW,
                              "somebody's transaction is open (a backup of the database?) and may still see "
                              "what was deleted; try again when it has ended");
        nanosleep(&(struct timespec){ 0, LOOK_MS * 1000000L }, NULL);
    }
    return 0;
}

void gd_pg_teach_nothing(struct gd_engine *e)
{
    int64_t until = gd_pg_now() + e->deadline_ms;
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_err err = { 0 };
    int rc;

    tx->once = true;
    gd_tx_add(tx, &sql_learned, GD_P_TEXT(e->schema));
    rc = gd_pg_ask(&e->w, tx, until, &err);
    for (size_t i = 0; rc == 0 && i < gd_tx_rows(tx, 0); i++) {
        GD_AUTO_FREE char *text = gd_strf("ALTER TABLE \"%s\".\"%s\" ALTER COLUMN \"%s\" SET STATISTICS 0",
                                          e->schema, gd_tx_text(tx, 0, i, 0), gd_tx_text(tx, 0, i, 1));

        rc = command(&e->w, text, until, &err);
    }
    gd_tx_free(tx);
    if (rc < 0)
        GD_LOG(e->host.log, GD_LOG_WARN, "store.statistics_kept", GD_F_ERR(&err));
}

int gd_pg_scrub(struct gd_engine *e, struct gd_err *err)
{
    int64_t until = gd_pg_now() + SCRUB_TIMES * e->deadline_ms;
    struct gd_pg_conn *c = gd_new(sizeof *c);
    struct gd_tx *tx = gd_tx_new(NULL);
    int rc;

    gd_pg_conn_init(c, e, "scrub");
    gd_tx_add(tx, &sql_tables, GD_P_TEXT(e->schema));
    rc = gd_pg_connect(c, gd_pg_now() + e->deadline_ms, err);
    /* A table is locked against everybody meanwhile: rather later than for long. */
    if (rc == 0)
        rc = command(c, "SET lock_timeout = 2000", until, err);
    if (rc == 0)
        rc = gd_pg_ask(c, tx, until, err);
    if (rc == 0)
        rc = wait_for_others(c, err);
    if (rc == 0)
        rc = vacuum(c, tx, until, err);
    if (e->unprepared && c->pg) /* somebody else gets the connection */
        (void)command(c, "RESET lock_timeout", until, &(struct gd_err){ 0 });
    gd_tx_free(tx);
    gd_pg_conn_done(c);
    gd_free(c);
    return rc;
}
