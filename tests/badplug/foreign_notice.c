/* Its notice is not its own: it would run a piece of libc. */
#include "bad.h"
#include <stdlib.h>
GRANTD_PLATFORM(foreign_notice, GOOD, .notice = (grantd_fn *)(void (*)(void))abort);
