/* share.c - a client's ad accounts for the agency's business: the client's business takes it as a partner and
 * gives it permissions (share), or the agency's business asks and the client agrees in Business Manager
 * (request). Every step is a look first, or may be done twice (spec: business_access). */
#include "pinterest.h"

#define NAMES_MAX 40
#define DAY       86400

static const char *hub(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_HUB_ID);
}

static const char *business(const grantd_op *op)
{
    const char *said = grantd_noted(op, "business");

    return said ? said : grantd_arg(op, GRANTD_ARG_ACCOUNT_ID);
}

static const char *role(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ROLE);
}

/* ---- the end: what the agency's business sees is what is granted ---- */

/* What a person gave by hand, or what was there before, may be something else than was asked. */
static const char *role_of(grantd_op *op, const char *id)
{
    const char *held = pin_seen_with(op, id);

    return !held || pin_listed(held, role(op)) ? role(op) : held;
}

static void tell(grantd_op *op, const char *id, uint32_t layers)
{
    const char *name = grantd_noted(op, grantd_strf(op, "n%s", id));

    grantd_asset(op, .kind = "ad_account", .id = id, .name = name, .role = role_of(op, id), .layers = layers,
                 .parent = business(op));
    if (layers & GRANTD_LAYER_NATIVE)
        grantd_surface(op, .kind = "partner", .outcome = GRANTD_SURFACE_OPEN, .asset = id,
                       .id = grantd_strf(op, "%s~%s", business(op), id));
}

static int keeps(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) &&
           grantd_equal(grantd_option(op, "keep_client_token"), "true");
}

/* What was sent and waits for a yes, with the first account that is known of: it is withdrawn when the item
 * ends without a grant. */
static void tell_sent(grantd_op *op, uint32_t outcome)
{
    const char *list = grantd_noted(op, "chosen");
    const char *hint = list ? list : pin_ids(op, grantd_arg(op, GRANTD_ARG_ASSET_ID));

    if (outcome != GRANTD_SURFACE_OPEN && !grantd_noted(op, "sent"))
        return;
    grantd_note(op, "sent", outcome == GRANTD_SURFACE_OPEN ? "yes" : NULL);
    grantd_surface(op, .kind = pin_mode(op) == PIN_REQUEST ? PIN_REQUEST_OUT : PIN_INVITATION,
                   .id = business(op), .asset = pin_nth(op, hint, 0), .outcome = outcome);
}

static grantd_next *on_shared(grantd_op *op)
{
    const char *list = grantd_noted(op, "chosen"), *id;
    uint32_t layers = GRANTD_LAYER_NATIVE | (keeps(op) ? GRANTD_LAYER_TOKEN : 0);
    int seen = 0;

    for (int64_t i = 0; (id = pin_nth(op, list, i)); i++)
        if (pin_listed(pin(op)->ids, id)) {
            tell(op, id, layers);
            seen = 1;
        } else {
            grantd_asset(op, .kind = "ad_account", .id = id, .problem = "NOT_SHARED",
                         .text = "Pinterest accepted it, but the agency's business does not see the account");
        }
    if (seen && keeps(op))
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_OPEN);
    tell_sent(op, GRANTD_SURFACE_GONE);
    return grantd_finish(op);
}

static int is_account_refusal(int status)
{
    return status == 400 || status == 403 || status == 404;
}

static grantd_next *on_permitted(grantd_op *op, const grantd_doc *a)
{
    const char *list = grantd_noted(op, "chosen"), *id;

    if (!grantd_ok(op, a))
        return pin_fail(op, a);
    if (grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    for (int64_t i = 0; i < grantd_len(op, a, "items"); i++) {
        id = grantd_text(op, a, grantd_strf(op, "items.%lld.asset_id", (long long)i));
        if (!pin_listed(list, id))
            return pin_lied(op, "another account was shared");
    }
    return pin_look(op, business(op), on_shared, NULL);
}

/* Spec: permissions that are there already are replaced, so it may be done twice. */
static grantd_next *permit(grantd_op *op)
{
    const char *list = grantd_noted(op, "chosen"), *id, *all = "";

    for (int64_t i = 0; (id = pin_nth(op, list, i)); i++)
        all = grantd_strf(op, "%s%s{\"partner_id\":\"%s\",\"asset_id\":\"%s\",\"permissions\":[%s]}", all,
                          *all ? "," : "", hub(op), id, grantd_encode(op, GRANTD_JSON, role(op)));
    return pin_send(op, PIN_CLIENT, "PATCH", grantd_strf(op, "/businesses/%s/partners/assets", business(op)),
                    grantd_strf(op, "{\"accesses\":[%s]}", all), GRANTD_HTTP_REPEATABLE, on_permitted);
}

/* ---- partners ---- */

static void partner_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", at));

    if (!pin_id(id))
        pin(op)->bad = "a partner without an id";
    else if (grantd_equal(id, hub(op)))
        pin(op)->partner = 1;
}

static grantd_next *wait_for_agency(grantd_op *op)
{
    tell_sent(op, GRANTD_SURFACE_OPEN);
    grantd_step(
        op, .title = "Wait for the agency",
        .text = "Your business has invited the agency as a partner. Somebody of the agency accepts that in "
                "Pinterest's Business Manager; there is nothing for you to do.");
    return grantd_pending(op, grantd_now(op) + 600);
}

/* Each element has an invite, or an exception that says why not. */
static grantd_next *on_accepted(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) && is_account_refusal(grantd_status(op, a)))
        return wait_for_agency(op);
    if (!grantd_ok(op, a) || grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    if (grantd_type(op, a, "items.0.exception") == GRANTD_IS_OBJECT)
        return wait_for_agency(op);
    if (!grantd_equal(grantd_text(op, a, "items.0.invite.id"), pin(op)->invite))
        return pin_lied(op, "another invite was accepted");
    return permit(op);
}

static grantd_next *accept(grantd_op *op)
{
    return pin_send(op, PIN_HUB, "PATCH", "/businesses/invites",
                    grantd_strf(op,
                                "{\"invites\":[{\"invite_id\":\"%s\",\"action\":{\"accept_invite\":true}}]}",
                                pin(op)->invite),
                    0, on_accepted);
}

/* Nothing is out for certain. */
static int was_refused(grantd_op *op, const grantd_doc *a)
{
    return grantd_status(op, a) / 100 == 4 || grantd_type(op, a, "items.0.exception") == GRANTD_IS_OBJECT;
}

static grantd_next *on_invited(grantd_op *op, const grantd_doc *a)
{
    struct pin *st = pin(op);
    const char *why = grantd_text(op, a, "items.0.exception.message");

    if (was_refused(op, a))
        tell_sent(op, GRANTD_SURFACE_GONE);
    if (!grantd_ok(op, a) || grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    if (grantd_type(op, a, "items.0.exception") == GRANTD_IS_OBJECT)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "Pinterest did not invite the agency's business: %.200s",
                           why ? why : "it does not say why");
    st->invite = grantd_text(op, a, "items.0.invite.id");
    return pin_id(st->invite) ? accept(op) : pin_fail(op, a);
}

static grantd_next *invite(grantd_op *op)
{
    return pin_send(op, PIN_CLIENT, "POST", grantd_strf(op, "/businesses/%s/invites", business(op)),
                    grantd_strf(op,
                                "{\"invite_type\":\"PARTNER_INVITE\",\"business_role\":\"PARTNER\","
                                "\"partners\":[\"%s\"]}",
                                hub(op)),
                    0, on_invited);
}

/* That one may be out is durable before it is sent. */
static grantd_next *on_invites(grantd_op *op)
{
    if (pin(op)->invite)
        return accept(op);
    tell_sent(op, GRANTD_SURFACE_OPEN);
    return grantd_save(op, invite, .access_token = NULL);
}

static const char *const partners_of_ours[] = { "partner_type", "INTERNAL", NULL };

static grantd_next *on_partners(grantd_op *op)
{
    if (pin(op)->partner)
        return permit(op);
    return pin_find_invite(op, PIN_INVITATION, business(op), on_invites, NULL);
}

static grantd_next *look_for_partner(grantd_op *op)
{
    return pin_list(op, PIN_CLIENT, grantd_strf(op, "/businesses/%s/partners", business(op)),
                    partners_of_ours, partner_row, on_partners, NULL);
}

/* ---- which accounts ---- */

static grantd_next *tell_tokens(grantd_op *op, const char *list)
{
    const char *id;

    for (int64_t i = 0; (id = pin_nth(op, list, i)); i++)
        tell(op, id, GRANTD_LAYER_TOKEN);
    grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_OPEN);
    return grantd_finish(op);
}

/* Names are kept for the end, as far as notes go. */
static void keep_names(grantd_op *op, const char *list)
{
    const struct pin *st = pin(op);
    int64_t kept = 0;

    for (int64_t i = 0; st->names && i < st->n && kept < NAMES_MAX; i++)
        if (*st->names[i] && strlen(st->names[i]) < 200 && pin_listed(list, st->choices[2 * i])) {
            grantd_note(op, grantd_strf(op, "n%s", st->choices[2 * i]), grantd_shown(op, st->names[i], 200));
            kept++;
        }
}

static grantd_next *chosen(grantd_op *op, const char *list)
{
    keep_names(op, list);
    if (pin_mode(op) == PIN_TOKEN)
        return tell_tokens(op, list);
    grantd_note(op, "chosen", list);
    return grantd_continue(op, look_for_partner);
}

static grantd_next *ask_which(grantd_op *op)
{
    grantd_step(op, .title = "Choose the Pinterest ad accounts",
                .text = "Your business has several ad accounts. Only those that you choose are shared.",
                .ask = "accounts", .ask_label = "Ad accounts", .choices = pin(op)->choices,
                .flags = GRANTD_STEP_MANY);
    return grantd_pending(op, grantd_now(op) + DAY);
}

static int all_listed(grantd_op *op, const char *list, const char *in)
{
    const char *id;

    for (int64_t i = 0; (id = pin_nth(op, list, i)); i++)
        if (!pin_listed(in, id))
            return 0;
    return 1;
}

static grantd_next *on_accounts(grantd_op *op)
{
    struct pin *st = pin(op);
    const char *hint = pin_ids(op, grantd_arg(op, GRANTD_ARG_ASSET_ID)),
               *said = pin_ids(op, grantd_input(op, "accounts"));

    if (!st->ids)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "this business owns no ad account");
    if (hint && !all_listed(op, hint, st->ids))
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "an ad account that is asked for does not belong to the business that consented");
    if (hint)
        return chosen(op, hint);
    if (st->n == 1 || pin_mode(op) == PIN_TOKEN)
        return chosen(op, st->ids);
    return said && all_listed(op, said, st->ids) ? chosen(op, said) : ask_which(op);
}

/* Those that the business owns (spec: AdAccount.owner). */
static void account_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct pin *st = pin(op);
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", at));
    const char *name = grantd_text(op, a, grantd_strf(op, "%s.name", at));

    if (!pin_id(id)) {
        st->bad = "an ad account without an id";
        return;
    }
    if (st->n >= PIN_IDS_MAX) {
        grantd_warn(op, "ACCOUNTS_TOO_MANY", "more than %d ad accounts: name those that are wanted",
                    PIN_IDS_MAX);
        return;
    }
    st->ids = st->ids ? grantd_strf(op, "%s,%s", st->ids, id) : id;
    if (!st->names) {
        st->choices = grantd_alloc(op, (2 * PIN_IDS_MAX + 1) * sizeof *st->choices);
        st->names = grantd_alloc(op, PIN_IDS_MAX * sizeof *st->names);
    }
    if (!st->names || !st->choices)
        return;
    st->names[st->n] = name ? name : "";
    st->choices[2 * st->n] = id;
    st->choices[2 * st->n + 1] = name && *name ? grantd_strf(op, "%s (%s)", name, id) : id;
    st->n++;
}

static const char *const own_accounts[] = { "include_shared_accounts", "false", NULL };

static grantd_next *list_accounts(grantd_op *op)
{
    return pin_list(op, PIN_CLIENT, "/ad_accounts", own_accounts, account_row, on_accounts, NULL);
}

/* ---- request: the agency asks, the client agrees by hand ---- */

static grantd_next *wait_for_client(grantd_op *op)
{
    if (pin(op)->invite || grantd_noted(op, "asked"))
        tell_sent(op, GRANTD_SURFACE_OPEN);
    grantd_step(op, .title = "Agree in Pinterest's Business Manager",
                .text =
                    grantd_strf(op,
                                "The agency's business %s asks for access. An administrator of your business "
                                "opens Business Manager, Partners, accepts the request and gives it the "
                                "permission %s. This page notices by itself.",
                                hub(op), role(op)),
                .url = "https://www.pinterest.com/business/business-manager/", .copy = hub(op));
    return grantd_pending(op, grantd_now(op) + 600);
}

static grantd_next *on_seen(grantd_op *op)
{
    const char *hint = pin_ids(op, grantd_arg(op, GRANTD_ARG_ASSET_ID)), *id;
    const char *list = hint ? hint : pin(op)->ids;

    if (!pin(op)->ids || !all_listed(op, list, pin(op)->ids))
        return wait_for_client(op);
    if (grantd_noted(op, "asking")) /* the look that follows at once grants it */
        return grantd_pending(op, grantd_now(op));
    for (int64_t i = 0; (id = pin_nth(op, list, i)); i++)
        tell(op, id, GRANTD_LAYER_NATIVE);
    tell_sent(op, GRANTD_SURFACE_GONE);
    return grantd_finish(op);
}

/* No partner yet is no failure: the request is open. */
static grantd_next *on_not_seen(grantd_op *op, const grantd_doc *a)
{
    return is_account_refusal(grantd_status(op, a)) && grantd_num(op, a, "code", -1) >= 0
               ? wait_for_client(op)
               : pin_fail(op, a);
}

static grantd_next *on_requested(grantd_op *op, const grantd_doc *a)
{
    const char *why = grantd_text(op, a, "items.0.exception.message");

    if (was_refused(op, a))
        tell_sent(op, GRANTD_SURFACE_GONE);
    if (!grantd_ok(op, a) || grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    if (grantd_type(op, a, "items.0.exception") == GRANTD_IS_OBJECT)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "Pinterest did not send the request: %.200s",
                           why ? why : "it does not say why");
    if (!pin_id(grantd_text(op, a, "items.0.invite.id")))
        return pin_fail(op, a);
    grantd_note(op, "asked", "yes");
    return wait_for_client(op);
}

static grantd_next *send_request(grantd_op *op)
{
    return pin_send(op, PIN_HUB, "POST", grantd_strf(op, "/businesses/%s/invites", hub(op)),
                    grantd_strf(op,
                                "{\"invite_type\":\"PARTNER_REQUEST\",\"business_role\":\"PARTNER\","
                                "\"partners\":[\"%s\"]}",
                                business(op)),
                    0, on_requested);
}

static grantd_next *on_requests(grantd_op *op)
{
    if (pin(op)->invite || grantd_noted(op, "asked"))
        return wait_for_client(op);
    tell_sent(op, GRANTD_SURFACE_OPEN);
    return grantd_save(op, send_request, .access_token = NULL);
}

/* Not shared yet: is the request out? */
static grantd_next *on_first_look(grantd_op *op)
{
    if (pin(op)->ids)
        return on_seen(op);
    return pin_find_invite(op, PIN_REQUEST_OUT, business(op), on_requests, NULL);
}

static grantd_next *on_first_refused(grantd_op *op, const grantd_doc *a)
{
    if (!is_account_refusal(grantd_status(op, a)) || grantd_num(op, a, "code", -1) < 0)
        return pin_fail(op, a);
    return on_first_look(op);
}

static grantd_next *ask_business(grantd_op *op)
{
    grantd_step(op, .title = "Your business id at Pinterest",
                .text = "Business Manager shows it below the name of your business: digits only.",
                .url = "https://www.pinterest.com/business/business-manager/", .ask = "business_id",
                .ask_label = "Business id");
    return grantd_pending(op, grantd_now(op) + DAY);
}

static grantd_next *ask_by_request(grantd_op *op)
{
    const char *said = grantd_input(op, "business_id"), *given = grantd_param(op, "business_id");

    if (!business(op)) {
        const char *id = given ? given : said;

        if (!pin_id(id))
            return given ? grantd_fail(op, GRANTD_E_CONFIG, "the param business_id is no Pinterest id")
                         : ask_business(op);
        grantd_note(op, "business", id);
    }
    return grantd_noted(op, "asked") ? pin_look(op, business(op), on_seen, on_not_seen)
                                     : pin_look(op, business(op), on_first_look, on_first_refused);
}

/* ---- from wherever it stands ---- */

static grantd_next *own(grantd_op *op)
{
    if (!grantd_equal(business(op), hub(op)))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "the business that consented is not the hub: sign in with the hub's business account");
    grantd_asset(op, .kind = "business", .id = hub(op), .layers = GRANTD_LAYER_TOKEN);
    grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_OPEN);
    return grantd_finish(op);
}

grantd_next *pin_work(grantd_op *op)
{
    switch (pin_mode(op)) {
    case PIN_AGENCY:
        return own(op);
    case PIN_REQUEST:
        return ask_by_request(op);
    default:
        return grantd_noted(op, "chosen") ? look_for_partner(op) : list_accounts(op);
    }
}
