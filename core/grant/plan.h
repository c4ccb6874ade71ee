/* grant/plan.h - when a credential is looked at next. Pure functions of clocks, classes and a random number;
 * the scheduler keeps the queue. All times Unix ms. */
#ifndef GD_GRANT_PLAN_H
#define GD_GRANT_PLAN_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

#define GD_NEVER_DUE INT64_MAX

struct gd_plan_options {
    int64_t outage_ms; /* outage a margin must outlast; three days at least for lives of more than a week */
    int64_t skew_ms;   /* how far clocks may be apart */
    int64_t margin_min_ms;
    int64_t deadline_ms; /* T: hard deadline of one exchange */
    int64_t quiet_ms;    /* patience after a doubt; 0: deadline + 2 * skew */
};
struct gd_clocks {
    uint32_t shape, retry_class;
    int64_t retry_grace_ms;
    int64_t issued_at;                      /* when the request that brought the token was sent */
    int64_t expires_at;                     /* 0: does not expire, or not known */
    int64_t refresh_expires_at, horizon_at; /* 0: none */
    bool has_refresh_token;
};
/* How long before the expiry the first attempt is made. */
int64_t gd_plan_margin(const struct gd_plan_options *o, const struct gd_clocks *c);
/* However short a life or however odd its dates: two refreshes are not nearer to each other than this. */
#define GD_PLAN_GAP_MS 1000
/* A platform said "unchanged" when it was asked at now: the next look, never at once. */
int64_t gd_plan_unchanged(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t now,
                          struct gd_rng *rng);
/* The next action of a healthy credential. GD_NEVER_DUE for seats. */
int64_t gd_plan_due(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t now,
                    struct gd_rng *rng);
/* After the n-th failure in a row (from 1): full jitter, capped at five minutes inside the margin. */
int64_t gd_plan_backoff(const struct gd_plan_options *o, const struct gd_clocks *c, unsigned n, int64_t now,
                        struct gd_rng *rng);
/* After a doubt (the request of sent_at may have been spent): when the same token may be presented again. */
int64_t gd_plan_patience(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t sent_at,
                         int64_t now);
/* After the first refusal: when the one confirming retry is made. */
int64_t gd_plan_confirm(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t now);
/* How long the lease of one attempt is. */
int64_t gd_plan_lease(const struct gd_plan_options *o, const struct gd_clocks *c, int64_t family_lease_ms);
/* Servers where presenting an old token may revoke everything, or that have not been shown not to be. */
bool gd_plan_is_family(const struct gd_clocks *c, int64_t since, int64_t now);

#endif
