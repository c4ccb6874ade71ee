/* The wheel against a list that is searched from end to end: the same timers fire in the same milliseconds.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "sched/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TIMERS 2000

struct fired {
    int64_t at[TIMERS];
    int64_t now, last;
    unsigned count;
};

static struct gd_wheel *watched;

static void note(void *arg, uint32_t n)
{
    struct fired *f = arg;

    assert_true(f->at[n] == -1);
    assert_true(watched->now >= f->last); /* in order */
    f->last = watched->now;
    f->at[n] = watched->now;
    f->count++;
}

static void same_as_a_list(void **state)
{
    struct gd_rng_seeded r;
    static struct gd_wheel w;
    struct fired f;
    int64_t due[TIMERS], now = 1700000000123;

    (void)state;
    watched = &w;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        gd_rng_seed(&r, seed);
        gd_wheel_init(&w, now);
        memset(&f, 0, sizeof f);
        for (uint32_t i = 0; i < TIMERS; i++) {
            uint64_t span = (uint64_t)1 << gd_rng_below(&r.rng, 40);

            f.at[i] = -1;
            due[i] = now + 1 + (int64_t)gd_rng_below(&r.rng, span);
            gd_wheel_set(&w, i, due[i]);
        }
        for (uint32_t i = 0; i < TIMERS; i += 3) { /* move or cancel a third */
            due[i] = gd_rng_below(&r.rng, 2) ? INT64_MAX : now + 1 + (int64_t)gd_rng_below(&r.rng, 1000000);
            gd_wheel_set(&w, i, due[i]);
        }
        for (int64_t t = now; t < now + ((int64_t)1 << 41);) {
            int64_t next = gd_wheel_next(&w);

            if (next == INT64_MAX)
                break;
            t = next + (int64_t)gd_rng_below(&r.rng, 3);
            f.last = 0;
            gd_wheel_run(&w, t, note, &f);
            for (uint32_t i = 0; i < TIMERS; i++)
                assert_true((due[i] <= t) == (f.at[i] != -1));
        }
        for (uint32_t i = 0; i < TIMERS; i++)
            assert_int_equal(f.at[i], due[i] == INT64_MAX ? -1 : due[i]);
        assert_int_equal(w.armed, 0);
        gd_wheel_done(&w);
    }
}

static struct gd_wheel again_wheel;
static unsigned again_count;

static void again(void *arg, uint32_t n)
{
    (void)arg;
    if (++again_count < 100)
        gd_wheel_set(&again_wheel, n,
                     again_wheel.now); /* in the past: fires, but not without end in one run */
}

static void rearming_moves_on(void **state)
{
    (void)state;
    gd_wheel_init(&again_wheel, 1000);
    gd_wheel_set(&again_wheel, 7, 1001);
    gd_wheel_run(&again_wheel, 1010, again, NULL);
    assert_int_equal(again_count, 10); /* once in each of the ten milliseconds */
    gd_wheel_run(&again_wheel, 2000, again, NULL);
    assert_int_equal(again_count, 100);
    gd_wheel_done(&again_wheel);
}

static void count(void *arg, uint32_t n)
{
    (void)n;
    ++*(unsigned *)arg;
}

/* Beyond what the levels hold: never fires, and never goes round in a circle. */
static void a_due_beyond_the_wheel(void **state)
{
    static struct gd_wheel w;
    int64_t now = 1000;
    unsigned fired = 0;

    (void)state;
    gd_wheel_init(&w, now);
    gd_wheel_set(&w, 0, ((int64_t)1 << 48) + 2000);
    gd_wheel_set(&w, 1, INT64_MAX - 1);
    gd_wheel_set(&w, 2, now + 5000);
    assert_true(gd_wheel_next(&w) > now);
    alarm(10);
    gd_wheel_run(&w, now + 10000, count, &fired);
    alarm(0);
    assert_int_equal(fired, 1);
    assert_int_equal(w.now, now + 10000);
    gd_wheel_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_a_list),
        cmocka_unit_test(rearming_moves_on),
        cmocka_unit_test(a_due_beyond_the_wheel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
