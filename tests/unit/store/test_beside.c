/* test_beside.c - the answers of a group are synced while its statements run, and the commit waits for them.
 * fdatasync stands in front of the C library's: it tells which file is on disk, and the one of the spool is
 * slow; the clock is asked by the statements, and the two wait for each other where they must overlap. */
#include "kit.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOW_MS 50
#define END_MS  10000 /* of waiting for what never comes */

static struct kit k;
static atomic_int spool_syncing, spool_synced, log_synced_before, asked_meanwhile;
static atomic_bool watching, meeting;

static void nap(long ms)
{
    const struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

    (void)nanosleep(&ts, NULL);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && !strcmp(s + n - m, end);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    char link[64], name[256] = "";

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (!watching || readlink(link, name, sizeof name - 1) < 0)
        return (int)syscall(SYS_fdatasync, fd);
    if (ends_with(name, "/spool")) {
        spool_syncing = 1;
        for (int i = 0; meeting && !asked_meanwhile && i < END_MS; i++)
            nap(1);
        nap(meeting ? 0 : SLOW_MS);
        spool_syncing = 0;
        spool_synced++;
    } else if (ends_with(name, "-wal") && !spool_synced) {
        log_synced_before++;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* Called by gd_now() in a statement. The sync may begin later than the statement, and it stays until this was
 * asked: that can only be when the two are under way together. */
static int64_t on_ask(const struct gd_clock *c)
{
    (void)c;
    for (int i = 0; watching && meeting && !spool_syncing && !spool_synced && i < END_MS; i++)
        nap(1);
    if (watching && spool_syncing)
        asked_meanwhile++;
    return gd_now(gd_clock_system());
}

static int64_t on_mono(const struct gd_clock *c)
{
    (void)c;
    return gd_mono(gd_clock_system());
}

static const struct gd_clock watched = { on_ask, on_mono };

static void begin_watching(void)
{
    assert_int_equal(kit_commit(&k, kit_put(&k, "first", 1, NULL), NULL),
                     GD_STORE_OK); /* and is found whole */
    spool_syncing = spool_synced = log_synced_before = asked_meanwhile = 0;
    watching = true;
}

static struct gd_tx *answer(const char *key)
{
    GD_SQL(sql_now, "INSERT INTO kv (workspace, k, v) VALUES ('w', $1, gd_now())");
    struct gd_tx *tx = gd_tx_new(k.s);

    gd_tx_add(tx, &sql_now, GD_P_TEXT(key));
    gd_tx_spool(tx, key, strlen(key));
    return tx;
}

static void statements_run_beside_the_sync(void **state)
{
    (void)state;
    begin_watching();
    meeting = true;
    assert_int_equal(kit_commit(&k, answer("a"), NULL), GD_STORE_OK);
    meeting = false;
    assert_int_equal(spool_synced, 1);
    assert_int_equal(asked_meanwhile, 1);
    watching = false;
}

static void the_commit_waits_for_the_sync(void **state)
{
    (void)state;
    begin_watching();
    for (int i = 0; i < 3; i++) {
        char key[8];

        spool_synced = 0;
        (void)snprintf(key, sizeof key, "b%d", i);
        assert_int_equal(kit_commit(&k, answer(key), NULL), GD_STORE_OK);
        assert_int_equal(spool_synced, 1);
    }
    assert_int_equal(log_synced_before, 0);
    watching = false;
}

/* One that is refused never comes to a commit: its answer is on disk all the same when that is told. */
static void what_is_refused_is_waited_for(void **state)
{
    struct gd_tx *tx;

    (void)state;
    begin_watching();
    tx = kit_put(&k, "first", 2, "refused");
    assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_FAILED);
    assert_int_equal(spool_synced, 1);
    watching = false;
}

static int setup(void **state)
{
    (void)state;
    kit_init(&k);
    k.clock = &watched;
    return kit_open(&k, NULL);
}

static int teardown(void **state)
{
    (void)state;
    watching = meeting = false;
    kit_done(&k);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(statements_run_beside_the_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(the_commit_waits_for_the_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_refused_is_waited_for, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
