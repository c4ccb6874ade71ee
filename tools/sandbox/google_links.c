/* google_links.c - links between manager accounts and clients (meta_google.md B3, "Link life cycle"; B7,
 * "Link machine"). */
#include "google_int.h"

#include <string.h>

static const char statuses[] = " ACTIVE INACTIVE PENDING REFUSED CANCELED UNSPECIFIED UNKNOWN ";

/* The status that an operation asks for; NULL when it has answered: B3 "Status enum ManagerLinkStatus"; B1
 * "| requestError | INVALID_CUSTOMER_ID". */
static const char *status_of(struct sb_req *r, const json_t *link)
{
    const char *status = gd_json_text(link, "status", NULL);

    if (status && !strchr(status, ' ') && strstr(statuses, sb_strf(r, " %s ", status)))
        return status;
    if (status)
        google_bad_request(r, "status",
                           "Invalid value at 'status' (type.googleapis.com/google.ads.ManagerLinkStatus)");
    else
        google_fail(r, 400, "requestError", "REQUIRED_FIELD_MISSING", "status",
                    "The required field was not present.");
    return NULL;
}

/* ---- the manager invites ---- */

static int count(struct sb_req *r, const char *side, const char *cid, const char *status)
{
    const json_t *l;
    size_t i;
    int n = 0;

    json_array_foreach(sb_list(r, "links"), i, l)
    {
        n += sb_same(gd_json_text(l, side, NULL), cid) && sb_same(gd_json_text(l, "status", NULL), status);
    }
    return n;
}

/* The link of the two that is open or active; NULL when there is none. */
static json_t *live_link(struct sb_req *r, const char *manager, const char *client)
{
    json_t *l;
    size_t i;

    json_array_foreach(sb_list(r, "links"), i, l)
    {
        if (sb_same(gd_json_text(l, "manager", NULL), manager) &&
            sb_same(gd_json_text(l, "client", NULL), client) &&
            (sb_same(gd_json_text(l, "status", NULL), "PENDING") ||
             sb_same(gd_json_text(l, "status", NULL), "ACTIVE")))
            return l;
    }
    return NULL;
}

/* The value that stands in the way; NULL when nothing does: B1 "| managerLinkError |
 * ALREADY_INVITED_BY_THIS_MANAGER", "ALREADY_MANAGED_BY_THIS_MANAGER, ALREADY_MANAGED_IN_HIERARCHY",
 * "TOO_MANY_INVITES" and "TOO_MANY_MANAGERS, TOO_MANY_ACCOUNTS,"; B3 "Test accounts cannot be linked under a
 * production manager" and "20 pending invitations per manager hierarchy, 5 managers per client". */
static const char *obstacle(struct sb_req *r, const struct google_caller *c, const char *client)
{
    const json_t *target = google_customer(r, client), *old = live_link(r, c->cid, client);

    if (strcmp(client, c->cid) == 0)
        return "CUSTOMER_CANNOT_MANAGE_SELF";
    if (old)
        return sb_same(gd_json_text(old, "status", NULL), "PENDING") ? "ALREADY_INVITED_BY_THIS_MANAGER"
                                                                     : "ALREADY_MANAGED_BY_THIS_MANAGER";
    if (google_manages(r, c->cid, client))
        return "ALREADY_MANAGED_IN_HIERARCHY";
    if (google_manages(r, client, c->cid))
        return "CYCLE_NOT_ALLOWED";
    if (gd_json_bool(target, "test", false) != gd_json_bool(c->customer, "test", false))
        return "ACCOUNTS_NOT_COMPATIBLE_FOR_LINKING";
    if (sb_same(gd_json_text(c->customer, "status", NULL), "SUSPENDED"))
        return "SUSPENDED_ACCOUNT_CANNOT_ADD_CLIENTS";
    if (count(r, "manager", c->cid, "PENDING") >= (int)sb_option_i64(r, "invitations_max"))
        return "TOO_MANY_INVITES";
    return count(r, "client", client, "ACTIVE") >= (int)sb_option_i64(r, "managers_max") ? "TOO_MANY_MANAGERS"
                                                                                         : NULL;
}

/* Fault partial: each account is a call of its own, and this one meets a limit: B1 "TOO_MANY_INVITES". */
static const char *stands_alone(struct sb_req *r)
{
    const json_t *f = sb_fault(r, "partial");

    return f ? gd_json_text(f, "value", "TOO_MANY_INVITES") : NULL;
}

/* B3 "Manager creates with PENDING only"; which words an unknown account and an account that is no manager
 * get is [assumed]. */
static void create(struct sb_req *r, const struct google_caller *c, const json_t *link, bool only_check)
{
    const char *client = google_customer_id(gd_json_text(link, "clientCustomer", NULL)), *status, *wrong, *id;

    if (!google_members(r, link, "clientCustomer status hidden", "operation.create"))
        return;
    if (!client || !google_customer(r, client)) {
        google_fail(r, 400, "requestError", client ? "BAD_RESOURCE_ID" : "RESOURCE_NAME_MALFORMED",
                    "operation.create.client_customer", "Resource name is malformed, or names nothing.");
        return;
    }
    status = status_of(r, link);
    if (!status)
        return;
    if (!gd_json_bool(c->customer, "manager", false)) {
        google_fail(r, 403, "authorizationError", "ACTION_NOT_PERMITTED", NULL,
                    "The account is no manager account.");
        return;
    }
    wrong = strcmp(status, "ACTIVE") == 0    ? "CREATING_ENABLED_LINK_NOT_ALLOWED"
            : strcmp(status, "PENDING") != 0 ? "INVALID_STATUS_CHANGE"
                                             : obstacle(r, c, client);
    if (!wrong)
        wrong = stands_alone(r);
    if (wrong) {
        google_fail(r, 400, "managerLinkError", wrong, "operation.create",
                    strcmp(wrong, "ALREADY_INVITED_BY_THIS_MANAGER") == 0 ? "open invitation exists"
                                                                          : "The link cannot be made.");
        return;
    }
    if (only_check) {
        sb_json(r, 200, json_object());
        return;
    }
    id = sb_make_digits(r, "link", "55", 8);
    json_array_append_new(sb_list(r, "links"), json_pack("{s:s,s:s,s:s,s:s,s:b}", "manager", c->cid, "client",
                                                         client, "id", id, "status", "PENDING", "hidden", 0));
    sb_json(r, 200,
            json_pack("{s:{s:s}}", "result", "resourceName",
                      sb_strf(r, "customers/%s/customerClientLinks/%s~%s", c->cid, client, id)));
}

/* ---- changes from either side ---- */

/* The link of customers/CID/KIND/OTHER~ID; NULL when it has answered: B3
 * "`customers/{manager}/customerClientLinks/{client}~{link_id}`"; B1
 * "| requestError | INVALID_CUSTOMER_ID" and "| mutateError |". */
static json_t *link_named(struct sb_req *r, const char *resource, const char *cid, bool by_manager)
{
    const char *rest =
        google_rest(r, resource, cid, by_manager ? "customerClientLinks" : "customerManagerLinks");
    const char *tilde = rest ? strchr(rest, '~') : NULL, *other;
    json_t *l;
    size_t i;

    if (!tilde) {
        google_fail(r, 400, "requestError", resource ? "RESOURCE_NAME_MALFORMED" : "RESOURCE_NAME_MISSING",
                    "update.resource_name", "Resource name is malformed.");
        return NULL;
    }
    other = sb_strf(r, "%.*s", (int)(tilde - rest), rest);
    json_array_foreach(sb_list(r, "links"), i, l)
    {
        if (sb_same(gd_json_text(l, "id", NULL), tilde + 1) &&
            sb_same(gd_json_text(l, "manager", NULL), by_manager ? cid : other) &&
            sb_same(gd_json_text(l, "client", NULL), by_manager ? other : cid))
            return l;
    }
    google_fail(r, 400, "mutateError", "RESOURCE_NOT_FOUND", "update.resource_name",
                "Resource was not found.");
    return NULL;
}

/* B3 "Manager side: PENDING -> CANCELED by customerClientLinks update"; whether it may end an active link
 * here is open 12. */
static const char *manager_change(struct sb_req *r, const char *from, const char *to)
{
    if (strcmp(from, "PENDING") == 0 && strcmp(to, "CANCELED") == 0)
        return NULL;
    if (strcmp(from, "ACTIVE") == 0 && strcmp(to, "INACTIVE") == 0 && sb_option_bool(r, "manager_can_unlink"))
        return NULL;
    return "INVALID_STATUS_CHANGE";
}

/* B1 "| customerClientLinkError |" and "INVALID_STATUS_CHANGE, INVALID_CHANGE"; B3 "`hidden` may be changed
 * only on active links". */
static bool hide(struct sb_req *r, json_t *link, const json_t *update)
{
    const json_t *client = google_customer(r, gd_json_text(link, "client", ""));

    if (gd_json_bool(client, "manager", false))
        return google_fail(r, 400, "customerClientLinkError", "CANNOT_HIDE_OR_UNHIDE_MANAGER_ACCOUNTS",
                           "operation.update", "Manager accounts cannot be hidden.");
    if (!sb_same(gd_json_text(link, "status", NULL), "ACTIVE"))
        return google_fail(r, 400, "managerLinkError", "INVALID_CHANGE", "operation.update",
                           "The link is not active.");
    json_object_set_new(link, "hidden", json_boolean(gd_json_bool(update, "hidden", false)));
    return true;
}

/* B3 "| POST `/v25/customers/{manager}/customerClientLinks:mutate` |"; B7 "any other change ->
 * INVALID_STATUS_CHANGE". */
static void change_client_link(struct sb_req *r, const struct google_caller *c, const json_t *op,
                               bool only_check)
{
    const json_t *update = json_object_get(op, "update");
    const char *status, *wrong, *name = gd_json_text(update, "resourceName", NULL);
    json_t *link;

    if (!google_members(r, update, "resourceName status hidden", "operation.update") ||
        !google_mask(r, op, "status hidden") || !(link = link_named(r, name, c->cid, true)))
        return;
    if (json_object_get(update, "hidden") && !hide(r, link, update))
        return;
    if (json_object_get(update, "status")) {
        status = status_of(r, update);
        if (!status)
            return;
        wrong = manager_change(r, gd_json_text(link, "status", ""), status);
        if (wrong) {
            google_fail(r, 400, "managerLinkError", wrong, "operation.update.status",
                        "The status cannot be changed so.");
            return;
        }
        if (!only_check)
            json_object_set_new(link, "status", json_string(status));
    }
    sb_json(r, 200, only_check ? json_object() : json_pack("{s:{s:s}}", "result", "resourceName", name));
}

/* B1 "takes a single **`operation`**" and "| requestError | INVALID_CUSTOMER_ID" (OPERATION_REQUIRED). */
static void mutate_client_links(struct sb_req *r)
{
    struct google_caller c;
    json_t *body = google_body(r, "operation validateOnly"), *op = json_object_get(body, "operation");
    bool only_check = gd_json_bool(body, "validateOnly", false);

    if (!body || !google_auth(r, &c) || !google_is_admin(r, &c))
        return;
    if (!json_is_object(op))
        google_fail(r, 400, "requestError", "OPERATION_REQUIRED", "operation", "The operation is required.");
    else if (!google_members(r, op, "create update updateMask", "operation"))
        return;
    else if (json_object_get(op, "create"))
        create(r, &c, json_object_get(op, "create"), only_check);
    else if (json_object_get(op, "update"))
        change_client_link(r, &c, op, only_check);
    else
        google_fail(r, 400, "requestError", "OPERATION_REQUIRED", "operation", "The operation is required.");
}

/* ---- the client's side ---- */

/* B1 "| managerLinkError | ALREADY_INVITED_BY_THIS_MANAGER" and "| customerManagerLinkError |" */
static bool refuse_client(struct sb_req *r, const char *family, const char *value)
{
    return google_fail(r, 400, family, value, "operations.update.status", "The status cannot be changed so.");
}

/* Whether the caller acts as the client itself: not through the manager. */
static bool as_client(const struct google_caller *c)
{
    return strcmp(c->login, c->cid) == 0;
}

/* B3 "Client side update: ACTIVE accepts, REFUSED declines, INACTIVE ends" and "accept must be called with
 * credentials of a user with access to the client account"; B1 "| customerManagerLinkError |"; B7 "any other
 * change -> INVALID_STATUS_CHANGE"; through the manager's login: open 12. False when it has answered. */
static bool client_change_allowed(struct sb_req *r, const struct google_caller *c, const json_t *link,
                                  const char *to)
{
    const char *from = gd_json_text(link, "status", "");
    bool accept = strcmp(to, "ACTIVE") == 0, end = strcmp(to, "INACTIVE") == 0;

    if (!as_client(c) && !(end && sb_option_bool(r, "manager_login_can_unlink")))
        return google_fail(r, 403, "authorizationError", "ACTION_NOT_PERMITTED", NULL,
                           "Only a user of the client account may do this.");
    if (accept && strcmp(from, "PENDING") != 0)
        return refuse_client(r, "customerManagerLinkError", "NO_PENDING_INVITE");
    if (accept && count(r, "client", c->cid, "ACTIVE") >= (int)sb_option_i64(r, "managers_max"))
        return refuse_client(r, "managerLinkError", "TOO_MANY_MANAGERS");
    if (end && strcmp(from, "ACTIVE") == 0)
        return google_admins(r, c->cid) > 0 ||
               refuse_client(r, "customerManagerLinkError", "CANNOT_UNLINK_ACCOUNT_WITHOUT_ACTIVE_USER");
    if (accept || (strcmp(to, "REFUSED") == 0 && strcmp(from, "PENDING") == 0))
        return true;
    return refuse_client(r, "managerLinkError", "INVALID_STATUS_CHANGE");
}

/* One operation; its result is added to results. False when it has answered: B3 "| POST
 * `/v25/customers/{client}/customerManagerLinks:mutate` |"; B1 "| requestError | INVALID_CUSTOMER_ID". */
static bool change_manager_link(struct sb_req *r, const struct google_caller *c, const json_t *op,
                                bool only_check, json_t *results)
{
    const json_t *update = json_object_get(op, "update");
    const char *status, *name = gd_json_text(update, "resourceName", NULL);
    json_t *link;

    if (!google_members(r, op, "update updateMask", "operations") || !update ||
        !google_members(r, update, "resourceName status", "operations.update") ||
        !google_mask(r, op, "status"))
        return sb_answered(r) ? false
                              : google_fail(r, 400, "requestError", "OPERATION_REQUIRED", "operations",
                                            "The operation is required.");
    link = link_named(r, name, c->cid, false);
    status = link ? status_of(r, update) : NULL;
    if (!status || !client_change_allowed(r, c, link, status))
        return false;
    if (!only_check)
        json_object_set_new(link, "status", json_string(status));
    json_array_append_new(results, json_pack("{s:s}", "resourceName", name));
    return true;
}

/* B1 "takes **`operations`** (array)" and "| requestError | INVALID_CUSTOMER_ID" (OPERATION_REQUIRED). */
static void mutate_manager_links(struct sb_req *r)
{
    struct google_caller c;
    json_t *body = google_body(r, "operations validateOnly"), *ops = json_object_get(body, "operations"), *op;
    bool only_check = gd_json_bool(body, "validateOnly", false), fine = true;
    json_t *results = NULL;
    size_t i;

    if (!body || !google_auth(r, &c) || !google_is_admin(r, &c))
        return;
    if (!json_array_size(ops)) {
        google_fail(r, 400, "requestError", "OPERATION_REQUIRED", "operations",
                    "At least one operation is required.");
        return;
    }
    results = json_array();
    json_array_foreach(ops, i, op)
    {
        fine = fine && change_manager_link(r, &c, op, only_check, results);
    }
    if (fine)
        sb_json(r, 200, only_check ? json_object() : json_pack("{s:O}", "results", results));
    json_decref(results);
}

#define ADS "googleads.googleapis.com"
const struct sb_route google_link_routes[] = {
    { "POST", ADS, "/{v}/customers/{cid}/customerClientLinks:mutate", mutate_client_links },
    { "POST", ADS, "/{v}/customers/{cid}/customerManagerLinks:mutate", mutate_manager_links },
    { NULL, NULL, NULL, NULL },
};
