/* base/rng.h - randomness as an argument. crypto/ gives the real one; tests and the simulator a seeded one.
 */
#ifndef GD_BASE_RNG_H
#define GD_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct gd_rng {
    void (*bytes)(struct gd_rng *r, void *out, size_t n); /* never fails: a dead source ends the process */
};

static inline void gd_rng_bytes(struct gd_rng *r, void *out, size_t n)
{
    r->bytes(r, out, n);
}
uint64_t gd_rng_u64(struct gd_rng *r);
/* Uniform in [0, n); 0 when n is 0. */
uint64_t gd_rng_below(struct gd_rng *r, uint64_t n);

/* xoshiro256**: repeatable, not secret. For tests, jitter and the simulator only. */
struct gd_rng_seeded {
    struct gd_rng rng; /* first */
    uint64_t s[4];
};
void gd_rng_seed(struct gd_rng_seeded *r, uint64_t seed);

#endif
