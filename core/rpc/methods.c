/* rpc/methods.c - which handler answers which method, and the methods that rpc answers itself. */
#include "rpc/rpc_int.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- daemon -----------------------------------------------------------------------------------------------
 */

static void daemon_status(struct call *call)
{
    struct gd_rpc *r = call->rpc;
    GD_AUTO_JSON out = r->daemon.status(r->daemon.arg);

    json_object_set_new(out, "rpc", gd_rpc_status(r));
    gd_call_reply(call, out, NULL);
}

static json_t *help_params(const json_t *params)
{
    json_t *out = json_array(), *param;
    const char *name;

    json_object_foreach((json_t *)(uintptr_t)params, name, param)
    {
        json_t *one =
            json_pack("{s:s,s:b}", "name", name, "required", gd_json_bool(param, "required", false));

        json_object_update_missing(one, param);
        json_array_append_new(out, one);
    }
    return out;
}

static json_t *help_method(const struct gd_schema *s)
{
    return json_pack("{s:s,s:s,s:s,s:b,s:o,s:O,s:O}", "method", s->method, "summary", s->summary, "since",
                     s->since, "mutates", s->mutates, "params", help_params(s->params), "result", s->result,
                     "examples", s->examples);
}

static bool is_asked(const char *method, const char *asked)
{
    size_t n = strlen(asked);

    return !n || !strcmp(method, asked) || (!strncmp(method, asked, n) && method[n] == '.');
}

static void daemon_help(struct call *call)
{
    const char *asked = gd_json_text(call->params, "method", "");
    json_t *list = json_array();
    GD_AUTO_JSON out = json_pack("{s:o}", "methods", list);
    struct gd_err err;

    for (size_t i = 0; i < gd_schemas_count(call->rpc->schemas); i++)
        if (is_asked(call->rpc->methods[i].schema->method, asked))
            json_array_append_new(list, help_method(call->rpc->methods[i].schema));
    if (json_array_size(list)) {
        gd_call_reply(call, out, NULL);
        return;
    }
    gd_err_set(&err, GD_R_METHOD_UNKNOWN,
               "there is no such method or noun; daemon.help without parameters lists all");
    gd_call_reply(call, NULL, &err);
}

static void on_reply(void *arg, json_t *result, const struct gd_err *err)
{
    gd_call_reply(arg, result, err);
}

static void daemon_check(struct call *call)
{
    call->rpc->daemon.check(call->rpc->daemon.arg, call->params, on_reply, call);
}

static void daemon_reload(struct call *call)
{
    call->rpc->daemon.reload(call->rpc->daemon.arg, call->params, on_reply, call);
}

static void daemon_clock(struct call *call)
{
    call->rpc->daemon.clock(call->rpc->daemon.arg, call->params, on_reply, call);
}

static void storage(struct call *call)
{
    call->rpc->daemon.storage(call->rpc->daemon.arg, call->method->schema->method, call->params, on_reply,
                              call);
}

static void daemon_drain(struct call *call)
{
    call->rpc->daemon.drain(call->rpc->daemon.arg, call->params, on_reply, call);
}

/* ---- audit: reading the file is work for another thread
 * ---------------------------------------------------- */

struct work {
    uv_work_t req;
    struct call *call;
    char *path, *subject;
    unsigned char key[32];
    int64_t after;
    size_t max;
    struct gd_audit_verdict verdict;
    json_t *records;
    struct gd_err err;
    bool failed;
};

/* [worker] */
static void do_verify(uv_work_t *req)
{
    struct work *w = gd_container_of(req, struct work, req);

    /* Under the daemon's own key: a log that somebody else signed names another one. */
    w->failed = gd_audit_verify(w->path, w->key, &w->verdict, &w->err) < 0;
}

/* [worker] */
static void do_list(uv_work_t *req)
{
    struct work *w = gd_container_of(req, struct work, req);

    w->records = gd_audit_list(w->path, w->after, w->max, w->subject, &w->err);
    w->failed = !w->records;
}

static json_t *verdict_json(const struct gd_audit_verdict *v)
{
    json_t *out = json_pack("{s:b,s:I,s:I}", "ok", v->bad_line == 0, "records", (json_int_t)v->records,
                            "checkpoints", (json_int_t)v->checkpoints);

    if (v->head[0])
        json_object_set_new(out, "head", json_string(v->head));
    if (v->bad_line) {
        json_object_set_new(out, "bad_line", json_integer((json_int_t)v->bad_line));
        json_object_set_new(out, "why", json_string(v->why));
        if (*v->file)
            json_object_set_new(out, "file", json_string(v->file));
    }
    return out;
}

static json_t *lines_json(const json_t *records)
{
    struct gd_buf b;
    json_t *out, *one;
    char *text;
    size_t i;

    gd_buf_init(&b, GD_RPC_ANSWER_MAX);
    json_array_foreach((json_t *)(uintptr_t)records, i, one)
    {
        text = gd_json_dump(one);
        gd_buf_adds(&b, text ? text : "");
        gd_buf_addc(&b, '\n');
        gd_free(text);
    }
    out = json_pack("{s:s,s:I}", "lines", b.ptr ? b.ptr : "", "count", (json_int_t)json_array_size(records));
    gd_buf_done(&b);
    return out;
}

static json_t *work_result(const struct work *w)
{
    size_t n = json_array_size(w->records);
    int64_t seq = n ? gd_json_i64(json_array_get(w->records, n - 1), "seq", 0) : 0;
    json_t *out;

    if (!w->records)
        return verdict_json(&w->verdict);
    out = strcmp(w->call->method->schema->method, "audit.export") ? json_pack("{s:O}", "records", w->records)
                                                                  : lines_json(w->records);
    if (n == w->max && seq && w->after >= 0) /* behind the newest there is nothing */
        json_object_set_new(out, "next", json_integer((json_int_t)seq));
    return out;
}

static void after_work(uv_work_t *req, int status)
{
    struct work *w = gd_container_of(req, struct work, req);
    GD_AUTO_JSON out = NULL;

    if (status < 0)
        w->failed = gd_err_set(&w->err, GD_R_SHUTTING_DOWN, "the daemon stops") < 0;
    if (!w->failed)
        out = work_result(w);
    gd_call_reply(w->call, out, w->failed ? &w->err : NULL);
    json_decref(w->records);
    gd_free(w->path);
    gd_free(w->subject);
    gd_free(w);
}

static void start_work(struct call *call, uv_work_cb work)
{
    struct work *w = gd_new(sizeof *w);

    w->call = call;
    w->path = gd_strdup(call->rpc->audit_path);
    memcpy(w->key, gd_audit_public(call->rpc->audit), sizeof w->key);
    w->subject = gd_strdup(gd_json_text(call->params, "subject", NULL));
    w->after = gd_json_bool(call->params, "newest", false) ? -1 : gd_json_i64(call->params, "after", 0);
    w->max = (size_t)gd_json_i64(call->params, "limit", 100);
    uv_queue_work(call->rpc->loop, &w->req, work, after_work);
}

static void audit_verify(struct call *call)
{
    start_work(call, do_verify);
}

static void audit_list(struct call *call)
{
    start_work(call, do_list);
}

/* ---- events -----------------------------------------------------------------------------------------------
 */

bool gd_event_type_asked(json_t *types, const char *type)
{
    json_t *one;
    size_t i;

    if (!json_array_size(types))
        return true;
    json_array_foreach(types, i, one)
    {
        const char *t = json_string_value(one);
        size_t n = strlen(t);

        if (!strcmp(t, type) || (n && t[n - 1] == '*' && !strncmp(t, type, n - 1)))
            return true;
    }
    return false;
}

static void on_events(void *arg, json_t *events, const struct gd_err *err)
{
    struct call *call = arg;
    json_t *types = json_object_get(call->params, "types"), *list, *one;
    const char *last = gd_json_text(call->params, "cursor", NULL);
    GD_AUTO_JSON out = NULL;
    GD_AUTO_JSON all = events;
    size_t i;

    if (err) {
        gd_call_reply(call, NULL, err);
        return;
    }
    list = json_array();
    json_array_foreach(all, i, one)
    {
        last = gd_json_text(one, "id", last);
        if (gd_event_type_asked(types, gd_json_text(one, "type", "")))
            json_array_append(list, one);
    }
    out = json_pack("{s:o,s:s?}", "events", list, "cursor", last);
    gd_call_reply(call, out, NULL);
}

static void event_list(struct call *call)
{
    gd_events_list(call->rpc->events, call->workspace, gd_json_text(call->params, "cursor", ""),
                   (size_t)gd_json_i64(call->params, "limit", 100), on_events, call);
}

/* ---- the table --------------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    gd_act_fn *act;
    void (*own)(struct call *);
} handlers[] = {
    { "app.check", gd_app_check, NULL },
    { "app.get", gd_app_get, NULL },
    { "app.list", gd_app_list, NULL },
    { "audit.export", NULL, audit_list },
    { "audit.list", NULL, audit_list },
    { "audit.verify", NULL, audit_verify },
    { "client.create", gd_client_create, NULL },
    { "client.erase", gd_client_erase, NULL },
    { "client.get", gd_client_get, NULL },
    { "client.list", gd_client_list, NULL },
    { "client.update", gd_client_update, NULL },
    { "daemon.check", NULL, daemon_check },
    { "daemon.clock", NULL, daemon_clock },
    { "daemon.doctor", gd_broker_doctor, NULL },
    { "daemon.drain", NULL, daemon_drain },
    { "daemon.help", NULL, daemon_help },
    { "daemon.reload", NULL, daemon_reload },
    { "daemon.status", NULL, daemon_status },
    { "event.list", NULL, event_list },
    { "event.subscribe", NULL, gd_watch_start },
    { "grant.accept", gd_grant_accept, NULL },
    { "grant.confirm", gd_grant_confirm, NULL },
    { "grant.get", gd_grant_get, NULL },
    { "grant.list", gd_grant_list, NULL },
    { "grant.refresh", gd_grant_refresh, NULL },
    { "grant.revoke", gd_grant_revoke, NULL },
    { "grant.submit", gd_grant_submit, NULL },
    { "grant.token", gd_grant_token, NULL },
    { "grant.verify", gd_grant_verify, NULL },
    { "hub.check", gd_hub_check, NULL },
    { "hub.connect", gd_hub_connect, NULL },
    { "hub.get", gd_hub_get, NULL },
    { "hub.list", gd_hub_list, NULL },
    { "hub.scan", gd_hub_scan, NULL },
    { "key.rotate", gd_key_rotate, NULL },
    { "key.status", gd_key_status, NULL },
    { "node.forget", gd_node_forget, NULL },
    { "node.list", gd_node_list, NULL },
    { "platform.get", gd_platform_get, NULL },
    { "platform.list", gd_platform_list, NULL },
    { "platform.providers", gd_platform_providers, NULL },
    { "request.cancel", gd_request_cancel, NULL },
    { "request.create", gd_request_create, NULL },
    { "request.get", gd_request_get, NULL },
    { "request.list", gd_request_list, NULL },
    { "request.remind", gd_request_remind, NULL },
    { "store.accept", gd_store_accept, NULL },
    { "store.backup", NULL, storage },
    { "store.check", NULL, storage },
    { "store.doubts", gd_store_doubts, NULL },
    { "store.migrate", NULL, storage },
};

/* Every schema has a handler and every handler a schema, or the program does not start. */
void gd_methods_open(struct gd_rpc *r)
{
    size_t n = gd_schemas_count(r->schemas);

    r->methods = gd_new_array(n, sizeof *r->methods);
    for (size_t i = 0; i < n; i++) {
        const struct gd_schema *s = gd_schemas_at(r->schemas, i);

        if (n != sizeof handlers / sizeof *handlers || strcmp(handlers[i].name, s->method) != 0) {
            (void)fprintf(stderr, "the schemas and the handlers differ at %s\n", s->method);
            abort();
        }
        r->methods[i] = (struct method){
            .schema = s, .act = handlers[i].act, .own = handlers[i].own, .likely = GD_RPC_UNSENT_MAX / 8
        };
    }
}

struct method *gd_method_find(struct gd_rpc *r, const char *name)
{
    const struct gd_schema *s = gd_schemas_find(r->schemas, name);

    return s ? &r->methods[s - gd_schemas_at(r->schemas, 0)] : NULL;
}
