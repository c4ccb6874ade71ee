/* grant/notice.c - a platform calls us: an app was uninstalled, a consent withdrawn, data is to be deleted.
 * The plugin says by the signature whether it is genuine; what it says is recorded and told, and is never
 * believed further than that: the grants that it is about are looked at at once. */
#include "base/fault.h"
#include "grant/broker_int.h"
#include "grant/flow.h"

#include <string.h>

#define DEADLINE_MS 5000

GD_SQL(sql_look, "UPDATE grants SET look_at = $1 WHERE workspace = $2 AND app = $3"
                 " AND lifecycle IN ('confirming', 'live') AND (asset_id = $4 OR asset_parent = $4"
                 " OR credential_id IN (SELECT id FROM credentials WHERE workspace = $2 AND app = $3"
                 " AND account_id = $4))");

struct notice {
    struct gd_app_state *app;
    char *account, *reply;
    json_t *data;
};

static void on_heard(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_recorded(void *arg, const struct gd_err *err);
static void on_kept(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* "{workspace}.{app}", as in callbacks. */
static struct gd_app_state *app_of(struct gd_broker *b, const char *context)
{
    const char *dot = strchr(context, '.');
    struct gd_app_state *a = dot ? gd_app_find(b, dot + 1) : NULL;
    size_t n = dot ? (size_t)(dot - context) : 0;

    return a && strlen(a->app.workspace) == n && !strncmp(a->app.workspace, context, n) ? a : NULL;
}

void gd_notice(struct gd_broker *b, const char *context, const struct gd_http_answer *call, json_t *query,
               const struct gd_visitor *v, gd_reply_fn *reply, void *arg)
{
    struct gd_actor who = { -1, -1, -1, v->address, 0 };
    struct gd_call *c = gd_call_new(b, &who, NULL, reply, arg);
    struct notice *n = gd_arena_alloc(c->arena, sizeof *n);
    struct gd_op_start s = {
        .kind = GD_OP_NOTICE, .deadline_ms = DEADLINE_MS, .interactive = true, .on_end = on_heard, .arg = c
    };

    c->state = n;
    n->app = app_of(b, context);
    if (!n->app || !n->app->app.platform->p.notice) {
        gd_call_fail(c, GD_R_NOT_FOUND, "nothing is heard at this address");
        return;
    }
    s.platform = n->app->app.platform;
    s.app = n->app->app.id;
    gd_given_app(b, n->app, &s.given);
    s.given.notice = call;
    s.given.query = query;
    gd_op_start(&b->env, &s);
}

static void on_heard(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_call *c = arg;
    struct notice *n = c->state;
    struct gd_audit_entry e = { .act = "portal.notice",
                                .phase = "done",
                                .workspace = n->app->app.workspace,
                                .subject = n->app->app.id,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1 };

    (void)op;
    if (r->end != GD_OP_DONE) {
        GD_LOG(c->b->d.log, GD_LOG_WARN, "notice.refused", GD_F_STR("app", n->app->app.id),
               GD_F_STR("address", c->who.name), GD_F_STR("text", r->err.text));
        gd_call_fail(c, GD_R_NOTICE_REFUSED, "%s", r->err.text);
        return;
    }
    n->account = gd_arena_strdup(c->arena, r->res.account_id);
    n->reply = gd_arena_strdup(c->arena, r->res.reply);
    n->data =
        json_pack("{s:s, s:s?, s:O}", "app", n->app->app.id, "account", n->account, "observed", r->observed);
    e.data = n->data;
    gd_audit_write(c->b->d.audit, &e, on_recorded, c);
}

static void on_recorded(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct notice *n = c->state;
    const char *ws = n->app->app.workspace;
    struct gd_tx *tx;

    if (err) { /* the platform tries again */
        json_decref(n->data);
        gd_call_error(c, err);
        return;
    }
    (void)GD_FAULT("notice.heard");
    tx = gd_tx_new(c->b->d.store);
    if (n->account)
        gd_tx_add(tx, &sql_look, GD_P_INT(gd_now(c->b->d.clock)), GD_P_TEXT(ws), GD_P_TEXT(n->app->app.id),
                  GD_P_TEXT(n->account));
    gd_event_add(c->b->d.events, tx, ws, "platform.notice", n->app->app.id, n->data);
    json_decref(n->data);
    gd_store_commit(c->b->d.store, tx, on_kept, c);
}

static void on_kept(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct notice *n = c->state;

    (void)tx;
    if (gd_call_store_failed(c, r, err))
        return;
    (void)GD_FAULT("notice.kept");
    gd_events_wake(c->b->d.events);
    gd_broker_sweep(c->b);
    gd_call_done(c, json_pack("{s:s?}", "reply", n->reply));
}
