/* audit/recover.c - opening a log that is there: from its last checkpoint on every record is checked before
 * the first new one is written. What a crash can leave (a last line that is not whole, or blocks of NULs
 * where a group was not synced) is cut off into <path>.torn and recorded; everything else that does not fit
 * is AUDIT_BROKEN. */
#include "audit/audit_int.h"

#include "audit/note.h"
#include "audit/reader.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_FIRST (256 * 1024)

/* ---- the file
 * -----------------------------------------------------------------------------------------------------------
 */

static int check_file(struct gd_audit *a, int fd, off_t *ret_size, struct gd_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s is not a plain file", a->path);
    if ((st.st_mode & 0022) || (st.st_uid != geteuid() && st.st_uid != 0))
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE,
                          "%s can be changed by others: it has to be the daemon's own, 0600", a->path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return gd_err_set(err, GD_R_AUDIT_LOCKED, "another process writes %s", a->path);
    if (st.st_nlink != 1 && !gd_audit_undo_rotation(a, fd))
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s has a second name (hard link)", a->path);
    *ret_size = st.st_size;
    return 0;
}

static int open_file(struct gd_audit *a, off_t *ret_size, struct gd_err *err)
{
    int fd = open(a->path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);

    if (fd < 0)
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", a->path, strerror(errno));
    a->w.fd = fd;
    if (check_file(a, fd, ret_size, err) != 0)
        return -1;
    if (*ret_size == 0)
        gd_audit_sync_folder(a->path);
    return 0;
}

int gd_audit_read_head(const char *head_path, const char *origin, const unsigned char pub[32],
                       int64_t *ret_size, unsigned char root[32], struct gd_err *err)
{
    int fd = open(head_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    char note[GD_NOTE_MAX] = "";
    ssize_t n;

    *ret_size = 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    n = fd < 0 ? -1 : read(fd, note, sizeof note - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", head_path, strerror(errno));
    if (!gd_note_check(note, origin, pub, ret_size, root))
        return gd_err_set(err, GD_R_AUDIT_BROKEN, "%s is no checkpoint of this log", head_path);
    return 0;
}

/* ---- checkpoints
 * ----------------------------------------------------------------------------------------------------------
 */

bool gd_audit_line_data(const char *line, size_t n, json_t **ret)
{
    json_t *all = gd_json_parse(line, n, GD_AUDIT_LINE_MAX, NULL), *data = json_object_get(all, "data");

    if (!json_is_object(data)) {
        json_decref(all);
        return false;
    }
    *ret = json_incref(data);
    json_decref(all);
    return true;
}

/* Begins the chain at a checkpoint: its signature is good for everything in front of it. */
static const char *start_at(struct gd_audit *a, const char *line, size_t n)
{
    unsigned char root[32], folded[32];
    GD_AUTO_JSON data = NULL;
    struct chain c = { 0 };
    const char *note;
    int64_t size;

    if (!gd_line_seq(line, n, &c.seq) || !gd_line_prev(line, n, c.head) ||
        !gd_audit_line_data(line, n, &data))
        return "the last checkpoint is not a record";
    c.seq--;
    note = gd_json_text(data, "note", "");
    if (!gd_note_check(note, a->origin, a->pub, &size, root))
        return "the last checkpoint is not signed by this log's key";
    if (!gd_chain_nodes_parse(&c, json_object_get(data, "nodes")))
        return "the last checkpoint has no tree";
    gd_chain_root(&c, folded);
    if (size != c.seq || memcmp(root, folded, 32) != 0) /* check:allow no secret */
        return "the last checkpoint does not fit its tree";
    a->w.now.chain = c;
    a->w.now.checkpoint = size;
    return NULL;
}

/* ---- the end of the file
 * ---------------------------------------------------------------------------------------------------- */

struct tail {
    char *mem; /* one byte, then the file from offset on */
    char *at;  /* mem + 1 */
    size_t n;
    off_t offset;
};

static int read_tail(const struct gd_audit *a, off_t size, size_t want, struct tail *t, struct gd_err *err)
{
    size_t got = 0;

    t->n = (off_t)want < size ? want : (size_t)size;
    t->offset = size - (off_t)t->n;
    t->mem = gd_new(t->n + 1);
    t->at = t->mem + 1;
    while (got < t->n) {
        ssize_t k = pread(a->w.fd, t->at + got, t->n - got, t->offset + (off_t)got);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", a->path,
                              k ? strerror(errno) : "it became shorter");
        got += (size_t)k;
    }
    return 0;
}

/* The last whole line that is a checkpoint; NULL when there is none in this tail. */
static char *last_checkpoint(const struct tail *t)
{
    char *line = t->at, *end = t->at + t->n, *nl, *found = NULL;

    if (t->offset) { /* the first piece of a line */
        nl = memchr(line, '\n', t->n);
        line = nl ? nl + 1 : end;
    }
    for (; line < end && (nl = memchr(line, '\n', (size_t)(end - line))); line = nl + 1)
        if (gd_line_is(line, (size_t)(nl - line), "audit.checkpoint"))
            found = line;
    return found;
}

/* Reads ever more of the end until a checkpoint is in it. */
static int find_tail(const struct gd_audit *a, off_t size, struct tail *t, char **ret_line,
                     struct gd_err *err)
{
    for (size_t want = TAIL_FIRST;; want *= 4) {
        if (read_tail(a, size, want, t, err) != 0) {
            gd_free(t->mem);
            return -1;
        }
        *ret_line = last_checkpoint(t);
        if (*ret_line || t->offset == 0)
            return 0;
        gd_free(t->mem);
    }
}

/* What a crash leaves at the end: no newline, or NULs where blocks were never written. */
static bool is_torn(const char *line, const char *end)
{
    return !memchr(line, '\n', (size_t)(end - line)) || memchr(line, '\0', (size_t)(end - line));
}

static int cut(struct gd_audit *a, const char *at, size_t n, off_t offset, json_t **ret_torn,
               struct gd_err *err)
{
    int fd = open(a->torn_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, at, n) == (ssize_t)n && fdatasync(fd) == 0;
    unsigned char hash[32];
    char hex[65];

    if (fd >= 0)
        close(fd);
    if (!ok || ftruncate(a->w.fd, offset) != 0 || fdatasync(a->w.fd) != 0)
        return gd_err_set(err, GD_R_AUDIT_UNAVAILABLE, "the torn end of %s cannot be moved to %s: %s",
                          a->path, a->torn_path, strerror(errno));
    gd_sha256(hash, at, n);
    gd_hex(hex, hash, 32);
    GD_LOG(a->log, GD_LOG_WARN, "audit.torn", GD_F_STR("path", a->path), GD_F_INT("bytes", (int64_t)n));
    *ret_torn = json_pack("{s:I,s:s}", "bytes", (json_int_t)n, "sha256", hex);
    return 0;
}

/* Every record from the line on. */
static int walk(struct gd_audit *a, struct tail *t, char *line, json_t **ret_torn, struct gd_err *err)
{
    char *end = t->at + t->n, *nl;

    a->w.now.since = 0;
    for (bool first = true; line < end; line = nl + 1, first = false) {
        const char *why;

        nl = memchr(line, '\n', (size_t)(end - line));
        why = nl ? gd_chain_take(&a->w.now.chain, line, (size_t)(nl - line)) : "torn";
        if (why && is_torn(line, end) && !first) {
            a->w.size = t->offset + (line - t->at);
            return cut(a, line, (size_t)(end - line), a->w.size, ret_torn, err);
        }
        if (why)
            return gd_err_set(err, GD_R_AUDIT_BROKEN,
                              "%s does not fit its last checkpoint: record %" PRId64 ": %s", a->path,
                              a->w.now.chain.seq + 1, why);
        a->w.now.since += !first;
    }
    a->w.size = t->offset + (off_t)t->n;
    return 0;
}

/* ---- all of it
 * ----------------------------------------------------------------------------------------------------------------
 */

/* The first record names origin and key: a log of another node or key is not continued. */
static int check_first(struct gd_audit *a, struct gd_err *err)
{
    char *line, origin[ORIGIN_MAX] = "";
    unsigned char pub[32] = { 0 };
    struct reader r;
    size_t n;
    json_t *data = NULL;
    bool ok;

    gd_reader_init(&r, a->w.fd, 0);
    ok = gd_reader_next(&r, &line, &n) == LINE_OK &&
         gd_audit_first(line, n, origin, pub, &a->w.part, &data) && !strcmp(origin, a->origin) &&
         !memcmp(pub, a->pub, 32); /* check:allow no secret */
    json_decref(data);
    gd_reader_done(&r);
    return ok ? 0
              : gd_err_set(err, GD_R_AUDIT_BROKEN, "%s does not begin as the log of %s under this key",
                           a->path, a->origin);
}

/* A log that is shorter than the checkpoint kept beside it was cut. */
static int check_head(const struct gd_audit *a, int64_t size, const unsigned char root[32],
                      struct gd_err *err)
{
    unsigned char have[32];
    struct chain c = { 0 };

    if (size == 0 || size < a->w.now.checkpoint)
        return 0;
    if (size > a->w.now.checkpoint)
        return gd_err_set(err, GD_R_AUDIT_BROKEN, "%s ends before its checkpoint in %s (%" PRId64 " records)",
                          a->path, a->head_path, size);
    c = a->w.now.chain;
    gd_chain_root(&c, have);
    if (memcmp(root, have, 32) != 0) /* check:allow no secret */
        return gd_err_set(err, GD_R_AUDIT_BROKEN, "%s is not the log that %s was signed for", a->path,
                          a->head_path);
    return 0;
}

static int read_log(struct gd_audit *a, off_t size, int64_t head_size, const unsigned char head_root[32],
                    json_t **ret_torn, struct gd_err *err)
{
    const char *why;
    struct tail t;
    char *line, *nl;
    int r = -1;

    if (check_first(a, err) != 0 || find_tail(a, size, &t, &line, err) != 0)
        return -1;
    nl = line ? memchr(line, '\n', (size_t)(t.at + t.n - line)) : NULL;
    why = nl ? start_at(a, line, (size_t)(nl - line)) : "it has no checkpoint";
    if (why)
        gd_err_set(err, GD_R_AUDIT_BROKEN, "%s: %s", a->path, why);
    else if (check_head(a, head_size, head_root, err) == 0)
        r = walk(a, &t, line, ret_torn, err);
    gd_free(t.mem);
    return r;
}

/* The first group (begin, open, checkpoint) goes out in one piece: a file without a whole line never came to
 * be. */
static bool never_began(const struct gd_audit *a, off_t size)
{
    char *line;
    struct reader r;
    bool never;
    size_t n;

    gd_reader_init(&r, a->w.fd, 0);
    never = size < GD_AUDIT_LINE_MAX && gd_reader_next(&r, &line, &n) == LINE_TORN;
    gd_reader_done(&r);
    return never;
}

static int restart(struct gd_audit *a, off_t size, json_t **ret_torn, struct gd_err *err)
{
    struct tail t;
    int r;

    if (read_tail(a, size, (size_t)size, &t, err) != 0)
        return -1;
    r = cut(a, t.at, t.n, 0, ret_torn, err);
    gd_free(t.mem);
    return r;
}

int gd_audit_recover(struct gd_audit *a, json_t **ret_torn, struct gd_err *err)
{
    unsigned char root[32];
    int64_t head = 0;
    off_t size;

    if (open_file(a, &size, err) != 0 ||
        gd_audit_read_head(a->head_path, a->origin, a->pub, &head, root, err) != 0)
        return -1;
    if (head && (size == 0 || never_began(a, size)))
        return gd_err_set(err, GD_R_AUDIT_BROKEN,
                          "%s is gone or empty, but %s says that it had %" PRId64 " records", a->path,
                          a->head_path, head);
    if (size == 0 && gd_audit_oldest(a->path))
        return gd_err_set(err, GD_R_AUDIT_BROKEN, "%s is gone or empty, but closed files of it are there",
                          a->path);
    if (size == 0)
        return 0;
    if (never_began(a, size))
        return restart(a, size, ret_torn, err);
    return read_log(a, size, head, root, ret_torn, err);
}
