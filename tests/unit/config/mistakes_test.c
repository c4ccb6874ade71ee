/* A configuration is refused with every mistake named at its place. */
#include "kit.h"

#define HUB "hubs:\n  h:\n    platform: acme\n    id: '1'\n    business: b\n"

static const struct {
    const char *yaml;
    enum gd_reason reason;
    int line, column;
    const char *says;
} wrong[] = {
    { "listen: 'oops\nkey: x\n", GD_R_CONFIG_SYNTAX, 3, 1, "quoted" },
    { "listen: [1\n", GD_R_CONFIG_SYNTAX, 2, 1, "flow sequence" },
    { "a:\n\tb: 1\n", GD_R_CONFIG_SYNTAX, 2, 1, "" },
    { "log: &l {level: info}\n", GD_R_CONFIG_YAML_FEATURE, 1, 6, "anchor" },
    { "log: {level: *l}\n", GD_R_CONFIG_YAML_FEATURE, 1, 14, "alias" },
    { "log: !x {level: info}\n", GD_R_CONFIG_YAML_FEATURE, 1, 6, "tag" },
    { "listen: !!str 127.0.0.1:1\n", GD_R_CONFIG_YAML_FEATURE, 1, 9, "tag" },
    { "%YAML 1.1\n---\nlog: {level: info}\n", GD_R_CONFIG_YAML_FEATURE, 1, 1, "directive" },
    { "log: {level: info}\n---\nlog: {level: warn}\n", GD_R_CONFIG_YAML_FEATURE, 3, 1, "second document" },
    { "log: {level: info}\n...\nlog: {level: warn}\n", GD_R_CONFIG_SYNTAX, 3, 1, "document start" },
    { "- a\n- b\n", GD_R_CONFIG_VALUE_INVALID, 1, 1, "group" },
    { "just text\n", GD_R_CONFIG_VALUE_INVALID, 1, 1, "group" },
    { "? [a]\n: b\n", GD_R_CONFIG_VALUE_INVALID, 1, 3, "word" },
    { "log: {level: info}\nlog: {level: warn}\n", GD_R_CONFIG_DUPLICATE_KEY, 2, 1, "line 1" },
    { "log:\n  level: info\n  level: warn\n", GD_R_CONFIG_DUPLICATE_KEY, 3, 3, "line 2" },
    { "lisen: 127.0.0.1:1\n", GD_R_CONFIG_UNKNOWN_KEY, 1, 1, "did you mean \"listen\"" },
    { "log: {levle: info}\n", GD_R_CONFIG_UNKNOWN_KEY, 1, 7, "did you mean \"level\"" },
    { "post: {}\n", GD_R_CONFIG_UNKNOWN_KEY, 1, 1, "post" },
    { "mail: {}\n", GD_R_CONFIG_MISSING, 1, 7, "url and from" },
    { "zzzzzzzz: 1\n", GD_R_CONFIG_UNKNOWN_KEY, 1, 1, "does not know" },
    { "<<: {listen: 1}\n", GD_R_CONFIG_UNKNOWN_KEY, 1, 1, "<<" },
    { "listen: \"127.0.0.1:1\\0\"\n", GD_R_TEXT_INVALID, 1, 9, "control" },
    { "socket: \"/a\\eb\"\n", GD_R_TEXT_INVALID, 1, 9, "control" },
    { "listen: localhost:8443\n", GD_R_CONFIG_VALUE_INVALID, 1, 9, "address:port" },
    { "listen: 127.0.0.1:65536\n", GD_R_CONFIG_VALUE_INVALID, 1, 9, "address:port" },
    { "listen: 127.0.0.1:+1\n", GD_R_CONFIG_VALUE_INVALID, 1, 9, "address:port" },
    { "listen: ::1:80\n", GD_R_CONFIG_VALUE_INVALID, 1, 9, "address:port" },
    { "listen:\n", GD_R_CONFIG_VALUE_INVALID, 1, 8, "empty" },
    { "listen: [a]\n", GD_R_CONFIG_VALUE_INVALID, 1, 9, "one value" },
    { "public_url: http://example.com\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "https" },
    { "public_url: https://example.com/path\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "https" },
    { "public_url: https://a@example.com\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "https" },
    { "public_url: h\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "https" },
    { "public_url: https://\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "https" },
    { "public_url: http://127.0.0.1.example.com\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "https" },
    { "public_url: https://a.example\n", GD_R_PORTAL_TLS_REQUIRED, 1, 13, "trusted_proxies" },
    { "public_url: https://a.example\ntrusted_proxies: []\n", GD_R_PORTAL_TLS_REQUIRED, 1, 13, "tls" },
    { "listen: 0.0.0.0:1\npublic_url: http://127.0.0.1\n", GD_R_PORTAL_TLS_REQUIRED, 1, 9, "loopback" },
    { "public_url: http://127.0.0.1\ntls: {cert: a, key: b}\n", GD_R_PORTAL_URL_INVALID, 1, 13,
      "certificate" },
    { "tls: {cert: a}\n", GD_R_CONFIG_MISSING, 1, 6, "both" },
    { "trusted_proxies: 10.0.0.1\n", GD_R_CONFIG_VALUE_INVALID, 1, 18, "list" },
    { "trusted_proxies: [10.0.0.1/33]\n", GD_R_CONFIG_VALUE_INVALID, 1, 19, "prefix" },
    { "trusted_proxies: [host]\n", GD_R_CONFIG_VALUE_INVALID, 1, 19, "address" },
    { "store: {engine: postgres}\n", GD_R_CONFIG_VALUE_INVALID, 1, 17, "sqlite" },
    { "store: {engine: postgresql}\n", GD_R_CONFIG_VALUE_INVALID, 1, 8, "where there is a url" },
    { "store: {engine: sqlite, url: 'postgresql://h/d'}\n", GD_R_CONFIG_VALUE_INVALID, 1, 8,
      "where there is a url" },
    { "store: {url: 'mysql://h/d'}\n", GD_R_CONFIG_VALUE_INVALID, 1, 14, "postgresql://" },
    { "store: {url: 'postgresql://u:p@h/d'}\n", GD_R_CONFIG_SECRET_LITERAL, 1, 14, "store.password" },
    { "store: {url: 'postgres://u@h/d?password=p'}\n", GD_R_CONFIG_SECRET_LITERAL, 1, 14, "store.password" },
    { "node: {name: 'a b'}\n", GD_R_CONFIG_VALUE_INVALID, 1, 14, "1 to 63 letters" },
    { "node: {nmae: a}\n", GD_R_CONFIG_UNKNOWN_KEY, 1, 8, "did you mean \"name\"" },
    { "store: {keyring_url: 'postgresql://h/d'}\n", GD_R_CONFIG_MISSING, 1, 8, "store.url" },
    { "store: {url: 'postgresql://h/d', password: x}\n", GD_R_CONFIG_SECRET_LITERAL, 1, 44, "password" },
    { "store: {url: 'postgresql://h/d', password: {env: X}}\n", GD_R_CONFIG_SECRET_LITERAL, 1, 44,
      "credential" },
    { "store: {url: 'postgresql://h/d', password: {file: /none}}\n", GD_R_CONFIG_SECRET_UNREADABLE, 1, 51,
      "/none" },
    { "store: {url: 'postgresql://h/d', deadline_ms: 10}\n", GD_R_CONFIG_VALUE_INVALID, 1, 47, "between" },
    { "store: {url: 'postgresql://h/d', prepared: so}\n", GD_R_CONFIG_VALUE_INVALID, 1, 44, "yes or no" },
    { "store: {group_wait_us: 1ms}\n", GD_R_CONFIG_VALUE_INVALID, 1, 24, "whole number" },
    { "store: {group_wait_us: -1}\n", GD_R_CONFIG_VALUE_INVALID, 1, 24, "between" },
    { "store: {group_wait_us: 99999999999999999999}\n", GD_R_CONFIG_VALUE_INVALID, 1, 24, "whole number" },
    { "key: {file: a, credential: b}\n", GD_R_CONFIG_VALUE_INVALID, 1, 6, "one of" },
    { "key: {previous: {file: /a, credential: b}}\n", GD_R_CONFIG_VALUE_INVALID, 1, 6,
      "key.previous takes one" },
    { "key: {previous: {previous: {file: /a}}}\n", GD_R_CONFIG_UNKNOWN_KEY, 1, 18, "previous" },
    { "workspaces: []\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "empty" },
    { "workspaces: [main, main]\n", GD_R_CONFIG_DUPLICATE_KEY, 1, 20, "twice" },
    { "workspaces: [Main]\n", GD_R_CONFIG_VALUE_INVALID, 1, 14, "name" },
    { "origins: {http://a.example: http://127.0.0.1:1}\n", GD_R_CONFIG_VALUE_INVALID, 1, 11, "origin" },
    { "origins: {https://a.example/x: http://127.0.0.1:1}\n", GD_R_CONFIG_VALUE_INVALID, 1, 11, "origin" },
    { "origins: {https://a.*.example: http://127.0.0.1:1}\n", GD_R_CONFIG_VALUE_INVALID, 1, 11, "origin" },
    { "origins: {https://a.example: http://10.0.0.1:1}\n", GD_R_CONFIG_VALUE_INVALID, 1, 30, "loopback" },
    { "origins: {https://a.example: 'http://127.0.0.1:1/*'}\n", GD_R_CONFIG_VALUE_INVALID, 1, 30, "star" },
    { "policy: {user: a}\n", GD_R_CONFIG_VALUE_INVALID, 1, 9, "list" },
    { "policy:\n  - {methods: a}\n", GD_R_CONFIG_MISSING, 2, 5, "user or group" },
    { "policy:\n  - {user: a}\n", GD_R_CONFIG_MISSING, 2, 5, "methods" },
    { "policy:\n  - {usr: a, group: g, methods: b}\n", GD_R_CONFIG_UNKNOWN_KEY, 2, 6,
      "did you mean \"user\"" },
    { "policy:\n  - {user: a, methods: []}\n", GD_R_CONFIG_VALUE_INVALID, 2, 24, "empty list" },
    { "limits: {allow_private: ['10.0.0.1']}\n", GD_R_CONFIG_VALUE_INVALID, 1, 26, "host:port" },
    { "limits: {allow_private: ['*:443']}\n", GD_R_CONFIG_VALUE_INVALID, 1, 26, "host:port" },
    { "limits: {request_deadline_ms: 5000, quiet_ms: 4999}\n", GD_R_CONFIG_VALUE_INVALID, 1, 47, "5000" },
    { "mail: {from: a@b.example}\n", GD_R_CONFIG_MISSING, 1, 7, "url and from" },
    { "mail: {url: smtp://m, from: a@b, user: u}\n", GD_R_CONFIG_MISSING, 1, 7, "user and password" },
    { "mail: {url: http://m, from: a@b}\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "smtp://host" },
    { "mail: {url: smtp://u:p@m, from: a@b}\n", GD_R_CONFIG_VALUE_INVALID, 1, 13, "smtp://host" },
    { "mail: {url: smtp://m, from: Agency}\n", GD_R_CONFIG_VALUE_INVALID, 1, 29, "plain address" },
    { "mail: {url: smtp://m, from: 'A <a@b>'}\n", GD_R_CONFIG_VALUE_INVALID, 1, 29, "plain address" },
    { "mail: {url: smtp://m, from: a@b, user: u, password: p}\n", GD_R_CONFIG_SECRET_LITERAL, 1, 53,
      "{file: path}" },
    { "log: {format: text}\n", GD_R_CONFIG_VALUE_INVALID, 1, 15, "json" },
    { "log: {level: loud}\n", GD_R_CONFIG_VALUE_INVALID, 1, 14, "debug, info" },
    { "apps:\n  One: {platform: plain}\n", GD_R_CONFIG_VALUE_INVALID, 2, 3, "name" },
    { "apps:\n  one: {provider: x}\n", GD_R_CONFIG_MISSING, 2, 8, "platform" },
    { "apps:\n  one: {platform: none}\n", GD_R_CONFIG_PLATFORM_UNKNOWN, 2, 19, "\"none\"" },
    { "apps:\n  one: {platform: acme}\n", GD_R_CONFIG_MISSING, 2, 8, "client_id" },
    { "apps:\n  one: {platform: plain, workspace: other}\n", GD_R_CONFIG_VALUE_INVALID, 2, 37, "\"other\"" },
    { "workspaces: [a, b]\napps:\n  one: {platform: plain}\n", GD_R_CONFIG_MISSING, 3, 8, "workspace" },
    { APP "    client_sekret: b\n", GD_R_CONFIG_UNKNOWN_KEY, 5, 5, "did you mean \"client_secret\"" },
    { APP "    business: b\n", GD_R_CONFIG_UNKNOWN_KEY, 5, 5, "belongs under hubs" },
    { APP "    client_secret: abc\n", GD_R_CONFIG_SECRET_LITERAL, 5, 20, "{file: path}" },
    { APP "    client_secret: {fil: abc}\n", GD_R_CONFIG_SECRET_LITERAL, 5, 20, "{file: path}" },
    { APP "    client_secret: {file: a, env: b}\n", GD_R_CONFIG_SECRET_LITERAL, 5, 20, "{file: path}" },
    { APP "    client_secret: {file: none}\n", GD_R_CONFIG_SECRET_UNREADABLE, 5, 27, "No such file" },
    { APP "    client_secret: {file: .}\n", GD_R_CONFIG_SECRET_UNREADABLE, 5, 27, "plain file" },
    { APP "    client_secret: {env: GD_TEST_NONE}\n", GD_R_CONFIG_SECRET_UNREADABLE, 5, 26, "GD_TEST_NONE" },
    { APP "    client_secret: {credential: c}\n", GD_R_CONFIG_SECRET_UNREADABLE, 5, 33, "systemd" },
    { APP "    issuer: http://as.example.com\n", GD_R_CONFIG_VALUE_INVALID, 5, 13, "https" },
    { APP "    count: many\n", GD_R_CONFIG_VALUE_INVALID, 5, 12, "whole number" },
    { APP "    strict: maybe\n", GD_R_CONFIG_VALUE_INVALID, 5, 13, "yes or no" },
    { APP "    size: huge\n", GD_R_CONFIG_VALUE_INVALID, 5, 11, "small, big" },
    { APP "    size: [big]\n", GD_R_CONFIG_VALUE_INVALID, 5, 11, "one value" },
    { APP "    inputs: [a]\n", GD_R_CONFIG_VALUE_INVALID, 5, 13, "group" },
    { APP "    shared_by_operator: 1\n", GD_R_CONFIG_VALUE_INVALID, 5, 25, "yes or no" },
    { "apps: [a]\n", GD_R_CONFIG_VALUE_INVALID, 1, 7, "group" },
    { "hubs:\n  h: {platform: plain, id: '1'}\n  k: {platform: plain, id: '2'}\n", GD_R_CONFIG_VALUE_INVALID,
      3, 3, "work with the same app" },
    { "hubs:\n  h: {platform: plain, id: '1', access_token: abc}\n", GD_R_CONFIG_SECRET_LITERAL, 2, 47,
      "access_token" },
    { HUB "    app: none\n", GD_R_CONFIG_VALUE_INVALID, 6, 10, "no apps.none" },
    { HUB "    client_id: a\n", GD_R_CONFIG_UNKNOWN_KEY, 6, 5, "belongs under apps" },
    { "apps: {p: {platform: plain}}\n" HUB "    app: p\n", GD_R_CONFIG_VALUE_INVALID, 7, 10, "platform" },
};

static void each_mistake_is_named_at_its_place(void **state)
{
    struct fix *f = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct gd_config_error *e;
        char at[160];

        assert_int_equal(kit_load(f, wrong[i].yaml), -1);
        assert_null(f->cfg);
        e = kit_find_error(f, wrong[i].reason, wrong[i].line, wrong[i].column);
        if (!e || f->errors.count != 1) {
            print_error("%s", wrong[i].yaml);
            kit_show_errors(f);
        }
        assert_non_null(e);
        assert_int_equal(f->errors.count, 1);
        assert_non_null(strstr(e->text, wrong[i].says));
        (void)snprintf(at, sizeof at, "%s:%d:%d: ", f->path, e->line, e->column);
        assert_memory_equal(e->text, at, strlen(at));
        assert_null(strstr(e->text, "CANARY"));
    }
}

static void all_mistakes_come_at_once(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON j = NULL;

    assert_int_equal(
        kit_load(f, "lisen: 1\nlisten: x\nlog: {level: loud, format: text}\napps:\n  a: {platform: none}\n"
                    "  b: {platform: acme, count: x}\nlog: {}\n"),
        -1);
    assert_non_null(kit_find_error(f, GD_R_CONFIG_UNKNOWN_KEY, 1, 1));
    assert_non_null(kit_find_error(f, GD_R_CONFIG_VALUE_INVALID, 2, 9));
    assert_non_null(kit_find_error(f, GD_R_CONFIG_VALUE_INVALID, 3, 14));
    assert_non_null(kit_find_error(f, GD_R_CONFIG_VALUE_INVALID, 3, 28));
    assert_non_null(kit_find_error(f, GD_R_CONFIG_PLATFORM_UNKNOWN, 5, 17));
    assert_non_null(kit_find_error(f, GD_R_CONFIG_VALUE_INVALID, 6, 30));
    assert_non_null(kit_find_error(f, GD_R_CONFIG_MISSING, 6, 6));
    assert_non_null(kit_find_error(f, GD_R_CONFIG_DUPLICATE_KEY, 7, 1));
    assert_int_equal(f->errors.count, 8);
    j = gd_config_errors_json(&f->errors);
    assert_int_equal(json_array_size(j), 8);
    assert_string_equal(json_string_value(gd_json_at(j, "0.reason")), "CONFIG_DUPLICATE_KEY");
    assert_int_equal(json_integer_value(gd_json_at(j, "0.line")), 7);
    assert_string_equal(json_string_value(gd_json_at(j, "0.file")), f->path);
}

static void more_mistakes_than_room_are_counted(void **state)
{
    struct fix *f = *state;
    char yaml[4096];
    size_t n = 0;

    for (int i = 0; i < GD_CONFIG_ERRORS_MAX + 9; i++)
        n += (size_t)snprintf(yaml + n, sizeof yaml - n, "qqq%d: 1\n", i);
    assert_int_equal(kit_load(f, yaml), -1);
    assert_int_equal(f->errors.count, GD_CONFIG_ERRORS_MAX);
    assert_int_equal(f->errors.more, 9);
}

static void a_failed_reload_leaves_the_old_one(void **state)
{
    struct fix *f = *state;
    struct gd_config *before;

    kit_loads(f, "log: {level: warn}\n");
    before = f->cfg;
    kit_write_file(f->path, "log: {level: x}\n", 16, 0600);
    assert_int_equal(gd_config_load(&f->cfg, f->path, &f->given, &f->errors), -1);
    assert_ptr_equal(f->cfg, before);
    assert_int_equal(f->cfg->log_level, GD_LOG_WARN);
}

/* T5 */
static void one_registration_serves_one_workspace(void **state)
{
    static const struct {
        const char *apps;
        size_t refused;
    } cases[] = {
        { "  a: {platform: acme, workspace: n, client_id: x}\n  b: {platform: acme, workspace: s, client_id: "
          "x}\n",
          2 },
        { "  a: {platform: acme, workspace: n, client_id: x}\n  b: {platform: acme, workspace: s, client_id: "
          "y}\n",
          0 },
        { "  a: {platform: acme, workspace: n, client_id: x}\n  b: {platform: acme, workspace: n, client_id: "
          "x}\n",
          0 },
        { "  a: {platform: acme, workspace: n, client_id: x, issuer: 'https://i.example/'}\n"
          "  b: {platform: acme, workspace: s, client_id: x, issuer: 'https://i.example'}\n",
          2 },
        { "  a: {platform: acme, workspace: n, client_id: x, issuer: 'https://i.example/'}\n"
          "  b: {platform: acme, workspace: s, client_id: x, issuer: 'https://j.example'}\n",
          0 },
        { "  a: {platform: acme, workspace: n, client_id: x, provider: p}\n"
          "  b: {platform: acme, workspace: s, client_id: x, provider: q}\n",
          0 },
        { "  a: {platform: acme, workspace: n, client_id: x, shared_by_operator: yes}\n"
          "  b: {platform: acme, workspace: s, client_id: x, shared_by_operator: yes}\n",
          0 },
        { "  a: {platform: acme, workspace: n, client_id: x, shared_by_operator: yes}\n"
          "  b: {platform: acme, workspace: s, client_id: x}\n",
          1 },
        { "  a: {platform: acme, workspace: n, client_id: x, shared_by_operator: yes}\n"
          "  b: {platform: acme, workspace: n, client_id: x}\n"
          "  c: {platform: acme, workspace: s, client_id: x, shared_by_operator: yes}\n",
          1 },
    };
    struct fix *f = *state;
    char yaml[1024];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(yaml, sizeof yaml, "workspaces: [n, s]\napps:\n%s", cases[i].apps);
        assert_int_equal(kit_load(f, yaml), cases[i].refused ? -1 : 0);
        assert_int_equal(f->errors.count, cases[i].refused);
        for (size_t j = 0; j < f->errors.count; j++)
            assert_int_equal(f->errors.list[j].reason, GD_R_CLIENT_SHARED_ACROSS_TENANTS);
    }
}

/* What must be alike in apps that are one registration: the default counts as what is written. */
static void a_registration_has_one_size(void **state)
{
    static const struct {
        const char *a, *b;
        size_t refused;
    } cases[] = {
        { "client_id: x, size: big", "client_id: x, size: big", 0 },
        { "client_id: x", "client_id: x, size: small", 0 },
        { "client_id: x, size: big", "client_id: y, size: small", 0 },
        { "client_id: x, size: big", "client_id: x, size: small", 1 },
        { "client_id: x, size: big", "client_id: x", 1 },
        { "client_id: x, count: 1", "client_id: x, count: 2", 0 },
    };
    struct fix *f = *state;
    char yaml[512];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(yaml, sizeof yaml, "apps:\n  a: {platform: acme, %s}\n  b: {platform: acme, %s}\n",
                       cases[i].a, cases[i].b);
        assert_int_equal(kit_load(f, yaml), cases[i].refused ? -1 : 0);
        assert_int_equal(f->errors.count, cases[i].refused);
        for (size_t j = 0; j < f->errors.count; j++) {
            assert_int_equal(f->errors.list[j].reason, GD_R_CONFIG_VALUE_INVALID);
            assert_non_null(strstr(f->errors.list[j].text, "must have one size"));
        }
    }
}

static void platforms_that_cannot_be_loaded_are_one_error(void **state)
{
    struct fix *f = *state;

    f->load_fails = true;
    assert_int_equal(kit_load(f, APP "    count: x\n"), -1);
    assert_int_equal(f->errors.count, 1);
    assert_int_equal(f->errors.list[0].reason, GD_R_PLATFORM_DIR_MISSING);
    f->load_fails = false;
    f->given.options = NULL;
    assert_int_equal(kit_load(f, APP), -1);
    assert_int_equal(f->errors.list[0].reason, GD_R_CONFIG_PLATFORM_UNKNOWN);
}

static void deep_and_wide_documents_end(void **state)
{
    struct fix *f = *state;
    size_t n = 200000;
    char *text = gd_new(n * 8);

    memset(text, '[', n);
    assert_int_equal(kit_load_bytes(f, text, n), -1);
    assert_non_null(kit_find_error(f, GD_R_CONFIG_YAML_FEATURE, 1, GD_JSON_DEPTH_MAX + 1));
    n = 0;
    for (int i = 0; i < 100000; i++)
        n += (size_t)snprintf(text + n, 16, "k%d: 1\n", i);
    assert_int_equal(kit_load_bytes(f, text, n), -1);
    assert_int_equal(f->errors.count + f->errors.more, 100000);
    gd_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_mistake_is_named_at_its_place),
        T(all_mistakes_come_at_once),
        T(more_mistakes_than_room_are_counted),
        T(a_failed_reload_leaves_the_old_one),
        T(one_registration_serves_one_workspace),
        T(a_registration_has_one_size),
        T(platforms_that_cannot_be_loaded_are_one_error),
        T(deep_and_wide_documents_end),
    };

    gd_json_setup();
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
