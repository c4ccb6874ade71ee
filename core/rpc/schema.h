/* rpc/schema.h - what can be called: one schema file per method, embedded at build time. The daemon checks
 * parameters and (in debug builds) replies with them; grantctl and the manual are made of the same. Uses only
 * base, so that tools can link it. The notation is described in rpc/schema/README.md. Immutable after
 * gd_schemas_new: any thread. */
#ifndef GD_RPC_SCHEMA_H
#define GD_RPC_SCHEMA_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

struct gd_schemas;
struct gd_schema {
    const char *method, *summary, *since;
    bool mutates, follow;
    const json_t *doc, *params, *result, *scope, *examples; /* scope may be NULL */
};

/* Parses what was embedded; a schema that does not parse is a build that must not run (aborts). */
struct gd_schemas *gd_schemas_new(void);
void gd_schemas_free(struct gd_schemas *s); /* NULL is fine */
size_t gd_schemas_count(const struct gd_schemas *s);
const struct gd_schema *gd_schemas_at(const struct gd_schemas *s, size_t i); /* sorted by method */
const struct gd_schema *gd_schemas_find(const struct gd_schemas *s, const char *method); /* NULL: unknown */

/* Checks params (an object) and fills in defaults, durations become seconds. PARAM_INVALID names the
 * parameter and says what would be right; the value itself is never quoted, it may be a secret. */
int gd_schema_check_params(const struct gd_schema *m, json_t *params, struct gd_err *err);
/* Checks a reply. INTERNAL names the member. */
int gd_schema_check_result(const struct gd_schemas *s, const struct gd_schema *m, const json_t *result,
                           struct gd_err *err);
/* "an id of the form gr...", "one of active, ended" in words. out is cut when it does not fit. */
void gd_schema_type_words(const json_t *param, char *out, size_t cap);
/* "90s", "15m", "24h", "14d" or digits as seconds; false when it is none. */
bool gd_schema_duration(const char *text, int64_t *ret_seconds);
/* The word of the list (ends with NULL) that was probably meant; NULL when none is near. */
const char *gd_schema_nearest(const char *word, const char *const *list);

#endif
