/* link.c - the link of manager and client account: the agency's manager invites, the client accepts (through
 * the API with its consent, or in Google Ads), and both sides are asked whether it is so (facts: B3 link life
 * cycle). A step whose answer was lost is never repeated blindly: everything begins with a look. */
#include "google_ads.h"

#define Q1                                                                                            \
    "SELECT customer_client_link.resource_name, customer_client_link.client_customer, "               \
    "customer_client_link.manager_link_id, customer_client_link.status, customer_client_link.hidden " \
    "FROM customer_client_link WHERE customer_client_link.client_customer = 'customers/%s'"
#define Q2                                                                                 \
    "SELECT customer_manager_link.resource_name, customer_manager_link.manager_customer, " \
    "customer_manager_link.manager_link_id, customer_manager_link.status FROM customer_manager_link"
#define Q3_OF                                                                                             \
    "SELECT customer_client.id, customer_client.level, customer_client.manager, customer_client.status, " \
    "customer_client.descriptive_name, customer_client.currency_code, customer_client.time_zone, "        \
    "customer_client.test_account FROM customer_client WHERE customer_client.id "
#define Q3          Q3_OF "= %s"
#define Q3_AFTER    Q3_OF "> %s ORDER BY customer_client.id LIMIT 1000"
#define CLIENTS_MAX 1000 /* of them an answer is well below what the host reads (1 MiB) */
#define Q4                                                                               \
    "SELECT customer.id, customer.descriptive_name, customer.status, customer.manager, " \
    "customer.test_account FROM customer LIMIT 1"

/* As many managers as an account may have, as people report it (facts: limits, unconfirmed). */
#define MANAGERS_MAX 5

static const char *hub(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_HUB_ID);
}

/* ---- looks ---- */

/* Old rows stay visible: an active link wins, then an open invitation, then the newest. */
static int rank(const char *status)
{
    return grantd_equal(status, "ACTIVE") ? 3 : grantd_equal(status, "PENDING") ? 2 : status ? 1 : 0;
}

int ga_link_over(const char *status)
{
    return !status || !strcmp(status, "INACTIVE") || !strcmp(status, "REFUSED") ||
           !strcmp(status, "CANCELED");
}

static void take_link(struct ga *st, const char *status, const char *no, const char *resource)
{
    int better = rank(status) - rank(st->status);

    if (better < 0 || (better == 0 && ga_number(no) <= st->link_no))
        return;
    st->status = status;
    st->link = no;
    st->link_no = ga_number(no);
    st->resource = resource;
}

static void client_link_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct ga *st = ga(op);
    const char *l = grantd_strf(op, "%s.customerClientLink", at);
    const char *resource = grantd_text(op, a, grantd_strf(op, "%s.resourceName", l));
    const char *client = grantd_text(op, a, grantd_strf(op, "%s.clientCustomer", l));
    const char *status = grantd_text(op, a, grantd_strf(op, "%s.status", l));
    const char *no = ga_tail(
        resource, grantd_strf(op, "customers/%s/customerClientLinks/%s~", st->query.cid, st->line.cid));

    if (!no || !status || !grantd_equal(client, grantd_strf(op, "customers/%s", st->line.cid)))
        st->bad = "a link of another account";
    else
        take_link(st, status, no, resource);
}

grantd_next *ga_look_link(grantd_op *op, const char *cid, grantd_fn *then, grantd_doc_fn *refused)
{
    struct ga *st = ga(op);

    st->line.cid = cid;
    st->status = st->link = st->resource = NULL;
    st->link_no = 0;
    return ga_search(op, &(struct ga_query){ .who = GA_HUB,
                                             .cid = hub(op),
                                             .login = ga_hub_login(op),
                                             .gaql = grantd_strf(op, Q1, cid),
                                             .row = client_link_row,
                                             .then = then,
                                             .refused = refused });
}

static void manager_link_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct ga *st = ga(op);
    const char *l = grantd_strf(op, "%s.customerManagerLink", at);
    const char *resource = grantd_text(op, a, grantd_strf(op, "%s.resourceName", l));
    const char *manager = grantd_text(op, a, grantd_strf(op, "%s.managerCustomer", l));
    const char *status = grantd_text(op, a, grantd_strf(op, "%s.status", l));
    const char *cid = ga_tail(manager, "customers/"), *no;

    if (!cid || !status) {
        st->bad = "a link without a manager account or a status";
        return;
    }
    st->count += grantd_equal(status, "ACTIVE");
    if (!grantd_equal(cid, hub(op)))
        return;
    no = ga_tail(resource, grantd_strf(op, "customers/%s/customerManagerLinks/%s~", st->line.cid, cid));
    if (no)
        take_link(st, status, no, resource);
    else
        st->bad = "a link of another account";
}

static grantd_next *look_client_side(grantd_op *op, grantd_fn *then, grantd_doc_fn *refused)
{
    struct ga *st = ga(op);

    st->status = st->link = st->resource = NULL;
    st->link_no = st->count = 0;
    return ga_search(op, &(struct ga_query){ .who = GA_CLIENT,
                                             .cid = st->line.cid,
                                             .login = st->line.via,
                                             .gaql = Q2,
                                             .row = manager_link_row,
                                             .then = then,
                                             .refused = refused });
}

static void account_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct ga *st = ga(op);
    const char *c = grantd_strf(op, "%s.customer", at);

    if (!grantd_equal(grantd_text(op, a, grantd_strf(op, "%s.id", c)), st->query.cid)) {
        st->bad = "another account";
        return;
    }
    st->found = 1;
    st->manager = grantd_num(op, a, grantd_strf(op, "%s.manager", c), 0) == 1;
    st->name = grantd_text(op, a, grantd_strf(op, "%s.descriptiveName", c));
    st->account_status = grantd_text(op, a, grantd_strf(op, "%s.status", c));
}

grantd_next *ga_look_account(grantd_op *op, int who, const char *cid, const char *login, grantd_fn *then,
                             grantd_doc_fn *refused)
{
    ga(op)->found = ga(op)->manager = 0;
    return ga_search(op, &(struct ga_query){ .who = who,
                                             .cid = cid,
                                             .login = login,
                                             .gaql = Q4,
                                             .row = account_row,
                                             .then = then,
                                             .refused = refused });
}

static void hierarchy_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct ga *st = ga(op);
    const char *c = grantd_strf(op, "%s.customerClient", at);

    if (!grantd_equal(grantd_text(op, a, grantd_strf(op, "%s.id", c)), st->line.cid)) {
        st->bad = "another account of the hierarchy";
        return;
    }
    st->found = 1;
    st->name = grantd_text(op, a, grantd_strf(op, "%s.descriptiveName", c));
}

grantd_next *ga_look_hierarchy(grantd_op *op, const char *cid, grantd_fn *then)
{
    ga(op)->line.cid = cid;
    ga(op)->found = 0;
    return ga_search(op, &(struct ga_query){ .who = GA_HUB,
                                             .cid = hub(op),
                                             .login = ga_hub_login(op),
                                             .gaql = grantd_strf(op, Q3, cid),
                                             .row = hierarchy_row,
                                             .then = then });
}

/* ---- all below a manager, part by part: Google's own pages are of 10,000 rows and cannot be made smaller
 * ---- */

const char *ga_client_id(grantd_op *op, const grantd_doc *a, const char *row)
{
    struct ga *st = ga(op);
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", row));

    if (!ga_cid(id) || (st->last && ga_number(id) <= ga_number(st->last))) {
        st->bad = ga_cid(id) ? "customers that are not in order" : "a customer without a customer id";
        return NULL;
    }
    st->last = id;
    st->count++;
    return id;
}

int ga_clients_left(grantd_op *op)
{
    return ga(op)->count >= CLIENTS_MAX;
}

grantd_next *ga_look_clients(grantd_op *op, struct ga_query *q, const char *after)
{
    ga(op)->last = after;
    ga(op)->count = 0;
    q->gaql = grantd_strf(op, Q3_AFTER, after ? after : "0");
    return ga_search(op, q);
}

/* ---- one account ---- */

/* The number of the link is remembered: what becomes of it is the answer to our asking. */
static grantd_next *waits(grantd_op *op)
{
    return ga_line_waits(op, ga(op)->link ? ga(op)->link : ga(op)->line.ref);
}

static grantd_fn on_look, accept_it, on_client_side;

/* Q4 through the manager is the proof that the link is of use. */
static grantd_next *on_proof(grantd_op *op)
{
    if (!ga(op)->found)
        return ga_lied(op, "the linked account is missing");
    return ga_line_done(op, ga(op)->link);
}

/* Linked, but not usable: closed or suspended accounts stay linked, a fresh link may take a moment. */
static grantd_next *on_no_proof(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (ga_is(&e, "CUSTOMER_NOT_ENABLED INCOMPLETE_SIGNUP ACTION_NOT_PERMITTED_FOR_SUSPENDED_ACCOUNT")) {
        grantd_warn(op, "ACCOUNT_NOT_USABLE", "%s is linked, but %s", ga(op)->line.cid, e.text);
        return ga_line_done(op, ga(op)->link);
    }
    if (ga_is(&e, "USER_PERMISSION_DENIED INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION"))
        return waits(op);
    return ga_line_refused(op, a);
}

static grantd_next *prove(grantd_op *op)
{
    return ga_look_account(op, GA_HUB, ga(op)->line.cid, ga_hub_login(op), on_proof, on_no_proof);
}

/* Below the manager already, by a link of a manager in between. */
static grantd_next *on_hierarchy(grantd_op *op)
{
    return ga(op)->found ? ga_line_done(op, "hierarchy") : waits(op);
}

static grantd_next *on_invited(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);
    struct ga_error e;

    if (grantd_ok(op, a)) {
        st->link = ga_tail(grantd_text(op, a, "result.resourceName"),
                           grantd_strf(op, "customers/%s/customerClientLinks/%s~", hub(op), st->line.cid));
        return st->link ? accept_it(op) : ga_lied(op, "the invitation that was made");
    }
    ga_tell_refused(op, a);
    ga_error(op, a, &e);
    if (grantd_equal(e.family, "authorizationError")) /* about the agency's user and its manager account */
        return ga_fail_as(op, a, &e);
    if (ga_is(&e, "ALREADY_MANAGED_IN_HIERARCHY CLIENT_ALREADY_MANAGED_IN_HIERARCHY"))
        return ga_look_hierarchy(op, st->line.cid, on_hierarchy);
    if (ga_is(&e, "ALREADY_INVITED_BY_THIS_MANAGER CLIENT_ALREADY_INVITED_BY_THIS_MANAGER "
                  "ALREADY_MANAGED_BY_THIS_MANAGER RESOURCE_ALREADY_EXISTS"))
        return st->again++ ? waits(op) : ga_look_link(op, st->line.cid, on_look, NULL);
    return ga_line_refused(op, a);
}

static grantd_next *send_invitation(grantd_op *op)
{
    return ga_mutate(op, GA_HUB, hub(op), ga_hub_login(op), "customerClientLinks:mutate",
                     grantd_strf(op,
                                 "{\"operation\":{\"create\":{\"clientCustomer\":\"customers/%s\","
                                 "\"status\":\"PENDING\"}}}",
                                 ga(op)->line.cid),
                     on_invited);
}

/* That it may be out is durable before it is. */
static grantd_next *invite(grantd_op *op)
{
    ga_tell_invitation(op, GRANTD_SURFACE_OPEN);
    return grantd_save(op, send_invitation, .access_token = NULL);
}

static grantd_next *after_accept(grantd_op *op)
{
    return grantd_equal(ga(op)->status, "ACTIVE") ? prove(op) : waits(op);
}

/* Whoever consented is no administrator there: somebody else accepts in Google Ads, and we see it. */
static grantd_next *on_not_accepted(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (ga_is(&e, "ACTION_NOT_PERMITTED USER_PERMISSION_DENIED NON_OWNER_USER_CANNOT_MODIFY_LINK "
                  "NO_PENDING_INVITE"))
        return waits(op);
    if (ga_is(&e, "INVALID_STATUS_CHANGE INVALID_CHANGE")) /* somebody was quicker */
        return ga_look_link(op, ga(op)->line.cid, after_accept, NULL);
    return ga_line_refused(op, a);
}

static grantd_next *on_accepted(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);

    if (!grantd_ok(op, a))
        return on_not_accepted(op, a);
    if (!grantd_equal(grantd_text(op, a, "results.0.resourceName"), st->resource))
        return ga_lied(op, "the link that was accepted");
    return ga_look_link(op, st->line.cid, after_accept, NULL);
}

static grantd_next *on_client_side(grantd_op *op)
{
    struct ga *st = ga(op);

    if (grantd_equal(st->status, "ACTIVE"))
        return ga_look_link(op, st->line.cid, after_accept, NULL);
    if (!grantd_equal(st->status, "PENDING"))
        return waits(op);
    if (st->count >= MANAGERS_MAX)
        grantd_warn(op, "MANAGERS_NEAR_LIMIT", "account %s is linked to %lld manager accounts already",
                    st->line.cid, (long long)st->count);
    return ga_mutate(op, GA_CLIENT, st->line.cid, st->line.via, "customerManagerLinks:mutate",
                     grantd_strf(op,
                                 "{\"operations\":[{\"update\":{\"resourceName\":%s,\"status\":\"ACTIVE\"},"
                                 "\"updateMask\":\"status\"}]}",
                                 grantd_encode(op, GRANTD_JSON, st->resource)),
                     on_accepted);
}

/* With the client's consent, else a person in Google Ads. */
static grantd_next *accept_it(grantd_op *op)
{
    if (ga_mode(op) != GA_LINK || !grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) || !*ga(op)->line.via)
        return waits(op);
    return look_client_side(op, on_client_side, on_not_accepted);
}

/* A refusal after we asked is the client's answer; one from before is history. */
static grantd_next *on_look(grantd_op *op)
{
    struct ga *st = ga(op);

    if (grantd_equal(st->status, "ACTIVE"))
        return prove(op);
    if (grantd_equal(st->status, "PENDING"))
        return accept_it(op);
    if (!ga_link_over(st->status))
        return waits(op);
    if (*st->line.ref && grantd_equal(st->line.ref, st->link ? st->link : "-"))
        return ga_line_bad(op,
                           grantd_equal(st->status, "REFUSED") ? "INVITATION_DECLINED" : "INVITATION_GONE");
    return st->again ? waits(op) : invite(op);
}

grantd_next *ga_link_one(grantd_op *op)
{
    return ga_look_link(op, ga(op)->line.cid, on_look, NULL);
}
