/* store/postgresql/era.c - which history of the database this is. A promoted standby begins a new timeline.
 * Where the files were set back (a snapshot, a base backup) the timeline stays: but the log's end is in front
 * of where somebody has seen it. Whoever finds that says so in the database before he does anything else
 * there, and each such row in the feed is a new era, as a promotion is.
 *
 * What was seen last lies beside the store, too, for the next start; not synced, for it only has to be true.
 */
#include "store/postgresql/pg.h"

#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The name of a file of the log begins with its timeline. Evaluated by the server in each statement: behind a
 * pooler the next one may run on another server. */
#define TIMELINE "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
#define SAID     "(SELECT max(n) FROM feed WHERE node = 'era')"
#define NOTE_MS  1000
#define NOTE_LEN 43

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

static void set_seen(struct gd_engine *e, const struct gd_pg_seen *s)
{
    pthread_mutex_lock(&e->lock_state);
    e->seen = *s;
    pthread_mutex_unlock(&e->lock_state);
}

static struct gd_pg_seen found_in(const struct gd_tx *tx, size_t stmt)
{
    return (struct gd_pg_seen){ gd_tx_int(tx, stmt, 0, 0), gd_tx_int(tx, stmt, 0, 1),
                                gd_tx_int(tx, stmt, 0, 2) };
}

/* A later timeline, or a later word of somebody else, is a new era already. */
static bool is_back(const struct gd_pg_seen *now, const struct gd_pg_seen *before)
{
    if (before->timeline == 0 || now->timeline > before->timeline || now->said > before->said)
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
        *ret = found_in(tx, 0);
    gd_tx_free(tx);
    return rc;
}

static int say(struct gd_pg_conn *c, int64_t until, int64_t n, struct gd_err *err)
{
    struct gd_tx *tx = gd_tx_new(NULL);
    int rc;

    GD_LOG(c->engine->host.log, GD_LOG_ERROR, "store.new_era", GD_F_STR("database", c->engine->place.text),
           GD_F_INT("n", n),
           GD_F_STR("text", "the database was set back: it ends in front of what this node had seen of it"));
    gd_tx_add(tx, &sql_say, GD_P_INT(n), GD_P_INT((int64_t)(gd_pg_random() >> 2)));
    rc = gd_pg_ask(c, tx, until, err);
    gd_tx_free(tx);
    return rc;
}

/* One thread says it: the others find it said. */
static int look_closer(struct gd_pg_conn *c, int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    struct gd_pg_seen before, now;
    int rc;

    pthread_mutex_lock(&e->lock_era);
    before = gd_pg_seen(e);
    rc = ask(c, until, &now, err);
    if (rc == 0 && is_back(&now, &before)) {
        rc = say(c, until, (before.said > now.said ? before.said : now.said) + 1, err);
        if (rc == 0)
            rc = ask(c, until, &now, err);
    }
    if (rc == 0)
        set_seen(e, &now);
    pthread_mutex_unlock(&e->lock_era);
    return rc;
}

int gd_pg_era_take(struct gd_pg_conn *c, const struct gd_tx *tx, size_t stmt, const struct gd_pg_seen *before,
                   int64_t until, struct gd_err *err)
{
    struct gd_engine *e = c->engine;
    struct gd_pg_seen now, last = gd_pg_seen(e);

    if (!gd_pg_has_era(e))
        return 0;
    now = found_in(tx, stmt);
    if (is_back(&now, before))
        return look_closer(c, until, err);
    if (now.timeline != last.timeline || now.said != last.said || now.end > last.end)
        set_seen(e, &now);
    return 0;
}

/* ---- beside the store ---- */

void gd_pg_seen_load(struct gd_engine *e, const char *path)
{
    GD_AUTO_FREE char *file = gd_strf("%s.seen", path);
    char text[NOTE_LEN + 1] = "", *end;
    struct gd_pg_seen s;

    e->seen_fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (e->seen_fd < 0 || pread(e->seen_fd, text, NOTE_LEN, 0) != NOTE_LEN || text[NOTE_LEN - 1] != '\n')
        return;
    s.timeline = (int64_t)strtoull(text, &end, 16);
    s.said = *end == ' ' ? (int64_t)strtoull(end + 1, &end, 16) : 0;
    if (*end != ' ')
        return;
    s.end = (int64_t)strtoull(end + 1, &end, 16);
    if (end == text + NOTE_LEN - 1)
        set_seen(e, &s);
}

void gd_pg_seen_note(struct gd_engine *e, bool now)
{
    struct gd_pg_seen s = gd_pg_seen(e);
    GD_AUTO_FREE char *text = NULL;

    if (e->seen_fd < 0 || s.timeline == 0 || (!now && gd_pg_now() - e->noted < NOTE_MS))
        return;
    e->noted = gd_pg_now();
    text = gd_strf("%08llx %016llx %016llx\n", (unsigned long long)s.timeline, (unsigned long long)s.said,
                   (unsigned long long)s.end);
    (void)!pwrite(e->seen_fd, text, NOTE_LEN, 0); /* an older one is true as well */
}
