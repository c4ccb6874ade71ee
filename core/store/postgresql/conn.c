/* store/postgresql/conn.c - one connection: made with an end to every wait, checked, dropped, made again with
 * jitter. Names are resolved by the system's resolver, which blocks: on a thread of the store, never on the
 * loop. */
#include "store/postgresql/pg.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 3000 /* for one host */
#define AGAIN_MIN  100
#define AGAIN_MAX  5000

uint64_t gd_pg_random(void)
{
    uint64_t v = 0;

    if (getrandom(&v, sizeof v, 0) != sizeof v)
        abort();
    return v;
}

void gd_pg_conn_init(struct gd_pg_conn *c, struct gd_engine *e, const char *name)
{
    *c = (struct gd_pg_conn){ .engine = e, .name = name };
}

void gd_pg_drop(struct gd_pg_conn *c)
{
    PQfinish(c->pg);
    c->pg = NULL;
    for (size_t i = 0; i < GD_PG_SLOTS; i++)
        c->slots[i].ready = c->slots[i].asked = false;
}

void gd_pg_conn_done(struct gd_pg_conn *c)
{
    gd_pg_drop(c);
    for (size_t i = 0; i < GD_PG_SLOTS; i++)
        gd_free(c->slots[i].text);
    *c = (struct gd_pg_conn){ 0 };
}

/* ---- words
 * -------------------------------------------------------------------------------------------------- */

enum gd_reason gd_pg_reason(const char *state)
{
    static const struct {
        const char *prefix;
        enum gd_reason reason;
    } table[] = {
        { "08P01", GD_R_STORE_FAILED }, /* wrong number of parameters */
        { GD_PG_POOLED, GD_R_STORE_POOLED },
        { "28", GD_R_STORE_DENIED },
        { "42501", GD_R_STORE_DENIED },
        { "3F", GD_R_STORE_DENIED },
        { "53100", GD_R_STORE_FULL },
        { "57014", GD_R_STORE_SLOW },
        { "55P03", GD_R_STORE_SLOW },
        { "25006", GD_R_STORE_READ_ONLY },
        { "23", GD_R_CONFLICT },
        { "54", GD_R_LIMIT_REACHED },
        { "08", GD_R_STORE_UNREACHABLE },
        { "57P", GD_R_STORE_UNREACHABLE },
        { "53", GD_R_STORE_UNREACHABLE },
        { "3D", GD_R_STORE_UNREACHABLE },
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (!strncmp(state, table[i].prefix, strlen(table[i].prefix)))
            return table[i].reason;
    return GD_R_STORE_FAILED;
}

/* Sentences of class 22 quote values; those of the others name tables, columns, constraints and people. */
void gd_pg_explain(struct gd_err *err, const char *state, const char *message)
{
    if (!strcmp(state, GD_PG_POOLED))
        message =
            "a pooler gives each transaction another connection: write prepared: no under store, or let "
            "it pool sessions";
    else if (!message || !strncmp(state, "22", 2))
        message = "a value does not fit where it is used";
    gd_err_set(err, gd_pg_reason(state), "%.*s (%s)", (int)strcspn(message, "\r\n"), message,
               state[0] ? state : "no code");
}

/* "...: FATAL:  28P01: password ..." -> 28P01; "" when the sentence is libpq's own. */
static void state_in(const char *message, char ret[GD_PG_STATE_LEN + 1])
{
    const char *p = message;

    ret[0] = '\0';
    while ((p = strstr(p, ":  "))) {
        p += 3;
        if (strspn(p, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == GD_PG_STATE_LEN &&
            p[GD_PG_STATE_LEN] == ':') {
            memcpy(ret, p, GD_PG_STATE_LEN);
            ret[GD_PG_STATE_LEN] = '\0';
            return;
        }
    }
}

static enum gd_reason connect_reason(const char *message, const char *state)
{
    static const char *const cert[] = { "certificate", "SSL" };

    if (state[0])
        return gd_pg_reason(state) == GD_R_STORE_FAILED ? GD_R_STORE_UNREACHABLE : gd_pg_reason(state);
    for (size_t i = 0; i < sizeof cert / sizeof cert[0]; i++)
        if (strstr(message, cert[i]))
            return GD_R_STORE_CERT;
    return strstr(message, "no password supplied") ? GD_R_STORE_DENIED : GD_R_STORE_UNREACHABLE;
}

static int not_connected(const struct gd_pg_conn *c, struct gd_err *err)
{
    const char *message = c->pg ? PQerrorMessage(c->pg) : "no memory";
    char state[GD_PG_STATE_LEN + 1];

    state_in(message, state);
    return gd_err_set(err, connect_reason(message, state), "%.*s", (int)strcspn(message, "\r\n"), message);
}

/* ---- making one
 * --------------------------------------------------------------------------------------------- */

static int wait_for(const PGconn *pg, short events, int64_t until)
{
    struct pollfd p = { .fd = PQsocket(pg), .events = events };
    int64_t left = until - gd_pg_now();

    return left <= 0 ? 0 : poll(&p, 1, (int)(left < 1000 ? left : 1000)) < 0 ? -1 : 1;
}

static int dial(struct gd_pg_conn *c, int64_t until, struct gd_err *err)
{
    PostgresPollingStatusType s = PGRES_POLLING_WRITING;

    while (c->pg && PQstatus(c->pg) != CONNECTION_BAD && s != PGRES_POLLING_OK) {
        if (gd_pg_now() >= until)
            return gd_err_set(err, GD_R_STORE_UNREACHABLE, "the database at %s does not answer",
                              c->engine->place.text);
        if (wait_for(c->pg, s == PGRES_POLLING_READING ? POLLIN : POLLOUT, until) > 0)
            s = PQconnectPoll(c->pg);
        if (s == PGRES_POLLING_FAILED)
            break;
    }
    return s == PGRES_POLLING_OK ? 0 : not_connected(c, err);
}

/* An operator who cancels the wait for a standby has the commit told as done; that must not go unseen. */
static void on_notice(void *arg, const PGresult *res)
{
    struct gd_pg_conn *c = arg;
    const char *where = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);

    if (where && !strcmp(where, "SyncRepWaitForLSN"))
        GD_LOG(c->engine->host.log, GD_LOG_WARN, "store.not_replicated", GD_F_STR("connection", c->name));
}

static int connect_host(struct gd_pg_conn *c, size_t i, int64_t until, struct gd_err *err)
{
    GD_AUTO_FREE char *name = gd_strf("grantd/%s/%s", c->engine->node, c->name);
    struct gd_pg_host h;

    if (gd_pg_place_host(&c->engine->place, i, name, &h, err) < 0)
        return -1;
    c->pg = PQconnectStartParams(h.keys, (const char *const *)h.values, 0);
    gd_pg_host_done(&h);
    if (c->pg)
        (void)PQsetErrorVerbosity(c->pg, PQERRORS_VERBOSE); /* for the code in the sentence */
    if (dial(c, until, err) < 0)
        return -1;
    (void)PQsetNoticeReceiver(c->pg, on_notice, c);
    if (PQsetnonblocking(c->pg, 1) != 0 || !PQenterPipelineMode(c->pg))
        return not_connected(c, err);
    c->backend = PQbackendPID(c->pg);
    return gd_pg_check(c, until, err);
}

/* One round over the hosts, beginning with the one that was the right one last. */
static int connect_any(struct gd_pg_conn *c, int64_t until, struct gd_err *err)
{
    size_t n = c->engine->place.nhosts, first = c->host;
    int64_t now = gd_pg_now(), least = now + 1000;

    for (size_t k = 0; k < n; k++) {
        size_t i = (first + k) % n;
        int64_t end = gd_pg_now() + CONNECT_MS;

        if (end > until)
            end = until > least ? until : least;
        if (connect_host(c, i, end, err) == 0) {
            c->host = i;
            return 0;
        }
        gd_pg_drop(c);
    }
    return -1;
}

static void sleep_until(int64_t when)
{
    int64_t ms = when - gd_pg_now();
    struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

    if (ms > 0)
        nanosleep(&ts, NULL);
}

void gd_pg_wait(unsigned turn)
{
    sleep_until(gd_pg_now() + 1 + (int64_t)(gd_pg_random() % (2u << (turn < 7 ? turn : 7))));
}

static void back_off(struct gd_pg_conn *c)
{
    int64_t ms = AGAIN_MIN << (c->tries < 6 ? c->tries : 6);

    c->tries++;
    ms = ms < AGAIN_MAX ? ms : AGAIN_MAX;
    c->next_try = gd_pg_now() + ms / 2 + (int64_t)(gd_pg_random() % (uint64_t)(ms / 2 + 1));
}

/* Whether the server has hung up meanwhile is known before anything is sent: then nothing is in doubt. */
static bool is_alive(struct gd_pg_conn *c)
{
    struct pollfd p = { .fd = c->pg ? PQsocket(c->pg) : -1, .events = POLLIN };

    if (p.fd < 0 || PQstatus(c->pg) != CONNECTION_OK)
        return false;
    return poll(&p, 1, 0) <= 0 || (PQconsumeInput(c->pg) && PQstatus(c->pg) == CONNECTION_OK);
}

int gd_pg_connect(struct gd_pg_conn *c, int64_t until, struct gd_err *err)
{
    if (is_alive(c))
        return 0;
    gd_pg_drop(c);
    for (;;) {
        if (gd_pg_stopped(c->engine, err))
            return -1;
        if (c->next_try > gd_pg_now() && c->next_try >= until)
            return gd_err_set(err, c->why.reason, "%s", c->why.text);
        sleep_until(c->next_try);
        if (connect_any(c, until, &c->why) == 0)
            break;
        if (c->tries == 0)
            GD_LOG(c->engine->host.log, GD_LOG_WARN, "store.unreachable", GD_F_STR("connection", c->name),
                   GD_F_ERR(&c->why));
        back_off(c);
    }
    if (c->tries)
        GD_LOG(c->engine->host.log, GD_LOG_INFO, "store.reached", GD_F_STR("connection", c->name));
    if (c->was_up)
        gd_pg_count_reconnect(c->engine);
    c->was_up = true;
    c->tries = 0;
    c->next_try = 0;
    return 0;
}
