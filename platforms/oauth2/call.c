/* call.c - one request to the provider: address, parameters under the provider's names, client
 * authentication. The engine's parameters come first; the description's own are added last and never replace
 * them. */
#include "oauth2.h"

/* ---- lists of the description
 * ------------------------------------------------------------------------------- */
static void add_map(grantd_op *op, struct oa_list *l, const char *path)
{
    const grantd_doc *d = oa(op)->d;
    const char *name;

    for (int64_t i = 0; (name = grantd_key(op, d, path, i)); i++) {
        const char *tpl = grantd_text(op, d, oa_member(op, path, name));
        const char *value = tpl ? oa_expand(op, tpl, OA_PLAIN) : NULL;

        if (value && *value && !oa_get(l, name))
            oa_add(op, l, name, value);
    }
}

void oa_call_init(grantd_op *op, struct oa_call *c, const char *block, const char *base)
{
    const char *body;

    *c = (struct oa_call){ .block = block, .base = base };
    c->method = oa_text2(op, block, base, "method", NULL);
    body = oa_text2(op, block, base, "body", "form");
    c->json = !strcmp(body, "json");
    c->in_query = !strcmp(body, "query");
}

void oa_call_add(grantd_op *op, struct oa_call *c, const char *name, const char *value)
{
    const char *own;

    if (oa_listed(op, oa_path2(op, c->block, c->base, "omit"), name))
        return;
    own = oa_text(op, oa_member(op, oa_path2(op, c->block, c->base, "rename"), name), name);
    oa_add(op, &c->params, own, value);
}

/* ---- client authentication
 * ---------------------------------------------------------------------------------- */
static const char *announced(grantd_op *op)
{
    static const char *const known[] = { "client_secret_basic",
                                         "basic",
                                         "client_secret_post",
                                         "post",
                                         "private_key_jwt",
                                         "private_key_jwt",
                                         "none",
                                         "none",
                                         NULL };
    const char *methods = "token_endpoint_auth_methods_supported";
    const grantd_doc *meta = oa(op)->meta;
    int64_t n = grantd_len(op, meta, methods);

    if (grantd_option(op, "private_key") && !grantd_option(op, "client_secret"))
        return "private_key_jwt";
    if (!n)
        return "basic"; /* RFC 8414 section 2 */
    for (size_t k = 0; known[k]; k += 2)
        for (int64_t i = 0; i < n; i++) {
            const char *one = grantd_text(op, meta, grantd_strf(op, "%s.%lld", methods, (long long)i));

            if (one && !strcmp(one, known[k]))
                return known[k + 1];
        }
    return "post";
}

static const char *token_style(grantd_op *op)
{
    const char *style = grantd_option(op, "client_auth");

    if (!style || !strcmp(style, "auto"))
        style = oa_text(op, "client.auth", NULL);
    if (!style && oa(op)->meta)
        style = announced(op);
    if (!style)
        style = grantd_kept(op, "d.auth");
    if (!style)
        style = "post";
    if (!grantd_option(op, "client_secret") && strcmp(style, "private_key_jwt"))
        return "none";
    return style;
}

static const char *assertion(grantd_op *op, const char *client_id)
{
    const char *aud = oa_endpoint(op, "token.url", "token_endpoint"), *alg = grantd_option(op, "key_alg");
    int64_t now = grantd_now(op);

    if (!strcmp(oa_text(op, "client.assertion_aud", "token_url"), "issuer") && oa(op)->issuer)
        aud = oa(op)->issuer;
    return grantd_jwt_sign(
        op, alg ? alg : "RS256", "private_key",
        grantd_strf(op, "{\"iss\":%s,\"sub\":%s,\"aud\":%s,\"jti\":%s,\"iat\":%lld,\"exp\":%lld}",
                    grantd_encode(op, GRANTD_JSON, client_id), grantd_encode(op, GRANTD_JSON, client_id),
                    grantd_encode(op, GRANTD_JSON, aud ? aud : ""),
                    grantd_encode(op, GRANTD_JSON, grantd_random(op, 16)), (long long)now,
                    (long long)now + 60));
}

static void in_body(grantd_op *op, struct oa_call *c, const char *id, const char *secret)
{
    const char *id_name = oa_text(op, "client.id_param", "client_id");
    const char *secret_name = oa_text(op, "client.secret_param", "client_secret");

    if (!oa_get(&c->params, id_name))
        oa_call_add(op, c, id_name, id);
    oa_call_add(op, c, secret_name, secret);
}

static void basic(grantd_op *op, struct oa_call *c, const char *user, const char *pass)
{
    c->basic_user = user;
    c->basic_pass = pass;
    if (!strcmp(oa_text(op, "client.basic_encoding", "form"), "form"))
        c->flags |= GRANTD_HTTP_BASIC_FORM;
}

void oa_call_auth(grantd_op *op, struct oa_call *c, const char *style)
{
    const char *id = grantd_option(op, "client_id"), *secret = grantd_option(op, "client_secret");

    if (!style)
        style = token_style(op);
    if (!strcmp(style, "basic") || !strcmp(style, "both"))
        basic(op, c, id, secret);
    if (!strcmp(style, "post") || !strcmp(style, "both"))
        in_body(op, c, id, secret);
    else if (!strcmp(style, "none"))
        in_body(op, c, id, NULL);
    else if (!strcmp(style, "basic_secret_as_user"))
        basic(op, c, secret, "");
    else if (!strcmp(style, "bearer"))
        c->bearer = oa(op)->t.access;
    if (strcmp(style, "private_key_jwt"))
        return;
    in_body(op, c, id, NULL);
    oa_call_add(op, c, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    oa_call_add(op, c, "client_assertion", assertion(op, id));
}

void oa_keep_endpoints(grantd_op *op)
{
    static const char *const names[] = { "token_endpoint",
                                         "revocation_endpoint",
                                         "introspection_endpoint",
                                         "userinfo_endpoint",
                                         "jwks_uri",
                                         NULL };

    if (!oa(op)->meta)
        return;
    for (size_t i = 0; names[i]; i++)
        grantd_keep(op, grantd_strf(op, "d.%s", names[i]), oa_meta(op, names[i]));
    grantd_keep(op, "d.auth", announced(op));
}

/* ---- sending
 * ------------------------------------------------------------------------------------------------ */
grantd_next *oa_no_url(grantd_op *op, const char *what)
{
    const char *why = oa(op)->why;

    return grantd_fail(op, GRANTD_E_CONFIG, "the description of this provider gives no address for %s: %s",
                       what, why ? why : "the field is absent, or a value that it needs is not known");
}

grantd_next *oa_call_send(grantd_op *op, struct oa_call *c, grantd_doc_fn *next)
{
    struct grantd_http h = { .size = sizeof h,
                             .flags = c->flags,
                             .method = c->method,
                             .url = c->url,
                             .bearer = c->bearer,
                             .basic_user = c->basic_user,
                             .basic_pass = c->basic_pass };

    if (!c->url)
        return oa_no_url(op, c->block);
    add_map(op, &c->params, grantd_strf(op, "%s.params", c->block));
    if (c->in_query) {
        for (size_t i = 0; i < c->params.n; i += 2)
            oa_add(op, &c->query, c->params.kv[i], c->params.kv[i + 1]);
        c->params.n = 0;
    }
    add_map(op, &c->query, oa_path2(op, c->block, c->base, "query"));
    add_map(op, &c->headers, oa_path2(op, c->block, c->base, "headers"));
    h.headers = c->headers.kv;
    h.query = c->query.n ? c->query.kv : NULL;
    if (c->params.n && c->json)
        h.json = c->params.kv;
    else if (c->params.n)
        h.form = c->params.kv;
    if (!h.method)
        h.method = h.form || h.json ? "POST" : "GET";
    return grantd_must_(op->host->http(op, &h, next));
}
