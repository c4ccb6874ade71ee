/* rpc/http.c - the same calls by HTTP POST, for whoever has only an HTTP client. llhttp parses; one request
 * at a time for each connection, the next is read when its answer has left. */
#include "rpc/rpc_int.h"
#include "base/mem.h"

#include <llhttp.h>
#include <string.h>

struct http {
    llhttp_t parser;
    struct conn *conn;
    struct gd_buf body, target, rest; /* rest: what came behind the request that is being answered */
    size_t head;                      /* bytes of the head so far */
    bool in_head, keep_alive, expects, too_large;
    struct gd_buf field;
};

static int on_begin(llhttp_t *p)
{
    struct http *h = p->data;

    gd_buf_clear(&h->body);
    gd_buf_clear(&h->target);
    gd_buf_clear(&h->field);
    h->head = 0;
    h->in_head = true;
    h->expects = false;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct http *h = p->data;

    return gd_buf_add(&h->target, at, n) ? 0 : -1;
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct http *h = p->data;

    return gd_buf_add(&h->field, at, n) ? 0 : -1;
}

static int on_field_complete(llhttp_t *p)
{
    struct http *h = p->data;

    h->expects = h->expects || (h->field.len == 6 && !strcasecmp(h->field.ptr, "expect"));
    gd_buf_clear(&h->field);
    return 0;
}

static int on_head_complete(llhttp_t *p)
{
    struct http *h = p->data;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    h->in_head = false;
    h->too_large = p->content_length > GD_RPC_FRAME_MAX;
    if (h->too_large) /* what is announced is not waited for */
        return -1;
    if (h->expects)
        gd_conn_send(h->conn, go_on, sizeof go_on - 1);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http *h = p->data;

    return gd_buf_add(&h->body, at, n) ? 0 : -1;
}

static int on_complete(llhttp_t *p)
{
    struct http *h = p->data;

    h->keep_alive = llhttp_should_keep_alive(p) != 0;
    return HPE_PAUSED; /* one at a time */
}

static llhttp_settings_t settings;

static struct http *http_new(struct conn *c)
{
    struct http *h = gd_new(sizeof *h);

    llhttp_settings_init(&settings);
    settings.on_message_begin = on_begin;
    settings.on_url = on_url;
    settings.on_header_field = on_field;
    settings.on_header_field_complete = on_field_complete;
    settings.on_headers_complete = on_head_complete;
    settings.on_body = on_body;
    settings.on_message_complete = on_complete;
    llhttp_init(&h->parser, HTTP_REQUEST, &settings);
    h->parser.data = h;
    h->conn = c;
    gd_buf_init(&h->body, GD_RPC_FRAME_MAX);
    gd_buf_init(&h->target, 256);
    gd_buf_init(&h->field, 256);
    gd_buf_init(&h->rest, 2 * READ_SIZE);
    return h;
}

void gd_http_free(struct http *h)
{
    if (!h)
        return;
    gd_buf_done(&h->body);
    gd_buf_done(&h->target);
    gd_buf_done(&h->field);
    gd_buf_done(&h->rest);
    gd_free(h);
}

static void respond(struct conn *c, int status, const char *reason, const char *body, size_t n, bool keep)
{
    struct gd_buf b;

    gd_buf_init(&b, n + 512);
    gd_buf_addf(&b, "HTTP/1.1 %d %s\r\nCache-Control: no-store\r\n", status, reason);
    if (status != 204)
        gd_buf_addf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", n);
    if (status == 405)
        gd_buf_adds(&b, "Allow: POST\r\n");
    gd_buf_adds(&b, keep ? "\r\n" : "Connection: close\r\n\r\n");
    if (c->http->parser.method != HTTP_HEAD)
        gd_buf_add(&b, body, n);
    gd_conn_send(c, b.ptr, b.len);
    gd_buf_done(&b);
    if (!c->closing && !keep)
        gd_conn_last_word(c);
}

void gd_http_reply(struct conn *c, const char *body, size_t n)
{
    respond(c, n ? 200 : 204, n ? "OK" : "No Content", body, n, c->http->keep_alive);
}

static void refuse(struct conn *c, int status, const char *words, enum gd_reason reason, const char *text)
{
    struct gd_buf b;

    gd_buf_init(&b, 1024);
    gd_buf_addf(&b,
                "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"data\":{\"act\":\"usage\","
                "\"reason\":\"%s\"},"
                "\"message\":\"%s\"}}\n",
                gd_reason_word(reason), text);
    respond(c, status, words, b.ptr, b.len, false);
    gd_buf_done(&b);
}

static void request(struct conn *c)
{
    struct http *h = c->http;
    const char *target = h->target.ptr ? h->target.ptr : "";

    if (strcmp(target, "/") != 0 && strcmp(target, "/rpc") != 0) {
        refuse(c, 404, "Not Found", GD_R_HTTP_INVALID, "calls are posted to /");
    } else if (h->parser.method != HTTP_POST) {
        refuse(c, 405, "Method Not Allowed", GD_R_HTTP_INVALID,
               "this socket takes calls only, as one JSON-RPC object sent by POST; people's pages are at "
               "public_url");
    } else {
        gd_frame_open(c, h->body.ptr ? h->body.ptr : "", h->body.len);
        gd_buf_clear(&h->body);
    }
}

static void on_error(struct conn *c, enum llhttp_errno e)
{
    struct http *h = c->http;

    if (e == HPE_PAUSED_UPGRADE)
        refuse(c, 400, "Bad Request", GD_R_HTTP_INVALID, "there is nothing to upgrade to");
    else if (h->too_large || h->body.failed)
        refuse(c, 413, "Content Too Large", GD_R_FRAME_TOO_LARGE, "a request may have 65536 bytes");
    else
        refuse(c, 400, "Bad Request", GD_R_HTTP_INVALID, "this is not HTTP/1.1 as RFC 9112 writes it");
}

/* Bytes of this read that the parser took until it stopped. */
static size_t parse(struct conn *c, const char *p, size_t n)
{
    struct http *h = c->http;
    enum llhttp_errno e = llhttp_execute(&h->parser, p, n);
    size_t used = n;

    if (e == HPE_PAUSED) {
        used = (size_t)(llhttp_get_error_pos(&h->parser) - p);
        llhttp_resume(&h->parser);
        request(c);
    } else if (e != HPE_OK) {
        on_error(c, e);
    } else if (h->in_head && (h->head += n) > GD_RPC_HEAD_MAX) {
        refuse(c, 431, "Request Header Fields Too Large", GD_R_HTTP_INVALID,
               "the head is longer than 8192 bytes");
    }
    return used;
}

void gd_http_feed(struct conn *c, const char *p, size_t n)
{
    struct http *h = c->http;
    struct gd_buf all;

    if (!h)
        h = c->http = http_new(c);
    all = h->rest;
    gd_buf_init(&h->rest, all.max);
    gd_buf_add(&all, p, n);
    for (size_t used = 0; used < all.len && !c->closing && !c->last_word;) {
        if (c->running) {
            gd_buf_add(&h->rest, all.ptr + used, all.len - used);
            break;
        }
        used += parse(c, all.ptr + used, all.len - used);
    }
    gd_buf_done(&all);
}
