/* store/postgresql/seen.c - what this node has seen of the database last lies beside the store, for the next
 * start: where the log ended, in which era, and a line for each neighbour with the newest of its commits that
 * was read. Not synced: an older one is true as well, and tells a little less. */
#include "store/postgresql/pg.h"

#include "base/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTE_MS 1000
#define HEX     "%016llx"

/* A hexadecimal number of as many digits, and the character behind it; NULL when it is none. */
static const char *number(const char *p, int digits, char behind, int64_t *ret)
{
    char *end;

    if (!p || strspn(p, "0123456789abcdef") != (size_t)digits || p[digits] != behind)
        return NULL;
    *ret = (int64_t)strtoull(p, &end, 16);
    return p + digits + 1;
}

static const char *neighbour(const char *p, gd_pg_seen_fn *each, void *arg)
{
    const char *end = strchr(p, '\n');
    struct gd_pg_mark at;
    GD_AUTO_FREE char *node = NULL;

    p = number(p, 16, ' ', &at.n);
    p = number(p, 16, ' ', &at.link);
    if (!p || !end || end == p)
        return NULL;
    node = gd_strndup(p, (size_t)(end - p));
    each(arg, node, &at);
    return end + 1;
}

static void take(struct gd_engine *e, const char *text, gd_pg_seen_fn *each, void *arg)
{
    struct gd_pg_seen s;
    const char *p = number(text, 8, ' ', &s.timeline);

    p = number(p, 16, ' ', &s.said);
    p = number(p, 16, '\n', &s.end);
    if (p)
        gd_pg_seen_set(e, &s);
    while (p && *p)
        p = neighbour(p, each, arg);
}

void gd_pg_seen_load(struct gd_engine *e, const char *path, gd_pg_seen_fn *each, void *arg)
{
    GD_AUTO_FREE char *file = gd_strf("%s.seen", path), *text = gd_new(GD_PG_SEEN_MAX + 1);
    ssize_t n;

    e->seen_fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (e->seen_fd < 0)
        return;
    n = pread(e->seen_fd, text, GD_PG_SEEN_MAX, 0);
    text[n > 0 ? n : 0] = '\0';
    take(e, text, each, arg);
}

bool gd_pg_seen_due(const struct gd_engine *e)
{
    return e->seen_fd >= 0 && gd_pg_now() - e->noted >= NOTE_MS;
}

void gd_pg_seen_line(struct gd_buf *b, const char *node, const struct gd_pg_mark *at)
{
    gd_buf_addf(b, HEX " " HEX " %s\n", (unsigned long long)at->n, (unsigned long long)at->link, node);
}

void gd_pg_seen_note(struct gd_engine *e, const struct gd_pg_seen *s, const char *lines)
{
    GD_AUTO_FREE char *text = gd_strf("%08llx " HEX " " HEX "\n%s", (unsigned long long)s->timeline,
                                      (unsigned long long)s->said, (unsigned long long)s->end, lines);
    size_t n = strlen(text);

    e->noted = gd_pg_now();
    if (e->seen_fd >= 0 && n <= GD_PG_SEEN_MAX && pwrite(e->seen_fd, text, n, 0) == (ssize_t)n)
        (void)!ftruncate(e->seen_fd, (off_t)n);
}
