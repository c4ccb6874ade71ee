/* Grace without its seconds. */
#include "bad.h"
GRANTD_PLATFORM(grace, GOOD, .retry_class = GRANTD_RETRY_GRACE);
