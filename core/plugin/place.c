/* plugin/place.c - reliability T31 and T32. The walk opens one name after the other below the descriptor of
 * its parent, so that a folder renamed in between changes nothing. */
#include "plugin/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The descriptor of name below dir without following any link. Kernels before 5.6 and filters that do not
 * know openat2 get the same from O_NOFOLLOW, because name is one component. */
static int open_below(int dir, const char *name, int flags)
{
    struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    long fd = syscall(SYS_openat2, dir, name, &how, sizeof how);

    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW);
    return (int)fd;
}

/* Nobody but root (or, unchecked, the owner) can put something else here. A sticky folder keeps others from
 * renaming what is not theirs; that is enough only where owners do not matter. */
static int check_dir(int fd, const char *path, bool check_owner, struct gd_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return gd_err_set(err, GD_R_PLATFORM_DIR_UNSAFE, "%s cannot be looked at: %s", path, strerror(errno));
    if (S_ISLNK(st.st_mode))
        return gd_err_set(err, GD_R_PLATFORM_DIR_UNSAFE,
                          "%s is a symbolic link; name the folder it leads to in platform_dir", path);
    if (!S_ISDIR(st.st_mode))
        return gd_err_set(err, GD_R_PLATFORM_DIR_MISSING, "%s is not a folder", path);
    if (check_owner && st.st_uid != 0)
        return gd_err_set(err, GD_R_PLATFORM_DIR_UNSAFE, "%s belongs to user %u, not to root; chown root it",
                          path, (unsigned)st.st_uid);
    if ((st.st_mode & 022) && (check_owner || !(st.st_mode & S_ISVTX)))
        return gd_err_set(err, GD_R_PLATFORM_DIR_UNSAFE,
                          "%s can be written by others (mode %04o); chmod go-w it", path,
                          (unsigned)st.st_mode & 07777);
    return 0;
}

static int walk_failed(const char *so_far, struct gd_err *err)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return gd_err_set(err, GD_R_PLATFORM_DIR_MISSING, "the folder of platforms %s does not exist",
                          so_far);
    return gd_err_set(err, GD_R_PLATFORM_DIR_UNSAFE, "%s cannot be opened: %s", so_far, strerror(errno));
}

/* One step of the walk: the next component of path at *at replaces *fd. */
static int walk_step(int *fd, const char *path, size_t *at, bool check_owner, struct gd_err *err)
{
    size_t n = strcspn(path + *at, "/");
    char name[NAME_MAX + 1], so_far[PATH_MAX];
    int next;

    if (n > NAME_MAX || (n == 2 && !strncmp(path + *at, "..", 2)))
        return gd_err_set(err, GD_R_PLATFORM_DIR_UNSAFE, "%s is not a plain path; write it without ..", path);
    memcpy(name, path + *at, n);
    name[n] = '\0';
    *at += n;
    (void)snprintf(so_far, sizeof so_far, "%.*s", (int)*at, path);
    next = open_below(*fd, name, O_PATH);
    if (next < 0)
        return walk_failed(so_far, err);
    (void)close(*fd);
    *fd = next;
    return check_dir(*fd, so_far, check_owner, err);
}

static int absolute(char *out, size_t size, const char *path, struct gd_err *err)
{
    char cwd[PATH_MAX];
    int n;

    if (path[0] == '/')
        n = snprintf(out, size, "%s", path);
    else if (getcwd(cwd, sizeof cwd))
        n = snprintf(out, size, "%s/%s", cwd, path);
    else
        return walk_failed(path, err);
    if (n < 0 || (size_t)n >= size)
        return gd_err_set(err, GD_R_PLATFORM_DIR_MISSING, "the path of the folder of platforms is too long");
    return 0;
}

int gd_plugin_open_dir(const char *path, bool check_owner, struct gd_err *err)
{
    char full[PATH_MAX];
    size_t at = 0;
    int fd, list;

    if (absolute(full, sizeof full, path, err) != 0)
        return -1;
    fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return walk_failed("/", err);
    if (check_dir(fd, "/", check_owner, err) != 0)
        goto out;
    for (;;) {
        at += strspn(full + at, "/");
        if (!full[at])
            break;
        if (walk_step(&fd, full, &at, check_owner, err) != 0)
            goto out;
    }
    list = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (list < 0)
        walk_failed(full, err);
    (void)close(fd);
    return list;
out:
    (void)close(fd);
    return -1;
}

static int check_file(int fd, const char *name, bool check_owner, struct gd_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return gd_err_set(err, GD_R_PLATFORM_NOT_FILE, "%s cannot be looked at: %s", name, strerror(errno));
    if (S_ISLNK(st.st_mode))
        return gd_err_set(err, GD_R_PLATFORM_SYMLINK, "%s is a symbolic link; copy the file itself here",
                          name);
    if (!S_ISREG(st.st_mode))
        return gd_err_set(err, GD_R_PLATFORM_NOT_FILE, "%s is not a plain file", name);
    if (check_owner && st.st_uid != 0)
        return gd_err_set(err, GD_R_PLATFORM_OWNER, "%s belongs to user %u, not to root; chown root it", name,
                          (unsigned)st.st_uid);
    if (st.st_mode & (022 | S_ISUID | S_ISGID))
        return gd_err_set(err, GD_R_PLATFORM_MODE, "%s can be written by others (mode %04o); chmod 0644 it",
                          name, (unsigned)st.st_mode & 07777);
    if (st.st_nlink != 1)
        return gd_err_set(err, GD_R_PLATFORM_HARD_LINK,
                          "%s has %lu names, so it can be changed under another one; copy the file here",
                          name, (unsigned long)st.st_nlink);
    return 0;
}

int gd_plugin_open_file(int dir, const char *name, bool check_owner, struct gd_err *err)
{
    int fd;

    if (strchr(name, '/') || !strcmp(name, "..") || !strcmp(name, "."))
        return gd_err_set(err, GD_R_PLATFORM_NOT_FILE, "%s is not the name of a file in the folder", name);
    fd = open_below(dir, name, O_PATH);
    if (fd < 0 && errno == ELOOP)
        return gd_err_set(err, GD_R_PLATFORM_SYMLINK, "%s is a symbolic link; copy the file itself here",
                          name);
    if (fd < 0)
        return gd_err_set(err, GD_R_PLATFORM_FILE_MISSING, "%s cannot be opened: %s", name, strerror(errno));
    if (check_file(fd, name, check_owner, err) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}
