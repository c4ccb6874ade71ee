/* scope.c - Shopify's permissions: words like read_orders, joined by commas. */
#include "shopify.h"

enum { SCOPE_MAX = 64, SCOPES_MAX = 4000 };

static const char gaps[] = ", \t\r\n";

/* Length of the n-th word's text at *s, which is moved to it; 0 past the end. */
static size_t word_at(const char **s)
{
    *s += strspn(*s, gaps);
    return strcspn(*s, gaps);
}

static int holds(const char *scopes, const char *word)
{
    size_t n, len = strlen(word);

    for (; scopes && (n = word_at(&scopes)) > 0; scopes += n)
        if (n == len && !strncmp(scopes, word, n))
            return 1;
    return 0;
}

/* The scope that reads what this one writes; the scope itself when it writes nothing. */
static const char *reading(grantd_op *op, const char *scope)
{
    if (!strncmp(scope, "write_", 6))
        return grantd_strf(op, "read_%s", scope + 6);
    if (!strncmp(scope, "unauthenticated_write_", 22))
        return grantd_strf(op, "unauthenticated_read_%s", scope + 22);
    return scope;
}

static int is_write(const char *scope)
{
    return !strncmp(scope, "write_", 6) || !strncmp(scope, "unauthenticated_write_", 22);
}

static const char *add(grantd_op *op, const char *list, const char *scope)
{
    if (holds(list, scope))
        return list;
    return *list ? grantd_strf(op, "%s,%s", list, scope) : scope;
}

const char *sh_scopes(grantd_op *op)
{
    const char *asked = grantd_arg(op, GRANTD_ARG_SCOPE), *role = grantd_arg(op, GRANTD_ARG_ROLE), *list = "";
    const char *s = asked && *asked ? asked : grantd_option(op, "scopes");
    int read_only = role && !strcmp(role, "read");
    size_t n;

    for (; s && (n = word_at(&s)) > 0; s += n) {
        const char *scope = grantd_strf(op, "%.*s", (int)n, s);

        if (n > SCOPE_MAX || strspn(scope, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
            return NULL;
        list = add(op, list, read_only ? reading(op, scope) : scope);
    }
    return *list && strlen(list) <= SCOPES_MAX ? list : NULL;
}

const char *sh_missing(grantd_op *op, const char *asked, const char *granted)
{
    const char *all = "", *missing = "";
    size_t n;

    for (; granted && (n = word_at(&granted)) > 0; granted += n) {
        const char *scope = grantd_strf(op, "%.*s", (int)n, granted);

        all = add(op, add(op, all, scope), reading(op, scope));
    }
    for (; asked && (n = word_at(&asked)) > 0; asked += n) {
        const char *scope = grantd_strf(op, "%.*s", (int)n, asked);

        if (!holds(all, scope))
            missing = add(op, missing, scope);
    }
    return *missing ? missing : NULL;
}

int sh_any_write(const char *scopes)
{
    size_t n;

    for (; scopes && (n = word_at(&scopes)) > 0; scopes += n)
        if (is_write(scopes))
            return 1;
    return 0;
}

const char *sh_spaced(grantd_op *op, const char *scopes)
{
    const char *list = "";
    size_t n;

    for (; scopes && (n = word_at(&scopes)) > 0; scopes += n)
        list = grantd_strf(op, "%s%s%.*s", list, *list ? " " : "", (int)n, scopes);
    return *list ? list : NULL;
}

const char *sh_installed(grantd_op *op, const grantd_doc *answer, const char *path)
{
    const char *list = "";

    if (grantd_type(op, answer, path) != GRANTD_IS_LIST)
        return NULL;
    for (int64_t i = 0; i < grantd_len(op, answer, path) && i < 256; i++) {
        const char *scope = grantd_text(op, answer, grantd_strf(op, "%s.%lld.handle", path, (long long)i));

        if (!scope || strlen(scope) > SCOPE_MAX)
            return NULL;
        list = add(op, list, scope);
    }
    return list;
}
