/* A shape that does not exist. */
#include "bad.h"
GRANTD_PLATFORM(shape, GOOD, .shape = 77);
