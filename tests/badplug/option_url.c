/* A URL whose default is plain http. */
#include "bad.h"
static const struct grantd_option options[] = {
    { .key = "a", .help = "a", .type = GRANTD_URL, .dflt = "http://example.com" }, { 0 }
};
GRANTD_PLATFORM(option_url, GOOD, .options = options);
