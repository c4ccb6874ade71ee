/* google_ads.c - Google Ads: a client's ad accounts for the agency, by a link to its manager account (MCC),
 * by a seat for one of its addresses, or by the client's own token. All facts: meta_google.md part B. */
#include "google_ads.h"

static const char *const bearer_or_query[] = { "bearer", "query", NULL };
static const char *const unlink_ways[] = { "auto", "client", "manager_link", "client_link", "manual", NULL };

static const struct grantd_option options[] = {
    { .key = "client_id",
      .help = "OAuth client id of the Google Cloud project",
      .flags = GRANTD_OPT_REQUIRED },
    { .key = "client_secret", .help = "its secret", .flags = GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET },
    { .key = "api_version", .dflt = "v25", .help = "version of the Google Ads API" },
    { .key = "api_version_retires",
      .help = "day on which that version ends, like 2027-08-31: a warning comes 60 days before" },
    { .key = "developer_token",
      .help = "only for API versions that still want one",
      .flags = GRANTD_OPT_SECRET },
    { .key = "developer_token_until",
      .dflt = "25",
      .help = "newest API version (a number) that the developer token is sent to",
      .type = GRANTD_INT },
    { .key = "identity",
      .dflt = "true",
      .help = "also ask for openid and email, so that it is known who consented",
      .type = GRANTD_BOOL },
    { .key = "include_granted_scopes",
      .dflt = "true",
      .help = "a new consent keeps what the person gave to the same project before",
      .type = GRANTD_BOOL },
    { .key = "keep_client_token",
      .dflt = "false",
      .help =
          "mode link: keep the client's token after the accounts are linked, to unlink through the API from "
          "the client's side",
      .type = GRANTD_BOOL },
    { .key = "unlink_by",
      .dflt = "auto",
      .help = "how an active link is ended: auto tries each, manual asks the client",
      .type = GRANTD_ENUM,
      .choices = unlink_ways },
    { .key = "wait_days",
      .dflt = "21",
      .help = "how long an account may wait for a person before the others go on without it",
      .type = GRANTD_INT },
    { .key = "tokeninfo_by",
      .dflt = "bearer",
      .help = "how a token is shown to the token information endpoint",
      .type = GRANTD_ENUM,
      .choices = bearer_or_query },
    { .key = "auth_url",
      .dflt = "https://accounts.google.com/o/oauth2/v2/auth",
      .help = "where the person consents",
      .type = GRANTD_URL },
    { .key = "token_url",
      .dflt = "https://oauth2.googleapis.com/token",
      .help = "tokens",
      .type = GRANTD_URL },
    { .key = "revoke_url",
      .dflt = "https://oauth2.googleapis.com/revoke",
      .help = "the end of a consent",
      .type = GRANTD_URL },
    { .key = "tokeninfo_url",
      .dflt = "https://oauth2.googleapis.com/tokeninfo",
      .help = "whose token it is",
      .type = GRANTD_URL },
    { .key = "api_url",
      .dflt = "https://googleads.googleapis.com",
      .help = "the Google Ads API",
      .type = GRANTD_URL },
    { .key = "login_customer_id",
      .help = "manager account through which the agency's user reaches the hub's; default: the hub's id",
      .flags = GRANTD_OPT_HUB },
    { .key = "agency_email",
      .help = "modes user and user_manual: the agency's address that gets a seat, when the item names none",
      .flags = GRANTD_OPT_HUB },
    { 0 },
};

static const struct grantd_option params[] = {
    { .key = "email", .help = "modes user and user_manual: the agency's address that gets a seat" },
    { .key = "login_hint", .help = "the client's Google address, so that the right account is offered" },
    { 0 },
};

static const struct grantd_role roles[] = {
    { "MANAGER", "Manager account link",
      "do in your account what the agency's own staff are allowed to do in its manager account: see and "
      "change "
      "campaigns, budgets and reports",
      "see your password, or stay when you remove the manager account" },
    { "READ_ONLY", "Read only", "see campaigns and reports", "change anything, or let other people in" },
    { "EMAIL_ONLY", "E-mail only", "get reports and notices by e-mail",
      "open the account, change anything, or let other people in" },
    { "STANDARD", "Standard", "see and change campaigns, budgets and reports",
      "let other people in or remove them" },
    { "ADMIN", "Administrator", "do everything: campaigns, payments, and who else has access",
      "see your password, or stay when you remove the user" },
    { 0 },
};
static const char *const modes[] = { "link", "link_manual", "user", "user_manual", "token", NULL };
/* A link gives what the manager account gives its people, a token what its person may. */
static const char *const link_roles[] = { "MANAGER", NULL };
static const char *const seat_roles[] = { "READ_ONLY", "EMAIL_ONLY", "STANDARD", "ADMIN", NULL };
static const char *const no_roles[] = { NULL };
static const struct grantd_mode_roles mode_roles[] = {
    { "link", link_roles },        { "link_manual", link_roles }, { "user", seat_roles },
    { "user_manual", seat_roles }, { "token", no_roles },         { 0 },
};
static const char *const hosts[] = { "googleads.googleapis.com", "oauth2.googleapis.com", NULL };

/* ---- what must be known before anybody is bothered ---- */

static grantd_next *check_seat(grantd_op *op)
{
    if (!ga_address(op))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "a seat needs the agency's address: the item's param email, or "
                           "the hub's option agency_email");
    if (!ga_mail(ga_address(op)))
        return grantd_fail(op, GRANTD_E_CONFIG, "the agency's address for the seat is no e-mail address");
    return NULL;
}

static grantd_next *check_item(grantd_op *op)
{
    const char *ids[GA_IDS_MAX], *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    int mode = ga_mode(op);
    grantd_next *bad = NULL;

    if (hint && mode != GA_MODE_HUB && ga_ids(op, hint, ids, GA_IDS_MAX) <= 0)
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the asset of the item is no Google Ads customer id (ten digits)");
    if (mode == GA_USER || mode == GA_USER_MANUAL)
        bad = check_seat(op);
    if (!bad && (mode == GA_LINK || mode == GA_LINK_MANUAL || mode == GA_USER_MANUAL))
        bad = ga_need_hub(op);
    return bad;
}

/* ---- request ---- */

/* Linked already: nobody has to consent to anything. */
static grantd_next *on_linked(grantd_op *op)
{
    const char *status = ga(op)->status;

    return status && !strcmp(status, "ACTIVE") ? grantd_pending(op, grantd_now(op)) : ga_authorize(op);
}

/* The look only spares the client a consent: what passes by itself is no reason to send it away. */
static grantd_next *on_no_look(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;
    int status = grantd_status(op, a);

    ga_error(op, a, &e);
    return e.fails == GRANTD_E_TRANSIENT || e.fails == GRANTD_E_LIMITED || status == 429 || status >= 500
               ? ga_authorize(op)
               : ga_fail_as(op, a, &e);
}

static grantd_next *look_first(grantd_op *op)
{
    const char *ids[GA_IDS_MAX];

    if (ga_ids(op, grantd_arg(op, GRANTD_ARG_ASSET_ID), ids, GA_IDS_MAX) != 1)
        return ga_authorize(op);
    return ga_look_link(op, ids[0], on_linked, on_no_look);
}

grantd_next *ga_request(grantd_op *op)
{
    grantd_next *bad = check_item(op);

    if (bad)
        return bad;
    switch (ga_mode(op)) {
    case GA_LINK_MANUAL:
    case GA_USER_MANUAL:
        grantd_note(op, "asking", "yes");
        return ga_work(op);
    case GA_LINK:
        return look_first(op);
    default:
        return ga_authorize(op);
    }
}

/* ---- grant ---- */

static int needs_consent(const grantd_op *op)
{
    int mode = ga_mode(op);

    if (mode == GA_LINK_MANUAL || mode == GA_USER_MANUAL)
        return 0;
    return mode != GA_LINK || grantd_arg(op, GRANTD_ARG_QUERY) || grantd_arg(op, GRANTD_ARG_CODE);
}

grantd_next *ga_grant(grantd_op *op)
{
    grantd_next *bad;

    grantd_note(op, "asking", NULL);
    if (grantd_query(op, "error"))
        return ga_refused_callback(op);
    bad = check_item(op);
    if (bad)
        return bad;
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) && needs_consent(op))
        return ga_exchange(op);
    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) && !grantd_noted(op, "stage") ? ga_who(op) : ga_work(op);
}

GRANTD_PLATFORM(google_ads, .title = "Google Ads",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT,
                .state_size = sizeof(struct ga), .shape = GRANTD_SHAPE_RENEWABLE,
                .retry_class = GRANTD_RETRY_NONE, .options = options, .params = params, .roles = roles,
                .modes = modes, .mode_roles = mode_roles, .hosts = hosts,
                .limits = { .concurrency = 2, .per_minute = 60, .burst = 20 }, .request = ga_request,
                .grant = ga_grant, .refresh = ga_refresh, .revoke = ga_revoke, .verify = ga_verify,
                .scan = ga_scan);
