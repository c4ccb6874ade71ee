/* A choice without choices. */
#include "bad.h"
static const struct grantd_option options[] = { { .key = "a", .help = "a", .type = GRANTD_ENUM }, { 0 } };
GRANTD_PLATFORM(option_enum, GOOD, .options = options);
