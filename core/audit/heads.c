/* audit/heads.c - the chains of several nodes hold each other: each writes down what the others signed last,
 * and its own next checkpoint signs that. Who cuts the end of one log, and the checkpoint kept beside it,
 * would have to cut all the others, too. Heads that sign nothing but heads are not shown: nodes that are idle
 * would answer each other for ever. */
#include "audit/audit_int.h"

#include "audit/note.h"
#include "audit/reader.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 16 /* heads in one record, which has to stay below GD_AUDIT_RECORD_MAX */

/* ---- writing [loop] ---- */

static void write_some(struct gd_audit *a, json_t *some)
{
    GD_AUTO_JSON data = json_pack("{s:o}", "heads", some);
    struct gd_audit_entry e = {
        .act = GD_AUDIT_HEADS, .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };

    e.data = data;
    gd_audit_write(a, &e, NULL, NULL);
}

void gd_audit_write_heads(struct gd_audit *a)
{
    json_t *some = json_array(), *note;
    const char *origin;

    json_object_foreach(a->heads_new, origin, note)
    {
        json_array_append(some, note);
        if (json_array_size(some) < AT_ONCE)
            continue;
        write_some(a, some);
        some = json_array();
    }
    json_object_update(a->heads, a->heads_new);
    json_object_clear(a->heads_new);
    if (json_array_size(some))
        write_some(a, some);
    else
        json_decref(some);
}

void gd_audit_set_heads(struct gd_audit *a, const json_t *notes)
{
    json_t *one;
    size_t i;

    json_array_foreach(notes, i, one)
    {
        const char *text = json_string_value(one);
        GD_AUTO_FREE char *origin = text ? gd_strndup(text, strcspn(text, "\n")) : NULL;
        const json_t *known = origin ? json_object_get(a->heads, origin) : NULL;

        if (!origin || strlen(text) >= GD_NOTE_MAX || !strcmp(origin, a->origin) ||
            (known && json_equal(known, one)))
            continue;
        json_object_set(a->heads_new, origin, one);
    }
}

char *gd_audit_shown(struct gd_audit *a)
{
    pthread_mutex_lock(&a->lock);
    if (a->last_note && a->last_own > a->shown_own) {
        a->shown_own = a->last_own;
        gd_free(a->shown);
        a->shown = gd_strdup(a->last_note);
    }
    pthread_mutex_unlock(&a->lock);
    return a->shown ? gd_strdup(a->shown) : NULL;
}

/* ---- reading ---- */

static bool first_of(const char *path, char origin[ORIGIN_MAX], unsigned char pub[32])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    json_t *data = NULL;
    struct reader r;
    int64_t part;
    char *line;
    size_t n;
    bool ok;

    if (fd < 0)
        return false;
    gd_reader_init(&r, fd, 0);
    ok = gd_reader_next(&r, &line, &n) == LINE_OK && gd_audit_first(line, n, origin, pub, &part, &data);
    json_decref(data);
    gd_reader_done(&r);
    close(fd);
    return ok;
}

static void take_heads(const char *line, size_t n, const char *origin, const unsigned char pub[32],
                       struct gd_audit_head *ret)
{
    GD_AUTO_JSON data = NULL;
    json_t *one;
    size_t i;

    if (!gd_line_is(line, n, GD_AUDIT_HEADS) || !gd_audit_line_data(line, n, &data))
        return;
    json_array_foreach(json_object_get(data, "heads"), i, one)
    {
        const char *text = json_string_value(one);
        unsigned char root[32];
        int64_t size;

        if (!text || !gd_note_check(text, origin, pub, &size, root) || size <= ret->size)
            continue;
        ret->size = size;
        memcpy(ret->root, root, sizeof root);
    }
}

static int read_file(const char *path, const char *origin, const unsigned char pub[32],
                     struct gd_audit_head *ret, struct gd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct reader r;
    char *line;
    size_t n;

    if (fd < 0)
        return gd_err_set(err, GD_R_AUDIT_UNREADABLE, "%s: %s", path, strerror(errno));
    gd_reader_init(&r, fd, 0);
    while (gd_reader_next(&r, &line, &n) == LINE_OK)
        take_heads(line, n, origin, pub, ret);
    gd_reader_done(&r);
    close(fd);
    return 0;
}

int gd_audit_read_heads(const char *path, const char *other, struct gd_audit_head *ret, struct gd_err *err)
{
    int64_t own = gd_audit_oldest(path), part = gd_audit_oldest(other);
    GD_AUTO_FREE char *first = own ? gd_audit_part_path(path, own) : gd_strdup(path);
    char origin[ORIGIN_MAX];
    unsigned char pub[32];

    *ret = (struct gd_audit_head){ 0 };
    if (!first_of(first, origin, pub)) /* verify says what it is instead */
        return 0;
    for (; part && gd_audit_has_part(other, part); part++) {
        GD_AUTO_FREE char *closed = gd_audit_part_path(other, part);

        if (read_file(closed, origin, pub, ret, err) != 0)
            return -1;
    }
    return read_file(other, origin, pub, ret, err);
}
