/* grant/made.c - what came out of a run, as grants: one for each asset, with the layers that it is shared by
 * and the places where it must be closed one day; what was not granted, and why; and grants that a new
 * consent of the same account renews instead of standing beside them. */
#include "base/fault.h"
#include "grant/exchange_int.h"
#include "plugin/warnings.h"

#include <string.h>

#define FIRST_LOOK_MS (3600 * (int64_t)1000)

/* A grant without an account is native access only: one that another request made is the same access. */
GD_SQL(
    sql_same,
    "SELECT g.id, g.asset_id, g.asset_kind, g.role_asked, g.credential_id, c.scope, c.account_id, g.native,"
    " g.lifecycle FROM grants g LEFT JOIN credentials c ON c.workspace = g.workspace"
    " AND c.id = g.credential_id WHERE g.workspace = $1 AND g.client_id = $2 AND g.app = $3"
    " AND g.lifecycle IN ('confirming', 'live') AND COALESCE(g.request_id, '') <> $4 ORDER BY g.id");

GD_SQL(
    sql_item_after,
    "SELECT i.state, g.id FROM items i LEFT JOIN grants g ON g.workspace = i.workspace AND g.client_id = $3"
    " AND g.item_id = i.id AND g.lifecycle = 'ending' WHERE i.workspace = $1 AND i.id = $2");

void gd_made_read(const struct gd_exchange *x, struct gd_tx *tx)
{
    gd_tx_add(tx, &sql_same, GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->f->client),
              GD_P_TEXT(x->f->app->app.id), GD_P_TEXT(x->f->request));
}

/* By asset: thousands are looked up for thousands. Takes g. */
static void add_same(struct gd_exchange *x, const char *asset, json_t *g)
{
    json_t *list = json_object_get(x->same, asset);

    if (!list) {
        list = json_array();
        json_object_set_new(x->same, asset, list);
    }
    json_array_append_new(list, g);
}

void gd_made_same(struct gd_exchange *x, const struct gd_tx *tx)
{
    static const char *const names[] = { "id",    "asset_id", "asset_kind", "role_asked", "cred",
                                         "scope", "account",  "native",     "lifecycle" };

    x->same = json_object();
    for (size_t row = 0; row < gd_tx_rows(tx, 0); row++) {
        json_t *g = json_object();

        for (size_t col = 0; col < sizeof names / sizeof *names; col++)
            json_object_set_new(g, names[col], gd_text_json(gd_tx_text(tx, 0, row, col)));
        add_same(x, gd_json_text(g, "asset_id", ""), g);
    }
}

/* ---- the surfaces of one grant ---- */

/* By asset, as thousands are looked up for thousands. */
static void sort_opened(struct gd_exchange *x)
{
    json_t *s, *list;
    size_t i;

    x->opened = json_object();
    json_array_foreach(x->reports.surfaces.all, i, s)
    {
        const char *asset = gd_json_text(s, "asset", "");

        if (strcmp(gd_json_text(s, "outcome", ""), "open") != 0)
            continue;
        list = json_object_get(x->opened, asset);
        if (!list) {
            list = json_array();
            json_object_set_new(x->opened, asset, list);
        }
        json_array_append(list, s);
    }
}

static bool is_token(const json_t *surface)
{
    return !strcmp(gd_json_text(surface, "kind", ""), "token");
}

/* Is there anything of this asset that is no token? */
static bool has_native(const struct gd_exchange *x, const char *asset)
{
    json_t *s;
    size_t i;

    json_array_foreach(json_object_get(x->opened, asset), i, s) if (!is_token(s)) return true;
    return false;
}

static void add_surface(struct gd_exchange *x, json_t *list, const char *kind, const char *ref)
{
    char id[GD_ID_TEXT_MAX];

    gd_id_make(id, "sf", gd_now(x->b->d.clock), x->b->d.rng);
    json_array_append_new(list, json_pack("{s:s, s:s, s:s?}", "id", id, "kind", kind, "ref", ref));
}

/* Each layer can be closed somewhere: where the platform named no place, there is one all the same. */
static json_t *surfaces_of(struct gd_exchange *x, const char *asset, bool token, bool native)
{
    const char *of[] = { "", asset };
    json_t *list = json_array(), *s;
    bool tokens = false, natives = false;
    size_t i;

    for (size_t k = 0; k < (asset ? 2 : 1); k++)
        json_array_foreach(json_object_get(x->opened, of[k]), i, s)
        {
            if (is_token(s) && !token)
                continue;
            tokens = tokens || is_token(s);
            natives = natives || !is_token(s);
            add_surface(x, list, gd_json_text(s, "kind", ""), gd_json_text(s, "id", NULL));
        }
    if (token && !tokens)
        add_surface(x, list, "token", NULL);
    if (native && !natives)
        add_surface(x, list, "partner", NULL);
    return list;
}

/* ---- grants that are renewed ---- */

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool has_word(const char *list, const char *word, size_t n)
{
    for (const char *p = list; p && *p;) {
        size_t len = strcspn(p, " ");

        if (len == n && !strncmp(p, word, n))
            return true;
        p += len;
        p += strspn(p, " ");
    }
    return false;
}

/* Does the new consent hold every scope of the old one? What was not said is what was asked. */
static bool covers(const char *now, const char *before)
{
    for (const char *p = before; p && *p;) {
        size_t len = strcspn(p, " ");

        if (len && !has_word(now, p, len))
            return false;
        p += len;
        p += strspn(p, " ");
    }
    return true;
}

/* Revoked since the store was asked? */
static bool still_lives(const struct gd_exchange *x, const char *grant)
{
    struct gd_id id;
    uint32_t n = gd_id_parse(&id, "gr", grant, strlen(grant)) ? gd_index_grant(&x->b->ix, &id) : GD_NONE;

    return n != GD_NONE && gd_grant_at(&x->b->ix, n)->lifecycle <= GD_LIFE_LIVE;
}

static bool renews(const struct gd_exchange *x, const struct gd_flow_item *it, const json_t *g,
                   const char *asset, const char *kind, bool token)
{
    const char *cred = gd_json_text(g, "cred", NULL), *was = gd_json_text(g, "asset_id", NULL);
    const char *scope = x->scope ? x->scope : it->scope;

    if (gd_json_bool(g, "taken", false) || !same_text(was, asset) ||
        (was && kind && gd_json_text(g, "asset_kind", NULL) &&
         strcmp(gd_json_text(g, "asset_kind", ""), kind) != 0) ||
        !still_lives(x, gd_json_text(g, "id", "")))
        return false;
    if (!cred) /* native only, and may get a token beside it */
        return asset != NULL;
    return token && strcmp(cred, x->cred) != 0 && x->account &&
           same_text(gd_json_text(g, "account", NULL), x->account) &&
           covers(scope, gd_json_text(g, "scope", NULL));
}

static void add_orphan(struct gd_exchange *x, const char *cred)
{
    if (cred)
        json_array_append_new(x->orphans, json_string(cred));
}

/* The grant that becomes this item's: the one of the same role, else the first. The others of that asset move
 * to the new credential as they are. NULL: it is a new one. */
static json_t *renewed(struct gd_exchange *x, const struct gd_flow_item *it, const char *asset,
                       const char *kind, bool token)
{
    json_t *g, *best = NULL, *same = json_object_get(x->same, asset ? asset : "");
    size_t i;

    json_array_foreach(same, i, g)
    {
        if (!renews(x, it, g, asset, kind, token))
            continue;
        if (!best || (!same_text(gd_json_text(best, "role_asked", NULL), it->role) &&
                      same_text(gd_json_text(g, "role_asked", NULL), it->role)))
            best = g;
    }
    json_array_foreach(same, i, g)
    {
        const char *from = gd_json_text(g, "cred", NULL);

        if (!from || g == best || !renews(x, it, g, asset, kind, token))
            continue;
        json_object_set_new(g, "taken", json_true());
        add_orphan(x, from);
        gd_journal_add_move(x->rec, json_pack("{s:s, s:s}", "id", gd_json_text(g, "id", ""), "from", from));
    }
    if (best) {
        json_object_set_new(best, "taken", json_true());
        add_orphan(x, gd_json_text(best, "cred", NULL));
    }
    return best;
}

/* ---- warnings ---- */

/* The asset of this flow that the sentence names; NULL: none. */
static const char *named(const struct gd_exchange *x, const char *sentence)
{
    json_t *asset;
    size_t i;

    json_array_foreach(x->reports.assets.all, i, asset)
    {
        const char *id = gd_json_text(asset, "id", "");

        if (strlen(id) > GD_WARNINGS_FIGURE_MAX && strstr(sentence, id))
            return id;
    }
    return NULL;
}

/* By asset; "": what is about none of them. */
static void sort_warnings(struct gd_exchange *x)
{
    const char *word;
    json_t *text;

    x->said = json_object();
    json_object_foreach(x->warnings, word, text)
    {
        for (const char *p = json_string_value(text); *p;) {
            GD_AUTO_FREE char *sentence = gd_warnings_next(&p);
            const char *id = named(x, sentence);
            json_t *of = json_object_get(x->said, id ? id : "");

            if (!of) {
                of = json_object();
                json_object_set_new(x->said, id ? id : "", of);
            }
            (void)gd_warnings_add(of, word, sentence);
        }
    }
}

/* What a grant of this asset is told: what is about it, and about none of the others. New reference. */
static json_t *warnings_of(const struct gd_exchange *x, const char *asset)
{
    json_t *all = json_object(), *of = json_object_get(x->said, ""), *text;
    const char *word;

    json_object_update(all, of);
    of = asset ? json_object_get(x->said, asset) : NULL;
    json_object_foreach(of, word, text) gd_warnings_merge(all, word, json_string_value(text), NULL);
    return all;
}

/* ---- one grant ---- */

static bool unexpected(const struct gd_exchange *x, const struct gd_flow_item *it)
{
    return it->expect_account && (!x->account || strcmp(it->expect_account, x->account) != 0);
}

static const char *lifecycle_of(const struct gd_exchange *x, const struct gd_flow_item *it, const json_t *old)
{
    if (x->ends || unexpected(x, it))
        return "ending";
    if (old)
        return gd_json_text(old, "lifecycle", "live");
    return x->f->confirm && !it->expect_account ? "confirming" : "live";
}

static int64_t seconds_of(const json_t *asset, const char *key)
{
    return gd_json_i64(asset, key, 0) * 1000;
}

/* asset NULL: the one that was asked, or the account as a whole. */
static void add_grant(struct gd_exchange *x, const struct gd_flow_item *it, const json_t *asset,
                      uint32_t layers)
{
    const char *asset_id = asset ? gd_json_text(asset, "id", NULL) : it->asset;
    const char *kind = asset ? gd_json_text(asset, "kind", NULL) : NULL;
    bool token = layers & GRANTD_LAYER_TOKEN, native = layers & GRANTD_LAYER_NATIVE;
    const json_t *old = x->ends || unexpected(x, it) ? NULL : renewed(x, it, asset_id, kind, token);
    int64_t now = gd_now(x->b->d.clock);
    char id[GD_ID_TEXT_MAX];
    json_t *g, *warnings;

    if (old)
        (void)snprintf(id, sizeof id, "%s", gd_json_text(old, "id", ""));
    else
        gd_id_make(id, "gr", now, x->b->d.rng);
    g = json_pack("{s:s, s:s, s:s, s:b, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s, s:s?, s:s?, s:o}", "id",
                  id, "request", x->f->request, "item", it->id, "token", (int)token, "native",
                  native ? "present" : "none", "asset_id", asset_id, "asset_kind", kind, "asset_name",
                  gd_json_text(asset, "name", NULL), "asset_parent", gd_json_text(asset, "parent", NULL),
                  "role_asked", it->role, "role_granted", gd_json_text(asset, "role", NULL), "lifecycle",
                  lifecycle_of(x, it, old), "mode", it->mode, "params", it->params, "surfaces",
                  surfaces_of(x, asset_id, token, native));
    warnings = warnings_of(x, asset_id);
    if (json_object_size(warnings))
        json_object_set(g, "warnings", warnings);
    json_decref(warnings);
    json_object_set_new(g, "starts_at", json_integer(seconds_of(asset, "starts_at")));
    json_object_set_new(g, "ends_at", json_integer(seconds_of(asset, "ends_at")));
    json_object_set_new(g, "look_at", json_integer(now + FIRST_LOOK_MS));
    json_object_set_new(g, "account", gd_text_json(x->account));
    if (old) {
        json_object_set_new(g, "old", json_true());
        json_object_set_new(g, "from", gd_text_json(gd_json_text(old, "cred", NULL)));
    }
    gd_journal_add_grant(x->rec, g);
    json_array_append_new(x->result.grants, json_string(id));
    x->one = true;
    x->uses_token = x->uses_token || token;
}

/* ---- all of them ---- */

static uint32_t layers_of(const struct gd_exchange *x, const json_t *asset)
{
    bool has_token = x->gen > 0 || json_object_get(x->rec, "sealed");
    uint32_t layers = (uint32_t)gd_json_i64(asset, "layers", 0);

    if (!has_token)
        return GRANTD_LAYER_NATIVE;
    return layers ? layers : GRANTD_LAYER_TOKEN;
}

/* Ids as people copy them: blanks and hyphens are for the eye (123-456-7890). */
static bool same_id(const char *a, size_t n, const char *id)
{
    size_t i = 0;

    for (; *id; id++) {
        if (*id == '-' || *id == ' ')
            continue;
        while (i < n && (a[i] == '-' || a[i] == ' '))
            i++;
        if (i == n || a[i++] != *id)
            return false;
    }
    while (i < n && (a[i] == '-' || a[i] == ' '))
        i++;
    return i == n;
}

/* Is it one of those that the agency named ("id" or "id,id"; NULL: any)? */
static bool was_asked(const char *hint, const char *id)
{
    for (const char *p = hint; p && *p;) {
        size_t len = strcspn(p, ",;\r\n\t");

        if (same_id(p, len, id))
            return true;
        p += len + (p[len] != '\0');
    }
    return !hint;
}

/* Whatever was asked: what the platform has opened must be closed one day. */
static bool was_opened(const struct gd_exchange *x, const json_t *asset)
{
    return (layers_of(x, asset) & GRANTD_LAYER_NATIVE) ||
           json_object_get(x->opened, gd_json_text(asset, "id", ""));
}

/* It was not granted, but something was opened for it on the way: that ends at once. */
static void add_undone(struct gd_exchange *x, const struct gd_flow_item *it, const json_t *asset)
{
    bool has_token = x->gen > 0 || json_object_get(x->rec, "sealed"), one = x->one;

    if (!has_native(x, gd_json_text(asset, "id", "")))
        return;
    x->ends = true;
    add_grant(x, it, asset, GRANTD_LAYER_NATIVE | (has_token ? GRANTD_LAYER_TOKEN : 0));
    x->ends = false;
    x->one = one;
}

static void add_assets(struct gd_exchange *x, const struct gd_flow_item *it, json_t *problems)
{
    bool others = false;
    const char *kind;
    json_t *asset;
    size_t i;

    json_array_foreach(x->reports.assets.all, i, asset)
    {
        const char *problem = gd_json_text(asset, "problem", NULL);

        kind = gd_json_text(asset, "kind", NULL);
        if (problem) {
            add_undone(x, it, asset);
            json_array_append_new(problems, json_pack("{s:s, s:s?, s:s?, s:s, s:s?}", "id",
                                                      gd_json_text(asset, "id", ""), "kind", kind, "name",
                                                      gd_json_text(asset, "name", NULL), "problem", problem,
                                                      "text", gd_json_text(asset, "text", NULL)));
        } else if (was_asked(it->asset, gd_json_text(asset, "id", "")) || was_opened(x, asset))
            add_grant(x, it, asset, layers_of(x, asset));
        else
            others = true;
    }
    if (!x->one && others)
        json_array_append_new(problems,
                              json_pack("{s:s, s:s, s:s}", "id", it->asset, "problem", "ASSET_NOT_SHARED",
                                        "text", "the account that approved does not show this one"));
    else if (!x->one && json_array_size(problems) == 0)
        add_grant(x, it, NULL, layers_of(x, NULL));
}

bool gd_made_some(const struct gd_exchange *x)
{
    json_t *asset;
    size_t i;

    json_array_foreach(x->reports.assets.all, i,
                       asset) if (!gd_json_text(asset, "problem", NULL)) return true;
    return false;
}

/* What still waits when the request ends: it was sent, and nobody agreed. */
static void add_rest(struct gd_exchange *x, const struct gd_flow_item *it, json_t *problems)
{
    GD_AUTO_JSON known = json_object();
    const char *id;
    json_t *one;
    size_t i;

    json_array_foreach(x->reports.assets.all, i, one)
        json_object_set(known, gd_json_text(one, "id", ""), one);
    json_object_foreach(x->opened, id, one)
    {
        GD_AUTO_JSON bare = json_pack("{s:s}", "id", id);

        if (!*id || json_object_get(known, id) || !has_native(x, id))
            continue;
        add_undone(x, it, bare);
        json_array_append_new(problems,
                              json_pack("{s:s, s:s, s:s}", "id", id, "problem",
                                        gd_reason_word(x->result.err.reason), "text", x->result.err.text));
    }
}

static void refuse_item(struct gd_exchange *x, json_t *item, const char *word, const char *text)
{
    json_object_set_new(item, "state", json_string("open"));
    json_object_set_new(item, "reason", json_string(word));
    json_object_set_new(item, "reason_text", gd_text_json(text));
    x->result.end = GD_EXCHANGE_FAILED;
}

/* The agency's own consent makes no grants: the hub works with the credential. Without one it goes on with
 * what it has. */
static void make_hub(struct gd_exchange *x, const struct gd_hub_state *h, json_t *item)
{
    static const char none[] = "the platform gave no token for the hub; what it had before stays";

    if (!json_object_get(x->rec, "cred")) {
        refuse_item(x, item, gd_reason_word(GD_R_HUB_NOT_CONNECTED), none);
        gd_err_set(&x->result.err, GD_R_HUB_NOT_CONNECTED, "%s", none);
        return;
    }
    json_object_set_new(x->rec, "hub", json_string(h->hub.id));
    json_object_set_new(item, "state", json_string("granted"));
    x->uses_token = true;
}

/* Nothing was granted: the item is open again, so that others can be handed in. */
static void refuse_all(struct gd_exchange *x, json_t *item, const json_t *problems)
{
    const json_t *first = json_array_get(problems, 0);
    const char *word = gd_json_text(first, "problem", ""), *text = gd_json_text(first, "text", NULL);

    refuse_item(x, item, word, text);
    gd_err_set(&x->result.err, GD_R_NOTHING_GRANTED, "%s (%.60s): %.200s%s", word,
               gd_json_text(first, "id", ""), text ? text : "the platform does not say more",
               json_array_size(problems) > 1 ? "; ..." : "");
}

void gd_made(struct gd_exchange *x)
{
    const struct gd_flow_item *it = &x->f->items[0];
    struct gd_hub_state *hub = gd_hub_of_client(x->b, x->f->client);
    json_t *problems = json_array(), *item = json_pack("{s:s, s:s}", "id", it->id, "state", "granted");

    if (x->cred[0] && (x->gen > 0 || json_object_get(x->rec, "sealed")))
        json_object_set_new(x->rec, "cred", json_string(x->cred));
    json_object_set_new(x->rec, "flow", json_string(x->f->id));
    x->result.end = GD_EXCHANGE_GRANTED;
    sort_opened(x);
    sort_warnings(x);
    if (hub)
        make_hub(x, hub, item);
    else
        add_assets(x, it, problems);
    if (!hub && x->over)
        add_rest(x, it, problems);
    if (!hub && !x->one) {
        refuse_all(x, item, problems);
    } else if (unexpected(x, it)) {
        refuse_item(x, item, gd_reason_word(GD_R_ACCOUNT_UNEXPECTED),
                    gd_reason_info(GD_R_ACCOUNT_UNEXPECTED)->meaning);
        gd_err_set(&x->result.err, GD_R_ACCOUNT_UNEXPECTED, "%s",
                   gd_reason_info(GD_R_ACCOUNT_UNEXPECTED)->meaning);
    }
    if (json_array_size(problems))
        json_object_set(item, "problems", problems);
    if (x->result.end != GD_EXCHANGE_GRANTED) {
        json_object_set_new(item, "word", json_string(gd_reason_word(x->result.err.reason)));
        json_object_set_new(item, "text", json_string(x->result.err.text));
    }
    json_decref(problems);
    json_object_set_new(x->rec, "item", item);
    if (!x->uses_token)
        add_orphan(x, x->cred);
}

/* ---- half of the work ---- */

json_t *gd_made_record(const struct gd_exchange *x)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:I, s:s}", "v", 1, "workspace", x->f->workspace, "client",
                     x->f->client, "app", x->f->app->app.id, "at", (json_int_t)gd_now(x->b->d.clock), "of",
                     x->f->id);
}

/* What another grant stands on as well is not closed with these: facts.c. */
static void add_left(struct gd_exchange *x)
{
    uint32_t layers = GRANTD_LAYER_NATIVE | (x->gen > 0 ? GRANTD_LAYER_TOKEN : 0);
    const struct gd_flow_item *it = &x->f->items[0];
    GD_AUTO_JSON known = json_object();
    const char *id;
    json_t *one;
    size_t i;

    json_array_foreach(x->reports.assets.all, i, one)
        json_object_set(known, gd_json_text(one, "id", ""), one);
    json_object_foreach(x->opened, id, one)
    {
        GD_AUTO_JSON bare = json_pack("{s:s}", "id", id);

        if (*id && has_native(x, id))
            add_grant(x, it, json_object_get(known, id) ? json_object_get(known, id) : bare, layers);
    }
    if (!x->one && has_native(x, ""))
        add_grant(x, it, NULL, layers);
}

bool gd_made_failed(struct gd_exchange *x)
{
    const char *word = gd_reason_word(x->result.err.reason), *text = x->result.err.text;
    bool declined = x->result.end == GD_EXCHANGE_DECLINED;

    if (x->rec) /* tokens that are kept aside */
        return false;
    x->ends = true;
    x->rec = gd_made_record(x);
    sort_opened(x);
    sort_warnings(x);
    add_left(x);
    if (!x->one) {
        x->ends = false;
        json_decref(x->rec);
        json_decref(x->opened);
        json_decref(x->said);
        x->rec = x->opened = x->said = NULL;
        return false;
    }
    if (x->gen > 0)
        json_object_set_new(x->rec, "cred", json_string(x->cred));
    json_object_set_new(x->rec, "flow", json_string(x->f->id));
    json_object_set_new(x->rec, "item",
                        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", x->f->items[0].id, "state",
                                  declined ? "declined" : "open", "reason", word, "reason_text", text, "word",
                                  word, "text", text));
    return true;
}

/* ---- after the commit ---- */

void gd_made_after(struct gd_exchange *x, struct gd_tx *tx)
{
    if (x->ends && !x->leaves)
        gd_event_add(x->b->d.events, tx, x->f->workspace, "request.failed", x->f->request, NULL);
    x->taken = gd_tx_add(tx, &sql_item_after, GD_P_TEXT(x->f->workspace), GD_P_TEXT(x->f->items[0].id),
                         GD_P_TEXT(x->f->client));
}

/* The item was declined, or its request cancelled, while the platform was asked: what came of it is ending
 * in the store (journal.c), and closed once this run is over. */
void gd_made_taken_back(struct gd_exchange *x, const struct gd_tx *tx)
{
    const char *state = gd_tx_rows(tx, x->taken) ? gd_tx_text(tx, x->taken, 0, 0) : "";
    struct gd_id id;

    if (strcmp(state, "declined") != 0 && strcmp(state, "cancelled") != 0)
        return;
    for (size_t i = 0; i < gd_tx_rows(tx, x->taken); i++) {
        const char *text = gd_tx_text(tx, x->taken, i, 1);
        uint32_t n =
            text && gd_id_parse(&id, "gr", text, strlen(text)) ? gd_index_grant(&x->b->ix, &id) : GD_NONE;

        if (n != GD_NONE)
            gd_grant_at(&x->b->ix, n)->lifecycle = GD_LIFE_ENDING;
    }
    if (x->result.end != GD_EXCHANGE_GRANTED)
        return;
    x->result.end = GD_EXCHANGE_FAILED;
    gd_err_set(&x->result.err, GD_R_ITEM_CLOSED, "this was taken back while the platform was being asked");
}
