/* base/json.h - the only door for JSON from outside: byte cap, depth cap, no duplicate keys, no NUL. The
 * error never quotes the input (it may hold a token). */
#ifndef GD_BASE_JSON_H
#define GD_BASE_JSON_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

/* Returns a new reference, or NULL with JSON_INVALID or JSON_TOO_DEEP. max: bytes. */
json_t *gd_json_parse(const char *p, size_t n, size_t max, struct gd_err *err);
/* Dotted path: "data.list.0.id"; "" is the document itself. A key may also be reached as a JSON pointer
 * ("/data/list/0"). Borrowed; NULL when absent. */
json_t *gd_json_at(const json_t *doc, const char *path);
/* Text of a string member, dflt when it is absent or no string. Borrowed. */
const char *gd_json_text(const json_t *obj, const char *key, const char *dflt);
int64_t gd_json_i64(const json_t *obj, const char *key, int64_t dflt);
bool gd_json_bool(const json_t *obj, const char *key, bool dflt);
/* Compact text with sorted keys; caller frees with gd_free. */
char *gd_json_dump(const json_t *j);
/* Sets up jansson: allocator that wipes, hash seed. Once, first thing in main. */
void gd_json_setup(void);

static inline void gd_json_decref_(json_t **j)
{
    json_decref(*j);
}
#define GD_AUTO_JSON __attribute__((cleanup(gd_json_decref_))) json_t *

#endif
