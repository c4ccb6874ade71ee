/* updates.c - durable updates a second: transactions of one row each through the store with so many in
 * flight, against a plain SQLite loop (WAL, synchronous=FULL) that commits as many rows at once. Same table,
 * same rows, 600 bytes, drawn uniformly.
 *
 *   bench_updates store|sqlite --file PATH --rows N --group G --wait-us W --seconds S
 *
 * An update counts when it is told to be on disk. Prints one line of JSON. */
#include "bench.h"

#include "base/mem.h"
#include "store/store.h"

#include <getopt.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BYTES 600

GD_SQL(sql_update, "UPDATE rows SET data = $1, at = $2 WHERE workspace = $3 AND id = $4");

static const char *const tables[] = {
    "CREATE TABLE rows (workspace text NOT NULL, id text NOT NULL, at bigint NOT NULL, data bytea NOT NULL,"
    " PRIMARY KEY (workspace, id))",
    NULL,
};
static const struct gd_migration migrations[] = { { .name = "rows", .statements = tables } };

struct bench {
    const char *file;
    int64_t rows, group, wait_us, seconds;
    struct gd_rng_seeded rng;
    struct gd_log *log;
    uv_loop_t loop;
    struct gd_store *store;
    int64_t began, ends, told, in_flight;
    unsigned char data[BYTES];
};

static void on_closed(void *arg)
{
    (void)arg;
}

static void open_store(struct bench *b)
{
    struct gd_store_options o = { .path = b->file,
                                  .migrations = migrations,
                                  .nmigrations = 1,
                                  .group_wait_us = (unsigned)b->wait_us,
                                  .group_max = GD_STORE_GROUP_MAX };
    struct gd_err err;

    uv_loop_init(&b->loop);
    if (gd_store_open(&b->store, &b->loop, &o, gd_clock_system(), b->log, &err))
        bench_die("%s: %s", b->file, err.text);
}

static void close_store(struct bench *b)
{
    gd_store_close(b->store, on_closed, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    uv_loop_close(&b->loop);
}

static void key_text(char out[24], int64_t n)
{
    (void)snprintf(out, 24, "row%012lld", (long long)n);
}

static void must(sqlite3 *db, int rc)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        bench_die("sqlite: %s", sqlite3_errmsg(db));
}

static sqlite3_stmt *statement(sqlite3 *db, const char *text)
{
    sqlite3_stmt *st;

    must(db, sqlite3_prepare_v2(db, text, -1, &st, NULL));
    return st;
}

static void step(sqlite3 *db, sqlite3_stmt *st)
{
    must(db, sqlite3_step(st));
    (void)sqlite3_reset(st);
}

static sqlite3 *open_plain(const struct bench *b)
{
    sqlite3 *db;

    must(NULL, sqlite3_open_v2(b->file, &db, SQLITE_OPEN_READWRITE, NULL));
    must(db, sqlite3_exec(db, "PRAGMA journal_mode=wal; PRAGMA synchronous=full", NULL, NULL, NULL));
    return db;
}

/* The rows, once; the file is the store's own, so that both sides work on the same. */
static void fill(struct bench *b)
{
    sqlite3_stmt *st;
    sqlite3 *db;
    char key[24];

    open_store(b);
    close_store(b);
    db = open_plain(b);
    st = statement(db, "INSERT INTO rows (workspace, id, at, data) VALUES ('main', ?1, 0, ?2)");
    must(db, sqlite3_exec(db, "BEGIN", NULL, NULL, NULL));
    for (int64_t i = 0; i < b->rows; i++) {
        key_text(key, i);
        (void)sqlite3_bind_text(st, 1, key, -1, SQLITE_TRANSIENT);
        (void)sqlite3_bind_blob(st, 2, b->data, BYTES, SQLITE_STATIC);
        step(db, st);
    }
    must(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
    sqlite3_finalize(st);
    must(db, sqlite3_close(db));
}

/* ---- through the store ---- */

static void on_told(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

static void submit(struct bench *b)
{
    struct gd_tx *tx = gd_tx_new(b->store);
    char key[24];

    key_text(key, (int64_t)gd_rng_below(&b->rng.rng, (uint64_t)b->rows));
    gd_rng_bytes(&b->rng.rng, b->data, 16);
    gd_tx_add(tx, &sql_update, GD_P_BYTES(b->data, BYTES), GD_P_INT(b->told + 1), GD_P_TEXT("main"),
              GD_P_TEXT(key));
    b->in_flight++;
    gd_store_commit(b->store, tx, on_told, b);
}

static void on_told(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct bench *b = arg;

    if (r != GD_STORE_OK || gd_tx_changes(tx, 0) != 1)
        bench_die("an update was not done: %s", err ? err->text : "no such row");
    b->told++;
    b->in_flight--;
    if (bench_now_ns() < b->ends)
        submit(b);
}

static void run_store(struct bench *b)
{
    open_store(b);
    b->began = bench_now_ns();
    b->ends = b->began + b->seconds * 1000000000;
    for (int64_t i = 0; i < b->group; i++)
        submit(b);
    while (b->in_flight)
        uv_run(&b->loop, UV_RUN_ONCE);
    b->ends = bench_now_ns();
    close_store(b);
}

/* ---- the plain loop ---- */

static void run_plain(struct bench *b)
{
    sqlite3 *db = open_plain(b);
    sqlite3_stmt *st =
                     statement(db, "UPDATE rows SET data = ?1, at = ?2 WHERE workspace = 'main' AND id = ?3"),
                 *begin = statement(db, "BEGIN IMMEDIATE"), *commit = statement(db, "COMMIT");
    char key[24];

    b->began = bench_now_ns();
    b->ends = b->began + b->seconds * 1000000000;
    while (bench_now_ns() < b->ends) {
        step(db, begin);
        for (int64_t i = 0; i < b->group; i++) {
            key_text(key, (int64_t)gd_rng_below(&b->rng.rng, (uint64_t)b->rows));
            gd_rng_bytes(&b->rng.rng, b->data, 16);
            (void)sqlite3_bind_blob(st, 1, b->data, BYTES, SQLITE_STATIC);
            (void)sqlite3_bind_int64(st, 2, b->told + 1);
            (void)sqlite3_bind_text(st, 3, key, -1, SQLITE_STATIC);
            step(db, st);
        }
        step(db, commit);
        b->told += b->group;
    }
    b->ends = bench_now_ns();
    sqlite3_finalize(st);
    sqlite3_finalize(begin);
    sqlite3_finalize(commit);
    must(db, sqlite3_close(db));
}

/* ---- the command line ---- */

static const struct option options[] = {
    { "file", required_argument, NULL, 'f' },    { "rows", required_argument, NULL, 'n' },
    { "group", required_argument, NULL, 'g' },   { "wait-us", required_argument, NULL, 'w' },
    { "seconds", required_argument, NULL, 's' }, { 0 },
};

static void set_option(struct bench *b, int c, const char *arg)
{
    switch (c) {
    case 'f':
        b->file = arg;
        break;
    case 'n':
        b->rows = bench_number(arg, 1, 10000000);
        break;
    case 'g':
        b->group = bench_number(arg, 1, 10000);
        break;
    case 'w':
        b->wait_us = bench_number(arg, 0, 1000000);
        break;
    case 's':
        b->seconds = bench_number(arg, 1, 600);
        break;
    default:
        bench_die("see the head of tests/bench/updates.c");
    }
}

/* Of all threads, those that have ended included. */
static int64_t own_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int main(int argc, char **argv)
{
    static struct bench b = { .rows = 100000, .group = 1, .seconds = 2 };
    unsigned char key[32] = { 0 };
    const char *what = argc > 1 ? argv[1] : "";
    int64_t cpu;
    int c;

    optind = 2;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        set_option(&b, c, optarg);
    if (!b.file || (strcmp(what, "store") != 0 && strcmp(what, "sqlite") != 0))
        bench_die("store or sqlite, and --file");
    gd_rng_seed(&b.rng, (uint64_t)bench_now_ns());
    b.log = gd_log_new(STDERR_FILENO, GD_LOG_ERROR, gd_clock_system(), key);
    if (access(b.file, F_OK))
        fill(&b);
    cpu = own_cpu_ns();
    if (!strcmp(what, "store"))
        run_store(&b);
    else
        run_plain(&b);
    cpu = own_cpu_ns() - cpu;
    printf("{\"updates\":%lld,\"per_second\":%.0f,\"cpu_us\":%.2f}\n", (long long)b.told,
           (double)b.told * 1e9 / (double)(b.ends - b.began), (double)cpu / 1e3 / (double)b.told);
    gd_log_free(b.log);
    return 0;
}
