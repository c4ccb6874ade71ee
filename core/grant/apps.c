/* grant/apps.c - what is configured and loaded: platforms, providers, apps. */
#include "grant/broker_int.h"
#include "grant/exchange.h"

#include <string.h>

/* ---- platforms ---- */

static json_t *refused_json(const struct gd_platforms *ps)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ps->nrefused; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "path", ps->refused[i].path, "reason",
                                              gd_reason_word(ps->refused[i].err.reason), "text",
                                              ps->refused[i].err.text));
    return list;
}

void gd_platform_list(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                      void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    json_t *list = json_array();

    for (size_t i = 0; i < b->d.platforms->count; i++)
        json_array_append_new(list, gd_platform_json(b->d.platforms->list[i]));
    gd_call_done(c, json_pack("{s:o, s:o}", "platforms", list, "refused", refused_json(b->d.platforms)));
}

void gd_platform_get(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_platform *p = gd_platforms_find(b->d.platforms, gd_param(c, "platform"));

    if (!p)
        gd_call_fail(c, GD_R_NOT_FOUND, "no platform %s is loaded; see `grantctl platform list`",
                     gd_param(c, "platform"));
    else
        gd_call_done(c, json_pack("{s:o}", "platform", gd_platform_json(p)));
}

static json_t *provider_json(const struct gd_platform *p, const char *name, const json_t *d)
{
    json_t *scopes = gd_json_at(d, "scope.default"), *notes = gd_json_at(d, "unconfirmed");
    const json_t *mode = gd_json_at(d, "refresh.mode"), *class = gd_json_at(d, "refresh.retry_class");
    json_t *j = json_pack("{s:s, s:s, s:s?, s:s?, s:o}", "name", name, "platform", p->p.name, "title",
                          gd_json_text(d, "title", NULL), "issuer", gd_json_text(d, "issuer", NULL), "scopes",
                          json_is_array(scopes) ? json_incref(scopes) : json_array());

    json_object_set_new(j, "retry_class",
                        gd_text_json(json_is_string(class) ? json_string_value(class) : "unknown"));
    json_object_set_new(j, "refresh",
                        gd_text_json(json_is_string(mode) ? json_string_value(mode) : "refresh_token"));
    if (notes)
        json_object_set(j, "unconfirmed", notes);
    json_object_set_new(j, "roles", json_array());
    return j;
}

void gd_platform_providers(struct gd_broker *b, const struct gd_actor *who, json_t *params,
                           gd_reply_fn *reply, void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const char *only = gd_param(c, "platform");
    json_t *list = json_array();

    for (size_t i = 0; i < b->d.platforms->count; i++) {
        const struct gd_platform *p = b->d.platforms->list[i];

        if (only && strcmp(only, p->p.name) != 0)
            continue;
        gd_map_each(e, &p->providers) json_array_append_new(list, provider_json(p, e->key, e->value));
    }
    gd_call_done(c, json_pack("{s:o}", "providers", list));
}

/* ---- apps ---- */

static json_t *app_json(struct gd_broker *b, const struct gd_app_state *a)
{
    const json_t *title = a->app.description ? gd_json_at(a->app.description, "title") : NULL;
    GD_AUTO_FREE char *uri =
        b->public_url ? gd_strf("%s/cb/%s.%s", b->public_url, a->app.workspace, a->app.id) : NULL;
    GD_AUTO_FREE char *notices = b->public_url && a->app.platform->p.notice
                                     ? gd_strf("%s/hook/%s.%s", b->public_url, a->app.workspace, a->app.id)
                                     : NULL;
    json_int_t creds = 0;

    for (uint32_t i = 0; i < b->ix.creds.count; i++)
        creds += gd_cred_at(&b->ix, i)->app == gd_app_number(b, a);
    return json_pack(
        "{s:s, s:s, s:s, s:s?, s:s?, s:s, s:s?, s:s?, s:s?, s:s?, s:I}", "id", a->app.id, "workspace",
        a->app.workspace, "platform", a->app.platform->p.name, "provider", a->app.provider, "title",
        json_is_string(title) ? json_string_value(title) : a->app.platform->p.title, "state",
        a->interlock.frozen ? "frozen" : "ready", "reason", a->interlock.frozen ? "APP_FROZEN" : NULL,
        "reason_text", a->interlock.frozen ? gd_reason_info(GD_R_APP_FROZEN)->meaning : NULL, "redirect_uri",
        uri, "notice_uri", notices, "credentials", creds);
}

void gd_app_list(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                 void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    json_t *list = json_array();

    for (unsigned i = 0; i < b->napps; i++)
        if (!strcmp(b->apps[i].app.workspace, c->workspace))
            json_array_append_new(list, app_json(b, &b->apps[i]));
    if (!gd_call_nowhere(c, list))
        gd_call_done(c, json_pack("{s:o}", "apps", list));
}

/* The app of the call, or NULL after it was failed. */
static struct gd_app_state *app_param(struct gd_call *c)
{
    struct gd_app_state *a = gd_app_find(c->b, gd_param(c, "app"));

    if (a && !strcmp(a->app.workspace, c->workspace))
        return a;
    gd_call_fail(c, GD_R_APP_UNKNOWN, "no app %s is configured in workspace %s", gd_param(c, "app"),
                 c->workspace);
    return NULL;
}

void gd_app_get(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_app_state *a = app_param(c);

    if (a)
        gd_call_done(c, json_pack("{s:o}", "app", app_json(b, a)));
}

static json_t *check_json(const char *name, bool ok, const char *reason, const char *text)
{
    return json_pack("{s:s, s:b, s:s?, s:s}", "name", name, "ok", (int)ok, "reason", ok ? NULL : reason,
                     "text", text);
}

/* Options that are required and not set. */
static bool check_options(const struct gd_app_state *a, json_t *checks)
{
    const struct grantd_option *o = a->app.platform->p.options;
    bool all = true;

    for (; o && o->key; o++) {
        bool set =
            json_object_get(a->app.options, o->key) || (!strcmp(o->key, "provider") && a->app.provider);

        if (!(o->flags & GRANTD_OPT_REQUIRED) || (o->flags & GRANTD_OPT_HUB) || o->dflt)
            continue;
        json_array_append_new(checks,
                              check_json(o->key, set, "CONFIG_MISSING_KEY", set ? "is set" : o->help));
        all = all && set;
    }
    return all;
}

/* app.check: the platform is asked as if a client approved, with its first mode and that mode's role. */
struct checking {
    json_t *checks;
    const struct gd_app_state *app;
    char *said; /* what was refused as long as no asset was named */
};

static void ask(struct gd_call *c, const char *asset);

static void checked(struct gd_call *c, bool ok, const char *reason, const char *text)
{
    struct checking *k = c->state;

    if (text)
        json_array_append_new(k->checks, check_json("request", ok, reason, text));
    gd_call_done(c,
                 json_pack("{s:s, s:b, s:o}", "app", gd_param(c, "app"), "ok", (int)ok, "checks", k->checks));
}

/* Some platforms cannot be asked before an asset is named. That is for the request to do, and says nothing
 * against the app: so one is made up, and if that is all that was missing, the app is in order. */
static void on_asked(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_call *c = arg;
    struct checking *k = c->state;
    bool ok = r->end != GD_OP_FAILED, config = !ok && r->fail_class == GRANTD_E_CONFIG;

    (void)op;
    if (config && !k->said) {
        k->said = gd_arena_strdup(c->arena, r->err.text);
        ask(c, "check");
    } else if (ok) {
        checked(c, true, NULL,
                k->said ? gd_arena_strf(c->arena, "a request has to say more: %s", k->said)
                        : "the platform can be asked");
    } else {
        checked(c, false, gd_reason_word(r->err.reason), k->said ? k->said : r->err.text);
    }
}

/* Discovery and PAR run where a description says what they are; a platform of its own might file something
 * with the hub's token, so it is stopped before it sends. */
static void ask(struct gd_call *c, const char *asset)
{
    const struct checking *k = c->state;
    const struct grantd_platform *p = &k->app->app.platform->p;
    const char *mode = p->modes ? p->modes[0] : NULL;
    const struct grantd_role *role = gd_platform_role(k->app->app.platform, mode, NULL);
    struct gd_op_start s = { .platform = k->app->app.platform,
                             .kind = GD_OP_REQUEST,
                             .app = k->app->app.id,
                             .deadline_ms = c->b->plan.deadline_ms,
                             .rehearsal = !k->app->app.description,
                             .on_end = on_asked,
                             .arg = c };
    struct gd_hub_given hub;

    gd_given_app(c->b, k->app, &s.given);
    gd_given_hub(c->b, k->app, &s.given, &hub);
    s.given.args[GRANTD_ARG_REDIRECT_URI] =
        gd_flow_redirect_uri(c->b, c->arena, c->workspace, k->app->app.id);
    s.given.args[GRANTD_ARG_STATE] = "check";
    s.given.args[GRANTD_ARG_NONCE] = "check";
    s.given.args[GRANTD_ARG_CODE_CHALLENGE] =
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; /* RFC 7636 appendix B */
    s.given.args[GRANTD_ARG_MODE] = mode;
    s.given.args[GRANTD_ARG_ROLE] = role ? role->name : NULL;
    s.given.args[GRANTD_ARG_ASSET_ID] = asset;
    gd_op_start(&c->b->env, &s);
    gd_hub_given_done(&hub);
}

void gd_app_check(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                  void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_app_state *a = app_param(c);
    struct checking *k;

    if (!a)
        return;
    k = c->state = gd_arena_alloc(c->arena, sizeof *k);
    k->checks = json_array();
    k->app = a;
    if (!check_options(a, k->checks))
        checked(c, false, NULL, NULL);
    else
        ask(c, NULL);
}
