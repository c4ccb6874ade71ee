/* plugin/warnings.h - what platforms want an operator to know: a JSON object of word -> sentences, one a
 * line. A word is about several things when it is said of several: a sentence takes the place of an earlier
 * one only when nothing but figures differs between them. */
#ifndef GD_PLUGIN_WARNINGS_H
#define GD_PLUGIN_WARNINGS_H

#include "base/json.h"

#define GD_WARNINGS_LINES_MAX  16 /* sentences of one word; further ones are not kept */
#define GD_WARNINGS_FIGURE_MAX 6  /* digits: longer numbers are ids, which name what it is about */

/* True when nothing was said of this before. */
bool gd_warnings_add(json_t *all, const char *word, const char *sentence);
/* All sentences of text; those that were new are added to news (may be NULL) as well. */
void gd_warnings_merge(json_t *all, const char *word, const char *text, json_t *news);
/* A copy of the first line; *p becomes what follows it. Caller frees. */
char *gd_warnings_next(const char **p);
/* Adds to news those sentences of text that were not said before (NULL: nothing was). */
void gd_warnings_news(const json_t *before, const char *word, const char *text, json_t *news);

#endif
