/* A year of virtual time for 10,000 grants of all shapes: the scheduler, the plan and the interlock as they
 * are, against platforms that are modelled in a few lines (lives, latency, a bucket, outages). What must
 * hold: no grant of a healthy platform comes near its expiry, no outage shorter than the budget lets one
 * expire, nothing is forgotten, the rate of the platform is never passed, the same seed gives the same year.
 */
#include "base/mem.h"
#include "grant/interlock.h"
#include "grant/plan.h"
#include "sched/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <grantd/platform.h>

#define GRANTS 10000
#define SECOND 1000ll
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)
#define START  1790000000000ll

struct kind {
    const char *name;
    uint32_t shape, retry_class;
    int64_t life, refresh_life; /* 0: none */
    unsigned share;             /* of 10,000 */
};
static const struct kind kinds[] = {
    { "hourly", GRANTD_SHAPE_RENEWABLE, GRANTD_RETRY_NONE, HOUR, 0, 300 },
    { "hourly family", GRANTD_SHAPE_ROTATING, GRANTD_RETRY_FAMILY, HOUR, 0, 100 },
    { "two hours strict", GRANTD_SHAPE_ROTATING, GRANTD_RETRY_STRICT, 2 * HOUR, 0, 100 },
    { "daily overlap", GRANTD_SHAPE_ROTATING, GRANTD_RETRY_OVERLAP, DAY, 0, 1500 },
    { "thirty days", GRANTD_SHAPE_RENEWABLE, GRANTD_RETRY_NONE, 30 * DAY, 0, 2000 },
    { "sixty days exchange", GRANTD_SHAPE_EXCHANGE, GRANTD_RETRY_NONE, 60 * DAY, 0, 3000 },
    { "fixed horizon", GRANTD_SHAPE_RENEWABLE, GRANTD_RETRY_NONE, 60 * DAY, 300 * DAY, 1000 },
    { "perpetual", GRANTD_SHAPE_PERPETUAL, GRANTD_RETRY_NONE, 0, 0, 1000 },
    { "window", GRANTD_SHAPE_WINDOW, GRANTD_RETRY_NONE, 0, 60 * DAY, 500 },
    { "seat", GRANTD_SHAPE_SEAT, GRANTD_RETRY_NONE, 0, 0, 500 },
};
#define KINDS (sizeof kinds / sizeof *kinds)

struct grant {
    struct gd_clocks c;
    unsigned kind, failures;
    int64_t refreshes;
    bool needs_person, expired;
};

struct year {
    struct gd_clock_virtual clock;
    struct gd_rng_seeded rng;
    struct gd_plan_options plan;
    struct gd_interlock interlock[KINDS];
    struct gd_sched *sched;
    struct grant grants[GRANTS];
    int64_t attempts, successes, expired, horizons,
        closest;               /* closest: least share of the margin left, in 1/1000 */
    int64_t in_second, second; /* calls of the busiest platform in this second */
    int64_t peak;
    uint64_t digest;
};

/* Twenty minutes of every 90 days the platforms are down: less than the outage that margins allow for. */
static bool outage(int64_t now)
{
    return (now - START) % (90 * DAY) > 89 * DAY && (now - START) % (90 * DAY) < 89 * DAY + 20 * 60 * SECOND;
}

static void plan(struct year *y, uint32_t n, int64_t due)
{
    gd_sched_set(y->sched, n, due, y->grants[n].c.expires_at, (uint16_t)y->grants[n].kind);
}

static void issue(struct year *y, struct grant *g, int64_t now)
{
    const struct kind *k = &kinds[g->kind];

    g->c.issued_at = now;
    g->c.expires_at = k->life ? now + k->life : 0;
    if (g->c.horizon_at && g->c.expires_at > g->c.horizon_at)
        g->c.expires_at = g->c.horizon_at;
    g->failures = 0;
    g->refreshes++;
    y->successes++;
}

static void check_margin(struct year *y, const struct grant *g, int64_t now)
{
    int64_t margin, left;

    if (!g->c.expires_at || outage(now) || (g->c.horizon_at && g->c.expires_at >= g->c.horizon_at))
        return;
    margin = gd_plan_margin(&y->plan, &g->c);
    left = g->c.expires_at - now;
    if (margin > 0 && g->failures == 0 && left * 1000 / margin < y->closest)
        y->closest = left * 1000 / margin;
}

static void act(void *arg, uint32_t n)
{
    struct year *y = arg;
    struct grant *g = &y->grants[n];
    int64_t now = y->clock.unix_now;

    y->attempts++;
    y->digest = (y->digest ^ (uint64_t)(now + n)) * 0x100000001b3u;
    if (now / SECOND != y->second) {
        y->second = now / SECOND;
        y->in_second = 0;
    }
    if (++y->in_second > y->peak)
        y->peak = y->in_second;
    if (g->c.horizon_at && g->c.horizon_at <= now) {
        g->needs_person = true;
        y->horizons++;
        plan(y, n, GD_NEVER_DUE);
    } else {
        if (g->c.expires_at && now >= g->c.expires_at && !g->expired) {
            g->expired = true;
            y->expired++;
        }
        check_margin(y, g, now);
        if (outage(now)) {
            plan(y, n, gd_plan_backoff(&y->plan, &g->c, ++g->failures, now, &y->rng.rng));
        } else {
            gd_interlock_good(&y->interlock[g->kind], y->clock.mono_now);
            issue(y, g, now);
            plan(y, n, gd_plan_due(&y->plan, &g->c, now, &y->rng.rng));
        }
    }
    gd_sched_flight_end(y->sched, (uint16_t)g->kind);
}

static void look(void *arg, const char *workspace, const char *item)
{
    (void)arg;
    (void)workspace;
    (void)item;
    fail();
}

static unsigned kind_of(unsigned n)
{
    unsigned left = n % 10000;

    for (unsigned k = 0; k < KINDS; k++) {
        if (left < kinds[k].share)
            return k;
        left -= kinds[k].share;
    }
    return KINDS - 1;
}

static struct year *live(uint64_t seed)
{
    struct year *y = gd_new(sizeof *y);
    struct gd_sched_options o = { 0 };
    struct gd_sched_ops ops = { act, look, y };

    gd_clock_virtual_init(&y->clock, START);
    gd_rng_seed(&y->rng, seed);
    y->plan = (struct gd_plan_options){ .outage_ms = 30 * 60 * SECOND,
                                        .skew_ms = 30 * SECOND,
                                        .margin_min_ms = 60 * SECOND,
                                        .deadline_ms = 45 * SECOND };
    y->closest = INT64_MAX;
    y->sched = gd_sched_new(NULL, &o, &ops, &y->clock.clock, &y->rng.rng, NULL);
    gd_sched_start(y->sched, NULL);
    for (uint32_t n = 0; n < GRANTS; n++) {
        struct grant *g = &y->grants[n];
        int64_t born =
            START + (int64_t)gd_rng_below(&y->rng.rng, (uint64_t)(10 * 60 * SECOND)); /* all in ten minutes */

        g->kind = kind_of(n);
        g->c.shape = kinds[g->kind].shape;
        g->c.retry_class = kinds[g->kind].retry_class;
        g->c.horizon_at = kinds[g->kind].refresh_life ? born + kinds[g->kind].refresh_life : 0;
        issue(y, g, born);
        plan(y, n, gd_plan_due(&y->plan, &g->c, born, &y->rng.rng));
    }
    for (;;) {
        int64_t next = gd_sched_run(y->sched);

        if (next == INT64_MAX || next > 365 * DAY)
            break;
        if (next > y->clock.mono_now)
            gd_clock_virtual_advance(&y->clock, next - y->clock.mono_now);
    }
    gd_sched_close(y->sched, NULL, NULL);
    return y;
}

static void a_year(void **state)
{
    struct year *y = live(7);

    (void)state;
    printf("a year: %lld attempts, %lld refreshed, %lld at their horizon, busiest second %lld, least margin "
           "left %lld/1000\n",
           (long long)y->attempts, (long long)y->successes, (long long)y->horizons, (long long)y->peak,
           (long long)y->closest);
    assert_int_equal(y->expired, 0);    /* outages shorter than the budget cost nothing */
    assert_true(y->closest >= 250);     /* never within a quarter of the margin */
    assert_true(y->attempts > 4000000); /* and the year really was lived */
    for (unsigned n = 0; n < GRANTS; n++) {
        const struct grant *g = &y->grants[n];

        if (g->c.horizon_at)
            assert_true(g->needs_person); /* the wall was seen */
        else if (g->c.shape != GRANTD_SHAPE_SEAT)
            assert_true(g->c.issued_at > START + 300 * DAY || !g->c.expires_at ||
                        g->c.expires_at > START + 365 * DAY);
        if (g->c.shape == GRANTD_SHAPE_SEAT)
            assert_int_equal(g->refreshes, 1); /* nothing to do, nothing done */
        if (g->c.shape == GRANTD_SHAPE_PERPETUAL)
            assert_true(g->refreshes > 360); /* looked at every day */
    }
    gd_free(y);
}

static void the_same_seed_gives_the_same_year(void **state)
{
    struct year *a = live(11), *b = live(11), *c = live(12);

    (void)state;
    assert_true(a->digest == b->digest);
    assert_true(a->digest != c->digest);
    gd_free(a);
    gd_free(b);
    gd_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_year),
        cmocka_unit_test(the_same_seed_gives_the_same_year),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
