/* A retry class that does not exist. */
#include "bad.h"
GRANTD_PLATFORM(retry_class, GOOD, .retry_class = 77);
