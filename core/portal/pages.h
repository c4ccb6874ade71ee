/* portal/pages.h - the pages: templates, style and sentences that are built into the program, compiled once.
 */
#ifndef GD_PORTAL_PAGES_H
#define GD_PORTAL_PAGES_H

#include "base/buf.h"
#include "base/json.h"

struct gd_portal_pages;
enum gd_portal_page { GD_PAGE_LINK, GD_PAGE_END, GD_PAGE_ERROR, GD_PAGE__COUNT };

/* PORTAL_PAGE_INVALID. */
int gd_portal_pages_new(struct gd_portal_pages **ret, struct gd_err *err);
void gd_portal_pages_free(struct gd_portal_pages *p); /* NULL is fine */
bool gd_portal_pages_render(const struct gd_portal_pages *p, enum gd_portal_page page, json_t *view,
                            struct gd_buf *out);
/* 'sha256-...' of the one style sheet, for the policy in the answer's head. */
const char *gd_portal_pages_style_hash(const struct gd_portal_pages *p);
/* A sentence of the language, or NULL. Borrowed. */
const char *gd_portal_pages_sentence(const struct gd_portal_pages *p, const char *key);
/* A sentence for people about a reason word, and what they can do: of the word itself, else of who must act.
 */
const char *gd_portal_pages_reason(const struct gd_portal_pages *p, const char *word);
const char *gd_portal_pages_remedy(const struct gd_portal_pages *p, const char *word);

/* The files of core/portal/pages/, by name ("link.html"); NULL when there is none. Made by the build. */
const char *gd_portal_pages_file(const char *name);

#endif
