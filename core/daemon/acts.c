/* daemon/acts.c - what rpc asks of the daemon itself: status, check, reload, drain. */
#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"
#include "policy/policy.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static json_t *time_json(int64_t unix_ms)
{
    char text[32];

    gd_time_text(text, unix_ms);
    return json_string(text);
}

static json_int_t resident_bytes(void)
{
    struct rusage u;

    return getrusage(RUSAGE_SELF, &u) == 0 ? (json_int_t)u.ru_maxrss * 1024 : 0;
}

static json_t *status(void *arg)
{
    struct gd_daemon *d = arg;
    json_t *j = json_pack("{s:s, s:i, s:o, s:s, s:b, s:s, s:s?, s:I}", "version", GRANTD_VERSION, "pid",
                          (int)getpid(), "started_at", time_json(d->started_at), "node", d->node, "draining",
                          (int)d->stopping, "state_dir", d->config->state_dir, "public_url",
                          d->config->public_url, "peak_bytes", resident_bytes());

    json_object_set_new(j, "platforms",
                        json_pack("{s:I, s:I}", "loaded", (json_int_t)d->platforms.count, "refused",
                                  (json_int_t)d->platforms.nrefused));
    json_object_set_new(j, "broker", gd_broker_status(d->broker));
    json_object_set_new(j, "scheduler", gd_sched_status(d->sched));
    json_object_set_new(j, "store", gd_store_status(d->store));
    json_object_set_new(j, "nodes", gd_nodes_status(d->nodes));
    json_object_set_new(j, "audit", gd_audit_status(d->audit));
    json_object_set_new(j, "http", gd_http_threaded_status(d->http));
    if (d->portal)
        json_object_set_new(j, "portal", gd_portal_status(d->portal));
    return j;
}

struct answer { /* of a call that needs no further turn but must not answer inside */
    gd_reply_fn *reply;
    void *arg;
    json_t *result; /* NULL: err */
    struct gd_err err;
    uv_timer_t turn;
};

static void answer_closed(uv_handle_t *h)
{
    gd_free(h->data);
}

static void answer_now(uv_timer_t *t)
{
    struct answer *a = t->data;

    a->reply(a->arg, a->result, a->result ? NULL : &a->err);
    json_decref(a->result);
    uv_close((uv_handle_t *)t, answer_closed);
}

/* Takes the result; err is copied when it is NULL. */
static void answer(struct gd_daemon *d, json_t *result, const struct gd_err *err, gd_reply_fn *reply,
                   void *arg)
{
    struct answer *a = gd_new(sizeof *a);

    if (err)
        a->err = *err;

    a->reply = reply;
    a->arg = arg;
    a->result = result;
    uv_timer_init(&d->loop, &a->turn);
    a->turn.data = a;
    uv_timer_start(&a->turn, answer_now, 0, 0);
}

/* A fresh look at a file, platforms included; nothing that runs is touched. */
static struct gd_config *read_file(struct gd_daemon *d, const char *file, json_t **ret_errors)
{
    struct gd_platforms *ps = gd_new(sizeof *ps);
    struct gd_config_errors *errors = gd_new(sizeof *errors);
    struct gd_config *c = NULL;

    if (gd_daemon_load_config(d, file, ps, &c, errors))
        c = NULL;
    *ret_errors = gd_config_errors_json(errors);
    gd_platforms_free(ps);
    gd_free(ps);
    gd_free(errors);
    return c;
}

static void check(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    struct gd_daemon *d = arg;
    const char *file = gd_json_text(params, "file", NULL);
    json_t *errors, *result;
    struct gd_config *c;
    struct gd_err err;

    if (file && *file != '/') {
        gd_err_set(&err, GD_R_PARAM_INVALID, "name the file by its absolute path: the daemon looks there");
        answer(d, NULL, &err, reply, reply_arg);
        return;
    }
    c = read_file(d, file ? file : d->o.config, &errors);
    result = json_pack("{s:b, s:o}", "ok", (int)(c != NULL), "errors", errors);
    if (c)
        json_object_set_new(result, "config", gd_config_json(c));
    gd_config_free(c);
    answer(d, result, NULL, reply, reply_arg);
}

static bool apps_differ(const struct gd_config *a, const struct gd_config *b)
{
    for (size_t i = 0; i < a->napps && i < b->napps; i++)
        if (!json_equal(a->apps[i].options, b->apps[i].options) ||
            !json_equal(a->apps[i].inputs, b->apps[i].inputs))
            return true;
    return false;
}

static bool hubs_differ(const struct gd_config *a, const struct gd_config *b)
{
    for (size_t i = 0; i < a->nhubs && i < b->nhubs; i++)
        if (!json_equal(a->hubs[i].options, b->hubs[i].options))
            return true;
    return false;
}

/* Of secrets only the place is shown, and that may be the same while they are not. */
static bool differs_unseen(const char *key, const struct gd_config *was, const struct gd_config *is)
{
    if (!strcmp(key, "apps"))
        return apps_differ(was, is);
    if (!strcmp(key, "hubs"))
        return hubs_differ(was, is);
    if (!strcmp(key, "mail"))
        return was->mail_password && is->mail_password &&
               !gd_same_text(was->mail_password, is->mail_password);
    return !strcmp(key, "tls") && !was->tls_cert != !is->tls_cert; /* another certificate is taken at once */
}

/* What was changed in the file but is only read at start. */
static json_t *restart_needed(const struct gd_config *was, const struct gd_config *is)
{
    json_t *list = json_array();
    GD_AUTO_JSON a = gd_config_json(was);
    GD_AUTO_JSON b = gd_config_json(is);
    static const char *const live[] = { "policy", "log", "tls", "key", "file" };
    const char *key;
    json_t *v;

    json_object_foreach(b, key, v)
    {
        bool applies = false;

        for (size_t i = 0; i < sizeof live / sizeof *live; i++)
            applies = applies || !strcmp(key, live[i]);
        if ((!applies && !json_equal(v, json_object_get(a, key))) || differs_unseen(key, was, is))
            json_array_append_new(list, json_string(key));
    }
    return list;
}

static int apply(struct gd_daemon *d, struct gd_config *c, struct gd_err *err)
{
    struct gd_policy *p = gd_daemon_policy(c, err), *old = d->policy;

    if (!p)
        return -1;
    if (d->portal && d->config->tls_cert && c->tls_cert &&
        gd_portal_reload_tls(d->portal, c->tls_cert, c->tls_key, err)) {
        gd_policy_free(p);
        return -1;
    }
    gd_log_set_level(d->log, c->log_level);
    gd_rpc_set_policy(d->rpc, p);
    d->policy = p;
    gd_policy_free(old);
    return 0;
}

/* All or nothing: the first mistake with its place, and how many more there are. */
static void describe(const json_t *errors, struct gd_err *err)
{
    const json_t *first = json_array_get(errors, 0);
    size_t more = json_array_size(errors);

    if (!first)
        return;
    gd_err_set(err, gd_reason_find(gd_json_text(first, "reason", "INTERNAL")), "%s%s",
               gd_json_text(first, "text", ""),
               more > 1 ? " (there is more; `grantctl daemon check` says all)" : "");
}

/* One that is under way. The KEKs are read on a worker: a passphrase takes its time. */
struct reloading {
    uv_work_t req;
    struct gd_daemon *d;
    struct gd_config *c;
    struct gd_keks keks;
    json_t *result;
    struct gd_err err;
    bool failed;
    uint64_t n; /* which reading of the file this is, from 1 */
    gd_reply_fn *reply;
    void *arg;
};

static void reload_end(struct reloading *x)
{
    struct gd_daemon *d = x->d;

    if (x->failed)
        GD_LOG(d->log, GD_LOG_ERROR, "config.reload", GD_F_ERR(&x->err));
    else
        GD_LOG(d->log, GD_LOG_INFO, "config.reload");
    answer(d, x->failed ? NULL : json_incref(x->result), &x->err, x->reply, x->arg);
    json_decref(x->result);
    gd_config_free(x->c);
    gd_keks_done(&x->keks);
    gd_free(x);
    gd_daemon_job_end(d);
}

static void on_named(void *arg, const struct gd_err *err)
{
    struct reloading *x = arg;

    if (err) {
        x->failed = true;
        x->err = *err;
    }
    reload_end(x);
}

/* [worker] */
static void read_keks(uv_work_t *req)
{
    struct reloading *x = gd_container_of(req, struct reloading, req);

    x->failed = gd_keks_read(x->d, x->c, false, &x->keks, &x->err) < 0;
}

static void after_read(uv_work_t *req, int status)
{
    struct reloading *x = gd_container_of(req, struct reloading, req);
    struct gd_daemon *d = x->d;

    if (status < 0 || d->stopping)
        x->failed = gd_err_set(&x->err, GD_R_SHUTTING_DOWN,
                               "the daemon stops; it reads the file when it starts again") < 0;
    if (!x->failed && x->n > d->applied)
        x->failed = gd_keks_add(d, &x->keks, d->kek, &x->err) < 0 || apply(d, x->c, &x->err) < 0;
    if (x->failed) {
        reload_end(x);
        return;
    }
    if (x->n > d->applied) /* else a file that was read later is in force already */
        d->applied = x->n;
    /* What is read only at start waits for the next one. */
    x->result =
        json_pack("{s:b, s:[], s:o}", "ok", 1, "errors", "restart_needed", restart_needed(d->config, x->c));
    gd_broker_name_kek(d->broker, d->kek, on_named, x);
}

static void reload_now(struct gd_daemon *d, gd_reply_fn *reply, void *reply_arg)
{
    struct reloading *x = gd_new(sizeof *x);
    GD_AUTO_JSON errors = NULL;

    *x = (struct reloading){ .d = d, .n = ++d->readings, .reply = reply, .arg = reply_arg };
    d->jobs++;
    if (d->stopping) /* what would take it is being closed */
        gd_err_set(&x->err, GD_R_SHUTTING_DOWN,
                   "the daemon is draining; it reads the file when it starts again");
    else
        x->c = read_file(d, d->o.config, &errors);
    if (x->c) {
        uv_queue_work(&d->loop, &x->req, read_keks, after_read);
        return;
    }
    describe(errors, &x->err);
    x->failed = true;
    reload_end(x);
}

static void reload(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    (void)params;
    reload_now(arg, reply, reply_arg);
}

/* Who sends a signal is not known; that the rules were read anew is on record all the same. */
static void record_hangup(struct gd_daemon *d, const char *phase, const char *outcome, gd_audit_fn *done)
{
    struct gd_audit_entry e = {
        .act = "daemon.reload", .phase = phase, .outcome = outcome, .uid = -1, .gid = -1, .pid = -1
    };

    gd_audit_write(d->audit, &e, done, d);
}

static void on_hangup_done(void *arg, json_t *result, const struct gd_err *err)
{
    struct gd_daemon *d = arg;

    if (!d->stopping)
        record_hangup(d, "done", result ? "ok" : gd_reason_word(err->reason), NULL);
}

static void on_hangup_recorded(void *arg, const struct gd_err *unrecorded)
{
    struct gd_daemon *d = arg;

    if (unrecorded)
        GD_LOG(d->log, GD_LOG_ERROR, "config.reload", GD_F_ERR(unrecorded));
    else
        reload_now(d, on_hangup_done, d);
}

void gd_daemon_hangup(struct gd_daemon *d)
{
    if (!d->stopping)
        record_hangup(d, "request", NULL, on_hangup_recorded);
}

static void drain(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    struct gd_daemon *d = arg;
    GD_AUTO_JSON s = gd_broker_status(d->broker);

    (void)params;
    answer(d, json_pack("{s:I}", "in_flight", (json_int_t)gd_json_i64(s, "in_flight", 0)), NULL, reply,
           reply_arg);
    gd_daemon_stop(d); /* the answer leaves on the loop's next turn, before the socket is closed */
}

const struct gd_rpc_daemon gd_daemon_acts_template = {
    .status = status,
    .check = check,
    .reload = reload,
    .drain = drain,
    .clock = gd_daemon_travel,
    .storage = gd_daemon_storage,
};
