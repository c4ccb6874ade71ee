/* call.c - one request, and lists that are read page by page. The token goes into the Authorization header,
 * never into a URL; the proof (facts: A1, "Auth transport") goes with every call that shows a token of a
 * person or of a system user. */
#include "meta.h"

static grantd_doc_fn on_page;
static grantd_next *next_of_search(grantd_op *op);

/* ---- the version
 * ------------------------------------------------------------------------------------------- */
enum { TOLD_VERSION = 1, TOLD_SERVED = 2, VERSION_NOTICE = 90 * 86400 };

/* Facts: A1, "End dates reported"; of the Marketing API where that ends sooner. */
static const struct {
    const char *version;
    int64_t ends;
} versions[] = {
    { "v20.0", 1790208000 }, { "v21.0", 1800489600 }, { "v22.0", 1810771200 },
    { "v23.0", 1822953600 }, { "v24.0", 1791244800 }, { "v25.0", 1848441600 },
};

void me_watch_version(grantd_op *op)
{
    const char *version = grantd_option(op, "api_version");
    int64_t now = grantd_now(op);

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        if (strcmp(version, versions[i].version) || now < versions[i].ends - VERSION_NOTICE)
            continue;
        if (!(me(op)->told & TOLD_VERSION))
            grantd_warn(op, "API_VERSION_RETIRES", "Graph version %s %s; set api_version to a newer one",
                        version, now < versions[i].ends ? "ends within 90 days" : "has ended");
        me(op)->told |= TOLD_VERSION;
    }
}

/* An ended version is served by another one without a word (facts: A1). */
void me_watch_served(grantd_op *op, const grantd_doc *a)
{
    const char *served = grantd_header(op, a, "facebook-api-version"),
               *asked = grantd_option(op, "api_version");

    if (!served || !strcmp(served, asked) || me(op)->told & TOLD_SERVED)
        return;
    me(op)->told |= TOLD_SERVED;
    grantd_warn(op, "API_VERSION_SERVED", "Meta answered with version %.12s where api_version says %s",
                served, asked);
}

/* ---- requests
 * ---------------------------------------------------------------------------------------------- */
const char *me_token(grantd_op *op, int who)
{
    switch (who) {
    case ME_CLIENT:
        return me(op)->token ? me(op)->token : grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    case ME_PAGE:
        return me(op)->page_token;
    case ME_HUB:
        return grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
    case ME_APP:
        return grantd_strf(op, "%s|%s", grantd_option(op, "app_id"), grantd_option(op, "app_secret"));
    default:
        return NULL;
    }
}

static const char *address(grantd_op *op, const char *path)
{
    return grantd_strf(op, "%s/%s/%s", grantd_option(op, "graph_url"), grantd_option(op, "api_version"),
                       path);
}

static const char *const none[] = { NULL, NULL };

static const char *proof(grantd_op *op, int who, const char *token)
{
    if (who == ME_APP || !token)
        return NULL;
    return grantd_digest(op, GRANTD_HMAC_SHA256_HEX, grantd_option(op, "app_secret"), token);
}

/* The pairs with the proof behind them. */
static const char *const *with_proof(grantd_op *op, int who, const char *const *pairs)
{
    const char *sum = proof(op, who, me_token(op, who));
    const char **out;
    size_t n = 0;

    while (pairs[n])
        n += 2;
    out = grantd_alloc(op, (n + 4) * sizeof *out);
    if (!out)
        return none;
    memcpy(out, pairs, n * sizeof *out);
    if (sum) {
        out[n] = "appsecret_proof";
        out[n + 1] = sum;
    }
    return out;
}

static grantd_next *send(grantd_op *op, int who, const char *method, const char *path,
                         const char *const *query, const char *const *form, grantd_doc_fn *next)
{
    uint32_t flags = !strcmp(method, "GET") ? GRANTD_HTTP_REPEATABLE : 0;
    const char *token = me_token(op, who);

    me(op)->who = who;
    me(op)->at_token = 0;
    if (!token || !*token)
        return grantd_fail(op, who == ME_HUB ? GRANTD_E_CONFIG : GRANTD_E_REAUTH,
                           "there is no token for the next call%s",
                           who == ME_HUB ? "; run grantctl hub connect" : "");
    return grantd_http(op, next, .method = method, .url = address(op, path), .bearer = token,
                       .query = query ? with_proof(op, who, query) : NULL,
                       .form = form ? with_proof(op, who, form) : NULL, .flags = flags);
}

grantd_next *me_get(grantd_op *op, int who, const char *path, const char *const *query, grantd_doc_fn *next)
{
    return send(op, who, "GET", path, query, NULL, next);
}

grantd_next *me_post(grantd_op *op, int who, const char *path, const char *const *form, grantd_doc_fn *next)
{
    return send(op, who, "POST", path, NULL, form, next);
}

grantd_next *me_delete(grantd_op *op, int who, const char *path, const char *const *query,
                       grantd_doc_fn *next)
{
    return send(op, who, "DELETE", path, query, NULL, next);
}

grantd_next *me_trade(grantd_op *op, const char *const *query, grantd_doc_fn *next)
{
    me(op)->who = ME_CLIENT;
    me(op)->at_token = 1;
    return grantd_http(op, next, .url = address(op, "oauth/access_token"), .query = query);
}

grantd_next *me_need_hub(grantd_op *op)
{
    if (!me_digits(grantd_arg(op, GRANTD_ARG_HUB_ID)))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "the hub's id must be the agency's business portfolio id (digits); set it in hubs");
    if (!grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN))
        return grantd_fail(op, GRANTD_E_CONFIG, "the hub has no credential; run grantctl hub connect");
    return NULL;
}

/* ---- lists
 * ------------------------------------------------------------------------------------------------- */
enum { PAGES_MAX = 40 };

/* Facts: A1, "Page until paging.next is absent". The link itself holds the token and is never followed or
 * logged: its cursor is sent with a request of our own. */
const char *me_next_page(grantd_op *op, const grantd_doc *a, int *ret_odd)
{
    const char *next = grantd_text(op, a, "paging.next"), *after = grantd_text(op, a, "paging.cursors.after");

    *ret_odd = grantd_type(op, a, "data") != GRANTD_IS_LIST;
    if (*ret_odd || !next)
        return NULL;
    *ret_odd = !after || !*after || strlen(after) > 2048;
    return *ret_odd ? NULL : after;
}

static const char *const *page_query(grantd_op *op, const struct me_find *f)
{
    const char **out;
    size_t n = 0;

    while (f->query[n])
        n += 2;
    out = grantd_alloc(op, (n + 6) * sizeof *out);
    if (!out)
        return none;
    memcpy(out, f->query, n * sizeof *out);
    out[n++] = "limit";
    out[n++] = "100";
    out[n++] = f->after ? "after" : NULL;
    out[n] = f->after;
    return out;
}

static grantd_next *next_of_search(grantd_op *op)
{
    struct me_find *f = &me(op)->find;

    if (f->pages++ >= PAGES_MAX)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the list %.60s has more than %d pages", f->edge,
                           PAGES_MAX);
    return me_get(op, f->who, f->edge, page_query(op, f), on_page);
}

grantd_next *me_search(grantd_op *op)
{
    me(op)->find.after = NULL;
    me(op)->find.pages = 0;
    return next_of_search(op);
}

void me_use_list(grantd_op *op, const char *edge, int who, const char *const *query, const char *id)
{
    struct me_find *f = &me(op)->find;
    const char **copy;
    size_t n = 0;

    while (query[n])
        n += 2;
    copy = grantd_alloc(op, (n + 2) * sizeof *copy);
    if (copy)
        memcpy(copy, query, n * sizeof *copy);
    *f = (struct me_find){ .edge = edge, .who = who, .query = copy ? copy : none, .id = id };
}

static int row_is(grantd_op *op, const grantd_doc *a, const char *row, const struct me_find *f)
{
    static const char *const direct[] = { "id", "account_id", NULL };

    for (const char *const *m = direct; *m; m++) {
        const char *path =
            f->inner ? grantd_strf(op, "%s.%s.%s", row, f->inner, *m) : grantd_strf(op, "%s.%s", row, *m);

        if (me_same_id(grantd_text(op, a, path), f->id))
            return 1;
    }
    return 0;
}

static grantd_next *on_page(grantd_op *op, const grantd_doc *a)
{
    struct me_find *f = &me(op)->find;
    const char *after;
    int64_t n;
    int odd;

    if (me_bad(op, a))
        return f->refused ? f->refused(op, a) : me_fail(op, a);
    after = me_next_page(op, a, &odd);
    n = grantd_len(op, a, "data");
    for (int64_t i = 0; i < n && !odd; i++) {
        const char *row = grantd_strf(op, "data.%lld", (long long)i);

        if (row_is(op, a, row, f))
            return f->found(op, a, row);
    }
    if (odd || (after && f->after && !strcmp(after, f->after)))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "%.60s is no list, or one that goes round", f->edge);
    if (!after)
        return f->absent(op);
    f->after = after;
    return next_of_search(op);
}
