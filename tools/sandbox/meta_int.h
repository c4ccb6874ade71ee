/* meta_int.h - what the files of the stand-in for Meta share. Facts: meta_google.md, part A.
 *
 * The world: apps {id, secret, name, redirect_uris, business}, configs {id, app, token: user|system_user,
 * permissions, days}, people {id, name, businesses: {id: ADMIN|EMPLOYEE}}, businesses {id, name},
 * ad_accounts {id (digits), name, account_status, business}, pages {id, name, business},
 * system_users {id, name, role, business, apps}, shares {id, asset, kind: ad_account|page, agency,
 * permitted_tasks, access_status, review, requested, updated}, assigned {asset, user, tasks}. The path of an
 * ad account and the asset of a share is act_ and digits. */
#ifndef SB_META_INT_H
#define SB_META_INT_H

#include "sandbox.h"

/* Who calls: an app, a person, a system user or a page (with a person behind it). */
struct meta_caller {
    const char *value; /* of the token */
    json_t *token;     /* NULL for an app */
    json_t *app;
    json_t *person;      /* of users and pages */
    json_t *system_user; /* of system users, ours or those of a business integration */
    const char *page;    /* of page tokens */
};

/* The envelope of A1. type NULL: OAuthException. Answers, so that `return meta_error(...)` reads well. */
void meta_error(struct sb_req *r, int code, int subcode, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void meta_success(struct sb_req *r);
/* A parameter of the query or the form body; NULL when absent. */
const char *meta_arg(struct sb_req *r, const char *name);
/* Fills *c; false when it has answered. */
bool meta_auth(struct sb_req *r, struct meta_caller *c);
/* 190 with what is known about why the token is dead. */
void meta_dead_token(struct sb_req *r, const json_t *token);
int meta_dead_subcode(struct sb_req *r, const json_t *token); /* 0: alive */
/* The token holds one of the scopes (names separated by blanks); false when it has answered. */
bool meta_scope(struct sb_req *r, const struct meta_caller *c, const char *any_of);
/* Whether c is administrator of that business. */
bool meta_admin(const struct meta_caller *c, const char *business);

/* A node with the fields asked for; whole is taken. */
void meta_node(struct sb_req *r, json_t *whole, const char *dflt);
/* A page of nodes in the list envelope; whole is taken. dflt: fields when none are asked for. */
void meta_list(struct sb_req *r, json_t *whole, const char *dflt);

json_t *meta_account(struct sb_req *r, const char *act); /* by act_...; NULL when absent */
json_t *meta_business(struct sb_req *r, const char *id);
/* "2014-01-07T23:26:09+0000" */
json_t *meta_time(struct sb_req *r, const json_t *unix_s);
/* Ends every token of a person (or a business' integration) and an app; subcode says why. */
void meta_end_tokens(struct sb_req *r, const char *key, const char *who, const char *app, int subcode);

/* ---- assets (meta_assets.c) ---- */
void meta_absent(struct sb_req *r, const char *id);
json_t *meta_asset_view(struct sb_req *r, const struct meta_caller *c,
                        const char *asset); /* NULL: no such asset */
const char *meta_asset_owner(struct sb_req *r, const char *asset);
json_t *meta_tasks(struct sb_req *r, const char *parameter, const char *asset); /* NULL: it has answered */
void meta_share(struct sb_req *r, const char *asset, const char *agency, const json_t *tasks,
                const char *status);
bool meta_unshare(struct sb_req *r, const char *asset, const char *agency);
void meta_page_agencies(struct sb_req *r);

extern const struct sb_route meta_oauth_routes[], meta_asset_routes[], meta_business_routes[];
extern const struct sb_act meta_acts[];
void meta_consent(struct sb_req *r, const struct sb_choice *choice);

#endif
