/* store/postgresql/pg.h - the engine for a database that several nodes share: what its files know of each
 * other. It is a module of its own (postgresql.so), so that libpq is needed only by those who use it.
 *
 * Four threads, each with its connection: the store's writer thread writes groups, its reader thread reads, a
 * third one does what must wait for nobody (apart.c), a fourth small reads that somebody waits for, a thread
 * of the engine follows the feed (feed.c). Sockets do not block, each wait has an end, and the loop waits for
 * none of it. Commands go down a pipeline: what belongs together is sent at once and its answers are read as
 * they come. */
#ifndef GD_STORE_POSTGRESQL_PG_H
#define GD_STORE_POSTGRESQL_PG_H

#include "base/buf.h"
#include "base/mem.h"
#include "store/store_int.h"

#include <libpq-fe.h>

#define GD_PG_SLOTS     512 /* power of two; more texts than half of it are not kept prepared */
#define GD_PG_NEWS_MAX  (256 * 1024)
#define GD_PG_STATE_LEN 5
#define GD_PG_UNKNOWN   "40003" /* whether it happened: what a broken connection says, said by the server */
#define GD_PG_POOLED    "42P05" /* somebody has prepared our statement on what should be our connection */

uint64_t gd_pg_random(void);          /* conn.c: for names and jitter, not for secrets */
static inline int64_t gd_pg_now(void) /* of waits and deadlines; never of anything that is stored */
{
    return gd_mono(gd_clock_system());
}

/* ---- place.c: where the database is, and how it may be spoken to
 * -------------------------------------------
 */
struct gd_pg_host { /* arrays for PQconnectStartParams; end with NULL */
    const char **keys;
    char **values;
};
struct gd_pg_place {
    PQconninfoOption *given;    /* the parsed url */
    char *password_file, *text; /* text: host, port and database, for people */
    char *tls;                  /* "verify-full", "local", or the weaker mode that the url asks for */
    size_t nhosts;
    unsigned timeout_ms;
};
int gd_pg_place_init(struct gd_pg_place *p, const struct gd_store_options *o, struct gd_err *err);
void gd_pg_place_done(struct gd_pg_place *p);
/* What to connect with to the i-th host; name is shown in the server's list of connections. */
int gd_pg_place_host(const struct gd_pg_place *p, size_t i, const char *name, struct gd_pg_host *ret,
                     struct gd_err *err);
void gd_pg_host_done(struct gd_pg_host *h);

/* ---- sql.c: statements in the server's words
 * ----------------------------------------------------------------
 */
struct gd_pg_sql {
    const struct gd_sql *sql; /* NULL: empty */
    char *text, name[16];
    bool travels; /* has one parameter more than ours: how far the daemon's clock is ahead */
    bool ready;   /* prepared on this connection */
    bool asked;   /* that is on its way */
};
/* Most rows are changed where they are, again and again: with room left on their page the new version stays
 * on it and no index hears of it. */
#define GD_PG_ROOM "fillfactor = 85"
/* text COLLATE "C" for text, the clock for gd_now(), era for gd_era(); caller frees. */
char *gd_pg_translate(const char *text, size_t nparams, const char *era, bool *ret_travels);

/* ---- conn.c
 * ---------------------------------------------------------------------------------------------------
 */
struct gd_pg_conn {
    struct gd_engine *engine;
    const char *name; /* "writer", "reader", ... */
    PGconn *pg;       /* NULL: none */
    int64_t next_try; /* not before */
    unsigned tries;
    struct gd_err why; /* of the last failure to connect */
    size_t host;       /* the one that answered last */
    int backend;       /* the server's process */
    bool was_up;
    struct gd_pg_sql slots[GD_PG_SLOTS];
    size_t count;
};
void gd_pg_conn_init(struct gd_pg_conn *c, struct gd_engine *e, const char *name);
void gd_pg_conn_done(struct gd_pg_conn *c);
/* Is there, or gets there until then; tries again with jitter. Every connection made is checked: whose
 * database it is, that it can be written, that nothing acknowledged is missing. */
int gd_pg_connect(struct gd_pg_conn *c, int64_t until, struct gd_err *err);
void gd_pg_drop(struct gd_pg_conn *c);
void gd_pg_wait(unsigned turn); /* a little, and longer from turn to turn: before the same is tried again */
/* What the five letters of the server mean, and that with its sentence, if that quotes nobody's values. */
enum gd_reason gd_pg_reason(const char *state);
void gd_pg_explain(struct gd_err *err, const char *state, const char *message);

/* ---- pipe.c: a row of commands, sent at once
 * ---------------------------------------------------------------
 */
enum gd_pg_kind { GD_PG_PREPARE, GD_PG_COMMAND, GD_PG_STMT, GD_PG_SYNC };
struct gd_pg_item {
    enum gd_pg_kind kind;
    struct gd_tx *tx; /* GD_PG_STMT: where its results go, or NULL */
    struct gd_stmt *st;
    struct gd_pg_sql *slot;
};
struct gd_pg_run {
    struct gd_pg_conn *c;
    struct gd_pg_item *items;
    size_t n, got, cap;
    int64_t until;
    bool stepwise; /* wait for each answer before the next is sent (fault points) */
    bool answered; /* the current one had its result */
    bool lost;     /* the connection is gone, or did not answer in time */
    bool slow;     /* the latter */
    size_t failed; /* the first that was refused; SIZE_MAX: none */
    char state[GD_PG_STATE_LEN + 1];
    struct gd_err err;
};
void gd_pg_run_init(struct gd_pg_run *r, struct gd_pg_conn *c, int64_t until);
void gd_pg_run_done(struct gd_pg_run *r);
void gd_pg_command(struct gd_pg_run *r, const char *text); /* without parameters and results */
void gd_pg_stmt(struct gd_pg_run *r, struct gd_tx *tx, struct gd_stmt *st);
void gd_pg_flush(struct gd_pg_run *r); /* the server shall send what it has */
/* Sends what is left and waits for all answers. 0; -1 with r->failed or r->lost, r->state and r->err. */
int gd_pg_end(struct gd_pg_run *r);
/* Begins and ends a transaction that must not see the daemon's other schemas. mode: "READ COMMITTED", ... */
void gd_pg_begin(struct gd_pg_run *r, const char *mode);
/* The results of one statement of the engine's own: fills tx, which the caller made. */
int gd_pg_ask(struct gd_pg_conn *c, struct gd_tx *tx, int64_t until, struct gd_err *err);
/* value.c: a cell of a result; it points into the result. */
void gd_pg_value(const PGresult *res, int row, int col, struct gd_param *ret);
bool gd_pg_types_known(const PGresult *res); /* whether the store knows them all */

/* ---- the engine
 * -----------------------------------------------------------------------------------------------
 */
struct gd_pg_mark { /* a row of the feed; link tells it from another that has the same number */
    int64_t n, link;
};
struct gd_pg_seen {              /* where the log of the database ended, and in which era */
    int64_t timeline, said, end; /* timeline 0: nothing was seen */
};
struct gd_engine {
    struct gd_pg_place place;
    struct gd_store_host host;
    char *node, *schema, *search_path;
    const char *era;          /* the server's words for gd_era(); NULL: not known yet */
    int seen_fd;              /* file that keeps what was seen; -1: none */
    int64_t noted;            /* when that was written */
    pthread_mutex_t lock_era; /* of saying that there is a new one */
    bool unprepared, accept_async;
    bool opening; /* until all that is there from the beginning is connected; one thread */
    int64_t deadline_ms;
    struct gd_pg_conn w, r, apart, soon;
    struct gd_pg_conn lock;     /* holds the row that keeps others from migrating at the same time */
    struct gd_pg_mark open;     /* [writer thread] sent, and not known whether committed; n 0: none */
    int64_t burnt;              /* the link that its number gets when it was not */
    int old_backend;            /* the server's process that had it */
    pthread_mutex_t lock_state; /* of what follows */
    char *installation, *server, *durability;
    struct gd_pg_seen seen;
    struct gd_pg_mark acked; /* the newest row of ours that is known to be there */
    bool begun;              /* a group of this process is there */
    bool stopped;
    struct gd_err why;
    int64_t reconnects;
    _Atomic int64_t bytes;
    struct gd_pg_feed *feed;
    struct gd_pg_conn *view; /* NULL, or all that there is: a look at one moment */
};
/* Nothing more is written by this process. */
void gd_pg_stop(struct gd_engine *e, const struct gd_err *why, bool set_back);
bool gd_pg_stopped(struct gd_engine *e, struct gd_err *ret);
struct gd_pg_mark gd_pg_acked(struct gd_engine *e);
void gd_pg_count_reconnect(struct gd_engine *e);

/* open.c */
/* An engine without any connection. */
int gd_pg_new(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
              struct gd_err *err);
/* [writer thread] The number after our first one is taken. By a neighbour that took the process before us for
 * dead, just as we came? Then that holds for this one not, as long as it has written nothing: the next number
 * is taken, and true returned. */
bool gd_pg_pass_fence(struct gd_engine *e);
int gd_pg_open(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
               struct gd_err *err);
void gd_pg_close(struct gd_engine *e);
int gd_pg_lock(struct gd_engine *e, struct gd_err *err);
void gd_pg_unlock(struct gd_engine *e);
/* check.c: on a connection just made. */
int gd_pg_check(struct gd_pg_conn *c, int64_t until, struct gd_err *err);
/* A part of it: all that was acknowledged is there. Behind a pooler each transaction may meet another server.
 */
int gd_pg_check_ours(struct gd_pg_conn *c, int64_t until, struct gd_err *err);
/* era.c: has the database been set back? What was seen, before asking; the question, as a statement of a
 * transaction that asks something anyway; and the answer. Or something is not there any more that was read in
 * the era under. When it was, that is said in the database: from then on gd_era() is another. */
extern const char gd_pg_timeline[], gd_pg_era[];
bool gd_pg_has_era(const struct gd_engine *e);
struct gd_pg_seen gd_pg_seen(struct gd_engine *e);
void gd_pg_era_ask(const struct gd_engine *e, struct gd_tx *tx);
int gd_pg_era_take(struct gd_pg_conn *c, const struct gd_tx *tx, size_t stmt, const struct gd_pg_seen *before,
                   int64_t until, struct gd_err *err);
struct gd_pg_seen gd_pg_era_found(const struct gd_tx *tx, size_t stmt);
/* feed.c: the same of the neighbours, whose commits have been read. Any thread. */
void gd_pg_heads_ask(const struct gd_engine *e, struct gd_tx *tx);
int gd_pg_heads_take(struct gd_pg_conn *c, const struct gd_tx *tx, size_t stmt, int64_t until,
                     struct gd_err *err);
int gd_pg_era_lost(struct gd_pg_conn *c, const struct gd_pg_seen *under, int64_t until, struct gd_err *err);
void gd_pg_seen_set(struct gd_engine *e, const struct gd_pg_seen *s);
/* seen.c: in a file that belongs to this store. each: of a neighbour the newest commit that was read. */
#define GD_PG_SEEN_MAX (256 * 1024)
typedef void gd_pg_seen_fn(void *arg, const char *node, const struct gd_pg_mark *at);
void gd_pg_seen_load(struct gd_engine *e, const char *path, gd_pg_seen_fn *each, void *arg);
bool gd_pg_seen_due(const struct gd_engine *e); /* [feed thread] once a second */
void gd_pg_seen_line(struct gd_buf *b, const char *node, const struct gd_pg_mark *at);
void gd_pg_seen_note(struct gd_engine *e, const struct gd_pg_seen *s, const char *lines);
/* write.c, scrub.c */
extern const struct gd_sql gd_pg_fence; /* see gd_tx_fence */
int gd_pg_write(struct gd_engine *e, struct gd_list *group);
int gd_pg_scrub(struct gd_engine *e, struct gd_err *err);
void gd_pg_teach_nothing(struct gd_engine *e); /* no statistics of what people wrote */
/* apart.c */
void gd_pg_apart(struct gd_engine *e, struct gd_tx *tx);
/* read.c */
void gd_pg_read(struct gd_engine *e, struct gd_tx *tx);
void gd_pg_soon(struct gd_engine *e, struct gd_list *group);
int gd_pg_view(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
               struct gd_err *err);
int gd_pg_scan(struct gd_engine *e, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err);
/* feed.c */
/* Where everybody is; no thread yet. path: of this store, NULL: none. */
int gd_pg_feed_new(struct gd_engine *e, const char *path, struct gd_err *err);
void gd_pg_feed_start(struct gd_engine *e);
void gd_pg_feed_stop(struct gd_engine *e);                   /* NULL is fine */
int gd_pg_catch_up(struct gd_engine *e, struct gd_err *err); /* [reader thread] */
void gd_pg_feed_told(struct gd_engine *e); /* [writer thread] there is something new in ours */

#endif
