/* main.c - grantctl NOUN VERB: one call to the daemon, and its answer for a person or for a program. */
#include "ctl.h"
#include "base/mem.h"
#include "base/std.h"
#include "base/text.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *word;
    enum gd_act act;
} acts[] = { { "usage", GD_ACT_USAGE },   { "notfound", GD_ACT_NOTFOUND }, { "denied", GD_ACT_DENIED },
             { "person", GD_ACT_PERSON }, { "later", GD_ACT_LATER },       { "daemon", GD_ACT_DAEMON } };

/* The daemon may be newer than this program: it says itself who must act. */
static int act_code(const json_t *error)
{
    const char *word = gd_json_text(json_object_get(error, "data"), "act", "daemon");

    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (!strcmp(acts[i].word, word))
            return (int)acts[i].act;
    return GD_ACT_DAEMON;
}

static const char *act_word(enum gd_act act)
{
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (acts[i].act == act)
            return acts[i].word;
    return "daemon";
}

static void print_json(const json_t *j)
{
    (void)json_dumpf(j, stdout, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

int ctl_fail(const struct ctl *c, const struct gd_err *err)
{
    const struct gd_reason_info *info = gd_reason_info(err->reason);

    if (c->json) {
        GD_AUTO_JSON out = json_pack("{s:{s:{s:s,s:s,s:s},s:s}}", "error", "data", "act", act_word(info->act),
                                     "reason", info->word, "remedy", info->remedy, "message", err->text);

        print_json(out);
    }
    (void)fputs("grantctl: ", stderr);
    text_print(stderr, err->text);
    (void)fprintf(stderr, " (%s)\n", info->word);
    return (int)info->act;
}

static int refused(const struct ctl *c, json_t *error)
{
    const json_t *data = json_object_get(error, "data");
    const char *remedy = gd_json_text(data, "remedy", NULL), *retry = gd_json_text(data, "retry_at", NULL);
    char when[64];

    if (c->json) {
        GD_AUTO_JSON out = json_pack("{s:O}", "error", error);

        print_json(out);
    }
    (void)fputs("grantctl: ", stderr);
    text_print(stderr, gd_json_text(error, "message", "no words"));
    (void)fprintf(stderr, " (%.60s)\n", gd_json_text(data, "reason", "?"));
    if (remedy) {
        (void)fputs("  ", stderr);
        text_print(stderr, remedy);
        (void)fputc('\n', stderr);
    }
    if (retry) {
        time_words(when, gd_time_parse(retry), now_ms());
        (void)fprintf(stderr, "  It is tried again %s.\n", when);
    }
    return act_code(error);
}

/* One answer; 0 with *ret, or an exit code. */
static int call(const struct ctl *c, struct link *l, json_t **ret)
{
    struct gd_err err;
    GD_AUTO_JSON msg = NULL;
    json_t *error, *result;

    if (link_call(l, c->method->method, c->params, &err) < 0)
        return ctl_fail(c, &err);
    do {
        json_decref(msg);
        msg = link_next(l, &err);
    } while (msg && json_object_get(msg, "method")); /* a notification */
    if (!msg)
        return ctl_fail(c, &err);
    error = json_object_get(msg, "error");
    if (error)
        return refused(c, error);
    result = json_object_get(msg, "result");
    if (!json_is_object(result)) {
        gd_err_set(&err, GD_R_DAEMON_UNREACHABLE, "the answer holds neither a result nor an error");
        return ctl_fail(c, &err);
    }
    *ret = json_incref(result);
    return 0;
}

static int follow(const struct ctl *c, struct link *l)
{
    struct gd_err err;
    json_t *msg;

    while (!ferror(stdout) && (msg = link_next(l, &err))) {
        json_t *event = json_object_get(msg, "params");

        if (event && c->json)
            print_json(event);
        else if (event)
            show_event(c, event);
        json_decref(msg);
    }
    return ferror(stdout) ? 0 : ctl_fail(c, &err); /* written says what it is */
}

/* Nobody may take half an answer for a whole one: a full disk, a reader that went away. */
static int written(int rc)
{
    static const struct ctl words_only;
    struct gd_err err;

    if ((!fflush(stdout) && !ferror(stdout)) || rc)
        return rc;
    gd_err_set(&err, GD_R_OUTPUT_FAILED, "what was asked for was done, but the answer could not be written");
    return ctl_fail(&words_only, &err);
}

/* Page after page, raw. */
static int all_pages(struct ctl *c, struct link *l, json_t *result)
{
    const char *raw = gd_json_text(c->method->doc, "raw", "");
    json_t *next;
    int rc = 0;

    for (;;) {
        (void)fputs(gd_json_text(result, raw, ""), stdout);
        next = json_object_get(result, gd_json_text(c->method->doc, "pages", "next"));
        if (!next || json_is_null(next) || ferror(stdout))
            break;
        json_object_set(c->params, "after", next);
        json_decref(result);
        result = NULL;
        rc = call(c, l, &result);
        if (rc)
            break;
    }
    json_decref(result);
    return rc;
}

/* daemon help without a daemon: what is embedded says the same. */
static int help_alone(const struct ctl *c)
{
    const char *asked = gd_json_text(c->params, "method", "daemon");
    GD_AUTO_FREE char *noun = gd_strdup(asked);
    struct ctl other = { .schemas = c->schemas, .noun = noun, .method = gd_schemas_find(c->schemas, asked) };

    return help_print(&other, stdout);
}

/* A script that goes on after a check must not go on after one that failed. */
static int judged(const struct ctl *c, const json_t *result)
{
    return !strcmp(c->verb, "check") && !gd_json_bool(result, "ok", true) ? GD_ACT_PERSON : 0;
}

static int run(struct ctl *c)
{
    GD_AUTO_JSON trial = json_deep_copy(c->params);
    json_t *result = NULL;
    struct gd_err err;
    struct link *l;
    int rc;

    if (gd_schema_check_params(c->method, trial, &err) < 0) {
        rc = ctl_fail(c, &err);
        (void)fprintf(stderr, "  Usage: grantctl %s %s --help\n", c->noun, c->verb);
        return rc;
    }
    l = link_open(c->socket, &err);
    if (!l)
        return !strcmp(c->method->method, "daemon.help") ? help_alone(c) : ctl_fail(c, &err);
    rc = call(c, l, &result);
    if (!rc && json_object_get(c->method->doc, "pages") && !c->json) {
        rc = all_pages(c, l, result);
        result = NULL;
    } else if (!rc && c->json) {
        print_json(result);
    } else if (!rc && strcmp(c->method->method, "audit.verify") != 0 && !c->method->follow) {
        show_result(c, result);
    }
    if (!rc && !strcmp(c->method->method, "audit.verify"))
        rc = verdict_show(c, result);
    if (!rc && c->method->follow)
        rc = follow(c, l);
    if (!rc)
        rc = judged(c, result);
    json_decref(result);
    link_close(l);
    return rc;
}

static const char *default_socket(void)
{
    const char *s = secure_getenv("GRANTD_SOCKET");

    if (s && *s)
        return s;
    return access(SOCKET_PACKAGED, F_OK) && !access(SOCKET_BY_HAND, F_OK) ? SOCKET_BY_HAND : SOCKET_PACKAGED;
}

static int choose(struct ctl *c)
{
    struct gd_err err;

    if (c->help || !c->noun || !strcmp(c->noun, "help"))
        return help_print(c, c->noun || c->help ? stdout : stderr);
    if (!strcmp(c->noun, "completion"))
        return completion_print(c, c->verb);
    if (!c->verb) {
        int rc = help_print(c, stderr);

        return rc ? rc : GD_ACT_USAGE;
    }
    if (c->file && !strcmp(c->method->method, "audit.verify"))
        return audit_verify_file(c);
    if (c->file || c->others) {
        gd_err_set(&err, GD_R_USAGE,
                   c->file ? "--file stands before the command; write it behind"
                           : "--others goes with --file: the daemon verifies its own log only");
        return ctl_fail(c, &err);
    }
    return run(c);
}

int main(int argc, char **argv)
{
    const char *term = secure_getenv("TERM"), *no_colour = secure_getenv("NO_COLOR");
    struct ctl c = { 0 };
    struct gd_err err;
    int rc;

    gd_std_open();
    (void)setlocale(LC_CTYPE, "");
    gd_json_setup();
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        (void)puts("grantctl " GRANTD_VERSION);
        return 0;
    }
    c.schemas = gd_schemas_new();
    c.socket = default_socket();
    c.colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && !(term && !strcmp(term, "dumb"));
    if (args_read(&c, argc, argv, &err) < 0) {
        for (int i = 1; i < argc; i++) /* it may stand behind the mistake */
            c.json = c.json || !strcmp(argv[i], "--json");
        rc = ctl_fail(&c, &err);
    } else {
        rc = choose(&c);
    }
    if (!c.noun && !c.help && rc == 0)
        rc = GD_ACT_USAGE;
    rc = written(rc);
    json_decref(c.params);
    gd_schemas_free(c.schemas);
    return rc;
}
