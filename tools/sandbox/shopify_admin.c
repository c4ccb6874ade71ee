/* shopify_admin.c - the Admin API as far as access is concerned: GraphQL and three calls of REST
 * (linkedin_shopify_oauth2.md 2.1, 2.3, 2.4). */
#include "shopify_int.h"
#include "shopify_graphql.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* ---- costs ---- */

/* 2.4 "100 points/s (Standard), 200 (Advanced), 1000 (Plus), 2000 (Enterprise)"; that the bucket holds twenty
 * seconds of them is [assumed]. */
static double restore_rate(const json_t *shop)
{
    const char *plan = gd_json_text(shop, "plan", "standard");

    return strcmp(plan, "enterprise") == 0 ? 2000
           : strcmp(plan, "plus") == 0     ? 1000
           : strcmp(plan, "advanced") == 0 ? 200
                                           : 100;
}

/* What is left in the bucket now. */
static double available(struct sb_req *r, const struct shopify_caller *c, const char *key)
{
    const json_t *bucket = json_object_get(sb_table(r, "buckets"), key);
    double rate = restore_rate(c->shop), most = 20 * rate;
    double now = json_number_value(json_object_get(bucket, "available")) +
                 rate * (double)(sb_now(r) - gd_json_i64(bucket, "at", 0));

    return !bucket || now > most ? most : now;
}

static json_t *cost_json(const struct shopify_caller *c, int requested, json_t *actual, double left)
{
    double rate = restore_rate(c->shop);

    return json_pack("{s:{s:i,s:o,s:{s:f,s:f,s:f}}}", "cost", "requestedQueryCost", requested,
                     "actualQueryCost", actual, "throttleStatus", "maximumAvailable", 20 * rate,
                     "currentlyAvailable", left, "restoreRate", rate);
}

static json_t *one_error(const char *message, const char *code)
{
    json_t *error = json_pack("{s:s}", "message", message);

    if (code)
        json_object_set_new(error, "extensions", json_pack("{s:s}", "code", code));
    return json_pack("[o]", error);
}

static void refuse(struct sb_req *r, const char *message, const char *code)
{
    sb_json(r, 200, json_pack("{s:o}", "errors", one_error(message, code)));
}

/* 2.4 "Throttled = HTTP 200"; 6 "GraphQL 200-vs-429 when throttled". */
static void throttled(struct sb_req *r, const struct shopify_caller *c, int requested, double left)
{
    sb_json(r, sb_option_bool(r, "throttled_as_429") ? 429 : 200,
            json_pack("{s:o,s:o}", "errors", one_error("Throttled", "THROTTLED"), "extensions",
                      cost_json(c, requested, json_null(), left)));
}

/* Takes the points; false when it has answered: 2.1 "| GraphQL `MAX_COST_EXCEEDED` |" and "| GraphQL
 * `THROTTLED` (HTTP 200) |". The extensions of the answer in *ret. */
static bool pay(struct sb_req *r, const struct shopify_caller *c, int cost, json_t **ret)
{
    const char *key =
        sb_strf(r, "%s %s", gd_json_text(c->shop, "domain", ""), gd_json_text(c->app, "id", ""));
    const json_t *fault = sb_fault(r, "throttled");
    double left = available(r, c, key);

    if (fault) {
        throttled(r, c, (int)gd_json_i64(fault, "requested", 752),
                  (double)gd_json_i64(fault, "available", 452));
        return false;
    }
    if (cost > 1000) {
        refuse(r, "Query cost is too high", "MAX_COST_EXCEEDED");
        return false;
    }
    if ((double)cost > left) {
        throttled(r, c, cost, floor(left));
        return false;
    }
    json_object_set_new(sb_table(r, "buckets"), key,
                        json_pack("{s:f,s:I}", "available", left - cost, "at", (json_int_t)sb_now(r)));
    *ret = cost_json(c, cost, json_integer(cost), left - cost);
    return true;
}

/* ---- what can be asked for ---- */

static json_t *scopes_view(const json_t *scopes)
{
    json_t *out = json_array(), *one;
    size_t i;

    json_array_foreach(scopes, i, one)
    {
        json_array_append_new(
            out, json_pack("{s:s,s:O,s:O}", "__typename", "AccessScope", "handle", one, "description", one));
    }
    return out;
}

static json_t *app_view(struct sb_req *r, const struct shopify_caller *c)
{
    return json_pack("{s:s,s:s,s:O,s:O}", "__typename", "App", "id",
                     sb_strf(r, "gid://shopify/App/%s", gd_json_text(c->app, "gid", "5")), "title",
                     json_object_get(c->app, "name"), "apiKey", json_object_get(c->app, "id"));
}

static json_t *shop_view(struct sb_req *r, const struct shopify_caller *c)
{
    const char *domain = gd_json_text(c->shop, "primary_domain", "");

    return json_pack("{s:s,s:s,s:O,s:s,s:O,s:{s:s,s:s,s:s},s:{s:s,s:s,s:b}}", "__typename", "Shop", "id",
                     sb_strf(r, "gid://shopify/Shop/%s", gd_json_text(c->shop, "id", "")), "name",
                     json_object_get(c->shop, "name"), "email", gd_json_text(c->shop, "email", ""),
                     "myshopifyDomain", json_object_get(c->shop, "domain"), "primaryDomain", "__typename",
                     "Domain", "host", domain, "url", sb_strf(r, "https://%s", domain), "plan", "__typename",
                     "ShopPlan", "publicDisplayName", gd_json_text(c->shop, "plan", "standard"),
                     "shopifyPlus", sb_same(gd_json_text(c->shop, "plan", NULL), "plus"));
}

static json_t *install_view(struct sb_req *r, const struct shopify_caller *c)
{
    return json_pack("{s:s,s:s,s:o,s:o}", "__typename", "AppInstallation", "id",
                     sb_strf(r, "gid://shopify/AppInstallation/%s", gd_json_text(c->install, "id", "")),
                     "accessScopes", scopes_view(json_object_get(c->token, "scopes")), "app", app_view(r, c));
}

static json_t *page_info(void)
{
    return json_pack("{s:s,s:b,s:n}", "__typename", "PageInfo", "hasNextPage", 0, "endCursor");
}

/* 2.3 "`COLLABORATOR_TEAM_MEMBER` (accepted) or `REQUESTED` (pending)" */
static json_t *staff_view(struct sb_req *r, const struct shopify_caller *c)
{
    json_t *nodes = json_array(), *one;
    size_t i;

    json_array_foreach(json_object_get(c->shop, "staff"), i, one)
    {
        json_array_append_new(nodes, json_pack("{s:s,s:s,s:O,s:O,s:b}", "__typename", "StaffMember", "id",
                                               sb_strf(r, "gid://shopify/StaffMember/%zu", i + 1), "email",
                                               json_object_get(one, "email"), "accountType",
                                               json_object_get(one, "account_type"), "active",
                                               gd_json_bool(one, "active", true)));
    }
    return json_pack("{s:s,s:o,s:o}", "__typename", "StaffMemberConnection", "nodes", nodes, "pageInfo",
                     page_info());
}

static json_t *webhook_view(struct sb_req *r, const json_t *w)
{
    return json_pack("{s:s,s:s,s:O,s:O,s:O,s:s}", "__typename", "WebhookSubscription", "id",
                     sb_strf(r, "gid://shopify/WebhookSubscription/%s", gd_json_text(w, "id", "")), "topic",
                     json_object_get(w, "topic"), "uri", json_object_get(w, "uri"), "callbackUrl",
                     json_object_get(w, "uri"), "format", "JSON");
}

static json_t *webhooks_view(struct sb_req *r, const struct shopify_caller *c)
{
    json_t *nodes = json_array(), *one;
    size_t i;

    json_array_foreach(sb_list(r, "webhooks"), i, one)
    {
        if (sb_same(gd_json_text(one, "shop", NULL), gd_json_text(c->shop, "domain", "")) &&
            sb_same(gd_json_text(one, "app", NULL), gd_json_text(c->app, "id", "")))
            json_array_append_new(nodes, webhook_view(r, one));
    }
    return json_pack("{s:s,s:o,s:o}", "__typename", "WebhookSubscriptionConnection", "nodes", nodes,
                     "pageInfo", page_info());
}

static json_t *root(struct sb_req *r, const struct shopify_caller *c)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o}", "__typename", "QueryRoot", "shop", shop_view(r, c),
                     "currentAppInstallation", install_view(r, c), "staffMembers", staff_view(r, c),
                     "webhookSubscriptions", webhooks_view(r, c));
}

static bool selects(const json_t *select, const char *name)
{
    return sb_find(select, "name", name) != NULL;
}

/* 2.3 "needs `read_users`, which Shopify Support must enable and which works only on Plus/Advanced stores" */
static bool may_read_staff(const struct shopify_caller *c)
{
    const char *plan = gd_json_text(c->shop, "plan", "standard");

    return shopify_has_scope(c, "read_users") && strcmp(plan, "standard") != 0;
}

/* ---- changes ---- */

static json_t *user_errors(const char *type, const char *field, const char *message, const char *code)
{
    json_t *error = json_pack("{s:s,s:[s],s:s,s:o}", "__typename", type, "field", field, "message", message,
                              "code", code ? json_string(code) : json_null());

    return json_pack("[o]", error);
}

/* 2.3 "GraphQL `appUninstall` (no arguments"; 0.1 "`appUninstall` codes". */
static json_t *app_uninstall(struct sb_req *r, const struct shopify_caller *c, const json_t *args)
{
    const json_t *fault = sb_fault(r, "uninstall_error");
    json_t *out =
        json_pack("{s:s,s:o,s:[]}", "__typename", "AppUninstallPayload", "app", app_view(r, c), "userErrors");

    (void)args;
    if (fault) {
        json_object_set_new(out, "app", json_null());
        json_object_set_new(out, "userErrors",
                            user_errors("AppUninstallError", "base", "The app could not be uninstalled",
                                        gd_json_text(fault, "code", "APP_UNINSTALL_ERROR")));
    } else {
        shopify_uninstall(r, gd_json_text(c->shop, "domain", ""), gd_json_text(c->app, "id", ""));
    }
    return out;
}

static void drop_scope(json_t *list, const char *scope)
{
    for (size_t i = json_array_size(list); i-- > 0;)
        if (sb_same(json_string_value(json_array_get(list, i)), scope))
            json_array_remove(list, i);
}

/* 2.3 "works for *optional* (dynamically granted) scopes only" */
static json_t *revoke_scopes(struct sb_req *r, const struct shopify_caller *c, const json_t *args)
{
    const json_t *scopes = json_object_get(args, "scopes"), *one;
    json_t *revoked = json_array(), *out;
    size_t i;

    out = json_pack("{s:s,s:o,s:[]}", "__typename", "AppRevokeAccessScopesPayload", "revoked", revoked,
                    "userErrors");
    json_array_foreach(scopes, i, one)
    {
        if (!sb_has_text(json_object_get(c->install, "optional"), json_string_value(one)))
            json_object_set_new(out, "userErrors",
                                user_errors("AppRevokeAccessScopesAppRevokeScopeError", "scopes",
                                            "Only optional scopes can be revoked", NULL));
    }
    if (json_array_size(json_object_get(out, "userErrors")))
        return out;
    json_array_foreach(scopes, i, one)
    {
        const char *name = sb_strf(r, "%s", json_string_value(one));

        drop_scope(json_object_get(c->install, "scopes"), name);
        drop_scope(json_object_get(c->token, "scopes"), name);
        json_array_append_new(revoked, json_pack("{s:s,s:s,s:s}", "__typename", "AccessScope", "handle", name,
                                                 "description", name));
    }
    return out;
}

/* 2.5 "input field is `callbackUrl` in older versions, `uri` in current ones": both are taken; which
 * addresses are is [assumed]. */
static json_t *webhook_create(struct sb_req *r, const struct shopify_caller *c, const json_t *args)
{
    const json_t *input = json_object_get(args, "webhookSubscription");
    const char *uri = gd_json_text(input, "uri", gd_json_text(input, "callbackUrl", NULL));
    const char *topic = gd_json_text(args, "topic", NULL);
    json_t *made, *out = json_pack("{s:s,s:n,s:[]}", "__typename", "WebhookSubscriptionCreatePayload",
                                   "webhookSubscription", "userErrors");

    if (!topic || !uri || (strncmp(uri, "https://", 8) != 0 && strncmp(uri, "http://127.", 11) != 0)) {
        json_object_set_new(out, "userErrors",
                            user_errors("UserError", "webhookSubscription",
                                        "Address protocol http:// is not supported", NULL));
        return out;
    }
    made = json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", sb_make_digits(r, "webhook", "10", 8), "shop",
                     gd_json_text(c->shop, "domain", ""), "app", gd_json_text(c->app, "id", ""), "topic",
                     topic, "uri", uri);
    json_array_append_new(sb_list(r, "webhooks"), made);
    json_object_set_new(out, "webhookSubscription", webhook_view(r, made));
    return out;
}

static json_t *webhook_delete(struct sb_req *r, const struct shopify_caller *c, const json_t *args)
{
    const char *id = gd_json_text(args, "id", ""), *slash = strrchr(id, '/');
    size_t n = slash ? sb_remove(sb_list(r, "webhooks"), "id", slash + 1, "shop",
                                 gd_json_text(c->shop, "domain", ""))
                     : 0;

    return json_pack("{s:s,s:o,s:o}", "__typename", "WebhookSubscriptionDeletePayload",
                     "deletedWebhookSubscriptionId", n ? json_string(id) : json_null(), "userErrors",
                     n ? json_array()
                       : user_errors("UserError", "id", "Webhook subscription does not exist", NULL));
}

static const struct change {
    const char *name;
    json_t *(*run)(struct sb_req *r, const struct shopify_caller *c, const json_t *args);
    const char *members; /* of the payload, so that a bad selection changes nothing */
} changes[] = {
    { "appUninstall", app_uninstall, "app userErrors" },
    { "appRevokeAccessScopes", revoke_scopes, "revoked userErrors" },
    { "webhookSubscriptionCreate", webhook_create, "webhookSubscription userErrors" },
    { "webhookSubscriptionDelete", webhook_delete, "deletedWebhookSubscriptionId userErrors" },
};

static const struct change *change_named(const char *name)
{
    for (size_t i = 0; name && i < sizeof changes / sizeof *changes; i++)
        if (strcmp(changes[i].name, name) == 0)
            return &changes[i];
    return NULL;
}

/* Whether every change and the members asked of it exist; the complaint in *ret. */
static bool changes_known(struct sb_req *r, const json_t *select, char **ret)
{
    const json_t *one, *member;
    size_t i, k;

    json_array_foreach(select, i, one)
    {
        const struct change *found = change_named(gd_json_text(one, "name", ""));

        if (!found)
            *ret = gd_strf("Field '%s' doesn't exist on type 'Mutation'", gd_json_text(one, "name", ""));
        json_array_foreach(json_object_get(one, "select"), k, member)
        {
            if (found && !strstr(sb_strf(r, " %s ", found->members),
                                 sb_strf(r, " %s ", gd_json_text(member, "name", ""))))
                *ret = gd_strf("Field '%s' doesn't exist on the payload", gd_json_text(member, "name", ""));
        }
        if (*ret)
            return false;
    }
    return true;
}

static json_t *run_changes(struct sb_req *r, const struct shopify_caller *c, const json_t *select,
                           char **ret_wrong)
{
    json_t *out = json_object(), *one;
    size_t i;

    if (!changes_known(r, select, ret_wrong)) {
        json_decref(out);
        return NULL;
    }
    json_array_foreach(select, i, one)
    {
        const struct change *found = change_named(gd_json_text(one, "name", ""));
        GD_AUTO_JSON payload = found->run(r, c, json_object_get(one, "args"));
        json_t *picked = gql_project(json_object_get(one, "select"), payload, ret_wrong);

        if (*ret_wrong)
            break;
        json_object_set_new(out, gd_json_text(one, "alias", ""), picked);
    }
    return out;
}

/* ---- the endpoint ---- */

/* 2.3 "needs `read_users`, which Shopify Support must enable"; 2.1 "| GraphQL `ACCESS_DENIED` |"; what a
 * wrong field gets is [assumed]. */
static void answer(struct sb_req *r, const struct shopify_caller *c, const json_t *operation)
{
    const json_t *select = json_object_get(operation, "select");
    bool change = sb_same(gd_json_text(operation, "type", NULL), "mutation");
    json_t *extensions = NULL, *data;
    char *wrong = NULL;

    if (!change && selects(select, "staffMembers") && !may_read_staff(c)) {
        refuse(r, "Access denied for staffMembers field.", "ACCESS_DENIED");
        return;
    }
    if (!pay(r, c, change ? 10 : gql_cost(select), &extensions))
        return;
    if (change) {
        data = run_changes(r, c, select, &wrong);
    } else {
        GD_AUTO_JSON whole = root(r, c);

        data = gql_project(select, whole, &wrong);
    }
    if (wrong) {
        refuse(r, wrong, "undefinedField");
        json_decref(data);
        json_decref(extensions);
        gd_free(wrong);
    } else {
        sb_json(r, 200, json_pack("{s:o,s:o}", "data", data, "extensions", extensions));
    }
}

/* 2.1 "GraphQL 200 with `errors[]`" and "| 404, 406, 414, 415 | our URL or headers |"; the texts are
 * [assumed]. */
static void graphql(struct sb_req *r)
{
    struct shopify_caller c;
    const json_t *body = sb_body_json(r);
    const char *query = gd_json_text(body, "query", NULL);
    char *wrong = NULL;
    json_t *operation;

    if (!shopify_auth(r, &c))
        return;
    if (!sb_has_type(r, "application/json") || !query) {
        sb_json(r, query ? 415 : 400,
                json_pack("{s:{s:s}}", "errors", "query", "Required parameter missing or invalid"));
        return;
    }
    operation = gql_parse(query, json_object_get(body, "variables"),
                          gd_json_text(body, "operationName", NULL), &wrong);
    if (operation)
        answer(r, &c, operation);
    else
        refuse(r, wrong, NULL);
    gd_free(wrong);
    json_decref(operation);
}

/* ---- REST ---- */

/* 2.4 "header `X-Shopify-Shop-Api-Call-Limit: used/size`" */
static bool rest_auth(struct sb_req *r, struct shopify_caller *c)
{
    sb_answer_header(r, "X-Shopify-Shop-Api-Call-Limit", "1/40");
    return shopify_auth(r, c);
}

static void access_scopes(struct sb_req *r)
{
    struct shopify_caller c;
    json_t *out, *one;
    size_t i;

    if (!rest_auth(r, &c))
        return;
    out = json_array();
    json_array_foreach(json_object_get(c.token, "scopes"), i, one)
    {
        json_array_append_new(out, json_pack("{s:O}", "handle", one));
    }
    sb_json(r, 200, json_pack("{s:o}", "access_scopes", out));
}

static void self_uninstall(struct sb_req *r)
{
    struct shopify_caller c;

    if (!rest_auth(r, &c))
        return;
    shopify_uninstall(r, gd_json_text(c.shop, "domain", ""), gd_json_text(c.app, "id", ""));
    sb_json(r, 200, json_object());
}

#define SHOP "*.myshopify.com"
const struct sb_route shopify_admin_routes[] = {
    { "POST", SHOP, "/admin/api/{version}/graphql.json", graphql },
    { "GET", SHOP, "/admin/oauth/access_scopes.json", access_scopes },
    { "DELETE", SHOP, "/admin/api_permissions/current.json", self_uninstall },
    { NULL, NULL, NULL, NULL },
};
