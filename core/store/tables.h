/* store/tables.h - which tables a list of migrations makes, with their columns and primary keys, as data.
 * What is copied from one store into another goes by it, so that no engine has to be asked, and a backup of
 * one engine is a backup of every engine. Any thread. */
#ifndef GD_STORE_TABLES_H
#define GD_STORE_TABLES_H

#include "store/store.h"

struct gd_column {
    const char *name;
    enum gd_param_kind kind;
};
struct gd_table {
    const char *name;
    struct gd_column *cols;
    size_t ncols;
    size_t *key; /* columns of the primary key, in its order */
    size_t nkey;
    /* all rows by primary key; one row; one row unless its key is there; none left; how many */
    struct gd_sql select, insert, merge, wipe, count;
};
struct gd_tables {
    struct gd_arena *arena;
    struct gd_table *list; /* in the order in which they were made */
    size_t n;
};

/* INTERNAL for a statement that it cannot read. */
int gd_tables_of(struct gd_tables *ret, const struct gd_migration *migrations, size_t n, struct gd_err *err);
void gd_tables_done(struct gd_tables *t);
const struct gd_table *gd_tables_find(const struct gd_tables *t, const char *name); /* NULL */

#endif
