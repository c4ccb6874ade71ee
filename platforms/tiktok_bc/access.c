/* access.c - the ways that need the agency's token only. Mode access (Method A): TikTok has no call that
 * files the request, so people file it and accept it, and it is watched in the agency's Business Center
 * (facts: tiktok.md 4.4). Mode guided: the client shares by hand in its own Business Center, and the agency's
 * side is looked at (4.5). Lists in notes: ids (asked), wait (filed, not answered), absent (not found by its
 * id), seen (granted). */
#include "bc.h"

static grantd_doc_fn on_watch, on_sweep;

/* ---- what people do ---------------------------------------------------------------------------------- */

void bc_access_steps(grantd_op *op)
{
    const char *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    if (!asset)
        grantd_step(
            op, .title = "Tell which ad accounts",
            .text = "Write the ids of your TikTok ad accounts, one a line. The id is in TikTok Ads Manager, "
                    "beside the name of the ad account.",
            .ask = "ad_accounts", .ask_label = "Ad account ids", .flags = GRANTD_STEP_LINES);
    grantd_step(
        op, .title = "Agency: send the request in Business Center",
        .text = grantd_strf(op,
                            "In the agency's Business Center open Accounts, Ad accounts, Add, Request "
                            "access (it may be called Link accounts). Enter the ad account id, choose the "
                            "role %s, send.",
                            bc_role(op)),
        .copy = asset);
    grantd_step(op, .title = "Accept the agency's request",
                .text =
                    "TikTok tells you of the request in TikTok Ads Manager and by e-mail. The creator of the "
                    "ad account, or an ADMIN of the Business Center that owns it, accepts it there. That "
                    "the ad account belongs to another Business Center already is no obstacle: several may "
                    "have it.");
}

void bc_guided_steps(grantd_op *op)
{
    grantd_step(
        op, .title = "Share the ad accounts in your Business Center",
        .text = grantd_strf(op,
                            "Open your TikTok Business Center, Users, Partners, Add partner. Enter the "
                            "agency's Business Center id, choose the ad accounts and the role %s, confirm.",
                            bc_role(op)),
        .copy = grantd_arg(op, GRANTD_ARG_HUB_ID));
    if (!grantd_param(op, "client_bc"))
        grantd_step(op, .title = "Tell your Business Center id",
                    .text = "It is in Business Center, Business settings: digits only.", .ask = "client_bc",
                    .ask_label = "Your Business Center id");
    grantd_step(
        op, .title = "Agency: accept the partner if Business Center asks for it",
        .text = "In the agency's Business Center open Partners and accept the invitation, if there is one.");
}

/* ---- mode guided ------------------------------------------------------------------------------------- */

static grantd_next *ask_center(grantd_op *op, const char *wrong)
{
    if (wrong)
        grantd_step(op, .title = "That was no Business Center id",
                    .text = "A Business Center id is made of digits, and it is not the agency's own.");
    bc_guided_steps(op);
    return grantd_pending(op, grantd_now(op) + 21600);
}

grantd_next *bc_guided(grantd_op *op)
{
    const char *center = grantd_param(op, "client_bc"), *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    if (!center && (center = grantd_input(op, "client_bc")))
        center = tt_word(op, &center);
    if (!center || !tt_digits(center) || grantd_equal(center, grantd_arg(op, GRANTD_ARG_HUB_ID)))
        return ask_center(op, center);
    tt_clear(op, "bcs"); /* told again: the last word counts */
    tt_clear(op, "done");
    tt_push(op, "bcs", center);
    if (hint)
        bc_take_ids(op, hint, "done");
    else
        grantd_note(op, "all", "1");
    return bc_go(op, "check");
}

/* ---- mode access ------------------------------------------------------------------------------------- */

grantd_next *bc_access(grantd_op *op)
{
    static const char *const lists[] = { "wait", "absent", "seen" };
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID), *told = grantd_input(op, "ad_accounts");

    bc_take_ids(op, hint ? hint : told, "ids");
    if (!tt_nth(op, "ids", 0)) {
        bc_access_steps(op);
        return grantd_pending(op, grantd_now(op) + 21600);
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        tt_clear(op, lists[i]);
    tt_note(op, "granted", 0);
    tt_note(op, "i", 0);
    return bc_go(op, "watch");
}

grantd_next *bc_watch(grantd_op *op)
{
    const char *id = tt_nth(op, "ids", tt_noted(op, "i", 0));

    if (!id)
        return bc_go(op, tt_nth(op, "absent", 0) ? "sweep" : "settle");
    return tt_get(op, TT_HUB, "bc/asset/admin/get/",
                  grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "asset_type", "ADVERTISER",
                               "filtering", grantd_strf(op, "{\"keyword\":\"%s\"}", id), "page", "1",
                               "page_size", "50"),
                  on_watch);
}

static void take_state(grantd_op *op, const grantd_doc *a, int64_t i, const char *id)
{
    const char *status = tt_row(op, a, i, "relation_status");

    if (grantd_equal(tt_row(op, a, i, "relation_type"), "OWNER_BC")) {
        bc_problem(op, id, "OWN_ACCOUNT",
                   "it belongs to the agency's own Business Center: nothing has to be asked");
    } else if (grantd_equal(status, "BOUND")) {
        tt_push(op, "seen", id);
        bc_report(op, id, tt_row(op, a, i, "asset_name"), tt_row(op, a, i, "advertiser_role"), NULL);
    } else if (grantd_equal(status, "REJECTED")) {
        bc_problem(op, id, "REJECTED", "the owner rejected the request: talk to the client, then ask again");
    } else if (grantd_equal(status, "UNBOUND")) {
        bc_problem(op, id, "REMOVED", "the owner took the access back: talk to the client, then ask again");
    } else {
        tt_push(op, "wait", id);
    }
}

static grantd_next *on_watch(grantd_op *op, const grantd_doc *a)
{
    const char *id = tt_nth(op, "ids", tt_noted(op, "i", 0));
    int64_t n = grantd_len(op, a, "data.list"), i = 0;

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    while (i < n && !grantd_equal(tt_row(op, a, i, "asset_id"), id))
        i++;
    if (i < n)
        take_state(op, a, i, id);
    else
        tt_push(op, "absent", id);
    tt_note(op, "i", tt_noted(op, "i", 0) + 1);
    return bc_go(op, "watch");
}

/* Whether the keyword finds ids is not certain: what it did not find is looked for page by page. */
grantd_next *bc_sweep(grantd_op *op)
{
    return tt_get(
        op, TT_HUB, "bc/asset/admin/get/",
        grantd_pairs("bc_id", grantd_arg(op, GRANTD_ARG_HUB_ID), "asset_type", "ADVERTISER", BC_PAGE(op, 50)),
        on_sweep);
}

static grantd_next *on_sweep(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++) {
        const char *id = tt_row_id(op, a, i, "asset_id");

        if (!id)
            return tt_odd(op, "asset_id");
        if (!tt_has(op, "absent", id))
            continue;
        tt_drop(op, "absent", id);
        take_state(op, a, i, id);
    }
    if (tt_nth(op, "absent", 0) && !tt_last_page(op, a, "data.list", tt_noted(op, "page", 1)))
        return bc_next_page(op, "sweep");
    return bc_go(op, "settle");
}

/* ---- what came of all of them ------------------------------------------------------------------------ */

static const char *list_text(grantd_op *op, const char *list)
{
    const char *out = "", *id;

    for (int64_t i = 0; i < 20 && (id = tt_nth(op, list, i)); i++)
        out = grantd_strf(op, "%s%s%s", out, *out ? ", " : "", id);
    return out;
}

grantd_next *bc_settle(grantd_op *op)
{
    int filed = tt_nth(op, "wait", 0) != NULL, missing = tt_nth(op, "absent", 0) != NULL;

    if (!filed && !missing)
        return bc_go(op, "staff");
    if (missing)
        grantd_step(op, .title = "Agency: send the request in Business Center",
                    .text = grantd_strf(
                        op,
                        "The agency's Business Center shows no request for these ad accounts yet: "
                        "%s. Open Accounts, Ad accounts, Add, Request access, and choose the role %s.",
                        list_text(op, "absent"), bc_role(op)),
                    .copy = tt_nth(op, "absent", 0));
    if (filed)
        grantd_step(
            op, .title = "Accept the agency's request",
            .text = grantd_strf(op,
                                "These ad accounts wait for their owner: %s. The creator of the ad account, "
                                "or an ADMIN of the Business Center that owns it, accepts the request in "
                                "TikTok Ads Manager or from the e-mail.",
                                list_text(op, "wait")));
    grantd_note(op, "at", NULL);
    return tt_look_again(op);
}
