/* http/url.c - URLs as this program takes them, and the map of origins.
 * The grammar is narrower than anybody's URL parser, so that ours, curl's and a browser's cannot disagree
 * about the host: no user name, no escapes or backslashes before the path, ASCII only. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/http_int.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Dot-separated labels of 1..63 characters. */
static bool host_valid(const char *host)
{
    size_t len = 0;

    for (; *host; host++) {
        if (*host == '.' ? len == 0 : !label_char(*host))
            return false;
        len = *host == '.' ? 0 : len + 1;
        if (len > 63)
            return false;
    }
    return len > 0;
}

/* Would a resolver take it for an address (WHATWG's "ends in a number")? */
static bool ends_in_number(const char *host)
{
    const char *last = strrchr(host, '.');

    last = last ? last + 1 : host;
    if (last[0] == '0' && last[1] == 'x')
        return last[2 + strspn(last + 2, "0123456789abcdef")] == '\0';
    return last[strspn(last, "0123456789")] == '\0';
}

static int parse_ip6(struct gd_http_url *u, const char *s, size_t n, struct gd_err *err)
{
    struct in6_addr a;

    if (n < 2 || s[n - 1] != ']' || n - 2 >= INET6_ADDRSTRLEN)
        return gd_err_set(err, GD_R_HOST_INVALID, "the URL's address in brackets is not an IPv6 address");
    memcpy(u->host, s + 1, n - 2);
    u->host[n - 2] = '\0';
    if (inet_pton(AF_INET6, u->host, &a) != 1)
        return gd_err_set(err, GD_R_HOST_INVALID, "the URL's address in brackets is not an IPv6 address");
    u->ip6 = true;
    return 0;
}

static int parse_host(struct gd_http_url *u, const char *s, size_t n, struct gd_err *err)
{
    struct in_addr a;

    if (n && s[0] == '[')
        return parse_ip6(u, s, n, err);
    if (n && s[n - 1] == '.')
        n--;
    if (n == 0 || n > GD_HOST_NAME_MAX)
        return gd_err_set(err, GD_R_HOST_INVALID, "the URL's host name has %zu bytes, 1 to %d are possible",
                          n, GD_HOST_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        u->host[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 'a' - 'A') : s[i];
    u->host[n] = '\0';
    if (strlen(u->host) != n || !host_valid(u->host))
        return gd_err_set(err, GD_R_HOST_INVALID, "the URL's host is not a plain ASCII host name");
    if (!ends_in_number(u->host))
        return 0;
    if (!inet_aton(u->host, &a))
        return gd_err_set(err, GD_R_HOST_INVALID, "the URL's host looks like an address, but is none");
    u->ip4 = true;
    return 0;
}

static int parse_port(struct gd_http_url *u, const char *s, size_t n, struct gd_err *err)
{
    unsigned long port = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || port > 65535)
            return gd_err_set(err, GD_R_URL_INVALID, "the URL's port is not a number");
        port = port * 10 + (unsigned long)(s[i] - '0');
    }
    if (n == 0 || port == 0 || port > 65535)
        return gd_err_set(err, GD_R_URL_INVALID, "the URL's port is not between 1 and 65535");
    u->port = (uint16_t)port;
    return 0;
}

static int check_text(const char *url, struct gd_err *err)
{
    size_t n = strnlen(url, GD_HTTP_URL_MAX + 1), bad;

    if (n > GD_HTTP_URL_MAX)
        return gd_err_set(err, GD_R_URL_INVALID, "the URL has more than %d bytes", GD_HTTP_URL_MAX);
    bad = strcspn(url, "\\\"<>^`{|}");
    for (size_t i = 0; i < bad; i++)
        if (url[i] <= ' ' || url[i] >= 0x7f)
            bad = i;
    if (bad == n)
        return 0;
    return gd_err_set(err, GD_R_URL_INVALID,
                      "the URL holds a character that must be percent-encoded (byte %zu)", bad + 1);
}

int gd_http_url_parse(struct gd_http_url *ret, const char *url, struct gd_err *err)
{
    struct gd_http_url u = { .https = !strncmp(url, "https://", 8) };
    const char *s, *colon, *bracket;
    size_t n;

    if (!u.https && strncmp(url, "http://", 7) != 0)
        return gd_err_set(err, GD_R_URL_INVALID, "the URL does not begin with https://");
    s = url + (u.https ? 8 : 7);
    n = strcspn(s, "/?#");
    u.rest = s + n;
    u.port = u.https ? 443 : 80;
    if (memchr(s, '@', n))
        return gd_err_set(err, GD_R_URL_INVALID, "the URL holds a user name or an @ before its path");
    bracket = *s == '[' ? memchr(s, ']', n) : NULL;
    colon = bracket ? bracket + 1 : memrchr(s, ':', n);
    if (colon && colon < s + n && *colon == ':') {
        if (parse_port(&u, colon + 1, (size_t)(s + n - colon - 1), err))
            return -1;
        n = (size_t)(colon - s);
    }
    if (parse_host(&u, s, n, err) || check_text(url, err))
        return -1;
    *ret = u;
    return 0;
}

static void origin_text(char *out, const struct gd_http_url *u, const char *host)
{
    const char *scheme = u->https ? "https" : "http", *open = u->ip6 ? "[" : "", *close = u->ip6 ? "]" : "";

    if (u->port == (u->https ? 443 : 80))
        (void)snprintf(out, GD_HTTP_ORIGIN_MAX, "%s://%s%s%s", scheme, open, host, close);
    else
        (void)snprintf(out, GD_HTTP_ORIGIN_MAX, "%s://%s%s%s:%u", scheme, open, host, close, u->port);
}

void gd_http_origin_text(char *out, const struct gd_http_url *u)
{
    origin_text(out, u, u->host);
}

/* ---- the map ----------------------------------------------------------------------------------------- */

/* The origin with a star for the host's first label; false when it has no more than one. */
static bool star_text(char *out, const struct gd_http_url *u)
{
    char host[GD_HOST_NAME_MAX + 3];
    const char *dot = strchr(u->host, '.');

    if (!dot || u->ip4 || u->ip6)
        return false;
    (void)snprintf(host, sizeof host, "*%s", dot);
    origin_text(out, u, host);
    return true;
}

static char *join(const char *to, const char *label, size_t label_len, const char *rest)
{
    struct gd_buf b;
    size_t n = strlen(to);
    const char *star = label ? strchr(to, '*') : NULL;

    if (n && to[n - 1] == '/')
        n--;
    gd_buf_init(&b, GD_HTTP_URL_MAX * 2);
    if (star) {
        gd_buf_add(&b, to, (size_t)(star - to));
        gd_buf_add(&b, label, label_len);
        gd_buf_add(&b, star + 1, n - (size_t)(star + 1 - to));
    } else {
        gd_buf_add(&b, to, n);
    }
    if (*rest == '?' || *rest == '#')
        gd_buf_addc(&b, '/');
    gd_buf_adds(&b, rest);
    return gd_buf_steal(&b);
}

char *gd_http_map_url(const json_t *origins, const struct gd_http_url *u)
{
    char origin[GD_HTTP_ORIGIN_MAX];
    const char *to;

    if (!origins || json_object_size(origins) == 0)
        return NULL;
    origin_text(origin, u, u->host);
    to = gd_json_text(origins, origin, NULL);
    if (to)
        return join(to, NULL, 0, u->rest);
    to = star_text(origin, u) ? gd_json_text(origins, origin, NULL) : NULL;
    return to ? join(to, u->host, strcspn(u->host, "."), u->rest) : NULL;
}

char *gd_http_map_origin(const json_t *origins, const char *url, struct gd_err *err)
{
    struct gd_http_url u;
    char *mapped;

    if (gd_http_url_parse(&u, url, err))
        return NULL;
    mapped = gd_http_map_url(origins, &u);
    if (mapped)
        return mapped;
    if (!u.https) {
        gd_err_set(err, GD_R_URL_INVALID, "plain http is taken only for a mapped loopback origin: %s",
                   u.host);
        return NULL;
    }
    return gd_strdup(url);
}

static bool is_loopback(const struct gd_http_url *u)
{
    struct sockaddr_storage sa;

    if (!strcmp(u->host, "localhost"))
        return true;
    return gd_http_address_parse(&sa, u->host) && gd_http_address_loopback((struct sockaddr *)&sa);
}

/* Copies s with its star, if any, replaced by one letter. */
static char *without_star(const char *s, bool *ret_star)
{
    char *copy = gd_strdup(s), *star = strchr(copy, '*');

    *ret_star = star != NULL;
    if (star)
        *star = 'x';
    return copy;
}

static int check_key(const char *key, bool *ret_star, struct gd_err *err)
{
    GD_AUTO_FREE char *copy = without_star(key, ret_star);
    char origin[GD_HTTP_ORIGIN_MAX];
    struct gd_http_url u;

    if (*ret_star && (strchr(key, '*') - key != 8 || key[9] != '.'))
        return gd_err_set(err, GD_R_URL_INVALID, "origin %s: a star can only be the first label of the host",
                          key);
    if (gd_http_url_parse(&u, copy, err))
        return gd_err_set(err, GD_R_URL_INVALID, "origin %s is not an origin", key);
    if (!u.https && !is_loopback(&u))
        return gd_err_set(err, GD_R_URL_INVALID,
                          "origin %s: only https origins (and loopback ones) can be mapped", key);
    gd_http_origin_text(origin, &u);
    if (strcmp(origin, copy) != 0)
        return gd_err_set(err, GD_R_URL_INVALID,
                          "origin %s: write it in lower case, without path and default port", key);
    return 0;
}

static int check_value(const char *key, const char *value, bool key_star, struct gd_err *err)
{
    struct gd_http_url u;
    GD_AUTO_FREE char *copy = NULL;
    bool star;

    if (!value)
        return gd_err_set(err, GD_R_URL_INVALID, "origin %s: the URL it is mapped to is not text", key);
    copy = without_star(value, &star);
    if (star && !key_star)
        return gd_err_set(err, GD_R_URL_INVALID, "origin %s is mapped to a star, but has none itself", key);
    if (gd_http_url_parse(&u, copy, err) || strchr(u.rest, '?') || strchr(u.rest, '#'))
        return gd_err_set(err, GD_R_URL_INVALID, "origin %s is mapped to what is not a URL without query",
                          key);
    if (!u.https && !is_loopback(&u))
        return gd_err_set(
            err, GD_R_URL_INVALID,
            "origin %s is mapped to plain http on %s; plain http is only taken on a loopback address", key,
            u.host);
    return 0;
}

int gd_http_origins_check(const json_t *origins, struct gd_err *err)
{
    const char *key;
    json_t *value, *map;
    bool star;

    if (!origins)
        return 0;
    if (!json_is_object(origins))
        return gd_err_set(err, GD_R_URL_INVALID, "origins is not a map of origins to URLs");
    map = json_incref((json_t *)(uintptr_t)origins);
    json_object_foreach(map, key, value)
    {
        if (check_key(key, &star, err) || check_value(key, json_string_value(value), star, err)) {
            json_decref(map);
            return -1;
        }
    }
    json_decref(map);
    return 0;
}

/* ---- declared hosts ---------------------------------------------------------------------------------- */
static bool pattern_holds(const char *pattern, size_t n, const char *host)
{
    if (n > 2 && pattern[0] == '*' && pattern[1] == '.') {
        host = strchr(host, '.');
        pattern++;
        n--;
    }
    return host && strlen(host) == n && !strncasecmp(host, pattern, n);
}

bool gd_http_host_declared(const char *const *patterns, const struct gd_http_url *u, bool *ret_port)
{
    char port[8];

    (void)snprintf(port, sizeof port, "%u", u->port);
    for (; *patterns; patterns++) {
        const char *colon = strrchr(*patterns, ':');
        size_t n = colon ? (size_t)(colon - *patterns) : strlen(*patterns);

        if (!pattern_holds(*patterns, n, u->host) || (colon && strcmp(colon + 1, port) != 0))
            continue;
        *ret_port = colon != NULL;
        return true;
    }
    return false;
}
