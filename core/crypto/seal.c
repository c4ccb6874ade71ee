/* crypto/seal.c - sealed records, format v1, and the AES-256-GCM below them. Key, nonce and commitment of
 * each record are derived from the data key and 32 random bytes: no nonce to count, and no record that opens
 * under two keys. */
#include "crypto/crypto_int.h"

#include "base/mem.h"
#include "base/text.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

enum { AT_VER = 2, AT_ALG = 3, AT_DEK = 4, AT_SALT = 20, AT_COMMIT = 52, AT_TEXT = 84 };
#define VERSION 1
#define ALG     1 /* HKDF-SHA512, AES-256-GCM, commitment */
#define SCHEMA  1 /* of the additional data */

/* ---- additional data
 * ------------------------------------------------------------------------------------------ */

void gd_aad_bytes(struct gd_aad *a, const void *p, size_t n)
{
    gd_must(a->n < GD_AAD_FIELDS && n <= INT_MAX, "additional data");
    for (int i = 0; i < 4; i++)
        a->lengths[a->n][i] = (unsigned char)(n >> (24 - 8 * i));
    a->fields[2 * a->n] = (struct gd_field_bytes){ a->lengths[a->n], 4 };
    a->fields[2 * a->n + 1] = (struct gd_field_bytes){ p, n };
    a->n++;
}

void gd_aad_text(struct gd_aad *a, const char *s)
{
    gd_aad_bytes(a, s, s ? strlen(s) : 0);
}

void gd_aad_num(struct gd_aad *a, int64_t v)
{
    unsigned char *p = a->numbers[a->n < GD_AAD_FIELDS ? a->n : 0];

    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)((uint64_t)v >> (56 - 8 * i));
    gd_aad_bytes(a, p, 8);
}

/* ---- AES-256-GCM
 * ------------------------------------------------------------------------------------------------ */

static void feed(EVP_CIPHER_CTX *c, const void *p, size_t n)
{
    int done;

    gd_must(n == 0 || EVP_CipherUpdate(c, NULL, &done, p, (int)n) == 1, "GCM additional data");
}

/* The fields are short, and a call for each cost more than all of their bytes. */
static void feed_aad(EVP_CIPHER_CTX *c, const struct gd_field_bytes *aad, size_t naad)
{
    unsigned char some[512];
    size_t n = 0;

    for (size_t i = 0; i < naad; i++) {
        if (aad[i].n > sizeof some - n) {
            feed(c, some, n);
            n = 0;
        }
        if (aad[i].n > sizeof some) {
            feed(c, aad[i].p, aad[i].n);
        } else if (aad[i].n) {
            memcpy(some + n, aad[i].p, aad[i].n);
            n += aad[i].n;
        }
    }
    feed(c, some, n);
}

static EVP_CIPHER_CTX *gcm_start(const unsigned char key[32], const unsigned char iv[12], int enc, size_t n)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

    gd_must(c && n <= INT_MAX && EVP_CipherInit_ex2(c, gd_algs()->gcm, key, iv, enc, NULL) == 1, "GCM key");
    return c;
}

void gd_gcm_seal(unsigned char *out, unsigned char tag[16], const unsigned char key[32],
                 const unsigned char iv[12], const struct gd_field_bytes *aad, size_t naad, const void *p,
                 size_t n)
{
    EVP_CIPHER_CTX *c = gcm_start(key, iv, 1, n);
    int len = 0, rest = 0;

    feed_aad(c, aad, naad);
    gd_must(n == 0 || EVP_EncryptUpdate(c, out, &len, p, (int)n) == 1, "GCM encryption");
    gd_must(EVP_EncryptFinal_ex(c, out + len, &rest) == 1 && (size_t)len + (size_t)rest == n &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1,
            "GCM tag");
    EVP_CIPHER_CTX_free(c);
}

bool gd_gcm_open(unsigned char *out, const unsigned char key[32], const unsigned char iv[12],
                 const struct gd_field_bytes *aad, size_t naad, const unsigned char *p, size_t n,
                 const unsigned char tag[16])
{
    EVP_CIPHER_CTX *c = gcm_start(key, iv, 0, n);
    int len = 0, rest = 0;
    bool ok;

    feed_aad(c, aad, naad);
    gd_must(n == 0 || EVP_DecryptUpdate(c, out, &len, p, (int)n) == 1, "GCM decryption");
    gd_must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(uintptr_t)tag) == 1, "GCM tag");
    ok = EVP_DecryptFinal_ex(c, out + len, &rest) == 1;
    if (!ok)
        gd_wipe(out, n);
    EVP_CIPHER_CTX_free(c);
    return ok;
}

/* ---- records
 * ------------------------------------------------------------------------------------------------------ */

struct derived {
    unsigned char key[32], iv[12], commit[32];
};
_Static_assert(sizeof(struct derived) == 76, "K, N and C stand behind each other");

static void derive(struct derived *d, const struct gd_dek *dek, const unsigned char salt[32])
{
    unsigned char info[13 + 1 + 16];

    memcpy(info, "grantd/rec/v1", 13);
    info[13] = ALG;
    memcpy(info + 14, dek->id, 16);
    gd_hkdf(d, sizeof *d, "SHA512", dek->key, sizeof dek->key, salt, 32, info, sizeof info);
}

static void bind_name(struct gd_aad *a, const struct gd_seal_name *name, const unsigned char dek_id[16])
{
    a->n = 0;
    gd_aad_text(a, "grantd.tok");
    gd_aad_num(a, SCHEMA);
    gd_aad_text(a, name->workspace);
    gd_aad_text(a, name->client);
    gd_aad_text(a, name->owner);
    gd_aad_num(a, name->gen);
    gd_aad_text(a, name->attempt);
    gd_aad_text(a, name->column);
    gd_aad_bytes(a, dek_id, 16);
    gd_aad_num(a, name->created_at);
}

size_t gd_seal(unsigned char *out, const struct gd_dek *dek, const struct gd_seal_name *name, const void *p,
               size_t n, struct gd_rng *rng)
{
    struct derived d;
    struct gd_aad aad;

    memcpy(out, "GS", 2);
    out[AT_VER] = VERSION;
    out[AT_ALG] = ALG;
    memcpy(out + AT_DEK, dek->id, 16);
    gd_rng_bytes(rng, out + AT_SALT, 32);
    derive(&d, dek, out + AT_SALT);
    memcpy(out + AT_COMMIT, d.commit, 32);
    bind_name(&aad, name, dek->id);
    gd_gcm_seal(out + AT_TEXT, out + AT_TEXT + n, d.key, d.iv, aad.fields, 2 * aad.n, p, n);
    gd_wipe(&d, sizeof d);
    return n + GD_SEAL_OVERHEAD;
}

bool gd_seal_dek_id(unsigned char id[16], const unsigned char *rec, size_t n)
{
    if (n < GD_SEAL_OVERHEAD || rec[0] != 'G' || rec[1] != 'S' || rec[AT_VER] != VERSION ||
        rec[AT_ALG] != ALG)
        return false;
    memcpy(id, rec + AT_DEK, 16);
    return true;
}

static int check_head(const struct gd_dek *dek, const unsigned char *rec, size_t n, struct gd_err *err)
{
    unsigned char id[16];

    if (!gd_seal_dek_id(id, rec, n) || n > INT_MAX)
        return gd_err_set(err, GD_R_SEAL_FORMAT, "this is no sealed record of a known version");
    if (!gd_same_bytes(id, dek->id, sizeof id))
        return gd_err_set(err, GD_R_SEAL_KEY_UNKNOWN, "the record was sealed under another data key");
    return 0;
}

long gd_seal_open(unsigned char *out, const struct gd_dek *dek, const struct gd_seal_name *name,
                  const unsigned char *rec, size_t n, struct gd_err *err)
{
    size_t len = n - GD_SEAL_OVERHEAD;
    struct derived d;
    struct gd_aad aad;
    bool ok;

    if (check_head(dek, rec, n, err) < 0)
        return -1;
    derive(&d, dek, rec + AT_SALT);
    if (!gd_same_bytes(d.commit, rec + AT_COMMIT, 32)) {
        gd_wipe(&d, sizeof d);
        return gd_err_set(err, GD_R_SEAL_COMMIT_MISMATCH,
                          "the record does not belong to the data key that it names");
    }
    bind_name(&aad, name, dek->id);
    ok = gd_gcm_open(out, d.key, d.iv, aad.fields, 2 * aad.n, rec + AT_TEXT, len, rec + AT_TEXT + len);
    gd_wipe(&d, sizeof d);
    if (!ok)
        return gd_err_set(err, GD_R_SEAL_TAMPERED,
                          "the record was changed or stands in a place that is not its own");
    return (long)len;
}
