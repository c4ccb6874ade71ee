/* crypto/memseal.c - tokens in memory lie sealed under a key that is made at start and lives nowhere else, so
 * a count is nonce enough. Two contexts hold the key schedule; a call sets the nonce and nothing else, and
 * allocates nothing. */
#include "crypto/crypto_int.h"

#include "base/mem.h"

#include <limits.h>
#include <string.h>

struct gd_memseal {
    EVP_CIPHER_CTX *enc, *dec;
    uint64_t count;
};

static EVP_CIPHER_CTX *keyed(const unsigned char key[32], int enc)
{
    static const unsigned char iv[12];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

    gd_must(c && EVP_CipherInit_ex2(c, gd_algs()->gcm, key, iv, enc, NULL) == 1, "GCM key");
    return c;
}

struct gd_memseal *gd_memseal_new(struct gd_rng *rng)
{
    struct gd_memseal *m = gd_new(sizeof *m);
    unsigned char key[32];

    gd_rng_bytes(rng, key, sizeof key);
    m->enc = keyed(key, 1);
    m->dec = keyed(key, 0);
    gd_wipe(key, sizeof key);
    return m;
}

void gd_memseal_free(struct gd_memseal *m)
{
    if (!m)
        return;
    EVP_CIPHER_CTX_free(m->enc); /* wipes the schedules */
    EVP_CIPHER_CTX_free(m->dec);
    gd_free(m);
}

void gd_memseal_seal(struct gd_memseal *m, unsigned char *out, const void *aad, size_t naad, const void *p,
                     size_t n)
{
    unsigned char iv[12] = { 0 };
    int len = 0, rest = 0;

    gd_must(++m->count != 0 && n <= INT_MAX && naad <= INT_MAX, "sealing in memory");
    memcpy(iv, &m->count, 8);
    memcpy(out, iv, 8);
    gd_must(EVP_EncryptInit_ex2(m->enc, NULL, NULL, iv, NULL) == 1, "GCM nonce");
    gd_must(naad == 0 || EVP_EncryptUpdate(m->enc, NULL, &len, aad, (int)naad) == 1, "GCM additional data");
    len = 0;
    gd_must(n == 0 || EVP_EncryptUpdate(m->enc, out + 8, &len, p, (int)n) == 1, "GCM encryption");
    gd_must(EVP_EncryptFinal_ex(m->enc, out + 8 + len, &rest) == 1 &&
                EVP_CIPHER_CTX_ctrl(m->enc, EVP_CTRL_AEAD_GET_TAG, 16, out + 8 + n) == 1,
            "GCM tag");
}

bool gd_memseal_open(struct gd_memseal *m, void *out, const void *aad, size_t naad,
                     const unsigned char *sealed, size_t n)
{
    unsigned char iv[12] = { 0 }, *plain = out, none[1];
    int len = 0, rest = 0;
    size_t text = n - GD_MEMSEAL_OVERHEAD;

    if (n < GD_MEMSEAL_OVERHEAD || n > INT_MAX || naad > INT_MAX)
        return false;
    plain = text ? plain : none;
    memcpy(iv, sealed, 8);
    gd_must(EVP_DecryptInit_ex2(m->dec, NULL, NULL, iv, NULL) == 1, "GCM nonce");
    gd_must(naad == 0 || EVP_DecryptUpdate(m->dec, NULL, &len, aad, (int)naad) == 1, "GCM additional data");
    len = 0;
    gd_must(text == 0 || EVP_DecryptUpdate(m->dec, plain, &len, sealed + 8, (int)text) == 1,
            "GCM decryption");
    gd_must(EVP_CIPHER_CTX_ctrl(m->dec, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(uintptr_t)(sealed + 8 + text)) ==
                1,
            "GCM tag");
    if (EVP_DecryptFinal_ex(m->dec, plain + len, &rest) == 1)
        return true;
    gd_wipe(plain, text);
    return false;
}
