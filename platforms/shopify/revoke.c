/* revoke.c - the end: the collaborator first, while a token can still look, then the app uninstalls itself,
 * which ends all its tokens of this shop; a dead token is the proof. */
#include "shopify.h"

#define UNINSTALL "mutation { appUninstall { app { id } userErrors { field message code } } }"

static grantd_fn next_surface, uninstall;
static grantd_doc_fn on_uninstalled, on_deleted, on_renewed, on_dead, on_staff, on_replaced;

static const char *surface_text(grantd_op *op, const char *member)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);

    return grant ? grantd_text(op, grant,
                               grantd_strf(op, "surfaces.%lld.%s", (long long)sh(op)->surface, member))
                 : NULL;
}

static grantd_next *over(grantd_op *op, const char *kind, uint32_t outcome, const char *text)
{
    grantd_surface(op, .kind = kind, .id = surface_text(op, "id"), .outcome = outcome, .text = text);
    sh(op)->surface++;
    return next_surface(op);
}

/* ---- the app
 * -------------------------------------------------------------------------------------------------- */

static grantd_next *app_by_hand(grantd_op *op, const char *why)
{
    grantd_step(op, .title = "Uninstall the app", .url = grantd_strf(op, "https://%s/admin", sh(op)->shop),
                .text = "Open your Shopify admin and uninstall the agency's app there.");
    return over(op, "token", GRANTD_SURFACE_MANUAL, why);
}

/* Nothing that we hold works any more: the merchant uninstalled it, or it was closed before. */
static grantd_next *app_gone(grantd_op *op)
{
    return over(op, "token", sh(op)->uninstalled ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE, NULL);
}

/* Not for now: another day it may work. Everything else that is no yes is tried in the older way. */
static int is_passing(grantd_op *op, const grantd_doc *answer)
{
    int class = sh_class(op, answer, SH_AT_API);

    return class == GRANTD_E_LIMITED || class == GRANTD_E_TRANSIENT || sh_is_closed(op, answer);
}

/* Another consent of this shop lives on: the one installation stays for it. Its tokens have replaced these.
 */
static grantd_next *on_replaced(grantd_op *op, const grantd_doc *answer)
{
    if (sh_is_dead(op, answer))
        return app_gone(op);
    if (is_passing(op, answer))
        return sh_fail(op, answer, SH_AT_API, "looking whether the replaced token is dead");
    if (grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN))
        return over(op, "token", GRANTD_SURFACE_FAILED, "the replaced token ends by itself within the hour");
    return over(op, "token", GRANTD_SURFACE_MANUAL,
                "the app stays installed for another consent of this shop; this token is destroyed here");
}

static int is_shared(grantd_op *op)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);

    return grant && grantd_num(op, grant, "siblings", 0) > 0;
}

static grantd_next *uninstall(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    if (!token)
        return app_gone(op);
    if (is_shared(op))
        return sh_rest(op, "GET", "oauth/access_scopes.json", token, on_replaced);
    return sh_graphql(op, token, UNINSTALL, on_uninstalled);
}

static grantd_next *on_renewed(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = sh_result(op, answer);

    if (grantd_status(op, answer) / 100 == 4 && sh_class(op, answer, SH_AT_TOKEN) == GRANTD_E_REAUTH)
        return app_gone(op);
    if (!grantd_ok(op, answer))
        return sh_fail(op, answer, SH_AT_TOKEN, "renewing the token that ends the app");
    if (!r.access_token)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Shopify's answer holds no token");
    return grantd_must_(op->host->save(op, &r, uninstall));
}

/* An hour's token may just have run out; both dead is the sign of an app that is no longer installed. */
static grantd_next *refused(grantd_op *op)
{
    const char *refresh = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);

    if (sh(op)->renewed || !refresh)
        return app_gone(op);
    sh(op)->renewed = 1;
    return sh_spend(op, refresh, on_renewed);
}

static grantd_next *look_whether_dead(grantd_op *op)
{
    return sh_rest(op, "GET", "oauth/access_scopes.json", grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_dead);
}

static grantd_next *older_way(grantd_op *op)
{
    return sh_rest(op, "DELETE", "api_permissions/current.json", grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
                   on_deleted);
}

/* The words of appUninstall's own errors. */
static grantd_next *by_code(grantd_op *op, const char *code)
{
    if (code && (!strcmp(code, "APP_NOT_FOUND") || !strcmp(code, "APP_NOT_INSTALLED")))
        return look_whether_dead(op);
    if (code && !strcmp(code, "USER_PERMISSIONS_INSUFFICIENT"))
        return app_by_hand(op, "Shopify does not let the app uninstall itself: the merchant does it");
    return older_way(op);
}

static grantd_next *on_uninstalled(grantd_op *op, const grantd_doc *answer)
{
    const char *path = "data.appUninstall.userErrors";

    if (sh_is_dead(op, answer))
        return refused(op);
    if (is_passing(op, answer))
        return sh_fail(op, answer, SH_AT_API, "uninstalling the app");
    if (!grantd_ok(op, answer) || grantd_type(op, answer, "errors") == GRANTD_IS_LIST)
        return older_way(op);
    if (grantd_type(op, answer, path) != GRANTD_IS_LIST)
        return sh_fail(op, answer, SH_AT_API, "uninstalling the app");
    if (grantd_len(op, answer, path) > 0)
        return by_code(op, grantd_text(op, answer, "data.appUninstall.userErrors.0.code"));
    if (!grantd_text(op, answer, "data.appUninstall.app.id"))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Shopify's answer names no app that was uninstalled");
    sh(op)->uninstalled = 1;
    return look_whether_dead(op);
}

static grantd_next *on_deleted(grantd_op *op, const grantd_doc *answer)
{
    if (is_passing(op, answer))
        return sh_fail(op, answer, SH_AT_API, "uninstalling the app");
    if (grantd_ok(op, answer))
        sh(op)->uninstalled = 1;
    else if (!sh_is_dead(op, answer))
        return app_by_hand(op, "Shopify does not let the app uninstall itself: the merchant does it");
    return look_whether_dead(op);
}

static grantd_next *on_dead(grantd_op *op, const grantd_doc *answer)
{
    if (sh_is_dead(op, answer))
        return app_gone(op);
    if (grantd_status(op, answer) != 403 &&
        (!grantd_ok(op, answer) || grantd_type(op, answer, "access_scopes") != GRANTD_IS_LIST))
        return sh_fail(op, answer, SH_AT_API, "looking whether the app is gone");
    return over(op, "token", GRANTD_SURFACE_FAILED, "Shopify accepted the end and still answers the token");
}

/* ---- the collaborator
 * ----------------------------------------------------------------------------------------- */

static grantd_next *collaborator_by_hand(grantd_op *op)
{
    grantd_step(
        op, .title = "Remove the collaborator", .url = grantd_strf(op, "https://%s/admin", sh(op)->shop),
        .text = grantd_strf(op, "In your Shopify admin open Settings, Users, choose %s and remove it.",
                            sh_agency(op)));
    return over(op, "collaborator", GRANTD_SURFACE_MANUAL,
                "the merchant removes the collaborator in Settings, Users");
}

static grantd_next *on_staff(grantd_op *op, const grantd_doc *answer)
{
    int found = sh_staff(op, answer);

    if (found < 0)
        return sh_ask_staff(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_staff);
    if (found == SH_STAFF_NONE)
        return over(op, "collaborator", GRANTD_SURFACE_GONE, NULL);
    if (is_passing(op, answer))
        return sh_fail(op, answer, SH_AT_API, "looking at the shop's staff");
    return collaborator_by_hand(op);
}

static grantd_next *end_collaborator(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
               *said = grantd_input(op, "collaborator_removed");

    sh(op)->cursor = NULL;
    sh(op)->pages = 0;
    if (token && sh_option_is(op, "staff_check", "true"))
        return sh_ask_staff(op, token, on_staff);
    if (said && !strcmp(said, "yes"))
        return over(op, "collaborator", GRANTD_SURFACE_CLOSED,
                    "a person said that the collaborator was removed");
    return collaborator_by_hand(op);
}

/* ---- one after another
 * ---------------------------------------------------------------------------------------- */

static int is_open(grantd_op *op)
{
    const char *outcome = surface_text(op, "outcome");

    return !outcome || (strcmp(outcome, "closed") && strcmp(outcome, "gone"));
}

/* Two rounds over the list: collaborators, then the app. */
static grantd_next *next_surface(grantd_op *op)
{
    struct sh *st = sh(op);
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = grant ? grantd_len(op, grant, "surfaces") : 0;

    for (; st->round < 2; st->round++, st->surface = 0)
        for (; st->surface < n; st->surface++) {
            const char *kind = surface_text(op, "kind");

            if (kind && is_open(op) && !strcmp(kind, st->round ? "token" : "collaborator"))
                return st->round ? uninstall(op) : end_collaborator(op);
        }
    return grantd_finish(op);
}

grantd_next *sh_revoke(grantd_op *op)
{
    grantd_next *bad = sh_version(op);

    if (bad || (bad = sh_shop(op)))
        return bad;
    return next_surface(op);
}
