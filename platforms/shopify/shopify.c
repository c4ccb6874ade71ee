/* shopify.c - a shop of Shopify: an app with a token of its own (mode app), or a person of the agency in the
 * shop's admin (mode collaborator). Facts: linkedin_shopify_oauth2.md 2. */
#include "shopify.h"

static const char *const migrations[] = { "never", "refused", "always", NULL };

static const struct grantd_option options[] = {
    { .key = "client_id", .help = "Client id of the app in the Dev Dashboard", .flags = GRANTD_OPT_REQUIRED },
    { .key = "client_secret", .help = "Its client secret", .flags = GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET },
    { .key = "old_client_secret",
      .help = "The secret before, while a rotation lasts: signatures made with it are still believed",
      .flags = GRANTD_OPT_SECRET },
    { .key = "scopes",
      .help = "Permissions that merchants are asked for, separated by commas or blanks: read_orders, "
              "write_products",
      .flags = GRANTD_OPT_REQUIRED },
    { .key = "api_version", .help = "Version of the Admin API, YYYY-MM", .dflt = "2026-10" },
    { .key = "expiring",
      .help = "Ask for tokens that expire (all public apps must from 2027-01-01)",
      .type = GRANTD_BOOL,
      .dflt = "true" },
    { .key = "migrate",
      .help = "When an old token that does not expire is traded for an expiring one, which cannot be undone: "
              "never, "
              "when Shopify refuses it, always",
      .type = GRANTD_ENUM,
      .choices = migrations,
      .dflt = "refused" },
    { .key = "agency_name", .help = "The agency's name as merchants read it in the steps" },
    { .key = "staff_check",
      .help = "The app may read staff members (read_users, switched on by Shopify's support): collaborators "
              "are seen",
      .type = GRANTD_BOOL,
      .dflt = "false" },
    { .key = "agency_email", .help = "E-mail address of the agency's collaborator, for staff_check" },
    { 0 },
};

static const struct grantd_option params[] = {
    { .key = "shop",
      .help = "The shop in any spelling (acme, https://acme.myshopify.com/admin, "
              "admin.shopify.com/store/acme), when no "
              "asset is named" },
    { 0 },
};
static const struct grantd_role roles[] = {
    { "read", "Read",
      "see what the permissions on Shopify's page name: for example orders, products or reports",
      "change anything, see what is not named there, or log in as you" },
    { "write", "Read and write", "see and change what the permissions on Shopify's page name",
      "see or change what is not named there, log in as you, or change who has access" },
    { 0 },
};
static const char *const modes[] = { "app", "collaborator", NULL };
static const char *const hosts[] = { "*.myshopify.com", NULL };

/* A collaborator who is checked needs the app as well; all others need nothing but people. */
static grantd_next *ask_collaborator(grantd_op *op)
{
    sh_ask_code(op);
    return grantd_finish(op);
}

static grantd_next *check(grantd_op *op)
{
    const char *mode = grantd_arg(op, GRANTD_ARG_MODE), *role = grantd_arg(op, GRANTD_ARG_ROLE);
    const char *email = grantd_option(op, "agency_email");
    grantd_next *bad = sh_version(op);

    if (bad || (bad = sh_shop(op)))
        return bad;
    if (mode && *mode && strcmp(mode, "app") && strcmp(mode, "collaborator"))
        return grantd_fail(op, GRANTD_E_CONFIG, "the mode must be app or collaborator");
    if (role && *role && strcmp(role, "read") && strcmp(role, "write"))
        return grantd_fail(op, GRANTD_E_CONFIG, "the role must be read or write");
    if (sh_option_is(op, "staff_check", "true") && sh_is_collaborator(op) && (!email || !strchr(email, '@')))
        return grantd_fail(op, GRANTD_E_CONFIG, "staff_check needs agency_email: whom to look for");
    if (!sh_scopes(op))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "scopes are words like read_orders, separated by commas or blanks, and there is at least one");
    return NULL;
}

static grantd_next *request(grantd_op *op)
{
    grantd_next *bad = check(op);

    if (bad)
        return bad;
    if (sh_is_collaborator(op) && !sh_option_is(op, "staff_check", "true"))
        return ask_collaborator(op);
    return grantd_done(op, .redirect_url = grantd_url(op, sh_at(op, "oauth/authorize"), "client_id",
                                                      grantd_option(op, "client_id"), "scope", sh_scopes(op),
                                                      "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI),
                                                      "state", grantd_arg(op, GRANTD_ARG_STATE)));
}

GRANTD_PLATFORM(shopify, .title = "Shopify", .state_size = sizeof(struct sh), .shape = GRANTD_SHAPE_ROTATING,
                .retry_class = GRANTD_RETRY_OVERLAP, .options = options, .params = params, .roles = roles,
                .modes = modes, .hosts = hosts,
                .limits = { .concurrency = 8, .per_minute = 240, .burst = 20 }, .request = request,
                .grant = sh_grant, .refresh = sh_refresh, .verify = sh_verify, .revoke = sh_revoke,
                .notice = sh_notice);
