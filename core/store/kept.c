/* store/kept.c - what was in the spool and is in the store by now, kept beside it for a while: a shared
 * database may lose what it acknowledged (a standby is promoted that lacks the last commits), and then nobody
 * else has these answers. Two files in turn: when the newer one is old enough or full it takes the place of
 * the older one, which goes. No promise is broken when they are lost, so a disk that is full takes them back.
 */
#include "store/store_int.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct gd_kept {
    char *newer, *older;
    int64_t ms, max; /* how long and how much the newer one takes */
    int64_t since;   /* when it was begun, or found */
};

static int64_t now(void)
{
    return gd_mono(gd_clock_system());
}

static int open_file(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int64_t size_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
}

struct gd_kept *gd_kept_new(const char *spool, int64_t ms, int64_t max)
{
    struct gd_kept *k = gd_new(sizeof *k);

    k->newer = gd_strf("%s.kept", spool);
    k->older = gd_strf("%s.kept.older", spool);
    k->ms = ms;
    k->max = max;
    k->since = now();
    return k;
}

void gd_kept_free(struct gd_kept *k)
{
    if (!k)
        return;
    gd_free(k->newer);
    gd_free(k->older);
    gd_free(k);
}

int gd_kept_drop(struct gd_kept *k)
{
    int rc =
        (unlink(k->newer) < 0 && errno != ENOENT) || (unlink(k->older) < 0 && errno != ENOENT) ? errno : 0;

    return rc == 0 ? gd_sync_parent(k->newer) : rc;
}

int gd_kept_add(struct gd_kept *k, const void *p, size_t n)
{
    int64_t size = size_of(k->newer);
    int fd, rc;

    if (size > 0 && (now() - k->since >= k->ms || size + (int64_t)n > k->max)) {
        if (rename(k->newer, k->older) < 0)
            return errno;
        size = 0;
    }
    if (size == 0)
        k->since = now();
    fd = open_file(k->newer, O_WRONLY | O_CREAT);
    if (fd < 0)
        return errno;
    rc = gd_write_at(fd, p, n, size);
    if (rc == 0 && fdatasync(fd) < 0)
        rc = errno;
    close(fd);
    return rc;
}

/* Appends the file to what is at *buf; one that cannot be read is as one that is not there. */
static void load(const char *path, unsigned char **buf, size_t *n)
{
    int64_t size = size_of(path), got = 0;
    int fd = size ? open_file(path, O_RDONLY) : -1;

    if (fd < 0)
        return;
    *buf = gd_resize(*buf, *n + (size_t)size);
    while (got < size) {
        ssize_t k = pread(fd, *buf + *n + got, (size_t)(size - got), (off_t)got);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        got += k;
    }
    close(fd);
    *n += (size_t)got;
}

unsigned char *gd_kept_load(const struct gd_kept *k, size_t *ret_n)
{
    unsigned char *buf = NULL;

    *ret_n = 0;
    load(k->older, &buf, ret_n);
    load(k->newer, &buf, ret_n);
    return buf;
}
