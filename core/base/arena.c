/* base/arena.c - an arena lives in its own first block. Blocks of the usual size are kept when they are given
 * back, wiped, for the next arena: some by each thread, the others for all, since blocks pass between threads
 * all the time (a transaction is made on the loop and filled by the store's thread). They change sides many
 * at a time: a lock for each was waited for by the loop whenever a thread that stands behind it held it and
 * had no core. */
#include "base/arena.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define BLOCK     4096
#define KEPT_MAX  2048
#define AT_ONCE   64
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

struct pile {
    struct block *first; /* all zero but for their heads */
    unsigned n;
};

static struct {
    pthread_mutex_t lock;
    struct pile pile;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local struct pile own;
static _Thread_local enum { NEW, OPEN, CLOSED } state; /* NEW: nothing gives back yet what the thread has */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_key;

static struct block *pop(struct pile *p)
{
    struct block *b = p->first;

    if (b) {
        p->first = b->next;
        p->n--;
    }
    return b;
}

static void push(struct pile *p, struct block *b)
{
    b->next = p->first;
    p->first = b;
    p->n++;
}

static void fetch_some(struct pile *p)
{
    struct block *b;

    pthread_mutex_lock(&shared.lock);
    while (p->n < AT_ONCE && (b = pop(&shared.pile)))
        push(p, b);
    pthread_mutex_unlock(&shared.lock);
}

/* Leaves so many of them. */
static void give_back(struct pile *p, unsigned leave)
{
    pthread_mutex_lock(&shared.lock);
    while (p->n > leave && shared.pile.n < KEPT_MAX)
        push(&shared.pile, pop(p));
    pthread_mutex_unlock(&shared.lock);
    while (p->n > leave)
        gd_free(pop(p));
}

static void on_thread_end(void *arg)
{
    state = CLOSED;
    give_back(arg, 0);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, on_thread_end) == 0;
}

/* False: this thread keeps nothing of its own. */
static bool open_own(void)
{
    if (state == NEW) {
        (void)pthread_once(&once, make_key);
        state = has_key && pthread_setspecific(key, &own) == 0 ? OPEN : CLOSED;
    }
    return state == OPEN;
}

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
    if (!own.first && open_own())
        fetch_some(&own);
    return pop(&own);
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
    if (!open_own()) {
        gd_free(b);
        return;
    }
    push(&own, b);
    if (own.n >= 2 * AT_ONCE)
        give_back(&own, AT_ONCE);
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
