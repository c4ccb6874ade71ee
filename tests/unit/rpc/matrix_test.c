/* Who may call what: every method by every identity, with the real rules. Only the cells of the table pass.
 */
#include "fake.h"
#include "base/mem.h"
#include "rpc/rpc.h"
#include "rpc/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#define CL      "cl01jdk3m8q4h5v6w7x8y9z0a1b2"
#define CL2     "cl01jdk3m8q4h5v6w7x8y9z0a1b3"
#define ID_TAIL "01jdk3m8q4h5v6w7x8y9z0a1b2"

static const char rules[] =
    "[{\"user\":1002,\"methods\":[\"grant.token\"]},"
    "{\"user\":1003,\"methods\":[\"grant.*\"],\"clients\":[\"" CL "\"]},"
    "{\"user\":1004,\"methods\":[\"*\"],\"workspaces\":[\"other\"]},"
    "{\"group\":5005,\"methods\":[\"client.*\",\"request.create\"],\"workspaces\":[\"main\"]}]";

/* What each identity may do in workspace main with things of CL; everything else is refused. "list" methods
 * of limited callers answer, with what may be seen. */
static const struct {
    uid_t uid;
    gid_t gid;
    const char *allowed; /* "*": all */
} people[] = {
    { 1001, 1001, " daemon.help " },
    { 1002, 1002, " daemon.help grant.token " },
    { 1003, 1003,
      " daemon.help grant.accept grant.confirm grant.get grant.list grant.refresh grant.revoke grant.submit "
      "grant.token "
      "grant.verify " },
    { 1004, 1004,
      " client.list daemon.doctor daemon.help daemon.status event.list event.subscribe grant.list "
      "platform.get platform.list "
      "platform.providers request.list store.doubts " },
    { 1005, 5005,
      " client.create client.erase client.get client.list client.update daemon.help request.create " },
};

struct fix {
    char dir[64], path[108];
    uv_loop_t loop;
    struct gd_rpc *rpc;
    struct gd_policy *policy;
    struct gd_schemas *schemas;
    struct gd_clock_virtual clock;
    bool closed;
};

static json_t *d_status(void *arg)
{
    (void)arg;
    return json_object();
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

static int setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);
    struct gd_rpc_options o = { .listen_fd = -1, .mode = 0600, .audit_path = "/audit.log" };
    json_t *list = gd_json_parse(rules, strlen(rules), sizeof rules, NULL);
    struct gd_err err = { 0 };

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/rpc-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/s", f->dir);
    o.socket_path = f->path;
    uv_loop_init(&f->loop);
    fake_open();
    fake.request = json_pack("{s:{s:s}}", "request", "client", CL);
    gd_err_set(&fake.err, GD_R_CONFLICT, "reached");
    gd_clock_virtual_init(&f->clock, 1795000000000);
    f->policy = gd_policy_new(list, NULL, NULL, &err);
    json_decref(list);
    if (!f->policy)
        fail_msg("%s", err.text);
    f->schemas = gd_schemas_new();
    assert_int_equal(gd_rpc_open(&f->rpc, &f->loop, &o, NULL, &daemon_part, f->policy, NULL, NULL,
                                 &f->clock.clock, NULL, &err),
                     0);
    *state = f;
    return 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void pump(struct fix *f)
{
    uv_run(&f->loop, UV_RUN_NOWAIT);
    while (fake_tick())
        uv_run(&f->loop, UV_RUN_NOWAIT);
}

static int teardown(void **state)
{
    struct fix *f = *state;

    gd_rpc_close(f->rpc, on_closed, &f->closed);
    for (int i = 0; i < 1000000 && !f->closed; i++)
        pump(f);
    assert_true(f->closed);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(rmdir(f->dir), 0);
    gd_policy_free(f->policy);
    gd_schemas_free(f->schemas);
    fake_close();
    gd_free(f);
    return 0;
}

/* A value that the schema takes. */
static json_t *some_value(const json_t *param, const char *client)
{
    const char *type = gd_json_text(param, "type", "");
    json_t *list;

    if (!strcmp(type, "id:cl"))
        return json_string(client);
    if (!strncmp(type, "id:", 3))
        return json_sprintf("%.2s%s", type + 3, ID_TAIL);
    if (!strcmp(type, "name") || !strcmp(type, "string"))
        return json_string("x");
    if (!strcmp(type, "list")) {
        list = json_array();
        json_array_append_new(list, json_pack("{s:s}", "app", "x"));
        return list;
    }
    if (!strcmp(type, "integer"))
        return json_integer(1);
    fail_msg("no value for %s", type);
    return NULL;
}

static char *request_of(const struct gd_schema *m, const char *client)
{
    json_t *params = json_object(), *param, *msg;
    const char *name;
    char *text, *line;

    json_object_foreach((json_t *)(uintptr_t)m->params, name,
                        param) if (gd_json_bool(param, "required", false) ||
                                   (!strcmp(name, "grant") && json_object_get(m->scope, name)))
        json_object_set_new(params, name, some_value(param, client));
    msg = json_pack("{s:s,s:i,s:s,s:o}", "jsonrpc", "2.0", "id", 1, "method", m->method, "params", params);
    text = gd_json_dump(msg);
    line = gd_strf("%s\n", text);
    gd_free(text);
    json_decref(msg);
    return line;
}

static json_t *ask(struct fix *f, const struct gd_schema *m, uid_t uid, gid_t gid, const char *client)
{
    static char in[1024 * 1024];
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    char *line = request_of(m, client);
    size_t len = 0;
    json_t *out;

    fake.uid = uid;
    fake.gid = gid;
    memcpy(sa.sun_path, f->path, sizeof sa.sun_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
    gd_free(line);
    for (int i = 0; i < 1000000 && (!len || in[len - 1] != '\n'); i++) {
        ssize_t n = recv(fd, in + len, sizeof in - len, 0);

        if (n > 0)
            len += (size_t)n;
        pump(f);
    }
    close(fd);
    pump(f);
    out = gd_json_parse(in, len, sizeof in, NULL);
    if (!out)
        fail_msg("%s: no answer", m->method);
    return out;
}

static bool was_refused(const json_t *answer)
{
    const char *reason = gd_json_text(gd_json_at(answer, "error.data"), "reason", "");

    return !strcmp(reason, "DENIED") || !strcmp(reason, "NOT_FOUND");
}

static bool may(const char *allowed, const char *method)
{
    char word[80];

    (void)snprintf(word, sizeof word, " %s ", method);
    return strstr(allowed, word) != NULL;
}

static void only_the_listed_cells_pass(void **state)
{
    struct fix *f = *state;
    unsigned cells = 0, passed = 0;

    for (size_t p = 0; p < sizeof people / sizeof *people; p++)
        for (size_t i = 0; i < gd_schemas_count(f->schemas); i++) {
            const struct gd_schema *m = gd_schemas_at(f->schemas, i);
            unsigned before = fake.acts;
            json_t *answer = ask(f, m, people[p].uid, people[p].gid, CL);
            bool refused = was_refused(answer);

            if (refused == may(people[p].allowed, m->method))
                fail_msg("uid %u, %s: %s", (unsigned)people[p].uid, m->method,
                         refused ? "refused" : "let through");
            if (refused && fake.acts != before)
                fail_msg("uid %u, %s was refused after it was done", (unsigned)people[p].uid, m->method);
            json_decref(answer);
            cells++;
            passed += !refused;
        }
    assert_int_equal(cells, 5 * 51);
    assert_int_equal(passed, 1 + 2 + 10 + 12 + 7);
}

static void another_clients_things_are_not_there(void **state)
{
    struct fix *f = *state;

    (void)snprintf(fake.client, sizeof fake.client, "%s", CL2); /* every grant is CL2's now */
    json_decref(fake.request);
    fake.request = json_pack("{s:{s:s}}", "request", "client", CL2);
    for (size_t i = 0; i < gd_schemas_count(f->schemas); i++) {
        const struct gd_schema *m = gd_schemas_at(f->schemas, i);
        json_t *answer = ask(f, m, 1003, 1003, CL2);

        if (!was_refused(answer) && strcmp(m->method, "daemon.help") != 0 &&
            strcmp(m->method, "grant.list") != 0)
            fail_msg("%s: let through", m->method);
        json_decref(answer);
    }
}

/* Root, or whoever runs this test: that is the daemon's own user. */
static void the_owner_may_everything(void **state)
{
    struct fix *f = *state;

    for (size_t i = 0; i < gd_schemas_count(f->schemas); i++) {
        const struct gd_schema *m = gd_schemas_at(f->schemas, i);
        json_t *answer = ask(f, m, 0, 0, CL);

        if (was_refused(answer))
            fail_msg("%s: refused", m->method);
        json_decref(answer);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(only_the_listed_cells_pass),
        T(another_clients_things_are_not_there),
        T(the_owner_may_everything),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
