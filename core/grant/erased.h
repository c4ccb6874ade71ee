/* grant/erased.h - of this room: whom this node has seen erased, kept beside the store and not in it. A
 * shared database that is set back forgets an erasure like anything else, and a spool may hold what came
 * before it. Only ids, one line a client; of very many the newest. Loop thread; every function takes NULL for
 * "nothing is kept". */
#ifndef GD_GRANT_ERASED_H
#define GD_GRANT_ERASED_H

#include "base/err.h"

#include <stdbool.h>

struct gd_erased;
int gd_erased_open(struct gd_erased **ret, const char *path, struct gd_err *err);
void gd_erased_free(struct gd_erased *e);
bool gd_erased_knows(const struct gd_erased *e, const char *workspace, const char *client);
/* On disk after gd_erased_sync. On a full disk it is known as long as the process lives. */
void gd_erased_note(struct gd_erased *e, const char *workspace, const char *client);
void gd_erased_sync(struct gd_erased *e);
void gd_erased_each(const struct gd_erased *e,
                    void (*fn)(void *arg, const char *workspace, const char *client), void *arg);

#endif
