/* look.c - verify: is the token alive, what may it do, is the collaborator there. */
#include "shopify.h"

static grantd_doc_fn on_look, on_staff;

static grantd_next *frozen(grantd_op *op)
{
    grantd_warn(op, "SHOP_FROZEN", "the shop is frozen or locked: its owner or Shopify has to act");
    grantd_observe(op, "alive", "unknown");
    grantd_observe(op, "shop", "frozen");
    return grantd_finish(op);
}

/* An hour's token that has run out says nothing about the consent: the next refresh does. */
static grantd_next *refused(grantd_op *op)
{
    int64_t end = grantd_number(grantd_arg(op, GRANTD_ARG_EXPIRES_AT));

    grantd_observe(op, "alive", end >= 0 && end <= grantd_now(op) ? "unknown" : "no");
    return grantd_finish(op);
}

static grantd_next *old_token(grantd_op *op)
{
    grantd_warn(
        op, "NON_EXPIRING_TOKEN",
        "Shopify no longer takes tokens that do not expire: set migrate of the app to refused or always");
    grantd_observe(op, "alive", "no");
    return grantd_finish(op);
}

static grantd_next *on_look(grantd_op *op, const grantd_doc *answer)
{
    const char *path = "data.currentAppInstallation.accessScopes", *has = sh_installed(op, answer, path);
    const char *domain = grantd_text(op, answer, "data.shop.myshopifyDomain"), *missing;

    if (sh_is_dead(op, answer))
        return refused(op);
    if (sh_is_closed(op, answer))
        return frozen(op);
    if (sh_refuses_old_tokens(op, answer))
        return old_token(op);
    if (!grantd_ok(op, answer) || grantd_type(op, answer, "errors") != GRANTD_IS_ABSENT)
        return sh_fail(op, answer, SH_AT_API, "looking at the shop");
    if (!has || !domain || strcmp(domain, sh(op)->shop))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "Shopify's answer is about another shop, or names no permissions");
    missing = sh_missing(op, sh_scopes(op), has);
    if (missing)
        grantd_warn(op, "SCOPES_MISSING", "the shop does not (any longer) grant %.300s", missing);
    grantd_observe(op, "alive", "yes");
    grantd_observe(op, "account_id", domain);
    grantd_observe(op, "scope", sh_spaced(op, has));
    grantd_observe(op, "role", sh_any_write(has) ? "write" : "read");
    return grantd_finish(op);
}

static grantd_next *on_staff(grantd_op *op, const grantd_doc *answer)
{
    static const char *const words[] = { "gone", "pending", "present" };
    int found;

    if (sh_is_dead(op, answer))
        return refused(op);
    if (sh_is_closed(op, answer))
        return frozen(op);
    found = sh_staff(op, answer);
    if (found < 0)
        return sh_ask_staff(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_staff);
    if (found == SH_STAFF_UNKNOWN)
        return sh_fail(op, answer, SH_AT_API, "looking at the shop's staff");
    grantd_observe(op, "alive", "yes");
    grantd_observe(op, "native", words[found]);
    return grantd_finish(op);
}

grantd_next *sh_verify(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    grantd_next *bad = sh_version(op);

    if (bad || (bad = sh_shop(op)))
        return bad;
    if (!sh_is_collaborator(op))
        return token ? sh_graphql(op, token, SH_LOOK, on_look) : grantd_finish(op);
    if (token && sh_option_is(op, "staff_check", "true"))
        return sh_ask_staff(op, token, on_staff);
    grantd_observe(op, "native", "unknown");
    return grantd_finish(op);
}
