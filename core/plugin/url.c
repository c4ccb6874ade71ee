/* plugin/url.c */
#include "plugin/url.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool url_chars(const char *s)
{
    for (const char *p = s; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return false;
    return !strpbrk(s, "\"<>\\^`{|}");
}

/* Copies the name at p (n bytes) in lower case; false when it is no name of labels. */
static bool copy_name(char *host, const char *p, size_t n)
{
    char last = '.';

    if (n == 0 || n > GD_HOST_NAME_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = lower(p[i]);

        if (!host_char(c) || (c == '.' && last == '.'))
            return false;
        host[i] = last = c;
    }
    host[n] = '\0';
    return last != '.';
}

static bool copy_bracketed(char *host, const char *p, size_t n)
{
    if (n == 0 || n > 45)
        return false;
    for (size_t i = 0; i < n; i++) {
        host[i] = lower(p[i]);
        if (!strchr("0123456789abcdef:.", host[i]))
            return false;
    }
    host[n] = '\0';
    return true;
}

/* Port digits after ':'; "" when there is none. */
static bool port_valid(const char *p, size_t n)
{
    char text[8] = { 0 };
    int64_t v;

    if (n == 0)
        return true;
    if (p[0] != ':' || n < 2 || n > 6)
        return false;
    memcpy(text, p + 1, n - 1);
    return strspn(text, "0123456789") == n - 1 && gd_parse_i64(text, &v) && v > 0 && v < 65536;
}

bool gd_plugin_url_parse(const char *url, struct gd_plugin_url *ret)
{
    struct gd_plugin_url u = { 0 };
    bool http = strncmp(url, "http://", 7) == 0;
    bool v6;
    size_t n, h;
    const char *p;

    u.https = strncmp(url, "https://", 8) == 0;
    if ((!http && !u.https) || !url_chars(url))
        return false;
    p = url + (u.https ? 8 : 7);
    n = strcspn(p, "/?#");
    v6 = *p == '[';
    h = v6 ? strcspn(p, "]") + 1 : strcspn(p, ":/?#");
    if (h > n || !port_valid(p + h, n - h))
        return false;
    if (v6 ? !copy_bracketed(u.host, p + 1, h - 2) : !copy_name(u.host, p, h))
        return false;
    u.loopback = !strcmp(u.host, "127.0.0.1") || !strcmp(u.host, "::1") || !strcmp(u.host, "localhost");
    if (!u.https && !u.loopback)
        return false;
    (void)snprintf(u.origin, sizeof u.origin, "%s%s%s%s%.*s", u.https ? "https://" : "http://", v6 ? "[" : "",
                   u.host, v6 ? "]" : "", (int)(n - h), p + h);
    if (u.https && n - h == 4 && !strncmp(p + h, ":443", 4))
        u.origin[strlen(u.origin) - 4] = '\0';
    *ret = u;
    return true;
}

bool gd_plugin_host_matches(const char *pattern, const char *host)
{
    if (strncmp(pattern, "*.", 2) != 0)
        return strcmp(pattern, host) == 0;
    host = strchr(host, '.');
    return host && strcmp(pattern + 1, host) == 0;
}

bool gd_plugin_host_pattern(const char *pattern)
{
    const char *name = strncmp(pattern, "*.", 2) == 0 ? pattern + 2 : pattern;
    char host[GD_HOST_NAME_MAX + 1];

    if (!copy_name(host, name, strlen(name)) || strcmp(host, name) != 0)
        return false;
    return strchr(name, '.') != NULL; /* never a bare top level, never "localhost" */
}

/* Matches the authority of a template (ends at / ? # or NUL) with a whole authority. Each ${name} takes one
 * character or more. Only the last one is ever stretched: whatever an earlier one could take beside its
 * least, a later one can; so an answer full of them costs no more than its length. */
static bool authority_matches(const char *t, const char *a)
{
    const char *behind = NULL, *taken = NULL; /* the last template's end; up to here it has taken */

    for (;;) {
        const char *end = t[0] == '$' && t[1] == '{' ? strchr(t, '}') : NULL;

        if (end && host_char(*a)) {
            behind = t = end + 1;
            taken = ++a;
        } else if (*a && lower(*t) == *a && !strchr("$/?#", *t)) {
            t++;
            a++;
        } else if (!*a && strchr("/?#", *t)) { /* or the NUL */
            return true;
        } else if (behind && host_char(*taken)) {
            t = behind;
            a = ++taken;
        } else {
            return false;
        }
    }
}

bool gd_plugin_template_matches(const char *text, const char *origin)
{
    struct gd_plugin_url u;

    if (strncmp(text, "https://", 8) != 0)
        return strncmp(text, "http://", 7) == 0 && gd_plugin_url_parse(text, &u) && !strcmp(u.origin, origin);
    if (strncmp(origin, "https://", 8) != 0)
        return false;
    if (gd_plugin_url_parse(text, &u))
        return strcmp(u.origin, origin) == 0;
    return authority_matches(text + 8, origin + 8);
}

bool gd_plugin_json_names_origin(const json_t *j, const char *origin)
{
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_string(j))
        return gd_plugin_template_matches(json_string_value(j), origin);
    if (json_is_array(j)) {
        json_array_foreach(j, i, v) if (gd_plugin_json_names_origin(v, origin)) return true;
    }
    if (json_is_object(j)) {
        json_object_foreach((json_t *)(uintptr_t)j, key,
                            v) if (gd_plugin_json_names_origin(v, origin)) return true;
    }
    return false;
}
