/* tape.c - tapes are data: an object, or an array of objects, one operation each. */
#include "plugtest.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const char *const kinds[] = { "request", "grant", "refresh", "verify", "revoke", "scan", "notice" };

static const char *const members[] = { "op",          "name",    "options", "args",   "query",
                                       "inputs",      "grant",   "kept",    "notes",  "provider",
                                       "description", "frames",  "now",     "expect", "comment",
                                       "save_ok",     "origins", "fact",    "params", "notice" };
static const char *const expected[] = { "end",      "class",    "reason",   "text",    "result", "assets",
                                        "steps",    "surfaces", "observed", "kept",    "notes",  "next_look",
                                        "retry_at", "spent",    "requests", "warnings" };

static bool one_of(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], word))
            return true;
    return false;
}

static char *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "re");
    char *text = f ? gd_new(PT_TAPE_FILE_MAX + 1) : NULL;

    if (!f)
        return NULL;
    *ret_len = fread(text, 1, PT_TAPE_FILE_MAX, f);
    (void)fclose(f);
    return text;
}

static bool check_members(struct pt *pt, const struct pt_tape *t)
{
    bool fine = true;
    const char *key;
    json_t *v;

    json_object_foreach(t->json, key, v) if (!one_of(members, sizeof members / sizeof *members, key))
    {
        pt_bad(pt, "%s: a tape has no member \"%s\"", t->name, key);
        fine = false;
    }
    json_object_foreach(json_object_get(t->json, "expect"), key,
                        v) if (!one_of(expected, sizeof expected / sizeof *expected, key))
    {
        pt_bad(pt, "%s: \"expect\" has no member \"%s\"", t->name, key);
        fine = false;
    }
    json_object_foreach(json_object_get(json_object_get(t->json, "notice"), "headers"), key, v)
    {
        if (json_is_string(v))
            continue;
        pt_bad(pt, "%s: the header \"%s\" of the notice is no text", t->name, key);
        fine = false;
    }
    if (!gd_json_text(json_object_get(t->json, "expect"), "end", NULL)) {
        pt_bad(pt, "%s: \"expect\" must say the \"end\": done, pending or failed", t->name);
        fine = false;
    }
    return fine;
}

static bool find_kind(struct pt *pt, struct pt_tape *t)
{
    const char *op = gd_json_text(t->json, "op", "");

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i], op)) {
            t->kind = (enum gd_op_kind)i;
            return true;
        }
    pt_bad(pt, "%s: \"op\" is none of request, grant, refresh, verify, revoke, scan, notice", t->name);
    return false;
}

static bool find_description(struct pt *pt, struct pt_tape *t)
{
    const char *provider = gd_json_text(t->json, "provider", NULL);
    json_t *inline_ = json_object_get(t->json, "description");
    struct gd_err err;

    if (inline_) {
        if (gd_description_check(pt->platform, inline_, "description", &err) != 0) {
            pt_bad(pt, "%s: %s", t->name, err.text);
            return false;
        }
        t->description = json_incref(inline_);
    } else if (provider) {
        GD_AUTO_FREE char *path = gd_strf("%s/%s.json", pt->providers, provider);

        t->description = gd_description_load(pt->platform, path, &err);
        if (!t->description) {
            pt_bad(pt, "%s: %s", t->name, err.text);
            return false;
        }
    }
    return true;
}

static bool add(struct pt *pt, const char *file, json_t *j)
{
    struct pt_tape *t = &pt->tapes[pt->ntapes];
    const char *base = strrchr(file, '/');

    if (pt->ntapes == PT_TAPES_MAX || !json_is_object(j)) {
        pt_bad(pt, "%s: a tape is an object, and at most %d are run", file, PT_TAPES_MAX);
        return false;
    }
    pt->ntapes++;
    t->json = json_incref(j);
    t->name = gd_strf("%s: %s", base ? base + 1 : file, gd_json_text(j, "name", gd_json_text(j, "op", "?")));
    t->frames = json_object_get(j, "frames");
    return check_members(pt, t) && find_kind(pt, t) && find_description(pt, t);
}

bool pt_tapes_read(struct pt *pt, const char *path)
{
    size_t n = 0, i;
    GD_AUTO_FREE char *text = read_file(path, &n);
    struct gd_err err = { .text = "it cannot be opened" };
    json_t *j = text ? gd_json_parse(text, n, PT_TAPE_FILE_MAX, &err) : NULL, *one;
    bool fine = j != NULL;

    if (!j)
        pt_bad(pt, "%s: %s", path, err.text);
    if (json_is_array(j)) {
        json_array_foreach(j, i, one) fine = add(pt, path, one) && fine;
    } else if (j) {
        fine = add(pt, path, j);
    }
    json_decref(j);
    return fine;
}

void pt_tapes_done(struct pt *pt)
{
    for (size_t i = 0; i < pt->ntapes; i++) {
        gd_free(pt->tapes[i].name);
        json_decref(pt->tapes[i].description);
        json_decref(pt->tapes[i].golden);
        json_decref(pt->tapes[i].json);
    }
    pt->ntapes = 0;
}

/* ---- secrets
 * ----------------------------------------------------------------------------------------------- */

static void add_secret(json_t *list, const char *s)
{
    if (s && strlen(s) >= 4)
        (void)json_array_append_new(list, json_string(s));
}

static bool secret_name(const char *key)
{
    static const char *const exact[] = {
        "access_token", "refresh_token",    "id_token",     "client_secret",
        "code",         "code_verifier",    "state",        "hub_access_token",
        "device_code",  "client_assertion", "access-token", "password"
    };

    return one_of(exact, sizeof exact / sizeof *exact, key);
}

/* "code": "ACCESS_DENIED" is an error's word, not a code to be exchanged. */
static bool error_word(const char *key, const char *s)
{
    return !strcmp(key, "code") && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == strlen(s);
}

static void add_named(json_t *list, const json_t *j)
{
    const char *key;
    json_t *v;
    size_t i;

    json_array_foreach(j, i, v) add_named(list, v);
    json_object_foreach((json_t *)(uintptr_t)j, key, v) if (json_is_string(v) && secret_name(key) &&
                                                            !error_word(key, json_string_value(v)))
        add_secret(list, json_string_value(v));
    else add_named(list, v);
}

json_t *pt_secrets(const struct pt *pt, const struct pt_tape *t)
{
    const struct grantd_option *o = pt->platform->p.options;
    json_t *list = json_array(), *frame;
    size_t i;

    add_named(list, json_object_get(t->json, "args"));
    for (; o && o->key; o++)
        if (o->flags & GRANTD_OPT_SECRET)
            add_secret(list, gd_json_text(json_object_get(t->json, "options"), o->key, NULL));
    json_array_foreach(t->frames, i, frame)
    {
        const json_t *answer = json_object_get(frame, "answer");

        if (gd_json_i64(answer, "status", 200) / 100 == 2) {
            add_named(list, json_object_get(answer, "json"));
            add_named(list, json_object_get(answer, "form"));
        }
    }
    return list;
}
