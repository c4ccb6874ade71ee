/* text.c - text for people: safe for a terminal, times in words. */
#include "ctl.h"
#include "base/text.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A terminal that reads another character set would take parts of a letter for controls. */
static bool ascii_only(void)
{
    static int known;

    if (!known)
        known = isatty(STDOUT_FILENO) && strcmp(nl_langinfo(CODESET), "UTF-8") != 0 ? 1 : -1;
    return known > 0;
}

/* Bytes of the printable character at s; 0 when it must not reach a terminal (controls, C1, broken UTF-8). */
static size_t printable(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t n = gd_utf8_len(s);

    if (n > 1 && ascii_only())
        return 0;

    if (n == 1 && (u[0] < 0x20 || u[0] == 0x7f))
        return 0;
    if (n == 2 && u[0] == 0xc2 && u[1] < 0xa0)
        return 0;
    if (n == 3 && u[0] == 0xe2 &&
        ((u[1] == 0x80 && u[2] >= 0x8e && u[2] <= 0xaf) || (u[1] == 0x81 && u[2] >= 0xa6)))
        return 0; /* marks that turn the direction of text around */
    return n;
}

size_t text_width(const char *s)
{
    size_t w = 0;

    for (size_t n; *s; s += n ? n : 1, w++)
        n = printable(s);
    return w;
}

void text_print(FILE *out, const char *s)
{
    for (size_t n; *s; s += n ? n : 1) {
        n = printable(s);
        if (n)
            (void)fwrite(s, 1, n, out);
        else
            (void)fputc('?', out);
    }
}

int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void time_words(char out[64], int64_t unix_ms, int64_t now)
{
    static const struct {
        int64_t seconds;
        const char *one, *many;
    } units[] = { { 86400 * 365, "year", "years" },
                  { 86400, "day", "days" },
                  { 3600, "hour", "hours" },
                  { 60, "minute", "minutes" },
                  { 1, "second", "seconds" } };
    int64_t d = (unix_ms - now) / 1000, n;
    size_t i = 0;

    if (llabs(d) < 2) {
        (void)snprintf(out, 64, "now");
        return;
    }
    while (i < 4 && llabs(d) < 2 * units[i].seconds)
        i++;
    n = (llabs(d) + units[i].seconds / 2) / units[i].seconds;
    (void)snprintf(out, 64, d > 0 ? "in %lld %s" : "%lld %s ago", (long long)n,
                   n == 1 ? units[i].one : units[i].many);
}
