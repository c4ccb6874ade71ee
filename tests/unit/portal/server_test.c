/* Connections on real sockets: order, deadlines, limits, slow and rude clients, closing. Deadlines are short
 * ones given from outside; a test fails when a cut does not come or comes before its time. */
#include "base/mem.h"
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define GET    "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
#define SLOW   150  /* ms of a deadline under test */
#define LATEST 5000 /* ms after which a cut counts as missing */

static void expect(char *answer, int status)
{
    if (status_of(answer) != status)
        print_error("%s\n", answer ? answer : "(nothing)");
    assert_int_equal(status_of(answer), status);
    gd_free(answer);
}

static void test_keep_alive(void **state)
{
    struct world w;
    int fd;
    (void)state;

    world_init(&w);
    world_start(&w);
    fd = dial(&w);
    for (int i = 0; i < 3; i++) {
        say(fd, GET);
        expect(hear(fd, false), 200);
    }
    say(fd, "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n" GET); /* no body may stand between the two */
    expect(hear(fd, true), 200);
    expect(hear(fd, false), 200);
    say(fd, "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(hear(fd, false), 200);
    assert_true(ended(fd, LATEST));
    (void)close(fd);
    world_stop(&w);
}

static void test_pipelined(void **state)
{
    struct world w;
    int fd;
    (void)state;

    world_init(&w);
    world_start(&w);
    fd = dial(&w);
    say(fd, GET "GET " DOUBLE_PATH " HTTP/1.1\r\nHost: a\r\n\r\n"
                "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" GET
                "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET);
    expect(hear(fd, false), 200);
    expect(hear(fd, false), 200);
    expect(hear(fd, false), 404);
    expect(hear(fd, false), 200);
    expect(hear(fd, false), 404);
    expect(hear(fd, false), 200);
    (void)close(fd);
    world_stop(&w);
}

static void test_bytewise(void **state)
{
    static const char text[] =
        "\r\nPOST /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    struct world w;
    int fd;
    (void)state;

    world_init(&w);
    world_start(&w);
    fd = dial(&w);
    for (size_t i = 0; i < sizeof text - 1; i++)
        assert_true(say_some(fd, text + i, 1));
    expect(hear(fd, false), 404);
    say(fd, GET);
    expect(hear(fd, false), 200);
    (void)close(fd);
    world_stop(&w);
}

/* The refusal is read whole, whatever else the client still sends: no reset eats it. */
static void test_refusal_arrives(void **state)
{
    struct world w;
    char *flood = gd_new(65537), *answer;
    bool clean;
    int fd;
    (void)state;

    world_init(&w);
    world_start(&w);
    memset(flood, 'a', 65536);
    memcpy(flood, "GET / HTTP/1.1\r\nX: ", 19);
    for (int i = 0; i < 20; i++) {
        fd = dial(&w);
        say(fd, flood);
        answer = hear_all(fd, &clean);
        assert_true(clean);
        assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
        assert_non_null(strstr(answer, "</html>"));
        expect(answer, 431);
        (void)close(fd);
    }
    fd = dial(&w);
    say(fd, "GET / HTTP/1.1\nHost: a\n\n" GET);
    answer = hear_all(fd, &clean);
    assert_true(clean);
    assert_null(strstr(answer + 1, "HTTP/1.1 ")); /* one answer: what follows is not read as a request */
    expect(answer, 400);
    (void)close(fd);
    assert_int_equal(world_status(&w, "refused"), 21);
    gd_free(flood);
    world_stop(&w);
}

/* Sends text, then one byte each few milliseconds until the other side answers. Returns how long that took.
 */
static int64_t trickle(struct world *w, const char *text, const char *byte, char **ret_answer)
{
    int64_t start = ms_now(); /* its deadline cannot begin before */
    int fd = dial(w);

    say(fd, text);
    while (ms_now() - start < LATEST) {
        char c;

        if (recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
            break;
        if (!say_some(fd, byte, 1))
            break;
        (void)usleep(5000);
    }
    *ret_answer = hear_all(fd, NULL);
    (void)close(fd);
    return ms_now() - start;
}

static void test_slow_head(void **state)
{
    struct world w;
    char *answer;
    int64_t took;
    (void)state;

    world_init(&w);
    w.limits.head_ms = SLOW;
    world_start(&w);
    took = trickle(&w, "GET / HTTP/1.1\r\nHost: a\r\nX: ", "a", &answer);
    assert_true(took >= SLOW && took < LATEST);
    assert_non_null(strstr(answer, "HTTP_TIMEOUT"));
    expect(answer, 408);
    world_stop(&w);
}

static void test_slow_body(void **state)
{
    struct world w;
    char *answer;
    int64_t took;
    (void)state;

    world_init(&w);
    w.limits.body_ms = SLOW;
    world_start(&w);
    took = trickle(&w, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n", "a", &answer);
    assert_true(took >= SLOW && took < LATEST);
    expect(answer, 408);
    took =
        trickle(&w, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", "a", &answer);
    assert_true(took >= SLOW && took < LATEST);
    expect(answer, 408);
    world_stop(&w);
}

static void test_idle(void **state)
{
    struct world w;
    int64_t start;
    int fd;
    (void)state;

    world_init(&w);
    w.limits.idle_ms = SLOW;
    world_start(&w);
    fd = dial(&w);
    start = ms_now();
    say(fd, GET);
    expect(hear(fd, false), 200);
    assert_true(ended(fd, LATEST)); /* without a word */
    assert_true(ms_now() - start >= SLOW);
    (void)close(fd);
    world_stop(&w);
}

static void test_silent(void **state)
{
    struct world w;
    int fd;
    (void)state;

    world_init(&w);
    w.limits.head_ms = SLOW;
    world_start(&w);
    fd = dial(&w);
    assert_true(ended(fd, LATEST));
    (void)close(fd);
    assert_int_equal(world_status(&w, "timeouts"), 1);
    world_stop(&w);
}

static void release(struct world *w)
{
    double_release(&w->broker);
}

/* The broker does not answer: the visitor gets an answer all the same, and the late reply harms nobody. */
static void test_total(void **state)
{
    struct world w;
    char *answer;
    (void)state;

    world_init(&w);
    w.limits.total_ms = SLOW;
    w.broker.hold = true;
    world_start(&w);
    answer = ask(&w, "GET", DOUBLE_PATH, NULL, NULL);
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    expect(answer, 503);
    world_do(&w, release);
    for (int i = 0; i < 50 && status_of(answer = ask(&w, "GET", DOUBLE_PATH, NULL, NULL)) == 503; i++)
        gd_free(answer); /* on a slow machine the time is over for this one, too */
    expect(answer, 200);
    world_stop(&w);
}

/* The visitor leaves while the broker works. */
static void test_gone(void **state)
{
    struct world w;
    int fd;
    (void)state;

    world_init(&w);
    w.limits.total_ms = SLOW;
    w.broker.hold = true;
    world_start(&w);
    fd = dial(&w);
    say(fd, "GET " DOUBLE_PATH " HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)close(fd);
    assert_true(world_settles(&w, "requests", 1));
    assert_true(world_settles(&w, "connections", 0));
    assert_int_equal(world_status(&w, "exchanges"), 1);
    world_do(&w, release);
    assert_true(world_settles(&w, "exchanges", 0));
    world_stop(&w);
}

/* A reader that stops: answers pile up until the socket is full, then the write's deadline ends it. */
static void test_reader_stops(void **state)
{
    static const char one[] = "GET " DOUBLE_PATH " HTTP/1.1\r\nHost: a\r\n\r\n";
    struct world w;
    int64_t start = ms_now();
    int fd;
    (void)state;

    world_init(&w);
    w.limits.write_ms = SLOW;
    w.limits.requests_per_conn = 1000000;
    world_start(&w);
    fd = dial(&w);
    while (ms_now() - start < 10000 && say_some(fd, one, sizeof one - 1))
        ;
    assert_true(world_settles(&w, "connections", 0));
    assert_int_equal(world_status(&w, "timeouts"), 1);
    assert_int_equal(world_status(&w, "refused"), 0);
    (void)close(fd);
    world_stop(&w);
}

static void test_half_close(void **state)
{
    struct world w;
    bool clean;
    char *answer;
    int fd;
    (void)state;

    world_init(&w);
    world_start(&w);
    fd = dial(&w);
    say(fd, "GET " DOUBLE_PATH " HTTP/1.1\r\nHost: a\r\n\r\n");
    (void)shutdown(fd, SHUT_WR);
    answer = hear_all(fd, &clean);
    assert_true(clean);
    expect(answer, 200);
    (void)close(fd);
    world_stop(&w);
}

static void test_continue(void **state)
{
    struct world w;
    char *answer;
    int fd;
    (void)state;

    world_init(&w);
    world_start(&w);
    fd = dial(&w);
    say(fd, "POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    answer = hear(fd, true);
    assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    gd_free(answer);
    say(fd, "abc");
    expect(hear(fd, false), 404);
    (void)close(fd);
    world_stop(&w);
}

/* ---- how many ---- */

static void test_per_address(void **state)
{
    struct world w;
    int fds[8], extra;
    (void)state;

    world_init(&w);
    w.limits.conns_per_address = 8;
    world_start(&w);
    for (int i = 0; i < 8; i++) {
        fds[i] = dial(&w);
        say(fds[i], "GET / HT"); /* unfinished, so none is idle */
    }
    assert_true(world_settles(&w, "unfinished", 8));
    extra = dial(&w);
    assert_true(ended(extra, LATEST));
    (void)close(extra);
    expect(ask_from(&w, "127.0.0.2", "GET", "/health", NULL, NULL), 200);
    assert_true(world_settles(&w, "connections", 8));
    for (int i = 0; i < 8; i++)
        (void)close(fds[i]);
    world_stop(&w);
}

/* An idle kept connection makes room for a new one of the same address. */
static void test_idle_first(void **state)
{
    struct world w;
    int idle, fresh;
    (void)state;

    world_init(&w);
    w.limits.conns_per_address = 1;
    world_start(&w);
    idle = dial(&w);
    say(idle, GET);
    expect(hear(idle, false), 200);
    fresh = dial(&w);
    say(fresh, GET);
    expect(hear(fresh, false), 200);
    assert_true(ended(idle, LATEST));
    (void)close(idle);
    (void)close(fresh);
    world_stop(&w);
}

/* Everything is full of slow ones from many addresses: an honest visitor takes the place of the oldest. */
static void test_global(void **state)
{
    struct world w;
    int fds[10];
    (void)state;

    world_init(&w);
    w.limits.conns = 10;
    world_start(&w);
    for (int i = 0; i < 10; i++) {
        char from[32];

        (void)snprintf(from, sizeof from, "127.0.1.%d", i + 1);
        fds[i] = dial_from(&w, from);
        say(fds[i], "GET / HT");
    }
    assert_true(world_settles(&w, "unfinished", 10));
    expect(ask(&w, "GET", "/health", NULL, NULL), 200);
    assert_true(ended(fds[0], LATEST));
    assert_true(world_settles(&w, "evicted", 1));
    for (int i = 0; i < 10; i++)
        (void)close(fds[i]);
    world_stop(&w);
}

/* Everything is full of connections that guess and wait for their answer: they make room for who does not. */
static void test_guessers_make_room(void **state)
{
    struct world w;
    int fds[10];
    (void)state;

    world_init(&w);
    w.limits.conns = 10;
    world_start(&w);
    world_stop_clock(); /* what is held back stays there */
    for (int i = 0; i < 20; i++) {
        char from[32];

        (void)snprintf(from, sizeof from, "127.0.%d.1", i + 1);
        if (i < 10) {
            expect(ask_from(&w, from, "GET", "/a/" DOUBLE_NONE "/guess", NULL, NULL), 404);
            continue;
        }
        fds[i - 10] = dial_from(&w, from);
        say(fds[i - 10], "GET /a/" DOUBLE_NONE "/guess HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    assert_true(world_settles(&w, "requests", 20));
    assert_true(world_settles(&w, "exchanges", 0));
    assert_true(world_settles(&w, "connections", 10));
    expect(ask(&w, "GET", "/health", NULL, NULL), 200);
    assert_true(world_settles(&w, "evicted", 1));
    for (int i = 0; i < 10; i++)
        (void)close(fds[i]);
    world_stop(&w);
}

static unsigned open_fds(void)
{
    int fd = dup(0);

    (void)close(fd);
    return (unsigned)fd;
}

/* Descriptors run short: nothing is accepted any more, nothing is refused, and it goes on when there is room.
 */
static void test_descriptors(void **state)
{
    struct world w;
    int busy[3], late;
    (void)state;

    world_init(&w);
    world_start(&w);
    world_stop(&w); /* so that the loop's own files are counted below as they will be */
    world_init(&w);
    w.limits.fds = open_fds() + 20;
    w.broker.hold = true;
    world_start(&w);
    for (int i = 0; i < 3; i++) {
        busy[i] = dial(&w);
        say(busy[i], "GET " DOUBLE_PATH " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    assert_true(world_settles(&w, "exchanges", 3));
    {
        int fill[64], n = 0;

        while (open_fds() < w.limits.fds && n < 64)
            fill[n++] = dup(0);
        late = dial(&w);
        say(late, GET);
        assert_false(ended(late, 100));
        assert_int_equal(world_status(&w, "accepted"), 3);
        while (n > 0)
            (void)close(fill[--n]);
    }
    expect(hear(late, false), 200);
    world_do(&w, release);
    for (int i = 0; i < 3; i++) {
        expect(hear(busy[i], false), 200);
        (void)close(busy[i]);
    }
    (void)close(late);
    world_stop(&w);
}

/* As many as there may be descriptors for, of both ends; at most most. */
static int slow_ones(int most)
{
    struct rlimit rl;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
    rl.rlim_cur = rl.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
    return rl.rlim_max < 2u * (unsigned)most + 200 ? ((int)rl.rlim_max - 200) / 2 : most;
}

/* A thousand slow sockets of fifty addresses and one honest client: who waited for one of them would wait for
 * longer than hear() has patience. */
static void test_slowloris(void **state)
{
    enum { HONEST = 100 };
    struct world w;
    int n = slow_ones(1000), *fds = gd_new_array((size_t)n, sizeof *fds);
    (void)state;

    assert_true(n >= HONEST);
    world_init(&w);
    w.limits.head_ms = 60000;
    w.limits.sweep_ms = 250;
    world_start(&w);
    for (int i = 0; i < n; i++) {
        char from[32];

        (void)snprintf(from, sizeof from, "127.0.%d.%d", 2 + i % 50, 1 + i / 256);
        fds[i] = dial_from(&w, from);
        (void)say_some(fds[i], "GET / HTTP/1.1\r\nHo", 18);
    }
    for (int i = 0; i < HONEST; i++) {
        (void)say_some(fds[i], "x", 1);
        expect(ask(&w, "GET", "/health", NULL, NULL), 200);
    }
    assert_true(world_status(&w, "unfinished") >= n / 2);
    for (int i = 0; i < n; i++)
        (void)close(fds[i]);
    assert_true(world_settles(&w, "connections", 0));
    gd_free(fds);
    world_stop(&w);
}

/* ---- the end ---- */

static void test_close_while_running(void **state)
{
    struct world w;
    int fd, idle;
    (void)state;

    world_init(&w);
    world_start(&w);
    idle = dial(&w);
    say(idle, GET);
    expect(hear(idle, false), 200);
    fd = dial(&w);
    say(fd, "GET " DOUBLE_PATH " HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(hear(fd, false), 200);
    world_stop(&w); /* asserts that the loop is empty */
    assert_true(ended(idle, LATEST));
    assert_true(ended(fd, LATEST));
    (void)close(fd);
    (void)close(idle);
}

static void test_port_taken(void **state)
{
    struct world w, other;
    char listen_at[32];
    (void)state;

    world_init(&w);
    world_start(&w);
    world_init(&other);
    (void)snprintf(listen_at, sizeof listen_at, "127.0.0.1:%d", w.port);
    other.options.listen = listen_at;
    assert_int_equal(gd_portal_open(&other.portal, &other.loop, &other.options, &other.broker,
                                    gd_clock_system(), &other.rng.rng, NULL, &other.err),
                     -1);
    assert_int_equal(other.err.reason, GD_R_PORTAL_LISTEN_FAILED);
    (void)uv_run(&other.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&other.loop), 0);
    (void)fclose(other.log_file);
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_pipelined),
        cmocka_unit_test(test_bytewise),
        cmocka_unit_test(test_refusal_arrives),
        cmocka_unit_test(test_slow_head),
        cmocka_unit_test(test_slow_body),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_reader_stops),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_per_address),
        cmocka_unit_test(test_idle_first),
        cmocka_unit_test(test_global),
        cmocka_unit_test(test_guessers_make_room),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_slowloris),
        cmocka_unit_test(test_close_while_running),
        cmocka_unit_test(test_port_taken),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
