/* base/map.c */
#include "base/map.h"
#include "base/mem.h"

#include <string.h>

static uint64_t stir(uint64_t h)
{
    h *= 0x9fb21c651e98df25u;
    return h ^ h >> 32;
}

/* Eight bytes a step: byte by byte, each waits for the multiplication before it. */
uint64_t gd_hash_text(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u, v;
    size_t n = strlen(s);

    for (h ^= n; n >= sizeof v; n -= sizeof v, s += sizeof v) {
        memcpy(&v, s, sizeof v);
        h = stir(h ^ v);
    }
    v = 0;
    memcpy(&v, s, n);
    return stir(stir(h ^ v));
}

/* The entry of key, or the empty one where it would stand. */
static struct gd_map_entry *slot(const struct gd_map *m, const char *key)
{
    size_t i = gd_hash_text(key) & (m->cap - 1);

    while (m->entries[i].key && strcmp(m->entries[i].key, key) != 0)
        i = (i + 1) & (m->cap - 1);
    return &m->entries[i];
}

static void grow(struct gd_map *m)
{
    struct gd_map old = *m;

    m->cap = old.cap ? old.cap * 2 : 16;
    m->entries = gd_new_array(m->cap, sizeof *m->entries);
    for (size_t i = 0; i < old.cap; i++)
        if (old.entries[i].key)
            *slot(m, old.entries[i].key) = old.entries[i];
    gd_free(old.entries);
}

void *gd_map_get(const struct gd_map *m, const char *key)
{
    return m->cap && key ? slot(m, key)->value : NULL;
}

void *gd_map_set(struct gd_map *m, const char *key, void *value)
{
    struct gd_map_entry *e;
    void *old;

    if ((m->count + 1) * 4 > m->cap * 3)
        grow(m);
    e = slot(m, key);
    old = e->value;
    if (!e->key) {
        e->key = gd_strdup(key);
        m->count++;
    }
    e->value = value;
    return old;
}

void *gd_map_del(struct gd_map *m, const char *key)
{
    struct gd_map_entry *e, moved;
    void *old;
    size_t i;

    if (!m->cap)
        return NULL;
    e = slot(m, key);
    if (!e->key)
        return NULL;
    old = e->value;
    gd_free(e->key);
    *e = (struct gd_map_entry){ 0 };
    m->count--;
    /* Close the gap: put back what follows. */
    i = (size_t)(e - m->entries);
    for (i = (i + 1) & (m->cap - 1); m->entries[i].key; i = (i + 1) & (m->cap - 1)) {
        moved = m->entries[i];
        m->entries[i] = (struct gd_map_entry){ 0 };
        *slot(m, moved.key) = moved;
    }
    return old;
}

void gd_map_done(struct gd_map *m, void (*free_value)(void *))
{
    for (size_t i = 0; i < m->cap; i++) {
        if (m->entries[i].key && free_value)
            free_value(m->entries[i].value);
        gd_free(m->entries[i].key);
    }
    gd_free(m->entries);
    *m = (struct gd_map){ 0 };
}
