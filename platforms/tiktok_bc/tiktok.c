/* tiktok.c - calls to the Business API and what its answers mean. Errors come as HTTP 200 with a code in the
 * envelope; what each code means and who has to act is one table (facts: tiktok.md 1.3, 1.4). */
#include "tiktok.h"

static const struct {
    int64_t code;
    int class;
    const char *text;
} codes[] = {
    { 40000, GRANTD_E_CONFIG, "invalid parameters" },
    { 40001, GRANTD_E_FORBIDDEN, "no permission for this" },
    { 40002, GRANTD_E_CONFIG, "a parameter was refused" },
    { 40003, GRANTD_E_FORBIDDEN, "forbidden" },
    { 40006, GRANTD_E_CONFIG, "wrong API version" },
    { 40007, GRANTD_E_ABSENT, "it does not exist" },
    { 40008, GRANTD_E_CONFIG, "not implemented" },
    { 40009, GRANTD_E_CONFIG, "not supported here" },
    { 40010, GRANTD_E_CONFIG, "bad domain" },
    { 40011, GRANTD_E_CONFIG, "too many ids" },
    { 40012, GRANTD_E_ABSENT, "nothing to change" },
    { 40013, GRANTD_E_CONFIG, "no such sandbox advertiser" },
    { 40014, GRANTD_E_CONFIG, "not supported in the sandbox" },
    { 40016, GRANTD_E_LIMITED, "the app's rate limit" },
    { 40050, GRANTD_E_UNCERTAIN, "a duplicate of another request" },
    { 40051, GRANTD_E_CONFIG, "wrong API version" },
    { 40061, GRANTD_E_CONFIG, "bad batch size" },
    { 40100, GRANTD_E_LIMITED, "too many requests" },
    { 40101, GRANTD_E_REAUTH, "the consent's code was refused" },
    { 40102, GRANTD_E_REAUTH, "the access token has expired" },
    { 40103, GRANTD_E_REAUTH, "the refresh token has expired" },
    { 40104, GRANTD_E_CONFIG, "no access token arrived" },
    { 40105, GRANTD_E_REAUTH, "the access token is revoked or wrong" },
    { 40106, GRANTD_E_REAUTH, "the user behind the token is invalid" },
    { 40107, GRANTD_E_REAUTH, "the refresh token is invalid" },
    { 40108, GRANTD_E_CONFIG, "wrong grant type" },
    { 40109, GRANTD_E_CONFIG, "something could not be deciphered" },
    { 40110, GRANTD_E_REAUTH, "the consent's code was cancelled, used or has expired" },
    { 40112, GRANTD_E_REAUTH, "a matter of the password" },
    { 40113, GRANTD_E_CONFIG, "the app is blocked, missing, or not the token's" },
    { 40114, GRANTD_E_REAUTH, "the advertiser is logged out" },
    { 40115, GRANTD_E_REAUTH, "the consent has expired or is of the other kind" },
    { 40116, GRANTD_E_CONFIG, "bad signature" },
    { 40117, GRANTD_E_CONFIG, "the method is forbidden" },
    { 40118, GRANTD_E_CONFIG, "the app is not on the allow-list of this feature" },
    { 40119, GRANTD_E_FORBIDDEN, "not of the same company" },
    { 40120, GRANTD_E_REAUTH, "the TikTok user is not logged in" },
    { 40121, GRANTD_E_FORBIDDEN, "a matter of the creator's account" },
    { 40122, GRANTD_E_FORBIDDEN, "a matter of the creator's account" },
    { 40124, GRANTD_E_CONFIG, "the developer's profile is not approved" },
    { 40125, GRANTD_E_FORBIDDEN, "the developer lacks a permission" },
    { 40130, GRANTD_E_REAUTH, "a scope was not authorised" },
    { 40131, GRANTD_E_REAUTH, "a scope of the creator was not authorised" },
    { 40132, GRANTD_E_LIMITED, "too often for this value" },
    { 40133, GRANTD_E_LIMITED, "the advertiser's rate limit" },
    { 40200, GRANTD_E_TRANSIENT, "an asynchronous task failed" },
    { 40201, GRANTD_E_TRANSIENT, "an asynchronous task is not ready" },
    { 40202, GRANTD_E_TRANSIENT, "somebody else writes at the same time" },
    { 40300, GRANTD_E_CONFIG, "the advertiser does not exist" },
    { 40301, GRANTD_E_FORBIDDEN, "the advertiser's role does not allow it" },
    { 40302, GRANTD_E_CONFIG, "the customer's advertiser is missing" },
    { 40309, GRANTD_E_REAUTH, "a login is required" },
    { 40400, GRANTD_E_CONFIG, "there is no such call" },
    { 40700, GRANTD_E_TRANSIENT, "an internal check failed" },
    { 41000, GRANTD_E_CONFIG, "this address or country is blocked" },
    { 41001, GRANTD_E_CONFIG, "the call was taken offline" },
    { 41002, GRANTD_E_CONFIG, "fields were taken offline" },
    { 50000, GRANTD_E_TRANSIENT, "a system error" },
    { 50002, GRANTD_E_TRANSIENT, "TikTok took too long" },
    { 60001, GRANTD_E_TRANSIENT, "maintenance" },
    { 61000, GRANTD_E_LIMITED, "too many requests" },
    { 70001, GRANTD_E_CONFIG, "invalid kind of authorisation" },
};
const char *const tt_user_info_choices[] = { "get", "post", "off", NULL };

/* ---- calls ------------------------------------------------------------------------------------------- */

int tt_is_hub(const grantd_op *op)
{
    return grantd_equal(grantd_arg(op, GRANTD_ARG_MODE), GRANTD_MODE_HUB);
}

const char *tt_token(const grantd_op *op, int whose)
{
    const char *own = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    if (whose == TT_CLIENT)
        return own;
    if (whose == TT_NOBODY)
        return NULL;
    return tt_is_hub(op) && own ? own : grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
}

enum { RETIRES_DAYS = 60 };

/* The facts know one date: what came before v1.3 was switched off in August 2023. Others are the operator's,
 * who reads TikTok's mail. */
static void warn_version(grantd_op *op)
{
    const char *version = grantd_option(op, "api_version"), *date = grantd_option(op, "api_version_retires");
    int old = grantd_equal(version, "v1.2") || grantd_equal(version, "v1.1") || grantd_equal(version, "v1.0");
    int64_t end = date ? tt_time(date) : 0, now = grantd_now(op);

    if (date && !end)
        grantd_warn(op, "OPTION_ODD", "api_version_retires is no date like 2027-08-31");
    if (old || (end && end <= now))
        grantd_warn(op, "API_VERSION_RETIRES", "version %s of the Business API has ended: set api_version",
                    version);
    else if (end && end - now <= RETIRES_DAYS * 86400)
        grantd_warn(op, "API_VERSION_RETIRES",
                    "version %s of the Business API ends in %lld days: set api_version to a newer one",
                    version, (long long)((end - now) / 86400));
}

static const char *address(grantd_op *op, const char *path)
{
    warn_version(op);
    return grantd_strf(op, "%s/open_api/%s/%s", grantd_option(op, "base_url"),
                       grantd_option(op, "api_version"), path);
}

grantd_next *tt_get(grantd_op *op, int whose, const char *path, const char *const *query, grantd_doc_fn *next)
{
    return grantd_http(op, next, .url = address(op, path), .query = query,
                       .headers = grantd_pairs("Access-Token", tt_token(op, whose)),
                       .flags = GRANTD_HTTP_REPEATABLE);
}

grantd_next *tt_post(grantd_op *op, int whose, uint32_t flags, const char *path, const char *const *json,
                     grantd_doc_fn *next)
{
    return grantd_http(op, next, .url = address(op, path), .json = json, .flags = flags,
                       .headers = grantd_pairs("Access-Token", tt_token(op, whose)));
}

grantd_next *tt_post_text(grantd_op *op, int whose, const char *path, const char *body, grantd_doc_fn *next)
{
    return grantd_http(op, next, .url = address(op, path), .body = body, .content_type = "application/json",
                       .headers = grantd_pairs("Access-Token", tt_token(op, whose)));
}

/* ---- answers ----------------------------------------------------------------------------------------- */

int64_t tt_code(const grantd_op *op, const grantd_doc *a)
{
    int data = grantd_type(op, a, "data");

    if (grantd_type(op, a, "code") != GRANTD_IS_NUMBER)
        return -1;
    if (grantd_status(op, a) != 200 && (grantd_status(op, a) / 100 != 4 || grantd_num(op, a, "code", 0) <= 0))
        return -1; /* nearly all errors come as 200 (facts: 1.3); a refusal is one in TikTok's words all the
                      same */
    if (data != GRANTD_IS_OBJECT && data != GRANTD_IS_ABSENT && data != GRANTD_IS_NULL)
        return -1;
    return grantd_num(op, a, "code", -1);
}

int tt_is_list(grantd_op *op, const grantd_doc *a, const char *path)
{
    return tt_code(op, a) == 0 && grantd_type(op, a, path) == GRANTD_IS_LIST;
}

int tt_says(grantd_op *op, const grantd_doc *a, const char *part)
{
    return grantd_contains(grantd_text(op, a, "message"), part);
}

static int says_often(grantd_op *op, const grantd_doc *a)
{
    return tt_says(op, a, "frequent") || tt_says(op, a, "too many") || tt_says(op, a, "rate limit");
}

static int class_of_code(int64_t code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].class;
    if ((code >= 51000 && code <= 51099) || (code >= 52000 && code <= 52999))
        return GRANTD_E_TRANSIENT;
    return GRANTD_E_PROTOCOL;
}

int tt_class(grantd_op *op, const grantd_doc *a)
{
    int64_t code = tt_code(op, a);
    int status = grantd_status(op, a);

    if (code == -500 && status == 200) /* call_rpc_fail, call_db_fail (5.7) */
        return GRANTD_E_TRANSIENT;
    if (code < 0 && (status == 429 || status >= 500))
        return status == 429 ? GRANTD_E_LIMITED : GRANTD_E_TRANSIENT;
    if (code < 0)
        return status == 404 || status == 405 ? GRANTD_E_CONFIG : GRANTD_E_PROTOCOL;
    if ((code == 40000 || code == 51021) && says_often(op, a))
        return GRANTD_E_LIMITED;
    if (code == 40101 && (tt_says(op, a, "secret") || tt_says(op, a, "app_id")))
        return GRANTD_E_CONFIG;
    return class_of_code(code);
}

int tt_stops(grantd_op *op, const grantd_doc *a)
{
    switch (tt_class(op, a)) {
    case GRANTD_E_TRANSIENT:
    case GRANTD_E_LIMITED:
    case GRANTD_E_REAUTH:
    case GRANTD_E_PROTOCOL:
        return 1;
    default:
        return tt_code(op, a) < 0;
    }
}

int tt_dead(grantd_op *op, const grantd_doc *a)
{
    return tt_code(op, a) == 40102 || tt_code(op, a) == 40105;
}

int tt_refuses(grantd_op *op, const grantd_doc *a)
{
    int64_t code = tt_code(op, a);
    int class = tt_class(op, a);

    return code > 0 && (class == GRANTD_E_ABSENT || class == GRANTD_E_FORBIDDEN || code == 40002 ||
                        code == 40300 || code == 40302);
}

static int holds_secret(grantd_op *op, const char *text)
{
    const char *const secrets[] = {
        grantd_option(op, "secret"),
        grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
        grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
        grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN),
        grantd_arg(op, GRANTD_ARG_CODE),
        grantd_query(op, "auth_code"),
        "#", /* a Spark code begins with it */
    };

    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (secrets[i] && *secrets[i] && strstr(text, secrets[i]))
            return 1;
    return 0;
}

enum { SAID_MAX = 160 };

const char *tt_said(grantd_op *op, const grantd_doc *a)
{
    const char *text = grantd_text(op, a, "message");
    size_t n = 0;
    char *out;

    if (!text || holds_secret(op, text) || !(out = grantd_alloc(op, SAID_MAX + 1)))
        return "";
    for (; *text && n < SAID_MAX; text++)
        out[n++] = *text >= ' ' && *text <= '~' ? *text : ' ';
    while (n && (out[n - 1] == ' ' || out[n - 1] == '.'))
        n--;
    out[n] = 0;
    return out;
}

static const char *meaning(int64_t code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].text;
    return "a code that is not documented";
}

/* No header says when: the text tells which window is full (facts: tiktok.md 6). */
static void tell_when(grantd_op *op, const grantd_doc *a)
{
    int64_t now = grantd_now(op);

    if (tt_says(op, a, "QPD") || tt_says(op, a, "per day") || tt_says(op, a, "daily"))
        grantd_retry_after(op, now - now % 86400 + 86400);
    else if (tt_says(op, a, "QPM") || tt_says(op, a, "minute"))
        grantd_retry_after(op, now + 300);
    else if (tt_says(op, a, "QPS") || tt_says(op, a, "second"))
        grantd_retry_after(op, now + 2);
    else
        grantd_retry_after(op, now + 60);
}

grantd_next *tt_odd(grantd_op *op, const char *what)
{
    return grantd_fail(op, GRANTD_E_PROTOCOL, "TikTok's answer has no usable %s", what);
}

grantd_next *tt_fail(grantd_op *op, const grantd_doc *a, int whose)
{
    int class = tt_class(op, a), status = grantd_status(op, a);
    int64_t code = tt_code(op, a);
    const char *said = tt_said(op, a);

    if (status == 429 || status >= 500)
        return grantd_fail_answer(op, a);
    if (code < 0 && (status == 404 || status == 405))
        return grantd_fail(op, class,
                           "TikTok knows no such address (HTTP %d): check base_url and api_version", status);
    if (code < -1)
        return grantd_fail(op, class, "TikTok had a fault of its own (TikTok %lld%s%s)", (long long)code,
                           *said ? ": " : "", said);
    if (code < 0)
        return grantd_fail(op, class, "TikTok answered HTTP %d with something that is no answer of its API",
                           status);
    if (class == GRANTD_E_LIMITED)
        tell_when(op, a);
    if (code == 0)
        return tt_odd(op, "content");
    if (class == GRANTD_E_REAUTH && whose == TT_HUB && !tt_is_hub(op))
        return grantd_fail(
            op, GRANTD_E_CONFIG,
            "the agency's own access to TikTok has ended (TikTok %lld: %s): order grantctl hub "
            "connect",
            (long long)code, meaning(code));
    return grantd_fail(op, class, "%s (TikTok %lld%s%s)", meaning(code), (long long)code, *said ? ": " : "",
                       said);
}

grantd_next *tt_fail_end(grantd_op *op, const grantd_doc *a, int whose)
{
    if (whose != TT_HUB && tt_class(op, a) == GRANTD_E_REAUTH && !tt_dead(op, a))
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "%s (TikTok %lld): the token was not said to be dead",
                           meaning(tt_code(op, a)), (long long)tt_code(op, a));
    if (tt_class(op, a) == GRANTD_E_ABSENT)
        return grantd_fail(op, GRANTD_E_CONFIG, "%s (TikTok %lld): what has to be closed cannot be looked at",
                           meaning(tt_code(op, a)), (long long)tt_code(op, a));
    return tt_fail(op, a, whose);
}

/* ---- rows and pages ---------------------------------------------------------------------------------- */

const char *tt_row(grantd_op *op, const grantd_doc *a, int64_t i, const char *member)
{
    return grantd_text(op, a, grantd_strf(op, "data.list.%lld.%s", (long long)i, member));
}

const char *tt_row_id(grantd_op *op, const grantd_doc *a, int64_t i, const char *member)
{
    const char *id = tt_row(op, a, i, member);

    return id && tt_digits(id) ? id : NULL;
}

int tt_has_ended(const char *status)
{
    return grantd_equal(status, "REJECTED") || grantd_equal(status, "UNBOUND");
}

enum { PAGE_LEAST = 20 }; /* no page that is asked for is smaller */

int tt_last_page(grantd_op *op, const grantd_doc *a, const char *list, int64_t page)
{
    int64_t n = grantd_len(op, a, list), pages = grantd_num(op, a, "data.page_info.total_page", 0);

    if (n == 0 || page >= TT_IDS_MAX)
        return 1;
    return pages > 0 ? page >= pages : n < PAGE_LEAST;
}

int tt_digits(const char *text)
{
    size_t n = text ? strspn(text, "0123456789") : 0;

    return n > 0 && n <= 20 && !text[n];
}

int tt_flag(const char *text)
{
    return grantd_equal(text, "true");
}

int64_t tt_whole(const char *text, int64_t dflt)
{
    int64_t n = 0;

    if (!text || !tt_digits(text) || strlen(text) > 15)
        return dflt;
    for (; *text; text++)
        n = n * 10 + (*text - '0');
    return n;
}

const char *tt_num_text(grantd_op *op, int64_t n)
{
    return grantd_strf(op, "%lld", (long long)n);
}

/* ---- of the grant that the host knows ---------------------------------------------------------------- */

const char *tt_grant_text(grantd_op *op, const char *path)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);

    return grant ? grantd_text(op, grant, path) : NULL;
}

int tt_is_open(grantd_op *op, const char *kind)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = grant ? grantd_len(op, grant, "surfaces") : 0;

    for (int64_t i = 0; i < n; i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);
        const char *outcome = tt_grant_text(op, grantd_strf(op, "%s.outcome", at));

        if (grantd_equal(tt_grant_text(op, grantd_strf(op, "%s.kind", at)), kind) &&
            !grantd_equal(outcome, "closed") && !grantd_equal(outcome, "gone"))
            return 1;
    }
    return 0;
}
