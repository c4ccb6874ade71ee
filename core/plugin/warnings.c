/* plugin/warnings.c - sentences of one word; see warnings.h. */
#include "plugin/warnings.h"
#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

static size_t digits(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && p[i] >= '0' && p[i] <= '9')
        i++;
    return i;
}

static bool same(const char *a, size_t an, const char *b, size_t bn)
{
    while (an && bn) {
        size_t i = digits(a, an), k = digits(b, bn);
        bool figures = i && k && i <= GD_WARNINGS_FIGURE_MAX && k <= GD_WARNINGS_FIGURE_MAX;

        i = i ? i : 1;
        k = k ? k : 1;
        if (!figures && (i != k || memcmp(a, b, i) != 0))
            return false;
        a += i;
        an -= i;
        b += k;
        bn -= k;
    }
    return an == bn;
}

static const char *find(const char *text, const char *sentence, size_t *ret_n)
{
    for (const char *p = text; p && *p;) {
        size_t n = strcspn(p, "\n");

        if (same(p, n, sentence, strlen(sentence))) {
            *ret_n = n;
            return p;
        }
        p += n + (p[n] == '\n');
    }
    return NULL;
}

static size_t lines(const char *text)
{
    size_t n = 1;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

bool gd_warnings_add(json_t *all, const char *word, const char *sentence)
{
    const char *old = gd_json_text(all, word, NULL), *at;
    size_t n = 0;
    struct gd_buf b;

    if (old && !strcmp(old, sentence))
        return false;
    at = find(old, sentence, &n);
    if (!at && old && lines(old) >= GD_WARNINGS_LINES_MAX)
        return false;
    gd_buf_init(&b, SIZE_MAX / 2);
    if (at) {
        gd_buf_add(&b, old, (size_t)(at - old));
        gd_buf_addf(&b, "%s%s", sentence, at + n);
    } else {
        gd_buf_addf(&b, "%s%s%s", old ? old : "", old ? "\n" : "", sentence);
    }
    json_object_set_new(all, word, json_string(b.ptr));
    gd_buf_done(&b);
    return !at;
}

char *gd_warnings_next(const char **p)
{
    size_t n = strcspn(*p, "\n");
    char *line = gd_strndup(*p, n);

    *p += n + ((*p)[n] == '\n');
    return line;
}

void gd_warnings_merge(json_t *all, const char *word, const char *text, json_t *news)
{
    while (text && *text) {
        GD_AUTO_FREE char *sentence = gd_warnings_next(&text);

        if (gd_warnings_add(all, word, sentence) && news)
            (void)gd_warnings_add(news, word, sentence);
    }
}

void gd_warnings_news(const json_t *before, const char *word, const char *text, json_t *news)
{
    size_t n;

    while (text && *text) {
        GD_AUTO_FREE char *sentence = gd_warnings_next(&text);

        if (!find(gd_json_text(before, word, NULL), sentence, &n))
            (void)gd_warnings_add(news, word, sentence);
    }
}
