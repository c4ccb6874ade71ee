/* test_trouble.c - a random source that gives nothing or repeats itself, and memory that is not there.
 * OpenSSL's functions are exchanged by the linker (--wrap). */
#include "kit.h"

#include <openssl/rand.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static enum { FINE, SILENT, STUCK } source;
static bool no_memory;

int __real_RAND_priv_bytes_ex(OSSL_LIB_CTX *ctx, unsigned char *out, size_t n, unsigned strength);
int __wrap_RAND_priv_bytes_ex(OSSL_LIB_CTX *ctx, unsigned char *out, size_t n, unsigned strength);
int __real_EVP_KDF_derive(EVP_KDF_CTX *c, unsigned char *out, size_t n, const OSSL_PARAM params[]);
int __wrap_EVP_KDF_derive(EVP_KDF_CTX *c, unsigned char *out, size_t n, const OSSL_PARAM params[]);

int __wrap_RAND_priv_bytes_ex(OSSL_LIB_CTX *ctx, unsigned char *out, size_t n, unsigned strength)
{
    if (source == SILENT)
        return 0;
    if (source == FINE)
        return __real_RAND_priv_bytes_ex(ctx, out, n, strength);
    memset(out, 7, n);
    return 1;
}

int __wrap_EVP_KDF_derive(EVP_KDF_CTX *c, unsigned char *out, size_t n, const OSSL_PARAM params[])
{
    return no_memory ? 0 : __real_EVP_KDF_derive(c, out, n, params);
}

static void a_source_that_is_not_healthy(void **state)
{
    struct gd_err err = { 0 };

    (void)state;
    for (source = SILENT; source <= STUCK; source++) {
        assert_int_equal(gd_crypto_setup(&err), -1);
        assert_string_equal(gd_reason_word(err.reason), "RNG_FAIL");
    }
    source = FINE;
    assert_int_equal(gd_crypto_setup(&err), 0);
}

/* Found later, it ends the process: no key, id or salt is made of what may be known. */
static void a_source_that_falls_ill(void **state)
{
    static const struct rlimit no_core = { 0, 0 };
    unsigned char out[32];
    int status = 0;
    pid_t child;

    (void)state;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL);
        source = STUCK;
        gd_rng_bytes(gd_rng_system(), out, sizeof out);
        gd_rng_bytes(gd_rng_system(), out, sizeof out);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void no_room_for_a_passphrase(void **state)
{
    unsigned char out[32], before[32];
    struct gd_err err = { 0 };

    (void)state;
    memset(out, 5, sizeof out);
    memset(before, 5, sizeof before);
    no_memory = true;
    assert_int_equal(gd_scrypt(out, "correct horse battery", 21, "0123456789abcdef", 16, &err), -1);
    assert_string_equal(gd_reason_word(err.reason), "NO_MEMORY");
    assert_memory_equal(out, before, sizeof out);
    no_memory = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_that_is_not_healthy),
        cmocka_unit_test(a_source_that_falls_ill),
        cmocka_unit_test(no_room_for_a_passphrase),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
