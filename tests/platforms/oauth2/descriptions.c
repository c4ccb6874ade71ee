/* descriptions.c - what the loader says to descriptions: each shipped one is taken, each wrong one
 * (wrong/NAME.json) is refused with its file, its JSON pointer and what would be right (wrong/expected.json),
 * and the reference in README.md has the row of every field and option of the table. Arguments: oauth2.so,
 * the platform's folder, this folder. */
#include "base/err.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "plugin/platform.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define README_MAX (256 * 1024)

static struct gd_platform *platform;
static const char *home, *here;

static void test_wrong(void **state)
{
    GD_AUTO_FREE char *path = gd_strf("%s/wrong/expected.json", here);
    GD_AUTO_JSON expected = json_load_file(path, 0, NULL);
    const char *name;
    json_t *wants, *want;
    size_t i;

    (void)state;
    assert_true(json_object_size(expected) > 40);
    json_object_foreach(expected, name, wants)
    {
        GD_AUTO_FREE char *file = gd_strf("%s/wrong/%s.json", here, name);
        struct gd_err err = { 0 };
        json_t *d = gd_description_load(platform, file, &err);

        if (d)
            fail_msg("%s was taken", file);
        assert_int_equal(err.reason, GD_R_DESCRIPTION_INVALID);
        if (!strstr(err.text, file))
            fail_msg("%s: the file is not named: %s", name, err.text);
        json_array_foreach(wants, i, want) if (!strstr(err.text, json_string_value(want)))
            fail_msg("%s: \"%s\" is not in: %s", name, json_string_value(want), err.text);
    }
}

/* No wrong description without an expectation. */
static void test_all_expected(void **state)
{
    GD_AUTO_FREE char *dir = gd_strf("%s/wrong", here);
    GD_AUTO_FREE char *path = gd_strf("%s/expected.json", dir);
    GD_AUTO_JSON expected = json_load_file(path, 0, NULL);
    DIR *d = opendir(dir);
    size_t n = 0;

    (void)state;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strstr(e->d_name, ".json") && strcmp(e->d_name, "expected.json") != 0;
    (void)closedir(d);
    assert_int_equal(n, json_object_size(expected));
}

static void test_shipped(void **state)
{
    static const char *const names[] = { "x",         "instagram",        "threads", "pinterest",
                                         "snapchat",  "reddit",           "hubspot", "microsoft_advertising",
                                         "klaviyo",   "google_analytics", "oidc",    "mailchimp",
                                         "amazon_ads" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        GD_AUTO_FREE char *path = gd_strf("%s/providers/%s.json", home, names[i]);
        struct gd_err err = { 0 };
        json_t *d = gd_description_load(platform, path, &err);

        if (!d)
            fail_msg("%s", err.text);
        assert_non_null(json_object_get(d, "title"));
        if (strcmp(names[i], "oidc") != 0)
            assert_true(json_array_size(json_object_get(d, "unconfirmed")) > 0);
        json_decref(d);
    }
}

static char *readme(void)
{
    GD_AUTO_FREE char *path = gd_strf("%s/README.md", home);
    FILE *f = fopen(path, "re");
    char *text = gd_new(README_MAX);

    assert_non_null(f);
    assert_true(fread(text, 1, README_MAX - 1, f) > 0);
    (void)fclose(f);
    return text;
}

/* "| `path` | ... help |" stands in the reference on one line. */
static void assert_row(const char *text, const char *name, const char *help)
{
    GD_AUTO_FREE char *start = gd_strf("\n| `%s` |", name);
    const char *row = strstr(text, start), *said;

    if (!row)
        fail_msg("README.md has no row for %s", name);
    said = strstr(row, help);
    if (!said || said > strchr(row + 1, '\n'))
        fail_msg("README.md says something else of %s than: %s", name, help);
}

static void test_reference(void **state)
{
    GD_AUTO_FREE char *text = readme();
    const char *second = strstr(text, "## Fields of a description");
    size_t rows = 0, fields = 0;

    (void)state;
    assert_non_null(second);
    for (const struct grantd_option *o = platform->p.options; o->key; o++, fields++)
        assert_row(text, o->key, o->help);
    for (const struct grantd_field *f = platform->p.description; f->path; f++, fields++)
        assert_row(second, f->path, f->help);
    for (const char *at = text; (at = strstr(at, "\n| `")); at++)
        rows++;
    assert_int_equal(rows, fields);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_all_expected),
        cmocka_unit_test(test_shipped),
        cmocka_unit_test(test_reference),
    };
    struct gd_err err;
    int rc;

    if (argc != 4)
        return 2;
    gd_json_setup();
    home = argv[2];
    here = argv[3];
    if (gd_crypto_setup(&err) != 0 || gd_platform_load(&platform, argv[1], false, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    rc = cmocka_run_group_tests_name("oauth2 descriptions", tests, NULL, NULL);
    gd_platform_free(platform);
    return rc;
}
