/* pinterest.c - Pinterest business access: a client's ad accounts for the agency's business account. Written
 * against the installed headers alone, from Pinterest's public API description. */
#include "pinterest.h"

static const struct grantd_option options[] = {
    { .key = "client_id", .help = "app id", .flags = GRANTD_OPT_REQUIRED },
    { .key = "client_secret", .help = "app secret", .flags = GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET },
    { .key = "scopes",
      .dflt = "user_accounts:read,ads:read",
      .help = "mode token: what the client is asked for, joined by commas" },
    { .key = "continuous_refresh",
      .dflt = "false",
      .help = "for apps made before 2025-09-25: ask for the refresh token that can be renewed for ever",
      .type = GRANTD_BOOL },
    { .key = "keep_client_token",
      .dflt = "false",
      .help = "mode share: keep the client's token after the accounts are shared",
      .type = GRANTD_BOOL },
    { .key = "auth_url",
      .dflt = "https://www.pinterest.com/oauth/",
      .help = "where the person consents",
      .type = GRANTD_URL },
    { .key = "token_url",
      .dflt = "https://api.pinterest.com/v5/oauth/token",
      .help = "tokens",
      .type = GRANTD_URL },
    { .key = "api_url", .dflt = "https://api.pinterest.com/v5", .help = "the API", .type = GRANTD_URL },
    { 0 },
};
static const struct grantd_option params[] = {
    { .key = "business_id", .help = "mode request: the client's business id at Pinterest" },
    { 0 },
};
static const struct grantd_role roles[] = {
    { "ANALYST", "Analyst", "see campaigns, reports and analytics", "change anything, or see how you pay" },
    { "CAMPAIGN_MANAGER", "Campaign manager", "create and change campaigns, ad groups and ads",
      "change how you pay, or let other people in" },
    { "AUDIENCE_MANAGER", "Audience manager", "create and change audiences",
      "change campaigns, or let other people in" },
    { "CATALOGS_MANAGER", "Catalogue manager", "create and change data sources and product groups",
      "change campaigns, or let other people in" },
    { "FINANCE_MANAGER", "Finance manager", "see and change billing",
      "change campaigns, or let other people in" },
    { "ADMIN", "Administrator", "do everything in the ad account: campaigns, billing, audiences, reports",
      "see your password, or share the account with others" },
    { 0 },
};
static const char *const modes[] = { "share", "request", "token", NULL };
static const char *const no_roles[] = { NULL }; /* a token does what its scopes let it */
static const struct grantd_mode_roles mode_roles[] = { { "token", no_roles }, { 0 } };
static const char *const hosts[] = { "api.pinterest.com", NULL };

/* What must be known before anybody is bothered. */
static grantd_next *check(grantd_op *op)
{
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    int mode = pin_mode(op);

    if (hint && mode != PIN_AGENCY && (!*hint || strspn(hint, "0123456789, ") != strlen(hint)))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the asset of the item is no Pinterest ad account id (digits)");
    return mode == PIN_SHARE || mode == PIN_REQUEST ? pin_need_hub(op) : NULL;
}

static grantd_next *request(grantd_op *op)
{
    grantd_next *bad = check(op);

    if (bad)
        return bad;
    if (pin_mode(op) != PIN_REQUEST)
        return pin_authorize(op);
    grantd_note(op, "asking", "yes");
    return pin_work(op);
}

static grantd_next *grant(grantd_op *op)
{
    grantd_next *bad;

    grantd_note(op, "asking", NULL);
    if (grantd_query(op, "error"))
        return pin_refused_callback(op);
    bad = check(op);
    if (bad)
        return bad;
    return pin_mode(op) == PIN_REQUEST ? pin_work(op) : pin_exchange(op);
}

GRANTD_PLATFORM(pinterest, .title = "Pinterest",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT,
                .state_size = sizeof(struct pin), .shape = GRANTD_SHAPE_ROTATING,
                .retry_class = GRANTD_RETRY_UNKNOWN, .options = options, .params = params, .roles = roles,
                .modes = modes, .mode_roles = mode_roles, .hosts = hosts,
                .limits = { .concurrency = 4, .per_minute = 300, .burst = 30 }, .request = request,
                .grant = grant, .refresh = pin_refresh, .revoke = pin_revoke, .verify = pin_verify,
                .scan = pin_scan);
