/* call.c - requests to a shop and what a refusal means: a table for statuses, one for the words of GraphQL,
 * one for the texts of the token endpoint, whose errors come as HTML at times. */
#include "shopify.h"

enum { WAIT_MAX_S = 10, THROTTLED_MAX = 3, SECURITY_S = 3600, OLD_MONTHS = 10 };

static const struct {
    int status, code;
    const char *text;
} statuses[] = {
    { 401, GRANTD_E_REAUTH, "the token is refused: expired, revoked, or the app was uninstalled" },
    { 402, GRANTD_E_FORBIDDEN, "the shop is frozen until its owner pays Shopify" },
    { 403, GRANTD_E_REAUTH, "a permission is missing" },
    { 404, GRANTD_E_CONFIG, "nothing is at this address" },
    { 406, GRANTD_E_CONFIG, "the request was not acceptable" },
    { 408, GRANTD_E_TRANSIENT, "it took too long" },
    { 414, GRANTD_E_CONFIG, "the address is too long" },
    { 415, GRANTD_E_CONFIG, "the body is of a type that is not taken" },
    { 422, GRANTD_E_CONFIG, "the request makes no sense" },
    { 423, GRANTD_E_FORBIDDEN, "the shop is locked by Shopify" },
    { 429, GRANTD_E_LIMITED, "too many requests" },
    { 430, GRANTD_E_CONFIG, "Shopify took the request for an attack" },
    { 501, GRANTD_E_FORBIDDEN, "the shop's plan does not have this" },
};
static const struct {
    const char *word;
    int code;
    const char *text;
} words[] = {
    { "THROTTLED", GRANTD_E_LIMITED, "too many requests" },
    { "ACCESS_DENIED", GRANTD_E_REAUTH, "a permission is missing" },
    { "MAX_COST_EXCEEDED", GRANTD_E_CONFIG, "the query costs too much" },
    { "SHOP_INACTIVE", GRANTD_E_FORBIDDEN, "the shop is not active" },
    { "PAYMENT_REQUIRED", GRANTD_E_FORBIDDEN, "the shop is frozen until its owner pays Shopify" },
    { "INTERNAL_SERVER_ERROR", GRANTD_E_TRANSIENT, "Shopify failed" },
};
/* The token endpoint: status 0 stands for any of 4xx; part is looked for in the whole body. */
static const struct {
    int status;
    const char *part;
    int code;
    const char *text;
} texts[] = {
    { 0, "active refresh_token", GRANTD_E_REAUTH,
      "the consent has ended: the refresh token is no longer active" },
    { 0, "authorization code was not found", GRANTD_E_REAUTH, "the code is wrong or was used already" },
    { 0, "invalid_subject_token", GRANTD_E_REAUTH, "the old token cannot be exchanged" },
    { 0, "invalid_grant", GRANTD_E_REAUTH, "the consent has ended" },
    { 0, "invalid_client", GRANTD_E_CONFIG, "client_id or client_secret is wrong" },
    { 401, "", GRANTD_E_PROTOCOL, "it does not say why" },
    { 403, "", GRANTD_E_PROTOCOL, "it does not say why" },
};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* ---- small things
 * --------------------------------------------------------------------------------------------- */

int sh_option_is(const grantd_op *op, const char *key, const char *value)
{
    const char *is = grantd_option(op, key);

    return is && !strcmp(is, value);
}

/* YYYY-MM of a quarter as months since year 0; -1: something else. */
static int64_t month(const char *v)
{
    int64_t y, m;

    if (!v || strlen(v) != 7 || v[4] != '-' || strspn(v, "0123456789") != 4 ||
        strspn(v + 5, "0123456789") != 2)
        return -1;
    y = (v[0] - '0') * 1000 + (v[1] - '0') * 100 + (v[2] - '0') * 10 + (v[3] - '0');
    m = (v[5] - '0') * 10 + (v[6] - '0');
    return m == 1 || m == 4 || m == 7 || m == 10 ? y * 12 + m - 1 : -1;
}

grantd_next *sh_version(grantd_op *op)
{
    const char *version = grantd_option(op, "api_version");

    if (month(version) < 0)
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "api_version is written YYYY-MM with 01, 04, 07 or 10 as month, like 2026-10");
    if (grantd_month_of(grantd_now(op)) - month(version) >= OLD_MONTHS)
        grantd_warn(
            op, "API_VERSION_RETIRES",
            "API version %s is ten months old or older; Shopify keeps one for a year and then serves another "
            "without saying so: set api_version of the app to a newer one",
            version);
    return NULL;
}

/* ---- what a refusal means
 * ------------------------------------------------------------------------------------- */

const char *sh_error_code(grantd_op *op, const grantd_doc *answer)
{
    const char *word = grantd_text(op, answer, "errors.0.extensions.code");
    size_t n = word ? strlen(word) : 0;

    return n && n <= 64 &&
                   strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == n
               ? word
               : NULL;
}

int sh_refuses_old_tokens(grantd_op *op, const grantd_doc *answer)
{
    return grantd_status(op, answer) == 403 &&
           grantd_contains(grantd_body(op, answer), "non-expiring access tokens are no longer accepted");
}

int sh_is_closed(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);
    const char *word = sh_error_code(op, answer);

    return status == 402 || status == 423 ||
           (word && (!strcmp(word, "SHOP_INACTIVE") || !strcmp(word, "PAYMENT_REQUIRED")));
}

static int class_at_token(grantd_op *op, const grantd_doc *answer, const char **ret_text)
{
    const char *body = grantd_body(op, answer);
    int status = grantd_status(op, answer);

    for (size_t i = 0; status / 100 == 4 && i < COUNT(texts); i++)
        if ((!texts[i].status || texts[i].status == status) && grantd_contains(body, texts[i].part) && body) {
            *ret_text = texts[i].text;
            return texts[i].code;
        }
    return 0;
}

static int class_by_word(grantd_op *op, const grantd_doc *answer, const char **ret_text)
{
    const char *word = sh_error_code(op, answer);

    for (size_t i = 0; word && i < COUNT(words); i++)
        if (!strcmp(word, words[i].word)) {
            *ret_text = words[i].text;
            return words[i].code;
        }
    return 0;
}

/* A refusal of a token must be in one of the shapes that Shopify writes: {"errors"}, {"error"} or empty JSON.
 */
static int is_odd(grantd_op *op, const grantd_doc *answer)
{
    int errors = grantd_type(op, answer, "errors"), error = grantd_type(op, answer, "error");

    return grantd_type(op, answer, "") != GRANTD_IS_OBJECT || errors == GRANTD_IS_NUMBER ||
           errors == GRANTD_IS_BOOL || error == GRANTD_IS_NUMBER || error == GRANTD_IS_BOOL;
}

static int classify(grantd_op *op, const grantd_doc *answer, int at, const char **ret_text)
{
    int status = grantd_status(op, answer),
        code = at == SH_AT_TOKEN ? class_at_token(op, answer, ret_text) : 0;

    if (!code && sh_refuses_old_tokens(op, answer)) {
        *ret_text =
            "Shopify no longer takes tokens that do not expire: set migrate of the app to refused or always";
        return GRANTD_E_CONFIG;
    }
    if (!code)
        code = class_by_word(op, answer, ret_text);
    for (size_t i = 0; !code && i < COUNT(statuses); i++)
        if (statuses[i].status == status) {
            *ret_text = statuses[i].text;
            code = statuses[i].code == GRANTD_E_REAUTH && is_odd(op, answer) ? GRANTD_E_PROTOCOL
                                                                             : statuses[i].code;
        }
    if (!code)
        code = status >= 500 ? GRANTD_E_TRANSIENT : GRANTD_E_PROTOCOL;
    return code;
}

int sh_class(grantd_op *op, const grantd_doc *answer, int at)
{
    const char *text;

    return classify(op, answer, at, &text);
}

int sh_is_dead(grantd_op *op, const grantd_doc *answer)
{
    return grantd_status(op, answer) == 401 && sh_class(op, answer, SH_AT_API) == GRANTD_E_REAUTH;
}

/* Cost bucket of GraphQL: seconds until the query fits in again. */
static int64_t bucket_wait(grantd_op *op, const grantd_doc *answer)
{
    int64_t want = grantd_num(op, answer, "extensions.cost.requestedQueryCost", 0);
    int64_t have = grantd_num(op, answer, "extensions.cost.throttleStatus.currentlyAvailable", 0);
    int64_t rate = grantd_num(op, answer, "extensions.cost.throttleStatus.restoreRate", 0);

    if (rate <= 0 || want <= have || want > 1000000 || have < 0)
        return 1;
    return (want - have + rate - 1) / rate;
}

/* Retry-After is written with decimals ("2.0"). */
static int64_t wait_of(grantd_op *op, const grantd_doc *answer)
{
    const char *after = grantd_header(op, answer, "retry-after");
    size_t whole = after ? strspn(after, "0123456789") : 0;
    int64_t n = whole ? grantd_number(grantd_strf(op, "%.*s", (int)whole, after)) : -1;

    if (n < 0 || (after[whole] && after[whole] != '.'))
        return grantd_status(op, answer) == 200 ? bucket_wait(op, answer) : 1;
    return after[whole] && after[whole + 1 + strspn(after + whole + 1, "0")] ? n + 1 : n;
}

static void log_id(grantd_op *op, const grantd_doc *answer)
{
    const char *id = grantd_header(op, answer, "x-request-id");

    if (id)
        grantd_log(op, GRANTD_INFO, "Shopify answered %d: x-request-id %.80s", grantd_status(op, answer), id);
}

grantd_next *sh_fail(grantd_op *op, const grantd_doc *answer, int at, const char *what)
{
    const char *text = "it is not what was asked for", *word = sh_error_code(op, answer);
    int status = grantd_status(op, answer), code = classify(op, answer, at, &text);

    log_id(op, answer);
    if (code == GRANTD_E_LIMITED)
        grantd_retry_after(op, grantd_now(op) + wait_of(op, answer));
    if (status == 430)
        grantd_retry_after(op, grantd_now(op) + SECURITY_S);
    return grantd_fail(op, code, "%s: Shopify answered %d%s%s: %s", what, status, word ? " " : "",
                       word ? word : "", text);
}

/* ---- requests
 * ------------------------------------------------------------------------------------------------- */

static grantd_doc_fn on_graphql;

static grantd_next *transmit(grantd_op *op)
{
    struct sh *st = sh(op);

    return grantd_http(
        op, on_graphql,
        .url = sh_at(op, grantd_strf(op, "api/%s/graphql.json", grantd_option(op, "api_version"))),
        .headers = grantd_pairs("X-Shopify-Access-Token", st->token),
        .json = grantd_pairs("query", st->query), .flags = GRANTD_HTTP_REPEATABLE);
}

grantd_next *sh_graphql(grantd_op *op, const char *token, const char *query, grantd_doc_fn *next)
{
    struct sh *st = sh(op);

    st->token = token;
    st->query = query;
    st->next = next;
    return transmit(op);
}

/* An unsupported version is not refused: the oldest supported one answers in its place. */
static void check_version(grantd_op *op, const grantd_doc *answer)
{
    const char *used = grantd_header(op, answer, "x-shopify-api-version"),
               *asked = grantd_option(op, "api_version");

    if (used && month(used) >= 0 && strcmp(used, asked))
        grantd_warn(
            op, "API_VERSION_REPLACED",
            "Shopify answered with API version %s in place of %s: set api_version of the app to one that it "
            "supports",
            used, asked);
}

static grantd_next *on_graphql(grantd_op *op, const grantd_doc *answer)
{
    struct sh *st = sh(op);
    const char *word = sh_error_code(op, answer);
    int64_t wait;

    check_version(op, answer);
    if (grantd_status(op, answer) == 200 && word && !strcmp(word, "THROTTLED") &&
        st->throttled < THROTTLED_MAX) {
        wait = bucket_wait(op, answer);
        st->throttled++;
        if (wait <= WAIT_MAX_S)
            return grantd_wait(op, (uint32_t)wait * 1000, transmit);
    }
    return st->next(op, answer);
}

grantd_next *sh_rest(grantd_op *op, const char *method, const char *path, const char *token,
                     grantd_doc_fn *next)
{
    return grantd_http(op, next, .method = method, .url = sh_at(op, path),
                       .headers = grantd_pairs("X-Shopify-Access-Token", token),
                       .flags = GRANTD_HTTP_REPEATABLE);
}
