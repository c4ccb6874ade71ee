/* A number whose default is none. */
#include "bad.h"
static const struct grantd_option options[] = {
    { .key = "a", .help = "a", .type = GRANTD_INT, .dflt = "many" }, { 0 }
};
GRANTD_PLATFORM(option_default, GOOD, .options = options);
