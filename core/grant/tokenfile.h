/* grant/tokenfile.h - the second level of the token cache: a file without a name, with a place for every
 * credential, that holds tokens sealed under the key that lives in this process alone. The kernel keeps of it
 * in its page cache what there is room for, so a million tokens need none of our memory; after the process it
 * is gone, and what the disk may still hold of it opens no more. Reading does not wait for the disk: what is
 * not in the page cache is not there, but will soon be. Loop thread. */
#ifndef GD_GRANT_TOKENFILE_H
#define GD_GRANT_TOKENFILE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* In what kind of place a token lies. The caller remembers it: the file itself knows nothing. */
enum gd_filed {
    GD_FILED_NOT,
    GD_FILED_SMALL, /* eight to a page */
    GD_FILED_LARGE, /* pages of its own */
};

struct gd_tokenfile;
/* On the disk of dir. NULL with STATE_DIR_UNUSABLE when no such file can be made there. */
struct gd_tokenfile *gd_tokenfile_open(const char *dir, struct gd_err *err);
void gd_tokenfile_free(struct gd_tokenfile *f); /* NULL is fine */
/* Puts n sealed bytes into the place of this number; NOT: it could not be kept, and what was there before is
 * not to be read any more. */
enum gd_filed gd_tokenfile_write(struct gd_tokenfile *f, uint32_t number, const void *sealed, size_t n);
/* Length of what was written there last, or -1 when it cannot be had without waiting. */
long gd_tokenfile_read(struct gd_tokenfile *f, uint32_t number, enum gd_filed how, void *out, size_t cap);
int64_t gd_tokenfile_bytes(const struct gd_tokenfile *f); /* blocks that are in use */

#endif
