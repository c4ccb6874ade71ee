/* Its scan is not its own: it would run a piece of libc. */
#include "bad.h"
#include <stdlib.h>
GRANTD_PLATFORM(foreign_scan, GOOD, .scan = (grantd_fn *)(void (*)(void))abort);
