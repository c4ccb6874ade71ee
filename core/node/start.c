/* node/start.c - a node takes its name in the store, and keeps the lease while the process starts. */
#include "node/node_int.h"

#include "base/fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEASE_MS  15000
#define START_MS  600000            /* a start that takes longer hangs */
#define FORGET_MS (30 * 86400000LL) /* a name that is not used any more */

#define OTHERS "(SELECT count(*) FROM nodes WHERE name <> $1 AND lease_until > gd_now())"
/* A row that is there is taken only when it is this node's own, or nobody has kept it alive. Its era stays
 * until the first beat: the spool is read between. */
GD_SQL(sql_take,
       "INSERT INTO nodes (name, worker, place, epoch, n, lease_until, state, started_at, beat_at,"
       " title, version, era)"
       " SELECT CAST($1 AS text), CAST($1 AS text) || '.1', $2, 1, $4, gd_now() + $3,"
       " 'starting', gd_now(), gd_now(), $5, $6, gd_era() WHERE " OTHERS " < $4"
       " ON CONFLICT (name) DO UPDATE SET epoch = nodes.epoch + 1,"
       " worker = nodes.name || '.' || CAST(nodes.epoch + 1 AS text), place = excluded.place,"
       " lease_until = excluded.lease_until, state = 'starting', started_at = excluded.started_at,"
       " n = excluded.n, beat_at = excluded.beat_at, title = excluded.title, version = excluded.version"
       " WHERE nodes.place = $2 OR nodes.lease_until < gd_now()");
GD_SQL(sql_mine, "SELECT worker, CASE WHEN era <> gd_era() THEN 1 ELSE 0 END FROM nodes WHERE name = $1");
GD_SQL(sql_others, "SELECT " OTHERS);
GD_SQL(sql_keep,
       "UPDATE nodes SET lease_until = gd_now() + $3, beat_at = gd_now() WHERE name = $1 AND worker = $2");
GD_SQL(sql_forget, "DELETE FROM nodes WHERE state = 'gone' AND lease_until < gd_now() - $2 AND name <> $1");

/* ---- while it starts ---- */

static void keep(struct gd_nodes *n)
{
    struct gd_tx *tx = gd_tx_new(n->store);

    gd_tx_add(tx, &sql_keep, GD_P_TEXT(n->name), GD_P_TEXT(n->worker), GD_P_INT(n->o.lease_ms));
    gd_store_commit_apart(n->store, tx, NULL, NULL); /* that it is fenced the next commit hears */
}

static struct timespec in_ms(int64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *keeper_main(void *arg)
{
    struct gd_nodes *n = arg;
    struct gd_node_keeper *k = &n->keeper;

    pthread_mutex_lock(&k->lock);
    for (int64_t ms = 0; ms < START_MS && !k->over; ms += n->o.lease_ms / 3) {
        struct timespec until = in_ms(n->o.lease_ms / 3);

        while (!k->over && pthread_cond_timedwait(&k->cond, &k->lock, &until) == 0)
            continue;
        if (!k->over)
            keep(n);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

/* The thread takes no signals: those are the loop's. */
static void keeper_start(struct gd_nodes *n)
{
    struct gd_node_keeper *k = &n->keeper;
    pthread_condattr_t attr;
    sigset_t all, old;

    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->cond, &attr);
    pthread_condattr_destroy(&attr);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&k->thread, NULL, keeper_main, n) != 0)
        abort(); /* no thread to be had before anything began */
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    k->running = true;
}

void gd_node_keeper_stop(struct gd_node_keeper *k)
{
    if (!k->running)
        return;
    pthread_mutex_lock(&k->lock);
    k->over = true;
    pthread_cond_signal(&k->cond);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->cond);
    pthread_mutex_destroy(&k->lock);
    k->running = false;
}

/* ---- opening ---- */

struct opening {
    struct gd_nodes *n;
    bool done, taken;
    int64_t others; /* that are alive */
    enum gd_store_result result;
    struct gd_err err;
};

static void on_taken(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct opening *o = arg;

    o->done = true;
    o->result = r;
    if (r != GD_STORE_OK) {
        if (err)
            o->err = *err;
        return;
    }
    o->taken = gd_tx_changes(tx, 0) > 0;
    o->others = gd_tx_int(tx, 2, 0, 0);
    gd_node_read_all(o->n, tx, 4);
    o->n->behind = gd_tx_int(tx, 1, 0, 1) != 0;
    if (o->taken)
        o->n->worker = gd_strdup(gd_tx_text(tx, 1, 0, 0));
    (void)GD_FAULT("node.named");
}

static int not_taken(const struct opening *o, struct gd_err *err)
{
    if (o->others >= GD_NODES_MAX)
        return gd_err_set(
            err, GD_R_NODES_TOO_MANY,
            "%lld nodes work on this store already, and %d are the most; stop one of them first",
            (long long)o->others, GD_NODES_MAX);
    return gd_err_set(err, GD_R_NODE_NAME_TAKEN,
                      "another process is this node (%s) in the same store: a state directory was copied; "
                      "remove the file \"node\" from the copy and start again",
                      o->n->name);
}

/* People tell them apart by what they are called; nothing else does. */
static void warn_of_namesakes(const struct gd_nodes *n)
{
    for (unsigned i = 0; n->title && i < n->count; i++)
        if (n->all[i].live && n->all[i].hash != n->hash && !strcmp(n->all[i].title, n->title))
            GD_LOG(n->log, GD_LOG_WARN, "node.namesake", GD_F_STR("title", n->title),
                   GD_F_STR("node", n->all[i].name));
}

static int take_name(struct gd_nodes *n, uv_loop_t *loop, struct gd_err *err)
{
    struct opening o = { .n = n, .err = { .reason = GD_R_STORE_FAILED } };
    struct gd_tx *tx = gd_tx_new(n->store);

    n->sent_at = gd_mono(n->clock);
    gd_tx_add(tx, &sql_take, GD_P_TEXT(n->name), GD_P_TEXT(n->place), GD_P_INT(n->o.lease_ms),
              GD_P_INT(GD_NODES_MAX), GD_P_TEXT(n->title), GD_P_TEXT(n->version));
    gd_tx_add(tx, &sql_mine, GD_P_TEXT(n->name));
    gd_tx_add(tx, &sql_others, GD_P_TEXT(n->name));
    gd_tx_add(tx, &sql_forget, GD_P_TEXT(n->name), GD_P_INT(FORGET_MS));
    gd_tx_add(tx, &gd_node_all, GD_P_INT(GD_NODES_LISTED_MAX));
    gd_store_commit(n->store, tx, on_taken, &o);
    while (!o.done)
        uv_run(loop, UV_RUN_ONCE);
    n->valid_until = n->sent_at + n->o.lease_ms;
    if (o.result != GD_STORE_OK) {
        *err = o.err;
        return -1;
    }
    warn_of_namesakes(n);
    return o.taken ? 0 : not_taken(&o, err);
}

/* A name that was never there before, without asking the store or telling it: what changes a store waits
 * until all of its file was looked at, and a start shall not. */
static int make_name(struct gd_nodes *n)
{
    char text[GD_ID_TEXT_MAX];

    gd_id_make(text, "wk", gd_now(n->clock), n->o.alone);
    n->worker = gd_strf("%s%s", n->prefix, text);
    return 0;
}

int gd_nodes_open(struct gd_nodes **ret, uv_loop_t *loop, struct gd_store *store,
                  const struct gd_nodes_options *o, const struct gd_clock *clock, struct gd_log *log,
                  struct gd_err *err)
{
    struct gd_nodes *n = gd_new(sizeof *n);

    n->store = store;
    n->clock = clock;
    n->log = log;
    n->o = *o;
    n->o.lease_ms = o->lease_ms ? o->lease_ms : LEASE_MS;
    n->name = gd_strndup(o->name, GD_NODE_NAME_MAX);
    n->prefix = gd_strf("%s.", n->name);
    n->place = gd_strdup(o->place);
    n->title = o->title ? gd_strndup(o->title, GD_NODE_TITLE_MAX) : NULL;
    n->version = o->version ? gd_strdup(o->version) : NULL;
    n->hash = gd_node_hash(n->name);
    n->shared = gd_store_shared(store);
    n->live = 1;
    n->among = n->said = n->say = GD_NODES_MAX;
    if (n->o.alone ? make_name(n) : take_name(n, loop, err)) {
        gd_node_free(n);
        return -1;
    }
    if (uv_timer_init(loop, &n->timer))
        return gd_err_set(err, GD_R_INTERNAL, "the loop takes no more handles"); /* the process ends */
    n->timer.data = n;
    uv_unref((uv_handle_t *)&n->timer);
    if (n->shared)
        keeper_start(n);
    *ret = n;
    return 0;
}
