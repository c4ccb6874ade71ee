/* portal/gate.c - see gate.h. Every rule here answers a request that some server is known to read in another
 * way (RFC 9112 sections 2.2, 3, 5.1, 5.2, 6.3, 7.1). When in doubt it refuses: no browser sends any of this.
 */
#include "portal/gate.h"

#include "base/limits.h"

#include <string.h>
#include <strings.h>

#define TRAILERS_MAX      16
#define TRAILER_BYTES_MAX 2048
#define CHUNK_DIGITS_MAX  6 /* 16 MiB; the body's maximum is far below */

enum {
    BODY_PLAIN,
    CHUNK_SIZE,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    TRAILER,
    TRAILER_LF,
    BODY_DONE
};

void gd_portal_gate_init(struct gd_portal_gate *g)
{
    *g = (struct gd_portal_gate){ .length = -1, .minor = -1 };
}

static enum gd_portal_gate_end refuse(struct gd_portal_gate *g, int status, const char *why)
{
    g->status = status;
    g->why = why;
    return GD_GATE_REFUSED;
}

/* RFC 9110 5.6.2 */
static bool token_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!token_char((unsigned char)p[i]))
            return false;
    return n > 0;
}

/* Nothing but visible ASCII and no fragment: a browser percent-encodes everything else. */
static bool target_clean(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] <= 0x20 || (unsigned char)p[i] >= 0x7f || p[i] == '#')
            return false;
    return n > 0;
}

static bool host_char(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~%!$&'()*+,;=:[]", c) != NULL);
}

static bool host_clean(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!host_char((unsigned char)p[i]))
            return false;
    return n > 0 && n <= GD_HOST_NAME_MAX + 6;
}

/* Start of the path in an absolute-form target and the authority before it; false when it has neither form.
 */
static bool target_form(struct gd_portal_gate *g, const char *p, size_t n,
                        struct gd_portal_gate_slice *ret_authority)
{
    size_t skip = 0, i;

    if (p[0] == '/')
        return true;
    if (n > 7 && strncasecmp(p, "http://", 7) == 0)
        skip = 7;
    else if (n > 8 && strncasecmp(p, "https://", 8) == 0)
        skip = 8;
    if (!skip)
        return false;
    for (i = skip; i < n && p[i] != '/' && p[i] != '?'; i++)
        ;
    if (!host_clean(p + skip, i - skip) || i == n || p[i] != '/')
        return false;
    *ret_authority = (struct gd_portal_gate_slice){ g->target.at + skip, i - skip };
    g->target.at += i;
    g->target.len -= i;
    return true;
}

static enum gd_portal_gate_end check_version(struct gd_portal_gate *g, const char *p, size_t n)
{
    if (n != 8 || memcmp(p, "HTTP/", 5) != 0)
        return refuse(g, 400, "the request line does not end in an HTTP version");
    if (memcmp(p, "HTTP/1.1", 8) != 0 && memcmp(p, "HTTP/1.0", 8) != 0)
        return refuse(g, 505, "the HTTP version is neither 1.1 nor 1.0");
    g->minor = p[7] - '0';
    return GD_GATE_MORE;
}

static enum gd_portal_gate_end check_request_line(struct gd_portal_gate *g, const char *p, size_t at,
                                                  size_t n)
{
    const char *line = p + at, *a = memchr(line, ' ', n);
    const char *b = a ? memchr(a + 1, ' ', n - (size_t)(a + 1 - line)) : NULL;
    struct gd_portal_gate_slice authority = { 0 };
    enum gd_portal_gate_end end;

    if (!a || !b)
        return refuse(g, 400, "the request line has not three parts");
    g->method = (struct gd_portal_gate_slice){ at, (size_t)(a - line) };
    g->target = (struct gd_portal_gate_slice){ at + (size_t)(a + 1 - line), (size_t)(b - a - 1) };
    if (!is_token(line, g->method.len))
        return refuse(g, 400, "the method is not a token");
    if (g->target.len > GD_PORTAL_TARGET_MAX)
        return refuse(g, 414, "the target is too long");
    if (!target_clean(a + 1, g->target.len))
        return refuse(g, 400, "the target is empty or holds a space, a control character or a fragment");
    end = check_version(g, b + 1, n - (size_t)(b + 1 - line));
    if (end != GD_GATE_MORE)
        return end;
    if (!target_form(g, a + 1, g->target.len, &authority))
        return refuse(g, 400, "the target is neither a path nor an absolute http(s) URL");
    g->host = authority;
    g->have_line = true;
    return GD_GATE_MORE;
}

static bool name_is(const char *p, size_t n, const char *name)
{
    return strlen(name) == n && strncasecmp(p, name, n) == 0;
}

static enum gd_portal_gate_end check_length(struct gd_portal_gate *g, const char *v, size_t n)
{
    int64_t len = 0;

    if (g->lengths++)
        return refuse(g, 400, "Content-Length is there twice");
    if (n == 0 || n > 10)
        return refuse(g, 400, "Content-Length is not a short decimal number");
    for (size_t i = 0; i < n; i++) {
        if (v[i] < '0' || v[i] > '9')
            return refuse(g, 400, "Content-Length is not a decimal number");
        len = len * 10 + (v[i] - '0');
    }
    g->length = len;
    return GD_GATE_MORE;
}

static enum gd_portal_gate_end check_coding(struct gd_portal_gate *g, const char *v, size_t n)
{
    if (g->codings++)
        return refuse(g, 400, "Transfer-Encoding is there twice");
    if (n != 7 || memcmp(v, "chunked", 7) != 0)
        return refuse(g, 501, "the only transfer coding here is exactly chunked");
    g->chunked = true;
    return GD_GATE_MORE;
}

static enum gd_portal_gate_end check_host(struct gd_portal_gate *g, const char *p, const char *v, size_t n)
{
    if (g->hosts++)
        return refuse(g, 400, "Host is there twice");
    if (!host_clean(v, n))
        return refuse(g, 400, "Host is empty or no host name");
    if (g->host.len && (g->host.len != n || strncasecmp(p + g->host.at, v, n) != 0))
        return refuse(g, 400, "the target names another host than Host");
    g->host = (struct gd_portal_gate_slice){ (size_t)(v - p), n };
    return GD_GATE_MORE;
}

/* Length of a field's name when the line (without CRLF) is a clean field, else 0 and *ret_why. */
static size_t field_name(const char *line, size_t n, const char **ret_why)
{
    const char *colon = memchr(line, ':', n);

    if (n && (line[0] == ' ' || line[0] == '\t'))
        *ret_why = "a field is folded";
    else if (!colon)
        *ret_why = "a field has no colon";
    else if (colon == line)
        *ret_why = "a field has no name";
    else if (!is_token(line, (size_t)(colon - line)))
        *ret_why = "a field's name holds a space or another foreign character";
    else
        return (size_t)(colon - line);
    return 0;
}

static enum gd_portal_gate_end check_field(struct gd_portal_gate *g, const char *p, size_t at, size_t n)
{
    const char *line = p + at, *why = NULL, *v;
    size_t name = field_name(line, n, &why), len;

    if (!name)
        return refuse(g, 400, why);
    if (++g->fields > GD_PORTAL_FIELDS_MAX)
        return refuse(g, 431, "there are too many fields");
    v = line + name + 1;
    len = n - name - 1;
    while (len && *v == ' ') {
        v++;
        len--;
    }
    while (len && v[len - 1] == ' ')
        len--;
    if (name_is(line, name, "content-length"))
        return check_length(g, v, len);
    if (name_is(line, name, "transfer-encoding"))
        return check_coding(g, v, len);
    if (name > 17 && strncasecmp(line, "transfer-encoding", 17) == 0)
        return refuse(
            g, 400, "a field's name only begins like Transfer-Encoding"); /* http-parser takes it for that */
    if (name_is(line, name, "host"))
        return check_host(g, p, v, len);
    return GD_GATE_MORE;
}

static enum gd_portal_gate_end check_whole(struct gd_portal_gate *g, size_t end)
{
    if (!g->hosts)
        return refuse(g, 400, "Host is missing");
    if (g->chunked && g->minor == 0)
        return refuse(g, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (g->chunked && g->lengths)
        return refuse(g, 400, "Transfer-Encoding stands beside Content-Length");
    g->end = end;
    return GD_GATE_DONE;
}

/* One line of the head, without its CRLF; next is the byte behind it. */
static enum gd_portal_gate_end check_line(struct gd_portal_gate *g, const char *p, size_t at, size_t n,
                                          size_t next)
{
    if (n == 0 && g->have_line)
        return check_whole(g, next);
    if (n == 0 && at == 0) { /* one CRLF before the request line (RFC 9112 2.2) */
        g->start = next;
        return GD_GATE_MORE;
    }
    if (n == 0)
        return refuse(g, 400, "there is no request line");
    return g->have_line ? check_field(g, p, at, n) : check_request_line(g, p, at, n);
}

static enum gd_portal_gate_end check_byte(struct gd_portal_gate *g, const char *p, size_t i, size_t n)
{
    unsigned char c = (unsigned char)p[i];

    if (c == '\n')
        return refuse(g, 400, "a line ends in a bare LF");
    if (c == '\r' && i + 1 < n && p[i + 1] != '\n')
        return refuse(g, 400, "a CR stands alone");
    if (c != '\r' && (c == 0x7f || (c < 0x20 && (c != '\t' || !g->have_line))))
        return refuse(g, 400, "the head holds a control character");
    if (!g->have_line && i - g->line > GD_PORTAL_TARGET_MAX + 24)
        return refuse(g, 414, "the target is too long");
    return GD_GATE_MORE;
}

enum gd_portal_gate_end gd_portal_gate_head(struct gd_portal_gate *g, const char *p, size_t n)
{
    enum gd_portal_gate_end end = GD_GATE_MORE;

    while (g->pos < n && end == GD_GATE_MORE) {
        size_t i = g->pos;

        end = check_byte(g, p, i, n);
        if (end != GD_GATE_MORE)
            break;
        if (p[i] != '\r') {
            g->pos++;
            continue;
        }
        if (i + 1 == n)
            break; /* the LF is still to come */
        end = check_line(g, p, g->line, i - g->line, i + 2);
        g->pos = g->line = i + 2;
    }
    if (end == GD_GATE_MORE && n >= GD_PORTAL_HEAD_MAX)
        return refuse(g, 431, "the head is too long");
    if (end == GD_GATE_DONE && g->end > GD_PORTAL_HEAD_MAX)
        return refuse(g, 431, "the head is too long");
    return end;
}

/* ---- body -------------------------------------------------------------------------------------------------
 */

void gd_portal_gate_body_init(struct gd_portal_gate_body *b, int64_t length, bool chunked)
{
    *b = (struct gd_portal_gate_body){ .left = length > 0 ? length : 0, .state = BODY_PLAIN };
    if (chunked)
        b->state = CHUNK_SIZE;
    else if (b->left == 0)
        b->state = BODY_DONE;
}

static bool body_refuse(struct gd_portal_gate_body *b, int status, const char *why)
{
    b->status = status;
    b->why = why;
    return false;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool on_size(struct gd_portal_gate_body *b, char c)
{
    int d = hex_value(c);

    if (d >= 0 && b->line_len < CHUNK_DIGITS_MAX) {
        b->left = b->left * 16 + d;
        b->line_len++;
        return true;
    }
    if (c == '\r' && b->line_len) {
        b->state = CHUNK_SIZE_LF;
        return true;
    }
    return body_refuse(b, 400, "a chunk's size is not a few hexadecimal digits and nothing else");
}

static bool on_size_end(struct gd_portal_gate_body *b, char c)
{
    if (c != '\n')
        return body_refuse(b, 400, "a chunk's size does not end in CRLF");
    b->line_len = 0;
    b->total += (size_t)b->left;
    if (b->total > GD_PORTAL_BODY_MAX)
        return body_refuse(b, 413, "the body is too long");
    b->state = b->left ? CHUNK_DATA : TRAILER;
    return true;
}

static bool forbidden_trailer(const char *p, size_t n)
{
    return name_is(p, n, "content-length") || name_is(p, n, "transfer-encoding") || name_is(p, n, "host");
}

static bool on_trailer(struct gd_portal_gate_body *b, char c)
{
    unsigned char u = (unsigned char)c;

    if (c == '\r') {
        b->state = TRAILER_LF;
        return true;
    }
    if (u == 0x7f || (u < 0x20 && c != '\t'))
        return body_refuse(b, 400, "a trailer holds a control character or a bare LF");
    if (b->line_len == sizeof b->line || ++b->trailer_bytes > TRAILER_BYTES_MAX)
        return body_refuse(b, 431, "the trailers are too long");
    b->line[b->line_len++] = c;
    return true;
}

/* A trailer is checked like a field and then thrown away. */
static bool on_trailer_end(struct gd_portal_gate_body *b, char c)
{
    const char *why = NULL;
    size_t name;

    if (c != '\n')
        return body_refuse(b, 400, "a CR stands alone in the trailers");
    b->state = TRAILER;
    if (b->line_len == 0) {
        b->state = BODY_DONE;
        return true;
    }
    name = field_name(b->line, b->line_len, &why);
    if (!name)
        return body_refuse(b, 400, why);
    if (forbidden_trailer(b->line, name))
        return body_refuse(b, 400, "a trailer names the message's frame");
    if (++b->trailers > TRAILERS_MAX)
        return body_refuse(b, 431, "there are too many trailers");
    b->line_len = 0;
    return true;
}

static bool on_chunk_end(struct gd_portal_gate_body *b, char c)
{
    if (c != (b->state == CHUNK_CR ? '\r' : '\n'))
        return body_refuse(b, 400, "a chunk does not end in CRLF");
    b->state = b->state == CHUNK_CR ? CHUNK_LF : CHUNK_SIZE;
    return true;
}

static bool on_body_byte(struct gd_portal_gate_body *b, char c)
{
    switch (b->state) {
    case CHUNK_SIZE:
        return on_size(b, c);
    case CHUNK_SIZE_LF:
        return on_size_end(b, c);
    case TRAILER:
        return on_trailer(b, c);
    case TRAILER_LF:
        return on_trailer_end(b, c);
    default:
        return on_chunk_end(b, c);
    }
}

/* Bytes that need no look: the identity body and the inside of a chunk. */
static size_t pass(struct gd_portal_gate_body *b, size_t n)
{
    size_t take = (uint64_t)b->left < n ? (size_t)b->left : n;

    b->left -= (int64_t)take;
    if (b->left == 0)
        b->state = b->state == CHUNK_DATA ? CHUNK_CR : BODY_DONE;
    return take;
}

enum gd_portal_gate_end gd_portal_gate_body(struct gd_portal_gate_body *b, const char *p, size_t n,
                                            size_t *ret_used)
{
    size_t i = 0;

    while (i < n && b->state != BODY_DONE) {
        if (b->state == BODY_PLAIN || b->state == CHUNK_DATA)
            i += pass(b, n - i);
        else if (!on_body_byte(b, p[i++]))
            return GD_GATE_REFUSED;
    }
    *ret_used = i;
    return b->state == BODY_DONE ? GD_GATE_DONE : GD_GATE_MORE;
}
