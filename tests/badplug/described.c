/* Right, and reads provider descriptions. */
#include "bad.h"
static const struct grantd_field fields[] = { { "id", GRANTD_F_TEXT, 1, 0, 0, "name" },
                                              { "title", GRANTD_F_TEXT, 0, 0, 0, "for people" },
                                              { 0 } };
GRANTD_PLATFORM(described, GOOD, .caps = GRANTD_CAP_DESCRIBED, .description = fields);
