/* Calls itself by another name than its file. */
#include "bad.h"
GRANTD_PLATFORM(somebody_else, GOOD);
