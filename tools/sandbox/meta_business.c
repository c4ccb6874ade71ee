/* meta_business.c - businesses: what they own, what clients gave them, their system users (meta_google.md A2
 * "BISU management" and "Agency-side system user", A3). */
#include "meta_int.h"
#include "apps.h"

#include <string.h>

#define LONG_LIVES 5184000

/* The business in the path whose administrator calls; NULL when it has answered: A1 "| 100 (33) |" and "|
 * 200-299 |". */
static const char *business_of(struct sb_req *r, struct meta_caller *c, const char *scope)
{
    const char *id = sb_path(r, "id");

    if (!meta_auth(r, c) || !meta_scope(r, c, scope))
        return NULL;
    if (!meta_business(r, id))
        meta_absent(r, id ? id : "");
    else if (!meta_admin(c, id))
        meta_error(r, 200, 0, "(#200) The caller must be an admin of the business");
    else
        return id;
    return NULL;
}

/* ---- what a business owns and what it was given ---- */

static void owned(struct sb_req *r, const char *list, const char *prefix)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "ads_management ads_read business_management");
    json_t *out, *one;
    size_t i;

    if (!business)
        return;
    out = json_array();
    json_array_foreach(sb_list(r, list), i, one)
    {
        if (sb_same(gd_json_text(one, "business", NULL), business))
            json_array_append_new(
                out, meta_asset_view(r, &c, sb_strf(r, "%s%s", prefix, gd_json_text(one, "id", ""))));
    }
    meta_list(r, out, "id");
}

static void owned_accounts(struct sb_req *r)
{
    owned(r, "ad_accounts", "act_");
}

static void owned_pages(struct sb_req *r)
{
    owned(r, "pages", "");
}

static bool of(const json_t *share, const char *agency, const char *kind, const char *status)
{
    return sb_same(gd_json_text(share, "agency", NULL), agency) &&
           sb_same(gd_json_text(share, "kind", NULL), kind) &&
           sb_same(gd_json_text(share, "access_status", NULL), status);
}

static bool searched(struct sb_req *r, const json_t *view)
{
    const char *wanted = meta_arg(r, "search_query");

    return !wanted || strstr(gd_json_text(view, "name", ""), wanted) ||
           strstr(gd_json_text(view, "id", ""), wanted);
}

/* A3 "| GET `/{agency}/client_ad_accounts` |" */
static void client_assets(struct sb_req *r, const char *kind)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "ads_management ads_read business_management");
    json_t *out, *share, *view;
    size_t i;

    if (!business)
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "shares"), i, share)
    {
        if (!of(share, business, kind, "CONFIRMED"))
            continue;
        view = meta_asset_view(r, &c, gd_json_text(share, "asset", ""));
        json_object_set(view, "permitted_tasks", json_object_get(share, "permitted_tasks"));
        if (view && searched(r, view))
            json_array_append(out, view);
        json_decref(view);
    }
    meta_list(r, out, "id");
}

static void client_accounts(struct sb_req *r)
{
    client_assets(r, "ad_account");
}

static void client_pages(struct sb_req *r)
{
    client_assets(r, "page");
}

static void pending(struct sb_req *r, const char *kind, const char *member)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "ads_management ads_read business_management");
    json_t *out, *share;
    size_t i;

    if (!business)
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "shares"), i, share)
    {
        if (of(share, business, kind, "PENDING"))
            json_array_append_new(out, json_pack("{s:O,s:O,s:o}", "id", json_object_get(share, "id"),
                                                 "permitted_tasks", json_object_get(share, "permitted_tasks"),
                                                 member,
                                                 meta_asset_view(r, &c, gd_json_text(share, "asset", ""))));
    }
    meta_list(r, out, sb_strf(r, "id,%s,permitted_tasks", member));
}

static void pending_accounts(struct sb_req *r)
{
    pending(r, "ad_account", "ad_account");
}

static void pending_pages(struct sb_req *r)
{
    pending(r, "page", "page");
}

/* ---- asking for access from the agency's side ---- */

/* A3 "Which error an app without access receives is not documented": the option chooses among what to plan
 * for. True when it has answered. */
static bool withdrawn(struct sb_req *r)
{
    const char *mode = sb_option_text(r, "b2b_requests");

    if (sb_same(mode, "3"))
        meta_error(r, 3, 0, "(#3) app lacks capability");
    else if (sb_same(mode, "10"))
        meta_error(r, 10, 0, "(#10) Application does not have permission for this action");
    else if (sb_same(mode, "200"))
        meta_error(r, 200, 0, "(#200) Permissions error");
    else if (sb_same(mode, "100/33"))
        meta_absent(r, sb_path(r, "id"));
    else
        return false;
    return true;
}

/* A3 "agency claims without rights answer `access_status: PENDING`": approved at once when the caller is
 * administrator of the owner too; A1 "| 100 |", "| 100 (33) |" and "| 3944 |". */
static void ask(struct sb_req *r, const char *parameter)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "ads_management business_management"),
               *asset = meta_arg(r, parameter);
    const char *owner, *status;
    json_t *tasks;

    if (!business || withdrawn(r))
        return;
    owner = asset ? meta_asset_owner(r, asset) : NULL;
    if (!owner) {
        meta_error(r, 100, asset ? 33 : 0,
                   "(#100) The parameter %s is required and must be an object of a business", parameter);
        return;
    }
    tasks = meta_tasks(r, "permitted_tasks", asset);
    if (!tasks)
        return;
    status =
        gd_json_text(sb_find2(sb_list(r, "shares"), "asset", asset, "agency", business), "access_status", "");
    if (sb_same(owner, business) || sb_same(status, "CONFIRMED")) {
        meta_error(r, 3944, 0, "The business already has this object");
        return;
    }
    status = meta_admin(&c, owner) ? "CONFIRMED" : "PENDING";
    meta_share(r, asset, business, tasks, status);
    sb_json(r, 200, json_pack("{s:s}", "access_status", status));
}

static void ask_account(struct sb_req *r)
{
    ask(r, "adaccount_id");
}

static void ask_page(struct sb_req *r)
{
    ask(r, "page_id");
}

static bool waits(struct sb_req *r, const char *asset, const char *business)
{
    const json_t *share = sb_find2(sb_list(r, "shares"), "asset", asset, "agency", business);

    return share && sb_same(gd_json_text(share, "access_status", ""), "PENDING");
}

/* A3 "| DELETE `/{agency}/ad_accounts` |"; A1 "| 100 |" and "| 100 (33) |". Whether that takes back what is
 * still pending is in no source [assumed]. */
static void drop(struct sb_req *r, const char *parameter)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "ads_management business_management"),
               *asset = meta_arg(r, parameter);

    if (!business)
        return;
    if (!asset)
        meta_error(r, 100, 0, "(#100) The parameter %s is required", parameter);
    else if (waits(r, asset, business) && sb_option_bool(r, "pending_stays"))
        meta_absent(r, asset);
    else if (meta_unshare(r, asset, business))
        meta_success(r);
    else
        meta_absent(r, asset);
}

static void drop_account(struct sb_req *r)
{
    drop(r, "adaccount_id");
}

static void drop_page(struct sb_req *r)
{
    drop(r, "page_id");
}

/* ---- clients and agencies of a business ---- */

/* The other side of a share, seen from a business: its agency, or its owner. */
static const char *other_side(struct sb_req *r, const json_t *share, const char *business, bool clients)
{
    const char *agency = gd_json_text(share, "agency", ""),
               *owner = meta_asset_owner(r, gd_json_text(share, "asset", ""));

    if (clients)
        return sb_same(agency, business) ? owner : NULL;
    return sb_same(owner, business) ? agency : NULL;
}

static json_t *permission_view(struct sb_req *r, const json_t *share)
{
    return json_pack("{s:O,s:O,s:O,s:o,s:o}", "id", json_object_get(share, "asset"), "permitted_tasks",
                     json_object_get(share, "permitted_tasks"), "access_status",
                     json_object_get(share, "access_status"), "access_requested_time",
                     meta_time(r, json_object_get(share, "requested")), "access_updated_time",
                     meta_time(r, json_object_get(share, "updated")));
}

static json_t *new_party(struct sb_req *r, const char *id)
{
    return json_pack("{s:s,s:s,s:[],s:[],s:[],s:[],s:i}", "id", id, "name",
                     gd_json_text(meta_business(r, id), "name", ""), "adaccount_permissions",
                     "page_permissions", "application_permissions", "productcatalog_permissions",
                     "shared_ca_count", 0);
}

static void parties(struct sb_req *r, bool clients)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "business_management"), *other;
    json_t *out, *share, *party;
    size_t i;

    if (!business)
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "shares"), i, share)
    {
        other = other_side(r, share, business, clients);
        if (!other)
            continue;
        party = sb_find(out, "id", other);
        if (!party) {
            party = new_party(r, other);
            json_array_append_new(out, party);
        }
        json_array_append_new(json_object_get(party, sb_same(gd_json_text(share, "kind", NULL), "page")
                                                         ? "page_permissions"
                                                         : "adaccount_permissions"),
                              permission_view(r, share));
    }
    meta_list(r, out, "id,name");
}

/* A3 "| DELETE `/{agency}/clients`, `/{client}/agencies` |"; A1 "| 100 (33) |". */
static void cut(struct sb_req *r, bool clients)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "business_management"), *other = meta_arg(r, "business");
    json_t *list = sb_list(r, "shares");
    bool any = false;

    if (!business)
        return;
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *share = json_incref(json_array_get(list, i));

        if (sb_same(other_side(r, share, business, clients), other))
            any |= meta_unshare(r, gd_json_text(share, "asset", ""), gd_json_text(share, "agency", ""));
        json_decref(share);
    }
    if (any)
        meta_success(r);
    else
        meta_absent(r, other ? other : "");
}

static void clients(struct sb_req *r)
{
    if (r->method[0] == 'D')
        cut(r, true);
    else
        parties(r, true);
}

static void agencies(struct sb_req *r)
{
    const char *id = sb_path(r, "id");

    if (id && sb_find(sb_list(r, "pages"), "id", id))
        meta_page_agencies(r);
    else if (r->method[0] == 'D')
        cut(r, false);
    else
        parties(r, false);
}

/* ---- system users of the agency ---- */

static json_t *system_user_view(const json_t *user)
{
    return json_pack("{s:O,s:O,s:O}", "id", json_object_get(user, "id"), "name",
                     json_object_get(user, "name"), "role", json_object_get(user, "role"));
}

static void system_users(struct sb_req *r)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "business_management");
    json_t *out, *user;
    size_t i;

    if (!business)
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "system_users"), i, user)
    {
        if (sb_same(gd_json_text(user, "business", NULL), business))
            json_array_append_new(out, system_user_view(user));
    }
    meta_list(r, out, "id,name,role");
}

static size_t count_users(struct sb_req *r, const char *business)
{
    size_t i, n = 0;
    json_t *user;

    json_array_foreach(sb_list(r, "system_users"), i, user)
    {
        n += sb_same(gd_json_text(user, "business", NULL), business);
    }
    return n;
}

/* A2 "`POST /{business}/system_users`": at least one app must be in the business; 0.1 "`role` of
 * `system_users` is optional"; A1 "| 104001, 3949, 3965, 3962 |" and "| 100 |". */
static void make_system_user(struct sb_req *r)
{
    struct meta_caller c;
    const char *business = business_of(r, &c, "business_management"), *name = meta_arg(r, "name");
    const char *role = meta_arg(r, "role"), *id;

    if (!business)
        return;
    if (!sb_same(gd_json_text(c.app, "business", NULL), business))
        meta_error(r, 104001, 0, "The business has no app");
    else if (!name || (role && strcmp(role, "ADMIN") != 0 && strcmp(role, "EMPLOYEE") != 0))
        meta_error(r, 100, 0, "(#100) name is required, role is ADMIN or EMPLOYEE");
    else if ((int64_t)count_users(r, business) >= sb_option_i64(r, "system_users_max"))
        meta_error(r, 3965, 0, "The limit of system users is reached");
    else {
        id = sb_make_digits(r, "system_user", "6155", 10);
        json_array_append_new(sb_list(r, "system_users"),
                              json_pack("{s:s,s:s,s:s,s:s,s:[]}", "id", id, "name", name, "role",
                                        role ? role : "EMPLOYEE", "business", business, "apps"));
        sb_json(r, 200, json_pack("{s:s}", "id", id));
    }
}

/* The system user in the path, of whose business the caller is administrator; NULL when it has answered: A1
 * "| 100 (33) |" and "| 200-299 |". */
static json_t *system_user_of(struct sb_req *r, struct meta_caller *c)
{
    const char *id = sb_path(r, "id");
    json_t *user = sb_find(sb_list(r, "system_users"), "id", id ? id : "");

    if (!meta_auth(r, c))
        return NULL;
    if (!user)
        meta_absent(r, id ? id : "");
    else if (user != c->system_user && !meta_admin(c, gd_json_text(user, "business", NULL))) {
        meta_error(r, 200, 0, "(#200) The caller must be an admin of the business");
        user = NULL;
    }
    return user;
}

/* A2 "Install app: `POST /{system-user-id}/applications`"; A1 "| 100 |". */
static void install_app(struct sb_req *r)
{
    struct meta_caller c;
    json_t *user = system_user_of(r, &c),
           *app = sb_find(sb_list(r, "apps"), "id", meta_arg(r, "business_app"));

    if (!user)
        return;
    if (!app) {
        meta_error(r, 100, 0, "(#100) The parameter business_app is required");
        return;
    }
    if (!sb_has_text(json_object_get(user, "apps"), gd_json_text(app, "id", "")))
        json_array_append(json_object_get(user, "apps"), json_object_get(app, "id"));
    meta_success(r);
}

/* A2 "Permissions supported by FLB for both token types"; others: A1 "| 104001, 3949, 3965, 3962 |". */
static const char *unknown_scope(const json_t *scopes)
{
    static const char known[] =
        " ads_management ads_read business_management catalog_management leads_retrieval pages_show_list"
        " pages_read_engagement pages_manage_ads pages_manage_metadata instagram_basic read_insights ";
    const json_t *one;
    size_t i;

    json_array_foreach(scopes, i, one)
    {
        const char *found = strstr(known, json_string_value(one));

        if (!found || found[-1] != ' ' || found[strlen(json_string_value(one))] != ' ')
            return json_string_value(one);
    }
    return NULL;
}

static void answer_token(struct sb_req *r, json_t *fields)
{
    const char *value = sb_make(r, "token", "EAA", 40);
    bool sixty = sb_same(meta_arg(r, "set_token_expires_in_60_days"), "true");

    sb_token_add(r, "access", value, sixty ? LONG_LIVES : 0, fields);
    sb_json(r, 200, json_pack("{s:s}", "access_token", value));
}

/* A2 "Token: `POST /{system-user-id}/access_tokens`"; A1 "It is mandatory for `system_user_access_tokens`":
 * so with all of them; A1 "| 104001, 3949, 3965, 3962 |" and "| 100 |". */
static void make_token(struct sb_req *r)
{
    struct meta_caller c;
    json_t *user = system_user_of(r, &c);
    const char *app = meta_arg(r, "business_app");
    json_t *scopes;

    if (!user)
        return;
    scopes = sb_words(meta_arg(r, "scope"), ",");
    if (!app || !sb_has_text(json_object_get(user, "apps"), app))
        meta_error(r, 100, 0, "(#100) The app must be installed for the system user first");
    else if (!meta_arg(r, "appsecret_proof"))
        meta_error(r, 100, 0, "(#100) The parameter appsecret_proof is required");
    else if (!json_array_size(scopes) || unknown_scope(scopes))
        meta_error(r, 3962, 0, "Unknown permission name in scope");
    else
        answer_token(r, json_pack("{s:s,s:s,s:O,s:O,s:O,s:[]}", "app", app, "type", "SYSTEM_USER", "scopes",
                                  scopes, "system_user", json_object_get(user, "id"), "business",
                                  json_object_get(user, "business"), "granular"));
    json_decref(scopes);
}

static void kill_tokens(struct sb_req *r)
{
    struct meta_caller c;
    json_t *user = system_user_of(r, &c);

    if (!user)
        return;
    meta_end_tokens(r, "system_user", gd_json_text(user, "id", ""), NULL, 467);
    meta_success(r);
}

static void assigned_accounts(struct sb_req *r)
{
    struct meta_caller c;
    json_t *user = system_user_of(r, &c), *out, *row, *view, *share;
    const char *id = gd_json_text(user, "id", "");
    size_t i;

    if (!user)
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "assigned"), i, row)
    {
        const char *asset = gd_json_text(row, "asset", "");

        view = sb_same(gd_json_text(row, "user", NULL), id) ? meta_asset_view(r, &c, asset) : NULL;
        if (!view || strncmp(asset, "act_", 4) != 0) {
            json_decref(view);
            continue;
        }
        share = sb_find2(sb_list(r, "shares"), "asset", asset, "agency", gd_json_text(user, "business", ""));
        json_object_set(view, "tasks", json_object_get(row, "tasks"));
        json_object_set(view, "permitted_tasks",
                        json_object_get(share ? share : row, share ? "permitted_tasks" : "tasks"));
        json_array_append_new(out, view);
    }
    meta_list(r, out, "id,account_id");
}

/* ---- tokens of a business integration ---- */

/* A2 "`POST /{client_business_id}/system_user_access_tokens`" and 0.1 "`appsecret_proof` is not among the
 * spec's parameters": the guide requires it; A1 "| 200-299 |" and "| 100 |". */
static void integration_token(struct sb_req *r)
{
    struct meta_caller c;
    const char *business = sb_path(r, "id");
    json_t *fields;

    if (!meta_auth(r, &c) || !meta_scope(r, &c, "business_management"))
        return;
    if (!c.system_user || !sb_same(gd_json_text(c.system_user, "business", NULL), business)) {
        meta_error(r, 200, 0, "(#200) The token is not one of a business integration of this business");
        return;
    }
    if (!meta_arg(r, "appsecret_proof")) {
        meta_error(r, 100, 0, "(#100) The parameter appsecret_proof is required");
        return;
    }
    if (sb_same(meta_arg(r, "fetch_only"), "true")) {
        sb_json(r, 200, json_pack("{s:s}", "access_token", c.value));
        return;
    }
    fields = json_deep_copy(c.token);
    if (meta_arg(r, "scope")) /* granular child token: a subset */
        json_object_set_new(fields, "scopes", sb_words(meta_arg(r, "scope"), ","));
    if (json_is_array(meta_arg(r, "asset") ? sb_json_of(r, meta_arg(r, "asset")) : NULL))
        json_object_set(fields, "assets", sb_json_of(r, meta_arg(r, "asset")));
    answer_token(r, fields);
}

/* ---- nodes ---- */

/* A2 "With a normal user token this field failed with code 190"; without a person: A1 "| 803, 2500 |". */
static void me(struct sb_req *r)
{
    struct meta_caller c;
    const char *fields = meta_arg(r, "fields");
    json_t *who;

    if (!meta_auth(r, &c))
        return;
    who = c.person ? c.person : c.system_user;
    if (!who) {
        meta_error(r, 2500, 0,
                   "An active access token must be used to query information about the current user");
        return;
    }
    if (fields && strstr(fields, "client_business_id") && !c.system_user) {
        meta_error(r, 190, 0, "This field needs a token of a business integration");
        return;
    }
    meta_node(r,
              json_pack("{s:O,s:O,s:s}", "id", json_object_get(who, "id"), "name",
                        json_object_get(who, "name"), "client_business_id",
                        gd_json_text(c.system_user, "business", "")),
              "name");
}

static void app_node(struct sb_req *r)
{
    struct meta_caller c;

    if (meta_auth(r, &c))
        meta_node(r,
                  json_pack("{s:O,s:O}", "id", json_object_get(c.app, "id"), "name",
                            json_object_get(c.app, "name")),
                  "name");
}

static json_t *business_view(struct sb_req *r, const json_t *business)
{
    json_t *page = sb_find(sb_list(r, "pages"), "id", gd_json_text(business, "primary_page", ""));
    json_t *out = json_pack("{s:O,s:O,s:s}", "id", json_object_get(business, "id"), "name",
                            json_object_get(business, "name"), "verification_status", "verified");

    json_object_set_new(out, "user_access_expire_time", json_null());
    json_object_set_new(out, "primary_page",
                        page ? json_pack("{s:O,s:O}", "id", json_object_get(page, "id"), "name",
                                         json_object_get(page, "name"))
                             : json_null());
    return out;
}

static void my_businesses(struct sb_req *r)
{
    struct meta_caller c;
    json_t *out, *role;
    const char *id;

    if (!meta_auth(r, &c) || !meta_scope(r, &c, "business_management"))
        return;
    out = json_array();
    json_object_foreach(json_object_get(c.person, "businesses"), id, role)
    {
        if (meta_business(r, id))
            json_array_append_new(out, business_view(r, meta_business(r, id)));
    }
    meta_list(r, out, "id,name");
}

/* Any other node by its id: a business, a page, a system user; else A1 "| 100 (33) |". */
static void node(struct sb_req *r)
{
    struct meta_caller c;
    const char *id = sb_path(r, "id");
    json_t *page, *user;

    if (!id || !meta_auth(r, &c))
        return;
    page = sb_find(sb_list(r, "pages"), "id", id);
    user = sb_find(sb_list(r, "system_users"), "id", id);
    if (meta_business(r, id))
        meta_node(r, business_view(r, meta_business(r, id)), "name");
    else if (page)
        meta_node(r, meta_asset_view(r, &c, id), "name");
    else if (user && (user == c.system_user || meta_admin(&c, gd_json_text(user, "business", NULL))))
        meta_node(r, system_user_view(user), "name");
    else
        meta_absent(r, id);
}

#define GRAPH "graph.facebook.com"
const struct sb_route meta_business_routes[] = {
    { "GET", GRAPH, "/{v}/me", me },
    { "GET", GRAPH, "/{v}/app", app_node },
    { "GET", GRAPH, "/{v}/me/businesses", my_businesses },
    { "GET", GRAPH, "/{v}/{id}/owned_ad_accounts", owned_accounts },
    { "GET", GRAPH, "/{v}/{id}/owned_pages", owned_pages },
    { "GET", GRAPH, "/{v}/{id}/client_ad_accounts", client_accounts },
    { "POST", GRAPH, "/{v}/{id}/client_ad_accounts", ask_account },
    { "GET", GRAPH, "/{v}/{id}/client_pages", client_pages },
    { "POST", GRAPH, "/{v}/{id}/client_pages", ask_page },
    { "GET", GRAPH, "/{v}/{id}/pending_client_ad_accounts", pending_accounts },
    { "GET", GRAPH, "/{v}/{id}/pending_client_pages", pending_pages },
    { "DELETE", GRAPH, "/{v}/{id}/ad_accounts", drop_account },
    { "DELETE", GRAPH, "/{v}/{id}/pages", drop_page },
    { "GET", GRAPH, "/{v}/{id}/clients", clients },
    { "DELETE", GRAPH, "/{v}/{id}/clients", clients },
    { "GET", GRAPH, "/{v}/{id}/agencies", agencies },
    { "DELETE", GRAPH, "/{v}/{id}/agencies", agencies },
    { "GET", GRAPH, "/{v}/{id}/system_users", system_users },
    { "POST", GRAPH, "/{v}/{id}/system_users", make_system_user },
    { "POST", GRAPH, "/{v}/{id}/applications", install_app },
    { "POST", GRAPH, "/{v}/{id}/access_tokens", make_token },
    { "DELETE", GRAPH, "/{v}/{id}/access_tokens", kill_tokens },
    { "GET", GRAPH, "/{v}/{id}/assigned_ad_accounts", assigned_accounts },
    { "POST", GRAPH, "/{v}/{id}/system_user_access_tokens", integration_token },
    { "GET", GRAPH, "/{v}/{id}", node },
    { NULL, NULL, NULL, NULL },
};
