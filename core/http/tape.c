/* http/tape.c - recorded answers in place of a network. Requests pass the same checks as the client's; then
 * they are compared with the frame whose turn it is. The first difference is kept as the tape's problem, and
 * the request that differed is refused with TAPE_MISMATCH. A tape owns its calls from send to delivery. */
#include "http/tape.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/http_int.h"

#include <stdio.h>
#include <string.h>

struct tape_call {
    struct gd_list link;
    gd_http_fn *fn;
    void *arg;
    size_t frame;
    struct gd_err err; /* refused: why */
    bool refused;
    int64_t sent_at;
};
struct gd_tape {
    struct gd_transport transport; /* first */
    json_t *frames;
    const struct gd_clock *clock;
    struct gd_list calls; /* in the order they came */
    struct tape_call *delivering;
    size_t played;
    char *problem;
};

static struct gd_tape *of_transport(struct gd_transport *t)
{
    return gd_container_of(t, struct gd_tape, transport);
}

/* ---- comparing --------------------------------------------------------------------------------------- */

/* Fills err: "frame 2: url is ..., expected ...". Values are quoted: a tape holds no secrets but made-up
 * ones. */
static int differs(struct gd_err *err, size_t frame, const char *what, const char *is, const char *expected)
{
    return gd_err_set(err, GD_R_TAPE_MISMATCH, "frame %zu: %s is %s, expected %s", frame, what,
                      is ? is : "absent", expected ? expected : "absent");
}

static bool any(const json_t *expected)
{
    return json_is_string(expected) && !strcmp(json_string_value(expected), "*");
}

static int match_text(size_t frame, const char *what, const char *is, const json_t *expected,
                      struct gd_err *err)
{
    if (any(expected) && is)
        return 0;
    if (is && json_is_string(expected) && !strcmp(is, json_string_value(expected)))
        return 0;
    return differs(err, frame, what, is, json_is_string(expected) ? json_string_value(expected) : "text");
}

/* application/x-www-form-urlencoded -> object of strings; NULL when it is none or a name comes twice. */
static json_t *form_parse(const char *p, size_t n)
{
    json_t *form = json_object();
    const char *end = p + n;

    while (p < end) {
        const char *amp = memchr(p, '&', (size_t)(end - p)), *stop = amp ? amp : end;
        GD_AUTO_FREE char *name = gd_strndup(p, (size_t)(stop - p));
        char *eq = strchr(name, '='), *value = eq ? eq + 1 : name + strlen(name);

        if (eq)
            *eq = '\0';
        if (!gd_percent_decode(value, true) || !gd_percent_decode(name, true) ||
            json_object_get(form, name) || json_object_set_new(form, name, json_string(value))) {
            json_decref(form);
            return NULL;
        }
        p = stop + 1;
    }
    return form;
}

static int match_json(size_t frame, const char *what, const json_t *is, const json_t *expected,
                      struct gd_err *err);

static int match_object(size_t frame, const char *what, const json_t *is, const json_t *expected,
                        struct gd_err *err)
{
    json_t *map = json_incref((json_t *)(uintptr_t)expected), *got = json_incref((json_t *)(uintptr_t)is),
           *value;
    const char *key;
    char name[160];
    int bad = 0;

    json_object_foreach(map, key, value)
    {
        (void)snprintf(name, sizeof name, "%s.%s", what, key);
        bad = bad ? bad : match_json(frame, name, json_object_get(got, key), value, err);
    }
    json_object_foreach(got, key, value)
    {
        (void)snprintf(name, sizeof name, "%s.%s", what, key);
        if (!bad && !json_object_get(map, key))
            bad = differs(err, frame, name, "present", NULL);
    }
    json_decref(map);
    json_decref(got);
    return bad;
}

static int match_array(size_t frame, const char *what, const json_t *is, const json_t *expected,
                       struct gd_err *err)
{
    char name[160];

    if (json_array_size(is) != json_array_size(expected)) {
        (void)snprintf(name, sizeof name, "%s (%zu elements)", what, json_array_size(is));
        return differs(err, frame, name, "of another length", "the same");
    }
    for (size_t i = 0; i < json_array_size(is); i++) {
        (void)snprintf(name, sizeof name, "%s.%zu", what, i);
        if (match_json(frame, name, json_array_get(is, i), json_array_get(expected, i), err))
            return -1;
    }
    return 0;
}

/* Order-free; "*" stands for anything that is there. */
static int match_json(size_t frame, const char *what, const json_t *is, const json_t *expected,
                      struct gd_err *err)
{
    GD_AUTO_FREE char *got = NULL;
    GD_AUTO_FREE char *want = NULL;

    if (is && any(expected))
        return 0;
    if (json_is_object(is) && json_is_object(expected))
        return match_object(frame, what, is, expected, err);
    if (json_is_array(is) && json_is_array(expected))
        return match_array(frame, what, is, expected, err);
    if (is && json_equal(is, expected))
        return 0;
    got = is ? gd_json_dump(is) : NULL;
    want = gd_json_dump(expected);
    return differs(err, frame, what, got, want);
}

/* The same text, or the same up to the order of the query. */
static int match_url(size_t frame, const char *url, const json_t *expected, struct gd_err *err)
{
    const char *want = json_string_value(expected), *q, *wq;
    json_t *is, *should;
    int bad;

    if (!want || any(expected) || !strcmp(url, want))
        return match_text(frame, "url", url, expected, err);
    q = strchr(url, '?');
    wq = strchr(want, '?');
    if (!q || !wq || q - url != wq - want || strncmp(url, want, (size_t)(q - url)) != 0)
        return differs(err, frame, "url", url, want);
    is = form_parse(q + 1, strlen(q + 1));
    should = form_parse(wq + 1, strlen(wq + 1));
    bad = is && should ? match_json(frame, "query", is, should, err) : differs(err, frame, "url", url, want);
    json_decref(is);
    json_decref(should);
    return bad;
}

/* "query": {...} beside a "url" without one. */
static int match_query(size_t frame, const char *url, const json_t *expect, struct gd_err *err)
{
    const char *q = strchr(url, '?');
    GD_AUTO_FREE char *base = gd_strndup(url, q ? (size_t)(q - url) : strlen(url));
    json_t *is;
    int bad;

    if (match_text(frame, "url", base, json_object_get(expect, "url"), err))
        return -1;
    is = form_parse(q ? q + 1 : "", q ? strlen(q + 1) : 0);
    bad = is ? match_json(frame, "query", is, json_object_get(expect, "query"), err)
             : differs(err, frame, "query", "not a form", "one");
    json_decref(is);
    return bad;
}

static const char *request_header(const struct gd_http_request *r, const char *name)
{
    for (size_t i = 0; i < r->nheaders; i++)
        if (!strcasecmp(r->headers[i].name, name))
            return r->headers[i].value;
    return NULL;
}

/* Those that are named; null: must be absent. */
static int match_headers(size_t frame, const struct gd_http_request *r, json_t *headers, struct gd_err *err)
{
    const char *key;
    json_t *value;
    char what[160];

    json_object_foreach(headers, key, value)
    {
        const char *is = request_header(r, key);

        (void)snprintf(what, sizeof what, "header %s", key);
        if (json_is_null(value) && is)
            return differs(err, frame, what, is, NULL);
        if (!json_is_null(value) && match_text(frame, what, is, value, err))
            return -1;
    }
    return 0;
}

static int match_form(size_t frame, const struct gd_http_request *r, const json_t *form, struct gd_err *err)
{
    const char *type = request_header(r, "content-type");
    json_t *is = r->body ? form_parse(r->body, r->body_len) : NULL;
    int bad;

    if (!is)
        return differs(err, frame, "body", r->body ? "not a form" : NULL, "a form");
    if (!type || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0)
        bad = differs(err, frame, "header content-type", type, "application/x-www-form-urlencoded");
    else
        bad = match_json(frame, "form", is, form, err);
    json_decref(is);
    return bad;
}

/* A body must be said in the tape: what nobody looks at may hold what nobody meant to send. */
static int match_body(size_t frame, const struct gd_http_request *r, const json_t *expect, struct gd_err *err)
{
    const json_t *form = json_object_get(expect, "form"), *json = json_object_get(expect, "json"),
                 *body = json_object_get(expect, "body");
    json_t *is;
    int bad;

    if (form)
        return match_form(frame, r, form, err);
    if (body)
        return match_text(frame, "body", r->body, body, err);
    if (!json)
        return r->body && r->body_len
                   ? differs(err, frame, "body", "present", "form, json or body in the tape")
                   : 0;
    is = r->body ? gd_json_parse(r->body, r->body_len, GD_HTTP_REQUEST_MAX, NULL) : NULL;
    bad = is ? match_json(frame, "json", is, json, err)
             : differs(err, frame, "body", r->body ? "not JSON" : NULL, "JSON");
    json_decref(is);
    return bad;
}

static int match(const struct gd_tape *t, size_t frame, const struct gd_http_request *r, struct gd_err *err)
{
    const json_t *expect = json_object_get(json_array_get(t->frames, frame), "expect");
    json_t *url = json_object_get(expect, "url"), *method = json_object_get(expect, "method");
    struct gd_http_guard guard = { 0 };
    struct gd_http_target target;

    if (frame >= json_array_size(t->frames))
        return gd_err_set(err, GD_R_TAPE_MISMATCH, "frame %zu: the tape has ended, but a request came: %s %s",
                          frame, r->method, r->url);
    if (gd_http_request_check(r, err) || gd_http_guard_check(&guard, r, &target, err))
        return -1;
    gd_free(target.mapped);
    if (method && match_text(frame, "method", r->method, method, err))
        return -1;
    if (json_object_get(expect, "query") ? match_query(frame, r->url, expect, err)
                                         : url && match_url(frame, r->url, url, err))
        return -1;
    if (match_headers(frame, r, json_object_get(expect, "headers"), err))
        return -1;
    return match_body(frame, r, expect, err);
}

/* ---- the transport ----------------------------------------------------------------------------------- */
static struct gd_http_call *tape_send(struct gd_transport *transport, const struct gd_http_request *r,
                                      gd_http_fn *fn, void *arg)
{
    struct gd_tape *t = of_transport(transport);
    struct tape_call *call = gd_new(sizeof *call);

    call->fn = fn;
    call->arg = arg;
    call->frame = t->played;
    call->sent_at = gd_now(t->clock);
    call->refused = match(t, t->played, r, &call->err) != 0;
    if (call->refused && !t->problem)
        t->problem =
            call->err.reason == GD_R_TAPE_MISMATCH
                ? gd_strdup(call->err.text)
                : gd_strf("frame %zu: %s (%s)", t->played, call->err.text, gd_reason_word(call->err.reason));
    t->played++;
    gd_list_add(&t->calls, &call->link);
    return (struct gd_http_call *)(void *)call;
}

static void tape_cancel(struct gd_transport *transport, struct gd_http_call **pcall)
{
    struct tape_call *call = (struct tape_call *)(void *)*pcall;

    *pcall = NULL;
    if (!call || call == of_transport(transport)->delivering)
        return;
    gd_list_del(&call->link);
    gd_free(call);
}

struct gd_tape *gd_tape_new(json_t *frames, const struct gd_clock *clock)
{
    struct gd_tape *t = gd_new(sizeof *t);

    t->transport = (struct gd_transport){ tape_send, tape_cancel };
    t->frames = json_copy(frames); /* frames can be replaced without touching the caller's */
    t->clock = clock;
    gd_list_init(&t->calls);
    return t;
}

void gd_tape_free(struct gd_tape *t)
{
    struct gd_list *n;

    if (!t)
        return;
    while ((n = gd_list_pop(&t->calls)))
        gd_free(gd_container_of(n, struct tape_call, link));
    json_decref(t->frames);
    gd_free(t->problem);
    gd_free(t);
}

struct gd_transport *gd_tape_transport(struct gd_tape *t)
{
    return &t->transport;
}

/* ---- answers
 * ----------------------------------------------------------------------------------------------------------
 */
struct played { /* what an answer points into while it is delivered */
    struct gd_http_header headers[GD_HTTP_HEADERS_MAX];
    size_t n;
    struct gd_buf body;
};

static void add_header(struct played *p, const char *name, const char *value)
{
    char *lower;

    if (p->n == GD_HTTP_HEADERS_MAX)
        return;
    lower = gd_strdup(name);
    for (char *c = lower; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 'a' - 'A') : *c;
    p->headers[p->n++] = (struct gd_http_header){ lower, value };
}

static void played_free(struct played *p)
{
    for (size_t i = 0; i < p->n; i++)
        gd_free((void *)(uintptr_t)p->headers[i].name);
    gd_buf_done(&p->body);
    gd_free(p);
}

static void play_headers(struct played *p, json_t *headers)
{
    const char *key;
    json_t *value, *one;
    size_t i;

    json_object_foreach(headers, key, value)
    {
        if (json_is_string(value))
            add_header(p, key, json_string_value(value));
        json_array_foreach(value, i, one) if (json_is_string(one)) add_header(p, key, json_string_value(one));
    }
}

static void form_build(struct gd_buf *b, json_t *form)
{
    const char *key;
    json_t *value;

    json_object_foreach(form, key, value)
    {
        GD_AUTO_FREE char *name = gd_form_encode(key);
        GD_AUTO_FREE char *text = gd_form_encode(json_is_string(value) ? json_string_value(value) : "");

        gd_buf_addf(b, "%s%s=", b->len ? "&" : "", name);
        gd_buf_adds(b, text);
    }
}

static const char *play_body(struct played *p, const json_t *answer)
{
    const json_t *body = json_object_get(answer, "body"), *json = json_object_get(answer, "json");
    json_t *form = json_object_get(answer, "form");

    if (json_is_string(body))
        gd_buf_add(&p->body, json_string_value(body), json_string_length(body));
    if (json) {
        GD_AUTO_FREE char *text = gd_json_dump(json);

        gd_buf_adds(&p->body, text);
        return "application/json";
    }
    form_build(&p->body, form);
    return form ? "application/x-www-form-urlencoded" : NULL;
}

static void fail(struct gd_http_answer *a, enum gd_http_end end, enum gd_reason reason)
{
    a->end = end;
    a->status = 0;
    gd_err_set(&a->err, reason, "%s", gd_reason_info(reason)->meaning);
}

static void play_end(struct gd_http_answer *a, const char *end, const json_t *answer)
{
    bool not_sent = !strcmp(end, "not_sent"), refused = !strcmp(end, "refused");
    enum gd_reason dflt = not_sent  ? GD_R_CONNECT_FAILED
                          : refused ? GD_R_EGRESS_DENIED
                                    : GD_R_PLATFORM_TIMEOUT;
    const char *reason = gd_json_text(answer, "reason", NULL);

    fail(a,
         not_sent  ? GD_HTTP_NOT_SENT
         : refused ? GD_HTTP_REFUSED
                   : GD_HTTP_UNCERTAIN,
         reason ? gd_reason_find(reason) : dflt);
}

static void play(struct gd_http_answer *a, struct played *p, const json_t *answer)
{
    const char *end = gd_json_text(answer, "end", NULL), *type, *date;

    if (end) {
        play_end(a, end, answer);
        return;
    }
    play_headers(p, json_object_get(answer, "headers"));
    type = play_body(p, answer);
    a->headers = p->headers;
    a->nheaders = p->n;
    if (type && !gd_http_answer_header(a, "content-type")) {
        add_header(p, "content-type", type);
        a->nheaders = p->n;
    }
    if (p->body.failed) {
        a->nheaders = 0;
        fail(a, GD_HTTP_UNCERTAIN, GD_R_ANSWER_TOO_LARGE);
        return;
    }
    gd_buf_adds(&p->body, "");
    a->end = GD_HTTP_ANSWER;
    a->status = (int)gd_json_i64(answer, "status", 200);
    a->body = p->body.ptr;
    a->body_len = p->body.len;
    date = gd_http_answer_header(a, "date");
    a->date = date ? gd_http_date(date) : -1;
}

bool gd_tape_step(struct gd_tape *t)
{
    struct gd_list *n = gd_list_pop(&t->calls);
    struct tape_call *call = n ? gd_container_of(n, struct tape_call, link) : NULL;
    struct gd_http_answer a = { .date = -1 };
    struct played *p;

    if (!call)
        return false;
    p = gd_new(sizeof *p);
    gd_buf_init(&p->body, GD_HTTP_BODY_MAX);
    a.sent_at = call->sent_at;
    if (call->refused) {
        a.end = GD_HTTP_REFUSED;
        a.err = call->err;
    } else {
        play(&a, p, json_object_get(json_array_get(t->frames, call->frame), "answer"));
    }
    t->delivering = call;
    call->fn(call->arg, &a);
    t->delivering = NULL;
    played_free(p);
    gd_free(call);
    return true;
}

void gd_tape_fault(struct gd_tape *t, size_t i, json_t *answer)
{
    json_t *frame = json_copy(json_array_get(t->frames, i));

    if (!frame)
        return;
    (void)json_object_set(frame, "answer", answer);
    (void)json_array_set_new(t->frames, i, frame);
}

const char *gd_tape_problem(const struct gd_tape *t)
{
    return t->problem;
}

size_t gd_tape_played(const struct gd_tape *t)
{
    return t->played;
}

size_t gd_tape_frames(const struct gd_tape *t)
{
    return json_array_size(t->frames);
}
