/* store/copy.h - what is in a store, from one place to another: a view of it as of one moment, a stream of
 * its tables that is the same bytes whatever engine they come from, and a store that is filled before anybody
 * works with it. Backup, restore and the way from one engine to another are made of these.
 *
 * Threads: each object belongs to one thread at a time; nothing here is called on the loop of a daemon that
 * serves, it blocks. */
#ifndef GD_STORE_COPY_H
#define GD_STORE_COPY_H

#include "store/tables.h"

#include <stdatomic.h>

/* ---- a view: read only, consistent, on a connection of its own, beside everything else ---- */
struct gd_view;
/* Of the store that these options open (path, or url and schema); it need not be open. */
int gd_view_open(struct gd_view **ret, const struct gd_store_options *o, struct gd_log *log,
                 struct gd_err *err);
int gd_view_scan(struct gd_view *v, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err);
void gd_view_close(struct gd_view *v);
/* {"version": n, "names": ["spine", ...]}: its migrations. New reference. */
json_t *gd_view_schema(struct gd_view *v, struct gd_err *err);

/* ---- the stream ----
 * "GDCOPY1\n", then the tables in the order of their making, each in the order of its primary key:
 *   'T' text(name) u16(columns) text(column)...
 *   'R' for each row, its cells: 'n' | 'i' i64 | 't' u32 bytes | 'b' u32 bytes
 *   'E' u64(rows) 32 bytes: SHA-256 of the rows
 * and 'Z'. Numbers are little endian, text(x) is u16 and its bytes. */
struct gd_digest {
    const char *table; /* of the tables it was made for */
    int64_t rows;
    unsigned char sha256[32];
};
/* ret: one for each table. write NULL: only digests are wanted. stop (may be NULL): ends with SHUTTING_DOWN.
 */
typedef int gd_write_fn(void *arg, const void *p, size_t n, struct gd_err *err);
int gd_copy_out(struct gd_view *v, const struct gd_tables *t, struct gd_digest *ret, gd_write_fn *write,
                void *arg, const atomic_bool *stop, struct gd_err *err);

struct gd_bulk;
/* Reads a stream: checks its form and every sum. to NULL: nothing is kept. Ends with BACKUP_INVALID where it
 * is not whole. read gives the next n bytes, all of them. */
typedef int gd_read_fn(void *arg, void *p, size_t n, struct gd_err *err);
int gd_copy_in(struct gd_bulk *to, const struct gd_tables *t, struct gd_digest *ret, gd_read_fn *read,
               void *arg, struct gd_err *err);
/* From a view straight into another store. */
int gd_copy_table(struct gd_view *from, struct gd_bulk *to, const struct gd_table *t, const atomic_bool *stop,
                  struct gd_err *err);

/* ---- filling a store that nobody works with yet ---- */
/* Takes its lock, makes what migrations it lacks. */
int gd_bulk_open(struct gd_bulk **ret, const struct gd_store_options *o, const struct gd_clock *clock,
                 struct gd_log *log, struct gd_err *err);
/* The same for who holds the lock of that path already. */
int gd_bulk_open_locked(struct gd_bulk **ret, const struct gd_store_options *o, const struct gd_clock *clock,
                        struct gd_log *log, struct gd_err *err);
/* From now on rows whose key is there are left out, and nothing is wiped. */
void gd_bulk_merge(struct gd_bulk *b);
/* No row of t is left, unless it merges. */
int gd_bulk_wipe(struct gd_bulk *b, const struct gd_table *t, struct gd_err *err);
/* One more row; the cells are those of t. Written in groups, by gd_bulk_flush at the latest. */
int gd_bulk_row(struct gd_bulk *b, const struct gd_table *t, const struct gd_param *cells,
                struct gd_err *err);
int gd_bulk_run(struct gd_bulk *b, const struct gd_sql *sql, const struct gd_param *params, size_t n,
                struct gd_err *err); /* behind the rows so far; durable */
int gd_bulk_flush(struct gd_bulk *b, struct gd_err *err);
/* One number, by the store's own clock where the statement asks for it. */
int gd_bulk_ask(struct gd_bulk *b, const struct gd_sql *sql, int64_t *ret, struct gd_err *err);
int gd_bulk_scan(struct gd_bulk *b, const struct gd_sql *sql, gd_row_fn *fn, void *arg, struct gd_err *err);
void gd_bulk_close(struct gd_bulk *b);

#endif
