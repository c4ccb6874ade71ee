/* plugin/doc.c - what is read here was written by a platform, or by somebody who can speak in its name. A
 * body that is not exactly JSON (duplicate keys, NUL, too deep, cut off) is read as nothing at all, never as
 * a part of it. */
#include "plugin/doc.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>
#include <strings.h>

size_t gd_doc_cost(const struct gd_http_answer *a)
{
    static const unsigned char begins[256] = { [','] = 1, ['['] = 1, ['{'] = 1, ['&'] = 1 };
    size_t values = 1;

    for (size_t i = 0; i < a->body_len; i++)
        values += begins[(unsigned char)a->body[i]];
    return a->body_len * 2 + values * 64;
}

static bool is_form(const struct grantd_doc *d)
{
    static const char form[] = "application/x-www-form-urlencoded";
    const char *type = gd_doc_header(d, "content-type");

    return type && !strncasecmp(type, form, sizeof form - 1);
}

/* name=value, both decoded in place; false when either is not text or the name is there already. */
static bool add_pair(json_t *o, char *pair)
{
    char *value = strchr(pair, '=');

    if (value)
        *value++ = '\0';
    else
        value = pair + strlen(pair);
    if (!gd_percent_decode(pair, true) || !gd_percent_decode(value, true) || json_object_get(o, pair))
        return false;
    return json_object_set_new(o, pair, json_string(value)) == 0;
}

static json_t *parse_form(const char *body, size_t len)
{
    GD_AUTO_FREE char *copy = gd_strndup(body, len);
    json_t *o = json_object();
    char *save = NULL;
    bool fine = strlen(copy) == len;

    for (char *p = strtok_r(copy, "&", &save); p && fine; p = strtok_r(NULL, "&", &save))
        fine = add_pair(o, p);
    if (fine)
        return o;
    json_decref(o);
    return NULL;
}

static char *copy_to(char **p, const char *s)
{
    size_t n = strlen(s) + 1;
    char *at = memcpy(*p, s, n);

    *p += n;
    return at;
}

/* All in one block. */
static void copy_headers(struct grantd_doc *d, const struct gd_http_answer *a)
{
    size_t n = a->nheaders * sizeof *d->headers;
    char *p;

    for (size_t i = 0; i < a->nheaders; i++)
        n += strlen(a->headers[i].name) + strlen(a->headers[i].value) + 2;
    d->headers = gd_new(n);
    d->nheaders = a->nheaders;
    p = (char *)(d->headers + a->nheaders);
    for (size_t i = 0; i < a->nheaders; i++) {
        d->headers[i].name = copy_to(&p, a->headers[i].name);
        d->headers[i].value = copy_to(&p, a->headers[i].value);
    }
}

struct grantd_doc *gd_doc_answer(const struct gd_http_answer *a)
{
    struct grantd_doc *d = gd_new(sizeof *d);

    d->status = a->status;
    d->len = a->body_len;
    d->body = gd_new(a->body_len + 1);
    if (a->body_len)
        memcpy(d->body, a->body, a->body_len);
    copy_headers(d, a);
    if (is_form(d))
        d->json = parse_form(d->body, d->len);
    else if (d->len)
        d->json = gd_json_parse(d->body, d->len, GD_HTTP_BODY_MAX, NULL);
    return d;
}

struct grantd_doc *gd_doc_json(json_t *j, const struct grantd_field *fields)
{
    struct grantd_doc *d = gd_new(sizeof *d);

    d->json = j;
    d->fields = fields;
    return d;
}

void gd_doc_free(struct grantd_doc *d)
{
    while (d) {
        struct grantd_doc *next = d->next;

        gd_free(d->headers);
        gd_free(d->body);
        json_decref(d->json);
        gd_free(d);
        d = next;
    }
}

int gd_doc_status(const grantd_doc *d)
{
    return d ? d->status : 0;
}

const char *gd_doc_header(const grantd_doc *d, const char *name)
{
    for (size_t i = 0; d && name && i < d->nheaders; i++)
        if (!strcasecmp(d->headers[i].name, name))
            return d->headers[i].value;
    return NULL;
}

const char *gd_doc_body(const grantd_doc *d)
{
    if (!d || !d->body)
        return "";
    return strlen(d->body) == d->len ? d->body : NULL;
}

/* One token of a JSON pointer, ~1 and ~0 undone; false when it is too long. */
static bool pointer_token(char *out, size_t size, const char **p)
{
    size_t n = 0;

    for (; **p && **p != '/'; (*p)++) {
        if (n + 1 >= size)
            return false;
        out[n] = **p;
        if (**p == '~' && ((*p)[1] == '0' || (*p)[1] == '1')) {
            out[n] = (*p)[1] == '0' ? '~' : '/';
            (*p)++;
        }
        n++;
    }
    out[n] = '\0';
    return true;
}

static json_t *at_pointer(json_t *v, const char *p)
{
    char token[256];
    int64_t i;

    while (v && *p == '/') {
        p++;
        if (!pointer_token(token, sizeof token, &p))
            return NULL;
        if (json_is_array(v))
            v = gd_parse_i64(token, &i) && i >= 0 ? json_array_get(v, (size_t)i) : NULL;
        else
            v = json_object_get(v, token);
    }
    return v;
}

static json_t *at(const grantd_doc *d, const char *path)
{
    if (!d || !d->json || !path)
        return NULL;
    return *path == '/' ? at_pointer(d->json, path) : gd_json_at(d->json, path);
}

/* Same dotted path, where a star of the field stands for any name. Asked for every field of a table at each
 * look-up, so the first character that differs ends it. */
static bool same_path(const char *field, const char *path)
{
    bool begins = true; /* a name */

    while (*field && *path) {
        if (begins && *field == '*' && (!field[1] || field[1] == '.')) {
            field++;
            path = strchrnul(path, '.');
            begins = false;
        } else {
            if (*field != *path)
                return false;
            begins = *field == '.';
            field++;
            path++;
        }
    }
    return !*field && !*path;
}

static const char *default_of(const struct grantd_field *f, const char *path)
{
    for (; f && f->path; f++)
        if (f->dflt && same_path(f->path, path))
            return f->dflt;
    return NULL;
}

/* What stands in the map for everything below "inputs" when a star of the table may match there: no path
 * begins so. A star as the first name stands for all: just the mark. */
static void star_key(char out[64], const char *path)
{
    size_t n = strcspn(path, ".");

    n = n == 1 && *path == '*' ? 0 : n < 62 ? n : 62;
    out[0] = '\x01';
    memcpy(out + 1, path, n);
    out[n + 1] = '\0';
}

void gd_doc_defaults(struct gd_map *m, const struct grantd_field *fields)
{
    char key[64];

    for (const struct grantd_field *f = fields; f && f->path; f++) {
        star_key(key, f->path);
        if (f->dflt && strchr(f->path, '*'))
            (void)gd_map_set(m, key, (void *)(uintptr_t) "");
        else if (f->dflt && !gd_map_get(m, f->path))
            (void)gd_map_set(m, f->path, (void *)(uintptr_t)f->dflt);
    }
}

/* The default that a description's table has for an absent field. */
static const char *default_at(const grantd_doc *d, const char *path)
{
    const char *dflt;
    char key[64];

    if (!d || !path || *path == '\x01' || !d->fields)
        return NULL;
    if (!d->defaults || !d->defaults->count)
        return default_of(d->fields, path);
    dflt = gd_map_get(d->defaults, path);
    if (dflt)
        return dflt;
    star_key(key, path);
    return gd_map_get(d->defaults, key) || gd_map_get(d->defaults, "\x01") ? default_of(d->fields, path)
                                                                           : NULL;
}

int gd_doc_type(const grantd_doc *d, const char *path)
{
    const json_t *v = at(d, path);

    if (!v)
        return GRANTD_IS_ABSENT;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return GRANTD_IS_OBJECT;
    case JSON_ARRAY:
        return GRANTD_IS_LIST;
    case JSON_STRING:
        return GRANTD_IS_TEXT;
    case JSON_INTEGER:
    case JSON_REAL:
        return GRANTD_IS_NUMBER;
    case JSON_NULL:
        return GRANTD_IS_NULL;
    default:
        return GRANTD_IS_BOOL;
    }
}

const char *gd_doc_text(const grantd_doc *d, const char *path)
{
    const json_t *v = at(d, path);

    return v ? json_string_value(v) : default_at(d, path);
}

static bool num_of_text(const char *s, int64_t *ret)
{
    if (s && (!strcmp(s, "true") || !strcmp(s, "false"))) {
        *ret = *s == 't';
        return true;
    }
    return s && gd_parse_i64(s, ret);
}

int64_t gd_doc_num(const grantd_doc *d, const char *path, int64_t dflt)
{
    const double exact = 9007199254740992.0; /* 2^53: beyond it a double is not the number that was written */
    const json_t *v = at(d, path);
    int64_t n = dflt;
    double x;

    if (json_is_integer(v))
        return json_integer_value(v);
    if (json_is_boolean(v))
        return json_is_true(v);
    if (json_is_real(v)) {
        x = json_real_value(v);
        return x > -exact && x < exact && (double)(int64_t)x >= x && (double)(int64_t)x <= x ? (int64_t)x
                                                                                             : dflt;
    }
    if (!num_of_text(v ? json_string_value(v) : default_at(d, path), &n))
        return dflt;
    return n;
}

int64_t gd_doc_len(const grantd_doc *d, const char *path)
{
    const json_t *v = at(d, path);

    return (int64_t)(json_is_array(v) ? json_array_size(v) : json_object_size(v));
}

const char *gd_doc_key(const grantd_doc *d, const char *path, int64_t i)
{
    json_t *v = at(d, path);
    const char *key;
    json_t *member;

    if (i < 0 || !json_is_object(v))
        return NULL;
    json_object_foreach(v, key, member) if (i-- == 0) return key;
    return NULL;
}
