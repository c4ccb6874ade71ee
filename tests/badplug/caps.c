/* Asks for a capability that this host does not know. */
#include "bad.h"
GRANTD_PLATFORM(caps, GOOD, .caps = 1u << 30);
