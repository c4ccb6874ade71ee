/* Admission, clock steps, looks: on virtual time. */
#include "base/mem.h"
#include "sched/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1790000000000

struct seen {
    uint32_t jobs[4096];
    int64_t at[4096];
    unsigned count, looks;
    struct gd_clock_virtual clock;
    struct gd_rng_seeded rng;
    struct gd_sched *sched;
};

static void act(void *arg, uint32_t job)
{
    struct seen *s = arg;

    s->at[s->count] = s->clock.mono_now;
    s->jobs[s->count++] = job;
}

static void look(void *arg, const char *workspace, const char *item)
{
    struct seen *s = arg;

    assert_string_equal(workspace, "main");
    assert_string_equal(item, "it1");
    s->looks++;
}

static int up(void **state)
{
    struct seen *s = gd_new(sizeof *s);
    struct gd_sched_options o = { .in_flight = 2 };
    struct gd_sched_ops ops = { act, look, s };

    gd_clock_virtual_init(&s->clock, NOW);
    gd_rng_seed(&s->rng, 42);
    s->sched = gd_sched_new(NULL, &o, &ops, &s->clock.clock, &s->rng.rng, NULL);
    *state = s;
    return 0;
}

static int down(void **state)
{
    struct seen *s = *state;

    gd_sched_close(s->sched, NULL, NULL);
    gd_free(s);
    return 0;
}

static void nothing_before_the_start(void **state)
{
    struct seen *s = *state;

    gd_sched_set(s->sched, 1, NOW - 5, NOW, 0);
    assert_int_equal(gd_sched_run(s->sched), INT64_MAX);
    assert_int_equal(s->count, 0);
    assert_int_equal(gd_sched_start(s->sched, NULL), 0);
    gd_clock_virtual_advance(&s->clock, 2);
    gd_sched_run(s->sched);
    assert_int_equal(s->count, 1);
}

static void who_expires_first_goes_first(void **state)
{
    struct seen *s = *state;

    gd_sched_start(s->sched, NULL);
    for (uint32_t i = 0; i < 10; i++)
        gd_sched_set(s->sched, i, NOW + 100, NOW + 10000 - i * 100, 3);
    gd_clock_virtual_advance(&s->clock, 101);
    gd_sched_run(s->sched);
    assert_int_equal(s->count, 2); /* two at a time */
    while (s->count < 10)
        gd_sched_flight_end(s->sched, 3);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(s->jobs[i], 9 - i);
}

static void a_job_waits_once(void **state)
{
    struct seen *s = *state;

    gd_sched_start(s->sched, NULL);
    for (uint32_t i = 0; i < 3; i++)
        gd_sched_set(s->sched, i, NOW + 1, NOW + 1000 + i, 0);
    gd_clock_virtual_advance(&s->clock, 5);
    gd_sched_run(s->sched);
    assert_false(gd_sched_waits(s->sched, 0)); /* it runs */
    assert_true(gd_sched_waits(s->sched, 2));  /* two at once run: however long it waits, nobody forgot it */
    assert_false(gd_sched_waits(s->sched, 3)); /* there is none */
    gd_sched_set(s->sched, 2, NOW + 6, NOW + 1000, 0); /* moved while it waits for admission */
    gd_clock_virtual_advance(&s->clock, 5);
    gd_sched_run(s->sched);
    assert_true(gd_sched_waits(s->sched, 2));
    gd_sched_flight_end(s->sched, 0);
    gd_sched_flight_end(s->sched, 0);
    assert_int_equal(s->count, 3);
    assert_false(gd_sched_waits(s->sched, 2));
}

/* One ends every ms milliseconds, for so long; how many run at once then. */
static unsigned at_once(struct seen *s, unsigned *ended, int64_t every, int64_t long_ms)
{
    for (int64_t t = 0; t < long_ms; t += every, (*ended)++) {
        gd_clock_virtual_advance(&s->clock, every);
        gd_sched_flight_end(s->sched, 0);
    }
    return s->count - *ended;
}

/* Where they end quickly there are more of them, up to the most; where each takes long, or nothing happened
 * for a while, no more than ever. */
static void more_go_where_they_end_quickly(void **state)
{
    struct seen *s = *state;
    struct gd_sched_options o = { .in_flight = 4, .in_flight_max = 16 };
    struct gd_sched_ops ops = { act, look, s };
    unsigned ended = 0;

    gd_sched_close(s->sched, NULL, NULL);
    s->sched = gd_sched_new(NULL, &o, &ops, &s->clock.clock, &s->rng.rng, NULL);
    gd_sched_start(s->sched, NULL);
    for (uint32_t i = 0; i < 800; i++)
        gd_sched_set(s->sched, i, NOW + 1, NOW + 1000 + i, 0);
    gd_clock_virtual_advance(&s->clock, 5);
    gd_sched_run(s->sched);
    assert_int_equal(s->count, 4);
    assert_int_equal(at_once(s, &ended, 100, 1000), 4); /* ten a second: two in the time looked at */
    assert_int_equal(at_once(s, &ended, 20, 1000), 10); /* fifty: ten */
    assert_int_equal(at_once(s, &ended, 4, 1000), 16);  /* 250: as many as may be */
    assert_int_equal(at_once(s, &ended, 100, 2000), 4);
    assert_int_equal(at_once(s, &ended, 4, 1000), 16);
    gd_clock_virtual_advance(&s->clock, 5000); /* too long ago to say anything */
    for (int i = 0; i < 16; i++, ended++)
        gd_sched_flight_end(s->sched, 0);
    assert_int_equal(s->count - ended, 4);
}

/* A caller renewed it while it waited for admission: it has a date in the future and is not done again now.
 */
static void what_was_done_meanwhile_is_not_done_again(void **state)
{
    struct seen *s = *state;

    gd_sched_start(s->sched, NULL);
    for (uint32_t i = 0; i < 4; i++)
        gd_sched_set(s->sched, i, NOW + 1, NOW + 1000 + i, 0);
    gd_clock_virtual_advance(&s->clock, 5);
    gd_sched_run(s->sched);
    assert_int_equal(s->count, 2);
    gd_sched_set(s->sched, 2, NOW + 500, NOW + 1000, 0);
    gd_sched_set(s->sched, 3, INT64_MAX, 0, 0); /* and this one is over */
    gd_sched_flight_end(s->sched, 0);
    gd_sched_flight_end(s->sched, 0);
    assert_int_equal(s->count, 2);
    gd_clock_virtual_advance(&s->clock, 500);
    gd_sched_run(s->sched);
    assert_int_equal(s->count, 3);
    assert_int_equal(s->jobs[2], 2);
}

static void cancelled_jobs_stay_away(void **state)
{
    struct seen *s = *state;

    gd_sched_start(s->sched, NULL);
    gd_sched_set(s->sched, 5, NOW + 10, 0, 0);
    gd_sched_set(s->sched, 5, INT64_MAX, 0, 0);
    gd_clock_virtual_advance(&s->clock, 1000);
    assert_int_equal(gd_sched_run(s->sched), INT64_MAX);
    assert_int_equal(s->count, 0);
}

static void looks_come_at_their_time(void **state)
{
    struct seen *s = *state;

    gd_sched_start(s->sched, NULL);
    gd_sched_look(s->sched, "main", "it1", NOW + 50);
    gd_clock_virtual_advance(&s->clock, 49);
    gd_sched_run(s->sched);
    assert_int_equal(s->looks, 0);
    gd_clock_virtual_advance(&s->clock, 1);
    gd_sched_run(s->sched);
    assert_int_equal(s->looks, 1);
}

/* The clock was an hour behind when the jobs were loaded: they come when they are due, spread, not in a
 * burst. */
static void a_forward_step_is_no_burst(void **state)
{
    struct seen *s = *state;
    int64_t first, last;

    for (uint32_t i = 0; i < 1000; i++)
        gd_sched_set(s->sched, i, NOW + 1800000, NOW + 3600000, (uint16_t)(i % 1000));
    gd_sched_start(s->sched, NULL);
    s->clock.unix_now += 3600000;
    gd_sched_clock_step(s->sched, 3600000);
    for (int i = 0; i < 61000; i += 10) {
        gd_clock_virtual_advance(&s->clock, 10);
        gd_sched_run(s->sched);
    }
    assert_int_equal(s->count, 1000);
    first = s->at[0];
    last = s->at[999];
    assert_true(first < 1000);
    assert_in_range(last - first, 50000, 61000);
}

/* A machine that starts in the year 1990 and hears the time a minute later: what was to be looked at is not
 * looked at in 36 years. What this process put off itself stays where it is. */
static void a_forward_step_moves_looks(void **state)
{
    const int64_t years = 36ll * 365 * 86400000;
    struct seen *s = *state;
    int64_t next;

    gd_sched_look(s->sched, "main", "it1", NOW + years - 5000);
    gd_sched_look(s->sched, "main", "it1", NOW + years + 3600000);
    gd_sched_start(s->sched, NULL);
    gd_sched_look(s->sched, "main", "it1", NOW + 7200000);
    s->clock.unix_now += years;
    gd_sched_clock_step(s->sched, years);
    gd_clock_virtual_advance(&s->clock, 61000);
    gd_sched_run(s->sched);
    assert_int_equal(s->looks, 1);
    next = gd_sched_next(s->sched);
    gd_clock_virtual_advance(&s->clock, 3600000 - 61000 - 1);
    gd_sched_run(s->sched);
    assert_int_equal(s->looks, 1);
    assert_int_equal(next, s->clock.mono_now + 1);
    gd_clock_virtual_advance(&s->clock, 1);
    gd_sched_run(s->sched);
    assert_int_equal(s->looks, 2);
    gd_clock_virtual_advance(&s->clock, 3600000);
    gd_sched_run(s->sched);
    assert_int_equal(s->looks, 3);
}

/* What this process planned itself runs on the monotonic clock: a backward step does not put it off. */
static void a_backward_step_puts_nothing_off(void **state)
{
    struct seen *s = *state;

    gd_sched_start(s->sched, NULL);
    gd_sched_set(s->sched, 1, NOW + 1000, NOW + 5000, 0);
    s->clock.unix_now -= 10ll * 365 * 86400000;
    gd_sched_clock_step(s->sched, -10ll * 365 * 86400000);
    gd_clock_virtual_advance(&s->clock, 1001);
    gd_sched_run(s->sched);
    assert_int_equal(s->count, 1);
}

static void stop_look(void *arg, const char *workspace, const char *item)
{
    (void)workspace;
    (void)item;
    uv_stop(arg);
}

static void too_late(uv_timer_t *t)
{
    uv_stop(t->loop);
    t->data = NULL;
}

/* One that was due before this machine was switched on, heard of while it runs (from another node): it comes,
 * and what stands behind it, too. */
static void a_look_from_before_the_boot(void **state)
{
    struct seen *s = *state;
    struct gd_sched_options o = { 0 };
    struct gd_sched_ops ops = { act, stop_look, NULL };
    struct gd_sched *sched;
    uv_timer_t guard;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    ops.arg = &loop;
    sched = gd_sched_new(&loop, &o, &ops, gd_clock_system(), &s->rng.rng, NULL);
    assert_int_equal(gd_sched_start(sched, NULL), 0);
    gd_sched_look(sched, "main", "it1", 5000);
    assert_int_equal(uv_timer_init(&loop, &guard), 0);
    guard.data = s;
    uv_timer_start(&guard, too_late, 5000, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_non_null(guard.data);
    assert_int_equal(gd_sched_next(sched), INT64_MAX);
    uv_close((uv_handle_t *)&guard, NULL);
    gd_sched_close(sched, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_before_the_start, up, down),
        cmocka_unit_test_setup_teardown(who_expires_first_goes_first, up, down),
        cmocka_unit_test_setup_teardown(a_job_waits_once, up, down),
        cmocka_unit_test_setup_teardown(more_go_where_they_end_quickly, up, down),
        cmocka_unit_test_setup_teardown(what_was_done_meanwhile_is_not_done_again, up, down),
        cmocka_unit_test_setup_teardown(cancelled_jobs_stay_away, up, down),
        cmocka_unit_test_setup_teardown(looks_come_at_their_time, up, down),
        cmocka_unit_test_setup_teardown(a_look_from_before_the_boot, up, down),
        cmocka_unit_test_setup_teardown(a_forward_step_is_no_burst, up, down),
        cmocka_unit_test_setup_teardown(a_forward_step_moves_looks, up, down),
        cmocka_unit_test_setup_teardown(a_backward_step_puts_nothing_off, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
