/* shop.c - the guard of the shop's domain. It is user input that becomes a host, so nothing is guessed:
 * letters, digits and - of one label, in front of .myshopify.com. */
#include "shopify.h"

#define SUFFIX ".myshopify.com"
#define ADMIN  "admin.shopify.com/store/"

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

static int is_label(const char *s, size_t n)
{
    return n > 0 && n <= SH_LABEL_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") >= n && *s != '-';
}

int sh_is_domain(const char *text)
{
    size_t n = text ? strcspn(text, ".") : 0;

    return text && is_label(text, n) && !strcmp(text + n, SUFFIX);
}

/* Blanks around it go, letters become small; NULL when something is in it that no address of a shop has. */
static char *cleaned(grantd_op *op, const char *text)
{
    size_t n, i;
    char *s;

    text += strspn(text, " \t\r\n");
    for (n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
        continue;
    s = n && n < 512 ? grantd_alloc(op, n + 1) : NULL;
    for (i = 0; s && i < n; i++) {
        s[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
        if (!strchr(letters, s[i]) && !strchr("-._/:", s[i]))
            return NULL;
    }
    return s;
}

/* The path behind the host is thrown away when it is plain, and makes the whole thing wrong when it is not.
 */
static int path_fine(const char *path)
{
    return !*path || (*path == '/' && !strchr(path, '.') && !strchr(path, ':') && !strstr(path, "//"));
}

const char *sh_domain(grantd_op *op, const char *text)
{
    char *s = text ? cleaned(op, text) : NULL;
    size_t n;

    if (!s)
        return NULL;
    if (!strncmp(s, "https://", 8))
        s += 8;
    else if (!strncmp(s, "http://", 7))
        s += 7;
    if (!strncmp(s, ADMIN, strlen(ADMIN)))
        s += strlen(ADMIN);
    else if (!strchr(s, '.') && strchr(s, '/'))
        return NULL;
    n = strcspn(s, "/:");
    if (!path_fine(s + n))
        return NULL;
    s[n] = '\0';
    if (!strchr(s, '.') && is_label(s, n))
        return grantd_strf(op, "%s" SUFFIX, s);
    return sh_is_domain(s) ? s : NULL;
}

/* What the agency wrote for one item, in any spelling; the ids of asset and account are domains, and so is
 * what was kept with the tokens. */
grantd_next *sh_shop(grantd_op *op)
{
    const char *param = grantd_param(op, "shop"), *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    const char *account = grantd_arg(op, GRANTD_ARG_ACCOUNT_ID), *kept = grantd_kept(op, "shop");
    const char *given = param && *param ? param : asset && *asset ? asset : account ? account : kept, *named;

    sh(op)->shop = sh_domain(op, given);
    if (!sh(op)->shop)
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "the shop must be named by its permanent address, like acme-candles.myshopify.com (not by "
            "a domain of its own)");
    named = asset && *asset ? sh_domain(op, asset) : sh(op)->shop;
    if (!named || strcmp(named, sh(op)->shop) != 0)
        return grantd_fail(op, GRANTD_E_CONFIG, "asset and shop of the item name two shops");
    return NULL;
}

const char *sh_at(grantd_op *op, const char *path)
{
    return grantd_strf(op, "https://%s/admin/%s", sh(op)->shop, path);
}
