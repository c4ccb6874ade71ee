/* grant/rotate.c - another KEK takes the place of the one in use (key.rotate), and what is said of them
 * (key.status). Everything durable is a row of the keyring's meta, so whoever comes after a crash goes on:
 *
 *   rotation is written        it is meant to be; a node that comes now without the new KEK does not start
 *   does every node hold it?   else it is taken back, or, when nobody asks any more, waits
 *   kek is the new one         what is new is wrapped by it, on every node (keys.c)
 *   data keys, some at a time  wrapped anew where they are still under another one
 *   the root                   the last that needs the old one
 *   it is told, and ended      event, audit; then nothing needs the old KEK any more
 *
 * One node does it, that which all agree on; the others find at most that a row is done already. A key that
 * is wrapped anew is the same key: whoever has it open does not notice. */
#include "base/fault.h"
#include "grant/keys.h"

#include <string.h>

#define AT_ONCE 32 /* keys: a fraction of a millisecond of the loop */

GD_SQL(sql_first, "INSERT INTO meta (name, value) VALUES ('rotation', $1) ON CONFLICT (name) DO NOTHING");
GD_SQL(sql_next, "UPDATE meta SET value = $1 WHERE name = 'rotation' AND value = $2");
GD_SQL(sql_back, "DELETE FROM meta WHERE name = 'rotation' AND value = $1");
#define STILL " AND EXISTS (SELECT 1 FROM meta r WHERE r.name = 'rotation' AND r.value = $2)"
GD_SQL(sql_use, "UPDATE meta SET value = $1 WHERE name = 'kek'" STILL);
GD_SQL(sql_root, "UPDATE meta SET value = $1 WHERE name = 'root'" STILL);
GD_SQL(sql_under, "SELECT workspace, client_id, id, wrapped FROM data_keys WHERE kek = $1 LIMIT $2");
GD_SQL(sql_rewrap, "UPDATE data_keys SET wrapped = $1, kek = $2 WHERE workspace = $3 AND client_id = $4"
                   " AND id = $5 AND kek = $6");
GD_SQL(sql_nodes, "SELECT name FROM nodes WHERE state NOT IN ('left', 'gone') ORDER BY name");

struct gd_rotating {
    struct gd_broker *b;
    struct gd_call *call; /* who is told whether it begins; NULL: nobody any more */
    struct gd_key_meta meta;
    json_t *nodes;           /* names of those that live */
    char *text, *was, *root; /* rotation as it stands in the store, as it stood before; root, wrapped anew */
    char to[GD_KEK_ID];
    size_t stmts; /* of the read of data keys */
    int64_t rows; /* that were wrapped anew by this process */
};

static void ask_nodes(struct gd_rotating *x);
static void next_some(struct gd_rotating *x);

/* ---- begin and end of what is done here ---- */

static struct gd_rotating *rotating_new(struct gd_broker *b, struct gd_call *call)
{
    struct gd_rotating *x = gd_new(sizeof *x);

    x->b = b;
    x->call = call;
    gd_busy(b, 1);
    return x;
}

static void rotating_free(struct gd_rotating *x)
{
    struct gd_broker *b = x->b;

    gd_key_meta_done(&x->meta);
    json_decref(x->nodes);
    gd_free(x->text);
    gd_free(x->was);
    gd_free(x->root);
    if (b->rotating == x)
        b->rotating = NULL;
    gd_free(x);
    gd_busy(b, -1);
}

/* For now: the next sweep goes on with what has begun. */
static void give_up(struct gd_rotating *x, const struct gd_err *err)
{
    if (x->call) {
        gd_call_error(x->call, err);
    } else if (x->b->rotating == x && !x->b->draining) { /* else it was only a look */
        x->b->rotate_err = *err;
        GD_LOG(x->b->d.log, GD_LOG_WARN, "key.rotation_waits", GD_F_ERR(err));
    }
    rotating_free(x);
}

static bool failed(struct gd_rotating *x, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_err e = { .reason = GD_R_STORE_FAILED, .text = "the store failed" };

    if (r == GD_STORE_OK && !x->b->draining)
        return false;
    if (r == GD_STORE_OK)
        gd_err_set(&e, GD_R_SHUTTING_DOWN, "the daemon stops; what has begun goes on when it is back");
    give_up(x, r != GD_STORE_OK && err ? err : &e);
    return true;
}

static char *rotation_text(const char *from, const char *to, int64_t started_at, int64_t ended_at,
                           int64_t rows)
{
    return gd_strf("{\"from\":\"%s\",\"to\":\"%s\",\"started_at\":%lld,\"ended_at\":%lld,\"rows\":%lld}",
                   from, to, (long long)started_at, (long long)ended_at, (long long)rows);
}

static void ended_text(const struct gd_rotating *x, char **ret)
{
    const json_t *r = x->meta.rotation;

    *ret = rotation_text(gd_json_text(r, "from", ""), x->to, gd_json_i64(r, "started_at", 0),
                         gd_now(x->b->d.clock), gd_json_i64(r, "rows", 0));
}

/* ---- the end ---- */

static void on_ended(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;

    if (failed(x, r, err))
        return;
    if (gd_tx_changes(tx, 0) > 0)
        GD_LOG(x->b->d.log, GD_LOG_INFO, "key.rotated", GD_F_STR("key", x->to),
               GD_F_STR("old", gd_json_text(x->meta.rotation, "from", "")), GD_F_INT("rows", x->rows),
               GD_F_STR("text", "nothing in the keyring needs the old key any more"));
    rotating_free(x);
}

static void on_told(void *arg, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    GD_AUTO_FREE char *text = NULL;
    struct gd_tx *tx;

    if (failed(x, err ? GD_STORE_FAILED : GD_STORE_OK, err))
        return;
    (void)GD_FAULT("rotate.told");
    ended_text(x, &text);
    tx = gd_tx_new(x->b->d.keys);
    gd_tx_add(tx, &sql_next, GD_P_TEXT(text), GD_P_TEXT(x->text));
    gd_store_commit(x->b->d.keys, tx, on_ended, x);
}

static void on_event(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    struct gd_audit_entry e = { .act = "key.rotated",
                                .phase = "done",
                                .outcome = "ok",
                                .subject = x->to,
                                .uid = -1,
                                .gid = -1,
                                .pid = -1,
                                .data = x->meta.rotation };

    (void)tx;
    if (failed(x, r, err))
        return;
    gd_events_wake(x->b->d.events);
    gd_audit_write(x->b->d.audit, &e, on_told, x);
}

static void on_scrubbed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    struct gd_broker *b = x->b;

    (void)tx;
    if (failed(x, r, err))
        return;
    tx = gd_tx_new(b->d.store);
    for (unsigned i = 0; i < b->nworkspaces; i++)
        gd_event_add(b->d.events, tx, b->workspaces[i], "key.rotated", x->to, x->meta.rotation);
    gd_store_commit(b->d.store, tx, on_event, x);
}

/* What was wrapped by the old one is in no page of a file any more. */
static void on_root(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;

    if (failed(x, r, err))
        return;
    if (gd_tx_changes(tx, 0) == 0) { /* another node was first */
        rotating_free(x);
        return;
    }
    (void)GD_FAULT("rotate.root");
    gd_store_scrub(x->b->d.keys, on_scrubbed, x);
}

static void wrap_root(struct gd_rotating *x)
{
    struct gd_broker *b = x->b;
    unsigned char wrapped[GD_WRAPPED_KEY];
    struct gd_tx *tx = gd_tx_new(b->d.keys);

    gd_keyring_wrap_root(b->d.keyring, wrapped, b->d.rng);
    x->root = gd_root_text(wrapped, gd_json_i64(x->meta.root, "made_at", 0));
    gd_tx_add(tx, &sql_root, GD_P_TEXT(x->root), GD_P_TEXT(x->text));
    gd_store_commit(b->d.keys, tx, on_root, x);
}

/* ---- data keys ---- */

static void on_some(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;

    (void)tx;
    if (failed(x, r, err))
        return;
    x->b->rotate_err.reason = GD_R_OK;
    next_some(x);
}

/* A row of what is under another KEK. */
static int add_row(struct gd_rotating *x, struct gd_tx *to, const struct gd_tx *tx, size_t stmt, size_t row,
                   struct gd_err *err)
{
    const char *workspace = gd_tx_text(tx, stmt, row, 0), *client = gd_tx_text(tx, stmt, row, 1);
    unsigned char wrapped[GD_WRAPPED_KEY];
    char from[GD_KEK_ID] = "";
    size_t n = 0;
    const void *was = gd_tx_bytes(tx, stmt, row, 3, &n);

    if (n != GD_WRAPPED_KEY || !gd_wrapped_by(from, was))
        return gd_err_set(err, GD_R_SEAL_TAMPERED, "a data key in the keyring has %zu bytes", n);
    if (gd_keyring_rewrap(x->b->d.keyring, workspace, client, was, wrapped, x->b->d.rng, err) < 0)
        return -1;
    (void)GD_FAULT("F27");
    gd_tx_add(to, &sql_rewrap, GD_P_BYTES(wrapped, sizeof wrapped), GD_P_TEXT(x->to), GD_P_TEXT(workspace),
              GD_P_TEXT(client), GD_P_TEXT(gd_tx_text(tx, stmt, row, 2)), GD_P_TEXT(from));
    return 0;
}

static void on_under(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    struct gd_err e = { 0 };
    struct gd_tx *to;
    int64_t n = 0;

    if (failed(x, r, err))
        return;
    to = gd_tx_new(x->b->d.keys);
    for (size_t stmt = 0; stmt < x->stmts && !e.reason; stmt++)
        for (size_t row = 0; row < gd_tx_rows(tx, stmt) && n < AT_ONCE && !e.reason; row++, n++)
            (void)add_row(x, to, tx, stmt, row, &e);
    if (e.reason || n == 0)
        gd_tx_free(to);
    if (e.reason) {
        give_up(x, &e);
    } else if (n == 0) {
        wrap_root(x);
    } else {
        x->rows += n;
        gd_store_commit(x->b->d.keys, to, on_some, x);
    }
}

static void next_some(struct gd_rotating *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.keys);
    const char *id, *source;

    x->stmts = 0;
    for (size_t i = 0; (id = gd_keyring_kek(x->b->d.keyring, i, &source)); i++)
        if (strcmp(id, x->to) != 0) {
            gd_tx_add(tx, &sql_under, GD_P_TEXT(id), GD_P_INT(AT_ONCE));
            x->stmts++;
        }
    if (x->stmts > 0) {
        gd_store_read(x->b->d.keys, tx, on_under, x);
        return;
    }
    gd_tx_free(tx);
    wrap_root(x);
}

/* ---- the new one comes into use ---- */

static json_t *reply_json(const struct gd_rotating *x)
{
    return json_pack("{s:s, s:s, s:I}", "from", gd_json_text(x->meta.rotation, "from", ""), "to", x->to,
                     "rows", (json_int_t)gd_json_i64(x->meta.rotation, "rows", 0));
}

static bool is_mine(const struct gd_broker *b)
{
    static const struct gd_id any = { 0 };

    return gd_nodes_prefers(b->d.nodes, &any);
}

static void on_used(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    struct gd_err e = { 0 };

    if (failed(x, r, err))
        return;
    if (gd_tx_changes(tx, 0) == 0 || !gd_keyring_use(x->b->d.keyring, x->to)) {
        gd_err_set(&e, GD_R_CONFLICT, "another exchange of the key was begun meanwhile");
        give_up(x, &e);
        return;
    }
    x->b->rotate_err.reason = GD_R_OK;
    (void)GD_FAULT("rotate.used");
    if (x->call)
        gd_call_done(x->call, reply_json(x));
    x->call = NULL;
    if (is_mine(x->b))
        next_some(x);
    else
        rotating_free(x); /* its sweep finds it */
}

static void use(struct gd_rotating *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.keys);

    gd_tx_add(tx, &sql_use, GD_P_TEXT(x->to), GD_P_TEXT(x->text));
    gd_store_commit(x->b->d.keys, tx, on_used, x);
}

/* ---- does every node hold it? ---- */

char *gd_key_lacking(const json_t *nodes, const struct gd_tx *tx, size_t holders, const char *kek)
{
    char *all = NULL;
    json_t *one;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)nodes, i, one)
    {
        const char *name = json_string_value(one);
        bool has = false;

        for (size_t k = 0; k < gd_tx_rows(tx, holders); k++)
            if (!strcmp(gd_tx_text(tx, holders, k, 0), name))
                has = strstr(gd_tx_text(tx, holders, k, 1), kek) != NULL;
        if (!has) {
            char *more = gd_strf("%s%s%s", all ? all : "", all ? ", " : "", name);

            gd_free(all);
            all = more;
        }
    }
    return all;
}

static json_t *names_of(const struct gd_tx *tx)
{
    json_t *names = json_array();

    for (size_t i = 0; i < gd_tx_rows(tx, 0); i++)
        json_array_append_new(names, json_string(gd_tx_text(tx, 0, i, 0)));
    return names;
}

static void on_taken_back(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    struct gd_err e = x->call
                          ? x->call->err
                          : (struct gd_err){ .reason = GD_R_KEY_WRONG, .text = "the new key is not here" };

    (void)tx;
    if (!failed(x, r, err))
        give_up(x, &e);
}

static void take_back(struct gd_rotating *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.keys);

    if (x->was)
        gd_tx_add(tx, &sql_next, GD_P_TEXT(x->was), GD_P_TEXT(x->text));
    else
        gd_tx_add(tx, &sql_back, GD_P_TEXT(x->text));
    gd_store_commit(x->b->d.keys, tx, on_taken_back, x);
}

static void on_holders(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    GD_AUTO_FREE char *without = NULL;
    struct gd_err e = { 0 };

    if (failed(x, r, err))
        return;
    without = gd_store_shared(x->b->d.keys) ? gd_key_lacking(x->nodes, tx, 0, x->to) : NULL;
    if (!without) {
        use(x);
        return;
    }
    gd_err_set(&e, GD_R_KEY_NODE_LACKS, "key %s is not on every node: %.160s", x->to, without);
    if (!x->call) {
        give_up(x, &e);
        return;
    }
    x->call->err = e;
    take_back(x);
}

/* In this order: a node says what it holds before it says that it lives. */
static void on_nodes(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;

    if (failed(x, r, err))
        return;
    x->nodes = names_of(tx);
    tx = gd_tx_new(x->b->d.keys);
    (void)gd_key_holders_add(tx);
    gd_store_read(x->b->d.keys, tx, on_holders, x);
}

static void ask_nodes(struct gd_rotating *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);

    gd_tx_add_(tx, &sql_nodes, NULL, 0);
    gd_store_read(x->b->d.store, tx, on_nodes, x);
}

/* ---- asked for ---- */

static void on_intent(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    struct gd_err e = { 0 };

    if (failed(x, r, err))
        return;
    if (gd_tx_changes(tx, 0) == 0) {
        gd_err_set(&e, GD_R_CONFLICT, "another exchange of the key was begun at the same moment");
        give_up(x, &e);
        return;
    }
    (void)GD_FAULT("rotate.meant");
    ask_nodes(x);
}

static void mean_it(struct gd_rotating *x, int64_t rows)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.keys);

    x->was = x->meta.rotation_text ? gd_strdup(x->meta.rotation_text) : NULL;
    x->text = rotation_text(x->meta.kek, x->to, gd_now(x->b->d.clock), 0, rows);
    json_decref(x->meta.rotation);
    x->meta.rotation = gd_json_parse(x->text, strlen(x->text), GD_KEY_META_MAX, NULL);
    if (x->was)
        gd_tx_add(tx, &sql_next, GD_P_TEXT(x->text), GD_P_TEXT(x->was));
    else
        gd_tx_add(tx, &sql_first, GD_P_TEXT(x->text));
    gd_store_commit(x->b->d.keys, tx, on_intent, x);
}

int64_t gd_key_rows_beside(const struct gd_tx *tx, size_t counts, const char *kek)
{
    int64_t n = 0;

    for (size_t i = 0; i < gd_tx_rows(tx, counts); i++)
        if (strcmp(gd_tx_text(tx, counts, i, 0), kek) != 0)
            n += gd_tx_int(tx, counts, i, 1);
    return n;
}

bool gd_root_is_under(const json_t *root, const char *kek)
{
    unsigned char wrapped[GD_WRAPPED_KEY];
    char id[GD_KEK_ID] = "";

    return gd_root_wrapped(root, wrapped, NULL) == 0 && gd_wrapped_by(id, wrapped) && !strcmp(id, kek);
}

static void on_looked(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;
    struct gd_err e = { 0 };
    int64_t rows;

    if (failed(x, r, err))
        return;
    gd_tx_each(tx, 0, gd_key_meta_row, &x->meta);
    rows = gd_key_rows_beside(tx, 1, x->to);
    if (gd_rotation_runs(x->meta.rotation))
        gd_err_set(&e, GD_R_KEY_ROTATING,
                   "key %s is taking the place of %s; `grantctl key status` says how far it is",
                   gd_json_text(x->meta.rotation, "to", "?"), gd_json_text(x->meta.rotation, "from", "?"));
    else if (!strcmp(x->meta.kek, x->to) && rows == 0 && gd_root_is_under(x->meta.root, x->to))
        gd_err_set(&e, GD_R_KEY_UNCHANGED, "key %s, which is named under key, is in use already", x->to);
    if (e.reason)
        give_up(x, &e);
    else
        mean_it(x, rows);
}

static void look(struct gd_rotating *x, gd_tx_fn *fn)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.keys);

    (void)gd_key_meta_add(tx);
    (void)gd_key_counts_add(tx);
    gd_store_read(x->b->d.keys, tx, fn, x);
}

void gd_key_rotate(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                   void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_rotating *x;

    if (b->rotating) {
        gd_call_fail(c, GD_R_KEY_ROTATING,
                     "the key is being exchanged; `grantctl key status` says how far it is");
        return;
    }
    x = b->rotating = rotating_new(b, c);
    (void)snprintf(x->to, sizeof x->to, "%s", b->kek);
    look(x, on_looked);
}

/* ---- gone on with ---- */

static void on_found(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_rotating *x = arg;

    if (failed(x, r, err))
        return;
    gd_tx_each(tx, 0, gd_key_meta_row, &x->meta);
    (void)gd_keyring_use(x->b->d.keyring, x->meta.kek); /* another node may have changed it */
    if (!gd_rotation_runs(x->meta.rotation))
        x->b->rotate_err.reason = GD_R_OK;
    if (x->b->rotating || !gd_rotation_runs(x->meta.rotation) || !is_mine(x->b)) {
        rotating_free(x);
        return;
    }
    x->b->rotating = x;
    (void)snprintf(x->to, sizeof x->to, "%s", gd_json_text(x->meta.rotation, "to", ""));
    x->text = gd_strdup(x->meta.rotation_text);
    if (!strcmp(x->meta.kek, x->to))
        next_some(x);
    else if (gd_keyring_holds(x->b->d.keyring, x->to) || gd_store_shared(x->b->d.keys))
        ask_nodes(x);
    else
        take_back(x); /* nothing is wrapped by it, and nobody names it any more */
}

void gd_rotate_sweep(struct gd_broker *b)
{
    struct gd_rotating *x;
    struct gd_tx *tx;

    if (b->rotating || b->draining)
        return;
    /* Only a look as yet: whoever asks meanwhile comes first. */
    x = rotating_new(b, NULL);
    tx = gd_tx_new(b->d.keys);
    (void)gd_key_meta_add(tx);
    gd_store_read(b->d.keys, tx, on_found, x);
}
