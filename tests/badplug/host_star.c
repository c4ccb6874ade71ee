/* Every host of a top level domain. */
#include "bad.h"
static const char *const hosts[] = { "*.com", 0 };
GRANTD_PLATFORM(host_star, GOOD, .hosts = hosts);
