/* Roles of a mode that there is not. */
#include "bad.h"
static const char *const modes[] = { "a", 0 }, *const first[] = { "reader", 0 };
static const struct grantd_role roles[] = { { "reader", "Reader", "see", "change" }, { 0 } };
static const struct grantd_mode_roles mode_roles[] = { { "b", first }, { 0 } };
GRANTD_PLATFORM(mode_role_mode, GOOD, .roles = roles, .modes = modes, .mode_roles = mode_roles);
