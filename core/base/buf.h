/* base/buf.h - a growing byte string with a maximum. Errors are sticky: append in ten calls, look once. */
#ifndef GD_BASE_BUF_H
#define GD_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct gd_buf {
    char *ptr; /* always NUL-terminated once something was added; NULL while empty */
    size_t len, cap, max;
    bool failed; /* the maximum was passed; nothing was added by the call that did it */
};

void gd_buf_init(struct gd_buf *b, size_t max);
void gd_buf_done(struct gd_buf *b);  /* wipes and frees the contents */
void gd_buf_clear(struct gd_buf *b); /* keeps the memory */
bool gd_buf_add(struct gd_buf *b, const void *p, size_t n);
bool gd_buf_adds(struct gd_buf *b, const char *s);
bool gd_buf_addc(struct gd_buf *b, char c);
bool gd_buf_addf(struct gd_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends s as a JSON string with its quotes; control characters and non-UTF-8 bytes are escaped. */
bool gd_buf_add_json(struct gd_buf *b, const char *s);
void gd_buf_consume(struct gd_buf *b, size_t n); /* drops the first n bytes */
char *gd_buf_steal(struct gd_buf *b);            /* caller frees with gd_free; "" when empty */

#endif
