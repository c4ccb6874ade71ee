/* store/postgresql/scrub.c - no copy of what was deleted stays in the tables' files: small tables are written
 * anew, large ones are vacuumed, which frees the room of dead rows but need not overwrite it. What the
 * server's log, its standbys and its backups still hold is their owner's business; what grantd seals is gone
 * with its key all the same. */
#include "store/postgresql/pg.h"

#define SCRUB_TIMES 30 /* the deadline */

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
        rc = vacuum(c, tx, until, err);
    gd_tx_free(tx);
    gd_pg_conn_done(c);
    gd_free(c);
    return rc;
}
