/* grant/restored.c - a store that shows an older state than the platforms may know: a backup that was
 * restored, a copy that was put in place of it, a database that lost commits. What was spent since then is
 * unknown; at most platforms presenting it again is harmless or merely in vain, at strict and family ones it
 * may end what still lives. So those credentials are held: vended while they live, not renewed, until an
 * operator decides (accept) or the client approves again. All others go on. */
#include "grant/broker_int.h"
#include "grant/witness.h"

#include "store/backup.h"

#include <string.h>

GD_SQL(sql_known_version, "SELECT COUNT(*) FROM token_versions WHERE workspace = $1 AND attempt_id = $2");
GD_SQL(sql_known_cred, "SELECT gen FROM credentials WHERE workspace = $1 AND id = $2");
GD_SQL(sql_hold,
       "UPDATE credentials SET status = 'restored', next_at = $1, lease_owner = NULL, lease_until = "
       "0, reason = 'CREDENTIAL_RESTORED', reason_text = 'the store was set back; this token may "
       "have been spent since' WHERE status IN ('current', 'retrying', 'uncertain', 'quarantined')"
       " AND retry_class NOT IN ($2, $3)");
/* The newest of those that never became current, if it answers a later generation than what is there: its
 * parent's answer may be lost, but presenting an older one might end everything. And any that was never
 * tried, where what is there was refused: going from one such answer to the next counts as generations, too,
 * so the credential's own number says nothing here. */
GD_SQL(
    sql_advance,
    "UPDATE credentials SET status = 'retrying', next_at = $3, attempts = 0, reason = NULL,"
    " reason_text = NULL, lease_owner = NULL, lease_until = 0, gen = 1 + (SELECT MAX(CASE WHEN v.parent_gen"
    " > credentials.gen THEN v.parent_gen ELSE credentials.gen END) FROM token_versions v"
    " WHERE v.workspace = $1 AND v.credential_id = $2 AND v.status = 'candidate'), current_attempt ="
    " (SELECT v.attempt_id FROM token_versions v WHERE v.workspace = $1 AND v.credential_id = $2"
    " AND v.status = 'candidate' ORDER BY v.parent_gen DESC, v.attempt_id DESC LIMIT 1)"
    " WHERE workspace = $1 AND id = $2 AND status <> 'revoked' AND EXISTS (SELECT 1 FROM token_versions v"
    " WHERE v.workspace = $1 AND v.credential_id = $2 AND v.status = 'candidate'"
    " AND (credentials.status IN ('quarantined', 'needs_consent') OR credentials.current_attempt IS NULL"
    " OR v.parent_gen > (SELECT w.parent_gen FROM token_versions w WHERE w.workspace = $1"
    " AND w.attempt_id = credentials.current_attempt)))");
GD_SQL(sql_advance_times,
       "UPDATE credentials SET issued_at = (SELECT v.issued_at FROM token_versions v WHERE v.workspace = $1"
       " AND v.attempt_id = credentials.current_attempt), expires_at = (SELECT v.expires_at"
       " FROM token_versions v WHERE v.workspace = $1 AND v.attempt_id = credentials.current_attempt),"
       " refresh_expires_at = (SELECT v.refresh_expires_at FROM token_versions v WHERE v.workspace = $1"
       " AND v.attempt_id = credentials.current_attempt) WHERE workspace = $1 AND id = $2"
       " AND EXISTS (SELECT 1 FROM token_versions v WHERE v.workspace = $1"
       " AND v.attempt_id = credentials.current_attempt AND v.status = 'candidate')");
GD_SQL(sql_advance_old,
       "UPDATE token_versions SET status = 'superseded' WHERE workspace = $1 AND credential_id = $2"
       " AND status = 'current' AND EXISTS (SELECT 1 FROM credentials c WHERE c.workspace = $1 AND c.id = $2"
       " AND c.current_attempt <> token_versions.attempt_id)");
GD_SQL(
    sql_advance_new,
    "UPDATE token_versions SET status = 'current' WHERE workspace = $1 AND credential_id = $2"
    " AND status = 'candidate' AND EXISTS (SELECT 1 FROM credentials c WHERE c.workspace = $1 AND c.id = $2"
    " AND c.current_attempt = token_versions.attempt_id)");
/* What the spool brought back stands on its newest answer. */
GD_SQL(sql_release,
       "UPDATE credentials SET status = 'retrying', next_at = $3, reason = NULL, reason_text = NULL"
       " WHERE workspace = $1 AND id = $2 AND status = 'restored'");
GD_SQL(sql_mark, "INSERT INTO meta (name, value) VALUES ('restored', $1) ON CONFLICT (name) DO UPDATE SET"
                 " value = excluded.value");

/* ---- a store that must not be worked with at all ---- */

static int unfinished(const json_t *mark, struct gd_err *err)
{
    const char *from = gd_json_text(mark, "from", NULL);

    if (from)
        return gd_err_set(err, GD_R_STORE_UNFINISHED,
                          "the move from %s into this store has not ended: set `store` back to the old one, "
                          "and either go on with it or run grantd --migrate-to with this one",
                          from);
    return gd_err_set(err, GD_R_STORE_UNFINISHED,
                      "the restore of backup %s into this store has not ended: run grantd --restore again",
                      gd_json_text(mark, "id", ""));
}

static int refuse_one(struct gd_store *s, struct gd_err *err)
{
    json_t *arriving = NULL, *moved = NULL;
    int rc = gd_mark_read(s, GD_MARK_ARRIVING, &arriving, err);

    if (rc == 0)
        rc = gd_mark_read(s, GD_MARK_MOVED, &moved, err);
    if (rc == 0 && moved)
        rc = gd_err_set(err, GD_R_STORE_MOVED, "what was in this store lives in %s since %s",
                        gd_json_text(moved, "to", "another one"), gd_json_text(moved, "at", "then"));
    else if (rc == 0 && arriving)
        rc = unfinished(arriving, err);
    json_decref(arriving);
    json_decref(moved);
    return rc;
}

int gd_restored_refuse(struct gd_store *keys, struct gd_store *data, struct gd_err *err)
{
    return refuse_one(keys, err) < 0 ? -1 : refuse_one(data, err);
}

/* ---- blocking, at start ---- */

/* What is found out between the keys and the index; gd_broker.restoring while it lasts. */
struct gd_restoring {
    json_t *mark;  /* what is to be said in the store; NULL: nothing is wrong */
    bool backup;   /* it was restored by an operator, who knows why */
    bool in_doubt; /* commits may be gone, whether or not anything tells which */
    bool covered;  /* the store knew a record of the spool: it lacks nothing that the spool does not have */
    json_t *back;  /* [{"workspace","cred"}]: answers that the spool brought back */
};

struct step {
    struct gd_broker *b;
    bool done, failed;
    struct gd_err *err;
    const struct gd_witnessed *seen;
    bool known;
    int64_t held;
};

static void run(struct step *s, bool write, struct gd_tx *tx, gd_tx_fn *fn)
{
    s->done = false;
    if (write)
        gd_store_commit(s->b->d.store, tx, fn, s);
    else
        gd_store_read(s->b->d.store, tx, fn, s);
    while (!s->done)
        uv_run(s->b->d.loop, UV_RUN_ONCE);
}

static bool step_failed(struct step *s, enum gd_store_result r, const struct gd_err *err)
{
    s->done = true;
    s->failed = r != GD_STORE_OK;
    if (s->failed && err && s->err)
        *s->err = *err;
    return s->failed;
}

static void on_looked(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct step *s = arg;

    if (!step_failed(s, r, err))
        s->known =
            gd_tx_int(tx, 0, 0, 0) > 0 || (gd_tx_rows(tx, 1) && gd_tx_int(tx, 1, 0, 0) >= s->seen->gen);
}

/* The store knows what this node last saw committed. */
static int look(struct step *s, const struct gd_witnessed *seen)
{
    struct gd_tx *tx = gd_tx_new(s->b->d.store);

    s->seen = seen;
    gd_tx_add(tx, &sql_known_version, GD_P_TEXT(seen->workspace), GD_P_TEXT(seen->attempt));
    gd_tx_add(tx, &sql_known_cred, GD_P_TEXT(seen->workspace), GD_P_TEXT(seen->cred));
    run(s, false, tx, on_looked);
    return s->failed ? -1 : 0;
}

static void on_held(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct step *s = arg;

    if (!step_failed(s, r, err))
        s->held = gd_tx_changes(tx, 0);
}

static void tell(struct gd_broker *b, const json_t *mark, int64_t held)
{
    GD_AUTO_JSON data = json_deep_copy(mark);
    struct gd_audit_entry e = {
        .act = "store.restored", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };

    json_object_set_new(data, "credentials", json_integer((json_int_t)held));
    e.data = data;
    gd_audit_write(b->d.audit, &e, NULL, NULL);
    GD_LOG(b->d.log, GD_LOG_WARN, "store.restored", GD_F_STR("why", gd_json_text(mark, "why", "")),
           GD_F_INT("held", held),
           GD_F_STR("text", "credentials that may have been spent since are not renewed until somebody "
                            "decides: grantctl store doubts"));
}

static void add_released(struct gd_broker *b, struct gd_tx *tx, const json_t *back)
{
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)back, i, one)
        gd_tx_add(tx, &sql_release, GD_P_TEXT(gd_json_text(one, "workspace", "")),
                  GD_P_TEXT(gd_json_text(one, "cred", "")), GD_P_INT(gd_now(b->d.clock)));
}

static void on_advanced(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    (void)tx;
    (void)step_failed(arg, r, err);
}

/* Whether or not it is known that commits were lost: another node may have gone on meanwhile, so that nothing
 * of what this one looks at tells of it; and have been refused with an older token, so that it asks for a
 * consent. Where nothing was lost no answer is newer than all that is there. */
static int advance(struct gd_broker *b, const struct gd_restoring *g, struct gd_err *err)
{
    struct step s = { .b = b, .err = err };
    GD_AUTO_JSON seen = json_object();
    struct gd_tx *tx;
    json_t *one;
    size_t i;

    if (json_array_size(g->back) == 0)
        return 0;
    tx = gd_tx_new(b->d.store);
    json_array_foreach(g->back, i, one)
    {
        const char *ws = gd_json_text(one, "workspace", ""), *cred = gd_json_text(one, "cred", "");
        GD_AUTO_FREE char *name = gd_strf("%s %s", ws, cred);

        if (json_object_get(seen, name))
            continue;
        json_object_set_new(seen, name, json_true());
        gd_tx_add(tx, &sql_advance, GD_P_TEXT(ws), GD_P_TEXT(cred), GD_P_INT(gd_now(b->d.clock)));
        gd_tx_news(tx, ws, cred);
        gd_tx_add(tx, &sql_advance_times, GD_P_TEXT(ws), GD_P_TEXT(cred));
        gd_tx_add(tx, &sql_advance_old, GD_P_TEXT(ws), GD_P_TEXT(cred));
        gd_tx_add(tx, &sql_advance_new, GD_P_TEXT(ws), GD_P_TEXT(cred));
    }
    run(&s, true, tx, on_advanced);
    return s.failed ? -1 : 0;
}

/* Holds what is in doubt, and says in the store that this was done: one transaction. */
static int hold(struct gd_broker *b, const struct gd_restoring *g, struct gd_err *err)
{
    struct step s = { .b = b, .err = err };
    struct gd_tx *tx = gd_tx_new(b->d.store);
    GD_AUTO_FREE char *text = NULL;

    json_object_set_new(g->mark, "held", json_true());
    text = gd_json_dump(g->mark);
    gd_tx_add(tx, &sql_hold, GD_P_INT(GD_NEVER_DUE), GD_P_INT(GRANTD_RETRY_NONE),
              GD_P_INT(GRANTD_RETRY_OVERLAP));
    if (!g->backup) /* a spool that lies beside a restored backup may be an old one, too */
        add_released(b, tx, g->back);
    gd_tx_add(tx, &sql_mark, GD_P_TEXT(text));
    for (unsigned i = 0; i < b->nworkspaces; i++)
        gd_event_add(b->d.events, tx, b->workspaces[i], "store.restored", gd_json_text(g->mark, "why", ""),
                     g->mark);
    run(&s, true, tx, on_held);
    if (s.failed)
        return -1;
    gd_witness_clear(b->witness); /* from here it is this state that is watched */
    tell(b, g->mark, s.held);
    return 0;
}

/* In commit order everything up to a record that the store knows is in the store, everything behind it in the
 * spool: nothing is missing. */
static void caught_up(struct gd_broker *b, const struct gd_restoring *g)
{
    struct gd_audit_entry e = { .act = "store.caught_up",
                                .phase = "done",
                                .outcome = "ok",
                                .uid = -1,
                                .gid = -1,
                                .pid = -1,
                                .data = g->mark };

    gd_witness_clear(b->witness);
    gd_audit_write(b->d.audit, &e, NULL, NULL);
    GD_LOG(b->d.log, GD_LOG_WARN, "store.caught_up", GD_F_INT("answers", (int64_t)json_array_size(g->back)),
           GD_F_STR("text", "the store had lost commits; the spool had all of them"));
}

static int find_out(struct gd_broker *b, struct gd_restoring *g, struct gd_err *err)
{
    struct step s = { .b = b, .err = err };
    GD_AUTO_JSON mark = NULL;
    struct gd_witnessed seen;
    bool told;

    if (gd_mark_read(b->d.store, GD_MARK_RESTORED, &mark, err) < 0)
        return -1;
    g->backup = mark && !gd_json_bool(mark, "held", false);
    if (g->backup)
        g->mark = json_incref(mark);
    told = gd_witness_set_back(b->witness);
    g->in_doubt = told || g->backup || gd_nodes_behind(b->d.nodes);
    if (g->backup)
        return 0;
    if (!gd_witness_get(b->witness, &seen)) {
        if (told) /* nothing of it was an answer */
            gd_witness_clear(b->witness);
        return 0;
    }
    if (!told && look(&s, &seen) < 0)
        return -1;
    if (!told && (s.known || (mark && seen.at < gd_json_i64(mark, "at", 0)))) /* what was lost is decided */
        return 0;
    g->mark = json_pack("{s:s, s:I, s:s, s:s, s:I}", "why", "set_back", "at", (json_int_t)gd_now(b->d.clock),
                        "credential", seen.cred, "attempt", seen.attempt, "seen_at", (json_int_t)seen.at);
    return 0;
}

void gd_broker_set_back(struct gd_broker *b)
{
    gd_witness_note_set_back(b->witness);
}

void gd_restored_lost(struct gd_broker *b, const char *cred, const char *attempt)
{
    if (!b->restoring->mark)
        b->restoring->mark =
            json_pack("{s:s, s:I, s:s, s:s}", "why", "set_back", "at", (json_int_t)gd_now(b->d.clock),
                      "credential", cred, "attempt", attempt);
}

bool gd_restored_in_doubt(const struct gd_broker *b)
{
    return b->restoring->in_doubt || b->restoring->mark;
}

int gd_restored_begin(struct gd_broker *b, struct gd_err *err)
{
    b->restoring = gd_new(sizeof *b->restoring);
    b->restoring->back = json_array();
    return find_out(b, b->restoring, err);
}

void gd_restored_spooled(struct gd_broker *b, const char *workspace, const char *cred, const char *attempt,
                         bool known)
{
    b->restoring->covered |= known;
    if (!known && *attempt)
        json_array_append_new(b->restoring->back,
                              json_pack("{s:s, s:s}", "workspace", workspace, "cred", cred));
}

int gd_restored_end(struct gd_broker *b, struct gd_err *err)
{
    struct gd_restoring *g = b->restoring;
    int rc = advance(b, g, err);

    if (rc == 0 && g->mark && !g->backup && g->covered)
        caught_up(b, g);
    else if (rc == 0 && g->mark)
        rc = hold(b, g, err);
    json_decref(g->mark);
    json_decref(g->back);
    gd_free(g);
    b->restoring = NULL;
    return rc;
}
