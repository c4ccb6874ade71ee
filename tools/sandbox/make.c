/* make.c - new values (repeatable with --seed), digests, and the tokens of a world. */
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "sandbox_int.h"

#include <string.h>

/* What a test prepared for this kind, or NULL. */
static const char *prepared(struct sb_req *r, const char *kind)
{
    json_t *list = json_object_get(json_object_get(sb_world(r), "next"), kind);
    const char *text = json_string_value(json_array_get(list, 0));
    char *copy = gd_arena_strdup(r->arena, text);

    if (copy)
        json_array_remove(list, 0);
    return copy;
}

static const char *random_text(struct sb_req *r, const char *prefix, const char *alphabet, size_t n)
{
    size_t start = strlen(prefix);
    char *s = gd_arena_alloc(r->arena, start + n + 1);

    memcpy(s, prefix, start);
    for (size_t i = 0; i < n; i++)
        s[start + i] = alphabet[gd_rng_below(&r->sb->rng.rng, strlen(alphabet))];
    return s;
}

const char *sb_make(struct sb_req *r, const char *kind, const char *prefix, size_t hex_digits)
{
    const char *s = prepared(r, kind);

    return s ? s : random_text(r, prefix, "0123456789abcdef", hex_digits);
}

const char *sb_make_digits(struct sb_req *r, const char *kind, const char *prefix, size_t digits)
{
    const char *s = prepared(r, kind);

    return s ? s : random_text(r, prefix, "123456789", digits);
}

const char *sb_make_uuid(struct sb_req *r, const char *kind)
{
    const char *s = prepared(r, kind);
    const char *hex = "0123456789abcdef";

    if (s)
        return s;
    return sb_strf(r, "%s-%s-4%s-8%s-%s", random_text(r, "", hex, 8), random_text(r, "", hex, 4),
                   random_text(r, "", hex, 3), random_text(r, "", hex, 3), random_text(r, "", hex, 12));
}

static const char *hex_of(struct sb_req *r, const unsigned char digest[32])
{
    char *out = gd_arena_alloc(r->arena, 65);

    gd_hex(out, digest, 32);
    return out;
}

const char *sb_hmac_hex(struct sb_req *r, const char *key, const void *p, size_t n)
{
    unsigned char mac[32];

    gd_hmac_sha256(mac, key, strlen(key), p, n);
    return hex_of(r, mac);
}

const char *sb_hmac_base64(struct sb_req *r, const char *key, const void *p, size_t n)
{
    unsigned char mac[32];
    char *out = gd_arena_alloc(r->arena, 48);

    gd_hmac_sha256(mac, key, strlen(key), p, n);
    gd_b64(out, mac, sizeof mac);
    return out;
}

const char *sb_sha256_hex(struct sb_req *r, const void *p, size_t n)
{
    unsigned char digest[32];

    gd_sha256(digest, p, n);
    return hex_of(r, digest);
}

const char *sb_s256(struct sb_req *r, const char *verifier)
{
    unsigned char digest[32];
    char *out = gd_arena_alloc(r->arena, 48);

    gd_sha256(digest, verifier, strlen(verifier));
    gd_b64url(out, digest, sizeof digest);
    return out;
}

bool sb_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* ---- tokens ---- */

json_t *sb_token_add(struct sb_req *r, const char *kind, const char *value, int64_t lives, json_t *fields)
{
    json_t *t = fields ? fields : json_object();
    int64_t now = sb_now(r);

    json_object_set_new(t, "kind", json_string(kind));
    json_object_set_new(t, "issued", json_integer(now));
    json_object_set_new(t, "expires", json_integer(lives ? now + lives : 0));
    json_object_set_new(t, "state", json_string("live"));
    json_object_set_new(sb_table(r, "tokens"), value, t);
    return t;
}

json_t *sb_token(struct sb_req *r, const char *kind, const char *value)
{
    json_t *t = value ? json_object_get(sb_table(r, "tokens"), value) : NULL;

    return t && (!kind || sb_same(kind, gd_json_text(t, "kind", NULL))) ? t : NULL;
}

enum sb_token_state sb_token_state(struct sb_req *r, const json_t *token)
{
    const char *state = gd_json_text(token, "state", "live");
    int64_t expires = gd_json_i64(token, "expires", 0);

    if (!token)
        return SB_UNKNOWN;
    if (strcmp(state, "revoked") == 0)
        return SB_REVOKED;
    if (strcmp(state, "used") == 0)
        return SB_USED;
    return expires && expires <= sb_now(r) ? SB_EXPIRED : SB_LIVE;
}

void sb_token_end(json_t *token, enum sb_token_state state)
{
    json_object_set_new(token, "state", json_string(state == SB_USED ? "used" : "revoked"));
}

size_t sb_tokens_end(struct sb_req *r, const char *kind, const char *key, const char *text,
                     enum sb_token_state state)
{
    size_t n = 0;
    const char *value;
    json_t *t;

    json_object_foreach(sb_table(r, "tokens"), value, t)
    {
        if (kind && !sb_same(kind, gd_json_text(t, "kind", NULL)))
            continue;
        if (!sb_same(gd_json_text(t, key, NULL), text) || sb_token_state(r, t) != SB_LIVE)
            continue;
        sb_token_end(t, state);
        n++;
    }
    return n;
}
