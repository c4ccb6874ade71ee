/* test_crypto.c - known answers of others: NIST, RFC 4231, 5869, 7914, 8032. */
#include "kit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

static void test_setup(void **state)
{
    struct gd_err err = { 0 };

    (void)state;
    assert_int_equal(gd_crypto_setup(&err), 0);
    assert_int_equal(gd_crypto_setup(&err), 0);
}

static void test_sha256(void **state)
{
    unsigned char out[32];

    (void)state;
    gd_sha256(out, "abc", 3);
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    gd_sha256(out, NULL, 0);
    assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_hasher(void **state)
{
    struct gd_hasher *h = gd_hasher_new();
    unsigned char out[32];

    (void)state;
    gd_hasher_add(h, "a", 1);
    gd_hasher_add(h, NULL, 0);
    gd_hasher_add(h, "bc", 2);
    gd_hasher_end(h, out);
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    gd_hasher_end(gd_hasher_new(), NULL); /* not wanted any more */
    gd_hasher_end(NULL, NULL);
}

static void test_hmac(void **state)
{
    unsigned char out[32];

    (void)state;
    gd_hmac_sha256(out, "Jefe", 4, "what do ya want for nothing?", 28);
    assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    gd_hmac_sha256(out, "", 0, "", 0);
    assert_hex(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_hkdf_rfc5869(void **state)
{
    unsigned char out[82], ikm[80], salt[80], info[80];

    (void)state;
    for (unsigned i = 0; i < 80; i++) {
        ikm[i] = (unsigned char)i;
        salt[i] = (unsigned char)(0x60 + i);
        info[i] = (unsigned char)(0xb0 + i);
    }
    gd_hkdf(out, 82, "SHA256", ikm, 80, salt, 80, info, 80);
    assert_hex(
        out,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
    gd_hkdf(out, 42, "SHA256", hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), 22,
            hex("000102030405060708090a0b0c"), 13, hex("f0f1f2f3f4f5f6f7f8f9"), 10);
    assert_hex(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    gd_hkdf(out, 42, "SHA256", hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), 22, NULL, 0, NULL, 0);
    assert_hex(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

/* OpenSSL's own HKDF says the same, whatever the lengths: keys and salts within a block, of one, and longer.
 */
static void test_hkdf_sha512_by_openssl(void **state)
{
    static const size_t lengths[] = { 0, 1, 32, 63, 64, 65, 111, 112, 127, 128, 129, 300 };
    const size_t n = sizeof lengths / sizeof *lengths;
    unsigned char key[300], salt[300], info[300], ours[300], theirs[300];
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        key[i] = (unsigned char)(7 * i + 1);
        salt[i] = (unsigned char)(11 * i + 2);
        info[i] = (unsigned char)(13 * i + 3);
    }
    for (size_t i = 0; i < n * n; i++) {
        size_t nkey = lengths[i % n] ? lengths[i % n] : 1, nsalt = lengths[i / n],
               ninfo = lengths[(i + i / n) % n];
        size_t nout = lengths[(i * 5) % n] ? lengths[(i * 5) % n] : 76;
        char md[] = "SHA512";
        OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string("digest", md, 0),
                                OSSL_PARAM_construct_octet_string("key", key, nkey),
                                OSSL_PARAM_construct_octet_string("salt", salt, nsalt),
                                OSSL_PARAM_construct_octet_string("info", info, ninfo),
                                OSSL_PARAM_construct_end() };
        EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);

        assert_int_equal(EVP_KDF_derive(c, theirs, nout, params), 1);
        gd_hkdf(ours, nout, "SHA512", key, nkey, salt, nsalt, info, ninfo);
        assert_memory_equal(ours, theirs, nout);
        EVP_KDF_CTX_free(c);
    }
    EVP_KDF_free(kdf);
}

static void test_scrypt_rfc7914(void **state)
{
    unsigned char out[64];

    (void)state;
    assert_int_equal(gd_scrypt_params(out, 64, "password", 8, "NaCl", 4, 1024, 8, 16), 0);
    assert_hex(
        out,
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830da"
        "c727afb94a83ee6d8360cbdfa2cc0640");
    assert_int_equal(gd_scrypt_params(out, 64, "pleaseletmein", 13, "SodiumChloride", 14, 16384, 8, 1), 0);
    assert_hex(
        out,
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9"
        "e61e85dc0d651e40dfcf017b45575887");
}

static void test_scrypt_of_ours(void **state)
{
    unsigned char out[32], again[32];
    struct gd_err err = { 0 };

    (void)state;
    assert_int_equal(gd_scrypt(out, "correct horse battery", 21, "0123456789abcdef", 16, &err), 0);
    /* Python: hashlib.scrypt(b"correct horse battery", salt=b"0123456789abcdef", n=1<<17, r=8, p=1, dklen=32,
     * ...) */
    assert_hex(out, "1cbaf20aafe0f217aaf1abeaf62c46e64f1e43910e479b4199d192b1aca4e322");
    assert_int_equal(gd_scrypt(again, "correct horse battery", 21, "0123456789abcdeF", 16, &err), 0);
    assert_memory_not_equal(out, again, 32);
}

struct gcm_case {
    const char *key, *iv, *plain, *aad, *cipher, *tag;
};

/* McGrew and Viega, The Galois/Counter Mode of Operation, cases 13 to 16 (NIST). */
static const struct gcm_case gcm_cases[] = {
    { "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
      "", "530f8afbc74536b9a963b4f1c4cb738b" },
    { "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
      "00000000000000000000000000000000", "", "cea7403d4d606b6e074ec5d3baf39d18",
      "d0d1c8a799996bf0265b98b5d48ab919" },
    { "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aed"
      "f5aa0de657"
      "ba637b391aafd255",
      "",
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e"
      "6393ba7a0a"
      "bcc9f662898015ad",
      "b094dac5d93471bdec1a502270e3cc6c" },
    { "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aed"
      "f5aa0de657"
      "ba637b39",
      "feedfacedeadbeeffeedfacedeadbeefabaddad2",
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e"
      "6393ba7a0a"
      "bcc9f662",
      "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static void test_gcm_nist(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof gcm_cases / sizeof gcm_cases[0]; i++) {
        const struct gcm_case *c = &gcm_cases[i];
        size_t n = strlen(c->plain) / 2, na = strlen(c->aad) / 2;
        /* in two pieces: they must count as one text */
        struct gd_field_bytes aad[2] = { { hex(c->aad), na / 2 }, { NULL, na - na / 2 } };
        unsigned char out[128], tag[16], back[128];

        aad[1].p = (const unsigned char *)aad[0].p + na / 2;
        gd_gcm_seal(out, tag, hex(c->key), hex(c->iv), aad, 2, hex(c->plain), n);
        assert_hex(tag, c->tag);
        if (n)
            assert_hex(out, c->cipher);
        assert_true(gd_gcm_open(back, hex(c->key), hex(c->iv), aad, 2, out, n, tag));
        if (n)
            assert_hex(back, c->plain);
        tag[i] ^= 1;
        assert_false(gd_gcm_open(back, hex(c->key), hex(c->iv), aad, 2, out, n, tag));
        for (size_t b = 0; b < n; b++)
            assert_int_equal(back[b], 0);
    }
}

static void test_ed25519_rfc8032(void **state)
{
    static const struct {
        const char *seed, *pub, *msg, *sig;
    } cases[] = {
        { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd2"
          "5bf5f0595bb"
          "e24655141438e7a100b" },
        { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c38"
          "7b2eaeb4302"
          "aeeb00d291612bb0c00" },
    };
    unsigned char pub[32], sig[64];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(cases[i].msg) / 2;

        gd_ed25519_public(pub, hex(cases[i].seed));
        assert_hex(pub, cases[i].pub);
        gd_ed25519_sign(sig, hex(cases[i].seed), hex(cases[i].msg), n);
        assert_hex(sig, cases[i].sig);
        assert_true(gd_ed25519_verify(pub, sig, hex(cases[i].msg), n));
        assert_false(gd_ed25519_verify(pub, sig, "x", 1));
        sig[63] ^= 0x40;
        assert_false(gd_ed25519_verify(pub, sig, hex(cases[i].msg), n));
    }
}

static void test_random(void **state)
{
    unsigned char seen[64][32];
    struct gd_rng *r = gd_rng_system();

    (void)state;
    for (int i = 0; i < 64; i++) {
        gd_rng_bytes(r, seen[i], 32);
        for (int k = 0; k < i; k++)
            assert_memory_not_equal(seen[i], seen[k], 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setup),          cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hasher),         cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hkdf_rfc5869),   cmocka_unit_test(test_hkdf_sha512_by_openssl),
        cmocka_unit_test(test_scrypt_rfc7914), cmocka_unit_test(test_scrypt_of_ours),
        cmocka_unit_test(test_gcm_nist),       cmocka_unit_test(test_ed25519_rfc8032),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
