/* call.c - one request to LinkedIn's API and what a refusal means. The versioned API lives under /rest/ and
 * wants its two headers on each request; everything sent here may be sent twice without harm. */
#include "linkedin.h"

enum { FIRST_S = 30, SECOND_S = 300, WAIT_YOUNG_MS = 5000, YOUNG_S = 60, YOUNG_TRIES = 3, JITTER_S = 900 };

/* The platform's table of refusals. Words win over numbers, numbers over the bare status. */
static const struct {
    int status, number, code;
    const char *word, *text;
} errors[] = {
    { 400, 0, GRANTD_E_CONFIG, "VERSION_MISSING", "the request had no API version" },
    { 400, 0, GRANTD_E_CONFIG, "PARAM_INVALID", "a parameter is wrong" },
    { 400, 0, GRANTD_E_CONFIG, "QUERY_PARAM_NOT_ALLOWED", "a parameter is not allowed" },
    { 400, 0, GRANTD_E_CONFIG, "FIELD_INVALID", "a field is wrong" },
    { 400, 0, GRANTD_E_CONFIG, "ACCOUNT_ID_MISMATCH_IN_PARAM_AND_BODY", "key and body disagree" },
    { 400, 0, GRANTD_E_CONFIG, "USER_MISMATCH_IN_PARAM_AND_BODY", "key and body disagree" },
    { 400, 0, GRANTD_E_CONFIG, "MULTIPLE_ACCOUNTS_UNSUPPORTED", "several accounts in one request" },
    { 400, 0, GRANTD_E_MANUAL, "MEMBER_HAD_UNCONFIRMED_EMAIL",
      "the agency's member has to confirm the primary e-mail address at LinkedIn" },
    { 401, 65602, GRANTD_E_REAUTH, "EXPIRED_ACCESS_TOKEN", "the access token has expired" },
    { 401, 65601, GRANTD_E_REAUTH, "REVOKED_ACCESS_TOKEN", "the access token was revoked" },
    { 401, 65600, GRANTD_E_REAUTH, "INVALID_ACCESS_TOKEN", "the access token is invalid" },
    { 401, 0, GRANTD_E_REAUTH, NULL, "the access token is refused" },
    { 403, 100, GRANTD_E_FORBIDDEN, "ACCESS_DENIED",
      "role or permissions are too low; ACCOUNT_MANAGER or ACCOUNT_BILLING_ADMIN is needed to manage users" },
    { 403, 0, GRANTD_E_FORBIDDEN, NULL, "role or permissions are too low" },
    { 404, 0, GRANTD_E_FORBIDDEN, NULL, "it is not there, or not for this person" },
    { 408, 0, GRANTD_E_TRANSIENT, NULL, "it took too long" },
    { 411, 0, GRANTD_E_CONFIG, NULL, "the request had no length" },
    { 426, 0, GRANTD_E_CONFIG, "NONEXISTENT_VERSION",
      "this API version was retired: set api_version of the app to one that LinkedIn serves" },
    { 426, 0, GRANTD_E_CONFIG, NULL,
      "this API version was retired: set api_version of the app to one that LinkedIn serves" },
    { 429, 101, GRANTD_E_LIMITED, "TOO_MANY_REQUESTS", "too many calls" },
    { 429, 0, GRANTD_E_LIMITED, NULL, "too many calls" },
};
#define NERRORS (sizeof errors / sizeof errors[0])

/* ---- reading a refusal
 * ---------------------------------------------------------------------------------------- */

/* The word of any of the three envelopes, when it looks like one: it goes into logs. */
const char *li_word(grantd_op *op, const grantd_doc *answer)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    static const char *const paths[] = { "code", "errorDetails.inputErrors.0.code" };

    for (size_t i = 0; i < 2; i++) {
        const char *word = grantd_text(op, answer, paths[i]);

        if (word && *word && strlen(word) <= LI_ID_MAX && strspn(word, chars) == strlen(word))
            return word;
    }
    return NULL;
}

/* An error whose members are of other types than documented, or no JSON at all, is no word of LinkedIn. */
static int is_odd(grantd_op *op, const grantd_doc *answer)
{
    int code = grantd_type(op, answer, "code"), text = grantd_type(op, answer, "message");

    return grantd_type(op, answer, "") != GRANTD_IS_OBJECT ||
           (code > GRANTD_IS_NULL && code != GRANTD_IS_TEXT) ||
           (text > GRANTD_IS_NULL && text != GRANTD_IS_TEXT);
}

static size_t row_of(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);
    int64_t number = grantd_num(op, answer, "serviceErrorCode", 0);
    const char *word = li_word(op, answer);

    for (size_t i = 0; word && i < NERRORS; i++)
        if (errors[i].word && errors[i].status / 100 == status / 100 && !strcmp(errors[i].word, word))
            return i;
    for (size_t i = 0; number && i < NERRORS; i++)
        if (errors[i].number == number && errors[i].status == status)
            return i;
    for (size_t i = 0; i < NERRORS; i++)
        if (errors[i].status == status && !errors[i].word)
            return i;
    return NERRORS;
}

int li_class(grantd_op *op, const grantd_doc *answer)
{
    size_t row = row_of(op, answer);

    if (row < NERRORS) {
        if (errors[row].code == GRANTD_E_REAUTH && is_odd(op, answer))
            return GRANTD_E_PROTOCOL;
        if (errors[row].status == 401 && grantd_contains(grantd_text(op, answer, "message"), "empty oauth2"))
            return GRANTD_E_CONFIG;
        return errors[row].code;
    }
    return grantd_status(op, answer) >= 500 ? GRANTD_E_TRANSIENT : GRANTD_E_PROTOCOL;
}

/* The next midnight of UTC, when the daily counters start again, and a while so that not all come at once. */
static int64_t midnight(grantd_op *op)
{
    const char *random = grantd_random(op, 4);
    uint32_t spread = 0;

    for (; *random; random++)
        spread = spread * 31 + (unsigned char)*random;
    return (grantd_now(op) / 86400 + 1) * 86400 + spread % JITTER_S;
}

void li_park(grantd_op *op, const grantd_doc *answer)
{
    int64_t after = grantd_number(grantd_header(op, answer, "retry-after"));

    grantd_retry_after(op, after >= 0 ? grantd_now(op) + after : midnight(op));
}

/* A closing that was interrupted before has left its mark on a surface; what it waited for is not known. */
static int failed_before(grantd_op *op)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = grant ? grantd_len(op, grant, "surfaces") : 0;

    for (int64_t i = 0; i < n; i++) {
        const char *is = grantd_text(op, grant, grantd_strf(op, "surfaces.%lld.outcome", (long long)i));

        if (is && !strcmp(is, "failed"))
            return 1;
    }
    return 0;
}

/* How often in a row (facts: 1.4): notes outlive what fails for now, except where a grant is being closed. */
static int64_t refusals(grantd_op *op)
{
    int64_t n = grantd_number(grantd_noted(op, "limited"));

    return n > 0 ? n : li(op)->closes && failed_before(op) ? 2 : 0;
}

/* The first refusal is waited out for half a minute, because LinkedIn's machines protect themselves at times
 * and that ends by itself; the second for five minutes; the third means that the day's calls are used up. */
static void li_limited(grantd_op *op, const grantd_doc *answer)
{
    int64_t n = refusals(op);

    grantd_note(op, "limited", grantd_strf(op, "%lld", (long long)n + 1));
    if (n >= 2 || grantd_header(op, answer, "retry-after"))
        li_park(op, answer);
    else
        grantd_retry_after(op, grantd_now(op) + (n ? SECOND_S : FIRST_S));
}

/* LinkedIn's support asks for these. */
static void log_ids(grantd_op *op, const grantd_doc *answer)
{
    const char *uuid = grantd_header(op, answer, "x-li-uuid"),
               *fabric = grantd_header(op, answer, "x-li-fabric"),
               *request = grantd_header(op, answer, "x-li-request-id");

    if (uuid || fabric || request)
        grantd_log(op, GRANTD_INFO,
                   "LinkedIn answered %d: x-li-uuid %.80s, x-li-fabric %.40s, x-li-request-id %.80s",
                   grantd_status(op, answer), uuid ? uuid : "-", fabric ? fabric : "-",
                   request ? request : "-");
}

grantd_next *li_fail(grantd_op *op, const grantd_doc *answer, const char *what)
{
    int status = grantd_status(op, answer), code = li_class(op, answer);
    const char *word = li_word(op, answer);
    size_t row = row_of(op, answer);

    log_ids(op, answer);
    if (status / 100 == 2)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "%s: LinkedIn's answer is not what was asked for", what);
    if (code == GRANTD_E_LIMITED)
        li_limited(op, answer);
    if (status == 426)
        return grantd_fail(op, code, "%s: LinkedIn answered 426, API version %s: %s", what,
                           grantd_option(op, "api_version"), errors[row].text);
    return grantd_fail(op, code, "%s: LinkedIn answered %d%s%s%s%s", what, status, word ? " " : "",
                       word ? word : "", row < NERRORS ? ": " : "", row < NERRORS ? errors[row].text : "");
}

/* ---- sending
 * -------------------------------------------------------------------------------------------------- */

static grantd_doc_fn on_answer;

static grantd_next *send(grantd_op *op)
{
    struct li *st = li(op);
    int rest = strstr(st->call.url, "/rest/") != NULL;

    st->sent++;
    return grantd_http(
        op, on_answer, .method = st->call.method, .url = st->call.url, .bearer = st->call.bearer,
        .body = st->call.body, .content_type = st->call.body ? "application/json" : NULL,
        .headers = grantd_pairs("LinkedIn-Version", rest ? grantd_option(op, "api_version") : NULL,
                                "X-Restli-Protocol-Version", rest ? "2.0.0" : NULL),
        .flags = GRANTD_HTTP_REPEATABLE);
}

/* A token that was issued a moment ago is called revoked by machines that have not heard of it. */
static int too_young(grantd_op *op, const grantd_doc *answer)
{
    const char *word = li_word(op, answer);
    int64_t issued = grantd_number(grantd_noted(op, "issued"));

    if (grantd_status(op, answer) != 401 || issued < 0 || grantd_now(op) - issued >= YOUNG_S)
        return 0;
    return word ? !strcmp(word, "REVOKED_ACCESS_TOKEN")
                : grantd_num(op, answer, "serviceErrorCode", 0) == 65601;
}

static grantd_next *on_answer(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);

    if (grantd_status(op, answer) != 429) {
        grantd_note(op, "limited", NULL);
    } else if ((st->patient || st->closes) && !refusals(op) && !grantd_header(op, answer, "retry-after")) {
        grantd_note(op, "limited", "1");
        return grantd_wait(op, FIRST_S * 1000, send);
    }
    if (st->revived < YOUNG_TRIES && too_young(op, answer)) {
        st->revived++;
        return grantd_wait(op, WAIT_YOUNG_MS, send);
    }
    return st->call.next(op, answer);
}

grantd_next *li_send(grantd_op *op, const struct li_call *call)
{
    li(op)->call = *call;
    return send(op);
}

grantd_next *li_get(grantd_op *op, const char *url, const char *bearer, grantd_doc_fn *next)
{
    return li_send(op, &(struct li_call){ .method = "GET", .url = url, .bearer = bearer, .next = next });
}

/* ---- is 404 an answer?
 * ---------------------------------------------------------------------------------------- */

const char *li_hub_self(const grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_HUB_ACCOUNT_ID);

    return id && *id ? id : li_hub_id(op);
}

grantd_next *li_prove(grantd_op *op, const struct li_proof *p, grantd_fn *other)
{
    const char *me = li_bare(p->self, "urn:li:person:");

    if (!li_person(me))
        return other(op);
    return strcmp(me, p->person) ? li_get(op, li_key_url(op, p->account, me), p->token, p->next) : NULL;
}

int li_manages(grantd_op *op, const grantd_doc *answer, const char *account, const char *self)
{
    const char *me = li_bare(self, "urn:li:person:");

    return grantd_ok(op, answer) &&
           li_rank(li_record_role(op, answer, account, me)) >= li_rank("ACCOUNT_MANAGER");
}

/* Rest.li 2.0 compound key: parentheses, the colons after the names and the comma stay, values are escaped.
 */
const char *li_key_url(grantd_op *op, const char *account, const char *person)
{
    const char *a = grantd_strf(op, "urn:li:sponsoredAccount:%s", account);
    const char *p = grantd_strf(op, "urn:li:person:%s", person), *form = grantd_option(op, "key_form");

    if (form && !strcmp(form, "equals"))
        return grantd_strf(op, "https://api.linkedin.com/rest/adAccountUsers/(account=%s,user=%s)", a, p);
    return grantd_strf(op, "https://api.linkedin.com/rest/adAccountUsers/(account:%s,user:%s)",
                       grantd_encode(op, GRANTD_PERCENT, a), grantd_encode(op, GRANTD_PERCENT, p));
}
