/* grant/erase.c - forgetting a client. What it gave is sealed under its data key: destroying the key is the
 * erasure, the rest is what stands in the clear. Nothing is forgotten that may still stand at a platform:
 * grants, credentials and flows that have opened something there come to their end first. Two databases
 * cannot change as one, so the order is: the intent ("erasing", durable; nothing new begins from here), the
 * key and a tombstone in its place, everything that names the client, no copy in files and logs, and only
 * then "erased". Every step may be done again; what a crash interrupts, and what a restored backup brings
 * back, the next start finishes (load.c). */
#include "base/fault.h"
#include "grant/erased.h"
#include "grant/exchange.h"

#include <string.h>

#define CLIENT_ERASING \
    " AND EXISTS (SELECT 1 FROM clients WHERE workspace = $1 AND id = $2 AND state = 'erasing')"
#define ITS_REQUESTS "(SELECT id FROM requests WHERE workspace = $1 AND client_id = $2)"
#define ITS_CREDS    "(SELECT id FROM credentials WHERE workspace = $1 AND client_id = $2)"
#define ITS_GRANTS   "(SELECT id FROM grants WHERE workspace = $1 AND client_id = $2)"
/* What was told of any of it may name what the client gave. */
#define ITS_OWN                                                                     \
    "(SELECT id FROM grants WHERE workspace = $1 AND client_id = $2"                \
    " UNION ALL SELECT id FROM requests WHERE workspace = $1 AND client_id = $2"    \
    " UNION ALL SELECT id FROM credentials WHERE workspace = $1 AND client_id = $2" \
    " UNION ALL SELECT $2)"
#define OPENED "status IN ('pending', 'waiting') AND notes IS NOT NULL"

GD_SQL(sql_mark,
       "UPDATE clients SET state = 'erasing', updated_at = $4, worker = $5 WHERE workspace = $1 AND id = $2"
       " AND (state = 'erasing' OR (state NOT IN ('erased', 'hub') AND name = $3))"
       " AND NOT EXISTS (SELECT 1 FROM grants WHERE workspace = $1 AND client_id = $2"
       " AND lifecycle IN ('confirming', 'live', 'ending'))"
       " AND NOT EXISTS (SELECT 1 FROM credentials WHERE workspace = $1 AND client_id = $2 AND "
       "status <> 'revoked')"
       " AND NOT EXISTS (SELECT 1 FROM flows WHERE workspace = $1 AND client_id = $2 AND (status IN "
       "('exchanging', 'left') OR (" OPENED ")))");
GD_SQL(sql_mark_again,
       "UPDATE clients SET state = 'erasing', updated_at = $3, worker = $4 WHERE workspace = $1 AND id = $2");

/* With the intent, and once more with the rest, for what was being made at that moment. */
GD_SQL(sql_requests, "UPDATE requests SET state = 'cancelled', message = NULL WHERE workspace = $1"
                     " AND client_id = $2" CLIENT_ERASING);
GD_SQL(sql_items, "UPDATE items SET state = CASE WHEN state IN ('open', 'started', 'waiting', 'declined')"
                  " THEN 'cancelled' ELSE state END, asset = NULL, scope = NULL, expect_account = NULL,"
                  " flow_id = NULL, steps = NULL, params = NULL, problems = NULL, reason = NULL, reason_text "
                  "= NULL, next_look_at = 0,"
                  " updated_at = $3 WHERE workspace = $1 AND request_id IN " ITS_REQUESTS CLIENT_ERASING);
GD_SQL(sql_links, "UPDATE links SET ended_at = COALESCE(ended_at, $3) WHERE workspace = $1"
                  " AND request_id IN " ITS_REQUESTS CLIENT_ERASING);
GD_SQL(sql_codes, "DELETE FROM codes WHERE workspace = $1 AND client_id = $2" CLIENT_ERASING);
GD_SQL(sql_code_sessions, "DELETE FROM code_sessions WHERE workspace = $1 AND client_id = $2" CLIENT_ERASING);
GD_SQL(sql_flow_parts, "DELETE FROM flow_parts WHERE workspace = $1 AND flow_id IN (SELECT id FROM flows"
                       " WHERE workspace = $1 AND client_id = $2)" CLIENT_ERASING);
GD_SQL(sql_flows, "DELETE FROM flows WHERE workspace = $1 AND client_id = $2" CLIENT_ERASING);

GD_SQL(sql_keys, "DELETE FROM data_keys WHERE workspace = $1 AND client_id = $2 AND state <> 'erased'");
GD_SQL(sql_tombstone,
       "INSERT INTO data_keys (workspace, client_id, id, state, kek, wrapped, created_at)"
       " VALUES ($1, $2, 'erased', 'erased', '', $3, $4) ON CONFLICT (workspace, client_id, id) DO NOTHING");

GD_SQL(sql_versions,
       "DELETE FROM token_versions WHERE workspace = $1 AND credential_id IN " ITS_CREDS CLIENT_ERASING);
GD_SQL(sql_intents,
       "DELETE FROM intents WHERE workspace = $1 AND credential_id IN " ITS_CREDS CLIENT_ERASING);
GD_SQL(sql_creds,
       "UPDATE credentials SET status = 'revoked', account_id = NULL, account_name = NULL, scope = NULL,"
       " current_attempt = NULL, reason = NULL, reason_text = NULL, lease_owner = NULL, next_at = $3"
       " WHERE workspace = $1 AND client_id = $2" CLIENT_ERASING " RETURNING id");
GD_SQL(sql_surfaces,
       "UPDATE surfaces SET ref = NULL, note = NULL WHERE workspace = $1 AND grant_id IN " ITS_GRANTS
           CLIENT_ERASING);
GD_SQL(sql_events,
       "UPDATE events SET data = NULL WHERE workspace = $1 AND data IS NOT NULL AND subject IN " ITS_OWN
           CLIENT_ERASING);
GD_SQL(sql_grants,
       "UPDATE grants SET lifecycle = 'erased', asset_id = NULL, asset_kind = NULL, asset_name = NULL,"
       " asset_parent = NULL, account_id = NULL, params = NULL, warnings = NULL, observed = NULL, ordered = "
       "NULL, reason = "
       "'CLIENT_ERASED', "
       "reason_text = NULL, ended_at = COALESCE(ended_at, $3)"
       " WHERE workspace = $1 AND client_id = $2" CLIENT_ERASING " RETURNING id");
GD_SQL(sql_client,
       "UPDATE clients SET name = 'erased', email = NULL, locale = NULL, updated_at = $3 WHERE workspace = $1"
       " AND id = $2 AND state = 'erasing'");

GD_SQL(sql_end, "UPDATE clients SET state = 'erased', updated_at = $3 WHERE workspace = $1 AND id = $2"
                " AND state = 'erasing'");

/* Why it was refused. */
GD_SQL(sql_see, "SELECT state, name FROM clients WHERE workspace = $1 AND id = $2 AND state <> 'hub'");
GD_SQL(sql_see_grants, "SELECT id FROM grants WHERE workspace = $1 AND client_id = $2"
                       " AND lifecycle IN ('confirming', 'live', 'ending') ORDER BY id");
GD_SQL(sql_see_creds, "SELECT COUNT(*) FROM credentials WHERE workspace = $1 AND client_id = $2"
                      " AND status <> 'revoked'");
GD_SQL(sql_see_flows, "SELECT request_id FROM flows WHERE workspace = $1 AND client_id = $2 AND " OPENED);
GD_SQL(sql_see_left, "SELECT id FROM flows WHERE workspace = $1 AND client_id = $2 AND status = 'left'");

struct erasing {
    struct gd_broker *b;
    struct gd_call *call; /* NULL: resumed */
    bool marked;          /* its end has begun: it is gone on with whatever fails */
    char *workspace, *client;
    size_t creds, grants; /* statements that tell what it had */
    json_t *had;          /* the others hear of it: a database that was set back had forgotten its end */
};

static void on_marked(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_key_gone(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_wiped(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_keys_scrubbed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_scrubbed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_erased(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

static struct erasing *erasing_new(struct gd_broker *b, const char *workspace, const char *client)
{
    struct erasing *x = gd_new(sizeof *x);

    x->b = b;
    x->had = json_array();
    x->workspace = gd_strdup(workspace);
    x->client = gd_strdup(client);
    gd_busy(b, 1);
    return x;
}

/* The call is whoever's: ended by the caller. */
static void erasing_free(struct erasing *x)
{
    struct gd_broker *b = x->b;

    gd_free(x->workspace);
    gd_free(x->client);
    json_decref(x->had);
    gd_free(x);
    gd_busy(b, -1);
}

/* True when the step failed: then the erasing has ended for now. The client stays "erasing", and the next
 * sweep goes on. */
static bool failed(struct erasing *x, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_err e = { .reason = GD_R_STORE_FAILED };
    struct gd_call *c = x->call;

    if (r == GD_STORE_OK)
        return false;
    (void)snprintf(e.text, sizeof e.text, "the erasing is not finished, ask for it again: %.120s",
                   err ? err->text : "the store failed");
    GD_LOG(x->b->d.log, GD_LOG_ERROR, "erase.failed", GD_F_STR("client", x->client), GD_F_ERR(&e));
    if (x->marked)
        gd_ending_note(x->b, x->workspace, x->client);
    erasing_free(x);
    if (c)
        gd_call_error(c, &e);
    return true;
}

#define WHO GD_P_TEXT(x->workspace), GD_P_TEXT(x->client)

static void add_close(const struct erasing *x, struct gd_tx *tx, int64_t now)
{
    gd_tx_news(tx, x->workspace, x->client);
    gd_tx_add(tx, &sql_items, WHO, GD_P_INT(now));
    gd_tx_add(tx, &sql_links, WHO, GD_P_INT(now));
    gd_tx_add(tx, &sql_requests, WHO);
    gd_tx_add(tx, &sql_flow_parts, WHO);
    gd_tx_add(tx, &sql_flows, WHO);
    gd_tx_add(tx, &sql_codes, WHO);
    gd_tx_add(tx, &sql_code_sessions, WHO);
}

void gd_client_erase(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct erasing *x = erasing_new(b, c->workspace, gd_param(c, "client"));
    struct gd_tx *tx = gd_tx_new(b->d.store);
    int64_t now = gd_now(b->d.clock);

    x->call = c;
    gd_client_hold(tx, x->workspace, x->client);
    gd_tx_add(tx, &sql_mark, WHO, GD_P_TEXT(gd_param(c, "name")), GD_P_INT(now),
              GD_P_TEXT(gd_nodes_worker(b->d.nodes)));
    add_close(x, tx, now);
    gd_store_commit(b->d.store, tx, on_marked, x);
}

void gd_erase_resume(struct gd_broker *b, const char *workspace, const char *client)
{
    struct erasing *x = erasing_new(b, workspace, client);
    struct gd_tx *tx = gd_tx_new(b->d.store);
    int64_t now = gd_now(b->d.clock);

    GD_LOG(b->d.log, GD_LOG_WARN, "erase.resumed", GD_F_STR("client", client));
    x->marked = true;
    gd_tx_add(tx, &sql_mark_again, WHO, GD_P_INT(now), GD_P_TEXT(gd_nodes_worker(b->d.nodes)));
    add_close(x, tx, now);
    gd_store_commit(b->d.store, tx, on_marked, x);
}

/* ---- refused ---- */

static void refuse_grants(struct gd_call *c, const struct gd_tx *tx)
{
    size_t n = gd_tx_rows(tx, 1);

    gd_call_fail(c, GD_R_CLIENT_HAS_GRANTS, "%zu %s not ended (%s%s); revoke first: grantctl grant revoke", n,
                 n == 1 ? "grant is" : "grants are", gd_tx_text(tx, 1, 0, 0), n == 1 ? "" : ", ...");
}

/* What a request that is over has opened is being closed; where that stood still it goes on. */
static void refuse_left(struct gd_call *c, const struct gd_tx *tx)
{
    gd_flow_close_left(c->b, tx, 4, c->workspace);
    gd_call_fail(c, GD_R_CONFLICT,
                 "what was begun for a cancelled request is still being closed at the platform; try again in "
                 "a minute");
}

static void on_seen(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    const char *name = gd_param(c, "name");

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0)
        gd_call_fail(c, GD_R_NOT_FOUND, "no client of that id is visible to you");
    else if (!strcmp(gd_tx_text(tx, 0, 0, 0), "erased"))
        gd_client_reply(c, gd_param(c, "client")); /* long ago: as it was asked */
    else if (strcmp(gd_tx_text(tx, 0, 0, 1), name) != 0)
        gd_call_fail(c, GD_R_CLIENT_NAME_MISMATCH, "this is not the client's name; nothing was erased");
    else if (gd_tx_rows(tx, 1) > 0)
        refuse_grants(c, tx);
    else if (gd_tx_int(tx, 2, 0, 0) > 0)
        gd_call_fail(
            c, GD_R_CLIENT_HAS_GRANTS,
            "a token of this client is still being revoked, or an open request goes on with it: `grantctl "
            "request cancel`");
    else if (gd_tx_rows(tx, 3) > 0)
        gd_call_fail(c, GD_R_CLIENT_HAS_GRANTS,
                     "something was begun at a platform for the open request %s; cancel it first: `grantctl "
                     "request cancel`",
                     gd_tx_text(tx, 3, 0, 0));
    else if (gd_tx_rows(tx, 4) > 0)
        refuse_left(c, tx);
    else
        gd_call_fail(c, GD_R_CONFLICT, "the client is approving something right now; try again in a minute");
}

static void explain(struct erasing *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    gd_tx_add(tx, &sql_see, WHO);
    gd_tx_add(tx, &sql_see_grants, WHO);
    gd_tx_add(tx, &sql_see_creds, WHO);
    gd_tx_add(tx, &sql_see_flows, WHO);
    gd_tx_add(tx, &sql_see_left, WHO);
    gd_store_read(x->b->d.store, tx, on_seen, x->call);
    erasing_free(x);
}

/* ---- the steps ---- */

static void on_marked(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct erasing *x = arg;
    struct gd_broker *b = x->b;
    struct gd_tx *keys;

    if (failed(x, r, err))
        return;
    if (x->call && gd_tx_changes(tx, 1) == 0) {
        explain(x);
        return;
    }
    x->marked = true;
    /* From here on nothing can be sealed or opened for it in this process. */
    gd_keyring_forget(b->d.keyring, x->workspace, x->client);
    keys = gd_tx_new(b->d.keys);
    gd_tx_add(keys, &sql_keys, WHO);
    gd_tx_add(keys, &sql_tombstone, WHO, GD_P_BYTES("", 0), GD_P_INT(gd_now(b->d.clock)));
    gd_tx_news(keys, x->workspace, x->client);
    gd_store_commit(b->d.keys, keys, on_key_gone, x);
}

static void on_key_gone(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct erasing *x = arg;
    struct gd_broker *b = x->b;
    struct gd_tx *w;
    int64_t now = gd_now(b->d.clock);

    (void)tx;
    if (failed(x, r, err))
        return;
    gd_keyring_forget(b->d.keyring, x->workspace, x->client); /* one that was made between the two */
    gd_erased_note(b->erased, x->workspace, x->client);
    gd_erased_sync(b->erased);
    (void)GD_FAULT("F29");
    w = gd_tx_new(b->d.store);
    add_close(x, w, now);
    gd_tx_add(w, &sql_versions, WHO);
    gd_tx_add(w, &sql_intents, WHO);
    x->creds = gd_tx_add(w, &sql_creds, WHO, GD_P_INT(GD_NEVER_DUE));
    gd_tx_add(w, &sql_surfaces, WHO);
    gd_tx_add(w, &sql_events, WHO);
    x->grants = gd_tx_add(w, &sql_grants, WHO, GD_P_INT(now));
    gd_tx_add(w, &sql_client, WHO, GD_P_INT(now));
    gd_store_commit(b->d.store, w, on_wiped, x);
}

static void keep_ids(const struct erasing *x, const struct gd_tx *tx, size_t stmt)
{
    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++)
        json_array_append_new(x->had, json_string(gd_tx_text(tx, stmt, i, 0)));
}

static void on_wiped(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct erasing *x = arg;

    if (failed(x, GD_FAULT("F30") ? GD_STORE_FAILED : r, err))
        return;
    keep_ids(x, tx, x->creds);
    keep_ids(x, tx, x->grants);
    gd_store_scrub(x->b->d.keys, on_keys_scrubbed, x);
}

static void on_keys_scrubbed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct erasing *x = arg;

    (void)tx;
    if (!failed(x, r, err))
        gd_store_scrub(x->b->d.store, on_scrubbed, x);
}

static void on_scrubbed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct erasing *x = arg;
    struct gd_tx *w;
    json_t *id;
    size_t i;

    (void)tx;
    if (failed(x, r, err))
        return;
    w = gd_tx_new(x->b->d.store);
    json_array_foreach(x->had, i, id) gd_tx_news(w, x->workspace, json_string_value(id));
    gd_tx_add(w, &sql_end, WHO, GD_P_INT(gd_now(x->b->d.clock)));
    gd_event_add(x->b->d.events, w, x->workspace, "client.erased", x->client, NULL);
    gd_store_commit(x->b->d.store, w, on_erased, x);
}

static void on_erased(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct erasing *x = arg;
    struct gd_call *c = x->call;

    (void)tx;
    if (failed(x, r, err))
        return;
    gd_events_wake(x->b->d.events);
    GD_LOG(x->b->d.log, GD_LOG_INFO, "erase.done", GD_F_STR("client", x->client));
    erasing_free(x);
    if (c)
        gd_client_reply(c, gd_param(c, "client"));
}
