/* grant/tokens.h - access tokens in memory, sealed under a key made at start, in a bounded cache (second
 * chance). What is not there is read from the store again. Loop thread. */
#ifndef GD_GRANT_TOKENS_H
#define GD_GRANT_TOKENS_H

#include "crypto/crypto.h"
#include "grant/index.h"

struct gd_tokens;
struct gd_tokens *gd_tokens_new(struct gd_index *ix, size_t max_bytes, struct gd_rng *rng);
void gd_tokens_free(struct gd_tokens *t);
/* Replaces what is cached of that credential. A token longer than the whole cache is not kept. */
void gd_tokens_put(struct gd_tokens *t, uint32_t cred, const char *token, size_t n);
void gd_tokens_drop(struct gd_tokens *t, uint32_t cred);
/* Length of the token written to out (NUL-terminated), -1 when it is not there. No allocation. */
long gd_tokens_get(struct gd_tokens *t, uint32_t cred, char *out, size_t cap);
void gd_tokens_prefetch(const struct gd_tokens *t, uint32_t cred);
size_t gd_tokens_bytes(const struct gd_tokens *t);
size_t gd_tokens_count(const struct gd_tokens *t);

#endif
