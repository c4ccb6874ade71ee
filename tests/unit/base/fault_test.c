/* Fault points, each in a process of its own because the environment is read once. */
#include "base/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Passes the points n times in a child; its status, and what the passages gave as its exit code. */
static int run(const char *faults, int (*fn)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit none = { 0, 0 };

        (void)setrlimit(RLIMIT_CORE, &none);
        if (faults)
            (void)setenv("GRANTD_FAULT", faults, 1);
        else
            (void)unsetenv("GRANTD_FAULT");
        _exit(fn());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int pass_thrice(void)
{
    int code = 0;

    for (int i = 0; i < 3; i++)
        code = code * 4 + (GD_FAULT("p1") == EIO ? 1 : 0) + (GD_FAULT("p2") == ENOSPC ? 2 : 0);
    return code;
}

static void points_fail_on_the_passage_named(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, pass_thrice), 0);
    assert_int_equal(WEXITSTATUS(run("p1:eio", pass_thrice)), 1 * 16);
    assert_int_equal(WEXITSTATUS(run("p1:eio:2", pass_thrice)), 1 * 4);
    assert_int_equal(WEXITSTATUS(run("p1:eio:3,p2:enospc", pass_thrice)), 2 * 16 + 1);
    assert_int_equal(WEXITSTATUS(run("p1:eio:9", pass_thrice)), 0);
    assert_int_equal(WEXITSTATUS(run("p3:eio", pass_thrice)), 0);
    assert_int_equal(WEXITSTATUS(run("p1", pass_thrice)), 0);
    assert_int_equal(WEXITSTATUS(run(":::,,", pass_thrice)), 0);
}

static void points_end_the_process(void **state)
{
    int status;

    (void)state;
    status = run("p1:kill9:2", pass_thrice);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = run("p2:abort", pass_thrice);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = run("p1:exit", pass_thrice);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

static void points_freeze_until_continued(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        (void)setenv("GRANTD_FAULT", "p1:freeze:2", 1);
        _exit(7 + pass_thrice());
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
}

static int measure(void)
{
    struct timespec a, b;

    (void)clock_gettime(CLOCK_MONOTONIC, &a);
    (void)GD_FAULT("p1");
    (void)clock_gettime(CLOCK_MONOTONIC, &b);
    return (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >= 30;
}

static void points_wait(void **state)
{
    (void)state;
    assert_int_equal(WEXITSTATUS(run("p1:delay(30)", measure)), 1);
    assert_int_equal(WEXITSTATUS(run("p1:stop(30)", measure)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_fail_on_the_passage_named),
        cmocka_unit_test(points_end_the_process),
        cmocka_unit_test(points_freeze_until_continued),
        cmocka_unit_test(points_wait),
    };

    return cmocka_run_group_tests_name("base fault", tests, NULL, NULL);
}
