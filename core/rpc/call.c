/* rpc/call.c - the life of a call: read, allowed, checked, recorded, done, recorded, answered.
 *
 * A call that changes something is in the audit log before it runs ("request") and again before its answer
 * leaves
 * ("done"). When the log cannot be written it does not run. */
#include "rpc/rpc_int.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define ID_TEXT_MAX      128
#define DENIALS_A_SECOND 20 /* recorded and logged; all are counted */

/* ---- the end of a call ------------------------------------------------------------------------------------
 */

static void call_free(struct call *call)
{
    struct gd_rpc *r = call->rpc;

    gd_list_del(&call->link);
    gd_free(call->id);
    json_decref(call->params);
    json_decref(call->result);
    gd_free(call);
    r->ncalls--;
    gd_rpc_ended(r);
}

/* The next answers of a method will be as long as the longest of late. */
static void learn_length(struct method *m, size_t n)
{
    m->likely -= m->likely / 4;
    if (m->likely < n)
        m->likely = n;
}

/* Says it to the peer; the call itself may have to wait for its handler. */
static void answer(struct call *call)
{
    struct frame *f = call->frame;
    size_t before = f->out.len;

    call->frame = NULL;
    if (f->conn) {
        f->conn->running--;
        f->conn->likely -= call->likely;
    }
    if (call->id) {
        gd_frame_answer(f, call->id, call->failed ? NULL : call->result, &call->err);
        learn_length(call->method, f->out.len - before);
    }
    gd_frame_unref(f);
}

static void check_result(struct call *call)
{
#ifdef GRANTD_FAULTS
    struct gd_err err;

    if (gd_schema_check_result(call->rpc->schemas, call->method->schema, call->result, &err) == 0)
        return;
    GD_LOG(call->rpc->log, GD_LOG_ERROR, "rpc.reply_invalid",
           GD_F_STR("method", call->method->schema->method), GD_F_ERR(&err));
    call->failed = true;
    call->err = err;
#else
    (void)call;
#endif
}

/* platform NULL: what is asked about belongs to none. */
static bool sees_on(const struct call *call, const char *client, const char *platform)
{
    return gd_policy_allows_on(call->rpc->policy, &call->caller, call->method->schema->method,
                               call->workspace, client, platform);
}

bool gd_call_sees(const struct call *call, const char *client)
{
    return sees_on(call, client, NULL);
}

/* Leaves out of a list what this caller may not see. The result is the handler's: a copy is made. */
static void filter_result(struct call *call)
{
    const json_t *scope = call->method->schema->scope;
    const char *list = gd_json_text(scope, "filter", gd_json_text(scope, "withhold", NULL)),
               *member = gd_json_text(scope, "client", "client");
    json_t *all = list ? json_object_get(call->result, list) : NULL, *kept, *copy, *one;
    size_t i;

    if (!json_is_array(all))
        return;
    kept = json_array();
    json_array_foreach(all, i, one)
    {
        const char *client =
            strcmp(member, "event") ? gd_json_text(one, member, "") : gd_event_client(call->rpc, one);

        if (sees_on(call, client, gd_json_text(one, "platform", NULL)))
            json_array_append(kept, one);
    }
    copy = json_copy(call->result);
    json_object_set_new(copy, list, kept);
    json_decref(call->result);
    call->result = copy;
}

static void finish(struct call *call)
{
    if (!call->failed) {
        filter_result(call);
        check_result(call);
    }
    if (!call->abandoned)
        answer(call);
    call_free(call);
}

static void fail(struct call *call, enum gd_reason reason, const char *text)
{
    gd_err_set(&call->err, reason, "%s", text);
    call->failed = true;
    finish(call);
}

/* ---- audit ------------------------------------------------------------------------------------------------
 */

static json_t *hashed(const struct call *call, const char *text)
{
    char out[17];

    gd_audit_hash(call->rpc->audit, text, strlen(text), out);
    return json_pack("{s:s}", "hmac", out);
}

/* What the record may show: ids, names, numbers and choices as they are, every other text as a keyed hash. */
static json_t *record_value(const struct call *call, const json_t *param, json_t *v)
{
    const char *type = gd_json_text(param, "type", "string");
    char *text;
    json_t *out;

    if (gd_json_bool(param, "secret", false) || json_is_array(v) || json_is_object(v)) {
        text = gd_json_dump(v);
        out = hashed(call, text ? text : "");
        gd_free(text);
        if (json_is_array(v))
            json_object_set_new(out, "count", json_integer((json_int_t)json_array_size(v)));
        return out;
    }
    if (json_is_string(v) && (!strcmp(type, "string") || !strcmp(type, "email")))
        return hashed(call, json_string_value(v));
    return json_incref(v);
}

/* Items of a request are what an auditor asks for: app, role, mode and hub of each, as text. */
static json_t *record_items(json_t *items)
{
    json_t *out = json_array(), *one;
    char text[200];
    size_t i;

    json_array_foreach(items, i, one)
    {
        (void)snprintf(text, sizeof text, "%.60s/%.50s", gd_json_text(one, "app", ""),
                       gd_json_text(one, "role", ""));
        json_array_append_new(out, json_string(text));
    }
    return out;
}

static json_t *record_data(const struct call *call)
{
    const json_t *params = call->method->schema->params;
    json_t *out = json_object(), *v;
    const char *key;

    json_object_foreach(call->params, key, v)
    {
        const json_t *param = json_object_get(params, key);
        bool items = json_object_get(json_object_get(param, "of"), "app") != NULL;

        if (strcmp(key, "workspace") != 0)
            json_object_set_new(out, key, items ? record_items(v) : record_value(call, param, v));
    }
    return out;
}

static void record(struct call *call, const char *phase, const char *outcome, gd_audit_fn *done)
{
    GD_AUTO_JSON data = strcmp(phase, "done") ? record_data(call) : NULL;
    struct gd_audit_entry e = {
        .act = call->method->schema->method,
        .phase = phase,
        .outcome = outcome,
        .workspace = call->workspace,
        .client = call->client[0] ? call->client : NULL,
        .subject = call->subject[0] ? call->subject : NULL,
        .uid = call->caller.uid,
        .gid = call->caller.gid,
        .pid = call->caller.pid,
        .data = data,
    };

    gd_audit_write(call->rpc->audit, &e, done, call);
}

static void on_done_recorded(void *arg, const struct gd_err *err)
{
    struct call *call = arg;

    if (err && !call->failed) {
        call->failed = true;
        gd_err_set(
            &call->err, GD_R_AUDIT_INCOMPLETE,
            "it was done, but the audit log could not record how it ended; look before you do it again");
    }
    finish(call);
}

/* A refusal by the rules is worth a record, but nobody shall fill the disk with refusals. */
static void record_denial(struct call *call)
{
    struct gd_rpc *r = call->rpc;
    int64_t now = gd_mono(r->clock);

    r->denied++;
    if (now - r->denials_from >= 1000) {
        r->denials_from = now;
        r->denials = 0;
    }
    if (r->denials++ >= DENIALS_A_SECOND)
        return;
    GD_LOG(r->log, GD_LOG_WARN, "rpc.denied", GD_F_STR("method", call->method->schema->method),
           GD_F_INT("uid", call->caller.uid), GD_F_INT("pid", call->caller.pid));
    record(call, "done", gd_reason_word(call->err.reason), NULL);
}

/* ---- running ----------------------------------------------------------------------------------------------
 */

static void learn_subject(struct call *call)
{
    static const char *const kinds[] = { "grant", "request", "client" };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *id = gd_json_text(json_object_get(call->result, kinds[i]), "id", NULL);

        if (id && !call->subject[0])
            (void)snprintf(call->subject, sizeof call->subject, "%s", id);
    }
}

/* Nothing is read out by rules that hold no more: they may have changed while the handler worked. What it did
 * is done and said; lists are cut by the new rules anyway. */
static bool rules_hold(const struct call *call)
{
    const struct gd_schema *s = call->method->schema;
    const char *platform = NULL, *grant = gd_json_text(call->params, "grant", "");
    struct gd_id id;

    if (call->rules == call->rpc->rules || s->mutates || json_object_get(s->scope, "free"))
        return true;
    if (json_object_get(s->scope, "grant") && gd_id_parse(&id, "gr", grant, strlen(grant)))
        platform = gd_grant_platform(call->rpc->broker, &id);
    return call->client[0] ? sees_on(call, call->client, platform)
                           : gd_policy_allows(call->rpc->policy, &call->caller, s->method, NULL, NULL);
}

void gd_call_reply(struct call *call, json_t *result, const struct gd_err *err)
{
    struct gd_err changed;

    if (result && !err && !rules_hold(call)) {
        gd_err_set(&changed, GD_R_DENIED, "the rules were changed meanwhile: none allows uid %u this call",
                   (unsigned)call->caller.uid);
        err = &changed;
    }
    if (result && !err) {
        call->result = json_incref(result);
        call->failed = false;
    } else {
        call->failed = true;
        if (err)
            call->err = *err;
        else
            gd_err_set(&call->err, GD_R_INTERNAL, "the method ended without an answer");
    }
    if (!call->method->schema->mutates) {
        finish(call);
        return;
    }
    if (!call->failed)
        learn_subject(call);
    record(call, "done", call->failed ? gd_reason_word(call->err.reason) : "ok", on_done_recorded);
}

static void on_reply(void *arg, json_t *result, const struct gd_err *err)
{
    gd_call_reply(arg, result, err);
}

static void fill_actor(struct call *call, struct gd_actor *who)
{
    (void)snprintf(call->actor_name, sizeof call->actor_name, "uid %u", (unsigned)call->caller.uid);
    *who = (struct gd_actor){ .uid = call->caller.uid,
                              .gid = call->caller.gid,
                              .pid = call->caller.pid,
                              .name = call->actor_name,
                              .number = call->caller.number };
}

static void act(struct call *call)
{
    struct gd_actor who;

    fill_actor(call, &who);
    if (call->method->own)
        call->method->own(call);
    else
        call->method->act(call->rpc->broker, &who, call->params, on_reply, call);
}

static void on_request_recorded(void *arg, const struct gd_err *err)
{
    struct call *call = arg;

    if (err)
        fail(call, GD_R_AUDIT_UNAVAILABLE, "the audit log cannot be written, so nothing was done");
    else
        act(call);
}

static void start(struct call *call)
{
    if (!call->method->schema->mutates)
        act(call);
    else if (!gd_audit_usable(call->rpc->audit))
        fail(call, GD_R_AUDIT_UNAVAILABLE, "the audit log cannot be written, so nothing was done");
    else
        record(call, "request", NULL, on_request_recorded);
}

/* ---- whose thing it is ------------------------------------------------------------------------------------
 */

static void deny(struct call *call)
{
    gd_err_set(&call->err, GD_R_DENIED, "no rule allows uid %u to call %s here", (unsigned)call->caller.uid,
               call->method->schema->method);
    call->failed = true;
    record_denial(call);
    finish(call);
}

/* The same words whether it does not exist, is another workspace's, or is not for this caller. */
static void not_visible(struct call *call, const char *what)
{
    gd_err_set(&call->err, GD_R_NOT_FOUND, "no %s of that id is visible to you", what);
    call->failed = true;
    finish(call);
}

static void by_client(struct call *call, const char *client)
{
    (void)snprintf(call->client, sizeof call->client, "%s", client);
    if (gd_call_sees(call, client))
        start(call);
    else
        not_visible(call, "client");
}

/* A grant that the index does not know (or has in another workspace) is the broker's to answer, for those who
 * may see whatever client it had; the others hear what they hear of every grant that is not theirs. */
static void find_owner(struct call *call);

static void on_caught_up(void *arg)
{
    find_owner(arg);
}

static void by_grant(struct call *call, const char *text)
{
    const char *workspace = NULL, *client = NULL;
    const char *platform = NULL;
    struct gd_id id;

    if (gd_id_parse(&id, "gr", text, strlen(text))) {
        client = gd_grant_client(call->rpc->broker, &id, &workspace);
        platform = gd_grant_platform(call->rpc->broker, &id);
    }
    if ((!client || !*client) && gd_broker_shared(call->rpc->broker) && !call->caught_up) {
        call->caught_up = true;
        gd_broker_catch_up(call->rpc->broker, on_caught_up, call);
        return;
    }
    if (!client || !workspace || strcmp(workspace, call->workspace) != 0)
        client = "";
    if (!sees_on(call, client, platform)) {
        not_visible(call, "grant");
        return;
    }
    (void)snprintf(call->client, sizeof call->client, "%s", client);
    start(call);
}

static void on_request_read(void *arg, json_t *result, const struct gd_err *err)
{
    struct call *call = arg;
    const char *client = gd_json_text(json_object_get(result, "request"), "client", "");

    if (err && err->reason != GD_R_NOT_FOUND) {
        call->err = *err;
        call->failed = true;
        finish(call);
    } else if (err || !gd_call_sees(call, client)) {
        not_visible(call, "request");
    } else if (!strcmp(call->method->schema->method, "request.get")) {
        gd_call_reply(call, result, NULL); /* this was the read */
    } else {
        (void)snprintf(call->client, sizeof call->client, "%s", client);
        start(call);
    }
}

static void by_request(struct call *call, const char *id)
{
    GD_AUTO_JSON params = json_pack("{s:s,s:s}", "request", id, "workspace", call->workspace);
    struct gd_actor who;

    fill_actor(call, &who);
    gd_request_get(call->rpc->broker, &who, params, on_request_read, call);
}

/* After the check of the parameters: asks the policy about the workspace and the client that are meant. */
static void find_owner(struct call *call)
{
    const json_t *scope = call->method->schema->scope;
    const char *param = gd_json_text(scope, "param", NULL);
    const char *narrowed = param ? gd_json_text(call->params, param, NULL) : NULL;

    if (json_object_get(scope, "grant") && (!param || gd_json_text(call->params, "grant", NULL)))
        by_grant(call, gd_json_text(call->params, "grant", ""));
    else if (json_object_get(scope, "grant") && !narrowed && !gd_call_sees(call, ""))
        deny(call); /* all of them: for whoever may see every client */
    else if (json_object_get(scope, "request"))
        by_request(call, gd_json_text(call->params, "request", ""));
    else if (narrowed)
        by_client(call, narrowed);
    else if (json_object_get(scope, "client") && !json_object_get(scope, "filter"))
        by_client(call, gd_json_text(call->params, gd_json_text(scope, "client", ""), ""));
    else if (json_object_get(scope, "new") && !gd_call_sees(call, ""))
        deny(call);
    else if (call->workspace && !scope && !gd_call_sees(call, NULL))
        deny(call);
    else if (json_object_get(scope, "all") &&
             !gd_policy_allows(call->rpc->policy, &call->caller, call->method->schema->method, "", ""))
        deny(call);
    else
        start(call);
}

/* ---- reading a request ------------------------------------------------------------------------------------
 */

static bool may_while_draining(const struct method *m)
{
    static const char *const names[] = { "daemon.status", "daemon.help", "daemon.drain" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(m->schema->method, names[i]))
            return true;
    return false;
}

static void note_subject(struct call *call)
{
    static const char *const keys[] = { "grant", "request", "client", "app", "hub" };

    for (size_t i = 0; i < sizeof keys / sizeof *keys && !call->subject[0]; i++)
        (void)snprintf(call->subject, sizeof call->subject, "%s", gd_json_text(call->params, keys[i], ""));
}

static void run(struct call *call)
{
    struct gd_rpc *r = call->rpc;
    const struct gd_schema *s = call->method->schema;
    bool open_to_all = json_object_get(s->scope, "free") != NULL;

    call->method->calls++;
    if (!open_to_all && !gd_policy_allows(r->policy, &call->caller, s->method, NULL, NULL)) {
        deny(call);
        return;
    }
    if (r->draining && !may_while_draining(call->method)) {
        fail(call, GD_R_SHUTTING_DOWN, "the daemon is draining; try again when it has restarted");
        return;
    }
    if (gd_schema_check_params(s, call->params, &call->err) < 0) {
        call->failed = true;
        finish(call);
        return;
    }
    call->workspace = gd_json_text(call->params, "workspace", NULL);
    note_subject(call);
    if (open_to_all)
        start(call);
    else
        find_owner(call);
}

static struct call *call_new(struct frame *f, struct method *m, char *id, json_t *params)
{
    struct gd_rpc *r = f->conn->rpc;
    struct call *call = gd_new(sizeof *call);

    call->rpc = r;
    call->frame = f;
    call->method = m;
    call->caller = f->conn->caller;
    call->id = id;
    call->params = params;
    call->started = gd_mono(r->clock);
    call->rules = r->rules;
    call->likely = m->likely;
    f->pending++;
    f->conn->running++;
    f->conn->likely += call->likely;
    gd_list_add(&r->calls, &call->link);
    r->ncalls++;
    return call;
}

static bool id_is_fine(const json_t *id)
{
    return !id || json_is_null(id) || json_is_integer(id) ||
           (json_is_string(id) && json_string_length(id) <= ID_TEXT_MAX);
}

static int method_unknown(struct gd_rpc *r, const char *name, struct gd_err *err)
{
    const char *list[128] = { NULL }, *near;

    for (size_t i = 0; i < gd_schemas_count(r->schemas) && i < 127; i++)
        list[i] = r->methods[i].schema->method;
    near = gd_schema_nearest(name, list);
    if (near)
        return gd_err_set(err, GD_R_METHOD_UNKNOWN, "there is no such method; did you mean %s?", near);
    return gd_err_set(err, GD_R_METHOD_UNKNOWN, "there is no such method; daemon.help lists them");
}

/* The method that the message calls, or NULL with err. */
static struct method *read_message(struct gd_rpc *r, const json_t *msg, struct gd_err *err)
{
    const char *method = gd_json_text(msg, "method", NULL);
    json_t *params = json_object_get(msg, "params");
    struct method *m;

    if (!json_is_object(msg) || strcmp(gd_json_text(msg, "jsonrpc", ""), "2.0") != 0 || !method) {
        gd_err_set(err, GD_R_CALL_INVALID,
                   "a request is an object with jsonrpc \"2.0\", id, method and params");
        return NULL;
    }
    if (!id_is_fine(json_object_get(msg, "id"))) {
        gd_err_set(err, GD_R_CALL_INVALID, "an id is a text of at most %d bytes, a whole number or null",
                   ID_TEXT_MAX);
        return NULL;
    }
    if (params && !json_is_object(params)) {
        gd_err_set(err, GD_R_PARAM_INVALID, "params must be an object: parameters go by name");
        return NULL;
    }
    m = gd_method_find(r, method);
    if (!m)
        method_unknown(r, method, err);
    return m;
}

static void open_message(struct frame *f, json_t *msg)
{
    json_t *params = json_object_get(msg, "params"), *id = json_object_get(msg, "id");
    char *id_text = id && id_is_fine(id) ? gd_json_dump(id) : NULL;
    struct gd_err err;
    struct method *m = read_message(f->conn->rpc, msg, &err);

    if (m) {
        run(call_new(f, m, id_text, params ? json_incref(params) : json_object()));
        return;
    }
    if (id || err.reason == GD_R_CALL_INVALID)
        gd_frame_answer(f, id_text, NULL, &err);
    gd_free(id_text);
}

static void open_batch(struct frame *f, json_t *list)
{
    struct gd_err err;
    json_t *msg;
    size_t i;

    if (json_array_size(list) == 0 || json_array_size(list) > GD_RPC_BATCH_MAX) {
        f->batch = false;
        gd_err_set(&err, GD_R_BATCH_TOO_LARGE, "a batch holds 1 to %d requests", GD_RPC_BATCH_MAX);
        gd_frame_answer(f, NULL, NULL, &err);
        return;
    }
    json_array_foreach(list, i, msg) if (f->conn) open_message(f, msg);
}

void gd_frame_open(struct conn *c, const char *p, size_t n)
{
    struct gd_err err;
    GD_AUTO_JSON doc = gd_json_parse(p, n, GD_RPC_FRAME_MAX, &err);
    struct frame *f;

    if (!doc) {
        gd_frame_error(c, &err);
        return;
    }
    f = gd_frame_new(c, json_is_array(doc));
    if (f->batch)
        open_batch(f, doc);
    else
        open_message(f, doc);
    gd_frame_unref(f);
}

void gd_call_vend(struct conn *c, const struct gd_fast *req)
{
    struct frame *f = gd_frame_new(c, false);
    json_t *params = json_pack("{s:s}", "grant", req->grant_text);

    if (req->workspace[0])
        json_object_set_new(params, "workspace", json_string(req->workspace));
    run(call_new(f, gd_method_find(c->rpc, "grant.token"), gd_strndup(req->id, req->id_len), params));
    gd_frame_unref(f);
}

/* A handler that lost its call would leave the peer waiting for ever. */
void gd_call_sweep(struct gd_rpc *r)
{
    int64_t now = gd_mono(r->clock);

    for (struct gd_list *l = r->calls.next, *next; l != &r->calls; l = next) {
        struct call *call = gd_container_of(l, struct call, link);

        next = l->next;
        if (now - call->started < GD_RPC_CALL_MS_MAX)
            break;
        if (call->abandoned || gd_json_bool(call->method->schema->doc, "long", false))
            continue;
        GD_LOG(r->log, GD_LOG_ERROR, "rpc.lost_call", GD_F_STR("method", call->method->schema->method));
        call->abandoned = true;
        call->failed = true;
        gd_err_set(&call->err, GD_R_INTERNAL, "the method did not answer; its end is not known");
        answer(call);
    }
}
