/* event/event.c - the outbox. An event is a row written by the transaction that makes it true; its id is made
 * here, larger than every one before it, also when the clock has gone back, so that "behind the cursor" is
 * "later". */
#include "event/event.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

#define PAGE_MAX 1000

GD_SQL(sql_add,
       "INSERT INTO events (workspace, id, at, type, subject, data) VALUES ($1, $2, $3, $4, $5, $6)");
GD_SQL(sql_list, "SELECT id, at, type, subject, data FROM events WHERE workspace = $1 AND id > $2 "
                 "ORDER BY id LIMIT $3");
GD_SQL(sql_last, "SELECT max(id) FROM events");

struct gd_events {
    struct gd_store *store;
    const struct gd_clock *clock;
    struct gd_rng *rng;
    struct gd_id last;
    struct gd_list watches;
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
    gd_free(e);
}

void gd_event_add(struct gd_events *e, struct gd_tx *tx, const char *workspace, const char *type,
                  const char *subject, const json_t *data)
{
    int64_t now = gd_now(e->clock);
    GD_AUTO_FREE char *text = data ? gd_json_dump(data) : NULL;
    char id[GD_ID_TEXT_MAX];

    next_id(e, now, id);
    gd_tx_add(tx, &sql_add, GD_P_TEXT(workspace), GD_P_TEXT(id), GD_P_INT(now), GD_P_TEXT(type),
              GD_P_TEXT(subject ? subject : ""), GD_P_TEXT(text));
}

/* ---- waking
 * ---------------------------------------------------------------------------------------------------------
 */

/* A watch may be ended, or made, by any of the callbacks: what is still to be called waits in a list of its
 * own, from which an ended one is gone too. */
void gd_events_wake(struct gd_events *e)
{
    struct gd_list todo, *l;

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
    char *workspace;
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

static void on_listed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct listing *l = arg;
    json_t *list = NULL;

    if (r == GD_STORE_OK) {
        list = json_array();
        for (size_t i = 0; i < gd_tx_rows(tx, 0); i++)
            json_array_append_new(list, event_json(l, tx, i));
    }
    l->reply(l->arg, list, list ? NULL : err);
    gd_free(l->workspace);
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
    gd_tx_add(tx, &sql_list, GD_P_TEXT(workspace), GD_P_TEXT(cursor ? cursor : ""),
              GD_P_INT(max < PAGE_MAX ? max : PAGE_MAX));
    gd_store_read(e->store, tx, on_listed, l);
}
