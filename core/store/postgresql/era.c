/* store/postgresql/era.c - which history of the database this is. A promoted standby begins a new timeline.
 * Where the files were set back (a snapshot, a base backup) the timeline stays: but the log's end is in front
 * of where somebody has seen it, or, when others have written on since, a neighbour's commit that somebody
 * has read is not there. Whoever finds that says so in the database before he does anything else there, and
 * each such row in the feed is a new era, as a promotion is.
 */
#include "store/postgresql/pg.h"

#include "base/text.h"

#include <string.h>

/* The name of a file of the log begins with its timeline. Evaluated by the server in each statement: behind a
 * pooler the next one may run on another server. */
#define TIMELINE "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
#define SAID     "(SELECT max(n) FROM feed WHERE node = 'era')"

const char gd_pg_timeline[] = TIMELINE;
const char gd_pg_era[] = "(" TIMELINE " || coalesce('.' || " SAID ", ''))";

/* What is flushed no crash takes back. */
GD_SQL(sql_seen, "SELECT ('x' || " TIMELINE ")::bit(32)::bigint, coalesce(" SAID
                 ", 0), (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint");
/* Who follows the feed reads again whatever he holds: it has no forerunner that he knows. */
GD_SQL(sql_say, "INSERT INTO feed (node, n, link, prev, at, news) VALUES ('era', $1, $2, -1, gd_now(), NULL)"
                " ON CONFLICT (node, n) DO NOTHING");

bool gd_pg_has_era(const struct gd_engine *e)
{
    return e->era == gd_pg_era;
}

void gd_pg_era_ask(const struct gd_engine *e, struct gd_tx *tx)
{
    if (gd_pg_has_era(e))
        (void)gd_tx_add_(tx, &sql_seen, NULL, 0);
}

struct gd_pg_seen gd_pg_seen(struct gd_engine *e)
{
    struct gd_pg_seen s;

    pthread_mutex_lock(&e->lock_state);
    s = e->seen;
    pthread_mutex_unlock(&e->lock_state);
    return s;
}

void gd_pg_seen_set(struct gd_engine *e, const struct gd_pg_seen *s)
{
    pthread_mutex_lock(&e->lock_state);
    e->seen = *s;
    pthread_mutex_unlock(&e->lock_state);
}

struct gd_pg_seen gd_pg_era_found(const struct gd_tx *tx, size_t stmt)
{
    return (struct gd_pg_seen){ gd_tx_int(tx, stmt, 0, 0), gd_tx_int(tx, stmt, 0, 1),
                                gd_tx_int(tx, stmt, 0, 2) };
}

/* By a later timeline, or a later word of somebody else. */
static bool is_new(const struct gd_pg_seen *now, const struct gd_pg_seen *before)
{
    return now->timeline > before->timeline || now->said > before->said;
}

static bool is_back(const struct gd_pg_seen *now, const struct gd_pg_seen *before)
{
    if (before->timeline == 0 || is_new(now, before))
        return false;
    return now->timeline < before->timeline || now->said < before->said || now->end < before->end;
}

static int ask(struct gd_pg_conn *c, int64_t until, struct gd_pg_seen *ret, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    int rc;

    (void)gd_tx_add_(tx, &sql_seen, NULL, 0);
    rc = gd_pg_ask(c, tx, until, err);
    if (rc == 0)
        *ret = gd_pg_era_found(tx, 0);
    gd_tx_free(tx);
    return rc;
}

static int say(struct gd_pg_conn *c, int64_t until, int64_t n, const char *text, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    int rc;

    GD_LOG(c->engine->host.log, GD_LOG_ERROR, "store.new_era", GD_F_STR("database", c->engine->place.text),
           GD_F_INT("n", n), GD_F_STR("text", text));
    gd_tx_add(tx, &sql_say, GD_P_INT(n), GD_P_INT((int64_t)(gd_pg_random() >> 2)));
    rc = gd_pg_ask(c, tx, until, err);
    gd_tx_free(tx);
    return rc;
}

/* lost: the era in which something was read that is not there any more; NULL: the log's end tells. One thread
 * says it: the others find it said. */
static int look_closer(struct gd_pg_conn *c, const struct gd_pg_seen *lost, int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    struct gd_pg_seen before, now;
    const char *text = lost
                           ? "the database was set back: what this node had read of another's commits is gone"
                           : "the database was set back: it ends in front of what this node had seen of it";
    int rc;

    pthread_mutex_lock(&e->lock_era);
    before = lost ? *lost : gd_pg_seen(e);
    rc = ask(c, until, &now, err);
    if (rc == 0 && (lost ? !is_new(&now, lost) : is_back(&now, &before))) {
        rc = say(c, until, (before.said > now.said ? before.said : now.said) + 1, text, err);
        if (rc == 0)
            rc = ask(c, until, &now, err);
    }
    if (rc == 0)
        gd_pg_seen_set(e, &now);
    pthread_mutex_unlock(&e->lock_era);
    return rc;
}

int gd_pg_era_lost(struct gd_pg_conn *c, const struct gd_pg_seen *under, int64_t until, struct gd_err *err)
{
    return gd_pg_has_era(c->engine) ? look_closer(c, under, until, err) : 0;
}

int gd_pg_era_take(struct gd_pg_conn *c, const struct gd_tx *tx, size_t stmt, const struct gd_pg_seen *before,
                   int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    struct gd_pg_seen now, last = gd_pg_seen(e);

    if (!gd_pg_has_era(e))
        return 0;
    now = gd_pg_era_found(tx, stmt);
    if (is_back(&now, before))
        return look_closer(c, NULL, until, err);
    if (now.timeline != last.timeline || now.said != last.said || now.end > last.end)
        gd_pg_seen_set(e, &now);
    return 0;
}
