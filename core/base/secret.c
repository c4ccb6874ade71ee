/* base/secret.c */
#include "base/secret.h"
#include "base/mem.h"

#include <string.h>

void gd_secret_done(struct gd_secret *s)
{
    gd_free(s->ptr);
    *s = (struct gd_secret){ 0 };
}

void gd_secret_set(struct gd_secret *s, const void *p, size_t n)
{
    char *copy = NULL;

    if (p) {
        copy = gd_new(n + 1);
        memcpy(copy, p, n);
    }
    gd_secret_done(s);
    *s = (struct gd_secret){ copy, copy ? n : 0 };
}

void gd_secret_move(struct gd_secret *to, struct gd_secret *from)
{
    gd_secret_done(to);
    *to = *from;
    *from = (struct gd_secret){ 0 };
}
