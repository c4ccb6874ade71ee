/* A secret that apps are to have alike. */
#include "bad.h"
static const struct grantd_option options[] = {
    { .key = "secret", .help = "a secret", .flags = GRANTD_OPT_SECRET | GRANTD_OPT_ALIKE },
    { 0 },
};
GRANTD_PLATFORM(option_alike, GOOD, .options = options);
