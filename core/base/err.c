/* base/err.c */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

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
    return -1;
}
