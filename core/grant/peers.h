/* grant/peers.h - several nodes on one store: what others changed comes into this node's memory (peers.c),
 * and what a node that is gone left is taken over (takeover.c). Inside the grant room. */
#ifndef GD_GRANT_PEERS_H
#define GD_GRANT_PEERS_H

#include "grant/broker_int.h"

/* Somebody else changed it (an id of a client, credential or grant; "hub NAME"): it is read again soon. */
void gd_peers_changed(struct gd_broker *b, const char *workspace, const char *id);
void gd_peers_go_on(struct gd_broker *b); /* with what could not be read */
/* A read of what others changed has begun or ended (by: 1, -1): who catches up waits for its end. failed:
 * what it was about, which is read again later; NULL: it is known now. */
void gd_peers_reads(struct gd_broker *b, int by, const char *workspace, const char *failed);
void gd_peers_free(struct gd_broker *b);

/* Takes over what workers that are gone left; closings and erasings are put into b->endings. bury: the nodes
 * whose leavings are settled then are marked so, in the last commit. fn (may be NULL) once, later. */
typedef void gd_take_over_fn(void *arg, const struct gd_err *err);
void gd_take_over(struct gd_broker *b, bool bury, gd_take_over_fn *fn, void *arg);

/* ---- load.c: a row into the index, at the start and when it has changed. Columns as in sql_clients,
 * sql_creds and sql_grants there. */
void gd_take_client(struct gd_broker *b, const struct gd_row *row);
void gd_take_cred(struct gd_broker *b, const struct gd_row *row);
bool gd_take_grant(struct gd_broker *b,
                   const struct gd_row *row); /* false: its credential is not known yet */
#define GD_CLIENT_ROW "SELECT workspace, id, state FROM clients"
#define GD_CRED_ROW                                                                              \
    "SELECT workspace, id, client_id, app, gen, status, shape, retry_class, expires_at, next_at" \
    " FROM credentials"
#define GD_GRANT_ROW "SELECT workspace, id, credential_id, client_id, app, lifecycle, native FROM grants"
/* So many that others changed in one statement: most of what a statement costs the server is not its rows. */
#define GD_PEERS_IDS 16
#define GD_PEERS_SOME                                                                                      \
    " WHERE workspace = $1 AND id IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, " \
    "$17)"
/* hub.c */
void gd_hubs_reload(struct gd_broker *b, const char *workspace, const char *hub);

#endif
