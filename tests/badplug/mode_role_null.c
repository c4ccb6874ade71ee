/* A mode whose list of roles is forgotten. */
#include "bad.h"
static const char *const modes[] = { "a", 0 };
static const struct grantd_role roles[] = { { "reader", "Reader", "see", "change" }, { 0 } };
static const struct grantd_mode_roles mode_roles[] = { { "a", 0 }, { 0 } };
GRANTD_PLATFORM(mode_role_null, GOOD, .roles = roles, .modes = modes, .mode_roles = mode_roles);
