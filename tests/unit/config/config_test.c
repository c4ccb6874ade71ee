/* A configuration is taken whole or refused with every mistake named at its place. */
#include "config/config.h"

#include "base/mem.h"
#include "base/rng.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const sizes[] = { "small", "big", NULL };
static const struct grantd_option acme_options[] = {
    { "client_id", NULL, "id", GRANTD_OPT_REQUIRED, GRANTD_TEXT, NULL },
    { "client_secret", NULL, "secret", GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { "issuer", NULL, "issuer", 0, GRANTD_URL, NULL },
    { "count", "3", "count", 0, GRANTD_INT, NULL },
    { "strict", "false", "strict", 0, GRANTD_BOOL, NULL },
    { "size", "small", "size", 0, GRANTD_ENUM, sizes },
    { "business", NULL, "hub option", GRANTD_OPT_HUB | GRANTD_OPT_REQUIRED, GRANTD_TEXT, NULL },
    { "system_token", NULL, "hub secret", GRANTD_OPT_HUB | GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { NULL, NULL, NULL, 0, 0, NULL },
};

struct fix {
    char dir[64];
    char path[96], secret[96];
    struct gd_config_given given;
    struct gd_config_errors errors;
    struct gd_config *cfg;
    int loads;
    char loaded_dir[128];
    bool load_fails;
};

static const struct grantd_option *find_options(void *arg, const char *platform)
{
    (void)arg;
    if (!strcmp(platform, "acme"))
        return acme_options;
    return !strcmp(platform, "plain") ? gd_config_no_options : NULL;
}

static int load_platforms(void *arg, const struct gd_config *c, struct gd_err *err)
{
    struct fix *f = arg;

    f->loads++;
    (void)snprintf(f->loaded_dir, sizeof f->loaded_dir, "%s", c->platform_dir);
    return f->load_fails ? gd_err_set(err, GD_R_PLATFORM_DIR_MISSING, "no such folder") : 0;
}

static void write_file(const char *path, const char *text, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static int setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/gd-config-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/grantd.yaml", f->dir);
    (void)snprintf(f->secret, sizeof f->secret, "%s/secret", f->dir);
    write_file(f->secret, "s3cret-CANARY\n", 14, 0600);
    f->given = (struct gd_config_given){ .state_dir = "/var/lib/grantd",
                                         .platform_dir = "/usr/lib/grantd",
                                         .load_platforms = load_platforms,
                                         .options = find_options,
                                         .arg = f };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;

    gd_config_free(f->cfg);
    unlink(f->path);
    unlink(f->secret);
    rmdir(f->dir);
    gd_free(f);
    return 0;
}

static int load_bytes(struct fix *f, const char *yaml, size_t n)
{
    gd_config_free(f->cfg);
    f->cfg = NULL;
    write_file(f->path, yaml, n, 0640);
    return gd_config_load(&f->cfg, f->path, &f->given, &f->errors);
}

static int load(struct fix *f, const char *yaml)
{
    return load_bytes(f, yaml, strlen(yaml));
}

static void loads(struct fix *f, const char *yaml)
{
    int r = load(f, yaml);

    if (r != 0)
        print_error("%s\n", f->errors.list[0].text);
    assert_int_equal(r, 0);
    assert_non_null(f->cfg);
    assert_int_equal(f->errors.count, 0);
}

static const struct gd_config_error *find_error(const struct fix *f, enum gd_reason reason, int line,
                                                int column)
{
    for (size_t i = 0; i < f->errors.count; i++)
        if (f->errors.list[i].reason == reason && f->errors.list[i].line == line &&
            f->errors.list[i].column == column)
            return &f->errors.list[i];
    return NULL;
}

static void show_errors(const struct fix *f)
{
    for (size_t i = 0; i < f->errors.count; i++)
        print_error("  %s %s\n", gd_reason_word(f->errors.list[i].reason), f->errors.list[i].text);
}

/* ---- what is taken
 * -------------------------------------------------------------------------------------------------- */

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

    loads(f, "");
    assert_string_equal(f->cfg->key_file, "/var/lib/grantd/kek");
    loads(f, "# nothing but a comment\n");
    loads(f, "---\napps:\nhubs:\npolicy:\n");
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
    loads(f, full);
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
    loads(f, full);
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
    loads(f, full);
    rule = json_array_get(f->cfg->policy, 0);
    assert_string_equal(gd_json_text(rule, "user", ""), "1000");
    assert_string_equal(json_string_value(gd_json_at(rule, "methods.0")), "grant.token");
    rule = json_array_get(f->cfg->policy, 1);
    assert_string_equal(json_string_value(gd_json_at(rule, "methods.1")), "client.list");
    (void)snprintf(want, sizeof want, "%s:33:5", f->path);
    assert_string_equal(gd_json_text(rule, "at", ""), want);
}

static void nothing_secret_is_shown(void **state)
{
    struct fix *f = *state;
    GD_AUTO_JSON j = NULL;
    GD_AUTO_FREE char *text = NULL;

    setenv("GD_TEST_TOKEN", "env-CANARY", 1);
    loads(f, full);
    j = gd_config_json(f->cfg);
    assert_non_null(j);
    text = gd_json_dump(j);
    assert_null(strstr(text, "CANARY"));
    assert_string_equal(json_string_value(gd_json_at(j, "apps.0.options.client_secret.file")), "secret");
    assert_string_equal(json_string_value(gd_json_at(j, "apps.0.options.inputs.key.file")), "secret");
    assert_string_equal(json_string_value(gd_json_at(j, "mail.password.file")), "secret");
    assert_string_equal(json_string_value(gd_json_at(j, "hubs.0.options.system_token.env")), "GD_TEST_TOKEN");
    assert_string_equal(json_string_value(gd_json_at(j, "key.credential")), "kek");
}

/* ---- what is refused
 * --------------------------------------------------------------------------------------------------- */

#define APP "apps:\n  one:\n    platform: acme\n    client_id: a\n" /* line 5 follows */
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
    { "tls: {cert: a}\n", GD_R_CONFIG_MISSING, 1, 6, "both" },
    { "trusted_proxies: 10.0.0.1\n", GD_R_CONFIG_VALUE_INVALID, 1, 18, "list" },
    { "trusted_proxies: [10.0.0.1/33]\n", GD_R_CONFIG_VALUE_INVALID, 1, 19, "prefix" },
    { "trusted_proxies: [host]\n", GD_R_CONFIG_VALUE_INVALID, 1, 19, "address" },
    { "store: {engine: postgres}\n", GD_R_CONFIG_VALUE_INVALID, 1, 17, "sqlite" },
    { "store: {group_wait_us: 1ms}\n", GD_R_CONFIG_VALUE_INVALID, 1, 24, "whole number" },
    { "store: {group_wait_us: -1}\n", GD_R_CONFIG_VALUE_INVALID, 1, 24, "between" },
    { "store: {group_wait_us: 99999999999999999999}\n", GD_R_CONFIG_VALUE_INVALID, 1, 24, "whole number" },
    { "key: {file: a, credential: b}\n", GD_R_CONFIG_VALUE_INVALID, 1, 6, "one of" },
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

        assert_int_equal(load(f, wrong[i].yaml), -1);
        assert_null(f->cfg);
        e = find_error(f, wrong[i].reason, wrong[i].line, wrong[i].column);
        if (!e || f->errors.count != 1) {
            print_error("%s", wrong[i].yaml);
            show_errors(f);
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
        load(f, "lisen: 1\nlisten: x\nlog: {level: loud, format: text}\napps:\n  a: {platform: none}\n"
                "  b: {platform: acme, count: x}\nlog: {}\n"),
        -1);
    assert_non_null(find_error(f, GD_R_CONFIG_UNKNOWN_KEY, 1, 1));
    assert_non_null(find_error(f, GD_R_CONFIG_VALUE_INVALID, 2, 9));
    assert_non_null(find_error(f, GD_R_CONFIG_VALUE_INVALID, 3, 14));
    assert_non_null(find_error(f, GD_R_CONFIG_VALUE_INVALID, 3, 28));
    assert_non_null(find_error(f, GD_R_CONFIG_PLATFORM_UNKNOWN, 5, 17));
    assert_non_null(find_error(f, GD_R_CONFIG_VALUE_INVALID, 6, 30));
    assert_non_null(find_error(f, GD_R_CONFIG_MISSING, 6, 6));
    assert_non_null(find_error(f, GD_R_CONFIG_DUPLICATE_KEY, 7, 1));
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
    assert_int_equal(load(f, yaml), -1);
    assert_int_equal(f->errors.count, GD_CONFIG_ERRORS_MAX);
    assert_int_equal(f->errors.more, 9);
}

static void a_failed_reload_leaves_the_old_one(void **state)
{
    struct fix *f = *state;
    struct gd_config *before;

    loads(f, "log: {level: warn}\n");
    before = f->cfg;
    write_file(f->path, "log: {level: x}\n", 16, 0600);
    assert_int_equal(gd_config_load(&f->cfg, f->path, &f->given, &f->errors), -1);
    assert_ptr_equal(f->cfg, before);
    assert_int_equal(f->cfg->log_level, GD_LOG_WARN);
}

static void expect_file_error(struct fix *f, enum gd_reason reason)
{
    f->cfg = NULL;
    assert_int_equal(gd_config_load(&f->cfg, f->path, &f->given, &f->errors), -1);
    assert_int_equal(f->errors.count, 1);
    assert_int_equal(f->errors.list[0].reason, reason);
    assert_null(f->cfg);
}

static void files_that_others_can_change_are_refused(void **state)
{
    struct fix *f = *state;
    char *big = gd_new(GD_CONFIG_FILE_MAX + 1);

    write_file(f->path, "", 0, 0660);
    expect_file_error(f, GD_R_CONFIG_MODE);
    write_file(f->path, "", 0, 0602);
    expect_file_error(f, GD_R_CONFIG_MODE);
    memset(big, '#', GD_CONFIG_FILE_MAX + 1);
    write_file(f->path, big, GD_CONFIG_FILE_MAX + 1, 0600);
    expect_file_error(f, GD_R_CONFIG_UNREADABLE);
    write_file(f->path, big, GD_CONFIG_FILE_MAX, 0600);
    assert_int_equal(gd_config_load(&f->cfg, f->path, &f->given, &f->errors), 0);
    gd_config_free(f->cfg);
    unlink(f->path);
    expect_file_error(f, GD_R_CONFIG_UNREADABLE);
    assert_int_equal(mkdir(f->path, 0700), 0);
    expect_file_error(f, GD_R_CONFIG_UNREADABLE);
    assert_int_equal(rmdir(f->path), 0);
    assert_int_equal(mkfifo(f->path, 0600), 0); /* must not wait for a writer */
    expect_file_error(f, GD_R_CONFIG_UNREADABLE);
    gd_free(big);
}

static void a_file_of_another_user_is_refused(void **state)
{
    struct fix *f = *state;

    if (geteuid() != 0) { /* an ordinary user cannot give files away: root's own are fine for it */
        assert_int_equal(gd_config_load(&f->cfg, "/etc/hostname", &f->given, &f->errors), -1);
        assert_int_not_equal(f->errors.list[0].reason, GD_R_CONFIG_MODE);
        return;
    }
    write_file(f->path, "", 0, 0600);
    assert_int_equal(chown(f->path, 12345, 0), 0);
    expect_file_error(f, GD_R_CONFIG_MODE);
}

static void secret_files_have_to_be_secret(void **state)
{
    struct fix *f = *state;
    static const char yaml[] = APP "    client_secret: {file: secret}\n";
    static const struct {
        const char *text;
        size_t n;
        mode_t mode;
        enum gd_reason reason; /* OK: taken */
    } cases[] = {
        { "x", 1, 0640, GD_R_OK },
        { "x\r\n", 3, 0400, GD_R_OK },
        { "x", 1, 0644, GD_R_CONFIG_SECRET_MODE },
        { "x", 1, 0620, GD_R_CONFIG_SECRET_MODE },
        { "x", 1, 0602, GD_R_CONFIG_SECRET_MODE },
        { "", 0, 0600, GD_R_CONFIG_SECRET_UNREADABLE },
        { "\n", 1, 0600, GD_R_CONFIG_SECRET_UNREADABLE },
        { "a\0b", 3, 0600, GD_R_CONFIG_SECRET_UNREADABLE },
        { "a\x01", 2, 0600, GD_R_CONFIG_SECRET_UNREADABLE },
        { "\xff", 1, 0600, GD_R_CONFIG_SECRET_UNREADABLE },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unlink(f->secret);
        write_file(f->secret, cases[i].text, cases[i].n, cases[i].mode);
        if (cases[i].reason == GD_R_OK) {
            loads(f, yaml);
            assert_string_equal(gd_json_text(f->cfg->apps[0].options, "client_secret", ""), "x");
        } else {
            assert_int_equal(load(f, yaml), -1);
            assert_int_equal(f->errors.list[0].reason, cases[i].reason);
        }
    }
}

static void credentials_come_from_systemd(void **state)
{
    struct fix *f = *state;

    setenv("CREDENTIALS_DIRECTORY", f->dir, 1);
    loads(f, APP "    client_secret: {credential: secret}\n");
    assert_string_equal(gd_json_text(f->cfg->apps[0].options, "client_secret", ""), "s3cret-CANARY");
    assert_int_equal(load(f, APP "    client_secret: {credential: ../secret}\n"), -1);
    assert_int_equal(f->errors.list[0].reason, GD_R_CONFIG_VALUE_INVALID);
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void a_long_socket_path_is_refused(void **state)
{
    struct fix *f = *state;
    char yaml[4200], path[4100];

    memset(path, 'a', sizeof path);
    path[0] = '/';
    for (size_t n = 107; n < 4097; n = n < 110 ? n + 1 : n * 2) {
        (void)snprintf(yaml, sizeof yaml, "socket: %.*s\n", (int)n, path);
        if (n == 107) {
            loads(f, yaml);
            assert_int_equal(strlen(f->cfg->socket), 107);
            continue;
        }
        assert_int_equal(load(f, yaml), -1);
        assert_non_null(find_error(f, GD_R_SOCKET_PATH_TOO_LONG, 1, 9));
    }
    path[120] = '\0';
    f->given.state_dir = path; /* the derived path too */
    assert_int_equal(load(f, ""), -1);
    assert_int_equal(f->errors.list[0].reason, GD_R_SOCKET_PATH_TOO_LONG);
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
        assert_int_equal(load(f, yaml), cases[i].refused ? -1 : 0);
        assert_int_equal(f->errors.count, cases[i].refused);
        for (size_t j = 0; j < f->errors.count; j++)
            assert_int_equal(f->errors.list[j].reason, GD_R_CLIENT_SHARED_ACROSS_TENANTS);
    }
}

static void platforms_that_cannot_be_loaded_are_one_error(void **state)
{
    struct fix *f = *state;

    f->load_fails = true;
    assert_int_equal(load(f, APP "    count: x\n"), -1);
    assert_int_equal(f->errors.count, 1);
    assert_int_equal(f->errors.list[0].reason, GD_R_PLATFORM_DIR_MISSING);
    f->load_fails = false;
    f->given.options = NULL;
    assert_int_equal(load(f, APP), -1);
    assert_int_equal(f->errors.list[0].reason, GD_R_CONFIG_PLATFORM_UNKNOWN);
}

static void the_only_workspace_needs_no_name(void **state)
{
    struct fix *f = *state;

    loads(f, "workspaces: [north]\napps: {one: {platform: plain}}\n");
    assert_string_equal(f->cfg->apps[0].workspace, "north");
    loads(f, "workspaces: [north, main]\napps: {one: {platform: plain}}\n");
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
        if (load_bytes(f, text, n) == 0) {
            assert_non_null(f->cfg);
            taken++;
        } else {
            assert_null(f->cfg);
            assert_true(f->errors.count > 0);
        }
    }
    assert_true(taken > 10 && taken < 2900);
}

static void deep_and_wide_documents_end(void **state)
{
    struct fix *f = *state;
    size_t n = 200000;
    char *text = gd_new(n * 8);

    memset(text, '[', n);
    assert_int_equal(load_bytes(f, text, n), -1);
    assert_non_null(find_error(f, GD_R_CONFIG_YAML_FEATURE, 1, GD_JSON_DEPTH_MAX + 1));
    n = 0;
    for (int i = 0; i < 100000; i++)
        n += (size_t)snprintf(text + n, 16, "k%d: 1\n", i);
    assert_int_equal(load_bytes(f, text, n), -1);
    assert_int_equal(f->errors.count + f->errors.more, 100000);
    gd_free(text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(no_file_gives_all_defaults),
        T(an_empty_file_is_the_same),
        T(every_key_arrives),
        T(apps_and_hubs_arrive),
        T(policy_becomes_rules),
        T(nothing_secret_is_shown),
        T(each_mistake_is_named_at_its_place),
        T(all_mistakes_come_at_once),
        T(more_mistakes_than_room_are_counted),
        T(a_failed_reload_leaves_the_old_one),
        T(files_that_others_can_change_are_refused),
        T(a_file_of_another_user_is_refused),
        T(secret_files_have_to_be_secret),
        T(credentials_come_from_systemd),
        T(a_long_socket_path_is_refused),
        T(one_registration_serves_one_workspace),
        T(platforms_that_cannot_be_loaded_are_one_error),
        T(the_only_workspace_needs_no_name),
        T(mangled_files_are_judged),
        T(deep_and_wide_documents_end),
    };

    gd_json_setup();
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
