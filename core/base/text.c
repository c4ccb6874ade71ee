/* base/text.c */
#include "base/text.h"
#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

size_t gd_utf8_len(const char *str)
{
    const unsigned char *s = (const unsigned char *)str;
    uint32_t c;
    size_t n;

    if (s[0] < 0x80)
        return s[0] ? 1 : 0;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        n = 2;
    else if ((s[0] & 0xf0) == 0xe0)
        n = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        n = 4;
    else
        return 0;
    c = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = (c << 6) | (s[i] & 0x3f);
    }
    if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    return n;
}

bool gd_text_clean(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        char part[5] = { 0 };
        size_t len;

        memcpy(part, s + i, n - i < 4 ? n - i : 4);
        len = gd_utf8_len(part);
        if (len == 0 || s[i] == 0x7f || ((unsigned char)s[i] < 0x20 && s[i] != '\n' && s[i] != '\t'))
            return false;
        i += len;
    }
    return true;
}

bool gd_name_valid(const char *s, size_t max)
{
    size_t n = strlen(s);

    if (n == 0 || n > max || s[0] < 'a' || s[0] > 'z')
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t encode64(char *out, const unsigned char *p, size_t n, const char *set)
{
    char *o = out;
    size_t i;

    for (i = 0; i + 2 < n; i += 3) {
        *o++ = set[p[i] >> 2];
        *o++ = set[((p[i] & 3) << 4) | (p[i + 1] >> 4)];
        *o++ = set[((p[i + 1] & 15) << 2) | (p[i + 2] >> 6)];
        *o++ = set[p[i + 2] & 63];
    }
    if (i < n) {
        *o++ = set[p[i] >> 2];
        if (i + 1 < n) {
            *o++ = set[((p[i] & 3) << 4) | (p[i + 1] >> 4)];
            *o++ = set[(p[i + 1] & 15) << 2];
        } else {
            *o++ = set[(p[i] & 3) << 4];
        }
    }
    *o = '\0';
    return (size_t)(o - out);
}

/* Value of a base64 digit plus one, of both alphabets; 0 for everything else. */
static const unsigned char values64[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
    ['+'] = 63, ['/'] = 64,
};

static long decode64(unsigned char *out, size_t cap, const char *s, size_t n, const char *set)
{
    uint32_t acc = 0;
    unsigned bits = 0;
    size_t len = 0, i = 0;

    if (n % 4 == 1)
        return -1;
    for (; i + 4 <= n && len + 3 <= cap; i += 4) { /* whole groups */
        unsigned a = values64[(unsigned char)s[i]], b = values64[(unsigned char)s[i + 1]],
                 c = values64[(unsigned char)s[i + 2]], e = values64[(unsigned char)s[i + 3]];

        if (!a || !b || !c || !e || set[a - 1] != s[i] || set[b - 1] != s[i + 1] || set[c - 1] != s[i + 2] ||
            set[e - 1] != s[i + 3])
            return -1;
        acc = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (e - 1);
        out[len++] = (unsigned char)(acc >> 16);
        out[len++] = (unsigned char)(acc >> 8);
        out[len++] = (unsigned char)acc;
        acc = 0;
    }
    for (; i < n; i++) {
        unsigned digit = values64[(unsigned char)s[i]];

        if (digit == 0 || set[digit - 1] != s[i])
            return -1;
        acc = (acc << 6) | (digit - 1);
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        if (len == cap)
            return -1;
        out[len++] = (unsigned char)(acc >> bits);
        acc &= (1u << bits) - 1;
    }
    return acc ? -1 : (long)len;
}

size_t gd_b64url(char *out, const void *p, size_t n)
{
    return encode64(out, p, n, b64_url);
}

long gd_b64url_decode(void *out, size_t cap, const char *s, size_t n)
{
    return decode64(out, cap, s, n, b64_url);
}

size_t gd_b64(char *out, const void *p, size_t n)
{
    size_t len = encode64(out, p, n, b64_std);

    while (len % 4)
        out[len++] = '=';
    out[len] = '\0';
    return len;
}

long gd_b64_decode(void *out, size_t cap, const char *s, size_t n)
{
    size_t pad = 0;

    if (n % 4)
        return -1;
    while (pad < 2 && n && s[n - 1] == '=') {
        n--;
        pad++;
    }
    return decode64(out, cap, s, n, b64_std);
}

void gd_hex(char *out, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *s = p;

    for (size_t i = 0; i < n; i++) {
        *out++ = digits[s[i] >> 4];
        *out++ = digits[s[i] & 15];
    }
    *out = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

long gd_hex_decode(void *out, size_t cap, const char *s, size_t n)
{
    unsigned char *o = out;

    if (n % 2 || n / 2 > cap)
        return -1;
    for (size_t i = 0; i < n; i += 2) {
        int hi = hex_digit(s[i]), lo = hex_digit(s[i + 1]);

        if (hi < 0 || lo < 0)
            return -1;
        o[i / 2] = (unsigned char)(hi * 16 + lo);
    }
    return (long)(n / 2);
}

/* RFC 3986 2.3: unreserved. */
static bool plain_in_urls(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static char *url_encode(const char *s, bool form)
{
    struct gd_buf b;

    gd_buf_init(&b, strlen(s) * 3);
    for (size_t n; *s; s++) {
        for (n = 0; plain_in_urls(s[n]);)
            n++;
        gd_buf_add(&b, s, n);
        s += n;
        if (!*s)
            break;
        if (form && *s == ' ')
            gd_buf_addc(&b, '+');
        else
            gd_buf_addf(&b, "%%%02X", (unsigned char)*s);
    }
    return gd_buf_steal(&b);
}

char *gd_percent_encode(const char *s)
{
    return url_encode(s, false);
}

char *gd_form_encode(const char *s)
{
    return url_encode(s, true);
}

bool gd_percent_decode(char *s, bool form)
{
    char *o = s, *start = s;

    for (; *s; s++, o++) {
        if (*s == '%') {
            int hi = hex_digit(s[1]), lo = hi < 0 ? -1 : hex_digit(s[2]);

            if (lo < 0 || (hi | lo) == 0)
                return false;
            *o = (char)(hi * 16 + lo);
            s += 2;
        } else {
            *o = form && *s == '+' ? ' ' : *s;
        }
    }
    *o = '\0';
    for (const char *p = start; *p;) {
        size_t n = gd_utf8_len(p);

        if (n == 0)
            return false;
        p += n;
    }
    return true;
}

static void put_digits(char *out, long v, int n, char then)
{
    out[n] = then;
    for (; n; v /= 10)
        out[--n] = (char)('0' + v % 10);
}

/* By hand: every record of the audit log and every line of the log has one. */
void gd_time_text(char out[32], int64_t unix_ms)
{
    time_t sec = (time_t)(unix_ms / 1000);
    long ms = (long)(unix_ms % 1000);
    struct tm tm;

    if (ms < 0) {
        ms += 1000;
        sec--;
    }
    if (!gmtime_r(&sec, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
        (void)snprintf(out, 32, "%lld", (long long)unix_ms);
        return;
    }
    put_digits(out, tm.tm_year + 1900, 4, '-');
    put_digits(out + 5, tm.tm_mon + 1, 2, '-');
    put_digits(out + 8, tm.tm_mday, 2, 'T');
    put_digits(out + 11, tm.tm_hour, 2, ':');
    put_digits(out + 14, tm.tm_min, 2, ':');
    put_digits(out + 17, tm.tm_sec, 2, '.');
    put_digits(out + 20, ms, 3, 'Z');
    out[24] = '\0';
}

/* n digits at s; -1 when they are none. */
static int digits(const char *s, int n)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

static int days_in(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : days[month - 1];
}

/* "2026-11-21T23:16:04": 19 characters that are that and a day of the calendar. */
static bool parse_moment(const char *s, struct tm *tm)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    int year, month;

    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
            return false;
    year = digits(s, 4);
    month = digits(s + 5, 2);
    *tm = (struct tm){ .tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = digits(s + 8, 2),
                       .tm_hour = digits(s + 11, 2),
                       .tm_min = digits(s + 14, 2),
                       .tm_sec = digits(s + 17, 2) };
    return month >= 1 && month <= 12 && tm->tm_mday >= 1 && tm->tm_mday <= days_in(year, month) &&
           tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

/* ".5", ".123456": milliseconds, further digits are dropped. Moves *s behind it; false when no digit follows.
 */
static bool parse_fraction(const char **s, int64_t *ret_ms)
{
    int64_t ms = 0;
    int scale = 100;

    if (**s != '.')
        return true;
    if (digits(*s + 1, 1) < 0)
        return false;
    for (++*s; **s >= '0' && **s <= '9'; ++*s, scale /= 10)
        ms += (**s - '0') * scale;
    *ret_ms = ms;
    return true;
}

/* "Z", "+01:00" or "+0100" up to the end of the text; seconds east of Greenwich. */
static bool parse_zone(const char *s, int64_t *ret)
{
    bool colon = strlen(s) == 6 && s[3] == ':';
    int h, m;

    if (!strcmp(s, "Z")) {
        *ret = 0;
        return true;
    }
    if ((*s != '+' && *s != '-') || (!colon && strlen(s) != 5))
        return false;
    h = digits(s + 1, 2);
    m = digits(s + 3 + colon, 2);
    *ret = (*s == '-' ? -1 : 1) * ((int64_t)h * 3600 + m * 60);
    return h >= 0 && h < 24 && m >= 0 && m < 60;
}

int64_t gd_time_parse(const char *s)
{
    int64_t ms = 0, sec, off;
    struct tm tm;

    if (gd_parse_i64(s, &sec))
        return sec < 0 || sec > INT64_MAX / 1000 ? -1 : sec * 1000;
    if (strlen(s) < 20 || !parse_moment(s, &tm))
        return -1;
    s += 19;
    if (!parse_fraction(&s, &ms) || !parse_zone(s, &off))
        return -1;
    return ((int64_t)timegm(&tm) - off) * 1000 + ms;
}

int64_t gd_http_date(const char *s)
{
    struct tm tm = { 0 };
    const char *end = strlen(s) == 29 ? strptime(s, "%a, %d %b %Y %H:%M:%S GMT", &tm) : NULL;

    return end && !*end ? (int64_t)timegm(&tm) : -1;
}

bool gd_parse_i64(const char *s, int64_t *ret)
{
    char *end;
    long long v;

    if (!s || !*s || strspn(s, "+-0123456789") != strlen(s))
        return false;
    errno = 0;
    v = strtoll(s, &end, 10);
    if (errno || *end)
        return false;
    *ret = v;
    return true;
}

bool gd_same_bytes(const void *a, const void *b, size_t n)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned char d = 0;

    for (size_t i = 0; i < n; i++)
        d = (unsigned char)(d | (x[i] ^ y[i]));
    return d == 0;
}

bool gd_same_text(const char *a, const char *b)
{
    size_t n;

    if (!a || !b)
        return false;
    n = strlen(a);
    return n == strlen(b) && gd_same_bytes(a, b, n);
}

int64_t gd_add_sat(int64_t a, int64_t b)
{
    int64_t r;

    if (__builtin_add_overflow(a, b, &r))
        return b > 0 ? INT64_MAX : INT64_MIN;
    return r;
}
