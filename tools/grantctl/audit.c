/* audit.c - the audit log's verdict in words; and the check of a file without a daemon. */
#include "ctl.h"
#include "audit/audit.h" /* check:allow verify --file works without a daemon */

#include "base/mem.h"

#include <string.h>

int verdict_show(const struct ctl *c, const json_t *result)
{
    bool ok = gd_json_bool(result, "ok", false);

    if (c->json)
        return ok ? 0 : GD_ACT_PERSON;
    if (ok)
        (void)printf("whole: %lld records, %lld checkpoints", (long long)gd_json_i64(result, "records", 0),
                     (long long)gd_json_i64(result, "checkpoints", 0));
    else
        (void)printf("BROKEN: the first bad record is on line %lld",
                     (long long)gd_json_i64(result, "bad_line", 0));
    if (!ok) {
        (void)fputs(gd_json_text(result, "file", NULL) ? " of the closed file " : "", stdout);
        text_print(stdout, gd_json_text(result, "file", ""));
        (void)fputs(" (", stdout);
        text_print(stdout, gd_json_text(result, "why", "unknown"));
        (void)printf("); %lld records before it are whole", (long long)gd_json_i64(result, "records", 0));
    }
    (void)fputs("\n", stdout);
    if (ok && gd_json_text(result, "head", NULL))
        (void)printf("head %s\n", gd_json_text(result, "head", ""));
    return ok ? 0 : GD_ACT_PERSON;
}

#define OTHERS_MAX 64

/* The logs of other nodes, which know what this one signed. */
static int verify(const struct ctl *c, struct gd_audit_verdict *v, struct gd_err *err)
{
    GD_AUTO_FREE char *copy = gd_strdup(c->others ? c->others : "");
    const char *paths[OTHERS_MAX];
    char *save = NULL;
    size_t n = 0;

    for (char *p = strtok_r(copy, ":", &save); p; p = strtok_r(NULL, ":", &save)) { /* check:allow */
        if (n == OTHERS_MAX)
            return gd_err_set(err, GD_R_USAGE, "--others takes at most %d paths", OTHERS_MAX);
        paths[n++] = p;
    }
    return gd_audit_verify_among(c->file, NULL, paths, n, v, err);
}

int audit_verify_file(const struct ctl *c)
{
    struct gd_audit_verdict v = { 0 };
    struct gd_err err = { 0 };
    GD_AUTO_JSON out = NULL;

    if (verify(c, &v, &err) < 0)
        return ctl_fail(c, &err);
    out = json_pack("{s:b,s:I,s:I,s:s}", "ok", v.bad_line == 0, "records", (json_int_t)v.records,
                    "checkpoints", (json_int_t)v.checkpoints, "head", v.head);
    if (v.bad_line) {
        json_object_set_new(out, "bad_line", json_integer((json_int_t)v.bad_line));
        json_object_set_new(out, "why", json_string(v.why));
        if (*v.file)
            json_object_set_new(out, "file", json_string(v.file));
    }
    if (c->json) {
        (void)json_dumpf(out, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        (void)fputc('\n', stdout);
    }
    return verdict_show(c, out);
}
