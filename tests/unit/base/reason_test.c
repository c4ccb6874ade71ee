/* The table of reason words: what the manual, the pages and the exit codes are made from. */
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/reason.h"
#include "base/text.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_word_is_whole_and_there_once(void **state)
{
    struct gd_map seen = { 0 };

    (void)state;
    for (int i = 0; i < GD_R__COUNT; i++) {
        const struct gd_reason_info *r = gd_reason_info((enum gd_reason)i);

        assert_non_null(r->word);
        if (gd_map_set(&seen, r->word, &seen))
            fail_msg("%s is there twice", r->word);
        assert_true(strlen(r->word) < 48);
        for (const char *p = r->word; *p; p++)
            assert_true(isupper((unsigned char)*p) || isdigit((unsigned char)*p) || *p == '_');
        if (strlen(r->meaning) < 5 || r->meaning[strlen(r->meaning) - 1] != '.' || strlen(r->remedy) < 5 ||
            r->remedy[strlen(r->remedy) - 1] != '.')
            fail_msg("%s: a sentence ends with a full stop", r->word);
        assert_int_equal(gd_reason_find(r->word), i);
        assert_true(r->act == GD_ACT_OK || (r->act >= GD_ACT_USAGE && r->act <= GD_ACT_DAEMON));
    }
    gd_map_done(&seen, NULL);
}

static void unknown_ones_are_internal(void **state)
{
    (void)state;
    assert_int_equal(gd_reason_find("NO_SUCH_WORD"), GD_R_INTERNAL);
    assert_int_equal(gd_reason_find(""), GD_R_INTERNAL);
    assert_string_equal(gd_reason_word(GD_R__COUNT), "INTERNAL");
    assert_string_equal(gd_reason_word((enum gd_reason)9999), "INTERNAL");
    assert_string_equal(gd_reason_word(GD_R_OK), "OK");
}

static void errors_carry_word_and_sentence(void **state)
{
    struct gd_err err = { .retry_at = 5 };
    char big[2 * GD_ERR_TEXT_MAX];

    (void)state;
    assert_int_equal(gd_err_set(&err, GD_R_NOT_FOUND, "no %s number %d", "client", 7), -1);
    assert_int_equal(err.reason, GD_R_NOT_FOUND);
    assert_string_equal(err.text, "no client number 7");
    assert_int_equal(err.retry_at, 0);
    assert_int_equal(gd_err_set(NULL, GD_R_NOT_FOUND, "nobody listens"), -1);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    gd_err_set(&err, GD_R_INTERNAL, "%s", big);
    assert_int_equal(strlen(err.text), GD_ERR_TEXT_MAX - 1);
}

/* It is stored and answered: what was quoted, and where it was cut, may not make it something else than text.
 */
static void a_sentence_is_clean(void **state)
{
    struct gd_err err = { 0 };
    GD_AUTO_FREE char *long_one = gd_new(2 * GD_ERR_TEXT_MAX);

    (void)state;
    gd_err_set(&err, GD_R_INTERNAL, "%s is no method", "GET\r\n\x1b\xff\xc3");
    assert_string_equal(err.text, "GET?\n??? is no method");
    gd_err_set(&err, GD_R_INTERNAL, "%s",
               "Gr\xc3\xb6\xc3\x9f"
               "e\t\xf0\x9f\x98\x80");
    assert_string_equal(err.text, "Gr\xc3\xb6\xc3\x9f"
                                  "e\t\xf0\x9f\x98\x80");
    for (size_t shift = 0; shift < 4; shift++) {
        memset(long_one, 'x', shift);
        for (size_t i = 0; i + 4 < GD_ERR_TEXT_MAX + 40; i += 4)
            memcpy(long_one + shift + i, "\xf0\x9f\x98\x80", 5);
        gd_err_set(&err, GD_R_INTERNAL, "%s", long_one);
        assert_int_equal(strlen(err.text), GD_ERR_TEXT_MAX - 1);
        assert_true(gd_text_clean(err.text, strlen(err.text)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_whole_and_there_once),
        cmocka_unit_test(unknown_ones_are_internal),
        cmocka_unit_test(errors_carry_word_and_sentence),
        cmocka_unit_test(a_sentence_is_clean),
    };

    return cmocka_run_group_tests_name("base reason", tests, NULL, NULL);
}
