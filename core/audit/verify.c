/* audit/verify.c - the whole log, record by record, in one pass. Any thread; also while a daemon writes. */
#include "audit/audit_int.h"

#include "audit/note.h"
#include "audit/reader.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
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
    int64_t since, every; /* records behind the last checkpoint; how many there may be */
};

static bool bad(struct check *k, int64_t line, const char *why)
{
    k->v->bad_line = line;
    (void)snprintf(k->v->why, sizeof k->v->why, "%s", why);
    return false;
}

/* The log's first record: its name and key, and the checkpoint kept beside it. */
static const char *take_first(struct check *k, const char *path, const char *line, size_t n)
{
    GD_AUTO_FREE char *head_path = gd_strf("%s.head", path);
    GD_AUTO_JSON data = NULL;
    unsigned char pub[32];

    if (!gd_line_is(line, n, "audit.begin") || !gd_audit_line_data(line, n, &data) ||
        !gd_note_key_parse(gd_json_text(data, "key", ""), k->origin, pub))
        return "the log does not begin with its name and key";
    if (k->has_pub && memcmp(k->pub, pub, 32) != 0) /* check:allow no secret */
        return "the log names another key";
    memcpy(k->pub, pub, 32);
    if (gd_audit_read_head(head_path, k->origin, k->pub, &k->head_size, k->head_root, NULL) != 0)
        return "the file .head is no checkpoint of this log";
    return NULL;
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

static const char *take_line(struct check *k, const char *path, char *line, size_t n)
{
    struct chain before;
    const char *why;
    bool checkpoint = gd_line_is(line, n, "audit.checkpoint");

    if (checkpoint)
        before = k->chain;
    why = gd_chain_take(&k->chain, line, n);
    if (!why && k->chain.seq == 1)
        why = take_first(k, path, line, n);
    if (!why && checkpoint)
        why = take_checkpoint(k, &before, line, n);
    else if (!why && ++k->since > k->every && k->every)
        why = "a checkpoint is missing here";
    return why ? why : meet_head(k);
}

/* Is a daemon appending to it right now? Then a last line without its end is a record on its way. */
static bool being_written(int fd)
{
    bool busy = flock(fd, LOCK_SH | LOCK_NB) != 0;

    if (!busy)
        (void)flock(fd, LOCK_UN);
    return busy;
}

static bool at_end(struct check *k, int64_t line)
{
    if (line == 1)
        return bad(k, 1, "the log is empty");
    if (k->head_size && k->head_size >= k->chain.seq) /* the checkpoint is a record too */
        return bad(k, line, "the log ends before the checkpoint in .head");
    return true;
}

static int walk(struct check *k, const char *path, int fd, struct gd_err *err)
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
        if (got == LINE_TORN && being_written(fd))
            got = LINE_END;
        if (got != LINE_OK)
            break;
        why = take_line(k, path, text, n);
        if (why) {
            bad(k, line, why);
            break;
        }
        k->v->records++;
    }
    gd_reader_done(&r);
    if (got == LINE_ERROR)
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", path, strerror(errno));
    if (got == LINE_TORN || got == LINE_LONG)
        bad(k, line, got == LINE_TORN ? "the last line is not whole" : "the line is too long");
    else if (got == LINE_END)
        (void)at_end(k, line);
    gd_hex(k->v->head, k->chain.head, 32);
    return 0;
}

int gd_audit_verify(const char *path, const unsigned char pub[32], struct gd_audit_verdict *ret,
                    struct gd_err *err)
{
    struct gd_audit_verdict v = { 0 };
    struct check k = { .v = &v, .has_pub = pub != NULL };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
    struct stat st;

    if (fd < 0)
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s is not a plain file", path);
    }
    if (pub)
        memcpy(k.pub, pub, 32);
    r = walk(&k, path, fd, err);
    close(fd);
    if (r == 0)
        *ret = v;
    return r;
}
