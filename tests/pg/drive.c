/* drive.c - a store under the hands of a test: opens one as its arguments say, does what its standard input
 * says, and tells as one JSON object a line what came of it, what other nodes changed, and how long its loop
 * was ever kept from turning; what it waited for a processor that others had is no part of that. */
#include "base/mem.h"
#include "base/text.h"
#include "store/store.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 2

static const char *const first[] = {
    "CREATE TABLE kv (workspace text NOT NULL, k text NOT NULL, v bigint NOT NULL, data bytea, "
    "PRIMARY KEY (workspace, k))",
    NULL,
};
static const char *const second[] = { "CREATE INDEX kv_v ON kv (workspace, v)", NULL };
static const struct gd_migration migrations[] = { { "first", first }, { "second", second } };

GD_SQL(sql_put, "INSERT INTO kv (workspace, k, v) VALUES ('w', $1, $2)");
GD_SQL(sql_add,
       "INSERT INTO kv (workspace, k, v) VALUES ('w', $1, $2) ON CONFLICT (workspace, k) DO UPDATE SET v = "
       "kv.v + excluded.v");
GD_SQL(sql_bump, "UPDATE kv SET v = v + $2 WHERE workspace = 'w' AND k = $1");
GD_SQL(sql_pad, "INSERT INTO kv (workspace, k, v, data) VALUES ('w', $1, 0, $2)");
GD_SQL(sql_get, "SELECT v FROM kv WHERE workspace = 'w' AND k = $1");
GD_SQL(sql_take, "UPDATE kv SET v = gd_now() + $2 WHERE workspace = 'w' AND k = $1 AND v < gd_now()");
GD_SQL(sql_scan, "SELECT k, v FROM kv");
GD_SQL(sql_delete, "DELETE FROM kv WHERE workspace = 'w' AND k = $1");
GD_SQL(sql_sleep,
       "SELECT pg_sleep_for(($1 || ' milliseconds')::interval)::text"); /* check:allow a slow server */

static uv_loop_t loop;
static struct gd_store *store;
static int64_t last_turn, last_wait, longest;
static int schedstat = -1;
static struct gd_buf_lines {
    char text[65536];
    size_t n;
} in;

struct order {
    char id[64];
    int64_t since;
    bool read;
};

static int64_t now_ms(void)
{
    return gd_mono(gd_clock_system());
}

static void say(json_t *j)
{
    char *text = json_dumps(j, JSON_COMPACT);

    puts(text);
    (void)fflush(stdout);
    free(text); /* check:allow jansson's own, or ours */
    json_decref(j);
}

static void on_done(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    static const char *const words[] = { "ok", "failed", "uncertain" };
    struct order *o = arg;
    json_t *j = json_pack("{s:s, s:s, s:I, s:I}", "id", o->id, "result", words[r], "changes",
                          (json_int_t)gd_tx_changes(tx, 0), "ms", (json_int_t)(now_ms() - o->since));

    if (err)
        json_object_set_new(j, "reason", json_string(gd_reason_word(err->reason)));
    if (err)
        json_object_set_new(j, "text", json_string(err->text));
    if (o->read && gd_tx_rows(tx, 0))
        json_object_set_new(j, "value", json_integer(gd_tx_int(tx, 0, 0, 0)));
    say(j);
    gd_free(o);
}

static void on_news(void *arg, const char *node, const char *workspace, const char *id)
{
    (void)arg;
    say(json_pack("{s:[s,s?,s?]}", "news", node, workspace, id));
}

static void on_set_back(void *arg)
{
    (void)arg;
    say(json_pack("{s:b}", "set_back", 1));
}

static void on_closed(void *arg)
{
    (void)arg;
    say(json_pack("{s:b}", "closed", 1));
    exit(0); /* check:allow the end of a tool of the tests */
}

/* How long this thread was ready and not run, in ms; 0 where the kernel does not count it. */
static int64_t waited_ms(void)
{
    char text[100] = "", *waited;
    ssize_t n = schedstat < 0 ? -1 : pread(schedstat, text, sizeof text - 1, 0);

    waited = n > 0 ? strchr(text, ' ') : NULL;
    return waited ? strtoll(waited, NULL, 10) / 1000000 : 0;
}

static void on_tick(uv_timer_t *t)
{
    int64_t now = now_ms(), wait = waited_ms(), kept = now - last_turn - (wait - last_wait) - TICK_MS;

    (void)t;
    if (last_turn && kept > longest)
        longest = kept;
    last_turn = now;
    last_wait = wait;
}

/* ---- orders: verb id key number spool news; - for none ---- */

static void add_statement(struct gd_tx *tx, const char *verb, char **w)
{
    int64_t n = 0;

    (void)gd_parse_i64(w[3], &n);
    if (!strcmp(verb, "put"))
        gd_tx_add(tx, &sql_put, GD_P_TEXT(w[2]), GD_P_INT(n));
    else if (!strcmp(verb, "add"))
        gd_tx_add(tx, &sql_add, GD_P_TEXT(w[2]), GD_P_INT(n));
    else if (!strcmp(verb, "apart") || !strcmp(verb, "fence"))
        gd_tx_add(tx, &sql_bump, GD_P_TEXT(w[2]), GD_P_INT(n));
    else if (!strcmp(verb, "take"))
        gd_tx_add(tx, &sql_take, GD_P_TEXT(w[2]), GD_P_INT(n));
    else if (!strcmp(verb, "delete"))
        gd_tx_add(tx, &sql_delete, GD_P_TEXT(w[2]));
    else if (!strcmp(verb, "get") || !strcmp(verb, "soon"))
        gd_tx_add(tx, &sql_get, GD_P_TEXT(w[2]));
    else
        gd_tx_add(tx, &sql_sleep, GD_P_TEXT(w[3]));
}

static void add_padding(struct gd_tx *tx, const char *key, const char *bytes)
{
    uint64_t state = 1;
    int64_t n = 0;
    char *pad;

    (void)gd_parse_i64(bytes, &n);
    pad = gd_new((size_t)n + 1);
    for (int64_t i = 0; i < n; i++) { /* not to be compressed away */
        state = state * 6364136223846793005u + 1442695040888963407u;
        pad[i] = (char)(state >> 56);
    }
    gd_tx_add(tx, &sql_pad, GD_P_TEXT(key), GD_P_BYTES(pad, (size_t)n));
    gd_free(pad);
}

static void submit(char **w)
{
    struct order *o = gd_new(sizeof *o);
    struct gd_tx *tx = gd_tx_new(store);

    (void)snprintf(o->id, sizeof o->id, "%s", w[1]);
    o->since = now_ms();
    o->read = !strcmp(w[0], "get") || !strcmp(w[0], "soon") || !strcmp(w[0], "sleep");
    if (!strcmp(w[0], "scrub")) {
        gd_tx_free(tx);
        gd_store_scrub(store, on_done, o);
        return;
    }
    if (!strcmp(w[0], "catch_up")) {
        gd_tx_free(tx);
        gd_store_catch_up(store, on_done, o);
        return;
    }
    if (!strcmp(w[0], "pad"))
        add_padding(tx, w[2], w[3]);
    else
        add_statement(tx, w[0], w);
    if (!strcmp(w[0], "fence")) /* ... a key, and the node in the place of the spool */
        (void)gd_tx_fence(tx, w[4]);
    if (!strcmp(w[0], "fence") || !strcmp(w[0], "apart")) {
        gd_store_commit_apart(store, tx, on_done, o);
        return;
    }
    if (strcmp(w[4], "-") != 0)
        gd_tx_spool(tx, w[4], strlen(w[4]));
    if (strcmp(w[5], "-") != 0)
        gd_tx_news(tx, "w", w[5]);
    if (!strcmp(w[0], "soon"))
        gd_store_read_soon(store, tx, on_done, o);
    else
        (o->read ? gd_store_read : gd_store_commit)(store, tx, on_done, o);
}

static void tell_state(void)
{
    json_t *j = gd_store_status(store);

    json_object_set_new(j, "longest_ms", json_integer(longest));
    json_object_set_new(j, "seen_ms", json_integer(gd_store_seen_ms(store)));
    json_object_set_new(j, "id", json_string("status"));
    longest = 0;
    say(j);
}

static void on_record(void *arg, const void *rec, size_t n)
{
    json_array_append_new(arg, json_stringn(rec, n));
}

static void tell_spool(void)
{
    json_t *list = json_array();
    struct gd_err err = { 0 };

    (void)gd_store_spool_replay(store, on_record, list, &err);
    say(json_pack("{s:s, s:o}", "id", "spool", "records", list));
}

static void count_row(void *arg, const struct gd_row *row)
{
    (void)row;
    ++*(json_int_t *)arg;
}

/* As at a start: blocking. */
static void scan(const char *id)
{
    json_int_t n = 0;
    struct gd_err err = { 0 };

    if (gd_store_scan(store, &sql_scan, count_row, &n, &err) == 0)
        say(json_pack("{s:s, s:s, s:I}", "id", id, "result", "ok", "rows", n));
    else
        say(json_pack("{s:s, s:s, s:s, s:s}", "id", id, "result", "failed", "reason",
                      gd_reason_word(err.reason), "text", err.text));
    last_turn = 0;
}

static void obey(char *line)
{
    char *w[6] = { "", "", "", "0", "-", "-" }, *save = NULL;
    size_t n = 0;

    for (char *p = strtok_r(line, " ", &save); p && n < 6; p = strtok_r(NULL, " ", &save)) /* check:allow */
        w[n++] = p;
    if (!strcmp(w[0], "close"))
        gd_store_close(store, on_closed, NULL);
    else if (!strcmp(w[0], "status"))
        tell_state();
    else if (!strcmp(w[0], "spool"))
        tell_spool();
    else if (!strcmp(w[0], "scan"))
        scan(w[1]);
    else
        submit(w);
}

static void on_input(uv_poll_t *p, int status, int events)
{
    ssize_t n = read(0, in.text + in.n, sizeof in.text - in.n - 1);
    char *line = in.text, *end;

    (void)status;
    (void)events;
    if (n <= 0) {
        uv_poll_stop(p);
        gd_store_close(store, on_closed, NULL);
        return;
    }
    in.n += (size_t)n;
    in.text[in.n] = '\0';
    for (; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        obey(line);
    }
    in.n -= (size_t)(line - in.text);
    memmove(in.text, line, in.n + 1);
}

/* ---- arguments ---- */

enum { URL = 256, SCHEMA, NODE, MODULES, DIR_, DEADLINE, UNPREPARED, ASYNC, PASSWORD, VERSION };
static const struct option options[] = {
    { "url", 1, NULL, URL },
    { "schema", 1, NULL, SCHEMA },
    { "node", 1, NULL, NODE },
    { "modules", 1, NULL, MODULES },
    { "dir", 1, NULL, DIR_ },
    { "deadline", 1, NULL, DEADLINE },
    { "unprepared", 0, NULL, UNPREPARED },
    { "accept-async", 0, NULL, ASYNC },
    { "password-file", 1, NULL, PASSWORD },
    { "version", 1, NULL, VERSION },
    { 0 },
};

static void parse(int argc, char **argv, struct gd_store_options *o, char **dir)
{
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == URL)
            o->url = optarg;
        else if (c == SCHEMA)
            o->schema = optarg;
        else if (c == NODE)
            o->node = optarg;
        else if (c == MODULES)
            o->module_dir = optarg;
        else if (c == DIR_)
            *dir = optarg;
        else if (c == DEADLINE)
            o->deadline_ms = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == UNPREPARED)
            o->unprepared = true;
        else if (c == ASYNC)
            o->accept_async = true;
        else if (c == PASSWORD)
            o->password_file = optarg;
        else if (c == VERSION)
            o->nmigrations = strtoul(optarg, NULL, 10);
        else
            exit(2); /* check:allow */
    }
}

int main(int argc, char **argv)
{
    struct gd_store_options o = { .migrations = migrations,
                                  .nmigrations = 2,
                                  .schema = "grantd",
                                  .node = "n1",
                                  .own_modules = true,
                                  .on_news = on_news,
                                  .on_set_back = on_set_back };
    unsigned char key[32] = { 0 };
    char *dir = ".";
    struct gd_err err = { 0 };
    uv_timer_t timer;
    uv_poll_t input;

    parse(argc, argv, &o, &dir);
    o.path = gd_strf("%s/store.db", dir);
    o.spool_path = gd_strf("%s/spool", dir);
    gd_json_setup();
    uv_loop_init(&loop);
    if (gd_store_open(&store, &loop, &o, gd_clock_system(),
                      gd_log_new(STDERR_FILENO, GD_LOG_INFO, gd_clock_system(), key), &err) < 0) {
        say(json_pack("{s:s, s:s, s:s}", "id", "open", "reason", gd_reason_word(err.reason), "text",
                      err.text));
        return 1;
    }
    say(json_pack("{s:s, s:s}", "id", "open", "result", "ok"));
    schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_tick, TICK_MS, TICK_MS);
    uv_poll_init(&loop, &input, 0);
    uv_poll_start(&input, UV_READABLE, on_input);
    return uv_run(&loop, UV_RUN_DEFAULT);
}
