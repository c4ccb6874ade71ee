/* meta_assets.c - ad accounts and pages: who sees them, who shares them, who is assigned to them
 * (meta_google.md A3, "Edges"). */
#include "meta_int.h"

#include <string.h>

/* A3 "Ad account (`permitted_tasks` and `tasks`)" and "Pages: `MANAGE, CREATE_CONTENT" */
static const char account_tasks[] = " MANAGE ADVERTISE ANALYZE DRAFT AA_ANALYZE ";
static const char page_tasks[] =
    " MANAGE CREATE_CONTENT MODERATE MESSAGING ADVERTISE ANALYZE MANAGE_LEADS MANAGE_JOBS MODERATE_COMMUNITY"
    " VIEW_MONETIZATION_INSIGHTS READ_PAGE_MAILBOXES PAGES_MESSAGING PAGES_MESSAGING_SUBSCRIPTIONS "
    "CASHIER_ROLE"
    " GLOBAL_STRUCTURE_MANAGEMENT PROFILE_PLUS_FULL_CONTROL PROFILE_PLUS_MANAGE PROFILE_PLUS_ADVERTISE"
    " PROFILE_PLUS_ANALYZE PROFILE_PLUS_CREATE_CONTENT PROFILE_PLUS_MODERATE "
    "PROFILE_PLUS_MODERATE_DELEGATE_COMMUNITY"
    " PROFILE_PLUS_MESSAGING PROFILE_PLUS_MANAGE_LEADS PROFILE_PLUS_REVENUE PROFILE_PLUS_FACEBOOK_ACCESS"
    " PROFILE_PLUS_GLOBAL_STRUCTURE_MANAGEMENT ";

/* The first that is none of the known tasks; NULL when all are. */
static const char *unknown_task(struct sb_req *r, const json_t *tasks, bool page)
{
    const json_t *one;
    size_t i;

    json_array_foreach(tasks, i, one)
    {
        const char *name = json_string_value(one);

        if (!name || strchr(name, ' ') ||
            !strstr(page ? page_tasks : account_tasks, sb_strf(r, " %s ", name)))
            return name ? name : "";
    }
    return NULL;
}

static bool is_page(const char *asset)
{
    return strncmp(asset, "act_", 4) != 0;
}

/* A7 "alone with 100/1752129" [assumed set rule]: each task needs those below it. */
static bool set_fits(const json_t *tasks)
{
    bool manage = sb_has_text(tasks, "MANAGE"), advertise = sb_has_text(tasks, "ADVERTISE");

    return (!manage || advertise) && (!advertise || sb_has_text(tasks, "ANALYZE"));
}

/* The tasks in a parameter: A1 "Lists, maps and booleans are JSON-encoded strings inside one form field"; A7
 * "Reject tasks outside the enum with 100"; A1 "| 100 (1752129) |". Borrowed; NULL when it has answered. */
json_t *meta_tasks(struct sb_req *r, const char *parameter, const char *asset)
{
    const char *text = meta_arg(r, parameter);
    json_t *tasks = text ? sb_json_of(r, text) : NULL;
    const char *wrong = unknown_task(r, tasks, is_page(asset));

    if (!json_is_array(tasks) || !json_array_size(tasks))
        meta_error(r, 100, 0, "(#100) Param %s must be an array.", parameter);
    else if (wrong)
        meta_error(r, 100, 0, "(#100) Param %s must be one of the tasks of the asset, not %s", parameter,
                   wrong);
    else if (!is_page(asset) && !set_fits(tasks))
        meta_error(r, 100, 1752129, "The combination of tasks is not supported for an ad account");
    else
        return tasks;
    return NULL;
}

/* ---- views ---- */

static json_t *brief_business(struct sb_req *r, const char *id)
{
    const json_t *found = meta_business(r, id);

    return found ? json_pack("{s:O,s:O,s:s}", "id", json_object_get(found, "id"), "name",
                             json_object_get(found, "name"), "__brief", "id,name")
                 : json_null();
}

/* What the caller may do with the asset: as administrator of its owner, or as somebody assigned to it. */
static json_t *tasks_of(struct sb_req *r, const struct meta_caller *c, const char *asset, const char *owner)
{
    const char *me = gd_json_text(c->person ? c->person : c->system_user, "id", "");
    const json_t *row = sb_find2(sb_list(r, "assigned"), "asset", asset, "user", me);

    if (c->person && meta_admin(c, owner))
        return json_pack("[s,s,s]", "MANAGE", "ADVERTISE", "ANALYZE");
    if (sb_has_text(json_object_get(c->token, "assets"),
                    asset)) /* A2 "only assets designated in the dialog" */
        return json_pack("[s,s]", "ADVERTISE", "ANALYZE");
    return row ? json_deep_copy(json_object_get(row, "tasks")) : json_array();
}

static json_t *account_view(struct sb_req *r, const struct meta_caller *c, const json_t *account)
{
    const char *id = gd_json_text(account, "id", ""), *owner = gd_json_text(account, "business", NULL);
    const char *act = sb_strf(r, "act_%s", id);
    json_t *out =
        json_pack("{s:s,s:s,s:O,s:I,s:o,s:o,s:o}", "id", act, "account_id", id, "name",
                  json_object_get(account, "name"), "account_status",
                  (json_int_t)gd_json_i64(account, "account_status", 1), "business", brief_business(r, owner),
                  "owner_business", brief_business(r, owner), "user_tasks", tasks_of(r, c, act, owner));

    json_object_set_new(out, "currency", json_string(gd_json_text(account, "currency", "EUR")));
    json_object_set_new(out, "timezone_name",
                        json_string(gd_json_text(account, "timezone_name", "Europe/Berlin")));
    /* 0.1 "the field `user_access_expire_time`" exists; who has no end shows none. */
    json_object_set_new(out, "user_access_expire_time", json_null());
    json_object_set_new(out, "__brief", json_string("id,account_id"));
    return out;
}

static const char *page_token(struct sb_req *r, const struct meta_caller *c, const char *page)
{
    const char *value = sb_make(r, "page_token", "EAApage", 32);
    json_t *fields = json_pack("{s:O,s:s,s:O,s:O,s:s}", "app", json_object_get(c->token, "app"), "type",
                               "PAGE", "user", json_object_get(c->person, "id"), "scopes",
                               json_object_get(c->token, "scopes"), "page", page);

    sb_token_add(r, "access", value, 0, fields);
    return value;
}

static json_t *page_view(struct sb_req *r, const struct meta_caller *c, const json_t *page)
{
    const char *id = gd_json_text(page, "id", ""), *owner = gd_json_text(page, "business", NULL);
    json_t *out = json_pack("{s:s,s:O,s:o,s:o}", "id", id, "name", json_object_get(page, "name"), "business",
                            brief_business(r, owner), "tasks", tasks_of(r, c, id, owner));
    bool mine = c->person && meta_admin(c, owner) &&
                strstr(meta_arg(r, "fields") ? meta_arg(r, "fields") : "", "access_token");

    /* A3 "owner-side Page calls need a **Page token**" */
    json_object_set_new(out, "access_token", mine ? json_string(page_token(r, c, id)) : json_null());
    json_object_set_new(out, "__brief", json_string("id,name"));
    return out;
}

json_t *meta_asset_view(struct sb_req *r, const struct meta_caller *c, const char *asset)
{
    const json_t *account = meta_account(r, asset), *page = sb_find(sb_list(r, "pages"), "id", asset);

    return account ? account_view(r, c, account) : page ? page_view(r, c, page) : NULL;
}

const char *meta_asset_owner(struct sb_req *r, const char *asset)
{
    const json_t *found = is_page(asset) ? sb_find(sb_list(r, "pages"), "id", asset) : meta_account(r, asset);

    return gd_json_text(found, "business", NULL);
}

/* ---- the asset of a request ---- */

/* The asset in the path, which exists and concerns the caller; NULL when it has answered: A1 "| 100 (33) |".
 */
static const char *asset_of(struct sb_req *r, struct meta_caller *c)
{
    const char *id = sb_path(r, "id");
    const char *asset = strstr(r->route->path, "act_{id}") ? sb_strf(r, "act_%s", id ? id : "") : id;

    if (!meta_auth(r, c))
        return NULL;
    if (asset && (meta_account(r, asset) || sb_find(sb_list(r, "pages"), "id", asset)))
        return asset;
    meta_absent(r, asset ? asset : "");
    return NULL;
}

/* A1 "object absent, or no permission, or operation unsupported" */
void meta_absent(struct sb_req *r, const char *id)
{
    meta_error(r, 100, 33,
               "Unsupported request. Object with ID '%s' does not exist, cannot be loaded due to missing "
               "permissions, or "
               "does not support this operation",
               id);
}

/* A7 "Owner rule": else 200; A3 "owner-side Page calls need a **Page token**": the number of its refusal is
 * [assumed]. A BISU may not share [assumed], open 3. */
static bool owner_side(struct sb_req *r, const struct meta_caller *c, const char *asset)
{
    const char *owner = meta_asset_owner(r, asset);
    bool integration = c->system_user && sb_option_bool(r, "integration_may_share") &&
                       sb_same(gd_json_text(c->system_user, "business", NULL), owner);

    if (is_page(asset) && !sb_same(c->page, asset))
        meta_error(r, 210, 0, "(#210) A page access token is required to request this resource.");
    else if (!(c->person && meta_admin(c, owner)) && !integration)
        meta_error(r, 200, 0, "(#200) The caller must be an admin of the business that owns the object");
    else
        return true;
    return false;
}

static json_t *share_of(struct sb_req *r, const char *asset, const char *agency)
{
    return sb_find2(sb_list(r, "shares"), "asset", asset, "agency", agency ? agency : "");
}

/* A3 "`user_tasks` = tasks of the calling identity": without any, A1 "| 100 (33) |". */
static void account_node(struct sb_req *r)
{
    struct meta_caller c;
    const char *asset = asset_of(r, &c);
    json_t *view, *mine;

    if (!asset || !meta_scope(r, &c, "ads_management ads_read"))
        return;
    view = meta_asset_view(r, &c, asset);
    mine = json_object_get(view, "user_tasks");
    if (json_array_size(mine)) {
        meta_node(r, view, "id,account_id");
        return;
    }
    json_decref(view);
    meta_absent(r, asset);
}

/* ---- agencies of an asset ---- */

static json_t *share_view(struct sb_req *r, const json_t *share)
{
    json_t *out = brief_business(r, gd_json_text(share, "agency", ""));

    json_object_set(out, "access_status", json_object_get(share, "access_status"));
    json_object_set(out, "permitted_tasks", json_object_get(share, "permitted_tasks"));
    json_object_set_new(out, "access_requested_time", meta_time(r, json_object_get(share, "requested")));
    json_object_set_new(out, "access_updated_time", meta_time(r, json_object_get(share, "updated")));
    return out;
}

static void list_agencies(struct sb_req *r)
{
    struct meta_caller c;
    const char *asset = asset_of(r, &c);
    json_t *out, *share;
    size_t i;

    if (!asset || !owner_side(r, &c, asset))
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "shares"), i, share)
    {
        if (sb_same(gd_json_text(share, "asset", NULL), asset))
            json_array_append_new(out, share_view(r, share));
    }
    meta_list(r, out, "id,name");
}

/* A share is made, or accepts what is open: A3 "Owner-side grant also *accepts* an open request". */
void meta_share(struct sb_req *r, const char *asset, const char *agency, const json_t *tasks,
                const char *status)
{
    json_t *share = share_of(r, asset, agency), *now = json_integer(sb_now(r));

    if (!share) {
        share = json_pack("{s:s,s:s,s:s,s:s,s:O}", "id", sb_make_digits(r, "share", "77", 6), "asset", asset,
                          "kind", is_page(asset) ? "page" : "ad_account", "agency", agency, "requested", now);
        json_array_append_new(sb_list(r, "shares"), share);
    }
    json_object_set_new(share, "permitted_tasks", json_deep_copy(tasks));
    json_object_set_new(share, "access_status", json_string(status));
    json_object_del(share, "review");
    json_object_set_new(share, "updated", now);
}

/* Fault partial: each asset is a call of its own, and this one is refused. False when it has answered. */
static bool goes_well(struct sb_req *r)
{
    if (!sb_fault(r, "partial"))
        return true;
    meta_error(r, 200, 0, "(#200) Permissions error"); /* A1 "| 200-299 |" */
    return false;
}

/* Fault role_downgrade: less is permitted than was asked for [assumed]. */
static json_t *permitted(struct sb_req *r, json_t *asked)
{
    return sb_fault(r, "role_downgrade") ? sb_json_of(r, "[\"ANALYZE\"]") : asked;
}

/* A3 "| POST `/act_{id}/agencies` |": business is required, A1 "| 100 |"; what it has already: A1 "| 3944 |".
 */
static void share_asset(struct sb_req *r)
{
    struct meta_caller c;
    const char *asset = asset_of(r, &c), *agency = meta_arg(r, "business");
    json_t *tasks;

    if (!asset ||
        !meta_scope(r, &c, is_page(asset) ? "pages_manage_metadata business_management" : "ads_management") ||
        !owner_side(r, &c, asset))
        return;
    if (!meta_business(r, agency)) {
        meta_error(r, 100, 0, "(#100) The parameter business is required and must be a business");
        return;
    }
    tasks = meta_tasks(r, "permitted_tasks", asset);
    if (!tasks)
        return;
    if (sb_same(agency, meta_asset_owner(r, asset))) {
        meta_error(r, 3944, 0, "The business already has this object");
        return;
    }
    if (!goes_well(r))
        return;
    tasks = permitted(r, tasks);
    if (!sb_option_bool(r, "admin_review")) {
        meta_share(r, asset, agency, tasks, "CONFIRMED");
        meta_success(r);
        return;
    }
    /* A3 "means a second admin of the owner business must approve" */
    meta_share(r, asset, agency, tasks, "PENDING");
    json_object_set_new(share_of(r, asset, agency), "review", json_true());
    sb_json(r, 200, json_pack("{s:b,s:b}", "success", 1, "requires_admin_approval", 1));
}

/* Removes the share and, with it, what the agency's people were assigned. False when there was none. */
bool meta_unshare(struct sb_req *r, const char *asset, const char *agency)
{
    json_t *list = sb_list(r, "assigned");

    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *row = json_array_get(list, i);

        if (sb_same(gd_json_text(row, "asset", NULL), asset) &&
            sb_same(gd_json_text(row, "business", NULL), agency))
            json_array_remove(list, i);
    }
    return sb_remove(sb_list(r, "shares"), "asset", asset, "agency", agency) > 0;
}

/* A3 "| DELETE `/act_{id}/agencies` |"; A1 "| 100 |" and "| 100 (33) |". */
static void unshare_asset(struct sb_req *r)
{
    struct meta_caller c;
    const char *asset = asset_of(r, &c), *agency = meta_arg(r, "business");

    if (!asset || !owner_side(r, &c, asset))
        return;
    if (!agency)
        meta_error(r, 100, 0, "(#100) The parameter business is required");
    else if (meta_unshare(r, asset, agency))
        meta_success(r);
    else
        meta_absent(r, agency);
}

/* ---- people assigned to an asset ---- */

/* The business of which the caller is administrator and that has the asset: its owner, or an agency with a
 * confirmed share. NULL when it has answered. *ret_share: NULL for the owner. A3 "agency admin (or owner)";
 * A1
 * "| 200-299 |". */
static const char *acting_business(struct sb_req *r, const struct meta_caller *c, const char *asset,
                                   json_t **ret_share)
{
    const char *owner = meta_asset_owner(r, asset);
    json_t *share;
    size_t i;

    *ret_share = NULL;
    if (meta_admin(c, owner))
        return owner;
    json_array_foreach(sb_list(r, "shares"), i, share)
    {
        if (!sb_same(gd_json_text(share, "asset", NULL), asset) ||
            !meta_admin(c, gd_json_text(share, "agency", NULL)) ||
            !sb_same(gd_json_text(share, "access_status", NULL), "CONFIRMED"))
            continue;
        *ret_share = share;
        return gd_json_text(share, "agency", NULL);
    }
    meta_error(r, 200, 0, "(#200) The caller is no admin of a business that has this object");
    return NULL;
}

/* A person or a system user of that business. */
static const json_t *user_of(struct sb_req *r, const char *id, const char *business)
{
    json_t *found = sb_find2(sb_list(r, "system_users"), "id", id ? id : "", "business", business);
    json_t *person = sb_find(sb_list(r, "people"), "id", id);

    if (found)
        return found;
    return json_object_get(json_object_get(person, "businesses"), business) ? person : NULL;
}

static bool all_in(const json_t *tasks, const json_t *permitted)
{
    const json_t *one;
    size_t i;

    json_array_foreach(tasks, i, one)
    {
        if (!sb_has_text(permitted, json_string_value(one)))
            return false;
    }
    return true;
}

/* A3 "| POST/DELETE/GET `/act_{id}/assigned_users` |"; A1 "| 100 |"; A7 "assigned_users tasks must be a
 * subset of permitted_tasks" [assumed]. */
static void assign(struct sb_req *r)
{
    struct meta_caller c;
    const char *asset = asset_of(r, &c), *business, *user = meta_arg(r, "user");
    json_t *share, *tasks;

    if (!asset || !(business = acting_business(r, &c, asset, &share)))
        return;
    if (!user_of(r, user, business)) {
        meta_error(r, 100, 0, "(#100) The parameter user is required and must be a user of the business");
        return;
    }
    tasks = meta_tasks(r, "tasks", asset);
    if (!tasks)
        return;
    if (share && !all_in(tasks, json_object_get(share, "permitted_tasks"))) {
        meta_error(r, 100, 1752129, "The tasks go beyond what the business was permitted");
        return;
    }
    if (!goes_well(r))
        return;
    sb_remove(sb_list(r, "assigned"), "asset", asset, "user", user);
    json_array_append_new(sb_list(r, "assigned"), json_pack("{s:s,s:s,s:O,s:s}", "asset", asset, "user", user,
                                                            "tasks", tasks, "business", business));
    meta_success(r);
}

/* A3 "| POST/DELETE/GET `/act_{id}/assigned_users` |"; A1 "| 100 |" and "| 100 (33) |". */
static void unassign(struct sb_req *r)
{
    struct meta_caller c;
    const char *asset = asset_of(r, &c), *user = meta_arg(r, "user");
    json_t *share;

    if (!asset || !acting_business(r, &c, asset, &share))
        return;
    if (!user)
        meta_error(r, 100, 0, "(#100) The parameter user is required");
    else if (sb_remove(sb_list(r, "assigned"), "asset", asset, "user", user))
        meta_success(r);
    else
        meta_absent(r, user);
}

static json_t *assigned_view(struct sb_req *r, const json_t *row, const json_t *share)
{
    const char *business = gd_json_text(row, "business", ""), *id = gd_json_text(row, "user", "");
    const json_t *user = user_of(r, id, business);
    bool system_user = sb_find(sb_list(r, "system_users"), "id", id) != NULL;
    json_t *out = json_pack("{s:s,s:s,s:s,s:o,s:O}", "id", id, "name", gd_json_text(user, "name", ""),
                            "user_type", system_user ? "SYSTEM_USER" : "BUSINESS_USER", "business",
                            brief_business(r, business), "tasks", json_object_get(row, "tasks"));
    json_t *permitted = json_object_get(share, "permitted_tasks");

    json_object_set(out, "permitted_tasks", permitted ? permitted : json_object_get(row, "tasks"));
    if (sb_option_bool(
            r, "assigned_users_without_tasks")) { /* 0.1 "fields of AssignedUser do not contain" them */
        json_object_set_new(out, "tasks", json_null());
        json_object_set_new(out, "permitted_tasks", json_null());
    }
    return out;
}

static void list_assigned(struct sb_req *r)
{
    struct meta_caller c;
    const char *asset = asset_of(r, &c), *business = meta_arg(r, "business");
    json_t *out, *row, *share;
    size_t i;

    if (!asset)
        return;
    if (!business) { /* A3 "GET `business` required"; A1 "| 100 |" */
        meta_error(r, 100, 0, "(#100) The parameter business is required");
        return;
    }
    if (!acting_business(r, &c, asset, &share))
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "assigned"), i, row)
    {
        if (sb_same(gd_json_text(row, "asset", NULL), asset) &&
            sb_same(gd_json_text(row, "business", NULL), business))
            json_array_append_new(out, assigned_view(r, row, share));
    }
    meta_list(r, out, "id,name");
}

/* ---- what the caller reaches ---- */

static void my_accounts(struct sb_req *r)
{
    struct meta_caller c;
    json_t *out, *account, *view;
    size_t i;

    if (!meta_auth(r, &c) || !meta_scope(r, &c, "ads_management ads_read"))
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "ad_accounts"), i, account)
    {
        view = account_view(r, &c, account);
        if (json_array_size(json_object_get(view, "user_tasks")))
            json_array_append(out, view);
        json_decref(view);
    }
    meta_list(r, out, "id,account_id");
}

static void my_pages(struct sb_req *r)
{
    struct meta_caller c;
    json_t *out, *page, *view;
    size_t i;

    if (!meta_auth(r, &c) || !meta_scope(r, &c, "pages_show_list"))
        return;
    out = json_array();
    json_array_foreach(sb_list(r, "pages"), i, page)
    {
        view = page_view(r, &c, page);
        if (json_array_size(json_object_get(view, "tasks")))
            json_array_append(out, view);
        json_decref(view);
    }
    meta_list(r, out, "id,name");
}

#define GRAPH "graph.facebook.com"
const struct sb_route meta_asset_routes[] = {
    { "GET", GRAPH, "/{v}/me/adaccounts", my_accounts },
    { "GET", GRAPH, "/{v}/me/accounts", my_pages },
    { "GET", GRAPH, "/{v}/act_{id}", account_node },
    { "GET", GRAPH, "/{v}/act_{id}/agencies", list_agencies },
    { "POST", GRAPH, "/{v}/act_{id}/agencies", share_asset },
    { "DELETE", GRAPH, "/{v}/act_{id}/agencies", unshare_asset },
    { "GET", GRAPH, "/{v}/act_{id}/assigned_users", list_assigned },
    { "POST", GRAPH, "/{v}/act_{id}/assigned_users", assign },
    { "DELETE", GRAPH, "/{v}/act_{id}/assigned_users", unassign },
    { "POST", GRAPH, "/{v}/{id}/agencies", share_asset },
    { "POST", GRAPH, "/{v}/{id}/assigned_users", assign },
    { "DELETE", GRAPH, "/{v}/{id}/assigned_users", unassign },
    { "GET", GRAPH, "/{v}/{id}/assigned_users", list_assigned },
    { NULL, NULL, NULL, NULL },
};

/* GET and DELETE of /ID/agencies are for pages and for businesses; meta_business.c has the route. */
void meta_page_agencies(struct sb_req *r)
{
    if (r->method[0] == 'D')
        unshare_asset(r);
    else
        list_agencies(r);
}
