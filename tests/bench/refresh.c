/* refresh.c - the durable part of refreshes, through the store room into a PostgreSQL: for each the lease
 * with its intent and the row that is read with it, then the answer, spooled and committed by
 * compare-and-set; with the statements that the broker itself sends, so many in flight, credentials drawn
 * uniformly among those that are this node's. No platform is asked and nothing is sealed. What other nodes
 * changed is read again, as the broker does.
 *
 *   bench_refresh --url URL --modules DIR --state DIR --node NAME --creds N [--of NODES --at I]
 *                 [--in-flight N] [--seconds S] [--bytes SEALED]
 *
 * The credentials are those of bench_populate --numbered. Says {"ready":true}, begins at a line on its
 * standard input, prints one line of JSON. A refresh counts when its answer is told to be durable and
 * current; anything else ends the program. */
#include "bench.h"

#include "base/mem.h"
#include "base/text.h"
#include "grant/broker.h"
#include "grant/flight.h"
#include "grant/peers.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define WORKSPACE "main"
#define LEASE_MS  60000
#define AT_ONCE   256 /* rows of other nodes that are read at once, as in grant/peers.c */
#define TTL_MS    (INT64_C(60) * 86400 * 1000)

GD_SQL(sql_gens, "SELECT id, gen FROM credentials");
GD_SQL(sql_cred, GD_CRED_ROW GD_PEERS_SOME);

struct bench;
struct flight {
    struct bench *b;
    int64_t cred;
    char id[GD_ID_TEXT_MAX], attempt[GD_ID_TEXT_MAX];
    int64_t sent; /* ns, of the commit under way */
    size_t promote;
};
struct news {
    struct gd_list link;
    char id[GD_ID_TEXT_MAX];
};
struct bench {
    const char *url, *modules, *state, *node;
    int64_t creds, nodes, at, in_flight, seconds, bytes;
    struct gd_rng_seeded rng;
    uv_loop_t loop;
    struct gd_store *store;
    uint32_t *gens;
    bool *busy;
    unsigned char *sealed;
    struct gd_list news;
    bool reading, closing;
    int64_t began, ends, flying, done, reread;
    struct bench_times lease, answer;
};

static void lease(struct flight *f);

static void must(enum gd_store_result r, const struct gd_err *err, bool good, const char *what)
{
    if (r != GD_STORE_OK || !good)
        bench_die("%s was not stored: %s", what, err && err->text[0] ? err->text : "the row is another one");
}

/* ---- one refresh ---- */

static void on_answered(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct flight *f = arg;
    struct bench *b = f->b;

    must(r, err, gd_tx_changes(tx, f->promote) == 1, "an answer");
    bench_times_add(&b->answer, bench_now_ns() - f->sent);
    b->gens[f->cred]++;
    b->busy[f->cred] = false;
    b->done++;
    b->flying--;
    if (bench_now_ns() < b->ends)
        lease(f);
    else
        gd_free(f);
}

static void answer(struct flight *f)
{
    struct bench *b = f->b;
    int64_t now = gd_now(gd_clock_system());
    struct gd_version v = { .workspace = WORKSPACE,
                            .client = "cl00000000000000000000000000",
                            .app = "bench_none",
                            .cred = f->id,
                            .attempt = f->attempt,
                            .intent = f->attempt,
                            .sealed = b->sealed,
                            .nsealed = (size_t)b->bytes,
                            .gen = b->gens[f->cred],
                            .at = now,
                            .issued_at = now,
                            .expires_at = now + TTL_MS,
                            .due = now + TTL_MS / 2,
                            .shape = GRANTD_SHAPE_ROTATING,
                            .retry_class = GRANTD_RETRY_NONE,
                            .over = LEASE_MS };
    struct gd_tx *tx = gd_tx_new(b->store);
    size_t n;
    GD_AUTO_FREE unsigned char *bytes = gd_record_write(&v, &n);

    gd_rng_bytes(&b->rng.rng, b->sealed, 16);
    f->promote = gd_journal_add_version(tx, &v, bytes, n);
    f->sent = bench_now_ns();
    gd_store_commit(b->store, tx, on_answered, f);
}

static void on_leased(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct flight *f = arg;

    must(r, err, gd_tx_changes(tx, 0) == 1 && gd_tx_changes(tx, 1) == 1 && gd_tx_rows(tx, 2) == 1, "a lease");
    bench_times_add(&f->b->lease, bench_now_ns() - f->sent);
    answer(f);
}

/* One that is this node's and at rest: nodes share the credentials evenly. */
static int64_t draw(struct bench *b)
{
    int64_t n;

    do
        n = (int64_t)gd_rng_below(&b->rng.rng, (uint64_t)(b->creds / b->nodes)) * b->nodes + b->at;
    while (b->busy[n]);
    return n;
}

static void lease(struct flight *f)
{
    struct bench *b = f->b;
    struct gd_tx *tx = gd_tx_new(b->store);

    f->cred = draw(b);
    b->busy[f->cred] = true;
    b->flying++;
    bench_numbered(f->id, "cr", f->cred);
    gd_id_make(f->attempt, "at", gd_now(gd_clock_system()), &b->rng.rng);
    gd_lease_add(tx, &(struct gd_lease){ .workspace = WORKSPACE,
                                         .cred = f->id,
                                         .attempt = f->attempt,
                                         .worker = b->node,
                                         .gen = b->gens[f->cred],
                                         .lease_ms = LEASE_MS,
                                         .deadline_ms = LEASE_MS / 2 });
    f->sent = bench_now_ns();
    gd_store_commit(b->store, tx, on_leased, f);
}

/* ---- what other nodes changed ---- */

static void read_some(struct bench *b);

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct bench *b = arg;

    b->reading = false;
    if (b->closing)
        return;
    must(r, err, gd_tx_rows(tx, 0) > 0, "what another node changed");
    read_some(b);
}

/* One statement; an id that is named twice is read once. */
static int add_some(struct bench *b, struct gd_tx *tx)
{
    struct gd_param params[1 + GD_PEERS_IDS] = { GD_P_TEXT(WORKSPACE) };
    struct news *some[GD_PEERS_IDS];
    struct gd_list *l;
    int n = 0;

    while (n < GD_PEERS_IDS && (l = gd_list_pop(&b->news)))
        some[n++] = gd_container_of(l, struct news, link);
    for (int i = 0; i < GD_PEERS_IDS; i++)
        params[1 + i] = GD_P_TEXT(some[i < n ? i : n - 1]->id);
    (void)gd_tx_add_(tx, &sql_cred, params, 1 + GD_PEERS_IDS);
    for (int i = 0; i < n; i++)
        gd_free(some[i]);
    return n;
}

static void read_some(struct bench *b)
{
    struct gd_tx *tx;

    if (b->reading || b->closing || gd_list_empty(&b->news))
        return;
    tx = gd_tx_new(b->store);
    for (int n = 0; n < AT_ONCE && !gd_list_empty(&b->news);)
        n += add_some(b, tx);
    b->reading = true;
    gd_store_read(b->store, tx, on_read, b);
}

static void on_news(void *arg, const char *node, const char *workspace, const char *id)
{
    struct bench *b = arg;
    struct news *one;

    (void)workspace;
    if (!id)
        bench_die("node %s fell so far behind %s that it would have to read everything again", b->node, node);
    one = gd_new(sizeof *one);
    (void)snprintf(one->id, sizeof one->id, "%s", id);
    gd_list_add(&b->news, &one->link);
    b->reread++;
    read_some(b);
}

/* ---- begin and end ---- */

static void on_gen(void *arg, const struct gd_row *row)
{
    struct bench *b = arg;
    const char *id = gd_row_text(row, 0);
    int64_t n = -1;

    if (strlen(id) != strlen("cr") + 26 || !gd_parse_i64(id + strlen("cr") + 7, &n))
        bench_die("%s is not one of bench_populate --numbered", id);
    n -= BENCH_NUMBERED;
    if (n < 0 || n >= b->creds)
        bench_die("there are more credentials than were named");
    b->gens[n] = (uint32_t)gd_row_int(row, 1);
}

static void open_store(struct bench *b, struct gd_log *log)
{
    GD_AUTO_FREE char *spool = gd_strf("%s/spool", b->state);
    GD_AUTO_FREE char *path = gd_strf("%s/grantd.db", b->state);
    struct gd_store_options o = { .path = path,
                                  .spool_path = spool,
                                  .migrations = gd_broker_migrations,
                                  .nmigrations = gd_broker_nmigrations,
                                  .group_wait_us = 1000,
                                  .group_max = GD_STORE_GROUP_MAX,
                                  .url = b->url,
                                  .module_dir = b->modules,
                                  .own_modules = true,
                                  .schema = "grantd",
                                  .node = b->node,
                                  .on_news = on_news,
                                  .arg = b };
    struct gd_err err;

    (void)mkdir(b->state, 0700);
    if (gd_store_open(&b->store, &b->loop, &o, gd_clock_system(), log, &err) ||
        gd_store_spool_clear(b->store, &err) || gd_store_scan(b->store, &sql_gens, on_gen, b, &err))
        bench_die("%s", err.text);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void tell(const struct bench *b, int64_t cpu)
{
    json_t *s = gd_store_status(b->store);
    double seconds = (double)(b->ends - b->began) / 1e9;

    printf("{\"refreshes\":%lld,\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us\":%.2f,\"commits\":%lld,"
           "\"transactions\":%lld,\"reread\":%lld,\"lease_p50_us\":%.0f,\"lease_p99_us\":%.0f,"
           "\"answer_p50_us\":%.0f,\"answer_p99_us\":%.0f}\n",
           (long long)b->done, seconds, (double)b->done / seconds, (double)cpu / 1e3 / (double)b->done,
           (long long)gd_json_i64(s, "groups", 0), (long long)gd_json_i64(s, "commits", 0),
           (long long)b->reread, bench_times_us(&b->lease, 0.5), bench_times_us(&b->lease, 0.99),
           bench_times_us(&b->answer, 0.5), bench_times_us(&b->answer, 0.99));
    (void)fflush(stdout);
    json_decref(s);
}

/* Of all threads. */
static int64_t own_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void wait_for_line(void)
{
    int c;

    while ((c = getchar()) != '\n')
        if (c == EOF)
            bench_die("nobody said when to begin");
}

static void run(struct bench *b)
{
    int64_t cpu;

    puts("{\"ready\":true}");
    (void)fflush(stdout);
    wait_for_line();
    cpu = own_cpu_ns();
    b->began = bench_now_ns();
    b->ends = b->began + b->seconds * 1000000000;
    for (int64_t i = 0; i < b->in_flight; i++) {
        struct flight *f = gd_new(sizeof *f);

        f->b = b;
        lease(f);
    }
    while (b->flying)
        uv_run(&b->loop, UV_RUN_ONCE);
    b->ends = bench_now_ns();
    tell(b, own_cpu_ns() - cpu);
}

/* ---- the command line ---- */

static const struct option options[] = {
    { "url", required_argument, NULL, 'u' },
    { "modules", required_argument, NULL, 'm' },
    { "state", required_argument, NULL, 'd' },
    { "node", required_argument, NULL, 'k' },
    { "creds", required_argument, NULL, 'n' },
    { "of", required_argument, NULL, 'o' },
    { "at", required_argument, NULL, 'a' },
    { "in-flight", required_argument, NULL, 'g' },
    { "seconds", required_argument, NULL, 's' },
    { "bytes", required_argument, NULL, 'b' },
    { 0 },
};

static void parse(struct bench *b, int argc, char **argv)
{
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **text = c == 'u'   ? &b->url
                            : c == 'm' ? &b->modules
                            : c == 'd' ? &b->state
                            : c == 'k' ? &b->node
                                       : NULL;
        int64_t *num = c == 'n'   ? &b->creds
                       : c == 'o' ? &b->nodes
                       : c == 'a' ? &b->at
                       : c == 'g' ? &b->in_flight
                       : c == 's' ? &b->seconds
                       : c == 'b' ? &b->bytes
                                  : NULL;

        if (text)
            *text = optarg;
        else if (num)
            *num = bench_number(optarg, 0, 100000000);
        else
            bench_die("see the head of tests/bench/refresh.c");
    }
    if (!b->url || !b->modules || !b->state || !b->node || b->nodes < 1 || b->at >= b->nodes ||
        b->bytes < 16 || b->in_flight < 1 || b->in_flight * 2 > b->creds / b->nodes)
        bench_die("--url, --modules, --state, --node and --creds are needed, and few in flight of many");
}

int main(int argc, char **argv)
{
    static struct bench b = { .nodes = 1, .in_flight = 64, .seconds = 5, .bytes = 480 };
    unsigned char key[32] = { 0 };
    struct gd_log *log = gd_log_new(STDERR_FILENO, GD_LOG_WARN, gd_clock_system(), key);

    parse(&b, argc, argv);
    gd_json_setup();
    gd_rng_seed(&b.rng, (uint64_t)bench_now_ns());
    gd_list_init(&b.news);
    b.gens = gd_new_array((size_t)b.creds, sizeof *b.gens);
    b.busy = gd_new_array((size_t)b.creds, sizeof *b.busy);
    b.sealed = gd_new((size_t)b.bytes);
    gd_rng_bytes(&b.rng.rng, b.sealed, (size_t)b.bytes);
    uv_loop_init(&b.loop);
    open_store(&b, log);
    run(&b);
    wait_for_line(); /* the others go on as long as they measure */
    b.closing = true;
    gd_store_close(b.store, on_closed, NULL);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    uv_loop_close(&b.loop);
    gd_log_free(log);
    for (struct gd_list *l; (l = gd_list_pop(&b.news));)
        gd_free(gd_container_of(l, struct news, link));
    gd_free(b.gens);
    gd_free(b.busy);
    gd_free(b.sealed);
    return 0;
}
