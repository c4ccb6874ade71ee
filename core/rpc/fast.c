/* rpc/fast.c - reader and writer of the hot path. */
#include "rpc/fast.h"

#include <string.h>

enum { SEEN_JSONRPC = 1, SEEN_ID = 2, SEEN_METHOD = 4, SEEN_PARAMS = 8, SEEN_ALL = 15 };

struct cursor {
    const char *p, *end;
};

static void skip_space(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
        c->p++;
}

static bool take(struct cursor *c, char ch)
{
    skip_space(c);
    if (c->p == c->end || *c->p != ch)
        return false;
    c->p++;
    return true;
}

/* A text of plain ASCII without escapes, of at most max bytes. */
static bool take_text(struct cursor *c, size_t max, const char **ret, size_t *ret_n)
{
    const char *start;

    if (!take(c, '"'))
        return false;
    start = c->p;
    while (c->p < c->end && *c->p >= 0x20 && *c->p < 0x7f && *c->p != '"' && *c->p != '\\')
        c->p++;
    if (c->p == c->end || *c->p != '"' || (size_t)(c->p - start) > max)
        return false;
    *ret = start;
    *ret_n = (size_t)(c->p - start);
    c->p++;
    return true;
}

static bool is(const char *p, size_t n, const char *word, size_t len)
{
    return n == len && !memcmp(p, word, len);
}
#define IS(p, n, word) is((p), (n), (word), sizeof(word) - 1)

static bool take_id(struct cursor *c, struct gd_fast *f)
{
    const char *start, *text;
    size_t n;

    skip_space(c);
    start = c->p;
    if (c->p < c->end && *c->p == '"') {
        if (!take_text(c, GD_FAST_ID_MAX - 4, &text, &n))
            return false;
    } else {
        while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
            c->p++;
        n = (size_t)(c->p - start);
        if (n == 0 || n > 18 || (n > 1 && *start == '0'))
            return false;
    }
    f->id_len = (unsigned)(c->p - start);
    memcpy(f->id, start, f->id_len);
    return true;
}

static bool take_workspace(struct cursor *c, struct gd_fast *f)
{
    const char *p;
    size_t n;

    if (!take_text(c, sizeof f->workspace - 1, &p, &n) || n == 0 || *p < 'a' || *p > 'z')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!(p[i] >= 'a' && p[i] <= 'z') && !(p[i] >= '0' && p[i] <= '9') && p[i] != '_' && p[i] != '-')
            return false;
    memcpy(f->workspace, p, n);
    f->workspace[n] = '\0';
    return true;
}

static bool take_params(struct cursor *c, struct gd_fast *f)
{
    bool grant = false, workspace = false;
    const char *p;
    size_t n;

    if (!take(c, '{'))
        return false;
    do {
        if (!take_text(c, 16, &p, &n) || !take(c, ':'))
            return false;
        if (IS(p, n, "grant") && !grant) {
            if (!take_text(c, 28, &p, &n) || !gd_id_parse(&f->grant, "gr", p, n))
                return false;
            memcpy(f->grant_text, p, n);
            f->grant_text[n] = '\0';
            grant = true;
        } else if (IS(p, n, "workspace") && !workspace) {
            if (!take_workspace(c, f))
                return false;
            workspace = true;
        } else {
            return false;
        }
    } while (take(c, ','));
    return grant && take(c, '}');
}

static bool take_member(struct cursor *c, struct gd_fast *f, unsigned *seen)
{
    const char *p, *v;
    size_t n, len;
    unsigned bit;

    if (!take_text(c, 16, &p, &n) || !take(c, ':'))
        return false;
    if (IS(p, n, "jsonrpc")) {
        bit = SEEN_JSONRPC;
        if (!take_text(c, 3, &v, &len) || !IS(v, len, "2.0"))
            return false;
    } else if (IS(p, n, "id")) {
        bit = SEEN_ID;
        if (!take_id(c, f))
            return false;
    } else if (IS(p, n, "method")) {
        bit = SEEN_METHOD;
        if (!take_text(c, 11, &v, &len) || !IS(v, len, "grant.token"))
            return false;
    } else if (IS(p, n, "params")) {
        bit = SEEN_PARAMS;
        if (!take_params(c, f))
            return false;
    } else {
        return false;
    }
    if (*seen & bit)
        return false;
    *seen |= bit;
    return true;
}

bool gd_fast_read(const char *p, size_t n, struct gd_fast *ret)
{
    struct cursor c = { p, p + n };
    unsigned seen = 0;

    ret->workspace[0] = '\0';
    if (!take(&c, '{'))
        return false;
    do {
        if (!take_member(&c, ret, &seen))
            return false;
    } while (take(&c, ','));
    if (!take(&c, '}') || seen != SEEN_ALL)
        return false;
    skip_space(&c);
    return c.p == c.end;
}

/* ---- the answer -------------------------------------------------------------------------------------------
 */

static char *put(char *o, const char *p, size_t n)
{
    memcpy(o, p, n);
    return o + n;
}
#define PUT(o, word) put((o), (word), sizeof(word) - 1)

static char *put_number(char *o, uint64_t v, unsigned width)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    while (n < width)
        digits[n++] = '0';
    while (n)
        *o++ = digits[--n];
    return o;
}

/* RFC 3339 by arithmetic: the days since 1970 to year, month, day (proleptic Gregorian, eras of 400 years
 * that start in March). */
static char *put_time(char *o, int64_t unix_ms)
{
    uint64_t ms = (uint64_t)unix_ms % 1000, sec = (uint64_t)unix_ms / 1000, day = sec / 86400 + 719468;
    uint64_t era = day / 146097, doe = day % 146097, rest = sec % 86400;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    uint64_t month = mp < 10 ? mp + 3 : mp - 9;

    o = put_number(o, yoe + era * 400 + (month <= 2), 4);
    *o++ = '-';
    o = put_number(o, month, 2);
    *o++ = '-';
    o = put_number(o, doy - (153 * mp + 2) / 5 + 1, 2);
    *o++ = 'T';
    o = put_number(o, rest / 3600, 2);
    *o++ = ':';
    o = put_number(o, rest / 60 % 60, 2);
    *o++ = ':';
    o = put_number(o, rest % 60, 2);
    *o++ = '.';
    o = put_number(o, ms, 3);
    *o++ = 'Z';
    return o;
}

/* Eight bytes at a time: none below space, none above ~, no quote, no backslash. */
static bool plain(const char *p, size_t n)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t bad = 0;
    size_t i;

    for (i = 0; i + 8 <= n; i += 8) {
        uint64_t v, q, b, d;

        memcpy(&v, p + i, 8);
        q = v ^ (ones * '"');
        b = v ^ (ones * '\\');
        d = v ^ (ones * 0x7f);
        bad |= v | ((v - ones * 0x20) & ~v) | ((q - ones) & ~q) | ((b - ones) & ~b) | ((d - ones) & ~d);
    }
    for (; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || (unsigned char)p[i] > 0x7e || p[i] == '"' || p[i] == '\\')
            return false;
    return !(bad & highs);
}

size_t gd_fast_render(char *out, size_t cap, const struct gd_fast *f, const char *token, size_t token_len,
                      int64_t expires_at, uint32_t gen)
{
    char *o = out;

    if (cap < 256 + GD_FAST_ID_MAX || token_len > cap - 256 - GD_FAST_ID_MAX || expires_at < 0 ||
        expires_at > 253402300799999 || !plain(token, token_len))
        return 0;
    o = PUT(o, "{\"jsonrpc\":\"2.0\",\"id\":");
    o = put(o, f->id, f->id_len);
    o = PUT(o, ",\"result\":{\"access_token\":\"");
    o = put(o, token, token_len);
    if (expires_at) {
        o = PUT(o, "\",\"expires_at\":\"");
        o = put_time(o, expires_at);
        o = PUT(o, "\",\"gen\":");
    } else {
        o = PUT(o, "\",\"expires_at\":null,\"gen\":");
    }
    o = put_number(o, gen, 1);
    o = PUT(o, ",\"grant\":\"");
    o = put(o, f->grant_text, 28);
    o = PUT(o, "\",\"token_type\":\"Bearer\"}}\n");
    return (size_t)(o - out);
}
