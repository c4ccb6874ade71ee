/* grant/pool.h - millions of small records by number, in chunks that never move. */
#ifndef GD_GRANT_POOL_H
#define GD_GRANT_POOL_H

#include <stddef.h>
#include <stdint.h>

#define GD_POOL_CHUNK 65536u /* records in one chunk */

struct gd_pool {
    char **chunks;
    size_t size; /* bytes of a record */
    uint32_t count, nchunks;
};
void gd_pool_init(struct gd_pool *p, size_t size);
void gd_pool_done(struct gd_pool *p);
uint32_t gd_pool_add(struct gd_pool *p); /* number of a zeroed record */
static inline void *gd_pool_at(const struct gd_pool *p, uint32_t i)
{
    return p->chunks[i / GD_POOL_CHUNK] + (size_t)(i % GD_POOL_CHUNK) * p->size;
}
size_t gd_pool_bytes(const struct gd_pool *p);

#endif
