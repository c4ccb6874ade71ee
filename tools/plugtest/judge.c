/* judge.c - compares what came out with what the tape expects: only members that are named, "*" for anything
 * that is there, null for what must be absent. Lists are compared one by one, so that nothing is there
 * unseen. */
#include "plugtest.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static bool differ(char *why, size_t size, const char *where, const json_t *is, const json_t *expected)
{
    GD_AUTO_FREE char *a = is ? gd_json_dump(is) : gd_strdup("absent");
    GD_AUTO_FREE char *b = gd_json_dump(expected);

    (void)snprintf(why, size, "%s is %.300s, expected %.300s", where, a, b);
    return false;
}

/* {"url": "https://...", "query": {...}} against a URL: the order of parameters does not matter. */
static bool match_url(const json_t *expected, const char *url, const char *where, char *why, size_t size)
{
    const char *q = strchr(url, '?');
    GD_AUTO_FREE char *base = gd_strndup(url, q ? (size_t)(q - url) : strlen(url));
    GD_AUTO_FREE char *rest = gd_strdup(q ? q + 1 : "");
    GD_AUTO_JSON o = json_pack("{s:s, s:{}}", "url", base, "query");
    char *save = NULL;

    for (char *p = strtok_r(rest, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
        char *v = strchr(p, '=');

        if (v)
            *v++ = '\0';
        if (!v || !gd_percent_decode(p, true) || !gd_percent_decode(v, true) ||
            json_object_get(json_object_get(o, "query"), p)) {
            (void)snprintf(why, size, "%s: its query is odd: %.200s", where, url);
            return false;
        }
        (void)json_object_set_new(json_object_get(o, "query"), p, json_string(v));
    }
    if (json_object_get(expected, "query") &&
        json_object_size(json_object_get(expected, "query")) != json_object_size(json_object_get(o, "query")))
        return differ(why, size, where, o, expected);
    return pt_matches(expected, o, where, why, size);
}

static bool match_members(json_t *expected, const json_t *is, const char *where, char *why, size_t size)
{
    const char *key;
    json_t *e;

    json_object_foreach(expected, key, e)
    {
        const json_t *v = json_object_get(is, key);
        char at[200];

        (void)snprintf(at, sizeof at, "%s.%s", where, key);
        if (json_is_null(e)) {
            if (v)
                return differ(why, size, at, v, e);
        } else if (!pt_matches(e, v, at, why, size)) {
            return false;
        }
    }
    return true;
}

static bool match_list(const json_t *expected, const json_t *is, const char *where, char *why, size_t size)
{
    json_t *e;
    size_t i;

    if (json_array_size(expected) != json_array_size(is))
        return differ(why, size, where, is, expected);
    json_array_foreach(expected, i, e)
    {
        char at[200];

        (void)snprintf(at, sizeof at, "%s.%zu", where, i);
        if (!pt_matches(e, json_array_get(is, i), at, why, size))
            return false;
    }
    return true;
}

bool pt_matches(const json_t *expected, const json_t *is, const char *where, char *why, size_t size)
{
    const char *text = json_string_value(expected);

    if (is && text && !strcmp(text, "*"))
        return true;
    if (json_is_object(expected) && json_is_string(is) && json_object_get(expected, "url"))
        return match_url(expected, json_string_value(is), where, why, size);
    if (json_is_object(expected) && json_is_object(is))
        return match_members((json_t *)(uintptr_t)expected, is, where, why, size);
    if (json_is_array(expected) && json_is_array(is))
        return match_list(expected, is, where, why, size);
    return (is && json_equal(expected, is)) || differ(why, size, where, is, expected);
}

static bool judge_end(struct pt *pt, const struct pt_run *r)
{
    const char *problem = gd_tape_problem(r->reel);

    if (problem)
        pt_bad(pt, "%s: %s", r->tape->name, problem);
    else if (r->ends != 1)
        pt_bad(pt, "%s: it ended %u times", r->tape->name, r->ends);
    else if (gd_tape_played(r->reel) != gd_tape_frames(r->reel))
        pt_bad(pt, "%s: %zu of %zu frames were used", r->tape->name, gd_tape_played(r->reel),
               gd_tape_frames(r->reel));
    else
        return true;
    return false;
}

bool pt_judge(struct pt *pt, const struct pt_run *r)
{
    json_t *expect = json_object_get(r->tape->json, "expect"), *e;
    bool fine = judge_end(pt, r);
    const char *key;

    json_object_foreach(expect, key, e)
    {
        const json_t *is = json_object_get(r->out, key);
        const char *part = json_string_value(e);
        char why[900];

        if (!strcmp(key, "text") && part && json_is_string(is) && strstr(json_string_value(is), part))
            continue;
        if (r->out && !pt_matches(e, is, key, why, sizeof why)) {
            pt_bad(pt, "%s: %s", r->tape->name, why);
            fine = false;
        }
    }
    return fine;
}
