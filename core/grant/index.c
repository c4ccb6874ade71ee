/* grant/index.c */
#include "grant/index.h"
#include "base/mem.h"

#include <string.h>

static uint32_t hash(const struct gd_id *id)
{
    uint64_t h;

    memcpy(&h, id->b + 8, sizeof h); /* random bytes */
    return (uint32_t)((h * 0x9e3779b97f4a7c15u) >> 32);
}

static const struct gd_id *id_at(const struct gd_id_table *t, uint32_t slot)
{
    return gd_pool_at(t->pool, (slot & (t->cap - 1)) - 1);
}

/* A number is less than cap, so the bits above are free: they hold those of the hash that the place does not
 * tell. Records, which are far away in memory, are looked at when these fit. */
static uint32_t *slot(const struct gd_id_table *t, const struct gd_id *id)
{
    uint32_t h = hash(id), mask = t->cap - 1, i = h & mask;

    while (t->slots[i] && ((t->slots[i] & ~mask) != (h & ~mask) ||
                           memcmp(id_at(t, t->slots[i]), id, sizeof *id) != 0)) /* check:allow an id */
        i = (i + 1) & mask;
    return &t->slots[i];
}

/* Doubled at 3/4 full; the table is all that moves. In the order of the numbers, which is that of the memory.
 */
static void grow(struct gd_id_table *t)
{
    gd_free(t->slots);
    t->cap = t->cap ? t->cap * 2 : 64;
    t->slots = gd_new_array(t->cap, sizeof *t->slots);
    for (uint32_t n = 0, i; n < t->count; n++) {
        uint32_t h = hash(gd_pool_at(t->pool, n)), mask = t->cap - 1;

        for (i = h & mask; t->slots[i]; i = (i + 1) & mask)
            ;
        t->slots[i] = (h & ~mask) | (n + 1);
    }
}

static uint32_t find(const struct gd_id_table *t, const struct gd_id *id)
{
    uint32_t at = t->cap ? *slot(t, id) & (t->cap - 1) : 0;

    return at ? at - 1 : GD_NONE;
}

/* Number of id; made, with *ret_new set, when it is not there. */
static uint32_t add(struct gd_id_table *t, struct gd_pool *pool, const struct gd_id *id, bool *ret_new)
{
    uint32_t *at, n;

    if ((uint64_t)(t->count + 1) * 4 > (uint64_t)t->cap * 3)
        grow(t);
    at = slot(t, id);
    *ret_new = *at == 0;
    if (*at)
        return (*at & (t->cap - 1)) - 1;
    n = gd_pool_add(pool);
    memcpy(gd_pool_at(pool, n), id, sizeof *id);
    *at = (hash(id) & ~(t->cap - 1)) | (n + 1);
    t->count++;
    return n;
}

void gd_index_init(struct gd_index *ix)
{
    *ix = (struct gd_index){ 0 };
    gd_pool_init(&ix->clients, sizeof(struct gd_ix_client));
    gd_pool_init(&ix->creds, sizeof(struct gd_ix_cred));
    gd_pool_init(&ix->grants, sizeof(struct gd_ix_grant));
    ix->client_ids.pool = &ix->clients;
    ix->cred_ids.pool = &ix->creds;
    ix->grant_ids.pool = &ix->grants;
}

void gd_index_done(struct gd_index *ix)
{
    gd_pool_done(&ix->clients);
    gd_pool_done(&ix->creds);
    gd_pool_done(&ix->grants);
    gd_free(ix->client_ids.slots);
    gd_free(ix->cred_ids.slots);
    gd_free(ix->grant_ids.slots);
}

uint32_t gd_index_client(const struct gd_index *ix, const struct gd_id *id)
{
    return find(&ix->client_ids, id);
}

uint32_t gd_index_cred(const struct gd_index *ix, const struct gd_id *id)
{
    return find(&ix->cred_ids, id);
}

uint32_t gd_index_grant(const struct gd_index *ix, const struct gd_id *id)
{
    return find(&ix->grant_ids, id);
}

uint32_t gd_index_add_client(struct gd_index *ix, const struct gd_id *id, uint16_t workspace)
{
    bool is_new;
    uint32_t n = add(&ix->client_ids, &ix->clients, id, &is_new);

    gd_client_at(ix, n)->workspace = workspace;
    return n;
}

uint32_t gd_index_add_cred(struct gd_index *ix, const struct gd_id *id)
{
    bool is_new;
    uint32_t n = add(&ix->cred_ids, &ix->creds, id, &is_new);

    if (is_new) {
        gd_cred_at(ix, n)->first_grant = GD_NONE;
        gd_cred_at(ix, n)->token = GD_NONE;
        gd_cred_at(ix, n)->client = GD_NONE;
    }
    return n;
}

uint32_t gd_index_add_grant(struct gd_index *ix, const struct gd_id *id, uint32_t cred)
{
    bool is_new;
    uint32_t n = add(&ix->grant_ids, &ix->grants, id, &is_new);
    struct gd_ix_grant *g = gd_grant_at(ix, n);

    if (!is_new)
        return n;
    g->cred = cred;
    g->client = g->next_of_cred = GD_NONE;
    if (cred != GD_NONE) {
        g->next_of_cred = gd_cred_at(ix, cred)->first_grant;
        gd_cred_at(ix, cred)->first_grant = n;
    }
    return n;
}

void gd_index_move_grant(struct gd_index *ix, uint32_t grant, uint32_t cred)
{
    struct gd_ix_grant *g = gd_grant_at(ix, grant);
    uint32_t *at;

    if (g->cred == cred || cred == GD_NONE)
        return;
    if (g->cred != GD_NONE) {
        for (at = &gd_cred_at(ix, g->cred)->first_grant; *at != grant;
             at = &gd_grant_at(ix, *at)->next_of_cred)
            ;
        *at = g->next_of_cred;
    }
    g->cred = cred;
    g->next_of_cred = gd_cred_at(ix, cred)->first_grant;
    gd_cred_at(ix, cred)->first_grant = grant;
}

void gd_index_prefetch(const struct gd_index *ix, const struct gd_id *grant)
{
    if (ix->grant_ids.cap)
        __builtin_prefetch(&ix->grant_ids.slots[hash(grant) & (ix->grant_ids.cap - 1)]);
}

size_t gd_index_bytes(const struct gd_index *ix)
{
    return gd_pool_bytes(&ix->clients) + gd_pool_bytes(&ix->creds) + gd_pool_bytes(&ix->grants) +
           ((size_t)ix->client_ids.cap + ix->cred_ids.cap + ix->grant_ids.cap) * sizeof(uint32_t);
}
