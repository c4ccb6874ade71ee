/* Two modes of one name. */
#include "bad.h"
static const char *const modes[] = { "a", "a", 0 };
GRANTD_PLATFORM(mode_twice, GOOD, .modes = modes);
