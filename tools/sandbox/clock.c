/* clock.c - the sandbox's own time: it goes on with the machine's from where it was put, or stands still. */
#include "base/clock.h"
#include "sandbox_int.h"

#include <time.h>

int64_t clock_mono(void)
{
    return gd_mono(gd_clock_system());
}

/* The machine's time, and how far a shared clock was moved. */
static int64_t travelled(const struct sb *sb)
{
    return sb->moved.offset ? gd_mono(&sb->moved.clock) : clock_mono();
}

int64_t clock_now(const struct sb *sb)
{
    return sb->clock_held ? sb->clock_unix : sb->clock_unix + (travelled(sb) - sb->clock_mono) / 1000;
}

void clock_set(struct sb *sb, int64_t unix_s)
{
    sb->clock_unix = unix_s;
    sb->clock_mono = travelled(sb);
}

int clock_share(struct sb *sb, const char *path)
{
    int rc = gd_clock_shared_open(&sb->moved, path);

    if (rc == 0)
        clock_set(sb, gd_now(&sb->moved.clock) / 1000);
    return rc;
}

void clock_tell(struct sb_req *r)
{
    const struct sb_platform *mine = r->platform;

    for (const struct sb_platform *const *p = sb_platforms; *p; p++) {
        r->platform = *p;
        if ((*p)->clock)
            (*p)->clock(r);
    }
    r->platform = mine;
}

void clock_follow(struct sb_req *r)
{
    int64_t by = r->sb->moved.offset ? gd_mono(&r->sb->moved.clock) - clock_mono() : 0;

    if (by - r->sb->moved_by < 1000)
        return;
    r->sb->moved_by = by;
    clock_tell(r);
}

void clock_hold(struct sb *sb, bool hold)
{
    clock_set(sb, clock_now(sb));
    sb->clock_held = hold;
}

int64_t sb_now(const struct sb_req *r)
{
    return clock_now(r->sb);
}

const char *sb_time(struct sb_req *r, int64_t unix_s, const char *format)
{
    time_t t = (time_t)unix_s;
    char text[128];
    struct tm tm;

    if (!gmtime_r(&t, &tm))
        return "";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* all formats are literals of the platforms' files */
    if (!strftime(text, sizeof text, format, &tm))
        return "";
#pragma GCC diagnostic pop
    return gd_arena_strdup(r->arena, text);
}
