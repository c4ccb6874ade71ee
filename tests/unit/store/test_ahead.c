/* test_ahead.c - a large file is read from front to back beside whoever opens it, and SQLite keeps its locks.
 * The looks are a child's: a process that closes a file loses its own locks on it. */
#include "kit.h"

#include <fcntl.h>
#include <sys/mman.h>
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

/* What fn says of the file, in a process of its own. */
static int in_child(int (*fn)(int fd, size_t size))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(k.path, O_RDWR | O_CLOEXEC);
        struct stat st;

        _exit(fd < 0 || fstat(fd, &st) ? 99 : fn(fd, (size_t)st.st_size));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int forget_pages(int fd, size_t size)
{
    return fsync(fd) || posix_fadvise(fd, 0, (off_t)size, POSIX_FADV_DONTNEED) ? 98 : 0;
}

/* Percent of the file that is in memory. */
static int resident(int fd, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (size + page - 1) / page, there = 0;
    unsigned char *seen = gd_new(n);
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED || mincore(map, size, seen))
        return 98;
    for (size_t i = 0; i < n; i++)
        there += seen[i] & 1;
    return (int)(there * 90 / n); /* 90: all */
}

static int is_locked(int fd, size_t size)
{
    struct flock l = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHARED_FIRST, .l_len = SHARED_SIZE
    };

    (void)size;
    return fcntl(fd, F_GETLK, &l) ? 98 : l.l_type != F_UNLCK;
}

static void reopen_cold(void)
{
    struct gd_err err;

    kit_close(&k);
    assert_int_equal(in_child(forget_pages), 0);
    assert_int_equal(kit_open(&k, &err), 0);
}

static void test_large_file_is_read_ahead(void **state)
{
    (void)state;
    fill(GD_STORE_CHECK_FIRST + 8000000);
    reopen_cold();
    for (int i = 0; i < 300 && in_child(resident) < 85; i++)
        usleep(100000);
    assert_in_range(in_child(resident), 85, 90);
    usleep(200000); /* the reader has ended; its end must have taken no lock along */
    assert_int_equal(in_child(is_locked), 1);
    assert_true(kit_rows(&k) > 100);
}

static void test_close_while_reading(void **state)
{
    (void)state;
    fill(GD_STORE_CHECK_FIRST + 8000000);
    for (int i = 0; i < 5; i++)
        reopen_cold();
    assert_int_equal(in_child(is_locked), 1);
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
        cmocka_unit_test_setup_teardown(test_close_while_reading, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
