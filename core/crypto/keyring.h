/* crypto/keyring.h - the key hierarchy: root source -> KEK -> {wrap, kcv, audit, lookup, cookie} and the data
 * keys of each client, wrapped. Erasing a client is destroying its data key. Loop thread; opened data keys
 * are kept in the secure heap. The keyring stores nothing itself: wrapped keys come and go as bytes (the
 * store keeps them in a database of their own, keyring.db). */
#ifndef GD_CRYPTO_KEYRING_H
#define GD_CRYPTO_KEYRING_H

#include "crypto/crypto.h"

#define GD_WRAPPED_DEK 96 /* bytes of a wrapped data key */

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

struct gd_keyring *gd_keyring_new(const unsigned char kek[32], int version);
void gd_keyring_free(struct gd_keyring *k);
/* 16 bytes stored beside the data; a wrong KEK is refused before any data is touched. */
void gd_keyring_check_value(const struct gd_keyring *k, unsigned char kcv[16]);
int gd_keyring_version(const struct gd_keyring *k);

/* New data key of a client, remembered; wrapped is to be stored. AAD: workspace, client, dek id, KEK version.
 */
const struct gd_dek *gd_keyring_make_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                         unsigned char wrapped[GD_WRAPPED_DEK], struct gd_rng *rng);
/* Unwraps and remembers one. NULL with SEAL_TAMPERED or KEY_WRONG. */
const struct gd_dek *gd_keyring_add_dek(struct gd_keyring *k, const char *workspace, const char *client,
                                        const unsigned char wrapped[GD_WRAPPED_DEK], struct gd_err *err);
/* The current data key of a client; NULL when none is known. Valid until it is forgotten. */
const struct gd_dek *gd_keyring_dek(const struct gd_keyring *k, const char *workspace, const char *client);
void gd_keyring_forget(struct gd_keyring *k, const char *workspace, const char *client);

/* Derived keys, 32 bytes each: "audit" (Ed25519 seed of checkpoints), "audit-hash", "lookup" (links, states),
 * "cookie", "log". */
void gd_keyring_derive(const struct gd_keyring *k, const char *purpose, unsigned char out[32]);
/* HMAC-SHA256 under the lookup key: what the store keeps of link secrets and states. */
void gd_keyring_lookup(const struct gd_keyring *k, const char *what, const void *p, size_t n,
                       unsigned char out[32]);

#endif
