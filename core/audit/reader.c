/* audit/reader.c */
#include "audit/reader.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CAP (2 * GD_AUDIT_LINE_MAX)

void gd_reader_init(struct reader *r, int fd, off_t offset)
{
    /* One byte in front of the first line, for those that need line[-1]. */
    *r = (struct reader){ .fd = fd, .buf = gd_new(CAP), .at = 1, .len = 1, .cap = CAP, .offset = offset };
}

void gd_reader_done(struct reader *r)
{
    gd_free(r->buf);
    *r = (struct reader){ .fd = -1 };
}

/* Reads on behind what is there; 0 at the end, -1 with errno. */
static ssize_t fill(struct reader *r)
{
    off_t from = r->offset + (off_t)(r->len - r->at);
    size_t room;
    ssize_t n;

    if (r->at > 1) {
        memmove(r->buf + 1, r->buf + r->at, r->len - r->at);
        r->len -= r->at - 1;
        r->at = 1;
    }
    room = r->cap - r->len;
    if (r->stop && (off_t)room > r->stop - from)
        room = (size_t)(r->stop - from);
    do
        n = pread(r->fd, r->buf + r->len, room, from);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        r->len += (size_t)n;
    return n;
}

enum line gd_reader_next(struct reader *r, char **ret_line, size_t *ret_n)
{
    size_t searched = 0;
    char *end;
    ssize_t n;

    while (!(end = memchr(r->buf + r->at + searched, '\n', r->len - r->at - searched))) {
        searched = r->len - r->at;
        if (searched > GD_AUDIT_LINE_MAX)
            return LINE_LONG;
        n = fill(r);
        if (n < 0)
            return LINE_ERROR;
        if (n == 0) {
            *ret_line = r->buf + r->at;
            *ret_n = searched;
            return searched ? LINE_TORN : LINE_END;
        }
    }
    *ret_line = r->buf + r->at;
    *ret_n = (size_t)(end - *ret_line);
    r->at += *ret_n + 1;
    r->offset += (off_t)*ret_n + 1;
    return LINE_OK;
}
