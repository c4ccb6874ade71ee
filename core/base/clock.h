/* base/clock.h - time as an argument. Nobody else reads the machine's clocks, so tests and the simulator run
 * on virtual time. Milliseconds everywhere in core; the platform ABI speaks seconds. */
#ifndef GD_BASE_CLOCK_H
#define GD_BASE_CLOCK_H

#include <stdint.h>

struct gd_clock {
    int64_t (*unix_ms)(const struct gd_clock *c); /* wall time, UTC; may step */
    int64_t (*mono_ms)(const struct gd_clock *c); /* never steps, counts suspend (CLOCK_BOOTTIME) */
};

static inline int64_t gd_now(const struct gd_clock *c)
{
    return c->unix_ms(c);
}
static inline int64_t gd_mono(const struct gd_clock *c)
{
    return c->mono_ms(c);
}

const struct gd_clock *gd_clock_system(void);

/* A clock that stands still until somebody moves it. */
struct gd_clock_virtual {
    struct gd_clock clock; /* first */
    int64_t unix_now, mono_now;
};
void gd_clock_virtual_init(struct gd_clock_virtual *v, int64_t unix_ms);
void gd_clock_virtual_advance(struct gd_clock_virtual *v, int64_t ms); /* both clocks */

/* The system's time plus an offset that a file holds (8 bytes, milliseconds, native order), so that several
 * processes may travel together: for demonstrations and tests against a sandbox. It never goes back. */
struct gd_clock_shared {
    struct gd_clock clock; /* first */
    int64_t *offset;       /* mapped; one process moves it */
};
int gd_clock_shared_open(struct gd_clock_shared *c, const char *path); /* creates it; 0 or -errno */
void gd_clock_shared_advance(struct gd_clock_shared *c, int64_t ms);
void gd_clock_shared_close(struct gd_clock_shared *c);

#endif
