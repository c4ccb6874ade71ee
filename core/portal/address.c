/* portal/address.c - see address.h. */
#include "portal/address.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool is_v4(const struct gd_portal_address *a)
{
    return memcmp(a->b, mapped, sizeof mapped) == 0;
}

static void set_v4(struct gd_portal_address *ret, const void *four)
{
    memcpy(ret->b, mapped, sizeof mapped);
    memcpy(ret->b + 12, four, 4);
}

static bool parse_port(const char *p, size_t n, int64_t *ret)
{
    char text[8];

    if (n == 0 || n >= sizeof text)
        return false;
    memcpy(text, p, n);
    text[n] = '\0';
    return text[0] >= '0' && text[0] <= '9' && gd_parse_i64(text, ret) && *ret >= 0 && *ret <= 65535;
}

static bool parse_bare(struct gd_portal_address *ret, const char *p, size_t n)
{
    char text[GD_ADDRESS_TEXT];
    unsigned char raw[16];

    if (n == 0 || n >= sizeof text)
        return false;
    memcpy(text, p, n);
    text[n] = '\0';
    if (inet_pton(AF_INET, text, raw) == 1) {
        set_v4(ret, raw);
        return true;
    }
    if (inet_pton(AF_INET6, text, raw) != 1)
        return false;
    memcpy(ret->b, raw, 16);
    return true;
}

/* Splits off the port; *ret_port is -1 when there is none. */
static bool parse_with_port(struct gd_portal_address *ret, const char *p, size_t n, int64_t *ret_port)
{
    const char *end;

    *ret_port = -1;
    if (n && p[0] == '[') {
        end = memchr(p, ']', n);
        if (!end || !parse_bare(ret, p + 1, (size_t)(end - p - 1)))
            return false;
        n -= (size_t)(end + 1 - p);
        return n == 0 || (end[1] == ':' && parse_port(end + 2, n - 1, ret_port));
    }
    end = memchr(p, ':', n);
    if (!end || memchr(end + 1, ':', n - (size_t)(end + 1 - p)))
        return parse_bare(ret, p, n);
    return parse_bare(ret, p, (size_t)(end - p)) && parse_port(end + 1, n - (size_t)(end + 1 - p), ret_port);
}

bool gd_portal_address_parse(struct gd_portal_address *ret, const char *text, size_t n)
{
    struct gd_portal_address a;
    int64_t port;

    if (!parse_with_port(&a, text, n, &port))
        return false;
    *ret = a;
    return true;
}

bool gd_portal_address_from(struct gd_portal_address *ret, const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        set_v4(ret, &((const struct sockaddr_in *)(const void *)sa)->sin_addr);
    else if (sa->sa_family == AF_INET6)
        memcpy(ret->b, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
    else
        return false;
    return true;
}

void gd_portal_address_text(char out[GD_ADDRESS_TEXT], const struct gd_portal_address *a)
{
    bool v4 = is_v4(a);

    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + 12 : a->b, out, GD_ADDRESS_TEXT))
        out[0] = '\0';
}

bool gd_portal_address_loopback(const struct gd_portal_address *a)
{
    static const unsigned char one[16] = { [15] = 1 };

    return is_v4(a) ? a->b[12] == 127 : memcmp(a->b, one, 16) == 0;
}

struct gd_portal_address gd_portal_address_net(const struct gd_portal_address *a)
{
    struct gd_portal_address net = *a;

    if (is_v4(a))
        net.b[15] = 0;
    else
        memset(net.b + 8, 0, 8);
    return net;
}

bool gd_portal_prefix_parse(struct gd_portal_prefix *ret, const char *text)
{
    const char *slash = strchr(text, '/');
    struct gd_portal_prefix p = { .bits = 128 };
    int64_t bits;

    if (!parse_bare(&p.address, text, slash ? (size_t)(slash - text) : strlen(text)))
        return false;
    if (slash) {
        if (slash[1] < '0' || slash[1] > '9' || !gd_parse_i64(slash + 1, &bits) || bits > 128)
            return false;
        if (is_v4(&p.address))
            bits = bits > 32 ? 129 : bits + 96;
        if (bits > 128)
            return false;
        p.bits = (unsigned)bits;
    }
    *ret = p;
    return true;
}

bool gd_portal_prefix_holds(const struct gd_portal_prefix *p, const struct gd_portal_address *a)
{
    unsigned whole = p->bits / 8, rest = p->bits % 8;
    unsigned mask = (0xffu << (8 - rest)) & 0xffu;

    if (memcmp(p->address.b, a->b, whole) != 0)
        return false;
    return rest == 0 || (p->address.b[whole] & mask) == (a->b[whole] & mask);
}

bool gd_portal_address_trusted(const struct gd_portal_address *a, const struct gd_portal_prefix *trusted,
                               size_t ntrusted)
{
    for (size_t i = 0; i < ntrusted; i++)
        if (gd_portal_prefix_holds(&trusted[i], a))
            return true;
    return false;
}

int gd_portal_address_listen(struct sockaddr_storage *ret, const char *text, struct gd_err *err)
{
    struct gd_portal_address a;
    int64_t port;

    if (!text || !parse_with_port(&a, text, strlen(text), &port) || port < 0)
        return gd_err_set(err, GD_R_PORTAL_LISTEN_INVALID,
                          "listen is not a numeric address and a port, like 127.0.0.1:8443 or [::1]:8443");
    memset(ret, 0, sizeof *ret);
    if (is_v4(&a)) {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)ret;

        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        memcpy(&in->sin_addr, a.b + 12, 4);
    } else {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)(void *)ret;

        in->sin6_family = AF_INET6;
        in->sin6_port = htons((uint16_t)port);
        memcpy(&in->sin6_addr, a.b, 16);
    }
    return 0;
}

struct gd_portal_address gd_portal_address_visitor(const struct gd_portal_address *peer,
                                                   const char *forwarded,
                                                   const struct gd_portal_prefix *trusted, size_t ntrusted)
{
    struct gd_portal_address hop = *peer;
    size_t end = forwarded ? strlen(forwarded) : 0;

    while (end && gd_portal_address_trusted(&hop, trusted, ntrusted)) {
        size_t from = end, to = end;
        struct gd_portal_address next;

        while (from && forwarded[from - 1] != ',')
            from--;
        end = from ? from - 1 : 0;
        while (from < to && (forwarded[from] == ' ' || forwarded[from] == '\t'))
            from++;
        while (to > from && (forwarded[to - 1] == ' ' || forwarded[to - 1] == '\t'))
            to--;
        if (!gd_portal_address_parse(&next, forwarded + from, to - from))
            break;
        hop = next;
    }
    return hop;
}
