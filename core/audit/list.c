/* audit/list.c - pages of a log. Sequence numbers only grow along the file, so a page is found by halving;
 * the newest ones are looked for in ever larger pieces of the end. Nothing is checked here: that is verify's
 * work. */
#include "audit/audit_int.h"

#include "audit/reader.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEAR (64 * 1024)

struct listing {
    int fd;
    off_t size;
    size_t max;
    const char *subject;
    json_t *out;
};

/* The first whole line behind at: its number and place. False when there is none. */
static bool line_behind(const struct listing *l, off_t at, int64_t *ret_seq, off_t *ret_at)
{
    struct reader r;
    bool ok = true;
    char *line;
    size_t n;

    gd_reader_init(&r, l->fd, at);
    if (at)
        ok = gd_reader_next(&r, &line, &n) == LINE_OK;
    *ret_at = r.offset;
    ok = ok && gd_reader_next(&r, &line, &n) == LINE_OK && gd_line_seq(line, n, ret_seq);
    gd_reader_done(&r);
    return ok;
}

/* A place at or before the record after, as near as is worth the search. */
static off_t find(const struct listing *l, int64_t after)
{
    off_t lo = 0, hi = l->size;

    while (hi - lo > NEAR) {
        off_t mid = lo + (hi - lo) / 2, at;
        int64_t seq;

        if (line_behind(l, mid, &seq, &at) && seq <= after && at < hi)
            lo = at;
        else
            hi = mid;
    }
    return lo;
}

static bool wanted(const struct listing *l, const json_t *record)
{
    const char *s = json_string_value(json_object_get(record, "subject"));

    return !l->subject || (s && !strcmp(s, l->subject));
}

static void add(struct listing *l, const char *line, size_t n)
{
    GD_AUTO_JSON j = NULL;

    if (l->subject && !memmem(line, n, l->subject, strlen(l->subject)))
        return;
    j = gd_json_parse(line, n, GD_AUDIT_LINE_MAX, NULL);
    if (j && wanted(l, j))
        json_array_append(l->out, j);
}

/* Records behind after: the first max of them, or the last. */
static int scan(struct listing *l, int64_t after, bool newest)
{
    enum line got = LINE_OK;
    struct reader r;

    gd_reader_init(&r, l->fd, find(l, after));
    while (got == LINE_OK && (newest || json_array_size(l->out) < l->max)) {
        int64_t seq;
        char *line;
        size_t n;

        got = gd_reader_next(&r, &line, &n);
        if (got == LINE_OK && gd_line_seq(line, n, &seq) && seq > after)
            add(l, line, n);
        if (json_array_size(l->out) > l->max)
            json_array_remove(l->out, 0);
    }
    gd_reader_done(&r);
    return got == LINE_ERROR ? -1 : 0;
}

/* The number of the last record. */
static int64_t last_seq(const struct listing *l)
{
    int64_t seq = 0;
    off_t back = NEAR;
    struct reader r;
    char *line;
    size_t n;

    for (; seq == 0; back *= 4) {
        off_t from = back < l->size ? l->size - back : 0;

        gd_reader_init(&r, l->fd, from);
        if (from)
            (void)gd_reader_next(&r, &line, &n);
        while (gd_reader_next(&r, &line, &n) == LINE_OK)
            (void)gd_line_seq(line, n, &seq);
        gd_reader_done(&r);
        if (from == 0)
            break;
    }
    return seq;
}

static int newest(struct listing *l)
{
    int64_t last = last_seq(l), step = (int64_t)l->max;

    for (;; step *= 8) {
        int64_t after = step < last ? last - step : 0;

        json_array_clear(l->out);
        if (scan(l, after, true) != 0)
            return -1;
        if (after == 0 || json_array_size(l->out) == l->max)
            return 0;
    }
}

/* ---- the files of a log ---- */

static int open_one(const char *path, struct listing *l)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    l->fd = fd;
    l->size = fd >= 0 ? st.st_size : 0;
    return fd >= 0 ? 0 : -1;
}

/* The number of its first record is not behind what is asked for. */
static bool begins_before(const struct listing *l, int64_t after)
{
    int64_t seq;
    off_t at;

    return line_behind(l, 0, &seq, &at) && seq <= after + 1;
}

/* What an older file has goes in front. */
static int older(struct listing *l)
{
    json_t *newer = l->out;
    size_t max = l->max;
    int r;

    l->out = json_array();
    l->max -= json_array_size(newer);
    r = newest(l);
    l->max = max;
    json_array_extend(l->out, newer);
    json_decref(newer);
    return r;
}

/* One file after the other, backward for the newest ones, forward from the one that holds the page's first.
 * *ret_next: the number that the file that is written gets when it is closed. */
static int over_files(struct listing *l, const char *path, int64_t after, int64_t *ret_next)
{
    int64_t first = gd_audit_oldest(path), last = first, part;
    int r = 0;

    while (first && gd_audit_has_part(path, last))
        last++;
    *ret_next = last ? last : 1;
    for (part = last; r == 0; part--) { /* last, or 0: the file that is written */
        GD_AUTO_FREE char *name = part == last ? gd_strdup(path) : gd_audit_part_path(path, part);

        if (open_one(name, l) != 0)
            return -1;
        if (after < 0)
            r = older(l);
        else if (part == first || part == 0 || begins_before(l, after))
            break;
        close(l->fd);
        if (after < 0 && (part == first || json_array_size(l->out) >= l->max))
            return r;
    }
    for (; r == 0 && after >= 0; part++) {
        r = scan(l, after, false);
        close(l->fd);
        if (part == last || json_array_size(l->out) >= l->max)
            return r;
        GD_AUTO_FREE char *name = part + 1 == last ? gd_strdup(path) : gd_audit_part_path(path, part + 1);

        if (open_one(name, l) != 0)
            return -1;
    }
    return r;
}

json_t *gd_audit_list(const char *path, int64_t after, size_t max, const char *subject, struct gd_err *err)
{
    struct listing l = { .fd = -1, .max = max, .subject = subject, .out = json_array() };
    int64_t next = 0;
    int r;

    errno = 0;
    do { /* closed meanwhile, what was written may have been looked for in the file behind it */
        json_array_clear(l.out);
        r = over_files(&l, path, after, &next);
    } while (r == 0 && gd_audit_has_part(path, next));
    if (r == 0)
        return l.out;
    gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", path,
               errno == EINVAL ? "not a plain file" : strerror(errno));
    json_decref(l.out);
    return NULL;
}
