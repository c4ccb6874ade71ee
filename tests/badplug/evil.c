/* Runs when it is loaded, and leaves a mark: no check after dlopen can undo that, so those before it must
 * hold. */
#include "bad.h"
#include <stdlib.h>
__attribute__((constructor)) static void mark(void)
{
    setenv("GRANTD_EVIL_WAS_HERE", "1", 1);
}
GRANTD_PLATFORM(evil, GOOD);
