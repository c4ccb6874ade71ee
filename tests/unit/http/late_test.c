/* A process that slept past the deadline of a request: what was sent whole is awaited once more, what was not
 * is not sent any more. The client's clock stands still but for its sleep, which is a jump of it, and a loop
 * that is not run meanwhile: however slow the machine is, nothing else takes time. */
#include "fixture.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_MS 400

struct sleeper {
    struct gd_clock clock; /* first */
    _Atomic int64_t slept;
};

static int64_t unix_ms(const struct gd_clock *c)
{
    return 1795000000000 + ((const struct sleeper *)(const void *)c)->slept;
}

static int64_t mono_ms(const struct gd_clock *c)
{
    return 1000000 + ((const struct sleeper *)(const void *)c)->slept;
}

static struct sleeper sleeper = { .clock = { unix_ms, mono_ms } };

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    sleeper.slept = 0;
    f->clock = &sleeper.clock;
    fixture_plain(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

/* Until the server has it whole. */
static void ask(struct fixture *f, struct got *g, const char *url)
{
    struct gd_http_request r = fixture_request(url);

    r.method = "POST";
    r.body = "refresh_token=spent";
    r.body_len = strlen(r.body);
    r.timeout_ms = TIMEOUT_MS;
    fixture_send(f, g, &r);
    fixture_reaches(f, 1);
    assert_int_equal(g->order, 0);
}

static void test_answer_in_the_socket(void **state)
{
    struct fixture *f = *state;
    struct got g;

    ask(f, &g, "https://good.test/gate");
    sleeper.slept = 3600 * 1000;
    server_let_go(f->server);
    usleep(50000); /* it lies there now */
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_ANSWER);
    assert_string_equal(g.body, "gate");
    got_free(&g);
}

/* It comes a little later than the waking. */
static void test_answer_on_its_way(void **state)
{
    struct fixture *f = *state;
    struct got g;

    ask(f, &g, "https://good.test/gate");
    sleeper.slept = 3600 * 1000;
    usleep((TIMEOUT_MS + 50) * 1000);
    fixture_turn(f, 100);
    assert_int_equal(g.order, 0);
    server_let_go(f->server);
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_ANSWER);
    got_free(&g);
}

static void test_only_once(void **state)
{
    struct fixture *f = *state;
    struct got g;

    ask(f, &g, "https://good.test/hang");
    sleeper.slept = 3600 * 1000;
    usleep((TIMEOUT_MS + 50) * 1000);
    fixture_turn(f, 50);
    assert_int_equal(g.order, 0);
    sleeper.slept += TIMEOUT_MS - 1; /* it is given its time once more, to the last of it */
    fixture_turn(f, TIMEOUT_MS + 50);
    assert_int_equal(g.order, 0);
    sleeper.slept += 3600 * 1000;
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_UNCERTAIN);
    assert_int_equal(g.err.reason, GD_R_PLATFORM_TIMEOUT);
    got_free(&g);
}

static void test_not_sent_any_more(void **state)
{
    struct gd_http_request r = fixture_request("https://good.test/ok");
    struct fixture *f = *state;
    struct got g;

    r.method = "POST";
    r.body = "a=b";
    r.body_len = 3;
    r.send_by_mono_ms = gd_mono(f->clock) - 1;
    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    assert_int_equal(g.err.reason, GD_R_PLATFORM_TIMEOUT);
    got_free(&g);
    r.send_by_mono_ms = gd_mono(f->clock) + 5000;
    fixture_send(f, &g, &r);
    fixture_wait(f, &g);
    assert_int_equal(g.end, GD_HTTP_ANSWER);
    assert_int_equal(server_requests(f->server), 1);
    got_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answer_in_the_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answer_on_its_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_sent_any_more, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
