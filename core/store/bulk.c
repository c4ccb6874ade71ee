/* store/bulk.c - a store that is filled before anybody works with it, and a look at one as of one moment. No
 * threads, no queues: the engine is called where the caller is. */
#include "store/copy.h"
#include "store/store_int.h"

#include "base/mem.h"

#include <string.h>
#include <unistd.h>

#define ROWS_AT_ONCE  1000
#define BYTES_AT_ONCE (8 * 1024 * 1024)

struct gd_view {
    const struct gd_store_engine *ops;
    struct gd_engine *engine;
};

struct gd_bulk {
    const struct gd_store_engine *ops;
    struct gd_engine *engine;
    int lock_fd;
    struct gd_tx *tx; /* rows that are not written yet; NULL: none */
    size_t rows, bytes;
    bool merge;
};

GD_SQL(sql_schema, "SELECT version, name FROM schema_migrations ORDER BY version");

/* Nobody listens: what other nodes do does not matter to who only copies. */
static void no_news(struct gd_store *s, const char *node, const char *workspace, const char *id)
{
    (void)s;
    (void)node;
    (void)workspace;
    (void)id;
}

static void no_seen(struct gd_store *s, int64_t mono)
{
    (void)s;
    (void)mono;
}

static void no_set_back(struct gd_store *s)
{
    (void)s;
}

static struct gd_store_host host_of(const struct gd_clock *clock, struct gd_log *log)
{
    return (struct gd_store_host){
        .log = log, .clock = clock, .news = no_news, .seen = no_seen, .set_back = no_set_back
    };
}

/* ---- a view ---- */

int gd_view_open(struct gd_view **ret, const struct gd_store_options *o, struct gd_log *log,
                 struct gd_err *err)
{
    const struct gd_store_host host = host_of(gd_clock_system(), log);
    struct gd_view *v = gd_new(sizeof *v);

    if (gd_store_engine_of(&v->ops, o, err) < 0 || v->ops->view(&v->engine, o, &host, err) < 0) {
        gd_free(v);
        return -1;
    }
    *ret = v;
    return 0;
}

int gd_view_scan(struct gd_view *v, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err)
{
    return v->ops->scan(v->engine, sql, fn, arg, err);
}

void gd_view_close(struct gd_view *v)
{
    if (!v)
        return;
    v->ops->close(v->engine);
    gd_free(v);
}

static void on_migration(void *arg, const struct gd_row *row)
{
    const char *name = gd_row_text(row, 1);

    json_array_append_new(arg, json_string(name ? name : ""));
}

json_t *gd_view_schema(struct gd_view *v, struct gd_err *err)
{
    json_t *names = json_array();

    if (gd_view_scan(v, &sql_schema, on_migration, names, err) < 0) {
        json_decref(names);
        return NULL;
    }
    return json_pack("{s:I, s:o}", "version", (json_int_t)json_array_size(names), "names", names);
}

/* ---- filling ---- */

static int open_bulk(struct gd_bulk **ret, const struct gd_store_options *o, bool lock,
                     const struct gd_clock *clock, struct gd_log *log, struct gd_err *err)
{
    const struct gd_store_host host = host_of(clock, log);
    struct gd_bulk *b = gd_new(sizeof *b);
    int64_t version;

    b->lock_fd = -1;
    if (gd_store_engine_of(&b->ops, o, err) < 0 || (lock && (b->lock_fd = gd_store_lock(o->path, err)) < 0) ||
        b->ops->open(&b->engine, o, &host, err) < 0 ||
        gd_store_migrate(b->ops, b->engine, o, gd_now(clock), &version, err) < 0) {
        gd_bulk_close(b);
        return -1;
    }
    *ret = b;
    return 0;
}

int gd_bulk_open(struct gd_bulk **ret, const struct gd_store_options *o, const struct gd_clock *clock,
                 struct gd_log *log, struct gd_err *err)
{
    return open_bulk(ret, o, true, clock, log, err);
}

int gd_bulk_open_locked(struct gd_bulk **ret, const struct gd_store_options *o, const struct gd_clock *clock,
                        struct gd_log *log, struct gd_err *err)
{
    return open_bulk(ret, o, false, clock, log, err);
}

void gd_bulk_close(struct gd_bulk *b)
{
    if (!b)
        return;
    gd_tx_free(b->tx);
    if (b->engine)
        b->ops->close(b->engine);
    if (b->lock_fd >= 0)
        close(b->lock_fd);
    gd_free(b);
}

int gd_bulk_flush(struct gd_bulk *b, struct gd_err *err)
{
    struct gd_tx *tx = b->tx;

    b->tx = NULL;
    b->rows = b->bytes = 0;
    if (!tx)
        return 0;
    if (gd_store_run(b->ops, b->engine, tx, err) < 0)
        return -1;
    if (b->ops->tidy)
        b->ops->tidy(b->engine);
    return 0;
}

void gd_bulk_merge(struct gd_bulk *b)
{
    b->merge = true;
}

int gd_bulk_wipe(struct gd_bulk *b, const struct gd_table *t, struct gd_err *err)
{
    return b->merge ? 0 : gd_bulk_run(b, &t->wipe, NULL, 0, err);
}

int gd_bulk_row(struct gd_bulk *b, const struct gd_table *t, const struct gd_param *cells, struct gd_err *err)
{
    if (!b->tx)
        b->tx = gd_tx_new(NULL);
    gd_tx_add_(b->tx, b->merge ? &t->merge : &t->insert, cells, t->ncols);
    for (size_t i = 0; i < t->ncols; i++)
        b->bytes += cells[i].n;
    return ++b->rows < ROWS_AT_ONCE && b->bytes < BYTES_AT_ONCE ? 0 : gd_bulk_flush(b, err);
}

int gd_bulk_run(struct gd_bulk *b, const struct gd_sql *sql, const struct gd_param *params, size_t n,
                struct gd_err *err)
{
    if (!b->tx)
        b->tx = gd_tx_new(NULL);
    gd_tx_add_(b->tx, sql, params, n);
    return gd_bulk_flush(b, err);
}

int gd_bulk_ask(struct gd_bulk *b, const struct gd_sql *sql, int64_t *ret, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_list group;
    int rc;

    gd_tx_add_(tx, sql, NULL, 0);
    gd_list_init(&group);
    gd_list_add(&group, &tx->link);
    rc = b->ops->write(b->engine, &group);
    if (rc != 0)
        rc = gd_err_set(err, GD_R_STORE_FULL, "the disk is full");
    else if (tx->result != GD_STORE_OK)
        rc = gd_err_set(err, tx->err.reason, "%s", tx->err.text);
    if (rc == 0)
        *ret = gd_tx_int(tx, 0, 0, 0);
    gd_tx_free(tx);
    return rc;
}

int gd_bulk_scan(struct gd_bulk *b, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err)
{
    return b->ops->scan(b->engine, sql, fn, arg, err);
}
