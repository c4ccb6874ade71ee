/* grant/plan.c - margins, back-off and patience. */
#include "grant/plan.h"

#include <grantd/platform.h>

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * (int64_t)HOUR)

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool spends_family(uint32_t retry_class)
{
    return retry_class == GRANTD_RETRY_FAMILY || retry_class == GRANTD_RETRY_UNKNOWN;
}

/* Share of the life that is margin. Fewer refreshes are safer where each one is a risk. */
static int64_t margin_share(const struct gd_clocks *c, int64_t life)
{
    if (life > 7 * DAY)
        return max64(life / 6, 7 * DAY);
    if (life > 2 * HOUR || c->retry_class == GRANTD_RETRY_STRICT || spends_family(c->retry_class))
        return life / 3;
    return life / 2;
}

int64_t gd_plan_margin(const struct gd_plan_options *o, const struct gd_clocks *c)
{
    int64_t life = c->expires_at - c->issued_at;
    int64_t outage = life > 7 * DAY ? max64(o->outage_ms, 3 * DAY) : o->outage_ms;
    int64_t margin = max64(margin_share(c, life), outage + o->skew_ms);

    /* Where the bounds cross (very short lives), the upper one wins. */
    return min64(max64(margin, o->margin_min_ms), life * 8 / 10);
}

int64_t gd_plan_due(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t now,
                    struct gd_rng *rng)
{
    int64_t life = c->expires_at - c->issued_at, due;

    if (c->shape == GRANTD_SHAPE_SEAT)
        return GD_NEVER_DUE;
    if (c->shape == GRANTD_SHAPE_WINDOW)
        return c->horizon_at ? max64(now, c->horizon_at) : GD_NEVER_DUE;
    if (c->expires_at == 0) /* a liveness check a day, or an unknown life: look once a day */
        due = now + DAY - (int64_t)gd_rng_below(rng, (uint64_t)(DAY / 10));
    else
        due =
            c->expires_at - gd_plan_margin(o, c) - (int64_t)gd_rng_below(rng, (uint64_t)max64(life / 10, 1));
    if (c->horizon_at)
        due = min64(due, c->horizon_at);
    return max64(due, now);
}

int64_t gd_plan_unchanged(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t now,
                          struct gd_rng *rng)
{
    int64_t due = gd_plan_due(o, c, now, rng), left = c->expires_at - now;

    if (due == GD_NEVER_DUE || c->expires_at == 0)
        return due;
    return max64(due, now + (left > 0 ? max64(left / 10, GD_PLAN_GAP_MS) : MINUTE));
}

int64_t gd_plan_backoff(const struct gd_plan_options *o, const struct gd_clocks *c, unsigned n, int64_t now,
                        struct gd_rng *rng)
{
    int64_t cap = 5 * MINUTE, left = c->expires_at ? c->expires_at - now : DAY, wait = SECOND;

    (void)o;
    if (left <= 0)
        cap = 15 * MINUTE; /* nobody is served any more by hurrying */
    else if (left < 20 * cap)
        cap = max64(left / 20, SECOND);
    while (n-- > 1 && wait < cap)
        wait *= 2;
    wait = min64(wait, cap);
    return now + SECOND / 4 + (int64_t)gd_rng_below(rng, (uint64_t)wait);
}

bool gd_plan_is_family(const struct gd_clocks *c, int64_t since, int64_t now)
{
    if (c->retry_class == GRANTD_RETRY_GRACE) /* outside its grace a replay may revoke the family */
        return now - since >= c->retry_grace_ms;
    return spends_family(c->retry_class);
}

static int64_t quiet(const struct gd_plan_options *o)
{
    return o->quiet_ms ? o->quiet_ms : o->deadline_ms + 2 * o->skew_ms;
}

int64_t gd_plan_patience(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t sent_at,
                         int64_t now)
{
    int64_t calm = sent_at + o->deadline_ms + quiet(o);

    if (gd_plan_is_family(c, sent_at, now))
        return max64(max64(calm, c->expires_at + o->skew_ms), now);
    if (c->retry_class == GRANTD_RETRY_STRICT)
        return max64(calm, now);
    return now + SECOND / 4; /* repeatable while it lasts: the sooner the better */
}

int64_t gd_plan_confirm(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t now)
{
    if (spends_family(c->retry_class))
        return max64(now + 5 * SECOND, c->expires_at + o->skew_ms);
    return now + min64(5 * SECOND, max64(o->deadline_ms / 8, 1));
}

int64_t gd_plan_lease(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t family_lease_ms)
{
    int64_t lease = 4 * o->deadline_ms;

    return spends_family(c->retry_class) ? max64(lease, family_lease_ms) : lease;
}
