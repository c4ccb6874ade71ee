/* daemon/wipe.c - free and realloc of the whole process, libraries included: what is given back is wiped
 * first. glibc leaves the bytes of a freed block where they were, and answers of platforms pass through
 * buffers of libcurl, OpenSSL and SQLite that are not ours to wipe. Linked into grantd only; sanitizers bring
 * an allocator of their own. */
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void __libc_free(void *p); /* glibc's own, behind the names that are taken here */

#define EXPORTED __attribute__((visibility("default")))

extern const char gd_free_wipes;
const char gd_free_wipes = 1; /* base/mem.c need not do it too */

EXPORTED void free(void *p)
{
    if (!p)
        return;
    explicit_bzero(p, malloc_usable_size(p));
    __libc_free(p);
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
