/* portal/reader.c - see reader.h. The head is kept until it is whole (8 KiB at most), checked, and given to
 * llhttp in one piece; the body is streamed through the gate's frame check and llhttp side by side. */
#include "portal/reader.h"

#include "base/mem.h"

#include <string.h>
#include <strings.h>

void gd_portal_request_free(struct gd_portal_request *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->nfields; i++) {
        gd_free(q->fields[i].name);
        gd_free(q->fields[i].value);
    }
    gd_free(q->path);
    gd_free(q->query);
    gd_buf_done(&q->body);
    gd_free(q);
}

unsigned gd_portal_request_count(const struct gd_portal_request *q, const char *name)
{
    unsigned n = 0;

    for (size_t i = 0; i < q->nfields; i++)
        n += strcmp(q->fields[i].name, name) == 0;
    return n;
}

const char *gd_portal_request_field(const struct gd_portal_request *q, const char *name)
{
    if (gd_portal_request_count(q, name) != 1)
        return NULL;
    for (size_t i = 0; i < q->nfields; i++)
        if (strcmp(q->fields[i].name, name) == 0)
            return q->fields[i].value;
    return NULL;
}

/* ---- llhttp's callbacks -----------------------------------------------------------------------------------
 */

static int on_field(llhttp_t *h, const char *p, size_t n)
{
    struct gd_portal_reader *r = h->data;
    struct gd_portal_request *q = r->request;
    struct gd_portal_field_pair *f;

    if (r->head_seen)
        return 0; /* a trailer: checked by the gate, not kept */
    if (q->nfields == GD_PORTAL_FIELDS_MAX)
        return -1;
    f = &q->fields[q->nfields++];
    f->name = gd_strndup(p, n);
    for (char *c = f->name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return 0;
}

static int on_value(llhttp_t *h, const char *p, size_t n)
{
    struct gd_portal_reader *r = h->data;
    struct gd_portal_request *q = r->request;

    if (r->head_seen)
        return 0;
    if (q->nfields == 0 || q->fields[q->nfields - 1].value)
        return -1; /* cannot be: the head comes in one piece */
    while (n && (p[n - 1] == ' ' || p[n - 1] == '\t'))
        n--;
    q->fields[q->nfields - 1].value = gd_strndup(p, n);
    return 0;
}

static int on_head_complete(llhttp_t *h)
{
    struct gd_portal_reader *r = h->data;

    r->head_seen = true;
    h->upgrade = 0; /* an offer to upgrade is not taken, the request is answered as it is */
    return 0;
}

static int on_body(llhttp_t *h, const char *p, size_t n)
{
    struct gd_portal_reader *r = h->data;

    return gd_buf_add(&r->request->body, p, n) ? 0 : -1;
}

static int on_complete(llhttp_t *h)
{
    struct gd_portal_reader *r = h->data;

    r->complete = true;
    r->request->keep_alive = llhttp_should_keep_alive(h) != 0;
    return 0;
}

static const llhttp_settings_t *settings(void)
{
    static llhttp_settings_t s;

    if (!s.on_body) {
        llhttp_settings_init(&s);
        s.on_header_field = on_field;
        s.on_header_value = on_value;
        s.on_headers_complete = on_head_complete;
        s.on_message_complete = on_complete;
        s.on_body = on_body;
    }
    return &s;
}

/* ---- reader -----------------------------------------------------------------------------------------------
 */

void gd_portal_reader_init(struct gd_portal_reader *r)
{
    memset(r, 0, sizeof *r);
    gd_portal_gate_init(&r->gate);
    gd_buf_init(&r->head, GD_PORTAL_HEAD_MAX + 1);
    llhttp_init(&r->http, HTTP_REQUEST, settings());
    r->http.data = r;
}

void gd_portal_reader_done(struct gd_portal_reader *r)
{
    gd_portal_request_free(r->request);
    r->request = NULL;
    gd_buf_done(&r->head);
}

struct gd_portal_request *gd_portal_reader_take(struct gd_portal_reader *r)
{
    struct gd_portal_request *q = r->request;

    r->request = NULL;
    return q;
}

static enum gd_portal_read_end refuse(struct gd_portal_reader *r, int status, const char *why)
{
    r->status = status;
    r->why = why;
    return GD_READ_REFUSED;
}

static enum gd_portal_method method_of(const char *p, size_t n)
{
    if (n == 3 && memcmp(p, "GET", 3) == 0)
        return GD_METHOD_GET;
    if (n == 4 && memcmp(p, "HEAD", 4) == 0)
        return GD_METHOD_HEAD;
    if (n == 4 && memcmp(p, "POST", 4) == 0)
        return GD_METHOD_POST;
    return GD_METHOD_OTHER;
}

static void set_target(struct gd_portal_request *q, const char *p, size_t n)
{
    const char *mark = memchr(p, '?', n);

    q->path = gd_strndup(p, mark ? (size_t)(mark - p) : n);
    q->query = mark ? gd_strndup(mark + 1, n - (size_t)(mark + 1 - p)) : NULL;
}

/* True when llhttp read the same frame out of the head that the gate saw. */
static bool agrees(const struct gd_portal_reader *r)
{
    const struct gd_portal_gate *g = &r->gate;
    bool body = g->chunked || g->length > 0;

    return r->head_seen && r->http.http_major == 1 && r->http.http_minor == g->minor &&
           ((r->http.flags & F_CHUNKED) != 0) == g->chunked && r->request->nfields == g->fields &&
           (g->length < 0 || body == false || (int64_t)r->http.content_length == g->length) &&
           r->complete == !body;
}

static enum gd_portal_read_end check_request(struct gd_portal_reader *r)
{
    struct gd_portal_request *q = r->request;
    const char *expect = gd_portal_request_field(q, "expect");

    if (q->method == GD_METHOD_OTHER)
        return refuse(r, 405, "the method is not GET, HEAD or POST");
    if (q->method != GD_METHOD_POST && (r->gate.chunked || r->gate.length > 0))
        return refuse(r, 400, "only a POST has a body here");
    if (r->gate.length > GD_PORTAL_BODY_MAX)
        return refuse(r, 413, "the body is too long");
    if (expect && strcasecmp(expect, "100-continue") != 0)
        return refuse(r, 417, "the expectation is not 100-continue");
    q->expects = expect != NULL && r->gate.minor == 1;
    for (size_t i = 0; i < q->nfields; i++)
        if (!q->fields[i].value)
            q->fields[i].value = gd_strdup("");
    return GD_READ_MORE;
}

static enum gd_portal_read_end read_head(struct gd_portal_reader *r)
{
    const struct gd_portal_gate *g = &r->gate;
    const char *p = r->head.ptr;
    enum gd_portal_read_end end;

    r->request = gd_new(sizeof *r->request);
    gd_buf_init(&r->request->body, GD_PORTAL_BODY_MAX);
    r->request->method = method_of(p + g->method.at, g->method.len);
    set_target(r->request, p + g->target.at, g->target.len);
    if (r->request->method == GD_METHOD_OTHER)
        return refuse(r, 405, "the method is not GET, HEAD or POST");
    if (llhttp_execute(&r->http, p + g->start, g->end - g->start) != HPE_OK)
        return refuse(r, 400, "the parser refuses the head");
    end = check_request(r);
    if (end != GD_READ_MORE)
        return end;
    if (!agrees(r))
        return refuse(r, 400, "gate and parser do not agree about the head");
    gd_portal_gate_body_init(&r->frame, g->length, g->chunked);
    r->in_body = true;
    return r->complete ? GD_READ_DONE : GD_READ_MORE;
}

static enum gd_portal_read_end feed_head(struct gd_portal_reader *r, const char *p, size_t n,
                                         size_t *ret_used)
{
    size_t before = r->head.len, room = GD_PORTAL_HEAD_MAX - before, take = n < room ? n : room;
    enum gd_portal_gate_end end;

    gd_buf_add(&r->head, p, take);
    end = gd_portal_gate_head(&r->gate, r->head.ptr, r->head.len);
    *ret_used = take;
    if (end == GD_GATE_REFUSED)
        return refuse(r, r->gate.status, r->gate.why);
    if (end == GD_GATE_MORE)
        return GD_READ_MORE;
    *ret_used = r->gate.end - before;
    return read_head(r);
}

static enum gd_portal_read_end feed_body(struct gd_portal_reader *r, const char *p, size_t n,
                                         size_t *ret_used)
{
    size_t used = 0;
    enum gd_portal_gate_end end = gd_portal_gate_body(&r->frame, p, n, &used);

    if (end == GD_GATE_REFUSED)
        return refuse(r, r->frame.status, r->frame.why);
    *ret_used = used;
    if (llhttp_execute(&r->http, p, used) != HPE_OK)
        return refuse(r, 400, "the parser refuses the body");
    if (r->complete != (end == GD_GATE_DONE))
        return refuse(r, 400, "gate and parser do not agree about the body's end");
    return r->complete ? GD_READ_DONE : GD_READ_MORE;
}

enum gd_portal_read_end gd_portal_reader_feed(struct gd_portal_reader *r, const char *p, size_t n,
                                              size_t *ret_used)
{
    size_t used = 0, more = 0;
    enum gd_portal_read_end end = GD_READ_MORE;

    if (!r->in_body)
        end = feed_head(r, p, n, &used);
    if (end == GD_READ_MORE && r->in_body && used < n)
        end = feed_body(r, p + used, n - used, &more);
    *ret_used = used + more;
    return end;
}
