/* Requests that servers are known to read in different ways: each is refused, whole and byte by byte, and
 * what a browser, a proxy or curl sends is taken. */
#include "base/mem.h"
#include "portal/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define H "Host: a.example\r\n"

struct sample {
    const char *name, *p;
    size_t n;
    int status;
};
#define BAD(name, status, text)              \
    {                                        \
        name, text, sizeof(text) - 1, status \
    }

static const struct sample hostile[] = {
    BAD("bare LF ends the request line", 400, "GET / HTTP/1.1\n" H "\r\n"),
    BAD("bare LF ends a field", 400, "GET / HTTP/1.1\r\nHost: a.example\nX: y\r\n\r\n"),
    BAD("bare LF ends the head", 400, "GET / HTTP/1.1\r\n" H "\n"),
    BAD("only bare LF", 400, "GET / HTTP/1.1\nHost: a.example\n\n"),
    BAD("CR LF CR X ends the head", 400, "GET / HTTP/1.1\r\n" H "\rX"),
    BAD("CR X where the head would end", 400, "GET / HTTP/1.1\r\n" H "\rXGET /evil HTTP/1.1\r\n" H "\r\n"),
    BAD("bare CR in a value", 400, "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n"),
    BAD("bare CR hides a field", 400, "GET / HTTP/1.1\r\n" H "X: a\rContent-Length: 5\r\n\r\n"),
    BAD("bare CR in the request line", 400, "GET /\r HTTP/1.1\r\n" H "\r\n"),
    BAD("double CR", 400, "GET / HTTP/1.1\r\r\n" H "\r\n"),
    BAD("folded field, space", 400, "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"),
    BAD("folded field, tab", 400, "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n"),
    BAD("first field begins with a space", 400, "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n"),
    BAD("empty name", 400, "GET / HTTP/1.1\r\n" H ": x\r\n\r\n"),
    BAD("space before the colon", 400, "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n"),
    BAD("tab before the colon", 400, "GET / HTTP/1.1\r\n" H "X\t: y\r\n\r\n"),
    BAD("no colon", 400, "GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n"),
    BAD("foreign character in a name", 400, "GET / HTTP/1.1\r\n" H "X(y): z\r\n\r\n"),
    BAD("high byte in a name", 400, "GET / HTTP/1.1\r\n" H "X\xc3\xa9: z\r\n\r\n"),
    BAD("NUL in a name", 400, "GET / HTTP/1.1\r\n" H "X\0Y: z\r\n\r\n"),
    BAD("NUL in a value", 400, "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"),
    BAD("control character in a value", 400,
        "GET / HTTP/1.1\r\n" H "X: a\x01"
        "b\r\n\r\n"),
    BAD("DEL in a value", 400, "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n"),
    BAD("vertical tab before a length", 400,
        "POST / HTTP/1.1\r\n" H "Content-Length:\x0b"
        "3\r\n\r\nabc"),
    BAD("two spaces after the method", 400, "GET  / HTTP/1.1\r\n" H "\r\n"),
    BAD("two spaces after the target", 400, "GET /  HTTP/1.1\r\n" H "\r\n"),
    BAD("space at the end of the request line", 400, "GET / HTTP/1.1 \r\n" H "\r\n"),
    BAD("space before the method", 400, " GET / HTTP/1.1\r\n" H "\r\n"),
    BAD("tab in the request line", 400, "GET\t/ HTTP/1.1\r\n" H "\r\n"),
    BAD("NUL in the target", 400, "GET /a\0b HTTP/1.1\r\n" H "\r\n"),
    BAD("high byte in the target", 400, "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n"),
    BAD("fragment in the target", 400, "GET /#x HTTP/1.1\r\n" H "\r\n"),
    BAD("HTTP/0.9", 400, "GET /\r\n"),
    BAD("HTTP/9.9", 505, "GET / HTTP/9.9\r\n" H "\r\n"),
    BAD("HTTP/2.0", 505, "GET / HTTP/2.0\r\n" H "\r\n"),
    BAD("HTTP/1.2", 505, "GET / HTTP/1.2\r\n" H "\r\n"),
    BAD("HTTP/1.10", 400, "GET / HTTP/1.10\r\n" H "\r\n"),
    BAD("http/1.1 in lower case", 400, "GET / http/1.1\r\n" H "\r\n"),
    BAD("the preface of HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BAD("asterisk form", 400, "OPTIONS * HTTP/1.1\r\n" H "\r\n"),
    BAD("authority form", 400, "CONNECT a.example:443 HTTP/1.1\r\n" H "\r\n"),
    BAD("target without a slash", 400, "GET index HTTP/1.1\r\n" H "\r\n"),
    BAD("absolute form, other scheme", 400, "GET ftp://a.example/ HTTP/1.1\r\n" H "\r\n"),
    BAD("absolute form, user in it", 400, "GET http://u@a.example/ HTTP/1.1\r\n" H "\r\n"),
    BAD("absolute form, other host", 400, "GET http://b.example/ HTTP/1.1\r\n" H "\r\n"),
    BAD("absolute form, no path", 400, "GET http://a.example HTTP/1.1\r\n" H "\r\n"),
    BAD("Host missing", 400, "GET / HTTP/1.1\r\nX: y\r\n\r\n"),
    BAD("Host missing in HTTP/1.0", 400, "GET / HTTP/1.0\r\n\r\n"),
    BAD("Host twice", 400, "GET / HTTP/1.1\r\n" H H "\r\n"),
    BAD("Host twice, different", 400, "GET / HTTP/1.1\r\n" H "host: b.example\r\n\r\n"),
    BAD("Host empty", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    BAD("Host with a space", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BAD("Host with a path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BAD("Host with a user", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    BAD("lengths differ", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    BAD("same length twice", 400,
        "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    BAD("list of lengths", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc"),
    BAD("plus sign in a length", 400, "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc"),
    BAD("minus sign in a length", 400, "POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc"),
    BAD("hexadecimal length", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc"),
    BAD("length with a tab", 400, "POST / HTTP/1.1\r\n" H "Content-Length:\t3\r\n\r\nabc"),
    BAD("length with a trailing tab", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 3\t\r\n\r\nabc"),
    BAD("length with an inner space", 400, "POST / HTTP/1.1\r\n" H "Content-Length: 1 3\r\n\r\nabc"),
    BAD("empty length", 400, "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"),
    BAD("length that wraps around", 400,
        "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551619\r\n\r\nabc"),
    BAD("long length", 413, "POST / HTTP/1.1\r\n" H "Content-Length: 9999999999\r\n\r\n"),
    BAD("body above the limit", 413, "POST / HTTP/1.1\r\n" H "Content-Length: 16385\r\n\r\n"),
    BAD("coding beside length", 400,
        "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("length beside coding", 400,
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    BAD("coding in HTTP/1.0", 400, "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("coding twice", 400,
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("coding twice in one field", 501,
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    BAD("identity coding", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"),
    BAD("gzip before chunked", 501,
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    BAD("chunked before identity", 501,
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n"),
    BAD("xchunked", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    BAD("chunked with a parameter", 501,
        "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    BAD("chunked with a tab", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n"),
    BAD("Chunked not exactly", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
    BAD("empty coding", 501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"),
#define C "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
    BAD("name that begins like a coding", 400, "POST / HTTP/1.1\r\n" H "Transfer-Encodings: x\r\n\r\n"),
    BAD("chunk extension", 400, C "3;x=y\r\nabc\r\n0\r\n\r\n"),
    BAD("chunk extension with LF", 400, C "3;\n\r\nabc\r\n0\r\n\r\n"),
    BAD("extension of the last chunk", 400, C "0;x\r\n\r\n"),
    BAD("plus in a chunk's size", 400, C "+3\r\nabc\r\n0\r\n\r\n"),
    BAD("minus in a chunk's size", 400, C "-3\r\nabc\r\n0\r\n\r\n"),
    BAD("0x in a chunk's size", 400, C "0x3\r\nabc\r\n0\r\n\r\n"),
    BAD("space behind a chunk's size", 400, C "3 \r\nabc\r\n0\r\n\r\n"),
    BAD("space before a chunk's size", 400, C " 3\r\nabc\r\n0\r\n\r\n"),
    BAD("chunk's size ends in LF", 400, C "3\nabc\r\n0\r\n\r\n"),
    BAD("chunk ends in LF", 400, C "3\r\nabc\n0\r\n\r\n"),
    BAD("chunk is longer than it says", 400, C "2\r\nabc\r\n0\r\n\r\n"),
    BAD("empty chunk's size", 400, C "\r\nabc\r\n0\r\n\r\n"),
    BAD("chunk's size overflows", 400, C "FFFFFFFFFFFFFFFF3\r\nabc\r\n0\r\n\r\n"),
    BAD("chunks above the limit", 413, C "4001\r\n"),
    BAD("bare CR in a chunk's size", 400, C "3\rabc\r\n0\r\n\r\n"),
    BAD("trailer with LF", 400, C "0\r\nX: y\n\r\n"),
    BAD("trailer without a colon", 400, C "0\r\nnonsense\r\n\r\n"),
    BAD("trailer folded", 400, C "0\r\nX: a\r\n b\r\n\r\n"),
    BAD("trailer frames", 400, C "0\r\nContent-Length: 5\r\n\r\n"),
    BAD("trailer names Host", 400, C "0\r\nHost: b.example\r\n\r\n"),
    BAD("CR CR LF ends the trailers", 400, C "0\r\n\r\r\n"),
    BAD("two empty lines before the request", 400, "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"),
    BAD("LF before the request", 400, "\nGET / HTTP/1.1\r\n" H "\r\n"),
    BAD("GET with a body", 400, "GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"),
    BAD("GET with chunks", 400, "GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("method with a space in front of nothing", 400, " \r\n"),
    BAD("method that is none", 400, "G(T / HTTP/1.1\r\n" H "\r\n"),
    BAD("method that is not taken", 405, "DELETE / HTTP/1.1\r\n" H "\r\n"),
    BAD("method TRACE", 405, "TRACE / HTTP/1.1\r\n" H "\r\n"),
    BAD("method in lower case", 405, "get / HTTP/1.1\r\n" H "\r\n"),
    BAD("expectation", 417, "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na"),
    BAD("TLS on the plain port", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
};

static enum gd_portal_read_end feed(struct gd_portal_reader *r, const char *p, size_t n, size_t step,
                                    size_t *ret_used)
{
    enum gd_portal_read_end end = GD_READ_MORE;
    size_t at = 0;

    while (at < n && end == GD_READ_MORE) {
        size_t used = 0, part = n - at < step ? n - at : step;

        end = gd_portal_reader_feed(r, p + at, part, &used);
        if (end == GD_READ_MORE)
            assert_int_equal(used, part);
        at += used;
    }
    *ret_used = at;
    return end;
}

static void expect_refused(const struct sample *s, size_t step)
{
    struct gd_portal_reader r;
    size_t used;
    enum gd_portal_read_end end;

    gd_portal_reader_init(&r);
    end = feed(&r, s->p, s->n, step, &used);
    if (end != GD_READ_REFUSED || r.status != s->status)
        print_error("%s (step %zu): end %d, status %d, %s\n", s->name, step, (int)end, r.status,
                    r.why ? r.why : "-");
    assert_int_equal(end, GD_READ_REFUSED);
    assert_int_equal(r.status, s->status);
    assert_non_null(r.why);
    gd_portal_reader_done(&r);
}

static void test_hostile(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        expect_refused(&hostile[i], hostile[i].n);
        expect_refused(&hostile[i], 1);
        expect_refused(&hostile[i], 7);
    }
    assert_true(sizeof hostile / sizeof hostile[0] >= 100);
}

struct good {
    const char *name, *p;
    enum gd_portal_method method;
    const char *path, *query, *body;
    bool keep;
    size_t more; /* bytes of the next request behind it */
};

static const struct good taken[] = {
    { "plain", "GET / HTTP/1.1\r\n" H "\r\n", GD_METHOD_GET, "/", NULL, "", true, 0 },
    { "CRLF first", "\r\nGET / HTTP/1.1\r\n" H "\r\n", GD_METHOD_GET, "/", NULL, "", true, 0 },
    { "query", "GET /cb/x?a=b&c HTTP/1.1\r\n" H "\r\n", GD_METHOD_GET, "/cb/x", "a=b&c", "", true, 0 },
    { "empty query", "GET /x? HTTP/1.1\r\n" H "\r\n", GD_METHOD_GET, "/x", "", "", true, 0 },
    { "absolute", "GET http://A.example/p?q HTTP/1.1\r\n" H "\r\n", GD_METHOD_GET, "/p", "q", "", true, 0 },
    { "HEAD", "HEAD / HTTP/1.1\r\n" H "\r\n", GD_METHOD_HEAD, "/", NULL, "", true, 0 },
    { "close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", GD_METHOD_GET, "/", NULL, "", false, 0 },
    { "1.0", "GET / HTTP/1.0\r\n" H "\r\n", GD_METHOD_GET, "/", NULL, "", false, 0 },
    { "1.0 kept", "GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", GD_METHOD_GET, "/", NULL, "", true,
      0 },
    { "GET, no body said", "GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", GD_METHOD_GET, "/", NULL, "",
      true, 0 },
    { "body", "POST /p HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", GD_METHOD_POST, "/p", NULL, "hello",
      true, 0 },
    { "leading zeros", "POST /p HTTP/1.1\r\n" H "Content-Length: 005\r\n\r\nhello", GD_METHOD_POST, "/p",
      NULL, "hello", true, 0 },
    { "no body", "POST /p HTTP/1.1\r\n" H "\r\n", GD_METHOD_POST, "/p", NULL, "", true, 0 },
    { "chunks", C "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", GD_METHOD_POST, "/", NULL, "abcde", true, 0 },
    { "chunk in capitals", C "00A\r\n0123456789\r\n0\r\n\r\n", GD_METHOD_POST, "/", NULL, "0123456789", true,
      0 },
    { "trailers", C "3\r\nabc\r\n0\r\nX-A: b\r\nY: z\r\n\r\n", GD_METHOD_POST, "/", NULL, "abc", true, 0 },
    { "upgrade is not taken", "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
      GD_METHOD_GET, "/", NULL, "", true, 0 },
    { "expect", "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", GD_METHOD_POST,
      "/", NULL, "hi", true, 0 },
    { "value of high bytes and tabs", "GET / HTTP/1.1\r\n" H "X: \tcaf\xc3\xa9\ta \r\nEmpty:\r\n\r\n",
      GD_METHOD_GET, "/", NULL, "", true, 0 },
    { "pipelined", "GET /1 HTTP/1.1\r\n" H "\r\nGET /2", GD_METHOD_GET, "/1", NULL, "", true, 6 },
    { "pipelined body", "POST /1 HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhiGET /2", GD_METHOD_POST, "/1",
      NULL, "hi", true, 6 },
    { "pipelined chunks", C "1\r\na\r\n0\r\n\r\nGET /2", GD_METHOD_POST, "/", NULL, "a", true, 6 },
};

static void expect_taken(const struct good *g, size_t step)
{
    struct gd_portal_reader r;
    struct gd_portal_request *q;
    size_t used;
    enum gd_portal_read_end end;

    gd_portal_reader_init(&r);
    end = feed(&r, g->p, strlen(g->p), step, &used);
    if (end != GD_READ_DONE)
        print_error("%s (step %zu): end %d, %d %s\n", g->name, step, (int)end, r.status, r.why ? r.why : "-");
    assert_int_equal(end, GD_READ_DONE);
    assert_int_equal(strlen(g->p) - used, g->more);
    q = gd_portal_reader_take(&r);
    assert_int_equal(q->method, g->method);
    assert_string_equal(q->path, g->path);
    if (g->query)
        assert_string_equal(q->query, g->query);
    else
        assert_null(q->query);
    assert_string_equal(q->body.ptr ? q->body.ptr : "", g->body);
    assert_int_equal(q->keep_alive, g->keep);
    assert_string_equal(gd_portal_request_field(q, "host"), "a.example");
    gd_portal_request_free(q);
    gd_portal_reader_done(&r);
}

static void test_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
        for (size_t step = 1; step <= strlen(taken[i].p); step++)
            expect_taken(&taken[i], step);
}

/* ---- limits ---- */

static void big(struct gd_buf *b, const char *before, char fill, size_t n, const char *after)
{
    gd_buf_init(b, 1 << 20);
    gd_buf_adds(b, before);
    while (n--)
        gd_buf_addc(b, fill);
    gd_buf_adds(b, after);
}

static void expect_big(struct gd_buf *b, int status)
{
    struct sample s = { "long", b->ptr, b->len, status };

    expect_refused(&s, b->len);
    expect_refused(&s, 1000);
    gd_buf_done(b);
}

static void test_limits(void **state)
{
    struct gd_buf b;
    (void)state;

    big(&b, "GET /", 'a', GD_PORTAL_TARGET_MAX, " HTTP/1.1\r\n" H "\r\n");
    expect_big(&b, 414);
    big(&b, "GET /", 'a', 100000, "");
    expect_big(&b, 414);
    big(&b, "GET / HTTP/1.1\r\n" H "X: ", 'a', GD_PORTAL_HEAD_MAX, "\r\n\r\n");
    expect_big(&b, 431);
    big(&b, "GET / HTTP/1.1\r\n" H "X: ", 'a', 65536, "");
    expect_big(&b, 431);
    big(&b, C "0\r\nX: ", 'a', 3000, "\r\n\r\n");
    expect_big(&b, 431);
    gd_buf_init(&b, 1 << 20);
    gd_buf_adds(&b, "GET / HTTP/1.1\r\n" H);
    for (int i = 0; i < GD_PORTAL_FIELDS_MAX; i++)
        gd_buf_addf(&b, "X-%d: y\r\n", i);
    gd_buf_adds(&b, "\r\n");
    expect_big(&b, 431);
    gd_buf_init(&b, 1 << 20);
    gd_buf_adds(&b, C "0\r\n");
    for (int i = 0; i < 17; i++)
        gd_buf_addf(&b, "X-%d: y\r\n", i);
    gd_buf_adds(&b, "\r\n");
    expect_big(&b, 431);
}

/* The largest of everything still passes. */
static void test_just_fits(void **state)
{
    struct gd_portal_reader r;
    struct gd_buf b;
    size_t used;
    (void)state;

    big(&b, "POST / HTTP/1.1\r\n" H "Content-Length: 16384\r\n\r\n", 'x', GD_PORTAL_BODY_MAX, "");
    gd_portal_reader_init(&r);
    assert_int_equal(feed(&r, b.ptr, b.len, 999, &used), GD_READ_DONE);
    assert_int_equal(r.request->body.len, GD_PORTAL_BODY_MAX);
    gd_portal_reader_done(&r);
    gd_buf_done(&b);
    gd_buf_init(&b, 1 << 20);
    gd_buf_adds(&b, "GET / HTTP/1.1\r\n" H);
    for (int i = 1; i < GD_PORTAL_FIELDS_MAX; i++)
        gd_buf_addf(&b, "X-%d: y\r\n", i);
    gd_buf_adds(&b, "\r\n");
    gd_portal_reader_init(&r);
    assert_int_equal(feed(&r, b.ptr, b.len, 13, &used), GD_READ_DONE);
    assert_int_equal(r.request->nfields, GD_PORTAL_FIELDS_MAX);
    gd_portal_reader_done(&r);
    gd_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_just_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
