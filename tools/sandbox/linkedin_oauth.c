/* linkedin_oauth.c - authorisation, tokens, introspection and revoking of the stand-in for LinkedIn
 * (linkedin_shopify_oauth2.md 1.2). */
#include "linkedin_int.h"
#include "apps.h"

#include <stdlib.h>
#include <string.h>

#define ACCESS_LIVES  5184000  /* 1.2 "`expires_in` (5184000 = 60 days; 5183999 observed)" */
#define REFRESH_LIVES 31536059 /* 1.2 "31536059 observed live" */
#define CODE_LIVES    1800     /* 1.2 "Code lifetime 30 minutes, one use" */

/* ---- authorise ---- */

/* 1.2 "is shown by LinkedIn itself as a 401 page; no redirect happens" and "`redirect_uri` must equal a
 * registered one" */
static const char *page_wrong(struct sb_req *r, const json_t *app)
{
    const char *back = sb_query(r, "redirect_uri");
    char *bare;

    if (!app)
        return "The passed in client_id is invalid";
    if (!back || strchr(back, '#'))
        return "The redirect_uri does not match the registered value";
    bare = sb_strf(r, "%.*s", (int)strcspn(back, "?"), back);
    if (!sb_app_redirect(app, back) && !sb_app_redirect(app, bare))
        return "The redirect_uri does not match the registered value";
    if (!sb_same(sb_query(r, "response_type"), "code"))
        return "The response_type must be code";
    return sb_query(r, "scope") ? NULL : "The scope is missing";
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The scopes in order, as the token answer lists them. A new reference. */
static json_t *sorted(struct sb_req *r, const json_t *scopes)
{
    size_t n = json_array_size(scopes);
    const char **names = gd_arena_alloc(r->arena, (n + 1) * sizeof *names);
    json_t *out = json_array();

    for (size_t i = 0; i < n; i++)
        names[i] = json_string_value(json_array_get(scopes, i));
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        if (!i || strcmp(names[i], names[i - 1]) != 0)
            json_array_append_new(out, json_string(names[i]));
    return out;
}

static json_t *members(struct sb_req *r)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(sb_list(r, "members"), i, one)
    {
        json_array_append_new(out, json_pack("{s:O,s:s}", "value", json_object_get(one, "id"), "label",
                                             sb_strf(r, "%s %s", gd_json_text(one, "first", ""),
                                                     gd_json_text(one, "last", ""))));
    }
    return out;
}

/* The first scope that the app has no product for; NULL when it has all. */
static const char *unauthorized_scope(const json_t *app, const json_t *scopes)
{
    const json_t *one;
    size_t i;

    json_array_foreach(scopes, i, one)
    {
        if (!sb_has_text(json_object_get(app, "scopes"), json_string_value(one)))
            return json_string_value(one);
    }
    return NULL;
}

static const char *granted(struct sb_req *r, const char *app, const char *member)
{
    return gd_json_text(sb_table(r, "granted"), sb_strf(r, "%s %s", app, member), NULL);
}

/* 1.2 "With an existing grant for the same scopes the consent screen is skipped"; the option logged_in says
 * whose browser it is. */
static bool skips(struct sb_req *r, const json_t *page)
{
    const char *who = sb_option_text(r, "logged_in");
    const char *before = granted(r, gd_json_text(page, "client", ""), who);
    struct sb_choice c = { .approved = true, .who = who, .page = page };

    if (!*who || !before || !sb_same(before, sb_join(r, json_object_get(page, "asked"), " ")))
        return false;
    linkedin_consent(r, &c);
    return true;
}

static void authorize(struct sb_req *r)
{
    json_t *app = sb_find(sb_list(r, "apps"), "id", sb_query(r, "client_id")), *scopes, *page;
    const char *wrong = page_wrong(r, app), *missing, *state = sb_query(r, "state");

    if (wrong) {
        sb_page(r, 401, "Bummer, something went wrong.", wrong);
        return;
    }
    scopes = sb_words(sb_query(r, "scope"), " ,");
    missing = unauthorized_scope(app, scopes);
    if (missing) { /* 0.1 "`unauthorized_scope_error` does reach callbacks, with HTML-escaped text" */
        sb_redirect_form(r, sb_query(r, "redirect_uri"), "error", "unauthorized_scope_error",
                         "error_description",
                         sb_strf(r, "Scope &quot;%s&quot; is not authorized for your application", missing),
                         "state", state, NULL);
        json_decref(scopes);
        return;
    }
    page = json_pack("{s:s,s:O,s:s,s:o,s:O,s:s,s:o}", "title", "Sign in with LinkedIn", "app",
                     json_object_get(app, "name"), "text",
                     sb_strf(r, "would like to: %s. All of it, or nothing.", sb_join(r, scopes, ", ")), "who",
                     members(r), "client", json_object_get(app, "id"), "redirect_uri",
                     sb_query(r, "redirect_uri"), "asked", sorted(r, scopes));
    if (state)
        json_object_set_new(page, "state", json_string(state));
    json_decref(scopes);
    if (skips(r, page))
        json_decref(page);
    else
        sb_consent(r, page);
}

size_t linkedin_end_tokens(struct sb_req *r, const char *member, const char *app, bool refresh)
{
    const char *value;
    json_t *token;
    size_t n = 0;

    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (!sb_same(gd_json_text(token, "member", NULL), member) ||
            !sb_same(gd_json_text(token, "app", NULL), app) ||
            (!refresh && !sb_same(gd_json_text(token, "kind", NULL), "access")) ||
            sb_token_state(r, token) != SB_LIVE)
            continue;
        sb_token_end(token, SB_REVOKED);
        n++;
    }
    return n;
}

/* 1.2 "**Scope trap**" */
static void remember(struct sb_req *r, const char *app, const char *member, const json_t *scopes)
{
    const char *before = granted(r, app, member), *now = sb_join(r, scopes, " ");

    if (before && strcmp(before, now) != 0)
        linkedin_end_tokens(r, member, app, false);
    json_object_set_new(sb_table(r, "granted"), sb_strf(r, "%s %s", app, member), json_string(now));
}

/* 1.2 "All-or-nothing consent" */
void linkedin_consent(struct sb_req *r, const struct sb_choice *c)
{
    const char *back = gd_json_text(c->page, "redirect_uri", ""),
               *state = gd_json_text(c->page, "state", NULL);
    const char *app = gd_json_text(c->page, "client", ""), *code;
    json_t *scopes = json_object_get(c->page, "asked");

    if (!c->approved) {
        sb_redirect_form(r, back, "error", sb_option_text(r, "cancel_word"), "error_description",
                         "The user cancelled the authorization", "state", state, NULL);
        return;
    }
    remember(r, app, c->who, scopes);
    code = sb_make(r, "code", "AQT", 60);
    sb_token_add(r, "code", code, CODE_LIVES,
                 json_pack("{s:s,s:s,s:O,s:s,s:I}", "app", app, "member", c->who, "scopes", scopes,
                           "redirect_uri", back, "authorized", (json_int_t)sb_now(r)));
    sb_redirect(r, back, "code", code, "state", state, NULL);
}

/* ---- tokens ---- */

/* 1.2 "| 400 | invalid_request, required parameter missing" */
static bool form_has(struct sb_req *r, const struct sb_params *form, const char *name)
{
    if (sb_param(form, name) && *sb_param(form, name))
        return true;
    sb_oauth_error(r, 400, "invalid_request", sb_strf(r, "A required parameter \"%s\" is missing", name));
    return false;
}

/* 1.2 "credentials in the body" and "| 401 | invalid_client_id / client authentication failed |" */
static json_t *client_of(struct sb_req *r, const struct sb_params *form)
{
    json_t *app;

    if (!form_has(r, form, "client_id") || !form_has(r, form, "client_secret"))
        return NULL;
    app = sb_find(sb_list(r, "apps"), "id", sb_param(form, "client_id"));
    if (app && sb_same(gd_json_text(app, "secret", NULL), sb_param(form, "client_secret")))
        return app;
    sb_oauth_error(r, 401, "invalid_client_id", "Client authentication failed");
    return NULL;
}

/* 1.2 "`expires_in` may be a JSON string in some LinkedIn answers" */
static json_t *seconds(struct sb_req *r, int64_t n)
{
    return sb_option_bool(r, "string_numbers") ? json_string(sb_strf(r, "%lld", (long long)n))
                                               : json_integer(n);
}

/* An access token of that many seconds for what grant holds, in an answer. */
static json_t *answer_of(struct sb_req *r, const json_t *grant, int64_t lives)
{
    const char *value = sb_make(r, "token", "AQX", 480); /* 1.2 "Tokens are about 500 characters" */
    json_t *scopes = json_object_get(grant, "scopes");
    json_t *fields = json_pack("{s:O,s:O,s:O,s:O}", "app", json_object_get(grant, "app"), "member",
                               json_object_get(grant, "member"), "scopes", scopes, "authorized",
                               json_object_get(grant, "authorized"));

    sb_token_add(r, "access", value, lives, fields);
    return json_pack("{s:s,s:o,s:s}", "access_token", value, "expires_in", seconds(r, lives), "scope",
                     sb_join(r, scopes, ","));
}

/* 1.2 "| 401 | invalid_request, code" and "| 400 | invalid_redirect_uri"; 0.1 "A mismatched or expired code
 * is mostly `invalid_request` live". */
static void exchange(struct sb_req *r, const struct sb_params *form, const json_t *app)
{
    json_t *code = sb_token(r, "code", sb_param(form, "code")), *answer, *copy;
    enum sb_token_state state = sb_token_state(r, code);
    const char *refresh;

    if (state != SB_LIVE && state != SB_EXPIRED) {
        sb_oauth_error(r, 401, "invalid_request",
                       "Unable to retrieve access token: authorization code not found");
        return;
    }
    if (state == SB_EXPIRED ||
        !sb_same(gd_json_text(code, "redirect_uri", NULL), sb_param(form, "redirect_uri")) ||
        !sb_same(gd_json_text(code, "app", NULL), gd_json_text(app, "id", NULL))) {
        sb_oauth_error(
            r, 400, sb_option_text(r, "mismatch_word"),
            "Unable to retrieve access token: appid/redirect uri/code verifier does not match authorization "
            "code. Or authorization code expired. Or external member binding exists");
        return;
    }
    sb_token_end(code, SB_USED);
    answer = answer_of(r, code, ACCESS_LIVES - 1); /* 1.2 "5183999 observed" */
    if (gd_json_bool(app, "refresh", true)) {
        refresh = sb_make(r, "refresh", "AQW", 480);
        copy = json_deep_copy(code);
        json_object_del(copy, "redirect_uri");
        sb_token_add(r, "refresh", refresh, REFRESH_LIVES, copy);
        json_object_set_new(answer, "refresh_token", json_string(refresh));
        json_object_set_new(answer, "refresh_token_expires_in", seconds(r, REFRESH_LIVES));
    }
    sb_json(r, 200, answer);
}

/* 1.2 "refreshing renews the access token only" (both end together) and "Dead refresh token: **HTTP 400
 * `invalid_request`**" */
static void refresh(struct sb_req *r, const struct sb_params *form, const json_t *app)
{
    json_t *token = sb_token(r, "refresh", sb_param(form, "refresh_token")), *answer;
    int64_t left = gd_json_i64(token, "expires", 0) - sb_now(r);

    if (sb_token_state(r, token) != SB_LIVE || !gd_json_bool(app, "refresh", true) ||
        !sb_same(gd_json_text(token, "app", NULL), gd_json_text(app, "id", NULL))) {
        sb_oauth_error(r, 400, sb_option_text(r, "dead_refresh_word"),
                       "The provided authorization grant or refresh token is invalid, expired or revoked.");
        return;
    }
    answer = answer_of(r, token, left < ACCESS_LIVES ? left : ACCESS_LIVES);
    json_object_set_new(answer, "refresh_token", json_string(sb_param(form, "refresh_token")));
    json_object_set_new(answer, "refresh_token_expires_in", seconds(r, left));
    if (sb_option_bool(r, "refresh_without_scope")) /* 0.1 "refresh answer type has no `scope`" */
        json_object_del(answer, "scope");
    sb_json(r, 200, answer);
}

/* 1.2 "`application/x-www-form-urlencoded`, credentials in the body" and "| 400 | invalid_request, required
 * parameter missing" */
static bool is_form(struct sb_req *r)
{
    if (sb_has_type(r, "application/x-www-form-urlencoded") && !sb_form(r)->bad)
        return true;
    sb_oauth_error(r, 400, "invalid_request", "A required parameter \"grant_type\" is missing");
    return false;
}

/* 1.2 "**Token** `POST https://www.linkedin.com/oauth/v2/accessToken`" and "2-legged (client credentials)
 * does not exist for Marketing APIs": the word is [assumed]. */
static void access_token(struct sb_req *r)
{
    const struct sb_params *form = sb_form(r);
    const char *grant;
    json_t *app;
    bool is_code;

    if (!is_form(r) || !form_has(r, form, "grant_type"))
        return;
    grant = sb_param(form, "grant_type");
    is_code = strcmp(grant, "authorization_code") == 0;
    if (!is_code && strcmp(grant, "refresh_token") != 0) {
        sb_oauth_error(r, 400, "invalid_request", "The grant_type is not supported");
        return;
    }
    if (!form_has(r, form, is_code ? "code" : "refresh_token") ||
        (is_code && !form_has(r, form, "redirect_uri")))
        return;
    app = client_of(r, form);
    if (app && is_code)
        exchange(r, form, app);
    else if (app)
        refresh(r, form, app);
}

/* ---- introspect, revoke, discovery ---- */

static json_t *shown(struct sb_req *r, const json_t *token)
{
    enum sb_token_state state = sb_token_state(r, token);

    return json_pack("{s:b,s:s,s:O,s:O,s:O,s:O,s:s,s:s}", "active", state == SB_LIVE, "status",
                     state == SB_LIVE      ? "active"
                     : state == SB_EXPIRED ? "expired"
                                           : "revoked",
                     "client_id", json_object_get(token, "app"), "created_at",
                     json_object_get(token, "issued"), "authorized_at", json_object_get(token, "authorized"),
                     "expires_at", json_object_get(token, "expires"), "scope",
                     sb_join(r, json_object_get(token, "scopes"), ","), "auth_type", "3L");
}

/* 1.2 "400 bad client id or token, 401 bad secret" and, on the same line, another app's token */
static void introspect(struct sb_req *r)
{
    const struct sb_params *form = sb_form(r);
    json_t *app = sb_find(sb_list(r, "apps"), "id", sb_param(form, "client_id")), *token;

    if (!is_form(r) || !form_has(r, form, "token"))
        return;
    token = sb_token(r, NULL, sb_param(form, "token"));
    if (!app || !token || sb_same(gd_json_text(token, "kind", NULL), "code"))
        sb_oauth_error(r, 400, "invalid_request",
                       app ? "The token is not valid" : "The client_id is not valid");
    else if (!sb_same(gd_json_text(app, "secret", NULL), sb_param(form, "client_secret")))
        sb_oauth_error(r, 401, "invalid_client_id", "Client authentication failed");
    else if (!sb_same(gd_json_text(token, "app", NULL), gd_json_text(app, "id", NULL)))
        sb_json(r, 200, json_pack("{s:b}", "active", 0));
    else
        sb_json(r, 200, shown(r, token));
}

/* 1.2 "**Revoke** `POST https://www.linkedin.com/oauth/v2/revoke`"; 6 "does it kill the sibling token". */
static void revoke(struct sb_req *r)
{
    const struct sb_params *form = sb_form(r);
    json_t *token;

    if (!is_form(r) || !form_has(r, form, "token") || !client_of(r, form))
        return;
    if (!sb_option_bool(r, "revoke_exists")) {
        sb_text(r, 404, "text/html", "<html><head><title>404</title></head></html>");
        return;
    }
    token = sb_token(r, NULL, sb_param(form, "token"));
    if (token && sb_option_bool(r, "revoke_kills_siblings"))
        linkedin_end_tokens(r, gd_json_text(token, "member", ""), gd_json_text(token, "app", ""), true);
    else if (token)
        sb_token_end(token, SB_REVOKED);
    sb_empty(r, 200);
}

/* 1.1 "It does not announce token endpoint auth methods"; 6 "The exact `issuer` string". */
static void discovery(struct sb_req *r)
{
    sb_json(r, 200,
            json_pack("{s:s,s:s,s:s,s:s,s:[s]}", "issuer", "https://www.linkedin.com/oauth",
                      "authorization_endpoint", "https://www.linkedin.com/oauth/v2/authorization",
                      "token_endpoint", "https://www.linkedin.com/oauth/v2/accessToken", "userinfo_endpoint",
                      "https://api.linkedin.com/v2/userinfo", "response_types_supported", "code"));
}

#define WWW "www.linkedin.com"
const struct sb_route linkedin_oauth_routes[] = {
    { "GET", WWW, "/oauth/v2/authorization", authorize },
    { "POST", WWW, "/oauth/v2/accessToken", access_token },
    { "POST", WWW, "/oauth/v2/introspectToken", introspect },
    { "POST", WWW, "/oauth/v2/revoke", revoke },
    { "GET", WWW, "/oauth/.well-known/openid-configuration", discovery },
    { NULL, NULL, NULL, NULL },
};
