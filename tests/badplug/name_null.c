/* Has no name at all. */
#include "bad.h"
TABLE;
const struct grantd_platform grantd_platform_v1 = { HEAD(name_null), .name = 0, GOOD };
