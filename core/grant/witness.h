/* grant/witness.h - of this room: what this node last saw committed, kept beside the store and not in it. A
 * store that does not know it has been set back. Loop thread. */
#ifndef GD_GRANT_WITNESS_H
#define GD_GRANT_WITNESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct gd_witness;
struct gd_witnessed {
    char workspace[GD_NAME_MAX + 1], client[GD_ID_TEXT_MAX], cred[GD_ID_TEXT_MAX], attempt[GD_ID_TEXT_MAX];
    int64_t gen, at; /* generation that the answer made; Unix ms */
};

int gd_witness_open(struct gd_witness **ret, const char *path, struct gd_err *err);
void gd_witness_free(struct gd_witness *w); /* NULL is fine */
/* A cheap note (one small write, not synced): after a loss of power it may be older than the store, never
 * newer. */
void gd_witness_note(struct gd_witness *w, const struct gd_witnessed *seen);
bool gd_witness_get(const struct gd_witness *w, struct gd_witnessed *ret); /* false: nothing yet */
void gd_witness_clear(struct gd_witness *w);
/* The engine has seen that acknowledged commits are gone: remembered until gd_witness_clear, because what
 * other nodes do meanwhile may look like what was seen here. */
void gd_witness_note_set_back(struct gd_witness *w);
bool gd_witness_set_back(const struct gd_witness *w);

#endif
