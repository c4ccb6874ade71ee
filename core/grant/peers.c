/* grant/peers.c - what other nodes changed. The store names it (gd_store_options.on_news); it is read again,
 * many at a time, and put into the index as at the start. The store is the truth and the index a copy of it:
 * a row may be read twice, or by somebody who has it already, and nothing changes.
 *
 * How old the copy may be: news come at most a quarter of a second after the commit. Who needs the present
 * state (somebody names what is not here, a browser comes back from a platform) asks the store first,
 * gd_broker_catch_up. A node that cannot read the store for VEND_BLIND_MS stops vending: what was revoked
 * elsewhere would not reach it. */
#include "base/fault.h"
#include "grant/erased.h"
#include "grant/heed.h"
#include "grant/peers.h"

#include <string.h>

#define AT_ONCE 256
#define PAGE    512 /* rows, when all are read again */

GD_SQL(sql_client, GD_CLIENT_ROW GD_PEERS_SOME);
GD_SQL(sql_cred, GD_CRED_ROW GD_PEERS_SOME);
GD_SQL(sql_grant, GD_GRANT_ROW GD_PEERS_SOME);
GD_SQL(sql_keys, "SELECT workspace, client_id, wrapped, state FROM data_keys WHERE workspace = $1"
                 " AND client_id = $2 ORDER BY created_at");

/* In the order in which they are put into the index. */
enum kind { CLIENT, CRED, GRANT, KINDS, HUB, OTHER };

struct change {
    struct gd_list node;
    enum kind kind;
    bool again; /* it was put off once */
    char *workspace, *id;
    size_t stmt; /* that reads it */
};
struct waiter { /* for what is known now to be in the index */
    struct gd_list node;
    void (*fn)(void *);
    void *arg;
};
struct gd_peers {
    struct gd_map known; /* "workspace id" -> what waits to be read */
    struct gd_list waiting, reading, waiters, served;
    unsigned keys; /* reads of the keyring, and of hubs, under way */
    bool busy, reloading;
};

static void read_some(struct gd_broker *b);

static struct gd_peers *peers_of(struct gd_broker *b)
{
    if (!b->peers) {
        b->peers = gd_new(sizeof *b->peers);
        gd_list_init(&b->peers->waiting);
        gd_list_init(&b->peers->reading);
        gd_list_init(&b->peers->waiters);
        gd_list_init(&b->peers->served);
    }
    return b->peers;
}

static enum kind kind_of(const char *id)
{
    return !strncmp(id, "cl", 2)     ? CLIENT
           : !strncmp(id, "cr", 2)   ? CRED
           : !strncmp(id, "gr", 2)   ? GRANT
           : !strncmp(id, "hub ", 4) ? HUB
                                     : OTHER;
}

static void change_free(struct change *c)
{
    gd_free(c->workspace);
    gd_free(c->id);
    gd_free(c);
}

static void put(struct gd_broker *b, const char *workspace, const char *id, bool again)
{
    struct gd_peers *p = peers_of(b);
    GD_AUTO_FREE char *name = gd_strf("%s %s", workspace, id);
    struct change *c;

    if (kind_of(id) == OTHER || gd_map_get(&p->known, name))
        return;
    c = gd_new(sizeof *c);
    *c = (struct change){
        .kind = kind_of(id), .again = again, .workspace = gd_strdup(workspace), .id = gd_strdup(id)
    };
    (void)gd_map_set(&p->known, name, c);
    gd_list_add(&p->waiting, &c->node);
}

void gd_peers_changed(struct gd_broker *b, const char *workspace, const char *id)
{
    put(b, workspace, id, false);
    read_some(b);
}

/* ---- clients and their keys ---- */

struct key_read {
    struct gd_broker *b;
    char *workspace, *client;
};

static void served(struct gd_broker *b);

/* Whom another node erased is in no file of this one. */
static void forget(struct gd_broker *b, const char *workspace, const char *client)
{
    if (gd_keyring_dek(b->d.keyring, workspace, client))
        gd_store_spool_forget(b->d.store);
    gd_keyring_forget(b->d.keyring, workspace, client);
    gd_erased_note(b->erased, workspace, client);
    gd_erased_sync(b->erased);
}

/* The key as it is stored now: another node made it, or destroyed it. */
static void on_keys(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct key_read *k = arg;
    struct gd_broker *b = k->b;
    struct gd_err e = { 0 };
    size_t n = 0;

    if (GD_FAULT("keys.unread"))
        r = GD_STORE_FAILED;
    if (r != GD_STORE_OK) { /* until then whoever needs it hears that it is missing */
        GD_LOG(b->d.log, GD_LOG_WARN, "peers.read_failed", GD_F_ERR(err));
        put(b, k->workspace, k->client, true);
    }
    for (size_t i = 0; r == GD_STORE_OK && i < gd_tx_rows(tx, 0); i++) {
        const void *wrapped = gd_tx_bytes(tx, 0, i, 2, &n);

        if (!strcmp(gd_tx_text(tx, 0, i, 3), "erased")) {
            forget(b, k->workspace, k->client);
            break;
        }
        if (n == GD_WRAPPED_KEY && !gd_keyring_dek(b->d.keyring, k->workspace, k->client) &&
            !gd_keyring_add_dek(b->d.keyring, k->workspace, k->client, wrapped, &e))
            GD_LOG(b->d.log, GD_LOG_ERROR, "peers.key", GD_F_ERR(&e));
    }
    gd_free(k->workspace);
    gd_free(k->client);
    gd_free(k);
    b->peers->keys--;
    served(b);
    gd_busy(b, -1);
}

static void read_keys(struct gd_broker *b, const char *workspace, const char *client)
{
    struct key_read *k = gd_new(sizeof *k);
    struct gd_tx *tx = gd_tx_new(b->d.keys);

    *k = (struct key_read){ b, gd_strdup(workspace), gd_strdup(client) };
    b->peers->keys++;
    gd_busy(b, 1);
    gd_tx_add(tx, &sql_keys, GD_P_TEXT(workspace), GD_P_TEXT(client));
    gd_store_read(b->d.keys, tx, on_keys, k);
}

/* ---- what was read ---- */

struct taking {
    struct gd_broker *b;
    bool again;
};

static void on_client(void *arg, const struct gd_row *row)
{
    struct gd_broker *b = ((struct taking *)arg)->b;

    if (!strcmp(gd_row_text(row, 2), "erased") || !strcmp(gd_row_text(row, 2), "erasing"))
        forget(b, gd_row_text(row, 0), gd_row_text(row, 1));
    gd_take_client(b, row);
}

static void on_cred(void *arg, const struct gd_row *row)
{
    struct gd_broker *b = ((struct taking *)arg)->b;

    gd_take_cred(b, row);
    for (unsigned i = 0; i < b->nhubs; i++) /* works with a token of its own copy */
        if (!strcmp(b->hubs[i].cred, gd_row_text(row, 1)))
            gd_hubs_reload(b, b->hubs[i].hub.workspace, b->hubs[i].hub.id);
}

/* A grant may be told of before its credential. */
static void on_grant(void *arg, const struct gd_row *row)
{
    struct taking *t = arg;

    if (gd_take_grant(t->b, row) || t->again)
        return;
    put(t->b, gd_row_text(row, 0), gd_row_text(row, 2), true);
    put(t->b, gd_row_text(row, 0), gd_row_text(row, 1), true);
}

static gd_row_fn *const take[KINDS] = { on_client, on_cred, on_grant };

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_broker *b = arg;
    struct gd_peers *p = b->peers;
    struct gd_list *l;
    size_t done = SIZE_MAX; /* the statement whose rows were taken last */

    p->busy = false;
    if (GD_FAULT("peers.unread"))
        r = GD_STORE_FAILED;
    if (r != GD_STORE_OK) /* what changed is not forgotten: the next sweep, or who waits for it, reads it */
        GD_LOG(b->d.log, GD_LOG_WARN, "peers.read_failed", GD_F_ERR(err));
    while ((l = gd_list_pop(&p->reading))) {
        struct change *c = gd_container_of(l, struct change, node);
        struct taking t = { b, c->again };

        if (r != GD_STORE_OK)
            put(b, c->workspace, c->id, c->again);
        else if (c->stmt != done)
            gd_tx_each(tx, c->stmt, take[c->kind], &t);
        done = c->stmt;
        change_free(c);
    }
    gd_events_wake(b->d.events);
    if (r == GD_STORE_OK)
        read_some(b);
    served(b);
    gd_busy(b, -1);
}

/* ---- reading ---- */

/* Rows of one kind that one statement reads. */
struct some {
    const struct change *first;
    struct gd_param params[1 + GD_PEERS_IDS]; /* workspace, ids */
    size_t n;                                 /* ids */
};

static void ask_some(struct gd_tx *tx, struct some *s)
{
    static const struct gd_sql *const sql[KINDS] = { &sql_client, &sql_cred, &sql_grant };

    if (s->n == 0)
        return;
    for (size_t i = s->n; i < GD_PEERS_IDS; i++) /* one named twice is read once */
        s->params[1 + i] = s->params[s->n];
    (void)gd_tx_add_(tx, sql[s->first->kind], s->params, 1 + GD_PEERS_IDS);
    s->n = 0;
}

/* stmt: how many there are already. */
static size_t add_to_some(struct gd_tx *tx, struct some *s, struct change *c, size_t stmt)
{
    if (s->n == GD_PEERS_IDS || (s->n && (s->first->kind != c->kind || s->first->again != c->again ||
                                          strcmp(s->first->workspace, c->workspace) != 0)))
        ask_some(tx, s);
    if (s->n == 0) {
        s->first = c;
        s->params[0] = GD_P_TEXT(c->workspace);
        stmt++;
    }
    s->params[++s->n] = GD_P_TEXT(c->id);
    c->stmt = stmt - 1;
    return stmt;
}

/* The next ones in the order of their kinds; hubs are read by their own room. */
static unsigned take_batch(struct gd_broker *b, struct gd_tx *tx)
{
    struct gd_peers *p = b->peers;
    struct some some = { 0 };
    size_t stmts = 0;
    unsigned n = 0;

    for (int kind = CLIENT; kind <= HUB && n < AT_ONCE; kind++)
        for (struct gd_list *l = p->waiting.next, *next; l != &p->waiting && n < AT_ONCE; l = next) {
            struct change *c = gd_container_of(l, struct change, node);
            GD_AUTO_FREE char *name = NULL;

            next = l->next;
            if ((int)c->kind != kind)
                continue;
            name = gd_strf("%s %s", c->workspace, c->id);
            gd_list_del(l);
            (void)gd_map_del(&p->known, name);
            if (kind == HUB) {
                gd_hubs_reload(b, c->workspace, c->id + 4);
                change_free(c);
                continue;
            }
            if (kind == CLIENT)
                read_keys(b, c->workspace, c->id);
            stmts = add_to_some(tx, &some, c, stmts);
            gd_list_add(&p->reading, &c->node);
            n++;
        }
    ask_some(tx, &some);
    return n;
}

static void read_some(struct gd_broker *b)
{
    struct gd_peers *p = b->peers;
    struct gd_tx *tx;

    if (p->busy || gd_list_empty(&p->waiting))
        return;
    tx = gd_tx_new(b->d.store);
    if (take_batch(b, tx) == 0) {
        gd_tx_free(tx);
        return;
    }
    p->busy = true;
    gd_busy(b, 1);
    gd_store_read(b->d.store, tx, on_read, b);
}

void gd_peers_reads(struct gd_broker *b, int by, const char *workspace, const char *failed)
{
    struct gd_peers *p = peers_of(b);

    p->keys += (unsigned)by;
    if (failed)
        put(b, workspace, failed, true);
    else if (by < 0)
        served(b);
}

void gd_peers_go_on(struct gd_broker *b)
{
    if (b->peers)
        read_some(b);
}

/* ---- everything ---- */

/* What changed is not known: all that is held is read again, a page after the other. */
struct reload {
    struct gd_broker *b;
    enum kind kind;
    unsigned workspace;
    char last[GD_ID_TEXT_MAX];
};

GD_SQL(sql_clients_on, GD_CLIENT_ROW " WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3");
GD_SQL(sql_creds_on, GD_CRED_ROW " WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3");
GD_SQL(sql_grants_on, GD_GRANT_ROW " WHERE workspace = $1 AND id > $2 ORDER BY id LIMIT $3");

static void on_page(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

static void read_page(struct reload *l)
{
    static const struct gd_sql *const sql[KINDS] = { &sql_clients_on, &sql_creds_on, &sql_grants_on };
    struct gd_tx *tx = gd_tx_new(l->b->d.store);

    gd_tx_add(tx, sql[l->kind], GD_P_TEXT(l->b->workspaces[l->workspace]), GD_P_TEXT(l->last),
              GD_P_INT(PAGE));
    gd_store_read(l->b->d.store, tx, on_page, l);
}

static void reload_end(struct reload *l)
{
    struct gd_broker *b = l->b;

    for (unsigned i = 0; i < b->nhubs; i++)
        gd_hubs_reload(b, b->hubs[i].hub.workspace, b->hubs[i].hub.id);
    GD_LOG(b->d.log, GD_LOG_INFO, "peers.reloaded");
    b->peers->reloading = false;
    gd_free(l);
    gd_busy(b, -1);
}

/* Every client's key may have been made or destroyed, too. */
static void take_page(struct reload *l, const struct gd_tx *tx)
{
    struct taking t = { l->b, true };

    gd_tx_each(tx, 0, take[l->kind], &t);
    for (size_t i = 0; l->kind == CLIENT && i < gd_tx_rows(tx, 0); i++)
        read_keys(l->b, gd_tx_text(tx, 0, i, 0), gd_tx_text(tx, 0, i, 1));
}

static void on_page(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct reload *l = arg;
    size_t n = r == GD_STORE_OK ? gd_tx_rows(tx, 0) : 0;

    if (l->b->draining) {
        reload_end(l);
        return;
    }
    if (r != GD_STORE_OK) /* the same page once more; the store says how long it takes */
        GD_LOG(l->b->d.log, GD_LOG_WARN, "peers.read_failed", GD_F_ERR(err));
    else
        take_page(l, tx);
    if (n > 0) {
        (void)snprintf(l->last, sizeof l->last, "%s", gd_tx_text(tx, 0, n - 1, 1));
    } else if (r == GD_STORE_OK) {
        l->last[0] = '\0';
        if (++l->workspace == l->b->nworkspaces) {
            l->workspace = 0;
            l->kind++;
        }
    }
    if (l->kind == KINDS)
        reload_end(l);
    else
        read_page(l);
}

static void reload(struct gd_broker *b)
{
    struct reload *l;

    if (peers_of(b)->reloading)
        return;
    b->peers->reloading = true;
    l = gd_new(sizeof *l);
    l->b = b;
    gd_busy(b, 1);
    read_page(l);
}

/* ---- catching up ---- */

/* Everything that was known to have changed is in the index: tells who waited. */
static void served(struct gd_broker *b)
{
    struct gd_peers *p = b->peers;
    struct gd_list *l;

    if (p->busy || p->keys || !gd_list_empty(&p->waiting))
        return;
    while ((l = gd_list_pop(&p->served))) {
        struct waiter *w = gd_container_of(l, struct waiter, node);

        gd_defer(b, w->fn, w->arg);
        gd_free(w);
    }
}

static void on_caught_up(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_broker *b = arg;
    struct gd_list *l = gd_list_pop(&b->peers->waiters);

    (void)tx;
    (void)r; /* what is here is the best there is; whoever needs the store hears of it there */
    (void)err;
    gd_list_add(&b->peers->served, l);
    read_some(b);
    served(b);
    gd_busy(b, -1);
}

bool gd_broker_shared(const struct gd_broker *b)
{
    return gd_store_shared(b->d.store);
}

void gd_broker_catch_up(struct gd_broker *b, void (*fn)(void *), void *arg)
{
    struct waiter *w;

    if (!gd_store_shared(b->d.store)) {
        gd_defer(b, fn, arg);
        return;
    }
    w = gd_new(sizeof *w);
    w->fn = fn;
    w->arg = arg;
    gd_list_add(&peers_of(b)->waiters, &w->node);
    gd_busy(b, 1);
    gd_store_catch_up(b->d.store, on_caught_up, b);
}

void gd_broker_news(struct gd_broker *b, const char *workspace, const char *id)
{
    if (id && !strcmp(id, GD_EVENT_NEWS))
        gd_events_wake(b->d.events);
    else if (id && gd_heed_news(b, id))
        return;
    else if (id)
        gd_peers_changed(b, workspace, id);
    else
        reload(b);
}

void gd_peers_free(struct gd_broker *b)
{
    struct gd_list *l;

    if (!b->peers)
        return;
    while ((l = gd_list_pop(&b->peers->waiting)))
        change_free(gd_container_of(l, struct change, node));
    gd_map_done(&b->peers->known, NULL);
    gd_free(b->peers);
}
