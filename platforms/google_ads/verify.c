/* verify.c - looks: does the token live, is the access that was given still there, with which role. What is
 * not as it was is a fact, not a failure. And scan: all that the manager account reaches. */
#include "google_ads.h"

#define Q1_ALL                                                                                        \
    "SELECT customer_client_link.resource_name, customer_client_link.client_customer, "               \
    "customer_client_link.manager_link_id, customer_client_link.status, customer_client_link.hidden " \
    "FROM customer_client_link"
/* Open invitations of a manager, as people report the limit (facts: limits, unconfirmed): 20. */
#define INVITATIONS_WARN 15

/* ---- the native layer ---- */

static grantd_next *native_is(grantd_op *op, const char *what)
{
    grantd_observe(op, "native", what);
    return grantd_finish(op);
}

static grantd_next *on_usable(grantd_op *op)
{
    if (!ga(op)->found)
        return ga_lied(op, "the linked account is missing");
    grantd_observe(op, "account_status", ga(op)->account_status);
    return native_is(op, "present");
}

/* The link stands, but the account does not let the manager in. */
static grantd_next *on_not_usable(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (!e.about_account)
        return ga_fail_as(op, a, &e);
    grantd_warn(op, "ACCOUNT_NOT_USABLE", "account %s is linked but refuses the manager: %s%s%s",
                ga(op)->line.cid, e.value, e.text ? ": " : "", e.text ? e.text : "");
    return native_is(op, ga_is(&e, "USER_PERMISSION_DENIED "
                                   "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION")
                             ? "unknown"
                             : "present");
}

static grantd_next *on_link(grantd_op *op)
{
    struct ga *st = ga(op);

    if (st->status)
        grantd_observe(op, "link", st->status);
    if (grantd_equal(st->status, "PENDING"))
        return native_is(op, "pending");
    if (!grantd_equal(st->status, "ACTIVE"))
        return native_is(op, ga_link_over(st->status) ? "gone" : "unknown");
    grantd_observe(op, "partner", grantd_arg(op, GRANTD_ARG_HUB_ID));
    return ga_look_account(op, GA_HUB, st->line.cid, ga_hub_login(op), on_usable, on_not_usable);
}

static grantd_next *on_hierarchy(grantd_op *op)
{
    return native_is(op, ga(op)->found ? "present" : "gone");
}

static grantd_next *on_seat(grantd_op *op)
{
    struct ga *st = ga(op);

    grantd_observe(op, "role", st->user_role);
    return native_is(op, st->user ? "present" : "gone");
}

static grantd_next *seat_gone(grantd_op *op)
{
    return native_is(op, "gone");
}

static grantd_next *seat_unseen(grantd_op *op)
{
    return native_is(op, "unknown");
}

/* Whoever asks has lost the access to look: of the agency's own seat that is the answer. */
static grantd_next *on_seat_hidden(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;
    int own = ga(op)->who == GA_HUB;

    ga_error(op, a, &e);
    if (!own && (e.about_account || e.fails == GRANTD_E_REAUTH))
        return native_is(op, "unknown");
    if (ga_is(&e, "USER_PERMISSION_DENIED NOT_ADS_USER"))
        return ga_is_hub_seat(op, seat_gone, seat_unseen);
    return ga_fail_as(op, a, &e);
}

/* The first surface that is a native one: its kind, and its account in line.cid, the rest of its id in id. */
static int native_surface(grantd_op *op)
{
    const grantd_doc *g = grantd_document(op, GRANTD_DOC_GRANT);
    struct ga *st = ga(op);

    for (int64_t i = 0; g && i < grantd_len(op, g, "surfaces"); i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);
        const char *kind = grantd_text(op, g, grantd_strf(op, "%s.kind", at));
        const char *id = grantd_text(op, g, grantd_strf(op, "%s.id", at));
        const char *rest = id ? strchr(id, '~') : NULL;

        if (!grantd_equal(kind, "partner") && !grantd_equal(kind, "member") &&
            !grantd_equal(kind, "hierarchy"))
            continue;
        st->kind = kind;
        st->line.cid = grantd_strf(op, "%.*s", id ? (int)strcspn(id, "~") : 0, id ? id : "");
        st->id = rest && ga_digits(rest + 1) ? rest + 1 : NULL;
        if (ga_cid(st->line.cid))
            return 1;
    }
    return 0;
}

static grantd_next *native(grantd_op *op)
{
    struct ga *st = ga(op);
    int own = !grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    grantd_next *bad;

    if (!native_surface(op))
        return grantd_finish(op);
    bad = !grantd_equal(st->kind, "member") || own ? ga_need_hub(op) : NULL;
    if (bad)
        return bad;
    if (grantd_equal(st->kind, "partner"))
        return ga_look_link(op, st->line.cid, on_link, NULL);
    if (grantd_equal(st->kind, "hierarchy"))
        return ga_look_hierarchy(op, st->line.cid, on_hierarchy);
    return ga_look_user(op, own ? GA_HUB : GA_CLIENT, st->line.cid, st->line.cid, on_seat, on_seat_hidden);
}

/* ---- the hub ---- */

static void count_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    const char *status = grantd_text(op, a, grantd_strf(op, "%s.customerClientLink.status", at));

    if (!status)
        ga(op)->bad = "a link without a status";
    ga(op)->count += grantd_equal(status, "PENDING");
}

static grantd_next *on_counted(grantd_op *op)
{
    if (ga(op)->count >= INVITATIONS_WARN)
        grantd_warn(
            op, "INVITATIONS_NEAR_LIMIT",
            "%lld invitations of the manager account are open; about 20 are allowed: cancel stale ones",
            (long long)ga(op)->count);
    grantd_observe(op, "open_invitations", grantd_strf(op, "%lld", (long long)ga(op)->count));
    return native_is(op, "present");
}

static grantd_next *on_hub(grantd_op *op)
{
    struct ga *st = ga(op);

    if (!st->found)
        return ga_lied(op, "the manager account itself is missing");
    if (!st->manager) {
        grantd_warn(op, "HUB_NO_MANAGER", "%s is no manager account", grantd_arg(op, GRANTD_ARG_HUB_ID));
        return native_is(op, "gone");
    }
    grantd_observe(op, "hub_name", st->name);
    return ga_search(op, &(struct ga_query){ .who = GA_HUB,
                                             .cid = grantd_arg(op, GRANTD_ARG_HUB_ID),
                                             .login = ga_hub_login(op),
                                             .gaql = Q1_ALL,
                                             .row = count_row,
                                             .then = on_counted });
}

static grantd_next *on_hub_refused(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (ga_is(&e, "USER_PERMISSION_DENIED CUSTOMER_NOT_FOUND CUSTOMER_NOT_ENABLED"))
        return native_is(op, "gone");
    return ga_fail_as(op, a, &e);
}

static grantd_next *hub(grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_HUB_ID);

    if (!ga_cid(id))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the id of the hub is no customer id (ten digits without dashes)");
    return ga_look_account(op, GA_HUB, id, ga_hub_login(op), on_hub, on_hub_refused);
}

/* ---- the token layer ---- */

static grantd_next *after_token(grantd_op *op, const char *alive)
{
    grantd_observe(op, "alive", alive);
    if (ga_mode(op) == GA_MODE_HUB)
        return grantd_equal(alive, "yes") ? hub(op) : grantd_finish(op);
    return native(op);
}

/* An access token that has merely run out says nothing of the consent. */
static const char *dead(const grantd_op *op)
{
    const char *end = grantd_arg(op, GRANTD_ARG_EXPIRES_AT);

    return end && ga_number(end) <= grantd_now(op) ? "unknown" : "no";
}

static grantd_next *on_token(grantd_op *op, const grantd_doc *a)
{
    const char *aud = grantd_text(op, a, "aud"), *scope = grantd_text(op, a, "scope");
    struct ga_error e;

    ga_error(op, a, &e);
    if (!grantd_ok(op, a) && ga_is(&e, "invalid_token"))
        return after_token(op, dead(op));
    if (!grantd_ok(op, a) || !aud || !scope)
        return ga_fail(op, a);
    if (!grantd_equal(aud, grantd_option(op, "client_id")))
        return ga_lied(op, "the token belongs to another OAuth client");
    grantd_observe(op, "scope", scope);
    grantd_observe(op, "account_id", grantd_text(op, a, "sub"));
    if (grantd_num(op, a, "exp", 0) > 0)
        grantd_observe(op, "expires_at", grantd_strf(op, "%lld", (long long)grantd_num(op, a, "exp", 0)));
    return after_token(op, ga_scope_fits(scope) ? "yes" : "no");
}

grantd_next *ga_verify(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    ga_warn_version(op);
    if (!token && ga_mode(op) == GA_MODE_HUB)
        token = grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
    return token ? ga_ask_token(op, token, on_token) : native(op);
}

/* ---- scan ---- */

static void scan_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    const char *c = grantd_strf(op, "%s.customerClient", at), *hub_id = grantd_arg(op, GRANTD_ARG_HUB_ID);
    const char *id = ga_client_id(op, a, c);

    if (!id || grantd_equal(id, hub_id))
        return;
    grantd_asset(op, .id = id, .parent = hub_id, .layers = GRANTD_LAYER_NATIVE,
                 .kind = grantd_num(op, a, grantd_strf(op, "%s.manager", c), 0) == 1 ? "manager_account"
                                                                                     : "ad_account",
                 .name = grantd_text(op, a, grantd_strf(op, "%s.descriptiveName", c)));
}

static grantd_fn scan_part;

static grantd_next *on_scanned(grantd_op *op)
{
    if (!ga_clients_left(op))
        return grantd_finish(op);
    grantd_note(op, "after", ga(op)->last);
    return grantd_continue(op, scan_part);
}

static grantd_next *scan_part(grantd_op *op)
{
    return ga_look_clients(op,
                           &(struct ga_query){ .who = GA_HUB,
                                               .cid = grantd_arg(op, GRANTD_ARG_HUB_ID),
                                               .login = ga_hub_login(op),
                                               .row = scan_row,
                                               .then = on_scanned },
                           grantd_noted(op, "after"));
}

grantd_next *ga_scan(grantd_op *op)
{
    grantd_next *bad = ga_need_hub(op);

    ga_warn_version(op);
    return bad ? bad : scan_part(op);
}
