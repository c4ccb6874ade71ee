/* grant/client.c - clients: whose assets are asked for. */
#include "grant/exchange.h"

#include <string.h>

#define COLUMNS "id, name, email, locale, state, created_at"

GD_SQL(sql_hold, "UPDATE clients SET updated_at = updated_at WHERE workspace = $1 AND id = $2");
GD_SQL(sql_insert, "INSERT INTO clients (workspace, id, name, email, locale, state, created_at, updated_at)"
                   " VALUES ($1, $2, $3, $4, $5, 'active', $6, $6)");
GD_SQL(sql_get, "SELECT " COLUMNS " FROM clients WHERE workspace = $1 AND id = $2"
                " AND state <> 'hub'"); /* which stands for the agency itself: hub.c */
GD_SQL(sql_list, "SELECT " COLUMNS " FROM clients WHERE workspace = $1 AND id > $2 AND state <> 'hub'"
                 " ORDER BY id LIMIT $3");
GD_SQL(sql_update, "UPDATE clients SET name = COALESCE($1, name), email = COALESCE($2, email),"
                   " locale = COALESCE($3, locale), updated_at = $4 WHERE workspace = $5 AND id = $6"
                   " AND state NOT IN ('erasing', 'erased', 'hub')");

static json_t *row_json(const char *workspace, const struct gd_tx *tx, size_t stmt, size_t row)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:o}", "id", gd_tx_text(tx, stmt, row, 0), "workspace",
                     workspace, "name", gd_tx_text(tx, stmt, row, 1), "email",
                     gd_text_json(gd_tx_text(tx, stmt, row, 2)), "locale",
                     gd_text_json(gd_tx_text(tx, stmt, row, 3)), "state", gd_tx_text(tx, stmt, row, 4),
                     "created_at", gd_time_json(gd_tx_int(tx, stmt, row, 5)));
}

static void on_read(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0)
        gd_call_fail(c, GD_R_NOT_FOUND, "no client of that id is visible to you");
    else
        gd_call_done(c, json_pack("{s:o}", "client", row_json(c->workspace, tx, 0, 0)));
}

void gd_client_reply(struct gd_call *c, const char *client)
{
    struct gd_tx *tx = gd_tx_new(c->b->d.store);

    gd_tx_add(tx, &sql_get, GD_P_TEXT(c->workspace), GD_P_TEXT(client));
    gd_store_read(c->b->d.store, tx, on_read, c);
}

static void on_created(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    char *text = c->state;
    struct gd_id id;

    (void)tx;
    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_id_parse(&id, "cl", text, strlen(text)))
        gd_index_add_client(&c->b->ix, &id, (uint16_t)gd_workspace_number(c->b, c->workspace));
    gd_events_wake(c->b->d.events);
    gd_client_reply(c, text);
}

void gd_client_create(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                      void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    char *id = gd_arena_alloc(c->arena, GD_ID_TEXT_MAX);
    int64_t now = gd_now(b->d.clock);
    struct gd_tx *tx;

    c->state = id;
    if (gd_workspace_number(b, c->workspace) < 0) {
        gd_call_fail(c, GD_R_WORKSPACE_UNKNOWN, "no workspace %s is configured", c->workspace);
        return;
    }
    gd_id_make(id, "cl", now, b->d.rng);
    tx = gd_tx_new(b->d.store);
    gd_tx_add(tx, &sql_insert, GD_P_TEXT(c->workspace), GD_P_TEXT(id), GD_P_TEXT(gd_param(c, "name")),
              GD_P_TEXT(gd_param(c, "email")), GD_P_TEXT(gd_param(c, "locale")), GD_P_INT(now));
    gd_tx_news(tx, c->workspace, c->state);
    gd_event_add(b->d.events, tx, c->workspace, "client.created", id, NULL);
    gd_store_commit(b->d.store, tx, on_created, c);
}

void gd_client_get(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                   void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);

    gd_client_reply(c, gd_param(c, "client"));
}

/* Not there, or being forgotten. */
static void on_unchanged(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0) == 0)
        gd_call_fail(c, GD_R_NOT_FOUND, "no client of that id is visible to you");
    else
        gd_call_fail(c, GD_R_CLIENT_ENDED, "this client is %s", gd_tx_text(tx, 0, 0, 4));
}

static void on_updated(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct gd_tx *look;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_changes(tx, 0) == 1) {
        gd_client_reply(c, gd_param(c, "client"));
        return;
    }
    look = gd_tx_new(c->b->d.store);
    gd_tx_add(look, &sql_get, GD_P_TEXT(c->workspace), GD_P_TEXT(gd_param(c, "client")));
    gd_store_read(c->b->d.store, look, on_unchanged, c);
}

void gd_client_update(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                      void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);

    gd_tx_add(tx, &sql_update, GD_P_TEXT(gd_param(c, "name")), GD_P_TEXT(gd_param(c, "email")),
              GD_P_TEXT(gd_param(c, "locale")), GD_P_INT(gd_now(b->d.clock)), GD_P_TEXT(c->workspace),
              GD_P_TEXT(gd_param(c, "client")));
    gd_store_commit(b->d.store, tx, on_updated, c);
}

static void on_listed(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    json_t *list = json_array();
    size_t rows, limit = (size_t)gd_json_i64(c->params, "limit", 100);

    if (gd_call_store_failed(c, r, err)) {
        json_decref(list);
        return;
    }
    rows = gd_tx_rows(tx, 0);
    for (size_t i = 0; i < rows && i < limit; i++)
        json_array_append_new(list, row_json(c->workspace, tx, 0, i));
    if (gd_call_nowhere(c, list))
        return;
    gd_call_done(c, json_pack("{s:o, s:o}", "clients", list, "next",
                              rows > limit ? json_string(gd_tx_text(tx, 0, limit - 1, 0)) : json_null()));
}

void gd_client_list(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                    void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct gd_tx *tx = gd_tx_new(b->d.store);
    const char *after = gd_param(c, "after");

    gd_tx_add(tx, &sql_list, GD_P_TEXT(c->workspace), GD_P_TEXT(after ? after : ""),
              GD_P_INT(gd_json_i64(params, "limit", 100) + 1));
    gd_store_read(b->d.store, tx, on_listed, c);
}

void gd_client_hold(struct gd_tx *tx, const char *workspace, const char *client)
{
    gd_tx_add(tx, &sql_hold, GD_P_TEXT(workspace), GD_P_TEXT(client));
}
