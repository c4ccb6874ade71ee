/* google_users.c - people of an account: invitations, roles, removal, and reviews by a second administrator
 * (meta_google.md B3, "User-access path"). */
#include "google_int.h"

#include <string.h>
#include <strings.h>

/* B3 "**expires 20 days** after creation" and "must be approved within 20 days" */
#define LIVES (20 * 86400)

static bool is_role(const char *role)
{
    static const char *const roles[] = { "ADMIN", "STANDARD", "READ_ONLY", "EMAIL_ONLY" };

    for (size_t i = 0; role && i < 4; i++)
        if (strcmp(roles[i], role) == 0)
            return true;
    return false;
}

static void lapse(struct sb_req *r, const char *list)
{
    json_t *one;
    size_t i;

    json_array_foreach(sb_list(r, list), i, one)
    {
        if (sb_same(gd_json_text(one, "status", NULL), "PENDING") &&
            gd_json_i64(one, "created", 0) + LIVES <= sb_now(r))
            json_object_set_new(one, "status", json_string("EXPIRED"));
    }
}

void google_lapse(struct sb_req *r)
{
    lapse(r, "invitations");
    lapse(r, "reviews");
}

/* ---- reviews ---- */

/* B3 "**Multi-party approval (MPA):**": read-only roles are exempt. True when it has answered. todo is taken.
 */
static bool wants_review(struct sb_req *r, const struct google_caller *c, const char *operation,
                         const char *target, const char *role, json_t *todo)
{
    const char *id;

    if (!sb_option_bool(r, "mpa") || sb_same(role, "READ_ONLY")) {
        json_decref(todo);
        return false;
    }
    id = sb_make_digits(r, "review", "99", 4);
    json_array_append_new(sb_list(r, "reviews"),
                          json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o}", "customer", c->cid, "id", id,
                                    "status", "PENDING", "operation", operation, "target", target,
                                    "requester", c->email, "created", (json_int_t)sb_now(r), "todo", todo));
    /* 0.1 "A pending multi-party review leaves `resourceName` unset" */
    sb_json(r, 200,
            json_pack("{s:{s:s}}", "result", "multiPartyAuthReview",
                      sb_strf(r, "customers/%s/multiPartyAuthReviews/%s", c->cid, id)));
    return true;
}

static bool review_open_for(struct sb_req *r, const char *cid, const char *email)
{
    const json_t *one;
    size_t i;

    json_array_foreach(sb_list(r, "reviews"), i, one)
    {
        if (sb_same(gd_json_text(one, "customer", NULL), cid) &&
            sb_same(gd_json_text(one, "status", NULL), "PENDING") &&
            sb_same(gd_json_text(json_object_get(one, "todo"), "email", NULL), email))
            return true;
    }
    return false;
}

/* ---- invitations ---- */

static bool is_email(const char *s)
{
    const char *at = s ? strchr(s, '@') : NULL;

    return at && at != s && strchr(at, '.') && !strchr(at + 1, '@') && !strpbrk(s, " <>\"'\\,;");
}

static bool domain_allowed(const json_t *customer, const char *email)
{
    const json_t *domains = json_object_get(customer, "allowed_domains");

    return !json_array_size(domains) || sb_has_text(domains, strchr(email, '@') + 1);
}

static json_t *pending_invitation(struct sb_req *r, const char *cid, const char *email)
{
    json_t *one;
    size_t i;

    json_array_foreach(sb_list(r, "invitations"), i, one)
    {
        if (sb_same(gd_json_text(one, "customer", NULL), cid) &&
            sb_same(gd_json_text(one, "status", NULL), "PENDING") &&
            strcasecmp(gd_json_text(one, "email", ""), email) == 0)
            return one;
    }
    return NULL;
}

static size_t pending_count(struct sb_req *r, const char *cid)
{
    const json_t *one;
    size_t i, n = 0;

    json_array_foreach(sb_list(r, "invitations"), i, one)
    {
        n += sb_same(gd_json_text(one, "customer", NULL), cid) &&
             sb_same(gd_json_text(one, "status", NULL), "PENDING");
    }
    return n;
}

/* The value that stands in the way; NULL when nothing does: B1 "| accessInvitationError |"; 0.1 "blocks a new
 * invitation to that address"; how many may wait is [assumed]. */
static const char *obstacle(struct sb_req *r, const struct google_caller *c, const char *email)
{
    if (!is_email(email))
        return "INVALID_EMAIL_ADDRESS";
    if (strchr(email, '+'))
        return "GOOGLE_CONSUMER_ACCOUNT_NOT_ALLOWED";
    if (!domain_allowed(c->customer, email))
        return "EMAIL_DOMAIN_POLICY_VIOLATED";
    if (sb_find2(sb_list(r, "user_access"), "customer", c->cid, "email", email))
        return "EMAIL_ADDRESS_ALREADY_HAS_ACCESS";
    if (pending_invitation(r, c->cid, email) || review_open_for(r, c->cid, email))
        return "EMAIL_ADDRESS_ALREADY_HAS_PENDING_INVITATION";
    return (int64_t)pending_count(r, c->cid) >= sb_option_i64(r, "invitations_max")
               ? "PENDING_INVITATIONS_LIMIT_EXCEEDED"
               : NULL;
}

static const char *add_invitation(struct sb_req *r, const char *cid, const char *email, const char *role)
{
    const char *id = sb_make_digits(r, "invitation", "88", 4);

    json_array_append_new(sb_list(r, "invitations"),
                          json_pack("{s:s,s:s,s:s,s:s,s:s,s:I}", "customer", cid, "id", id, "email", email,
                                    "role", role, "status", "PENDING", "created", (json_int_t)sb_now(r)));
    return sb_strf(r, "customers/%s/customerUserAccessInvitations/%s", cid, id);
}

static void answer_name(struct sb_req *r, const char *name)
{
    sb_json(r, 200, json_pack("{s:{s:s}}", "result", "resourceName", name));
}

/* Fault role_downgrade: another administrator made less of it in the account's pages [assumed]. */
static const char *given(struct sb_req *r, const char *asked)
{
    return sb_fault(r, "role_downgrade") ? "READ_ONLY" : asked;
}

/* B3 "| POST `/v25/customers/{cid}/customerUserAccessInvitations:mutate` |"; B1 "| requestError |
 * INVALID_CUSTOMER_ID" and
 * "| accessInvitationError |". */
static void invite(struct sb_req *r, const struct google_caller *c, const json_t *create)
{
    const char *email = gd_json_text(create, "emailAddress", NULL),
               *role = gd_json_text(create, "accessRole", NULL), *wrong;

    if (!google_members(r, create, "emailAddress accessRole", "operation.create"))
        return;
    if (!is_role(role)) {
        google_fail(r, 400, "requestError", role ? "INVALID_ENUM_VALUE" : "REQUIRED_FIELD_MISSING",
                    "operation.create.access_role", "Enum value not set or not known.");
        return;
    }
    wrong = obstacle(r, c, email);
    if (wrong) {
        google_fail(r, 400, "accessInvitationError", wrong, "operation.create.email_address",
                    "The invitation cannot be made.");
        return;
    }
    role = given(r, role);
    if (!wants_review(r, c, "CREATE", sb_strf(r, "customers/%s", c->cid), role,
                      json_pack("{s:s,s:s,s:s}", "do", "invite", "email", email, "role", role)))
        answer_name(r, add_invitation(r, c->cid, email, role));
}

/* B3 "| POST `/v25/customers/{cid}/customerUserAccessInvitations:mutate` |"; B1 "| requestError |
 * INVALID_CUSTOMER_ID" and
 * "| accessInvitationError |" */
static void withdraw(struct sb_req *r, const struct google_caller *c, const char *name)
{
    const char *id = google_rest(r, name, c->cid, "customerUserAccessInvitations");
    json_t *found = id ? sb_find2(sb_list(r, "invitations"), "customer", c->cid, "id", id) : NULL;

    if (!id)
        google_fail(r, 400, "requestError", "RESOURCE_NAME_MALFORMED", "operation.remove",
                    "Resource name is malformed.");
    else if (!found || gd_json_i64(found, "gone", 0))
        google_fail(r, 400, "accessInvitationError", "INVALID_INVITATION_ID", "operation.remove",
                    "No such invitation.");
    else if (!sb_same(gd_json_text(found, "status", NULL), "PENDING"))
        google_fail(r, 400, "accessInvitationError", "INVALID_INVITATION_STATUS", "operation.remove",
                    "Not pending.");
    else {
        sb_remove(sb_list(r, "invitations"), "customer", c->cid, "id", id);
        answer_name(r, name);
    }
}

/* The operation of a body with one; NULL when it has answered: B1 "user-access calls take single
 * `operation`/`result`" and
 * "| requestError | INVALID_CUSTOMER_ID" (OPERATION_REQUIRED). */
static json_t *operation_of(struct sb_req *r, struct google_caller *c, const char *members)
{
    json_t *body = google_body(r, "operation"), *op = json_object_get(body, "operation");

    if (!body || !google_auth(r, c) || !google_is_admin(r, c))
        return NULL;
    if (json_is_object(op) && json_object_size(op))
        return google_members(r, op, members, "operation") ? op : NULL;
    google_fail(r, 400, "requestError", "OPERATION_REQUIRED", "operation", "The operation is required.");
    return NULL;
}

static void mutate_invitations(struct sb_req *r)
{
    struct google_caller c;
    const json_t *op = operation_of(r, &c, "create remove");

    if (op && json_object_get(op, "create"))
        invite(r, &c, json_object_get(op, "create"));
    else if (op)
        withdraw(r, &c, gd_json_text(op, "remove", ""));
}

/* ---- people with access ---- */

/* Whether the account would be left without an administrator; true when it has answered: B1
 * "| customerUserAccessError |". */
static bool last_admin(struct sb_req *r, const struct google_caller *c, const json_t *user)
{
    bool manager = gd_json_bool(c->customer, "manager", false);

    if (!sb_same(gd_json_text(user, "role", NULL), "ADMIN") || google_admins(r, c->cid) > 1)
        return false;
    google_fail(r, 400, "customerUserAccessError",
                manager ? "LAST_ADMIN_USER_OF_MANAGER" : "LAST_ADMIN_USER_OF_SERVING_CUSTOMER", "operation",
                "The last administrator cannot go.");
    return true;
}

/* B3 "`customers/{cid}/customerUserAccesses/{user_id}`"; B1 "| requestError | INVALID_CUSTOMER_ID" and
 * "| customerUserAccessError |". */
static json_t *user_named(struct sb_req *r, const struct google_caller *c, const char *name)
{
    const char *id = google_rest(r, name, c->cid, "customerUserAccesses");
    json_t *user = id ? sb_find2(sb_list(r, "user_access"), "customer", c->cid, "user_id", id) : NULL;

    if (!id)
        google_fail(r, 400, "requestError", "RESOURCE_NAME_MALFORMED", "operation",
                    "Resource name is malformed.");
    else if (!user)
        google_fail(r, 400, "customerUserAccessError", "INVALID_USER_ID", "operation", "No such user.");
    return user;
}

/* B3 "| POST `/v25/customers/{cid}/customerUserAccesses:mutate`" and "AccessRole: ADMIN (owns account"; B1 "|
 * requestError | INVALID_CUSTOMER_ID". */
static void change_role(struct sb_req *r, const struct google_caller *c, const json_t *op)
{
    const json_t *update = json_object_get(op, "update");
    const char *name = gd_json_text(update, "resourceName", ""),
               *role = gd_json_text(update, "accessRole", NULL);
    json_t *user;

    if (!google_members(r, update, "resourceName accessRole", "operation.update") ||
        !google_mask(r, op, "accessRole") || !(user = user_named(r, c, name)))
        return;
    if (!is_role(role)) {
        google_fail(r, 400, "requestError", "INVALID_ENUM_VALUE", "operation.update.access_role",
                    "Enum value not known.");
        return;
    }
    role = given(r, role);
    if ((strcmp(role, "ADMIN") != 0 && last_admin(r, c, user)) ||
        wants_review(r, c, "UPDATE", name, role,
                     json_pack("{s:s,s:O,s:s}", "do", "change", "user_id", json_object_get(user, "user_id"),
                               "role", role)))
        return;
    json_object_set_new(user, "role", json_string(role));
    answer_name(r, name);
}

static void remove_user(struct sb_req *r, const struct google_caller *c, const char *name)
{
    json_t *user = user_named(r, c, name);

    if (!user || last_admin(r, c, user) ||
        wants_review(r, c, "REMOVE", name, gd_json_text(user, "role", ""),
                     json_pack("{s:s,s:O}", "do", "remove", "user_id", json_object_get(user, "user_id"))))
        return;
    sb_remove(sb_list(r, "user_access"), "customer", c->cid, "user_id",
              sb_strf(r, "%s", gd_json_text(user, "user_id", "")));
    answer_name(r, name);
}

static void mutate_users(struct sb_req *r)
{
    struct google_caller c;
    const json_t *op = operation_of(r, &c, "update updateMask remove");

    if (op && json_object_get(op, "update"))
        change_role(r, &c, op);
    else if (op)
        remove_user(r, &c, gd_json_text(op, "remove", ""));
}

/* ---- resolving reviews ---- */

const char *google_carry_out(struct sb_req *r, const json_t *review, const char **ret_name)
{
    const json_t *todo = json_object_get(review, "todo");
    const char *what = gd_json_text(todo, "do", ""), *cid = gd_json_text(review, "customer", "");
    const char *id = gd_json_text(todo, "user_id", "");
    json_t *user = sb_find2(sb_list(r, "user_access"), "customer", cid, "user_id", id);

    if (strcmp(what, "invite") == 0) {
        *ret_name = add_invitation(r, cid, gd_json_text(todo, "email", ""), gd_json_text(todo, "role", ""));
        return "customerUserAccessInvitation";
    }
    *ret_name = sb_strf(r, "customers/%s/customerUserAccesses/%s", cid, id);
    if (strcmp(what, "remove") == 0)
        sb_remove(sb_list(r, "user_access"), "customer", cid, "user_id", sb_strf(r, "%s", id));
    else
        json_object_set_new(user, "role", json_string(gd_json_text(todo, "role", "")));
    return "customerUserAccess";
}

/* B3 "a different admin approves": the requester may revoke. */
static const char *resolve_wrong(const struct google_caller *c, const json_t *review, const char *to)
{
    bool mine = sb_same(gd_json_text(review, "requester", NULL), c->email);

    if (!sb_same(gd_json_text(review, "status", NULL), "PENDING"))
        return "INVALID_STATUS_TRANSITION";
    if (strcmp(to, "REVOKED") == 0)
        return mine ? NULL : "PERMISSION_DENIED";
    if (strcmp(to, "APPROVED") != 0 && strcmp(to, "REJECTED") != 0)
        return "INVALID_STATUS_TRANSITION";
    return mine ? "PERMISSION_DENIED" : NULL;
}

/* B3 "| POST `/v25/customers/{cid}/multiPartyAuthReview:resolve`"; B1 "| multiPartyAuthReviewError |". */
static json_t *resolve_one(struct sb_req *r, const struct google_caller *c, const json_t *op)
{
    const char *name = gd_json_text(op, "multiPartyAuthReview", ""), *to = gd_json_text(op, "newStatus", "");
    const char *id = google_rest(r, name, c->cid, "multiPartyAuthReviews"), *wrong, *member, *made = NULL;
    json_t *review = id ? sb_find2(sb_list(r, "reviews"), "customer", c->cid, "id", id) : NULL, *result;

    wrong = review ? resolve_wrong(c, review, to) : "ACCESS_INVITATION_NOT_FOUND";
    if (wrong)
        return json_pack("{s:o}", "partialFailureError",
                         google_failure(r, 400, "multiPartyAuthReviewError", wrong, "operations",
                                        "The review cannot be resolved so."));
    json_object_set_new(review, "status", json_string(to));
    result = json_pack("{s:s}", "multiPartyAuthReview", name);
    if (strcmp(to, "APPROVED") == 0) {
        member = google_carry_out(r, review, &made);
        json_object_set_new(result, member, json_string(made));
    }
    return json_pack("{s:o}", "result", result);
}

/* B3 "| POST `/v25/customers/{cid}/multiPartyAuthReview:resolve`": one operation only; B1 "| requestError |
 * INVALID_CUSTOMER_ID" (TOO_MANY_MUTATE_OPERATIONS). */
static void resolve(struct sb_req *r)
{
    struct google_caller c;
    json_t *body = google_body(r, "operations"), *ops = json_object_get(body, "operations");

    if (!body || !google_auth(r, &c) || !google_is_admin(r, &c))
        return;
    if (json_array_size(ops) != 1)
        google_fail(r, 400, "requestError",
                    json_array_size(ops) ? "TOO_MANY_MUTATE_OPERATIONS" : "OPERATION_REQUIRED", "operations",
                    "Exactly one operation is taken.");
    else if (google_members(r, json_array_get(ops, 0), "multiPartyAuthReview newStatus", "operations"))
        sb_json(r, 200, json_pack("{s:[o]}", "resultOrError", resolve_one(r, &c, json_array_get(ops, 0))));
}

#define ADS "googleads.googleapis.com"
const struct sb_route google_user_routes[] = {
    { "POST", ADS, "/{v}/customers/{cid}/customerUserAccessInvitations:mutate", mutate_invitations },
    { "POST", ADS, "/{v}/customers/{cid}/customerUserAccesses:mutate", mutate_users },
    { "POST", ADS, "/{v}/customers/{cid}/multiPartyAuthReview:resolve", resolve },
    { NULL, NULL, NULL, NULL },
};
