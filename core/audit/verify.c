/* audit/verify.c - the whole log, record by record, in one pass. Any thread; also while a daemon writes. */
#include "audit/audit_int.h"

#include "audit/note.h"
#include "audit/reader.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct check {
    struct gd_audit_verdict *v;
    struct chain chain;
    unsigned char pub[32];
    bool has_pub;
    char origin[ORIGIN_MAX];
    int64_t head_size; /* of the checkpoint kept beside the log */
    unsigned char head_root[32];
    const struct gd_audit_head *others; /* what other nodes know of it */
    size_t nothers;
    bool started;         /* the first record of all was taken */
    int64_t part;         /* of the file */
    int64_t lines;        /* of it, and one */
    int64_t since, every; /* records behind the last checkpoint; how many there may be */
};

static bool bad(struct check *k, int64_t line, const char *why)
{
    k->v->bad_line = line;
    (void)snprintf(k->v->why, sizeof k->v->why, "%s", why);
    return false;
}

/* Where older files were moved away the chain begins with what the first record says of it; the checkpoint
 * behind it signs that. */
static const char *begin_within(struct check *k, const char *line, size_t n, const json_t *data)
{
    if (!gd_line_seq(line, n, &k->chain.seq) || !gd_line_prev(line, n, k->chain.head))
        return "not the form of a record";
    k->v->first = k->chain.seq--;
    return gd_chain_nodes_parse(&k->chain, json_object_get(data, "nodes"))
               ? NULL
               : "the file's first record has no tree";
}

/* A file's first record: the log's name and key, the same in all of them; in the first file there is that is
 * all that is known of them. */
static const char *take_first(struct check *k, const char *path, const char *line, size_t n)
{
    GD_AUTO_FREE char *head_path = gd_strf("%s.head", path);
    GD_AUTO_JSON data = NULL;
    char origin[ORIGIN_MAX] = "";
    unsigned char pub[32];
    int64_t part;

    if (!gd_audit_first(line, n, origin, pub, &part, &data))
        return "the log does not begin with its name and key";
    if ((k->has_pub || k->started) && memcmp(k->pub, pub, 32) != 0) /* check:allow no secret */
        return "the log names another key";
    if (k->started)
        return strcmp(origin, k->origin) != 0 ? "the file is of another log"
               : part != k->part + 1          ? "a file of the log is missing before this one"
                                              : (k->part = part, NULL);
    k->started = true;
    k->part = part;
    memcpy(k->pub, pub, 32);
    (void)snprintf(k->origin, sizeof k->origin, "%s", origin);
    if (gd_audit_read_head(head_path, k->origin, k->pub, &k->head_size, k->head_root, NULL) != 0)
        return "the file .head is no checkpoint of this log";
    return part > 1 ? begin_within(k, line, n, data) : NULL;
}

/* before: the chain in front of the checkpoint. */
static const char *take_checkpoint(struct check *k, const struct chain *before, const char *line, size_t n)
{
    unsigned char root[32], have[32];
    GD_AUTO_JSON data = NULL;
    int64_t size;

    if (!gd_audit_line_data(line, n, &data) ||
        !gd_note_check(gd_json_text(data, "note", ""), k->origin, k->pub, &size, root))
        return "checkpoint signature";
    gd_chain_root(before, have);
    if (size != before->seq || memcmp(root, have, 32) != 0) /* check:allow no secret */
        return "checkpoint root";
    k->every = gd_json_i64(data, "every", 0);
    k->since = 0;
    k->v->checkpoints++;
    return NULL;
}

/* The log has come to where the checkpoint beside it was made. */
static const char *meet_head(struct check *k)
{
    unsigned char have[32];

    if (!k->head_size || k->chain.seq != k->head_size)
        return NULL;
    gd_chain_root(&k->chain, have);
    return memcmp(have, k->head_root, 32) != 0 ? "the checkpoint in .head" : NULL; /* check:allow no secret */
}

static const char *meet_others(const struct check *k)
{
    unsigned char have[32];

    for (size_t i = 0; i < k->nothers; i++) {
        if (!k->others[i].size || k->chain.seq != k->others[i].size)
            continue;
        gd_chain_root(&k->chain, have);
        if (memcmp(have, k->others[i].root, 32) != 0) /* check:allow no secret */
            return "another node's log knows a different one here";
    }
    return NULL;
}

static const char *take_line(struct check *k, const char *path, char *line, size_t n, bool first)
{
    struct chain before;
    const char *why = first ? take_first(k, path, line, n) : NULL;
    bool checkpoint = gd_line_is(line, n, "audit.checkpoint");

    if (why)
        return why;
    if (checkpoint)
        before = k->chain;
    why = gd_chain_take(&k->chain, line, n);
    if (!why && checkpoint)
        why = take_checkpoint(k, &before, line, n);
    else if (!why && ++k->since > k->every && k->every)
        why = "a checkpoint is missing here";
    if (!why)
        why = meet_head(k);
    return why ? why : meet_others(k);
}

/* Is a daemon appending to it right now? Then a last line without its end is a record on its way. */
static bool being_written(int fd)
{
    bool busy = flock(fd, LOCK_SH | LOCK_NB) != 0;

    if (!busy)
        (void)flock(fd, LOCK_UN);
    return busy;
}

/* One file. live: the last one, that a daemon may be writing. */
static int walk(struct check *k, const char *path, int fd, bool live, struct gd_err *err)
{
    struct reader r;
    enum line got = LINE_OK;
    int64_t line = 1;

    gd_reader_init(&r, fd, 0);
    for (;; line++) {
        const char *why;
        char *text;
        size_t n;

        got = gd_reader_next(&r, &text, &n);
        if (got == LINE_TORN && live && being_written(fd))
            got = LINE_END;
        if (got != LINE_OK)
            break;
        why = take_line(k, path, text, n, line == 1);
        if (why) {
            bad(k, line, why);
            break;
        }
        k->v->records++;
    }
    gd_reader_done(&r);
    k->lines = line;
    if (got == LINE_ERROR)
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", path, strerror(errno));
    if (got == LINE_TORN || got == LINE_LONG)
        bad(k, line, got == LINE_TORN ? "the last line is not whole" : "the line is too long");
    else if (got == LINE_END && line == 1)
        bad(k, 1, "the log is empty");
    return 0;
}

static int open_log(const char *path, struct gd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s is not a plain file", path);
}

static bool same_file(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* The file of that number, or the one that is written; that it was closed in between shows by its number. */
static int open_part(const char *path, int64_t part, bool *ret_live, struct gd_err *err)
{
    GD_AUTO_FREE char *closed = gd_audit_part_path(path, part);
    int fd;

    *ret_live = access(closed, F_OK) != 0;
    fd = open_log(*ret_live ? path : closed, err);
    if (fd < 0 || !*ret_live || access(closed, F_OK) != 0 || same_file(fd, closed))
        return fd;
    close(fd);
    *ret_live = false;
    return open_log(closed, err);
}

static int walk_all(struct check *k, const char *path, struct gd_err *err)
{
    int64_t part = gd_audit_oldest(path);
    bool live = false;
    int r = 0;

    for (part = part ? part : 1; r == 0 && !live && !k->v->bad_line; part++) {
        GD_AUTO_FREE char *closed = gd_audit_part_path(path, part);
        int fd = open_part(path, part, &live, err);

        if (fd < 0)
            return -1;
        if (live)
            k->v->file[0] = '\0';
        else
            (void)snprintf(k->v->file, sizeof k->v->file, ".%04" PRId64, part);
        r = walk(k, path, fd, live, err);
        live = live && !same_file(fd, closed); /* it was closed while it was read */
        close(fd);
    }
    if (r == 0 && !k->v->bad_line && k->head_size >= k->chain.seq && k->head_size) /* it is a record too */
        bad(k, k->lines, "the log ends before the checkpoint in .head");
    for (size_t i = 0; r == 0 && i < k->nothers && !k->v->bad_line; i++)
        if (k->others[i].size >= k->chain.seq && k->others[i].size)
            bad(k, k->lines, "the log ends before what another node's log knows of it");
    return r;
}

int gd_audit_verify_among(const char *path, const unsigned char pub[32], const char *const *others,
                          size_t nothers, struct gd_audit_verdict *ret, struct gd_err *err)
{
    struct gd_audit_verdict v = { .first = 1 };
    GD_AUTO_FREE struct gd_audit_head *heads = gd_new_array(nothers + 1, sizeof *heads);
    struct check k = { .v = &v, .has_pub = pub != NULL, .others = heads, .nothers = nothers };

    for (size_t i = 0; i < nothers; i++)
        if (gd_audit_read_heads(path, others[i], &heads[i], err) != 0)
            return -1;
    if (pub)
        memcpy(k.pub, pub, 32);
    if (walk_all(&k, path, err) != 0)
        return -1;
    gd_hex(v.head, k.chain.head, 32);
    *ret = v;
    return 0;
}

int gd_audit_verify(const char *path, const unsigned char pub[32], struct gd_audit_verdict *ret,
                    struct gd_err *err)
{
    return gd_audit_verify_among(path, pub, NULL, 0, ret, err);
}
