/* grant/progress.c - what a flow knows from one run to the next: its secrets, the progress of the platform,
 * the credential that its consent yielded; and what an operation of it is given. */
#include "grant/exchange.h"

#include <string.h>

void gd_flow_done(struct gd_flow *f)
{
    json_decref(f->kept);
    json_decref(f->notes);
    json_decref(f->assets);
    json_decref(f->surfaces);
    json_decref(f->warnings);
    json_decref(f->parts);
    f->kept = f->notes = f->assets = f->surfaces = f->warnings = f->parts = NULL;
    gd_secret_done(&f->cred.access);
    gd_secret_done(&f->cred.refresh);
}

const char *gd_exchange_word(enum gd_exchange_end e)
{
    static const char *const words[] = { "granted", "waiting", "declined", "failed" };

    return words[e];
}

/* ---- secrets ---- */

static struct gd_seal_name flow_name(const struct gd_flow *f)
{
    return (struct gd_seal_name){
        .workspace = f->workspace, .client = f->client, .owner = f->id, .column = "flow"
    };
}

unsigned char *gd_flow_seal(struct gd_broker *b, const struct gd_flow *f, size_t *ret_n, struct gd_err *err)
{
    struct gd_seal_name name = flow_name(f);
    GD_AUTO_JSON j =
        json_pack("{s:s?, s:s?, s:O?}", "nonce", f->nonce, "verifier", f->verifier, "kept", f->kept);
    GD_AUTO_FREE char *text = gd_json_dump(j);

    return gd_seal_text(b, &name, text, ret_n, err);
}

int gd_flow_open(struct gd_broker *b, struct gd_flow *f, const void *sealed, size_t n, struct gd_err *err)
{
    struct gd_seal_name name = flow_name(f);
    GD_AUTO_FREE char *text = gd_open_text(b, &name, sealed, n, err);
    GD_AUTO_JSON j = text ? gd_json_parse(text, strlen(text), GD_FLOW_PROGRESS_MAX, err) : NULL;

    if (!j)
        return -1;
    f->nonce = gd_arena_strdup(f->arena, gd_json_text(j, "nonce", NULL));
    f->verifier = gd_arena_strdup(f->arena, gd_json_text(j, "verifier", NULL));
    json_decref(f->kept);
    f->kept = json_incref(json_object_get(j, "kept"));
    return 0;
}

/* What the flow kept before there was a credential comes first, what the credential keeps after it. */
int gd_flow_open_cred(struct gd_broker *b, struct gd_flow *f, const struct gd_flow_version *v,
                      struct gd_err *err)
{
    struct gd_seal_name name = { .workspace = f->workspace,
                                 .client = f->client,
                                 .owner = f->cred.id,
                                 .gen = v->parent_gen,
                                 .attempt = v->attempt,
                                 .column = "tok",
                                 .created_at = v->created_at };
    GD_AUTO_FREE char *text = v->sealed ? gd_open_text(b, &name, v->sealed, v->n, err) : NULL;
    GD_AUTO_JSON blob = text ? gd_blob_json(text, err) : NULL;
    const char *at, *rt;
    json_t *kept;

    if (!v->sealed)
        return gd_err_set(err, GD_R_CREDENTIAL_REVOKED, "what this consent yielded was revoked meanwhile");
    if (!blob)
        return -1;
    at = gd_json_text(blob, "access_token", NULL);
    rt = gd_json_text(blob, "refresh_token", NULL);
    gd_secret_set(&f->cred.access, at, at ? strlen(at) : 0);
    gd_secret_set(&f->cred.refresh, rt, rt ? strlen(rt) : 0);
    kept = f->kept ? json_copy(f->kept) : json_object();
    json_object_update(kept, json_object_get(blob, "kept"));
    json_decref(f->kept);
    f->kept = kept;
    return 0;
}

/* ---- progress ---- */

char *gd_flow_progress_text(const struct gd_flow_progress *p)
{
    GD_AUTO_JSON none = json_object();
    GD_AUTO_JSON j = json_pack("{s:O, s:O?, s:O?, s:b}", "notes", p->notes ? p->notes : none, "surfaces",
                               p->surfaces, "warnings", p->warnings, "made", (int)p->made);

    return gd_json_dump(j);
}

static void take_notes(struct gd_flow *f, json_t *j)
{
    if (!json_is_object(json_object_get(j, "notes"))) {
        f->notes = json_incref(j); /* written before there was more to it */
        return;
    }
    f->notes = json_incref(json_object_get(j, "notes"));
    if (json_is_array(json_object_get(j, "assets"))) /* written before there were parts */
        f->assets = json_incref(json_object_get(j, "assets"));
    if (json_is_array(json_object_get(j, "surfaces")))
        f->surfaces = json_incref(json_object_get(j, "surfaces"));
    if (json_is_object(json_object_get(j, "warnings")))
        f->warnings = json_incref(json_object_get(j, "warnings"));
    f->made = gd_json_bool(j, "made", false);
}

int gd_flow_read_progress(struct gd_flow *f, const char *text, const struct gd_tx *tx, size_t stmt,
                          struct gd_err *err)
{
    GD_AUTO_JSON j = text ? gd_json_parse(text, strlen(text), GD_FLOW_PROGRESS_MAX, NULL) : NULL;

    f->parts = json_array();
    for (size_t i = 0; i < gd_tx_rows(tx, stmt); i++) {
        const char *part = gd_tx_text(tx, stmt, i, 1);

        json_array_append_new(f->parts, gd_json_parse(part, strlen(part), GD_FLOW_PROGRESS_MAX, NULL));
        f->nparts = gd_tx_int(tx, stmt, i, 0) + 1;
    }
    if ((text && !j) || json_array_size(f->parts) < gd_tx_rows(tx, stmt))
        return gd_err_set(err, GD_R_STORE_FAILED, "what this attempt has noted cannot be read");
    if (j)
        take_notes(f, j);
    return 0;
}

/* ---- what an operation is given ---- */

const char *gd_flow_redirect_uri(struct gd_broker *b, struct gd_arena *a, const char *workspace,
                                 const char *app)
{
    return gd_arena_strf(a, "%s/cb/%s.%s", b->public_url ? b->public_url : "", workspace, app);
}

static json_t *params_of(const struct gd_flow_item *it)
{
    return it->params ? gd_json_parse(it->params, strlen(it->params), GD_CRED_BLOB_MAX, NULL) : NULL;
}

/* All that this consent is asked for, for platforms whose question depends on it. */
static json_t *items_json(const struct gd_flow *f)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < f->nitems; i++) {
        const struct gd_flow_item *it = &f->items[i];
        json_t *one = json_pack("{s:s?, s:s?, s:s?, s:s?}", "role", it->role, "asset", it->asset, "mode",
                                it->mode, "scope", it->scope);
        json_t *params = params_of(it);

        json_object_set_new(one, "params", params ? params : json_object());
        json_array_append_new(list, one);
    }
    return list;
}

static void given_cred(const struct gd_flow *f, struct gd_op_given *g)
{
    if (!f->cred.id[0])
        return;
    g->args[GRANTD_ARG_ACCESS_TOKEN] = f->cred.access.ptr;
    g->args[GRANTD_ARG_REFRESH_TOKEN] = f->cred.refresh.ptr;
    g->args[GRANTD_ARG_ACCOUNT_ID] = f->cred.account;
    if (f->cred.clocks.expires_at)
        g->args[GRANTD_ARG_EXPIRES_AT] =
            gd_arena_strf(f->arena, "%lld", (long long)(f->cred.clocks.expires_at / 1000));
    if (f->cred.clocks.issued_at)
        g->args[GRANTD_ARG_ISSUED_AT] =
            gd_arena_strf(f->arena, "%lld", (long long)(f->cred.clocks.issued_at / 1000));
}

void gd_flow_given(struct gd_broker *b, const struct gd_flow *f, struct gd_op_given *g,
                   struct gd_flow_given *ret)
{
    const struct gd_flow_item *first = &f->items[0];
    struct gd_grant_doc d = { .role = first->role, .mode = first->mode };

    *ret = (struct gd_flow_given){ .params = params_of(first) };
    d.params = ret->params;
    ret->doc = gd_grant_document(&d);
    json_object_set_new(json_object_get(ret->doc, "item"), "asset", gd_text_json(first->asset));
    json_object_set_new(ret->doc, "items", items_json(f));
    gd_given_app(b, f->app, g);
    gd_given_hub(b, f->app, g, &ret->hub);
    g->args[GRANTD_ARG_REDIRECT_URI] = gd_flow_redirect_uri(b, f->arena, f->workspace, f->app->app.id);
    g->args[GRANTD_ARG_STATE] = f->state;
    g->args[GRANTD_ARG_NONCE] = f->nonce;
    g->args[GRANTD_ARG_CODE_VERIFIER] = f->verifier;
    g->args[GRANTD_ARG_SCOPE] = f->scope ? f->scope : first->scope;
    g->args[GRANTD_ARG_ROLE] = first->role;
    g->args[GRANTD_ARG_MODE] = first->mode;
    g->args[GRANTD_ARG_ASSET_ID] = first->asset;
    g->params = ret->params;
    g->grant = ret->doc;
    g->kept = f->kept;
    g->notes = f->notes;
    given_cred(f, g);
}

void gd_flow_given_done(struct gd_flow_given *g)
{
    json_decref(g->doc);
    json_decref(g->params);
    gd_hub_given_done(&g->hub);
    *g = (struct gd_flow_given){ 0 };
}
