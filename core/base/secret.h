/* base/secret.h - a secret is a type. It is never printed, never compared with strcmp, and wiped when freed.
 */
#ifndef GD_BASE_SECRET_H
#define GD_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

struct gd_secret {
    char *ptr; /* NUL-terminated for those that must write it out; NULL when there is none */
    size_t len;
};

void gd_secret_set(struct gd_secret *s, const void *p, size_t n); /* copies; wipes what was there */
void gd_secret_done(struct gd_secret *s);
void gd_secret_move(struct gd_secret *to, struct gd_secret *from);
static inline bool gd_secret_has(const struct gd_secret *s)
{
    return s->ptr != NULL;
}

#endif
