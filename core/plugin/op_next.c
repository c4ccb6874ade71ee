/* plugin/op_next.c - the constructors: what a step of a platform may return, and how an answer is read as a
 * failure. */
#include "plugin/op_int.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *word;
    enum gd_reason reason;
} classes[] = {
    [GRANTD_E_TRANSIENT] = { "transient", GD_R_OP_TRANSIENT },
    [GRANTD_E_LIMITED] = { "limited", GD_R_OP_LIMITED },
    [GRANTD_E_UNCERTAIN] = { "uncertain", GD_R_OP_UNCERTAIN },
    [GRANTD_E_REAUTH] = { "reauth", GD_R_OP_REAUTH },
    [GRANTD_E_DECLINED] = { "declined", GD_R_OP_DECLINED },
    [GRANTD_E_FORBIDDEN] = { "forbidden", GD_R_OP_FORBIDDEN },
    [GRANTD_E_MANUAL] = { "manual", GD_R_OP_MANUAL },
    [GRANTD_E_CONFIG] = { "config", GD_R_OP_CONFIG },
    [GRANTD_E_ABSENT] = { "absent", GD_R_OP_ABSENT },
    [GRANTD_E_PROTOCOL] = { "protocol", GD_R_OP_PROTOCOL },
    [GRANTD_E_PLUGIN] = { "plugin", GD_R_OP_PLUGIN },
    [GRANTD_E_CANCELLED] = { "cancelled", GD_R_OP_CANCELLED },
    [GRANTD_E_DEADLINE] = { "deadline", GD_R_OP_DEADLINE },
    [GRANTD_E_NOMEM] = { "nomem", GD_R_OP_NOMEM },
};
#define NCLASSES (int)(sizeof classes / sizeof *classes)

const char *gd_op_class_word(int fail_class)
{
    return fail_class > 0 && fail_class < NCLASSES ? classes[fail_class].word : "none";
}

enum gd_reason gd_op_class_reason(int fail_class)
{
    return fail_class > 0 && fail_class < NCLASSES ? classes[fail_class].reason : GD_R_INTERNAL;
}

void gd_op_stick(struct gd_op *op, int fail_class, const char *fmt, ...)
{
    char text[GD_ERR_TEXT_MAX];
    va_list ap;

    if (op->fail_class)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    gd_op_set_err(op, fail_class, gd_op_class_reason(fail_class), text);
}

/* Every constructor ends here: what sticks wins over what was asked for, and a step makes one thing only. */
static grantd_next *put(struct gd_op *op, enum gd_next_kind kind)
{
    if (op->in_step && op->next.kind != GD_NEXT_NONE) {
        op->fail_class = 0;
        gd_op_stick(op, GRANTD_E_PLUGIN, "two constructors were called in one step");
    }
    op->next.kind = op->fail_class ? GD_NEXT_FAIL : kind;
    return &op->next;
}

static void want(struct gd_op *op, bool there, const char *what)
{
    if (!there)
        gd_op_stick(op, GRANTD_E_PLUGIN, "%s was called without a function to go on in", what);
}

grantd_next *gd_op_h_http(grantd_op *p, const struct grantd_http *h, grantd_doc_fn *fn)
{
    struct gd_op *op = gd_op_of(p);

    want(op, fn != NULL, "grantd_http");
    if (op->kind == GD_OP_NOTICE)
        gd_op_stick(op, GRANTD_E_PLUGIN, "notice sends no request");
    op->ask = (struct gd_op_ask){ .on_answer = fn };
    gd_op_make_request(op, h);
    return put(op, GD_NEXT_HTTP);
}

grantd_next *gd_op_h_wait(grantd_op *p, uint32_t ms, grantd_fn *fn)
{
    struct gd_op *op = gd_op_of(p);

    want(op, fn != NULL, "grantd_wait");
    op->ask = (struct gd_op_ask){ .go = fn, .wait_ms = ms };
    return put(op, GD_NEXT_WAIT);
}

grantd_next *gd_op_h_save(grantd_op *p, const struct grantd_result *r, grantd_fn *fn)
{
    struct gd_op *op = gd_op_of(p);

    want(op, fn != NULL, "grantd_save");
    op->ask = (struct gd_op_ask){ .go = fn };
    gd_op_take_result(op, r);
    return put(op, GD_NEXT_SAVE);
}

grantd_next *gd_op_h_continue(grantd_op *p, grantd_fn *fn)
{
    struct gd_op *op = gd_op_of(p);

    want(op, fn != NULL, "grantd_continue");
    op->ask = (struct gd_op_ask){ .go = fn };
    return put(op, GD_NEXT_CONTINUE);
}

grantd_next *gd_op_h_pending(grantd_op *p, int64_t next_look_at)
{
    struct gd_op *op = gd_op_of(p);
    int64_t now = gd_now(op->env.clock) / 1000;

    if (op->kind != GD_OP_REQUEST && op->kind != GD_OP_GRANT)
        gd_op_stick(op, GRANTD_E_PLUGIN, "only request and grant may be pending");
    if (next_look_at <= now)
        next_look_at = now + 1;
    if (next_look_at > now + GD_OP_LOOK_MAX)
        next_look_at = now + GD_OP_LOOK_MAX;
    op->ask = (struct gd_op_ask){ .next_look_at = next_look_at };
    return put(op, GD_NEXT_PENDING);
}

/* request must lead somewhere: a URL, or something that a person can do. */
static void check_request_done(struct gd_op *op)
{
    if (op->kind == GD_OP_REQUEST && !op->res.redirect_url && json_array_size(op->steps) == 0)
        gd_op_stick(op, GRANTD_E_PLUGIN, "request ended without a URL and without a step for a person");
}

grantd_next *gd_op_h_done(grantd_op *p, const struct grantd_result *r)
{
    struct gd_op *op = gd_op_of(p);

    op->ask = (struct gd_op_ask){ 0 };
    gd_op_take_result(op, r);
    check_request_done(op);
    return put(op, GD_NEXT_DONE);
}

/* text: clean */
static void failed(struct gd_op *op, int code, const char *text)
{
    if (op->fail_class)
        return;
    if (code < GRANTD_E_TRANSIENT || code > GRANTD_E_PROTOCOL) {
        gd_op_stick(op, GRANTD_E_PLUGIN, "it failed with the unknown class %d", code);
        return;
    }
    gd_op_set_err(op, code, gd_op_class_reason(code), text);
}

grantd_next *gd_op_h_fail(grantd_op *p, int code, const char *fmt, ...)
{
    struct gd_op *op = gd_op_of(p);
    GD_AUTO_FREE char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = gd_op_clean_format(op, fmt, ap);
    va_end(ap);
    failed(op, code, text);
    return put(op, GD_NEXT_FAIL);
}

/* ---- reading an answer as a failure
 * ------------------------------------------------------------------------ */

static int class_of_word(const char *error)
{
    static const struct {
        const char *word;
        int class;
    } words[] = {
        { "invalid_grant", GRANTD_E_REAUTH },
        { "invalid_token", GRANTD_E_REAUTH },
        { "interaction_required", GRANTD_E_REAUTH },
        { "consent_required", GRANTD_E_REAUTH },
        { "login_required", GRANTD_E_REAUTH },
        { "access_denied", GRANTD_E_DECLINED },
        { "insufficient_scope", GRANTD_E_FORBIDDEN },
        { "invalid_client", GRANTD_E_CONFIG },
        { "unauthorized_client", GRANTD_E_CONFIG },
        { "unsupported_grant_type", GRANTD_E_CONFIG },
        { "unsupported_response_type", GRANTD_E_CONFIG },
        { "invalid_scope", GRANTD_E_CONFIG },
        { "redirect_uri_mismatch", GRANTD_E_CONFIG },
        { "server_error", GRANTD_E_TRANSIENT },
        { "temporarily_unavailable", GRANTD_E_TRANSIENT },
        { "slow_down", GRANTD_E_LIMITED },
    };

    for (size_t i = 0; error && i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i].word, error))
            return words[i].class;
    return 0;
}

static int class_of_answer(const struct gd_op *op, int status, const char *error, bool retry_after)
{
    int class;

    if (status == 429 || (retry_after && status >= 500))
        return GRANTD_E_LIMITED;
    if (status >= 500 || status == 408 || status == 425)
        return GRANTD_E_TRANSIENT;
    class = class_of_word(error);
    if (class)
        return class;
    if (status == 401)
        return op->ask.bearer && !op->ask.hub ? GRANTD_E_REAUTH : GRANTD_E_CONFIG;
    return status == 403 ? GRANTD_E_FORBIDDEN : GRANTD_E_PROTOCOL;
}

/* The error word, when it looks like one: what a platform writes here goes into logs. */
static const char *error_word(const grantd_doc *d)
{
    const char *error = gd_doc_text(d, "error");
    size_t n = error ? strlen(error) : 0;

    if (n == 0 || n > 64 ||
        strspn(error, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != n)
        return NULL;
    return error;
}

int64_t gd_op_retry_after(struct gd_op *op, const char *text)
{
    int64_t now = gd_now(op->env.clock), n;

    if (!text)
        return 0;
    if (!gd_parse_i64(text, &n)) {
        n = gd_http_date(text);
        n = n < 0 ? -1 : n - now / 1000;
    }
    if (n < 0)
        return 0;
    return now + (n > GD_OP_RETRY_AFTER_MAX ? GD_OP_RETRY_AFTER_MAX : n) * 1000;
}

grantd_next *gd_op_h_fail_answer(grantd_op *p, const grantd_doc *d)
{
    struct gd_op *op = gd_op_of(p);
    const char *error = error_word(d), *after = gd_doc_header(d, "retry-after");
    int status = gd_doc_status(d), class = class_of_answer(op, status, error, after != NULL);
    char text[128];
    GD_AUTO_FREE char *clean = NULL;

    if (class == GRANTD_E_LIMITED)
        op->retry_at = gd_op_retry_after(op, after);
    (void)snprintf(text, sizeof text, "the platform answered HTTP %d%s%s%s", status, error ? " (" : "",
                   error ? error : "", error ? ")" : "");
    clean = gd_op_clean_text(op, text);
    failed(op, class, clean);
    return put(op, GD_NEXT_FAIL);
}
