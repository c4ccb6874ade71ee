/* What stands before an app's requests: order, slots, bucket, Retry-After, breaker. First the machine alone
 * on a clock that stands still, then the client. */
#include "fixture.h"
#include "http/http_int.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the machine alone
 * --------------------------------------------------------------------------------------------- */
struct rig {
    struct gd_http_app *a;
    int64_t now;
    uint64_t seq;
};

static struct gd_http_call *push(struct rig *r, int64_t due, bool person)
{
    struct gd_http_call *c = gd_new(sizeof *c);

    gd_list_init(&c->arrived);
    gd_list_init(&c->people);
    c->due = due;
    c->seq = r->seq++;
    c->interactive = person;
    c->expires = r->now + (person ? GD_HTTP_WAIT_PERSON_MS : GD_HTTP_WAIT_MS);
    memcpy(c->target.url.host, "h.test", 7);
    gd_http_app_push(r->a, c);
    return c;
}

/* The next call when the verdict is as expected. */
static struct gd_http_call *next(struct rig *r, enum gd_http_verdict expected, int64_t *ret_at)
{
    struct gd_http_call *c = NULL;
    int64_t at = 0;
    enum gd_http_verdict v = gd_http_app_next(r->a, r->now, 1000000 + r->now, &c, &at);

    if (v != expected)
        fail_msg("verdict %d, expected %d", v, expected);
    if (ret_at)
        *ret_at = at;
    return c;
}

static void land(struct rig *r, struct gd_http_call *c, enum gd_http_health health)
{
    gd_http_app_landed(r->a, c, health, r->now);
    gd_free(c);
}

static struct rig rig(unsigned concurrency, unsigned per_minute, unsigned burst)
{
    struct gd_http_limits l = { concurrency, per_minute, burst };

    return (struct rig){ .a = gd_http_app_new("t", &l, 0) };
}

static void rig_done(struct rig *r)
{
    gd_http_app_free(r->a);
}

static void test_order(void **state)
{
    struct rig r = rig(1, 0, 0);
    struct gd_http_call *all[300];
    int64_t last = -1;
    uint32_t x = 12345;

    (void)state;
    for (int i = 0; i < 300; i++) {
        x = x * 1664525u + 1013904223u;
        all[i] = push(&r, (x >> 8) % 100, false);
    }
    for (int i = 0; i < 300; i += 3) { /* some go away */
        gd_http_app_remove(r.a, all[i]);
        gd_free(all[i]);
    }
    for (int i = 0; i < 200; i++) {
        struct gd_http_call *c = next(&r, GD_HTTP_GO, NULL);

        assert_true(c->due >= last);
        last = c->due;
        next(&r, i < 199 ? GD_HTTP_LATER : GD_HTTP_NONE, NULL); /* one slot */
        land(&r, c, GD_HTTP_ALIVE);
    }
    next(&r, GD_HTTP_NONE, NULL);
    rig_done(&r);
}

static void test_same_deadline_in_order_of_arrival(void **state)
{
    struct rig r = rig(1, 0, 0);

    (void)state;
    for (int i = 0; i < 20; i++)
        push(&r, 7, false);
    for (uint64_t i = 0; i < 20; i++) {
        struct gd_http_call *c = next(&r, GD_HTTP_GO, NULL);

        assert_int_equal(c->seq, i);
        land(&r, c, GD_HTTP_ALIVE);
    }
    rig_done(&r);
}

static void test_people_first(void **state)
{
    struct rig r = rig(2, 0, 0);
    struct gd_http_call *fly[8], *person;

    (void)state;
    for (int i = 0; i < 4; i++)
        push(&r, i, false);
    fly[0] = next(&r, GD_HTTP_GO, NULL);
    fly[1] = next(&r, GD_HTTP_GO, NULL);
    next(&r, GD_HTTP_LATER, NULL); /* both slots are taken */
    person = push(&r, 1000, true);
    assert_ptr_equal(next(&r, GD_HTTP_GO, NULL), person); /* but not those of people */
    for (int i = 0; i < 5; i++)
        push(&r, 0, true);
    for (int i = 0; i < 3; i++)
        fly[2 + i] = next(&r, GD_HTTP_GO, NULL);
    next(&r, GD_HTTP_LATER, NULL); /* four people at once at most */
    land(&r, person, GD_HTTP_ALIVE);
    for (int i = 0; i < 5; i++)
        land(&r, fly[i], GD_HTTP_ALIVE);
    for (int i = 0; i < 4; i++) {
        struct gd_http_call *c = next(&r, GD_HTTP_GO, NULL);

        assert_int_equal(c->interactive, i < 2);
        land(&r, c, GD_HTTP_ALIVE);
    }
    rig_done(&r);
}

static void test_bucket(void **state)
{
    struct rig r = rig(100, 60, 5);
    int sent = 0;
    int64_t at = 0;

    (void)state;
    for (int i = 0; i < 40; i++)
        push(&r, i, false);
    for (; r.now <= 10000; r.now += 10) {
        struct gd_http_call *c = NULL;

        while (gd_http_app_next(r.a, r.now, r.now, &c, &at) == GD_HTTP_GO) {
            sent++;
            land(&r, c, GD_HTTP_ALIVE);
        }
        /* never more than the burst and one a second */
        assert_true(sent <= 5 + r.now / 1000);
        assert_true(at > r.now);
    }
    assert_int_equal(sent, 15);
    next(&r, GD_HTTP_LATER, &at);
    assert_in_range(at, r.now, r.now + 1000);
    for (; sent < 40; sent++) {
        r.now = at > r.now ? at : r.now; /* exactly when it said */
        land(&r, next(&r, GD_HTTP_GO, NULL), GD_HTTP_ALIVE);
        if (sent < 39)
            next(&r, GD_HTTP_LATER, &at);
    }
    rig_done(&r);
}

static void test_waits_too_long(void **state)
{
    struct rig r = rig(1, 0, 0);
    struct gd_http_call *flying, *c;
    int64_t at;

    (void)state;
    push(&r, 0, false);
    flying = next(&r, GD_HTTP_GO, NULL);
    push(&r, 1, false);
    push(&r, 2, true);
    land(&r, next(&r, GD_HTTP_GO, NULL), GD_HTTP_ALIVE); /* the person */
    next(&r, GD_HTTP_LATER, &at);
    assert_int_equal(at, GD_HTTP_WAIT_MS);
    r.now = at;
    c = next(&r, GD_HTTP_DROP, NULL);
    assert_int_equal(c->answer.end, GD_HTTP_NOT_SENT);
    assert_int_equal(c->answer.err.reason, GD_R_PLATFORM_LIMITED);
    assert_true(c->answer.err.retry_at > 1000000 + r.now);
    gd_free(c);
    land(&r, flying, GD_HTTP_ALIVE);
    rig_done(&r);
}

/* ---- breaker
 * ------------------------------------------------------------------------------------------------------- */
static void outcome(struct rig *r, enum gd_http_health health)
{
    push(r, 0, false);
    land(r, next(r, GD_HTTP_GO, NULL), health);
}

static int64_t unavailable(struct rig *r)
{
    struct gd_http_call *c;
    int64_t at;

    push(r, 0, false);
    c = next(r, GD_HTTP_DROP, NULL);
    assert_int_equal(c->answer.end, GD_HTTP_NOT_SENT);
    assert_int_equal(c->answer.err.reason, GD_R_PLATFORM_UNAVAILABLE);
    at = c->answer.err.retry_at - 1000000;
    assert_true(at > r->now);
    gd_free(c);
    return at;
}

static void test_breaker_row(void **state)
{
    struct rig r = rig(8, 0, 0);
    struct gd_http_call *probe;
    int64_t at, wait = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        outcome(&r, GD_HTTP_FAILED);
    outcome(&r, GD_HTTP_ALIVE); /* one success and the row begins again */
    for (int i = 0; i < 5; i++)
        outcome(&r, GD_HTTP_FAILED);
    for (int round = 0; round < 8; round++) {
        at = unavailable(&r);
        assert_true(at - r.now >= wait); /* longer each time, up to five minutes */
        assert_true(at - r.now <= 300000);
        wait = at - r.now;
        r.now = at - 1;
        unavailable(&r);
        r.now = at;
        push(&r, 0, false);
        probe = next(&r, GD_HTTP_GO, NULL);
        unavailable(&r); /* only one probe */
        land(&r, probe, GD_HTTP_FAILED);
    }
    assert_int_equal(wait, 300000);
    r.now = unavailable(&r);
    push(&r, 0, false);
    land(&r, next(&r, GD_HTTP_GO, NULL),
         GD_HTTP_UNKNOWN); /* a probe that was cancelled: the next may probe */
    outcome(&r, GD_HTTP_ALIVE);
    for (int i = 0; i < 4; i++)
        outcome(&r, GD_HTTP_FAILED); /* closed again, and it begins from nothing */
    outcome(&r, GD_HTTP_ALIVE);
    rig_done(&r);
}

static void test_breaker_share(void **state)
{
    struct rig r = rig(8, 0, 0);

    (void)state;
    for (int i = 0; i < 200; i++) /* exactly half is not more than half */
        outcome(&r, i % 2 ? GD_HTTP_FAILED : GD_HTTP_ALIVE);
    outcome(&r, GD_HTTP_FAILED); /* eleven of the last twenty */
    unavailable(&r);
    rig_done(&r);
}

static void test_breaker_per_host(void **state)
{
    struct rig r = rig(8, 0, 0);
    struct gd_http_call *c;

    (void)state;
    for (int i = 0; i < 5; i++)
        outcome(&r, GD_HTTP_FAILED);
    unavailable(&r);
    for (int i = 0; i < 100; i++) { /* many other hosts: theirs come and go, the open one stays */
        c = push(&r, 0, false);
        snprintf(c->target.url.host, sizeof c->target.url.host, "h%d.test", i);
        assert_ptr_equal(next(&r, GD_HTTP_GO, NULL), c);
        land(&r, c, GD_HTTP_ALIVE);
    }
    unavailable(&r);
    rig_done(&r);
}

/* ---- Retry-After
 * ----------------------------------------------------------------------------------------------------- */
static void test_retry_after(void **state)
{
    const int64_t now = 1795255200000; /* Sat, 21 Nov 2026 10:00:00 GMT */

    (void)state;
    assert_int_equal(gd_http_retry_after("120", -1, now), 120000);
    assert_int_equal(gd_http_retry_after("0", -1, now), 1000);
    assert_int_equal(gd_http_retry_after("21600", -1, now), 21600000);
    assert_int_equal(gd_http_retry_after("21601", -1, now), 21600000);
    assert_int_equal(gd_http_retry_after("99999999999999999999999", -1, now), 21600000);
    assert_int_equal(gd_http_retry_after("Sat, 21 Nov 2026 10:01:00 GMT", -1, now), 60000);
    assert_int_equal(gd_http_retry_after("Sat, 21 Nov 2026 10:01:00 GMT", now / 1000 + 30, now + 99999),
                     30000);
    assert_int_equal(gd_http_retry_after("Sat, 21 Nov 2026 09:00:00 GMT", -1, now), 1000);
    assert_int_equal(gd_http_retry_after("Sun, 21 Nov 2027 10:00:00 GMT", -1, now), 21600000);
    assert_int_equal(gd_http_retry_after("soon", -1, now), -1);
    assert_int_equal(gd_http_retry_after("", -1, now), -1);
    assert_int_equal(gd_http_retry_after("-5", -1, now), -1);
    assert_int_equal(gd_http_retry_after("1.5", -1, now), -1);
    assert_int_equal(gd_http_retry_after("12 s", -1, now), -1);
}

/* ---- the client
 * -------------------------------------------------------------------------------------------------------- */
static struct gd_clock_virtual frozen;

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    gd_clock_virtual_init(&frozen, 1795255200000);
    f->clock = &frozen.clock;
    fixture_plain(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

static void get(struct fixture *f, struct got *g, const char *path)
{
    char url[128];

    snprintf(url, sizeof url, "https://good.test%s", path);
    fixture_get(f, g, url);
}

static void test_client_order(void **state)
{
    static const int due[] = { 50, 10, 40, 20, 30, 15, 60, 5 };
    struct fixture *f = *state;
    struct gd_http_limits one = { .concurrency = 1 };
    struct gd_http_request r = fixture_request("https://good.test/gate");
    struct got first, all[8], person;
    char *paths;

    gd_http_client_set_limits(f->client, "test/a", &one);
    fixture_send(f, &first, &r);
    for (int i = 0; i < 8; i++) {
        char url[64];

        snprintf(url, sizeof url, "https://good.test/%d", due[i]);
        r = fixture_request(url);
        r.due_mono_ms = due[i];
        fixture_send(f, &all[i], &r);
    }
    fixture_reaches(f, 1);
    fixture_turn(f, 20);
    assert_int_equal(server_requests(f->server), 1);
    r = fixture_request("https://good.test/person");
    r.interactive = true;
    fixture_send(f, &person, &r);
    fixture_wait(f, &person); /* does not wait for the gate */
    server_let_go(f->server);
    fixture_wait(f, &first);
    for (int i = 0; i < 8; i++) {
        fixture_wait(f, &all[i]);
        got_free(&all[i]);
    }
    paths = server_paths(f->server);
    assert_string_equal(paths, "/gate /person /5 /10 /15 /20 /30 /40 /50 /60 ");
    free(paths);
    got_free(&first);
    got_free(&person);
}

static void test_client_breaker(void **state)
{
    struct fixture *f = *state;
    json_t *status;
    struct got g;

    for (int i = 0; i < 8; i++) { /* 4xx never counts */
        get(f, &g, "/400");
        assert_int_equal(g.status, 400);
        got_free(&g);
    }
    for (int i = 0; i < 5; i++) {
        get(f, &g, i % 2 ? "/500" : "/cut-before");
        got_free(&g);
    }
    get(f, &g, "/ok");
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    assert_int_equal(g.err.reason, GD_R_PLATFORM_UNAVAILABLE);
    assert_int_equal(g.err.retry_at, frozen.unix_now + 10000);
    got_free(&g);
    assert_int_equal(server_requests(f->server), 13);
    status = gd_http_client_status(f->client);
    assert_string_equal(
        gd_json_text(json_object_get(json_object_get(status, "apps"), "test/a"), "breaker", ""), "open");
    json_decref(status);
    gd_clock_virtual_advance(&frozen, 10000);
    get(f, &g, "/ok");
    assert_int_equal(g.status, 200);
    got_free(&g);
    get(f, &g, "/ok");
    assert_int_equal(g.status, 200);
    got_free(&g);
}

static void test_client_retry_after(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://good.test/ok"), other = r;
    struct got g, waiting;

    get(f, &g, "/429-2");
    assert_int_equal(g.status, 429);
    got_free(&g);
    fixture_send(f, &waiting, &r); /* two seconds are worth waiting for */
    fixture_turn(f, 30);
    assert_int_equal(server_requests(f->server), 1);
    other.app = "test/other"; /* nobody else waits */
    fixture_send(f, &g, &other);
    fixture_wait(f, &g);
    assert_int_equal(g.status, 200);
    got_free(&g);
    gd_clock_virtual_advance(&frozen, 2000);
    fixture_get(f, &g, "https://good.test/ok");
    fixture_wait(f, &waiting);
    assert_int_equal(waiting.status, 200);
    got_free(&g);
    got_free(&waiting);
}

static void limited_until(struct fixture *f, const char *path, int64_t ms)
{
    unsigned before;
    struct got g;

    get(f, &g, path);
    assert_int_equal(g.status, 429);
    got_free(&g);
    before = server_requests(f->server);
    get(f, &g, "/ok");
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    assert_int_equal(g.err.reason, GD_R_PLATFORM_LIMITED);
    assert_int_equal(g.err.retry_at, frozen.unix_now + ms);
    got_free(&g);
    assert_int_equal(server_requests(f->server), before);
    gd_clock_virtual_advance(&frozen, ms);
    get(f, &g, "/ok");
    assert_int_equal(g.status, 200);
    got_free(&g);
}

static void test_client_long_retry_after(void **state)
{
    limited_until(*state, "/429-3600", 3600000);
    limited_until(*state, "/429-date", 1800000);
}

/* Fifty due at once and a platform that says no: only those already on their way ask. */
static void test_client_storm(void **state)
{
    struct fixture *f = *state;
    struct gd_http_request r = fixture_request("https://good.test/429-3600");
    struct got all[50];
    int limited = 0;

    for (int i = 0; i < 50; i++)
        fixture_send(f, &all[i], &r);
    for (int i = 0; i < 50; i++) {
        fixture_wait(f, &all[i]);
        limited += all[i].end == GD_HTTP_NOT_SENT && all[i].err.reason == GD_R_PLATFORM_LIMITED;
        got_free(&all[i]);
    }
    assert_int_equal(server_requests(f->server), 8);
    assert_int_equal(limited, 42);
}

/* 429 without a Retry-After: a pause that grows. */
static void test_client_bare_429(void **state)
{
    struct fixture *f = *state;
    struct got g;

    for (int i = 0, ms = 1000; i < 4; i++, ms *= 2) {
        json_t *status;

        get(f, &g, "/429");
        got_free(&g);
        status = gd_http_client_status(f->client);
        assert_int_equal(
            gd_json_i64(json_object_get(json_object_get(status, "apps"), "test/a"), "retry_at", 0),
            frozen.unix_now + ms);
        json_decref(status);
        gd_clock_virtual_advance(&frozen, ms);
    }
}

static void test_client_skew(void **state)
{
    static const char *const dates[] = { "Sat,_21_Nov_2026_10:00:40_GMT", "Sat,_21_Nov_2026_10:00:20_GMT" };
    struct fixture *f = *state;
    int64_t skew = 0;
    struct got g;

    get(f, &g, "/no-date");
    assert_int_equal(g.date, -1);
    got_free(&g);
    assert_false(gd_http_client_skew(f->client, &skew));
    get(f, &g, "/date/yesterday");
    assert_int_equal(g.date, -1);
    got_free(&g);
    assert_false(gd_http_client_skew(f->client, &skew));
    for (int i = 0; i < 3; i++) { /* of one host the last counts */
        char path[96];

        snprintf(path, sizeof path, "/date/%s", dates[i % 2]);
        get(f, &g, path);
        assert_int_equal(g.date, 1795255200 + (i % 2 ? 20 : 40));
        got_free(&g);
    }
    assert_true(gd_http_client_skew(f->client, &skew));
    assert_int_equal(skew, 40500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_same_deadline_in_order_of_arrival),
        cmocka_unit_test(test_people_first),
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_waits_too_long),
        cmocka_unit_test(test_breaker_row),
        cmocka_unit_test(test_breaker_share),
        cmocka_unit_test(test_breaker_per_host),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test_setup_teardown(test_client_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_breaker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_retry_after, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_long_retry_after, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_storm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_bare_429, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_skew, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
