/* base/mem.h - the only allocator of the program. Allocation zeroes; free wipes, whatever the block held.
 * The daemon's own allocations never return NULL: out of memory ends the process (a crash loses nothing, see
 * the journal). Arenas have budgets and can fail, because their size is chosen by somebody else. */
#ifndef GD_BASE_MEM_H
#define GD_BASE_MEM_H

#include <stddef.h>

void *gd_new(size_t size);                 /* zeroed */
void *gd_new_array(size_t n, size_t size); /* zeroed, checked for overflow */
void *gd_resize(void *p, size_t size);     /* as realloc; the old block is wiped when it moves */
char *gd_strdup(const char *s);            /* NULL stays NULL */
char *gd_strndup(const char *s, size_t n);
char *gd_strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void gd_free(void *p);           /* NULL is fine */
void gd_wipe(void *p, size_t n); /* is not optimised away */

/* Same functions in the shape that libraries take (jansson, curl, uv, sqlite). */
void *gd_lib_malloc(size_t n);
void *gd_lib_calloc(size_t n, size_t size);
void *gd_lib_realloc(void *p, size_t n);
char *gd_lib_strdup(const char *s);

static inline void gd_free_ptr_(void *pp)
{
    gd_free(*(void **)pp);
}
/* GD_AUTO_FREE char *s = gd_strdup(x); is freed at the end of the block. */
#define GD_AUTO_FREE __attribute__((cleanup(gd_free_ptr_)))

#define gd_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
