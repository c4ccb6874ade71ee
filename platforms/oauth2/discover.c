/* discover.c - the metadata of an issuer (OpenID Connect Discovery, RFC 8414): where it is, that it is this
 * issuer's, and the keys of its ID tokens. The document lives for a run; what later operations need is kept
 * with the credential, so a refresh asks nobody but the token endpoint. */
#include "oauth2.h"

static const char *discovery(grantd_op *op)
{
    const char *kind = oa_text(op, "kind", "oauth2");

    return oa_text(op, "discovery", strcmp(kind, "oidc") ? "none" : "oidc");
}

int oa_discovers(grantd_op *op)
{
    return strcmp(discovery(op), "none") != 0;
}

/* Appended for OpenID Connect, put between host and path for RFC 8414; a final slash goes in both. */
static const char *metadata_url(grantd_op *op)
{
    const char *issuer = oa(op)->issuer, *own = oa_expand_url(op, "discovery_url"), *path;
    size_t n = strlen(issuer), host;

    if (own)
        return own;
    n -= n && issuer[n - 1] == '/';
    if (!strcmp(discovery(op), "oidc"))
        return grantd_strf(op, "%.*s/.well-known/openid-configuration", (int)n, issuer);
    host = strcspn(issuer, ":") + 3;
    host += strcspn(issuer + host, "/");
    path = issuer + host;
    return grantd_strf(op, "%.*s/.well-known/oauth-authorization-server%.*s", (int)host, issuer,
                       (int)(n > host ? n - host : 0), path);
}

static grantd_next *on_metadata(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    const char *issuer = grantd_text(op, answer, "issuer");
    int status = grantd_status(op, answer);

    if (status == 429 || status >= 500)
        return oa_fail(op, answer, OA_AT_API);
    if (status != 200)
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "%s answered %d: the issuer is wrong, or it publishes no metadata",
                           metadata_url(op), status);
    if (!issuer)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the metadata at %s names no issuer", metadata_url(op));
    if (strcmp(issuer, st->issuer))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the metadata at %s is another issuer's than %s; both must be equal byte for byte",
                           metadata_url(op), st->issuer);
    st->meta = answer;
    return st->then(op);
}

grantd_next *oa_discover(grantd_op *op, grantd_fn *then)
{
    struct oa *st = oa(op);

    if (!oa_discovers(op) || st->meta)
        return then(op);
    if (!strstr(st->issuer, "://") || strpbrk(st->issuer, "?#"))
        return grantd_fail(op, GRANTD_E_CONFIG, "the issuer must be a URL without query and fragment");
    st->then = then;
    return grantd_http(op, on_metadata, .url = metadata_url(op), .flags = GRANTD_HTTP_REPEATABLE);
}

const char *oa_meta(grantd_op *op, const char *name)
{
    const struct oa *st = oa(op);

    return st->meta ? grantd_text(op, st->meta, name) : NULL;
}

const char *oa_endpoint(grantd_op *op, const char *field, const char *meta_name)
{
    const char *url;

    if (oa_has(op, field))
        return oa_expand_url(op, field);
    url = oa_meta(op, meta_name);
    return url ? url : grantd_kept(op, grantd_strf(op, "d.%s", meta_name));
}

grantd_next *oa_fetch_keys(grantd_op *op, grantd_doc_fn *next)
{
    const char *url = oa_endpoint(op, "idtoken.jwks_url", "jwks_uri");

    if (!url)
        return oa_no_url(op, "the keys of its ID tokens");
    return grantd_http(op, next, .url = url, .flags = GRANTD_HTTP_REPEATABLE);
}
