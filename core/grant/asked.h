/* grant/asked.h - who else is asked for an account: two client records for one company, or one request too
 * many. Nothing is refused for it, because two brands may well share an account; the agency is told. Inside
 * the grant room. */
#ifndef GD_GRANT_ASKED_H
#define GD_GRANT_ASKED_H

#include "grant/broker_int.h"

/* Adds what is read of open items for the assets that the call's "items" name. */
void gd_asked_read(struct gd_call *c, struct gd_tx *tx);
/* JSON [{"asset","platform","reason","text","request","client"}] of those statements, the first of which is
 * first, behind what told holds already; in the call's arena. */
const char *gd_asked_notices(struct gd_call *c, const struct gd_tx *tx, size_t first, const char *told);

#endif
