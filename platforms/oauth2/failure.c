/* failure.c - what a refusal means: who has to act. The description's own rules come first, then the standard
 * words. Sentences never repeat what a provider wrote when one of our secrets is in it. */
#include "oauth2.h"

static const struct {
    const char *word;
    int code;
} classes[] = {
    { "transient", GRANTD_E_TRANSIENT }, { "limited", GRANTD_E_LIMITED },
    { "uncertain", GRANTD_E_UNCERTAIN }, { "reauth", GRANTD_E_REAUTH },
    { "declined", GRANTD_E_DECLINED },   { "forbidden", GRANTD_E_FORBIDDEN },
    { "manual", GRANTD_E_MANUAL },       { "config", GRANTD_E_CONFIG },
    { "absent", GRANTD_E_ABSENT },       { "protocol", GRANTD_E_PROTOCOL },
};
/* RFC 6749 4.1.2.1 and 5.2, RFC 8628 3.5, RFC 7009 2.2.1. */
static const struct {
    const char *word;
    int code;
} words[] = {
    { "invalid_grant", GRANTD_E_REAUTH },
    { "invalid_client", GRANTD_E_CONFIG },
    { "unauthorized_client", GRANTD_E_CONFIG },
    { "unsupported_grant_type", GRANTD_E_CONFIG },
    { "invalid_scope", GRANTD_E_CONFIG },
    { "invalid_request", GRANTD_E_CONFIG },
    { "unsupported_response_type", GRANTD_E_CONFIG },
    { "redirect_uri_mismatch", GRANTD_E_CONFIG },
    { "temporarily_unavailable", GRANTD_E_TRANSIENT },
    { "server_error", GRANTD_E_TRANSIENT },
    { "access_denied", GRANTD_E_DECLINED },
    { "expired_token", GRANTD_E_DECLINED },
    { "unsupported_token_type", GRANTD_E_CONFIG },
};

static int class_of(const char *word)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (word && !strcmp(word, classes[i].word))
            return classes[i].code;
    return 0;
}

static int standard(const char *word)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (word && !strcmp(word, words[i].word))
            return words[i].code;
    return 0;
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------ */
static const char *first_value(grantd_op *op, const grantd_doc *answer, const char *const *paths)
{
    for (; *paths; paths++) {
        const char *value = oa_value(op, answer, *paths);

        if (value)
            return value;
    }
    return NULL;
}

static const char *described(grantd_op *op, const grantd_doc *answer, const char *field,
                             const char *const *usual)
{
    const char *path, *value;

    for (int64_t i = 0; (path = oa_nth(op, field, i)); i++) {
        value = oa_value(op, answer, path);
        if (value)
            return value;
    }
    return first_value(op, answer, usual);
}

const char *oa_error_word(grantd_op *op, const grantd_doc *answer)
{
    static const char *const usual[] = { "error", "error.code", "error.type", "code", NULL };

    return described(op, answer, "response.error", usual);
}

const char *oa_body_error(grantd_op *op, const grantd_doc *answer)
{
    static const char *const usual[] = { "error", "error.code", "error.type", "error.message", NULL };
    const char *word = described(op, answer, "response.error", usual);

    return word && *word && strcmp(word, "0") != 0 && strcmp(word, "false") != 0 ? word : NULL;
}

static const char *error_text(grantd_op *op, const grantd_doc *answer)
{
    static const char *const usual[] = { "error_description", "error.message", "message", NULL };

    return described(op, answer, "response.error_text", usual);
}

static int holds_secret(grantd_op *op, const char *text)
{
    const struct oa_tokens *t = &oa(op)->t;
    const char *const secrets[] = { grantd_option(op, "client_secret"),
                                    grantd_option(op, "private_key"),
                                    grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
                                    grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
                                    grantd_arg(op, GRANTD_ARG_CODE),
                                    grantd_arg(op, GRANTD_ARG_CODE_VERIFIER),
                                    grantd_kept(op, "device_code"),
                                    t->access,
                                    t->refresh };

    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (secrets[i] && *secrets[i] && strstr(text, secrets[i]))
            return 1;
    return 0;
}

/* Printable ASCII of what the provider wrote, at most max bytes, "" when it must not be repeated. */
static const char *printable(grantd_op *op, const char *text, size_t max)
{
    char *out;
    size_t n = 0;

    if (!text || !*text || holds_secret(op, text) || !(out = grantd_alloc(op, max + 1)))
        return "";
    for (; *text && n < max; text++)
        out[n++] = *text >= ' ' && *text <= '~' && *text != '"' ? *text : ' ';
    while (n && (out[n - 1] == ' ' || out[n - 1] == '.'))
        n--;
    out[n] = 0;
    return out;
}

/* ---- the description's rules
 * -------------------------------------------------------------------------------- */
static int64_t token_age(grantd_op *op)
{
    const char *at = grantd_arg(op, GRANTD_ARG_ISSUED_AT);
    int64_t issued = 0;

    if (oa(op)->fresh)
        return 0;
    while (at && *at >= '0' && *at <= '9' && issued < INT64_MAX / 100)
        issued = issued * 10 + (*at++ - '0');
    return issued ? grantd_now(op) - issued : INT64_MAX;
}

static int rule_holds(grantd_op *op, const char *rule, int status, const char *word, const grantd_doc *answer)
{
    const char *error = oa_text(op, grantd_strf(op, "%s.error", rule), NULL);
    const char *part = oa_text(op, grantd_strf(op, "%s.contains", rule), NULL);
    const char *path = oa_text(op, grantd_strf(op, "%s.path", rule), NULL);
    const char *body = answer ? grantd_body(op, answer) : word, *value;

    if (oa_num(op, grantd_strf(op, "%s.status", rule), status) != status)
        return 0;
    if (error && (!word || strcmp(error, word)))
        return 0;
    if (part && (!body || !grantd_contains(body, part)))
        return 0;
    if (token_age(op) > oa_num(op, grantd_strf(op, "%s.max_token_age_s", rule), INT64_MAX))
        return 0;
    if (!path)
        return 1;
    value = answer ? oa_value(op, answer, path) : NULL;
    return value && !strcmp(value, oa_text(op, grantd_strf(op, "%s.equals", rule), value));
}

static int by_rules(grantd_op *op, int status, const char *word, const grantd_doc *answer)
{
    int64_t n = grantd_len(op, oa(op)->d, "errors");

    for (int64_t i = 0; i < n; i++) {
        const char *rule = grantd_strf(op, "errors.%lld", (long long)i);

        if (rule_holds(op, rule, status, word, answer))
            return class_of(oa_text(op, grantd_strf(op, "%s.class", rule), NULL));
    }
    return 0;
}

/* ---- limits
 * --------------------------------------------------------------------------------------------------- */
enum { WAIT_MAX = 6 * 3600 };

static int64_t whole(const char *text)
{
    int64_t n = 0;
    size_t len = strspn(text, "0123456789");

    if (!len || (text[len] && text[len] != '.') || len > 15)
        return -1;
    for (size_t i = 0; i < len; i++)
        n = n * 10 + (text[i] - '0');
    return n;
}

static int64_t as_time(grantd_op *op, const char *text, int delta)
{
    int64_t n = whole(text);

    if (n < 0)
        return oa_time_http(text) ? oa_time_http(text) : oa_time_iso(text);
    if (delta)
        return grantd_now(op) + n;
    return n > 100000000000 ? n / 1000 : n;
}

static int64_t from_headers(grantd_op *op, const grantd_doc *answer, const char *field, const char *dflt,
                            int delta)
{
    const char *name = oa_nth(op, field, 0);

    if (!name)
        name = dflt;
    for (int64_t i = 1; name; i++) {
        const char *value = grantd_header(op, answer, name);
        int64_t at = value ? as_time(op, value, delta) : 0;

        if (at > 0)
            return at;
        name = oa_nth(op, field, i);
    }
    return 0;
}

static int is_limited(grantd_op *op, const grantd_doc *answer, int status)
{
    const char *name, *left;

    if (status == 429 || oa_listed_num(op, "limits.status", status))
        return 1;
    for (int64_t i = 0; status == 403 && (name = oa_nth(op, "limits.remaining", i)); i++) {
        left = grantd_header(op, answer, name);
        if (left && whole(left) == 0)
            return 1;
    }
    return 0;
}

static void tell_when(grantd_op *op, const grantd_doc *answer)
{
    int64_t now = grantd_now(op), at = from_headers(op, answer, "limits.retry_after", "retry-after", 1);

    if (!at)
        at = from_headers(op, answer, "limits.reset_in", NULL, 1);
    if (!at)
        at = from_headers(op, answer, "limits.reset_at", NULL, 0);
    if (!at)
        return;
    at = at < now + 1 ? now + 1 : at;
    grantd_retry_after(op, at > now + WAIT_MAX ? now + WAIT_MAX : at);
}

/* ---- the standard meanings
 * ------------------------------------------------------------------------------------ */
static int is_empty(grantd_op *op, const grantd_doc *answer)
{
    const char *body = grantd_body(op, answer);

    return body && !*body;
}

/* An error member that is neither text nor an object is no error that anybody documented. */
int oa_is_odd(grantd_op *op, const grantd_doc *answer)
{
    int type = grantd_type(op, answer, "error");

    return type == GRANTD_IS_NUMBER || type == GRANTD_IS_LIST;
}

/* 401 and 403 without a body at the token endpoint refuse the credential; with a body that no machine wrote
 * (a proxy's page) they mean a wrong address; elsewhere they refuse the app's credentials or the role. */
static int by_status(grantd_op *op, const grantd_doc *answer, int status, const char *word, int at)
{
    if (status >= 500)
        return GRANTD_E_TRANSIENT;
    if (status == 408 || status == 425)
        return GRANTD_E_TRANSIENT;
    if (is_empty(op, answer) && at == OA_AT_TOKEN && oa(op)->refreshing && (status == 401 || status == 403))
        return GRANTD_E_REAUTH;
    if (status == 401 && is_empty(op, answer))
        return GRANTD_E_CONFIG;
    if (status == 403)
        return GRANTD_E_FORBIDDEN;
    if (status / 100 == 4 && !word && grantd_type(op, answer, "") != GRANTD_IS_OBJECT)
        return GRANTD_E_CONFIG;
    return GRANTD_E_PROTOCOL;
}

static int classify(grantd_op *op, const grantd_doc *answer, int status, const char *word, int at)
{
    int code = by_rules(op, status, word, answer);

    if (code)
        return code;
    if (is_limited(op, answer, status))
        return GRANTD_E_LIMITED;
    if (status / 100 != 4 && status / 100 != 2)
        return by_status(op, answer, status, word, at);
    code = standard(word);
    return code ? code : by_status(op, answer, status, word, at);
}

grantd_next *oa_fail(grantd_op *op, const grantd_doc *answer, int at)
{
    int status = grantd_status(op, answer);
    const char *word = oa_error_word(op, answer);
    int code = classify(op, answer, status, word, at);
    const char *said = printable(op, word, 60), *text = printable(op, error_text(op, answer), 160);

    if (code == GRANTD_E_LIMITED || code == GRANTD_E_TRANSIENT)
        tell_when(op, answer);
    return grantd_fail(op, code, "the provider answered %d%s%s%s%s", status, *said ? " " : "", said,
                       *text ? ": " : "", text);
}

grantd_next *oa_fail_callback(grantd_op *op, const char *error)
{
    int code = by_rules(op, 0, error, NULL);
    const char *said = printable(op, error, 60);

    if (!code)
        code = standard(error);
    if (!code)
        code = GRANTD_E_PROTOCOL;
    return grantd_fail(op, code, "the provider sent the browser back with the error %s", said);
}
