/* run.c - one operation over one tape, turn by turn. */
#include "plugtest.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_MS 60000

__attribute__((format(printf, 2, 3))) static void note(struct pt_run *r, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    (void)json_array_append_new(r->transcript, json_string(line));
}

/* ---- the tape, listened to
 * --------------------------------------------------------------------------------- */

static struct gd_http_call *send_noted(struct gd_transport *t, const struct gd_http_request *q,
                                       gd_http_fn *fn, void *arg)
{
    struct pt_run *r = gd_container_of(t, struct pt_run, transport);
    struct gd_transport *tape = gd_tape_transport(r->reel);

    note(r, "> %s %s%s (%zu bytes)", q->method, q->url, q->repeatable ? " [repeatable]" : "", q->body_len);
    r->repeatable = q->repeatable;
    return tape->send(tape, q, fn, arg);
}

static void cancel_noted(struct gd_transport *t, struct gd_http_call **call)
{
    struct pt_run *r = gd_container_of(t, struct pt_run, transport);
    struct gd_transport *tape = gd_tape_transport(r->reel);

    note(r, "> cancelled");
    tape->cancel(tape, call);
}

/* ---- what comes out
 * ---------------------------------------------------------------------------------------- */

static void put_text(json_t *o, const char *key, const char *s)
{
    if (s)
        (void)json_object_set_new(o, key, json_string(s));
}

static void put_num(json_t *o, const char *key, int64_t n)
{
    if (n)
        (void)json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *result_json(const struct grantd_result *g)
{
    json_t *o = json_object();

    put_text(o, "redirect_url", g->redirect_url);
    put_text(o, "reply", g->reply);
    put_text(o, "access_token", g->access_token);
    put_text(o, "refresh_token", g->refresh_token);
    put_text(o, "id_token", g->id_token);
    put_text(o, "scope", g->scope);
    put_text(o, "account_id", g->account_id);
    put_text(o, "account_name", g->account_name);
    put_num(o, "expires_in", g->expires_in);
    put_num(o, "expires_at", g->expires_at);
    put_num(o, "refresh_expires_in", g->refresh_expires_in);
    put_num(o, "refresh_expires_at", g->refresh_expires_at);
    put_num(o, "horizon_at", g->horizon_at);
    put_num(o, "retry_grace", g->retry_grace);
    put_num(o, "margin", g->margin);
    put_num(o, "min_age", g->min_age);
    put_num(o, "idle", g->idle);
    if (g->shape)
        put_text(o, "shape", gd_platform_shape_word(g->shape));
    if (g->retry_class)
        put_text(o, "retry_class", gd_platform_retry_word(g->retry_class));
    return o;
}

static bool same_thing(const json_t *a, const json_t *b)
{
    static const char *const keys[] = { "kind", "id", "asset" };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(gd_json_text(a, keys[i], ""), gd_json_text(b, keys[i], "")) != 0)
            return false;
    return true;
}

/* Of what was reported twice the later report counts, in the place of the first: as the daemon has it. */
static json_t *merged(const json_t *reports)
{
    json_t *out = json_array(), *one;
    size_t i, k;

    json_array_foreach(reports, i, one)
    {
        for (k = 0; k < json_array_size(out) && !same_thing(json_array_get(out, k), one); k++)
            continue;
        if (k < json_array_size(out))
            json_array_set_new(out, k, json_deep_copy(one));
        else
            json_array_append_new(out, json_deep_copy(one));
    }
    return out;
}

static json_t *outcome_json(const struct gd_op_result *r)
{
    static const char *const ends[] = { "done", "pending", "failed" };
    json_t *o =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:I}", "end", ends[r->end], "result",
                  result_json(&r->res), "assets", merged(r->assets), "steps", json_deep_copy(r->steps),
                  "surfaces", merged(r->surfaces), "observed", json_deep_copy(r->observed), "kept",
                  json_deep_copy(r->kept), "notes", json_deep_copy(r->notes), "warnings",
                  json_deep_copy(r->warnings), "spent", r->spent, "requests", (json_int_t)r->requests);

    if (r->end == GD_OP_FAILED) {
        put_text(o, "class", gd_op_class_word(r->fail_class));
        put_text(o, "reason", gd_reason_word(r->err.reason));
        put_text(o, "text", r->err.text);
        put_num(o, "retry_at", r->retry_at / 1000);
    }
    if (r->end == GD_OP_PENDING)
        put_num(o, "next_look", r->next_look_at / 1000);
    return o;
}

static void on_end(void *arg, struct gd_op *op, const struct gd_op_result *res)
{
    struct pt_run *r = arg;

    r->ends++;
    r->detached = gd_op_detached(op);
    r->op = NULL;
    json_decref(r->out);
    r->out = outcome_json(res);
    note(r, "= %s %s", gd_json_text(r->out, "end", ""), gd_json_text(r->out, "text", ""));
}

static void on_save(void *arg, struct gd_op *op, const struct gd_op_result *res)
{
    struct pt_run *r = arg;

    note(r, "= saved: %zu assets%s", json_array_size(res->assets), res->res.access_token ? ", tokens" : "");
    gd_op_saved(op, gd_json_bool(r->tape->json, "save_ok", true));
}

/* ---- what goes in
 * ------------------------------------------------------------------------------------------ */

static const char *const arg_names[] = {
    [GRANTD_ARG_REDIRECT_URI] = "redirect_uri",
    [GRANTD_ARG_STATE] = "state",
    [GRANTD_ARG_NONCE] = "nonce",
    [GRANTD_ARG_CODE_CHALLENGE] = "code_challenge",
    [GRANTD_ARG_CODE_VERIFIER] = "code_verifier",
    [GRANTD_ARG_SCOPE] = "scope",
    [GRANTD_ARG_CODE] = "code",
    [GRANTD_ARG_QUERY] = "query",
    [GRANTD_ARG_ACCESS_TOKEN] = "access_token",
    [GRANTD_ARG_REFRESH_TOKEN] = "refresh_token",
    [GRANTD_ARG_ACCOUNT_ID] = "account_id",
    [GRANTD_ARG_ROLE] = "role",
    [GRANTD_ARG_ASSET_ID] = "asset_id",
    [GRANTD_ARG_MODE] = "mode",
    [GRANTD_ARG_HUB_ID] = "hub_id",
    [GRANTD_ARG_HUB_ACCESS_TOKEN] = "hub_access_token",
    [GRANTD_ARG_ISSUED_AT] = "issued_at",
    [GRANTD_ARG_EXPIRES_AT] = "expires_at",
    [GRANTD_ARG_HUB_ACCOUNT_ID] = "hub_account_id",
};

static char *raw_query(json_t *query)
{
    struct gd_buf b;
    const char *key;
    json_t *v;

    gd_buf_init(&b, GD_OP_TEXT_MAX);
    json_object_foreach(query, key, v)
    {
        GD_AUTO_FREE char *k = gd_form_encode(key),
                          *s = gd_form_encode(json_is_string(v) ? json_string_value(v) : "");

        gd_buf_addf(&b, "%s%s=%s", b.len ? "&" : "", k, s);
    }
    return gd_buf_steal(&b);
}

/* grantd asks an item that names no role for the mode's default; "role": null in a tape says that there is
 * none. */
static void fill_role(struct gd_op_given *g, const struct gd_platform *p, const struct pt_tape *t)
{
    const struct grantd_role *r;

    if ((t->kind != GD_OP_REQUEST && t->kind != GD_OP_GRANT) ||
        json_object_get(json_object_get(t->json, "args"), "role"))
        return;
    r = gd_platform_role(p, g->args[GRANTD_ARG_MODE], NULL);
    g->args[GRANTD_ARG_ROLE] = r ? r->name : NULL;
}

static void fill_given(struct gd_op_given *g, const struct gd_platform *p, const struct pt_tape *t,
                       const char *raw)
{
    const json_t *args = json_object_get(t->json, "args");

    g->query = json_object_get(t->json, "query");
    for (size_t i = 1; i < sizeof arg_names / sizeof *arg_names; i++)
        g->args[i] = gd_json_text(args, arg_names[i], NULL);
    fill_role(g, p, t);
    if (!g->args[GRANTD_ARG_CODE])
        g->args[GRANTD_ARG_CODE] = gd_json_text(g->query, "code", NULL);
    if (!g->args[GRANTD_ARG_QUERY] && g->query)
        g->args[GRANTD_ARG_QUERY] = raw;
    g->options = json_object_get(t->json, "options");
    g->inputs = json_object_get(t->json, "inputs");
    g->params = json_object_get(t->json, "params");
    g->grant = json_object_get(t->json, "grant");
    g->kept = json_object_get(t->json, "kept");
    g->notes = json_object_get(t->json, "notes");
    g->description = t->description;
}

/* {"headers": {...}, "body": "text"}: a call of the platform, as it came. */
static void fill_notice(struct gd_http_answer *a, struct gd_http_header *headers, const json_t *notice)
{
    const char *key;
    json_t *v;

    *a = (struct gd_http_answer){ .headers = headers };
    json_object_foreach(json_object_get(notice, "headers"), key,
                        v) if (json_is_string(v) && a->nheaders < PT_NOTICE_HEADERS_MAX)
        headers[a->nheaders++] = (struct gd_http_header){ key, json_string_value(v) };
    a->body = (char *)(uintptr_t)gd_json_text(notice, "body", "");
    a->body_len = strlen(a->body);
}

void pt_run_init(struct pt_run *r, struct pt *pt, struct pt_tape *t, const struct pt_plan *plan)
{
    GD_AUTO_FREE char *raw = raw_query(json_object_get(t->json, "query"));
    struct gd_op_start s = { .platform = pt->platform,
                             .kind = t->kind,
                             .app = "tape",
                             .deadline_ms = DEADLINE_MS,
                             .hard_deadline_ms = 2 * DEADLINE_MS,
                             .on_save = on_save,
                             .on_end = on_end,
                             .arg = r,
                             .fail_alloc_at = plan->fail_alloc_at };
    struct gd_http_header headers[PT_NOTICE_HEADERS_MAX];
    struct gd_http_answer notice;

    *r = (struct pt_run){ .pt = pt, .tape = t, .transport = { send_noted, cancel_noted } };
    pt->runs++;
    r->transcript = json_array();
    gd_clock_virtual_init(&r->clock, gd_json_i64(t->json, "now", 1767225600) * 1000);
    gd_rng_seed(&r->rng, 1);
    r->log_fd = memfd_create("plugtest-log", MFD_CLOEXEC);
    r->log = gd_log_new(r->log_fd, GD_LOG_DEBUG, &r->clock.clock, (const unsigned char[32]){ 1 });
    r->reel = gd_tape_new(t->frames, &r->clock.clock);
    if (plan->fault_frame >= 0)
        gd_tape_fault(r->reel, (size_t)plan->fault_frame, plan->fault);
    r->env = (struct gd_op_env){ .transport = &r->transport,
                                 .clock = &r->clock.clock,
                                 .rng = &r->rng.rng,
                                 .log = r->log,
                                 .origins = json_object_get(t->json, "origins") };
    fill_given(&s.given, pt->platform, t, raw);
    if (json_object_get(t->json, "notice")) {
        fill_notice(&notice, headers, json_object_get(t->json, "notice"));
        s.given.notice = &notice;
    }
    r->op = gd_op_start(&r->env, &s);
}

bool pt_run_turn(struct pt_run *r)
{
    r->ticks++;
    if (!r->op)
        return false;
    return gd_op_tick(r->op) || gd_tape_step(r->reel);
}

void pt_run_all(struct pt_run *r)
{
    while (pt_run_turn(r))
        continue;
}

void pt_run_done(struct pt_run *r)
{
    if (r->op && gd_op_cancel(&r->op))
        pt_bad(r->pt, "%s: the operation never ended", r->tape->name);
    gd_tape_free(r->reel);
    gd_log_free(r->log);
    if (r->log_fd >= 0)
        (void)close(r->log_fd);
    json_decref(r->transcript);
    json_decref(r->out);
}

char *pt_run_log(const struct pt_run *r)
{
    struct stat st;
    char *text;
    ssize_t n;

    if (r->log_fd < 0 || fstat(r->log_fd, &st) != 0)
        return gd_strdup("");
    text = gd_new((size_t)st.st_size + 1);
    n = pread(r->log_fd, text, (size_t)st.st_size, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

void pt_run_print(const struct pt_run *r)
{
    json_t *line;
    size_t i;

    json_array_foreach(r->transcript, i, line) printf("    %s\n", json_string_value(line));
}
