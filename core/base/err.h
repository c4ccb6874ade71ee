/* base/err.h - an error on its way up: a reason word and a sentence that says what to do.
 * Functions return 0 or a negative number; the last parameter is a struct gd_err that is written only on
 * failure and may be NULL. Rooms carry it up; the edge (rpc, portal, sched) logs it once. */
#ifndef GD_BASE_ERR_H
#define GD_BASE_ERR_H

#include "base/limits.h"
#include "base/reason.h"

#include <stdint.h>

struct gd_err {
    enum gd_reason reason;
    int64_t retry_at; /* Unix ms; 0: not known */
    char text[GD_ERR_TEXT_MAX];
};

/* Fills err (when not NULL) and returns -1, so that `return gd_err_set(err, ...)` reads well. The text is
 * clean as gd_text_clean says, whatever was quoted in it. */
int gd_err_set(struct gd_err *err, enum gd_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* For who fills text by other means. */
void gd_err_clean(struct gd_err *err);

#endif
