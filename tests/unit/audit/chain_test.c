/* Known answers: the tree of RFC 6962 (its 8 test leaves), notes, and the form of lines. */
#include "audit/chain.h"
#include "audit/note.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Leaves and roots of the certificate-transparency project's Merkle tree tests. */
static void the_tree_is_that_of_rfc_6962(void **state)
{
    static const char *const leaves[] = {
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"
    };
    static const char *const roots[] = { "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                         "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                         "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                         "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                         "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                         "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                         "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" };
    struct chain c = { 0 };
    unsigned char root[32];
    char hex[65];

    (void)state;
    gd_chain_root(&c, root);
    gd_hex(hex, root, 32);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < 8; i++) {
        unsigned char leaf[33] = { 0 }, hash[32];
        long n = gd_hex_decode(leaf + 1, 32, leaves[i], strlen(leaves[i]));
        GD_AUTO_JSON nodes = NULL;
        struct chain again = { 0 };

        gd_sha256(hash, leaf, (size_t)n + 1);
        gd_chain_push(&c, hash);
        gd_chain_root(&c, root);
        gd_hex(hex, root, 32);
        assert_string_equal(hex, roots[i]);
        /* and once more from its nodes */
        nodes = gd_chain_nodes_json(&c);
        again.seq = c.seq;
        assert_true(gd_chain_nodes_parse(&again, nodes));
        gd_chain_root(&again, root);
        gd_hex(hex, root, 32);
        assert_string_equal(hex, roots[i]);
        again.seq++;
        json_array_append_new(nodes, json_string("00"));
        assert_false(gd_chain_nodes_parse(&again, nodes));
    }
}

/* The key of the Go project's sumdb/note tests (and of the specification's example): the name and key hash
 * are theirs. */
static void a_verifier_key_is_read_as_others_read_it(void **state)
{
    static const char key[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    char origin[201], text[GD_NOTE_MAX];
    unsigned char pub[32];

    (void)state;
    assert_true(gd_note_key_parse(key, origin, pub));
    assert_string_equal(origin, "PeterNeumann");
    gd_note_key(text, origin, pub);
    assert_string_equal(text, key);
    assert_false(
        gd_note_key_parse("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", origin, pub));
    assert_false(
        gd_note_key_parse("PeterNeumann+c74f20a3+AhpcpQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", origin, pub));
    assert_false(gd_note_key_parse("", origin, pub));
    assert_false(gd_note_key_parse(NULL, origin, pub));
    assert_false(gd_note_key_parse("+c74f20a3+ARpc", origin, pub));
}

static void a_note_is_checked_to_the_last_byte(void **state)
{
    unsigned char seed[32] = { 1 }, root[32] = { 2 }, pub[32], got[32], other[32] = { 0 };
    char note[GD_NOTE_MAX], copy[GD_NOTE_MAX + 1];
    int64_t size = 0;
    size_t n;

    (void)state;
    gd_ed25519_public(pub, seed);
    gd_note_make(note, "grantd/nd1", 12345, root, seed);
    assert_memory_equal(note, "grantd/nd1\n12345\nAgAAAAAA", 25);
    assert_true(gd_note_check(note, "grantd/nd1", pub, &size, got));
    assert_int_equal(size, 12345);
    assert_memory_equal(got, root, 32);
    assert_false(gd_note_check(note, "grantd/nd2", pub, &size, got));
    assert_false(gd_note_check(note, "grantd/nd1", other, &size, got));
    n = strlen(note);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, note, n + 1);
            copy[i] = (char)(copy[i] ^ (1 << bit));
            assert_false(gd_note_check(copy, "grantd/nd1", pub, &size, got));
        }
    for (size_t i = 0; i < n; i++) {
        memcpy(copy, note, n + 1);
        copy[i] = '\0';
        assert_false(gd_note_check(copy, "grantd/nd1", pub, &size, got));
    }
    (void)snprintf(copy, sizeof copy, "%s\n", note);
    assert_false(gd_note_check(copy, "grantd/nd1", pub, &size, got));
}

/* The hash of a line can be found again with a shell: (printf '\0'; sed 's/,"hash":"[^"]*"}$/}/') |
 * sha256sum. */
static void a_line_carries_the_hash_of_itself(void **state)
{
    struct chain c = { 0 }, again = { 0 };
    unsigned char hash[32];
    struct gd_buf out;
    char hex[65], *line, *at;
    size_t n;

    (void)state;
    gd_buf_init(&out, 65536);
    gd_chain_add(&c, &out, "\"act\":\"a\"");
    assert_memory_equal(out.ptr, "{\"seq\":1,\"act\":\"a\",\"prev\":\"0000000000", 37);
    line = gd_strf("%c%s", 'x', out.ptr);
    n = strlen(line + 1) - 1;
    line[1 + n] = '\0';
    at = strstr(line, ",\"hash\":\"");
    {
        GD_AUTO_FREE char *record = gd_strf("%c%.*s}", 'x', (int)(at - line - 1), line + 1);

        record[0] = '\0';
        gd_sha256(hash, record, (size_t)(at - line - 1) + 2);
        gd_hex(hex, hash, 32);
        assert_memory_equal(at + 9, hex, 64);
    }
    assert_null(gd_chain_take(&again, line + 1, n));
    assert_memory_equal(&again, &c, sizeof c);
    assert_int_equal(line[0], 'x'); /* whole again */
    assert_string_equal(gd_chain_take(&again, line + 1, n), "sequence");
    gd_free(line);
    gd_buf_done(&out);
}

static void short_and_odd_lines_are_refused(void **state)
{
    static const char *const lines[] = { "",
                                         "{",
                                         "{}",
                                         "{\"seq\":1,",
                                         "{\"seq\":1}",
                                         "{\"seq\":0,\"prev\":\"\"}",
                                         "\"hash\":\"",
                                         "{\"seq\":99999999999999999999999," };
    struct chain c = { 0 };
    char line[256];

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        (void)snprintf(line, sizeof line, "\n%s", lines[i]);
        assert_string_equal(gd_chain_take(&c, line + 1, strlen(line + 1)), "not the form of a record");
        assert_false(gd_line_is(line + 1, strlen(line + 1), "audit.begin"));
    }
    assert_int_equal(c.seq, 0);
}

static void acts_are_not_found_inside_data(void **state)
{
    static const char good[] =
        "{\"seq\":7,\"time\":\"t\",\"boot\":\"b\",\"act\":\"audit.checkpoint\",\"x\":1}";
    static const char fake[] =
        "{\"seq\":7,\"time\":\"t\",\"boot\":\"b\",\"act\":\"a\",\"data\":{\"act\":\"audit.checkpoint\"}}";

    (void)state;
    assert_true(gd_line_is(good, strlen(good), "audit.checkpoint"));
    assert_false(gd_line_is(good, strlen(good), "audit.check"));
    assert_false(gd_line_is(good, strlen(good), "audit.checkpoint2"));
    assert_false(gd_line_is(fake, strlen(fake), "audit.checkpoint"));
    for (size_t n = 0; n < sizeof good - 10; n++)
        (void)gd_line_is(good, n, "audit.checkpoint");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_is_that_of_rfc_6962),
        cmocka_unit_test(a_verifier_key_is_read_as_others_read_it),
        cmocka_unit_test(a_note_is_checked_to_the_last_byte),
        cmocka_unit_test(a_line_carries_the_hash_of_itself),
        cmocka_unit_test(short_and_odd_lines_are_refused),
        cmocka_unit_test(acts_are_not_found_inside_data),
    };

    gd_json_setup();
    if (gd_crypto_setup(NULL) != 0)
        return 1;
    return cmocka_run_group_tests_name("audit chain", tests, NULL, NULL);
}
