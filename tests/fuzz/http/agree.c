/* See agree.h. */
#include "agree.h"

#include "base/mem.h"

/* Both parsers name their methods alike; this file needs only the other one's functions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "other.h"

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "disagreement: %s\n", what);
    abort();
}

struct reading read_in_pieces(const unsigned char *p, size_t n, size_t first, size_t step)
{
    struct reading out = { .end = GD_READ_MORE };
    struct gd_portal_reader r;

    gd_portal_reader_init(&r);
    while (out.used < n && out.end == GD_READ_MORE) {
        size_t part = out.used ? step : first, used = 0;

        if (part > n - out.used)
            part = n - out.used;
        out.end = gd_portal_reader_feed(&r, (const char *)p + out.used, part, &used);
        must(out.end != GD_READ_MORE || used == part, "bytes are left over although more is wanted");
        must(used <= part, "more was used than there is");
        out.used += used;
    }
    if (out.end == GD_READ_REFUSED)
        out.status = r.status;
    if (out.end == GD_READ_DONE)
        out.request = gd_portal_reader_take(&r);
    gd_portal_reader_done(&r);
    return out;
}

void reading_done(struct reading *r)
{
    gd_portal_request_free(r->request);
    r->request = NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

void must_be_same(const struct reading *a, const struct reading *b)
{
    must(a->end == b->end, "another end when cut in other pieces");
    /* Which of two faults is found first may depend on the pieces; that there is one may not. */
    if (a->end != GD_READ_DONE)
        return;
    must(a->used == b->used, "another length when cut in other pieces");
    must(a->request->method == b->request->method && same_text(a->request->path, b->request->path) &&
             same_text(a->request->query, b->request->query) && a->request->nfields == b->request->nfields &&
             a->request->keep_alive == b->request->keep_alive,
         "another request when cut in other pieces");
    must(a->request->body.len == b->request->body.len &&
             same_text(a->request->body.ptr, b->request->body.ptr),
         "another body when cut in other pieces");
}

void must_suit_http_parser(const struct reading *r, const unsigned char *p, size_t n)
{
    const struct gd_portal_request *q = r->request;
    GD_AUTO_FREE char *target = NULL;
    struct other o;
    size_t len;

    if (r->end != GD_READ_DONE)
        return;
    target = q->query ? gd_strf("%s?%s", q->path, q->query) : gd_strdup(q->path);
    other_read(&o, (const char *)p, n);
    len = strlen(target);
    must(o.complete, "http-parser refuses what we take");
    must(o.used == r->used, "http-parser sees another end");
    must(o.method == (int)q->method, "http-parser sees another method");
    must(o.url.len >= len && memcmp(o.url.ptr + o.url.len - len, target, len) == 0,
         "http-parser sees another target");
    must(o.body.len == q->body.len && (o.body.len == 0 || memcmp(o.body.ptr, q->body.ptr, o.body.len) == 0),
         "http-parser sees another body");
    must(o.keep_alive == q->keep_alive, "http-parser would treat the connection in another way");
    gd_buf_done(&o.url);
    gd_buf_done(&o.body);
}
