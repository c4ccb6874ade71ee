/* grant/accept.c - what is in doubt since the store was set back, and an operator's word that it may be
 * tried. */
#include "grant/broker_int.h"

#include "store/backup.h"

#include <string.h>

#define DOUBTS_MAX 1000

GD_SQL(sql_doubts,
       "SELECT c.workspace, c.id, c.client_id, c.app, c.retry_class, c.expires_at, g.id, c.account_name"
       " FROM credentials c LEFT JOIN grants g ON g.workspace = c.workspace AND g.credential_id = c.id"
       " AND g.lifecycle IN ('confirming', 'live', 'ending') WHERE c.status = 'restored'"
       " AND c.workspace = $1 ORDER BY c.id, g.id LIMIT $2");
GD_SQL(sql_restored, "SELECT value FROM meta WHERE name = 'restored'");
GD_SQL(sql_of_grant,
       "SELECT c.id, c.status FROM grants g LEFT JOIN credentials c ON c.workspace = g.workspace"
       " AND c.id = g.credential_id WHERE g.workspace = $1 AND g.id = $2");
GD_SQL(sql_accept, "UPDATE credentials SET status = 'retrying', next_at = $3, attempts = 0, reason = NULL,"
                   " reason_text = NULL WHERE workspace = $1 AND id = $2 AND status = 'restored'");
GD_SQL(sql_accept_all,
       "UPDATE credentials SET status = 'retrying', next_at = $2, attempts = 0, reason = NULL,"
       " reason_text = NULL WHERE workspace = $1 AND status = 'restored'");

/* ---- store.doubts ---- */

static json_t *restored_json(const char *text)
{
    json_t *mark = text ? gd_json_parse(text, strlen(text), GD_CRED_BLOB_MAX, NULL) : NULL;
    const char *made_at = gd_json_text(mark, "made_at", NULL);
    json_t *out;

    if (!mark)
        return json_null();
    out = json_pack("{s:s, s:o, s:s?, s:o}", "why", gd_json_text(mark, "why", ""), "at",
                    gd_time_json(gd_json_i64(mark, "at", 0)), "backup", gd_json_text(mark, "id", NULL),
                    "state_of", made_at ? json_string(made_at) : json_null());
    json_decref(mark);
    return out;
}

static json_t *doubt_json(const struct gd_tx *tx, size_t row)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:o, s:s?, s:s}", "workspace",
                     gd_tx_text(tx, 0, row, 0), "credential", gd_tx_text(tx, 0, row, 1), "client",
                     gd_tx_text(tx, 0, row, 2), "app", gd_tx_text(tx, 0, row, 3), "grant",
                     gd_tx_text(tx, 0, row, 6), "retry_class",
                     gd_retry_word((uint32_t)gd_tx_int(tx, 0, row, 4)), "expires_at",
                     gd_time_json(gd_tx_int(tx, 0, row, 5)), "account", gd_tx_text(tx, 0, row, 7), "reason",
                     gd_reason_word(GD_R_CREDENTIAL_RESTORED));
}

static void on_doubts(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    json_t *list;
    size_t rows;

    if (gd_call_store_failed(c, r, err))
        return;
    rows = gd_tx_rows(tx, 0);
    list = json_array();
    for (size_t i = 0; i < rows && i < DOUBTS_MAX; i++)
        json_array_append_new(list, doubt_json(tx, i));
    gd_call_done(c, json_pack("{s:o, s:o, s:b}", "restored", restored_json(gd_tx_text(tx, 1, 0, 0)), "doubts",
                              list, "more", (int)(rows > DOUBTS_MAX)));
}

void gd_store_doubts(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    gd_tx_add(tx, &sql_doubts, GD_P_TEXT(c->workspace), GD_P_INT(DOUBTS_MAX + 1));
    gd_tx_add_(tx, &sql_restored, NULL, 0);
    gd_store_read(b->d.store, tx, on_doubts, c);
}

/* ---- accept ---- */

/* The index follows the store: the next refresh is due now. */
static void go_on(struct gd_broker *b, uint32_t n)
{
    struct gd_ix_cred *c = gd_cred_at(&b->ix, n);

    if (c->status != GD_CRED_RESTORED)
        return;
    c->status = GD_CRED_RETRYING;
    gd_cred_due(b, n, gd_now(b->d.clock));
}

static void on_accepted(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct gd_id *id = c->state;
    uint32_t n = gd_index_cred(&c->b->ix, id);

    (void)tx;
    if (gd_call_store_failed(c, r, err))
        return;
    if (n != GD_NONE)
        go_on(c->b, n);
    gd_events_wake(c->b->d.events);
    gd_grant_reply(c, gd_param(c, "grant"), NULL);
}

static void on_found(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct gd_id *id = gd_arena_alloc(c->arena, sizeof *id);
    const char *cred, *status;
    struct gd_tx *w;

    if (gd_call_store_failed(c, r, err))
        return;
    cred = gd_tx_text(tx, 0, 0, 0);
    status = gd_tx_text(tx, 0, 0, 1);
    if (gd_tx_rows(tx, 0) == 0) {
        gd_call_fail(c, GD_R_NOT_FOUND, "no grant of that id is visible to you");
        return;
    }
    if (!cred || !status || strcmp(status, "restored") != 0 || !gd_id_parse(id, "cr", cred, strlen(cred))) {
        gd_grant_reply(c, gd_param(c, "grant"), NULL); /* nothing is in doubt */
        return;
    }
    c->state = id;
    w = gd_tx_new(c->b->d.store);
    gd_tx_add(w, &sql_accept, GD_P_TEXT(c->workspace), GD_P_TEXT(cred), GD_P_INT(gd_now(c->b->d.clock)));
    gd_tx_news(w, c->workspace, cred);
    gd_event_add(c->b->d.events, w, c->workspace, "credential.retrying", cred, NULL);
    gd_store_commit(c->b->d.store, w, on_accepted, c);
}

void gd_grant_accept(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    gd_tx_add(tx, &sql_of_grant, GD_P_TEXT(c->workspace), GD_P_TEXT(gd_param(c, "grant")));
    gd_store_read(b->d.store, tx, on_found, c);
}

static void on_all_accepted(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct gd_broker *b = c->b;

    if (gd_call_store_failed(c, r, err))
        return;
    for (uint32_t i = 0; i < b->ix.creds.count; i++) {
        const struct gd_ix_client *cl = gd_client_at(&b->ix, gd_cred_at(&b->ix, i)->client);

        if (!strcmp(b->workspaces[cl->workspace], c->workspace))
            go_on(b, i);
    }
    gd_call_done(c, json_pack("{s:I}", "accepted", (json_int_t)gd_tx_changes(tx, 0)));
}

/* Who holds any of them in memory is told of each. */
static void add_news(struct gd_broker *b, struct gd_tx *tx, const char *workspace)
{
    char id[GD_ID_TEXT_MAX];

    for (uint32_t i = 0; gd_store_shared(b->d.store) && i < b->ix.creds.count; i++) {
        const struct gd_ix_cred *c = gd_cred_at(&b->ix, i);

        if (c->status != GD_CRED_RESTORED)
            continue;
        gd_id_text(id, "cr", &c->id);
        gd_tx_news(tx, workspace, id);
    }
}

void gd_store_accept(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    gd_tx_add(tx, &sql_accept_all, GD_P_TEXT(c->workspace), GD_P_INT(gd_now(b->d.clock)));
    add_news(b, tx, c->workspace);
    gd_store_commit(b->d.store, tx, on_all_accepted, c);
}
