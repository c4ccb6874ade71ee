/* meta.c - the stand-in for Meta: Facebook Login for Business and the Graph API for business portfolios. What
 * people do outside of the API, faults and options (meta_google.md A3, A6, A7). */
#include "meta_int.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

/* ---- what happens outside of the API ---- */

/* The share that the act is about, by "asset" and "agency". */
static json_t *share_of(struct sb_req *r, const json_t *args)
{
    return sb_find2(sb_list(r, "shares"), "asset", gd_json_text(args, "asset", ""), "agency",
                    gd_json_text(args, "agency", ""));
}

static const char *confirm(struct sb_req *r, const json_t *args, bool review)
{
    json_t *share = share_of(r, args), *tasks = json_object_get(args, "permitted_tasks");

    if (!share || !sb_same(gd_json_text(share, "access_status", NULL), "PENDING") ||
        gd_json_bool(share, "review", false) != review)
        return review ? "no share of this asset and agency waits for a second admin"
                      : "no request for this asset by this agency is open";
    meta_share(r, gd_json_text(args, "asset", ""), gd_json_text(args, "agency", ""),
               tasks ? tasks : json_object_get(share, "permitted_tasks"), "CONFIRMED");
    return NULL;
}

static const char *approve_request(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return confirm(r, args, false);
}

static const char *approve_review(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return confirm(r, args, true);
}

/* A6 "A request that vanishes from pending without appearing in client list": declined or withdrawn. */
static const char *decline(struct sb_req *r, const json_t *args, json_t **ret)
{
    const json_t *share = share_of(r, args);

    (void)ret;
    if (!share || !sb_same(gd_json_text(share, "access_status", NULL), "PENDING"))
        return "nothing is open for this asset and agency";
    meta_unshare(r, gd_json_text(args, "asset", ""), gd_json_text(args, "agency", ""));
    return NULL;
}

/* A6 "| add agency as partner by Business id |" and "| raise or lower tasks later |" */
static const char *set_partner(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *asset = gd_json_text(args, "asset", ""), *agency = gd_json_text(args, "agency", "");
    const json_t *tasks = json_object_get(args, "permitted_tasks"), *row;
    size_t i;

    (void)ret;
    if (!meta_asset_owner(r, asset) || !meta_business(r, agency) || !json_array_size(tasks))
        return "asset (act_...), agency and permitted_tasks are needed, and must exist";
    meta_share(r, asset, agency, tasks, "CONFIRMED");
    json_array_foreach(sb_list(r, "assigned"), i, row)
    {
        json_t *held = json_object_get(row, "tasks");

        if (!sb_same(gd_json_text(row, "asset", NULL), asset) ||
            !sb_same(gd_json_text(row, "business", NULL), agency))
            continue;
        for (size_t k = json_array_size(held); k-- > 0;) /* nobody keeps more than was permitted */
            if (!sb_has_text(tasks, json_string_value(json_array_get(held, k))))
                json_array_remove(held, k);
    }
    return NULL;
}

static const char *remove_partner(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return meta_unshare(r, gd_json_text(args, "asset", ""), gd_json_text(args, "agency", ""))
               ? NULL
               : "this agency has nothing of this asset";
}

static const char *unassign(struct sb_req *r, const json_t *args, json_t **ret)
{
    (void)ret;
    return sb_remove(sb_list(r, "assigned"), "asset", gd_json_text(args, "asset", ""), "user",
                     gd_json_text(args, "user", ""))
               ? NULL
               : "this user is not assigned to this asset";
}

/* A2 "Webhook topic `application`": signed with the app secret. The object around "changes" is assumed. */
static void send_uninstall(struct sb_req *r, const char *url, const json_t *app, const char *business)
{
    GD_AUTO_JSON body =
        json_pack("{s:s,s:[{s:O,s:I,s:[{s:s,s:{s:s}}]}]}", "object", "application", "entry", "id",
                  json_object_get(app, "id"), "time", (json_int_t)sb_now(r), "changes", "field",
                  "business_integration_uninstall", "value", "business_manager_id", business);
    char *text = gd_json_dump(body);
    GD_AUTO_JSON headers = json_pack(
        "{s:s,s:s}", "Content-Type", "application/json", "X-Hub-Signature-256",
        sb_strf(r, "sha256=%s", sb_hmac_hex(r, gd_json_text(app, "secret", ""), text, strlen(text))));

    sb_send(r, url, headers, text, strlen(text));
    gd_free(text);
}

/* A2 "| end of life by client |": the person, or the business of an integration, removes the app. */
static const char *remove_app(struct sb_req *r, const json_t *args, json_t **ret)
{
    const json_t *app = sb_find(sb_list(r, "apps"), "id", gd_json_text(args, "app", ""));
    const char *who = gd_json_text(args, "user", NULL), *business = gd_json_text(args, "business", NULL);

    (void)ret;
    if (!app || (!who && !business))
        return "app, and user or business, are needed";
    meta_end_tokens(r, who ? "user" : "business", who ? who : business, gd_json_text(app, "id", ""), 458);
    if (who)
        sb_remove(sb_list(r, "permissions"), "user", who, "app", gd_json_text(app, "id", ""));
    else if (gd_json_text(args, "url", NULL))
        send_uninstall(r, gd_json_text(args, "url", ""), app, business);
    return NULL;
}

/* A1 "| 190 (458) |", "| 190 (459), (464) |", "| 190 (460) |" and "| 190 (467) |"; by the clock "| 190 (463)
 * |"; subcode chooses. */
static const char *end_tokens(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *who = gd_json_text(args, "user", NULL);
    int subcode = (int)gd_json_i64(args, "subcode", 467);

    (void)ret;
    if (!who)
        return "user is needed: a person's id, or a system user's with \"kind\": \"system_user\"";
    meta_end_tokens(r, gd_json_text(args, "kind", "user"), who, gd_json_text(args, "app", NULL), subcode);
    return NULL;
}

/* The horizon of data access: 0.1 "190/493 (no engagement in 90 days: REAUTH)"; that debug_token keeps saying
 * valid is [assumed]. */
static const char *end_data_access(struct sb_req *r, const json_t *args, json_t **ret)
{
    const char *who = gd_json_text(args, "user", ""), *value;
    bool any = false;
    json_t *token;

    (void)ret;
    json_object_foreach(sb_table(r, "tokens"), value, token)
    {
        if (!sb_same(gd_json_text(token, "user", NULL), who))
            continue;
        json_object_set_new(token, "data_access", json_integer(sb_now(r)));
        any = true;
    }
    return any ? NULL : "this user has no tokens";
}

static const char *set_role(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *person = sb_find(sb_list(r, "people"), "id", gd_json_text(args, "user", ""));
    const char *business = gd_json_text(args, "business", ""), *role = gd_json_text(args, "role", "");

    (void)ret;
    if (!person || !meta_business(r, business))
        return "user and business are needed, and must exist; role is ADMIN, EMPLOYEE or empty";
    if (*role)
        json_object_set_new(json_object_get(person, "businesses"), business, json_string(role));
    else
        json_object_del(json_object_get(person, "businesses"), business);
    return NULL;
}

static const char *set_account_status(struct sb_req *r, const json_t *args, json_t **ret)
{
    json_t *account = meta_account(r, gd_json_text(args, "asset", ""));

    (void)ret;
    if (!account)
        return "asset must be an ad account (act_...)";
    json_object_set_new(account, "account_status", json_integer(gd_json_i64(args, "account_status", 1)));
    return NULL;
}

static const struct sb_act acts[] = {
    { "approve_request", "{asset, agency[, permitted_tasks]}: the client admin approves the agency's request",
      approve_request },
    { "decline", "{asset, agency}: the client admin declines what is open", decline },
    { "approve_review", "{asset, agency}: the second admin approves the share", approve_review },
    { "set_partner",
      "{asset, agency, permitted_tasks}: the client adds the agency as partner, or changes its tasks",
      set_partner },
    { "remove_partner", "{asset, agency}: the client removes the agency from the asset", remove_partner },
    { "unassign", "{asset, user}: the user loses its tasks on the asset", unassign },
    { "remove_app", "{app, user | business[, url]}: the app is removed; url gets the signed webhook",
      remove_app },
    { "end_tokens", "{user[, app, kind, subcode]}: their tokens die; subcode 458 459 460 464 467 says why",
      end_tokens },
    { "end_data_access", "{user}: data access of their tokens ends now", end_data_access },
    { "set_role", "{user, business, role}: ADMIN, EMPLOYEE or \"\" (leaves)", set_role },
    { "set_account_status", "{asset, account_status}: 1 active, 2 disabled, 3 unsettled, 101 closed",
      set_account_status },
    { 0 },
};

/* ---- faults ---- */

/* A4 "`X-App-Usage`", "`X-Business-Use-Case-Usage`", "`X-Ad-Account-Usage`" and "No `Retry-After`"; the
 * codes: A1 "| 80000 / 80001 /",
 * "| 4 |", "| 17, 17 (2446079) |", "| 32 |", "| 341 |", "| 368 |" and "| 613, 613 (1487742), 613 (1996) |".
 */
static void rate(struct sb_req *r, const json_t *f)
{
    int code = (int)gd_json_i64(f, "code", 80004);
    int subcode = (int)gd_json_i64(f, "subcode", code == 80004 || code == 17 ? 2446079 : 0);
    long minutes = (long)gd_json_i64(f, "minutes", 7);

    if (code >= 80000)
        sb_answer_header(
            r, "X-Business-Use-Case-Usage",
            "{\"%s\":[{\"type\":\"%s\",\"call_count\":100,\"total_cputime\":25,\"total_time\":25,"
            "\"estimated_time_to_regain_access\":%ld,\"ads_api_access_tier\":\"development_access\"}]}",
            gd_json_text(f, "account", "5550001112223"),
            code == 80000   ? "ads_insights"
            : code == 80001 ? "pages"
                            : "ads_management",
            minutes);
    else if (code == 613)
        sb_answer_header(r, "X-Ad-Account-Usage",
                         "{\"acc_id_util_pct\":100,\"reset_time_duration\":%ld,\"ads_api_access_tier\":"
                         "\"standard_access\"}",
                         minutes * 60);
    else
        sb_answer_header(r, "X-App-Usage", "{\"call_count\":100,\"total_time\":25,\"total_cputime\":25}");
    meta_error(r, code, subcode, "%s",
               gd_json_text(f, "message",
                            code >= 80000 ? "too many calls to this ad account"
                                          : "(#4) Application request limit reached"));
}

/* Any row of A1 "| code (subcode) | meaning | class | source |". */
static void error(struct sb_req *r, const json_t *f)
{
    meta_error(
        r, (int)gd_json_i64(f, "code", 2), (int)gd_json_i64(f, "subcode", 0), "%s",
        gd_json_text(f, "message", "An unexpected error has occurred. Please retry your request later."));
}

/* 0.1 "with HTTP 200 (RETRY)" */
static void unavailable(struct sb_req *r, const json_t *f)
{
    (void)f;
    sb_text(r, 200, "text/plain", "Service Unavailable");
}

static const struct sb_fault_kind faults[] = {
    { "rate",
      "{code: 4 17 32 341 368 613 80000-80014, subcode, minutes, account}: a rate limit with its header",
      rate },
    { "error",
      "{code, subcode, message}: an error of Meta's table; code 2 is transient, 415 asks for two factors",
      error },
    { "unavailable", "\"Service Unavailable\" with HTTP 200", unavailable },
    { "partial",
      "an asset among several is not shared, or nobody is assigned to it: code 200 (match says which; after "
      "lets the first ones pass)",
      NULL },
    { "role_downgrade", "a share permits ANALYZE only, whatever was asked", NULL },
    { 0 },
};

static const struct sb_option options[] = {
    { "auto_consent", "\"\"", "\"approve\" or \"deny\": dialogs decide by themselves" },
    { "auto_who", "\"\"", "who logs in then" },
    { "auto_assets", "\"\"", "what it chooses then (comma list)" },
    { "b2b_requests", "\"on\"", "requests by agencies: on, or the error: 3, 10, 200, 100/33" },
    { "admin_review", "false", "a share waits for a second admin" },
    { "pending_stays", "false", "an agency cannot give up what is still pending" },
    { "http200_errors", "false", "error bodies come with HTTP 200" },
    { "success_false", "false", "writes answer {\"success\": false}" },
    { "require_appsecret_proof", "false", "the app demands the proof of every call" },
    { "integration_may_share", "false", "tokens of business integrations may share (open question 3)" },
    { "assigned_users_without_tasks", "false", "assigned_users lists no tasks" },
    { "short_without_expiry", "false", "short tokens come without expires_in" },
    { "page_size", "100", "most nodes of a page" },
    { "short_pages", "false", "pages are short or empty before the end" },
    { "code_lives", "600", "seconds that a code lives" },
    { "system_users_max", "10", "system users of a business" },
    { "newest_version", "\"\"", "calls of newer ones are refused; \"\": none are" },
    { "oldest_version", "\"v20.0\"", "calls of older ones are served by this one" },
    { "marketing_oldest_version", "\"v20.0\"", "ad account calls of older ones get code 2635" },
    { "next_origin", "\"https://graph.facebook.com\"", "origin of paging.next" },
    { 0 },
};

/* ---- versions ---- */

/* "v25.0" -> 250; -1 when it is none. */
static int version_number(const char *v)
{
    size_t n = *v == 'v' ? 1 : 0, number = 0, digits = 0;

    if (!n)
        return -1;
    for (; isdigit((unsigned char)v[n]); n++, digits++)
        number = 10 * number + (size_t)(v[n] - '0');
    if (!digits || digits > 3 || v[n] != '.' || !isdigit((unsigned char)v[n + 1]) || v[n + 2])
        return -1;
    return (int)(10 * number) + v[n + 1] - '0';
}

/* A1 "silently served by the next oldest usable one": and any vN.N is taken, unless newest_version says
 * otherwise; A1 "header `facebook-api-version`" names the one that was used; A1 "| 2635 |" is the Marketing
 * API's own schedule; what is no version: A1 "| 803, 2500 |". */
static bool version_served(struct sb_req *r)
{
    size_t n = strcspn(r->path + 1, "/");
    const char *asked = sb_strf(r, "%.*s", (int)n, r->path + 1),
               *oldest = sb_option_text(r, "oldest_version"), *newest = sb_option_text(r, "newest_version");
    int number = version_number(asked);

    if (number < 0 || (*newest && number > version_number(newest))) {
        meta_error(r, 2500, 0, "Unknown path components: /%s", asked);
        return false;
    }
    sb_answer_header(r, "facebook-api-version", "%s", number < version_number(oldest) ? oldest : asked);
    if (number < version_number(sb_option_text(r, "marketing_oldest_version")) &&
        (strstr(r->path, "/act_") || strstr(r->path, "ad_accounts") || strstr(r->path, "adaccounts"))) {
        meta_error(
            r, 2635, 0,
            "You are calling a deprecated version of the Ads API. Please update to the latest version");
        return false;
    }
    return true;
}

/* A1 "POST carries `application/x-www-form-urlencoded` (or multipart)": this stand-in takes no multipart; A1
 * "| 100 |". */
static bool before(struct sb_req *r)
{
    if (r->query.bad) {
        meta_error(r, 100, 0, "(#100) The query string is not properly encoded");
        return false;
    }
    if (!sb_same(r->host, "graph.facebook.com"))
        return true;
    sb_answer_header(r, "X-App-Usage", "{\"call_count\":2,\"total_time\":1,\"total_cputime\":1}");
    if (r->body_len && !sb_has_type(r, "application/x-www-form-urlencoded")) {
        meta_error(r, 100, 0, "(#100) The body must be a form");
        return false;
    }
    return version_served(r);
}

/* A1 "| 100 (33) |" and "| 803, 2500 |"; the page is [assumed]. */
static void missing(struct sb_req *r, bool wrong_method)
{
    if (sb_same(r->host, "www.facebook.com"))
        sb_page(r, 404, "Page not found", "The link may be broken.");
    else if (wrong_method)
        meta_error(r, 100, 33, "Unsupported %s request.", r->method);
    else
        meta_error(r, 2500, 0, "Unknown path components: %s", r->path);
}

static const char *const origins[] = { "https://graph.facebook.com", "https://www.facebook.com", NULL };

const struct sb_platform sb_meta = {
    .name = "meta",
    .origins = origins,
    .routes = { meta_oauth_routes, meta_asset_routes, meta_business_routes },
    .before = before,
    .missing = missing,
    .consent = meta_consent,
    .acts = acts,
    .faults = faults,
    .options = options,
};
