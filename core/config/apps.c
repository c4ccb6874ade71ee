/* config/apps.c - apps.<id> and hubs.<id>: their own few keys, and beside them the options that the platform
 * has declared, each checked by its declared type. */
#include "config/config_int.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* What is being read: an app or a hub. */
struct owner {
    char what[160]; /* "apps.x" */
    bool hub;
    const struct key *keys;
    const char *platform;
    json_t *options, *shown;
    yaml_node_t *node;
};

/* ---- options of the platform
 * ----------------------------------------------------------------------------------- */

static bool is_choice(const char *const *choices, const char *text)
{
    for (; choices && *choices; choices++)
        if (!strcmp(*choices, text))
            return true;
    return false;
}

/* NULL: it fits. */
static const char *option_fault(const struct grantd_option *o, const char *text)
{
    int64_t number;
    bool yes;

    switch (o->type) {
    case GRANTD_URL:
        return gd_config_url_ok(text, false) ? NULL : "an https URL (plain http only to a loopback host)";
    case GRANTD_INT:
        return gd_parse_i64(text, &number) ? NULL : "a whole number";
    case GRANTD_BOOL:
        return gd_config_bool(text, &yes) ? NULL : "yes or no";
    case GRANTD_ENUM:
        return is_choice(o->choices, text) ? NULL : "one of its choices";
    default:
        return NULL;
    }
}

static void fail_option(struct ctx *c, yaml_node_t *n, const struct grantd_option *o, const char *fault)
{
    char choices[160] = "";
    size_t len = 0;

    for (const char *const *p = o->type == GRANTD_ENUM ? o->choices : NULL; p && *p && len < sizeof choices;
         p++)
        len += (size_t)snprintf(choices + len, sizeof choices - len, "%s%s", len ? ", " : ": ", *p);
    gd_config_fail(c, n, GD_R_CONFIG_VALUE_INVALID, "%.64s has to be %s%s", o->key, fault, choices);
}

/* Reads a value that may be text or, always for secrets, {file|env|credential}. Sets both objects' member. */
static const char *read_value(struct ctx *c, yaml_node_t *n, const char *key, bool secret, json_t *values,
                              json_t *shown)
{
    json_t *seen = NULL;
    char *s;

    if (secret || n->type == YAML_MAPPING_NODE) {
        s = gd_config_secret(c, n, key, &seen);
    } else {
        s = gd_strdup(gd_config_scalar(c, n, key));
        seen = s ? json_string(s) : NULL;
    }
    if (!s)
        return NULL;
    json_object_set_new(values, key, json_string(s));
    json_object_set_new(shown, key, seen);
    gd_free(s);
    return json_string_value(json_object_get(values, key));
}

static void read_option(struct ctx *c, struct owner *w, const struct grantd_option *o, yaml_node_t *n)
{
    const char *text = read_value(c, n, o->key, o->flags & GRANTD_OPT_SECRET, w->options, w->shown);
    const char *fault = text ? option_fault(o, text) : NULL;
    bool yes;

    if (fault)
        fail_option(c, n, o, fault);
    else if (text && o->type == GRANTD_BOOL && gd_config_bool(text, &yes))
        json_object_set_new(w->options, o->key, json_string(yes ? "true" : "false"));
}

static const struct key *own_key(const struct owner *w, const char *name)
{
    for (const struct key *k = w->keys; k->name; k++)
        if (!strcmp(k->name, name))
            return k;
    return NULL;
}

static void unknown_option(struct ctx *c, const struct owner *w, const struct grantd_option *options,
                           yaml_node_t *key)
{
    struct guess g = { .word = (const char *)key->data.scalar.value };
    char what[256];

    for (const struct key *k = w->keys; k->name; k++)
        gd_guess(&g, k->name);
    for (const struct grantd_option *o = options; o->key; o++)
        if (!(o->flags & GRANTD_OPT_HUB) == !w->hub)
            gd_guess(&g, o->key);
    (void)snprintf(what, sizeof what, "%s (%s)", w->what, w->platform);
    gd_config_unknown(c, key, what, &g);
}

static void read_options(struct ctx *c, struct owner *w, const struct grantd_option *options)
{
    yaml_node_pair_t *p;
    size_t np;

    if (!gd_config_pairs(c, w->node, w->what, &p, &np))
        return;
    for (; np; np--, p++) {
        const char *key = gd_config_key(c, p);
        const struct grantd_option *o = options;

        if (own_key(w, key))
            continue;
        while (o->key && strcmp(o->key, key) != 0)
            o++;
        if (!o->key)
            unknown_option(c, w, options, gd_config_node(c, p->key));
        else if (!(o->flags & GRANTD_OPT_HUB) != !w->hub)
            gd_config_fail(c, gd_config_node(c, p->key), GD_R_CONFIG_UNKNOWN_KEY, "%.64s belongs under %s",
                           key, w->hub ? "apps" : "hubs");
        else
            read_option(c, w, o, gd_config_node(c, p->value));
    }
}

static void check_required(struct ctx *c, const struct owner *w, const struct grantd_option *options)
{
    for (const struct grantd_option *o = options; o->key; o++)
        if ((o->flags & GRANTD_OPT_REQUIRED) && !(o->flags & GRANTD_OPT_HUB) == !w->hub &&
            !gd_config_find(c, w->node, o->key))
            gd_config_fail(c, w->node, GD_R_CONFIG_MISSING, "%s needs %.64s%s", w->what, o->key,
                           o->flags & GRANTD_OPT_SECRET ? ": {file: path}, {env: NAME} or {credential: name}"
                                                        : "");
}

/* Everything that is the platform's: w->platform is set, or was wrong and has been named. */
static void platform_part(struct ctx *c, struct owner *w)
{
    const struct grantd_option *options;

    if (!w->platform) {
        if (!gd_config_find(c, w->node, "platform"))
            gd_config_fail(c, w->node, GD_R_CONFIG_MISSING, "%s needs platform: the name of a platform",
                           w->what);
        return;
    }
    if (c->no_platforms)
        return;
    options = c->given->options ? c->given->options(c->given->arg, w->platform) : NULL;
    if (!options) {
        gd_config_fail(
            c, gd_config_find(c, w->node, "platform"), GD_R_CONFIG_PLATFORM_UNKNOWN,
            "there is no platform \"%.64s\" in %.128s that could be loaded: see `grantctl platform list`",
            w->platform, c->cfg->platform_dir);
        return;
    }
    read_options(c, w, options);
    check_required(c, w, options);
}

/* Its own keys, everything else is left to platform_part. */
static void own_part(struct ctx *c, const struct owner *w, void *base)
{
    yaml_node_pair_t *p;
    size_t np;

    if (!gd_config_pairs(c, w->node, w->what, &p, &np))
        return;
    for (; np; np--, p++) {
        const struct key *k = own_key(w, gd_config_key(c, p));

        if (k)
            k->read(c, k, gd_config_node(c, p->value), (char *)base + k->offset);
    }
}

/* The workspace it belongs to: the one it names, the only one, or main. */
static void settle_workspace(struct ctx *c, const struct owner *w, char **workspace)
{
    char **all = c->cfg->workspaces;
    bool named = *workspace != NULL;

    if (!named)
        *workspace = gd_strdup(all[1] ? "main" : all[0]);
    for (; *all; all++)
        if (!strcmp(*all, *workspace))
            return;
    if (named)
        gd_config_fail(c, gd_config_find(c, w->node, "workspace"), GD_R_CONFIG_VALUE_INVALID,
                       "there is no workspace \"%.64s\": list it under workspaces", *workspace);
    else
        gd_config_fail(c, w->node, GD_R_CONFIG_MISSING, "%s has to name its workspace", w->what);
}

/* The id in front of the colon; false with an error when it is no name. */
static bool good_id(struct ctx *c, yaml_node_pair_t *p, const char *kind, struct owner *w)
{
    const char *id = gd_config_key(c, p);

    w->node = gd_config_node(c, p->value);
    (void)snprintf(w->what, sizeof w->what, "%s.%.64s", kind, id);
    if (gd_name_valid(id, GD_NAME_MAX))
        return true;
    gd_config_fail(c, gd_config_node(c, p->key), GD_R_CONFIG_VALUE_INVALID,
                   "\"%.64s\" is no name: a small letter, then small letters, digits, _ and -", id);
    return false;
}

/* ---- apps
 * ----------------------------------------------------------------------------------------------------------
 */

/* Inputs of the provider's description that the operator gives: any names, the description checks them. */
static void read_inputs(struct ctx *c, const struct key *k, yaml_node_t *n, void *to)
{
    struct gd_config_app *a = to;
    json_t *shown = json_object();
    yaml_node_pair_t *p;
    size_t np;

    if (gd_config_pairs(c, n, k->name, &p, &np))
        for (; np; np--, p++)
            (void)read_value(c, gd_config_node(c, p->value), gd_config_key(c, p), false, a->inputs, shown);
    json_object_set_new(a->shown, k->name, shown);
}

static const struct key app_keys[] = {
    { "platform", gd_read_name, offsetof(struct gd_config_app, platform), NULL, 0, 0 },
    { "provider", gd_read_name, offsetof(struct gd_config_app, provider), NULL, 0, 0 },
    { "workspace", gd_read_name, offsetof(struct gd_config_app, workspace), NULL, 0, 0 },
    { "shared_by_operator", gd_read_bool, offsetof(struct gd_config_app, shared_by_operator), NULL, 0, 0 },
    { "inputs", read_inputs, 0, NULL, 0, 0 },
    { NULL, NULL, 0, NULL, 0, 0 },
};

static void read_app(struct ctx *c, yaml_node_pair_t *p, struct gd_config_app *a)
{
    struct owner w = { .hub = false, .keys = app_keys };

    a->id = gd_strdup(gd_config_key(c, p));
    a->options = json_object();
    a->inputs = json_object();
    a->shown = json_object();
    if (!good_id(c, p, "apps", &w))
        return;
    own_part(c, &w, a);
    settle_workspace(c, &w, &a->workspace);
    w.platform = a->platform;
    w.options = a->options;
    w.shown = a->shown;
    platform_part(c, &w);
}

/* What the platform knows the registration by: its issuer and client id. NULL: not known here. */
static char *registration(const struct gd_config_app *a)
{
    static const char *const names[] = { "client_id", "client_key", "app_id", "api_key" };
    const char *id = NULL, *issuer = gd_json_text(a->options, "issuer", NULL);
    size_t n;

    for (size_t i = 0; !id && i < sizeof names / sizeof *names; i++)
        id = gd_json_text(a->options, names[i], NULL);
    if (!id || !a->platform || !a->workspace)
        return NULL;
    if (!issuer)
        return gd_strf("%s/%s\n%s", a->platform, a->provider ? a->provider : "", id);
    for (n = strlen(issuer); n && issuer[n - 1] == '/';)
        n--;
    return gd_strf("%.*s\n%s", (int)n, issuer, id);
}

/* One registration under two workspaces would let one agency's flow end in the other's hands (T5). */
static void check_shared(struct ctx *c, yaml_node_pair_t *p)
{
    struct gd_map first = { 0 }, crossing = { 0 };

    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < c->cfg->napps; i++) {
            struct gd_config_app *a = &c->cfg->apps[i], *b;
            GD_AUTO_FREE char *r = registration(a);

            if (!r)
                continue;
            b = gd_map_get(&first, r);
            if (!b)
                gd_map_set(&first, r, a);
            else if (strcmp(a->workspace, b->workspace) != 0)
                gd_map_set(&crossing, r, b);
            if (round == 1 && gd_map_get(&crossing, r) && !a->shared_by_operator)
                gd_config_fail(
                    c, gd_config_node(c, p[i].key), GD_R_CLIENT_SHARED_ACROSS_TENANTS,
                    "apps.%.64s is a registration that apps of another workspace use too: register one "
                    "for each, or set shared_by_operator: yes in all of them",
                    a->id);
        }
    gd_map_done(&first, NULL);
    gd_map_done(&crossing, NULL);
}

static const char *option_of(const struct gd_config_app *a, const struct grantd_option *o)
{
    return gd_json_text(a->options, o->key, o->dflt ? o->dflt : "");
}

/* Two apps of one registration, options that the platform wants alike (GRANTD_OPT_ALIKE). */
static void compare(struct ctx *c, const yaml_node_pair_t *at, const struct gd_config_app *a,
                    const struct gd_config_app *b)
{
    const struct grantd_option *o = c->given->options(c->given->arg, a->platform);

    for (; o && o->key; o++)
        if ((o->flags & GRANTD_OPT_ALIKE) && strcmp(option_of(a, o), option_of(b, o)) != 0)
            gd_config_fail(c, gd_config_node(c, at->key), GD_R_CONFIG_VALUE_INVALID,
                           "apps.%.64s and apps.%.64s are one registration at the platform, which must have "
                           "one %.64s: write the same in both",
                           a->id, b->id, o->key);
}

/* One registration that is configured twice: what one app asks for must not end what the other has. */
static void check_alike(struct ctx *c, yaml_node_pair_t *p)
{
    struct gd_map first = { 0 };

    for (size_t i = 0; !c->no_platforms && c->given->options && i < c->cfg->napps; i++) {
        const struct gd_config_app *a = &c->cfg->apps[i], *b;
        GD_AUTO_FREE char *r = registration(a);

        b = r ? gd_map_get(&first, r) : NULL;
        if (b && !strcmp(a->platform, b->platform))
            compare(c, &p[i], a, b);
        else if (r && !b)
            gd_map_set(&first, r, &c->cfg->apps[i]);
    }
    gd_map_done(&first, NULL);
}

void gd_config_apps(struct ctx *c, yaml_node_t *n)
{
    yaml_node_pair_t *p;
    size_t np;

    if (!gd_config_pairs(c, n, "apps", &p, &np))
        return;
    c->cfg->apps = gd_new_array(np, sizeof *c->cfg->apps);
    c->cfg->napps = np;
    for (size_t i = 0; i < np; i++)
        read_app(c, &p[i], &c->cfg->apps[i]);
    check_shared(c, p);
    check_alike(c, p);
}

/* ---- hubs
 * ----------------------------------------------------------------------------------------------------------
 */

/* Read by read_token, once there is somewhere to put it. */
static void read_later(struct ctx *c, const struct key *k, yaml_node_t *n, void *at)
{
    (void)c;
    (void)k;
    (void)n;
    (void)at;
}

static const struct key hub_keys[] = {
    { "platform", gd_read_name, offsetof(struct gd_config_hub, platform), NULL, 0, 0 },
    { "app", gd_read_name, offsetof(struct gd_config_hub, app), NULL, 0, 0 },
    { "workspace", gd_read_name, offsetof(struct gd_config_hub, workspace), NULL, 0, 0 },
    { "id", gd_read_text, offsetof(struct gd_config_hub, hub_id), NULL, 0, 0 },
    { "access_token", read_later, 0, NULL, 0, 0 },
    { NULL, NULL, 0, NULL, 0, 0 },
};

static void check_hub_app(struct ctx *c, const struct owner *w, const struct gd_config_hub *h)
{
    yaml_node_t *at = gd_config_find(c, w->node, "app");

    if (!h->app)
        return;
    for (size_t i = 0; i < c->cfg->napps; i++) {
        const struct gd_config_app *a = &c->cfg->apps[i];

        if (strcmp(a->id, h->app) != 0)
            continue;
        if (a->platform && h->platform && strcmp(a->platform, h->platform) != 0)
            gd_config_fail(c, at, GD_R_CONFIG_VALUE_INVALID,
                           "apps.%.64s is of the platform %.64s, %s of %.64s", a->id, a->platform, w->what,
                           h->platform);
        else if (a->workspace && strcmp(a->workspace, h->workspace) != 0)
            gd_config_fail(c, at, GD_R_CONFIG_VALUE_INVALID,
                           "apps.%.64s is of the workspace %.64s, %s of %.64s", a->id, a->workspace, w->what,
                           h->workspace);
        return;
    }
    gd_config_fail(c, at, GD_R_CONFIG_VALUE_INVALID, "there is no apps.%.64s", h->app);
}

/* A token that was handed in (of a system user): always a secret. */
static void read_token(struct ctx *c, const struct owner *w)
{
    yaml_node_t *n = gd_config_find(c, w->node, "access_token");

    if (n)
        (void)read_value(c, n, "access_token", true, w->options, w->shown);
}

static void read_hub(struct ctx *c, yaml_node_pair_t *p, struct gd_config_hub *h)
{
    struct owner w = { .hub = true, .keys = hub_keys };

    h->id = gd_strdup(gd_config_key(c, p));
    h->options = json_object();
    h->shown = json_object();
    if (!good_id(c, p, "hubs", &w))
        return;
    own_part(c, &w, h);
    settle_workspace(c, &w, &h->workspace);
    w.options = h->options;
    w.shown = h->shown;
    read_token(c, &w);
    check_hub_app(c, &w, h);
    w.platform = h->platform;
    platform_part(c, &w);
}

/* An app works with one hub: which one native access is given to must never be a guess. */
static void check_rivals(struct ctx *c, yaml_node_pair_t *p)
{
    for (size_t i = 0; i < c->cfg->nhubs; i++)
        for (size_t k = 0; k < i; k++) {
            const struct gd_config_hub *h = &c->cfg->hubs[i], *o = &c->cfg->hubs[k];

            if (!h->platform || !o->platform || !h->workspace || !o->workspace ||
                strcmp(h->platform, o->platform) != 0 || strcmp(h->workspace, o->workspace) != 0)
                continue;
            if (h->app ? o->app && !strcmp(h->app, o->app) : !o->app)
                gd_config_fail(c, gd_config_node(c, p[i].key), GD_R_CONFIG_VALUE_INVALID,
                               "hubs.%.64s and hubs.%.64s work with the same app: name an app of its own in "
                               "each (app: ...); the same registration may be configured twice",
                               h->id, o->id);
        }
}

void gd_config_hubs(struct ctx *c, yaml_node_t *n)
{
    yaml_node_pair_t *p;
    size_t np;

    if (!gd_config_pairs(c, n, "hubs", &p, &np))
        return;
    c->cfg->hubs = gd_new_array(np, sizeof *c->cfg->hubs);
    c->cfg->nhubs = np;
    for (size_t i = 0; i < np; i++)
        read_hub(c, &p[i], &c->cfg->hubs[i]);
    check_rivals(c, p);
}
