/* store/migrate.c - the schema grows by a list that is only ever appended to. Each entry and the row that
 * says it was done are one transaction, so a crash leaves a version, never a half of one. */
#include "store/store_int.h"

#include "base/mem.h"

#include <string.h>

GD_SQL(sql_table,
       "CREATE TABLE IF NOT EXISTS schema_migrations (version bigint NOT NULL, name text NOT NULL, "
       "done_at bigint NOT NULL, PRIMARY KEY (version))");
GD_SQL(sql_list, "SELECT version, name FROM schema_migrations ORDER BY version");
GD_SQL(sql_done, "INSERT INTO schema_migrations (version, name, done_at) VALUES ($1, $2, $3)");

struct history {
    const struct gd_store_options *o;
    int64_t version;
    const char *wrong; /* name in the program where the file has another one */
};

static void on_version(void *arg, const struct gd_row *row)
{
    struct history *h = arg;
    int64_t version = gd_row_int(row, 0);
    const char *name = gd_row_text(row, 1);

    h->version = version;
    if (version >= 1 && (uint64_t)version <= h->o->nmigrations && !h->wrong &&
        (!name || strcmp(name, h->o->migrations[version - 1].name) != 0))
        h->wrong = h->o->migrations[version - 1].name;
}

int gd_store_run(const struct gd_store_engine *ops, struct gd_engine *e, struct gd_tx *tx, struct gd_err *err)
{
    struct gd_list group;
    int rc;

    gd_list_init(&group);
    gd_list_add(&group, &tx->link);
    rc = ops->write(e, &group);
    if (rc != 0)
        rc = gd_err_set(err, GD_R_STORE_FULL, "the disk is full");
    else if (tx->result != GD_STORE_OK)
        rc = gd_err_set(err, tx->err.reason, "%s", tx->err.text);
    gd_tx_free(tx);
    return rc;
}

static int run_one(const struct gd_store_engine *ops, struct gd_engine *e, const struct gd_migration *m,
                   int64_t version, int64_t now, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_err why;

    tx->once = true;
    for (const char *const *text = m->statements; *text; text++) {
        struct gd_sql *sql = gd_arena_alloc(tx->arena, sizeof *sql);

        sql->text = *text;
        gd_tx_add_(tx, sql, NULL, 0);
    }
    gd_tx_add(tx, &sql_done, GD_P_INT(version), GD_P_TEXT(m->name), GD_P_INT(now));
    if (gd_store_run(ops, e, tx, &why) < 0)
        return gd_err_set(err, why.reason, "migration %lld (%s): %s", (long long)version, m->name, why.text);
    return 0;
}

/* The list is there from the first start on; who may not make tables need not be able to. */
static int read_history(const struct gd_store_engine *ops, struct gd_engine *e, struct history *h,
                        struct gd_err *err)
{
    struct gd_tx *tx;

    if (ops->scan(e, &sql_list, on_version, h, NULL) == 0)
        return 0;
    *h = (struct history){ .o = h->o };
    tx = gd_tx_new(NULL);
    tx->once = true;
    gd_tx_add_(tx, &sql_table, NULL, 0);
    return gd_store_run(ops, e, tx, err) < 0 ? -1 : ops->scan(e, &sql_list, on_version, h, err);
}

static int check_history(const struct history *h, struct gd_err *err)
{
    const char *what = h->o->url ? "the store's schema" : h->o->path;

    if (h->version < 0 || (uint64_t)h->version > h->o->nmigrations)
        return gd_err_set(err, GD_R_STORE_TOO_NEW,
                          "%s has version %lld, this program knows %zu; install the newer one", what,
                          (long long)h->version, h->o->nmigrations);
    if (h->wrong)
        return gd_err_set(err, GD_R_STORE_FOREIGN,
                          "%s was made by a program whose migration %s is another one", what, h->wrong);
    return 0;
}

/* A step that fails although it has been made meanwhile was made by somebody who died over it. */
static int migrate(const struct gd_store_engine *ops, struct gd_engine *e, const struct gd_store_options *o,
                   int64_t now, struct gd_err *err)
{
    struct gd_err why = { 0 };

    for (int64_t tried = -1;;) {
        struct history h = { .o = o };

        if (read_history(ops, e, &h, err) < 0 || check_history(&h, err) < 0)
            return -1;
        if ((uint64_t)h.version == o->nmigrations)
            return 0;
        if (h.version == tried)
            return gd_err_set(err, why.reason, "%s", why.text);
        while ((uint64_t)h.version < o->nmigrations &&
               run_one(ops, e, &o->migrations[h.version], h.version + 1, now, &why) == 0)
            h.version++;
        tried = h.version;
    }
}

int gd_store_migrate(const struct gd_store_engine *ops, struct gd_engine *e, const struct gd_store_options *o,
                     int64_t now, int64_t *ret_version, struct gd_err *err)
{
    int rc = ops->lock ? ops->lock(e, err) : 0;

    if (rc == 0)
        rc = migrate(ops, e, o, now, err);
    if (ops->unlock)
        ops->unlock(e);
    if (rc == 0)
        *ret_version = (int64_t)o->nmigrations;
    return rc;
}
