/* base/clock.c */
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

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

static int64_t offset_of(const struct gd_clock *c)
{
    return __atomic_load_n(((const struct gd_clock_shared *)c)->offset, __ATOMIC_ACQUIRE);
}

static int64_t shared_unix(const struct gd_clock *c)
{
    return read_ms(CLOCK_REALTIME) + offset_of(c);
}

static int64_t shared_mono(const struct gd_clock *c)
{
    return read_ms(CLOCK_BOOTTIME) + offset_of(c);
}

int gd_clock_shared_open(struct gd_clock_shared *c, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), rc = 0;
    void *p = MAP_FAILED;

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, sizeof *c->offset) == 0)
        p = mmap(NULL, sizeof *c->offset, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    rc = p == MAP_FAILED ? -errno : 0;
    close(fd);
    *c = (struct gd_clock_shared){ { shared_unix, shared_mono }, rc ? NULL : p };
    return rc;
}

void gd_clock_shared_advance(struct gd_clock_shared *c, int64_t ms)
{
    if (ms > 0)
        (void)__atomic_add_fetch(c->offset, ms, __ATOMIC_ACQ_REL);
}

void gd_clock_shared_close(struct gd_clock_shared *c)
{
    if (c->offset)
        (void)munmap(c->offset, sizeof *c->offset);
    c->offset = NULL;
}
