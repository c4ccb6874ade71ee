/* Fail-closed: while the disk refuses, nothing is done that must be in the log, and it goes on by itself. */
#include "kit.h"

#include "base/fault.h"
#include "crypto/crypto.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void wait_usable(struct kit *k)
{
    int64_t until = now_ms() + 20000;

    while (!gd_audit_usable(k->a)) {
        assert_true(now_ms() < until);
        uv_run(&k->loop, UV_RUN_NOWAIT);
        usleep(5000);
    }
}

static void limit_files(size_t bytes)
{
    struct rlimit r = { bytes, RLIM_INFINITY };

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static off_t size_of(const struct kit *k)
{
    struct stat st;

    assert_int_equal(stat(k->path, &st), 0);
    return st.st_size;
}

static json_t *resume_record(const struct kit *k)
{
    json_t *l = gd_audit_list(k->path, 0, 10000, NULL, NULL), *one, *found = NULL;
    size_t i;

    json_array_foreach(l, i, one) if (!strcmp(gd_json_text(one, "act", ""), "audit.resume")) found = one;
    json_incref(found);
    json_decref(l);
    return found;
}

/* room: bytes that still fit, 0 or a part of the next line. */
static void full_disk(struct kit *k, size_t room)
{
    struct gd_audit_entry e = {
        .act = "background", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };
    off_t before;
    GD_AUTO_JSON resume = NULL;

    kit_write(k, 3);
    before = size_of(k);
    limit_files((size_t)before + room);
    kit_send(k, "refused", "a", NULL);
    kit_wait(k, k->ended + 1);
    assert_int_equal(k->refused, 1);
    assert_int_equal(k->err.reason, GD_R_AUDIT_UNAVAILABLE);
    assert_false(gd_audit_usable(k->a));
    assert_int_equal(size_of(k), before); /* a part that was written is taken back */
    for (int i = 0; i < 5; i++)
        kit_send(k, "refused", "a", NULL);
    for (int i = 0; i < 7; i++)
        gd_audit_write(k->a, &e, NULL, NULL); /* nobody waits: held */
    kit_wait(k, k->ended + 5);
    assert_int_equal(k->refused, 6);
    limit_files(RLIM_INFINITY);
    wait_usable(k);
    resume = resume_record(k);
    assert_int_equal(json_integer_value(gd_json_at(resume, "data.refused")), 6);
    assert_int_equal(json_integer_value(gd_json_at(resume, "data.held")), 7);
    assert_int_equal(json_integer_value(gd_json_at(resume, "data.lost")), 0);
    kit_write(k, 20);
    assert_int_equal(k->refused, 6);
    kit_expect_whole(k);
    {
        GD_AUTO_FREE char *text = NULL;
        size_t n, held = 0;

        text = kit_read(k->path, &n);
        for (const char *p = text; (p = strstr(p, "\"background\"")); p++)
            held++;
        assert_int_equal(held, 7);
        assert_null(strstr(text, "\"act\":\"refused\""));
    }
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    full_disk(*state, 0);
}

static void a_disk_that_fills_within_a_line_recovers(void **state)
{
    full_disk(*state, 100);
}

/* An append-only file (chattr +a) keeps a part that was written: the rest has to follow it, or the chain is
 * torn. */
static void a_part_that_cannot_be_taken_back_is_finished(void **state)
{
    struct gd_audit_entry e = {
        .act = "background", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };
    struct kit *k = *state;
    GD_AUTO_FREE char *text = NULL;
    GD_AUTO_JSON resume = NULL;
    off_t before;
    size_t n;

    kit_write(k, 3);
    before = size_of(k);
    limit_files((size_t)before + 100);
    kit_send(k, "refused", "a", NULL);
    kit_wait(k, k->ended + 1);
    assert_int_equal(k->refused, 1);
    assert_int_equal(size_of(k), before + 100); /* it is still there */
    gd_audit_write(k->a, &e, NULL, NULL);
    limit_files(RLIM_INFINITY);
    wait_usable(k);
    kit_write(k, 20);
    kit_expect_whole(k);
    text = kit_read(k->path, &n);
    assert_non_null(
        strstr(text, "\"act\":\"refused\"")); /* what was asked is on record, though it was refused */
    resume = resume_record(k);
    assert_int_equal(json_integer_value(gd_json_at(resume, "data.held")), 1);
    kit_close(k);
    assert_int_equal(kit_open(k, NULL), 0);
    kit_expect_whole(k);
}

static void held_records_have_a_number(void **state)
{
    struct kit *k = *state;
    struct gd_audit_entry e = {
        .act = "background", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };
    GD_AUTO_JSON resume = NULL;

    limit_files((size_t)size_of(k));
    for (int i = 0; i < GD_AUDIT_HELD_MAX + 50; i++)
        gd_audit_write(k->a, &e, NULL, NULL);
    kit_send(k, "refused", "a", NULL);
    kit_wait(k, 1);
    limit_files(RLIM_INFINITY);
    wait_usable(k);
    resume = resume_record(k);
    assert_int_equal(json_integer_value(gd_json_at(resume, "data.held")), GD_AUDIT_HELD_MAX);
    assert_int_equal(json_integer_value(gd_json_at(resume, "data.lost")), 50);
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0); /* nothing is left under way */
    kit_expect_whole(k);
}

static void closing_a_full_log_ends(void **state)
{
    struct kit *k = *state;
    struct gd_audit_entry e = {
        .act = "background", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };

    kit_write(k, 3);
    limit_files((size_t)size_of(k));
    gd_audit_write(k->a, &e, NULL, NULL);
    kit_send(k, "refused", "a", NULL);
    kit_close(k);
    limit_files(RLIM_INFINITY);
    assert_int_equal(k->refused, 1);
    assert_int_equal(kit_open(k, NULL), 0);
    kit_expect_whole(k);
}

/* The sync itself fails: what the file holds by then does not count. GRANTD_FAULT is read once, so the number
 * says which sync it is; it is set in main(). */
static void a_failing_sync_refuses(void **state)
{
    struct kit *k = *state;

    kit_write(k, 1);
    assert_int_equal(k->refused, 0);
    kit_write(k, 1); /* the third sync of this process */
    assert_int_equal(k->refused, 1);
    assert_int_equal(k->err.reason, GD_R_AUDIT_UNAVAILABLE);
    wait_usable(k);
    kit_write(k, 2);
    assert_int_equal(k->refused, 1);
    kit_expect_whole(k);
}

/* ---- a rotation that ends between its two steps: the old file has its second name, the new one not the
 * first ---- */

#define FILE_MAX 8000

static bool has_part(const struct kit *k, int n)
{
    GD_AUTO_FREE char *name = gd_strf("%s.%04d", k->path, n);

    return access(name, F_OK) == 0;
}

/* Argument of the child: the folder. */
static int rotate_and_die(const char *dir)
{
    struct kit k;

    kit_init(&k);
    (void)rmdir(k.dir);
    (void)snprintf(k.path, sizeof k.path, "%s/audit.log", dir);
    k.o.path = k.path;
    k.o.file_max = FILE_MAX;
    if (kit_open(&k, NULL) != 0)
        return 8;
    for (int i = 0; i < 16; i++)
        kit_write(&k, 5);
    kit_close(&k);
    return uv_loop_close(&k.loop) == 0 ? 0 : 9;
}

static const char *self; /* this program, as it was called (not /proc/self/exe: valgrind stands there) */

static int in_a_child(const struct kit *k, const char *fault)
{
    pid_t pid = fork();
    int rc;

    if (pid == 0) {
        (void)setenv("GRANTD_FAULT", fault, 1);
        execl(self, self, k->dir, (char *)NULL);
        _exit(7);
    }
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    return rc;
}

static int parts_of(const struct kit *k)
{
    int n = 0;

    while (has_part(k, n + 1))
        n++;
    return n;
}

/* Whatever the child left, a start finds a whole log, and it goes on. */
static void goes_on(struct kit *k, int64_t at_least)
{
    struct gd_audit_verdict v;
    struct gd_err err = { 0 };
    int before = parts_of(k);

    k->o.file_max = FILE_MAX;
    if (kit_open(k, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(kit_verify(k, &v), 0);
    assert_true(v.records >= at_least);
    at_least = v.records + 40;
    for (int i = 0; i < 8; i++)
        kit_write(k, 5);
    assert_true(parts_of(k) > before);
    assert_int_equal(kit_verify(k, &v), 0);
    assert_true(v.records >= at_least);
    assert_int_equal(k->refused, 0);
    kit_expect_whole(k);
}

static int closed_setup(void **state)
{
    int rc = kit_setup(state);

    kit_close(*state);
    return rc;
}

static int parts_teardown(void **state)
{
    struct kit *k = *state;

    kit_close(k);
    for (int n = parts_of(k); n > 0; n--) {
        GD_AUTO_FREE char *name = gd_strf("%s.%04d", k->path, n);

        (void)unlink(name);
    }
    return kit_teardown(state);
}

static void a_rotation_that_fails_between_its_steps(void **state)
{
    struct kit *k = *state;
    int rc = in_a_child(k, "audit.rotate:eio");

    assert_true(WIFEXITED(rc));
    assert_int_equal(WEXITSTATUS(rc), 0);
    assert_true(parts_of(k) > 0); /* it stayed, and was rotated when it had grown on */
    goes_on(k, 80);
}

static void a_rotation_that_dies_between_its_steps(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *second = gd_strf("%s.0001", k->path);
    struct stat one, two;
    int rc = in_a_child(k, "audit.rotate:kill9");

    assert_true(WIFSIGNALED(rc));
    assert_int_equal(WTERMSIG(rc), SIGKILL);
    assert_int_equal(stat(k->path, &one), 0); /* this is where it was: one file, two names */
    assert_int_equal(stat(second, &two), 0);
    assert_int_equal(one.st_ino, two.st_ino);
    goes_on(k, 10);
}

#define T(f)  cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
#define TR(f) cmocka_unit_test_setup_teardown(f, closed_setup, parts_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(a_failing_sync_refuses),                       /* first: it counts syncs */
        T(a_part_that_cannot_be_taken_back_is_finished), /* second: it counts cuts */
        T(a_full_disk_refuses_and_recovers),
        T(a_disk_that_fills_within_a_line_recovers),
        T(held_records_have_a_number),
        T(closing_a_full_log_ends),
        TR(a_rotation_that_fails_between_its_steps),
        TR(a_rotation_that_dies_between_its_steps),
    };

    (void)signal(SIGXFSZ, SIG_IGN);
    self = argv[0];
    if (argc == 1)
        (void)setenv("GRANTD_FAULT", "audit.sync:eio:3,audit.cut:eio:2", 1);
    gd_json_setup();
    if (gd_crypto_setup(NULL) != 0)
        return 1;
    if (argc == 2)
        return rotate_and_die(argv[1]);
    return cmocka_run_group_tests_name("audit points", tests, NULL, NULL);
}
