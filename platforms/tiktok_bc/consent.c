/* consent.c - the consent of an advertiser: page, exchange, liveness, end. Its token does not end by time and
 * is never refreshed (facts: tiktok.md 2.1 to 2.8). The agency's own consent (hub) is the same, and is
 * checked against the Business Center that the hub names. */
#include "tiktok.h"

static grantd_doc_fn on_exchanged, on_user, on_alive, on_ended, on_dead, on_centers, on_hub_alive;
static grantd_fn ask_user, find_center;

grantd_next *tt_need_hub(grantd_op *op, int token)
{
    const char *id = grantd_arg(op, GRANTD_ARG_HUB_ID);

    if (!id || !tt_digits(id))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the hub has no Business Center id (digits): set id of the hub and give the app "
                           "this hub");
    if (token && !tt_token(op, TT_HUB))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "the agency has not connected its own Business Center: order grantctl hub connect");
    return NULL;
}

/* ---- asking ------------------------------------------------------------------------------------------ */

grantd_next *tt_consent_url(grantd_op *op)
{
    const char *page = grantd_strf(op, "%s/portal/auth", grantd_option(op, "base_url"));

    return grantd_done(op,
                       .redirect_url = grantd_url(op, page, "app_id", grantd_option(op, "app_id"), "state",
                                                  grantd_arg(op, GRANTD_ARG_STATE), "redirect_uri",
                                                  grantd_arg(op, GRANTD_ARG_REDIRECT_URI)));
}

/* Both names are seen with the same value; a callback without either is a refusal (2.2). */
grantd_next *tt_exchange(grantd_op *op, grantd_fn *next)
{
    const char *code = grantd_query(op, "auth_code");

    if (!code)
        code = grantd_arg(op, GRANTD_ARG_CODE);
    tt(op)->then = next;
    if (!code || !*code)
        return grantd_fail(op, GRANTD_E_DECLINED,
                           "TikTok sent the browser back without a code: it was declined");
    return tt_post(op, TT_NOBODY, 0, "oauth2/access_token/",
                   grantd_pairs("app_id", grantd_option(op, "app_id"), "secret", grantd_option(op, "secret"),
                                "auth_code", code),
                   on_exchanged);
}

/* Scopes are numbers (2.9). */
static const char *scopes(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.scope"), one;
    const char *out = NULL;

    for (int64_t i = 0; i < n && i < 200; i++) {
        one = grantd_num(op, a, grantd_strf(op, "data.scope.%lld", (long long)i), -1);
        if (one >= 0)
            out = out ? grantd_strf(op, "%s %lld", out, (long long)one) : tt_num_text(op, one);
    }
    return out;
}

static grantd_next *on_exchanged(grantd_op *op, const grantd_doc *a)
{
    const char *token = grantd_text(op, a, "data.access_token");

    if (tt_code(op, a) != 0)
        return tt_fail(op, a, TT_CLIENT);
    if (!token || !*token)
        return tt_odd(op, "access token");
    return grantd_save(op, ask_user, .access_token = token, .expires_in = GRANTD_NEVER,
                       .scope = scopes(op, a), .shape = GRANTD_SHAPE_PERPETUAL,
                       .retry_class = GRANTD_RETRY_NONE);
}

/* Who pressed "allow". Not every source knows this call: what it answers is a name, never a condition (0.4).
 */
static grantd_next *ask_user(grantd_op *op)
{
    const char *how = grantd_option(op, "user_info");

    if (grantd_equal(how, "off"))
        return tt(op)->then(op);
    if (grantd_equal(how, "post"))
        return tt_post(op, TT_CLIENT, GRANTD_HTTP_REPEATABLE, "user/info/", grantd_pairs(NULL), on_user);
    return tt_get(op, TT_CLIENT, "user/info/", NULL, on_user);
}

static grantd_next *on_user(grantd_op *op, const grantd_doc *a)
{
    const char *id = grantd_text(op, a, "data.core_user_id");

    if (tt_code(op, a) != 0 || !id || !tt_digits(id))
        return tt(op)->then(op);
    return grantd_save(op, tt(op)->then, .account_id = id,
                       .account_name = grantd_text(op, a, "data.display_name"));
}

/* ---- living and ending ------------------------------------------------------------------------------- */

grantd_next *tt_accounts(grantd_op *op, int whose, grantd_doc_fn *next)
{
    return tt_get(op, whose, "oauth2/advertiser/get/",
                  grantd_pairs("app_id", grantd_option(op, "app_id"), "secret", grantd_option(op, "secret")),
                  next);
}

grantd_next *tt_liveness(grantd_op *op)
{
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return grantd_fail(op, GRANTD_E_REAUTH, "there is no access token");
    return tt_accounts(op, TT_CLIENT, on_alive);
}

static grantd_next *on_alive(grantd_op *op, const grantd_doc *a)
{
    return tt_is_list(op, a, "data.list") ? grantd_finish(op) : tt_fail(op, a, TT_CLIENT);
}

grantd_next *tt_end_token(grantd_op *op, grantd_fn *next)
{
    tt(op)->then = next;
    return tt_post(op, TT_CLIENT, GRANTD_HTTP_REPEATABLE, "oauth2/revoke_token/",
                   grantd_pairs("app_id", grantd_option(op, "app_id"), "secret", grantd_option(op, "secret"),
                                "access_token", grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)),
                   on_ended);
}

static grantd_next *on_ended(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) == 0)
        return tt_accounts(op, TT_CLIENT, on_dead);
    if (!tt_dead(op, a))
        return tt_fail_end(op, a, TT_CLIENT);
    grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_GONE);
    return tt(op)->then(op);
}

/* Any later call must be refused (7.2). */
static grantd_next *on_dead(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) == 0)
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_FAILED,
                       .text = "TikTok took the order, but the token still works");
    else if (tt_dead(op, a))
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_CLOSED);
    else
        return tt_fail_end(op, a, TT_CLIENT);
    return tt(op)->then(op);
}

/* ---- the hub's own consent --------------------------------------------------------------------------- */

grantd_next *tt_hub_request(grantd_op *op)
{
    grantd_next *bad = tt_need_hub(op, 0);

    return bad ? bad : tt_consent_url(op);
}

grantd_next *tt_hub_grant(grantd_op *op)
{
    grantd_next *bad = tt_need_hub(op, 0);

    if (bad)
        return bad;
    if (grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return find_center(op);
    return tt_exchange(op, find_center);
}

static grantd_next *find_center(grantd_op *op)
{
    return tt_get(op, TT_HUB, "bc/get/",
                  grantd_pairs("page", tt_num_text(op, tt_noted(op, "page", 1)), "page_size", "50"),
                  on_centers);
}

/* The row of the hub's Business Center, -1 when this page has none. */
static int64_t center_row(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "bc_info.bc_id"), grantd_arg(op, GRANTD_ARG_HUB_ID)))
            return i;
    return -1;
}

static void tell_center(grantd_op *op, const grantd_doc *a, int64_t row)
{
    const char *status = tt_row(op, a, row, "bc_info.status"), *role = tt_row(op, a, row, "user_role");

    if (!grantd_equal(status, "ENABLE"))
        grantd_warn(op, "HUB_NOT_ENABLED",
                    "TikTok says %s of the agency's Business Center: it must be ENABLE",
                    status && strlen(status) < 40 ? status : "nothing");
    if (!grantd_equal(role, "ADMIN"))
        grantd_warn(op, "HUB_NOT_ADMIN",
                    "the person behind the hub is no ADMIN of the agency's Business Center: let an ADMIN "
                    "connect it");
}

static void tell_number(grantd_op *op, const grantd_doc *a)
{
    int64_t total = grantd_num(op, a, "data.page_info.total_number", 0);

    if (total >= 3)
        grantd_warn(op, "CENTERS_AT_LIMIT",
                    "the person behind the hub is in %lld Business Centers: a user may be in 3, so it can "
                    "join or make no other",
                    (long long)total);
}

static grantd_next *on_centers(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1), row;

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    row = center_row(op, a);
    if (row >= 0) {
        tell_center(op, a, row);
        tell_number(op, a);
        if (!grantd_equal(tt_row(op, a, row, "user_role"), "ADMIN"))
            return grantd_fail(op, GRANTD_E_FORBIDDEN,
                               "the person who consented is no ADMIN of the agency's Business Center");
        return grantd_finish(op);
    }
    if (tt_last_page(op, a, "data.list", page))
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "the person who consented is not in the agency's Business Center %s",
                           grantd_arg(op, GRANTD_ARG_HUB_ID));
    tt_note(op, "page", page + 1);
    return grantd_continue(op, find_center);
}

grantd_next *tt_hub_verify(grantd_op *op)
{
    grantd_next *bad = tt_need_hub(op, 1);

    if (bad)
        return bad;
    return tt_get(op, TT_HUB, "bc/get/",
                  grantd_pairs("page", tt_num_text(op, tt_noted(op, "page", 1)), "page_size", "50"),
                  on_hub_alive);
}

static grantd_next *on_hub_alive(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1), row;

    if (!tt_is_list(op, a, "data.list") && tt_class(op, a) != GRANTD_E_REAUTH)
        return tt_fail(op, a, TT_HUB);
    if (tt_code(op, a) != 0) {
        grantd_observe(op, "alive", "no");
        grantd_observe(op, "native", "unknown");
        return grantd_finish(op);
    }
    row = center_row(op, a);
    if (row < 0 && !tt_last_page(op, a, "data.list", page)) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, tt_hub_verify);
    }
    grantd_observe(op, "alive", "yes");
    grantd_observe(op, "native", row >= 0 ? "present" : "gone");
    if (row >= 0) {
        grantd_observe(op, "role", tt_row(op, a, row, "user_role"));
        tell_center(op, a, row);
        tell_number(op, a);
    }
    return grantd_finish(op);
}

grantd_next *tt_hub_revoke(grantd_op *op)
{
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) || !tt_is_open(op, "token"))
        return grantd_finish(op);
    return tt_end_token(op, grantd_finish);
}
