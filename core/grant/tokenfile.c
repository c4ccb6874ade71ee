/* grant/tokenfile.c */
#include "grant/tokenfile.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SMALL   512   /* a place: two bytes of length, then the sealed token */
#define LARGE   12288 /* whole pages; only those that are written exist */
#define PAGE    4096
#define AROUND  65536                                 /* read in one go when a page of it was taken back */
#define LARGE_0 ((off_t)GD_TOKEN_FILE_PLACES * SMALL) /* where they begin, in the same sparse file */

struct gd_tokenfile {
    int fd;
    int flags; /* of preadv2 */
};

static int open_unnamed(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    GD_AUTO_FREE char *path = NULL;

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    path = gd_strf("%s/.tokens", dir); /* a file system without O_TMPFILE: a name for a moment */
    (void)unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static ssize_t read_at(struct gd_tokenfile *f, void *out, size_t n, off_t at)
{
    struct iovec v = { out, n };
    ssize_t got = preadv2(f->fd, &v, 1, at, f->flags);

    if (got < 0 && errno == EOPNOTSUPP && f->flags) {
        /* This file system cannot say whether it would wait. The pages were written by us not long ago. */
        f->flags = 0;
        got = preadv2(f->fd, &v, 1, at, 0);
    }
    /* Where the kernel took one page back it took its neighbours too: they are asked for together, so that a
     * million tokens are there again after thousands of misses and not after a hundred thousand. */
    if (got < 0 && errno == EAGAIN)
        (void)posix_fadvise(f->fd, at / AROUND * AROUND, AROUND, POSIX_FADV_WILLNEED);
    return got;
}

struct gd_tokenfile *gd_tokenfile_open(const char *dir, struct gd_err *err)
{
    int fd = open_unnamed(dir);
    struct gd_tokenfile *f;

    if (fd < 0) {
        gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "no file for sealed tokens can be made in %s: %s", dir,
                   strerror(errno));
        return NULL;
    }
    f = gd_new(sizeof *f);
    f->fd = fd;
    f->flags = RWF_NOWAIT;
    return f;
}

void gd_tokenfile_free(struct gd_tokenfile *f)
{
    if (!f)
        return;
    close(f->fd);
    gd_free(f);
}

static off_t place(uint32_t number, enum gd_filed how)
{
    return how == GD_FILED_SMALL ? (off_t)number * SMALL : LARGE_0 + (off_t)number * LARGE;
}

enum gd_filed gd_tokenfile_write(struct gd_tokenfile *f, uint32_t number, const void *sealed, size_t n)
{
    enum gd_filed how = n + 2 <= SMALL ? GD_FILED_SMALL : GD_FILED_LARGE;
    unsigned char head[2] = { (unsigned char)n, (unsigned char)(n >> 8) };
    struct iovec v[2] = { { head, 2 }, { (void *)(uintptr_t)sealed, n } };

    if (number >= GD_TOKEN_FILE_PLACES || n == 0 || n + 2 > LARGE)
        return GD_FILED_NOT;
    return pwritev(f->fd, v, 2, place(number, how)) == (ssize_t)n + 2 ? how : GD_FILED_NOT;
}

long gd_tokenfile_read(struct gd_tokenfile *f, uint32_t number, enum gd_filed how, void *out, size_t cap)
{
    unsigned char first[PAGE], *to = out;
    size_t want = how == GD_FILED_SMALL ? SMALL : PAGE, n;
    ssize_t got = how == GD_FILED_NOT ? -1 : read_at(f, first, want, place(number, how));

    if (got <= 2) /* the last place of the file ends with its token */
        return -1;
    n = (size_t)first[0] | (size_t)first[1] << 8;
    got -= 2;
    if (n == 0 || n > cap)
        return -1;
    memcpy(to, first + 2, n < (size_t)got ? n : (size_t)got);
    if (n <= (size_t)got)
        return (long)n;
    if (how == GD_FILED_SMALL || got != PAGE - 2 ||
        read_at(f, to + got, n - (size_t)got, place(number, how) + PAGE) != (ssize_t)(n - (size_t)got))
        return -1;
    return (long)n;
}

int64_t gd_tokenfile_bytes(const struct gd_tokenfile *f)
{
    struct stat st;

    return fstat(f->fd, &st) == 0 ? (int64_t)st.st_blocks * 512 : 0;
}
