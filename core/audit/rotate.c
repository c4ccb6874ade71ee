/* audit/rotate.c - a log that has grown goes on in a new file. The old one ends with a checkpoint and gets a
 * number; the new one begins with the record audit.continue, which names the log and its key again and the
 * tree so far, and a checkpoint that signs it. First the new file is whole and synced under another name,
 * then the old one gets its second name, then the new one takes the first in one step: at every moment path
 * is a whole log. */
#include "audit/audit_int.h"

#include "audit/note.h"
#include "audit/reader.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *gd_audit_part_path(const char *path, int64_t part)
{
    return gd_strf("%s.%04" PRId64, path, part);
}

bool gd_audit_has_part(const char *path, int64_t part)
{
    GD_AUTO_FREE char *name = gd_audit_part_path(path, part);

    return access(name, F_OK) == 0;
}

int64_t gd_audit_oldest(const char *path)
{
    for (int64_t part = 1; part <= GD_AUDIT_FILES_MAX; part++)
        if (gd_audit_has_part(path, part))
            return part;
    return 0;
}

void gd_audit_sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    GD_AUTO_FREE char *dir = slash ? gd_strndup(path, (size_t)(slash - path) + 1) : gd_strdup(".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd);
    close(fd);
}

bool gd_audit_first(const char *line, size_t n, char origin[ORIGIN_MAX], unsigned char pub[32],
                    int64_t *ret_part, json_t **ret_data)
{
    bool on = gd_line_is(line, n, "audit.continue");
    json_t *data = NULL;

    if ((!on && !gd_line_is(line, n, "audit.begin")) || !gd_audit_line_data(line, n, &data))
        return false;
    *ret_part = on ? gd_json_i64(data, "part", 0) : 1;
    if (*ret_part < 1 || !gd_note_key_parse(gd_json_text(data, "key", ""), origin, pub)) {
        json_decref(data);
        return false;
    }
    *ret_data = data;
    return true;
}

bool gd_audit_undo_rotation(struct gd_audit *a, int fd)
{
    char *line, origin[ORIGIN_MAX];
    unsigned char pub[32];
    struct stat one, two;
    struct reader r;
    int64_t part = 0;
    json_t *data = NULL;
    size_t n;
    bool ok;

    gd_reader_init(&r, fd, 0);
    ok = gd_reader_next(&r, &line, &n) == LINE_OK && gd_audit_first(line, n, origin, pub, &part, &data);
    json_decref(data);
    gd_reader_done(&r);
    if (!ok)
        return false;
    GD_AUTO_FREE char *closed = gd_audit_part_path(a->path, part);
    ok = fstat(fd, &one) == 0 && one.st_nlink == 2 && lstat(closed, &two) == 0 && one.st_ino == two.st_ino &&
         one.st_dev == two.st_dev && unlink(closed) == 0;
    if (ok)
        GD_LOG(a->log, GD_LOG_INFO, "audit.rotation_undone", GD_F_STR("path", closed));
    return ok;
}

/* ---- the new file ---- */

static void fill(struct gd_audit *a)
{
    json_t *nodes = gd_chain_nodes_json(&a->w.now.chain);
    char vkey[GD_NOTE_MAX];

    gd_note_key(vkey, a->origin, a->pub);
    gd_audit_note_act(a, "audit.continue",
                      json_pack("{s:s,s:s,s:I,s:o}", "origin", a->origin, "key", vkey, "part",
                                (json_int_t)a->w.part + 1, "nodes", nodes));
    gd_audit_checkpoint(a);
}

static int open_new(const char *name)
{
    int fd = open(name, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Both names in one step each; 0 or an errno, and then nothing has changed. */
static int exchange(const struct gd_audit *a, const char *fresh)
{
    GD_AUTO_FREE char *closed = gd_audit_part_path(a->path, a->w.part);
    int e;

    if (link(a->path, closed) != 0)
        return errno;
    e = GD_FAULT("audit.rotate");
    if (!e && rename(fresh, a->path) != 0)
        e = errno;
    if (e)
        (void)unlink(closed);
    else
        gd_audit_sync_folder(a->path);
    return e;
}

/* The old file goes on; it is tried again when it has grown by a sixteenth. */
static void stay(struct gd_audit *a, struct writer old, const char *fresh, int e)
{
    struct writer *w = &a->w;

    if (w->fd >= 0)
        close(w->fd);
    (void)unlink(fresh);
    w->fd = old.fd;
    w->size = old.size;
    w->now = w->before;
    gd_audit_forget_group(w);
    w->rotate_at = w->size + a->file_max / 16 + 1;
    GD_LOG(a->log, GD_LOG_WARN, "audit.not_rotated", GD_F_STR("path", a->path),
           GD_F_STR("error", strerror(e)));
}

void gd_audit_rotate(struct gd_audit *a)
{
    GD_AUTO_FREE char *fresh = gd_strf("%s.new", a->path);
    struct writer *w = &a->w, old = *w;
    int e;

    w->before = w->now;
    w->fd = w->part < GD_AUDIT_FILES_MAX ? open_new(fresh) : -1;
    e = w->fd >= 0 ? 0 : w->part < GD_AUDIT_FILES_MAX ? errno : EFBIG;
    w->size = 0;
    if (!e) {
        fill(a);
        e = gd_audit_append(w);
    }
    if (!e)
        e = exchange(a, fresh);
    if (e)
        stay(a, old, fresh, e);
    else {
        close(old.fd);
        w->part++;
        w->rotate_at = a->file_max;
        gd_audit_group_done(a);
        GD_LOG(a->log, GD_LOG_INFO, "audit.rotated", GD_F_STR("path", a->path), GD_F_INT("part", w->part));
    }
    gd_buf_clear(&w->out);
    w->written = 0;
}
