/* daemon/notify.c - the service manager's protocol: readiness, watchdog, sockets handed over (sd_notify(3),
 * sd_listen_fds(3)). The environment is read once, before anything else is started. */
#include "base/mem.h"
#include "base/text.h"
#include "daemon/daemon.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_FD 3

void gd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET"); /* check:allow the service manager's own variable */
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n == 0 || n >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

static int64_t env_number(const char *name)
{
    const char *text = getenv(name); /* check:allow the service manager's own variable */
    int64_t n;

    return text && gd_parse_i64(text, &n) ? n : 0;
}

/* A second descriptor of it: the first stays open for this process when it starts itself anew. */
int gd_notify_listen_fd(void)
{
    if (env_number("LISTEN_PID") != getpid() || env_number("LISTEN_FDS") < 1)
        return -1;
    return fcntl(FIRST_FD, F_DUPFD_CLOEXEC, FIRST_FD + 1);
}

void gd_notify_watchdog(bool on)
{
    GD_AUTO_FREE char *text =
        gd_strf("WATCHDOG_USEC=%lld", on ? (long long)env_number("WATCHDOG_USEC") : 0LL);

    gd_notify(text);
}

int64_t gd_notify_watchdog_ms(void)
{
    return env_number("WATCHDOG_USEC") / 1000;
}
