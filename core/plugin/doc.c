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

/* Same dotted path, where a star of the field stands for any name. */
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

/* ---- what was found before ---- */

#define SEEN_MAX 1024 /* paths of one description */
#define SEEN_LEN 128  /* longer ones are looked for each time */

struct found {
    const json_t *at;
    const char *dflt; /* when there is nothing */
};

struct gd_doc_seen *gd_doc_seen_new(json_t *of)
{
    struct gd_doc_seen *s = gd_new(sizeof *s);

    s->of = json_incref(of);
    return s;
}

void gd_doc_seen_free(struct gd_doc_seen *s)
{
    while (s) {
        struct gd_doc_seen *next = s->next;

        gd_map_done(&s->found, gd_free);
        json_decref(s->of);
        gd_free(s);
        s = next;
    }
}

static void remember(struct gd_doc_seen *s, const char *path, const struct found *f)
{
    struct found *copy;

    if (s->found.count >= SEEN_MAX || strlen(path) >= SEEN_LEN)
        return;
    copy = gd_new(sizeof *copy);
    *copy = *f;
    (void)gd_map_set(&s->found, path, copy);
}

static struct found find(const grantd_doc *d, const char *path)
{
    const struct found *known = d && d->seen && path ? gd_map_get(&d->seen->found, path) : NULL;
    struct found f = { 0 };

    if (known)
        return *known;
    f.at = at(d, path);
    if (!f.at && d && path)
        f.dflt = default_of(d->fields, path);
    if (d && d->seen && path)
        remember(d->seen, path, &f);
    return f;
}

int gd_doc_type(const grantd_doc *d, const char *path)
{
    const json_t *v = find(d, path).at;

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
    const struct found f = find(d, path);

    return f.at ? json_string_value(f.at) : f.dflt;
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
    const struct found f = find(d, path);
    const json_t *v = f.at;
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
    if (!num_of_text(v ? json_string_value(v) : f.dflt, &n))
        return dflt;
    return n;
}

int64_t gd_doc_len(const grantd_doc *d, const char *path)
{
    const json_t *v = find(d, path).at;

    return (int64_t)(json_is_array(v) ? json_array_size(v) : json_object_size(v));
}

const char *gd_doc_key(const grantd_doc *d, const char *path, int64_t i)
{
    json_t *v = (json_t *)(uintptr_t)find(d, path).at; /* jansson's loop takes no const; it only reads */
    const char *key;
    json_t *member;

    if (i < 0 || !json_is_object(v))
        return NULL;
    json_object_foreach(v, key, member) if (i-- == 0) return key;
    return NULL;
}
