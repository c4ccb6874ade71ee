/* The default of a mode is no role of the platform. */
#include "bad.h"
static const char *const modes[] = { "a", 0 }, *const first[] = { "owner", 0 };
static const struct grantd_role roles[] = { { "reader", "Reader", "see", "change" }, { 0 } };
static const struct grantd_mode_roles mode_roles[] = { { "a", first }, { 0 } };
GRANTD_PLATFORM(mode_role, GOOD, .roles = roles, .modes = modes, .mode_roles = mode_roles);
