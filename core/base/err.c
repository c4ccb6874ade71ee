/* base/err.c - a sentence may quote what came from outside, and what is too long is cut: it is plain text
 * all the same, for it is stored, shown and answered. */
#include "base/err.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

void gd_err_clean(struct gd_err *err)
{
    size_t n;

    for (char *p = err->text; *p; p += n) {
        n = gd_utf8_len(p);
        if (n == 0 || *p == 0x7f || ((unsigned char)*p < 0x20 && *p != '\n' && *p != '\t')) {
            *p = '?';
            n = 1;
        }
    }
}

int gd_err_set(struct gd_err *err, enum gd_reason reason, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return -1;
    err->reason = reason;
    err->retry_at = 0;
    va_start(ap, fmt);
    (void)vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    gd_err_clean(err);
    return -1;
}
