/* rpc/schema.c - the table of methods, and the checks that their schemas ask for. */
#include "rpc/schema.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/schema_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64

struct gd_schemas {
    struct gd_schema *list;
    size_t count;
    json_t *types;
};
/* Where the check is: "items[2].role". */
struct path {
    char text[160];
    size_t len;
};

static void read_file(struct gd_schemas *s, const struct gd_schema_file *f)
{
    struct gd_err err;
    json_t *doc = gd_json_parse((const char *)f->bytes, f->len, f->len, &err);
    struct gd_schema *m = &s->list[s->count];

    if (!doc) {
        (void)fprintf(stderr, "schema %s: %s\n", f->name, err.text);
        abort();
    }
    if (!strcmp(f->name, "types")) {
        s->types = doc;
        return;
    }
    m->doc = doc;
    m->method = gd_json_text(doc, "method", "");
    m->summary = gd_json_text(doc, "summary", "");
    m->since = gd_json_text(doc, "since", "");
    m->mutates = gd_json_bool(doc, "mutates", true);
    m->follow = gd_json_bool(doc, "follow", false);
    m->params = json_object_get(doc, "params");
    m->result = json_object_get(doc, "result");
    m->scope = json_object_get(doc, "scope");
    m->examples = json_object_get(doc, "examples");
    if (strcmp(m->method, f->name) != 0 || !m->params || !m->result) {
        (void)fprintf(stderr, "schema %s: method, params and result must be there\n", f->name);
        abort();
    }
    s->count++;
}

struct gd_schemas *gd_schemas_new(void)
{
    struct gd_schemas *s = gd_new(sizeof *s);

    s->list = gd_new_array(gd_schema_nfiles, sizeof *s->list);
    for (size_t i = 0; i < gd_schema_nfiles; i++)
        read_file(s, &gd_schema_files[i]);
    return s;
}

void gd_schemas_free(struct gd_schemas *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        json_decref((json_t *)(uintptr_t)s->list[i].doc);
    json_decref(s->types);
    gd_free(s->list);
    gd_free(s);
}

size_t gd_schemas_count(const struct gd_schemas *s)
{
    return s->count;
}

const struct gd_schema *gd_schemas_at(const struct gd_schemas *s, size_t i)
{
    return &s->list[i];
}

const struct gd_schema *gd_schemas_find(const struct gd_schemas *s, const char *method)
{
    size_t lo = 0, hi = s->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(method, s->list[mid].method);

        if (c == 0)
            return &s->list[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

/* ---- the path of what is checked --------------------------------------------------------------------------
 */

static size_t push(struct path *p, const char *fmt, const char *name, size_t i)
{
    size_t old = p->len;
    int n;

    if (name)
        n = snprintf(p->text + p->len, sizeof p->text - p->len, "%s%.64s", p->len ? "." : fmt, name);
    else
        n = snprintf(p->text + p->len, sizeof p->text - p->len, "[%zu]", i);
    if (n > 0)
        p->len += (size_t)n;
    if (p->len >= sizeof p->text)
        p->len = sizeof p->text - 1;
    return old;
}

static void pop(struct path *p, size_t old)
{
    p->len = old;
    p->text[old] = '\0';
}

/* ---- one value --------------------------------------------------------------------------------------------
 */

bool gd_schema_duration(const char *text, int64_t *ret_seconds)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
    char digits[16];
    size_t n = strspn(text, "0123456789");
    int64_t v, mul = 0;

    if (n == 0 || n > 12)
        return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!gd_parse_i64(digits, &v))
        return false;
    if (!text[n])
        mul = 1;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (text[n] == units[i].unit && !text[n + 1])
            mul = units[i].seconds;
    if (!mul || v > INT64_MAX / mul)
        return false;
    *ret_seconds = v * mul;
    return true;
}

static bool is_enum(const char *words, size_t n, const char *v)
{
    size_t len = strlen(v);

    for (size_t i = 0; i < n;) {
        const char *bar = memchr(words + i, '|', n - i);
        size_t w = bar ? (size_t)(bar - words) - i : n - i;

        if (w == len && !memcmp(words + i, v, w))
            return true;
        i += w + 1;
    }
    return false;
}

static bool is_email(const char *v)
{
    const char *at = strchr(v, '@');

    return at && at != v && at[1] && !strchr(at + 1, '@') && !strpbrk(v, " \t\n<>,;\"");
}

static bool is_locale(const char *v)
{
    size_t n = strlen(v);

    if (n < 2 || n > 35 || strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != n)
        return false;
    return v[0] != '-' && v[n - 1] != '-' && !strstr(v, "--");
}

static bool is_time(const char *v)
{
    size_t n = strlen(v);

    return n == 24 && v[n - 1] == 'Z' && v[19] == '.' && gd_time_parse(v) >= 0;
}

static bool is_secret_text(const char *v)
{
    return gd_text_clean(v, strlen(v));
}

static bool is_named(const char *v)
{
    return gd_name_valid(v, GD_NAME_MAX);
}

/* Types that are texts. n: length of the type expression without its question mark. */
static bool text_fits(const char *type, size_t n, const char *v)
{
    static const struct {
        const char *name;
        bool (*fits)(const char *);
    } kinds[] = {
        { "string", is_secret_text }, { "secret", is_secret_text }, { "name", is_named },
        { "time", is_time },          { "email", is_email },        { "locale", is_locale },
    };
    struct gd_id id;

    if (n == 5 && !memcmp(type, "id:", 3)) {
        char kind[3] = { type[3], type[4], '\0' };

        return gd_id_parse(&id, kind, v, strlen(v));
    }
    if (n > 5 && !memcmp(type, "enum:", 5))
        return is_enum(type + 5, n - 5, v);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == n && !memcmp(kinds[i].name, type, n))
            return gd_text_clean(v, strlen(v)) && kinds[i].fits(v);
    return false;
}

static bool plain_fits(const char *type, size_t n, const json_t *v)
{
    if (n == 3 && !memcmp(type, "any", n))
        return true;
    if (n == 7 && !memcmp(type, "integer", n))
        return json_is_integer(v);
    if (n == 6 && !memcmp(type, "number", n))
        return json_is_number(v);
    if (n == 7 && !memcmp(type, "boolean", n))
        return json_is_boolean(v);
    if (n == 6 && !memcmp(type, "object", n))
        return json_is_object(v);
    return json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v) &&
           text_fits(type, n, json_string_value(v));
}

/* ---- parameters -------------------------------------------------------------------------------------------
 */

static const char *a_word_of(const char *kind)
{
    static const char *const words[][2] = {
        { "string", "a text" },
        { "name", "a name of a-z, 0-9, _ and -, starting with a letter" },
        { "time", "a time such as 2026-11-21T23:16:04.123Z" },
        { "duration", "a duration: whole seconds, or 90s, 15m, 24h, 14d" },
        { "email", "an e-mail address" },
        { "locale", "a language tag such as en or pt-BR" },
        { "integer", "a whole number" },
        { "number", "a number" },
        { "boolean", "true or false" },
        { "object", "an object" },
        { "strings", "a list of texts" },
        { "list", "a list of objects" },
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i][0], kind))
            return words[i][1];
    return kind;
}

void gd_schema_type_words(const json_t *param, char *out, size_t cap)
{
    const char *type = gd_json_text(param, "type", "string");
    const char *unit = "";
    size_t n;

    if (!strncmp(type, "id:", 3)) {
        (void)snprintf(out, cap, "an id that starts with %s, copied whole from a listing", type + 3);
        return;
    }
    if (!strncmp(type, "enum:", 5)) {
        (void)snprintf(out, cap, "one of %s", type + 5);
        for (char *p = out; *p; p++)
            if (*p == '|')
                *p = ' ';
        return;
    }
    if (!strcmp(type, "string") || !strcmp(type, "email"))
        unit = " bytes";
    else if (!strcmp(type, "list") || !strcmp(type, "strings"))
        unit = " entries";
    (void)snprintf(out, cap, "%s%s", a_word_of(type),
                   gd_json_bool(param, "one_line", false) ? " on one line" : "");
    n = strlen(out);
    if (json_object_get(param, "min") && json_object_get(param, "max"))
        (void)snprintf(out + n, cap - n, ", %lld to %lld%s", (long long)gd_json_i64(param, "min", 0),
                       (long long)gd_json_i64(param, "max", 0), unit);
    else if (json_object_get(param, "max"))
        (void)snprintf(out + n, cap - n, ", at most %lld%s", (long long)gd_json_i64(param, "max", 0), unit);
    else if (json_object_get(param, "min"))
        (void)snprintf(out + n, cap - n, ", at least %lld%s", (long long)gd_json_i64(param, "min", 0), unit);
}

static int wrong(const struct path *p, const json_t *param, struct gd_err *err)
{
    char words[200];

    gd_schema_type_words(param, words, sizeof words);
    return gd_err_set(err, GD_R_PARAM_INVALID, "parameter %s must be %s", p->text, words);
}

static bool in_bounds(const json_t *param, int64_t v)
{
    return v >= gd_json_i64(param, "min", INT64_MIN) && v <= gd_json_i64(param, "max", INT64_MAX);
}

static int check_members(const json_t *params, json_t *value, struct path *p, struct gd_err *err);

static int check_list(const json_t *param, json_t *v, struct path *p, struct gd_err *err)
{
    const json_t *of = json_object_get(param, "of");

    if (!json_is_array(v) || !in_bounds(param, (int64_t)json_array_size(v)))
        return wrong(p, param, err);
    for (size_t i = 0; i < json_array_size(v); i++) {
        json_t *one = json_array_get(v, i);
        size_t old = push(p, "", NULL, i);

        if (of && !json_is_object(one))
            return gd_err_set(err, GD_R_PARAM_INVALID, "parameter %s must be an object", p->text);
        if (of && check_members(of, one, p, err) < 0)
            return -1;
        if (!of && !plain_fits("string", 6, one))
            return gd_err_set(err, GD_R_PARAM_INVALID, "parameter %s must be a text", p->text);
        pop(p, old);
    }
    return 0;
}

/* Replaces the text of a duration by its seconds. */
static int check_duration(const json_t *param, json_t *owner, const char *name, json_t *v, struct path *p,
                          struct gd_err *err)
{
    int64_t s = 0;

    if (json_is_integer(v))
        s = json_integer_value(v);
    else if (!json_is_string(v) || !gd_schema_duration(json_string_value(v), &s))
        return wrong(p, param, err);
    if (!in_bounds(param, s))
        return wrong(p, param, err);
    json_object_set_new(owner, name, json_integer(s));
    return 0;
}

static int check_param(const json_t *param, json_t *owner, const char *name, json_t *v, struct path *p,
                       struct gd_err *err)
{
    const char *type = gd_json_text(param, "type", "string");

    if (!strcmp(type, "duration"))
        return check_duration(param, owner, name, v, p, err);
    if (!strcmp(type, "list") || !strcmp(type, "strings"))
        return check_list(param, v, p, err);
    if (!plain_fits(type, strlen(type), v))
        return wrong(p, param, err);
    if (json_is_integer(v) && !in_bounds(param, json_integer_value(v)))
        return wrong(p, param, err);
    if (json_is_string(v) && !in_bounds(param, (int64_t)json_string_length(v)))
        return wrong(p, param, err);
    if (json_is_string(v) && gd_json_bool(param, "one_line", false) && strpbrk(json_string_value(v), "\n\t"))
        return wrong(p, param, err);
    return 0;
}

static int unknown_param(const json_t *params, const char *name, const struct path *p, struct gd_err *err)
{
    const char *list[WORD_MAX + 1] = { NULL }, *near, *key;
    char clean[41];
    json_t *ignored;
    size_t n = 0;

    json_object_foreach((json_t *)(uintptr_t)params, key, ignored) if (n < WORD_MAX) list[n++] = key;
    near = gd_schema_nearest(name, list);
    if (near)
        return gd_err_set(err, GD_R_PARAM_INVALID, "there is no such parameter in %s; did you mean %s?",
                          p->len ? p->text : "this method", near);
    /* Names of parameters are no secrets, but they may be anything: only plain ones are repeated. */
    (void)snprintf(clean, sizeof clean, "%.40s", name);
    if (!gd_name_valid(clean, 40))
        (void)snprintf(clean, sizeof clean, "one of them");
    return gd_err_set(err, GD_R_PARAM_INVALID, "%s is not a parameter of %s; see `grantctl daemon help`",
                      clean, p->len ? p->text : "this method");
}

static int fill_in(const json_t *params, json_t *value, struct path *p, struct gd_err *err)
{
    const char *name;
    json_t *param;

    json_object_foreach((json_t *)(uintptr_t)params, name, param)
    {
        const json_t *dflt = json_object_get(param, "default");
        char words[200];

        if (!strcmp(name, "*") || json_object_get(value, name))
            continue;
        if (dflt) {
            json_object_set(value, name, (json_t *)(uintptr_t)dflt);
        } else if (gd_json_bool(param, "required", false)) {
            push(p, "", name, 0);
            gd_schema_type_words(param, words, sizeof words);
            return gd_err_set(err, GD_R_PARAM_INVALID, "parameter %s is missing: %s", p->text, words);
        }
    }
    return 0;
}

static int check_members(const json_t *params, json_t *value, struct path *p, struct gd_err *err)
{
    const char *name;
    json_t *v;
    void *it, *next;

    for (it = json_object_iter(value); it; it = next) {
        const json_t *param;
        size_t old;

        name = json_object_iter_key(it);
        v = json_object_iter_value(it);
        next = json_object_iter_next(value, it); /* before a duration is replaced */
        param = json_object_get(params, name);
        if (!param || !strcmp(name, "*"))
            param = json_object_get(params, "*");
        if (!param)
            return unknown_param(params, name, p, err);
        old = push(p, "", name, 0);
        if (check_param(param, value, name, v, p, err) < 0)
            return -1;
        pop(p, old);
    }
    return fill_in(params, value, p, err);
}

int gd_schema_check_params(const struct gd_schema *m, json_t *params, struct gd_err *err)
{
    struct path p = { .len = 0 };

    if (!json_is_object(params))
        return gd_err_set(err, GD_R_PARAM_INVALID, "params must be an object: parameters go by name");
    return check_members(m->params, params, &p, err);
}

/* ---- results ----------------------------------------------------------------------------------------------
 */

static int check_object(const struct gd_schemas *s, const json_t *members, const json_t *v, struct path *p,
                        struct gd_err *err);

static int mismatch(const struct path *p, const char *type, struct gd_err *err)
{
    return gd_err_set(err, GD_R_INTERNAL, "the reply's member %s is not %s as its schema says", p->text,
                      type);
}

static int check_text_type(const struct gd_schemas *s, const char *type, const json_t *v, struct path *p,
                           struct gd_err *err)
{
    size_t n = strlen(type);
    char name[WORD_MAX];

    if (n && type[n - 1] == '?') {
        if (!v || json_is_null(v))
            return 0;
        n--;
    }
    if (!v)
        return mismatch(p, "there", err);
    if (type[0] != '@')
        return plain_fits(type, n, v) ? 0 : mismatch(p, type, err);
    if (n >= sizeof name || !json_is_object(v))
        return mismatch(p, type, err);
    memcpy(name, type + 1, n - 1);
    name[n - 1] = '\0';
    return check_object(s, json_object_get(s->types, name), v, p, err);
}

static int check_type(const struct gd_schemas *s, const json_t *type, const json_t *v, struct path *p,
                      struct gd_err *err)
{
    if (json_is_string(type))
        return check_text_type(s, json_string_value(type), v, p, err);
    if (json_is_object(type))
        return json_is_object(v) ? check_object(s, type, v, p, err) : mismatch(p, "an object", err);
    if (!json_is_array(v))
        return mismatch(p, "a list", err);
    for (size_t i = 0; i < json_array_size(v); i++) {
        size_t old = push(p, "", NULL, i);

        if (check_type(s, json_array_get(type, 0), json_array_get(v, i), p, err) < 0)
            return -1;
        pop(p, old);
    }
    return 0;
}

static int check_object(const struct gd_schemas *s, const json_t *members, const json_t *v, struct path *p,
                        struct gd_err *err)
{
    const char *name;
    json_t *one;

    if (!members)
        return mismatch(p, "of a known type", err);
    json_object_foreach((json_t *)(uintptr_t)members, name, one)
    {
        size_t old = push(p, "", name, 0);

        if (strcmp(name, "*") != 0 && check_type(s, one, json_object_get(v, name), p, err) < 0)
            return -1;
        pop(p, old);
    }
    if (json_object_get(members, "*"))
        return 0;
    json_object_foreach((json_t *)(uintptr_t)v, name, one) if (!json_object_get(members, name))
    {
        push(p, "", name, 0);
        return mismatch(p, "named", err);
    }
    return 0;
}

int gd_schema_check_result(const struct gd_schemas *s, const struct gd_schema *m, const json_t *result,
                           struct gd_err *err)
{
    struct path p = { .len = 0 };

    if (!json_is_object(result))
        return gd_err_set(err, GD_R_INTERNAL, "the reply is no object");
    return check_object(s, m->result, result, &p, err);
}

/* ---- did you mean -----------------------------------------------------------------------------------------
 */

/* Edit distance of two short words; neighbours that changed places count once. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];

    for (unsigned i = 0; i <= na; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++)
        for (size_t j = 1; j <= nb; j++) {
            unsigned v = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            if (d[i - 1][j] + 1 < v)
                v = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < v)
                v = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < v)
                v = d[i - 2][j - 2] + 1;
            d[i][j] = v;
        }
    return d[na][nb];
}

const char *gd_schema_nearest(const char *word, const char *const *list)
{
    size_t n = strlen(word);
    unsigned best = (unsigned)(n < 4 ? 2 : n / 3 + 2);
    const char *found = NULL;

    if (n == 0 || n > WORD_MAX)
        return NULL;
    for (; *list; list++) {
        size_t len = strlen(*list);
        unsigned d;

        if (len > WORD_MAX)
            continue;
        d = distance(word, n, *list, len);
        if (d < best) {
            best = d;
            found = *list;
        }
    }
    return found;
}
