/* spark_ads.c - TikTok Spark Ads: what the platform declares, what the creator is asked for, and where a
 * grant goes on. Facts: tiktok.md 3 and 5. Three ways to a creator's post: codes that are handed in (mode
 * code), the creator's consent, with which grantd makes the codes (mode creator), the creator's account in
 * the agency's Business Center by QR (mode qr). */
#include "spark.h"

static const char *const day_choices[] = { "7", "30", "60", "180", "365", NULL };

static const struct grantd_option options[] = {
    TT_APP_OPTIONS,
    { .key = "creator_url",
      .help = "Address of the creator's consent page",
      .type = GRANTD_URL,
      .dflt = "https://www.tiktok.com" },
    { .key = "creator_scope",
      .help = "Scopes of the creator's consent, separated by commas",
      .dflt = "user.info.basic,user.info.username,video.list,biz.spark.auth" },
    { .key = "review_days",
      .help = "Days that a window should last beyond the campaign, for TikTok's review of its ads",
      .type = GRANTD_INT,
      .dflt = "2" },
    { .key = "advertisers",
      .help = "Ids of the agency's ad accounts that use the posts, separated by commas",
      .flags = GRANTD_OPT_HUB },
    { .key = "account_limit",
      .help = "TikTok accounts that a Business Center may hold; scan warns at 95 in 100",
      .flags = GRANTD_OPT_HUB,
      .type = GRANTD_INT,
      .dflt = "800" },
    { 0 },
};

static const struct grantd_option params[] = {
    { .key = "advertisers", .help = "Ids of the ad accounts that use it, in place of the hub's list" },
    { .key = "creator", .help = "The creator's TikTok name, as a check" },
    { .key = "campaign_start", .help = "First day of the campaign, YYYY-MM-DD" },
    { .key = "campaign_end", .help = "Last day of the campaign, YYYY-MM-DD" },
    { .key = "days",
      .help = "Days that a code is made for",
      .type = GRANTD_ENUM,
      .choices = day_choices,
      .dflt = "30" },
    { .key = "staff", .help = "Mode qr: user ids of agency members who get the TikTok account" },
    { 0 },
};

#define NEEDED                                                                                          \
    "(before you agree: switch on Ad settings, Ad authorization in the TikTok app, and have the posts " \
    "public, of "                                                                                       \
    "a supported kind, with their final caption and disclosures)"

static const struct grantd_role roles[] = {
    { "SPARK_ADS", "Spark Ads",
      "use the posts that you give, and no others, in its ads, under your name, until the window "
      "ends " NEEDED,
      "log in as you, post, delete or change anything, or read your messages" },
    { 0 },
};
static const char *const modes[] = { "code", "creator", "qr", NULL };
static const char *const hosts[] = { "business-api.tiktok.com", "www.tiktok.com", NULL };

int sp_mode_is(const grantd_op *op, const char *mode)
{
    const char *is = grantd_arg(op, GRANTD_ARG_MODE);

    return !strcmp(is ? is : modes[0], mode);
}

const char *sp_advertiser(grantd_op *op, int64_t nth)
{
    const char *text = grantd_param(op, "advertisers"), *word;

    if (!text)
        text = grantd_option(op, "advertisers");
    while (text && (word = tt_word(op, &text)))
        if (tt_digits(word) && nth-- == 0)
            return word;
    return NULL;
}

/* ---- what people are told ---------------------------------------------------------------------------- */

/* Each of these, when it is missing, is a refusal later (facts: tiktok.md 5.5, 5.7). */
void sp_conditions(grantd_op *op)
{
    grantd_step(
        op, .title = "Before you start",
        .text =
            "In the TikTok app, Settings, Creator tools, Ad settings: ad authorization is on. The post is "
            "public. It is a video or photo post, no story, and no duet or stitch of a duet or stitch. "
            "Its caption is final: it is locked as soon as the post is authorised. Disclosures (paid "
            "partnership, your brand) are set.");
}

void sp_code_steps(grantd_op *op)
{
    const char *days = grantd_param(op, "days");

    grantd_step(op, .title = "Make a code for each post",
                .text =
                    grantd_strf(op,
                                "In the TikTok app open the post, the three dots, Ad settings, switch on Ad "
                                "authorization, Generate code, choose %s days, copy the code.",
                                days ? days : "30"));
    grantd_step(
        op, .title = "Hand in the codes",
        .text =
            "Paste up to 20 codes, as they are. Each begins with #. Each is looked at by itself: one that "
            "cannot be used does not harm the others.",
        .ask = "codes", .ask_label = "Codes", .flags = GRANTD_STEP_LINES);
}

static int64_t last_day(grantd_op *op)
{
    int64_t at = tt_time(grantd_param(op, "campaign_end"));

    return at ? at + 86400 : 0;
}

int64_t sp_needed_until(grantd_op *op)
{
    return last_day(op) ? last_day(op) + tt_whole(grantd_option(op, "review_days"), 2) * 86400 : 0;
}

void sp_tell_window(grantd_op *op, const char *id, int64_t starts_at, int64_t ends_at)
{
    int64_t until = sp_needed_until(op), from = tt_time(grantd_param(op, "campaign_start"));

    if (until && ends_at && ends_at < until)
        grantd_warn(
            op, "WINDOW_ENDS_BEFORE_CAMPAIGN",
            "post %s may be used until %s, the campaign needs it until %s: let the creator extend the code",
            id, tt_when(op, ends_at), tt_when(op, until));
    if (from && starts_at > from)
        grantd_warn(op, "WINDOW_STARTS_LATE", "post %s may be used from %s, the campaign starts at %s", id,
                    tt_when(op, starts_at), tt_when(op, from));
}

void sp_problem(grantd_op *op, const char *kind, const char *id, const char *word, const char *text)
{
    grantd_asset(op, .kind = kind, .id = id, .problem = word, .text = text);
    grantd_note(op, "why", word);
}

/* ---- request ----------------------------------------------------------------------------------------- */

static const char *bad_date(grantd_op *op)
{
    static const char *const keys[] = { "campaign_start", "campaign_end" };

    for (int i = 0; i < 2; i++)
        if (grantd_param(op, keys[i]) && !tt_time(grantd_param(op, keys[i])))
            return keys[i];
    return NULL;
}

static const char *bad_id(grantd_op *op)
{
    const char *const texts[] = { grantd_param(op, "advertisers"), grantd_option(op, "advertisers"),
                                  grantd_param(op, "staff"), grantd_arg(op, GRANTD_ARG_ASSET_ID) };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = texts[i], *word;

        while (text && (word = tt_word(op, &text)))
            if (!tt_digits(word))
                return word;
    }
    return NULL;
}

static grantd_next *check(grantd_op *op)
{
    grantd_next *bad = tt_need_hub(op, 1);

    if (bad)
        return bad;
    if (bad_date(op))
        return grantd_fail(op, GRANTD_E_CONFIG, "%s is no date: write YYYY-MM-DD", bad_date(op));
    if (tt_time(grantd_param(op, "campaign_start")) && last_day(op) &&
        tt_time(grantd_param(op, "campaign_start")) >= last_day(op))
        return grantd_fail(op, GRANTD_E_CONFIG, "campaign_end is before campaign_start");
    if (bad_id(op))
        return grantd_fail(op, GRANTD_E_CONFIG, "%.40s is no id of TikTok: these are digits", bad_id(op));
    if (!sp_advertiser(op, 0))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "no ad account is named that would use the posts: set advertisers of the hub, or of the "
            "item");
    return NULL;
}

static grantd_next *request(grantd_op *op)
{
    grantd_next *bad;

    if (tt_is_hub(op))
        return tt_hub_request(op);
    bad = check(op);
    if (bad)
        return bad;
    if (sp_mode_is(op, "creator"))
        return sp_creator_url(op);
    if (sp_mode_is(op, "qr"))
        return sp_qr_request(op);
    sp_conditions(op);
    sp_code_steps(op);
    return grantd_finish(op);
}

/* ---- grant ------------------------------------------------------------------------------------------- */

static const struct {
    const char *at;
    grantd_fn *fn;
} places[] = {
    { "info", sp_info },        { "look", sp_look },         { "send", sp_send },
    { "read", sp_read },        { "code", sp_next_code },    { "posts", sp_posts },
    { "status", sp_status_of }, { "mint", sp_mint },         { "list", sp_qr_list },
    { "link", sp_link },        { "linked", sp_linked },     { "linklook", sp_link_look },
    { "seats", sp_seats },      { "identity", sp_identity },
};

static grantd_fn *place(const char *at)
{
    for (size_t i = 0; at && i < sizeof places / sizeof *places; i++)
        if (!strcmp(places[i].at, at))
            return places[i].fn;
    return NULL;
}

grantd_next *sp_go(grantd_op *op, const char *at)
{
    grantd_note(op, "at", at);
    tt_note(op, "page", 1);
    return grantd_continue(op, place(at));
}

static grantd_next *grant(grantd_op *op)
{
    grantd_fn *fn = place(grantd_noted(op, "at"));
    grantd_next *bad;

    if (tt_is_hub(op))
        return tt_hub_grant(op);
    bad = check(op);
    if (bad)
        return bad;
    if (fn && sp_mode_is(op, "code") && grantd_input(op, "codes")) { /* more, while others are waited for */
        (void)sp_take_codes(op, grantd_input(op, "codes"));
        tt_note(op, "from", 0);
    }
    if (fn)
        return fn(op);
    if (sp_mode_is(op, "creator"))
        return sp_creator(op);
    return sp_mode_is(op, "qr") ? sp_qr(op) : sp_start(op);
}

/* The creator's token lives a day and is renewed; the agency's lives on and is looked at. */
static grantd_next *refresh(grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN) ? sp_creator_refresh(op) : tt_liveness(op);
}

GRANTD_PLATFORM(spark_ads, .title = "TikTok Spark Ads",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT,
                .state_size = sizeof(struct sp), .shape = GRANTD_SHAPE_WINDOW,
                .retry_class = GRANTD_RETRY_UNKNOWN, .options = options, .params = params, .roles = roles,
                .modes = modes, .hosts = hosts, .limits = { .concurrency = 2, .per_minute = 400, .burst = 4 },
                .request = request, .grant = grant, .refresh = refresh, .revoke = sp_revoke,
                .verify = sp_verify, .scan = sp_scan);
