/* token.c - credentials come and are renewed: the code exchange, the refresh, the second step of some
 * providers. After every answer that spent something the new tokens are saved before any further request
 * leaves. */
#include "oauth2.h"

/* ---- results
 * -------------------------------------------------------------------------------------------------- */
static uint32_t retry_class(grantd_op *op)
{
    static const char *const words[] = { "unknown", "none", "overlap", "grace", "strict", "family" };
    const char *word = oa_text(op, "refresh.retry_class", "unknown");

    for (uint32_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strcmp(word, words[i]))
            return i;
    return GRANTD_RETRY_UNKNOWN;
}

static int mode_is(grantd_op *op, const char *mode)
{
    return !strcmp(oa_text(op, "refresh.mode", "refresh_token"), mode);
}

static uint32_t shape(grantd_op *op)
{
    const struct oa_tokens *t = &oa(op)->t;

    if (mode_is(op, "access_token"))
        return GRANTD_SHAPE_EXCHANGE;
    if (mode_is(op, "reissue"))
        return GRANTD_SHAPE_RENEWABLE;
    if (mode_is(op, "refresh_token") && (t->refresh || grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN)))
        return retry_class(op) == GRANTD_RETRY_NONE ? GRANTD_SHAPE_RENEWABLE : GRANTD_SHAPE_ROTATING;
    return t->expires_in > 0 || t->expires_at ? GRANTD_SHAPE_WINDOW : GRANTD_SHAPE_PERPETUAL;
}

static int64_t end_of(grantd_op *op, int64_t in, int64_t at)
{
    return in > 0 ? grantd_now(op) + in : at;
}

/* The wall that no refresh passes: the end of a token that nothing renews, or a refresh token's fixed end. */
static int64_t horizon(grantd_op *op, uint32_t how)
{
    const struct oa_tokens *t = &oa(op)->t;
    int64_t refresh_s = oa_num(op, "lifetimes.refresh_s", 0), end;

    if (how == GRANTD_SHAPE_WINDOW)
        return end_of(op, t->expires_in, t->expires_at);
    if (!oa_num(op, "lifetimes.refresh_fixed", 0))
        return 0;
    end = end_of(op, t->refresh_expires_in, t->refresh_expires_at);
    return end || oa(op)->refreshing || refresh_s <= 0 ? end : grantd_now(op) + refresh_s;
}

static uint32_t seconds(grantd_op *op, const char *path)
{
    int64_t n = oa_num(op, path, 0);

    return n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
}

static struct grantd_result result(grantd_op *op)
{
    const struct oa_tokens *t = &oa(op)->t;
    struct grantd_result r = { .size = sizeof r, .shape = shape(op), .retry_class = retry_class(op) };

    r.access_token = t->access;
    r.refresh_token = t->refresh;
    r.id_token = t->id_token;
    r.scope = t->scope;
    r.account_id = t->account;
    r.account_name = t->account_name;
    r.expires_in = t->expires_in;
    r.expires_at = t->expires_at;
    r.refresh_expires_in = t->refresh_expires_in;
    r.refresh_expires_at = t->refresh_expires_at;
    r.horizon_at = horizon(op, r.shape);
    r.retry_grace = seconds(op, "refresh.retry_grace_s");
    r.margin = seconds(op, "refresh.margin_s");
    r.min_age = seconds(op, "refresh.min_age_s");
    r.idle = seconds(op, "refresh.idle_s");
    return r;
}

/* ---- going on
 * ------------------------------------------------------------------------------------------------- */
/* HS256 alone takes the client secret, everything else the issuer's keys. */
static int needs_keys(grantd_op *op)
{
    return strcmp(oa_text(op, "idtoken.algs", ""), "HS256") != 0;
}

static int id_token_waits(grantd_op *op)
{
    const struct oa *st = oa(op);

    if (!st->t.id_token || !st->issuer || st->idtoken_checked)
        return 0;
    if (st->refreshing && !strcmp(oa_text(op, "idtoken.on_refresh", "check"), "ignore"))
        return 0;
    return oa_wants_openid(op) || oa_discovers(op);
}

static int identity_waits(grantd_op *op)
{
    const struct oa *st = oa(op);

    return !st->refreshing && !st->identified && oa_has(op, "verify.url") &&
           oa_num(op, "verify.on_grant", 1) &&
           ((oa_has(op, "verify.account_id") && !st->t.account) || oa_has(op, "verify.save"));
}

static grantd_fn *next_step(grantd_op *op)
{
    const struct oa *st = oa(op);

    if (st->exchange)
        return oa_exchange;
    if (id_token_waits(op))
        return oa_idtoken_step;
    if (!oa_knows_end(&st->t) && !st->introspected && oa_introspect_url(op))
        return oa_introspect_tokens;
    return identity_waits(op) ? oa_identify : NULL;
}

/* expires_in counts from the request that brought it; another one is about to leave. */
static void pin_clocks(grantd_op *op)
{
    struct oa_tokens *t = &oa(op)->t;
    int64_t now = grantd_now(op);

    if (t->expires_in > 0) {
        t->expires_at = now + t->expires_in;
        t->expires_in = 0;
    }
    if (t->refresh_expires_in > 0) {
        t->refresh_expires_at = now + t->refresh_expires_in;
        t->refresh_expires_in = 0;
    }
}

grantd_next *oa_advance(grantd_op *op)
{
    struct oa *st = oa(op);
    grantd_fn *step = next_step(op);
    struct grantd_result r = result(op);

    if (!step) {
        if (!st->refreshing)
            oa_add_steps(op, "after");
        return grantd_must_(op->host->done(op, &r));
    }
    pin_clocks(op);
    if (!st->unsaved)
        return step(op);
    st->unsaved = 0;
    if (!st->refreshing)
        grantd_note(op, "stage", st->exchange ? "exchange" : "saved");
    return grantd_must_(op->host->save(op, &r, oa_advance));
}

/* What the first answer had and the second does not say stays, except a refresh token that keep does not
 * name. */
static void merge(grantd_op *op, const struct oa_tokens *had, struct oa_tokens *t)
{
    int keeps = !oa_has(op, "exchange.keep") || oa_listed(op, "exchange.keep", "refresh_token");

    if (!t->refresh && keeps) {
        t->refresh = had->refresh;
        t->refresh_expires_in = had->refresh_expires_in;
        t->refresh_expires_at = had->refresh_expires_at;
    }
    if (!t->id_token)
        t->id_token = had->id_token;
    if (!t->scope)
        t->scope = had->scope;
    if (!t->account)
        t->account = had->account;
    if (!t->account_name)
        t->account_name = had->account_name;
}

static grantd_next *no_token(grantd_op *op, const grantd_doc *answer, int got)
{
    if (!got && oa_error_word(op, answer))
        return oa_fail(op, answer, OA_AT_TOKEN);
    return grantd_fail(op, GRANTD_E_PROTOCOL,
                       got ? "the answer's token_type is not bearer"
                           : "the answer is a success but holds no access token");
}

/* A grant that kept nothing yet may be refused; a refresh has spent its token, so what it brought is kept. */
static grantd_next *accept(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    int fits = oa_save_answer(op, answer, "response.save");

    if (!fits && !st->refreshing)
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "a value of the answer does not match the pattern under saved");
    if (!fits)
        grantd_log(op, GRANTD_WARN,
                   "a value of the refresh answer does not match the pattern under saved: old one kept");
    st->fresh = st->unsaved = 1;
    if (!st->refreshing && oa_wants_openid(op) && !st->t.id_token)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "openid was asked for, but the answer holds no ID token");
    oa_keep_endpoints(op);
    if (!st->refreshing && id_token_waits(op) && (st->jwks || !needs_keys(op)))
        return oa_check_idtoken(op);
    return oa_advance(op);
}

grantd_next *oa_on_token(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    grantd_next *bad =
        oa_check_answer(op, answer, st->refreshing ? "refresh" : "token", "token", OA_AT_TOKEN);
    int got;

    if (bad)
        return bad;
    got = oa_read_tokens(op, answer, "response", &st->t);
    if (got != 1)
        return no_token(op, answer, got);
    st->exchange = (uint8_t)oa_listed(op, "exchange.on", st->refreshing ? "refresh" : "code");
    grantd_keep(op, "device_code", NULL);
    return accept(op, answer);
}

static grantd_next *on_exchange(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    grantd_next *bad = oa_check_answer(op, answer, "exchange", NULL, OA_AT_TOKEN);
    struct oa_tokens had = st->t;
    int got;

    if (bad)
        return bad;
    got = oa_read_tokens(op, answer, "exchange.response", &st->t);
    if (got != 1)
        return no_token(op, answer, got);
    merge(op, &had, &st->t);
    st->exchange = 0;
    st->unsaved = 1;
    return oa_advance(op);
}

grantd_next *oa_exchange(grantd_op *op)
{
    struct oa_call c;

    oa_call_init(op, &c, "exchange", NULL);
    c.url = oa_expand_url(op, "exchange.url");
    if (!c.method || !strcmp(c.method, "GET"))
        c.flags = GRANTD_HTTP_REPEATABLE;
    return oa_call_send(op, &c, on_exchange);
}

/* ---- the code
 * ------------------------------------------------------------------------------------------------- */
grantd_next *oa_token_start(grantd_op *op, struct oa_call *c, const char *block, const char *base,
                            const char *grant_type)
{
    oa_call_init(op, c, block, base);
    if (!c->method)
        c->method = "POST";
    c->url = base && oa_has(op, grantd_strf(op, "%s.url", block))
                 ? oa_expand_url(op, grantd_strf(op, "%s.url", block))
                 : oa_endpoint(op, "token.url", "token_endpoint");
    oa_call_add(op, c, "grant_type", grant_type);
    return c->url ? NULL : oa_no_url(op, "its token endpoint");
}

static grantd_next *send_code(grantd_op *op)
{
    struct oa_call c;
    grantd_next *bad = oa_token_start(op, &c, "token", NULL, "authorization_code");

    if (bad)
        return bad;
    oa_call_add(op, &c, "code", grantd_query(op, oa_text(op, "callback.code", "code")));
    oa_call_add(op, &c, "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI));
    if (strcmp(oa_text(op, "authorize.pkce", "S256"), "off"))
        oa_call_add(op, &c, "code_verifier", grantd_arg(op, GRANTD_ARG_CODE_VERIFIER));
    oa_call_auth(op, &c, NULL);
    return oa_call_send(op, &c, oa_on_token);
}

static grantd_next *on_keys(grantd_op *op, const grantd_doc *answer)
{
    if (grantd_status(op, answer) != 200)
        return oa_fail(op, answer, OA_AT_API);
    oa(op)->jwks = answer;
    return send_code(op);
}

/* RFC 9207: an announced iss that does not come back means that another server may have answered. */
static grantd_next *check_iss(grantd_op *op)
{
    const struct oa *st = oa(op);
    const char *iss = grantd_query(op, "iss");
    int announced =
        st->meta && grantd_num(op, st->meta, "authorization_response_iss_parameter_supported", 0) == 1;

    if (iss && st->issuer && strcmp(iss, st->issuer))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "the answer came from another issuer than the one that was asked");
    if (!iss && oa_num(op, "callback.require_iss", announced))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "the provider answers with iss, but this answer came without it");
    return NULL;
}

static grantd_next *with_metadata(grantd_op *op)
{
    grantd_next *bad = check_iss(op);

    if (bad)
        return bad;
    return oa_wants_openid(op) && needs_keys(op) ? oa_fetch_keys(op, on_keys) : send_code(op);
}

static int save_callback(grantd_op *op)
{
    const grantd_doc *d = oa(op)->d;
    const char *name, *value, *as;

    for (int64_t i = 0; (name = grantd_key(op, d, "callback.save", i)); i++) {
        value = grantd_query(op, name);
        as = grantd_text(op, d, oa_member(op, "callback.save", name));
        if (value && as && !oa_save_value(op, as, value))
            return 0;
    }
    return 1;
}

static grantd_next *take_callback(grantd_op *op)
{
    const char *error = grantd_query(op, oa_text(op, "callback.error", "error"));
    const char *iss = grantd_query(op, "iss");

    if (iss && oa(op)->issuer && strcmp(iss, oa(op)->issuer))
        return check_iss(op);
    if (error)
        return oa_fail_callback(op, error);
    if (!grantd_query(op, oa_text(op, "callback.code", "code")))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the answer came without a code");
    if (!save_callback(op))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "a parameter of the answer does not match the pattern under saved");
    return oa_discover(op, with_metadata);
}

static grantd_next *own_credentials(grantd_op *op)
{
    struct oa_call c;
    grantd_next *bad =
        oa_token_start(op, &c, oa(op)->refreshing ? "refresh" : "token", "token", "client_credentials");
    const char *scope = oa_scope(op);

    if (bad)
        return bad;
    if (*scope)
        oa_call_add(op, &c, "scope", oa_words(op, scope, NULL, " ", oa_text(op, "scope.join", " ")));
    oa_call_auth(op, &c, NULL);
    c.flags |= GRANTD_HTTP_REPEATABLE;
    return oa_call_send(op, &c, oa_on_token);
}

/* The code was spent and its tokens were saved before something interrupted this grant: a code is never sent
 * twice. */
static grantd_next *resume(grantd_op *op, const char *stage)
{
    struct oa *st = oa(op);

    st->t.access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    st->t.refresh = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);
    if (!st->t.access)
        return grantd_fail(op, GRANTD_E_UNCERTAIN,
                           "the code was used before an interruption and is not sent again");
    st->exchange = !strcmp(stage, "exchange");
    return oa_advance(op);
}

grantd_next *oa_grant(grantd_op *op)
{
    grantd_next *bad = oa_begin(op);
    const char *how, *stage = grantd_noted(op, "stage");

    if (bad)
        return bad;
    if (stage)
        return resume(op, stage);
    if (grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)) /* another item of a consent that is had already */
        return grantd_finish(op);
    how = oa_text(op, "grant", "authorization_code");
    if (!strcmp(how, "guided"))
        return grantd_finish(op);
    if (!strcmp(how, "client_credentials"))
        return oa_discover(op, own_credentials);
    if (!strcmp(how, "device_code"))
        return oa_discover(op, oa_device_poll);
    return take_callback(op);
}

/* ---- the refresh
 * ------------------------------------------------------------------------------------------------ */
static int64_t arg_time(grantd_op *op, int id)
{
    const char *text = grantd_arg(op, id);
    int64_t n = 0;

    while (text && *text >= '0' && *text <= '9' && n < INT64_MAX / 100)
        n = n * 10 + (*text++ - '0');
    return n;
}

static grantd_next *on_extended(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    grantd_next *bad = oa_check_answer(op, answer, "refresh", "token", OA_AT_TOKEN);

    if (bad)
        return bad;
    if (oa_read_tokens(op, answer, "response", &st->t) != 1) {
        st->t.expires_in = grantd_num(op, answer, oa_text(op, "response.expires_in", "expires_in"), 0);
        if (st->t.expires_in <= 0)
            st->t.expires_in = oa_num(op, "response.default_ttl_s", 0);
    }
    return oa_advance(op);
}

static grantd_doc_fn *refresh_next(grantd_op *op)
{
    return oa_num(op, "refresh.extend_only", 0) ? on_extended : oa_on_token;
}

static grantd_next *spend_refresh_token(grantd_op *op)
{
    struct oa_call c;
    const char *token = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);
    grantd_next *bad = oa_token_start(op, &c, "refresh", "token", "refresh_token");

    if (bad)
        return bad;
    oa_call_add(op, &c, "refresh_token", token);
    oa_call_auth(op, &c, NULL);
    if (retry_class(op) == GRANTD_RETRY_NONE)
        c.flags |= GRANTD_HTTP_REPEATABLE;
    return oa_call_send(op, &c, refresh_next(op));
}

static grantd_next *trade_access_token(grantd_op *op)
{
    struct oa_call c;
    int64_t end = arg_time(op, GRANTD_ARG_EXPIRES_AT);

    if (end && end <= grantd_now(op))
        return grantd_fail(op, GRANTD_E_REAUTH,
                           "the access token has expired, and only a living one can be traded");
    oa_call_init(op, &c, "refresh", "token");
    c.url = oa_has(op, "refresh.url") ? oa_expand_url(op, "refresh.url")
                                      : oa_endpoint(op, "token.url", "token_endpoint");
    if (retry_class(op) == GRANTD_RETRY_NONE)
        c.flags |= GRANTD_HTTP_REPEATABLE;
    return oa_call_send(op, &c, refresh_next(op));
}

/* Nothing renews it: is it still alive? */
static grantd_next *on_alive(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);

    if (oa_is_odd(op, answer))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the provider's error is no text (status %d)", status);
    if (oa_has(op, "verify.reauth_status") ? oa_listed_num(op, "verify.reauth_status", status)
                                           : status == 401)
        return grantd_fail(op, GRANTD_E_REAUTH, "the access token is dead, and this provider renews none");
    if (status / 100 != 2)
        return oa_fail(op, answer, OA_AT_API);
    if (grantd_type(op, answer, "") < GRANTD_IS_LIST)
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "the provider's answer about the token is no JSON document");
    if (oa_says_dead(op, answer) || grantd_equal(oa_body_error(op, answer), "invalid_token"))
        return grantd_fail(op, GRANTD_E_REAUTH, "the access token is dead, and this provider renews none");
    return oa_body_error(op, answer) ? oa_fail(op, answer, OA_AT_API) : grantd_finish(op);
}

static grantd_next *look_whether_alive(grantd_op *op)
{
    int64_t end = arg_time(op, GRANTD_ARG_EXPIRES_AT);
    const char *url = oa_verify_url(op);

    if (end && end <= grantd_now(op))
        return grantd_fail(op, GRANTD_E_REAUTH,
                           "the access token has expired, and this provider renews none");
    return url ? oa_verify_call(op, url, on_alive) : grantd_finish(op);
}

static grantd_next *refresh_now(grantd_op *op)
{
    if (mode_is(op, "reissue"))
        return own_credentials(op);
    if (mode_is(op, "access_token"))
        return trade_access_token(op);
    return spend_refresh_token(op);
}

static grantd_next *too_young(grantd_op *op)
{
    int64_t issued = arg_time(op, GRANTD_ARG_ISSUED_AT), min = oa_num(op, "refresh.min_age_s", 0);

    if (!issued || min <= 0 || issued + min <= grantd_now(op))
        return NULL;
    grantd_retry_after(op, issued + min);
    return grantd_fail(op, GRANTD_E_LIMITED, "this provider refreshes no token younger than %lld seconds",
                       (long long)min);
}

grantd_next *oa_refresh(grantd_op *op)
{
    grantd_next *bad = oa_begin(op);
    int dead_end;

    oa(op)->refreshing = 1;
    if (bad || (bad = too_young(op)))
        return bad;
    dead_end = mode_is(op, "refresh_token") && !grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);
    if (mode_is(op, "none") || dead_end)
        return look_whether_alive(op);
    if (oa_endpoint(op, "token.url", "token_endpoint") || oa_has(op, "refresh.url"))
        return refresh_now(op);
    return oa_discover(op, refresh_now);
}
