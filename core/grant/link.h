/* grant/link.h - a link with all that stands behind it, read in one go and checked. Inside the grant room. */
#ifndef GD_GRANT_LINK_H
#define GD_GRANT_LINK_H

#include "grant/exchange.h"
#include "grant/flow.h"

struct gd_link {
    struct gd_err err; /* reason OK: the link may be used */
    const char *workspace, *id, *request, *client, *client_name, *locale, *message; /* in the call's arena */
    int64_t expires_at;
    bool by_session;
    json_t *items; /* array of objects: id, app, role, mode, asset, scope, expect_account, state, reason,
                      steps, flow, params, reason_text, problems, mine (this browser's flow) */
    void (*next)(void *);
};
/* Reads and checks, then next(call). l lives in the call's arena. */
void gd_link_load(struct gd_call *c, const struct gd_visitor *v, struct gd_link *l, void (*next)(void *));
void gd_link_done(struct gd_link *l);
bool gd_link_item_open(const json_t *item); /* open, started, waiting or declined: may be (re)started */
/* JSON of the page. New reference. */
json_t *gd_link_page(struct gd_broker *b, const struct gd_link *l);
/* What people call a role of the app (NULL when it knows none of that name) and the app itself. */
const struct grantd_role *gd_link_role(const struct gd_app_state *a, const char *name);
const char *gd_link_title(const struct gd_app_state *a);
/* The role that an item asks for: as it was stored, or (one that was made before the host decided it) the
 * mode's default. NULL: none. */
const char *gd_link_role_asked(const struct gd_app_state *a, const char *mode, const char *stored);

/* Items of a flow, whose app is known already, from the rows of statement stmt (id, role, mode, asset, scope,
 * expect_account, params). */
void gd_flow_items_from(struct gd_flow *f, const struct gd_tx *tx, size_t stmt);
/* Grants of an account that was not expected are closed at once. */
void gd_link_expect(struct gd_broker *b, const struct gd_flow *f, const struct gd_exchange_result *r);

#endif
