/* audit/chain.c */
#include "audit/chain.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"

#include <inttypes.h>
#include <string.h>

#define HEX      64
#define HASH_LEN (sizeof ",\"hash\":\"\"}" - 1 + HEX)
#define PREV_LEN (sizeof ",\"prev\":\"\"" - 1 + HEX)

/* ---- the tree
 * ------------------------------------------------------------------------------------------------------- */

static void join(unsigned char out[32], const unsigned char left[32], const unsigned char right[32])
{
    unsigned char both[65] = { 0x01 };

    memcpy(both + 1, left, 32);
    memcpy(both + 33, right, 32);
    gd_sha256(out, both, sizeof both);
}

void gd_chain_push(struct chain *c, const unsigned char hash[32])
{
    unsigned char node[32];
    int level = 0;

    memcpy(node, hash, 32);
    for (; c->seq >> level & 1; level++)
        join(node, c->nodes[level], node);
    memcpy(c->nodes[level], node, 32);
    memcpy(c->head, hash, 32);
    c->seq++;
}

void gd_chain_root(const struct chain *c, unsigned char root[32])
{
    bool any = false;

    gd_sha256(root, "", 0);
    for (int level = 0; level < GD_CHAIN_LEVELS; level++) {
        if (!(c->seq >> level & 1))
            continue;
        if (any)
            join(root, c->nodes[level], root);
        else
            memcpy(root, c->nodes[level], 32);
        any = true;
    }
}

json_t *gd_chain_nodes_json(const struct chain *c)
{
    json_t *list = json_array();
    char hex[HEX + 1];

    for (int level = 0; level < GD_CHAIN_LEVELS; level++)
        if (c->seq >> level & 1) {
            gd_hex(hex, c->nodes[level], 32);
            json_array_append_new(list, json_string(hex));
        }
    return list;
}

bool gd_chain_nodes_parse(struct chain *c, const json_t *nodes)
{
    size_t used = 0;

    for (int level = 0; level < GD_CHAIN_LEVELS; level++) {
        const char *hex;

        if (!(c->seq >> level & 1))
            continue;
        hex = json_string_value(json_array_get(nodes, used++));
        if (!hex || gd_hex_decode(c->nodes[level], 32, hex, strlen(hex)) != 32)
            return false;
    }
    return used == json_array_size(nodes);
}

/* ---- lines
 * ----------------------------------------------------------------------------------------------------------
 */

void gd_chain_add(struct chain *c, struct gd_buf *out, const char *body)
{
    unsigned char hash[32];
    char hex[HEX + 1];
    struct gd_buf b;

    gd_buf_init(&b, SIZE_MAX / 2);
    gd_hex(hex, c->head, 32);
    gd_buf_addc(&b, '\0'); /* the leaf's prefix */
    gd_buf_addf(&b, "{\"seq\":%" PRId64 ",", c->seq + 1);
    gd_buf_adds(&b, body);
    gd_buf_addf(&b, ",\"prev\":\"%s\"}", hex);
    gd_sha256(hash, b.ptr, b.len);
    gd_chain_push(c, hash);
    gd_hex(hex, hash, 32);
    gd_buf_add(out, b.ptr + 1, b.len - 2);
    gd_buf_addf(out, ",\"hash\":\"%s\"}\n", hex);
    gd_buf_done(&b);
}

bool gd_line_seq(const char *line, size_t n, int64_t *ret)
{
    static const char start[] = "{\"seq\":";
    size_t i = sizeof start - 1;
    int64_t v = 0;

    if (n < i + 2 || memcmp(line, start, i) != 0) /* check:allow no secret */
        return false;
    for (; i < n && line[i] >= '0' && line[i] <= '9' && v < INT64_MAX / 20; i++)
        v = v * 10 + (line[i] - '0');
    if (i == n || line[i] != ',' || v == 0)
        return false;
    *ret = v;
    return true;
}

/* The 64 hex digits, small letters only, between head and tail at at; false when it is not of that form. */
static bool hex_between(const char *at, const char *head, const char *tail, unsigned char out[32])
{
    size_t n = strlen(head);

    for (size_t i = 0; i < HEX; i++)
        if (at[n + i] >= 'A' && at[n + i] <= 'F')
            return false;
    return !memcmp(at, head, n) && gd_hex_decode(out, 32, at + n, HEX) == 32 && /* check:allow no secret */
           !memcmp(at + n + HEX, tail, strlen(tail));                           /* check:allow no secret */
}

bool gd_line_prev(const char *line, size_t n, unsigned char prev[32])
{
    return n > HASH_LEN + PREV_LEN && hex_between(line + n - HASH_LEN - PREV_LEN, ",\"prev\":\"", "\"", prev);
}

/* Skips prefix and then everything up to the next quote; NULL when the prefix is not there. */
static const char *behind(const char *p, const char *end, const char *prefix)
{
    size_t n = strlen(prefix);

    if (!p || (size_t)(end - p) < n || memcmp(p, prefix, n) != 0) /* check:allow no secret */
        return NULL;
    return memchr(p + n, '"', (size_t)(end - p) - n);
}

/* Members stand in a fixed order, so that nothing inside "data" can look like an act. */
bool gd_line_is(const char *line, size_t n, const char *act)
{
    const char *end = line + n, *p = memchr(line, ',', n), *q;

    p = behind(p, end, ",\"time\":\"");
    p = behind(p, end, "\",\"boot\":\"");
    q = behind(p, end, "\",\"act\":\"");
    if (!q)
        return false;
    p += sizeof "\",\"act\":\"" - 1;
    return (size_t)(q - p) == strlen(act) && !strncmp(p, act, strlen(act));
}

const char *gd_chain_take(struct chain *c, char *line, size_t n)
{
    unsigned char prev[32], hash[32], want[32];
    char *end, before = line[-1];
    int64_t seq;

    if (!gd_line_seq(line, n, &seq) || !gd_line_prev(line, n, prev))
        return "not the form of a record";
    end = line + n - HASH_LEN;
    if (!hex_between(end, ",\"hash\":\"", "\"}", want))
        return "not the form of a record";
    if (seq != c->seq + 1)
        return "sequence";
    if (memcmp(prev, c->head, 32) != 0) /* check:allow no secret */
        return "previous hash";
    line[-1] = '\0';
    *end = '}';
    gd_sha256(hash, line - 1, n - HASH_LEN + 2);
    line[-1] = before;
    *end = ',';
    if (memcmp(hash, want, 32) != 0) /* check:allow no secret */
        return "hash";
    gd_chain_push(c, hash);
    return NULL;
}
