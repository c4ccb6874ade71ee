/* store/store.c - the loop's side: transactions are submitted, threads do them (work.c), and what is finished
 * goes to a list that the loop empties when the async handle wakes it. */
#include "store/module.h"
#include "store/work.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    int64_t until = gd_work_us() + for_us;
    struct gd_list *l;

    pthread_mutex_lock(&s->lock);
    gd_move_all(&s->ready, &s->finished);
    pthread_mutex_unlock(&s->lock);
    while ((l = gd_list_pop(&s->ready))) {
        struct gd_tx *tx = gd_tx_of(l);

        if (tx->done)
            tx->done(tx->arg, tx, tx->result, tx->result == GD_STORE_OK ? NULL : &tx->err);
        gd_tx_free(tx);
        if (gd_work_us() > until)
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
    if (tx->spool && (!s->spool || q != &s->queues[GD_WRITES]))
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
            q->oldest_us = gd_work_us();
        if (q->waiting || q->n == s->group_max)
            pthread_cond_signal(&q->cond);
    }
    pthread_mutex_unlock(&s->lock);
}

void gd_store_commit(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    submit(s, &s->queues[GD_WRITES], tx, done, arg);
}

void gd_store_read(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    submit(s, &s->queues[GD_READS], tx, done, arg);
}

void gd_store_read_soon(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    submit(s, s->ops->soon ? &s->queues[GD_SOON] : &s->queues[GD_READS], tx, done, arg);
}

void gd_store_commit_apart(struct gd_store *s, struct gd_tx *tx, gd_tx_fn *done, void *arg)
{
    submit(s, s->ops->apart ? &s->queues[GD_APART] : &s->queues[GD_WRITES], tx, done, arg);
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
    submit(s, &s->queues[GD_READS], tx, done, arg);
}

void gd_store_scrub(struct gd_store *s, gd_tx_fn *done, void *arg)
{
    struct gd_tx *tx = gd_tx_new(s);

    tx->scrub = true;
    submit(s, &s->queues[GD_WRITES], tx, done, arg);
}

void gd_store_check(struct gd_store *s, gd_tx_fn *done, void *arg)
{
    struct gd_tx *tx = gd_tx_new(s);

    tx->check = true;
    submit(s, &s->queues[GD_WRITES], tx, done, arg);
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

void gd_store_spool_lost(struct gd_store *s, gd_spool_there_fn *there,
                         void (*fn)(void *arg, const void *rec, size_t n), void *arg)
{
    if (s->spool)
        gd_spool_lost(s->spool, there, fn, arg);
}

void gd_store_spool_forget(struct gd_store *s)
{
    struct gd_tx *tx = gd_tx_new(s);

    tx->forget = true;
    gd_store_commit(s, tx, NULL, NULL);
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
    size_t queue = 0;
    json_t *j;

    pthread_mutex_lock(&s->lock);
    st = s->stats;
    for (size_t i = 0; i < GD_QUEUES; i++)
        queue += s->queues[i].n;
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
    for (size_t i = 0; i < GD_QUEUES; i++)
        pthread_cond_destroy(&s->queues[i].cond);
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
    gd_work_join(s);
    uv_close((uv_handle_t *)&s->async, on_closed);
}

void gd_store_hurry(struct gd_store *s)
{
    if (s->ops->hurry)
        s->ops->hurry(s->engine);
}

void gd_store_close(struct gd_store *s, void (*done)(void *), void *arg)
{
    s->on_close = done;
    s->close_arg = arg;
    gd_store_hurry(s);
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    for (size_t i = 0; i < GD_QUEUES; i++)
        pthread_cond_broadcast(&s->queues[i].cond);
    pthread_mutex_unlock(&s->lock);
}

/* ---- opening
 * ------------------------------------------------------------------------------------------------------- */

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
    gd_work_init(s);
    gd_list_init(&s->finished);
    gd_list_init(&s->ready);
    return s;
}

static int open_spools(struct gd_store *s, const char *path, struct gd_err *err)
{
    GD_AUTO_FREE char *restored = gd_strf("%s.restored", path);

    if (gd_spool_open(&s->spool, path, err) < 0)
        return -1;
    gd_spool_keep(s->spool, s->ops->shared ? GD_SPOOL_KEEP_MS : 0, GD_SPOOL_KEEP_MAX);
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
    const struct gd_store_host host = { .store = s,
                                        .log = s->log,
                                        .clock = clock,
                                        .news = on_news,
                                        .seen = on_seen,
                                        .set_back = on_set_back,
                                        .spooled = gd_work_spooled };

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
    gd_work_start(s);
    if (s->ops->start)
        s->ops->start(s->engine);
    *ret = s;
    return 0;
}
