/* store/postgresql/value.c - results as they come over the wire, in binary, to what the store knows: text,
 * whole numbers, bytes. Sums of bigint are numeric here; they are whole, and too large ones are told as the
 * largest. */
#include "store/postgresql/pg.h"

#include <string.h>

enum { BOOL = 16, BYTEA = 17, NAME = 19, INT8 = 20, INT2 = 21, INT4 = 23, TEXT = 25 };
enum { UNKNOWN = 705, VARCHAR = 1043, NUMERIC = 1700 };

static int64_t big_endian(const unsigned char *p, int n)
{
    uint64_t v = n && (p[0] & 0x80) ? UINT64_MAX : 0;

    for (int i = 0; i < n; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

/* ndigits, weight, sign, scale, digits; each 16 bits, the digits to the base of 10000. */
static int64_t numeric(const unsigned char *p, int n)
{
    int64_t digits, weight, v = 0;
    bool minus;

    if (n < 8)
        return 0;
    digits = big_endian(p, 2);
    weight = big_endian(p + 2, 2);
    minus = p[4] == 0x40;
    for (int64_t i = 0; i <= weight; i++) {
        int64_t d = i < digits && 10 + 2 * i <= n ? big_endian(p + 8 + 2 * i, 2) : 0;

        if (__builtin_mul_overflow(v, 10000, &v) || __builtin_add_overflow(v, d, &v))
            return minus ? INT64_MIN : INT64_MAX;
    }
    return minus ? -v : v;
}

static bool known(Oid type)
{
    switch (type) {
    case BOOL:
    case BYTEA:
    case NAME:
    case INT8:
    case INT2:
    case INT4:
    case TEXT:
    case UNKNOWN:
    case VARCHAR:
    case NUMERIC:
        return true;
    default:
        return false;
    }
}

bool gd_pg_types_known(const PGresult *res)
{
    for (int i = 0; i < PQnfields(res); i++)
        if (!known(PQftype(res, i)))
            return false;
    return true;
}

void gd_pg_value(const PGresult *res, int row, int col, struct gd_param *ret)
{
    const unsigned char *p = (const unsigned char *)PQgetvalue(res, row, col);
    int n = PQgetlength(res, row, col);

    *ret = (struct gd_param){ .kind = GD_PARAM_NULL };
    if (PQgetisnull(res, row, col))
        return;
    switch (PQftype(res, col)) {
    case BOOL:
    case INT2:
    case INT4:
    case INT8:
        *ret = (struct gd_param){ .kind = GD_PARAM_INT, .num = big_endian(p, n) };
        break;
    case NUMERIC:
        *ret = (struct gd_param){ .kind = GD_PARAM_INT, .num = numeric(p, n) };
        break;
    default:
        *ret = (struct gd_param){ .kind = PQftype(res, col) == BYTEA ? GD_PARAM_BYTES : GD_PARAM_TEXT,
                                  .p = p,
                                  .n = (size_t)n };
    }
}
