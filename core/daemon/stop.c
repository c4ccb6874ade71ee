/* daemon/stop.c - the way down: nothing new, what is in flight ends (an exchange is never aborted), then the
 * rooms are closed from the top. Each step calls the next. */
#include "base/fault.h"
#include "crypto/keyring.h"
#include "daemon/daemon.h"

#include <signal.h>

static void on_drained(void *arg);
static void on_portal_closed(void *arg);
static void on_rpc_closed(void *arg);
static void on_sched_closed(void *arg);
static void on_http_closed(void *arg);
static void on_mail_closed(void *arg);
static void on_storage_stopped(void *arg);
static void on_left(void *arg);
static void on_store_closed(void *arg);
static void on_keys_closed(void *arg);
static void on_audit_closed(void *arg);

static void go_down(struct gd_daemon *d)
{
    if (d->stopping)
        return;
    d->stopping = true;
    GD_LOG(d->log, GD_LOG_INFO, "draining");
    /* Of a service that says it stops, the manager ends what is still there after a while: also what has long
     * started anew. */
    gd_notify(d->again ? "STATUS=starting again" : "STOPPING=1");
    gd_store_hurry(d->keys); /* what is to be written waits behind the look at a large file */
    gd_store_hurry(d->store);
    gd_daemon_storage_stop(d, NULL, NULL);
    gd_nodes_drain(d->nodes);
    gd_rpc_drain(d->rpc);
    gd_broker_drain(d->broker, on_drained, d);
    (void)GD_FAULT("F24"); /* first passage: answers may be on their way */
}

void gd_daemon_stop(struct gd_daemon *d)
{
    d->again = false; /* also when it was about to start itself anew */
    go_down(d);
}

void gd_daemon_restart(struct gd_daemon *d, const char *why)
{
    if (d->stopping) /* it was told to end */
        return;
    GD_LOG(d->log, GD_LOG_ERROR, "restarting", GD_F_STR("text", why));
    d->again = true;
    go_down(d);
}

static void on_drained(void *arg)
{
    struct gd_daemon *d = arg;

    (void)GD_FAULT("F24"); /* second: all that came is stored */
    if (d->portal)
        gd_portal_close(d->portal, on_portal_closed, d);
    else
        on_portal_closed(d);
}

static void on_portal_closed(void *arg)
{
    struct gd_daemon *d = arg;

    gd_rpc_close(d->rpc, on_rpc_closed, d);
}

static void on_rpc_closed(void *arg)
{
    struct gd_daemon *d = arg;

    gd_sched_close(d->sched, on_sched_closed, d);
}

static void on_sched_closed(void *arg)
{
    struct gd_daemon *d = arg;

    gd_http_threaded_close(d->http, on_http_closed, d);
}

static void on_http_closed(void *arg)
{
    struct gd_daemon *d = arg;

    gd_mailer_close(d->mail, on_mail_closed, d);
}

static void on_mail_closed(void *arg)
{
    gd_daemon_storage_stop(arg, on_storage_stopped, arg);
}

static void on_storage_stopped(void *arg)
{
    struct gd_daemon *d = arg;

    gd_nodes_close(d->nodes, on_left, d);
}

static void on_left(void *arg)
{
    struct gd_daemon *d = arg;

    gd_store_close(d->store, on_store_closed, d);
}

static void on_store_closed(void *arg)
{
    struct gd_daemon *d = arg;

    gd_store_close(d->keys, on_keys_closed, d);
}

static void on_keys_closed(void *arg)
{
    struct gd_daemon *d = arg;

    gd_audit_close(d->audit, on_audit_closed, d);
}

static void on_audit_closed(void *arg)
{
    struct gd_daemon *d = arg;

    gd_broker_free(d->broker);
    gd_events_free(d->events);
    gd_policy_free(d->policy);
    gd_keyring_free(d->keyring);
    uv_close((uv_handle_t *)&d->sigterm, NULL);
    uv_close((uv_handle_t *)&d->sigint, NULL);
    uv_close((uv_handle_t *)&d->sighup, NULL);
    (void)signal(SIGHUP, SIG_IGN); /* without a handler it would end what is ending well */
    uv_close((uv_handle_t *)&d->heartbeat, NULL);
    uv_close((uv_handle_t *)&d->minute, NULL);
    uv_close((uv_handle_t *)&d->sweep, NULL);
}
