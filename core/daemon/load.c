/* daemon/load.c - reads the configuration with all that it speaks of: the platforms, whose options are
 * checked, and the policy, whose methods are. The same at start, for a reload, and when somebody only asks
 * whether it is good. */
#include "daemon/daemon.h"
#include "policy/policy.h"
#include "rpc/schema.h"

#include <string.h>

struct loading {
    struct gd_daemon *d;
    struct gd_platforms *platforms;
};

static int load_platforms(void *arg, const struct gd_config *c, struct gd_err *err)
{
    struct loading *l = arg;

    return gd_platforms_load(l->platforms, c->platform_dir, c->provider_dir, !l->d->o.own_platforms,
                             l->d->log, err);
}

static const struct grantd_option *platform_options(void *arg, const char *name)
{
    struct loading *l = arg;
    struct gd_platform *p = gd_platforms_find(l->platforms, name);

    if (!p)
        return NULL;
    return p->p.options ? p->p.options : gd_config_no_options;
}

/* words: "noun.verb" or "noun.*" */
static bool is_method(void *schemas, const char *words)
{
    size_t n = strlen(words) - (words[strlen(words) - 1] == '*');

    for (size_t i = 0; i < gd_schemas_count(schemas); i++) {
        const char *method = gd_schemas_at(schemas, i)->method;

        if (words[n] ? !strncmp(method, words, n) : !strcmp(method, words))
            return true;
    }
    return false;
}

struct gd_policy *gd_daemon_policy(const struct gd_config *c, struct gd_err *err)
{
    struct gd_schemas *schemas = gd_schemas_new();
    struct gd_policy *p = gd_policy_new(c->policy, is_method, schemas, err);

    gd_schemas_free(schemas);
    return p;
}

static int check_policy(const struct gd_config *c, struct gd_config_errors *errors)
{
    struct gd_err err = { 0 };
    struct gd_policy *p = gd_daemon_policy(c, &err);
    struct gd_config_error *e = &errors->list[0];

    gd_policy_free(p);
    if (p)
        return 0;
    errors->count = 1;
    e->reason = err.reason;
    (void)snprintf(e->text, sizeof e->text, "%s", err.text);
    return -1;
}

int gd_daemon_load_config(struct gd_daemon *d, const char *path, struct gd_platforms *platforms,
                          struct gd_config **ret, struct gd_config_errors *errors)
{
    struct loading l = { d, platforms };
    struct gd_config_given given = { .state_dir = d->o.state_dir,
                                     .platform_dir = d->o.platform_dir,
                                     .socket = d->o.socket,
                                     .load_platforms = load_platforms,
                                     .options = platform_options,
                                     .arg = &l };

    struct gd_config *c;

    if (gd_config_load(&c, path, &given, errors))
        return -1;
    if (check_policy(c, errors)) {
        gd_config_free(c);
        return -1;
    }
    *ret = c;
    return 0;
}
