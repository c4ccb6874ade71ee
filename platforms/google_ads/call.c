/* call.c - requests to the Ads API: headers by API version, queries with all their pages, changes. Ids go
 * into paths and queries only after their form was checked. */
#include "google_ads.h"

#define RETIRES_DAYS 60 /* how long before its end a version is warned of */

/* ---- texts ---- */

int ga_digits(const char *s)
{
    size_t n = s ? strspn(s, "0123456789") : 0;

    return n > 0 && n <= 19 && !s[n];
}

int ga_cid(const char *s)
{
    return ga_digits(s) && strlen(s) == 10;
}

int64_t ga_number(const char *s)
{
    int64_t n = 0;

    for (; *s >= '0' && *s <= '9' && n < INT64_MAX / 16; s++)
        n = n * 10 + (*s - '0');
    return n;
}

int ga_same_text(const char *a, const char *b)
{
    return a && b && !strcasecmp(a, b);
}

/* Strict, because it goes into texts that people read and is compared with what Google says. */
int ga_mail(const char *s)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
    const char *at = s ? strchr(s, '@') : NULL;

    if (!at || at == s || strlen(s) > 254 || strspn(at + 1, chars) != strlen(at + 1))
        return 0;
    return strchr(at + 1, '.') && at[1] != '.' && s[strlen(s) - 1] != '.' &&
           s + strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_+%") == at;
}

const char *ga_tail(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);

    return text && !strncmp(text, prefix, n) && ga_digits(text + n) ? text + n : NULL;
}

grantd_next *ga_lied(grantd_op *op, const char *what)
{
    return grantd_fail(op, GRANTD_E_PROTOCOL, "Google's answer is about something else than was asked: %s",
                       what);
}

/* ---- options ---- */

int ga_mode(const grantd_op *op)
{
    static const struct {
        const char *name;
        int mode;
    } modes[] = { { "link", GA_LINK },   { "link_manual", GA_LINK_MANUAL },
                  { "user", GA_USER },   { "user_manual", GA_USER_MANUAL },
                  { "token", GA_TOKEN }, { GRANTD_MODE_HUB, GA_MODE_HUB } };
    const char *name = grantd_arg(op, GRANTD_ARG_MODE);

    for (size_t i = 0; name && i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(modes[i].name, name))
            return modes[i].mode;
    return GA_LINK;
}

const char *ga_hub_login(const grantd_op *op)
{
    const char *id = grantd_option(op, "login_customer_id");

    return id ? id : grantd_arg(op, GRANTD_ARG_HUB_ID);
}

grantd_next *ga_need_hub(grantd_op *op)
{
    if (!ga_cid(grantd_arg(op, GRANTD_ARG_HUB_ID)))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "a hub is needed: its id is the agency's manager account, ten digits without dashes");
    if (!ga_cid(ga_hub_login(op)))
        return grantd_fail(op, GRANTD_E_CONFIG, "the hub's option login_customer_id is not ten digits");
    if (!grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the agency has not consented for its manager account yet: "
                           "grantctl hub connect");
    return NULL;
}

/* "v25" as 25; 0: it is none. */
static int64_t version(const grantd_op *op)
{
    const char *v = grantd_option(op, "api_version");

    return v && *v == 'v' && ga_digits(v + 1) && strlen(v) <= 4 ? ga_number(v + 1) : 0;
}

/* Only when configured, and not to versions that may reject it (facts: B1 headers). */
static const char *developer_token(const grantd_op *op)
{
    const char *last = grantd_option(op, "developer_token_until");

    return version(op) <= ga_number(last ? last : "") ? grantd_option(op, "developer_token") : NULL;
}

/* The facts know one date: v21 ended on 2026-08-07. Others are the operator's, who reads Google's mail. */
void ga_warn_version(grantd_op *op)
{
    const char *date = grantd_option(op, "api_version_retires");
    int64_t end = grantd_day(version(op) <= 21 ? "2026-08-07" : date), today = grantd_now(op) / 86400;

    if (date && (grantd_day(date) < 0 || strlen(date) > 10))
        grantd_warn(op, "OPTION_ODD", "api_version_retires is no date like 2027-08-31");
    if (end >= 0 && end <= today)
        grantd_warn(op, "API_VERSION_RETIRES", "version %s of the Google Ads API has ended: set api_version",
                    grantd_option(op, "api_version"));
    else if (end >= 0 && end - today <= RETIRES_DAYS)
        grantd_warn(op, "API_VERSION_RETIRES",
                    "version %s of the Google Ads API ends in %lld days: set api_version to a newer one",
                    grantd_option(op, "api_version"), (long long)(end - today));
}

/* ---- requests ---- */

static const char *token_of(const grantd_op *op, int who)
{
    return grantd_arg(op, who == GA_HUB && ga_mode(op) != GA_MODE_HUB ? GRANTD_ARG_HUB_ACCESS_TOKEN
                                                                      : GRANTD_ARG_ACCESS_TOKEN);
}

/* An operation about the hub may be given its token under either name. */
static const char *bearer(const grantd_op *op, int who)
{
    const char *token = token_of(op, who);

    return token || who != GA_HUB ? token : grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
}

static const char *url(grantd_op *op, const char *path)
{
    return grantd_strf(op, "%s/%s/customers%s", grantd_option(op, "api_url"),
                       grantd_option(op, "api_version"), path);
}

static grantd_next *check(grantd_op *op, int who)
{
    if (!version(op))
        return grantd_fail(op, GRANTD_E_CONFIG, "the option api_version is not like v25");
    if (!bearer(op, who))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "there is no access token to ask with");
    return NULL;
}

grantd_next *ga_list_roots(grantd_op *op, grantd_doc_fn *next)
{
    int who = ga_mode(op) == GA_MODE_HUB ? GA_HUB : GA_CLIENT;
    grantd_next *bad = check(op, who);

    ga(op)->who = who;
    return bad ? bad
               : grantd_http(op, next, .url = url(op, ":listAccessibleCustomers"), .bearer = bearer(op, who),
                             .headers = grantd_pairs("developer-token", developer_token(op)),
                             .flags = GRANTD_HTTP_REPEATABLE);
}

grantd_next *ga_mutate(grantd_op *op, int who, const char *cid, const char *login, const char *what,
                       const char *json, grantd_doc_fn *next)
{
    grantd_next *bad = check(op, who);

    ga(op)->who = who;
    return bad ? bad
               : grantd_http(op, next, .url = url(op, grantd_strf(op, "/%s/%s", cid, what)),
                             .bearer = bearer(op, who), .method = "POST", .body = json,
                             .content_type = "application/json",
                             .headers = grantd_pairs("login-customer-id", login, "developer-token",
                                                     developer_token(op)));
}

/* ---- queries ---- */

static grantd_doc_fn on_page;

static grantd_next *ask_page(grantd_op *op)
{
    const struct ga_query *q = &ga(op)->query;
    grantd_next *bad = check(op, q->who);

    ga(op)->who = q->who;
    return bad ? bad
               : grantd_http(op, on_page, .url = url(op, grantd_strf(op, "/%s/googleAds:search", q->cid)),
                             .bearer = bearer(op, q->who),
                             .json = grantd_pairs("query", q->gaql, "pageToken", ga(op)->page),
                             .headers = grantd_pairs("login-customer-id", q->login, "developer-token",
                                                     developer_token(op)),
                             .flags = GRANTD_HTTP_REPEATABLE);
}

/* One object; results may be absent when there are none, but never something else than a list. */
static int is_page(grantd_op *op, const grantd_doc *a)
{
    int type = grantd_type(op, a, "results"), next = grantd_type(op, a, "nextPageToken");

    return grantd_type(op, a, "") == GRANTD_IS_OBJECT &&
           (type == GRANTD_IS_LIST || type == GRANTD_IS_ABSENT) &&
           (next == GRANTD_IS_TEXT || next == GRANTD_IS_ABSENT) &&
           grantd_type(op, a, "error") == GRANTD_IS_ABSENT;
}

static grantd_next *on_page(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);
    const char *next = grantd_text(op, a, "nextPageToken");

    if (!grantd_ok(op, a))
        return st->query.refused ? st->query.refused(op, a) : ga_fail(op, a);
    if (!is_page(op, a))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Google's answer to a query is no page of results");
    for (int64_t i = 0; i < grantd_len(op, a, "results") && !st->bad; i++)
        st->query.row(op, a, grantd_strf(op, "results.%lld", (long long)i));
    if (st->bad)
        return ga_lied(op, st->bad);
    if (!next || !*next) {
        st->page = NULL;
        return st->query.then(op);
    }
    if (st->page && !strcmp(st->page, next))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Google names the same page as the next one");
    st->page = next;
    return ask_page(op);
}

grantd_next *ga_search(grantd_op *op, const struct ga_query *q)
{
    ga(op)->query = *q;
    ga(op)->page = NULL;
    return ask_page(op);
}
