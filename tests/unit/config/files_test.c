/* Files that are not only ours, secrets, paths. */
#include "kit.h"

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

    kit_write_file(f->path, "", 0, 0660);
    expect_file_error(f, GD_R_CONFIG_MODE);
    kit_write_file(f->path, "", 0, 0602);
    expect_file_error(f, GD_R_CONFIG_MODE);
    memset(big, '#', GD_CONFIG_FILE_MAX + 1);
    kit_write_file(f->path, big, GD_CONFIG_FILE_MAX + 1, 0600);
    expect_file_error(f, GD_R_CONFIG_UNREADABLE);
    kit_write_file(f->path, big, GD_CONFIG_FILE_MAX, 0600);
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
    kit_write_file(f->path, "", 0, 0600);
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
        kit_write_file(f->secret, cases[i].text, cases[i].n, cases[i].mode);
        if (cases[i].reason == GD_R_OK) {
            kit_loads(f, yaml);
            assert_string_equal(gd_json_text(f->cfg->apps[0].options, "client_secret", ""), "x");
        } else {
            assert_int_equal(kit_load(f, yaml), -1);
            assert_int_equal(f->errors.list[0].reason, cases[i].reason);
        }
    }
}

static void credentials_come_from_systemd(void **state)
{
    struct fix *f = *state;

    setenv("CREDENTIALS_DIRECTORY", f->dir, 1);
    kit_loads(f, APP "    client_secret: {credential: secret}\n");
    assert_string_equal(gd_json_text(f->cfg->apps[0].options, "client_secret", ""), "s3cret-CANARY");
    assert_int_equal(kit_load(f, APP "    client_secret: {credential: ../secret}\n"), -1);
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
            kit_loads(f, yaml);
            assert_int_equal(strlen(f->cfg->socket), 107);
            continue;
        }
        assert_int_equal(kit_load(f, yaml), -1);
        assert_non_null(kit_find_error(f, GD_R_SOCKET_PATH_TOO_LONG, 1, 9));
    }
    path[120] = '\0';
    f->given.state_dir = path; /* the derived path too */
    assert_int_equal(kit_load(f, ""), -1);
    assert_int_equal(f->errors.list[0].reason, GD_R_SOCKET_PATH_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(files_that_others_can_change_are_refused),
        T(a_file_of_another_user_is_refused),
        T(secret_files_have_to_be_secret),
        T(credentials_come_from_systemd),
        T(a_long_socket_path_is_refused),
    };

    gd_json_setup();
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
