/* store/postgresql/write.c - a group of transactions as one commit: BEGIN, everybody's statements, one row of
 * the feed, COMMIT, in one go. The row is numbered without a gap and the number is the key: whoever takes it
 * has decided what became of the group. So when the connection breaks before the answer to COMMIT is here,
 * the same number is taken once more over a new one: if that works, the group never happened and never will;
 * if it is taken, the group is there.
 *
 * What the server asks to repeat (40001, 40P01) is repeated; a transaction that is refused by itself is left
 * out and the others go again; after several of those each goes alone. So is one that twice found locked what
 * it changes, by a node that froze, perhaps: the others do not wait for that. */
#include "store/postgresql/pg.h"

#include "base/fault.h"

#include <errno.h>
#include <string.h>

#define AGAIN_MAX  20   /* repetitions that the server may ask for */
#define ALONE_FROM 4    /* refused ones, after which each transaction goes by itself */
#define LONG       60   /* times the deadline, for what changes tables */
#define DECIDED_MS 2000 /* at least, for the question what became of a group */

GD_SQL(sql_feed, "INSERT INTO feed (node, n, link, prev, at, news) VALUES ($1, $2, $3, $4, gd_now(), $5)");
GD_SQL(sql_take, "INSERT INTO feed (node, n, link, prev, at, news) VALUES ($1, $2, $3, $4, gd_now(), NULL) "
                 "ON CONFLICT (node, n) DO NOTHING");
/* The next number of another node: its next group finds it taken. */
const struct gd_sql gd_pg_fence = {
    "INSERT INTO feed (node, n, link, prev, at, news) SELECT f.node, f.n + 1, -f.link, f.link, gd_now(), NULL"
    " FROM feed f WHERE f.node = $1 ORDER BY f.n DESC LIMIT 1 ON CONFLICT (node, n) DO NOTHING"
};
GD_SQL(sql_taken, "SELECT link FROM feed WHERE node = $1 AND n = $2");
GD_SQL(sql_terminate, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND "
                      "application_name = $2 AND coalesce(wait_event, '') <> 'SyncRep'");

enum outcome {
    DONE,
    ALONE, /* one transaction was refused, and is marked */
    AGAIN, /* the server asks for it */
    TAKEN, /* somebody else has its number in the feed */
    LOST,  /* nobody knows */
    FAILED /* the whole group, for certain */
};

struct attempt {
    struct gd_engine *e;
    struct gd_tx **txs;
    size_t n;
    int64_t until;
    const struct gd_tx *locked; /* the one that waited for a lock last time */
    struct gd_err err;
};

static bool out(const struct gd_tx *tx)
{
    return tx->result != GD_STORE_OK;
}

static void fail_all(const struct attempt *a, enum gd_store_result r, const struct gd_err *err)
{
    for (size_t i = 0; i < a->n; i++)
        if (!out(a->txs[i]))
            gd_tx_fail(a->txs[i], r, err);
}

/* ---- one row of the feed
 * ------------------------------------------------------------------------------------ */

static char *news_of(const struct attempt *a)
{
    struct gd_buf b;

    gd_buf_init(&b, GD_PG_NEWS_MAX);
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k + 1 < a->txs[i]->nnews && !out(a->txs[i]); k += 2)
            gd_buf_addf(&b, "%s\t%s\n", a->txs[i]->news[k], a->txs[i]->news[k + 1]);
    if (b.failed) {
        gd_buf_done(&b);
        return gd_strdup("*"); /* anything */
    }
    return b.len ? gd_buf_steal(&b) : NULL;
}

static struct gd_pg_mark next_mark(struct gd_engine *e)
{
    return (struct gd_pg_mark){ gd_pg_acked(e).n + 1, (int64_t)(gd_pg_random() >> 2) };
}

static void acknowledge(struct gd_engine *e, const struct gd_pg_mark *m)
{
    pthread_mutex_lock(&e->lock_state);
    e->begun = true;
    e->acked = *m;
    pthread_mutex_unlock(&e->lock_state);
}

static struct gd_tx *feed_row(const struct attempt *a, const struct gd_pg_mark *m, bool *ret_news)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    GD_AUTO_FREE char *news = news_of(a);

    gd_tx_add(tx, &sql_feed, GD_P_TEXT(a->e->node), GD_P_INT(m->n), GD_P_INT(m->link),
              GD_P_INT(gd_pg_acked(a->e).link), GD_P_TEXT(news));
    *ret_news = news != NULL;
    return tx;
}

/* ---- one attempt
 * ----------------------------------------------------------------------------------------------- */

/* What a fault point pretends: the connection breaks, or there is no room. */
static void pretend(struct gd_pg_run *r, int e)
{
    if (e == 0 || r->lost || r->failed != SIZE_MAX)
        return;
    if (e == ENOSPC) {
        r->failed = r->got;
        memcpy(r->state, "53100", sizeof r->state);
        gd_pg_explain(&r->err, r->state, "no space is left on the server's disk");
        return;
    }
    r->lost = true;
    gd_err_set(&r->err, GD_R_STORE_UNREACHABLE, "the connection to the database was lost");
}

/* Points F15 and F16 lie only in what carries an answer, F02 only in what takes a lease. */
static void add_statements(struct gd_pg_run *r, struct gd_tx *tx)
{
    for (size_t i = 0; i < tx->nstmts; i++) {
        gd_pg_stmt(r, tx, &tx->stmts[i]);
        if (i == 0 && tx->spool)
            pretend(r, GD_FAULT("F15"));
        if (i == 0 && tx->lease)
            pretend(r, GD_FAULT("F02"));
    }
    if (tx->spool)
        pretend(r, GD_FAULT("F16"));
}

static bool any_answer(const struct attempt *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->txs[i]->spool && !out(a->txs[i]))
            return true;
    return false;
}

/* To die between two statements they must not be sent at once. */
static bool wants_steps(const struct attempt *a)
{
#ifdef GRANTD_FAULTS
    for (size_t i = 0; i < a->n; i++)
        if (a->txs[i]->spool || a->txs[i]->lease)
            return true;
#else
    (void)a;
#endif
    return false;
}

static void roll_back(struct gd_engine *e, int64_t until)
{
    struct gd_pg_run r;

    gd_pg_run_init(&r, &e->w, until);
    gd_pg_command(&r, "ROLLBACK");
    if (gd_pg_end(&r) < 0)
        gd_pg_drop(&e->w);
    gd_pg_run_done(&r);
}

static bool starts(const char *state, const char *prefix)
{
    return !strncmp(state, prefix, strlen(prefix));
}

/* Somebody's statement, refused for what it says: wrong values, constraints, missing tables, limits. */
static bool is_own_fault(const char *state)
{
    static const char *const classes[] = { "0A", "21", "22", "23", "42", "44", "54" };

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (starts(state, classes[i]))
            return true;
    return !state[0] || starts(state, "08P01"); /* our own: a result that cannot be kept */
}

static enum outcome superseded(struct attempt *a)
{
    gd_err_set(&a->err, GD_R_STORE_LOCKED,
               "another process works as node %s on the same database; stop one of them", a->e->node);
    gd_pg_stop(a->e, &a->err, false);
    return FAILED;
}

static enum outcome locked_out(struct attempt *a, struct gd_tx *tx)
{
    struct gd_err err;

    if (!tx || tx->once || tx != a->locked) {
        a->locked = tx;
        return AGAIN;
    }
    gd_err_set(&err, GD_R_STORE_SLOW, "another node holds what this changes; nothing was changed, try again");
    gd_tx_fail(tx, GD_STORE_FAILED, &err);
    return ALONE;
}

static enum outcome judge(struct attempt *a, const struct gd_pg_run *r, const struct gd_tx *feed)
{
    const struct gd_pg_item *it = r->failed < r->n ? &r->items[r->failed] : NULL;
    struct gd_tx *tx = it ? it->tx : NULL;

    a->err = r->err;
    if (starts(r->state, "40001") || starts(r->state, "40P01"))
        return AGAIN;
    if (starts(r->state, "55P03"))
        return locked_out(a, tx == feed ? NULL : tx);
    if (starts(r->state, "26000")) /* a pooler gave us another connection, which knows our statements not */
        gd_pg_drop(&a->e->w);
    if (starts(r->state, "25006")) /* it was made a standby: another one is the right one now */
        gd_pg_drop(&a->e->w);
    if (starts(r->state, "26000") || starts(r->state, "25006"))
        return AGAIN;
    if (tx == feed && starts(r->state, "23505"))
        return TAKEN;
    if (!tx || tx == feed || !is_own_fault(r->state))
        return FAILED;
    gd_tx_fail(tx, GD_STORE_FAILED, &r->err);
    return ALONE;
}

static enum outcome outcome_of(struct attempt *a, const struct gd_pg_run *r, const struct gd_tx *feed)
{
    enum outcome o;

    if (r->lost) {
        a->err = r->err;
        gd_pg_drop(&a->e->w);
        return LOST;
    }
    if (r->failed == SIZE_MAX)
        return DONE;
    o = judge(a, r, feed);
    if (a->e->w.pg)
        roll_back(a->e, a->until);
    if (o == TAKEN)
        return a->e->w.pg && gd_pg_pass_fence(a->e) ? AGAIN : superseded(a);
    return o;
}

/* Everything that is not out, as one commit under the number m. */
static enum outcome attempt(struct attempt *a, const struct gd_pg_mark *m)
{
    struct gd_engine *e = a->e;
    bool answers = any_answer(a), news;
    struct gd_tx *feed = feed_row(a, m, &news);
    struct gd_pg_run r;
    enum outcome o;

    gd_pg_run_init(&r, &e->w, a->until);
    r.stepwise = wants_steps(a);
    gd_pg_begin(&r, "READ COMMITTED");
    if (answers)
        pretend(&r, GD_FAULT("F14"));
    for (size_t i = 0; i < a->n; i++)
        if (!out(a->txs[i]))
            add_statements(&r, a->txs[i]);
    gd_pg_stmt(&r, feed, &feed->stmts[0]);
    gd_pg_flush(&r); /* the answers come while the server syncs, and are here should the connection break */
    if (r.failed == SIZE_MAX)
        gd_pg_command(&r, "COMMIT");
    if (gd_pg_end(&r) == 0 && (answers ? GD_FAULT("F17") : GD_FAULT("store.commit")))
        pretend(&r, EIO);
    o = outcome_of(a, &r, feed);
    gd_pg_run_done(&r);
    gd_tx_free(feed);
    if (o == DONE)
        acknowledge(e, m);
    if (o == DONE && news)
        gd_pg_feed_told(e);
    return o;
}

/* ---- what became of a group
 * ------------------------------------------------------------------------------------- */

/* The server's process of the broken connection may still be at it, and hold its locks. One that waits for a
 * standby is let be: ended, it would tell a commit that the standby does not have. Where it is not allowed or
 * not known, the server's own time-outs end it. */
static void end_old(struct gd_engine *e, int64_t until)
{
    GD_AUTO_FREE char *name = gd_strf("grantd/%s/%s", e->node, e->w.name);
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_err err;

    gd_tx_add(tx, &sql_terminate, GD_P_INT(e->old_backend), GD_P_TEXT(name));
    (void)gd_pg_ask(&e->w, tx, until, &err);
    gd_tx_free(tx);
}

/* Takes the number of the open group, or finds who has it. */
static int take_number(struct gd_engine *e, int64_t until, int64_t *ret_link, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_pg_run r;
    int rc;

    gd_tx_add(tx, &sql_take, GD_P_TEXT(e->node), GD_P_INT(e->open.n), GD_P_INT(e->burnt),
              GD_P_INT(gd_pg_acked(e).link));
    gd_tx_add(tx, &sql_taken, GD_P_TEXT(e->node), GD_P_INT(e->open.n));
    gd_pg_run_init(&r, &e->w, until);
    gd_pg_begin(&r, "READ COMMITTED");
    gd_pg_stmt(&r, tx, &tx->stmts[0]);
    gd_pg_stmt(&r, tx, &tx->stmts[1]);
    gd_pg_command(&r, "COMMIT");
    rc = gd_pg_end(&r);
    if (rc == 0)
        *ret_link = gd_tx_int(tx, 1, 0, 0);
    else
        gd_err_set(err, r.err.reason, "%s", r.err.text);
    if (rc < 0)
        gd_pg_drop(&e->w);
    gd_pg_run_done(&r);
    gd_tx_free(tx);
    return rc;
}

static int decide(struct attempt *a, int64_t until, bool *ret_there)
{
    struct gd_engine *e = a->e;
    int64_t link = 0;

    for (;;) {
        if (gd_pg_connect(&e->w, until, &a->err) < 0)
            return -1;
        if (!e->unprepared)
            end_old(e, until);
        if (e->w.pg && take_number(e, until, &link, &a->err) == 0)
            break;
        if (gd_pg_now() >= until)
            return -1;
    }
    *ret_there = link == e->open.link;
    if (*ret_there || link == e->burnt) {
        acknowledge(e, &(struct gd_pg_mark){ e->open.n, link });
    } else if (!gd_pg_pass_fence(e)) {
        (void)superseded(a);
        return -1;
    }
    e->open = (struct gd_pg_mark){ 0 };
    return 0;
}

/* It is there; who did not get all its answers has to look for himself. */
static void tell_committed(const struct attempt *a)
{
    struct gd_err err;

    gd_err_set(&err, GD_R_STORE_UNCERTAIN,
               "it is stored, but the answers to it were lost with the connection");
    for (size_t i = 0; i < a->n; i++) {
        struct gd_tx *tx = a->txs[i];
        bool whole = true;

        for (size_t k = 0; k < tx->nstmts; k++)
            whole &= tx->stmts[k].got;
        if (!whole && !out(tx))
            gd_tx_fail(tx, GD_STORE_UNCERTAIN, &err);
    }
}

/* True: it did not happen, and may be tried again. */
static bool find_out(struct attempt *a, const struct gd_pg_mark *m)
{
    int64_t least = gd_pg_now() + DECIDED_MS, until = a->until > least ? a->until : least;
    struct gd_err lost = a->err;
    bool there;

    a->e->open = *m;
    a->e->burnt = (int64_t)(gd_pg_random() >> 2);
    a->e->old_backend = a->e->w.backend;
    if (decide(a, until, &there) < 0) { /* who has the number has it instead of us */
        fail_all(a, a->err.reason == GD_R_STORE_LOCKED ? GD_STORE_FAILED : GD_STORE_UNCERTAIN, &a->err);
        return false;
    }
    GD_LOG(a->e->host.log, GD_LOG_WARN, "store.commit_decided", GD_F_BOOL("there", there), GD_F_ERR(&lost));
    if (there)
        tell_committed(a);
    a->err = lost;
    return !there;
}

/* ---- until it is done
 * --------------------------------------------------------------------------------------------- */

static bool anything_left(const struct attempt *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (!out(a->txs[i]))
            return true;
    return false;
}

static void forget_results(const struct attempt *a)
{
    for (size_t i = 0; i < a->n; i++)
        if (!out(a->txs[i]))
            gd_tx_reset(a->txs[i]);
}

static void drive(struct attempt *a);

static void each_alone(const struct attempt *a)
{
    for (size_t i = 0; i < a->n; i++) {
        struct attempt one = { .e = a->e, .txs = a->txs + i, .n = 1, .until = a->until };

        drive(&one);
    }
}

static void drive(struct attempt *a)
{
    unsigned again = 0, alone = 0, lost = 0;

    while (anything_left(a)) {
        struct gd_pg_mark m;
        enum outcome o = FAILED;

        forget_results(a);
        if (gd_pg_connect(&a->e->w, a->until, &a->err) == 0) {
            m = next_mark(a->e);
            o = attempt(a, &m);
        }
        if (o == DONE || (o == LOST && !find_out(a, &m)))
            return;
        if (o == LOST)
            gd_pg_wait(lost++);
        if (o == ALONE && a->n > 1 && ++alone == ALONE_FROM) {
            each_alone(a);
            return;
        }
        if (o == AGAIN && ++again <= AGAIN_MAX)
            gd_pg_wait(again);
        if (o == FAILED || again > AGAIN_MAX || (o != ALONE && gd_pg_now() >= a->until)) {
            fail_all(a, GD_STORE_FAILED, &a->err);
            return;
        }
    }
}

/* ---- the group
 * ------------------------------------------------------------------------------------------------------ */

/* Who waited longer than the deadline hears so, and is not kept waiting by it still being tried; but an
 * answer of a platform is always tried. */
static void drop_late(const struct attempt *a, int64_t now)
{
    struct gd_err err;

    gd_err_set(&err, GD_R_STORE_SLOW, "the database is too slow or was away; nothing was changed");
    for (size_t i = 0; i < a->n; i++)
        if (a->txs[i]->since && a->txs[i]->since + a->e->deadline_ms < now && !a->txs[i]->spool)
            gd_tx_fail(a->txs[i], GD_STORE_FAILED, &err);
}

static int64_t patience(const struct attempt *a, int64_t now)
{
    int64_t until = now + a->e->deadline_ms;

    for (size_t i = 0; i < a->n; i++) {
        if (a->txs[i]->once)
            return now + LONG * a->e->deadline_ms;
        if (a->txs[i]->since && a->txs[i]->since + a->e->deadline_ms < until)
            until = a->txs[i]->since + a->e->deadline_ms;
    }
    return until > now ? until : now;
}

/* A connection, and nothing undecided. */
static int get_ready(struct attempt *a, int64_t now)
{
    bool there;

    if (gd_pg_stopped(a->e, &a->err) || gd_pg_connect(&a->e->w, patience(a, now), &a->err) < 0)
        return -1;
    return a->e->open.n ? decide(a, gd_pg_now() + DECIDED_MS, &there) : 0;
}

static struct gd_tx **as_array(struct gd_list *group, size_t *ret_n)
{
    struct gd_tx **txs;
    size_t n = 0;

    gd_list_each(it, group) n++;
    txs = gd_new_array(n, sizeof(struct gd_tx *));
    *ret_n = n;
    n = 0;
    gd_list_each(it, group)
    {
        gd_tx_reset(gd_tx_of(it));
        txs[n++] = gd_tx_of(it);
    }
    return txs;
}

int gd_pg_write(struct gd_engine *e, struct gd_list *group)
{
    struct attempt a = { .e = e };
    int64_t now = gd_pg_now();

    a.txs = as_array(group, &a.n);
    drop_late(&a, now);
    if (anything_left(&a) && get_ready(&a, now) < 0)
        fail_all(&a, GD_STORE_FAILED, &a.err);
    now = gd_pg_now();
    a.until = patience(&a, now) > now + e->deadline_ms / 2 ? patience(&a, now) : now + e->deadline_ms / 2;
    drive(&a);
    gd_free(a.txs);
    return 0;
}
