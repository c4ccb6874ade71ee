/* The reader of the hot path: what it takes, jansson takes with the same meaning; what is unusual it leaves
 * alone. */
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "rpc/fast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define GR    "gr01jdk3m8q4h5v6w7x8y9z0a1b2"
#define PLAIN "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}"

static bool reads(const char *text, struct gd_fast *f)
{
    return gd_fast_read(text, strlen(text), f);
}

static void usual_shapes(void **state)
{
    struct gd_fast f;

    (void)state;
    assert_true(reads(PLAIN, &f));
    assert_string_equal(f.grant_text, GR);
    assert_memory_equal(f.id, "1", f.id_len);
    assert_string_equal(f.workspace, "");
    assert_true(reads("{\"params\":{\"workspace\":\"other-1\",\"grant\":\"" GR
                      "\"},\"method\":\"grant.token\","
                      "\"id\":\"a b\",\"jsonrpc\":\"2.0\"}\r",
                      &f));
    assert_string_equal(f.workspace, "other-1");
    assert_int_equal(f.id_len, 5);
    assert_memory_equal(f.id, "\"a b\"", 5);
    assert_true(reads(" { \"jsonrpc\" : \"2.0\" , \"id\" : 0 , \"method\" : \"grant.token\" , \"params\" : "
                      "{ \"grant\" : \"" GR "\" } } ",
                      &f));
}

static void unusual_shapes(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[" PLAIN "]",
        PLAIN " x",
        PLAIN "}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\"}",
        "{\"jsonrpc\":\"2.0\",\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":-1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1.0,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1e3,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":9999999999999999999,\"method\":\"grant.token\",\"params\":{\"grant\":"
        "\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"\\u0041\",\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\xa4\",\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":\"0123456789012345678901234567890123456789x\",\"method\":\"grant."
        "token\","
        "\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\",\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\",\"min_ttl\":1}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"gr" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"GR01\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\",\"workspace\":\"Main\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\",\"workspace\":\"\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR
        "\",\"workspace\":\"a234567890123456789012345678901234567890\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.tokens\",\"params\":{\"grant\":\"" GR "\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":[\"" GR "\"]}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"},}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"grant.token\",\"params\":{\"grant\":\"" GR "\"},\"x\":1}",
    };
    struct gd_fast f;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (reads(texts[i], &f))
            fail_msg("taken: %s", texts[i]);
}

/* Every prefix and 200,000 seeded mutations of good requests: whatever is taken means the same to jansson. */
static void agrees_with_jansson(const char *text, size_t n, unsigned *taken)
{
    struct gd_fast f;
    struct gd_err err;
    char *id;
    json_t *doc;

    if (!gd_fast_read(text, n, &f))
        return;
    (*taken)++;
    doc = gd_json_parse(text, n, 65536, &err);
    if (!doc)
        fail_msg("jansson refuses what was taken: %.*s", (int)n, text);
    assert_string_equal(gd_json_text(doc, "jsonrpc", ""), "2.0");
    assert_string_equal(gd_json_text(doc, "method", ""), "grant.token");
    assert_string_equal(gd_json_text(json_object_get(doc, "params"), "grant", ""), f.grant_text);
    assert_string_equal(gd_json_text(json_object_get(doc, "params"), "workspace", ""), f.workspace);
    assert_int_equal(json_object_size(doc), 4);
    id = gd_json_dump(json_object_get(doc, "id"));
    assert_int_equal(strlen(id), f.id_len);
    assert_memory_equal(id, f.id, f.id_len);
    gd_free(id);
    json_decref(doc);
}

static void mutations(void **state)
{
    static const char good[] =
        "{\"jsonrpc\":\"2.0\",\"id\":\"7x\",\"method\":\"grant.token\",\"params\":{\"workspace\":"
        "\"main\",\"grant\":\"" GR "\"}}";
    static const char bytes[] = "{}[]\",:\\ \t0123456789aeglrtuz-_.u\x7f\x01\xc3";
    struct gd_rng_seeded rng;
    unsigned taken = 0;
    char text[sizeof good];

    (void)state;
    gd_rng_seed(&rng, 42);
    for (size_t n = 0; n < sizeof good; n++)
        agrees_with_jansson(good, n, &taken);
    assert_int_equal(taken, 1);
    for (unsigned i = 0; i < 200000; i++) {
        memcpy(text, good, sizeof good);
        for (uint64_t k = gd_rng_below(&rng.rng, 3) + 1; k; k--)
            text[gd_rng_below(&rng.rng, sizeof good - 1)] = bytes[gd_rng_below(&rng.rng, sizeof bytes - 1)];
        agrees_with_jansson(text, sizeof good - 1, &taken);
    }
    assert_true(taken > 1000);
}

static void answers_are_what_jansson_writes(void **state)
{
    static const int64_t times[] = { 1,
                                     999,
                                     1000,
                                     951782400000, /* 2000-02-29 */
                                     951868799999,
                                     1709164800123, /* 2024-02-29 */
                                     4107542400000, /* 2100-02-28 */
                                     4107628800000, /* 2100-03-01 */
                                     1795000000000,
                                     253402300799999 };
    struct gd_fast f;
    struct gd_rng_seeded rng;
    char out[2048], when[32], want[2048];
    size_t n;

    (void)state;
    gd_rng_seed(&rng, 7);
    assert_true(reads(PLAIN, &f));
    for (unsigned i = 0; i < 20000; i++) {
        int64_t t = i < 10 ? times[i] : (int64_t)gd_rng_below(&rng.rng, 253402300800000u) + (i % 2);

        n = gd_fast_render(out, sizeof out, &f, "ya29.tok/en+=", 13, t > 253402300799999 ? 1 : t, i);
        out[n] = '\0';
        gd_time_text(when, t > 253402300799999 ? 1 : t);
        (void)snprintf(want, sizeof want,
                       "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"access_token\":\"ya29.tok/"
                       "en+=\",\"expires_at\":\"%s\","
                       "\"gen\":%u,\"grant\":\"" GR "\",\"token_type\":\"Bearer\"}}\n",
                       when, i);
        assert_string_equal(out, want);
    }
    n = gd_fast_render(out, sizeof out, &f, "t", 1, 0, 3);
    assert_true(n > 0 && memmem(out, n, "\"expires_at\":null", 17));
}

static void odd_tokens_go_the_general_way(void **state)
{
    char out[512], token[64];
    struct gd_fast f;

    (void)state;
    assert_true(reads(PLAIN, &f));
    for (int c = 0; c < 256; c++)
        for (size_t at = 0; at < 20; at += 3) {
            bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

            memset(token, 'a', sizeof token);
            token[at] = (char)c;
            assert_int_equal(gd_fast_render(out, sizeof out, &f, token, 20, 0, 1) > 0, plain);
        }
    assert_int_equal(gd_fast_render(out, 100, &f, token, 20, 0, 1), 0);
    assert_int_equal(gd_fast_render(out, sizeof out, &f, out, 400, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_shapes),
        cmocka_unit_test(unusual_shapes),
        cmocka_unit_test(mutations),
        cmocka_unit_test(answers_are_what_jansson_writes),
        cmocka_unit_test(odd_tokens_go_the_general_way),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
