/* linkedin_ads.c - members, ad accounts and who works on them (linkedin_shopify_oauth2.md 1.3). */
#include "linkedin_int.h"
#include "linkedin_restli.h"

#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ACCOUNT_URN "urn:li:sponsoredAccount:"
#define PERSON_URN  "urn:li:person:"

/* 1.3 "Roles (enum `AccountUserRole`)" */
static const char *const roles[] = { "VIEWER", "CREATIVE_MANAGER", "CAMPAIGN_MANAGER", "ACCOUNT_MANAGER",
                                     "ACCOUNT_BILLING_ADMIN" };

static bool is_role(const char *role)
{
    for (size_t i = 0; role && i < 5; i++)
        if (strcmp(roles[i], role) == 0)
            return true;
    return false;
}

/* 1.3 "caller needs role ACCOUNT_MANAGER or ACCOUNT_BILLING_ADMIN" */
static bool manages(const char *role)
{
    return role && (strcmp(role, "ACCOUNT_MANAGER") == 0 || strcmp(role, "ACCOUNT_BILLING_ADMIN") == 0);
}

static json_t *row_of(struct sb_req *r, const char *account, const char *member)
{
    return sb_find2(sb_list(r, "users"), "account", account, "member", member);
}

static const char *role_of(struct sb_req *r, const struct linkedin_caller *c, const char *account)
{
    return gd_json_text(row_of(r, account, gd_json_text(c->member, "id", "")), "role", NULL);
}

/* What follows the prefix; NULL when the text is another kind of URN. */
static const char *after(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0 ? text + strlen(prefix) : NULL;
}

static bool digits(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == '\0';
}

static const struct sb_param *query_param(struct sb_req *r, const char *name)
{
    for (size_t i = 0; i < r->query.n; i++)
        if (strcmp(r->query.at[i].name, name) == 0)
            return &r->query.at[i];
    return NULL;
}

/* 1.1 "Without the protocol header a call falls back to protocol 1.0" */
static bool protocol_2(struct sb_req *r)
{
    return sb_same(sb_header(r, "X-Restli-Protocol-Version"), "2.0.0");
}

/* The value of a parameter in Rest.li 2 (kept until the request ends); NULL when it has answered: 1.1 "| 400
 * | `PARAM_INVALID`, `QUERY_PARAM_NOT_ALLOWED`, `FIELD_INVALID` |"; 1.3 "Encoder rules (for a C function)".
 */
static json_t *restli_param(struct sb_req *r, const char *name)
{
    const struct sb_param *p = query_param(r, name);
    json_t *value = p && protocol_2(r) ? restli_parse(p->raw, 0) : NULL;

    if (!value)
        linkedin_error(r, 400, "PARAM_INVALID", 0,
                       "Invalid param. Please see errorDetails for more information: %s", name);
    return value;
}

/* 1.1 "| 400 | `PARAM_INVALID`, `QUERY_PARAM_NOT_ALLOWED`, `FIELD_INVALID` |" */
static bool only_params(struct sb_req *r, const char *names)
{
    for (size_t i = 0; i < r->query.n; i++)
        if (!strstr(sb_strf(r, " %s ", names), sb_strf(r, " %s ", r->query.at[i].name)))
            return linkedin_error(r, 400, "QUERY_PARAM_NOT_ALLOWED", 0, "Query parameters not allowed: %s",
                                  r->query.at[i].name);
    return true;
}

/* A number in a parameter, dflt when absent; -1 when it has answered: 1.1 "| 400 | `PARAM_INVALID`,
 * `QUERY_PARAM_NOT_ALLOWED`, `FIELD_INVALID` |"; 1.3 "count ≤ 1000". */
static int64_t number_param(struct sb_req *r, const char *name, int64_t dflt, int64_t least, int64_t most)
{
    const char *text = sb_query(r, name);
    int64_t n = dflt;

    if (!text || (gd_parse_i64(text, &n) && n >= least && n <= most))
        return n;
    linkedin_error(r, 400, "PARAM_INVALID", 0, "The value of parameter %s is not valid", name);
    return -1;
}

/* ---- members ---- */

/* 1.3 "`r_basicprofile` (comes with the Advertising API product, serves `/v2/me`)" */
static void me(struct sb_req *r)
{
    struct linkedin_caller c;

    if (linkedin_auth(r, &c, "r_basicprofile"))
        sb_json(r, 200,
                json_pack("{s:s,s:O,s:O}", "id", linkedin_person(r, c.member, gd_json_text(c.app, "id", "")),
                          "localizedFirstName", json_object_get(c.member, "first"), "localizedLastName",
                          json_object_get(c.member, "last")));
}

/* 1.3 "`openid profile` (serves `/v2/userinfo`)" */
static void userinfo(struct sb_req *r)
{
    struct linkedin_caller c;

    if (linkedin_auth(r, &c, "openid"))
        sb_json(r, 200,
                json_pack("{s:s,s:s,s:O,s:O}", "sub",
                          linkedin_person(r, c.member, gd_json_text(c.app, "id", "")), "name",
                          sb_strf(r, "%s %s", gd_json_text(c.member, "first", ""),
                                  gd_json_text(c.member, "last", "")),
                          "given_name", json_object_get(c.member, "first"), "family_name",
                          json_object_get(c.member, "last")));
}

/* ---- ad accounts ---- */

static json_t *account_view(const json_t *a)
{
    static const char *const copied[] = { "name", "type", "status", "currency", "reference" };
    json_t *serving = json_object_get(a, "serving");
    json_t *out = json_pack("{s:I,s:b}", "id", (json_int_t)strtoll(gd_json_text(a, "id", "0"), NULL, 10),
                            "test", gd_json_bool(a, "test", false));

    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        if (json_object_get(a, copied[i]))
            json_object_set(out, copied[i], json_object_get(a, copied[i]));
    json_object_set_new(out, "servingStatuses",
                        serving ? json_deep_copy(serving) : json_pack("[s]", "RUNNABLE"));
    return out;
}

/* search=(status:(values:List(ACTIVE)),...): every member must hold one of its values. */
static bool matches(const json_t *account, const json_t *search)
{
    const char *name;
    json_t *wanted;

    json_object_foreach((json_t *)(uintptr_t)search, name, wanted)
    {
        json_t *list = json_object_get(wanted, "values");
        const char *have = strcmp(name, "test") == 0
                               ? (gd_json_bool(account, "test", false) ? "true" : "false")
                               : gd_json_text(account, name, "");

        if (list ? !sb_has_text(list, have) : !sb_same(json_string_value(wanted), have))
            return false;
    }
    return true;
}

/* 1.3 "| list ad accounts I can use |": which members a search has is [assumed]; 1.1 "| 400 |
 * `PARAM_INVALID`, `QUERY_PARAM_NOT_ALLOWED`, `FIELD_INVALID` |". */
static bool search_fits(struct sb_req *r, const json_t *search)
{
    const char *name;
    json_t *wanted;

    json_object_foreach((json_t *)(uintptr_t)search, name, wanted)
    {
        if (!strstr(" status type name id reference test ", sb_strf(r, " %s ", name)) ||
            (json_is_object(wanted) && !json_is_array(json_object_get(wanted, "values"))))
            return linkedin_error(r, 400, "PARAM_INVALID", 0, "Invalid param: search.%s", name);
    }
    return json_is_object(search) || linkedin_error(r, 400, "PARAM_INVALID", 0, "Invalid param: search");
}

static json_t *my_accounts(struct sb_req *r, const struct linkedin_caller *c, const json_t *search)
{
    json_t *out = json_array(), *a;
    size_t i;

    json_array_foreach(sb_list(r, "accounts"), i, a)
    {
        if (role_of(r, c, gd_json_text(a, "id", "")) && matches(a, search))
            json_array_append_new(out, account_view(a));
    }
    return out;
}

/* 1.3 "no token = last page; default 100, max 1000" */
static void account_page(struct sb_req *r, const json_t *all, int64_t size)
{
    const char *token = sb_query(r, "pageToken");
    size_t n = json_array_size(all), start = token ? (size_t)strtoull(token, NULL, 10) : 0;
    json_t *elements = json_array(), *metadata = json_object();

    for (size_t i = start; i < n && i < start + (size_t)size; i++)
        json_array_append(elements, json_array_get(all, i));
    if (start + (size_t)size < n)
        json_object_set_new(metadata, "nextPageToken", json_string(sb_strf(r, "%zu", start + (size_t)size)));
    sb_json(r, 200, json_pack("{s:o,s:o}", "elements", elements, "metadata", metadata));
}

/* 1.3 "| list ad accounts I can use |"; the answer to another finder is [assumed]. */
static void find_accounts(struct sb_req *r)
{
    struct linkedin_caller c;
    GD_AUTO_JSON search = NULL;
    int64_t size;

    if (!linkedin_auth(r, &c, "r_ads rw_ads") || !only_params(r, "q search pageSize pageToken"))
        return;
    if (!sb_same(sb_query(r, "q"), "search")) {
        linkedin_error(r, 400, "PARAM_INVALID", 0, "There is no such finder");
        return;
    }
    search = query_param(r, "search") ? restli_param(r, "search") : json_object();
    if (!search || !search_fits(r, search))
        return;
    size = number_param(r, "pageSize", 100, 1, 1000);
    if (size > 0) {
        GD_AUTO_JSON all = my_accounts(r, &c, search);

        account_page(r, all, size);
    }
}

/* 1.1 "the Ads API may also answer 404 for a resource you may not touch"; the call itself is [assumed]. */
static void one_account(struct sb_req *r)
{
    struct linkedin_caller c;
    const char *id = sb_path(r, "id");
    json_t *account = id ? sb_find(sb_list(r, "accounts"), "id", id) : NULL;

    if (!linkedin_auth(r, &c, "r_ads rw_ads"))
        return;
    if (account && role_of(r, &c, id))
        sb_json(r, 200, account_view(account));
    else
        linkedin_error(r, 404, "RESOURCE_NOT_FOUND", 0, "No ad account %s", id ? id : "");
}

/* ---- who works on an account ---- */

static json_t *user_view(struct sb_req *r, const struct linkedin_caller *c, const json_t *row)
{
    const json_t *member = sb_find(sb_list(r, "members"), "id", gd_json_text(row, "member", ""));

    return json_pack("{s:s,s:O,s:s,s:{s:{s:I},s:{s:I}},s:{s:s}}", "account",
                     sb_strf(r, ACCOUNT_URN "%s", gd_json_text(row, "account", "")), "role",
                     json_object_get(row, "role"), "user",
                     sb_strf(r, PERSON_URN "%s", linkedin_person(r, member, gd_json_text(c->app, "id", ""))),
                     "changeAuditStamps", "created", "time", (json_int_t)gd_json_i64(row, "created", 0),
                     "lastModified", "time", (json_int_t)gd_json_i64(row, "modified", 0), "version",
                     "versionTag", sb_strf(r, "%d", (int)gd_json_i64(row, "version", 1)));
}

static json_t *links(struct sb_req *r, int64_t start, int64_t count, size_t n)
{
    if (start + count >= (int64_t)n)
        return json_array();
    return json_pack("[{s:s,s:s,s:s}]", "rel", "next", "type", "application/json", "href",
                     sb_strf(r, "/rest/adAccountUsers?q=%s&start=%lld&count=%lld", sb_query(r, "q"),
                             (long long)(start + count), (long long)count));
}

/* 1.3 "more than 100 results without paging parameters is a 400". unasked: what paging.count says when nobody
 * asked: 0.1
 * "`q=accounts` without `count` answers". */
static void user_page(struct sb_req *r, const json_t *all, int64_t unasked)
{
    int64_t start = number_param(r, "start", 0, 0, INT32_MAX),
            count = number_param(r, "count", unasked, 0, 1000);
    size_t n = json_array_size(all);
    json_t *elements;

    if (start < 0 || count < 0)
        return;
    if (n > 100 && !sb_query(r, "count")) {
        linkedin_error(r, 400, "PARAM_INVALID", 0, "More than 100 results need paging parameters");
        return;
    }
    elements = json_array();
    for (size_t i = (size_t)start; i < n && i < (size_t)(start + count); i++)
        json_array_append(elements, json_array_get(all, i));
    sb_json(r, 200,
            json_pack("{s:o,s:{s:I,s:I,s:o,s:I}}", "elements", elements, "paging", "start", (json_int_t)start,
                      "count", (json_int_t)count, "links", links(r, start, count, n), "total",
                      (json_int_t)n));
}

/* Rows of the member, or of the account. */
static json_t *rows_where(struct sb_req *r, const struct linkedin_caller *c, const char *key,
                          const char *value, const char *only_member)
{
    json_t *out = json_array(), *row;
    size_t i;

    json_array_foreach(sb_list(r, "users"), i, row)
    {
        if (sb_same(gd_json_text(row, key, NULL), value) &&
            (!only_member || sb_same(gd_json_text(row, "member", NULL), only_member)))
            json_array_append_new(out, user_view(r, c, row));
    }
    return out;
}

/* The account of accounts=List(urn...) or the bare URN: 1.3 "only the *first* account of the list is
 * honoured"; 1.1 "| 400 | non-numeric account id in the finder". NULL when it has answered. */
static const char *account_asked(struct sb_req *r)
{
    const struct sb_param *p = query_param(r, "accounts");
    GD_AUTO_JSON parsed = NULL;
    const char *id;

    if (p && strncmp(p->value, "urn:", 4) == 0)
        parsed = json_pack("[s]", p->value);
    else
        parsed = restli_param(r, "accounts");
    if (!parsed)
        return NULL;
    id = after(json_string_value(json_array_get(parsed, 0)), ACCOUNT_URN);
    if (id && digits(id))
        return sb_strf(r, "%s", id);
    linkedin_error(r, 400, "PARAM_INVALID", 0, "Invalid param: accounts");
    return NULL;
}

/* 1.3 "With a lower role the q=accounts finder returns only the caller"; 1.1 "q=accounts on an unknown
 * account id gives 404". */
static void users_of_account(struct sb_req *r, const struct linkedin_caller *c)
{
    const char *account = account_asked(r), *role = account ? role_of(r, c, account) : NULL;

    if (account && !role) {
        linkedin_error(r, 404, "RESOURCE_NOT_FOUND", 0, "No ad account %s", account);
    } else if (account) {
        GD_AUTO_JSON all =
            rows_where(r, c, "account", account, manages(role) ? NULL : gd_json_text(c->member, "id", ""));

        user_page(r, all, INT32_MAX);
    }
}

/* 1.3 "| accounts + my role |" and "| users of one account |"; the answer to another one is [assumed]. */
static void find_users(struct sb_req *r)
{
    struct linkedin_caller c;
    const char *finder = sb_query(r, "q");

    if (!linkedin_auth(r, &c, "r_ads rw_ads") || !only_params(r, "q accounts start count"))
        return;
    if (sb_same(finder, "accounts")) {
        users_of_account(r, &c);
    } else if (sb_same(finder, "authenticatedUser")) {
        GD_AUTO_JSON all = rows_where(r, &c, "member", gd_json_text(c.member, "id", ""), NULL);

        user_page(r, all, (int64_t)json_array_size(all));
    } else {
        linkedin_error(r, 400, "PARAM_INVALID", 0, "There is no such finder");
    }
}

/* ---- one user: the key (account:URN,user:URN) ---- */

struct key {
    const char *account, *person; /* without the URN */
    json_t *member;               /* NULL: nobody this app knows */
};

static json_t *member_of(struct sb_req *r, const char *person, const char *app)
{
    json_t *one;
    size_t i;

    json_array_foreach(sb_list(r, "members"), i, one)
    {
        if (strcmp(linkedin_person(r, one, app), person) == 0)
            return one;
    }
    return NULL;
}

/* 1.3 "**Key encoding (Rest.li 2.0 compound key).**"; 0.1 "form of the compound key was answered 400 live":
 * the option takes it. */
static json_t *parsed_key(struct sb_req *r)
{
    const char *raw = sb_path_raw(r, "key");
    json_t *out = protocol_2(r) ? restli_parse(raw, 0) : NULL;

    if (!json_is_object(out) && sb_option_bool(r, "equals_keys")) {
        json_decref(out);
        out = restli_parse(raw, 1);
    }
    return out;
}

/* 0.1 "form of the compound key was answered 400 live": the word is [assumed]. */
static bool key_of(struct sb_req *r, const struct linkedin_caller *c, struct key *k)
{
    GD_AUTO_JSON parsed = parsed_key(r);
    const char *account = after(gd_json_text(parsed, "account", NULL), ACCOUNT_URN);
    const char *person = after(gd_json_text(parsed, "user", NULL), PERSON_URN);

    *k = (struct key){ 0 };
    if (!account || !digits(account) || !person || !*person || json_object_size(parsed) != 2)
        return linkedin_error(r, 400, "PARAM_INVALID", 0, "Path key is not valid");
    k->account = sb_strf(r, "%s", account);
    k->person = sb_strf(r, "%s", person);
    k->member = member_of(r, k->person, gd_json_text(c->app, "id", ""));
    return true;
}

/* 1.3 "200 record; 404 none": the word is [assumed]. */
static bool not_found(struct sb_req *r)
{
    return linkedin_error(r, 404, "RESOURCE_NOT_FOUND", 0, "No account user of that key");
}

/* 1.3 "| one user |" */
static void get_user(struct sb_req *r)
{
    struct linkedin_caller c;
    struct key k;
    const json_t *row;
    bool mine;

    if (!linkedin_auth(r, &c, "r_ads rw_ads") || !key_of(r, &c, &k))
        return;
    row = k.member ? row_of(r, k.account, gd_json_text(k.member, "id", "")) : NULL;
    mine = k.member == c.member;
    if (row && (mine || manages(role_of(r, &c, k.account))))
        sb_json(r, 200, user_view(r, &c, row));
    else
        not_found(r);
}

/* 1.3 "Development tier may edit only up to 5 ad accounts"; 1.1 "| 403 | 100 / `ACCESS_DENIED`". */
static bool tier_allows(struct sb_req *r, const struct linkedin_caller *c, const char *account)
{
    const char *app = gd_json_text(c->app, "id", "");
    json_t *edited = json_object_get(sb_table(r, "edited"), app);

    if (!sb_same(gd_json_text(c->app, "tier", "standard"), "development") || sb_has_text(edited, account))
        return true;
    if (!edited) {
        edited = json_array();
        json_object_set_new(sb_table(r, "edited"), app, edited);
    }
    if (json_array_size(edited) >= 5)
        return linkedin_error(r, 403, NULL, 100,
                              "Not enough permissions to access: the app may edit 5 ad accounts");
    json_array_append_new(edited, json_string(account));
    return true;
}

/* Whether the caller may change who works on the account; false when it has answered: 1.3 "caller needs role
 * ACCOUNT_MANAGER or ACCOUNT_BILLING_ADMIN"; 1.1 "| 404 | | entity missing" and "| 403 | 100 /
 * `ACCESS_DENIED`"; 6 "What the API answers for an ad account managed by Business Manager". */
static bool may_change(struct sb_req *r, const struct linkedin_caller *c, const char *account)
{
    const json_t *found = sb_find(sb_list(r, "accounts"), "id", account);
    const char *role = role_of(r, c, account);

    if (!found || !role)
        return linkedin_error(r, 404, "RESOURCE_NOT_FOUND", 0, "No ad account %s", account);
    if (!manages(role) || gd_json_bool(found, "business_manager", false))
        return linkedin_error(r, 403, NULL, 100, "Not enough permissions to access: %s /adAccountUsers",
                              r->method);
    return tier_allows(r, c, account);
}

/* account and user of a body agree with the key; missing only where they may be: 1.1 "| 400 |
 * `ACCOUNT_ID_MISMATCH_IN_PARAM_AND_BODY`"; 1.3 "body `{account,user,role}`". */
static bool agrees(struct sb_req *r, const struct key *k, const json_t *body, bool may_miss)
{
    const char *account = gd_json_text(body, "account", NULL), *user = gd_json_text(body, "user", NULL);

    if (!may_miss && (!account || !user))
        return linkedin_invalid(r, "FIELD_INVALID", account ? "user" : "account",
                                "field is required but not found");
    if (account && !sb_same(account, sb_strf(r, ACCOUNT_URN "%s", k->account)))
        return linkedin_invalid(r, "ACCOUNT_ID_MISMATCH_IN_PARAM_AND_BODY", "account",
                                "account differs from the key");
    if (user && !sb_same(user, sb_strf(r, PERSON_URN "%s", k->person)))
        return linkedin_invalid(r, "USER_MISMATCH_IN_PARAM_AND_BODY", "user", "user differs from the key");
    return true;
}

static bool has_billing_admin(struct sb_req *r, const char *account, const char *except)
{
    const json_t *row = sb_find2(sb_list(r, "users"), "account", account, "role", "ACCOUNT_BILLING_ADMIN");

    return row && !sb_same(gd_json_text(row, "member", NULL), except);
}

/* 1.1 "| 400 | `PARAM_INVALID`, `QUERY_PARAM_NOT_ALLOWED`,
 * `FIELD_INVALID` |" and "| 400 | `MEMBER_HAD_UNCONFIRMED_EMAIL` |"; 1.3 "exactly one per account"; 1.7
 * "second BILLING_ADMIN refused" [assumed]. */
static bool role_fits(struct sb_req *r, const struct key *k, const char *role)
{
    if (!is_role(role))
        return linkedin_invalid(r, "FIELD_INVALID", "role", "role is not one of AccountUserRole");
    if (strcmp(role, "ACCOUNT_BILLING_ADMIN") == 0 &&
        has_billing_admin(r, k->account, gd_json_text(k->member, "id", "")))
        return linkedin_invalid(r, "FIELD_INVALID", "role", "the account has a billing admin");
    if (!gd_json_bool(k->member, "email_confirmed", true))
        return linkedin_invalid(r, "MEMBER_HAD_UNCONFIRMED_EMAIL", "user",
                                "the member has no confirmed e-mail address");
    return true;
}

static json_t *put_row(struct sb_req *r, const struct key *k, const char *role)
{
    const char *member = gd_json_text(k->member, "id", "");
    json_t *row = row_of(r, k->account, member);
    json_int_t now = (json_int_t)sb_now(r) * 1000;

    if (!row) {
        row = json_pack("{s:s,s:s,s:I}", "account", k->account, "member", member, "created", now);
        json_array_append_new(sb_list(r, "users"), row);
    }
    json_object_set_new(row, "role", json_string(role));
    json_object_set_new(row, "modified", json_integer(now));
    json_object_set_new(row, "version", json_integer(gd_json_i64(row, "version", 0) + 1));
    return row;
}

/* 1.1 "JSON only in and out"; the status for anything else is [assumed]. */
static json_t *json_of(struct sb_req *r)
{
    json_t *body = sb_body_json(r);

    if (json_is_object(body) && sb_has_type(r, "application/json"))
        return body;
    linkedin_error(r, 400, NULL, 0, "The body must be JSON, and its type application/json");
    return NULL;
}

/* Fault partial: each account and member is a call of its own, and this one is refused: 1.1 "| 403 | 100 /
 * `ACCESS_DENIED`". */
static bool goes_well(struct sb_req *r)
{
    return !sb_fault(r, "partial") ||
           linkedin_error(r, 403, NULL, 100, "Not enough permissions to access: PUT /adAccountUsers");
}

/* 1.3 "| grant (create or replace) |"; 6 "Exact success status and body"; a person that the app does not
 * know: 1.1 "| 400 | `PARAM_INVALID`, `QUERY_PARAM_NOT_ALLOWED`, `FIELD_INVALID` |", the word [assumed]. */
static void put_user(struct sb_req *r)
{
    struct linkedin_caller c;
    struct key k;
    const json_t *body, *row;
    const char *role;
    int64_t status = sb_option_i64(r, "put_status");

    if (!linkedin_auth(r, &c, "rw_ads") || !key_of(r, &c, &k) || !(body = json_of(r)) ||
        !agrees(r, &k, body, false) || !may_change(r, &c, k.account))
        return;
    role = gd_json_text(body, "role", NULL);
    if (!k.member) {
        linkedin_invalid(r, "FIELD_INVALID", "user", "no such person for this app");
        return;
    }
    if (!role_fits(r, &k, role) || !goes_well(r))
        return;
    if (sb_fault(r, "role_downgrade")) /* an administrator made less of it meanwhile [assumed] */
        role = "VIEWER";
    row = put_row(r, &k, role);
    sb_answer_header(r, "x-restli-id", "%s", sb_path_raw(r, "key"));
    if (status == 200)
        sb_json(r, 200, user_view(r, &c, row));
    else
        sb_empty(r, (int)status);
}

/* 1.1 "`X-RestLi-Method` is needed where one HTTP verb stands for several": its refusal is [assumed]; 1.3 "|
 * change role |". */
static void update_user(struct sb_req *r)
{
    struct linkedin_caller c;
    struct key k;
    const char *method = sb_header(r, "X-RestLi-Method");
    const json_t *set;

    if (!linkedin_auth(r, &c, "rw_ads") || !key_of(r, &c, &k))
        return;
    if (!method || strcasecmp(method, "PARTIAL_UPDATE") != 0) {
        linkedin_error(r, 400, NULL, 0, "POST on this resource needs X-RestLi-Method: PARTIAL_UPDATE");
        return;
    }
    set = json_object_get(json_object_get(json_of(r), "patch"), "$set");
    if (sb_answered(r))
        return;
    if (!k.member || !row_of(r, k.account, gd_json_text(k.member, "id", ""))) {
        not_found(r);
        return;
    }
    if (!json_is_object(set))
        linkedin_invalid(r, "FIELD_INVALID", "patch", "patch.$set is required");
    else if (agrees(r, &k, set, true) && may_change(r, &c, k.account) &&
             role_fits(r, &k, gd_json_text(set, "role", NULL))) {
        put_row(r, &k, gd_json_text(set, "role", NULL));
        sb_empty(r, 204);
    }
}

/* 1.3 "| revoke | `DELETE" */
static void delete_user(struct sb_req *r)
{
    struct linkedin_caller c;
    struct key k;
    const char *member;

    if (!linkedin_auth(r, &c, "rw_ads") || !key_of(r, &c, &k))
        return;
    member = gd_json_text(k.member, "id", "");
    if (!(k.member == c.member && sb_option_bool(r, "self_delete")) && !may_change(r, &c, k.account))
        return;
    if (k.member && sb_remove(sb_list(r, "users"), "account", k.account, "member", member))
        sb_empty(r, 204);
    else
        not_found(r);
}

#define API "api.linkedin.com"
const struct sb_route linkedin_ads_routes[] = {
    { "GET", API, "/v2/me", me },
    { "GET", API, "/v2/userinfo", userinfo },
    { "GET", API, "/rest/adAccounts", find_accounts },
    { "GET", API, "/rest/adAccounts/{id}", one_account },
    { "GET", API, "/rest/adAccountUsers", find_users },
    { "GET", API, "/rest/adAccountUsers/{key}", get_user },
    { "PUT", API, "/rest/adAccountUsers/{key}", put_user },
    { "POST", API, "/rest/adAccountUsers/{key}", update_user },
    { "DELETE", API, "/rest/adAccountUsers/{key}", delete_user },
    { NULL, NULL, NULL, NULL },
};
