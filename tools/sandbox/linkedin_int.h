/* linkedin_int.h - what the files of the stand-in for LinkedIn share. Facts: linkedin_shopify_oauth2.md,
 * part 1.
 *
 * The world: apps {id, secret, name, redirect_uris, scopes, refresh, tier}, members {id, first, last,
 * email_confirmed, person: {app: id}}, accounts {id, name, type, status, currency, reference, test,
 * business_manager}, users {account, member, role, created, modified, version}, granted {"APP MEMBER":
 * scopes}, edited {"APP": [account]}, calls {...}. Person ids are of one app: nobody knows a member's id of
 * another. */
#ifndef SB_LINKEDIN_INT_H
#define SB_LINKEDIN_INT_H

#include "sandbox.h"

struct linkedin_caller {
    json_t *token, *app, *member;
};

/* 1.1, "Error envelopes": the newer one; word and number may be absent (NULL, 0). Always false. */
bool linkedin_error(struct sb_req *r, int status, const char *word, int number, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The third envelope: BadRequest with one input error. Always false. */
bool linkedin_invalid(struct sb_req *r, const char *word, const char *field, const char *description);
/* Token and, with any_of (blanks between), a scope; false when it has answered. */
bool linkedin_auth(struct sb_req *r, struct linkedin_caller *c, const char *any_of);
/* "qPdemo7Zx1": the member as the app knows it. */
const char *linkedin_person(struct sb_req *r, const json_t *member, const char *app);
/* Ends the access tokens of a member and app, and with refresh those too; how many. */
size_t linkedin_end_tokens(struct sb_req *r, const char *member, const char *app, bool refresh);
void linkedin_consent(struct sb_req *r, const struct sb_choice *choice);

extern const struct sb_route linkedin_oauth_routes[], linkedin_ads_routes[];

#endif
