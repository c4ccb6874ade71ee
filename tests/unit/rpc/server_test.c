/* What comes over the socket: frames, batches, HTTP; on a real socket, with doubles behind it. */
#include "server_kit.h"

/* ---- framing ---- */

static void a_call_is_answered(void **state)
{
    struct fix *f = *state;
    const char *a;

    fake.result = gd_json_parse("{\"client\":" CLIENT "}", strlen("{\"client\":" CLIENT "}"), 9999, NULL);
    a = kit_ask(f, CALL("client.get", "{\"client\":\"" CL "\"}"));
    kit_expect(a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"client\":");
    assert_string_equal(fake.act, "gd_client_get");
    assert_string_equal(gd_json_text(fake.params, "workspace", ""), "main");
    kit_expect(kit_ask(f, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"daemon.status\"}\r\n"),
               "\"id\":\"x\",\"result\":{");
    kit_expect(kit_ask(f, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"daemon.status\"}\n"),
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
        kit_refused(f, frames[i][0], frames[i][1]);
    assert_int_equal(fake.acts, 0);
    assert_int_equal(json_array_size(fake.records), 0);
    kit_expect(kit_ask(f, CALL("daemon.status", "{}")), "\"result\""); /* the connection lives on */
}

static void nul_and_depth(void **state)
{
    struct fix *f = *state;
    char deep[200] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\",\"params\":";
    size_t n = strlen(deep);

    memset(deep + n, '[', 100);
    deep[n + 100] = '\n';
    kit_refused(f, deep, "JSON_TOO_DEEP");
    gd_buf_clear(&f->in);
    kit_say(f, "{\"a\0\":1}\n", 9);
    kit_wait_lines(f, 1);
    kit_expect(f->in.ptr, "JSON_INVALID");
}

static void too_large_is_answered_then_closed(void **state)
{
    struct fix *f = *state;
    char *big = gd_new(300 * 1024);

    memset(big, ' ', 300 * 1024 - 1);
    big[0] = '{';
    kit_say(f, big, 300 * 1024 - 1);
    shutdown(f->fd, SHUT_WR);
    kit_wait_lines(f, 2); /* one comes, then the end */
    kit_expect(f->in.ptr, "\"reason\":\"FRAME_TOO_LARGE\"");
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
    kit_expect(kit_ask(f, big), "\"result\"");
    memmove(big + 1, big, GD_RPC_FRAME_MAX + 1);
    big[0] = ' ';
    kit_refused(f, big, "FRAME_TOO_LARGE");
    gd_free(big);
}

static void one_byte_at_a_time(void **state)
{
    static const char text[] = "\n  \n" CALL("daemon.status", "{}");
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof text - 1; i++)
        kit_say(f, text + i, 1);
    kit_wait_lines(f, 1);
    kit_expect(f->in.ptr, "\"result\"");
}

static void batches(void **state)
{
    struct fix *f = *state;
    struct gd_buf b;

    fake.result = json_pack("{s:[]}", "clients");
    kit_expect(kit_ask(f, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"client.list\"},"
                          "{\"jsonrpc\":\"2.0\",\"method\":\"client.list\"},7,"
                          "{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"nope\"}]\n"),
               "\"reason\":\"METHOD_UNKNOWN\"");
    assert_true(f->in.ptr[0] == '[');
    kit_expect(f->in.ptr, "\"id\":1,\"result\":{\"clients\":[]}");
    kit_expect(f->in.ptr, "\"id\":null,\"error\"");
    assert_true(!strcmp(f->in.ptr + f->in.len - 2, "]\n"));
    assert_int_equal(fake.acts, 2);
    gd_buf_init(&b, 100000);
    for (int i = 0; i < 33; i++)
        gd_buf_adds(&b, i ? ",{}" : "[{}");
    gd_buf_adds(&b, "]\n");
    kit_refused(f, b.ptr, "BATCH_TOO_LARGE");
    gd_buf_done(&b);
}

static void notifications_are_silent(void **state)
{
    struct fix *f = *state;
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"method\":\"client.list\"}\n"
                               "[{\"jsonrpc\":\"2.0\",\"method\":\"client.list\"}]\n"
                               "{\"jsonrpc\":\"2.0\",\"method\":\"nope\"}\n";

    fake.result = json_pack("{s:[]}", "clients");
    kit_say(f, text, strlen(text));
    kit_quiet(f);
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
    kit_wait_lines(f, 2);
    kit_expect(f->in.ptr, "\"id\":5,\"result\":{\"clients\":[]}");
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
    kit_say(f, b.ptr, b.len);
    kit_wait_lines(f, 3000);
    assert_int_equal(fake.acts, 3000);
    gd_buf_done(&b);
}

/* Who does not read gets no more begun when 1 MiB waits; reading again makes it go on. */
static void unread_replies_hold_the_peer_back(void **state)
{
    struct fix *f = *state;
    static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"daemon.help\"}\n";
    int64_t end = kit_now_ms() + 20000;
    bool cut = false;
    json_t *s;

    while (!cut && kit_now_ms() < end) {
        ssize_t n = send(f->fd, text, strlen(text), MSG_NOSIGNAL);

        kit_pump(f);
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
    kit_wait_lines(f, 100); /* reading again makes it go on */
    assert_false(cut);
}

/* {"clients": the same one, so often}. */
static json_t *many_clients(size_t n)
{
    json_t *list = json_array(), *one = gd_json_parse(CLIENT, strlen(CLIENT), sizeof CLIENT, NULL);

    while (n--)
        json_array_append(list, one);
    json_decref(one);
    return json_pack("{s:o}", "clients", list);
}

/* A reply may be longer than what may wait unread; one that is too long is an error, not an end. */
static void long_replies_arrive(void **state)
{
    const size_t mib = 1024 * 1024 / (sizeof CLIENT - 1);
    struct fix *f = *state;

    fake.result = many_clients(17 * mib);
    kit_refused(f, CALL("client.list", "{}"), "REPLY_TOO_LARGE");
    json_decref(fake.result);
    fake.result = many_clients(6 * mib);
    assert_true(strlen(kit_ask(f, CALL("client.list", "{}"))) > 5 * 1024 * 1024);
    json_decref(fake.result);
    fake.result = many_clients(1);
    kit_expect(kit_ask(f, CALL("client.list", "{}")), "\"clients\":[{");
}

static void ask_for_lists(struct fix *f, int n)
{
    struct gd_buf b;

    gd_buf_init(&b, 1024 * 1024);
    for (int i = 0; i < n; i++)
        gd_buf_addf(&b, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"client.list\"}\n", i);
    assert_int_equal(send(f->fd, b.ptr, b.len, MSG_NOSIGNAL), b.len);
    gd_buf_done(&b);
}

/* A client that asks for much at once and reads all of it is not taken for one that does not read: also when
 * the answers are far longer than those before. */
static void pipelined_lists_all_arrive(void **state)
{
    struct fix *f = *state;

    fake.result = json_pack("{s:[]}", "clients");
    for (int i = 0; i < 40; i++)
        kit_expect(kit_ask(f, CALL("client.list", "{}")), "\"clients\":[]");
    json_decref(fake.result);
    fake.result = many_clients(96 * 1024 / (sizeof CLIENT - 1));
    gd_buf_clear(&f->in);
    ask_for_lists(f, 60);
    kit_wait_lines(f, 60);
    assert_false(f->eof);
    gd_buf_clear(&f->in);
    ask_for_lists(f, 60); /* and when it is known how long they are, no heap is made of them */
    kit_wait_lines(f, 60);
    assert_false(f->eof);
}

static void who_never_reads_is_cut(void **state)
{
    struct fix *f = *state;
    int64_t end = kit_now_ms() + 60000, connections = 1;

    fake.result = json_pack("{s:[]}", "clients");
    for (int i = 0; i < 40; i++)
        kit_expect(kit_ask(f, CALL("client.list", "{}")), "\"clients\":[]");
    json_decref(fake.result);
    fake.result = many_clients(256 * 1024 / (sizeof CLIENT - 1));
    ask_for_lists(f, 50);
    while (connections && kit_now_ms() < end) {
        json_t *s;

        kit_pump(f);
        gd_clock_virtual_advance(&f->clock, GD_RPC_UNREAD_MS / 20);
        s = gd_rpc_status(f->rpc);
        connections = gd_json_i64(s, "connections", 9);
        json_decref(s);
    }
    assert_int_equal(connections, 0);
}

/* ---- HTTP ---- */

#define BODY "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}"

static void http_posts(void **state)
{
    struct fix *f = *state;
    static const char two[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 49\r\n\r\n" BODY
                              "POST /rpc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "31\r\n" BODY "\r\n0\r\n\r\n";

    assert_int_equal(strlen(BODY), 49);
    kit_say(f, two, strlen(two));
    kit_wait_lines(f, 12);
    kit_expect(f->in.ptr, "HTTP/1.1 200 OK\r\n");
    kit_expect(f->in.ptr + 20, "HTTP/1.1 200 OK\r\n");
    kit_expect(f->in.ptr, "\"result\":{");
    assert_false(f->eof);
    gd_buf_clear(&f->in);
    kit_says(f, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 45\r\n\r\n"
                "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"}   ");
    kit_wait_lines(f, 3);
    kit_expect(f->in.ptr, "HTTP/1.1 204 No Content\r\n");
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
        kit_say(f, texts[i][0], strlen(texts[i][0]));
        kit_wait_lines(f, 5);
        if (!f->in.ptr || !strstr(f->in.ptr, texts[i][1]))
            fail_msg("%s: %s", texts[i][0], f->in.ptr ? f->in.ptr : "nothing");
        kit_expect(f->in.ptr, "HTTP_INVALID");
        close(f->fd);
        f->fd = kit_connect_to(f->path);
        f->eof = false;
    }
}

static void http_limits(void **state)
{
    struct fix *f = *state;
    char *big = gd_new(80 * 1024);
    int n = snprintf(big, 1000, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n");

    memset(big + n, ' ', 70000);
    kit_say(f, big, (size_t)n + 70000);
    kit_wait_lines(f, 5);
    kit_expect(f->in.ptr, " 413 ");
    kit_expect(f->in.ptr, "FRAME_TOO_LARGE");
    close(f->fd);
    f->fd = kit_connect_to(f->path);
    f->eof = false;
    gd_buf_clear(&f->in);
    n = snprintf(big, 1000, "POST / HTTP/1.1\r\nX: ");
    memset(big + n, 'a', 70000);
    kit_say(f, big, (size_t)n + 70000);
    kit_wait_lines(f, 5);
    kit_expect(f->in.ptr, " 431 ");
    gd_free(big);
}

static void http_100_continue(void **state)
{
    struct fix *f = *state;

    kit_says(f, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 49\r\n\r\n");
    kit_wait_lines(f, 2);
    kit_expect(f->in.ptr, "100 Continue");
    kit_expect(kit_ask(f, BODY), "200 OK");
}

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
        T(unread_replies_hold_the_peer_back),
        T(pipelined_lists_all_arrive),
        T(who_never_reads_is_cut),
        T(long_replies_arrive),
        T(http_posts),
        T(http_refusals),
        T(http_limits),
        T(http_100_continue),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
