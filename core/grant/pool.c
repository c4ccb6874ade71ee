/* grant/pool.c */
#include "grant/pool.h"
#include "base/mem.h"

#include <string.h>

void gd_pool_init(struct gd_pool *p, size_t size)
{
    *p = (struct gd_pool){ .size = size };
}

void gd_pool_done(struct gd_pool *p)
{
    for (uint32_t i = 0; i < p->nchunks; i++)
        gd_free(p->chunks[i]);
    gd_free(p->chunks);
    gd_pool_init(p, p->size);
}

uint32_t gd_pool_add(struct gd_pool *p)
{
    if (p->count == p->nchunks * GD_POOL_CHUNK) {
        p->chunks = gd_resize(p->chunks, (p->nchunks + 1) * sizeof *p->chunks);
        p->chunks[p->nchunks++] = gd_new_array(GD_POOL_CHUNK, p->size);
    }
    return p->count++;
}

size_t gd_pool_bytes(const struct gd_pool *p)
{
    return (size_t)p->nchunks * GD_POOL_CHUNK * p->size;
}
