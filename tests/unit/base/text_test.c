/* Encodings against the vectors of their documents, and everything that must be refused. */
#include "base/text.h"

#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void utf8_is_strict(void **state)
{
    static const struct {
        const char *s;
        size_t n;
    } cases[] = {
        { "", 0 },
        { "a", 1 },
        { "\x7f", 1 },
        { "\xc3\xa9", 2 },
        { "\xe2\x82\xac", 3 },
        { "\xf0\x9f\x94\x91", 4 },
        { "\xf4\x8f\xbf\xbf", 4 }, /* U+10FFFF */
        { "\xf4\x90\x80\x80", 0 }, /* one more */
        { "\xc0\x80", 0 },         /* overlong NUL */
        { "\xc1\xbf", 0 },         /* overlong */
        { "\xe0\x80\x80", 0 },     /* overlong */
        { "\xe0\x9f\xbf", 0 },
        { "\xe0\xa0\x80", 3 }, /* U+0800 */
        { "\xf0\x80\x80\x80", 0 },
        { "\xf0\x8f\xbf\xbf", 0 },
        { "\xed\xa0\x80", 0 }, /* surrogates */
        { "\xed\xbf\xbf", 0 },
        { "\xee\x80\x80", 3 },
        { "\x80", 0 },
        { "\xff", 0 },
        { "\xf8\x88\x80\x80\x80", 0 },
        { "\xc3", 0 }, /* cut */
        { "\xe2\x82", 0 },
        { "\xf0\x9f\x94", 0 },
        { "\xc3g", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(gd_utf8_len(cases[i].s), cases[i].n);
}

/* Every code point in its only encoding. */
static void utf8_takes_every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 1; c < 0x110000; c++) {
        char s[5] = { 0 };
        size_t n;

        if (c < 0x80) {
            n = 1;
            s[0] = (char)c;
        } else if (c < 0x800) {
            n = 2;
            s[0] = (char)(0xc0 | c >> 6);
            s[1] = (char)(0x80 | (c & 63));
        } else if (c < 0x10000) {
            n = 3;
            s[0] = (char)(0xe0 | c >> 12);
            s[1] = (char)(0x80 | (c >> 6 & 63));
            s[2] = (char)(0x80 | (c & 63));
        } else {
            n = 4;
            s[0] = (char)(0xf0 | c >> 18);
            s[1] = (char)(0x80 | (c >> 12 & 63));
            s[2] = (char)(0x80 | (c >> 6 & 63));
            s[3] = (char)(0x80 | (c & 63));
        }
        if (gd_utf8_len(s) != (c >= 0xd800 && c < 0xe000 ? 0 : n))
            fail_msg("U+%04X", c);
    }
}

static void clean_text(void **state)
{
    (void)state;
    assert_true(gd_text_clean("", 0));
    assert_true(gd_text_clean("a\n\tb \xe2\x82\xac", 8));
    assert_false(gd_text_clean("a\0b", 3));
    assert_false(gd_text_clean("a\r", 2));
    assert_false(gd_text_clean("\x1b", 1));
    assert_false(gd_text_clean("\x7f", 1));
    assert_false(gd_text_clean("\xe2\x82\xac", 2)); /* cut by the length */
    assert_true(gd_text_clean("\xe2\x82\xac", 3));
    assert_false(gd_text_clean("abc\xff", 4));
}

static void names(void **state)
{
    (void)state;
    assert_true(gd_name_valid("a", 1));
    assert_true(gd_name_valid("tiktok_bc-2", 11));
    assert_false(gd_name_valid("tiktok_bc-2", 10));
    assert_false(gd_name_valid("", 10));
    assert_false(gd_name_valid("2a", 10));
    assert_false(gd_name_valid("_a", 10));
    assert_false(gd_name_valid("aB", 10));
    assert_false(gd_name_valid("a.b", 10));
    assert_false(gd_name_valid("a/..", 10));
    assert_false(gd_name_valid("\xc3\xa4", 10));
}

/* RFC 4648, section 10. */
static const struct {
    const char *plain, *b64, *hex;
} rfc4648[] = { { "", "", "" },
                { "f", "Zg==", "66" },
                { "fo", "Zm8=", "666f" },
                { "foo", "Zm9v", "666f6f" },
                { "foob", "Zm9vYg==", "666f6f62" },
                { "fooba", "Zm9vYmE=", "666f6f6261" },
                { "foobar", "Zm9vYmFy", "666f6f626172" } };

static void base64_and_hex_vectors(void **state)
{
    char out[64], back[64];

    (void)state;
    for (size_t i = 0; i < sizeof rfc4648 / sizeof *rfc4648; i++) {
        size_t n = strlen(rfc4648[i].plain), len = gd_b64(out, rfc4648[i].plain, n);

        assert_string_equal(out, rfc4648[i].b64);
        assert_int_equal(len, strlen(out));
        assert_int_equal(gd_b64_decode(back, n, out, len), n); /* cap exactly fits */
        assert_memory_equal(back, rfc4648[i].plain, n);
        if (n)
            assert_int_equal(gd_b64_decode(back, n - 1, out, len), -1);
        len = gd_b64url(out, rfc4648[i].plain, n);
        assert_int_equal(len, strcspn(rfc4648[i].b64, "="));
        assert_memory_equal(out, rfc4648[i].b64, len);
        gd_hex(out, rfc4648[i].plain, n);
        assert_string_equal(out, rfc4648[i].hex);
        assert_int_equal(gd_hex_decode(back, n, out, 2 * n), n);
        assert_memory_equal(back, rfc4648[i].plain, n);
    }
    gd_b64url(out, "\xfb\xff\xfe", 3);
    assert_string_equal(out, "-__-");
    gd_b64(out, "\xfb\xff\xfe", 3);
    assert_string_equal(out, "+//+");
}

static void every_length_comes_back(void **state)
{
    unsigned char in[200], back[200];
    struct gd_rng_seeded r;
    char out[300];

    (void)state;
    gd_rng_seed(&r, 3);
    for (size_t n = 0; n <= sizeof in; n++) {
        size_t len;

        gd_rng_bytes(&r.rng, in, n);
        len = gd_b64url(out, in, n);
        assert_int_equal(gd_b64url_decode(back, sizeof back, out, len), n);
        assert_memory_equal(back, in, n);
        len = gd_b64(out, in, n);
        assert_int_equal(gd_b64_decode(back, sizeof back, out, len), n);
        assert_memory_equal(back, in, n);
    }
}

static void bad_encodings_are_refused(void **state)
{
    static const char *const url[] = { "A",   "AAAAA", "A=",  "AA==",   "AB",      "Zm9=",
                                       "Zg+", "Zg/",   "Z g", "Zm9v\n", "\xc3\xa9" };
    static const char *const std[] = { "Zg", "Zg=",  "Zg===", "Zh==", "Zm9=v",   "====",
                                       "=",  "A===", "Zm9-",  "Zm9_", "Zm8=Zm8=" };
    static const char *const hex[] = { "0", "0g", "g0", "0x", " 0", "000" };
    char out[16];

    (void)state;
    for (size_t i = 0; i < sizeof url / sizeof *url; i++)
        assert_int_equal(gd_b64url_decode(out, sizeof out, url[i], strlen(url[i])), -1);
    for (size_t i = 0; i < sizeof std / sizeof *std; i++)
        assert_int_equal(gd_b64_decode(out, sizeof out, std[i], strlen(std[i])), -1);
    for (size_t i = 0; i < sizeof hex / sizeof *hex; i++)
        assert_int_equal(gd_hex_decode(out, sizeof out, hex[i], strlen(hex[i])), -1);
    assert_int_equal(gd_b64url_decode(out, sizeof out, "AA\0A", 4), -1); /* a NUL inside */
    assert_int_equal(gd_hex_decode(out, 1, "0000", 4), -1);
    assert_int_equal(gd_hex_decode(out, 1, "fF", 2), 1);
    assert_int_equal((unsigned char)out[0], 255);
}

static void percent_and_form(void **state)
{
    GD_AUTO_FREE char *p = gd_percent_encode("a b&c=d+e/\xc3\xa9~-._");
    GD_AUTO_FREE char *f = gd_form_encode("a b&c=d+e/\xc3\xa9~-._");
    GD_AUTO_FREE char *none = gd_percent_encode("");
    char s[64];

    (void)state;
    assert_string_equal(p, "a%20b%26c%3Dd%2Be%2F%C3%A9~-._");
    assert_string_equal(f, "a+b%26c%3Dd%2Be%2F%C3%A9~-._");
    assert_string_equal(none, "");
    (void)snprintf(s, sizeof s, "%s", f);
    assert_true(gd_percent_decode(s, true));
    assert_string_equal(s, "a b&c=d+e/\xc3\xa9~-._");
    (void)snprintf(s, sizeof s, "a+b");
    assert_true(gd_percent_decode(s, false));
    assert_string_equal(s, "a+b");
}

static void every_character_survives_the_form(void **state)
{
    (void)state;
    for (int c = 1; c < 128; c++) {
        char in[2] = { (char)c, '\0' };
        GD_AUTO_FREE char *p = gd_percent_encode(in);
        GD_AUTO_FREE char *f = gd_form_encode(in);

        assert_true(gd_percent_decode(p, false));
        assert_true(gd_percent_decode(f, true));
        assert_string_equal(p, in);
        assert_string_equal(f, in);
    }
}

static void bad_escapes_are_refused(void **state)
{
    static const char *const cases[] = { "%",   "%1",  "%g0",    "%0g",       "a%",   "%00", "a%00b",
                                         "%ff", "%c3", "%c0%80", "%ed%a0%80", "%%41", "% 1" };
    char s[32];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(s, sizeof s, "%s", cases[i]);
        if (gd_percent_decode(s, true))
            fail_msg("%s", cases[i]);
    }
}

static void whole_numbers(void **state)
{
    static const char *const bad[] = { "",
                                       "-",
                                       "+",
                                       "--1",
                                       "+-1",
                                       "1-",
                                       "1 ",
                                       " 1",
                                       "0x10",
                                       "1e3",
                                       "1.0",
                                       "9223372036854775808",
                                       "-9223372036854775809" };
    int64_t v = 77;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(gd_parse_i64(bad[i], &v));
    assert_false(gd_parse_i64(NULL, &v));
    assert_int_equal(v, 77);
    assert_true(gd_parse_i64("9223372036854775807", &v) && v == INT64_MAX);
    assert_true(gd_parse_i64("-9223372036854775808", &v) && v == INT64_MIN);
    assert_true(gd_parse_i64("+7", &v) && v == 7);
    assert_true(gd_parse_i64("007", &v) && v == 7);
    assert_true(gd_parse_i64("-0", &v) && v == 0);
}

static void comparing_secrets(void **state)
{
    (void)state;
    assert_true(gd_same_bytes("abc", "abd", 2));
    assert_false(gd_same_bytes("abc", "abd", 3));
    assert_true(gd_same_bytes("a", "b", 0));
    assert_true(gd_same_text("abc", "abc"));
    assert_true(gd_same_text("", ""));
    assert_false(gd_same_text("abc", "ab"));
    assert_false(gd_same_text("abc", NULL));
    assert_false(gd_same_text(NULL, NULL));
    for (int bit = 0; bit < 8; bit++) {
        unsigned char a[1] = { 0x5a }, b[1] = { (unsigned char)(0x5a ^ (1 << bit)) };

        assert_false(gd_same_bytes(a, b, 1));
    }
}

static void sums_stop_at_the_ends(void **state)
{
    (void)state;
    assert_int_equal(gd_add_sat(1, 2), 3);
    assert_true(gd_add_sat(INT64_MAX, 1) == INT64_MAX);
    assert_true(gd_add_sat(1, INT64_MAX) == INT64_MAX);
    assert_true(gd_add_sat(INT64_MIN, -1) == INT64_MIN);
    assert_true(gd_add_sat(-1, INT64_MIN) == INT64_MIN);
    assert_true(gd_add_sat(INT64_MAX, INT64_MIN) == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(utf8_takes_every_code_point),
        cmocka_unit_test(clean_text),
        cmocka_unit_test(names),
        cmocka_unit_test(base64_and_hex_vectors),
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(bad_encodings_are_refused),
        cmocka_unit_test(percent_and_form),
        cmocka_unit_test(every_character_survives_the_form),
        cmocka_unit_test(bad_escapes_are_refused),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(comparing_secrets),
        cmocka_unit_test(sums_stop_at_the_ends),
    };

    return cmocka_run_group_tests_name("base text", tests, NULL, NULL);
}
