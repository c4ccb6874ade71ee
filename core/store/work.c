/* store/work.c - the threads of a store. The writer takes whatever waits as one group, puts its answers into
 * the spool (one sync), then its statements into the database (one commit). The reader works on its own
 * connection. A shared engine has two more: one for what must wait for nobody, and one for small reads that
 * somebody waits for.
 *
 * A full disk: what is left, the ballast, is kept for transactions that carry an answer of a platform. Others
 * are refused with STORE_FULL until the ballast could be laid down again. After an I/O error the engine takes
 * nothing more until a restart, but an answer still goes into the spool and is found by the next start. */
#include "store/work.h"

#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SOON_MAX 64 /* small reads go down a connection together */

int64_t gd_work_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* ---- [writer thread]
 * --------------------------------------------------------------------------------------------- */

/* Takes the transactions that carry no answer out of the group and fails them. */
static void refuse_plain(struct gd_list *group, struct gd_list *refused, const struct gd_err *err)
{
    struct gd_list all;

    gd_list_take(&all, group);
    for (struct gd_list *l; (l = gd_list_pop(&all));) {
        struct gd_tx *tx = gd_tx_of(l);

        gd_list_add(tx->spool ? group : refused, l);
        if (!tx->spool)
            gd_tx_fail(tx, GD_STORE_FAILED, err);
    }
}

static void fill_full(struct gd_err *err)
{
    gd_err_set(err, GD_R_STORE_FULL, "the disk is full; what room is left is kept for answers of platforms");
}

/* While the room is short or the spool is gone, nothing new is begun: a refresh that cannot be kept must not
 * be sent. */
static void gate(struct gd_store *s, struct gd_list *group, struct gd_list *refused)
{
    struct gd_err err;

    if (s->spool && !gd_spool_usable(s->spool)) {
        gd_err_set(&err, GD_R_STORE_FAILED, "the spool cannot be written; see the log, repair and restart");
        refuse_plain(group, refused, &err);
    } else if (!gd_ballast_fill(&s->ballast)) {
        fill_full(&err);
        refuse_plain(group, refused, &err);
    }
}

static int spool_once(struct gd_store *s, struct gd_list *group)
{
    int rc = gd_spool_group(s->spool, group);

    return rc == 0 ? gd_spool_wait(s->spool) : rc;
}

/* The answers of the group are on disk afterwards. If that fails the group still goes on: the commit is
 * durable too. */
static void end_spooling(struct gd_store *s, int rc)
{
    if (rc == ENOSPC && gd_ballast_drop(&s->ballast))
        rc = spool_once(s, s->spooling);
    s->spooling = NULL;
    if (rc != 0)
        GD_LOG(s->log, GD_LOG_ERROR, "store.spool_failed", GD_F_INT("errno", rc));
}

void gd_work_spooled(struct gd_store *s)
{
    if (s->spooling)
        end_spooling(s, gd_spool_wait(s->spool));
}

static void spool_group(struct gd_store *s, struct gd_list *group)
{
    int rc;

    s->spooling = group;
    rc = gd_spool_group(s->spool, group);
    if (rc != 0)
        end_spooling(s, rc);
    else if (!s->ops->spools_late)
        gd_work_spooled(s);
}

static void write_group(struct gd_store *s, struct gd_list *group, struct gd_list *refused)
{
    int rc = s->ops->write(s->engine, group);
    struct gd_err err;

    if (rc == 0)
        return;
    fill_full(&err);
    GD_LOG(s->log, GD_LOG_ERROR, "store.full", GD_F_ERR(&err));
    refuse_plain(group, refused, &err);
    if (!gd_list_empty(group) && gd_ballast_drop(&s->ballast))
        rc = s->ops->write(s->engine, group);
    if (rc != 0)
        gd_list_each(it, group) gd_tx_fail(gd_tx_of(it), GD_STORE_FAILED, &err);
}

static bool has_answers(const struct gd_list *group)
{
    gd_list_each(it, group) if (gd_tx_of(it)->spool) return true;
    return false;
}

static int scrub(struct gd_store *s, bool all, struct gd_err *err)
{
    if (all && s->ops->scrub(s->engine, err) < 0)
        return -1;
    return s->spool ? gd_spool_forget(s->spool, err) : 0;
}

/* Once for all that asked for it; they hear how it ended. */
static void scrub_group(struct gd_store *s, struct gd_list *group)
{
    struct gd_err err = { 0 };
    int rc = 1;

    gd_list_each(it, group)
    {
        struct gd_tx *tx = gd_tx_of(it);

        if (tx->forget)
            (void)scrub(s, false, &err);
        if (!tx->scrub || tx->result != GD_STORE_OK)
            continue;
        if (rc > 0)
            rc = scrub(s, true, &err);
        if (rc < 0)
            gd_tx_fail(tx, GD_STORE_FAILED, &err);
    }
}

static void run_group(struct gd_store *s, struct gd_list *group)
{
    struct gd_list refused;
    bool answers = has_answers(group);

    gd_list_init(&refused);
    gate(s, group, &refused);
    if (answers)
        spool_group(s, group);
    if (!gd_list_empty(group))
        write_group(s, group, &refused);
    gd_work_spooled(s); /* of a group that did not come to its commit */
    if (answers)
        gd_spool_settle(s->spool, group);
    scrub_group(s, group);
    gd_move_all(group, &refused);
    if (answers)
        (void)GD_FAULT("F18");
}

/* Under the lock. Waits for more to come, up to wait_us after the first; less when a quarter of that brought
 * nothing. */
static void let_form(struct gd_store *s, struct queue *q)
{
    int64_t last = q->oldest_us + s->wait_us;
    size_t had = 0;

    while (q->n < s->group_max && q->n > had && !s->closing) {
        int64_t until = gd_work_us() + s->wait_us / 4 + 1;
        struct timespec ts;

        until = until < last ? until : last;
        ts = (struct timespec){ until / 1000000, until % 1000000 * 1000 };
        had = q->n;
        while (q->n < s->group_max && !s->closing && pthread_cond_timedwait(&q->cond, &s->lock, &ts) == 0)
            continue;
        if (until == last)
            break;
    }
}

/* Under the lock. Sleeps until a group is there; takes it. False: nothing more will come. */
static bool take_group(struct gd_store *s, struct gd_list *group)
{
    struct queue *q = &s->queues[GD_WRITES];

    gd_list_init(group);
    q->waiting = true;
    while (!q->n && !s->closing)
        pthread_cond_wait(&q->cond, &s->lock);
    q->waiting = false;
    if (q->n && s->wait_us)
        let_form(s, q);
    for (size_t i = 0; i < s->group_max && !gd_list_empty(&q->list); i++, q->n--)
        gd_list_add(group, gd_list_pop(&q->list));
    if (q->n && s->wait_us)
        q->oldest_us = gd_work_us();
    return !gd_list_empty(group);
}

static void count(struct gd_store *s, const struct gd_list *group, int64_t took)
{
    s->stats.groups++;
    s->stats.last_us = took;
    s->stats.has_room = s->ballast.there;
    s->stats.spool_usable = !s->spool || gd_spool_usable(s->spool);
    gd_list_each(it, group)
    {
        gd_tx_of(it)->group = (uint64_t)s->stats.groups;
        s->stats.commits += gd_tx_of(it)->result == GD_STORE_OK;
    }
}

/* The loop, which serves people and programs, goes first where all want to run. */
static void stand_back(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + GD_NICE_BEHIND);
}

static void *writer_main(void *arg)
{
    struct gd_store *s = ((struct queue *)arg)->store;
    struct gd_list group;
    int64_t start;

    stand_back();
    pthread_mutex_lock(&s->lock);
    while (take_group(s, &group)) {
        pthread_mutex_unlock(&s->lock);
        start = gd_work_us();
        run_group(s, &group);
        pthread_mutex_lock(&s->lock);
        count(s, &group, gd_work_us() - start);
        gd_move_all(&s->finished, &group);
        pthread_mutex_unlock(&s->lock);
        uv_async_send(&s->async);
        if (s->ops->tidy)
            s->ops->tidy(s->engine);
        pthread_mutex_lock(&s->lock);
    }
    s->ended++;
    uv_async_send(&s->async);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- [the others]
 * --------------------------------------------------------------------------------------------- */

static void catch_up(struct gd_store *s, struct gd_tx *tx)
{
    struct gd_err err = { 0 };

    if (s->ops->catch_up && s->ops->catch_up(s->engine, &err) < 0)
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
}

static void run_reads(struct gd_store *s, struct gd_list *group)
{
    gd_list_each(it, group)
    {
        struct gd_tx *tx = gd_tx_of(it);

        if (tx->catch_up)
            catch_up(s, tx);
        if (tx->nstmts)
            s->ops->read(s->engine, tx);
    }
}

static void run_apart(struct gd_store *s, struct gd_list *group)
{
    gd_list_each(it, group) s->ops->apart(s->engine, gd_tx_of(it));
}

static void run_soon(struct gd_store *s, struct gd_list *group)
{
    s->ops->soon(s->engine, group);
}

static void *worker_main(void *arg)
{
    struct queue *q = arg;
    struct gd_store *s = q->store;
    struct gd_list group;

    gd_list_init(&group);
    pthread_mutex_lock(&s->lock);
    for (;;) {
        q->waiting = true;
        while (!q->n && !s->closing)
            pthread_cond_wait(&q->cond, &s->lock);
        q->waiting = false;
        if (!q->n)
            break;
        for (size_t i = 0; i < q->at_once && q->n; i++, q->n--)
            gd_list_add(&group, gd_list_pop(&q->list));
        pthread_mutex_unlock(&s->lock);
        q->run(s, &group);
        pthread_mutex_lock(&s->lock);
        gd_move_all(&s->finished, &group);
        uv_async_send(&s->async);
    }
    s->ended++;
    uv_async_send(&s->async);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- all of them
 * ------------------------------------------------------------------------------------------------------- */

static void init_queue(struct gd_store *s, int which, void (*run)(struct gd_store *, struct gd_list *),
                       size_t at_once)
{
    struct queue *q = &s->queues[which];
    pthread_condattr_t attr;

    q->store = s;
    q->run = run;
    q->at_once = at_once;
    gd_list_init(&q->list);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->cond, &attr);
    pthread_condattr_destroy(&attr);
}

void gd_work_init(struct gd_store *s)
{
    init_queue(s, GD_WRITES, NULL, s->group_max);
    init_queue(s, GD_READS, run_reads, 1);
    init_queue(s, GD_APART, run_apart, 1);
    init_queue(s, GD_SOON, run_soon, SOON_MAX);
}

/* The threads take no signals: those are the loop's. */
void gd_work_start(struct gd_store *s)
{
    sigset_t all, old;

    s->queues[GD_WRITES].used = s->queues[GD_READS].used = true;
    s->queues[GD_APART].used = s->ops->apart != NULL;
    s->queues[GD_SOON].used = s->ops->soon != NULL;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (size_t i = 0; i < GD_QUEUES; i++) {
        struct queue *q = &s->queues[i];

        if (!q->used)
            continue;
        if (pthread_create(&q->thread, NULL, i == GD_WRITES ? writer_main : worker_main, q) != 0)
            abort(); /* no thread to be had before anything began */
        s->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void gd_work_join(struct gd_store *s)
{
    for (size_t i = 0; i < GD_QUEUES; i++)
        if (s->queues[i].used)
            pthread_join(s->queues[i].thread, NULL);
}
