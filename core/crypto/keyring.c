/* crypto/keyring.c - from the key-encryption key to everything that is derived from it, and the data keys of
 * clients. Opened data keys lie in the secure heap while there is room in it. */
#include "crypto/keyring.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto_int.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* A wrapped data key: "GK" | ver=1 | alg=1 | KEK version(4) | dek_id(16) | salt(24) | key(32) | tag(16) */
enum { AT_VERSION = 4, AT_ID = 8, AT_SALT = 24, AT_KEY = 48, AT_TAG = 80 };
_Static_assert(AT_TAG + 16 == GD_WRAPPED_DEK, "the layout fills the record");

struct gd_keyring {
    unsigned char *kek; /* 32 bytes, secure heap */
    unsigned char wrap[32];
    int version;
    struct gd_map deks; /* "workspace\nclient" -> struct gd_dek, secure heap */
};

static void *secure_new(size_t n)
{
    void *p = OPENSSL_secure_zalloc(n);

    gd_must(p != NULL, "memory for keys");
    return p;
}

static void free_dek(void *p)
{
    OPENSSL_secure_clear_free(p, sizeof(struct gd_dek));
}

struct gd_keyring *gd_keyring_new(const unsigned char kek[32], int version)
{
    struct gd_keyring *k = gd_new(sizeof *k);

    (void)gd_algs(); /* sets the secure heap up */
    k->kek = secure_new(32);
    memcpy(k->kek, kek, 32);
    k->version = version;
    gd_keyring_derive(k, "wrap", k->wrap);
    return k;
}

void gd_keyring_free(struct gd_keyring *k)
{
    if (!k)
        return;
    gd_map_done(&k->deks, free_dek);
    OPENSSL_secure_clear_free(k->kek, 32);
    gd_free(k);
}

int gd_keyring_version(const struct gd_keyring *k)
{
    return k->version;
}

void gd_keyring_derive(const struct gd_keyring *k, const char *purpose, unsigned char out[32])
{
    char info[64];
    int n = snprintf(info, sizeof info, "grantd/%s/v%d", purpose, k->version);

    gd_must(n > 0 && (size_t)n < sizeof info, "name of a derived key");
    gd_hkdf(out, 32, "SHA256", k->kek, 32, NULL, 0, info, (size_t)n);
}

void gd_keyring_check_value(const struct gd_keyring *k, unsigned char kcv[16])
{
    unsigned char key[32], mac[32];

    gd_keyring_derive(k, "kcv", key);
    gd_hmac_sha256(mac, key, sizeof key, "grantd kcv", 10);
    memcpy(kcv, mac, 16);
    gd_wipe(key, sizeof key);
}

void gd_keyring_lookup(const struct gd_keyring *k, const char *what, const void *p, size_t n,
                       unsigned char out[32])
{
    unsigned char key[32], sub[32];

    gd_keyring_derive(k, "lookup", key);
    gd_hmac_sha256(sub, key, sizeof key, what,
                   strlen(what)); /* a key for each kind: no value of one fits another */
    gd_hmac_sha256(out, sub, sizeof sub, p, n);
    gd_wipe(key, sizeof key);
    gd_wipe(sub, sizeof sub);
}

/* ---- data keys
 * --------------------------------------------------------------------------------------------------- */

struct wrapping {
    unsigned char key[32], iv[12];
};

static void derive_wrapping(const struct gd_keyring *k, const unsigned char *wrapped, struct wrapping *ret)
{
    unsigned char info[13 + 1 + 16];

    memcpy(info, "grantd/dek/v1", 13);
    info[13] = wrapped[3];
    memcpy(info + 14, wrapped + AT_ID, 16);
    gd_hkdf(ret, sizeof *ret, "SHA512", k->wrap, 32, wrapped + AT_SALT, 24, info, sizeof info);
}

static void bind_dek(struct gd_aad *a, const struct gd_keyring *k, const char *workspace, const char *client,
                     const unsigned char id[16])
{
    a->n = 0;
    gd_aad_text(a, "grantd.dek");
    gd_aad_text(a, workspace);
    gd_aad_text(a, client);
    gd_aad_bytes(a, id, 16);
    gd_aad_num(a, k->version);
    gd_aad_text(a, "active");
}

static const struct gd_dek *remember(struct gd_keyring *k, const char *workspace, const char *client,
                                     struct gd_dek *dek)
{
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    free_dek(gd_map_set(&k->deks, name, dek));
    return dek;
}

const struct gd_dek *gd_keyring_make_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                         unsigned char wrapped[GD_WRAPPED_DEK], struct gd_rng *rng)
{
    struct gd_dek *dek = secure_new(sizeof *dek);
    struct wrapping w;
    struct gd_aad aad;

    gd_rng_bytes(rng, dek->id, sizeof dek->id);
    gd_rng_bytes(rng, dek->key, sizeof dek->key);
    memcpy(wrapped, "GK\1\1", 4);
    for (int i = 0; i < 4; i++)
        wrapped[AT_VERSION + i] = (unsigned char)((unsigned)k->version >> (24 - 8 * i));
    memcpy(wrapped + AT_ID, dek->id, 16);
    gd_rng_bytes(rng, wrapped + AT_SALT, 24);
    derive_wrapping(k, wrapped, &w);
    bind_dek(&aad, k, workspace, client, dek->id);
    gd_gcm_seal(wrapped + AT_KEY, wrapped + AT_TAG, w.key, w.iv, aad.fields, 2 * aad.n, dek->key, 32);
    gd_wipe(&w, sizeof w);
    return remember(k, workspace, client, dek);
}

static unsigned version_of(const unsigned char *wrapped)
{
    unsigned v = 0;

    for (int i = 0; i < 4; i++)
        v = v << 8 | wrapped[AT_VERSION + i];
    return v;
}

const struct gd_dek *gd_keyring_add_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                        const unsigned char wrapped[GD_WRAPPED_DEK], struct gd_err *err)
{
    struct gd_dek *dek;
    struct wrapping w;
    struct gd_aad aad;
    bool ok;

    if (wrapped[0] != 'G' || wrapped[1] != 'K' || wrapped[2] != 1 || wrapped[3] != 1) {
        gd_err_set(err, GD_R_SEAL_TAMPERED, "the wrapped data key is of no known form");
        return NULL;
    }
    if (version_of(wrapped) != (unsigned)k->version) {
        gd_err_set(err, GD_R_KEY_WRONG,
                   "the data key is wrapped under version %u of the key, this is version %d",
                   version_of(wrapped), k->version);
        return NULL;
    }
    dek = secure_new(sizeof *dek);
    memcpy(dek->id, wrapped + AT_ID, 16);
    derive_wrapping(k, wrapped, &w);
    bind_dek(&aad, k, workspace, client, dek->id);
    ok = gd_gcm_open(dek->key, w.key, w.iv, aad.fields, 2 * aad.n, wrapped + AT_KEY, 32, wrapped + AT_TAG);
    gd_wipe(&w, sizeof w);
    if (ok)
        return remember(k, workspace, client, dek);
    free_dek(dek);
    gd_err_set(err, GD_R_SEAL_TAMPERED,
               "the wrapped data key was changed, or belongs to another client or key");
    return NULL;
}

const struct gd_dek *gd_keyring_dek(const struct gd_keyring *k, const char *workspace, const char *client)
{
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    return gd_map_get(&k->deks, name);
}

void gd_keyring_forget(struct gd_keyring *k, const char *workspace, const char *client)
{
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    free_dek(gd_map_del(&k->deks, name));
}
