/* grant/root.c - what the keyring says of itself, in its table meta, and the start from it:
 *
 *   root      the secret that everything but the data keys derives from, wrapped: made at the first start
 *   kek       the name of the KEK that wraps what is new
 *   rotation  the last exchange of that KEK: rotate.c
 *   node.*    which KEKs each of several nodes holds
 *
 * Blocking, at start: nothing else is read before it is certain that all of it can be opened. */
#include "grant/keys.h"

#include <string.h>

GD_SQL(sql_meta, "SELECT name, value FROM meta WHERE name IN ('root', 'kek', 'rotation')");
GD_SQL(sql_first, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING");
GD_SQL(sql_wrapped_by, "SELECT DISTINCT kek FROM data_keys WHERE kek > ''");
GD_SQL(sql_counts, "SELECT kek, count(*) FROM data_keys WHERE kek > '' GROUP BY kek");
GD_SQL(sql_holders, "SELECT substr(name, 6), value FROM meta WHERE substr(name, 1, 5) = 'node.'");
GD_SQL(sql_holder, "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE"
                   " SET value = excluded.value");
GD_SQL(sql_any_client, "SELECT 1 FROM clients LIMIT 1");

/* ---- meta ---- */

static void set_json(json_t **to, const char *text)
{
    json_decref(*to);
    *to = text ? gd_json_parse(text, strlen(text), GD_KEY_META_MAX, NULL) : NULL;
}

void gd_key_meta_row(void *arg, const struct gd_row *row)
{
    struct gd_key_meta *m = arg;
    const char *name = gd_row_text(row, 0), *value = gd_row_text(row, 1);

    if (!strcmp(name, "root"))
        set_json(&m->root, value);
    else if (!strcmp(name, "kek"))
        (void)snprintf(m->kek, sizeof m->kek, "%s", value ? value : "");
    else {
        set_json(&m->rotation, value);
        gd_free(m->rotation_text);
        m->rotation_text = gd_strdup(value);
    }
}

size_t gd_key_meta_add(struct gd_tx *tx)
{
    return gd_tx_add_(tx, &sql_meta, NULL, 0);
}

void gd_key_meta_done(struct gd_key_meta *m)
{
    json_decref(m->root);
    json_decref(m->rotation);
    gd_free(m->rotation_text);
    *m = (struct gd_key_meta){ 0 };
}

size_t gd_key_counts_add(struct gd_tx *tx)
{
    return gd_tx_add_(tx, &sql_counts, NULL, 0);
}

size_t gd_key_holders_add(struct gd_tx *tx)
{
    return gd_tx_add_(tx, &sql_holders, NULL, 0);
}

/* Names of all that are held, between words of one's own. */
static char *held(const struct gd_keyring *k, bool sources)
{
    const char *id, *source;
    char *all = NULL;

    for (size_t i = 0; (id = gd_keyring_kek(k, i, &source)); i++) {
        char *more = gd_strf(sources ? "%s%s%s (%s)" : "%s%s%s", all ? all : "", all ? ", " : "", id, source);

        gd_free(all);
        all = more;
    }
    return all;
}

void gd_key_holder_set(struct gd_tx *tx, const struct gd_keyring *k, const char *node)
{
    GD_AUTO_FREE char *name = gd_strf("node.%s", node);
    GD_AUTO_FREE char *keks = held(k, false);

    gd_tx_add(tx, &sql_holder, GD_P_TEXT(name), GD_P_TEXT(keks));
}

char *gd_root_text(const unsigned char wrapped[GD_WRAPPED_KEY], int64_t made_at)
{
    char id[33], hex[2 * GD_WRAPPED_KEY + 1];

    gd_hex(id, gd_wrapped_id(wrapped), 16);
    gd_hex(hex, wrapped, GD_WRAPPED_KEY);
    return gd_strf("{\"id\":\"%s\",\"made_at\":%lld,\"wrapped\":\"%s\"}", id, (long long)made_at, hex);
}

int gd_root_wrapped(const json_t *root, unsigned char wrapped[GD_WRAPPED_KEY], struct gd_err *err)
{
    const char *hex = gd_json_text(root, "wrapped", "");

    return gd_hex_decode(wrapped, GD_WRAPPED_KEY, hex, strlen(hex)) == GD_WRAPPED_KEY
               ? 0
               : gd_err_set(err, GD_R_SEAL_TAMPERED, "the root key is of no known form");
}

/* ---- start ---- */

struct start {
    const struct gd_broker_deps *d;
    struct gd_key_meta meta;
    const char *node;
    struct gd_err *err;
    bool begun, done, failed;
    const char *lacks; /* what its KEK wraps and cannot be opened; NULL: nothing */
    char kek[GD_KEK_ID];
};

static void need(struct start *s, const char *kek, const char *what)
{
    if (s->lacks || gd_keyring_holds(s->d->keyring, kek))
        return;
    s->lacks = what;
    (void)snprintf(s->kek, sizeof s->kek, "%s", kek);
}

static void on_wrapped_by(void *arg, const struct gd_row *row)
{
    need(arg, gd_row_text(row, 0), "data keys of clients");
}

static void on_stored(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct start *s = arg;

    (void)tx;
    s->done = true;
    s->failed = r != GD_STORE_OK;
    if (s->failed && err)
        *s->err = *err;
}

static int commit(struct start *s, struct gd_tx *tx)
{
    s->done = false;
    gd_store_commit(s->d->keys, tx, on_stored, s);
    while (!s->done)
        uv_run(s->d->loop, UV_RUN_ONCE);
    return s->failed ? -1 : 0;
}

static void on_client(void *arg, const struct gd_row *row)
{
    (void)row;
    *(bool *)arg = true;
}

/* The first start. Of several nodes one is first; the others take what it made. */
static int make_root(struct start *s, const char *kek)
{
    const struct gd_broker_deps *d = s->d;
    unsigned char wrapped[GD_WRAPPED_KEY];
    GD_AUTO_FREE char *root = NULL;
    struct gd_tx *tx;
    bool used = false;

    if (gd_store_scan(d->store, &sql_any_client, on_client, &used, s->err))
        return -1;
    if (used || s->begun)
        return gd_err_set(s->err, GD_R_KEYRING_LOST, "there is %s, and a keyring that was never used",
                          used ? "data of clients" : "an audit log of before");
    (void)gd_keyring_use(d->keyring, kek);
    gd_keyring_make_root(d->keyring, wrapped, d->rng);
    root = gd_root_text(wrapped, gd_now(d->clock));
    tx = gd_tx_new(d->keys);
    gd_tx_add(tx, &sql_first, GD_P_TEXT("root"), GD_P_TEXT(root));
    gd_tx_add(tx, &sql_first, GD_P_TEXT("kek"), GD_P_TEXT(kek));
    return commit(s, tx) < 0 ? -1 : gd_store_scan(d->keys, &sql_meta, gd_key_meta_row, &s->meta, s->err);
}

/* All that is needed to open everything; before any of it is opened. */
static int check_keks(struct start *s, const unsigned char root[GD_WRAPPED_KEY])
{
    char id[GD_KEK_ID];

    if (!gd_wrapped_by(id, root))
        return gd_err_set(s->err, GD_R_SEAL_TAMPERED, "the root key is of no known form");
    need(s, id, "the root key");
    need(s, s->meta.kek, "what is new");
    if (gd_rotation_runs(s->meta.rotation) && gd_store_shared(s->d->keys))
        need(s, gd_json_text(s->meta.rotation, "to", ""), "what is being wrapped anew");
    if (gd_store_scan(s->d->keys, &sql_wrapped_by, on_wrapped_by, s, s->err))
        return -1;
    if (s->lacks) {
        GD_AUTO_FREE char *all = held(s->d->keyring, true);

        return gd_err_set(
            s->err, GD_R_KEY_WRONG,
            "this keyring needs key %s, which wraps %s, and here is only %s; nothing was touched", s->kek,
            s->lacks, all);
    }
    return 0;
}

/* Before it is said that this node lives. */
static int say_held(struct start *s)
{
    struct gd_tx *tx;

    if (!gd_store_shared(s->d->keys))
        return 0;
    tx = gd_tx_new(s->d->keys);
    gd_key_holder_set(tx, s->d->keyring, s->node);
    return commit(s, tx);
}

static int open_all(struct start *s)
{
    unsigned char root[GD_WRAPPED_KEY];

    if (gd_root_wrapped(s->meta.root, root, s->err) || check_keks(s, root) ||
        gd_keyring_open_root(s->d->keyring, root, s->err))
        return -1;
    (void)gd_keyring_use(s->d->keyring, s->meta.kek);
    return 0;
}

static int start(struct start *s, const char *kek)
{
    if (gd_restored_refuse(s->d->keys, s->d->store, s->err) ||
        gd_store_scan(s->d->keys, &sql_meta, gd_key_meta_row, &s->meta, s->err) ||
        (!s->meta.root && make_root(s, kek)))
        return -1;
    return open_all(s) < 0 ? -1 : say_held(s);
}

int gd_key_start(const struct gd_broker_deps *d, const char *kek, const char *node, bool begun,
                 struct gd_err *err)
{
    struct start s = { .d = d, .node = node, .begun = begun, .err = err };
    int rc = start(&s, kek);

    gd_key_meta_done(&s.meta);
    return rc;
}

int gd_key_check(const struct gd_broker_deps *d, struct gd_err *err)
{
    struct start s = { .d = d, .err = err };
    int rc = 0;

    if (gd_store_shared(d->keys))
        rc = gd_store_scan(d->keys, &sql_meta, gd_key_meta_row, &s.meta, err) || open_all(&s) ? -1 : 0;
    gd_key_meta_done(&s.meta);
    return rc;
}

/* ---- as it goes along with a backup ---- */

json_t *gd_key_root(const struct gd_keyring *k, struct gd_rng *rng, int64_t now)
{
    unsigned char wrapped[GD_WRAPPED_KEY];
    GD_AUTO_FREE char *text = NULL;

    gd_keyring_wrap_root(k, wrapped, rng);
    text = gd_root_text(wrapped, now);
    return gd_json_parse(text, strlen(text), GD_KEY_META_MAX, NULL);
}

int gd_key_open_root(struct gd_keyring *k, const json_t *root, struct gd_err *err)
{
    unsigned char wrapped[GD_WRAPPED_KEY];

    return gd_root_wrapped(root, wrapped, err) ? -1 : gd_keyring_open_root(k, wrapped, err);
}
