/* store/sqlite_open.c - opening the embedded engine: settings that are checked and not only made, whose file
 * it is, whether it is whole. */
#include "store/sqlite_int.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APPLICATION_ID 0x67643031 /* "gd01" */
#define BUSY_MS        1000
#define PROGRESS_OPS   100000 /* steps of SQLite between two questions whether to go on */

/* ---- once per process
 * --------------------------------------------------------------------------------------- */

static void *mem_malloc(int n)
{
    return gd_lib_malloc((size_t)n);
}

static void *mem_realloc(void *p, int n)
{
    return gd_lib_realloc(p, (size_t)n);
}

static int mem_size(void *p)
{
    return p ? (int)malloc_usable_size(p) : 0;
}

static int mem_roundup(int n)
{
    return (n + 7) & ~7;
}

static int mem_init(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}

static void mem_shutdown(void *unused)
{
    (void)unused;
}

static const char *wal_vfs;

static void configure(void)
{
    static const sqlite3_mem_methods methods = { mem_malloc,  gd_free,  mem_realloc,  mem_size,
                                                 mem_roundup, mem_init, mem_shutdown, NULL };

    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    (void)sqlite3_initialize();
    wal_vfs = gd_sqlite_walfile_setup();
}

/* ---- opening and closing
 * ------------------------------------------------------------------------------------------ */

static void set_limits(sqlite3 *db)
{
    static const struct {
        int id, value;
    } limits[] = {
        { SQLITE_LIMIT_LENGTH, GD_STORE_VALUE_MAX },
        { SQLITE_LIMIT_SQL_LENGTH, 65536 },
        { SQLITE_LIMIT_COLUMN, GD_STORE_PARAMS_MAX },
        { SQLITE_LIMIT_EXPR_DEPTH, 64 },
        { SQLITE_LIMIT_COMPOUND_SELECT, 8 },
        { SQLITE_LIMIT_VDBE_OP, 25000 },
        { SQLITE_LIMIT_FUNCTION_ARG, 8 },
        { SQLITE_LIMIT_ATTACHED, 0 },
        { SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256 },
        { SQLITE_LIMIT_VARIABLE_NUMBER, GD_STORE_PARAMS_MAX },
        { SQLITE_LIMIT_TRIGGER_DEPTH, 1 },
        { SQLITE_LIMIT_WORKER_THREADS, 0 },
    };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        (void)sqlite3_limit(db, limits[i].id, limits[i].value);
}

static int set_switches(sqlite3 *db)
{
    static const int on[] = { SQLITE_DBCONFIG_DEFENSIVE, SQLITE_DBCONFIG_ENABLE_FKEY };
    static const int off[] = { SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_DQS_DML,
                               SQLITE_DBCONFIG_DQS_DDL,        SQLITE_DBCONFIG_ENABLE_TRIGGER,
                               SQLITE_DBCONFIG_ENABLE_VIEW,    SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION };
    int rc = SQLITE_OK;

    for (size_t i = 0; i < sizeof on / sizeof on[0] && rc == SQLITE_OK; i++)
        rc = sqlite3_db_config(db, on[i], 1, NULL);
    for (size_t i = 0; i < sizeof off / sizeof off[0] && rc == SQLITE_OK; i++)
        rc = sqlite3_db_config(db, off[i], 0, NULL);
    return rc;
}

static int prepare_frame(struct gd_sqlite_conn *c)
{
    const struct {
        const char *text;
        sqlite3_stmt **st;
    } frame[] = {
        { "BEGIN IMMEDIATE", &c->begin }, { "COMMIT", &c->commit },     { "ROLLBACK", &c->rollback },
        { "SAVEPOINT t", &c->savepoint }, { "RELEASE t", &c->release }, { "ROLLBACK TO t", &c->undo },
    };
    int rc = SQLITE_OK;

    for (size_t i = 0; i < sizeof frame / sizeof frame[0] && rc == SQLITE_OK; i++)
        rc = gd_sqlite_prepare(c, frame[i].text, SQLITE_PREPARE_PERSISTENT, frame[i].st);
    return rc;
}

/* One value of a pragma as text, compared with what it must be. */
static int pragma_is(sqlite3 *db, const char *text, const char *want)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, text, -1, &st, NULL);
    const char *got = NULL;

    if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
        got = (const char *)sqlite3_column_text(st, 0);
    if (got)
        rc = strcmp(got, want) == 0 ? SQLITE_OK : SQLITE_MISMATCH;
    else if (rc == SQLITE_DONE || rc == SQLITE_ROW)
        rc = SQLITE_MISMATCH;
    sqlite3_finalize(st);
    return rc;
}

static int set_common(sqlite3 *db)
{
    int rc = set_switches(db);

    set_limits(db);
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;", NULL, NULL, NULL);
    return rc;
}

static int set_writer(struct gd_engine *e)
{
    sqlite3 *db = e->w.db;
    int rc = pragma_is(db, "PRAGMA journal_mode=WAL", "wal");

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA foreign_keys=ON;"
                          "PRAGMA cache_size=-16000;", /* a group of many writes to many pages */
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = pragma_is(db, "PRAGMA synchronous", "2");
    if (rc == SQLITE_OK)
        rc = pragma_is(db, "PRAGMA secure_delete", "1");
    (void)sqlite3_wal_autocheckpoint(db, 0);
    (void)sqlite3_wal_hook(db, gd_sqlite_on_wal, e);
    return rc;
}

/* gd_now(): there is one node, and what it compares with is its own clock. */
static void sql_now(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    const struct gd_engine *e = sqlite3_user_data(ctx);

    (void)n;
    (void)args;
    sqlite3_result_int64(ctx, gd_now(e->clock));
}

/* gd_era(): one file has one history. */
static void sql_era(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    (void)n;
    (void)args;
    sqlite3_result_text(ctx, "", 0, SQLITE_STATIC);
}

static int open_conn(struct gd_engine *e, struct gd_sqlite_conn *c, int flags)
{
    int rc = sqlite3_open_v2(e->path, &c->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
                             flags & SQLITE_OPEN_READWRITE ? wal_vfs : NULL);

    if (rc == SQLITE_OK)
        rc = set_common(c->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function_v2(c->db, "gd_now", 0, SQLITE_UTF8 | SQLITE_DIRECTONLY, e, sql_now, NULL,
                                        NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function_v2(c->db, "gd_era", 0, SQLITE_UTF8 | SQLITE_DIRECTONLY, NULL, sql_era,
                                        NULL, NULL, NULL);
    return rc;
}

static void close_conn(struct gd_sqlite_conn *c)
{
    sqlite3_stmt *frame[] = { c->begin, c->commit, c->rollback, c->savepoint, c->release, c->undo };

    for (size_t i = 0; i < GD_SQLITE_SLOTS; i++)
        sqlite3_finalize(c->slots[i].stmt);
    for (size_t i = 0; i < sizeof frame / sizeof frame[0]; i++)
        sqlite3_finalize(frame[i]);
    (void)sqlite3_close(c->db);
    *c = (struct gd_sqlite_conn){ 0 };
}

/* Made by us first, so that it is never readable by others, not even for a moment. The descriptor is closed
 * before SQLite opens the file: closing it later would drop SQLite's locks. */
static int make_file(const char *path, struct gd_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;

    if (fd < 0)
        return gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return gd_err_set(err, GD_R_STORE_FAILED, "%s is not a regular file", path);
    }
    close(fd);
    return 0;
}

/* Ours, empty, or somebody else's. */
static int check_owner(struct gd_engine *e, struct gd_err *err)
{
    char text[64];
    int rc = pragma_is(e->w.db, "PRAGMA application_id", "1734619185"); /* APPLICATION_ID */

    if (rc == SQLITE_OK)
        return 0;
    if (rc == SQLITE_MISMATCH)
        rc = pragma_is(e->w.db, "SELECT count(*) FROM sqlite_schema", "0");
    if (rc == SQLITE_MISMATCH)
        return gd_err_set(err, GD_R_STORE_FOREIGN, "%s is a database, but not one of grantd", e->path);
    (void)snprintf(text, sizeof text, "PRAGMA application_id=%d", APPLICATION_ID);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(e->w.db, text, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;
    gd_sqlite_explain(err ? err : &(struct gd_err){ 0 }, e->w.db, rc);
    return -1;
}

static void set_looking(struct gd_engine *e, bool looking)
{
    pthread_mutex_lock(&e->look_lock);
    e->looking = looking;
    pthread_mutex_unlock(&e->look_lock);
}

/* An interruption that comes before the first step is not seen, and this not while one table is walked. */
static int on_progress(void *arg)
{
    struct gd_engine *e = arg;

    return atomic_load(&e->hurry);
}

int gd_sqlite_check(struct gd_engine *e, struct gd_err *err)
{
    int rc = SQLITE_OK;

    if (e->checked)
        return 0;
    sqlite3_progress_handler(e->w.db, PROGRESS_OPS, on_progress, e);
    set_looking(e, true);
    rc = pragma_is(e->w.db, "PRAGMA quick_check(1)", "ok");
    set_looking(e, false);
    sqlite3_progress_handler(e->w.db, 0, NULL, NULL);
    e->checked = rc == SQLITE_OK;
    if (rc == SQLITE_OK)
        return 0;
    if (rc == SQLITE_MISMATCH || gd_sqlite_reason(rc) == GD_R_STORE_CORRUPT)
        return gd_err_set(err, GD_R_STORE_CORRUPT, "%s is damaged; keep a copy and restore a backup",
                          e->path);
    gd_sqlite_explain(err ? err : &(struct gd_err){ 0 }, e->w.db, rc);
    return -1;
}

static int open_both(struct gd_engine *e, struct gd_err *err)
{
    int rc = open_conn(e, &e->w, SQLITE_OPEN_READWRITE);
    sqlite3 *db = e->w.db;

    if (rc == SQLITE_OK && check_owner(e, err) < 0) /* before anything in it is changed */
        return -1;
    if (rc == SQLITE_OK)
        rc = set_writer(e);
    if (rc == SQLITE_OK)
        rc = prepare_frame(&e->w);
    if (rc == SQLITE_OK) {
        rc = open_conn(e, &e->r, SQLITE_OPEN_READONLY);
        db = e->r.db;
    }
    if (rc == SQLITE_OK)
        rc = gd_sqlite_prepare(&e->r, "BEGIN", SQLITE_PREPARE_PERSISTENT, &e->r.begin);
    if (rc == SQLITE_OK)
        rc = gd_sqlite_prepare(&e->r, "ROLLBACK", SQLITE_PREPARE_PERSISTENT, &e->r.rollback);
    if (rc == SQLITE_OK)
        return 0;
    if (rc == SQLITE_MISMATCH)
        return gd_err_set(err, GD_R_STORE_FAILED,
                          "%s lies on a file system that cannot carry it; use a local one", e->path);
    return gd_err_set(err, gd_sqlite_reason(rc), "%s cannot be opened: %s (%d)", e->path, sqlite3_errmsg(db),
                      rc);
}

void gd_sqlite_close(struct gd_engine *e)
{
    if (e->w.db && e->checked && !e->stopped) /* leaves one file behind, and no copy of what was deleted */
        (void)sqlite3_wal_checkpoint_v2(e->w.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    else if (e->w.db) /* what has not been found whole stays as it is */
        (void)sqlite3_db_config(e->w.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    close_conn(&e->r);
    close_conn(&e->w);
    gd_ahead_stop(&e->ahead);
    pthread_mutex_destroy(&e->read_lock);
    pthread_mutex_destroy(&e->look_lock);
    gd_free(e->path);
    gd_free(e);
}

static struct gd_engine *new_engine(const struct gd_store_options *o, const struct gd_store_host *host)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct gd_engine *e = gd_new(sizeof *e);

    pthread_once(&once, configure);
    e->path = gd_strdup(o->path);
    e->log = host->log;
    e->clock = host->clock;
    e->store = host->store;
    e->spooled = host->spooled;
    pthread_mutex_init(&e->read_lock, NULL);
    pthread_mutex_init(&e->look_lock, NULL);
    return e;
}

/* The moment is that of the first look, so it is looked at once here. */
int gd_sqlite_view(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
                   struct gd_err *err)
{
    struct gd_engine *e = new_engine(o, host);
    int rc = open_conn(e, &e->r, SQLITE_OPEN_READONLY);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(e->r.db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        *ret = e;
        return 0;
    }
    gd_err_set(err, gd_sqlite_reason(rc), "%s cannot be looked at: %s (%d)", e->path, sqlite3_errmsg(e->r.db),
               rc);
    gd_sqlite_close(e);
    return -1;
}

int gd_sqlite_open(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
                   struct gd_err *err)
{
    struct gd_engine *e;

    if (make_file(o->path, err) < 0)
        return -1;
    e = new_engine(o, host);
    gd_ahead_start(&e->ahead, e->path);
    if (open_both(e, err) < 0) {
        gd_sqlite_close(e);
        return -1;
    }
    *ret = e;
    return 0;
}
