/* token.c - the consent and what it yields. An access token lives for 60 days; apps that LinkedIn approved
 * for it also get a refresh token that stays the same and ends a fixed 365 days after the consent. */
#include "linkedin.h"

#define OAUTH "https://www.linkedin.com/oauth/v2/"

enum { SUPERSEDED_MAX = 4, YEAR_S = 365 * 86400 };

/* ---- refusals of the OAuth endpoints: by text, then by word, then by status
 * ----------------------------------- */

static const struct {
    int status; /* 0: any */
    const char *word, *part;
    int code;
    const char *text;
} oauth_errors[] = {
    { 0, NULL, "required parameter", GRANTD_E_CONFIG, "a parameter was missing" },
    { 0, NULL, "client authentication failed", GRANTD_E_CONFIG, "client_id or client_secret is wrong" },
    { 0, "invalid_client_id", NULL, GRANTD_E_CONFIG, "client_id is wrong" },
    { 0, "invalid_client", NULL, GRANTD_E_CONFIG, "client_id or client_secret is wrong" },
    { 0, "unauthorized_client", NULL, GRANTD_E_CONFIG, "the app may not do this" },
    { 0, "invalid_grant", NULL, GRANTD_E_REAUTH, "the consent has ended" },
    { 0, "invalid_redirect_uri", NULL, GRANTD_E_REAUTH,
      "the code has expired, or the redirect URI is not the one that is registered at LinkedIn" },
    { 400, "invalid_request", "expired", GRANTD_E_REAUTH, "the consent or its code has expired" },
    { 400, "invalid_request", "revoked", GRANTD_E_REAUTH, "the consent was revoked" },
    { 400, "invalid_request", "invalid", GRANTD_E_REAUTH, "the consent is no longer valid" },
    { 400, "invalid_request", "does not match", GRANTD_E_REAUTH, "the code is not valid here" },
    { 401, "invalid_request", "not found", GRANTD_E_REAUTH, "the code is wrong or was used already" },
    { 401, "invalid_request", NULL, GRANTD_E_REAUTH, "the code is wrong or was used already" },
    { 429, NULL, NULL, GRANTD_E_LIMITED, "too many requests" },
    { 408, NULL, NULL, GRANTD_E_TRANSIENT, "it took too long" },
    { 411, NULL, NULL, GRANTD_E_CONFIG, "the request had no length" },
};
#define NOAUTH (sizeof oauth_errors / sizeof oauth_errors[0])

static size_t oauth_row(grantd_op *op, const grantd_doc *answer)
{
    const char *word = grantd_text(op, answer, "error"), *text = grantd_text(op, answer, "error_description");
    int status = grantd_status(op, answer);

    for (size_t i = 0; i < NOAUTH; i++)
        if ((!oauth_errors[i].status || oauth_errors[i].status == status) &&
            (!oauth_errors[i].word || (word && !strcmp(word, oauth_errors[i].word))) &&
            (!oauth_errors[i].part || grantd_contains(text, oauth_errors[i].part)))
            return i;
    return NOAUTH;
}

grantd_next *li_fail_oauth(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);
    size_t row = status / 100 == 4 ? oauth_row(op, answer) : NOAUTH;

    if (status / 100 == 2)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "LinkedIn's answer holds no usable token");
    if (row == NOAUTH)
        return grantd_fail_answer(op, answer);
    if (oauth_errors[row].code == GRANTD_E_LIMITED)
        li_park(op, answer); /* there is time: tokens are renewed days before their end */
    return grantd_fail(op, oauth_errors[row].code, "LinkedIn answered %d: %s", status,
                       oauth_errors[row].text);
}

/* Facts: 1.2 Introspect, "401 bad secret": of the token nothing was said. */
grantd_next *li_fail_introspect(grantd_op *op, const grantd_doc *answer)
{
    if (grantd_status(op, answer) == 401)
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "LinkedIn answered 401: client_id or client_secret is wrong, and no token was looked at");
    return li_fail_oauth(op, answer);
}

/* ---- what a token answer says
 * --------------------------------------------------------------------------------- */

const char *li_scope_of(grantd_op *op, const char *scope)
{
    size_t n = scope ? strlen(scope) : 0, len = 0;
    char *out = n ? grantd_alloc(op, n + 1) : NULL;

    for (size_t i = 0; out && i < n; i++)
        if (scope[i] != ',' && scope[i] != ' ')
            out[len++] = scope[i];
        else if (len && out[len - 1] != ' ')
            out[len++] = ' ';
    return out && len ? out : NULL;
}

/* Asking a member for another set of scopes ends every token that member gave this app earlier. */
void li_check_scope(grantd_op *op, const char *granted)
{
    if (granted && !li_same_words(granted, li_scopes(op)))
        grantd_warn(op, "SCOPE_SET_DIFFERS",
                    "this consent was given for other scopes than scope_set names now; asking this person "
                    "again ends the tokens given earlier, so have every client of this app consent anew");
}

static struct grantd_result clocks_of(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = { .size = sizeof r };
    int64_t left = grantd_num(op, answer, "refresh_token_expires_in", 0);

    r.access_token = grantd_text(op, answer, "access_token");
    r.refresh_token = grantd_text(op, answer, "refresh_token");
    r.scope = li_scope_of(op, grantd_text(op, answer, "scope"));
    r.expires_in = grantd_num(op, answer, "expires_in", 0);
    if (left > 0 && left <= YEAR_S + 86400) {
        r.refresh_expires_in = left;
        r.horizon_at = grantd_now(op) + left;
        if (r.expires_in > left)
            r.expires_in = left;
    }
    return r;
}

/* ---- the consent
 * ---------------------------------------------------------------------------------------------- */

static grantd_doc_fn on_exchanged;

/* The words come back HTML-escaped at times and are never repeated. */
static grantd_next *refused(grantd_op *op, const char *error)
{
    if (!strcmp(error, "user_cancelled_login") || !strcmp(error, "user_cancelled_authorize") ||
        !strcmp(error, "access_denied"))
        return grantd_fail(op, GRANTD_E_DECLINED, "the client said no at LinkedIn");
    if (!strcmp(error, "unauthorized_scope_error"))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "LinkedIn has not approved this app for the scopes of scope_set; add the product to "
            "the app in the developer portal, or choose another scope_set");
    return grantd_fail(op, GRANTD_E_PROTOCOL,
                       "LinkedIn sent the browser back with an error that is not known");
}

grantd_next *li_exchange(grantd_op *op)
{
    const char *error = grantd_query(op, "error"), *code = grantd_arg(op, GRANTD_ARG_CODE);

    if (error)
        return refused(op, error);
    if (!code || !*code)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "LinkedIn sent the browser back without a code");
    return grantd_http(op, on_exchanged, .url = OAUTH "accessToken",
                       .form = grantd_pairs("grant_type", "authorization_code", "code", code, "client_id",
                                            grantd_option(op, "client_id"), "client_secret",
                                            grantd_option(op, "client_secret"), "redirect_uri",
                                            grantd_arg(op, GRANTD_ARG_REDIRECT_URI)));
}

/* Without a refresh token nothing renews it: a window that only a new consent opens again. */
static grantd_next *on_exchanged(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = clocks_of(op, answer);

    if (!grantd_ok(op, answer) || !r.access_token || r.expires_in <= 0)
        return li_fail_oauth(op, answer);
    grantd_note(op, "issued", grantd_strf(op, "%lld", (long long)grantd_now(op)));
    li_check_scope(op, r.scope);
    if (!r.refresh_token) {
        grantd_warn(op, "NO_PROGRAMMATIC_REFRESH",
                    "LinkedIn gave this app no refresh token: the client has to consent again every 60 days "
                    "unless LinkedIn approves the app for programmatic refresh");
        r.shape = GRANTD_SHAPE_WINDOW;
        r.horizon_at = grantd_now(op) + r.expires_in;
    } else if (!r.horizon_at) {
        r.horizon_at = grantd_now(op) + YEAR_S;
    }
    return op->host->save(op, &r, li_grant);
}

/* ---- the refresh
 * ---------------------------------------------------------------------------------------------- */

/* The token that is replaced lives on until its own end: it is kept, so that closing can end it too. */
static void keep_superseded(grantd_op *op)
{
    const char *old = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), *end = grantd_arg(op, GRANTD_ARG_EXPIRES_AT);
    int64_t now = grantd_now(op), first = INT64_MAX;
    const char *slot = "old.0";

    if (!old || strlen(old) > 4000 || (grantd_number(end) >= 0 && grantd_number(end) <= now))
        return;
    for (int i = 0; i < SUPERSEDED_MAX; i++) {
        const char *key = grantd_strf(op, "old.%d", i), *kept = grantd_kept(op, key);
        int64_t ends = kept ? grantd_number(grantd_strf(op, "%.*s", (int)strcspn(kept, " "), kept)) : 0;

        if (ends <= now)
            grantd_keep(op, key, NULL);
        if (ends < first) {
            first = ends;
            slot = key;
        }
    }
    grantd_keep(op, slot, grantd_strf(op, "%s %s", end && grantd_number(end) > 0 ? end : "9999999999", old));
}

static grantd_next *on_refreshed(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = clocks_of(op, answer);

    if (!grantd_ok(op, answer) || !r.access_token || r.expires_in <= 0)
        return li_fail_oauth(op, answer);
    li_check_scope(op, r.scope);
    if (strcmp(r.access_token,
               grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) : ""))
        keep_superseded(op);
    return op->host->done(op, &r);
}

static grantd_next *on_alive(grantd_op *op, const grantd_doc *answer)
{
    if (!grantd_ok(op, answer) || grantd_type(op, answer, "active") != GRANTD_IS_BOOL)
        return li_fail_introspect(op, answer);
    if (!grantd_num(op, answer, "active", 0))
        return grantd_fail(op, GRANTD_E_REAUTH,
                           "the access token is dead, and this app gets no refresh tokens");
    return grantd_finish(op);
}

grantd_next *li_refresh(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
               *access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    if (token)
        return grantd_http(op, on_refreshed, .url = OAUTH "accessToken",
                           .form = grantd_pairs("grant_type", "refresh_token", "refresh_token", token,
                                                "client_id", grantd_option(op, "client_id"), "client_secret",
                                                grantd_option(op, "client_secret")),
                           .flags = GRANTD_HTTP_REPEATABLE);
    if (!access)
        return grantd_fail(op, GRANTD_E_REAUTH, "there is no token left to look at");
    return li_introspect(op, access, on_alive);
}

/* ---- whose token, and is it alive
 * ----------------------------------------------------------------------------- */

grantd_next *li_introspect(grantd_op *op, const char *token, grantd_doc_fn *next)
{
    return grantd_http(op, next, .url = OAUTH "introspectToken",
                       .form = grantd_pairs("client_id", grantd_option(op, "client_id"), "client_secret",
                                            grantd_option(op, "client_secret"), "token", token),
                       .flags = GRANTD_HTTP_REPEATABLE);
}

static int openid(const grantd_op *op)
{
    return li_has_word(li_scopes(op), "openid");
}

grantd_next *li_ask_who(grantd_op *op, const char *token, grantd_doc_fn *next)
{
    return li_get(op, openid(op) ? "https://api.linkedin.com/v2/userinfo" : "https://api.linkedin.com/v2/me",
                  token, next);
}

const char *li_who_of(grantd_op *op, const grantd_doc *answer)
{
    const char *id = grantd_text(op, answer, openid(op) ? "sub" : "id");

    return li_person(id) ? id : NULL;
}
