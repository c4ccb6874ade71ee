/* The header of small things for platforms: edges of texts, numbers and dates. */
#include <grantd/platform_help.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static void texts(void **state)
{
    (void)state;

    assert_true(grantd_equal("a", "a"));
    assert_false(grantd_equal("a", "A"));
    assert_false(grantd_equal(NULL, NULL));
    assert_false(grantd_equal("a", NULL));
    assert_true(grantd_contains("the Code has EXPIRED", "expired"));
    assert_true(grantd_contains("x", ""));
    assert_false(grantd_contains("expire", "expired"));
    assert_false(grantd_contains("\xc3\x84", "\xc3\xa4")); /* of ASCII only */
    assert_false(grantd_contains(NULL, "a"));
    assert_false(grantd_contains(NULL, ""));
}

static void numbers(void **state)
{
    (void)state;

    assert_int_equal(grantd_number("0"), 0);
    assert_int_equal(grantd_number("999999999999999999"), 999999999999999999);
    assert_int_equal(grantd_number("1000000000000000000"), -1); /* would not fit for ever */
    assert_int_equal(grantd_number(""), -1);
    assert_int_equal(grantd_number(NULL), -1);
    assert_int_equal(grantd_number("-1"), -1);
    assert_int_equal(grantd_number("1 "), -1);
    assert_int_equal(grantd_digits("2026-08", 4), 2026);
    assert_int_equal(grantd_digits("2026-08", 5), -1);
    assert_int_equal(grantd_digits("20", 4), -1);
}

/* Against the C library, day by day. */
static void days(void **state)
{
    (void)state;

    for (int64_t day = -1000; day < 200000; day += 1 + (day & 1)) {
        time_t at = (time_t)day * 86400;
        struct tm tm;
        struct grantd_date d = grantd_date_of(day);

        assert_non_null(gmtime_r(&at, &tm));
        assert_int_equal(d.y, tm.tm_year + 1900);
        assert_int_equal(d.m, tm.tm_mon + 1);
        assert_int_equal(d.d, tm.tm_mday);
        assert_int_equal(grantd_days(d.y, d.m, d.d), day);
        if (day >= 0)
            assert_int_equal(grantd_month_of(day * 86400 + 86399), d.y * 12 + d.m - 1);
    }
}

static void texts_of_days(void **state)
{
    static const char *const none[] = {
        "2027-8-31",  "2027-13-01", "2027-00-10", "2027-04-31", "2027-08-00",
        "1969-12-31", "2027/08/31", "2027-08-3x", "",           "+027-08-31"
    };
    (void)state;

    assert_int_equal(grantd_day("1970-01-01"), 0);
    assert_int_equal(grantd_day("2027-08-31"), 21061);
    assert_int_equal(grantd_day("2027-08-31T10:00:00Z"), 21061);
    assert_int_equal(grantd_day("2028-02-29"), grantd_day("2028-03-01") - 1);
    assert_int_equal(grantd_day(NULL), -1);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(grantd_day(none[i]), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(numbers),
        cmocka_unit_test(days),
        cmocka_unit_test(texts_of_days),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
