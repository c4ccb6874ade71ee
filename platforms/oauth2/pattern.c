/* pattern.c - the small pattern language of descriptions: a whole text is matched by a row of characters,
 * classes
 * ("[a-z0-9_-]", "[^/]"), "." and "\" escapes (\d \w \. ...), each followed by nothing, "?", "*", "+" or
 * "{n,m}". No groups, no alternatives: an input with choices says "enum". Work is bounded, so a pattern
 * cannot hang the loop. */
#include "oauth2.h"

enum { WORK_MAX = 100000, REPEAT_MAX = 100000 };

struct atom {
    const char *from, *to; /* one character, escape or class */
    unsigned min, max;
};

static const char *number(const char *p, unsigned *ret)
{
    unsigned n = 0;

    while (*p >= '0' && *p <= '9' && n < REPEAT_MAX / 10)
        n = n * 10 + (unsigned)(*p++ - '0');
    *ret = n;
    return p;
}

static const char *class_end(const char *p)
{
    p++;
    p += *p == '^';
    p += *p == ']';
    while (*p && *p != ']')
        p += *p == '\\' && p[1] ? 2 : 1;
    return *p ? p + 1 : NULL;
}

static const char *braces(const char *p, struct atom *a)
{
    const char *start = p;

    p = number(p, &a->min);
    a->max = a->min;
    if (*p == ',') {
        p = number(p + 1, &a->max);
        if (p[-1] == ',')
            a->max = REPEAT_MAX;
    }
    return *p == '}' && p > start && a->min <= a->max ? p + 1 : NULL;
}

static const char *repeat(const char *p, struct atom *a)
{
    a->min = *p == '*' || *p == '?' ? 0 : 1;
    a->max = *p == '*' || *p == '+' ? REPEAT_MAX : 1;
    if (*p == '{')
        return braces(p + 1, a);
    return *p == '*' || *p == '+' || *p == '?' ? p + 1 : p;
}

/* Reads one atom with its repetition; NULL when the pattern is not of this language. */
static const char *atom_read(const char *p, struct atom *ret)
{
    ret->from = p;
    if (strchr("()|*+?{}", *p))
        return NULL;
    if (*p == '[')
        p = class_end(p);
    else
        p += *p == '\\' && p[1] ? 2 : 1;
    if (!p)
        return NULL;
    ret->to = p;
    return repeat(p, ret);
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static int escaped(char e, char c)
{
    return e == 'd' ? is_digit(c) : e == 'w' ? is_word(c) : e == c;
}

static int in_class(const char *p, const char *to, char c)
{
    int not = p[1] == '^', hit = 0;

    for (p += 1 + not ; p < to - 1; p++) {
        if (*p == '\\') {
            p++;
            hit |= escaped(*p, c);
        } else if (p[1] == '-' && p + 2 < to - 1) {
            hit |= c >= p[0] && c <= p[2];
            p += 2;
        } else {
            hit |= *p == c;
        }
    }
    return hit != not ;
}

static int atom_is(const struct atom *a, char c)
{
    if (*a->from == '[')
        return in_class(a->from, a->to, c);
    if (*a->from == '\\')
        return escaped(a->from[1], c);
    return *a->from == '.' || *a->from == c;
}

static int match(const char *p, const char *text, unsigned *work)
{
    struct atom a;
    size_t n = 0;

    if (!*p || (*p == '$' && !p[1]))
        return !*text;
    p = atom_read(p, &a);
    if (!p)
        return 0;
    while (n < a.max && text[n] && atom_is(&a, text[n]))
        n++;
    for (;; n--) {
        if (n < a.min || !--*work)
            return 0;
        if (match(p, text + n, work))
            return 1;
        if (!n)
            return 0;
    }
}

int oa_matches(const char *pattern, const char *text)
{
    unsigned work = WORK_MAX;

    return match(pattern + (*pattern == '^'), text, &work);
}
