/* store/ahead.c - reads a large database file once from front to back, beside whoever opens it. A start scans
 * three tables whose pages lie among those of others: on a cold disk that is one small read after the other,
 * none of which the kernel foresees. The file is then looked at as a whole anyway (gd_store_check), so no
 * byte is read that would not have been. */
#include "store/sqlite_int.h"

#include "base/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (1024 * 1024)

/* What would push itself out of the page cache again is better read as it is needed: that costs a small read
 * a page, three times the time of a start where the file still fits. */
static bool is_worth_it(int fd, off_t *ret_size)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < GD_STORE_CHECK_FIRST)
        return false;
    *ret_size = st.st_size;
    return pages > 0 && page > 0 && st.st_size / page < pages / 4 * 3;
}

static void *ahead_main(void *arg)
{
    struct gd_ahead *a = arg;
    char *buf = gd_new(CHUNK);

    for (off_t at = 0; at < a->size && !atomic_load(&a->stop);) {
        ssize_t n = pread(a->fd, buf, CHUNK, at);

        if (n <= 0) /* whoever needs that place will say what is wrong with it */
            break;
        at += n;
        atomic_store(&a->done, at);
    }
    gd_free(buf);
    return NULL;
}

/* The thread takes no signals: those are the loop's. */
static bool start_thread(struct gd_ahead *a)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&a->thread, NULL, ahead_main, a);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc == 0;
}

void gd_ahead_start(struct gd_ahead *a, const char *path)
{
    a->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    a->running = is_worth_it(a->fd, &a->size) && start_thread(a);
    if (a->running || a->fd < 0)
        return;
    close(a->fd);
    a->fd = -1;
}

void gd_ahead_stop(struct gd_ahead *a)
{
    if (!a->running)
        return;
    atomic_store(&a->stop, true);
    pthread_join(a->thread, NULL);
    close(a->fd);
    a->running = false;
}
