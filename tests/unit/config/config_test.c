/* A configuration is taken whole: every key arrives where it belongs. */
#include "kit.h"

static void no_file_gives_all_defaults(void **state)
{
    struct fix *f = *state;

    assert_int_equal(gd_config_load(&f->cfg, NULL, &f->given, &f->errors), 0);
    assert_null(f->cfg->file);
    assert_string_equal(f->cfg->listen, "127.0.0.1:8443");
    assert_null(f->cfg->public_url);
    assert_string_equal(f->cfg->state_dir, "/var/lib/grantd");
    assert_string_equal(f->cfg->socket, "/var/lib/grantd/grantd.sock");
    assert_string_equal(f->cfg->store_path, "/var/lib/grantd/grantd.db");
    assert_string_equal(f->cfg->platform_dir, "/usr/lib/grantd");
    assert_string_equal(f->cfg->key_file, "/var/lib/grantd/kek");
    assert_null(f->cfg->key_credential);
    assert_null(f->cfg->key_passphrase_file);
    assert_string_equal(f->cfg->workspaces[0], "main");
    assert_null(f->cfg->workspaces[1]);
    assert_int_equal(f->cfg->cache_bytes, 16 * 1024 * 1024);
    assert_int_equal(f->cfg->request_deadline_ms, 45000);
    assert_int_equal(f->cfg->quiet_ms, 45000 + 2 * 30000);
    assert_int_equal(f->cfg->family_lease_ms, 600000);
    assert_int_equal(f->cfg->log_level, GD_LOG_INFO);
    assert_int_equal(f->cfg->napps + f->cfg->nhubs + json_array_size(f->cfg->policy), 0);
    assert_int_equal(f->loads, 1);
    assert_string_equal(f->loaded_dir, "/usr/lib/grantd");
}

static void an_empty_file_is_the_same(void **state)
{
    struct fix *f = *state;

    kit_loads(f, "");
    assert_string_equal(f->cfg->key_file, "/var/lib/grantd/kek");
    kit_loads(f, "# nothing but a comment\n");
    kit_loads(f, "---\napps:\nhubs:\npolicy:\n");
    assert_int_equal(f->cfg->napps, 0);
}

static const char full[] =
    "listen: '[::1]:9443'\n"
    "public_url: https://connect.example.com/\n"
    "tls: {cert: tls/cert.pem, key: /etc/ssl/key.pem}\n"
    "trusted_proxies: [10.0.0.1, 192.168.0.0/16, 'fd00::/8']\n"
    "socket: /run/grantd/rpc.sock\n"
    "state_dir: state\n"
    "platform_dir: /opt/platforms\n"
    "provider_dir: providers\n"
    "store: {engine: sqlite, path: /data/g.db, group_wait_us: 0}\n"
    "key:\n"
    "  credential: kek\n"
    "  previous: {file: old/kek}\n"
    "workspaces: [north, south]\n"
    "apps:\n"
    "  one:\n"
    "    platform: acme\n"
    "    provider: x\n"
    "    workspace: north\n"
    "    client_id: 0123\n"
    "    client_secret: {file: secret}\n"
    "    issuer: https://as.example.com/t\n"
    "    strict: yes\n"
    "    size: big\n"
    "    inputs: {dc: eu, key: {file: secret}}\n"
    "  two: {platform: plain, workspace: south}\n"
    "hubs:\n"
    "  bc: {platform: acme, app: one, workspace: north, id: '7001', business: b1,\n"
    "       system_token: {env: GD_TEST_TOKEN}}\n"
    "origins:\n"
    "  https://graph.example.com: http://127.0.0.1:7700/graph.example.com\n"
    "  https://*.shop.example: http://[::1]:7700/*.shop.example\n"
    "policy:\n"
    "  - {user: '1000', methods: grant.token}\n"
    "  - group: staff\n"
    "    methods: [grant.*, client.list]\n"
    "    workspaces: [north]\n"
    "    clients: [cl01]\n"
    "limits: {allow_private: ['127.0.0.1:9000', 'idp.lan:443'], concurrency: 4, per_minute: 60,\n"
    "  cache_bytes: 1000000, request_deadline_ms: 2000, skew_ms: 100, family_lease_ms: 5000}\n"
    "mail: {url: 'smtps://mail.example:465', from: grants@agency.example, user: grants, password: {file: "
    "secret}}\n"
    "log: {level: debug, format: json}\n";

static void every_key_arrives(void **state)
{
    struct fix *f = *state;
    char want[160];
    struct gd_config *c;

    setenv("GD_TEST_TOKEN", "env-CANARY", 1);
    kit_loads(f, full);
    c = f->cfg;
    assert_string_equal(c->listen, "[::1]:9443");
    assert_string_equal(c->public_url, "https://connect.example.com");
    (void)snprintf(want, sizeof want, "%s/tls/cert.pem", f->dir);
    assert_string_equal(c->tls_cert, want);
    assert_string_equal(c->tls_key, "/etc/ssl/key.pem");
    assert_string_equal(c->trusted_proxies[2], "fd00::/8");
    assert_null(c->trusted_proxies[3]);
    assert_string_equal(c->socket, "/run/grantd/rpc.sock");
    (void)snprintf(want, sizeof want, "%s/state", f->dir);
    assert_string_equal(c->state_dir, want);
    (void)snprintf(want, sizeof want, "%s/providers", f->dir);
    assert_string_equal(c->provider_dir, want);
    assert_string_equal(c->platform_dir, "/opt/platforms");
    assert_string_equal(f->loaded_dir, "/opt/platforms");
    assert_string_equal(c->store_path, "/data/g.db");
    assert_int_equal(c->store_group_wait_us, 0);
    assert_string_equal(c->key_credential, "kek");
    assert_null(c->key_file);
    (void)snprintf(want, sizeof want, "%s/old/kek", f->dir);
    assert_string_equal(c->previous_file, want);
    assert_null(c->previous_credential);
    assert_string_equal(c->workspaces[1], "south");
    assert_int_equal(c->concurrency, 4);
    assert_int_equal(c->per_minute, 60);
    assert_int_equal(c->cache_bytes, 1000000);
    assert_int_equal(c->quiet_ms, 2200);
    assert_int_equal(c->family_lease_ms, 5000);
    assert_int_equal(c->log_level, GD_LOG_DEBUG);
    assert_string_equal(c->mail_url, "smtps://mail.example:465");
    assert_string_equal(c->mail_from, "grants@agency.example");
    assert_string_equal(c->mail_user, "grants");
    assert_string_equal(c->mail_password, "s3cret-CANARY");
    assert_string_equal(json_string_value(json_array_get(c->allow_private, 1)), "idp.lan:443");
    assert_string_equal(gd_json_text(c->origins, "https://*.shop.example", ""),
                        "http://[::1]:7700/*.shop.example");
}

static void apps_and_hubs_arrive(void **state)
{
    struct fix *f = *state;
    struct gd_config_app *a;
    struct gd_config_hub *h;

    setenv("GD_TEST_TOKEN", "env-CANARY", 1);
    kit_loads(f, full);
    assert_int_equal(f->cfg->napps, 2);
    a = &f->cfg->apps[0];
    assert_string_equal(a->id, "one");
    assert_string_equal(a->platform, "acme");
    assert_string_equal(a->provider, "x");
    assert_string_equal(a->workspace, "north");
    assert_string_equal(gd_json_text(a->options, "client_id", ""), "0123"); /* never a number */
    assert_string_equal(gd_json_text(a->options, "client_secret", ""), "s3cret-CANARY");
    assert_string_equal(gd_json_text(a->options, "strict", ""), "true");
    assert_null(json_object_get(a->options, "count")); /* defaults are not filled in */
    assert_string_equal(gd_json_text(a->inputs, "dc", ""), "eu");
    assert_string_equal(gd_json_text(a->inputs, "key", ""), "s3cret-CANARY");
    h = &f->cfg->hubs[0];
    assert_string_equal(h->hub_id, "7001");
    assert_string_equal(h->app, "one");
    assert_string_equal(gd_json_text(h->options, "system_token", ""), "env-CANARY");
}

static void policy_becomes_rules(void **state)
{
    struct fix *f = *state;
    const json_t *rule;
    char want[160];

    setenv("GD_TEST_TOKEN", "t", 1);
    kit_loads(f, full);
    rule = json_array_get(f->cfg->policy, 0);
    assert_string_equal(gd_json_text(rule, "user", ""), "1000");
    assert_string_equal(json_string_value(gd_json_at(rule, "methods.0")), "grant.token");
    rule = json_array_get(f->cfg->policy, 1);
    assert_string_equal(json_string_value(gd_json_at(rule, "methods.1")), "client.list");
    (void)snprintf(want, sizeof want, "%s:34:5", f->path);
    assert_string_equal(gd_json_text(rule, "at", ""), want);
}

static void nothing_secret_is_shown(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON j = NULL;
    GD_AUTO_FREE char *text = NULL;

    setenv("GD_TEST_TOKEN", "env-CANARY", 1);
    kit_loads(f, full);
    j = gd_config_json(f->cfg);
    assert_non_null(j);
    text = gd_json_dump(j);
    assert_null(strstr(text, "CANARY"));
    assert_string_equal(json_string_value(gd_json_at(j, "apps.0.options.client_secret.file")), "secret");
    assert_string_equal(json_string_value(gd_json_at(j, "apps.0.options.inputs.key.file")), "secret");
    assert_string_equal(json_string_value(gd_json_at(j, "mail.password.file")), "secret");
    assert_string_equal(json_string_value(gd_json_at(j, "hubs.0.options.system_token.env")), "GD_TEST_TOKEN");
    assert_string_equal(json_string_value(gd_json_at(j, "key.credential")), "kek");
    assert_non_null(strstr(json_string_value(gd_json_at(j, "key.previous.file")), "old/kek"));
}

static void the_only_workspace_needs_no_name(void **state)
{
    struct fix *f = *state;

    kit_loads(f, "workspaces: [north]\napps: {one: {platform: plain}}\n");
    assert_string_equal(f->cfg->apps[0].workspace, "north");
    kit_loads(f, "workspaces: [north, main]\napps: {one: {platform: plain}}\n");
    assert_string_equal(f->cfg->apps[0].workspace, "main");
}

/* Whatever the bytes: a configuration or errors, and nothing leaks or breaks (run under the sanitizers). */
static void mangled_files_are_judged(void **state)
{
    struct fix *f = *state;
    struct gd_rng_seeded r;
    char text[sizeof full];
    int taken = 0;

    setenv("GD_TEST_TOKEN", "t", 1);
    gd_rng_seed(&r, 20260101);
    for (int i = 0; i < 3000; i++) {
        size_t n = sizeof full - 1, k = gd_rng_below(&r.rng, 3) + 1;

        memcpy(text, full, sizeof full);
        while (k--) {
            size_t at = gd_rng_below(&r.rng, n);

            if (gd_rng_below(&r.rng, 2))
                text[at] = "\n :-{}[]&*!'\"#\xc3\0\t?,|>%@`"[gd_rng_below(&r.rng, 24)];
            else
                memmove(text + at, text + at + 1, n-- - at);
        }
        if (kit_load_bytes(f, text, n) == 0) {
            assert_non_null(f->cfg);
            taken++;
        } else {
            assert_null(f->cfg);
            assert_true(f->errors.count > 0);
        }
    }
    assert_true(taken > 10 && taken < 2900);
}

static void a_shared_store(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON shown = NULL;
    char want[300];
    json_t *store;

    kit_write_file(f->secret, "pw", 2, 0600);
    assert_int_equal(kit_load(f, "store:\n"
                                 "  url: postgresql://grantd@db.example/grantd\n"
                                 "  keyring_url: postgresql://grantd@keys.example/grantd\n"
                                 "  password: {file: secret}\n"
                                 "  deadline_ms: 2500\n"
                                 "  prepared: no\n"
                                 "  accept_async: yes\n"
                                 "node: {name: fra-1.example}\n"),
                     0);
    assert_string_equal(f->cfg->store_url, "postgresql://grantd@db.example/grantd");
    assert_string_equal(f->cfg->keyring_url, "postgresql://grantd@keys.example/grantd");
    (void)snprintf(want, sizeof want, "%s/secret", f->dir);
    assert_string_equal(f->cfg->store_password_file, want);
    assert_int_equal(f->cfg->store_deadline_ms, 2500);
    assert_true(f->cfg->store_unprepared);
    assert_true(f->cfg->store_accept_async);
    assert_string_equal(f->cfg->node_name, "fra-1.example");
    shown = gd_config_json(f->cfg);
    store = json_object_get(shown, "store");
    assert_string_equal(gd_json_text(store, "engine", ""), "postgresql");
    assert_string_equal(gd_json_text(json_object_get(store, "password"), "file", ""), "secret");
    assert_false(gd_json_bool(store, "prepared", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(no_file_gives_all_defaults),
        T(an_empty_file_is_the_same),
        T(every_key_arrives),
        T(apps_and_hubs_arrive),
        T(a_shared_store),
        T(policy_becomes_rules),
        T(nothing_secret_is_shown),
        T(the_only_workspace_needs_no_name),
        T(mangled_files_are_judged),
    };

    gd_json_setup();
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
