/* store/walfile.c - the writer's log, written in large pieces. SQLite writes each page of a commit in two
 * calls (24 bytes of head, 4,096 of page), which fit no page of the file: every call is a system call, and
 * where the page cache lost a page of the log it is read back from the disk before a part of it is written.
 * What follows on what came before is put together here and goes down when SQLite syncs, reads, asks for the
 * size or ends.
 *
 * Nobody looks for a commit in the log before its sync came back (synchronous=FULL, which sqlite_open.c
 * checks), so nobody misses what is still here. An error of a write is told by the call that sent it down,
 * the sync as a rule: the commit fails as it did before. All other files are SQLite's own. */
#include "store/sqlite_int.h"

#include "base/mem.h"

#include <string.h>

#define TOGETHER ((size_t)64 * 1024) /* bytes; the copy stays in the cache of a core */

struct walfile {
    sqlite3_file base; /* first */
    sqlite3_file *real;
    unsigned char *bytes;
    sqlite3_int64 at; /* where they belong */
    size_t n;
};

static sqlite3_vfs vfs, *below;

static struct walfile *of(sqlite3_file *f)
{
    return (struct walfile *)(void *)f;
}

static int send_down(struct walfile *w)
{
    int rc = w->n ? w->real->pMethods->xWrite(w->real, w->bytes, (int)w->n, w->at) : SQLITE_OK;

    w->n = 0;
    return rc;
}

static int on_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct walfile *w = of(f);
    size_t more = (size_t)n;
    int rc = SQLITE_OK;

    if (w->n && (at != w->at + (sqlite3_int64)w->n || w->n + more > TOGETHER))
        rc = send_down(w);
    if (rc != SQLITE_OK)
        return rc;
    if (more > TOGETHER)
        return w->real->pMethods->xWrite(w->real, p, n, at);
    if (!w->n)
        w->at = at;
    memcpy(w->bytes + w->n, p, more);
    w->n += more;
    return SQLITE_OK;
}

static int on_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    int rc = send_down(of(f));

    return rc == SQLITE_OK ? of(f)->real->pMethods->xRead(of(f)->real, p, n, at) : rc;
}

static int on_sync(sqlite3_file *f, int flags)
{
    int rc = send_down(of(f));

    return rc == SQLITE_OK ? of(f)->real->pMethods->xSync(of(f)->real, flags) : rc;
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int rc = send_down(of(f));

    return rc == SQLITE_OK ? of(f)->real->pMethods->xTruncate(of(f)->real, size) : rc;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    int rc = send_down(of(f));

    return rc == SQLITE_OK ? of(f)->real->pMethods->xFileSize(of(f)->real, ret) : rc;
}

static int on_close(sqlite3_file *f)
{
    int rc = send_down(of(f)), closed = of(f)->real->pMethods->xClose(of(f)->real);

    gd_free(of(f)->bytes);
    return rc == SQLITE_OK ? closed : rc;
}

static int on_lock(sqlite3_file *f, int how)
{
    return of(f)->real->pMethods->xLock(of(f)->real, how);
}

static int on_unlock(sqlite3_file *f, int how)
{
    return of(f)->real->pMethods->xUnlock(of(f)->real, how);
}

static int on_check_lock(sqlite3_file *f, int *ret)
{
    return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, ret);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
    return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int on_sector(sqlite3_file *f)
{
    return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int on_traits(sqlite3_file *f)
{
    return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static const sqlite3_io_methods methods = { .iVersion = 1,
                                            .xClose = on_close,
                                            .xRead = on_read,
                                            .xWrite = on_write,
                                            .xTruncate = on_truncate,
                                            .xSync = on_sync,
                                            .xFileSize = on_size,
                                            .xLock = on_lock,
                                            .xUnlock = on_unlock,
                                            .xCheckReservedLock = on_check_lock,
                                            .xFileControl = on_control,
                                            .xSectorSize = on_sector,
                                            .xDeviceCharacteristics = on_traits };

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    struct walfile *w = of(f);
    int rc;

    (void)v;
    if (!(flags & SQLITE_OPEN_WAL))
        return below->xOpen(below, name, f, flags, ret_flags);
    *w = (struct walfile){ .real = (sqlite3_file *)(void *)(w + 1) };
    rc = below->xOpen(below, name, w->real, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc; /* SQLite does not close what has no methods */
    w->bytes = gd_new(TOGETHER);
    w->base.pMethods = &methods;
    return SQLITE_OK;
}

const char *gd_sqlite_walfile_setup(void)
{
    below = sqlite3_vfs_find(NULL);
    vfs = *below;
    vfs.pNext = NULL;
    vfs.zName = "grantd";
    vfs.szOsFile += (int)sizeof(struct walfile);
    vfs.xOpen = on_open;
    return sqlite3_vfs_register(&vfs, 0) == SQLITE_OK ? vfs.zName : NULL;
}
