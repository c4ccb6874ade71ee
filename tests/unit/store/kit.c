/* kit.c */
#define _XOPEN_SOURCE_EXTENDED 1
#include "kit.h"

#include "base/buf.h"

#include <ftw.h>
#include <unistd.h>

static const char *const first[] = {
    "CREATE TABLE kv (workspace text NOT NULL, k text NOT NULL, v bigint NOT NULL, data bytea, "
    "PRIMARY KEY (workspace, k))",
    NULL,
};
static const char *const second[] = { "CREATE INDEX kv_v ON kv (workspace, v)", NULL };
const struct gd_migration kit_migrations[2] = { { "first", first }, { "second", second } };

GD_SQL(sql_put, "INSERT INTO kv (workspace, k, v) VALUES ('w', $1, $2)");
GD_SQL(sql_get, "SELECT v FROM kv WHERE workspace = 'w' AND k = $1");
GD_SQL(sql_count, "SELECT count(*) FROM kv");

static int ended;

/* The suite runs on PostgreSQL when tests/pg/cluster.py names one. Every folder has a schema of its own. */
bool kit_shared(void)
{
    return getenv("GRANTD_TEST_PG") != NULL;
}

static void name_schema(struct kit *k)
{
    const char *folder = strrchr(k->path, '/');
    char letters[7] = "";

    if (folder && folder - k->path >= 6)
        memcpy(letters, folder - 6, 6);
    (void)snprintf(k->schema, sizeof k->schema, "t%u_", k->lives);
    for (const char *c = letters; *c; c++)
        (void)snprintf(k->schema + strlen(k->schema), 3, "%02x", (unsigned)(unsigned char)*c);
}

/* A test may have named another schema. */
static void use_postgresql(struct kit *k)
{
    if (!k->o.schema || k->o.schema == k->schema)
        name_schema(k);
    k->o.url = getenv("GRANTD_TEST_PG");
    k->o.module_dir = getenv("GRANTD_TEST_MODULES");
    k->o.own_modules = true;
    k->o.schema = k->o.schema ? k->o.schema : k->schema;
    k->o.node = "n1";
}

void kit_init(struct kit *k)
{
    const char *tmp = getenv("TMPDIR");

    memset(k, 0, sizeof *k);
    (void)snprintf(k->dir, sizeof k->dir, "%.40s/gdstoreXXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->path, sizeof k->path, "%s/state.db", k->dir);
    (void)snprintf(k->spool, sizeof k->spool, "%s/spool", k->dir);
    k->o = (struct gd_store_options){
        .path = k->path, .spool_path = k->spool, .migrations = kit_migrations, .nmigrations = 2
    };
    k->clock = gd_clock_system();
    assert_int_equal(uv_loop_init(&k->loop), 0);
}

int kit_open(struct kit *k, struct gd_err *err)
{
    if (kit_shared())
        use_postgresql(k);
    return gd_store_open(&k->s, &k->loop, &k->o, k->clock, NULL, err);
}

/* Nothing is left but the spool. */
void kit_wipe(struct kit *k)
{
    static const char *const names[] = { "", "-wal", "-shm", ".installation" };
    char name[128];

    k->lives++; /* the next schema is a fresh one */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(name, sizeof name, "%s%s", k->path, names[i]);
        (void)unlink(name);
    }
}

static void on_close(void *arg)
{
    *(bool *)arg = true;
}

void kit_close(struct kit *k)
{
    bool closed = false;

    if (!k->s)
        return;
    gd_store_close(k->s, on_close, &closed);
    k->s = NULL;
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0);
    assert_true(closed);
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

void kit_done(struct kit *k)
{
    kit_close(k);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    (void)nftw(k->dir, rm, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_done(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct shot *s = arg;
    const char *text = gd_tx_text(tx, 0, 0, 0);

    s->calls++;
    s->order = ++ended;
    s->r = r;
    if (err)
        s->err = *err;
    s->changes = gd_tx_changes(tx, 0);
    s->rows = gd_tx_rows(tx, 0);
    s->num = gd_tx_int(tx, 0, 0, 0);
    s->null = gd_tx_is_null(tx, 0, 0, 0);
    if (text)
        (void)snprintf(s->text, sizeof s->text, "%s", text);
}

void kit_send(struct kit *k, struct gd_tx *tx, struct shot *s)
{
    *s = (struct shot){ 0 };
    gd_store_commit(k->s, tx, on_done, s);
}

void kit_wait(struct kit *k, const struct shot *s)
{
    while (!s->calls)
        (void)uv_run(&k->loop, UV_RUN_ONCE);
}

enum gd_store_result kit_commit(struct kit *k, struct gd_tx *tx, struct shot *s)
{
    struct shot own;

    s = s ? s : &own;
    kit_send(k, tx, s);
    kit_wait(k, s);
    return s->r;
}

enum gd_store_result kit_read(struct kit *k, struct gd_tx *tx, struct shot *s)
{
    *s = (struct shot){ 0 };
    gd_store_read(k->s, tx, on_done, s);
    kit_wait(k, s);
    return s->r;
}

void kit_scrub(struct kit *k, struct shot *s)
{
    *s = (struct shot){ 0 };
    gd_store_scrub(k->s, on_done, s);
    kit_wait(k, s);
}

void kit_check(struct kit *k, struct shot *s)
{
    *s = (struct shot){ 0 };
    gd_store_check(k->s, on_done, s);
    kit_wait(k, s);
}

struct gd_tx *kit_put(struct kit *k, const char *key, int64_t v, const char *spool)
{
    struct gd_tx *tx = gd_tx_new(k->s);

    gd_tx_add(tx, &sql_put, GD_P_TEXT(key), GD_P_INT(v));
    if (spool)
        gd_tx_spool(tx, spool, strlen(spool));
    return tx;
}

int64_t kit_value(struct kit *k, const char *key)
{
    struct gd_tx *tx = gd_tx_new(k->s);
    struct shot s;

    gd_tx_add(tx, &sql_get, GD_P_TEXT(key));
    assert_int_equal(kit_read(k, tx, &s), GD_STORE_OK);
    return s.rows ? s.num : -1;
}

int64_t kit_rows(struct kit *k)
{
    struct gd_tx *tx = gd_tx_new(k->s);
    struct shot s;

    gd_tx_add_(tx, &sql_count, NULL, 0);
    assert_int_equal(kit_read(k, tx, &s), GD_STORE_OK);
    return s.num;
}

int64_t kit_stat(struct kit *k, const char *name)
{
    GD_AUTO_JSON st = gd_store_status(k->s);
    const json_t *v = json_object_get(st, name);

    assert_non_null(v);
    return json_is_boolean(v) ? json_is_true(v) : json_integer_value(v);
}

static void add_record(void *arg, const void *rec, size_t n)
{
    struct gd_buf *b = arg;

    if (b->len)
        gd_buf_addc(b, ',');
    gd_buf_add(b, rec, n);
}

char *kit_replay(struct kit *k)
{
    struct gd_err err = { 0 };
    struct gd_buf b;

    gd_buf_init(&b, 64 * 1024 * 1024);
    assert_int_equal(gd_store_spool_replay(k->s, add_record, &b, &err), 0);
    return gd_buf_steal(&b);
}
