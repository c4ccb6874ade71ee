/* A field of a type that does not exist. */
#include "bad.h"
static const struct grantd_field fields[] = { { "id", 99, 1, 0, 0, "name" }, { 0 } };
GRANTD_PLATFORM(field_type, GOOD, .caps = GRANTD_CAP_DESCRIBED, .description = fields);
