/* test_jwt.c - ID tokens: what is taken, and an attack token of every kind that must not be. The good ones
 * are signed by gd_jwt_sign; the bad ones are put together here, each signed rightly where the attacker could
 * sign. */
#include "kit.h"

#include "crypto/jwt.h"

#include <jose/jwk.h>

#define NOW 1790000000

static json_t *rsa, *rsa2, *ec, *ec384, *okp, *weak; /* private JWKs */
static char *rsa_text, *rsa2_text, *ec_text, *ec384_text, *okp_text;
static const char secret[] = "a client secret of more than thirty-two bytes, as HS256 demands it";

static const struct gd_jwt_policy policy = { .algs = "RS256 ES256 EdDSA PS256",
                                             .issuer = "https://as.example",
                                             .audience = "app-1",
                                             .nonce = "n-1",
                                             .now = NOW,
                                             .skew = 30 };
#define GOOD             \
    "\"iss\":\"https://" \
    "as.example\",\"aud\":\"app-1\",\"sub\":\"u-1\",\"exp\":1790000600,\"iat\":1790000000,\"nonce\":\"n-1\""

/* ---- keys
 * ---------------------------------------------------------------------------------------------------------
 */

static json_t *new_key(const char *template, const char *kid, char **ret_text)
{
    json_t *k = json_loads(template, 0, NULL);

    assert_true(jose_jwk_gen(NULL, k));
    json_object_del(k, "key_ops");
    json_object_del(k, "alg");
    if (kid)
        json_object_set_new(k, "kid", json_string(kid));
    if (ret_text)
        *ret_text = gd_json_dump(k);
    return k;
}

static json_t *new_okp(const char *kid)
{
    unsigned char seed[32] = "ed25519 seed of thirty-two bytes", pub[32];
    char d[48], x[48];
    json_t *k;

    gd_ed25519_public(pub, seed);
    gd_b64url(d, seed, 32);
    gd_b64url(x, pub, 32);
    k = json_pack("{s:s, s:s, s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "d", d, "x", x, "kid", kid);
    okp_text = gd_json_dump(k);
    return k;
}

static json_t *public_of(const json_t *k)
{
    static const char *const private[] = { "d", "p", "q", "dp", "dq", "qi" };
    json_t *p = json_deep_copy(k);

    for (size_t i = 0; i < 6; i++)
        json_object_del(p, private[i]);
    return p;
}

static json_t *set_of(const json_t *const *keys, size_t n)
{
    json_t *a = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, public_of(keys[i]));
    return json_pack("{s:o}", "keys", a);
}

static json_t *all_keys(void)
{
    return set_of((const json_t *const[]){ rsa, rsa2, ec, ec384, okp }, 5);
}

/* ---- tokens
 * ------------------------------------------------------------------------------------------------------- */

static char *good(const char *alg, const char *key, const char *claims)
{
    struct gd_err err = { 0 };
    char *t = gd_jwt_sign(alg, key, claims, &err);

    if (!t)
        fail_msg("%s: %s", alg, err.text);
    return t;
}

static char *b64(const char *s)
{
    char *out = gd_new(strlen(s) * 2 + 8);

    gd_b64url(out, s, strlen(s));
    return out;
}

static char *hs256(const char *head, const char *claims, const char *key)
{
    char *h = b64(head), *c = b64(claims), *in = gd_strf("%s.%s", h, c), sig[64], *out;
    unsigned char mac[32];

    gd_hmac_sha256(mac, key, strlen(key), in, strlen(in));
    gd_b64url(sig, mac, 32);
    out = gd_strf("%s.%s", in, sig);
    gd_free(h);
    gd_free(c);
    gd_free(in);
    return out;
}

/* Signed with the Ed25519 key, whatever the header says. */
static char *eddsa(const char *head, const char *claims)
{
    char *h = b64(head), *c = b64(claims), *in = gd_strf("%s.%s", h, c), sig[90], *out;
    unsigned char raw[64];

    gd_ed25519_sign(raw, (const unsigned char *)"ed25519 seed of thirty-two bytes", in, strlen(in));
    gd_b64url(sig, raw, 64);
    out = gd_strf("%s.%s", in, sig);
    gd_free(h);
    gd_free(c);
    gd_free(in);
    return out;
}

static void taken_by(const char *token, json_t *jwks, const struct gd_jwt_policy *p)
{
    struct gd_err err = { 0 };
    json_t *c = gd_jwt_verify(token, jwks, p, &err);

    if (!c)
        fail_msg("refused: %s", err.text);
    assert_string_equal(gd_json_text(c, "sub", ""), "u-1");
    json_decref(c);
}

static void refused_by(char *token, json_t *jwks, const struct gd_jwt_policy *p, enum gd_reason reason,
                       int line)
{
    struct gd_err err = { 0 };
    json_t *c = gd_jwt_verify(token, jwks, p, &err);

    if (c || err.reason != reason)
        fail_msg("line %d: %s instead of %s", line, c ? "taken" : gd_reason_word(err.reason),
                 gd_reason_word(reason));
    gd_free(token);
}
#define refused(token, reason)                                               \
    do {                                                                     \
        json_t *set_ = all_keys();                                           \
        refused_by((token), set_, &policy, GD_R_IDTOKEN_##reason, __LINE__); \
        json_decref(set_);                                                   \
    } while (0)

/* ---- taken
 * -------------------------------------------------------------------------------------------------------- */

static void test_taken(void **state)
{
    json_t *jwks = all_keys();
    const struct {
        const char *alg, *key;
    } cases[] = { { "RS256", rsa_text },
                  { "PS256", rsa_text },
                  { "RS256", rsa2_text },
                  { "ES256", ec_text },
                  { "EdDSA", okp_text } };

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        char *t = good(cases[i].alg, cases[i].key, "{" GOOD "}");

        taken_by(t, jwks, &policy);
        gd_free(t);
    }
    json_decref(jwks);
}

static void test_taken_oddities(void **state)
{
    static const char *const claims[] = {
        "{\"iss\":\"https://"
        "as.example\",\"aud\":[\"app-1\"],\"sub\":\"u-1\",\"exp\":1790000600,\"iat\":1790000000,\"nonce\":"
        "\"n-1\"}",
        "{\"iss\":\"https://"
        "as.example\",\"aud\":[\"x\",\"app-1\"],\"azp\":\"app-1\",\"sub\":\"u-1\",\"exp\":1790000600.5,"
        "\"iat\":1790000000,\"nonce\":\"n-1\"}",
        "{" GOOD ",\"azp\":\"app-1\",\"nbf\":1790000029}",
        "{\"iss\":\"https://"
        "as.example\",\"aud\":\"app-1\",\"sub\":\"u-1\",\"exp\":1789999971,\"iat\":1790000030,\"nonce\":\"n-"
        "1\"}", /* within the skew */
    };
    json_t *jwks = all_keys();

    (void)state;
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        char *t = good("ES256", ec_text, claims[i]);

        taken_by(t, jwks, &policy);
        gd_free(t);
    }
    json_decref(jwks);
}

static void test_shared_secret(void **state)
{
    struct gd_jwt_policy p = policy;
    char *t = hs256("{\"alg\":\"HS256\"}", "{" GOOD "}", secret);

    (void)state;
    p.algs = "HS256";
    p.hmac_secret = secret;
    taken_by(t, NULL, &p);
    p.hmac_secret = "another client secret of more than thirty-two bytes; it is wrong";
    refused_by(gd_strdup(t), NULL, &p, GD_R_IDTOKEN_SIGNATURE, __LINE__);
    p.hmac_secret = NULL;
    refused_by(t, NULL, &p, GD_R_IDTOKEN_ALG, __LINE__);
}

static void test_one_key_without_kid(void **state)
{
    json_t *k = public_of(ec), *jwks;
    char *t = eddsa("{\"alg\":\"EdDSA\"}", "{" GOOD "}"), *e;

    (void)state;
    json_object_del(k, "kid");
    jwks = json_pack("{s:[o, o]}", "keys", k, public_of(okp));
    taken_by(t, jwks, &policy); /* one key fits the algorithm */
    e = good("ES256", ec_text, "{" GOOD "}");
    refused_by(e, jwks, &policy, GD_R_IDTOKEN_KEY, __LINE__); /* names a kid that no key has */
    gd_free(t);
    json_decref(jwks);
}

static void test_at_hash(void **state)
{
    struct gd_jwt_policy p = policy;
    json_t *jwks = all_keys();
    /* OpenID Connect Core, A.3: at_hash of this access token under SHA-256 */
    char *t = good("RS256", rsa_text, "{" GOOD ",\"at_hash\":\"77QmUPtjPfzWtF2AnpK9RQ\"}");

    (void)state;
    p.access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    taken_by(t, jwks, &p);
    p.access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Z";
    refused_by(t, jwks, &p, GD_R_IDTOKEN_HASH, __LINE__);
    p.access_token = "x";
    refused_by(good("RS256", rsa_text, "{" GOOD ",\"at_hash\":7}"), jwks, &p, GD_R_IDTOKEN_HASH, __LINE__);
    json_decref(jwks);
}

static void test_subject(void **state)
{
    struct gd_jwt_policy p = policy;
    json_t *jwks = all_keys();
    char *t = good("ES256", ec_text, "{" GOOD "}");

    (void)state;
    p.subject = "u-1";
    taken_by(t, jwks, &p);
    p.subject = "u-2";
    refused_by(t, jwks, &p, GD_R_IDTOKEN_SUBJECT, __LINE__);
    json_decref(jwks);
}

/* ---- refused
 * ------------------------------------------------------------------------------------------------------ */

static void test_alg_none(void **state)
{
    static const char *const heads[] = { "{\"alg\":\"none\"}",   "{\"alg\":\"None\"}", "{\"alg\":\"NONE\"}",
                                         "{\"alg\":\"\"}",       "{\"alg\":null}",     "{}",
                                         "{\"alg\":[\"RS256\"]}" };

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char *h = b64(heads[i]), *c = b64("{" GOOD "}");

        refused(gd_strf("%s.%s.", h, c), FORMAT);
        refused(gd_strf("%s.%s", h, c), FORMAT);
        refused(gd_strf("%s.%s.AA", h, c), ALG);
        gd_free(h);
        gd_free(c);
    }
}

static void test_alg_none_even_if_listed(void **state)
{
    struct gd_jwt_policy p = policy;
    json_t *jwks = all_keys();
    char *h = b64("{\"alg\":\"none\"}"), *c = b64("{" GOOD "}");

    (void)state;
    p.algs = "none RS256";
    refused_by(gd_strf("%s.%s.AA", h, c), jwks, &p, GD_R_IDTOKEN_ALG, __LINE__);
    gd_free(h);
    gd_free(c);
    json_decref(jwks);
}

static void test_hs256_with_the_public_key(void **state)
{
    json_t *pub = public_of(rsa), *jwks = all_keys();
    struct gd_jwt_policy p = policy;
    char *text = gd_json_dump(pub), *n = gd_strdup(gd_json_text(pub, "n", ""));

    (void)state;
    refused(hs256("{\"alg\":\"HS256\",\"kid\":\"r1\"}", "{" GOOD "}", text), ALG);
    refused(hs256("{\"alg\":\"HS256\",\"kid\":\"r1\"}", "{" GOOD "}", n), ALG);
    p.algs = "RS256 HS256"; /* allowed, but then only under the client's secret */
    refused_by(hs256("{\"alg\":\"HS256\",\"kid\":\"r1\"}", "{" GOOD "}", text), jwks, &p, GD_R_IDTOKEN_ALG,
               __LINE__);
    p.hmac_secret = secret;
    refused_by(hs256("{\"alg\":\"HS256\",\"kid\":\"r1\"}", "{" GOOD "}", text), jwks, &p,
               GD_R_IDTOKEN_SIGNATURE, __LINE__);
    gd_free(text);
    gd_free(n);
    json_decref(pub);
    json_decref(jwks);
}

static void test_other_algorithm(void **state)
{
    (void)state;
    refused(good("RS512", rsa_text, "{" GOOD "}"), ALG);
    refused(good("ES384", ec384_text, "{" GOOD "}"), ALG);
    refused(eddsa("{\"alg\":\"RS256\",\"kid\":\"r1\"}", "{" GOOD "}"), SIGNATURE);
    refused(eddsa("{\"alg\":\"RS256\",\"kid\":\"d1\"}", "{" GOOD "}"),
            KEY); /* kid of a key of another type */
    refused(eddsa("{\"alg\":\"eddsa\",\"kid\":\"d1\"}", "{" GOOD "}"), ALG);
    refused(eddsa("{\"alg\":\"EdDSA \",\"kid\":\"d1\"}", "{" GOOD "}"), ALG);
}

static void test_key_says_another_algorithm(void **state)
{
    json_t *k = public_of(rsa), *jwks;
    char *t = good("PS256", rsa_text, "{" GOOD "}");

    (void)state;
    json_object_set_new(k, "alg", json_string("RS256"));
    jwks = json_pack("{s:[o]}", "keys", k);
    refused_by(t, jwks, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    json_decref(jwks);
}

static void test_signatures(void **state)
{
    static const char *const keys[] = { "RS256", "ES256", "EdDSA" };
    const char *const texts[] = { rsa_text, ec_text, okp_text };
    static const size_t lengths[] = { 256, 64, 64 };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *t = good(keys[i], texts[i], "{" GOOD "}"), zero[400];
        size_t head = (size_t)(strrchr(t, '.') - t) + 1;
        unsigned char z[256] = { 0 };

        gd_b64url(zero, z, lengths[i]);
        refused(gd_strf("%.*s", (int)head - 1, t), FORMAT);        /* stripped, dot and all */
        refused(gd_strf("%.*s", (int)head, t), FORMAT);            /* empty */
        refused(gd_strf("%.*s%s", (int)head, t, zero), SIGNATURE); /* zeros: CVE-2022-21449 */
        refused(gd_strf("%.*sAAAA", (int)head, t), SIGNATURE);     /* short */
        refused(gd_strf("%sAAAA", t), SIGNATURE);                  /* long */
        refused(gd_strf("%s==", t), FORMAT);                       /* padding */
        refused(gd_strf("%s.e30", t), FORMAT);                     /* a fourth part */
        t[head + 5] = t[head + 5] == 'A' ? 'B' : 'A';
        refused(t, SIGNATURE);
    }
}

static void test_changed_claims(void **state)
{
    char *t = good("ES256", ec_text, "{" GOOD "}"), *other = b64("{" GOOD ",\"admin\":true}");
    const char *dot = strchr(t, '.'), *sig = strrchr(t, '.');

    (void)state;
    refused(gd_strf("%.*s.%s%s", (int)(dot - t), t, other, sig), SIGNATURE);
    gd_free(t);
    gd_free(other);
}

static void test_header_tricks(void **state)
{
    (void)state;
    refused(eddsa("{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\",\"kid\":\"d1\"}", "{" GOOD "}"),
            FORMAT); /* duplicate */
    refused(eddsa("{\"alg\":\"none\",\"alg\":\"EdDSA\",\"kid\":\"d1\"}", "{" GOOD "}"), FORMAT);
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"d1\",\"crit\":[\"exp\"],\"exp\":1}", "{" GOOD "}"), FORMAT);
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"d1\",\"crit\":[]}", "{" GOOD "}"), FORMAT);
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"d1\",\"crit\":[\"b64\"],\"b64\":false}", "{" GOOD "}"),
            FORMAT);
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"d1\",\"b64\":false}", "{" GOOD "}"), FORMAT);
    refused(eddsa("[\"EdDSA\"]", "{" GOOD "}"), FORMAT);
    refused(eddsa("{\"alg\":\"EdDSA\"", "{" GOOD "}"), FORMAT);
    refused(gd_strdup(""), FORMAT);
    refused(gd_strdup(".."), FORMAT);
    refused(gd_strdup("e30.e30.e30"), ALG);
}

static void test_key_of_the_attacker_in_the_header(void **state)
{
    json_t *jwk = public_of(okp), *jwks = set_of((const json_t *const[]){ rsa }, 1);
    char *text = gd_json_dump(jwk), *head = gd_strf("{\"alg\":\"EdDSA\",\"jwk\":%s}", text);

    (void)state;
    refused_by(eddsa(head, "{" GOOD "}"), jwks, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    refused_by(eddsa("{\"alg\":\"EdDSA\",\"jku\":\"https://evil.example/jwks\"}", "{" GOOD "}"), jwks,
               &policy, GD_R_IDTOKEN_KEY, __LINE__);
    gd_free(text);
    gd_free(head);
    json_decref(jwk);
    json_decref(jwks);
}

static void test_kid(void **state)
{
    json_t *twice = set_of((const json_t *const[]){ rsa, rsa }, 2),
           *two = set_of((const json_t *const[]){ rsa, rsa2 }, 2);
    json_t *bare = json_deep_copy(rsa);
    char *text;

    (void)state;
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"nobody\"}", "{" GOOD "}"), KEY);
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":7}", "{" GOOD "}"), KEY);
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"../../dev/null\"}", "{" GOOD "}"), KEY);
    refused_by(good("RS256", rsa_text, "{" GOOD "}"), twice, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    json_object_del(bare, "kid");
    text = gd_json_dump(bare);
    refused_by(good("RS256", text, "{" GOOD "}"), two, &policy, GD_R_IDTOKEN_KEY,
               __LINE__); /* several, no kid */
    refused_by(good("RS256", rsa2_text, "{" GOOD "}"), NULL, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    gd_free(text);
    json_decref(bare);
    json_decref(twice);
    json_decref(two);
}

static void test_wrong_key_under_the_right_kid(void **state)
{
    json_t *k = json_deep_copy(rsa2);
    char *text;

    (void)state;
    json_object_set_new(k, "kid", json_string("r1"));
    text = gd_json_dump(k);
    refused(good("RS256", text, "{" GOOD "}"), SIGNATURE);
    gd_free(text);
    json_decref(k);
}

static void test_keys_not_for_this(void **state)
{
    json_t *enc = public_of(rsa), *ops = public_of(rsa), *jwks;

    (void)state;
    json_object_set_new(enc, "use", json_string("enc"));
    jwks = json_pack("{s:[o]}", "keys", enc);
    refused_by(good("RS256", rsa_text, "{" GOOD "}"), jwks, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    json_decref(jwks);
    json_object_set_new(ops, "key_ops", json_pack("[s]", "encrypt"));
    jwks = json_pack("{s:[o]}", "keys", ops);
    refused_by(good("RS256", rsa_text, "{" GOOD "}"), jwks, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    json_decref(jwks);
    jwks = json_pack("{s:[O]}", "keys", weak); /* 1024 bits */
    refused_by(good("RS256", rsa_text, "{" GOOD "}"), jwks, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    json_decref(jwks);
    jwks = json_pack("{s:[s, i, n, []]}", "keys", "x", 7);
    refused_by(good("RS256", rsa_text, "{" GOOD "}"), jwks, &policy, GD_R_IDTOKEN_KEY, __LINE__);
    json_decref(jwks);
}

static void test_claims(void **state)
{
    static const struct {
        const char *claims;
        enum gd_reason reason;
    } cases[] = {
#define I "\"iss\":\"https://as.example\","
#define A "\"aud\":\"app-1\","
#define S "\"sub\":\"u-1\","
#define E "\"exp\":1790000600,"
#define T "\"iat\":1790000000,"
#define N "\"nonce\":\"n-1\""
        { "{" A S E T N "}", GD_R_IDTOKEN_ISSUER },
        { "{\"iss\":\"https://as.example/\"," A S E T N "}", GD_R_IDTOKEN_ISSUER },
        { "{\"iss\":\"https://evil.example\"," A S E T N "}", GD_R_IDTOKEN_ISSUER },
        { "{\"iss\":[\"https://as.example\"]," A S E T N "}", GD_R_IDTOKEN_ISSUER },
        { "{" I S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I "\"aud\":\"app-2\"," S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I "\"aud\":[]," S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I "\"aud\":[\"app-1\",7]," S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I "\"aud\":[\"app-1\",\"app-2\"]," S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I "\"aud\":[\"app-1\",\"app-2\"],\"azp\":\"app-2\"," S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I A "\"azp\":\"app-2\"," S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I A "\"azp\":7," S E T N "}", GD_R_IDTOKEN_AUDIENCE },
        { "{" I A S T N "}", GD_R_IDTOKEN_FORMAT },
        { "{" I A S E N "}", GD_R_IDTOKEN_FORMAT },
        { "{" I A S "\"exp\":\"1790000600\"," T N "}", GD_R_IDTOKEN_FORMAT },
        { "{" I A S "\"exp\":-1," T N "}", GD_R_IDTOKEN_FORMAT },
        { "{" I A S "\"exp\":1e300," T N "}", GD_R_IDTOKEN_FORMAT },
        { "{" I A S "\"exp\":1789999970," T N "}", GD_R_IDTOKEN_EXPIRED },
        { "{" I A S "\"exp\":0," T N "}", GD_R_IDTOKEN_EXPIRED },
        { "{" I A S E "\"iat\":1790000031," N "}", GD_R_IDTOKEN_NOT_YET },
        { "{" I A S E "\"iat\":9223372036854775807," N "}", GD_R_IDTOKEN_NOT_YET },
        { "{" I A S E T N ",\"nbf\":1790000031}", GD_R_IDTOKEN_NOT_YET },
        { "{" I A S E T N ",\"nbf\":\"soon\"}", GD_R_IDTOKEN_FORMAT },
        { "{" I A S E T "\"nonce\":\"n-2\"}", GD_R_IDTOKEN_NONCE },
        { "{" I A S E T "\"nonce\":null}", GD_R_IDTOKEN_NONCE },
        { "{" I A S "\"exp\":1790000600,\"iat\":1790000000}", GD_R_IDTOKEN_NONCE },
        { "{" I A E T N "}", GD_R_IDTOKEN_SUBJECT },
        { "{" I A "\"sub\":\"\"," E T N "}", GD_R_IDTOKEN_SUBJECT },
        { "{" I A "\"sub\":7," E T N "}", GD_R_IDTOKEN_SUBJECT },
        { "{" I I A S E T N "}", GD_R_IDTOKEN_FORMAT }, /* a claim twice */
        { "[]", GD_R_IDTOKEN_FORMAT },
        { "", GD_R_IDTOKEN_FORMAT },
    };
    json_t *jwks = all_keys();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused_by(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"d1\"}", cases[i].claims), jwks, &policy,
                   cases[i].reason, (int)i);
    json_decref(jwks);
}

static void test_too_long(void **state)
{
    char *big = gd_new(GD_TOKEN_MAX + 100), *claims;

    (void)state;
    memset(big, 'x', GD_TOKEN_MAX);
    claims = gd_strf("{" GOOD ",\"x\":\"%s\"}", big);
    refused(eddsa("{\"alg\":\"EdDSA\",\"kid\":\"d1\"}", claims), FORMAT);
    gd_free(big);
    gd_free(claims);
}

/* ---- signing
 * ------------------------------------------------------------------------------------------------------ */

static void test_sign_refuses(void **state)
{
    const struct {
        const char *alg, *key;
    } cases[] = { { "none", rsa_text },
                  { "RS256", ec_text },
                  { "ES256", rsa_text },
                  { "ES256", ec384_text },
                  { "RS256", "" },
                  { "RS256", "no key" },
                  { "RS256", "{\"kty\":\"RSA\"}" },
                  { "EdDSA", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}" },
                  { "HS256", rsa_text } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gd_err err = { 0 };

        assert_null(gd_jwt_sign(cases[i].alg, cases[i].key, "{}", &err));
        assert_int_equal(err.reason, GD_R_JWT_KEY_INVALID);
        assert_null(strstr(err.text, "RSA"));
    }
}

/* openssl genpkey -algorithm ed25519; ... -algorithm EC -pkeyopt ec_paramgen_curve:P-256 */
static const char pem_ed[] = "-----BEGIN PRIVATE KEY-----\n"
                             "MC4CAQAwBQYDK2VwBCIEIGVkMjU1MTkgc2VlZCBvZiB0aGlydHktdHdvIGJ5dGVz\n"
                             "-----END PRIVATE KEY-----\n";

static void test_sign_pem(void **state)
{
    json_t *jwks = json_pack("{s:[o]}", "keys", public_of(okp));
    char *t;

    (void)state;
    json_object_del(json_array_get(json_object_get(jwks, "keys"), 0), "kid");
    t = good("EdDSA", pem_ed, "{" GOOD "}");
    taken_by(t, jwks, &policy);
    gd_free(t);
    json_decref(jwks);
}

static int make_keys(void **state)
{
    (void)state;
    rsa = new_key("{\"kty\":\"RSA\",\"bits\":2048}", "r1", &rsa_text);
    rsa2 = new_key("{\"kty\":\"RSA\",\"bits\":2048}", "r2", &rsa2_text);
    ec = new_key("{\"kty\":\"EC\",\"crv\":\"P-256\"}", "e1", &ec_text);
    ec384 = new_key("{\"kty\":\"EC\",\"crv\":\"P-384\"}", "e2", &ec384_text);
    okp = new_okp("d1");
    weak = json_deep_copy(rsa);
    json_object_set_new(
        weak, "n",
        json_string("uxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    return 0;
}

static int free_keys(void **state)
{
    json_t *const keys[] = { rsa, rsa2, ec, ec384, okp, weak };
    char *const texts[] = { rsa_text, rsa2_text, ec_text, ec384_text, okp_text };

    (void)state;
    for (size_t i = 0; i < 6; i++)
        json_decref(keys[i]);
    for (size_t i = 0; i < 5; i++)
        gd_free(texts[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_taken_oddities),
        cmocka_unit_test(test_shared_secret),
        cmocka_unit_test(test_one_key_without_kid),
        cmocka_unit_test(test_at_hash),
        cmocka_unit_test(test_subject),
        cmocka_unit_test(test_alg_none),
        cmocka_unit_test(test_alg_none_even_if_listed),
        cmocka_unit_test(test_hs256_with_the_public_key),
        cmocka_unit_test(test_other_algorithm),
        cmocka_unit_test(test_key_says_another_algorithm),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_changed_claims),
        cmocka_unit_test(test_header_tricks),
        cmocka_unit_test(test_key_of_the_attacker_in_the_header),
        cmocka_unit_test(test_kid),
        cmocka_unit_test(test_wrong_key_under_the_right_kid),
        cmocka_unit_test(test_keys_not_for_this),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_sign_refuses),
        cmocka_unit_test(test_sign_pem),
    };

    return cmocka_run_group_tests(tests, make_keys, free_keys);
}
