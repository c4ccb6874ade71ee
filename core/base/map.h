/* base/map.h - string keys to pointers, open addressing. Keys are copied. For hundreds of entries, not
 * millions: the index of grants has a table of its own (grant/index.h). */
#ifndef GD_BASE_MAP_H
#define GD_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct gd_map_entry {
    char *key; /* NULL: empty */
    void *value;
};
struct gd_map {
    struct gd_map_entry *entries;
    size_t cap, count;
};

void *gd_map_get(const struct gd_map *m, const char *key);        /* NULL when absent */
void *gd_map_set(struct gd_map *m, const char *key, void *value); /* returns the value it replaced */
void *gd_map_del(struct gd_map *m, const char *key);              /* returns the value that was there */
void gd_map_done(struct gd_map *m, void (*free_value)(void *));   /* free_value may be NULL */
uint64_t gd_hash_text(const char *s);
#define gd_map_each(e, m)                                                              \
    for (struct gd_map_entry *e = (m)->entries; e && e < (m)->entries + (m)->cap; e++) \
        if (e->key)

#endif
