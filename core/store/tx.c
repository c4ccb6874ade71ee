/* store/tx.c - a transaction as data: statements with their parameters, and later their results. All of it
 * lives in the transaction's arena. Built on the loop, handed to one engine thread, handed back: never used
 * by two at once. */
#include "store/store_int.h"

#include "base/mem.h"
#include "base/text.h"

#include <string.h>

#define STMTS_FIRST 8

struct gd_tx *gd_tx_new(struct gd_store *s)
{
    struct gd_arena *a = gd_arena_new(GD_STORE_TX_MAX);
    struct gd_tx *tx = gd_arena_alloc(a, sizeof *tx);

    gd_list_init(&tx->link);
    tx->store = s;
    tx->arena = a;
    return tx;
}

void gd_tx_free(struct gd_tx *tx)
{
    if (tx)
        gd_arena_free(tx->arena); /* holds tx itself */
}

static bool grow_stmts(struct gd_tx *tx)
{
    size_t cap = tx->cap ? tx->cap * 2 : STMTS_FIRST;
    struct gd_stmt *stmts = gd_arena_alloc(tx->arena, cap * sizeof *stmts);

    if (!stmts)
        return false;
    if (tx->nstmts)
        memcpy(stmts, tx->stmts, tx->nstmts * sizeof *stmts);
    tx->stmts = stmts;
    tx->cap = cap;
    return true;
}

bool gd_tx_cell(struct gd_tx *tx, struct gd_param *cell, const struct gd_param *value)
{
    size_t n = value->n;
    char *copy;

    *cell = *value;
    if (value->kind == GD_PARAM_NULL || value->kind == GD_PARAM_INT)
        return true;
    if (value->kind == GD_PARAM_TEXT && n == 0)
        n = strlen(value->p);
    copy = gd_arena_alloc(tx->arena, n + 1);
    if (!copy)
        return false;
    if (n)
        memcpy(copy, value->p, n);
    cell->p = copy;
    cell->n = n;
    return true;
}

size_t gd_tx_add_(struct gd_tx *tx, const struct gd_sql *sql, const struct gd_param *params, size_t n)
{
    struct gd_stmt *st;

    if (tx->too_big || n > GD_STORE_PARAMS_MAX || (tx->nstmts == tx->cap && !grow_stmts(tx))) {
        tx->too_big = true;
        return 0;
    }
    st = &tx->stmts[tx->nstmts];
    *st = (struct gd_stmt){ .sql = sql, .nparams = n };
    st->params = n ? gd_arena_alloc(tx->arena, n * sizeof *params) : NULL;
    for (size_t i = 0; i < n && !tx->too_big; i++)
        tx->too_big = params[i].n > GD_STORE_VALUE_MAX;
    for (size_t i = 0; i < n && !tx->too_big; i++)
        tx->too_big = !st->params || !gd_tx_cell(tx, &st->params[i], &params[i]);
    return tx->nstmts++;
}

void gd_tx_lease(struct gd_tx *tx)
{
    tx->lease = true;
}

void gd_tx_spool(struct gd_tx *tx, const void *record, size_t n)
{
    if (tx->spool || n == 0 || n > GD_SPOOL_RECORD_MAX) {
        tx->too_big = true;
        return;
    }
    tx->spool = gd_arena_alloc(tx->arena, n);
    tx->too_big |= !tx->spool;
    tx->nspool = n;
    if (tx->spool)
        memcpy(tx->spool, record, n);
}

struct gd_arena *gd_tx_arena(struct gd_tx *tx)
{
    return tx->arena;
}

/* ---- results ----------------------------------------------------------------------------------------------
 */

static bool grow_rows(struct gd_tx *tx, struct gd_stmt *st, size_t ncols)
{
    size_t cap = st->cap ? st->cap * 4 : 1; /* nearly always one row */
    struct gd_param *cells = gd_arena_alloc(tx->arena, cap * ncols * sizeof *cells);

    if (!cells)
        return false;
    if (st->nrows)
        memcpy(cells, st->cells, st->nrows * ncols * sizeof *cells);
    st->cells = cells;
    st->cap = cap;
    return true;
}

struct gd_param *gd_tx_row(struct gd_tx *tx, struct gd_stmt *st, size_t ncols)
{
    st->ncols = ncols;
    if (st->nrows >= GD_STORE_ROWS_MAX || (st->nrows == st->cap && !grow_rows(tx, st, ncols))) {
        gd_err_set(&tx->err, GD_R_LIMIT_REACHED,
                   "one statement has more results than a transaction may hold");
        return NULL;
    }
    return st->cells + st->nrows++ * ncols;
}

void gd_tx_reset(struct gd_tx *tx)
{
    for (size_t i = 0; i < tx->nstmts; i++) {
        tx->stmts[i].changes = 0;
        tx->stmts[i].nrows = 0; /* the cells' memory is used again */
    }
    tx->result = GD_STORE_OK;
    tx->err = (struct gd_err){ 0 };
}

int gd_tx_fail(struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    gd_tx_reset(tx);
    tx->result = r;
    tx->err = *err;
    return -1;
}

uint64_t gd_tx_group(const struct gd_tx *tx)
{
    return tx->group;
}

int64_t gd_tx_changes(const struct gd_tx *tx, size_t stmt)
{
    return stmt < tx->nstmts ? tx->stmts[stmt].changes : 0;
}

size_t gd_tx_rows(const struct gd_tx *tx, size_t stmt)
{
    return stmt < tx->nstmts ? tx->stmts[stmt].nrows : 0;
}

static const struct gd_param *cell(const struct gd_tx *tx, size_t stmt, size_t row, size_t col)
{
    static const struct gd_param null = { .kind = GD_PARAM_NULL };
    const struct gd_stmt *st = stmt < tx->nstmts ? &tx->stmts[stmt] : NULL;

    return st && row < st->nrows && col < st->ncols ? &st->cells[row * st->ncols + col] : &null;
}

static const char *as_text(const struct gd_param *c)
{
    return c->kind == GD_PARAM_TEXT ? c->p : NULL;
}

static int64_t as_int(const struct gd_param *c)
{
    int64_t v;

    if (c->kind == GD_PARAM_TEXT && gd_parse_i64(c->p, &v))
        return v;
    return c->kind == GD_PARAM_INT ? c->num : 0;
}

static const void *as_bytes(const struct gd_param *c, size_t *ret_n)
{
    bool has = c->kind == GD_PARAM_TEXT || c->kind == GD_PARAM_BYTES;

    *ret_n = has ? c->n : 0;
    return has ? c->p : NULL;
}

const char *gd_tx_text(const struct gd_tx *tx, size_t stmt, size_t row, size_t col)
{
    return as_text(cell(tx, stmt, row, col));
}

int64_t gd_tx_int(const struct gd_tx *tx, size_t stmt, size_t row, size_t col)
{
    return as_int(cell(tx, stmt, row, col));
}

bool gd_tx_is_null(const struct gd_tx *tx, size_t stmt, size_t row, size_t col)
{
    return cell(tx, stmt, row, col)->kind == GD_PARAM_NULL;
}

const void *gd_tx_bytes(const struct gd_tx *tx, size_t stmt, size_t row, size_t col, size_t *ret_n)
{
    return as_bytes(cell(tx, stmt, row, col), ret_n);
}

static const struct gd_param *row_cell(const struct gd_row *r, int col)
{
    static const struct gd_param null = { .kind = GD_PARAM_NULL };

    return col >= 0 && col < r->ncols ? &r->cells[col] : &null;
}

const char *gd_row_text(const struct gd_row *r, int col)
{
    return as_text(row_cell(r, col));
}

int64_t gd_row_int(const struct gd_row *r, int col)
{
    return as_int(row_cell(r, col));
}

const void *gd_row_bytes(const struct gd_row *r, int col, size_t *ret_n)
{
    return as_bytes(row_cell(r, col), ret_n);
}

void gd_tx_each(const struct gd_tx *tx, size_t stmt, gd_row_fn *fn, void *arg)
{
    const struct gd_stmt *st = &tx->stmts[stmt];

    for (size_t i = 0; i < st->nrows; i++) {
        struct gd_row row = { .cells = st->cells + i * st->ncols, .ncols = (int)st->ncols };

        fn(arg, &row);
    }
}
