/* portal/reader.h - one request from bytes: the gate says whether they are safe to read, llhttp reads them,
 * and both must agree about every frame. Knows nothing of sockets; the fuzzer and the differential test drive
 * it as the connection does. */
#ifndef GD_PORTAL_READER_H
#define GD_PORTAL_READER_H

#include "base/buf.h"
#include "base/limits.h"
#include "portal/gate.h"

#include <llhttp.h>

enum gd_portal_method { GD_METHOD_GET, GD_METHOD_HEAD, GD_METHOD_POST, GD_METHOD_OTHER };

struct gd_portal_field_pair {
    char *name, *value; /* name in lower case */
};
/* A request that was read whole. All of it is owned by the request. */
struct gd_portal_request {
    enum gd_portal_method method;
    char *path;  /* as it came, starts with '/' */
    char *query; /* behind '?', as it came; NULL: there was none */
    struct gd_portal_field_pair fields[GD_PORTAL_FIELDS_MAX];
    size_t nfields;
    struct gd_buf body;
    bool keep_alive, expects; /* expects: "100-continue" */
};
void gd_portal_request_free(struct gd_portal_request *q); /* NULL is fine; wipes */
/* Value of a field that may be there once; NULL when absent or there twice. name in lower case. Borrowed. */
const char *gd_portal_request_field(const struct gd_portal_request *q, const char *name);
unsigned gd_portal_request_count(const struct gd_portal_request *q, const char *name);

enum gd_portal_read_end { GD_READ_MORE, GD_READ_DONE, GD_READ_REFUSED };
struct gd_portal_reader {
    struct gd_portal_gate gate;
    struct gd_portal_gate_body frame;
    struct gd_buf head;
    llhttp_t http;
    struct gd_portal_request *request;
    bool in_body, head_seen, complete;
    int status; /* after REFUSED */
    const char *why;
};
void gd_portal_reader_init(struct gd_portal_reader *r);
void gd_portal_reader_done(struct gd_portal_reader *r);
/* *ret_used of the n bytes belong to this request. DONE: take the request, then init again for the next. */
enum gd_portal_read_end gd_portal_reader_feed(struct gd_portal_reader *r, const char *p, size_t n,
                                              size_t *ret_used);
struct gd_portal_request *gd_portal_reader_take(struct gd_portal_reader *r);
/* A byte of a request was seen. */
static inline bool gd_portal_reader_begun(const struct gd_portal_reader *r)
{
    return r->in_body || r->head.len > 0;
}

#endif
