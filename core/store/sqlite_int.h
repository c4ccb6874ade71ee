/* store/sqlite_int.h - what the two files of the embedded engine share: the connections, their statements,
 * errors. */
#ifndef GD_STORE_SQLITE_INT_H
#define GD_STORE_SQLITE_INT_H

#include "store/store_int.h"

#include <pthread.h>
#include <sqlite3.h>

#define GD_SQLITE_SLOTS 512 /* power of two; more texts than half of it are prepared each time */

struct gd_sqlite_stmt {
    const struct gd_sql *sql; /* NULL: empty */
    sqlite3_stmt *stmt;
    size_t nparams;
    unsigned char from[GD_STORE_PARAMS_MAX]; /* which of ours stands at SQLite's place i + 1 */
};

struct gd_sqlite_conn {
    sqlite3 *db;
    struct gd_sqlite_stmt slots[GD_SQLITE_SLOTS];
    size_t count;
    sqlite3_stmt *begin, *commit, *rollback, *savepoint, *release, *undo;
};

/* A large file, read once from front to back on a thread of its own. */
struct gd_ahead {
    pthread_t thread;
    bool running;
    int fd;
    off_t size;
    _Atomic off_t done; /* how much of it was read; size, once all is */
    atomic_bool stop;
};

struct gd_engine {
    struct gd_sqlite_conn w, r;
    pthread_mutex_t read_lock;
    char *path;
    struct gd_log *log;
    const struct gd_clock *clock;
    struct gd_store *store;
    void (*spooled)(struct gd_store *s); /* of the host */
    int wal_pages, wal_copied;           /* length of the log; how much of it the last checkpoint saw */
    bool checked; /* [writer thread] the file was found whole; until then nothing is written */
    bool stopped; /* [writer thread] after an I/O error: takes nothing more until a restart */
    struct gd_err why;
    pthread_mutex_t look_lock; /* of looking: an interruption meets the look and nothing behind it */
    bool looking;
    atomic_bool hurry; /* the store is being closed */
    struct gd_ahead ahead;
};

/* One statement, no more and no less. */
int gd_sqlite_prepare(struct gd_sqlite_conn *c, const char *text, unsigned flags, sqlite3_stmt **ret);
enum gd_reason gd_sqlite_reason(int rc);
/* SQLite's messages name tables, columns and words of the SQL, never values. */
void gd_sqlite_explain(struct gd_err *err, sqlite3 *db, int rc);

/* ahead.c; stop may be called whatever became of the start. Start before SQLite opens the file and stop after
 * it closed it: whoever closes a file takes all of his process's locks on it along (fcntl(2)), SQLite's too.
 */
void gd_ahead_start(struct gd_ahead *a, const char *path);
void gd_ahead_stop(struct gd_ahead *a);

/* sqlite_open.c */
int gd_sqlite_open(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
                   struct gd_err *err);
int gd_sqlite_view(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
                   struct gd_err *err);
void gd_sqlite_close(struct gd_engine *e);
/* Looks at the whole file, once; takes seconds where it is large. */
int gd_sqlite_check(struct gd_engine *e, struct gd_err *err);
/* walfile.c: the name of the VFS that the writer opens its files with; once. NULL: there is none, the usual
 * one does as well. */
const char *gd_sqlite_walfile_setup(void);
int gd_sqlite_on_wal(void *arg, sqlite3 *db, const char *schema, int pages); /* sqlite.c: the log's length */

#endif
