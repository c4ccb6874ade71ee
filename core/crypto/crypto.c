/* crypto/crypto.c - hashes, MACs, key derivation, signatures and the random source, over OpenSSL 3.0. */
#include "crypto/crypto_int.h"

#include "base/mem.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECURE_HEAP \
    ((size_t)4 * 1024 * 1024) /* opened data keys; more lie on the ordinary heap, wiped when freed */
#define SECURE_MIN    64
#define SCRYPT_N      (UINT64_C(1) << 17)
#define SCRYPT_MAXMEM ((uint64_t)256 * 1024 * 1024)

static struct gd_algs algs;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void gd_must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "{\"level\":\"fatal\",\"event\":\"crypto_failed\",\"what\":\"%s\"}\n", what);
    abort();
}

/* At the end of the process, before OpenSSL takes its own house down. */
static void drop_all(void)
{
    EVP_MD_free(algs.sha256);
    EVP_CIPHER_free(algs.gcm);
    EVP_MAC_free(algs.hmac);
    EVP_KDF_free(algs.scrypt);
    OSSL_LIB_CTX_free(algs.ctx);
    algs = (struct gd_algs){ 0 };
}

static void fetch_all(void)
{
    /* Libraries beside us use the default context: it shall not read OPENSSL_CONF either. */
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    (void)CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_MIN);
    algs.ctx = OSSL_LIB_CTX_new();
    gd_must(algs.ctx != NULL, "library context");
    algs.sha256 = EVP_MD_fetch(algs.ctx, "SHA256", NULL);
    algs.gcm = EVP_CIPHER_fetch(algs.ctx, "AES-256-GCM", NULL);
    algs.hmac = EVP_MAC_fetch(algs.ctx, "HMAC", NULL);
    algs.scrypt = EVP_KDF_fetch(algs.ctx, "SCRYPT", NULL);
    (void)OPENSSL_atexit(drop_all);
    (void)atexit(
        OPENSSL_cleanup); /* libjose's constructor registered it too early: after the leak checker's turn */
}

const struct gd_algs *gd_algs(void)
{
    pthread_once(&once, fetch_all);
    return &algs;
}

int gd_crypto_setup(struct gd_err *err)
{
    const struct gd_algs *a = gd_algs();
    unsigned char one[32], two[32];

    if (!a->sha256 || !a->gcm || !a->hmac || !a->scrypt)
        return gd_err_set(err, GD_R_INTERNAL, "OpenSSL lacks an algorithm that grantd needs");
    if (RAND_priv_bytes_ex(a->ctx, one, sizeof one, 256) != 1 ||
        RAND_priv_bytes_ex(a->ctx, two, sizeof two, 256) != 1 || CRYPTO_memcmp(one, two, sizeof one) == 0)
        return gd_err_set(err, GD_R_RNG_FAIL, "the random source gives nothing, or the same twice");
    return 0;
}

/* A source that is stuck would repeat itself: no two answers in a row may begin alike. */
static void fresh_bytes(void *out, size_t n)
{
    static _Thread_local unsigned char last[16];

    gd_must(RAND_priv_bytes_ex(gd_algs()->ctx, out, n, 256) == 1, "RNG_FAIL: the random source");
    if (n < sizeof last)
        return;
    gd_must(CRYPTO_memcmp(out, last, sizeof last) != 0, "RNG_FAIL: the random source repeats itself");
    memcpy(last, out, sizeof last);
}

/* A few bytes, for an id or a delay, come from a store of each thread: the generator looks at its process
 * number for every answer. What is handed out is wiped; keys and salts never come from there. */
static void system_bytes(struct gd_rng *r, void *out, size_t n)
{
    static _Thread_local unsigned char pool[512];
    static _Thread_local size_t left;

    (void)r;
    if (n > 16) {
        fresh_bytes(out, n);
        return;
    }
    if (left < n) {
        fresh_bytes(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= n;
    memcpy(out, pool + left, n);
    gd_wipe(pool + left, n);
}

struct gd_rng *gd_rng_system(void)
{
    static struct gd_rng rng = { system_bytes };

    return &rng;
}

/* ---- hashes, MACs, derivation
 * --------------------------------------------------------------------------------- */

void gd_sha256(unsigned char out[32], const void *p, size_t n)
{
    gd_must(EVP_Digest(n ? p : "", n, out, NULL, gd_algs()->sha256, NULL) == 1, "SHA-256");
}

struct gd_hasher *gd_hasher_new(void)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    gd_must(c && EVP_DigestInit_ex2(c, gd_algs()->sha256, NULL) == 1, "SHA-256");
    return (struct gd_hasher *)c;
}

void gd_hasher_add(struct gd_hasher *h, const void *p, size_t n)
{
    gd_must(EVP_DigestUpdate((EVP_MD_CTX *)h, p, n) == 1, "SHA-256");
}

void gd_hasher_end(struct gd_hasher *h, unsigned char out[32])
{
    unsigned char unwanted[32];

    if (!h)
        return;
    gd_must(EVP_DigestFinal_ex((EVP_MD_CTX *)h, out ? out : unwanted, NULL) == 1, "SHA-256");
    EVP_MD_CTX_free((EVP_MD_CTX *)h);
}

void gd_hmac_sha256(unsigned char out[32], const void *key, size_t nkey, const void *p, size_t n)
{
    char md[] = "SHA256";
    const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, md, 0),
                                  OSSL_PARAM_construct_end() };
    EVP_MAC_CTX *c = EVP_MAC_CTX_new(gd_algs()->hmac);
    size_t got = 0;

    gd_must(c && EVP_MAC_init(c, nkey ? key : (const void *)"", nkey, params) == 1 &&
                EVP_MAC_update(c, p, n) == 1 && EVP_MAC_final(c, out, &got, 32) == 1 && got == 32,
            "HMAC-SHA256");
    EVP_MAC_CTX_free(c);
}

/* OpenSSL's parameters take pointers that are not const; it only reads. */
static OSSL_PARAM octets(const char *name, const void *p, size_t n)
{
    return OSSL_PARAM_construct_octet_string(name, n ? (void *)(uintptr_t)p : (void *)(uintptr_t) "", n);
}

/* HMAC-SHA256 of several parts; EVP_KDF would fetch its digest by name each time. c is any context; what it
 * held of keys goes when it is freed. */
static void hmac(unsigned char out[32], EVP_MD_CTX *c, const void *key, size_t nkey,
                 const struct gd_field_bytes *parts, size_t nparts)
{
    const EVP_MD *md = gd_algs()->sha256;
    unsigned char pad[2][64] = { { 0 } }, inner[32];
    const size_t block = sizeof pad[0], size = sizeof inner;
    bool ok = c != NULL;

    if (ok && nkey > block)
        ok = EVP_Digest(key, nkey, pad[0], NULL, md, NULL) == 1;
    else if (ok && nkey)
        memcpy(pad[0], key, nkey);
    for (size_t i = 0; ok && i < block; i++) {
        pad[1][i] = pad[0][i] ^ 0x5c;
        pad[0][i] ^= 0x36;
    }
    ok = ok && EVP_DigestInit_ex2(c, md, NULL) == 1 && EVP_DigestUpdate(c, pad[0], block) == 1;
    for (size_t i = 0; ok && i < nparts; i++)
        ok = parts[i].n == 0 || EVP_DigestUpdate(c, parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_DigestFinal_ex(c, inner, NULL) == 1 && EVP_DigestInit_ex2(c, md, NULL) == 1 &&
         EVP_DigestUpdate(c, pad[1], block) == 1 && EVP_DigestUpdate(c, inner, size) == 1 &&
         EVP_DigestFinal_ex(c, out, NULL) == 1;
    gd_must(ok, "HMAC");
    gd_wipe(pad, sizeof pad);
    gd_wipe(inner, sizeof inner);
}

static void hkdf_sha256(void *out, size_t nout, const void *key, size_t nkey, const void *salt, size_t nsalt,
                        const void *info, size_t ninfo)
{
    unsigned char prk[32], t[32], count = 0;
    struct gd_field_bytes parts[] = { { key, nkey } }, next[] = { { t, 0 }, { info, ninfo }, { &count, 1 } };
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    gd_must(nout <= 255 * sizeof t, "HKDF");
    hmac(prk, c, salt, nsalt, parts, 1); /* RFC 5869 2.2; no salt is a salt of zeros, as HMAC pads it */
    for (size_t done = 0; done < nout; done += sizeof t) {
        count++;
        hmac(t, c, prk, sizeof prk, next, 3);
        next[0].n = sizeof t;
        memcpy((unsigned char *)out + done, t, nout - done < sizeof t ? nout - done : sizeof t);
    }
    EVP_MD_CTX_free(c);
    gd_wipe(prk, sizeof prk);
    gd_wipe(t, sizeof t);
}

void gd_hkdf(void *out, size_t nout, const char *md_name, const void *key, size_t nkey, const void *salt,
             size_t nsalt, const void *info, size_t ninfo)
{
    bool sha512 = strcmp(md_name, "SHA512") == 0;

    gd_must(sha512 || strcmp(md_name, "SHA256") == 0, "HKDF");
    if (sha512)
        gd_hkdf_sha512(out, nout, key, nkey, salt, nsalt, info, ninfo);
    else
        hkdf_sha256(out, nout, key, nkey, salt, nsalt, info, ninfo);
}

int gd_scrypt_params(void *out, size_t nout, const char *pass, size_t npass, const void *salt, size_t nsalt,
                     uint64_t n, uint32_t r, uint32_t p)
{
    uint64_t maxmem = SCRYPT_MAXMEM;
    const OSSL_PARAM params[] = {
        octets(OSSL_KDF_PARAM_PASSWORD, pass, npass),
        octets(OSSL_KDF_PARAM_SALT, salt, nsalt),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &maxmem),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(gd_algs()->scrypt);
    int rc = c ? EVP_KDF_derive(c, out, nout, params) : 0;

    EVP_KDF_CTX_free(c);
    OPENSSL_thread_stop_ex(gd_algs()->ctx); /* what it keeps for a thread would outlive a worker */
    return rc == 1 ? 0 : -1;
}

int gd_scrypt(unsigned char out[32], const char *pass, size_t npass, const void *salt, size_t nsalt,
              struct gd_err *err)
{
    if (gd_scrypt_params(out, 32, pass, npass, salt, nsalt, SCRYPT_N, 8, 1) == 0)
        return 0;
    return gd_err_set(err, GD_R_NO_MEMORY, "deriving a key from the passphrase needs 128 MiB of memory");
}

/* ---- Ed25519
 * ------------------------------------------------------------------------------------------------------ */

static EVP_PKEY *from_seed(const unsigned char seed[32])
{
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key_ex(gd_algs()->ctx, "ED25519", NULL, seed, 32);

    gd_must(k != NULL, "Ed25519 key");
    return k;
}

void gd_ed25519_public(unsigned char pub[32], const unsigned char seed[32])
{
    EVP_PKEY *k = from_seed(seed);
    size_t n = 32;

    gd_must(EVP_PKEY_get_raw_public_key(k, pub, &n) == 1 && n == 32, "Ed25519 public key");
    EVP_PKEY_free(k);
}

void gd_ed25519_sign(unsigned char sig[64], const unsigned char seed[32], const void *p, size_t n)
{
    EVP_PKEY *k = from_seed(seed);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t got = 64;

    gd_must(c && EVP_DigestSignInit_ex(c, NULL, NULL, gd_algs()->ctx, NULL, k, NULL) == 1 &&
                EVP_DigestSign(c, sig, &got, p, n) == 1 && got == 64,
            "Ed25519 signature");
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
}

bool gd_ed25519_verify(const unsigned char pub[32], const unsigned char sig[64], const void *p, size_t n)
{
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key_ex(gd_algs()->ctx, "ED25519", NULL, pub, 32);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = k && c && EVP_DigestVerifyInit_ex(c, NULL, NULL, gd_algs()->ctx, NULL, k, NULL) == 1 &&
              EVP_DigestVerify(c, sig, 64, p, n) == 1;

    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
    return ok;
}
