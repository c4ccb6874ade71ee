/* Says that its table is larger than the symbol in the file. */
#include "bad.h"
TABLE;
const struct grantd_platform grantd_platform_v1 = { HEAD(size_lies),
                                                    .size = sizeof(struct grantd_platform) + 64, GOOD };
