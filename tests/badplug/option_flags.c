/* A flag that does not exist. */
#include "bad.h"
static const struct grantd_option options[] = { { .key = "a", .help = "a", .flags = 1u << 20 }, { 0 } };
GRANTD_PLATFORM(option_flags, GOOD, .options = options);
