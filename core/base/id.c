/* base/id.c */
#include "base/id.h"

#include <string.h>

static const char set[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* Value of a base32 digit plus one; 0 for everything else. */
static const unsigned char value[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['g'] = 17, ['h'] = 18, ['j'] = 19, ['k'] = 20, ['m'] = 21, ['n'] = 22, ['p'] = 23, ['q'] = 24,
    ['r'] = 25, ['s'] = 26, ['t'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
};

void gd_id_new(struct gd_id *id, int64_t unix_ms, struct gd_rng *rng)
{
    uint64_t t = (uint64_t)(unix_ms < 0 ? 0 : unix_ms);

    for (int i = 0; i < 6; i++)
        id->b[i] = (unsigned char)(t >> (40 - 8 * i));
    gd_rng_bytes(rng, id->b + 6, 10);
}

void gd_id_text(char *out, const char *kind, const struct gd_id *id)
{
    __extension__ unsigned __int128 v = 0;

    for (int i = 0; i < 16; i++)
        v = (v << 8) | id->b[i];
    out[0] = kind[0];
    out[1] = kind[1];
    for (int i = 0; i < 26; i++)
        out[2 + i] = set[(unsigned)(v >> (125 - 5 * i)) & 31];
    out[28] = '\0';
}

bool gd_id_parse(struct gd_id *ret, const char *kind, const char *text, size_t len)
{
    __extension__ unsigned __int128 v = 0;

    if (len != 28 || text[0] != kind[0] || text[1] != kind[1] || value[(unsigned char)text[2]] > 8)
        return false;
    for (int i = 2; i < 28; i++) {
        unsigned d = value[(unsigned char)text[i]];

        if (d == 0)
            return false;
        v = (v << 5) | (d - 1);
    }
    for (int i = 15; i >= 0; i--, v >>= 8)
        ret->b[i] = (unsigned char)v;
    return true;
}

void gd_id_make(char *out, const char *kind, int64_t unix_ms, struct gd_rng *rng)
{
    struct gd_id id;

    gd_id_new(&id, unix_ms, rng);
    gd_id_text(out, kind, &id);
}
