/* crypto/crypto_int.h - what the files of this room share. */
#ifndef GD_CRYPTO_INT_H
#define GD_CRYPTO_INT_H

#include "crypto/crypto.h"

#include <openssl/evp.h>

/* Algorithms, fetched once from a library context of our own: no configuration file and no environment
 * changes them. */
struct gd_algs {
    OSSL_LIB_CTX *ctx;
    EVP_MD *sha256;
    EVP_CIPHER *gcm;
    EVP_MAC *hmac;
    EVP_KDF *scrypt;
};
const struct gd_algs *gd_algs(void);

/* What cannot fail did: the process ends, without a word about data. */
void gd_must(bool ok, const char *what);

/* RFC 7914 with its parameters, for the known answers of the RFC. */
int gd_scrypt_params(void *out, size_t nout, const char *pass, size_t npass, const void *salt, size_t nsalt,
                     uint64_t n, uint32_t r, uint32_t p);

void gd_hkdf_sha512(void *out, size_t nout, const void *key, size_t nkey, const void *salt, size_t nsalt,
                    const void *info, size_t ninfo);

/* AES-256-GCM over one message; the fields of the additional data are given one by one. */
struct gd_field_bytes {
    const void *p;
    size_t n;
};
void gd_gcm_seal(unsigned char *out, unsigned char tag[16], const unsigned char key[32],
                 const unsigned char iv[12], const struct gd_field_bytes *aad, size_t naad, const void *p,
                 size_t n);
/* False, and out wiped, when anything was touched. */
bool gd_gcm_open(unsigned char *out, const unsigned char key[32], const unsigned char iv[12],
                 const struct gd_field_bytes *aad, size_t naad, const unsigned char *p, size_t n,
                 const unsigned char tag[16]);

/* Additional data: every field as 32-bit length (big endian) and bytes; numbers as eight bytes. Order is
 * meaning. */
#define GD_AAD_FIELDS 16
struct gd_aad {
    struct gd_field_bytes fields[2 * GD_AAD_FIELDS];
    unsigned char lengths[GD_AAD_FIELDS][4], numbers[GD_AAD_FIELDS][8];
    size_t n; /* fields so far */
};
void gd_aad_bytes(struct gd_aad *a, const void *p, size_t n);
void gd_aad_text(struct gd_aad *a, const char *s); /* NULL is empty */
void gd_aad_num(struct gd_aad *a, int64_t v);

#endif
