/* portal/portal.c - opens and closes the portal and decides whether it may be served as it is configured. */
#include "portal/portal_int.h"

#include "base/mem.h"
#include "portal/tls.h"

#include <string.h>
#include <strings.h>

/* The host of an origin "scheme://host[:port]", or NULL when it is none. Caller frees. */
static char *origin_host(const char *origin, const char *scheme)
{
    size_t skip = strlen(scheme), n;
    const char *p = origin + skip;

    if (strncmp(origin, scheme, skip) != 0)
        return NULL;
    n = *p == '[' ? strcspn(p, "]") + 1 : strcspn(p, ":");
    if (n == 0 || n > strlen(p) || strcspn(p, "/?#@\\ \t\r\n\"'<>;") != strlen(p))
        return NULL;
    if (p[n] != '\0' &&
        (p[n] != ':' || p[n + 1] == '\0' || strspn(p + n + 1, "0123456789") != strlen(p + n + 1)))
        return NULL;
    return gd_strndup(p, n);
}

static bool is_loopback(const char *host)
{
    struct gd_portal_address a;

    return strcasecmp(host, "localhost") == 0 ||
           (gd_portal_address_parse(&a, host, strlen(host)) && gd_portal_address_loopback(&a));
}

/* Browsers leave the scheme's own port out of an origin, so it is left out here, too. */
static void drop_default_port(char *origin, const char *port)
{
    size_t n = strlen(origin), len = strlen(port);

    if (n > len && strcmp(origin + n - len, port) == 0)
        origin[n - len] = '\0';
}

static int set_origin(struct gd_portal *p, const struct gd_portal_options *o, struct gd_err *err)
{
    size_t n = o->public_url ? strlen(o->public_url) : 0;
    GD_AUTO_FREE char *https = NULL, *http = NULL;

    if (n && o->public_url[n - 1] == '/')
        n--;
    p->origin = gd_strndup(o->public_url ? o->public_url : "", n);
    https = origin_host(p->origin, "https://");
    http = origin_host(p->origin, "http://");
    p->secure = https != NULL;
    drop_default_port(p->origin, https ? ":443" : ":80");
    p->tls = o->tls_cert != NULL;
    if (!https && !http)
        return gd_err_set(err, GD_R_PORTAL_URL_INVALID,
                          "public_url is not an origin like https://grants.example.com");
    if (http && !is_loopback(http))
        return gd_err_set(err, GD_R_PORTAL_TLS_REQUIRED,
                          "public_url is http on an address that is not loopback");
    if (http && p->tls)
        return gd_err_set(err, GD_R_PORTAL_URL_INVALID, "public_url is http although a certificate is given");
    if (https && !p->tls && !p->ntrusted)
        return gd_err_set(err, GD_R_PORTAL_TLS_REQUIRED,
                          "public_url is https, but there is neither a certificate nor a "
                          "trusted proxy that ends TLS");
    return 0;
}

/* Without TLS and without a proxy only this machine may reach the portal. */
static int check_listen(const struct gd_portal *p, const struct sockaddr_storage *ss, struct gd_err *err)
{
    struct gd_portal_address a;

    if (p->secure ||
        (gd_portal_address_from(&a, (const struct sockaddr *)ss) && gd_portal_address_loopback(&a)))
        return 0;
    return gd_err_set(err, GD_R_PORTAL_TLS_REQUIRED,
                      "plain http is served, but listen is not a loopback address");
}

static int set_trusted(struct gd_portal *p, const char *const *list, struct gd_err *err)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    p->trusted = gd_new_array(n + 1, sizeof *p->trusted);
    for (size_t i = 0; i < n; i++)
        if (!gd_portal_prefix_parse(&p->trusted[i], list[i]))
            return gd_err_set(err, GD_R_PORTAL_PROXY_INVALID,
                              "trusted_proxies: \"%.64s\" is no address or prefix", list[i]);
    p->ntrusted = n;
    return 0;
}

static void free_portal(struct gd_portal *p)
{
    gd_portal_pages_free(p->pages);
    gd_free(p->origin);
    gd_free(p->trusted);
    gd_portal_buckets_free(p->by_net);
    gd_portal_buckets_free(p->wrong_by_net);
    gd_portal_buckets_free(p->wrong_by_link);
    gd_portal_buckets_free(p->posts_by_link);
    gd_free(p);
}

static void make_buckets(struct gd_portal *p)
{
    p->by_net = gd_portal_buckets_new(120, 100, p->rng);
    p->wrong_by_net = gd_portal_buckets_new(20, 3000, p->rng);
    p->wrong_by_link = gd_portal_buckets_new(10, 6000, p->rng);
    p->posts_by_link = gd_portal_buckets_new(30, 2000, p->rng);
}

static int listen_on(struct gd_portal *p, uv_loop_t *loop, const struct gd_portal_options *o,
                     struct gd_err *err)
{
    struct gd_portal_server_options so = {
        .limits = o->limits, .exempt = p->trusted, .nexempt = p->ntrusted, .clock = p->clock
    };

    so.arg = p;
    so.on_request = gd_portal_on_request;
    so.on_refused = gd_portal_on_refused;
    if (gd_portal_address_listen(&so.listen, o->listen, err) < 0 || check_listen(p, &so.listen, err) < 0)
        return -1;
    if (p->tls &&
        gd_portal_tls_context_new(&so.tls, o->tls_cert, o->tls_key ? o->tls_key : o->tls_cert, err) < 0)
        return -1;
    if (gd_portal_server_open(&p->server, loop, &so, err) < 0) {
        gd_portal_tls_context_free(so.tls);
        return -1;
    }
    return 0;
}

int gd_portal_open(struct gd_portal **ret, uv_loop_t *loop, const struct gd_portal_options *o,
                   struct gd_broker *b, const struct gd_clock *clock, struct gd_rng *rng, struct gd_log *log,
                   struct gd_err *err)
{
    struct gd_portal *p = gd_new(sizeof *p);

    p->broker = b;
    p->clock = clock;
    p->rng = rng;
    p->log = log;
    memcpy(p->cookie_key, o->cookie_key, sizeof p->cookie_key);
    make_buckets(p);
    if (set_trusted(p, o->trusted_proxies, err) < 0 || set_origin(p, o, err) < 0 ||
        gd_portal_pages_new(&p->pages, err) < 0 || listen_on(p, loop, o, err) < 0) {
        free_portal(p);
        return -1;
    }
    *ret = p;
    return 0;
}

int gd_portal_port(const struct gd_portal *p)
{
    return gd_portal_server_port(p->server);
}

int gd_portal_reload_tls(struct gd_portal *p, const char *cert, const char *key, struct gd_err *err)
{
    struct gd_portal_tls_context *fresh;

    if (!p->tls)
        return gd_err_set(err, GD_R_PORTAL_TLS_INVALID,
                          "the portal was opened without TLS; restart it to change that");
    if (gd_portal_tls_context_new(&fresh, cert, key ? key : cert, err) < 0)
        return -1;
    gd_portal_server_set_tls(p->server, fresh);
    return 0;
}

static void on_server_closed(void *arg)
{
    struct gd_portal *p = arg;
    void (*closed)(void *) = p->closed;
    void *closed_arg = p->closed_arg;

    free_portal(p);
    closed(closed_arg);
}

void gd_portal_close(struct gd_portal *p, void (*done)(void *), void *arg)
{
    p->closed = done;
    p->closed_arg = arg;
    gd_portal_server_close(p->server, on_server_closed, p);
}

json_t *gd_portal_status(struct gd_portal *p)
{
    json_t *s = gd_portal_server_status(p->server);

    json_object_set_new(s, "port", json_integer(gd_portal_server_port(p->server)));
    json_object_set_new(s, "tls", json_boolean(p->tls));
    json_object_set_new(s, "wrong", json_integer((json_int_t)p->wrong));
    json_object_set_new(s, "limited", json_integer((json_int_t)p->limited));
    return s;
}
