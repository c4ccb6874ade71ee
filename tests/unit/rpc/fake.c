#include "fake.h"
#include "base/mem.h"
#include "base/text.h"
#include "event/event.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct fake fake;

enum what { REPLY, AUDITED, LISTED, WOKEN };
struct waiting {
    struct waiting *next;
    enum what what;
    gd_reply_fn *reply;
    gd_audit_fn *audited;
    void (*listed)(void *, json_t *, const struct gd_err *);
    void (*now)(void *, const char *, const struct gd_err *);
    void *arg;
    json_t *result;
    struct gd_err err;
};
static struct waiting *head, **tail = &head;
static gd_event_wake_fn *wake_fn;
static void *wake_arg;

static struct waiting *push(enum what what, void *arg)
{
    struct waiting *w = gd_new(sizeof *w);

    w->what = what;
    w->arg = arg;
    *tail = w;
    tail = &w->next;
    return w;
}

bool fake_tick(void)
{
    struct waiting *w = head;

    if (!w)
        return false;
    head = w->next;
    if (!head)
        tail = &head;
    if (w->what == REPLY)
        w->reply(w->arg, w->result, w->result ? NULL : &w->err);
    else if (w->what == AUDITED)
        w->audited(w->arg, w->err.reason ? &w->err : NULL);
    else if (w->what == LISTED && w->now)
        w->now(w->arg, "ev00000000000000000000000000", NULL);
    else if (w->what == LISTED)
        w->listed(w->arg, json_incref(w->result), NULL);
    else if (wake_fn)
        wake_fn(wake_arg);
    json_decref(w->result);
    gd_free(w);
    return true;
}

void fake_open(void)
{
    memset(&fake, 0, sizeof fake);
    fake.records = json_array();
    fake.events = json_array();
    (void)snprintf(fake.client, sizeof fake.client, "cl01jdk3m8q4h5v6w7x8y9z0a1b2");
}

void fake_close(void)
{
    while (fake_tick())
        ;
    json_decref(fake.params);
    json_decref(fake.result);
    json_decref(fake.request);
    json_decref(fake.records);
    json_decref(fake.events);
}

/* ---- the broker -------------------------------------------------------------------------------------------
 */

static gd_reply_fn *forgotten;
static void *forgotten_arg;

void fake_release(void)
{
    struct gd_err err;

    gd_err_set(&err, GD_R_CONFLICT, "late");
    forgotten(forgotten_arg, NULL, &err);
}

static void answer_from_file(struct waiting *w, const char *name)
{
    json_t *answer = json_object_get(fake.answers, name);
    const char *reason = gd_json_text(answer, "reason", NULL);

    if (!answer)
        return;
    json_decref(w->result);
    w->result = reason ? NULL : json_incref(answer);
    if (reason)
        gd_err_set(&w->err, gd_reason_find(reason), "%s", gd_json_text(answer, "text", "refused"));
}

static void acted(const char *name, json_t *params, gd_reply_fn *reply, void *arg)
{
    struct waiting *w;

    (void)snprintf(fake.act, sizeof fake.act, "%s", name);
    json_decref(fake.params);
    fake.params = json_deep_copy(params);
    fake.acts++;
    if (fake.forget) {
        forgotten = reply;
        forgotten_arg = arg;
        return;
    }
    w = push(REPLY, arg);
    w->reply = reply;
    w->result = json_incref(fake.result);
    w->err = fake.err;
    answer_from_file(w, name);
}

#define ACT(name)                                                                                  \
    void name(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply, \
              void *arg)                                                                           \
    {                                                                                              \
        (void)b;                                                                                   \
        (void)who;                                                                                 \
        acted(#name, params, reply, arg);                                                          \
    }
ACT(gd_app_list)
ACT(gd_app_get)
ACT(gd_app_check)
ACT(gd_hub_list)
ACT(gd_hub_get)
ACT(gd_hub_check)
ACT(gd_hub_connect)
ACT(gd_hub_scan)
ACT(gd_key_rotate)
ACT(gd_key_status)
ACT(gd_node_list)
ACT(gd_node_forget)
ACT(gd_platform_list)
ACT(gd_platform_get)
ACT(gd_platform_providers)
ACT(gd_client_create)
ACT(gd_client_list)
ACT(gd_grant_accept)
ACT(gd_store_accept)
ACT(gd_store_doubts)
ACT(gd_client_get)
ACT(gd_client_update)
ACT(gd_client_erase)
ACT(gd_request_create)
ACT(gd_request_list)
ACT(gd_request_remind)
ACT(gd_request_cancel)
ACT(gd_grant_list)
ACT(gd_grant_get)
ACT(gd_grant_submit)
ACT(gd_grant_confirm)
ACT(gd_grant_refresh)
ACT(gd_grant_verify)
ACT(gd_grant_revoke)
ACT(gd_broker_doctor)

void gd_request_get(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                    void *arg)
{
    struct waiting *w = push(REPLY, arg);

    (void)b;
    (void)who;
    (void)params;
    w->reply = reply;
    w->result = json_incref(fake.request);
    gd_err_set(&w->err, GD_R_NOT_FOUND, "no such request");
    answer_from_file(w, "gd_request_get");
}

/* The same token as the hot path, made the general way. */
void gd_grant_token(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                    void *arg)
{
    char when[32];
    json_t *r = fake.result;

    (void)b;
    (void)who;
    if (fake.token) {
        gd_time_text(when, fake.expires_at);
        fake.result = json_pack("{s:s,s:s,s:s,s:i}", "grant", gd_json_text(params, "grant", ""), "token_type",
                                "Bearer", "access_token", fake.token, "gen", 3);
        json_object_set_new(fake.result, "expires_at", fake.expires_at ? json_string(when) : json_null());
    }
    acted("gd_grant_token", params, reply, arg);
    if (fake.token) {
        json_decref(fake.result);
        fake.result = r;
    }
}

const char *gd_grant_platform(struct gd_broker *b, const struct gd_id *grant)
{
    (void)b;
    (void)grant;
    return "oauth2";
}

const char *gd_grant_client(struct gd_broker *b, const struct gd_id *grant, const char **ret_workspace)
{
    (void)b;
    (void)grant;
    *ret_workspace = "main";
    return fake.client;
}

void gd_vend_prefetch(struct gd_broker *b, const struct gd_id *grant)
{
    (void)b;
    (void)grant;
    fake.prefetched++;
}

enum gd_vend_end gd_vend_try(struct gd_broker *b, const struct gd_policy *policy, const struct gd_caller *c,
                             const char *workspace, const struct gd_id *grant, struct gd_vend *out,
                             struct gd_err *err)
{
    (void)b;
    (void)policy;
    (void)grant;
    fake.tries++;
    if (fake.later)
        return GD_VEND_LATER;
    if (!fake.token ||
        (fake.rule && !fake.rule(c, "grant.token", workspace ? workspace : "main", fake.client)) ||
        (workspace && strcmp(workspace, "main") != 0)) {
        gd_err_set(err, GD_R_NOT_FOUND, "no");
        return GD_VEND_REFUSED;
    }
    out->len = strlen(fake.token);
    memcpy(out->token, fake.token, out->len + 1);
    out->expires_at = fake.expires_at;
    out->gen = 3;
    return GD_VEND_OK;
}

/* ---- rules ------------------------------------------------------------------------------------------------
 */

#ifndef REAL_POLICY
bool gd_policy_allows_on(const struct gd_policy *p, const struct gd_caller *c, const char *method,
                         const char *workspace, const char *client, const char *platform)
{
    (void)p;
    (void)platform;
    return !fake.rule || fake.rule(c, method, workspace, client);
}

bool gd_policy_allows(const struct gd_policy *p, const struct gd_caller *c, const char *method,
                      const char *workspace, const char *client)
{
    return gd_policy_allows_on(p, c, method, workspace, client, NULL);
}
#endif

int gd_caller_from_fd(struct gd_caller *ret, int fd, struct gd_err *err)
{
    struct ucred cred;
    socklen_t n = sizeof cred;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
        return gd_err_set(err, GD_R_CALLER_UNKNOWN, "no credentials");
    *ret = (struct gd_caller){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
    if (fake.uid)
        *ret = (struct gd_caller){
            .uid = fake.uid, .gid = fake.gid, .pid = cred.pid, .groups = { fake.gid }, .ngroups = 1
        };
    return 0;
}

/* ---- audit ------------------------------------------------------------------------------------------------
 */

void gd_audit_write(struct gd_audit *a, const struct gd_audit_entry *e, gd_audit_fn *done, void *arg)
{
    bool request = !strcmp(e->phase, "request");
    struct waiting *w;

    (void)a;
    json_array_append_new(fake.records,
                          json_pack("{s:s,s:s,s:s,s:s,s:s,s:O?}", "act", e->act, "phase", e->phase, "outcome",
                                    e->outcome ? e->outcome : "", "subject", e->subject ? e->subject : "",
                                    "client", e->client ? e->client : "", "data", e->data));
    if (!done)
        return;
    w = push(AUDITED, arg);
    w->audited = done;
    if (request ? fake.audit_fails_request : fake.audit_fails_done)
        gd_err_set(&w->err, GD_R_AUDIT_UNAVAILABLE, "disk full");
}

const unsigned char *gd_audit_public(const struct gd_audit *a)
{
    static const unsigned char key[32] = "the key of the log";

    (void)a;
    return key;
}

bool gd_audit_usable(const struct gd_audit *a)
{
    (void)a;
    return !fake.audit_dead;
}

void gd_audit_hash(const struct gd_audit *a, const void *p, size_t n, char out[17])
{
    (void)a;
    (void)p;
    (void)snprintf(out, 17, "hash%012zu", n);
}

int gd_audit_verify(const char *path, const unsigned char pub[32], struct gd_audit_verdict *ret,
                    struct gd_err *err)
{
    if (strcmp(path, "/audit.log") != 0 || !pub ||
        memcmp(pub, "the key of the log", 18) != 0) /* check:allow */
        return gd_err_set(err, GD_R_AUDIT_UNAVAILABLE, "cannot be read");
    *ret = (struct gd_audit_verdict){ .records = 7, .checkpoints = 1, .bad_line = 5 };
    (void)snprintf(ret->why, sizeof ret->why, "hash");
    return 0;
}

json_t *gd_audit_list(const char *path, int64_t after, size_t max, const char *subject, struct gd_err *err)
{
    json_t *out = json_array();

    (void)path;
    (void)subject;
    (void)err;
    for (int64_t i = after + 1; json_array_size(out) < max && i <= 7; i++)
        json_array_append_new(out, json_pack("{s:I,s:s}", "seq", (json_int_t)i, "act", "x"));
    return out;
}

/* ---- outbox -----------------------------------------------------------------------------------------------
 */

void fake_event(const char *id, const char *type, const char *subject)
{
    json_array_append_new(fake.events,
                          json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", id, "type", type, "subject", subject,
                                    "workspace", "main", "at", "2026-11-21T23:16:04.123Z"));
    (void)push(WOKEN, NULL);
}

struct gd_event_watch *gd_events_watch(struct gd_events *e, gd_event_wake_fn *fn, void *arg)
{
    (void)e;
    wake_fn = fn;
    wake_arg = arg;
    fake.watches++;
    return gd_new(8);
}

void gd_events_unwatch(struct gd_events *e, struct gd_event_watch **w)
{
    (void)e;
    gd_free(*w);
    *w = NULL;
    wake_fn = NULL;
    fake.watches--;
}

void gd_events_list(struct gd_events *e, const char *workspace, const char *cursor, size_t max,
                    void (*reply)(void *arg, json_t *events, const struct gd_err *err), void *arg)
{
    struct waiting *w = push(LISTED, arg);
    json_t *one;
    size_t i;

    (void)e;
    (void)workspace;
    w->listed = reply;
    w->result = json_array();
    json_array_foreach(fake.events, i, one) if (strcmp(gd_json_text(one, "id", ""), cursor) > 0 &&
                                                json_array_size(w->result) < max)
        json_array_append(w->result, one);
}

void gd_events_now(struct gd_events *e, const char *workspace,
                   void (*reply)(void *arg, const char *cursor, const struct gd_err *err), void *arg)
{
    struct waiting *w = push(LISTED, arg);

    (void)e;
    (void)workspace;
    w->now = reply;
}

bool gd_broker_shared(const struct gd_broker *b)
{
    (void)b;
    return false;
}

void gd_broker_catch_up(struct gd_broker *b, void (*fn)(void *), void *arg)
{
    (void)b;
    (void)fn;
    (void)arg;
    abort(); /* one node has nobody to catch up with */
}
