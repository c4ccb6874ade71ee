/* sched/wheel.h - a hierarchical timing wheel: 64 slots on each of 8 levels, a millisecond to a slot on the
 * lowest, with bitmaps. Insert, move and cancel cost a few nanoseconds; what fires, fires in the order of its
 * millisecond. Nodes are named by small numbers, so that a credential's number is its timer's. Pure. */
#ifndef GD_SCHED_WHEEL_H
#define GD_SCHED_WHEEL_H

#include <stdint.h>
#include <stddef.h>

#define GD_WHEEL_LEVELS 8
#define GD_WHEEL_SLOTS  64

struct gd_wheel_node {
    int64_t due; /* INT64_MAX: not armed */
    uint32_t next, prev;
};
struct gd_wheel {
    int64_t now;
    uint64_t bits[GD_WHEEL_LEVELS];
    uint32_t slots[GD_WHEEL_LEVELS][GD_WHEEL_SLOTS]; /* number + 1; 0: empty */
    struct gd_wheel_node **chunks;
    uint32_t nchunks, armed;
};
void gd_wheel_init(struct gd_wheel *w, int64_t now);
void gd_wheel_done(struct gd_wheel *w);
/* Arms, moves or (INT64_MAX) cancels; a due in the past fires at the next run. */
void gd_wheel_set(struct gd_wheel *w, uint32_t n, int64_t due);
int64_t gd_wheel_due(const struct gd_wheel *w, uint32_t n); /* INT64_MAX: not armed */
/* Fires everything due up to now, in order; fn may arm again (not before now + 1 in the same run). */
void gd_wheel_run(struct gd_wheel *w, int64_t now, void (*fn)(void *arg, uint32_t n), void *arg);
/* A time not after the next one that fires; INT64_MAX when nothing is armed. */
int64_t gd_wheel_next(const struct gd_wheel *w);
size_t gd_wheel_bytes(const struct gd_wheel *w);

#endif
