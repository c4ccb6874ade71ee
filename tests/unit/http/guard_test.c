/* URLs, origins, addresses, requests: what may leave at all. The second half dials: names that lead inside
 * must never reach a listener. */
#include "fixture.h"
#include "http/http_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- addresses
 * ---------------------------------------------------------------------------------------------------- */
static bool is_public(const char *text)
{
    struct sockaddr_storage sa;

    if (!gd_http_address_parse(&sa, text))
        fail_msg("%s is no address", text);
    return gd_http_address_public((struct sockaddr *)&sa);
}

static void test_addresses(void **state)
{
    static const char *const inside[] = {
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "64:ff9b:0:0:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:10::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3ffe::1",
        "3fff::1",
        "3fff:fff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
        "5f00::1",
    };
    static const char *const outside[] = {
        "1.1.1.1",         "8.8.8.8",         "9.255.255.255",   "11.0.0.0",        "100.63.255.255",
        "100.128.0.0",     "126.255.255.255", "128.0.0.0",       "169.253.255.255", "172.15.255.255",
        "172.32.0.0",      "192.0.1.1",       "192.167.255.255", "198.17.255.255",  "198.20.0.0",
        "223.255.255.255", "2001:200::1",     "2001:db7::1",     "2001:db9::1",     "2003::1",
        "2606:4700::1111", "2a00:1450::1",    "3fff:1000::1",    "64:ff9b::8.8.8.8"
    };
    struct sockaddr un = { .sa_family = AF_UNIX };

    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (is_public(inside[i]))
            fail_msg("%s is taken for public", inside[i]);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (!is_public(outside[i]))
            fail_msg("%s is not taken for public", outside[i]);
    assert_false(gd_http_address_public(&un));
    assert_false(gd_http_address_allowed(GD_HTTP_REACH_ANY, &un));
}

/* ---- URLs
 * -----------------------------------------------------------------------------------------------------------
 */
struct url_row {
    const char *url;
    enum gd_reason reason;
};

/* What the guard says before anything is looked up. */
static const struct url_row url_rows[] = {
    { "https://example.com", GD_R_OK },
    { "https://example.com/a?b=c#d", GD_R_OK },
    { "https://example.com:443/", GD_R_OK },
    { "https://EXAMPLE.com./x", GD_R_OK },
    { "https://a_b.example.com/", GD_R_OK },
    { "https://8.8.8.8/", GD_R_OK },
    { "https://[2606:4700::1111]/", GD_R_OK },
    { "https://xn--bcher-kva.example/", GD_R_OK },
    { "https://localhost/", GD_R_OK }, /* a name: judged when dialled */
    { "http://example.com/", GD_R_URL_INVALID },
    { "ftp://example.com/", GD_R_URL_INVALID },
    { "file:///etc/passwd", GD_R_URL_INVALID },
    { "HTTPS://example.com/", GD_R_URL_INVALID },
    { "//example.com/", GD_R_URL_INVALID },
    { "", GD_R_URL_INVALID },
    { "https:/example.com", GD_R_URL_INVALID },
    { "https://user@example.com/", GD_R_URL_INVALID },
    { "https://user:pw@example.com/", GD_R_URL_INVALID },
    { "https://example.com@127.0.0.1/", GD_R_URL_INVALID },
    { "https://example.com:443@127.0.0.1/", GD_R_URL_INVALID },
    { "https://127.0.0.1#@example.com/", GD_R_EGRESS_DENIED },
    { "https://127.0.0.1?@example.com/", GD_R_EGRESS_DENIED },
    { "https://example.com\\@127.0.0.1/", GD_R_URL_INVALID },
    { "https://example.com\\.evil.com/", GD_R_HOST_INVALID },
    { "https://example.com /", GD_R_HOST_INVALID },
    { "https://exa%6dple.com/", GD_R_HOST_INVALID },
    { "https://127.0.0.1%00.example.com/", GD_R_HOST_INVALID },
    { "https://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", GD_R_HOST_INVALID }, /* full-width digits */
    { "https://\xe2\x91\xa0.example.com/", GD_R_HOST_INVALID },
    { "https://b\xc3\xbc"
      "cher.example/",
      GD_R_HOST_INVALID },
    { "https:///path", GD_R_HOST_INVALID },
    { "https://./", GD_R_HOST_INVALID },
    { "https://a..b/", GD_R_HOST_INVALID },
    { "https://.a/", GD_R_HOST_INVALID },
    { "https://a../", GD_R_HOST_INVALID },
    { "https://*.example.com/", GD_R_HOST_INVALID },
    { "https://example.com/a b", GD_R_URL_INVALID },
    { "https://example.com/a\r\nX: y", GD_R_URL_INVALID },
    { "https://example.com/\x7f", GD_R_URL_INVALID },
    { "https://example.com/\xc3\xbc", GD_R_URL_INVALID },
    { "https://example.com:/", GD_R_URL_INVALID },
    { "https://example.com:0/", GD_R_URL_INVALID },
    { "https://example.com:65536/", GD_R_URL_INVALID },
    { "https://example.com:99999999999999999999/", GD_R_URL_INVALID },
    { "https://example.com:+443/", GD_R_URL_INVALID },
    { "https://example.com:8443/", GD_R_EGRESS_DENIED },
    { "https://example.com:22/", GD_R_EGRESS_DENIED },
    /* every spelling of an address inside */
    { "https://127.0.0.1/", GD_R_EGRESS_DENIED },
    { "https://127.0.0.1./", GD_R_EGRESS_DENIED },
    { "https://127.1/", GD_R_EGRESS_DENIED },
    { "https://127.0.1/", GD_R_EGRESS_DENIED },
    { "https://0/", GD_R_EGRESS_DENIED },
    { "https://0.0.0.0/", GD_R_EGRESS_DENIED },
    { "https://0x0/", GD_R_EGRESS_DENIED },
    { "https://0x7f000001/", GD_R_EGRESS_DENIED },
    { "https://0X7F000001/", GD_R_EGRESS_DENIED },
    { "https://0x7f.1/", GD_R_EGRESS_DENIED },
    { "https://0x7f.0x0.0x0.0x1/", GD_R_EGRESS_DENIED },
    { "https://0177.0.0.1/", GD_R_EGRESS_DENIED },
    { "https://0177.1/", GD_R_EGRESS_DENIED },
    { "https://00000177.0.0.01/", GD_R_EGRESS_DENIED },
    { "https://017700000001/", GD_R_EGRESS_DENIED },
    { "https://2130706433/", GD_R_EGRESS_DENIED },
    { "https://127.0.0.1:443/", GD_R_EGRESS_DENIED },
    { "https://127.255.255.255/", GD_R_EGRESS_DENIED },
    { "https://169.254.169.254/latest/meta-data", GD_R_EGRESS_DENIED },
    { "https://0xa9fea9fe/", GD_R_EGRESS_DENIED },
    { "https://2852039166/", GD_R_EGRESS_DENIED },
    { "https://10.0.0.1/", GD_R_EGRESS_DENIED },
    { "https://012.0.0.1/", GD_R_EGRESS_DENIED },
    { "https://192.168.0.1/", GD_R_EGRESS_DENIED },
    { "https://3232235521/", GD_R_EGRESS_DENIED },
    { "https://172.16.1/", GD_R_EGRESS_DENIED },
    { "https://[::1]/", GD_R_EGRESS_DENIED },
    { "https://[::1]:443/", GD_R_EGRESS_DENIED },
    { "https://[0:0:0:0:0:0:0:1]/", GD_R_EGRESS_DENIED },
    { "https://[::]/", GD_R_EGRESS_DENIED },
    { "https://[::ffff:127.0.0.1]/", GD_R_EGRESS_DENIED },
    { "https://[::ffff:7f00:1]/", GD_R_EGRESS_DENIED },
    { "https://[::FFFF:7F00:1]/", GD_R_EGRESS_DENIED },
    { "https://[::127.0.0.1]/", GD_R_EGRESS_DENIED },
    { "https://[64:ff9b::127.0.0.1]/", GD_R_EGRESS_DENIED },
    { "https://[64:ff9b::7f00:1]/", GD_R_EGRESS_DENIED },
    { "https://[64:ff9b:1::a00:1]/", GD_R_EGRESS_DENIED },
    { "https://[2002:7f00:1::]/", GD_R_EGRESS_DENIED },
    { "https://[2001:0:0:0:0:0:80ff:fffe]/", GD_R_EGRESS_DENIED },
    { "https://[fe80::1]/", GD_R_EGRESS_DENIED },
    { "https://[fd00::1]/", GD_R_EGRESS_DENIED },
    { "https://[ff02::1]/", GD_R_EGRESS_DENIED },
    /* odd spellings of what is not inside, and what is no address */
    { "https://8.8.2056/", GD_R_HOST_INVALID },
    { "https://134744072/", GD_R_HOST_INVALID },
    { "https://256.1.1.1/", GD_R_HOST_INVALID },
    { "https://1.2.3.4.5/", GD_R_HOST_INVALID },
    { "https://0x7f.0x7g/", GD_R_OK }, /* a name, after all */
    { "https://example.0x7f/", GD_R_HOST_INVALID },
    { "https://example.123/", GD_R_HOST_INVALID },
    { "https://99999999999/", GD_R_HOST_INVALID },
    { "https://[::1/", GD_R_HOST_INVALID },
    { "https://[fe80::1%25eth0]/", GD_R_HOST_INVALID },
    { "https://[127.0.0.1]/", GD_R_HOST_INVALID },
    { "https://[]/", GD_R_HOST_INVALID },
    { "https://[::1]x/", GD_R_HOST_INVALID },
    { "https://::1/", GD_R_HOST_INVALID },
};

static void check_url(const struct gd_http_guard *g, const char *url, enum gd_reason reason)
{
    struct gd_http_request r = fixture_request(url);
    struct gd_http_target t = { 0 };
    struct gd_err err = { 0 };
    int ret = gd_http_guard_check(g, &r, &t, &err);

    if ((ret == 0) != (reason == GD_R_OK) || err.reason != reason)
        fail_msg("%s: %s (%s)", url, gd_reason_word(err.reason), err.text);
    gd_free(t.mapped);
}

static void test_urls(void **state)
{
    struct gd_http_guard guard = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof url_rows / sizeof *url_rows; i++)
        check_url(&guard, url_rows[i].url, url_rows[i].reason);
}

static void same_address(char *theirs, const char *ours)
{
    struct sockaddr_storage a, b;

    theirs[strcspn(theirs, "]")] = '\0';
    assert_true(gd_http_address_parse(&a, theirs) && gd_http_address_parse(&b, ours));
    assert_memory_equal(&a, &b, sizeof a);
}

/* libcurl must see the same scheme, host and port as we do: what it dials is what was judged. */
static void same_as_curl(const char *url)
{
    struct gd_http_url u;
    CURLU *h = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, ours[8];
    size_t n;

    assert_int_equal(gd_http_url_parse(&u, url, NULL), 0);
    assert_int_equal(curl_url_set(h, CURLUPART_URL, url, CURLU_DISALLOW_USER | CURLU_PATH_AS_IS), CURLUE_OK);
    assert_int_equal(curl_url_get(h, CURLUPART_SCHEME, &scheme, 0), CURLUE_OK);
    assert_int_equal(curl_url_get(h, CURLUPART_HOST, &host, 0), CURLUE_OK);
    assert_int_equal(curl_url_get(h, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT), CURLUE_OK);
    assert_string_equal(scheme, u.https ? "https" : "http");
    (void)snprintf(ours, sizeof ours, "%u", u.port);
    assert_string_equal(port, ours);
    n = strlen(host);
    if (n && host[n - 1] == '.')
        host[n - 1] = '\0';
    if (u.ip6 || u.ip4)
        same_address(u.ip6 ? host + 1 : host, u.host);
    else if (strcasecmp(host, u.host) != 0)
        fail_msg("%s: libcurl's host is %s, ours %s", url, host, u.host);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(h);
}

static void test_urls_as_curl_sees_them(void **state)
{
    struct gd_http_url u;
    unsigned taken = 0;

    (void)state;
    for (size_t i = 0; i < sizeof url_rows / sizeof *url_rows; i++)
        if (gd_http_url_parse(&u, url_rows[i].url, NULL) == 0) {
            same_as_curl(url_rows[i].url);
            taken++;
        }
    assert_true(taken > 50);
}

static void test_long_hosts(void **state)
{
    struct gd_http_guard guard = { 0 };
    char url[2048];

    (void)state;
    for (size_t n = 240; n <= 1024; n++) {
        size_t at = 8;

        memcpy(url, "https://", 8);
        for (size_t i = 0; i < n; i++)
            url[at++] = i % 50 == 49 && i + 1 < n ? '.' : 'a';
        memcpy(url + at, "/", 2);
        check_url(&guard, url, n > 253 ? GD_R_HOST_INVALID : GD_R_OK);
    }
    {
        char *big = malloc(GD_HTTP_URL_MAX + 64);

        memset(big, 'x', GD_HTTP_URL_MAX + 63);
        memcpy(big, "https://example.com/", 20);
        big[GD_HTTP_URL_MAX] = '\0';
        check_url(&guard, big, GD_R_OK);
        big[GD_HTTP_URL_MAX] = 'x';
        big[GD_HTTP_URL_MAX + 1] = '\0';
        check_url(&guard, big, GD_R_URL_INVALID);
        free(big);
    }
}

static void test_allow_private(void **state)
{
    struct gd_http_guard guard = { .allow_private = json_pack("[s,s,s]", "intra.example:8443", "10.0.0.5:443",
                                                              "[fd00::5]:443") };

    (void)state;
    check_url(&guard, "https://intra.example:8443/", GD_R_OK);
    check_url(&guard, "https://INTRA.example:8443/", GD_R_OK);
    check_url(&guard, "https://intra.example:8444/", GD_R_EGRESS_DENIED);
    check_url(&guard, "https://x.intra.example:8443/", GD_R_EGRESS_DENIED);
    check_url(&guard, "http://intra.example:8443/", GD_R_URL_INVALID);
    check_url(&guard, "https://10.0.0.5/", GD_R_OK);
    check_url(&guard, "https://10.0.0.6/", GD_R_EGRESS_DENIED);
    check_url(&guard, "https://[fd00::5]/", GD_R_OK);
    check_url(&guard, "https://[fd00::6]/", GD_R_EGRESS_DENIED);
    json_decref(guard.allow_private);
}

/* Beside a virtual clock: whatever was mapped, listed or public, only a loopback is dialled. */
static void test_loopback_only(void **state)
{
    struct gd_http_guard guard = { .loopback_only = true };
    struct gd_http_request r = fixture_request("https://api.example/x");
    struct gd_http_target t = { 0 };
    struct gd_err err = { 0 };

    (void)state;
    guard.origins = json_pack("{s:s, s:s}", "https://api.example", "http://127.0.0.1:7700/api.example",
                              "https://far.example", "https://10.0.0.5/far");
    guard.allow_private = json_pack("[s]", "10.0.0.7:443");
    check_url(&guard, "https://api.example/x", GD_R_OK);
    check_url(&guard, "https://far.example/x", GD_R_EGRESS_DENIED);
    check_url(&guard, "https://10.0.0.7/", GD_R_EGRESS_DENIED);
    check_url(&guard, "https://8.8.8.8/", GD_R_EGRESS_DENIED);
    assert_int_equal(gd_http_guard_check(&guard, &r, &t, &err), 0);
    assert_int_equal(t.reach, GD_HTTP_REACH_LOOPBACK); /* names are judged when they are dialled */
    gd_free(t.mapped);
    json_decref(guard.origins);
    json_decref(guard.allow_private);
}

static void check_host(const char *const *hosts, const char *url, enum gd_reason reason)
{
    struct gd_http_guard guard = { 0 };
    struct gd_http_request r = fixture_request(url);
    struct gd_http_target t = { 0 };
    struct gd_err err = { 0 };

    r.hosts = hosts;
    (void)gd_http_guard_check(&guard, &r, &t, &err);
    if (err.reason != reason)
        fail_msg("%s: %s (%s)", url, gd_reason_word(err.reason), err.text);
    gd_free(t.mapped);
}

static void test_declared_hosts(void **state)
{
    static const char *const hosts[] = { "graph.example.com", "*.shop.test", "api.test:8443", NULL };
    static const char *const none[] = { NULL };

    (void)state;
    check_host(hosts, "https://graph.example.com/x", GD_R_OK);
    check_host(hosts, "https://GRAPH.example.com./x", GD_R_OK);
    check_host(hosts, "https://acme.shop.test/", GD_R_OK);
    check_host(hosts, "https://a.b.shop.test/", GD_R_HOST_NOT_DECLARED);
    check_host(hosts, "https://shop.test/", GD_R_HOST_NOT_DECLARED);
    check_host(hosts, "https://evilshop.test/", GD_R_HOST_NOT_DECLARED);
    check_host(hosts, "https://graph.example.com.evil.test/", GD_R_HOST_NOT_DECLARED);
    check_host(hosts, "https://api.test:8443/", GD_R_OK);
    check_host(hosts, "https://api.test/", GD_R_HOST_NOT_DECLARED);
    check_host(hosts, "https://graph.example.com:8443/", GD_R_EGRESS_DENIED);
    check_host(none, "https://graph.example.com/", GD_R_HOST_NOT_DECLARED);
}

/* ---- origins
 * ----------------------------------------------------------------------------------------------------------
 */
static void check_map(const json_t *origins, const char *url, const char *expected)
{
    struct gd_err err = { 0 };
    char *mapped = gd_http_map_origin(origins, url, &err);

    if (expected)
        assert_string_equal(mapped, expected);
    else
        assert_null(mapped);
    if (!expected)
        assert_int_equal(err.reason, GD_R_URL_INVALID);
    gd_free(mapped);
}

static void test_origins(void **state)
{
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s}", "https://graph.test", "http://127.0.0.1:7700/graph.test/",
                          "https://*.shop.test", "http://127.0.0.1:7700/*.shop.test", "https://as.test:8443",
                          "https://other.test", "https://exact.shop.test", "http://[::1]:9/e",
                          "http://127.0.0.1:3000", "http://127.0.0.1:3000");
    struct gd_err err = { 0 };

    (void)state;
    assert_int_equal(gd_http_origins_check(o, &err), 0);
    check_map(o, "https://graph.test/v1/me?x=1", "http://127.0.0.1:7700/graph.test/v1/me?x=1");
    check_map(o, "https://GRAPH.test:443", "http://127.0.0.1:7700/graph.test");
    check_map(o, "https://graph.test?x", "http://127.0.0.1:7700/graph.test/?x");
    check_map(o, "https://acme.shop.test/admin", "http://127.0.0.1:7700/acme.shop.test/admin");
    check_map(o, "https://exact.shop.test/a", "http://[::1]:9/e/a");
    check_map(o, "https://a.b.shop.test/admin", "https://a.b.shop.test/admin");
    check_map(o, "https://as.test:8443/t", "https://other.test/t");
    check_map(o, "https://as.test/t", "https://as.test/t");
    check_map(o, "https://graph.test.evil/", "https://graph.test.evil/");
    check_map(o, "http://127.0.0.1:3000/x", "http://127.0.0.1:3000/x");
    check_map(o, "http://127.0.0.1:3001/x", NULL);
    check_map(o, "http://graph.test/x", NULL);
    check_map(NULL, "https://graph.test/x", "https://graph.test/x");
    check_map(NULL, "javascript:alert(1)", NULL);
    json_decref(o);
}

/* ---- requests
 * ---------------------------------------------------------------------------------------------------------
 */
static enum gd_reason request_reason(const char *method, const char *name, const char *value)
{
    struct gd_http_header h = { name, value };
    struct gd_http_request r = { .method = method, .headers = &h, .nheaders = name ? 1 : 0 };
    struct gd_err err = { 0 };

    return gd_http_request_check(&r, &err) ? err.reason : GD_R_OK;
}

static void test_requests(void **state)
{
    static const char *const reserved[] = { "Host",   "content-length", "Transfer-Encoding", "Connection",
                                            "Cookie", "EXPECT",         "Accept-Encoding" };

    (void)state;
    assert_int_equal(request_reason("GET", "X-A", "b"), GD_R_OK);
    assert_int_equal(request_reason("GET", "X-A", ""), GD_R_OK);
    assert_int_equal(request_reason("GET", "X-A", "a\tb \xc3\xbc"), GD_R_OK);
    assert_int_equal(request_reason("CONNECT", NULL, NULL), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason("GE T", NULL, NULL), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason("", NULL, NULL), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason(NULL, NULL, NULL), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason("GET", "X-A", "b\r\nX-B: c"), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason("GET", "X-A", "b\nc"), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason("GET", "X A", "b"), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason("GET", "X-A:", "b"), GD_R_HTTP_REQUEST_INVALID);
    assert_int_equal(request_reason("GET", "", "b"), GD_R_HTTP_REQUEST_INVALID);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        assert_int_equal(request_reason("GET", reserved[i], "x"), GD_R_HTTP_REQUEST_INVALID);
}

/* ---- dialling
 * ------------------------------------------------------------------------------------------------------------
 */
static void refused(struct fixture *f, const char *url, enum gd_reason reason)
{
    struct got g;

    fixture_get(f, &g, url);
    if (g.end != GD_HTTP_REFUSED || g.err.reason != reason)
        fail_msg("%s: end %d, %s (%s)", url, g.end, gd_reason_word(g.err.reason), g.err.text);
    got_free(&g);
}

/* The listener is on 127.0.0.1 and must hear nothing. The port is declared by the request's hosts, so that
 * nothing but the address stands between. Each name is new: nothing is remembered from the last look-up. */
static void dial_inside(struct fixture *f, const char *leads, unsigned rounds)
{
    char url[64], host[64];
    const char *hosts[] = { host, NULL };
    struct got g;

    resolver_set(leads);
    snprintf(host, sizeof host, "*.fixed.test:%d", server_port(f->server));
    for (unsigned i = 0; i < rounds; i++) {
        unsigned before = resolver_calls;
        struct gd_http_request r;

        snprintf(url, sizeof url, "https://n%u.fixed.test:%d/", before, server_port(f->server));
        r = fixture_request(url);
        r.hosts = hosts;
        fixture_send(f, &g, &r);
        fixture_wait(f, &g);
        if (g.end != GD_HTTP_REFUSED || g.err.reason != GD_R_EGRESS_DENIED)
            fail_msg("%s: end %d, %s (%s)", leads, g.end, gd_reason_word(g.err.reason), g.err.text);
        assert_int_equal(resolver_calls, before + 1);
        got_free(&g);
    }
    assert_int_equal(server_accepts(f->server), 0);
}

static void test_names_that_lead_inside(void **state)
{
    static const char *const leads[] = { "127.0.0.1",        "127.0.0.2",       "0.0.0.0",        "10.0.0.1",
                                         "192.168.1.1",      "169.254.169.254", "100.64.0.1",     "::1",
                                         "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1",        "fd00::1",
                                         "2002:7f00:1::",    "224.0.0.1",       "255.255.255.255" };
    struct fixture f = { .server = server_new(NULL) };

    (void)state;
    fixture_start(&f);
    for (size_t i = 0; i < sizeof leads / sizeof *leads; i++)
        dial_inside(&f, leads[i], 1);
    dial_inside(&f, "127.0.0.1,10.0.0.1,127.0.0.1,169.254.169.254,::1", 200); /* another answer each time */
    refused(&f, "https://localhost/", GD_R_EGRESS_DENIED); /* curl knows these without a resolver */
    refused(&f, "https://localhost./", GD_R_EGRESS_DENIED);
    refused(&f, "https://x.localhost/", GD_R_EGRESS_DENIED);
    assert_int_equal(server_accepts(f.server), 0);
    fixture_stop(&f);
}

static void test_refused_without_look_up(void **state)
{
    struct fixture f = { 0 };
    unsigned before = resolver_calls;

    (void)state;
    fixture_start(&f);
    for (size_t i = 0; i < sizeof url_rows / sizeof *url_rows; i++)
        if (url_rows[i].reason != GD_R_OK)
            refused(&f, url_rows[i].url, url_rows[i].reason);
    assert_int_equal(resolver_calls, before);
    fixture_stop(&f);
}

/* A mapped origin opens the way to loopback for itself only, not for a name that leads there, nor for the
 * target's own URL; and a mapped name must lead to loopback for plain http. */
static void test_mapped_reach(void **state)
{
    struct fixture f = { .server = server_new(NULL) };
    char local[64];
    struct got g;

    (void)state;
    snprintf(local, sizeof local, "http://localhost:%d", server_port(f.server));
    f.origins = json_pack("{s:s}", "https://good.test", local);
    fixture_start(&f);
    fixture_get(&f, &g, "https://good.test/ok");
    assert_int_equal(g.status, 200);
    got_free(&g);
    refused(&f, "https://evil.test/", GD_R_EGRESS_DENIED);
    refused(&f, server_url(f.server, "/"), GD_R_URL_INVALID);
    assert_int_equal(server_accepts(f.server), 1);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_urls_as_curl_sees_them),
        cmocka_unit_test(test_long_hosts),
        cmocka_unit_test(test_allow_private),
        cmocka_unit_test(test_loopback_only),
        cmocka_unit_test(test_declared_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_names_that_lead_inside),
        cmocka_unit_test(test_refused_without_look_up),
        cmocka_unit_test(test_mapped_reach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
