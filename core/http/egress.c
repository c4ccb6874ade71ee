/* http/egress.c - where a request may go. What can be known from the URL is refused at once; the address that
 * a name leads to is judged at the moment of dialling (gd_http_address_allowed), so that no answer of a
 * resolver, and no second answer, can lead inside. */
#include "base/mem.h"
#include "http/http_int.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct range4 {
    uint32_t net;
    unsigned bits;
};
/* IANA's special-purpose registry, and multicast and reserved space. */
static const struct range4 inside4[] = {
    { 0x00000000, 8 },  /* this network */
    { 0x0a000000, 8 },  /* private */
    { 0x64400000, 10 }, /* carrier-grade NAT */
    { 0x7f000000, 8 },  /* loopback */
    { 0xa9fe0000, 16 }, /* link-local, cloud metadata */
    { 0xac100000, 12 }, /* private */
    { 0xc0000000, 24 }, /* protocol assignments */
    { 0xc0000200, 24 }, /* documentation */
    { 0xc0586300, 24 }, /* 6to4 relays */
    { 0xc0a80000, 16 }, /* private */
    { 0xc6120000, 15 }, /* benchmarking */
    { 0xc6336400, 24 }, /* documentation */
    { 0xcb007100, 24 }, /* documentation */
    { 0xe0000000, 3 },  /* multicast, reserved, broadcast */
};

static bool public4(uint32_t a)
{
    for (size_t i = 0; i < sizeof inside4 / sizeof *inside4; i++)
        if (((a ^ inside4[i].net) >> (32 - inside4[i].bits)) == 0)
            return false;
    return true;
}

struct range6 {
    unsigned char net[16];
    unsigned bits;
};
/* Inside 2000::/3, which alone is global unicast. Mapped, 6to4 and Teredo addresses have no honest use here.
 */
static const struct range6 inside6[] = {
    { { 0x20, 0x01, 0x00 }, 23 },       /* protocol assignments, Teredo, ORCHID */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, /* documentation */
    { { 0x20, 0x02 }, 16 },             /* 6to4 */
    { { 0x3f, 0xfe }, 16 },             /* 6bone, gone */
    { { 0x3f, 0xff, 0x00 }, 20 },       /* documentation */
};
/* How a machine with IPv6 alone reaches IPv4: judged by the address inside. 64:ff9b:1::/48 is local use. */
static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

static bool in_range6(const unsigned char *a, const struct range6 *r)
{
    unsigned whole = r->bits / 8, left = r->bits % 8;

    for (unsigned i = 0; i < whole; i++)
        if (a[i] != r->net[i])
            return false;
    return left == 0 || ((a[whole] ^ r->net[whole]) >> (8 - left)) == 0;
}

static bool public6(const unsigned char *a)
{
    uint32_t inner;

    if (a[0] >> 5 == 1) {
        for (size_t i = 0; i < sizeof inside6 / sizeof *inside6; i++)
            if (in_range6(a, &inside6[i]))
                return false;
        return true;
    }
    if (memcmp(a, nat64, sizeof nat64) != 0)
        return false;
    memcpy(&inner, a + sizeof nat64, sizeof inner);
    return public4(ntohl(inner));
}

bool gd_http_address_public(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return public4(ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr));
    if (sa->sa_family == AF_INET6)
        return public6(((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr.s6_addr);
    return false;
}

bool gd_http_address_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24 == 127;
    if (sa->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
    return false;
}

bool gd_http_address_allowed(enum gd_http_reach reach, const struct sockaddr *sa)
{
    switch (reach) {
    case GD_HTTP_REACH_ANY:
        return sa->sa_family == AF_INET || sa->sa_family == AF_INET6;
    case GD_HTTP_REACH_LOOPBACK:
        return gd_http_address_loopback(sa);
    case GD_HTTP_REACH_PUBLIC:
        break;
    }
    return gd_http_address_public(sa);
}

bool gd_http_address_parse(struct sockaddr_storage *ret, const char *text)
{
    struct sockaddr_in in4 = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        memcpy(ret, &in6, sizeof in6);
    else if (inet_aton(text, &in4.sin_addr))
        memcpy(ret, &in4, sizeof in4);
    else
        return false;
    return true;
}

/* ---- what a URL alone tells -------------------------------------------------------------------------- */
static bool listed(const json_t *list, const struct gd_http_url *u)
{
    char want[GD_HTTP_ORIGIN_MAX];
    json_t *one;
    size_t i;

    if (!list || json_array_size(list) == 0)
        return false;
    (void)snprintf(want, sizeof want, u->ip6 ? "[%s]:%u" : "%s:%u", u->host, u->port);
    json_array_foreach(list, i,
                       one) if (json_is_string(one) && !strcasecmp(json_string_value(one), want)) return true;
    return false;
}

/* A literal address needs no resolver to be refused; an odd spelling of a public one is refused as a host. */
static int check_literal(const struct gd_http_target *t, struct gd_err *err)
{
    struct sockaddr_storage sa;
    char plain[INET_ADDRSTRLEN];

    if (!t->url.ip4 && !t->url.ip6)
        return 0;
    if (!gd_http_address_parse(&sa, t->url.host))
        return gd_err_set(err, GD_R_HOST_INVALID, "the URL's host is not an address");
    if (!gd_http_address_allowed(t->reach, (struct sockaddr *)&sa))
        return gd_err_set(err, GD_R_EGRESS_DENIED, "%s is not a public address", t->url.host);
    if (t->url.ip4) {
        (void)inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&sa)->sin_addr, plain, sizeof plain);
        if (strcmp(plain, t->url.host) != 0)
            return gd_err_set(err, GD_R_HOST_INVALID,
                              "the URL's address is not written as four decimal numbers");
    }
    return 0;
}

static int check_unmapped(const struct gd_http_guard *g, struct gd_http_target *t, bool port_declared,
                          struct gd_err *err)
{
    if (!t->url.https)
        return gd_err_set(err, GD_R_URL_INVALID, "plain http is taken only for a mapped loopback origin: %s",
                          t->url.host);
    if (listed(g->allow_private, &t->url))
        t->reach = GD_HTTP_REACH_ANY;
    else if (t->url.port != 443 && !port_declared)
        return gd_err_set(err, GD_R_EGRESS_DENIED, "port %u of %s is neither 443 nor listed", t->url.port,
                          t->url.host);
    return 0;
}

int gd_http_guard_check(const struct gd_http_guard *g, const struct gd_http_request *r,
                        struct gd_http_target *ret, struct gd_err *err)
{
    struct gd_http_target t = { .reach = GD_HTTP_REACH_PUBLIC };
    bool port_declared = false;

    if (gd_http_url_parse(&t.url, r->url, err))
        return -1;
    if (r->hosts && !gd_http_host_declared(r->hosts, &t.url, &port_declared))
        return gd_err_set(err, GD_R_HOST_NOT_DECLARED, "the platform does not declare the host %s",
                          t.url.host);
    t.mapped = gd_http_map_url(g->origins, &t.url);
    if (t.mapped) {
        if (gd_http_url_parse(&t.url, t.mapped, err))
            goto refused;
        t.reach = t.url.https ? GD_HTTP_REACH_ANY : GD_HTTP_REACH_LOOPBACK;
    } else if (check_unmapped(g, &t, port_declared, err)) {
        return -1;
    }
    if (g->loopback_only)
        t.reach = GD_HTTP_REACH_LOOPBACK;
    if (check_literal(&t, err))
        goto refused;
    t.url.rest = NULL; /* points into a text that the caller owns */
    *ret = t;
    return 0;

refused:
    gd_free(t.mapped);
    return -1;
}

/* ---- the rest of a request --------------------------------------------------------------------------- */
static bool is_token_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')
        return true;
    return c && strchr("!#$%&'*+.^_`|~", c);
}

static bool token(const char *s, size_t max)
{
    size_t n = 0;

    while (s && is_token_char(s[n]))
        n++;
    return n > 0 && n <= max && s[n] == '\0';
}

static bool value_clean(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return true;
}

/* These say how the message is carried, which is ours to decide. */
static bool reserved(const char *name)
{
    static const char *const names[] = {
        "host", "content-length",  "transfer-encoding", "connection",         "expect",
        "te",   "trailer",         "upgrade",           "keep-alive",         "cookie",
        "via",  "accept-encoding", "proxy-connection",  "proxy-authorization"
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((*name | 0x20) == *names[i] && !strcasecmp(name, names[i]))
            return true;
    return false;
}

int gd_http_request_check(const struct gd_http_request *r, struct gd_err *err)
{
    size_t bytes = 0;

    if (!token(r->method, 16) || !strcmp(r->method, "CONNECT") || !strcmp(r->method, "TRACE"))
        return gd_err_set(err, GD_R_HTTP_REQUEST_INVALID, "the request's method is not one that is sent");
    if (r->nheaders > GD_HTTP_HEADERS_MAX / 4 || r->body_len > GD_HTTP_REQUEST_MAX)
        return gd_err_set(err, GD_R_HTTP_REQUEST_INVALID,
                          "the request has too many headers or too large a body");
    for (size_t i = 0; i < r->nheaders; i++) {
        const struct gd_http_header *h = &r->headers[i];

        if (!token(h->name, 128) || !h->value || !value_clean(h->value))
            return gd_err_set(err, GD_R_HTTP_REQUEST_INVALID,
                              "header %zu of the request is not a clean header", i + 1);
        if (reserved(h->name))
            return gd_err_set(err, GD_R_HTTP_REQUEST_INVALID, "the header %s is set by grantd itself",
                              h->name);
        bytes += strlen(h->name) + strlen(h->value);
    }
    if (bytes > GD_HTTP_HEAD_MAX)
        return gd_err_set(err, GD_R_HTTP_REQUEST_INVALID, "the request's headers have more than %d bytes",
                          GD_HTTP_HEAD_MAX);
    return 0;
}
