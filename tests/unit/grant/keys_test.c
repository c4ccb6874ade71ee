/* keys_test.c - a data key that is asked for several times while it is being made: nobody gets it before it
 * is durable, all get the same one, and when it could not be made all hear so and the next one who asks
 * begins anew. */
#include "base/rng.h"
#include "grant/broker_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

GD_SQL(sql_keys, "SELECT count(*) FROM data_keys WHERE workspace = 'main' AND client_id = $1"
                 " AND state = 'active'");
GD_SQL(sql_erased, "INSERT INTO data_keys (workspace, client_id, id, state, kek, wrapped, created_at)"
                   " VALUES ('main', $1, 'dk', 'erased', '', $2, 0)");
GD_SQL(sql_drop, "DROP TABLE data_keys");
GD_SQL(sql_use, "INSERT INTO meta (name, value) VALUES ('kek', $1) ON CONFLICT (name) DO UPDATE"
                " SET value = excluded.value");
GD_SQL(sql_under, "SELECT count(*) FROM data_keys WHERE client_id = $1 AND kek = $2");

struct kit {
    char dir[64], path[96];
    uv_loop_t loop;
    struct gd_store *keys;
    char kek[GD_KEK_ID];
    struct gd_broker b;
};

struct got {
    struct kit *k;
    int calls;
    const struct gd_dek *dek;
    struct gd_err err;
};

struct read {
    bool done;
    int64_t rows;
};

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct read *a = arg;

    (void)err;
    a->done = true;
    a->rows = r == GD_STORE_OK ? gd_tx_int(tx, 0, 0, 0) : -1;
}

static int64_t rows(struct kit *k, const char *client)
{
    struct gd_tx *tx = gd_tx_new(k->keys);
    struct read a = { 0 };

    gd_tx_add(tx, &sql_keys, GD_P_TEXT(client));
    gd_store_read(k->keys, tx, on_read, &a);
    while (!a.done)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    return a.rows;
}

static void change(struct kit *k, const struct gd_sql *sql, const struct gd_param *params, size_t n)
{
    struct gd_tx *tx = gd_tx_new(k->keys);
    struct read a = { 0 };

    gd_tx_add_(tx, sql, params, n);
    gd_store_commit(k->keys, tx, on_read, &a);
    while (!a.done)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
}

static void in_use(struct kit *k, const char *kek)
{
    const struct gd_param p[] = { GD_P_TEXT(kek) };

    change(k, &sql_use, p, 1);
}

static int64_t rows_under(struct kit *k, const char *client, const char *kek)
{
    struct gd_tx *tx = gd_tx_new(k->keys);
    struct read a = { 0 };

    gd_tx_add(tx, &sql_under, GD_P_TEXT(client), GD_P_TEXT(kek));
    gd_store_read(k->keys, tx, on_read, &a);
    while (!a.done)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    return a.rows;
}

static int setup(void **state)
{
    struct kit *k = gd_new(sizeof *k);
    unsigned char kek[32] = { 7 };
    struct gd_store_options o = { .migrations = gd_keys_migrations, .nmigrations = gd_keys_nmigrations };

    (void)snprintf(k->dir, sizeof k->dir, "/tmp/gdkeysXXXXXX");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->path, sizeof k->path, "%s/keyring.db", k->dir);
    o.path = k->path;
    assert_int_equal(uv_loop_init(&k->loop), 0);
    assert_int_equal(gd_store_open(&k->keys, &k->loop, &o, gd_clock_system(), NULL, NULL), 0);
    k->b.d.loop = &k->loop;
    k->b.d.keys = k->keys;
    k->b.d.keyring = gd_keyring_new();
    assert_int_equal(gd_keyring_add_kek(k->b.d.keyring, kek, "a test", k->kek, NULL), 0);
    assert_true(gd_keyring_use(k->b.d.keyring, k->kek));
    in_use(k, k->kek);
    k->b.d.clock = gd_clock_system();
    k->b.d.rng = gd_rng_system();
    *state = k;
    return 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    static const char *const names[] = { "", "-wal", "-shm", ".lock", ".ballast" };
    struct kit *k = *state;
    bool closed = false;

    assert_int_equal(k->b.busy, 0);
    gd_store_close(k->keys, on_closed, &closed);
    (void)uv_run(&k->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    gd_keyring_free(k->b.d.keyring);
    gd_map_done(&k->b.deks, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        GD_AUTO_FREE char *name = gd_strf("%s%s", k->path, names[i]);

        (void)unlink(name);
    }
    assert_int_equal(rmdir(k->dir), 0);
    gd_free(k);
    return 0;
}

static void on_dek(void *arg, const struct gd_dek *dek, const struct gd_err *err)
{
    struct got *g = arg;

    g->calls++;
    g->dek = dek;
    assert_int_equal(g->k->b.deks.count, 0); /* the commit is over: nothing is being made any more */
    if (err)
        g->err = *err;
}

/* Asks n times while none is there, and waits until all are told. */
static void ask(struct kit *k, const char *client, struct got *g, int n)
{
    for (int i = 0; i < n; i++) {
        g[i] = (struct got){ .k = k };
        gd_dek_need(&k->b, "main", client, on_dek, &g[i]);
        /* It is in memory from the first call on; that is not what is asked. */
        assert_non_null(gd_keyring_dek(k->b.d.keyring, "main", client));
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(g[i].calls, 0);
    assert_int_equal(k->b.busy, n);
    while (k->b.busy)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
    for (int i = 0; i < n; i++)
        assert_int_equal(g[i].calls, 1);
}

static void test_all_get_the_same(void **state)
{
    struct kit *k = *state;
    struct got g[3];

    ask(k, "cl1", g, 3);
    assert_int_equal(rows(k, "cl1"), 1); /* one key, and it is durable */
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(g[i].dek, gd_keyring_dek(k->b.d.keyring, "main", "cl1"));
    ask(k, "cl2", g, 1);
    assert_int_equal(rows(k, "cl1") + rows(k, "cl2"), 2);
}

static void test_all_hear_that_the_client_is_erased(void **state)
{
    struct kit *k = *state;
    struct got g[2];
    const struct gd_param p[] = { GD_P_TEXT("cl1"), GD_P_BYTES("", 0) };

    change(k, &sql_erased, p, 2);
    ask(k, "cl1", g, 2);
    for (int i = 0; i < 2; i++) {
        assert_null(g[i].dek);
        assert_int_equal(g[i].err.reason, GD_R_CLIENT_ENDED);
    }
    assert_null(gd_keyring_dek(k->b.d.keyring, "main", "cl1")); /* nothing can be sealed under it */
    assert_int_equal(rows(k, "cl1"), 0);
}

static void test_all_hear_that_the_store_failed(void **state)
{
    struct kit *k = *state;
    struct got g[2];

    change(k, &sql_drop, NULL, 0);
    for (int again = 0; again < 2; again++) { /* the next one begins anew */
        ask(k, "cl1", g, 2);
        for (int i = 0; i < 2; i++) {
            assert_null(g[i].dek);
            assert_int_not_equal(g[i].err.reason, GD_R_OK);
        }
        assert_null(gd_keyring_dek(k->b.d.keyring, "main", "cl1"));
    }
}

/* Another node has begun to use another KEK, and this one has not heard of it. */
static void test_follows_the_kek_in_use(void **state)
{
    struct kit *k = *state;
    const unsigned char kek[32] = { 8 };
    char later[GD_KEK_ID];
    struct got g[2];

    assert_int_equal(gd_keyring_add_kek(k->b.d.keyring, kek, "a test", later, NULL), 0);
    in_use(k, later);
    ask(k, "cl1", g, 2);
    assert_non_null(g[0].dek);
    assert_ptr_equal(g[1].dek, g[0].dek);
    assert_int_equal(rows_under(k, "cl1", later), 1);
    assert_int_equal(rows(k, "cl1"), 1);
    in_use(k, "0011223344556677"); /* one that is not here: nothing is made that this node cannot open */
    ask(k, "cl2", g, 1);
    assert_null(g[0].dek);
    assert_int_equal(g[0].err.reason, GD_R_KEY_WRONG);
    assert_null(gd_keyring_dek(k->b.d.keyring, "main", "cl2"));
    assert_int_equal(rows(k, "cl2"), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_all_get_the_same),
        T(test_follows_the_kek_in_use),
        T(test_all_hear_that_the_client_is_erased),
        T(test_all_hear_that_the_store_failed),
    };

    gd_json_setup();
    if (gd_crypto_setup(NULL) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
