/* tiktok_oauth.c - the stand-in for TikTok: tokens of advertisers (tiktok.md 2) and of creators (3.1). */
#include "tiktok.h"
#include "base/mem.h"

#include <string.h>

/* 1.4 "| 40113 |" and "| 40101 |" */
json_t *tiktok_app(struct sb_req *r, const char *id, const char *secret)
{
    json_t *app = sb_find(sb_list(r, "apps"), "app_id", id);

    if (!app)
        tiktok_fail(r, 40113, "the app does not exist");
    else if (!sb_same(gd_json_text(app, "secret", NULL), secret))
        tiktok_fail(r, 40101, "invalid auth parameters: secret does not fit app_id");
    else
        return app;
    return NULL;
}

/* A code that may be spent, marked as used; NULL with the answer given. 1.4 "| 40110 |" (used or expired),
 * "| 40115 |" (a code of the other kind), "| 40101 |" (a bad code) and "| 40113 |". */
static json_t *spend_code(struct sb_req *r, const char *kind, const char *value, const char *app)
{
    json_t *code = sb_token(r, NULL, value);
    const char *have = gd_json_text(code, "kind", "");

    if (!code || (strcmp(have, "advertiser_code") != 0 && strcmp(have, "creator_code") != 0))
        tiktok_fail(r, 40101, "invalid auth_code");
    else if (strcmp(have, kind) != 0)
        tiktok_fail(r, 40115, "the auth_code does not match this endpoint");
    else if (!sb_same(gd_json_text(code, "app", NULL), app))
        tiktok_fail(r, 40113, "app_id is inconsistent with the auth_code");
    else if (sb_token_state(r, code) == SB_EXPIRED)
        tiktok_fail(r, 40110, "auth_code is expired, authorise again");
    else if (sb_token_state(r, code) != SB_LIVE)
        tiktok_fail(r, 40110, "auth_code already used, authorise again");
    else {
        sb_token_end(code, SB_USED);
        return code;
    }
    return NULL;
}

/* ---- advertisers ---- */

/* Value of a live token of this app and person, or NULL. */
static const char *earlier_token(struct sb_req *r, const char *app, const char *user)
{
    const char *value;
    json_t *t;

    json_object_foreach(sb_table(r, "tokens"), value,
                        t) if (sb_same(gd_json_text(t, "kind", NULL), "advertiser") &&
                               sb_same(gd_json_text(t, "app", NULL), app) &&
                               sb_same(gd_json_text(t, "user", NULL), user) &&
                               sb_token_state(r, t) == SB_LIVE) return gd_arena_strdup(r->arena, value);
    return NULL;
}

/* 2.5 "Does not expire by time". What a second consent does to the first token is open (9). */
static const char *advertiser_token(struct sb_req *r, const json_t *app, const json_t *code)
{
    const char *id = gd_json_text(app, "app_id", ""), *user = gd_json_text(code, "user", "");
    const char *old = earlier_token(r, id, user), *how = sb_option_text(r, "reconsent"), *value;

    if (old && strcmp(how, "replace") == 0)
        sb_token_end(sb_token(r, "advertiser", old), SB_REVOKED);
    value = old && strcmp(how, "same") == 0 ? old : sb_make(r, "token", "ltk_", 40);
    sb_token_add(r, "advertiser", value, 0,
                 json_pack("{s:s, s:s, s:O, s:O}", "app", id, "user", user, "advertiser_ids",
                           json_object_get(code, "advertiser_ids"), "scope", json_object_get(app, "scopes")));
    return value;
}

/* 2.3 "return_advertiser_ids (bool, optional, default true" and "No expires_in, no refresh_token" */
static void access_token(struct sb_req *r, const json_t *args, json_t *none)
{
    json_t *app = tiktok_app(r, gd_json_text(args, "app_id", ""), gd_json_text(args, "secret", ""));
    json_t *code = app ? spend_code(r, "advertiser_code", gd_json_text(args, "auth_code", ""),
                                    gd_json_text(app, "app_id", ""))
                       : NULL;
    json_t *data;

    (void)none;
    if (!code)
        return;
    data = json_pack("{s:s, s:O}", "access_token", advertiser_token(r, app, code), "scope",
                     json_object_get(app, "scopes"));
    if (gd_json_bool(args, "return_advertiser_ids", true))
        json_object_set(data, "advertiser_ids", json_object_get(code, "advertiser_ids"));
    tiktok_ok(r, data);
}

/* 2.4 "Answer is flat"; 1.4 "| 40108 |". */
static void oauth_token(struct sb_req *r, const json_t *args, json_t *none)
{
    json_t *app, *code;

    (void)none;
    if (strcmp(gd_json_text(args, "grant_type", ""), "authorization_code") != 0) {
        tiktok_fail(r, 40108, "invalid grant_type");
        return;
    }
    app = tiktok_app(r, gd_json_text(args, "client_id", ""), gd_json_text(args, "client_secret", ""));
    code = app ? spend_code(r, "advertiser_code", gd_json_text(args, "code", ""),
                            gd_json_text(app, "app_id", ""))
               : NULL;
    if (!code)
        return;
    sb_json(r, 200,
            json_pack("{s:i, s:s, s:s, s:s, s:s, s:O, s:O}", "code", 0, "message", "OK", "request_id",
                      sb_make(r, "request_id", sb_time(r, sb_now(r), "%Y%m%d%H%M%S"), 20), "access_token",
                      advertiser_token(r, app, code), "token_type", "Bearer", "advertiser_ids",
                      json_object_get(code, "advertiser_ids"), "scope", json_object_get(app, "scopes")));
}

/* 2.6 "The secret travels in the query"; 1.4 "| 40113 |". */
static void advertiser_get(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *app = tiktok_app(r, gd_json_text(args, "app_id", ""), gd_json_text(args, "secret", ""));
    json_t *list, *one;
    size_t i;

    if (!app)
        return;
    if (!sb_same(gd_json_text(token, "app", NULL), gd_json_text(app, "app_id", NULL))) {
        tiktok_fail(r, 40113, "app_id is inconsistent with the access token");
        return;
    }
    list = json_array();
    json_array_foreach(json_object_get(token, "advertiser_ids"), i, one)
    {
        const json_t *account = tiktok_account(r, json_string_value(one));

        if (account)
            json_array_append_new(list, json_pack("{s:O, s:O}", "advertiser_id", one, "advertiser_name",
                                                  json_object_get(account, "name")));
    }
    tiktok_ok(r, json_pack("{s:o}", "list", list));
}

/* 2.7 "accounts the token has lost"; 1.4 "| 40105 |" and "| 40113 |". */
static void revoke_token(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *app = tiktok_app(r, gd_json_text(args, "app_id", ""), gd_json_text(args, "secret", ""));
    json_t *target = sb_token(r, "advertiser", gd_json_text(args, "access_token", ""));

    if (!app)
        return;
    if (!target || sb_token_state(r, target) != SB_LIVE) {
        tiktok_fail(r, 40105, "access token is incorrect or revoked");
        return;
    }
    if (!sb_same(gd_json_text(target, "app", NULL), gd_json_text(app, "app_id", NULL)) ||
        !sb_same(gd_json_text(token, "app", NULL), gd_json_text(app, "app_id", NULL))) {
        tiktok_fail(r, 40113, "app_id is inconsistent with the access token");
        return;
    }
    sb_token_end(target, SB_REVOKED);
    tiktok_ok(r, json_pack("{s:O, s:O}", "app_id", json_object_get(app, "app_id"), "advertiser_ids",
                           json_object_get(target, "advertiser_ids")));
}

/* 2.8 "GET /user/info/"; 1.4 "| 40106 |". */
static void user_info(struct sb_req *r, const json_t *args, json_t *token)
{
    const json_t *person = sb_find(sb_list(r, "people"), "user_id", gd_json_text(token, "user", ""));

    (void)args;
    if (!person) {
        tiktok_fail(r, 40106, "invalid core user");
        return;
    }
    tiktok_ok(r, json_pack("{s:O, s:O, s:s, s:I, s:s}", "core_user_id", json_object_get(person, "user_id"),
                           "display_name", json_object_get(person, "name"), "email",
                           tiktok_masked(r, gd_json_text(person, "email", "")), "create_time",
                           (json_int_t)gd_json_i64(person, "create_time", 0), "avatar_url", ""));
}

/* ---- creators ---- */

static json_t *creator_answer(struct sb_req *r, const char *access, const char *refresh)
{
    const json_t *t = sb_token(r, "creator", access), *f = sb_token(r, "creator_refresh", refresh);

    return json_pack("{s:s, s:s, s:O, s:I, s:s, s:I, s:O}", "access_token", access, "token_type", "Bearer",
                     "scope", json_object_get(t, "scope"), "expires_in",
                     (json_int_t)(gd_json_i64(t, "expires", 0) - sb_now(r)), "refresh_token", refresh,
                     "refresh_token_expires_in", (json_int_t)(gd_json_i64(f, "expires", 0) - sb_now(r)),
                     "open_id", json_object_get(t, "open_id"));
}

static json_t *creator_fields(const json_t *from)
{
    return json_pack("{s:O, s:O, s:O}", "app", json_object_get(from, "app"), "open_id",
                     json_object_get(from, "open_id"), "scope", json_object_get(from, "scope"));
}

static const char *new_creator_token(struct sb_req *r, const json_t *from)
{
    const char *value = sb_make(r, "creator_token", "act.", 40);

    sb_token_add(r, "creator", value, sb_option_i64(r, "creator_access_seconds"), creator_fields(from));
    return value;
}

/* 1.4 "| 40108 |" */
static bool grant_type_is(struct sb_req *r, const json_t *args, const char *want)
{
    if (strcmp(gd_json_text(args, "grant_type", ""), want) == 0)
        return true;
    tiktok_fail(r, 40108, "invalid grant_type");
    return false;
}

/* 3.1 "POST /tt_user/oauth2/token/"; a redirect_uri that is not that of the authorisation: 1.4 "| 40002 |".
 */
static void creator_token(struct sb_req *r, const json_t *args, json_t *none)
{
    const char *refresh;
    json_t *app, *code;

    (void)none;
    if (!grant_type_is(r, args, "authorization_code"))
        return;
    app = tiktok_app(r, gd_json_text(args, "client_id", ""), gd_json_text(args, "client_secret", ""));
    code = sb_token(r, "creator_code", gd_json_text(args, "auth_code", ""));
    if (!app)
        return;
    if (code &&
        !sb_same(gd_json_text(code, "redirect_uri", NULL), gd_json_text(args, "redirect_uri", NULL))) {
        tiktok_fail(r, 40002, "redirect_uri is not that of the authorization");
        return;
    }
    code =
        spend_code(r, "creator_code", gd_json_text(args, "auth_code", ""), gd_json_text(app, "app_id", ""));
    if (!code)
        return;
    refresh = sb_make(r, "creator_refresh", "rft.", 40);
    sb_token_add(r, "creator_refresh", refresh, sb_option_i64(r, "creator_refresh_seconds"),
                 creator_fields(code));
    tiktok_ok(r, creator_answer(r, new_creator_token(r, code), refresh));
}

/* 3.1 "refreshing appears not to restart the year" and "whether it differs is unverified" */
static const char *next_refresh(struct sb_req *r, const char *value, json_t *old)
{
    const char *fresh;
    json_t *t;

    if (!sb_option_bool(r, "creator_rotates"))
        return value;
    fresh = sb_make(r, "creator_refresh", "rft.", 40);
    t = sb_token_add(r, "creator_refresh", fresh, 1, creator_fields(old));
    json_object_set(t, "expires", json_object_get(old, "expires"));
    sb_token_end(old, SB_USED);
    return fresh;
}

/* 3.1 "POST /tt_user/oauth2/refresh_token/"; 1.4 "| 40103 |" and "| 40107 |" (so a long-term token too). */
static void creator_refresh(struct sb_req *r, const json_t *args, json_t *none)
{
    const char *value = gd_json_text(args, "refresh_token", ""), *access;
    json_t *app, *t;

    (void)none;
    if (!grant_type_is(r, args, "refresh_token"))
        return;
    app = tiktok_app(r, gd_json_text(args, "client_id", ""), gd_json_text(args, "client_secret", ""));
    if (!app)
        return;
    t = sb_token(r, "creator_refresh", value);
    if (sb_token_state(r, t) == SB_EXPIRED) {
        tiktok_fail(r, 40103, "refresh token is expired");
        return;
    }
    if (sb_token_state(r, t) != SB_LIVE ||
        !sb_same(gd_json_text(t, "app", ""), gd_json_text(app, "app_id", ""))) {
        tiktok_fail(r, 40107, "invalid refresh token");
        return;
    }
    access = new_creator_token(r, t);
    tiktok_ok(r, creator_answer(r, access, next_refresh(r, value, t)));
}

/* 3.1 "POST /tt_user/oauth2/revoke/"; 1.4 "| 40105 |" and "| 40113 |"; the refresh tokens of this creator and
 * app go with it [assumed]. */
static void creator_revoke(struct sb_req *r, const json_t *args, json_t *none)
{
    json_t *app = tiktok_app(r, gd_json_text(args, "client_id", ""), gd_json_text(args, "client_secret", ""));
    json_t *t = sb_token(r, "creator", gd_json_text(args, "access_token", ""));
    const char *open_id = gd_json_text(t, "open_id", "");

    (void)none;
    if (!app)
        return;
    if (sb_token_state(r, t) != SB_LIVE) {
        tiktok_fail(r, 40105, "access token is incorrect or revoked");
        return;
    }
    if (!sb_same(gd_json_text(t, "app", ""), gd_json_text(app, "app_id", ""))) {
        tiktok_fail(r, 40113, "app_id is inconsistent with the access token");
        return;
    }
    sb_tokens_end(r, "creator_refresh", "open_id", open_id, SB_REVOKED);
    sb_tokens_end(r, "creator", "open_id", open_id, SB_REVOKED);
    tiktok_ok(r, json_object());
}

/* 3.1 "POST /tt_user/token_info/get/"; 1.4 "| 40102 |", "| 40105 |" and "| 40113 |". */
static void token_info(struct sb_req *r, const json_t *args, json_t *none)
{
    const json_t *t = sb_token(r, "creator", gd_json_text(args, "access_token", ""));

    (void)none;
    if (sb_token_state(r, t) == SB_EXPIRED)
        tiktok_fail(r, 40102, "access token is expired");
    else if (sb_token_state(r, t) != SB_LIVE)
        tiktok_fail(r, 40105, "access token is incorrect or revoked");
    else if (!sb_same(gd_json_text(t, "app", ""), gd_json_text(args, "app_id", "")))
        tiktok_fail(r, 40113, "app_id is inconsistent with the access token");
    else
        tiktok_ok(r, json_pack("{s:O, s:O, s:O}", "app_id", json_object_get(t, "app"), "scope",
                               json_object_get(t, "scope"), "creator_id", json_object_get(t, "open_id")));
}

/* ---- table ---- */

#define MUST(name)          \
    {                       \
        name, TT_TEXT, true \
    }
static const struct tt_param access_params[] = {
    MUST("app_id"), MUST("secret"), MUST("auth_code"), { "return_advertiser_ids", TT_BOOL }, { 0 }
};
static const struct tt_param alternative_params[] = {
    MUST("client_id"), MUST("client_secret"), MUST("code"), MUST("grant_type"), { 0 }
};
static const struct tt_param get_params[] = { MUST("app_id"), MUST("secret"), { 0 } };
static const struct tt_param revoke_params[] = {
    MUST("app_id"), MUST("secret"), MUST("access_token"), { 0 }
};
static const struct tt_param creator_params[] = { MUST("client_id"),    MUST("client_secret"),
                                                  MUST("grant_type"),   MUST("auth_code"),
                                                  MUST("redirect_uri"), { 0 } };
static const struct tt_param refresh_params[] = {
    MUST("client_id"), MUST("client_secret"), MUST("grant_type"), MUST("refresh_token"), { 0 }
};
static const struct tt_param creator_revoke_params[] = {
    MUST("client_id"), MUST("client_secret"), MUST("access_token"), { 0 }
};
static const struct tt_param info_params[] = { MUST("app_id"), MUST("access_token"), { 0 } };

/* 0.4 "the SDK has no `user/info`; the Go client calls it by POST". Scopes: 0.4 "`oauth2/advertiser/get`
 * needs scope 100". */
const struct tt_call tiktok_oauth_calls[] = {
    { "POST", "/oauth2/access_token/", TT_NOBODY, 0, NULL, access_params, access_token },
    { "POST", "/oauth/token/", TT_NOBODY, 0, NULL, alternative_params, oauth_token },
    { "GET", "/oauth2/advertiser/get/", TT_ADVERTISER, 100, NULL, get_params, advertiser_get },
    { "POST", "/oauth2/revoke_token/", TT_ADVERTISER, 0, NULL, revoke_params, revoke_token },
    { "GET", "/user/info/", TT_ADVERTISER, 0, NULL, NULL, user_info },
    { "POST", "/user/info/", TT_ADVERTISER, 0, NULL, NULL, user_info },
    { "POST", "/tt_user/oauth2/token/", TT_NOBODY, 0, NULL, creator_params, creator_token },
    { "POST", "/tt_user/oauth2/refresh_token/", TT_NOBODY, 0, NULL, refresh_params, creator_refresh },
    { "POST", "/tt_user/oauth2/revoke/", TT_NOBODY, 0, NULL, creator_revoke_params, creator_revoke },
    { "POST", "/tt_user/token_info/get/", TT_NOBODY, 0, NULL, info_params, token_info },
    { 0 },
};
