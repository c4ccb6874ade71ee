/* audit/writer.c [writer thread] - takes all records that wait, gives them their numbers and hashes, writes
 * them in one piece and syncs once. A group that could not be written is taken back from the file and never
 * counted: its callers are refused, and the chain goes on where it was. While nothing can be written
 * everything is refused at once; every second a first record is tried, and when it is on disk all goes on.
 * Records that nobody waits for (a refresh that must not stop) are held meanwhile, up to a number, and
 * written first. */
#include "audit/audit_int.h"

#include "audit/note.h"
#include "audit/reader.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FORM_NS (10 * 1000 * 1000)

/* ---- filling the group
 * ----------------------------------------------------------------------------------------------- */

static void add_record(struct gd_audit *a, const char *body, bool own)
{
    a->w.now.own += own;
    gd_chain_add(&a->w.now.chain, &a->w.out, body);
    if (++a->w.now.since >= a->every)
        gd_audit_checkpoint(a);
}

void gd_audit_note_act(struct gd_audit *a, const char *act, json_t *data)
{
    struct gd_audit_entry e = {
        .act = act, .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };
    GD_AUTO_FREE char *body = NULL;

    e.data = data;
    body = gd_audit_body(a, &e);
    add_record(a, body, true);
    json_decref(data);
}

/* The counts set last, once; those of a group that failed are carried again when there are no newer ones. */
static const char *take_counts(struct gd_audit *a)
{
    struct writer *w = &a->w;

    pthread_mutex_lock(&a->lock);
    if (a->counts) {
        gd_free(w->counts);
        w->counts = a->counts;
        w->counted = false;
        a->counts = NULL;
    }
    pthread_mutex_unlock(&a->lock);
    if (!w->counts || w->counted || strlen(w->counts) > GD_AUDIT_LINE_MAX / 2)
        return NULL;
    w->counted = true;
    return w->counts;
}

/* Root and size are those of the records in front of the checkpoint; it is a record itself. */
void gd_audit_checkpoint(struct gd_audit *a)
{
    struct gd_audit_entry e = {
        .act = "audit.checkpoint", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };
    const char *counts = take_counts(a);
    GD_AUTO_FREE char *head = NULL;
    GD_AUTO_FREE char *data = NULL;
    GD_AUTO_FREE char *body = NULL;
    GD_AUTO_JSON j = NULL;
    unsigned char root[32];
    char note[GD_NOTE_MAX];

    gd_chain_root(&a->w.now.chain, root);
    gd_note_make(note, a->origin, a->w.now.chain.seq, root, a->seed);
    j = json_pack("{s:s,s:o,s:i}", "note", note, "nodes", gd_chain_nodes_json(&a->w.now.chain), "every",
                  (int)a->every);
    data = gd_json_dump(j);
    head = gd_audit_body(a, &e);
    data[strlen(data) - 1] = '\0'; /* the closing brace: counts are text already */
    body = gd_strf("%s,\"data\":%s%s%s}", head, data, counts ? ",\"counts\":" : "", counts ? counts : "");
    a->w.now.checkpoint = a->w.now.chain.seq;
    gd_chain_add(&a->w.now.chain, &a->w.out, body);
    a->w.now.since = 0;
    gd_free(a->w.note);
    a->w.note = gd_strdup(note);
    a->w.note_own = a->w.now.own;
    a->w.checkpoints++;
}

/* ---- writing
 * -----------------------------------------------------------------------------------------------------------
 */

/* Writes what is left of the group and syncs; 0 or an errno. */
int gd_audit_append(struct writer *w)
{
    int e = GD_FAULT("audit.write");
    ssize_t n;

    while (!e && w->written < w->out.len) {
        n = write(w->fd, w->out.ptr + w->written, w->out.len - w->written);
        if (n >= 0)
            w->written += (size_t)n;
        else if (errno != EINTR)
            e = errno;
    }
    if (!e)
        e = GD_FAULT("audit.sync");
    if (!e && fdatasync(w->fd) != 0)
        e = errno;
    return e;
}

/* The last checkpoint beside the log: a log that was cut behind it shows. Replaced whole, so it is never
 * torn; when that fails the old one still holds. */
static void write_head(struct gd_audit *a)
{
    GD_AUTO_FREE char *tmp = gd_strf("%s.new", a->head_path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    size_t n = strlen(a->w.note);
    bool ok = fd >= 0 && write(fd, a->w.note, n) == (ssize_t)n && fdatasync(fd) == 0;

    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    ok = ok && rename(tmp, a->head_path) == 0;
    if (!ok)
        GD_LOG(a->log, GD_LOG_WARN, "audit.head_unwritable", GD_F_STR("path", a->head_path),
               GD_F_STR("error", strerror(errno)));
    GD_LOG(a->log, GD_LOG_INFO, "audit.checkpoint", GD_F_STR("origin", a->origin),
           GD_F_INT("size", a->w.now.checkpoint), GD_F_STR("note", a->w.note));
}

void gd_audit_tell(struct gd_audit *a)
{
    a->records = a->w.now.chain.seq;
    a->checkpoint = a->w.now.checkpoint;
    gd_hex(a->head, a->w.now.chain.head, 32);
}

void gd_audit_forget_group(struct writer *w)
{
    gd_free(w->note);
    w->note = NULL;
    w->checkpoints = 0;
    w->counted = false;
}

void gd_audit_group_done(struct gd_audit *a)
{
    struct writer *w = &a->w;
    unsigned checkpoints = w->checkpoints;

    if (w->counted) {
        gd_free(w->counts);
        w->counts = NULL;
    }
    w->size += (off_t)w->out.len;
    w->stuck = false;
    if (w->note)
        write_head(a);
    pthread_mutex_lock(&a->lock);
    gd_audit_tell(a);
    a->checkpoints += checkpoints;
    if (w->note) {
        gd_free(a->last_note);
        a->last_note = w->note;
        a->last_own = w->note_own;
        w->note = NULL;
    }
    pthread_mutex_unlock(&a->lock);
    gd_audit_forget_group(w);
}

/* Takes a group back that did not get through. Where the file cannot be cut (append-only), what is in it
 * stays, the chain with it, and the rest follows before anything else. */
static void take_back(struct gd_audit *a)
{
    struct writer *w = &a->w;

    w->stuck = w->written > 0 && (GD_FAULT("audit.cut") != 0 || ftruncate(w->fd, w->size) != 0);
    if (w->stuck)
        return;
    w->now = w->before;
    gd_audit_forget_group(w);
}

bool gd_audit_flush(struct gd_audit *a)
{
    struct writer *w = &a->w;
    unsigned since = w->now.since;
    int e = gd_audit_append(w);

    if (e == 0)
        gd_audit_group_done(a);
    else
        take_back(a);
    if (!w->stuck) {
        gd_buf_clear(&w->out);
        w->written = 0;
    }
    if (e == 0)
        return true;
    w->now.since = since < a->every ? since : a->every; /* a lost checkpoint is due again */
    GD_LOG(a->log, w->broken ? GD_LOG_DEBUG : GD_LOG_ERROR, "audit.unwritable", GD_F_STR("path", a->path),
           GD_F_STR("error", strerror(e)));
    return false;
}

/* ---- groups
 * --------------------------------------------------------------------------------------------------------------
 */

static void give_back(struct gd_audit *a, struct gd_list *jobs, bool ok)
{
    struct gd_list *l;

    pthread_mutex_lock(&a->lock);
    while ((l = gd_list_pop(jobs))) {
        gd_container_of(l, struct job, link)->ok = ok;
        gd_list_add(&a->done, l);
    }
    (void)uv_async_send(&a->async);
    pthread_mutex_unlock(&a->lock);
}

/* Refuses those that somebody waits for; holds the others. */
static void refuse(struct gd_audit *a, struct gd_list *jobs)
{
    struct writer *w = &a->w;
    struct gd_list gone, *l;

    gd_list_init(&gone);
    while ((l = gd_list_pop(jobs))) {
        bool waited_for = gd_container_of(l, struct job, link)->done != NULL;

        if (!waited_for && w->nheld < GD_AUDIT_HELD_MAX) {
            gd_list_add(&w->held, l);
            w->nheld++;
            continue;
        }
        gd_list_add(&gone, l);
        w->refused += waited_for;
        w->lost += !waited_for;
    }
    give_back(a, &gone, false);
}

static void add_jobs(struct gd_audit *a, struct gd_list *jobs)
{
    gd_list_each(l, jobs)
    {
        const struct job *j = gd_container_of(l, struct job, link);

        add_record(a, j->body, !j->heads);
    }
}

static void set_usable(struct gd_audit *a, bool usable)
{
    a->w.broken = !usable;
    __atomic_store_n(&a->usable, usable, __ATOMIC_RELEASE);
}

static bool has_counts(struct gd_audit *a)
{
    bool yes;

    pthread_mutex_lock(&a->lock);
    yes = a->counts || (a->w.counts && !a->w.counted);
    pthread_mutex_unlock(&a->lock);
    return yes;
}

/* A file that is closed ends with a checkpoint. */
static void grown(struct gd_audit *a)
{
    struct writer *w = &a->w;

    if (w->size < w->rotate_at)
        return;
    w->before = w->now;
    if (w->now.since)
        gd_audit_checkpoint(a);
    if (w->out.len == 0 || gd_audit_flush(a))
        gd_audit_rotate(a);
    else
        set_usable(a, false);
}

static void run_group(struct gd_audit *a, struct gd_list *jobs, bool checkpoint)
{
    struct writer *w = &a->w;

    if (w->broken) {
        refuse(a, jobs);
        return;
    }
    w->before = w->now;
    add_jobs(a, jobs);
    if (checkpoint && (w->now.since || has_counts(a)))
        gd_audit_checkpoint(a);
    if (w->out.len == 0)
        return;
    if (gd_audit_flush(a)) {
        give_back(a, jobs, true);
        grown(a);
        return;
    }
    set_usable(a, false);
    if (w->stuck) /* they will be in the log, but their callers do not wait for it */
        give_back(a, jobs, false);
    else
        refuse(a, jobs);
}

/* One try: what was held, and what happened meanwhile. */
static void try_again(struct gd_audit *a)
{
    struct writer *w = &a->w;

    if (w->stuck && !gd_audit_flush(a))
        return;
    w->before = w->now;
    gd_audit_note_act(a, "audit.resume",
                      json_pack("{s:I,s:I,s:I}", "refused", (json_int_t)w->refused, "held",
                                (json_int_t)w->nheld, "lost", (json_int_t)w->lost));
    add_jobs(a, &w->held);
    if (!gd_audit_flush(a)) {
        if (w->stuck) {
            give_back(a, &w->held, false);
            w->nheld = 0;
        }
        return;
    }
    GD_LOG(a->log, GD_LOG_INFO, "audit.writable", GD_F_INT("refused", w->refused),
           GD_F_INT("held", (int64_t)w->nheld), GD_F_INT("lost", w->lost));
    w->refused = w->lost = 0;
    w->nheld = 0;
    give_back(a, &w->held, true);
    set_usable(a, true);
}

/* ---- the thread
 * ------------------------------------------------------------------------------------------------------------
 */

/* Waits for something to do, while broken for a second at most. */
/* Under the lock. Records that nobody waits for wait a little for each other: a storm of refreshes is written
 * and synced a hundred times a second, not once for each. */
static void let_form(struct gd_audit *a)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += FORM_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!gd_list_empty(&a->todo) && a->ntodo < GD_AUDIT_QUEUE_MAX / 2 && !a->hurry && !a->stop &&
           !a->checkpoint_wanted)
        if (pthread_cond_timedwait(&a->cond, &a->lock, &until) == ETIMEDOUT)
            break;
}

static bool wait_for_work(struct gd_audit *a, struct gd_list *jobs, bool *checkpoint)
{
    struct timespec until;
    bool stop;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    pthread_mutex_lock(&a->lock);
    while (gd_list_empty(&a->todo) && !a->stop && !a->checkpoint_wanted)
        if (!a->w.broken)
            (void)pthread_cond_wait(&a->cond, &a->lock);
        else if (pthread_cond_timedwait(&a->cond, &a->lock, &until) == ETIMEDOUT)
            break;
    let_form(a);
    gd_list_take(jobs, &a->todo);
    a->ntodo = 0;
    a->hurry = false;
    *checkpoint = a->checkpoint_wanted || a->stop;
    a->checkpoint_wanted = false;
    stop = a->stop && gd_list_empty(jobs);
    pthread_mutex_unlock(&a->lock);
    return stop;
}

static int64_t mono_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void end(struct gd_audit *a)
{
    if (a->w.broken)
        try_again(a);
    if (a->w.nheld)
        GD_LOG(a->log, GD_LOG_ERROR, "audit.lost", GD_F_INT("records", (int64_t)a->w.nheld));
    give_back(a, &a->w.held, false);
    pthread_mutex_lock(&a->lock);
    a->stopped = true;
    (void)uv_async_send(&a->async);
    pthread_mutex_unlock(&a->lock);
}

void *gd_audit_writer(void *arg)
{
    struct gd_audit *a = arg;
    int64_t tried = mono_ms();
    bool stop = false;

    while (!stop) {
        struct gd_list jobs;
        bool checkpoint;

        stop = wait_for_work(a, &jobs, &checkpoint);
        if (!a->w.broken)
            tried = mono_ms();
        else if (mono_ms() - tried >= 1000) {
            tried = mono_ms();
            try_again(a);
        }
        run_group(a, &jobs, checkpoint);
    }
    end(a);
    return NULL;
}
