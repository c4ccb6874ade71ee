/* html.c - pages for people: plain, without script, as a phone shows them too. */
#include "sandbox_int.h"

void html_text(struct gd_buf *b, const char *s)
{
    for (; *s; s++) {
        switch (*s) {
        case '&':
            gd_buf_adds(b, "&amp;");
            break;
        case '<':
            gd_buf_adds(b, "&lt;");
            break;
        case '>':
            gd_buf_adds(b, "&gt;");
            break;
        case '"':
            gd_buf_adds(b, "&quot;");
            break;
        case '\'':
            gd_buf_adds(b, "&#39;");
            break;
        default:
            gd_buf_addc(b, *s);
        }
    }
}

void html_head(struct gd_buf *b, const char *title)
{
    gd_buf_adds(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>");
    html_text(b, title);
    gd_buf_adds(
        b, "</title><style>body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;"
           "padding:0 1rem}fieldset{margin:1rem 0;border:1px solid #777}label{display:block;padding:.4rem 0}"
           ".note{background:#fd6;color:#000;padding:.5rem}button{font:inherit;padding:.6rem 1.2rem;"
           "margin-right:1rem}</style></head>\n<body><p class=\"note\">This is grantd-sandbox, not the "
           "platform. Nothing here is real.</p>\n<h1>");
    html_text(b, title);
    gd_buf_adds(b, "</h1>\n");
}

void html_send(struct sb_req *r, int status, struct gd_buf *b)
{
    gd_buf_adds(b, "</body></html>\n");
    sb_bytes(r, status, "text/html; charset=utf-8", b->ptr, b->len);
    sb_answer_header(r, "Content-Security-Policy",
                     "default-src 'none'; style-src 'unsafe-inline'; "
                     "frame-ancestors 'none'; base-uri 'none'");
    sb_answer_header(r, "Referrer-Policy", "no-referrer");
    sb_answer_header(r, "Cache-Control", "no-store");
    gd_buf_done(b);
}

void sb_page(struct sb_req *r, int status, const char *title, const char *text)
{
    struct gd_buf b;

    gd_buf_init(&b, SB_BODY_MAX);
    html_head(&b, title);
    gd_buf_adds(&b, "<p>");
    html_text(&b, text);
    gd_buf_adds(&b, "</p>\n");
    html_send(r, status, &b);
}
