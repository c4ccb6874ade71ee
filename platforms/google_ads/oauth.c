/* oauth.c - Google's OAuth 2: the consent, the code, the refresh, whose token it is (facts: B2). */
#include "google_ads.h"

#define SCOPE_ADS    "https://www.googleapis.com/auth/adwords"
#define TESTING_LIFE 604800 /* a refresh token of an app in testing: seven days */
/* An unused refresh token dies after six months: it is used long before, wanted or not. */
#define IDLE (120 * 86400)

static int yes(const grantd_op *op, const char *option)
{
    const char *v = grantd_option(op, option);

    return v && !strcmp(v, "true");
}

/* ---- the consent ---- */

grantd_next *ga_authorize(grantd_op *op)
{
    const char *scope = yes(op, "identity") ? SCOPE_ADS " openid email" : SCOPE_ADS;

    return grantd_done(op, .redirect_url = grantd_url(
                               op, grantd_option(op, "auth_url"), "client_id", grantd_option(op, "client_id"),
                               "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "response_type",
                               "code", "scope", scope, "access_type", "offline", "prompt", "consent",
                               "include_granted_scopes", yes(op, "include_granted_scopes") ? "true" : NULL,
                               "state", grantd_arg(op, GRANTD_ARG_STATE), "code_challenge",
                               grantd_arg(op, GRANTD_ARG_CODE_CHALLENGE), "code_challenge_method",
                               grantd_arg(op, GRANTD_ARG_CODE_CHALLENGE) ? "S256" : NULL, "login_hint",
                               grantd_param(op, "login_hint")));
}

/* The callback's ?error= (facts: callback). */
grantd_next *ga_refused_callback(grantd_op *op)
{
    static const struct {
        const char *word;
        int fails;
        const char *text;
    } words[] = {
        { "access_denied", GRANTD_E_DECLINED,
          "the person said no at Google (or is no test user of an app in testing)" },
        { "admin_policy_enforced", GRANTD_E_MANUAL,
          "the Google Workspace administrator of this person has to allow the app first" },
        { "org_internal", GRANTD_E_MANUAL, "the app is for members of its own organisation only" },
        { "redirect_uri_mismatch", GRANTD_E_CONFIG, "the redirect URI is not registered at Google" },
        { "invalid_client", GRANTD_E_CONFIG, "Google does not know the option client_id" },
        { "deleted_client", GRANTD_E_CONFIG, "the OAuth client was deleted at Google" },
        { "disallowed_useragent", GRANTD_E_CONFIG, "Google does not allow this browser to sign in" },
        { "invalid_request", GRANTD_E_CONFIG, "Google calls the request for consent invalid" },
        { "invalid_scope", GRANTD_E_CONFIG, "Google does not give the scope to this app" },
    };
    const char *error = grantd_query(op, "error");

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i].word, error))
            return grantd_fail(op, words[i].fails, "%s: %s", error, words[i].text);
    return grantd_fail(op, GRANTD_E_CONFIG,
                       "Google sent the person back with an error that its documentation does not name");
}

/* ---- tokens ---- */

int ga_scope_fits(const char *scope)
{
    size_t n = strlen(SCOPE_ADS);

    for (const char *at = scope ? strstr(scope, SCOPE_ADS) : NULL; at; at = strstr(at + 1, SCOPE_ADS))
        if ((at == scope || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return 1;
    return 0;
}

/* Consent for a time, or an app in testing: no refresh passes that. */
static int64_t horizon(grantd_op *op, const grantd_doc *a)
{
    int64_t life = grantd_num(op, a, "refresh_token_expires_in", 0);

    if (life <= 0)
        return 0;
    if (life <= TESTING_LIFE)
        grantd_warn(
            op, "APP_IN_TESTING",
            "the consent ends in %lld days because the app's consent screen is in testing: publish it "
            "in the Google Cloud project",
            (long long)((life + 43200) / 86400));
    return grantd_now(op) + life;
}

static int has_tokens(grantd_op *op, const grantd_doc *a)
{
    const char *type = grantd_text(op, a, "token_type");

    return grantd_text(op, a, "access_token") && (!type || ga_same_text(type, "Bearer"));
}

static grantd_next *post(grantd_op *op, const char *const *form, uint32_t flags, grantd_doc_fn *next)
{
    ga(op)->who = GA_CLIENT; /* also for the hub: here it is the one who consents */
    return grantd_http(op, next, .url = grantd_option(op, "token_url"), .form = form, .flags = flags);
}

/* ---- whose it is ---- */

static grantd_doc_fn on_who;

grantd_next *ga_who(grantd_op *op)
{
    if (grantd_arg(op, GRANTD_ARG_ACCOUNT_ID) || !yes(op, "identity"))
        return ga_work(op);
    return ga_ask_token(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_who);
}

/* Without it the grant only has no name: a refusal here is no reason to lose the consent. */
static grantd_next *on_who(grantd_op *op, const grantd_doc *a)
{
    const char *aud = grantd_text(op, a, "aud"), *sub = grantd_text(op, a, "sub");

    if (!grantd_ok(op, a) || !aud) {
        grantd_log(op, GRANTD_WARN, "Google did not say whose token it is (HTTP %d)", grantd_status(op, a));
        return ga_work(op);
    }
    if (strcmp(aud, grantd_option(op, "client_id")) != 0)
        return ga_lied(op, "the token belongs to another OAuth client");
    if (!sub)
        return ga_work(op);
    return grantd_save(op, ga_work, .account_id = sub, .account_name = grantd_text(op, a, "email"));
}

static grantd_next *on_tokens(grantd_op *op, const grantd_doc *a)
{
    const char *scope = grantd_text(op, a, "scope");

    if (!grantd_ok(op, a) || !has_tokens(op, a))
        return ga_fail(op, a);
    if (!grantd_text(op, a, "refresh_token"))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "Google gave no refresh token although access_type=offline "
                           "and prompt=consent were asked for");
    if (scope && !ga_scope_fits(scope))
        return grantd_fail(op, GRANTD_E_DECLINED, "the person left the box for Google Ads unticked");
    return grantd_save(op, ga_who, .access_token = grantd_text(op, a, "access_token"),
                       .refresh_token = grantd_text(op, a, "refresh_token"), .scope = scope,
                       .expires_in = grantd_num(op, a, "expires_in", 0),
                       .refresh_expires_in = grantd_num(op, a, "refresh_token_expires_in", 0),
                       .horizon_at = horizon(op, a), .idle = IDLE);
}

grantd_next *ga_exchange(grantd_op *op)
{
    const char *code = grantd_arg(op, GRANTD_ARG_CODE);

    if (!code)
        return grantd_fail(op, GRANTD_E_DECLINED, "the person came back from Google without a code");
    return post(op,
                grantd_pairs("grant_type", "authorization_code", "code", code, "client_id",
                             grantd_option(op, "client_id"), "client_secret",
                             grantd_option(op, "client_secret"), "redirect_uri",
                             grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "code_verifier",
                             grantd_arg(op, GRANTD_ARG_CODE_VERIFIER)),
                0, on_tokens);
}

/* ---- refresh ---- */

/* Normally without a refresh token: the old one stays. */
static grantd_next *on_renewed(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) || !has_tokens(op, a))
        return ga_fail(op, a);
    ga_warn_version(op);
    return grantd_done(op, .access_token = grantd_text(op, a, "access_token"),
                       .refresh_token = grantd_text(op, a, "refresh_token"),
                       .scope = grantd_text(op, a, "scope"), .expires_in = grantd_num(op, a, "expires_in", 0),
                       .refresh_expires_in = grantd_num(op, a, "refresh_token_expires_in", 0),
                       .horizon_at = horizon(op, a), .idle = IDLE);
}

/* Google does not rotate: a refresh may be repeated as often as it takes. */
grantd_next *ga_refresh(grantd_op *op)
{
    const char *old = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);

    if (!old)
        return grantd_fail(op, GRANTD_E_REAUTH, "there is no refresh token");
    return post(op,
                grantd_pairs("grant_type", "refresh_token", "refresh_token", old, "client_id",
                             grantd_option(op, "client_id"), "client_secret",
                             grantd_option(op, "client_secret")),
                GRANTD_HTTP_REPEATABLE, on_renewed);
}

/* ---- introspection and the end ---- */

/* By POST with Bearer a token stays out of addresses, which are logged by whoever stands between. */
grantd_next *ga_ask_token(grantd_op *op, const char *token, grantd_doc_fn *next)
{
    const char *by = grantd_option(op, "tokeninfo_by"), *at = grantd_option(op, "tokeninfo_url");

    ga(op)->who = GA_CLIENT;
    if (by && !strcmp(by, "query"))
        return grantd_http(op, next, .url = at, .query = grantd_pairs("access_token", token),
                           .flags = GRANTD_HTTP_REPEATABLE);
    return grantd_http(op, next, .url = at, .method = "POST", .bearer = token,
                       .flags = GRANTD_HTTP_REPEATABLE);
}

grantd_next *ga_end_token(grantd_op *op, const char *token, grantd_doc_fn *next)
{
    ga(op)->who = GA_CLIENT;
    return grantd_http(op, next, .url = grantd_option(op, "revoke_url"), .form = grantd_pairs("token", token),
                       .flags = GRANTD_HTTP_REPEATABLE);
}
