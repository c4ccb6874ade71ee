/* tiktok_share.c - the stand-in for TikTok: partners (tiktok.md 4.5) and who works on what (4.2, 5.9). */
#include "tiktok.h"
#include "base/mem.h"

#include <string.h>

/* ---- bc/partner ---- */

static bool partners(struct sb_req *r, const char *a, const char *b)
{
    return sb_find2(sb_list(r, "partnerships"), "bc_id", a, "partner_id", b) ||
           sb_find2(sb_list(r, "partnerships"), "bc_id", b, "partner_id", a);
}

/* As tiktok_reach says of each, in one go. */
static size_t accounts_reached(struct sb_req *r, const char *bc)
{
    GD_AUTO_JSON ids = json_object();
    json_t *one;
    size_t i;

    json_array_foreach(sb_list(r, "accounts"), i, one) if (sb_same(gd_json_text(one, "owner_bc", NULL), bc))
        json_object_set(ids, gd_json_text(one, "advertiser_id", ""), one);
    json_array_foreach(sb_list(r, "requests"), i, one) if (sb_same(gd_json_text(one, "bc_id", NULL), bc) &&
                                                           sb_same(gd_json_text(one, "state", NULL), "BOUND"))
        json_object_set(ids, gd_json_text(one, "advertiser_id", ""), one);
    json_array_foreach(sb_list(r, "shares"), i,
                       one) if (sb_same(gd_json_text(one, "partner_id", NULL), bc) && tiktok_share_live(one))
        json_object_set(ids, gd_json_text(one, "advertiser_id", ""), one);
    return json_object_size(ids);
}

/* False with the answer given: 4.5 "Only assets OWNED by that BC can be shared"; another's: 1.4 "| 40001 |";
 * none: 1.4
 * "| 40002 |". */
static bool all_owned(struct sb_req *r, const char *bc, const json_t *ids)
{
    size_t i;
    json_t *id;

    json_array_foreach(ids, i, id)
    {
        const json_t *account = tiktok_account(r, json_string_value(id));

        if (sb_same(gd_json_text(account, "owner_bc", NULL), bc))
            continue;
        tiktok_fail(r, account ? 40001 : 40002, "No permission to operate advertiser %s",
                    json_string_value(id));
        return false;
    }
    return true;
}

/* 4.5 "raising works in place; lowering requires removing the share". False: that was refused. */
static bool change_role(struct sb_req *r, json_t *share, const char *role)
{
    if (tiktok_rank(role) > tiktok_rank(gd_json_text(share, "role", "")))
        json_object_set_new(share, "role", json_string(role));
    else if (tiktok_rank(role) < tiktok_rank(gd_json_text(share, "role", "")) &&
             strcmp(sb_option_text(r, "role_lowering"), "refused") == 0)
        return false;
    return true;
}

static bool share(struct sb_req *r, const char *bc, const char *partner, const json_t *ids, size_t n,
                  const char *role)
{
    const char *state = sb_option_bool(r, "partner_acceptance") ? "PENDING" : "SHARED";

    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        json_t *old = sb_find2(sb_list(r, "shares"), "partner_id", partner, "advertiser_id", id);

        if (old && !change_role(r, old, role))
            return false;
        if (!old)
            json_array_append_new(sb_list(r, "shares"),
                                  json_pack("{s:s, s:s, s:s, s:s, s:s}", "bc_id", bc, "partner_id", partner,
                                            "advertiser_id", id, "role", role, "state", state));
    }
    return true;
}

/* The checks of 4.2 "POST /bc/partner/add/" in their order; false with the answer given. */
static bool may_add(struct sb_req *r, const json_t *args, const json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", ""), *partner = gd_json_text(args, "partner_id", "");
    const json_t *ids = json_object_get(args, "asset_ids");

    if (!tiktok_own_bc(r, args, token, true))
        return false;
    if (!tiktok_bc(r, partner) ||
        strcmp(bc, partner) == 0) { /* which code comes back is open 6: 1.4 "| 40002 |" */
        tiktok_fail(r, 40002, "partner_id: no Business Center %s to be partner of", partner);
        return false;
    }
    if (!all_owned(r, bc, ids))
        return false;
    if (sb_fault(r, "linked_elsewhere")) { /* 1.4 "Emulate as 40002 with explanatory text" [assumed] */
        tiktok_fail(r, 40002, "The ad account is already linked to another Business Center");
        return false;
    }
    if (accounts_reached(r, partner) + json_array_size(ids) >
        (size_t)sb_option_i64(r, "max_accounts")) { /* 4.6 "3000 ad accounts per BC"; the code is [assumed] */
        tiktok_fail(r, 40002, "the Business Center reaches its limit of ad accounts");
        return false;
    }
    return true;
}

/* 4.2 "POST /bc/partner/add/"; the refusal of a lower role is [assumed]. */
static void partner_add(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", ""), *partner = gd_json_text(args, "partner_id", "");
    const char *role = gd_json_text(args, "advertiser_role", "ANALYST"); /* 4.2 "(default ANALYST)" */
    const json_t *ids = json_object_get(args, "asset_ids");
    size_t n = json_array_size(ids);
    bool partial;

    if (!may_add(r, args, token))
        return;
    partial = sb_fault(r, "partial") != NULL;
    if (sb_fault(r, "role_downgrade"))
        role = "ANALYST";
    if (!share(r, bc, partner, ids, partial ? n / 2 : n, role)) {
        tiktok_fail(r, 40002, "a role cannot be lowered: remove the share and add it again");
        return;
    }
    if (!partners(r, bc, partner))
        json_array_append_new(sb_list(r, "partnerships"),
                              json_pack("{s:s, s:s}", "bc_id", bc, "partner_id", partner));
    tiktok_changed(r, bc, token, "ASSET", "shared ad accounts with a partner");
    if (partial)
        tiktok_answer(r, 20001, "Partial success", json_object()); /* 1.3 "20001 = partly succeeded" */
    else
        tiktok_ok(r, json_object());
}

/* 4.2 "POST /bc/partner/delete/"; 4.5 "Revoke the whole partnership": the agency may call it with its own
 * bc_id to leave [assumed]; 1.4 "| 40007 |". */
static void partner_delete(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", ""), *partner = gd_json_text(args, "partner_id", "");

    if (!tiktok_own_bc(r, args, token, true))
        return;
    if (!partners(r, bc, partner)) {
        tiktok_fail(r, 40007, "the partner does not exist");
        return;
    }
    sb_remove(sb_list(r, "partnerships"), "bc_id", bc, "partner_id", partner);
    sb_remove(sb_list(r, "partnerships"), "bc_id", partner, "partner_id", bc);
    sb_remove(sb_list(r, "shares"), "bc_id", bc, "partner_id", partner);
    sb_remove(sb_list(r, "shares"), "bc_id", partner, "partner_id", bc);
    tiktok_changed(r, bc, token, "BUSINESS", "removed a partner");
    tiktok_ok(r, json_object());
}

/* 4.2 "POST /bc/partner/asset/delete/"; 1.4 "| 40007 |"; at most 50 ids [assumed]. */
static void partner_asset_delete(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", ""), *partner = gd_json_text(args, "partner_id", "");
    size_t n = 0, i;
    json_t *id;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    json_array_foreach(json_object_get(args, "asset_ids"), i, id)
    {
        const json_t *s =
            sb_find2(sb_list(r, "shares"), "partner_id", partner, "advertiser_id", json_string_value(id));

        if (sb_same(gd_json_text(s, "bc_id", NULL), bc))
            n += sb_remove(sb_list(r, "shares"), "partner_id", partner, "advertiser_id",
                           json_string_value(id));
    }
    if (!n) {
        tiktok_fail(r, 40007, "the asset is not shared with this partner");
        return;
    }
    tiktok_changed(r, bc, token, "ASSET", "removed ad accounts from a partner");
    tiktok_ok(r, json_object());
}

/* ---- what is shared ---- */

static json_t *bc_row(struct sb_req *r, const char *id)
{
    const json_t *bc = tiktok_bc(r, id);

    return json_pack("{s:s, s:s}", "bc_id", id, "bc_name", gd_json_text(bc, "name", ""));
}

static bool name_wanted(const json_t *args, const char *key, const char *name)
{
    const char *want = gd_json_text(json_object_get(args, "filtering"), key, NULL);

    return !want || strcasestr(name, want);
}

/* 4.1 "GET /bc/partner/get/" */
static void partner_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", "");
    json_t *list, *one;
    size_t i;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    list = json_array();
    json_array_foreach(sb_list(r, "bcs"), i, one)
    {
        const char *id = gd_json_text(one, "bc_id", "");

        if (strcmp(id, bc) != 0 && partners(r, bc, id) &&
            name_wanted(args, "name", gd_json_text(one, "name", "")))
            json_array_append_new(list, bc_row(r, id));
    }
    tiktok_page(r, args, "list", list, 10);
}

/* 4.1 "GET /bc/partner/asset/get/": SHARED (partner to me), SHARING (me to partner); at most 50 a page
 * [assumed]. */
static void partner_asset_get(struct sb_req *r, const json_t *args, json_t *token)
{
    bool mine = strcmp(gd_json_text(args, "share_type", ""), "SHARING") == 0;
    const char *bc = gd_json_text(args, "bc_id", ""), *partner = gd_json_text(args, "partner_id", "");
    GD_AUTO_JSON by_id = json_object();
    json_t *list, *one;
    size_t i;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    list = json_array();
    json_array_foreach(sb_list(r, "accounts"), i, one)
        json_object_set(by_id, gd_json_text(one, "advertiser_id", ""), one);
    json_array_foreach(sb_list(r, "shares"), i, one)
    {
        const json_t *account = json_object_get(by_id, gd_json_text(one, "advertiser_id", ""));

        if (!sb_same(gd_json_text(one, "bc_id", NULL), mine ? bc : partner) ||
            !sb_same(gd_json_text(one, "partner_id", NULL), mine ? partner : bc) || !tiktok_share_live(one) ||
            strcmp(gd_json_text(args, "asset_type", ""), "ADVERTISER") != 0 ||
            !name_wanted(args, "keyword", gd_json_text(account, "name", "")))
            continue;
        json_array_append_new(
            list, json_pack("{s:O, s:s, s:O?, s:O, s:O?, s:n}", "asset_id",
                            json_object_get(one, "advertiser_id"), "asset_type", "ADVERTISER", "asset_name",
                            json_object_get(account, "name"), "advertiser_role", json_object_get(one, "role"),
                            "advertiser_account_type", json_object_get(account, "type"), "catalog_role"));
    }
    tiktok_page(r, args, "list", list, 10);
}

/* 4.1 "GET /bc/asset/partner/get/": who this asset is shared with; 0.4 "enumerations are wider". */
static void asset_partner_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", "");
    json_t *list, *one;
    size_t i;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    list = json_array();
    json_array_foreach(sb_list(r, "shares"), i, one) if (sb_same(gd_json_text(one, "bc_id", NULL), bc) &&
                                                         tiktok_share_live(one) &&
                                                         sb_same(gd_json_text(one, "advertiser_id", NULL),
                                                                 gd_json_text(args, "asset_id", NULL)))
        json_array_append_new(list, bc_row(r, gd_json_text(one, "partner_id", "")));
    tiktok_page(r, args, "list", list, 10);
}

/* ---- members at work ---- */

static json_t *assignment(struct sb_req *r, const json_t *args)
{
    size_t i;
    json_t *one;

    json_array_foreach(
        sb_list(r, "assignments"), i,
        one) if (sb_same(gd_json_text(one, "bc_id", NULL), gd_json_text(args, "bc_id", "")) &&
                 sb_same(gd_json_text(one, "user_id", NULL), gd_json_text(args, "user_id", "")) &&
                 sb_same(gd_json_text(one, "asset_id", NULL), gd_json_text(args, "asset_id", ""))) return one;
    return NULL;
}

static const json_t *tt_asset(struct sb_req *r, const json_t *args)
{
    return sb_find2(sb_list(r, "tt_assets"), "bc_id", gd_json_text(args, "bc_id", ""), "asset_id",
                    gd_json_text(args, "asset_id", ""));
}

/* 0.4 "too many roles is 40002"; 4.2 "POST /bc/asset/assign/": advertiser_role is required for ADVERTISER,
 * tt_account_roles for TT_ACCOUNT. */
static bool roles_fit(struct sb_req *r, const json_t *args)
{
    static const char *const names[] = { "advertiser_role", "catalog_role",     "form_library_role",
                                         "store_role",      "tt_account_roles", "business_account_roles" };
    bool account = strcmp(gd_json_text(args, "asset_type", ""), "ADVERTISER") == 0;
    size_t n = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        n += json_object_get(args, names[i]) != NULL;
    if (n > 1)
        tiktok_fail(r, 40002, "too many roles: give the one of the asset's type");
    else if (account && !json_object_get(args, "advertiser_role"))
        tiktok_fail(r, 40002, "advertiser_role: Missing data for required field");
    else if (!account && !json_object_get(args, "tt_account_roles"))
        tiktok_fail(r, 40002, "tt_account_roles: Missing data for required field");
    else
        return true;
    return false;
}

/* The Business Center must reach the asset, with no lower role than it hands on [assumed]. */
static bool reaches(struct sb_req *r, const json_t *args)
{
    const char *asset = gd_json_text(args, "asset_id", "");
    const char *role = gd_json_text(args, "advertiser_role", NULL), *has;

    if (!role && tt_asset(r, args))
        return true;
    has = role ? tiktok_reach(r, gd_json_text(args, "bc_id", ""), asset) : NULL;
    if (has && tiktok_rank(role) <= tiktok_rank(has))
        return true;
    if (role)
        tiktok_fail(r, 40001, "No permission to operate advertiser %s", asset);
    else
        tiktok_fail(r, 40002, "the asset is not in this Business Center");
    return false;
}

/* 4.2 "POST /bc/asset/assign/", of its types those that the sandbox has; an unknown user: 1.4 "| 40002 |". */
static void asset_assign(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *own = tiktok_own_bc(r, args, token, true), *one;
    const json_t *member =
        sb_find(json_object_get(own, "members"), "user_id", gd_json_text(args, "user_id", ""));

    if (!own || !roles_fit(r, args) || !reaches(r, args))
        return;
    if (!sb_same(gd_json_text(member, "relation_status", NULL), "BOUND")) {
        tiktok_fail(r, 40002, "the user is no member of this Business Center");
        return;
    }
    one = assignment(r, args);
    if (!one) {
        one = json_pack("{s:O, s:O, s:O, s:O}", "bc_id", json_object_get(args, "bc_id"), "user_id",
                        json_object_get(args, "user_id"), "asset_type", json_object_get(args, "asset_type"),
                        "asset_id", json_object_get(args, "asset_id"));
        json_array_append_new(sb_list(r, "assignments"), one);
    }
    if (json_object_get(args, "advertiser_role"))
        json_object_set(one, "role", json_object_get(args, "advertiser_role"));
    else
        json_object_set(one, "roles", json_object_get(args, "tt_account_roles"));
    tiktok_changed(r, gd_json_text(args, "bc_id", ""), token, "ASSET", "assigned an asset");
    tiktok_ok(r, json_object());
}

/* 4.2 "POST /bc/asset/unassign/"; 1.4 "| 40007 |" */
static void asset_unassign(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *list = sb_list(r, "assignments"), *one;
    size_t i;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    one = assignment(r, args);
    if (!one) {
        tiktok_fail(r, 40007, "the asset is not assigned to this user");
        return;
    }
    for (i = 0; json_array_get(list, i) != one; i++)
        ;
    json_array_remove(list, i);
    tiktok_ok(r, json_object());
}

/* ---- TikTok accounts in the Business Center (5.9) ---- */

/* 4.1 "GET /bc/asset/account/authorization/"; the URL's shape is open (11). Whoever opens it as a creator
 * joins the Business Center. */
static void account_authorization(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *ticket;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    ticket = sb_make(r, "qr", "", 24);
    sb_token_add(r, "bc_qr", ticket, TT_DAY, json_pack("{s:O}", "bc_id", json_object_get(args, "bc_id")));
    tiktok_ok(
        r, json_pack("{s:s}", "bc_auth_qr_code", sb_strf(r, "https://www.tiktok.com/bc-link?t=%s", ticket)));
}

/* 4.2 "POST /bc/asset/admin/delete/": exactly one (and so its links [assumed]); 1.4 "| 40007 |". */
static void admin_delete(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *id = json_string_value(json_array_get(json_object_get(args, "asset_ids"), 0));
    const char *bc = gd_json_text(args, "bc_id", "");

    if (!tiktok_own_bc(r, args, token, true))
        return;
    if (!id || !sb_remove(sb_list(r, "tt_assets"), "bc_id", bc, "asset_id", id)) {
        tiktok_fail(r, id ? 40007 : 40002, "the asset is not in this Business Center");
        return;
    }
    sb_remove(sb_list(r, "tt_links"), "bc_id", bc, "asset_id", id);
    sb_remove(sb_list(r, "assignments"), "bc_id", bc, "asset_id", id);
    tiktok_ok(r, json_object());
}

static json_t *link_of(struct sb_req *r, const json_t *args)
{
    return sb_find2(sb_list(r, "tt_links"), "asset_id", gd_json_text(args, "asset_id", ""), "advertiser_id",
                    gd_json_text(args, "advertiser_id", ""));
}

/* 4.2 "POST /bc/asset/advertiser/assign/": one of the same Business Center, else 1.4 "| 40001 |"; no such
 * TikTok account: 1.4 "| 40002 |". */
static void advertiser_assign(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", ""), *account = gd_json_text(args, "advertiser_id", "");

    if (!tiktok_own_bc(r, args, token, true))
        return;
    if (!tt_asset(r, args)) {
        tiktok_fail(r, 40002, "the TikTok account is not in this Business Center");
        return;
    }
    if (!tiktok_reach(r, bc, account)) {
        tiktok_fail(r, 40001, "No permission to operate advertiser %s", account);
        return;
    }
    if (!link_of(r, args))
        json_array_append_new(sb_list(r, "tt_links"),
                              json_pack("{s:s, s:O, s:s}", "bc_id", bc, "asset_id",
                                        json_object_get(args, "asset_id"), "advertiser_id", account));
    tiktok_ok(r, json_object());
}

/* 4.2 "POST /bc/asset/advertiser/unassign/"; 1.4 "| 40007 |" */
static void advertiser_unassign(struct sb_req *r, const json_t *args, json_t *token)
{
    if (!tiktok_own_bc(r, args, token, true))
        return;
    if (sb_remove(sb_list(r, "tt_links"), "asset_id", gd_json_text(args, "asset_id", ""), "advertiser_id",
                  gd_json_text(args, "advertiser_id", "")))
        tiktok_ok(r, json_object());
    else
        tiktok_fail(r, 40007, "the TikTok account is not linked to this advertiser");
}

/* 4.1 "GET /bc/asset/advertiser/assigned/" */
static void advertiser_assigned(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *list, *one;
    size_t i;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    list = json_array();
    json_array_foreach(
        sb_list(r, "tt_links"), i,
        one) if (sb_same(gd_json_text(one, "bc_id", NULL), gd_json_text(args, "bc_id", "")) &&
                 sb_same(gd_json_text(one, "asset_id", NULL), gd_json_text(args, "asset_id", "")))
        json_array_append_new(
            list,
            json_pack("{s:O, s:s}", "advertiser_id", json_object_get(one, "advertiser_id"), "advertiser_name",
                      gd_json_text(tiktok_account(r, gd_json_text(one, "advertiser_id", "")), "name", "")));
    tiktok_page(r, args, "list", list, 10);
}

/* ---- table ---- */

#define ID(name)          \
    {                     \
        name, TT_ID, true \
    }
#define PAGES(max)                               \
    { "page", TT_INT, false, NULL, 1, 1000000 }, \
    {                                            \
        "page_size", TT_INT, false, NULL, 1, max \
    }
#define ROLES "ADMIN OPERATOR ANALYST"

/* 4.2 "docs require partner_id and asset_type too": other asset types are in the enumeration but disabled. */
static const struct tt_param add_params[] = { ID("bc_id"),
                                              ID("partner_id"),
                                              { "asset_type", TT_WORD, true, "ADVERTISER" },
                                              { "asset_ids", TT_IDS, false, NULL, 0, 50 },
                                              { "advertiser_role", TT_WORD, false, ROLES },
                                              { "catalog_role", TT_WORD, false, "ADMIN AD_PROMOTE" },
                                              { "source_child_bc_id", TT_ID },
                                              { "target_child_bc_id", TT_ID },
                                              { 0 } };
static const struct tt_param pair_params[] = { ID("bc_id"), ID("partner_id"), { 0 } };
static const struct tt_param asset_delete_params[] = { ID("bc_id"),
                                                       ID("partner_id"),
                                                       { "asset_type", TT_WORD, true,
                                                         "ADVERTISER CATALOG TIKTOK_SHOP PIXEL STOREFRANT" },
                                                       { "asset_ids", TT_IDS, true, NULL, 1, 50 },
                                                       { 0 } };
static const struct tt_param partner_get_params[] = {
    ID("bc_id"), { "filtering", TT_OBJECT }, PAGES(50), { 0 }
};
static const struct tt_param partner_asset_params[] = { ID("bc_id"),
                                                        ID("partner_id"),
                                                        { "asset_type", TT_WORD, true,
                                                          "ADVERTISER CATALOG TIKTOK_SHOP PIXEL" },
                                                        { "share_type", TT_WORD, true, "SHARED SHARING" },
                                                        { "filtering", TT_OBJECT },
                                                        PAGES(50),
                                                        { 0 } };
static const struct tt_param asset_partner_params[] = {
    ID("bc_id"),    { "asset_type", TT_WORD, true, "ADVERTISER CATALOG TIKTOK_SHOP PIXEL" },
    ID("asset_id"), { "filtering", TT_OBJECT },
    PAGES(50),      { 0 }
};
static const struct tt_param assign_params[] = { ID("bc_id"),
                                                 ID("user_id"),
                                                 { "asset_type", TT_WORD, true, "ADVERTISER TT_ACCOUNT" },
                                                 ID("asset_id"),
                                                 { "advertiser_role", TT_WORD, false, ROLES },
                                                 { "catalog_role", TT_WORD, false, "ADMIN AD_PROMOTE" },
                                                 { "form_library_role", TT_WORD, false, "ADMIN" },
                                                 { "store_role", TT_WORD, false, "AD_PROMOTION MANAGER" },
                                                 { "tt_account_roles", TT_WORDS, false,
                                                   "POST LIVE DIRECT_MESSAGE", 1, 3 },
                                                 { "business_account_roles", TT_TEXTS },
                                                 { 0 } };
static const struct tt_param unassign_params[] = { ID("bc_id"),
                                                   ID("user_id"),
                                                   { "asset_type", TT_WORD, true,
                                                     "CATALOG ADVERTISER LEAD TT_ACCOUNT" },
                                                   ID("asset_id"),
                                                   { 0 } };
static const struct tt_param qr_params[] = { ID("bc_id"), { "is_ads_only_mode", TT_BOOL }, { 0 } };
static const struct tt_param admin_delete_params[] = { ID("bc_id"),
                                                       { "asset_type", TT_WORD, true, "LEAD TT_ACCOUNT" },
                                                       { "asset_ids", TT_IDS, true, NULL, 1, 1 },
                                                       { "child_bc_id", TT_ID },
                                                       { 0 } };
#define LINKED "TT_ACCOUNT MANAGED_BUSINESS_ACCOUNT"
static const struct tt_param link_params[] = {
    ID("bc_id"), ID("asset_id"), ID("advertiser_id"), { "asset_type", TT_WORD, false, LINKED }, { 0 }
};
static const struct tt_param assigned_params[] = {
    ID("bc_id"), ID("asset_id"), { "asset_type", TT_WORD, true, LINKED }, PAGES(50), { 0 }
};

const struct tt_call tiktok_share_calls[] = {
    { "POST", "/bc/partner/add/", TT_ADVERTISER, 155, NULL, add_params, partner_add },
    { "POST", "/bc/partner/delete/", TT_ADVERTISER, 155, NULL, pair_params, partner_delete },
    { "POST", "/bc/partner/asset/delete/", TT_ADVERTISER, 155, NULL, asset_delete_params,
      partner_asset_delete },
    { "GET", "/bc/partner/get/", TT_ADVERTISER, 155, NULL, partner_get_params, partner_get },
    { "GET", "/bc/partner/asset/get/", TT_ADVERTISER, 155, NULL, partner_asset_params, partner_asset_get },
    { "GET", "/bc/asset/partner/get/", TT_ADVERTISER, 153, NULL, asset_partner_params, asset_partner_get },
    { "POST", "/bc/asset/assign/", TT_ADVERTISER, 153, NULL, assign_params, asset_assign },
    { "POST", "/bc/asset/unassign/", TT_ADVERTISER, 153, NULL, unassign_params, asset_unassign },
    { "GET", "/bc/asset/account/authorization/", TT_ADVERTISER, 153, NULL, qr_params, account_authorization },
    { "POST", "/bc/asset/admin/delete/", TT_ADVERTISER, 153, NULL, admin_delete_params, admin_delete },
    { "POST", "/bc/asset/advertiser/assign/", TT_ADVERTISER, 153, NULL, link_params, advertiser_assign },
    { "POST", "/bc/asset/advertiser/unassign/", TT_ADVERTISER, 153, NULL, link_params, advertiser_unassign },
    { "GET", "/bc/asset/advertiser/assigned/", TT_ADVERTISER, 153, NULL, assigned_params,
      advertiser_assigned },
    { 0 },
};
