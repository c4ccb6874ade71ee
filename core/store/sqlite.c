/* store/sqlite.c - the embedded engine: SQLite in WAL mode, synchronous=FULL. Two connections: the writer's,
 * used by the writer thread alone, and a read-only one for the reader thread and for scans, under a mutex.
 * Statements are prepared once per gd_sql and kept for life.
 *
 * The log is checkpointed by the writer between two groups, after the answers went out: at a broker's load
 * that is enough (libraries: 3). The next step, should the pause ever matter: a thread that copies with
 * PASSIVE checkpoints while the writer only restarts the log beyond a limit; a passive thread alone never
 * lets the log end. */
#include "store/sqlite_int.h"

#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHECKPOINT_PAGES 1000  /* copied back when the log is so long */
#define RESTART_PAGES    32000 /* readers are waited for, shortly, beyond this */

/* ---- errors
 * -------------------------------------------------------------------------------------------------- */

enum failure {
    FAIL_ALONE, /* only this transaction */
    FAIL_GROUP, /* nothing of the group happened */
    FAIL_FULL,  /* the same, for want of space */
    FAIL_STOP   /* the disk cannot be trusted any more */
};

static enum failure classify(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return FAIL_FULL;
    case SQLITE_IOERR:
        return rc == SQLITE_IOERR_NOMEM ? FAIL_GROUP : FAIL_STOP;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return FAIL_STOP;
    case SQLITE_NOMEM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
        return FAIL_GROUP;
    default:
        return FAIL_ALONE;
    }
}

enum gd_reason gd_sqlite_reason(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return GD_R_STORE_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return GD_R_STORE_CORRUPT;
    case SQLITE_CONSTRAINT:
        return GD_R_CONFLICT;
    case SQLITE_TOOBIG:
        return GD_R_LIMIT_REACHED;
    default:
        return GD_R_STORE_FAILED;
    }
}

void gd_sqlite_explain(struct gd_err *err, sqlite3 *db, int rc)
{
    gd_err_set(err, gd_sqlite_reason(rc), "%s (%d)",
               rc == sqlite3_extended_errcode(db) ? sqlite3_errmsg(db) : sqlite3_errstr(rc), rc);
}

/* What a fault point pretends, as SQLite would say it. */
static int pretend(int e)
{
    return e == 0 ? SQLITE_OK : e == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

/* ---- statements
 * ---------------------------------------------------------------------------------------------- */

static size_t slot_of(const struct gd_sqlite_conn *c, const struct gd_sql *sql)
{
    size_t i = ((uintptr_t)sql >> 3) * 0x9e3779b1u & (GD_SQLITE_SLOTS - 1);

    while (c->slots[i].sql && c->slots[i].sql != sql)
        i = (i + 1) & (GD_SQLITE_SLOTS - 1);
    return i;
}

int gd_sqlite_prepare(struct gd_sqlite_conn *c, const char *text, unsigned flags, sqlite3_stmt **ret)
{
    const char *tail = NULL;
    int rc = sqlite3_prepare_v3(c->db, text, -1, flags, ret, &tail);

    if (rc == SQLITE_OK && (!*ret || (tail && tail[strspn(tail, " \t\n;")]))) {
        sqlite3_finalize(*ret);
        *ret = NULL;
        return SQLITE_MISUSE; /* one statement, no more and no less */
    }
    return rc;
}

/* SQLite numbers $k by first appearance, not by k: go by the names. */
static int number_params(struct gd_sqlite_stmt *s)
{
    int count = sqlite3_bind_parameter_count(s->stmt);

    if (count > GD_STORE_PARAMS_MAX)
        return SQLITE_RANGE;
    for (int at = 1; at <= count; at++) {
        const char *name = sqlite3_bind_parameter_name(s->stmt, at);
        long k = name && name[0] == '$' ? strtol(name + 1, NULL, 10) : 0;

        if (k < 1 || k > count)
            return SQLITE_RANGE;
        s->from[at - 1] = (unsigned char)(k - 1);
    }
    s->nparams = (size_t)count;
    return SQLITE_OK;
}

static int make_ready(struct gd_sqlite_conn *c, const struct gd_sql *sql, unsigned flags,
                      struct gd_sqlite_stmt *s)
{
    int rc = gd_sqlite_prepare(c, sql->text, flags, &s->stmt);

    if (rc == SQLITE_OK)
        rc = number_params(s);
    if (rc == SQLITE_OK)
        return rc;
    sqlite3_finalize(s->stmt);
    s->stmt = NULL;
    return rc;
}

/* A statement ready to be bound: one that is kept, or own, which the caller finalizes. */
static int statement(struct gd_sqlite_conn *c, const struct gd_sql *sql, bool once,
                     struct gd_sqlite_stmt *own, struct gd_sqlite_stmt **ret)
{
    struct gd_sqlite_stmt *s = &c->slots[slot_of(c, sql)];
    int rc;

    if (once || (s->sql != sql && c->count >= GD_SQLITE_SLOTS / 2)) {
        *ret = own;
        return make_ready(c, sql, 0, own);
    }
    *ret = s;
    if (s->sql == sql)
        return SQLITE_OK;
    rc = make_ready(c, sql, SQLITE_PREPARE_PERSISTENT, s);
    if (rc != SQLITE_OK)
        return rc;
    s->sql = sql;
    c->count++;
    return SQLITE_OK;
}

static int bind_one(sqlite3_stmt *st, int at, const struct gd_param *p)
{
    switch (p->kind) {
    case GD_PARAM_INT:
        return sqlite3_bind_int64(st, at, p->num);
    case GD_PARAM_TEXT:
        return sqlite3_bind_text64(st, at, p->p, p->n, SQLITE_STATIC, SQLITE_UTF8);
    case GD_PARAM_BYTES:
        return sqlite3_bind_blob64(st, at, p->p, p->n, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(st, at);
    }
}

static int bind_all(const struct gd_sqlite_stmt *s, const struct gd_param *params, size_t n)
{
    int rc = n == s->nparams ? SQLITE_OK : SQLITE_RANGE;

    for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
        rc = bind_one(s->stmt, (int)i + 1, &params[s->from[i]]);
    return rc;
}

/* By its value: asking the statement three times costs three times what each of its doors does. */
/* copied: the caller copies it and ends it with a NUL; SQLite need not make a copy for that first. */
static void column(sqlite3_stmt *st, int i, bool copied, struct gd_param *ret)
{
    sqlite3_value *v = sqlite3_column_value(st, i);

    *ret = (struct gd_param){ .kind = GD_PARAM_NULL };
    switch (sqlite3_value_type(v)) {
    case SQLITE_NULL:
        return;
    case SQLITE_TEXT:
        ret->kind = GD_PARAM_TEXT;
        ret->p = copied ? sqlite3_value_blob(v) : sqlite3_value_text(v);
        if (copied && !ret->p)
            ret->p = ""; /* an empty one */
        break;
    case SQLITE_BLOB:
        ret->kind = GD_PARAM_BYTES;
        ret->p = sqlite3_value_blob(v);
        ret->p = ret->p ? ret->p : ""; /* an empty blob is not NULL */
        break;
    default:
        ret->kind = GD_PARAM_INT;
        ret->num = sqlite3_value_int64(v);
        return;
    }
    ret->n = (size_t)sqlite3_value_bytes(v);
}

static int keep_row(struct gd_tx *tx, struct gd_stmt *out, sqlite3_stmt *st)
{
    int ncols = sqlite3_column_count(st);
    struct gd_param *cells = gd_tx_row(tx, out, (size_t)ncols), value;

    if (!cells)
        return SQLITE_TOOBIG;
    for (int i = 0; i < ncols; i++) {
        column(st, i, true, &value);
        if (!gd_tx_cell(tx, &cells[i], &value))
            return SQLITE_TOOBIG;
    }
    return SQLITE_OK;
}

static int run_stmt(struct gd_sqlite_conn *c, struct gd_tx *tx, struct gd_stmt *s)
{
    sqlite3_int64 before = sqlite3_total_changes64(c->db);
    struct gd_sqlite_stmt once = { 0 }, *ready = &once;
    int rc = statement(c, s->sql, tx->once, &once, &ready);

    if (rc == SQLITE_OK)
        rc = bind_all(ready, s->params, s->nparams);
    while (rc == SQLITE_OK && (rc = sqlite3_step(ready->stmt)) == SQLITE_ROW)
        rc = keep_row(tx, s, ready->stmt);
    if (rc == SQLITE_DONE)
        rc = SQLITE_OK;
    s->changes = sqlite3_total_changes64(c->db) - before;
    if (rc != SQLITE_OK)
        gd_sqlite_explain(&tx->err, c->db, rc);
    if (ready == &once) {
        sqlite3_finalize(once.stmt);
    } else if (ready->stmt) {
        sqlite3_reset(ready->stmt);
        sqlite3_clear_bindings(ready->stmt);
    }
    return rc;
}

static int step(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st), again = sqlite3_reset(st);

    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : again != SQLITE_OK ? again : rc;
}

/* ---- writing a group
 * ------------------------------------------------------------------------------------------ */

/* All statements; the result is SQLite's first refusal. Points F15 and F16 lie only in what carries an
 * answer, F02 only in what takes a lease. */
static int run_statements(struct gd_sqlite_conn *c, struct gd_tx *tx)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < tx->nstmts && rc == SQLITE_OK; i++) {
        rc = run_stmt(c, tx, &tx->stmts[i]);
        if (rc == SQLITE_OK && i == 0 && tx->spool)
            rc = pretend(GD_FAULT("F15"));
        if (rc == SQLITE_OK && i == 0 && tx->lease)
            rc = pretend(GD_FAULT("F02"));
    }
    if (rc == SQLITE_OK && tx->spool)
        rc = pretend(GD_FAULT("F16"));
    return rc;
}

/* In a savepoint, so that a refusal undoes this transaction and no other. */
static int run_in_savepoint(struct gd_engine *e, struct gd_tx *tx)
{
    int rc = step(e->w.savepoint);
    struct gd_err err;

    if (rc == SQLITE_OK)
        rc = run_statements(&e->w, tx);
    if (rc != SQLITE_OK && classify(rc) == FAIL_ALONE) {
        err = tx->err;
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
        rc = step(e->w.undo);
    }
    if (rc == SQLITE_OK)
        rc = step(e->w.release);
    return rc;
}

static int run_group(struct gd_engine *e, struct gd_list *group, bool answers, bool savepoints)
{
    int rc = step(e->w.begin);

    if (rc == SQLITE_OK && answers)
        rc = pretend(GD_FAULT("F14"));
    gd_list_each(it, group)
    {
        struct gd_tx *tx = gd_tx_of(it);

        if (rc != SQLITE_OK)
            break;
        gd_tx_reset(tx);
        rc = savepoints ? run_in_savepoint(e, tx) : run_statements(&e->w, tx);
    }
    return rc;
}

/* Nearly always nobody is refused, and a savepoint costs a copy of every page that is touched: so it goes
 * without them first, and with them, from the start, when somebody was. */
static int run_twice(struct gd_engine *e, struct gd_list *group, bool answers)
{
    int rc = run_group(e, group, answers, false);

    if (rc == SQLITE_OK || classify(rc) != FAIL_ALONE)
        return rc;
    rc = step(e->w.rollback);
    return rc == SQLITE_OK ? run_group(e, group, answers, true) : rc;
}

static void fail_all(struct gd_list *group, enum gd_store_result r, const struct gd_err *err)
{
    gd_list_each(it, group) if (gd_tx_of(it)->result != GD_STORE_FAILED) gd_tx_fail(gd_tx_of(it), r, err);
}

static void stop(struct gd_engine *e, const struct gd_err *why)
{
    if (e->stopped)
        return;
    e->stopped = true;
    e->why = *why;
    GD_LOG(e->log, GD_LOG_ERROR, "store.stopped", GD_F_STR("path", e->path), GD_F_ERR(why));
}

/* Something befell the whole group. in_doubt: COMMIT was sent and did not say that it was undone. */
static int group_failed(struct gd_engine *e, struct gd_list *group, int rc, bool in_doubt)
{
    enum failure f = classify(rc);
    struct gd_err err;

    gd_sqlite_explain(&err, e->w.db, rc);
    if (!sqlite3_get_autocommit(e->w.db))
        (void)step(e->w.rollback);
    if (f == FAIL_STOP)
        stop(e, &err);
    if (f == FAIL_FULL && !in_doubt) {
        gd_list_each(it, group) gd_tx_reset(gd_tx_of(it));
        return ENOSPC;
    }
    fail_all(group, in_doubt ? GD_STORE_UNCERTAIN : GD_STORE_FAILED, &err);
    return 0;
}

/* COMMIT. An I/O error leaves its outcome open: the record of it may have reached the log. */
static int commit(struct gd_engine *e, struct gd_list *group, bool answers)
{
    int rc, fault;

    if (answers && e->spooled)
        e->spooled(e->store);
    rc = step(e->w.commit);
    fault = rc == SQLITE_OK && answers ? GD_FAULT("F17") : 0;

    if (rc == SQLITE_OK && !answers)
        fault = GD_FAULT("store.commit");
    if (fault)
        return group_failed(e, group, pretend(fault), true);
    if (rc != SQLITE_OK)
        return group_failed(e, group, rc, classify(rc) == FAIL_STOP);
    return 0;
}

/* Finding a large file whole takes seconds: the start does not wait for it while it has nothing to write. */
static bool found_whole(struct gd_engine *e)
{
    struct gd_err err;

    if (e->stopped || gd_sqlite_check(e, &err) == 0)
        return !e->stopped;
    if (!atomic_load(&e->hurry))
        stop(e, &err);
    e->stopped = true; /* without a word: it is being closed */
    e->why = err;
    return false;
}

/* DDL counts no changes. */
static bool changes_something(const struct gd_engine *e, const struct gd_list *group, int64_t before)
{
    gd_list_each(it, group) if (gd_tx_of(it)->once) return true;
    return sqlite3_total_changes64(e->w.db) != before;
}

/* What would be the first change of a file that nobody has looked at yet is undone and done again behind the
 * look: nothing of it has left this connection's cache, or its log. */
static int run_checked(struct gd_engine *e, struct gd_list *group, bool answers)
{
    int64_t before = sqlite3_total_changes64(e->w.db);
    int rc = run_twice(e, group, answers);

    if (e->checked || rc != SQLITE_OK || !changes_something(e, group, before))
        return rc;
    rc = step(e->w.rollback);
    return rc == SQLITE_OK && found_whole(e) ? run_twice(e, group, answers) : rc;
}

static int sqlite_write(struct gd_engine *e, struct gd_list *group)
{
    bool answers = false, check = false;
    int rc;

    gd_list_each(it, group)
    {
        gd_tx_reset(gd_tx_of(it));
        answers |= gd_tx_of(it)->spool != NULL;
        check |= gd_tx_of(it)->check;
    }
    if (e->stopped || (check && !found_whole(e))) {
        fail_all(group, GD_STORE_FAILED, &e->why);
        return 0;
    }
    rc = run_checked(e, group, answers);
    if (e->stopped) {
        fail_all(group, GD_STORE_FAILED, &e->why);
        return 0;
    }
    if (rc != SQLITE_OK)
        return group_failed(e, group, rc, false);
    return commit(e, group, answers);
}

int gd_sqlite_on_wal(void *arg, sqlite3 *db, const char *schema, int pages)
{
    struct gd_engine *e = arg;

    (void)db;
    (void)schema;
    e->wal_pages = pages;
    return SQLITE_OK;
}

static void sqlite_tidy(struct gd_engine *e)
{
    int mode = e->wal_pages >= RESTART_PAGES ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, rc;
    struct gd_err err;

    if (e->wal_pages < e->wal_copied)
        e->wal_copied = 0; /* the log began anew */
    if (e->stopped || e->wal_pages - e->wal_copied < CHECKPOINT_PAGES)
        return;
    e->wal_copied = e->wal_pages;
    rc = pretend(GD_FAULT("F25"));
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(e->w.db, NULL, mode, NULL, NULL);
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY)
        return;
    /* Nothing is lost: the log keeps what could not be copied. A full disk is tried again after the next
     * group. */
    gd_sqlite_explain(&err, e->w.db, rc);
    if (classify(rc) == FAIL_STOP)
        stop(e, &err);
    else
        GD_LOG(e->log, GD_LOG_WARN, "store.checkpoint_failed", GD_F_STR("path", e->path), GD_F_ERR(&err));
}

static void sqlite_hurry(struct gd_engine *e)
{
    pthread_mutex_lock(&e->look_lock);
    atomic_store(&e->hurry, true);
    if (e->looking)
        sqlite3_interrupt(e->w.db);
    pthread_mutex_unlock(&e->look_lock);
}

static int64_t sqlite_bytes(const struct gd_engine *e)
{
    GD_AUTO_FREE char *wal = gd_strf("%s-wal", e->path);
    struct stat st;
    int64_t n = 0;

    if (stat(e->path, &st) == 0)
        n += st.st_size;
    if (stat(wal, &st) == 0)
        n += st.st_size;
    return n;
}

/* secure_delete overwrites what is deleted, but not the copies that stay behind when rows move between pages:
 * only a file written anew has none. */
static int rewrite(struct gd_engine *e)
{
    int rc;

    if (sqlite_bytes(e) > GD_STORE_SCRUB_MAX) {
        GD_LOG(e->log, GD_LOG_WARN, "store.not_rewritten", GD_F_STR("path", e->path));
        return SQLITE_OK;
    }
    (void)sqlite3_limit(e->w.db, SQLITE_LIMIT_ATTACHED, 1); /* it works in a database of its own, in memory */
    rc = sqlite3_exec(e->w.db, "VACUUM", NULL, NULL, NULL);
    (void)sqlite3_limit(e->w.db, SQLITE_LIMIT_ATTACHED, 0);
    return rc;
}

static int end_log(struct gd_engine *e)
{
    int rc;

    pthread_mutex_lock(&e->read_lock); /* a reader would keep the log from ending */
    rc = sqlite3_wal_checkpoint_v2(e->w.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    pthread_mutex_unlock(&e->read_lock);
    if (rc == SQLITE_OK)
        e->wal_pages = e->wal_copied = 0;
    return rc;
}

static int sqlite_scrub(struct gd_engine *e, struct gd_err *err)
{
    int rc = end_log(e);

    if (rc == SQLITE_OK)
        rc = rewrite(e);
    if (rc == SQLITE_OK)
        rc = end_log(e);
    if (rc == SQLITE_OK)
        return 0;
    gd_sqlite_explain(err, e->w.db, rc);
    if (classify(rc) == FAIL_STOP)
        stop(e, err);
    return -1;
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------------- */

static void sqlite_read(struct gd_engine *e, struct gd_tx *tx)
{
    int rc = SQLITE_OK;
    struct gd_err err;

    pthread_mutex_lock(&e->read_lock);
    gd_tx_reset(tx);
    if (tx->nstmts > 1)
        rc = step(e->r.begin);
    for (size_t i = 0; i < tx->nstmts && rc == SQLITE_OK; i++)
        rc = run_stmt(&e->r, tx, &tx->stmts[i]);
    if (rc != SQLITE_OK) {
        gd_sqlite_explain(&err, e->r.db, rc);
        if (tx->err.text[0])
            err = tx->err;
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
    }
    if (!sqlite3_get_autocommit(e->r.db))
        (void)step(e->r.rollback); /* nothing to keep: ends the view */
    pthread_mutex_unlock(&e->read_lock);
}

static int scan_rows(sqlite3_stmt *st, gd_row_fn *fn, void *arg)
{
    struct gd_param cells[GD_STORE_PARAMS_MAX];
    struct gd_row row = { .cells = cells, .ncols = sqlite3_column_count(st) };
    int rc;

    if (row.ncols > GD_STORE_PARAMS_MAX || sqlite3_bind_parameter_count(st) != 0)
        return SQLITE_RANGE;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        for (int i = 0; i < row.ncols; i++)
            column(st, i, false, &cells[i]);
        fn(arg, &row);
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int sqlite_scan(struct gd_engine *e, const struct gd_sql *sql, gd_row_fn *fn, void *arg,
                       struct gd_err *err)
{
    sqlite3_stmt *st = NULL;
    int rc;

    pthread_mutex_lock(&e->read_lock);
    rc = gd_sqlite_prepare(&e->r, sql->text, 0, &st);
    if (rc == SQLITE_OK)
        rc = scan_rows(st, fn, arg);
    if (rc != SQLITE_OK)
        gd_sqlite_explain(err ? err : &(struct gd_err){ 0 }, e->r.db, rc);
    sqlite3_finalize(st);
    pthread_mutex_unlock(&e->read_lock);
    return rc == SQLITE_OK ? 0 : -1;
}

const struct gd_store_engine gd_store_sqlite = {
    .name = "sqlite",
    .open = gd_sqlite_open,
    .view = gd_sqlite_view,
    .write = sqlite_write,
    .spools_late = true,
    .tidy = sqlite_tidy,
    .scrub = sqlite_scrub,
    .read = sqlite_read,
    .scan = sqlite_scan,
    .hurry = sqlite_hurry,
    .bytes = sqlite_bytes,
    .close = gd_sqlite_close,
};
