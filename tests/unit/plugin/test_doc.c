/* Documents: what a platform reads is exactly what was written, or nothing; URLs: what is no plain https URL
 * is none. */
#include "kit.h"
#include "plugin/doc.h"
#include "plugin/url.h"

static struct grantd_doc *answer(const char *type, const char *body, size_t len)
{
    GD_AUTO_FREE char *copy = gd_new(len + 1);
    struct gd_http_header h[] = { { "content-type", type }, { "x-two", "first" }, { "x-two", "second" } };
    struct gd_http_answer a = { .status = 200, .headers = h, .nheaders = 3, .body = copy, .body_len = len };

    memcpy(copy, body, len);
    return gd_doc_answer(&a);
}

static struct grantd_doc *json(const char *text)
{
    return answer("application/json; charset=utf-8", text, strlen(text));
}

static void values(void **state)
{
    struct grantd_doc *d =
        json("{\"s\":\"text\",\"n\":7,\"neg\":-3,\"big\":9223372036854775807,\"r\":2.5,\"w\":3.0,"
             "\"t\":true,\"f\":false,\"z\":null,\"num\":\"3600\",\"word\":\"soon\",\"l\":[1,[2]],"
             "\"o\":{\"b\":1,\"a\":{\"x.y\":\"dot\",\"p/q~r\":\"pointer\"}},\"huge\":1e300}");

    (void)state;
    assert_string_equal(gd_doc_text(d, "s"), "text");
    assert_null(gd_doc_text(d, "n"));
    assert_null(gd_doc_text(d, "nowhere"));
    assert_null(gd_doc_text(d, NULL));
    assert_int_equal(gd_doc_num(d, "n", -1), 7);
    assert_int_equal(gd_doc_num(d, "neg", -1), -3);
    assert_int_equal(gd_doc_num(d, "big", -1), INT64_MAX);
    assert_int_equal(gd_doc_num(d, "num", -1), 3600);
    assert_int_equal(gd_doc_num(d, "w", -1), 3);
    assert_int_equal(gd_doc_num(d, "r", -1), -1);
    assert_int_equal(gd_doc_num(d, "huge", -1), -1);
    assert_int_equal(gd_doc_num(d, "word", -1), -1);
    assert_int_equal(gd_doc_num(d, "z", -1), -1);
    assert_int_equal(gd_doc_num(d, "t", -1), 1);
    assert_int_equal(gd_doc_num(d, "f", -1), 0);
    assert_int_equal(gd_doc_num(d, "l.1.0", -1), 2);
    assert_int_equal(gd_doc_num(d, "l.2", -1), -1);
    assert_int_equal(gd_doc_num(d, "l.-1", -1), -1);
    assert_int_equal(gd_doc_len(d, "l"), 2);
    assert_int_equal(gd_doc_len(d, "o"), 2);
    assert_int_equal(gd_doc_len(d, "s"), 0);
    assert_string_equal(gd_doc_key(d, "o", 0), "b"); /* in the document's order */
    assert_string_equal(gd_doc_key(d, "o", 1), "a");
    assert_null(gd_doc_key(d, "o", 2));
    assert_null(gd_doc_key(d, "o", -1));
    assert_null(gd_doc_key(d, "l", 0));
    assert_string_equal(gd_doc_text(d, "/o/a/x.y"), "dot");
    assert_string_equal(gd_doc_text(d, "/o/a/p~1q~0r"), "pointer");
    assert_int_equal(gd_doc_type(d, "z"), GRANTD_IS_NULL);
    assert_int_equal(gd_doc_type(d, "t"), GRANTD_IS_BOOL);
    assert_int_equal(gd_doc_type(d, "r"), GRANTD_IS_NUMBER);
    assert_int_equal(gd_doc_type(d, "s"), GRANTD_IS_TEXT);
    assert_int_equal(gd_doc_type(d, "l"), GRANTD_IS_LIST);
    assert_int_equal(gd_doc_type(d, "o"), GRANTD_IS_OBJECT);
    assert_int_equal(gd_doc_type(d, "nowhere"), GRANTD_IS_ABSENT);
    assert_string_equal(gd_doc_header(d, "Content-Type"), "application/json; charset=utf-8");
    assert_string_equal(gd_doc_header(d, "X-TWO"), "first");
    assert_null(gd_doc_header(d, "x-three"));
    gd_doc_free(d);
}

static void not_exactly_json_is_nothing(void **state)
{
    static const char *const texts[] = { "",
                                         "{",
                                         "{\"a\":1,\"a\":2}",
                                         "{\"a\":\"b\\u0000c\"}",
                                         "{\"a\":1} x",
                                         "<html>",
                                         "{\"a\":99999999999999999999}" };
    static const char deep[] = "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]";
    struct grantd_doc *d;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        d = json(texts[i]);
        assert_null(d->json);
        assert_int_equal(gd_doc_type(d, ""), GRANTD_IS_ABSENT);
        assert_null(gd_doc_text(d, "a"));
        assert_string_equal(gd_doc_body(d), texts[i]); /* the platform may still read it by hand */
        gd_doc_free(d);
    }
    d = json(deep);
    assert_null(d->json);
    gd_doc_free(d);
}

static void a_nul_is_never_cut(void **state)
{
    struct grantd_doc *d = answer("text/plain", "token\0evil", 10);

    (void)state;
    assert_null(gd_doc_body(d));
    assert_null(d->json);
    gd_doc_free(d);
    d = answer("application/json", "{\"a\":\"b\0c\"}", 11);
    assert_null(d->json);
    gd_doc_free(d);
}

static void forms(void **state)
{
    static const char *const broken[] = { "a=%zz", "a=%00", "a=1&a=2", "a=%ff" };
    struct grantd_doc *d;

    (void)state;
    d = answer("application/x-www-form-urlencoded", "access_token=a%2Bb+c&expires_in=60&empty=&alone", 47);
    assert_string_equal(gd_doc_text(d, "access_token"), "a+b c");
    assert_int_equal(gd_doc_num(d, "expires_in", 0), 60);
    assert_string_equal(gd_doc_text(d, "empty"), "");
    assert_string_equal(gd_doc_text(d, "alone"), "");
    gd_doc_free(d);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        d = answer("application/x-www-form-urlencoded;charset=utf-8", broken[i], strlen(broken[i]));
        assert_null(gd_doc_text(d, "a"));
        gd_doc_free(d);
    }
    d = answer("text/html", "a=1", 3);
    assert_null(gd_doc_text(d, "a"));
    gd_doc_free(d);
}

static void check_defaults(const struct grantd_field *fields, json_t *j, struct gd_doc_seen *seen)
{
    struct grantd_doc *d = gd_doc_json(json_incref(j), fields);

    d->seen = seen;
    assert_string_equal(gd_doc_text(d, "token.method"), "GET");
    assert_int_equal(gd_doc_num(d, "refresh.margin_s", 1), 300);
    assert_int_equal(gd_doc_num(d, "scope.fixed", 0), 1);
    assert_string_equal(gd_doc_text(d, "errors.0.class"), "protocol");
    assert_string_equal(gd_doc_text(d, "errors.1.class"), "config");
    assert_null(gd_doc_text(d, "errors.0"));
    assert_null(gd_doc_text(d, "errors"));
    assert_null(gd_doc_text(d, "errors.0.class.x"));
    assert_null(gd_doc_text(d, "errors.0.classes"));
    assert_null(gd_doc_text(d, "refresh.margin"));
    assert_null(gd_doc_text(d, "title"));
    assert_null(gd_doc_text(d, "unknown"));
    assert_null(gd_doc_text(d, "\x01"
                               "errors"));
    assert_int_equal(gd_doc_type(d, "refresh.margin_s"), GRANTD_IS_ABSENT);
    assert_int_equal(gd_doc_status(d), 0);
    gd_doc_free(d);
}

static void defaults_of_a_description(void **state)
{
    static const struct grantd_field fields[] = {
        { "token.method", GRANTD_F_TEXT, 0, 0, "POST", "how" },
        { "refresh.margin_s", GRANTD_F_INT, 0, 0, "300", "how early" },
        { "scope.fixed", GRANTD_F_BOOL, 0, 0, "true", "cannot be changed" },
        { "errors.*.class", GRANTD_F_TEXT, 0, 0, "protocol", "who acts" },
        { "title", GRANTD_F_TEXT, 0, 0, 0, "none" },
        { 0 },
    };
    json_t *j = json_pack("{s:{s:s}, s:[{},{s:s}]}", "token", "method", "GET", "errors", "class", "config");
    struct gd_doc_seen *seen = gd_doc_seen_new(j);

    (void)state;
    check_defaults(fields, j, NULL); /* searched, found and remembered, and known: the same */
    check_defaults(fields, j, seen);
    check_defaults(fields, j, seen);
    gd_doc_seen_free(seen);
    json_decref(j);
}

/* A path is anybody's text: only so many are remembered, and the others are found as well. */
static void what_was_found_is_bounded(void **state)
{
    json_t *j = json_pack("{s:s, s:{s:s}}", "a", "first", "b", "c", "second");
    struct gd_doc_seen *seen = gd_doc_seen_new(j);
    struct grantd_doc *d = gd_doc_json(json_incref(j), NULL);
    GD_AUTO_FREE char *far = gd_new(5001);
    size_t most;
    char path[32];

    (void)state;
    d->seen = seen;
    assert_string_equal(gd_doc_text(d, "a"), "first");
    assert_string_equal(gd_doc_text(d, "a"), "first");
    assert_int_equal(seen->found.count, 1);
    memset(far, 'x', 5000);
    assert_null(gd_doc_text(d, far));
    assert_int_equal(seen->found.count, 1);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(path, sizeof path, "no.%d", i);
        assert_null(gd_doc_text(d, path));
    }
    most = seen->found.count;
    assert_true(most < 5000);
    assert_string_equal(gd_doc_text(d, "b.c"), "second");
    assert_string_equal(gd_doc_text(d, "/b/c"), "second");
    assert_int_equal(gd_doc_len(d, "b"), 1);
    assert_string_equal(gd_doc_key(d, "b", 0), "c");
    assert_int_equal(seen->found.count, most);
    gd_doc_free(d);
    gd_doc_seen_free(seen);
    json_decref(j);
}

/* A star in front stands for any name. */
static void star_in_front(void **state)
{
    static const struct grantd_field fields[] = { { "a.b", GRANTD_F_TEXT, 0, 0, "1", "" },
                                                  { "*.c", GRANTD_F_TEXT, 0, 0, "2", "" },
                                                  { 0 } };
    struct grantd_doc *d = gd_doc_json(json_object(), fields);
    struct gd_doc_seen *seen = gd_doc_seen_new(d->json);

    (void)state;
    for (int i = 0; i < 3; i++) {
        d->seen = i ? seen : NULL;
        assert_string_equal(gd_doc_text(d, "a.b"), "1");
        assert_string_equal(gd_doc_text(d, "a.c"), "2");
        assert_string_equal(gd_doc_text(d, "anything.c"), "2");
        assert_null(gd_doc_text(d, "c"));
        assert_null(gd_doc_text(d, "a.b.c"));
    }
    gd_doc_free(d);
    gd_doc_seen_free(seen);
}

static void the_cost_is_never_too_low(void **state)
{
    GD_AUTO_FREE char *body = gd_new(200001);
    struct gd_http_answer a = { .body = body, .body_len = 200000 };

    (void)state;
    for (size_t i = 0; i < 200000; i++)
        body[i] = i == 0 ? '[' : i == 199999 ? ']' : i & 1 ? '0' : ',';
    assert_true(gd_doc_cost(&a) > 100000 * 32);
}

/* ---- URLs
 * -------------------------------------------------------------------------------------------------- */

static void origins(void **state)
{
    struct gd_plugin_url u;

    (void)state;
    assert_true(gd_plugin_url_parse("https://API.Example.com/a?b", &u));
    assert_string_equal(u.host, "api.example.com");
    assert_string_equal(u.origin, "https://api.example.com");
    assert_true(gd_plugin_url_parse("https://a.example:443", &u));
    assert_string_equal(u.origin, "https://a.example");
    assert_true(gd_plugin_url_parse("https://a.example:8443/", &u));
    assert_string_equal(u.origin, "https://a.example:8443");
    assert_true(gd_plugin_url_parse("http://[::1]:80/x", &u));
    assert_string_equal(u.origin, "http://[::1]:80");
    assert_true(u.loopback);
    assert_false(gd_plugin_url_parse("http://a.example/", &u));
    assert_false(gd_plugin_url_parse("https://a.example\\@b.example/", &u));
    assert_false(gd_plugin_url_parse("https://a.example@b.example/", &u));
    assert_false(gd_plugin_url_parse("https://a.example:44x/", &u));
    assert_false(gd_plugin_url_parse("https://[::1/", &u));
    assert_false(gd_plugin_url_parse("https://a.example/\n", &u));
    assert_false(gd_plugin_url_parse("https://a.example./", &u));
    assert_false(gd_plugin_url_parse("", &u));
}

static void host_patterns(void **state)
{
    (void)state;
    assert_true(gd_plugin_host_matches("a.example.com", "a.example.com"));
    assert_false(gd_plugin_host_matches("a.example.com", "b.a.example.com"));
    assert_true(gd_plugin_host_matches("*.example.com", "a.example.com"));
    assert_false(gd_plugin_host_matches("*.example.com", "b.a.example.com"));
    assert_false(gd_plugin_host_matches("*.example.com", "example.com"));
    assert_false(gd_plugin_host_matches("*.example.com", "evilexample.com"));
}

static void templates(void **state)
{
    GD_AUTO_JSON j =
        json_pack("{s:[s,{s:s}]}", "a", "https://x.example/p", "b", "https://${in.dc}.y.example:8443/${q}");

    (void)state;
    assert_true(gd_plugin_json_names_origin(j, "https://x.example"));
    assert_true(gd_plugin_json_names_origin(j, "https://eu.y.example:8443"));
    assert_true(gd_plugin_json_names_origin(j, "https://com.au.y.example:8443"));
    assert_false(gd_plugin_json_names_origin(j, "https://y.example:8443"));
    assert_false(gd_plugin_json_names_origin(j, "https://eu.y.example"));
    assert_false(gd_plugin_json_names_origin(j, "https://evil.example"));
    assert_false(gd_plugin_json_names_origin(j, "http://x.example"));
    assert_false(gd_plugin_template_matches("https://a.${", "https://a.b"));
    assert_true(gd_plugin_template_matches("https://${a}.x.${b}.y.example/", "https://p.x.x.q.y.example"));
    assert_true(gd_plugin_template_matches("https://${a}.${b}:80", "https://a.b.c:80"));
    assert_false(gd_plugin_template_matches("https://${a}:80", "https://a.b.c:8080"));
    assert_false(gd_plugin_template_matches("https://${a}${b}${c}", "https://ab"));
    assert_true(gd_plugin_template_matches("https://${a}${b}", "https://ab"));
    assert_false(gd_plugin_template_matches("https://${a}b", "https://abc"));
}

/* What a platform answers is looked through for hosts, too: it must not be able to hold the loop up. */
static void a_template_of_many_names(void **state)
{
    char text[8 + 64 * 4 + 2] = "https://", origin[8 + 200 + 1] = "https://";

    (void)state;
    for (int i = 0; i < 64; i++)
        memcpy(text + 8 + 4 * i, "${a}", 5);
    memset(origin + 8, 'a', 200);
    assert_true(gd_plugin_template_matches(text, origin));
    text[8 + 64 * 4] = '!';
    alarm(10);
    assert_false(gd_plugin_template_matches(text, origin));
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(not_exactly_json_is_nothing),
        cmocka_unit_test(a_nul_is_never_cut),
        cmocka_unit_test(forms),
        cmocka_unit_test(defaults_of_a_description),
        cmocka_unit_test(what_was_found_is_bounded),
        cmocka_unit_test(star_in_front),
        cmocka_unit_test(the_cost_is_never_too_low),
        cmocka_unit_test(origins),
        cmocka_unit_test(host_patterns),
        cmocka_unit_test(templates),
        cmocka_unit_test(a_template_of_many_names),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
