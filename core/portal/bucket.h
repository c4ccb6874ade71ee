/* portal/bucket.h - token buckets for many keys in fixed memory. A bucket is one number, the time at which it
 * will be full again (GCRA); a full bucket and one that is not there are the same, so that the fullest may be
 * forgotten when there is no room. Keys are hashed under a key of this process: nobody can aim at another's
 * slot. */
#ifndef GD_PORTAL_BUCKET_H
#define GD_PORTAL_BUCKET_H

#include "base/rng.h"

#include <stddef.h>
#include <stdint.h>

struct gd_portal_buckets;

/* burst tokens at once, one more every interval_ms. */
struct gd_portal_buckets *gd_portal_buckets_new(unsigned burst, int64_t interval_ms, struct gd_rng *rng);
void gd_portal_buckets_free(struct gd_portal_buckets *b); /* NULL is fine */
/* Takes a token. 0, or the milliseconds until there is one; then nothing was taken. */
int64_t gd_portal_bucket_take(struct gd_portal_buckets *b, const void *key, size_t n, int64_t now);
/* Takes a token even when there is none (a debt of at most one burst). Milliseconds in debt, 0 when none. */
int64_t gd_portal_bucket_force(struct gd_portal_buckets *b, const void *key, size_t n, int64_t now);
/* As gd_portal_bucket_take, but takes nothing. */
int64_t gd_portal_bucket_look(struct gd_portal_buckets *b, const void *key, size_t n, int64_t now);

#endif
