/* test_store.c - the promises of store.h while nothing fails. */
#include "kit.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

GD_SQL(sql_put, "INSERT INTO kv (workspace, k, v) VALUES ('w', $1, $2)");
GD_SQL(sql_swap, "SELECT $2, $1, $2");
GD_SQL(sql_data, "INSERT INTO kv (workspace, k, v, data) VALUES ('w', $1, $2, $3) RETURNING k");
GD_SQL(sql_get_data, "SELECT data, k, v, NULL FROM kv WHERE workspace = 'w' AND k = $1");
GD_SQL(sql_cas, "UPDATE kv SET v = $3 WHERE workspace = 'w' AND k = $1 AND v = $2");
GD_SQL(sql_upsert, "INSERT INTO kv (workspace, k, v) VALUES ('w', $1, $2) "
                   "ON CONFLICT (workspace, k) DO UPDATE SET v = excluded.v");
GD_SQL(sql_all, "SELECT k, v FROM kv WHERE workspace = 'w' ORDER BY k");
GD_SQL(sql_delete, "DELETE FROM kv WHERE workspace = 'w' AND k = $1");
GD_SQL(sql_grow, "UPDATE kv SET data = $2 WHERE workspace = 'w' AND k = $1");
GD_SQL(sql_two, "SELECT 1; SELECT 2");
GD_SQL(sql_wrong, "SELECT nothing FROM nowhere");
GD_SQL(sql_qmark, "SELECT ?");
GD_SQL(sql_now, "SELECT gd_now()");
GD_SQL(sql_era, "SELECT LENGTH(gd_era())");
GD_SQL(sql_until, "UPDATE kv SET v = gd_now() + $1 WHERE workspace = 'w' AND v <= gd_now()");

static struct kit k;

static int setup(void **state)
{
    struct gd_err err = { 0 };

    (void)state;
    kit_init(&k);
    assert_int_equal(kit_open(&k, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_done(&k);
    return 0;
}

static void test_commit_and_read(void **state)
{
    struct shot s;

    (void)state;
    assert_int_equal(kit_commit(&k, kit_put(&k, "a", 7, NULL), &s), GD_STORE_OK);
    assert_int_equal(s.changes, 1);
    assert_int_equal(kit_value(&k, "a"), 7);
    assert_int_equal(kit_value(&k, "b"), -1);
}

static void test_done_never_inside(void **state)
{
    struct shot s[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        kit_send(&k, kit_put(&k, i == 1 ? "b" : "a", i, NULL), &s[i]);
        assert_int_equal(s[i].calls, 0);
        usleep(20000);
        assert_int_equal(s[i].calls, 0);
    }
    for (int i = 0; i < 3; i++)
        kit_wait(&k, &s[i]);
    assert_int_equal(s[2].r, GD_STORE_FAILED);
    assert_int_equal(s[2].err.reason, GD_R_CONFLICT);
    assert_int_equal(s[2].calls, 1);
}

static void test_parameters_by_number(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;

    (void)state;
    gd_tx_add(tx, &sql_swap, GD_P_TEXT("one"), GD_P_TEXT("two"));
    assert_int_equal(kit_read(&k, tx, &s), GD_STORE_OK);
    assert_string_equal(s.text, "two");
}

struct seen {
    bool done;
    size_t n;
    unsigned char bytes[8];
    bool null, same, far;
};

static void on_seen(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct seen *s = arg;
    const void *p = gd_tx_bytes(tx, 0, 0, 0, &s->n);

    assert_null(err);
    assert_int_equal(r, GD_STORE_OK);
    assert_in_range(s->n, 1, sizeof s->bytes);
    memcpy(s->bytes, p, s->n);
    s->null = gd_tx_is_null(tx, 0, 0, 3) && !gd_tx_is_null(tx, 0, 0, 1) && !gd_tx_text(tx, 0, 0, 3);
    s->same = !strcmp(gd_tx_text(tx, 0, 0, 1), "k\xc3\xa9") && gd_tx_int(tx, 0, 0, 2) == INT64_MIN;
    s->far = gd_tx_int(tx, 0, 1, 0) == 0 && gd_tx_int(tx, 1, 0, 0) == 0 && !gd_tx_text(tx, 0, 0, 9) &&
             gd_tx_rows(tx, 1) == 0 && gd_tx_changes(tx, 5) == 0;
    s->done = true;
}

static void test_values_come_back(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct seen seen = { 0 };
    struct shot s;

    (void)state;
    gd_tx_add(tx, &sql_data, GD_P_TEXT("k\xc3\xa9"), GD_P_INT(INT64_MIN), GD_P_BYTES("\0\1\0\xff", 4));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_OK);
    assert_string_equal(s.text, "k\xc3\xa9"); /* RETURNING */
    assert_int_equal(s.changes, 1);
    tx = gd_tx_new(k.s);
    gd_tx_add(tx, &sql_get_data, GD_P_TEXT("k\xc3\xa9"));
    gd_store_read(k.s, tx, on_seen, &seen);
    while (!seen.done)
        uv_run(&k.loop, UV_RUN_ONCE);
    assert_int_equal(seen.n, 4);
    assert_memory_equal(seen.bytes, "\0\1\0\xff", 4);
    assert_true(seen.null);
    assert_true(seen.same);
    assert_true(seen.far);
}

static void test_null_parameter(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;

    (void)state;
    gd_tx_add(tx, &sql_put, GD_P_TEXT(NULL), GD_P_INT(1));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_FAILED);
    assert_int_equal(s.err.reason, GD_R_CONFLICT); /* NOT NULL */
}

static int64_t store_says(const struct gd_sql *sql)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;

    gd_tx_add_(tx, sql, NULL, 0);
    assert_int_equal(kit_read(&k, tx, &s), GD_STORE_OK);
    return s.num;
}

static int64_t store_now(void)
{
    return store_says(&sql_now);
}

/* The timeline of the server; a file has none. That a promotion begins another one: nodes.promoted. */
static void test_era(void **state)
{
    (void)state;
    assert_int_equal(store_says(&sql_era), kit_shared() ? 8 : 0);
}

/* Several nodes on one machine have one clock; a little may lie between two readings of it. */
static void test_now(void **state)
{
    int64_t before = gd_now(gd_clock_system()), now = store_now();
    struct gd_tx *tx;
    struct shot s;

    (void)state;
    assert_in_range(now, before - 100, gd_now(gd_clock_system()) + 100);
    kit_commit(&k, kit_put(&k, "a", now, NULL), NULL);
    for (int round = 0; round < 2; round++) {
        tx = gd_tx_new(k.s);
        gd_tx_add(tx, &sql_until, GD_P_INT(60000));
        assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_OK);
        assert_int_equal(s.changes, round == 0);
    }
    assert_in_range(kit_value(&k, "a"), now + 60000, store_now() + 60000);
}

/* A daemon that travels takes the clock of its store along. */
static void test_now_travels(void **state)
{
    int64_t real = gd_now(gd_clock_system());
    struct gd_clock_virtual v;
    struct gd_err err = { 0 };

    (void)state;
    gd_clock_virtual_init(&v, real + 90000000);
    kit_close(&k);
    k.clock = &v.clock;
    assert_int_equal(kit_open(&k, &err), 0);
    assert_in_range(store_now(), real + 90000000 - 100, real + 90060000);
    gd_clock_virtual_advance(&v, 90000000);
    assert_in_range(store_now(), real + 180000000 - 100, real + 180060000);
}

/* Without others there is nobody to tell: what is named is not even kept. */
static void test_news_of_one_node(void **state)
{
    struct gd_tx *tx = kit_put(&k, "a", 1, NULL);
    size_t used = gd_arena_used(gd_tx_arena(tx));
    bool shared = gd_store_shared(k.s);

    (void)state;
    gd_tx_news(tx, "w", "a");
    assert_int_equal(gd_arena_used(gd_tx_arena(tx)) > used, shared);
    assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
    assert_in_range(gd_store_seen_ms(k.s), 0, shared ? 5000 : 0);
}

static void test_changes_answer_the_condition(void **state)
{
    struct shot s;
    struct gd_tx *tx;

    (void)state;
    kit_commit(&k, kit_put(&k, "a", 1, NULL), NULL);
    for (int round = 0; round < 2; round++) {
        tx = gd_tx_new(k.s);
        gd_tx_add(tx, &sql_cas, GD_P_TEXT("a"), GD_P_INT(1), GD_P_INT(2));
        assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_OK);
        assert_int_equal(s.changes, round == 0);
    }
    tx = gd_tx_new(k.s);
    gd_tx_add(tx, &sql_upsert, GD_P_TEXT("a"), GD_P_INT(5));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_OK);
    assert_int_equal(s.changes, 1);
    assert_int_equal(kit_value(&k, "a"), 5);
}

static void test_atomic(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;

    (void)state;
    gd_tx_add(tx, &sql_put, GD_P_TEXT("x"), GD_P_INT(1));
    gd_tx_add(tx, &sql_put, GD_P_TEXT("y"), GD_P_INT(1));
    gd_tx_add(tx, &sql_put, GD_P_TEXT("x"), GD_P_INT(2));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_FAILED);
    assert_int_equal(s.changes, 0);
    assert_int_equal(kit_rows(&k), 0);
}

static void test_bad_statements(void **state)
{
    static const struct gd_sql *const bad[] = { &sql_two, &sql_wrong, &sql_qmark };
    struct shot s;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (int reading = 0; reading < 2; reading++) {
            struct gd_tx *tx = gd_tx_new(k.s);

            if (i == 2)
                gd_tx_add(tx, bad[i], GD_P_INT(1));
            else
                gd_tx_add_(tx, bad[i], NULL, 0);
            assert_int_equal(reading ? kit_read(&k, tx, &s) : kit_commit(&k, tx, &s), GD_STORE_FAILED);
            assert_int_equal(s.err.reason, GD_R_STORE_FAILED);
            assert_true(s.err.text[0] != '\0');
        }
    assert_int_equal(kit_commit(&k, kit_put(&k, "after", 1, NULL), NULL), GD_STORE_OK);
}

static void test_wrong_number_of_parameters(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;

    (void)state;
    gd_tx_add(tx, &sql_put, GD_P_TEXT("x"));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_FAILED);
    tx = gd_tx_new(k.s);
    gd_tx_add(tx, &sql_put, GD_P_TEXT("x"), GD_P_INT(1), GD_P_INT(2));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_FAILED);
    assert_int_equal(kit_rows(&k), 0);
}

static void test_reader_cannot_write(void **state)
{
    struct shot s;

    (void)state;
    assert_int_equal(kit_read(&k, kit_put(&k, "x", 1, NULL), &s), GD_STORE_FAILED);
    assert_int_equal(kit_rows(&k), 0);
}

static void test_consistent_view(void **state)
{
    /* Two rows always change together; a read of two statements must never see them differ. */
    struct shot w[40], a;
    struct gd_tx *tx = kit_put(&k, "a", 0, NULL);
    GD_SQL(sql_set, "UPDATE kv SET v = $1 WHERE workspace = 'w'");
    GD_SQL(sql_diff, "SELECT max(v) - min(v) FROM kv WHERE workspace = 'w'");

    (void)state;
    gd_tx_add(tx, &sql_put, GD_P_TEXT("b"), GD_P_INT(0));
    kit_commit(&k, tx, NULL);
    for (int i = 0; i < 40; i++) {
        tx = gd_tx_new(k.s);
        gd_tx_add(tx, &sql_set, GD_P_INT(i));
        kit_send(&k, tx, &w[i]);
        tx = gd_tx_new(k.s);
        gd_tx_add_(tx, &sql_diff, NULL, 0);
        gd_tx_add_(tx, &sql_all, NULL, 0);
        assert_int_equal(kit_read(&k, tx, &a), GD_STORE_OK);
        assert_int_equal(a.num, 0);
    }
    kit_wait(&k, &w[39]);
}

static void test_many_rows(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;
    char key[16];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "k%04d", i);
        gd_tx_add(tx, &sql_put, GD_P_TEXT(key), GD_P_INT(i));
    }
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_OK);
    tx = gd_tx_new(k.s);
    gd_tx_add_(tx, &sql_all, NULL, 0);
    assert_int_equal(kit_read(&k, tx, &s), GD_STORE_OK);
    assert_int_equal(s.rows, 1000);
    assert_string_equal(s.text, "k0000");
}

static void add_value(void *arg, const struct gd_row *row)
{
    int64_t *sum = arg;
    size_t n;

    assert_non_null(gd_row_text(row, 0));
    assert_non_null(gd_row_bytes(row, 0, &n));
    assert_int_equal(n, 5);
    assert_null(gd_row_text(row, 7));
    *sum += gd_row_int(row, 1);
}

static void test_scan(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct gd_err err = { 0 };
    int64_t sum = 0;
    char key[16];

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "k%04d", i);
        gd_tx_add(tx, &sql_put, GD_P_TEXT(key), GD_P_INT(i));
    }
    assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
    assert_int_equal(gd_store_scan(k.s, &sql_all, add_value, &sum, &err), 0);
    assert_int_equal(sum, 4950);
    assert_int_equal(gd_store_scan(k.s, &sql_wrong, add_value, &sum, &err), -1);
    assert_int_equal(err.reason, GD_R_STORE_FAILED);
    assert_int_equal(gd_store_scan(k.s, &sql_delete, add_value, &sum, NULL), -1);
    assert_int_equal(kit_rows(&k), 100);
}

static void test_too_large(void **state)
{
    static char big[GD_SPOOL_RECORD_MAX + 1];
    struct gd_tx *tx = kit_put(&k, "a", 1, NULL);
    struct shot s;
    char *huge = gd_new(GD_STORE_TX_MAX);

    (void)state;
    gd_tx_spool(tx, big, sizeof big);
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_FAILED);
    assert_int_equal(s.err.reason, GD_R_LIMIT_REACHED);
    tx = gd_tx_new(k.s);
    gd_tx_add(tx, &sql_data, GD_P_TEXT("a"), GD_P_INT(1), GD_P_BYTES(huge, GD_STORE_TX_MAX));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_FAILED);
    assert_int_equal(s.err.reason, GD_R_LIMIT_REACHED);
    tx = gd_tx_new(k.s);
    gd_tx_add(tx, &sql_data, GD_P_TEXT("a"), GD_P_INT(1), GD_P_BYTES(huge, 5 * 1024 * 1024));
    assert_int_equal(kit_commit(&k, tx, &s), GD_STORE_FAILED);
    assert_int_equal(s.err.reason, GD_R_LIMIT_REACHED); /* larger than a value may be */
    assert_int_equal(kit_rows(&k), 0);
    gd_free(huge);
}

static void test_result_too_large(void **state)
{
    GD_SQL(sql_cross, "SELECT a.v FROM kv a, kv b, kv c WHERE a.workspace = 'w'");
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;
    char key[16];

    (void)state;
    for (int i = 0; i < 50; i++) {
        (void)snprintf(key, sizeof key, "k%04d", i);
        gd_tx_add(tx, &sql_put, GD_P_TEXT(key), GD_P_INT(i));
    }
    assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
    tx = gd_tx_new(k.s);
    gd_tx_add_(tx, &sql_cross, NULL, 0);
    assert_int_equal(kit_read(&k, tx, &s), GD_STORE_FAILED);
    assert_int_equal(s.err.reason, GD_R_LIMIT_REACHED);
    assert_int_equal(s.rows, 0);
}

static void test_close_finishes_then_refuses(void **state)
{
    enum { N = 100 };
    static struct shot s[N];
    struct shot late;
    struct gd_store *store = k.s;
    struct gd_tx *tx;
    char key[16];

    (void)state;
    for (int i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        kit_send(&k, kit_put(&k, key, i, NULL), &s[i]);
    }
    tx = kit_put(&k, "late", 1, NULL);
    gd_store_close(store, NULL, NULL);
    k.s = store;
    kit_send(&k, tx, &late);
    assert_int_equal(late.calls, 0);
    k.s = NULL;
    uv_run(&k.loop, UV_RUN_DEFAULT);
    for (int i = 0; i < N; i++) {
        assert_int_equal(s[i].calls, 1);
        assert_int_equal(s[i].r, GD_STORE_OK);
    }
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.err.reason, GD_R_SHUTTING_DOWN);
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_rows(&k), N);
}

static void test_files_are_private(void **state)
{
    static const char *const names[] = { "", "-wal", "-shm", ".lock", ".ballast" };
    struct stat st;
    char name[128];

    (void)state;
    kit_commit(&k, kit_put(&k, "a", 1, "rec"), NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(name, sizeof name, "%s%s", k.path, names[i]);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_true(i != 4 || st.st_size == GD_STORE_BALLAST);
    }
    assert_int_equal(stat(k.spool, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* True when the bytes stand in any file of the folder but the spool. */
static bool on_disk(const char *bytes)
{
    char cmd[256];
    int rc;
    pid_t pid = fork();

    if (pid == 0) {
        (void)snprintf(cmd, sizeof cmd, "%s", k.dir);
        execlp("grep", "grep", "-rqF", "--exclude=spool", bytes, cmd, (char *)NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    assert_true(WIFEXITED(rc) && WEXITSTATUS(rc) < 2);
    return WEXITSTATUS(rc) == 0;
}

static void test_deleted_is_gone(void **state)
{
    struct gd_tx *tx;

    (void)state;
    kit_commit(&k, kit_put(&k, "CANARY-4711", 1, NULL), NULL);
    assert_true(on_disk("CANARY-4711"));
    tx = gd_tx_new(k.s);
    gd_tx_add(tx, &sql_delete, GD_P_TEXT("CANARY-4711"));
    assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
    kit_close(&k);
    assert_false(on_disk("CANARY-4711"));
}

#define MOVED 3000

/* Every second one is deleted later; the others keep its page alive. */
static struct gd_param key_of(char out[16], int i)
{
    (void)snprintf(out, 16, "%s%04d.", i % 2 ? "stays" : "moved", i);
    return GD_P_TEXT(out);
}

/* Rows that grow are moved to other pages, and copies of them stay behind. */
static void put_and_grow(void)
{
    struct gd_tx *put = gd_tx_new(k.s), *grow = gd_tx_new(k.s);
    GD_AUTO_FREE char *pad = gd_new(200);
    char key[16];

    for (int i = 0; i < MOVED; i++)
        gd_tx_add(put, &sql_put, key_of(key, i), GD_P_INT(i));
    gd_tx_spool(put, "moved by a spool", 16);
    assert_int_equal(kit_commit(&k, put, NULL), GD_STORE_OK);
    for (int i = 0, at = 7; i < MOVED; i++, at = (at + 1361) % MOVED)
        gd_tx_add(grow, &sql_grow, key_of(key, at), GD_P_BYTES(pad, (size_t)(at * 7919 % 200)));
    assert_int_equal(kit_commit(&k, grow, NULL), GD_STORE_OK);
}

static void test_scrub(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    char name[128], key[16];
    struct shot s;
    struct stat st;

    (void)state;
    put_and_grow();
    for (int i = 0; i < MOVED; i += 2)
        gd_tx_add(tx, &sql_delete, key_of(key, i));
    assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
    assert_true(on_disk("moved"));
    kit_scrub(&k, &s);
    assert_int_equal(s.r, GD_STORE_OK);
    assert_false(on_disk("moved"));
    (void)snprintf(name, sizeof name, "%s-wal", k.path);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(stat(k.spool, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(kit_rows(&k), MOVED / 2);
    assert_int_equal(kit_commit(&k, kit_put(&k, "more", 6, "rec"), NULL), GD_STORE_OK);
    assert_int_equal(kit_value(&k, "more"), 6);
}

/* Somebody else reads the file: what is deleted stays deleted, but a copy is left, and the caller hears it.
 */
static void test_scrub_while_read(void **state)
{
    struct shot s = { 0 };
    int to[2], from[2], rc;
    pid_t pid;
    char byte = 0;

    (void)state;
    kit_commit(&k, kit_put(&k, "a", 1, NULL), NULL);
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    pid = fork();
    if (pid == 0) {
        (void)dup2(to[0], 0);
        (void)dup2(from[1], 1);
        close(to[1]);
        execlp("sqlite3", "sqlite3", k.path, (char *)NULL);
        _exit(9);
    }
    close(from[1]);
    assert_int_equal(write(to[1], "BEGIN; SELECT k FROM kv;\n", 25), 25);
    assert_int_equal(read(from[0], &byte, 1), 1);
    kit_commit(&k, kit_put(&k, "b", 2, NULL), NULL); /* the reader now needs the log */
    kit_scrub(&k, &s);
    assert_int_equal(s.r, GD_STORE_FAILED);
    assert_int_equal(kit_value(&k, "b"), 2);
    close(to[1]);
    assert_int_equal(waitpid(pid, &rc, 0), pid);
    kit_scrub(&k, &s);
    assert_int_equal(s.r, GD_STORE_OK);
    close(to[0]);
    close(from[0]);
}

/* Asked for with nothing to do, and with something: what is left is whole, and writing goes on. */
static void test_scrub_keeps_the_rest(void **state)
{
    struct gd_tx *tx = gd_tx_new(k.s);
    struct shot s;

    (void)state;
    kit_scrub(&k, &s);
    assert_int_equal(s.r, GD_STORE_OK);
    kit_commit(&k, kit_put(&k, "goes", 1, "rec"), NULL);
    kit_commit(&k, kit_put(&k, "stays", 2, NULL), NULL);
    gd_tx_add(tx, &sql_delete, GD_P_TEXT("goes"));
    kit_commit(&k, tx, NULL);
    kit_scrub(&k, &s);
    assert_int_equal(s.r, GD_STORE_OK);
    assert_int_equal(kit_value(&k, "goes"), -1);
    assert_int_equal(kit_value(&k, "stays"), 2);
    assert_int_equal(kit_commit(&k, kit_put(&k, "more", 6, "rec"), NULL), GD_STORE_OK);
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(kit_stat(&k, "version"), 2);
    assert_int_equal(kit_stat(&k, "queue"), 0);
    assert_true(kit_stat(&k, "bytes") > 4096);
    assert_int_equal(kit_stat(&k, "spool_usable"), 1);
    assert_int_equal(kit_stat(&k, "has_room"), 1);
    assert_true(kit_stat(&k, "last_commit_ms") >= 0);
}

static void test_spool_needs_a_spool(void **state)
{
    struct shot s;

    (void)state;
    kit_close(&k);
    k.o.spool_path = NULL;
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_commit(&k, kit_put(&k, "a", 1, "rec"), &s), GD_STORE_FAILED);
    assert_int_equal(kit_rows(&k), 0);
    assert_int_equal(gd_store_spool_replay(k.s, NULL, NULL, NULL), 0);
    assert_int_equal(gd_store_spool_clear(k.s, NULL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_commit_and_read),
        T(test_done_never_inside),
        T(test_parameters_by_number),
        T(test_values_come_back),
        T(test_null_parameter),
        T(test_now),
        T(test_era),
        T(test_now_travels),
        T(test_news_of_one_node),
        T(test_changes_answer_the_condition),
        T(test_atomic),
        T(test_bad_statements),
        T(test_wrong_number_of_parameters),
        T(test_reader_cannot_write),
        T(test_consistent_view),
        T(test_many_rows),
        T(test_scan),
        T(test_too_large),
        T(test_result_too_large),
        T(test_close_finishes_then_refuses),
        T(test_scrub_keeps_the_rest),
        T(test_status),
        T(test_spool_needs_a_spool),
    };

    const struct CMUnitTest file_tests[] = {
        T(test_files_are_private),
        T(test_deleted_is_gone),
        T(test_scrub),
        T(test_scrub_while_read),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    /* what is seen of the embedded engine from outside */
    return kit_shared() ? rc : rc + cmocka_run_group_tests(file_tests, NULL, NULL);
}
