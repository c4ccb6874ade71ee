/* Nobody could be shown what it is. */
#include "bad.h"
GRANTD_PLATFORM(no_title, GOOD, .title = "");
