/* event/event.c - the outbox. An event is a row written by the transaction that makes it true; its id is made
 * here, larger than every one before it, also when the clock has gone back, so that "behind the cursor" is
 * "later". */
#include "event/event.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

#define PAGE_MAX 1000

GD_SQL(sql_add,
       "INSERT INTO events (workspace, id, at, type, subject, data) VALUES ($1, $2, $3, $4, $5, $6)");
GD_SQL(sql_list, "SELECT id, at, type, subject, data FROM events WHERE workspace = $1 AND id > $2 "
                 "ORDER BY id LIMIT $3");
GD_SQL(sql_last, "SELECT max(id) FROM events");
GD_SQL(sql_oldest, "SELECT id, type FROM events WHERE workspace = $1 ORDER BY id LIMIT 1");
/* The newest of those that go stays as a marker: a cursor in front of it may have missed something. At most
 * $4 go at once. $2: ids below are too old; $3: so many may stay. */
#define GOING                                                                                         \
    "(SELECT max(id) FROM (SELECT id FROM events WHERE workspace = $1 AND (id < $2 OR id <= "         \
    "COALESCE((SELECT id FROM events WHERE workspace = $1 ORDER BY id DESC LIMIT 1 OFFSET $3), '')) " \
    "ORDER BY id LIMIT $4) AS going)"
GD_SQL(sql_mark, "UPDATE events SET type = 'event.trimmed', subject = '', data = NULL"
                 " WHERE workspace = $1 AND id = " GOING);
GD_SQL(sql_trim, "DELETE FROM events WHERE workspace = $1 AND id < " GOING);

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
    gd_tx_add(tx, &sql_add, GD_P_TEXT(workspace), GD_P_TEXT(id), GD_P_INT(now), GD_P_TEXT(type),
              GD_P_TEXT(subject ? subject : ""), GD_P_TEXT(text));
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
    struct gd_id id = { { 0 } };
    char old[GD_ID_TEXT_MAX];
    int64_t before = gd_now(e->clock) - e->age_ms, batch = 4 * (int64_t)e->every;

    for (int i = 0; i < 6 && before > 0; i++)
        id.b[i] = (unsigned char)((uint64_t)before >> (40 - 8 * i));
    gd_id_text(old, "ev", &id);
    gd_tx_add(tx, &sql_mark, GD_P_TEXT(workspace), GD_P_TEXT(old), GD_P_INT(e->kept), GD_P_INT(batch));
    gd_tx_add(tx, &sql_trim, GD_P_TEXT(workspace), GD_P_TEXT(old), GD_P_INT(e->kept), GD_P_INT(batch));
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
    void (*reply)(void *arg, json_t *events, const struct gd_err *err);
    void *arg;
    char *workspace, *cursor;
};

static json_t *event_json(const struct listing *l, const struct gd_tx *tx, size_t row)
{
    const char *data = gd_tx_text(tx, 0, row, 4);
    json_t *parsed = data ? gd_json_parse(data, strlen(data), SIZE_MAX, NULL) : NULL;
    char at[32];
    json_t *j;

    gd_time_text(at, gd_tx_int(tx, 0, row, 1));
    j = json_pack("{s:s,s:s,s:s,s:s,s:s}", "workspace", l->workspace, "id", gd_tx_text(tx, 0, row, 0), "at",
                  at, "type", gd_tx_text(tx, 0, row, 2), "subject", gd_tx_text(tx, 0, row, 3));
    if (parsed)
        json_object_set_new(j, "data", parsed);
    return j;
}

/* Is something gone that the cursor has not seen? An empty one asks for what there is. */
static bool too_old(const struct listing *l, const struct gd_tx *tx)
{
    return *l->cursor && gd_tx_rows(tx, 1) == 1 && !strcmp(gd_tx_text(tx, 1, 0, 1), "event.trimmed") &&
           strcmp(l->cursor, gd_tx_text(tx, 1, 0, 0)) < 0;
}

static void on_listed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct listing *l = arg;
    json_t *list = NULL;
    struct gd_err old;

    if (r == GD_STORE_OK && too_old(l, tx)) {
        gd_err_set(&old, GD_R_EVENT_CURSOR_TOO_OLD,
                   "events behind this cursor are no longer kept; what there is begins at %s",
                   gd_tx_text(tx, 1, 0, 0));
        err = &old;
    } else if (r == GD_STORE_OK) {
        list = json_array();
        for (size_t i = 0; i < gd_tx_rows(tx, 0); i++)
            json_array_append_new(list, event_json(l, tx, i));
    }
    l->reply(l->arg, list, list ? NULL : err);
    gd_free(l->workspace);
    gd_free(l->cursor);
    gd_free(l);
}

void gd_events_list(struct gd_events *e, const char *workspace, const char *cursor, size_t max,
                    void (*reply)(void *arg, json_t *events, const struct gd_err *err), void *arg)
{
    struct listing *l = gd_new(sizeof *l);
    struct gd_tx *tx = gd_tx_new(e->store);

    l->reply = reply;
    l->arg = arg;
    l->workspace = gd_strdup(workspace);
    l->cursor = gd_strdup(cursor ? cursor : "");
    gd_tx_add(tx, &sql_list, GD_P_TEXT(workspace), GD_P_TEXT(l->cursor),
              GD_P_INT(max < PAGE_MAX ? max : PAGE_MAX));
    gd_tx_add(tx, &sql_oldest, GD_P_TEXT(workspace));
    gd_store_read(e->store, tx, on_listed, l);
}
