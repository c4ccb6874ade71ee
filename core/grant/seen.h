/* grant/seen.h - what a platform shows of a grant (the facts of GD_OP_VERIFY), compared and told. Inside the
 * grant room. */
#ifndef GD_GRANT_SEEN_H
#define GD_GRANT_SEEN_H

#include "grant/broker_int.h"

/* What the grant was made as; NULL: not known. */
struct gd_seen_was {
    const char *role_asked, *role_granted, *account, *scope;
    enum gd_native native;
};
/* JSON list of {"what","asked","observed","text"}; new reference. */
json_t *gd_seen_differences(const struct gd_seen_was *was, const json_t *observed);
/* Facts in the shape of answers: alive as a boolean, account as an object, times as text. New reference. */
json_t *gd_seen_json(const json_t *observed);
/* A date among them, Unix ms; 0: not observed. */
int64_t gd_seen_time(const json_t *observed, const char *key);

#endif
