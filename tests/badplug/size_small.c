/* Says that its table ends before the mandatory functions. */
#include "bad.h"
TABLE;
const struct grantd_platform grantd_platform_v1 = { HEAD(size_small), .size = 16, GOOD };
