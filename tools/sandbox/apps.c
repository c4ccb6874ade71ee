/* apps.c - small things that several stand-ins need about developer apps and OAuth. */
#include "apps.h"

#include <string.h>

bool sb_app_redirect(const json_t *app, const char *uri)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(app, "redirect_uris"), i, one)
    {
        const char *known = json_string_value(one);
        size_t n = strlen(known);

        if (uri && n && known[n - 1] == '*' ? strncmp(uri, known, n - 1) == 0 : sb_same(uri, known))
            return true;
    }
    return false;
}

json_t *sb_words(const char *text, const char *separators)
{
    json_t *out = json_array();
    size_t n;

    while (text && *text) {
        n = strcspn(text, separators);
        if (n)
            json_array_append_new(out, json_stringn(text, n));
        text += n + (text[n] != '\0');
    }
    return out;
}

char *sb_join(struct sb_req *r, const json_t *words, const char *separator)
{
    char *out = sb_strf(r, "%s", "");
    const json_t *one;
    size_t i;

    json_array_foreach(words, i, one)
    {
        out = sb_strf(r, "%s%s%s", out, i ? separator : "", json_string_value(one));
    }
    return out;
}

void sb_oauth_error(struct sb_req *r, int status, const char *error, const char *description)
{
    json_t *body = json_pack("{s:s}", "error", error);

    if (description)
        json_object_set_new(body, "error_description", json_string(description));
    sb_json(r, status, body);
}
