/* linkedin_restli.c - reads Rest.li 2.0 values: linkedin_shopify_oauth2.md 1.3 "Encoder rules (for a C
 * function)". */
#include "linkedin_restli.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 8

struct cursor {
    const char *at;
    char mark;        /* between key and value */
    const char *stop; /* the structure characters */
    bool wrong;
    int depth;
};

/* Text up to a structure character, decoded; '' is the empty text. Caller frees; NULL when it is none. */
static char *word(struct cursor *c)
{
    size_t n = strcspn(c->at, c->stop);
    char *out = gd_strndup(c->at, n);

    c->at += n;
    if (strcmp(out, "''") == 0) {
        out[0] = '\0';
        return out;
    }
    if (n && !strchr(out, '\'') && gd_percent_decode(out, false))
        return out;
    c->wrong = true;
    gd_free(out);
    return NULL;
}

static json_t *any(struct cursor *c);

static json_t *list(struct cursor *c)
{
    json_t *out = json_array();

    if (*c->at == ')') {
        c->at++;
        return out;
    }
    while (!c->wrong) {
        json_array_append_new(out, any(c));
        if (*c->at == ')')
            break;
        c->wrong |= *c->at != ',';
        c->at += *c->at == ',';
    }
    c->at += *c->at == ')';
    return out;
}

static json_t *record(struct cursor *c)
{
    json_t *out = json_object();

    while (!c->wrong) {
        GD_AUTO_FREE char *key = word(c);

        if (!key || *c->at != c->mark) {
            c->wrong = true;
            break;
        }
        c->at++;
        json_object_set_new(out, key, any(c));
        if (*c->at == ')')
            break;
        c->wrong |= *c->at != ',';
        c->at += *c->at == ',';
    }
    c->at += *c->at == ')';
    return out;
}

static json_t *any(struct cursor *c)
{
    json_t *out = NULL;

    if (++c->depth > DEPTH_MAX) {
        c->wrong = true;
    } else if (strncmp(c->at, "List(", 5) == 0) {
        c->at += 5;
        out = list(c);
    } else if (*c->at == '(') {
        c->at++;
        out = record(c);
    } else {
        GD_AUTO_FREE char *text = word(c);

        out = text ? json_string(text) : NULL;
    }
    c->depth--;
    return out;
}

json_t *restli_parse(const char *raw, int equals)
{
    struct cursor c = { .at = raw, .mark = equals ? '=' : ':', .stop = equals ? "(),=" : "(),:" };
    json_t *out = any(&c);

    if (!c.wrong && !*c.at)
        return out;
    json_decref(out);
    return NULL;
}
