/* grant/about.c - who gave a consent and what was asked: the rows that its record stands on (client, request,
 * items, links, flow). A shared database that loses what it acknowledged may lose these, too, made a moment
 * before: a grant without its client could not be seen, ended or erased by anybody. So each record of a flow
 * has a copy with it, sealed under the client's data key, which goes along wrapped: whoever is erased cannot
 * be read in it. A row that is there is left as it is. */
#include "grant/about.h"

#include <string.h>

#define UNKNOWN_NAME "not known, brought back"

GD_SQL(sql_client, "SELECT id, name, email, locale, state, created_at, updated_at FROM clients"
                   " WHERE workspace = $1 AND id = $2 AND state IN ('active', 'hub')");
GD_SQL(sql_client_back,
       "INSERT INTO clients (workspace, id, name, email, locale, state, created_at, updated_at)"
       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (workspace, id) DO NOTHING");
GD_SQL(sql_request, "SELECT id, client_id, state, message, confirm, created_at, expires_at FROM requests"
                    " WHERE workspace = $1 AND id = $2");
GD_SQL(sql_request_back,
       "INSERT INTO requests (workspace, id, client_id, state, message, confirm, created_at, expires_at)"
       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (workspace, id) DO NOTHING");
GD_SQL(sql_items, "SELECT id, request_id, position, app, role, mode, asset, scope, expect_account, state,"
                  " flow_id, reason, reason_text, steps, next_look_at, updated_at, params, problems"
                  " FROM items WHERE workspace = $1 AND request_id = $2 ORDER BY position");
GD_SQL(sql_item_back,
       "INSERT INTO items (workspace, id, request_id, position, app, role, mode, asset, scope,"
       " expect_account, state, flow_id, reason, reason_text, steps, next_look_at, updated_at, params,"
       " problems) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,"
       " $19) ON CONFLICT (workspace, id) DO NOTHING");
GD_SQL(sql_links, "SELECT id, request_id, hash, created_at, expires_at, ended_at FROM links"
                  " WHERE workspace = $1 AND request_id = $2 ORDER BY id");
GD_SQL(sql_link_back, "INSERT INTO links (workspace, id, request_id, hash, created_at, expires_at, ended_at)"
                      " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (workspace, id) DO NOTHING");
GD_SQL(sql_flow, "SELECT id, link_id, request_id, client_id, app, context, state_hash, session_hash, sealed,"
                 " items, notes, status, outcome, created_at, expires_at, credential_id, worker FROM flows"
                 " WHERE workspace = $1 AND id = $2");
GD_SQL(sql_flow_back,
       "INSERT INTO flows (workspace, id, link_id, request_id, client_id, app, context, state_hash,"
       " session_hash, sealed, items, notes, status, outcome, created_at, expires_at, credential_id, worker)"
       " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)"
       " ON CONFLICT (workspace, id) DO NOTHING");
GD_SQL(sql_hub_back, "INSERT INTO hubs (workspace, id, client_id, look_at, looks) VALUES ($1, $2, $3, 0, 0)"
                     " ON CONFLICT (workspace, id) DO UPDATE SET client_id = COALESCE(hubs.client_id, $3)");

enum { CLIENT, REQUEST, ITEMS, LINKS, FLOW, TABLES };
#define COLUMNS_MAX 18

/* types: of the columns, as both statements name them: text, number, bytes. */
static const struct table {
    const char *name, *types;
    const struct gd_sql *read, *back;
} tables[TABLES] = {
    [CLIENT] = { "client", "tttttnn", &sql_client, &sql_client_back },
    [REQUEST] = { "request", "ttttnnn", &sql_request, &sql_request_back },
    [ITEMS] = { "items",
                "ttnttttttttttt"
                "nntt",
                &sql_items, &sql_item_back },
    [LINKS] = { "links", "ttbnnn", &sql_links, &sql_link_back },
    [FLOW] = { "flow", "ttttttbbbttttnntt", &sql_flow, &sql_flow_back },
};

/* ---- into a record ---- */

size_t gd_about_read(struct gd_tx *tx, const struct gd_flow *f)
{
    const char *const of[TABLES] = { f->client, f->request, f->request, f->request, f->id };
    size_t first = 0;

    for (int i = 0; i < TABLES; i++) {
        size_t stmt = gd_tx_add(tx, tables[i].read, GD_P_TEXT(f->workspace), GD_P_TEXT(of[i]));

        first = i == 0 ? stmt : first;
    }
    return first;
}

static json_t *cell(const struct gd_tx *tx, size_t stmt, size_t row, size_t col, char type)
{
    GD_AUTO_FREE char *text = NULL;
    const void *p;
    size_t n = 0;

    if (gd_tx_is_null(tx, stmt, row, col))
        return json_null();
    if (type == 't')
        return json_string(gd_tx_text(tx, stmt, row, col));
    if (type == 'n')
        return json_integer((json_int_t)gd_tx_int(tx, stmt, row, col));
    p = gd_tx_bytes(tx, stmt, row, col, &n);
    text = gd_new(4 * ((n + 2) / 3) + 1);
    gd_b64url(text, p, n);
    return json_string(text);
}

char *gd_about_take(const struct gd_tx *tx, size_t first)
{
    GD_AUTO_JSON about = json_object();

    if (gd_tx_rows(tx, first + CLIENT) == 0)
        return NULL;
    for (size_t i = 0; i < TABLES; i++) {
        json_t *rows = json_array();

        for (size_t row = 0; row < gd_tx_rows(tx, first + i); row++) {
            json_t *one = json_array();

            for (size_t col = 0; tables[i].types[col]; col++)
                json_array_append_new(one, cell(tx, first + i, row, col, tables[i].types[col]));
            json_array_append_new(rows, one);
        }
        json_object_set_new(about, tables[i].name, rows);
    }
    return gd_json_dump(about);
}

void gd_about_key(struct gd_broker *b, json_t *rec, const char *workspace, const char *client)
{
    char text[4 * ((GD_WRAPPED_KEY + 2) / 3) + 1];
    unsigned char wrapped[GD_WRAPPED_KEY];

    if (json_object_get(rec, "key") || !gd_keyring_wrap(b->d.keyring, workspace, client, wrapped, b->d.rng))
        return;
    gd_b64url(text, wrapped, sizeof wrapped);
    json_object_set_new(rec, "key", json_string(text));
}

static struct gd_seal_name name_of(const json_t *rec)
{
    const char *client = gd_json_text(rec, "client", "");

    return (struct gd_seal_name){ .workspace = gd_json_text(rec, "workspace", ""),
                                  .client = client,
                                  .owner = client,
                                  .attempt = "",
                                  .column = "about" };
}

void gd_about_add(struct gd_broker *b, json_t *rec, const char *about)
{
    struct gd_seal_name name = name_of(rec);
    GD_AUTO_FREE unsigned char *sealed = NULL;
    GD_AUTO_FREE char *text = NULL, *whole = NULL;
    struct gd_err err;
    size_t n = 0;

    if (!about || json_object_get(rec, "about"))
        return;
    sealed = gd_seal_text(b, &name, about, &n, &err);
    if (!sealed)
        return;
    text = gd_new(4 * ((n + 2) / 3) + 1);
    gd_b64url(text, sealed, n);
    gd_about_key(b, rec, name.workspace, name.client);
    json_object_set_new(rec, "about", json_string(text));
    whole = gd_json_dump(rec);
    if (strlen(whole) > GD_SPOOL_RECORD_MAX) /* what the platform answered goes before all else */
        json_object_del(rec, "about");
}

/* ---- and back ---- */

static json_t *open_about(struct gd_broker *b, const json_t *rec)
{
    const char *text = gd_json_text(rec, "about", "");
    struct gd_seal_name name = name_of(rec);
    size_t cap = strlen(text);
    GD_AUTO_FREE unsigned char *sealed = gd_new(cap + 1);
    GD_AUTO_FREE char *clear = NULL;
    struct gd_err err;
    long n = gd_b64url_decode(sealed, cap, text, cap);

    if (n <= 0)
        return NULL;
    clear = gd_open_text(b, &name, sealed, (size_t)n, &err);
    return clear ? gd_json_parse(clear, strlen(clear), GD_SPOOL_RECORD_MAX, &err) : NULL;
}

static struct gd_param param(struct gd_tx *tx, const json_t *v, char type)
{
    const char *text = json_string_value(v);
    unsigned char *bytes;
    long n;

    if (type == 'n')
        return json_is_integer(v) ? GD_P_INT(json_integer_value(v)) : GD_P_NULL;
    if (type == 't' || !text)
        return GD_P_TEXT(text);
    bytes = gd_arena_alloc(gd_tx_arena(tx), strlen(text) + 1);
    n = gd_b64url_decode(bytes, strlen(text), text, strlen(text));
    return GD_P_BYTES(bytes, n < 0 ? 0 : (size_t)n);
}

static size_t add_rows(struct gd_tx *tx, const struct table *t, const char *workspace, const json_t *about)
{
    struct gd_param params[1 + COLUMNS_MAX];
    size_t stmt = SIZE_MAX, i;
    json_t *row;

    json_array_foreach(json_object_get(about, t->name), i, row)
    {
        size_t n = 0;

        params[n++] = GD_P_TEXT(workspace);
        for (const char *type = t->types; *type; type++, n++)
            params[n] = param(tx, json_array_get(row, n - 1), *type);
        stmt = gd_tx_add_(tx, t->back, params, n);
    }
    return stmt;
}

/* Somebody has to be there, so that the grants can be seen, ended and erased. */
static size_t add_unknown(struct gd_tx *tx, const json_t *rec)
{
    int64_t at = gd_json_i64(rec, "at", 0);

    return gd_tx_add(tx, &sql_client_back, GD_P_TEXT(gd_json_text(rec, "workspace", "")),
                     GD_P_TEXT(gd_json_text(rec, "client", "")), GD_P_TEXT(UNKNOWN_NAME), GD_P_NULL,
                     GD_P_NULL, GD_P_TEXT(json_object_get(rec, "hub") ? "hub" : "active"), GD_P_INT(at),
                     GD_P_INT(at));
}

static const char *first_id(const json_t *about, const char *table)
{
    const json_t *row = json_array_get(json_object_get(about, table), 0);
    const char *id = json_string_value(json_array_get(row, 0));

    return id ? id : "";
}

void gd_about_back(struct gd_broker *b, struct gd_tx *tx, const json_t *rec, struct gd_about_stmts *ret)
{
    const char *ws = gd_json_text(rec, "workspace", ""), *client = gd_json_text(rec, "client", "");
    GD_AUTO_JSON about = open_about(b, rec);
    size_t stmts[TABLES];

    *ret = (struct gd_about_stmts){ .client = SIZE_MAX, .request = SIZE_MAX, .whole = about != NULL };
    if (!about && gd_json_bool(rec, "rejected", false)) /* nothing stands on it */
        return;
    (void)snprintf(ret->request_id, sizeof ret->request_id, "%s", first_id(about, "request"));
    for (size_t i = 0; about && i < TABLES; i++)
        stmts[i] = add_rows(tx, &tables[i], ws, about);
    ret->client = about ? stmts[CLIENT] : add_unknown(tx, rec);
    ret->request = about ? stmts[REQUEST] : SIZE_MAX;
    if (json_object_get(rec, "hub"))
        gd_tx_add(tx, &sql_hub_back, GD_P_TEXT(ws), GD_P_TEXT(gd_json_text(rec, "hub", "")),
                  GD_P_TEXT(client));
    gd_tx_news(tx, ws, client);
}
