/* portal/form.h - what browsers send in queries, bodies and cookies. Pure. */
#ifndef GD_PORTAL_FORM_H
#define GD_PORTAL_FORM_H

#include "base/json.h"
#include "portal/reader.h"

#define GD_FORM_PARAMS_MAX 512 /* every open item, and some hundred accounts that somebody ticks */
#define GD_SESSION_LEN     43  /* base64url of 32 bytes */

/* application/x-www-form-urlencoded into an object of decoded text, a new reference. A name that comes twice
 * keeps its first value and is set in *ret_duplicate (free with gd_free; NULL when there is none).
 * TEXT_INVALID. */
json_t *gd_portal_form_parse(const char *text, size_t n, char **ret_duplicate, struct gd_err *err);
/* The one cookie of that name when it looks like a session; false when it is absent, there twice or
 * malformed. ret: GD_SESSION_LEN + 1 bytes. */
bool gd_portal_cookie_session(const struct gd_portal_request *q, const char *name, char *ret);
/* True when the POST can only have come from a page of this origin, as far as its fields tell: the form's
 * token is checked elsewhere. */
bool gd_portal_origin_ours(const struct gd_portal_request *q, const char *origin);
bool gd_portal_content_is_form(const struct gd_portal_request *q);

#endif
