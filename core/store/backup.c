/* store/backup.c - a backup made: the spool as it was found, the tables as of one moment after that (so an
 * answer is in one of them at least), the manifest with all sums, its signature; each synced, the manifest
 * last. */
#include "store/backup_int.h"

#include "base/text.h"
#include "crypto/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct making {
    const struct gd_backup *b;
    int dir;   /* descriptor */
    bool made; /* the folder is ours to remove */
    json_t *manifest, *files;
    struct gd_err *err;
};

static int place_failed(const struct making *m, const char *name)
{
    return gd_err_set(m->err, errno == ENOSPC || errno == EDQUOT ? GD_R_STORE_FULL : GD_R_BACKUP_PLACE,
                      "%s%s%s: %s", m->b->dir, *name ? "/" : "", name, strerror(errno));
}

/* ---- one file ---- */

struct file {
    struct making *m;
    const char *name;
    int fd;
    struct gd_hasher *sum;
    int64_t bytes;
};

static int file_begin(struct file *f, struct making *m, const char *name)
{
    *f = (struct file){ .m = m, .name = name };
    f->fd = openat(m->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    f->sum = gd_hasher_new();
    return f->fd < 0 ? place_failed(m, name) : 0;
}

static int file_write(void *arg, const void *p, size_t n, struct gd_err *err)
{
    struct file *f = arg;
    int rc = gd_write_at(f->fd, p, n, f->bytes);

    (void)err; /* the same as m->err */
    errno = rc;
    if (rc != 0)
        return place_failed(f->m, f->name);
    gd_hasher_add(f->sum, p, n);
    f->bytes += (int64_t)n;
    return 0;
}

/* rc: how it went so far. Synced, and named in the manifest, when that was well. */
static int file_end(struct file *f, int rc)
{
    unsigned char sum[32];
    char hex[65];

    gd_hasher_end(f->sum, sum);
    gd_hex(hex, sum, sizeof sum);
    if (rc == 0 && fsync(f->fd) < 0)
        rc = place_failed(f->m, f->name);
    if (f->fd >= 0)
        close(f->fd);
    if (rc == 0 && f->m->files)
        json_object_set_new(f->m->files, f->name,
                            json_pack("{s:I, s:s}", "bytes", (json_int_t)f->bytes, "sha256", hex));
    return rc;
}

static int write_file(struct making *m, const char *name, const void *p, size_t n)
{
    struct file f;
    int rc = file_begin(&f, m, name);

    return file_end(&f, rc == 0 ? file_write(&f, p, n, m->err) : rc);
}

/* ---- the tables ---- */

json_t *gd_digests_json(const struct gd_digest *d, size_t n)
{
    json_t *list = json_array();
    char hex[65];

    for (size_t i = 0; i < n; i++) {
        gd_hex(hex, d[i].sha256, sizeof d[i].sha256);
        json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "table", d[i].table, "rows",
                                              (json_int_t)d[i].rows, "sha256", hex));
    }
    return list;
}

static int write_tables(struct making *m, struct gd_view *v, const struct gd_tables *t)
{
    GD_AUTO_FREE struct gd_digest *d = gd_new_array(t->n + 1, sizeof *d);
    json_t *schema = gd_view_schema(v, m->err);
    struct file f;
    int rc;

    if (!schema)
        return -1;
    json_object_set_new(m->manifest, "schema", schema);
    rc = file_begin(&f, m, GD_BACKUP_TABLES);
    if (rc == 0)
        rc = gd_copy_out(v, t, d, file_write, &f, m->b->stop, m->err);
    rc = file_end(&f, rc);
    if (rc == 0)
        json_object_set_new(m->manifest, "tables", gd_digests_json(d, t->n));
    return rc;
}

static int copy_tables(struct making *m)
{
    const struct gd_store_options *o = m->b->store;
    struct gd_tables t;
    struct gd_view *v;
    int rc;

    if (gd_tables_of(&t, o->migrations, o->nmigrations, m->err) < 0)
        return -1;
    rc = gd_view_open(&v, o, m->b->log, m->err);
    if (rc == 0) {
        rc = write_tables(m, v, &t);
        gd_view_close(v);
    }
    gd_tables_done(&t);
    return rc;
}

/* ---- the manifest ---- */

static int sign(struct making *m, const char *text)
{
    GD_AUTO_FREE char *what = gd_strf(GD_BACKUP_SIGNED "%s", text);
    unsigned char sig[64], pub[32];
    char hex[129], key[65], line[256];

    gd_ed25519_sign(sig, m->b->sign_seed, what, strlen(what));
    gd_ed25519_public(pub, m->b->sign_seed);
    gd_hex(hex, sig, sizeof sig);
    gd_hex(key, pub, sizeof pub);
    (void)snprintf(line, sizeof line, "ed25519 %s %s\n", key, hex);
    return write_file(m, GD_BACKUP_SIGNATURE, line, strlen(line));
}

static int write_manifest(struct making *m)
{
    GD_AUTO_FREE char *text = NULL;
    json_t *files = m->files;
    int rc;

    json_object_update(m->manifest, m->b->about);
    json_object_set_new(m->manifest, "format", json_integer(GD_BACKUP_FORMAT));
    json_object_set_new(m->manifest, "kind", json_string(m->b->kind));
    json_object_set(m->manifest, "files", files);
    text = json_dumps(m->manifest, JSON_INDENT(2) | JSON_SORT_KEYS);
    m->files = NULL; /* what follows is not named in itself */
    rc = sign(m, text);
    if (rc == 0)
        rc = write_file(m, GD_BACKUP_MANIFEST, text, strlen(text));
    m->files = files;
    if (rc == 0 && (fsync(m->dir) < 0 || gd_sync_parent(m->b->dir) != 0))
        rc = place_failed(m, "");
    return rc;
}

/* ---- the folder ---- */

static bool is_empty(int fd)
{
    struct stat st;

    /* A folder that nobody ever put a folder or file into; what others own is left alone. */
    return fstat(fd, &st) == 0 && st.st_uid == geteuid() && gd_folder_is_empty(fd);
}

static int open_folder(struct making *m)
{
    const char *dir = m->b->dir;

    if (dir[0] != '/')
        return gd_err_set(m->err, GD_R_BACKUP_PLACE,
                          "%s: the daemon needs an absolute path; its folder is not yours", dir);
    m->made = mkdir(dir, 0700) == 0;
    if (!m->made && errno != EEXIST)
        return place_failed(m, "");
    m->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (m->dir < 0)
        return place_failed(m, "");
    if (!m->made && !is_empty(m->dir))
        return gd_err_set(
            m->err, GD_R_BACKUP_PLACE,
            "%s is there already and is not an empty folder of the daemon's user; name a new one", dir);
    return 0;
}

static void remove_all(struct making *m)
{
    static const char *const names[] = { GD_BACKUP_MANIFEST, GD_BACKUP_SIGNATURE, GD_BACKUP_TABLES,
                                         GD_BACKUP_SPOOL };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlinkat(m->dir, names[i], 0);
    if (m->made)
        (void)rmdir(m->b->dir);
}

int gd_backup_make(const struct gd_backup *b, json_t **ret, struct gd_err *err)
{
    struct gd_err own = { 0 };
    struct making m = { .b = b, .dir = -1, .err = err ? err : &own };
    int rc = open_folder(&m);

    m.manifest = json_object();
    m.files = json_object();
    if (rc == 0) {
        if (b->nspool)
            rc = write_file(&m, GD_BACKUP_SPOOL, b->spool, b->nspool);
        if (rc == 0)
            rc = copy_tables(&m);
        if (rc == 0)
            rc = write_manifest(&m);
        if (rc < 0)
            remove_all(&m);
    }
    if (m.dir >= 0)
        close(m.dir);
    json_decref(m.files);
    if (rc == 0)
        *ret = m.manifest;
    else
        json_decref(m.manifest);
    return rc;
}
