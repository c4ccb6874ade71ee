/* portal/template.h - pages from a small Mustache subset that follows the HTML while it compiles. What it
 * accepts:
 * {{name}} {{a.b}} {{.}} escaped for where it stands, {{#x}} {{^x}} {{/x}} sections, {{>part}} another source
 * put in at compile time, {{! remark}}, and {{t.key}}, a sentence of the language's table, itself a template
 * for text. There is no way to write a value unescaped, and a place where escaping cannot help (script,
 * style, comments, tag and attribute names, unquoted or single-quoted values, event and style attributes) is
 * refused when it compiles. In a URL attribute a value at the start must be a path or an http(s) URL, else it
 * becomes "#blocked". */
#ifndef GD_PORTAL_TEMPLATE_H
#define GD_PORTAL_TEMPLATE_H

#include "base/buf.h"
#include "base/json.h"

struct gd_portal_template;

/* Where compilation finds sources and sentences; both may return NULL. Borrowed text that outlives the
 * template. */
struct gd_portal_template_env {
    const char *(*part)(void *arg, const char *name);
    const char *(*sentence)(void *arg, const char *key);
    void *arg;
};
/* PORTAL_PAGE_INVALID with the template's name and line. name and source must outlive it. */
int gd_portal_template_new(struct gd_portal_template **ret, const char *name, const char *source,
                           const struct gd_portal_template_env *env, struct gd_err *err);
/* Text, not HTML: nothing is escaped. For sentences. */
int gd_portal_template_new_text(struct gd_portal_template **ret, const char *name, const char *source,
                                struct gd_err *err);
void gd_portal_template_free(struct gd_portal_template *t); /* NULL is fine */
/* False when out is full or sections nest deeper than 16. view is an object. */
bool gd_portal_template_render(const struct gd_portal_template *t, json_t *view, struct gd_buf *out);

#endif
