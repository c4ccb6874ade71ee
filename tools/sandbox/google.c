/* google.c - the stand-in for Google: OAuth and the Google Ads API's links and users. Its errors, what people
 * do outside of the API, faults and options (meta_google.md B1, B6, B7). */
#include "google_int.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

/* ---- errors ---- */

/* B1 "HTTP mapping: INVALID_ARGUMENT 400" */
static const char *rpc_status(int http)
{
    switch (http) {
    case 400:
        return "INVALID_ARGUMENT";
    case 401:
        return "UNAUTHENTICATED";
    case 403:
        return "PERMISSION_DENIED";
    case 404:
        return "NOT_FOUND";
    case 409:
        return "ABORTED";
    case 429:
        return "RESOURCE_EXHAUSTED";
    case 503:
        return "UNAVAILABLE";
    case 504:
        return "DEADLINE_EXCEEDED";
    default:
        return "INTERNAL";
    }
}

static const char *rpc_message(int http)
{
    return http == 400   ? "invalid argument"
           : http == 403 ? "caller lacks permission"
           : http == 429 ? "resource exhausted"
                         : "request failed";
}

/* "v25" of the path. */
static const char *version_of(struct sb_req *r)
{
    return sb_strf(r, "%.*s", (int)strcspn(r->path + 1, "/"), r->path + 1);
}

static json_t *location(struct sb_req *r, const char *path)
{
    json_t *elements = json_array();

    while (*path) {
        size_t n = strcspn(path, ".");

        json_array_append_new(elements, json_pack("{s:s}", "fieldName", sb_strf(r, "%.*s", (int)n, path)));
        path += n + (path[n] == '.');
    }
    return json_pack("{s:o}", "fieldPathElements", elements);
}

json_t *google_failure(struct sb_req *r, int http, const char *key, const char *value, const char *path,
                       const char *message)
{
    const char *id = sb_make(r, "request_id", "rQ", 20);
    json_t *error = json_pack("{s:{s:s},s:s}", "errorCode", key, value, "message", message);

    if (path)
        json_object_set_new(error, "location", location(r, path));
    sb_answer_header(r, "request-id", "%s", id);
    return json_pack(
        "{s:i,s:s,s:s,s:[{s:s,s:[o],s:s}]}", "code", http, "message", rpc_message(http), "status",
        rpc_status(http), "details", "@type",
        sb_strf(r, "type.googleapis.com/google.ads.googleads.%s.errors.GoogleAdsFailure", version_of(r)),
        "errors", error, "requestId", id);
}

/* B1 "errors come as an array with one" */
static bool send_error(struct sb_req *r, int http, json_t *error)
{
    size_t n = strlen(r->path);
    bool wrap = n > 13 && strcmp(r->path + n - 13, ":searchStream") == 0 &&
                sb_option_bool(r, "stream_error_in_array");

    sb_json(r, http, json_pack(wrap ? "[{s:o}]" : "{s:o}", "error", error));
    return false;
}

/* B1 "exactly one key; its value is the enum name" */
bool google_fail(struct sb_req *r, int http, const char *key, const char *value, const char *path,
                 const char *message)
{
    return send_error(r, http, google_failure(r, http, key, value, path, message));
}

bool google_bad_request(struct sb_req *r, const char *field, const char *description)
{
    return send_error(r, 400,
                      json_pack("{s:i,s:s,s:s,s:[{s:s,s:[{s:s,s:s}]}]}", "code", 400, "message",
                                sb_strf(r, "Invalid JSON payload received. %s", description), "status",
                                "INVALID_ARGUMENT", "details", "@type",
                                "type.googleapis.com/google.rpc.BadRequest", "fieldViolations", "field",
                                field, "description", description));
}

bool google_error_info(struct sb_req *r, int http, const char *reason, const char *message)
{
    return send_error(r, http,
                      json_pack("{s:i,s:s,s:s,s:[{s:s,s:s,s:s}]}", "code", http, "message", message, "status",
                                rpc_status(http), "details", "@type",
                                "type.googleapis.com/google.rpc.ErrorInfo", "reason", reason, "domain",
                                "googleapis.com"));
}

/* ---- the JSON mapping ---- */

static bool among(struct sb_req *r, const char *names, const char *name)
{
    return *name && !strchr(name, ' ') && strstr(sb_strf(r, " %s ", names), sb_strf(r, " %s ", name)) != NULL;
}

/* B7 "unknown fields: 400 with google.rpc.BadRequest style detail" [assumed]. */
bool google_members(struct sb_req *r, const json_t *object, const char *names, const char *where)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return google_bad_request(r, where, "The value is no object.");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!among(r, names, name))
            return google_bad_request(
                r, where, sb_strf(r, "Unknown name \"%s\" at '%s': Cannot find field.", name, where));
    }
    return true;
}

/* B1 "| `Content-Type: application/json` |"; the refusal is [assumed]. */
json_t *google_body(struct sb_req *r, const char *members)
{
    json_t *body = sb_body_json(r);

    if (!sb_has_type(r, "application/json") || !json_is_object(body)) {
        google_bad_request(r, "", "The body must be a JSON object, and its type application/json.");
        return NULL;
    }
    return google_members(r, body, members, "") ? body : NULL;
}

/* accessRole of access_role. */
static const char *lower_camel(struct sb_req *r, const char *name)
{
    char *out = sb_strf(r, "%s", name), *to = out;

    for (const char *from = out; *from; from++) {
        if (*from == '_' && from[1])
            *to++ = (char)toupper((unsigned char)*++from);
        else
            *to++ = *from;
    }
    *to = '\0';
    return out;
}

/* B1 "sits **inside the operation** beside `update`"; names of several words in either spelling (open 16); B1
 * "| fieldMaskError / fieldError / queryError / newResourceCreationError |", of which the values are assumed.
 */
bool google_mask(struct sb_req *r, const json_t *operation, const char *known)
{
    const char *mask = gd_json_text(operation, "updateMask", NULL);

    if (!mask || !*mask)
        return google_fail(r, 400, "fieldMaskError", "FIELD_MASK_MISSING", "operation.update_mask",
                           "The field mask must be provided for update operations.");
    while (*mask) {
        size_t n = strcspn(mask, ",");

        if (!among(r, known, lower_camel(r, sb_strf(r, "%.*s", (int)n, mask))))
            return google_fail(r, 400, "fieldMaskError", "FIELD_NOT_FOUND", "operation.update_mask",
                               "The field mask names a field that is not there.");
        mask += n + (mask[n] == ',');
    }
    return true;
}

/* ---- what happens outside of the API ---- */

static json_t *link_of(struct sb_req *r, const json_t *args, const char *status)
{
    json_t *l;
    size_t i;

    json_array_foreach(sb_list(r, "links"), i, l)
    {
        if (sb_same(gd_json_text(l, "manager", NULL), gd_json_text(args, "manager", "")) &&
            sb_same(gd_json_text(l, "client", NULL), gd_json_text(args, "client", "")) &&
            sb_same(gd_json_text(l, "status", NULL), status))
            return l;
    }
    return NULL;
}

static const char *move_link(struct sb_req *r, const json_t *args, const char *from, const char *to)
{
    json_t *link = link_of(r, args, from);

    if (!link)
        return sb_strf(r, "manager and client have no link that is %s", from);
    json_object_set_new(link, "status", json_string(to));
    return NULL;
}

static const char *accept_link(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return move_link(r, args, "PENDING", "ACTIVE");
}

static const char *refuse_link(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return move_link(r, args, "PENDING", "REFUSED");
}

static const char *unlink_client(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return move_link(r, args, "ACTIVE", "INACTIVE");
}

/* B3 "may accept with another Google address; status can lag up to 24 hours" */
static const char *accept_invitation(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *found = sb_find2(sb_list(r, "invitations"), "customer", gd_json_text(args, "customer", ""), "id",
                             gd_json_text(args, "id", ""));
    int64_t seen = sb_now(r) + sb_option_i64(r, "lag_seconds");
    const char *user_id = sb_make_digits(r, "user_id", "31", 4);

    google_lapse(r);
    if (!found || !sb_same(gd_json_text(found, "status", NULL), "PENDING") || gd_json_i64(found, "gone", 0))
        return "customer and id name no pending invitation";
    json_object_set_new(found, "gone", json_integer(seen));
    json_array_append_new(sb_list(r, "user_access"),
                          json_pack("{s:O,s:s,s:s,s:O,s:I,s:I}", "customer",
                                    json_object_get(found, "customer"), "user_id", user_id, "email",
                                    gd_json_text(args, "email", gd_json_text(found, "email", "")), "role",
                                    json_object_get(found, "role"), "created", (json_int_t)sb_now(r),
                                    "visible", (json_int_t)seen));
    *ret = json_pack("{s:s}", "user_id", user_id);
    return NULL;
}

static const char *decline_invitation(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *found = sb_find2(sb_list(r, "invitations"), "customer", gd_json_text(args, "customer", ""), "id",
                             gd_json_text(args, "id", ""));

    (void)ret;
    if (!found || !sb_same(gd_json_text(found, "status", NULL), "PENDING"))
        return "customer and id name no pending invitation";
    json_object_set_new(found, "status", json_string("DECLINED"));
    return NULL;
}

static const char *resolve_review(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *review = sb_find2(sb_list(r, "reviews"), "customer", gd_json_text(args, "customer", ""), "id",
                              gd_json_text(args, "id", ""));
    const char *to = gd_json_text(args, "status", "APPROVED"), *name = NULL;

    google_lapse(r);
    if (!review || !sb_same(gd_json_text(review, "status", NULL), "PENDING"))
        return "customer and id name no pending review";
    if (strcmp(to, "APPROVED") != 0 && strcmp(to, "REJECTED") != 0)
        return "status is APPROVED or REJECTED";
    json_object_set_new(review, "status", json_string(to));
    if (strcmp(to, "APPROVED") == 0) {
        google_carry_out(r, review, &name);
        *ret = json_pack("{s:s}", "resourceName", name);
    }
    return NULL;
}

/* A user gets, changes or (role "") loses access in the account's own pages. */
static const char *set_user(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *cid = gd_json_text(args, "customer", ""), *email = gd_json_text(args, "email", "");
    const char *role = gd_json_text(args, "role", "");
    json_t *user = sb_find2(sb_list(r, "user_access"), "customer", cid, "email", email);

    (void)ret;
    if (!google_customer(r, cid) || !*email)
        return "customer and email are needed; role is ADMIN, STANDARD, READ_ONLY, EMAIL_ONLY, or \"\" to "
               "remove";
    if (!*role)
        return sb_remove(sb_list(r, "user_access"), "customer", cid, "email", email) ? NULL : "has no access";
    if (!user) {
        user =
            json_pack("{s:s,s:s,s:s,s:I}", "customer", cid, "user_id", sb_make_digits(r, "user_id", "31", 4),
                      "email", email, "created", (json_int_t)sb_now(r));
        json_array_append_new(sb_list(r, "user_access"), user);
    }
    json_object_set_new(user, "role", json_string(role));
    return NULL;
}

static const char *revoke_consent(struct sb_req *r, const json_t *args, json_t **ret)
{
    size_t n = google_revoke_all(r, gd_json_text(args, "email", ""), gd_json_text(args, "project", "77"));

    *ret = json_pack("{s:I}", "tokens", (json_int_t)n);
    return n ? NULL : "this person has no living tokens of this project";
}

static const char *set_customer_status(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *customer = google_customer(r, gd_json_text(args, "customer", ""));

    (void)ret;
    if (!customer)
        return "customer and status (ENABLED, SUSPENDED, CANCELED, CLOSED) are needed";
    json_object_set_new(customer, "status", json_string(gd_json_text(args, "status", "ENABLED")));
    return NULL;
}

static const struct sb_act acts[] = {
    { "accept_link", "{manager, client}: the client accepts the manager's invitation in Google Ads",
      accept_link },
    { "refuse_link", "{manager, client}: the client refuses it", refuse_link },
    { "unlink", "{manager, client}: the client ends the link", unlink_client },
    { "accept_invitation", "{customer, id[, email]}: the person clicks the link in the e-mail",
      accept_invitation },
    { "decline_invitation", "{customer, id}", decline_invitation },
    { "resolve_review", "{customer, id, status}: a second administrator, APPROVED or REJECTED",
      resolve_review },
    { "set_user", "{customer, email, role}: in the account's own pages; role \"\" removes", set_user },
    { "revoke_consent", "{email[, project]}: the person removes the app from its Google account",
      revoke_consent },
    { "set_customer_status", "{customer, status}", set_customer_status },
    { 0 },
};

/* ---- faults ---- */

/* B1 "Quota details: `errors[].details.quotaErrorDetails" */
void google_quota(struct sb_req *r, bool daily, const char *scope, const char *delay)
{
    json_t *error =
        google_failure(r, 429, "quotaError", daily ? "RESOURCE_EXHAUSTED" : "RESOURCE_TEMPORARILY_EXHAUSTED",
                       NULL, "slow down");
    json_t *one =
        json_array_get(json_object_get(json_array_get(json_object_get(error, "details"), 0), "errors"), 0);

    if (*delay)
        json_object_set_new(one, "details",
                            json_pack("{s:{s:s,s:s,s:s}}", "quotaErrorDetails", "rateScope", scope,
                                      "rateName", "requests per account", "retryDelay", delay));
    send_error(r, 429, error);
}

/* B1 "| quotaError | RESOURCE_TEMPORARILY_EXHAUSTED" and "RESOURCE_EXHAUSTED,
 * EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION" */
static void quota(struct sb_req *r, const json_t *f)
{
    bool daily = gd_json_bool(f, "daily", false);

    google_quota(r, daily, gd_json_text(f, "scope", daily ? "DEVELOPER" : "ACCOUNT"),
                 gd_json_text(f, "delay", daily ? "3600s" : "42s"));
}

/* Any row of B1 "| errorCode key | value | class |". */
static void error(struct sb_req *r, const json_t *f)
{
    google_fail(r, (int)gd_json_i64(f, "http", 400), gd_json_text(f, "key", "internalError"),
                gd_json_text(f, "value", "TRANSIENT_ERROR"), gd_json_text(f, "path", NULL),
                gd_json_text(f, "message", "switched on by hand"));
}

/* B1 "`google.rpc.ErrorInfo` (reason, domain, metadata) for gateway errors" */
static void gateway(struct sb_req *r, const json_t *f)
{
    google_error_info(r, (int)gd_json_i64(f, "http", 403), gd_json_text(f, "reason", "SERVICE_DISABLED"),
                      "The API has not been used in this project before or it is disabled.");
}

/* B2 "| error | class |" and the rows below it; B2 "| invalid_grant with error_subtype invalid_rapt". */
static void token_error(struct sb_req *r, const json_t *f)
{
    const char *subtype = gd_json_text(f, "subtype", NULL);
    json_t *body =
        json_pack("{s:s,s:s}", "error", gd_json_text(f, "error", "invalid_grant"), "error_description",
                  gd_json_text(f, "description", "reauth related error (invalid_rapt)"));

    if (subtype)
        json_object_set_new(body, "error_subtype", json_string(subtype));
    sb_json(r, (int)gd_json_i64(f, "status", 400), body);
}

static const struct sb_fault_kind faults[] = {
    { "quota", "{daily, delay, scope}: 429 RESOURCE_EXHAUSTED with retryDelay (\"\" leaves it out)", quota },
    { "error",
      "{http, key, value, message}: any row of the error table, such as authenticationError "
      "TWO_STEP_VERIFICATION_NOT_ENROLLED",
      error },
    { "gateway", "{http, reason}: a google.rpc.ErrorInfo alone", gateway },
    { "token_error",
      "{status, error, subtype, description}: an answer of the token endpoint; use it with match",
      token_error },
    { "partial",
      "{value}: one account among several gets no invitation: managerLinkError TOO_MANY_INVITES, or value",
      NULL },
    { "role_downgrade", "a user is invited, or changed, to READ_ONLY whatever was asked", NULL },
    { 0 },
};

static const struct sb_option options[] = {
    { "auto_consent", "\"\"", "\"approve\" or \"deny\": pages decide by themselves" },
    { "auto_who", "\"\"", "who signs in then (e-mail)" },
    { "auto_assets", "\"\"", "not used here" },
    { "consent_error", "\"\"", "approved consents end in this error: admin_policy_enforced, org_internal" },
    { "code_lives", "600", "seconds that a code lives [assumed]" },
    { "max_per_user", "100", "live refresh tokens of a person and client" },
    { "rotate_refresh", "false", "refreshing gives a new refresh token too" },
    { "developer_token", "\"current\"", "current: ignored; legacy: demanded" },
    { "access_level", "\"standard\"",
      "test: test accounts only; explorer: 2,880 operations a day, basic: 15,000; standard" },
    { "daily_operations", "0", "operations a day, whatever the level" },
    { "mpa", "false", "changes of users need a second administrator" },
    { "lag_seconds", "0", "until an accepted invitation shows" },
    { "stream_error_in_array", "true", "errors of searchStream stand in an array" },
    { "manager_can_unlink", "false", "ACTIVE to INACTIVE by customerClientLinks (open question 12)" },
    { "manager_login_can_unlink", "true",
      "INACTIVE by customerManagerLinks through the manager (open question 12)" },
    { "invitations_max", "20", "pending invitations of a manager, or of an account" },
    { "managers_max", "5", "managers of a client" },
    { "page_size", "10000", "rows of a page of search" },
    { "oldest_version", "22", "older ones are sunset" },
    { "newest_version", "25", "newer ones do not exist" },
    { 0 },
};

/* ---- every call ---- */

/* B1 "A sunset version answers `requestError UNSUPPORTED_VERSION`"; what a version answers that is to come is
 * [assumed]. */
static bool before(struct sb_req *r)
{
    const char *version;
    int64_t number = 0;

    if (strcmp(r->host, "googleads.googleapis.com") != 0)
        return true;
    version = version_of(r);
    for (const char *c = version + (*version == 'v'); isdigit((unsigned char)*c) && number < 1000; c++)
        number = 10 * number + (*c - '0');
    if (!sb_same(version, sb_strf(r, "v%d", (int)number)) || number > sb_option_i64(r, "newest_version")) {
        sb_text(r, 404, "text/html", "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>");
        return false;
    }
    if (number < sb_option_i64(r, "oldest_version"))
        return google_fail(r, 400, "requestError", "UNSUPPORTED_VERSION", NULL,
                           "The version is not supported any more.");
    return true;
}

/* What an unknown path answers is [assumed]. */
static void missing(struct sb_req *r, bool wrong_method)
{
    (void)wrong_method;
    sb_text(r, 404, "text/html", "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>");
}

static const char *const origins[] = { "https://googleads.googleapis.com", "https://accounts.google.com",
                                       "https://oauth2.googleapis.com", NULL };

const struct sb_platform sb_google = {
    .name = "google",
    .origins = origins,
    .routes = { google_oauth_routes, google_query_routes, google_link_routes, google_user_routes },
    .before = before,
    .missing = missing,
    .consent = google_consent,
    .acts = acts,
    .faults = faults,
    .options = options,
    .clock = google_lapse,
};
