/* plugin/dump.c - everything that a loader knows of a platform, as JSON. Holds no secret: a platform's data
 * is public. */
#include "plugin/platform.h"
#include "plugin/op.h"

#include <string.h>

static void put(json_t *o, const char *key, const char *text)
{
    if (text)
        (void)json_object_set_new(o, key, json_string(text));
}

static const char *word(const char *const *words, size_t n, uint32_t i)
{
    return i < n ? words[i] : "unknown";
}
#define WORD(list, i) word(list, sizeof(list) / sizeof *(list), (i))

static const char *const types[] = { "text", "url", "int", "bool", "enum" };
static const char *const shapes[] = { "none",      "rotating", "renewable", "exchange",
                                      "perpetual", "window",   "seat" };
static const char *const retry_classes[] = { "unknown", "none", "overlap", "grace", "strict", "family" };
static const char *const field_types[] = { "none",  "text", "url", "int",           "bool",   "enum",
                                           "words", "ints", "map", "text_or_words", "object", "list" };

const char *gd_platform_shape_word(uint32_t shape)
{
    return WORD(shapes, shape);
}

const char *gd_platform_retry_word(uint32_t retry_class)
{
    return WORD(retry_classes, retry_class);
}

static json_t *words(const char *const *list)
{
    json_t *a = json_array();

    for (; list && *list; list++)
        (void)json_array_append_new(a, json_string(*list));
    return a;
}

static json_t *options(const struct grantd_option *o)
{
    json_t *a = json_array();

    for (; o && o->key; o++) {
        json_t *j = json_pack("{s:s, s:s, s:b, s:b, s:b, s:b}", "key", o->key, "type", WORD(types, o->type),
                              "required", (o->flags & GRANTD_OPT_REQUIRED) != 0, "secret",
                              (o->flags & GRANTD_OPT_SECRET) != 0, "hub", (o->flags & GRANTD_OPT_HUB) != 0,
                              "alike", (o->flags & GRANTD_OPT_ALIKE) != 0);

        put(j, "default", o->dflt);
        put(j, "help", o->help);
        if (o->choices)
            (void)json_object_set_new(j, "choices", words(o->choices));
        (void)json_array_append_new(a, j);
    }
    return a;
}

/* Names of the modes that have this role, or whose default it is. */
static json_t *modes_of(const struct gd_platform *p, const struct grantd_role *r, bool as_default)
{
    json_t *a = json_array();

    for (const char *const *m = p->p.modes; m && *m; m++)
        if (gd_platform_role(p, *m, as_default ? NULL : r->name) == r)
            (void)json_array_append_new(a, json_string(*m));
    return a;
}

static json_t *roles(const struct gd_platform *p)
{
    json_t *a = json_array();

    for (const struct grantd_role *r = p->p.roles; r && r->name; r++) {
        json_t *in = modes_of(p, r, true);
        json_t *j = json_pack("{s:b, s:o, s:o}", "default",
                              json_array_size(in) || gd_platform_role(p, NULL, NULL) == r, "default_in", in,
                              "modes", modes_of(p, r, false));

        put(j, "name", r->name);
        put(j, "title", r->title);
        put(j, "may", r->may);
        put(j, "may_not", r->may_not);
        (void)json_array_append_new(a, j);
    }
    return a;
}

static json_t *fields(const struct grantd_field *f)
{
    json_t *a = json_array();

    for (; f && f->path; f++) {
        json_t *j = json_pack("{s:s, s:s, s:b}", "path", f->path, "type", WORD(field_types, f->type),
                              "required", f->required != 0);

        put(j, "choices", f->choices);
        put(j, "default", f->dflt);
        put(j, "help", f->help);
        (void)json_array_append_new(a, j);
    }
    return a;
}

static json_t *caps(uint32_t caps)
{
    static const char *const names[] = { "shared_consent", "described", "described_hosts", "native",
                                         "hub_consent" };
    json_t *a = json_array();

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (caps & (1u << i))
            (void)json_array_append_new(a, json_string(names[i]));
    return a;
}

static json_t *providers(const struct gd_platform *p)
{
    json_t *o = json_object();

    gd_map_each(e, &p->providers)
    {
        const char *title = gd_json_text(e->value, "title", e->key);

        (void)json_object_set_new(o, e->key, json_string(title));
    }
    return o;
}

json_t *gd_platform_json(const struct gd_platform *p)
{
    json_t *j =
        json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:i, s:i, s:b}", "name", p->p.name, "title", p->p.title,
                  "abi", (int)p->p.abi, "size", (int)p->p.size, "shape", WORD(shapes, p->p.shape),
                  "retry_class", WORD(retry_classes, p->p.retry_class), "retry_grace", (int)p->p.retry_grace,
                  "state_size", (int)p->p.state_size, "verify", p->p.verify != NULL);

    put(j, "path", p->path);
    (void)json_object_set_new(j, "caps", caps(p->p.caps));
    (void)json_object_set_new(j, "options", options(p->p.options));
    (void)json_object_set_new(j, "params", options(p->p.params));
    (void)json_object_set_new(j, "scan", json_boolean(p->p.scan != NULL));
    (void)json_object_set_new(j, "notice", json_boolean(p->p.notice != NULL));
    (void)json_object_set_new(j, "roles", roles(p));
    (void)json_object_set_new(j, "modes", words(p->p.modes));
    (void)json_object_set_new(j, "hosts", words(p->p.hosts));
    (void)json_object_set_new(j, "description", fields(p->p.description));
    (void)json_object_set_new(j, "providers", providers(p));
    (void)json_object_set_new(j, "limits",
                              json_pack("{s:i, s:i, s:i}", "concurrency", (int)p->p.limits.concurrency,
                                        "per_minute", (int)p->p.limits.per_minute, "burst",
                                        (int)p->p.limits.burst));
    (void)json_object_set_new(j, "measured",
                              json_pack("{s:I, s:I, s:I}", "calls", (json_int_t)p->calls, "slow_calls",
                                        (json_int_t)p->slow_calls, "worst_us", (json_int_t)p->worst_us));
    return j;
}
