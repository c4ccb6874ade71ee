/* grant/tokens.c - one table of entries; the hand goes round and throws out what was not asked for since it
 * last came by. With a file below, every token is written there once, and memory is for what is asked for
 * again and again: of what had to be read from the file, one in sixteen comes back to memory, so that a sweep
 * over all grants pushes out little.
 *
 * What is sealed is bound to credential and generation: an older token never opens as a newer one's. */
#include "grant/tokens.h"
#include "base/mem.h"
#include "grant/tokenfile.h"

#include <string.h>

#define BACK_EVERY 16
#define SEALED_MAX (GD_TOKEN_MAX + GD_MEMSEAL_OVERHEAD)

struct entry {
    unsigned char *sealed; /* NULL: free */
    uint32_t cred;
    uint16_t len; /* of the sealed bytes */
    uint8_t asked;
};

struct gd_tokens {
    struct gd_index *ix;
    struct gd_memseal *seal;
    struct gd_tokenfile *file;        /* NULL: memory alone */
    unsigned read;                    /* from the file */
    unsigned char sealed[SEALED_MAX]; /* on its way between the levels */
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
    gd_tokenfile_free(t->file);
    gd_memseal_free(t->seal);
    gd_free(t);
}

int gd_tokens_add_file(struct gd_tokens *t, const char *dir, struct gd_err *err)
{
    t->file = gd_tokenfile_open(dir, err);
    return t->file ? 0 : -1;
}

/* ---- where the file has it: two bits of the credential's flags ---- */

static enum gd_filed filed(const struct gd_ix_cred *c)
{
    return c->flags & GD_IX_FILED_SMALL   ? GD_FILED_SMALL
           : c->flags & GD_IX_FILED_LARGE ? GD_FILED_LARGE
                                          : GD_FILED_NOT;
}

static void set_filed(struct gd_ix_cred *c, enum gd_filed how)
{
    c->flags &= (uint8_t) ~(GD_IX_FILED_SMALL | GD_IX_FILED_LARGE);
    if (how != GD_FILED_NOT)
        c->flags |= how == GD_FILED_SMALL ? GD_IX_FILED_SMALL : GD_IX_FILED_LARGE;
}

/* ---- memory ---- */

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

    set_filed(gd_cred_at(t->ix, cred), GD_FILED_NOT);
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

static bool has_room(const struct gd_tokens *t, size_t need)
{
    return t->bytes + need <= t->max_bytes;
}

/* Takes len sealed bytes into memory. */
static void keep(struct gd_tokens *t, uint32_t cred, const unsigned char *sealed, size_t len)
{
    uint32_t i;

    if (cost(len) > t->max_bytes)
        return;
    make_room(t, cost(len));
    i = free_entry(t);
    t->entries[i] = (struct entry){ .sealed = gd_new(len), .cred = cred, .len = (uint16_t)len };
    memcpy(t->entries[i].sealed, sealed, len);
    gd_cred_at(t->ix, cred)->token = i;
    t->bytes += cost(len);
    t->count++;
}

/* ---- both levels ---- */

struct bound { /* what a sealed token belongs to; no padding */
    struct gd_id id;
    uint32_t gen;
};
_Static_assert(sizeof(struct bound) == 20, "no padding is sealed");

static struct bound bound_of(const struct gd_ix_cred *c)
{
    return (struct bound){ c->id, c->gen };
}

void gd_tokens_put(struct gd_tokens *t, uint32_t cred, const char *token, size_t n)
{
    struct gd_ix_cred *c = gd_cred_at(t->ix, cred);
    struct bound b = bound_of(c);
    size_t len = n + GD_MEMSEAL_OVERHEAD;
    bool was_asked = c->token != GD_NONE;

    gd_tokens_drop(t, cred);
    if (n >= GD_TOKEN_MAX)
        return;
    gd_memseal_seal(t->seal, t->sealed, &b, sizeof b, token, n);
    if (t->file)
        set_filed(c, gd_tokenfile_write(t->file, cred, t->sealed, len));
    if (filed(c) == GD_FILED_NOT || was_asked || has_room(t, cost(len)))
        keep(t, cred, t->sealed, len);
}

bool gd_tokens_has(const struct gd_tokens *t, uint32_t cred)
{
    const struct gd_ix_cred *c = gd_cred_at(t->ix, cred);

    return c->token != GD_NONE || filed(c) != GD_FILED_NOT;
}

void gd_tokens_found(struct gd_tokens *t, uint32_t cred, const char *token, size_t n)
{
    if (filed(gd_cred_at(t->ix, cred)) == GD_FILED_NOT)
        gd_tokens_put(t, cred, token, n);
}

static long open_sealed(struct gd_tokens *t, const struct gd_ix_cred *c, const unsigned char *sealed,
                        size_t len, char *out, size_t cap)
{
    struct bound b = bound_of(c);
    size_t n = len - GD_MEMSEAL_OVERHEAD;

    if (len < GD_MEMSEAL_OVERHEAD || n >= cap || !gd_memseal_open(t->seal, out, &b, sizeof b, sealed, len))
        return -1;
    out[n] = '\0';
    return (long)n;
}

static long get_filed(struct gd_tokens *t, uint32_t cred, char *out, size_t cap)
{
    struct gd_ix_cred *c = gd_cred_at(t->ix, cred);
    long len = t->file ? gd_tokenfile_read(t->file, cred, filed(c), t->sealed, sizeof t->sealed) : -1, n;

    if (len < 0)
        return -1;
    n = open_sealed(t, c, t->sealed, (size_t)len, out, cap);
    if (n < 0) /* somebody touched it: written anew when it is found again */
        set_filed(c, GD_FILED_NOT);
    if (n >= 0 && (has_room(t, cost((size_t)len)) || ++t->read % BACK_EVERY == 0))
        keep(t, cred, t->sealed, (size_t)len);
    return n;
}

long gd_tokens_get(struct gd_tokens *t, uint32_t cred, char *out, size_t cap)
{
    const struct gd_ix_cred *c = gd_cred_at(t->ix, cred);
    struct entry *e;

    if (c->token == GD_NONE)
        return get_filed(t, cred, out, cap);
    e = &t->entries[c->token];
    e->asked = 1;
    return open_sealed(t, c, e->sealed, e->len, out, cap);
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

int64_t gd_tokens_file_bytes(const struct gd_tokens *t)
{
    return t->file ? gd_tokenfile_bytes(t->file) : 0;
}
