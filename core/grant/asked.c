/* grant/asked.c - an account is written in many ways (1234567890, 123-456-7890, act_...), and an item may
 * name several: the letters and digits of each are compared, whatever stands between them. */
#include "grant/asked.h"

#include <ctype.h>
#include <string.h>

#define PARTS_MAX 64 /* of all items together; who names more is told of the first */
#define SHOWN_MAX 10 /* of one account */

/* The pattern has a wildcard between all letters: what it finds is compared again. */
GD_SQL(sql_asked, "SELECT i.request_id, q.client_id, i.app, i.asset FROM items i JOIN requests q"
                  " ON q.workspace = i.workspace AND q.id = i.request_id WHERE i.workspace = $1"
                  " AND i.state IN ('open', 'started', 'waiting') AND q.state = 'open' AND q.expires_at > $2"
                  " AND LOWER(i.asset) LIKE $3 ORDER BY i.id LIMIT 100");

/* The next of a comma list, as bare small letters and digits in the arena; NULL at the end. Empty ones are
 * left out. */
static const char *next_part(struct gd_arena *arena, const char **at)
{
    while (**at) {
        size_t n = strcspn(*at, ","), k = 0;
        char *part = gd_arena_alloc(arena, n + 1);

        for (size_t i = 0; i < n; i++)
            if (isalnum((unsigned char)(*at)[i]))
                part[k++] = (char)tolower((unsigned char)(*at)[i]);
        *at += n + ((*at)[n] == ',');
        if (k)
            return part;
    }
    return NULL;
}

static const char *pattern_of(struct gd_arena *arena, const char *part)
{
    size_t n = strlen(part);
    char *out = gd_arena_alloc(arena, 2 * n + 2);

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = '%';
        out[2 * i + 1] = part[i];
    }
    out[2 * n] = '%';
    return out;
}

/* Each account that the call names, with its item's app. */
typedef void part_fn(struct gd_call *c, const struct gd_app_state *app, const char *part, size_t n,
                     void *arg);
static void each_part(struct gd_call *c, part_fn *fn, void *arg)
{
    json_t *it;
    size_t i, n = 0;

    json_array_foreach(json_object_get(c->params, "items"), i, it)
    {
        const char *at = gd_json_text(it, "asset", ""), *part;

        while (n < PARTS_MAX && (part = next_part(c->arena, &at)))
            fn(c, gd_app_find(c->b, gd_json_text(it, "app", "")), part, n++, arg);
    }
}

static void add_read(struct gd_call *c, const struct gd_app_state *app, const char *part, size_t n, void *arg)
{
    (void)app;
    (void)n;
    gd_tx_add(arg, &sql_asked, GD_P_TEXT(c->workspace), GD_P_INT(gd_now(c->b->d.clock)),
              GD_P_TEXT(pattern_of(c->arena, part)));
}

void gd_asked_read(struct gd_call *c, struct gd_tx *tx)
{
    each_part(c, add_read, tx);
}

struct finding {
    const struct gd_tx *tx;
    size_t first;
    json_t *list;
};

static bool names(struct gd_arena *arena, const char *asset, const char *part)
{
    const char *one;

    while ((one = next_part(arena, &asset)))
        if (!strcmp(one, part))
            return true;
    return false;
}

static json_t *notice(struct gd_call *c, const struct gd_app_state *app, const char *asset,
                      const char *request, const char *client)
{
    bool same = !strcmp(client, gd_json_text(c->params, "client", ""));

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "asset", asset, "platform", app->app.platform->p.name,
                     "reason", gd_reason_word(GD_R_ACCOUNT_ASKED_ALREADY), "request", request, "client",
                     client, "text",
                     gd_arena_strf(c->arena, "%s is asked for already: request %s of %s%s", asset, request,
                                   same ? "this client" : "client ", same ? "" : client));
}

static void take(struct gd_call *c, const struct gd_app_state *app, const char *part, size_t n, void *arg)
{
    struct finding *f = arg;
    size_t stmt = f->first + n;

    for (size_t i = 0, shown = 0; i < gd_tx_rows(f->tx, stmt) && shown < SHOWN_MAX; i++) {
        const struct gd_app_state *other = gd_app_find(c->b, gd_tx_text(f->tx, stmt, i, 2));

        if (!app || !other || other->app.platform != app->app.platform ||
            !names(c->arena, gd_tx_text(f->tx, stmt, i, 3), part))
            continue;
        json_array_append_new(
            f->list, notice(c, app, part, gd_tx_text(f->tx, stmt, i, 0), gd_tx_text(f->tx, stmt, i, 1)));
        shown++;
    }
}

const char *gd_asked_notices(struct gd_call *c, const struct gd_tx *tx, size_t first, const char *told)
{
    GD_AUTO_JSON list = gd_json_parse(told, strlen(told), GD_HTTP_BODY_MAX, NULL);
    GD_AUTO_FREE char *text = NULL;
    struct finding f = { .tx = tx, .first = first, .list = list };

    each_part(c, take, &f);
    text = gd_json_dump(list);
    return gd_arena_strdup(c->arena, text);
}
