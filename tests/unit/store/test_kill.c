/* test_kill.c - a process that writes is killed at a random moment, a hundred times and more, and what it had
 * been told is on disk must be there. The child reports by a page shared with the parent; its own fdatasync,
 * in front of the C library's, tells how much of the spool was synced before the end. */
#include "kit.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CYCLES   150
#define PER_LIFE 20000
#define RECORD   "s%07d" /* all of one length, so that a length of the file is a number of records */
#define FRAME    (20 + 8)

static struct shared {
    volatile int submitted, acked[PER_LIFE];
    volatile ino_t spool;
    volatile long synced; /* bytes */
} * shared;
static struct kit k;
static int next;

/* Only counts; the sync is real. */
__attribute__((visibility("default"))) int fdatasync(int fd)
{
    int rc = (int)syscall(SYS_fdatasync, fd);
    struct stat st;

    if (rc == 0 && shared && fstat(fd, &st) == 0 && st.st_ino == shared->spool)
        shared->synced = st.st_size;
    return rc;
}

/* ---- the child
 * ------------------------------------------------------------------------------------------------------ */

static void more(void);

static void on_done(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    (void)tx;
    (void)err;
    if (r == GD_STORE_OK)
        shared->acked[(intptr_t)arg] = 1;
    more();
}

/* Every third carries a record; all change two rows, which must agree for ever. */
static void more(void)
{
    GD_SQL(sql_pair, "INSERT INTO kv (workspace, k, v) VALUES ('pair', $1, $2)");
    char key[16], rec[16];
    int i = next++;
    struct gd_tx *tx;

    if (i >= PER_LIFE)
        return;
    (void)snprintf(key, sizeof key, "k%07d", i);
    (void)snprintf(rec, sizeof rec, RECORD, i);
    tx = kit_put(&k, key, i, i % 3 == 0 ? rec : NULL);
    gd_tx_add(tx, &sql_pair, GD_P_TEXT(key), GD_P_INT(i));
    shared->submitted = i + 1;
    gd_store_commit(k.s, tx, on_done, (void *)(intptr_t)i);
}

static void live(void)
{
    if (kit_open(&k, NULL) < 0)
        _exit(3);
    for (int i = 0; i < 24; i++)
        more();
    uv_run(&k.loop, UV_RUN_DEFAULT);
    _exit(4);
}

/* ---- the parent
 * ------------------------------------------------------------------------------------------------------ */

static unsigned char in_spool[PER_LIFE], in_db[PER_LIFE];

static void on_record(void *arg, const void *p, size_t n)
{
    char text[16] = "";
    int *count = arg;

    assert_int_equal(n, 8);
    memcpy(text, p, n);
    in_spool[strtol(text + 1, NULL, 10)] = 1;
    ++*count;
}

static void on_row(void *arg, const struct gd_row *row)
{
    (void)arg;
    in_db[gd_row_int(row, 0)]++;
}

static long synced_in_all;

static void check_life(int *lost_unacked, int *saved_by_spool)
{
    GD_SQL(sql_rows, "SELECT v FROM kv");
    int records = 0;

    memset(in_spool, 0, sizeof in_spool);
    memset(in_db, 0, sizeof in_db);
    assert_int_equal(kit_open(&k, NULL), 0); /* quick_check passes */
    assert_int_equal(gd_store_spool_replay(k.s, on_record, &records, NULL), 0);
    assert_int_equal(gd_store_scan(k.s, &sql_rows, on_row, NULL, NULL), 0);
    assert_true(records >= shared->synced / FRAME); /* what was synced is there */
    synced_in_all += shared->synced / FRAME;
    for (int i = 0; i < shared->submitted; i++) {
        assert_true(in_db[i] == 0 || in_db[i] == 2); /* both rows or none */
        assert_true(!shared->acked[i] || in_db[i] == 2);
        if (i % 3 == 0 && in_db[i])
            assert_true(in_spool[i]); /* the record was there before the row */
        *lost_unacked += !in_db[i] && !in_spool[i];
        *saved_by_spool += !in_db[i] && in_spool[i];
    }
    kit_close(&k);
}

static void nap(long us)
{
    struct timespec ts = { 0, us * 1000 };

    nanosleep(&ts, NULL);
}

static void wipe(void)
{
    kit_wipe(&k);
    (void)unlink(k.spool);
}

static unsigned acks(void)
{
    unsigned n = 0;

    for (int i = 0; i < shared->submitted; i++)
        n += (unsigned)shared->acked[i];
    return n;
}

/* Two of three lives get some work done first, however slow the machine is; the moment itself is by the
 * clock. */
static void one_life(unsigned seed)
{
    unsigned roll = seed * 2654435761u, work = seed % 3 ? 1 + roll % 40 : 0;
    struct stat st;
    pid_t pid;
    int rc;

    memset(shared, 0, sizeof *shared);
    next = 0;
    wipe();
    assert_int_equal(kit_open(&k, NULL), 0); /* makes the files, so that the spool has its number */
    kit_close(&k);
    assert_int_equal(stat(k.spool, &st), 0);
    shared->spool = st.st_ino;
    pid = fork();
    if (pid == 0)
        live();
    while (!shared->submitted || acks() < work)
        nap(50);
    nap((long)(roll % 12000));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    assert_true(WIFSIGNALED(rc));
}

static void test_killed_at_any_moment(void **state)
{
    int lost = 0, saved = 0, acked = 0, lives_with_work = 0;

    (void)state;
    for (unsigned c = 0; c < CYCLES; c++) {
        int before = acked;

        one_life(c + 1);
        check_life(&lost, &saved);
        for (int i = 0; i < shared->submitted; i++)
            acked += shared->acked[i];
        lives_with_work += acked > before;
    }
    print_message("%d lives, %d acknowledged, %d in the spool only, %d in flight and gone\n", CYCLES, acked,
                  saved, lost);
    assert_true(lives_with_work > CYCLES / 2);
    assert_true(acked > CYCLES * 10);
    assert_true(synced_in_all > CYCLES);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_killed_at_any_moment) };
    int rc;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    kit_init(&k);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    kit_done(&k);
    return rc;
}
