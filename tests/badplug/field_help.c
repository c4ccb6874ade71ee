/* A field that nobody explains. */
#include "bad.h"
static const struct grantd_field fields[] = { { "id", GRANTD_F_TEXT, 1, 0, 0, 0 }, { 0 } };
GRANTD_PLATFORM(field_help, GOOD, .caps = GRANTD_CAP_DESCRIBED, .description = fields);
