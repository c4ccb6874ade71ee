/* portal/bucket.c - see bucket.h. 1,024 sets of four slots. */
#include "portal/bucket.h"

#include "base/mem.h"
#include "log/siphash.h"

#define SETS 1024
#define WAYS 4

struct slot {
    uint64_t hash; /* 0: empty */
    int64_t full;  /* when the bucket is full again */
};
struct gd_portal_buckets {
    struct slot slots[SETS][WAYS];
    unsigned char key[16];
    int64_t interval, depth; /* depth: burst * interval */
};

struct gd_portal_buckets *gd_portal_buckets_new(unsigned burst, int64_t interval_ms, struct gd_rng *rng)
{
    struct gd_portal_buckets *b = gd_new(sizeof *b);

    b->interval = interval_ms;
    b->depth = (int64_t)burst * interval_ms;
    gd_rng_bytes(rng, b->key, sizeof b->key);
    return b;
}

void gd_portal_buckets_free(struct gd_portal_buckets *b)
{
    gd_free(b);
}

/* The key's slot, or the fullest one of its set, made empty. */
static struct slot *find(struct gd_portal_buckets *b, const void *key, size_t n, int64_t now)
{
    uint64_t hash = gd_log_siphash(b->key, key, n) | 1;
    struct slot *set = b->slots[(hash >> 1) % SETS], *least = set;

    for (struct slot *s = set; s < set + WAYS; s++) {
        if (s->hash == hash)
            return s;
        if (s->full < least->full)
            least = s;
    }
    *least = (struct slot){ .hash = hash, .full = now };
    return least;
}

int64_t gd_portal_bucket_look(struct gd_portal_buckets *b, const void *key, size_t n, int64_t now)
{
    struct slot *s = find(b, key, n, now);
    int64_t after = (s->full > now ? s->full : now) + b->interval - now;

    return after > b->depth ? after - b->depth : 0;
}

int64_t gd_portal_bucket_take(struct gd_portal_buckets *b, const void *key, size_t n, int64_t now)
{
    int64_t wait = gd_portal_bucket_look(b, key, n, now);
    struct slot *s = find(b, key, n, now);

    if (wait == 0)
        s->full = (s->full > now ? s->full : now) + b->interval;
    return wait;
}

int64_t gd_portal_bucket_force(struct gd_portal_buckets *b, const void *key, size_t n, int64_t now)
{
    int64_t wait = gd_portal_bucket_look(b, key, n, now);
    struct slot *s = find(b, key, n, now);

    s->full = (s->full > now ? s->full : now) + b->interval;
    if (s->full > now + 2 * b->depth)
        s->full = now + 2 * b->depth;
    return wait;
}
