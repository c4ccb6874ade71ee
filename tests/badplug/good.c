/* The one that must load, beside all the others. */
#include "bad.h"
static const struct grantd_role roles[] = { { "reader", "Reader", "see", "change" },
                                            { "writer", "Writer", "change", "pay" },
                                            { "owner", "Owner", "do all", "leave" },
                                            { 0 } };
static const char *const modes[] = { "share", "seat", "token", 0 };
static const char *const seats[] = { "owner", "reader", 0 }, *const none[] = { 0 };
static const struct grantd_mode_roles mode_roles[] = { { "seat", seats }, { "token", none }, { 0 } };
GRANTD_PLATFORM(good, GOOD, .roles = roles, .modes = modes, .mode_roles = mode_roles);
