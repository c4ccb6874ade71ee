/* A small nasty HTTP server on a thread per connection, on loopback. What it does is asked for by the path.
 * It counts what it sees, so that tests can say what never left. */
#ifndef TEST_HTTP_SERVER_H
#define TEST_HTTP_SERVER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct server;

struct server *server_new(SSL_CTX *tls); /* NULL: plain */
void server_free(struct server *s);
int server_port(const struct server *s);
/* "http://127.0.0.1:PORT" or https; static buffer of the server. */
const char *server_url(struct server *s, const char *path);

unsigned server_accepts(struct server *s);  /* connections */
unsigned server_requests(struct server *s); /* whole requests */
unsigned server_resumed(struct server *s);  /* TLS sessions that were resumed */
size_t server_bytes(struct server *s);      /* bytes of HTTP, after TLS */
/* Paths of the whole requests in the order they came, each followed by a space. Copy; free() it. */
char *server_paths(struct server *s);
/* The last request as it came, whole or not. Copy; free() it. */
char *server_last(struct server *s);
void server_let_go(struct server *s); /* ends the wait of /gate */

#endif
