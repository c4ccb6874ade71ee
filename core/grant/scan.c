/* grant/scan.c - the agency's own identities as callers see them: listed, looked at like grants, and scanned
 * for what they can reach that no grant explains. */
#include "base/fault.h"
#include "grant/broker_int.h"
#include "plugin/warnings.h"

#include <string.h>

GD_SQL(
    sql_hub_looked,
    "INSERT INTO hubs (workspace, id, verified_at, observed, warnings, reason, reason_text, look_at, looks)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0) ON CONFLICT (workspace, id) DO UPDATE SET verified_at = $3,"
    " observed = $4, warnings = $5, reason = $6, reason_text = $7");
GD_SQL(sql_native, "SELECT id, asset_id FROM grants WHERE workspace = $1 AND app = $2 AND native <> 'none'"
                   " AND lifecycle IN ('confirming', 'live', 'ending')");

/* ---- as JSON ---- */

static bool has_token(const struct gd_hub_state *h)
{
    return h->sealed || gd_json_text(h->hub.options, "access_token", NULL);
}

static const struct gd_ix_cred *cred_of(struct gd_broker *b, const struct gd_hub_state *h)
{
    struct gd_id id;
    uint32_t n =
        h->cred[0] && gd_id_parse(&id, "cr", h->cred, strlen(h->cred)) ? gd_index_cred(&b->ix, &id) : GD_NONE;

    return n == GD_NONE ? NULL : gd_cred_at(&b->ix, n);
}

/* What is wrong with a hub, and the sentence; GD_R_OK when nothing is. */
static enum gd_reason hub_fault(struct gd_broker *b, const struct gd_hub_state *h, const char **ret_text)
{
    const struct gd_ix_cred *c = cred_of(b, h);
    enum gd_reason r = !has_token(h)                                          ? GD_R_HUB_NOT_CONNECTED
                       : c && c->status == GD_CRED_NEEDS_CONSENT              ? GD_R_HUB_NOT_CONNECTED
                       : h->err.reason && h->err.reason != GD_R_NOT_SUPPORTED ? h->err.reason
                                                                              : GD_R_OK;

    *ret_text = r == GD_R_OK ? NULL : r == h->err.reason ? h->err.text : gd_reason_info(r)->meaning;
    return r;
}

static json_t *hub_json(struct gd_broker *b, const struct gd_hub_state *h)
{
    const struct gd_app_state *a = gd_hub_app(b, h);
    const char *text;
    enum gd_reason r = hub_fault(b, h, &text);

    return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s, s:s?, s:s?, s:s?, s:s?, s:O?, s:O?, s:o}", "id",
                     h->hub.id, "workspace", h->hub.workspace, "platform", h->hub.platform->p.name, "hub_id",
                     h->hub.hub_id, "app", a ? a->app.id : NULL, "state",
                     r == GD_R_OK                  ? "ready"
                     : r == GD_R_HUB_NOT_CONNECTED ? "unconnected"
                                                   : "at_risk",
                     "reason", r == GD_R_OK ? NULL : gd_reason_word(r), "reason_text", text, "account",
                     h->account, "credential", h->cred[0] ? h->cred : NULL, "observed", h->observed,
                     "warnings", h->warnings, "verified_at", gd_time_json(h->verified_at));
}

/* The hub of the call, or NULL after it was failed. */
static struct gd_hub_state *hub_param(struct gd_call *c)
{
    struct gd_hub_state *h = gd_hub_find(c->b, c->workspace, gd_param(c, "hub"));

    if (!h)
        gd_call_fail(c, GD_R_HUB_UNKNOWN, "no hub %s is configured in workspace %s", gd_param(c, "hub"),
                     c->workspace);
    return h;
}

void gd_hub_list(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                 void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    json_t *list = json_array();

    for (unsigned i = 0; i < b->nhubs; i++)
        if (!strcmp(b->hubs[i].hub.workspace, c->workspace))
            json_array_append_new(list, hub_json(b, &b->hubs[i]));
    if (!gd_call_nowhere(c, list))
        gd_call_done(c, json_pack("{s:o}", "hubs", list));
}

void gd_hub_get(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const struct gd_hub_state *h = hub_param(c);

    if (h)
        gd_call_done(c, json_pack("{s:o}", "hub", hub_json(b, h)));
}

/* ---- looking ---- */

struct hub_look {
    struct gd_broker *b;
    struct gd_hub_state *h;
    struct gd_call *c; /* NULL: of the sweep */
    char cred[GD_ID_TEXT_MAX];
    uint32_t gen; /* of the credential that it is made with */
};

static uint32_t gen_of(struct gd_broker *b, const struct gd_hub_state *h)
{
    const struct gd_ix_cred *c = cred_of(b, h);

    return c ? c->gen : 0;
}

static json_t *check_json(const char *name, bool ok, enum gd_reason r, const char *text)
{
    return json_pack("{s:s, s:b, s:s?, s:s}", "name", name, "ok", (int)ok, "reason",
                     ok ? NULL : gd_reason_word(r), "text", text);
}

static void reply_check(struct gd_call *c, struct gd_hub_state *h)
{
    bool native = (h->hub.platform->p.caps & GRANTD_CAP_NATIVE) != 0, ok = h->err.reason == GD_R_OK;
    json_t *checks = json_array();

    json_array_append_new(checks, check_json("platform", native, GD_R_NOT_SUPPORTED,
                                             native ? "the platform gives native access to hubs"
                                                    : "the platform makes no native access; a hub has no "
                                                      "use here"));
    json_array_append_new(
        checks, check_json("credential", has_token(h), GD_R_HUB_NOT_CONNECTED,
                           has_token(h) ? "there is one" : gd_reason_info(GD_R_HUB_NOT_CONNECTED)->meaning));
    if (has_token(h))
        json_array_append_new(
            checks, check_json("alive", ok, h->err.reason, ok ? "the platform accepts it" : h->err.text));
    gd_call_done(c, json_pack("{s:s, s:b, s:o}", "hub", h->hub.id, "ok", (int)(native && has_token(h) && ok),
                              "checks", checks));
}

static void on_hub_kept(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct hub_look *k = arg;

    (void)tx;
    (void)GD_FAULT("hub.kept");
    gd_events_wake(k->b->d.events);
    if (!k->c)
        k->b->looking--;
    else if (!gd_call_store_failed(k->c, r, err))
        reply_check(k->c, k->h);
    gd_busy(k->b, -1);
    gd_free(k);
}

/* What the platform warns of, and in time that the agency has to consent again. New reference. */
static json_t *hub_warnings(struct hub_look *k, const json_t *said)
{
    const struct gd_hub_state *h = k->h;
    json_t *all = said ? json_copy((json_t *)(uintptr_t)said) : json_object();
    int64_t warn, now = gd_now(k->b->d.clock), wall = gd_grant_wall(0, 0, h->horizon_at, &warn);
    char when[32], text[160];

    if (!h->cred[0] || !wall || now < warn)
        return all;
    gd_time_text(when, wall);
    (void)snprintf(text, sizeof text, "no refresh passes %s: run `grantctl hub connect %s` before", when,
                   h->hub.id);
    json_object_set_new(all, "ENDS_SOON", json_string(text));
    return all;
}

/* Those that were not there at the last look. */
static void tell_warnings(struct hub_look *k, struct gd_tx *tx, json_t *warnings)
{
    GD_AUTO_JSON news = json_object();
    const char *word;
    json_t *text;

    json_object_foreach(warnings, word, text)
        gd_warnings_news(k->h->warnings, word, json_string_value(text), news);
    json_object_foreach(news, word, text)
    {
        GD_AUTO_JSON data = json_pack("{s:s, s:O}", "warning", word, "text", text);

        gd_event_add(k->b->d.events, tx, k->h->hub.workspace, "hub.warning", k->h->hub.id, data);
    }
}

static bool look_at_hub(struct gd_broker *b, struct gd_hub_state *h, struct gd_call *c);

/* Made with a credential that was replaced meanwhile, it says nothing of the new one. A caller waits for
 * another look, the sweep makes one by itself. */
static void look_is_void(struct hub_look *k)
{
    struct gd_broker *b = k->b;

    if (!k->c)
        b->looking--;
    else if (!look_at_hub(b, k->h, k->c))
        reply_check(k->c, k->h);
    gd_busy(b, -1);
    gd_free(k);
}

static void on_hub_seen(void *arg, struct gd_op *op, const struct gd_op_result *r);

static void on_hub_told(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct hub_look *k = arg;

    if (strcmp(k->cred, k->h->cred) != 0 || k->gen != gen_of(k->b, k->h))
        look_is_void(k);
    else
        on_hub_seen(k, op, r);
}

static void on_hub_seen(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct hub_look *k = arg;
    struct gd_hub_state *h = k->h;
    enum gd_reason before = h->err.reason;
    struct gd_tx *tx = gd_tx_new(k->b->d.store);
    GD_AUTO_FREE char *observed = gd_json_dump(r->observed);
    json_t *all = hub_warnings(k, r->end == GD_OP_FAILED ? h->warnings : r->warnings);
    GD_AUTO_FREE char *warnings = gd_json_dump(all);
    bool dead = !strcmp(gd_json_text(r->observed, "alive", "unknown"), "no");

    (void)op;
    h->err = r->end == GD_OP_FAILED ? r->err : (struct gd_err){ 0 };
    if (r->end == GD_OP_DONE && dead)
        gd_err_set(&h->err, GD_R_HUB_NOT_CONNECTED, "the platform no longer accepts the hub's credential");
    tell_warnings(k, tx, all);
    json_decref(h->observed);
    json_decref(h->warnings);
    h->observed = json_copy(r->observed);
    h->warnings = all;
    h->verified_at = gd_now(k->b->d.clock);
    gd_tx_add(tx, &sql_hub_looked, GD_P_TEXT(h->hub.workspace), GD_P_TEXT(h->hub.id),
              GD_P_INT(h->verified_at), GD_P_TEXT(observed), GD_P_TEXT(warnings),
              GD_P_TEXT(h->err.reason ? gd_reason_word(h->err.reason) : NULL),
              GD_P_TEXT(h->err.reason ? h->err.text : NULL));
    if (h->err.reason && h->err.reason != before) {
        GD_AUTO_JSON data =
            json_pack("{s:s, s:s}", "reason", gd_reason_word(h->err.reason), "text", h->err.text);

        gd_event_add(k->b->d.events, tx, h->hub.workspace, "hub.at_risk", h->hub.id, data);
    }
    (void)GD_FAULT("hub.seen");
    gd_store_commit(k->b->d.store, tx, on_hub_kept, k);
}

/* False when nothing can be looked at. */
static bool look_at_hub(struct gd_broker *b, struct gd_hub_state *h, struct gd_call *c)
{
    struct gd_app_state *a = gd_hub_app(b, h);
    struct gd_op_start s = { .kind = GD_OP_VERIFY,
                             .deadline_ms = b->plan.deadline_ms,
                             .interactive = c != NULL,
                             .on_end = on_hub_told };
    struct gd_hub_given given;
    struct hub_look *k;

    if (!a || !has_token(h) || !a->app.platform->p.verify)
        return false;
    k = gd_new(sizeof *k);
    *k = (struct hub_look){ .b = b, .h = h, .c = c, .gen = gen_of(b, h) };
    (void)snprintf(k->cred, sizeof k->cred, "%s", h->cred);
    s.platform = a->app.platform;
    s.app = a->app.id;
    s.arg = k;
    gd_given_app(b, a, &s.given);
    gd_given_hub(b, a, &s.given, &given);
    s.given.args[GRANTD_ARG_MODE] = GRANTD_MODE_HUB;
    s.given.args[GRANTD_ARG_ACCESS_TOKEN] = s.given.args[GRANTD_ARG_HUB_ACCESS_TOKEN];
    s.given.args[GRANTD_ARG_ACCOUNT_ID] = s.given.args[GRANTD_ARG_HUB_ACCOUNT_ID];
    gd_busy(b, 1);
    gd_op_start(&b->env, &s);
    gd_hub_given_done(&given);
    return true;
}

void gd_hubs_look(struct gd_broker *b)
{
    int64_t now = gd_now(b->d.clock);

    for (unsigned i = 0; i < b->nhubs && b->look_every_ms; i++)
        if (b->hubs[i].verified_at + b->look_every_ms <= now && look_at_hub(b, &b->hubs[i], NULL))
            b->looking++;
}

void gd_hub_check(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                  void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_hub_state *h = hub_param(c);

    if (h && !look_at_hub(b, h, c))
        reply_check(c, h);
}

/* ---- scan ---- */

static void on_scanned(void *arg, struct gd_op *op, const struct gd_op_result *r);
static void on_native(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

struct scan {
    struct gd_hub_state *h;
    json_t *assets, *warnings;
};

void gd_hub_scan(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                 void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct scan *k = gd_arena_alloc(c->arena, sizeof *k);
    struct gd_op_start s = { .kind = GD_OP_SCAN,
                             .deadline_ms = 10 * b->plan.deadline_ms,
                             .interactive = true,
                             .on_end = on_scanned,
                             .arg = c };
    struct gd_hub_given given;
    struct gd_app_state *a;

    c->state = k;
    k->h = hub_param(c);
    if (!k->h)
        return;
    a = gd_hub_app(b, k->h);
    if (!a || !a->app.platform->p.scan) {
        gd_call_fail(c, a ? GD_R_NOT_SUPPORTED : GD_R_APP_UNKNOWN,
                     a ? "the platform cannot list what a hub reaches" : "no app is configured for this hub");
        return;
    }
    if (!has_token(k->h)) {
        gd_call_fail(c, GD_R_HUB_NOT_CONNECTED, "%s", gd_reason_info(GD_R_HUB_NOT_CONNECTED)->remedy);
        return;
    }
    s.platform = a->app.platform;
    s.app = a->app.id;
    gd_given_app(b, a, &s.given);
    gd_given_hub(b, a, &s.given, &given);
    gd_op_start(&b->env, &s);
    gd_hub_given_done(&given);
}

static void on_scanned(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_call *c = arg;
    struct scan *k = c->state;
    struct gd_tx *tx;

    (void)op;
    (void)GD_FAULT("hub.scanned");
    if (r->end == GD_OP_FAILED) {
        gd_call_error(c, &r->err);
        return;
    }
    k->assets = json_incref(r->assets);
    k->warnings = json_incref(r->warnings);
    tx = gd_tx_new(c->b->d.store);
    for (unsigned i = 0; i < c->b->napps; i++)
        if (gd_hub_of_app(c->b, &c->b->apps[i]) == k->h)
            gd_tx_add(tx, &sql_native, GD_P_TEXT(c->workspace), GD_P_TEXT(c->b->apps[i].app.id));
    gd_store_read(c->b->d.store, tx, on_native, c);
}

static void note_native(const struct gd_broker *b, const struct scan *k, const struct gd_tx *tx,
                        struct gd_map *explained)
{
    size_t stmt = 0;

    for (unsigned i = 0; i < b->napps; i++) {
        if (gd_hub_of_app((struct gd_broker *)(uintptr_t)b, &b->apps[i]) != k->h)
            continue;
        for (size_t row = 0; row < gd_tx_rows(tx, stmt); row++)
            if (gd_tx_text(tx, stmt, row, 1))
                (void)gd_map_set(explained, gd_tx_text(tx, stmt, row, 1),
                                 (void *)(uintptr_t)gd_tx_text(tx, stmt, row, 0));
        stmt++;
    }
}

static void on_native(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct scan *k = c->state;
    struct gd_map explained = { 0 };
    json_t *list = json_array(), *asset;
    json_int_t loose = 0;
    size_t i;

    if (!gd_call_store_failed(c, r, err)) {
        note_native(c->b, k, tx, &explained);
        json_array_foreach(k->assets, i, asset)
        {
            const char *grant = gd_map_get(&explained, gd_json_text(asset, "id", ""));
            json_t *row = json_copy(asset);

            json_object_set_new(row, "grant", gd_text_json(grant));
            loose += grant == NULL;
            json_array_append_new(list, row);
        }
        gd_call_done(c, json_pack("{s:s, s:I, s:I, s:O, s:O}", "hub", k->h->hub.id, "reached",
                                  (json_int_t)json_array_size(list), "unexplained", loose, "assets", list,
                                  "warnings", k->warnings));
    }
    gd_map_done(&explained, NULL);
    json_decref(list);
    json_decref(k->assets);
    json_decref(k->warnings);
}
