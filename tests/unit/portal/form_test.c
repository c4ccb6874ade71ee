/* Forms, cookies, origins, addresses and buckets: the pure parts. */
#include "base/mem.h"
#include "portal/address.h"
#include "portal/bucket.h"
#include "portal/form.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SESSION "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void test_form(void **state)
{
    char *dup = NULL;
    struct gd_err err = { 0 };
    json_t *f = gd_portal_form_parse("a=b+c&d=%C3%A9&&e&f=", 20, &dup, &err);
    (void)state;

    assert_non_null(f);
    assert_null(dup);
    assert_int_equal(json_object_size(f), 4);
    assert_string_equal(gd_json_text(f, "a", ""), "b c");
    assert_string_equal(gd_json_text(f, "d", ""), "\xc3\xa9");
    assert_string_equal(gd_json_text(f, "e", "x"), "");
    json_decref(f);
    f = gd_portal_form_parse("state=1&x=2&st%61te=3", 21, &dup, &err);
    assert_string_equal(dup, "state");
    assert_string_equal(gd_json_text(f, "state", ""), "1");
    json_decref(f);
    gd_free(dup);
}

static void test_form_refused(void **state)
{
    static const char *const bad[] = { "a=%", "a=%4", "a=%zz", "a=%00", "a=%ff", "%C3=1", "a=\xff" };
    struct gd_buf many;
    char *dup = NULL;
    struct gd_err err = { 0 };
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(gd_portal_form_parse(bad[i], strlen(bad[i]), &dup, &err));
        assert_int_equal(err.reason, GD_R_TEXT_INVALID);
    }
    assert_null(gd_portal_form_parse("a\0b", 3, &dup, &err));
    gd_buf_init(&many, 65536);
    for (int i = 0; i <= GD_FORM_PARAMS_MAX; i++)
        gd_buf_addf(&many, "p%d=1&", i);
    assert_null(gd_portal_form_parse(many.ptr, many.len, &dup, &err));
    gd_buf_done(&many);
}

static struct gd_portal_request *request(const char *fields)
{
    GD_AUTO_FREE char *text = gd_strf("POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    struct gd_portal_reader r;
    struct gd_portal_request *q;
    size_t used;

    gd_portal_reader_init(&r);
    assert_int_equal(gd_portal_reader_feed(&r, text, strlen(text), &used), GD_READ_DONE);
    q = gd_portal_reader_take(&r);
    gd_portal_reader_done(&r);
    return q;
}

static bool cookie(const char *fields, const char *name)
{
    struct gd_portal_request *q = request(fields);
    char session[GD_SESSION_LEN + 1];
    bool ok = gd_portal_cookie_session(q, name, session);

    if (ok)
        assert_string_equal(session, SESSION);
    gd_portal_request_free(q);
    return ok;
}

static void test_cookies(void **state)
{
    (void)state;
    assert_true(cookie("Cookie: __Host-grantd=" SESSION "\r\n", "__Host-grantd"));
    assert_true(cookie("Cookie: a=b; __Host-grantd=" SESSION " ; c=d\r\n", "__Host-grantd"));
    assert_true(cookie("Cookie: a=b\r\nCookie: grantd=" SESSION "\r\n", "grantd"));
    assert_false(cookie("Cookie: grantd=" SESSION "\r\n", "__Host-grantd"));
    assert_false(cookie("Cookie: xgrantd=" SESSION "\r\n", "grantd"));
    assert_false(cookie("Cookie: GRANTD=" SESSION "\r\n", "grantd"));
    assert_false(cookie("Cookie: grantd=" SESSION "; grantd=" SESSION "\r\n", "grantd"));
    assert_false(cookie("Cookie: grantd=" SESSION "\r\nCookie: grantd=\r\n", "grantd"));
    assert_false(cookie("Cookie: grantd=" SESSION "A\r\n", "grantd"));
    assert_false(cookie("Cookie: grantd=\r\n", "grantd"));
    assert_false(cookie("Cookie: grantd=\"" SESSION "\"\r\n", "grantd"));
    assert_false(cookie("Cookie: grantd=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\r\n",
                        "grantd")); /* bits left over */
    assert_false(cookie("Cookie: grantd=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+\r\n", "grantd"));
    assert_false(cookie("", "grantd"));
}

static bool ours(const char *fields)
{
    struct gd_portal_request *q = request(fields);
    bool ok = gd_portal_origin_ours(q, "https://a.example");

    gd_portal_request_free(q);
    return ok;
}

static void test_origin(void **state)
{
    (void)state;
    assert_true(ours(""));
    assert_true(ours("Origin: https://a.example\r\n"));
    assert_true(ours("Origin: null\r\nSec-Fetch-Site: same-origin\r\n"));
    assert_true(ours("Origin: null\r\n"));
    assert_false(ours("Origin: null\r\nSec-Fetch-Site: cross-site\r\n"));
    assert_false(ours("Origin: https://a.example\r\nSec-Fetch-Site: same-site\r\n"));
    assert_false(ours("Sec-Fetch-Site: none\r\n"));
    assert_false(ours("Origin: http://a.example\r\n"));
    assert_false(ours("Origin: https://a.example:444\r\n"));
    assert_false(ours("Origin: https://a.example.evil.example\r\n"));
    assert_false(ours("Origin: https://evil.example\r\n"));
    assert_false(ours("Origin: https://a.example\r\nOrigin: https://evil.example\r\n"));
    assert_false(ours("Origin:\r\n"));
}

static void test_content_type(void **state)
{
    static const struct {
        const char *field;
        bool form;
    } all[] = {
        { "Content-Type: application/x-www-form-urlencoded\r\n", true },
        { "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n", true },
        { "Content-Type: application/x-www-form-urlencodedx\r\n", false },
        { "Content-Type: text/plain\r\n", false },
        { "Content-Type: multipart/form-data; boundary=x\r\n", false },
        { "", false },
    };
    (void)state;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct gd_portal_request *q = request(all[i].field);

        assert_int_equal(gd_portal_content_is_form(q), all[i].form);
        gd_portal_request_free(q);
    }
}

/* ---- addresses ---- */

static struct gd_portal_address at(const char *text)
{
    struct gd_portal_address a;

    assert_true(gd_portal_address_parse(&a, text, strlen(text)));
    return a;
}

static bool same(struct gd_portal_address a, const char *b)
{
    struct gd_portal_address x = at(b);

    return memcmp(&a, &x, sizeof x) == 0;
}

static void test_addresses(void **state)
{
    static const char *const bad[] = { "",          "1.2.3",     "1.2.3.4.5", "1.2.3.4:", "1.2.3.4:99999",
                                       "1.2.3.4:x", "[::1",      "[::1]x",    "unknown",  "_hidden",
                                       "01.2.3.4",  "localhost", " 1.2.3.4",  "[1.2.3.4" };
    struct gd_portal_address a;
    char text[GD_ADDRESS_TEXT];
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(gd_portal_address_parse(&a, bad[i], strlen(bad[i])));
    assert_true(same(at("1.2.3.4:80"), "1.2.3.4"));
    assert_true(same(at("[::ffff:1.2.3.4]:80"), "1.2.3.4"));
    assert_true(same(at("[2001:db8::1]"), "2001:db8:0::1"));
    a = at("1.2.3.4");
    a = gd_portal_address_net(&a);
    assert_true(same(a, "1.2.3.0"));
    a = at("2001:db8:1:2:3:4:5:6");
    a = gd_portal_address_net(&a);
    assert_true(same(a, "2001:db8:1:2::"));
    gd_portal_address_text(text, &a);
    assert_string_equal(text, "2001:db8:1:2::");
    a = at("127.9.9.9");
    assert_true(gd_portal_address_loopback(&a));
    a = at("::1");
    assert_true(gd_portal_address_loopback(&a));
    a = at("128.0.0.1");
    assert_false(gd_portal_address_loopback(&a));
}

static bool holds(const char *prefix, const char *address)
{
    struct gd_portal_prefix p;
    struct gd_portal_address a = at(address);

    assert_true(gd_portal_prefix_parse(&p, prefix));
    return gd_portal_prefix_holds(&p, &a);
}

static void test_prefixes(void **state)
{
    static const char *const bad[] = { "",           "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/",
                                       "10.0.0.0/x", "::/129",      "host/8",      "10/8" };
    struct gd_portal_prefix p;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(gd_portal_prefix_parse(&p, bad[i]));
    assert_true(holds("10.0.0.0/8", "10.255.0.1"));
    assert_false(holds("10.0.0.0/8", "11.0.0.1"));
    assert_true(holds("10.0.0.0/9", "10.127.0.1"));
    assert_false(holds("10.0.0.0/9", "10.128.0.1"));
    assert_true(holds("10.0.0.7", "10.0.0.7"));
    assert_false(holds("10.0.0.7", "10.0.0.8"));
    assert_true(holds("fd00::/8", "fdff::1"));
    assert_false(holds("fd00::/8", "10.0.0.1"));
    assert_true(holds("0.0.0.0/0", "203.0.113.9"));
    assert_false(holds("0.0.0.0/0", "2001:db8::1"));
}

static bool visitor(const char *peer, const char *chain, const char *want)
{
    struct gd_portal_prefix trusted[2];
    struct gd_portal_address p = at(peer);

    assert_true(gd_portal_prefix_parse(&trusted[0], "10.0.0.0/8"));
    assert_true(gd_portal_prefix_parse(&trusted[1], "::1"));
    return same(gd_portal_address_visitor(&p, chain, trusted, 2), want);
}

static void test_visitor(void **state)
{
    (void)state;
    assert_true(visitor("203.0.113.9", "1.2.3.4", "203.0.113.9")); /* nobody believes a stranger */
    assert_true(visitor("10.0.0.1", "1.2.3.4", "1.2.3.4"));
    assert_true(visitor("10.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4")); /* what the visitor wrote itself */
    assert_true(visitor("10.0.0.1", "6.6.6.6, 1.2.3.4 , 10.9.9.9", "1.2.3.4"));
    assert_true(visitor("::1", "1.2.3.4:5678", "1.2.3.4"));
    assert_true(visitor("10.0.0.1", "[2001:db8::5]:1", "2001:db8::5"));
    assert_true(visitor("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"));
    assert_true(visitor("10.0.0.1", "1.2.3.4,", "10.0.0.1"));
    assert_true(visitor("10.0.0.1", NULL, "10.0.0.1"));
    assert_true(visitor("10.0.0.1", "10.0.0.2", "10.0.0.2"));
}

static void test_listen(void **state)
{
    static const char *const bad[] = {
        "", "8443", "localhost:80", "127.0.0.1", "[::1]", "127.0.0.1:70000", "127.0.0.1:-1"
    };
    struct sockaddr_storage ss;
    struct gd_err err = { 0 };
    (void)state;

    assert_int_equal(gd_portal_address_listen(&ss, "127.0.0.1:8443", &err), 0);
    assert_int_equal(ss.ss_family, AF_INET);
    assert_int_equal(gd_portal_address_listen(&ss, "[::1]:0", &err), 0);
    assert_int_equal(ss.ss_family, AF_INET6);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(gd_portal_address_listen(&ss, bad[i], &err), -1);
        assert_int_equal(err.reason, GD_R_PORTAL_LISTEN_INVALID);
    }
    assert_int_equal(gd_portal_address_listen(&ss, NULL, &err), -1);
}

/* ---- buckets ---- */

static void test_buckets(void **state)
{
    struct gd_rng_seeded rng;
    struct gd_portal_buckets *b;
    (void)state;

    gd_rng_seed(&rng, 1);
    b = gd_portal_buckets_new(3, 1000, &rng.rng);
    for (int i = 0; i < 3; i++)
        assert_int_equal(gd_portal_bucket_take(b, "k", 1, 5000), 0);
    assert_int_equal(gd_portal_bucket_take(b, "k", 1, 5000), 1000);
    assert_int_equal(gd_portal_bucket_look(b, "k", 1, 5400), 600);
    assert_int_equal(gd_portal_bucket_take(b, "other", 5, 5000), 0);
    assert_int_equal(gd_portal_bucket_take(b, "k", 1, 6000), 0);
    assert_int_equal(gd_portal_bucket_take(b, "k", 1, 6000), 1000);
    assert_int_equal(gd_portal_bucket_look(b, "k", 1, 60000), 0);
    for (int i = 0; i < 100; i++)
        (void)gd_portal_bucket_force(b, "d", 1, 5000);
    assert_int_equal(gd_portal_bucket_look(b, "d", 1, 5000), 4000); /* the debt has an end */
    assert_int_equal(gd_portal_bucket_look(b, "d", 1, 9000), 0);
    gd_portal_buckets_free(b);
}

/* A flood of other keys cannot free the one that is in debt for less than the flood's own. */
static void test_bucket_flood(void **state)
{
    struct gd_rng_seeded rng;
    struct gd_portal_buckets *b;
    (void)state;

    gd_rng_seed(&rng, 2);
    b = gd_portal_buckets_new(10, 1000, &rng.rng);
    for (int i = 0; i < 30; i++)
        (void)gd_portal_bucket_force(b, "guesser", 7, 1000);
    for (int i = 0; i < 100000; i++)
        (void)gd_portal_bucket_take(b, &i, sizeof i, 1000);
    assert_true(gd_portal_bucket_look(b, "guesser", 7, 1000) > 0);
    gd_portal_buckets_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),         cmocka_unit_test(test_form_refused),
        cmocka_unit_test(test_cookies),      cmocka_unit_test(test_origin),
        cmocka_unit_test(test_content_type), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_prefixes),     cmocka_unit_test(test_visitor),
        cmocka_unit_test(test_listen),       cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_bucket_flood),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
