/* audit/audit.c - the loop's side: records are made here, handed to the writer thread, and their ends come
 * back. */
#include "audit/audit_int.h"

#include "audit/note.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/crypto.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EVERY_MIN 4 /* begin, torn and open stand together */

/* ---- records
 * ------------------------------------------------------------------------------------------------------- */

/* A text member; one that is longer than max is cut. */
/* One of these is written for every refresh: nothing of it goes through a format. */
static void add_key(struct gd_buf *b, const char *key)
{
    gd_buf_adds(b, ",\"");
    gd_buf_adds(b, key);
    gd_buf_adds(b, "\":");
}

static void add_text(struct gd_buf *b, const char *key, const char *value, size_t max)
{
    add_key(b, key);
    if (!value) {
        gd_buf_adds(b, "null");
    } else if (strnlen(value, max + 1) <= max) {
        gd_buf_add_json(b, value);
    } else {
        GD_AUTO_FREE char *cut = gd_strndup(value, max);

        gd_buf_add_json(b, cut);
    }
}

static void add_id(struct gd_buf *b, const char *key, int64_t id)
{
    add_key(b, key);
    if (id < 0)
        gd_buf_adds(b, "null");
    else
        gd_buf_addf(b, "%" PRId64, id);
}

/* Data that would make the record too long is left out, and the record says so. */
static void add_data(struct gd_buf *b, const json_t *data)
{
    GD_AUTO_FREE char *text = data ? gd_json_dump(data) : NULL;
    size_t n = text ? strlen(text) : 0;

    if (text && n > GD_AUDIT_RECORD_MAX - 512 - b->len)
        gd_buf_addf(b, ",\"data\":{\"left_out_bytes\":%zu}", n);
    else if (text)
        gd_buf_addf(b, ",\"data\":%s", text);
}

char *gd_audit_body(const struct gd_audit *a, const struct gd_audit_entry *e)
{
    struct gd_buf b;
    char time[32];

    gd_buf_init(&b, GD_AUDIT_RECORD_MAX);
    gd_time_text(time, gd_now(a->clock));
    gd_buf_addf(&b, "\"time\":\"%s\",\"boot\":\"%s\"", time, a->boot);
    add_text(&b, "act", e->act, 64);
    add_text(&b, "phase", e->phase, 16);
    add_text(&b, "outcome", e->outcome, 64);
    add_text(&b, "workspace", e->workspace, GD_NAME_MAX);
    add_text(&b, "client", e->client, 64);
    add_text(&b, "subject", e->subject, GD_NAME_MAX);
    add_id(&b, "uid", e->uid);
    add_id(&b, "gid", e->gid);
    add_id(&b, "pid", e->pid);
    add_data(&b, e->data);
    return gd_buf_steal(&b);
}

static void keep_awake(struct gd_audit *a)
{
    if (a->outstanding)
        uv_ref((uv_handle_t *)&a->async);
    else
        uv_unref((uv_handle_t *)&a->async);
}

void gd_audit_write(struct gd_audit *a, const struct gd_audit_entry *e, gd_audit_fn *done, void *arg)
{
    struct job *j = gd_new(sizeof *j);

    j->body = gd_audit_body(a, e);
    j->heads = !strcmp(e->act, GD_AUDIT_HEADS);
    j->done = done;
    j->arg = arg;
    a->outstanding++;
    keep_awake(a);
    pthread_mutex_lock(&a->lock);
    if (a->ntodo == GD_AUDIT_QUEUE_MAX || a->stop) {
        gd_list_add(&a->done, &j->link);
        (void)uv_async_send(&a->async);
    } else {
        gd_list_add(&a->todo, &j->link);
        if (a->ntodo++ == 0 || (done && !a->hurry))
            pthread_cond_signal(&a->cond);
        a->hurry |= done != NULL;
    }
    pthread_mutex_unlock(&a->lock);
}

/* ---- ends
 * ------------------------------------------------------------------------------------------------------------
 */

static void end_job(struct gd_audit *a, struct job *j)
{
    struct gd_err err;

    a->outstanding--;
    if (j->done && !j->ok)
        gd_err_set(&err, GD_R_AUDIT_UNAVAILABLE, "the audit log %s cannot be written, so this was not done",
                   a->path);
    if (j->done)
        j->done(j->arg, j->ok ? NULL : &err);
    gd_free(j->body);
    gd_free(j);
}

static void unmake(struct gd_audit *a)
{
    if (a->w.fd >= 0)
        close(a->w.fd);
    gd_buf_done(&a->w.out);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->cond);
    gd_free(a->w.note);
    gd_free(a->w.counts);
    gd_free(a->counts);
    gd_free(a->last_note);
    gd_free(a->shown);
    json_decref(a->heads);
    json_decref(a->heads_new);
    gd_free(a->path);
    gd_free(a->head_path);
    gd_free(a->torn_path);
    gd_free(a);
}

static void on_handle_closed(uv_handle_t *h)
{
    struct gd_audit *a = h->data;
    void (*closed)(void *) = a->closed;
    void *arg = a->closed_arg;

    if (--a->handles)
        return;
    unmake(a);
    if (closed)
        closed(arg);
}

static void on_stopped(struct gd_audit *a)
{
    (void)pthread_join(a->thread, NULL);
    uv_close((uv_handle_t *)&a->async, on_handle_closed);
    uv_close((uv_handle_t *)&a->timer, on_handle_closed);
}

/* The old key is gone with each checkpoint: what was hashed under it cannot be guessed at any more. */
static void ratchet(struct gd_audit *a, unsigned to)
{
    while (a->ratchets != to) {
        unsigned char next[32];

        gd_hkdf(next, sizeof next, "SHA256", a->key, sizeof a->key, NULL, 0, "ratchet", 7);
        memcpy(a->key, next, sizeof next);
        gd_wipe(next, sizeof next);
        a->ratchets++;
    }
}

static void on_async(uv_async_t *async)
{
    struct gd_audit *a = async->data;
    struct gd_list done, *l;
    unsigned checkpoints;
    bool stopped;

    pthread_mutex_lock(&a->lock);
    gd_list_take(&done, &a->done);
    checkpoints = a->checkpoints;
    stopped = a->stopped;
    pthread_mutex_unlock(&a->lock);
    ratchet(a, checkpoints);
    while ((l = gd_list_pop(&done)))
        end_job(a, gd_container_of(l, struct job, link));
    if (stopped && !uv_is_closing((uv_handle_t *)async)) {
        if (a->outstanding)
            (void)uv_async_send(async); /* records written by those callbacks: they end as refused */
        else
            on_stopped(a);
    } else if (!a->closing) {
        keep_awake(a);
    }
}

static void on_timer(uv_timer_t *t)
{
    struct gd_audit *a = t->data;

    gd_audit_write_heads(a);
    pthread_mutex_lock(&a->lock);
    a->checkpoint_wanted = true;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->lock);
}

/* ---- opening
 * -----------------------------------------------------------------------------------------------------------
 */

static void read_boot_id(char out[40])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    out[0] = '\0';
    if (f && fgets(out, 37, f) && strspn(out, "0123456789abcdef-") != strlen(out))
        out[0] = '\0';
    if (f)
        (void)fclose(f);
}

static void init_lock(struct gd_audit *a)
{
    pthread_condattr_t attr;

    (void)pthread_mutex_init(&a->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&a->cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static struct gd_audit *make(const struct gd_audit_options *o, const struct gd_clock *clock,
                             struct gd_log *log)
{
    struct gd_audit *a = gd_new(sizeof *a);

    a->path = gd_strdup(o->path);
    a->head_path = gd_strf("%s.head", o->path);
    a->torn_path = gd_strf("%s.torn", o->path);
    (void)snprintf(a->origin, sizeof a->origin, "grantd/%.128s", o->node);
    for (char *p = a->origin; *p; p++)
        if (*p <= ' ' || *p == '+' || *p == 0x7f)
            *p = '_';
    read_boot_id(a->boot);
    memcpy(a->seed, o->sign_seed, 32);
    gd_ed25519_public(a->pub, a->seed);
    memcpy(a->key, o->hash_key, 32);
    a->every = o->checkpoint_records ? o->checkpoint_records : 1000;
    if (a->every < EVERY_MIN)
        a->every = EVERY_MIN;
    a->file_max = o->file_max ? o->file_max : GD_AUDIT_FILE_MAX;
    a->w.rotate_at = a->file_max;
    a->w.part = 1;
    a->clock = clock;
    a->log = log;
    a->usable = true;
    a->shown_own = -1;
    a->heads = json_object();
    a->heads_new = json_object();
    a->w.fd = -1;
    init_lock(a);
    gd_buf_init(&a->w.out, SIZE_MAX / 2);
    gd_list_init(&a->w.held);
    gd_list_init(&a->todo);
    gd_list_init(&a->done);
    return a;
}

/* First records of this run; what an earlier one left without a checkpoint gets it. The hash key of a run
 * begins with the root that the run began at: nobody has to apply the ratchets of all the years, and who has
 * the key of the log can still find the run's. */
static int begin(struct gd_audit *a, json_t *torn, struct gd_err *err)
{
    unsigned char root[32], key[32];
    char hex[65], vkey[GD_NOTE_MAX];
    bool first = a->w.now.chain.seq == 0;

    a->w.before = a->w.now;
    if (!first)
        gd_audit_checkpoint(a);
    gd_chain_root(&a->w.now.chain, root);
    gd_hex(hex, root, 32);
    gd_hkdf(key, sizeof key, "SHA256", a->key, sizeof a->key, root, sizeof root, "run", 3);
    memcpy(a->key, key, sizeof key);
    gd_wipe(key, sizeof key);
    if (first) {
        gd_note_key(vkey, a->origin, a->pub);
        gd_audit_note_act(a, "audit.begin", json_pack("{s:s,s:s}", "origin", a->origin, "key", vkey));
    }
    if (torn)
        gd_audit_note_act(a, "audit.torn", torn);
    gd_audit_note_act(a, "audit.open", json_pack("{s:s,s:s}", "root", hex, "version", GRANTD_VERSION));
    if (first)
        gd_audit_checkpoint(a);
    if (!gd_audit_flush(a))
        return gd_err_set(err, GD_R_AUDIT_UNAVAILABLE, "the audit log %s cannot be written", a->path);
    a->ratchets = a->checkpoints; /* they count from here */
    return 0;
}

/* The writer takes no signals: they are the loop's. */
static int start_thread(struct gd_audit *a, struct gd_err *err)
{
    sigset_t all, before;
    int r;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&a->thread, NULL, gd_audit_writer, a);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r ? gd_err_set(err, GD_R_AUDIT_UNAVAILABLE, "no thread for the audit log: %s", strerror(r)) : 0;
}

static void start_handles(struct gd_audit *a, uv_loop_t *loop, unsigned checkpoint_ms)
{
    (void)uv_async_init(loop, &a->async, on_async);
    (void)uv_timer_init(loop, &a->timer);
    a->async.data = a->timer.data = a;
    a->handles = 2;
    uv_unref((uv_handle_t *)&a->async);
    uv_unref((uv_handle_t *)&a->timer);
    (void)uv_timer_start(&a->timer, on_timer, checkpoint_ms, checkpoint_ms);
}

int gd_audit_open(struct gd_audit **ret, uv_loop_t *loop, const struct gd_audit_options *o,
                  const struct gd_clock *clock, struct gd_log *log, struct gd_err *err)
{
    struct gd_audit *a = make(o, clock, log);
    json_t *torn = NULL;

    if (gd_audit_recover(a, &torn, err) != 0 || begin(a, torn, err) != 0) {
        unmake(a);
        return -1;
    }
    if (start_thread(a, err) != 0) {
        unmake(a);
        return -1;
    }
    start_handles(a, loop, o->checkpoint_ms ? o->checkpoint_ms : 60000);
    *ret = a;
    return 0;
}

void gd_audit_close(struct gd_audit *a, void (*done)(void *), void *arg)
{
    gd_audit_write_heads(a);
    a->closing = true;
    a->closed = done;
    a->closed_arg = arg;
    (void)uv_timer_stop(&a->timer);
    uv_ref((uv_handle_t *)&a->async);
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->lock);
}

/* ---- the rest
 * ------------------------------------------------------------------------------------------------------------
 */

bool gd_audit_usable(const struct gd_audit *a)
{
    return __atomic_load_n(&a->usable, __ATOMIC_ACQUIRE);
}

const unsigned char *gd_audit_public(const struct gd_audit *a)
{
    return a->pub;
}

void gd_audit_hash(const struct gd_audit *a, const void *p, size_t n, char out[17])
{
    unsigned char mac[32];

    gd_hmac_sha256(mac, a->key, sizeof a->key, p, n);
    gd_hex(out, mac, 8);
}

void gd_audit_set_counts(struct gd_audit *a, json_t *counts)
{
    char *text = counts ? gd_json_dump(counts) : NULL;

    pthread_mutex_lock(&a->lock);
    gd_free(a->counts);
    a->counts = text;
    pthread_mutex_unlock(&a->lock);
}

json_t *gd_audit_status(struct gd_audit *a)
{
    json_t *j;

    pthread_mutex_lock(&a->lock);
    j = json_pack("{s:I,s:I,s:s,s:b,s:I}", "records", (json_int_t)a->records, "checkpoint",
                  (json_int_t)a->checkpoint, "head", a->head, "usable", a->usable, "queue",
                  (json_int_t)a->ntodo);
    pthread_mutex_unlock(&a->lock);
    return j;
}
