/* kit.c */
#include "kit.h"

static const char *const sizes[] = { "small", "big", NULL };
static const struct grantd_option acme_options[] = {
    { "client_id", NULL, "id", GRANTD_OPT_REQUIRED, GRANTD_TEXT, NULL },
    { "client_secret", NULL, "secret", GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { "issuer", NULL, "issuer", 0, GRANTD_URL, NULL },
    { "count", "3", "count", 0, GRANTD_INT, NULL },
    { "strict", "false", "strict", 0, GRANTD_BOOL, NULL },
    { "size", "small", "size", GRANTD_OPT_ALIKE, GRANTD_ENUM, sizes },
    { "business", NULL, "hub option", GRANTD_OPT_HUB | GRANTD_OPT_REQUIRED, GRANTD_TEXT, NULL },
    { "system_token", NULL, "hub secret", GRANTD_OPT_HUB | GRANTD_OPT_SECRET, GRANTD_TEXT, NULL },
    { NULL, NULL, NULL, 0, 0, NULL },
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

void kit_write_file(const char *path, const char *text, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

int kit_setup(void **state)
{
    struct fix *f = gd_new(sizeof *f);

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/gd-config-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/grantd.yaml", f->dir);
    (void)snprintf(f->secret, sizeof f->secret, "%s/secret", f->dir);
    kit_write_file(f->secret, "s3cret-CANARY\n", 14, 0600);
    f->given = (struct gd_config_given){ .state_dir = "/var/lib/grantd",
                                         .platform_dir = "/usr/lib/grantd",
                                         .load_platforms = load_platforms,
                                         .options = find_options,
                                         .arg = f };
    *state = f;
    return 0;
}

int kit_teardown(void **state)
{
    struct fix *f = *state;

    gd_config_free(f->cfg);
    unlink(f->path);
    unlink(f->secret);
    rmdir(f->dir);
    gd_free(f);
    return 0;
}

int kit_load_bytes(struct fix *f, const char *yaml, size_t n)
{
    gd_config_free(f->cfg);
    f->cfg = NULL;
    kit_write_file(f->path, yaml, n, 0640);
    return gd_config_load(&f->cfg, f->path, &f->given, &f->errors);
}

int kit_load(struct fix *f, const char *yaml)
{
    return kit_load_bytes(f, yaml, strlen(yaml));
}

void kit_loads(struct fix *f, const char *yaml)
{
    int r = kit_load(f, yaml);

    if (r != 0)
        print_error("%s\n", f->errors.list[0].text);
    assert_int_equal(r, 0);
    assert_non_null(f->cfg);
    assert_int_equal(f->errors.count, 0);
}

const struct gd_config_error *kit_find_error(const struct fix *f, enum gd_reason reason, int line, int column)
{
    for (size_t i = 0; i < f->errors.count; i++)
        if (f->errors.list[i].reason == reason && f->errors.list[i].line == line &&
            f->errors.list[i].column == column)
            return &f->errors.list[i];
    return NULL;
}

void kit_show_errors(const struct fix *f)
{
    for (size_t i = 0; i < f->errors.count; i++)
        print_error("  %s %s\n", gd_reason_word(f->errors.list[i].reason), f->errors.list[i].text);
}
