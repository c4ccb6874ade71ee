/* revoke.c - the end of a consent: each token is presented in the provider's own way and reported as a
 * surface. What is gone already is closed; what only a person can close becomes a step. */
#include "oauth2.h"

enum { OA_REFRESH = 1, OA_ACCESS };

static grantd_next *close_next(grantd_op *op);

static const char *style(grantd_op *op)
{
    const char *dflt = oa_endpoint(op, "revoke.url", "revocation_endpoint") ? "rfc7009" : "none";

    return oa_text(op, "revoke.style", dflt);
}

static int style_is(grantd_op *op, const char *name)
{
    return !strcmp(style(op), name);
}

static const char *which(const struct oa *st)
{
    return st->closing == OA_REFRESH ? "refresh" : "access";
}

static int closed_before(grantd_op *op, const char *id)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = grant ? grantd_len(op, grant, "surfaces") : 0;

    for (int64_t i = 0; i < n; i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);
        const char *kind = grantd_text(op, grant, grantd_strf(op, "%s.kind", at));
        const char *name = grantd_text(op, grant, grantd_strf(op, "%s.id", at));
        const char *outcome = grantd_text(op, grant, grantd_strf(op, "%s.outcome", at));

        if (kind && name && outcome && !strcmp(kind, "token") && !strcmp(name, id) &&
            (!strcmp(outcome, "closed") || !strcmp(outcome, "gone")))
            return 1;
    }
    return 0;
}

/* ---- the answer
 * ------------------------------------------------------------------------------------------------- */
static int is_gone(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);
    const char *word = oa_error_word(op, answer);

    if (oa_listed_num(op, "revoke.gone_status", status))
        return 1;
    if (status == 401 && (style_is(op, "bearer") || !strcmp(oa_text(op, "revoke.auth", ""), "bearer")))
        return 1;
    if (!word || (status / 100 != 4 && status / 100 != 2))
        return 0;
    return oa_has(op, "revoke.gone_error") ? oa_listed(op, "revoke.gone_error", word)
                                           : !strcmp(word, "invalid_token");
}

static int is_closed(grantd_op *op, const grantd_doc *answer, int status)
{
    if (oa_body_error(op, answer))
        return 0;
    if (oa_has(op, "revoke.ok_status"))
        return oa_listed_num(op, "revoke.ok_status", status);
    return status == 200 || status == 204;
}

static grantd_next *on_closed(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    int status = grantd_status(op, answer);

    if (is_closed(op, answer, status))
        grantd_surface(op, .kind = "token", .id = which(st), .outcome = GRANTD_SURFACE_CLOSED);
    else if (is_gone(op, answer))
        grantd_surface(op, .kind = "token", .id = which(st), .outcome = GRANTD_SURFACE_GONE);
    else {
        grantd_surface(op, .kind = "token", .id = which(st), .outcome = GRANTD_SURFACE_FAILED,
                       .text = grantd_strf(op, "the provider answered %d", status));
        return oa_fail(op, answer, OA_AT_API);
    }
    return close_next(op);
}

/* ---- the request
 * ------------------------------------------------------------------------------------------------ */
static grantd_next *close_token(grantd_op *op, int what)
{
    struct oa *st = oa(op);
    struct oa_call c;
    const char *auth = oa_text(op, "revoke.auth", NULL),
               *token = what == OA_REFRESH ? st->t.refresh : st->t.access;

    st->closing = (uint8_t)what;
    oa_call_init(op, &c, "revoke", NULL);
    c.url = oa_endpoint(op, "revoke.url", "revocation_endpoint");
    c.flags = GRANTD_HTTP_REPEATABLE;
    if (!c.method)
        c.method = style_is(op, "path") ? "DELETE" : "POST";
    if (style_is(op, "bearer"))
        c.bearer = st->t.access;
    if (style_is(op, "rfc7009") || style_is(op, "body"))
        oa_call_add(op, &c, oa_text(op, "revoke.token_param", "token"), token);
    if (style_is(op, "rfc7009"))
        oa_call_add(op, &c, "token_type_hint", what == OA_REFRESH ? "refresh_token" : "access_token");
    if (auth || style_is(op, "rfc7009") || style_is(op, "body"))
        oa_call_auth(op, &c, auth);
    return oa_call_send(op, &c, on_closed);
}

/* The refresh token goes first: with it, most servers end the access tokens that came of it. */
static grantd_next *close_next(grantd_op *op)
{
    struct oa *st = oa(op);
    const char *token = oa_text(op, "revoke.token", "refresh");
    int refresh = strcmp(token, "access") != 0 && st->t.refresh;
    int access = (strcmp(token, "refresh") != 0 || !st->t.refresh) && st->t.access;

    if (refresh && st->closing < OA_REFRESH && !closed_before(op, "refresh"))
        return close_token(op, OA_REFRESH);
    if (access && st->closing < OA_ACCESS && !closed_before(op, "access"))
        return close_token(op, OA_ACCESS);
    return grantd_finish(op);
}

static grantd_next *by_hand(grantd_op *op)
{
    const char *text =
        oa_text(op, "revoke.text", "Open the security settings of your account there and remove this app.");

    grantd_step(op, .title = "Remove the app", .text = text, .url = oa_expand_url(op, "revoke.page"));
    grantd_surface(op, .kind = "token", .id = oa(op)->t.refresh ? "refresh" : "access",
                   .outcome = GRANTD_SURFACE_MANUAL, .text = text);
    return grantd_finish(op);
}

static grantd_next *with_endpoints(grantd_op *op)
{
    return style_is(op, "none") ? by_hand(op) : close_next(op);
}

grantd_next *oa_revoke(grantd_op *op)
{
    grantd_next *bad = oa_begin(op);
    struct oa *st = oa(op);

    if (bad)
        return bad;
    st->t.access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    st->t.refresh = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);
    if (!st->t.access && !st->t.refresh)
        return grantd_finish(op);
    if (style_is(op, "none") && !oa_has(op, "revoke.style"))
        return oa_discover(op, with_endpoints);
    return with_endpoints(op);
}
