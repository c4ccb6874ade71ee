/* plugin/doc.h - documents that a platform reads: HTTP answers and what the host hands out. Private to the
 * room and its tests. A document owns everything it gives out; it lives until the run ends. */
#ifndef GD_PLUGIN_DOC_H
#define GD_PLUGIN_DOC_H

#include "base/json.h"
#include "base/map.h"
#include "http/http.h"

#include <grantd/platform.h>

struct grantd_doc {
    struct grantd_doc *next; /* of the run */
    int status;              /* 0: no HTTP answer */
    json_t *json;            /* NULL: nothing readable */
    char *body;              /* NULL: no HTTP answer */
    size_t len;
    struct gd_http_header *headers; /* copies, with their texts in one block */
    size_t nheaders;
    const struct grantd_field *fields; /* of a description: its defaults; else NULL */
    struct gd_doc_seen *seen;          /* of a description: what was found in it before; or NULL */
};

/* What stands where in one description, by path. It never changes, and each operation of an app asks it the
 * same forty things. A list: one for each description of a platform. */
struct gd_doc_seen {
    struct gd_doc_seen *next;
    json_t *of;
    struct gd_map found;
};
struct gd_doc_seen *gd_doc_seen_new(json_t *of);
void gd_doc_seen_free(struct gd_doc_seen *s); /* and all that follow */

/* Bytes that reading this answer will take, roughly and never too few: a body of a megabyte can be half a
 * million JSON values. */
size_t gd_doc_cost(const struct gd_http_answer *a);
struct grantd_doc *gd_doc_answer(const struct gd_http_answer *a);             /* copies */
struct grantd_doc *gd_doc_json(json_t *j, const struct grantd_field *fields); /* takes j */
void gd_doc_free(struct grantd_doc *d); /* and all that follow; NULL is fine */

/* As the functions of struct grantd_host of these names. */
int gd_doc_status(const grantd_doc *d);
const char *gd_doc_header(const grantd_doc *d, const char *name);
const char *gd_doc_body(const grantd_doc *d);
int gd_doc_type(const grantd_doc *d, const char *path);
const char *gd_doc_text(const grantd_doc *d, const char *path);
int64_t gd_doc_num(const grantd_doc *d, const char *path, int64_t dflt);
int64_t gd_doc_len(const grantd_doc *d, const char *path);
const char *gd_doc_key(const grantd_doc *d, const char *path, int64_t i);

#endif
