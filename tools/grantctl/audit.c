/* audit.c - the audit log's verdict in words; and the check of a file without a daemon. */
#include "ctl.h"
#include "audit/audit.h" /* check:allow verify --file works without a daemon */

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
        text_print(gd_json_text(result, "file", ""));
        (void)fputs(" (", stdout);
        text_print(gd_json_text(result, "why", "unknown"));
        (void)printf("); %lld records before it are whole", (long long)gd_json_i64(result, "records", 0));
    }
    (void)fputs("\n", stdout);
    if (ok && gd_json_text(result, "head", NULL))
        (void)printf("head %s\n", gd_json_text(result, "head", ""));
    return ok ? 0 : GD_ACT_PERSON;
}

int audit_verify_file(const struct ctl *c)
{
    struct gd_audit_verdict v = { 0 };
    struct gd_err err = { 0 };
    GD_AUTO_JSON out = NULL;

    if (gd_audit_verify(c->file, NULL, &v, &err) < 0) {
        (void)fprintf(stderr, "grantctl: %s (%s)\n", err.text, gd_reason_word(err.reason));
        return (int)gd_reason_info(err.reason)->act;
    }
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
