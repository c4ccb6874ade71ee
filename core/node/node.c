/* node/node.c - one row a node. The beat renews the lease and reads the others' in one transaction; what it
 * reads is good for as long as the lease is. */
#include "node/node_int.h"

#include "base/fault.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

#define AGAIN_MS  1000 /* after a beat that failed */
#define SOON_PART 12   /* of the lease: the next beat, when others wait to hear what it says */

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

GD_SQL(sql_beat, "UPDATE nodes SET lease_until = gd_now() + $3, beat_at = gd_now(), state = $4, shown = $5, "
                 "n = $6, era = gd_era()"
                 " WHERE name = $1 AND worker = $2");
const struct gd_sql gd_node_all = {
    "SELECT name, worker, state, lease_until - gd_now(), shown, n, COALESCE(title, ''),"
    " COALESCE(version, ''), started_at, COALESCE(beat_at, 0), CASE WHEN era <> gd_era() THEN 1 "
    "ELSE 0 END FROM nodes ORDER BY state = 'gone', name"
    " LIMIT $1"
};
GD_SQL(sql_is_over, "SELECT name FROM nodes WHERE name = $1 AND worker = $2 AND lease_until < gd_now()"
                    " AND state NOT IN ('left', 'gone')");
GD_SQL(sql_end, "UPDATE nodes SET state = 'left', worker = worker || '+' WHERE name = $1 AND worker = $2"
                " AND lease_until < gd_now() AND state NOT IN ('left', 'gone')");
GD_SQL(sql_left, "SELECT name, worker FROM nodes WHERE state = 'left'");
GD_SQL(sql_bury, "UPDATE nodes SET state = 'gone' WHERE name = $1 AND worker = $2 AND state = 'left'");
GD_SQL(sql_leave, "UPDATE nodes SET lease_until = gd_now(), state = 'left', worker = worker || '+'"
                  " WHERE name = $1 AND worker = $2");
static uint64_t mix(uint64_t x) /* the finisher of SplitMix64 */
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t gd_node_hash(const char *s)
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

static bool same_view(const struct gd_nodes *n, const struct gd_node_other *old, unsigned count)
{
    if (count != n->count)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (strcmp(old[i].name, n->all[i].name) != 0 || old[i].live != n->all[i].live)
            return false;
    return true;
}

void gd_node_read_all(struct gd_nodes *n, const struct gd_tx *tx, size_t stmt)
{
    n->count = n->live = 0;
    for (size_t i = 0; i < gd_tx_rows(tx, stmt) && n->count < GD_NODES_LISTED_MAX; i++) {
        struct gd_node_other *o = &n->all[n->count++];

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
        o->hash = gd_node_hash(o->name);
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

static void fence(struct gd_nodes *n, const struct gd_node_other *o)
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

/* Only who has been alive without a gap for as long as others are given says that they are not; those that
 * are behind are given it from the moment on when that was seen: until then they had nothing to end. */
static bool is_dead(const struct gd_nodes *n, const struct gd_node_other *o)
{
    int64_t now = gd_mono(n->clock), given = n->o.lease_ms + (o->behind ? n->o.back_ms : 0);

    if (o->behind && now - o->behind_since < given)
        return false;
    if (o->left_ms > 0 || !strcmp(o->state, "left") || !strcmp(o->state, "gone"))
        return false;
    return n->started && now < n->valid_until && now - n->steady_since >= given;
}

static void keep_since(struct gd_nodes *n, const struct gd_node_other *old, unsigned count)
{
    for (unsigned i = 0; i < n->count; i++) {
        struct gd_node_other *o = &n->all[i];

        o->behind_since = o->behind ? gd_mono(n->clock) : 0;
        for (unsigned k = 0; k < count; k++)
            if (o->behind && old[k].behind_since && !strcmp(old[k].name, o->name))
                o->behind_since = old[k].behind_since;
    }
}

/* Those whose lease is over write nothing more; then what they left may be taken over. */
static void look_after(struct gd_nodes *n)
{
    bool left = false, may_fence = n->fences == 0;

    for (unsigned i = 0; i < n->count; i++) {
        const struct gd_node_other *o = &n->all[i];

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
        const struct gd_node_other *o = &n->all[i];

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
    struct gd_node_other *old = gd_new_array(GD_NODES_LISTED_MAX, sizeof *old);
    int64_t now = gd_mono(n->clock);
    unsigned count = n->count, among = n->among;
    bool changed;

    memcpy(old, n->all, sizeof n->all);
    if (now - n->seen_at > n->o.lease_ms * 2 / 3) /* it was away, and so were the others perhaps */
        n->steady_since = now;
    n->seen_at = now;
    n->valid_until = n->sent_at + n->o.lease_ms;
    gd_node_read_all(n, tx, 1);
    keep_since(n, old, count);
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

void gd_node_free(struct gd_nodes *n)
{
    gd_free(n->name);
    gd_free(n->worker);
    gd_free(n->prefix);
    gd_free(n->place);
    gd_free(n->title);
    gd_free(n->version);
    gd_free(n);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct gd_nodes *n = h->data;
    void (*done)(void *) = n->closed;
    void *arg = n->closed_arg;

    gd_node_free(n);
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
    gd_tx_add(tx, &gd_node_all, GD_P_INT(GD_NODES_LISTED_MAX));
    (void)GD_FAULT("node.beat");
    gd_store_commit_apart(n->store, tx, on_beaten, n);
}

static void arm(struct gd_nodes *n, int64_t ms)
{
    if (n->started && !n->closing && !n->ousted)
        uv_timer_start(&n->timer, beat, (uint64_t)ms, 0);
}

void gd_nodes_start(struct gd_nodes *n)
{
    gd_node_keeper_stop(&n->keeper);
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
    gd_node_keeper_stop(&n->keeper);
    if (!n->shared || (n->ousted && !n->under_way))
        uv_close((uv_handle_t *)&n->timer, on_timer_closed);
    else
        leave(n);
}

static json_t *one_status(const struct gd_node_other *o)
{
    const char *state = o->live || o->left_ms > 0 ? o->state : "gone";
    char started[32], seen[32];

    gd_time_text(started, o->started_at);
    gd_time_text(seen, o->beat_at);
    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:s, s:s, s:s?}", "name", o->name, "title", o->title, "state",
                     state, "behind", (int)(o->behind && strcmp(o->state, "gone") != 0), "lease_ms",
                     (json_int_t)o->left_ms, "version", o->version, "started_at", started, "seen_at",
                     o->beat_at ? seen : NULL);
}

json_t *gd_nodes_status(const struct gd_nodes *n)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < n->count; i++)
        json_array_append_new(list, one_status(&n->all[i]));
    return json_pack("{s:s, s:s, s:I, s:o}", "name", n->name, "worker", n->worker, "among",
                     (json_int_t)gd_nodes_among(n), "nodes", list);
}
