/* Keeps state of its own and exports a helper: loads, but lint and the interleaved run must see it. */
#include "bad.h"
static int calls[16];
__attribute__((visibility("default"))) int helper(void);
int helper(void)
{
    return ++calls[0];
}
static grantd_next *counts(grantd_op *op)
{
    return grantd_done(op, .redirect_url = grantd_strf(op, "https://example.com/%d", helper()));
}
GRANTD_PLATFORM(globals, GOOD, .request = counts);
