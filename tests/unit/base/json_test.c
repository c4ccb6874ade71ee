/* The only door for JSON from outside. */
#include "base/json.h"

#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *s, struct gd_err *err)
{
    return gd_json_parse(s, strlen(s), 65536, err);
}

static void what_is_taken(void **state)
{
    static const char *const good[] = { "{}",
                                        "[]",
                                        " {\"a\":1} \n",
                                        "[1,2.5,true,null,\"x\"]",
                                        "{\"a\":{\"b\":[{}]}}",
                                        "{\"\\u00e9\":\"\\ud83d\\udd11\"}",
                                        "[9223372036854775807]" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct gd_err err = { 0 };
        GD_AUTO_JSON j = parse(good[i], &err);

        if (!j)
            fail_msg("%s: %s", good[i], err.text);
    }
}

static void what_is_refused(void **state)
{
    static const char *const bad[] = { "",
                                       " ",
                                       "1",
                                       "\"x\"",
                                       "null",
                                       "{",
                                       "{}{}",
                                       "{} x",
                                       "{\"a\":1,\"a\":2}",
                                       "{\"a\":{\"b\":1,\"b\":1}}",
                                       "{\"a\\u0000b\":1}",
                                       "[\"\\u0000\"]",
                                       "[\"\\ud800\"]",
                                       "[\"\xff\"]",
                                       "[\"\xed\xa0\x80\"]",
                                       "[\"a\nb\"]",
                                       "[1e999]",
                                       "[9223372036854775808]",
                                       "[01]",
                                       "[+1]",
                                       "[NaN]",
                                       "[Infinity]",
                                       "[1,]",
                                       "{\"a\":1,}",
                                       "{a:1}",
                                       "['a']",
                                       "[//x\n]",
                                       "[true",
                                       "\xef\xbb\xbf{}",
                                       "[\"rt-CANARY-456" };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct gd_err err = { 0 };

        if (parse(bad[i], &err))
            fail_msg("%s", bad[i]);
        assert_int_equal(err.reason, GD_R_JSON_INVALID);
        assert_null(strstr(err.text, "CANARY")); /* it may be a token */
    }
    assert_null(gd_json_parse("{\0}", 3, 100, NULL));
    assert_null(gd_json_parse("[\"a\0b\"]", 7, 100, NULL));
}

static void sizes_have_a_limit(void **state)
{
    struct gd_err err = { 0 };
    GD_AUTO_JSON fits = gd_json_parse("[1,2]", 5, 5, &err);

    (void)state;
    assert_non_null(fits);
    assert_null(gd_json_parse("[1,2]", 5, 4, &err));
    assert_int_equal(err.reason, GD_R_JSON_INVALID);
}

static json_t *nested(size_t depth, char open, char close, struct gd_err *err)
{
    char text[4096] = "";
    size_t n = 0;

    for (size_t i = 0; i < depth; i++) {
        text[n++] = open;
        if (open == '{' && i + 1 < depth)
            n += (size_t)snprintf(text + n, 8, "\"a\":");
    }
    for (size_t i = 0; i < depth; i++)
        text[n++] = close;
    return gd_json_parse(text, n, sizeof text, err);
}

static void depth_has_a_limit(void **state)
{
    struct gd_err err = { 0 };
    GD_AUTO_JSON list = nested(GD_JSON_DEPTH_MAX, '[', ']', &err);
    GD_AUTO_JSON object = nested(GD_JSON_DEPTH_MAX, '{', '}', &err);
    GD_AUTO_JSON brackets = parse("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"]", &err);

    (void)state;
    assert_non_null(list);
    assert_non_null(object);
    assert_non_null(brackets); /* those in strings do not count */
    assert_null(nested(GD_JSON_DEPTH_MAX + 1, '[', ']', &err));
    assert_int_equal(err.reason, GD_R_JSON_TOO_DEEP);
    assert_null(nested(GD_JSON_DEPTH_MAX + 1, '{', '}', &err));
    assert_int_equal(err.reason, GD_R_JSON_TOO_DEEP);
}

static void paths(void **state)
{
    GD_AUTO_JSON j = parse(
        "{\"data\":{\"list\":[{\"id\":\"x\"},{\"id\":\"y\"}],\"a.b\":1,\"n\":null},\"0\":\"zero\"}", NULL);

    (void)state;
    assert_ptr_equal(gd_json_at(j, ""), j);
    assert_string_equal(json_string_value(gd_json_at(j, "data.list.1.id")), "y");
    assert_string_equal(json_string_value(gd_json_at(j, "/data/list/0/id")), "x");
    assert_int_equal(json_integer_value(gd_json_at(j, "/data/a.b")), 1);
    assert_string_equal(json_string_value(gd_json_at(j, "0")), "zero");
    assert_true(json_is_null(gd_json_at(j, "data.n")));
    assert_null(gd_json_at(j, "data.list.2"));
    assert_null(gd_json_at(j, "data.list.-1"));
    assert_null(gd_json_at(j, "data.list.x"));
    assert_null(gd_json_at(j, "data.n.x"));
    assert_null(gd_json_at(j, "nothing.at.all"));
    assert_null(gd_json_at(NULL, "a"));
}

static void members_have_types(void **state)
{
    GD_AUTO_JSON j = parse("{\"s\":\"text\",\"i\":-5,\"t\":true,\"f\":false,\"r\":1.5,\"n\":null}", NULL);

    (void)state;
    assert_string_equal(gd_json_text(j, "s", "d"), "text");
    assert_string_equal(gd_json_text(j, "i", "d"), "d");
    assert_string_equal(gd_json_text(j, "n", "d"), "d");
    assert_null(gd_json_text(j, "none", NULL));
    assert_int_equal(gd_json_i64(j, "i", 9), -5);
    assert_int_equal(gd_json_i64(j, "r", 9), 9);
    assert_int_equal(gd_json_i64(j, "s", 9), 9);
    assert_true(gd_json_bool(j, "t", false));
    assert_false(gd_json_bool(j, "f", true));
    assert_true(gd_json_bool(j, "i", true));
    assert_string_equal(gd_json_text(NULL, "s", "d"), "d");
}

static void dumps_are_canonical(void **state)
{
    GD_AUTO_JSON j = parse("{ \"b\" : [1, 2], \"a\" : \"\\u20ac\\n\" }", NULL);
    GD_AUTO_FREE char *text = gd_json_dump(j);
    GD_AUTO_JSON word = json_string("x");
    GD_AUTO_FREE char *scalar = gd_json_dump(word);

    (void)state;
    assert_string_equal(text, "{\"a\":\"\xe2\x82\xac\\n\",\"b\":[1,2]}");
    assert_string_equal(scalar, "\"x\"");
}

static void noise_is_judged(void **state)
{
    static const char seed[] =
        "{\"access_token\":\"at-1\",\"expires_in\":3600,\"scope\":[\"a\",{\"b\":null}],\"x\":1.5e3}";
    char text[sizeof seed];
    struct gd_rng_seeded r;
    int taken = 0;

    (void)state;
    gd_rng_seed(&r, 11);
    for (int i = 0; i < 20000; i++) {
        json_t *j;

        memcpy(text, seed, sizeof seed);
        for (uint64_t k = gd_rng_below(&r.rng, 3) + 1; k; k--)
            text[gd_rng_below(&r.rng, sizeof seed - 1)] = (char)gd_rng_below(&r.rng, 256);
        j = gd_json_parse(text, sizeof seed - 1, 4096, NULL);
        taken += j != NULL;
        json_decref(j);
    }
    assert_true(taken > 100 && taken < 19000);
}

/* A value of any kind; smaller the deeper. */
static json_t *any(struct gd_rng *r, unsigned depth)
{
    static const char *const texts[] = {
        "", "a", "tok_en-1", "\"\\/\b\f\n\r\t", "\x01\x1f\x7f", "\xc3\xa9 \xf0\x9f\x94\x91"
    };
    uint64_t kind = gd_rng_below(r, depth ? 9 : 7), n = gd_rng_below(r, depth == 3 ? 50 : 5);
    json_t *v = kind == 7 ? json_array() : json_object();
    char key[24];

    switch (kind) {
    case 7:
    case 8:
        for (uint64_t i = 0; i < n; i++) {
            (void)snprintf(key, sizeof key, "%s%d", i % 3 ? "k\"" : "", (int)gd_rng_below(r, 1000));
            if (kind == 7)
                json_array_append_new(v, any(r, depth - 1));
            else
                json_object_set_new(v, key, any(r, depth - 1));
        }
        return v;
    default:
        json_decref(v);
        return kind == 0   ? json_null()
               : kind == 1 ? json_boolean(n % 2)
               : kind == 2 ? json_integer((json_int_t)gd_rng_u64(r))
               : kind == 3 ? json_real((double)gd_rng_below(r, 1000) / 7)
                           : json_string(texts[gd_rng_below(r, sizeof texts / sizeof *texts)]);
    }
}

/* Written as jansson writes it. */
static void dumps_like_jansson(void **state)
{
    struct gd_rng_seeded rng;

    (void)state;
    gd_rng_seed(&rng, 7);
    for (int i = 0; i < 3000; i++) {
        GD_AUTO_JSON v = any(&rng.rng, 3);
        char *ours = gd_json_dump(v),
             *theirs = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

        assert_string_equal(ours, theirs);
        gd_free(ours);
        gd_free(theirs);
    }
    assert_null(gd_json_dump(NULL));
}

static void same_as_jansson(const char *text, size_t n)
{
    json_error_t e;
    GD_AUTO_JSON ours = gd_json_parse(text, n, SIZE_MAX, NULL);
    GD_AUTO_JSON theirs = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);

    if (!ours != !theirs || (ours && !json_equal(ours, theirs)))
        fail_msg("read otherwise than by jansson: %.*s", (int)n, text);
}

/* What is plain is read without jansson; nothing may come of that. One character of a text that is right is
 * replaced, left out or put in, since most of what is wrong is nearly right. */
static void reads_like_jansson(void **state)
{
    static const char signs[] = "{}[]:,\"\\ \n\t0123456789-+.eEtfnula\x01\x7f\x80\xc3\xa9/";
    static const char *const texts[] = { "[-0]",
                                         "[0]",
                                         "[-1]",
                                         "[00]",
                                         "[1 2]",
                                         "[tru]",
                                         "[truex]",
                                         "[nullnull]",
                                         "[true\"x\"]",
                                         "[1\"x\"]",
                                         "{\"a\":1,}",
                                         "[1,]",
                                         "[,1]",
                                         "{,}",
                                         "{\"a\" 1}",
                                         "{\"a\":}",
                                         "{1:2}",
                                         "[\"\\u0041\"]",
                                         "[1]\v",
                                         "[\f1]",
                                         "[999999999999999999]",
                                         "[1000000000000000000]",
                                         "{\"\":{}}",
                                         "{\"a\":[],\"a\":1}",
                                         "[\"x\"\"y\"]",
                                         "[[]",
                                         "[]]" };
    static const char *const plain[] = {
        "{\"access_token\":\"AbC-_.~\",\"expires_in\":3600,\"a\":{\"b\":[true,false,null,-17,0]},\"c\":[]}",
        " {\n  \"data\" : [ { \"id\" : 12 , \"name\" : \"x y\" } , { } ]\t}\r\n",
        "[[1,2],[3,[4,{\"five\":6}]],\"a longer text, so that eight bytes are looked at\"]",
    };
    struct gd_rng_seeded rng;
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        same_as_jansson(texts[i], strlen(texts[i]));
    gd_rng_seed(&rng, 11);
    for (int i = 0; i < 30000; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "%s", plain[i % 3]);

        same_as_jansson(text, n);
        for (uint64_t k = gd_rng_below(&rng.rng, 2) + 1; k; k--) {
            size_t at = gd_rng_below(&rng.rng, n);

            if (i & 1)
                memmove(text + at, text + at + 1, n-- - at - 1);
            else
                text[at] = signs[gd_rng_below(&rng.rng, sizeof signs)];
        }
        same_as_jansson(text, n);
    }
}

static void a_ring_is_not_dumped(void **state)
{
    json_t *a = json_array(), *b = json_array();

    (void)state;
    json_array_append(a, b);
    json_array_append(b, a);
    assert_null(gd_json_dump(a));
    json_array_clear(b);
    json_decref(a);
    json_decref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(sizes_have_a_limit),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(paths),
        cmocka_unit_test(members_have_types),
        cmocka_unit_test(dumps_are_canonical),
        cmocka_unit_test(noise_is_judged),
        cmocka_unit_test(dumps_like_jansson),
        cmocka_unit_test(reads_like_jansson),
        cmocka_unit_test(a_ring_is_not_dumped),
    };

    gd_json_setup();
    return cmocka_run_group_tests_name("base json", tests, NULL, NULL);
}
