/* store/store.c - queues and threads. The loop submits; the writer thread takes whatever waits as one group,
 * answers into the spool (one sync), then its statements into the database (one commit); the reader
 * thread works on its own connection, and a third one, for what must wait for nobody, on another. Finished
 * transactions go to a list that the loop empties when the async handle wakes it.
 *
 * A full disk: what is left, the ballast, is kept for transactions that carry an answer of a platform. Others
 * are refused with STORE_FULL until the ballast could be laid down again. After an I/O error the engine takes
 * nothing more until a restart, but an answer still goes into the spool and is found by the next start. */
#include "store/module.h"
#include "store/store_int.h"

#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct queue {
    struct gd_list list;
    size_t n;
    bool waiting;      /* its thread sleeps until something comes */
    int64_t oldest_us; /* when the first one came, if groups form */
    pthread_cond_t cond;
    pthread_t thread;
    struct gd_store *store;
    void (*run)(struct gd_store *s, struct gd_tx *tx); /* NULL: the writer's, which takes groups */
};

struct stats {
    int64_t commits, groups, last_us;
    bool spool_usable, has_room;
};

struct gd_store {
    const struct gd_store_engine *ops;
    struct gd_engine *engine;
    struct gd_log *log;
    struct gd_spool *spool;    /* [writer thread], see spool.c */
    struct gd_spool *restored; /* what a backup brought along, until it is replayed; or NULL */
    struct gd_ballast ballast; /* [writer thread] */
    struct gd_news news;
    int lock_fd;
    int64_t version;
    unsigned wait_us;
    size_t group_max;
    pthread_mutex_t lock;               /* all from here to stats */
    struct queue writes, reads, aparts; /* the last one only where the engine has it */
    struct gd_list finished;
    bool closing;
    unsigned threads, ended;
    struct stats stats;
    uv_async_t async;     /* from here: loop only */
    struct gd_list ready; /* finished, to be told */
    bool joined, handle_closing;
    void (*on_close)(void *);
    void *close_arg;
};

/* Real time, not the injected clock: this is about threads that wait for each other. */
static int64_t now_us(void)
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

/* The answers of the group are on disk afterwards. If that fails the group still goes on: the commit is
 * durable too. */
static void spool_group(struct gd_store *s, struct gd_list *group)
{
    int rc = gd_spool_group(s->spool, group);

    if (rc == ENOSPC && gd_ballast_drop(&s->ballast))
        rc = gd_spool_group(s->spool, group);
    if (rc != 0)
        GD_LOG(s->log, GD_LOG_ERROR, "store.spool_failed", GD_F_INT("errno", rc));
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

static void move_all(struct gd_list *to, struct gd_list *from)
{
    for (struct gd_list *l; (l = gd_list_pop(from));)
        gd_list_add(to, l);
}

static int scrub(struct gd_store *s, struct gd_err *err)
{
    if (s->ops->scrub(s->engine, err) < 0)
        return -1;
    return s->spool ? gd_spool_clear(s->spool, err) : 0;
}

/* Once for all that asked for it; they hear how it ended. */
static void scrub_group(struct gd_store *s, struct gd_list *group)
{
    struct gd_err err = { 0 };
    int rc = 1;

    gd_list_each(it, group)
    {
        struct gd_tx *tx = gd_tx_of(it);

        if (!tx->scrub || tx->result != GD_STORE_OK)
            continue;
        if (rc > 0)
            rc = scrub(s, &err);
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
    if (answers)
        gd_spool_settle(s->spool, group);
    scrub_group(s, group);
    move_all(group, &refused);
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
        int64_t until = now_us() + s->wait_us / 4 + 1;
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
    struct queue *q = &s->writes;

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
        q->oldest_us = now_us();
    return !gd_list_empty(group);
}

static void count(struct gd_store *s, const struct gd_list *group, int64_t took)
{
    s->stats.groups++;
    s->stats.last_us = took;
    s->stats.has_room = s->ballast.there;
    s->stats.spool_usable = !s->spool || gd_spool_usable(s->spool);
    gd_list_each(it, group) s->stats.commits += gd_tx_of(it)->result == GD_STORE_OK;
}

/* The loop, which serves people and programs, goes first where all want to run. */
static void stand_back(void)
{
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, 0) + GD_NICE_BEHIND);
}

static void *writer_main(void *arg)
{
    struct gd_store *s = arg;
    struct gd_list group;
    int64_t start;

    stand_back();
    pthread_mutex_lock(&s->lock);
    while (take_group(s, &group)) {
        pthread_mutex_unlock(&s->lock);
        start = now_us();
        run_group(s, &group);
        pthread_mutex_lock(&s->lock);
        count(s, &group, now_us() - start);
        move_all(&s->finished, &group);
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

/* ---- [reader thread], and the one for what stands apart
 * --------------------------------------------------------------------------------------------- */

static void catch_up(struct gd_store *s, struct gd_tx *tx)
{
    struct gd_err err = { 0 };

    if (s->ops->catch_up && s->ops->catch_up(s->engine, &err) < 0)
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
}

static void run_read(struct gd_store *s, struct gd_tx *tx)
{
    if (tx->catch_up)
        catch_up(s, tx);
    if (tx->nstmts)
        s->ops->read(s->engine, tx);
}

static void run_apart(struct gd_store *s, struct gd_tx *tx)
{
    s->ops->apart(s->engine, tx);
}

static void *one_by_one(void *arg)
{
    struct queue *q = arg;
    struct gd_store *s = q->store;

    pthread_mutex_lock(&s->lock);
    for (;;) {
        struct gd_tx *tx;

        q->waiting = true;
        while (!q->n && !s->closing)
            pthread_cond_wait(&q->cond, &s->lock);
        q->waiting = false;
        if (!q->n)
            break;
        tx = gd_tx_of(gd_list_pop(&q->list));
        q->n--;
        pthread_mutex_unlock(&s->lock);
        q->run(s, tx);
        pthread_mutex_lock(&s->lock);
        gd_list_add(&s->finished, &tx->link);
        uv_async_send(&s->async);
    }
    s->ended++;
    uv_async_send(&s->async);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- what the engine tells: any thread of its
 * --------------------------------------------------------------------- */

static void wake(struct gd_store *s)
{
    pthread_mutex_lock(&s->lock);
    if (!s->handle_closing)
        uv_async_send(&s->async);
    pthread_mutex_unlock(&s->lock);
}

static void on_news(struct gd_store *s, const char *node, const char *workspace, const char *id)
{
    gd_news_put(&s->news, node, workspace, id);
    wake(s);
}

static void on_seen(struct gd_store *s, int64_t mono)
{
    atomic_store(&s->news.seen, mono);
}

static void on_set_back(struct gd_store *s)
{
    pthread_mutex_lock(&s->news.lock);
    s->news.set_back = true;
    pthread_mutex_unlock(&s->news.lock);
    wake(s);
}

bool gd_store_shared(const struct gd_store *s)
{
    return s->ops->shared;
}

int64_t gd_store_seen_ms(const struct gd_store *s)
{
    return s->ops->shared ? gd_mono(gd_clock_system()) - atomic_load(&s->news.seen) : 0;
}

/* ---- loop thread
 * -------------------------------------------------------------------------------------------------- */

/* Tells what is finished, in order, for about so long; true when something is left. */
static bool deliver(struct gd_store *s, int64_t for_us)
{
    int64_t until = now_us() + for_us;
    struct gd_list *l;

    pthread_mutex_lock(&s->lock);
    move_all(&s->ready, &s->finished);
    pthread_mutex_unlock(&s->lock);
    while ((l = gd_list_pop(&s->ready))) {
        struct gd_tx *tx = gd_tx_of(l);

        if (tx->done)
            tx->done(tx->arg, tx, tx->result, tx->result == GD_STORE_OK ? NULL : &tx->err);
        gd_tx_free(tx);
        if (now_us() > until)
            break;
    }
    return !gd_list_empty(&s->ready);
}

/* Why it is not taken at all; 0 when it is. Under the lock. */
static int refusal(const struct gd_store *s, const struct queue *q, const struct gd_tx *tx,
                   struct gd_err *err)
{
    if (s->closing)
        return gd_err_set(err, GD_R_SHUTTING_DOWN, "the store is being closed");
    if (tx->too_big)
        return gd_err_set(err, GD_R_LIMIT_REACHED, "the transaction is larger than the store takes");
    if (tx->spool && (!s->spool || q != &s->writes))
        return gd_err_set(err, GD_R_INTERNAL, "this store takes no spool records here");
    if (q->n >= GD_STORE_QUEUE_MAX)
        return gd_err_set(err, GD_R_LIMIT_REACHED, "too many transactions wait for the store; try again");
    return 0;
}

static void submit(struct gd_store *s, struct queue *q, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    struct gd_err err = { 0 };

    tx->done = done;
    tx->arg = arg;
    tx->since = gd_mono(gd_clock_system());
    pthread_mutex_lock(&s->lock);
    if (refusal(s, q, tx, &err) < 0) {
        gd_tx_fail(tx, GD_STORE_FAILED, &err);
        gd_list_add(&s->finished, &tx->link);
        if (!s->handle_closing)
            uv_async_send(&s->async);
    } else {
        gd_list_add(&q->list, &tx->link);
        if (q->n++ == 0 && s->wait_us)
            q->oldest_us = now_us();
        if (q->waiting || q->n == s->group_max)
            pthread_cond_signal(&q->cond);
    }
    pthread_mutex_unlock(&s->lock);
}

void gd_store_commit(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    submit(s, &s->writes, tx, done, arg);
}

void gd_store_read(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    submit(s, &s->reads, tx, done, arg);
}

void gd_store_commit_apart(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    submit(s, s->ops->apart ? &s->aparts : &s->writes, tx, done, arg);
}

size_t gd_tx_fence(struct gd_tx *tx, const char *node)
{
    const struct gd_sql *sql = tx->store->ops->fence;

    return sql ? gd_tx_add(tx, sql, GD_P_TEXT(node)) : SIZE_MAX;
}

void gd_store_catch_up(struct gd_store *s, gd_tx_fn *done, void *arg)
{
    struct gd_tx *tx = gd_tx_new(s);

    tx->catch_up = true;
    submit(s, &s->reads, tx, done, arg);
}

void gd_store_scrub(struct gd_store *s, gd_tx_fn *done, void *arg)
{
    struct gd_tx *tx = gd_tx_new(s);

    tx->scrub = true;
    submit(s, &s->writes, tx, done, arg);
}

void gd_store_check(struct gd_store *s, gd_tx_fn *done, void *arg)
{
    struct gd_tx *tx = gd_tx_new(s);

    tx->check = true;
    submit(s, &s->writes, tx, done, arg);
}

int gd_store_scan(struct gd_store *s, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err)
{
    return s->ops->scan(s->engine, sql, fn, arg, err);
}

int gd_store_spool_replay(struct gd_store *s, void (*fn)(void *arg, const void *rec, size_t n), void *arg,
                          struct gd_err *err)
{
    if (s->restored && gd_spool_replay(s->restored, fn, arg, err) < 0)
        return -1;
    return s->spool ? gd_spool_replay(s->spool, fn, arg, err) : 0;
}

int gd_store_spool_clear(struct gd_store *s, struct gd_err *err)
{
    if (s->spool && gd_spool_clear(s->spool, err) < 0)
        return -1;
    if (s->restored && gd_spool_remove(s->restored, err) < 0)
        return -1;
    s->restored = NULL;
    return 0;
}

int gd_store_spool_copy(struct gd_store *s, void **ret, size_t *ret_n, struct gd_err *err)
{
    *ret = NULL;
    *ret_n = 0;
    return s->spool ? gd_spool_copy(s->spool, ret, ret_n, err) : 0;
}

int64_t gd_store_bytes(const struct gd_store *s)
{
    return s->ops->bytes(s->engine);
}

json_t *gd_store_status(struct gd_store *s)
{
    struct stats st;
    size_t queue;
    json_t *j;

    pthread_mutex_lock(&s->lock);
    st = s->stats;
    queue = s->writes.n + s->reads.n + s->aparts.n;
    pthread_mutex_unlock(&s->lock);
    j = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "engine", s->ops->name, "version",
                  (json_int_t)s->version, "queue", (json_int_t)queue, "commits", (json_int_t)st.commits,
                  "groups", (json_int_t)st.groups, "last_commit_ms", (json_int_t)(st.last_us / 1000), "bytes",
                  (json_int_t)s->ops->bytes(s->engine), "spool_usable", st.spool_usable, "has_room",
                  st.has_room);
    if (s->ops->describe)
        s->ops->describe(s->engine, j);
    return j;
}

/* ---- closing
 * ------------------------------------------------------------------------------------------------------- */

static void free_store(struct gd_store *s)
{
    if (s->engine)
        s->ops->close(s->engine);
    gd_news_done(&s->news);
    gd_spool_free(s->spool);
    gd_spool_free(s->restored);
    if (s->ballast.path)
        gd_ballast_done(&s->ballast);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_cond_destroy(&s->writes.cond);
    pthread_cond_destroy(&s->reads.cond);
    pthread_cond_destroy(&s->aparts.cond);
    pthread_mutex_destroy(&s->lock);
    gd_free(s);
}

static void on_closed(uv_handle_t *h)
{
    struct gd_store *s = h->data;
    void (*done)(void *) = s->on_close;
    void *arg = s->close_arg;

    while (deliver(s, INT32_MAX) || !gd_list_empty(&s->finished)) /* what was submitted in the last moment */
        ;
    free_store(s);
    if (done)
        done(arg);
}

static void on_async(uv_async_t *h)
{
    struct gd_store *s = h->data;
    bool over;

    gd_news_deliver(&s->news); /* first: who is told of a commit knows what others did before it */
    if (deliver(s, GD_LOOP_SLICE_US))
        uv_async_send(&s->async); /* the loop's other work, vends above all, has its turn first */
    pthread_mutex_lock(&s->lock);
    over = s->closing && s->ended == s->threads && !s->joined;
    s->handle_closing |= over;
    pthread_mutex_unlock(&s->lock);
    if (!over)
        return;
    s->joined = true;
    pthread_join(s->writes.thread, NULL);
    pthread_join(s->reads.thread, NULL);
    if (s->ops->apart)
        pthread_join(s->aparts.thread, NULL);
    uv_close((uv_handle_t *)&s->async, on_closed);
}

void gd_store_close(struct gd_store *s, void (*done)(void *), void *arg)
{
    s->on_close = done;
    s->close_arg = arg;
    if (s->ops->hurry)
        s->ops->hurry(s->engine);
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->writes.cond);
    pthread_cond_broadcast(&s->reads.cond);
    pthread_cond_broadcast(&s->aparts.cond);
    pthread_mutex_unlock(&s->lock);
}

/* ---- opening
 * ------------------------------------------------------------------------------------------------------- */

static void init_queue(struct gd_store *s, struct queue *q, void (*run)(struct gd_store *, struct gd_tx *))
{
    pthread_condattr_t attr;

    q->store = s;
    q->run = run;
    gd_list_init(&q->list);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->cond, &attr);
    pthread_condattr_destroy(&attr);
}

static struct gd_store *new_store(const struct gd_store_options *o, struct gd_log *log)
{
    struct gd_store *s = gd_new(sizeof *s);

    s->ops = &gd_store_sqlite;
    s->log = log;
    s->lock_fd = -1;
    s->wait_us = o->group_wait_us;
    s->group_max = o->group_max && o->group_max < GD_STORE_GROUP_MAX ? o->group_max : GD_STORE_GROUP_MAX;
    s->stats.spool_usable = s->stats.has_room = true;
    pthread_mutex_init(&s->lock, NULL);
    gd_news_init(&s->news, o);
    init_queue(s, &s->writes, NULL);
    init_queue(s, &s->reads, run_read);
    init_queue(s, &s->aparts, run_apart);
    gd_list_init(&s->finished);
    gd_list_init(&s->ready);
    return s;
}

static int open_spools(struct gd_store *s, const char *path, struct gd_err *err)
{
    GD_AUTO_FREE char *restored = gd_strf("%s.restored", path);

    if (gd_spool_open(&s->spool, path, err) < 0)
        return -1;
    return access(restored, F_OK) == 0 ? gd_spool_open(&s->restored, restored, err) : 0;
}

int gd_store_engine_of(const struct gd_store_engine **ret, const struct gd_store_options *o,
                       struct gd_err *err)
{
    const struct gd_store_engine *ops =
        o->url ? gd_store_module_load(o->module_dir, o->own_modules, err) : &gd_store_sqlite;

    if (!ops)
        return -1;
    *ret = ops;
    return 0;
}

static int open_files(struct gd_store *s, const struct gd_store_options *o, const struct gd_clock *clock,
                      struct gd_err *err)
{
    const struct gd_store_host host = {
        .store = s, .log = s->log, .clock = clock, .news = on_news, .seen = on_seen, .set_back = on_set_back
    };

    if (gd_store_engine_of(&s->ops, o, err) < 0)
        return -1;
    s->lock_fd = gd_store_lock(o->path, err);
    if (s->lock_fd < 0)
        return -1;
    gd_ballast_init(&s->ballast, o->path);
    if (s->ops->open(&s->engine, o, &host, err) < 0)
        return -1;
    if (gd_store_migrate(s->ops, s->engine, o, gd_now(clock), &s->version, err) < 0)
        return -1;
    return o->spool_path ? open_spools(s, o->spool_path, err) : 0;
}

/* The threads take no signals: those are the loop's. */
static void start_threads(struct gd_store *s)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&s->writes.thread, NULL, writer_main, s);
    if (rc == 0)
        rc = pthread_create(&s->reads.thread, NULL, one_by_one, &s->reads);
    if (rc == 0 && s->ops->apart)
        rc = pthread_create(&s->aparts.thread, NULL, one_by_one, &s->aparts);
    if (rc != 0)
        abort(); /* no thread to be had before anything began */
    s->threads = s->ops->apart ? 3 : 2;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int gd_store_open(struct gd_store **ret, uv_loop_t *loop, const struct gd_store_options *o,
                  const struct gd_clock *clock, struct gd_log *log, struct gd_err *err)
{
    struct gd_store *s = new_store(o, log);

    if (open_files(s, o, clock, err) < 0) {
        free_store(s);
        return -1;
    }
    if (uv_async_init(loop, &s->async, on_async) < 0) {
        free_store(s);
        return gd_err_set(err, GD_R_STORE_FAILED,
                          "the loop takes no more handles; raise the limit of open files");
    }
    s->async.data = s;
    start_threads(s);
    if (s->ops->start)
        s->ops->start(s->engine);
    *ret = s;
    return 0;
}
