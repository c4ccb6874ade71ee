/* See other.h. */
#include "other.h"

#include <http_parser.h>

static int on_url(http_parser *h, const char *p, size_t n)
{
    struct other *o = h->data;

    return gd_buf_add(&o->url, p, n) ? 0 : 1;
}

static int on_body(http_parser *h, const char *p, size_t n)
{
    struct other *o = h->data;

    return gd_buf_add(&o->body, p, n) ? 0 : 1;
}

static int on_complete(http_parser *h)
{
    struct other *o = h->data;

    o->complete = true;
    o->keep_alive = http_should_keep_alive(h) != 0;
    o->method = h->method == HTTP_GET ? 0 : h->method == HTTP_HEAD ? 1 : h->method == HTTP_POST ? 2 : 3;
    http_parser_pause(h, 1);
    return 0;
}

void other_read(struct other *o, const char *p, size_t n)
{
    http_parser_settings s;
    http_parser h;

    *o = (struct other){ .method = 3 };
    gd_buf_init(&o->url, 65536);
    gd_buf_init(&o->body, 65536);
    http_parser_settings_init(&s);
    s.on_url = on_url;
    s.on_body = on_body;
    s.on_message_complete = on_complete;
    http_parser_init(&h, HTTP_REQUEST);
    h.data = o;
    o->used = http_parser_execute(&h, &s, p, n); /* paused at the end it already points behind the message */
}
