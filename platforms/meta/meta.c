/* meta.c - the platform table: Meta ad accounts and Pages, shared to the agency's business portfolio or
 * delegated by a token. What each option means is here, what each step does is in the file of its subject. */
#include "meta.h"

static const char *const page_tasks[] = { "classic", "profile_plus", NULL };
static const char *const renewals[] = { "system_user_access_tokens", "fb_exchange_token", NULL };
static const char *const token_ends[] = { "auto", "remove_app", "forget", NULL };
static const char *const item_kinds[] = { "ad_account", "page", NULL };

static const struct grantd_option options[] = {
    { "app_id", NULL, "App id of the agency's Meta app (type Business)", GRANTD_OPT_REQUIRED, GRANTD_TEXT,
      NULL },
    { "app_secret", NULL, "Its secret; every call carries a proof made with it",
      GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { "api_version", "v25.0", "Graph version; a warning comes 90 days before it ends", 0, GRANTD_TEXT, NULL },
    { "config_id", NULL,
      "Login for Business configuration whose token is a user's; absent: classic login with scopes", 0,
      GRANTD_TEXT, NULL },
    { "delegate_config_id", NULL,
      "Login for Business configuration whose token is a system user's, for mode delegate", 0, GRANTD_TEXT,
      NULL },
    { "hub_config_id", NULL, "Configuration for the agency's own consent; absent: config_id, or scopes", 0,
      GRANTD_TEXT, NULL },
    { "scopes", "ads_management ads_read business_management",
      "Permissions of classic login, separated by spaces; Pages need pages_show_list and more", 0,
      GRANTD_TEXT, NULL },
    { "rerequest", "false", "Classic login asks again for permissions that were declined once", 0,
      GRANTD_BOOL, NULL },
    { "keep_client_token", "false", "Keep the client's token after a lasting share, beside it", 0,
      GRANTD_BOOL, NULL },
    { "token_end", "auto",
      "How a person's token ends: a short one by itself, others with the app in the person's account (auto); "
      "always with the app; or it is only forgotten",
      0, GRANTD_ENUM, token_ends },
    { "page_tasks", "classic", "Which names of tasks Pages are shared with", 0, GRANTD_ENUM, page_tasks },
    { "delegate_renewal", "system_user_access_tokens", "How a delegated token of 60 days is renewed", 0,
      GRANTD_ENUM, renewals },
    { "poll_minutes", "5", "How often is looked while somebody has to act; after a day once an hour", 0,
      GRANTD_INT, NULL },
    { "webhook_verify_token", NULL,
      "The word typed at Meta as the webhook's verify token; absent: its handshake is not answered",
      GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { "graph_url", "https://graph.facebook.com", "Address of the Graph API", 0, GRANTD_URL, NULL },
    { "dialog_url", "https://www.facebook.com", "Address of the login dialog", 0, GRANTD_URL, NULL },
    { "system_user_id", NULL,
      "System user of the agency that works on client accounts; absent: nobody is assigned", GRANTD_OPT_HUB,
      GRANTD_TEXT, NULL },
    { 0 },
};
static const struct grantd_option params[] = {
    { "kind", "ad_account", "What the item is about", 0, GRANTD_ENUM, item_kinds },
    { 0 },
};
static const char *const modes[] = { "share", "request", "delegate", "manual", NULL };
static const char *const hosts[] = { "graph.facebook.com", "www.facebook.com", NULL };

static grantd_fn hub_named, ask_business;
static grantd_doc_fn on_business, on_hub_named;

static int in_mode(grantd_op *op, const char *mode)
{
    return !strcmp(me_mode(op), mode);
}

static int by_login(grantd_op *op)
{
    return in_mode(op, "share") || in_mode(op, "delegate") || in_mode(op, GRANTD_MODE_HUB);
}

/* With or without "act_" before an ad account: the grant is known by the id as Meta's paths have it. */
static int hint_fine(grantd_op *op, const char *hint)
{
    return me_targets_add(op, hint) == 0 && me_targets(op) > 0;
}

/* What can be known to be wrong before anybody is bothered. */
static grantd_next *check(grantd_op *op)
{
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID), *version = grantd_option(op, "api_version");
    size_t v = version[0] == 'v' ? strspn(version + 1, "0123456789.") : 0;

    me_watch_version(op);
    if (!me_digits(grantd_option(op, "app_id")))
        return grantd_fail(op, GRANTD_E_CONFIG, "app_id must be digits");
    if (v < 3 || version[v + 1])
        return grantd_fail(op, GRANTD_E_CONFIG, "api_version must look like v25.0");
    if (hint && *hint && !in_mode(op, GRANTD_MODE_HUB) && !hint_fine(op, hint))
        return grantd_fail(op, GRANTD_E_CONFIG, "the asset hint is no list of ids of the kind %s: %s",
                           me_item_kind(op)->name,
                           !strcmp(me_item_kind(op)->name, "page")
                               ? "digits, with commas between"
                               : "digits or act_ and digits, with commas between");
    if (in_mode(op, "delegate") || in_mode(op, GRANTD_MODE_HUB))
        return NULL;
    return me_need_hub(op);
}

/* Without a login the work begins at once: it ends with steps and the time of the next look. */
static grantd_next *request(grantd_op *op)
{
    grantd_next *stop = check(op);

    if (stop)
        return stop;
    return by_login(op) ? me_dialog(op) : me_choose(op);
}

static grantd_next *grant(grantd_op *op)
{
    grantd_next *stop = check(op);

    if (stop)
        return stop;
    if (!by_login(op))
        return me_choose(op);
    if (grantd_noted(op, "settled")) /* a share that waits for people needs the client's token no more */
        return me_after_consent(op);
    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? me_settle(op) : me_take_code(op, me_settle);
}

grantd_next *me_after_consent(grantd_op *op)
{
    const char *type = grantd_kept(op, "type");

    if (in_mode(op, GRANTD_MODE_HUB))
        return hub_named(op);
    if (in_mode(op, "delegate") && type && strcmp(type, "USER") != 0 && !grantd_kept(op, "client_business"))
        return ask_business(op);
    if (in_mode(op, "delegate") && type && !strcmp(type, "USER"))
        grantd_warn(op, "TOKEN_OF_A_USER",
                    "delegate_config_id gives a person's token; it ends with the person's login");
    if (in_mode(op, "share") && type && strcmp(type, "USER") != 0)
        grantd_warn(op, "TOKEN_NOT_OF_A_USER",
                    "config_id gives a system user's token; sharing needs an admin's own");
    return me_choose(op);
}

/* ---- a delegated token's portfolio (facts: A2, "BISU management")
 * -------------------------------------------- */
static grantd_next *ask_business(grantd_op *op)
{
    return me_get(op, ME_CLIENT, "me", grantd_pairs("fields", "client_business_id"), on_business);
}

static grantd_next *on_business(grantd_op *op, const grantd_doc *a)
{
    const char *id = grantd_text(op, a, "client_business_id");

    if (me_bad(op, a))
        return me_fail(op, a);
    if (!me_digits(id))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta did not say whose portfolio the token is of");
    grantd_keep(op, "client_business", id);
    return grantd_save(op, me_choose, .account_id = id);
}

/* ---- the hub's consent
 * -------------------------------------------------------------------------------------- */
static grantd_next *hub_named(grantd_op *op)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID);

    if (!me_digits(hub))
        return grantd_fail(op, GRANTD_E_CONFIG, "the hub's id must be the agency's business portfolio id");
    return me_get(op, ME_CLIENT, hub, grantd_pairs("fields", "id,name"), on_hub_named);
}

static grantd_next *on_hub_named(grantd_op *op, const grantd_doc *a)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID);

    if (me_bad(op, a) && me_class(op, a) == GRANTD_E_FORBIDDEN)
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "this login cannot see the business portfolio %s; one of its admins must log in",
                           hub);
    if (me_bad(op, a))
        return me_fail(op, a);
    if (!me_same_id(grantd_text(op, a, "id"), hub))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta answered about another business than %s", hub);
    grantd_surface(op, .outcome = GRANTD_SURFACE_OPEN, .kind = "token");
    return grantd_done(op, .account_name = grantd_text(op, a, "name"));
}

GRANTD_PLATFORM(meta, .title = "Meta (Facebook and Instagram ads)",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT,
                .state_size = sizeof(struct me), .shape = GRANTD_SHAPE_EXCHANGE,
                .retry_class = GRANTD_RETRY_NONE, .options = options, .params = params, .roles = me_roles,
                .modes = modes, .hosts = hosts, .limits = { .concurrency = 4, .per_minute = 60, .burst = 20 },
                .request = request, .grant = grant, .refresh = me_refresh, .revoke = me_revoke,
                .verify = me_verify, .scan = me_scan, .notice = me_notice);
