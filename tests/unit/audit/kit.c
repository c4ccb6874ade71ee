/* kit.c */
#include "kit.h"

#include "crypto/crypto.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void kit_init(struct kit *k)
{
    memset(k, 0, sizeof *k);
    (void)snprintf(k->dir, sizeof k->dir, "/tmp/gd-audit-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->path, sizeof k->path, "%s/audit.log", k->dir);
    (void)snprintf(k->head, sizeof k->head, "%s.head", k->path);
    (void)snprintf(k->torn, sizeof k->torn, "%s.torn", k->path);
    memset(k->seed, 7, sizeof k->seed);
    memset(k->key, 8, sizeof k->key);
    k->o = (struct gd_audit_options){ .path = k->path,
                                      .node = "nd-test",
                                      .sign_seed = k->seed,
                                      .hash_key = k->key,
                                      .checkpoint_records = 10,
                                      .checkpoint_ms = 3600000 };
    assert_int_equal(uv_loop_init(&k->loop), 0);
}

int kit_open(struct kit *k, struct gd_err *err)
{
    return gd_audit_open(&k->a, &k->loop, &k->o, gd_clock_system(), NULL, err);
}

static void on_close(void *arg)
{
    *(bool *)arg = true;
}

void kit_close_running(struct kit *k)
{
    bool closed = false;

    gd_audit_close(k->a, on_close, &closed);
    assert_false(closed);
    while (!closed)
        uv_run(&k->loop, UV_RUN_ONCE);
    k->a = NULL;
}

void kit_close(struct kit *k)
{
    if (!k->a)
        return;
    kit_close_running(k);
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0); /* nothing is left of it */
}

void kit_done(struct kit *k)
{
    GD_AUTO_FREE char *tmp = gd_strf("%s.new", k->head);

    kit_close(k);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    unlink(k->path);
    unlink(k->head);
    unlink(k->torn);
    unlink(tmp);
    assert_int_equal(rmdir(k->dir), 0);
}

int kit_setup(void **state)
{
    struct kit *k = gd_new(sizeof *k);
    struct gd_err err = { 0 };

    kit_init(k);
    if (kit_open(k, &err) != 0)
        fail_msg("%s", err.text);
    *state = k;
    return 0;
}

int kit_teardown(void **state)
{
    kit_done(*state);
    gd_free(*state);
    return 0;
}

static void on_end(void *arg, const struct gd_err *err)
{
    struct kit *k = arg;

    k->ended++;
    if (err) {
        k->refused++;
        k->err = *err;
    }
}

void kit_send(struct kit *k, const char *act, const char *subject, json_t *data)
{
    struct gd_audit_entry e = { .act = act,
                                .phase = "request",
                                .outcome = "ok",
                                .workspace = "main",
                                .client = "cl01",
                                .subject = subject,
                                .uid = 1000,
                                .gid = 1000,
                                .pid = 42,
                                .data = data };
    int before = k->ended;

    gd_audit_write(k->a, &e, on_end, k);
    assert_int_equal(k->ended, before); /* never inside */
}

void kit_wait(struct kit *k, int ended)
{
    while (k->ended < ended)
        assert_true(uv_run(&k->loop, UV_RUN_ONCE) || k->ended >= ended);
}

void kit_write(struct kit *k, int n)
{
    int want = k->ended + n;

    for (int i = 0; i < n; i++) {
        char subject[32];

        (void)snprintf(subject, sizeof subject, "gr%d", i);
        kit_send(k, "grant.token", subject, NULL);
    }
    kit_wait(k, want);
}

char *kit_read(const char *path, size_t *ret_n)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    char *p;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    p = gd_new((size_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    close(fd);
    *ret_n = (size_t)st.st_size;
    return p;
}

void kit_put(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600); /* O_TRUNC: some file systems sync at the close then */

    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    assert_int_equal(ftruncate(fd, (off_t)n), 0);
    close(fd);
}

int64_t kit_verify(const struct kit *k, struct gd_audit_verdict *v)
{
    struct gd_err err = { 0 };

    if (gd_audit_verify(k->path, NULL, v, &err) != 0)
        fail_msg("%s", err.text);
    return v->bad_line;
}

void kit_expect_whole(const struct kit *k)
{
    struct gd_audit_verdict v;

    if (kit_verify(k, &v) != 0)
        fail_msg("line %lld: %s", (long long)v.bad_line, v.why);
}
