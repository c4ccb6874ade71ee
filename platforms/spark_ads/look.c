/* look.c - verify and scan. Of a post: is it still in the ad accounts' lists, AUTHORIZED, until when, and can
 * it be seen; of a TikTok account: is it in the Business Center and linked; of a creator's token: whose is it
 * (facts: tiktok.md 5.3, 5.10). Differences are facts. */
#include "spark.h"

static grantd_fn native_layer, look_post, look_account, look_link, scan_posts;
static grantd_doc_fn on_token, on_post, on_account, on_link, on_accounts, on_scanned;

static const char *asset_id(grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    return id ? id : tt_grant_text(op, "assets.0.id");
}

/* Ids of the surfaces of that kind, whatever their outcome; without any, the ad accounts of the hub. */
static const char *nth_surface(grantd_op *op, const char *kind, int64_t nth)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = grant ? grantd_len(op, grant, "surfaces") : 0, found = 0;

    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_grant_text(op, grantd_strf(op, "surfaces.%lld.kind", (long long)i)), kind)) {
            if (nth-- == 0)
                return tt_grant_text(op, grantd_strf(op, "surfaces.%lld.id", (long long)i));
            found = 1;
        }
    return found ? NULL : sp_advertiser(op, nth);
}

/* ---- verify: the creator's token --------------------------------------------------------------------- */

grantd_next *sp_verify(grantd_op *op)
{
    if (tt_is_hub(op))
        return tt_hub_verify(op);
    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? sp_creator_alive(op, on_token) : native_layer(op);
}

static int has_ended(grantd_op *op)
{
    int64_t end = tt_whole(grantd_arg(op, GRANTD_ARG_EXPIRES_AT), 0);

    return end && end <= grantd_now(op);
}

static grantd_next *on_token(grantd_op *op, const grantd_doc *a)
{
    const char *who = grantd_text(op, a, "data.creator_id"), *scope = grantd_text(op, a, "data.scope");

    if (tt_code(op, a) != 0 && tt_class(op, a) != GRANTD_E_REAUTH)
        return tt_fail(op, a, TT_CLIENT);
    if (tt_code(op, a) != 0) {
        grantd_observe(op, "alive", has_ended(op) ? "unknown" : "no");
        return native_layer(op);
    }
    if (!who)
        return tt_odd(op, "creator_id");
    grantd_observe(op, "alive", "yes");
    grantd_observe(op, "account_id", who);
    if (scope)
        grantd_observe(op, "scope", sp_scopes(op, scope));
    return native_layer(op);
}

static grantd_next *native_is(grantd_op *op, const char *word)
{
    grantd_observe(op, "native", word);
    return grantd_finish(op);
}

static grantd_next *native_layer(grantd_op *op)
{
    if (!tt_token(op, TT_HUB) || !grantd_arg(op, GRANTD_ARG_HUB_ID) || !asset_id(op) ||
        !tt_digits(asset_id(op)))
        return native_is(op, "unknown");
    return sp_mode_is(op, "qr") ? look_account(op) : look_post(op);
}

static grantd_next *hub_refused(grantd_op *op, const grantd_doc *a)
{
    if (tt_class(op, a) != GRANTD_E_REAUTH)
        return tt_fail(op, a, TT_HUB);
    grantd_warn(op, "HUB_TOKEN_DEAD",
                "the agency's own access to TikTok has ended: order grantctl hub connect");
    return native_is(op, "unknown");
}

/* ---- verify: a post ---------------------------------------------------------------------------------- */

/* Each ad account in turn; notes: j, and seen once one of them has it. */
static grantd_next *look_post(grantd_op *op)
{
    const char *id = nth_surface(op, "code", tt_noted(op, "j", 0));

    if (!id || !tt_digits(id))
        return native_is(op, tt_noted(op, "seen", 0) ? "present" : "gone");
    return sp_list(op, id, asset_id(op), on_post);
}

static void show_post(grantd_op *op, const grantd_doc *a, int64_t i)
{
    int64_t from = tt_time(tt_row(op, a, i, "auth_info.auth_start_time")),
            end = tt_time(tt_row(op, a, i, "auth_info.auth_end_time"));
    const char *word = tt_row(op, a, i, "auth_info.ad_auth_status"),
               *status = tt_row(op, a, i, "item_info.status");

    if (grantd_equal(word, "AUTHORIZED") && (!end || end > grantd_now(op)))
        tt_note(op, "seen", 1);
    if (from)
        grantd_observe(op, "starts_at", tt_num_text(op, from));
    if (end)
        grantd_observe(op, "ends_at", tt_num_text(op, end));
    if (word)
        grantd_observe(op, "authorisation", word);
    if (status)
        grantd_observe(op, "post", status);
    if (tt_row(op, a, i, "user_info.tiktok_name"))
        grantd_observe(op, "partner", tt_row(op, a, i, "user_info.tiktok_name"));
    sp_tell_window(op, asset_id(op), from, end);
    if (sp_status(status))
        grantd_warn(op, "POST_NOT_USABLE", "post %s: %s", asset_id(op), sp_status(status)->text);
}

static grantd_next *on_post(grantd_op *op, const grantd_doc *a)
{
    int64_t i;

    if (!tt_is_list(op, a, "data.list"))
        return hub_refused(op, a);
    i = sp_row(op, a, asset_id(op), NULL);
    if (i >= 0)
        show_post(op, a, i);
    else if (tt_noted(op, "seen", 0))
        grantd_warn(op, "NOT_IN_ADVERTISER", "ad account %s does not list post %s any more",
                    nth_surface(op, "code", tt_noted(op, "j", 0)), asset_id(op));
    tt_note(op, "j", tt_noted(op, "j", 0) + 1);
    return grantd_continue(op, look_post);
}

/* ---- verify: a TikTok account ------------------------------------------------------------------------ */

static grantd_next *look_account(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/asset/admin/get/",
                  grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "asset_type", "TT_ACCOUNT", "page",
                               tt_num_text(op, tt_noted(op, "page", 1)), "page_size", "50"),
                  on_account);
}

static int64_t account_row(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "asset_id"), asset_id(op)))
            return i;
    return -1;
}

static grantd_next *on_account(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1), i;

    if (!tt_is_list(op, a, "data.list"))
        return hub_refused(op, a);
    i = account_row(op, a);
    if (i < 0 && tt_last_page(op, a, "data.list", page))
        return native_is(op, "gone");
    if (i < 0) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, look_account);
    }
    grantd_observe(op, "partner", tt_row(op, a, i, "asset_name"));
    tt_note(op, "page", 1);
    return grantd_continue(op, look_link);
}

/* Linked to one of the ad accounts is what counts. */
static grantd_next *look_link(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/asset/advertiser/assigned/",
                  grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "asset_id", asset_id(op),
                               "asset_type", "TT_ACCOUNT", "page", tt_num_text(op, tt_noted(op, "page", 1)),
                               "page_size", "50"),
                  on_link);
}

static int is_ours(grantd_op *op, const char *advertiser)
{
    const char *id;

    for (int64_t i = 0; advertiser && (id = nth_surface(op, "link", i)); i++)
        if (!strcmp(id, advertiser))
            return 1;
    return 0;
}

static grantd_next *on_link(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1), n = grantd_len(op, a, "data.list");

    if (!tt_is_list(op, a, "data.list"))
        return hub_refused(op, a);
    for (int64_t i = 0; i < n; i++)
        if (is_ours(op, tt_row(op, a, i, "advertiser_id")))
            return native_is(op, "present");
    if (tt_last_page(op, a, "data.list", page))
        return native_is(op, "gone");
    tt_note(op, "page", page + 1);
    return grantd_continue(op, look_link);
}

/* ---- scan -------------------------------------------------------------------------------------------- */

grantd_next *sp_scan(grantd_op *op)
{
    grantd_next *bad = tt_need_hub(op, 1);

    if (bad)
        return bad;
    return tt_get(op, TT_HUB, "bc/asset/admin/get/",
                  grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "asset_type", "TT_ACCOUNT", "page",
                               tt_num_text(op, tt_noted(op, "page", 1)), "page_size", "50"),
                  on_accounts);
}

static void tell_number(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_num(op, a, "data.page_info.total_number", 0);
    int64_t limit = tt_whole(grantd_option(op, "account_limit"), 800);

    if (limit > 0 && n >= limit - limit / 20)
        grantd_warn(
            op, "ACCOUNTS_NEAR_LIMIT",
            "the agency's Business Center holds %lld TikTok accounts, TikTok allows %lld: remove what has "
            "ended",
            (long long)n, (long long)limit);
}

static grantd_next *on_accounts(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    if (page == 1)
        tell_number(op, a);
    for (int64_t i = 0; i < n; i++)
        if (!grantd_equal(tt_row(op, a, i, "relation_type"), "OWNER_BC"))
            grantd_asset(op, .kind = "tiktok_account", .id = tt_row(op, a, i, "asset_id"),
                         .name = tt_row(op, a, i, "asset_name"), .parent = tt_row(op, a, i, "owner_bc_name"),
                         .layers = GRANTD_LAYER_NATIVE);
    tt_note(op, "page", tt_last_page(op, a, "data.list", page) ? 1 : page + 1);
    return grantd_continue(op, tt_last_page(op, a, "data.list", page) ? scan_posts : sp_scan);
}

static grantd_next *scan_posts(grantd_op *op)
{
    const char *id = sp_advertiser(op, tt_noted(op, "j", 0));

    return id ? sp_list(op, id, NULL, on_scanned) : grantd_finish(op);
}

static grantd_next *on_scanned(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "auth_info.ad_auth_status"), "AUTHORIZED"))
            grantd_asset(op, .kind = "post", .id = tt_row(op, a, i, "item_info.item_id"),
                         .name = tt_row(op, a, i, "item_info.text"), .layers = GRANTD_LAYER_NATIVE,
                         .parent = tt_row(op, a, i, "user_info.tiktok_name"),
                         .starts_at = tt_time(tt_row(op, a, i, "auth_info.auth_start_time")),
                         .ends_at = tt_time(tt_row(op, a, i, "auth_info.auth_end_time")));
    if (tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "j", tt_noted(op, "j", 0) + 1);
        page = 0;
    }
    tt_note(op, "page", page + 1);
    return grantd_continue(op, scan_posts);
}
