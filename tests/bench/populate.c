/* populate.c - a state directory with as many clients, credentials and grants as are asked for, sealed and
 * laid out exactly as grantd does it (core/grant: journal.c, keys.c, load.c), without asking anybody. The
 * databases are made by the store itself with the broker's migrations; only the rows are written past it,
 * with syncing off, and the file is synced once at the end.
 *
 *   bench_populate --state DIR --ids FILE --grants N [--per-client 1000] [--app APP] [--retry none]
 *                  [--due SECONDS] [--ttl SECONDS] [--token BYTES] [--append]
 *                  [--numbered]
 *
 * Writes the ids of the grants, 16 bytes each, to FILE. The access token of a grant is bench_value of its
 * id. --append adds to a directory that is there; --numbered: the ids of credentials and of their first
 * attempts are numbers, from BENCH_NUMBERED on, for who can only count (pgbench). */
#include "bench.h"

#include "base/mem.h"
#include "base/text.h"
#include "crypto/keyring.h"
#include "grant/broker.h"
#include "store/store.h"

#include <fcntl.h>
#include <getopt.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH 20000 /* grants in one transaction */
#define DAY   (INT64_C(86400) * 1000)

struct made {
    const char *state, *ids, *app;
    int64_t grants, per_client, due, ttl;
    size_t token;
    int64_t retry;
    bool append, numbered;
    int64_t now, spread; /* ids are made over the last ninety days, in order */
    struct gd_rng *rng;
    struct gd_keyring *keyring;
    char kek[GD_KEK_ID];
    sqlite3 *db, *keys;
    sqlite3_stmt *client, *key, *cred, *version, *grant;
    FILE *out;
    char client_id[GD_ID_TEXT_MAX];
};

static void must(struct made *m, sqlite3 *db, int rc)
{
    (void)m;
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
        bench_die("sqlite: %s", sqlite3_errmsg(db));
}

static void sql(struct made *m, sqlite3 *db, const char *text)
{
    must(m, db, sqlite3_exec(db, text, NULL, NULL, NULL));
}

/* ---- the files as the daemon makes them ---- */

static void on_closed(void *arg)
{
    (void)arg;
}

static void make_db(const char *path, const struct gd_migration *list, size_t n, struct gd_log *log)
{
    struct gd_store_options o = { .path = path, .migrations = list, .nmigrations = n };
    struct gd_store *s;
    struct gd_err err;
    uv_loop_t loop;

    uv_loop_init(&loop);
    if (gd_store_open(&s, &loop, &o, gd_clock_system(), log, &err))
        bench_die("%s: %s", path, err.text);
    gd_store_close(s, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

static sqlite3 *open_db(struct made *m, const char *path)
{
    sqlite3 *db;

    must(m, NULL, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL));
    sql(m, db, "PRAGMA journal_mode=delete");
    sql(m, db,
        "PRAGMA journal_mode=off; PRAGMA synchronous=off; PRAGMA cache_size=-1048576;"
        "PRAGMA locking_mode=exclusive");
    return db;
}

static void open_keyring(struct made *m)
{
    GD_AUTO_FREE char *path = gd_strf("%s/kek", m->state);
    struct gd_key_source src = { .file = path };
    unsigned char kek[32];
    struct gd_err err;
    bool created;

    if (gd_key_source_read(kek, &src, NULL, true, &created, &err))
        bench_die("%s: %s", path, err.text);
    m->keyring = gd_keyring_new();
    if (gd_keyring_add_kek(m->keyring, kek, path, m->kek, &err) || !gd_keyring_use(m->keyring, m->kek))
        bench_die("%s: %s", path, err.text);
    gd_wipe(kek, sizeof kek);
}

/* As the first start does it; one that is there stays. */
static void write_root(struct made *m)
{
    unsigned char wrapped[GD_WRAPPED_KEY];
    char id[33], hex[2 * GD_WRAPPED_KEY + 1];
    GD_AUTO_FREE char *text = NULL;

    gd_keyring_make_root(m->keyring, wrapped, m->rng);
    gd_hex(id, gd_wrapped_id(wrapped), 16);
    gd_hex(hex, wrapped, sizeof wrapped);
    text = gd_strf("INSERT INTO meta (name, value) VALUES ('kek', '%s'), ('root', '{\"id\":\"%s\","
                   "\"made_at\":0,\"wrapped\":\"%s\"}') ON CONFLICT (name) DO NOTHING",
                   m->kek, id, hex);
    sql(m, m->keys, text);
}

static void open_all(struct made *m)
{
    GD_AUTO_FREE char *path = gd_strf("%s/grantd.db", m->state);
    GD_AUTO_FREE char *keys = gd_strf("%s/keyring.db", m->state);
    unsigned char log_key[32] = { 0 };
    struct gd_log *log = gd_log_new(STDERR_FILENO, GD_LOG_WARN, gd_clock_system(), log_key);

    if (mkdir(m->state, 0700) && !m->append)
        bench_die("%s is there already, or cannot be made", m->state);
    open_keyring(m);
    make_db(path, gd_broker_migrations, gd_broker_nmigrations, log);
    make_db(keys, gd_keys_migrations, gd_keys_nmigrations, log);
    gd_log_free(log);
    m->db = open_db(m, path);
    m->keys = open_db(m, keys);
    write_root(m);
    m->out = fopen(m->ids, m->append ? "ab" : "wb");
    if (!m->out)
        bench_die("%s cannot be written", m->ids);
}

static sqlite3_stmt *statement(struct made *m, sqlite3 *db, const char *text)
{
    sqlite3_stmt *st;

    must(m, db, sqlite3_prepare_v2(db, text, -1, &st, NULL));
    return st;
}

static void prepare(struct made *m)
{
    m->client = statement(m, m->db,
                          "INSERT INTO clients (workspace, id, name, state, created_at, updated_at)"
                          " VALUES ('main', ?1, ?2, 'active', ?3, ?3)");
    m->key = statement(m, m->keys,
                       "INSERT INTO data_keys (workspace, client_id, id, state, kek, wrapped,"
                       " created_at) VALUES ('main', ?1, ?2, 'active', ?5, ?3, ?4)");
    m->cred = statement(
        m, m->db,
        "INSERT INTO credentials (workspace, id, client_id, app, account_id, gen, status, shape, retry_class,"
        " retry_grace_ms, scope, current_attempt, issued_at, expires_at, refresh_expires_at, horizon_at,"
        " next_at, attempts, lease_epoch, lease_until, created_at, refreshed_at)"
        " VALUES ('main', ?1, ?2, ?3, ?4, 1, 'current', ?5, ?6, 0, 'ads.read ads.manage', ?7, ?8, ?9, 0, 0,"
        " ?10, 0, 0, 0, ?8, ?8)");
    m->version = statement(m, m->db,
                           "INSERT INTO token_versions (workspace, attempt_id, credential_id, parent_gen,"
                           " status, sealed, created_at, issued_at, expires_at, refresh_expires_at)"
                           " VALUES ('main', ?1, ?2, 0, 'current', ?3, ?4, ?4, ?5, 0)");
    m->grant = statement(m, m->db,
                         "INSERT INTO grants (workspace, id, client_id, credential_id, app, asset_id,"
                         " asset_kind, asset_name, role_asked, role_granted, lifecycle, native, created_at)"
                         " VALUES ('main', ?1, ?2, ?3, ?4, ?5, 'ad_account', 'Anna Bakery', 'manage',"
                         " 'manage', 'live', 'none', ?6)");
}

/* ---- rows ---- */

static void text(sqlite3_stmt *st, int at, const char *s)
{
    (void)sqlite3_bind_text(st, at, s, -1, SQLITE_TRANSIENT);
}

static void run(struct made *m, sqlite3_stmt *st)
{
    must(m, sqlite3_db_handle(st), sqlite3_step(st));
    (void)sqlite3_reset(st);
}

static void add_client(struct made *m, int64_t at)
{
    unsigned char wrapped[GD_WRAPPED_KEY];
    char key[GD_ID_TEXT_MAX];

    gd_id_make(m->client_id, "cl", at, m->rng);
    gd_id_make(key, "dk", at, m->rng);
    text(m->client, 1, m->client_id);
    text(m->client, 2, "Anna Bakery");
    (void)sqlite3_bind_int64(m->client, 3, at);
    run(m, m->client);
    (void)gd_keyring_make_dek(m->keyring, "main", m->client_id, wrapped, m->rng);
    text(m->key, 1, m->client_id);
    text(m->key, 2, key);
    (void)sqlite3_bind_blob(m->key, 3, wrapped, sizeof wrapped, SQLITE_TRANSIENT);
    (void)sqlite3_bind_int64(m->key, 4, at);
    text(m->key, 5, m->kek);
    run(m, m->key);
}

/* The sealed blob of a credential: what core/grant/journal.c makes of a platform's answer. */
static size_t seal(struct made *m, const struct gd_id *grant, const char *cred, const char *attempt,
                   int64_t at, unsigned char *out)
{
    struct gd_seal_name name = { .workspace = "main",
                                 .client = m->client_id,
                                 .owner = cred,
                                 .gen = 0,
                                 .attempt = attempt,
                                 .column = "tok",
                                 .created_at = at };
    char token[BENCH_VALUE_MAX + 1], refresh[65];
    GD_AUTO_FREE char *blob = NULL;

    bench_value(token, m->token, grant);
    token[m->token] = '\0';
    memcpy(refresh, token, 60); /* another text of the same make */
    memcpy(refresh + 60, "-rt", 4);
    blob = gd_strf("GB1\n%zu %s\n%zu %s\n-\n", strlen(token), token, strlen(refresh), refresh);
    return gd_seal(out, gd_keyring_dek(m->keyring, "main", m->client_id), &name, blob, strlen(blob), m->rng);
}

static void add_version(struct made *m, const struct gd_id *grant, const char *cred, const char *attempt,
                        int64_t at)
{
    unsigned char sealed[BENCH_VALUE_MAX + 512];
    size_t n = seal(m, grant, cred, attempt, at, sealed);

    text(m->version, 1, attempt);
    text(m->version, 2, cred);
    (void)sqlite3_bind_blob(m->version, 3, sealed, (int)n, SQLITE_TRANSIENT);
    (void)sqlite3_bind_int64(m->version, 4, at);
    (void)sqlite3_bind_int64(m->version, 5, m->now + m->ttl);
    run(m, m->version);
}

static void add_cred(struct made *m, const char *cred, const char *attempt, const char *account, int64_t at)
{
    /* Due somewhere in the last tenth of its life, or all at once when that is asked for. */
    int64_t tenth = m->ttl / 10 + 1,
            due = m->due ? m->now + m->due : m->now + m->ttl - (int64_t)gd_rng_below(m->rng, (uint64_t)tenth);

    text(m->cred, 1, cred);
    text(m->cred, 2, m->client_id);
    text(m->cred, 3, m->app);
    text(m->cred, 4, account);
    (void)sqlite3_bind_int64(m->cred, 5, GRANTD_SHAPE_ROTATING);
    (void)sqlite3_bind_int64(m->cred, 6, m->retry);
    text(m->cred, 7, attempt);
    (void)sqlite3_bind_int64(m->cred, 8, at);
    (void)sqlite3_bind_int64(m->cred, 9, m->now + m->ttl);
    (void)sqlite3_bind_int64(m->cred, 10, due);
    run(m, m->cred);
}

static void make_id(const struct made *m, char out[GD_ID_TEXT_MAX], const char *prefix, int64_t at, int64_t i)
{
    if (m->numbered)
        bench_numbered(out, prefix, i);
    else
        gd_id_make(out, prefix, at, m->rng);
}

static void add_grant(struct made *m, int64_t i)
{
    int64_t at = m->now - 90 * DAY + i * m->spread / m->grants;
    char grant[GD_ID_TEXT_MAX], cred[GD_ID_TEXT_MAX], attempt[GD_ID_TEXT_MAX], account[32];
    struct gd_id id;

    if (i % m->per_client == 0)
        add_client(m, at);
    gd_id_new(&id, at, m->rng);
    gd_id_text(grant, "gr", &id);
    make_id(m, cred, "cr", at, i);
    make_id(m, attempt, "at", at, i);
    (void)snprintf(account, sizeof account, "act_%lld", (long long)i + 10000000);
    add_cred(m, cred, attempt, account, at);
    add_version(m, &id, cred, attempt, at);
    text(m->grant, 1, grant);
    text(m->grant, 2, m->client_id);
    text(m->grant, 3, cred);
    text(m->grant, 4, m->app);
    text(m->grant, 5, account);
    (void)sqlite3_bind_int64(m->grant, 6, at);
    run(m, m->grant);
    if (fwrite(&id, sizeof id, 1, m->out) != 1)
        bench_die("%s cannot be written", m->ids);
}

static void add_all(struct made *m)
{
    for (int64_t i = 0; i < m->grants; i++) {
        if (i % BATCH == 0) {
            sql(m, m->db, i ? "COMMIT; BEGIN" : "BEGIN");
            sql(m, m->keys, i ? "COMMIT; BEGIN" : "BEGIN");
        }
        add_grant(m, i);
    }
    sql(m, m->db, "COMMIT");
    sql(m, m->keys, "COMMIT");
}

/* Back to the mode that the store keeps, and on disk. */
static void close_db(struct made *m, sqlite3 *db, const char *name)
{
    GD_AUTO_FREE char *path = gd_strf("%s/%s", m->state, name);
    sqlite3_stmt *st;
    int fd;

    while ((st = sqlite3_next_stmt(db, NULL)))
        sqlite3_finalize(st);
    sql(m, db, "PRAGMA locking_mode=normal; PRAGMA journal_mode=wal");
    must(m, db, sqlite3_close(db));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        bench_die("%s cannot be synced", path);
    close(fd);
}

static const struct option options[] = {
    { "state", required_argument, NULL, 's' },  { "ids", required_argument, NULL, 'i' },
    { "grants", required_argument, NULL, 'n' }, { "per-client", required_argument, NULL, 'c' },
    { "app", required_argument, NULL, 'a' },    { "retry", required_argument, NULL, 'r' },
    { "due", required_argument, NULL, 'd' },    { "ttl", required_argument, NULL, 't' },
    { "token", required_argument, NULL, 'b' },  { "append", no_argument, NULL, '+' },
    { "numbered", no_argument, NULL, '#' },     { 0 },
};

static int64_t retry_class(const char *word)
{
    static const char *const words[] = { "unknown", "none", "overlap", "grace", "strict", "family" };

    for (int64_t i = 0; i < 6; i++)
        if (!strcmp(word, words[i]))
            return i;
    bench_die("%s is no retry class", word);
}

static void parse(struct made *m, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 's':
            m->state = optarg;
            break;
        case 'i':
            m->ids = optarg;
            break;
        case 'n':
            m->grants = bench_number(optarg, 1, 100000000);
            break;
        case 'c':
            m->per_client = bench_number(optarg, 1, 100000000);
            break;
        case 'a':
            m->app = optarg;
            break;
        case 'r':
            m->retry = retry_class(optarg);
            break;
        case 'd':
            m->due = bench_number(optarg, -DAY, DAY) * 1000;
            break;
        case 't':
            m->ttl = bench_number(optarg, 60, 400 * 86400) * 1000;
            break;
        case 'b':
            m->token = (size_t)bench_number(optarg, 64, BENCH_VALUE_MAX);
            break;
        case '+':
            m->append = true;
            break;
        case '#':
            m->numbered = true;
            break;
        default:
            bench_die("see the head of tests/bench/populate.c");
        }
    }
    if (!m->state || !m->ids || !m->grants || optind != argc)
        bench_die("--state, --ids and --grants are needed");
}

int main(int argc, char **argv)
{
    struct made m = { .app = "bench", .per_client = 1000, .ttl = 60 * DAY, .token = 300 };
    struct gd_err err;

    m.retry = GRANTD_RETRY_NONE;
    parse(&m, argc, argv);
    gd_json_setup();
    if (gd_crypto_setup(&err))
        bench_die("%s", err.text);
    m.now = gd_now(gd_clock_system());
    m.spread = 89 * DAY;
    m.rng = gd_rng_system();
    open_all(&m);
    prepare(&m);
    add_all(&m);
    close_db(&m, m.db, "grantd.db");
    close_db(&m, m.keys, "keyring.db");
    if (fclose(m.out))
        bench_die("%s cannot be written", m.ids);
    gd_keyring_free(m.keyring);
    return 0;
}
