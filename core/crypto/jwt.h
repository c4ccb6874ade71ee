/* crypto/jwt.h - JWS over libjose behind our own policy: allowed algorithms, key by kid, claims. Any thread.
 */
#ifndef GD_CRYPTO_JWT_H
#define GD_CRYPTO_JWT_H

#include "base/err.h"
#include "base/json.h"

struct gd_jwt_policy {
    const char *algs; /* allowed, separated by spaces; "none" is never */
    const char *issuer, *audience, *nonce, *subject, *access_token,
        *hmac_secret; /* NULL: not checked / absent */
    int64_t now;      /* Unix seconds */
    int64_t skew;     /* seconds */
};
/* Claims as a new reference, or NULL with IDTOKEN_FORMAT, _ALG, _KEY, _SIGNATURE, _ISSUER, _AUDIENCE,
 * _EXPIRED, _NOT_YET, _NONCE, _SUBJECT, _HASH. Refuses crit, duplicate members, alg that does not fit the
 * key, several keys without a kid, azp other than the audience. */
json_t *gd_jwt_verify(const char *token, const json_t *jwks, const struct gd_jwt_policy *p,
                      struct gd_err *err);
/* Compact JWS; key is PEM or a JWK. Caller frees with gd_free. */
char *gd_jwt_sign(const char *alg, const char *key, const char *claims, struct gd_err *err);

#endif
