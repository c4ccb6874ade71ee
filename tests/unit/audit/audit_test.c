/* The log as the daemon uses it: records, checkpoints, what comes back, opening again. */
#include "kit.h"

#include "base/text.h"
#include "crypto/crypto.h"

#include <sys/stat.h>
#include <unistd.h>

static json_t *list(const struct kit *k, int64_t after, size_t max, const char *subject)
{
    struct gd_err err = { 0 };
    json_t *l = gd_audit_list(k->path, after, max, subject, &err);

    if (!l)
        fail_msg("%s", err.text);
    return l;
}

static void a_record_says_who_did_what(void **state)
{
    struct kit *k = *state;
    GD_AUTO_JSON data = json_pack("{s:i,s:s}", "gen", 7, "note", "a\"b\n");
    GD_AUTO_JSON l = NULL;
    const json_t *r;
    int64_t at;

    kit_send(k, "grant.token", "gr01", data);
    kit_wait(k, 1);
    assert_int_equal(k->refused, 0);
    l = list(k, -1, 1, NULL);
    r = json_array_get(l, 0);
    assert_string_equal(gd_json_text(r, "act", ""), "grant.token");
    assert_string_equal(gd_json_text(r, "phase", ""), "request");
    assert_string_equal(gd_json_text(r, "outcome", ""), "ok");
    assert_string_equal(gd_json_text(r, "workspace", ""), "main");
    assert_string_equal(gd_json_text(r, "client", ""), "cl01");
    assert_string_equal(gd_json_text(r, "subject", ""), "gr01");
    assert_int_equal(gd_json_i64(r, "uid", 0), 1000);
    assert_int_equal(gd_json_i64(r, "gid", 0), 1000);
    assert_int_equal(gd_json_i64(r, "pid", 0), 42);
    assert_true(json_equal(json_object_get(r, "data"), data));
    assert_int_equal(strlen(gd_json_text(r, "boot", "")), 36);
    at = gd_time_parse(gd_json_text(r, "time", ""));
    assert_true(at > 0 && llabs(at - gd_now(gd_clock_system())) < 60000);
    kit_expect_whole(k);
}

static void what_is_not_there_is_null(void **state)
{
    struct kit *k = *state;
    struct gd_audit_entry e = {
        .act = "portal.approve", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };
    GD_AUTO_JSON l = NULL;

    gd_audit_write(k->a, &e, NULL, NULL); /* nobody waits */
    kit_write(k, 1);
    l = list(k, -1, 2, NULL);
    assert_true(json_is_null(gd_json_at(l, "0.uid")));
    assert_true(json_is_null(gd_json_at(l, "0.client")));
    assert_null(gd_json_at(l, "0.data"));
}

static void long_members_are_cut_and_big_data_is_left_out(void **state)
{
    struct kit *k = *state;
    char *big = gd_new(20001);
    struct gd_audit_verdict v;
    GD_AUTO_JSON data = NULL;
    GD_AUTO_JSON l = NULL;
    size_t n;

    memset(big, '\n', 20000); /* grows sixfold when escaped */
    data = json_pack("{s:s}", "x", big);
    kit_send(k, big, big, data);
    kit_wait(k, 1);
    l = list(k, -1, 1, NULL);
    assert_true(gd_json_i64(gd_json_at(l, "0.data"), "left_out_bytes", 0) > 20000);
    assert_int_equal(strlen(json_string_value(gd_json_at(l, "0.act"))), 64);
    assert_int_equal(kit_verify(k, &v), 0);
    gd_free(kit_read(k->path, &n));
    assert_true(n < 4 * GD_AUDIT_RECORD_MAX);
    gd_free(big);
}

static void checkpoints_come_by_number(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;
    GD_AUTO_JSON st = NULL;

    kit_write(k, 35); /* begin, open, checkpoint, then 3 * (10 + checkpoint), 5 more */
    assert_int_equal(kit_verify(k, &v), 0);
    assert_int_equal(v.checkpoints, 4);
    assert_int_equal(v.records, 3 + 35 + 3);
    st = gd_audit_status(k->a);
    assert_int_equal(gd_json_i64(st, "records", 0), 41);
    assert_int_equal(gd_json_i64(st, "checkpoint", 0), 35);
    assert_string_equal(gd_json_text(st, "head", ""), v.head);
    assert_true(gd_json_bool(st, "usable", false));
    kit_close(k); /* the last one */
    assert_int_equal(kit_verify(k, &v), 0);
    assert_int_equal(v.checkpoints, 5);
    assert_int_equal(v.records, 42);
}

static void on_other(uv_timer_t *t)
{
    (void)t;
}

static void checkpoints_come_by_time(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v = { 0 };
    uv_timer_t other; /* the daemon's loop never runs dry */

    uv_timer_init(&k->loop, &other);
    uv_timer_start(&other, on_other, 1, 1);
    kit_close_running(k);
    k->o.checkpoint_ms = 20;
    assert_int_equal(kit_open(k, NULL), 0);
    kit_write(k, 1);
    assert_int_equal(kit_verify(k, &v), 0);
    for (int64_t before = v.checkpoints, i = 0; v.checkpoints == before && i < 500; i++) {
        usleep(10000);
        uv_run(&k->loop, UV_RUN_NOWAIT);
        assert_int_equal(kit_verify(k, &v), 0);
    }
    assert_int_equal(v.checkpoints, 3); /* begin, open above, and this one; none without anything new */
    for (int i = 0; i < 10; i++) {
        usleep(10000);
        uv_run(&k->loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(kit_verify(k, &v), 0);
    assert_int_equal(v.checkpoints, 3);
    uv_close((uv_handle_t *)&other, NULL);
    uv_run(&k->loop, UV_RUN_NOWAIT);
}

static void counts_ride_on_the_next_checkpoint(void **state)
{
    struct kit *k = *state;
    GD_AUTO_JSON counts = json_pack("{s:{s:i}}", "vends", "cr01", 12);
    GD_AUTO_JSON l = NULL;

    gd_audit_set_counts(k->a, counts);
    kit_write(k, 20);
    kit_close(k);
    l = list(k, 0, 100, NULL);
    assert_int_equal(json_array_size(l), 3 + 20 + 2);
    assert_string_equal(json_string_value(gd_json_at(l, "13.act")), "audit.checkpoint");
    assert_true(json_equal(gd_json_at(l, "13.data.counts"), counts));
    assert_null(gd_json_at(l, "24.data.counts")); /* once */
    assert_int_equal(kit_open(k, NULL), 0);
    gd_audit_set_counts(k->a, counts);
    kit_close(k); /* counts alone are worth a checkpoint */
    json_decref(l);
    l = list(k, -1, 1, NULL);
    assert_int_equal(json_integer_value(gd_json_at(l, "0.data.counts.vends.cr01")), 12);
    kit_expect_whole(k);
}

static void opening_again_goes_on_with_the_chain(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;
    GD_AUTO_JSON l = NULL;

    for (int i = 0; i < 5; i++) {
        kit_write(k, i * 4);
        kit_close(k);
        assert_int_equal(kit_open(k, NULL), 0);
    }
    assert_int_equal(kit_verify(k, &v), 0);
    l = list(k, 0, 1000, NULL);
    assert_int_equal(json_array_size(l), v.records);
    for (size_t i = 0; i < json_array_size(l); i++)
        assert_int_equal(gd_json_i64(json_array_get(l, i), "seq", 0), i + 1);
}

static void a_second_daemon_is_kept_out(void **state)
{
    struct kit *k = *state;
    struct gd_audit *mine = k->a;
    struct gd_err err = { 0 };

    k->a = NULL;
    assert_int_equal(kit_open(k, &err), -1);
    assert_int_equal(err.reason, GD_R_AUDIT_LOCKED);
    assert_null(k->a);
    k->a = mine;
    kit_write(k, 1);
    kit_expect_whole(k);
}

/* T45: the sink cannot be turned into a way to write other files. */
static void odd_files_are_refused(void **state)
{
    struct kit *k = *state;
    struct gd_err err = { 0 };
    GD_AUTO_FREE char *other = gd_strf("%s/other", k->dir);

    kit_close(k);
    assert_int_equal(rename(k->path, other), 0);
    assert_int_equal(symlink(other, k->path), 0);
    assert_int_equal(kit_open(k, &err), -1);
    assert_int_equal(err.reason, GD_R_AUDIT_UNREADABLE);
    unlink(k->path);
    assert_int_equal(link(other, k->path), 0);
    assert_int_equal(kit_open(k, &err), -1);
    assert_int_equal(err.reason, GD_R_AUDIT_UNREADABLE);
    unlink(other);
    assert_int_equal(chmod(k->path, 0620), 0);
    assert_int_equal(kit_open(k, &err), -1);
    assert_int_equal(err.reason, GD_R_AUDIT_UNREADABLE);
    assert_int_equal(chmod(k->path, 0640), 0);
    assert_int_equal(kit_open(k, &err), 0);
    kit_close(k);
    assert_int_equal(rename(k->path, other), 0);
    assert_int_equal(mkfifo(k->path, 0600), 0); /* nobody reads it: must not wait */
    assert_int_equal(kit_open(k, &err), -1);
    assert_int_equal(err.reason, GD_R_AUDIT_UNREADABLE);
    unlink(k->path);
    assert_int_equal(rename(other, k->path), 0);
}

static void a_new_log_is_private(void **state)
{
    struct kit *k = *state;
    struct stat st;

    assert_int_equal(stat(k->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(k->head, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- hashes of sensitive values
 * ----------------------------------------------------------------------------------- */

static void the_same_value_has_the_same_hash_between_checkpoints(void **state)
{
    struct kit *k = *state;
    char a[17], b[17], c[17];

    gd_audit_hash(k->a, "secret", 6, a);
    gd_audit_hash(k->a, "secret", 6, b);
    gd_audit_hash(k->a, "secres", 6, c);
    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
    assert_int_equal(strspn(a, "0123456789abcdef"), 16);
    kit_write(k, 5);
    gd_audit_hash(k->a, "secret", 6, b);
    assert_string_equal(a, b);
    kit_write(k, 5); /* the checkpoint */
    gd_audit_hash(k->a, "secret", 6, b);
    assert_string_not_equal(a, b);
}

/* As the header says: from the log's key and the root that audit.open names. */
static void who_has_the_key_finds_a_hash_again(void **state)
{
    struct kit *k = *state;
    unsigned char root[32], key[32], next[32], mac[32];
    char have[17], want[17];
    GD_AUTO_JSON l = NULL;
    const char *hex;

    kit_write(k, 25); /* two checkpoints in this run, after those of the start */
    gd_audit_hash(k->a, "value", 5, have);
    l = list(k, 0, 10, NULL);
    hex = json_string_value(gd_json_at(l, "1.data.root"));
    assert_string_equal(json_string_value(gd_json_at(l, "1.act")), "audit.open");
    assert_int_equal(gd_hex_decode(root, 32, hex, 64), 32);
    gd_hkdf(key, 32, "SHA256", k->key, 32, root, 32, "run", 3);
    for (int i = 0; i < 2; i++) {
        gd_hkdf(next, 32, "SHA256", key, 32, NULL, 0, "ratchet", 7);
        memcpy(key, next, 32);
    }
    gd_hmac_sha256(mac, key, 32, "value", 5);
    gd_hex(want, mac, 8);
    assert_string_equal(have, want);
}

/* ---- pages
 * ------------------------------------------------------------------------------------------------------------
 */

static void pages_follow_each_other(void **state)
{
    struct kit *k = *state;
    int64_t after = 0, seen = 0, total;
    GD_AUTO_JSON st = NULL;

    kit_write(k, 1500); /* some hundred KiB: the search has something to halve */
    st = gd_audit_status(k->a);
    total = gd_json_i64(st, "records", 0);
    for (;;) {
        GD_AUTO_JSON l = list(k, after, 97, NULL);

        if (!json_array_size(l))
            break;
        for (size_t i = 0; i < json_array_size(l); i++)
            assert_int_equal(gd_json_i64(json_array_get(l, i), "seq", 0), ++seen);
        after = seen;
    }
    assert_int_equal(seen, total);
    for (int64_t at = 0; at < total; at += 13) {
        GD_AUTO_JSON l = list(k, at, 1, NULL);

        assert_int_equal(gd_json_i64(json_array_get(l, 0), "seq", 0), at + 1);
    }
    {
        GD_AUTO_JSON l = list(k, total, 10, NULL);
        GD_AUTO_JSON far = list(k, INT64_MAX, 10, NULL);

        assert_int_equal(json_array_size(l), 0);
        assert_int_equal(json_array_size(far), 0);
    }
}

static void the_newest_are_found_from_the_end(void **state)
{
    struct kit *k = *state;
    GD_AUTO_JSON st = NULL;
    GD_AUTO_JSON l = NULL;
    GD_AUTO_JSON all = NULL;
    GD_AUTO_JSON none = NULL;
    int64_t total;

    kit_write(k, 1500);
    st = gd_audit_status(k->a);
    total = gd_json_i64(st, "records", 0);
    l = list(k, -1, 7, NULL);
    assert_int_equal(json_array_size(l), 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(gd_json_i64(json_array_get(l, i), "seq", 0), total - 6 + (int64_t)i);
    all = list(k, -1, 100000, NULL);
    assert_int_equal(json_array_size(all), total);
    none = list(k, -1, 0, NULL);
    assert_int_equal(json_array_size(none), 0);
}

static void a_subject_is_found(void **state)
{
    struct kit *k = *state;
    GD_AUTO_JSON first = NULL;
    GD_AUTO_JSON newest = NULL;
    GD_AUTO_JSON none = NULL;

    kit_write(k, 300);
    kit_write(k, 600); /* gr7 again; gr7 is also a part of gr77 */
    first = list(k, 0, 10, "gr7");
    assert_int_equal(json_array_size(first), 2);
    newest = list(k, -1, 1, "gr7");
    assert_int_equal(json_array_size(newest), 1);
    assert_true(json_equal(json_array_get(newest, 0), json_array_get(first, 1)));
    none = list(k, -1, 10, "gr");
    assert_int_equal(json_array_size(none), 0);
}

static void a_log_that_is_not_there_is_an_error(void **state)
{
    struct gd_audit_verdict v = { .records = 77 };
    struct gd_err err = { 0 };

    (void)state;
    assert_null(gd_audit_list("/nonexistent/audit.log", 0, 1, NULL, &err));
    assert_int_equal(err.reason, GD_R_AUDIT_UNREADABLE);
    err.reason = GD_R_OK;
    assert_int_equal(gd_audit_verify("/nonexistent/audit.log", NULL, &v, &err), -1);
    assert_int_equal(err.reason, GD_R_AUDIT_UNREADABLE);
    assert_int_equal(gd_audit_verify("/", NULL, &v, &err), -1);
    assert_int_equal(v.records, 77);
    assert_null(gd_audit_list("/", 0, 1, NULL, &err));
}

/* ---- callbacks
 * ---------------------------------------------------------------------------------------------------------
 */

struct chained {
    struct kit *k;
    int left, ended;
};

static void on_chained(void *arg, const struct gd_err *err)
{
    struct chained *c = arg;
    struct gd_audit_entry e = {
        .act = "again", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };

    assert_null(err);
    c->ended++;
    if (c->left-- > 0)
        gd_audit_write(c->k->a, &e, on_chained, c);
}

static void a_callback_may_write(void **state)
{
    struct kit *k = *state;
    struct chained c = { k, 20, 0 };
    struct gd_audit_entry e = {
        .act = "first", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };

    gd_audit_write(k->a, &e, on_chained, &c);
    assert_int_equal(c.ended, 0);
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0); /* ends by itself when nothing is under way */
    assert_int_equal(c.ended, 21);
    kit_expect_whole(k);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;

    for (int i = 0; i < 500; i++)
        kit_send(k, "late", "x", NULL);
    kit_close(k);
    assert_int_equal(k->ended, 500);
    assert_int_equal(k->refused, 0);
    assert_int_equal(kit_verify(k, &v), 0);
    assert_true(v.records > 503);
}

static void a_record_after_the_close_is_refused(void **state)
{
    struct kit *k = *state;

    gd_audit_close(k->a, NULL, NULL);
    kit_send(k, "late", "x", NULL);
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0);
    k->a = NULL;
    assert_int_equal(k->refused, 1);
    assert_int_equal(k->err.reason, GD_R_AUDIT_UNAVAILABLE);
    kit_expect_whole(k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_record_says_who_did_what),
        T(what_is_not_there_is_null),
        T(long_members_are_cut_and_big_data_is_left_out),
        T(checkpoints_come_by_number),
        T(checkpoints_come_by_time),
        T(counts_ride_on_the_next_checkpoint),
        T(opening_again_goes_on_with_the_chain),
        T(a_second_daemon_is_kept_out),
        T(odd_files_are_refused),
        T(a_new_log_is_private),
        T(the_same_value_has_the_same_hash_between_checkpoints),
        T(who_has_the_key_finds_a_hash_again),
        T(pages_follow_each_other),
        T(the_newest_are_found_from_the_end),
        T(a_subject_is_found),
        cmocka_unit_test(a_log_that_is_not_there_is_an_error),
        T(a_callback_may_write),
        T(closing_ends_what_is_under_way),
        T(a_record_after_the_close_is_refused),
    };

    gd_json_setup();
    if (gd_crypto_setup(NULL) != 0)
        return 1;
    return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
