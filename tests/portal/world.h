/* tests/portal/world.h - the portal on a loop of its own thread, and blocking clients on real sockets before
 * it. */
#ifndef GD_TESTS_PORTAL_WORLD_H
#define GD_TESTS_PORTAL_WORLD_H

#include "double.h"
#include "portal/portal.h"
#include "portal/server.h"

#include <openssl/ssl.h>

struct world {
    uv_loop_t loop;
    uv_async_t wake;
    uv_thread_t thread;
    uv_sem_t done;
    void (*job)(struct world *w);
    struct gd_broker broker;
    struct gd_portal *portal;
    struct gd_portal_server_limits limits;
    struct gd_portal_options options;
    struct gd_rng_seeded rng;
    struct gd_log *log;
    FILE *log_file; /* what was logged; read with world_log */
    int port;
    json_t *status;
    struct gd_err err;
    const char *cert, *key; /* for world_reload */
};
/* Fills in defaults (plain http on loopback, short limits, no chance for a slow machine to fail a test). */
void world_init(struct world *w);
void world_start(struct world *w); /* asserts that the portal opens */
void world_stop(struct world *w);  /* asserts that nothing is left in the loop */
/* The portal's clock stands still until world_stop: nothing that was counted is forgotten on a slow machine.
 */
void world_stop_clock(void);
/* Runs a job on the loop's thread and waits for it. */
void world_do(struct world *w, void (*job)(struct world *w));
long long world_status(struct world *w, const char *key);
/* True once the number is that, within a few seconds. */
bool world_settles(struct world *w, const char *key, long long value);
char *world_log(struct world *w); /* gd_free */

/* Clients. from: local address or NULL. */
int dial_from(struct world *w, const char *from);
int dial(struct world *w);
void say(int fd, const char *text);
bool say_some(int fd, const char *p, size_t n); /* false when the other side is gone */
/* Everything until the other side ends. *ret_clean: ended by FIN, not by a reset. gd_free. */
char *hear_all(int fd, bool *ret_clean);
/* One answer by its Content-Length (head: it has no body); NULL when the connection ended instead. gd_free.
 */
char *hear(int fd, bool head);
bool ended(int fd, int ms); /* the other side ends within that time */
int status_of(const char *answer);
/* Value of a field, or NULL. gd_free. */
char *field_of(const char *answer, const char *name);
/* A request on a connection of its own: method, path, extra fields, body (NULL: none). gd_free. */
char *ask_from(struct world *w, const char *from, const char *method, const char *path, const char *fields,
               const char *body);
char *ask(struct world *w, const char *method, const char *path, const char *fields, const char *body);
int64_t ms_now(void);

/* A self-signed certificate and its key in dir: name.crt and name.key. */
void make_cert(const char *dir, const char *name);
/* TLS client over a connected socket; NULL when the handshake failed. min and max: protocol versions or 0. */
SSL *tls_dial(int fd, int min, int max, const char *alpn);

#endif
