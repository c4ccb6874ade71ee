/* config/value.c - typed values out of text: the option says the type, the text never does. */
#include "config/config_int.h"

#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- what may have been meant
 * ----------------------------------------------------------------------------------- */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Levenshtein's distance; words of 63 characters at most. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], na = strlen(a), nb = strlen(b);

    if (na > 63 || nb > 63)
        return 64;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t above = row[j];

            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[nb];
}

void gd_guess(struct guess *g, const char *candidate)
{
    size_t d = distance(g->word, candidate);

    if (g->best && d >= g->distance)
        return;
    g->best = candidate;
    g->distance = d;
}

void gd_config_unknown(struct ctx *c, yaml_node_t *key, const char *what, const struct guess *g)
{
    bool near = g->best && g->distance <= 1 + strlen(g->word) / 4;

    gd_config_fail(c, key, GD_R_CONFIG_UNKNOWN_KEY, "%.64s does not know \"%.64s\"%s%s%s", what, g->word,
                   near ? ": did you mean \"" : "", near ? g->best : "", near ? "\"?" : "");
}

/* ---- sections
 * ---------------------------------------------------------------------------------------------------- */

static const struct key *find_key(const struct key *keys, const char *name, struct guess *g)
{
    for (const struct key *k = keys; k->name; k++) {
        if (!strcmp(k->name, name))
            return k;
        gd_guess(g, k->name);
    }
    return NULL;
}

void gd_config_section(struct ctx *c, yaml_node_t *n, const char *what, const struct key *keys, void *base)
{
    yaml_node_pair_t *p;
    size_t np;

    if (!gd_config_pairs(c, n, what, &p, &np))
        return;
    for (; np; np--, p++) {
        struct guess g = { .word = gd_config_key(c, p) };
        const struct key *k = find_key(keys, g.word, &g);

        if (k)
            k->read(c, k, gd_config_node(c, p->value), (char *)base + k->offset);
        else
            gd_config_unknown(c, gd_config_node(c, p->key), what, &g);
    }
}

void gd_read_sub(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    gd_config_section(c, n, k->name, k->arg, to);
}

/* ---- scalars
 * ------------------------------------------------------------------------------------------------------ */

static void set_text(char **to, const char *text)
{
    gd_free(*to);
    *to = gd_strdup(text);
}

void gd_read_text(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    if (s)
        set_text(to, s);
}

void gd_read_name(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    if (s && !gd_name_valid(s, GD_NAME_MAX))
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID,
                       "%s has to be a name: a small letter, then small letters, digits, _ and -", k->name);
    else if (s)
        set_text(to, s);
}

char *gd_config_path(struct ctx *c, const char *path)
{
    return path[0] == '/' || !c->dir ? gd_strdup(path) : gd_strf("%s/%s", c->dir, path);
}

void gd_read_path(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    if (!s)
        return;
    gd_free(*(char **)to);
    *(char **)to = gd_config_path(c, s);
}

void gd_read_int(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);
    int64_t v;

    if (!s)
        return;
    if (!gd_parse_i64(s, &v))
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be a whole number", k->name);
    else if (v < k->min || v > k->max)
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be between %" PRId64 " and %" PRId64,
                       k->name, k->min, k->max);
    else
        *(int64_t *)to = v;
}

bool gd_config_bool(const char *text, bool *ret)
{
    bool yes = !strcmp(text, "yes") || !strcmp(text, "true");

    if (!yes && strcmp(text, "no") != 0 && strcmp(text, "false") != 0)
        return false;
    *ret = yes;
    return true;
}

void gd_read_bool(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    const char *s = gd_config_scalar(c, n, k->name);

    if (s && !gd_config_bool(s, to))
        gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%s has to be yes or no", k->name);
}

/* ---- addresses
 * ---------------------------------------------------------------------------------------------------- */

/* Splits "host:port" and "[v6]:port". False when it is neither. */
static bool split_host_port(const char *text, char host[256], int64_t *port)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;

    if (!colon || n == 0 || n > GD_HOST_NAME_MAX || !gd_parse_i64(colon + 1, port) || colon[1] < '0' ||
        colon[1] > '9' || *port < 0 || *port > 65535)
        return false;
    if (text[0] == '[' && text[n - 1] == ']')
        (void)snprintf(host, 256, "%.*s", (int)n - 2, text + 1);
    else if (memchr(text, ':', n))
        return false;
    else
        (void)snprintf(host, 256, "%.*s", (int)n, text);
    return host[0] != '\0';
}

static bool is_address(const char *host)
{
    unsigned char to[16];

    return inet_pton(strchr(host, ':') ? AF_INET6 : AF_INET, host, to) == 1;
}

static bool is_loopback(const char *host)
{
    return !strcmp(host, "localhost") || !strcmp(host, "::1") ||
           (is_address(host) && !strncmp(host, "127.", 4));
}

static bool host_chars(const char *host)
{
    return strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:*") ==
           strlen(host);
}

bool gd_config_host_port(const char *text, bool address)
{
    char host[256];
    int64_t port;

    return split_host_port(text, host, &port) && host_chars(host) && (!address || is_address(host));
}

/* Printable, without blanks; a backslash is a slash to some browsers. */
static bool url_chars(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= 0x20 || *s == 0x7f || *s == '\\')
            return false;
    return true;
}

bool gd_config_url_ok(const char *url, bool origin)
{
    bool tls = !strncmp(url, "https://", 8), plain = !strncmp(url, "http://", 7);
    char authority[300], host[256];
    const char *at, *colon;
    int64_t port;
    size_t n;

    if ((!tls && !plain) || !url_chars(url))
        return false;
    at = url + (tls ? 8 : 7);
    n = strcspn(at, "/?#");
    if (n == 0 || n > GD_HOST_NAME_MAX + 8 || (origin && at[n]))
        return false;
    (void)snprintf(authority, sizeof authority, "%.*s", (int)n, at);
    colon = strrchr(authority, ':');
    if (!colon || strchr(colon, ']'))
        (void)snprintf(authority + n, sizeof authority - n, ":%d", tls ? 443 : 80);
    return split_host_port(authority, host, &port) && host_chars(host) && port > 0 &&
           (tls || is_loopback(host));
}
