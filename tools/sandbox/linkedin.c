/* linkedin.c - the stand-in for LinkedIn: versions, errors, who calls; what people do outside of the API,
 * faults and options (linkedin_shopify_oauth2.md 1.1, 1.4, 1.7). */
#include "linkedin_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

bool linkedin_error(struct sb_req *r, int status, const char *word, int number, const char *fmt, ...)
{
    json_t *body = json_pack("{s:i}", "status", status);
    va_list ap;

    va_start(ap, fmt);
    json_object_set_new(body, "message", json_string(gd_arena_vstrf(r->arena, fmt, ap)));
    va_end(ap);
    if (word)
        json_object_set_new(body, "code", json_string(word));
    if (number)
        json_object_set_new(body, "serviceErrorCode", json_integer(number));
    sb_json(r, status, body);
    return false;
}

bool linkedin_invalid(struct sb_req *r, const char *word, const char *field, const char *description)
{
    sb_json(r, 400,
            json_pack("{s:s,s:s,s:i,s:{s:[{s:s,s:s,s:{s:{s:s}}}]}}", "errorDetailType",
                      "com.linkedin.common.error.BadRequest", "message", description, "status", 400,
                      "errorDetails", "inputErrors", "code", word, "description", description, "input",
                      "inputPath", "fieldPath", field));
    return false;
}

/* ---- who calls ---- */

/* 1.7 "App-scoped person ids (hash of member + client_id)"; the world may name one. */
const char *linkedin_person(struct sb_req *r, const json_t *member, const char *app)
{
    const char *named = gd_json_text(json_object_get(member, "person"), app, NULL);
    const char *both = sb_strf(r, "%s %s", gd_json_text(member, "id", ""), app);

    return named ? named : sb_strf(r, "p%.12s", sb_sha256_hex(r, both, strlen(both)));
}

/* 1.1 "| 401 | 65602 `EXPIRED_ACCESS_TOKEN` |", "| 401 | 65601 `REVOKED_ACCESS_TOKEN` |" (also in the first
 * seconds) and "| 401 | 65600", beside which the word is [assumed]. */
static bool token_alive(struct sb_req *r, const json_t *token)
{
    int64_t young = sb_option_i64(r, "revoked_first_seconds");

    switch (sb_token_state(r, token)) {
    case SB_LIVE:
        if (sb_now(r) - gd_json_i64(token, "issued", 0) >= young)
            return true;
        break; /* seen in the first seconds after a token was issued */
    case SB_EXPIRED:
        return linkedin_error(r, 401, "EXPIRED_ACCESS_TOKEN", 65602,
                              "The token used in the request has expired");
    case SB_UNKNOWN:
        return linkedin_error(r, 401, "INVALID_ACCESS_TOKEN", 65600, "Invalid access token");
    default:
        break;
    }
    return linkedin_error(r, 401, "REVOKED_ACCESS_TOKEN", 65601,
                          "The token used in the request has been revoked by the user");
}

/* 1.1 "| 403 | 100 / `ACCESS_DENIED`" */
static bool has_scope(struct sb_req *r, const struct linkedin_caller *c, const char *any_of)
{
    const json_t *scopes = json_object_get(c->token, "scopes");

    while (*any_of) {
        size_t n = strcspn(any_of, " ");

        if (sb_has_text(scopes, sb_strf(r, "%.*s", (int)n, any_of)))
            return true;
        any_of += n + (any_of[n] == ' ');
    }
    return linkedin_error(r, 403, NULL, 100, "Not enough permissions to access: %s %s", r->method, r->path);
}

/* 1.4 "Two daily counters per endpoint"; 1.1 "| 429 | 101 or `TOO_MANY_REQUESTS`". */
static bool within_quota(struct sb_req *r, const struct linkedin_caller *c)
{
    int64_t most = sb_option_i64(r, "daily_limit"), n;
    const char *key = sb_strf(r, "%s %s %s %s", sb_time(r, sb_now(r), "%Y-%m-%d"),
                              gd_json_text(c->member, "id", ""), r->method, r->route->path);

    if (!most)
        return true;
    n = gd_json_i64(sb_table(r, "calls"), key, 0) + 1;
    json_object_set_new(sb_table(r, "calls"), key, json_integer(n));
    return n <= most ||
           linkedin_error(r, 429, NULL, 101,
                          "Resource level throttle limit for calls to this resource is reached.");
}

/* 1.1 "| 401 | 65600", of a missing token */
bool linkedin_auth(struct sb_req *r, struct linkedin_caller *c, const char *any_of)
{
    const char *header = sb_header(r, "Authorization");

    *c = (struct linkedin_caller){ 0 };
    if (!header || strncmp(header, "Bearer ", 7) != 0 || !header[7])
        return linkedin_error(r, 401, NULL, 0, "Empty oauth2_access_token");
    c->token = sb_token(r, "access", header + 7);
    if (!token_alive(r, c->token))
        return false;
    c->app = sb_find(sb_list(r, "apps"), "id", gd_json_text(c->token, "app", ""));
    c->member = sb_find(sb_list(r, "members"), "id", gd_json_text(c->token, "member", ""));
    return has_scope(r, c, any_of) && within_quota(r, c);
}

/* ---- every call ---- */

/* 1.1 "Monthly, supported at least one year, no default". The 16th of its month a year later is [assumed]:
 * the dates known are the 15th and 16th of the months after. */
static bool version_active(struct sb_req *r, const char *version)
{
    int number =
        version[strspn(version, "0123456789")] || strlen(version) != 6 ? 0 : (int)strtol(version, NULL, 10);
    int oldest = (int)strtol(sb_option_text(r, "oldest_version"), NULL, 10);
    int newest = (int)strtol(sb_option_text(r, "newest_version"), NULL, 10);
    int today = (int)strtol(sb_time(r, sb_now(r) - 15 * 86400, "%Y%m"), NULL, 10);

    if (number < oldest || number > newest || number % 100 < 1 || number % 100 > 12)
        return false;
    return !sb_option_bool(r, "versions_age") || number + 100 > today;
}

/* 1.7 "Wrong/missing version → 400/426 before the token check"; 1.1 "| 400 | `VERSION_MISSING` |", "| 426 |
 * `NONEXISTENT_VERSION` |" and "| 411 |". */
static bool before(struct sb_req *r)
{
    const char *version = sb_header(r, "LinkedIn-Version");

    if (strcmp(r->host, "api.linkedin.com") != 0)
        return true;
    sb_answer_header(r, "x-li-uuid", "%s", sb_make(r, "uuid", "AAY", 20));
    sb_answer_header(r, "x-li-fabric", "sandbox");
    if (strcmp(r->method, "POST") == 0 && !r->body_len && !sb_header(r, "Content-Length"))
        return linkedin_error(r, 411, NULL, 0, "A Content-Length is needed");
    if (strncmp(r->path, "/rest/", 6) != 0)
        return true;
    if (!version)
        return linkedin_error(r, 400, "VERSION_MISSING", 0,
                              "A version must be present. Please specify a version by adding "
                              "the LinkedIn-Version header.");
    return version_active(r, version) ||
           linkedin_error(r, 426, "NONEXISTENT_VERSION", 0, "Requested version %s01 is not active", version);
}

/* What an unknown path or method answers is [assumed]. */
static void missing(struct sb_req *r, bool wrong_method)
{
    if (strcmp(r->host, "www.linkedin.com") == 0)
        sb_text(r, 404, "text/html", "<html><head><title>404</title></head></html>");
    else
        linkedin_error(r, wrong_method ? 405 : 404, NULL, 0, "No virtual resource found");
}

/* ---- what happens outside of the API ---- */

/* 1.2 "the member removes the app under Settings" */
static const char *remove_app(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *member = gd_json_text(args, "member", ""), *app = gd_json_text(args, "app", "86demo1client");
    size_t n = linkedin_end_tokens(r, member, app, true);

    json_object_del(sb_table(r, "granted"), sb_strf(r, "%s %s", app, member));
    *ret = json_pack("{s:I}", "tokens", (json_int_t)n);
    return n ? NULL : "this member has no living tokens of this app";
}

/* 1.6 "| client adds agency member in Campaign Manager" and "| Business Manager partnership" */
static const char *set_role(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *account = gd_json_text(args, "account", ""), *member = gd_json_text(args, "member", "");
    const char *role = gd_json_text(args, "role", "");
    json_t *row = sb_find2(sb_list(r, "users"), "account", account, "member", member);

    (void)ret;
    if (!sb_find(sb_list(r, "accounts"), "id", account) || !sb_find(sb_list(r, "members"), "id", member))
        return "account and member are needed, and must exist; role \"\" removes";
    if (!*role)
        return sb_remove(sb_list(r, "users"), "account", account, "member", member) ? NULL
                                                                                    : "has no role there";
    if (!row) {
        row = json_pack("{s:s,s:s,s:I,s:i}", "account", account, "member", member, "created",
                        (json_int_t)sb_now(r) * 1000, "version", 1);
        json_array_append_new(sb_list(r, "users"), row);
    }
    json_object_set_new(row, "role", json_string(role));
    json_object_set_new(row, "modified", json_integer((json_int_t)sb_now(r) * 1000));
    return NULL;
}

static const char *set_account(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *account = sb_find(sb_list(r, "accounts"), "id", gd_json_text(args, "account", ""));
    const json_t *managed = json_object_get(args, "business_manager");

    (void)ret;
    if (!account)
        return "account is needed, and must exist";
    if (gd_json_text(args, "status", NULL))
        json_object_set_new(account, "status", json_string(gd_json_text(args, "status", "")));
    if (managed)
        json_object_set_new(account, "business_manager", json_boolean(json_is_true(managed)));
    return NULL;
}

static const struct sb_act acts[] = {
    { "remove_app", "{member[, app]}: the member removes the app under Permitted services", remove_app },
    { "set_role", "{account, member, role}: in Campaign Manager; role \"\" removes", set_role },
    { "set_account", "{account[, status, business_manager]}: its status; claimed by a Business Manager",
      set_account },
    { 0 },
};

/* ---- faults and options ---- */

/* 1.1 "| 429 | 101 or `TOO_MANY_REQUESTS`" */
static void throttle(struct sb_req *r, const json_t *f)
{
    if (gd_json_text(f, "retry_after", NULL)) /* 1.4 "No Retry-After is documented" */
        sb_answer_header(r, "Retry-After", "%s", gd_json_text(f, "retry_after", ""));
    linkedin_error(r, 429, gd_json_bool(f, "word", false) ? "TOO_MANY_REQUESTS" : NULL, 101,
                   "Resource level throttle limit for calls to this resource is reached.");
}

/* Any row of 1.1 "| HTTP | word / number | when | class |". */
static void error(struct sb_req *r, const json_t *f)
{
    linkedin_error(r, (int)gd_json_i64(f, "status", 500), gd_json_text(f, "code", NULL),
                   (int)gd_json_i64(f, "serviceErrorCode", 0), "%s",
                   gd_json_text(f, "message", "Internal server error"));
}

static const struct sb_fault_kind faults[] = {
    { "throttle", "{word, retry_after}: 429; word true says TOO_MANY_REQUESTS too", throttle },
    { "error", "{status, code, serviceErrorCode, message}: any row of the table", error },
    { "partial", "one account among several is refused: 403 for the change of its users", NULL },
    { "role_downgrade", "a member gets VIEWER whatever was asked", NULL },
    { 0 },
};

static const struct sb_option options[] = {
    { "auto_consent", "\"\"", "\"approve\" or \"deny\": pages decide by themselves" },
    { "auto_who", "\"\"", "who signs in then" },
    { "auto_assets", "\"\"", "not used here" },
    { "logged_in", "\"\"", "the member whose browser it is: no page for scopes granted before" },
    { "cancel_word", "\"user_cancelled_authorize\"", "or user_cancelled_login" },
    { "mismatch_word", "\"invalid_request\"",
      "or invalid_redirect_uri: codes that do not match, or are too old" },
    { "dead_refresh_word", "\"invalid_request\"", "or invalid_grant" },
    { "string_numbers", "false", "expires_in comes as a text" },
    { "refresh_without_scope", "false", "answers to refreshes lack scope" },
    { "revoke_exists", "true", "/oauth/v2/revoke, which is undocumented" },
    { "revoke_kills_siblings", "false", "revoking one token ends all of the member (open question)" },
    { "revoked_first_seconds", "0", "tokens answer 65601 for so long after they were issued" },
    { "equals_keys", "false", "keys in the old spelling, (account=...,user=...), are taken too" },
    { "put_status", "201", "of PUT: 201, 204, or 200 with the record (open question)" },
    { "self_delete", "false", "a member may delete its own role (open question)" },
    { "daily_limit", "0", "calls a day per endpoint and member; 0: no limit" },
    { "oldest_version", "\"202601\"", "older ones are retired" },
    { "newest_version", "\"202609\"", "newer ones do not exist" },
    { "versions_age", "false", "versions retire a year after their month, by the sandbox's clock" },
    { 0 },
};

static const char *const origins[] = { "https://www.linkedin.com", "https://api.linkedin.com", NULL };

const struct sb_platform sb_linkedin = {
    .name = "linkedin",
    .origins = origins,
    .routes = { linkedin_oauth_routes, linkedin_ads_routes },
    .before = before,
    .missing = missing,
    .consent = linkedin_consent,
    .acts = acts,
    .faults = faults,
    .options = options,
};
