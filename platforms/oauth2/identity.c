/* identity.c - who consented, and until when: ID tokens, introspection and the provider's own "who am I",
 * asked after the tokens are safe. */
#include "oauth2.h"

/* ---- ID tokens
 * ---------------------------------------------------------------------------------------------- */
static void take_subject(grantd_op *op, const grantd_doc *claims)
{
    struct oa *st = oa(op);
    const char *sub = grantd_text(op, claims, "sub"), *kept = grantd_kept(op, "sub");
    const char *name = grantd_text(op, claims, "email");

    st->idtoken_checked = 1;
    st->sub = sub;
    if (!st->refreshing) {
        grantd_keep(op, "sub", sub);
        if (!st->t.account)
            st->t.account = sub;
        if (!st->t.account_name)
            st->t.account_name = name ? name : grantd_text(op, claims, "name");
        return;
    }
    /* The host compares: another person's tokens quarantine the credential, they do not replace it. */
    if (sub && kept && strcmp(sub, kept))
        st->t.account = sub;
}

grantd_next *oa_check_idtoken(grantd_op *op)
{
    struct oa *st = oa(op);
    const char *algs = oa_text(op, "idtoken.algs", NULL), *why = NULL;
    const grantd_doc *claims = grantd_idtoken(
        op, &why, .token = st->t.id_token, .issuer = st->issuer, .audience = grantd_option(op, "client_id"),
        .nonce = st->refreshing ? NULL : grantd_arg(op, GRANTD_ARG_NONCE), .access_token = st->t.access,
        .algs = algs, .hmac_secret = oa_word_in(algs, "HS256") ? grantd_option(op, "client_secret") : NULL,
        .jwks = st->jwks);

    if (!claims)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the ID token is refused: %s",
                           why ? why : "no reason known");
    take_subject(op, claims);
    st->unsaved = 1;
    return oa_advance(op);
}

/* Refreshed tokens came over TLS from the token endpoint itself (OpenID Connect Core 3.1.3.7, 6) and are
 * saved: keys that cannot be had now are no reason to refresh again. */
static grantd_next *on_keys(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);

    if (grantd_status(op, answer) != 200 && st->refreshing) {
        grantd_log(op, GRANTD_WARN, "the ID token was not checked: its keys answered %d",
                   grantd_status(op, answer));
        st->idtoken_checked = 1;
        return oa_advance(op);
    }
    if (grantd_status(op, answer) != 200)
        return oa_fail(op, answer, OA_AT_API);
    st->jwks = answer;
    return oa_check_idtoken(op);
}

grantd_next *oa_idtoken_step(grantd_op *op)
{
    const char *algs = oa_text(op, "idtoken.algs", "");

    return !strcmp(algs, "HS256") ? oa_check_idtoken(op) : oa_fetch_keys(op, on_keys);
}

/* ---- introspection
 * ------------------------------------------------------------------------------------------ */
const char *oa_introspect_url(grantd_op *op)
{
    return oa_endpoint(op, "introspect.url", "introspection_endpoint");
}

grantd_next *oa_introspect(grantd_op *op, grantd_doc_fn *next)
{
    struct oa_call c;
    const struct oa_tokens *t = &oa(op)->t;

    oa_call_init(op, &c, "introspect", NULL);
    c.url = oa_introspect_url(op);
    c.flags = GRANTD_HTTP_REPEATABLE;
    oa_call_add(op, &c, "token", t->access);
    oa_call_add(op, &c, "token_type_hint", "access_token");
    oa_call_auth(op, &c, oa_text(op, "introspect.auth", NULL));
    return oa_call_send(op, &c, next);
}

static grantd_next *on_introspected(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    int64_t exp = grantd_num(op, answer, oa_text(op, "introspect.exp", "exp"), 0);

    st->introspected = 1;
    if (grantd_status(op, answer) != 200)
        grantd_log(op, GRANTD_WARN, "introspection answered %d: the token's end stays unknown",
                   grantd_status(op, answer));
    else if (exp > grantd_now(op)) {
        st->t.expires_at = exp;
        st->unsaved = 1;
    }
    return oa_advance(op);
}

grantd_next *oa_introspect_tokens(grantd_op *op)
{
    return oa_introspect(op, on_introspected);
}

/* ---- who am I
 * ------------------------------------------------------------------------------------------------- */
const char *oa_verify_url(grantd_op *op)
{
    return oa_endpoint(op, "verify.url", "userinfo_endpoint");
}

static void add_headers(grantd_op *op, struct oa_list *l, const char *map)
{
    const grantd_doc *d = oa(op)->d;
    const char *name;

    for (int64_t i = 0; (name = grantd_key(op, d, map, i)); i++) {
        const char *tpl = grantd_text(op, d, oa_member(op, map, name));
        const char *value = tpl ? oa_expand(op, tpl, OA_PLAIN) : NULL;

        if (value && !oa_get(l, name))
            oa_add(op, l, name, value);
    }
}

static void add_auth_header(grantd_op *op, struct oa_call *c)
{
    const char *line = oa_text(op, "api.auth_header", NULL), *value, *colon = line ? strchr(line, ':') : NULL;

    if (!colon) {
        c->bearer = oa(op)->t.access ? oa(op)->t.access : grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
        return;
    }
    value = oa_expand(op, colon + 1 + strspn(colon + 1, " "), OA_PLAIN);
    oa_add(op, &c->headers, grantd_strf(op, "%.*s", (int)(colon - line), line), value);
}

grantd_next *oa_verify_call(grantd_op *op, const char *url, grantd_doc_fn *next)
{
    struct oa_call c;

    oa_call_init(op, &c, "verify", NULL);
    c.url = url;
    c.flags = GRANTD_HTTP_REPEATABLE;
    if (strcmp(oa_text(op, "verify.auth", "api"), "none"))
        add_auth_header(op, &c);
    add_headers(op, &c.headers, "api.headers");
    return oa_call_send(op, &c, next);
}

static const char *first_at(grantd_op *op, const grantd_doc *answer, const char *field, const char *dflt)
{
    const char *path = oa_nth(op, field, 0), *value;

    if (!path)
        path = dflt;
    for (int64_t i = 1; path; i++) {
        value = oa_value(op, answer, path);
        if (value)
            return value;
        path = oa_nth(op, field, i);
    }
    return NULL;
}

void oa_read_identity(grantd_op *op, const grantd_doc *answer)
{
    struct oa_tokens *t = &oa(op)->t;
    const char *sub = oa_has(op, "verify.url") ? NULL : "sub"; /* OpenID Connect's userinfo */

    if (!t->account)
        t->account = first_at(op, answer, "verify.account_id", sub);
    if (!t->account_name)
        t->account_name = first_at(op, answer, "verify.account_name", NULL);
}

int oa_says_dead(grantd_op *op, const grantd_doc *answer)
{
    const char *path = oa_text(op, "verify.dead", NULL);

    return path && grantd_type(op, answer, path) == GRANTD_IS_TEXT;
}

/* A success that lacks what every success has shows nothing. */
int oa_shows_nothing(grantd_op *op, const grantd_doc *answer)
{
    const char *path = oa_text(op, "verify.present", NULL);

    if (path)
        return grantd_type(op, answer, path) <= GRANTD_IS_NULL;
    return oa_has(op, "verify.account_id") && !first_at(op, answer, "verify.account_id", NULL);
}

/* The tokens are there and saved; that the provider does not say whose they are now does not take them away.
 */
static grantd_next *on_identity(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);

    st->identified = 1;
    if (grantd_status(op, answer) / 100 != 2 || oa_says_dead(op, answer)) {
        grantd_log(op, GRANTD_WARN, "who consented is not known: the provider answered %d",
                   grantd_status(op, answer));
        return oa_advance(op);
    }
    oa_read_identity(op, answer);
    if (!oa_save_answer(op, answer, "verify.save"))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "a value of the answer does not match the pattern under saved");
    st->unsaved = 1;
    return oa_advance(op);
}

grantd_next *oa_identify(grantd_op *op)
{
    return oa_verify_call(op, oa_expand_url(op, "verify.url"), on_identity);
}
