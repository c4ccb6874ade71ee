/* help.c - usage, help and completion, all from the schemas. */
#include "ctl.h"

#include <string.h>

static size_t noun_len(const struct gd_schema *m)
{
    return strcspn(m->method, ".");
}

static bool is_noun(const struct gd_schema *m, const char *noun)
{
    return strlen(noun) == noun_len(m) && !strncmp(m->method, noun, noun_len(m));
}

static bool new_noun(const struct ctl *c, size_t i)
{
    const struct gd_schema *m = gd_schemas_at(c->schemas, i),
                           *before = i ? gd_schemas_at(c->schemas, i - 1) : NULL;

    return !before || noun_len(before) != noun_len(m) || strncmp(before->method, m->method, noun_len(m)) != 0;
}

int noun_unknown(const struct ctl *c, struct gd_err *err)
{
    char names[64][32];
    const char *list[64], *near;
    size_t n = 0;

    for (size_t i = 0; i < gd_schemas_count(c->schemas) && n < 60; i++) {
        const struct gd_schema *m = gd_schemas_at(c->schemas, i);

        if (!new_noun(c, i))
            continue;
        (void)snprintf(names[n], sizeof names[n], "%.*s", (int)noun_len(m), m->method);
        list[n] = names[n];
        n++;
    }
    list[n++] = "help";
    list[n++] = "completion";
    list[n] = NULL;
    near = gd_schema_nearest(c->noun, list);
    if (near)
        return gd_err_set(err, GD_R_USAGE, "there is no noun %.40s; did you mean %s?", c->noun, near);
    return gd_err_set(err, GD_R_USAGE, "there is no noun %.40s; `grantctl help` lists them", c->noun);
}

static void all_nouns(const struct ctl *c, FILE *out)
{
    (void)fputs("grantctl NOUN VERB [--name value ...]\n\n", out);
    for (size_t i = 0; i < gd_schemas_count(c->schemas); i++) {
        const struct gd_schema *m = gd_schemas_at(c->schemas, i);

        if (new_noun(c, i))
            (void)fprintf(out, "%s  %-10.*s", i ? "\n" : "", (int)noun_len(m), m->method);
        (void)fprintf(out, " %s", m->method + noun_len(m) + 1);
    }
    (void)fputs("\n\n"
                "  grantctl NOUN help, grantctl NOUN VERB --help   what it does and takes\n"
                "  grantctl completion bash|zsh                    for your shell\n\n"
                "  --json        the answer as JSON, for programs\n"
                "  --raw         only the token, or the exported lines\n"
                "  --socket PATH the daemon's socket (else GRANTD_SOCKET, else " SOCKET_PACKAGED ")\n"
                "  --qr, --no-qr the link's QR code (on a terminal it is shown anyway)\n\n"
                "Ends with 0 done, 2 usage, 3 not found, 4 denied, 5 a person must act, 6 try again, 7 "
                "daemon unreachable.\n",
                out);
}

static void one_param(const char *name, const json_t *param, FILE *out)
{
    const char *type = gd_json_text(param, "type", "string"), *flag = gd_json_text(param, "flag", name);
    const json_t *dflt = json_object_get(param, "default");
    char words[200], buf[64];
    bool list = !strcmp(type, "list");
    const char *key;
    json_t *member;

    gd_schema_type_words(param, words, sizeof words);
    (void)fprintf(out, "  --%s%s  %s%s\n      %s", flag_name(list ? flag : name, buf),
                  list ? " name=value,..." : "", words,
                  gd_json_bool(param, "required", false) ? ", must be given" : "",
                  gd_json_text(param, "help", ""));
    if (json_is_string(dflt))
        (void)fprintf(out, " Default: %s.", json_string_value(dflt));
    else if (json_is_integer(dflt))
        (void)fprintf(out, " Default: %lld.", (long long)json_integer_value(dflt));
    else if (json_is_boolean(dflt))
        (void)fprintf(out, " Default: %s; --no-%s turns it off.", json_is_true(dflt) ? "yes" : "no",
                      flag_name(name, buf));
    (void)fputc('\n', out);
    if (!list)
        return;
    json_object_foreach(json_object_get(param, "of"), key, member)(void) fprintf(
        out, "        %-15s %s\n", strcmp(key, "*") ? key : "(any name)", gd_json_text(member, "help", ""));
    (void)fprintf(out, "      --%s-json takes the whole list as JSON: text, @FILE or - for standard input.\n",
                  flag_name(name, buf));
}

static void synopsis(const struct gd_schema *m, FILE *out)
{
    size_t n = noun_len(m);
    const char *name;
    json_t *param;
    char buf[64];

    (void)fprintf(out, "grantctl %.*s %s", (int)n, m->method, m->method + n + 1);
    json_object_foreach((json_t *)(uintptr_t)m->params, name, param)
    {
        bool must = gd_json_bool(param, "required", false);
        const char *flag = gd_json_text(param, "flag", name);

        if (json_object_get(param, "positional"))
            (void)fprintf(out, must ? " <%s>" : " [<%s>]", name);
        else
            (void)fprintf(out, must ? " --%s ..." : " [--%s ...]", flag_name(flag, buf));
    }
    (void)fputc('\n', out);
}

static void one_method(const struct gd_schema *m, FILE *out)
{
    const char *name;
    json_t *param, *one;
    size_t i;

    synopsis(m, out);
    (void)fprintf(out, "\n%s%s\n", m->summary, m->mutates ? " It is on record in the audit log." : "");
    if (json_object_size(m->params))
        (void)fputc('\n', out);
    json_object_foreach((json_t *)(uintptr_t)m->params, name, param) one_param(name, param, out);
    if (!strcmp(m->method, "audit.verify"))
        (void)fputs(
            "\n  --file PATH  a log as a file, without a daemon\n"
            "  --others PATH:PATH  with --file: logs of other nodes, which know what this one signed\n",
            out);
    json_array_foreach((json_t *)(uintptr_t)m->examples, i, one)(void)
        fprintf(out, "%s  %s\n", i ? "" : "\nExamples:\n", json_string_value(one));
}

int help_print(const struct ctl *c, FILE *out)
{
    struct gd_err err;
    bool found = false;

    if (c->method) {
        one_method(c->method, out);
        return 0;
    }
    if (!c->noun || (!strcmp(c->noun, "help") && !c->verb)) {
        all_nouns(c, out);
        return 0;
    }
    for (size_t i = 0; i < gd_schemas_count(c->schemas); i++) {
        const struct gd_schema *m = gd_schemas_at(c->schemas, i);

        if (!is_noun(m, strcmp(c->noun, "help") ? c->noun : c->verb))
            continue;
        if (found)
            (void)fputc('\n', out);
        found = true;
        synopsis(m, out);
        (void)fprintf(out, "    %s\n", m->summary);
    }
    if (found)
        return 0;
    noun_unknown(&(struct ctl){ .schemas = c->schemas, .noun = strcmp(c->noun, "help") ? c->noun : c->verb },
                 &err);
    (void)fprintf(stderr, "grantctl: %s\n", err.text);
    return GD_ACT_USAGE;
}

/* ---- completion -------------------------------------------------------------------------------------------
 */

static void flags_of(const struct gd_schema *m)
{
    const char *name;
    json_t *param;
    char buf[64];

    json_object_foreach((json_t *)(uintptr_t)m->params, name, param)(void)
        printf("--%s ", flag_name(gd_json_text(param, "flag", name), buf));
}

static void verbs_of(const struct ctl *c, size_t i)
{
    const struct gd_schema *first = gd_schemas_at(c->schemas, i);

    (void)printf("    %.*s) verbs=\"", (int)noun_len(first), first->method);
    for (; i < gd_schemas_count(c->schemas); i++) {
        const struct gd_schema *m = gd_schemas_at(c->schemas, i);

        if (noun_len(m) != noun_len(first) || strncmp(m->method, first->method, noun_len(m)) != 0)
            break;
        (void)printf("%s ", m->method + noun_len(m) + 1);
    }
    (void)printf("help\" ;;\n");
}

static void completion_body(const struct ctl *c)
{
    (void)printf("  local nouns=\"");
    for (size_t i = 0; i < gd_schemas_count(c->schemas); i++)
        if (new_noun(c, i))
            (void)printf("%.*s ", (int)noun_len(gd_schemas_at(c->schemas, i)),
                         gd_schemas_at(c->schemas, i)->method);
    (void)printf("help completion\" verbs= flags=\n  case $noun in\n");
    for (size_t i = 0; i < gd_schemas_count(c->schemas); i++)
        if (new_noun(c, i))
            verbs_of(c, i);
    (void)printf("    completion) verbs=\"bash zsh\" ;;\n  esac\n  case $noun.$verb in\n");
    for (size_t i = 0; i < gd_schemas_count(c->schemas); i++) {
        (void)printf("    %s) flags=\"", gd_schemas_at(c->schemas, i)->method);
        flags_of(gd_schemas_at(c->schemas, i));
        (void)printf("\" ;;\n");
    }
    (void)printf("  esac\n  flags=\"$flags --json --socket --help\"\n");
}

int completion_print(const struct ctl *c, const char *shell)
{
    if (shell && !strcmp(shell, "bash")) {
        (void)printf(
            "# grantctl completion bash > /etc/bash_completion.d/grantctl\n_grantctl() {\n"
            "  local noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]} cur=${COMP_WORDS[COMP_CWORD]} words\n");
        completion_body(c);
        (void)printf(
            "  case $COMP_CWORD in 1) words=$nouns ;; 2) words=$verbs ;; *) words=$flags ;; esac\n"
            "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _grantctl grantctl\n");
        return 0;
    }
    if (shell && !strcmp(shell, "zsh")) {
        (void)printf("#compdef grantctl\n# grantctl completion zsh > ~/.zfunc/_grantctl\n_grantctl() {\n"
                     "  local noun=${words[2]} verb=${words[3]} list\n");
        completion_body(c);
        (void)printf("  case $CURRENT in 2) list=$nouns ;; 3) list=$verbs ;; *) list=$flags ;; esac\n"
                     "  compadd -- ${=list}\n}\n_grantctl \"$@\"\n");
        return 0;
    }
    (void)fputs("grantctl: write grantctl completion bash, or grantctl completion zsh\n", stderr);
    return GD_ACT_USAGE;
}
