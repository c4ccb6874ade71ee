/* linkedin.c - LinkedIn ad accounts: what is configured, what is asked, and the table. LinkedIn knows no
 * sharing with an organisation: people of the agency get a role on the client's ad account, by the client's
 * consent (mode share) or by the client's own hand (mode manual). Facts: linkedin_shopify_oauth2.md 1. */
#include "linkedin.h"

/* One fixed set of scopes per app: whoever asks a member for another set ends every token that this member
 * gave the app before. The sets that make sense are choices, so that a wrong one cannot be written. */
static const char *const scope_sets[] = { "basicprofile", "openid", "basicprofile_reporting",
                                          "openid_reporting", NULL };
static const char *const scopes[] = {
    "r_ads rw_ads r_basicprofile",
    "openid profile r_ads rw_ads",
    "r_ads rw_ads r_basicprofile r_ads_reporting",
    "openid profile r_ads rw_ads r_ads_reporting",
};
static const char *const key_forms[] = { "colon", "equals", NULL };

static const struct grantd_option options[] = {
    { .key = "client_id",
      .help = "Client id of the app in LinkedIn's developer portal",
      .flags = GRANTD_OPT_REQUIRED },
    { .key = "client_secret", .help = "Its client secret", .flags = GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET },
    { .key = "scope_set",
      .help = "The one set of scopes that everybody is asked for; changing it ends the tokens given before",
      .flags = GRANTD_OPT_ALIKE,
      .type = GRANTD_ENUM,
      .choices = scope_sets,
      .dflt = "basicprofile" },
    { .key = "api_version", .help = "Version of the Marketing API, YYYYMM", .dflt = "202609" },
    { .key = "keep_client_token",
      .help =
          "Keep the client's token after the roles were given; without it the end needs the client's hand",
      .type = GRANTD_BOOL,
      .dflt = "false" },
    { .key = "key_form",
      .help = "How keys of adAccountUsers are written: colon (works), equals (as documented)",
      .type = GRANTD_ENUM,
      .choices = key_forms,
      .dflt = "colon" },
    { .key = "members",
      .help = "Person ids (for this app) of the agency's people who get the role, separated by commas; "
              "absent: the one who connected the hub",
      .flags = GRANTD_OPT_HUB },
    { .key = "member_names",
      .help = "Their names or profile URLs, as the client finds them in Campaign Manager",
      .flags = GRANTD_OPT_HUB },
    { 0 },
};

static const struct grantd_role roles[] = {
    { "VIEWER", "Viewer", "see the account, its campaigns and their figures",
      "change anything or spend money" },
    { "CREATIVE_MANAGER", "Creative manager", "see everything, create and change ads",
      "change campaigns, budgets, the account's data, billing, or who has access" },
    { "CAMPAIGN_MANAGER", "Campaign manager",
      "see everything, create and change ads and campaigns with their budgets",
      "change the account's data, billing, or who has access" },
    { "ACCOUNT_MANAGER", "Account manager",
      "create and change ads and campaigns, change the account's data, add and remove people",
      "change billing" },
    { 0 },
};
static const char *const modes[] = { "share", "manual", "token", NULL };
static const char *const no_roles[] = { NULL }; /* a token does what its person and its scopes may */
static const struct grantd_mode_roles mode_roles[] = { { "token", no_roles }, { 0 } };
static const char *const hosts[] = { "www.linkedin.com", "api.linkedin.com", NULL };

/* Sunset dates that were published; for others ten months are assumed (each lives for a year at least). */
static const struct {
    const char *version, *day;
    int64_t at;
} sunsets[] = {
    { "202511", "2026-11-16", 1794787200 }, { "202601", "2027-01-15", 1799971200 },
    { "202603", "2027-03-16", 1805155200 }, { "202606", "2027-06-15", 1813017600 },
    { "202609", "2027-09-15", 1820966400 },
};
enum { SOON_S = 60 * 86400, OLD_MONTHS = 10, FIRST_LOOK_S = 600 };

int li_mode_is(const grantd_op *op, const char *mode)
{
    const char *is = grantd_arg(op, GRANTD_ARG_MODE);

    return !strcmp(is && *is ? is : "share", mode);
}

const char *li_scopes(const grantd_op *op)
{
    const char *set = grantd_option(op, "scope_set");

    for (size_t i = 0; set && scope_sets[i]; i++)
        if (!strcmp(set, scope_sets[i]))
            return scopes[i];
    return scopes[0];
}

int li_rank(const char *role)
{
    static const char *const ranks[] = { "VIEWER", "CREATIVE_MANAGER", "CAMPAIGN_MANAGER", "ACCOUNT_MANAGER",
                                         "ACCOUNT_BILLING_ADMIN" };

    for (int i = 0; role && i < 5; i++)
        if (!strcmp(role, ranks[i]))
            return i + 1;
    return 0;
}

int li_is_word(const char *role)
{
    size_t n = role ? strlen(role) : 0;

    return n > 0 && n <= LI_ID_MAX && strspn(role, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == n;
}

int li_is_role(const char *role)
{
    int rank = li_rank(role);

    return rank > 0 && rank < 5;
}

/* ---- the version
 * ---------------------------------------------------------------------------------------------- */

static void warn_version(grantd_op *op, const char *version)
{
    int64_t now = grantd_now(op);

    for (size_t i = 0; i < sizeof sunsets / sizeof sunsets[0]; i++)
        if (!strcmp(version, sunsets[i].version)) {
            if (now >= sunsets[i].at - SOON_S)
                grantd_warn(op, "API_VERSION_RETIRES",
                            "LinkedIn ends API version %s on %s: set api_version of the app to a newer one",
                            version, sunsets[i].day);
            return;
        }
    if (grantd_month_of(now) - li_month(version) >= OLD_MONTHS)
        grantd_warn(
            op, "API_VERSION_RETIRES",
            "API version %s is ten months old or older; LinkedIn keeps one for a year: set api_version of "
            "the app to a newer one",
            version);
}

grantd_next *li_version(grantd_op *op)
{
    const char *version = grantd_option(op, "api_version");

    if (li_month(version) < 0)
        return grantd_fail(op, GRANTD_E_CONFIG, "api_version is written YYYYMM, like 202609");
    warn_version(op, version);
    return NULL;
}

/* ---- the agency's members
 * ------------------------------------------------------------------------------------- */

/* A hub must have an id in the configuration, also while nobody can know it: "unknown" until it is connected.
 */
const char *li_hub_id(const grantd_op *op)
{
    const char *id = li_bare(grantd_arg(op, GRANTD_ARG_HUB_ID), "urn:li:person:");

    return id && *id && strcmp(id, "unknown") ? id : NULL;
}

static int add_member(grantd_op *op, const char *text)
{
    struct li *st = li(op);
    const char *id = li_bare(text, "urn:li:person:");

    if (!li_person(id) || st->members == LI_MEMBERS_MAX)
        return 0;
    for (size_t i = 0; i < st->members; i++)
        if (!strcmp(st->member[i], id))
            return 1;
    st->member[st->members++] = id;
    return 1;
}

grantd_next *li_members(grantd_op *op)
{
    static const char gaps[] = ", \t\r\n";
    const char *who = grantd_option(op, "members"), *account = grantd_arg(op, GRANTD_ARG_HUB_ACCOUNT_ID);
    const char *hub = li_hub_id(op);

    if (li(op)->members)
        return NULL;
    if (!who || !*who)
        who = account && *account ? account : hub;
    for (who = who ? who + strspn(who, gaps) : ""; *who; who += strspn(who, gaps)) {
        size_t n = strcspn(who, gaps);

        if (!add_member(op, grantd_strf(op, "%.*s", (int)n, who)))
            return grantd_fail(
                op, GRANTD_E_CONFIG,
                "members of the hub (or its id) must be person ids as LinkedIn gives them to this app, "
                "at most %d; run grantctl hub connect to learn them",
                LI_MEMBERS_MAX);
        who += n;
    }
    if (li(op)->members)
        return NULL;
    return grantd_fail(
        op, GRANTD_E_CONFIG,
        "the agency's member is not known, because LinkedIn numbers people anew for each app; run "
        "grantctl hub connect once");
}

/* ---- request
 * -------------------------------------------------------------------------------------------------- */

static grantd_next *check_item(grantd_op *op)
{
    const char *role = grantd_arg(op, GRANTD_ARG_ROLE), *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    const char *asked = grantd_arg(op, GRANTD_ARG_SCOPE);

    if (asked && *asked && !li_same_words(asked, li_scopes(op)))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "LinkedIn ends all earlier tokens of a member who is asked for another set of scopes: one "
            "set per app, by scope_set, never one per request");
    if (asset && *asset && !li_id_list(op, asset, LI_CHOSEN_MAX))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "an ad account of LinkedIn is a number (507000111, or "
                           "urn:li:sponsoredAccount:507000111), several are "
                           "separated by commas, at "
                           "most %d",
                           LI_CHOSEN_MAX);
    if (li_mode_is(op, GRANTD_MODE_HUB) || li_mode_is(op, "token"))
        return NULL;
    if (!li_is_role(role))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the role must be VIEWER, CREATIVE_MANAGER, CAMPAIGN_MANAGER or ACCOUNT_MANAGER; "
                           "ACCOUNT_BILLING_ADMIN exists once per account and stays with the client");
    return li_members(op);
}

static grantd_next *by_hand(grantd_op *op)
{
    const char *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    if (!grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "what a client adds by hand is checked with the agency's own token; run grantctl hub "
            "connect once");
    li_manual_steps(op, asset && *asset ? li_id_list(op, asset, LI_CHOSEN_MAX) : NULL);
    if (asset && *asset) /* nothing will be handed in: it is looked at */
        return grantd_pending(op, grantd_now(op) + FIRST_LOOK_S);
    return grantd_finish(op);
}

static grantd_next *request(grantd_op *op)
{
    grantd_next *bad = li_version(op);
    const char *url;

    if (bad || (bad = check_item(op)))
        return bad;
    if (li_mode_is(op, "manual"))
        return by_hand(op);
    url = grantd_url(op, "https://www.linkedin.com/oauth/v2/authorization?response_type=code", "client_id",
                     grantd_option(op, "client_id"), "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI),
                     "state", grantd_arg(op, GRANTD_ARG_STATE), "scope", li_scopes(op));
    return grantd_done(op, .redirect_url = url);
}

GRANTD_PLATFORM(linkedin, .title = "LinkedIn Ads",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT,
                .state_size = sizeof(struct li), .shape = GRANTD_SHAPE_RENEWABLE,
                .retry_class = GRANTD_RETRY_NONE, .options = options, .roles = roles, .modes = modes,
                .mode_roles = mode_roles, .hosts = hosts,
                .limits = { .concurrency = 4, .per_minute = 120, .burst = 20 }, .request = request,
                .grant = li_grant, .refresh = li_refresh, .verify = li_verify, .revoke = li_revoke,
                .scan = li_scan);
