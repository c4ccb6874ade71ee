/* crypto/keysource.c - where the 32 bytes of the key-encryption key come from: a file, a systemd credential,
 * or a passphrase. Start-up only, blocking. */
#include "crypto/keyring.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSPHRASE_MIN 12
#define PASSPHRASE_MAX 1024

/* Opens a file that nobody else may read. */
static int open_private(const char *path, bool any_mode, struct gd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return gd_err_set(err, GD_R_KEY_MISSING, "the key file %s cannot be opened: %s", path,
                          strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (any_mode || (!(st.st_mode & 077) && (st.st_uid == 0 || st.st_uid == geteuid())))
            return fd;
        gd_err_set(err, GD_R_KEY_FILE_MODE,
                   "%s has mode %04o and owner %u; only this user or root may read it", path,
                   (unsigned)st.st_mode & 07777, (unsigned)st.st_uid);
    } else {
        gd_err_set(err, GD_R_KEY_INVALID, "%s is not a regular file", path);
    }
    close(fd);
    return -1;
}

/* Number of bytes, at most cap; -1 after an error. */
static ssize_t read_all(int fd, unsigned char *buf, size_t cap)
{
    size_t n = 0;

    while (n < cap) {
        ssize_t k = read(fd, buf + n, cap - n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -1;
        if (k == 0)
            break;
        n += (size_t)k;
    }
    return (ssize_t)n;
}

static int read_key(unsigned char kek[32], const char *path, bool any_mode, struct gd_err *err)
{
    int fd = open_private(path, any_mode, err);
    unsigned char buf[33];
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read_all(fd, buf, sizeof buf);
    close(fd);
    if (n == 32)
        memcpy(kek, buf, 32);
    gd_wipe(buf, sizeof buf);
    if (n == 32)
        return 0;
    return gd_err_set(err, GD_R_KEY_INVALID, "%s must hold exactly 32 raw bytes", path);
}

/* The whole file appears at once or not at all, and never replaces another one. */
static int make_key(const char *path, struct gd_err *err)
{
    GD_AUTO_FREE char *tmp = gd_strf("%s.new", path);
    GD_AUTO_FREE char *copy = gd_strdup(path);
    unsigned char key[32];
    int fd, dir, rc;

    (void)unlink(tmp);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return gd_err_set(err, GD_R_KEY_MISSING, "the key file %s cannot be made: %s", path, strerror(errno));
    gd_rng_bytes(gd_rng_system(), key, sizeof key);
    rc = write(fd, key, sizeof key) == sizeof key && fsync(fd) == 0 && link(tmp, path) == 0 ? 0 : errno;
    gd_wipe(key, sizeof key);
    close(fd);
    (void)unlink(tmp);
    dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == 0 && (dir < 0 || fsync(dir) < 0))
        rc = errno;
    if (dir >= 0)
        close(dir);
    return rc == 0
               ? 0
               : gd_err_set(err, GD_R_KEY_MISSING, "the key file %s cannot be made: %s", path, strerror(rc));
}

static int from_file(unsigned char kek[32], const char *path, bool create, bool *ret_created,
                     struct gd_err *err)
{
    bool made = create && access(path, F_OK) < 0 && errno == ENOENT;

    if (made && make_key(path, err) < 0)
        return -1;
    if (read_key(kek, path, false, err) < 0)
        return -1;
    if (ret_created)
        *ret_created = made;
    return 0;
}

/* systemd keeps the folder to itself and may show group bits for an access list: its modes are its own
 * business. */
static int from_credential(unsigned char kek[32], const char *name, struct gd_err *err)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY"); /* check:allow start-up, before threads */
    GD_AUTO_FREE char *path = NULL;

    if (!dir || !*dir)
        return gd_err_set(err, GD_R_KEY_MISSING,
                          "there is no CREDENTIALS_DIRECTORY: start by systemd with LoadCredential=%s", name);
    if (!*name || strchr(name, '/') || name[0] == '.')
        return gd_err_set(err, GD_R_KEY_INVALID,
                          "the credential's name may hold no slash and begin with no dot");
    path = gd_strf("%s/%s", dir, name);
    return read_key(kek, path, true, err);
}

static int from_passphrase(unsigned char kek[32], const char *path, const unsigned char salt[16],
                           struct gd_err *err)
{
    int fd = open_private(path, false, err), rc;
    char buf[PASSPHRASE_MAX];
    ssize_t got;
    size_t n;

    if (fd < 0)
        return -1;
    got = read_all(fd, (unsigned char *)buf, sizeof buf);
    close(fd);
    n = got > 0 ? (size_t)got : 0;
    n = n ? (size_t)((char *)memchr(buf, '\n', n) ? (char *)memchr(buf, '\n', n) - buf : (ptrdiff_t)n) : 0;
    if (n < PASSPHRASE_MIN || n == sizeof buf)
        rc = gd_err_set(err, GD_R_KEY_INVALID, "the first line of %s must have %d to %d bytes", path,
                        PASSPHRASE_MIN, PASSPHRASE_MAX - 1);
    else
        rc = gd_scrypt(kek, buf, n, salt, 16, err);
    gd_wipe(buf, sizeof buf);
    return rc;
}

int gd_key_source_read(unsigned char kek[32], const struct gd_key_source *src, const unsigned char salt[16],
                       bool create, bool *ret_created, struct gd_err *err)
{
    if (!!src->file + !!src->credential + !!src->passphrase_file != 1)
        return gd_err_set(err, GD_R_KEY_INVALID,
                          "name exactly one of file, credential and passphrase_file under key");
    if (src->file)
        return from_file(kek, src->file, create, ret_created, err);
    if (ret_created)
        *ret_created = false;
    if (src->credential)
        return from_credential(kek, src->credential, err);
    return from_passphrase(kek, src->passphrase_file, salt, err);
}
