/* route.c - which platform, which handler. Paths are compared raw, segment by segment: a platform that minds
 * casing, encoding or a final slash must be able to refuse. */
#include "base/mem.h"
#include "base/text.h"
#include "sandbox_int.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool route_host(const char *pattern, const char *host)
{
    size_t label;

    if (*pattern != '*')
        return strcasecmp(pattern, host) == 0;
    label = strcspn(host, ".");
    return label > 0 && strcasecmp(pattern + 1, host + label) == 0;
}

/* A part that does not decode to text is no part of any path. */
static bool capture(struct own *o, const char *name, size_t name_len, const char *p, size_t n)
{
    struct capture *c = &o->captures[o->ncaptures];

    if (o->ncaptures == SB_CAPTURES || n == 0 ||
        !gd_percent_decode(gd_arena_strndup(o->r.arena, p, n), false))
        return false;
    *c = (struct capture){ name, gd_arena_strndup(o->r.arena, p, n), name_len };
    o->ncaptures++;
    return true;
}

/* One segment of n bytes against the pattern's of np bytes: literal, or prefix{name}suffix. */
static bool match_segment(struct own *o, const char *pattern, size_t np, const char *s, size_t n)
{
    const char *open = memchr(pattern, '{', np);
    const char *close = open ? memchr(open, '}', np - (size_t)(open - pattern)) : NULL;
    size_t before, after;

    if (!close)
        return np == n && memcmp(pattern, s, n) == 0;
    before = (size_t)(open - pattern);
    after = np - (size_t)(close + 1 - pattern);
    if (n < before + after || memcmp(pattern, s, before) != 0 || memcmp(close + 1, s + n - after, after) != 0)
        return false;
    return capture(o, open + 1, (size_t)(close - open - 1), s + before, n - before - after);
}

bool route_path(struct own *o, const char *pattern, const char *path)
{
    o->ncaptures = 0;
    for (;;) {
        size_t np = strcspn(pattern, "/"), n = strcspn(path, "/");
        const char *dots = np > 4 ? pattern + np - 4 : "";

        if (*pattern == '{' && strncmp(dots, "...}", 4) == 0)
            return capture(o, pattern + 1, np - 5, path, strlen(path));
        if (!match_segment(o, pattern, np, path, n) || pattern[np] != path[n])
            return false;
        if (!pattern[np])
            return true;
        pattern += np + 1;
        path += n + 1;
    }
}

static bool serves_origin(const struct sb_platform *p, const char *host)
{
    for (const char *const *origin = p->origins; *origin; origin++) {
        const char *name = strstr(*origin, "://");

        if (name && route_host(name + 3, host))
            return true;
    }
    return false;
}

static const struct sb_platform *platform_of(const char *host)
{
    for (const struct sb_platform *const *p = sb_platforms; *p; p++)
        if (*host && serves_origin(*p, host))
            return *p;
    return NULL;
}

/* The host is the first segment of the path, or else the name that the client called. */
static void find_platform(struct own *o)
{
    struct sb_req *r = &o->r;
    size_t n = strcspn(r->path + 1, "/");
    char *host = gd_arena_strndup(r->arena, r->path + 1, n);
    const char *called = sb_header(r, "Host");

    for (char *c = host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    r->platform = platform_of(host);
    if (r->platform) {
        r->host = host;
        r->path += n + 1;
        if (!*r->path)
            r->path = "/";
        return;
    }
    host = gd_arena_strndup(r->arena, called ? called : "", called ? strcspn(called, ":") : 0);
    r->platform = platform_of(host);
    if (r->platform)
        r->host = host;
}

/* True when a route fits but for its method. */
static bool find_route(struct own *o)
{
    struct sb_req *r = &o->r;
    bool near = false;

    for (size_t t = 0; t < sizeof r->platform->routes / sizeof r->platform->routes[0]; t++) {
        for (const struct sb_route *at = r->platform->routes[t]; at && at->path; at++) {
            if (!route_host(at->host, r->host) || !route_path(o, at->path, r->path))
                continue;
            near = true;
            if (*at->method != '*' && strcmp(at->method, r->method) != 0)
                continue;
            r->route = at;
            return false;
        }
    }
    o->ncaptures = 0;
    return near;
}

static void serve(struct own *o)
{
    struct sb_req *r = &o->r;
    bool near = find_route(o);

    clock_follow(r);
    fault_before(o);
    if (sb_answered(r) || o->sending == SEND_NOTHING)
        return;
    if (r->platform->before && !r->platform->before(r))
        return;
    if (r->route)
        r->route->handle(r);
    else
        r->platform->missing(r, near);
    if (!sb_answered(r))
        sb_text(r, 500, "text/plain", "grantd-sandbox: this handler answered nothing\n");
    fault_after(o);
}

void route_request(struct own *o)
{
    struct sb_req *r = &o->r;

    if (strncmp(r->path, "/_sandbox", 9) == 0 && (r->path[9] == '/' || !r->path[9])) {
        control_request(o, r->path + 9);
        return;
    }
    if (strncmp(r->path, "/_consent/", 10) == 0) {
        consent_request(o, r->path + 10);
        return;
    }
    if (*r->path == '/')
        find_platform(o);
    if (r->platform)
        serve(o);
    else
        sb_text(r, 404, "text/plain",
                "grantd-sandbox: no platform is served under this name; see /_sandbox/\n");
}
