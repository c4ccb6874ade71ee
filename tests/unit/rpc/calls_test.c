/* What calls may do and what becomes of them: rules, the audit log, vends. */
#include "server_kit.h"

/* ---- rules ---- */

static bool nothing(const struct gd_caller *c, const char *method, const char *workspace, const char *client)
{
    (void)c;
    (void)method;
    (void)workspace;
    (void)client;
    return false;
}

static void default_deny(void **state)
{
    struct fix *f = *state;
    json_t *help = NULL, *one;
    struct gd_err err;
    char text[256];
    size_t i;

    (void)kit_ask(f, CALL("daemon.help", "{}"));
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
        kit_refused(f, text, "DENIED");
    }
    assert_int_equal(i, 51);
    json_decref(help);
    assert_int_equal(fake.acts, 0);
    assert_true(json_array_size(fake.records) > 0); /* refusals are on record */
    kit_expect(kit_ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), "DENIED"); /* the hot path too */
    assert_null(strstr(f->in.ptr, "canary"));
}

static void other_clients_things_do_not_exist(void **state)
{
    struct fix *f = *state;
    char first[1024];

    fake.rule = kit_one_client;
    fake.token = "canary-token";
    (void)snprintf(fake.client, sizeof fake.client, "cl0000000000000000000000000z");
    (void)snprintf(first, sizeof first, "%s", kit_ask(f, CALL("grant.get", "{\"grant\":\"" GR "\"}")));
    kit_expect(first, "NOT_FOUND");
    fake.client[0] = '\0'; /* now it really does not exist: the same bytes */
    assert_string_equal(kit_ask(f, CALL("grant.get", "{\"grant\":\"" GR "\"}")), first);
    assert_string_equal(kit_ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), first);
    (void)snprintf(fake.client, sizeof fake.client, CL);
    kit_refused(f, CALL("grant.get", "{\"grant\":\"" GR "\",\"workspace\":\"other\"}"), "NOT_FOUND");
    kit_refused(f, CALL("app.list", "{}"), "DENIED"); /* all clients' */
    kit_refused(f, CALL("client.get", "{\"client\":\"cl0000000000000000000000000z\"}"), "NOT_FOUND");
    kit_refused(f, CALL("grant.list", "{\"client\":\"cl0000000000000000000000000z\"}"), "NOT_FOUND");
    kit_refused(f, CALL("client.create", "{\"name\":\"A\"}"), "DENIED");
    kit_refused(f, CALL("audit.list", "{}"), "DENIED");
    kit_refused(f, CALL("daemon.drain", "{}"), "DENIED");
    kit_refused(f, CALL("request.cancel", "{\"request\":\"" RQ "\"}"), "NOT_FOUND");
    fake.request = json_pack("{s:{s:s}}", "request", "client", "cl0000000000000000000000000z");
    kit_refused(f, CALL("request.cancel", "{\"request\":\"" RQ "\"}"), "NOT_FOUND");
    kit_refused(f, CALL("request.get", "{\"request\":\"" RQ "\"}"), "NOT_FOUND");
    assert_int_equal(fake.acts, 0);
}

static void listings_show_only_what_may_be_seen(void **state)
{
    struct fix *f = *state;
    json_t *other =
        json_pack("{s:s,s:s,s:s,s:s,s:s}", "id", "cl0000000000000000000000000z", "workspace", "main", "name",
                  "Other", "state", "active", "created_at", "2026-11-21T23:16:04.123Z");

    fake.rule = kit_one_client;
    fake.result = json_pack("{s:[o,o]}", "clients", gd_json_parse(CLIENT, strlen(CLIENT), 9999, NULL), other);
    kit_expect(kit_ask(f, CALL("client.list", "{}")), CL);
    assert_null(strstr(f->in.ptr, "Other"));
    assert_int_equal(json_array_size(json_object_get(fake.result, "clients")),
                     2); /* the broker's own is untouched */
}

/* ---- audit ---- */

static void changes_are_recorded_twice(void **state)
{
    struct fix *f = *state;
    json_t *r;

    fake.result = gd_json_parse("{\"client\":" CLIENT "}", strlen("{\"client\":" CLIENT "}"), 9999, NULL);
    kit_expect(kit_ask(f, CALL("client.create", "{\"name\":\"Secret Bakery\",\"email\":\"a@b.c\"}")),
               "\"result\"");
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
    kit_refused(f, CALL("client.update", "{\"client\":\"" CL "\",\"name\":\"B\"}"), "CONFLICT");
    r = json_array_get(fake.records, 3);
    assert_string_equal(gd_json_text(r, "outcome", ""), "CONFLICT");
    assert_string_equal(gd_json_text(r, "client", ""), CL);
    kit_expect(kit_ask(f, CALL("client.get", "{\"client\":\"" CL "\"}")), "CONFLICT");
    assert_int_equal(json_array_size(fake.records), 4); /* a read is not recorded */
}

static void no_audit_no_change(void **state)
{
    struct fix *f = *state;

    fake.result = gd_json_parse("{\"client\":" CLIENT "}", strlen("{\"client\":" CLIENT "}"), 9999, NULL);
    fake.audit_dead = true;
    kit_refused(f, CALL("client.create", "{\"name\":\"A\"}"), "AUDIT_UNAVAILABLE");
    fake.audit_dead = false;
    fake.audit_fails_request = true;
    kit_refused(f, CALL("client.create", "{\"name\":\"A\"}"), "AUDIT_UNAVAILABLE");
    assert_int_equal(fake.acts, 0);
    fake.audit_fails_request = false;
    fake.audit_fails_done = true; /* nobody is told to try again what was done */
    kit_refused(f, CALL("client.create", "{\"name\":\"A\"}"), "AUDIT_INCOMPLETE");
    kit_expect(f->in.ptr, "\"act\":\"person\"");
    kit_expect(f->in.ptr, "it was done");
    assert_int_equal(fake.acts, 1);
}

static void audit_methods(void **state)
{
    struct fix *f = *state;

    kit_expect(kit_ask(f, CALL("audit.verify", "{}")), "\"bad_line\":5");
    kit_expect(f->in.ptr, "\"ok\":false");
    kit_expect(f->in.ptr, "\"why\":\"hash\"");
    kit_expect(kit_ask(f, CALL("audit.list", "{\"limit\":3}")), "\"next\":3");
    kit_expect(kit_ask(f, CALL("audit.list", "{\"limit\":3,\"after\":3}")), "\"next\":6");
    kit_expect(kit_ask(f, CALL("audit.list", "{\"limit\":3,\"after\":6}")), "\"records\":[{");
    assert_null(strstr(f->in.ptr, "next"));
    kit_expect(kit_ask(f, CALL("audit.export", "{\"limit\":2}")),
               "\"count\":2,\"lines\":\"{\\\"act\\\":\\\"x\\\",\\\"seq\\\":1}\\n");
}

/* ---- vends ---- */

static void hot_path_equals_general_path(void **state)
{
    static const int64_t times[] = { 0, 1795000000123, 951782400000 };
    struct fix *f = *state;
    char fast[1024];

    for (size_t i = 0; i < 3; i++) {
        fake.token = "ya29.some-token";
        fake.expires_at = times[i];
        fake.acts = fake.tries = 0;
        (void)snprintf(fast, sizeof fast, "%s", kit_ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")));
        kit_expect(fast, "\"access_token\":\"ya29.some-token\"");
        assert_int_equal(fake.tries, 1);
        assert_int_equal(fake.acts, 0);
        /* the same request, written so that only jansson reads it */
        assert_string_equal(kit_ask(f, CALL("grant.token", "{\"gr\\u0061nt\":\"" GR "\"}")), fast);
        assert_string_equal(
            kit_ask(f, "{\"jsonrpc\":\"2.0\",\"id\":1,\"x\":0,\"method\":\"grant.token\",\"params\":"
                       "{\"grant\":\"" GR "\",\"workspace\":\"main\"}}\n"),
            fast);
        assert_int_equal(fake.acts, 2);
        fake.later = true; /* the hot path passes it on */
        assert_string_equal(kit_ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), fast);
        assert_int_equal(fake.acts, 3);
        fake.later = false;
    }
    fake.token = "quo\"te\\and\xc3\xa4";
    kit_expect(kit_ask(f, CALL("grant.token", "{\"grant\":\"" GR "\"}")), "quo\\\"te\\\\and\xc3\xa4");
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
    kit_say(f, b.ptr, b.len);
    kit_wait_lines(f, 6000);
    assert_int_equal(fake.tries, 6000);
    assert_int_equal(fake.prefetched, 6000);
    for (int i = 0; i < 6000; i += 997) {
        char want[64];

        (void)snprintf(want, sizeof want, "\"id\":%d,\"result\":{\"access_token\":\"t\"", i);
        kit_expect(f->in.ptr, want);
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
    kit_wait_lines(f, 2);
    kit_expect(f->in.ptr, "\"access_token\":\"t\"");
    assert_true(f->eof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(default_deny),
        T(other_clients_things_do_not_exist),
        T(listings_show_only_what_may_be_seen),
        T(changes_are_recorded_twice),
        T(no_audit_no_change),
        T(audit_methods),
        T(hot_path_equals_general_path),
        T(pipelined_vends),
        T(vends_and_half_close),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
