/* answer.c - the builders of answers. The last one wins; the server sends it. */
#include "base/mem.h"
#include "base/text.h"
#include "sandbox_int.h"

#include <string.h>
#include <strings.h>

void sb_bytes(struct sb_req *r, int status, const char *type, const void *p, size_t n)
{
    struct own *o = own_of(r);

    o->status = status;
    o->type = gd_arena_strdup(r->arena, type);
    o->out = gd_arena_strndup(r->arena, n ? p : "", n);
    o->out_len = n;
}

void sb_text(struct sb_req *r, int status, const char *type, const char *text)
{
    sb_bytes(r, status, type, text, strlen(text));
}

void sb_empty(struct sb_req *r, int status)
{
    sb_bytes(r, status, NULL, "", 0);
}

void sb_json(struct sb_req *r, int status, json_t *body)
{
    GD_AUTO_FREE char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);

    sb_text(r, status, "application/json", text ? text : "null");
    json_decref(body);
}

/* A header of that name that is there already is replaced, but for those that may repeat. */
void sb_answer_header(struct sb_req *r, const char *name, const char *fmt, ...)
{
    struct own *o = own_of(r);
    size_t i = 0;
    va_list ap;

    while (i < o->nheaders && (strcasecmp(o->names[i], name) != 0 || strcasecmp(name, "Set-Cookie") == 0))
        i++;
    if (i == SB_HEADERS_MAX)
        return;
    va_start(ap, fmt);
    o->names[i] = gd_arena_strdup(r->arena, name);
    o->values[i] = gd_arena_vstrf(r->arena, fmt, ap);
    va_end(ap);
    if (i == o->nheaders)
        o->nheaders++;
}

static void redirect(struct sb_req *r, const char *base, va_list ap, char *(*encode)(const char *))
{
    struct gd_buf url;
    const char *name, *value;
    bool query = strchr(base, '?') != NULL;

    gd_buf_init(&url, 64 * 1024);
    gd_buf_adds(&url, base);
    while ((name = va_arg(ap, const char *))) {
        GD_AUTO_FREE char *coded = NULL;

        value = va_arg(ap, const char *);
        if (!value)
            continue;
        coded = encode(value);
        gd_buf_addf(&url, "%c%s=%s", query ? '&' : '?', name, coded);
        query = true;
    }
    sb_empty(r, 302);
    sb_answer_header(r, "Location", "%s", url.ptr);
    gd_buf_done(&url);
}

void sb_redirect(struct sb_req *r, const char *base, ...)
{
    va_list ap;

    va_start(ap, base);
    redirect(r, base, ap, gd_percent_encode);
    va_end(ap);
}

void sb_redirect_form(struct sb_req *r, const char *base, ...)
{
    va_list ap;

    va_start(ap, base);
    redirect(r, base, ap, gd_form_encode);
    va_end(ap);
}

bool sb_answered(const struct sb_req *r)
{
    return own_of(r)->status != 0;
}

int sb_status(const struct sb_req *r)
{
    return own_of(r)->status;
}
