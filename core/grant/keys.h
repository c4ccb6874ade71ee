/* grant/keys.h - what root.c, keys.c and rotate.c share: the keyring's rows of its own. Inside the grant
 * room, and for the restore of a backup. */
#ifndef GD_GRANT_KEYS_H
#define GD_GRANT_KEYS_H

#include "grant/broker_int.h"

#define GD_KEY_META_MAX 4096

/* Filled row by row: gd_row_fn. Zeroed before. */
struct gd_key_meta {
    json_t *root, *rotation; /* NULL: there is none yet */
    char *rotation_text;     /* as it stands there */
    char kek[GD_KEK_ID];
};
void gd_key_meta_row(void *arg, const struct gd_row *row);
size_t gd_key_meta_add(struct gd_tx *tx); /* the statement whose rows are given to gd_key_meta_row */
void gd_key_meta_done(struct gd_key_meta *m);

/* Data keys by the KEK that they are under. */
size_t gd_key_counts_add(struct gd_tx *tx);
int64_t gd_key_rows_beside(const struct gd_tx *tx, size_t counts, const char *kek); /* under others than it */
/* Nodes and the KEKs that each holds; and what this one holds, to be written. */
size_t gd_key_holders_add(struct gd_tx *tx);
void gd_key_holder_set(struct gd_tx *tx, const struct gd_keyring *k, const char *node);
/* Of nodes (names) those that do not hold it, as text, caller frees; NULL: all do. */
char *gd_key_lacking(const json_t *nodes, const struct gd_tx *tx, size_t holders, const char *kek);

bool gd_root_is_under(const json_t *root, const char *kek);
char *gd_root_text(const unsigned char wrapped[GD_WRAPPED_KEY], int64_t made_at); /* caller frees */
int gd_root_wrapped(const json_t *root, unsigned char wrapped[GD_WRAPPED_KEY], struct gd_err *err);

/* {"from","to","started_at","ended_at","rows"}: has begun and not ended. */
static inline bool gd_rotation_runs(const json_t *rotation)
{
    return rotation && gd_json_i64(rotation, "ended_at", 0) == 0;
}

/* Goes on with a rotation that somebody has begun; every few seconds. */
void gd_rotate_sweep(struct gd_broker *b);

#endif
