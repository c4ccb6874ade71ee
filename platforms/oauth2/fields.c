/* fields.c - every field that a provider description may have. The loader checks descriptions against this
 * table and README.md's reference is checked against it. No other place knows which fields exist; a default
 * written here is also the one that the code falls back to. */
#include "oauth2.h"

#define T    GRANTD_F_TEXT, 0, NULL
#define U    GRANTD_F_URL, 0, NULL
#define INT  GRANTD_F_INT, 0, NULL
#define BOOL GRANTD_F_BOOL, 0, NULL
#define W    GRANTD_F_WORDS, 0, NULL
#define INTS GRANTD_F_INTS, 0, NULL
#define MAP  GRANTD_F_MAP, 0, NULL
#define TW   GRANTD_F_TEXT_OR_WORDS, 0, NULL
#define OBJ  GRANTD_F_OBJECT, 0, NULL
#define LIST GRANTD_F_LIST, 0, NULL
#define E(c) GRANTD_F_ENUM, 0, c

#define METHODS "GET|POST|DELETE|PUT"
#define BODIES  "form|json|query"
#define CLASSES "transient|limited|uncertain|reauth|declined|forbidden|manual|config|absent|protocol"
#define RETRIES "none|overlap|grace|strict|family|unknown"

/* Paths into a token answer: the same for response and exchange.response. */
#define ANSWER(p)                                                                                           \
    { p, OBJ, NULL, "Where the answer holds what." },                                                       \
        { p ".root", TW, "", "Path of the object that holds the tokens, or several to try." },              \
        { p ".access_token", TW, "access_token", "Path of the access token." },                             \
        { p ".refresh_token", TW, "refresh_token", "Path of the refresh token." },                          \
        { p ".id_token", TW, "id_token", "Path of the ID token." },                                         \
        { p ".expires_in", TW, "expires_in", "Path of the access token's remaining life." },                \
        { p ".expires_at", TW, NULL, "Path of its end: Unix seconds, Unix ms, or ISO 8601." },              \
        { p ".refresh_expires_in", TW, NULL,                                                                \
          "Path of the refresh token's remaining life; refresh_token_expires_in, then "                     \
          "refresh_expires_in." },                                                                          \
        { p ".refresh_expires_at", TW, NULL, "Path of the refresh token's end." },                          \
        { p ".scope", TW, "scope", "Path of the granted scopes: text or an array." },                       \
        { p ".account_id", TW, NULL, "Path of who consented." },                                            \
        { p ".account_name", TW, NULL, "Path of the consenting account's name." },                          \
        { p ".expires_unit", E("s|ms"), "s", "Unit of expires_in and refresh_expires_in." },                \
        { p ".default_ttl_s", INT, NULL,                                                                    \
          "Life of an access token whose answer does not say it; -1: it does not expire; absent: "          \
          "unknown." },                                                                                     \
        { p ".refresh_ttl_s", INT, NULL,                                                                    \
          "Life of a refresh token whose answer does not say it; -1: no end." },                            \
        { p ".scope_split", T, " ,", "Characters that separate scopes in the answer." },                    \
    {                                                                                                       \
        p ".token_type", E("optional|required|any"), NULL,                                                  \
            "token_type must be bearer when present, must be there (the default for kind oidc), or may be " \
            "anything."                                                                                     \
    }

const struct grantd_field oa_fields[] = {
    { "schema", GRANTD_F_INT, 1, NULL, NULL, "Version of this format: 1." },
    { "id", GRANTD_F_TEXT, 1, NULL, NULL, "Name of the provider; the file's name without .json." },
    { "title", T, NULL, "Name for people." },
    { "docs", TW, NULL, "Where the provider's documentation is." },
    { "notes", W, NULL, "What an operator should know." },
    { "unconfirmed", W, NULL, "What is used here without a source that says so." },
    { "kind", E("oauth2|oidc"), "oauth2", "oidc discovers its endpoints and checks ID tokens." },
    { "issuer", T, NULL,
      "Issuer, compared byte for byte; without it kind oidc takes the app's option issuer." },
    { "discovery", E("none|oidc|rfc8414"), NULL,
      "Where the metadata is found from the issuer; default oidc for kind oidc, else none." },
    { "discovery_url", U, NULL, "Address of the metadata when it does not follow from the issuer." },
    { "grant", E("authorization_code|device_code|client_credentials|guided"), "authorization_code",
      "How consent is given." },

    { "inputs", OBJ, NULL, "Values that differ between clients or installations: ${in.NAME}." },
    { "inputs.*", OBJ, NULL, "One input." },
    { "inputs.*.label", T, NULL, "Name for people." },
    { "inputs.*.help", T, NULL, "What to write there." },
    { "inputs.*.pattern", T, NULL,
      "The whole value must match: characters, [classes], . \\d \\w and ? * + {n,m}." },
    { "inputs.*.enum", W, NULL, "The values it may have." },
    { "inputs.*.format", E("host|label|uuid|int|text"), "text", "What kind of value it is." },
    { "inputs.*.prefix", T, NULL, "Taken off the front when a person wrote it." },
    { "inputs.*.suffix", T, NULL, "Taken off the end when a person wrote it." },
    { "inputs.*.default", T, NULL, "Value when nobody gave one." },
    { "inputs.*.optional", BOOL, "false", "It may be absent." },
    { "inputs.*.secret", BOOL, "false", "Never shown." },
    { "inputs.*.from", E("client|agency|operator|callback|token"), "operator", "Who knows it." },
    { "saved", OBJ, NULL, "Rules for values kept from the callback or an answer: ${saved.NAME}." },
    { "saved.*", OBJ, NULL, "One kept value." },
    { "saved.*.pattern", T, NULL,
      "The whole value must match; required before it may be a URL's beginning." },

    { "authorize", OBJ, NULL, "The page that the client's browser is sent to." },
    { "authorize.url", U, NULL, "Its address." },
    { "authorize.params", MAP, NULL, "Further parameters." },
    { "authorize.rename", MAP, NULL, "Standard parameter to the provider's name for it." },
    { "authorize.omit", W, NULL, "Standard parameters that are not sent." },
    { "authorize.drop_empty", BOOL, "true", "Leave out parameters whose value is empty." },
    { "authorize.response_type", T, "code", "Value of response_type." },
    { "authorize.fragment", T, NULL, "Text after #; the parameters follow it." },
    { "authorize.pkce", E("S256|off"), "S256", "Proof key of RFC 7636." },
    { "authorize.par", E("auto|always|never"), "auto",
      "Push the parameters first (RFC 9126); auto: when there is a URL." },
    { "authorize.par_url", U, NULL, "Pushed authorization request endpoint." },
    { "authorize.device_url", U, NULL, "Device authorization endpoint, for grant device_code." },

    { "scope", OBJ, NULL, "What is asked for." },
    { "scope.join", T, " ", "Separator." },
    { "scope.encoding", E("percent|raw"), "percent", "raw: as it is, for providers that do not decode." },
    { "scope.param", T, "scope", "Name of the parameter." },
    { "scope.default", W, NULL, "Scopes of every request; the app's option scopes replaces them." },
    { "scope.offline", T, NULL, "The scope that yields refresh tokens." },
    { "scope.fixed", BOOL, "false", "One set of scopes per app, never what a single request asks." },

    { "callback", OBJ, NULL, "What comes back with the browser." },
    { "callback.code", T, "code", "Parameter that holds the code." },
    { "callback.state", T, "state", "Parameter that holds the state." },
    { "callback.error", T, "error", "Parameter that holds an error." },
    { "callback.save", MAP, NULL, "Callback parameter to the name of a kept value." },
    { "callback.require_iss", BOOL, NULL,
      "iss must come back (RFC 9207); default: when discovery announces it." },

    { "client", OBJ, NULL, "How the app proves who it is." },
    { "client.auth", E("post|basic|both|none|basic_secret_as_user|private_key_jwt"), NULL,
      "Default: what discovery offers, else post. The app's option client_auth wins." },
    { "client.basic_encoding", E("form|raw"), "form",
      "Form-encode id and secret before Basic (RFC 6749 2.3.1)." },
    { "client.id_param", T, "client_id", "Name of the id in bodies and on the authorize page." },
    { "client.secret_param", T, "client_secret", "Name of the secret in bodies." },
    { "client.assertion_aud", E("token_url|issuer"), "token_url", "Audience of private_key_jwt." },

    { "token", OBJ, NULL, "The request that trades the code." },
    { "token.url", U, NULL, "Its address." },
    { "token.method", E(METHODS), "POST", "Its method." },
    { "token.body", E(BODIES), "form", "How parameters are sent." },
    { "token.params", MAP, NULL, "Further parameters; never one that the protocol sets." },
    { "token.query", MAP, NULL, "Parameters of the address." },
    { "token.headers", MAP, NULL, "Further headers." },
    { "token.rename", MAP, NULL, "Standard parameter to the provider's name for it." },
    { "token.omit", W, NULL, "Standard parameters that are not sent." },
    { "token.ok_status", INTS, NULL, "Statuses of success; default 200 and 201." },

    { "refresh", OBJ, NULL, "Renewal; what is absent is as in token, except params." },
    { "refresh.mode", E("refresh_token|access_token|reissue|none"), "refresh_token",
      "What is spent: the refresh token, the access token itself, the app's own credentials, or nothing." },
    { "refresh.url", U, NULL, "Its address." },
    { "refresh.method", E(METHODS), NULL, "Its method." },
    { "refresh.body", E(BODIES), NULL, "How parameters are sent." },
    { "refresh.params", MAP, NULL, "Further parameters." },
    { "refresh.query", MAP, NULL, "Parameters of the address." },
    { "refresh.headers", MAP, NULL, "Further headers." },
    { "refresh.rename", MAP, NULL, "Standard parameter to the provider's name for it." },
    { "refresh.omit", W, NULL, "Standard parameters that are not sent." },
    { "refresh.ok_status", INTS, NULL, "Statuses of success." },
    { "refresh.margin_s", INT, NULL, "Refresh at least this long before the end." },
    { "refresh.min_age_s", INT, NULL, "Never refresh a younger access token." },
    { "refresh.idle_s", INT, NULL, "Refresh at least this often, used or not." },
    { "refresh.retry_class", E(RETRIES), "unknown",
      "What becomes of a refresh token that is presented again." },
    { "refresh.retry_grace_s", INT, NULL, "With grace: how long the old one still works." },
    { "refresh.extend_only", BOOL, "false",
      "The answer holds no tokens: success prolongs the one there is." },

    ANSWER("response"),
    { "response.error", TW, NULL, "Path of the error word; error, error.code, error.type, code are tried." },
    { "response.error_text", TW, NULL, "Path of the error's text." },
    { "response.success", OBJ, NULL, "A flag in the body that must hold, whatever the status." },
    { "response.success.path", T, NULL, "Where it stands." },
    { "response.success.equals", T, NULL, "Its value in a success, as text." },
    { "response.save", MAP, NULL, "Path in the answer to the name of a kept value." },

    { "exchange", OBJ, NULL, "A second request that trades the token just received for a better one." },
    { "exchange.on", W, NULL, "After which answers: code, refresh." },
    { "exchange.method", E(METHODS), "GET", "Its method." },
    { "exchange.url", U, NULL, "Its address." },
    { "exchange.body", E(BODIES), "form", "How parameters are sent." },
    { "exchange.query", MAP, NULL, "Parameters of the address." },
    { "exchange.params", MAP, NULL, "Parameters of the body." },
    { "exchange.headers", MAP, NULL, "Headers." },
    { "exchange.ok_status", INTS, NULL, "Statuses of success." },
    { "exchange.keep", W, NULL,
      "What of the first answer stays when the second lacks it; default refresh_token." },
    ANSWER("exchange.response"),

    { "idtoken", OBJ, NULL, "ID tokens, when openid is asked." },
    { "idtoken.algs", T, "RS256 PS256 ES256 EdDSA", "Allowed algorithms; HS256 takes the client secret." },
    { "idtoken.jwks_url", U, NULL, "Keys, when discovery does not tell." },
    { "idtoken.on_refresh", E("check|ignore"), "check", "What to do with one that comes with a refresh." },

    { "revoke", OBJ, NULL, "How access is ended." },
    { "revoke.style", E("rfc7009|bearer|body|path|none"), NULL,
      "none: a person does it. Default: rfc7009 when discovery names an endpoint, else none." },
    { "revoke.url", U, NULL, "Its address; ${refresh_token} and ${access_token} for style path." },
    { "revoke.method", E(METHODS), NULL, "POST, or DELETE for style path." },
    { "revoke.token", E("refresh|access|both"), "refresh",
      "What is presented; the access token when no other is there." },
    { "revoke.token_param", T, "token", "Name of the parameter that holds it." },
    { "revoke.body", E(BODIES), "form", "How parameters are sent." },
    { "revoke.params", MAP, NULL, "Further parameters." },
    { "revoke.query", MAP, NULL, "Parameters of the address." },
    { "revoke.headers", MAP, NULL, "Further headers." },
    { "revoke.auth", E("post|basic|both|none|off|basic_secret_as_user|private_key_jwt|bearer"), NULL,
      "Client authentication (off: not even the id); default as at the token endpoint for rfc7009 and body, "
      "else off." },
    { "revoke.ok_status", INTS, NULL, "Statuses of success; default 200 and 204." },
    { "revoke.gone_status", INTS, NULL, "Statuses that say it was gone already." },
    { "revoke.gone_error", W, NULL, "Error words that say it was gone already; default invalid_token." },
    { "revoke.text", T, NULL, "Style none: what a person does." },
    { "revoke.page", U, NULL, "Style none: where." },

    { "introspect", OBJ, NULL, "RFC 7662, for verify and for the end of tokens that do not say it." },
    { "introspect.url", U, NULL, "Its address." },
    { "introspect.auth", E("post|basic|both|none|basic_secret_as_user|private_key_jwt"), NULL,
      "As client.auth." },
    { "introspect.active", T, "active", "Path of the flag." },
    { "introspect.exp", T, "exp", "Path of the end, Unix seconds." },
    { "introspect.params", MAP, NULL, "Further parameters." },
    { "introspect.headers", MAP, NULL, "Further headers." },

    { "verify", OBJ, NULL, "A harmless request that shows that a token lives and whose it is." },
    { "verify.method", E(METHODS), "GET", "Its method." },
    { "verify.url", U, NULL, "Its address." },
    { "verify.auth", E("api|none"), "api", "api: with api.auth_header; none: the address says it all." },
    { "verify.headers", MAP, NULL, "Further headers." },
    { "verify.query", MAP, NULL, "Parameters of the address." },
    { "verify.ok_status", INTS, NULL, "Statuses of success; default 200." },
    { "verify.reauth_status", INTS, NULL, "Statuses that say the token is dead; default 401." },
    { "verify.present", T, NULL,
      "Path that every success has, by default account_id: without it nothing is known." },
    { "verify.dead", T, NULL,
      "Path of a text whose presence in a success says that the token is dead after all." },
    { "verify.account_id", TW, NULL, "Path of the account's id." },
    { "verify.account_name", TW, NULL, "Path of its name." },
    { "verify.scopes", TW, NULL, "Path of the scopes, or header:NAME." },
    { "verify.on_grant", BOOL, "true", "Also ask right after consent, to show who it was." },
    { "verify.save", MAP, NULL, "Path in the answer to the name of a kept value." },

    { "api", OBJ, NULL, "How the access token is presented." },
    { "api.auth_header", T, "Authorization: Bearer ${access_token}", "The header that carries it." },
    { "api.base", U, NULL, "Root of the API, for people." },
    { "api.headers", MAP, NULL, "Headers of every request that carries the access token." },

    { "limits", OBJ, NULL, "How the provider says: too many requests." },
    { "limits.retry_after", W, NULL, "Headers with seconds or a date; default retry-after." },
    { "limits.reset_at", W, NULL, "Headers with a time (Unix seconds, ms, or ISO 8601)." },
    { "limits.reset_in", W, NULL, "Headers with seconds to wait." },
    { "limits.remaining", W, NULL, "Headers that count down; 0 with status 403 means limited." },
    { "limits.status", INTS, NULL, "Statuses that mean it beside 429." },

    { "errors", LIST, NULL, "The provider's own meanings, first match wins, before the standard ones." },
    { "errors.*", OBJ, NULL, "One rule; all that it says must hold." },
    { "errors.*.status", INT, NULL, "HTTP status; 0: the callback." },
    { "errors.*.error", T, NULL, "Error word." },
    { "errors.*.contains", T, NULL, "Part of the body, small letters or capitals." },
    { "errors.*.path", T, NULL, "Path whose value is compared." },
    { "errors.*.equals", T, NULL, "That value, as text." },
    { "errors.*.class", GRANTD_F_ENUM, 1, CLASSES, NULL, "Who has to act." },
    { "errors.*.max_token_age_s", INT, NULL, "Only for access tokens that are at most this old." },

    { "guided", LIST, NULL, "What people do by hand." },
    { "guided.*", OBJ, NULL, "One step." },
    { "guided.*.id", T, NULL, "Its name." },
    { "guided.*.title", GRANTD_F_TEXT, 1, NULL, NULL, "What is done." },
    { "guided.*.text", T, NULL, "How." },
    { "guided.*.url", U, NULL, "Where." },
    { "guided.*.copy", T, NULL, "What to copy there." },
    { "guided.*.ask", T, NULL, "Name of what must be handed back." },
    { "guided.*.when", E("before|after"), "after", "With the request, or once consent was given." },

    { "lifetimes", OBJ, NULL, "What the documentation says, for planning." },
    { "lifetimes.access_s", INT, NULL, "Access token." },
    { "lifetimes.refresh_s", INT, NULL, "Refresh token." },
    { "lifetimes.refresh_fixed", BOOL, "false", "Its end is fixed at consent: no refresh moves it." },
    { "lifetimes.code_s", INT, NULL, "Code." },
    { 0 },
};
