/* world.c - the state of each platform: loading, looking, changing; switches, new values, tokens. */
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "sandbox_int.h"

#include <stdio.h>
#include <string.h>

const struct sb_platform *platform_named(const char *name)
{
    for (const struct sb_platform *const *p = sb_platforms; name && *p; p++)
        if (strcmp((*p)->name, name) == 0)
            return *p;
    return NULL;
}

static json_t *read_file(const char *name, struct gd_err *err)
{
    FILE *f = fopen(name, "re");
    struct gd_buf text;
    char part[4096];
    json_t *j = NULL;
    size_t n;

    if (!f) {
        gd_err_set(err, GD_R_PARAM_INVALID, "--world %s: cannot be read", name);
        return NULL;
    }
    gd_buf_init(&text, 16 * 1024 * 1024);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        gd_buf_add(&text, part, n);
    fclose(f);
    if (text.failed || !text.ptr)
        gd_err_set(err, GD_R_PARAM_INVALID, "--world %s: empty, or over 16 MiB", name);
    else
        j = gd_json_parse(text.ptr, text.len, text.max, err);
    gd_buf_done(&text);
    return j;
}

/* {"PLATFORM": {"member": ...}}: each member given takes the place of the default's. */
static int overlay(json_t *defaults, const json_t *own, struct gd_err *err)
{
    const char *name;
    json_t *world;

    if (!json_is_object(own))
        return gd_err_set(err, GD_R_PARAM_INVALID, "the world file is no object of platforms");
    json_object_foreach((json_t *)(uintptr_t)own, name, world)
    {
        json_t *base = json_object_get(defaults, name);

        if (!base || !json_is_object(world))
            return gd_err_set(err, GD_R_PARAM_INVALID,
                              "the world file has \"%s\", which is no platform's world", name);
        json_object_update(base, world);
    }
    return 0;
}

int world_load(struct sb *sb, const char *file, struct gd_err *err)
{
    json_t *own;
    int rc;

    sb->defaults = json_object();
    for (const struct sb_platform *const *p = sb_platforms; *p; p++) {
        const char *text = world_text((*p)->name);
        json_t *j = text ? gd_json_parse(text, strlen(text), SIZE_MAX, err) : json_object();

        if (!j)
            return -1;
        json_object_set_new(sb->defaults, (*p)->name, j);
    }
    if (!file)
        return 0;
    own = read_file(file, err);
    if (!own)
        return -1;
    rc = overlay(sb->defaults, own, err);
    json_decref(own);
    return rc;
}

void world_reset(struct sb *sb, const char *platform)
{
    const char *name;
    json_t *world;

    json_object_foreach(sb->defaults, name, world)
    {
        if (platform && strcmp(platform, name) != 0)
            continue;
        json_object_set_new(sb->worlds, name, json_deep_copy(world));
        json_object_set_new(sb->faults, name, json_array());
    }
}

/* ---- looking ---- */

json_t *sb_world(struct sb_req *r)
{
    return json_object_get(r->sb->worlds, r->platform->name);
}

json_t *sb_list(struct sb_req *r, const char *name)
{
    json_t *at = json_object_get(sb_world(r), name);

    if (!json_is_array(at)) {
        at = json_array();
        json_object_set_new(sb_world(r), name, at);
    }
    return at;
}

json_t *sb_table(struct sb_req *r, const char *name)
{
    json_t *at = json_object_get(sb_world(r), name);

    if (!json_is_object(at)) {
        at = json_object();
        json_object_set_new(sb_world(r), name, at);
    }
    return at;
}

static bool member_is(const json_t *obj, const char *key, const char *text)
{
    const char *have = gd_json_text(obj, key, NULL);

    return have && text && strcmp(have, text) == 0;
}

json_t *sb_find2(const json_t *array, const char *key, const char *text, const char *key2, const char *text2)
{
    size_t i;
    json_t *one;

    json_array_foreach(array, i, one) if (member_is(one, key, text) &&
                                          (!key2 || member_is(one, key2, text2))) return one;
    return NULL;
}

json_t *sb_find(const json_t *array, const char *key, const char *text)
{
    return sb_find2(array, key, text, NULL, NULL);
}

size_t sb_remove(json_t *array, const char *key, const char *text, const char *key2, const char *text2)
{
    size_t n = 0, i = json_array_size(array);

    while (i-- > 0) {
        const json_t *one = json_array_get(array, i);

        if (member_is(one, key, text) && (!key2 || member_is(one, key2, text2))) {
            json_array_remove(array, i);
            n++;
        }
    }
    return n;
}

bool sb_has_text(const json_t *array, const char *text)
{
    size_t i;
    json_t *one;

    json_array_foreach(array, i, one) if (text && json_is_string(one) &&
                                          strcmp(json_string_value(one), text) == 0) return true;
    return false;
}

/* ---- switches ---- */

const struct sb_option *option_named(const struct sb_platform *p, const char *name)
{
    for (const struct sb_option *o = p->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

/* The default is parsed within brackets: a plain value is no JSON document to everybody. */
static const json_t *option_value(struct sb_req *r, const char *name)
{
    const json_t *set = json_object_get(json_object_get(sb_world(r), "options"), name);
    const struct sb_option *known = set ? NULL : option_named(r->platform, name);

    return known ? json_array_get(sb_json_of(r, sb_strf(r, "[%s]", known->dflt)), 0) : set;
}

bool sb_option_bool(struct sb_req *r, const char *name)
{
    return json_is_true(option_value(r, name));
}

int64_t sb_option_i64(struct sb_req *r, const char *name)
{
    const json_t *v = option_value(r, name);

    return json_is_integer(v) ? json_integer_value(v) : 0;
}

const char *sb_option_text(struct sb_req *r, const char *name)
{
    const json_t *v = option_value(r, name);

    return json_is_string(v) ? json_string_value(v) : "";
}
