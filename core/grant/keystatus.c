/* grant/keystatus.c - key.status: which KEKs there are, what each of them wraps, and what is to be done. And
 * what happens when the configuration names another one. */
#include "grant/keys.h"

#include <string.h>

GD_SQL(sql_erased, "SELECT count(*), COALESCE(SUM(CASE WHEN created_at >= $1 THEN 1 ELSE 0 END), 0)"
                   " FROM data_keys WHERE kek = ''");

struct asking {
    struct gd_call *c;
    struct gd_key_meta meta;
    json_t *keys, *nodes;
    char *lacking; /* nodes without the key that is named; NULL: none */
    int64_t beside, since;
    bool root;             /* it is under the KEK in use */
    bool old;              /* one that is neither used nor to be is held here */
    char spare[GD_KEK_ID]; /* such a one that nothing needs; "": none */
};

static void asking_free(struct asking *a)
{
    gd_key_meta_done(&a->meta);
    json_decref(a->keys);
    json_decref(a->nodes);
    gd_free(a->lacking);
    gd_free(a);
}

static int64_t rows_under(const struct gd_tx *tx, size_t counts, const char *kek)
{
    for (size_t i = 0; i < gd_tx_rows(tx, counts); i++)
        if (!strcmp(gd_tx_text(tx, counts, i, 0), kek))
            return gd_tx_int(tx, counts, i, 1);
    return 0;
}

static void add_key(struct asking *a, const struct gd_tx *tx, const char *id, const char *source)
{
    int64_t rows = rows_under(tx, 1, id);
    bool used = !strcmp(id, a->meta.kek), named = !strcmp(id, a->c->b->kek),
         root = gd_root_is_under(a->meta.root, id);

    json_array_append_new(a->keys, json_pack("{s:s, s:s, s:s?, s:I, s:b, s:b}", "id", id, "role",
                                             used    ? "in_use"
                                             : named ? "next"
                                                     : "old",
                                             "source", source, "rows", (json_int_t)rows, "root", (int)root,
                                             "needed", (int)(used || root || rows > 0)));
    if (used || named)
        return;
    a->old = a->old || source;
    if (source && !root && rows == 0)
        (void)snprintf(a->spare, sizeof a->spare, "%s", id);
}

/* Those that are held, then those that are only known from what they wrap. */
static void list_keys(struct asking *a, const struct gd_tx *tx)
{
    const struct gd_keyring *k = a->c->b->d.keyring;
    const char *id, *source;

    a->keys = json_array();
    for (size_t i = 0; (id = gd_keyring_kek(k, i, &source)); i++)
        add_key(a, tx, id, source);
    for (size_t i = 0; i < gd_tx_rows(tx, 1); i++)
        if (!gd_keyring_holds(k, gd_tx_text(tx, 1, i, 0)))
            add_key(a, tx, gd_tx_text(tx, 1, i, 0), NULL);
}

/* ---- what is to be done ---- */

static char *advice(const struct asking *a)
{
    const struct gd_broker *b = a->c->b;
    char at[32];

    if (gd_rotation_runs(a->meta.rotation))
        return b->rotate_err.reason ? gd_strf("it waits: %s", b->rotate_err.text)
                                    : gd_strdup("wait; it goes on by itself");
    if (strcmp(a->meta.kek, b->kek) != 0)
        return a->lacking ? gd_strf("give key %s to the nodes %s, and reload or restart them; then `grantctl "
                                    "key rotate`",
                                    b->kek, a->lacking)
                          : gd_strf("`grantctl key rotate` brings key %s into use", b->kek);
    if (a->beside > 0 || !a->root)
        return gd_strdup(
            "`grantctl key rotate` wraps anew what an older key still wraps (a restored backup)");
    if (!a->spare[0])
        return NULL;
    gd_time_text(at, gd_json_i64(a->meta.rotation, "ended_at", a->since));
    return gd_strf(
        "nothing needs key %s any more: take it out of the configuration, and destroy it when no backup of "
        "before %s is kept",
        a->spare, at);
}

static json_t *rotation_json(const struct asking *a)
{
    const json_t *r = a->meta.rotation;
    bool runs = gd_rotation_runs(r);

    return r ? json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:I}", "state",
                         !runs                        ? "done"
                         : a->c->b->rotate_err.reason ? "waiting"
                                                      : "running",
                         "from", gd_json_text(r, "from", ""), "to", gd_json_text(r, "to", ""), "started_at",
                         gd_time_json(gd_json_i64(r, "started_at", 0)), "ended_at",
                         gd_time_json(gd_json_i64(r, "ended_at", 0)), "rows",
                         (json_int_t)gd_json_i64(r, "rows", 0), "left", (json_int_t)(runs ? a->beside : 0))
             : json_null();
}

static void on_erased(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct asking *a = arg;
    struct gd_call *c = a->c;
    GD_AUTO_FREE char *next = NULL;

    if (!gd_call_store_failed(c, r, err)) {
        next = advice(a);
        gd_call_done(c, json_pack("{s:s, s:o, s:s, s:O, s:o, s:o, s:I, s:I, s:o}", "in_use", a->meta.kek,
                                  "since", gd_time_json(a->since), "named", c->b->kek, "keys", a->keys,
                                  "rotation", rotation_json(a), "lacking", gd_text_json(a->lacking), "erased",
                                  (json_int_t)gd_tx_int(tx, 0, 0, 0), "erased_open",
                                  (json_int_t)gd_tx_int(tx, 0, 0, a->old ? 0 : 1), "advice",
                                  gd_text_json(next)));
    }
    asking_free(a);
}

/* ---- asked ---- */

static void list_nodes(struct asking *a, const struct gd_tx *tx)
{
    struct gd_broker *b = a->c->b;
    GD_AUTO_JSON all = gd_nodes_status(b->d.nodes);
    json_t *one;
    size_t i;

    a->nodes = json_array();
    json_array_foreach(json_object_get(all, "nodes"), i,
                       one) if (strcmp(gd_json_text(one, "state", ""), "gone") != 0)
        json_array_append(a->nodes, json_object_get(one, "name"));
    if (gd_store_shared(b->d.keys))
        a->lacking = gd_key_lacking(a->nodes, tx, 2, b->kek);
}

static void on_keys(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct asking *a = arg;
    struct gd_broker *b = a->c->b;
    struct gd_tx *next;

    if (gd_call_store_failed(a->c, r, err)) {
        asking_free(a);
        return;
    }
    gd_tx_each(tx, 0, gd_key_meta_row, &a->meta);
    a->since = gd_json_i64(
        !strcmp(gd_json_text(a->meta.rotation, "to", ""), a->meta.kek) ? a->meta.rotation : a->meta.root,
        !strcmp(gd_json_text(a->meta.rotation, "to", ""), a->meta.kek) ? "started_at" : "made_at", 0);
    a->beside = gd_key_rows_beside(tx, 1, a->meta.kek);
    a->root = gd_root_is_under(a->meta.root, a->meta.kek);
    list_keys(a, tx);
    list_nodes(a, tx);
    next = gd_tx_new(b->d.keys);
    gd_tx_add(next, &sql_erased, GD_P_INT(a->since));
    gd_store_read(b->d.keys, next, on_erased, a);
}

void gd_key_status(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                   void *arg)
{
    struct asking *a = gd_new(sizeof *a);
    struct gd_tx *tx = gd_tx_new(b->d.keys);

    a->c = gd_call_new(b, who, params, reply, arg);
    (void)gd_key_meta_add(tx);
    (void)gd_key_counts_add(tx);
    (void)gd_key_holders_add(tx);
    gd_store_read(b->d.keys, tx, on_keys, a);
}

/* ---- another one is named ---- */

struct naming {
    struct gd_broker *b;
    void (*fn)(void *arg, const struct gd_err *err);
    void *arg;
};

static void on_said(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct naming *n = arg;
    struct gd_broker *b = n->b;

    (void)tx;
    n->fn(n->arg, r == GD_STORE_OK ? NULL : err);
    gd_free(n);
    gd_busy(b, -1);
}

static void tell(void *arg)
{
    on_said(arg, NULL, GD_STORE_OK, NULL);
}

void gd_broker_name_kek(struct gd_broker *b, const char *kek, void (*fn)(void *arg, const struct gd_err *err),
                        void *arg)
{
    struct naming *n = gd_new(sizeof *n);
    struct gd_tx *tx;

    *n = (struct naming){ b, fn, arg };
    gd_busy(b, 1);
    (void)snprintf(b->kek, sizeof b->kek, "%s", kek);
    if (!gd_store_shared(b->d.keys)) {
        gd_defer(b, tell, n);
        return;
    }
    tx = gd_tx_new(b->d.keys);
    gd_key_holder_set(tx, b->d.keyring, b->node);
    gd_store_commit(b->d.keys, tx, on_said, n);
}
