/* crypto/derive.c - HKDF-SHA512 (RFC 5869), which stands before every record that is sealed or opened. The
 * hash is called directly: through EVP every step allocates a context and wipes it, and a state cannot be
 * kept, so that the two blocks of the key are hashed again for each output. That was a tenth of what a
 * refresh costs. The code that hashes is the same. */
#define OPENSSL_SUPPRESS_DEPRECATED    /* SHA512_Init and its like: there is no other way to hold a state by \
                                          value */
#include "crypto/crypto_int.h"

#include "base/mem.h"

#include <openssl/sha.h>
#include <string.h>

struct keyed { /* HMAC-SHA512 behind the blocks of its key */
    SHA512_CTX inner, outer;
};

static void key_is(struct keyed *k, const void *key, size_t n)
{
    unsigned char pad[SHA512_CBLOCK] = { 0 };
    bool ok = true;

    if (n > sizeof pad)
        ok = SHA512(key, n, pad) != NULL;
    else if (n)
        memcpy(pad, key, n);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36;
    ok = ok && SHA512_Init(&k->inner) == 1 && SHA512_Update(&k->inner, pad, sizeof pad) == 1;
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    ok = ok && SHA512_Init(&k->outer) == 1 && SHA512_Update(&k->outer, pad, sizeof pad) == 1;
    gd_must(ok, "HMAC key");
    gd_wipe(pad, sizeof pad);
}

static void mac(unsigned char out[64], const struct keyed *k, const struct gd_field_bytes *parts,
                size_t nparts)
{
    unsigned char inner[64];
    SHA512_CTX c = k->inner;
    bool ok = true;

    for (size_t i = 0; i < nparts && ok; i++)
        ok = parts[i].n == 0 || SHA512_Update(&c, parts[i].p, parts[i].n) == 1;
    ok = ok && SHA512_Final(inner, &c) == 1;
    c = k->outer;
    gd_must(ok && SHA512_Update(&c, inner, sizeof inner) == 1 && SHA512_Final(out, &c) == 1, "HMAC");
    gd_wipe(&c, sizeof c);
    gd_wipe(inner, sizeof inner);
}

void gd_hkdf_sha512(void *out, size_t nout, const void *key, size_t nkey, const void *salt, size_t nsalt,
                    const void *info, size_t ninfo)
{
    unsigned char t[64], count = 0;
    const struct gd_field_bytes secret = { key, nkey };
    struct gd_field_bytes next[] = { { t, 0 }, { info, ninfo }, { &count, 1 } };
    struct keyed k;

    gd_must(nout <= 255 * sizeof t, "HKDF");
    key_is(&k, salt, nsalt); /* no salt is a salt of zeros, as HMAC pads it */
    mac(t, &k, &secret, 1);
    key_is(&k, t, sizeof t);
    for (size_t done = 0; done < nout; done += sizeof t) {
        count++;
        mac(t, &k, next, 3);
        next[0].n = sizeof t;
        memcpy((unsigned char *)out + done, t, nout - done < sizeof t ? nout - done : sizeof t);
    }
    gd_wipe(&k, sizeof k);
    gd_wipe(t, sizeof t);
}
