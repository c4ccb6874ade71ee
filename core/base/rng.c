/* base/rng.c */
#include "base/rng.h"

#include <string.h>

uint64_t gd_rng_u64(struct gd_rng *r)
{
    uint64_t v;

    r->bytes(r, &v, sizeof v);
    return v;
}

uint64_t gd_rng_below(struct gd_rng *r, uint64_t n)
{
    uint64_t limit, v;

    if (n == 0)
        return 0;
    limit = UINT64_MAX - UINT64_MAX % n;
    do
        v = gd_rng_u64(r);
    while (v >= limit);
    return v % n;
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static uint64_t step(uint64_t *s)
{
    uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

static void seeded_bytes(struct gd_rng *r, void *out, size_t n)
{
    struct gd_rng_seeded *x = (struct gd_rng_seeded *)r;
    char *o = out;

    while (n) {
        uint64_t v = step(x->s);
        size_t k = n < sizeof v ? n : sizeof v;

        memcpy(o, &v, k);
        o += k;
        n -= k;
    }
}

void gd_rng_seed(struct gd_rng_seeded *r, uint64_t seed)
{
    r->rng.bytes = seeded_bytes;
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = (seed += 0x9e3779b97f4a7c15u);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}
