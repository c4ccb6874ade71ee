/* base/clock.c */
#include "base/clock.h"
#include "base/mem.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_unix(const struct gd_clock *c)
{
    (void)c;
    return read_ms(CLOCK_REALTIME);
}

static int64_t system_mono(const struct gd_clock *c)
{
    (void)c;
    return read_ms(CLOCK_BOOTTIME);
}

const struct gd_clock *gd_clock_system(void)
{
    static const struct gd_clock system_clock = { system_unix, system_mono };

    return &system_clock;
}

static int64_t virtual_unix(const struct gd_clock *c)
{
    return ((const struct gd_clock_virtual *)c)->unix_now;
}

static int64_t virtual_mono(const struct gd_clock *c)
{
    return ((const struct gd_clock_virtual *)c)->mono_now;
}

void gd_clock_virtual_init(struct gd_clock_virtual *v, int64_t unix_ms)
{
    v->clock = (struct gd_clock){ virtual_unix, virtual_mono };
    v->unix_now = unix_ms;
    v->mono_now = 0;
}

void gd_clock_virtual_advance(struct gd_clock_virtual *v, int64_t ms)
{
    v->unix_now += ms;
    v->mono_now += ms;
}
