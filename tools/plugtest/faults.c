/* faults.c - the ways in which an answer can be wrong (style.md c.5). Made from the answer that the tape has,
 * so that each is wrong in one way only. */
#include "plugtest.h"
#include "base/buf.h"
#include "base/mem.h"

#include <string.h>

static const char *const oauth_errors[] = { "invalid_request",     "invalid_client",         "invalid_grant",
                                            "unauthorized_client", "unsupported_grant_type", "invalid_scope",
                                            "access_denied" };
#define NERRORS (sizeof oauth_errors / sizeof *oauth_errors)

static json_t *status_json(int status, const char *error)
{
    return error ? json_pack("{s:i, s:{s:s}}", "status", status, "json", "error", error)
                 : json_pack("{s:i, s:{}}", "status", status, "json");
}

static json_t *body(int status, const char *type, const char *text, size_t len)
{
    json_t *j = json_pack("{s:i, s:{s:s}}", "status", status, "headers", "content-type", type);

    (void)json_object_set_new(j, "body", json_stringn(text, len));
    return j;
}

static char *good_text(const json_t *frame)
{
    const json_t *answer = json_object_get(frame, "answer"), *j = json_object_get(answer, "json");

    return j ? gd_json_dump(j) : gd_strdup(gd_json_text(answer, "body", "{\"access_token\":\"tape-token\"}"));
}

static json_t *truncated(const json_t *frame)
{
    GD_AUTO_FREE char *text = good_text(frame);

    return body(200, "application/json", text, strlen(text) / 2);
}

static json_t *duplicate_keys(const json_t *frame)
{
    GD_AUTO_FREE char *text = good_text(frame);
    struct gd_buf b;
    json_t *j;

    gd_buf_init(&b, PT_TAPE_FILE_MAX);
    if (text[0] == '{' && text[1] == '"')
        gd_buf_addf(&b, "{%.*s\":\"twice\",%s", (int)strcspn(text + 2, "\"") + 1, text + 1, text + 1);
    else
        gd_buf_adds(&b, "{\"a\":1,\"a\":2}");
    j = body(200, "application/json", b.ptr, b.len);
    gd_buf_done(&b);
    return j;
}

/* The good answer with a NUL in the middle of its first text. */
static json_t *nul_in_token(const json_t *frame)
{
    GD_AUTO_FREE char *text = good_text(frame);
    const char *at = strstr(text, ":\"");
    size_t n = at ? (size_t)(at - text) + 3 : strlen(text) / 2;
    struct gd_buf b;
    json_t *j;

    gd_buf_init(&b, PT_TAPE_FILE_MAX);
    gd_buf_add(&b, text, n);
    gd_buf_adds(&b, "\\u0000");
    gd_buf_adds(&b, text + n);
    j = body(200, "application/json", b.ptr, b.len);
    gd_buf_done(&b);
    return j;
}

/* Every text a number, every number a text, every list an object. */
static json_t *other_types(const json_t *j)
{
    const char *key;
    json_t *v, *o;

    if (json_is_string(j))
        return json_integer(7);
    if (json_is_number(j))
        return json_string("soon");
    if (!json_is_object(j))
        return json_object();
    o = json_object();
    json_object_foreach((json_t *)(uintptr_t)j, key, v)(void) json_object_set_new(o, key, other_types(v));
    return o;
}

static json_t *huge_numbers(const json_t *j)
{
    const char *key;
    json_t *v, *o;
    size_t i;

    if (json_is_integer(j))
        return json_integer(9007199254740993LL);
    if (json_is_array(j)) {
        o = json_array();
        json_array_foreach(j, i, v)(void) json_array_append_new(o, huge_numbers(v));
        return o;
    }
    if (!json_is_object(j))
        return json_deep_copy(j);
    o = json_object();
    json_object_foreach((json_t *)(uintptr_t)j, key, v)(void) json_object_set_new(o, key, huge_numbers(v));
    return o;
}

static json_t *changed(const json_t *frame, json_t *(*change)(const json_t *))
{
    const json_t *answer = json_object_get(frame, "answer"), *j = json_object_get(answer, "json");

    return json_pack("{s:i, s:o}", "status", (int)gd_json_i64(answer, "status", 200), "json",
                     j ? change(j) : json_object());
}

static json_t *too_large(void)
{
    size_t n = GD_HTTP_BODY_MAX + 1;
    GD_AUTO_FREE char *text = gd_new(n + 1);

    memset(text, ' ', n);
    return body(200, "application/json", text, n);
}

static json_t *limited(const char *after)
{
    return json_pack("{s:i, s:{s:s}, s:{}}", "status", 429, "headers", "retry-after", after, "json");
}

static json_t *redirect(void)
{
    return json_pack("{s:i, s:{s:s}}", "status", 302, "headers", "location",
                     "https://elsewhere.example/login");
}

static void nonsense(size_t i, const json_t *frame, struct pt_fault *f)
{
    static const char html[] = "<html><body>Sign in</body></html>";

    f->what = PT_NONSENSE;
    switch (i) {
    case 0:
        *f = (struct pt_fault){ "200 and nothing", PT_NONSENSE, body(200, "application/json", "", 0) };
        break;
    case 1:
        *f = (struct pt_fault){ "200 and HTML", PT_NONSENSE, body(200, "text/html", html, sizeof html - 1) };
        break;
    case 2:
        *f = (struct pt_fault){ "cut off", PT_NONSENSE, truncated(frame) };
        break;
    case 3:
        *f = (struct pt_fault){ "wrong types", PT_NONSENSE, changed(frame, other_types) };
        break;
    case 4:
        *f = (struct pt_fault){ "duplicate keys", PT_NONSENSE, duplicate_keys(frame) };
        break;
    case 5:
        *f = (struct pt_fault){ "NUL in a text", PT_NONSENSE, nul_in_token(frame) };
        break;
    case 6:
        *f = (struct pt_fault){ "a list", PT_NONSENSE, body(200, "application/json", "[]", 2) };
        break;
    case 7:
        *f = (struct pt_fault){ "numbers past 2^53", PT_ODD, changed(frame, huge_numbers) };
        break;
    default:
        *f = (struct pt_fault){ "one byte too many", PT_NO_ANSWER, too_large() };
    }
}
#define NNONSENSE 9

bool pt_fault(size_t i, const json_t *frame, struct pt_fault *ret)
{
    const struct pt_fault plain[] = {
        { "no answer", PT_NO_ANSWER, NULL },
        { "not sent", PT_NOT_SENT, NULL },
        { "302", PT_REFUSAL, NULL },
        { "401", PT_REFUSAL, NULL },
        { "403", PT_REFUSAL, NULL },
        { "429", PT_LIMITED, NULL },
        { "429 with Retry-After", PT_LIMITED, NULL },
        { "500", PT_TRANSIENT, NULL },
    };

    if (i < NERRORS) {
        *ret = (struct pt_fault){ oauth_errors[i], PT_REFUSAL, status_json(400, oauth_errors[i]) };
        return true;
    }
    i -= NERRORS;
    if (i < NNONSENSE) {
        nonsense(i, frame, ret);
        return true;
    }
    i -= NNONSENSE;
    if (i >= sizeof plain / sizeof *plain)
        return false;
    *ret = plain[i];
    ret->answer = i == 0   ? json_pack("{s:s}", "end", "uncertain")
                  : i == 1 ? json_pack("{s:s}", "end", "not_sent")
                  : i == 2 ? redirect()
                  : i == 6 ? limited("120")
                           : status_json(i == 3   ? 401
                                         : i == 4 ? 403
                                         : i == 5 ? 429
                                                  : 500,
                                         NULL);
    return true;
}
