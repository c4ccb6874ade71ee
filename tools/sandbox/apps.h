/* apps.h - developer apps in a world ({id, secret, redirect_uris}), lists of words, and answers of OAuth. */
#ifndef SB_APPS_H
#define SB_APPS_H

#include "sandbox.h"

/* Whether the app registered that redirect URI, character by character. A registered one that ends with '*'
 * stands for all that begin like it: so a broker on loopback needs no world of its own. */
bool sb_app_redirect(const json_t *app, const char *uri);
/* The words of a text as a JSON array, separated by any of those characters. A new reference. */
json_t *sb_words(const char *text, const char *separators);
/* The texts of an array with a separator between them. */
char *sb_join(struct sb_req *r, const json_t *words, const char *separator);
/* {"error", "error_description"}; description may be NULL. */
void sb_oauth_error(struct sb_req *r, int status, const char *error, const char *description);

#endif
