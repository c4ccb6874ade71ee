/* grant/reports.c - assets and surfaces over the runs of one flow; see reports.h. */
#include "grant/reports.h"

#include <string.h>

#define PART_MAX 256 /* reports of one part: some MiB, were each text as long as it may be */

static const char *const asset_keys[] = { "kind", "id", NULL };
static const char *const surface_keys[] = { "kind", "id", "asset", NULL };

static char *key_of(const json_t *one, const char *const *keys)
{
    struct gd_buf b;

    gd_buf_init(&b, SIZE_MAX / 2);
    for (; *keys; keys++)
        gd_buf_addf(&b, "%s\n", gd_json_text(one, *keys, ""));
    return gd_buf_steal(&b);
}

static void add(struct gd_reports_list *l, json_t *one, const char *const *keys, bool fresh)
{
    GD_AUTO_FREE char *key = key_of(one, keys);
    size_t place = (size_t)(uintptr_t)gd_map_get(&l->at, key);

    if (fresh)
        json_array_append(l->fresh, one);
    if (place) {
        json_array_set(l->all, place - 1, one);
        return;
    }
    json_array_append(l->all, one);
    (void)gd_map_set(&l->at, key, (void *)(uintptr_t)json_array_size(l->all));
}

static void add_all(struct gd_reports_list *l, const json_t *list, const char *const *keys, bool fresh)
{
    json_t *one;
    size_t i;

    json_array_foreach(list, i, one) add(l, one, keys, fresh);
}

void gd_reports_init(struct gd_reports *r, const struct gd_flow *f)
{
    json_t *part;
    size_t i;

    *r = (struct gd_reports){ .durable = f->nparts, .parts = json_array() };
    r->assets.all = json_array();
    r->assets.fresh = json_array();
    r->surfaces.all = json_array();
    r->surfaces.fresh = json_array();
    add_all(&r->assets, f->assets, asset_keys, true);
    add_all(&r->surfaces, f->surfaces, surface_keys, true);
    json_array_foreach(f->parts, i, part)
    {
        add_all(&r->assets, json_object_get(part, "assets"), asset_keys, false);
        add_all(&r->surfaces, json_object_get(part, "surfaces"), surface_keys, false);
    }
}

static void list_done(struct gd_reports_list *l)
{
    json_decref(l->all);
    json_decref(l->fresh);
    gd_map_done(&l->at, NULL);
}

void gd_reports_done(struct gd_reports *r)
{
    list_done(&r->assets);
    list_done(&r->surfaces);
    json_decref(r->parts);
}

/* Lists hold everything since the start of the operation, and what was told does not change any more. */
static void take(struct gd_reports_list *l, const json_t *told, const char *const *keys)
{
    for (; l->taken < json_array_size(told); l->taken++)
        add(l, json_array_get(told, l->taken), keys, true);
}

void gd_reports_take(struct gd_reports *r, const struct gd_op_result *from)
{
    take(&r->assets, from->assets, asset_keys);
    take(&r->surfaces, from->surfaces, surface_keys);
}

/* The first of them, at most PART_MAX; new reference. */
static json_t *cut(json_t *fresh, size_t from)
{
    json_t *some = json_array();

    for (size_t i = from; i < json_array_size(fresh) && i < from + PART_MAX; i++)
        json_array_append(some, json_array_get(fresh, i));
    return some;
}

bool gd_reports_cut(struct gd_reports *r)
{
    size_t assets = json_array_size(r->assets.fresh), surfaces = json_array_size(r->surfaces.fresh);
    size_t n = assets > surfaces ? assets : surfaces;

    for (size_t at = 0; at < n; at += PART_MAX) {
        GD_AUTO_JSON part = json_pack("{s:o, s:o}", "assets", cut(r->assets.fresh, at), "surfaces",
                                      cut(r->surfaces.fresh, at));
        GD_AUTO_FREE char *text = gd_json_dump(part);

        json_array_append_new(r->parts, json_string(text));
    }
    json_array_clear(r->assets.fresh);
    json_array_clear(r->surfaces.fresh);
    return n > 0;
}

GD_SQL(sql_part, "INSERT INTO flow_parts (workspace, flow_id, position, part) SELECT workspace, id, $3, $4"
                 " FROM flows WHERE workspace = $1 AND id = $2"
                 " ON CONFLICT (workspace, flow_id, position) DO NOTHING");

void gd_reports_save(const struct gd_reports *r, struct gd_tx *tx, const struct gd_flow *f)
{
    json_t *part;
    size_t i;

    json_array_foreach(r->parts, i, part)
        gd_tx_add(tx, &sql_part, GD_P_TEXT(f->workspace), GD_P_TEXT(f->id), GD_P_INT(r->durable + (int64_t)i),
                  GD_P_TEXT(json_string_value(part)));
}

void gd_reports_saved(struct gd_reports *r)
{
    r->durable += (int64_t)json_array_size(r->parts);
    json_array_clear(r->parts);
}
