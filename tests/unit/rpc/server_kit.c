/* server_kit.c */
#include "server_kit.h"

/* ---- the daemon's part ---- */

static json_t *d_status(void *arg)
{
    (void)arg;
    return json_pack("{s:s}", "version", "test");
}

static void d_later(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    (void)arg;
    (void)params;
    gd_client_list(NULL, NULL, params, reply, reply_arg); /* answered by the next tick */
}

static void d_storage(void *arg, const char *method, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    (void)method;
    d_later(arg, params, reply, reply_arg);
}

const struct gd_rpc_daemon kit_daemon = { .status = d_status,
                                          .check = d_later,
                                          .reload = d_later,
                                          .drain = d_later,
                                          .clock = d_later,
                                          .storage = d_storage };

/* ---- a client ---- */

int kit_connect_to(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memcpy(sa.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

void kit_pump(struct fix *f)
{
    uv_run(&f->loop, UV_RUN_NOWAIT);
    while (fake_tick())
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

void kit_take_in(struct fix *f)
{
    char part[65536];
    ssize_t n = recv(f->fd, part, sizeof part, 0);

    if (n > 0)
        gd_buf_add(&f->in, part, (size_t)n);
    else if (n == 0 || errno == ECONNRESET)
        f->eof = true;
}

int64_t kit_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Turns the loop until so many lines have come, or the end, or a minute. */
void kit_wait_lines(struct fix *f, size_t lines)
{
    int64_t end = kit_now_ms() + 60000;
    size_t n = 0;

    while (n < lines && !f->eof && kit_now_ms() < end) {
        kit_pump(f);
        kit_take_in(f);
        n = 0;
        for (size_t i = 0; i < f->in.len; i++)
            n += f->in.ptr[i] == '\n';
    }
    if (n < lines && !f->eof)
        fail_msg("waited for %zu lines, got %zu: %s", lines, n, f->in.ptr ? f->in.ptr : "");
}

void kit_say(struct fix *f, const char *p, size_t n)
{
    int64_t end = kit_now_ms() + 60000;

    while (n && kit_now_ms() < end) {
        ssize_t k = send(f->fd, p, n, MSG_NOSIGNAL);

        if (k > 0) {
            p += k;
            n -= (size_t)k;
        } else if (errno != EAGAIN) {
            return;
        }
        kit_pump(f);
        kit_take_in(f);
    }
}

void kit_says(struct fix *f, const char *text)
{
    kit_say(f, text, strlen(text));
}

const char *kit_ask(struct fix *f, const char *text)
{
    gd_buf_clear(&f->in);
    kit_say(f, text, strlen(text));
    kit_wait_lines(f, 1);
    return f->in.ptr ? f->in.ptr : "";
}

void kit_quiet(struct fix *f)
{
    for (int i = 0; i < 20; i++)
        kit_pump(f);
    kit_take_in(f);
}

void kit_expect(const char *answer, const char *part)
{
    if (!strstr(answer, part))
        fail_msg("no %s in %s", part, answer);
}

void kit_refused(struct fix *f, const char *text, const char *reason)
{
    char part[64];

    (void)snprintf(part, sizeof part, "\"reason\":\"%s\"", reason);
    kit_expect(kit_ask(f, text), part);
}

/* ---- fixture ---- */

int kit_open_rpc(struct fix *f, const char *path, struct gd_err *err)
{
    struct gd_rpc_options o = {
        .socket_path = path, .listen_fd = -1, .mode = 0660, .audit_path = "/audit.log"
    };

    return gd_rpc_open(&f->rpc, &f->loop, &o, NULL, &kit_daemon, NULL, NULL, NULL, &f->clock.clock, NULL,
                       err);
}

int kit_setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);
    struct gd_err err = { 0 };

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/rpc-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/s", f->dir);
    uv_loop_init(&f->loop);
    fake_open();
    gd_clock_virtual_init(&f->clock, 1795000000000);
    if (kit_open_rpc(f, f->path, &err) < 0)
        fail_msg("%s", err.text);
    f->fd = kit_connect_to(f->path);
    gd_buf_init(&f->in, 64 * 1024 * 1024);
    *state = f;
    return 0;
}

void kit_on_closed(void *arg)
{
    *(bool *)arg = true;
}

int kit_teardown(void **state)
{
    struct fix *f = *state;
    int64_t end = kit_now_ms() + 10000;

    close(f->fd);
    gd_rpc_close(f->rpc, kit_on_closed, &f->closed);
    while (!f->closed && kit_now_ms() < end)
        kit_pump(f);
    assert_true(f->closed);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(access(f->path, F_OK), -1);
    assert_int_equal(rmdir(f->dir), 0);
    fake_close();
    gd_buf_done(&f->in);
    gd_free(f);
    return 0;
}

bool kit_one_client(const struct gd_caller *c, const char *method, const char *workspace, const char *client)
{
    (void)c;
    (void)method;
    if (!workspace && !client)
        return true;
    return workspace && !strcmp(workspace, "main") && client && !strcmp(client, CL);
}
