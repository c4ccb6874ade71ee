/* grant/erased.c - a file that only grows, until it is halved when it is opened. */
#include "grant/erased.h"

#include "base/id.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct gd_erased {
    int fd;
    bool dirty;
    struct gd_map names; /* "workspace client" */
};

static void take_lines(struct gd_erased *e, char *p)
{
    const char *space;
    struct gd_id id;
    char *end;

    for (; (end = strchr(p, '\n')); p = end + 1) { /* a torn one was not relied on */
        *end = '\0';
        space = strchr(p, ' ');
        if (space && gd_id_parse(&id, "cl", space + 1, strlen(space + 1)))
            (void)gd_map_set(&e->names, p, e);
    }
}

/* From where on the file is read: all of it, or the newer half. */
static int read_file(struct gd_erased *e, off_t size)
{
    off_t from = size > GD_ERASED_FILE_MAX ? size - GD_ERASED_FILE_MAX / 2 : 0;
    size_t n = (size_t)(size - from);
    GD_AUTO_FREE char *text = gd_new(n + 1);
    char *p = text;

    if (pread(e->fd, text, n, from) != (ssize_t)n)
        return -1;
    if (from > 0)
        p = strchr(text, '\n') ? strchr(text, '\n') + 1 : text + n;
    take_lines(e, p);
    return from > 0 ? 1 : 0;
}

/* What a full disk tore off before it ends here, and takes this one not along. */
static bool append(int fd, const char *name)
{
    GD_AUTO_FREE char *line = gd_strf("\n%s\n", name);

    return write(fd, line, strlen(line)) == (ssize_t)strlen(line);
}

/* Puts a file with what is known now in the place of the large one. */
static bool rewrite(struct gd_erased *e, const char *path)
{
    GD_AUTO_FREE char *fresh = gd_strf("%s.new", path);
    int fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0;

    gd_map_each(it, &e->names) ok = ok && append(fd, it->key);
    ok = ok && fsync(fd) == 0 && rename(fresh, path) == 0;
    if (ok) {
        close(e->fd);
        e->fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    return ok;
}

int gd_erased_open(struct gd_erased **ret, const char *path, struct gd_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600), rc;
    struct gd_erased *e;
    struct stat st;

    if (fd < 0)
        return gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "%s cannot be opened: %s", path, strerror(errno));
    e = gd_new(sizeof *e);
    e->fd = fd;
    rc = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read_file(e, st.st_size) : -1;
    if (rc < 0 || (rc > 0 && !rewrite(e, path))) {
        gd_erased_free(e);
        return gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "%s cannot be read: %s", path, strerror(errno));
    }
    *ret = e;
    return 0;
}

void gd_erased_free(struct gd_erased *e)
{
    if (!e)
        return;
    close(e->fd);
    gd_map_done(&e->names, NULL);
    gd_free(e);
}

bool gd_erased_knows(const struct gd_erased *e, const char *workspace, const char *client)
{
    GD_AUTO_FREE char *name = gd_strf("%s %s", workspace, client);

    return e && gd_map_get(&e->names, name);
}

void gd_erased_note(struct gd_erased *e, const char *workspace, const char *client)
{
    GD_AUTO_FREE char *name = gd_strf("%s %s", workspace, client);

    if (!e || gd_map_get(&e->names, name))
        return;
    (void)gd_map_set(&e->names, name, e);
    e->dirty |= append(e->fd, name);
}

void gd_erased_sync(struct gd_erased *e)
{
    if (e && e->dirty)
        e->dirty = fdatasync(e->fd) < 0;
}

void gd_erased_each(const struct gd_erased *e,
                    void (*fn)(void *arg, const char *workspace, const char *client), void *arg)
{
    if (!e)
        return;
    gd_map_each(it, &e->names)
    {
        GD_AUTO_FREE char *name = gd_strdup(it->key);
        char *space = strchr(name, ' ');

        *space = '\0';
        fn(arg, name, space + 1);
    }
}
