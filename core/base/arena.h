/* base/arena.h - memory of one operation: grows in blocks up to a budget, freed and wiped at once.
 * A failed allocation is sticky: gd_arena_failed() stays true and further allocations return NULL. */
#ifndef GD_BASE_ARENA_H
#define GD_BASE_ARENA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct gd_arena;

struct gd_arena *gd_arena_new(size_t budget); /* bytes in all; 0: no limit */
void gd_arena_free(struct gd_arena *a);       /* NULL is fine */
void *gd_arena_alloc(struct gd_arena *a,
                     size_t n); /* zeroed, 16-byte aligned; NULL once the budget is used up */
char *gd_arena_strdup(struct gd_arena *a, const char *s); /* NULL stays NULL */
char *gd_arena_strndup(struct gd_arena *a, const char *s, size_t n);
char *gd_arena_strf(struct gd_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *gd_arena_vstrf(struct gd_arena *a, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
bool gd_arena_failed(const struct gd_arena *a);
size_t gd_arena_used(const struct gd_arena *a);
/* Tests: the n-th allocation from now fails (1 is the next one; 0: none). */
void gd_arena_fail_at(struct gd_arena *a, unsigned n);
unsigned gd_arena_allocs(const struct gd_arena *a);

#endif
