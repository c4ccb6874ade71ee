/* list.c - every ad account that the person behind a token has a role on, and what it is called: two finders,
 * page by page. Pages end by what they hold, never by arithmetic on their counts. */
#include "linkedin.h"

#define REST "https://api.linkedin.com/rest/"

enum { PAGE = 100 };

static grantd_fn roles_page, names_page;
static grantd_doc_fn on_roles, on_names;

const struct li_account *li_find(const struct li *st, const char *id)
{
    for (size_t i = 0; i < st->accounts; i++)
        if (!strcmp(st->account[i].id, id))
            return &st->account[i];
    return NULL;
}

grantd_next *li_list(grantd_op *op, const char *token, const char *wanted, grantd_fn *then)
{
    struct li *st = li(op);

    st->account = grantd_alloc(op, LI_ACCOUNTS_MAX * sizeof *st->account);
    st->accounts = 0;
    st->token = token;
    st->wanted = wanted;
    st->start = 0;
    st->page = NULL;
    st->listed = then;
    return roles_page(op);
}

/* ---- roles
 * ---------------------------------------------------------------------------------------------------- */

static grantd_next *roles_page(grantd_op *op)
{
    struct li *st = li(op);

    return li_get(op,
                  grantd_strf(op, REST "adAccountUsers?q=authenticatedUser&start=%lld&count=%d",
                              (long long)st->start, PAGE),
                  st->token, on_roles);
}

static void too_many(grantd_op *op)
{
    grantd_warn(op, "ACCOUNTS_TOO_MANY",
                "only the first %d ad accounts are looked at; name those that are meant", LI_ACCOUNTS_MAX);
}

/* 0 when the element is not what it should be. */
static int take_role(grantd_op *op, const grantd_doc *answer, int64_t i)
{
    struct li *st = li(op);
    const char *urn = grantd_text(op, answer, grantd_strf(op, "elements.%lld.account", (long long)i));
    const char *role = grantd_text(op, answer, grantd_strf(op, "elements.%lld.role", (long long)i));
    const char *id = li_bare(urn, "urn:li:sponsoredAccount:");

    if (!st->account || !id || id == urn || !li_digits(id) || !li_is_word(role))
        return 0;
    if ((st->wanted && !li_listed(st->wanted, id)) || li_find(st, id))
        return 1;
    if (st->accounts < LI_ACCOUNTS_MAX)
        st->account[st->accounts++] = (struct li_account){ .id = id, .role = role };
    else
        too_many(op);
    return 1;
}

static int has_next(grantd_op *op, const grantd_doc *answer, int64_t n)
{
    for (int64_t i = 0; i < grantd_len(op, answer, "paging.links"); i++) {
        const char *rel = grantd_text(op, answer, grantd_strf(op, "paging.links.%lld.rel", (long long)i));

        if (rel && !strcmp(rel, "next"))
            return n > 0;
    }
    return n >= PAGE;
}

static grantd_next *on_roles(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);
    int64_t n = grantd_len(op, answer, "elements");

    if (!grantd_ok(op, answer) || grantd_type(op, answer, "elements") != GRANTD_IS_LIST)
        return li_fail(op, answer, "listing the ad accounts");
    for (int64_t i = 0; i < n; i++)
        if (!take_role(op, answer, i))
            return grantd_fail(
                op, GRANTD_E_PROTOCOL,
                "listing the ad accounts: LinkedIn's answer holds a role without account or name");
    st->start += n;
    if (has_next(op, answer, n) && st->accounts < LI_ACCOUNTS_MAX)
        return roles_page(op);
    if (has_next(op, answer, n))
        too_many(op);
    return st->accounts ? names_page(op) : st->listed(op);
}

/* ---- names
 * ---------------------------------------------------------------------------------------------------- */

static grantd_next *names_page(grantd_op *op)
{
    struct li *st = li(op);

    return li_get(op,
                  st->page ? grantd_strf(op, REST "adAccounts?q=search&pageSize=%d&pageToken=%s", PAGE,
                                         grantd_encode(op, GRANTD_PERCENT, st->page))
                           : grantd_strf(op, REST "adAccounts?q=search&pageSize=%d", PAGE),
                  st->token, on_names);
}

static const char *id_at(grantd_op *op, const grantd_doc *answer, const char *path)
{
    int64_t n = grantd_num(op, answer, path, -1);

    return n >= 0 ? grantd_strf(op, "%lld", (long long)n) : NULL;
}

static int take_name(grantd_op *op, const grantd_doc *answer, int64_t i)
{
    struct li *st = li(op);
    const char *at = grantd_strf(op, "elements.%lld", (long long)i);
    const char *id = id_at(op, answer, grantd_strf(op, "%s.id", at));
    struct li_account *a = NULL;

    if (!id)
        return 0;
    for (size_t k = 0; k < st->accounts; k++)
        if (!strcmp(st->account[k].id, id))
            a = &st->account[k];
    if (!a)
        return 1;
    a->name = grantd_text(op, answer, grantd_strf(op, "%s.name", at));
    a->status = grantd_text(op, answer, grantd_strf(op, "%s.status", at));
    a->parent = grantd_text(op, answer, grantd_strf(op, "%s.reference", at));
    return 1;
}

static grantd_next *on_names(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);
    const char *next = grantd_text(op, answer, "metadata.nextPageToken");

    if (!grantd_ok(op, answer) || grantd_type(op, answer, "elements") != GRANTD_IS_LIST)
        return li_fail(op, answer, "reading the names of the ad accounts");
    for (int64_t i = 0; i < grantd_len(op, answer, "elements"); i++)
        if (!take_name(op, answer, i))
            return grantd_fail(op, GRANTD_E_PROTOCOL,
                               "reading the names of the ad accounts: one has no id that is a number");
    if (!next || !*next)
        return st->listed(op);
    if (st->page && !strcmp(st->page, next))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "LinkedIn's next page is the same page again");
    st->page = next;
    return names_page(op);
}
