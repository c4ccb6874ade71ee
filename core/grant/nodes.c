/* grant/nodes.c - the nodes as callers see them: listed, and given up when one will not come back. */
#include "grant/peers.h"

#include <string.h>

/* What waited for that node's spool is asked for again, by whoever comes first; of a server that may end
 * everything not before the access token is over ($3: how far clocks may be apart). */
GD_SQL(sql_forget, "DELETE FROM nodes WHERE name = $1 AND state = 'gone'");
GD_SQL(sql_doubts,
       "UPDATE credentials SET next_at = CASE WHEN retry_class <> $4 AND expires_at + $3 > gd_now()"
       " THEN expires_at + $3 ELSE gd_now() END, reason_text = 'the node that may have held the answer was "
       "given up' WHERE status = 'uncertain' AND next_at = $2 AND EXISTS (SELECT 1 FROM intents i"
       " WHERE i.workspace = credentials.workspace AND i.credential_id = credentials.id"
       " AND substr(i.node, 1, length($1) + 1) = $1 || '.')"
       " AND NOT EXISTS (SELECT 1 FROM nodes WHERE name = $1) RETURNING workspace, id");
GD_SQL(sql_intents, "DELETE FROM intents WHERE substr(node, 1, length($1) + 1) = $1 || '.'"
                    " AND NOT EXISTS (SELECT 1 FROM nodes WHERE name = $1)");
GD_SQL(sql_there, "SELECT state FROM nodes WHERE name = $1");

void gd_node_list(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                  void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    GD_AUTO_JSON all = gd_nodes_status(b->d.nodes);

    gd_call_done(c, json_pack("{s:s, s:O}", "this", b->node, "nodes", json_object_get(all, "nodes")));
}

/* Those that were woken are told to everybody, this node among them. */
static void tell(struct gd_broker *b, const struct gd_tx *tx)
{
    struct gd_tx *news = gd_tx_new(b->d.store);

    for (size_t i = 0; i < gd_tx_rows(tx, 1); i++) {
        gd_tx_news(news, gd_tx_text(tx, 1, i, 0), gd_tx_text(tx, 1, i, 1));
        gd_peers_changed(b, gd_tx_text(tx, 1, i, 0), gd_tx_text(tx, 1, i, 1));
    }
    gd_tx_add(news, &sql_there, GD_P_TEXT(b->node));
    gd_store_commit(b->d.store, news, NULL, NULL);
}

static void on_forgotten(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_changes(tx, 0) == 0 && gd_tx_rows(tx, 3) > 0) {
        gd_call_fail(c, GD_R_NODE_ALIVE,
                     "node %s is alive, or was until a moment ago; stop it first, or wait until the others "
                     "have taken over",
                     gd_param(c, "node"));
        return;
    }
    if (gd_tx_changes(tx, 0) == 0) {
        gd_call_fail(c, GD_R_NODE_UNKNOWN, "no node %s is in the store", gd_param(c, "node"));
        return;
    }
    tell(c->b, tx);
    gd_call_done(c, json_pack("{s:s, s:I}", "node", gd_param(c, "node"), "credentials",
                              (json_int_t)gd_tx_rows(tx, 1)));
}

void gd_node_forget(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                    void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const char *name = gd_param(c, "node");
    struct gd_tx *tx;

    if (!strcmp(name, b->node)) {
        gd_call_fail(c, GD_R_NODE_ALIVE, "node %s is the one that you are talking to", name);
        return;
    }
    tx = gd_tx_new(b->d.store);
    gd_tx_add(tx, &sql_forget, GD_P_TEXT(name));
    gd_tx_add(tx, &sql_doubts, GD_P_TEXT(name), GD_P_INT(GD_NEVER_DUE), GD_P_INT(b->plan.skew_ms),
              GD_P_INT(GRANTD_RETRY_STRICT));
    gd_tx_add(tx, &sql_intents, GD_P_TEXT(name));
    gd_tx_add(tx, &sql_there, GD_P_TEXT(name));
    gd_store_commit(b->d.store, tx, on_forgotten, c);
}
