/* rpc/socket.c - makes the socket file. Nothing but a dead socket of our own is ever removed to make room. */
#include "rpc/rpc_int.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int new_socket(struct gd_err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return gd_err_set(err, GD_R_SOCKET_FAILED, "no socket: %s", strerror(errno));
    return fd;
}

/* Does somebody answer there? 1 yes, 0 no, -1 with err. */
static int somebody_answers(const struct sockaddr_un *sa, struct gd_err *err)
{
    int fd = new_socket(err), rc;

    if (fd < 0)
        return -1;
    rc = connect(fd, (const struct sockaddr *)sa, sizeof *sa);
    if (rc < 0 && errno != EAGAIN) {
        rc = errno == ECONNREFUSED || errno == ENOENT
                 ? 0
                 : gd_err_set(err, GD_R_SOCKET_FAILED, "the socket at %s cannot be tried: %s", sa->sun_path,
                              strerror(errno));
    } else {
        rc = 1;
    }
    (void)close(fd);
    return rc;
}

static int make_room(const struct sockaddr_un *sa, struct gd_err *err)
{
    struct stat st;
    int rc;

    if (lstat(sa->sun_path, &st) < 0)
        return errno == ENOENT ? 0
                               : gd_err_set(err, GD_R_SOCKET_FAILED, "%s: %s", sa->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return gd_err_set(err, GD_R_SOCKET_NOT_OURS,
                          "%s is there and is no socket; remove it by hand or choose another path",
                          sa->sun_path);
    if (st.st_uid != geteuid())
        return gd_err_set(err, GD_R_SOCKET_NOT_OURS, "the socket %s belongs to uid %u, not to us",
                          sa->sun_path, (unsigned)st.st_uid);
    rc = somebody_answers(sa, err);
    if (rc < 0)
        return -1;
    if (rc)
        return gd_err_set(err, GD_R_SOCKET_IN_USE, "another daemon answers on %s", sa->sun_path);
    if (unlink(sa->sun_path) < 0)
        return gd_err_set(err, GD_R_SOCKET_FAILED, "the dead socket %s cannot be removed: %s", sa->sun_path,
                          strerror(errno));
    return 0;
}

int gd_rpc_socket(const char *path, unsigned mode, struct gd_err *err)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    mode_t old;
    int fd, rc;

    if (strlen(path) >= sizeof sa.sun_path)
        return gd_err_set(err, GD_R_SOCKET_PATH_TOO_LONG,
                          "the path of the socket has %zu bytes, at most %zu fit", strlen(path),
                          sizeof sa.sun_path - 1);
    memcpy(sa.sun_path, path, strlen(path));
    if (make_room(&sa, err) < 0)
        return -1;
    fd = new_socket(err);
    if (fd < 0)
        return -1;
    old = umask(0177); /* nobody connects before the mode is right */
    rc = bind(fd, (const struct sockaddr *)&sa, sizeof sa);
    (void)umask(old);
    if (rc < 0 || chmod(path, (mode_t)(mode & 0777)) < 0) {
        gd_err_set(err, GD_R_SOCKET_FAILED, "the socket %s cannot be made: %s", path, strerror(errno));
        (void)close(fd);
        return -1;
    }
    return fd;
}
