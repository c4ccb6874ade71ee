/* Does its own output. */
#include "../bad.h"
#include <stdio.h>
static grantd_next *renew(grantd_op *op)
{
    printf("refreshing %s\n", grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN));
    return grantd_finish(op);
}
GRANTD_PLATFORM(prints, GOOD, .refresh = renew);
