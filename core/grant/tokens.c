/* grant/tokens.c - slots of a few sizes in one table of entries; the hand goes round and throws out what was
 * not asked for since it last came by. */
#include "grant/tokens.h"
#include "base/mem.h"

#include <string.h>

struct entry {
    unsigned char *sealed; /* NULL: free */
    uint32_t cred;
    uint16_t len; /* of the sealed bytes */
    uint8_t asked;
};

struct gd_tokens {
    struct gd_index *ix;
    struct gd_memseal *seal;
    struct entry *entries;
    uint32_t cap, count, hand, free_hint;
    size_t bytes, max_bytes;
};

struct gd_tokens *gd_tokens_new(struct gd_index *ix, size_t max_bytes, struct gd_rng *rng)
{
    struct gd_tokens *t = gd_new(sizeof *t);

    t->ix = ix;
    t->seal = gd_memseal_new(rng);
    t->max_bytes = max_bytes;
    return t;
}

void gd_tokens_free(struct gd_tokens *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->cap; i++)
        gd_free(t->entries[i].sealed);
    gd_free(t->entries);
    gd_memseal_free(t->seal);
    gd_free(t);
}

static size_t cost(size_t sealed)
{
    return sealed + 16 + sizeof(struct entry); /* the allocator's header */
}

static void drop_entry(struct gd_tokens *t, uint32_t i)
{
    struct entry *e = &t->entries[i];

    t->bytes -= cost(e->len);
    gd_cred_at(t->ix, e->cred)->token = GD_NONE;
    gd_free(e->sealed);
    *e = (struct entry){ 0 };
    t->count--;
    t->free_hint = i;
}

void gd_tokens_drop(struct gd_tokens *t, uint32_t cred)
{
    uint32_t i = gd_cred_at(t->ix, cred)->token;

    if (i != GD_NONE)
        drop_entry(t, i);
}

static void make_room(struct gd_tokens *t, size_t need)
{
    while (t->count && t->bytes + need > t->max_bytes) {
        struct entry *e = &t->entries[t->hand];

        if (e->sealed && !e->asked)
            drop_entry(t, t->hand);
        else
            e->asked = 0;
        t->hand = (t->hand + 1) % t->cap;
    }
}

static uint32_t free_entry(struct gd_tokens *t)
{
    uint32_t i = t->free_hint;

    if (t->count == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 256;

        t->entries = gd_resize(t->entries, cap * sizeof *t->entries);
        memset(t->entries + t->cap, 0, (cap - t->cap) * sizeof *t->entries);
        i = t->cap;
        t->cap = cap;
    }
    while (t->entries[i].sealed)
        i = (i + 1) % t->cap;
    t->free_hint = (i + 1) % t->cap;
    return i;
}

void gd_tokens_put(struct gd_tokens *t, uint32_t cred, const char *token, size_t n)
{
    size_t len = n + GD_MEMSEAL_OVERHEAD;
    uint32_t i;

    gd_tokens_drop(t, cred);
    if (n >= GD_TOKEN_MAX || cost(len) > t->max_bytes)
        return;
    make_room(t, cost(len));
    i = free_entry(t);
    t->entries[i] = (struct entry){ .sealed = gd_new(len), .cred = cred, .len = (uint16_t)len };
    gd_memseal_seal(t->seal, t->entries[i].sealed, &gd_cred_at(t->ix, cred)->id, sizeof(struct gd_id), token,
                    n);
    gd_cred_at(t->ix, cred)->token = i;
    t->bytes += cost(len);
    t->count++;
}

long gd_tokens_get(struct gd_tokens *t, uint32_t cred, char *out, size_t cap)
{
    const struct gd_ix_cred *c = gd_cred_at(t->ix, cred);
    struct entry *e;
    size_t n;

    if (c->token == GD_NONE)
        return -1;
    e = &t->entries[c->token];
    n = (size_t)e->len - GD_MEMSEAL_OVERHEAD;
    if (n >= cap || !gd_memseal_open(t->seal, out, &c->id, sizeof c->id, e->sealed, e->len))
        return -1;
    out[n] = '\0';
    e->asked = 1;
    return (long)n;
}

void gd_tokens_prefetch(const struct gd_tokens *t, uint32_t cred)
{
    uint32_t i = gd_cred_at(t->ix, cred)->token;

    if (i == GD_NONE)
        return;
    __builtin_prefetch(t->entries[i].sealed);
    __builtin_prefetch(t->entries[i].sealed + 64);
}

size_t gd_tokens_bytes(const struct gd_tokens *t)
{
    return t->bytes + (size_t)(t->cap - t->count) * sizeof(struct entry);
}

size_t gd_tokens_count(const struct gd_tokens *t)
{
    return t->count;
}
