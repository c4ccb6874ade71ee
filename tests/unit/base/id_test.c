/* Ids and the repeatable random numbers. */
#include "base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void known_bytes_give_known_text(void **state)
{
    struct gd_id id = { { 0 } }, back;
    char text[GD_ID_TEXT_MAX];

    (void)state;
    gd_id_text(text, "gr", &id);
    assert_string_equal(text, "gr00000000000000000000000000");
    memset(&id, 0xff, sizeof id);
    gd_id_text(text, "gr", &id);
    assert_string_equal(text, "gr7zzzzzzzzzzzzzzzzzzzzzzzzz");
    assert_true(gd_id_parse(&back, "gr", text, 28));
    assert_memory_equal(&back, &id, sizeof id);
    /* ULID's own example, in small letters: 01ARZ3NDEKTSV4RRFFQ69G5FAV */
    assert_true(gd_id_parse(&back, "cl", "cl01arz3ndektsv4rrffq69g5fav", 28));
    assert_int_equal(back.b[0], 0x01);
    assert_int_equal(back.b[15], 0x5b);
    gd_id_text(text, "cl", &back);
    assert_string_equal(text, "cl01arz3ndektsv4rrffq69g5fav");
}

static void ids_come_back_and_sort_by_time(void **state)
{
    struct gd_rng_seeded r;
    char before[GD_ID_TEXT_MAX] = "";

    (void)state;
    gd_rng_seed(&r, 1);
    for (int64_t ms = 1700000000000; ms < 1700000000000 + 5000; ms++) {
        struct gd_id id, back;
        char text[GD_ID_TEXT_MAX], again[GD_ID_TEXT_MAX];

        gd_id_new(&id, ms, &r.rng);
        gd_id_text(text, "cr", &id);
        assert_int_equal(strlen(text), 28);
        assert_true(gd_id_parse(&back, "cr", text, strlen(text)));
        assert_memory_equal(&back, &id, sizeof id);
        assert_true(strcmp(text, before) > 0);
        (void)snprintf(before, sizeof before, "%s", text);
        gd_id_make(again, "cr", ms, &r.rng);
        assert_memory_equal(again, text, 12); /* the same millisecond */
        assert_string_not_equal(again, text);
    }
}

static void odd_times_are_taken(void **state)
{
    struct gd_rng_seeded r;
    struct gd_id id;

    (void)state;
    gd_rng_seed(&r, 1);
    gd_id_new(&id, -5, &r.rng);
    assert_int_equal(id.b[0] | id.b[5], 0);
    gd_id_new(&id, (INT64_C(1) << 48) - 1, &r.rng);
    assert_int_equal(id.b[0] & id.b[5], 0xff);
}

static void only_canonical_text_is_an_id(void **state)
{
    static const char *const bad[] = { "",
                                       "gr",
                                       "gr0000000000000000000000000",
                                       "gr000000000000000000000000000",
                                       "cl00000000000000000000000000",
                                       "GR00000000000000000000000000",
                                       "gr80000000000000000000000000", /* 2^128 */
                                       "gr0000000000000000000000000A",
                                       "gr0000000000000000000000000i",
                                       "gr0000000000000000000000000l",
                                       "gr0000000000000000000000000o",
                                       "gr0000000000000000000000000u",
                                       "gr0000000000000000000000000-",
                                       "gr0000000000000000000000000 ",
                                       "gr0000000000000000000000000\xff" };
    struct gd_id id;

    (void)state;
    memset(&id, 0x77, sizeof id);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (gd_id_parse(&id, "gr", bad[i], strlen(bad[i])))
            fail_msg("%s", bad[i]);
    assert_false(gd_id_parse(&id, "gr", "gr0000000000000\0000000000000", 28));
    assert_int_equal(id.b[0], 0x77);
}

/* xoshiro256** from splitmix64(0): figures of the reference implementation. */
static void seeded_numbers_are_those_of_the_reference(void **state)
{
    static const uint64_t want[] = { 0x99ec5f36cb75f2b4u, 0xbf6e1f784956452au, 0x1a5f849d4933e6e0u,
                                     0x6aa594f1262d2d2cu };
    struct gd_rng_seeded r;

    (void)state;
    gd_rng_seed(&r, 0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_true(gd_rng_u64(&r.rng) == want[i]);
}

static void below_is_below_and_even(void **state)
{
    struct gd_rng_seeded r;
    int seen[7] = { 0 };

    (void)state;
    gd_rng_seed(&r, 99);
    assert_int_equal(gd_rng_below(&r.rng, 0), 0);
    assert_int_equal(gd_rng_below(&r.rng, 1), 0);
    for (int i = 0; i < 70000; i++)
        seen[gd_rng_below(&r.rng, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_true(abs(seen[i] - 10000) < 500);
    for (int i = 0; i < 1000; i++)
        assert_true(gd_rng_below(&r.rng, UINT64_MAX) < UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_bytes_give_known_text),
        cmocka_unit_test(ids_come_back_and_sort_by_time),
        cmocka_unit_test(odd_times_are_taken),
        cmocka_unit_test(only_canonical_text_is_an_id),
        cmocka_unit_test(seeded_numbers_are_those_of_the_reference),
        cmocka_unit_test(below_is_below_and_even),
    };

    return cmocka_run_group_tests_name("base id", tests, NULL, NULL);
}
