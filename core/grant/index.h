/* grant/index.h - what the broker knows of every client, credential and grant without asking the store:
 * enough to vend, to schedule and to refuse. Everything else is read when it is needed. Numbers are stable
 * while the process lives. Loop thread. */
#ifndef GD_GRANT_INDEX_H
#define GD_GRANT_INDEX_H

#include "base/id.h"
#include "grant/pool.h"
#include "grant/state.h"

#define GD_NONE UINT32_MAX

struct gd_ix_client {
    struct gd_id id;
    uint16_t workspace; /* number, see broker_int.h */
};
struct gd_ix_cred {
    struct gd_id id;
    int64_t expires_at; /* access token, Unix ms; 0: does not expire */
    uint32_t gen, client;
    uint32_t first_grant; /* list of the grants that reference it, through next_of_cred */
    uint32_t token;       /* slot in the token cache, GD_NONE: none */
    uint16_t app;
    uint8_t status, shape, retry_class, flags;
};
enum {
    GD_IX_REVOKING = 1,    /* a revoke has begun: nothing is vended any more */
    GD_IX_FILED_SMALL = 2, /* the token cache's: its file has the token, in a small place */
    GD_IX_FILED_LARGE = 4, /* or in a large one */
};
struct gd_ix_grant {
    struct gd_id id;
    uint32_t cred, client, next_of_cred; /* cred GD_NONE: native only */
    uint16_t app;
    uint8_t lifecycle, native;
};

/* Open addressing over numbers; the key stands first in the record. */
struct gd_id_table {
    const struct gd_pool *pool;
    uint32_t *slots;     /* number + 1, with bits of the hash above; 0: empty */
    uint32_t cap, count; /* cap: a power of two */
};

struct gd_index {
    struct gd_pool clients, creds, grants;
    struct gd_id_table client_ids, cred_ids, grant_ids;
};
void gd_index_init(struct gd_index *ix);
void gd_index_done(struct gd_index *ix);
/* GD_NONE when absent. */
uint32_t gd_index_client(const struct gd_index *ix, const struct gd_id *id);
uint32_t gd_index_cred(const struct gd_index *ix, const struct gd_id *id);
uint32_t gd_index_grant(const struct gd_index *ix, const struct gd_id *id);
/* Number of the record of that id, made when it is new (*ret_new). */
uint32_t gd_index_add_client(struct gd_index *ix, const struct gd_id *id, uint16_t workspace);
uint32_t gd_index_add_cred(struct gd_index *ix, const struct gd_id *id);
uint32_t gd_index_add_grant(struct gd_index *ix, const struct gd_id *id, uint32_t cred);
/* The grant references that credential from now on. */
void gd_index_move_grant(struct gd_index *ix, uint32_t grant, uint32_t cred);
void gd_index_prefetch(const struct gd_index *ix, const struct gd_id *grant);
size_t gd_index_bytes(const struct gd_index *ix);

static inline struct gd_ix_client *gd_client_at(const struct gd_index *ix, uint32_t i)
{
    return gd_pool_at(&ix->clients, i);
}
static inline struct gd_ix_cred *gd_cred_at(const struct gd_index *ix, uint32_t i)
{
    return gd_pool_at(&ix->creds, i);
}
static inline struct gd_ix_grant *gd_grant_at(const struct gd_index *ix, uint32_t i)
{
    return gd_pool_at(&ix->grants, i);
}

#endif
