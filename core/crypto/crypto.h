/* crypto/crypto.h - OpenSSL behind one header. Every return is checked inside; a dead random source or a
 * failing primitive ends the process (it cannot happen after start-up self-test). Any thread. */
#ifndef GD_CRYPTO_CRYPTO_H
#define GD_CRYPTO_CRYPTO_H

#include "base/err.h"
#include "base/rng.h"
#include "base/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once, before threads: fetches algorithms, secure heap, health check of the random source. */
int gd_crypto_setup(struct gd_err *err);
struct gd_rng *gd_rng_system(void); /* RAND_priv_bytes */

void gd_sha256(unsigned char out[32], const void *p, size_t n);
struct gd_hasher; /* SHA-256 of what comes in pieces */
struct gd_hasher *gd_hasher_new(void);
void gd_hasher_add(struct gd_hasher *h, const void *p, size_t n);
void gd_hasher_end(struct gd_hasher *h, unsigned char out[32]); /* and frees it; out may be NULL */
void gd_hmac_sha256(unsigned char out[32], const void *key, size_t nkey, const void *p, size_t n);
/* HKDF, RFC 5869; md is "SHA256" or "SHA512". */
void gd_hkdf(void *out, size_t nout, const char *md, const void *key, size_t nkey, const void *salt,
             size_t nsalt, const void *info, size_t ninfo);
/* RFC 7914, N=2^17 r=8 p=1: 128 MiB, about 0.3 s. Call on a worker. */
int gd_scrypt(unsigned char out[32], const char *pass, size_t npass, const void *salt, size_t nsalt,
              struct gd_err *err);

/* Ed25519 from a 32-byte seed. */
void gd_ed25519_public(unsigned char pub[32], const unsigned char seed[32]);
void gd_ed25519_sign(unsigned char sig[64], const unsigned char seed[32], const void *p, size_t n);
bool gd_ed25519_verify(const unsigned char pub[32], const unsigned char sig[64], const void *p, size_t n);

/* ---- sealed records, format v1 (reliability: 7.2)
 * ---------------------------------------------------------- "GS" | ver=1 | alg=1 | dek_id(16) | salt(32) |
 * commit(32) | ciphertext | tag(16). The key, nonce and commitment of each record come from HKDF-SHA512 over
 * the data key and the salt; the commitment is compared before decrypting. */
#define GD_SEAL_OVERHEAD (2 + 1 + 1 + 16 + 32 + 32 + 16)
struct gd_dek {
    unsigned char id[16], key[32];
};
/* What a record is bound to, in this order, length-prefixed. NULL text counts as empty. */
struct gd_seal_name {
    const char *workspace, *client, *owner; /* owner: credential, flow, app: the row's id */
    int64_t gen;
    const char *attempt, *column;
    int64_t created_at;
};
/* out needs n + GD_SEAL_OVERHEAD bytes; returns the length. */
size_t gd_seal(unsigned char *out, const struct gd_dek *dek, const struct gd_seal_name *name, const void *p,
               size_t n, struct gd_rng *rng);
/* out needs n bytes. Returns the length of the plain text, or -1 with SEAL_FORMAT, SEAL_KEY_UNKNOWN,
 * SEAL_COMMIT_MISMATCH or SEAL_TAMPERED. */
long gd_seal_open(unsigned char *out, const struct gd_dek *dek, const struct gd_seal_name *name,
                  const unsigned char *rec, size_t n, struct gd_err *err);
/* The data key that sealed it; false when it is no v1 record. */
bool gd_seal_dek_id(unsigned char id[16], const unsigned char *rec, size_t n);

/* ---- sealing in memory: AES-256-GCM under a key made at start, counter nonce. One thread.
 * ------------------- */
#define GD_MEMSEAL_OVERHEAD (8 + 16)
struct gd_memseal;
struct gd_memseal *gd_memseal_new(struct gd_rng *rng);
void gd_memseal_free(struct gd_memseal *m);
void gd_memseal_seal(struct gd_memseal *m, unsigned char *out, const void *aad, size_t naad, const void *p,
                     size_t n);
/* n: sealed length. False when it was touched. out needs n - GD_MEMSEAL_OVERHEAD bytes. No allocation. */
bool gd_memseal_open(struct gd_memseal *m, void *out, const void *aad, size_t naad,
                     const unsigned char *sealed, size_t n);

#endif
