/* modules.c - the platforms that the sandbox plays. */
#include "sandbox.h"

const struct sb_platform *const sb_platforms[] = { &sb_tiktok,   &sb_meta,    &sb_google,
                                                   &sb_linkedin, &sb_shopify, NULL };
