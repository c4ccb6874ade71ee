/* grant/about.h - what a record of the spool says of those that it is about: about.c. Inside the grant room.
 */
#ifndef GD_GRANT_ABOUT_H
#define GD_GRANT_ABOUT_H

#include "grant/exchange.h"

/* Adds the reads; the number of the first statement. */
size_t gd_about_read(struct gd_tx *tx, const struct gd_flow *f);
/* What they found, as text; NULL: there is no such client. Caller frees. */
char *gd_about_take(const struct gd_tx *tx, size_t first);
/* Puts it into the record, sealed (about: NULL is nothing). A record stays as it is when it was done before,
 * or would be too large. */
void gd_about_add(struct gd_broker *b, json_t *rec, const char *about);
/* The client's data key, wrapped: without it the record cannot be read where the keyring lost it as well. */
void gd_about_key(struct gd_broker *b, json_t *rec, const char *workspace, const char *client);

/* Statements that changed a row when the client, or the request, was lost; SIZE_MAX: none. */
struct gd_about_stmts {
    size_t client, request;
    char request_id[GD_ID_TEXT_MAX];
    bool whole; /* else a client without a name stands there, and nothing is known of what was asked */
};
/* Before the record's own statements. The client's key is in the keyring by now, if it is anywhere. */
void gd_about_back(struct gd_broker *b, struct gd_tx *tx, const json_t *rec, struct gd_about_stmts *ret);

#endif
