/* Wants more state than is given. */
#include "bad.h"
GRANTD_PLATFORM(state, GOOD, .state_size = 1u << 30);
