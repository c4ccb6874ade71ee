/* policy/policy.c - rules only allow; who finds no rule is refused. The daemon's own user and root need none.
 */
#include "policy/policy.h"

#include "base/mem.h"
#include "base/text.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

struct words { /* what one key of a rule names; n 0: the rule does not care */
    char **list;
    size_t n;
};
struct rule {
    bool group; /* id is a group's */
    unsigned id;
    struct words methods, workspaces, clients, platforms;
};
struct gd_policy {
    uid_t own;
    struct rule *rules;
    size_t nrules;
};

/* ---- making
 * ------------------------------------------------------------------------------------------------------ */

/* One rule while it is read, for messages. */
struct reading {
    size_t number;
    const json_t *rule;
    gd_policy_named_fn *named;
    void *arg;
    struct gd_err *err;
};

static int bad(const struct reading *r, const char *what, const char *which)
{
    const char *at = gd_json_text(r->rule, "at", NULL);

    return gd_err_set(r->err, GD_R_POLICY_INVALID, "%.220s%srule %zu of policy: %s%s%.64s", at ? at : "",
                      at ? ": " : "", r->number, what, which ? ": " : "", which ? which : "");
}

/* "*", "noun.*" or "noun.verb". */
static bool good_method(const char *m)
{
    size_t noun = strspn(m, "abcdefghijklmnopqrstuvwxyz_"), verb;

    if (!strcmp(m, "*"))
        return true;
    if (noun == 0 || m[noun] != '.')
        return false;
    verb = strspn(m + noun + 1, "abcdefghijklmnopqrstuvwxyz_");
    return !strcmp(m + noun, ".*") || (verb > 0 && m[noun + 1 + verb] == '\0');
}

static int read_word(const struct reading *r, const char *key, const json_t *v, char **ret)
{
    const char *s = json_string_value(v);

    if (!s || !*s)
        return bad(r, "takes words only", key);
    if (!strcmp(key, "methods") && !good_method(s))
        return bad(r, "a method is noun.verb, noun.* or *, not", s);
    if (!strcmp(key, "methods") && strcmp(s, "*") != 0 && r->named && !r->named(r->arg, s))
        return bad(r, "there is no such method (`grantctl help` names all)", s);
    *ret = gd_strdup(s);
    return 0;
}

static int read_words(const struct reading *r, const char *key, struct words *w)
{
    const json_t *v = json_object_get(r->rule, key);

    if (!v)
        return 0;
    if (!json_is_array(v) || json_array_size(v) == 0)
        return bad(r, "is no list, or an empty one", key);
    w->list = gd_new_array(json_array_size(v), sizeof *w->list);
    for (; w->n < json_array_size(v); w->n++)
        if (read_word(r, key, json_array_get(v, w->n), &w->list[w->n]) != 0)
            return -1;
    return 0;
}

/* A number is an id whether or not somebody has it; a name has to exist now. */
static int read_who(const struct reading *r, const json_t *v, struct rule *to)
{
    const char *name = json_string_value(v);
    int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
    const struct passwd *pw;
    const struct group *gr;

    if (!name && id < 0)
        return bad(r, "user and group are a name or a number", NULL);
    if (name && !gd_parse_i64(name, &id)) {
        pw = to->group ? NULL : getpwnam(name);
        gr = to->group ? getgrnam(name) : NULL;
        if (!pw && !gr)
            return bad(r, to->group ? "this machine has no group" : "this machine has no user", name);
        id = pw ? pw->pw_uid : gr->gr_gid;
    }
    if (id < 0 || id >= UINT32_MAX) /* (uid_t)-1 is nobody's */
        return bad(r, "this is no id of a user or group", name);
    to->id = (unsigned)id;
    return 0;
}

static int check_keys(const struct reading *r)
{
    static const char *const known[] = { "user",    "group",     "methods", "workspaces",
                                         "clients", "platforms", "at" };
    const char *key;
    json_t *v;

    if (!json_is_object(r->rule))
        return bad(r, "is no object", NULL);
    json_object_foreach((json_t *)(uintptr_t)r->rule, key, v)
    {
        size_t i = 0;

        while (i < sizeof known / sizeof *known && strcmp(known[i], key) != 0)
            i++;
        if (i == sizeof known / sizeof *known)
            return bad(r, "does not know", key);
    }
    return 0;
}

static int read_rule(const struct reading *r, struct rule *to)
{
    const json_t *user, *group;

    if (check_keys(r) != 0)
        return -1;
    user = json_object_get(r->rule, "user");
    group = json_object_get(r->rule, "group");
    if (!user == !group)
        return bad(r, "needs either user or group", NULL);
    to->group = group != NULL;
    if (read_who(r, group ? group : user, to) != 0)
        return -1;
    if (!json_object_get(r->rule, "methods"))
        return bad(r, "needs methods", NULL);
    return read_words(r, "methods", &to->methods) != 0 || read_words(r, "workspaces", &to->workspaces) != 0 ||
                   read_words(r, "clients", &to->clients) != 0 ||
                   read_words(r, "platforms", &to->platforms) != 0
               ? -1
               : 0;
}

struct gd_policy *gd_policy_new(const json_t *rules, gd_policy_named_fn *named, void *arg, struct gd_err *err)
{
    struct gd_policy *p = gd_new(sizeof *p);
    struct reading r = { .named = named, .arg = arg, .err = err };

    p->own = geteuid();
    if (rules && (!json_is_array(rules) || json_array_size(rules) > GD_POLICY_RULES_MAX)) {
        gd_err_set(err, GD_R_POLICY_INVALID, "policy has to be a list of at most %d rules",
                   GD_POLICY_RULES_MAX);
        gd_policy_free(p);
        return NULL;
    }
    p->rules = gd_new_array(json_array_size(rules), sizeof *p->rules);
    while (p->nrules < json_array_size(rules)) {
        r.rule = json_array_get(rules, p->nrules);
        r.number = p->nrules + 1;
        if (read_rule(&r, &p->rules[p->nrules++]) != 0) {
            gd_policy_free(p);
            return NULL;
        }
    }
    return p;
}

static void free_words(struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        gd_free(w->list[i]);
    gd_free(w->list);
}

void gd_policy_free(struct gd_policy *p)
{
    if (!p)
        return;
    for (struct rule *r = p->rules; r && r < p->rules + p->nrules; r++) {
        free_words(&r->methods);
        free_words(&r->workspaces);
        free_words(&r->clients);
        free_words(&r->platforms);
    }
    gd_free(p->rules);
    gd_free(p);
}

/* ---- asking
 * ------------------------------------------------------------------------------------------------------- */

static bool is_for(const struct rule *r, const struct gd_caller *c)
{
    if (!r->group)
        return r->id == c->uid;
    if (r->id == c->gid)
        return true;
    for (unsigned i = 0; i < c->ngroups && i < GD_GROUPS_MAX; i++)
        if (c->groups[i] == r->id)
            return true;
    return false;
}

static bool method_fits(const struct words *w, const char *method)
{
    for (size_t i = 0; i < w->n; i++) {
        const char *m = w->list[i];
        size_t n = strlen(m);

        if (!strcmp(m, method) || !strcmp(m, "*"))
            return true;
        if (m[n - 1] == '*' && !strncmp(m, method, n - 1)) /* up to and with the dot */
            return true;
    }
    return false;
}

/* A rule that cares holds for what it names, and for calls that have nothing to name. */
static bool fits(const struct words *w, const char *name, bool as_such)
{
    if (w->n == 0 || (as_such && !name))
        return true;
    for (size_t i = 0; name && i < w->n; i++)
        if (!strcmp(w->list[i], name) || !strcmp(w->list[i], "*"))
            return true;
    return false;
}

bool gd_policy_allows_on(const struct gd_policy *p, const struct gd_caller *c, const char *method,
                         const char *workspace, const char *client, const char *platform)
{
    bool as_such = !workspace && !client && !platform;

    if (c->uid == 0 || c->uid == p->own)
        return true;
    for (const struct rule *r = p->rules; r < p->rules + p->nrules; r++)
        if (is_for(r, c) && method_fits(&r->methods, method) && fits(&r->workspaces, workspace, as_such) &&
            fits(&r->clients, client, as_such) && fits(&r->platforms, platform, as_such))
            return true;
    return false;
}

bool gd_policy_allows(const struct gd_policy *p, const struct gd_caller *c, const char *method,
                      const char *workspace, const char *client)
{
    return gd_policy_allows_on(p, c, method, workspace, client, NULL);
}
