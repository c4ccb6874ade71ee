/* crypto/jwt.c - checking a JWS. What an attacker chooses (the header) decides nothing: the algorithm must be
 * one of the policy's, the key one of the issuer's that fits it, and only then does libjose look at the
 * signature. */
#include "crypto/jwt_int.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto_int.h"

#include <jose/jws.h>
#include <string.h>

#define RSA_BYTES_MIN 256 /* 2048 bits, RFC 7518 3.3 */

const struct gd_jws_alg *gd_jws_alg(const char *name)
{
    static const struct gd_jws_alg algs[] = {
        { "RS256", "RSA", NULL, "SHA256" },      { "RS384", "RSA", NULL, "SHA384" },
        { "RS512", "RSA", NULL, "SHA512" },      { "PS256", "RSA", NULL, "SHA256" },
        { "PS384", "RSA", NULL, "SHA384" },      { "PS512", "RSA", NULL, "SHA512" },
        { "ES256", "EC", "P-256", "SHA256" },    { "ES384", "EC", "P-384", "SHA384" },
        { "ES512", "EC", "P-521", "SHA512" },    { "HS256", "oct", NULL, "SHA256" },
        { "HS384", "oct", NULL, "SHA384" },      { "HS512", "oct", NULL, "SHA512" },
        { "EdDSA", "OKP", "Ed25519", "SHA512" },
    };

    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++)
        if (!strcmp(algs[i].name, name))
            return &algs[i];
    return NULL;
}

__attribute__((format(printf, 5, 0))) static void say_nothing(void *misc, const char *file, int line,
                                                              uint64_t err, const char *fmt, va_list ap)
{
    (void)misc;
    (void)file;
    (void)line;
    (void)err;
    (void)fmt;
    (void)ap;
}

jose_cfg_t *gd_jose_quiet(void)
{
    jose_cfg_t *cfg = jose_cfg();

    gd_must(cfg != NULL, "libjose");
    jose_cfg_set_err_func(cfg, say_nothing, NULL);
    return cfg;
}

/* The three parts of a compact JWS, as they stand in the token. */
struct parts {
    const char *p[3];
    size_t n[3];
};

static bool split(const char *token, struct parts *ret)
{
    const char *p = token;

    if (strlen(token) > GD_TOKEN_MAX)
        return false;
    for (int i = 0; i < 3; i++) {
        ret->p[i] = p;
        ret->n[i] = strcspn(p, ".");
        p += ret->n[i];
        if (ret->n[i] == 0 || (i < 2) != (*p == '.'))
            return false;
        p++;
    }
    return true;
}

/* A part that must be a JSON object in strict base64url. */
static json_t *object_part(const char *p, size_t n)
{
    char buf[GD_TOKEN_MAX];
    long len = gd_b64url_decode(buf, sizeof buf, p, n);
    json_t *j = len < 0 ? NULL : gd_json_parse(buf, (size_t)len, sizeof buf, NULL);

    gd_wipe(buf, sizeof buf);
    if (json_is_object(j))
        return j;
    json_decref(j);
    return NULL;
}

static bool listed(const char *algs, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = algs; p && *p; p += strspn(p, " ")) {
        size_t k = strcspn(p, " ");

        if (k == n && !memcmp(p, name, n)) /* check:allow names of algorithms */
            return true;
        p += k;
    }
    return false;
}

static const struct gd_jws_alg *choose_alg(const json_t *head, const struct gd_jwt_policy *p,
                                           struct gd_err *err)
{
    const char *name = gd_json_text(head, "alg", NULL);
    const struct gd_jws_alg *alg = name ? gd_jws_alg(name) : NULL;

    /* Extensions that must be understood are not; "b64" would change what is signed. */
    if (json_object_get(head, "crit") || json_object_get(head, "b64")) {
        gd_err_set(err, GD_R_IDTOKEN_FORMAT, "the token demands an extension (crit) that is not supported");
        return NULL;
    }
    if (!alg || !listed(p->algs, name) || (!strcmp(alg->kty, "oct") && !p->hmac_secret)) {
        gd_err_set(err, GD_R_IDTOKEN_ALG, "the token's algorithm is not one of: %s", p->algs ? p->algs : "");
        return NULL;
    }
    return alg;
}

/* ---- keys
 * ---------------------------------------------------------------------------------------------------------
 */

static bool text_is(const json_t *obj, const char *key, const char *want)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_string(v) && !strcmp(json_string_value(v), want);
}

static bool for_verifying(const json_t *key)
{
    const json_t *ops = json_object_get(key, "key_ops"), *op;
    size_t i;

    if (json_object_get(key, "use") && !text_is(key, "use", "sig"))
        return false;
    if (!ops)
        return true;
    json_array_foreach(ops, i,
                       op) if (json_is_string(op) && !strcmp(json_string_value(op), "verify")) return true;
    return false;
}

static bool strong(const json_t *key, const struct gd_jws_alg *alg)
{
    const char *n = gd_json_text(key, "n", "");

    return strcmp(alg->kty, "RSA") != 0 || strlen(n) >= (size_t)RSA_BYTES_MIN * 4 / 3;
}

static bool fits(const json_t *key, const struct gd_jws_alg *alg)
{
    return json_is_object(key) && text_is(key, "kty", alg->kty) &&
           (!alg->crv || text_is(key, "crv", alg->crv)) &&
           (!json_object_get(key, "alg") || text_is(key, "alg", alg->name)) && for_verifying(key) &&
           strong(key, alg);
}

/* The one key of the set that may have signed this; borrowed. */
static const json_t *choose_key(const json_t *jwks, const json_t *head, const struct gd_jws_alg *alg,
                                struct gd_err *err)
{
    const json_t *keys = json_object_get(jwks, "keys"), *found = NULL, *key;
    const json_t *kid = json_object_get(head, "kid");
    size_t n = json_is_array(keys) ? json_array_size(keys) : jwks ? 1 : 0, matches = 0;

    for (size_t i = 0; i < n; i++) {
        key = json_is_array(keys) ? json_array_get(keys, i) : jwks;
        if (!fits(key, alg) ||
            (kid && (!json_is_string(kid) || !text_is(key, "kid", json_string_value(kid)))))
            continue;
        found = key;
        matches++;
    }
    if (matches == 1)
        return found;
    gd_err_set(err, GD_R_IDTOKEN_KEY, "%s of the issuer's keys %s the token's algorithm%s",
               matches ? "several" : "none", matches ? "fit" : "fits", kid ? " and kid" : "");
    return NULL;
}

/* Only what makes the key: nothing else of it shall steer the library. */
static json_t *bare_key(const json_t *key, const struct gd_jws_alg *alg)
{
    static const char *const members[] = { "kty", "crv", "x", "y", "n", "e" };
    json_t *bare = json_object();

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (json_object_get(key, members[i]))
            json_object_set(bare, members[i], json_object_get(key, members[i]));
    json_object_set_new(bare, "alg", json_string(alg->name));
    return bare;
}

static json_t *secret_key(const char *secret, const struct gd_jws_alg *alg)
{
    size_t n = strlen(secret);
    char *text = gd_new(4 * (n / 3 + 1) + 1);
    json_t *key;

    gd_b64url(text, secret, n);
    key = json_pack("{s:s, s:s, s:s}", "kty", "oct", "k", text, "alg", alg->name);
    gd_free(text);
    return key;
}

/* ---- signature
 * ---------------------------------------------------------------------------------------------------- */

/* libjose 11 knows no EdDSA. */
static bool ed25519_ok(const char *token, const struct parts *t, const json_t *key)
{
    unsigned char sig[65], pub[33];
    const char *x = gd_json_text(key, "x", "");

    return gd_b64url_decode(sig, sizeof sig, t->p[2], t->n[2]) == 64 &&
           gd_b64url_decode(pub, sizeof pub, x, strlen(x)) == 32 &&
           gd_ed25519_verify(pub, sig, token, (size_t)(t->p[2] - token) - 1);
}

static bool jose_ok(const struct parts *t, const json_t *key)
{
    json_t *jws = json_pack("{s:s%, s:s%, s:s%}", "protected", t->p[0], t->n[0], "payload", t->p[1], t->n[1],
                            "signature", t->p[2], t->n[2]);
    jose_cfg_t *cfg = gd_jose_quiet();
    bool ok = jws && jose_jws_ver(cfg, jws, NULL, key, false);

    jose_cfg_decref(cfg);
    json_decref(jws);
    return ok;
}

static int check_signature(const char *token, const struct parts *t, const json_t *head, const json_t *jwks,
                           const struct gd_jws_alg *alg, const struct gd_jwt_policy *p, struct gd_err *err)
{
    bool secret = !strcmp(alg->kty, "oct");
    const json_t *key = secret ? NULL : choose_key(jwks, head, alg, err);
    unsigned char sig[GD_TOKEN_MAX];
    json_t *bare;
    bool ok;

    if (!secret && !key)
        return -1;
    if (gd_b64url_decode(sig, sizeof sig, t->p[2], t->n[2]) < 0)
        return gd_err_set(err, GD_R_IDTOKEN_FORMAT, "the token's signature is not strict base64url");
    bare = secret ? secret_key(p->hmac_secret, alg) : bare_key(key, alg);
    ok = !strcmp(alg->kty, "OKP") ? ed25519_ok(token, t, bare) : jose_ok(t, bare);
    json_decref(bare);
    return ok ? 0 : gd_err_set(err, GD_R_IDTOKEN_SIGNATURE, "the token's signature is wrong");
}

static json_t *checked_claims(const char *token, const struct parts *t, const json_t *head,
                              const json_t *jwks, const struct gd_jwt_policy *p, struct gd_err *err)
{
    const struct gd_jws_alg *alg = choose_alg(head, p, err);
    json_t *claims;

    if (!alg || check_signature(token, t, head, jwks, alg, p, err) < 0)
        return NULL;
    claims = object_part(t->p[1], t->n[1]);
    if (!claims) {
        gd_err_set(err, GD_R_IDTOKEN_FORMAT, "the token's claims are no strict JSON object");
        return NULL;
    }
    if (gd_jwt_check_claims(claims, alg, p, err) == 0)
        return claims;
    json_decref(claims);
    return NULL;
}

json_t *gd_jwt_verify(const char *token, const json_t *jwks, const struct gd_jwt_policy *p,
                      struct gd_err *err)
{
    struct parts t;
    json_t *head = split(token, &t) ? object_part(t.p[0], t.n[0]) : NULL, *claims;

    if (!head) {
        gd_err_set(err, GD_R_IDTOKEN_FORMAT,
                   "the token is not three parts of strict base64url with a JSON header");
        return NULL;
    }
    claims = checked_claims(token, &t, head, jwks, p, err);
    json_decref(head);
    return claims;
}
