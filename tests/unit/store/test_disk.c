/* test_disk.c - a small disk and a failing one, simulated below SQLite and the spool alike: this program puts
 * its own pwrite, fdatasync, posix_fallocate and unlink in front of the C library's. First a disk that fills
 * up and is freed again; then every single call of a run fails, once and for ever, and what was promised is
 * looked up afterwards.
 *
 * On PostgreSQL this is the disk of the node, where only the spool is: the cases in which rows fill it are
 * SQLite's alone, and one of the spool takes their place. What happens when the server's own disk is full is
 * daemon.pgfaults' subject. */
#include "kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_bool small, armed, for_ever;
static atomic_long room;           /* bytes by which files may still grow */
static atomic_int countdown, kind; /* kind: the errno that the call number countdown gets */
static struct kit k;

static bool fails(void)
{
    int left;

    if (!armed)
        return false;
    left = atomic_fetch_sub(&countdown, 1);
    if (left != 1 && !(for_ever && left < 1))
        return false;
    errno = kind;
    return true;
}

/* How much of a write at offset finds room; growth is paid for. */
static size_t granted(int fd, size_t n, off_t offset)
{
    struct stat st;
    long grow;

    if (!small || fstat(fd, &st) < 0)
        return n;
    grow = (long)(offset + (off_t)n - st.st_size);
    if (grow <= 0)
        return n;
    if (grow <= room) {
        room -= grow;
        return n;
    }
    return 0;
}

static atomic_int log_writes;
static atomic_long log_bytes;

static void count_log(int fd, size_t n)
{
    char link[40], path[200];
    ssize_t len;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path);
    if (len < 4 || memcmp(path + len - 4, "-wal", 4) != 0)
        return;
    log_writes++;
    log_bytes += (long)n;
}

static ssize_t my_pwrite(int fd, const void *p, size_t n, off_t offset)
{
    count_log(fd, n);
    if (fails())
        return -1;
    if (granted(fd, n, offset) < n) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, n, offset);
}

#define EXPORTED __attribute__((visibility("default")))

EXPORTED ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    return my_pwrite(fd, p, n, offset);
}

EXPORTED ssize_t pwrite64(int fd, const void *p, size_t n, off_t offset)
{
    return my_pwrite(fd, p, n, offset);
}

/* Nobody takes the power away here: how slow the disk is need not be waited for. */
EXPORTED int fdatasync(int fd)
{
    (void)fd;
    return fails() ? -1 : 0;
}

EXPORTED int fsync(int fd)
{
    (void)fd;
    return fails() ? -1 : 0;
}

EXPORTED int posix_fallocate(int fd, off_t offset, off_t n)
{
    struct stat st;

    if (granted(fd, (size_t)n, offset) < (size_t)n)
        return ENOSPC;
    if (syscall(SYS_fallocate, fd, 0, offset, n) == 0)
        return 0;
    if (errno != EOPNOTSUPP || fstat(fd, &st) < 0)
        return errno;
    return st.st_size < offset + n && ftruncate(fd, offset + n) < 0 ? errno : 0; /* the C library's way */
}

EXPORTED int unlink(const char *path)
{
    struct stat st;

    if (small && stat(path, &st) == 0)
        room += st.st_size;
    return (int)syscall(SYS_unlink, path);
}

/* ---- a disk that fills up
 * ------------------------------------------------------------------------------------------- */

GD_SQL(sql_data, "INSERT INTO kv (workspace, k, v, data) VALUES ('w', $1, $2, $3)");

static const char data[4000];

static struct gd_tx *fat(const char *key, bool answer)
{
    struct gd_tx *tx = gd_tx_new(k.s);

    gd_tx_add(tx, &sql_data, GD_P_TEXT(key), GD_P_INT(1), GD_P_BYTES(data, sizeof data));
    if (answer)
        gd_tx_spool(tx, key, strlen(key));
    return tx;
}

static int fill_up(char *key, struct shot *s)
{
    int n = 0;

    do
        (void)snprintf(key, 32, "plain%d", n);
    while (kit_commit(&k, fat(key, false), s) == GD_STORE_OK && ++n < 5000);
    return n;
}

static void test_full_disk(void **state)
{
    char key[32];
    struct shot s;
    int plain;

    (void)state;
    kit_init(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    room = 600 * 1024;
    small = true;
    plain = fill_up(key, &s);
    assert_in_range(plain, 5, 1000);
    assert_int_equal(s.err.reason, GD_R_STORE_FULL);
    assert_int_equal(kit_value(&k, key), -1);
    for (int i = 0; i < 100; i++) { /* answers of platforms still find room: the ballast's */
        (void)snprintf(key, sizeof key, "answer%d", i);
        assert_int_equal(kit_commit(&k, fat(key, true), &s), GD_STORE_OK);
        if (i == 50) {
            assert_int_equal(kit_commit(&k, fat("refused", false), &s), GD_STORE_FAILED);
            assert_int_equal(s.err.reason, GD_R_STORE_FULL);
            assert_int_equal(kit_stat(&k, "has_room"), 0);
        }
    }
    room += 20 * 1024 * 1024; /* somebody frees space: it goes on by itself */
    assert_int_equal(kit_commit(&k, fat("again", false), &s), GD_STORE_OK);
    assert_int_equal(kit_stat(&k, "has_room"), 1);
    small = false;
    kit_close(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_rows(&k), plain + 100 + 1);
    kit_done(&k);
}

static void test_really_full(void **state)
{
    char key[32], *spool;
    int answers = 0;
    struct shot s;

    (void)state;
    kit_init(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    room = 200 * 1024;
    small = true;
    (void)fill_up(key, &s);
    do /* at last even the ballast is used up; nothing breaks, and no answer that was taken is lost */
        (void)snprintf(key, sizeof key, "answer%d", answers);
    while (kit_commit(&k, fat(key, true), &s) == GD_STORE_OK && ++answers < 5000);
    assert_in_range(answers, 100, 4999);
    assert_int_equal(s.err.reason, GD_R_STORE_FULL);
    small = false;
    assert_int_equal(kit_commit(&k, fat(key, true), &s), GD_STORE_OK);
    kit_close(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    for (int i = 0; i <= answers; i++) {
        (void)snprintf(key, sizeof key, "answer%d", i);
        assert_int_equal(kit_value(&k, key), 1);
    }
    spool = kit_replay(&k);
    assert_non_null(strstr(spool, "answer0"));
    gd_free(spool);
    kit_done(&k);
}

/* ---- a node's disk, with the rows elsewhere ---- */

static struct gd_tx *fat_answer(const char *key)
{
    struct gd_tx *tx = fat(key, false);
    char record[sizeof data];

    memset(record, 'r', sizeof record);
    memcpy(record, key, strlen(key));
    gd_tx_spool(tx, record, sizeof record);
    return tx;
}

static void put_answers(int from, int to)
{
    char key[32];
    struct shot s;

    for (int i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "answer%d.", i);
        assert_int_equal(kit_commit(&k, fat_answer(key), &s), GD_STORE_OK);
    }
}

static void test_full_disk_of_a_node(void **state)
{
    char *spool, key[32];
    struct shot s;

    (void)state;
    kit_init(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    room = 64 * 1024;
    small = true;
    put_answers(0, 10);
    assert_int_equal(kit_stat(&k, "has_room"), 1);
    put_answers(10, 100); /* more than there was room for: the ballast went overboard */
    assert_int_equal(kit_stat(&k, "has_room"), 0);
    assert_int_equal(kit_stat(&k, "spool_usable"), 1);
    assert_int_equal(kit_commit(&k, fat("refused", false), &s), GD_STORE_FAILED); /* nothing new is begun */
    assert_int_equal(s.err.reason, GD_R_STORE_FULL);
    assert_int_equal(kit_value(&k, "refused"), -1);
    spool = kit_replay(&k); /* each of them, though there was no room */
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "answer%d.", i);
        assert_non_null(strstr(spool, key));
    }
    gd_free(spool);
    room += 20 * 1024 * 1024;
    assert_int_equal(kit_commit(&k, fat("again", false), &s), GD_STORE_OK);
    assert_int_equal(kit_stat(&k, "has_room"), 1);
    small = false;
    kit_close(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_rows(&k), 100 + 1);
    kit_done(&k);
}

/* ---- the log ---- */

static void test_the_log_is_written_in_large_pieces(void **state)
{
    enum { ROWS = 100 };
    struct gd_tx *tx;
    struct shot s;
    char key[16];

    (void)state;
    kit_init(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    kit_commit(&k, fat("first", false), &s);
    log_writes = 0;
    log_bytes = 0;
    tx = fat("k", false);
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        gd_tx_add(tx, &sql_data, GD_P_TEXT(key), GD_P_INT(1), GD_P_BYTES(data, sizeof data));
    }
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_OK);
    assert_true(log_bytes >= ROWS * 4096L);
    assert_in_range(log_writes, 1, log_bytes / 32768);
    kit_close(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_rows(&k), ROWS + 2);
    kit_done(&k);
}

/* ---- every call fails
 * ------------------------------------------------------------------------------------------------ */

#define OPS 12
static struct shared {
    volatile int result[OPS]; /* 1 + gd_store_result; 0: never heard */
    volatile int calls;       /* all that were made while armed */
} * shared;

static void child(int n, int e, bool sticky)
{
    struct shot s;
    char key[16];

    if (kit_open(&k, NULL) < 0)
        _exit(3);
    kind = e;
    for_ever = sticky;
    countdown = n;
    armed = true;
    for (int i = 0; i < OPS; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        kit_commit(&k, fat(key, i % 2 == 1), &s);
        shared->result[i] = 1 + (int)s.r;
    }
    shared->calls = n - countdown;
    kill(getpid(), SIGKILL); /* nothing is closed */
}

static bool spooled(const char *spool, const char *key)
{
    char with[20];
    const char *p = strstr(spool, key);

    (void)snprintf(with, sizeof with, "%s,", key);
    return p && (strstr(spool, with) || !p[strlen(key)]);
}

/* OK: there. FAILED: not there; if it carried an answer, that is in the spool. UNCERTAIN: one or the other.
 */
static void check(int n, int e, bool sticky)
{
    char key[16], *spool;

    assert_int_equal(kit_open(&k, NULL), 0);
    spool = kit_replay(&k);
    for (int i = 0; i < OPS; i++) {
        bool there, kept;

        (void)snprintf(key, sizeof key, "k%d", i);
        there = kit_value(&k, key) == 1;
        kept = spooled(spool, key);
        if (shared->result[i] == 1 + GD_STORE_OK ? !there : shared->result[i] == 1 + GD_STORE_FAILED && there)
            fail_msg("call %d, errno %d, sticky %d: row %d was told %d and is %s", n, e, sticky, i,
                     shared->result[i] - 1, there ? "there" : "not there");
        if (i % 2 == 1 && !there && !kept && e == EIO && !sticky)
            fail_msg("call %d: the answer of row %d is nowhere", n, i);
    }
    gd_free(spool);
}

static int one(int n, int e, bool sticky)
{
    int rc, calls;
    pid_t pid;

    memset(shared, 0, sizeof *shared);
    kit_init(&k);
    assert_int_equal(kit_open(&k, NULL), 0);
    kit_close(&k);
    pid = fork();
    if (pid == 0)
        child(n, e, sticky);
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    assert_true(WIFSIGNALED(rc) && WTERMSIG(rc) == SIGKILL);
    for (int i = 0; i < OPS; i++)
        assert_int_not_equal(shared->result[i], 0); /* everything ended */
    check(n, e, sticky);
    calls = shared->calls;
    kit_done(&k);
    return calls;
}

static void sweep(int e, bool sticky)
{
    int n = 1, calls;

    do
        calls = one(n, e, sticky);
    while (++n <= calls + 1 && n < 500);
    print_message("errno %d %s: %d calls failed in turn\n", e, sticky ? "for ever" : "once", n - 1);
    assert_in_range(n, kit_shared() ? 10 : 20, 499);
}

static void test_each_call_fails_once(void **state)
{
    (void)state;
    sweep(EIO, false);
    sweep(ENOSPC, false);
}

static void test_each_call_fails_for_ever(void **state)
{
    (void)state;
    sweep(EIO, true);
    sweep(ENOSPC, true);
}

int main(void)
{
    const struct CMUnitTest full[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_really_full),
        cmocka_unit_test(test_the_log_is_written_in_large_pieces),
    };
    const struct CMUnitTest full_node[] = {
        cmocka_unit_test(test_full_disk_of_a_node),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails_once),
        cmocka_unit_test(test_each_call_fails_for_ever),
    };
    int rc;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    rc = kit_shared() ? cmocka_run_group_tests(full_node, NULL, NULL)
                      : cmocka_run_group_tests(full, NULL, NULL);
    return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
