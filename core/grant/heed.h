/* grant/heed.h - what a platform tells one node about an app, and all nodes shall heed: that its calls have
 * to wait, that it is refused itself, that it works again. It goes with the news of the store, so the others
 * hear of it in a quarter of a second; to whom it is lost, the platform says it again. Inside the grant room.
 */
#ifndef GD_GRANT_HEED_H
#define GD_GRANT_HEED_H

#include "grant/broker_int.h"

/* How an attempt with a credential of the app ended: see gd_interlock_note. */
void gd_heed_failed(struct gd_broker *b, struct gd_app_state *a, uint32_t cred, bool config, bool refused,
                    const struct gd_err *err);
void gd_heed_worked(struct gd_broker *b, struct gd_app_state *a);
/* A word of another node; false: it is none of these. */
bool gd_heed_news(struct gd_broker *b, const char *id);

#endif
