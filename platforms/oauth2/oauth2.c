/* oauth2.c - the platform table. Every OAuth 2.0 or OpenID Connect provider that a description
 * (providers/NAME.json) can express; what each field means is in fields.c, what each option means is here. */
#include "oauth2.h"

static const char *const auth_styles[] = {
    "auto", "post", "basic", "both", "none", "basic_secret_as_user", "private_key_jwt", NULL
};
static const char *const key_algs[] = { "RS256", "PS256", "ES256", "EdDSA", NULL };

static const struct grantd_option options[] = {
    { "provider", NULL, "Name of the provider description, e.g. x or oidc", GRANTD_OPT_REQUIRED, GRANTD_TEXT,
      NULL },
    { "client_id", NULL, "Client id that the provider gave this app", GRANTD_OPT_REQUIRED, GRANTD_TEXT,
      NULL },
    { "client_secret", NULL, "Client secret; absent for a public client or with private_key",
      GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { "private_key", NULL, "PEM or JWK that signs private_key_jwt assertions", GRANTD_OPT_SECRET, GRANTD_TEXT,
      NULL },
    { "key_alg", "RS256", "Algorithm of private_key", 0, GRANTD_ENUM, key_algs },
    { "issuer", NULL,
      "Issuer, for descriptions that name none (provider oidc), written exactly as its metadata has it", 0,
      GRANTD_URL, NULL },
    { "client_auth", "auto", "How the app proves who it is; auto: as the description or the metadata says", 0,
      GRANTD_ENUM, auth_styles },
    { "scopes", NULL, "Scopes, separated by spaces, in place of the description's", 0, GRANTD_TEXT, NULL },
    { 0 },
};

GRANTD_PLATFORM(oauth2, .title = "OAuth 2.0 and OpenID Connect",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_DESCRIBED | GRANTD_CAP_DESCRIBED_HOSTS,
                .state_size = sizeof(struct oa), .shape = GRANTD_SHAPE_ROTATING,
                .retry_class = GRANTD_RETRY_UNKNOWN, .options = options, .description = oa_fields,
                .request = oa_request, .grant = oa_grant, .refresh = oa_refresh, .revoke = oa_revoke,
                .verify = oa_verify);
