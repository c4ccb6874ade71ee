/* A table of fields without the capability that makes it one. */
#include "bad.h"
static const struct grantd_field fields[] = { { "id", GRANTD_F_TEXT, 1, 0, 0, "name" }, { 0 } };
GRANTD_PLATFORM(fields_alone, GOOD, .description = fields);
