/* A mandatory function is missing. */
#include "bad.h"
GRANTD_PLATFORM(no_revoke, GOOD, .revoke = 0);
