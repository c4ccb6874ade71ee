/* google_oauth.c - consent, codes, tokens, tokeninfo and revoke of the stand-in for Google (meta_google.md
 * B2). */
#include "google_int.h"
#include "apps.h"

#include <string.h>

#define ADWORDS       "https://www.googleapis.com/auth/adwords"
#define ACCESS_LIVES  3599
#define TESTING_LIVES 604799        /* B2 "e.g. 604799 in Testing status" */
#define IDLE_MAX      (183 * 86400) /* B2 "unused for six months" */

static const char *const known_scopes[] = { ADWORDS, "openid", "email", "profile" };

/* ---- authorise ---- */

/* B2 "Only one scope exists for the Ads API": and those of identity; the pages' words are [assumed]. */
static const char *scope_wrong(const json_t *scopes)
{
    const json_t *one;
    size_t i, k;

    if (!json_array_size(scopes))
        return "Error 400: invalid_request. Missing required parameter: scope";
    json_array_foreach(scopes, i, one)
    {
        for (k = 0; k < 4 && strcmp(known_scopes[k], json_string_value(one)) != 0; k++)
            ;
        if (k == 4)
            return "Error 400: invalid_scope";
    }
    return NULL;
}

/* B2 "PKCE: verifier 43-128 chars of unreserved set" and, on the same line, the methods. */
static bool challenge_fits(struct sb_req *r)
{
    const char *challenge = sb_query(r, "code_challenge"), *method = sb_query(r, "code_challenge_method");
    size_t n = challenge ? strlen(challenge) : 0;

    if (!challenge)
        return !method;
    if (method && strcmp(method, "S256") != 0 && strcmp(method, "plain") != 0)
        return false;
    return method && strcmp(method, "S256") == 0 ? n == 43 && !strpbrk(challenge, "+/=")
                                                 : n >= 43 && n <= 128;
}

/* B2 "`client_id, redirect_uri (exact match), response_type=code" and "Shown on Google's page or returned as
 * `error`" */
static const char *request_wrong(struct sb_req *r, const json_t *client, const json_t *scopes)
{
    const char *access = sb_query(r, "access_type");

    if (!client)
        return "Error 401: invalid_client. The OAuth client was not found.";
    if (!sb_app_redirect(client, sb_query(r, "redirect_uri")))
        return "Error 400: redirect_uri_mismatch";
    if (!sb_same(sb_query(r, "response_type"), "code"))
        return "Error 400: invalid_request. response_type must be code";
    if (access && strcmp(access, "offline") != 0 && strcmp(access, "online") != 0)
        return "Error 400: invalid_request. Invalid access_type";
    if (!challenge_fits(r))
        return "Error 400: invalid_request. Invalid code_challenge";
    return scope_wrong(scopes);
}

static json_t *people(struct sb_req *r)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(sb_list(r, "people"), i, one)
    {
        json_array_append_new(out, json_pack("{s:O,s:s}", "value", json_object_get(one, "email"), "label",
                                             sb_strf(r, "%s (%s)", gd_json_text(one, "name", ""),
                                                     gd_json_text(one, "email", ""))));
    }
    return out;
}

/* B2 "a person can untick boxes" */
static json_t *boxes(const json_t *scopes)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(scopes, i, one)
    {
        json_array_append_new(out, json_pack("{s:O,s:O}", "value", one, "label", one));
    }
    return out;
}

static void authorize(struct sb_req *r)
{
    static const char *const kept[] = { "state",          "redirect_uri",
                                        "code_challenge", "code_challenge_method",
                                        "access_type",    "prompt" };
    json_t *client = sb_find(sb_list(r, "clients"), "id", sb_query(r, "client_id"));
    json_t *scopes = sb_words(sb_query(r, "scope"), " "), *page;
    const char *wrong = request_wrong(r, client, scopes);

    if (wrong) {
        json_decref(scopes);
        sb_page(r, 400, "Access blocked: authorization error", wrong);
        return;
    }
    page = json_pack("{s:s,s:O,s:s,s:o,s:o,s:O}", "title", "Sign in with Google", "app",
                     json_object_get(client, "name"), "text", "wants access to your Google Account.", "who",
                     people(r), "scopes", boxes(scopes), "client", json_object_get(client, "id"));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (sb_query(r, kept[i]))
            json_object_set_new(page, kept[i], json_string(sb_query(r, kept[i])));
    json_decref(scopes);
    sb_consent(r, page);
}

/* B2 "with only the first, a refresh token comes only at the first consent" */
static bool gives_refresh(struct sb_req *r, const json_t *page, const char *who)
{
    const char *pair = sb_strf(r, "%s %s", gd_json_text(page, "client", ""), who),
               *prompt = gd_json_text(page, "prompt", "");
    json_t *seen = sb_table(r, "consented");
    bool first = !json_is_true(json_object_get(seen, pair));

    json_object_set_new(seen, pair, json_true());
    return sb_same(gd_json_text(page, "access_type", NULL), "offline") &&
           (first || strstr(prompt, "consent"));
}

/* B2 "In Testing status a person outside the test-user list also ends in access_denied" */
static const char *refusal(struct sb_req *r, const struct sb_choice *c)
{
    const json_t *client = sb_find(sb_list(r, "clients"), "id", gd_json_text(c->page, "client", ""));
    const json_t *person = sb_find(sb_list(r, "people"), "email", c->who ? c->who : "");
    const char *policy = sb_option_text(r, "consent_error");

    if (c->approved && *policy)
        return policy;
    if (!c->approved || (gd_json_bool(client, "testing", false) && !gd_json_bool(person, "test_user", true)))
        return "access_denied";
    return NULL;
}

void google_consent(struct sb_req *r, const struct sb_choice *c)
{
    const char *back = gd_json_text(c->page, "redirect_uri", ""),
               *state = gd_json_text(c->page, "state", NULL);
    const char *refused = refusal(r, c), *code, *challenge = gd_json_text(c->page, "code_challenge", NULL);
    json_t *fields;

    if (refused) {
        sb_redirect(r, back, "error", refused, "state", state, NULL);
        return;
    }
    fields =
        json_pack("{s:O,s:s,s:s,s:O,s:b}", "client", json_object_get(c->page, "client"), "user", c->who,
                  "redirect_uri", back, "scopes", c->scopes, "refresh", gives_refresh(r, c->page, c->who));
    json_object_set(fields, "access_type", json_object_get(c->page, "access_type"));
    if (challenge) {
        json_object_set_new(fields, "challenge", json_string(challenge));
        json_object_set_new(fields, "method",
                            json_string(gd_json_text(c->page, "code_challenge_method", "plain")));
    }
    code = sb_make(r, "code", "4/0A", 60);
    sb_token_add(r, "code", code, sb_option_i64(r, "code_lives"), fields);
    sb_redirect(r, back, "state", state, "code", code, "scope", sb_join(r, c->scopes, " "), NULL);
}

/* ---- the token endpoint ---- */

/* B2 "| invalid_client (401), unauthorized_client" */
static json_t *client_of(struct sb_req *r, const struct sb_params *form)
{
    json_t *client = sb_find(sb_list(r, "clients"), "id", sb_param(form, "client_id"));

    if (!client)
        sb_oauth_error(r, 401, "invalid_client", "The OAuth client was not found.");
    else if (!sb_same(gd_json_text(client, "secret", NULL), sb_param(form, "client_secret"))) {
        sb_oauth_error(r, 401, "invalid_client", "Unauthorized");
        client = NULL;
    }
    return client;
}

static json_t *token_answer(struct sb_req *r, const char *client, const char *who, const json_t *scopes,
                            const json_t *access_type)
{
    const char *value = sb_make(r, "token", "ya29.", 80);
    json_t *fields = json_pack("{s:s,s:s,s:O}", "client", client, "user", who, "scopes", scopes);

    if (access_type)
        json_object_set(fields, "access_type", (json_t *)(uintptr_t)access_type);
    sb_token_add(r, "access", value, ACCESS_LIVES, fields);
    return json_pack("{s:s,s:i,s:s,s:s}", "access_token", value, "expires_in", ACCESS_LIVES, "scope",
                     sb_join(r, scopes, " "), "token_type", "Bearer");
}

/* B2 "live refresh tokens per Google account and client id (oldest dies silently)" */
static void limit_refresh(struct sb_req *r, const char *client, const char *who)
{
    json_t *token, *oldest = NULL;
    const char *value;
    int64_t n = 0;

    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (!sb_same(gd_json_text(token, "kind", NULL), "refresh") || sb_token_state(r, token) != SB_LIVE ||
            !sb_same(gd_json_text(token, "client", NULL), client) ||
            !sb_same(gd_json_text(token, "user", NULL), who))
            continue;
        n++;
        if (!oldest || gd_json_i64(token, "number", 0) < gd_json_i64(oldest, "number", 0))
            oldest = token;
    }
    if (n > sb_option_i64(r, "max_per_user"))
        sb_token_end(oldest, SB_REVOKED);
}

static void add_refresh(struct sb_req *r, json_t *answer, const json_t *client, const char *who,
                        const json_t *scopes)
{
    bool testing = gd_json_bool(client, "testing", false);
    const char *value = sb_make(r, "refresh", "1//0g", 60), *id = gd_json_text(client, "id", "");
    int64_t number = gd_json_i64(sb_world(r), "refresh_tokens_made", 0) + 1;
    json_t *fields = json_pack("{s:s,s:s,s:O,s:I,s:I}", "client", id, "user", who, "scopes", scopes, "used",
                               (json_int_t)sb_now(r), "number", (json_int_t)number);

    json_object_set_new(sb_world(r), "refresh_tokens_made", json_integer(number));
    sb_token_add(r, "refresh", value, testing ? TESTING_LIVES : 0, fields);
    json_object_set_new(answer, "refresh_token", json_string(value));
    if (testing)
        json_object_set_new(answer, "refresh_token_expires_in", json_integer(TESTING_LIVES));
    limit_refresh(r, id, who);
}

static bool verifier_fits(struct sb_req *r, const json_t *code, const char *verifier)
{
    const char *challenge = gd_json_text(code, "challenge", NULL);
    size_t n = verifier ? strlen(verifier) : 0;

    if (!challenge)
        return true;
    if (n < 43 || n > 128)
        return false;
    return sb_same(challenge,
                   sb_same(gd_json_text(code, "method", NULL), "S256") ? sb_s256(r, verifier) : verifier);
}

/* B2 "| invalid_grant (" (Bad Request for codes) and "| invalid_client (401), unauthorized_client"
 * (redirect_uri_mismatch) */
static void exchange_code(struct sb_req *r, const struct sb_params *form, const json_t *client)
{
    json_t *code = sb_token(r, "code", sb_param(form, "code")), *answer,
           *scopes = json_object_get(code, "scopes");
    const char *id = gd_json_text(client, "id", ""), *who = gd_json_text(code, "user", "");

    if (sb_token_state(r, code) != SB_LIVE || !sb_same(gd_json_text(code, "client", NULL), id))
        sb_oauth_error(r, 400, "invalid_grant", "Bad Request");
    else if (!sb_same(gd_json_text(code, "redirect_uri", NULL), sb_param(form, "redirect_uri")))
        sb_oauth_error(r, 400, "redirect_uri_mismatch", "Bad Request");
    else if (!verifier_fits(r, code, sb_param(form, "code_verifier")))
        sb_oauth_error(r, 400, "invalid_grant", "Invalid code verifier.");
    else {
        sb_token_end(code, SB_USED);
        answer = token_answer(r, id, who, scopes, json_object_get(code, "access_type"));
        if (gd_json_bool(code, "refresh", false))
            add_refresh(r, answer, client, who, scopes);
        sb_json(r, 200, answer);
    }
}

/* B2 "| invalid_grant (" and "| invalid_client (401), unauthorized_client" */
static void refresh(struct sb_req *r, const struct sb_params *form, const json_t *client)
{
    json_t *token = sb_token(r, "refresh", sb_param(form, "refresh_token")), *answer;
    const char *id = gd_json_text(client, "id", ""), *who = gd_json_text(token, "user", "");

    if (token && !sb_same(gd_json_text(token, "client", NULL), id)) {
        sb_oauth_error(r, 401, "unauthorized_client", "Unauthorized");
        return;
    }
    if (sb_token_state(r, token) != SB_LIVE || sb_now(r) - gd_json_i64(token, "used", 0) > IDLE_MAX) {
        sb_oauth_error(r, 400, "invalid_grant", "Token has been expired or revoked.");
        return;
    }
    json_object_set_new(token, "used", json_integer(sb_now(r)));
    answer = token_answer(r, id, who, json_object_get(token, "scopes"), NULL);
    if (sb_option_bool(r, "rotate_refresh")) /* B2 "if one is present, replace atomically" */
        add_refresh(r, answer, client, who, json_object_get(token, "scopes"));
    sb_json(r, 200, answer);
}

/* B2 "### Token endpoint: `POST https://oauth2.googleapis.com/token`, form encoded" and "| invalid_client
 * (401), unauthorized_client" */
static void token(struct sb_req *r)
{
    const struct sb_params *form = sb_form(r);
    const char *grant = sb_param(form, "grant_type");
    const json_t *client;

    if (!sb_has_type(r, "application/x-www-form-urlencoded") || form->bad) {
        sb_oauth_error(r, 400, "invalid_request", "Could not parse the form");
        return;
    }
    if (!grant || (strcmp(grant, "authorization_code") != 0 && strcmp(grant, "refresh_token") != 0)) {
        sb_oauth_error(r, 400, grant ? "unsupported_grant_type" : "invalid_request",
                       grant ? "Invalid grant_type" : "Required parameter is missing: grant_type");
        return;
    }
    client = client_of(r, form);
    if (!client)
        return;
    if (!sb_param(form, *grant == 'a' ? "code" : "refresh_token"))
        sb_oauth_error(
            r, 400, "invalid_request",
            sb_strf(r, "Missing required parameter: %s", *grant == 'a' ? "code" : "refresh_token"));
    else if (*grant == 'a')
        exchange_code(r, form, client);
    else
        refresh(r, form, client);
}

/* ---- tokeninfo, revoke ---- */

/* 0.1 "asks tokeninfo by POST with Bearer", or by GET with the token in the query. */
static const char *token_shown(struct sb_req *r)
{
    const char *header = sb_header(r, "Authorization");

    if (header && strncmp(header, "Bearer ", 7) == 0)
        return header + 7;
    return sb_query(r, "access_token") ? sb_query(r, "access_token") : sb_param(sb_form(r), "access_token");
}

/* B2 "`GET https://oauth2.googleapis.com/tokeninfo?access_token=..`"; the text is open 17. */
static void tokeninfo(struct sb_req *r)
{
    json_t *found = sb_token(r, "access", token_shown(r)), *out, *scopes = json_object_get(found, "scopes");
    const json_t *person = sb_find(sb_list(r, "people"), "email", gd_json_text(found, "user", ""));
    long long end = (long long)gd_json_i64(found, "expires", 0);

    if (sb_token_state(r, found) != SB_LIVE) {
        sb_oauth_error(r, 400, "invalid_token", "Invalid Value");
        return;
    }
    out = json_pack("{s:O,s:O,s:s,s:s,s:s,s:s}", "azp", json_object_get(found, "client"), "aud",
                    json_object_get(found, "client"), "scope", sb_join(r, scopes, " "), "exp",
                    sb_strf(r, "%lld", end), "expires_in", sb_strf(r, "%lld", end - (long long)sb_now(r)),
                    "access_type", gd_json_text(found, "access_type", "offline"));
    if (sb_has_text(scopes, "openid"))
        json_object_set(out, "sub", json_object_get(person, "sub"));
    if (sb_has_text(scopes, "email")) {
        json_object_set(out, "email", json_object_get(person, "email"));
        json_object_set_new(out, "email_verified", json_string("true"));
    }
    sb_json(r, 200, out);
}

static const char *project_of(struct sb_req *r, const json_t *token_found)
{
    return gd_json_text(sb_find(sb_list(r, "clients"), "id", gd_json_text(token_found, "client", "")),
                        "project", "");
}

size_t google_revoke_all(struct sb_req *r, const char *email, const char *project)
{
    const char *value;
    json_t *one;
    size_t n = 0;

    json_object_foreach(sb_table(r, "tokens"), value, one)
    {
        if (!sb_same(gd_json_text(one, "user", NULL), email) || strcmp(project_of(r, one), project) != 0 ||
            sb_token_state(r, one) != SB_LIVE)
            continue;
        sb_token_end(one, SB_REVOKED);
        n++;
    }
    json_object_foreach(sb_table(r, "consented"), value, one)
    {
        if (strstr(value, email))
            json_object_set_new(sb_table(r, "consented"), value, json_null());
    }
    return n;
}

/* B2 "**Revoking removes every scope that this person gave to the whole Cloud project" and, on the same line,
 * 400 invalid_token; 0.1 "sends the token to revoke in the query of a POST". */
static void revoke(struct sb_req *r)
{
    const char *given = sb_query(r, "token") ? sb_query(r, "token") : sb_param(sb_form(r), "token");
    json_t *found = sb_token(r, NULL, given);

    if (sb_token_state(r, found) != SB_LIVE || sb_same(gd_json_text(found, "kind", NULL), "code")) {
        sb_oauth_error(r, 400, "invalid_token", "Token expired or revoked");
        return;
    }
    google_revoke_all(r, gd_json_text(found, "user", ""), project_of(r, found));
    sb_json(r, 200, json_object());
}

const struct sb_route google_oauth_routes[] = {
    { "GET", "accounts.google.com", "/o/oauth2/v2/auth", authorize },
    { "POST", "oauth2.googleapis.com", "/token", token },
    { "POST", "oauth2.googleapis.com", "/revoke", revoke },
    { "GET", "oauth2.googleapis.com", "/tokeninfo", tokeninfo },
    { "POST", "oauth2.googleapis.com", "/tokeninfo", tokeninfo },
    { NULL, NULL, NULL, NULL },
};
