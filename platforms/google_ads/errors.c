/* errors.c - what a refusal means: who has to act. The table is the facts' error table, row by row; words it
 * does not know are classified by the status word of google.rpc, then by the HTTP status (facts: 0.1
 * "Classify unknown error oneofs by the google.rpc status"). */
#include "google_ads.h"

#define SHORT_WAIT 30   /* quota of a moment, no retryDelay said */
#define LONG_WAIT  3600 /* quota of a day, no retryDelay said */

/* A: about one account, others may go on. P: about the project, the person or the hub. */
enum { P = 0, A = 1 };

static const struct row {
    const char *family, *value; /* value NULL: all of the family */
    int fails, about_account;
    const char *text;
} rows[] = {
    { "authenticationError", "OAUTH_TOKEN_EXPIRED", GRANTD_E_REAUTH, P, NULL },
    { "authenticationError", "OAUTH_TOKEN_INVALID", GRANTD_E_REAUTH, P, NULL },
    { "authenticationError", "OAUTH_TOKEN_REVOKED", GRANTD_E_REAUTH, P, NULL },
    { "authenticationError", "OAUTH_TOKEN_DISABLED", GRANTD_E_REAUTH, P, NULL },
    { "authenticationError", "GOOGLE_ACCOUNT_DELETED", GRANTD_E_REAUTH, P, NULL },
    { "authenticationError", "GOOGLE_ACCOUNT_AUTHENTICATION_FAILED", GRANTD_E_REAUTH, P, NULL },
    { "authenticationError", "AUTHENTICATION_ERROR", GRANTD_E_REAUTH, P, NULL },
    { "authenticationError", "NOT_ADS_USER", GRANTD_E_FORBIDDEN, P,
      "this Google user has no Google Ads account" },
    { "authenticationError", "CUSTOMER_NOT_FOUND", GRANTD_E_CONFIG, A,
      "there is no Google Ads account with this customer id" },
    { "authenticationError", "CLIENT_CUSTOMER_ID_INVALID", GRANTD_E_CONFIG, A, "this is no customer id" },
    { "authenticationError", "TWO_STEP_VERIFICATION_NOT_ENROLLED", GRANTD_E_MANUAL, P,
      "the person has to switch on 2-Step Verification for the Google account" },
    { "authenticationError", "ADVANCED_PROTECTION_NOT_ENROLLED", GRANTD_E_MANUAL, P,
      "the person has to enrol in Advanced Protection with the Google account" },
    { "authenticationError", "DEVELOPER_TOKEN_INVALID", GRANTD_E_CONFIG, P,
      "the option developer_token is wrong; since 2026-09-09 it can be left out" },
    { "authenticationError", NULL, GRANTD_E_CONFIG, P, NULL },

    { "authorizationError", "USER_PERMISSION_DENIED", GRANTD_E_FORBIDDEN, A,
      "the Google user who acts has no access to this account" },
    { "authorizationError", "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION", GRANTD_E_CONFIG, A,
      "the account is not linked under the manager account" },
    { "authorizationError", "ACTION_NOT_PERMITTED", GRANTD_E_FORBIDDEN, A,
      "the Google user who acts is no administrator of this account" },
    { "authorizationError", "CUSTOMER_NOT_ENABLED", GRANTD_E_FORBIDDEN, A,
      "the account is not enabled: it was never set up, or it is closed" },
    { "authorizationError", "INCOMPLETE_SIGNUP", GRANTD_E_FORBIDDEN, A,
      "the account's sign-up was never finished" },
    { "authorizationError", "ACCESS_DENIED_FOR_ACCOUNT_TYPE", GRANTD_E_FORBIDDEN, A,
      "accounts of this type do not allow it" },
    { "authorizationError", "ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT", GRANTD_E_FORBIDDEN, A,
      "the account is suspended" },
    { "authorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", GRANTD_E_CONFIG, P,
      "the Google Cloud project has test access only: apply for Explorer or Basic access" },
    { "authorizationError", NULL, GRANTD_E_CONFIG, P,
      "the Google Cloud project of the app has to be mended" },

    { "quotaError", "RESOURCE_TEMPORARILY_EXHAUSTED", GRANTD_E_LIMITED, P, NULL },
    { "quotaError", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION", GRANTD_E_LIMITED, P, NULL },
    { "quotaError", "RESOURCE_EXHAUSTED", GRANTD_E_LIMITED, P,
      "the project's operations of the day are used up" },
    { "quotaError", "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION", GRANTD_E_LIMITED, P, NULL },
    { "quotaError", "ACCESS_PROHIBITED", GRANTD_E_CONFIG, P, NULL },

    { "internalError", "TRANSIENT_ERROR", GRANTD_E_TRANSIENT, P, NULL },
    { "internalError", "INTERNAL_ERROR", GRANTD_E_TRANSIENT, P, NULL },
    { "internalError", "DEADLINE_EXCEEDED", GRANTD_E_TRANSIENT, P, NULL },
    { "internalError", "ERROR_CODE_NOT_PUBLISHED", GRANTD_E_CONFIG, A, NULL },
    { "databaseError", "CONCURRENT_MODIFICATION", GRANTD_E_TRANSIENT, P, NULL },
    { "databaseError", "DATA_CONSTRAINT_VIOLATION", GRANTD_E_TRANSIENT, P, NULL },
    { "databaseError", "REQUEST_TOO_LARGE", GRANTD_E_CONFIG, A, NULL },
    { "headerError", NULL, GRANTD_E_CONFIG, P,
      "the manager account of the hub, or its option login_customer_id, is no customer id" },

    { "requestError", "RESOURCE_NOT_FOUND", GRANTD_E_ABSENT, A, "Google Ads knows no such thing any more" },
    { "requestError", "UNSUPPORTED_VERSION", GRANTD_E_CONFIG, P,
      "this version of the API has been switched off: set the option api_version to a newer one" },
    { "requestError", "CLOUD_PROJECT_NOT_FOUND", GRANTD_E_CONFIG, P,
      "the Google Cloud project of the app does not exist" },
    { "requestError", "DEVELOPER_TOKEN_PARAMETER_MISSING", GRANTD_E_CONFIG, P,
      "this version of the API wants a developer token: set the option developer_token" },
    { "requestError", "LOGIN_CUSTOMER_ID_PARAMETER_MISSING", GRANTD_E_CONFIG, P, NULL },
    { "requestError", "RPC_DEADLINE_TOO_SHORT", GRANTD_E_TRANSIENT, P, NULL },
    { "requestError", NULL, GRANTD_E_CONFIG, A, NULL },

    { "mutateError", "RESOURCE_NOT_FOUND", GRANTD_E_ABSENT, A, "Google Ads knows no such thing any more" },
    { "mutateError", "EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED", GRANTD_E_MANUAL, A,
      "the client has to declare in Google Ads whether it runs political advertising in the EU" },
    { "mutateError", NULL, GRANTD_E_CONFIG, A, NULL },

    { "managerLinkError", "TOO_MANY_INVITES", GRANTD_E_LIMITED, P,
      "the manager account has too many open invitations: cancel stale ones" },
    { "managerLinkError", "TOO_MANY_MANAGERS", GRANTD_E_FORBIDDEN, A,
      "the account is linked to as many manager accounts as Google Ads allows: the client has to remove "
      "one" },
    { "managerLinkError", "TOO_MANY_ACCOUNTS", GRANTD_E_FORBIDDEN, A,
      "the manager account is full: unlink accounts that are no longer needed" },
    { "managerLinkError", "TOO_MANY_ACCOUNTS_AT_MANAGER", GRANTD_E_FORBIDDEN, A,
      "the manager account is full: unlink accounts that are no longer needed" },
    { "managerLinkError", "CUSTOMER_CANNOT_MANAGE_SELF", GRANTD_E_FORBIDDEN, A,
      "this is the agency's own manager account" },
    { "managerLinkError", "ACCOUNTS_NOT_COMPATIBLE_FOR_LINKING", GRANTD_E_FORBIDDEN, A,
      "the two accounts cannot be linked, for example a test account and one that is none" },
    { "managerLinkError", "CLIENT_HAS_NO_ADMIN_USER", GRANTD_E_MANUAL, A,
      "the account needs an administrator of its own first: the client has to add one" },
    { "managerLinkError", "NON_OWNER_USER_CANNOT_MODIFY_LINK", GRANTD_E_FORBIDDEN, A,
      "only an owner of the account may change its manager links" },
    { "managerLinkError", "INVALID_STATUS_CHANGE", GRANTD_E_CONFIG, A,
      "the link's status changed meanwhile" },
    { "managerLinkError", "INVALID_CHANGE", GRANTD_E_CONFIG, A, "the link's status changed meanwhile" },
    { "managerLinkError", "CREATING_ENABLED_LINK_NOT_ALLOWED", GRANTD_E_CONFIG, A, NULL },
    { "managerLinkError", NULL, GRANTD_E_FORBIDDEN, A, NULL },

    { "customerManagerLinkError", "NO_PENDING_INVITE", GRANTD_E_CONFIG, A, "there is no open invitation" },
    { "customerManagerLinkError", "CANNOT_UNLINK_ACCOUNT_WITHOUT_ACTIVE_USER", GRANTD_E_MANUAL, A,
      "the account needs an administrator of its own before the link can end: the client has to add one" },
    { "customerManagerLinkError", "CANNOT_REMOVE_LAST_CLIENT_ACCOUNT_OWNER", GRANTD_E_MANUAL, A,
      "the manager is the account's last owner: the client has to name another one first" },
    { "customerManagerLinkError", "SAME_CLIENT_MORE_THAN_ONCE_PER_CALL", GRANTD_E_CONFIG, A, NULL },
    { "customerManagerLinkError", NULL, GRANTD_E_FORBIDDEN, A, NULL },
    { "customerClientLinkError", "CANNOT_HIDE_OR_UNHIDE_MANAGER_ACCOUNTS", GRANTD_E_CONFIG, A, NULL },
    { "customerClientLinkError", NULL, GRANTD_E_FORBIDDEN, A, NULL },

    { "accessInvitationError", "INVALID_INVITATION_ID", GRANTD_E_ABSENT, A, "there is no such invitation" },
    { "accessInvitationError", "GOOGLE_CONSUMER_ACCOUNT_NOT_ALLOWED", GRANTD_E_CONFIG, A,
      "Google does not invite this kind of address: use the agency's address without a plus sign" },
    { "accessInvitationError", "EMAIL_DOMAIN_POLICY_VIOLATED", GRANTD_E_CONFIG, A,
      "the account allows addresses of certain domains only: the client has to allow the agency's" },
    { "accessInvitationError", "PENDING_INVITATIONS_LIMIT_EXCEEDED", GRANTD_E_LIMITED, P,
      "the account has too many open invitations: stale ones have to be withdrawn" },
    { "accessInvitationError", NULL, GRANTD_E_CONFIG, A, NULL },
    { "customerUserAccessError", "INVALID_USER_ID", GRANTD_E_ABSENT, A, "there is no such user any more" },
    { "customerUserAccessError", "LAST_ADMIN_USER_OF_SERVING_CUSTOMER", GRANTD_E_MANUAL, A,
      "this is the account's last administrator: the client has to name another one first" },
    { "customerUserAccessError", "LAST_ADMIN_USER_OF_MANAGER", GRANTD_E_MANUAL, A,
      "this is the manager account's last administrator: another one has to be named first" },
    { "customerUserAccessError", NULL, GRANTD_E_FORBIDDEN, A, NULL },
    { "multiPartyAuthReviewError", "ACCESS_INVITATION_NOT_FOUND", GRANTD_E_ABSENT, A, NULL },
    { "multiPartyAuthReviewError", NULL, GRANTD_E_FORBIDDEN, A, "another administrator has to approve it" },

    { "fieldMaskError", NULL, GRANTD_E_CONFIG, P, NULL },
    { "fieldError", NULL, GRANTD_E_CONFIG, P, NULL },
    { "queryError", NULL, GRANTD_E_CONFIG, P, NULL },
    { "rangeError", NULL, GRANTD_E_CONFIG, P, NULL },
    { "newResourceCreationError", NULL, GRANTD_E_CONFIG, P, NULL },
    { "operationAccessDeniedError", NULL, GRANTD_E_FORBIDDEN, A, NULL },
    { "resourceAccessDeniedError", NULL, GRANTD_E_FORBIDDEN, A, NULL },
    { "contextError", NULL, GRANTD_E_FORBIDDEN, A, NULL },
    { "notAllowlistedError", NULL, GRANTD_E_FORBIDDEN, A, NULL },

    /* google.rpc.ErrorInfo of the gateway (facts: error envelope); classes unconfirmed */
    { "reason", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", GRANTD_E_REAUTH, P,
      "the consent does not cover Google Ads" },
    { "reason", "SERVICE_DISABLED", GRANTD_E_CONFIG, P,
      "the Google Ads API is not enabled in the Google Cloud project" },
    { "reason", "CONSUMER_INVALID", GRANTD_E_CONFIG, P, "the Google Cloud project is not valid" },

    /* google.rpc.Code as error.status */
    { "status", "UNAUTHENTICATED", GRANTD_E_REAUTH, P, NULL },
    { "status", "PERMISSION_DENIED", GRANTD_E_FORBIDDEN, A, NULL },
    { "status", "NOT_FOUND", GRANTD_E_CONFIG, A, NULL },
    { "status", "ABORTED", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "ALREADY_EXISTS", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "RESOURCE_EXHAUSTED", GRANTD_E_LIMITED, P, NULL },
    { "status", "INTERNAL", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "UNKNOWN", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "DATA_LOSS", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "UNIMPLEMENTED", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "UNAVAILABLE", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "DEADLINE_EXCEEDED", GRANTD_E_TRANSIENT, P, NULL },
    { "status", "INVALID_ARGUMENT", GRANTD_E_CONFIG, P, NULL },
    { "status", "FAILED_PRECONDITION", GRANTD_E_CONFIG, P, NULL },
    { "status", "OUT_OF_RANGE", GRANTD_E_CONFIG, P, NULL },

    /* OAuth (facts: token endpoint, callback) */
    { "error", "invalid_grant", GRANTD_E_REAUTH, P, NULL },
    { "error", "invalid_token", GRANTD_E_REAUTH, P, NULL },
    { "error", "access_denied", GRANTD_E_DECLINED, P,
      "the person said no (or is no test user of an app in testing)" },
    { "error", "admin_policy_enforced", GRANTD_E_MANUAL, P,
      "the client's Google Workspace administrator has to allow this app" },
    { "error", "org_internal", GRANTD_E_MANUAL, P,
      "the app is internal to its organisation: its consent screen has to be made external, or a member of "
      "the "
      "organisation has to consent" },
    { "error", "rate_limit_exceeded", GRANTD_E_LIMITED, P, NULL },
    { "error", "internal_failure", GRANTD_E_TRANSIENT, P, NULL },
    { "error", "invalid_client", GRANTD_E_CONFIG, P, "the options client_id and client_secret do not fit" },
    { "error", "redirect_uri_mismatch", GRANTD_E_CONFIG, P,
      "the redirect URI is not one of the OAuth client's at Google" },
    { "error", NULL, GRANTD_E_CONFIG, P, NULL },
};
#define NROWS (sizeof rows / sizeof *rows)

static const struct row *find(const char *family, const char *value)
{
    for (size_t i = 0; i < NROWS; i++)
        if (!strcmp(rows[i].family, family) && (!rows[i].value || !strcmp(rows[i].value, value)))
            return &rows[i];
    return NULL;
}

const char *ga_sentence(const char *value)
{
    for (size_t i = 0; i < NROWS; i++)
        if (rows[i].value && !strcmp(rows[i].value, value) && rows[i].text)
            return rows[i].text;
    return NULL;
}

int ga_is(const struct ga_error *e, const char *words)
{
    size_t n = strlen(e->value);

    for (const char *at = strstr(words, e->value); n && at; at = strstr(at + 1, e->value))
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return 1;
    return 0;
}

/* ---- reading ---- */

/* Only letters, digits and _ : what may be shown and compared. */
static int is_word(const char *s)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

    return s && *s && strspn(s, chars) == strlen(s) && strlen(s) < 100;
}

/* Takes the row of family and value; false when there is neither. */
static int take(struct ga_error *ret, const char *family, const char *value)
{
    const struct row *r;

    if (!is_word(family) || !is_word(value))
        return 0;
    r = find(family, value);
    if (r)
        *ret = (struct ga_error){ r->fails, r->about_account, family, value, r->text };
    return r != NULL;
}

/* The stream answers an array with one error in it. */
static const char *error_path(grantd_op *op, const grantd_doc *a)
{
    return grantd_type(op, a, "") == GRANTD_IS_LIST ? "0.error" : "error";
}

static int take_detail(grantd_op *op, const grantd_doc *a, const char *at, struct ga_error *ret)
{
    const char *list = grantd_strf(op, "%s.errors", at);

    for (int64_t i = 0; i < grantd_len(op, a, list); i++) {
        const char *code = grantd_strf(op, "%s.%lld.errorCode", list, (long long)i);
        const char *family = grantd_key(op, a, code, 0);
        const char *value = family ? grantd_text(op, a, grantd_strf(op, "%s.%s", code, family)) : NULL;

        if (take(ret, family, value))
            return 1;
    }
    return take(ret, "reason", grantd_text(op, a, grantd_strf(op, "%s.reason", at)));
}

/* A family that the table does not know: by the status, but its word is told. */
static void name_unknown(grantd_op *op, const grantd_doc *a, const char *details, struct ga_error *ret)
{
    const char *code = grantd_strf(op, "%s.0.errors.0.errorCode", details);
    const char *family = grantd_key(op, a, code, 0);
    const char *value = is_word(family) ? grantd_text(op, a, grantd_strf(op, "%s.%s", code, family)) : NULL;

    if (is_word(value)) {
        ret->family = family;
        ret->value = value;
    }
}

static int by_http(int status)
{
    if (status == 429)
        return GRANTD_E_LIMITED;
    if (status == 409 || status >= 500)
        return GRANTD_E_TRANSIENT;
    return status == 401 ? GRANTD_E_REAUTH : status == 403 ? GRANTD_E_FORBIDDEN : GRANTD_E_CONFIG;
}

void ga_error(grantd_op *op, const grantd_doc *a, struct ga_error *ret)
{
    const char *at = error_path(op, a), *details = grantd_strf(op, "%s.details", at);
    const char *word;
    int status = grantd_status(op, a);

    *ret = (struct ga_error){ 0, 0, "", "", NULL };
    for (int64_t i = 0; i < grantd_len(op, a, details); i++)
        if (take_detail(op, a, grantd_strf(op, "%s.%lld", details, (long long)i), ret))
            return;
    if (grantd_type(op, a, at) == GRANTD_IS_TEXT && take(ret, "error", grantd_text(op, a, at)))
        return;
    if (grantd_type(op, a, at) != GRANTD_IS_OBJECT)
        return; /* nobody of Google wrote this: the host reads it */
    word = grantd_text(op, a, grantd_strf(op, "%s.status", at));
    if (!take(ret, "status", word))
        ret->fails = status == 401 && !word ? GRANTD_E_PROTOCOL : by_http(status);
    name_unknown(op, a, details, ret);
}

/* ---- when to come back ---- */

/* A protobuf Duration: "42s", "1.5s". -1: none. */
static int64_t duration(const char *s)
{
    size_t n = s ? strspn(s, "0123456789") : 0;

    if (n == 0 || n > 9)
        return -1;
    return ga_number(s) + (s[n] == '.');
}

static int64_t delay_in(grantd_op *op, const grantd_doc *a, const char *detail)
{
    int64_t s = duration(grantd_text(op, a, grantd_strf(op, "%s.retryDelay", detail)));

    for (int64_t i = 0; s < 0 && i < grantd_len(op, a, grantd_strf(op, "%s.errors", detail)); i++)
        s = duration(grantd_text(
            op, a,
            grantd_strf(op, "%s.errors.%lld.details.quotaErrorDetails.retryDelay", detail, (long long)i)));
    return s;
}

static void say_when(grantd_op *op, const grantd_doc *a, const struct ga_error *e)
{
    const char *details = grantd_strf(op, "%s.details", error_path(op, a));
    const char *after = grantd_header(op, a, "retry-after");
    int64_t s = -1;

    for (int64_t i = 0; s < 0 && i < grantd_len(op, a, details); i++)
        s = delay_in(op, a, grantd_strf(op, "%s.%lld", details, (long long)i));
    if (s < 0)
        s = duration(after);
    if (s < 0)
        s = ga_is(e, "RESOURCE_EXHAUSTED EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION TOO_MANY_INVITES "
                     "PENDING_INVITATIONS_LIMIT_EXCEEDED") &&
                    strcmp(e->family, "status")
                ? LONG_WAIT
                : SHORT_WAIT;
    grantd_retry_after(op, grantd_now(op) + s);
}

/* ---- failing ---- */

/* With the hub's token nobody of the client's can help. What is absent is settled where it was asked for: as
 * the end of an operation it would say that all is gone (facts: error table, "ABSENT on revoke, else
 * CALLER").
 */
static int adapted(grantd_op *op, const struct ga_error *e)
{
    if (e->fails == GRANTD_E_ABSENT)
        return GRANTD_E_CONFIG;
    if (ga(op)->who != GA_HUB || e->fails != GRANTD_E_REAUTH)
        return e->fails;
    return ga_is(e, "OAUTH_TOKEN_EXPIRED") ? GRANTD_E_TRANSIENT : GRANTD_E_CONFIG;
}

grantd_next *ga_fail_as(grantd_op *op, const grantd_doc *a, const struct ga_error *e)
{
    int fails = adapted(op, e);
    const char *whose = ga(op)->who == GA_HUB ? "with the agency's own consent " : "";

    if (!e->fails && ga(op)->who == GA_HUB && grantd_status(op, a) == 401)
        return grantd_fail(op, GRANTD_E_CONFIG, "Google does not accept the agency's own consent (HTTP 401)");
    if (!e->fails)
        return grantd_fail_answer(op, a);
    if (fails == GRANTD_E_LIMITED)
        say_when(op, a, e);
    if (ga_is(e, "TOO_MANY_INVITES PENDING_INVITATIONS_LIMIT_EXCEEDED"))
        grantd_warn(op, "INVITATIONS_AT_LIMIT", "%s", e->text);
    if (fails != e->fails && e->fails == GRANTD_E_REAUTH)
        return grantd_fail(op, fails, "Google does not accept the agency's own consent (HTTP %d %s)%s",
                           grantd_status(op, a), e->value,
                           fails == GRANTD_E_CONFIG ? ": grantctl hub connect makes it anew" : "");
    return grantd_fail(op, fails, "Google answered %sHTTP %d %s%s%s", whose, grantd_status(op, a), e->value,
                       e->text ? ": " : "", e->text ? e->text : "");
}

grantd_next *ga_fail(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (grantd_ok(op, a) && !e.fails)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Google's answer is not what its documentation describes");
    return ga_fail_as(op, a, &e);
}
