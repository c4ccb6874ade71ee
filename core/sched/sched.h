/* sched/sched.h - when what is done: one due-queue for all credentials and pending looks, deadline-ordered
 * admission per app, clock steps. It knows jobs by number and calls back when one may run; what running means
 * is the broker's. The same code runs on virtual time. Loop thread.
 *
 * Time: a job's due is wall time (it comes from the store), the wheel runs on the monotonic clock, which
 * counts suspend. A step of the wall clock moves only the jobs and looks that were loaded and not yet planned
 * anew by this process. */
#ifndef GD_SCHED_SCHED_H
#define GD_SCHED_SCHED_H

#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "log/log.h"

#include <uv.h>

struct gd_sched;
struct gd_sched_ops {
    void (*act)(void *arg, uint32_t job); /* must lead to one gd_sched_flight_end of the job's app */
    void (*look)(void *arg, const char *workspace, const char *item);
    void *arg;
};
struct gd_sched_options {
    unsigned in_flight;     /* jobs of one app that run at the same time; 0: 64 */
    unsigned in_flight_max; /* the same while they end quickly; less than in_flight: no more than that */
    int64_t spread_ms;      /* after a clock step what is late is spread over this; 0: 60 s */
};
/* loop NULL: no timers, driven by gd_sched_run (simulator). */
struct gd_sched *gd_sched_new(uv_loop_t *loop, const struct gd_sched_options *o,
                              const struct gd_sched_ops *ops, const struct gd_clock *clock,
                              struct gd_rng *rng, struct gd_log *log);
/* Jobs that are set before the start count as loaded. Nothing runs before it. 0, or -1 when the timers cannot
 * be made. */
int gd_sched_start(struct gd_sched *s, struct gd_err *err);
void gd_sched_close(struct gd_sched *s, void (*done)(void *), void *arg);
/* Next action of a job, Unix ms (INT64_MAX: none). expires_at (0: none) orders what waits for admission. */
void gd_sched_set(struct gd_sched *s, uint32_t job, int64_t due, int64_t expires_at, uint16_t app);
void gd_sched_look(struct gd_sched *s, const char *workspace, const char *item, int64_t at);
void gd_sched_flight_end(struct gd_sched *s, uint16_t app);
/* It is due and waits until its app has room. */
bool gd_sched_waits(const struct gd_sched *s, uint32_t job);
/* Everything due at the clock's now; returns the monotonic ms of the next deadline (INT64_MAX: none). */
int64_t gd_sched_run(struct gd_sched *s);
/* Runs what is due and arms the timers anew: after somebody has moved a virtual clock. */
void gd_sched_moved(struct gd_sched *s);
/* Monotonic ms of the next deadline, INT64_MAX: none. */
int64_t gd_sched_next(const struct gd_sched *s);
/* The wall clock was set by delta ms: what the timer that hears steps calls, and the simulator. */
void gd_sched_clock_step(struct gd_sched *s, int64_t delta);
/* {"armed","waiting","in_flight","fired","late_ms_max","steps"} */
json_t *gd_sched_status(struct gd_sched *s);

#endif
