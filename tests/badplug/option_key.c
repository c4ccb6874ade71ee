/* An option whose key nobody could write in YAML. */
#include "bad.h"
static const struct grantd_option options[] = { { .key = "A key", .help = "a" }, { 0 } };
GRANTD_PLATFORM(option_key, GOOD, .options = options);
