/* What the portal's reader takes, another parser must take in the same way: shared by the fuzz target and the
 * differential test. Aborts on a disagreement. */
#ifndef GD_TESTS_FUZZ_HTTP_AGREE_H
#define GD_TESTS_FUZZ_HTTP_AGREE_H

#include "portal/reader.h"

/* What came out of one reading. */
struct reading {
    enum gd_portal_read_end end;
    int status;  /* REFUSED */
    size_t used; /* DONE: bytes of the request */
    struct gd_portal_request *request;
};
/* In pieces: first as given, the others of step bytes. */
struct reading read_in_pieces(const unsigned char *p, size_t n, size_t first, size_t step);
void reading_done(struct reading *r);
void must_be_same(const struct reading *a, const struct reading *b);
/* http-parser, which is no relative of llhttp's generated code, takes it with the same method, target, body
 * and end. */
void must_suit_http_parser(const struct reading *r, const unsigned char *p, size_t n);

#endif
