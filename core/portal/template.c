/* portal/template.c - see template.h. A template is a flat list of nodes; a section knows where it ends. */
#include "portal/template.h"

#include "base/mem.h"
#include "portal/html.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX    16
#define NAME_MAX_LEN 64
#define NODES_MAX    4096

enum node_kind { NODE_TEXT, NODE_VALUE, NODE_SENTENCE, NODE_SECTION, NODE_INVERTED, NODE_END };
struct node {
    enum node_kind kind;
    enum gd_portal_html_kind as;
    const char *text; /* literal; borrowed from the source */
    size_t len;
    size_t end; /* section: index of its NODE_END */
    char name[NAME_MAX_LEN];
    struct gd_portal_template *sentence;
};
struct gd_portal_template {
    struct node *nodes;
    size_t n, cap;
    bool html;
};

struct open_section {
    size_t node;
    struct gd_portal_html html; /* where it began */
};
struct compiler {
    struct gd_portal_template *t;
    const char *name, *source;
    const struct gd_portal_template_env *env;
    struct gd_err *err;
    struct gd_portal_html html;
    struct open_section open[DEPTH_MAX];
    size_t nopen;
    unsigned parts; /* nesting of {{>part}} */
};

void gd_portal_template_free(struct gd_portal_template *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        gd_portal_template_free(t->nodes[i].sentence);
    gd_free(t->nodes);
    gd_free(t);
}

/* ---- compiling --------------------------------------------------------------------------------------------
 */

static int fail(struct compiler *c, const char *at, const char *what)
{
    unsigned line = 1;

    for (const char *p = c->source; p < at; p++)
        line += *p == '\n';
    return gd_err_set(c->err, GD_R_PORTAL_PAGE_INVALID, "%s:%u: %s", c->name, line, what);
}

static struct node *add(struct compiler *c, enum node_kind kind)
{
    struct gd_portal_template *t = c->t;

    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 16;
        t->nodes = gd_resize(t->nodes, t->cap * sizeof *t->nodes);
    }
    t->nodes[t->n] = (struct node){ .kind = kind };
    return &t->nodes[t->n++];
}

static int add_text(struct compiler *c, const char *p, size_t n)
{
    struct node *node;

    if (n == 0)
        return 0;
    if (c->t->html && !gd_portal_html_feed(&c->html, p, n))
        return fail(c, p + n, "before here the HTML is not clean");
    node = add(c, NODE_TEXT);
    node->text = p;
    node->len = n;
    return 0;
}

static bool name_ok(const char *p, size_t n)
{
    if (n == 0 || n >= NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') ||
              p[i] == '_' || p[i] == '.'))
            return false;
    return true;
}

static int add_sentence(struct compiler *c, struct node *node, const char *at)
{
    const char *source = c->env && c->env->sentence ? c->env->sentence(c->env->arg, node->name + 2) : NULL;

    if (!source)
        return fail(c, at, "the language has no such sentence");
    node->kind = NODE_SENTENCE;
    return gd_portal_template_new_text(&node->sentence, c->name, source, c->err);
}

static int add_value(struct compiler *c, const char *p, size_t n)
{
    struct node *node;

    if (!name_ok(p, n))
        return fail(c, p, "the tag holds no name");
    node = add(c, NODE_VALUE);
    memcpy(node->name, p, n);
    node->as = GD_HTML_AS_TEXT;
    if (c->t->html) {
        node->as = gd_portal_html_kind(&c->html);
        if (node->as == GD_HTML_NEVER)
            return fail(c, p, "escaping cannot make a value safe in this place");
        gd_portal_html_value(&c->html);
    }
    return c->t->html && strncmp(node->name, "t.", 2) == 0 ? add_sentence(c, node, p) : 0;
}

static int open_section(struct compiler *c, const char *p, size_t n, bool inverted)
{
    struct node *node;

    if (!name_ok(p, n))
        return fail(c, p, "the section has no name");
    if (c->nopen == DEPTH_MAX)
        return fail(c, p, "sections are nested too deeply");
    c->open[c->nopen++] = (struct open_section){ c->t->n, c->html };
    node = add(c, inverted ? NODE_INVERTED : NODE_SECTION);
    memcpy(node->name, p, n);
    return 0;
}

static int close_section(struct compiler *c, const char *p, size_t n)
{
    struct open_section *o;
    struct node *begin;

    if (c->nopen == 0)
        return fail(c, p, "no section is open");
    o = &c->open[--c->nopen];
    add(c, NODE_END);
    begin = &c->t->nodes[o->node];
    if (strlen(begin->name) != n || memcmp(begin->name, p, n) != 0)
        return fail(c, p, "another section is open");
    if (c->t->html && !gd_portal_html_same(&c->html, &o->html))
        return fail(c, p, "the section ends in another place of the HTML than it began");
    begin->end = c->t->n - 1;
    return 0;
}

static int compile(struct compiler *c, const char *p);

static int add_part(struct compiler *c, const char *p, size_t n)
{
    const char *source, *outer = c->source;
    char name[NAME_MAX_LEN] = { 0 };
    int rc;

    if (!name_ok(p, n) || c->parts == 4)
        return fail(c, p, "the part has no name or parts nest too deeply");
    memcpy(name, p, n);
    source = c->env && c->env->part ? c->env->part(c->env->arg, name) : NULL;
    if (!source)
        return fail(c, p, "there is no such part");
    c->parts++;
    c->source = source;
    rc = compile(c, source);
    c->source = outer;
    c->parts--;
    return rc;
}

/* What stands between {{ and }}. */
static int add_tag(struct compiler *c, const char *p, size_t n)
{
    char sigil = n ? p[0] : '\0';

    if (c->t->n >= NODES_MAX)
        return fail(c, p, "the template is too long");
    switch (sigil) {
    case '!':
        return 0;
    case '#':
        return open_section(c, p + 1, n - 1, false);
    case '^':
        return open_section(c, p + 1, n - 1, true);
    case '/':
        return close_section(c, p + 1, n - 1);
    case '>':
        return add_part(c, p + 1, n - 1);
    default:
        return add_value(c, p, n);
    }
}

static int compile(struct compiler *c, const char *p)
{
    for (;;) {
        const char *tag = strstr(p, "{{"), *end;

        if (!tag)
            return add_text(c, p, strlen(p));
        if (add_text(c, p, (size_t)(tag - p)) < 0)
            return -1;
        end = strstr(tag + 2, "}}");
        if (!end)
            return fail(c, tag, "a tag is not closed");
        if (add_tag(c, tag + 2, (size_t)(end - tag - 2)) < 0)
            return -1;
        p = end + 2;
    }
}

static int finish(struct compiler *c)
{
    const char *end = c->source + strlen(c->source);

    if (c->nopen)
        return fail(c, end, "a section is not closed");
    if (c->t->html && c->html.place != GD_HTML_TEXT)
        return fail(c, end, "the HTML ends inside a tag");
    return 0;
}

static int make(struct gd_portal_template **ret, bool html, const char *name, const char *source,
                const struct gd_portal_template_env *env, struct gd_err *err)
{
    struct compiler c = { .name = name, .source = source, .env = env, .err = err };

    c.t = gd_new(sizeof *c.t);
    c.t->html = html;
    if (compile(&c, source) < 0 || finish(&c) < 0) {
        gd_portal_template_free(c.t);
        return -1;
    }
    *ret = c.t;
    return 0;
}

int gd_portal_template_new(struct gd_portal_template **ret, const char *name, const char *source,
                           const struct gd_portal_template_env *env, struct gd_err *err)
{
    return make(ret, true, name, source, env, err);
}

int gd_portal_template_new_text(struct gd_portal_template **ret, const char *name, const char *source,
                                struct gd_err *err)
{
    return make(ret, false, name, source, NULL, err);
}

/* ---- rendering --------------------------------------------------------------------------------------------
 */

struct renderer {
    const struct gd_portal_template *t;
    json_t *stack[DEPTH_MAX + 1];
    size_t depth;
    struct gd_buf *out;
};

/* The innermost object that has the first part of the name decides. */
static json_t *look_up(const struct renderer *r, const char *name)
{
    char first[NAME_MAX_LEN];
    size_t n = strcspn(name, ".");

    if (strcmp(name, ".") == 0)
        return r->stack[r->depth];
    memcpy(first, name, n);
    first[n] = '\0';
    for (size_t i = r->depth + 1; i-- > 0;) {
        json_t *v = json_object_get(r->stack[i], first);

        if (!v)
            continue;
        for (name += n; v && *name == '.'; name += n) {
            name++;
            n = strcspn(name, ".");
            memcpy(first, name, n);
            first[n] = '\0';
            v = json_object_get(v, first);
        }
        return v;
    }
    return NULL;
}

static bool truthy(const json_t *v)
{
    if (json_is_array(v))
        return json_array_size(v) > 0;
    if (json_is_string(v))
        return json_string_length(v) > 0;
    if (json_is_integer(v))
        return json_integer_value(v) != 0;
    return json_is_object(v) || json_is_true(v);
}

/* U+202A to U+202E, U+2066 to U+2069: a name that turns the direction of writing and does not turn it back
 * would turn our own sentences, too. Names that are written from right to left need none of them. */
static bool turns(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    return p[0] == 0xe2 &&
           ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) || (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

static void escape(struct gd_buf *out, const char *s)
{
    for (; *s; s++) {
        size_t plain = strcspn(s, "&<>\"'\xe2");

        gd_buf_add(out, s, plain);
        s += plain;
        if (!*s)
            return;
        if (turns(s))
            s += 2;
        else if ((unsigned char)*s == 0xe2)
            gd_buf_add(out, s, 1);
        else
            gd_buf_adds(out, *s == '&'   ? "&amp;"
                             : *s == '<' ? "&lt;"
                             : *s == '>' ? "&gt;"
                             : *s == '"' ? "&quot;"
                                         : "&#39;");
    }
}

static bool url_ok(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p <= 0x20 || *p == 0x7f || *p == '\\')
            return false;
    if (s[0] == '/')
        return s[1] != '/';
    return strncmp(s, "https://", 8) == 0 || strncmp(s, "http://", 7) == 0;
}

static bool unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put(struct gd_buf *out, enum gd_portal_html_kind as, const char *s)
{
    if (as == GD_HTML_AS_URL) {
        escape(out, url_ok(s) ? s : "#blocked");
    } else if (as == GD_HTML_AS_URL_PART) {
        for (; *s; s++) {
            if (unreserved(*s))
                gd_buf_addc(out, *s);
            else
                gd_buf_addf(out, "%%%02X", (unsigned char)*s);
        }
    } else {
        escape(out, s);
    }
}

static void put_value(struct renderer *r, const struct node *n)
{
    const json_t *v = look_up(r, n->name);
    char number[32];
    const char *s = json_string_value(v);

    if (json_is_integer(v)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        s = number;
    }
    if (!s)
        return;
    if (r->t->html)
        put(r->out, n->as, s);
    else
        gd_buf_adds(r->out, s);
}

static bool render(struct renderer *r, size_t from, size_t to);

static bool put_sentence(struct renderer *r, const struct node *n)
{
    struct gd_buf text;
    struct renderer inner = *r;
    bool ok;

    gd_buf_init(&text, 16384);
    inner.t = n->sentence;
    inner.out = &text;
    ok = render(&inner, 0, n->sentence->n) && !text.failed;
    if (ok && text.len)
        put(r->out, n->as, text.ptr);
    gd_buf_done(&text);
    return ok;
}

static bool enter(struct renderer *r, json_t *v, size_t from, size_t to)
{
    bool ok;

    if (r->depth == DEPTH_MAX)
        return false;
    r->stack[++r->depth] = v;
    ok = render(r, from, to);
    r->depth--;
    return ok;
}

static bool put_section(struct renderer *r, size_t i)
{
    const struct node *n = &r->t->nodes[i];
    json_t *v = look_up(r, n->name), *item;
    size_t k;

    if (n->kind == NODE_INVERTED)
        return truthy(v) || render(r, i + 1, n->end);
    if (!truthy(v))
        return true;
    if (!json_is_array(v))
        return enter(r, v, i + 1, n->end);
    json_array_foreach(v, k, item)
    {
        if (!enter(r, item, i + 1, n->end))
            return false;
    }
    return true;
}

static bool render(struct renderer *r, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct node *n = &r->t->nodes[i];

        if (n->kind == NODE_TEXT)
            gd_buf_add(r->out, n->text, n->len);
        else if (n->kind == NODE_VALUE)
            put_value(r, n);
        else if (n->kind == NODE_SENTENCE && !put_sentence(r, n))
            return false;
        else if (n->kind == NODE_SECTION || n->kind == NODE_INVERTED) {
            if (!put_section(r, i))
                return false;
            i = n->end;
        }
    }
    return true;
}

bool gd_portal_template_render(const struct gd_portal_template *t, json_t *view, struct gd_buf *out)
{
    struct renderer r = { .t = t, .out = out };

    r.stack[0] = view;
    return render(&r, 0, t->n) && !out->failed;
}
