/* grant/vends.h - of this room: which caller has been vended which generation of a credential, so that the
 * audit log names each first vend once. A table of a limited size: when it is full it is emptied, and the
 * next vend of each is a first one again (it is recorded once more, and nothing else changes). Loop thread.
 */
#ifndef GD_GRANT_VENDS_H
#define GD_GRANT_VENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gd_vends;
struct gd_vends *gd_vends_new(void);            /* at most GD_VENDS_MAX places */
struct gd_vends *gd_vends_new_of(uint32_t max); /* a power of two, at least 1024 */
void gd_vends_free(struct gd_vends *v);
/* Has this caller been vended this generation, and is that written down? */
bool gd_vends_knows(const struct gd_vends *v, uint32_t cred, uint32_t caller, uint32_t gen);
void gd_vends_remember(struct gd_vends *v, uint32_t cred, uint32_t caller, uint32_t gen); /* counts a vend */
void gd_vends_again(struct gd_vends *v); /* counts one that it knew */
int64_t gd_vends_total(const struct gd_vends *v);
size_t gd_vends_bytes(const struct gd_vends *v);

#endif
