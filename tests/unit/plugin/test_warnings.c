/* Warnings: one sentence for each thing that a word is said of; figures change, ids do not. */
#include "kit.h"
#include "plugin/warnings.h"

static void is(const json_t *all, const char *word, const char *text)
{
    assert_string_equal(gd_json_text(all, word, ""), text);
}

static void sentences(void **state)
{
    GD_AUTO_JSON all = json_object();

    (void)state;
    assert_true(gd_warnings_add(all, "W", "post 7311000042 is private"));
    assert_false(gd_warnings_add(all, "W", "post 7311000042 is private"));
    assert_true(gd_warnings_add(all, "W", "post 7311000043 is private"));
    assert_true(gd_warnings_add(all, "W", "post 731100004 is private"));
    is(all, "W", "post 7311000042 is private\npost 7311000043 is private\npost 731100004 is private");
    assert_true(gd_warnings_add(all, "N", "6 of 3000 accounts"));
    assert_false(gd_warnings_add(all, "N", "17 of 3000 accounts"));
    is(all, "N", "17 of 3000 accounts");
    assert_true(gd_warnings_add(all, "N", "17 of 3000 accounts are shared"));
}

static void a_later_figure(void **state)
{
    GD_AUTO_JSON all = json_object();

    (void)state;
    (void)gd_warnings_add(all, "W", "post 7311000042: 3 days");
    (void)gd_warnings_add(all, "W", "post 7311000043: 3 days");
    (void)gd_warnings_add(all, "W", "post 7311000044: 3 days");
    assert_false(gd_warnings_add(all, "W", "post 7311000043: 12 days"));
    is(all, "W", "post 7311000042: 3 days\npost 7311000043: 12 days\npost 7311000044: 3 days");
}

static void what_is_new(void **state)
{
    GD_AUTO_JSON all = json_object();
    GD_AUTO_JSON news = json_object();

    (void)state;
    gd_warnings_merge(all, "W", "post 7311000042: 3 days\npost 7311000043: 3 days", NULL);
    gd_warnings_merge(all, "W", "post 7311000043: 2 days\npost 7311000044: 3 days", news);
    is(news, "W", "post 7311000044: 3 days");
    json_object_clear(news);
    gd_warnings_news(all, "W", "post 7311000044: 1 day", news);
    gd_warnings_news(NULL, "V", "it is new", news);
    is(news, "W", "post 7311000044: 1 day"); /* "days" is no figure */
    is(news, "V", "it is new");
}

static void no_more_than_so_many(void **state)
{
    GD_AUTO_JSON all = json_object();
    char text[64];

    (void)state;
    for (int i = 0; i < GD_WARNINGS_LINES_MAX; i++) {
        (void)snprintf(text, sizeof text, "post 73110000%d", 10 + i);
        assert_true(gd_warnings_add(all, "W", text));
    }
    assert_false(gd_warnings_add(all, "W", "post 7311000099"));
    assert_null(strstr(gd_json_text(all, "W", ""), "7311000099"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences),
        cmocka_unit_test(a_later_figure),
        cmocka_unit_test(what_is_new),
        cmocka_unit_test(no_more_than_so_many),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
