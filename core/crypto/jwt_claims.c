/* crypto/jwt_claims.c - what an ID token must say (OpenID Connect Core 3.1.3.7), after its signature was
 * found right. */
#include "crypto/jwt_int.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto_int.h"

#include <string.h>

static int check_issuer(const json_t *c, const struct gd_jwt_policy *p, struct gd_err *err)
{
    if (p->issuer && !gd_same_text(gd_json_text(c, "iss", NULL), p->issuer))
        return gd_err_set(err, GD_R_IDTOKEN_ISSUER, "the token's issuer is missing or another one");
    return 0;
}

static bool names_us(const json_t *aud, const char *us)
{
    const json_t *v;
    bool found = false;
    size_t i;

    if (json_is_string(aud))
        return !strcmp(json_string_value(aud), us);
    json_array_foreach(aud, i, v)
    {
        if (!json_is_string(v))
            return false;
        found |= !strcmp(json_string_value(v), us);
    }
    return found;
}

static int check_audience(const json_t *c, const struct gd_jwt_policy *p, struct gd_err *err)
{
    const json_t *aud = json_object_get(c, "aud"), *azp = json_object_get(c, "azp");
    bool several = json_is_array(aud) && json_array_size(aud) > 1;

    if (!p->audience)
        return 0;
    if (!names_us(aud, p->audience))
        return gd_err_set(err, GD_R_IDTOKEN_AUDIENCE, "the token is not meant for this app");
    if ((azp || several) && !gd_same_text(json_string_value(azp), p->audience))
        return gd_err_set(err, GD_R_IDTOKEN_AUDIENCE, "the token was issued to another app (azp)");
    return 0;
}

/* Seconds of a NumericDate; false when it is none that a clock could show. */
static bool number(const json_t *c, const char *key, int64_t *ret)
{
    const json_t *v = json_object_get(c, key);

    if (json_is_integer(v))
        *ret = json_integer_value(v);
    else if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < 1e15)
        *ret = (int64_t)json_real_value(v);
    else
        return false;
    return *ret >= 0;
}

static int check_times(const json_t *c, const struct gd_jwt_policy *p, struct gd_err *err)
{
    int64_t exp, iat, nbf = 0, latest = gd_add_sat(p->now, p->skew);

    if (!number(c, "exp", &exp) || !number(c, "iat", &iat))
        return gd_err_set(err, GD_R_IDTOKEN_FORMAT,
                          "the token does not say when it was issued and when it ends");
    if (json_object_get(c, "nbf") && !number(c, "nbf", &nbf))
        return gd_err_set(err, GD_R_IDTOKEN_FORMAT, "the token's nbf is no time");
    if (gd_add_sat(exp, p->skew) <= p->now)
        return gd_err_set(err, GD_R_IDTOKEN_EXPIRED, "the token is over");
    if (iat > latest || nbf > latest)
        return gd_err_set(err, GD_R_IDTOKEN_NOT_YET, "the token comes from the future");
    return 0;
}

static int check_person(const json_t *c, const struct gd_jwt_policy *p, struct gd_err *err)
{
    const char *sub = gd_json_text(c, "sub", NULL);

    if (p->nonce && !gd_same_text(gd_json_text(c, "nonce", NULL), p->nonce))
        return gd_err_set(err, GD_R_IDTOKEN_NONCE, "the token belongs to another attempt");
    if (!sub || !*sub)
        return gd_err_set(err, GD_R_IDTOKEN_SUBJECT, "the token names nobody");
    if (p->subject && strcmp(sub, p->subject) != 0)
        return gd_err_set(err, GD_R_IDTOKEN_SUBJECT, "the token names somebody else than before");
    return 0;
}

/* Left half of the hash of the access token, under the hash of the token's own algorithm. */
static int check_hash(const json_t *c, const struct gd_jws_alg *alg, const struct gd_jwt_policy *p,
                      struct gd_err *err)
{
    const json_t *v = json_object_get(c, "at_hash");
    unsigned char md[EVP_MAX_MD_SIZE];
    char text[EVP_MAX_MD_SIZE * 2];
    size_t n = 0;

    if (!v || !p->access_token)
        return 0;
    gd_must(EVP_Q_digest(gd_algs()->ctx, alg->hash, NULL, p->access_token, strlen(p->access_token), md, &n) ==
                1,
            "digest of a token");
    gd_b64url(text, md, n / 2);
    if (!json_is_string(v) || !gd_same_text(json_string_value(v), text))
        return gd_err_set(err, GD_R_IDTOKEN_HASH, "the token belongs to another access token (at_hash)");
    return 0;
}

int gd_jwt_check_claims(const json_t *c, const struct gd_jws_alg *alg, const struct gd_jwt_policy *p,
                        struct gd_err *err)
{
    if (check_issuer(c, p, err) < 0 || check_audience(c, p, err) < 0 || check_times(c, p, err) < 0 ||
        check_person(c, p, err) < 0)
        return -1;
    return check_hash(c, alg, p, err);
}
