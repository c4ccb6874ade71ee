/* test_ahead.c - a large file is read from front to back beside whoever opens it, and SQLite keeps its locks.
 * How much of it the kernel then keeps is its own affair, so what was read is asked and not what is in
 * memory. The locks are looked at by a child: a process that closes a file loses its own locks on it. */
#include "kit.h"
#include "store/sqlite_int.h"
#include "store/work.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHARED_FIRST \
    0x40000002 /* where SQLite's shared locks lie: sqlite.org/fileformat2.html, and os_unix.c of SQLite */
#define SHARED_SIZE 510

GD_SQL(sql_big, "INSERT INTO kv (workspace, k, v, data) VALUES ('big', $1, 0, $2)");

static struct kit k;

static void fill(size_t bytes)
{
    size_t size = 500000;
    char *data = gd_new(size), key[16];

    for (size_t i = 0; i * size < bytes; i++) {
        struct gd_tx *tx = gd_tx_new(k.s);

        (void)snprintf(key, sizeof key, "%zu", i);
        gd_tx_add(tx, &sql_big, GD_P_TEXT(key), GD_P_BYTES(data, size));
        assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
    }
    gd_free(data);
}

/* Whether another process finds SQLite's shared lock on the file. */
static bool is_locked(void)
{
    struct flock l = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHARED_FIRST, .l_len = SHARED_SIZE
    };
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(k.path, O_RDWR | O_CLOEXEC);

        _exit(fd < 0 || fcntl(fd, F_GETLK, &l) ? 98 : l.l_type != F_UNLCK);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_in_range(WEXITSTATUS(status), 0, 1);
    return WEXITSTATUS(status) == 1;
}

static void reopen(void)
{
    struct gd_err err;

    kit_close(&k);
    assert_int_equal(kit_open(&k, &err), 0);
}

/* Until the reader has ended: what a child that is forked meanwhile finds of its memory belongs to nobody. */
static void wait_read(off_t size)
{
    const struct gd_ahead *a = &k.s->engine->ahead;

    assert_true(a->running);
    for (int i = 0; i < 3000 && atomic_load(&a->done) < size; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&a->done), size);
    usleep(20000);
}

static void test_large_file_is_read_ahead(void **state)
{
    struct stat st;

    (void)state;
    fill(GD_STORE_CHECK_FIRST + 8000000);
    kit_close(&k);
    assert_int_equal(stat(k.path, &st), 0);
    assert_true(st.st_size > GD_STORE_CHECK_FIRST);
    reopen();
    wait_read(st.st_size);
    assert_true(is_locked()); /* its end must have taken no lock along */
    assert_true(kit_rows(&k) > 100);
}

static void test_small_file_is_not(void **state)
{
    (void)state;
    fill(1000000);
    reopen();
    assert_false(k.s->engine->ahead.running);
    assert_true(is_locked());
}

static void test_close_while_reading(void **state)
{
    (void)state;
    fill(GD_STORE_CHECK_FIRST + 8000000);
    for (int i = 0; i < 5; i++)
        reopen();
    wait_read(k.s->engine->ahead.size);
    assert_true(is_locked());
}

static int set_up(void **state)
{
    struct gd_err err;

    (void)state;
    kit_init(&k);
    return kit_open(&k, &err);
}

static int tear_down(void **state)
{
    (void)state;
    kit_done(&k);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_large_file_is_read_ahead, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_small_file_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_while_reading, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
