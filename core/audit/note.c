/* audit/note.c */
#include "audit/note.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ED25519 0x01 /* signature type of the format */
#define DASH    "\xe2\x80\x94 "

/* SHA-256(name || "\n" || type || key)[:4] */
static void key_hash(unsigned char out[4], const char *origin, const unsigned char pub[32])
{
    size_t n = strlen(origin);
    GD_AUTO_FREE unsigned char *text = gd_new(n + 34);
    unsigned char hash[32];

    memcpy(text, origin, n);
    text[n] = '\n';
    text[n + 1] = ED25519;
    memcpy(text + n + 2, pub, 32);
    gd_sha256(hash, text, n + 34);
    memcpy(out, hash, 4);
}

void gd_note_make(char *out, const char *origin, int64_t size, const unsigned char root[32],
                  const unsigned char seed[32])
{
    unsigned char pub[32], sig[68];
    char root64[48], sig64[96];
    size_t n;

    gd_b64(root64, root, 32);
    n = (size_t)snprintf(out, GD_NOTE_MAX, "%.200s\n%" PRId64 "\n%s\n", origin, size, root64);
    gd_ed25519_public(pub, seed);
    key_hash(sig, origin, pub);
    gd_ed25519_sign(sig + 4, seed, out, n);
    gd_b64(sig64, sig, sizeof sig);
    (void)snprintf(out + n, GD_NOTE_MAX - n, "\n" DASH "%.200s %s\n", origin, sig64);
}

/* Takes one line that starts with head and ends at its newline; what is between goes to out. */
static const char *take_line(const char *p, const char *head, char *out, size_t cap)
{
    size_t n = strlen(head), len;

    if (!p || strncmp(p, head, n) != 0)
        return NULL;
    len = strcspn(p + n, "\n");
    if (p[n + len] != '\n' || len >= cap)
        return NULL;
    memcpy(out, p + n, len);
    out[len] = '\0';
    return p + n + len + 1;
}

static bool signature_fits(const char *sig64, const char *origin, const unsigned char pub[32],
                           const char *note, size_t n)
{
    unsigned char sig[68], hash[4];

    if (gd_b64_decode(sig, sizeof sig, sig64, strlen(sig64)) != sizeof sig)
        return false;
    key_hash(hash, origin, pub);
    return gd_same_bytes(hash, sig, 4) && gd_ed25519_verify(pub, sig + 4, note, n);
}

bool gd_note_check(const char *note, const char *origin, const unsigned char pub[32], int64_t *ret_size,
                   unsigned char ret_root[32])
{
    char name[201], size_text[24], root64[64], none[1], head[224], sig64[128];
    unsigned char root[32];
    const char *p, *body_end;
    int64_t size;

    p = take_line(note, "", name, sizeof name);
    p = take_line(p, "", size_text, sizeof size_text);
    body_end = p = take_line(p, "", root64, sizeof root64);
    p = take_line(p, "", none, sizeof none);
    (void)snprintf(head, sizeof head, DASH "%s ", origin);
    p = take_line(p, head, sig64, sizeof sig64);
    if (!p || *p || strcmp(name, origin) != 0 || !gd_parse_i64(size_text, &size) || size < 0 ||
        gd_b64_decode(root, sizeof root, root64, strlen(root64)) != sizeof root ||
        !signature_fits(sig64, origin, pub, note, (size_t)(body_end - note)))
        return false;
    *ret_size = size;
    memcpy(ret_root, root, sizeof root);
    return true;
}

void gd_note_key(char *out, const char *origin, const unsigned char pub[32])
{
    unsigned char hash[4], key[33] = { ED25519 };
    char hex[9], key64[48];

    key_hash(hash, origin, pub);
    gd_hex(hex, hash, 4);
    memcpy(key + 1, pub, 32);
    gd_b64(key64, key, sizeof key);
    (void)snprintf(out, GD_NOTE_MAX, "%.200s+%s+%s", origin, hex, key64);
}

bool gd_note_key_parse(const char *text, char origin[201], unsigned char pub[32])
{
    const char *first = text ? strchr(text, '+') : NULL, *second = first ? strchr(first + 1, '+') : NULL;
    unsigned char key[33], want[4], hash[4];

    if (!second || first - text > 200 || first == text || second - first != 9 ||
        gd_hex_decode(want, 4, first + 1, 8) != 4 ||
        gd_b64_decode(key, sizeof key, second + 1, strlen(second + 1)) != sizeof key || key[0] != ED25519)
        return false;
    (void)snprintf(origin, 201, "%.*s", (int)(first - text), text);
    memcpy(pub, key + 1, 32);
    key_hash(hash, origin, pub);
    return gd_same_bytes(hash, want, 4);
}
