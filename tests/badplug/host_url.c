/* A host with scheme and path. */
#include "bad.h"
static const char *const hosts[] = { "https://example.com/", 0 };
GRANTD_PLATFORM(host_url, GOOD, .hosts = hosts);
