/* portal/pages.c - see pages.h. One language so far; a second one is a second table of sentences. */
#include "portal/pages.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "portal/template.h"

#include <stdio.h>
#include <string.h>

struct gd_portal_pages {
    json_t *sentences;
    struct gd_portal_template *page[GD_PAGE__COUNT];
    char style_hash[64];
};

static const char *const files[GD_PAGE__COUNT] = {
    [GD_PAGE_LINK] = "link.html",
    [GD_PAGE_END] = "end.html",
    [GD_PAGE_ERROR] = "error.html",
};

static const char *find_part(void *arg, const char *name)
{
    (void)arg;
    return gd_portal_pages_file(name);
}

static const char *find_sentence(void *arg, const char *key)
{
    return gd_portal_pages_sentence(arg, key);
}

static int load_sentences(struct gd_portal_pages *p, const char *file, struct gd_err *err)
{
    const char *text = gd_portal_pages_file(file);

    if (!text)
        return gd_err_set(err, GD_R_PORTAL_PAGE_INVALID, "%s is not built in", file);
    p->sentences = gd_json_parse(text, strlen(text), 65536, err);
    return p->sentences ? 0 : -1;
}

static void hash_style(struct gd_portal_pages *p)
{
    const char *style = gd_portal_pages_file("style.css");
    unsigned char sum[32];
    char b64[48];

    gd_sha256(sum, style ? style : "", style ? strlen(style) : 0);
    gd_b64(b64, sum, sizeof sum);
    (void)snprintf(p->style_hash, sizeof p->style_hash, "'sha256-%s'", b64);
}

int gd_portal_pages_new(struct gd_portal_pages **ret, struct gd_err *err)
{
    struct gd_portal_pages *p = gd_new(sizeof *p);
    const struct gd_portal_template_env env = { find_part, find_sentence, p };
    int rc = load_sentences(p, "en.json", err);

    for (size_t i = 0; rc == 0 && i < GD_PAGE__COUNT; i++) {
        const char *source = gd_portal_pages_file(files[i]);

        if (source)
            rc = gd_portal_template_new(&p->page[i], files[i], source, &env, err);
        else
            rc = gd_err_set(err, GD_R_PORTAL_PAGE_INVALID, "%s is not built in", files[i]);
    }
    if (rc < 0) {
        gd_portal_pages_free(p);
        return -1;
    }
    hash_style(p);
    *ret = p;
    return 0;
}

void gd_portal_pages_free(struct gd_portal_pages *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < GD_PAGE__COUNT; i++)
        gd_portal_template_free(p->page[i]);
    json_decref(p->sentences);
    gd_free(p);
}

bool gd_portal_pages_render(const struct gd_portal_pages *p, enum gd_portal_page page, json_t *view,
                            struct gd_buf *out)
{
    return gd_portal_template_render(p->page[page], view, out);
}

const char *gd_portal_pages_style_hash(const struct gd_portal_pages *p)
{
    return p->style_hash;
}

const char *gd_portal_pages_sentence(const struct gd_portal_pages *p, const char *key)
{
    return json_string_value(json_object_get(p->sentences, key));
}

static const char *who(const char *word)
{
    switch (gd_reason_info(gd_reason_find(word))->act) {
    case GD_ACT_OK:
    case GD_ACT_USAGE:
        return "usage";
    case GD_ACT_NOTFOUND:
        return "notfound";
    case GD_ACT_DENIED:
        return "denied";
    case GD_ACT_PERSON:
        return "person";
    case GD_ACT_LATER:
        return "later";
    case GD_ACT_DAEMON:
        break;
    }
    return "daemon";
}

static const char *about(const struct gd_portal_pages *p, const char *what, const char *word)
{
    char key[96];
    const char *s;

    (void)snprintf(key, sizeof key, "%s_%s", what, word);
    s = gd_portal_pages_sentence(p, key);
    if (s)
        return s;
    (void)snprintf(key, sizeof key, "%s_by_%s", what, who(word));
    s = gd_portal_pages_sentence(p, key);
    return s ? s : "";
}

const char *gd_portal_pages_reason(const struct gd_portal_pages *p, const char *word)
{
    return about(p, "reason", word);
}

const char *gd_portal_pages_remedy(const struct gd_portal_pages *p, const char *word)
{
    return about(p, "remedy", word);
}
