/* grant/close.c - ending access. From the first line on nothing is vended; the grant is "ending" in the store
 * before the platform is asked, so a crash goes on with it (closing.c). A refresh in flight is waited for and
 * what it brought is what is revoked. */
#include "base/fault.h"
#include "grant/closing.h"

#include <string.h>

GD_SQL(sql_ending,
       "UPDATE grants SET lifecycle = 'ending', reason = 'GRANT_ENDING', reason_text = COALESCE($3, "
       "reason_text), worker = $4, ordered = COALESCE($5, ordered), closing_until = gd_now() + $6 WHERE "
       "workspace = $1 AND id = $2 AND "
       "(lifecycle IN ('confirming', 'live')"
       " OR (lifecycle = 'ending' AND (worker IS NULL OR worker = $4)))");
GD_SQL(sql_life, "SELECT lifecycle FROM grants WHERE workspace = $1 AND id = $2");

static void on_ending(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);

/* cred: of an orphan, where grant is "". */
static struct gd_closing *closing_new(struct gd_broker *b, const char *workspace, const char *grant,
                                      const char *cred)
{
    struct gd_closing *x = gd_new(sizeof *x);

    x->b = b;
    x->arena = gd_arena_new(0);
    x->workspace = gd_arena_strdup(x->arena, workspace);
    x->grant = gd_arena_strdup(x->arena, grant);
    x->ix_grant = x->ix_cred = GD_NONE;
    x->before = GD_LIFE_ENDING;
    (void)snprintf(x->cred, sizeof x->cred, "%s", cred);
    x->key = gd_arena_strdup(x->arena, grant[0] ? grant : cred);
    x->surfaces = (struct gd_surfaces){ .b = b, .workspace = x->workspace, .grant = x->grant };
    uv_timer_init(b->d.loop, &x->again);
    x->again.data = x;
    (void)gd_map_set(&b->closings, x->key, x);
    gd_busy(b, 1);
    return x;
}

static void closing_join(struct gd_closing *x, struct gd_call *c)
{
    json_t *inputs = json_object_get(c->params, "inputs");

    if (inputs && !x->inputs)
        x->inputs = json_incref(inputs);
    x->force = x->force || gd_json_bool(c->params, "force", false);
    x->calls = gd_resize(x->calls, (x->ncalls + 1) * sizeof *x->calls);
    x->calls[x->ncalls++] = c;
}

static void on_again_closed(uv_handle_t *h)
{
    struct gd_closing *x = h->data;
    struct gd_broker *b = x->b;

    gd_secret_done(&x->access);
    gd_secret_done(&x->refresh);
    json_decref(x->kept);
    json_decref(x->params);
    json_decref(x->inputs);
    json_decref(x->others);
    gd_surfaces_done(&x->surfaces);
    gd_arena_free(x->arena);
    gd_free(x->calls);
    gd_free(x);
    gd_busy(b, -1);
}

void gd_closing_free(struct gd_closing *x)
{
    (void)gd_map_del(&x->b->closings, x->key);
    uv_close((uv_handle_t *)&x->again, on_again_closed);
}

void gd_closing_later(struct gd_closing *x, int64_t at)
{
    struct gd_broker *b = x->b;

    if (x->ix_cred != GD_NONE && (gd_cred_at(&b->ix, x->ix_cred)->flags & GD_IX_REVOKING))
        gd_cred_due(b, x->ix_cred, at);
    else if (!x->grant[0])
        gd_ending_note(b, x->workspace, x->cred);
    else if (b->ears.look)
        b->ears.look(b->ears.arg, x->workspace, x->grant, at);
}

void gd_closing_failed(struct gd_closing *x, const struct gd_err *err)
{
    GD_LOG(x->b->d.log, GD_LOG_ERROR, "close.failed", GD_F_STR("grant", x->grant),
           GD_F_STR("credential", x->cred), GD_F_ERR(err));
    for (unsigned i = 0; i < x->ncalls; i++)
        gd_call_error(x->calls[i], err);
    gd_closing_free(x);
}

void gd_closing_done(struct gd_closing *x)
{
    gd_events_wake(x->b->d.events);
    for (unsigned i = 0; i < x->ncalls; i++)
        gd_grant_reply(x->calls[i], x->grant, json_pack("{s:[]}", "surfaces"));
    gd_closing_free(x);
}

/* ---- from here on nothing is vended ---- */

static bool others_live(const struct gd_broker *b, uint32_t cred, uint32_t but)
{
    for (uint32_t g = gd_cred_at(&b->ix, cred)->first_grant; g != GD_NONE;
         g = gd_grant_at(&b->ix, g)->next_of_cred) {
        uint8_t life = gd_grant_at(&b->ix, g)->lifecycle;

        if (g != but && (life == GD_LIFE_LIVE || life == GD_LIFE_CONFIRMING))
            return true;
    }
    return false;
}

void gd_closing_hold_cred(struct gd_closing *x)
{
    gd_cred_at(&x->b->ix, x->ix_cred)->flags |= GD_IX_REVOKING;
    gd_tokens_drop(x->b->tokens, x->ix_cred);
}

static void stop_vending(struct gd_closing *x)
{
    struct gd_ix_grant *g = gd_grant_at(&x->b->ix, x->ix_grant);

    x->before = (enum gd_lifecycle)g->lifecycle;
    g->lifecycle = GD_LIFE_ENDING;
    x->ix_cred = g->cred;
    if (g->cred == GD_NONE)
        return;
    gd_id_text(x->cred, "cr", &gd_cred_at(&x->b->ix, g->cred)->id);
    x->shared = others_live(x->b, g->cred, x->ix_grant);
    if (!x->shared)
        gd_closing_hold_cred(x);
}

static void undo_stop(struct gd_closing *x)
{
    gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = (uint8_t)x->before;
    if (x->ix_cred != GD_NONE && !x->shared)
        gd_cred_at(&x->b->ix, x->ix_cred)->flags &= (uint8_t)~GD_IX_REVOKING;
}

void gd_closing_claim(struct gd_closing *x)
{
    struct gd_tx *tx = gd_tx_new(x->b->d.store);
    GD_AUTO_FREE unsigned char *order = NULL;
    char client[GD_ID_TEXT_MAX];
    size_t n = 0;

    gd_id_text(client, "cl", &gd_client_at(&x->b->ix, gd_grant_at(&x->b->ix, x->ix_grant)->client)->id);
    order = gd_closing_seal_order(x, client, &n);
    gd_tx_add(tx, &sql_ending, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant), GD_P_TEXT(x->why),
              GD_P_TEXT(gd_nodes_worker(x->b->d.nodes)), GD_P_BYTES(order, n), GD_P_INT(gd_closing_ms(x->b)));
    gd_tx_add(tx, &sql_life, GD_P_TEXT(x->workspace), GD_P_TEXT(x->grant));
    gd_tx_news(tx, x->workspace, x->grant);
    gd_store_commit(x->b->d.store, tx, on_ending, x);
}

static void start_closing(struct gd_closing *x)
{
    stop_vending(x);
    (void)GD_FAULT("F28");
    gd_closing_claim(x);
}

/* What only a person could close may be closed by now: ordered again, it is looked at. */
static void on_left_looked(void *arg, const struct gd_look_result *r)
{
    struct gd_call *c = arg;

    (void)r;
    gd_grant_reply(c, gd_param(c, "grant"), json_pack("{s:[]}", "surfaces"));
}

void gd_grant_revoke(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                     void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    const char *text = gd_param(c, "grant");
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", text, strlen(text)) ? gd_grant_number(b, c->workspace, &id) : GD_NONE;
    struct gd_closing *x;

    if (n == GD_NONE || gd_grant_at(&b->ix, n)->lifecycle >= GD_LIFE_ENDED) {
        gd_look(b, c->workspace, text, true, on_left_looked, c); /* ended long ago, or not there */
        return;
    }
    x = gd_map_get(&b->closings, text);
    if (x) {
        closing_join(x, c);
        return;
    }
    x = closing_new(b, c->workspace, text, "");
    closing_join(x, c);
    x->ix_grant = n;
    x->why =
        gd_arena_strdup(x->arena, gd_param(c, "reason") ? gd_param(c, "reason") : "revoked by an operator");
    start_closing(x);
}

void gd_close_resume(struct gd_broker *b, const char *workspace, const char *grant)
{
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", grant, strlen(grant)) ? gd_index_grant(&b->ix, &id) : GD_NONE;
    struct gd_closing *x;

    if (n == GD_NONE || b->draining || gd_grant_at(&b->ix, n)->lifecycle != GD_LIFE_ENDING ||
        gd_map_get(&b->closings, grant))
        return;
    x = closing_new(b, workspace, grant, "");
    x->ix_grant = n;
    start_closing(x);
}

void gd_close_orphan(struct gd_broker *b, const char *workspace, const char *cred)
{
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "cr", cred, strlen(cred)) ? gd_index_cred(&b->ix, &id) : GD_NONE;
    struct gd_closing *x;

    x = gd_map_get(&b->closings, cred);
    if (x)
        x->let_go = true;
    if (n == GD_NONE || b->draining || x || !gd_close_is_orphan(b, n))
        return;
    x = closing_new(b, workspace, "", cred);
    x->ix_cred = n;
    gd_closing_go(x); /* the store knows more: what is being set up with it */
}

void gd_close_orphans(struct gd_broker *b)
{
    char id[GD_ID_TEXT_MAX];

    for (uint32_t i = 0; i < b->ix.creds.count; i++) {
        const struct gd_ix_cred *c = gd_cred_at(&b->ix, i);

        if (!gd_close_is_orphan(b, i) || c->app >= b->napps)
            continue;
        gd_id_text(id, "cr", &c->id);
        gd_close_orphan(b, b->workspaces[gd_client_at(&b->ix, c->client)->workspace], id);
    }
}

/* ---- it is ending in the store ---- */

static void on_ending(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_closing *x = arg;
    struct gd_err e = { .reason = GD_R_STORE_FAILED,
                        .text = "the store could not be written; nothing was revoked" };

    (void)GD_FAULT("close.ending");
    if (r == GD_STORE_FAILED && x->before != GD_LIFE_ENDING) {
        undo_stop(x);
        gd_closing_failed(x, err ? err : &e);
    } else if (r != GD_STORE_OK) { /* it is "ending" there, or may be: go on as if, it is the safe side */
        gd_closing_later(x, gd_now(x->b->d.clock) + GD_CLOSING_AGAIN_MS);
        gd_closing_failed(x, err ? err : &e);
    } else if (gd_tx_changes(tx, 0) == 0) { /* has ended meanwhile, or another node is closing it */
        bool ending = gd_tx_rows(tx, 1) && !strcmp(gd_tx_text(tx, 1, 0, 0), "ending");

        gd_grant_at(&x->b->ix, x->ix_grant)->lifecycle = ending ? GD_LIFE_ENDING : GD_LIFE_ENDED;
        gd_closing_done(x);
    } else {
        x->before = GD_LIFE_ENDING;
        gd_closing_go(x);
    }
}
