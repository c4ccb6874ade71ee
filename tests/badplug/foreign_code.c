/* One of its functions is not its own: it would run a piece of libc. */
#include "bad.h"
#include <stdlib.h>
GRANTD_PLATFORM(foreign_code, GOOD, .grant = (grantd_fn *)(void (*)(void))abort);
