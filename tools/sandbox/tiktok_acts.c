/* tiktok_acts.c - the stand-in for TikTok: what people do in the app, in Ads Manager or in the Business
 * Center's pages, where the API cannot (tiktok.md 8). */
#include "tiktok.h"
#include "base/mem.h"

#include <string.h>

static const char *text(const json_t *args, const char *name)
{
    return gd_json_text(args, name, "");
}

/* ---- Method A: requests of access by id (4.4) ---- */

static const char *file_request(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *bc = text(args, "bc_id"), *account = text(args, "advertiser_id");

    (void)ret;
    if (!tiktok_bc(r, bc) || !tiktok_account(r, account))
        return "no such Business Center or ad account";
    if (tiktok_reach(r, bc, account))
        return "this Business Center reaches the account already";
    sb_remove(sb_list(r, "requests"), "bc_id", bc, "advertiser_id", account);
    json_array_append_new(sb_list(r, "requests"),
                          json_pack("{s:s, s:s, s:s, s:s}", "bc_id", bc, "advertiser_id", account, "role",
                                    gd_json_text(args, "role", "OPERATOR"), "state", "PENDING"));
    return NULL;
}

static const char *move_request(struct sb_req *r, const json_t *args, const char *from, const char *to)
{
    json_t *ask = sb_find2(sb_list(r, "requests"), "bc_id", text(args, "bc_id"), "advertiser_id",
                           text(args, "advertiser_id"));

    if (!ask)
        return "no such request";
    if (strcmp(gd_json_text(ask, "state", ""), from) != 0)
        return sb_strf(r, "the request is %s, not %s", gd_json_text(ask, "state", ""), from);
    json_object_set_new(ask, "state", json_string(to));
    if (json_object_get(args, "role"))
        json_object_set(ask, "role", json_object_get(args, "role"));
    return NULL;
}

static const char *approve_request(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return move_request(r, args, "PENDING", "BOUND");
}

static const char *reject_request(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return move_request(r, args, "PENDING", "REJECTED");
}

static const char *unbind_request(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return move_request(r, args, "BOUND", "UNBOUND");
}

static const char *detach_request(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return sb_remove(sb_list(r, "requests"), "bc_id", text(args, "bc_id"), "advertiser_id",
                     text(args, "advertiser_id"))
               ? NULL
               : "no such request";
}

/* ---- Method B by hand (4.5) ---- */

static const char *share_account(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *partner = text(args, "partner_id"), *id = text(args, "advertiser_id");
    const char *bc = gd_json_text(tiktok_account(r, id), "owner_bc", NULL);

    (void)ret;
    if (!bc || !tiktok_bc(r, partner) || strcmp(bc, partner) == 0)
        return "no such ad account of a Business Center, or no such partner";
    if (!tiktok_rank(gd_json_text(args, "role", "ANALYST")))
        return "role is ADMIN, OPERATOR or ANALYST";
    sb_remove(sb_list(r, "shares"), "partner_id", partner, "advertiser_id", id);
    json_array_append_new(sb_list(r, "shares"),
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "bc_id", bc, "partner_id", partner,
                                    "advertiser_id", id, "role", gd_json_text(args, "role", "ANALYST"),
                                    "state", "SHARED"));
    if (!sb_find2(sb_list(r, "partnerships"), "bc_id", bc, "partner_id", partner))
        json_array_append_new(sb_list(r, "partnerships"),
                              json_pack("{s:s, s:s}", "bc_id", bc, "partner_id", partner));
    return NULL;
}

static const char *unshare_account(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return sb_remove(sb_list(r, "shares"), "partner_id", text(args, "partner_id"), "advertiser_id",
                     text(args, "advertiser_id"))
               ? NULL
               : "it is not shared";
}

static const char *accept_partner(struct sb_req *r, const json_t *args, json_t **ret)
{
    size_t n = 0, i;
    json_t *one;

    (void)ret;
    json_array_foreach(sb_list(r, "shares"), i, one)
    {
        if (!sb_same(gd_json_text(one, "bc_id", NULL), text(args, "bc_id")) ||
            !sb_same(gd_json_text(one, "partner_id", NULL), text(args, "partner_id")) ||
            tiktok_share_live(one))
            continue;
        json_object_set_new(one, "state", json_string("SHARED"));
        n++;
    }
    return n ? NULL : "nothing waits for acceptance";
}

static const char *remove_partner(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *bc = text(args, "bc_id"), *partner = text(args, "partner_id");

    (void)ret;
    sb_remove(sb_list(r, "shares"), "bc_id", bc, "partner_id", partner);
    return sb_remove(sb_list(r, "partnerships"), "bc_id", bc, "partner_id", partner) ? NULL
                                                                                     : "they are no partners";
}

/* ---- people of a Business Center ---- */

static json_t *member(struct sb_req *r, const json_t *args)
{
    return sb_find(json_object_get(tiktok_bc(r, text(args, "bc_id")), "members"), "user_id",
                   text(args, "user_id"));
}

static const char *set_member(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *m = member(r, args);

    (void)ret;
    if (!m)
        return "no such member";
    if (strcmp(text(args, "user_role"), "ADMIN") != 0 && strcmp(text(args, "user_role"), "STANDARD") != 0)
        return "user_role is ADMIN or STANDARD";
    json_object_set(m, "user_role", json_object_get(args, "user_role"));
    return NULL;
}

static const char *remove_member(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    sb_remove(sb_list(r, "assignments"), "bc_id", text(args, "bc_id"), "user_id", text(args, "user_id"));
    return sb_remove(json_object_get(tiktok_bc(r, text(args, "bc_id")), "members"), "user_id",
                     text(args, "user_id"), NULL, NULL)
               ? NULL
               : "no such member";
}

static void assign_invited(struct sb_req *r, const json_t *args, const json_t *m, const char *user)
{
    size_t i;
    json_t *id;

    json_array_foreach(json_object_get(m, "asset_ids"), i,
                       id) if (tiktok_reach(r, text(args, "bc_id"), json_string_value(id)))
        json_array_append_new(sb_list(r, "assignments"),
                              json_pack("{s:s, s:s, s:s, s:O, s:s}", "bc_id", text(args, "bc_id"), "user_id",
                                        user, "asset_type", "ADVERTISER", "asset_id", id, "role",
                                        gd_json_text(m, "advertiser_role", "ANALYST")));
}

static const char *accept_invitation(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *m = sb_find(json_object_get(tiktok_bc(r, text(args, "bc_id")), "members"), "user_email",
                        text(args, "email"));
    const char *user;

    if (!m || strcmp(gd_json_text(m, "relation_status", ""), "PENDING") != 0)
        return "no invitation waits for this address";
    user = sb_make_digits(r, "user_id", "7222", 15);
    json_object_set_new(m, "user_id", json_string(user));
    json_object_set_new(m, "user_name", json_string(gd_json_text(args, "name", text(args, "email"))));
    json_object_set_new(m, "relation_status", json_string("BOUND"));
    assign_invited(r, args, m, user);
    *ret = json_pack("{s:s}", "user_id", user);
    return NULL;
}

/* ---- apps that are removed (2.5: ends by removal) ---- */

static const char *remove_app(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return sb_tokens_end(r, "advertiser", "user", text(args, "user_id"), SB_REVOKED)
               ? NULL
               : "this person has no living token";
}

static const char *remove_creator_app(struct sb_req *r, const json_t *args, json_t **ret)
{
    size_t n = sb_tokens_end(r, "creator", "open_id", text(args, "open_id"), SB_REVOKED);

    (void)ret;
    n += sb_tokens_end(r, "creator_refresh", "open_id", text(args, "open_id"), SB_REVOKED);
    return n ? NULL : "this creator has no living token";
}

static const char *set_account(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *account = tiktok_account(r, text(args, "advertiser_id"));

    (void)ret;
    if (!account || !json_is_string(json_object_get(args, "status")))
        return "advertiser_id and status (STATUS_ENABLE, STATUS_LIMIT, ...)";
    json_object_set(account, "status", json_object_get(args, "status"));
    return NULL;
}

/* ---- creators (5.1, 5.5) ---- */

static const char *set_ad_authorization(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *creator = tiktok_creator(r, text(args, "open_id"));

    (void)ret;
    if (!creator || !json_is_boolean(json_object_get(args, "on")))
        return "open_id of a creator and on (true or false)";
    json_object_set(creator, "ad_authorization", json_object_get(args, "on"));
    return NULL;
}

/* 5.6: AVAILABLE, NO_VALID_BIND_ACCOUNT, SCOPE_UNAVAILABLE, IS_PRIVATE_ACCOUNT, NOT_BUSINESS_ACCOUNT */
static const char *set_creator(struct sb_req *r, const json_t *args, json_t **ret)
{
    static const char *const names[] = { "available_status", "username", "display_name" };
    json_t *creator = tiktok_creator(r, text(args, "open_id"));

    (void)ret;
    if (!creator)
        return "open_id of a creator";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (json_object_get(args, names[i]))
            json_object_set(creator, names[i], json_object_get(args, names[i]));
    return NULL;
}

static int64_t days(const json_t *args)
{
    return gd_json_i64(args, "days", 30);
}

static json_t *told(const json_t *code)
{
    return json_pack("{s:O, s:O, s:O}", "code", json_object_get(code, "code"), "start",
                     json_object_get(code, "start"), "end", json_object_get(code, "end"));
}

/* In the app a code is made for a post whose account has ad authorisation switched on. */
static const char *make_code(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *post = tiktok_post(r, text(args, "item_id")), *code;

    if (!post)
        return "no such post";
    if (!gd_json_bool(tiktok_creator(r, text(post, "creator")), "ad_authorization", false))
        return "ad authorization is switched off in the account's settings";
    code = tiktok_code_of(r, text(args, "item_id"));
    if (!code)
        code = tiktok_code_new(r, text(args, "item_id"), days(args));
    json_object_set_new(post, "promotable", json_true());
    *ret = told(code);
    return NULL;
}

/* 5.10: the same code lives on, its end moves [assumed]. */
static const char *extend_code(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *code = tiktok_code_of(r, text(args, "item_id"));

    if (!code)
        return "the post has no code";
    tiktok_code_extend(code, days(args));
    *ret = told(code);
    return NULL;
}

static const char *delete_code(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *code = tiktok_code_of(r, text(args, "item_id"));

    (void)ret;
    if (!code)
        return "the post has no code";
    json_object_set_new(code, "state", json_string("DELETED"));
    return NULL;
}

/* 5.3: HESITATE_RECOMMEND, ONLY_AUTHOR_SEE, ONLY_FRIEND_SEE, USER_DELETE, AUDIT_DELETE, ...; kind: STORY, ...
 */
static const char *set_post(struct sb_req *r, const json_t *args, json_t **ret)
{
    static const char *const names[] = { "status", "kind", "in_active_ad", "text" };
    json_t *post = tiktok_post(r, text(args, "item_id"));

    (void)ret;
    if (!post)
        return "no such post";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (json_object_get(args, names[i]))
            json_object_set(post, names[i], json_object_get(args, names[i]));
    return NULL;
}

/* 5.9: presence is the signal; one creator is in a Business Center once. */
json_t *tiktok_tt_asset_new(struct sb_req *r, const char *bc_id, const json_t *creator)
{
    const char *id = gd_json_text(creator, "asset_id", NULL);
    json_t *asset;

    if (!id)
        id = sb_make_digits(r, "asset_id", "7355", 15);
    asset = sb_find2(sb_list(r, "tt_assets"), "bc_id", bc_id, "asset_id", id);
    if (asset)
        return asset;
    asset = json_pack("{s:s, s:s, s:O, s:O, s:s, s:[s]}", "bc_id", bc_id, "asset_id", id, "asset_name",
                      json_object_get(creator, "username"), "creator", json_object_get(creator, "open_id"),
                      "identity_id", gd_json_text(creator, "bc_identity_id", sb_make_uuid(r, "identity")),
                      "roles", "POST");
    json_array_append_new(sb_list(r, "tt_assets"), asset);
    return asset;
}

/* 4.6 "a BC may hold 800 accounts" */
bool tiktok_tt_room(struct sb_req *r, const char *bc_id)
{
    int64_t n = 0;
    size_t i;
    json_t *one;

    json_array_foreach(sb_list(r, "tt_assets"), i, one) n += sb_same(gd_json_text(one, "bc_id", NULL), bc_id);
    return n < sb_option_i64(r, "max_tt_accounts");
}

/* The URL that was drawn as a QR code, or its ticket. */
static const char *scan_qr(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *url = text(args, "url"), *ticket = strstr(url, "t=");
    const json_t *t = sb_token(r, "bc_qr", ticket ? ticket + 2 : url);
    const json_t *creator = tiktok_creator(r, text(args, "open_id"));

    if (sb_token_state(r, t) != SB_LIVE || !creator)
        return "url of a living QR code and open_id of a creator";
    if (!tiktok_tt_room(r, gd_json_text(t, "bc_id", "")))
        return "the Business Center holds as many TikTok accounts as it may";
    *ret =
        json_pack("{s:O}", "asset_id",
                  json_object_get(tiktok_tt_asset_new(r, gd_json_text(t, "bc_id", ""), creator), "asset_id"));
    return NULL;
}

static const char *leave_bc(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *bc = text(args, "bc_id"), *asset = text(args, "asset_id");

    (void)ret;
    sb_remove(sb_list(r, "tt_links"), "bc_id", bc, "asset_id", asset);
    return sb_remove(sb_list(r, "tt_assets"), "bc_id", bc, "asset_id", asset)
               ? NULL
               : "it is not in this Business Center";
}

/* 5.1: linked in Ads Manager to one user */
static const char *link_user(struct sb_req *r, const json_t *args, json_t **ret)
{
    if (!tiktok_account(r, text(args, "advertiser_id")) || !tiktok_creator(r, text(args, "open_id")))
        return "advertiser_id and open_id of a creator";
    *ret = json_pack("{s:s}", "identity_id", sb_make_uuid(r, "identity"));
    json_array_append_new(sb_list(r, "tt_users"), json_pack("{s:O, s:O, s:O}", "advertiser_id",
                                                            json_object_get(args, "advertiser_id"), "creator",
                                                            json_object_get(args, "open_id"), "identity_id",
                                                            json_object_get(*ret, "identity_id")));
    return NULL;
}

const struct sb_act tiktok_acts[] = {
    { "file_request", "the agency asks for an ad account in its pages: bc_id, advertiser_id, role",
      file_request },
    { "approve_request", "the owner approves: bc_id, advertiser_id, role (another one, if wanted)",
      approve_request },
    { "reject_request", "the owner refuses: bc_id, advertiser_id", reject_request },
    { "unbind_request", "the owner takes it back later: bc_id, advertiser_id", unbind_request },
    { "detach_request", "the agency removes the account from its pages: bc_id, advertiser_id",
      detach_request },
    { "share_account",
      "the client shares by hand: advertiser_id, partner_id, role (replaces an earlier share)",
      share_account },
    { "unshare_account", "the client takes an account back by hand: advertiser_id, partner_id",
      unshare_account },
    { "accept_partner", "the agency accepts what waits (option partner_acceptance): bc_id, partner_id",
      accept_partner },
    { "remove_partner", "the client removes the partner by hand: bc_id, partner_id", remove_partner },
    { "set_member", "a member's role changes: bc_id, user_id, user_role", set_member },
    { "remove_member", "a member goes: bc_id, user_id", remove_member },
    { "accept_invitation", "who was invited joins: bc_id, email, name", accept_invitation },
    { "remove_app", "an advertiser removes the app, its tokens die: user_id", remove_app },
    { "remove_creator_app", "a creator removes the app, its tokens die: open_id", remove_creator_app },
    { "set_account", "an ad account's status: advertiser_id, status", set_account },
    { "set_ad_authorization", "a creator switches ad authorization: open_id, on", set_ad_authorization },
    { "set_creator", "an account changes: open_id, available_status, username, display_name", set_creator },
    { "make_code", "a creator makes a code in the app: item_id, days", make_code },
    { "extend_code", "a creator extends it: item_id, days", extend_code },
    { "delete_code", "a creator deletes it: item_id", delete_code },
    { "set_post", "a post changes: item_id, status, kind, in_active_ad, text", set_post },
    { "scan_qr", "a creator scans the Business Center's QR code: url, open_id", scan_qr },
    { "leave_bc", "a creator leaves the Business Center: bc_id, asset_id", leave_bc },
    { "link_user", "a TikTok account is linked in Ads Manager: advertiser_id, open_id", link_user },
    { 0 },
};
