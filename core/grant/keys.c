/* grant/keys.c - data keys: one per client, wrapped, in a database of their own. A new key is durable before
 * anything is sealed under it. */
#include "grant/broker_int.h"

#include <string.h>

/* One for each client, whoever comes first: nodes that make one at the same time agree on the name of its
 * row. */
GD_SQL(sql_key_insert,
       "INSERT INTO data_keys (workspace, client_id, id, state, kek_version, wrapped, created_at)"
       " SELECT $1, $2, 'first', 'active', $3, $4, $5 WHERE NOT EXISTS"
       " (SELECT 1 FROM data_keys WHERE workspace = $1 AND client_id = $2)"
       " ON CONFLICT (workspace, client_id, id) DO NOTHING");
GD_SQL(sql_key_there, "SELECT state, wrapped FROM data_keys WHERE workspace = $1 AND client_id = $2"
                      " ORDER BY CASE WHEN state = 'erased' THEN 0 ELSE 1 END, created_at");

struct need {
    struct gd_list node; /* in the list of who waits for the same key */
    struct gd_broker *b;
    char *workspace, *client;
    gd_dek_fn *fn;
    void *arg;
    struct gd_err err;
    bool failed;
};
/* A data key that is being made durable: nothing is sealed under it before it is. */
struct making {
    struct gd_broker *b;
    struct gd_list needs;
    char *workspace, *client, *name;
};

static void tell(void *arg)
{
    struct need *n = arg;
    struct gd_broker *b = n->b;
    const struct gd_dek *dek = n->failed ? NULL : gd_keyring_dek(b->d.keyring, n->workspace, n->client);

    n->fn(n->arg, dek, dek ? NULL : &n->err);
    gd_free(n->workspace);
    gd_free(n->client);
    gd_free(n);
    gd_busy(b, -1);
}

static void making_end(struct making *m, const struct gd_err *err)
{
    struct gd_list *n;

    (void)gd_map_del(&m->b->deks, m->name);
    while ((n = gd_list_pop(&m->needs))) {
        struct need *one = gd_container_of(n, struct need, node);

        one->failed = err != NULL;
        if (err)
            one->err = *err;
        tell(one);
    }
    gd_free(m->workspace);
    gd_free(m->client);
    gd_free(m->name);
    gd_free(m);
}

/* Another node was first: its key is the client's. False: the client is erased, or the key is no good. */
static bool take_theirs(struct making *m, const struct gd_tx *tx, struct gd_err *err)
{
    size_t n = 0;
    const void *wrapped = gd_tx_rows(tx, 1) ? gd_tx_bytes(tx, 1, 0, 1, &n) : NULL;

    gd_keyring_forget(m->b->d.keyring, m->workspace, m->client);
    if (!wrapped || !strcmp(gd_tx_text(tx, 1, 0, 0), "erased"))
        return false;
    if (n != GD_WRAPPED_DEK) {
        gd_err_set(err, GD_R_SEAL_TAMPERED, "a data key in the keyring has %zu bytes", n);
        return false;
    }
    return gd_keyring_add_dek(m->b->d.keyring, m->workspace, m->client, wrapped, err) != NULL;
}

static void on_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct making *m = arg;
    struct gd_err e = { 0 };

    if (r == GD_STORE_OK && (gd_tx_changes(tx, 0) > 0 || take_theirs(m, tx, &e))) {
        making_end(m, NULL);
        return;
    }
    if (r == GD_STORE_OK && !e.reason)
        gd_err_set(&e, GD_R_CLIENT_ENDED, "this client is erased");
    else if (err)
        e = *err;
    else if (!e.reason)
        gd_err_set(&e, GD_R_STORE_FAILED, "the new data key could not be stored");
    gd_keyring_forget(m->b->d.keyring, m->workspace, m->client);
    making_end(m, &e);
}

static struct making *make_key(struct gd_broker *b, const char *workspace, const char *client,
                               const char *name)
{
    struct making *m = gd_new(sizeof *m);
    unsigned char wrapped[GD_WRAPPED_DEK];
    struct gd_tx *tx = gd_tx_new(b->d.keys);

    *m = (struct making){
        .b = b, .workspace = gd_strdup(workspace), .client = gd_strdup(client), .name = gd_strdup(name)
    };
    gd_list_init(&m->needs);
    (void)gd_map_set(&b->deks, m->name, m);
    (void)gd_keyring_make_dek(b->d.keyring, workspace, client, wrapped, b->d.rng);
    gd_tx_add(tx, &sql_key_insert, GD_P_TEXT(workspace), GD_P_TEXT(client),
              GD_P_INT(gd_keyring_version(b->d.keyring)), GD_P_BYTES(wrapped, sizeof wrapped),
              GD_P_INT(gd_now(b->d.clock)));
    gd_tx_add(tx, &sql_key_there, GD_P_TEXT(workspace), GD_P_TEXT(client));
    gd_tx_news(tx, workspace, client);
    gd_store_commit(b->d.keys, tx, on_stored, m);
    return m;
}

void gd_dek_need(struct gd_broker *b, const char *workspace, const char *client, gd_dek_fn *fn, void *arg)
{
    struct need *n = gd_new(sizeof *n);
    GD_AUTO_FREE char *name = gd_strf("%s %s", workspace, client);
    struct making *m = gd_map_get(&b->deks, name);

    *n = (struct need){
        .b = b, .workspace = gd_strdup(workspace), .client = gd_strdup(client), .fn = fn, .arg = arg
    };
    gd_busy(b, 1);
    if (!m && gd_keyring_dek(b->d.keyring, workspace, client)) {
        gd_defer(b, tell, n);
        return;
    }
    if (!m)
        m = make_key(b, workspace, client, name);
    gd_list_add(&m->needs, &n->node);
}

unsigned char *gd_seal_text(struct gd_broker *b, const struct gd_seal_name *name, const char *text,
                            size_t *ret_n, struct gd_err *err)
{
    const struct gd_dek *dek = gd_keyring_dek(b->d.keyring, name->workspace, name->client);
    size_t n = strlen(text);
    unsigned char *out;

    if (!dek) {
        gd_err_set(err, GD_R_KEY_MISSING, "the data key of client %s is not here", name->client);
        return NULL;
    }
    out = gd_new(n + GD_SEAL_OVERHEAD);
    *ret_n = gd_seal(out, dek, name, text, n, b->d.rng);
    return out;
}

char *gd_open_text(struct gd_broker *b, const struct gd_seal_name *name, const void *rec, size_t n,
                   struct gd_err *err)
{
    const struct gd_dek *dek = gd_keyring_dek(b->d.keyring, name->workspace, name->client);
    char *out;
    long len;

    if (!dek) {
        gd_err_set(err, GD_R_KEY_MISSING, "the data key of client %s is not here", name->client);
        return NULL;
    }
    out = gd_new(n + 1);
    len = gd_seal_open((unsigned char *)out, dek, name, rec, n, err);
    if (len < 0) {
        gd_free(out);
        return NULL;
    }
    out[len] = '\0';
    return out;
}

/* ---- the right key-encryption key ---- */

GD_SQL(sql_check_value, "SELECT value FROM meta WHERE name = 'kcv'");
GD_SQL(sql_check_value_set,
       "INSERT INTO meta (name, value) VALUES ('kcv', $1) ON CONFLICT (name) DO NOTHING");

struct checking {
    char text[33], stored[33];
    bool done, ok;
    struct gd_err *err;
};

static void on_check_value(void *arg, const struct gd_row *row)
{
    struct checking *k = arg;

    (void)snprintf(k->stored, sizeof k->stored, "%s", gd_row_text(row, 0));
}

static void on_check_value_set(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct checking *k = arg;

    (void)tx;
    k->done = true;
    k->ok = r == GD_STORE_OK;
    if (!k->ok && err)
        *k->err = *err;
}

int gd_key_check(uv_loop_t *loop, const struct gd_keyring *keyring, struct gd_store *keys, struct gd_err *err)
{
    struct checking k = { .err = err };
    unsigned char value[16];
    struct gd_tx *tx;

    gd_keyring_check_value(keyring, value);
    gd_hex(k.text, value, sizeof value);
    if (gd_store_scan(keys, &sql_check_value, on_check_value, &k, err))
        return -1;
    if (!k.stored[0]) {
        tx = gd_tx_new(keys);
        gd_tx_add(tx, &sql_check_value_set, GD_P_TEXT(k.text));
        gd_store_commit(keys, tx, on_check_value_set, &k);
        while (!k.done)
            uv_run(loop, UV_RUN_ONCE);
        if (!k.ok || gd_store_scan(keys, &sql_check_value, on_check_value, &k, err))
            return -1; /* another node may have been first, with another key */
    }
    return gd_same_text(k.text, k.stored)
               ? 0
               : gd_err_set(err, GD_R_KEY_WRONG,
                            "this is not the key that the keyring was made with; nothing was touched");
}
