/* Two roles of one name. */
#include "bad.h"
static const struct grantd_role roles[] = { { "a", "A", "see", "do" }, { "a", "A", "see", "do" }, { 0 } };
GRANTD_PLATFORM(role_twice, GOOD, .roles = roles);
