/* base/arena.c */
#include "base/arena.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define BLOCK_MIN 4096

struct block {
    struct block *next;
    size_t size, used;
    _Alignas(16) char mem[];
};

struct gd_arena {
    struct block *blocks;
    size_t budget, used;
    unsigned allocs, fail_at;
    bool failed;
};

struct gd_arena *gd_arena_new(size_t budget)
{
    struct gd_arena *a = gd_new(sizeof *a);

    a->budget = budget;
    return a;
}

void gd_arena_free(struct gd_arena *a)
{
    if (!a)
        return;
    while (a->blocks) {
        struct block *b = a->blocks;

        a->blocks = b->next;
        gd_free(b);
    }
    gd_free(a);
}

static struct block *add_block(struct gd_arena *a, size_t n)
{
    size_t size = n > BLOCK_MIN ? n : BLOCK_MIN;
    struct block *b = gd_new(sizeof *b + size);

    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *gd_arena_alloc(struct gd_arena *a, size_t n)
{
    struct block *b = a->blocks;
    size_t need = (n + 15) & ~(size_t)15;
    void *p;

    a->allocs++;
    if (a->fail_at && a->allocs == a->fail_at)
        a->failed = true;
    if (need < n || (a->budget && need > a->budget - a->used))
        a->failed = true;
    if (a->failed)
        return NULL;
    if (!b || b->size - b->used < need)
        b = add_block(a, need);
    p = b->mem + b->used;
    b->used += need;
    a->used += need;
    return p;
}

char *gd_arena_strndup(struct gd_arena *a, const char *s, size_t n)
{
    char *d;

    if (!s)
        return NULL;
    n = strnlen(s, n);
    d = gd_arena_alloc(a, n + 1);
    return d ? memcpy(d, s, n) : NULL;
}

char *gd_arena_strdup(struct gd_arena *a, const char *s)
{
    return s ? gd_arena_strndup(a, s, strlen(s)) : NULL;
}

char *gd_arena_vstrf(struct gd_arena *a, const char *fmt, va_list ap)
{
    va_list again;
    char *s;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0) {
        a->failed = true;
        return NULL;
    }
    s = gd_arena_alloc(a, (size_t)n + 1);
    if (s)
        (void)vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

char *gd_arena_strf(struct gd_arena *a, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = gd_arena_vstrf(a, fmt, ap);
    va_end(ap);
    return s;
}

bool gd_arena_failed(const struct gd_arena *a)
{
    return a->failed;
}

size_t gd_arena_used(const struct gd_arena *a)
{
    return a->used;
}

void gd_arena_fail_at(struct gd_arena *a, unsigned n)
{
    a->fail_at = n ? a->allocs + n : 0;
}

unsigned gd_arena_allocs(const struct gd_arena *a)
{
    return a->allocs;
}
