/* tiktok_bc.c - the stand-in for TikTok: Business Centers, their members and what they hold
 * (tiktok.md 4.1, 4.2). */
#include "tiktok.h"
#include "base/mem.h"

#include <string.h>
#include <strings.h>

json_t *tiktok_bc(struct sb_req *r, const char *bc_id)
{
    return sb_find(sb_list(r, "bcs"), "bc_id", bc_id);
}

json_t *tiktok_account(struct sb_req *r, const char *id)
{
    return sb_find(sb_list(r, "accounts"), "advertiser_id", id);
}

int tiktok_rank(const char *role)
{
    static const char *const roles[] = { "ANALYST", "OPERATOR", "ADMIN" }; /* 4.3 "| advertiser_role |" */

    for (int i = 0; role && i < 3; i++)
        if (strcmp(roles[i], role) == 0)
            return i + 1;
    return 0;
}

bool tiktok_share_live(const json_t *share)
{
    return sb_same(gd_json_text(share, "state", "SHARED"), "SHARED");
}

json_t *tiktok_own_bc(struct sb_req *r, const json_t *args, const json_t *token, bool admin)
{
    json_t *bc = tiktok_bc(r, gd_json_text(args, "bc_id", ""));
    const json_t *me = sb_find(json_object_get(bc, "members"), "user_id", gd_json_text(token, "user", ""));

    if (sb_same(gd_json_text(me, "relation_status", NULL), "BOUND") &&
        (!admin || sb_same(gd_json_text(me, "user_role", NULL), "ADMIN")))
        return bc;
    tiktok_fail(r, 40001, "no permission to operate this Business Center"); /* 7.3 "not a BC admin" */
    return NULL;
}

const char *tiktok_reach(struct sb_req *r, const char *bc_id, const char *account)
{
    const json_t *one = tiktok_account(r, account), *share, *ask;

    if (sb_same(gd_json_text(one, "owner_bc", NULL), bc_id))
        return "ADMIN";
    ask = sb_find2(sb_list(r, "requests"), "bc_id", bc_id, "advertiser_id", account);
    if (sb_same(gd_json_text(ask, "state", NULL), "BOUND"))
        return gd_json_text(ask, "role", "ANALYST");
    share = sb_find2(sb_list(r, "shares"), "partner_id", bc_id, "advertiser_id", account);
    return share && tiktok_share_live(share) ? gd_json_text(share, "role", "ANALYST") : NULL;
}

/* 4.1 "GET /changelog/get/" */
void tiktok_changed(struct sb_req *r, const char *bc_id, const json_t *token, const char *type,
                    const char *what)
{
    json_array_append_new(sb_list(r, "changelog"),
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "bc_id", bc_id, "time",
                                    sb_time(r, sb_now(r), "%Y-%m-%d %H:%M:%S"), "activity_type", type,
                                    "operator_id", gd_json_text(token, "user", ""), "activity_log", what));
}

static const char *filter(const json_t *args, const char *name)
{
    return gd_json_text(json_object_get(args, "filtering"), name, NULL);
}

static bool has_text(const char *text, const char *part)
{
    return !part || (text && strcasestr(text, part));
}

/* ---- bc/get ---- */

static json_t *copy_of(const json_t *from, const char *const *names)
{
    json_t *out = json_object();

    for (; *names; names++)
        if (json_object_get(from, *names))
            json_object_set(out, *names, json_object_get(from, *names));
    return out;
}

/* 4.1 "GET /bc/get/" */
static void bc_get(struct sb_req *r, const json_t *args, json_t *token)
{
    static const char *const names[] = {
        "bc_id",  "name",     "company", "currency",          "registered_area",
        "status", "timezone", "type",    "organization_type", "verification_status",
        NULL
    };
    const char *only = gd_json_text(args, "bc_id", NULL);
    json_t *list = json_array(), *bc;
    size_t i;

    json_array_foreach(sb_list(r, "bcs"), i, bc)
    {
        const json_t *me =
            sb_find(json_object_get(bc, "members"), "user_id", gd_json_text(token, "user", ""));

        if (!sb_same(gd_json_text(me, "relation_status", NULL), "BOUND") ||
            (only && !sb_same(only, gd_json_text(bc, "bc_id", NULL))) ||
            !has_text(gd_json_text(bc, "name", NULL), filter(args, "keyword")))
            continue;
        json_array_append_new(list, json_pack("{s:o, s:O, s:{s:O?}}", "bc_info", copy_of(bc, names),
                                              "user_role", json_object_get(me, "user_role"), "ext_user_role",
                                              "finance_role", json_object_get(me, "finance_role")));
    }
    tiktok_page(r, args, "list", list, 10);
}

/* ---- assets ---- */

static const json_t *assignment(struct sb_req *r, const char *bc, const char *user, const char *asset)
{
    size_t i;
    json_t *one;

    json_array_foreach(sb_list(r, "assignments"), i,
                       one) if (sb_same(gd_json_text(one, "bc_id", NULL), bc) &&
                                sb_same(gd_json_text(one, "user_id", NULL), user) &&
                                sb_same(gd_json_text(one, "asset_id", NULL), asset)) return one;
    return NULL;
}

/* 7.3: the row of an ad account as an admin sees it. */
static json_t *account_row(struct sb_req *r, const json_t *account, const char *relation, const char *status,
                           const char *role)
{
    const json_t *bc = tiktok_bc(r, gd_json_text(account, "owner_bc", NULL));

    return json_pack("{s:s, s:O, s:O, s:s, s:s, s:s, s:O, s:O, s:s?, s:n, s:n, s:n, s:n}", "asset_type",
                     "ADVERTISER", "asset_id", json_object_get(account, "advertiser_id"), "asset_name",
                     json_object_get(account, "name"), "relation_type", relation, "relation_status", status,
                     "advertiser_role", role, "advertiser_account_type", json_object_get(account, "type"),
                     "advertiser_status", json_object_get(account, "status"), "owner_bc_name",
                     gd_json_text(bc, "name", NULL), "pixel_code", "catalog_role", "store_role",
                     "tt_account_roles");
}

/* 4.1 "GET /bc/asset/admin/get/": its filters; keyword may match the name only (open 15). */
static bool row_wanted(struct sb_req *r, const json_t *args, const json_t *row)
{
    const char *status = filter(args, "relation_status"), *type = filter(args, "relation_type"),
               *keyword = filter(args, "keyword");

    if (status && !sb_same(status, gd_json_text(row, "relation_status", NULL)))
        return false;
    if (type && !sb_same(type, gd_json_text(row, "relation_type", NULL)))
        return false;
    return has_text(gd_json_text(row, "asset_name", NULL), keyword) ||
           (sb_option_bool(r, "keyword_matches_ids") &&
            sb_same(keyword, gd_json_text(row, "asset_id", NULL)));
}

static void add_row(struct sb_req *r, const json_t *args, json_t *list, json_t *row)
{
    if (row_wanted(r, args, row))
        json_array_append_new(list, row);
    else
        json_decref(row);
}

/* Own accounts are OWNER_BC: 4.3 "| relation_type |"; requested ones carry the state of the request: 4.4
 * "Watch with the AGENCY's token"; shared ones are not here: 4.5 "not as own assets". */
static void admin_accounts(struct sb_req *r, const json_t *args, const char *bc, json_t *list)
{
    size_t i;
    json_t *one;

    json_array_foreach(sb_list(r, "accounts"), i, one) if (sb_same(gd_json_text(one, "owner_bc", NULL), bc))
        add_row(r, args, list, account_row(r, one, "OWNER_BC", "BOUND", "ADMIN"));
    json_array_foreach(sb_list(r, "requests"), i, one)
    {
        const json_t *account = tiktok_account(r, gd_json_text(one, "advertiser_id", NULL));

        if (account && sb_same(gd_json_text(one, "bc_id", NULL), bc))
            add_row(r, args, list,
                    account_row(r, account,
                                json_object_get(account, "owner_bc") ? "OWNER_PARTNER" : "OWNER_INDIVIDUAL",
                                gd_json_text(one, "state", "PENDING"), gd_json_text(one, "role", "ANALYST")));
    }
}

/* 5.9 "relation_status is null for this type; presence is the signal" */
static void admin_tt_accounts(struct sb_req *r, const json_t *args, const char *bc, json_t *list)
{
    size_t i;
    json_t *one;

    json_array_foreach(sb_list(r, "tt_assets"), i, one) if (sb_same(gd_json_text(one, "bc_id", NULL), bc))
        add_row(r, args, list,
                json_pack("{s:s, s:O, s:O, s:s, s:n, s:n, s:O}", "asset_type", "TT_ACCOUNT", "asset_id",
                          json_object_get(one, "asset_id"), "asset_name", json_object_get(one, "asset_name"),
                          "relation_type", "OWNER_INDIVIDUAL", "relation_status", "owner_bc_name",
                          "tt_account_roles", json_object_get(one, "roles")));
}

/* 4.1 "BC admins only". Of the asset types the sandbox has ad accounts and TikTok accounts. */
static void asset_admin_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *type = gd_json_text(args, "asset_type", ""), *bc = gd_json_text(args, "bc_id", "");
    json_t *list;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    list = json_array();
    if (strcmp(type, "ADVERTISER") == 0)
        admin_accounts(r, args, bc, list);
    else if (strcmp(type, "TT_ACCOUNT") == 0)
        admin_tt_accounts(r, args, bc, list);
    tiktok_page(r, args, "list", list, 10);
}

/* 4.1 "GET /bc/asset/get/": what a member has; with no filter it is the token's own user. */
static void asset_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", ""), *user = filter(args, "user_id");
    json_t *list, *one;
    size_t i;

    if (!tiktok_own_bc(r, args, token, false))
        return;
    if (!user)
        user = gd_json_text(token, "user", "");
    list = json_array();
    json_array_foreach(sb_list(r, "assignments"), i, one)
    {
        const json_t *account = tiktok_account(r, gd_json_text(one, "asset_id", NULL));

        if (!sb_same(gd_json_text(one, "bc_id", NULL), bc) ||
            !sb_same(gd_json_text(one, "user_id", NULL), user) ||
            !sb_same(gd_json_text(one, "asset_type", NULL), gd_json_text(args, "asset_type", "")))
            continue;
        json_array_append_new(
            list, json_pack("{s:O, s:O, s:O?, s:O?, s:O?, s:n, s:n, s:O?}", "asset_type",
                            json_object_get(one, "asset_type"), "asset_id", json_object_get(one, "asset_id"),
                            "asset_name", json_object_get(account, "name"), "advertiser_account_type",
                            json_object_get(account, "type"), "advertiser_role", json_object_get(one, "role"),
                            "catalog_role", "store_role", "tt_account_roles", json_object_get(one, "roles")));
    }
    tiktok_page(r, args, "list", list, 10);
}

/* 4.1 "GET /bc/asset/member/get/": members who were assigned to the asset. */
static void asset_member_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *bc = gd_json_text(args, "bc_id", "");
    json_t *own = tiktok_own_bc(r, args, token, true), *list, *member;
    size_t i;

    if (!own)
        return;
    list = json_array();
    json_array_foreach(json_object_get(own, "members"), i, member)
    {
        const json_t *has =
            assignment(r, bc, gd_json_text(member, "user_id", ""), gd_json_text(args, "asset_id", ""));

        if (has)
            json_array_append_new(list, json_pack("{s:O, s:O, s:s, s:O?}", "user_id",
                                                  json_object_get(member, "user_id"), "user_name",
                                                  json_object_get(member, "user_name"), "user_email",
                                                  tiktok_masked(r, gd_json_text(member, "user_email", "")),
                                                  "advertiser_role", json_object_get(has, "role")));
    }
    tiktok_page(r, args, "list", list, 20);
}

/* ---- members ---- */

/* 4.1 "GET /bc/member/get/"; 0.4 "also exists on `bc/member/get`": child_bc_id. */
static void member_get(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *own = tiktok_own_bc(r, args, token, true), *list, *m;
    const char *role = filter(args, "user_role"), *status = filter(args, "relation_status");
    size_t i;

    if (!own)
        return;
    list = json_array();
    json_array_foreach(json_object_get(own, "members"), i, m)
    {
        if ((role && !sb_same(role, gd_json_text(m, "user_role", NULL))) ||
            (status && !sb_same(status, gd_json_text(m, "relation_status", NULL))) ||
            !has_text(gd_json_text(m, "user_name", ""), filter(args, "keyword")))
            continue;
        json_array_append_new(
            list, json_pack("{s:O?, s:O?, s:O, s:O, s:s, s:{s:O?}}", "user_id", json_object_get(m, "user_id"),
                            "user_name", json_object_get(m, "user_name"), "user_role",
                            json_object_get(m, "user_role"), "relation_status",
                            json_object_get(m, "relation_status"), "user_email",
                            tiktok_masked(r, gd_json_text(m, "user_email", "")), "ext_user_role",
                            "finance_role", json_object_get(m, "finance_role")));
    }
    tiktok_page(r, args, "list", list, 10);
}

/* 4.2 "already invited ones ignored": the assets are theirs once they accept (act accept_invitation). */
static void member_invite(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *own = tiktok_own_bc(r, args, token, true), *email;
    size_t i;

    if (!own)
        return;
    json_array_foreach(json_object_get(args, "emails"), i, email)
    {
        if (sb_find(json_object_get(own, "members"), "user_email", json_string_value(email)))
            continue;
        json_array_append_new(
            json_object_get(own, "members"),
            json_pack("{s:O, s:s, s:s, s:O?, s:O?, s:s}", "user_email", email, "user_role",
                      gd_json_text(args, "user_role", "STANDARD"), "relation_status", "PENDING",
                      "finance_role", json_object_get(json_object_get(args, "ext_user_role"), "finance_role"),
                      "asset_ids", json_object_get(args, "asset_ids"), "advertiser_role",
                      gd_json_text(args, "advertiser_role", "ANALYST")));
    }
    tiktok_changed(r, gd_json_text(args, "bc_id", ""), token, "USER", "invited members");
    tiktok_ok(r, json_object());
}

/* 4.2 "POST /bc/member/update/"; 0.4 "`bc/member/update` takes `user_name` and `child_bc_id`"; an unknown
 * user: 1.4 "| 40002 |" and "| 40012 |". */
static void member_update(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *own = tiktok_own_bc(r, args, token, true), *m;
    json_t *finance = json_object_get(json_object_get(args, "ext_user_role"), "finance_role");

    if (!own)
        return;
    m = sb_find(json_object_get(own, "members"), "user_id", gd_json_text(args, "user_id", ""));
    if (!m) {
        tiktok_fail(r, 40002, "the user is no member of this Business Center");
        return;
    }
    if (!json_object_get(args, "user_role") && !finance && !json_object_get(args, "user_name")) {
        tiktok_fail(r, 40012, "nothing to update");
        return;
    }
    if (json_object_get(args, "user_role"))
        json_object_set(m, "user_role", json_object_get(args, "user_role"));
    if (json_object_get(args, "user_name"))
        json_object_set(m, "user_name", json_object_get(args, "user_name"));
    if (finance)
        json_object_set(m, "finance_role", finance);
    tiktok_ok(r, json_object());
}

/* 4.2 "POST /bc/member/delete/"; neither or both: 1.4 "| 40002 |"; an unknown one: 1.4 "| 40007 |". */
static void member_delete(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *user = gd_json_text(args, "user_id", NULL), *email = gd_json_text(args, "user_email", NULL);
    json_t *own = tiktok_own_bc(r, args, token, true);
    size_t n;

    if (!own)
        return;
    if (!user == !email) {
        tiktok_fail(r, 40002, "user_id or user_email, one of them");
        return;
    }
    n = sb_remove(json_object_get(own, "members"), user ? "user_id" : "user_email", user ? user : email, NULL,
                  NULL);
    if (user)
        sb_remove(sb_list(r, "assignments"), "bc_id", gd_json_text(args, "bc_id", ""), "user_id", user);
    if (n)
        tiktok_ok(r, json_object());
    else
        tiktok_fail(r, 40007, "the member does not exist");
}

/* ---- others ---- */

/* 4.1 "GET /changelog/get/" */
static void changelog_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const char *type = filter(args, "activity_type");
    json_t *list, *one;
    size_t i;

    if (!tiktok_own_bc(r, args, token, true))
        return;
    list = json_array();
    json_array_foreach(sb_list(r, "changelog"), i, one)
    {
        if (!sb_same(gd_json_text(one, "bc_id", NULL), gd_json_text(args, "bc_id", NULL)) ||
            (type && strcmp(type, "ALL") != 0 && !sb_same(type, gd_json_text(one, "activity_type", NULL))))
            continue;
        json_array_append_new(list, json_copy(one));
        json_object_del(json_array_get(list, json_array_size(list) - 1), "bc_id");
    }
    tiktok_page(r, args, "changelog_list", list, 10);
}

/* 2.8 "owner_bc_id (only for admins of the owning BC)" */
static json_t *advertiser_row(struct sb_req *r, const json_t *account, const json_t *token)
{
    const char *bc = gd_json_text(account, "owner_bc", NULL);
    const json_t *me =
        sb_find(json_object_get(tiktok_bc(r, bc), "members"), "user_id", gd_json_text(token, "user", ""));
    json_t *row = json_pack(
        "{s:O, s:O, s:O, s:O, s:s, s:O, s:O, s:O, s:O}", "advertiser_id",
        json_object_get(account, "advertiser_id"), "name", json_object_get(account, "name"), "company",
        json_object_get(account, "company"), "status", json_object_get(account, "status"), "role",
        "ROLE_ADVERTISER", "currency", json_object_get(account, "currency"), "timezone",
        json_object_get(account, "timezone"), "country", json_object_get(account, "country"),
        "advertiser_account_type", json_object_get(account, "type"));

    if (sb_same(gd_json_text(me, "user_role", NULL), "ADMIN"))
        json_object_set_new(row, "owner_bc_id", json_string(bc));
    return row;
}

static void keep_fields(json_t *row, const json_t *fields)
{
    const char *name;
    json_t *value;
    void *next;

    if (!fields)
        return;
    json_object_foreach_safe(row, next, name,
                             value) if (!sb_has_text(fields, name) && strcmp(name, "advertiser_id") != 0)
        json_object_del(row, name);
}

/* 2.8 "GET /advertiser/info/"; 1.4 "No permission to operate advertiser <id>"; at most 100 ids [assumed]. */
static void advertiser_info(struct sb_req *r, const json_t *args, json_t *token)
{
    json_t *list = json_array(), *id;
    size_t i;

    json_array_foreach(json_object_get(args, "advertiser_ids"), i, id)
    {
        json_t *row;

        if (!sb_has_text(json_object_get(token, "advertiser_ids"), json_string_value(id)) ||
            !tiktok_account(r, json_string_value(id))) {
            json_decref(list);
            tiktok_fail(r, 40001, "No permission to operate advertiser %s", json_string_value(id));
            return;
        }
        row = advertiser_row(r, tiktok_account(r, json_string_value(id)), token);
        keep_fields(row, json_object_get(args, "fields"));
        json_array_append_new(list, row);
    }
    tiktok_ok(r, json_pack("{s:o}", "list", list));
}

/* ---- table ---- */

#define BC                   \
    {                        \
        "bc_id", TT_ID, true \
    }
#define PAGES(max)                               \
    { "page", TT_INT, false, NULL, 1, 1000000 }, \
    {                                            \
        "page_size", TT_INT, false, NULL, 1, max \
    }
#define FILTER                 \
    {                          \
        "filtering", TT_OBJECT \
    }
#define ROLES "ADMIN OPERATOR ANALYST"
/* 4.3 "| asset_type |" */
#define TYPES "ADVERTISER CATALOG TIKTOK_SHOP PIXEL LEAD TT_ACCOUNT STOREFRONT MANAGED_BUSINESS_ACCOUNT"

static const struct tt_param get_params[] = {
    { "bc_id", TT_ID }, { "scene", TT_WORD, false, "SINGLE_ACCOUNT TIERED_ACCOUNT" }, FILTER, PAGES(50), { 0 }
};
static const struct tt_param asset_params[] = {
    BC, { "asset_type", TT_WORD, true, TYPES }, { "child_bc_id", TT_ID }, FILTER, PAGES(50), { 0 }
};
static const struct tt_param asset_member_params[] = { BC,
                                                       { "asset_type", TT_WORD, true,
                                                         "ADVERTISER CATALOG LEAD" },
                                                       { "asset_id", TT_ID, true },
                                                       FILTER,
                                                       PAGES(20),
                                                       { 0 } };
static const struct tt_param member_get_params[] = { BC, FILTER, { "child_bc_id", TT_ID }, PAGES(20), { 0 } };
static const struct tt_param invite_params[] = { BC,
                                                 { "emails", TT_TEXTS, true, NULL, 1, 50 },
                                                 { "user_role", TT_WORD, false, "ADMIN STANDARD" },
                                                 { "asset_ids", TT_IDS, false, NULL, 0, 50 },
                                                 { "asset_type", TT_WORD, false, "ADVERTISER" },
                                                 { "advertiser_role", TT_WORD, false, ROLES },
                                                 { "ext_user_role", TT_OBJECT },
                                                 { 0 } };
static const struct tt_param update_params[] = { BC,
                                                 { "user_id", TT_ID, true },
                                                 { "user_role", TT_WORD, false, "ADMIN STANDARD" },
                                                 { "ext_user_role", TT_OBJECT },
                                                 { "user_name", TT_TEXT },
                                                 { "child_bc_id", TT_ID },
                                                 { 0 } };
static const struct tt_param delete_params[] = {
    BC, { "user_id", TT_ID }, { "user_email", TT_TEXT }, { "child_bc_id", TT_ID }, { 0 }
};
static const struct tt_param changelog_params[] = { BC,
                                                    FILTER,
                                                    { "lang", TT_TEXT },
                                                    { "sort_field", TT_WORD, false, "operation_time" },
                                                    { "sort_type", TT_TEXT },
                                                    PAGES(50),
                                                    { 0 } };
static const struct tt_param info_params[] = { { "advertiser_ids", TT_IDS, true, NULL, 1, 100 },
                                               { "fields", TT_TEXTS },
                                               { 0 } };

/* Scopes: 2.9 "| 150 |", "| 153 |" and "| 156 |", 0.4 "`changelog/get` to 230". */
const struct tt_call tiktok_bc_calls[] = {
    { "GET", "/bc/get/", TT_ADVERTISER, 150, NULL, get_params, bc_get },
    { "GET", "/bc/asset/get/", TT_ADVERTISER, 153, NULL, asset_params, asset_get },
    { "GET", "/bc/asset/admin/get/", TT_ADVERTISER, 153, NULL, asset_params, asset_admin_get },
    { "GET", "/bc/asset/member/get/", TT_ADVERTISER, 153, NULL, asset_member_params, asset_member_get },
    { "GET", "/bc/member/get/", TT_ADVERTISER, 156, NULL, member_get_params, member_get },
    { "POST", "/bc/member/invite/", TT_ADVERTISER, 156, NULL, invite_params, member_invite },
    { "POST", "/bc/member/update/", TT_ADVERTISER, 156, NULL, update_params, member_update },
    { "POST", "/bc/member/delete/", TT_ADVERTISER, 156, NULL, delete_params, member_delete },
    { "GET", "/changelog/get/", TT_ADVERTISER, 230, NULL, changelog_params, changelog_get },
    { "GET", "/advertiser/info/", TT_ADVERTISER, 100, NULL, info_params, advertiser_info },
    { 0 },
};
