/* The one that must load, beside all the others. */
#include "bad.h"
GRANTD_PLATFORM(good, GOOD);
