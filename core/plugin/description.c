/* plugin/description.c - provider descriptions against the table of fields of their platform. The first thing
 * that is wrong is said with file, JSON pointer and what would be right; a description is a small file, and
 * its author mends one thing after the other. */
#include "plugin/platform.h"
#include "plugin/url.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS_MAX GD_JSON_DEPTH_MAX

struct walk {
    const struct grantd_field *fields;
    const char *file;
    const char *segments[SEGMENTS_MAX + 1];
    char index[SEGMENTS_MAX + 1][24]; /* text of array positions, for the pointer */
    size_t depth;
    struct gd_err *err;
};

static void add_pointer(struct gd_buf *b, const struct walk *w)
{
    for (size_t i = 0; i < w->depth; i++) {
        gd_buf_addc(b, '/');
        for (const char *c = w->segments[i]; *c; c++)
            if (*c == '~' || *c == '/')
                gd_buf_adds(b, *c == '~' ? "~0" : "~1");
            else
                gd_buf_addc(b, *c);
    }
}

/* "file: /pointer: what" */
__attribute__((format(printf, 2, 3))) static int wrong(const struct walk *w, const char *fmt, ...)
{
    char what[GD_ERR_TEXT_MAX];
    struct gd_buf b;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    gd_buf_init(&b, GD_DESCRIPTION_MAX);
    add_pointer(&b, w);
    gd_err_set(w->err, GD_R_DESCRIPTION_INVALID, "%s: %s: %s", w->file, b.ptr ? b.ptr : "/", what);
    gd_buf_done(&b);
    return -1;
}

/* How many segments of the field's path match the walk's path; *ret_all when all of the field's are used up.
 */
static size_t match(const struct walk *w, const char *path, bool *ret_all)
{
    size_t i = 0;

    *ret_all = false;
    while (i < w->depth && *path) {
        size_t n = strcspn(path, ".");
        bool star = n == 1 && *path == '*';

        if (!star && (strlen(w->segments[i]) != n || strncmp(w->segments[i], path, n) != 0))
            return 0;
        path += n + (path[n] == '.');
        i++;
    }
    *ret_all = *path == '\0';
    return i;
}

/* The field that stands exactly here; a name wins over a star. NULL when there is none; *ret_inside when
 * fields lie below this path, so that an object here is right. */
static const struct grantd_field *find(const struct walk *w, bool *ret_inside)
{
    const struct grantd_field *star = NULL;

    *ret_inside = false;
    for (const struct grantd_field *f = w->fields; f->path; f++) {
        bool all;

        if (match(w, f->path, &all) != w->depth)
            continue;
        if (!all)
            *ret_inside = true;
        else if (!strchr(f->path, '*'))
            return f;
        else
            star = f;
    }
    return star;
}

static const char *type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "a boolean";
    }
}

static int expected(const struct walk *w, const json_t *v, const char *what)
{
    return wrong(w, "this is %s; %s would be right", type_name(v), what);
}

static int check_text(const struct walk *w, const json_t *v)
{
    if (!json_is_string(v))
        return expected(w, v, "a string");
    if (!gd_text_clean(json_string_value(v), json_string_length(v)))
        return wrong(w, "the text holds control characters; plain text would be right");
    return 0;
}

static size_t template_len(const char *s)
{
    size_t n = strspn(s + 2, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

    return n && s[n + 2] == '}' ? n + 3 : 0;
}

/* Puts "x" in place of every ${name}; false when one is not closed or empty. */
static bool fill_templates(struct gd_buf *b, const char *s)
{
    while (*s) {
        size_t n = s[0] == '$' && s[1] == '{' ? template_len(s) : 1;

        if (!n)
            return false;
        if (n == 1)
            gd_buf_addc(b, *s);
        else
            gd_buf_adds(b, "x");
        s += n;
    }
    return !b->failed;
}

static int check_one_url(const struct walk *w, const json_t *v)
{
    const char *s = json_string_value(v);
    struct gd_plugin_url u;
    struct gd_buf b;
    bool templates, right;

    if (check_text(w, v) != 0)
        return -1;
    gd_buf_init(&b, GD_DESCRIPTION_MAX);
    /* a template at the start stands for a whole base URL */
    gd_buf_adds(&b, strncmp(s, "${", 2) == 0 ? "https://" : "");
    templates = fill_templates(&b, s);
    right = templates && b.ptr && gd_plugin_url_parse(b.ptr, &u) && !strchr(b.ptr, '#');
    gd_buf_done(&b);
    if (!templates)
        return wrong(w, "a template is not ${name}; close it and name it with letters, digits, dots");
    if (!right)
        return wrong(
            w, "\"%.120s\" is not an https URL; https://host/path would be right (http only to loopback)", s);
    return 0;
}

/* Runs check on each element of an array that is not empty. */
static int check_each(struct walk *w, const json_t *v, int (*check)(const struct walk *, const json_t *))
{
    json_t *e;
    size_t i;

    json_array_foreach(v, i, e)
    {
        int rc;

        (void)snprintf(w->index[w->depth], sizeof w->index[0], "%zu", i);
        w->segments[w->depth] = w->index[w->depth];
        w->depth++;
        rc = check(w, e);
        w->depth--;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int check_url(struct walk *w, const json_t *v)
{
    if (!json_is_array(v))
        return json_is_string(v) ? check_one_url(w, v) : expected(w, v, "an https URL, or an array of them");
    if (json_array_size(v) == 0)
        return wrong(w, "the array is empty; at least one URL would be right");
    return check_each(w, v, check_one_url);
}

static int check_int(const struct walk *w, const json_t *v)
{
    return json_is_integer(v) ? 0 : expected(w, v, "a whole number");
}

static int check_enum(const struct walk *w, const json_t *v, const char *choices)
{
    const char *s = json_string_value(v), *c = choices;

    if (!s)
        return expected(w, v, choices);
    while (*c) {
        size_t n = strcspn(c, "|");

        if (strlen(s) == n && !strncmp(s, c, n))
            return 0;
        c += n + (c[n] == '|');
    }
    return wrong(w, "\"%.60s\" is not one of %s", s, choices);
}

static int check_map(struct walk *w, const json_t *v)
{
    const char *key;
    json_t *e;

    if (!json_is_object(v))
        return expected(w, v, "an object of strings");
    json_object_foreach((json_t *)(uintptr_t)v, key, e)
    {
        int rc;

        w->segments[w->depth++] = key;
        rc = check_text(w, e);
        w->depth--;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int check_words(struct walk *w, const json_t *v, bool text_too)
{
    if (text_too && json_is_string(v))
        return check_text(w, v);
    if (!json_is_array(v))
        return expected(w, v, text_too ? "a string, or an array of strings" : "an array of strings");
    return check_each(w, v, check_text);
}

static int check_object(struct walk *w, const json_t *v);

static int check_list(struct walk *w, const json_t *v)
{
    json_t *e;
    size_t i;

    if (!json_is_array(v))
        return expected(w, v, "an array of objects");
    json_array_foreach(v, i, e)
    {
        int rc;

        (void)snprintf(w->index[w->depth], sizeof w->index[0], "%zu", i);
        w->segments[w->depth] = w->index[w->depth];
        w->depth++;
        rc = check_object(w, e);
        w->depth--;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int check_value(struct walk *w, const struct grantd_field *f, const json_t *v)
{
    switch (f->type) {
    case GRANTD_F_TEXT:
        return check_text(w, v);
    case GRANTD_F_URL:
        return check_url(w, v);
    case GRANTD_F_INT:
        return check_int(w, v);
    case GRANTD_F_BOOL:
        return json_is_boolean(v) ? 0 : expected(w, v, "true or false");
    case GRANTD_F_ENUM:
        return check_enum(w, v, f->choices);
    case GRANTD_F_WORDS:
    case GRANTD_F_TEXT_OR_WORDS:
        return check_words(w, v, f->type == GRANTD_F_TEXT_OR_WORDS);
    case GRANTD_F_INTS:
        return json_is_array(v) ? check_each(w, v, check_int) : expected(w, v, "an array of whole numbers");
    case GRANTD_F_MAP:
        return check_map(w, v);
    case GRANTD_F_LIST:
        return check_list(w, v);
    default:
        return check_object(w, v);
    }
}

/* The name that a field would have directly below the walk's path; 0 when it has none. */
static size_t name_below(const struct walk *w, const struct grantd_field *f, const char **ret_name)
{
    const char *p = f->path;
    bool all;

    if (match(w, p, &all) != w->depth || all)
        return 0;
    for (size_t i = 0; i < w->depth; i++)
        p += strcspn(p, ".") + 1;
    *ret_name = p;
    return strcspn(p, ".");
}

static int unknown_key(struct walk *w)
{
    struct gd_buf b;
    const char *name, *last = "";
    size_t n, last_n = 0;

    gd_buf_init(&b, 240);
    w->depth--;
    for (const struct grantd_field *f = w->fields; f->path; f++) {
        n = name_below(w, f, &name);
        if (!n || (n == last_n && !strncmp(last, name, n)))
            continue;
        gd_buf_addf(&b, "%s%.*s", b.len ? ", " : "", (int)n, name);
        last = name;
        last_n = n;
    }
    w->depth++;
    (void)wrong(w, "nothing is known by this name here; known are: %s", b.len ? b.ptr : "none");
    gd_buf_done(&b);
    return -1;
}

static int check_member(struct walk *w, const json_t *v)
{
    bool inside;
    const struct grantd_field *f = find(w, &inside);

    if (f)
        return check_value(w, f, v);
    return inside ? check_object(w, v) : unknown_key(w);
}

/* Fields that must be there in this object. */
static int check_required(struct walk *w, const json_t *v)
{
    for (const struct grantd_field *f = w->fields; f->path; f++) {
        const char *name = NULL;
        size_t n = f->required ? name_below(w, f, &name) : 0;

        if (!n || name[n] == '.' || *name == '*')
            continue;
        if (!json_object_get(v, name))
            return wrong(w, "\"%s\" is missing: %s", name, f->help);
    }
    return 0;
}

static int check_object(struct walk *w, const json_t *v)
{
    const char *key;
    json_t *e;

    if (!json_is_object(v))
        return expected(w, v, "an object");
    if (w->depth == SEGMENTS_MAX)
        return wrong(w, "this is nested too deep");
    json_object_foreach((json_t *)(uintptr_t)v, key, e)
    {
        int rc;

        w->segments[w->depth++] = key;
        rc = check_member(w, e);
        w->depth--;
        if (rc != 0)
            return rc;
    }
    return check_required(w, v);
}

int gd_description_check(const struct gd_platform *p, const json_t *d, const char *file, struct gd_err *err)
{
    struct walk w = { .fields = p->p.description, .file = file, .err = err };

    if (!w.fields)
        return gd_err_set(err, GD_R_DESCRIPTION_INVALID, "%s: the platform %s reads no descriptions", file,
                          p->p.name);
    return check_object(&w, d);
}

/* Whole content; caller frees. NULL with an error. */
static char *read_small(const char *path, size_t *ret_len, struct gd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    char *text;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > GD_DESCRIPTION_MAX) {
        gd_err_set(err, GD_R_DESCRIPTION_INVALID, "%s: /: this is not a plain file of at most %d bytes", path,
                   GD_DESCRIPTION_MAX);
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    text = gd_new(GD_DESCRIPTION_MAX + 1);
    n = read(fd, text, GD_DESCRIPTION_MAX);
    (void)close(fd);
    if (n >= 0) {
        *ret_len = (size_t)n;
        return text;
    }
    gd_err_set(err, GD_R_DESCRIPTION_INVALID, "%s: /: it cannot be read: %s", path, strerror(errno));
    gd_free(text);
    return NULL;
}

static int check_id(const json_t *d, const char *path, struct gd_err *err)
{
    const char *id = gd_json_text(d, "id", NULL), *base = strrchr(path, '/');
    size_t n;

    base = base ? base + 1 : path;
    n = strlen(base);
    if (n > 5 && !strcmp(base + n - 5, ".json"))
        n -= 5;
    if (!id || !gd_name_valid(id, GD_NAME_MAX) || strlen(id) != n || strncmp(id, base, n) != 0)
        return gd_err_set(err, GD_R_DESCRIPTION_INVALID,
                          "%s: /id: this must be the file's name, \"%.*s\" (small letters, digits, - and _)",
                          path, (int)n, base);
    return 0;
}

json_t *gd_description_load(const struct gd_platform *p, const char *path, struct gd_err *err)
{
    size_t n = 0;
    GD_AUTO_FREE char *text = read_small(path, &n, err);
    struct gd_err why;
    json_t *d;

    if (!text)
        return NULL;
    d = gd_json_parse(text, n, GD_DESCRIPTION_MAX, &why);
    if (!d) {
        gd_err_set(err, GD_R_DESCRIPTION_INVALID, "%s: /: %s", path, why.text);
        return NULL;
    }
    if (gd_description_check(p, d, path, err) != 0 || check_id(d, path, err) != 0) {
        json_decref(d);
        return NULL;
    }
    return d;
}
