/* crypto/keyring.c - key-encryption keys, the root with everything that is derived from it, and the data keys
 * of clients. Opened keys lie in the secure heap while there is room in it. */
#include "crypto/keyring.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto_int.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* A wrapped key: "GK" | ver=1 | alg=1 | kek_id(8) | id(16) | salt(24) | key(32) | tag(16) */
enum { AT_KEK = 4, AT_ID = 12, AT_SALT = 28, AT_KEY = 52, AT_TAG = 84 };
_Static_assert(AT_TAG + 16 == GD_WRAPPED_KEY, "the layout fills the record");

struct kek {
    unsigned char wrap[32]; /* what it is used for; nothing else of it is kept */
    unsigned char id[8];
    char name[GD_KEK_ID], *source;
};
struct gd_keyring {
    struct kek *keks[GD_KEKS_MAX]; /* secure heap */
    size_t nkeks;
    const struct kek *used;
    struct gd_dek *root; /* secure heap */
    struct gd_map deks;  /* "workspace\nclient" -> struct gd_dek, secure heap */
};

/* Where the secure heap is full (some 60,000 clients) the ordinary one serves; what frees them knows which is
 * which, and wipes both. */
static void *secure_new(size_t n)
{
    void *p = OPENSSL_secure_zalloc(n);

    if (!p)
        p = OPENSSL_zalloc(n);
    gd_must(p != NULL, "memory for keys");
    return p;
}

static void free_dek(void *p)
{
    OPENSSL_secure_clear_free(p, sizeof(struct gd_dek));
}

struct gd_keyring *gd_keyring_new(void)
{
    (void)gd_algs(); /* sets the secure heap up */
    return gd_new(sizeof(struct gd_keyring));
}

void gd_keyring_free(struct gd_keyring *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->nkeks; i++) {
        gd_free(k->keks[i]->source);
        OPENSSL_secure_clear_free(k->keks[i], sizeof *k->keks[i]);
    }
    gd_map_done(&k->deks, free_dek);
    free_dek(k->root);
    gd_free(k);
}

/* ---- KEKs ---- */

static struct kek *find_kek(const struct gd_keyring *k, const unsigned char id[8])
{
    for (size_t i = 0; i < k->nkeks; i++)
        if (memcmp(k->keks[i]->id, id, sizeof k->keks[i]->id) == 0) /* check:allow no secret */
            return k->keks[i];
    return NULL;
}

static struct kek *find_name(const struct gd_keyring *k, const char *id)
{
    for (size_t i = 0; i < k->nkeks; i++)
        if (!strcmp(k->keks[i]->name, id))
            return k->keks[i];
    return NULL;
}

int gd_keyring_add_kek(struct gd_keyring *k, const unsigned char kek[32], const char *source, char *ret_id,
                       struct gd_err *err)
{
    static const char wrap[] = "grantd/wrap/v1", name[] = "grantd/kek-id/v1";
    unsigned char id[8];
    struct kek *e;

    gd_hkdf(id, sizeof id, "SHA256", kek, 32, NULL, 0, name, sizeof name - 1);
    e = find_kek(k, id);
    if (!e && k->nkeks == GD_KEKS_MAX)
        return gd_err_set(err, GD_R_KEY_INVALID, "%d keys are held already; start the daemon anew",
                          GD_KEKS_MAX);
    if (!e) {
        e = secure_new(sizeof *e);
        memcpy(e->id, id, sizeof id);
        gd_hex(e->name, id, sizeof id);
        gd_hkdf(e->wrap, sizeof e->wrap, "SHA256", kek, 32, NULL, 0, wrap, sizeof wrap - 1);
        k->keks[k->nkeks++] = e;
    }
    gd_free(e->source);
    e->source = gd_strdup(source);
    memcpy(ret_id, e->name, GD_KEK_ID);
    return 0;
}

bool gd_keyring_holds(const struct gd_keyring *k, const char *id)
{
    return find_name(k, id) != NULL;
}

bool gd_keyring_use(struct gd_keyring *k, const char *id)
{
    const struct kek *e = find_name(k, id);

    if (e)
        k->used = e;
    return e != NULL;
}

const char *gd_keyring_used(const struct gd_keyring *k)
{
    return k->used ? k->used->name : "";
}

const char *gd_keyring_kek(const struct gd_keyring *k, size_t i, const char **ret_source)
{
    if (i >= k->nkeks)
        return NULL;
    *ret_source = k->keks[i]->source;
    return k->keks[i]->name;
}

static bool is_wrapped(const unsigned char *w)
{
    return w[0] == 'G' && w[1] == 'K' && w[2] == 1 && w[3] == 1;
}

bool gd_wrapped_by(char id[GD_KEK_ID], const unsigned char wrapped[GD_WRAPPED_KEY])
{
    if (is_wrapped(wrapped))
        gd_hex(id, wrapped + AT_KEK, 8);
    return is_wrapped(wrapped);
}

const unsigned char *gd_wrapped_id(const unsigned char wrapped[GD_WRAPPED_KEY])
{
    return wrapped + AT_ID;
}

/* ---- what derives from the root ---- */

void gd_keyring_derive(const struct gd_keyring *k, const char *purpose, unsigned char out[32])
{
    char info[64];
    int n = snprintf(info, sizeof info, "grantd/%s/v1", purpose);

    gd_must(k->root && n > 0 && (size_t)n < sizeof info, "name of a derived key");
    gd_hkdf(out, 32, "SHA256", k->root->key, 32, NULL, 0, info, (size_t)n);
}

void gd_keyring_lookup(const struct gd_keyring *k, const char *what, const void *p, size_t n,
                       unsigned char out[32])
{
    unsigned char key[32], sub[32];

    gd_keyring_derive(k, "lookup", key);
    gd_hmac_sha256(sub, key, sizeof key, what,
                   strlen(what)); /* a key for each kind: no value of one fits another */
    gd_hmac_sha256(out, sub, sizeof sub, p, n);
    gd_wipe(key, sizeof key);
    gd_wipe(sub, sizeof sub);
}

/* ---- wrapping ---- */

struct wrapping {
    unsigned char key[32], iv[12];
};

static void derive_wrapping(const struct kek *e, const unsigned char *wrapped, struct wrapping *ret)
{
    unsigned char info[13 + 1 + 16];

    memcpy(info, "grantd/dek/v1", 13);
    info[13] = wrapped[3];
    memcpy(info + 14, wrapped + AT_ID, 16);
    gd_hkdf(ret, sizeof *ret, "SHA512", e->wrap, 32, wrapped + AT_SALT, 24, info, sizeof info);
}

static void bind_key(struct gd_aad *a, const char *workspace, const char *client,
                     const unsigned char *wrapped)
{
    a->n = 0;
    gd_aad_text(a, workspace ? "grantd.dek" : "grantd.root");
    gd_aad_text(a, workspace);
    gd_aad_text(a, client);
    gd_aad_bytes(a, wrapped + AT_ID, 16);
    gd_aad_bytes(a, wrapped + AT_KEK, 8);
    gd_aad_text(a, "active");
}

static void wrap(const struct kek *e, const char *workspace, const char *client, const struct gd_dek *key,
                 unsigned char wrapped[GD_WRAPPED_KEY], struct gd_rng *rng)
{
    struct wrapping w;
    struct gd_aad aad;

    gd_must(e != NULL, "a key that wraps");
    memcpy(wrapped, "GK\1\1", 4);
    memcpy(wrapped + AT_KEK, e->id, 8);
    memcpy(wrapped + AT_ID, key->id, 16);
    gd_rng_bytes(rng, wrapped + AT_SALT, 24);
    derive_wrapping(e, wrapped, &w);
    bind_key(&aad, workspace, client, wrapped);
    gd_gcm_seal(wrapped + AT_KEY, wrapped + AT_TAG, w.key, w.iv, aad.fields, 2 * aad.n, key->key, 32);
    gd_wipe(&w, sizeof w);
}

static struct gd_dek *unwrap(const struct gd_keyring *k, const char *workspace, const char *client,
                             const unsigned char wrapped[GD_WRAPPED_KEY], struct gd_err *err)
{
    const struct kek *e = find_kek(k, wrapped + AT_KEK);
    struct gd_dek *key;
    char id[GD_KEK_ID];
    struct wrapping w;
    struct gd_aad aad;
    bool ok;

    if (!gd_wrapped_by(id, wrapped)) {
        gd_err_set(err, GD_R_SEAL_TAMPERED, "the wrapped key is of no known form");
        return NULL;
    }
    if (!e) {
        gd_err_set(err, GD_R_KEY_WRONG, "it is wrapped by key %s, which is not here", id);
        return NULL;
    }
    key = secure_new(sizeof *key);
    memcpy(key->id, wrapped + AT_ID, 16);
    derive_wrapping(e, wrapped, &w);
    bind_key(&aad, workspace, client, wrapped);
    ok = gd_gcm_open(key->key, w.key, w.iv, aad.fields, 2 * aad.n, wrapped + AT_KEY, 32, wrapped + AT_TAG);
    gd_wipe(&w, sizeof w);
    if (ok)
        return key;
    free_dek(key);
    gd_err_set(err, GD_R_SEAL_TAMPERED, "the wrapped key was changed, or belongs to another client or key");
    return NULL;
}

int gd_keyring_rewrap(const struct gd_keyring *k, const char *workspace, const char *client,
                      const unsigned char wrapped[GD_WRAPPED_KEY], unsigned char ret[GD_WRAPPED_KEY],
                      struct gd_rng *rng, struct gd_err *err)
{
    struct gd_dek *key = unwrap(k, workspace, client, wrapped, err);

    if (!key)
        return -1;
    wrap(k->used, workspace, client, key, ret, rng);
    free_dek(key);
    return 0;
}

/* ---- the root, and the data keys ---- */

static struct gd_dek *make_key(struct gd_rng *rng)
{
    struct gd_dek *key = secure_new(sizeof *key);

    gd_rng_bytes(rng, key->id, sizeof key->id);
    gd_rng_bytes(rng, key->key, sizeof key->key);
    return key;
}

void gd_keyring_make_root(struct gd_keyring *k, unsigned char wrapped[GD_WRAPPED_KEY], struct gd_rng *rng)
{
    free_dek(k->root);
    k->root = make_key(rng);
    gd_keyring_wrap_root(k, wrapped, rng);
}

void gd_keyring_wrap_root(const struct gd_keyring *k, unsigned char wrapped[GD_WRAPPED_KEY],
                          struct gd_rng *rng)
{
    gd_must(k->root != NULL, "a root");
    wrap(k->used, NULL, NULL, k->root, wrapped, rng);
}

int gd_keyring_open_root(struct gd_keyring *k, const unsigned char wrapped[GD_WRAPPED_KEY],
                         struct gd_err *err)
{
    struct gd_dek *root = unwrap(k, NULL, NULL, wrapped, err);

    if (!root)
        return -1;
    free_dek(k->root);
    k->root = root;
    return 0;
}

static const struct gd_dek *remember(struct gd_keyring *k, const char *workspace, const char *client,
                                     struct gd_dek *dek)
{
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    free_dek(gd_map_set(&k->deks, name, dek));
    return dek;
}

const struct gd_dek *gd_keyring_make_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                         unsigned char wrapped[GD_WRAPPED_KEY], struct gd_rng *rng)
{
    struct gd_dek *dek = make_key(rng);

    wrap(k->used, workspace, client, dek, wrapped, rng);
    return remember(k, workspace, client, dek);
}

const struct gd_dek *gd_keyring_add_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                        const unsigned char wrapped[GD_WRAPPED_KEY], struct gd_err *err)
{
    struct gd_dek *dek = unwrap(k, workspace, client, wrapped, err);

    return dek ? remember(k, workspace, client, dek) : NULL;
}

const struct gd_dek *gd_keyring_dek(const struct gd_keyring *k, const char *workspace, const char *client)
{
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    return gd_map_get(&k->deks, name);
}

bool gd_keyring_wrap(const struct gd_keyring *k, const char *workspace, const char *client,
                     unsigned char ret[GD_WRAPPED_KEY], struct gd_rng *rng)
{
    const struct gd_dek *dek = gd_keyring_dek(k, workspace, client);

    if (dek)
        wrap(k->used, workspace, client, dek, ret, rng);
    return dek != NULL;
}

void gd_keyring_forget(struct gd_keyring *k, const char *workspace, const char *client)
{
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    free_dek(gd_map_del(&k->deks, name));
}
