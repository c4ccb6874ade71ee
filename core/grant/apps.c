/* grant/apps.c - what is configured and loaded: platforms, providers, apps. */
#include "grant/broker_int.h"

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

/* What can be seen without a client: the options, and whether the platform takes a request (discovery and PAR
 * run). */
static void on_asked(void *arg, struct gd_op *op, const struct gd_op_result *r)
{
    struct gd_call *c = arg;
    json_t *checks = c->state;
    bool ok = r->end != GD_OP_FAILED;

    (void)op;
    json_array_append_new(checks, check_json("request", ok, gd_reason_word(r->err.reason),
                                             ok ? "the platform can be asked" : r->err.text));
    gd_call_done(c, json_pack("{s:s, s:b, s:o}", "app", gd_param(c, "app"), "ok", (int)ok, "checks", checks));
}

void gd_app_check(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                  void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_app_state *a = app_param(c);
    struct gd_op_start s = {
        .kind = GD_OP_REQUEST, .deadline_ms = b->plan.deadline_ms, .on_end = on_asked, .arg = c
    };
    json_t *checks = json_array();

    if (!a) {
        json_decref(checks);
        return;
    }
    c->state = checks;
    if (!check_options(a, checks)) {
        gd_call_done(c, json_pack("{s:s, s:b, s:o}", "app", a->app.id, "ok", 0, "checks", checks));
        return;
    }
    s.platform = a->app.platform;
    s.app = a->app.id;
    gd_given_app(b, a, &s.given);
    s.given.args[GRANTD_ARG_REDIRECT_URI] = gd_arena_strf(
        c->arena, "%s/cb/%s.%s", b->public_url ? b->public_url : "", a->app.workspace, a->app.id);
    s.given.args[GRANTD_ARG_STATE] = "check";
    s.given.args[GRANTD_ARG_NONCE] = "check";
    s.given.args[GRANTD_ARG_CODE_CHALLENGE] =
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; /* RFC 7636 appendix B */
    gd_op_start(&b->env, &s);
}
