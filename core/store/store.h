/* store/store.h - the one interface to what is durable. A transaction is a list of statements with their
 * parameters, made before it is submitted and therefore replayable: an engine may group it with others, send
 * it down a pipeline, or run it again when the server asks. It holds no reads that decide: conditions stand
 * in the SQL (UPDATE ... WHERE gen = ?), and the number of rows a statement changed is the answer.
 *
 * Promise: after done(GD_STORE_OK) it is on disk. FAILED: nothing of it happened. UNCERTAIN: it may have
 * happened (commit in doubt); read by attempt id before doing anything else. A backend error is never read as
 * absent.
 *
 * SQL: the subset that PostgreSQL and its wire-compatible distributed engines also run; parameters are
 * $1..$n; keys begin with workspace; no sequences, triggers, foreign keys, temp tables or data-modifying CTEs
 * (tools/check/sql). gd_now() is Unix milliseconds by the one clock that all nodes share: the daemon's where
 * there is one node, the database's where there are several. It may be a moment old, never ahead. What nodes
 * compare with each other (leases) is written and compared with it alone. gd_era() is a text that is another
 * one since a standby took the primary's place, or the database was set back, and so may lack what was
 * acknowledged; empty where
 * nothing of the kind can be, or be known.
 *
 * Threads: all functions on the loop thread; the engine works on a thread of its own. done is called on the
 * loop, never inside submit. */
#ifndef GD_STORE_STORE_H
#define GD_STORE_STORE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/err.h"
#include "log/log.h"

#include <uv.h>

/* A statement, once per text: GD_SQL(sql_client_get, "SELECT ... WHERE workspace = $1 AND id = $2"); */
struct gd_sql {
    const char *text;
};
#define GD_SQL(name, sql) static const struct gd_sql name = { sql }

enum gd_param_kind { GD_PARAM_NULL, GD_PARAM_TEXT, GD_PARAM_INT, GD_PARAM_BYTES };
struct gd_param {
    enum gd_param_kind kind;
    const void *p;
    int64_t num;
    size_t n;
};
static inline struct gd_param gd_p_text(const char *s)
{
    return (struct gd_param){ .kind = s ? GD_PARAM_TEXT : GD_PARAM_NULL, .p = s };
}
static inline struct gd_param gd_p_bytes(const void *b, size_t n)
{
    return (struct gd_param){ .kind = b ? GD_PARAM_BYTES : GD_PARAM_NULL, .p = b, .n = n };
}
#define GD_P_TEXT(s)     gd_p_text(s) /* NULL is NULL */
#define GD_P_INT(v)      ((struct gd_param){ .kind = GD_PARAM_INT, .num = (int64_t)(v) })
#define GD_P_BYTES(b, l) gd_p_bytes((b), (l))
#define GD_P_NULL        ((struct gd_param){ .kind = GD_PARAM_NULL })

enum gd_store_result { GD_STORE_OK, GD_STORE_FAILED, GD_STORE_UNCERTAIN };

struct gd_store;
struct gd_tx;
typedef void gd_tx_fn(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* Making one. Everything is copied into the transaction's arena. Returns the statement's number, from 0. */
struct gd_tx *gd_tx_new(struct gd_store *s);
size_t gd_tx_add_(struct gd_tx *tx, const struct gd_sql *sql, const struct gd_param *params, size_t n);
/* With at least one parameter; without any: gd_tx_add_(tx, sql, NULL, 0). */
#define gd_tx_add(tx, sql, ...)                                       \
    gd_tx_add_((tx), (sql), (const struct gd_param[]){ __VA_ARGS__ }, \
               sizeof((const struct gd_param[]){ __VA_ARGS__ }) / sizeof(struct gd_param))
/* A record that is appended to the spool and synced before the transaction commits (grant/ replays what a
 * crash left between the two). At most one a transaction. The record of a transaction that did not end OK
 * stays in the spool for the next start; giving the same bytes again with one that does settles it. On a full
 * disk and after a failure of the spool only transactions that carry a record are still tried (STORE_FULL,
 * STORE_FAILED for the others): nothing new shall begin that could not be kept. */
void gd_tx_spool(struct gd_tx *tx, const void *record, size_t n);
/* Other nodes hold something in memory under this name and the transaction changes it: they are told soon
 * after the commit (on_news). As often as needed; where the store is not shared it does nothing. */
void gd_tx_news(struct gd_tx *tx, const char *workspace, const char *id);
/* Ends what the present process of a node may write: from this commit on each of its transactions fails with
 * STORE_LOCKED, until it has opened the store anew. Before that what it left unfinished at the database is
 * ended, so that nobody waits for its locks. The statement's number: it changed one row, or none when one of
 * that node's commits came at the same moment (ask again). SIZE_MAX where the store is not shared. Only in
 * what is given to gd_store_commit_apart; a SELECT that comes first there is asked before, and when it finds
 * nothing all is left as it is. */
size_t gd_tx_fence(struct gd_tx *tx, const char *node);
void gd_tx_lease(struct gd_tx *tx); /* it takes a lease: a test build can be killed between its statements */
void gd_tx_free(struct gd_tx *tx);  /* of one that was never submitted; submitted ones are freed after done */

/* Writes: one atomic transaction, durable when done says OK. Order of submission is order of commit. */
void gd_store_commit(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg);
/* Reads: a consistent view that includes every commit acknowledged before; runs beside writes. */
void gd_store_read(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg);
/* The same for one small statement that somebody waits for (a token that is not in memory): where the store
 * is shared no long read holds it up, and several go together. In no order with the reads of gd_store_read.
 */
void gd_store_read_soon(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg);

/* A few statements on a connection of their own: behind no other transaction of this process, and not for
 * long behind what others hold locked. Kept only if each that changes something changed a row (else OK, and
 * one of them changed 0); it is not told to anybody and nobody repeats it. For the leases of nodes and for
 * fences, where the store is shared; elsewhere it is gd_store_commit. Any thread; done runs on the loop, and
 * may be NULL. */
void gd_store_commit_apart(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg);

/* done, when on_news has been told of all that other nodes had committed before this call. At once where the
 * store is not shared. */
void gd_store_catch_up(struct gd_store *s, gd_tx_fn *done, void *arg);

/* Leaves no copy of what the commits before it deleted: rewrites the file when it is not too large
 * (GD_STORE_SCRUB_MAX; overwriting alone misses what moved between pages), ends the log and empties the
 * spool. Call it when what was deleted has been committed. FAILED: it is deleted, but copies may still be
 * there; ask again. */
void gd_store_scrub(struct gd_store *s, gd_tx_fn *done, void *arg);

/* Is the file whole? Looks at all of it, once a start; the first commit that changes something does so by
 * itself, and nothing is changed before. FAILED with STORE_CORRUPT: nothing is ever changed in it. */
void gd_store_check(struct gd_store *s, gd_tx_fn *done, void *arg);

/* Results, valid inside done. */
/* The commit that it was part of, counted from 1 since the start: what has the same number is durable
 * together or not at all. 0: it was none. */
uint64_t gd_tx_group(const struct gd_tx *tx);
int64_t gd_tx_changes(const struct gd_tx *tx, size_t stmt); /* rows that an INSERT, UPDATE, DELETE touched */
size_t gd_tx_rows(const struct gd_tx *tx, size_t stmt);
const char *gd_tx_text(const struct gd_tx *tx, size_t stmt, size_t row, size_t col); /* NULL for NULL */
int64_t gd_tx_int(const struct gd_tx *tx, size_t stmt, size_t row, size_t col);      /* 0 for NULL */
bool gd_tx_is_null(const struct gd_tx *tx, size_t stmt, size_t row, size_t col);
const void *gd_tx_bytes(const struct gd_tx *tx, size_t stmt, size_t row, size_t col, size_t *ret_n);
struct gd_arena *gd_tx_arena(
    struct gd_tx *tx); /* lives until done returned: for what the caller wants to keep along */

/* One row, valid inside fn. */
struct gd_row;
typedef void gd_row_fn(void *arg, const struct gd_row *row);
const char *gd_row_text(const struct gd_row *r, int col);
int64_t gd_row_int(const struct gd_row *r, int col);
const void *gd_row_bytes(const struct gd_row *r, int col, size_t *ret_n);
/* The rows of one statement of a finished transaction, in the same form. */
void gd_tx_each(const struct gd_tx *tx, size_t stmt, gd_row_fn *fn, void *arg);
/* Start-up only, blocking: streams the rows of one query in batches without holding them all. */
int gd_store_scan(struct gd_store *s, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err);

/* ---- opening
 * ----------------------------------------------------------------------------------------------- */
/* Append only; never edit one that shipped. Each is run in one transaction, once; version = position + 1. */
struct gd_migration {
    const char *name;
    const char *const *statements; /* ends with NULL */
};
/* node changed what is known as id in workspace. Both NULL: it may have changed anything (what it said was
 * lost: this node was away for too long, or the database was set back), read again whatever is held. */
typedef void gd_store_news_fn(void *arg, const char *node, const char *workspace, const char *id);
struct gd_store_options {
    const char *path;       /* file of the embedded engine; lock and ballast stand beside it in any case */
    const char *spool_path; /* NULL: this store takes no spool records */
    const struct gd_migration *migrations;
    size_t nmigrations;
    unsigned group_wait_us; /* a group may form for so long; 0: at once */
    unsigned group_max;
    /* A database that several nodes share; all of it is unused while url is NULL. */
    const char *url;           /* postgresql://...; may hold a password */
    const char *password_file; /* NULL: the password is in the url, in libpq's own places, or not needed */
    const char *module_dir;    /* where the engine's .so lies */
    bool own_modules;          /* it may belong to the user of this process, not only to root */
    const char *schema;        /* of the database; one store, one schema */
    const char *node;          /* name of this node, one process at a time */
    unsigned deadline_ms;      /* a query or commit without an answer for so long has failed; 0: 10 s */
    bool unprepared;           /* statements are not kept prepared: there is a pooler in between */
    bool accept_async;         /* the database may acknowledge what a crash of it can lose */
    gd_store_news_fn *on_news; /* on the loop; NULL: nobody wants to know */
    /* On the loop, once: commits that were acknowledged are gone (a standby was promoted that lacked them, a
     * backup restored). Nothing more is written by this process: STORE_SET_BACK. Start it anew. */
    void (*on_set_back)(void *arg);
    void *arg;
};
/* Blocking. Migrates; a file that needs no migration is not looked at as a whole yet: gd_store_check.
 * STORE_LOCKED another process has it, STORE_TOO_NEW, STORE_CORRUPT, STORE_FAILED; of
 * a shared one STORE_MODULE, STORE_UNREACHABLE, STORE_DENIED, STORE_CERT, STORE_TOO_OLD, STORE_POOLED,
 * STORE_READ_ONLY, STORE_UNSAFE, STORE_FOREIGN. */
int gd_store_open(struct gd_store **ret, uv_loop_t *loop, const struct gd_store_options *o,
                  const struct gd_clock *clock, struct gd_log *log, struct gd_err *err);
/* Replays the spool: fn for each whole record (a torn last one is dropped), oldest first. Before any commit.
 */
int gd_store_spool_replay(struct gd_store *s, void (*fn)(void *arg, const void *rec, size_t n), void *arg,
                          struct gd_err *err);
/* What was in the spool and stored is kept for a while where the store is shared, because such a store may
 * lose what it acknowledged. Goes back from the newest record until there() finds one stored: all before it
 * is, too, because a node's commits have an order. When one behind it is lost, fn is called for all behind
 * it, oldest first. Before gd_store_spool_replay, whose records are newer. */
enum gd_spool_there { GD_SPOOL_STORED, GD_SPOOL_LOST, GD_SPOOL_UNSAID };
typedef enum gd_spool_there gd_spool_there_fn(void *arg, const void *rec, size_t n);
void gd_store_spool_lost(struct gd_store *s, gd_spool_there_fn *there,
                         void (*fn)(void *arg, const void *rec, size_t n), void *arg);
/* Soon: empties the spool, and what is kept of it goes, too. Of somebody whom another node erased. */
void gd_store_spool_forget(struct gd_store *s);
/* After the replayed records are in the store: empties the spool. */
int gd_store_spool_clear(struct gd_store *s, struct gd_err *err);
/* All whole records that the spool holds now, as the bytes of a spool file; caller frees. Any thread. */
int gd_store_spool_copy(struct gd_store *s, void **ret, size_t *ret_n, struct gd_err *err);
/* Several nodes may work on it. */
bool gd_store_shared(const struct gd_store *s);
/* So many ms ago this node knew all news of the others; 0 when the store is not shared. Any thread. */
int64_t gd_store_seen_ms(const struct gd_store *s);
/* It will be closed soon: a look at the file that is under way need not end, nothing is changed in it then.
 */
void gd_store_hurry(struct gd_store *s);
/* Finishes what was submitted, then closes; done runs on the loop. */
void gd_store_close(struct gd_store *s, void (*done)(void *), void *arg);
int64_t gd_store_bytes(const struct gd_store *s);
/* {"engine","version","queue","commits","groups","last_commit_ms","bytes"} */
json_t *gd_store_status(struct gd_store *s);

#endif
