/* store/copy.c - the stream of a store's tables, out and in. A row is encoded before anybody looks at it, so
 * the sum of a table is the same for every engine and every program that reads the format. */
#include "store/copy.h"
#include "store/store_int.h"

#include "base/buf.h"
#include "base/mem.h"
#include "crypto/crypto.h"

#include <string.h>

#define CHUNK    65536
#define ROW_MAX  (64 * 1024 * 1024)
#define CELL_MAX (16 * 1024 * 1024)

static const char magic[8] = { 'G', 'D', 'C', 'O', 'P', 'Y', '1', '\n' };

static void put_num(struct gd_buf *b, uint64_t v, int n)
{
    unsigned char bytes[8];

    for (int i = 0; i < n; i++, v >>= 8)
        bytes[i] = (unsigned char)v;
    gd_buf_add(b, bytes, (size_t)n);
}

static void put_text(struct gd_buf *b, const char *s)
{
    put_num(b, strlen(s), 2);
    gd_buf_adds(b, s);
}

static uint64_t get_num(const unsigned char *p, int n)
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | p[n];
    return v;
}

/* False: the cell is not of the column's type. */
static bool put_cell(struct gd_buf *b, const struct gd_column *c, const struct gd_param *cell)
{
    static const char tags[] = { [GD_PARAM_TEXT] = 't', [GD_PARAM_INT] = 'i', [GD_PARAM_BYTES] = 'b' };

    if (cell->kind == GD_PARAM_NULL) {
        gd_buf_addc(b, 'n');
        return true;
    }
    gd_buf_addc(b, tags[cell->kind]);
    if (cell->kind == GD_PARAM_INT) {
        put_num(b, (uint64_t)cell->num, 8);
    } else {
        put_num(b, cell->n, 4);
        gd_buf_add(b, cell->p, cell->n);
    }
    return cell->kind == c->kind;
}

/* ---- out ---- */

struct out {
    const struct gd_table *t;
    struct gd_buf buf; /* rows that are not summed and written yet */
    struct gd_hasher *sum;
    gd_write_fn *write; /* NULL: nobody wants the rows */
    struct gd_bulk *to; /* or a store takes them */
    void *arg;
    const atomic_bool *stop;
    int64_t rows;
    struct gd_err *err;
    bool failed;
};

static void out_flush(struct out *o)
{
    if (o->sum && o->buf.len)
        gd_hasher_add(o->sum, o->buf.ptr, o->buf.len);
    if (o->write && o->buf.len && !o->failed)
        o->failed = o->write(o->arg, o->buf.ptr, o->buf.len, o->err) < 0;
    gd_buf_clear(&o->buf);
}

static bool stopped(struct out *o)
{
    if (!o->failed && o->stop && atomic_load(o->stop))
        o->failed =
            gd_err_set(o->err, GD_R_SHUTTING_DOWN, "the daemon stops; what was copied is not whole") < 0;
    return o->failed;
}

static void on_row(void *arg, const struct gd_row *row)
{
    struct out *o = arg;
    bool ok = (size_t)row->ncols == o->t->ncols;

    if (stopped(o))
        return;
    gd_buf_addc(&o->buf, 'R');
    for (size_t i = 0; ok && i < o->t->ncols; i++)
        ok = put_cell(&o->buf, &o->t->cols[i], &row->cells[i]);
    o->rows++;
    if (!ok || o->buf.failed)
        o->failed = gd_err_set(o->err, GD_R_STORE_CORRUPT,
                               "a row of table %s holds a value of another type than its column, or too much",
                               o->t->name) < 0;
    else if (o->buf.len >= CHUNK)
        out_flush(o);
}

static int write_piece(struct out *o, struct gd_buf *piece)
{
    int rc = o->write ? o->write(o->arg, piece->ptr, piece->len, o->err) : 0;

    gd_buf_done(piece);
    return rc;
}

static int out_head(struct out *o)
{
    struct gd_buf b;

    gd_buf_init(&b, CHUNK);
    gd_buf_addc(&b, 'T');
    put_text(&b, o->t->name);
    put_num(&b, o->t->ncols, 2);
    for (size_t i = 0; i < o->t->ncols; i++)
        put_text(&b, o->t->cols[i].name);
    return write_piece(o, &b);
}

static int out_end(struct out *o, const struct gd_digest *d)
{
    struct gd_buf b;

    gd_buf_init(&b, CHUNK);
    gd_buf_addc(&b, 'E');
    put_num(&b, (uint64_t)d->rows, 8);
    gd_buf_add(&b, d->sha256, sizeof d->sha256);
    return write_piece(o, &b);
}

static int out_table(struct out *o, struct gd_view *v, struct gd_digest *ret)
{
    int rc;

    if (out_head(o) < 0)
        return -1;
    o->rows = 0;
    o->sum = gd_hasher_new();
    rc = gd_view_scan(v, &o->t->select, on_row, o, o->err);
    out_flush(o);
    *ret = (struct gd_digest){ .table = o->t->name, .rows = o->rows };
    gd_hasher_end(o->sum, ret->sha256);
    return rc < 0 || o->failed ? -1 : out_end(o, ret);
}

int gd_copy_out(struct gd_view *v, const struct gd_tables *t, struct gd_digest *ret, gd_write_fn *write,
                void *arg, const atomic_bool *stop, struct gd_err *err)
{
    struct out o = { .write = write, .arg = arg, .stop = stop, .err = err };
    int rc = write ? write(arg, magic, sizeof magic, err) : 0;

    gd_buf_init(&o.buf, ROW_MAX);
    for (size_t i = 0; rc == 0 && i < t->n; i++) {
        o.t = &t->list[i];
        rc = out_table(&o, v, &ret[i]);
    }
    if (rc == 0 && write)
        rc = write(arg, "Z", 1, err);
    gd_buf_done(&o.buf);
    return rc;
}

static void on_moved(void *arg, const struct gd_row *row)
{
    struct out *o = arg;

    if (!stopped(o))
        o->failed = gd_bulk_row(o->to, o->t, row->cells, o->err) < 0;
}

int gd_copy_table(struct gd_view *from, struct gd_bulk *to, const struct gd_table *t, const atomic_bool *stop,
                  struct gd_err *err)
{
    struct out o = { .t = t, .to = to, .stop = stop, .err = err };

    if (gd_view_scan(from, &t->select, on_moved, &o, err) < 0 || o.failed)
        return -1;
    return gd_bulk_flush(to, err);
}

/* ---- in ---- */

struct in {
    gd_read_fn *read;
    void *arg;
    const struct gd_tables *t;
    struct gd_bulk *to;
    struct gd_digest *ret;
    struct gd_buf row; /* as it was read, for the sum */
    struct gd_hasher *sum;
    int64_t rows;
    struct gd_err *err;
};

static int not_whole(struct in *in, const char *why)
{
    return gd_err_set(in->err, GD_R_BACKUP_INVALID, "the stream of tables is not whole: %s", why);
}

/* n more bytes behind what is in the row already; *ret: where they begin. */
static int take(struct in *in, size_t n, size_t *ret)
{
    char part[512]; /* the compiler clears it each time: no larger than most values */

    *ret = in->row.len;
    for (size_t k; n; n -= k) {
        k = n < sizeof part ? n : sizeof part;
        if (in->read(in->arg, part, k, in->err) < 0)
            return -1;
        gd_buf_add(&in->row, part, k);
    }
    return in->row.failed ? not_whole(in, "a row is longer than any can be") : 0;
}

static int take_num(struct in *in, int n, uint64_t *ret)
{
    size_t at;

    if (take(in, (size_t)n, &at) < 0)
        return -1;
    *ret = get_num((unsigned char *)in->row.ptr + at, n);
    return 0;
}

/* The text must be this one: a stream of other tables or columns is not ours. */
static int take_text(struct in *in, const char *want)
{
    uint64_t n;
    size_t at;

    if (take_num(in, 2, &n) < 0 || take(in, n, &at) < 0)
        return -1;
    if (n != strlen(want) || memcmp(in->row.ptr + at, want, n) != 0) /* check:allow no secret */
        return gd_err_set(
            in->err, GD_R_BACKUP_INVALID,
            "the stream has other tables or columns than this version knows: no %s where it belongs", want);
    return 0;
}

/* The pointers are set when the row is whole: until then its memory may move. */
static int take_cell(struct in *in, const struct gd_column *c, struct gd_param *ret, size_t *ret_at)
{
    uint64_t n = 0;
    size_t at;
    char tag;

    if (take(in, 1, &at) < 0)
        return -1;
    tag = in->row.ptr[at];
    *ret = (struct gd_param){ .kind = GD_PARAM_NULL };
    if (tag == 'n')
        return 0;
    ret->kind = c->kind;
    if (tag != (c->kind == GD_PARAM_INT ? 'i' : c->kind == GD_PARAM_TEXT ? 't' : 'b'))
        return not_whole(in, "a value is not of its column's type");
    if (take_num(in, tag == 'i' ? 8 : 4, &n) < 0)
        return -1;
    ret->num = tag == 'i' ? (int64_t)n : 0;
    ret->n = tag == 'i' ? 0 : n;
    if (ret->n > CELL_MAX)
        return not_whole(in, "a value is longer than any can be");
    return take(in, ret->n, ret_at);
}

static int take_row(struct in *in, const struct gd_table *t)
{
    struct gd_param cells[GD_STORE_PARAMS_MAX];
    size_t at[GD_STORE_PARAMS_MAX] = { 0 };

    for (size_t i = 0; i < t->ncols; i++)
        if (take_cell(in, &t->cols[i], &cells[i], &at[i]) < 0)
            return -1;
    for (size_t i = 0; i < t->ncols; i++)
        if (cells[i].kind == GD_PARAM_TEXT || cells[i].kind == GD_PARAM_BYTES)
            cells[i].p = cells[i].n ? in->row.ptr + at[i] : "";
    gd_hasher_add(in->sum, in->row.ptr, in->row.len);
    in->rows++;
    return in->to ? gd_bulk_row(in->to, t, cells, in->err) : 0;
}

static int take_end(struct in *in, const struct gd_table *t, struct gd_digest *ret)
{
    uint64_t rows;
    size_t at;

    *ret = (struct gd_digest){ .table = t->name, .rows = in->rows };
    gd_hasher_end(in->sum, ret->sha256);
    in->sum = NULL;
    if (take_num(in, 8, &rows) < 0 || take(in, 32, &at) < 0)
        return -1;
    if (rows != (uint64_t)in->rows ||
        memcmp(in->row.ptr + at, ret->sha256, 32) != 0) /* check:allow no secret */
        return gd_err_set(in->err, GD_R_BACKUP_INVALID, "table %s does not fit its sum", t->name);
    return 0;
}

static int take_tag(struct in *in)
{
    size_t at;

    gd_buf_clear(&in->row);
    return take(in, 1, &at) < 0 ? -1 : (unsigned char)in->row.ptr[at];
}

static int take_table(struct in *in, const struct gd_table *t, struct gd_digest *ret)
{
    uint64_t n;
    int tag = take_tag(in);

    if (tag < 0)
        return -1;
    if (tag != 'T')
        return not_whole(in, "a table is missing");
    if (take_text(in, t->name) < 0 || take_num(in, 2, &n) < 0)
        return -1;
    if (n != t->ncols)
        return not_whole(in, "a table has more or fewer columns than this version knows");
    for (size_t i = 0; i < t->ncols; i++)
        if (take_text(in, t->cols[i].name) < 0)
            return -1;
    if (in->to && gd_bulk_wipe(in->to, t, in->err) < 0) /* what an earlier try left */
        return -1;
    in->sum = gd_hasher_new();
    in->rows = 0;
    while ((tag = take_tag(in)) == 'R')
        if (take_row(in, t) < 0)
            return -1;
    return tag == 'E' ? take_end(in, t, ret) : tag < 0 ? -1 : not_whole(in, "a row does not begin as one");
}

static int take_all(struct in *in)
{
    char head[sizeof magic];

    if (in->read(in->arg, head, sizeof head, in->err) < 0)
        return -1;
    if (memcmp(head, magic, sizeof magic) != 0)
        return not_whole(in, "it does not begin as one");
    for (size_t i = 0; i < in->t->n; i++)
        if (take_table(in, &in->t->list[i], &in->ret[i]) < 0)
            return -1;
    if (take_tag(in) != 'Z')
        return not_whole(in, "it goes on where it should end, or is cut off");
    return in->to ? gd_bulk_flush(in->to, in->err) : 0;
}

int gd_copy_in(struct gd_bulk *to, const struct gd_tables *t, struct gd_digest *ret, gd_read_fn *read,
               void *arg, struct gd_err *err)
{
    struct in in = { .read = read, .arg = arg, .t = t, .to = to, .ret = ret, .err = err };
    int rc;

    gd_buf_init(&in.row, ROW_MAX);
    rc = take_all(&in);
    gd_hasher_end(in.sum, NULL);
    gd_buf_done(&in.row);
    return rc;
}
