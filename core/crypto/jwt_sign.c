/* crypto/jwt_sign.c - signing a compact JWS: assertions of apps and service accounts (RFC 7523). */
#include "crypto/jwt_int.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto_int.h"

#include <jose/jws.h>
#include <jose/openssl.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <string.h>

#define KEY_TEXT_MAX 16384

static json_t *from_ed25519(EVP_PKEY *k)
{
    unsigned char seed[32];
    char text[48];
    size_t n = sizeof seed;
    json_t *jwk;

    if (EVP_PKEY_get_raw_private_key(k, seed, &n) != 1 || n != sizeof seed)
        return NULL;
    gd_b64url(text, seed, n);
    jwk = json_pack("{s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "d", text);
    gd_wipe(seed, sizeof seed);
    gd_wipe(text, sizeof text);
    return jwk;
}

/* No password is asked for: an encrypted key is refused. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static json_t *from_pem(const char *pem, jose_cfg_t *cfg)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *k = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    json_t *jwk = NULL;

    if (k)
        jwk = EVP_PKEY_get_base_id(k) == EVP_PKEY_ED25519 ? from_ed25519(k)
                                                          : jose_openssl_jwk_from_EVP_PKEY(cfg, k);
    EVP_PKEY_free(k);
    BIO_free(bio);
    return jwk;
}

static json_t *load_key(const char *key, jose_cfg_t *cfg)
{
    size_t n = strnlen(key, KEY_TEXT_MAX + 1);

    if (n > KEY_TEXT_MAX)
        return NULL;
    return key[strspn(key, " \t\r\n")] == '{' ? gd_json_parse(key, n, KEY_TEXT_MAX, NULL)
                                              : from_pem(key, cfg);
}

static char *b64_text(const char *s)
{
    size_t n = strlen(s);
    char *out = gd_new(4 * (n / 3 + 1) + 1);

    gd_b64url(out, s, n);
    return out;
}

static char *header_of(const struct gd_jws_alg *alg, const json_t *jwk)
{
    json_t *head = json_pack("{s:s, s:s}", "alg", alg->name, "typ", "JWT");
    char *text, *b64;

    if (json_is_string(json_object_get(jwk, "kid")))
        json_object_set(head, "kid", json_object_get(jwk, "kid"));
    text = gd_json_dump(head);
    b64 = b64_text(text);
    gd_free(text);
    json_decref(head);
    return b64;
}

static char *ed25519_signature(const char *input, const json_t *jwk)
{
    const char *d = gd_json_text(jwk, "d", "");
    unsigned char seed[33], sig[64];
    char *out;

    if (gd_b64url_decode(seed, sizeof seed, d, strlen(d)) != 32)
        return NULL;
    gd_ed25519_sign(sig, seed, input, strlen(input));
    gd_wipe(seed, sizeof seed);
    out = gd_new(88);
    gd_b64url(out, sig, sizeof sig);
    return out;
}

/* libjose signs the header that it is given as text, byte for byte. */
static char *jose_signature(const char *head, const char *payload, const json_t *jwk, jose_cfg_t *cfg)
{
    json_t *jws = json_pack("{s:s}", "payload", payload), *sig = json_pack("{s:s}", "protected", head);
    const char *text = NULL;
    char *out = NULL;

    if (jws && sig && jose_jws_sig(cfg, jws, sig, jwk))
        text = gd_json_text(jws, "signature", NULL);
    if (text)
        out = gd_strdup(text);
    json_decref(jws);
    json_decref(sig);
    return out;
}

static char *sign(const struct gd_jws_alg *alg, const json_t *jwk, const char *claims, jose_cfg_t *cfg)
{
    char *head = header_of(alg, jwk), *payload = b64_text(claims), *input = gd_strf("%s.%s", head, payload),
         *out = NULL;
    char *sig =
        !strcmp(alg->kty, "OKP") ? ed25519_signature(input, jwk) : jose_signature(head, payload, jwk, cfg);

    if (sig)
        out = gd_strf("%s.%s", input, sig);
    gd_free(head);
    gd_free(payload);
    gd_free(input);
    gd_free(sig);
    return out;
}

char *gd_jwt_sign(const char *alg, const char *key, const char *claims, struct gd_err *err)
{
    const struct gd_jws_alg *a = gd_jws_alg(alg);
    jose_cfg_t *cfg = gd_jose_quiet();
    json_t *jwk = a ? load_key(key, cfg) : NULL;
    const char *kty = gd_json_text(jwk, "kty", ""), *crv = gd_json_text(jwk, "crv", "");
    char *out = NULL;

    if (a && !strcmp(kty, a->kty) && (!a->crv || !strcmp(crv, a->crv)))
        out = sign(a, jwk, claims, cfg);
    if (!out)
        gd_err_set(err, GD_R_JWT_KEY_INVALID,
                   "the key cannot sign with %.16s: give a PEM or JWK private key that fits", alg);
    json_decref(jwk);
    jose_cfg_decref(cfg);
    return out;
}
