/* sign.c - what Shopify signed with the app's secret: the callback's query (hex) and webhooks (base64 of the
 * raw body). During a rotation of the secret the old one counts too. Nothing is believed before. */
#include "shopify.h"

enum { PAIRS_MAX = 64, FRESH_S = 90, HEX_LEN = 64, B64_LEN = 44 };

struct pair {
    const char *name, *value, *raw;
};

/* ---- the message of a callback
 * -------------------------------------------------------------------------------- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* NULL when it is not well encoded or holds a NUL. */
static const char *decoded(grantd_op *op, const char *s, size_t n)
{
    char *out = grantd_alloc(op, n + 1);
    size_t len = 0;

    for (size_t i = 0; out && i < n; i++) {
        int high = s[i] == '%' && i + 2 < n ? hex(s[i + 1]) : -1;
        int low = high >= 0 ? hex(s[i + 2]) : -1;

        if (s[i] == '%' && (high < 0 || low < 0 || high + low == 0))
            return NULL;
        out[len++] = (char)(s[i] == '+' ? ' ' : s[i] == '%' ? high * 16 + low : s[i]);
        if (s[i] == '%')
            i += 2;
    }
    return out;
}

static size_t put_encoded(char *out, const char *s)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-._";
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;

    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (strchr(plain, c)) {
            out[n++] = *s;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[c >> 4];
        out[n++] = digits[c & 15];
    }
    return n;
}

/* Sorted by name, in their order when names are equal; -1: the query is not well encoded. */
static int parse(grantd_op *op, const char *query, struct pair *pairs)
{
    int n = 0, at;

    for (; *query; query += strcspn(query, "&"), query += *query == '&') {
        size_t len = strcspn(query, "&"), eq = strcspn(query, "=&");
        struct pair p = { 0 };

        if (n == PAIRS_MAX || len == 0 || eq >= len)
            return -1;
        p.raw = grantd_strf(op, "%.*s", (int)len, query);
        p.name = decoded(op, query, eq);
        p.value = decoded(op, query + eq + 1, len - eq - 1);
        if (!p.name || !p.value)
            return -1;
        if (!strcmp(p.name, "hmac") || !strcmp(p.name, "signature"))
            continue;
        for (at = n++; at > 0 && strcmp(pairs[at - 1].name, p.name) > 0; at--)
            pairs[at] = pairs[at - 1];
        pairs[at] = p;
    }
    return n;
}

/* name=value&name=value, encoded anew or as it came. */
static const char *joined(grantd_op *op, const struct pair *pairs, int n, int raw)
{
    size_t len = 0, max = 1;
    char *out;

    for (int i = 0; i < n; i++)
        max += 3 * (strlen(pairs[i].name) + strlen(pairs[i].value)) + strlen(pairs[i].raw) + 2;
    out = grantd_alloc(op, max);
    for (int i = 0; out && i < n; i++) {
        if (i)
            out[len++] = '&';
        if (raw) {
            memcpy(out + len, pairs[i].raw, strlen(pairs[i].raw));
            len += strlen(pairs[i].raw);
        } else {
            len += put_encoded(out + len, pairs[i].name);
            out[len++] = '=';
            len += put_encoded(out + len, pairs[i].value);
        }
    }
    return out ? out : "";
}

static int signs(grantd_op *op, const char *option, int how, const char *text, const char *signature)
{
    const char *secret = grantd_option(op, option);

    return secret && *secret && grantd_same(op, grantd_digest(op, how, secret, text), signature);
}

static int signed_with_ours(grantd_op *op, int how, const char *text, const char *signature)
{
    return signs(op, "client_secret", how, text, signature) ||
           signs(op, "old_client_secret", how, text, signature);
}

/* Libraries differed in how they encode what they sign: what came counts as well, both need the secret. */
static int callback_is_genuine(grantd_op *op)
{
    const char *query = grantd_arg(op, GRANTD_ARG_QUERY), *hmac = grantd_query(op, "hmac");
    struct pair *pairs = grantd_alloc(op, PAIRS_MAX * sizeof *pairs);
    int n;

    if (!query || !hmac || !pairs || strlen(hmac) != HEX_LEN || strspn(hmac, "0123456789abcdef") != HEX_LEN)
        return 0;
    n = parse(op, query, pairs);
    return n > 0 && (signed_with_ours(op, GRANTD_HMAC_SHA256_HEX, joined(op, pairs, n, 0), hmac) ||
                     signed_with_ours(op, GRANTD_HMAC_SHA256_HEX, joined(op, pairs, n, 1), hmac));
}

grantd_next *sh_check_callback(grantd_op *op)
{
    const char *error = grantd_query(op, "error"), *shop = grantd_query(op, "shop");
    int64_t at = grantd_number(grantd_query(op, "timestamp")), now = grantd_now(op);

    if (error && !strcmp(error, "access_denied"))
        return grantd_fail(op, GRANTD_E_DECLINED, "the merchant said no at Shopify");
    if (!callback_is_genuine(op))
        return grantd_fail(
            op, GRANTD_E_PROTOCOL,
            "what came back is not signed with this app's secret; when that stays so, client_secret is "
            "not the one in the Dev Dashboard");
    if (!shop || !sh_is_domain(shop) || strcmp(shop, sh(op)->shop))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "another shop answered than the one that was asked");
    if (at < 0 || at < now - FRESH_S || at > now + FRESH_S)
        return grantd_fail(
            op, GRANTD_E_PROTOCOL,
            "what came back was signed more than %d seconds ago, or the clock of this machine is wrong",
            FRESH_S);
    if (error)
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "Shopify sent the browser back with an error that is not known");
    if (!grantd_arg(op, GRANTD_ARG_CODE) || !*grantd_arg(op, GRANTD_ARG_CODE))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Shopify sent the browser back without a code");
    return NULL;
}

/* ---- webhooks
 * ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *topic, *event;
} topics[] = {
    { "app/uninstalled", "uninstalled" },
    { "shop/redact", "shop_redact" },
    { "customers/redact", "customers_redact" },
    { "customers/data_request", "customers_data_request" },
};

/* The newer form leaves the X- away. */
static const char *header(grantd_op *op, const grantd_doc *d, const char *name)
{
    const char *value = grantd_header(op, d, grantd_strf(op, "X-Shopify-%s", name));

    return value ? value : grantd_header(op, d, grantd_strf(op, "shopify-%s", name));
}

static const char *event_of(const char *topic)
{
    for (size_t i = 0; topic && i < sizeof topics / sizeof topics[0]; i++)
        if (!strcmp(topic, topics[i].topic))
            return topics[i].event;
    return "other";
}

/* The body is signed, the headers are not: what ends something must be in the body too. */
static grantd_next *believed(grantd_op *op, const grantd_doc *d)
{
    const char *shop = header(op, d, "Shop-Domain"), *event = event_of(header(op, d, "Topic"));
    const char *body_shop = grantd_text(op, d, "myshopify_domain");

    if (!shop || !sh_is_domain(shop))
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "the webhook names no shop");
    if (!strcmp(event, "uninstalled") && (!body_shop || strcmp(body_shop, shop)))
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "the webhook's body is about another shop than its header");
    grantd_observe(op, "event", event);
    grantd_observe(op, "id", header(op, d, "Webhook-Id"));
    if (!strcmp(event, "uninstalled"))
        grantd_observe(op, "alive", "no");
    return grantd_done(op, .account_id = shop);
}

grantd_next *sh_notice(grantd_op *op)
{
    const grantd_doc *d = grantd_document(op, GRANTD_DOC_NOTICE);
    const char *body = d ? grantd_body(op, d) : NULL, *signature = d ? header(op, d, "Hmac-SHA256") : NULL;

    if (!body || !*body || !signature || strlen(signature) != B64_LEN)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "the webhook has no body or no signature");
    if (!signed_with_ours(op, GRANTD_HMAC_SHA256_B64, body, signature))
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "the webhook is not signed with this app's secret");
    return believed(op, d);
}
