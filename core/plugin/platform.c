/* plugin/platform.c - loading platforms and knowing them. What was loaded stays mapped until the process
 * ends. */
#include "plugin/platform.h"
#include "plugin/doc.h"
#include "plugin/check.h"
#include "plugin/place.h"
#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void free_provider(void *j)
{
    json_decref(j);
}

void gd_platform_free(struct gd_platform *p)
{
    if (!p)
        return;
    gd_map_done(&p->providers, free_provider);
    gd_doc_seen_free(p->seen);
    gd_free(p->path);
    gd_free(p);
}

/* The dynamic linker remembers a file by the text of its path, and descriptors are used again: each load
 * spells the path in its own way ("/" or "/./" for each bit of a counter), so that no name is taken for an
 * earlier file. */
static void fd_path(char *out, size_t size, int fd)
{
    static unsigned loads;
    unsigned n = ++loads;
    size_t at = (size_t)snprintf(out, size, "/proc/self/fd/");

    for (; n; n >>= 1)
        at += (size_t)snprintf(out + at, size - at, n & 1 ? "./" : "/");
    (void)snprintf(out + at, size - at, "%d", fd);
}

static int dlopen_failed(const char *name, struct gd_err *err)
{
    const char *why = dlerror(), *undefined = why ? strstr(why, "undefined symbol: ") : NULL;
    const char *tail = why ? strstr(why, ": ") : NULL;

    if (undefined)
        return gd_err_set(err, GD_R_PLATFORM_UNDEFINED, "%s.so has an %s", name, undefined);
    return gd_err_set(err, GD_R_PLATFORM_LOAD, "%s.so cannot be loaded: %s", name,
                      tail ? tail + 2 : "unknown");
}

/* The table, with the room that the file itself says it has. */
static const struct grantd_platform *find_table(void *so, const char *name, size_t *ret_room,
                                                struct gd_err *err)
{
    void *table = dlsym(so, "grantd_platform_v1");
    const ElfW(Sym) *sym = NULL;
    Dl_info info;

    if (!table || !dladdr1(table, &info, (void **)(void *)&sym, RTLD_DL_SYMENT) || !sym ||
        info.dli_saddr != table) {
        gd_err_set(err, GD_R_PLATFORM_SYMBOL, "%s.so does not export grantd_platform_v1", name);
        return NULL;
    }
    if (ELF64_ST_TYPE(sym->st_info) != STT_OBJECT) {
        gd_err_set(err, GD_R_PLATFORM_SYMBOL, "%s.so: grantd_platform_v1 is not data", name);
        return NULL;
    }
    *ret_room = sym->st_size;
    return table;
}

/* Every function of the table must be code of the file that was checked. */
static int check_code(const struct grantd_platform *own, const void *table, struct gd_err *err)
{
    grantd_fn *const fns[] = { own->request, own->grant, own->refresh, own->revoke,
                               own->verify,  own->scan,  own->notice };
    Dl_info here, there;

    if (!dladdr(table, &here))
        return gd_err_set(err, GD_R_PLATFORM_SYMBOL, "%s.so cannot be looked at after loading", own->name);
    for (size_t i = 0; i < sizeof fns / sizeof *fns; i++) {
        void *at;

        memcpy(&at, &fns[i], sizeof at);
        if (at && (!dladdr(at, &there) || there.dli_fbase != here.dli_fbase))
            return gd_err_set(err, GD_R_PLATFORM_FOREIGN_CODE,
                              "%s.so: a function of its table is not in the file", own->name);
    }
    return 0;
}

static int load_fd(struct gd_platform *p, int fd, const char *name, struct gd_err *err)
{
    const struct grantd_platform *table;
    char path[160];
    size_t room = 0;
    void *so;

    fd_path(path, sizeof path, fd);
    so = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!so)
        return dlopen_failed(name, err);
    table = find_table(so, name, &room, err);
    if (!table || gd_plugin_check_head(table, room, name, err) != 0 ||
        gd_platform_check(p, table, name, err) != 0)
        return -1;
    return check_code(&p->p, table, err);
}

/* file: "name.so" in the open folder. */
static int load_at(struct gd_platform **ret, int dir, const char *file, const char *path, bool check_owner,
                   struct gd_err *err)
{
    GD_AUTO_FREE char *name = gd_strdup(file);
    size_t n = strlen(name);
    struct gd_platform *p;
    int fd, rc;

    if (n < 4 || strcmp(name + n - 3, ".so") != 0)
        return gd_err_set(err, GD_R_PLATFORM_NAME, "%s: a platform is a file NAME.so", file);
    name[n - 3] = '\0';
    if (!gd_name_valid(name, GD_NAME_MAX))
        return gd_err_set(err, GD_R_PLATFORM_NAME, "%s: a name is small letters, digits, - and _", file);
    fd = gd_plugin_open_file(dir, file, check_owner, err);
    if (fd < 0)
        return -1;
    p = gd_new(sizeof *p);
    rc = load_fd(p, fd, name, err);
    (void)close(fd);
    if (rc != 0) {
        gd_platform_free(p);
        return -1;
    }
    p->path = gd_strdup(path);
    *ret = p;
    return 0;
}

int gd_platform_load(struct gd_platform **ret, const char *path, bool check_owner, struct gd_err *err)
{
    const char *slash = strrchr(path, '/');
    GD_AUTO_FREE char *dir = !slash          ? gd_strdup(".")
                             : slash == path ? gd_strdup("/")
                                             : gd_strndup(path, (size_t)(slash - path));
    int fd = gd_plugin_open_dir(dir, check_owner, err), rc;

    if (fd < 0)
        return -1;
    rc = load_at(ret, fd, slash ? slash + 1 : path, path, check_owner, err);
    (void)close(fd);
    return rc;
}

/* ---- all of a folder
 * --------------------------------------------------------------------------------------- */

struct names {
    char **list;
    size_t count, cap;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_done(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        gd_free(n->list[i]);
    gd_free(n->list);
}

/* Entries of the folder that end in suffix, in the order of their names. Takes dir. */
static void names_of(struct names *n, int dir, const char *suffix)
{
    DIR *d = fdopendir(dir);
    size_t want = strlen(suffix);

    if (!d) {
        (void)close(dir);
        return;
    }
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        size_t len = strlen(e->d_name);

        if (e->d_name[0] == '.' || len <= want || strcmp(e->d_name + len - want, suffix) != 0)
            continue;
        if (n->count == n->cap) {
            n->cap = n->cap ? n->cap * 2 : 16;
            n->list = gd_resize(n->list, n->cap * sizeof *n->list);
        }
        n->list[n->count++] = gd_strdup(e->d_name);
    }
    (void)closedir(d);
    if (n->count)
        qsort(n->list, n->count, sizeof *n->list, by_text);
}

static void refuse(struct gd_platforms *ps, const char *path, const struct gd_err *why, struct gd_log *log)
{
    GD_LOG(log, GD_LOG_WARN, "platform.refused", GD_F_STR("file", path), GD_F_ERR(why));
    if (ps->nrefused == GD_PLATFORMS_MAX)
        return;
    ps->refused[ps->nrefused].path = gd_strdup(path);
    ps->refused[ps->nrefused++].err = *why;
}

static void add_provider(struct gd_platforms *ps, struct gd_platform *p, const char *dir, const char *file,
                         struct gd_log *log)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s", dir, file);
    struct gd_err err;
    json_t *d = gd_description_load(p, path, &err);
    const char *id = gd_json_text(d, "id", "");
    struct gd_doc_seen *seen;

    if (d && gd_map_get(&p->providers, id)) {
        gd_err_set(&err, GD_R_DESCRIPTION_INVALID,
                   "%s: /id: there is a description %s already; rename this one", path, id);
        json_decref(d);
        d = NULL;
    }
    if (d && p->providers.count >= GD_PROVIDERS_MAX) {
        gd_err_set(&err, GD_R_DESCRIPTION_INVALID, "%s: more than %d descriptions; remove some", path,
                   GD_PROVIDERS_MAX);
        json_decref(d);
        d = NULL;
    }
    if (!d) {
        refuse(ps, path, &err, log);
        return;
    }
    seen = gd_doc_seen_new(d);
    seen->next = p->seen;
    p->seen = seen;
    (void)gd_map_set(&p->providers, id, d);
}

/* A folder that is not there has no descriptions. */
static void add_providers(struct gd_platforms *ps, struct gd_platform *p, const char *dir, struct gd_log *log)
{
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    struct names n = { 0 };

    if (fd < 0)
        return;
    names_of(&n, fd, ".json");
    for (size_t i = 0; i < n.count; i++)
        add_provider(ps, p, dir, n.list[i], log);
    names_done(&n);
}

int gd_platforms_add(struct gd_platforms *ps, struct gd_platform *p, struct gd_err *err)
{
    if (gd_platforms_find(ps, p->p.name))
        return gd_err_set(err, GD_R_PLATFORM_DUPLICATE, "a platform %s is loaded already, from %s", p->p.name,
                          gd_platforms_find(ps, p->p.name)->path);
    if (ps->count == GD_PLATFORMS_MAX)
        return gd_err_set(err, GD_R_PLATFORM_TOO_MANY, "more than %d platforms", GD_PLATFORMS_MAX);
    ps->list[ps->count++] = p;
    return 0;
}

static void load_one(struct gd_platforms *ps, int fd, const char *dir, const char *file, const char *extra,
                     bool check_owner, struct gd_log *log)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s", dir, file);
    GD_AUTO_FREE char *providers = gd_strf("%s/%.*s/providers", dir, (int)(strlen(file) - 3), file);
    struct gd_platform *p = NULL;
    struct gd_err err;

    if (load_at(&p, fd, file, path, check_owner, &err) != 0 || gd_platforms_add(ps, p, &err) != 0) {
        refuse(ps, path, &err, log);
        gd_platform_free(p);
        return;
    }
    if (p->p.caps & GRANTD_CAP_DESCRIBED) {
        add_providers(ps, p, providers, log);
        add_providers(ps, p, extra, log);
    }
    GD_LOG(log, GD_LOG_DEBUG, "platform.loaded", GD_F_STR("platform", p->p.name), GD_F_STR("file", path),
           GD_F_INT("providers", p->providers.count));
}

int gd_platforms_load(struct gd_platforms *ps, const char *dir, const char *extra_providers, bool check_owner,
                      struct gd_log *log, struct gd_err *err)
{
    int fd = gd_plugin_open_dir(dir, check_owner, err);
    struct names n = { 0 };

    if (fd < 0)
        return -1;
    names_of(&n, fcntl(fd, F_DUPFD_CLOEXEC, 0), ".so");
    for (size_t i = 0; i < n.count; i++)
        load_one(ps, fd, dir, n.list[i], extra_providers, check_owner, log);
    names_done(&n);
    (void)close(fd);
    return 0;
}

void gd_platforms_free(struct gd_platforms *ps)
{
    for (size_t i = 0; i < ps->count; i++)
        gd_platform_free(ps->list[i]);
    for (size_t i = 0; i < ps->nrefused; i++)
        gd_free(ps->refused[i].path);
    *ps = (struct gd_platforms){ 0 };
}

struct gd_platform *gd_platforms_find(const struct gd_platforms *ps, const char *name)
{
    for (size_t i = 0; i < ps->count; i++)
        if (!strcmp(ps->list[i]->p.name, name))
            return ps->list[i];
    return NULL;
}
