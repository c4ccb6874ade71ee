/* plugin/check.c - is a platform's table one that can be used? What it points at is the file's own const
 * data; it is read here for the first time, after abi and size said how much of it there is. */
#include "plugin/check.h"
#include "plugin/url.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define MINIMUM offsetof(struct grantd_platform, verify) /* members up to here are mandatory since 1.0 */

int gd_plugin_check_head(const struct grantd_platform *p, size_t room, const char *file_name,
                         struct gd_err *err)
{
    if (room && room < sizeof p->abi + sizeof p->size)
        return gd_err_set(err, GD_R_PLATFORM_SIZE, "%s: its symbol has %zu bytes, no room for a table",
                          file_name, room);
    if (p->abi != GRANTD_ABI)
        return gd_err_set(err, GD_R_PLATFORM_ABI, "%s is made for ABI %u, this grantd has %u; rebuild it",
                          file_name, p->abi, GRANTD_ABI);
    if (p->size < MINIMUM || p->size > GD_PLATFORM_TABLE_MAX || (room && p->size > room))
        return gd_err_set(
            err, GD_R_PLATFORM_SIZE,
            "%s says that its table has %u bytes; at least %zu and no more than it has are right", file_name,
            p->size, MINIMUM);
    return 0;
}

static int check_name(const struct grantd_platform *p, const char *file_name, struct gd_err *err)
{
    if (!p->name || !gd_name_valid(p->name, GD_NAME_MAX))
        return gd_err_set(err, GD_R_PLATFORM_NAME, "%s: a name is small letters, digits, - and _", file_name);
    if (strcmp(p->name, file_name) != 0)
        return gd_err_set(err, GD_R_PLATFORM_NAME, "the file %s.so calls itself %s; name the file %s.so",
                          file_name, p->name, p->name);
    return 0;
}

static int check_members(const struct grantd_platform *p, struct gd_err *err)
{
    const char *missing = !p->title || !*p->title ? "title"
                          : !p->request           ? "request"
                          : !p->grant             ? "grant"
                          : !p->refresh           ? "refresh"
                          : !p->revoke            ? "revoke"
                                                  : NULL;

    if (missing)
        return gd_err_set(err, GD_R_PLATFORM_INCOMPLETE, "%s lacks .%s, which every platform must have",
                          p->name, missing);
    return 0;
}

static int check_numbers(const struct grantd_platform *p, struct gd_err *err)
{
    const uint32_t known = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_DESCRIBED | GRANTD_CAP_DESCRIBED_HOSTS |
                           GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT;

    if (p->caps & ~known)
        return gd_err_set(err, GD_R_PLATFORM_CAPS, "%s has unknown bits in .caps (0x%x)", p->name, p->caps);
    if (p->state_size > GD_PLATFORM_STATE_MAX)
        return gd_err_set(err, GD_R_PLATFORM_STATE, "%s wants %u bytes of state, at most %d are given",
                          p->name, p->state_size, GD_PLATFORM_STATE_MAX);
    if (p->shape < GRANTD_SHAPE_ROTATING || p->shape > GRANTD_SHAPE_SEAT)
        return gd_err_set(err, GD_R_PLATFORM_SHAPE, "%s: .shape must be one of GRANTD_SHAPE_", p->name);
    if (p->retry_class > GRANTD_RETRY_FAMILY)
        return gd_err_set(err, GD_R_PLATFORM_SHAPE, "%s: .retry_class must be one of GRANTD_RETRY_", p->name);
    if ((p->retry_class == GRANTD_RETRY_GRACE) != (p->retry_grace != 0))
        return gd_err_set(err, GD_R_PLATFORM_SHAPE,
                          "%s: .retry_grace goes with GRANTD_RETRY_GRACE, and only with it", p->name);
    return 0;
}

static bool choice_known(const char *const *choices, const char *text)
{
    for (; choices && *choices; choices++)
        if (!strcmp(*choices, text))
            return true;
    return false;
}

static bool default_fits(const struct grantd_option *o)
{
    struct gd_plugin_url u;
    int64_t n;

    if (!o->dflt)
        return true;
    switch (o->type) {
    case GRANTD_URL:
        return gd_plugin_url_parse(o->dflt, &u);
    case GRANTD_INT:
        return gd_parse_i64(o->dflt, &n);
    case GRANTD_BOOL:
        return !strcmp(o->dflt, "true") || !strcmp(o->dflt, "false");
    case GRANTD_ENUM:
        return choice_known(o->choices, o->dflt);
    default:
        return gd_text_clean(o->dflt, strlen(o->dflt));
    }
}

/* What is wrong with an option, NULL when nothing is. */
static const char *option_fault(const struct grantd_option *o)
{
    if (!gd_name_valid(o->key, 64))
        return "its key is not made of small letters, digits, - and _";
    if (!o->help || !*o->help)
        return "it has no .help";
    if (o->flags & ~(uint32_t)(GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET | GRANTD_OPT_HUB | GRANTD_OPT_ALIKE))
        return "it has unknown bits in .flags";
    if ((o->flags & GRANTD_OPT_ALIKE) && (o->flags & (GRANTD_OPT_SECRET | GRANTD_OPT_HUB)))
        return "a secret, or what belongs to a hub, is not compared between apps";
    if (o->type > GRANTD_ENUM)
        return "its .type is unknown";
    if ((o->type == GRANTD_ENUM) != (o->choices && o->choices[0]))
        return ".choices goes with GRANTD_ENUM, and only with it";
    if (o->dflt && (o->flags & (GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET)))
        return "a required or secret option has no default";
    if (!default_fits(o))
        return "its default is not of its type";
    return NULL;
}

static int check_list(const struct grantd_platform *p, const struct grantd_option *list, const char *what,
                      uint32_t flags, struct gd_err *err)
{
    const struct grantd_option *o = list;

    for (size_t n = 0; o && o->key; o++, n++) {
        const char *fault = n < GD_PLATFORM_LIST_MAX ? option_fault(o) : "there are too many";

        if (!fault && (o->flags & ~flags))
            fault = "its .flags do not go with it";
        for (const struct grantd_option *other = list; other < o && !fault; other++)
            if (!strcmp(other->key, o->key))
                fault = "its key is there twice";
        if (fault)
            return gd_err_set(err, GD_R_PLATFORM_OPTIONS, "%s: %s %.64s: %s", p->name, what, o->key, fault);
    }
    return 0;
}

static int check_options(const struct grantd_platform *p, struct gd_err *err)
{
    if (check_list(p, p->options, "option", UINT32_MAX, err) != 0)
        return -1;
    return check_list(p, p->params, "parameter", GRANTD_OPT_REQUIRED, err);
}

static int check_roles(const struct grantd_platform *p, struct gd_err *err)
{
    const struct grantd_role *r = p->roles;

    for (size_t n = 0; r && r->name; r++, n++) {
        const char *fault = n < GD_PLATFORM_LIST_MAX ? NULL : "there are too many roles";

        if (!*r->name || !gd_text_clean(r->name, strlen(r->name)) || strlen(r->name) > GD_NAME_MAX)
            fault = "its name is empty or not plain text";
        else if (!r->title || !*r->title || !r->may || !*r->may || !r->may_not || !*r->may_not)
            fault = "title, may and may_not are shown to the client and must be there";
        for (const struct grantd_role *other = p->roles; other < r && !fault; other++)
            if (!strcmp(other->name, r->name))
                fault = "it is there twice";
        if (fault)
            return gd_err_set(err, GD_R_PLATFORM_ROLES, "%s: role %.64s: %s", p->name, r->name, fault);
    }
    return 0;
}

static bool role_known(const struct grantd_platform *p, const char *name)
{
    for (const struct grantd_role *r = p->roles; r && r->name; r++)
        if (!strcmp(r->name, name))
            return true;
    return false;
}

static const char *mode_roles_fault(const struct grantd_platform *p, const struct grantd_mode_roles *m)
{
    if (!choice_known(p->modes, m->mode))
        return "it is not one of .modes";
    for (const struct grantd_mode_roles *other = p->mode_roles; other < m; other++)
        if (!strcmp(other->mode, m->mode))
            return "it is there twice";
    if (!m->roles)
        return "it has no .roles; an empty list says that the mode has none";
    for (size_t i = 0; m->roles[i]; i++) {
        if (!role_known(p, m->roles[i]))
            return "it lists a role that is not one of .roles";
        for (size_t k = 0; k < i; k++)
            if (!strcmp(m->roles[i], m->roles[k]))
                return "it lists a role twice";
    }
    return NULL;
}

static int check_mode_roles(const struct grantd_platform *p, struct gd_err *err)
{
    for (const struct grantd_mode_roles *m = p->mode_roles; m && m->mode; m++) {
        const char *fault = mode_roles_fault(p, m);

        if (fault)
            return gd_err_set(err, GD_R_PLATFORM_ROLES, "%s: .mode_roles of %.64s: %s", p->name, m->mode,
                              fault);
    }
    return 0;
}

static int check_modes(const struct grantd_platform *p, struct gd_err *err)
{
    for (size_t i = 0; p->modes && p->modes[i]; i++) {
        if (i >= GD_PLATFORM_LIST_MAX || !gd_name_valid(p->modes[i], GD_NAME_MAX))
            return gd_err_set(err, GD_R_PLATFORM_MODES,
                              "%s: mode %.64s: a name is small letters, digits, - and _", p->name,
                              p->modes[i]);
        if (!strcmp(p->modes[i], GRANTD_MODE_HUB))
            return gd_err_set(err, GD_R_PLATFORM_MODES, "%s: the mode %s is the host's own", p->name,
                              p->modes[i]);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(p->modes[i], p->modes[k]))
                return gd_err_set(err, GD_R_PLATFORM_MODES, "%s: mode %s is there twice", p->name,
                                  p->modes[i]);
    }
    return 0;
}

static int check_hosts(const struct grantd_platform *p, struct gd_err *err)
{
    for (size_t i = 0; p->hosts && p->hosts[i]; i++) {
        if (i >= GD_PLATFORM_LIST_MAX)
            return gd_err_set(err, GD_R_PLATFORM_HOSTS, "%s has too many hosts", p->name);
        if (!gd_plugin_host_pattern(p->hosts[i]))
            return gd_err_set(
                err, GD_R_PLATFORM_HOSTS,
                "%s: host %.64s: a host is api.example.com or *.example.com, in small letters, without "
                "scheme, port or path",
                p->name, p->hosts[i]);
    }
    return 0;
}

static const char *field_fault(const struct grantd_field *f)
{
    if (!*f->path || f->path[0] == '.' || strstr(f->path, "..") || f->path[strlen(f->path) - 1] == '.')
        return "its path is not words joined by dots";
    if (f->type < GRANTD_F_TEXT || f->type > GRANTD_F_LIST)
        return "its type is unknown";
    if ((f->type == GRANTD_F_ENUM) != (f->choices && *f->choices))
        return ".choices goes with GRANTD_F_ENUM, and only with it";
    if (!f->help || !*f->help)
        return "it has no .help";
    if (f->required && f->dflt)
        return "a required field has no default";
    return NULL;
}

static int check_fields(const struct grantd_platform *p, struct gd_err *err)
{
    const struct grantd_field *f = p->description;

    if (!(p->caps & GRANTD_CAP_DESCRIBED) != !f)
        return gd_err_set(err, GD_R_PLATFORM_FIELDS,
                          "%s: .description goes with GRANTD_CAP_DESCRIBED, and only with it", p->name);
    for (size_t n = 0; f && f->path; f++, n++) {
        const char *fault = n < GD_PLATFORM_FIELDS_MAX ? field_fault(f) : "there are too many fields";

        for (const struct grantd_field *other = p->description; other < f && !fault; other++)
            if (!strcmp(other->path, f->path))
                fault = "it is there twice";
        if (fault)
            return gd_err_set(err, GD_R_PLATFORM_FIELDS, "%s: field %.80s: %s", p->name, f->path, fault);
    }
    return 0;
}

int gd_platform_check(struct gd_platform *ret, const struct grantd_platform *p, const char *file_name,
                      struct gd_err *err)
{
    struct grantd_platform own = { 0 };

    if (gd_plugin_check_head(p, 0, file_name, err) != 0)
        return -1;
    memcpy(&own, p, p->size < sizeof own ? p->size : sizeof own);
    if (check_name(&own, file_name, err) != 0 || check_members(&own, err) != 0 ||
        check_numbers(&own, err) != 0 || check_options(&own, err) != 0 || check_roles(&own, err) != 0 ||
        check_modes(&own, err) != 0 || check_mode_roles(&own, err) != 0 || check_hosts(&own, err) != 0 ||
        check_fields(&own, err) != 0)
        return -1;
    ret->p = own;
    return 0;
}
