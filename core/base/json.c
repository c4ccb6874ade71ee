/* base/json.c */
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* Depth of the brackets outside strings; enough to keep the parser's recursion small. */
static bool too_deep(const char *p, size_t n)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < n; i++) {
        if (in_string) {
            if (p[i] == '\\')
                i++;
            else if (p[i] == '"')
                in_string = false;
            continue;
        }
        if (p[i] == '"')
            in_string = true;
        else if (p[i] == '{' || p[i] == '[')
            depth++;
        else if ((p[i] == '}' || p[i] == ']') && depth)
            depth--;
        if (depth > GD_JSON_DEPTH_MAX)
            return true;
    }
    return false;
}

json_t *gd_json_parse(const char *p, size_t n, size_t max, struct gd_err *err)
{
    json_error_t e;
    json_t *doc;

    if (n > max) {
        gd_err_set(err, GD_R_JSON_INVALID, "the JSON text has %zu bytes, at most %zu are taken", n, max);
        return NULL;
    }
    if (too_deep(p, n)) {
        gd_err_set(err, GD_R_JSON_TOO_DEEP, "the JSON text is nested deeper than %d levels",
                   GD_JSON_DEPTH_MAX);
        return NULL;
    }
    doc = json_loadb(p, n, JSON_REJECT_DUPLICATES, &e); /* check:allow the door itself */
    if (!doc)
        gd_err_set(err, GD_R_JSON_INVALID, "the text is not valid JSON (line %d, column %d)", e.line,
                   e.column);
    return doc;
}

static json_t *child(const json_t *v, const char *key, size_t n)
{
    char name[256];
    int64_t i;

    if (n >= sizeof name)
        return NULL;
    memcpy(name, key, n);
    name[n] = '\0';
    if (json_is_object(v))
        return json_object_get(v, name);
    if (!json_is_array(v) || !gd_parse_i64(name, &i) || i < 0)
        return NULL;
    return json_array_get(v, (size_t)i);
}

json_t *gd_json_at(const json_t *doc, const char *path)
{
    const json_t *v = doc;
    const char *sep = ".";

    if (*path == '/') {
        sep = "/";
        path++;
    }
    while (v && *path) {
        size_t n = strcspn(path, sep);

        v = child(v, path, n);
        path += n;
        if (*path)
            path++;
    }
    return (json_t *)(uintptr_t)v;
}

const char *gd_json_text(const json_t *obj, const char *key, const char *dflt)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_string(v) ? json_string_value(v) : dflt;
}

int64_t gd_json_i64(const json_t *obj, const char *key, int64_t dflt)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_integer(v) ? json_integer_value(v) : dflt;
}

bool gd_json_bool(const json_t *obj, const char *key, bool dflt)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_boolean(v) ? json_is_true(v) : dflt;
}

char *gd_json_dump(const json_t *j)
{
    return json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

void gd_json_setup(void)
{
    json_set_alloc_funcs(gd_lib_malloc, gd_free);
    json_object_seed(0);
}
