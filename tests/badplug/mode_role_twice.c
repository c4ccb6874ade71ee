/* One mode whose roles are listed twice, differently. */
#include "bad.h"
static const char *const modes[] = { "a", 0 }, *const first[] = { "reader", 0 }, *const none[] = { 0 };
static const struct grantd_role roles[] = { { "reader", "Reader", "see", "change" }, { 0 } };
static const struct grantd_mode_roles mode_roles[] = { { "a", first }, { "a", none }, { 0 } };
GRANTD_PLATFORM(mode_role_twice, GOOD, .roles = roles, .modes = modes, .mode_roles = mode_roles);
