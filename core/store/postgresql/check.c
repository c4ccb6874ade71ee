/* store/postgresql/check.c - every new connection is looked at before it is used: is the server one that
 * keeps what it acknowledges, may we write, is it the database that this node belongs to, and is what it
 * acknowledged to us still there. A pooler or a failover may have brought us anywhere. */
#include "store/postgresql/pg.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define VERSION_MIN 150000
#define LOCK_PART   10  /* of the deadline: so long one transaction lets its group wait for a lock */
#define FEED_LOCK   100 /* ms: what the feed also looks at is not worth being late with the news */

#define NO_ERA "''::text"

GD_SQL(sql_settings, "SELECT pg_is_in_recovery(), current_setting('transaction_read_only'), "
                     "current_setting('synchronous_commit'), "
                     "coalesce(current_setting('synchronous_standby_names', true), ''), "
                     "current_setting('server_encoding'), coalesce(current_setting('fsync', true), 'on'), "
                     "coalesce(current_setting('full_page_writes', true), 'on'), pg_backend_pid()");
GD_SQL(sql_era, "SELECT gd_era()");
GD_SQL(sql_ours,
       "SELECT (SELECT id FROM installation LIMIT 1), (SELECT link FROM feed WHERE node = $1 AND n = $2)");

/* Engines that only speak the protocol have version numbers of their own. */
static bool is_other(const PGconn *pg)
{
    const char *v = PQparameterStatus(pg, "server_version");

    return PQparameterStatus(pg, "crdb_version") || (v && strstr(v, "-YB-"));
}

static int check_version(const struct gd_pg_conn *c, struct gd_err *err)
{
    const char *v = PQparameterStatus(c->pg, "server_version");

    if (PQserverVersion(c->pg) >= VERSION_MIN || is_other(c->pg))
        return 0;
    return gd_err_set(err, GD_R_STORE_TOO_OLD,
                      "the server at %s is PostgreSQL %s; 15 is the oldest that will do",
                      c->engine->place.text, v ? v : "of an unknown version");
}

static void set(struct gd_pg_conn *c, int64_t until, const char *text)
{
    struct gd_pg_run r;

    gd_pg_run_init(&r, c, until);
    gd_pg_command(&r, text);
    (void)gd_pg_end(&r);
    gd_pg_run_done(&r);
}

/* Not all engines know all of these, and none is needed. A half of a group must not hold its locks for long
 * when we are gone; the deadlines are ours, because a COMMIT that waits for its standby must not be cut short
 * by the server. */
static void settle(struct gd_pg_conn *c, int64_t until)
{
    int64_t wait = c == &c->engine->w             ? c->engine->deadline_ms / LOCK_PART
                   : strcmp(c->name, "feed") == 0 ? FEED_LOCK
                                                  : 0;
    GD_AUTO_FREE char *lock = gd_strf("SET lock_timeout = %lld", (long long)wait);
    GD_AUTO_FREE char *idle =
        gd_strf("SET idle_in_transaction_session_timeout = %lld", (long long)c->engine->deadline_ms);

    set(c, until, "SET statement_timeout = 0");
    set(c, until, lock);
    set(c, until, "SET client_connection_check_interval = 2000");
    if (c == &c->engine->w)
        set(c, until, idle);
}

static int unsafe(const struct gd_pg_conn *c, struct gd_err *err, const char *what)
{
    return gd_err_set(err, GD_R_STORE_UNSAFE, "the database at %s %s", c->engine->place.text, what);
}

static int check_settings(struct gd_pg_conn *c, const struct gd_tx *tx, struct gd_err *err)
{
    const char *sync = gd_tx_text(tx, 0, 0, 2), *encoding = gd_tx_text(tx, 0, 0, 4);
    bool lax = !strcmp(sync, "off") || !strcmp(sync, "local");

    if (gd_tx_int(tx, 0, 0, 0) || !gd_same_text(gd_tx_text(tx, 0, 0, 1), "off"))
        return gd_err_set(err, GD_R_STORE_READ_ONLY, "the database at %s is read-only: %s",
                          c->engine->place.text,
                          gd_tx_int(tx, 0, 0, 0) ? "it is a standby" : "transaction_read_only is on");
    if (!gd_same_text(encoding, "UTF8"))
        return unsafe(c, err, "is not encoded in UTF8; make one that is");
    if (!gd_same_text(gd_tx_text(tx, 0, 0, 5), "on") && !c->engine->accept_async)
        return unsafe(c, err, "runs with fsync off: a crash of its machine destroys it");
    if (lax && !c->engine->accept_async)
        return unsafe(
            c, err,
            "acknowledges commits that a crash can lose (synchronous_commit is off or local); set it to "
            "on, or write accept_async: true under store if that is meant");
    return 0;
}

/* While the engine is opened the writer's connection waits beside the next one: who is at the other end of
 * both at once serves one transaction here and one there. */
static int check_own(struct gd_pg_conn *c, const struct gd_tx *tx, struct gd_err *err)
{
    struct gd_engine *e = c->engine;

    if (e->unprepared)
        return 0;
    c->backend = (int)gd_tx_int(tx, 0, 0, 7); /* a pooler tells numbers of its own */
    if (!e->opening || c == &e->w || !e->w.pg || c->backend != e->w.backend)
        return 0;
    gd_pg_explain(err, GD_PG_POOLED, NULL);
    return -1;
}

static void remember(struct gd_engine *e, const PGconn *pg, const struct gd_tx *tx)
{
    const char *v = PQparameterStatus(pg, "server_version"), *names = gd_tx_text(tx, 0, 0, 3);

    pthread_mutex_lock(&e->lock_state);
    gd_free(e->server);
    e->server = gd_strdup(v ? v : "");
    gd_free(e->durability);
    e->durability = gd_strf("synchronous_commit %s, %s%s", gd_tx_text(tx, 0, 0, 2),
                            names && names[0] ? "standbys " : "no synchronous standby", names ? names : "");
    pthread_mutex_unlock(&e->lock_state);
}

/* The first connection finds out, and one thread makes that. Engines that keep what they acknowledge by other
 * means have no timeline to tell. */
static int learn_era(struct gd_pg_conn *c, int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    struct gd_tx *tx;
    int rc;

    if (e->era)
        return 0;
    if (is_other(c->pg)) {
        e->era = NO_ERA;
        return 0;
    }
    e->era = gd_pg_timeline; /* the tables may not be there yet */
    tx = gd_tx_new(NULL);
    tx->once = true;
    gd_tx_add_(tx, &sql_era, NULL, 0);
    rc = gd_pg_ask(c, tx, until, err);
    gd_tx_free(tx);
    if (rc == 0)
        e->era = gd_pg_era;
    if (rc == 0)
        return 0;
    e->era = err->reason == GD_R_STORE_UNREACHABLE || err->reason == GD_R_STORE_SLOW ? NULL : NO_ERA;
    return e->era && c->pg ? 0 : -1; /* it is dialled once more */
}

/* Once the engine is open: the same installation, and nothing that was acknowledged is missing. */
int gd_pg_check_ours(struct gd_pg_conn *c, int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    struct gd_pg_mark acked = gd_pg_acked(e);
    struct gd_pg_seen before = gd_pg_seen(e);
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_err why = { 0 };
    size_t heads;
    int rc;

    gd_tx_add(tx, &sql_ours, GD_P_TEXT(e->node), GD_P_INT(acked.n));
    gd_pg_era_ask(e, tx);
    heads = tx->nstmts;
    gd_pg_heads_ask(e, tx);
    rc = gd_pg_ask(c, tx, until, err);
    if (rc == 0)
        rc = gd_pg_era_take(c, tx, 1, &before, until, err);
    if (rc == 0)
        rc = gd_pg_heads_take(c, tx, heads, until, err);
    if (rc == 0 && !gd_same_text(gd_tx_text(tx, 0, 0, 0), e->installation)) {
        rc = gd_err_set(&why, GD_R_STORE_FOREIGN, "the database at %s is another installation's now",
                        e->place.text);
        gd_pg_stop(e, &why, false);
    } else if (rc == 0 && (gd_tx_is_null(tx, 0, 0, 1) || gd_tx_int(tx, 0, 0, 1) != acked.link)) {
        rc = gd_err_set(&why, GD_R_STORE_SET_BACK,
                        "the database at %s was set back: commits that it acknowledged are gone",
                        e->place.text);
        gd_pg_stop(e, &why, true);
    }
    if (why.text[0])
        gd_err_set(err, why.reason, "%s", why.text);
    gd_tx_free(tx);
    return rc;
}

int gd_pg_check(struct gd_pg_conn *c, int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    struct gd_tx *tx;
    int rc;

    if (check_version(c, err) < 0)
        return -1;
    if (!e->unprepared)
        set(c, until, e->search_path);
    if (!e->unprepared)
        settle(c, until);
    if (!c->pg)
        return gd_err_set(err, GD_R_STORE_UNREACHABLE, "the database at %s does not answer", e->place.text);
    tx = gd_tx_new(NULL);
    tx->once = true; /* nothing is prepared before it is known to stay */
    gd_tx_add_(tx, &sql_settings, NULL, 0);
    rc = gd_pg_ask(c, tx, until, err);
    if (rc == 0)
        rc = check_settings(c, tx, err);
    if (rc == 0)
        rc = check_own(c, tx, err);
    if (rc == 0)
        rc = learn_era(c, until, err);
    if (rc == 0)
        remember(e, c->pg, tx);
    gd_tx_free(tx);
    if (rc == 0 && e->installation)
        rc = gd_pg_check_ours(c, until, err);
    if (rc == 0 && c == &e->r && !e->unprepared)
        set(c, until, "SET default_transaction_read_only = on"); /* a read that writes is a mistake of ours */
    return rc;
}
