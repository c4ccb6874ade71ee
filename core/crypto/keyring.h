/* crypto/keyring.h - the key hierarchy: key source -> KEK, which wraps keys and nothing else -> the root, one
 * secret of the installation from which {audit, lookup, cookie, ...} derive, and the data keys of each
 * client. So a KEK can be exchanged: what it wraps is wrapped anew, and nothing else changes. Erasing a
 * client is destroying its data key. Loop thread; opened keys are kept in the secure heap. The keyring stores
 * nothing itself: wrapped keys come and go as bytes (the store keeps them in a database of their own,
 * keyring.db). */
#ifndef GD_CRYPTO_KEYRING_H
#define GD_CRYPTO_KEYRING_H

#include "crypto/crypto.h"

#define GD_WRAPPED_KEY 100 /* bytes of a wrapped key */
#define GD_KEK_ID      17  /* the name of a KEK as text, with its NUL: derived from it, no secret */
#define GD_KEKS_MAX    8

struct gd_keyring;

/* Where the key-encryption key comes from. Exactly one. */
struct gd_key_source {
    const char *file;            /* 32 raw bytes; refused when group or others can read it (KEY_FILE_MODE) */
    const char *credential;      /* name below $CREDENTIALS_DIRECTORY (systemd), 32 raw bytes */
    const char *passphrase_file; /* first line; scrypt with the salt kept beside the state */
};
/* Reads the 32 bytes. With create, a missing file is made, mode 0600, and *ret_created set: the caller warns
 * that it lies beside the data it protects. salt: 16 bytes for the passphrase. Blocks (scrypt). */
int gd_key_source_read(unsigned char kek[32], const struct gd_key_source *src, const unsigned char salt[16],
                       bool create, bool *ret_created, struct gd_err *err);

struct gd_keyring *gd_keyring_new(void); /* holds no key */
void gd_keyring_free(struct gd_keyring *k);

/* ---- KEKs ---- */
/* From now on it opens what it has wrapped; again is fine. source: where it came from, for people; copied.
 * id: GD_KEK_ID bytes. KEY_INVALID when GD_KEKS_MAX are held. */
int gd_keyring_add_kek(struct gd_keyring *k, const unsigned char kek[32], const char *source, char *ret_id,
                       struct gd_err *err);
bool gd_keyring_holds(const struct gd_keyring *k, const char *id);
/* What is wrapped from now on is wrapped by it. False: it is not held. */
bool gd_keyring_use(struct gd_keyring *k, const char *id);
const char *gd_keyring_used(const struct gd_keyring *k); /* "" before gd_keyring_use */
/* The i-th that is held, from 0, and where it came from; NULL behind the last one. */
const char *gd_keyring_kek(const struct gd_keyring *k, size_t i, const char **ret_source);
/* The KEK that wrapped it; false when it is no wrapped key. */
bool gd_wrapped_by(char id[GD_KEK_ID], const unsigned char wrapped[GD_WRAPPED_KEY]);

/* The name that it keeps when it is wrapped anew: 16 bytes of it. */
const unsigned char *gd_wrapped_id(const unsigned char wrapped[GD_WRAPPED_KEY]);

/* ---- the root: at the first start, then at each ---- */
void gd_keyring_make_root(struct gd_keyring *k, unsigned char wrapped[GD_WRAPPED_KEY], struct gd_rng *rng);
/* The root that is open, wrapped by the KEK in use. */
void gd_keyring_wrap_root(const struct gd_keyring *k, unsigned char wrapped[GD_WRAPPED_KEY],
                          struct gd_rng *rng);
/* KEY_WRONG: it was wrapped by a KEK that is not held; SEAL_TAMPERED. */
int gd_keyring_open_root(struct gd_keyring *k, const unsigned char wrapped[GD_WRAPPED_KEY],
                         struct gd_err *err);

/* ---- data keys. workspace NULL: the root ---- */
/* New data key of a client, remembered; wrapped is to be stored. AAD: workspace, client, dek id, KEK. */
const struct gd_dek *gd_keyring_make_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                         unsigned char wrapped[GD_WRAPPED_KEY], struct gd_rng *rng);
/* Unwraps and remembers one. NULL with SEAL_TAMPERED or KEY_WRONG. */
const struct gd_dek *gd_keyring_add_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                        const unsigned char wrapped[GD_WRAPPED_KEY], struct gd_err *err);
/* The same key, wrapped by the KEK in use. Remembers nothing. KEY_WRONG, SEAL_TAMPERED. */
int gd_keyring_rewrap(const struct gd_keyring *k, const char *workspace, const char *client,
                      const unsigned char wrapped[GD_WRAPPED_KEY], unsigned char ret[GD_WRAPPED_KEY],
                      struct gd_rng *rng, struct gd_err *err);
/* The data key of a client, wrapped by the KEK in use. False where none is known. */
bool gd_keyring_wrap(const struct gd_keyring *k, const char *workspace, const char *client,
                     unsigned char ret[GD_WRAPPED_KEY], struct gd_rng *rng);
/* The current data key of a client; NULL when none is known. Valid until it is forgotten. */
const struct gd_dek *gd_keyring_dek(const struct gd_keyring *k, const char *workspace, const char *client);
void gd_keyring_forget(struct gd_keyring *k, const char *workspace, const char *client);

/* Derived keys, 32 bytes each: "audit" (Ed25519 seed of checkpoints), "audit-hash", "lookup" (links, states),
 * "cookie". After the root is there. */
void gd_keyring_derive(const struct gd_keyring *k, const char *purpose, unsigned char out[32]);
/* HMAC-SHA256 under the lookup key: what the store keeps of link secrets and states. */
void gd_keyring_lookup(const struct gd_keyring *k, const char *what, const void *p, size_t n,
                       unsigned char out[32]);

#endif
