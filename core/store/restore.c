/* store/restore.c - a backup read: first all of it is checked, then, and only if a store is to be filled, it
 * is read once more. */
#include "store/backup_int.h"

#include "base/fault.h"
#include "base/text.h"
#include "crypto/crypto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAX (1024 * 1024)
#define READ_AHEAD   (256 * 1024)

struct reading {
    const char *dir, *kind;
    int fd; /* of the folder */
    json_t *manifest;
    struct gd_tables tables; /* of the version that the backup has */
    size_t version;
    struct gd_digest *digests;
    struct gd_err *err;
    bool keys;
};

static int invalid(const struct reading *r, const char *name, const char *why)
{
    return gd_err_set(r->err, GD_R_BACKUP_INVALID, "%s/%s: %s", r->dir, name, why);
}

bool gd_folder_is_empty(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    bool empty = d != NULL;
    struct dirent *e;

    while (empty && (e = readdir(d)))
        empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    if (d)
        closedir(d);
    else if (copy >= 0)
        close(copy);
    return empty;
}

/* ---- files ---- */

struct source {
    const struct reading *r;
    const char *name;
    int fd;
    char *buf;
    size_t at, len;
    struct gd_hasher *sum;
    int64_t bytes;
};

static int source_open(struct source *s, const struct reading *r, const char *name)
{
    struct stat st;

    *s = (struct source){ .r = r, .name = name };
    s->fd = openat(r->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (s->fd < 0 || fstat(s->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        if (s->fd >= 0)
            close(s->fd);
        return invalid(r, name, s->fd < 0 ? strerror(errno) : "it is no plain file");
    }
    s->buf = gd_new(READ_AHEAD);
    s->sum = gd_hasher_new();
    return 0;
}

static void source_close(struct source *s, unsigned char sum[32])
{
    gd_hasher_end(s->sum, sum);
    gd_free(s->buf);
    close(s->fd);
}

/* False: the end, or an error (errno). */
static bool more(struct source *s)
{
    ssize_t n;

    do
        n = read(s->fd, s->buf, READ_AHEAD);
    while (n < 0 && errno == EINTR);
    s->at = 0;
    s->len = n > 0 ? (size_t)n : 0;
    if (n > 0)
        gd_hasher_add(s->sum, s->buf, s->len);
    s->bytes += n > 0 ? n : 0;
    errno = n == 0 ? 0 : errno;
    return n > 0;
}

static int source_read(void *arg, void *p, size_t n, struct gd_err *err)
{
    struct source *s = arg;
    char *to = p;

    (void)err; /* the same as r->err */
    for (size_t k; n; n -= k, to += k, s->at += k) {
        if (s->at == s->len && !more(s))
            return invalid(s->r, s->name, errno ? strerror(errno) : "it is cut off");
        k = s->len - s->at < n ? s->len - s->at : n;
        memcpy(to, s->buf + s->at, k);
    }
    return 0;
}

/* The file is what the manifest says. */
static int check_file(const struct reading *r, const char *name)
{
    const json_t *want = json_object_get(json_object_get(r->manifest, "files"), name);
    unsigned char sum[32];
    struct source s;
    char hex[65];
    int e;

    if (source_open(&s, r, name) < 0)
        return -1;
    while (more(&s))
        continue;
    e = errno;
    source_close(&s, sum);
    gd_hex(hex, sum, sizeof sum);
    if (e)
        return invalid(r, name, strerror(e));
    if (s.bytes != gd_json_i64(want, "bytes", -1) || strcmp(hex, gd_json_text(want, "sha256", "")) != 0)
        return invalid(r, name, "it does not fit its sum in the manifest");
    return 0;
}

/* Caller frees; NUL-terminated. */
static char *small_file(const struct reading *r, const char *name, size_t max, size_t *ret_n)
{
    struct source s;
    char *text;

    if (source_open(&s, r, name) < 0)
        return NULL;
    text = gd_new(max + 1);
    *ret_n = 0;
    while (*ret_n < max && (s.at < s.len || more(&s)))
        text[(*ret_n)++] = s.buf[s.at++];
    source_close(&s, NULL);
    if (*ret_n < max)
        return text;
    gd_free(text);
    (void)invalid(r, name, "it is longer than any can be");
    return NULL;
}

/* ---- the manifest ---- */

static bool is_signed(const char *line, const unsigned char pub[32], const char *text, size_t n)
{
    GD_AUTO_FREE char *what = gd_new(sizeof GD_BACKUP_SIGNED + n);
    unsigned char key[32], sig[64];

    memcpy(what, GD_BACKUP_SIGNED, sizeof GD_BACKUP_SIGNED - 1);
    memcpy(what + sizeof GD_BACKUP_SIGNED - 1, text, n);
    return strlen(line) == 8 + 64 + 1 + 128 + 1 && !strncmp(line, "ed25519 ", 8) && line[72] == ' ' &&
           line[201] == '\n' && gd_hex_decode(key, sizeof key, line + 8, 64) == 32 &&
           gd_hex_decode(sig, sizeof sig, line + 73, 128) == 64 && gd_same_bytes(key, pub, 32) &&
           gd_ed25519_verify(pub, sig, what, sizeof GD_BACKUP_SIGNED - 1 + n);
}

static int read_manifest(struct reading *r, const unsigned char pub[32])
{
    size_t n, nsig;
    GD_AUTO_FREE char *text = small_file(r, GD_BACKUP_MANIFEST, MANIFEST_MAX, &n);
    GD_AUTO_FREE char *sig = text ? small_file(r, GD_BACKUP_SIGNATURE, 512, &nsig) : NULL;

    if (!sig)
        return -1;
    if (!is_signed(sig, pub, text, n))
        return invalid(r, GD_BACKUP_SIGNATURE,
                       "the manifest is not signed by the key of this installation, or was changed");
    r->manifest = gd_json_parse(text, n, MANIFEST_MAX, r->err);
    if (!r->manifest)
        return -1;
    if (gd_json_i64(r->manifest, "format", 0) != GD_BACKUP_FORMAT)
        return gd_err_set(r->err, GD_R_STORE_TOO_NEW, "%s was made by a newer grantd", r->dir);
    if (strcmp(gd_json_text(r->manifest, "kind", ""), r->kind) != 0)
        return gd_err_set(r->err, GD_R_BACKUP_INVALID, "%s is a backup of the %s, not of the %s", r->dir,
                          gd_json_text(r->manifest, "kind", "?"), r->kind);
    return 0;
}

/* Its migrations are the first of ours. */
static int read_schema(struct reading *r, const struct gd_migration *migrations, size_t n)
{
    const json_t *names = json_object_get(json_object_get(r->manifest, "schema"), "names");

    r->version = json_array_size(names);
    if (r->version > n)
        return gd_err_set(r->err, GD_R_STORE_TOO_NEW, "%s has version %zu, this program knows %zu", r->dir,
                          r->version, n);
    for (size_t i = 0; i < r->version; i++) {
        const char *name = json_string_value(json_array_get(names, i));

        if (!name || strcmp(name, migrations[i].name) != 0)
            return invalid(r, GD_BACKUP_MANIFEST, "it has other migrations than this program");
    }
    return gd_tables_of(&r->tables, migrations, r->version, r->err);
}

/* ---- the tables ---- */

static int read_tables(struct reading *r, struct gd_bulk *to)
{
    struct source s;
    int rc;

    if (source_open(&s, r, GD_BACKUP_TABLES) < 0)
        return -1;
    rc = gd_copy_in(to, &r->tables, r->digests, source_read, &s, r->err);
    if (rc == 0 && (s.at < s.len || more(&s)))
        rc = invalid(r, GD_BACKUP_TABLES, "something stands behind its end");
    source_close(&s, NULL);
    return rc;
}

static int check_digests(const struct reading *r)
{
    GD_AUTO_JSON have = gd_digests_json(r->digests, r->tables.n);

    return json_equal(have, json_object_get(r->manifest, "tables"))
               ? 0
               : invalid(r, GD_BACKUP_TABLES, "the tables are not those of the manifest");
}

static int check_all(struct reading *r, const unsigned char pub[32], const struct gd_migration *migrations,
                     size_t n)
{
    r->fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->fd < 0)
        return gd_err_set(r->err, GD_R_BACKUP_INVALID, "%s: %s", r->dir, strerror(errno));
    if (read_manifest(r, pub) < 0 || read_schema(r, migrations, n) < 0 || check_file(r, GD_BACKUP_TABLES) < 0)
        return -1;
    if (json_object_get(json_object_get(r->manifest, "files"), GD_BACKUP_SPOOL) &&
        check_file(r, GD_BACKUP_SPOOL) < 0)
        return -1;
    r->digests = gd_new_array(r->tables.n + 1, sizeof *r->digests);
    return read_tables(r, NULL) < 0 ? -1 : check_digests(r);
}

static void reading_done(struct reading *r)
{
    if (r->fd >= 0)
        close(r->fd);
    if (r->tables.arena)
        gd_tables_done(&r->tables);
    json_decref(r->manifest);
    gd_free(r->digests);
}

int gd_backup_check(const char *dir, const char *kind, const unsigned char pub[32],
                    const struct gd_migration *migrations, size_t n, json_t **ret, struct gd_err *err)
{
    struct gd_err own = { 0 };
    struct reading r = { .dir = dir, .kind = kind, .fd = -1, .err = err ? err : &own };
    int rc = check_all(&r, pub, migrations, n);

    if (rc == 0)
        *ret = json_incref(r.manifest);
    reading_done(&r);
    return rc;
}

json_t *gd_backup_manifest(const char *dir)
{
    struct gd_err err = { 0 };
    struct reading r = { .dir = dir, .err = &err };
    GD_AUTO_FREE char *text = NULL;
    json_t *manifest;
    size_t n = 0;

    r.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    text = r.fd < 0 ? NULL : small_file(&r, GD_BACKUP_MANIFEST, MANIFEST_MAX, &n);
    manifest = text ? gd_json_parse(text, n, MANIFEST_MAX, &err) : NULL;
    reading_done(&r);
    return manifest;
}

/* ---- into a store ---- */

/* Empty, or what an earlier try of the same backup left. */
static int may_fill(const struct reading *r, struct gd_bulk *to, const json_t *mark)
{
    json_t *there = NULL;
    bool empty = false;
    int rc;

    if (gd_mark_of_bulk(to, GD_MARK_ARRIVING, &there, r->err) < 0)
        return -1;
    rc = there ? 0 : gd_bulk_is_empty(to, &r->tables, &empty, r->err);
    if (rc == 0 && !empty && !r->keys && !json_equal(there, mark))
        rc = gd_err_set(r->err, GD_R_STORE_NOT_EMPTY,
                        "the store to be filled holds data; move it away first (and keep it)");
    json_decref(there);
    return rc;
}

/* What is in a keyring already would not fit: the root of each is another one. */
static int may_merge(const struct reading *r, struct gd_bulk *to)
{
    const json_t *own = json_object_get(json_object_get(r->manifest, "root"), "id");
    GD_AUTO_JSON there = NULL;

    if (gd_mark_of_bulk(to, GD_MARK_ROOT, &there, r->err) < 0)
        return -1;
    return !there || json_equal(json_object_get(there, "id"), own)
               ? 0
               : gd_err_set(r->err, GD_R_BACKUP_INVALID,
                            "%s belongs to another installation than the keyring that is here; move that "
                            "one away first (and keep it)",
                            r->dir);
}

/* An earlier try of another backup may have brought one: its answers belong to another state. */
static int drop_spool(const struct reading *r, const char *name)
{
    if (unlink(name) == 0 || errno == ENOENT)
        return 0;
    return gd_err_set(r->err, GD_R_STORE_FAILED, "%s cannot be removed: %s", name, strerror(errno));
}

/* Beside the spool that is there: its answers may be newer and are needed, too. */
static int bring_spool(const struct reading *r, const struct gd_store_options *to)
{
    GD_AUTO_FREE char *name = to->spool_path ? gd_strf("%s.restored", to->spool_path) : NULL;
    GD_AUTO_FREE char *bytes = NULL;
    size_t n = 0;
    int fd, rc;

    if (!name)
        return 0;
    if (!json_object_get(json_object_get(r->manifest, "files"), GD_BACKUP_SPOOL))
        return drop_spool(r, name);
    bytes = small_file(r, GD_BACKUP_SPOOL, GD_SPOOL_FILE_MAX, &n);
    if (!bytes)
        return -1;
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    rc = fd < 0 ? errno : gd_write_at(fd, bytes, n, 0);
    if (rc == 0 && fsync(fd) < 0)
        rc = errno;
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        rc = gd_sync_parent(name);
    return rc == 0 ? 0
                   : gd_err_set(r->err, GD_R_STORE_FAILED, "%s cannot be written: %s", name, strerror(rc));
}

static int fill(struct reading *r, struct gd_bulk *to, const struct gd_store_options *o, int64_t now)
{
    GD_AUTO_JSON arriving =
        json_pack("{s:s, s:s}", "what", "restore", "id", gd_json_text(r->manifest, "id", ""));
    GD_AUTO_JSON restored =
        json_pack("{s:s, s:s, s:s, s:I}", "why", "backup", "id", gd_json_text(r->manifest, "id", ""),
                  "made_at", gd_json_text(r->manifest, "made_at", ""), "at", (json_int_t)now);

    if (r->keys && may_merge(r, to) < 0)
        return -1;
    if (r->keys)
        gd_bulk_merge(to);
    if (may_fill(r, to, arriving) < 0 || gd_mark_set(to, GD_MARK_ARRIVING, arriving, r->err) < 0)
        return -1;
    (void)GD_FAULT("store.arriving");
    if (read_tables(r, to) < 0 || check_digests(r) < 0 || bring_spool(r, o) < 0)
        return -1;
    (void)GD_FAULT("store.filled");
    if (!r->keys && gd_mark_set(to, GD_MARK_RESTORED, restored, r->err) < 0)
        return -1;
    return gd_mark_drop(to, GD_MARK_ARRIVING, r->err);
}

int gd_backup_restore(const char *dir, const char *kind, const unsigned char pub[32],
                      const struct gd_store_options *to, const struct gd_clock *clock, struct gd_log *log,
                      json_t **ret, struct gd_err *err)
{
    struct gd_err own = { 0 };
    struct reading r = { .dir = dir, .kind = kind, .fd = -1, .err = err ? err : &own };
    struct gd_store_options o = *to;
    struct gd_bulk *bulk = NULL;
    int rc = check_all(&r, pub, to->migrations, to->nmigrations);

    r.keys = !strcmp(kind, "keyring");
    if (!r.keys) /* what is missing is made when it is opened to be worked with */
        o.nmigrations = r.version;
    if (rc == 0)
        rc = gd_bulk_open(&bulk, &o, clock, log, r.err);
    if (rc == 0)
        rc = fill(&r, bulk, to, gd_now(clock));
    gd_bulk_close(bulk);
    if (rc == 0)
        *ret = json_incref(r.manifest);
    reading_done(&r);
    return rc;
}
