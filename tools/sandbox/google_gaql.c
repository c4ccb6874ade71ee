/* google_gaql.c - parses and answers queries (meta_google.md B3, "GAQL used by the plugin"). */
#include "google_gaql.h"

#include "base/mem.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct cursor {
    const char *at;
    const char *word; /* what is wrong; NULL so far */
};

static void blanks(struct cursor *c)
{
    while (isspace((unsigned char)*c->at))
        c->at++;
}

static bool is_name(char ch)
{
    return isalnum((unsigned char)ch) || ch == '_' || ch == '.';
}

/* The next name, a new JSON string; NULL when there is none. */
static json_t *name(struct cursor *c)
{
    const char *start;

    blanks(c);
    start = c->at;
    while (is_name(*c->at))
        c->at++;
    return c->at == start ? NULL : json_stringn(start, (size_t)(c->at - start));
}

/* Eats a key word, in either case, when it is next. */
static bool eat_word(struct cursor *c, const char *word)
{
    size_t n = strlen(word);

    blanks(c);
    if (strncasecmp(c->at, word, n) != 0 || is_name(c->at[n]))
        return false;
    c->at += n;
    return true;
}

static bool eat(struct cursor *c, const char *symbol)
{
    size_t n = strlen(symbol);

    blanks(c);
    if (strncmp(c->at, symbol, n) != 0)
        return false;
    c->at += n;
    return true;
}

static void *wrong(struct cursor *c, const char *word)
{
    if (!c->word)
        c->word = word;
    return NULL;
}

/* A text in quotes of either kind, with backslash escapes. */
static json_t *quoted(struct cursor *c)
{
    char mark = *c->at++, *out = gd_new(strlen(c->at) + 1);
    size_t n = 0;
    json_t *value;

    while (*c->at && *c->at != mark) {
        if (*c->at == '\\' && c->at[1])
            c->at++;
        out[n++] = *c->at++;
    }
    value = *c->at ? json_stringn(out, n) : wrong(c, "UNEXPECTED_END_OF_QUERY");
    if (*c->at)
        c->at++;
    gd_free(out);
    return value;
}

static json_t *value(struct cursor *c)
{
    json_t *found;

    blanks(c);
    if (*c->at == '\'' || *c->at == '"')
        return quoted(c);
    found = name(c);
    return found ? found : wrong(c, "BAD_VALUE");
}

/* "(" value {"," value} ")" */
static json_t *values(struct cursor *c)
{
    json_t *list = json_array();

    if (!eat(c, "("))
        wrong(c, "BAD_SYMBOL");
    do
        json_array_append_new(list, value(c));
    while (!c->word && eat(c, ","));
    if (!c->word && !eat(c, ")"))
        wrong(c, "BAD_SYMBOL");
    return list;
}

static const char *operator_of(struct cursor *c)
{
    static const char *const symbols[] = { "!=", "<=", ">=", "=", "<", ">" };

    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (eat(c, symbols[i]))
            return symbols[i];
    if (eat_word(c, "NOT"))
        return eat_word(c, "IN") ? "NOT IN" : eat_word(c, "LIKE") ? "NOT LIKE" : wrong(c, "BAD_OPERATOR");
    return eat_word(c, "IN") ? "IN" : eat_word(c, "LIKE") ? "LIKE" : wrong(c, "BAD_OPERATOR");
}

static json_t *condition(struct cursor *c)
{
    json_t *field = name(c), *list;
    const char *op;

    if (!field)
        return wrong(c, "BAD_FIELD_NAME");
    op = operator_of(c);
    if (!op) {
        json_decref(field);
        return NULL;
    }
    list = strcmp(op, "IN") == 0 || strcmp(op, "NOT IN") == 0 ? values(c) : json_pack("[o*]", value(c));
    return json_pack("{s:o,s:s,s:o}", "field", field, "op", op, "values", list);
}

static json_t *fields(struct cursor *c)
{
    json_t *list = json_array(), *field;

    do {
        field = name(c);
        if (!field)
            wrong(c, "BAD_FIELD_NAME");
        json_array_append_new(list, field);
    } while (field && eat(c, ","));
    return list;
}

static json_t *conditions(struct cursor *c)
{
    json_t *list = json_array();

    if (!eat_word(c, "WHERE"))
        return list;
    do
        json_array_append_new(list, condition(c));
    while (!c->word && eat_word(c, "AND"));
    return list;
}

static json_t *order(struct cursor *c)
{
    json_t *list = json_array(), *field;
    bool down;

    if (!eat_word(c, "ORDER"))
        return list;
    if (!eat_word(c, "BY"))
        wrong(c, "BAD_SYMBOL");
    do {
        field = name(c);
        if (!field) {
            wrong(c, "BAD_FIELD_NAME");
            break;
        }
        down = eat_word(c, "DESC");
        if (!down)
            eat_word(c, "ASC");
        json_array_append_new(list, json_pack("{s:o,s:b}", "field", field, "desc", (int)down));
    } while (eat(c, ","));
    return list;
}

static json_int_t limit(struct cursor *c)
{
    char *end;
    long n;

    if (!eat_word(c, "LIMIT"))
        return -1;
    blanks(c);
    n = strtol(c->at, &end, 10);
    if (end == c->at || n < 1)
        wrong(c, "BAD_LIMIT_VALUE");
    c->at = end;
    return n;
}

json_t *gaql_parse(const char *text, const char **ret_word)
{
    struct cursor c = { .at = text };
    json_t *query = json_object();

    if (!eat_word(&c, "SELECT"))
        wrong(&c, "EXPECTED_SELECT");
    json_object_set_new(query, "select", fields(&c));
    if (!eat_word(&c, "FROM"))
        wrong(&c, "EXPECTED_FROM");
    json_object_set_new(query, "from", name(&c));
    json_object_set_new(query, "where", conditions(&c));
    json_object_set_new(query, "order", order(&c));
    json_object_set_new(query, "limit", json_integer(limit(&c)));
    blanks(&c);
    if (*c.at || !json_object_get(query, "from"))
        wrong(&c, "UNEXPECTED_INPUT");
    if (!c.word)
        return query;
    *ret_word = c.word;
    json_decref(query);
    return NULL;
}

char *gaql_camel(const char *snake)
{
    char *out = gd_new(strlen(snake) + 1), *to = out;

    for (; *snake; snake++) {
        if (*snake == '_' && snake[1])
            *to++ = (char)toupper((unsigned char)*++snake);
        else
            *to++ = *snake;
    }
    return out;
}

char *gaql_mask(const json_t *query)
{
    char *mask = NULL;
    json_t *field;
    size_t i;

    json_array_foreach(json_object_get(query, "select"), i, field)
    {
        GD_AUTO_FREE char *camel = gaql_camel(json_string_value(field));
        char *longer = mask ? gd_strf("%s,%s", mask, camel) : gd_strdup(camel);

        gd_free(mask);
        mask = longer;
    }
    return mask;
}

/* What a row holds under "resource.field"; NULL when it holds nothing there. Borrowed. */
static json_t *cell(const json_t *row, const char *field)
{
    GD_AUTO_FREE char *camel = gaql_camel(field);
    char *dot = strchr(camel, '.');

    if (!dot)
        return NULL;
    *dot = '\0';
    return json_object_get(json_object_get(row, camel), dot + 1);
}

/* The value as it is compared. Caller frees. */
static char *cell_text(const json_t *row, const char *field)
{
    const json_t *found = cell(row, field);

    if (json_is_string(found))
        return gd_strdup(json_string_value(found));
    if (json_is_boolean(found))
        return gd_strdup(json_is_true(found) ? "true" : "false");
    if (json_is_integer(found))
        return gd_strf("%lld", (long long)json_integer_value(found));
    return gd_strdup("");
}

/* % is any text, and case does not matter (B3, Q5). */
static bool like(const char *pattern, const char *text)
{
    GD_AUTO_FREE char *glob = gd_new(2 * strlen(pattern) + 1);
    char *to = glob;

    for (; *pattern; pattern++) {
        if (strchr("*?[\\", *pattern))
            *to++ = '\\';
        *to++ = *pattern == '%' ? '*' : *pattern;
    }
    return fnmatch(glob, text, FNM_CASEFOLD) == 0;
}

static int compare(const char *a, const char *b)
{
    char *enda, *endb;
    long long x = strtoll(a, &enda, 10), y = strtoll(b, &endb, 10);

    if (*a && *b && !*enda && !*endb)
        return x < y ? -1 : x > y;
    return strcmp(a, b);
}

static bool any(const json_t *list, const char *text, bool (*fits)(const char *, const char *))
{
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        if (fits(json_string_value(one), text))
            return true;
    }
    return false;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool holds(const json_t *row, const json_t *where)
{
    const char *op = json_string_value(json_object_get(where, "op"));
    const json_t *list = json_object_get(where, "values");
    GD_AUTO_FREE char *text = cell_text(row, json_string_value(json_object_get(where, "field")));
    const char *first = json_string_value(json_array_get(list, 0));

    if (strstr(op, "LIKE"))
        return any(list, text, like) == (op[0] == 'L');
    if (strstr(op, "IN"))
        return any(list, text, same) == (op[0] == 'I');
    switch (op[0]) {
    case '=':
        return same(text, first);
    case '!':
        return !same(text, first);
    case '<':
        return compare(text, first) < (op[1] == '=' ? 1 : 0);
    default:
        return compare(text, first) > (op[1] == '=' ? -1 : 0);
    }
}

static bool fits(const json_t *row, const json_t *query)
{
    const json_t *where;
    size_t i;

    json_array_foreach(json_object_get(query, "where"), i, where)
    {
        if (!holds(row, where))
            return false;
    }
    return true;
}

static json_t *project(const json_t *row, const json_t *query)
{
    json_t *out = json_object(), *field;
    size_t i;

    json_array_foreach(json_object_get(query, "select"), i, field)
    {
        GD_AUTO_FREE char *camel = gaql_camel(json_string_value(field));
        char *dot = strchr(camel, '.');
        json_t *from, *to;

        *dot = '\0';
        from = json_object_get(row, camel);
        if (!from)
            continue;
        to = json_object_get(out, camel);
        if (!to) {
            to = json_object();
            json_object_set_new(out, camel, to);
            if (json_object_get(from, "resourceName"))
                json_object_set(to, "resourceName", json_object_get(from, "resourceName"));
        }
        if (json_object_get(from, dot + 1))
            json_object_set(to, dot + 1, json_object_get(from, dot + 1));
    }
    return out;
}

/* Whether every field that the query names is one of known. */
static bool all_known(const json_t *query, const json_t *known)
{
    static const char *const parts[] = { "where", "order" };
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(query, "select"), i, one)
    {
        if (!json_object_get(known, json_string_value(one)))
            return false;
    }
    for (size_t p = 0; p < 2; p++) {
        json_array_foreach(json_object_get(query, parts[p]), i, one)
        {
            if (!json_object_get(known, json_string_value(json_object_get(one, "field"))))
                return false;
        }
    }
    return true;
}

/* Where a row stands among the rows found so far, by the first ORDER BY field. */
static size_t place(const json_t *found, const json_t *row, const json_t *by)
{
    const char *field = json_string_value(json_object_get(by, "field"));
    int sign = json_is_true(json_object_get(by, "desc")) ? -1 : 1;
    GD_AUTO_FREE char *mine = cell_text(row, field);
    size_t at;

    for (at = 0; at < json_array_size(found); at++) {
        GD_AUTO_FREE char *theirs = cell_text(json_array_get(found, at), field);

        if (sign * compare(mine, theirs) < 0)
            break;
    }
    return at;
}

json_t *gaql_run(const json_t *query, const json_t *rows, const json_t *known, const char **ret_word)
{
    const json_t *by = json_array_get(json_object_get(query, "order"), 0);
    json_int_t most = json_integer_value(json_object_get(query, "limit"));
    json_t *found = json_array(), *out = json_array(), *row;
    size_t i;

    if (!all_known(query, known)) {
        *ret_word = "UNRECOGNIZED_FIELD";
        json_decref(found);
        json_decref(out);
        return NULL;
    }
    json_array_foreach(rows, i, row)
    {
        if (fits(row, query))
            json_array_insert(found, by ? place(found, row, by) : json_array_size(found), row);
    }
    json_array_foreach(found, i, row)
    {
        if (most < 0 || (json_int_t)i < most)
            json_array_append_new(out, project(row, query));
    }
    json_decref(found);
    return out;
}
