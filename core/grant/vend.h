/* grant/vend.h - the hot path: a living access token for an entitled local caller. One loop turn, no
 * allocation and, after the first of a caller and generation, no disk. Checks the grant's state, the policy
 * and the audit decision every time; never answers from anything that a revoke on this node has not reached.
 * Loop thread. */
#ifndef GD_GRANT_VEND_H
#define GD_GRANT_VEND_H

#include "grant/broker.h"

struct gd_vend {
    char token[GD_TOKEN_MAX]; /* NUL-terminated; wipe after use with gd_wipe(token, len) */
    size_t len;
    int64_t expires_at; /* Unix ms; 0: does not expire */
    uint32_t gen;
};
enum gd_vend_end {
    GD_VEND_OK,      /* answer it */
    GD_VEND_LATER,   /* needs the store, the audit log or a refresh: take gd_grant_token */
    GD_VEND_REFUSED, /* err says why; answer it */
};
/* Brings what the lookup will touch into the cache; call it for every request of a poll before the first
 * gd_vend_try. */
void gd_vend_prefetch(struct gd_broker *b, const struct gd_id *grant);
/* workspace NULL: "main". */
enum gd_vend_end gd_vend_try(struct gd_broker *b, const struct gd_policy *policy, const struct gd_caller *c,
                             const char *workspace, const struct gd_id *grant, struct gd_vend *out,
                             struct gd_err *err);
/* After gd_grant_token has answered this caller: the next gd_vend_try of the same generation needs no audit.
 */

#endif
