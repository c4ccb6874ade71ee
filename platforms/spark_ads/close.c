/* close.c - the end of a grant: the posts out of the ad accounts, the creator's code, the links and seats of
 * a TikTok account, the account itself, the creator's token (facts: tiktok.md 5.2, 5.5, 5.9, 3.1). Surfaces
 * are closed one kind after the other; each is ordered, looked at, reported. Orders may be given twice.
 * Notes: k the kind in hand, s the surface of it, ordered. */
#include "spark.h"

static grantd_fn next_surface, order, look;
static grantd_doc_fn on_ordered, on_looked, on_revoked, on_dead;

static const char *const kinds[] = { "code", "authorization", "member", "link", "account" };
enum { CODE, AUTHORIZATION, MEMBER, LINK, ACCOUNT, NKINDS };

static const char *hub(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_HUB_ID);
}

static const char *asset(grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    return id ? id : tt_grant_text(op, "assets.0.id");
}

static int64_t kind(grantd_op *op)
{
    return tt_noted(op, "k", 0);
}

/* Id of the nth surface of a kind that is not closed yet; NULL past the last. */
static const char *surface(grantd_op *op, int64_t which, int64_t nth)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = grant ? grantd_len(op, grant, "surfaces") : 0;

    for (int64_t i = 0; which < NKINDS && i < n; i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);
        const char *outcome = tt_grant_text(op, grantd_strf(op, "%s.outcome", at));

        if (grantd_equal(tt_grant_text(op, grantd_strf(op, "%s.kind", at)), kinds[which]) &&
            !grantd_equal(outcome, "closed") && !grantd_equal(outcome, "gone") && nth-- == 0)
            return tt_grant_text(op, grantd_strf(op, "%s.id", at));
    }
    return NULL;
}

static const char *in_hand(grantd_op *op)
{
    return surface(op, kind(op), tt_noted(op, "s", 0));
}

static grantd_next *step_on(grantd_op *op)
{
    tt_note(op, "s", tt_noted(op, "s", 0) + 1);
    tt_note(op, "page", 1);
    return grantd_continue(op, next_surface);
}

static grantd_next *report(grantd_op *op, uint32_t outcome, const char *text)
{
    grantd_surface(op, .kind = kinds[kind(op)], .id = in_hand(op), .outcome = outcome, .text = text);
    return step_on(op);
}

static grantd_next *is_gone(grantd_op *op)
{
    return report(op, tt_noted(op, "ordered", 0) ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE, NULL);
}

grantd_next *sp_revoke(grantd_op *op)
{
    if (tt_is_hub(op))
        return tt_hub_revoke(op);
    tt_note(op, "k", 0);
    tt_note(op, "s", 0);
    tt_note(op, "page", 1);
    return next_surface(op);
}

/* ---- the token, last --------------------------------------------------------------------------------- */

static grantd_next *token(grantd_op *op)
{
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) || !tt_is_open(op, "token"))
        return grantd_finish(op);
    return tt_post(op, TT_NOBODY, GRANTD_HTTP_REPEATABLE, "tt_user/oauth2/revoke/",
                   grantd_pairs("client_id", grantd_option(op, "app_id"), "client_secret",
                                grantd_option(op, "secret"), "access_token",
                                grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)),
                   on_revoked);
}

static grantd_next *on_revoked(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) == 0)
        return sp_creator_alive(op, on_dead);
    if (!tt_dead(op, a))
        return tt_fail_end(op, a, TT_CLIENT);
    grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_GONE);
    return grantd_finish(op);
}

static grantd_next *on_dead(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) == 0)
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_FAILED,
                       .text = "TikTok took the order, but the token still works");
    else if (tt_dead(op, a))
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_CLOSED);
    else
        return tt_fail_end(op, a, TT_CLIENT);
    return grantd_finish(op);
}

/* ---- one surface after the other --------------------------------------------------------------------- */

static int whose(grantd_op *op)
{
    return kind(op) == AUTHORIZATION ? TT_CLIENT : TT_HUB;
}

static const char *by_hand(grantd_op *op)
{
    static const char *const steps[] = {
        "let the creator delete the code in the TikTok app (the post, Ad settings)",
        "let the creator delete the code in the TikTok app (the post, Ad settings)",
        "take the member off the TikTok account in the agency's Business Center",
        "unlink the ad account from the TikTok account in the agency's Business Center",
        "remove the TikTok account from the agency's Business Center",
    };

    return steps[kind(op)];
}

static const char *creator(const grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_ACCOUNT_ID);

    return id ? id : grantd_kept(op, "open_id");
}

/* The next open surface, of this kind or a later one; NULL: none is left. */
static const char *find_next(grantd_op *op)
{
    const char *id = in_hand(op);

    for (int64_t k = kind(op) + 1; !id && k < NKINDS; k++)
        if ((id = surface(op, k, 0))) {
            tt_note(op, "k", k);
            tt_note(op, "s", 0);
        }
    return id;
}

static grantd_next *next_surface(grantd_op *op)
{
    const char *id = find_next(op);

    if (!id)
        return token(op);
    if (!tt_digits(id) || !asset(op) || !tt_digits(asset(op)))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the grant has an id that is none of TikTok");
    if (!tt_token(op, whose(op)) || (whose(op) == TT_HUB ? !hub(op) : !creator(op)))
        return report(op, GRANTD_SURFACE_MANUAL, by_hand(op));
    return order(op);
}

static grantd_next *post(grantd_op *op, const char *path, const char *const *json)
{
    return tt_post(op, whose(op), GRANTD_HTTP_REPEATABLE, path, json, on_ordered);
}

static grantd_next *order(grantd_op *op)
{
    const char *id = in_hand(op);

    switch (kind(op)) {
    case CODE:
        return post(op, "tt_video/unbind/", grantd_pairs("advertiser_id", id, "item_id", asset(op)));
    case AUTHORIZATION:
        return post(op, "business/post/authorize/delete/",
                    grantd_pairs("business_id", creator(op), "item_id", asset(op)));
    case MEMBER:
        return post(
            op, "bc/asset/unassign/",
            grantd_pairs("bc_id", hub(op), "user_id", id, "asset_type", "TT_ACCOUNT", "asset_id", asset(op)));
    case LINK:
        return post(op, "bc/asset/advertiser/unassign/",
                    grantd_pairs("bc_id", hub(op), "asset_type", "TT_ACCOUNT", "asset_id", asset(op),
                                 "advertiser_id", id));
    default:
        return post(op, "bc/asset/admin/delete/",
                    grantd_pairs("bc_id", hub(op), "asset_type", "TT_ACCOUNT",
                                 "asset_ids:=", grantd_strf(op, "[\"%s\"]", id)));
    }
}

/* The creator's token is dead: its code is the creator's matter now. The agency's: what needs it is tried
 * again. The rest goes on in both cases. */
static grantd_next *no_access(grantd_op *op)
{
    if (whose(op) == TT_CLIENT)
        return report(op, GRANTD_SURFACE_MANUAL, by_hand(op));
    return report(op, GRANTD_SURFACE_FAILED,
                  "the agency's own access to TikTok has ended: order grantctl hub connect");
}

static grantd_next *on_ordered(grantd_op *op, const grantd_doc *a)
{
    if (tt_class(op, a) == GRANTD_E_REAUTH)
        return no_access(op);
    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail_end(op, a, whose(op));
    tt_note(op, "ordered", tt_code(op, a) == 0);
    if (kind(op) == MEMBER) /* no call shows the members of a TikTok account */
        return tt_code(op, a) == 0 || tt_class(op, a) == GRANTD_E_ABSENT
                   ? is_gone(op)
                   : report(op, GRANTD_SURFACE_MANUAL, by_hand(op));
    return look(op);
}

/* ---- is it gone? ------------------------------------------------------------------------------------- */

static grantd_next *look(grantd_op *op)
{
    const char *page = tt_num_text(op, tt_noted(op, "page", 1));

    switch (kind(op)) {
    case CODE:
        return sp_list(op, in_hand(op), asset(op), on_looked);
    case AUTHORIZATION:
        return tt_get(op, TT_CLIENT, "business/post/authorize/status/",
                      grantd_pairs("business_id", creator(op), "item_id", asset(op)), on_looked);
    case LINK:
        return tt_get(op, TT_HUB, "bc/asset/advertiser/assigned/",
                      grantd_pairs("bc_id", hub(op), "asset_id", asset(op), "asset_type", "TT_ACCOUNT",
                                   "page", page, "page_size", "50"),
                      on_looked);
    default:
        return tt_get(
            op, TT_HUB, "bc/asset/admin/get/",
            grantd_pairs("bc_id", hub(op), "asset_type", "TT_ACCOUNT", "page", page, "page_size", "50"),
            on_looked);
    }
}

static int is_there(grantd_op *op, const grantd_doc *a)
{
    const char *member = kind(op) == LINK ? "advertiser_id" : "asset_id", *status;
    int64_t n = grantd_len(op, a, "data.list"), i;

    if (kind(op) == AUTHORIZATION) {
        status = grantd_text(op, a, "data.auth_code_status");
        return grantd_text(op, a, "data.auth_code") && !grantd_equal(status, "DELETED") &&
               !grantd_equal(status, "EXPIRED");
    }
    if (kind(op) == CODE) {
        i = sp_row(op, a, asset(op), NULL);
        return i >= 0 && grantd_equal(tt_row(op, a, i, "auth_info.ad_auth_status"), "AUTHORIZED");
    }
    for (i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, member), in_hand(op)))
            return 1;
    return 0;
}

/* A post without a code, and an account that is gone, are answered with an error (5.5). That it may not be
 * seen, that the app is blocked or the version has ended is none of that. */
static int says_none(grantd_op *op, const grantd_doc *a)
{
    return (kind(op) == AUTHORIZATION || kind(op) == LINK) && tt_refuses(op, a) &&
           tt_class(op, a) != GRANTD_E_FORBIDDEN;
}

static grantd_next *on_looked(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1);
    int listed = kind(op) == AUTHORIZATION ? tt_code(op, a) == 0 : tt_is_list(op, a, "data.list");

    if (says_none(op, a))
        return is_gone(op);
    if (tt_class(op, a) == GRANTD_E_REAUTH)
        return no_access(op);
    if (kind(op) <= LINK && tt_class(op, a) == GRANTD_E_FORBIDDEN)
        return report(op, GRANTD_SURFACE_MANUAL, by_hand(op));
    if (!listed)
        return tt_fail_end(op, a, whose(op));
    if (is_there(op, a))
        return report(op,
                      kind(op) <= AUTHORIZATION || !tt_noted(op, "ordered", 0) ? GRANTD_SURFACE_MANUAL
                                                                               : GRANTD_SURFACE_FAILED,
                      by_hand(op));
    if (kind(op) == AUTHORIZATION || tt_last_page(op, a, "data.list", page))
        return is_gone(op);
    tt_note(op, "page", page + 1);
    return grantd_continue(op, look);
}
