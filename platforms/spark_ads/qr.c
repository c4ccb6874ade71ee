/* qr.c - mode qr: the creator scans a QR code in the TikTok app and its account appears in the agency's
 * Business Center; then it is linked to the ad accounts (facts: tiktok.md 5.9). TikTok does not tell which
 * scan brought which account: the accounts that were there before are remembered (kept t0, t1, ...), a new
 * one is compared with the name that the agency told, or shown to the creator. Notes: new.* with name.<id>,
 * acct. */
#include "spark.h"

static grantd_doc_fn on_before, on_code, on_listed, on_linked, on_links, on_seat, on_identity;
static grantd_fn before, ask_code;

enum { SNAPSHOT_BLOCKS = 8, SNAPSHOT_MAX = 3900 };

static const char *hub(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_HUB_ID);
}

/* ---- what was there before --------------------------------------------------------------------------- */

static const char *block(grantd_op *op, int i)
{
    return grantd_strf(op, "t%d", i);
}

static int was_there(grantd_op *op, const char *id)
{
    for (int i = 0; i < SNAPSHOT_BLOCKS; i++) {
        const char *text = grantd_kept(op, block(op, i));

        if (text && tt_names(op, text, id))
            return 1;
    }
    return 0;
}

static void remember(grantd_op *op, const char *id)
{
    for (int i = 0; i < SNAPSHOT_BLOCKS; i++) {
        const char *text = grantd_kept(op, block(op, i));

        if (!text || strlen(text) + 1 + strlen(id) <= SNAPSHOT_MAX) {
            grantd_keep(op, block(op, i), text ? grantd_strf(op, "%s %s", text, id) : id);
            return;
        }
    }
}

static grantd_next *list(grantd_op *op, grantd_doc_fn *next)
{
    return tt_get(op, TT_HUB, "bc/asset/admin/get/",
                  grantd_pairs("bc_id", hub(op), "asset_type", "TT_ACCOUNT", "page",
                               tt_num_text(op, tt_noted(op, "page", 1)), "page_size", "50"),
                  next);
}

grantd_next *sp_qr_request(grantd_op *op)
{
    tt_note(op, "page", 1);
    return before(op);
}

static grantd_next *before(grantd_op *op)
{
    return list(op, on_before);
}

static grantd_next *on_before(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++) {
        const char *id = tt_row_id(op, a, i, "asset_id");

        if (!id)
            return tt_odd(op, "asset_id");
        remember(op, id);
    }
    if (tt_last_page(op, a, "data.list", page))
        return ask_code(op);
    tt_note(op, "page", page + 1);
    return grantd_continue(op, before);
}

/* ---- the QR code ------------------------------------------------------------------------------------- */

static grantd_next *ask_code(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/asset/account/authorization/", grantd_pairs("bc_id", hub(op)), on_code);
}

static grantd_next *on_code(grantd_op *op, const grantd_doc *a)
{
    const char *url = grantd_text(op, a, "data.bc_auth_qr_code");

    if (tt_code(op, a) != 0)
        return tt_fail(op, a, TT_HUB);
    if (!url || strncmp(url, "https://", 8) != 0 || strlen(url) > 2000)
        return tt_odd(op, "bc_auth_qr_code");
    sp_conditions(op);
    grantd_step(
        op, .title = "Scan this code in the TikTok app",
        .text =
            "Open the TikTok app as the creator, scan the code, and allow the agency to use existing posts. "
            "Nothing has to be typed here: the account is looked for by itself.",
        .qr = url);
    grantd_note(op, "at", NULL);
    return tt_look_again(op);
}

/* ---- is there a new one? ----------------------------------------------------------------------------- */

grantd_next *sp_qr(grantd_op *op)
{
    tt_clear(op, "new");
    return sp_go(op, "list");
}

grantd_next *sp_qr_list(grantd_op *op)
{
    return list(op, on_listed);
}

static int same_name(const char *told, const char *is)
{
    if (told && *told == '@')
        told++;
    return told && is && !strcasecmp(told, is);
}

static grantd_next *ask_whose(grantd_op *op)
{
    const char *pairs[2 * 20 + 2] = { NULL }, *id;

    for (int64_t i = 0; i < 20 && (id = tt_nth(op, "new", i)); i++) {
        const char *name = grantd_noted(op, grantd_strf(op, "name.%s", id));

        pairs[2 * i] = id;
        pairs[2 * i + 1] = name && *name ? name : id;
    }
    grantd_step(op, .title = "Which account is yours?",
                .text = "An account was added to the agency's Business Center. Say that it is yours.",
                .ask = "account", .ask_label = "TikTok account", .choices = pairs);
    grantd_note(op, "at", NULL);
    return grantd_pending(op, grantd_now(op) + 3600);
}

/* By what the creator said, or by the name that the agency told. */
static const char *ours(grantd_op *op)
{
    const char *said = grantd_input(op, "account"), *told = grantd_param(op, "creator"), *id;

    if (said && tt_has(op, "new", said))
        return said;
    for (int64_t i = 0; told && (id = tt_nth(op, "new", i)); i++)
        if (same_name(told, grantd_noted(op, grantd_strf(op, "name.%s", id))))
            return id;
    return NULL;
}

static grantd_next *decide(grantd_op *op)
{
    const char *id = ours(op);

    if (id) {
        grantd_note(op, "acct", id);
        grantd_surface(op, .kind = "account", .id = id, .asset = id, .outcome = GRANTD_SURFACE_OPEN);
        tt_note(op, "j", 0);
        return sp_go(op, "link");
    }
    return tt_nth(op, "new", 0) && !grantd_param(op, "creator") ? ask_whose(op) : ask_code(op);
}

static grantd_next *on_listed(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++) {
        const char *id = tt_row_id(op, a, i, "asset_id"), *name = tt_row(op, a, i, "asset_name");

        if (!id)
            return tt_odd(op, "asset_id");
        if (was_there(op, id) || tt_count(op, "new") >= 20)
            continue;
        tt_push(op, "new", id);
        grantd_note(op, grantd_strf(op, "name.%s", id), name ? grantd_shown(op, name, 100) : "");
    }
    if (tt_last_page(op, a, "data.list", page))
        return decide(op);
    tt_note(op, "page", page + 1);
    return grantd_continue(op, sp_qr_list);
}

/* ---- linking ----------------------------------------------------------------------------------------- */

static const char *account(const grantd_op *op)
{
    return grantd_noted(op, "acct");
}

static const char *advertiser(grantd_op *op)
{
    return sp_advertiser(op, tt_noted(op, "j", 0));
}

/* Which ad accounts it is linked to comes before and after the order. */
static grantd_next *links(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/asset/advertiser/assigned/",
                  grantd_pairs("bc_id", hub(op), "asset_id", account(op), "asset_type", "TT_ACCOUNT", "page",
                               tt_num_text(op, tt_noted(op, "page", 1)), "page_size", "50"),
                  on_links);
}

grantd_next *sp_link(grantd_op *op)
{
    if (!account(op) || !advertiser(op))
        return sp_go(op, "seats");
    grantd_note(op, "ordered", NULL);
    return links(op);
}

grantd_next *sp_link_look(grantd_op *op)
{
    return account(op) && advertiser(op) ? links(op) : sp_go(op, "seats");
}

static grantd_next *next_link(grantd_op *op)
{
    tt_note(op, "j", tt_noted(op, "j", 0) + 1);
    return sp_go(op, "link");
}

/* Told before it is ordered: what an item has begun is closed when it ends without a grant. */
static void tell_link(grantd_op *op, uint32_t outcome)
{
    grantd_surface(op, .kind = "link", .id = advertiser(op), .asset = account(op), .outcome = outcome);
}

static grantd_next *is_linked(grantd_op *op)
{
    const char *name = grantd_noted(op, grantd_strf(op, "name.%s", account(op)));

    grantd_asset(op, .kind = "tiktok_account", .id = account(op), .name = name, .parent = hub(op),
                 .role = grantd_arg(op, GRANTD_ARG_ROLE), .layers = GRANTD_LAYER_NATIVE);
    tell_link(op, GRANTD_SURFACE_OPEN);
    if (!grantd_noted(op, "told"))
        grantd_surface(op, .kind = "account", .id = account(op), .asset = account(op),
                       .outcome = GRANTD_SURFACE_OPEN);
    grantd_note(op, "told", "1");
    return next_link(op);
}

static grantd_next *on_links(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "advertiser_id"), advertiser(op)))
            return is_linked(op);
    if (!tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, sp_link_look);
    }
    if (!grantd_noted(op, "ordered"))
        return sp_go(op, "linked");
    tell_link(op, GRANTD_SURFACE_GONE);
    grantd_warn(op, "NOT_LINKED",
                "TikTok took the order, but does not show ad account %s with this TikTok account",
                advertiser(op));
    return next_link(op);
}

grantd_next *sp_linked(grantd_op *op)
{
    if (!account(op) || !advertiser(op))
        return sp_go(op, "seats");
    tell_link(op, GRANTD_SURFACE_OPEN);
    return tt_post(op, TT_HUB, GRANTD_HTTP_REPEATABLE, "bc/asset/advertiser/assign/",
                   grantd_pairs("bc_id", hub(op), "asset_type", "TT_ACCOUNT", "asset_id", account(op),
                                "advertiser_id", advertiser(op)),
                   on_linked);
}

static grantd_next *on_linked(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail(op, a, TT_HUB);
    if (tt_code(op, a) != 0)
        grantd_warn(op, "LINK_REFUSED", "ad account %s was not linked (TikTok %lld: %s)", advertiser(op),
                    (long long)tt_code(op, a), tt_said(op, a));
    grantd_note(op, "ordered", "1");
    return sp_go(op, "linklook");
}

/* ---- members, and what the ads see ------------------------------------------------------------------- */

static const char *seat(grantd_op *op)
{
    const char *team = grantd_param(op, "staff"), *word;
    int64_t m = tt_noted(op, "m", 0);

    while (team && (word = tt_word(op, &team)))
        if (m-- == 0)
            return word;
    return NULL;
}

grantd_next *sp_seats(grantd_op *op)
{
    if (!seat(op))
        return sp_go(op, "identity");
    return tt_post(op, TT_HUB, GRANTD_HTTP_REPEATABLE, "bc/asset/assign/",
                   grantd_pairs("bc_id", hub(op), "user_id", seat(op), "asset_type", "TT_ACCOUNT", "asset_id",
                                account(op), "tt_account_roles:=", "[\"POST\"]"),
                   on_seat);
}

static grantd_next *on_seat(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail(op, a, TT_HUB);
    if (tt_code(op, a) == 0)
        grantd_surface(op, .kind = "member", .id = seat(op), .asset = account(op),
                       .outcome = GRANTD_SURFACE_OPEN);
    else
        grantd_warn(op, "STAFF_NOT_ASSIGNED", "user %s did not get the TikTok account (TikTok %lld: %s)",
                    seat(op), (long long)tt_code(op, a), tt_said(op, a));
    tt_note(op, "m", tt_noted(op, "m", 0) + 1);
    return sp_go(op, "seats");
}

grantd_next *sp_identity(grantd_op *op)
{
    return tt_get(op, TT_HUB, "identity/get/",
                  grantd_pairs("advertiser_id", sp_advertiser(op, 0), "identity_type", "BC_AUTH_TT",
                               "identity_authorized_bc_id", hub(op), "page",
                               tt_num_text(op, tt_noted(op, "page", 1)), "page_size", "100"),
                  on_identity);
}

static const char *identity(grantd_op *op, const grantd_doc *a, int64_t i, const char *member)
{
    return grantd_text(op, a, grantd_strf(op, "data.identity_list.%lld.%s", (long long)i, member));
}

/* An identity has no id in common with the account: only its names can be compared. */
static void tell_identity(grantd_op *op, const grantd_doc *a, const char *name)
{
    int64_t n = grantd_len(op, a, "data.identity_list");

    for (int64_t i = 0; i < n; i++) {
        const char *word = identity(op, a, i, "available_status");

        if (!same_name(name, identity(op, a, i, "user_name")) &&
            !same_name(name, identity(op, a, i, "display_name")))
            continue;
        if (!grantd_equal(word, "AVAILABLE"))
            grantd_warn(op, "IDENTITY_NOT_AVAILABLE",
                        "TikTok says %.60s of %.60s: it cannot be used in ads now", word ? word : "nothing",
                        name);
        else if (grantd_num(op, a, grantd_strf(op, "data.identity_list.%lld.can_pull_video", (long long)i),
                            1) == 0)
            grantd_warn(op, "IDENTITY_NO_POSTS",
                        "%.60s did not allow existing posts in ads: let it scan again", name);
    }
}

static grantd_next *on_identity(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.identity_list"))
        return tt_class(op, a) == GRANTD_E_LIMITED || tt_class(op, a) == GRANTD_E_TRANSIENT
                   ? tt_fail(op, a, TT_HUB)
                   : grantd_finish(op);
    tell_identity(op, a, grantd_noted(op, grantd_strf(op, "name.%s", account(op))));
    if (tt_last_page(op, a, "data.identity_list", page))
        return grantd_finish(op);
    tt_note(op, "page", page + 1);
    return grantd_continue(op, sp_identity);
}
