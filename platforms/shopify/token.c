/* token.c - the app's token for a shop. Expiring tokens live for an hour; their refresh token is replaced
 * with each use, starts its 90 days anew, and the old one works until the new one was used. Old installations
 * have tokens that do not expire; they can be traded once, and never back. */
#include "shopify.h"

#define ENDPOINT     "oauth/access_token"
#define OFFLINE      "urn:shopify:params:oauth:token-type:offline-access-token"
#define EXCHANGE     "urn:ietf:params:oauth:grant-type:token-exchange"
#define DEFAULT_LIFE 3600

enum { IDLE_S = 30 * SH_DAY_S, MARGIN_S = 300 };

static grantd_doc_fn on_exchanged, on_refreshed, on_migrated, on_alive;

/* ---- what a token answer says
 * --------------------------------------------------------------------------------- */

/* Fields are read, never assumed: whatever combination comes is a shape of its own. */
struct grantd_result sh_result(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = { .size = sizeof r };

    r.access_token = grantd_text(op, answer, "access_token");
    r.refresh_token = grantd_text(op, answer, "refresh_token");
    r.scope = sh_spaced(op, grantd_text(op, answer, "scope"));
    r.expires_in = grantd_num(op, answer, "expires_in", 0);
    r.refresh_expires_in = grantd_num(op, answer, "refresh_token_expires_in", 0);
    if (r.refresh_token) {
        r.expires_in = r.expires_in > 0 ? r.expires_in : DEFAULT_LIFE;
        r.shape = GRANTD_SHAPE_ROTATING;
        r.retry_class = GRANTD_RETRY_OVERLAP;
        r.idle = IDLE_S;
        r.margin = MARGIN_S;
    } else if (r.expires_in > 0) {
        r.shape = GRANTD_SHAPE_WINDOW;
        r.horizon_at = grantd_now(op) + r.expires_in;
    } else {
        r.shape = GRANTD_SHAPE_PERPETUAL;
        r.retry_class = GRANTD_RETRY_NONE;
        r.expires_in = GRANTD_NEVER;
    }
    return r;
}

static void warn_shape(grantd_op *op, const struct grantd_result *r)
{
    if (r->shape == GRANTD_SHAPE_WINDOW)
        grantd_warn(op, "NO_REFRESH_TOKEN",
                    "Shopify gave a token that expires and nothing to renew it with: the merchant has to "
                    "approve again");
    if (r->shape == GRANTD_SHAPE_PERPETUAL && sh_option_is(op, "expiring", "true"))
        grantd_warn(
            op, "NON_EXPIRING_TOKEN",
            "this shop has an old token that does not expire; public apps lose it on 2027-01-01: set migrate "
            "of the app to always to trade it (that cannot be undone)");
}

/* ---- the code
 * ------------------------------------------------------------------------------------------------- */

grantd_next *sh_exchange(grantd_op *op)
{
    return grantd_http(op, on_exchanged, .url = sh_at(op, ENDPOINT),
                       .json = grantd_pairs("client_id", grantd_option(op, "client_id"), "client_secret",
                                            grantd_option(op, "client_secret"), "code",
                                            grantd_arg(op, GRANTD_ARG_CODE), "expiring",
                                            sh_option_is(op, "expiring", "true") ? "1" : NULL));
}

static grantd_next *on_exchanged(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = sh_result(op, answer);

    if (!grantd_ok(op, answer))
        return sh_fail(op, answer, SH_AT_TOKEN, "exchanging the code");
    if (!r.access_token || grantd_type(op, answer, "associated_user") == GRANTD_IS_OBJECT)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Shopify's answer holds no offline token");
    warn_shape(op, &r);
    grantd_keep(op, "shop",
                sh(op)->shop); /* the account is told with its name, when the shop was looked at */
    return grantd_must_(op->host->save(op, &r, sh_grant));
}

/* ---- the refresh
 * ---------------------------------------------------------------------------------------------- */

grantd_next *sh_spend(grantd_op *op, const char *refresh_token, grantd_doc_fn *next)
{
    return grantd_http(op, next, .url = sh_at(op, ENDPOINT),
                       .json = grantd_pairs("client_id", grantd_option(op, "client_id"), "client_secret",
                                            grantd_option(op, "client_secret"), "grant_type", "refresh_token",
                                            "refresh_token", refresh_token));
}

/* A frozen shop wakes up when its owner pays: looked at daily, and never taken for a lost consent. */
static grantd_next *refresh_failed(grantd_op *op, const grantd_doc *answer, const char *what)
{
    if (!sh_is_closed(op, answer))
        return sh_fail(op, answer, SH_AT_TOKEN, what);
    grantd_warn(op, "SHOP_FROZEN",
                "the shop is frozen or locked: its owner or Shopify has to act; looked at daily");
    grantd_retry_after(op, grantd_now(op) + SH_DAY_S);
    return grantd_fail(op, GRANTD_E_LIMITED, "%s: the shop is frozen or locked (Shopify answered %d)", what,
                       grantd_status(op, answer));
}

static void warn_scope(grantd_op *op, const char *granted)
{
    const char *missing = granted ? sh_missing(op, sh_scopes(op), granted) : NULL;

    if (missing)
        grantd_warn(op, "SCOPES_MISSING", "the shop does not (any longer) grant %.300s", missing);
}

static grantd_next *on_refreshed(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = sh_result(op, answer);

    if (!grantd_ok(op, answer))
        return refresh_failed(op, answer, "refreshing");
    if (!r.access_token)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Shopify's answer holds no token");
    warn_scope(op, r.scope);
    warn_shape(op, &r);
    return grantd_must_(op->host->done(op, &r));
}

/* ---- tokens that do not expire
 * -------------------------------------------------------------------------------- */

static grantd_next *migrate(grantd_op *op)
{
    return grantd_http(op, on_migrated, .url = sh_at(op, ENDPOINT),
                       .json = grantd_pairs("client_id", grantd_option(op, "client_id"), "client_secret",
                                            grantd_option(op, "client_secret"), "grant_type", EXCHANGE,
                                            "subject_token", grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
                                            "subject_token_type", OFFLINE, "requested_token_type", OFFLINE,
                                            "expiring", "1"));
}

static grantd_next *on_migrated(grantd_op *op, const grantd_doc *answer)
{
    struct grantd_result r = sh_result(op, answer);
    const char *error = grantd_text(op, answer, "error");

    if (grantd_status(op, answer) == 400 && error && !strcmp(error, "invalid_request"))
        return grantd_fail(op, GRANTD_E_REAUTH, "the old token cannot be exchanged (invalid_request)");
    if (!grantd_ok(op, answer))
        return refresh_failed(op, answer, "trading the old token");
    if (!r.access_token)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Shopify's answer to the trade holds no new token");
    warn_scope(op, r.scope);
    warn_shape(op, &r); /* the old token is gone: whatever came in its place is kept */
    return grantd_must_(op->host->done(op, &r));
}

static grantd_next *on_alive(grantd_op *op, const grantd_doc *answer)
{
    if (sh_refuses_old_tokens(op, answer) && !sh_option_is(op, "migrate", "never"))
        return migrate(op);
    if (sh_is_closed(op, answer))
        return refresh_failed(op, answer, "looking at the token");
    if (!grantd_ok(op, answer) || grantd_type(op, answer, "access_scopes") != GRANTD_IS_LIST)
        return sh_fail(op, answer, SH_AT_API, "looking at the token");
    warn_scope(op, sh_installed(op, answer, "access_scopes"));
    return grantd_finish(op);
}

grantd_next *sh_refresh(grantd_op *op)
{
    const char *refresh = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
               *access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    int64_t end = grantd_number(grantd_arg(op, GRANTD_ARG_EXPIRES_AT));
    grantd_next *bad = sh_shop(op);

    if (bad)
        return bad;
    if (refresh)
        return sh_spend(op, refresh, on_refreshed);
    if (!access || (end >= 0 && end <= grantd_now(op)))
        return grantd_fail(op, GRANTD_E_REAUTH,
                           "the token has expired, and there is nothing to renew it with");
    if (end < 0 && sh_option_is(op, "migrate", "always"))
        return migrate(op);
    return sh_rest(op, "GET", "oauth/access_scopes.json", access, on_alive);
}
