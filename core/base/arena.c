/* base/arena.c - an arena lives in its own first block. Blocks of the usual size are kept when they are given
 * back, wiped, for the next arena of any thread: they pass between threads all the time (a transaction is
 * made on the loop and filled by the store's thread), and malloc would have to lock, split and join for each.
 */
#include "base/arena.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define BLOCK     4096
#define KEPT_MAX  2048
#define ROUND(n)  (((n) + 15) & ~(size_t)15)
#define ROOM(has) ((has) - sizeof(struct block)) /* of a block with its head */

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

static struct {
    pthread_mutex_t lock;
    struct block *first; /* all zero but for their heads */
    unsigned n;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool keeps(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false; /* whoever uses a block that was given back shall be found */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return false;
#endif
#endif
    return true;
}

static struct block *take_kept(void)
{
    struct block *b;

    pthread_mutex_lock(&kept.lock);
    b = kept.first;
    if (b) {
        kept.first = b->next;
        kept.n--;
    }
    pthread_mutex_unlock(&kept.lock);
    return b;
}

static struct block *block_new(size_t size)
{
    struct block *b = size <= ROOM(BLOCK) && keeps() ? take_kept() : NULL;

    if (!b) {
        size = size > ROOM(BLOCK) ? size : ROOM(BLOCK);
        b = gd_new(sizeof *b + size);
        b->size = size;
    }
    b->next = NULL;
    return b;
}

static void block_free(struct block *b)
{
    if (b->size != ROOM(BLOCK) || !keeps()) {
        gd_free(b);
        return;
    }
    gd_wipe(b->mem, b->used); /* nobody was given what lies behind */
    b->used = 0;
    pthread_mutex_lock(&kept.lock);
    if (kept.n < KEPT_MAX) {
        kept.n++;
        b->next = kept.first;
        kept.first = b;
        b = NULL;
    }
    pthread_mutex_unlock(&kept.lock);
    gd_free(b);
}

struct gd_arena *gd_arena_new(size_t budget)
{
    struct block *b = block_new(ROUND(sizeof(struct gd_arena)));
    struct gd_arena *a = (struct gd_arena *)(void *)b->mem;

    b->used = ROUND(sizeof *a);
    a->blocks = b;
    a->budget = budget;
    return a;
}

void gd_arena_free(struct gd_arena *a)
{
    struct block *b = a ? a->blocks : NULL, *next;

    for (; b; b = next) { /* the last one holds the arena itself */
        next = b->next;
        block_free(b);
    }
}

static struct block *add_block(struct gd_arena *a, size_t n)
{
    struct block *b = block_new(n);

    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *gd_arena_alloc(struct gd_arena *a, size_t n)
{
    struct block *b = a->blocks;
    size_t need = ROUND(n);
    void *p;

    a->allocs++;
    if (a->fail_at && a->allocs == a->fail_at)
        a->failed = true;
    if (need < n || (a->budget && need > a->budget - a->used))
        a->failed = true;
    if (a->failed)
        return NULL;
    if (b->size - b->used < need)
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
