/* grant/vends.c - a table of open addressing that only grows, up to its maximum, and is then emptied. */
#include "grant/vends.h"

#include "base/limits.h"
#include "base/mem.h"
#include "policy/policy.h"

#include <string.h>

#define SLOTS_FIRST 1024

struct vended {
    uint32_t cred, caller; /* caller: number + 1; 0: empty */
    uint32_t gen;
};
struct gd_vends {
    struct vended *slots;
    uint32_t cap, used, max;
    int64_t total;
};

struct gd_vends *gd_vends_new_of(uint32_t max)
{
    struct gd_vends *v = gd_new(sizeof *v);

    v->cap = SLOTS_FIRST;
    v->max = max;
    v->slots = gd_new_array(v->cap, sizeof *v->slots);
    return v;
}

struct gd_vends *gd_vends_new(void)
{
    return gd_vends_new_of(GD_VENDS_MAX);
}

void gd_vends_free(struct gd_vends *v)
{
    if (!v)
        return;
    gd_free(v->slots);
    gd_free(v);
}

static struct vended *vended_at(const struct gd_vends *v, uint32_t cred, uint32_t caller)
{
    uint32_t i = (uint32_t)((((uint64_t)cred << 32 | caller) * 0x9e3779b97f4a7c15u) >> 32) & (v->cap - 1);

    while (v->slots[i].caller && (v->slots[i].cred != cred || v->slots[i].caller != caller + 1))
        i = (i + 1) & (v->cap - 1);
    return &v->slots[i];
}

static void grow(struct gd_vends *v)
{
    struct vended *old = v->slots;
    uint32_t cap = v->cap;

    v->cap *= 2;
    v->slots = gd_new_array(v->cap, sizeof *v->slots);
    for (uint32_t i = 0; i < cap; i++)
        if (old[i].caller)
            *vended_at(v, old[i].cred, old[i].caller - 1) = old[i];
    gd_free(old);
}

static void make_room(struct gd_vends *v)
{
    if ((uint64_t)(v->used + 1) * 4 <= (uint64_t)v->cap * 3)
        return;
    if (v->cap < v->max) {
        grow(v);
        return;
    }
    memset(v->slots, 0, v->cap * sizeof *v->slots);
    v->used = 0;
}

bool gd_vends_knows(const struct gd_vends *v, uint32_t cred, uint32_t caller, uint32_t gen)
{
    const struct vended *s =
        vended_at(v, cred, caller); /* that of nobody: caller + 1 is 0, as in an empty one */

    return s->caller && s->gen == gen;
}

void gd_vends_remember(struct gd_vends *v, uint32_t cred, uint32_t caller, uint32_t gen)
{
    struct vended *s;

    v->total++;
    if (caller == GD_CALLER_UNNUMBERED)
        return;
    make_room(v);
    s = vended_at(v, cred, caller);
    v->used += !s->caller;
    *s = (struct vended){ cred, caller + 1, gen };
}

void gd_vends_again(struct gd_vends *v)
{
    v->total++;
}

int64_t gd_vends_total(const struct gd_vends *v)
{
    return v->total;
}

size_t gd_vends_bytes(const struct gd_vends *v)
{
    return v->cap * sizeof *v->slots;
}
