/* test_group.c - what is submitted together is one commit: in order, seen by who reads afterwards, and one
 * that is refused takes none of the others along. */
#include "kit.h"

GD_SQL(sql_put, "INSERT INTO kv (workspace, k, v) VALUES ('w', $1, $2)");
GD_SQL(sql_cas, "UPDATE kv SET v = $3 WHERE workspace = 'w' AND k = $1 AND v = $2");

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

static void test_order_of_submission(void **state)
{
    enum { N = 300 };
    static struct shot s[N];
    char key[16];

    (void)state;
    kit_commit(&k, kit_put(&k, "n", 0, NULL), NULL);
    for (int i = 0; i < N; i++) {
        struct gd_tx *tx = gd_tx_new(k.s);

        /* Each one only works upon the one before. */
        gd_tx_add(tx, &sql_cas, GD_P_TEXT("n"), GD_P_INT(i), GD_P_INT(i + 1));
        kit_send(&k, tx, &s[i]);
        if (i % 50 == 0) {
            (void)snprintf(key, sizeof key, "r%d", i);
            assert_int_equal(kit_value(&k, key), -1); /* reads run beside */
        }
    }
    kit_wait(&k, &s[N - 1]);
    for (int i = 0; i < N; i++) {
        assert_int_equal(s[i].r, GD_STORE_OK);
        assert_int_equal(s[i].changes, 1);
        assert_true(i == 0 || s[i].order > s[i - 1].order);
    }
    assert_int_equal(kit_value(&k, "n"), N);
}

static void test_read_your_writes(void **state)
{
    char key[16];

    (void)state;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(kit_commit(&k, kit_put(&k, key, i, NULL), NULL), GD_STORE_OK);
        assert_int_equal(kit_value(&k, key), i);
    }
}

static void test_groups_form(void **state)
{
    enum { N = 64 };
    static struct shot s[N];
    int64_t groups, commits;
    char key[16];

    (void)state;
    kit_close(&k);
    k.o.group_wait_us = 200000;
    k.o.group_max = 16;
    assert_int_equal(kit_open(&k, NULL), 0);
    groups = kit_stat(&k, "groups");
    commits = kit_stat(&k, "commits");
    for (int i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        kit_send(&k, kit_put(&k, key, i, NULL), &s[i]);
    }
    kit_wait(&k, &s[N - 1]);
    assert_int_equal(kit_stat(&k, "groups") - groups, N / 16);
    assert_int_equal(kit_stat(&k, "commits") - commits, N);
}

static uint64_t group_of[4];
static int heard;

static void on_grouped(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    (void)err;
    assert_int_equal(r, GD_STORE_OK);
    *(uint64_t *)arg = gd_tx_group(tx);
    heard++;
}

static void test_one_commit_has_one_number(void **state)
{
    struct gd_tx *none;

    (void)state;
    kit_close(&k);
    k.o.group_wait_us = 200000;
    k.o.group_max = 2;
    assert_int_equal(kit_open(&k, NULL), 0);
    none = gd_tx_new(k.s);
    assert_int_equal(gd_tx_group(none), 0);
    gd_tx_free(none);
    heard = 0;
    for (int i = 0; i < 4; i++) {
        static const char *const keys[] = { "a", "b", "c", "d" };

        gd_store_commit(k.s, kit_put(&k, keys[i], i, NULL), on_grouped, &group_of[i]);
    }
    while (heard < 4)
        uv_run(&k.loop, UV_RUN_ONCE);
    assert_int_not_equal(group_of[0], 0);
    assert_int_equal(group_of[0], group_of[1]);
    assert_int_equal(group_of[2], group_of[3]);
    assert_int_equal(group_of[2], group_of[0] + 1);
}

static void test_group_does_not_wait_for_ever(void **state)
{
    struct shot s;

    (void)state;
    kit_close(&k);
    k.o.group_wait_us = 3000;
    assert_int_equal(kit_open(&k, NULL), 0);
    assert_int_equal(kit_commit(&k, kit_put(&k, "lonely", 1, NULL), &s), GD_STORE_OK);
}

static void test_one_bad_in_a_group(void **state)
{
    enum { N = 20 };
    static struct shot s[N];
    char key[16];

    (void)state;
    kit_close(&k);
    k.o.group_wait_us = 500000;
    k.o.group_max = N;
    assert_int_equal(kit_open(&k, NULL), 0);
    for (int i = 0; i < N; i++) {
        struct gd_tx *tx;

        (void)snprintf(key, sizeof key, "k%d", i);
        tx = kit_put(&k, key, i, NULL);
        if (i == 7 || i == 13) /* the second statement refuses; the first must be undone, alone */
            gd_tx_add(tx, &sql_put, GD_P_TEXT("k0"), GD_P_INT(99));
        kit_send(&k, tx, &s[i]);
    }
    kit_wait(&k, &s[N - 1]);
    for (int i = 0; i < N; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(s[i].r, i == 7 || i == 13 ? GD_STORE_FAILED : GD_STORE_OK);
        assert_int_equal(kit_value(&k, key), i == 7 || i == 13 ? -1 : i);
    }
    assert_int_equal(kit_stat(&k, "groups"), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_order_of_submission),
        T(test_read_your_writes),
        T(test_groups_form),
        T(test_one_commit_has_one_number),
        T(test_group_does_not_wait_for_ever),
        T(test_one_bad_in_a_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
