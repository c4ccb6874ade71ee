/* test_node.c - names of nodes and their workers, on the embedded engine, which serves one process. What
 * several do together is tested with daemons: tests/daemon/test_nodes.py. */
#include "base/limits.h"
#include "base/mem.h"
#include "node/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct gd_migration migrations[] = { { .name = "nodes", .statements = gd_nodes_tables },
                                                  { .name = "shown", .statements = gd_nodes_shown },
                                                  { .name = "about", .statements = gd_nodes_about },

                                                  { .name = "eras", .statements = gd_nodes_eras } };

struct box {
    uv_loop_t loop;
    struct gd_store *store;
    struct gd_log *log;
    char dir[64], path[96];
};

static int setup(void **state)
{
    struct box *b = gd_new(sizeof *b);
    struct gd_store_options o = { .migrations = migrations, .nmigrations = 4, .group_max = 16 };
    unsigned char key[32] = { 0 };
    struct gd_err err;

    (void)snprintf(b->dir, sizeof b->dir, "/tmp/grantd-node-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    (void)snprintf(b->path, sizeof b->path, "%s/store.db", b->dir);
    o.path = b->path;
    uv_loop_init(&b->loop);
    b->log = gd_log_new(STDERR_FILENO, GD_LOG_ERROR, gd_clock_system(), key);
    assert_int_equal(gd_store_open(&b->store, &b->loop, &o, gd_clock_system(), b->log, &err), 0);
    *state = b;
    return 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_nodes(struct box *b, struct gd_nodes *n)
{
    bool closed = false;

    gd_nodes_close(n, on_closed, &closed);
    while (!closed)
        uv_run(&b->loop, UV_RUN_ONCE);
}

static int teardown(void **state)
{
    struct box *b = *state;
    char command[128];
    bool closed = false;

    gd_store_close(b->store, on_closed, &closed);
    while (!closed)
        uv_run(&b->loop, UV_RUN_ONCE);
    uv_loop_close(&b->loop);
    gd_log_free(b->log);
    for (size_t i = 0; i < 4; i++) {
        static const char *const tails[] = { "", "-wal", "-shm", ".lock" };

        (void)snprintf(command, sizeof command, "%s%s", b->path, tails[i]);
        (void)unlink(command);
    }
    (void)snprintf(command, sizeof command, "%s.ballast", b->path);
    (void)unlink(command);
    (void)rmdir(b->dir);
    gd_free(b);
    return 0;
}

static int open_nodes(struct box *b, struct gd_nodes **ret, const char *place, struct gd_err *err)
{
    struct gd_nodes_options o = { .name = "nd1", .place = place };

    return gd_nodes_open(ret, &b->loop, b->store, &o, gd_clock_system(), b->log, err);
}

static void test_each_start_is_another_worker(void **state)
{
    struct gd_nodes *one, *two;
    struct gd_err err;

    assert_int_equal(open_nodes(*state, &one, "here", &err), 0);
    assert_string_equal(gd_nodes_worker(one), "nd1.1");
    assert_int_equal(open_nodes(*state, &two, "here", &err), 0);
    assert_string_equal(gd_nodes_worker(two), "nd1.2");
    assert_string_equal(gd_nodes_prefix(two), "nd1.");
    close_nodes(*state, one);
    close_nodes(*state, two);
}

/* The embedded engine's start: nothing is written, and yet no worker has a name of before. */
static void test_alone_nothing_is_written(void **state)
{
    struct box *b = *state;
    struct gd_rng_seeded r;
    struct gd_nodes_options o = { .name = "nd1", .place = "here", .alone = &r.rng };
    struct gd_nodes *one, *two;
    struct gd_err err;
    GD_AUTO_JSON before = gd_store_status(b->store);
    GD_AUTO_JSON after = NULL;

    gd_rng_seed(&r, 1);
    assert_int_equal(gd_nodes_open(&one, &b->loop, b->store, &o, gd_clock_system(), b->log, &err), 0);
    assert_int_equal(gd_nodes_open(&two, &b->loop, b->store, &o, gd_clock_system(), b->log, &err), 0);
    assert_memory_equal(gd_nodes_worker(one), "nd1.wk", 6);
    assert_memory_equal(gd_nodes_worker(two), "nd1.wk", 6);
    assert_string_not_equal(gd_nodes_worker(one), gd_nodes_worker(two));
    close_nodes(b, one);
    close_nodes(b, two);
    after = gd_store_status(b->store);
    assert_int_equal(gd_json_i64(before, "commits", -1), gd_json_i64(after, "commits", -2));
}

static void test_a_copied_state_directory_is_refused(void **state)
{
    struct gd_nodes *one, *copy = NULL;
    struct gd_err err;

    assert_int_equal(open_nodes(*state, &one, "here", &err), 0);
    assert_int_equal(open_nodes(*state, &copy, "elsewhere", &err), -1);
    assert_int_equal(err.reason, GD_R_NODE_NAME_TAKEN);
    assert_null(copy);
    close_nodes(*state, one);
}

static int open_other(struct box *b, struct gd_nodes **ret, unsigned i, struct gd_err *err)
{
    char name[16];
    struct gd_nodes_options o = { .name = name, .place = "here" };

    (void)snprintf(name, sizeof name, "nd%u", i);
    return gd_nodes_open(ret, &b->loop, b->store, &o, gd_clock_system(), b->log, err);
}

static void test_more_than_there_may_be(void **state)
{
    struct gd_nodes *all[GD_NODES_MAX], *more = NULL;
    struct gd_err err;

    for (unsigned i = 0; i < GD_NODES_MAX; i++)
        assert_int_equal(open_other(*state, &all[i], i, &err), 0);
    assert_int_equal(open_other(*state, &more, GD_NODES_MAX, &err), -1);
    assert_int_equal(err.reason, GD_R_NODES_TOO_MANY); /* NODES_TOO_MANY */
    assert_null(more);
    close_nodes(*state, all[0]); /* one of them may always start again */
    assert_int_equal(open_other(*state, &all[0], 0, &err), 0);
    for (unsigned i = 0; i < GD_NODES_MAX; i++)
        close_nodes(*state, all[i]);
}

static void test_one_node_does_everything(void **state)
{
    struct gd_nodes *n;
    struct gd_err err;
    struct gd_id id = { { 0 } };

    assert_int_equal(open_nodes(*state, &n, "here", &err), 0);
    for (unsigned i = 0; i < 256; i++) {
        id.b[15] = (unsigned char)i;
        assert_true(gd_nodes_prefers(n, &id));
    }
    assert_int_equal(gd_nodes_live(n), 1);
    assert_true(gd_nodes_take_all(n));
    close_nodes(*state, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_start_is_another_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alone_nothing_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_copied_state_directory_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_there_may_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_node_does_everything, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
