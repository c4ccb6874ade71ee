/* bad.h - what the plugins of this folder have right; each includes it and gets one thing wrong. */
#ifndef BADPLUG_BAD_H
#define BADPLUG_BAD_H

#include <grantd/platform.h>

static inline grantd_next *fine(grantd_op *op)
{
    return grantd_finish(op);
}
#define GOOD                                                                                     \
    .title = "Bad", .shape = GRANTD_SHAPE_SEAT, .request = fine, .grant = fine, .refresh = fine, \
    .revoke = fine

/* The table by hand, where the macro would not let it go wrong. */
#define TABLE    __attribute__((visibility("default"))) extern const struct grantd_platform grantd_platform_v1
#define HEAD(id) .abi = GRANTD_ABI, .size = sizeof(struct grantd_platform), .name = #id

#endif
