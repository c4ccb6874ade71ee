/* grant/vend.c - the hot path and its slow brother grant.token: the same checks in the same order; the slow
 * one may also read the token from the store, wait for a refresh and write the audit record of a first vend.
 */
#include "grant/broker_int.h"
#include "grant/vends.h"

#include <string.h>

json_t *gd_broker_counts(struct gd_broker *b)
{
    return json_pack("{s:I}", "vends", gd_vends_total(b->vends));
}

/* ---- checks that both paths make ---- */

/* What was revoked on another node is known here a moment later; by a node that cannot read the store it is
 * not. */
static int check_sight(const struct gd_broker *b, struct gd_err *err)
{
    int64_t blind = gd_store_seen_ms(b->d.store);

    if (blind <= b->blind_ms)
        return 0;
    return gd_err_set(
        err, GD_R_STORE_BLIND,
        "the store has not been readable for %lld s; what was revoked elsewhere is not known here",
        (long long)(blind / 1000));
}

static int check_life(const struct gd_ix_grant *g, struct gd_err *err)
{
    switch ((enum gd_lifecycle)g->lifecycle) {
    case GD_LIFE_LIVE:
        return 0;
    case GD_LIFE_CONFIRMING:
        return gd_err_set(err, GD_R_GRANT_CONFIRMING,
                          "an operator has not confirmed yet who approved this grant");
    case GD_LIFE_ENDING:
        return gd_err_set(err, GD_R_GRANT_ENDING, "this grant is being closed");
    default:
        return gd_err_set(err, GD_R_GRANT_ENDED, "this grant has ended");
    }
}

static int check_cred(const struct gd_broker *b, const struct gd_ix_grant *g, struct gd_err *err)
{
    const struct gd_ix_cred *c;

    if (g->cred == GD_NONE)
        return gd_err_set(err, GD_R_GRANT_NO_TOKEN,
                          "this grant is native access only; grantd holds no token for it");
    c = gd_cred_at(&b->ix, g->cred);
    if (c->status == GD_CRED_REVOKED || (c->flags & GD_IX_REVOKING))
        return gd_err_set(err, GD_R_CREDENTIAL_REVOKED,
                          "the credential of this grant is revoked or being revoked");
    return 0;
}

static int check_policy(const struct gd_broker *b, const struct gd_policy *p, const struct gd_caller *c,
                        const char *workspace, const struct gd_ix_grant *g, struct gd_err *err)
{
    const struct gd_ix_client *cl = gd_client_at(&b->ix, g->client);
    char client[GD_ID_TEXT_MAX];

    gd_id_text(client, "cl", &cl->id);
    if (gd_policy_allows_on(p, c, "grant.token", workspace, client,
                            g->app < b->napps ? b->apps[g->app].app.platform->p.name : NULL))
        return 0;
    if (gd_policy_allows(p, c, "grant.token", NULL, NULL))
        return gd_err_set(err, GD_R_NOT_FOUND, "no grant of that id is visible to you");
    return gd_err_set(err, GD_R_DENIED, "the rules do not let uid %u call grant.token", (unsigned)c->uid);
}

static bool in_workspace(const struct gd_broker *b, const struct gd_ix_grant *g, const char *workspace)
{
    return !strcmp(b->workspaces[gd_client_at(&b->ix, g->client)->workspace], workspace);
}

void gd_vend_prefetch(struct gd_broker *b, const struct gd_id *grant)
{
    gd_index_prefetch(&b->ix, grant);
}

enum gd_vend_end gd_vend_try(struct gd_broker *b, const struct gd_policy *policy, const struct gd_caller *c,
                             const char *workspace, const struct gd_id *grant, struct gd_vend *out,
                             struct gd_err *err)
{
    uint32_t n = gd_index_grant(&b->ix, grant);
    const struct gd_ix_grant *g;
    const struct gd_ix_cred *cred;
    long len;

    if (n == GD_NONE)
        return GD_VEND_LATER;
    g = gd_grant_at(&b->ix, n);
    workspace = workspace ? workspace : "main";
    if (!in_workspace(b, g, workspace))
        return GD_VEND_LATER;
    if (check_policy(b, policy, c, workspace, g, err) || check_sight(b, err) || check_life(g, err) ||
        check_cred(b, g, err))
        return GD_VEND_REFUSED;
    cred = gd_cred_at(&b->ix, g->cred);
    if (cred->expires_at && cred->expires_at <= gd_now(b->d.clock))
        return GD_VEND_LATER;
    if (!gd_vends_knows(b->vends, g->cred, c->number, cred->gen))
        return GD_VEND_LATER;
    len = gd_tokens_get(b->tokens, g->cred, out->token, sizeof out->token);
    if (len < 0)
        return GD_VEND_LATER;
    gd_vends_again(b->vends);
    out->len = (size_t)len;
    out->expires_at = cred->expires_at;
    out->gen = cred->gen;
    return GD_VEND_OK;
}

/* ---- grant.token, the general path ---- */

GD_SQL(sql_gone, "SELECT lifecycle FROM grants WHERE workspace = $1 AND id = $2");
GD_SQL(sql_token, "SELECT c.gen, v.attempt_id, v.parent_gen, v.created_at, v.sealed FROM credentials c"
                  " JOIN token_versions v ON v.workspace = c.workspace AND v.attempt_id = c.current_attempt"
                  " WHERE c.workspace = $1 AND c.id = $2");

#define AGAIN_MAX 8

struct vending {
    uint32_t grant, cred, gen;
    char id[GD_ID_TEXT_MAX], client[GD_ID_TEXT_MAX];
    struct gd_secret token;
    bool refreshed;
    unsigned again; /* how often a newer generation came while the token was read */
};

static void vend_go(struct gd_call *c);
static void on_refreshed(void *arg, const struct gd_err *err);
static void on_token(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err);
static void on_audited(void *arg, const struct gd_err *err);

static void vend_end(struct gd_call *c, json_t *result, const struct gd_err *err)
{
    struct vending *v = c->state;

    gd_secret_done(&v->token);
    if (result)
        gd_call_done(c, result);
    else
        gd_call_error(c, err);
}

static void on_gone(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;

    if (gd_call_store_failed(c, r, err))
        return;
    if (gd_tx_rows(tx, 0))
        gd_call_fail(c, GD_R_GRANT_ENDED, "this grant has ended");
    else
        gd_call_fail(c, GD_R_NOT_FOUND, "no grant of that id is visible to you");
}

void gd_grant_token(struct gd_broker *b, const struct gd_actor *who, json_t *params, gd_reply_fn *reply,
                    void *arg)
{
    struct gd_call *c = gd_call_new(b, who, params, reply, arg);
    struct vending *v = gd_arena_alloc(c->arena, sizeof *v);
    const char *text = gd_param(c, "grant");
    struct gd_id id;
    struct gd_tx *tx;

    c->state = v;
    if (!text || !gd_id_parse(&id, "gr", text, strlen(text))) {
        gd_call_fail(c, GD_R_PARAM_INVALID, "grant is not the id of a grant");
        return;
    }
    (void)snprintf(v->id, sizeof v->id, "%s", text);
    v->grant = gd_index_grant(&b->ix, &id);
    if (v->grant == GD_NONE || !in_workspace(b, gd_grant_at(&b->ix, v->grant), c->workspace)) {
        tx = gd_tx_new(b->d.store);
        gd_tx_add(tx, &sql_gone, GD_P_TEXT(c->workspace), GD_P_TEXT(v->id));
        gd_store_read_soon(b->d.store, tx, on_gone, c);
        return;
    }
    vend_go(c);
}

/* The token cannot be handed out as it is, and no refresh would help now. */
static void vend_no_token(struct gd_call *c, const struct gd_ix_cred *cred)
{
    static const enum gd_reason why[GD_CRED__COUNT] = {
        [GD_CRED_CURRENT] = GD_R_TOKEN_EXPIRED,
        [GD_CRED_RETRYING] = GD_R_CREDENTIAL_RETRYING,
        [GD_CRED_UNCERTAIN] = GD_R_CREDENTIAL_UNCERTAIN,
        [GD_CRED_QUARANTINED] = GD_R_CREDENTIAL_QUARANTINED,
        [GD_CRED_NEEDS_CONSENT] = GD_R_GRANT_NEEDS_CONSENT,
        [GD_CRED_REVOKED] = GD_R_CREDENTIAL_REVOKED,
        [GD_CRED_UNREADABLE] = GD_R_CREDENTIAL_UNREADABLE,
        [GD_CRED_RESTORED] = GD_R_CREDENTIAL_RESTORED,
    };
    struct gd_err err;

    gd_err_set(&err, why[cred->status], "the access token has expired and the credential is %s: %s",
               gd_cred_status_word((enum gd_cred_status)cred->status),
               gd_reason_info(why[cred->status])->remedy);
    vend_end(c, NULL, &err);
}

/* Strict and family servers are not asked earlier than the plan says because a caller wants a longer life. */
static bool may_refresh_early(const struct gd_ix_cred *cred)
{
    return cred->retry_class == GRANTD_RETRY_NONE || cred->retry_class == GRANTD_RETRY_OVERLAP ||
           cred->retry_class == GRANTD_RETRY_GRACE;
}

static void vend_go(struct gd_call *c)
{
    struct gd_broker *b = c->b;
    struct vending *v = c->state;
    const struct gd_ix_grant *g = gd_grant_at(&b->ix, v->grant);
    int64_t now = gd_now(b->d.clock), ttl = gd_json_i64(c->params, "min_ttl", 0) * 1000;
    const struct gd_ix_cred *cred;
    struct gd_err err = { 0 };
    char text[GD_ID_TEXT_MAX];
    struct gd_tx *tx;
    bool expired, may_refresh;

    if (check_sight(b, &err) || check_life(g, &err) || check_cred(b, g, &err)) {
        vend_end(c, NULL, &err);
        return;
    }
    v->cred = g->cred;
    cred = gd_cred_at(&b->ix, v->cred);
    gd_id_text(v->client, "cl", &gd_client_at(&b->ix, g->client)->id);
    expired = cred->expires_at && cred->expires_at <= now;
    gd_id_text(text, "cr", &cred->id);
    /* What is being retried has its date, which may be the platform's own: callers do not move it. */
    may_refresh = !v->refreshed && (cred->status == GD_CRED_CURRENT || gd_refresh_in_flight(b, text));
    if (expired && !may_refresh) {
        vend_no_token(c, cred);
        return;
    }
    if (expired ||
        (cred->expires_at && cred->expires_at - now < ttl && may_refresh && may_refresh_early(cred))) {
        v->refreshed = true;
        gd_refresh(b, v->cred, "vend", on_refreshed, c);
        return;
    }
    if (cred->expires_at && cred->expires_at - now < ttl) {
        gd_err_set(&err, GD_R_MIN_TTL_NOT_MET, "the token lives %lld more seconds and is not renewed earlier",
                   (long long)((cred->expires_at - now) / 1000));
        vend_end(c, NULL, &err);
        return;
    }
    tx = gd_tx_new(b->d.store);
    gd_tx_add(tx, &sql_token, GD_P_TEXT(c->workspace), GD_P_TEXT(text));
    gd_store_read_soon(b->d.store, tx, on_token, c);
}

static void on_refreshed(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct vending *v = c->state;
    const struct gd_ix_cred *cred = gd_cred_at(&c->b->ix, v->cred);

    if (err && cred->expires_at && cred->expires_at <= gd_now(c->b->d.clock))
        vend_end(c, NULL, err);
    else
        vend_go(c);
}

static int read_token(struct gd_call *c, const struct gd_tx *tx, struct gd_err *err)
{
    struct vending *v = c->state;
    struct gd_seal_name name = { .workspace = c->workspace, .client = v->client, .column = "tok" };
    char cred[GD_ID_TEXT_MAX];
    size_t n = 0;
    const void *sealed;
    GD_AUTO_FREE char *text = NULL;
    GD_AUTO_JSON blob = NULL;
    const char *token;

    if (gd_tx_rows(tx, 0) == 0)
        return gd_err_set(err, GD_R_NOT_FOUND, "the credential of this grant is not in the store");
    gd_id_text(cred, "cr", &gd_cred_at(&c->b->ix, v->cred)->id);
    name.owner = cred;
    name.attempt = gd_tx_text(tx, 0, 0, 1);
    name.gen = gd_tx_int(tx, 0, 0, 2);
    name.created_at = gd_tx_int(tx, 0, 0, 3);
    sealed = gd_tx_bytes(tx, 0, 0, 4, &n);
    text = gd_open_text(c->b, &name, sealed, n, err);
    blob = text ? gd_blob_json(text, err) : NULL;
    if (!blob)
        return -1;
    token = gd_json_text(blob, "access_token", NULL);
    if (!token)
        return gd_err_set(err, GD_R_GRANT_NO_TOKEN, "the credential holds no access token");
    gd_secret_set(&v->token, token, strlen(token));
    v->gen = (uint32_t)gd_tx_int(tx, 0, 0, 0);
    return 0;
}

static void on_token(void *arg, struct gd_tx *tx, enum gd_store_result r, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct vending *v = c->state;
    struct gd_err e = { 0 };
    struct gd_audit_entry entry = { .act = "grant.token",
                                    .phase = "done",
                                    .outcome = "ok",
                                    .workspace = c->workspace,
                                    .client = v->client,
                                    .subject = v->id,
                                    .uid = c->who.uid,
                                    .gid = c->who.gid,
                                    .pid = c->who.pid };

    if (r != GD_STORE_OK) {
        gd_secret_done(&v->token);
        gd_call_store_failed(c, r, err);
        return;
    }
    if (read_token(c, tx, &e)) {
        vend_end(c, NULL, &e);
        return;
    }
    if (gd_vends_knows(c->b->vends, v->cred, c->who.number, v->gen)) {
        on_audited(c, NULL);
        return;
    }
    GD_AUTO_JSON data = json_pack("{s:I}", "gen", (json_int_t)v->gen);
    entry.data = data;
    gd_audit_write(c->b->d.audit, &entry, on_audited, c);
}

static void on_audited(void *arg, const struct gd_err *err)
{
    struct gd_call *c = arg;
    struct vending *v = c->state;
    struct gd_broker *b = c->b;
    const struct gd_ix_grant *g = gd_grant_at(&b->ix, v->grant);
    const struct gd_ix_cred *cred = gd_cred_at(&b->ix, v->cred);
    struct gd_err e = { 0 };

    if (err) {
        vend_end(c, NULL, err);
        return;
    }
    /* A revoke, or a newer generation, may have come while we read and wrote. */
    if (check_life(g, &e) || check_cred(b, g, &e)) {
        vend_end(c, NULL, &e);
        return;
    }
    if (v->gen != cred->gen && v->again++ < AGAIN_MAX) {
        vend_go(c);
        return;
    }
    if (v->gen != cred->gen) {
        gd_err_set(&e, GD_R_CONFLICT, "the credential is being renewed right now");
        vend_end(c, NULL, &e);
        return;
    }
    gd_vends_remember(b->vends, v->cred, c->who.number, v->gen);
    gd_tokens_found(b->tokens, v->cred, v->token.ptr, v->token.len);
    vend_end(c,
             json_pack("{s:s, s:s, s:s, s:o, s:I}", "grant", v->id, "access_token", v->token.ptr,
                       "token_type", "Bearer", "expires_at", gd_time_json(cred->expires_at), "gen",
                       (json_int_t)v->gen),
             NULL);
}
