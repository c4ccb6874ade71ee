/* The outbox: what was committed is listed once and in order, what was not is not. */
#include "event/event.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const tables[] = {
    "CREATE TABLE events (workspace text NOT NULL, id text NOT NULL, at bigint NOT "
    "NULL, type text NOT NULL, subject text NOT NULL, data text, pos bigint, PRIMARY KEY "
    "(workspace, id))",
    "CREATE TABLE event_heads (workspace text NOT NULL PRIMARY KEY, n bigint NOT NULL)",
    "CREATE TABLE other (workspace text NOT NULL, k text NOT NULL, PRIMARY KEY "
    "(workspace, k))",
    NULL
};
static const struct gd_migration migrations[] = { { "test", tables } };
GD_SQL(sql_foreign, "INSERT INTO events (workspace, id, at, type, subject) VALUES ('main', $1, 1, 't', '')");
GD_SQL(sql_other, "INSERT INTO other (workspace, k) VALUES ('main', $1)");

struct fix {
    char dir[64], path[96];
    uv_loop_t loop;
    struct gd_clock_virtual clock;
    struct gd_rng_seeded rng;
    struct gd_store *store;
    struct gd_events *events;
    json_t *got; /* last listing */
    struct gd_err err;
    char now[GD_ID_TEXT_MAX];
    int replies, commits, failed, wakes;
};

static void open_all(struct fix *f)
{
    struct gd_store_options o = { .path = f->path, .migrations = migrations, .nmigrations = 1 };
    struct gd_err err = { 0 };
    int r = gd_store_open(&f->store, &f->loop, &o, &f->clock.clock, NULL, &err);

    if (r != 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
    f->events = gd_events_new(f->store, &f->clock.clock, &f->rng.rng);
}

static void on_close(void *arg)
{
    *(bool *)arg = true;
}

static void close_all(struct fix *f)
{
    bool closed = false;

    gd_events_free(f->events);
    gd_store_close(f->store, on_close, &closed);
    while (!closed)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static int setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/gd-event-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/s.db", f->dir);
    uv_loop_init(&f->loop);
    gd_clock_virtual_init(&f->clock, 1795000000000);
    gd_rng_seed(&f->rng, 1);
    open_all(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *rm = gd_strf("%s", f->dir);
    static const char *const ends[] = { "", "-wal", "-shm", "-journal", ".ballast", ".lock" };

    close_all(f);
    json_decref(f->got);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        GD_AUTO_FREE char *path = gd_strf("%s%s", f->path, ends[i]);

        unlink(path);
    }
    (void)rmdir(rm);
    gd_free(f);
    return 0;
}

static void on_commit(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct fix *f = arg;

    (void)tx;
    (void)err;
    f->commits += r == GD_STORE_OK;
    f->failed += r != GD_STORE_OK;
}

static void on_list(void *arg, json_t *events, const struct gd_err *err)
{
    struct fix *f = arg;

    json_decref(f->got);
    f->got = events;
    f->replies++;
    if (err)
        f->err = *err;
}

static void add(struct fix *f, const char *workspace, const char *type, const char *subject,
                const json_t *data)
{
    struct gd_tx *tx = gd_tx_new(f->store);
    int want = f->commits + 1;

    gd_event_add(f->events, tx, workspace, type, subject, data);
    gd_store_commit(f->store, tx, on_commit, f);
    while (f->commits < want)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static json_t *list(struct fix *f, const char *workspace, const char *cursor, size_t max)
{
    int want = f->replies + 1;

    gd_events_list(f->events, workspace, cursor, max, on_list, f);
    assert_int_equal(f->replies, want - 1); /* never inside the call */
    while (f->replies < want)
        uv_run(&f->loop, UV_RUN_ONCE);
    return f->got;
}

static void committed_events_are_listed_in_order(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON data = json_pack("{s:s,s:[i,i]}", "role", "admin", "n", 1, 2);
    json_t *l, *first;
    char cursor[GD_ID_TEXT_MAX];

    add(f, "main", "grant.active", "gr1", data);
    gd_clock_virtual_advance(&f->clock, 5);
    add(f, "main", "grant.ended", "gr1", NULL);
    add(f, "other", "grant.active", "gr2", NULL);
    l = list(f, "main", "", 100);
    assert_int_equal(json_array_size(l), 2);
    first = json_array_get(l, 0);
    assert_string_equal(gd_json_text(first, "type", ""), "grant.active");
    assert_string_equal(gd_json_text(first, "subject", ""), "gr1");
    assert_string_equal(gd_json_text(first, "workspace", ""), "main");
    assert_string_equal(gd_json_text(first, "at", ""), "2026-11-18T11:06:40.000Z");
    assert_true(json_equal(json_object_get(first, "data"), data));
    assert_null(json_object_get(json_array_get(l, 1), "data"));
    (void)snprintf(cursor, sizeof cursor, "%s", gd_json_text(first, "id", ""));
    l = list(f, "main", cursor, 100);
    assert_int_equal(json_array_size(l), 1);
    assert_string_equal(gd_json_text(json_array_get(l, 0), "type", ""), "grant.ended");
    l = list(f, "main", "", 1);
    assert_int_equal(json_array_size(l), 1);
    assert_string_equal(gd_json_text(json_array_get(l, 0), "id", ""), cursor);
}

static void an_event_shares_the_fate_of_its_transaction(void **state)
{
    struct fix *f = *state;
    struct gd_tx *tx;

    for (int i = 0; i < 2; i++) { /* the second time the row is there already */
        tx = gd_tx_new(f->store);
        gd_event_add(f->events, tx, "main", i ? "never" : "once", "x", NULL);
        gd_tx_add(tx, &sql_other, GD_P_TEXT("k"));
        gd_store_commit(f->store, tx, on_commit, f);
        while (f->commits + f->failed < i + 1)
            uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->failed, 1);
    list(f, "main", "", 100);
    assert_int_equal(json_array_size(f->got), 1);
    assert_string_equal(json_string_value(gd_json_at(f->got, "0.type")), "once");
}

/* Also when the clock goes back, within one process and over a restart. */
static void ids_only_grow(void **state)
{
    struct fix *f = *state;
    char before[GD_ID_TEXT_MAX] = "";
    json_t *l, *one;
    size_t i;

    for (int n = 0; n < 40; n++) {
        if (n == 10)
            gd_clock_virtual_advance(&f->clock, -86400000);
        if (n == 20) {
            close_all(f);
            open_all(f);
        }
        if (n == 30)
            gd_clock_virtual_advance(&f->clock, 2 * 86400000);
        add(f, "main", "t", "", NULL);
    }
    l = list(f, "main", "", 100);
    assert_int_equal(json_array_size(l), 40);
    json_array_foreach(l, i, one)
    {
        assert_true(strcmp(gd_json_text(one, "id", ""), before) > 0);
        (void)snprintf(before, sizeof before, "%s", gd_json_text(one, "id", ""));
        add(f, "probe", "t", "", NULL); /* borrowed members stay valid meanwhile */
    }
    l = list(f, "main", before, 100);
    assert_int_equal(json_array_size(l), 0);
}

static void paging_sees_each_event_once(void **state)
{
    struct fix *f = *state;
    char cursor[GD_ID_TEXT_MAX] = "", subject[16];
    int seen = 0;
    json_t *l, *one;
    size_t i;

    for (int n = 0; n < 57; n++) {
        (void)snprintf(subject, sizeof subject, "%d", n);
        add(f, "main", "t", subject, NULL);
    }
    do {
        l = list(f, "main", cursor, 10);
        json_array_foreach(l, i, one)
        {
            (void)snprintf(subject, sizeof subject, "%d", seen++);
            assert_string_equal(gd_json_text(one, "subject", ""), subject);
            (void)snprintf(cursor, sizeof cursor, "%s", gd_json_text(one, "id", ""));
        }
    } while (json_array_size(l));
    assert_int_equal(seen, 57);
}

/* As several processes write them: without a position, and with ids that do not say who was first. */
static void add_foreign(struct fix *f, const char *id)
{
    struct gd_tx *tx = gd_tx_new(f->store);
    int want = f->commits + 1;

    gd_tx_add(tx, &sql_foreign, GD_P_TEXT(id));
    gd_store_commit(f->store, tx, on_commit, f);
    while (f->commits < want)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static const char *id_of(const json_t *list, size_t i)
{
    return gd_json_text(json_array_get(list, i), "id", "");
}

static void what_comes_later_stands_behind_what_was_listed(void **state)
{
    struct fix *f = *state;
    char id[16];

    add_foreign(f, "ev5");
    add_foreign(f, "ev3");
    list(f, "main", "", 100);
    assert_string_equal(id_of(f->got, 0), "ev3");
    assert_string_equal(id_of(f->got, 1), "ev5");
    add_foreign(f, "ev4"); /* of a node whose clock is behind */
    list(f, "main", "ev5", 100);
    assert_int_equal(json_array_size(f->got), 1);
    assert_string_equal(id_of(f->got, 0), "ev4");
    assert_int_equal(json_array_size(list(f, "main", "ev4", 100)), 0);
    assert_int_equal(json_array_size(list(f, "main", "ev3", 100)), 2);
    assert_int_equal(json_array_size(list(f, "main", "ev45", 100)),
                     2); /* none of them: rather twice than never */
    assert_int_equal(json_array_size(list(f, "main", "ev9", 100)), 0);
    for (int i = 0; i < 2500; i++) { /* more than get a position at once */
        (void)snprintf(id, sizeof id, "ev2%04d", i);
        add_foreign(f, id);
    }
    assert_int_equal(json_array_size(list(f, "main", "ev4", 10000)), 1000);
    assert_string_equal(id_of(f->got, 999), "ev20999");
    assert_int_equal(json_array_size(list(f, "main", "ev21999", 10000)), 500);
}

static void on_now(void *arg, const char *cursor, const struct gd_err *err)
{
    struct fix *f = arg;

    assert_null(err);
    (void)snprintf(f->now, sizeof f->now, "%s", cursor);
    f->replies++;
}

static const char *now(struct fix *f)
{
    int want = f->replies + 1;

    gd_events_now(f->events, "main", on_now, f);
    while (f->replies < want)
        uv_run(&f->loop, UV_RUN_ONCE);
    return f->now;
}

static void from_now_on(void **state)
{
    struct fix *f = *state;

    assert_int_equal(json_array_size(list(f, "main", now(f), 100)), 0);
    add_foreign(f, "ev1");
    assert_int_equal(json_array_size(list(f, "main", f->now, 100)), 1); /* there were none: all are newer */
    assert_string_equal(now(f), "ev1");
    add(f, "main", "t", "", NULL);
    add_foreign(f, "ev0");
    assert_int_equal(json_array_size(list(f, "main", f->now, 100)), 2);
    assert_string_equal(now(f), "ev0");
}

/* ---- waking
 * ---------------------------------------------------------------------------------------------------------
 */

struct watcher {
    struct fix *f;
    struct gd_event_watch *w, **ends, *more;
    int woken;
};

static void on_wake(void *arg)
{
    struct watcher *w = arg;

    w->woken++;
    if (w->ends)
        gd_events_unwatch(w->f->events, w->ends);
}

static void on_wake_watch_more(void *arg)
{
    struct watcher *w = arg;

    w->woken++;
    w->more = gd_events_watch(w->f->events, on_wake, w);
}

static void watchers_may_end_each_other_while_woken(void **state)
{
    struct fix *f = *state;
    struct watcher a = { .f = f }, b = { .f = f }, c = { .f = f };

    a.w = gd_events_watch(f->events, on_wake, &a);
    b.w = gd_events_watch(f->events, on_wake, &b);
    c.w = gd_events_watch(f->events, on_wake, &c);
    assert_int_equal(a.woken, 0);
    gd_events_wake(f->events);
    assert_int_equal(a.woken + b.woken + c.woken, 3);
    a.ends = &b.w; /* the next one */
    c.ends = &c.w; /* itself */
    gd_events_wake(f->events);
    assert_null(b.w);
    assert_null(c.w);
    assert_int_equal(a.woken, 2);
    assert_int_equal(b.woken, 1);
    assert_int_equal(c.woken, 2);
    gd_events_wake(f->events);
    assert_int_equal(a.woken, 3);
    assert_int_equal(c.woken, 2);
    gd_events_unwatch(f->events, &b.w); /* once more is fine */
    gd_events_unwatch(f->events, &a.w);
}

static void a_watch_made_while_waking_waits_for_the_next(void **state)
{
    struct fix *f = *state;
    struct watcher a = { .f = f };

    a.w = gd_events_watch(f->events, on_wake_watch_more, &a);
    gd_events_wake(f->events);
    assert_int_equal(a.woken, 1);
    gd_events_unwatch(f->events, &a.w);
    gd_events_wake(f->events);
    assert_int_equal(a.woken, 2);
    gd_events_unwatch(f->events, &a.more);
}

/* ---- what is not kept ---- */

static void settle(struct fix *f) /* a commit that is behind all others */
{
    struct gd_tx *tx = gd_tx_new(f->store);
    int want = f->commits + 1;
    GD_AUTO_FREE char *k = gd_strf("%d", want);

    gd_tx_add(tx, &sql_other, GD_P_TEXT(k));
    gd_store_commit(f->store, tx, on_commit, f);
    while (f->commits < want)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void add_many(struct fix *f, const char *workspace, int n)
{
    for (int i = 0; i < n; i++) {
        gd_clock_virtual_advance(&f->clock, 1000);
        add(f, workspace, "grant.created", "gr1", NULL);
        gd_events_wake(f->events);
    }
    settle(f);
}

static const char *type_of(const json_t *list, size_t i)
{
    return gd_json_text(json_array_get(list, i), "type", "");
}

static void too_old(struct fix *f, const char *workspace, const char *cursor)
{
    int want = f->replies + 1;

    f->err.reason = GD_R_OK;
    gd_events_list(f->events, workspace, cursor, 10, on_list, f);
    while (f->replies < want)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_null(f->got);
    assert_string_equal(gd_reason_word(f->err.reason), "EVENT_CURSOR_TOO_OLD");
}

static void no_more_than_so_many_are_kept(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *first = NULL;
    GD_AUTO_FREE char *kept = NULL;
    size_t n;

    gd_events_keep(f->events, 1000LL * 86400000, 20, 8);
    add_many(f, "other", 5);
    add_many(f, "main", 5);
    first = gd_strdup(gd_json_text(json_array_get(list(f, "main", "", 1), 0), "id", ""));
    assert_int_equal(json_array_size(list(f, "main", first, 100)), 4); /* nothing is gone yet */
    add_many(f, "main", 200);
    n = json_array_size(list(f, "main", "", 1000));
    assert_in_range(n, 20, 20 + 8 + 1);
    assert_string_equal(type_of(f->got, 0), "event.trimmed");
    for (size_t i = 1; i < n; i++)
        assert_string_equal(type_of(f->got, i), "grant.created");
    kept = gd_strdup(gd_json_text(json_array_get(f->got, 0), "id", ""));
    assert_int_equal(json_array_size(list(f, "main", kept, 1000)), n - 1); /* it has missed nothing */
    too_old(f, "main", first);
    assert_int_equal(json_array_size(list(f, "main", "", 1000)), n); /* and asking changes nothing */
    assert_int_equal(json_array_size(list(f, "other", "", 100)), 5); /* each workspace has its own */
}

static void old_ones_go(void **state)
{
    struct fix *f = *state;
    GD_AUTO_FREE char *first = NULL;

    gd_events_keep(f->events, 3600000, 1000, 4);
    add_many(f, "main", 12);
    first = gd_strdup(gd_json_text(json_array_get(list(f, "main", "", 1), 0), "id", ""));
    assert_int_equal(json_array_size(list(f, "main", "", 100)), 12);
    gd_clock_virtual_advance(&f->clock, 3600000);
    add_many(f, "main", 4);
    assert_int_equal(json_array_size(list(f, "main", "", 100)), 5);
    assert_string_equal(type_of(f->got, 0), "event.trimmed");
    too_old(f, "main", first);
    close_all(f); /* and a start knows it */
    f->events = NULL;
    open_all(f);
    too_old(f, "main", first);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(committed_events_are_listed_in_order),
        T(an_event_shares_the_fate_of_its_transaction),
        T(ids_only_grow),
        T(paging_sees_each_event_once),
        T(what_comes_later_stands_behind_what_was_listed),
        T(from_now_on),
        T(watchers_may_end_each_other_while_woken),
        T(a_watch_made_while_waking_waits_for_the_next),
        T(no_more_than_so_many_are_kept),
        T(old_ones_go),
    };

    gd_json_setup();
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
