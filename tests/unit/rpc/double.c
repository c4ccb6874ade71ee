/* A daemon for tests of the command line and of other people's clients: the real rpc on a real socket,
 * doubles behind it. rpc_double SOCKET ANSWERS: ANSWERS is {"gd_grant_list": {result}, "gd_grant_token":
 * {"reason": WORD}, ...}. Prints "ready" and runs until its standard input ends. */
#include "fake.h"
#include "base/mem.h"
#include "rpc/rpc.h"

#include <stdio.h>
#include <string.h>

static uv_loop_t *loop;

static json_t *d_status(void *arg)
{
    (void)arg;
    return json_pack("{s:s,s:s}", "version", "0.1.0", "started_at", "2026-11-21T23:16:04.123Z");
}

static void d_act(void *arg, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    (void)arg;
    gd_client_list(NULL, NULL, params, reply, reply_arg);
}

static void d_storage(void *arg, const char *method, json_t *params, gd_reply_fn *reply, void *reply_arg)
{
    (void)method;
    d_act(arg, params, reply, reply_arg);
}

static const struct gd_rpc_daemon daemon_part = {
    .status = d_status, .check = d_act, .reload = d_act, .drain = d_act, .clock = d_act, .storage = d_storage
};

static void on_tick(uv_timer_t *t)
{
    (void)t;
    while (fake_tick())
        ;
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)s, NULL);
        uv_stop(loop);
    }
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    static char room[64];

    (void)h;
    (void)n;
    *buf = uv_buf_init(room, sizeof room);
}

int main(int argc, char **argv)
{
    struct gd_rpc_options o = { .listen_fd = -1, .mode = 0600, .audit_path = "/audit.log" };
    struct gd_rpc *rpc;
    struct gd_err err;
    uv_timer_t tick;
    uv_pipe_t in;

    gd_json_setup();
    if (argc != 3)
        return 2;
    loop = uv_default_loop();
    fake_open();
    fake.answers = json_load_file(argv[2], JSON_REJECT_DUPLICATES, NULL); /* check:allow a test's own file */
    fake.token = "ya29.double-token";
    fake.expires_at = 1795000000000;
    o.socket_path = argv[1];
    if (!fake.answers || gd_rpc_open(&rpc, loop, &o, NULL, &daemon_part, NULL, NULL, NULL, gd_clock_system(),
                                     NULL, &err) < 0) {
        (void)fprintf(stderr, "%s\n", fake.answers ? err.text : "no answers");
        return 1;
    }
    uv_timer_init(loop, &tick);
    uv_timer_start(&tick, on_tick, 1, 1);
    uv_pipe_init(loop, &in, 0);
    uv_pipe_open(&in, 0);
    uv_read_start((uv_stream_t *)&in, on_alloc, on_input);
    (void)puts("ready");
    (void)fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
