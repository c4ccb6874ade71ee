/* link.c - the connection to the daemon: one JSON object a line, blocking. */
#include "ctl.h"
#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 1500 /* then a person is told that it still runs */

struct link {
    int fd;
    struct gd_buf in;
    bool waiting; /* the word is on the terminal */
};

static int unreachable(const char *path, int e, struct gd_err *err)
{
    if (e == EACCES)
        return gd_err_set(
            err, GD_R_DENIED,
            "you may not open %s; its group may (see `ls -l`), and then the rules under policy decide", path);
    return gd_err_set(err, GD_R_DAEMON_UNREACHABLE,
                      "no daemon answers on %s (%s); start it with `systemctl start grantd` or `grantd "
                      "--config FILE`, or name "
                      "its socket with --socket",
                      path, strerror(e));
}

struct link *link_open(const char *path, struct gd_err *err)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct link *l;
    int fd;

    if (strlen(path) >= sizeof sa.sun_path) {
        gd_err_set(err, GD_R_SOCKET_PATH_TOO_LONG,
                   "the path of the socket has %zu bytes, at most %zu are possible", strlen(path),
                   sizeof sa.sun_path - 1);
        return NULL;
    }
    memcpy(sa.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        unreachable(path, errno, err);
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    l = gd_new(sizeof *l);
    l->fd = fd;
    gd_buf_init(&l->in, GD_RPC_ANSWER_MAX + GD_RPC_FRAME_MAX);
    return l;
}

void link_close(struct link *l)
{
    if (!l)
        return;
    (void)close(l->fd);
    gd_buf_done(&l->in);
    gd_free(l);
}

int link_call(struct link *l, const char *method, json_t *params, struct gd_err *err)
{
    GD_AUTO_JSON msg =
        json_pack("{s:s,s:i,s:s,s:O}", "jsonrpc", "2.0", "id", 1, "method", method, "params", params);
    GD_AUTO_FREE char *text = gd_json_dump(msg);
    GD_AUTO_FREE char *line = gd_strf("%s\n", text ? text : "");
    size_t n = strlen(line);

    if (n - 1 > GD_RPC_FRAME_MAX) /* without the line feed, as the daemon counts */
        return gd_err_set(err, GD_R_FRAME_TOO_LARGE, "the request has %zu bytes, at most %d are taken", n - 1,
                          GD_RPC_FRAME_MAX);
    for (size_t at = 0; at < n;) {
        ssize_t k = send(l->fd, line + at, n - at, MSG_NOSIGNAL);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            break; /* it may have said why: the answer is read */
        at += (size_t)k;
    }
    return 0;
}

/* A person at a terminal hears that it still runs. */
static void be_patient(struct link *l)
{
    struct pollfd p = { .fd = l->fd, .events = POLLIN };

    if (l->waiting || !isatty(STDERR_FILENO) || poll(&p, 1, PATIENCE_MS) != 0)
        return;
    l->waiting = true;
    (void)fputs("still at it; the platform has to answer ...\r", stderr);
}

static ssize_t take_in(struct link *l)
{
    char part[65536];
    ssize_t n;

    be_patient(l);
    do
        n = recv(l->fd, part, sizeof part, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0 && !gd_buf_add(&l->in, part, (size_t)n))
        n = -1;
    gd_wipe(part, n > 0 ? (size_t)n : 0);
    if (l->waiting)
        (void)fputs("\r\033[K", stderr);
    return n;
}

json_t *link_next(struct link *l, struct gd_err *err)
{
    char *nl = NULL;
    json_t *out;

    while (!l->in.len || !(nl = memchr(l->in.ptr, '\n', l->in.len)))
        if (take_in(l) <= 0) {
            gd_err_set(err, GD_R_DAEMON_UNREACHABLE,
                       "the daemon closed the connection before it had answered");
            return NULL;
        }
    out = gd_json_parse(l->in.ptr, (size_t)(nl - l->in.ptr), GD_RPC_ANSWER_MAX + GD_RPC_FRAME_MAX, err);
    gd_buf_consume(&l->in, (size_t)(nl - l->in.ptr) + 1);
    if (!json_is_object(out)) {
        json_decref(out);
        gd_err_set(err, GD_R_DAEMON_UNREACHABLE,
                   "what came back is no answer of grantd: something else listens on the socket");
        return NULL;
    }
    return out;
}
