/* verify.c - a look at a grant: does the token live, whose is it, what may it do, until when. Differences are
 * facts that the host compares; only what keeps us from looking is a failure. */
#include "oauth2.h"

static int has_ended(grantd_op *op)
{
    const char *text = grantd_arg(op, GRANTD_ARG_EXPIRES_AT);
    int64_t end = 0;

    while (text && *text >= '0' && *text <= '9' && end < INT64_MAX / 100)
        end = end * 10 + (*text++ - '0');
    return end && end <= grantd_now(op);
}

/* An access token that has merely run out says nothing of the consent. */
static grantd_next *report_alive(grantd_op *op, int alive)
{
    grantd_observe(op, "alive", alive ? "yes" : has_ended(op) ? "unknown" : "no");
    return grantd_finish(op);
}

static int is_dead(grantd_op *op, int status)
{
    return oa_has(op, "verify.reauth_status") ? oa_listed_num(op, "verify.reauth_status", status)
                                              : status == 401;
}

static int is_ok(grantd_op *op, int status)
{
    return oa_has(op, "verify.ok_status") ? oa_listed_num(op, "verify.ok_status", status) : status == 200;
}

static void observe_scope(grantd_op *op, const grantd_doc *answer)
{
    const char *path = oa_nth(op, "verify.scopes", 0), *text;

    if (!path)
        return;
    text = strncmp(path, "header:", 7) ? oa_value(op, answer, path) : grantd_header(op, answer, path + 7);
    if (text)
        grantd_observe(op, "scope", oa_words(op, text, NULL, " ,", " "));
}

static grantd_next *on_verified(grantd_op *op, const grantd_doc *answer)
{
    struct oa *st = oa(op);
    int status = grantd_status(op, answer);

    if (is_dead(op, status))
        return report_alive(op, 0);
    if (!is_ok(op, status))
        return oa_fail(op, answer, OA_AT_API);
    if (grantd_type(op, answer, "") < GRANTD_IS_LIST)
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "the provider's answer about the account is no JSON document");
    if (oa_says_dead(op, answer) || grantd_equal(oa_body_error(op, answer), "invalid_token"))
        return report_alive(op, 0);
    if (oa_body_error(op, answer))
        return oa_fail(op, answer, OA_AT_API);
    oa_read_identity(op, answer);
    if (st->t.account)
        grantd_observe(op, "account_id", st->t.account);
    if (st->t.account_name)
        grantd_observe(op, "account_name", st->t.account_name);
    observe_scope(op, answer);
    if (!oa_shows_nothing(op, answer))
        return report_alive(op, 1);
    grantd_observe(op, "alive", "unknown");
    return grantd_finish(op);
}

static grantd_next *ask_who(grantd_op *op)
{
    const char *url = oa_verify_url(op);

    if (url)
        return oa_verify_call(op, url, on_verified);
    if (oa(op)->introspected)
        return report_alive(op, 1);
    grantd_observe(op, "alive", "unknown");
    return grantd_finish(op);
}

static int is_one_of(const char *value, const char *a, const char *b)
{
    return grantd_equal(value, a) || grantd_equal(value, b);
}

static grantd_next *on_introspected(grantd_op *op, const grantd_doc *answer)
{
    const char *active = oa_text(op, "introspect.active", "active"),
               *exp = oa_text(op, "introspect.exp", "exp");
    int64_t end = grantd_num(op, answer, exp, 0);
    const char *scope = grantd_text(op, answer, "scope"), *is_active = oa_value(op, answer, active);

    if (grantd_status(op, answer) != 200)
        return oa_fail(op, answer, OA_AT_API);
    if (!is_one_of(is_active, "true", "1") && !is_one_of(is_active, "false", "0"))
        return grantd_fail(op, GRANTD_E_PROTOCOL,
                           "the introspection answer does not say whether the token is active");
    if (!is_one_of(is_active, "true", "1"))
        return report_alive(op, 0);
    if (end > 0)
        grantd_observe(op, "expires_at", grantd_strf(op, "%lld", (long long)end));
    if (scope)
        grantd_observe(op, "scope", oa_words(op, scope, NULL, " ,", " "));
    oa(op)->introspected = 1;
    return ask_who(op);
}

static grantd_next *look(grantd_op *op)
{
    return oa_introspect_url(op) ? oa_introspect(op, on_introspected) : ask_who(op);
}

grantd_next *oa_verify(grantd_op *op)
{
    grantd_next *bad = oa_begin(op);
    struct oa *st = oa(op);

    if (bad)
        return bad;
    st->t.access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    if (!st->t.access) {
        grantd_observe(op, "alive", "unknown");
        return grantd_finish(op);
    }
    return oa_introspect_url(op) || oa_verify_url(op) ? look(op) : oa_discover(op, look);
}
