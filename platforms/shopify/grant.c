/* grant.c - what came back: an app installation with its token, or a collaborator who was let in. */
#include "shopify.h"

enum { AGAIN_S = 3600 };

static grantd_doc_fn on_shop, on_staff;

static grantd_next *end_well(grantd_op *op)
{
    return grantd_finish(op);
}

/* However the item writes its asset, this is the one. */
static void tell_shop(grantd_op *op, const char *name, const char *role)
{
    grantd_asset(op, .kind = "shop", .id = sh(op)->shop, .name = name, .role = role,
                 .layers = GRANTD_LAYER_TOKEN);
    grantd_surface(op, .kind = "token", .asset = sh(op)->shop, .outcome = GRANTD_SURFACE_OPEN);
}

/* ---- the app
 * -------------------------------------------------------------------------------------------------- */

static grantd_next *granted(grantd_op *op, const grantd_doc *answer)
{
    const char *shop = sh(op)->shop, *name = grantd_text(op, answer, "data.shop.name");
    const char *has = sh_installed(op, answer, "data.currentAppInstallation.accessScopes"),
               *asked = sh_scopes(op);
    const char *missing = sh_missing(op, asked, has), *role = sh_any_write(has) ? "write" : "read";

    if (missing)
        grantd_warn(op, "SCOPES_MISSING", "the merchant did not grant %.300s", missing);
    if (missing && asked && strlen(missing) == strlen(asked))
        grantd_asset(op, .kind = "shop", .id = shop, .name = name, .problem = "SCOPES_REFUSED",
                     .text = "the app was installed without any of the permissions that were asked");
    else
        tell_shop(op, name, role);
    return grantd_save(op, end_well, .account_id = shop, .account_name = name, .scope = sh_spaced(op, has));
}

static grantd_next *on_shop(grantd_op *op, const grantd_doc *answer)
{
    const char *domain = grantd_text(op, answer, "data.shop.myshopifyDomain");

    if (!grantd_ok(op, answer) || grantd_type(op, answer, "errors") != GRANTD_IS_ABSENT)
        return sh_fail(op, answer, SH_AT_API, "looking at the shop");
    if (!domain || !sh_installed(op, answer, "data.currentAppInstallation.accessScopes"))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Shopify's answer names no shop or no permissions");
    if (strcmp(domain, sh(op)->shop))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "the token belongs to another shop than the one that was asked");
    return granted(op, answer);
}

/* ---- the collaborator
 * ----------------------------------------------------------------------------------------- */

static int is_code(const char *s)
{
    return s && strlen(s) == 4 && strspn(s, "0123456789") == 4;
}

void sh_ask_code(grantd_op *op)
{
    grantd_step(
        op, .title = "Find your collaborator request code", .ask = "collaborator_code",
        .ask_label = "Code of four digits", .url = grantd_strf(op, "https://%s/admin", sh(op)->shop),
        .text = grantd_strf(op,
                            "In your Shopify admin open Settings, Users, Security, and copy the collaborator "
                            "request code. %s needs it to ask for access; it takes no seat of your plan.",
                            sh_agency(op)));
}

static grantd_next *let_in(grantd_op *op)
{
    const char *role = grantd_arg(op, GRANTD_ARG_ROLE), *shop = sh(op)->shop;
    uint32_t token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? GRANTD_LAYER_TOKEN : 0;

    grantd_asset(op, .kind = "shop", .id = shop, .role = role, .layers = GRANTD_LAYER_NATIVE | token);
    grantd_surface(op, .kind = "collaborator", .id = shop, .asset = shop, .outcome = GRANTD_SURFACE_OPEN);
    return grantd_finish(op);
}

/* Where Shopify can be asked it is asked hourly. */
static int64_t next_look(grantd_op *op)
{
    return grantd_now(op) + (sh_option_is(op, "staff_check", "true") ? AGAIN_S : SH_DAY_S);
}

static grantd_next *wait_for_people(grantd_op *op, const char *code)
{
    static const char *const yes[] = { "yes", "Yes", NULL };
    const char *role = grantd_arg(op, GRANTD_ARG_ROLE), *shop = sh(op)->shop;

    grantd_step(
        op, .title = "The agency asks for access", .copy = code,
        .text = grantd_strf(op,
                            "For %s: in the Dev Dashboard open Stores, Request store access, enter "
                            "https://%s, choose the permissions (%s), write a message, enter the code of "
                            "four digits and press Send request.",
                            sh_agency(op), shop, role && !strcmp(role, "read") ? "to view only" : "to edit"));
    grantd_step(op, .title = "Accept the request", .url = grantd_strf(op, "https://%s/admin", shop),
                .text =
                    grantd_strf(op,
                                "In your Shopify admin open Settings, Users, look at what %s asks for, and "
                                "accept it. You can change or end it there at any time.",
                                sh_agency(op)));
    if (!sh_option_is(op, "staff_check", "true"))
        grantd_step(op, .title = "The agency sees the store", .ask = "store_visible",
                    .ask_label = "The agency can open the store in its dashboard", .choices = yes,
                    .text = "Shopify shows collaborators to no app here, so that a person has to say it.");
    return grantd_pending(op,
                          grantd_now(op) + (sh_option_is(op, "staff_check", "true") ? AGAIN_S : SH_DAY_S));
}

static grantd_next *by_hand(grantd_op *op)
{
    const char *code = grantd_input(op, "collaborator_code"), *visible = grantd_input(op, "store_visible");

    if (visible && !strcmp(visible, "yes"))
        return let_in(op);
    if (is_code(code))
        grantd_note(op, "code", "given"); /* the code itself is shown once and kept nowhere */
    if (grantd_noted(op, "code"))
        return wait_for_people(op, is_code(code) ? code : NULL);
    sh_ask_code(op);
    return grantd_pending(op, next_look(op));
}

static grantd_next *on_staff(grantd_op *op, const grantd_doc *answer)
{
    int found = sh_staff(op, answer);

    if (found < 0)
        return sh_ask_staff(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_staff);
    if (found == SH_STAFF_UNKNOWN)
        return sh_fail(op, answer, SH_AT_API, "looking at the shop's staff");
    if (found == SH_STAFF_ACCEPTED)
        return let_in(op);
    if (found == SH_STAFF_REQUESTED)
        grantd_log(op, GRANTD_INFO, "the request for access waits for the merchant");
    return by_hand(op);
}

/* ---- grant
 * ---------------------------------------------------------------------------------------------------- */

static grantd_next *with_token(grantd_op *op, const char *token)
{
    if (!sh_is_collaborator(op))
        return sh_graphql(op, token, SH_LOOK, on_shop);
    return sh_option_is(op, "staff_check", "true") ? sh_ask_staff(op, token, on_staff) : by_hand(op);
}

grantd_next *sh_grant(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    grantd_next *bad = sh_version(op);

    if (bad || (bad = sh_shop(op)))
        return bad;
    if (token)
        return with_token(op, token);
    if (sh_is_collaborator(op) && !sh_option_is(op, "staff_check", "true"))
        return by_hand(op);
    bad = sh_check_callback(op);
    return bad ? bad : sh_exchange(op);
}
