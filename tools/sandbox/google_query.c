/* google_query.c - who may call which account, and queries (meta_google.md B1, B3). */
#include "google_int.h"
#include "google_gaql.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

json_t *google_customer(struct sb_req *r, const char *cid)
{
    return cid ? sb_find(sb_list(r, "customers"), "id", cid) : NULL;
}

static bool ten_digits(const char *s)
{
    return s && strspn(s, "0123456789") == 10 && strlen(s) == 10;
}

const char *google_customer_id(const char *resource)
{
    return resource && strncmp(resource, "customers/", 10) == 0 && ten_digits(resource + 10) ? resource + 10
                                                                                             : NULL;
}

const char *google_rest(struct sb_req *r, const char *resource, const char *cid, const char *kind)
{
    const char *start = sb_strf(r, "customers/%s/%s/", cid, kind);
    size_t n = strlen(start);

    return resource && strncmp(resource, start, n) == 0 && resource[n] ? resource + n : NULL;
}

static bool manages(struct sb_req *r, const char *manager, const char *client, int depth)
{
    const json_t *link;
    size_t i;

    if (depth > 8)
        return false;
    json_array_foreach(sb_list(r, "links"), i, link)
    {
        const char *below = gd_json_text(link, "client", "");

        if (!sb_same(gd_json_text(link, "manager", NULL), manager) ||
            !sb_same(gd_json_text(link, "status", NULL), "ACTIVE"))
            continue;
        if (strcmp(below, client) == 0 || manages(r, below, client, depth + 1))
            return true;
    }
    return false;
}

bool google_manages(struct sb_req *r, const char *manager, const char *client)
{
    return manages(r, manager, client, 0);
}

static const char *role_at(struct sb_req *r, const char *email, const char *cid)
{
    return gd_json_text(sb_find2(sb_list(r, "user_access"), "customer", cid, "email", email), "role", NULL);
}

int google_admins(struct sb_req *r, const char *cid)
{
    const json_t *row;
    size_t i;
    int n = 0;

    json_array_foreach(sb_list(r, "user_access"), i, row)
    {
        n += sb_same(gd_json_text(row, "customer", NULL), cid) &&
             sb_same(gd_json_text(row, "role", NULL), "ADMIN");
    }
    return n;
}

/* ---- the token ---- */

/* B1 "| authenticationError | OAUTH_TOKEN_EXPIRED, OAUTH_TOKEN_INVALID |" and "OAUTH_TOKEN_REVOKED,
 * OAUTH_TOKEN_DISABLED" */
static bool token_alive(struct sb_req *r, const json_t *token)
{
    static const char *const words[] = { [SB_UNKNOWN] = "OAUTH_TOKEN_INVALID",
                                         [SB_EXPIRED] = "OAUTH_TOKEN_EXPIRED",
                                         [SB_USED] = "OAUTH_TOKEN_INVALID",
                                         [SB_REVOKED] = "OAUTH_TOKEN_REVOKED" };
    enum sb_token_state state = sb_token_state(r, token);

    return state == SB_LIVE || google_fail(r, 401, "authenticationError", words[state], NULL,
                                           "Request is missing a valid credential.");
}

/* B1 "**Sunset 2026-09-09.** Optional and ignored by servers" and "bad -> `authenticationError
 * DEVELOPER_TOKEN_INVALID`" (legacy) */
static bool developer_token_fits(struct sb_req *r)
{
    const char *given = sb_header(r, "developer-token");

    if (strcmp(sb_option_text(r, "developer_token"), "legacy") != 0)
        return true;
    if (!given)
        return google_fail(r, 400, "requestError", "DEVELOPER_TOKEN_PARAMETER_MISSING", NULL,
                           "Developer token parameter is missing from the request.");
    return sb_has_text(sb_list(r, "developer_tokens"), given) ||
           google_fail(r, 401, "authenticationError", "DEVELOPER_TOKEN_INVALID", NULL,
                       "The developer token is not valid.");
}

/* B1 "| `Authorization: Bearer <access_token>` |", "CUSTOMER_NOT_FOUND, CLIENT_CUSTOMER_ID_INVALID"
 * (OAUTH_TOKEN_HEADER_INVALID) and "ACCESS_TOKEN_SCOPE_INSUFFICIENT" */
static bool authenticate(struct sb_req *r, struct google_caller *c)
{
    const char *header = sb_header(r, "Authorization");

    *c = (struct google_caller){ 0 };
    if (!header || strncmp(header, "Bearer ", 7) != 0)
        return google_fail(r, 401, "authenticationError", "OAUTH_TOKEN_HEADER_INVALID", NULL,
                           "The OAuth token in the header is not valid.");
    c->token = sb_token(r, "access", header + 7);
    if (!token_alive(r, c->token))
        return false;
    c->email = gd_json_text(c->token, "user", "");
    if (!sb_has_text(json_object_get(c->token, "scopes"), "https://www.googleapis.com/auth/adwords"))
        return google_error_info(r, 403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                                 "Request had insufficient authentication scopes.");
    return developer_token_fits(r);
}

/* ---- the account ---- */

/* B1 "| `login-customer-id: <digits>` |", "| headerError |", "| authorizationError | USER_PERMISSION_DENIED"
 * and "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION" */
static bool reaches(struct sb_req *r, struct google_caller *c)
{
    const char *header = sb_header(r, "login-customer-id");

    if (header && (!ten_digits(header) || !google_customer(r, header)))
        return google_fail(r, 400, "headerError", "INVALID_LOGIN_CUSTOMER_ID", NULL,
                           "The login customer id is not valid.");
    c->login = header ? header : c->cid;
    c->role = role_at(r, c->email, c->login);
    if (!c->role)
        return google_fail(r, 403, "authorizationError", "USER_PERMISSION_DENIED", NULL,
                           "set the manager id in login-customer-id");
    if (strcmp(c->login, c->cid) != 0 && !google_manages(r, c->login, c->cid))
        return google_fail(r, 403, "authorizationError",
                           "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION", NULL,
                           "The login customer does not manage the customer.");
    return true;
}

/* B4 "Wrong level -> authorizationError CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION"; B1 "CUSTOMER_NOT_ENABLED,
 * INCOMPLETE_SIGNUP". */
static bool usable(struct sb_req *r, const struct google_caller *c)
{
    const char *status = gd_json_text(c->customer, "status", "ENABLED");

    if (!gd_json_bool(c->customer, "test", false) && strcmp(sb_option_text(r, "access_level"), "test") == 0)
        return google_fail(r, 403, "authorizationError", "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION", NULL,
                           "The project is approved for test accounts only.");
    if (strcmp(status, "CANCELED") == 0 || strcmp(status, "CLOSED") == 0)
        return google_fail(r, 403, "authorizationError", "CUSTOMER_NOT_ENABLED", NULL,
                           "The account is not enabled.");
    return true;
}

/* Operations of a day at the project's level; 0: no limit. B4 "a day is a sliding 24-hour window" */
static int64_t daily_limit(struct sb_req *r)
{
    const char *level = sb_option_text(r, "access_level");
    int64_t given = sb_option_i64(r, "daily_operations");

    if (given || strcmp(level, "standard") == 0)
        return given;
    return strcmp(level, "explorer") == 0 ? 2880 : 15000;
}

/* B4 "count as operations" [assumed]; false when it has answered. */
static bool within_level(struct sb_req *r)
{
    int64_t most = daily_limit(r), now = sb_now(r);
    json_t *calls = sb_list(r, "operations");

    if (!most)
        return true;
    while (json_array_size(calls) && json_integer_value(json_array_get(calls, 0)) <= now - 86400)
        json_array_remove(calls, 0);
    if ((int64_t)json_array_size(calls) >= most) {
        google_quota(
            r, true, "DEVELOPER",
            sb_strf(r, "%llds", (long long)(json_integer_value(json_array_get(calls, 0)) + 86400 - now)));
        return false;
    }
    json_array_append_new(calls, json_integer(now));
    return true;
}

/* B7 "Reject ids with dashes: requestError INVALID_CUSTOMER_ID"; B1 "CUSTOMER_NOT_FOUND,
 * CLIENT_CUSTOMER_ID_INVALID". */
bool google_auth(struct sb_req *r, struct google_caller *c)
{
    google_lapse(r);
    if (!authenticate(r, c))
        return false;
    c->cid = sb_path(r, "cid");
    if (!ten_digits(c->cid))
        return google_fail(r, 400, "requestError", "INVALID_CUSTOMER_ID", NULL, "Customer ID is invalid.");
    c->customer = google_customer(r, c->cid);
    if (!c->customer)
        return google_fail(r, 401, "authenticationError", "CUSTOMER_NOT_FOUND", NULL,
                           "No customer found for the ID.");
    return reaches(r, c) && usable(r, c) && within_level(r);
}

/* B3 "Calling the user-access methods needs ADMIN on the target account"; B1 "DENIED (role too low, e.g. not
 * ADMIN)"; that links need it, too, says B7 "wrong side or no rights". */
bool google_is_admin(struct sb_req *r, const struct google_caller *c)
{
    return sb_same(c->role, "ADMIN") || google_fail(r, 403, "authorizationError", "ACTION_NOT_PERMITTED",
                                                    NULL, "The user has no administrator role.");
}

/* ---- listAccessibleCustomers ---- */

/* B3 "| GET `/v25/customers:listAccessibleCustomers` |"; B1 "| NOT_ADS_USER |". */
static void list_accessible(struct sb_req *r)
{
    struct google_caller c;
    json_t *names = json_array(), *row;
    size_t i;

    google_lapse(r);
    if (!authenticate(r, &c) || !within_level(r)) {
        json_decref(names);
        return;
    }
    json_array_foreach(sb_list(r, "user_access"), i, row)
    {
        if (sb_same(gd_json_text(row, "email", NULL), c.email))
            json_array_append_new(names,
                                  json_string(sb_strf(r, "customers/%s", gd_json_text(row, "customer", ""))));
    }
    if (json_array_size(names)) {
        sb_json(r, 200, json_pack("{s:o}", "resourceNames", names));
        return;
    }
    json_decref(names);
    google_fail(r, 401, "authenticationError", "NOT_ADS_USER", NULL,
                "The Google account has no Ads account.");
}

/* ---- rows: {"customerClient": {...}} ---- */

static void add(json_t *rows, const char *kind, json_t *row)
{
    json_array_append_new(rows, json_pack("{s:o}", kind, row));
}

static void client_links(struct sb_req *r, const char *cid, json_t *rows)
{
    const json_t *l;
    size_t i;

    json_array_foreach(sb_list(r, "links"), i, l)
    {
        const char *client = gd_json_text(l, "client", ""), *id = gd_json_text(l, "id", "");

        if (sb_same(gd_json_text(l, "manager", NULL), cid))
            add(rows, "customerClientLink",
                json_pack("{s:s,s:s,s:s,s:O,s:b}", "resourceName",
                          sb_strf(r, "customers/%s/customerClientLinks/%s~%s", cid, client, id),
                          "clientCustomer", sb_strf(r, "customers/%s", client), "managerLinkId", id, "status",
                          json_object_get(l, "status"), "hidden", gd_json_bool(l, "hidden", false)));
    }
}

static void manager_links(struct sb_req *r, const char *cid, json_t *rows)
{
    const json_t *l;
    size_t i;

    json_array_foreach(sb_list(r, "links"), i, l)
    {
        const char *manager = gd_json_text(l, "manager", ""), *id = gd_json_text(l, "id", "");

        if (sb_same(gd_json_text(l, "client", NULL), cid))
            add(rows, "customerManagerLink",
                json_pack("{s:s,s:s,s:s,s:O}", "resourceName",
                          sb_strf(r, "customers/%s/customerManagerLinks/%s~%s", cid, manager, id),
                          "managerCustomer", sb_strf(r, "customers/%s", manager), "managerLinkId", id,
                          "status", json_object_get(l, "status")));
    }
}

static json_t *customer_view(struct sb_req *r, const json_t *customer, const char *name)
{
    return json_pack("{s:s,s:O,s:O,s:s,s:s,s:s,s:b,s:b}", "resourceName", name, "id",
                     json_object_get(customer, "id"), "descriptiveName", json_object_get(customer, "name"),
                     "status", gd_json_text(customer, "status", "ENABLED"), "currencyCode",
                     gd_json_text(customer, "currency_code", "EUR"), "timeZone",
                     gd_json_text(customer, "time_zone", "Europe/Berlin"), "manager",
                     gd_json_bool(customer, "manager", false), "testAccount",
                     gd_json_bool(customer, "test", false));
    (void)r;
}

static void customer_row(struct sb_req *r, const char *cid, json_t *rows)
{
    add(rows, "customer", customer_view(r, google_customer(r, cid), sb_strf(r, "customers/%s", cid)));
}

static void below(struct sb_req *r, const char *top, const char *cid, int level, json_t *rows)
{
    json_t *row =
        customer_view(r, google_customer(r, cid), sb_strf(r, "customers/%s/customerClients/%s", top, cid));
    const json_t *l;
    size_t i;

    json_object_set_new(row, "level", json_string(sb_strf(r, "%d", level)));
    json_object_set_new(row, "clientCustomer", json_string(sb_strf(r, "customers/%s", cid)));
    add(rows, "customerClient", row);
    json_array_foreach(sb_list(r, "links"), i, l)
    {
        if (level < 8 && sb_same(gd_json_text(l, "manager", NULL), cid) &&
            sb_same(gd_json_text(l, "status", NULL), "ACTIVE"))
            below(r, top, gd_json_text(l, "client", ""), level + 1, rows);
    }
}

static void hierarchy(struct sb_req *r, const char *cid, json_t *rows)
{
    below(r, cid, cid, 0, rows);
}

static const char *when(struct sb_req *r, const json_t *row)
{
    return sb_time(r, gd_json_i64(row, "created", 0), "%Y-%m-%d %H:%M:%S");
}

/* B3 "status can lag up to 24 hours" */
static void users(struct sb_req *r, const char *cid, json_t *rows)
{
    const json_t *u;
    json_t *row;
    size_t i;

    json_array_foreach(sb_list(r, "user_access"), i, u)
    {
        const char *id = gd_json_text(u, "user_id", "");

        if (!sb_same(gd_json_text(u, "customer", NULL), cid) || gd_json_i64(u, "visible", 0) > sb_now(r))
            continue;
        row = json_pack("{s:s,s:s,s:O,s:O,s:s,s:s}", "resourceName",
                        sb_strf(r, "customers/%s/customerUserAccesses/%s", cid, id), "userId", id,
                        "emailAddress", json_object_get(u, "email"), "accessRole", json_object_get(u, "role"),
                        "accessCreationDateTime", when(r, u), "inviterUserEmailAddress",
                        gd_json_text(u, "inviter", ""));
        if (gd_json_text(u, "review", NULL))
            json_object_set(row, "pendingMultiPartyAuthReview", json_object_get(u, "review"));
        add(rows, "customerUserAccess", row);
    }
}

static void invitations(struct sb_req *r, const char *cid, json_t *rows)
{
    const json_t *v;
    size_t i;

    json_array_foreach(sb_list(r, "invitations"), i, v)
    {
        const char *id = gd_json_text(v, "id", "");
        int64_t gone = gd_json_i64(v, "gone", 0);

        if (sb_same(gd_json_text(v, "customer", NULL), cid) && (!gone || gone > sb_now(r)))
            add(rows, "customerUserAccessInvitation",
                json_pack("{s:s,s:s,s:O,s:O,s:O,s:s}", "resourceName",
                          sb_strf(r, "customers/%s/customerUserAccessInvitations/%s", cid, id),
                          "invitationId", id, "emailAddress", json_object_get(v, "email"), "accessRole",
                          json_object_get(v, "role"), "invitationStatus", json_object_get(v, "status"),
                          "creationDateTime", when(r, v)));
    }
}

static void reviews(struct sb_req *r, const char *cid, json_t *rows)
{
    const json_t *v;
    size_t i;

    json_array_foreach(sb_list(r, "reviews"), i, v)
    {
        if (sb_same(gd_json_text(v, "customer", NULL), cid))
            add(rows, "multiPartyAuthReview",
                json_pack("{s:s,s:O,s:O,s:s,s:s}", "resourceName",
                          sb_strf(r, "customers/%s/multiPartyAuthReviews/%s", cid, gd_json_text(v, "id", "")),
                          "reviewStatus", json_object_get(v, "status"), "operationType",
                          json_object_get(v, "operation"), "targetResource", gd_json_text(v, "target", ""),
                          "creationDateTime", when(r, v)));
    }
}

#define LINK(m) m "_link.resource_name " m "_link.manager_link_id " m "_link.status "
static const struct resource {
    const char *name;
    void (*rows)(struct sb_req *r, const char *cid, json_t *rows);
    const char *fields;
} resources[] = {
    { "customer_client_link", client_links,
      LINK("customer_client") "customer_client_link.client_customer customer_client_link.hidden" },
    { "customer_manager_link", manager_links,
      LINK("customer_manager") "customer_manager_link.manager_customer" },
    { "customer", customer_row,
      "customer.resource_name customer.id customer.descriptive_name customer.status customer.currency_code "
      "customer.time_zone customer.manager customer.test_account" },
    { "customer_client", hierarchy,
      "customer_client.resource_name customer_client.id customer_client.descriptive_name "
      "customer_client.status "
      "customer_client.currency_code customer_client.time_zone customer_client.manager "
      "customer_client.test_account "
      "customer_client.level customer_client.client_customer" },
    { "customer_user_access", users,
      "customer_user_access.resource_name customer_user_access.user_id customer_user_access.email_address "
      "customer_user_access.access_role customer_user_access.access_creation_date_time "
      "customer_user_access.inviter_user_email_address "
      "customer_user_access.pending_multi_party_auth_review" },
    { "customer_user_access_invitation", invitations,
      "customer_user_access_invitation.resource_name customer_user_access_invitation.invitation_id "
      "customer_user_access_invitation.email_address customer_user_access_invitation.access_role "
      "customer_user_access_invitation.invitation_status "
      "customer_user_access_invitation.creation_date_time" },
    { "multi_party_auth_review", reviews,
      "multi_party_auth_review.resource_name multi_party_auth_review.review_status "
      "multi_party_auth_review.operation_type multi_party_auth_review.target_resource "
      "multi_party_auth_review.creation_date_time" },
};

static json_t *fields_of(struct sb_req *r, const char *names)
{
    json_t *out = json_object();

    while (*names) {
        size_t n = strcspn(names, " ");

        json_object_set_new(out, sb_strf(r, "%.*s", (int)n, names), json_true());
        names += n + (names[n] == ' ');
    }
    return out;
}

/* What the query finds, a new array; NULL when it has answered: B1 "| fieldMaskError / fieldError /
 * queryError / newResourceCreationError |"; its words are [assumed]. */
static json_t *answers(struct sb_req *r, const struct google_caller *c, const json_t *query)
{
    const char *from = gd_json_text(query, "from", ""), *word = "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE";
    json_t *rows = json_array(), *known = NULL, *found = NULL;

    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++) {
        if (strcmp(resources[i].name, from) != 0)
            continue;
        resources[i].rows(r, c->cid, rows);
        known = fields_of(r, resources[i].fields);
        found = gaql_run(query, rows, known, &word);
    }
    json_decref(rows);
    json_decref(known);
    if (!found)
        google_fail(r, 400, "queryError", word, NULL, "Error in query.");
    return found;
}

/* B1 "| fieldMaskError / fieldError / queryError / newResourceCreationError |"; its words are [assumed]. */
static json_t *parsed_query(struct sb_req *r, const json_t *body)
{
    const char *word = "EXPECTED_SELECT", *text = gd_json_text(body, "query", NULL);
    json_t *query = text ? gaql_parse(text, &word) : NULL;

    if (!text)
        google_fail(r, 400, "requestError", "REQUIRED_FIELD_MISSING", "query", "Required field is missing");
    else if (!query)
        google_fail(r, 400, "queryError", word, NULL, "Error in query.");
    return query;
}

static void one_page(struct sb_req *r, const json_t *body, json_t *found, const char *mask)
{
    const char *page = gd_json_text(body, "pageToken", "");
    size_t size = (size_t)sb_option_i64(r, "page_size"), start, n = json_array_size(found);
    json_t *results = json_array(), *out;

    start = strncmp(page, "page-", 5) == 0 ? (size_t)strtoull(page + 5, NULL, 10) : 0;
    for (size_t i = start; i < n && i < start + size; i++)
        json_array_append(results, json_array_get(found, i));
    out = json_pack("{s:s}", "fieldMask", mask);
    if (json_array_size(results))
        json_object_set(out, "results", results);
    if (start + size < n)
        json_object_set_new(out, "nextPageToken", json_string(sb_strf(r, "page-%zu", start + size)));
    json_decref(results);
    sb_json(r, 200, out);
}

/* B1 "do not send `pageSize` (error PAGE_SIZE_NOT_SUPPORTED)" */
static void search(struct sb_req *r)
{
    struct google_caller c;
    json_t *body = google_body(r, "query pageToken pageSize");
    GD_AUTO_JSON query = NULL;
    GD_AUTO_JSON found = NULL;

    if (!body || !google_auth(r, &c))
        return;
    if (json_object_get(body, "pageSize")) {
        google_fail(r, 400, "requestError", "PAGE_SIZE_NOT_SUPPORTED", "page_size",
                    "Setting the page size is not supported.");
        return;
    }
    query = parsed_query(r, body);
    found = query ? answers(r, &c, query) : NULL;
    if (found) {
        GD_AUTO_FREE char *mask = gaql_mask(query);

        one_page(r, body, found, mask);
    }
}

/* An array of batches; an empty result is []. */
static void stream(struct sb_req *r)
{
    struct google_caller c;
    json_t *body = google_body(r, "query");
    GD_AUTO_JSON query = NULL;
    json_t *found;

    if (!body || !google_auth(r, &c))
        return;
    query = parsed_query(r, body);
    found = query ? answers(r, &c, query) : NULL;
    if (found && json_array_size(found)) {
        GD_AUTO_FREE char *mask = gaql_mask(query);

        sb_json(r, 200,
                json_pack("[{s:o,s:s,s:s}]", "results", found, "fieldMask", mask, "requestId",
                          sb_make(r, "request_id", "rQ", 20)));
    } else if (found) {
        json_decref(found);
        sb_json(r, 200, json_array());
    }
}

#define ADS "googleads.googleapis.com"
const struct sb_route google_query_routes[] = {
    { "GET", ADS, "/{v}/customers:listAccessibleCustomers", list_accessible },
    { "POST", ADS, "/{v}/customers/{cid}/googleAds:search", search },
    { "POST", ADS, "/{v}/customers/{cid}/googleAds:searchStream", stream },
    { NULL, NULL, NULL, NULL },
};
