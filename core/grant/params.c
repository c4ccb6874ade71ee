/* grant/params.c - what the agency says about one item, checked against what its platform declares. */
#include "grant/params.h"
#include "plugin/url.h"

#include <string.h>

static const struct grantd_option *find(const struct grantd_option *list, const char *key)
{
    for (; list && list->key; list++)
        if (!strcmp(list->key, key))
            return list;
    return NULL;
}

static bool is_choice(const struct grantd_option *o, const char *text)
{
    for (const char *const *c = o->choices; c && *c; c++)
        if (!strcmp(*c, text))
            return true;
    return false;
}

/* What it has to be, NULL when it is that. */
static const char *fault(const struct grantd_option *o, const char *text)
{
    int64_t n;

    switch (o->type) {
    case GRANTD_URL:
        return strncmp(text, "https://", 8) != 0 || !text[8] || strpbrk(text, " \t\n\"<>\\") ? "an https URL"
                                                                                             : NULL;
    case GRANTD_INT:
        return gd_parse_i64(text, &n) ? NULL : "a whole number";
    case GRANTD_BOOL:
        return !strcmp(text, "yes") || !strcmp(text, "no") || !strcmp(text, "true") || !strcmp(text, "false")
                   ? NULL
                   : "yes or no";
    case GRANTD_ENUM:
        return is_choice(o, text) ? NULL : "one of the platform's choices";
    default:
        return NULL;
    }
}

static int check_one(const struct gd_platform *p, const char *key, const json_t *v, size_t item,
                     struct gd_err *err)
{
    const struct grantd_option *o = find(p->p.params, key);
    const char *text = json_string_value(v), *why;

    if (!o)
        return gd_err_set(
            err, GD_R_PARAM_INVALID,
            "items[%zu].params.%.64s: platform %s has no such parameter; `grantctl platform get "
            "%s` lists them",
            item, key, p->p.name, p->p.name);
    if (!text || strlen(text) != json_string_length(v) || strlen(text) > GD_OP_NOTE_MAX ||
        !gd_text_clean(text, strlen(text)))
        return gd_err_set(err, GD_R_PARAM_INVALID, "items[%zu].params.%.64s is not a text", item, key);
    why = fault(o, text);
    return why ? gd_err_set(err, GD_R_PARAM_INVALID, "items[%zu].params.%.64s has to be %s", item, key, why)
               : 0;
}

int gd_params_check(const struct gd_platform *p, json_t *params, size_t item, struct gd_err *err)
{
    const char *key;
    json_t *v;

    json_object_foreach(params, key, v)
    {
        if (check_one(p, key, v, item, err))
            return -1;
    }
    for (const struct grantd_option *o = p->p.params; o && o->key; o++)
        if ((o->flags & GRANTD_OPT_REQUIRED) && !json_object_get(params, o->key))
            return gd_err_set(err, GD_R_PARAM_INVALID, "items[%zu].params.%.64s is missing: %.128s", item,
                              o->key, o->help ? o->help : "platform needs it");
    return 0;
}

/* As platforms read it: true or false. */
char *gd_params_text(const struct gd_platform *p, json_t *params)
{
    GD_AUTO_JSON clean = json_object_size(params) ? json_copy(params) : NULL;
    const char *key;
    json_t *v;

    if (!clean)
        return NULL;
    json_object_foreach(params, key, v)
    {
        const struct grantd_option *o = find(p->p.params, key);
        const char *text = json_string_value(v);

        if (o && text && o->type == GRANTD_BOOL)
            json_object_set_new(
                clean, key,
                json_string(strcmp(text, "yes") != 0 && strcmp(text, "true") != 0 ? "false" : "true"));
    }
    return gd_json_dump(clean);
}
