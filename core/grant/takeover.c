/* grant/takeover.c - what a worker that is gone left half done: an earlier process of this node, or a node
 * whose lease is over. Flows go on or are open again, refreshes that may have been spent are doubts, closings
 * and erasings are taken over. One way for the start and for the death of a neighbour; doing it twice changes
 * nothing. Two commits: what is claimed, then the doubts, and with these the burial: who dies in between
 * leaves a node that is still to be settled, and another one does it all again. */
#include "base/fault.h"
#include "grant/peers.h"

#include <string.h>

/* $1 to $3: who is gone. What has a credential, or waited before, goes on with it, at once; the rest is open
 * again. */
GD_SQL(
    sql_items_resumed,
    "UPDATE items SET state = 'waiting', next_look_at = $4 WHERE workspace IN (SELECT workspace FROM clients)"
    " AND state IN ('started', 'waiting') AND EXISTS"
    " (SELECT 1 FROM flows f WHERE f.workspace = items.workspace AND f.id = items.flow_id"
    " AND f.status = 'exchanging' AND (f.credential_id IS NOT NULL"
    " OR (f.outcome = 'waiting' AND f.notes IS NOT NULL)) AND " GD_NODES_GONE("f.worker") ")");
GD_SQL(sql_flows_waiting,
       "UPDATE flows SET status = 'waiting', outcome = 'waiting' WHERE status = 'exchanging'"
       " AND (outcome = 'waiting' OR credential_id IS NOT NULL) AND " GD_NODES_GONE("worker"));
/* What a run without a credential has noted: nobody goes on with it, what it opened is closed (settle.c). */
GD_SQL(sql_flows_broken, "UPDATE flows SET status = 'left', outcome = 'failed', reason = $4,"
                         " closing_until = gd_now() + $5,"
                         " reason_text = 'grantd was stopped while the platform was being asked'"
                         " WHERE status = 'exchanging' AND outcome IS NULL AND notes IS NOT NULL"
                         " AND " GD_NODES_GONE("worker"));
GD_SQL(sql_flows_interrupted, "UPDATE flows SET status = 'failed', outcome = 'failed', reason = $4,"
                              " reason_text = 'grantd was stopped while the platform was being asked'"
                              " WHERE status = 'exchanging' AND outcome IS NULL"
                              " AND " GD_NODES_GONE("worker"));
/* What was taken back or begun anew while it was run. */
GD_SQL(
    sql_flows_left,
    "UPDATE flows SET status = 'left', closing_until = gd_now() + $4 WHERE status IN ('pending', 'waiting')"
    " AND (credential_id IS NOT NULL OR notes IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM items i"
    " WHERE i.workspace = flows.workspace AND i.request_id = flows.request_id AND i.flow_id = flows.id"
    " AND i.state IN ('started', 'waiting')) AND " GD_NODES_GONE("worker"));
GD_SQL(sql_left, "UPDATE flows SET worker = $1 WHERE status = 'left' AND " GD_NODES_GONE(
                     "worker") " RETURNING workspace, id");
GD_SQL(sql_closings, "UPDATE grants SET worker = $1, closing_until = gd_now() + $4 WHERE lifecycle = "
                     "'ending' AND " GD_NODES_GONE("worker") " RETURNING workspace, id");
GD_SQL(sql_erasings, "UPDATE clients SET worker = $1 WHERE state = 'erasing' AND " GD_NODES_GONE(
                         "worker") " RETURNING workspace, id");
GD_SQL(sql_intents,
       "SELECT i.workspace, i.attempt_id, i.credential_id, i.created_at, i.node, c.retry_class,"
       " c.retry_grace_ms, c.expires_at, c.issued_at FROM intents i JOIN credentials c"
       " ON c.workspace = i.workspace AND c.id = i.credential_id WHERE c.status IN ('current', 'retrying',"
       " 'uncertain') AND " GD_NODES_GONE("i.node"));
/* Once for each lease; again by the node itself when it is back, whose spool has been read by then. */
GD_SQL(sql_doubt,
       "UPDATE credentials SET status = $1, next_at = $2, lease_owner = NULL, lease_until = 0, reason = $3,"
       " reason_text = $4 WHERE workspace = $5 AND id = $6 AND status IN ('current', 'retrying', 'uncertain')"
       " AND ((lease_attempt = $7 AND lease_owner IS NOT NULL)"
       " OR ($8 = 1 AND status = 'uncertain' AND next_at = $9))");

enum { NODES, ITEMS, WAITING, BROKEN, INTERRUPTED, PARTED, LEFT, CLOSINGS, ERASINGS, INTENTS };

struct taking_over {
    struct gd_broker *b;
    gd_take_over_fn *fn;
    void *arg;
    bool bury;
    json_t *doubts;
};

static void end(struct taking_over *s, const struct gd_err *err)
{
    struct gd_broker *b = s->b;
    json_t *one;
    size_t i;

    if (err)
        GD_LOG(b->d.log, GD_LOG_ERROR, "takeover.failed", GD_F_ERR(err));
    json_array_foreach(s->doubts, i, one)
        gd_peers_changed(b, gd_json_text(one, "workspace", ""), gd_json_text(one, "cred", ""));
    json_decref(s->doubts);
    b->taking_over = false;
    if (s->fn)
        s->fn(s->arg, err);
    gd_free(s);
    gd_busy(b, -1);
}

static void on_settled(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_err e = { .reason = GD_R_STORE_FAILED };

    (void)tx;
    if (((struct taking_over *)arg)->bury)
        (void)GD_FAULT("node.buried");
    end(arg, r == GD_STORE_OK ? NULL : err ? err : &e);
}

/* What the class allows now. The answer of a strict or a family server may lie in the spool of a node that is
 * gone: nothing is presented before that node is back, or somebody gives it up. */
static void add_doubt(struct taking_over *s, struct gd_tx *to, const struct gd_tx *tx, size_t stmt,
                      size_t row)
{
    struct gd_broker *b = s->b;
    int64_t now = gd_now(b->d.clock), sent = gd_tx_int(tx, stmt, row, 3), next;
    struct gd_clocks c = { .retry_class = (uint32_t)gd_tx_int(tx, stmt, row, 5),
                           .retry_grace_ms = gd_tx_int(tx, stmt, row, 6),
                           .expires_at = gd_tx_int(tx, stmt, row, 7),
                           .issued_at = gd_tx_int(tx, stmt, row, 8) };
    const char *node = gd_tx_text(tx, stmt, row, 4), *ws = gd_tx_text(tx, stmt, row, 0),
               *cred = gd_tx_text(tx, stmt, row, 2);
    bool patient = gd_plan_is_family(&c, sent, now) || c.retry_class == GRANTD_RETRY_STRICT;
    bool mine = !gd_store_shared(b->d.store) || !strncmp(node, b->node, strlen(b->node));
    GD_AUTO_FREE char *text =
        mine ? gd_strdup("grantd was stopped while a refresh was under way")
             : gd_strf("node %.*s is gone and may hold the answer; start it again, or give it up: grantctl "
                       "node forget %.*s",
                       (int)strcspn(node, ".+"), node, (int)strcspn(node, ".+"), node);

    (void)GD_FAULT("F23");
    next = patient && !mine ? GD_NEVER_DUE : gd_plan_patience(&b->plan, &c, sent, now);
    gd_tx_add(to, &sql_doubt, GD_P_TEXT(patient ? "uncertain" : "retrying"), GD_P_INT(next),
              GD_P_TEXT(patient ? "CREDENTIAL_UNCERTAIN" : "CREDENTIAL_RETRYING"), GD_P_TEXT(text),
              GD_P_TEXT(ws), GD_P_TEXT(cred), GD_P_TEXT(gd_tx_text(tx, stmt, row, 1)), GD_P_INT(mine),
              GD_P_INT(GD_NEVER_DUE));
    gd_tx_news(to, ws, cred);
    json_array_append_new(s->doubts, json_pack("{s:s, s:s}", "workspace", ws, "cred", cred));
}

static void on_taken(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct taking_over *s = arg;
    struct gd_broker *b = s->b;
    struct gd_err e = { .reason = GD_R_STORE_FAILED };
    struct gd_tx *to;

    if (r != GD_STORE_OK) {
        end(s, err ? err : &e);
        return;
    }
    if (s->bury)
        (void)GD_FAULT("node.taken");
    for (size_t stmt = LEFT; stmt < INTENTS; stmt++)
        for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++)
            gd_buf_addf(&b->endings, "%s %s\n", gd_tx_text(tx, stmt, i, 0), gd_tx_text(tx, stmt, i, 1));
    if (gd_tx_rows(tx, INTENTS) == 0 && (!s->bury || gd_tx_rows(tx, NODES) == 0)) {
        end(s, NULL);
        return;
    }
    if (gd_tx_rows(tx, INTENTS))
        GD_LOG(b->d.log, GD_LOG_WARN, "intents.open", GD_F_INT("count", (int64_t)gd_tx_rows(tx, INTENTS)));
    to = gd_tx_new(b->d.store);
    for (size_t i = 0; i < gd_tx_rows(tx, INTENTS); i++)
        add_doubt(s, to, tx, INTENTS, i);
    if (s->bury)
        gd_nodes_bury(to, tx, NODES);
    gd_store_commit(b->d.store, to, on_settled, s);
}

void gd_take_over(struct gd_broker *b, bool bury, gd_take_over_fn *fn, void *arg)
{
    struct taking_over *s = gd_new(sizeof *s);
    const struct gd_nodes *n = b->d.nodes;
    struct gd_tx *tx = gd_tx_new(b->d.store);
    const char *word = gd_reason_word(GD_R_FLOW_INTERRUPTED);

    *s = (struct taking_over){ .b = b, .fn = fn, .arg = arg, .bury = bury, .doubts = json_array() };
    b->taking_over = true;
    gd_busy(b, 1);
    (void)gd_nodes_left(tx);
    gd_tx_add(tx, &sql_items_resumed, GD_NODES_GONE_P(n), GD_P_INT(gd_now(b->d.clock)));
    gd_tx_add(tx, &sql_flows_waiting, GD_NODES_GONE_P(n));
    gd_tx_add(tx, &sql_flows_broken, GD_NODES_GONE_P(n), GD_P_TEXT(word), GD_P_INT(gd_closing_ms(b)));
    gd_tx_add(tx, &sql_flows_interrupted, GD_NODES_GONE_P(n), GD_P_TEXT(word));
    gd_tx_add(tx, &sql_flows_left, GD_NODES_GONE_P(n), GD_P_INT(gd_closing_ms(b)));
    gd_tx_add(tx, &sql_left, GD_NODES_GONE_P(n));
    gd_tx_add(tx, &sql_closings, GD_NODES_GONE_P(n), GD_P_INT(gd_closing_ms(b)));
    gd_tx_add(tx, &sql_erasings, GD_NODES_GONE_P(n));
    gd_tx_add(tx, &sql_intents, GD_NODES_GONE_P(n));
    gd_store_commit(b->d.store, tx, on_taken, s);
}

static void on_neighbour_gone(void *arg, const struct gd_err *err)
{
    if (!err)
        gd_broker_resume(arg);
}

void gd_broker_neighbour_died(struct gd_broker *b)
{
    if (!b->taking_over && !b->draining)
        gd_take_over(b, true, on_neighbour_gone, b);
}
