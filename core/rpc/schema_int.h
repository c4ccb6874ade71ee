/* rpc/schema_int.h - the schema files as the build embedded them. */
#ifndef GD_RPC_SCHEMA_INT_H
#define GD_RPC_SCHEMA_INT_H

#include <stddef.h>

struct gd_schema_file {
    const char *name; /* without .json */
    const unsigned char *bytes;
    size_t len;
};
extern const struct gd_schema_file gd_schema_files[]; /* sorted by name; "types" is among them */
extern const size_t gd_schema_nfiles;

#endif
