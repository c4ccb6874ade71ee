/* daemon/wipe.c - malloc and free of the whole process, libraries included: what is given back is wiped
 * first. glibc leaves the bytes of a freed block where they were, and answers of platforms pass through
 * buffers of libcurl, OpenSSL and SQLite that are not ours to wipe.
 *
 * A wiped block waits for the next one of its size in the same thread: of each size there are some, and a few
 * large ones (OpenSSL takes and gives back its record buffers with every read and write). glibc keeps seven
 * of a size only; beyond them it splits, joins and searches, which was a fifth of what a refresh cost. What a
 * thread keeps is bounded and goes back with its end. Below it all is glibc's own heap.
 *
 * Linked into grantd only; sanitizers bring an allocator of their own. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

/* glibc's own, behind the names that are taken here */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void __libc_free(void *p);

#define EXPORTED __attribute__((visibility("default")))

#define STEP        16 /* glibc's blocks hold 24, 40, 56 ... bytes */
#define SMALLEST    24
#define SMALL_MAX   4088
#define CLASSES     ((SMALL_MAX - SMALLEST) / STEP + 1)
#define CLASS_BYTES (1024 * 1024) /* a thread keeps of one size, in bytes */
#define ALL_BYTES   (16 * 1024 * 1024)
#define LARGE       6 /* larger ones kept */
#define LARGE_MAX   65536

struct kept { /* a block that waits; all behind it is zero */
    struct kept *next;
    uintptr_t mark; /* tells a block that is freed twice */
};

struct bins {
    struct kept *first[CLASSES];
    uint16_t n[CLASSES];
    size_t bytes; /* in them */
    struct {
        void *p;
        size_t size;
    } large[LARGE];
    enum { NEW, OPEN, CLOSED } state; /* NEW: its end is not arranged for yet; CLOSED: the thread ends */
};

extern const char gd_free_wipes;
const char gd_free_wipes = 1; /* base/mem.c need not do it too */

static _Thread_local struct bins bins;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_key;
static uintptr_t secret;

static void close_bins(void *arg)
{
    struct bins *b = arg;

    b->state = CLOSED;
    for (size_t i = 0; i < CLASSES; i++)
        for (struct kept *k; (k = b->first[i]);) {
            b->first[i] = k->next;
            __libc_free(k);
        }
    for (size_t i = 0; i < LARGE; i++) {
        __libc_free(b->large[i].p);
        b->large[i].p = NULL;
    }
}

static void make_key(void)
{
    const void *seed = (const void *)getauxval(AT_RANDOM);

    if (seed)
        memcpy(&secret, seed, sizeof secret);
    has_key = pthread_key_create(&key, close_bins) == 0;
}

/* False: this thread keeps nothing. */
static bool open_bins(struct bins *b)
{
    if (b->state == CLOSED)
        return false;
    b->state = CLOSED; /* what the two calls free meanwhile */
    (void)pthread_once(&once, make_key);
    if (has_key && pthread_setspecific(key, b) == 0)
        b->state = OPEN;
    return b->state == OPEN;
}

static uintptr_t mark_of(const void *p)
{
    return secret ^ (uintptr_t)p;
}

static void *take_large(struct bins *b, size_t n)
{
    for (size_t i = 0; i < LARGE; i++)
        if (b->large[i].p && b->large[i].size >= n && b->large[i].size <= n + n / 8) {
            void *p = b->large[i].p;

            b->large[i].p = NULL;
            return p;
        }
    return NULL;
}

/* A block of zeros for n bytes, or NULL when none waits. */
static void *take(size_t n)
{
    struct bins *b = &bins;
    size_t class = n <= SMALLEST ? 0 : (n - SMALLEST + STEP - 1) / STEP;
    struct kept *k;

    if (n > SMALL_MAX)
        return n <= LARGE_MAX ? take_large(b, n) : NULL;
    k = b->first[class];
    if (!k)
        return NULL;
    b->first[class] = k->next;
    b->n[class]--;
    b->bytes -= SMALLEST + class * STEP;
    __builtin_prefetch(k->next, 1); /* it may have lain for long, and is the next to be taken */
    k->next = NULL;
    k->mark = 0;
    return k;
}

/* A second free of a block that waits would hand it out twice. */
static void check_twice(const struct bins *b, const struct kept *k, size_t class)
{
    if (k->mark != mark_of(k))
        return;
    for (const struct kept *one = b->first[class]; one; one = one->next)
        if (one == k)
            abort();
}

static bool keep_large(struct bins *b, void *p, size_t size)
{
    for (size_t i = 0; i < LARGE; i++)
        if (!b->large[i].p) {
            b->large[i].p = p;
            b->large[i].size = size;
            return true;
        }
    return false;
}

static bool keep(struct bins *b, struct kept *k, size_t class, size_t size)
{
    if (b->n[class] >= CLASS_BYTES / size || b->bytes + size > ALL_BYTES)
        return false;
    k->next = b->first[class];
    k->mark = mark_of(k);
    b->first[class] = k;
    b->n[class]++;
    b->bytes += size;
    return true;
}

EXPORTED void free(void *p)
{
    struct bins *b = &bins;
    size_t size = p ? malloc_usable_size(p) : 0, class = (size - SMALLEST) / STEP;
    bool small = size <= SMALL_MAX && size % STEP == SMALLEST % STEP, kept = false;

    if (!p)
        return;
    if (small)
        check_twice(b, p, class);
    explicit_bzero(p, size);
    if (b->state == OPEN || open_bins(b))
        kept =
            small ? keep(b, p, class, size) : size > SMALL_MAX && size <= LARGE_MAX && keep_large(b, p, size);
    if (!kept)
        __libc_free(p);
}

EXPORTED void *malloc(size_t n) /* check:allow this is the one */
{
    void *p = take(n);

    return p ? p : __libc_malloc(n);
}

EXPORTED void *calloc(size_t n, size_t size) /* check:allow this is the one */
{
    size_t all;
    void *p;

    if (__builtin_mul_overflow(n, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    p = take(all);
    return p ? p : __libc_calloc(1, all);
}

/* Never lets the allocator move a block: it would leave the old one unwiped. */
EXPORTED void *realloc(void *p, size_t n) /* check:allow this is the one */
{
    size_t old = p ? malloc_usable_size(p) : 0;
    void *q;

    if (p && n == 0) {
        free(p);
        return NULL;
    }
    if (p && n <= old && n > old / 2)
        return p;
    q = malloc(n); /* check:allow below gd_new */
    if (!q)
        return NULL;
    if (p)
        memcpy(q, p, old < n ? old : n);
    free(p);
    return q;
}
