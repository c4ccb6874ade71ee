/* request.c - what arrived, for the platforms: path, parameters, headers, forms and JSON. */
#include "base/mem.h"
#include "base/text.h"
#include "sandbox_int.h"

#include <string.h>
#include <strings.h>

/* One name=value; false when it does not decode. */
static bool read_param(struct sb_req *r, char *text, struct sb_param *ret)
{
    char *equals = strchr(text, '=');
    bool name_good;
    char *value;

    if (equals)
        *equals = '\0';
    ret->raw = equals ? equals + 1 : "";
    ret->name = text;
    ret->value = value = gd_arena_strdup(r->arena, ret->raw);
    name_good = gd_percent_decode(text, true);
    return gd_percent_decode(value, true) && name_good;
}

struct sb_params request_params(struct sb_req *r, const char *text, size_t n)
{
    struct sb_params p = { 0 };
    char *copy = gd_arena_strndup(r->arena, text, n), *save = copy, *one;
    size_t count = 1;
    struct sb_param *at;

    p.bad = memchr(text, '\0', n) != NULL;
    for (const char *s = copy; *s; s++)
        count += *s == '&';
    if (count > SB_PARAMS_MAX) {
        p.bad = true;
        return p;
    }
    p.at = at = gd_arena_alloc(r->arena, count * sizeof *at);
    while ((one = strsep(&save, "&")))
        if (*one && !read_param(r, one, &at[p.n++]))
            p.bad = true;
    return p;
}

/* /HOST/PATH?QUERY; a target that does not start so has an empty host. */
void request_read(struct own *o)
{
    struct sb_req *r = &o->r;
    const char *query = strchr(o->target, '?');
    size_t n = query ? (size_t)(query - o->target) : strlen(o->target);

    r->path = gd_arena_strndup(r->arena, o->target, n);
    r->query_raw = query ? query + 1 : "";
    r->query = request_params(r, r->query_raw, strlen(r->query_raw));
    r->host = "";
}

const char *sb_path_raw(struct sb_req *r, const char *name)
{
    const struct own *o = own_of(r);

    for (size_t i = 0; i < o->ncaptures; i++)
        if (strlen(name) == o->captures[i].name_len && memcmp(o->captures[i].name, name, strlen(name)) == 0)
            return o->captures[i].raw;
    return NULL;
}

const char *sb_path(struct sb_req *r, const char *name)
{
    char *copy = gd_arena_strdup(r->arena, sb_path_raw(r, name));

    return copy && gd_percent_decode(copy, false) ? copy : NULL;
}

const char *sb_header(struct sb_req *r, const char *name)
{
    return MHD_lookup_connection_value(own_of(r)->conn, MHD_HEADER_KIND, name);
}

const char *sb_param(const struct sb_params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->at[i].name, name) == 0)
            return p->at[i].value;
    return NULL;
}

size_t sb_param_count(const struct sb_params *p, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++)
        n += strcmp(p->at[i].name, name) == 0;
    return n;
}

const char *sb_query(struct sb_req *r, const char *name)
{
    return sb_param(&r->query, name);
}

bool sb_has_type(struct sb_req *r, const char *type)
{
    const char *have = sb_header(r, "Content-Type");
    size_t n = strlen(type);

    return have && strncasecmp(have, type, n) == 0 && (have[n] == '\0' || have[n] == ';' || have[n] == ' ');
}

const struct sb_params *sb_form(struct sb_req *r)
{
    struct own *o = own_of(r);

    if (!o->form_parsed && r->body_len)
        o->form = request_params(r, r->body, r->body_len);
    o->form_parsed = true;
    return &o->form;
}

static json_t *parse_kept(struct sb_req *r, const char *text, size_t n)
{
    json_t *j = gd_json_parse(text, n, SB_BODY_MAX, NULL);

    if (j)
        json_array_append_new(own_of(r)->kept, j);
    return j;
}

json_t *sb_body_json(struct sb_req *r)
{
    struct own *o = own_of(r);

    if (!o->body_parsed)
        o->body_json = parse_kept(r, r->body, r->body_len);
    o->body_parsed = true;
    return o->body_json;
}

json_t *sb_json_of(struct sb_req *r, const char *text)
{
    return text ? parse_kept(r, text, strlen(text)) : NULL;
}

char *sb_strf(struct sb_req *r, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = gd_arena_vstrf(r->arena, fmt, ap);
    va_end(ap);
    return s;
}

char *sb_percent(struct sb_req *r, const char *s)
{
    GD_AUTO_FREE char *coded = gd_percent_encode(s);

    return gd_arena_strdup(r->arena, coded);
}
