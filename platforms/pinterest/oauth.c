/* oauth.c - Pinterest's OAuth 2: consent, code, refresh, and whose token it is (spec: oauth/token,
 * user_account/get; facts: linkedin_shopify_oauth2.md 4, Pinterest). */
#include "pinterest.h"

#define SHARING "user_accounts:read,ads:read,biz_access:read,biz_access:write"
#define READING "user_accounts:read,ads:read"

static int yes(const grantd_op *op, const char *option)
{
    return grantd_equal(grantd_option(op, option), "true");
}

static const char *scope_of(const grantd_op *op)
{
    return pin_mode(op) == PIN_TOKEN ? grantd_option(op, "scopes") : SHARING;
}

grantd_next *pin_authorize(grantd_op *op)
{
    const char *scope = scope_of(op);

    return grantd_done(
        op, .redirect_url =
                grantd_url(op, grantd_option(op, "auth_url"), "client_id", grantd_option(op, "client_id"),
                           "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "response_type", "code",
                           "scope", scope ? scope : READING, "state", grantd_arg(op, GRANTD_ARG_STATE)));
}

grantd_next *pin_refused_callback(grantd_op *op)
{
    const char *error = grantd_query(op, "error");

    if (grantd_equal(error, "access_denied"))
        return grantd_fail(op, GRANTD_E_DECLINED, "the person said no at Pinterest");
    return grantd_fail(op, GRANTD_E_CONFIG, "Pinterest sent the person back with an error");
}

/* ---- tokens ---- */

static grantd_next *post(grantd_op *op, const char *const *form, grantd_doc_fn *next)
{
    pin(op)->who = PIN_CLIENT;
    return grantd_http(op, next, .url = grantd_option(op, "token_url"), .form = form,
                       .basic_user = grantd_option(op, "client_id"),
                       .basic_pass = grantd_option(op, "client_secret"));
}

static int has_tokens(grantd_op *op, const grantd_doc *a)
{
    const char *type = grantd_text(op, a, "token_type");

    return grantd_text(op, a, "access_token") && (!type || !strcasecmp(type, "bearer"));
}

/* Scopes come joined by blanks or commas. */
static int has_scopes(const grantd_op *op, const char *scope)
{
    return pin_mode(op) == PIN_TOKEN || !scope ||
           (strstr(scope, "biz_access:read") && strstr(scope, "biz_access:write") &&
            strstr(scope, "ads:read"));
}

/* The spec does not say which refusal is the client's and which is the app's: 401 is "Client authentication
 * error" at the revocation beside it, so it is the app's here. */
static grantd_next *refused(grantd_op *op, const grantd_doc *a)
{
    if (grantd_status(op, a) == 401 && grantd_num(op, a, "code", -1) >= 0)
        return grantd_fail(op, GRANTD_E_CONFIG, "Pinterest does not accept client_id and client_secret");
    if (grantd_status(op, a) == 400 && grantd_num(op, a, "code", -1) >= 0)
        return grantd_fail(op, GRANTD_E_REAUTH,
                           "Pinterest does not accept the code or refresh token (code %lld)",
                           (long long)grantd_num(op, a, "code", -1));
    return pin_fail(op, a);
}

static int64_t refresh_life(grantd_op *op, const grantd_doc *a)
{
    return grantd_num(op, a, "refresh_token_expires_in", 0);
}

static grantd_doc_fn on_person;

static grantd_next *who(grantd_op *op)
{
    if (grantd_arg(op, GRANTD_ARG_ACCOUNT_ID))
        return pin_work(op);
    return pin_send(op, pin_mode(op) == PIN_AGENCY ? PIN_HUB : PIN_CLIENT, "GET", "/user_account", NULL,
                    GRANTD_HTTP_REPEATABLE, on_person);
}

static grantd_next *on_person(grantd_op *op, const grantd_doc *a)
{
    const char *id = grantd_text(op, a, "id"), *type = grantd_text(op, a, "account_type"),
               *name = grantd_text(op, a, "business_name");

    if (!grantd_ok(op, a) || !pin_id(id))
        return pin_fail(op, a);
    if (!grantd_equal(type, "BUSINESS"))
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "this is no business account at Pinterest: only those have ad accounts to share");
    grantd_note(op, "business", id); /* the account id becomes an argument in the next operation only */
    return grantd_save(op, pin_work, .account_id = id,
                       .account_name = name ? name : grantd_text(op, a, "username"));
}

static grantd_next *on_tokens(grantd_op *op, const grantd_doc *a)
{
    const char *scope = grantd_text(op, a, "scope");

    if (!grantd_ok(op, a))
        return refused(op, a);
    if (!has_tokens(op, a) || !grantd_text(op, a, "refresh_token"))
        return pin_fail(op, a);
    if (!has_scopes(op, scope))
        return grantd_fail(op, GRANTD_E_DECLINED, "the consent does not cover business access");
    return grantd_save(op, who, .access_token = grantd_text(op, a, "access_token"),
                       .refresh_token = grantd_text(op, a, "refresh_token"), .scope = scope,
                       .expires_in = grantd_num(op, a, "expires_in", 0),
                       .refresh_expires_in = refresh_life(op, a));
}

grantd_next *pin_exchange(grantd_op *op)
{
    if (grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return who(op);
    if (!grantd_arg(op, GRANTD_ARG_CODE))
        return grantd_fail(op, GRANTD_E_DECLINED, "the person came back from Pinterest without a code");
    return post(op,
                grantd_pairs("grant_type", "authorization_code", "code", grantd_arg(op, GRANTD_ARG_CODE),
                             "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI),
                             yes(op, "continuous_refresh") ? "continuous_refresh" : "code",
                             yes(op, "continuous_refresh") ? "true" : NULL),
                on_tokens);
}

/* Spec: a refresh token always comes with it. What becomes of the old one is not said. */
static grantd_next *on_renewed(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a))
        return refused(op, a);
    if (!has_tokens(op, a))
        return pin_fail(op, a);
    return grantd_done(op, .access_token = grantd_text(op, a, "access_token"),
                       .refresh_token = grantd_text(op, a, "refresh_token"),
                       .scope = grantd_text(op, a, "scope"), .expires_in = grantd_num(op, a, "expires_in", 0),
                       .refresh_expires_in = refresh_life(op, a));
}

grantd_next *pin_refresh(grantd_op *op)
{
    const char *old = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);

    if (!old)
        return grantd_fail(op, GRANTD_E_REAUTH, "there is no refresh token");
    return post(op, grantd_pairs("grant_type", "refresh_token", "refresh_token", old), on_renewed);
}
