/* shopify_int.h - what the files of the stand-in for Shopify share. Facts: linkedin_shopify_oauth2.md,
 * part 2.
 *
 * The world: apps {id, gid, secret, name, redirect_uris, public, webhook_url}, shops {domain, id, name,
 * email, primary_domain, plan, state: open|frozen|locked, staff: [{email, account_type, active}]}, installs
 * {shop, app, id, scopes, optional}, webhooks {id, shop, app, topic, uri}, deliveries {id, shop, app, topic,
 * url, body}, buckets {"SHOP APP": {available, at}}. */
#ifndef SB_SHOPIFY_INT_H
#define SB_SHOPIFY_INT_H

#include "sandbox.h"

struct shopify_caller {
    json_t *token, *app, *shop, *install;
};

json_t *shopify_shop(struct sb_req *r); /* of the host; NULL when there is none */
json_t *shopify_app(struct sb_req *r, const char *id);
json_t *shopify_install(struct sb_req *r, const char *shop, const char *app);
/* Header, token, shop and app checked; false when it has answered. */
bool shopify_auth(struct sb_req *r, struct shopify_caller *c);
bool shopify_has_scope(const struct shopify_caller *c, const char *scope); /* write_x is also read_x */
/* Ends every token of the app in the shop; expiring: only those that expire. */
void shopify_end_tokens(struct sb_req *r, const char *shop, const char *app, bool expiring);
/* The app leaves the shop: tokens die, app/uninstalled is sent, subscriptions go. */
void shopify_uninstall(struct sb_req *r, const char *shop, const char *app);
/* A webhook to url, signed with the app's secret; body: what is sent, byte by byte. Its id. */
const char *shopify_webhook(struct sb_req *r, const char *shop, const char *app, const char *topic,
                            const char *url, const char *body);
const char *shopify_shop_body(struct sb_req *r, const char *shop); /* the body of app/uninstalled */
/* The pairs (name, value, ... NULL; sorted by name) as 2.2.3 says they are signed. */
char *shopify_message(struct sb_req *r, const char *const *pairs);
void shopify_consent(struct sb_req *r, const struct sb_choice *choice);
/* Claims of an ID token that fits the app and the shop (2.2.7); borrowed until the request ends, NULL when
 * bad. */
json_t *shopify_id_token(struct sb_req *r, const json_t *app, const char *token);

extern const struct sb_route shopify_oauth_routes[], shopify_admin_routes[];

#endif
