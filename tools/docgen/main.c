/* main.c - writes the manual from what the program itself checks with: grantctl(1) from the schemas,
 * grantd-reasons(7) from the table of reason words. docgen DIR. Plain mdoc(7), so nothing is needed to build
 * it. */
#include "base/err.h"
#include "base/json.h"
#include "base/reason.h"
#include "rpc/schema.h" /* check:allow the schemas are what the manual is made of */

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Text of a line: a leading dot or quote is no request, a backslash is itself, a hyphen is a hyphen. */
static void text(FILE *f, const char *s)
{
    if (*s == '.' || *s == '\'')
        (void)fputs("\\&", f);
    for (; *s; s++) {
        if (*s == '\\')
            (void)fputs("\\e", f);
        else if (*s == '-')
            (void)fputs("\\-", f);
        else
            (void)fputc(*s, f);
    }
}

/* An argument of a macro: blanks and quotes inside do not end it. */
static void quoted(FILE *f, const char *s)
{
    (void)fputc('"', f);
    for (; *s; s++) {
        if (*s == '"')
            (void)fputs("\\(dq", f);
        else if (*s == '\\')
            (void)fputs("\\e", f);
        else if (*s == '-')
            (void)fputs("\\-", f);
        else
            (void)fputc(*s, f);
    }
    (void)fputc('"', f);
}

static void line(FILE *f, const char *s)
{
    text(f, s);
    (void)fputc('\n', f);
}

static void head(FILE *f, const char *name, const char *section, const char *what)
{
    (void)fprintf(
        f,
        ".\\\" Made by docgen; change the schemas or the table instead.\n.Dd November 22, 2026\n.Dt %s "
        "%s\n.Os grantd\n"
        ".Sh NAME\n.Nm %s\n.Nd %s\n",
        name, section, name, what);
}

static const char *with_dashes(const char *name, char out[64])
{
    size_t i;

    for (i = 0; name[i] && i < 63; i++)
        out[i] = name[i] == '_' ? '-' : name[i];
    out[i] = '\0';
    return out;
}

/* ---- grantctl(1) ------------------------------------------------------------------------------------------
 */

static void parameter(FILE *f, const char *name, const json_t *param)
{
    const json_t *dflt = json_object_get(param, "default");
    const char *key;
    char words[200], flag[64];
    json_t *member;

    gd_schema_type_words(param, words, sizeof words);
    (void)with_dashes(gd_json_text(param, "flag", name), flag);
    (void)fputs(".It Fl Fl ", f);
    text(f, flag);
    (void)fprintf(f, " Ar %s\n", name);
    line(f, gd_json_text(param, "help", ""));
    (void)fputs("It is ", f);
    text(f, words);
    (void)fputs(gd_json_bool(param, "required", false) ? "; it must be given.\n" : ".\n", f);
    if (json_is_string(dflt))
        (void)fprintf(f, "Default: %s.\n", json_string_value(dflt));
    else if (json_is_integer(dflt))
        (void)fprintf(f, "Default: %lld.\n", (long long)json_integer_value(dflt));
    else if (json_is_boolean(dflt))
        (void)fprintf(f, "Default: %s.\n", json_is_true(dflt) ? "true" : "false");
    if (!json_object_get(param, "of"))
        return;
    (void)fputs("Members of one entry:\n.Bl -tag -width expect_account -compact\n", f);
    json_object_foreach(json_object_get(param, "of"), key, member)
    {
        (void)fputs(".It Cm ", f);
        quoted(f, key);
        (void)fputc('\n', f);
        line(f, gd_json_text(member, "help", ""));
    }
    (void)fputs(".El\n", f);
}

static void method(FILE *f, const struct gd_schema *m)
{
    size_t noun = strcspn(m->method, ".");
    const char *name;
    json_t *param, *one;
    size_t i;

    (void)fprintf(f, ".Ss %.*s %s\n", (int)noun, m->method, m->method + noun + 1);
    line(f, m->summary);
    if (m->mutates)
        (void)fputs("It is on record in the audit log.\n", f);
    (void)fprintf(f, "(Method\n.Li %s ,\nsince %s.)\n", m->method, m->since);
    if (json_object_size(m->params)) {
        (void)fputs(".Bl -tag -width Ds\n", f);
        json_object_foreach((json_t *)(uintptr_t)m->params, name, param) parameter(f, name, param);
        (void)fputs(".El\n", f);
    }
    (void)fputs(".Bd -literal -offset indent\n", f);
    json_array_foreach((json_t *)(uintptr_t)m->examples, i, one) line(f, json_string_value(one));
    (void)fputs(".Ed\n", f);
}

static void write_grantctl(FILE *f, const struct gd_schemas *s)
{
    head(f, "grantctl", "1", "ask the access broker");
    (void)fputs(
        ".Sh SYNOPSIS\n.Nm\n.Ar noun verb\n.Op Fl Fl name Ar value ...\n.Op Fl Fl json\n.Op Fl Fl socket Ar "
        "path\n"
        ".Sh DESCRIPTION\n.Nm\ncalls one method of the daemon on its Unix socket and prints the answer: a "
        "table for "
        "people, or JSON for programs.\n.Nm\n.Ar noun verb\nis the method\n.Ar noun.verb .\n"
        "Times are RFC 3339 in UTC; on a terminal they are said in words.\n"
        "Secrets are read from @FILE or standard input (\\-), never from the command line.\n"
        ".Bl -tag -width Ds\n.It Fl Fl json\nThe answer as one line of JSON.\n.It Fl Fl raw\nOnly the token, "
        "or only "
        "the exported lines.\n.It Fl Fl qr , Fl Fl no\\-qr\nShow or leave out the QR code of a link.\n"
        ".It Fl Fl socket Ar path\nThe daemon's socket.\n.It Fl Fl file Ar path\nWith audit verify: check "
        "this file, "
        "without a daemon.\n.El\n.Sh METHODS\n",
        f);
    for (size_t i = 0; i < gd_schemas_count(s); i++)
        method(f, gd_schemas_at(s, i));
    (void)fputs(".Sh ENVIRONMENT\n.Bl -tag -width GRANTD_SOCKET\n.It Ev GRANTD_SOCKET\nThe socket when\n.Fl "
                "Fl socket\nis not "
                "given.\n.It Ev NO_COLOR\nNo colours, on a terminal neither.\n.El\n"
                ".Sh EXIT STATUS\nIt says who must act: 0 done, 2 the call is wrong, 3 not found, 4 denied, "
                "5 a person must "
                "act, 6 try again later, 7 the daemon cannot be reached or is ill.\n"
                ".Sh SEE ALSO\n.Xr grantd\\-reasons 7\n",
                f);
}

/* ---- grantd-reasons(7) ------------------------------------------------------------------------------------
 */

static const char *who(enum gd_act a)
{
    switch (a) {
    case GD_ACT_OK:
        return "Nobody has to act.";
    case GD_ACT_USAGE:
        return "Who made the call or wrote the file has to act (exit status 2).";
    case GD_ACT_NOTFOUND:
        return "It is not there (exit status 3).";
    case GD_ACT_DENIED:
        return "The operator has to allow it (exit status 4).";
    case GD_ACT_PERSON:
        return "A person has to act (exit status 5).";
    case GD_ACT_LATER:
        return "Try again later (exit status 6).";
    case GD_ACT_DAEMON:
        return "The daemon or its machine has to be looked after (exit status 7).";
    }
    return "";
}

static void write_reasons(FILE *f, const struct gd_schemas *s)
{
    (void)s;
    head(f, "grantd\\-reasons", "7", "every reason word of grantd, what it means and what to do");
    (void)fputs(
        ".Sh DESCRIPTION\nEvery refusal of grantd has one of these words, the same in answers on the socket\n"
        "(error.data.reason), on pages, in logs and in the audit log.\nThe words are stable.\n"
        ".Bl -tag -width Ds\n",
        f);
    for (int i = 0; i < GD_R__COUNT; i++) {
        const struct gd_reason_info *info = gd_reason_info((enum gd_reason)i);

        (void)fprintf(f, ".It Sy %s\n", info->word);
        line(f, info->meaning);
        line(f, info->remedy);
        line(f, who(info->act));
    }
    (void)fputs(".El\n.Sh SEE ALSO\n.Xr grantctl 1\n", f);
}

static int write_page(const char *dir, const char *name, const struct gd_schemas *s,
                      void (*write)(FILE *, const struct gd_schemas *))
{
    char path[4096];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "we");
    if (!f) {
        (void)fprintf(stderr, "docgen: %s: %s\n", path, strerror(errno));
        return 1;
    }
    write(f, s);
    return fclose(f) ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct gd_schemas *s;
    int rc;

    if (argc != 2) {
        (void)fputs("docgen DIR\n", stderr);
        return 2;
    }
    gd_json_setup();
    s = gd_schemas_new();
    rc = write_page(argv[1], "grantctl.1", s, write_grantctl) |
         write_page(argv[1], "grantd-reasons.7", s, write_reasons);
    gd_schemas_free(s);
    return rc;
}
