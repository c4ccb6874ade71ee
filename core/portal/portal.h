/* portal/portal.h - the client's page, the callback and the end page over HTTP/1.1. A strict gate looks at
 * the head before llhttp parses it; total deadlines, limits on everything; no script, no third-party asset.
 * Loop thread. Routes: GET /a/{link}/{secret} page · POST /a/{link}/{secret} approve, decline,
 * hand in, see what was given by a code, take it back ·
 * GET /cb/{context} callback · GET /end/{flow} end page · POST /end/{flow} go on with what is open ·
 * POST /hook/{context} a platform calls · GET /health. */
#ifndef GD_PORTAL_PORTAL_H
#define GD_PORTAL_PORTAL_H

#include "grant/flow.h"

struct gd_portal;
struct gd_portal_server_limits; /* portal/server.h */
struct gd_portal_options {
    const char *listen;     /* "127.0.0.1:8443", "[::1]:0" */
    const char *public_url; /* origin that browsers see */
    const char *tls_cert,
        *tls_key; /* NULL: plain http; only when public_url is loopback or a proxy is trusted */
    const char *const *trusted_proxies; /* addresses or prefixes; ends with NULL; may be NULL */
    const unsigned char *cookie_key;    /* 32 bytes */
    const struct gd_portal_server_limits
        *limits; /* deadlines and counts; NULL: the defaults of portal/server.h */
};
int gd_portal_open(struct gd_portal **ret, uv_loop_t *loop, const struct gd_portal_options *o,
                   struct gd_broker *b, const struct gd_clock *clock, struct gd_rng *rng, struct gd_log *log,
                   struct gd_err *err);
int gd_portal_port(const struct gd_portal *p); /* the port really bound */
int gd_portal_reload_tls(struct gd_portal *p, const char *cert, const char *key, struct gd_err *err);
void gd_portal_close(struct gd_portal *p, void (*done)(void *), void *arg);
json_t *gd_portal_status(struct gd_portal *p);

#endif
