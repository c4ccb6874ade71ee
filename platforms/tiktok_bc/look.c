/* look.c - verify and scan. A grant is seen from two sides: does the client's token still reach the ad
 * account, and does the agency's Business Center still show it, with which role. Differences are facts. Scan
 * lists what the agency's Business Center can reach, own accounts left out (facts: tiktok.md 4.4, 4.5, 4.6).
 */
#include "bc.h"

static grantd_fn native_layer, by_partner, by_request, scan_shared;
static grantd_doc_fn on_token, on_partner, on_partners, on_request, on_scanned, on_givers, on_shared;

static const char *asset_id(grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    return id ? id : tt_grant_text(op, "assets.0.id");
}

/* Whose it is, for what a partner shared; NULL when the agency asked for it by its id. */
static const char *parent(grantd_op *op)
{
    const char *id = tt_grant_text(op, "assets.0.parent");

    return id && tt_digits(id) ? id : NULL;
}

/* ---- verify: the token ------------------------------------------------------------------------------- */

grantd_next *bc_verify(grantd_op *op)
{
    if (tt_is_hub(op))
        return tt_hub_verify(op);
    if (!tt_token(op, TT_CLIENT))
        return native_layer(op);
    return tt_accounts(op, TT_CLIENT, on_token);
}

static int reaches(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");
    const char *id = asset_id(op);

    for (int64_t i = 0; i < n; i++)
        if (!id || grantd_equal(tt_row(op, a, i, "advertiser_id"), id))
            return 1;
    return 0;
}

static grantd_next *on_token(grantd_op *op, const grantd_doc *a)
{
    if (tt_is_list(op, a, "data.list"))
        grantd_observe(op, "alive", reaches(op, a) ? "yes" : "no");
    else if (tt_class(op, a) == GRANTD_E_REAUTH)
        grantd_observe(op, "alive", "no");
    else
        return tt_fail(op, a, TT_CLIENT);
    return native_layer(op);
}

/* ---- verify: the share ------------------------------------------------------------------------------- */

static grantd_next *native_is(grantd_op *op, const char *word)
{
    grantd_observe(op, "native", word);
    return grantd_finish(op);
}

static grantd_next *native_layer(grantd_op *op)
{
    if (bc_mode_is(op, "oauth"))
        return grantd_finish(op);
    if (!tt_token(op, TT_HUB) || !grantd_arg(op, GRANTD_ARG_HUB_ID) || !asset_id(op))
        return native_is(op, "unknown");
    return parent(op) ? by_partner(op) : by_request(op);
}

/* The agency's own token is dead: that says nothing of this grant. */
static grantd_next *hub_refused(grantd_op *op, const grantd_doc *a)
{
    if (tt_class(op, a) != GRANTD_E_REAUTH)
        return tt_fail(op, a, TT_HUB);
    grantd_warn(op, "HUB_TOKEN_DEAD",
                "the agency's own access to TikTok has ended: order grantctl hub connect");
    return native_is(op, "unknown");
}

static grantd_next *by_partner(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/partner/asset/get/",
                  grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "partner_id", parent(op),
                               "asset_type", "ADVERTISER", "share_type", "SHARED", BC_PAGE(op, 50)),
                  on_partner);
}

static grantd_next *show_row(grantd_op *op, const grantd_doc *a, int64_t i)
{
    grantd_observe(op, "role", tt_row(op, a, i, "advertiser_role"));
    if (parent(op))
        grantd_observe(op, "partner", parent(op));
    return native_is(op, "present");
}

static int64_t row_of(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "asset_id"), asset_id(op)))
            return i;
    return -1;
}

static grantd_next *on_partner(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1), i;

    if (tt_code(op, a) == 40002 || tt_code(op, a) == 40007) { /* perhaps no partners any more */
        tt_note(op, "page", 1);
        return tt_get(op, TT_HUB, "bc/partner/get/",
                      grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), BC_PAGE(op, 50)), on_partners);
    }
    if (!tt_is_list(op, a, "data.list"))
        return hub_refused(op, a);
    i = row_of(op, a);
    if (i >= 0)
        return show_row(op, a, i);
    if (tt_last_page(op, a, "data.list", page))
        return native_is(op, "gone");
    tt_note(op, "page", page + 1);
    return grantd_continue(op, by_partner);
}

static grantd_next *on_partners(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return hub_refused(op, a);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "bc_id"), parent(op)))
            return grantd_fail(
                op, GRANTD_E_PROTOCOL,
                "TikTok does not list what Business Center %s shares, although it is a partner", parent(op));
    if (tt_last_page(op, a, "data.list", page))
        return native_is(op, "gone");
    tt_note(op, "page", page + 1);
    return tt_get(op, TT_HUB, "bc/partner/get/",
                  grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), BC_PAGE(op, 50)), on_partners);
}

/* ---- verify: what was asked for by its id ------------------------------------------------------------ */

static grantd_next *by_request(grantd_op *op)
{
    const char *keyword =
        tt_noted(op, "page", 0) ? NULL : grantd_strf(op, "{\"keyword\":\"%s\"}", asset_id(op));

    if (!tt_digits(asset_id(op)))
        return native_is(op, "unknown");
    return tt_get(op, TT_HUB, "bc/asset/admin/get/",
                  grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "asset_type", "ADVERTISER",
                               "filtering", keyword, BC_PAGE(op, 50)),
                  on_request);
}

static grantd_next *on_request(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 0), i;
    const char *status;

    if (!tt_is_list(op, a, "data.list"))
        return hub_refused(op, a);
    i = row_of(op, a);
    status = i < 0 ? NULL : tt_row(op, a, i, "relation_status");
    if (grantd_equal(status, "BOUND"))
        return show_row(op, a, i);
    if (i >= 0)
        return native_is(op, grantd_equal(status, "PENDING") ? "pending"
                             : tt_has_ended(status)          ? "gone"
                                                             : "unknown");
    if (page && tt_last_page(op, a, "data.list", page)) /* without the keyword, to its end */
        return native_is(op, "gone");
    tt_note(op, "page", page + 1);
    return grantd_continue(op, by_request);
}

/* ---- scan -------------------------------------------------------------------------------------------- */

static grantd_next *scan_page(grantd_op *op)
{
    return tt_get(
        op, TT_HUB, "bc/asset/admin/get/",
        grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "asset_type", "ADVERTISER", BC_PAGE(op, 50)),
        on_scanned);
}

grantd_next *bc_scan(grantd_op *op)
{
    grantd_next *bad = tt_need_hub(op, 1);

    return bad ? bad : scan_page(op);
}

/* All that TikTok says there are; rows alone where it does not say (page_info may be all zero). */
static void count_rows(grantd_op *op, const grantd_doc *a, int64_t page)
{
    int64_t all = grantd_num(op, a, "data.page_info.total_number", 0), holds = tt_noted(op, "holds", 0);

    if (!all)
        tt_note(op, "holds", holds + grantd_len(op, a, "data.list"));
    else if (page == 1)
        tt_note(op, "holds", holds + all);
}

/* Own accounts, those that were asked for and those that partners share count alike (facts: 4.6). */
static void tell_number(grantd_op *op)
{
    int64_t n = tt_noted(op, "holds", 0);
    int64_t limit = tt_whole(grantd_option(op, "account_limit"), TT_IDS_MAX);

    if (limit > 0 && n >= limit - limit / 20)
        grantd_warn(
            op, "ACCOUNTS_NEAR_LIMIT",
            "the agency's Business Center holds %lld ad accounts, TikTok allows %lld: remove what has ended, "
            "or use a further Business Center",
            (long long)n, (long long)limit);
}

static void take_reached(grantd_op *op, const grantd_doc *a, int64_t i, const char *giver)
{
    grantd_asset(op, .kind = "ad_account", .id = tt_row(op, a, i, "asset_id"),
                 .name = tt_row(op, a, i, "asset_name"), .role = tt_row(op, a, i, "advertiser_role"),
                 .parent = giver, .layers = GRANTD_LAYER_NATIVE);
}

static grantd_next *on_scanned(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    count_rows(op, a, page);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "relation_status"), "BOUND") &&
            !grantd_equal(tt_row(op, a, i, "relation_type"), "OWNER_BC"))
            take_reached(op, a, i, tt_row(op, a, i, "owner_bc_name"));
    if (tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", 1);
        return grantd_continue(op, scan_shared);
    }
    tt_note(op, "page", page + 1);
    return grantd_continue(op, bc_scan);
}

/* Partners first, then what each of them shares: notes "givers", and "g" for the one in hand. */
static grantd_next *scan_shared(grantd_op *op)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID), *giver = tt_nth(op, "givers", tt_noted(op, "g", 0));

    if (!grantd_noted(op, "g"))
        return tt_get(op, TT_HUB, "bc/partner/get/", grantd_pairs("bc_id", hub, BC_PAGE(op, 50)), on_givers);
    if (!giver) {
        tell_number(op);
        return grantd_finish(op);
    }
    return tt_get(op, TT_HUB, "bc/partner/asset/get/",
                  grantd_pairs("bc_id", hub, "partner_id", giver, "asset_type", "ADVERTISER", "share_type",
                               "SHARED", BC_PAGE(op, 50)),
                  on_shared);
}

static grantd_next *on_givers(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++)
        tt_push(op, "givers", tt_row_id(op, a, i, "bc_id"));
    if (!tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, scan_shared);
    }
    tt_note(op, "page", 1);
    tt_note(op, "g", 0);
    return grantd_continue(op, scan_shared);
}

static grantd_next *on_shared(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1), g = tt_noted(op, "g", 0);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    count_rows(op, a, page);
    for (int64_t i = 0; i < n; i++)
        take_reached(op, a, i, tt_nth(op, "givers", g));
    if (tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "g", g + 1);
        page = 0;
    }
    tt_note(op, "page", page + 1);
    return grantd_continue(op, scan_shared);
}
