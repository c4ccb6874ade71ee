/* grant/keys.c - data keys: one per client, wrapped, in a database of their own. A new key is durable before
 * anything is sealed under it. */
#include "grant/broker_int.h"

#include <string.h>

/* Held until the commit: from the moment on when another KEK is in use nothing comes to be under this one. */
GD_SQL(sql_kek_hold, "UPDATE meta SET value = value WHERE name = 'kek' AND value = $1");
GD_SQL(sql_kek, "SELECT value FROM meta WHERE name = 'kek'");
/* One for each client, whoever comes first: nodes that make one at the same time agree on the name of its
 * row. */
GD_SQL(sql_key_insert, "INSERT INTO data_keys (workspace, client_id, id, state, kek, wrapped, created_at)"
                       " SELECT $1, $2, 'first', 'active', $3, $4, $5 WHERE NOT EXISTS"
                       " (SELECT 1 FROM data_keys WHERE workspace = $1 AND client_id = $2)"
                       " AND EXISTS (SELECT 1 FROM meta WHERE name = 'kek' AND value = $3)"
                       " ON CONFLICT (workspace, client_id, id) DO NOTHING");
GD_SQL(sql_key_there, "SELECT state, wrapped FROM data_keys WHERE workspace = $1 AND client_id = $2"
                      " ORDER BY CASE WHEN state = 'erased' THEN 0 ELSE 1 END, created_at");

size_t gd_key_bring_back(struct gd_tx *tx, const char *workspace, const char *client,
                         const unsigned char wrapped[GD_WRAPPED_KEY], int64_t at)
{
    char kek[GD_KEK_ID];

    (void)gd_wrapped_by(kek, wrapped);
    gd_tx_add(tx, &sql_key_insert, GD_P_TEXT(workspace), GD_P_TEXT(client), GD_P_TEXT(kek),
              GD_P_BYTES(wrapped, GD_WRAPPED_KEY), GD_P_INT(at));
    gd_tx_news(tx, workspace, client);
    return gd_tx_add(tx, &sql_key_there, GD_P_TEXT(workspace), GD_P_TEXT(client));
}

struct need {
    struct gd_list node; /* in the list of who waits for the same key */
    struct gd_broker *b;
    char *workspace, *client;
    gd_dek_fn *fn;
    void *arg;
    struct gd_err err;
    bool failed;
};
/* Statements of the transaction that makes one. */
enum { KEK_HOLD, KEY_INSERT, KEY_THERE, KEK_NOW };
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
    const void *wrapped = gd_tx_rows(tx, KEY_THERE) ? gd_tx_bytes(tx, KEY_THERE, 0, 1, &n) : NULL;

    gd_keyring_forget(m->b->d.keyring, m->workspace, m->client);
    if (!wrapped || !strcmp(gd_tx_text(tx, KEY_THERE, 0, 0), "erased"))
        return false;
    if (n != GD_WRAPPED_KEY) {
        gd_err_set(err, GD_R_SEAL_TAMPERED, "a data key in the keyring has %zu bytes", n);
        return false;
    }
    return gd_keyring_add_dek(m->b->d.keyring, m->workspace, m->client, wrapped, err) != NULL;
}

static void store_key(struct making *m);

/* Another KEK is in use since: the key is made once more, under that one. False: it is not here. */
static bool follow(struct making *m, const struct gd_tx *tx, struct gd_err *err)
{
    const char *kek = gd_tx_rows(tx, KEK_NOW) ? gd_tx_text(tx, KEK_NOW, 0, 0) : "";

    if (gd_keyring_use(m->b->d.keyring, kek)) {
        store_key(m);
        return true;
    }
    return gd_err_set(err, GD_R_KEY_WRONG, "new keys are wrapped by key %s, which is not here", kek) == 0;
}

static void on_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct making *m = arg;
    struct gd_err e = { 0 };

    if (r == GD_STORE_OK && gd_tx_changes(tx, KEK_HOLD) == 0 && gd_tx_rows(tx, KEY_THERE) == 0) {
        if (follow(m, tx, &e))
            return;
    } else if (r == GD_STORE_OK && (gd_tx_changes(tx, KEY_INSERT) > 0 || take_theirs(m, tx, &e))) {
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

static void store_key(struct making *m)
{
    struct gd_broker *b = m->b;
    unsigned char wrapped[GD_WRAPPED_KEY];
    struct gd_tx *tx = gd_tx_new(b->d.keys);
    const char *kek = gd_keyring_used(b->d.keyring);

    (void)gd_keyring_make_dek(b->d.keyring, m->workspace, m->client, wrapped, b->d.rng);
    gd_tx_add(tx, &sql_kek_hold, GD_P_TEXT(kek));
    gd_tx_add(tx, &sql_key_insert, GD_P_TEXT(m->workspace), GD_P_TEXT(m->client), GD_P_TEXT(kek),
              GD_P_BYTES(wrapped, sizeof wrapped), GD_P_INT(gd_now(b->d.clock)));
    gd_tx_add(tx, &sql_key_there, GD_P_TEXT(m->workspace), GD_P_TEXT(m->client));
    gd_tx_add_(tx, &sql_kek, NULL, 0);
    gd_tx_news(tx, m->workspace, m->client);
    gd_store_commit(b->d.keys, tx, on_stored, m);
}

static struct making *make_key(struct gd_broker *b, const char *workspace, const char *client,
                               const char *name)
{
    struct making *m = gd_new(sizeof *m);

    *m = (struct making){
        .b = b, .workspace = gd_strdup(workspace), .client = gd_strdup(client), .name = gd_strdup(name)
    };
    gd_list_init(&m->needs);
    (void)gd_map_set(&b->deks, m->name, m);
    store_key(m);
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
