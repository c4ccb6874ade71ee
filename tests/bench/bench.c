/* bench.c - see bench.h. */
#include "bench.h"

#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
    exit(1);
}

void bench_value(char *out, size_t n, const struct gd_id *id)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t s[2];

    memcpy(s, id->b, sizeof s);
    s[0] |= 1;
    for (size_t i = 0; i < n;) {
        uint64_t v = s[0] + s[1]; /* xorshift128+ */

        s[1] ^= s[0];
        s[0] = (s[0] << 24 | s[0] >> 40) ^ s[1] ^ s[1] << 16;
        s[1] = s[1] << 37 | s[1] >> 27;
        for (int k = 0; k < 10 && i < n; k++, v >>= 6)
            out[i++] = set[v & 63];
    }
}

void bench_numbered(char out[GD_ID_TEXT_MAX], const char *prefix, int64_t i)
{
    (void)snprintf(out, GD_ID_TEXT_MAX, "%s0000000%lld", prefix, (long long)(BENCH_NUMBERED + i));
}

void bench_ids_open(struct bench_ids *ids, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *at;

    if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)sizeof(struct gd_id))
        bench_die("%s holds no ids", path);
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED)
        bench_die("%s cannot be mapped", path);
    close(fd);
    ids->at = at;
    ids->n = (size_t)st.st_size / sizeof(struct gd_id);
}

int64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* First number of /proc/PID/task/TID/schedstat: nanoseconds on a CPU. */
static int64_t thread_ns(int pid, const char *tid)
{
    char path[320], text[128];
    ssize_t n = 0;
    int fd;

    (void)snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        close(fd);
    }
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtoll(text, NULL, 10);
}

int64_t bench_cpu_ns(int pid)
{
    char path[64];
    struct dirent *d;
    int64_t sum = 0;
    DIR *dir;

    if (!pid)
        return 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    dir = opendir(path);
    if (!dir)
        bench_die("process %d is gone", pid);
    while ((d = readdir(dir)))
        if (d->d_name[0] != '.')
            sum += thread_ns(pid, d->d_name);
    closedir(dir);
    return sum;
}

int64_t bench_number(const char *text, int64_t min, int64_t max)
{
    int64_t n;

    if (!gd_parse_i64(text, &n) || n < min || n > max)
        bench_die("%s is no number from %lld to %lld", text, (long long)min, (long long)max);
    return n;
}

static int unix_socket(const char *path, struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (fd < 0 || strlen(path) >= sizeof sa->sun_path)
        bench_die("no socket for %s", path);
    memcpy(sa->sun_path, path, strlen(path));
    return fd;
}

int bench_connect(const char *path)
{
    struct sockaddr_un sa;
    int fd = unix_socket(path, &sa);

    if (connect(fd, (const struct sockaddr *)&sa, sizeof sa))
        bench_die("nobody answers on %s", path);
    if (fcntl(fd, F_SETFL, O_NONBLOCK))
        bench_die("the socket does not take O_NONBLOCK");
    return fd;
}

int bench_listen(const char *path)
{
    struct sockaddr_un sa;
    int fd = unix_socket(path, &sa);

    (void)unlink(path);
    if (bind(fd, (const struct sockaddr *)&sa, sizeof sa) || listen(fd, 256))
        bench_die("%s cannot be listened on", path);
    return fd;
}

/* ---- times ---- */

void bench_times_add(struct bench_times *t, int64_t ns)
{
    uint64_t v = ns < 64 ? 64 : (uint64_t)ns;
    unsigned top = 63 - (unsigned)__builtin_clzll(v), at = (top - 6) * 64 + (unsigned)(v >> (top - 6) & 63);

    t->count++;
    t->buckets[at < BENCH_BUCKETS ? at : BENCH_BUCKETS - 1]++;
}

double bench_times_us(const struct bench_times *t, double share)
{
    uint64_t want = (uint64_t)((double)t->count * share), seen = 0;

    for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
        seen += t->buckets[i];
        if (seen > want)
            return (double)((uint64_t)(64 + i % 64) << (i / 64)) / 1000.0;
    }
    return 0;
}
