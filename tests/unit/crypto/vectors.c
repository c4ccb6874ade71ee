/* vectors.c - the partner of crosscheck.py. `vectors make` prints records as JSON lines that the script opens
 * with code of its own; `vectors open` reads such lines, sealed by the script, and prints the plain text in
 * hex or the reason word. */
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto_int.h"
#include "crypto/keyring.h"

#include <stdio.h>
#include <string.h>

static void add_hex(json_t *o, const char *key, const void *p, size_t n)
{
    char *text = gd_new(2 * n + 1);

    gd_hex(text, p, n);
    json_object_set_new(o, key, json_string(text));
    gd_free(text);
}

static void print(json_t *o)
{
    char *text = gd_json_dump(o);

    (void)puts(text);
    gd_free(text);
    json_decref(o);
}

static json_t *name_of(const struct gd_seal_name *n)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:I}", "workspace", n->workspace, "client", n->client,
                     "owner", n->owner, "gen", (json_int_t)n->gen, "attempt", n->attempt, "column", n->column,
                     "created_at", (json_int_t)n->created_at);
}

static void make_record(struct gd_rng *rng, int i)
{
    const struct gd_seal_name name = { .workspace = i % 2 ? "main" : "w\xc3\xb6rk",
                                       .client = "cl01",
                                       .owner = "cr01",
                                       .gen = i % 5 == 0 ? -1 : (int64_t)1 << (i % 63),
                                       .attempt = i % 3 ? "at01" : "",
                                       .column = "refresh",
                                       .created_at = 1790000000000 + i };
    unsigned char plain[512], rec[512 + GD_SEAL_OVERHEAD];
    size_t n = (size_t)gd_rng_below(rng, sizeof plain);
    struct gd_dek dek;
    json_t *o = json_pack("{s:s, s:o}", "kind", "record", "name", name_of(&name));

    gd_rng_bytes(rng, &dek, sizeof dek);
    gd_rng_bytes(rng, plain, n);
    n = gd_seal(rec, &dek, &name, plain, n, rng);
    add_hex(o, "dek_id", dek.id, 16);
    add_hex(o, "dek", dek.key, 32);
    add_hex(o, "plain", plain, n - GD_SEAL_OVERHEAD);
    add_hex(o, "record", rec, n);
    print(o);
}

static void make_wrapped(struct gd_rng *rng)
{
    unsigned char kek[32], old[32], wrapped[GD_WRAPPED_KEY], root[GD_WRAPPED_KEY], again[GD_WRAPPED_KEY],
        derived[32];
    json_t *o = json_pack("{s:s, s:s, s:s}", "kind", "wrapped", "workspace", "main", "client", "cl01");
    char id[GD_KEK_ID], old_id[GD_KEK_ID];
    const struct gd_dek *dek;
    struct gd_keyring *k;

    gd_rng_bytes(rng, kek, sizeof kek);
    gd_rng_bytes(rng, old, sizeof old);
    k = gd_keyring_new();
    if (gd_keyring_add_kek(k, old, "old", old_id, NULL) || gd_keyring_add_kek(k, kek, "new", id, NULL))
        return;
    (void)gd_keyring_use(k, old_id);
    gd_keyring_make_root(k, root, rng);
    dek = gd_keyring_make_dek(k, "main", "cl01", wrapped, rng);
    (void)gd_keyring_use(k, id);
    if (gd_keyring_rewrap(k, "main", "cl01", wrapped, again, rng, NULL))
        return;
    add_hex(o, "old", old, 32);
    json_object_set_new(o, "old_id", json_string(old_id));
    add_hex(o, "kek", kek, 32);
    json_object_set_new(o, "kek_id", json_string(id));
    add_hex(o, "root", root, sizeof root);
    add_hex(o, "again", again, sizeof again);
    add_hex(o, "wrapped", wrapped, sizeof wrapped);
    add_hex(o, "dek_id", dek->id, 16);
    add_hex(o, "dek", dek->key, 32);
    gd_keyring_derive(k, "audit", derived);
    add_hex(o, "audit", derived, 32);
    gd_keyring_lookup(k, "link", "secret", 6, derived);
    add_hex(o, "lookup", derived, 32);
    gd_keyring_free(k);
    print(o);
}

static void make(void)
{
    struct gd_rng *rng = gd_rng_system();

    for (int i = 0; i < 50; i++)
        make_record(rng, i);
    for (int i = 0; i < 10; i++)
        make_wrapped(rng);
}

static size_t from_hex(const json_t *o, const char *key, void *out, size_t cap)
{
    const char *text = gd_json_text(o, key, "");
    long n = gd_hex_decode(out, cap, text, strlen(text));

    return n < 0 ? 0 : (size_t)n;
}

static void open_one(const json_t *o)
{
    const json_t *j = json_object_get(o, "name");
    const struct gd_seal_name name = { .workspace = gd_json_text(j, "workspace", NULL),
                                       .client = gd_json_text(j, "client", NULL),
                                       .owner = gd_json_text(j, "owner", NULL),
                                       .gen = gd_json_i64(j, "gen", 0),
                                       .attempt = gd_json_text(j, "attempt", NULL),
                                       .column = gd_json_text(j, "column", NULL),
                                       .created_at = gd_json_i64(j, "created_at", 0) };
    unsigned char rec[1024], plain[1024];
    char text[2049];
    struct gd_dek dek;
    struct gd_err err;
    size_t n = from_hex(o, "record", rec, sizeof rec);
    long len;

    (void)from_hex(o, "dek_id", dek.id, 16);
    (void)from_hex(o, "dek", dek.key, 32);
    len = gd_seal_open(plain, &dek, &name, rec, n, &err);
    if (len < 0) {
        (void)puts(gd_reason_word(err.reason));
        return;
    }
    gd_hex(text, plain, (size_t)len);
    (void)printf("=%s\n", text);
}

int main(int argc, char **argv)
{
    static char line[8192];

    if (argc == 2 && !strcmp(argv[1], "make")) {
        make();
        return 0;
    }
    while (argc == 2 && !strcmp(argv[1], "open") && fgets(line, sizeof line, stdin)) {
        json_t *o = gd_json_parse(line, strlen(line), sizeof line, NULL);

        if (!o)
            return 2;
        open_one(o);
        json_decref(o);
    }
    return 0;
}
