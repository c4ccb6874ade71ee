/* A type that does not exist. */
#include "bad.h"
static const struct grantd_option options[] = { { .key = "a", .help = "a", .type = 99 }, { 0 } };
GRANTD_PLATFORM(option_type, GOOD, .options = options);
