/* base/id.h - ids made by us: 48 bits of time and 80 random bits, written as a two-letter kind and 26
 * characters of Crockford base32 in lower case ("gr01jdk3..."). They sort by the time they were made. An id
 * is a name, never a secret. */
#ifndef GD_BASE_ID_H
#define GD_BASE_ID_H

#include "base/limits.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

struct gd_id {
    unsigned char b[16];
};

/* Kinds: cl client, rq request, it item, ln link, fl flow, cr credential, gr grant, at attempt, ev event,
 * dk data key, bk backup, nd node, sf surface. */
void gd_id_new(struct gd_id *id, int64_t unix_ms, struct gd_rng *rng);
/* out: GD_ID_TEXT_MAX bytes. */
void gd_id_text(char *out, const char *kind, const struct gd_id *id);
/* True only for exactly kind and 26 canonical characters. */
bool gd_id_parse(struct gd_id *ret, const char *kind, const char *text, size_t len);
/* New id straight as text. */
void gd_id_make(char *out, const char *kind, int64_t unix_ms, struct gd_rng *rng);

#endif
