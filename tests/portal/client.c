/* tests/portal/client.c - see client.h. */
#include "client.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void see(struct browser *b, const char *answer)
{
    GD_AUTO_FREE char *set = field_of(answer, "Set-Cookie");
    const char *token = strstr(answer, "name=\"csrf\" value=\"");

    if (set)
        (void)snprintf(b->cookie, sizeof b->cookie, "Cookie: %.*s\r\n", (int)strcspn(set, ";"), set);
    if (token)
        (void)snprintf(b->token, sizeof b->token, "%.43s", token + 19);
}

char *get(struct world *w, struct browser *b, const char *path)
{
    char *answer = ask(w, "GET", path, b->cookie, NULL);

    see(b, answer);
    return answer;
}

char *post_with(struct world *w, const struct browser *b, const char *path, const char *fields,
                const char *form)
{
    GD_AUTO_FREE char *all = gd_strf("%s%s", b->cookie, fields);
    GD_AUTO_FREE char *body = gd_strf("csrf=%s&%s", b->token, form);

    return ask(w, "POST", path, all, body);
}

char *post(struct world *w, const struct browser *b, const char *path, const char *form)
{
    return post_with(w, b, path, FORM_TYPE, form);
}

/* Takes the answer. */
void expect(char *answer, int status, const char *word)
{
    if (status_of(answer) != status || (word && !strstr(answer, word)))
        print_error("%s\n", answer ? answer : "(nothing)");
    assert_int_equal(status_of(answer), status);
    if (word)
        assert_non_null(strstr(answer, word));
    gd_free(answer);
}

void expect_location(char *answer, const char *where)
{
    GD_AUTO_FREE char *location = field_of(answer, "Location");

    assert_int_equal(status_of(answer), 303);
    assert_string_equal(location, where);
    gd_free(answer);
}

void start(struct world *w)
{
    world_init(w);
    world_start(w);
}

void has(const char *answer, const char *name, const char *value)
{
    GD_AUTO_FREE char *found = field_of(answer, name);

    if (!found || !strstr(found, value))
        print_error("%s lacks in:\n%s\n", name, answer);
    assert_non_null(found);
    assert_non_null(strstr(found, value));
}

char *raw(struct world *w, const char *text)
{
    int fd = dial(w);
    char *answer;

    say(fd, text);
    answer = hear_all(fd, NULL);
    (void)close(fd);
    return answer;
}
