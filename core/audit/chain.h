/* audit/chain.h - of this room: how records hang together. Record n is the text of its line without the hash;
 * its hash, SHA-256(0x00 || record), is named by record n+1 as "prev" and is leaf n of an RFC 6962 tree whose
 * root the checkpoints sign. Pure. */
#ifndef GD_AUDIT_CHAIN_H
#define GD_AUDIT_CHAIN_H

#include "base/buf.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

#define GD_CHAIN_LEVELS 48

struct chain {
    int64_t seq;            /* of the last record; 0: none */
    unsigned char head[32]; /* its hash */
    unsigned char nodes[GD_CHAIN_LEVELS]
                       [32]; /* node i is the root of a full tree of 2^i records, if seq has bit i */
};

/* Takes the hash of one more record. */
void gd_chain_push(struct chain *c, const unsigned char hash[32]);
/* Root over all records so far. */
void gd_chain_root(const struct chain *c, unsigned char root[32]);
/* Writes the next record to out, with its newline. body: members between seq and prev, without a comma
 * around. */
void gd_chain_add(struct chain *c, struct gd_buf *out, const char *body);
/* Checks that the line (n bytes, no newline) is the next record, and takes it. NULL, or what is wrong.
 * line[-1] must be writable; the line is whole again afterwards. */
const char *gd_chain_take(struct chain *c, char *line, size_t n);
/* Sequence number, prev and act of a line; false when it does not look like one of ours. */
bool gd_line_seq(const char *line, size_t n, int64_t *ret);
bool gd_line_prev(const char *line, size_t n, unsigned char prev[32]);
bool gd_line_is(const char *line, size_t n, const char *act);
/* The nodes as an array of hex texts, lowest first, and back. False when they are not those of seq records.
 */
json_t *gd_chain_nodes_json(const struct chain *c);
bool gd_chain_nodes_parse(struct chain *c, const json_t *nodes);

#endif
