/* grant/keys.c - data keys: one per client, wrapped, in a database of their own. A new key is durable before
 * anything is sealed under it. */
#include "grant/broker_int.h"

#include <string.h>

GD_SQL(sql_key_insert,
       "INSERT INTO data_keys (workspace, client_id, id, state, kek_version, wrapped, created_at)"
       " SELECT $1, $2, $3, 'active', $4, $5, $6 WHERE NOT EXISTS"
       " (SELECT 1 FROM data_keys WHERE workspace = $1 AND client_id = $2 AND state = 'erased')");

struct need {
    struct gd_broker *b;
    char *workspace, *client;
    gd_dek_fn *fn;
    void *arg;
    struct gd_err err;
    bool failed;
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

static void on_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct need *n = arg;

    if (r != GD_STORE_OK || gd_tx_changes(tx, 0) == 0) {
        n->failed = true;
        if (r == GD_STORE_OK)
            gd_err_set(&n->err, GD_R_CLIENT_ENDED, "this client is erased");
        else if (err)
            n->err = *err;
        else
            gd_err_set(&n->err, GD_R_STORE_FAILED, "the new data key could not be stored");
        gd_keyring_forget(n->b->d.keyring, n->workspace, n->client);
    }
    tell(n);
}

void gd_dek_need(struct gd_broker *b, const char *workspace, const char *client, gd_dek_fn *fn, void *arg)
{
    struct need *n = gd_new(sizeof *n);
    unsigned char wrapped[GD_WRAPPED_DEK];
    char id[GD_ID_TEXT_MAX];
    struct gd_tx *tx;

    *n = (struct need){ b, gd_strdup(workspace), gd_strdup(client), fn, arg, { 0 }, false };
    gd_busy(b, 1);
    if (gd_keyring_dek(b->d.keyring, workspace, client)) {
        gd_defer(b, tell, n);
        return;
    }
    (void)gd_keyring_make_dek(b->d.keyring, workspace, client, wrapped, b->d.rng);
    gd_id_make(id, "dk", gd_now(b->d.clock), b->d.rng);
    tx = gd_tx_new(b->d.keys);
    gd_tx_add(tx, &sql_key_insert, GD_P_TEXT(workspace), GD_P_TEXT(client), GD_P_TEXT(id),
              GD_P_INT(gd_keyring_version(b->d.keyring)), GD_P_BYTES(wrapped, sizeof wrapped),
              GD_P_INT(gd_now(b->d.clock)));
    gd_store_commit(b->d.keys, tx, on_stored, n);
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
