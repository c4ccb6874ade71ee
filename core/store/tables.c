/* store/tables.c - reads the migrations as a database would. They keep to a small language (tools/check/sql),
 * so a small reader does: CREATE TABLE with plain columns and a primary key, ALTER TABLE ... ADD COLUMN, DROP
 * TABLE; indexes and changes of rows make no columns. */
#include "store/tables.h"

#include "base/limits.h"

#include <ctype.h>
#include <string.h>

#define TABLES_MAX 64

struct reader {
    struct gd_tables *t;
    const char *p; /* what is left of the statement */
    char word[64];
};

/* The next word or character into word; false at the end. */
static bool next(struct reader *r)
{
    size_t n;

    r->p += strspn(r->p, " \t\n");
    n = strspn(r->p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    n = n ? n : *r->p != '\0';
    if (!n || n >= sizeof r->word)
        return false;
    memcpy(r->word, r->p, n);
    r->word[n] = '\0';
    r->p += n;
    return true;
}

static bool same(const char *a, const char *b)
{
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool next_is(struct reader *r, const char *word)
{
    const char *before = r->p;

    if (next(r) && same(r->word, word))
        return true;
    r->p = before;
    return false;
}

static char *keep(const struct reader *r)
{
    return gd_arena_strdup(r->t->arena, r->word);
}

static bool kind_of(const char *type, enum gd_param_kind *ret)
{
    *ret = same(type, "bigint") ? GD_PARAM_INT : same(type, "bytea") ? GD_PARAM_BYTES : GD_PARAM_TEXT;
    return *ret != GD_PARAM_TEXT || same(type, "text");
}

static bool add_key(struct reader *r, struct gd_table *t, const char *name)
{
    size_t *more = gd_arena_alloc(r->t->arena, (t->nkey + 1) * sizeof *more);

    if (t->nkey)
        memcpy(more, t->key, t->nkey * sizeof *more);
    t->key = more;
    for (size_t i = 0; i < t->ncols; i++)
        if (same(t->cols[i].name, name)) {
            t->key[t->nkey++] = i;
            return true;
        }
    return false;
}

/* Up to the comma or bracket that ends this part; what is between does not matter. True: PRIMARY KEY stood
 * there. */
static bool rest_of_part(struct reader *r)
{
    bool primary = false;
    int depth = 0;

    while (*r->p) {
        const char *before = r->p;

        if (!next(r))
            break;
        primary |= same(r->word, "PRIMARY");
        if (!depth && (r->word[0] == ',' || r->word[0] == ')')) {
            r->p = before;
            break;
        }
        depth += r->word[0] == '(';
        depth -= r->word[0] == ')';
    }
    return primary;
}

/* "name type ..." */
static bool column(struct reader *r, struct gd_table *t)
{
    struct gd_column *more = gd_arena_alloc(r->t->arena, (t->ncols + 1) * sizeof *more), *c;

    if (t->ncols)
        memcpy(more, t->cols, t->ncols * sizeof *more);
    t->cols = more;
    c = &t->cols[t->ncols];
    if (t->ncols >= GD_STORE_PARAMS_MAX || !next(r))
        return false;
    c->name = keep(r);
    if (!next(r) || !kind_of(r->word, &c->kind))
        return false;
    t->ncols++;
    return rest_of_part(r) ? add_key(r, t, c->name) : true;
}

/* Behind PRIMARY: "KEY (a, b)" */
static bool primary_key(struct reader *r, struct gd_table *t)
{
    if (!next_is(r, "KEY") || !next_is(r, "("))
        return false;
    do
        if (!next(r) || !add_key(r, t, r->word))
            return false;
    while (next_is(r, ","));
    return next_is(r, ")");
}

static bool create_table(struct reader *r)
{
    struct gd_table *t = &r->t->list[r->t->n];
    bool ok = true;

    if (next_is(r, "IF"))
        ok = next_is(r, "NOT") && next_is(r, "EXISTS");
    if (!ok || r->t->n == TABLES_MAX || !next(r))
        return false;
    *t = (struct gd_table){ .name = keep(r) };
    if (!next_is(r, "("))
        return false;
    do
        ok = next_is(r, "PRIMARY") ? primary_key(r, t) : column(r, t);
    while (ok && next_is(r, ","));
    r->t->n += ok && t->nkey > 0 && next_is(r, ")");
    return ok && t == &r->t->list[r->t->n - 1];
}

static struct gd_table *find(const struct gd_tables *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (same(t->list[i].name, name))
            return &t->list[i];
    return NULL;
}

static bool alter_table(struct reader *r)
{
    struct gd_table *t = next(r) ? find(r->t, r->word) : NULL;

    return t && next_is(r, "ADD") && next_is(r, "COLUMN") && column(r, t);
}

static bool drop_table(struct reader *r)
{
    struct gd_table *t = next(r) ? find(r->t, r->word) : NULL;

    if (!t)
        return false;
    memmove(t, t + 1, (size_t)(r->t->list + --r->t->n - t) * sizeof *t);
    return true;
}

static bool statement(struct reader *r)
{
    static const char *const others[] = { "UPDATE", "INSERT", "DELETE" };

    if (next_is(r, "CREATE"))
        return next_is(r, "TABLE") ? create_table(r) : next_is(r, "UNIQUE") || next_is(r, "INDEX");
    if (next_is(r, "ALTER"))
        return next_is(r, "TABLE") && alter_table(r);
    if (next_is(r, "DROP"))
        return next_is(r, "TABLE") ? drop_table(r) : next_is(r, "INDEX");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (next_is(r, others[i]))
            return true;
    return false;
}

/* ---- the statements that copying needs
 * ---------------------------------------------------------------------------------------------- */

static const char *names(struct gd_arena *a, const struct gd_table *t, bool key)
{
    const char *out = "";

    for (size_t i = 0; i < (key ? t->nkey : t->ncols); i++)
        out = gd_arena_strf(a, "%s%s%s", out, i ? ", " : "", t->cols[key ? t->key[i] : i].name);
    return out;
}

static void make_texts(struct gd_arena *a, struct gd_table *t)
{
    const char *cols = names(a, t, false), *places = "", *marks;

    for (size_t i = 0; i < t->ncols; i++)
        places = gd_arena_strf(a, "%s%s$%zu", places, i ? ", " : "", i + 1);
    /* What a store says of being filled or having moved is its own and not copied. */
    marks = same(t->name, "meta") ? " WHERE name NOT IN ('arriving', 'moved')" : "";
    t->select.text =
        gd_arena_strf(a, "SELECT %s FROM %s%s ORDER BY %s", cols, t->name, marks, names(a, t, true));
    t->insert.text = gd_arena_strf(a, "INSERT INTO %s (%s) VALUES (%s)", t->name, cols, places);
    t->merge.text = gd_arena_strf(a, "%s ON CONFLICT DO NOTHING", t->insert.text);
    t->wipe.text = gd_arena_strf(a, "DELETE FROM %s%s", t->name, marks);
    t->count.text = gd_arena_strf(a, "SELECT count(*) FROM %s", t->name);
}

int gd_tables_of(struct gd_tables *ret, const struct gd_migration *migrations, size_t n, struct gd_err *err)
{
    struct gd_tables t = { .arena = gd_arena_new(0) };

    t.list = gd_arena_alloc(t.arena, TABLES_MAX * sizeof *t.list);
    for (size_t i = 0; i < n; i++)
        for (const char *const *text = migrations[i].statements; *text; text++) {
            struct reader r = { .t = &t, .p = *text };

            if (statement(&r))
                continue;
            gd_tables_done(&t);
            return gd_err_set(err, GD_R_INTERNAL, "migration %s: nobody can read \"%.60s\"",
                              migrations[i].name, *text);
        }
    for (size_t i = 0; i < t.n; i++)
        make_texts(t.arena, &t.list[i]);
    *ret = t;
    return 0;
}

void gd_tables_done(struct gd_tables *t)
{
    gd_arena_free(t->arena);
    *t = (struct gd_tables){ 0 };
}

const struct gd_table *gd_tables_find(const struct gd_tables *t, const char *name)
{
    return find(t, name);
}
