/* portal/view.h - what a page's template reads, made from what the broker answered. Pure but for memory;
 * nothing of it is HTML. */
#ifndef GD_PORTAL_VIEW_H
#define GD_PORTAL_VIEW_H

#include "portal/pages.h"

/* Where the page's forms go and the token that each carries. */
struct gd_portal_view_form {
    const char *action, *csrf;
};
/* Answers of gd_link_show and gd_flow_show; new references. */
json_t *gd_portal_view_link(const struct gd_portal_pages *p, const json_t *shown,
                            const struct gd_portal_view_form *form);
json_t *gd_portal_view_end(const struct gd_portal_pages *p, const json_t *shown,
                           const struct gd_portal_view_form *form);
/* The part about what was given earlier: the answer of gd_given_show; null when it is not offered. */
json_t *gd_portal_view_past(const struct gd_portal_pages *p, const json_t *given);
json_t *gd_portal_view_error(const struct gd_portal_pages *p, const char *word);
/* {"size","path","text"} of a QR code as one SVG path, or NULL when the text does not fit. */
json_t *gd_portal_view_qr(const char *text);

#endif
