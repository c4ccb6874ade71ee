/* base/json.c */
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
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

/* Has one of eight bytes to be looked at? Sets the top bit of those below 0x20, of the two marks and, if
 * asked, of all beyond ASCII; may also say yes to a byte behind one that has, which costs a closer look and
 * nothing else. */
static uint64_t eight_marked(const char *s, bool ascii)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t v, quote, slash;

    memcpy(&v, s, sizeof v);
    quote = v ^ ones * '"';
    slash = v ^ ones * '\\';
    return ((ascii ? v : 0) | ((v - ones * 0x20) & ~v) | ((quote - ones) & ~quote) |
            ((slash - ones) & ~slash)) &
           tops;
}

/* ---- reading what is plain: strings of ASCII without escapes, integers, no repeated name. jansson takes its
 * input byte by byte through two buffers, ten times as long, and every answer of a platform passes here. Of
 * whatever is not plain, wrong or not, nothing is said here: jansson reads it from the start. ---- */

struct plain {
    const char *p, *end;
    unsigned depth;
};

static json_t *plain_value(struct plain *in);

static void skip_blanks(struct plain *in)
{
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\n' || *in->p == '\r' || *in->p == '\t'))
        in->p++;
}

static bool next_is(struct plain *in, char c)
{
    skip_blanks(in);
    if (in->p == in->end || *in->p != c)
        return false;
    in->p++;
    return true;
}

/* Behind the first mark; its length without the marks, or -1. */
static long plain_string(struct plain *in)
{
    const char *from = in->p;

    for (;;) {
        unsigned char c;

        while (in->end - in->p >= 8 && !eight_marked(in->p, true))
            in->p += 8;
        if (in->p == in->end)
            return -1;
        c = (unsigned char)*in->p++;
        if (c == '"')
            return in->p - 1 - from;
        if (c < 0x20 || c == '\\' || c >= 0x80)
            return -1;
    }
}

static bool plain_member(struct plain *in, json_t *o)
{
    size_t had = json_object_size(o);
    const char *key;
    json_t *v;
    long n;

    if (!next_is(in, '"'))
        return false;
    key = in->p;
    n = plain_string(in);
    if (n < 0 || !next_is(in, ':'))
        return false;
    v = plain_value(in);
    return v && json_object_setn_new_nocheck(o, key, (size_t)n, v) == 0 && json_object_size(o) > had;
}

static bool plain_element(struct plain *in, json_t *a)
{
    json_t *v = plain_value(in);

    return v && json_array_append_new(a, v) == 0;
}

static json_t *plain_many(struct plain *in, json_t *all, char close, bool (*one)(struct plain *, json_t *))
{
    bool fine = ++in->depth <= GD_JSON_DEPTH_MAX;

    if (fine && !next_is(in, close)) {
        do
            fine = one(in, all);
        while (fine && next_is(in, ','));
        fine = fine && next_is(in, close);
    }
    in->depth--;
    if (fine)
        return all;
    json_decref(all);
    return NULL;
}

/* What follows a number or a word in a text that is right. */
static bool at_end(const struct plain *in)
{
    return in->p < in->end && memchr(",]} \n\r\t", *in->p, 7);
}

static json_t *plain_word(struct plain *in, const char *word, json_t *v)
{
    size_t n = strlen(word);

    if ((size_t)(in->end - in->p) < n || memcmp(in->p, word, n) != 0)
        return NULL;
    in->p += n;
    return at_end(in) ? v : NULL;
}

static json_t *plain_integer(struct plain *in)
{
    bool minus = *in->p == '-';
    const char *from = in->p + minus;
    json_int_t n = 0;

    for (in->p = from; in->p < in->end && *in->p >= '0' && *in->p <= '9' && in->p - from < 18; in->p++)
        n = n * 10 + (*in->p - '0');
    if (in->p == from || !at_end(in) || (*from == '0' && (minus || in->p - from > 1)))
        return NULL;
    return json_integer(minus ? -n : n);
}

static json_t *plain_value(struct plain *in)
{
    const char *from;
    long n;

    skip_blanks(in);
    if (in->p == in->end)
        return NULL;
    switch (*in->p) {
    case '{':
        in->p++;
        return plain_many(in, json_object(), '}', plain_member);
    case '[':
        in->p++;
        return plain_many(in, json_array(), ']', plain_element);
    case '"':
        from = ++in->p;
        n = plain_string(in);
        return n < 0 ? NULL : json_stringn_nocheck(from, (size_t)n);
    case 't':
        return plain_word(in, "true", json_true());
    case 'f':
        return plain_word(in, "false", json_false());
    case 'n':
        return plain_word(in, "null", json_null());
    default:
        return plain_integer(in);
    }
}

/* NULL: read it as a whole. */
static json_t *parse_plain(const char *p, size_t n)
{
    struct plain in = { p, p + n, 0 };
    json_t *doc;

    skip_blanks(&in);
    if (in.p == in.end || (*in.p != '{' && *in.p != '['))
        return NULL;
    doc = plain_value(&in);
    skip_blanks(&in);
    if (in.p == in.end)
        return doc;
    json_decref(doc);
    return NULL;
}

json_t *gd_json_parse(const char *p, size_t n, size_t max, struct gd_err *err)
{
    json_error_t e;
    json_t *doc;

    if (n > max) {
        gd_err_set(err, GD_R_JSON_INVALID, "the JSON text has %zu bytes, at most %zu are taken", n, max);
        return NULL;
    }
    if ((doc = parse_plain(p, n)))
        return doc;
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
    char name[24];
    int64_t i;

    if (json_is_object(v))
        return json_object_getn(v, key, n);
    if (!json_is_array(v) || n >= sizeof name)
        return NULL;
    memcpy(name, key, n);
    name[n] = '\0';
    return gd_parse_i64(name, &i) && i >= 0 ? json_array_get(v, (size_t)i) : NULL;
}

json_t *gd_json_at(const json_t *doc, const char *path)
{
    const json_t *v = doc;
    int sep = '.';

    if (*path == '/')
        sep = *path++;
    while (v && *path) {
        const char *end = strchrnul(path, sep);

        v = child(v, path, (size_t)(end - path));
        path = *end ? end + 1 : end;
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

/* ---- writing: what json_dumps(JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) writes, byte for byte, at a
 * fifth of its cost; every refresh writes three of these. ---- */

#define DUMP_DEPTH_MAX 2048 /* as jansson's own */
#define SORTED_FEW     32

struct dump {
    char *p;
    size_t n, cap;
    unsigned depth;
    bool failed; /* nested too deep, or within itself */
};
struct member {
    const char *key;
    json_t *value;
};

static char *dump_room(struct dump *d, size_t more)
{
    if (d->n + more > d->cap) {
        while (d->n + more > d->cap)
            d->cap *= 2;
        d->p = gd_resize(d->p, d->cap);
    }
    return d->p + d->n;
}

static void dump_bytes(struct dump *d, const char *p, size_t n)
{
    memcpy(dump_room(d, n), p, n);
    d->n += n;
}

static void dump_escaped(struct dump *d, unsigned char c)
{
    static const char shorts[] = "\bb\ff\nn\rr\tt\"\"\\\\", digits[] = "0123456789ABCDEF";
    char long_form[] = "\\u0000";

    for (const char *s = shorts; *s; s += 2)
        if ((unsigned char)*s == c) {
            dump_bytes(d, (const char[]){ '\\', s[1] }, 2);
            return;
        }
    long_form[4] = digits[c >> 4];
    long_form[5] = digits[c & 15];
    dump_bytes(d, long_form, 6);
}

static void dump_text(struct dump *d, const char *s, size_t n)
{
    size_t from = 0, i = 0;

    dump_bytes(d, "\"", 1);
    while (i < n) {
        unsigned char c = (unsigned char)s[i];

        if (n - i >= 8 && !eight_marked(s + i, false)) {
            i += 8;
            continue;
        }
        i++;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        dump_bytes(d, s + from, i - 1 - from);
        dump_escaped(d, c);
        from = i;
    }
    dump_bytes(d, s + from, n - from);
    dump_bytes(d, "\"", 1);
}

static void dump_value(struct dump *d, const json_t *v);

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void dump_object(struct dump *d, json_t *o)
{
    struct member few[SORTED_FEW], *m = few;
    size_t n = 0;
    bool sorted = true;
    const char *key;
    json_t *v;

    if (json_object_size(o) > SORTED_FEW)
        m = gd_new_array(json_object_size(o), sizeof *m);
    json_object_foreach(o, key, v)
    {
        sorted &= n == 0 || strcmp(m[n - 1].key, key) < 0; /* it may have been made so */
        m[n++] = (struct member){ key, v };
    }
    if (!sorted)
        qsort(m, n, sizeof *m, by_key);
    dump_bytes(d, "{", 1);
    for (size_t i = 0; i < n; i++) {
        if (i)
            dump_bytes(d, ",", 1);
        dump_text(d, m[i].key, strlen(m[i].key));
        dump_bytes(d, ":", 1);
        dump_value(d, m[i].value);
    }
    dump_bytes(d, "}", 1);
    if (m != few)
        gd_free(m);
}

static void dump_array(struct dump *d, const json_t *a)
{
    dump_bytes(d, "[", 1);
    for (size_t i = 0; i < json_array_size(a); i++) {
        if (i)
            dump_bytes(d, ",", 1);
        dump_value(d, json_array_get(a, i));
    }
    dump_bytes(d, "]", 1);
}

static void dump_integer(struct dump *d, json_int_t v)
{
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    char text[24], *p = text + sizeof text;

    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0)
        *--p = '-';
    dump_bytes(d, p, (size_t)(text + sizeof text - p));
}

static void dump_number(struct dump *d, const json_t *v)
{
    GD_AUTO_FREE char *real = NULL;

    if (json_is_integer(v)) {
        dump_integer(d, json_integer_value(v));
        return;
    }
    real = json_dumps(v, JSON_ENCODE_ANY);
    d->failed |= !real;
    if (real)
        dump_bytes(d, real, strlen(real));
}

static void dump_value(struct dump *d, const json_t *v)
{
    if (d->failed || ++d->depth > DUMP_DEPTH_MAX) {
        d->failed = true;
        return;
    }
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT:
        dump_object(d, (json_t *)(uintptr_t)v);
        break;
    case JSON_ARRAY:
        dump_array(d, v);
        break;
    case JSON_STRING:
        dump_text(d, json_string_value(v), json_string_length(v));
        break;
    case JSON_TRUE:
        dump_bytes(d, "true", 4);
        break;
    case JSON_FALSE:
        dump_bytes(d, "false", 5);
        break;
    case JSON_NULL:
        dump_bytes(d, "null", 4);
        break;
    default:
        dump_number(d, v);
    }
    d->depth--;
}

char *gd_json_dump(const json_t *j)
{
    struct dump d = { .cap = 1024 };

    if (!j)
        return NULL;
    d.p = gd_new(d.cap);
    dump_value(&d, j);
    dump_bytes(&d, "", 1);
    if (!d.failed)
        return d.p;
    gd_free(d.p);
    return NULL;
}

void gd_json_setup(void)
{
    json_set_alloc_funcs(gd_lib_malloc, gd_free);
    json_object_seed(0);
}
