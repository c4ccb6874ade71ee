/* tests/portal/client.h - a visitor's browser in a few lines: a cookie, the token of the page it saw last,
 * and what a test expects to be answered. */
#ifndef GD_TESTS_PORTAL_CLIENT_H
#define GD_TESTS_PORTAL_CLIENT_H

#include "world.h"

#define FORM_TYPE "Content-Type: application/x-www-form-urlencoded\r\n"

struct browser {
    char cookie[128], token[64];
};
char *get(struct world *w, struct browser *b, const char *path); /* gd_free */
char *post_with(struct world *w, const struct browser *b, const char *path, const char *fields,
                const char *form);
char *post(struct world *w, const struct browser *b, const char *path, const char *form);
/* These take the answer. word: somewhere in it; NULL: not looked at. */
void expect(char *answer, int status, const char *word);
void expect_location(char *answer, const char *where);
/* The answer has the field, and value is in it. */
void has(const char *answer, const char *name, const char *value);
/* Bytes on a connection of their own. gd_free. */
char *raw(struct world *w, const char *text);
void start(struct world *w); /* a world with the defaults */

#endif
