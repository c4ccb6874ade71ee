/* grantd/platform_help.h - small things that most platforms need and that the host has no part in: texts,
 * numbers, dates, and what of a closing is others'. Optional, and no part of the ABI: whoever includes it
 * carries a copy of what it uses, so that it may change with any version. Nothing here keeps state or
 * allocates; texts may be NULL wherever it is not said otherwise. */
#ifndef GRANTD_PLATFORM_HELP_H
#define GRANTD_PLATFORM_HELP_H

#include <grantd/platform.h>

#include <string.h>

/* ---- texts ----------------------------------------------------------------------------------- */

/* Both there and the same. Not for secrets: those are compared with grantd_same. */
static inline int grantd_equal(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

static inline char grantd_lower_(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Whether part (not NULL) stands in text; letters of ASCII in either case. */
static inline int grantd_contains(const char *text, const char *part)
{
    for (; text && *text; text++) {
        size_t i = 0;

        while (part[i] && grantd_lower_(text[i]) == grantd_lower_(part[i]))
            i++;
        if (!part[i])
            return 1;
    }
    return text && !*part;
}

/* A copy for people and notes: at most max bytes of whole characters, anything that cannot be seen as a
 * blank. NULL stays NULL. What a platform calls its things is written by its users. */
static inline const char *grantd_shown(grantd_op *op, const char *text, size_t max)
{
    size_t n = text ? strlen(text) : 0;
    char *out;

    for (n = n < max ? n : max; n && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80;)
        n--;
    out = text ? (char *)grantd_alloc(op, n + 1) : NULL;
    for (size_t i = 0; out && i < n; i++)
        out[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
    return text && !out ? "" : out;
}

/* The first n characters as a number; -1 when they are not n digits. n is at most 18. */
static inline int64_t grantd_digits(const char *s, size_t n)
{
    int64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

/* A text of 1 to 18 digits and nothing else as a number, else -1. Ids are no numbers: they stay texts. */
static inline int64_t grantd_number(const char *text)
{
    size_t n = text ? strlen(text) : 0;

    return n > 0 && n <= 18 ? grantd_digits(text, n) : -1;
}

/* ---- dates of the Gregorian calendar, UTC ---------------------------------------------------- */

/* Days since 1970-01-01; year 0 and later. */
static inline int64_t grantd_days(int64_t y, int64_t m, int64_t d)
{
    int64_t era, yoe, doy;

    y -= m <= 2;
    era = y / 400;
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct grantd_date {
    int64_t y, m, d;
};
/* Back again. */
static inline struct grantd_date grantd_date_of(int64_t days)
{
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t m = mp < 10 ? mp + 3 : mp - 9;

    return (struct grantd_date){ yoe + era * 400 + (m <= 2), m, doy - (153 * mp + 2) / 5 + 1 };
}

/* A text that begins with a day as in 2027-08-31, in days since 1970-01-01; -1: it does not, or is older. */
static inline int64_t grantd_day(const char *text)
{
    static const int8_t lengths[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t y, m, d;

    if (!text || strlen(text) < 10 || text[4] != '-' || text[7] != '-')
        return -1;
    y = grantd_digits(text, 4);
    m = grantd_digits(text + 5, 2);
    d = grantd_digits(text + 8, 2);
    return y < 1970 || m < 1 || m > 12 || d < 1 || d > lengths[m - 1] ? -1 : grantd_days(y, m, d);
}

/* Months since the year 0 of a moment since 1970: versions are often named after months, and their ages
 * compared. */
static inline int64_t grantd_month_of(int64_t unix_seconds)
{
    struct grantd_date d = grantd_date_of(unix_seconds / 86400);

    return d.y * 12 + d.m - 1;
}

/* ---- closing --------------------------------------------------------------------------------- */

/* revoke: whether another grant, or an item that is still open, stands on that surface of the asset. */
static inline int grantd_is_others(grantd_op *op, const char *kind, const char *id)
{
    const grantd_doc *g = grantd_document(op, GRANTD_DOC_GRANT);

    for (int64_t i = 0; g && i < grantd_len(op, g, "others"); i++)
        if (grantd_equal(grantd_text(op, g, grantd_strf(op, "others.%lld.kind", (long long)i)), kind) &&
            grantd_equal(grantd_text(op, g, grantd_strf(op, "others.%lld.id", (long long)i)), id))
            return 1;
    return 0;
}

#endif
