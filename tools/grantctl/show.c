/* show.c - answers for people: tables where the schema gives one, else names and values; times in words. */
#include "ctl.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 16
#define CELL_MAX    60

/* ---- single values ----------------------------------------------------------------------------------------
 */

static bool is_time(const char *s)
{
    size_t n = strlen(s);

    return n == 24 && s[4] == '-' && s[10] == 'T' && s[23] == 'Z' && gd_time_parse(s) >= 0;
}

static void text_cell(char *out, size_t cap, const char *s, bool whole)
{
    char words[64];

    if (!is_time(s)) {
        (void)snprintf(out, cap, "%s", s);
        return;
    }
    time_words(words, gd_time_parse(s), now_ms());
    if (whole)
        (void)snprintf(out, cap, "%.10s %.8s UTC (%s)", s, s + 11, words);
    else
        (void)snprintf(out, cap, "%s", words);
}

static void list_cell(char *out, size_t cap, const json_t *list)
{
    size_t i, n = 0;
    json_t *one;

    out[0] = '\0';
    json_array_foreach((json_t *)(uintptr_t)list, i, one)
    {
        const char *s = json_is_object(one) ? gd_json_text(one, "app", gd_json_text(one, "name", NULL))
                                            : json_string_value(one);

        if (!s) {
            (void)snprintf(out, cap, "%zu", json_array_size(list));
            return;
        }
        if (n < cap)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", i ? " " : "", s);
    }
}

/* One value in one line. */
static void cell(char *out, size_t cap, const json_t *v, bool whole)
{
    GD_AUTO_FREE char *dump = NULL;

    if (!v || json_is_null(v))
        (void)snprintf(out, cap, "-");
    else if (json_is_string(v))
        text_cell(out, cap, json_string_value(v), whole);
    else if (json_is_boolean(v))
        (void)snprintf(out, cap, "%s", json_is_true(v) ? "yes" : "no");
    else if (json_is_array(v))
        list_cell(out, cap, v);
    else if (json_is_object(v) && !whole)
        (void)snprintf(out, cap, "%zu", json_object_size(v));
    else {
        dump = gd_json_dump(v);
        (void)snprintf(out, cap, "%s", dump ? dump : "");
    }
}

static const char *colour_of(const char *s)
{
    static const char *const good[] = { "active", "granted", "closed",  "loaded",
                                        "ready",  "done",    "present", NULL };
    static const char *const bad[] = { "needs_consent", "refused", "declined", "failed",
                                       "frozen",        "gone",    NULL };
    static const char *const look[] = { "degraded",  "at_risk", "confirming", "retrying",
                                        "uncertain", "manual",  NULL };
    static const struct {
        const char *const *words;
        const char *code;
    } sets[] = { { good, "\033[32m" }, { bad, "\033[31m" }, { look, "\033[33m" } };

    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; sets[i].words[k]; k++)
            if (!strcmp(sets[i].words[k], s))
                return sets[i].code;
    return NULL;
}

static void print_cell(const struct ctl *c, const char *text)
{
    const char *code = c->colour ? colour_of(text) : NULL;

    if (code)
        (void)fputs(code, stdout);
    text_print(stdout, text);
    if (code)
        (void)fputs("\033[0m", stdout);
}

/* ---- tables -----------------------------------------------------------------------------------------------
 */

static void title(const struct ctl *c, const char *name, char *out, size_t cap)
{
    const char *dot = strrchr(name, '.');
    size_t i;

    (void)c;
    /* "role.granted" is known as its owner when the last word says little */
    (void)snprintf(out, cap, "%s",
                   dot && (!strcmp(dot, ".name") || !strcmp(dot, ".granted")) ? name
                   : dot                                                      ? dot + 1
                                                                              : name);
    for (i = 0; out[i] && out[i] != '.'; i++)
        if (out[i] == '_')
            out[i] = ' ';
    out[i] = '\0';
}

static void pad(size_t n)
{
    while (n--)
        (void)fputc(' ', stdout);
}

static void line(const struct ctl *c, char cells[][CELL_MAX * 4], const size_t *widths, size_t n, bool head)
{
    if (head && c->colour)
        (void)fputs("\033[1m", stdout);
    for (size_t k = 0; k < n; k++) {
        size_t w = text_width(cells[k]);

        print_cell(c, cells[k]);
        if (k + 1 < n)
            pad((w < widths[k] ? widths[k] - w : 0) + 2);
    }
    (void)fputs(head && c->colour ? "\033[0m\n" : "\n", stdout);
}

static size_t fill(char cells[][CELL_MAX * 4], const json_t *columns, const json_t *row)
{
    size_t n = json_array_size(columns);

    if (n > COLUMNS_MAX)
        n = COLUMNS_MAX;
    for (size_t k = 0; k < n; k++)
        cell(cells[k], CELL_MAX * 4, gd_json_at(row, json_string_value(json_array_get(columns, k))), false);
    return n;
}

static void table(const struct ctl *c, const json_t *columns, json_t *rows)
{
    char cells[COLUMNS_MAX][CELL_MAX * 4];
    size_t widths[COLUMNS_MAX] = { 0 }, i, n = json_array_size(columns);
    json_t *row;

    for (size_t k = 0; k < n && k < COLUMNS_MAX; k++) {
        title(c, json_string_value(json_array_get(columns, k)), cells[k], sizeof cells[k]);
        widths[k] = text_width(cells[k]);
    }
    json_array_foreach(rows, i, row)
    {
        char more[COLUMNS_MAX][CELL_MAX * 4];

        n = fill(more, columns, row);
        for (size_t k = 0; k < n; k++)
            if (text_width(more[k]) > widths[k])
                widths[k] = text_width(more[k]);
    }
    line(c, cells, widths, n, true);
    json_array_foreach(rows, i, row)
    {
        n = fill(cells, columns, row);
        line(c, cells, widths, n, false);
    }
}

/* ---- names and values -------------------------------------------------------------------------------------
 */

static void tree(const struct ctl *c, const json_t *obj, unsigned depth);

static void named(const struct ctl *c, const char *name, json_t *v, unsigned depth)
{
    char text[4096];
    json_t *one;
    size_t i;

    pad((size_t)depth * 2);
    text_print(stdout, name);
    if (json_is_object(v) && json_object_size(v)) {
        (void)fputs(":\n", stdout);
        tree(c, v, depth + 1);
        return;
    }
    if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
        (void)fputs(":\n", stdout);
        json_array_foreach(v, i, one)
        {
            pad((size_t)depth * 2);
            (void)fputs("-\n", stdout);
            tree(c, one, depth + 1);
        }
        return;
    }
    cell(text, sizeof text, v, true);
    (void)fputs(": ", stdout);
    print_cell(c, text);
    (void)fputc('\n', stdout);
}

static bool is_empty(const json_t *v)
{
    return json_is_null(v) || (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v));
}

/* What a person looks for first; the rest follows as it came. */
static const char *const first_names[] = { "id", "name", "title", "state", "reason", "reason_text", "owner" };

static bool comes_first(const char *name)
{
    for (size_t i = 0; i < sizeof first_names / sizeof *first_names; i++)
        if (!strcmp(name, first_names[i]))
            return true;
    return false;
}

static void tree(const struct ctl *c, const json_t *obj, unsigned depth)
{
    const char *name;
    json_t *v;

    for (size_t i = 0; i < sizeof first_names / sizeof *first_names; i++) {
        v = json_object_get(obj, first_names[i]);
        if (v && !is_empty(v))
            named(c, first_names[i], v, depth);
    }
    json_object_foreach((json_t *)(uintptr_t)obj, name, v)
    {
        if (!comes_first(name) && !is_empty(v))
            named(c, name, v, depth);
    }
}

/* ---- whole answers ----------------------------------------------------------------------------------------
 */

/* What somebody should know and nothing was refused for. */
static void show_notices(const json_t *result)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(result, "notices"), i, one)
    {
        char text[512];

        text_cell(text, sizeof text, gd_json_text(one, "text", "-"), true);
        (void)fprintf(stderr, "%s: %s\n", gd_json_text(one, "reason", "-"), text);
    }
}

static void show_link(const struct ctl *c, const json_t *result)
{
    const char *link = gd_json_text(result, "link", ""), *why = NULL;
    char when[128];

    text_cell(when, sizeof when, gd_json_text(result, "expires_at", "-"), true);
    (void)printf("request %s\nThe link works until %s and is shown only this once:\n\n  ",
                 gd_json_text(json_object_get(result, "request"), "id", "-"), when);
    text_print(stdout, link);
    (void)fputs("\n\n", stdout);
    if ((c->qr || isatty(STDOUT_FILENO)) && !c->no_qr)
        why = qr_print(link, c->colour);
    if (why)
        (void)printf("(%s)\n", why);
}

static void show_rest(const struct ctl *c, const json_t *result, const char *rows)
{
    const char *name;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)result, name,
                        v) if (strcmp(name, rows) != 0 && strcmp(name, "next") != 0 && !is_empty(v) &&
                               !(json_is_array(v) && !json_array_size(v))) named(c, name, v, 0);
}

static void show_table(const struct ctl *c, const json_t *hint, const json_t *result)
{
    const char *rows = gd_json_text(hint, "rows", "");
    json_t *list = json_object_get(result, rows), *next = json_object_get(result, "next");
    char text[128];

    show_rest(c, result, rows);
    if (!json_array_size(list)) {
        (void)printf("no %s\n", rows);
        return;
    }
    table(c, json_object_get(hint, "columns"), list);
    if (!next || json_is_null(next))
        return;
    cell(text, sizeof text, next, true);
    (void)fprintf(stderr, "there is more: --after %s\n", text);
}

void show_result(const struct ctl *c, json_t *result)
{
    const json_t *hint = json_object_get(c->method->doc, "table");
    const char *raw = gd_json_text(c->method->doc, "raw", NULL);
    void *first = json_object_iter(result);

    if (c->raw && raw) {
        const char *text = gd_json_text(result, raw, "");

        (void)fputs(text, stdout);
        if (text[0] && text[strlen(text) - 1] != '\n')
            (void)fputc('\n', stdout);
    } else if (json_object_get(result, "link")) {
        show_notices(result);
        show_link(c, result);
    } else if (hint && json_is_array(json_object_get(result, gd_json_text(hint, "rows", "")))) {
        show_table(c, hint, result);
    } else if (json_object_size(result) == 1 && json_is_object(json_object_iter_value(first))) {
        tree(c, json_object_iter_value(first), 0);
    } else {
        tree(c, result, 0);
    }
}

void show_event(const struct ctl *c, const json_t *event)
{
    char when[128];

    text_cell(when, sizeof when, gd_json_text(event, "at", "-"), true);
    text_print(stdout, when);
    (void)fputs("  ", stdout);
    print_cell(c, gd_json_text(event, "type", "-"));
    (void)fputs("  ", stdout);
    text_print(stdout, gd_json_text(event, "subject", "-"));
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}
