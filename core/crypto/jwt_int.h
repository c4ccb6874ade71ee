/* crypto/jwt_int.h - what the three files about JWTs share. */
#ifndef GD_CRYPTO_JWT_INT_H
#define GD_CRYPTO_JWT_INT_H

#include "crypto/jwt.h"

#include <jose/cfg.h>

/* An algorithm that may ever be allowed. "none" has no entry. */
struct gd_jws_alg {
    const char *name, *kty, *crv; /* crv NULL: the key type has none */
    const char *hash;             /* of at_hash */
};
const struct gd_jws_alg *gd_jws_alg(const char *name); /* NULL: unknown */

/* A libjose configuration that writes nothing to stderr. Freed by jose_cfg_decref. */
jose_cfg_t *gd_jose_quiet(void);

/* issuer, audience, times, nonce, subject, at_hash */
int gd_jwt_check_claims(const json_t *claims, const struct gd_jws_alg *alg, const struct gd_jwt_policy *p,
                        struct gd_err *err);

#endif
