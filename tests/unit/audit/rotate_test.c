/* A log that has grown goes on in a new file: the chain does not end, and what is missing or changed in any
 * of the files is found. */
#include "kit.h"

#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX 8000

static char *part(const struct kit *k, int n)
{
    return gd_strf("%s.%04d", k->path, n);
}

static int parts(const struct kit *k)
{
    int n = 0;

    for (;; n++) {
        GD_AUTO_FREE char *name = part(k, n + 1);

        if (access(name, F_OK) != 0)
            return n;
    }
}

static int setup(void **state)
{
    struct kit *k = gd_new(sizeof *k);
    struct gd_err err = { 0 };

    kit_init(k);
    k->o.file_max = FILE_MAX;
    assert_int_equal(kit_open(k, &err), 0);
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct kit *k = *state;

    kit_close(k);
    for (int n = parts(k); n > 0; n--) {
        GD_AUTO_FREE char *name = part(k, n);

        unlink(name);
    }
    kit_done(k);
    gd_free(k);
    return 0;
}

static void grow(struct kit *k, int files)
{
    for (int i = 0; i < 200 && parts(k) < files; i++)
        kit_write(k, 5);
    assert_int_equal(parts(k), files);
}

static int64_t first_seq(const json_t *list)
{
    return gd_json_i64(json_array_get(list, 0), "seq", 0);
}

static void the_chain_goes_on(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;
    struct gd_err err = { 0 };
    json_t *status;
    int64_t records;

    grow(k, 3);
    kit_write(k, 3);
    assert_int_equal(kit_verify(k, &v), 0); /* also while it is open */
    status = gd_audit_status(k->a);
    records = gd_json_i64(status, "records", 0);
    assert_int_equal(v.records, records);
    assert_int_equal(v.first, 1);
    json_decref(status);
    kit_close(k);
    kit_expect_whole(k);
    assert_int_equal(kit_open(k, &err), 0); /* a start goes on in the last file, with its number */
    grow(k, 4);
    assert_int_equal(kit_verify(k, &v), 0);
    assert_true(v.records > records);
    assert_int_equal(gd_audit_verify(k->path, gd_audit_public(k->a), &v, &err), 0);
    assert_int_equal(v.bad_line, 0);
}

static void pages_go_over_files(void **state)
{
    struct kit *k = *state;
    struct gd_audit_verdict v;
    struct gd_err err = { 0 };
    int64_t after = 0;
    size_t n;

    grow(k, 3);
    kit_close(k);
    assert_int_equal(kit_verify(k, &v), 0);
    do {
        GD_AUTO_JSON page = gd_audit_list(k->path, after, 7, NULL, &err);

        n = json_array_size(page);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(gd_json_i64(json_array_get(page, i), "seq", 0), ++after);
    } while (n == 7);
    assert_int_equal(after, v.records);
    for (size_t max = 1; max < 120; max += 17) {
        GD_AUTO_JSON page = gd_audit_list(k->path, -1, max, NULL, &err);

        n = json_array_size(page);
        assert_int_equal(n, (int64_t)max < v.records ? (int64_t)max : v.records);
        assert_int_equal(first_seq(page), v.records - (int64_t)n + 1);
    }
}

/* What the writer does in the middle of a listing, behind the look for closed files. */
static struct {
    const char *path, *closed, *fresh;
} meanwhile;

bool __real_gd_audit_has_part(const char *path, int64_t part);
bool __wrap_gd_audit_has_part(const char *path, int64_t part);
bool __wrap_gd_audit_has_part(const char *path, int64_t part)
{
    bool has = __real_gd_audit_has_part(path, part);

    if (has || !meanwhile.path)
        return has;
    assert_int_equal(rename(meanwhile.path, meanwhile.closed), 0);
    assert_int_equal(rename(meanwhile.fresh, meanwhile.path), 0);
    meanwhile.path = NULL;
    return has;
}

static void a_page_misses_nothing_when_the_file_is_closed(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *second = part(k, 2), *fresh = gd_strf("%s.fresh", k->path);
    struct gd_audit_verdict v;
    struct gd_err err = { 0 };

    grow(k, 2);
    kit_close(k);
    assert_int_equal(kit_verify(k, &v), 0);
    for (int newest = 0; newest < 2; newest++) {
        assert_int_equal(rename(k->path, fresh), 0);
        assert_int_equal(rename(second, k->path), 0);
        meanwhile.path = k->path;
        meanwhile.closed = second;
        meanwhile.fresh = fresh;
        GD_AUTO_JSON page = gd_audit_list(k->path, newest ? -1 : 0, 1000, NULL, &err);

        assert_null(meanwhile.path);
        assert_int_equal(json_array_size(page), v.records);
        for (size_t i = 0; i < json_array_size(page); i++)
            assert_int_equal(gd_json_i64(json_array_get(page, i), "seq", 0), i + 1);
    }
}

static void a_change_in_a_closed_file_is_found(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *second = part(k, 2);
    struct gd_audit_verdict v;
    char *text, *at;
    size_t n;

    grow(k, 3);
    kit_close(k);
    text = kit_read(second, &n);
    at = strstr(strchr(text, '\n') + 1, "\"uid\":1000");
    assert_non_null(at);
    at[6] = '2';
    kit_put(second, text, n);
    assert_true(kit_verify(k, &v) > 1);
    assert_string_equal(v.file, ".0002");
    assert_string_equal(v.why, "hash");
    at[6] = '1';
    kit_put(second, text, n);
    gd_free(text);
    assert_int_equal(kit_verify(k, &v), 0);
}

static void a_missing_file_is_found(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *first = part(k, 1);
    GD_AUTO_FREE char *second = part(k, 2);
    GD_AUTO_FREE char *aside = gd_strf("%s/aside", k->dir);
    struct gd_audit_verdict v;
    int64_t all;

    grow(k, 3);
    kit_close(k);
    assert_int_equal(kit_verify(k, &v), 0);
    all = v.records;
    assert_int_equal(rename(second, aside), 0);
    assert_int_not_equal(kit_verify(k, &v), 0);
    assert_int_equal(rename(aside, second), 0);
    assert_int_equal(rename(first, aside), 0); /* the oldest may be kept elsewhere */
    assert_int_equal(kit_verify(k, &v), 0);
    assert_true(v.first > 1);
    assert_int_equal(v.first - 1 + v.records, all);
    assert_int_equal(rename(aside, first), 0);
}

static void a_crash_within_leaves_a_whole_log(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *second = part(k, 2);
    GD_AUTO_FREE char *third = part(k, 3);
    struct gd_audit_verdict v;
    struct gd_err err = { 0 };

    grow(k, 1);
    kit_write(k, 3);
    kit_close(k);
    assert_int_equal(link(k->path, second), 0); /* died between the two steps */
    assert_int_equal(kit_open(k, &err), 0);
    assert_int_equal(parts(k), 1);
    grow(k, 2);
    assert_int_equal(kit_verify(k, &v), 0);
    kit_close(k);
    assert_int_equal(link(k->path, third), 0);
    assert_int_equal(unlink(k->path), 0); /* and one that nobody rotated */
    assert_int_equal(kit_open(k, &err), -1);
    assert_string_equal(gd_reason_word(err.reason), "AUDIT_BROKEN");
    assert_int_equal(unlink(k->path), 0); /* made by the try, empty */
    assert_int_equal(rename(third, k->path), 0);
    assert_int_equal(kit_open(k, &err), 0);
}

static void where_it_cannot_it_stays(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *fresh = gd_strf("%s.new", k->path);
    struct gd_audit_verdict v;

    assert_int_equal(mkdir(fresh, 0700), 0); /* in the way */
    kit_write(k, 80);
    assert_int_equal(parts(k), 0);
    assert_int_equal(k->refused, 0);
    assert_int_equal(kit_verify(k, &v), 0);
    assert_true(v.records > 80);
    assert_int_equal(rmdir(fresh), 0);
    grow(k, 1);
    assert_int_equal(kit_verify(k, &v), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_chain_goes_on),
        T(pages_go_over_files),
        T(a_page_misses_nothing_when_the_file_is_closed),
        T(a_change_in_a_closed_file_is_found),
        T(a_missing_file_is_found),
        T(a_crash_within_leaves_a_whole_log),
        T(where_it_cannot_it_stays),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
