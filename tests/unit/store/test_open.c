/* test_open.c - what a start finds: another process, another version, somebody else's file, damage, half a
 * migration. */
#include "kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct kit k;

static int setup(void **state)
{
    (void)state;
    kit_init(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_done(&k);
    return 0;
}

static void refused(enum gd_reason reason)
{
    struct gd_err err = { 0 };

    assert_int_equal(kit_open(&k, &err), -1);
    assert_int_equal(err.reason, reason);
    assert_true(err.text[0] != '\0');
    assert_null(k.s);
}

static void test_locked(void **state)
{
    struct kit again = { .dir = "" };
    struct gd_err err = { 0 };
    int rc, ready[2];
    pid_t pid;
    char c;

    (void)state;
    assert_int_equal(kit_open(&k, NULL), 0);
    again.o = k.o;
    uv_loop_init(&again.loop);
    assert_int_equal(kit_open(&again, &err), -1);
    assert_int_equal(err.reason, GD_R_STORE_LOCKED);
    uv_loop_close(&again.loop);
    kit_close(&k);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) { /* another process has it */
        alarm(20);
        if (kit_open(&k, NULL) == 0 && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    refused(GD_R_STORE_LOCKED);
    kill(pid, SIGKILL);
    waitpid(pid, &rc, 0);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(kit_open(&k, NULL), 0); /* the lock dies with its owner */
}

static void test_too_new(void **state)
{
    (void)state;
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_commit(&k, kit_put(&k, "a", 1, NULL), NULL), GD_STORE_OK);
    kit_close(&k);
    k.o.nmigrations = 1;
    refused(GD_R_STORE_TOO_NEW);
    k.o.nmigrations = 2;
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_rows(&k), 1);
}

static void test_other_history(void **state)
{
    struct gd_migration other[2] = { kit_migrations[0], kit_migrations[1] };

    (void)state;
    assert_int_equal(kit_open(&k, NULL), 0);
    kit_close(&k);
    other[0].name = "someone else's first";
    k.o.migrations = other;
    refused(GD_R_STORE_FOREIGN);
}

static void test_grows(void **state)
{
    (void)state;
    k.o.nmigrations = 1;
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_stat(&k, "version"), 1);
    assert_int_equal(kit_commit(&k, kit_put(&k, "a", 1, NULL), NULL), GD_STORE_OK);
    kit_close(&k);
    k.o.nmigrations = 2;
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_stat(&k, "version"), 2);
    assert_int_equal(kit_value(&k, "a"), 1);
}

static void put_file(const char *path, const void *p, size_t n, off_t at)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_int_equal(pwrite(fd, p, n, at), n);
    close(fd);
}

static void test_not_a_database(void **state)
{
    char text[4096];

    (void)state;
    memset(text, 'x', sizeof text);
    put_file(k.path, text, sizeof text, 0);
    refused(GD_R_STORE_CORRUPT);
}

/* A database of another program stays as it was, byte for byte. */
static void test_foreign_database(void **state)
{
    char cmd[256];
    struct stat before, after;
    int rc;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        (void)snprintf(cmd, sizeof cmd, "%s", k.path);
        execlp("python3", "python3", "-c",
               "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('create table mine(a)'); "
               "c.commit()",
               cmd, (char *)NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    assert_int_equal(rc, 0);
    assert_int_equal(stat(k.path, &before), 0);
    refused(GD_R_STORE_FOREIGN);
    assert_int_equal(stat(k.path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void fill(void)
{
    char key[64];

    assert_int_equal(kit_open(&k, NULL), 0);
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof key, "some key that takes its room %d", i);
        assert_int_equal(kit_commit(&k, kit_put(&k, key, i, NULL), NULL), GD_STORE_OK);
    }
    kit_close(&k);
}

static char *bytes_of(const char *path, size_t *ret_n)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    char *p;

    assert_int_equal(fstat(fd, &st), 0);
    p = gd_new((size_t)st.st_size);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    close(fd);
    *ret_n = (size_t)st.st_size;
    return p;
}

/* Whoever writes first, and whoever asks, hears that it is damaged; nothing in it is changed before, nor
 * ever after, nor when it is closed. */
static void damage_is_found(bool asked)
{
    size_t n = 0, m = 0;
    GD_AUTO_FREE char *before = bytes_of(k.path, &n);
    GD_AUTO_FREE char *after = NULL;
    struct shot s;

    assert_int_equal(kit_open(&k, NULL), 0);
    if (asked)
        kit_check(&k, &s);
    else
        kit_commit(&k, kit_put(&k, "new", 1, NULL), &s);
    assert_int_equal(s.r, GD_STORE_FAILED);
    assert_int_equal(s.err.reason, GD_R_STORE_CORRUPT);
    kit_commit(&k, kit_put(&k, "newer", 1, NULL), &s);
    assert_int_equal(s.err.reason, GD_R_STORE_CORRUPT);
    kit_close(&k);
    after = bytes_of(k.path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
}

static void test_damaged(void **state)
{
    static const char *const more[] = {
        "CREATE TABLE more (workspace text NOT NULL, PRIMARY KEY (workspace))", NULL
    };
    const struct gd_migration third[] = { kit_migrations[0], kit_migrations[1], { "more", more } };
    struct stat st;
    char junk[1500];

    (void)state;
    fill();
    assert_int_equal(stat(k.path, &st), 0);
    assert_true(st.st_size > 8 * 4096);
    memset(junk, 0x5a, sizeof junk);
    put_file(k.path, junk, sizeof junk, st.st_size / 4096 / 2 * 4096);
    damage_is_found(false);
    damage_is_found(true);
    k.o.nmigrations = 3; /* a migration is a change, too */
    k.o.migrations = third;
    refused(GD_R_STORE_CORRUPT);
}

/* What only reads does not wait for the look at the whole file; a whole one is written after it. */
static void test_checked(void **state)
{
    struct shot s;

    (void)state;
    fill();
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_rows(&k), 500);
    kit_check(&k, &s);
    assert_int_equal(s.r, GD_STORE_OK);
    assert_int_equal(kit_commit(&k, kit_put(&k, "new", 1, NULL), NULL), GD_STORE_OK);
    kit_check(&k, &s); /* again: it was */
    assert_int_equal(s.r, GD_STORE_OK);
    kit_close(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_commit(&k, kit_put(&k, "newer", 1, NULL), NULL), GD_STORE_OK); /* by itself */
    assert_int_equal(kit_rows(&k), 502);
}

static void test_cut_short(void **state)
{
    struct gd_err err = { 0 };
    struct shot s;

    (void)state;
    fill();
    assert_int_equal(truncate(k.path, 5 * 4096), 0);
    if (kit_open(&k, &err) == 0) { /* else: its history lies in what is gone */
        kit_commit(&k, kit_put(&k, "new", 1, NULL), &s);
        err = s.err;
    }
    assert_int_equal(err.reason, GD_R_STORE_CORRUPT);
}

static void test_no_such_folder(void **state)
{
    (void)state;
    k.o.path = "/nonexistent/folder/state.db";
    refused(GD_R_STORE_FAILED);
}

static void test_link_in_its_place(void **state)
{
    char other[128];

    (void)state;
    (void)snprintf(other, sizeof other, "%s/other", k.dir);
    put_file(other, "", 0, 0);
    assert_int_equal(symlink(other, k.path), 0);
    refused(GD_R_STORE_FAILED);
}

static void test_migration_that_fails(void **state)
{
    static const char *const bad[] = { "CREATE TABLE half (workspace text NOT NULL, PRIMARY KEY (workspace))",
                                       "INSERT INTO half (workspace) VALUES ('w')",
                                       "INSERT INTO nowhere VALUES (1)", NULL };
    struct gd_migration m[3] = { kit_migrations[0], kit_migrations[1], { "third", bad } };
    GD_SQL(sql_half, "SELECT count(*) FROM half");
    struct gd_err err = { 0 };
    struct gd_tx *tx;
    struct shot s;

    (void)state;
    k.o.migrations = m;
    k.o.nmigrations = 3;
    assert_int_equal(kit_open(&k, &err), -1);
    assert_non_null(strstr(err.text, "third"));
    k.o.nmigrations = 2;
    assert_int_equal(kit_open(&k, &err), 0); /* version 2, and nothing of the third */
    tx = gd_tx_new(k.s);
    gd_tx_add_(tx, &sql_half, NULL, 0);
    assert_int_equal(kit_read(&k, tx, &s), GD_STORE_FAILED);
}

/* ---- a migration that is killed
 * ---------------------------------------------------------------------------------- */

#define STEPS 120
static char inserts[STEPS][96];
static const char *long_one[STEPS + 2];

static void make_long_one(void)
{
    long_one[0] =
        "CREATE TABLE steps (workspace text NOT NULL, n bigint NOT NULL, PRIMARY KEY (workspace, n))";
    for (int i = 0; i < STEPS; i++) {
        (void)snprintf(inserts[i], sizeof inserts[i], "INSERT INTO steps (workspace, n) VALUES ('w', %d)", i);
        long_one[i + 1] = inserts[i];
    }
    long_one[STEPS + 1] = NULL;
}

static int64_t count_steps(void)
{
    GD_SQL(sql_steps, "SELECT count(*) FROM steps");
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;

    gd_tx_add_(tx, &sql_steps, NULL, 0);
    return kit_read(&k, tx, &s) == GD_STORE_OK ? s.num : -1;
}

static void test_killed_while_migrating(void **state)
{
    struct gd_migration m[3] = { kit_migrations[0], kit_migrations[1], { "long", long_one } };
    int half = 0, whole = 0, rc;

    (void)state;
    make_long_one();
    for (unsigned round = 0; round < 60; round++) {
        pid_t pid;

        k.o.migrations = m;
        k.o.nmigrations = 2;
        assert_int_equal(kit_open(&k, NULL), 0);
        kit_close(&k);
        k.o.nmigrations = 3;
        pid = fork();
        if (pid == 0)
            _exit(kit_open(&k, NULL) == 0 ? 0 : 1);
        usleep(round * 137);
        kill(pid, SIGKILL);
        waitpid(pid, &rc, 0);
        k.o.nmigrations = 2;
        if (kit_open(&k, NULL) == 0) { /* still the old version: nothing of the new one may be there */
            assert_int_equal(count_steps(), -1);
            kit_close(&k);
            half++;
        }
        k.o.nmigrations = 3;
        assert_int_equal(kit_open(&k, NULL), 0); /* goes through now, or had gone through */
        assert_int_equal(count_steps(), STEPS);
        kit_close(&k);
        whole++;
        kit_wipe(&k);
    }
    assert_true(half > 0);
    assert_int_equal(whole, 60);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_locked),
        T(test_too_new),
        T(test_other_history),
        T(test_grows),
        T(test_migration_that_fails),
        T(test_killed_while_migrating),
    };
    const struct CMUnitTest file_tests[] = {
        T(test_not_a_database), T(test_foreign_database), T(test_damaged),           T(test_checked),
        T(test_cut_short),      T(test_no_such_folder),   T(test_link_in_its_place),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    /* what can be wrong with a file of the embedded engine */
    return kit_shared() ? rc : rc + cmocka_run_group_tests(file_tests, NULL, NULL);
}
