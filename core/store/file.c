/* store/file.c - what the room needs of files beside the database: whole writes, durable names, the lock that
 * keeps a second process away, the ballast that is thrown overboard on a full disk, CRC32C. */
#include "store/store_int.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CRC32C_POLY 0x82f63b78u /* reflected Castagnoli polynomial, RFC 3720 B.4 */

static uint32_t crc_table[256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void make_crc_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int k = 0; k < 8; k++)
            c = c & 1 ? (c >> 1) ^ CRC32C_POLY : c >> 1;
        crc_table[i] = c;
    }
}

#if defined(__x86_64__)
/* Eight bytes an instruction where the processor has it: the spool is on the way of every refresh. */
__attribute__((target("sse4.2"))) static uint32_t crc_fast(uint32_t crc, const unsigned char *p, size_t n)
{
    uint64_t c = crc, v;

    for (; n >= sizeof v; n -= sizeof v, p += sizeof v) {
        memcpy(&v, p, sizeof v);
        c = __builtin_ia32_crc32di(c, v);
    }
    for (; n; n--)
        c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
    return (uint32_t)c;
}
#endif

uint32_t gd_crc32c(uint32_t crc, const void *buf, size_t n)
{
    const unsigned char *p = buf;

    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_fast(crc, p, n);
#endif
    pthread_once(&crc_once, make_crc_table);
    for (; n; n--)
        crc = crc_table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return ~crc;
}

int gd_write_at(int fd, const void *buf, size_t n, int64_t offset)
{
    const char *p = buf;

    while (n) {
        ssize_t k = pwrite(fd, p, n, offset);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return k < 0 ? errno : ENOSPC;
        p += k;
        offset += k;
        n -= (size_t)k;
    }
    return 0;
}

int gd_sync_parent(const char *path)
{
    GD_AUTO_FREE char *copy = gd_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

    if (fd < 0)
        return errno;
    if (fsync(fd) < 0)
        rc = errno;
    close(fd);
    return rc;
}

int gd_store_lock(const char *path, struct gd_err *err)
{
    GD_AUTO_FREE char *name = gd_strf("%s.lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), e;

    if (fd < 0)
        return gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be opened: %s", name, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    e = errno;
    close(fd);
    if (e == EWOULDBLOCK)
        return gd_err_set(err, GD_R_STORE_LOCKED, "another process has %s open; stop it first", path);
    return gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be locked: %s", name, strerror(e));
}

void gd_ballast_init(struct gd_ballast *b, const char *path)
{
    b->path = gd_strf("%s.ballast", path);
    b->there = false;
    (void)gd_ballast_fill(b);
}

void gd_ballast_done(struct gd_ballast *b)
{
    gd_free(b->path);
    *b = (struct gd_ballast){ 0 };
}

bool gd_ballast_drop(struct gd_ballast *b)
{
    if (!b->there)
        return false;
    b->there = false;
    return unlink(b->path) == 0;
}

bool gd_ballast_fill(struct gd_ballast *b)
{
    int fd, rc;

    if (b->there)
        return true;
    fd = open(b->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    rc = posix_fallocate(fd, 0, GD_STORE_BALLAST);
    close(fd);
    if (rc != 0)
        (void)unlink(b->path);
    b->there = rc == 0;
    return b->there;
}
