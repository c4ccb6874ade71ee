/* google_int.h - what the files of the stand-in for Google share. Facts: meta_google.md, part B.
 *
 * The world: clients {id, secret, name, project, redirect_uris, testing}, people {email, sub, name,
 * test_user}, customers {id, name, status, manager, test, currency_code, time_zone, allowed_domains},
 * user_access {customer, user_id, email, role, created, inviter, visible}, links {manager, client, id,
 * status, hidden}, invitations {customer, id, email, role, status, created, gone}, reviews {customer, id,
 * status, operation, target, requester, created, todo}, developer_tokens [text]. */
#ifndef SB_GOOGLE_INT_H
#define SB_GOOGLE_INT_H

#include "sandbox.h"

/* Who calls which account, and through which. */
struct google_caller {
    const char *email;
    json_t *token;
    json_t *customer;        /* of the path; NULL for calls without one */
    const char *cid, *login; /* login: the account through which access is taken */
    const char *role;        /* of the person at login */
};

/* One error in a GoogleAdsFailure; http chooses google.rpc's status. path: "operation.create", or NULL.
 * Always false. */
bool google_fail(struct sb_req *r, int http, const char *key, const char *value, const char *path,
                 const char *message);
/* The same as a JSON value, for answers that carry errors inside. A new reference. */
json_t *google_failure(struct sb_req *r, int http, const char *key, const char *value, const char *path,
                       const char *message);
/* A google.rpc.BadRequest: what the JSON mapping refuses. Always false. */
bool google_bad_request(struct sb_req *r, const char *field, const char *description);
/* A google.rpc.ErrorInfo, as gateways send. Always false. */
bool google_error_info(struct sb_req *r, int http, const char *reason, const char *message);
/* 429 RESOURCE_EXHAUSTED: for a moment, or (daily) until the day's budget is there again. delay: "42s"; ""
 * leaves it out. */
void google_quota(struct sb_req *r, bool daily, const char *scope, const char *delay);
/* Every member of an object is one of the names (separated by blanks); false when it has answered. */
bool google_members(struct sb_req *r, const json_t *object, const char *names, const char *where);

/* Token and account of the path, checked; false when it has answered. */
bool google_auth(struct sb_req *r, struct google_caller *c);
/* The body, an object; NULL when it has answered. */
json_t *google_body(struct sb_req *r, const char *members);
/* The caller is administrator; false when it has answered. */
bool google_is_admin(struct sb_req *r, const struct google_caller *c);
/* Whether the account is managed by manager, at any depth. */
bool google_manages(struct sb_req *r, const char *manager, const char *client);
/* Digits of "customers/DIGITS"; NULL when it is not that. */
const char *google_customer_id(const char *resource);
/* Splits "customers/CID/KIND/REST" and checks CID and KIND; REST, or NULL. */
const char *google_rest(struct sb_req *r, const char *resource, const char *cid, const char *kind);
/* An update mask that names only those fields (blanks between, lowerCamelCase); snake case is taken too. */
bool google_mask(struct sb_req *r, const json_t *operation, const char *known);
json_t *google_customer(struct sb_req *r, const char *cid);
/* Number of administrators of the account that count now. */
int google_admins(struct sb_req *r, const char *cid);

/* Consents, tokens. */
void google_consent(struct sb_req *r, const struct sb_choice *choice);
/* Revokes all that the person gave to the project; how many tokens died. */
size_t google_revoke_all(struct sb_req *r, const char *email, const char *project);
/* Carries out what a review waited for; the member of the result, or NULL. */
const char *google_carry_out(struct sb_req *r, const json_t *review, const char **ret_name);
void google_lapse(struct sb_req *r); /* invitations and reviews end after 20 days */

extern const struct sb_route google_oauth_routes[], google_query_routes[], google_link_routes[],
    google_user_routes[];

#endif
