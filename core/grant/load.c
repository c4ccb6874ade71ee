/* grant/load.c - start-up, in this order: the data keys, what the spool holds, what was
 * interrupted (takeover.c), then the index. Blocking: the loop is run until each step is durable;
 * nothing is sent to a platform. */
#include "base/fault.h"
#include "grant/about.h"
#include "grant/erased.h"
#include "grant/keys.h"
#include "grant/peers.h"

#include <string.h>

GD_SQL(sql_data_keys,
       "SELECT workspace, client_id, wrapped FROM data_keys k WHERE state = 'active' AND NOT EXISTS"
       " (SELECT 1 FROM data_keys t WHERE t.workspace = k.workspace AND t.client_id = k.client_id"
       " AND t.state = 'erased') ORDER BY created_at");
GD_SQL(sql_tombstones, "SELECT workspace, client_id FROM data_keys WHERE state = 'erased'");
GD_SQL(sql_clients, GD_CLIENT_ROW);
GD_SQL(sql_creds, GD_CRED_ROW " WHERE status <> 'revoked'");
GD_SQL(sql_grants, GD_GRANT_ROW " WHERE lifecycle IN ('confirming', 'live', 'ending')");
/* By workspace, so that the index is used: all workspaces that have anything. */
GD_SQL(sql_looks, "SELECT workspace, id, next_look_at FROM items WHERE workspace IN (SELECT workspace FROM"
                  " clients) AND state = 'waiting' AND next_look_at > 0 ORDER BY next_look_at");

GD_SQL(sql_known_grant, "SELECT COUNT(*) FROM grants WHERE workspace = $1 AND id = $2");
GD_SQL(sql_known_end, "SELECT COUNT(*) FROM flows WHERE workspace = $1 AND id = $2"
                      " AND status IN ('done', 'failed')");
GD_SQL(sql_known_version, "SELECT COUNT(*) FROM token_versions WHERE workspace = $1 AND attempt_id = $2");
/* The newest answer that the store has: the credential's own number also grows where none came, when one that
 * was refused makes room for another. */
GD_SQL(
    sql_known_cred,
    "SELECT (SELECT MAX(v.parent_gen) FROM token_versions v WHERE v.workspace = $1 AND v.credential_id = $2),"
    " status FROM credentials WHERE workspace = $1 AND id = $2");

struct loading {
    struct gd_broker *b;
    struct gd_err *err;
    bool failed, done;
    enum gd_store_result result;
    struct gd_map tombs; /* "workspace\nclient" of those whose key was destroyed */
    struct gd_buf
        again;        /* "workspace client", one a line: who is erased, and the database has forgotten it */
    struct gd_tx *tx; /* being filled by a scan */
    int64_t gen;      /* of a record of the spool */
    bool known;       /* that record is in the store, or was: */
    bool collected;   /* it is so old that it was removed */
    struct gd_about_stmts about;
    bool client_back, request_back; /* what the record in hand was about had been lost, too */
    int64_t n;
};

static void on_commit(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct loading *l = arg;

    (void)tx;
    l->done = true;
    l->result = r;
    if (r != GD_STORE_OK && err && l->err)
        *l->err = *err;
}

/* fn ends with on_commit. */
static int commit(struct loading *l, struct gd_store *store, struct gd_tx *tx, gd_tx_fn *fn)
{
    l->done = false;
    gd_store_commit(store, tx, fn, l);
    while (!l->done)
        uv_run(l->b->d.loop, UV_RUN_ONCE);
    return l->result == GD_STORE_OK ? 0 : -1;
}

/* ---- keys ---- */

static void on_data_key(void *arg, const struct gd_row *row)
{
    struct loading *l = arg;
    size_t n = 0;
    const void *wrapped = gd_row_bytes(row, 2, &n);

    if (l->failed)
        return;
    if (n != GD_WRAPPED_KEY)
        l->failed = gd_err_set(l->err, GD_R_SEAL_TAMPERED, "a data key in the keyring has %zu bytes", n) != 0;
    else
        l->failed =
            !gd_keyring_add_dek(l->b->d.keyring, gd_row_text(row, 0), gd_row_text(row, 1), wrapped, l->err);
}

/* ---- clients that were erased ---- */

static bool is_tomb(const struct loading *l, const char *workspace, const char *client)
{
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    return gd_map_get(&l->tombs, name) != NULL;
}

static void on_tombstone(void *arg, const struct gd_row *row)
{
    struct loading *l = arg;
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", gd_row_text(row, 0), gd_row_text(row, 1));

    (void)gd_map_set(&l->tombs, name, l);
    if (!l->b->erased || gd_erased_knows(l->b->erased, gd_row_text(row, 0), gd_row_text(row, 1)))
        return;
    gd_erased_note(l->b->erased, gd_row_text(row, 0), gd_row_text(row, 1));
    l->b->spool_forget = true;
}

static void on_erased(void *arg, const char *workspace, const char *client)
{
    struct loading *l = arg;
    GD_AUTO_FREE char *name = gd_strf("%s\n%s", workspace, client);

    if (gd_map_set(&l->tombs, name, l))
        return;
    gd_buf_addf(&l->again, "%s %s\n", workspace, client);
    gd_keyring_forget(l->b->d.keyring, workspace, client);
}

static void tell_erased_again(const struct loading *l, char *line)
{
    char *client = strchr(line, ' ');
    struct gd_audit_entry e = {
        .act = "client.erased_again", .phase = "done", .outcome = "ok", .uid = -1, .gid = -1, .pid = -1
    };

    *client++ = '\0';
    client[strcspn(client, "\n")] = '\0';
    e.workspace = line;
    e.client = e.subject = client;
    gd_audit_write(l->b->d.audit, &e, NULL, NULL);
    GD_LOG(l->b->d.log, GD_LOG_WARN, "client.erased_again", GD_F_STR("client", client),
           GD_F_STR("text", "the database had forgotten that this client was erased"));
}

/* Before the spool is read: what it holds of those is not brought back. */
static void take_erased(struct loading *l)
{
    gd_erased_sync(l->b->erased);
    gd_erased_each(l->b->erased, on_erased, l);
}

/* The whole of it once more, whatever the database shows of them now. */
static void erase_again(struct loading *l)
{
    struct gd_buf *to = &l->b->endings;

    for (char *line = l->again.ptr, *end; line && (end = strchr(line, '\n')); line = end + 1) {
        GD_AUTO_FREE char *one = gd_strndup(line, (size_t)(end - line) + 1);

        l->b->spool_forget = true;
        if (!to->ptr || !strstr(to->ptr, one))
            gd_buf_adds(to, one);
        tell_erased_again(l, one);
    }
}

/* True for a client that is forgotten. What of it a crash left, or a backup brought back, is erased again:
 * either database remembers it for the other. */
static bool is_erased(struct loading *l, const char *workspace, const char *client, const char *state)
{
    struct gd_broker *b = l->b;
    bool erased = !strcmp(state, "erased"), tomb = is_tomb(l, workspace, client);

    if (!erased && !tomb && strcmp(state, "erasing") != 0)
        return false;
    /* One that is being erased is taken over when its worker is gone: takeover.c. */
    if (strcmp(state, "erasing") != 0 &&
        (!erased || !tomb || gd_keyring_dek(b->d.keyring, workspace, client)))
        gd_buf_addf(&b->endings, "%s %s\n", workspace, client);
    gd_keyring_forget(b->d.keyring, workspace, client);
    return true;
}

/* ---- what the last process left ---- */

static void on_known(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct loading *l = arg;

    l->done = true;
    l->result = r;
    if (r != GD_STORE_OK) {
        if (err && l->err)
            *l->err = *err;
        return;
    }
    l->collected = gd_tx_rows(tx, 2) && (!strcmp(gd_tx_text(tx, 2, 0, 1), "revoked") ||
                                         gd_tx_int(tx, 2, 0, 0) > l->gen + GD_KEEP_VERSIONS);
    l->known = gd_tx_int(tx, 0, 0, 0) > 0 || gd_tx_int(tx, 1, 0, 0) > 0 || gd_tx_int(tx, 3, 0, 0) > 0;
    l->collected &= !l->known;
    l->known |= l->collected;
}

/* What tells whether the store has a record; texts are empty where the record has none. */
struct known_by {
    const char *workspace, *client, *attempt, *cred, *grant, *flow;
    int64_t gen;
};

static void known_by_json(struct known_by *k, const json_t *rec)
{
    const json_t *grant = json_array_get(json_object_get(rec, "grants"), 0);
    bool old = gd_json_bool(grant, "old", false); /* it was there before */

    *k = (struct known_by){ .workspace = gd_json_text(rec, "workspace", ""),
                            .client = gd_json_text(rec, "client", ""),
                            .attempt = json_object_get(rec, "sealed") ? gd_json_text(rec, "attempt", "") : "",
                            .cred = gd_json_text(rec, "cred", ""),
                            .grant = old ? "" : gd_json_text(grant, "id", ""),
                            .flow = gd_json_text(rec, "flow", ""),
                            .gen = gd_json_i64(rec, "gen", 0) };
}

/* The spool is not emptied after every commit, so most of what is in it is in the store. Doing that again
 * would tell events twice and bring versions back, as candidates, that were collected long ago. */
static bool is_known(struct loading *l, const struct known_by *k)
{
    struct gd_tx *tx = gd_tx_new(l->b->d.store);

    l->done = l->known = false;
    l->gen = k->gen;
    gd_tx_add(tx, &sql_known_grant, GD_P_TEXT(k->workspace), GD_P_TEXT(k->grant));
    gd_tx_add(tx, &sql_known_version, GD_P_TEXT(k->workspace), GD_P_TEXT(k->attempt));
    gd_tx_add(tx, &sql_known_cred, GD_P_TEXT(k->workspace), GD_P_TEXT(k->cred));
    gd_tx_add(tx, &sql_known_end, GD_P_TEXT(k->workspace), GD_P_TEXT(k->flow));
    gd_store_read(l->b->d.store, tx, on_known, l);
    while (!l->done)
        uv_run(l->b->d.loop, UV_RUN_ONCE);
    l->failed |= l->result != GD_STORE_OK;
    return l->known;
}

/* Not of a client that is erased, and not in the store. */
static bool is_wanted(struct loading *l, const struct known_by *k)
{
    bool known;

    if (is_tomb(l, k->workspace, k->client))
        return false;
    known = is_known(l, k);
    if (l->failed)
        return false;
    gd_restored_spooled(l->b, k->workspace, k->cred, k->attempt, known);
    return !known;
}

static void store_spooled(struct loading *l, struct gd_tx *tx, gd_tx_fn *fn)
{
    if (commit(l, l->b->d.store, tx, fn))
        l->failed = true;
    l->n++;
}

static void on_stored_about(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct loading *l = arg;
    const struct gd_about_stmts *a = &l->about;

    l->client_back = r == GD_STORE_OK && a->client != SIZE_MAX && gd_tx_changes(tx, a->client) > 0;
    l->request_back = r == GD_STORE_OK && a->request != SIZE_MAX && gd_tx_changes(tx, a->request) > 0;
    on_commit(l, tx, r, err);
}

static void tell_back(struct loading *l, struct gd_tx *tx, const json_t *rec, const char *type,
                      const char *subject, const char *text)
{
    struct gd_broker *b = l->b;
    const char *ws = gd_json_text(rec, "workspace", ""), *client = gd_json_text(rec, "client", "");
    GD_AUTO_JSON data = json_pack("{s:b, s:s}", "whole", (int)l->about.whole, "text", text);
    struct gd_audit_entry e = { .act = type,
                                .phase = "done",
                                .outcome = "ok",
                                .workspace = ws,
                                .client = client,
                                .subject = subject,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1,
                                .data = data };

    gd_event_add(b->d.events, tx, ws, type, subject, data);
    gd_audit_write(b->d.audit, &e, NULL, NULL);
    GD_LOG(b->d.log, GD_LOG_WARN, type, GD_F_STR("subject", subject), GD_F_BOOL("whole", l->about.whole),
           GD_F_STR("text", text));
}

/* Whoever was made in the time that the database lost: an operator has to know that he is back, and whether
 * all of him is. */
static void say_who_is_back(struct loading *l, const json_t *rec)
{
    const char *client = gd_json_text(rec, "client", "");
    struct gd_tx *tx;

    if (l->failed || (!l->client_back && !l->request_back))
        return;
    tx = gd_tx_new(l->b->d.store);
    if (l->client_back && l->about.whole)
        tell_back(
            l, tx, rec, "client.brought_back", client,
            "the database had lost this client; the spool of the node that received the consent had it");
    else if (l->client_back)
        tell_back(l, tx, rec, "client.brought_back", client,
                  "the database had lost this client, and the spool has the grants but neither the name nor "
                  "what was asked: grantctl client update gives it a name again");
    if (l->request_back)
        tell_back(l, tx, rec, "request.brought_back", l->about.request_id,
                  "the database had lost this request; it is as it was when the consent came");
    if (commit(l, l->b->d.store, tx, on_commit))
        l->failed = true;
}

static void on_spooled_bytes(struct loading *l, const void *rec, size_t n)
{
    struct gd_version v;
    struct known_by k;
    struct gd_tx *tx;

    if (gd_record_read(&v, rec, n, l->err)) {
        l->failed = true;
        return;
    }
    k = (struct known_by){ v.workspace, v.client, v.attempt, v.cred, "", "", v.gen };
    if (!is_wanted(l, &k))
        return;
    tx = gd_tx_new(l->b->d.store);
    (void)gd_journal_add_version(tx, &v, NULL, 0);
    store_spooled(l, tx, on_commit);
}

struct bringing { /* a data key back */
    struct loading *l;
    const char *workspace, *client;
    size_t there; /* statement that reads what the store has now: perhaps another one */
    struct gd_err err;
};

static void on_key_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct bringing *k = arg;
    size_t n = 0;
    const void *wrapped;

    k->l->done = true;
    k->l->result = r;
    if (r != GD_STORE_OK) {
        k->l->failed = true;
        if (err && k->l->err)
            *k->l->err = *err;
        return;
    }
    wrapped = gd_tx_rows(tx, k->there) ? gd_tx_bytes(tx, k->there, 0, 1, &n) : NULL;
    if (n == GD_WRAPPED_KEY && strcmp(gd_tx_text(tx, k->there, 0, 0), "erased") != 0)
        (void)gd_keyring_add_dek(k->l->b->d.keyring, k->workspace, k->client, wrapped, &k->err);
}

/* The record of a consent has the client's data key with it. One that cannot be used leaves this credential
 * unreadable, and nothing else. */
static void bring_key_back(struct loading *l, const json_t *rec)
{
    const struct gd_broker *b = l->b;
    struct bringing k = { .l = l,
                          .workspace = gd_json_text(rec, "workspace", ""),
                          .client = gd_json_text(rec, "client", "") };
    const char *text = gd_json_text(rec, "key", "");
    unsigned char wrapped[GD_WRAPPED_KEY], fresh[GD_WRAPPED_KEY];
    struct gd_tx *tx;

    if (!*text || gd_keyring_dek(b->d.keyring, k.workspace, k.client) ||
        gd_b64url_decode(wrapped, sizeof wrapped, text, strlen(text)) != GD_WRAPPED_KEY)
        return;
    if (gd_keyring_rewrap(b->d.keyring, k.workspace, k.client, wrapped, fresh, b->d.rng, &k.err) == 0) {
        tx = gd_tx_new(b->d.keys);
        k.there = gd_key_bring_back(tx, k.workspace, k.client, fresh, gd_json_i64(rec, "at", 0));
        l->done = false;
        gd_store_commit(b->d.keys, tx, on_key_stored, &k);
        while (!l->done)
            uv_run(b->d.loop, UV_RUN_ONCE);
    }
    if (k.err.text[0])
        GD_LOG(b->d.log, GD_LOG_ERROR, "spool.key_lost", GD_F_STR("client", k.client), GD_F_ERR(&k.err));
}

static void on_spooled_json(struct loading *l, const void *rec, size_t n)
{
    GD_AUTO_JSON j = gd_json_parse(rec, n, GD_SPOOL_RECORD_MAX, l->err);
    struct known_by k;
    struct gd_tx *tx;

    if (!j) {
        l->failed = true;
        return;
    }
    known_by_json(&k, j);
    if (!is_wanted(l, &k))
        return;
    bring_key_back(l, j);
    if (l->failed)
        return;
    tx = gd_tx_new(l->b->d.store);
    gd_about_back(l->b, tx, j, &l->about);
    gd_journal_statements(l->b, tx, j, false);
    store_spooled(l, tx, on_stored_about);
    say_who_is_back(l, j);
}

static void on_spooled(void *arg, const void *rec, size_t n)
{
    struct loading *l = arg;

    (void)GD_FAULT("F22");
    if (l->failed)
        return;
    if (gd_record_is_bytes(rec, n))
        on_spooled_bytes(l, rec, n);
    else
        on_spooled_json(l, rec, n);
}

/* Only what brought tokens says whether the store has it. Where it was set back, another node may have given
 * back so much of its own that this record only looks as if it had been removed: that says nothing of those
 * before it. */
static enum gd_spool_there is_there(void *arg, const void *rec, size_t n)
{
    struct loading *l = arg;
    GD_AUTO_JSON j = NULL;
    struct known_by k = { .attempt = "" };
    struct gd_version v;

    if (l->failed)
        return GD_SPOOL_STORED; /* nothing more is found out */
    if (gd_record_is_bytes(rec, n)) {
        l->failed = gd_record_read(&v, rec, n, l->err) != 0;
        if (!l->failed)
            k = (struct known_by){ v.workspace, v.client, v.attempt, v.cred, "", "", v.gen };
    } else {
        j = gd_json_parse(rec, n, GD_SPOOL_RECORD_MAX, l->err);
        l->failed = !j;
        if (j)
            known_by_json(&k, j);
    }
    if (l->failed || !*k.attempt || is_tomb(l, k.workspace, k.client))
        return GD_SPOOL_UNSAID;
    if (is_known(l, &k)) {
        if (l->collected && gd_restored_in_doubt(l->b))
            return GD_SPOOL_UNSAID;
        gd_restored_spooled(l->b, k.workspace, k.cred, k.attempt, true);
        return GD_SPOOL_STORED;
    }
    gd_restored_lost(l->b, k.cred, k.attempt);
    return GD_SPOOL_LOST;
}

static int replay(struct loading *l)
{
    gd_store_spool_lost(l->b->d.store, is_there, on_spooled, l);
    if (gd_store_spool_replay(l->b->d.store, on_spooled, l, l->err))
        return -1;
    if (l->failed)
        return -1; /* the spool stays as it is */
    if (l->n)
        GD_LOG(l->b->d.log, GD_LOG_INFO, "spool.replayed", GD_F_INT("records", l->n));
    l->b->spool_read = true;
    return 0;
}

static void on_taken_over(void *arg, const struct gd_err *err)
{
    struct loading *l = arg;

    l->done = true;
    l->failed |= err != NULL;
    if (err && l->err)
        *l->err = *err;
}

static int take_over(struct loading *l)
{
    l->done = false;
    gd_take_over(l->b, false, on_taken_over, l);
    while (!l->done)
        uv_run(l->b->d.loop, UV_RUN_ONCE);
    return l->failed ? -1 : 0;
}

/* ---- the index ---- */

static bool row_id(const struct gd_row *row, int col, const char *kind, struct gd_id *ret)
{
    const char *text = gd_row_text(row, col);

    return text && gd_id_parse(ret, kind, text, strlen(text));
}

/* The same for every row, at the start and when another node has changed it. */
static uint16_t app_number(struct gd_broker *b, const char *id)
{
    struct gd_app_state *a = gd_app_find(b, id);

    return a ? (uint16_t)gd_app_number(b, a) : UINT16_MAX;
}

void gd_take_client(struct gd_broker *b, const struct gd_row *row)
{
    int ws = gd_workspace_number(b, gd_row_text(row, 0));
    struct gd_id id;

    if (ws >= 0 && row_id(row, 1, "cl", &id))
        gd_index_add_client(&b->ix, &id, (uint16_t)ws);
}

static void on_client(void *arg, const struct gd_row *row)
{
    struct loading *l = arg;

    if (!is_erased(l, gd_row_text(row, 0), gd_row_text(row, 1), gd_row_text(row, 2)))
        gd_take_client(l->b, row);
}

/* A row may have been read before what this node has done since: nothing goes back. */
static bool is_older(const struct gd_index *ix, const struct gd_id *cred, const struct gd_row *row,
                     enum gd_cred_status status)
{
    uint32_t n = gd_index_cred(ix, cred);

    if (n == GD_NONE)
        return status == GD_CRED_REVOKED; /* nobody will ask for it */
    return gd_cred_at(ix, n)->status == GD_CRED_REVOKED || gd_cred_at(ix, n)->gen > gd_row_int(row, 4);
}

void gd_take_cred(struct gd_broker *b, const struct gd_row *row)
{
    struct gd_index *ix = &b->ix;
    enum gd_cred_status status;
    struct gd_id id, client;
    struct gd_ix_cred *c;
    uint32_t n, cl;

    if (!row_id(row, 1, "cr", &id) || !row_id(row, 2, "cl", &client) ||
        !gd_cred_status_parse(gd_row_text(row, 5), &status))
        return;
    cl = gd_index_client(ix, &client);
    if (cl == GD_NONE || is_older(ix, &id, row, status)) /* NONE: of a workspace that is not configured */
        return;
    n = gd_index_add_cred(ix, &id);
    c = gd_cred_at(ix, n);
    c->client = cl;
    c->app = app_number(b, gd_row_text(row, 3));
    if (c->gen != (uint32_t)gd_row_int(row, 4))
        gd_tokens_drop(b->tokens, n);
    c->gen = (uint32_t)gd_row_int(row, 4);
    c->status = (uint8_t)status;
    c->shape = (uint8_t)gd_row_int(row, 6);
    c->retry_class = (uint8_t)gd_row_int(row, 7);
    c->expires_at = gd_row_int(row, 8);
    /* What could not be opened is tried once more: the key may be back. */
    gd_cred_due(b, n, status == GD_CRED_UNREADABLE ? gd_now(b->d.clock) : gd_row_int(row, 9));
}

static void on_cred(void *arg, const struct gd_row *row)
{
    gd_take_cred(((struct loading *)arg)->b, row);
}

bool gd_take_grant(struct gd_broker *b, const struct gd_row *row)
{
    struct gd_index *ix = &b->ix;
    enum gd_lifecycle life;
    enum gd_native native;
    struct gd_id id, cred, client;
    struct gd_ix_grant *g;
    uint32_t c = GD_NONE, n;

    if (!row_id(row, 1, "gr", &id) || !row_id(row, 3, "cl", &client) ||
        !gd_lifecycle_parse(gd_row_text(row, 5), &life) || !gd_native_parse(gd_row_text(row, 6), &native) ||
        gd_index_client(ix, &client) == GD_NONE)
        return false;
    if (life >= GD_LIFE_ENDED && gd_index_grant(ix, &id) == GD_NONE)
        return true;
    if (row_id(row, 2, "cr", &cred))
        c = gd_index_cred(ix, &cred);
    n = gd_index_add_grant(ix, &id, c);
    gd_index_move_grant(ix, n, c);
    g = gd_grant_at(ix, n);
    g->client = gd_index_client(ix, &client);
    g->app = app_number(b, gd_row_text(row, 4));
    if ((uint8_t)life > g->lifecycle)
        g->lifecycle = (uint8_t)life;
    g->native = (uint8_t)native;
    return c != GD_NONE || gd_row_text(row, 2) == NULL;
}

static void on_grant(void *arg, const struct gd_row *row)
{
    (void)gd_take_grant(((struct loading *)arg)->b, row);
}

static void on_look_row(void *arg, const struct gd_row *row)
{
    struct loading *l = arg;

    if (l->b->ears.look)
        l->b->ears.look(l->b->ears.arg, gd_row_text(row, 0), gd_row_text(row, 1), gd_row_int(row, 2));
}

static int load_index(struct loading *l)
{
    struct gd_store *s = l->b->d.store;

    return gd_store_scan(s, &sql_clients, on_client, l, l->err) ||
                   gd_store_scan(s, &sql_creds, on_cred, l, l->err) ||
                   gd_store_scan(s, &sql_grants, on_grant, l, l->err) ||
                   gd_store_scan(s, &sql_looks, on_look_row, l, l->err)
               ? -1
               : 0;
}

static int load_all(struct loading *l)
{
    struct gd_store *keys = l->b->d.keys;

    if (gd_store_scan(keys, &sql_data_keys, on_data_key, l, l->err) || l->failed ||
        gd_store_scan(keys, &sql_tombstones, on_tombstone, l, l->err))
        return -1;
    take_erased(l);
    if (gd_restored_begin(l->b, l->err) || replay(l) || take_over(l) || gd_restored_end(l->b, l->err))
        return -1;
    if (load_index(l))
        return -1;
    erase_again(l);
    return 0;
}

int gd_load(struct gd_broker *b, struct gd_err *err)
{
    struct loading l = { .b = b, .err = err };
    int rc;

    gd_buf_init(&l.again, SIZE_MAX / 2);
    rc = load_all(&l);
    gd_buf_done(&l.again);
    gd_map_done(&l.tombs, NULL);
    return rc;
}

/* Everything that it held is in the store, and that is whole: before, the spool may be all that is left. */
static void clear_spool(struct gd_broker *b)
{
    struct gd_err err;

    if (b->spool_read && b->spool_forget)
        gd_store_spool_forget(b->d.store); /* nor is it kept */
    if (b->spool_read && gd_store_spool_clear(b->d.store, &err) < 0)
        GD_LOG(b->d.log, GD_LOG_ERROR, "spool.not_cleared", GD_F_ERR(&err));
    b->spool_read = false;
}

void gd_ending_note(struct gd_broker *b, const char *workspace, const char *id)
{
    gd_buf_addf(&b->endings, "%s %s\n", workspace, id);
}

/* What is noted from here on waits for the next time. */
void gd_endings_go_on(struct gd_broker *b)
{
    GD_AUTO_FREE char *list = gd_buf_steal(&b->endings);
    char *p = list;

    while (*p) {
        char *space = strchr(p, ' '), *end = strchr(p, '\n');

        *space = *end = '\0';
        if (!strncmp(space + 1, "cl", 2))
            gd_erase_resume(b, p, space + 1);
        else if (!strncmp(space + 1, "fl", 2))
            gd_flow_leave(b, p, space + 1);
        else if (!strncmp(space + 1, "cr", 2))
            gd_close_orphan(b, p, space + 1);
        else
            gd_close_resume(b, p, space + 1);
        p = end + 1;
    }
}

void gd_broker_resume(struct gd_broker *b)
{
    clear_spool(b);
    gd_endings_go_on(b);
    gd_close_orphans(b);
    gd_rotate_sweep(b);
}
