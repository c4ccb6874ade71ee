/* store/postgresql/feed.c - what the other nodes did: each writes one row of the feed with each of its
 * groups, numbered without a gap, and this thread reads on from where it was, five times a second. A row
 * names its forerunner by its link: if that is not the one we had, something was missed (we were away for too
 * long, or the database was set back), and everything that is held has to be read again.
 *
 * NOTIFY only wakes the others up sooner: one for many commits, on this connection, never in a group. Where
 * it is not to be had, nothing is missing. */
#include "store/postgresql/pg.h"

#include "base/text.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS     200
#define NOTIFY_MS   20
#define CATCH_UP_MS 2000
#define TIDY_MS     60000
#define KEEP_MS     (10 * 60000) /* rows of ours; the newest is always kept */
#define ROWS        500
#define MANY_NODES  1024

GD_SQL(
    sql_heads,
    "WITH RECURSIVE t (node) AS (SELECT min(node) FROM feed UNION ALL SELECT (SELECT min(f.node) FROM feed f "
    "WHERE f.node > t.node) FROM t WHERE t.node IS NOT NULL) SELECT t.node, (SELECT f.n FROM feed f WHERE "
    "f.node = t.node ORDER BY f.n DESC LIMIT 1), (SELECT f.link FROM feed f WHERE f.node = t.node ORDER BY "
    "f.n "
    "DESC LIMIT 1) FROM t WHERE t.node IS NOT NULL");
GD_SQL(sql_own, "SELECT link FROM feed WHERE node = $1 AND n = $2");
GD_SQL(sql_rows, "SELECT n, link, prev, news FROM feed WHERE node = $1 AND n > $2 ORDER BY n LIMIT $3");
GD_SQL(sql_trim, "DELETE FROM feed WHERE node = $1 AND n < $2 AND at < gd_now() - $3");
GD_SQL(sql_bytes,
       "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON "
       "n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'");

struct peer {
    char *node;
    struct gd_pg_mark at;
};

struct gd_pg_feed {
    struct gd_engine *e;
    pthread_t thread;
    bool running;
    int wake; /* eventfd */
    atomic_bool stop, told;
    pthread_mutex_t lock; /* of the next three */
    pthread_cond_t cond;
    uint64_t asked, done; /* rounds: who wants all news waits for one that began after he asked */
    struct gd_pg_conn c;
    int listening;              /* the server's process that listens for us; 0: none */
    pthread_mutex_t lock_peers; /* who makes another connection looks whether they are there */
    struct peer *peers;
    size_t npeers;
    struct gd_pg_seen under; /* the era in which they were read; timeline 0: there is none */
    int64_t notified, tidied;
};

/* ---- reading on
 * ------------------------------------------------------------------------------------------------ */

static struct peer *find(const struct gd_pg_feed *f, const char *node)
{
    for (size_t i = 0; i < f->npeers; i++)
        if (!strcmp(f->peers[i].node, node))
            return &f->peers[i];
    return NULL;
}

static struct peer *peer(struct gd_pg_feed *f, const char *node)
{
    struct peer *p = find(f, node);

    if (p || f->npeers == MANY_NODES)
        return p;
    pthread_mutex_lock(&f->lock_peers);
    f->peers = gd_resize(f->peers, (f->npeers + 1) * sizeof *f->peers);
    p = &f->peers[f->npeers++];
    *p = (struct peer){ .node = gd_strdup(node) };
    pthread_mutex_unlock(&f->lock_peers);
    return p;
}

static void set_at(struct gd_pg_feed *f, struct peer *p, const struct gd_pg_mark *at)
{
    pthread_mutex_lock(&f->lock_peers);
    p->at = *at;
    pthread_mutex_unlock(&f->lock_peers);
}

static void tell_all(struct gd_pg_feed *f, const struct peer *p)
{
    f->e->host.news(f->e->host.store, p->node, NULL, NULL);
}

/* Lines of workspace, tab, id. */
static void tell(struct gd_pg_feed *f, const struct peer *p, const char *news)
{
    GD_AUTO_FREE char *copy = gd_strdup(news);
    char *line = copy, *end, *tab;

    if (!strcmp(news, "*")) {
        tell_all(f, p);
        return;
    }
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        tab = strchr(line, '\t');
        if (!tab)
            continue;
        *tab = '\0';
        f->e->host.news(f->e->host.store, p->node, line, tab + 1);
    }
}

static void take_row(struct gd_pg_feed *f, struct peer *p, const struct gd_tx *tx, size_t i)
{
    const char *news = gd_tx_text(tx, 0, i, 3);

    if (gd_tx_int(tx, 0, i, 2) != p->at.link)
        tell_all(f, p);
    else if (news)
        tell(f, p, news);
    set_at(f, p, &(struct gd_pg_mark){ gd_tx_int(tx, 0, i, 0), gd_tx_int(tx, 0, i, 1) });
}

/* All that one node has written since; more than ROWS in several goes. */
static int read_on(struct gd_pg_feed *f, struct peer *p, int64_t until)
{
    size_t rows = ROWS;
    int rc = 0;

    while (rc == 0 && rows == ROWS) {
        struct gd_tx *tx = gd_tx_new(NULL);
        struct gd_err err;

        gd_tx_add(tx, &sql_rows, GD_P_TEXT(p->node), GD_P_INT(p->at.n), GD_P_INT(ROWS));
        rc = gd_pg_ask(&f->c, tx, until, &err);
        rows = gd_tx_rows(tx, 0);
        for (size_t i = 0; rc == 0 && i < rows; i++)
            take_row(f, p, tx, i);
        gd_tx_free(tx);
    }
    return rc;
}

/* The number went back, or it is the same and the row is another one. */
static bool went_back(const struct peer *p, const struct gd_pg_mark *head)
{
    return head->n < p->at.n || (head->n == p->at.n && head->link != p->at.link);
}

static struct gd_pg_mark head_of(const struct gd_tx *tx, size_t stmt, size_t i)
{
    return (struct gd_pg_mark){ gd_tx_int(tx, stmt, i, 1), gd_tx_int(tx, stmt, i, 2) };
}

/* Is something that was read of a neighbour not there any more? The newest row of each is always kept. */
static bool is_lost(const struct gd_pg_feed *f, const struct gd_tx *tx, size_t stmt)
{
    size_t found = 0;

    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++) {
        const struct peer *p = find(f, gd_tx_text(tx, stmt, i, 0));
        struct gd_pg_mark head = head_of(tx, stmt, i);

        if (p && went_back(p, &head))
            return true;
        found += p != NULL;
    }
    return found < f->npeers;
}

void gd_pg_heads_ask(const struct gd_engine *e, struct gd_tx *tx)
{
    if (e->feed)
        (void)gd_tx_add_(tx, &sql_heads, NULL, 0);
}

int gd_pg_heads_take(struct gd_pg_conn *c, const struct gd_tx *tx, size_t stmt, int64_t until,
                     struct gd_err *err)
{
    struct gd_pg_feed *f = c->engine->feed;
    struct gd_pg_seen under;
    bool lost;

    if (!f)
        return 0;
    pthread_mutex_lock(&f->lock_peers);
    under = f->under;
    lost = under.timeline && is_lost(f, tx, stmt);
    pthread_mutex_unlock(&f->lock_peers);
    return lost ? gd_pg_era_lost(c, &under, until, err) : 0;
}

static void set_under(struct gd_pg_feed *f, struct gd_pg_seen under)
{
    pthread_mutex_lock(&f->lock_peers);
    f->under = under;
    pthread_mutex_unlock(&f->lock_peers);
}

static void note(struct gd_pg_feed *f)
{
    GD_AUTO_FREE char *lines = NULL;
    struct gd_buf b;

    if (f->under.timeline == 0)
        return;
    gd_buf_init(&b, GD_PG_SEEN_MAX);
    for (size_t i = 0; i < f->npeers; i++)
        gd_pg_seen_line(&b, f->peers[i].node, &f->peers[i].at);
    lines = gd_buf_steal(&b);
    gd_pg_seen_note(f->e, &f->under, lines);
}

/* Of these the database knows nothing any more. */
static void forget_absent(struct gd_pg_feed *f, const struct gd_tx *tx)
{
    for (size_t k = 0; k < f->npeers; k++) {
        size_t i = 0;

        while (i < gd_tx_rows(tx, 0) && strcmp(gd_tx_text(tx, 0, i, 0), f->peers[k].node) != 0)
            i++;
        if (i < gd_tx_rows(tx, 0))
            continue;
        pthread_mutex_lock(&f->lock_peers);
        gd_free(f->peers[k].node);
        f->peers[k--] = f->peers[--f->npeers];
        pthread_mutex_unlock(&f->lock_peers);
    }
}

static int follow(struct gd_pg_feed *f, const char *node, const struct gd_pg_mark *head, int64_t until)
{
    struct peer *p = peer(f, node);

    if (!p)
        return 0;
    if (went_back(p, head)) {
        tell_all(f, p);
        set_at(f, p, head);
    }
    return head->n > p->at.n ? read_on(f, p, until) : 0;
}

static void check_own(struct gd_pg_feed *f, const struct gd_tx *tx, const struct gd_pg_mark *acked)
{
    struct gd_err err;

    if (gd_tx_rows(tx, 1) && gd_tx_int(tx, 1, 0, 0) == acked->link)
        return;
    gd_err_set(&err, GD_R_STORE_SET_BACK,
               "the database at %s was set back: commits that it acknowledged are gone", f->e->place.text);
    gd_pg_stop(f->e, &err, true);
}

/* first: only where everybody is. What we hold in memory is read after that. */
static int look(struct gd_pg_feed *f, bool first, struct gd_err *err)
{
    int64_t start = gd_pg_now(), until = start + f->e->deadline_ms;
    struct gd_pg_mark acked = gd_pg_acked(f->e);
    struct gd_pg_seen before = gd_pg_seen(f->e);
    struct gd_tx *tx = gd_tx_new(NULL);
    int rc;

    gd_tx_add_(tx, &sql_heads, NULL, 0);
    gd_tx_add(tx, &sql_own, GD_P_TEXT(f->e->node), GD_P_INT(acked.n));
    gd_pg_era_ask(f->e, tx);
    rc = gd_pg_ask(&f->c, tx, until, err);
    if (rc == 0)
        rc = gd_pg_era_take(&f->c, tx, 2, &before, until, err);
    if (rc == 0)
        rc = gd_pg_heads_take(&f->c, tx, 0, until, err);
    if (rc == 0)
        forget_absent(f, tx);
    if (rc == 0)
        check_own(f, tx, &acked);
    for (size_t i = 0; rc == 0 && i < gd_tx_rows(tx, 0); i++) {
        const char *node = gd_tx_text(tx, 0, i, 0);
        struct gd_pg_mark head = head_of(tx, 0, i);

        if (!strcmp(node, f->e->node))
            continue;
        if (first && peer(f, node))
            set_at(f, peer(f, node), &head);
        else
            rc = follow(f, node, &head, until);
    }
    if (rc == 0 && gd_pg_has_era(f->e)) {
        set_under(f, gd_pg_era_found(tx, 2));
        if (first || gd_pg_seen_due(f->e))
            note(f);
    }
    gd_tx_free(tx);
    if (rc == 0 && !first)
        f->e->host.seen(f->e->host.store, start);
    return rc;
}

/* ---- the hint
 * ----------------------------------------------------------------------------------------------------- */

static bool command(struct gd_pg_feed *f, const char *verb, const char *rest)
{
    GD_AUTO_FREE char *text = gd_strf("%s%s", verb, rest);
    struct gd_pg_run r;
    int rc;

    gd_pg_run_init(&r, &f->c, gd_pg_now() + f->e->deadline_ms);
    gd_pg_command(&r, text);
    rc = gd_pg_end(&r);
    gd_pg_run_done(&r);
    return rc == 0;
}

/* Its own commits need not be waited for: a NOTIFY, and the removal of old rows. */
static void listen_anew(struct gd_pg_feed *f)
{
    if (f->e->unprepared || f->listening == f->c.backend)
        return;
    f->listening = f->c.backend; /* once for each connection, whether it works or not */
    if (command(f, "SET synchronous_commit = ", "off"))
        (void)command(f, "LISTEN grantd_", f->e->schema);
}

static void hint(struct gd_pg_feed *f)
{
    if (f->e->unprepared || gd_pg_now() - f->notified < NOTIFY_MS || !atomic_exchange(&f->told, false))
        return;
    f->notified = gd_pg_now();
    (void)command(f, "NOTIFY grantd_", f->e->schema);
}

static void drop_notices(struct gd_pg_feed *f)
{
    PGnotify *n;

    while (f->c.pg && (n = PQnotifies(f->c.pg)))
        PQfreemem(n);
}

/* Until somebody says something, or it is time. */
static void idle(struct gd_pg_feed *f)
{
    bool soon = atomic_load(&f->told) && !f->e->unprepared;
    struct pollfd p[2] = { { .fd = f->wake, .events = POLLIN },
                           { .fd = f->c.pg ? PQsocket(f->c.pg) : -1, .events = POLLIN } };
    uint64_t n;

    (void)poll(p, 2, soon ? NOTIFY_MS : POLL_MS);
    if (p[0].revents)
        (void)!read(f->wake, &n, sizeof n);
    if (p[1].revents && !PQconsumeInput(f->c.pg))
        gd_pg_drop(&f->c);
    drop_notices(f);
}

/* ---- who cannot wait for the next round
 * ------------------------------------------------------------------------------------------------------- */

static void wake(struct gd_pg_feed *f)
{
    uint64_t one = 1;

    (void)!write(f->wake, &one, sizeof one);
}

static uint64_t asked(struct gd_pg_feed *f)
{
    uint64_t n;

    pthread_mutex_lock(&f->lock);
    n = f->asked;
    pthread_mutex_unlock(&f->lock);
    return n;
}

static void round_done(struct gd_pg_feed *f, uint64_t n)
{
    pthread_mutex_lock(&f->lock);
    f->done = n;
    pthread_cond_broadcast(&f->cond);
    pthread_mutex_unlock(&f->lock);
}

int gd_pg_catch_up(struct gd_engine *e, struct gd_err *err)
{
    int64_t ms = e->deadline_ms < CATCH_UP_MS ? e->deadline_ms : CATCH_UP_MS;
    struct gd_pg_feed *f = e->feed;
    struct timespec until;
    uint64_t mine;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&f->lock);
    mine = ++f->asked;
    wake(f);
    while (f->done < mine && rc == 0)
        rc = pthread_cond_timedwait(&f->cond, &f->lock, &until);
    rc = f->done < mine ? -1 : 0;
    pthread_mutex_unlock(&f->lock);
    return rc == 0 ? 0 : gd_err_set(err, GD_R_STORE_SLOW, "what the other nodes did cannot be read in time");
}

/* ---- the thread
 * ----------------------------------------------------------------------------------------------------- */

static void tidy(struct gd_pg_feed *f)
{
    struct gd_tx *tx;
    struct gd_err err;

    if (gd_pg_now() - f->tidied < TIDY_MS)
        return;
    f->tidied = gd_pg_now();
    tx = gd_tx_new(NULL);
    gd_tx_add(tx, &sql_bytes, GD_P_TEXT(f->e->schema));
    gd_tx_add(tx, &sql_trim, GD_P_TEXT(f->e->node), GD_P_INT(gd_pg_acked(f->e).n), GD_P_INT(KEEP_MS));
    if (gd_pg_ask(&f->c, tx, gd_pg_now() + f->e->deadline_ms, &err) == 0)
        atomic_store(&f->e->bytes, gd_tx_int(tx, 0, 0, 0));
    gd_tx_free(tx);
}

static void *feed_main(void *arg)
{
    struct gd_pg_feed *f = arg;
    struct gd_err err;

    while (!atomic_load(&f->stop)) {
        uint64_t n = asked(f);

        if (gd_pg_connect(&f->c, gd_pg_now(), &err) == 0) {
            listen_anew(f);
            hint(f);
            if (look(f, false, &err) == 0)
                round_done(f, n);
            tidy(f);
        }
        idle(f);
    }
    return NULL;
}

static void init_lock(struct gd_pg_feed *f)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&f->lock, NULL);
    pthread_mutex_init(&f->lock_peers, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void was_read(void *arg, const char *node, const struct gd_pg_mark *at)
{
    struct gd_pg_feed *f = arg;
    struct peer *p = strcmp(node, f->e->node) != 0 ? peer(f, node) : NULL;

    if (p)
        set_at(f, p, at);
}

int gd_pg_feed_new(struct gd_engine *e, const char *path, struct gd_err *err)
{
    struct gd_pg_feed *f = gd_new(sizeof *f);

    f->e = e;
    e->feed = f;
    gd_pg_conn_init(&f->c, e, "feed");
    init_lock(f);
    f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->wake < 0)
        return gd_err_set(err, GD_R_STORE_FAILED, "no more files may be opened; raise the limit");
    if (path)
        gd_pg_seen_load(e, path, was_read, f);
    set_under(f, gd_pg_seen(e));
    if (gd_pg_connect(&f->c, gd_pg_now() + e->deadline_ms, err) < 0)
        return -1;
    tidy(f);
    return look(f, true, err);
}

/* The threads take no signals: those are the loop's. */
void gd_pg_feed_start(struct gd_engine *e)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&e->feed->thread, NULL, feed_main, e->feed) != 0)
        abort(); /* no thread to be had before anything began */
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    e->feed->running = true;
}

void gd_pg_feed_told(struct gd_engine *e)
{
    if (!e->feed)
        return;
    atomic_store(&e->feed->told, true);
    wake(e->feed);
}

void gd_pg_feed_stop(struct gd_engine *e)
{
    struct gd_pg_feed *f = e->feed;

    if (!f)
        return;
    atomic_store(&f->stop, true);
    if (f->running) {
        wake(f);
        pthread_join(f->thread, NULL);
    }
    note(f);
    gd_pg_conn_done(&f->c);
    if (f->wake >= 0)
        close(f->wake);
    for (size_t i = 0; i < f->npeers; i++)
        gd_free(f->peers[i].node);
    gd_free(f->peers);
    pthread_cond_destroy(&f->cond);
    pthread_mutex_destroy(&f->lock);
    pthread_mutex_destroy(&f->lock_peers);
    gd_free(f);
    e->feed = NULL;
}
