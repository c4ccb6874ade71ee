/* An option that nobody explains. */
#include "bad.h"
static const struct grantd_option options[] = { { .key = "a" }, { 0 } };
GRANTD_PLATFORM(option_help, GOOD, .options = options);
