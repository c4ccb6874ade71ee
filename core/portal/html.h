/* portal/html.h - where in an HTML document a byte stands: just enough of the tokenizer to know what escaping
 * does there. Stricter than HTML: what a browser repairs is an error. Pure. */
#ifndef GD_PORTAL_HTML_H
#define GD_PORTAL_HTML_H

#include <stdbool.h>
#include <stddef.h>

enum gd_portal_html_place {
    GD_HTML_TEXT,
    GD_HTML_TAG_OPEN, /* after '<' */
    GD_HTML_TAG_NAME,
    GD_HTML_IN_TAG, /* between attributes */
    GD_HTML_ATTR_NAME,
    GD_HTML_BEFORE_VALUE,
    GD_HTML_VALUE, /* inside double quotes */
    GD_HTML_AFTER_VALUE,
    GD_HTML_VALUE_OTHER, /* single-quoted or bare */
    GD_HTML_DECLARATION, /* <!doctype ...> and comments */
    GD_HTML_RAW          /* inside script or style */
};
#define GD_HTML_NAME 32
struct gd_portal_html {
    enum gd_portal_html_place place;
    bool end_tag, at_start, quote; /* at_start: nothing of the value was seen yet */
    size_t ntag, nattr, nraw;
    size_t nlead;
    char tag[GD_HTML_NAME], attr[GD_HTML_NAME];
    char lead[2]; /* first literal bytes of the value */
};
/* False on what is no clean HTML (a '<' in a value, a name too long, '<' in a tag). */
bool gd_portal_html_feed(struct gd_portal_html *h, const char *p, size_t n);
/* What a value may be escaped as here. */
enum gd_portal_html_kind { GD_HTML_NEVER, GD_HTML_AS_TEXT, GD_HTML_AS_URL, GD_HTML_AS_URL_PART };
enum gd_portal_html_kind gd_portal_html_kind(const struct gd_portal_html *h);
void gd_portal_html_value(struct gd_portal_html *h); /* a value was put here */
bool gd_portal_html_same(const struct gd_portal_html *a, const struct gd_portal_html *b);

#endif
