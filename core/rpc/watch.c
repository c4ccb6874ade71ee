/* rpc/watch.c - subscriptions: events are pulled from the outbox by cursor and pushed as notifications, no
 * faster than the peer reads. A watch ends with its connection; a listing that is still under way frees it
 * later. */
#include "rpc/rpc_int.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define PAGE       100
#define UNREAD_MAX (256 * 1024)

struct watch {
    struct gd_rpc *rpc;
    struct conn *conn; /* NULL: ended */
    struct gd_event_watch *wake;
    struct method *method;
    char *workspace, cursor[GD_ID_TEXT_MAX];
    json_t *types;
    bool busy;  /* a listing is under way */
    bool again; /* something happened meanwhile, or the peer did not read */
};

/* The client that an event is about; NULL when it is about none, "" when it cannot be known. */
const char *gd_event_client(struct gd_rpc *r, const json_t *event)
{
    const char *subject = gd_json_text(event, "subject", NULL), *workspace;
    const char *client = gd_json_text(json_object_get(event, "data"), "client", NULL);
    struct gd_id id;

    if (client)
        return client;
    if (!subject)
        return NULL;
    if (!strncmp(subject, "cl", 2))
        return subject;
    if (gd_id_parse(&id, "gr", subject, strlen(subject)))
        return gd_grant_client(r->broker, &id, &workspace);
    return "";
}

static void watch_free(struct watch *w)
{
    gd_free(w->workspace);
    json_decref(w->types);
    gd_free(w);
}

static bool may_see(const struct watch *w, const json_t *event)
{
    return gd_policy_allows(w->rpc->policy, &w->conn->caller, w->method->schema->method, w->workspace,
                            gd_event_client(w->rpc, event));
}

static void push(struct watch *w, json_t *event)
{
    struct gd_buf b;
    char *text;

    if (!gd_event_type_asked(w->types, gd_json_text(event, "type", "")) || !may_see(w, event))
        return;
    text = gd_json_dump(event);
    gd_buf_init(&b, GD_RPC_UNSENT_MAX);
    gd_buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":%s}\n", text ? text : "{}");
    gd_conn_send(w->conn, b.ptr, b.len);
    gd_buf_done(&b);
    gd_free(text);
}

static void pull(struct watch *w);

static void on_events(void *arg, json_t *events, const struct gd_err *err)
{
    GD_AUTO_JSON all = events;
    struct watch *w = arg;
    json_t *one;
    size_t i;

    w->busy = false;
    json_array_foreach(all, i, one)
    {
        if (!w->conn)
            break;
        push(w, one);
        (void)snprintf(w->cursor, sizeof w->cursor, "%s", gd_json_text(one, "id", w->cursor));
    }
    if (!w->conn) {
        watch_free(w);
        return;
    }
    if (err) { /* it would wait in vain: it may subscribe again and is told why */
        GD_LOG(w->rpc->log, GD_LOG_WARN, "rpc.events_unreadable", GD_F_ERR(err));
        gd_conn_last_word(w->conn);
    } else if (w->again || json_array_size(all) == PAGE)
        pull(w);
}

static void pull(struct watch *w)
{
    w->again = w->busy || w->conn->out.len + w->conn->sending.len > UNREAD_MAX;
    if (w->again)
        return;
    w->busy = true;
    gd_events_list(w->rpc->events, w->workspace, w->cursor, PAGE, on_events, w);
}

static void on_wake(void *arg)
{
    pull(arg);
}

void gd_watch_settle(struct conn *c)
{
    if (c->watch && c->watch->again)
        pull(c->watch);
}

static int refuse(const struct conn *c, struct gd_err *err)
{
    if (!c)
        return gd_err_set(err, GD_R_SHUTTING_DOWN, "the connection is gone");
    if (c->mode == CONN_HTTP)
        return gd_err_set(err, GD_R_SUBSCRIBE_NEEDS_LINES,
                          "events are pushed on a connection without HTTP only");
    if (c->watch)
        return gd_err_set(err, GD_R_SUBSCRIBED_ALREADY, "this connection is subscribed already");
    return 0;
}

static void start(struct call *call, const char *cursor)
{
    struct conn *c = call->frame ? call->frame->conn : NULL;
    struct gd_rpc *r = call->rpc;
    GD_AUTO_JSON out = NULL;
    struct watch *w;
    struct gd_err err;

    if (refuse(c, &err) < 0) {
        gd_call_reply(call, NULL, &err);
        return;
    }
    w = gd_new(sizeof *w);
    w->rpc = r;
    w->conn = c;
    w->method = call->method;
    w->workspace = gd_strdup(call->workspace);
    w->types = json_incref(json_object_get(call->params, "types"));
    (void)snprintf(w->cursor, sizeof w->cursor, "%s", cursor);
    out = json_pack("{s:s}", "cursor", w->cursor);
    gd_call_reply(call, out, NULL);
    if (c->closing) {
        watch_free(w);
        return;
    }
    c->watch = w;
    w->wake = gd_events_watch(r->events, on_wake, w);
    pull(w);
}

/* The events behind the cursor are there. */
static void on_cursor(void *arg, json_t *events, const struct gd_err *err)
{
    json_decref(events);
    if (err)
        gd_call_reply(arg, NULL, err);
    else
        start(arg, gd_json_text(((struct call *)arg)->params, "cursor", ""));
}

static void on_now(void *arg, const char *cursor, const struct gd_err *err)
{
    if (err)
        gd_call_reply(arg, NULL, err);
    else
        start(arg, cursor);
}

void gd_watch_start(struct call *call)
{
    const char *cursor = gd_json_text(call->params, "cursor", NULL);

    if (cursor)
        gd_events_list(call->rpc->events, call->workspace, cursor, 1, on_cursor, call);
    else
        gd_events_now(call->rpc->events, call->workspace, on_now, call);
}

void gd_watch_stop(struct conn *c)
{
    struct watch *w = c->watch;

    if (!w)
        return;
    c->watch = NULL;
    gd_events_unwatch(w->rpc->events, &w->wake);
    w->conn = NULL;
    if (!w->busy)
        watch_free(w);
}
