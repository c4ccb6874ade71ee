/* Two options of one key. */
#include "bad.h"
static const struct grantd_option options[] = { { .key = "a", .help = "a" },
                                                { .key = "a", .help = "a" },
                                                { 0 } };
GRANTD_PLATFORM(option_twice, GOOD, .options = options);
