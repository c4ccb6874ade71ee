/* grant/surfaces.c - surfaces are told apart by kind and by the platform's id. A report without an id is
 * about the one of that kind that has none, else about all of that kind; a report with an id that is not
 * known is about the one of that kind that has none, else it is a further surface. */
#include "grant/surfaces.h"

#include <string.h>

GD_SQL(sql_read,
       "SELECT id, kind, ref, outcome FROM surfaces WHERE workspace = $1 AND grant_id = $2 ORDER BY id");
GD_SQL(sql_set, "UPDATE surfaces SET outcome = $3, note = $4, changed_at = $5, ref = COALESCE(ref, $6)"
                " WHERE workspace = $1 AND id = $2 AND outcome NOT IN ('closed', 'gone')");
GD_SQL(sql_add, "INSERT INTO surfaces (workspace, id, grant_id, kind, ref, outcome, note, changed_at)"
                " SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM grants WHERE workspace = $1 AND id = $3");

void gd_surfaces_read(struct gd_tx *tx, const char *workspace, const char *grant)
{
    gd_tx_add(tx, &sql_read, GD_P_TEXT(workspace), GD_P_TEXT(grant));
}

void gd_surfaces_take(struct gd_surfaces *s, const struct gd_tx *tx, size_t stmt)
{
    json_decref(s->rows);
    s->rows = json_array();
    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++)
        json_array_append_new(s->rows,
                              json_pack("{s:s, s:s, s:s?, s:s}", "row", gd_tx_text(tx, stmt, i, 0), "kind",
                                        gd_tx_text(tx, stmt, i, 1), "id", gd_tx_text(tx, stmt, i, 2),
                                        "outcome", gd_tx_text(tx, stmt, i, 3)));
    if (!s->grant[0])
        json_array_append_new(
            s->rows, json_pack("{s:s, s:s, s:n, s:s}", "row", "", "kind", "token", "id", "outcome", "open"));
}

void gd_surfaces_done(struct gd_surfaces *s)
{
    json_decref(s->rows);
    s->rows = NULL;
}

static bool is_held(const json_t *row)
{
    return gd_json_bool(row, "held", false);
}

static bool is_token(const json_t *row)
{
    return !strcmp(gd_json_text(row, "kind", ""), "token");
}

static bool is_open(const json_t *row)
{
    const char *is = gd_json_text(row, "outcome", "");

    return !strcmp(is, "open") || !strcmp(is, "failed");
}

static bool is_among(const json_t *others, const json_t *row)
{
    json_t *one;
    size_t i;

    json_array_foreach(others, i, one)
    {
        if (json_equal(json_object_get(one, "kind"), json_object_get(row, "kind")) &&
            json_equal(json_object_get(one, "id"), json_object_get(row, "id")))
            return true;
    }
    return false;
}

void gd_surfaces_hold(struct gd_surfaces *s, const json_t *others)
{
    json_t *row;
    size_t i;

    json_array_foreach(s->rows, i, row)
    {
        if (is_open(row) && is_among(others, row))
            json_object_set_new(row, "held", json_true());
    }
}

json_t *gd_surfaces_listed(const struct gd_surfaces *s, bool with_token)
{
    json_t *list = json_array(), *row;
    size_t i;

    json_array_foreach(s->rows, i, row)
    {
        if (is_open(row) && !is_held(row) && (with_token || !is_token(row)))
            json_array_append_new(list, json_pack("{s:O, s:O, s:O}", "kind", json_object_get(row, "kind"),
                                                  "id", json_object_get(row, "id"), "outcome",
                                                  json_object_get(row, "outcome")));
    }
    return list;
}

/* What is closed stays closed, whatever is said of it afterwards. */
static bool is_over(const char *word)
{
    return !strcmp(word, "closed") || !strcmp(word, "gone");
}

/* A platform may say ten thousand times the same of one surface: the row is written once, by write_all. */
static void set(json_t *row, const char *word, const char *note, const char *ref)
{
    json_object_set_new(row, "said", json_true());
    json_object_set_new(row, "outcome", json_string(word));
    if (is_over(gd_json_text(row, "write", "")))
        return;
    json_object_set_new(row, "write", json_string(word));
    json_object_set_new(row, "note", note ? json_string(note) : json_null());
    if (ref && !gd_json_text(row, "ref", NULL))
        json_object_set_new(row, "ref", json_string(ref));
}

static void write_all(struct gd_surfaces *s, struct gd_tx *tx, int64_t now)
{
    json_t *row;
    size_t i;

    json_array_foreach(s->rows, i, row)
    {
        const char *word = gd_json_text(row, "write", NULL);

        if (word && s->grant[0])
            gd_tx_add(tx, &sql_set, GD_P_TEXT(s->workspace), GD_P_TEXT(gd_json_text(row, "row", "")),
                      GD_P_TEXT(word), GD_P_TEXT(gd_json_text(row, "note", NULL)), GD_P_INT(now),
                      GD_P_TEXT(gd_json_text(row, "ref", NULL)));
        (void)json_object_del(row, "write");
        (void)json_object_del(row, "ref");
    }
}

static json_t *find(const struct gd_surfaces *s, const char *kind, const char *id)
{
    json_t *row;
    size_t i;

    json_array_foreach(s->rows, i, row)
    {
        const char *is = gd_json_text(row, "id", NULL);

        if (!strcmp(gd_json_text(row, "kind", ""), kind) && (id ? is && !strcmp(is, id) : !is))
            return row;
    }
    return NULL;
}

static void set_all(struct gd_surfaces *s, const char *kind, const char *word, const char *note)
{
    json_t *row;
    size_t i;

    json_array_foreach(s->rows, i, row)
    {
        if (!strcmp(gd_json_text(row, "kind", ""), kind))
            set(row, word, note, NULL);
    }
}

static bool has_kind(const struct gd_surfaces *s, const char *kind)
{
    json_t *row;
    size_t i;

    json_array_foreach(s->rows, i, row) if (!strcmp(gd_json_text(row, "kind", ""), kind)) return true;
    return false;
}

static void add(struct gd_surfaces *s, struct gd_tx *tx, const char *kind, const char *ref, const char *word,
                const char *note, int64_t now)
{
    char id[GD_ID_TEXT_MAX];

    if (!s->grant[0])
        return;
    gd_id_make(id, "sf", now, s->b->d.rng);
    json_array_append_new(s->rows, json_pack("{s:s, s:s, s:s?, s:s, s:b}", "row", id, "kind", kind, "id", ref,
                                             "outcome", word, "said", 1));
    gd_tx_add(tx, &sql_add, GD_P_TEXT(s->workspace), GD_P_TEXT(id), GD_P_TEXT(s->grant), GD_P_TEXT(kind),
              GD_P_TEXT(ref), GD_P_TEXT(word), GD_P_TEXT(note), GD_P_INT(now));
}

void gd_surfaces_report(struct gd_surfaces *s, struct gd_tx *tx, const json_t *reported, int64_t now)
{
    json_t *one, *row;
    size_t i;

    json_array_foreach(reported, i, one)
    {
        const char *kind = gd_json_text(one, "kind", "token"), *id = gd_json_text(one, "id", NULL);
        const char *word = gd_json_text(one, "outcome", "open"), *note = gd_json_text(one, "text", NULL);

        row = find(s, kind, id);
        if (!row && id)
            row = find(s, kind, NULL);
        if (row)
            set(row, word, note, id);
        else if (!id && has_kind(s, kind))
            set_all(s, kind, word, note);
        else
            add(s, tx, kind, id, word, note, now);
    }
    write_all(s, tx, now);
}

void gd_surfaces_rest(struct gd_surfaces *s, struct gd_tx *tx, enum gd_surfaces_which which, const char *word,
                      const char *note, int64_t now)
{
    json_t *row;
    size_t i;

    json_array_foreach(s->rows, i, row)
    {
        if (!is_open(row) || gd_json_bool(row, "said", false) ||
            is_held(row) != (which == GD_SURFACES_HELD) ||
            (which < GD_SURFACES_HELD && which != GD_SURFACES_ALL &&
             (which == GD_SURFACES_TOKEN) != is_token(row)))
            continue;
        set(row, word, note, NULL);
    }
    write_all(s, tx, now);
}

void gd_surfaces_give_up(struct gd_surfaces *s, struct gd_tx *tx, const char *note, int64_t now)
{
    json_t *row;
    size_t i;

    json_array_foreach(s->rows, i, row)
    {
        if (is_open(row) && !is_held(row))
            set(row, "manual", note, NULL);
    }
    write_all(s, tx, now);
}
