/* args.c - the command line becomes the parameters of a method, by its schema. Secrets never come from here:
 * a parameter that is one takes @FILE or - (standard input) only. */
#include "ctl.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 65536

const char *flag_name(const char *param, char out[64])
{
    size_t i;

    for (i = 0; param[i] && i < 63; i++)
        out[i] = param[i] == '_' ? '-' : param[i];
    out[i] = '\0';
    return out;
}

static char *read_all(FILE *f, const char *name, struct gd_err *err)
{
    struct gd_buf b;
    char part[4096];
    size_t n;

    gd_buf_init(&b, INPUT_MAX);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        if (!gd_buf_add(&b, part, n))
            break;
    gd_wipe(part, sizeof part);
    if (b.failed || ferror(f)) {
        gd_buf_done(&b);
        gd_err_set(err, GD_R_FILE_UNREADABLE, "%s cannot be read, or has more than %d bytes", name,
                   INPUT_MAX);
        return NULL;
    }
    while (b.len && (b.ptr[b.len - 1] == '\n' || b.ptr[b.len - 1] == '\r'))
        b.ptr[--b.len] = '\0';
    return gd_buf_steal(&b);
}

/* "@file" and "-" stand for what is in there; everything else for itself. Caller frees. */
static char *value_of(const char *text, bool secret, const char *flag, struct gd_err *err)
{
    char *out;
    FILE *f;

    if (!strcmp(text, "-"))
        return read_all(stdin, "standard input", err);
    if (text[0] == '@') {
        f = fopen(text + 1, "re");
        if (!f) {
            gd_err_set(err, GD_R_FILE_UNREADABLE, "%.200s: %s", text + 1, strerror(errno));
            return NULL;
        }
        out = read_all(f, text + 1, err);
        (void)fclose(f);
        return out;
    }
    if (secret) {
        gd_err_set(err, GD_R_USAGE,
                   "--%s is a secret and would be seen by everybody in the list of processes; use --%s "
                   "@FILE, or --%s - for "
                   "standard input",
                   flag, flag, flag);
        return NULL;
    }
    return gd_strdup(text);
}

static json_t *whole_json(const char *text, const char *flag, struct gd_err *err)
{
    json_t *j = gd_json_parse(text, strlen(text), INPUT_MAX, err);

    if (!j)
        gd_err_set(err, GD_R_USAGE,
                   "--%s-json wants JSON, for example --%s-json '[{\"app\":\"x\"}]', or @FILE", flag, flag);
    return j;
}

/* "params.name" is a member of the object "params". */
static void put_pair(json_t *to, const char *key, const char *value)
{
    const char *dot = strchr(key, '.');
    GD_AUTO_FREE char *first = dot ? gd_strndup(key, (size_t)(dot - key)) : NULL;
    json_t *inner = dot ? json_object_get(to, first) : NULL;

    if (dot && !inner) {
        inner = json_object();
        json_object_set_new(to, first, inner);
    }
    if (dot && json_is_object(inner))
        json_object_set_new(inner, dot + 1, json_string(value));
    else
        json_object_set_new(to, key, json_string(value));
}

/* "app=x,role=y": one object of a list. A comma inside a value is written \, */
static json_t *pairs(const char *text, const char *flag, struct gd_err *err)
{
    json_t *out = json_object();
    GD_AUTO_FREE char *copy = gd_strdup(text);
    char *p = copy;

    while (*p) {
        char *key = p, *eq = strchr(p, '='), *to;

        if (!eq)
            break;
        *eq = '\0';
        for (p = to = eq + 1; *p && *p != ','; p++) {
            if (*p == '\\' && p[1] == ',')
                p++;
            *to++ = *p;
        }
        p += *p == ',';
        *to = '\0';
        put_pair(out, key, eq + 1);
        if (!*p)
            return out;
    }
    json_decref(out);
    gd_err_set(err, GD_R_USAGE, "--%s is written name=value,name=value, for example --%s app=x,role=y", flag,
               flag);
    return NULL;
}

static json_t *texts(const char *text)
{
    json_t *out = json_array();
    size_t n;

    for (; *text; text += n + (text[n] == ',')) {
        n = strcspn(text, ",");
        json_array_append_new(out, json_stringn(text, n));
    }
    return out;
}

/* A value in the JSON type that the schema wants; when it is none, the text itself, so that the check names
 * it. */
static json_t *typed(const json_t *param, const char *text)
{
    const char *type = gd_json_text(param, "type", "string");
    int64_t n;

    if (!strcmp(type, "integer") && gd_parse_i64(text, &n))
        return json_integer((json_int_t)n);
    if (!strcmp(type, "boolean") && (!strcmp(text, "true") || !strcmp(text, "yes")))
        return json_true();
    if (!strcmp(type, "boolean") && (!strcmp(text, "false") || !strcmp(text, "no")))
        return json_false();
    if (!strcmp(type, "strings"))
        return texts(text);
    return json_string(text);
}

/* "name=text,name=text" as one object; given again, it adds. */
static int set_object(struct ctl *c, const char *name, const char *flag, const char *text, struct gd_err *err)
{
    GD_AUTO_JSON v = pairs(text, flag, err);
    json_t *before = json_object_get(c->params, name);

    if (!v)
        return -1;
    if (before)
        json_object_update(before, v);
    else
        json_object_set(c->params, name, v);
    return 0;
}

/* The parameter that --flag stands for; ret_form: 0 plain, 1 one of a list, 2 whole JSON, 3 --no-flag. */
static const json_t *find_flag(const struct gd_schema *m, const char *flag, const char **ret_name,
                               int *ret_form)
{
    const char *name;
    json_t *param;
    char buf[64], text[80];

    json_object_foreach((json_t *)(uintptr_t)m->params, name, param)
    {
        bool list = !strcmp(gd_json_text(param, "type", ""), "list");

        *ret_name = name;
        (void)flag_name(name, buf);
        *ret_form = list ? 2 : 0;
        if (!strcmp(flag, buf) || !strcmp(flag, name))
            return param;
        *ret_form = 1;
        if (list && !strcmp(flag, gd_json_text(param, "flag", "")))
            return param;
        *ret_form = 2;
        (void)snprintf(text, sizeof text, "%s-json", buf);
        if (list && !strcmp(flag, text))
            return param;
        *ret_form = 3;
        (void)snprintf(text, sizeof text, "no-%s", buf);
        if (!strcmp(gd_json_text(param, "type", ""), "boolean") && !strcmp(flag, text))
            return param;
    }
    return NULL;
}

static int flag_unknown(const struct gd_schema *m, const char *flag, struct gd_err *err)
{
    static const char *const own[] = { "socket", "json",    "raw",  "qr",    "no-qr",
                                       "help",   "version", "file", "others" };
    const char *list[64], *name, *near;
    char names[40][64];
    json_t *param;
    size_t n = 0, k = 0;

    for (; n < sizeof own / sizeof *own; n++)
        list[n] = own[n];
    json_object_foreach((json_t *)(uintptr_t)m->params, name, param) if (k < 40 && n < 62) list[n++] =
        flag_name(gd_json_text(param, "flag", name), names[k++]);
    list[n] = NULL;
    near = gd_schema_nearest(flag, list);
    if (near)
        return gd_err_set(err, GD_R_USAGE, "%s has no --%.60s; did you mean --%s?", m->method, flag, near);
    return gd_err_set(err, GD_R_USAGE, "%s has no --%.60s; its usage is shown by --help", m->method, flag);
}

static int set_list(struct ctl *c, const char *name, const char *flag, int form, const char *text,
                    struct gd_err *err)
{
    json_t *v = form == 1 ? pairs(text, flag, err) : whole_json(text, flag, err), *list;

    if (!v)
        return -1;
    if (form != 1) {
        json_object_set_new(c->params, name, v);
        return 0;
    }
    list = json_object_get(c->params, name);
    if (!list) {
        list = json_array();
        json_object_set_new(c->params, name, list);
    }
    json_array_append_new(list, v);
    return 0;
}

/* --flag, with the value that came behind = or as the next word. Returns how many further words were used. */
static int one_flag(struct ctl *c, char *flag, const char *next, struct gd_err *err)
{
    char *eq = strchr(flag, '=');
    const char *name = NULL, *given;
    const json_t *param;
    GD_AUTO_FREE char *value = NULL;
    int form = 0, used = 0;
    bool boolean, secret;

    if (eq)
        *eq = '\0';
    param = find_flag(c->method, flag, &name, &form);
    if (!param)
        return flag_unknown(c->method, flag, err);
    boolean = !strcmp(gd_json_text(param, "type", ""), "boolean");
    secret = gd_json_bool(param, "secret", false);
    if (boolean && !eq) {
        json_object_set_new(c->params, name, json_boolean(form != 3));
        return 0;
    }
    if (boolean && form == 3)
        return gd_err_set(err, GD_R_USAGE, "--%s takes no value", flag);
    given = eq ? eq + 1 : next;
    if (!given)
        return gd_err_set(err, GD_R_USAGE, "--%s wants a value", flag);
    used = !eq;
    if (form == 1 && secret)
        return gd_err_set(err, GD_R_USAGE, "what is handed in is secret: use --%s-json @FILE, or --%s-json -",
                          name, name);
    value = form == 1 ? gd_strdup(given) : value_of(given, secret, flag, err);
    if (!value)
        return -1;
    if (form == 1 || form == 2)
        return set_list(c, name, flag, form, value, err) < 0 ? -1 : used;
    if (!strcmp(gd_json_text(param, "type", ""), "object"))
        return set_object(c, name, flag, value, err) < 0 ? -1 : used;
    json_object_set_new(c->params, name, typed(param, value));
    return used;
}

static int positional(struct ctl *c, unsigned at, const char *text, struct gd_err *err)
{
    const char *name;
    json_t *param;

    json_object_foreach((json_t *)(uintptr_t)c->method->params, name,
                        param) if (gd_json_i64(param, "positional", 0) == at)
    {
        json_object_set_new(c->params, name, typed(param, text));
        return 0;
    }
    return gd_err_set(err, GD_R_USAGE, "%s takes no %s word; name parameters as --name value",
                      c->method->method, at == 1 ? "further" : "second");
}

/* grantctl's own options; 1 when it was one (plus 1 for a value that was used), 0 otherwise. */
static int own_flag(struct ctl *c, const char *flag, const char *next, struct gd_err *err)
{
    static const char *const with_value[] = { "socket", "file", "others" };
    const char **to[] = { &c->socket, &c->file, &c->others };

    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(with_value[i]);

        if (strncmp(flag, with_value[i], n) != 0 || (flag[n] && flag[n] != '='))
            continue;
        if (i > 0 && c->method && strcmp(c->method->method, "audit.verify") != 0)
            continue; /* daemon check --file is a parameter */
        if (!flag[n] && !next)
            return gd_err_set(err, GD_R_USAGE, "--%s wants a path", flag);
        *to[i] = flag[n] ? flag + n + 1 : next;
        return flag[n] ? 1 : 2;
    }
    if (!strcmp(flag, "json"))
        c->json = true;
    else if (!strcmp(flag, "raw"))
        c->raw = true;
    else if (!strcmp(flag, "qr"))
        c->qr = true;
    else if (!strcmp(flag, "no-qr"))
        c->no_qr = true;
    else if (!strcmp(flag, "help"))
        c->help = true;
    else
        return 0;
    return 1;
}

static int find_method(struct ctl *c, struct gd_err *err)
{
    char name[130], near_name[130];
    const char *list[64], *near;
    size_t n = strlen(c->noun), k = 0;

    (void)snprintf(name, sizeof name, "%.60s.%.60s", c->noun, c->verb);
    c->method = gd_schemas_find(c->schemas, name);
    if (c->method)
        return 0;
    for (size_t i = 0; i < gd_schemas_count(c->schemas) && k < 63; i++) {
        const char *m = gd_schemas_at(c->schemas, i)->method;

        if (!strncmp(m, c->noun, n) && m[n] == '.')
            list[k++] = m + n + 1;
    }
    list[k] = NULL;
    if (!k)
        return noun_unknown(c, err);
    near = gd_schema_nearest(c->verb, list);
    if (near) {
        (void)snprintf(near_name, sizeof near_name, "grantctl %.40s %.40s", c->noun, near);
        return gd_err_set(err, GD_R_USAGE, "there is no %.40s %.40s; did you mean `%s`?", c->noun, c->verb,
                          near_name);
    }
    return gd_err_set(err, GD_R_USAGE, "there is no %.40s %.40s; see `grantctl %.40s help`", c->noun, c->verb,
                      c->noun);
}

static int one_word(struct ctl *c, char *word, unsigned *at, struct gd_err *err)
{
    static char daemon_noun[] = "daemon";

    if (!c->noun && !strcmp(word, "doctor")) { /* what is asked most often has a short name */
        c->noun = daemon_noun;
        c->verb = word;
        return find_method(c, err);
    }
    if (!c->noun) {
        c->noun = word;
        return 0;
    }
    if (!strcmp(word, "help") && strcmp(c->noun, "daemon") != 0 && strcmp(c->noun, "help") != 0 &&
        (!c->verb || *at == 0)) {
        c->help = true;
        return 0;
    }
    if (!c->verb) {
        c->verb = word;
        if (!strcmp(c->noun, "help") || !strcmp(c->noun, "completion"))
            return 0;
        return find_method(c, err);
    }
    if (!strcmp(c->noun, "help")) { /* help NOUN VERB */
        c->noun = c->verb;
        c->verb = word;
        c->help = true;
        return find_method(c, err);
    }
    if (!c->method)
        return gd_err_set(err, GD_R_USAGE, "there is a word too much; see `grantctl help`");
    return positional(c, ++*at, word, err);
}

int args_read(struct ctl *c, int argc, char **argv, struct gd_err *err)
{
    static char long_help[] = "--help";
    bool only_words = false;
    unsigned at = 0;

    c->params = json_object();
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        int n;

        if (only_words || word[0] != '-' || !word[1]) {
            if (one_word(c, word, &at, err) < 0)
                return -1;
            continue;
        }
        if (!strcmp(word, "--")) {
            only_words = true;
            continue;
        }
        if (!strcmp(word, "-h"))
            word = long_help;
        if (word[1] != '-')
            return gd_err_set(err, GD_R_USAGE, "options are written --name; there are no short ones but -h");
        n = own_flag(c, word + 2, next, err);
        if (n == 0 && !c->method)
            return gd_err_set(err, GD_R_USAGE,
                              "--%.60s stands before the command; write grantctl NOUN VERB --name value",
                              word + 2);
        if (n == 0) {
            n = one_flag(c, word + 2, next, err);
            if (n >= 0)
                n++;
        }
        if (n < 0)
            return -1;
        i += n - 1;
    }
    return 0;
}
