/* shopify.h - what the files of this platform share. Nothing here outlives a run: every pointer is the
 * host's, every function takes the operation and keeps no state beside op->state. */
#ifndef SHOPIFY_H
#define SHOPIFY_H

#include <grantd/platform_help.h>

#include <string.h>

enum { SH_LABEL_MAX = 63, SH_DAY_S = 86400 };

/* op->state. */
struct sh {
    const char *shop; /* acme.myshopify.com, checked */
    const char *token;
    const char *query; /* the GraphQL text in flight, to be sent again when it was throttled */
    grantd_doc_fn *next;
    const char *cursor; /* page of staff members */
    int64_t surface;
    uint8_t throttled, renewed, uninstalled, round, looking, pages;
};

static inline struct sh *sh(const grantd_op *op)
{
    return op->state;
}

/* ---- shop.c: the guard of the domain ----------------------------------------------------------------------
 */
/* What a person wrote becomes NAME.myshopify.com; NULL: it is no permanent domain of a shop. */
const char *sh_domain(grantd_op *op, const char *text);
/* Exactly such a domain already. */
int sh_is_domain(const char *text);
/* Finds the shop of this operation in parameter, asset or account; NULL or the failure to return. */
grantd_next *sh_shop(grantd_op *op);
const char *sh_at(grantd_op *op, const char *path);

/* ---- sign.c: what Shopify signed --------------------------------------------------------------------------
 */
/* NULL, or the failure to return when the callback is not genuine, not fresh or of another shop. */
grantd_next *sh_check_callback(grantd_op *op);
grantd_next *sh_notice(grantd_op *op);

/* ---- scope.c ----------------------------------------------------------------------------------------------
 */
/* Scopes asked by this operation, separated by commas; NULL: the option is not usable. */
const char *sh_scopes(grantd_op *op);
/* Those of asked that granted does not hold, write_x standing for read_x too; NULL: none. */
const char *sh_missing(grantd_op *op, const char *asked, const char *granted);
int sh_any_write(const char *scopes);
/* Commas become blanks. */
const char *sh_spaced(grantd_op *op, const char *scopes);
/* Scopes of the app installation in an answer, separated by commas; NULL: none there. */
const char *sh_installed(grantd_op *op, const grantd_doc *answer, const char *path);

/* ---- call.c: requests, and what a refusal means -----------------------------------------------------------
 */
grantd_next *sh_graphql(grantd_op *op, const char *token, const char *query, grantd_doc_fn *next);
grantd_next *sh_rest(grantd_op *op, const char *method, const char *path, const char *token,
                     grantd_doc_fn *next);
enum { SH_AT_API, SH_AT_TOKEN };
int sh_class(grantd_op *op, const grantd_doc *answer, int at);
grantd_next *sh_fail(grantd_op *op, const grantd_doc *answer, int at, const char *what);
/* 401 in Shopify's own words: the token is dead. What stands before Shopify may say 401 of its own. */
int sh_is_dead(grantd_op *op, const grantd_doc *answer);
/* Frozen or locked: nothing works until the merchant or Shopify acts. */
int sh_is_closed(grantd_op *op, const grantd_doc *answer);
/* The word of the first GraphQL error, NULL: none that looks like a word. */
const char *sh_error_code(grantd_op *op, const grantd_doc *answer);
int sh_refuses_old_tokens(grantd_op *op, const grantd_doc *answer);
int sh_option_is(const grantd_op *op, const char *key, const char *value);
grantd_next *sh_version(grantd_op *op);

/* ---- token.c: the consent and its life --------------------------------------------------------------------
 */
grantd_next *sh_exchange(grantd_op *op);
grantd_next *sh_spend(grantd_op *op, const char *refresh_token, grantd_doc_fn *next);
/* Tokens and clocks of an answer of the token endpoint. */
struct grantd_result sh_result(grantd_op *op, const grantd_doc *answer);
grantd_next *sh_refresh(grantd_op *op);

/* ---- staff.c, grant.c, look.c, revoke.c -------------------------------------------------------------------
 */
#define SH_LOOK "{ shop { id name myshopifyDomain } currentAppInstallation { id accessScopes { handle } } }"
enum { SH_STAFF_NONE, SH_STAFF_REQUESTED, SH_STAFF_ACCEPTED, SH_STAFF_UNKNOWN };
/* Looks for the agency's collaborator; then finds the outcome with sh_staff. */
grantd_next *sh_ask_staff(grantd_op *op, const char *token, grantd_doc_fn *next);
/* -1: there is another page, call sh_ask_staff again. */
int sh_staff(grantd_op *op, const grantd_doc *answer);
int sh_is_collaborator(grantd_op *op);
const char *sh_agency(const grantd_op *op);
void sh_ask_code(grantd_op *op);
grantd_next *sh_grant(grantd_op *op);
grantd_next *sh_verify(grantd_op *op);
grantd_next *sh_revoke(grantd_op *op);

#endif
