/* grant/tokens.h - access tokens at hand, sealed under a key made at start, in two levels: memory, bounded
 * (second chance), and a file that the kernel's page cache carries (tokenfile.h). What is in neither is read
 * from the store again. Loop thread. */
#ifndef GD_GRANT_TOKENS_H
#define GD_GRANT_TOKENS_H

#include "crypto/crypto.h"
#include "grant/index.h"

struct gd_tokens;
struct gd_tokens *gd_tokens_new(struct gd_index *ix, size_t max_bytes, struct gd_rng *rng);
void gd_tokens_free(struct gd_tokens *t);
/* Adds the second level; without it, or when it cannot be had, memory is all there is. */
int gd_tokens_add_file(struct gd_tokens *t, const char *dir, struct gd_err *err);
/* Replaces what is cached of that credential; the token belongs to its present generation. A token longer
 * than the whole cache is not kept. */
void gd_tokens_put(struct gd_tokens *t, uint32_t cred, const char *token, size_t n);
/* At hand in one of the levels: somebody asked for it, or it was just obtained. */
bool gd_tokens_has(const struct gd_tokens *t, uint32_t cred);
/* The same for one that was read from the store because it was not at hand: what the file has of it is not
 * written again, since that would wait for the disk. */
void gd_tokens_found(struct gd_tokens *t, uint32_t cred, const char *token, size_t n);
void gd_tokens_drop(struct gd_tokens *t, uint32_t cred);
/* Length of the token written to out (NUL-terminated), -1 when it is not there. No allocation. */
long gd_tokens_get(struct gd_tokens *t, uint32_t cred, char *out, size_t cap);
void gd_tokens_prefetch(const struct gd_tokens *t, uint32_t cred);
size_t gd_tokens_bytes(const struct gd_tokens *t);
size_t gd_tokens_count(const struct gd_tokens *t);       /* in memory */
int64_t gd_tokens_file_bytes(const struct gd_tokens *t); /* page cache or disk; 0: no second level */

#endif
