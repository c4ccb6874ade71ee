/* time.c - the two ways in which providers write dates. Both become Unix seconds; what cannot be read is 0.
 */
#include "oauth2.h"

/* "HH:MM:SS" as seconds of the day, -1 when it is not one. */
static int64_t clock_time(const char *s)
{
    int64_t h, m, sec;

    h = grantd_digits(s, 2);
    if (h < 0 || h > 23 || s[2] != ':')
        return -1;
    m = grantd_digits(s + 3, 2);
    if (m < 0 || m > 59 || s[5] != ':')
        return -1;
    sec = grantd_digits(s + 6, 2);
    return sec < 0 || sec > 60 ? -1 : h * 3600 + m * 60 + sec;
}

static int64_t date(int64_t y, int64_t m, int64_t d, int64_t time)
{
    if (y < 1971 || m < 1 || m > 12 || d < 1 || d > 31 || time < 0)
        return 0;
    return grantd_days(y, m, d) * 86400 + time;
}

/* Seconds to take off for "Z", "+02:00" or "-0700"; INT64_MIN when there is no zone. */
static int64_t zone(const char *s)
{
    int64_t h, m;

    if (!strcmp(s, "Z") || !strcmp(s, "z"))
        return 0;
    if (*s != '+' && *s != '-')
        return INT64_MIN;
    h = grantd_digits(s + 1, 2);
    m = h < 0 ? -1 : grantd_digits(s + 3 + (s[3] == ':'), 2);
    if (m < 0 || h > 23 || m > 59 || s[5 + (s[3] == ':')])
        return INT64_MIN;
    return (*s == '-' ? -1 : 1) * (h * 3600 + m * 60);
}

int64_t oa_time_iso(const char *s)
{
    int64_t at, off;

    if (strlen(s) < 20 || s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != ' '))
        return 0;
    at = date(grantd_digits(s, 4), grantd_digits(s + 5, 2), grantd_digits(s + 8, 2), clock_time(s + 11));
    s += 19;
    if (*s == '.')
        s += 1 + strspn(s + 1, "0123456789");
    off = zone(s);
    return at && off != INT64_MIN ? at - off : 0;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
int64_t oa_time_http(const char *s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t month = 0;

    if (strlen(s) != 29 || strncmp(s + 3, ", ", 2) || strcmp(s + 25, " GMT"))
        return 0;
    while (month < 12 && strncmp(months + 3 * month, s + 8, 3))
        month++;
    return date(grantd_digits(s + 12, 4), month + 1, grantd_digits(s + 5, 2), clock_time(s + 17));
}
