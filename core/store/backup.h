/* store/backup.h - a backup is a folder that any engine can be filled from:
 *
 *   tables         the stream of all tables (store/copy.h)
 *   spool          answers that were not in the store yet, as a spool file; may be missing
 *   manifest.json  what it is, of when, and the sums of everything; written last: without it there is none
 *   manifest.sig   "ed25519 KEY SIGNATURE", hex, over SIGNED and the bytes of manifest.json
 *
 * The data and the keyring are two backups: who has one of them alone can read no token. Any thread; blocks.
 */
#ifndef GD_STORE_BACKUP_H
#define GD_STORE_BACKUP_H

#include "store/copy.h"

#define GD_BACKUP_FORMAT 1
#define GD_BACKUP_SIGNED "grantd backup 1\n"

struct gd_backup {
    const char *dir;                      /* absolute; made here, or an empty folder of ours */
    const char *kind;                     /* "data" or "keyring" */
    const struct gd_store_options *store; /* what to copy, and its migrations */
    const void *spool;                    /* NULL: none goes along */
    size_t nspool;
    json_t *about; /* borrowed; more members of the manifest: "id", "made_at", "node", ... */
    const unsigned char *sign_seed;
    const atomic_bool *stop; /* may be NULL */
    struct gd_log *log;
};
/* ret: the manifest, new reference. BACKUP_PLACE, BACKUP_FULL, SHUTTING_DOWN, STORE_...; what was begun is
 * removed then. */
int gd_backup_make(const struct gd_backup *b, json_t **ret, struct gd_err *err);

/* Everything that can be checked without a store: signature by this key, sums of the files, form and sums of
 * the tables; migrations: those that this program knows. BACKUP_INVALID, STORE_TOO_NEW. ret (new reference):
 * the manifest. */
int gd_backup_check(const char *dir, const char *kind, const unsigned char pub[32],
                    const struct gd_migration *migrations, size_t n, json_t **ret, struct gd_err *err);

/* What its manifest says, without being checked: "kind" is "data" or "keyring", "root" the key of the
 * installation that signed it, wrapped. New reference; NULL when there is none to be read. */
json_t *gd_backup_manifest(const char *dir);

/* Fills an empty store (STORE_NOT_EMPTY) with a backup, all of which is checked first. The store says
 * "arriving" until it is whole; data says "restored" from then on. The spool goes beside to->spool_path and
 * is read by the next start. A keyring may hold keys already and keeps them: what it says of erased clients
 * must outlive every backup. One of another installation is refused (BACKUP_INVALID). */
int gd_backup_restore(const char *dir, const char *kind, const unsigned char pub[32],
                      const struct gd_store_options *to, const struct gd_clock *clock, struct gd_log *log,
                      json_t **ret, struct gd_err *err);

json_t *gd_digests_json(const struct gd_digest *d, size_t n); /* [{"table","rows","sha256"}] */

/* ---- marks of a store: rows of its table meta ---- */
#define GD_MARK_ARRIVING "arriving" /* it is being filled; not yet whole */
#define GD_MARK_MOVED    "moved"    /* what was here lives elsewhere now */
#define GD_MARK_RESTORED "restored" /* it shows an older state than the platforms may know */
#define GD_MARK_ROOT     "root"     /* of a keyring: the key of its installation, with an "id" */
/* The JSON of a mark, new reference; *ret NULL: it has none. */
int gd_mark_read(struct gd_store *s, const char *mark, json_t **ret, struct gd_err *err);
int gd_mark_of_bulk(struct gd_bulk *b, const char *mark, json_t **ret, struct gd_err *err);
int gd_mark_set(struct gd_bulk *b, const char *mark, const json_t *value, struct gd_err *err);
int gd_mark_drop(struct gd_bulk *b, const char *mark, struct gd_err *err);
/* Every table of it but the marks and what nodes say of themselves is without rows. */
int gd_bulk_is_empty(struct gd_bulk *b, const struct gd_tables *t, bool *ret, struct gd_err *err);

#endif
