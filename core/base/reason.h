/* base/reason.h - stable reason words. The same word stands in RPC errors, on pages, in logs and in the
 * manual. */
#ifndef GD_BASE_REASON_H
#define GD_BASE_REASON_H

enum gd_reason {
#define GD_REASON(word, act, meaning, remedy) GD_R_##word,
#include "base/reasons.def"
#undef GD_REASON
    GD_R__COUNT
};

/* Who has to act; the number is grantctl's exit code. */
enum gd_act {
    GD_ACT_OK = 0,
    GD_ACT_USAGE = 2,
    GD_ACT_NOTFOUND = 3,
    GD_ACT_DENIED = 4,
    GD_ACT_PERSON = 5,
    GD_ACT_LATER = 6,
    GD_ACT_DAEMON = 7,
};

struct gd_reason_info {
    const char *word, *meaning, *remedy;
    enum gd_act act;
};

/* Static data; never NULL, an unknown number gives INTERNAL. */
const struct gd_reason_info *gd_reason_info(enum gd_reason r);
static inline const char *gd_reason_word(enum gd_reason r)
{
    return gd_reason_info(r)->word;
}
/* GD_R_INTERNAL when the word is not in the table. */
enum gd_reason gd_reason_find(const char *word);

#endif
