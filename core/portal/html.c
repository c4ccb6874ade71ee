/* portal/html.c - see html.h. */
#include "portal/html.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == ':';
}

static bool in_list(const char *list, const char *word, size_t n)
{
    for (const char *p = list; *p;) {
        size_t len = strcspn(p, " ");

        if (len == n && memcmp(p, word, n) == 0)
            return true;
        p += len;
        p += *p == ' ';
    }
    return false;
}

static bool is_raw_tag(const struct gd_portal_html *h)
{
    return in_list("script style", h->tag, h->ntag);
}

static bool push(char *name, size_t *n, char c)
{
    if (c >= 'A' && c <= 'Z')
        c = (char)(c - 'A' + 'a');
    if (!name_char(c) || *n == GD_HTML_NAME)
        return false;
    name[(*n)++] = c;
    return true;
}

static bool tag_ends(struct gd_portal_html *h)
{
    h->place = !h->end_tag && is_raw_tag(h) ? GD_HTML_RAW : GD_HTML_TEXT;
    h->nraw = h->nattr = 0;
    return true;
}

static bool on_tag_open(struct gd_portal_html *h, char c)
{
    if (c == '!') {
        h->place = GD_HTML_DECLARATION;
        return true;
    }
    if (c == '/' && !h->end_tag) {
        h->end_tag = true;
        return true;
    }
    h->place = GD_HTML_TAG_NAME;
    return push(h->tag, &h->ntag, c);
}

static bool on_tag_name(struct gd_portal_html *h, char c)
{
    if (c == '>')
        return tag_ends(h);
    if (is_space(c) || c == '/') {
        h->place = GD_HTML_IN_TAG;
        return true;
    }
    return push(h->tag, &h->ntag, c);
}

static bool on_in_tag(struct gd_portal_html *h, char c)
{
    if (is_space(c) || c == '/') {
        h->place = GD_HTML_IN_TAG;
        return true;
    }
    if (c == '>')
        return tag_ends(h);
    if (h->place == GD_HTML_AFTER_VALUE)
        return false; /* a="b"c */
    h->place = GD_HTML_ATTR_NAME;
    h->nattr = 0;
    return push(h->attr, &h->nattr, c);
}

static bool on_attr_name(struct gd_portal_html *h, char c)
{
    if (c == '=') {
        h->place = GD_HTML_BEFORE_VALUE;
        return true;
    }
    if (is_space(c) || c == '>' || c == '/')
        return on_in_tag(h, c);
    return push(h->attr, &h->nattr, c);
}

static bool on_before_value(struct gd_portal_html *h, char c)
{
    h->at_start = true;
    h->nlead = 0;
    h->quote = c == '\'';
    h->place = c == '"' ? GD_HTML_VALUE : GD_HTML_VALUE_OTHER;
    return !is_space(c) && c != '>';
}

static bool on_value(struct gd_portal_html *h, char c)
{
    if (h->nlead < sizeof h->lead && (h->at_start || h->nlead))
        h->lead[h->nlead++] = c;
    h->at_start = false;
    if (c == '"')
        h->place = GD_HTML_AFTER_VALUE;
    return c != '<';
}

static bool on_other_value(struct gd_portal_html *h, char c)
{
    if (h->quote && c == '\'')
        h->place = GD_HTML_AFTER_VALUE;
    else if (!h->quote && (is_space(c) || c == '>'))
        return on_in_tag(h, c);
    return c != '<';
}

/* Script and style end at their own end tag only. */
static bool on_raw(struct gd_portal_html *h, char c)
{
    const char end[] = "</";

    if (h->nraw < 2) {
        h->nraw = c == end[h->nraw] ? h->nraw + 1 : c == '<';
        return true;
    }
    if (h->nraw - 2 < h->ntag && c == h->tag[h->nraw - 2]) {
        h->nraw++;
        return true;
    }
    if (h->nraw - 2 == h->ntag && c == '>') {
        h->place = GD_HTML_TEXT;
        return true;
    }
    h->nraw = c == '<';
    return true;
}

static bool on_byte(struct gd_portal_html *h, char c)
{
    switch (h->place) {
    case GD_HTML_TEXT:
        if (c == '<') {
            h->place = GD_HTML_TAG_OPEN;
            h->end_tag = false;
            h->ntag = h->nattr = 0;
        }
        return true;
    case GD_HTML_TAG_OPEN:
        return on_tag_open(h, c);
    case GD_HTML_TAG_NAME:
        return on_tag_name(h, c);
    case GD_HTML_IN_TAG:
    case GD_HTML_AFTER_VALUE:
        return on_in_tag(h, c);
    case GD_HTML_ATTR_NAME:
        return on_attr_name(h, c);
    case GD_HTML_BEFORE_VALUE:
        return on_before_value(h, c);
    case GD_HTML_VALUE:
        return on_value(h, c);
    case GD_HTML_VALUE_OTHER:
        return on_other_value(h, c);
    case GD_HTML_DECLARATION:
        if (c == '>')
            h->place = GD_HTML_TEXT;
        return c != '<';
    case GD_HTML_RAW:
        return on_raw(h, c);
    }
    return false;
}

bool gd_portal_html_feed(struct gd_portal_html *h, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!on_byte(h, p[i]))
            return false;
    return true;
}

/* Text before a value in a URL must make it a path, query or fragment of ours: "javascript:" and "//" would
 * give the value a meaning that encoding does not take away. */
static bool lead_safe(const struct gd_portal_html *h)
{
    if (h->nlead == 0)
        return true;
    return (h->lead[0] == '/' && !(h->nlead == 2 && (h->lead[1] == '/' || h->lead[1] == '\\'))) ||
           h->lead[0] == '?' || h->lead[0] == '#';
}

enum gd_portal_html_kind gd_portal_html_kind(const struct gd_portal_html *h)
{
    if (h->place == GD_HTML_TEXT)
        return GD_HTML_AS_TEXT;
    if (h->place != GD_HTML_VALUE)
        return GD_HTML_NEVER;
    if (h->nattr >= 2 && memcmp(h->attr, "on", 2) == 0)
        return GD_HTML_NEVER;
    if (in_list("style srcdoc srcset content http-equiv", h->attr, h->nattr))
        return GD_HTML_NEVER;
    if (in_list("href src action formaction poster data cite background xlink:href ping manifest", h->attr,
                h->nattr))
        return h->at_start ? GD_HTML_AS_URL : lead_safe(h) ? GD_HTML_AS_URL_PART : GD_HTML_NEVER;
    return GD_HTML_AS_TEXT;
}

void gd_portal_html_value(struct gd_portal_html *h)
{
    h->at_start = false;
}

bool gd_portal_html_same(const struct gd_portal_html *a, const struct gd_portal_html *b)
{
    if (a->place != b->place)
        return false;
    if (a->place == GD_HTML_TEXT)
        return true;
    return a->ntag == b->ntag && memcmp(a->tag, b->tag, a->ntag) == 0 && a->end_tag == b->end_tag &&
           (a->place == GD_HTML_IN_TAG || a->place == GD_HTML_AFTER_VALUE ||
            (a->nattr == b->nattr && memcmp(a->attr, b->attr, a->nattr) == 0 && a->at_start == b->at_start));
}
