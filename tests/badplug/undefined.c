/* Needs a function that nobody has (linked without -z defs). */
#include "bad.h"
extern grantd_next *nobody_has_this(grantd_op *op);
static grantd_next *calls(grantd_op *op)
{
    return nobody_has_this(op);
}
GRANTD_PLATFORM(undefined, GOOD, .grant = calls);
