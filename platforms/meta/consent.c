/* consent.c - tokens: the dialog, the code, the short token and the long one, what a token is, and trading a
 * living one for the next (facts: A2). There is no refresh token; the old one stays valid until its own end.
 */
#include "meta.h"

static grantd_doc_fn on_code, on_seen, on_long;
static grantd_fn trade, look_again, on_settled, save_settled;

enum { SHORT = 7 * 86400, MARGIN = 7 * 86400, MIN_AGE = 86400 };

/* ---- the dialog
 * --------------------------------------------------------------------------------------------- */
static int is_hub(grantd_op *op)
{
    return !strcmp(me_mode(op), GRANTD_MODE_HUB);
}

static int is_delegate(grantd_op *op)
{
    return !strcmp(me_mode(op), "delegate");
}

static const char *config_id(grantd_op *op)
{
    if (is_delegate(op))
        return grantd_option(op, "delegate_config_id");
    if (is_hub(op) && grantd_option(op, "hub_config_id"))
        return grantd_option(op, "hub_config_id");
    return grantd_option(op, "config_id");
}

/* Words separated by commas, as the dialog wants them. */
static const char *with_commas(grantd_op *op, const char *words)
{
    size_t n = strlen(words);
    char *out = grantd_alloc(op, n + 1);

    for (size_t i = 0; out && i < n; i++)
        out[i] = words[i] == ' ' ? ',' : words[i];
    return out ? out : "";
}

/* Only for classic login: a configuration has its own permissions. */
static const char *scopes(grantd_op *op)
{
    const char *asked = grantd_arg(op, GRANTD_ARG_SCOPE);

    if (config_id(op))
        return NULL;
    return with_commas(op, asked && *asked ? asked : grantd_option(op, "scopes"));
}

grantd_next *me_dialog(grantd_op *op)
{
    const char *base = grantd_strf(op, "%s/%s/dialog/oauth", grantd_option(op, "dialog_url"),
                                   grantd_option(op, "api_version"));
    const char *again = grantd_option(op, "rerequest"), *config = config_id(op);

    if (is_delegate(op) && !config)
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "mode delegate needs delegate_config_id: a Login for Business configuration whose "
                           "token is a system user's");
    return grantd_done(op, .redirect_url =
                               grantd_url(op, base, "client_id", grantd_option(op, "app_id"), "redirect_uri",
                                          grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "state",
                                          grantd_arg(op, GRANTD_ARG_STATE), "response_type", "code",
                                          "config_id", config, "override_default_response_type",
                                          is_delegate(op) ? "true" : NULL, "scope", scopes(op), "auth_type",
                                          !config && !strcmp(again, "true") ? "rerequest" : NULL));
}

/* ---- the code
 * ----------------------------------------------------------------------------------------------- */
static grantd_next *no_code(grantd_op *op)
{
    const char *error = grantd_query(op, "error"), *code = grantd_query(op, "error_code");

    if (error && strcmp(error, "access_denied"))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta sent the browser back with the error %.60s", error);
    if (code && !strcmp(code, "200"))
        return grantd_fail(op, GRANTD_E_DECLINED,
                           "the login ended with \"Permissions error\": the client declined, or the app is "
                           "not live or lacks a permission");
    return grantd_fail(op, GRANTD_E_DECLINED, "the client came back without having agreed");
}

grantd_next *me_take_code(grantd_op *op, grantd_fn *then)
{
    const char *code = grantd_arg(op, GRANTD_ARG_CODE);

    if (!code || !*code)
        return no_code(op);
    me(op)->then = then;
    return me_trade(op,
                    grantd_pairs("client_id", grantd_option(op, "app_id"), "client_secret",
                                 grantd_option(op, "app_secret"), "redirect_uri",
                                 grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "code", code),
                    on_code);
}

/* The token of an answer; NULL when there is none that can be one. */
static const char *token_of(grantd_op *op, const grantd_doc *a)
{
    const char *token = me_bad(op, a) ? NULL : grantd_text(op, a, "access_token");

    return token && *token ? token : NULL;
}

static grantd_next *no_token(grantd_op *op, const grantd_doc *a)
{
    if (me_bad(op, a))
        return me_fail(op, a);
    return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta's answer holds no token");
}

static grantd_next *on_code(grantd_op *op, const grantd_doc *a)
{
    const char *token = token_of(op, a);

    if (!token)
        return no_token(op, a);
    return grantd_save(op, me(op)->then, .access_token = token,
                       .expires_in = grantd_num(op, a, "expires_in", 0));
}

/* ---- what a token is
 * ---------------------------------------------------------------------------------------- */
grantd_next *me_look_at(grantd_op *op, const char *token, grantd_fn *then)
{
    me(op)->then = then;
    return me_get(op, ME_APP, "debug_token", grantd_pairs("input_token", token), on_seen);
}

static const char *joined(grantd_op *op, const grantd_doc *a, const char *path)
{
    int64_t n = grantd_len(op, a, path);
    const char *out = "";

    if (grantd_type(op, a, path) != GRANTD_IS_LIST || n > 200)
        return NULL;
    for (int64_t i = 0; i < n; i++) {
        const char *word = grantd_text(op, a, grantd_strf(op, "%s.%lld", path, (long long)i));

        if (word && *word)
            out = grantd_strf(op, "%s%s%s", out, *out ? " " : "", word);
    }
    return out;
}

/* Ids of this kind that the person chose in the dialog, remembered for the work. */
static void note_chosen(grantd_op *op, const grantd_doc *a)
{
    const char *begins = me_item_kind(op)->scope;
    int64_t n = grantd_len(op, a, "data.granular_scopes");

    for (int64_t i = 0; i < n && i < 200; i++) {
        const char *at = grantd_strf(op, "data.granular_scopes.%lld", (long long)i);
        const char *scope = grantd_text(op, a, grantd_strf(op, "%s.scope", at));
        const char *ids = grantd_strf(op, "%s.target_ids", at);

        if (scope && !strncmp(scope, begins, strlen(begins)) && grantd_len(op, a, ids) > 0)
            for (int64_t k = 0; k < grantd_len(op, a, ids); k++)
                (void)me_targets_add(op, grantd_text(op, a, grantd_strf(op, "%s.%lld", ids, (long long)k)));
    }
}

static void read_seen(grantd_op *op, const grantd_doc *a)
{
    struct me *m = me(op);
    const char *user = grantd_text(op, a, "data.user_id");
    int64_t sub = grantd_num(op, a, "data.error.subcode", 0);

    m->seen.valid = grantd_num(op, a, "data.is_valid", 0) == 1;
    m->seen.held = !m->seen.valid && (sub == 459 || sub == 464);
    m->seen.type = grantd_text(op, a, "data.type");
    m->seen.user = user && *user ? user : NULL;
    m->seen.scopes = joined(op, a, "data.scopes");
    m->seen.expires_at = grantd_num(op, a, "data.expires_at", 0);
    m->seen.data_ends_at = grantd_num(op, a, "data.data_access_expires_at", 0);
    m->seen.why = sub == 458   ? "the person has removed the app"
                  : sub == 460 ? "the password was changed"
                  : sub == 459 || sub == 464
                      ? "the person must log in and confirm the account at facebook.com first"
                  : sub == 463 ? "the token has expired"
                  : sub == 493 ? "the person was not active for 90 days"
                               : "the token is no longer valid";
}

static grantd_next *on_seen(grantd_op *op, const grantd_doc *a)
{
    const char *app = grantd_text(op, a, "data.app_id");

    if (me_bad(op, a))
        return me_fail(op, a);
    if (grantd_type(op, a, "data") != GRANTD_IS_OBJECT ||
        grantd_type(op, a, "data.is_valid") != GRANTD_IS_BOOL)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "debug_token did not say whether the token is valid");
    read_seen(op, a);
    if (me(op)->seen.valid && (!app || strcmp(app, grantd_option(op, "app_id"))))
        return grantd_fail(op, app ? GRANTD_E_CONFIG : GRANTD_E_PROTOCOL,
                           "the token belongs to another app than app_id");
    if (me(op)->seen.valid && is_delegate(op) && !grantd_arg(op, GRANTD_ARG_ASSET_ID) && !me_targets(op) &&
        me(op)->then == on_settled)
        note_chosen(op, a);
    return me(op)->then(op);
}

/* Facts: A2, "Health rule". */
int me_alive(grantd_op *op)
{
    int64_t now = grantd_now(op), ends = me(op)->seen.expires_at, data = me(op)->seen.data_ends_at;

    return me(op)->seen.valid && (ends <= 0 || ends > now) && (data <= 0 || data > now);
}

/* ---- a consent that was just given
 * -------------------------------------------------------------------------- */
grantd_next *me_settle(grantd_op *op)
{
    return me_look_at(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_settled);
}

static int is_user(grantd_op *op)
{
    const char *type = me(op)->seen.type;

    return !type || !strcmp(type, "USER");
}

static int is_short(grantd_op *op)
{
    int64_t ends = me(op)->seen.expires_at;

    return ends > 0 && ends - grantd_now(op) < SHORT;
}

/* A share needs the client's token once, and what is short dies by itself. Only what is kept becomes long;
 * one that has to wait for people is traded by refresh, in time. */
static int lasts(grantd_op *op)
{
    return is_hub(op) || is_delegate(op) || !strcmp(grantd_option(op, "keep_client_token"), "true");
}

/* A permission of classic login that the client took out of the list; "" when all are there. */
static const char *declined_scope(grantd_op *op)
{
    const char *asked = scopes(op), *have = me(op)->seen.scopes;

    while (asked && *asked) {
        size_t n = strcspn(asked, ",");
        const char *word = grantd_strf(op, " %.*s ", (int)n, asked);

        if (n && !strstr(grantd_strf(op, " %s ", have ? have : ""), word))
            return grantd_strf(op, "%.*s", (int)n, asked);
        asked += n + (asked[n] == ',');
    }
    return "";
}

static grantd_next *on_settled(grantd_op *op)
{
    const char *missing;

    if (!me_alive(op))
        return grantd_fail(op, GRANTD_E_REAUTH, "%s",
                           me(op)->seen.valid ? "the access of the app to the person's data has ended"
                                              : me(op)->seen.why);
    if (!me(op)->seen.user || !me(op)->seen.scopes)
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "debug_token did not say whose the token is, or its scopes");
    missing = declined_scope(op);
    if (*missing)
        return grantd_fail(op, GRANTD_E_DECLINED, "the client did not grant the permission %.60s", missing);
    if (is_user(op) && is_short(op) && lasts(op) && !grantd_noted(op, "long"))
        return trade(op);
    return save_settled(op);
}

/* A user's short token becomes one of about 60 days while it lives; an ended one cannot be traded. */
static grantd_next *trade(grantd_op *op)
{
    return me_trade(op,
                    grantd_pairs("grant_type", "fb_exchange_token", "client_id", grantd_option(op, "app_id"),
                                 "client_secret", grantd_option(op, "app_secret"), "fb_exchange_token",
                                 grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)),
                    on_long);
}

static grantd_next *on_long(grantd_op *op, const grantd_doc *a)
{
    const char *token = token_of(op, a);

    if (!token)
        return no_token(op, a);
    grantd_note(op, "long", "1");
    return grantd_save(op, look_again, .access_token = token,
                       .expires_in = grantd_num(op, a, "expires_in", 0));
}

static grantd_next *look_again(grantd_op *op)
{
    return me_look_at(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_settled);
}

static grantd_next *save_settled(grantd_op *op)
{
    struct me *m = me(op);
    int perpetual = m->seen.expires_at <= 0;

    grantd_note(op, "settled", "1"); /* a delegated token is its portfolio's, which is asked for next */
    if (m->seen.type)
        grantd_keep(op, "type", m->seen.type);
    return grantd_save(
        op, me_after_consent, .access_token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
        .account_id = is_user(op) || !is_delegate(op) ? m->seen.user : NULL, .scope = m->seen.scopes,
        .shape = perpetual ? GRANTD_SHAPE_PERPETUAL : GRANTD_SHAPE_EXCHANGE,
        .expires_in = perpetual ? GRANTD_NEVER : 0, .expires_at = perpetual ? 0 : m->seen.expires_at,
        .horizon_at = m->seen.data_ends_at > 0 ? m->seen.data_ends_at : 0, .margin = MARGIN,
        .min_age = MIN_AGE);
}

/* ---- refresh
 * ------------------------------------------------------------------------------------------------ */
static grantd_fn renewed_seen, check_alive;
static grantd_doc_fn on_renewed;

static int64_t number(const char *text)
{
    int64_t n = 0;

    for (size_t i = 0; text && i < 15 && text[i] >= '0' && text[i] <= '9'; i++)
        n = n * 10 + (text[i] - '0');
    return n;
}

static int is_type(const grantd_op *op, const char *type)
{
    const char *kept = grantd_kept(op, "type");

    return kept && !strcmp(kept, type);
}

/* Facts: A2, "BISU management"; which of both ways renews a 60-day one is open, so it is an option. */
static grantd_next *renew_delegated(grantd_op *op, const char *business)
{
    return me_post(op, ME_CLIENT, grantd_strf(op, "%s/system_user_access_tokens", business),
                   grantd_pairs("set_token_expires_in_60_days", "true"), on_renewed);
}

static grantd_next *renew(grantd_op *op)
{
    const char *business = grantd_kept(op, "client_business");
    int system = is_type(op, "SYSTEM_USER");

    if (system && me_digits(business) &&
        !strcmp(grantd_option(op, "delegate_renewal"), "system_user_access_tokens"))
        return renew_delegated(op, business);
    return me_trade(op,
                    grantd_pairs("grant_type", "fb_exchange_token", "client_id", grantd_option(op, "app_id"),
                                 "client_secret", grantd_option(op, "app_secret"), "fb_exchange_token",
                                 grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), "set_token_expires_in_60_days",
                                 system ? "true" : NULL),
                    on_renewed);
}

grantd_next *me_refresh(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    int64_t ends = number(grantd_arg(op, GRANTD_ARG_EXPIRES_AT));

    me_watch_version(op);
    if (!token)
        return grantd_fail(op, GRANTD_E_REAUTH, "there is no token to renew");
    if (ends && ends <= grantd_now(op))
        return grantd_fail(op, GRANTD_E_REAUTH, "the token has expired; an expired one cannot be exchanged");
    if (!ends)
        return me_look_at(op, token, check_alive);
    return renew(op);
}

/* One that never ends is only looked at. */
static grantd_next *check_alive(grantd_op *op)
{
    if (!me_alive(op))
        return grantd_fail(op, GRANTD_E_REAUTH, "%s",
                           me(op)->seen.valid ? "the access of the app to the person's data has ended"
                                              : me(op)->seen.why);
    if (me(op)->seen.expires_at > 0)
        return renew(op);
    return grantd_finish(op);
}

static grantd_next *on_renewed(grantd_op *op, const grantd_doc *a)
{
    const char *token = token_of(op, a);

    if (!token)
        return no_token(op, a);
    return grantd_save(op, renewed_seen, .access_token = token,
                       .expires_in = grantd_num(op, a, "expires_in", 0), .margin = MARGIN,
                       .min_age = MIN_AGE);
}

/* The new token is durable. What it is said to be only adds its clocks: a fault here loses nothing. */
static grantd_doc_fn on_new_clocks;

static grantd_next *renewed_seen(grantd_op *op)
{
    return me_get(op, ME_APP, "debug_token",
                  grantd_pairs("input_token", grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)), on_new_clocks);
}

static grantd_next *on_new_clocks(grantd_op *op, const grantd_doc *a)
{
    int64_t ends = grantd_num(op, a, "data.expires_at", 0),
            data = grantd_num(op, a, "data.data_access_expires_at", 0);
    const char *user = grantd_text(op, a, "data.user_id");

    if (me_bad(op, a) || grantd_num(op, a, "data.is_valid", 0) != 1)
        return grantd_finish(op);
    return grantd_done(op, .expires_at = ends > 0 ? ends : 0, .horizon_at = data > 0 ? data : 0,
                       .account_id = grantd_kept(op, "client_business") ? NULL : user);
}
