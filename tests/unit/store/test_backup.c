/* test_backup.c - a backup made beside a working store, checked, changed in every way, and filled into a new
 * store: the same rows, or a refusal. */
#include "kit.h"

#include "crypto/crypto.h"
#include "store/backup.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const first[] = {
    "CREATE TABLE meta (name text NOT NULL PRIMARY KEY, value text NOT NULL)",
    "CREATE TABLE kv (workspace text NOT NULL, k text NOT NULL, v bigint NOT NULL, data bytea, PRIMARY KEY "
    "(workspace, k))",
    NULL,
};
static const char *const second[] = {
    "CREATE TABLE gone (workspace text NOT NULL, n bigint NOT NULL DEFAULT 0, PRIMARY KEY (workspace, n))",
    "ALTER TABLE kv ADD COLUMN note text",
    "CREATE UNIQUE INDEX kv_v ON kv (workspace, v, k)",
    "INSERT INTO meta (name, value) VALUES ('made', 'x')",
    "UPDATE meta SET value = 'y' WHERE name = 'made'",
    NULL,
};
static const char *const third[] = { "DROP TABLE gone", "DROP INDEX kv_v", NULL };
static const struct gd_migration migrations[] = { { "first", first },
                                                  { "second", second },
                                                  { "third", third } };

GD_SQL(sql_put, "INSERT INTO kv (workspace, k, v, data, note) VALUES ('w', $1, $2, $3, $4)");
GD_SQL(sql_rows, "SELECT k, v, data, note FROM kv ORDER BY k");

static const unsigned char seed[32] = "a seed of thirty-two bytes, yes";
static unsigned char pub[32];
static struct kit k;
static char dir[128], target[128], target_schema[40];

static int setup(void **state)
{
    (void)state;
    kit_init(&k);
    k.o.migrations = migrations;
    k.o.nmigrations = 3;
    gd_ed25519_public(pub, seed);
    (void)snprintf(dir, sizeof dir, "%s/backup", k.dir);
    (void)snprintf(target, sizeof target, "%s/other.db", k.dir);
    assert_int_equal(kit_open(&k, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_done(&k);
    return 0;
}

static void put(const char *key, int64_t v, const void *data, size_t n, const char *note)
{
    struct gd_tx *tx = gd_tx_new(k.s);

    gd_tx_add(tx, &sql_put, GD_P_TEXT(key), GD_P_INT(v), GD_P_BYTES(data, n), GD_P_TEXT(note));
    assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
}

static void put_some(void)
{
    put("a", 1, NULL, 0, NULL);
    put("b", INT64_MIN, "", 0, "");
    put("c", INT64_MAX, "\0\1\2", 3, "gr\xc3\xbc\xc3\x9f dich");
    put("B", -1, "R", 1, "T");
}

static int make(const char *to, const void *spool, size_t n, const atomic_bool *stop, struct gd_err *err)
{
    GD_AUTO_JSON about = json_pack("{s:s, s:s}", "id", "bk1", "made_at", "now");
    struct gd_backup b = { .dir = to,
                           .kind = "data",
                           .store = &k.o,
                           .spool = spool,
                           .nspool = n,
                           .about = about,
                           .sign_seed = seed,
                           .stop = stop };
    json_t *manifest = NULL;
    int rc = gd_backup_make(&b, &manifest, err);

    json_decref(manifest);
    return rc;
}

static enum gd_reason check(void)
{
    json_t *manifest = NULL;
    struct gd_err err = { 0 };
    int rc = gd_backup_check(dir, "data", pub, migrations, 3, &manifest, &err);

    assert_int_equal(rc, err.reason ? -1 : 0);
    json_decref(manifest);
    return err.reason;
}

static enum gd_reason restore(const struct gd_store_options *to)
{
    json_t *manifest = NULL;
    struct gd_err err = { 0 };
    int rc = gd_backup_restore(dir, "data", pub, to, gd_clock_system(), NULL, &manifest, &err);

    assert_int_equal(rc, err.reason ? -1 : 0);
    json_decref(manifest);
    return err.reason;
}

static struct gd_store_options other(void)
{
    struct gd_store_options o = k.o;

    o.path = target;
    (void)snprintf(target_schema, sizeof target_schema, "o_%s", k.schema);
    if (kit_shared())
        o.schema = target_schema;
    return o;
}

static void on_row(void *arg, const struct gd_row *row)
{
    char **text = arg, *was = *text;
    size_t n;
    const char *data = gd_row_bytes(row, 2, &n), *note = gd_row_text(row, 3);

    *text = gd_strf("%s%s=%lld/%zu%s/%s;", was, gd_row_text(row, 0), (long long)gd_row_int(row, 1), n,
                    data ? "" : "-", note ? note : "-");
    gd_free(was);
}

static char *rows_of(const struct gd_store_options *o)
{
    char *text = gd_strdup("");
    struct gd_view *v;

    assert_int_equal(gd_view_open(&v, o, NULL, NULL), 0);
    assert_int_equal(gd_view_scan(v, &sql_rows, on_row, &text, NULL), 0);
    gd_view_close(v);
    return text;
}

static void digests_of(const struct gd_store_options *o, struct gd_digest d[8], struct gd_tables *t)
{
    struct gd_view *v;

    assert_int_equal(gd_tables_of(t, o->migrations, o->nmigrations, NULL), 0);
    assert_int_equal(gd_view_open(&v, o, NULL, NULL), 0);
    assert_int_equal(gd_copy_out(v, t, d, NULL, NULL, NULL, NULL), 0);
    gd_view_close(v);
}

static void test_tables(void **state)
{
    static const char *const bad[] = { "CREATE TABLE t (a float, PRIMARY KEY (a))", NULL };
    const struct gd_migration wrong = { "wrong", bad };
    struct gd_tables t;
    struct gd_err err = { 0 };

    (void)state;
    assert_int_equal(gd_tables_of(&t, migrations, 3, NULL), 0);
    assert_int_equal(t.n, 2);
    assert_string_equal(t.list[0].select.text,
                        "SELECT name, value FROM meta WHERE name NOT IN ('arriving', 'moved') ORDER BY name");
    assert_string_equal(t.list[1].insert.text,
                        "INSERT INTO kv (workspace, k, v, data, note) VALUES ($1, $2, $3, $4, $5)");
    assert_string_equal(t.list[1].select.text,
                        "SELECT workspace, k, v, data, note FROM kv ORDER BY workspace, k");
    assert_int_equal(gd_tables_find(&t, "kv")->cols[3].kind, GD_PARAM_BYTES);
    assert_null(gd_tables_find(&t, "gone"));
    gd_tables_done(&t);
    assert_int_equal(gd_tables_of(&t, &wrong, 1, &err), -1);
    assert_int_equal(err.reason, GD_R_INTERNAL);
}

static void test_there_and_back(void **state)
{
    struct gd_store_options o = other();
    struct gd_digest d1[8], d2[8];
    struct gd_tables t1, t2;
    char *was, *is;

    (void)state;
    put_some();
    assert_int_equal(make(dir, NULL, 0, NULL, NULL), 0);
    assert_int_equal(check(), 0);
    assert_int_equal(restore(&o), 0);
    was = rows_of(&k.o);
    is = rows_of(&o);
    assert_string_equal(was, is);
    assert_true(strlen(was) > 40);
    digests_of(&k.o, d1, &t1);
    digests_of(&o, d2, &t2);
    assert_int_equal(t1.n, 2);
    assert_int_equal(d1[1].rows, 4);
    assert_memory_equal(d1[1].sha256, d2[1].sha256, 32);
    assert_true(memcmp(d1[0].sha256, d2[0].sha256, 32) != 0); /* it says that it was restored */
    gd_tables_done(&t1);
    gd_tables_done(&t2);
    gd_free(was);
    gd_free(is);
    assert_int_equal(restore(&o), GD_R_STORE_NOT_EMPTY);
}

static void test_marks(void **state)
{
    GD_AUTO_JSON mine = json_pack("{s:s, s:s}", "what", "restore", "id", "bk1");
    GD_AUTO_JSON another = json_pack("{s:s, s:s}", "what", "restore", "id", "bk2");
    struct gd_store_options o = other();
    struct gd_bulk *b;
    json_t *mark = NULL;
    static const struct gd_param row[] = { { .kind = GD_PARAM_TEXT, .p = "w" },
                                           { .kind = GD_PARAM_TEXT, .p = "left" },
                                           { .kind = GD_PARAM_INT, .num = 7 },
                                           { .kind = GD_PARAM_NULL },
                                           { .kind = GD_PARAM_NULL } };
    struct gd_tables t;
    char *is;

    (void)state;
    put_some();
    assert_int_equal(make(dir, NULL, 0, NULL, NULL), 0);
    /* An earlier try was killed in the middle: half of it is there. */
    assert_int_equal(gd_tables_of(&t, migrations, 3, NULL), 0);
    assert_int_equal(gd_bulk_open(&b, &o, gd_clock_system(), NULL, NULL), 0);
    assert_int_equal(gd_mark_set(b, GD_MARK_ARRIVING, another, NULL), 0);
    assert_int_equal(gd_bulk_row(b, gd_tables_find(&t, "kv"), row, NULL), 0);
    assert_int_equal(gd_bulk_flush(b, NULL), 0);
    gd_bulk_close(b);
    assert_int_equal(restore(&o), GD_R_STORE_NOT_EMPTY); /* that of another backup */
    assert_int_equal(gd_bulk_open(&b, &o, gd_clock_system(), NULL, NULL), 0);
    assert_int_equal(gd_mark_set(b, GD_MARK_ARRIVING, mine, NULL), 0);
    gd_bulk_close(b);
    assert_int_equal(restore(&o), 0);
    is = rows_of(&o);
    assert_null(strstr(is, "left"));
    gd_free(is);
    assert_int_equal(gd_bulk_open(&b, &o, gd_clock_system(), NULL, NULL), 0);
    assert_int_equal(gd_mark_of_bulk(b, GD_MARK_ARRIVING, &mark, NULL), 0);
    assert_null(mark);
    assert_int_equal(gd_mark_of_bulk(b, GD_MARK_RESTORED, &mark, NULL), 0);
    assert_string_equal(gd_json_text(mark, "id", ""), "bk1");
    json_decref(mark);
    gd_bulk_close(b);
    gd_tables_done(&t);
}

static void read_file(const char *name, char **ret, size_t *ret_n)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s", dir, name);
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    *ret = gd_new(65536);
    *ret_n = fread(*ret, 1, 65536, f);
    (void)fclose(f);
}

static void write_file(const char *name, const char *p, size_t n)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s", dir, name);
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    (void)fclose(f);
}

/* Any byte changed, cut off at any place, something behind it: each of the files. */
static void test_changed(void **state)
{
    static const char *const names[] = { "tables", "spool", "manifest.json", "manifest.sig" };
    char *was;
    size_t n;

    (void)state;
    put_some();
    assert_int_equal(make(dir, "spooled", 7, NULL, NULL), 0);
    assert_int_equal(check(), 0);
    for (size_t f = 0; f < 4; f++) {
        read_file(names[f], &was, &n);
        for (size_t i = 0; i < n; i += 1 + n / 97) {
            was[i] ^= 1;
            write_file(names[f], was, n);
            assert_int_equal(check(), GD_R_BACKUP_INVALID);
            was[i] ^= 1;
            write_file(names[f], was, i);
            assert_int_equal(check(), GD_R_BACKUP_INVALID);
        }
        was[n] = '\n';
        write_file(names[f], was, n + 1);
        assert_int_equal(check(), GD_R_BACKUP_INVALID);
        write_file(names[f], was, n);
        gd_free(was);
    }
    assert_int_equal(check(), 0);
}

struct piece {
    const char *p;
    size_t n;
};

static int read_piece(void *arg, void *p, size_t n, struct gd_err *err)
{
    struct piece *from = arg;

    if (n > from->n)
        return gd_err_set(err, GD_R_BACKUP_INVALID, "the end");
    memcpy(p, from->p, n);
    from->p += n;
    from->n -= n;
    return 0;
}

/* Whatever is changed in a stream that nobody signed: it is refused, never believed, and never read beyond.
 */
static void test_stream(void **state)
{
    struct gd_digest d[8];
    struct gd_tables t;
    char *was;
    size_t n;

    (void)state;
    put_some();
    assert_int_equal(make(dir, NULL, 0, NULL, NULL), 0);
    read_file("tables", &was, &n);
    assert_int_equal(gd_tables_of(&t, migrations, 3, NULL), 0);
    for (size_t i = 0; i < 8 * n; i++) {
        struct piece cut = { was, i / 8 }, all = { was, n };
        struct gd_err err = { 0 };

        was[i / 8] = (char)(was[i / 8] ^ 1 << i % 8);
        assert_int_equal(gd_copy_in(NULL, &t, d, read_piece, &all, &err), -1);
        assert_int_equal(err.reason, GD_R_BACKUP_INVALID);
        was[i / 8] = (char)(was[i / 8] ^ 1 << i % 8);
        assert_int_equal(gd_copy_in(NULL, &t, d, read_piece, &cut, &err), -1);
    }
    gd_tables_done(&t);
    gd_free(was);
}

static void test_whose(void **state)
{
    unsigned char foreign[32];
    json_t *m = NULL;
    struct gd_err err = { 0 };

    (void)state;
    assert_int_equal(make(dir, NULL, 0, NULL, NULL), 0);
    memcpy(foreign, pub, 32);
    foreign[0] ^= 1;
    assert_int_equal(gd_backup_check(dir, "data", foreign, migrations, 3, &m, &err), -1);
    assert_int_equal(err.reason, GD_R_BACKUP_INVALID);
    assert_int_equal(gd_backup_check(dir, "keyring", pub, migrations, 3, &m, &err), -1);
    assert_int_equal(err.reason, GD_R_BACKUP_INVALID);
    assert_int_equal(gd_backup_check(dir, "data", pub, migrations, 2, &m, &err), -1);
    assert_int_equal(err.reason, GD_R_STORE_TOO_NEW);
    assert_int_equal(gd_backup_check(dir, "data", pub, kit_migrations, 2, &m, &err), -1);
    assert_int_equal(gd_backup_check("/nowhere/at/all", "data", pub, migrations, 3, &m, &err), -1);
    assert_int_equal(err.reason, GD_R_BACKUP_INVALID);
}

static void test_place(void **state)
{
    static const atomic_bool stop = true;
    struct gd_err err = { 0 };
    char name[160];

    (void)state;
    put_some();
    assert_int_equal(make("backup", NULL, 0, NULL, &err), -1);
    assert_int_equal(err.reason, GD_R_BACKUP_PLACE);
    assert_int_equal(make(k.dir, NULL, 0, NULL, &err), -1); /* not empty */
    assert_int_equal(err.reason, GD_R_BACKUP_PLACE);
    (void)snprintf(name, sizeof name, "%s/a/b", k.dir);
    assert_int_equal(make(name, NULL, 0, NULL, &err), -1);
    assert_int_equal(err.reason, GD_R_BACKUP_PLACE);
    assert_int_equal(make(dir, NULL, 0, &stop, &err), -1);
    assert_int_equal(err.reason, GD_R_SHUTTING_DOWN);
    assert_int_not_equal(access(dir, F_OK), 0); /* nothing is left of it */
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(make(dir, NULL, 0, NULL, &err), 0); /* an empty folder will do */
}

static void test_spool(void **state)
{
    struct gd_store_options o = other();
    struct kit again = k;
    char spool[140], *records;
    void *bytes;
    size_t n;

    (void)state;
    again.clock = k.clock;
    put_some();
    assert_int_equal(kit_commit(&k, kit_put(&k, "z", 1, "an answer"), NULL), GD_STORE_OK);
    assert_int_equal(gd_store_spool_copy(k.s, &bytes, &n, NULL), 0);
    assert_true(n > 9);
    assert_int_equal(make(dir, bytes, n, NULL, NULL), 0);
    gd_free(bytes);
    (void)snprintf(spool, sizeof spool, "%s/spool2", k.dir);
    o.spool_path = spool;
    assert_int_equal(restore(&o), 0);
    again.o = o;
    again.s = NULL;
    uv_loop_init(&again.loop);
    assert_int_equal(kit_open(&again, NULL), 0);
    records = kit_replay(&again);
    assert_string_equal(records, "an answer");
    gd_free(records);
    assert_int_equal(gd_store_spool_clear(again.s, NULL), 0);
    (void)snprintf(spool, sizeof spool, "%s/spool2.restored", k.dir);
    assert_int_not_equal(access(spool, F_OK), 0);
    kit_close(&again);
    uv_loop_close(&again.loop);
}

/* A restore that went no further left it; the next one is of a backup that has none. */
static void test_spool_of_an_earlier_try(void **state)
{
    struct gd_store_options o = other();
    char spool[140], left[160];
    int fd;

    (void)state;
    put_some();
    assert_int_equal(make(dir, NULL, 0, NULL, NULL), 0);
    (void)snprintf(spool, sizeof spool, "%s/spool2", k.dir);
    (void)snprintf(left, sizeof left, "%s.restored", spool);
    fd = open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    o.spool_path = spool;
    assert_int_equal(restore(&o), 0);
    assert_int_not_equal(access(left, F_OK), 0);
}

struct busy {
    pthread_t thread;
    atomic_bool over;
    int rc;
};

static void *backup_thread(void *arg)
{
    struct busy *b = arg;

    b->rc = make(dir, NULL, 0, NULL, NULL);
    atomic_store(&b->over, true);
    return NULL;
}

/* Rows come two by two while it is made: it holds whole pairs. */
static void test_beside_writes(void **state)
{
    struct gd_store_options o = other();
    struct busy b = { 0 };
    char name[32], *is;
    size_t rows = 0;
    int n = 0;

    (void)state;
    for (; n < 2000 || !atomic_load(&b.over); n++) {
        struct gd_tx *tx = gd_tx_new(k.s);

        for (int half = 0; half < 2; half++) {
            (void)snprintf(name, sizeof name, "%07d%d", n, half);
            gd_tx_add(tx, &sql_put, GD_P_TEXT(name), GD_P_INT(n), GD_P_NULL, GD_P_NULL);
        }
        assert_int_equal(kit_commit(&k, tx, NULL), GD_STORE_OK);
        if (n == 1000)
            assert_int_equal(pthread_create(&b.thread, NULL, backup_thread, &b), 0);
    }
    pthread_join(b.thread, NULL);
    assert_int_equal(b.rc, 0);
    assert_int_equal(check(), 0);
    assert_int_equal(restore(&o), 0);
    is = rows_of(&o);
    for (char *p = is; (p = strchr(p, ';')); p++)
        rows++;
    assert_true(rows >= 2000);
    assert_int_equal(rows % 2, 0);
    gd_free(is);
}

static void test_view(void **state)
{
    struct gd_store_options o = other();
    struct gd_err err = { 0 };
    struct gd_view *v;
    char *was, *is;

    (void)state;
    if (kit_shared()) { /* the server is there, and the schema is not */
        was = gd_strdup("");
        assert_int_equal(gd_view_open(&v, &o, NULL, &err), 0);
        assert_int_equal(gd_view_scan(v, &sql_rows, on_row, &was, &err), -1);
        gd_view_close(v);
        gd_free(was);
    } else {
        assert_int_equal(gd_view_open(&v, &o, NULL, &err), -1); /* there is no such file */
    }
    assert_int_equal(err.reason, GD_R_STORE_FAILED);
    put_some();
    assert_int_equal(gd_view_open(&v, &k.o, NULL, NULL), 0);
    put("later", 1, NULL, 0, NULL);
    was = gd_strdup("");
    assert_int_equal(gd_view_scan(v, &sql_rows, on_row, &was, NULL), 0);
    assert_null(strstr(was, "later"));
    gd_view_close(v);
    is = rows_of(&k.o);
    assert_non_null(strstr(is, "later"));
    gd_free(was);
    gd_free(is);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(test_view, setup, teardown),
        cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whose, setup, teardown),
        cmocka_unit_test_setup_teardown(test_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spool_of_an_earlier_try, setup, teardown),
        cmocka_unit_test_setup_teardown(test_beside_writes, setup, teardown),
    };

    gd_json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
