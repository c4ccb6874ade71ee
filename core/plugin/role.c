/* plugin/role.c - which role an item asks for: what the agency named, if this mode has it, else the mode's
 * default. Decided here and nowhere else, so that the client sees what the platform is then asked for. */
#include "plugin/platform.h"

#include <string.h>

/* NULL: the mode has all roles. */
static const char *const *listed(const struct grantd_platform *p, const char *mode)
{
    const struct grantd_mode_roles *m = p->mode_roles;

    if (!mode)
        mode = p->modes && p->modes[0] ? p->modes[0] : "";
    for (; m && m->mode; m++)
        if (!strcmp(m->mode, mode))
            return m->roles;
    return NULL;
}

static bool among(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (!strcmp(*names, name))
            return true;
    return false;
}

const struct grantd_role *gd_platform_role(const struct gd_platform *p, const char *mode, const char *name)
{
    const struct grantd_role *r = p->p.roles;
    const char *const *names = listed(&p->p, mode);

    if (!r || (mode && !strcmp(mode, GRANTD_MODE_HUB)) || (names && !names[0]))
        return NULL;
    if (!name && !names)
        return r->name ? r : NULL;
    if (!name)
        name = names[0];
    for (; r->name; r++)
        if (!strcmp(r->name, name))
            return !names || among(names, name) ? r : NULL;
    return NULL;
}
