/* store/store_int.h - what the files of this room share: the shape of a transaction, and what an engine must
 * do. An engine knows one database; queues, groups, the spool and the ballast are the room's own and the same
 * for all. */
#ifndef GD_STORE_INT_H
#define GD_STORE_INT_H

#include "base/list.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct gd_stmt {
    const struct gd_sql *sql;
    struct gd_param *params;
    size_t nparams;
    /* results; in the arena of the transaction */
    int64_t changes;
    size_t nrows, ncols, cap;
    struct gd_param *cells; /* nrows * ncols */
    bool got;               /* an engine's: its results are whole */
};

struct gd_tx {
    struct gd_list link;
    struct gd_store *store;
    struct gd_arena *arena;
    struct gd_stmt *stmts;
    size_t nstmts, cap;
    void *spool; /* record, or NULL */
    size_t nspool;
    const char **news; /* workspace, id, workspace, id, ...; in the arena */
    size_t nnews, news_cap;
    gd_tx_fn *done;
    void *arg;
    enum gd_store_result result;
    struct gd_err err;
    uint64_t group; /* see gd_tx_group */
    int64_t since;  /* mono ms by the system's clock: when it was submitted; 0: nobody waits */
    bool lease;     /* it takes one: point F02 lies behind its first statement */
    bool catch_up;  /* nothing to read but the news */
    bool scrub;     /* after its commit the engine's scrub */
    bool forget;    /* after it what the spool has is gone */
    bool check;     /* before it the engine looks at the whole file, where it has one */
    bool once;      /* its statements are not worth keeping prepared */
    bool too_big;   /* the arena's budget was passed while it was made */
};

struct gd_row {
    const struct gd_param *cells; /* point into the engine's memory, until the next row */
    int ncols;
};

struct gd_engine; /* defined by each engine for itself */

/* What an engine is given by the store that it works for. The functions may be called on any thread, once
 * open has returned. They are pointers because an engine may live in a module. */
struct gd_store_host {
    struct gd_store *store;
    struct gd_log *log;
    const struct gd_clock *clock; /* the daemon's */
    void (*news)(struct gd_store *s, const char *node, const char *workspace, const char *id);
    void (*seen)(struct gd_store *s, int64_t mono); /* all news up to then (system's clock) were given */
    void (*set_back)(struct gd_store *s);
    void (*spooled)(struct gd_store *s); /* [writer thread] see spools_late; NULL: nothing is spooled */
};

struct gd_store_engine {
    const char *name;
    /* Calls spooled right before each commit, which waits until the group's answers are on disk: their sync
     * and its statements go on side by side. Else write comes after that wait. */
    bool spools_late;
    bool shared;                /* several nodes may work on it */
    const struct gd_sql *fence; /* NULL, or what gd_tx_fence adds: $1 is the node */
    /* Opens and makes ready; no thread of the store runs yet. *host is copied. */
    int (*open)(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
                struct gd_err *err);
    /* Opens a second one, of which only scan and close are called, on one thread: it shows the store as of
     * one moment, takes no lock that others wait for, and changes nothing. The store need not be open. */
    int (*view)(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
                struct gd_err *err);
    /* NULL, or: from now on it may tell the host. */
    void (*start)(struct gd_engine *e);
    /* NULL, or: no other node brings the tables up to date meanwhile. */
    int (*lock)(struct gd_engine *e, struct gd_err *err);
    void (*unlock)(struct gd_engine *e);
    /* [writer thread] Runs all transactions of the group (struct gd_tx.link) as one commit and fills result
     * and err of each; one that fails alone leaves the others whole. Returns 0, or ENOSPC when the disk is
     * full: then nothing of the whole group happened and it may be given again. An engine with a file of its
     * own changes nothing in it before it has looked at all of it. */
    int (*write)(struct gd_engine *e, struct gd_list *group);
    /* NULL, or [writer thread]: housekeeping between two groups, after the answers went out. */
    void (*tidy)(struct gd_engine *e);
    /* [writer thread] No copy of what was deleted is left; the size is GD_STORE_SCRUB_MAX's business. */
    int (*scrub)(struct gd_engine *e, struct gd_err *err);
    /* [reader thread, or the loop while nobody else reads] Fills result, err and the rows. */
    void (*read)(struct gd_engine *e, struct gd_tx *tx);
    /* NULL, or [a thread of its own]: see gd_store_read_soon. Fills result, err and the rows of each. */
    void (*soon)(struct gd_engine *e, struct gd_list *group);
    /* NULL, or [a thread of its own]: see gd_store_commit_apart. Fills result, err and the rows. */
    void (*apart)(struct gd_engine *e, struct gd_tx *tx);
    /* NULL, or [reader thread]: tells the host all news that others have committed by now. */
    int (*catch_up)(struct gd_engine *e, struct gd_err *err);
    int (*scan)(struct gd_engine *e, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err);
    /* NULL, or: [loop] the store is being closed, a look at the file that is under way may end unfinished */
    void (*hurry)(struct gd_engine *e);
    int64_t (*bytes)(const struct gd_engine *e);         /* any thread */
    void (*describe)(struct gd_engine *e, json_t *into); /* NULL, or [loop]: more for gd_store_status */
    void (*close)(struct gd_engine *e);                  /* after all threads ended */
};
extern const struct gd_store_engine gd_store_sqlite;
/* store.c: the one that these options ask for. */
int gd_store_engine_of(const struct gd_store_engine **ret, const struct gd_store_options *o,
                       struct gd_err *err);

/* ---- tx.c: building and reading transactions; what engines need of it -----------------------------------
 */
/* One more row for st; the cells are zeroed. NULL with LIMIT_REACHED in tx->err. */
struct gd_param *gd_tx_row(struct gd_tx *tx, struct gd_stmt *st, size_t ncols);
bool gd_tx_cell(struct gd_tx *tx, struct gd_param *cell,
                const struct gd_param *value); /* copies; false: too big */
void gd_tx_reset(struct gd_tx *tx);            /* forgets results, to be run again */
int gd_tx_fail(struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
#define gd_tx_of(l) gd_container_of((l), struct gd_tx, link)

/* ---- news.c: from the engine to the loop -----------------------------------------------------------------
 */
struct gd_news {
    pthread_mutex_t lock; /* of what follows, up to told_back */
    struct gd_list items;
    size_t count;
    bool set_back, told_back;
    atomic_llong seen; /* mono ms by the system's clock */
    gd_store_news_fn *fn;
    void (*on_set_back)(void *arg);
    void *arg;
};
void gd_news_init(struct gd_news *n, const struct gd_store_options *o);
void gd_news_done(struct gd_news *n);
void gd_news_put(struct gd_news *n, const char *node, const char *workspace,
                 const char *id);        /* [any thread] */
void gd_news_deliver(struct gd_news *n); /* [loop] */

/* ---- migrate.c ------------------------------------------------------------------------------------------
 */
/* Brings the database to o->nmigrations. *ret_version is what it has then. */
/* Runs one transaction while the engine has no thread, and frees it. */
int gd_store_run(const struct gd_store_engine *ops, struct gd_engine *e, struct gd_tx *tx,
                 struct gd_err *err);
int gd_store_migrate(const struct gd_store_engine *ops, struct gd_engine *e, const struct gd_store_options *o,
                     int64_t now, int64_t *ret_version, struct gd_err *err);

/* ---- spool.c: append-only file of answers that are not yet in the store. [writer thread] after open -------
 */
struct gd_spool;
int gd_spool_open(struct gd_spool **ret, const char *path, struct gd_err *err);
void gd_spool_free(struct gd_spool *s);
/* Writes the records of all transactions of the group that carry one, and begins to sync them. 0; ENOSPC:
 * nothing was kept, may be tried again; EIO: the spool is broken from now on. */
int gd_spool_group(struct gd_spool *s, struct gd_list *group);
/* Until they are on disk; the same answers. When nothing is waited for: 0. */
int gd_spool_wait(struct gd_spool *s);
/* After the group's commit: remembers what is not in the store; empties the file when nothing is open and it
 * is long. */
void gd_spool_settle(struct gd_spool *s, struct gd_list *group);
bool gd_spool_usable(const struct gd_spool *s);
int gd_spool_replay(struct gd_spool *s, void (*fn)(void *arg, const void *rec, size_t n), void *arg,
                    struct gd_err *err);
/* All of it is in the store: empties it. It is kept beside, if that is wanted, until it is old or forgotten.
 */
int gd_spool_clear(struct gd_spool *s, struct gd_err *err);
int gd_spool_forget(struct gd_spool *s, struct gd_err *err);
void gd_spool_keep(struct gd_spool *s, int64_t ms, int64_t max); /* ms 0: not; files of before go */
void gd_spool_lost(struct gd_spool *s, gd_spool_there_fn *there,
                   void (*fn)(void *arg, const void *rec, size_t n), void *arg); /* see gd_store_spool_lost */
int gd_spool_copy(struct gd_spool *s, void **ret, size_t *ret_n, struct gd_err *err); /* any thread */
int gd_spool_remove(struct gd_spool *s, struct gd_err *err);                          /* the file, too */
int64_t gd_spool_size(const struct gd_spool *s);

/* ---- kept.c: records that were in the spool. The spool's lock is held.
 * ------------------------------------- */
struct gd_kept;
struct gd_kept *gd_kept_new(const char *spool, int64_t ms, int64_t max);
void gd_kept_free(struct gd_kept *k);                        /* the files stay; NULL is fine */
int gd_kept_add(struct gd_kept *k, const void *p, size_t n); /* framed records; 0 or errno */
int gd_kept_drop(struct gd_kept *k);                         /* 0 or errno */
/* All there is, oldest first; caller frees. */
unsigned char *gd_kept_load(const struct gd_kept *k, size_t *ret_n);

/* ---- file.c: small things about files --------------------------------------------------------------------
 */
uint32_t gd_crc32c(uint32_t crc, const void *p, size_t n);
int gd_write_at(int fd, const void *p, size_t n, int64_t offset); /* whole; 0 or errno */
int gd_sync_parent(const char *path);                             /* makes a new name durable; 0 or errno */
/* Exclusive lock file beside path; the descriptor, or -1 with STORE_LOCKED, STORE_FAILED. */
int gd_store_lock(const char *path, struct gd_err *err);

/* Space that is only there to be freed when the disk is full. */
struct gd_ballast {
    char *path;
    bool there;
};
void gd_ballast_init(struct gd_ballast *b, const char *path);
void gd_ballast_done(struct gd_ballast *b); /* the file stays */
bool gd_ballast_drop(struct gd_ballast *b); /* true when space came free */
bool gd_ballast_fill(struct gd_ballast *b); /* true when it is there (again) */

#endif
