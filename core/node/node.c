/* node/node.c - one row a node. The beat renews the lease and reads the others' in one transaction; what it
 * reads is good for as long as the lease is. */
#include "node/node.h"

#include "base/fault.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEASE_MS     15000
#define START_MS     600000 /* a start that takes longer hangs */
#define AGAIN_MS     1000   /* after a beat that failed */
#define SOON_PART    12     /* of the lease: the next beat, when others wait to hear what it says */
#define NAME_MAX_LEN 63

/* lease_until: by the database's clock. state: starting, live, draining; left: it writes nothing more, its
 * worker has another name; gone: nothing is left of it. n: among so many it divides what all share (0: an
 * older program, which does not say). started_at, beat_at: by the database's clock, for people. */
const char *const gd_nodes_tables[] = {
    "CREATE TABLE nodes (name text NOT NULL PRIMARY KEY, worker text NOT NULL, place text NOT NULL,"
    " epoch bigint NOT NULL, n bigint NOT NULL, lease_until bigint NOT NULL, state text NOT NULL,"
    " started_at bigint NOT NULL)",
    NULL,
};

const char *const gd_nodes_shown[] = { "ALTER TABLE nodes ADD COLUMN shown text", NULL };
/* That which the node has found complete last. */
const char *const gd_nodes_eras[] = { "ALTER TABLE nodes ADD COLUMN era text", NULL };

const char *const gd_nodes_about[] = { "ALTER TABLE nodes ADD COLUMN title text",
                                       "ALTER TABLE nodes ADD COLUMN version text",
                                       "ALTER TABLE nodes ADD COLUMN beat_at bigint", NULL };

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
GD_SQL(sql_beat, "UPDATE nodes SET lease_until = gd_now() + $3, beat_at = gd_now(), state = $4, shown = $5, "
                 "n = $6, era = gd_era()"
                 " WHERE name = $1 AND worker = $2");
GD_SQL(sql_all, "SELECT name, worker, state, lease_until - gd_now(), shown, n, COALESCE(title, ''),"
                " COALESCE(version, ''), started_at, COALESCE(beat_at, 0), CASE WHEN era <> gd_era() THEN 1 "
                "ELSE 0 END FROM nodes ORDER BY state = 'gone', name"
                " LIMIT $1");
GD_SQL(sql_keep,
       "UPDATE nodes SET lease_until = gd_now() + $3, beat_at = gd_now() WHERE name = $1 AND worker = $2");
GD_SQL(sql_is_over, "SELECT name FROM nodes WHERE name = $1 AND worker = $2 AND lease_until < gd_now()"
                    " AND state NOT IN ('left', 'gone')");
GD_SQL(sql_end, "UPDATE nodes SET state = 'left', worker = worker || '+' WHERE name = $1 AND worker = $2"
                " AND lease_until < gd_now() AND state NOT IN ('left', 'gone')");
GD_SQL(sql_left, "SELECT name, worker FROM nodes WHERE state = 'left'");
GD_SQL(sql_bury, "UPDATE nodes SET state = 'gone' WHERE name = $1 AND worker = $2 AND state = 'left'");
GD_SQL(sql_leave, "UPDATE nodes SET lease_until = gd_now(), state = 'left', worker = worker || '+'"
                  " WHERE name = $1 AND worker = $2");
GD_SQL(sql_forget, "DELETE FROM nodes WHERE state = 'gone' AND lease_until < gd_now() - $2 AND name <> $1");

#define FORGET_MS (30 * 86400000LL) /* a name that is not used any more */

struct other {
    char name[NAME_MAX_LEN + 1];
    char worker[NAME_MAX_LEN + 1 + 32];
    char state[16], title[GD_NODE_TITLE_MAX + 1], version[32];
    int64_t started_at, beat_at;
    int64_t among;
    int64_t left_ms; /* of its lease, when it was read */
    uint64_t hash;
    bool live;
    bool behind; /* it has not found the present era complete */
};

/* Renews the lease while the node starts: the loop does not turn while a large store is read. */
struct keeper {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of over */
    pthread_cond_t cond;
    bool over;
};

struct gd_nodes {
    struct gd_store *store;
    const struct gd_clock *clock;
    struct gd_log *log;
    struct gd_nodes_options o;
    char *name, *worker, *prefix, *place, *title, *version;
    struct other all[GD_NODES_LISTED_MAX]; /* this one among them */
    unsigned count, live;
    uint64_t hash;
    int64_t sent_at, seen_at, valid_until, steady_since; /* monotonic; seen: the last beat arrived */
    bool shared, started, draining, ousted, closing;
    /* What all share is divided among so many: now, as the row says, as the beat under way says, as the next
     * one will. The row never says more than is used, so others may go by it. */
    unsigned among, said, saying, say;
    bool counted;       /* once every other live node had said that it counts with this one */
    bool behind;        /* when it was opened */
    unsigned under_way; /* transactions */
    unsigned fences;    /* those among them that fence */
    struct keeper keeper;
    uv_timer_t timer;
    void (*closed)(void *);
    void *closed_arg;
};

static uint64_t mix(uint64_t x) /* the finisher of SplitMix64 */
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t name_hash(const char *s)
{
    uint64_t h = 0x9e3779b97f4a7c15u;

    for (; *s; s++)
        h = mix(h ^ (unsigned char)*s);
    return h;
}

const char *gd_nodes_worker(const struct gd_nodes *n)
{
    return n->worker;
}

const char *gd_nodes_prefix(const struct gd_nodes *n)
{
    return n->prefix;
}

unsigned gd_nodes_live(const struct gd_nodes *n)
{
    return n->live ? n->live : 1;
}

unsigned gd_nodes_among(const struct gd_nodes *n)
{
    return n->shared ? n->among : 1;
}

/* The highest of what the live nodes draw for it (rendezvous hashing): when one goes, only what was its own
 * moves. */
bool gd_nodes_prefers(const struct gd_nodes *n, const struct gd_id *id)
{
    uint64_t key, mine;

    if (!n->shared || n->live < 2)
        return !n->draining || n->live < 2;
    memcpy(&key, id->b + 8, sizeof key);
    mine = mix(key ^ n->hash);
    if (n->draining)
        return false;
    for (unsigned i = 0; i < n->count; i++)
        if (n->all[i].live && n->all[i].hash != n->hash && mix(key ^ n->all[i].hash) > mine)
            return false;
    return true;
}

bool gd_nodes_behind(const struct gd_nodes *n)
{
    return n->behind;
}

bool gd_nodes_take_all(const struct gd_nodes *n)
{
    return !n->shared || n->started;
}

size_t gd_nodes_left(struct gd_tx *tx)
{
    return gd_tx_add_(tx, &sql_left, NULL, 0);
}

void gd_nodes_bury(struct gd_tx *tx, const struct gd_tx *from, size_t stmt)
{
    for (size_t i = 0; i < gd_tx_rows(from, stmt); i++)
        gd_tx_add(tx, &sql_bury, GD_P_TEXT(gd_tx_text(from, stmt, i, 0)),
                  GD_P_TEXT(gd_tx_text(from, stmt, i, 1)));
}

/* ---- the beat ---- */

static void arm(struct gd_nodes *n, int64_t ms);
static void leave(struct gd_nodes *n);

static bool same_view(const struct gd_nodes *n, const struct other *old, unsigned count)
{
    if (count != n->count)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (strcmp(old[i].name, n->all[i].name) != 0 || old[i].live != n->all[i].live)
            return false;
    return true;
}

static void read_all(struct gd_nodes *n, const struct gd_tx *tx, size_t stmt)
{
    n->count = n->live = 0;
    for (size_t i = 0; i < gd_tx_rows(tx, stmt) && n->count < GD_NODES_LISTED_MAX; i++) {
        struct other *o = &n->all[n->count++];

        (void)snprintf(o->name, sizeof o->name, "%s", gd_tx_text(tx, stmt, i, 0));
        (void)snprintf(o->worker, sizeof o->worker, "%s", gd_tx_text(tx, stmt, i, 1));
        (void)snprintf(o->state, sizeof o->state, "%s", gd_tx_text(tx, stmt, i, 2));
        o->left_ms = gd_tx_int(tx, stmt, i, 3);
        o->among = gd_tx_int(tx, stmt, i, 5);
        (void)snprintf(o->title, sizeof o->title, "%s", gd_tx_text(tx, stmt, i, 6));
        (void)snprintf(o->version, sizeof o->version, "%s", gd_tx_text(tx, stmt, i, 7));
        o->started_at = gd_tx_int(tx, stmt, i, 8);
        o->beat_at = gd_tx_int(tx, stmt, i, 9);
        o->behind = gd_tx_int(tx, stmt, i, 10) != 0;
        o->hash = name_hash(o->name);
        o->live = o->left_ms > 0 && !strcmp(o->state, "live");
        n->live += o->live;
    }
}

static void tell_dead(const struct gd_nodes *n)
{
    if (!n->draining && n->o.on_dead)
        n->o.on_dead(n->o.arg);
}

static void on_fenced(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_nodes *n = arg;

    n->under_way--;
    n->fences--;
    if (r != GD_STORE_OK) /* the next beat finds it again */
        GD_LOG(n->log, GD_LOG_WARN, "node.not_fenced", GD_F_ERR(err));
    else
        (void)GD_FAULT("node.fenced");
    if (n->closing)
        leave(n);
    else if (r == GD_STORE_OK && gd_tx_changes(tx, 1) > 0 && gd_tx_changes(tx, 2) > 0)
        tell_dead(n);
}

static void fence(struct gd_nodes *n, const struct other *o)
{
    struct gd_tx *tx = gd_tx_new(n->store);

    GD_LOG(n->log, GD_LOG_WARN, "node.dead", GD_F_STR("node", o->name));
    gd_tx_add(tx, &sql_is_over, GD_P_TEXT(o->name), GD_P_TEXT(o->worker));
    gd_tx_add(tx, &sql_end, GD_P_TEXT(o->name), GD_P_TEXT(o->worker));
    (void)gd_tx_fence(tx, o->name);
    n->under_way++;
    n->fences++;
    (void)GD_FAULT("node.fence");
    gd_store_commit_apart(n->store, tx, on_fenced, n);
}

/* Only who has been alive without a gap for as long as others are given says that they are not. */
static bool is_dead(const struct gd_nodes *n, const struct other *o)
{
    int64_t now = gd_mono(n->clock), given = n->o.lease_ms + (o->behind ? n->o.back_ms : 0);

    if (o->left_ms > 0 || !strcmp(o->state, "left") || !strcmp(o->state, "gone"))
        return false;
    return n->started && now < n->valid_until && now - n->steady_since >= given;
}

/* Those whose lease is over write nothing more; then what they left may be taken over. */
static void look_after(struct gd_nodes *n)
{
    bool left = false, may_fence = n->fences == 0;

    for (unsigned i = 0; i < n->count; i++) {
        const struct other *o = &n->all[i];

        left |= !strcmp(o->state, "left");
        if (may_fence && is_dead(n, o))
            fence(n, o);
    }
    if (left)
        tell_dead(n);
}

/* Who has once been counted with goes on: who comes later takes no part before this one counts with him. */
static unsigned wanted_among(const struct gd_nodes *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        const struct other *o = &n->all[i];

        if (!o->live || o->hash == n->hash)
            continue;
        if (n->draining || (!n->counted && o->among > 0 && o->among < n->live))
            return GD_NODES_MAX;
    }
    return gd_nodes_live(n);
}

/* A smaller part is taken at once. A larger one when the row says so, and not on the word of a view that
 * somebody who just came may not be in: two that look at the same moment do not see each other, and each
 * finds the other's row with its next beat. */
static void divide(struct gd_nodes *n)
{
    unsigned want = wanted_among(n), among = want > n->said ? want : n->said;

    if (among > n->among || gd_mono(n->clock) - n->sent_at < n->o.lease_ms / SOON_PART)
        n->among = among;
    n->counted |= n->among == want && want < GD_NODES_MAX;
    n->say = want;
}

/* True: who is there has changed. */
static bool take_view(struct gd_nodes *n, const struct gd_tx *tx)
{
    struct other *old = gd_new_array(GD_NODES_LISTED_MAX, sizeof *old);
    int64_t now = gd_mono(n->clock);
    unsigned count = n->count, among = n->among;
    bool changed;

    memcpy(old, n->all, sizeof n->all);
    if (now - n->seen_at > n->o.lease_ms * 2 / 3) /* it was away, and so were the others perhaps */
        n->steady_since = now;
    n->seen_at = now;
    n->valid_until = n->sent_at + n->o.lease_ms;
    read_all(n, tx, 1);
    n->said = n->saying;
    divide(n);
    changed = !same_view(n, old, count) || among != n->among;
    if (changed && n->o.on_changed)
        n->o.on_changed(n->o.arg);
    gd_free(old);
    if (!n->draining)
        look_after(n);
    return changed;
}

static void tell_shown(const struct gd_nodes *n, const struct gd_tx *tx, size_t stmt)
{
    GD_AUTO_JSON texts = json_array();

    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++)
        if (strcmp(gd_tx_text(tx, stmt, i, 0), n->name) != 0 && !gd_tx_is_null(tx, stmt, i, 4))
            json_array_append_new(texts, json_string(gd_tx_text(tx, stmt, i, 4)));
    if (n->o.on_shown && json_array_size(texts))
        n->o.on_shown(n->o.arg, texts);
}

static void oust(struct gd_nodes *n)
{
    n->ousted = true;
    GD_LOG(n->log, GD_LOG_ERROR, "node.ousted", GD_F_STR("worker", n->worker));
    if (n->o.on_ousted)
        n->o.on_ousted(n->o.arg);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct gd_nodes *n = h->data;
    void (*done)(void *) = n->closed;
    void *arg = n->closed_arg;

    gd_free(n->name);
    gd_free(n->worker);
    gd_free(n->prefix);
    gd_free(n->place);
    gd_free(n->title);
    gd_free(n->version);
    gd_free(n);
    if (done)
        done(arg);
}

static void on_left(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_nodes *n = arg;

    (void)tx;
    (void)r; /* else it runs out by itself */
    (void)err;
    (void)GD_FAULT("node.left");
    uv_close((uv_handle_t *)&n->timer, on_timer_closed);
}

/* When nothing is under way any more. */
static void leave(struct gd_nodes *n)
{
    struct gd_tx *tx;

    if (n->under_way)
        return;
    tx = gd_tx_new(n->store);

    gd_tx_add(tx, &sql_leave, GD_P_TEXT(n->name), GD_P_TEXT(n->worker));
    gd_store_commit(n->store, tx, on_left, n);
}

static void on_beaten(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_nodes *n = arg;
    bool changed;

    n->under_way--;
    if (n->closing) {
        leave(n);
    } else if (r != GD_STORE_OK && err && err->reason == GD_R_STORE_LOCKED) { /* it was fenced */
        oust(n);
    } else if (r != GD_STORE_OK) {
        GD_LOG(n->log, GD_LOG_WARN, "node.beat_failed", GD_F_ERR(err));
        arm(n, n->o.lease_ms / 6 < AGAIN_MS ? n->o.lease_ms / 6 : AGAIN_MS);
    } else if (gd_tx_changes(tx, 0) == 0) {
        oust(n);
    } else {
        (void)GD_FAULT("node.beaten");
        changed = take_view(n, tx);
        tell_shown(n, tx, 1);
        arm(n,
            n->o.lease_ms / (changed || n->say != n->said ? SOON_PART : 3)); /* others wait to hear of it */
    }
}

static void beat(uv_timer_t *t)
{
    struct gd_nodes *n = t->data;
    struct gd_tx *tx = gd_tx_new(n->store);
    GD_AUTO_FREE char *shown = n->o.shown ? n->o.shown(n->o.arg) : NULL;

    n->under_way++;
    n->sent_at = gd_mono(n->clock);
    n->saying = n->say;
    gd_tx_add(tx, &sql_beat, GD_P_TEXT(n->name), GD_P_TEXT(n->worker), GD_P_INT(n->o.lease_ms),
              GD_P_TEXT(n->draining ? "draining" : "live"), GD_P_TEXT(shown), GD_P_INT(n->saying));
    gd_tx_add(tx, &sql_all, GD_P_INT(GD_NODES_LISTED_MAX));
    (void)GD_FAULT("node.beat");
    gd_store_commit_apart(n->store, tx, on_beaten, n);
}

static void arm(struct gd_nodes *n, int64_t ms)
{
    if (n->started && !n->closing && !n->ousted)
        uv_timer_start(&n->timer, beat, (uint64_t)ms, 0);
}

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
    struct keeper *k = &n->keeper;

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
    struct keeper *k = &n->keeper;
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

static void keeper_stop(struct keeper *k)
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

void gd_nodes_start(struct gd_nodes *n)
{
    keeper_stop(&n->keeper);
    n->started = true;
    n->steady_since = gd_mono(n->clock);
    if (n->shared)
        arm(n, 0);
}

void gd_nodes_drain(struct gd_nodes *n)
{
    n->draining = true;
    if (n->shared && !n->under_way)
        arm(n, 0);
}

void gd_nodes_close(struct gd_nodes *n, void (*done)(void *), void *arg)
{
    n->closing = true;
    n->closed = done;
    n->closed_arg = arg;
    (void)uv_timer_stop(&n->timer);
    keeper_stop(&n->keeper);
    if (!n->shared || (n->ousted && !n->under_way))
        uv_close((uv_handle_t *)&n->timer, on_timer_closed);
    else
        leave(n);
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
    read_all(o->n, tx, 4);
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
    gd_tx_add(tx, &sql_all, GD_P_INT(GD_NODES_LISTED_MAX));
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
    n->name = gd_strndup(o->name, NAME_MAX_LEN);
    n->prefix = gd_strf("%s.", n->name);
    n->place = gd_strdup(o->place);
    n->title = o->title ? gd_strndup(o->title, GD_NODE_TITLE_MAX) : NULL;
    n->version = o->version ? gd_strdup(o->version) : NULL;
    n->hash = name_hash(n->name);
    n->shared = gd_store_shared(store);
    n->live = 1;
    n->among = n->said = n->say = GD_NODES_MAX;
    if (uv_timer_init(loop, &n->timer))
        return gd_err_set(err, GD_R_INTERNAL, "the loop takes no more handles"); /* the process ends */
    n->timer.data = n;
    uv_unref((uv_handle_t *)&n->timer);
    if (n->o.alone ? make_name(n) : take_name(n, loop, err))
        return -1;
    if (n->shared)
        keeper_start(n);
    *ret = n;
    return 0;
}

static json_t *one_status(const struct other *o)
{
    const char *state = o->live || o->left_ms > 0 ? o->state : "gone";
    char started[32], seen[32];

    gd_time_text(started, o->started_at);
    gd_time_text(seen, o->beat_at);
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s?}", "name", o->name, "title", o->title, "state",
                     state, "lease_ms", (json_int_t)o->left_ms, "version", o->version, "started_at", started,
                     "seen_at", o->beat_at ? seen : NULL);
}

json_t *gd_nodes_status(const struct gd_nodes *n)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < n->count; i++)
        json_array_append_new(list, one_status(&n->all[i]));
    return json_pack("{s:s, s:s, s:I, s:o}", "name", n->name, "worker", n->worker, "among",
                     (json_int_t)gd_nodes_among(n), "nodes", list);
}
