/* A role that does not say what it may not do. */
#include "bad.h"
static const struct grantd_role roles[] = { { "a", "A", "see", "" }, { 0 } };
GRANTD_PLATFORM(role_text, GOOD, .roles = roles);
