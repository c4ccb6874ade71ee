/* portal/form.c - see form.h. */
#include "portal/form.h"

#include "base/mem.h"
#include "base/text.h"

#include <string.h>
#include <strings.h>

static int add_pair(json_t *form, char *pair, char **duplicate, struct gd_err *err)
{
    char *value = strchr(pair, '=');
    json_t *text;

    if (value)
        *value++ = '\0';
    else
        value = pair + strlen(pair);
    if (!gd_percent_decode(pair, true) || !gd_percent_decode(value, true))
        return gd_err_set(err, GD_R_TEXT_INVALID, "a parameter is not percent-encoded UTF-8");
    if (json_object_get(form, pair)) {
        if (!*duplicate)
            *duplicate = gd_strdup(pair);
        return 0;
    }
    if (json_object_size(form) == GD_FORM_PARAMS_MAX)
        return gd_err_set(err, GD_R_TEXT_INVALID, "there are more than %d parameters", GD_FORM_PARAMS_MAX);
    text = json_string(value);
    if (!text || json_object_set_new(form, pair, text) < 0)
        return gd_err_set(err, GD_R_TEXT_INVALID, "a parameter is not UTF-8 text");
    return 0;
}

json_t *gd_portal_form_parse(const char *text, size_t n, char **ret_duplicate, struct gd_err *err)
{
    GD_AUTO_FREE char *copy = gd_strndup(text ? text : "", text ? n : 0);
    char *duplicate = NULL, *p = copy, *pair;
    json_t *form;
    int rc = 0;

    if (text && strlen(copy) != n) {
        gd_err_set(err, GD_R_TEXT_INVALID, "the parameters hold a NUL");
        return NULL;
    }
    form = json_object();
    while (rc == 0 && (pair = strsep(&p, "&")) != NULL)
        if (*pair)
            rc = add_pair(form, pair, &duplicate, err);
    if (rc < 0) {
        gd_free(duplicate);
        json_decref(form);
        return NULL;
    }
    *ret_duplicate = duplicate;
    return form;
}

static bool session_valid(const char *p, size_t n)
{
    unsigned char raw[32];
    bool ok = n == GD_SESSION_LEN && gd_b64url_decode(raw, sizeof raw, p, n) == (long)sizeof raw;

    gd_wipe(raw, sizeof raw);
    return ok;
}

/* Looks through one Cookie field; counts what has the name and remembers the last. */
static void scan_cookies(const char *p, const char *name, unsigned *count, const char **ret, size_t *ret_len)
{
    size_t nname = strlen(name);

    while (*p) {
        size_t n;

        p += strspn(p, " \t;");
        n = strcspn(p, ";");
        if (n > nname && strncmp(p, name, nname) == 0 && p[nname] == '=') {
            ++*count;
            *ret = p + nname + 1;
            *ret_len = n - nname - 1;
            while (*ret_len && ((*ret)[*ret_len - 1] == ' ' || (*ret)[*ret_len - 1] == '\t'))
                --*ret_len;
        }
        p += n;
    }
}

bool gd_portal_cookie_session(const struct gd_portal_request *q, const char *name, char *ret)
{
    const char *value = NULL;
    size_t len = 0;
    unsigned count = 0;

    for (size_t i = 0; i < q->nfields; i++)
        if (strcmp(q->fields[i].name, "cookie") == 0)
            scan_cookies(q->fields[i].value, name, &count, &value, &len);
    if (count != 1 || !session_valid(value, len))
        return false;
    memcpy(ret, value, len);
    ret[len] = '\0';
    return true;
}

/* Our pages say Referrer-Policy: no-referrer, so that browsers send "Origin: null" with our own forms
 * (Fetch 3.2); Sec-Fetch-Site then tells ours from foreign ones. Browsers that send neither are left to the
 * form's token. */
bool gd_portal_origin_ours(const struct gd_portal_request *q, const char *origin)
{
    const char *from = gd_portal_request_field(q, "origin"),
               *site = gd_portal_request_field(q, "sec-fetch-site");

    if (gd_portal_request_count(q, "origin") > 1 || gd_portal_request_count(q, "sec-fetch-site") > 1)
        return false;
    if (site && strcmp(site, "same-origin") != 0)
        return false;
    return !from || strcmp(from, "null") == 0 || strcasecmp(from, origin) == 0;
}

bool gd_portal_content_is_form(const struct gd_portal_request *q)
{
    static const char form[] = "application/x-www-form-urlencoded";
    const char *type = gd_portal_request_field(q, "content-type");

    if (!type || strncasecmp(type, form, sizeof form - 1) != 0)
        return false;
    type += sizeof form - 1;
    return *type == '\0' || *type == ';' || *type == ' ';
}
