/* store/move.c - the steps of a move, in the order that makes it safe to be killed between any two:
 *
 *   the new stores say "arriving"          nobody works with them
 *   each table: sums differ? wiped, copied what is there already is not copied again
 *   each table: sums of both sides         different: nothing has happened but a copy
 *   the old stores say "moved"             nobody works with them any more
 *   the new stores say no more "arriving"  they are the ones
 */
#include "store/move.h"
#include "store/store_int.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>

#define PARTS_MAX 4

GD_SQL(sql_live, "SELECT count(*) FROM nodes WHERE lease_until > gd_now()");

struct part {
    const struct gd_move_part *given;
    struct gd_bulk *from, *to;
    struct gd_tables tables;
    struct gd_digest *was, *is;
};

struct moving {
    const struct gd_move *m;
    struct part parts[PARTS_MAX];
    json_t *arriving; /* the mark of just this move */
    struct gd_err *err;
};

/* ---- opening ---- */

/* A store of several nodes: no other one may be at work. */
static int check_alone(struct moving *v, struct part *p)
{
    int64_t live = 0;

    if (!gd_tables_find(&p->tables, "nodes") || !p->given->from->url)
        return 0;
    if (gd_bulk_ask(p->from, &sql_live, &live, v->err) < 0)
        return -1;
    return live == 0
               ? 0
               : gd_err_set(v->err, GD_R_STORE_LOCKED,
                            "%lld more nodes work on this store; drain them all first", (long long)live);
}

static int check_from(struct moving *v, struct part *p)
{
    GD_AUTO_JSON moved = NULL;
    GD_AUTO_JSON arriving = NULL;

    if (gd_mark_of_bulk(p->from, GD_MARK_MOVED, &moved, v->err) < 0 ||
        gd_mark_of_bulk(p->from, GD_MARK_ARRIVING, &arriving, v->err) < 0)
        return -1;
    if (arriving)
        return gd_err_set(v->err, GD_R_STORE_UNFINISHED, "the %s to be moved is not whole itself",
                          p->given->name);
    if (moved && strcmp(gd_json_text(moved, "to", ""), v->m->to) != 0)
        return gd_err_set(v->err, GD_R_STORE_MOVED, "the %s has moved to %s already", p->given->name,
                          gd_json_text(moved, "to", "?"));
    return check_alone(v, p);
}

/* Empty, or what an earlier try of just this move left. */
static int check_to(struct moving *v, struct part *p)
{
    GD_AUTO_JSON there = NULL;
    bool empty = false;

    if (gd_mark_of_bulk(p->to, GD_MARK_ARRIVING, &there, v->err) < 0)
        return -1;
    if (there && json_equal(there, v->arriving))
        return 0;
    if (gd_bulk_is_empty(p->to, &p->tables, &empty, v->err) < 0)
        return -1;
    return empty && !there
               ? 0
               : gd_err_set(v->err, GD_R_STORE_NOT_EMPTY, "the new place of the %s holds data%s%s",
                            p->given->name, p->given->to->url ? "" : ": ",
                            p->given->to->url ? "" : p->given->to->path);
}

static bool same_place(const struct gd_move_part *g)
{
    return !strcmp(g->from->path, g->to->path);
}

static int open_from(struct moving *v, struct part *p)
{
    const struct gd_move *m = v->m;

    if (gd_tables_of(&p->tables, p->given->from->migrations, p->given->from->nmigrations, v->err) < 0)
        return -1;
    p->was = gd_new_array(p->tables.n + 1, sizeof *p->was);
    p->is = gd_new_array(p->tables.n + 1, sizeof *p->is);
    return gd_bulk_open(&p->from, p->given->from, m->clock, m->log, v->err);
}

static int open_to(struct moving *v, struct part *p)
{
    const struct gd_move *m = v->m;

    return same_place(p->given) ? gd_bulk_open_locked(&p->to, p->given->to, m->clock, m->log, v->err)
                                : gd_bulk_open(&p->to, p->given->to, m->clock, m->log, v->err);
}

static void moving_init(struct moving *v, const struct gd_move *m, struct gd_err *err)
{
    *v = (struct moving){ .m = m, .err = err };
    v->arriving = json_pack("{s:s, s:s}", "what", "migration", "from", m->from);
    for (size_t i = 0; i < m->n; i++)
        v->parts[i].given = &m->parts[i];
}

static void moving_done(struct moving *v)
{
    for (size_t i = 0; i < v->m->n; i++) {
        struct part *p = &v->parts[i];

        gd_bulk_close(p->to);
        gd_bulk_close(p->from);
        if (p->tables.arena)
            gd_tables_done(&p->tables);
        gd_free(p->was);
        gd_free(p->is);
    }
    json_decref(v->arriving);
}

/* ---- copying ---- */

static int sums(struct moving *v, const struct part *p, const struct gd_store_options *o,
                struct gd_digest *ret)
{
    struct gd_view *view;
    int rc;

    if (gd_view_open(&view, o, v->m->log, v->err) < 0)
        return -1;
    rc = gd_copy_out(view, &p->tables, ret, NULL, NULL, NULL, v->err);
    gd_view_close(view);
    return rc;
}

static bool same_sum(const struct gd_digest *a, const struct gd_digest *b)
{
    return a->rows == b->rows &&
           memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0; /* check:allow no secret */
}

static int copy_tables(struct moving *v, struct part *p, struct gd_view *view)
{
    for (size_t i = 0; i < p->tables.n; i++) {
        const struct gd_table *t = &p->tables.list[i];

        if (same_sum(&p->was[i], &p->is[i]))
            continue;
        if (gd_bulk_run(p->to, &t->wipe, NULL, 0, v->err) < 0 ||
            gd_copy_table(view, p->to, t, NULL, v->err) < 0)
            return -1;
        GD_LOG(v->m->log, GD_LOG_INFO, "store.copied", GD_F_STR("part", p->given->name),
               GD_F_STR("table", t->name), GD_F_INT("rows", p->was[i].rows));
        (void)GD_FAULT("move.table");
    }
    return 0;
}

static int copy_part(struct moving *v, struct part *p)
{
    struct gd_view *view;
    int rc;

    if (gd_mark_set(p->to, GD_MARK_ARRIVING, v->arriving, v->err) < 0)
        return -1;
    (void)GD_FAULT("move.arriving");
    if (sums(v, p, p->given->from, p->was) < 0 || sums(v, p, p->given->to, p->is) < 0 ||
        gd_view_open(&view, p->given->from, v->m->log, v->err) < 0)
        return -1;
    rc = copy_tables(v, p, view);
    gd_view_close(view);
    return rc;
}

static int verify_part(struct moving *v, struct part *p)
{
    if (sums(v, p, p->given->from, p->was) < 0 || sums(v, p, p->given->to, p->is) < 0)
        return -1;
    for (size_t i = 0; i < p->tables.n; i++)
        if (!same_sum(&p->was[i], &p->is[i]))
            return gd_err_set(v->err, GD_R_STORE_FAILED,
                              "table %s is not the same in the new store (%lld rows, %lld there)",
                              p->was[i].table, (long long)p->was[i].rows, (long long)p->is[i].rows);
    return 0;
}

/* ---- switching ---- */

static int switch_over(struct moving *v)
{
    GD_AUTO_JSON moved = NULL;
    char at[32];

    gd_time_text(at, gd_now(v->m->clock));
    moved = json_pack("{s:s, s:s}", "to", v->m->to, "at", at);
    for (size_t i = 0; i < v->m->n; i++) {
        if (gd_mark_set(v->parts[i].from, GD_MARK_MOVED, moved, v->err) < 0)
            return -1;
        (void)GD_FAULT("move.moved");
    }
    for (size_t i = 0; i < v->m->n; i++) {
        if (gd_mark_drop(v->parts[i].to, GD_MARK_ARRIVING, v->err) < 0)
            return -1;
        (void)GD_FAULT("move.whole");
    }
    return 0;
}

/* The last step of an earlier try: the old ones have moved just here, some of the new ones say so no more. */
static bool is_over(struct moving *v)
{
    for (size_t i = 0; i < v->m->n; i++) {
        GD_AUTO_JSON moved = NULL;
        struct part *p = &v->parts[i];

        if (gd_mark_of_bulk(p->from, GD_MARK_MOVED, &moved, v->err) < 0 ||
            strcmp(gd_json_text(moved, "to", ""), v->m->to) != 0)
            return false;
    }
    return true;
}

static int sums_of_all(struct moving *v)
{
    for (size_t i = 0; i < v->m->n; i++)
        if (sums(v, &v->parts[i], v->parts[i].given->to, v->parts[i].is) < 0)
            return -1;
    return 0;
}

static json_t *report(const struct moving *v)
{
    json_t *list = json_array();

    for (size_t i = 0; i < v->m->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:o}", "name", v->parts[i].given->name, "tables",
                                              gd_digests_json(v->parts[i].is, v->parts[i].tables.n)));
    return list;
}

static int open_all(struct moving *v)
{
    for (size_t i = 0; i < v->m->n; i++)
        if (open_from(v, &v->parts[i]) < 0 || check_from(v, &v->parts[i]) < 0 || open_to(v, &v->parts[i]) < 0)
            return -1;
    return 0;
}

static int copy_all(struct moving *v)
{
    if (GD_FAULT("move.fails"))
        return gd_err_set(v->err, GD_R_STORE_FAILED, "the new store cannot be written any more");
    for (size_t i = 0; i < v->m->n; i++)
        if (check_to(v, &v->parts[i]) < 0)
            return -1;
    for (size_t i = 0; i < v->m->n; i++)
        if (copy_part(v, &v->parts[i]) < 0)
            return -1;
    for (size_t i = 0; i < v->m->n; i++)
        if (verify_part(v, &v->parts[i]) < 0)
            return -1;
    (void)GD_FAULT("move.verified");
    return 0;
}

int gd_move_check(const struct gd_move *m, struct gd_err *err)
{
    struct moving v;
    int rc = 0;

    moving_init(&v, m, err);
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        struct part *p = &v.parts[i];

        rc = gd_tables_of(&p->tables, p->given->from->migrations, p->given->from->nmigrations, err);
        if (rc == 0)
            rc = open_to(&v, p);
        if (rc == 0)
            rc = check_to(&v, p);
        if (rc == 0) /* from here on nobody begins anew there by mistake */
            rc = gd_mark_set(p->to, GD_MARK_ARRIVING, v.arriving, err);
    }
    moving_done(&v);
    return rc;
}

int gd_move_run(const struct gd_move *m, json_t **ret, struct gd_err *err)
{
    struct moving v;
    int rc;

    moving_init(&v, m, err);
    rc = open_all(&v);
    /* Once the old ones say "moved" the copy has been verified, and somebody may work with the new ones. */
    if (rc == 0)
        rc = is_over(&v) ? sums_of_all(&v) : copy_all(&v);
    if (rc == 0)
        rc = switch_over(&v);
    if (rc == 0)
        *ret = report(&v);
    moving_done(&v);
    return rc;
}
