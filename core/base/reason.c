/* base/reason.c - the table of reason words. */
#include "base/reason.h"

#include <string.h>

static const struct gd_reason_info reasons[GD_R__COUNT] = {
#define GD_REASON(w, a, m, r) [GD_R_##w] = { .word = #w, .meaning = m, .remedy = r, .act = GD_ACT_##a },
#include "base/reasons.def"
#undef GD_REASON
};

const struct gd_reason_info *gd_reason_info(enum gd_reason r)
{
    if ((unsigned)r >= GD_R__COUNT)
        r = GD_R_INTERNAL;
    return &reasons[r];
}

enum gd_reason gd_reason_find(const char *word)
{
    for (unsigned i = 0; i < GD_R__COUNT; i++)
        if (!strcmp(reasons[i].word, word))
            return (enum gd_reason)i;
    return GD_R_INTERNAL;
}
