/* Who is connected: peers that leave, subscribers, the socket file. */
#include "server_kit.h"

/* ---- peers and calls ---- */

static void peers_per_uid(void **state)
{
    struct fix *f = *state;
    int fds[GD_RPC_PEERS_PER_UID + 3], n = GD_RPC_PEERS_PER_UID + 3;
    char text[512];
    json_t *s;

    for (int i = 0; i < n; i++) {
        fds[i] = kit_connect_to(f->path);
        kit_pump(f);
    }
    s = gd_rpc_status(f->rpc);
    assert_int_equal(gd_json_i64(s, "connections", 0), GD_RPC_PEERS_PER_UID);
    assert_int_equal(gd_json_i64(s, "turned_away", 0), 4);
    assert_int_equal(gd_json_i64(s, "callers", 0), 1);
    json_decref(s);
    assert_true(recv(fds[n - 1], text, sizeof text - 1, 0) > 0);
    kit_expect(text, "PEERS_TOO_MANY");
    for (int i = 0; i < n; i++)
        close(fds[i]);
    kit_quiet(f);
    kit_expect(kit_ask(f, CALL("daemon.status", "{}")), "\"connections\":1,");
}

/* Users that come and go (a dynamic one for each run of a service) never fill a table: who was never seen is
 * let in, and no two share a number. */
static void callers_are_not_counted_out(void **state)
{
    struct fix *f = *state;

    fake.gid = 7;
    for (unsigned i = 1; i <= GD_RPC_CALLERS_MAX + 50; i++) {
        fake.uid = 100000 + i;
        close(f->fd);
        kit_pump(f);
        f->fd = kit_connect_to(f->path);
        kit_pump(f);
    }
    kit_expect(kit_ask(f, CALL("daemon.status", "{}")), "\"turned_away\":0}");
    fake.uid = 100000 + GD_RPC_CALLERS_MAX; /* known still: no further number */
    close(f->fd);
    kit_pump(f);
    f->fd = kit_connect_to(f->path);
    kit_expect(kit_ask(f, CALL("daemon.status", "{}")), "\"callers\":1074,");
}

/* Others take what seats there are: who looks after the daemon finds one. */
static void seats_are_kept_for_the_operator(void **state)
{
    struct fix *f = *state;
    int fds[GD_RPC_PEERS_MAX], n = GD_RPC_PEERS_MAX - 1;
    char text[512];

    for (int i = 0; i < n; i++) {
        fake.uid = 100000 + (unsigned)i / 200;
        fds[i] = kit_connect_to(f->path);
        kit_pump(f);
    }
    assert_true(recv(fds[n - 1], text, sizeof text - 1, 0) > 0);
    kit_expect(text, "PEERS_TOO_MANY");
    fake.uid = 0;
    fds[n] = kit_connect_to(f->path);
    kit_pump(f);
    assert_int_equal(recv(fds[n], text, sizeof text, 0), -1);
    assert_int_equal(errno, EAGAIN);
    for (int i = 0; i <= n; i++)
        close(fds[i]);
    kit_quiet(f);
}

static bool nobody(const struct gd_caller *c, const char *method, const char *workspace, const char *client)
{
    (void)c;
    (void)method;
    (void)workspace;
    (void)client;
    return false;
}

/* A handler may wait long (a vend, for a refresh): rules that were taken away meanwhile let nothing out. */
static void rules_that_changed_during_a_call(void **state)
{
    struct fix *f = *state;
    static const char vend[] = CALL("grant.token", "{\"grant\":\"" GR "\"}");
    static const char list[] = CALL("app.list", "{}");
    static const char *const calls[] = { vend, list };

    fake.later = true;
    fake.token = "secret-token";
    fake.result = json_pack("{s:[]}", "apps");
    for (size_t i = 0; i < 2; i++) {
        gd_buf_clear(&f->in);
        assert_int_equal(send(f->fd, calls[i], strlen(calls[i]), 0), strlen(calls[i]));
        fake.acts = 0;
        while (!fake.acts) /* it is with its handler */
            uv_run(&f->loop, UV_RUN_NOWAIT);
        fake.rule = nobody;
        gd_rpc_set_policy(f->rpc, NULL);
        kit_wait_lines(f, 1);
        kit_expect(f->in.ptr, "\"reason\":\"DENIED\"");
        assert_null(strstr(f->in.ptr, "secret-token"));
        fake.rule = NULL;
        gd_rpc_set_policy(f->rpc, NULL);
    }
    kit_expect(kit_ask(f, vend), "secret-token");
}

/* What runs when the daemon ends is done and answered before the peers are cut; who asks anew is refused. */
static void closing_waits_for_calls(void **state)
{
    struct fix *f = *state, other = *f;
    static const char text[] = CALL("client.create", "{\"name\":\"A\"}");
    struct gd_err err = { 0 };

    fake.result = json_loads("{\"client\":" CLIENT "}", 0, NULL);
    assert_int_equal(send(f->fd, text, strlen(text), 0), strlen(text));
    uv_run(&f->loop, UV_RUN_NOWAIT);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    gd_rpc_drain(f->rpc);
    gd_rpc_close(f->rpc, kit_on_closed, &f->closed);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(f->closed);
    kit_wait_lines(f, 1);
    kit_expect(f->in.ptr, "\"result\":{\"client\":");
    assert_int_equal(json_array_size(fake.records), 2);
    while (!f->closed)
        kit_pump(f);
    kit_take_in(f);
    assert_true(f->eof);
    f->closed = false; /* another for the teardown */
    if (kit_open_rpc(f, other.path, &err) < 0)
        fail_msg("%s", err.text);
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
    kit_quiet(f); /* the answer comes when nobody is there */
    f->fd = kit_connect_to(f->path);
    kit_expect(kit_ask(f, CALL("daemon.status", "{}")), "\"in_flight\":1,");
}

static void a_lost_call_is_answered(void **state)
{
    struct fix *f = *state;
    static const char text[] = CALL("client.list", "{}");
    int64_t end = kit_now_ms() + 10000;

    fake.forget = true;
    kit_say(f, text, strlen(text));
    kit_quiet(f);
    assert_int_equal(f->in.len, 0);
    gd_clock_virtual_advance(&f->clock, GD_RPC_CALL_MS_MAX + 1);
    while (!f->in.len && kit_now_ms() < end) {
        kit_pump(f);
        kit_take_in(f);
    }
    kit_expect(f->in.ptr, "\"reason\":\"INTERNAL\"");
    /* the handler comes back late: nobody hears it, nothing breaks */
    gd_buf_clear(&f->in);
    fake_release();
    kit_quiet(f);
    assert_int_equal(f->in.len, 0);
}

/* A backup of many millions takes its time: nobody is told that it failed while it goes on. */
static void a_long_call_is_waited_for(void **state)
{
    struct fix *f = *state;
    static const char text[] = CALL("store.backup", "{\"to\":\"/backup\"}");
    int64_t end = kit_now_ms() + 2100; /* two sweeps */

    fake.forget = true;
    kit_say(f, text, strlen(text));
    kit_quiet(f);
    gd_clock_virtual_advance(&f->clock, GD_RPC_CALL_MS_MAX + 1);
    while (kit_now_ms() < end) {
        kit_pump(f);
        kit_take_in(f);
    }
    assert_int_equal(f->in.len, 0);
    fake_release();
    kit_wait_lines(f, 1);
    kit_expect(f->in.ptr, "\"reason\":\"CONFLICT\"");
}

static void a_wrong_reply_is_not_sent(void **state)
{
    struct fix *f = *state;

    fake.result = json_pack("{s:[{s:s}]}", "clients", "id", "not-an-id");
#ifdef GRANTD_FAULTS
    kit_refused(f, CALL("client.list", "{}"), "INTERNAL");
#else
    kit_expect(kit_ask(f, CALL("client.list", "{}")), "not-an-id"); /* checked in debug builds only */
#endif
}

static void draining(void **state)
{
    struct fix *f = *state;

    fake.token = "t";
    gd_rpc_drain(f->rpc);
    kit_refused(f, CALL("client.list", "{}"), "SHUTTING_DOWN");
    kit_refused(f, CALL("grant.token", "{\"grant\":\"" GR "\"}"), "SHUTTING_DOWN");
    kit_expect(kit_ask(f, CALL("daemon.status", "{}")), "\"draining\":true");
}

/* ---- events ---- */

static void subscriptions(void **state)
{
    struct fix *f = *state;

    kit_expect(kit_ask(f, CALL("event.subscribe",
                               "{\"types\":[\"grant.*\"],\"cursor\":\"ev00000000000000000000000000\"}")),
               "\"result\":{\"cursor\"");
    assert_int_equal(fake.watches, 1);
    gd_buf_clear(&f->in);
    fake_event("ev00000000000000000000000001", "client.created", CL);
    fake_event("ev00000000000000000000000002", "grant.active", GR);
    kit_wait_lines(f, 1);
    kit_expect(f->in.ptr, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{");
    kit_expect(f->in.ptr, "grant.active");
    assert_null(strstr(f->in.ptr, "client.created"));
    kit_refused(f, CALL("event.subscribe", "{}"), "SUBSCRIBED_ALREADY");
    close(f->fd);
    kit_quiet(f);
    assert_int_equal(fake.watches, 0);
    f->fd = kit_connect_to(f->path);
    kit_expect(kit_ask(f, CALL("event.list", "{\"limit\":1}")),
               "\"cursor\":\"ev00000000000000000000000001\"");
}

static void subscribers_miss_nothing_and_see_only_theirs(void **state)
{
    struct fix *f = *state;
    char id[32];
    size_t n = 0;

    fake.rule = kit_one_client;
    for (int i = 1; i <= 450; i++) {
        (void)snprintf(id, sizeof id, "ev%026d", i);
        fake_event(id, "client.updated", i % 2 ? CL : "cl0000000000000000000000000z");
    }
    kit_say(f, CALL("event.subscribe", "{\"cursor\":\"ev00000000000000000000000000\"}"),
            strlen(CALL("event.subscribe", "{\"cursor\":\"ev00000000000000000000000000\"}")));
    kit_wait_lines(f, 226);
    kit_quiet(f);
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

    kit_say(f, text, (size_t)n);
    kit_wait_lines(f, 6);
    kit_expect(f->in.ptr, "SUBSCRIBE_NEEDS_LINES");
    assert_int_equal(fake.watches, 0);
}

/* ---- the socket file ---- */

static void refuse_socket(struct fix *f, const char *path, enum gd_reason reason)
{
    struct gd_rpc *mine = f->rpc;
    struct gd_err err = { 0 };

    assert_int_equal(kit_open_rpc(f, path, &err), -1);
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
    kit_expect(kit_ask(f, CALL("daemon.status", "{}")), "\"result\"");
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

        assert_int_equal(gd_rpc_open(&g.rpc, &f->loop, &o, NULL, &kit_daemon, NULL, NULL, NULL,
                                     &f->clock.clock, NULL, &err),
                         0);
    }
    fd = kit_connect_to(g.path);
    close(fd);
    gd_rpc_close(g.rpc, kit_on_closed, &closed);
    while (!closed)
        kit_pump(f);
    assert_int_equal(access(g.path, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(peers_per_uid),
        T(callers_are_not_counted_out),
        T(seats_are_kept_for_the_operator),
        T(rules_that_changed_during_a_call),
        T(closing_waits_for_calls),
        T(the_peer_leaves_during_a_call),
        T(a_lost_call_is_answered),
        T(a_long_call_is_waited_for),
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
