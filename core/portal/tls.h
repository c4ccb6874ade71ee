/* portal/tls.h - TLS over memory BIOs: bytes of the network go in and come out, plain bytes stand in between.
 * The context is replaced as a whole on reload; connections keep the one they began with. Loop thread. */
#ifndef GD_PORTAL_TLS_H
#define GD_PORTAL_TLS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct gd_portal_tls_context;
struct gd_portal_tls;

/* PEM files. PORTAL_TLS_INVALID. Blocks on the file system. */
int gd_portal_tls_context_new(struct gd_portal_tls_context **ret, const char *cert, const char *key,
                              struct gd_err *err);
void gd_portal_tls_context_free(struct gd_portal_tls_context *c); /* NULL is fine */

struct gd_portal_tls *gd_portal_tls_new(struct gd_portal_tls_context *c);
void gd_portal_tls_free(struct gd_portal_tls *t);                          /* NULL is fine */
void gd_portal_tls_feed(struct gd_portal_tls *t, const void *p, size_t n); /* from the network */
/* Plain bytes; 0: none yet, -1: the peer ended or broke it. Drives the handshake. */
long gd_portal_tls_read(struct gd_portal_tls *t, void *out, size_t n);
bool gd_portal_tls_ready(const struct gd_portal_tls *t); /* the handshake is over */
bool gd_portal_tls_write(struct gd_portal_tls *t, const void *p, size_t n);
void gd_portal_tls_end(struct gd_portal_tls *t);                         /* says goodbye (close_notify) */
size_t gd_portal_tls_take(struct gd_portal_tls *t, void *out, size_t n); /* for the network; 0: nothing */

#endif
