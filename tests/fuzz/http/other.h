/* http-parser behind a header of its own: its enums have the names of llhttp's. */
#ifndef GD_TESTS_FUZZ_HTTP_OTHER_H
#define GD_TESTS_FUZZ_HTTP_OTHER_H

#include "base/buf.h"

struct other {
    struct gd_buf url, body;
    size_t used;
    int method; /* as enum gd_portal_method: GET 0, HEAD 1, POST 2, other 3 */
    bool complete, keep_alive;
};
void other_read(struct other *o, const char *p, size_t n);

#endif
