/* close.c - the end of a grant, from the inside out: members of the agency, the share, the partnership when
 * grantd made it, the asked access, the token (facts: tiktok.md 4.7). Each is ordered, then looked at, then
 * reported. Every order may be given twice. The end of a share is documented for the owner's token; without
 * it the agency's is tried, and what stays is a step for the client (4.5, open question 8). */
#include "bc.h"

static grantd_fn members, members_look, reaches, share, share_partners, share_order, share_look, partner,
    partner_left, partner_look, asked, asked_look, token;
static grantd_doc_fn on_unassigned, on_members, on_reaches, on_share_partners, on_unshared, on_share_look,
    on_left, on_ended, on_partner_look, on_asked_members, on_asked_out, on_asked_look;

static const char *hub(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_HUB_ID);
}

static const char *asset(grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    return id ? id : tt_grant_text(op, "assets.0.id");
}

/* Progress of the surface in hand: whose token is tried, and whether TikTok took the order. */
static int whose(const grantd_op *op)
{
    return (int)tt_noted(op, "whose", TT_CLIENT);
}

static int ordered(const grantd_op *op)
{
    return (int)tt_noted(op, "ordered", 0);
}

static int still_open(grantd_op *op, int64_t i, const char *kind)
{
    const char *outcome = tt_grant_text(op, grantd_strf(op, "surfaces.%lld.outcome", (long long)i));

    return grantd_equal(tt_grant_text(op, grantd_strf(op, "surfaces.%lld.kind", (long long)i)), kind) &&
           !grantd_equal(outcome, "closed") && !grantd_equal(outcome, "gone");
}

/* Id of the nth open surface of a kind, NULL past the last. */
static const char *surface(grantd_op *op, const char *kind, int64_t nth)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = grant ? grantd_len(op, grant, "surfaces") : 0;

    for (int64_t i = 0; i < n; i++)
        if (still_open(op, i, kind) && nth-- == 0)
            return tt_grant_text(op, grantd_strf(op, "surfaces.%lld.id", (long long)i));
    return NULL;
}

static void closed(grantd_op *op, const char *kind, const char *id)
{
    grantd_surface(op, .kind = kind, .id = id,
                   .outcome = ordered(op) ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE);
}

static grantd_next *step_to(grantd_op *op, grantd_fn *next)
{
    tt_note(op, "page", 1);
    return grantd_continue(op, next);
}

static int has_more_than_token(grantd_op *op)
{
    return surface(op, "member", 0) || surface(op, "partner_asset", 0) || surface(op, "access", 0);
}

grantd_next *bc_revoke(grantd_op *op)
{
    if (tt_is_hub(op))
        return tt_hub_revoke(op);
    if (asset(op) ? !tt_digits(asset(op)) : has_more_than_token(op))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the grant's ad account is no id of TikTok");
    tt_note(op, "m", 0);
    tt_note(op, "page", 1);
    tt_note(op, "out", 0);
    tt_note(op, "sweep", 0);
    tt_note(op, "nohub", 0);
    tt_note(op, "left", 0);
    return members(op);
}

/* ---- members of the agency --------------------------------------------------------------------------- */

static const char *member(grantd_op *op)
{
    return surface(op, "member", tt_noted(op, "m", 0));
}

static grantd_next *next_member(grantd_op *op)
{
    tt_note(op, "m", tt_noted(op, "m", 0) + 1);
    return step_to(op, members);
}

/* What the agency's own token is needed for has to wait; what the client's closes has not. */
static grantd_next *not_connected(grantd_op *op)
{
    grantd_surface(op, .kind = "member", .id = member(op), .outcome = GRANTD_SURFACE_FAILED,
                   .text = "the agency's Business Center is not connected: order grantctl hub connect");
    return next_member(op);
}

static grantd_next *members(grantd_op *op)
{
    const char *id = member(op);

    if (!id)
        return share(op);
    if (!tt_token(op, TT_HUB) || !hub(op))
        return not_connected(op);
    return tt_post(
        op, TT_HUB, GRANTD_HTTP_REPEATABLE, "bc/asset/unassign/",
        grantd_pairs("bc_id", hub(op), "user_id", id, "asset_type", "ADVERTISER", "asset_id", asset(op)),
        on_unassigned);
}

static grantd_next *look_members(grantd_op *op, grantd_doc_fn *next)
{
    return tt_get(
        op, TT_HUB, "bc/asset/member/get/",
        grantd_pairs("bc_id", hub(op), "asset_type", "ADVERTISER", "asset_id", asset(op), BC_PAGE(op, 20)),
        next);
}

static grantd_next *on_unassigned(grantd_op *op, const grantd_doc *a)
{
    if (tt_class(op, a) == GRANTD_E_REAUTH)
        return not_connected(op);
    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail_end(op, a, TT_HUB);
    tt_note(op, "ordered", tt_code(op, a) == 0);
    return step_to(op, members_look);
}

static grantd_next *members_look(grantd_op *op)
{
    return look_members(op, on_members);
}

static grantd_next *on_members(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);
    const char *id = member(op);

    if (tt_class(op, a) == GRANTD_E_REAUTH)
        return not_connected(op);
    if (tt_refuses(op, a) && tt_class(op, a) != GRANTD_E_ABSENT)
        return reaches(op);
    if (tt_class(op, a) != GRANTD_E_ABSENT && !tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "user_id"), id)) {
            grantd_surface(op, .kind = "member", .id = id, .outcome = GRANTD_SURFACE_FAILED,
                           .text = "TikTok still shows this member on the ad account");
            return next_member(op);
        }
    if (!tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, members_look);
    }
    closed(op, "member", id);
    return next_member(op);
}

/* An ad account that the Business Center does not have any more has no members. That it is the ad account
 * which is refused, and not the agency's person, shows where the person may list all of them. */
static grantd_next *reaches(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/asset/admin/get/",
                  grantd_pairs("bc_id", hub(op), "asset_type", "ADVERTISER", "page", "1", "page_size", "50"),
                  on_reaches);
}

static grantd_next *on_reaches(grantd_op *op, const grantd_doc *a)
{
    if (!tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, TT_HUB);
    closed(op, "member", member(op));
    return next_member(op);
}

/* ---- the share --------------------------------------------------------------------------------------- */

static grantd_next *share(grantd_op *op)
{
    const char *client = surface(op, "partner_asset", 0);

    if (!client)
        return partner(op);
    if (!tt_digits(client) || !hub(op) || (!tt_token(op, TT_CLIENT) && !tt_token(op, TT_HUB))) {
        grantd_surface(
            op, .kind = "partner_asset", .id = client, .outcome = GRANTD_SURFACE_MANUAL,
            .text = "grantd holds no token for this: in the client's Business Center open Users, Partners, "
                    "the agency, and remove the ad account");
        return partner(op);
    }
    tt_note(op, "whose", tt_token(op, TT_CLIENT) ? TT_CLIENT : TT_HUB);
    return share_order(op);
}

/* The two ids of a call change places with the side that calls. */
#define SIDES(op, client)                                               \
    "bc_id", whose(op) == TT_CLIENT ? (client) : hub(op), "partner_id", \
        whose(op) == TT_CLIENT ? hub(op) : (client)

static grantd_next *share_order(grantd_op *op)
{
    const char *client = surface(op, "partner_asset", 0);

    return tt_post(op, whose(op), GRANTD_HTTP_REPEATABLE, "bc/partner/asset/delete/",
                   grantd_pairs(SIDES(op, client), "asset_type", "ADVERTISER",
                                "asset_ids:=", grantd_strf(op, "[\"%s\"]", asset(op))),
                   on_unshared);
}

/* A client's token that is dead leaves the agency's. */
static int other_side(grantd_op *op, const grantd_doc *a)
{
    if (whose(op) != TT_CLIENT || tt_class(op, a) != GRANTD_E_REAUTH || !tt_token(op, TT_HUB))
        return 0;
    tt_note(op, "whose", TT_HUB);
    return 1;
}

static grantd_next *on_unshared(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0 && other_side(op, a))
        return share_order(op);
    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail_end(op, a, whose(op));
    tt_note(op, "ordered", tt_code(op, a) == 0);
    tt_note(op, "page", 1);
    return share_look(op);
}

static grantd_next *share_look(grantd_op *op)
{
    const char *client = surface(op, "partner_asset", 0);

    if (tt_token(op, TT_HUB) && !tt_noted(op, "nohub", 0))
        tt_note(op, "whose", TT_HUB);
    return tt_get(op, whose(op), "bc/partner/asset/get/",
                  grantd_pairs(SIDES(op, client), "asset_type", "ADVERTISER", "share_type",
                               whose(op) == TT_CLIENT ? "SHARING" : "SHARED", BC_PAGE(op, 50)),
                  on_share_look);
}

static grantd_next *share_stays(grantd_op *op, const char *client)
{
    if (ordered(op))
        grantd_surface(op, .kind = "partner_asset", .id = client, .outcome = GRANTD_SURFACE_FAILED,
                       .text = "TikTok took the order, but the ad account is still shared");
    else
        grantd_surface(op, .kind = "partner_asset", .id = client, .outcome = GRANTD_SURFACE_MANUAL,
                       .text =
                           "TikTok lets only the owner end this: in the client's Business Center open Users, "
                           "Partners, the agency, and remove the ad account");
    return step_to(op, partner);
}

static grantd_next *on_share_look(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);
    const char *client = surface(op, "partner_asset", 0);

    if (whose(op) == TT_HUB && tt_class(op, a) == GRANTD_E_REAUTH && tt_token(op, TT_CLIENT)) {
        tt_note(op, "nohub", 1);
        tt_note(op, "whose", TT_CLIENT);
        return step_to(op, share_look);
    }
    if (tt_refuses(op, a))
        return step_to(op, share_partners);
    if (!tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, whose(op));
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "asset_id"), asset(op)))
            return share_stays(op, client);
    if (!tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, share_look);
    }
    closed(op, "partner_asset", client);
    return step_to(op, partner);
}

/* What is shared is not listed: of those who are no partners any more there is nothing to list. */
static grantd_next *partners(grantd_op *op, const char *client, grantd_doc_fn *next)
{
    return tt_get(op, whose(op), "bc/partner/get/",
                  grantd_pairs("bc_id", whose(op) == TT_CLIENT ? client : hub(op), BC_PAGE(op, 50)), next);
}

static int lists_partner(grantd_op *op, const grantd_doc *a, const char *client)
{
    const char *other = whose(op) == TT_CLIENT ? hub(op) : client;
    int64_t n = grantd_len(op, a, "data.list");

    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "bc_id"), other))
            return 1;
    return 0;
}

static grantd_next *share_partners(grantd_op *op)
{
    return partners(op, surface(op, "partner_asset", 0), on_share_partners);
}

static grantd_next *on_share_partners(grantd_op *op, const grantd_doc *a)
{
    const char *client = surface(op, "partner_asset", 0);
    int64_t page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, whose(op));
    if (lists_partner(op, a, client)) {
        grantd_surface(op, .kind = "partner_asset", .id = client, .outcome = GRANTD_SURFACE_FAILED,
                       .text =
                           "TikTok does not list what this partner shares: whether it ended is not known");
        return step_to(op, partner);
    }
    if (!tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, share_partners);
    }
    closed(op, "partner_asset", client);
    return step_to(op, partner);
}

/* ---- the partnership --------------------------------------------------------------------------------- */

/* It was made with the first share: it ends with the last one, or when the operator orders it. */
static grantd_next *partner(grantd_op *op)
{
    const char *client = surface(op, "partner", 0);

    if (!client)
        return asked(op);
    tt_note(op, "whose", tt_token(op, TT_CLIENT) ? TT_CLIENT : TT_HUB);
    if (!tt_digits(client) || !hub(op) || !tt_token(op, whose(op))) {
        grantd_surface(
            op, .kind = "partner", .id = client, .outcome = GRANTD_SURFACE_MANUAL,
            .text = "grantd holds no token for this: in Business Center open Users, Partners, and remove "
                    "the partner");
        return asked(op);
    }
    return partner_left(op);
}

/* What else may be shared through it (facts: tiktok.md 4.1): the client may have given more by hand. */
static const char *const left_kinds[] = { "ADVERTISER", "CATALOG" };

static grantd_next *partner_left(grantd_op *op)
{
    const char *client = surface(op, "partner", 0), *kind = left_kinds[tt_noted(op, "left", 0) != 0];

    return tt_get(op, whose(op), "bc/partner/asset/get/",
                  grantd_pairs(SIDES(op, client), "asset_type", kind, "share_type",
                               whose(op) == TT_CLIENT ? "SHARING" : "SHARED", BC_PAGE(op, 50)),
                  on_left);
}

static grantd_next *partner_order(grantd_op *op)
{
    const char *client = surface(op, "partner", 0);

    return tt_post(op, whose(op), GRANTD_HTTP_REPEATABLE, "bc/partner/delete/",
                   grantd_pairs(SIDES(op, client)), on_ended);
}

static grantd_next *on_left(grantd_op *op, const grantd_doc *a)
{
    const char *client = surface(op, "partner", 0);

    if (tt_code(op, a) != 0 && other_side(op, a))
        return partner_left(op);
    if (tt_refuses(op, a)) { /* it is not ended before it is seen that nothing else stands on it */
        tt_note(op, "ordered", 0);
        return step_to(op, partner_look);
    }
    if (!tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, whose(op));
    if (grantd_equal(grantd_input(op, "end_partnership"), "yes"))
        return partner_order(op);
    if (grantd_len(op, a, "data.list") == 0 && tt_noted(op, "left", 0))
        return partner_order(op);
    if (grantd_len(op, a, "data.list") == 0) {
        tt_note(op, "left", 1);
        return partner_left(op);
    }
    grantd_surface(op, .kind = "partner", .id = client, .outcome = GRANTD_SURFACE_CLOSED,
                   .text =
                       "for this ad account; the partnership stays, because others are shared through it");
    return step_to(op, asked);
}

static grantd_next *on_ended(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail_end(op, a, whose(op));
    tt_note(op, "ordered", tt_code(op, a) == 0);
    tt_note(op, "page", 1);
    return partner_look(op);
}

static grantd_next *partner_look(grantd_op *op)
{
    return partners(op, surface(op, "partner", 0), on_partner_look);
}

static grantd_next *on_partner_look(grantd_op *op, const grantd_doc *a)
{
    const char *client = surface(op, "partner", 0);
    int64_t page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, whose(op));
    if (lists_partner(op, a, client)) {
        grantd_surface(op, .kind = "partner", .id = client,
                       .outcome = ordered(op) ? GRANTD_SURFACE_FAILED : GRANTD_SURFACE_MANUAL,
                       .text = "in Business Center open Users, Partners, and remove the partner");
        return step_to(op, asked);
    }
    if (!tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, partner_look);
    }
    closed(op, "partner", client);
    return step_to(op, asked);
}

/* ---- access that was asked for by its id ------------------------------------------------------------- */

/* No call takes an ad account out of a Business Center: its members are taken off it, and people do the rest
 * (facts: tiktok.md 4.4). */
static grantd_next *asked(grantd_op *op)
{
    if (!surface(op, "access", 0))
        return token(op);
    if (tt_token(op, TT_HUB) && hub(op))
        return look_members(op, on_asked_members);
    grantd_surface(
        op, .kind = "access", .id = surface(op, "access", 0), .outcome = GRANTD_SURFACE_MANUAL,
        .text = "remove the ad account from the agency's Business Center; grantd has no token to look");
    return token(op);
}

static grantd_next *on_asked_members(grantd_op *op, const grantd_doc *a)
{
    const char *id = tt_row_id(op, a, 0, "user_id");

    if (tt_class(op, a) == GRANTD_E_REAUTH) {
        grantd_surface(op, .kind = "access", .id = surface(op, "access", 0), .outcome = GRANTD_SURFACE_FAILED,
                       .text = "the agency's Business Center is not connected: order grantctl hub connect");
        return token(op);
    }
    if (!tt_refuses(op, a) && !tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, TT_HUB);
    tt_note(op, "empty", tt_code(op, a) == 0 && !id);
    if (tt_code(op, a) != 0 || !id || tt_noted(op, "out", 0) >= 200)
        return asked_look(op);
    return tt_post(
        op, TT_HUB, GRANTD_HTTP_REPEATABLE, "bc/asset/unassign/",
        grantd_pairs("bc_id", hub(op), "user_id", id, "asset_type", "ADVERTISER", "asset_id", asset(op)),
        on_asked_out);
}

static grantd_next *on_asked_out(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail_end(op, a, TT_HUB);
    if (tt_code(op, a) != 0)
        return asked_look(op);
    tt_note(op, "out", tt_noted(op, "out", 0) + 1);
    return step_to(op, asked);
}

static grantd_next *asked_look(grantd_op *op)
{
    const char *keyword =
        tt_noted(op, "sweep", 0) ? NULL : grantd_strf(op, "{\"keyword\":\"%s\"}", asset(op));

    return tt_get(
        op, TT_HUB, "bc/asset/admin/get/",
        grantd_pairs("bc_id", hub(op), "asset_type", "ADVERTISER", "filtering", keyword, BC_PAGE(op, 50)),
        on_asked_look);
}

static grantd_next *asked_stays(grantd_op *op)
{
    grantd_surface(
        op, .kind = "access", .id = surface(op, "access", 0), .outcome = GRANTD_SURFACE_MANUAL,
        .text = tt_noted(op, "empty", 0)
                    ? "no member of the agency is on it any more, but TikTok has no call that gives it back: "
                      "remove the ad account in the agency's Business Center, or let the owner remove the "
                      "agency"
                    : "members of the agency may still be on it, and TikTok has no call that gives it back: "
                      "remove the ad account in the agency's Business Center, or let the owner remove the "
                      "agency");
    return token(op);
}

static grantd_next *on_asked_look(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail_end(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "asset_id"), asset(op)) &&
            !tt_has_ended(tt_row(op, a, i, "relation_status")))
            return asked_stays(op);
    if (!tt_noted(op, "sweep", 0)) { /* whether the keyword finds ids is not certain */
        tt_note(op, "sweep", 1);
        return step_to(op, asked_look);
    }
    if (!tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, asked_look);
    }
    grantd_surface(op, .kind = "access", .id = surface(op, "access", 0), .outcome = GRANTD_SURFACE_GONE);
    return token(op);
}

/* ---- the token --------------------------------------------------------------------------------------- */

static grantd_next *token(grantd_op *op)
{
    if (!tt_token(op, TT_CLIENT) || !tt_is_open(op, "token"))
        return grantd_finish(op);
    return tt_end_token(op, grantd_finish);
}
