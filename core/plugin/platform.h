/* plugin/platform.h - loading platforms. Each is checked before its code can run (owner, modes, links) and
 * before it is used (symbol, ABI, size, name, members); every refusal has a reason word and never stops the
 * others. Start-up, loop thread. Never unloaded. */
#ifndef GD_PLUGIN_PLATFORM_H
#define GD_PLUGIN_PLATFORM_H

#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "log/log.h"

#include <grantd/platform.h>

struct gd_platform {
    struct grantd_platform p;            /* our own copy, members the file does not have are zero */
    char *path;                          /* NULL: linked in */
    struct gd_map providers;             /* name -> json_t *: descriptions, checked (GRANTD_CAP_DESCRIBED) */
    struct gd_doc_seen *seen;            /* of each of them, see doc.h */
    int64_t calls, slow_calls, worst_us; /* measured by the op driver */
};
struct gd_platform_refusal {
    char *path;
    struct gd_err err;
};
struct gd_platforms {
    struct gd_platform *list[GD_PLATFORMS_MAX];
    size_t count;
    struct gd_platform_refusal refused[GD_PLATFORMS_MAX];
    size_t nrefused;
};
/* Loads every *.so of dir; descriptions of a platform NAME from dir/NAME/providers and extra_providers (NULL:
 * none). Fails only when dir itself is not usable (PLATFORM_DIR_UNSAFE, PLATFORM_DIR_MISSING). check_owner
 * false: tests running as an ordinary user on their own build tree. */
int gd_platforms_load(struct gd_platforms *ps, const char *dir, const char *extra_providers, bool check_owner,
                      struct gd_log *log, struct gd_err *err);
void gd_platforms_free(struct gd_platforms *ps);
/* Takes p on success; PLATFORM_DUPLICATE or PLATFORM_TOO_MANY. */
int gd_platforms_add(struct gd_platforms *ps, struct gd_platform *p, struct gd_err *err);
struct gd_platform *gd_platforms_find(const struct gd_platforms *ps, const char *name); /* NULL when absent */
/* One file: dlopen with all checks. */
int gd_platform_load(struct gd_platform **ret, const char *path, bool check_owner, struct gd_err *err);
void gd_platform_free(struct gd_platform *p); /* NULL is fine; only for those that are in no list */
/* Checks a table that is there already (linked in, or just loaded): abi, size, required members, options. */
int gd_platform_check(struct gd_platform *ret, const struct grantd_platform *p, const char *file_name,
                      struct gd_err *err);
/* Reads and checks one provider description: DESCRIPTION_INVALID with file, JSON pointer and what would be
 * right. */
json_t *gd_description_load(const struct gd_platform *p, const char *path, struct gd_err *err);
/* The same for a description that is JSON already; file is only named in the sentence. */
int gd_description_check(const struct gd_platform *p, const json_t *d, const char *file, struct gd_err *err);
/* The role of that name as this mode (NULL: the first) has it; name NULL: the one that is asked when none is
 * named. NULL: there is none. */
const struct grantd_role *gd_platform_role(const struct gd_platform *p, const char *mode, const char *name);
/* Everything that a loader knows, for platform.get and grantd-plugtest --dump: new reference. */
json_t *gd_platform_json(const struct gd_platform *p);
const char *gd_platform_shape_word(uint32_t shape);       /* "rotating", "renewable", ... */
const char *gd_platform_retry_word(uint32_t retry_class); /* "none", "overlap", ... */

#endif
