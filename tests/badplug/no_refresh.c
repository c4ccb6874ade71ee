/* A mandatory function is missing. */
#include "bad.h"
GRANTD_PLATFORM(no_refresh, GOOD, .refresh = 0);
