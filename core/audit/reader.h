/* audit/reader.h - of this room: the lines of a log, one by one, in one buffer. */
#ifndef GD_AUDIT_READER_H
#define GD_AUDIT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define GD_AUDIT_LINE_MAX (1024 * 1024) /* a checkpoint with its counts is the longest */

enum line { LINE_OK, LINE_END, LINE_TORN, LINE_LONG, LINE_ERROR }; /* ERROR: errno says why */

struct reader {
    int fd;
    char *buf;
    size_t at, len, cap; /* at: start of the next line within buf */
    off_t offset;        /* in the file, of the next line */
    off_t stop;          /* nothing at or behind it is read; 0: the file's end */
};

void gd_reader_init(struct reader *r, int fd, off_t offset);
void gd_reader_done(struct reader *r);
/* The line without its newline, valid until the next call. line[-1] may be written to. */
enum line gd_reader_next(struct reader *r, char **ret_line, size_t *ret_n);

#endif
