/* Made for a version of the contract that does not exist. */
#include "bad.h"
TABLE;
const struct grantd_platform grantd_platform_v1 = { HEAD(abi), .abi = 4711, GOOD };
