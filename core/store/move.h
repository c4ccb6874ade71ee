/* store/move.h - what lives in some stores lives in others afterwards: copied, counted and summed on both
 * sides, and only then the old ones say that they have moved and the new ones that they are whole. Killed at
 * any point and run again it goes on; at no point could both be worked with. Blocks; no daemon works on
 * either. */
#ifndef GD_STORE_MOVE_H
#define GD_STORE_MOVE_H

#include "store/backup.h"

struct gd_move_part {
    const char *name; /* "data", "keyring" */
    const struct gd_store_options *from, *to;
};
struct gd_move {
    const struct gd_move_part *parts;
    size_t n;
    const char *from, *to; /* what people call them; no password */
    const struct gd_clock *clock;
    struct gd_log *log;
};
/* Could it begin: the new stores can be opened and hold nothing, or a part of just this move. They say
 * "arriving" from then on. */
int gd_move_check(const struct gd_move *m, struct gd_err *err);
/* ret: [{"name", "tables": [...]}], new reference. STORE_NOT_EMPTY, STORE_MOVED, STORE_LOCKED, STORE_... */
int gd_move_run(const struct gd_move *m, json_t **ret, struct gd_err *err);

#endif
