/* A mandatory function is missing. */
#include "bad.h"
GRANTD_PLATFORM(no_grant, GOOD, .grant = 0);
