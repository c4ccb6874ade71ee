/* Times as text and back; clocks. */
#include "base/clock.h"
#include "base/rng.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
    int64_t ms;
    const char *text;
} moments[] = {
    { 0, "1970-01-01T00:00:00.000Z" },
    { 1, "1970-01-01T00:00:00.001Z" },
    { 951782400000, "2000-02-29T00:00:00.000Z" },
    { 1795303064123, "2026-11-21T23:17:44.123Z" },
    { 2147483647999, "2038-01-19T03:14:07.999Z" }, /* T47 */
    { 2147483648000, "2038-01-19T03:14:08.000Z" },
    { 4294967296000, "2106-02-07T06:28:16.000Z" },
    { 253402300799999, "9999-12-31T23:59:59.999Z" },
};

static void moments_as_text_and_back(void **state)
{
    char out[32];

    (void)state;
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        gd_time_text(out, moments[i].ms);
        assert_string_equal(out, moments[i].text);
        assert_true(gd_time_parse(out) == moments[i].ms);
    }
    gd_time_text(out, -1);
    assert_string_equal(out, "1969-12-31T23:59:59.999Z");
    gd_time_text(out, -1000);
    assert_string_equal(out, "1969-12-31T23:59:59.000Z");
    gd_time_text(out, INT64_MAX); /* no year, but no overrun either */
    assert_true(strlen(out) < 32);
    gd_time_text(out, INT64_MIN);
    assert_true(strlen(out) < 32);
}

static void random_moments_come_back(void **state)
{
    struct gd_rng_seeded r;
    char out[32];

    (void)state;
    gd_rng_seed(&r, 5);
    for (int i = 0; i < 20000; i++) {
        int64_t ms = (int64_t)gd_rng_below(&r.rng, 253402300800000u);

        gd_time_text(out, ms);
        assert_true(gd_time_parse(out) == ms);
    }
}

static void other_ways_to_write_it(void **state)
{
    (void)state;
    assert_true(gd_time_parse("2026-11-21T23:17:44Z") == 1795303064000);
    assert_true(gd_time_parse("2026-11-21T23:17:44.5Z") == 1795303064500);
    assert_true(gd_time_parse("2026-11-21T23:17:44.123456789Z") == 1795303064123);
    assert_true(gd_time_parse("2026-11-22T00:17:44+01:00") == 1795303064000);
    assert_true(gd_time_parse("2026-11-21T17:47:44-05:30") == 1795303064000);
    assert_true(gd_time_parse("2026-11-22T00:17:44+0100") == 1795303064000);
    assert_true(gd_time_parse("2024-02-29T00:00:00Z") == 1709164800000);
    assert_true(gd_time_parse("1795303064") == 1795303064000);
    assert_true(gd_time_parse("0") == 0);
}

static void what_is_no_time(void **state)
{
    static const char *const bad[] = { "",
                                       "now",
                                       "-1",
                                       "9223372036854775807",
                                       "2026-11-21",
                                       "2026-11-21T23:17:44",
                                       "2026-11-21 23:17:44Z",
                                       "2026-11-21T23:17:44.Z",
                                       "2026-11-21T23:17:44z ",
                                       "2026-11-21T23:17:44Z ",
                                       "2026-13-01T00:00:00Z",
                                       "2026-00-01T00:00:00Z",
                                       "2026-02-30T00:00:00Z",
                                       "2025-02-29T00:00:00Z",
                                       "2026-11-21T24:00:00Z",
                                       "2026-11-21T23:60:00Z",
                                       "2026-11-21T23:17:44+25:00",
                                       "2026-11-21T23:17:44+01",
                                       "2026-11-21T23:17:44+01000",
                                       "2026-11-21T23:17:44+01;00",
                                       "2026-11-21T23:17:61Z",
                                       "2026-11-00T23:17:44Z",
                                       "2026-11-21T23:17:44+01:0",
                                       "2026-11-21T23:17:44+ 1: 0",
                                       "2026-11-21T23:17:44+-1:00",
                                       "2026- 1- 2T 3: 4: 5Z",
                                       " 2026-11-21T23:17:44Z",
                                       "26-11-21T23:17:44Z",
                                       "02026-11-21T23:17:44Z" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (gd_time_parse(bad[i]) != -1)
            fail_msg("%s", bad[i]);
}

static void http_dates(void **state)
{
    static const char *const bad[] = { "",
                                       "Sun, 06 Nov 1994 08:49:37",
                                       "Sun, 06 Nov 1994 08:49:37 UTC",
                                       "Sun, 06 Nov 1994 08:49:37 GMT ",
                                       "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994",
                                       "Sun, 06 Foo 1994 08:49:37 GMT",
                                       "Sun,  6 Nov 1994  8:49:37 GMT ",
                                       "Sunday, 06 Nov 1994 08:49:37 GMT",
                                       "Sun, 06 Nov 1994 25:49:37 GMT",
                                       "120" };

    (void)state;
    assert_true(gd_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777); /* RFC 9110, 5.6.7 */
    assert_true(gd_http_date("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
    assert_true(gd_http_date("Tue, 19 Jan 2038 03:14:08 GMT") == 2147483648);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (gd_http_date(bad[i]) != -1)
            fail_msg("%s", bad[i]);
}

static void virtual_time_stands_until_moved(void **state)
{
    struct gd_clock_virtual v;

    (void)state;
    gd_clock_virtual_init(&v, 1000);
    assert_int_equal(gd_now(&v.clock), 1000);
    assert_int_equal(gd_mono(&v.clock), 0);
    gd_clock_virtual_advance(&v, 50);
    assert_int_equal(gd_now(&v.clock), 1050);
    assert_int_equal(gd_mono(&v.clock), 50);
    v.unix_now -= 10000; /* somebody sets the clock */
    assert_int_equal(gd_now(&v.clock), -8950);
    assert_int_equal(gd_mono(&v.clock), 50);
}

static void real_time_goes_on(void **state)
{
    const struct gd_clock *c = gd_clock_system();
    int64_t mono = gd_mono(c);

    (void)state;
    assert_true(gd_now(c) > 1700000000000);
    usleep(3000);
    assert_true(gd_mono(c) >= mono + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_as_text_and_back),
        cmocka_unit_test(random_moments_come_back),
        cmocka_unit_test(other_ways_to_write_it),
        cmocka_unit_test(what_is_no_time),
        cmocka_unit_test(http_dates),
        cmocka_unit_test(virtual_time_stands_until_moved),
        cmocka_unit_test(real_time_goes_on),
    };

    return cmocka_run_group_tests_name("base time", tests, NULL, NULL);
}
