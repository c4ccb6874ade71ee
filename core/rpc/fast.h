/* rpc/fast.h - the few request shapes of the hot path: one pass over the bytes, no allocation. Whatever is
 * unusual in any way is refused here and takes the general path through jansson, with the same answer. Pure;
 * any thread. */
#ifndef GD_RPC_FAST_H
#define GD_RPC_FAST_H

#include "base/id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GD_FAST_ID_MAX 44 /* a JSON-RPC id as it was written, with its quotes */

/* {"jsonrpc":"2.0","id":<int or short
 * text>,"method":"grant.token","params":{"grant":"gr...","workspace":"..."?}} with members in any order. */
struct gd_fast {
    struct gd_id grant;
    char grant_text[GD_ID_TEXT_MAX];
    char id[GD_FAST_ID_MAX];
    char workspace[32]; /* "": not named */
    unsigned id_len;
};
bool gd_fast_read(const char *p, size_t n, struct gd_fast *ret);
/* The answer with its line feed, byte for byte what the general path writes. 0 when it does not fit into cap
 * or the token needs escaping. expires_at: Unix ms, 0 for never. */
size_t gd_fast_render(char *out, size_t cap, const struct gd_fast *f, const char *token, size_t token_len,
                      int64_t expires_at, uint32_t gen);

#endif
