/* store/postgresql/open.c - the engine comes and goes: a connection that is good enough, the tables that are
 * the engine's own, whose installation this is, and the end of whatever an earlier process of this node may
 * still have on its way. */
#include "store/postgresql/pg.h"

#include "base/id.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA_MAX 48
#define RACES      8  /* several nodes may make the same tables at once */
#define LOCK_LONG  60 /* times the deadline, while another node brings the tables up to date */

GD_SQL(sql_schema,
       "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1), (SELECT count(*) FROM pg_class c "
       "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'), "
       "(SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname "
       "= $1 AND c.relname IN ('installation', 'feed'))");
GD_SQL(sql_make_installation,
       "CREATE TABLE IF NOT EXISTS installation (one bigint NOT NULL, id text NOT NULL, "
       "made_at bigint NOT NULL, PRIMARY KEY (one))");
GD_SQL(sql_make_feed,
       "CREATE TABLE IF NOT EXISTS feed (node text NOT NULL, n bigint NOT NULL, link bigint NOT NULL, "
       "prev bigint NOT NULL, at bigint NOT NULL, news text, PRIMARY KEY (node, n))");
GD_SQL(sql_claim,
       "INSERT INTO installation (one, id, made_at) VALUES (1, $1, gd_now()) ON CONFLICT (one) DO NOTHING");
GD_SQL(sql_whose, "SELECT id FROM installation");
GD_SQL(sql_lock, "SELECT one FROM installation WHERE one = 1 FOR UPDATE");
GD_SQL(sql_head, "SELECT n, link FROM feed WHERE node = $1 ORDER BY n DESC LIMIT 1");
GD_SQL(sql_take, "INSERT INTO feed (node, n, link, prev, at, news) VALUES ($1, $2, $3, $4, gd_now(), NULL) "
                 "ON CONFLICT (node, n) DO NOTHING");
/* Made by a version that left none, and nobody has decided otherwise since. */
GD_SQL(sql_no_room,
       "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 "
       "AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE') AND coalesce(c.reloptions::text, '') NOT "
       "LIKE '%fillfactor=%' ORDER BY 1");

static int64_t deadline(const struct gd_engine *e)
{
    return gd_pg_now() + e->deadline_ms;
}

/* ---- the engine's tables
 * ---------------------------------------------------------------------------------------- */

static int ask1(struct gd_engine *e, struct gd_tx *tx, struct gd_err *err)
{
    tx->once = true;
    return gd_pg_connect(&e->w, deadline(e), err) < 0 ? -1 : gd_pg_ask(&e->w, tx, deadline(e), err);
}

static int command(struct gd_engine *e, const char *text, struct gd_err *err)
{
    struct gd_sql sql = { text };
    struct gd_tx *tx = gd_tx_new(NULL);
    int rc;

    gd_tx_add_(tx, &sql, NULL, 0);
    rc = ask1(e, tx, err);
    gd_tx_free(tx);
    return rc;
}

static int make_tables(struct gd_engine *e, int64_t schemas, struct gd_err *err)
{
    GD_AUTO_FREE char *schema = gd_strf("CREATE SCHEMA IF NOT EXISTS \"%s\"", e->schema);

    if (schemas == 0 && command(e, schema, err) < 0)
        return -1;
    if (command(e, sql_make_installation.text, err) < 0)
        return -1;
    return command(e, sql_make_feed.text, err);
}

static int denied(const struct gd_engine *e, struct gd_err *err, const char *why)
{
    return gd_err_set(
        err, GD_R_STORE_DENIED,
        "the role may not make schema %s and its tables (%s); let it: GRANT CREATE ON DATABASE, or "
        "CREATE SCHEMA %s AUTHORIZATION",
        e->schema, why, e->schema);
}

/* IF NOT EXISTS is no lock: who comes second at the same moment is refused, looks again and finds it there.
 */
static int make_schema(struct gd_engine *e, struct gd_err *err)
{
    struct gd_err why = { 0 };

    for (int i = 0; i < RACES; i++) {
        struct gd_tx *tx = gd_tx_new(NULL);
        int64_t schemas, tables, ours;
        int rc;

        gd_tx_add(tx, &sql_schema, GD_P_TEXT(e->schema));
        rc = ask1(e, tx, err);
        schemas = gd_tx_int(tx, 0, 0, 0);
        tables = gd_tx_int(tx, 0, 0, 1);
        ours = gd_tx_int(tx, 0, 0, 2);
        gd_tx_free(tx);
        if (rc < 0 || ours == 2)
            return rc;
        if (tables > 0 && ours == 0)
            return gd_err_set(err, GD_R_STORE_FOREIGN,
                              "schema %s of the database at %s holds tables that are not ours", e->schema,
                              e->place.text);
        if (make_tables(e, schemas, &why) < 0 && why.reason == GD_R_STORE_DENIED)
            return denied(e, err, why.text);
        nanosleep(&(struct timespec){ 0, 20000000L * (i + 1) }, NULL);
    }
    return gd_err_set(err, why.reason, "%s", why.text);
}

/* ---- whose it is
 * -------------------------------------------------------------------------------------------------- */

static int read_id(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return -1;
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return 0;
}

static int write_id(const char *path, const char *id, struct gd_err *err)
{
    GD_AUTO_FREE char *fresh = gd_strf("%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, id, strlen(id)) == (ssize_t)strlen(id) && write(fd, "\n", 1) == 1 &&
              fsync(fd) == 0 && rename(fresh, path) == 0;
    int e = errno;

    if (fd >= 0)
        close(fd);
    return ok ? 0 : gd_err_set(err, GD_R_STORE_FAILED, "%s cannot be written: %s", path, strerror(e));
}

static int find_id(struct gd_engine *e, bool claim, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    char fresh[GD_ID_TEXT_MAX];
    const char *id;
    int rc;

    (void)snprintf(fresh, sizeof fresh, "in%016llx%08llx", (unsigned long long)gd_pg_random(),
                   (unsigned long long)(gd_pg_random() >> 32));
    if (claim)
        gd_tx_add(tx, &sql_claim, GD_P_TEXT(fresh));
    gd_tx_add_(tx, &sql_whose, NULL, 0);
    rc = ask1(e, tx, err);
    id = rc == 0 ? gd_tx_text(tx, claim, 0, 0) : NULL;
    if (id) {
        pthread_mutex_lock(&e->lock_state);
        gd_free(e->installation);
        e->installation = gd_strdup(id);
        pthread_mutex_unlock(&e->lock_state);
    }
    gd_tx_free(tx);
    return rc;
}

/* What this node's folder says and what the database says must agree, once they have met. */
static int check_installation(struct gd_engine *e, const char *path, struct gd_err *err)
{
    GD_AUTO_FREE char *file = path ? gd_strf("%s.installation", path) : NULL;
    char own[64];
    bool known = file && read_id(file, own, sizeof own) == 0;

    if (find_id(e, !known, err) < 0)
        return -1;
    if (known && !gd_same_text(own, e->installation))
        return gd_err_set(err, GD_R_STORE_FOREIGN,
                          "the database at %s is %s, and this node belongs to another installation (%s); "
                          "check the url, or remove that file if the node shall join this one",
                          e->place.text, e->installation ? "one of another installation" : "new", file);
    return known || !file ? 0 : write_id(file, e->installation, err);
}

/* The next number is taken, so that what a process before us sent and did not wait for cannot come after us:
 * it is there already, or it never will be. */
static int fence(struct gd_engine *e, struct gd_err *err)
{
    struct gd_pg_mark head, next;
    bool taken = false;
    int rc = 0;

    while (rc == 0 && !taken) {
        struct gd_tx *tx = gd_tx_new(NULL);

        gd_tx_add(tx, &sql_head, GD_P_TEXT(e->node));
        rc = ask1(e, tx, err);
        head = (struct gd_pg_mark){ gd_tx_int(tx, 0, 0, 0), gd_tx_int(tx, 0, 0, 1) };
        next = (struct gd_pg_mark){ head.n + 1, (int64_t)(gd_pg_random() >> 2) };
        gd_tx_free(tx);
        tx = gd_tx_new(NULL);
        gd_tx_add(tx, &sql_take, GD_P_TEXT(e->node), GD_P_INT(next.n), GD_P_INT(next.link),
                  GD_P_INT(head.link));
        rc = rc == 0 ? ask1(e, tx, err) : rc;
        taken = gd_tx_changes(tx, 0) == 1;
        gd_tx_free(tx);
    }
    pthread_mutex_lock(&e->lock_state);
    if (rc == 0)
        e->acked = next;
    pthread_mutex_unlock(&e->lock_state);
    return rc;
}

bool gd_pg_pass_fence(struct gd_engine *e)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_err err;
    bool theirs;

    gd_tx_add(tx, &sql_head, GD_P_TEXT(e->node));
    theirs = !e->begun && ask1(e, tx, &err) == 0 && gd_tx_int(tx, 0, 0, 0) == e->acked.n + 1 &&
             gd_tx_int(tx, 0, 0, 1) == -e->acked.link;
    gd_tx_free(tx);
    return theirs && fence(e, &err) == 0;
}

/* ---- opening, closing
 * ----------------------------------------------------------------------------------------------- */

/* A database that is not there yet may come; one that refuses us will go on doing so. */
static int first_connection(struct gd_engine *e, struct gd_err *err)
{
    int64_t until = deadline(e);
    struct gd_err why = { 0 };
    int rc;

    for (;;) {
        rc = gd_pg_connect(&e->w, gd_pg_now(), &why);
        if (rc == 0 || why.reason != GD_R_STORE_UNREACHABLE || e->w.next_try >= until)
            break;
        while (gd_pg_now() < e->w.next_try)
            nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    }
    return rc == 0 ? 0 : gd_err_set(err, why.reason, "%s", why.text);
}

static int make_ready(struct gd_engine *e, const struct gd_store_options *o, struct gd_err *err)
{
    if (first_connection(e, err) < 0 || make_schema(e, err) < 0)
        return -1;
    if (fence(e, err) < 0 || check_installation(e, o->path, err) < 0)
        return -1;
    return gd_pg_feed_new(e, o->path, err);
}

static struct gd_engine *new_engine(const struct gd_store_options *o, const struct gd_store_host *host)
{
    struct gd_engine *e = gd_new(sizeof *e);

    e->host = *host;
    e->node = gd_strdup(o->node ? o->node : "-");
    e->schema = gd_strdup(o->schema);
    e->search_path = gd_strf("SET %ssearch_path = \"%s\"", o->unprepared ? "LOCAL " : "", o->schema);
    e->unprepared = o->unprepared;
    e->accept_async = o->accept_async;
    e->deadline_ms = o->deadline_ms ? o->deadline_ms : GD_STORE_DEADLINE_MS;
    e->seen_fd = -1;
    pthread_mutex_init(&e->lock_state, NULL);
    pthread_mutex_init(&e->lock_era, NULL);
    gd_pg_conn_init(&e->w, e, "writer");
    gd_pg_conn_init(&e->r, e, "reader");
    gd_pg_conn_init(&e->apart, e, "apart");
    gd_pg_conn_init(&e->soon, e, "soon");
    gd_pg_conn_init(&e->lock, e, "migration");
    return e;
}

int gd_pg_new(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
              struct gd_err *err)
{
    struct gd_engine *e;

    if (!o->schema || !gd_name_valid(o->schema, SCHEMA_MAX))
        return gd_err_set(err, GD_R_INTERNAL, "a shared store needs the name of its schema");
    e = new_engine(o, host);
    if (gd_pg_place_init(&e->place, o, err) < 0) {
        gd_pg_close(e);
        return -1;
    }
    *ret = e;
    return 0;
}

int gd_pg_open(struct gd_engine **ret, const struct gd_store_options *o, const struct gd_store_host *host,
               struct gd_err *err)
{
    struct gd_err why = { 0 };
    struct gd_engine *e;

    if (gd_pg_new(&e, o, host, err) < 0)
        return -1;
    e->opening = true;
    if (make_ready(e, o, &why) < 0) {
        gd_pg_close(e);
        return gd_err_set(err, why.reason, "%s", why.text);
    }
    e->opening = false;
    *ret = e;
    return 0;
}

void gd_pg_close(struct gd_engine *e)
{
    gd_pg_feed_stop(e);
    if (e->view)
        gd_pg_conn_done(e->view);
    gd_free(e->view);
    gd_pg_conn_done(&e->w);
    gd_pg_conn_done(&e->r);
    gd_pg_conn_done(&e->apart);
    gd_pg_conn_done(&e->soon);
    gd_pg_conn_done(&e->lock);
    gd_pg_place_done(&e->place);
    if (e->seen_fd >= 0)
        close(e->seen_fd);
    pthread_mutex_destroy(&e->lock_state);
    pthread_mutex_destroy(&e->lock_era);
    gd_free(e->node);
    gd_free(e->schema);
    gd_free(e->search_path);
    gd_free(e->installation);
    gd_free(e->server);
    gd_free(e->durability);
    gd_free(e);
}

/* A row that is locked until unlock, or until the connection breaks. */
int gd_pg_lock(struct gd_engine *e, struct gd_err *err)
{
    int64_t until = gd_pg_now() + LOCK_LONG * e->deadline_ms;
    struct gd_tx *tx;
    struct gd_pg_run r;
    int rc;

    if (gd_pg_connect(&e->lock, deadline(e), err) < 0)
        return -1;
    tx = gd_tx_new(NULL);
    gd_tx_add_(tx, &sql_lock, NULL, 0);
    gd_pg_run_init(&r, &e->lock, until);
    gd_pg_begin(&r, "READ COMMITTED");
    gd_pg_stmt(&r, tx, &tx->stmts[0]);
    rc = gd_pg_end(&r);
    if (rc < 0)
        gd_err_set(err, r.err.reason, "%s", r.err.text);
    gd_pg_run_done(&r);
    gd_tx_free(tx);
    return rc;
}

/* Tables of older installations get what new ones are made with; it is for pages that are written from now
 * on, and locks nobody out. */
static void leave_room(struct gd_engine *e)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    struct gd_err err = { 0 };
    int rc;

    gd_tx_add(tx, &sql_no_room, GD_P_TEXT(e->schema));
    rc = ask1(e, tx, &err);
    for (size_t i = 0; rc == 0 && i < gd_tx_rows(tx, 0); i++) {
        GD_AUTO_FREE char *text =
            gd_strf("ALTER TABLE \"%s\".\"%s\" SET (" GD_PG_ROOM ")", e->schema, gd_tx_text(tx, 0, i, 0));

        rc = command(e, text, &err);
    }
    gd_tx_free(tx);
    if (rc < 0)
        GD_LOG(e->host.log, GD_LOG_WARN, "store.no_room_left", GD_F_ERR(&err));
}

void gd_pg_unlock(struct gd_engine *e)
{
    if (e->lock.pg) {
        gd_pg_teach_nothing(e);
        leave_room(e);
    }
    gd_pg_drop(&e->lock);
}
