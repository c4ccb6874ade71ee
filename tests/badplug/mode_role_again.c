/* A mode that lists a role twice. */
#include "bad.h"
static const char *const modes[] = { "a", 0 }, *const first[] = { "reader", "reader", 0 };
static const struct grantd_role roles[] = { { "reader", "Reader", "see", "change" }, { 0 } };
static const struct grantd_mode_roles mode_roles[] = { { "a", first }, { 0 } };
GRANTD_PLATFORM(mode_role_again, GOOD, .roles = roles, .modes = modes, .mode_roles = mode_roles);
