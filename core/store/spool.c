/* store/spool.c - the answers of platforms on their way into the store: appended and synced before the
 * transaction commits, read back after a crash. A record is "GDS1" | length u32 | synced u64 | crc32c u32 |
 * bytes          (little endian; the sum covers all but itself) where synced is how much of the file was
 * known to be on disk when it was written. That tells damage from a torn end: a bad place before a later
 * record's mark was once whole, so the file is damaged and nothing of it is dropped; any other bad place
 * belongs to a group whose sync never returned, and whole records in it are still used. */
#include "store/store_int.h"

#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD      20
#define AT_LEN    4
#define AT_SYNCED 8
#define AT_CRC    16
#define OPEN_MAX_ 4096 /* records remembered as not yet in the store */

static const char magic[4] = { 'G', 'D', 'S', '1' };

struct syncer {
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t cond;
    enum { RESTS, ASKED, DONE } state;
    bool over;
    int fd, rc;
};

struct gd_spool {
    char *path;
    int fd;
    pthread_mutex_t lock; /* writer thread against gd_spool_clear, _replay, _size on the loop */
    int64_t size;
    int64_t appended; /* [writer thread] bytes behind them that are being synced */
    struct syncer syncer;
    int64_t corrupt_at; /* -1: fine */
    bool broken;        /* after an I/O error */
    bool old;           /* holds records of an earlier run that were not cleared yet */
    bool busy;          /* between gd_spool_group and gd_spool_settle */
    bool here;          /* what that group brought is in the file */
    bool clear_later;
    bool forget;          /* what is cleared is not kept either */
    struct gd_kept *kept; /* NULL: what is in the store is in good hands */
    bool many;            /* more than OPEN_MAX_ are open: kept until it is cleared */
    uint64_t open[OPEN_MAX_];
    size_t nopen;
    unsigned char *out;
    size_t cap;
};

static void put(unsigned char *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++, v >>= 8)
        p[i] = (unsigned char)v;
}

static uint64_t get(const unsigned char *p, int n)
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | p[n];
    return v;
}

static uint32_t checksum(const unsigned char *rec, size_t len)
{
    return gd_crc32c(gd_crc32c(0, rec, AT_CRC), rec + HEAD, len);
}

static void frame(unsigned char *out, const void *p, size_t n, int64_t synced)
{
    memcpy(out, magic, sizeof magic);
    put(out + AT_LEN, n, 4);
    put(out + AT_SYNCED, (uint64_t)synced, 8);
    memcpy(out + HEAD, p, n);
    put(out + AT_CRC, checksum(out, n), 4);
}

/* Length of the payload of the whole record at p, 0 when there is none. */
static size_t whole(const unsigned char *p, size_t left)
{
    size_t n;

    if (left < HEAD || memcmp(p, magic, sizeof magic) != 0)
        return 0;
    n = (size_t)get(p + AT_LEN, 4);
    if (n == 0 || n > GD_SPOOL_RECORD_MAX || n > left - HEAD || checksum(p, n) != get(p + AT_CRC, 4))
        return 0;
    return n;
}

/* Where the next whole record begins, at or after p; size when there is none. */
static size_t seek(const unsigned char *buf, size_t at, size_t size)
{
    const unsigned char *m;

    while (at < size && (m = memmem(buf + at, size - at, magic, sizeof magic))) {
        at = (size_t)(m - buf);
        if (whole(m, size - at))
            return at;
        at++;
    }
    return size;
}

/* Over a bad place to the next whole record; *gap is where the first one began. */
static size_t skip(const unsigned char *buf, size_t at, size_t size, size_t *gap)
{
    if (*gap == SIZE_MAX)
        *gap = at;
    return seek(buf, at + 1, size);
}

struct walk {
    int64_t corrupt_at, end; /* end: behind the last whole record */
    bool gaps;               /* whole records stand behind a torn one */
};

/* Goes over all whole records; fn may be NULL. */
static struct walk walk(const unsigned char *buf, size_t size, void (*fn)(void *arg, const void *p, size_t n),
                        void *arg)
{
    struct walk w = { .corrupt_at = -1 };
    size_t at = 0, gap = SIZE_MAX, n;

    while (at < size) {
        n = whole(buf + at, size - at);
        if (!n) {
            at = skip(buf, at, size, &gap);
            continue;
        }
        if (gap != SIZE_MAX && get(buf + at + AT_SYNCED, 8) > gap) {
            w.corrupt_at = (int64_t)gap; /* what is bad there was known to be on disk */
            break;
        }
        w.gaps |= gap != SIZE_MAX;
        if (fn)
            fn(arg, buf + at + HEAD, n);
        at += HEAD + n;
        w.end = (int64_t)at;
    }
    return w;
}

static int load(struct gd_spool *s, unsigned char **ret, struct gd_err *err)
{
    unsigned char *buf = gd_new((size_t)s->size + 1);
    size_t at = 0;

    while (at < (size_t)s->size) {
        ssize_t k = pread(s->fd, buf + at, (size_t)s->size - at, (off_t)at);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            gd_free(buf);
            return gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be read: %s", s->path,
                              k < 0 ? strerror(errno) : "it is shorter than it was");
        }
        at += (size_t)k;
    }
    *ret = buf;
    return 0;
}

struct copy {
    unsigned char *out;
    size_t n;
    bool loose; /* the places of records say nothing */
};

static void copy_record(void *arg, const void *p, size_t n)
{
    struct copy *c = arg;

    frame(c->out + c->n, p, n, c->loose ? 0 : (int64_t)c->n);
    c->n += HEAD + n;
}

/* All of it is in the store. Where it cannot be kept beside the spool (a full disk), the room is more needed.
 */
static void keep(struct gd_spool *s)
{
    struct copy c = { .out = gd_new((size_t)s->size + 1), .loose = true };
    unsigned char *buf = NULL;

    if (!s->forget && s->size > 0 && load(s, &buf, NULL) == 0)
        (void)walk(buf, (size_t)s->size, copy_record, &c);
    if (s->forget || (c.n > 0 && gd_kept_add(s->kept, c.out, c.n) != 0))
        (void)gd_kept_drop(s->kept);
    gd_free(buf);
    gd_free(c.out);
}

static int empty(struct gd_spool *s)
{
    if (s->kept)
        keep(s);
    if (ftruncate(s->fd, 0) < 0)
        return errno;
    s->size = 0;
    s->old = s->clear_later = s->many = s->forget = false;
    return fdatasync(s->fd) < 0 ? errno : 0;
}

/* ---- the sync, on a thread of its own: the statements of the group run meanwhile ---- */

static void *syncer_main(void *arg)
{
    struct syncer *y = arg;

    pthread_mutex_lock(&y->lock);
    for (;;) {
        while (y->state != ASKED && !y->over)
            pthread_cond_wait(&y->cond, &y->lock);
        if (y->over)
            break;
        pthread_mutex_unlock(&y->lock);
        y->rc = fdatasync(y->fd) < 0 ? errno : 0;
        pthread_mutex_lock(&y->lock);
        y->state = DONE;
        pthread_cond_broadcast(&y->cond);
    }
    pthread_mutex_unlock(&y->lock);
    return NULL;
}

/* [writer thread] Which takes no signals, so this one takes none either. */
static void sync_begin(struct gd_spool *s)
{
    struct syncer *y = &s->syncer;

    y->fd = s->fd;
    y->running = y->running || pthread_create(&y->thread, NULL, syncer_main, y) == 0;
    if (!y->running)
        return; /* no thread to be had: sync_end does it */
    pthread_mutex_lock(&y->lock);
    y->state = ASKED;
    pthread_cond_broadcast(&y->cond);
    pthread_mutex_unlock(&y->lock);
}

static int sync_end(struct gd_spool *s)
{
    struct syncer *y = &s->syncer;

    if (!y->running)
        return fdatasync(s->fd) < 0 ? errno : 0;
    pthread_mutex_lock(&y->lock);
    while (y->state != DONE)
        pthread_cond_wait(&y->cond, &y->lock);
    y->state = RESTS;
    pthread_mutex_unlock(&y->lock);
    return y->rc;
}

static void syncer_done(struct syncer *y)
{
    pthread_mutex_lock(&y->lock);
    y->over = true;
    pthread_cond_broadcast(&y->cond);
    pthread_mutex_unlock(&y->lock);
    if (y->running)
        pthread_join(y->thread, NULL);
    pthread_cond_destroy(&y->cond);
    pthread_mutex_destroy(&y->lock);
}

/* ---- opening
 * ---------------------------------------------------------------------------------------------------- */

/* Writes what is whole to a new file and puts it in the place of the torn one. */
static int compact(struct gd_spool *s, const unsigned char *buf, struct gd_err *err)
{
    GD_AUTO_FREE char *name = gd_strf("%s.new", s->path);
    struct copy c = { .out = gd_new((size_t)s->size + 1) };
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), rc;

    (void)walk(buf, (size_t)s->size, copy_record, &c);
    rc = fd < 0 ? errno : gd_write_at(fd, c.out, c.n, 0);
    if (rc == 0 && (fsync(fd) < 0 || rename(name, s->path) < 0))
        rc = errno;
    if (rc == 0)
        rc = gd_sync_parent(s->path);
    gd_free(c.out);
    if (rc != 0) {
        if (fd >= 0)
            close(fd);
        return gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be written: %s", name, strerror(rc));
    }
    close(s->fd);
    s->fd = fd;
    s->size = (int64_t)c.n;
    return 0;
}

/* Best effort: the bytes as they were found, for whoever looks into it; the first finding is kept. */
static void keep_bad(const struct gd_spool *s, const unsigned char *buf)
{
    GD_AUTO_FREE char *name = gd_strf("%s.bad", s->path);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return;
    if (gd_write_at(fd, buf, (size_t)s->size, 0) == 0)
        (void)fsync(fd);
    close(fd);
}

static int mend(struct gd_spool *s, struct gd_err *err)
{
    unsigned char *buf;
    struct walk w;
    int rc = 0;

    if (load(s, &buf, err) < 0)
        return -1;
    w = walk(buf, (size_t)s->size, NULL, NULL);
    s->corrupt_at = w.corrupt_at;
    s->old = w.end > 0;
    if (w.corrupt_at >= 0) {
        keep_bad(s, buf);
        s->broken = true;
    } else if (w.gaps) {
        rc = compact(s, buf, err);
    } else if (w.end < s->size) {
        if (ftruncate(s->fd, w.end) < 0 || fdatasync(s->fd) < 0)
            rc = gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be written: %s", s->path, strerror(errno));
        s->size = w.end;
    }
    gd_free(buf);
    return rc;
}

int gd_spool_open(struct gd_spool **ret, const char *path, struct gd_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct gd_spool *s;
    struct stat st;

    if (fd < 0)
        return gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > GD_SPOOL_FILE_MAX ||
        gd_sync_parent(path) != 0) {
        close(fd);
        return gd_err_set(err, GD_R_STORE_FAILED, "%s is no usable spool file", path);
    }
    s = gd_new(sizeof *s);
    s->path = gd_strdup(path);
    s->fd = fd;
    s->size = st.st_size;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->syncer.lock, NULL);
    pthread_cond_init(&s->syncer.cond, NULL);
    if (mend(s, err) < 0) {
        gd_spool_free(s);
        return -1;
    }
    *ret = s;
    return 0;
}

void gd_spool_free(struct gd_spool *s)
{
    if (!s)
        return;
    syncer_done(&s->syncer);
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    gd_kept_free(s->kept);
    gd_free(s->path);
    gd_free(s->out);
    gd_free(s);
}

void gd_spool_keep(struct gd_spool *s, int64_t ms, int64_t max)
{
    s->kept = gd_kept_new(s->path, ms, max);
    if (ms > 0)
        return;
    (void)gd_kept_drop(s->kept); /* of another store */
    gd_kept_free(s->kept);
    s->kept = NULL;
}

/* ---- writing
 * ---------------------------------------------------------------------------------------------------- */

static uint64_t mark_of(const struct gd_tx *tx)
{
    const unsigned char *p = tx->spool;
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < tx->nspool; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* nopen when it is not. */
static size_t find_open(const struct gd_spool *s, uint64_t mark)
{
    size_t i = 0;

    while (i < s->nopen && s->open[i] != mark)
        i++;
    return i;
}

/* One that is tried again is in the file already: an outage must not fill it with copies. */
static bool is_new(const struct gd_spool *s, const struct gd_tx *tx)
{
    return tx->spool && (!s->nopen || find_open(s, mark_of(tx)) == s->nopen);
}

static size_t gather(struct gd_spool *s, struct gd_list *group)
{
    size_t n = 0, need = 0;

    gd_list_each(it, group) need += is_new(s, gd_tx_of(it)) ? HEAD + gd_tx_of(it)->nspool : 0;
    if (need > s->cap) {
        s->out = gd_resize(s->out, need);
        s->cap = need;
    }
    gd_list_each(it, group)
    {
        const struct gd_tx *tx = gd_tx_of(it);

        if (!is_new(s, tx))
            continue;
        frame(s->out + n, tx->spool, tx->nspool, s->size);
        n += HEAD + tx->nspool;
    }
    return n;
}

/* Under the lock. What was appended is not to be relied on: the file is as it was, or the spool broken. */
static int take_back(struct gd_spool *s, int rc)
{
    if (rc == EDQUOT || rc == EFBIG)
        rc = ENOSPC;
    if (rc != ENOSPC || ftruncate(s->fd, s->size) < 0)
        s->broken = true; /* what the kernel still holds of it is anybody's guess */
    return rc == ENOSPC ? rc : EIO;
}

/* Under the lock. */
static int append(struct gd_spool *s, size_t n)
{
    int rc = (int64_t)n > GD_SPOOL_FILE_MAX - s->size ? EFBIG : gd_write_at(s->fd, s->out, n, s->size);

    if (rc == 0)
        rc = GD_FAULT("F12");
    if (rc != 0)
        return take_back(s, rc);
    s->appended = (int64_t)n;
    sync_begin(s);
    return 0;
}

int gd_spool_group(struct gd_spool *s, struct gd_list *group)
{
    size_t n;
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    n = gather(s, group);
    if (n && s->broken)
        rc = EIO;
    else if (n)
        rc = append(s, n);
    s->busy = true;
    s->here = rc == 0;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

int gd_spool_wait(struct gd_spool *s)
{
    int rc;

    if (!s->appended)
        return 0;
    rc = sync_end(s);
    if (rc == 0)
        rc = GD_FAULT("F13");
    pthread_mutex_lock(&s->lock);
    if (rc == 0)
        s->size += s->appended;
    else
        rc = take_back(s, rc);
    s->here = rc == 0;
    s->appended = 0;
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void settle_one(struct gd_spool *s, const struct gd_tx *tx)
{
    uint64_t mark = mark_of(tx);
    size_t at = find_open(s, mark);

    if (at < s->nopen && tx->result == GD_STORE_OK)
        s->open[at] = s->open[--s->nopen];
    else if (at < s->nopen || tx->result == GD_STORE_OK || !s->here)
        return;
    else if (s->nopen < OPEN_MAX_)
        s->open[s->nopen++] = mark;
    else
        s->many = true;
}

void gd_spool_settle(struct gd_spool *s, struct gd_list *group)
{
    bool idle;

    pthread_mutex_lock(&s->lock);
    gd_list_each(it, group)
    {
        const struct gd_tx *tx = gd_tx_of(it);

        if (tx->spool && (s->nopen || tx->result != GD_STORE_OK))
            settle_one(s, tx);
    }
    s->busy = false;
    idle = !s->nopen && !s->broken && (s->clear_later || (!s->old && !s->many && s->size > GD_SPOOL_TRIM));
    if (idle && empty(s) != 0)
        s->broken = true;
    pthread_mutex_unlock(&s->lock);
}

bool gd_spool_usable(const struct gd_spool *s)
{
    return !s->broken;
}

int64_t gd_spool_size(const struct gd_spool *s)
{
    return s->size;
}

/* ---- reading back
 * ------------------------------------------------------------------------------------------------ */

int gd_spool_replay(struct gd_spool *s, void (*fn)(void *arg, const void *rec, size_t n), void *arg,
                    struct gd_err *err)
{
    unsigned char *buf;
    int rc;

    if (s->corrupt_at >= 0)
        return gd_err_set(
            err, GD_R_SPOOL_CORRUPT,
            "%s is damaged at byte %lld; its bytes are kept in %s.bad. Move it away to start without it",
            s->path, (long long)s->corrupt_at, s->path);
    pthread_mutex_lock(&s->lock);
    rc = load(s, &buf, err);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return -1;
    (void)walk(buf, (size_t)s->size, fn, arg);
    gd_free(buf);
    return 0;
}

int gd_spool_copy(struct gd_spool *s, void **ret, size_t *ret_n, struct gd_err *err)
{
    unsigned char *buf;
    struct copy c = { 0 };
    int rc;

    pthread_mutex_lock(&s->lock);
    rc = load(s, &buf, err);
    if (rc == 0)
        c.out = gd_new((size_t)s->size + 1);
    if (rc == 0)
        (void)walk(buf, (size_t)s->size, copy_record, &c);
    pthread_mutex_unlock(&s->lock);
    if (rc < 0)
        return -1;
    gd_free(buf);
    *ret = c.out;
    *ret_n = c.n;
    return 0;
}

static int clear(struct gd_spool *s, bool forget, struct gd_err *err)
{
    int rc = 0;

    if (s->corrupt_at >= 0)
        return gd_err_set(err, GD_R_SPOOL_CORRUPT, "%s is damaged at byte %lld and stays as it is", s->path,
                          (long long)s->corrupt_at);
    pthread_mutex_lock(&s->lock);
    s->forget |= forget;
    if (forget && s->kept)
        rc = gd_kept_drop(s->kept);
    if (rc != 0 || s->busy || s->nopen)
        s->clear_later = true;
    else
        rc = empty(s);
    pthread_mutex_unlock(&s->lock);
    return rc == 0 ? 0
                   : gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be emptied: %s", s->path, strerror(rc));
}

int gd_spool_clear(struct gd_spool *s, struct gd_err *err)
{
    return clear(s, false, err);
}

int gd_spool_forget(struct gd_spool *s, struct gd_err *err)
{
    return clear(s, true, err);
}

/* ---- what was cleared
 * ------------------------------------------------------------------------------------------------ */

struct record {
    const unsigned char *p;
    size_t n;
};
struct records {
    struct record *all;
    size_t n, cap;
};

static void note_record(void *arg, const void *p, size_t n)
{
    struct records *r = arg;

    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 1024;
        r->all = gd_resize(r->all, r->cap * sizeof *r->all);
    }
    r->all[r->n++] = (struct record){ p, n };
}

void gd_spool_lost(struct gd_spool *s, gd_spool_there_fn *there,
                   void (*fn)(void *arg, const void *rec, size_t n), void *arg)
{
    enum gd_spool_there what = GD_SPOOL_UNSAID;
    struct records r = { 0 };
    bool lost = false;
    size_t n = 0, from;
    unsigned char *buf = s->kept ? gd_kept_load(s->kept, &n) : NULL;

    (void)walk(buf, n, note_record, &r);
    for (from = r.n; from > 0; from--) {
        what = there(arg, r.all[from - 1].p, r.all[from - 1].n);
        if (what == GD_SPOOL_STORED)
            break;
        lost |= what == GD_SPOOL_LOST;
    }
    for (size_t i = from; lost && i < r.n; i++)
        fn(arg, r.all[i].p, r.all[i].n);
    gd_free(r.all);
    gd_free(buf);
}

int gd_spool_remove(struct gd_spool *s, struct gd_err *err)
{
    int rc = unlink(s->path) < 0 ? errno : gd_sync_parent(s->path);

    if (rc != 0)
        return gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be removed: %s", s->path, strerror(rc));
    gd_spool_free(s);
    return 0;
}
