/* plugin/op_http.c - from what a platform asks for to a request that may leave. Everything the platform gave
 * is copied into the run; what came from outside (a token, a link to the next page) is looked at again before
 * it becomes a header or a host. */
#include "plugin/op_int.h"
#include "plugin/url.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>
#include <strings.h>

#define HEADERS_MAX 48

struct draft {
    struct gd_op *op;
    struct gd_http_header *headers;
    size_t nheaders;
};

/* ---- URLs
 * -------------------------------------------------------------------------------------------------- */

/* Adds name=value pairs; a NULL value leaves its pair out. */
static void add_pairs(struct gd_buf *b, const char *const *kv, char *(*encode)(const char *), char first)
{
    for (; kv && kv[0]; kv += 2) {
        GD_AUTO_FREE char *k = kv[1] ? encode(kv[0]) : NULL, *v = kv[1] ? encode(kv[1]) : NULL;

        if (!k)
            continue;
        if (first)
            gd_buf_addc(b, first);
        gd_buf_adds(b, k);
        gd_buf_addc(b, '=');
        gd_buf_adds(b, v);
        first = '&';
    }
}

const char *gd_op_url(struct gd_op *op, const char *base, const char *const *params)
{
    const char *query = base ? strchr(base, '?') : NULL, *url;
    struct gd_buf b;

    gd_buf_init(&b, GD_OP_TEXT_MAX);
    gd_buf_adds(&b, base ? base : "");
    add_pairs(&b, params, gd_percent_encode, query ? (char)(query[1] ? '&' : '\0') : '?');
    if (b.failed)
        gd_op_stick(op, GRANTD_E_PLUGIN, "a URL is longer than %d bytes", GD_OP_TEXT_MAX);
    url = gd_op_copy(op, b.ptr && !b.failed ? b.ptr : "");
    gd_buf_done(&b);
    return url;
}

const char *gd_op_browser_url(struct gd_op *op, const char *url, const char *what)
{
    struct gd_plugin_url u;
    struct gd_err err;

    if (!gd_plugin_url_parse(url, &u)) {
        gd_op_stick(op, GRANTD_E_PROTOCOL, "%s is not an https URL", what);
        return NULL;
    }
    if (strlen(url) > GD_OP_BROWSER_URL_MAX) {
        gd_op_stick(op, GRANTD_E_PROTOCOL, "%s is longer than %d bytes", what, GD_OP_BROWSER_URL_MAX);
        return NULL;
    }
    if (!op->env.origins)
        return url;
    url = gd_op_take(op, gd_http_map_origin(op->env.origins, url, &err));
    if (!url)
        gd_op_stick(op, GRANTD_E_CONFIG, "%s cannot be mapped: %s", what, err.text);
    return url;
}

/* ---- which hosts
 * ------------------------------------------------------------------------------------------- */

static bool option_names(struct gd_op *op, const char *origin)
{
    const struct grantd_option *o = op->platform->p.options;

    for (; o && o->key; o++) {
        const char *value = o->type == GRANTD_URL ? gd_json_text(op->options, o->key, o->dflt) : NULL;
        struct gd_plugin_url u;

        if (value && gd_plugin_url_parse(value, &u) && !strcmp(u.origin, origin))
            return true;
    }
    return false;
}

/* "${scope.name}/rest" in a description stands for a base URL that was kept, handed in or configured. */
static bool base_names(struct gd_op *op, const char *text, const char *origin)
{
    const json_t *const where[] = { op->kept, op->inputs, op->options };
    size_t n = strcspn(text, "}");
    const char *dot = memchr(text, '.', n);
    GD_AUTO_FREE char *name =
        gd_strndup(dot ? dot + 1 : text + 2, n - (size_t)((dot ? dot + 1 : text + 2) - text));

    for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
        const char *value = gd_json_text(where[i], name, NULL);
        struct gd_plugin_url u;

        if (value && gd_plugin_url_parse(value, &u) && !strcmp(u.origin, origin))
            return true;
    }
    return false;
}

static bool description_bases_name(struct gd_op *op, const json_t *j, const char *origin)
{
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_string(j))
        return !strncmp(json_string_value(j), "${", 2) && base_names(op, json_string_value(j), origin);
    json_array_foreach(j, i, v) if (description_bases_name(op, v, origin)) return true;
    json_object_foreach((json_t *)(uintptr_t)j, key,
                        v) if (description_bases_name(op, v, origin)) return true;
    return false;
}

/* The description, what was kept of earlier answers, and the answers of this run. */
static bool described(struct gd_op *op, const char *origin)
{
    if (!(op->platform->p.caps & GRANTD_CAP_DESCRIBED_HOSTS))
        return false;
    if (gd_plugin_json_names_origin(op->description, origin) ||
        gd_plugin_json_names_origin(op->kept, origin) || gd_plugin_json_names_origin(op->notes, origin) ||
        description_bases_name(op, op->description, origin))
        return true;
    for (const struct grantd_doc *d = op->run.docs; d; d = d->next)
        if (d->status && gd_plugin_json_names_origin(d->json, origin))
            return true;
    return false;
}

static bool host_allowed(struct gd_op *op, const struct gd_plugin_url *u)
{
    for (const char *const *h = op->platform->p.hosts; h && *h; h++)
        if (u->https && gd_plugin_host_matches(*h, u->host))
            return true;
    return option_names(op, u->origin) || described(op, u->origin);
}

static void check_url(struct gd_op *op, const char *url)
{
    struct gd_plugin_url u;

    if (!gd_plugin_url_parse(url, &u)) {
        gd_op_stick(op, GRANTD_E_PROTOCOL, "what a request should go to is not an https URL");
    } else if (!host_allowed(op, &u)) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "%.120s is no host that the platform has declared", u.host);
        op->err.reason = GD_R_OP_HOST_DENIED;
    }
}

/* ---- headers
 * ----------------------------------------------------------------------------------------------- */

static bool header_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           (c && strchr("!#$%&'*+.^_`|~", c));
}

static bool header_name_fine(const char *s)
{
    static const char *const ours[] = { "host",       "content-length", "transfer-encoding",
                                        "connection", "expect",         "upgrade",
                                        "te",         "trailer",        "keep-alive" };

    if (!*s)
        return false;
    for (const char *p = s; *p; p++)
        if (!header_char(*p))
            return false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcasecmp(s, ours[i]))
            return false;
    return true;
}

static bool header_value_fine(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return true;
}

static void add_header(struct draft *d, const char *name, const char *value)
{
    if (!value)
        return;
    if (!header_name_fine(name)) {
        gd_op_stick(d->op, GRANTD_E_PLUGIN, "a platform cannot set the header %.60s", name);
        return;
    }
    if (!header_value_fine(value)) {
        gd_op_stick(d->op, GRANTD_E_PROTOCOL, "what should become the header %.60s holds control characters",
                    name);
        return;
    }
    if (d->nheaders == HEADERS_MAX) {
        gd_op_stick(d->op, GRANTD_E_PLUGIN, "a request has more than %d headers", HEADERS_MAX);
        return;
    }
    d->headers[d->nheaders].name = gd_op_copy(d->op, name);
    d->headers[d->nheaders++].value = gd_op_copy(d->op, value);
}

static bool has_header(const struct draft *d, const char *name)
{
    for (size_t i = 0; i < d->nheaders; i++)
        if (!strcasecmp(d->headers[i].name, name))
            return true;
    return false;
}

static void add_basic(struct draft *d, const struct grantd_http *h)
{
    bool form = (h->flags & GRANTD_HTTP_BASIC_FORM) != 0;
    const char *pass = h->basic_pass ? h->basic_pass : "";
    GD_AUTO_FREE char *u = form ? gd_form_encode(h->basic_user) : gd_strdup(h->basic_user);
    GD_AUTO_FREE char *p = form ? gd_form_encode(pass) : gd_strdup(pass);
    GD_AUTO_FREE char *both = gd_strf("%s:%s", u, p);
    GD_AUTO_FREE char *coded = gd_new(strlen(both) * 4 / 3 + 8);
    GD_AUTO_FREE char *value = NULL;

    (void)gd_b64(coded, both, strlen(both));
    value = gd_strf("Basic %s", coded);
    add_header(d, "authorization", value);
}

/* The hub's token, and not that of an operation about the hub itself. */
static bool is_hubs(const struct gd_op *op, const char *token)
{
    const char *hub = op->args[GRANTD_ARG_HUB_ACCESS_TOKEN], *own = op->args[GRANTD_ARG_ACCESS_TOKEN];

    return gd_same_text(token, hub) && !gd_same_text(token, own);
}

static void add_credentials(struct draft *d, const struct grantd_http *h)
{
    if (h->bearer && h->basic_user)
        gd_op_stick(d->op, GRANTD_E_PLUGIN, "a request has both bearer and basic");
    if (h->bearer) {
        GD_AUTO_FREE char *value = gd_strf("Bearer %s", h->bearer);

        add_header(d, "authorization", value);
        d->op->ask.bearer = true;
        d->op->ask.hub = is_hubs(d->op, h->bearer);
    } else if (h->basic_user) {
        add_basic(d, h);
    }
}

/* ---- bodies
 * ------------------------------------------------------------------------------------------------ */

static char *json_body(struct gd_op *op, const char *const *kv)
{
    GD_AUTO_JSON o = json_object();

    for (; kv[0]; kv += 2) {
        size_t n = strlen(kv[0]);
        GD_AUTO_FREE char *key = gd_strdup(kv[0]);
        bool raw = n > 2 && !strcmp(key + n - 2, ":=");
        json_t *v;

        if (!kv[1])
            continue;
        if (raw)
            key[n - 2] = '\0';
        v = raw ? gd_json_parse(kv[1], strlen(kv[1]), GD_HTTP_BODY_MAX, NULL) : json_string(kv[1]);
        if (!v)
            gd_op_stick(op, GRANTD_E_PLUGIN, "the value of %.60s is not JSON, or not UTF-8", kv[0]);
        else
            (void)json_object_set_new(o, key, v);
    }
    return json_dumps(o, JSON_COMPACT);
}

static char *form_body(struct gd_op *op, const char *const *kv)
{
    struct gd_buf b;

    gd_buf_init(&b, GD_HTTP_BODY_MAX);
    add_pairs(&b, kv, gd_form_encode, '\0');
    if (b.failed)
        gd_op_stick(op, GRANTD_E_PLUGIN, "a form has more than %d bytes", GD_HTTP_BODY_MAX);
    return gd_buf_steal(&b);
}

static void add_body(struct draft *d, const struct grantd_http *h)
{
    struct gd_http_request *r = &d->op->ask.http;
    const char *type = h->content_type;

    if ((h->form != NULL) + (h->json != NULL) + (h->body != NULL) > 1)
        gd_op_stick(d->op, GRANTD_E_PLUGIN, "a request has more than one of form, json and body");
    if (h->form) {
        r->body = gd_op_take(d->op, form_body(d->op, h->form));
        type = type ? type : "application/x-www-form-urlencoded";
    } else if (h->json) {
        r->body = gd_op_take(d->op, json_body(d->op, h->json));
        type = type ? type : "application/json";
    } else {
        r->body = gd_op_copy(d->op, h->body);
    }
    if (!r->body)
        return;
    r->body_len = strlen(r->body);
    if (!has_header(d, "content-type"))
        add_header(d, "content-type", type);
}

/* ---- requests
 * ---------------------------------------------------------------------------------------------- */

static bool method_fine(const char *m)
{
    size_t n = strlen(m);

    return n > 0 && n < 16 && strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == n && strcmp(m, "CONNECT") != 0;
}

void gd_op_make_request(struct gd_op *op, const struct grantd_http *given)
{
    struct gd_http_request *r = &op->ask.http;
    struct draft d = { .op = op };
    struct grantd_http h = { 0 };

    memcpy(&h, given, given->size < sizeof h ? given->size : sizeof h);
    d.headers = gd_op_alloc(op, HEADERS_MAX * sizeof *d.headers);
    if (!d.headers)
        return;
    for (const char *const *kv = h.headers; kv && kv[0]; kv += 2)
        add_header(&d, kv[0], kv[1]);
    add_credentials(&d, &h);
    add_body(&d, &h);
    if (!has_header(&d, "accept"))
        add_header(&d, "accept", "application/json");
    r->method = gd_op_copy(op, h.method ? h.method : r->body ? "POST" : "GET");
    r->url = gd_op_url(op, h.url, h.query);
    r->headers = d.headers;
    r->nheaders = d.nheaders;
    r->repeatable = (h.flags & GRANTD_HTTP_REPEATABLE) != 0;
    op->ask.timeout_ms = h.timeout_ms;
    if (!op->fail_class && !method_fine(r->method))
        gd_op_stick(op, GRANTD_E_PLUGIN, "%.20s is not a method", r->method);
    if (!op->fail_class)
        check_url(op, r->url);
}
