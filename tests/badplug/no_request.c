/* A mandatory function is missing. */
#include "bad.h"
GRANTD_PLATFORM(no_request, GOOD, .request = 0);
