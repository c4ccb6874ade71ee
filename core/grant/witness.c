/* grant/witness.c - two places in a small file, written in turn, each with its sum: a process that is killed
 * while it writes leaves the other one whole. */
#include "grant/witness.h"

#include "base/mem.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x31575744470a0d1aull

struct place {
    uint64_t magic, n; /* n: grows; the greater one counts */
    bool seen, set_back;
    struct gd_witnessed what;
    unsigned char sum[32]; /* of all before it */
};

struct gd_witness {
    int fd;
    struct place last;
};

static void sum_of(const struct place *p, unsigned char out[32])
{
    gd_sha256(out, p, offsetof(struct place, sum));
}

static bool read_place(int fd, int i, struct place *ret)
{
    unsigned char sum[32];

    if (pread(fd, ret, sizeof *ret, (off_t)i * (off_t)sizeof *ret) != (ssize_t)sizeof *ret ||
        ret->magic != MAGIC)
        return false;
    sum_of(ret, sum);
    return memcmp(sum, ret->sum, sizeof sum) == 0; /* check:allow no secret */
}

int gd_witness_open(struct gd_witness **ret, const char *path, struct gd_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct gd_witness *w;
    struct place p;

    if (fd < 0)
        return gd_err_set(err, GD_R_STATE_DIR_UNUSABLE, "%s cannot be opened: %s", path, strerror(errno));
    w = gd_new(sizeof *w);
    w->fd = fd;
    for (int i = 0; i < 2; i++)
        if (read_place(fd, i, &p) && p.n >= w->last.n)
            w->last = p;
    *ret = w;
    return 0;
}

void gd_witness_free(struct gd_witness *w)
{
    if (!w)
        return;
    close(w->fd);
    gd_free(w);
}

static void write_place(struct gd_witness *w)
{
    struct place *p = &w->last;

    p->magic = MAGIC;
    p->n++;
    sum_of(p, p->sum);
    /* On a full disk the older note stays: it still tells most. */
    if (pwrite(w->fd, p, sizeof *p, (off_t)(p->n & 1) * (off_t)sizeof *p) != (ssize_t)sizeof *p)
        return;
}

void gd_witness_note(struct gd_witness *w, const struct gd_witnessed *seen)
{
    if (!w)
        return;
    w->last.seen = true;
    w->last.what = *seen;
    write_place(w);
}

bool gd_witness_get(const struct gd_witness *w, struct gd_witnessed *ret)
{
    if (!w || !w->last.seen)
        return false;
    *ret = w->last.what;
    return true;
}

void gd_witness_clear(struct gd_witness *w)
{
    if (!w)
        return;
    w->last.seen = w->last.set_back = false;
    memset(&w->last.what, 0, sizeof w->last.what);
    write_place(w);
}

void gd_witness_note_set_back(struct gd_witness *w)
{
    if (!w)
        return;
    w->last.set_back = true;
    write_place(w);
}

bool gd_witness_set_back(const struct gd_witness *w)
{
    return w && w->last.set_back;
}
