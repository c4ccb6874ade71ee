/* TLS: a good certificate works and sessions are resumed; a bad one is TLS_VERIFY and not a byte of HTTP
 * leaves. The authority and the certificates are made here. */
#include "fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct identity {
    EVP_PKEY *key;
    X509 *cert;
};
static struct identity authority, stranger;
static char ca_path[] = "/tmp/http-ca-XXXXXX";

static void extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

/* by: NULL signs itself. */
static struct identity identity_new(const char *cn, const char *san, long from, long to,
                                    const struct identity *by)
{
    static long serial = 1;
    struct identity id = { EVP_EC_gen("P-256"), X509_new() };
    X509_NAME *name = X509_get_subject_name(id.cert);

    X509_set_version(id.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), from);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), to);
    X509_set_pubkey(id.cert, id.key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(id.cert, by ? X509_get_subject_name(by->cert) : name);
    extension(id.cert, by ? by->cert : id.cert, NID_basic_constraints, san ? "CA:FALSE" : "critical,CA:TRUE");
    if (san)
        extension(id.cert, by ? by->cert : id.cert, NID_subject_alt_name, san);
    assert_true(X509_sign(id.cert, by ? by->key : id.key, EVP_sha256()) > 0);
    return id;
}

static void identity_done(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
}

static SSL_CTX *context(const struct identity *id)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    assert_int_equal(SSL_CTX_use_certificate(ctx, id->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, id->key), 1);
    return ctx;
}

static int make_authority(void **state)
{
    int fd = mkstemp(ca_path);
    FILE *f = fdopen(fd, "w");

    (void)state;
    authority = identity_new("Test Authority", NULL, -3600, 86400, NULL);
    stranger = identity_new("Strange Authority", NULL, -3600, 86400, NULL);
    PEM_write_X509(f, authority.cert);
    fclose(f);
    return 0;
}

static int drop_authority(void **state)
{
    (void)state;
    identity_done(&authority);
    identity_done(&stranger);
    unlink(ca_path);
    return 0;
}

static void start(struct fixture *f, SSL_CTX *ctx)
{
    char hostport[64];

    *f = (struct fixture){ .server = server_new(ctx), .ca_file = ca_path };
    snprintf(hostport, sizeof hostport, "good.test:%d", server_port(f->server));
    f->allow = json_pack("[s]", hostport);
    fixture_start(f);
}

static void post(struct fixture *f, struct got *g, bool repeatable)
{
    char url[64] = "";
    struct gd_http_request r = fixture_request(url);

    snprintf(url, sizeof url, "https://good.test:%d/ok", server_port(f->server));
    r.method = "POST";
    r.body = "refresh_token=canary";
    r.body_len = 20;
    r.repeatable = repeatable;
    fixture_send(f, g, &r);
    fixture_wait(f, g);
}

static void test_good(void **state)
{
    struct identity id = identity_new("good.test", "DNS:good.test", -60, 3600, &authority);
    SSL_CTX *ctx = context(&id);
    struct fixture f;
    struct got g;

    (void)state;
    start(&f, ctx);
    for (int i = 0; i < 4; i++) {
        post(&f, &g, false);
        if (g.end != GD_HTTP_ANSWER)
            fail_msg("%s", g.err.text);
        assert_int_equal(g.status, 200);
        got_free(&g);
    }
    assert_int_equal(server_accepts(f.server), 4);
    assert_true(server_resumed(f.server) >= 1); /* the app's session is used again */
    for (int i = 0; i < 4; i++) {
        post(&f, &g, true);
        assert_int_equal(g.status, 200);
        got_free(&g);
    }
    assert_int_equal(server_accepts(f.server), 5);
    fixture_stop(&f);
    SSL_CTX_free(ctx);
    identity_done(&id);
}

/* Refused before a byte of HTTP, and said to be so. */
static void refused(struct fixture *f, enum gd_reason reason)
{
    struct got g;

    for (int i = 0; i < 2; i++) {
        post(f, &g, i == 1);
        if (g.end != GD_HTTP_NOT_SENT || g.err.reason != reason)
            fail_msg("end %d status %d %s (%s)", g.end, g.status, gd_reason_word(g.err.reason), g.err.text);
        assert_null(strstr(g.err.text, "canary"));
        got_free(&g);
    }
    assert_int_equal(server_bytes(f->server), 0);
    assert_int_equal(server_requests(f->server), 0);
}

static void bad_certificate(const char *san, long from, long to, const struct identity *by)
{
    struct identity id = identity_new("good.test", san, from, to, by);
    SSL_CTX *ctx = context(&id);
    struct fixture f;

    start(&f, ctx);
    refused(&f, GD_R_TLS_VERIFY);
    assert_true(server_accepts(f.server) >= 1);
    fixture_stop(&f);
    SSL_CTX_free(ctx);
    identity_done(&id);
}

static void test_bad_certificates(void **state)
{
    (void)state;
    bad_certificate("DNS:good.test", -7200, -3600, &authority); /* expired */
    bad_certificate("DNS:good.test", 3600, 7200, &authority);   /* not yet */
    bad_certificate("DNS:other.test", -60, 3600, &authority);   /* wrong host */
    bad_certificate("DNS:*.good.test", -60, 3600, &authority);
    bad_certificate("DNS:*.test", -60, 3600, &stranger);
    bad_certificate("IP:127.0.0.1", -60, 3600, &authority); /* the address is not the name */
    bad_certificate("DNS:good.test", -60, 3600, NULL);      /* signed by itself */
    bad_certificate("DNS:good.test", -60, 3600, &stranger); /* signed by nobody we know */
}

static void test_old_protocols(void **state)
{
    struct identity id = identity_new("good.test", "DNS:good.test", -60, 3600, &authority);
    static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *ctx = context(&id);
        struct fixture f;

        SSL_CTX_set_security_level(ctx, 0);
        assert_int_equal(SSL_CTX_set_min_proto_version(ctx, versions[i]), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(ctx, versions[i]), 1);
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0"), 1);
        start(&f, ctx);
        refused(&f, GD_R_TLS_VERIFY);
        fixture_stop(&f);
        SSL_CTX_free(ctx);
    }
    identity_done(&id);
}

/* Weak ciphers and anonymous ones. */
static void test_weak_ciphers(void **state)
{
    struct identity id = identity_new("good.test", "DNS:good.test", -60, 3600, &authority);
    static const char *const lists[] = { "eNULL:@SECLEVEL=0", "aNULL:@SECLEVEL=0" };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *ctx = context(&id);
        struct fixture f;

        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, lists[i]), 1);
        start(&f, ctx);
        refused(&f, GD_R_TLS_VERIFY);
        fixture_stop(&f);
        SSL_CTX_free(ctx);
    }
    identity_done(&id);
}

/* A server that does not speak TLS at all, and one that hangs up in the handshake: not a verdict on a
 * certificate. */
static void test_no_tls(void **state)
{
    struct fixture f;
    struct got g;
    char url[64], hostport[64];

    (void)state;
    f = (struct fixture){ .server = server_new(NULL), .ca_file = ca_path };
    snprintf(hostport, sizeof hostport, "good.test:%d", server_port(f.server));
    f.allow = json_pack("[s]", hostport);
    fixture_start(&f);
    snprintf(url, sizeof url, "https://good.test:%d/ok", server_port(f.server));
    {
        struct gd_http_request r = fixture_request(url);

        r.timeout_ms = 300; /* the plain server waits for the end of a head */
        fixture_send(&f, &g, &r);
        fixture_wait(&f, &g);
    }
    assert_int_equal(g.end, GD_HTTP_NOT_SENT);
    assert_int_equal(g.err.reason, GD_R_PLATFORM_TIMEOUT);
    assert_int_equal(server_requests(f.server), 0);
    got_free(&g);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_bad_certificates),
        cmocka_unit_test(test_old_protocols), cmocka_unit_test(test_weak_ciphers),
        cmocka_unit_test(test_no_tls),
    };

    return cmocka_run_group_tests(tests, make_authority, drop_authority);
}
