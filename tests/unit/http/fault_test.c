/* The fault points of a request: a child is killed at each, and the server says how far it had come. A
 * program of its own, because the points are read from the environment once. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DELAY_MS 7000

static char target[64];

/* A clock that only a fault's delay moves: what the machine takes for anything else is no time at all. */
static struct {
    struct gd_clock clock; /* first */
    _Atomic int64_t ms;    /* 0: it is not used */
} stands;

static int64_t on_ask(const struct gd_clock *c)
{
    (void)c;
    return stands.ms;
}

__attribute__((visibility("default"))) int nanosleep(const struct timespec *ts, struct timespec *left)
{
    if (stands.ms && ts->tv_sec * 1000 + ts->tv_nsec / 1000000 >= DELAY_MS) {
        stands.ms += DELAY_MS;
        return 0;
    }
    return (int)syscall(SYS_nanosleep, ts, left);
}

/* Sends one POST and ends when its answer came, with 0 for one of 200, else with how it ended; never returns.
 */
static void child(const char *fault, bool repeatable, int64_t timeout_ms)
{
    struct fixture f = { .clock = stands.ms ? &stands.clock : NULL };
    struct gd_http_request r = fixture_request("https://good.test/ok");
    struct got g;

    alarm(20);
    setenv("GRANTD_FAULT", fault, 1);
    f.origins = json_pack("{s:s}", "https://good.test", target);
    fixture_start(&f);
    r.method = "POST";
    r.body = "0123456789abcdef";
    r.body_len = 16;
    r.repeatable = repeatable;
    r.timeout_ms = timeout_ms;
    fixture_send(&f, &g, &r);
    fixture_wait(&f, &g);
    _exit(g.end == GD_HTTP_ANSWER && g.status == 200 ? 0 : 10 + (int)g.end);
}

/* Wait status of a child that ran with this fault. */
static int run(struct server *s, const char *fault, bool repeatable, int64_t timeout_ms)
{
    pid_t pid;
    int status;

    snprintf(target, sizeof target, "http://127.0.0.1:%d", server_port(s));
    pid = fork();
    if (pid == 0)
        child(fault, repeatable, timeout_ms);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

struct row {
    const char *point;
    unsigned requests;   /* whole ones at the server */
    const char *ends_in; /* what came of the request; NULL: nothing */
};

static const struct row rows[] = {
    { "F04", 0, NULL },
    { "F05", 0, NULL },
    { "F06", 0, "\r\n\r\n01234567" },
    { "F07", 1, "\r\n\r\n0123456789abcdef" },
    { "F08", 1, "\r\n\r\n0123456789abcdef" },
    { "F09", 1, "\r\n\r\n0123456789abcdef" },
};

static bool ends(const char *text, const char *end)
{
    size_t n = strlen(end);

    return strlen(text) >= n && !strcmp(text + strlen(text) - n, end);
}

/* Whether it arrives in time is the machine's affair, so it is waited for. */
static bool arrived(struct server *s, const struct row *row)
{
    char *last = server_last(s);
    bool yes = server_requests(s) >= row->requests && (!row->ends_in || ends(last, row->ends_in));

    free(last);
    return yes;
}

static void check(const struct row *row, bool repeatable)
{
    struct server *s = server_new(NULL);
    char fault[32], *last;
    int status;

    snprintf(fault, sizeof fault, "%s:kill9", row->point);
    status = run(s, fault, repeatable, 5000);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("%s: the child was not killed there", row->point);
    for (int i = 0; i < 500 && !arrived(s, row); i++)
        usleep(10000);
    usleep(20000); /* what was on its way beyond that arrives, too */
    if (server_requests(s) != row->requests)
        fail_msg("%s: %u whole requests, expected %u", row->point, server_requests(s), row->requests);
    last = server_last(s);
    if (row->ends_in && !ends(last, row->ends_in))
        fail_msg("%s: the server saw %s", row->point, last);
    if (!row->ends_in)
        assert_int_equal(server_bytes(s), 0);
    free(last);
    server_free(s);
}

static void test_points(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check(&rows[i], false);
        check(&rows[i], true);
    }
}

/* Bodies that are sent in two halves arrive whole. */
static void test_no_fault(void **state)
{
    static const char *const harmless[] = { "F06:delay(5)", "F07:delay(5)", "F99:kill9" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct server *s = server_new(NULL);
        int status = run(s, harmless[i], i == 1, 5000);
        char *last = server_last(s);

        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_non_null(strstr(last, "\r\n\r\n0123456789abcdef"));
        assert_int_equal(server_requests(s), 1);
        free(last);
        server_free(s);
    }
}

/* It stands still there until its time is over. What was not sent whole is not sent; an answer is heard. */
static const struct {
    const char *fault;
    enum gd_http_end end;
    unsigned requests;
} overslept[] = {
    { "F04:delay(7000)", GD_HTTP_NOT_SENT, 0 },  { "F05:delay(7000)", GD_HTTP_NOT_SENT, 0 },
    { "F06:delay(7000)", GD_HTTP_UNCERTAIN, 0 }, { "F07:delay(7000)", GD_HTTP_ANSWER, 1 },
    { "F08:delay(7000)", GD_HTTP_ANSWER, 1 },    { "F09:delay(7000)", GD_HTTP_ANSWER, 1 }, /* DELAY_MS */
};

static void test_overslept(void **state)
{
    (void)state;
    stands.clock = (struct gd_clock){ on_ask, on_ask };
    stands.ms = 1795000000000;
    for (size_t i = 0; i < sizeof overslept / sizeof *overslept; i++) {
        struct server *s = server_new(NULL);
        int status = run(s, overslept[i].fault, false, 4000),
            want = overslept[i].end == GD_HTTP_ANSWER ? 0 : 10 + (int)overslept[i].end;

        if (!WIFEXITED(status) || WEXITSTATUS(status) != want)
            fail_msg("%s: status %x, expected %d", overslept[i].fault, (unsigned)status, want);
        usleep(20000); /* what was on its way arrives, too */
        assert_int_equal(server_requests(s), overslept[i].requests);
        server_free(s);
    }
    stands.ms = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_no_fault),
        cmocka_unit_test(test_overslept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
