/* tiktok_pages.c - the stand-in for TikTok: what people see (consent of advertisers, tiktok.md 2.1; of
 * creators, 3.1; the page behind the Business Center's QR code, 5.9), and Login Kit's token host (3.2). */
#include "tiktok.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

#define CODE_ADVERTISER 3600 /* 2.2 "auth_code: valid 1 hour, single use" */
#define CODE_CREATOR    600  /* 3.1 "auth_code: 10 minutes, single use" */

/* 2.1 "up to 10 redirect URLs per app; localhost allowed" */
static bool redirect_allowed(struct sb_req *r, const json_t *app, const char *uri)
{
    const json_t *known = json_object_get(app, "redirect_uris");

    if (!uri)
        return false;
    if (sb_has_text(known, uri))
        return true;
    return sb_option_bool(r, "loopback_redirects") &&
           (strncmp(uri, "http://127.0.0.1:", 17) == 0 || strncmp(uri, "http://localhost:", 17) == 0);
}

/* ---- advertisers ---- */

static bool is_admin(const json_t *bc, const char *user)
{
    const json_t *member = sb_find(json_object_get(bc, "members"), "user_id", user);

    return sb_same(gd_json_text(member, "user_role", NULL), "ADMIN") &&
           sb_same(gd_json_text(member, "relation_status", NULL), "BOUND");
}

/* Who may share an account: its own person, or an admin of the Business Center that owns it. */
static bool may_share(struct sb_req *r, const json_t *account, const char *user)
{
    return sb_same(gd_json_text(account, "owner_person", NULL), user) ||
           is_admin(tiktok_bc(r, gd_json_text(account, "owner_bc", NULL)), user);
}

static json_t *accounts_of(struct sb_req *r, const char *user)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(sb_list(r, "accounts"), i, one) if (may_share(r, one, user)) json_array_append_new(
        out, json_pack("{s:O, s:O, s:s}", "value", json_object_get(one, "advertiser_id"), "label",
                       json_object_get(one, "name"), "who", user));
    return out;
}

/* 2.1 "app_id, state, redirect_uri are the parameters" and "the person ticks which ad accounts to share" */
static void advertiser_page(struct sb_req *r)
{
    const json_t *app = sb_find(sb_list(r, "apps"), "app_id", sb_query(r, "app_id"));
    const char *uri = sb_query(r, "redirect_uri");
    json_t *people = json_array(), *assets = json_array(), *one;
    size_t i;

    if (!app || !redirect_allowed(r, app, uri)) {
        json_decref(people);
        json_decref(assets);
        sb_page(r, 400, app ? "Wrong redirect URI" : "Unknown app",
                app ? "redirect_uri is none of those that the app has registered."
                    : "There is no app of this app_id.");
        return;
    }
    json_array_foreach(sb_list(r, "people"), i, one)
    {
        const char *user = gd_json_text(one, "user_id", "");
        json_t *own = accounts_of(r, user);

        json_array_append_new(people,
                              json_pack("{s:s, s:O}", "value", user, "label", json_object_get(one, "name")));
        json_array_extend(assets, own);
        json_decref(own);
    }
    sb_consent(r, json_pack("{s:s, s:s, s:O, s:s, s:s, s:o, s:o, s:O, s:s, s:s?}", "purpose", "advertiser",
                            "title", "TikTok for Business: authorise an app", "app",
                            json_object_get(app, "name"), "text",
                            "asks for access to ad accounts and Business Centers.", "redirect_uri", uri,
                            "who", people, "assets", assets, "app_id", json_object_get(app, "app_id"), "host",
                            r->host, "state", sb_query(r, "state")));
}

/* 2.2 "both names are seen with the same value"; what a denial looks like is open (10): neither [assumed]. */
static void advertiser_consent(struct sb_req *r, const struct sb_choice *c)
{
    const char *uri = gd_json_text(c->page, "redirect_uri", ""),
               *state = gd_json_text(c->page, "state", NULL);
    const char *names = sb_option_text(r, "callback_names"), *code;
    json_t *ids = json_array(), *one;
    size_t i;

    json_array_foreach(c->assets, i,
                       one) if (c->who && may_share(r, tiktok_account(r, json_string_value(one)), c->who))
        json_array_append(ids, one);
    if (!c->approved) {
        json_decref(ids);
        sb_redirect(r, uri, "state", state, NULL);
        return;
    }
    code = sb_make(r, "code", "ac_", 24);
    sb_token_add(r, "advertiser_code", code, CODE_ADVERTISER,
                 json_pack("{s:O, s:s, s:o}", "app", json_object_get(c->page, "app_id"), "user", c->who,
                           "advertiser_ids", ids));
    sb_redirect(r, uri, "auth_code", strcmp(names, "code") == 0 ? NULL : code, "code",
                strcmp(names, "auth_code") == 0 ? NULL : code, "state", state, NULL);
}

/* ---- creators ---- */

static json_t *creators_offered(struct sb_req *r)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(sb_list(r, "creators"), i, one)
        json_array_append_new(out, json_pack("{s:O, s:O}", "value", json_object_get(one, "open_id"), "label",
                                             json_object_get(one, "username")));
    return out;
}

/* "a,b" as what can be left ticked; NULL when a word is none of the app's. */
static json_t *scopes_offered(struct sb_req *r, const char *asked, const char *known)
{
    char *copy = gd_arena_strdup(r->arena, asked), *one;
    json_t *out = json_array();

    while ((one = strsep(&copy, ","))) {
        if (!*one || !tiktok_scope_word(known, one)) {
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, json_pack("{s:s}", "value", one));
    }
    return out;
}

/* Redirect with the words of 3.2 "flat: error, error_description, log_id" (Login Kit's list; that this
 * flavour uses them too is [assumed]). */
static void page_error(struct sb_req *r, const char *error, const char *text)
{
    sb_redirect(r, sb_query(r, "redirect_uri"), "error", error, "error_description", text, "state",
                sb_query(r, "state"), NULL);
}

static bool agreed_before(struct sb_req *r, const char *app)
{
    const char *value;
    json_t *t;

    json_object_foreach(sb_table(r, "tokens"), value,
                        t) if (sb_same(gd_json_text(t, "kind", NULL), "creator_refresh") &&
                               sb_same(gd_json_text(t, "app", NULL), app) &&
                               sb_token_state(r, t) == SB_LIVE) return true;
    return false;
}

/* 3.1 "client_key=<APP_ID>"; 0.4 "bounced without a code when `disable_auto_auth` is missing": only by
 * option. */
static void creator_ask(struct sb_req *r, const json_t *app, const char *id, const char *known,
                        const char *purpose)
{
    const char *type = sb_query(r, "response_type"), *auto_auth = sb_query(r, "disable_auto_auth");
    json_t *scopes;

    if (!sb_same(type, "code")) {
        page_error(r, "unsupported_response_type", "response_type must be code");
        return;
    }
    if (sb_option_bool(r, "bounce_without_code") && !sb_same(auto_auth, "1") && agreed_before(r, id)) {
        sb_redirect(r, sb_query(r, "redirect_uri"), "state", sb_query(r, "state"), NULL);
        return;
    }
    scopes = scopes_offered(r, sb_query(r, "scope") ? sb_query(r, "scope") : "", known);
    if (!scopes) {
        page_error(r, "invalid_scope", "a scope is unknown, or the app does not have it");
        return;
    }
    sb_consent(r, json_pack("{s:s, s:s, s:O, s:s, s:s, s:o, s:o, s:s, s:s?}", "purpose", purpose, "title",
                            "TikTok: authorise an app", "app", json_object_get(app, "name"), "text",
                            "asks for access to a TikTok account.", "redirect_uri",
                            sb_query(r, "redirect_uri"), "who", creators_offered(r), "scopes", scopes,
                            "app_id", id, "state", sb_query(r, "state")));
}

/* 3.1 "client_key here is the Business app id"; 3.2 "| authorise |"; the page of an unknown app is [assumed].
 */
static void creator_page(struct sb_req *r)
{
    const char *key = sb_query(r, "client_key");
    const json_t *app = sb_find(sb_list(r, "apps"), "app_id", key);
    bool kit = !app;

    if (kit)
        app = sb_find(sb_list(r, "login_kit_apps"), "client_key", key);
    if (!app || !redirect_allowed(r, app, sb_query(r, "redirect_uri")))
        sb_page(r, 400, "Something went wrong", app ? "redirect_uri" : "client_key");
    else if (kit)
        creator_ask(r, app, key, gd_json_text(app, "scopes", ""), "login_kit");
    else
        creator_ask(r, app, key, gd_json_text(app, "creator_scopes", ""), "creator");
}

static const char *comma_list(struct sb_req *r, const json_t *words)
{
    const char *out = "";
    size_t i;
    json_t *one;

    json_array_foreach(words, i, one) out =
        sb_strf(r, "%s%s%s", out, *out ? "," : "", json_string_value(one));
    return out;
}

/* 3.1 "C can hold `*` and `!` in percent form"; what a denial is says the same line. */
static void creator_consent(struct sb_req *r, const struct sb_choice *c, const char *kind)
{
    const char *uri = gd_json_text(c->page, "redirect_uri", ""),
               *state = gd_json_text(c->page, "state", NULL);
    const char *code, *scope = comma_list(r, c->scopes);

    if (!c->approved) {
        sb_redirect(r, uri, "error", "access_denied", "error_description", "The user denied the request",
                    "state", state, NULL);
        return;
    }
    code = sb_strf(r, "%s*0!5", sb_make(r, "creator_code", "cc_", 24));
    sb_token_add(r, kind, code, CODE_CREATOR,
                 json_pack("{s:O, s:s, s:s, s:s}", "app", json_object_get(c->page, "app_id"), "open_id",
                           c->who, "scope", scope, "redirect_uri", uri));
    sb_redirect(r, uri, "code", code, "scopes", scope, "state", state, NULL);
}

/* ---- the QR code of a Business Center ---- */

/* The page behind the code: 5.9 "creator scans in the TikTok app, ticks permissions"; its life is open (11).
 */
static void qr_page(struct sb_req *r)
{
    const char *ticket = sb_query(r, "t");
    const json_t *t = sb_token(r, "bc_qr", ticket);
    json_t *roles;

    if (sb_token_state(r, t) != SB_LIVE) {
        sb_page(r, 404, "This code is not valid", "Ask the business for another one.");
        return;
    }
    roles = json_pack("[{s:s, s:s}]", "value", "POST", "label", "Existing posts");
    sb_consent(r, json_pack("{s:s, s:s, s:O, s:s, s:O, s:o, s:o}", "purpose", "bc_qr", "title",
                            "TikTok: join a Business Center", "app",
                            json_object_get(tiktok_bc(r, gd_json_text(t, "bc_id", "")), "name"), "text",
                            "asks to use your account in ads.", "bc_id", json_object_get(t, "bc_id"), "who",
                            creators_offered(r), "scopes", roles));
}

static void qr_consent(struct sb_req *r, const struct sb_choice *c)
{
    const char *bc = gd_json_text(c->page, "bc_id", "");
    bool joined = c->approved && c->who && tiktok_tt_room(r, bc);

    if (joined)
        tiktok_tt_asset_new(r, bc, tiktok_creator(r, c->who));
    sb_page(r, 200, joined ? "Joined" : "Not joined", "You can close this page.");
}

void tiktok_consent(struct sb_req *r, const struct sb_choice *c)
{
    const char *purpose = gd_json_text(c->page, "purpose", "");

    if (strcmp(purpose, "advertiser") == 0)
        advertiser_consent(r, c);
    else if (strcmp(purpose, "creator") == 0)
        creator_consent(r, c, "creator_code");
    else if (strcmp(purpose, "login_kit") == 0)
        creator_consent(r, c, "login_code");
    else
        qr_consent(r, c);
}

/* ---- Login Kit (3.2) ---- */

/* 3.2 "flat: error, error_description, log_id"; the HTTP status is open (12): 400 [assumed]. */
static void kit_fail(struct sb_req *r, const char *error, const char *text)
{
    sb_json(r, 400,
            json_pack("{s:s, s:s, s:s}", "error", error, "error_description", text, "log_id",
                      sb_make(r, "request_id", sb_time(r, sb_now(r), "%Y%m%d%H%M%S"), 20)));
}

/* 3.2 "| token |" (form-urlencoded, client_key, client_secret) and "| error |" (their words). */
static const json_t *kit_app(struct sb_req *r)
{
    const struct sb_params *form = sb_form(r);
    const json_t *app;

    if (!sb_has_type(r, "application/x-www-form-urlencoded")) {
        kit_fail(r, "invalid_request", "Only application/x-www-form-urlencoded is supported");
        return NULL;
    }
    app = sb_find(sb_list(r, "login_kit_apps"), "client_key", sb_param(form, "client_key"));
    if (app && sb_same(gd_json_text(app, "client_secret", NULL), sb_param(form, "client_secret")))
        return app;
    kit_fail(r, "invalid_client", "Client key or secret is incorrect.");
    return NULL;
}

/* 3.2 "| lifetimes |": by the pages of November 2026 access 2 h, refresh 180 d, rotating; before, 24 h and
 * 365 d. */
static void kit_answer(struct sb_req *r, const json_t *from, const char *refresh)
{
    bool newer = sb_option_bool(r, "login_kit_2026");
    int64_t lives = newer ? 7200 : TT_DAY, refresh_lives = (newer ? 180 : 365) * (int64_t)TT_DAY;
    const char *access = sb_make(r, "kit_token", "act.", 40);
    json_t *fields = json_pack("{s:O, s:O, s:O}", "app", json_object_get(from, "app"), "open_id",
                               json_object_get(from, "open_id"), "scope", json_object_get(from, "scope"));

    if (!refresh) {
        refresh = sb_make(r, "kit_refresh", "rft.", 40);
        sb_token_add(r, "login_refresh", refresh, refresh_lives, json_deep_copy(fields));
    }
    sb_token_add(r, "login", access, lives, fields);
    sb_json(r, 200,
            json_pack("{s:O, s:O, s:s, s:I, s:s, s:I, s:s}", "open_id", json_object_get(from, "open_id"),
                      "scope", json_object_get(from, "scope"), "access_token", access, "expires_in",
                      (json_int_t)lives, "refresh_token", refresh, "refresh_expires_in",
                      (json_int_t)(gd_json_i64(sb_token(r, NULL, refresh), "expires", 0) - sb_now(r)),
                      "token_type", "Bearer"));
}

/* 3.2 "| token |", "| refresh |" and "| error |" */
static void kit_token(struct sb_req *r)
{
    const json_t *app = kit_app(r);
    const struct sb_params *form = sb_form(r);
    const char *type = sb_param(form, "grant_type"), *value;
    bool refreshing = sb_same(type, "refresh_token");
    json_t *t;

    if (!app)
        return;
    if (!refreshing && !sb_same(type, "authorization_code")) {
        kit_fail(r, "unsupported_grant_type", "grant_type must be authorization_code or refresh_token");
        return;
    }
    value = sb_param(form, refreshing ? "refresh_token" : "code");
    t = sb_token(r, refreshing ? "login_refresh" : "login_code", value);
    if (sb_token_state(r, t) != SB_LIVE ||
        !sb_same(gd_json_text(t, "app", ""), gd_json_text(app, "client_key", "")) ||
        (!refreshing && !sb_same(gd_json_text(t, "redirect_uri", ""), sb_param(form, "redirect_uri")))) {
        kit_fail(r, "invalid_grant",
                 refreshing ? "Refresh token is invalid or expired." : "Authorization code is expired.");
        return;
    }
    if (!refreshing || sb_option_bool(r, "login_kit_2026")) {
        sb_token_end(t, SB_USED);
        value = NULL;
    }
    kit_answer(r, t, value);
}

static void kit_revoke(struct sb_req *r)
{
    json_t *t;

    if (!kit_app(r))
        return;
    t = sb_token(r, "login", sb_param(sb_form(r), "token"));
    if (t) {
        sb_tokens_end(r, "login_refresh", "open_id", gd_json_text(t, "open_id", ""), SB_REVOKED);
        sb_token_end(t, SB_REVOKED);
    }
    sb_empty(r, 200); /* 3.2 "| revoke |" */
}

const struct sb_route tiktok_page_routes[] = {
    { "GET", "business-api.tiktok.com", "/portal/auth", advertiser_page },
    { "GET", "ads.tiktok.com", "/marketing_api/auth", advertiser_page },
    { "GET", "www.tiktok.com", "/v2/auth/authorize", creator_page },
    { "GET", "www.tiktok.com", "/v2/auth/authorize/", creator_page }, /* 1.1 "trailing slash in LK docs" */
    { "GET", "www.tiktok.com", "/bc-link", qr_page },
    { "POST", "open.tiktokapis.com", "/v2/oauth/token/", kit_token },
    { "POST", "open.tiktokapis.com", "/v2/oauth/revoke/", kit_revoke },
    { 0 },
};
