/* event/event.c - the outbox. An event is a row written by the transaction that makes it true. Its id is made
 * here, larger than every one of this node before it, also when the clock has gone back. "Behind the cursor"
 * is a matter of positions: ids of several nodes say nothing about who was committed first. */
#include "event/event.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

#define PAGE_MAX 1000

/* Where one process writes, an event has its position at once. Where several do, it gets one when it is
 * looked for: what is committed by then stands behind all that have one, whatever their ids say. Whoever
 * gives positions holds the row of event_heads until he is done. */
GD_SQL(sql_add,
       "INSERT INTO events (workspace, id, at, type, subject, data, pos) SELECT $1, $2, $3, $4, $5, $6,"
       " COALESCE(max(pos), 0) + 1 FROM events WHERE workspace = $1");
GD_SQL(sql_add_shared, "INSERT INTO events (workspace, id, at, type, subject, data, pos)"
                       " VALUES ($1, $2, $3, $4, $5, $6, NULL)");
GD_SQL(sql_head, "INSERT INTO event_heads (workspace, n) VALUES ($1, 0) ON CONFLICT (workspace) DO NOTHING");
GD_SQL(sql_hold, "UPDATE event_heads SET n = n + 1 WHERE workspace = $1");
GD_SQL(sql_number,
       "UPDATE events SET pos = t.k FROM (SELECT e.id AS i, (SELECT COALESCE(max(m.pos), 0) FROM events m"
       " WHERE m.workspace = $1) + row_number() OVER (ORDER BY e.id) AS k FROM events e"
       " WHERE e.workspace = $1 AND e.pos IS NULL ORDER BY e.id LIMIT $2) AS t"
       " WHERE events.workspace = $1 AND events.id = t.i");
GD_SQL(sql_unnumbered, "SELECT id FROM events WHERE workspace = $1 AND pos IS NULL LIMIT 1");
/* A cursor that is none of the events (it was made before there were any, or what was there is gone) stands
 * in front of the first one that is newer. */
GD_SQL(sql_list,
       "SELECT id, at, type, subject, data FROM events WHERE workspace = $1 AND pos > CASE WHEN $2 = ''"
       " THEN 0 ELSE COALESCE((SELECT c.pos FROM events c WHERE c.workspace = $1 AND c.id = $2),"
       " (SELECT min(c.pos) - 1 FROM events c WHERE c.workspace = $1 AND c.id > $2),"
       " 9223372036854775807) END ORDER BY pos LIMIT $3");
GD_SQL(sql_last, "SELECT max(id) FROM events");
GD_SQL(sql_oldest,
       "SELECT id, type FROM events WHERE workspace = $1 AND pos IS NOT NULL ORDER BY pos LIMIT 1");
GD_SQL(sql_known, "SELECT count(*) FROM events WHERE workspace = $1 AND id = $2");
GD_SQL(sql_newest,
       "SELECT id FROM events WHERE workspace = $1 AND pos IS NOT NULL ORDER BY pos DESC LIMIT 1");
/* The newest of those that go stays as a marker: a cursor in front of it may have missed something. At most
 * $4 go at once. $2: those of before are too old; $3: so many may stay. */
#define GOING                                                                                           \
    "(SELECT max(going.pos) FROM (SELECT pos, at FROM events WHERE workspace = $1 AND pos IS NOT NULL"  \
    " ORDER BY pos LIMIT $4) AS going WHERE going.at < $2 OR going.pos <= (SELECT max(pos) FROM events" \
    " WHERE workspace = $1) - $3)"
GD_SQL(sql_mark, "UPDATE events SET type = 'event.trimmed', subject = '', data = NULL"
                 " WHERE workspace = $1 AND pos = " GOING);
GD_SQL(sql_trim, "DELETE FROM events WHERE workspace = $1 AND pos < " GOING);

struct gd_events {
    struct gd_store *store;
    const struct gd_clock *clock;
    struct gd_rng *rng;
    struct gd_id last;
    struct gd_list watches;
    int64_t age_ms, kept; /* what stays */
    unsigned every;       /* after so many of a workspace it is looked at what may go */
    struct gd_map added;  /* workspace -> struct added */
};

struct added {
    unsigned n; /* since it was trimmed */
};

struct gd_event_watch {
    struct gd_list link;
    gd_event_wake_fn *fn;
    void *arg;
};

/* ---- ids
 * ------------------------------------------------------------------------------------------------------------
 */

static void on_last(void *arg, const struct gd_row *row)
{
    struct gd_events *e = arg;
    const char *id = gd_row_text(row, 0);

    if (id)
        (void)gd_id_parse(&e->last, "ev", id, strlen(id));
}

/* One more than id, read as a number of 128 bits. */
static void increment(struct gd_id *id)
{
    for (int i = 15; i >= 0 && ++id->b[i] == 0; i--)
        ;
}

static void next_id(struct gd_events *e, int64_t now, char out[GD_ID_TEXT_MAX])
{
    struct gd_id id;

    gd_id_new(&id, now, e->rng);
    if (memcmp(id.b, e->last.b, sizeof id.b) <= 0) { /* check:allow an id is no secret */
        id = e->last;
        increment(&id);
    }
    e->last = id;
    gd_id_text(out, "ev", &id);
}

/* ---- writing
 * -------------------------------------------------------------------------------------------------------- */

struct gd_events *gd_events_new(struct gd_store *store, const struct gd_clock *clock, struct gd_rng *rng)
{
    struct gd_events *e = gd_new(sizeof *e);

    e->store = store;
    e->clock = clock;
    e->rng = rng;
    gd_list_init(&e->watches);
    gd_events_keep(e, GD_EVENTS_AGE_MS, GD_EVENTS_MAX, GD_EVENTS_TRIM_EVERY);
    /* A store that cannot even be read now will refuse the first commit; nothing is lost by going on without.
     */
    (void)gd_store_scan(store, &sql_last, on_last, e, NULL);
    return e;
}

void gd_events_free(struct gd_events *e)
{
    struct gd_list *l;

    if (!e)
        return;
    while ((l = gd_list_pop(&e->watches)))
        gd_free(gd_container_of(l, struct gd_event_watch, link));
    gd_map_done(&e->added, gd_free);
    gd_free(e);
}

void gd_events_keep(struct gd_events *e, int64_t age_ms, int64_t kept, unsigned every)
{
    e->age_ms = age_ms;
    e->kept = kept;
    e->every = every;
}

/* The first of a run counts as the last of a lap, so that a daemon that is started often trims too. */
static void count_one(struct gd_events *e, const char *workspace)
{
    struct added *a = gd_map_get(&e->added, workspace);

    if (!a) {
        a = gd_new(sizeof *a);
        a->n = e->every;
        (void)gd_map_set(&e->added, workspace, a);
    }
    a->n++;
}

void gd_event_add(struct gd_events *e, struct gd_tx *tx, const char *workspace, const char *type,
                  const char *subject, const json_t *data)
{
    int64_t now = gd_now(e->clock);
    GD_AUTO_FREE char *text = data ? gd_json_dump(data) : NULL;
    char id[GD_ID_TEXT_MAX];

    next_id(e, now, id);
    count_one(e, workspace);
    gd_tx_add(tx, gd_store_shared(e->store) ? &sql_add_shared : &sql_add, GD_P_TEXT(workspace), GD_P_TEXT(id),
              GD_P_INT(now), GD_P_TEXT(type), GD_P_TEXT(subject ? subject : ""), GD_P_TEXT(text));
    gd_tx_news(tx, workspace, GD_EVENT_NEWS);
}

/* Gives positions to at most so many. The row of the workspace first: what is read then was read by nobody
 * else. */
static void add_numbering(struct gd_tx *tx, const char *workspace, int64_t max)
{
    gd_tx_add(tx, &sql_head, GD_P_TEXT(workspace));
    gd_tx_add(tx, &sql_hold, GD_P_TEXT(workspace));
    gd_tx_add(tx, &sql_number, GD_P_TEXT(workspace), GD_P_INT(max));
}

/* ---- trimming
 * -------------------------------------------------------------------------------------------------------- */

static void on_trimmed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    (void)arg; /* what was not trimmed now is later; the store has said why */
    (void)tx;
    (void)r;
    (void)err;
}

static void trim(struct gd_events *e, const char *workspace)
{
    struct gd_tx *tx = gd_tx_new(e->store);
    int64_t before = gd_now(e->clock) - e->age_ms, batch = 4 * (int64_t)e->every;

    if (gd_store_shared(e->store))
        add_numbering(tx, workspace, batch);
    gd_tx_add(tx, &sql_mark, GD_P_TEXT(workspace), GD_P_INT(before), GD_P_INT(e->kept), GD_P_INT(batch));
    gd_tx_add(tx, &sql_trim, GD_P_TEXT(workspace), GD_P_INT(before), GD_P_INT(e->kept), GD_P_INT(batch));
    gd_store_commit(e->store, tx, on_trimmed, NULL);
}

static void trim_due(struct gd_events *e)
{
    gd_map_each(m, &e->added)
    {
        struct added *a = m->value;

        if (a->n < e->every)
            continue;
        a->n = 0;
        trim(e, m->key);
    }
}

/* ---- waking
 * ---------------------------------------------------------------------------------------------------------
 */

/* A watch may be ended, or made, by any of the callbacks: what is still to be called waits in a list of its
 * own, from which an ended one is gone too. */
void gd_events_wake(struct gd_events *e)
{
    struct gd_list todo, *l;

    trim_due(e);
    gd_list_take(&todo, &e->watches);
    while ((l = gd_list_pop(&todo))) {
        struct gd_event_watch *w = gd_container_of(l, struct gd_event_watch, link);

        gd_list_add(&e->watches, &w->link);
        w->fn(w->arg);
    }
}

struct gd_event_watch *gd_events_watch(struct gd_events *e, gd_event_wake_fn *fn, void *arg)
{
    struct gd_event_watch *w = gd_new(sizeof *w);

    w->fn = fn;
    w->arg = arg;
    gd_list_add(&e->watches, &w->link);
    return w;
}

void gd_events_unwatch(struct gd_events *e, struct gd_event_watch **w)
{
    (void)e;
    if (!*w)
        return;
    gd_list_del(&(*w)->link);
    gd_free(*w);
    *w = NULL;
}

/* ---- reading
 * -------------------------------------------------------------------------------------------------------- */

struct listing {
    struct gd_events *e;
    void (*reply)(void *arg, json_t *events, const struct gd_err *err);
    void (*now)(void *arg, const char *cursor, const struct gd_err *err); /* instead */
    void *arg;
    char *workspace, *cursor;
    size_t max;
};

enum { UNNUMBERED, ROWS, OLDEST, KNOWN }; /* ROWS: of now the newest one */

static void look(struct listing *l);

static json_t *event_json(const struct listing *l, const struct gd_tx *tx, size_t row)
{
    const char *data = gd_tx_text(tx, ROWS, row, 4);
    json_t *parsed = data ? gd_json_parse(data, strlen(data), SIZE_MAX, NULL) : NULL;
    char at[32];
    json_t *j;

    gd_time_text(at, gd_tx_int(tx, ROWS, row, 1));
    j = json_pack("{s:s,s:s,s:s,s:s,s:s}", "workspace", l->workspace, "id", gd_tx_text(tx, ROWS, row, 0),
                  "at", at, "type", gd_tx_text(tx, ROWS, row, 2), "subject", gd_tx_text(tx, ROWS, row, 3));
    if (parsed)
        json_object_set_new(j, "data", parsed);
    return j;
}

/* Is something gone that the cursor has not seen? An empty one asks for what there is. */
static bool too_old(const struct listing *l, const struct gd_tx *tx)
{
    return *l->cursor && gd_tx_int(tx, KNOWN, 0, 0) == 0 && gd_tx_rows(tx, OLDEST) == 1 &&
           !strcmp(gd_tx_text(tx, OLDEST, 0, 1), "event.trimmed") &&
           strcmp(l->cursor, gd_tx_text(tx, OLDEST, 0, 0)) < 0;
}

static void listing_end(struct listing *l, json_t *list, const char *cursor, const struct gd_err *err)
{
    if (l->now)
        l->now(l->arg, cursor, err);
    else
        l->reply(l->arg, list, err);
    gd_free(l->workspace);
    gd_free(l->cursor);
    gd_free(l);
}

static void tell_events(struct listing *l, const struct gd_tx *tx)
{
    json_t *list = json_array();
    struct gd_err old;

    for (size_t i = 0; i < gd_tx_rows(tx, ROWS); i++)
        json_array_append_new(list, event_json(l, tx, i));
    if (!too_old(l, tx)) {
        listing_end(l, list, NULL, NULL);
        return;
    }
    json_decref(list);
    gd_err_set(&old, GD_R_EVENT_CURSOR_TOO_OLD,
               "events behind this cursor are no longer kept; what there is begins at %s",
               gd_tx_text(tx, OLDEST, 0, 0));
    listing_end(l, NULL, NULL, &old);
}

static void tell_now(struct listing *l, const struct gd_tx *tx)
{
    struct gd_id none = { { 0 } };
    char first[GD_ID_TEXT_MAX];

    gd_id_text(first, "ev", &none);
    listing_end(l, NULL, gd_tx_rows(tx, ROWS) ? gd_tx_text(tx, ROWS, 0, 0) : first, NULL);
}

static void on_numbered(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    (void)tx;
    if (r == GD_STORE_FAILED)
        listing_end(arg, NULL, NULL, err);
    else
        look(arg);
}

static void number(struct listing *l)
{
    struct gd_tx *tx = gd_tx_new(l->e->store);

    add_numbering(tx, l->workspace, PAGE_MAX);
    gd_store_commit(l->e->store, tx, on_numbered, l);
}

static void on_looked(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct listing *l = arg;

    if (r != GD_STORE_OK)
        listing_end(l, NULL, NULL, err);
    else if (gd_tx_rows(tx, UNNUMBERED))
        number(l);
    else if (l->now)
        tell_now(l, tx);
    else
        tell_events(l, tx);
}

static void look(struct listing *l)
{
    struct gd_tx *tx = gd_tx_new(l->e->store);

    gd_tx_add(tx, &sql_unnumbered, GD_P_TEXT(l->workspace));
    if (l->now) {
        gd_tx_add(tx, &sql_newest, GD_P_TEXT(l->workspace));
    } else {
        gd_tx_add(tx, &sql_list, GD_P_TEXT(l->workspace), GD_P_TEXT(l->cursor), GD_P_INT(l->max));
        gd_tx_add(tx, &sql_oldest, GD_P_TEXT(l->workspace));
        gd_tx_add(tx, &sql_known, GD_P_TEXT(l->workspace), GD_P_TEXT(l->cursor));
    }
    gd_store_read(l->e->store, tx, on_looked, l);
}

static struct listing *listing_new(struct gd_events *e, const char *workspace, void *arg)
{
    struct listing *l = gd_new(sizeof *l);

    l->e = e;
    l->arg = arg;
    l->workspace = gd_strdup(workspace);
    return l;
}

void gd_events_list(struct gd_events *e, const char *workspace, const char *cursor, size_t max,
                    void (*reply)(void *arg, json_t *events, const struct gd_err *err), void *arg)
{
    struct listing *l = listing_new(e, workspace, arg);

    l->reply = reply;
    l->cursor = gd_strdup(cursor ? cursor : "");
    l->max = max < PAGE_MAX ? max : PAGE_MAX;
    look(l);
}

void gd_events_now(struct gd_events *e, const char *workspace,
                   void (*reply)(void *arg, const char *cursor, const struct gd_err *err), void *arg)
{
    struct listing *l = listing_new(e, workspace, arg);

    l->now = reply;
    look(l);
}
