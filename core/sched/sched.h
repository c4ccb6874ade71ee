/* sched/sched.h - when what is done: one due-queue for all credentials and pending looks, margins and jitter,
 * back-off, the mass-failure interlock, clock steps. Pure but for one timer: the same code runs on virtual time.
 * Loop thread. */
#ifndef GD_SCHED_SCHED_H
#define GD_SCHED_SCHED_H

#include "grant/broker.h"

struct gd_sched;
/* loop NULL: no timers, driven by gd_sched_run (simulator). */
struct gd_sched *gd_sched_new(uv_loop_t *loop, struct gd_broker *b, const struct gd_clock *clock, struct gd_rng *rng,
                              struct gd_log *log);
void gd_sched_start(struct gd_sched *s);
void gd_sched_close(struct gd_sched *s, void (*done)(void *), void *arg);
/* Everything due at clock's now; returns the monotonic ms of the next deadline (INT64_MAX: none). */
int64_t gd_sched_run(struct gd_sched *s);
json_t *gd_sched_status(struct gd_sched *s);

#endif
