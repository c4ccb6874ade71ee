/* store/marks.c - what a store says of itself: that it is being filled, that it has moved, that it was
 * restored. A row of meta each, so that it goes wherever the store goes. */
#include "store/backup.h"

#include "base/mem.h"

#include <string.h>

#define MARK_MAX 16384

GD_SQL(sql_meta, "SELECT name, value FROM meta");
GD_SQL(sql_set, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = "
                "excluded.value");
GD_SQL(sql_drop, "DELETE FROM meta WHERE name = $1");

struct asked {
    const char *mark;
    json_t *value;
    struct gd_err *err;
    bool failed;
};

static void on_meta(void *arg, const struct gd_row *row)
{
    struct asked *a = arg;
    const char *name = gd_row_text(row, 0), *value = gd_row_text(row, 1);

    if (!name || !value || strcmp(name, a->mark) != 0)
        return;
    a->value = gd_json_parse(value, strlen(value), MARK_MAX, a->err);
    a->failed = !a->value;
}

int gd_mark_read(struct gd_store *s, const char *mark, json_t **ret, struct gd_err *err)
{
    struct asked a = { .mark = mark, .err = err };

    if (gd_store_scan(s, &sql_meta, on_meta, &a, err) < 0 || a.failed)
        return -1;
    *ret = a.value;
    return 0;
}

int gd_mark_of_bulk(struct gd_bulk *b, const char *mark, json_t **ret, struct gd_err *err)
{
    struct asked a = { .mark = mark, .err = err };

    if (gd_bulk_scan(b, &sql_meta, on_meta, &a, err) < 0 || a.failed)
        return -1;
    *ret = a.value;
    return 0;
}

int gd_mark_set(struct gd_bulk *b, const char *mark, const json_t *value, struct gd_err *err)
{
    GD_AUTO_FREE char *text = gd_json_dump(value);
    const struct gd_param params[] = { GD_P_TEXT(mark), GD_P_TEXT(text) };

    return gd_bulk_run(b, &sql_set, params, 2, err);
}

int gd_mark_drop(struct gd_bulk *b, const char *mark, struct gd_err *err)
{
    const struct gd_param params[] = { GD_P_TEXT(mark) };

    return gd_bulk_run(b, &sql_drop, params, 1, err);
}

static void on_count(void *arg, const struct gd_row *row)
{
    *(int64_t *)arg += gd_row_int(row, 0);
}

int gd_bulk_is_empty(struct gd_bulk *b, const struct gd_tables *t, bool *ret, struct gd_err *err)
{
    static const char *const own[] = { "meta", "nodes", "shares" };
    int64_t rows = 0;

    for (size_t i = 0; i < t->n; i++) {
        bool counts = true;

        for (size_t k = 0; k < sizeof own / sizeof *own; k++)
            counts = counts && strcmp(t->list[i].name, own[k]) != 0;
        if (counts && gd_bulk_scan(b, &t->list[i].count, on_count, &rows, err) < 0)
            return -1;
    }
    *ret = rows == 0;
    return 0;
}
