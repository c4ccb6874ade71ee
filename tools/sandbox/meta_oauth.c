/* meta_oauth.c - the login dialog, codes, tokens, introspection and revoking of the stand-in for Meta
 * (meta_google.md A2). */
#include "meta_int.h"
#include "apps.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_LIVES   5400    /* A5 "5400" */
#define LONG_LIVES    5183944 /* A2 "about 5 183 944 s (60 days)" */
#define HORIZON_LIVES 7776000 /* 0.1 "the 90-day length of data access" */

/* ---- the dialog ---- */

static void refuse_page(struct sb_req *r, const char *why)
{
    sb_page(r, 400, "Sorry, something went wrong", why);
}

static bool is_business(const json_t *config)
{
    return sb_same(gd_json_text(config, "token", NULL), "system_user");
}

/* A2 "| config_id |" (then no scope) and "| override_default_response_type |": a business integration's
 * configuration needs it, with one for users it was reported to break the dialog. NULL when all is well. */
static const char *config_wrong(struct sb_req *r, const json_t *config, const char *app)
{
    bool overridden = sb_same(sb_query(r, "override_default_response_type"), "true");

    if (!sb_query(r, "config_id"))
        return sb_query(r, "scope") ? NULL : "Neither config_id nor scope was given";
    if (!config || !sb_same(gd_json_text(config, "app", NULL), app))
        return "The configuration does not belong to the app";
    if (sb_query(r, "scope"))
        return "scope and config_id do not go together";
    if (is_business(config) != overridden)
        return overridden ? "override_default_response_type is only for business integrations"
                          : "override_default_response_type=true is missing";
    return NULL;
}

/* A2 "| redirect_uri |" and "| response_type |", A2 "PKCE exists only in the OIDC variant"; A1 "| 191 |";
 * pages instead of answers are [assumed]. */
static const char *dialog_wrong(struct sb_req *r, const json_t *app, const json_t *config)
{
    if (!app)
        return "Invalid App ID: The provided app ID does not look like a valid app ID.";
    if (!sb_app_redirect(app, sb_query(r, "redirect_uri")))
        return "URL blocked: This redirect failed because the redirect URI is not white-listed (191).";
    if (!sb_same(sb_query(r, "response_type"), "code"))
        return "response_type must be code";
    if (sb_query(r, "code_challenge"))
        return "PKCE belongs to the OIDC variant only";
    return config_wrong(r, config, gd_json_text(app, "id", NULL));
}

/* Who can log in: {"value", "label"} of people; of a business integration only administrators. */
static json_t *people(struct sb_req *r, bool business)
{
    json_t *out = json_array(), *person, *role;
    const char *id;
    size_t i;

    json_array_foreach(sb_list(r, "people"), i, person)
    {
        bool admin = false;

        json_object_foreach(json_object_get(person, "businesses"), id, role)
        {
            admin |= sb_same(json_string_value(role), "ADMIN");
        }
        if (admin || !business)
            json_array_append_new(out, json_pack("{s:O,s:O}", "value", json_object_get(person, "id"), "label",
                                                 json_object_get(person, "name")));
    }
    return out;
}

/* The ad accounts and pages of the person's businesses. */
static void add_assets(struct sb_req *r, json_t *out, const char *list, const char *prefix,
                       const json_t *person)
{
    json_t *one;
    size_t i;

    json_array_foreach(sb_list(r, list), i, one)
    {
        const char *business = gd_json_text(one, "business", "");

        if (json_object_get(json_object_get(person, "businesses"), business))
            json_array_append_new(out, json_pack("{s:s,s:O,s:O}", "value",
                                                 sb_strf(r, "%s%s", prefix, gd_json_text(one, "id", "")),
                                                 "label", json_object_get(one, "name"), "who",
                                                 json_object_get(person, "id")));
    }
}

static json_t *assets(struct sb_req *r)
{
    json_t *out = json_array(), *person;
    size_t i;

    json_array_foreach(sb_list(r, "people"), i, person)
    {
        add_assets(r, out, "ad_accounts", "act_", person);
        add_assets(r, out, "pages", "", person);
    }
    return out;
}

/* Classic login: boxes that can be unticked; A2 "All permissions of the configuration must be accepted or
 * none". */
static json_t *scope_boxes(const json_t *scopes)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(scopes, i, one)
    {
        json_array_append_new(out, json_pack("{s:O,s:O}", "value", one, "label", one));
    }
    return out;
}

/* A2 "GET https://www.facebook.com/v25.0/dialog/oauth" */
static void dialog(struct sb_req *r)
{
    json_t *app = sb_find(sb_list(r, "apps"), "id", sb_query(r, "client_id"));
    json_t *config = sb_find(sb_list(r, "configs"), "id", sb_query(r, "config_id"));
    const char *wrong = dialog_wrong(r, app, config), *state = sb_query(r, "state");
    json_t *scopes, *page;

    if (wrong) {
        refuse_page(r, wrong);
        return;
    }
    scopes =
        config ? json_incref(json_object_get(config, "permissions")) : sb_words(sb_query(r, "scope"), ",");
    page = json_pack("{s:s,s:O,s:s,s:o,s:o,s:b,s:O,s:s}", "title", "Facebook Login for Business", "app",
                     json_object_get(app, "name"), "text", "Choose what the app may work with.", "who",
                     people(r, is_business(config)), "assets", assets(r), "multiple", 1, "app_id",
                     json_object_get(app, "id"), "redirect_uri", sb_query(r, "redirect_uri"));
    if (state)
        json_object_set_new(page, "state", json_string(state));
    if (config)
        json_object_set(page, "config", json_object_get(config, "id"));
    else
        json_object_set_new(page, "scopes", scope_boxes(scopes));
    json_object_set_new(page, "asked", scopes);
    sb_consent(r, page);
}

static json_t *granular(const json_t *scopes, const json_t *assets_chosen, const char *business)
{
    json_t *out = json_array(), *scope, *one;
    size_t i, k;

    json_array_foreach(scopes, i, scope)
    {
        const char *name = json_string_value(scope);
        bool of_pages = strncmp(name, "pages_", 6) == 0, of_ads = strncmp(name, "ads_", 4) == 0;
        json_t *targets = json_array();

        json_array_foreach(assets_chosen, k, one)
        {
            const char *id = json_string_value(one);
            bool is_act = strncmp(id, "act_", 4) == 0;

            if ((is_act && of_ads) || (!is_act && of_pages))
                json_array_append_new(targets, json_string(is_act ? id + 4 : id));
        }
        if (business && strcmp(name, "business_management") == 0)
            json_array_append_new(targets, json_string(business));
        if (json_array_size(targets))
            json_array_append_new(out, json_pack("{s:O,s:O}", "scope", scope, "target_ids", targets));
        json_decref(targets);
    }
    return out;
}

/* The business that the person speaks for: the first whose administrator it is. */
static const char *own_business(const json_t *person)
{
    const char *id;
    json_t *role;

    json_object_foreach(json_object_get(person, "businesses"), id, role)
    {
        if (sb_same(json_string_value(role), "ADMIN"))
            return id;
    }
    return NULL;
}

/* A2 "client's business portfolio": a business integration has a system user of its own there. */
static const char *integration_user(struct sb_req *r, const char *business, const char *app)
{
    json_t *found = sb_find2(sb_list(r, "system_users"), "business", business, "app", app);

    if (!found) {
        found = json_pack("{s:s,s:s,s:s,s:s,s:s,s:[s]}", "id", sb_make_digits(r, "system_user", "6155", 10),
                          "name", "Business integration", "role", "EMPLOYEE", "business", business, "app",
                          app, "apps", app);
        json_array_append_new(sb_list(r, "system_users"), found);
    }
    return gd_json_text(found, "id", NULL);
}

/* What a token of this consent will hold. */
static json_t *grant_of(struct sb_req *r, const struct sb_choice *c, const json_t *scopes)
{
    const char *app = gd_json_text(c->page, "app_id", ""), *id;
    json_t *person = sb_find(sb_list(r, "people"), "id", c->who);
    json_t *config = sb_find(sb_list(r, "configs"), "id", gd_json_text(c->page, "config", ""));
    const char *business = own_business(person);
    json_t *out =
        json_pack("{s:s,s:s,s:O,s:o}", "app", app, "type", is_business(config) ? "SYSTEM_USER" : "USER",
                  "scopes", scopes, "granular", granular(scopes, c->assets, business));

    json_object_set_new(out, "granted_by", json_string(c->who));
    if (is_business(config)) {
        id = integration_user(r, business, app);
        json_object_set_new(out, "system_user", json_string(id));
        json_object_set_new(out, "business", json_string(business));
        json_object_set(out, "assets", c->assets);
        json_object_set_new(out, "lives", json_integer(gd_json_i64(config, "days", 0) * 86400));
    } else {
        json_object_set_new(out, "user", json_string(c->who));
        json_object_set_new(out, "data_access", json_integer(sb_now(r) + HORIZON_LIVES));
        json_object_set_new(out, "lives", json_integer(SHORT_LIVES));
    }
    return out;
}

static void remember_permissions(struct sb_req *r, const struct sb_choice *c, const json_t *scopes)
{
    const char *app = gd_json_text(c->page, "app_id", "");
    json_t *list = sb_list(r, "permissions"), *one, *row;
    size_t i;

    json_array_foreach(json_object_get(c->page, "asked"), i, one)
    {
        const char *name = json_string_value(one);

        row = json_pack("{s:s,s:s,s:s,s:s}", "user", c->who, "app", app, "permission", name, "status",
                        sb_has_text(scopes, name) ? "granted" : "declined");
        for (size_t k = json_array_size(list); k-- > 0;) {
            const json_t *old = json_array_get(list, k);

            if (sb_same(gd_json_text(old, "user", NULL), c->who) &&
                sb_same(gd_json_text(old, "app", NULL), app) &&
                sb_same(gd_json_text(old, "permission", NULL), name))
                json_array_remove(list, k);
        }
        json_array_append_new(list, row);
    }
}

/* A2 "browsers may show the fragment" and "Denied: `?error=access_denied" */
void meta_consent(struct sb_req *r, const struct sb_choice *c)
{
    const char *back = gd_json_text(c->page, "redirect_uri", ""),
               *state = gd_json_text(c->page, "state", NULL);
    const char *code, *mark = strchr(back, '?') ? "&" : "?";
    json_t *scopes, *fields;

    if (!c->approved) {
        sb_redirect_form(r, back, "error", "access_denied", "error_code", "200", "error_description",
                         "Permissions error", "error_reason", "user_denied", "state", state, NULL);
        return;
    }
    /* A2 "`email` and `public_profile` come on their own" */
    scopes =
        json_deep_copy(json_object_get(c->page, "config") ? json_object_get(c->page, "asked") : c->scopes);
    if (!sb_has_text(scopes, "public_profile"))
        json_array_append_new(scopes, json_string("public_profile"));
    fields = grant_of(r, c, scopes);
    remember_permissions(r, c, scopes);
    json_decref(scopes);
    json_object_set_new(fields, "redirect_uri", json_string(back));
    code = sb_make(r, "code", "AQD", 60);
    sb_token_add(r, "code", code, sb_option_i64(r, "code_lives"), fields);
    sb_empty(r, 302);
    sb_answer_header(r, "Location", "%s%scode=%s%s%s#_=_", back, mark, sb_percent(r, code),
                     state ? "&state=" : "", state ? sb_percent(r, state) : "");
}

/* ---- tokens ---- */

/* A new access token with what old holds, for that many seconds. Borrowed. */
static const char *new_token(struct sb_req *r, const json_t *old, int64_t lives)
{
    static const char *const kept[] = { "app",      "type",        "scopes",    "granular",
                                        "user",     "system_user", "assets",    "data_access",
                                        "business", "page",        "granted_by" };
    const char *value = sb_make(r, "token", "EAA", 40);
    json_t *fields = json_object();

    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (json_object_get(old, kept[i]))
            json_object_set_new(fields, kept[i], json_deep_copy(json_object_get(old, kept[i])));
    sb_token_add(r, "access", value, lives, fields);
    return value;
}

/* A2 "`expires_in` is absent for never-expiring tokens", and sometimes for short ones. */
static void answer_token(struct sb_req *r, const char *value, int64_t lives)
{
    json_t *out = json_pack("{s:s,s:s}", "access_token", value, "token_type", "bearer");

    if (lives && !(lives == SHORT_LIVES && sb_option_bool(r, "short_without_expiry")))
        json_object_set_new(out, "expires_in", json_integer(lives));
    sb_json(r, 200, out);
}

/* A1 "Token-endpoint failures also set `WWW-Authenticate" and "| 100 (36007 / 36008 / 36009) |" */
static void code_error(struct sb_req *r, int subcode, const char *text)
{
    sb_answer_header(r, "WWW-Authenticate", "OAuth \"Facebook Platform\" \"invalid_code\" \"%s\"", text);
    meta_error(r, 100, subcode, "%s", text);
}

/* A1 "| 100 (36007 / 36008 / 36009) |"; A2 "For BISU the doc's sample omits redirect_uri". */
static void exchange_code(struct sb_req *r, const json_t *app)
{
    json_t *code = sb_token(r, "code", meta_arg(r, "code"));
    const char *back = meta_arg(r, "redirect_uri");
    bool of_business = sb_same(gd_json_text(code, "type", NULL), "SYSTEM_USER");

    if (sb_token_state(r, code) == SB_USED)
        code_error(r, 36009, "code was used before");
    else if (sb_token_state(r, code) != SB_LIVE ||
             !sb_same(gd_json_text(code, "app", NULL), gd_json_text(app, "id", NULL)))
        code_error(r, 36007, "This authorization code has expired or is invalid");
    else if (back ? !sb_same(back, gd_json_text(code, "redirect_uri", NULL)) : !of_business)
        code_error(r, 36008, "Error validating verification code: redirect_uri differs");
    else {
        sb_token_end(code, SB_USED);
        answer_token(r, new_token(r, code, gd_json_i64(code, "lives", 0)), gd_json_i64(code, "lives", 0));
    }
}

/* A2 "refresh = trade the living token for a new one" and "An expired token cannot be exchanged"; another
 * app's: A1
 * "| 190 |". */
static void exchange_token(struct sb_req *r, const json_t *app)
{
    json_t *old = sb_token(r, "access", meta_arg(r, "fb_exchange_token"));
    bool of_system = sb_same(gd_json_text(old, "type", NULL), "SYSTEM_USER");
    bool sixty = sb_same(meta_arg(r, "set_token_expires_in_60_days"), "true");
    int64_t lives = of_system && !sixty ? 0 : LONG_LIVES;

    if (meta_dead_subcode(r, old)) {
        meta_dead_token(r, old);
        return;
    }
    if (!sb_same(gd_json_text(old, "app", NULL), gd_json_text(app, "id", NULL))) {
        meta_error(r, 190, 0, "The access token does not belong to application %s",
                   gd_json_text(app, "id", ""));
        return;
    }
    answer_token(r, new_token(r, old, lives), lives);
}

/* 0.1 "A wrong app secret answers code 1"; an unknown app: A1 "| 101 |". */
static json_t *client_of(struct sb_req *r)
{
    json_t *app = sb_find(sb_list(r, "apps"), "id", meta_arg(r, "client_id"));

    if (!app)
        meta_error(r, 101, 0,
                   "Error validating application. Cannot get application info due to a system error.");
    else if (!sb_same(gd_json_text(app, "secret", NULL), meta_arg(r, "client_secret"))) {
        meta_error(r, 1, 0, "Error validating client secret.");
        app = NULL;
    }
    return app;
}

/* A2 "GET https://graph.facebook.com/v25.0/oauth/access_token"; A1 "| 100 |". */
static void access_token(struct sb_req *r)
{
    const char *grant = meta_arg(r, "grant_type");
    json_t *app = client_of(r);

    if (!app)
        return;
    if (sb_same(grant, "fb_exchange_token"))
        exchange_token(r, app);
    else if (sb_same(grant, "client_credentials"))
        answer_token(r, sb_strf(r, "%s|%s", gd_json_text(app, "id", ""), gd_json_text(app, "secret", "")), 0);
    else if (meta_arg(r, "code") && (!grant || strcmp(grant, "authorization_code") == 0))
        exchange_code(r, app);
    else
        meta_error(r, 100, 0, "Missing required parameter: code");
}

/* ---- looking at tokens, ending them ---- */

static json_t *dead_data(struct sb_req *r, const json_t *token)
{
    int subcode = meta_dead_subcode(r, token);
    json_t *out = json_pack("{s:b,s:{s:i,s:s,s:i},s:[]}", "is_valid", 0, "error", "code", 190, "message",
                            subcode == 463 ? "expired" : "invalid", "subcode", subcode, "scopes");

    if (token) {
        json_object_set(out, "app_id", json_object_get(token, "app"));
        json_object_set(out, "type", json_object_get(token, "type"));
    }
    return out;
}

static json_t *live_data(struct sb_req *r, const json_t *token)
{
    const char *user = gd_json_text(token, "user", gd_json_text(token, "system_user", ""));
    json_t *app = sb_find(sb_list(r, "apps"), "id", gd_json_text(token, "app", ""));

    return json_pack("{s:O,s:O,s:O,s:b,s:O,s:O,s:I,s:O,s:O,s:s}", "app_id", json_object_get(token, "app"),
                     "application", json_object_get(app, "name"), "type", json_object_get(token, "type"),
                     "is_valid", 1, "issued_at", json_object_get(token, "issued"), "expires_at",
                     json_object_get(token, "expires"), "data_access_expires_at",
                     (json_int_t)gd_json_i64(token, "data_access", 0), "scopes",
                     json_object_get(token, "scopes"), "granular_scopes", json_object_get(token, "granular"),
                     "user_id", user);
}

/* A2 "GET /debug_token?input_token={token}": with the app token; A1 "| 100 |"; 200 for dead tokens too
 * [assumed]. A token whose data access has lapsed is still valid here, its data_access_expires_at says so. */
static void debug_token(struct sb_req *r)
{
    struct meta_caller c;
    json_t *token;
    bool alive;

    if (!meta_auth(r, &c))
        return;
    if (c.token || !meta_arg(r, "input_token")) {
        meta_error(r, 100, 0,
                   c.token ? "(#100) You must provide an app access token"
                           : "(#100) The parameter input_token is required");
        return;
    }
    token = sb_token(r, "access", meta_arg(r, "input_token"));
    alive = sb_token_state(r, token) == SB_LIVE;
    sb_json(r, 200, json_pack("{s:o}", "data", alive ? live_data(r, token) : dead_data(r, token)));
}

/* A2 "System-user token: `GET /oauth/revoke": immediate; A1 "| 100 |". */
static void revoke(struct sb_req *r)
{
    json_t *app = client_of(r), *old;
    struct meta_caller c;

    if (!app || !meta_auth(r, &c))
        return;
    old = sb_token(r, "access", meta_arg(r, "revoke_token"));
    if (!old || !sb_same(gd_json_text(old, "app", NULL), gd_json_text(app, "id", NULL))) {
        meta_error(r, 100, 0, "(#100) revoke_token is not a token of this app");
        return;
    }
    sb_token_end(old, SB_REVOKED);
    json_object_set_new(old, "subcode", json_integer(467));
    meta_success(r);
}

/* The person whose permissions these are: A2 "user or app token"; A1 "| 100 (33) |". */
static const char *person_of(struct sb_req *r, struct meta_caller *c)
{
    const char *id = sb_path(r, "id"), *mine = NULL;

    if (!meta_auth(r, c))
        return NULL;
    mine = gd_json_text(c->person, "id", NULL);
    if (!id)
        id = mine;
    if (!id || (mine && strcmp(id, mine) != 0)) {
        meta_error(r, 100, 33, "Unsupported request: no such user, or not yours to see");
        return NULL;
    }
    return id;
}

static void permissions(struct sb_req *r)
{
    struct meta_caller c;
    const char *who = person_of(r, &c);
    json_t *out = json_array(), *row;
    size_t i;

    json_array_foreach(sb_list(r, "permissions"), i, row)
    {
        if (sb_same(gd_json_text(row, "user", NULL), who) &&
            sb_same(gd_json_text(row, "app", NULL), gd_json_text(c.app, "id", NULL)))
            json_array_append_new(out,
                                  json_pack("{s:O,s:O}", "permission", json_object_get(row, "permission"),
                                            "status", json_object_get(row, "status")));
    }
    if (who)
        meta_list(r, out, "permission,status");
    else
        json_decref(out);
}

/* Takes one scope out of every token of that person and app. */
static void drop_scope(struct sb_req *r, const char *who, const char *app, const char *scope)
{
    const char *value;
    json_t *token, *scopes;

    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (!sb_same(gd_json_text(token, "user", NULL), who) ||
            !sb_same(gd_json_text(token, "app", NULL), app))
            continue;
        scopes = json_object_get(token, "scopes");
        for (size_t i = json_array_size(scopes); i-- > 0;)
            if (sb_same(json_string_value(json_array_get(scopes, i)), scope))
                json_array_remove(scopes, i);
    }
}

static void delete_permissions(struct sb_req *r)
{
    struct meta_caller c;
    const char *who = person_of(r, &c), *app = gd_json_text(c.app, "id", ""), *one = sb_path(r, "permission");
    json_t *list = sb_list(r, "permissions"), *row;

    if (!who)
        return;
    for (size_t i = json_array_size(list); i-- > 0;) {
        row = json_array_get(list, i);
        if (!sb_same(gd_json_text(row, "user", NULL), who) || !sb_same(gd_json_text(row, "app", NULL), app) ||
            (one && !sb_same(gd_json_text(row, "permission", NULL), one)))
            continue;
        if (one)
            json_object_set_new(row, "status", json_string("declined"));
        else
            json_array_remove(list, i);
    }
    if (one)
        drop_scope(r, who, app, one);
    else
        meta_end_tokens(r, "user", who, app, 458); /* A1 "| 190 (458) |" */
    meta_success(r);
}

const struct sb_route meta_oauth_routes[] = {
    { "GET", "www.facebook.com", "/{v}/dialog/oauth", dialog },
    { "GET", "graph.facebook.com", "/{v}/oauth/access_token", access_token },
    { "POST", "graph.facebook.com", "/{v}/oauth/access_token", access_token },
    { "GET", "graph.facebook.com", "/{v}/oauth/revoke", revoke },
    { "GET", "graph.facebook.com", "/{v}/debug_token", debug_token },
    { "GET", "graph.facebook.com", "/{v}/me/permissions", permissions },
    { "DELETE", "graph.facebook.com", "/{v}/me/permissions", delete_permissions },
    { "DELETE", "graph.facebook.com", "/{v}/me/permissions/{permission}", delete_permissions },
    { "GET", "graph.facebook.com", "/{v}/{id}/permissions", permissions },
    { "DELETE", "graph.facebook.com", "/{v}/{id}/permissions", delete_permissions },
    { "DELETE", "graph.facebook.com", "/{v}/{id}/permissions/{permission}", delete_permissions },
    { NULL, NULL, NULL, NULL },
};
