/* A secret with a default is no secret. */
#include "bad.h"
static const struct grantd_option options[] = {
    { .key = "a", .help = "a", .flags = GRANTD_OPT_SECRET, .dflt = "changeme" }, { 0 }
};
GRANTD_PLATFORM(option_secret, GOOD, .options = options);
