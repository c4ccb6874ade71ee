/* The server on a real socket, with doubles behind it. */
#include "fake.h"
#include "base/buf.h"
#include "base/mem.h"
#include "rpc/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define CL "cl01jdk3m8q4h5v6w7x8y9z0a1b2"
#define GR "gr01jdk3m8q4h5v6w7x8y9z0a1b2"
#define RQ "rq01jdk3m8q4h5v6w7x8y9z0a1b2"
#define CALL(method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}\n"
#define CLIENT                                                                       \
    "{\"id\":\"" CL "\",\"workspace\":\"main\",\"name\":\"A\",\"state\":\"active\"," \
    "\"created_at\":\"2026-11-21T23:16:04.123Z\"}"

struct fix {
    char dir[64], path[108];
    uv_loop_t loop;
    struct gd_rpc *rpc;
    struct gd_clock_virtual clock;
    int fd; /* a client */
    struct gd_buf in;
    bool closed, eof;
};

/* ---- the daemon's part ------------------------------------------------------------------------------------
 */

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

static const struct gd_rpc_daemon daemon_part = { .status = d_status,
                                                  .check = d_later,
                                                  .reload = d_later,
                                                  .drain = d_later,
                                                  .clock = d_later,
                                                  .storage = d_storage };

/* ---- a client ---------------------------------------------------------------------------------------------
 */

static int connect_to(const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memcpy(sa.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void pump(struct fix *f)
{
    uv_run(&f->loop, UV_RUN_NOWAIT);
    while (fake_tick())
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void take_in(struct fix *f)
{
    char part[65536];
    ssize_t n = recv(f->fd, part, sizeof part, 0);

    if (n > 0)
        gd_buf_add(&f->in, part, (size_t)n);
    else if (n == 0 || errno == ECONNRESET)
        f->eof = true;
}

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Turns the loop until so many lines have come, or the end, or 10 s. */
static void wait_lines(struct fix *f, size_t lines)
{
    int64_t end = now_ms() + 10000;
    size_t n = 0;

    while (n < lines && !f->eof && now_ms() < end) {
        pump(f);
        take_in(f);
        n = 0;
        for (size_t i = 0; i < f->in.len; i++)
            n += f->in.ptr[i] == '\n';
    }
    if (n < lines && !f->eof)
        fail_msg("waited for %zu lines, got %zu: %s", lines, n, f->in.ptr ? f->in.ptr : "");
}

static void say(struct fix *f, const char *p, size_t n)
{
    int64_t end = now_ms() + 10000;

    while (n && now_ms() < end) {
        ssize_t k = send(f->fd, p, n, MSG_NOSIGNAL);

        if (k > 0) {
            p += k;
            n -= (size_t)k;
        } else if (errno != EAGAIN) {
            return;
        }
        pump(f);
        take_in(f);
    }
}

static void says(struct fix *f, const char *text)
{
    say(f, text, strlen(text));
}

static const char *ask(struct fix *f, const char *text)
{
    gd_buf_clear(&f->in);
    say(f, text, strlen(text));
    wait_lines(f, 1);
    return f->in.ptr ? f->in.ptr : "";
}

static void quiet(struct fix *f)
{
    for (int i = 0; i < 20; i++)
        pump(f);
    take_in(f);
}

static void expect(const char *answer, const char *part)
{
    if (!strstr(answer, part))
        fail_msg("no %s in %s", part, answer);
}

static void refused(struct fix *f, const char *text, const char *reason)
{
    char part[64];

    (void)snprintf(part, sizeof part, "\"reason\":\"%s\"", reason);
    expect(ask(f, text), part);
}

/* ---- fixture ----------------------------------------------------------------------------------------------
 */

static int open_rpc(struct fix *f, const char *path, struct gd_err *err)
{
    struct gd_rpc_options o = {
        .socket_path = path, .listen_fd = -1, .mode = 0660, .audit_path = "/audit.log"
    };

    return gd_rpc_open(&f->rpc, &f->loop, &o, NULL, &daemon_part, NULL, NULL, NULL, &f->clock.clock, NULL,
                       err);
}

static int setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);
    struct gd_err err = { 0 };

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/rpc-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/s", f->dir);
    uv_loop_init(&f->loop);
    fake_open();
    gd_clock_virtual_init(&f->clock, 1795000000000);
    if (open_rpc(f, f->path, &err) < 0)
        fail_msg("%s", err.text);
    f->fd = connect_to(f->path);
    gd_buf_init(&f->in, 64 * 1024 * 1024);
    *state = f;
    return 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    struct fix *f = *state;
    int64_t end = now_ms() + 10000;

    close(f->fd);
    gd_rpc_close(f->rpc, on_closed, &f->closed);
    while (!f->closed && now_ms() < end)
        pump(f);
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

/* ---- framing ----------------------------------------------------------------------------------------------
 */

static void a_call_is_answered(void **state)
{
    struct fix *f = *state;
    const char *a;

    fake.result = gd_json_parse("{\"client\":" CLIENT "}", strlen("{\"client\":" CLIENT "}"), 9999, NULL);
    a = ask(f, CALL("client.get", "{\"client\":\"" CL "\"}"));
    expect(a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"client\":");
    assert_string_equal(fake.act, "gd_client_get");
    assert_string_equal(gd_json_text(fake.params, "workspace", ""), "main");
    expect(ask(f, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"daemon.status\"}\r\n"),
           "\"id\":\"x\",\"result\":{");
    expect(ask(f, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"daemon.status\"}\n"),
           "\"id\":null,\"result\":{");
}

static void malformed_frames(void **state)
{
    static const char *const frames[][2] = {
        { "{\n", "JSON_INVALID" },
        { "}\n", "JSON_INVALID" },
        { "nonsense\n", "JSON_INVALID" },
        { "{\"a\":1,\"a\":2}\n", "JSON_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\",\"x\":\"\\u0000\"}\n", "JSON_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}\n", "JSON_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"} x\n", "JSON_INVALID" },
        { "7\n", "JSON_INVALID" },
        { "{}\n", "CALL_INVALID" },
        { "{\"id\":1,\"method\":\"daemon.status\"}\n", "CALL_INVALID" },
        { "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"daemon.status\"}\n", "CALL_INVALID" },
        { "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"daemon.status\"}\n", "CALL_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1}\n", "CALL_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}\n", "CALL_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"daemon.status\"}\n", "CALL_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"daemon.status\"}\n", "CALL_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.statu\"}\n", "METHOD_UNKNOWN" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\"}\n", "METHOD_UNKNOWN" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\",\"params\":[]}\n", "PARAM_INVALID" },
        { "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.get\"}\n", "PARAM_INVALID" },
        { "[]\n", "BATCH_TOO_LARGE" },
        { "[7]\n", "CALL_INVALID" },
    };
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
        refused(f, frames[i][0], frames[i][1]);
    assert_int_equal(fake.acts, 0);
    assert_int_equal(json_array_size(fake.records), 0);
    expect(ask(f, CALL("daemon.status", "{}")), "\"result\""); /* the connection lives on */
}

static void nul_and_depth(void **state)
{
    struct fix *f = *state;
    char deep[200] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\",\"params\":";
    size_t n = strlen(deep);

    memset(deep + n, '[', 100);
    deep[n + 100] = '\n';
    refused(f, deep, "JSON_TOO_DEEP");
    gd_buf_clear(&f->in);
    say(f, "{\"a\0\":1}\n", 9);
    wait_lines(f, 1);
    expect(f->in.ptr, "JSON_INVALID");
}

static void too_large_is_answered_then_closed(void **state)
{
    struct fix *f = *state;
    char *big = gd_new(300 * 1024);

    memset(big, ' ', 300 * 1024 - 1);
    big[0] = '{';
    say(f, big, 300 * 1024 - 1);
    shutdown(f->fd, SHUT_WR);
    wait_lines(f, 2); /* one comes, then the end */
    expect(f->in.ptr, "\"reason\":\"FRAME_TOO_LARGE\"");
    assert_true(f->eof);
    gd_free(big);
}

static void the_largest_frame_is_taken(void **state)
{
    struct fix *f = *state;
    static const char start[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"";
    char *big = gd_new(GD_RPC_FRAME_MAX + 8);

    memset(big, ' ', GD_RPC_FRAME_MAX);
    memcpy(big, start, sizeof start - 1);
    big[GD_RPC_FRAME_MAX - 1] = '}';
    big[GD_RPC_FRAME_MAX] = '\n';
    expect(ask(f, big), "\"result\"");
    memmove(big + 1, big, GD_RPC_FRAME_MAX + 1);
    big[0] = ' ';
    refused(f, big, "FRAME_TOO_LARGE");
    gd_free(big);
}

static void one_byte_at_a_time(void **state)
{
    static const char text[] = "\n  \n" CALL("daemon.status", "{}");
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof text - 1; i++)
        say(f, text + i, 1);
    wait_lines(f, 1);
    expect(f->in.ptr, "\"result\"");
}

static void batches(void **state)
{
    struct fix *f = *state;
    struct gd_buf b;

    fake.result = json_pack("{s:[]}", "clients");
    expect(ask(f, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"client.list\"},"
                  "{\"jsonrpc\":\"2.0\",\"method\":\"client.list\"},7,"
                  "{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"nope\"}]\n"),
           "\"reason\":\"METHOD_UNKNOWN\"");
    assert_true(f->in.ptr[0] == '[');
    expect(f->in.ptr, "\"id\":1,\"result\":{\"clients\":[]}");
    expect(f->in.ptr, "\"id\":null,\"error\"");
    assert_true(!strcmp(f->in.ptr + f->in.len - 2, "]\n"));
    assert_int_equal(fake.acts, 2);
    gd_buf_init(&b, 100000);
    for (int i = 0; i < 33; i++)
        gd_buf_adds(&b, i ? ",{}" : "[{}");
    gd_buf_adds(&b, "]\n");
    refused(f, b.ptr, "BATCH_TOO_LARGE");
    gd_buf_done(&b);
}

static void notifications_are_silent(void **state)
{
    struct fix *f = *state;
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"method\":\"client.list\"}\n"
                               "[{\"jsonrpc\":\"2.0\",\"method\":\"client.list\"}]\n"
                               "{\"jsonrpc\":\"2.0\",\"method\":\"nope\"}\n";

    fake.result = json_pack("{s:[]}", "clients");
    say(f, text, strlen(text));
    quiet(f);
    assert_int_equal(fake.acts, 2);
    assert_int_equal(f->in.len, 0);
}

static void half_closed_peers_get_their_answer(void **state)
{
    struct fix *f = *state;
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"client.list\"}"; /* no line feed */

    fake.result = json_pack("{s:[]}", "clients");
    assert_int_equal(send(f->fd, text, strlen(text), 0), strlen(text));
    shutdown(f->fd, SHUT_WR);
    wait_lines(f, 2);
    expect(f->in.ptr, "\"id\":5,\"result\":{\"clients\":[]}");
    assert_true(f->eof);
}

static void many_at_once(void **state)
{
    struct fix *f = *state;
    struct gd_buf b;

    fake.result = json_pack("{s:[]}", "clients");
    gd_buf_init(&b, 10000000);
    for (int i = 0; i < 3000; i++)
        gd_buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"client.list\"}\n", i);
    say(f, b.ptr, b.len);
    wait_lines(f, 3000);
    assert_int_equal(fake.acts, 3000);
    gd_buf_done(&b);
}

/* Who never reads is cut when 4 MiB wait, not before. */
static void unread_replies_cut_the_peer(void **state)
{
    struct fix *f = *state;
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"daemon.help\"}\n";
    int64_t end = now_ms() + 20000;
    bool cut = false;
    json_t *s;

    while (!cut && now_ms() < end) {
        ssize_t n = send(f->fd, text, strlen(text), MSG_NOSIGNAL);

        pump(f);
        s = gd_rpc_status(f->rpc);
        cut = gd_json_i64(s, "connections", 9) == 0;
        json_decref(s);
        if (n < 0 && errno == EAGAIN) /* it reads no more: 1 MiB waits, which is allowed */
            break;
    }
    s = gd_rpc_status(f->rpc);
    assert_true(gd_json_i64(s, "in_flight", 99) == 0);
    json_decref(s);
    fake.result = json_pack("{s:[]}", "clients");
    wait_lines(f, 100); /* reading again makes it go on */
    assert_false(cut);
}

/* ---- HTTP -------------------------------------------------------------------------------------------------
 */

#define BODY "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}"

static void http_posts(void **state)
{
    struct fix *f = *state;
    static const char two[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 49\r\n\r\n" BODY
                              "POST /rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "31\r\n" BODY "\r\n0\r\n\r\n";

    assert_int_equal(strlen(BODY), 49);
    say(f, two, strlen(two));
    wait_lines(f, 12);
    expect(f->in.ptr, "HTTP/1.1 200 OK\r\n");
    expect(f->in.ptr + 20, "HTTP/1.1 200 OK\r\n");
    expect(f->in.ptr, "\"result\":{");
    assert_false(f->eof);
    gd_buf_clear(&f->in);
    says(f, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 45\r\n\r\n"
            "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"}   ");
    wait_lines(f, 3);
    expect(f->in.ptr, "HTTP/1.1 204 No Content\r\n");
}

static void http_refusals(void **state)
{
    static const char *const texts[][2] = {
        { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", " 405 " },
        { "POST /elsewhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", " 404 " },
        { "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", " 400 " },
        { "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
          " 400 " },
        { "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n", " 400 " },
        { "Content-Length: 2\r\n\r\n{}", " 400 " },
        { "POST / HTTP/9.1\r\n\r\n", " 400 " },
        { "HELO\r\n\r\n", " 400 " },
    };
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        gd_buf_clear(&f->in);
        say(f, texts[i][0], strlen(texts[i][0]));
        wait_lines(f, 5);
        if (!f->in.ptr || !strstr(f->in.ptr, texts[i][1]))
            fail_msg("%s: %s", texts[i][0], f->in.ptr ? f->in.ptr : "nothing");
        expect(f->in.ptr, "HTTP_INVALID");
        close(f->fd);
        f->fd = connect_to(f->path);
        f->eof = false;
    }
}

static void http_limits(void **state)
{
    struct fix *f = *state;
    char *big = gd_new(80 * 1024);
    int n = snprintf(big, 1000, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n");

    memset(big + n, ' ', 70000);
    say(f, big, (size_t)n + 70000);
    wait_lines(f, 5);
    expect(f->in.ptr, " 413 ");
    expect(f->in.ptr, "FRAME_TOO_LARGE");
    close(f->fd);
    f->fd = connect_to(f->path);
    f->eof = false;
    gd_buf_clear(&f->in);
    n = snprintf(big, 1000, "POST / HTTP/1.1\r\nX: ");
    memset(big + n, 'a', 70000);
    say(f, big, (size_t)n + 70000);
    wait_lines(f, 5);
    expect(f->in.ptr, " 431 ");
    gd_free(big);
}

static void http_100_continue(void **state)
{
    struct fix *f = *state;

    says(f, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 49\r\n\r\n");
    wait_lines(f, 2);
    expect(f->in.ptr, "100 Continue");
    expect(ask(f, BODY), "200 OK");
}

/* ---- rules ------------------------------------------------------------------------------------------------
 */

static bool nothing(const struct gd_caller *c, const char *method, const char *workspace, const char *client)
{
    (void)c;
    (void)method;
    (void)workspace;
    (void)client;
    return false;
}

/* As a rule for the client CL in main: it holds for the method as such, and for calls that name both. */
static bool one_client(const struct gd_caller *c, const char *method, const char *workspace,
                       const char *client)
{
    (void)c;
    (void)method;
    if (!workspace && !client)
        return true;
    return workspace && !strcmp(workspace, "main") && client && !strcmp(client, CL);
}

static void default_deny(void **state)
{
    struct fix *f = *state;
    json_t *help = NULL, *one;
    struct gd_err err;
    char text[256];
    size_t i;

    (void)ask(f, CALL("daemon.help", "{}"));
    help = gd_json_parse(f->in.ptr, f->in.len, 1000000, &err);
    assert_non_null(help);
    fake.rule = nothing;
    fake.token = "canary-token";
    json_array_foreach(gd_json_at(help, "result.methods"), i, one)
    {
        const char *method = gd_json_text(one, "method", "");

        if (!strcmp(method, "daemon.help"))
            continue;
        (void)snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"}\n", method);
        refused(f, text, "DENIED");
    }
    assert_int_equal(i, 43);
    json_decref(help);
    assert_int_equal(fake.acts, 0);
    assert_true(json_array_size(fake.records) > 0);                          /* refusals are on record */
    expect(ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), "DENIED"); /* the hot path too */
    assert_null(strstr(f->in.ptr, "canary"));
}

static void other_clients_things_do_not_exist(void **state)
{
    struct fix *f = *state;
    char first[1024];

    fake.rule = one_client;
    fake.token = "canary-token";
    (void)snprintf(fake.client, sizeof fake.client, "cl0000000000000000000000000z");
    (void)snprintf(first, sizeof first, "%s", ask(f, CALL("grant.get", "{\"grant\":\"" GR "\"}")));
    expect(first, "NOT_FOUND");
    fake.client[0] = '\0'; /* now it really does not exist: the same bytes */
    assert_string_equal(ask(f, CALL("grant.get", "{\"grant\":\"" GR "\"}")), first);
    assert_string_equal(ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), first);
    (void)snprintf(fake.client, sizeof fake.client, CL);
    refused(f, CALL("grant.get", "{\"grant\":\"" GR "\",\"workspace\":\"other\"}"), "NOT_FOUND");
    refused(f, CALL("app.list", "{}"), "DENIED"); /* all clients' */
    refused(f, CALL("client.get", "{\"client\":\"cl0000000000000000000000000z\"}"), "NOT_FOUND");
    refused(f, CALL("grant.list", "{\"client\":\"cl0000000000000000000000000z\"}"), "NOT_FOUND");
    refused(f, CALL("client.create", "{\"name\":\"A\"}"), "DENIED");
    refused(f, CALL("audit.list", "{}"), "DENIED");
    refused(f, CALL("daemon.drain", "{}"), "DENIED");
    refused(f, CALL("request.cancel", "{\"request\":\"" RQ "\"}"), "NOT_FOUND");
    fake.request = json_pack("{s:{s:s}}", "request", "client", "cl0000000000000000000000000z");
    refused(f, CALL("request.cancel", "{\"request\":\"" RQ "\"}"), "NOT_FOUND");
    refused(f, CALL("request.get", "{\"request\":\"" RQ "\"}"), "NOT_FOUND");
    assert_int_equal(fake.acts, 0);
}

static void listings_show_only_what_may_be_seen(void **state)
{
    struct fix *f = *state;
    json_t *other =
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", "cl0000000000000000000000000z", "workspace", "main", "name",
                  "Other", "state", "active", "created_at", "2026-11-21T23:16:04.123Z");

    fake.rule = one_client;
    fake.result = json_pack("{s:[o,o]}", "clients", gd_json_parse(CLIENT, strlen(CLIENT), 9999, NULL), other);
    expect(ask(f, CALL("client.list", "{}")), CL);
    assert_null(strstr(f->in.ptr, "Other"));
    assert_int_equal(json_array_size(json_object_get(fake.result, "clients")),
                     2); /* the broker's own is untouched */
}

/* ---- audit ------------------------------------------------------------------------------------------------
 */

static void changes_are_recorded_twice(void **state)
{
    struct fix *f = *state;
    json_t *r;

    fake.result = gd_json_parse("{\"client\":" CLIENT "}", strlen("{\"client\":" CLIENT "}"), 9999, NULL);
    expect(ask(f, CALL("client.create", "{\"name\":\"Secret Bakery\",\"email\":\"a@b.c\"}")), "\"result\"");
    assert_int_equal(json_array_size(fake.records), 2);
    r = json_array_get(fake.records, 0);
    assert_string_equal(gd_json_text(r, "phase", ""), "request");
    assert_int_equal(json_string_length(gd_json_at(r, "data.name.hmac")), 16);
    r = json_array_get(fake.records, 1);
    assert_string_equal(gd_json_text(r, "phase", ""), "done");
    assert_string_equal(gd_json_text(r, "outcome", ""), "ok");
    assert_string_equal(gd_json_text(r, "subject", ""), CL);
    json_decref(fake.result);
    fake.result = NULL;
    gd_err_set(&fake.err, GD_R_CONFLICT, "changed meanwhile");
    refused(f, CALL("client.update", "{\"client\":\"" CL "\",\"name\":\"B\"}"), "CONFLICT");
    r = json_array_get(fake.records, 3);
    assert_string_equal(gd_json_text(r, "outcome", ""), "CONFLICT");
    assert_string_equal(gd_json_text(r, "client", ""), CL);
    expect(ask(f, CALL("client.get", "{\"client\":\"" CL "\"}")), "CONFLICT");
    assert_int_equal(json_array_size(fake.records), 4); /* a read is not recorded */
}

static void no_audit_no_change(void **state)
{
    struct fix *f = *state;

    fake.result = gd_json_parse("{\"client\":" CLIENT "}", strlen("{\"client\":" CLIENT "}"), 9999, NULL);
    fake.audit_dead = true;
    refused(f, CALL("client.create", "{\"name\":\"A\"}"), "AUDIT_UNAVAILABLE");
    fake.audit_dead = false;
    fake.audit_fails_request = true;
    refused(f, CALL("client.create", "{\"name\":\"A\"}"), "AUDIT_UNAVAILABLE");
    assert_int_equal(fake.acts, 0);
    fake.audit_fails_request = false;
    fake.audit_fails_done = true;
    refused(f, CALL("client.create", "{\"name\":\"A\"}"), "AUDIT_UNAVAILABLE");
    expect(f->in.ptr, "it was done");
    assert_int_equal(fake.acts, 1);
}

static void audit_methods(void **state)
{
    struct fix *f = *state;

    expect(ask(f, CALL("audit.verify", "{}")), "\"bad_line\":5");
    expect(f->in.ptr, "\"ok\":false");
    expect(f->in.ptr, "\"why\":\"hash\"");
    expect(ask(f, CALL("audit.list", "{\"limit\":3}")), "\"next\":3");
    expect(ask(f, CALL("audit.list", "{\"limit\":3,\"after\":3}")), "\"next\":6");
    expect(ask(f, CALL("audit.list", "{\"limit\":3,\"after\":6}")), "\"records\":[{");
    assert_null(strstr(f->in.ptr, "next"));
    expect(ask(f, CALL("audit.export", "{\"limit\":2}")),
           "\"count\":2,\"lines\":\"{\\\"act\\\":\\\"x\\\",\\\"seq\\\":1}\\n");
}

/* ---- vends ------------------------------------------------------------------------------------------------
 */

static void hot_path_equals_general_path(void **state)
{
    static const int64_t times[] = { 0, 1795000000123, 951782400000 };
    struct fix *f = *state;
    char fast[1024];

    for (size_t i = 0; i < 3; i++) {
        fake.token = "ya29.some-token";
        fake.expires_at = times[i];
        fake.acts = fake.tries = 0;
        (void)snprintf(fast, sizeof fast, "%s", ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")));
        expect(fast, "\"access_token\":\"ya29.some-token\"");
        assert_int_equal(fake.tries, 1);
        assert_int_equal(fake.acts, 0);
        /* the same request, written so that only jansson reads it */
        assert_string_equal(ask(f, CALL("grant.token", "{\"gr\\u0061nt\":\"" GR "\"}")), fast);
        assert_string_equal(ask(f,
                                "{\"jsonrpc\":\"2.0\",\"id\":1,\"x\":0,\"method\":\"grant.token\",\"params\":"
                                "{\"grant\":\"" GR "\",\"workspace\":\"main\"}}\n"),
                            fast);
        assert_int_equal(fake.acts, 2);
        fake.later = true; /* the hot path passes it on */
        assert_string_equal(ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), fast);
        assert_int_equal(fake.acts, 3);
        fake.later = false;
    }
    fake.token = "quo\"te\\and\xc3\xa4";
    expect(ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), "quo\\\"te\\\\and\xc3\xa4");
    assert_int_equal(json_array_size(fake.records), 0); /* the broker records vends itself */
}

static void pipelined_vends(void **state)
{
    struct fix *f = *state;
    struct gd_buf b;

    fake.token = "t";
    gd_buf_init(&b, 10000000);
    for (int i = 0; i < 6000; i++)
        gd_buf_addf(&b,
                    "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
                    "\"}}\n",
                    i);
    say(f, b.ptr, b.len);
    wait_lines(f, 6000);
    assert_int_equal(fake.tries, 6000);
    assert_int_equal(fake.prefetched, 6000);
    for (int i = 0; i < 6000; i += 997) {
        char want[64];

        (void)snprintf(want, sizeof want, "\"id\":%d,\"result\":{\"access_token\":\"t\"", i);
        expect(f->in.ptr, want);
    }
    gd_buf_done(&b);
}

static void vends_and_half_close(void **state)
{
    struct fix *f = *state;
    static const char text[] = CALL("grant.token", "{\"grant\":\"" GR "\"}");

    fake.token = "t";
    assert_int_equal(send(f->fd, text, strlen(text) - 1, 0), strlen(text) - 1);
    shutdown(f->fd, SHUT_WR);
    wait_lines(f, 2);
    expect(f->in.ptr, "\"access_token\":\"t\"");
    assert_true(f->eof);
}

/* ---- peers and calls --------------------------------------------------------------------------------------
 */

static void peers_per_uid(void **state)
{
    struct fix *f = *state;
    int fds[GD_RPC_PEERS_PER_UID + 3], n = GD_RPC_PEERS_PER_UID + 3;
    char text[512];
    json_t *s;

    for (int i = 0; i < n; i++) {
        fds[i] = connect_to(f->path);
        pump(f);
    }
    s = gd_rpc_status(f->rpc);
    assert_int_equal(gd_json_i64(s, "connections", 0), GD_RPC_PEERS_PER_UID);
    assert_int_equal(gd_json_i64(s, "turned_away", 0), 4);
    assert_int_equal(gd_json_i64(s, "callers", 0), 1);
    json_decref(s);
    assert_true(recv(fds[n - 1], text, sizeof text - 1, 0) > 0);
    expect(text, "PEERS_TOO_MANY");
    for (int i = 0; i < n; i++)
        close(fds[i]);
    quiet(f);
    expect(ask(f, CALL("daemon.status", "{}")), "\"connections\":1,");
}

static void the_peer_leaves_during_a_call(void **state)
{
    struct fix *f = *state;
    static const char text[] = CALL("client.list", "{}");

    fake.result = json_pack("{s:[]}", "clients");
    assert_int_equal(send(f->fd, text, strlen(text), 0), strlen(text));
    uv_run(&f->loop, UV_RUN_NOWAIT);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(fake.acts, 1);
    close(f->fd);
    for (int i = 0; i < 5; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    quiet(f); /* the answer comes when nobody is there */
    f->fd = connect_to(f->path);
    expect(ask(f, CALL("daemon.status", "{}")), "\"in_flight\":1,");
}

static void a_lost_call_is_answered(void **state)
{
    struct fix *f = *state;
    static const char text[] = CALL("client.list", "{}");
    int64_t end = now_ms() + 10000;

    fake.forget = true;
    say(f, text, strlen(text));
    quiet(f);
    assert_int_equal(f->in.len, 0);
    gd_clock_virtual_advance(&f->clock, GD_RPC_CALL_MS_MAX + 1);
    while (!f->in.len && now_ms() < end) {
        pump(f);
        take_in(f);
    }
    expect(f->in.ptr, "\"reason\":\"INTERNAL\"");
    /* the handler comes back late: nobody hears it, nothing breaks */
    gd_buf_clear(&f->in);
    fake_release();
    quiet(f);
    assert_int_equal(f->in.len, 0);
}

static void a_wrong_reply_is_not_sent(void **state)
{
    struct fix *f = *state;

    fake.result = json_pack("{s:[{s:s}]}", "clients", "id", "not-an-id");
#ifdef GRANTD_FAULTS
    refused(f, CALL("client.list", "{}"), "INTERNAL");
#else
    expect(ask(f, CALL("client.list", "{}")), "not-an-id"); /* checked in debug builds only */
#endif
}

static void draining(void **state)
{
    struct fix *f = *state;

    fake.token = "t";
    gd_rpc_drain(f->rpc);
    refused(f, CALL("client.list", "{}"), "SHUTTING_DOWN");
    refused(f, CALL("grant.token", "{\"grant\":\"" GR "\"}"), "SHUTTING_DOWN");
    expect(ask(f, CALL("daemon.status", "{}")), "\"draining\":true");
}

/* ---- events -----------------------------------------------------------------------------------------------
 */

static void subscriptions(void **state)
{
    struct fix *f = *state;

    expect(ask(f, CALL("event.subscribe",
                       "{\"types\":[\"grant.*\"],\"cursor\":\"ev00000000000000000000000000\"}")),
           "\"result\":{\"cursor\"");
    assert_int_equal(fake.watches, 1);
    gd_buf_clear(&f->in);
    fake_event("ev00000000000000000000000001", "client.created", CL);
    fake_event("ev00000000000000000000000002", "grant.active", GR);
    wait_lines(f, 1);
    expect(f->in.ptr, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{");
    expect(f->in.ptr, "grant.active");
    assert_null(strstr(f->in.ptr, "client.created"));
    refused(f, CALL("event.subscribe", "{}"), "SUBSCRIBED_ALREADY");
    close(f->fd);
    quiet(f);
    assert_int_equal(fake.watches, 0);
    f->fd = connect_to(f->path);
    expect(ask(f, CALL("event.list", "{\"limit\":1}")), "\"cursor\":\"ev00000000000000000000000001\"");
}

static void subscribers_miss_nothing_and_see_only_theirs(void **state)
{
    struct fix *f = *state;
    char id[32];
    size_t n = 0;

    fake.rule = one_client;
    for (int i = 1; i <= 450; i++) {
        (void)snprintf(id, sizeof id, "ev%026d", i);
        fake_event(id, "client.updated", i % 2 ? CL : "cl0000000000000000000000000z");
    }
    say(f, CALL("event.subscribe", "{\"cursor\":\"ev00000000000000000000000000\"}"),
        strlen(CALL("event.subscribe", "{\"cursor\":\"ev00000000000000000000000000\"}")));
    wait_lines(f, 226);
    quiet(f);
    for (size_t i = 0; i < f->in.len; i++)
        n += f->in.ptr[i] == '\n';
    assert_int_equal(n, 226); /* the answer and every other event */
    assert_null(strstr(f->in.ptr, "000z\""));
}

static void http_cannot_subscribe(void **state)
{
    struct fix *f = *state;
    static const char body[] = CALL("event.subscribe", "{}");
    char text[512];
    int n =
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);

    say(f, text, (size_t)n);
    wait_lines(f, 6);
    expect(f->in.ptr, "SUBSCRIBE_NEEDS_LINES");
    assert_int_equal(fake.watches, 0);
}

/* ---- the socket file --------------------------------------------------------------------------------------
 */

static void refuse_socket(struct fix *f, const char *path, enum gd_reason reason)
{
    struct gd_rpc *mine = f->rpc;
    struct gd_err err = { 0 };

    assert_int_equal(open_rpc(f, path, &err), -1);
    assert_string_equal(gd_reason_word(err.reason), gd_reason_word(reason));
    f->rpc = mine;
}

static void socket_paths(void **state)
{
    struct fix *f = *state;
    char path[5000], name[5000];
    struct stat st;
    int fd;

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    memset(name, 'x', sizeof name);
    for (size_t n = 108; n <= 4096; n += 997) {
        (void)snprintf(path, sizeof path, "%s/%.*s", f->dir, (int)(n - strlen(f->dir) - 1), name);
        refuse_socket(f, path, GD_R_SOCKET_PATH_TOO_LONG);
    }
    refuse_socket(f, f->path, GD_R_SOCKET_IN_USE);
    (void)snprintf(path, sizeof path, "%s/file", f->dir);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "keep", 4), 4);
    close(fd);
    refuse_socket(f, path, GD_R_SOCKET_NOT_OURS);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4);
    (void)snprintf(name, sizeof name, "%s/link", f->dir);
    assert_int_equal(symlink(f->path, name), 0);
    refuse_socket(f, name, GD_R_SOCKET_NOT_OURS);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/no/folder", f->dir);
    refuse_socket(f, path, GD_R_SOCKET_FAILED);
    expect(ask(f, CALL("daemon.status", "{}")), "\"result\"");
}

static void a_dead_socket_is_replaced(void **state)
{
    struct fix *f = *state, g = *f;
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct gd_err err = { 0 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool closed = false;

    (void)snprintf(g.path, sizeof g.path, "%.60s/dead", f->dir);
    memcpy(sa.sun_path, g.path, sizeof sa.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    close(fd);
    {
        struct gd_rpc_options o = {
            .socket_path = g.path, .listen_fd = -1, .mode = 0600, .audit_path = "/audit.log"
        };

        assert_int_equal(gd_rpc_open(&g.rpc, &f->loop, &o, NULL, &daemon_part, NULL, NULL, NULL,
                                     &f->clock.clock, NULL, &err),
                         0);
    }
    fd = connect_to(g.path);
    close(fd);
    gd_rpc_close(g.rpc, on_closed, &closed);
    while (!closed)
        pump(f);
    assert_int_equal(access(g.path, F_OK), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_call_is_answered),
        T(malformed_frames),
        T(nul_and_depth),
        T(too_large_is_answered_then_closed),
        T(the_largest_frame_is_taken),
        T(one_byte_at_a_time),
        T(batches),
        T(notifications_are_silent),
        T(half_closed_peers_get_their_answer),
        T(many_at_once),
        T(unread_replies_cut_the_peer),
        T(http_posts),
        T(http_refusals),
        T(http_limits),
        T(http_100_continue),
        T(default_deny),
        T(other_clients_things_do_not_exist),
        T(listings_show_only_what_may_be_seen),
        T(changes_are_recorded_twice),
        T(no_audit_no_change),
        T(audit_methods),
        T(hot_path_equals_general_path),
        T(pipelined_vends),
        T(vends_and_half_close),
        T(peers_per_uid),
        T(the_peer_leaves_during_a_call),
        T(a_lost_call_is_answered),
        T(a_wrong_reply_is_not_sent),
        T(draining),
        T(subscriptions),
        T(subscribers_miss_nothing_and_see_only_theirs),
        T(http_cannot_subscribe),
        T(socket_paths),
        T(a_dead_socket_is_replaced),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
