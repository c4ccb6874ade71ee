/* portal/address.h - addresses of visitors and of proxies that are trusted to name them. IPv4 is kept as its
 * mapped IPv6 form. Pure functions. */
#ifndef GD_PORTAL_ADDRESS_H
#define GD_PORTAL_ADDRESS_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#define GD_ADDRESS_TEXT 64

struct gd_portal_address {
    unsigned char b[16];
};
struct gd_portal_prefix {
    struct gd_portal_address address;
    unsigned bits; /* of the 128 */
};
/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]", each with or without ":port". False when it is none. */
bool gd_portal_address_parse(struct gd_portal_address *ret, const char *text, size_t n);
bool gd_portal_address_from(struct gd_portal_address *ret, const struct sockaddr *sa);
void gd_portal_address_text(char out[GD_ADDRESS_TEXT], const struct gd_portal_address *a);
bool gd_portal_address_loopback(const struct gd_portal_address *a);
/* What a rate limit counts by: the /24 of an IPv4 and the /64 of an IPv6 address. */
struct gd_portal_address gd_portal_address_net(const struct gd_portal_address *a);
/* "10.0.0.0/8", "fd00::/8" or a plain address. */
bool gd_portal_prefix_parse(struct gd_portal_prefix *ret, const char *text);
bool gd_portal_prefix_holds(const struct gd_portal_prefix *p, const struct gd_portal_address *a);
/* "127.0.0.1:8443", "[::1]:0": only numeric addresses. PORTAL_LISTEN_INVALID. */
int gd_portal_address_listen(struct sockaddr_storage *ret, const char *text, struct gd_err *err);
/* The visitor behind trusted proxies: X-Forwarded-For is read from the right, and the first hop that is no
 * trusted proxy is it. peer itself when it is not trusted or the field is absent or malformed. */
struct gd_portal_address gd_portal_address_visitor(const struct gd_portal_address *peer,
                                                   const char *forwarded,
                                                   const struct gd_portal_prefix *trusted, size_t ntrusted);
bool gd_portal_address_trusted(const struct gd_portal_address *a, const struct gd_portal_prefix *trusted,
                               size_t ntrusted);

#endif
