/* policy/caller.c - who calls: what the kernel wrote down at connect(2), never what the caller says. */
#include "policy/policy.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int by_number(const void *a, const void *b)
{
    gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

    return (x > y) - (x < y);
}

/* All groups, sorted; the caller's own list holds the first GD_GROUPS_MAX of them. */
static bool read_groups(struct gd_caller *c, int fd)
{
    socklen_t len = 0;
    GD_AUTO_FREE gid_t *all = NULL;
    size_t n;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0)
        return true; /* none */
    if (errno != ERANGE)
        return false;
    all = gd_new(len);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &len) != 0)
        return false;
    n = len / sizeof *all;
    qsort(all, n, sizeof *all, by_number);
    c->ngroups = (unsigned)(n < GD_GROUPS_MAX ? n : GD_GROUPS_MAX);
    memcpy(c->groups, all, c->ngroups * sizeof *all);
    return true;
}

int gd_caller_from_fd(struct gd_caller *ret, int fd, struct gd_err *err)
{
    struct gd_caller c = { 0 };
    socklen_t len;
    struct ucred cred;

    len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || len != sizeof cred || cred.pid == 0)
        return gd_err_set(err, GD_R_CALLER_UNKNOWN, "the system does not say who is calling (SO_PEERCRED)");
    c.uid = cred.uid;
    c.gid = cred.gid;
    c.pid = cred.pid;
    if (!read_groups(&c, fd))
        return gd_err_set(err, GD_R_CALLER_UNKNOWN,
                          "the system does not say the caller's groups (SO_PEERGROUPS)");
    *ret = c;
    return 0;
}
