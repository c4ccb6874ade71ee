/* tiktok_bc.c - TikTok Business Center: what the platform declares, what the client is asked for, and where a
 * grant goes on. Facts: tiktok.md 2 and 4. Two ways to native access: the client's Business Center shares its
 * ad accounts with the agency's (mode partner, by the client's token; mode guided, by hand), or the agency
 * asks for an ad account by its id (mode access). Mode oauth keeps a token and nothing else. */
#include "bc.h"

static const char *const finance_roles[] = { "MANAGER", "ANALYST", NULL };
static const char *const advertiser_roles[] = { "ADMIN", "OPERATOR", "ANALYST", NULL };

static const struct grantd_option options[] = {
    TT_APP_OPTIONS,
    { .key = "keep_client_token",
      .help =
          "Keep the client's token after its ad accounts were shared: TikTok documents the end of a share "
          "only for that token",
      .type = GRANTD_BOOL,
      .dflt = "true" },
    { .key = "staff",
      .help = "User ids of agency members who get each shared ad account, separated by commas",
      .flags = GRANTD_OPT_HUB },
    { .key = "account_limit",
      .help = "Ad accounts that a Business Center may hold; scan warns at 95 in 100",
      .flags = GRANTD_OPT_HUB,
      .type = GRANTD_INT,
      .dflt = "3000" },
    { 0 },
};

static const struct grantd_option params[] = {
    { .key = "staff", .help = "User ids of agency members who get it, in place of the hub's list" },
    { .key = "staff_role",
      .help = "Their role on it; absent: the role that was granted",
      .type = GRANTD_ENUM,
      .choices = advertiser_roles },
    { .key = "finance_role",
      .help = "Finance role that these members get in the agency's Business Center",
      .type = GRANTD_ENUM,
      .choices = finance_roles },
    { .key = "lower_role",
      .help = "A share that exists with a higher role is taken back and made anew with the role asked",
      .type = GRANTD_BOOL,
      .dflt = "false" },
    { .key = "client_bc", .help = "Id of the client's Business Center, for mode guided" },
    { 0 },
};

static const struct grantd_role roles[] = {
    { "ANALYST", "Analyst", "see campaigns and reports", "change anything or spend money" },
    { "OPERATOR", "Operator", "build and run campaigns and see reports",
      "change the ad account's money, settings or permissions" },
    { "ADMIN", "Admin",
      "build and run campaigns, see reports, change settings, money and permissions of the ad account",
      "take the ad account away from your Business Center" },
    { 0 },
};
static const char *const modes[] = { "partner", "access", "guided", "oauth", NULL };
static const char *const no_roles[] = { NULL }; /* a token does what its app's permissions let it */
static const struct grantd_mode_roles mode_roles[] = { { "oauth", no_roles }, { 0 } };
static const char *const hosts[] = { "business-api.tiktok.com", NULL };

/* ---- words ------------------------------------------------------------------------------------------- */

const char *bc_mode(const grantd_op *op)
{
    const char *mode = grantd_arg(op, GRANTD_ARG_MODE);

    return mode ? mode : modes[0];
}

int bc_mode_is(const grantd_op *op, const char *mode)
{
    return !strcmp(bc_mode(op), mode);
}

const char *bc_role(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ROLE);
}

int bc_rank(const char *role)
{
    static const char *const low_to_high[] = { "ANALYST", "OPERATOR", "ADMIN" };

    for (int i = 0; i < 3; i++)
        if (grantd_equal(role, low_to_high[i]))
            return i + 1;
    return 0;
}

/* ---- request ----------------------------------------------------------------------------------------- */

/* Ids that the agency wrote are looked at before anybody is asked for anything. */
static const char *bad_word(grantd_op *op, const char *text)
{
    const char *word;

    while (text && (word = tt_word(op, &text)))
        if (!tt_digits(word))
            return word;
    return NULL;
}

static grantd_next *check_ids(grantd_op *op)
{
    const char *const texts[] = { grantd_arg(op, GRANTD_ARG_ASSET_ID), grantd_param(op, "staff"),
                                  grantd_param(op, "client_bc") };
    static const char *const names[] = { "an ad account", "a member (staff)",
                                         "a Business Center (client_bc)" };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i] && bad_word(op, texts[i]))
            return grantd_fail(op, GRANTD_E_CONFIG, "%.40s is no id of %s: TikTok's ids are digits",
                               bad_word(op, texts[i]), names[i]);
    return NULL;
}

static grantd_next *request(grantd_op *op)
{
    grantd_next *bad;

    if (tt_is_hub(op))
        return tt_hub_request(op);
    bad = check_ids(op);
    if (!bad && !bc_mode_is(op, "oauth"))
        bad = tt_need_hub(op, !bc_mode_is(op, "partner"));
    if (bad)
        return bad;
    if (bc_mode_is(op, "partner") || bc_mode_is(op, "oauth"))
        return tt_consent_url(op);
    if (bc_mode_is(op, "access"))
        bc_access_steps(op);
    else
        bc_guided_steps(op);
    if (bc_mode_is(op, "access") ? grantd_arg(op, GRANTD_ARG_ASSET_ID) : grantd_param(op, "client_bc"))
        return tt_look_again(op);
    return grantd_finish(op);
}

/* ---- grant ------------------------------------------------------------------------------------------- */

static const struct {
    const char *at;
    grantd_fn *fn;
} places[] = {
    { "choose", bc_choose },   { "centers", bc_centers },    { "own", bc_own },
    { "was", bc_was },         { "look", bc_look },          { "share", bc_share },
    { "check", bc_check },     { "center", bc_next_center }, { "watch", bc_watch },
    { "sweep", bc_sweep },     { "settle", bc_settle },      { "guided", bc_guided },
    { "members", bc_members }, { "money", bc_finance },      { "assign", bc_assign },
    { "staff", bc_staff },
};

static grantd_fn *place(const char *at)
{
    for (size_t i = 0; at && i < sizeof places / sizeof *places; i++)
        if (!strcmp(places[i].at, at))
            return places[i].fn;
    return NULL;
}

grantd_next *bc_go(grantd_op *op, const char *at)
{
    grantd_note(op, "at", at);
    tt_note(op, "page", 1);
    return grantd_continue(op, place(at));
}

grantd_next *bc_next_page(grantd_op *op, const char *at)
{
    tt_note(op, "page", tt_noted(op, "page", 1) + 1);
    return grantd_continue(op, place(at));
}

static grantd_next *on_accounts(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_CLIENT);
    for (int64_t i = 0; i < n && i < TT_IDS_MAX; i++) {
        const char *id = tt_row_id(op, a, i, "advertiser_id"), *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID);

        if (!id)
            return tt_odd(op, "advertiser_id");
        if (hint && !tt_names(op, hint, id))
            continue;
        grantd_asset(op, .kind = "ad_account", .id = id, .name = tt_row(op, a, i, "advertiser_name"),
                     .layers = GRANTD_LAYER_TOKEN);
        if (hint) /* however it is written, this is one of those */
            grantd_surface(op, .kind = "token", .asset = id, .outcome = GRANTD_SURFACE_OPEN);
    }
    if (n == 0)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "no ad account was ticked at the consent: consent again");
    return grantd_finish(op);
}

static grantd_next *list_accounts(grantd_op *op)
{
    return tt_accounts(op, TT_CLIENT, on_accounts);
}

/* The consent, when one is needed, is had: on from the notes, or from the start. */
static grantd_next *work(grantd_op *op)
{
    const char *at = grantd_noted(op, "at");
    grantd_fn *fn = place(at);

    if (bc_mode_is(op, "guided") && grantd_equal(at, "check") && grantd_input(op, "client_bc"))
        return bc_guided(op);
    if (fn)
        return fn(op);
    if (bc_mode_is(op, "oauth"))
        return list_accounts(op);
    if (bc_mode_is(op, "access"))
        return bc_access(op);
    return bc_mode_is(op, "guided") ? bc_guided(op) : bc_choose(op);
}

static grantd_next *grant(grantd_op *op)
{
    int by_consent = bc_mode_is(op, "partner") || bc_mode_is(op, "oauth");
    grantd_next *bad;

    if (tt_is_hub(op))
        return tt_hub_grant(op);
    bad = bc_mode_is(op, "oauth") ? NULL : tt_need_hub(op, !by_consent);
    if (bad)
        return bad;
    return by_consent && !grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? tt_exchange(op, work) : work(op);
}

/* ---- what came of it --------------------------------------------------------------------------------- */

static void tell_role(grantd_op *op, const char *id, const char *role)
{
    int asked = bc_rank(bc_role(op)), is = bc_rank(role);

    if (is && is < asked)
        grantd_warn(
            op, "ROLE_LOWER",
            "ad account %s is shared with %s, %s was asked: let the client raise it in Business Center", id,
            role, bc_role(op));
    else if (is > asked)
        grantd_warn(
            op, "ROLE_HIGHER",
            "ad account %s is shared with %s, only %s was asked: it was so before, or the client gave "
            "more",
            id, role, bc_role(op));
}

static uint32_t layers(const grantd_op *op)
{
    int keep = tt_flag(grantd_option(op, "keep_client_token")) || !tt_token(op, TT_HUB);

    return GRANTD_LAYER_NATIVE | (tt_token(op, TT_CLIENT) && keep ? (uint32_t)GRANTD_LAYER_TOKEN : 0);
}

void bc_tell(grantd_op *op, const char *id, const char *parent, uint32_t outcome)
{
    grantd_surface(op, .kind = "partner_asset", .id = parent, .asset = id, .outcome = outcome);
    if (grantd_equal(grantd_noted(op, "was"), "0"))
        grantd_surface(op, .kind = "partner", .id = parent, .asset = id, .outcome = outcome);
}

void bc_report(grantd_op *op, const char *id, const char *name, const char *role, const char *parent)
{
    grantd_asset(op, .kind = "ad_account", .id = id, .name = name, .role = role, .parent = parent,
                 .layers = layers(op));
    if (parent)
        bc_tell(op, id, parent, GRANTD_SURFACE_OPEN);
    else
        grantd_surface(op, .kind = "access", .id = id, .asset = id, .outcome = GRANTD_SURFACE_OPEN);
    tell_role(op, id, role);
    tt_note(op, "granted", tt_noted(op, "granted", 0) + 1);
}

void bc_problem(grantd_op *op, const char *id, const char *word, const char *text)
{
    grantd_asset(op, .kind = "ad_account", .id = id, .problem = word, .text = text);
    if (!grantd_noted(op, "why"))
        grantd_note(op, "why", word);
}

/* When there are only problems, the host refuses the item with them. */
grantd_next *bc_wrap_up(grantd_op *op)
{
    if (tt_noted(op, "granted", 0) > 0 || grantd_noted(op, "why"))
        return grantd_finish(op);
    return grantd_fail(op, GRANTD_E_FORBIDDEN, "no ad account was shared, and none was named");
}

static grantd_next *refresh(grantd_op *op)
{
    return tt_liveness(op);
}

GRANTD_PLATFORM(tiktok_bc, .title = "TikTok Business Center",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT,
                .state_size = sizeof(struct tt), .shape = GRANTD_SHAPE_PERPETUAL,
                .retry_class = GRANTD_RETRY_NONE, .options = options, .params = params, .roles = roles,
                .modes = modes, .mode_roles = mode_roles, .hosts = hosts,
                .limits = { .concurrency = 4, .per_minute = 500, .burst = 8 }, .request = request,
                .grant = grant, .refresh = refresh, .revoke = bc_revoke, .verify = bc_verify,
                .scan = bc_scan);
