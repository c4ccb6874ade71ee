/* What a crash or a hand leaves at the end of a log, and kill -9 in the middle of writing. */
#include "kit.h"

#include "base/rng.h"
#include "crypto/crypto.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void append(const struct kit *k, const void *p, size_t n)
{
    int fd = open(k->path, O_WRONLY | O_APPEND);

    assert_int_equal(write(fd, p, n), n);
    close(fd);
}

static void expect_broken(struct kit *k, const char *says)
{
    struct gd_err err = { 0 };

    assert_int_equal(kit_open(k, &err), -1);
    assert_null(k->a);
    if (err.reason != GD_R_AUDIT_BROKEN || !strstr(err.text, says))
        fail_msg("%s: %s", gd_reason_word(err.reason), err.text);
}

static void expect_torn(struct kit *k, const void *what, size_t n)
{
    struct gd_err err = { 0 };
    GD_AUTO_FREE char *torn = NULL;
    GD_AUTO_JSON l = NULL;
    struct gd_audit_verdict v;
    size_t got;

    if (kit_open(k, &err) != 0)
        fail_msg("%s", err.text);
    torn = kit_read(k->torn, &got);
    assert_true(got >= n);
    assert_memory_equal(torn + got - n, what, n);
    l = gd_audit_list(k->path, -1, 2, NULL, NULL);
    assert_string_equal(json_string_value(gd_json_at(l, "0.act")), "audit.torn");
    assert_int_equal(json_integer_value(gd_json_at(l, "0.data.bytes")), n);
    assert_string_equal(json_string_value(gd_json_at(l, "1.act")), "audit.open");
    kit_write(k, 3);
    assert_int_equal(kit_verify(k, &v), 0);
    kit_close(k);
}

static void a_torn_line_is_cut_off_and_recorded(void **state)
{
    struct kit *k = *state;
    char zeros[5000] = { 0 }, mixed[200];

    kit_write(k, 4);
    kit_close(k);
    append(k, "{\"seq\":9,\"ti", 12);
    {
        struct gd_audit_verdict v;

        assert_int_equal(kit_verify(k, &v), 9);
        assert_string_equal(v.why, "the last line is not whole");
    }
    expect_torn(k, "{\"seq\":9,\"ti", 12);
    append(k, zeros, sizeof zeros);
    expect_torn(k, zeros, sizeof zeros);
    memset(mixed, 0, sizeof mixed); /* blocks of a group that were never written, and its end that was */
    memcpy(mixed + 100, "\"}\n{\"seq\":20,\"x\":1}\n", 20);
    append(k, mixed, 120);
    expect_torn(k, mixed, 120);
    append(k, "x", 1);
    expect_torn(k, "x", 1);
}

/* Every length that the last line may have been cut to. */
static void every_cut_of_the_last_line_is_survived(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *text = NULL;
    GD_AUTO_FREE char *head = NULL;
    size_t n, nhead, last;

    kit_write(k, 4);
    text = kit_read(k->path, &n); /* as it stands on the disk, without the checkpoint of the close */
    head = kit_read(k->head, &nhead);
    kit_close(k);
    for (last = n - 1; text[last - 1] != '\n'; last--)
        ;
    for (size_t cut = last + 1; cut < n; cut += 7) {
        unlink(k->torn);
        kit_put(k->path, text, cut);
        kit_put(k->head, head, nhead);
        expect_torn(k, text + last, cut - last);
    }
}

static void a_log_that_never_began_begins_again(void **state)
{
    struct kit *k = *state;

    kit_close(k);
    unlink(k->head); /* the very first group was torn: nothing was ever signed */
    kit_put(k->path, "{\"seq\":1,\"time\":\"2026", 21);
    assert_int_equal(kit_open(k, NULL), 0);
    kit_write(k, 1);
    kit_expect_whole(k);
}

static void changes_behind_the_last_checkpoint_are_found(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *text = NULL;
    char *at;
    size_t n;

    kit_write(k, 5);
    text = kit_read(k->path, &n);
    kit_close(k);
    at = (char *)memrchr(text, '\n', n - 1) + 20;
    *at = (char)(*at ^ 1);
    kit_put(k->path, text, n);
    unlink(k->head);
    expect_broken(k, "record 8: hash");
    *at = (char)(*at ^ 1);
    kit_put(k->path, text, n);
    assert_int_equal(kit_open(k, NULL), 0);
}

static void a_log_that_was_cut_or_taken_away_is_not_continued(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *text = NULL;
    size_t n, cut;

    kit_write(k, 25);
    kit_close(k);
    text = kit_read(k->path, &n);
    for (cut = n / 2; text[cut - 1] != '\n'; cut++)
        ;
    kit_put(k->path, text, cut);
    expect_broken(k, "ends before its checkpoint");
    kit_put(k->path, text, 0);
    expect_broken(k, "gone or empty");
    kit_put(k->path, text, 30);
    expect_broken(k, "gone or empty");
    unlink(k->path);
    expect_broken(k, "gone or empty");
    kit_put(k->path, text, n);
    kit_put(k->head, "nonsense", 8);
    expect_broken(k, "no checkpoint of this log");
    unlink(k->head); /* as after moving the log alone to a new machine */
    assert_int_equal(kit_open(k, NULL), 0);
    kit_expect_whole(k);
}

static void a_log_of_another_key_or_node_is_not_continued(void **state)
{
    struct kit *k = *state;

    kit_write(k, 3);
    kit_close(k);
    unlink(k->head);
    k->seed[0] ^= 1;
    expect_broken(k, "does not begin as the log of");
    k->seed[0] ^= 1;
    k->o.node = "nd-other";
    expect_broken(k, "grantd/nd-other");
    k->o.node = "nd-test";
    kit_put(k->path, "hello\n", 6);
    expect_broken(k, "does not begin");
}

/* A checkpoint far from the end: a bigger and bigger piece is read. */
static void a_far_checkpoint_is_found(void **state)
{
    struct kit *k = *state;
    GD_AUTO_FREE char *text = NULL;
    GD_AUTO_FREE char *head = NULL;
    size_t n, nhead;

    kit_close(k);
    k->o.checkpoint_records = 100000;
    assert_int_equal(kit_open(k, NULL), 0);
    kit_write(k, 3000); /* about 1.3 MB */
    text = kit_read(k->path, &n);
    head = kit_read(k->head, &nhead);
    kit_close(k);
    kit_put(k->path, text, n);
    kit_put(k->head, head, nhead);
    assert_int_equal(kit_open(k, NULL), 0);
    kit_write(k, 1);
    kit_expect_whole(k);
}

/* ---- kill -9
 * ---------------------------------------------------------------------------------------------------------------
 */

static int pipe_out;

static void on_durable(void *arg, const struct gd_err *err)
{
    int number = (int)(intptr_t)arg;

    if (!err)
        (void)!write(pipe_out, &number, sizeof number);
}

/* Writes for ever and says which records are durable. */
static void child(struct kit *k, int first)
{
    if (kit_open(k, NULL) != 0)
        _exit(2);
    for (int number = first;; number++) {
        char subject[32];
        struct gd_audit_entry e = {
            .act = "t", .phase = "done", .outcome = "ok", .subject = subject, .uid = -1
        };

        (void)snprintf(subject, sizeof subject, "n%d", number);
        gd_audit_write(k->a, &e, on_durable, (void *)(intptr_t)number);
        uv_run(&k->loop, UV_RUN_NOWAIT);
    }
}

static int run_and_kill(struct kit *k, int first, unsigned us)
{
    int fds[2], last = first - 1, number, status;
    pid_t pid;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        pipe_out = fds[1];
        child(k, first);
    }
    close(fds[1]);
    usleep(us);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(fds[0], &number, sizeof number) == sizeof number)
        last = number > last ? number : last;
    close(fds[0]);
    return last;
}

static void nothing_acknowledged_is_lost_by_kill_9(void **state)
{
    struct kit *k = *state;
    struct gd_rng_seeded r;
    int next = 1;

    kit_close(k);
    gd_rng_seed(&r, 9);
    for (int round = 0; round < 25; round++) {
        int last = run_and_kill(k, next, 3000 + (unsigned)gd_rng_below(&r.rng, 25000));
        char subject[32];
        GD_AUTO_JSON l = NULL;
        struct gd_err err = { 0 };

        if (kit_open(k, &err) != 0)
            fail_msg("%s", err.text);
        kit_expect_whole(k);
        kit_close(k);
        if (last >= next) {
            (void)snprintf(subject, sizeof subject, "n%d", last);
            l = gd_audit_list(k->path, -1, 10, subject, NULL);
            assert_int_equal(json_array_size(l), 1);
        }
        next = last + 1000000; /* numbers of a round are its own */
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_torn_line_is_cut_off_and_recorded),
        T(every_cut_of_the_last_line_is_survived),
        T(a_log_that_never_began_begins_again),
        T(changes_behind_the_last_checkpoint_are_found),
        T(a_log_that_was_cut_or_taken_away_is_not_continued),
        T(a_log_of_another_key_or_node_is_not_continued),
        T(a_far_checkpoint_is_found),
        T(nothing_acknowledged_is_lost_by_kill_9),
    };

    gd_json_setup();
    if (gd_crypto_setup(NULL) != 0)
        return 1;
    return cmocka_run_group_tests_name("audit crash", tests, NULL, NULL);
}
