/* staff.c - who of the agency gets a shared ad account: members are looked up first, then what they have
 * already, then only what is missing is written (facts: tiktok.md 4.2, 7.5). A role is set, not added, so
 * that these writes may be sent twice. What cannot be done here is a warning: the client has given its part.
 * Lists in notes: team (wanted), found (members that are bound), money (whose finance role differs), has
 * (members that have the ad account in hand). */
#include "bc.h"

static grantd_doc_fn on_members, on_money, on_holders, on_assigned;
static grantd_fn give_next;

static const char *wanted(grantd_op *op)
{
    const char *own = grantd_param(op, "staff");

    return own ? own : grantd_option(op, "staff");
}

static const char *hub(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_HUB_ID);
}

grantd_next *bc_after_staff(grantd_op *op)
{
    return bc_mode_is(op, "partner") ? bc_go(op, "center") : bc_wrap_up(op);
}

grantd_next *bc_staff(grantd_op *op)
{
    const char *team = wanted(op), *word;

    if (!team || !tt_token(op, TT_HUB) || !tt_nth(op, "seen", 0))
        return bc_after_staff(op);
    while ((word = tt_word(op, &team)))
        if (tt_digits(word) && tt_count(op, "team") < 100)
            tt_push(op, "team", word);
    tt_note(op, "i", 0);
    return bc_go(op, tt_nth(op, "found", 0) ? "assign" : "members");
}

/* ---- members ----------------------------------------------------------------------------------------- */

grantd_next *bc_members(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/member/get/", grantd_pairs("bc_id", hub(op), BC_PAGE(op, 20)), on_members);
}

static void take_member(grantd_op *op, const grantd_doc *a, int64_t i)
{
    const char *id = tt_row_id(op, a, i, "user_id"), *status = tt_row(op, a, i, "relation_status");
    const char *role = grantd_param(op, "finance_role");

    if (!id || !tt_has(op, "team", id) || (status && strcmp(status, "BOUND") != 0))
        return;
    tt_push(op, "found", id);
    if (role && !grantd_equal(tt_row(op, a, i, "ext_user_role.finance_role"), role))
        tt_push(op, "money", id);
}

static void tell_unknown(grantd_op *op)
{
    const char *id;

    for (int64_t i = 0; (id = tt_nth(op, "team", i)); i++)
        if (!tt_has(op, "found", id))
            grantd_warn(
                op, "STAFF_UNKNOWN",
                "user %s is no member of the agency's Business Center, or has not accepted yet: nothing was "
                "assigned to it",
                id);
}

static grantd_next *on_members(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++)
        take_member(op, a, i);
    if (!tt_last_page(op, a, "data.list", tt_noted(op, "page", 1)))
        return bc_next_page(op, "members");
    tell_unknown(op);
    return bc_go(op, "money");
}

/* ---- finance roles ----------------------------------------------------------------------------------- */

grantd_next *bc_finance(grantd_op *op)
{
    const char *id = tt_nth(op, "money", 0);

    if (!id)
        return tt_nth(op, "found", 0) ? bc_go(op, "assign") : bc_after_staff(op);
    return tt_post(
        op, TT_HUB, GRANTD_HTTP_REPEATABLE, "bc/member/update/",
        grantd_pairs("bc_id", hub(op), "user_id", id, "ext_user_role:=",
                     grantd_strf(op, "{\"finance_role\":\"%s\"}", grantd_param(op, "finance_role"))),
        on_money);
}

static grantd_next *on_money(grantd_op *op, const grantd_doc *a)
{
    const char *id = tt_nth(op, "money", 0);

    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail(op, a, TT_HUB);
    if (tt_code(op, a) != 0 && tt_class(op, a) != GRANTD_E_ABSENT)
        grantd_warn(op, "FINANCE_NOT_SET", "user %s did not get the finance role %s (TikTok %lld: %s)", id,
                    grantd_param(op, "finance_role"), (long long)tt_code(op, a), tt_said(op, a));
    tt_drop(op, "money", id);
    return bc_go(op, "money");
}

/* ---- one ad account after the other ------------------------------------------------------------------ */

static const char *asset(grantd_op *op)
{
    return tt_nth(op, "seen", tt_noted(op, "i", 0));
}

grantd_next *bc_assign(grantd_op *op)
{
    if (!asset(op))
        return bc_after_staff(op);
    if (tt_noted(op, "page", 1) == 1)
        tt_clear(op, "has");
    return tt_get(
        op, TT_HUB, "bc/asset/member/get/",
        grantd_pairs("bc_id", hub(op), "asset_type", "ADVERTISER", "asset_id", asset(op), BC_PAGE(op, 20)),
        on_holders);
}

/* What was granted is not known here any more: without a role of its own the staff gets what was asked. */
static const char *staff_role(grantd_op *op)
{
    const char *role = grantd_param(op, "staff_role");

    return role ? role : bc_role(op);
}

static grantd_next *on_holders(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "advertiser_role"), staff_role(op)))
            tt_push(op, "has", tt_row_id(op, a, i, "user_id"));
    if (!tt_last_page(op, a, "data.list", tt_noted(op, "page", 1)))
        return bc_next_page(op, "assign");
    tt_note(op, "m", 0);
    return give_next(op);
}

/* The m-th member: it has it, or gets it. */
static grantd_next *give_next(grantd_op *op)
{
    int64_t m = tt_noted(op, "m", 0);
    const char *id;

    for (; (id = tt_nth(op, "found", m)) && tt_has(op, "has", id); m++)
        grantd_surface(op, .kind = "member", .id = id, .asset = asset(op), .outcome = GRANTD_SURFACE_OPEN);
    tt_note(op, "m", m);
    if (id)
        return tt_post(op, TT_HUB, GRANTD_HTTP_REPEATABLE, "bc/asset/assign/",
                       grantd_pairs("bc_id", hub(op), "user_id", id, "asset_type", "ADVERTISER", "asset_id",
                                    asset(op), "advertiser_role", staff_role(op)),
                       on_assigned);
    tt_note(op, "i", tt_noted(op, "i", 0) + 1);
    return bc_go(op, "assign");
}

static grantd_next *on_assigned(grantd_op *op, const grantd_doc *a)
{
    int64_t m = tt_noted(op, "m", 0), code = tt_code(op, a);
    const char *id = tt_nth(op, "found", m);

    if (code != 0 && tt_stops(op, a))
        return tt_fail(op, a, TT_HUB);
    if (code == 0 || tt_class(op, a) == GRANTD_E_ABSENT || code == 40050)
        grantd_surface(op, .kind = "member", .id = id, .asset = asset(op), .outcome = GRANTD_SURFACE_OPEN);
    else
        grantd_warn(op, "STAFF_NOT_ASSIGNED", "user %s did not get ad account %s (TikTok %lld: %s)", id,
                    asset(op), (long long)code, tt_said(op, a));
    tt_note(op, "m", m + 1);
    return m % 40 == 39 ? grantd_continue(op, give_next) : give_next(op);
}
