/* test_keyring.c - where the key comes from, and the data keys below it. */
#include "kit.h"

#include "crypto/keyring.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96];
static const unsigned char salt[16] = "0123456789abcde";

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(dir, sizeof dir, "%.40s/gdkeyXXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/kek", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0); /* nothing else was left behind */
    return 0;
}

static void put(const void *p, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void refused(const struct gd_key_source *src, bool create, enum gd_reason reason)
{
    unsigned char kek[32] = { 9, 9, 9 };
    struct gd_err err = { 0 };
    bool created = true;

    assert_int_equal(gd_key_source_read(kek, src, salt, create, &created, &err), -1);
    assert_int_equal(err.reason, reason);
    assert_int_equal(kek[0], 9); /* nothing half done */
}

static void test_file(void **state)
{
    const struct gd_key_source src = { .file = path };
    unsigned char kek[32];
    bool created = true;

    (void)state;
    put("0123456789abcdef0123456789ABCDEF", 32, 0600);
    assert_int_equal(gd_key_source_read(kek, &src, salt, true, &created, NULL), 0);
    assert_memory_equal(kek, "0123456789abcdef0123456789ABCDEF", 32);
    assert_false(created);
    put("0123456789abcdef0123456789ABCDEF", 32, 0400);
    assert_int_equal(gd_key_source_read(kek, &src, salt, false, NULL, NULL), 0);
}

static void test_file_is_made_once(void **state)
{
    const struct gd_key_source src = { .file = path };
    unsigned char kek[32], again[32];
    struct stat st;
    bool created = false;

    (void)state;
    refused(&src, false, GD_R_KEY_MISSING);
    assert_int_equal(gd_key_source_read(kek, &src, salt, true, &created, NULL), 0);
    assert_true(created);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 32);
    assert_int_equal(gd_key_source_read(again, &src, salt, true, &created, NULL), 0);
    assert_false(created);
    assert_memory_equal(kek, again, 32);
}

static void test_file_others_may_read(void **state)
{
    static const mode_t modes[] = { 0640, 0604, 0660, 0620, 0644, 0777, 0610 };
    const struct gd_key_source src = { .file = path };

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put("0123456789abcdef0123456789ABCDEF", 32, modes[i]);
        refused(&src, true, GD_R_KEY_FILE_MODE);
    }
}

static void test_file_of_another_size(void **state)
{
    static const size_t sizes[] = { 0, 1, 31, 33, 64 };
    static const char text[64];
    const struct gd_key_source src = { .file = path };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put(text, sizes[i], 0600);
        refused(&src, true, GD_R_KEY_INVALID);
    }
}

static void test_file_is_no_file(void **state)
{
    const struct gd_key_source src = { .file = path }, folder = { .file = dir };

    (void)state;
    refused(&folder, true, GD_R_KEY_INVALID);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    refused(&src, true, GD_R_KEY_MISSING);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(&src, true, GD_R_KEY_INVALID); /* and does not wait for a writer */
}

static void test_credential(void **state)
{
    const struct gd_key_source src = { .credential = "kek" }, up = { .credential = "../kek" },
                               hidden = { .credential = ".." };
    unsigned char kek[32];

    (void)state;
    unsetenv("CREDENTIALS_DIRECTORY");
    refused(&src, false, GD_R_KEY_MISSING);
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    refused(&src, true, GD_R_KEY_MISSING); /* is never made by us */
    put("0123456789abcdef0123456789ABCDEF", 32, 0440);
    assert_int_equal(gd_key_source_read(kek, &src, salt, false, NULL, NULL), 0);
    assert_memory_equal(kek, "0123456789abcdef0123456789ABCDEF", 32);
    refused(&up, false, GD_R_KEY_INVALID);
    refused(&hidden, false, GD_R_KEY_INVALID);
    put("short", 5, 0400);
    refused(&src, false, GD_R_KEY_INVALID);
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void test_passphrase(void **state)
{
    const struct gd_key_source src = { .passphrase_file = path };
    unsigned char kek[32], same[32];

    (void)state;
    put("correct horse battery\nsecond line\n", 34, 0600);
    assert_int_equal(gd_key_source_read(kek, &src, salt, false, NULL, NULL), 0);
    assert_int_equal(gd_scrypt(same, "correct horse battery", 21, salt, 16, NULL), 0);
    assert_memory_equal(kek, same, 32);
    put("too short\n and more", 19, 0600);
    refused(&src, false, GD_R_KEY_INVALID);
    put("", 0, 0600);
    refused(&src, false, GD_R_KEY_INVALID);
    put("correct horse battery", 21, 0644);
    refused(&src, false, GD_R_KEY_FILE_MODE);
}

static void test_exactly_one(void **state)
{
    const struct gd_key_source none = { 0 }, two = { .file = path, .credential = "x" };

    (void)state;
    refused(&none, true, GD_R_KEY_INVALID);
    refused(&two, true, GD_R_KEY_INVALID);
}

/* ---- the ring
 * ------------------------------------------------------------------------------------------------------ */

static const unsigned char kek_a[32] = "a key of thirty-two bytes, no. 1",
                           kek_b[32] = "a key of thirty-two bytes, no. 2";

/* One that holds these KEKs, NULL for none, and uses the first. */
static struct gd_keyring *keyring_of(const unsigned char *first, const unsigned char *second)
{
    struct gd_keyring *k = gd_keyring_new();
    char id[GD_KEK_ID], more[GD_KEK_ID];

    assert_int_equal(gd_keyring_add_kek(k, first, "first", id, NULL), 0);
    if (second)
        assert_int_equal(gd_keyring_add_kek(k, second, "second", more, NULL), 0);
    assert_true(gd_keyring_use(k, id));
    return k;
}

static const char *id_of(const struct gd_keyring *k, size_t i)
{
    const char *source;

    return gd_keyring_kek(k, i, &source);
}

static void test_keks_have_names(void **state)
{
    struct gd_keyring *k = keyring_of(kek_a, kek_b);
    char id[GD_KEK_ID];
    const char *source;
    struct gd_err err = { 0 };

    (void)state;
    assert_string_equal(id_of(k, 0), "0e3d1d1cfff2b94a"); /* crosscheck.py has another opinion on how */
    assert_string_equal(gd_keyring_used(k), id_of(k, 0));
    assert_string_not_equal(id_of(k, 0), id_of(k, 1));
    assert_null(id_of(k, 2));
    assert_true(gd_keyring_holds(k, id_of(k, 1)));
    assert_false(gd_keyring_holds(k, "0011223344556677"));
    assert_false(gd_keyring_use(k, "0011223344556677"));
    assert_string_equal(gd_keyring_used(k), id_of(k, 0));
    assert_int_equal(gd_keyring_add_kek(k, kek_a, "elsewhere", id, NULL), 0); /* the same one */
    assert_string_equal(gd_keyring_kek(k, 0, &source), id);
    assert_string_equal(source, "elsewhere");
    assert_null(id_of(k, 2));
    for (unsigned char i = 2; i < GD_KEKS_MAX; i++) {
        const unsigned char more[32] = { i };

        assert_int_equal(gd_keyring_add_kek(k, more, "more", id, NULL), 0);
    }
    assert_int_equal(gd_keyring_add_kek(k, (const unsigned char[32]){ 99 }, "too many", id, &err), -1);
    assert_int_equal(err.reason, GD_R_KEY_INVALID);
    gd_keyring_free(k);
    gd_keyring_free(NULL);
}

/* Everything but the wrapping derives from the root, which stays what it is under another KEK. */
static void test_derived_keys(void **state)
{
    static const char *const purposes[] = { "audit", "audit-hash", "lookup", "cookie" };
    struct gd_keyring *a = keyring_of(kek_a, NULL), *b = keyring_of(kek_b, kek_a),
                      *c = keyring_of(kek_a, NULL);
    unsigned char out[4][32], other[32], root[GD_WRAPPED_KEY], again[GD_WRAPPED_KEY];

    (void)state;
    gd_keyring_make_root(a, root, gd_rng_system());
    assert_int_equal(gd_keyring_open_root(b, root, NULL), 0);
    gd_keyring_make_root(c, again, gd_rng_system());
    assert_memory_not_equal(gd_wrapped_id(root), gd_wrapped_id(again), 16);
    for (size_t i = 0; i < 4; i++) {
        gd_keyring_derive(a, purposes[i], out[i]);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(out[i], out[j], 32);
        gd_keyring_derive(b, purposes[i], other);
        assert_memory_equal(out[i], other, 32);
        gd_keyring_derive(c, purposes[i], other);
        assert_memory_not_equal(out[i], other, 32);
    }
    gd_keyring_wrap_root(b, again, gd_rng_system()); /* now by the other one */
    assert_memory_equal(gd_wrapped_id(root), gd_wrapped_id(again), 16);
    assert_int_equal(gd_keyring_open_root(a, again, NULL), -1);
    gd_keyring_derive(a, purposes[0], other); /* and keeps what it had */
    assert_memory_equal(out[0], other, 32);
    gd_keyring_lookup(a, "link", "secret", 6, out[0]);
    gd_keyring_lookup(a, "state", "secret", 6, out[1]);
    gd_keyring_lookup(b, "link", "secret", 6, out[2]);
    assert_memory_not_equal(out[0], out[1], 32);
    assert_memory_equal(out[0], out[2], 32);
    gd_keyring_free(a);
    gd_keyring_free(b);
    gd_keyring_free(c);
}

static void test_data_keys_come_back(void **state)
{
    struct gd_keyring *k = keyring_of(kek_a, NULL), *later = keyring_of(kek_a, NULL);
    unsigned char w1[GD_WRAPPED_KEY], w2[GD_WRAPPED_KEY];
    const struct gd_dek *d1 = gd_keyring_make_dek(k, "main", "cl1", w1, gd_rng_system());
    const struct gd_dek *d2 = gd_keyring_make_dek(k, "main", "cl2", w2, gd_rng_system()), *back;

    (void)state;
    assert_memory_not_equal(d1->key, d2->key, 32);
    assert_memory_not_equal(d1->id, d2->id, 16);
    assert_ptr_equal(gd_keyring_dek(k, "main", "cl1"), d1);
    assert_ptr_equal(gd_keyring_dek(k, "main", "cl2"), d2);
    assert_null(gd_keyring_dek(k, "other", "cl1"));
    assert_null(gd_keyring_dek(later, "main", "cl1"));
    back = gd_keyring_add_dek(later, "main", "cl1", w1, NULL);
    assert_non_null(back);
    assert_memory_equal(back, d1, sizeof *d1);
    gd_keyring_forget(later, "main", "cl1");
    assert_null(gd_keyring_dek(later, "main", "cl1"));
    gd_keyring_forget(later, "main", "cl1");
    gd_keyring_free(k);
    gd_keyring_free(later);
}

static void test_wrapped_anew(void **state)
{
    struct gd_keyring *old = keyring_of(kek_a, NULL), *both = keyring_of(kek_b, kek_a),
                      *new = keyring_of(kek_b, NULL);
    unsigned char w[GD_WRAPPED_KEY], w2[GD_WRAPPED_KEY] = { 9, 9 };
    const struct gd_dek *dek = gd_keyring_make_dek(old, "main", "cl1", w, gd_rng_system()), *back;
    char id[GD_KEK_ID];
    struct gd_err err = { 0 };

    (void)state;
    assert_int_equal(gd_keyring_rewrap(new, "main", "cl1", w, w2, gd_rng_system(), &err), -1);
    assert_int_equal(err.reason, GD_R_KEY_WRONG);
    assert_int_equal(gd_keyring_rewrap(both, "main", "cl2", w, w2, gd_rng_system(), &err), -1);
    assert_int_equal(err.reason, GD_R_SEAL_TAMPERED);
    assert_int_equal(w2[0], 9); /* nothing half done */
    assert_int_equal(gd_keyring_rewrap(both, "main", "cl1", w, w2, gd_rng_system(), NULL), 0);
    assert_null(gd_keyring_dek(both, "main", "cl1")); /* it looked at it only */
    assert_true(gd_wrapped_by(id, w2));
    assert_string_equal(id, id_of(new, 0));
    assert_null(gd_keyring_add_dek(old, "main", "cl1", w2, &err));
    assert_int_equal(err.reason, GD_R_KEY_WRONG);
    back = gd_keyring_add_dek(new, "main", "cl1", w2, NULL);
    assert_non_null(back);
    assert_memory_equal(back, dek, sizeof *dek);
    assert_false(gd_keyring_wrap(new, "main", "cl2", w, gd_rng_system()));
    assert_true(gd_keyring_wrap(new, "main", "cl1", w, gd_rng_system()));
    assert_memory_not_equal(w, w2, sizeof w);
    back = gd_keyring_add_dek(both, "main", "cl1", w, NULL);
    assert_non_null(back);
    assert_memory_equal(back, dek, sizeof *dek);
    gd_keyring_free(old);
    gd_keyring_free(both);
    gd_keyring_free(new);
}

/* Wrapped by a KEK of bytes 0 to 31: it opens as long as the form stays what it is. */
static void test_frozen(void **state)
{
    static const char hex[] =
        "474b0101346307b33660900c6465666768696a6b6c6d6e6f70717273c8c9cacbcccdcecfd0d1d2d3"
        "d4d5d6d7d8d9dadbdcdddedf14f6cda1d75b73e9890bb28ccd46b1eb12da60c278627080dfa8a379"
        "ba47e7c1a986a764c9c20c6ebeefff8500e13917",
                      key[] = "32333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f5051";
    unsigned char kek[32], w[GD_WRAPPED_KEY], want[32];
    struct gd_keyring *k;
    const struct gd_dek *dek;

    (void)state;
    for (unsigned char i = 0; i < 32; i++)
        kek[i] = i;
    k = keyring_of(kek, NULL);
    assert_int_equal(gd_hex_decode(w, sizeof w, hex, strlen(hex)), sizeof w);
    assert_int_equal(gd_hex_decode(want, sizeof want, key, strlen(key)), sizeof want);
    dek = gd_keyring_add_dek(k, "main", "cl1", w, NULL);
    assert_non_null(dek);
    assert_memory_equal(dek->key, want, 32);
    gd_keyring_free(k);
}

static void unwrap_refused(struct gd_keyring *k, const char *workspace, const char *client,
                           const unsigned char *w, enum gd_reason reason)
{
    struct gd_err err = { 0 };

    assert_null(gd_keyring_add_dek(k, workspace, client, w, &err));
    assert_int_equal(err.reason, reason);
    assert_null(gd_keyring_dek(k, workspace, client));
}

static void test_wrapped_keys_are_bound(void **state)
{
    struct gd_keyring *k = keyring_of(kek_a, NULL), *b = keyring_of(kek_b, NULL);
    unsigned char w[GD_WRAPPED_KEY], root[GD_WRAPPED_KEY];
    struct gd_err err = { 0 };

    (void)state;
    gd_keyring_make_dek(k, "main", "cl1", w, gd_rng_system());
    gd_keyring_forget(k, "main", "cl1");
    unwrap_refused(k, "main", "cl2", w, GD_R_SEAL_TAMPERED);
    unwrap_refused(k, "mainc", "l1", w, GD_R_SEAL_TAMPERED);
    unwrap_refused(b, "main", "cl1", w, GD_R_KEY_WRONG);
    for (size_t i = 0; i < sizeof w; i++) {
        w[i] ^= 4;
        unwrap_refused(k, "main", "cl1", w, i >= 4 && i < 12 ? GD_R_KEY_WRONG : GD_R_SEAL_TAMPERED);
        w[i] ^= 4;
    }
    assert_int_equal(gd_keyring_open_root(k, w, &err), -1); /* a client's key is no root, and no root a key */
    assert_int_equal(err.reason, GD_R_SEAL_TAMPERED);
    gd_keyring_make_root(k, root, gd_rng_system());
    unwrap_refused(k, "", "", root, GD_R_SEAL_TAMPERED);
    assert_non_null(gd_keyring_add_dek(k, "main", "cl1", w, NULL));
    gd_keyring_free(k);
    gd_keyring_free(b);
}

/* More clients than the secure heap has room for. */
static void test_many_clients(void **state)
{
    struct gd_keyring *k = keyring_of(kek_a, NULL);
    unsigned char w[GD_WRAPPED_KEY];
    char name[24];

    (void)state;
    for (int i = 0; i < 70000; i++) {
        (void)snprintf(name, sizeof name, "cl%d", i);
        assert_non_null(gd_keyring_make_dek(k, "main", name, w, gd_rng_system()));
    }
    assert_memory_equal(gd_keyring_dek(k, "main", name)->id, gd_wrapped_id(w), 16);
    gd_keyring_forget(k, "main", name);
    assert_null(gd_keyring_dek(k, "main", name));
    assert_non_null(gd_keyring_dek(k, "main", "cl0"));
    gd_keyring_free(k);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_file),
        T(test_file_is_made_once),
        T(test_file_others_may_read),
        T(test_file_of_another_size),
        T(test_file_is_no_file),
        T(test_credential),
        T(test_passphrase),
        T(test_exactly_one),
        cmocka_unit_test(test_keks_have_names),
        cmocka_unit_test(test_derived_keys),
        cmocka_unit_test(test_data_keys_come_back),
        cmocka_unit_test(test_wrapped_anew),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_wrapped_keys_are_bound),
        cmocka_unit_test(test_many_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
