/* revoke.c - closing, in the order that works (facts: A2, "Order matters", and A5 row 11): our system user
 * comes off the asset, then the share is taken back, last the token dies - it is what the share is taken back
 * with. Each is looked at again afterwards, and only what is seen to be gone is called closed. */
#include "meta.h"

static grantd_fn next_surface, closed_already, still_there, look_partner, look_member, token_seen, kill_token;
static grantd_next *on_still(grantd_op *op, const grantd_doc *a, const char *row);
static grantd_doc_fn on_page, on_member_removed, on_partner_removed, on_dropped, on_permissions,
    on_look_refused;

/* The surface of a kind, as it is listed and not yet worked off; NULL: there is none. */
static const char *surface(grantd_op *op, const char *kind, const char **ret_id)
{
    const grantd_doc *d = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = d ? grantd_len(op, d, "surfaces") : 0;

    for (int64_t i = 0; i < n && !grantd_noted(op, kind); i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);
        const char *is = grantd_text(op, d, grantd_strf(op, "%s.kind", at));
        const char *outcome = grantd_text(op, d, grantd_strf(op, "%s.outcome", at));

        if (!is || strcmp(is, kind) != 0 ||
            (outcome && (!strcmp(outcome, "closed") || !strcmp(outcome, "gone"))))
            continue;
        *ret_id = grantd_text(op, d, grantd_strf(op, "%s.id", at));
        return is;
    }
    return NULL;
}

static const char *in_work(grantd_op *op, const char **ret_id)
{
    static const char *const kinds[] = { "member", "partner", "request" };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (surface(op, kinds[i], ret_id))
            return kinds[i];
    return "token";
}

/* This one is through, whatever came of it; a crash does not begin with it again. */
static grantd_next *report(grantd_op *op, const char *kind, const char *id, uint32_t outcome,
                           const char *text)
{
    grantd_surface(op, .kind = kind, .id = id, .outcome = outcome, .text = text);
    grantd_note(op, kind, "1");
    return grantd_continue(op, next_surface);
}

/* ---- in order
 * ---------------------------------------------------------------------------------------------- */
static grantd_next *member(grantd_op *op, const char *id)
{
    const struct me *m = me(op);

    if (!me_digits(id) || !m->id)
        return report(op, "member", id, GRANTD_SURFACE_MANUAL,
                      "Remove the system user from the asset in Business settings.");
    return me_delete(op, ME_HUB, grantd_strf(op, "%s/assigned_users", m->id), grantd_pairs("user", id),
                     on_member_removed);
}

/* With the client's token while it lives: the owner's word counts. Else the agency gives the asset up. */
static grantd_next *give_up(grantd_op *op)
{
    struct me *m = me(op);

    return me_delete(op, ME_HUB, grantd_strf(op, "%s/%s", grantd_arg(op, GRANTD_ARG_HUB_ID), m->kind->own),
                     grantd_pairs(m->kind->id_param, m->id), on_dropped);
}

static grantd_next *as_owner(grantd_op *op, int who, const char *business)
{
    return me_delete(op, who, grantd_strf(op, "%s/agencies", me(op)->id),
                     grantd_pairs("business", business ? business : grantd_arg(op, GRANTD_ARG_HUB_ID)),
                     on_partner_removed);
}

static grantd_next *partner(grantd_op *op, const char *id)
{
    const struct me *m = me(op);

    if (!m->id || (id && !me_digits(id)))
        return report(op, in_work(op, &id), id, GRANTD_SURFACE_MANUAL,
                      "Remove the partner from the asset in Business settings.");
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return give_up(op);
    if (!strcmp(m->kind->name, "page"))
        return me_get(op, ME_CLIENT, m->id, grantd_pairs("fields", "id,access_token"), on_page);
    return as_owner(op, ME_CLIENT, id);
}

/* The owner's word on a Page needs the Page's own token; without it the agency gives it up. */
static grantd_next *on_page(grantd_op *op, const grantd_doc *a)
{
    const char *token = grantd_text(op, a, "access_token"), *id = NULL;

    if (me_bad(op, a) && me_waits(me_class(op, a)))
        return me_fail(op, a);
    if (me_bad(op, a) || !me_same_id(grantd_text(op, a, "id"), me(op)->id) || !token || !*token)
        return give_up(op);
    me(op)->page_token = token;
    (void)in_work(op, &id);
    return as_owner(op, ME_PAGE, id);
}

static grantd_next *next_surface(grantd_op *op)
{
    struct me *m = me(op);
    const char *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID), *id = NULL;
    int native = surface(op, "member", &id) || surface(op, "partner", &id) || surface(op, "request", &id);
    grantd_next *stop = native ? me_need_hub(op) : NULL;

    if (stop)
        return stop;
    m->kind = me_kind_of(asset);
    m->id = asset ? me_id(op, m->kind, asset, strlen(asset)) : NULL;
    if (surface(op, "member", &id))
        return member(op, id);
    if (surface(op, "partner", &id) || surface(op, "request", &id))
        return partner(op, id);
    if (surface(op, "token", &id))
        return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)
                   ? me_look_at(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), token_seen)
                   : report(op, "token", id, GRANTD_SURFACE_GONE, NULL);
    return grantd_finish(op);
}

grantd_next *me_revoke(grantd_op *op)
{
    return !strcmp(me_mode(op), GRANTD_MODE_HUB) ? me_hub_revoke(op) : next_surface(op);
}

enum {
    TRIED = 64,
    LOOKED_AT_SHARES = 128,
    LOOKED_AT_PENDING = 256,
    SOON = 3 * 3600
}; /* all but the last in
      .told */

/* ---- looking again
 * ------------------------------------------------------------------------------------------ */

/* What the closing call said is kept for the verdict; only what may go well later ends the operation. */
static int remember(grantd_op *op, const grantd_doc *a)
{
    me(op)->refused = me_bad(op, a) ? me_class(op, a) : 0;
    me(op)->refusal = me(op)->refused ? me_why(op, a) : NULL;
    return me_waits(me(op)->refused);
}

static void prepare(grantd_op *op, const char *edge, const char *const *query, const char *id)
{
    struct me *m = me(op);

    me_use_list(op, edge, ME_HUB, query, id);
    m->find.found = on_still;
    m->find.absent = closed_already;
    m->find.refused = on_look_refused;
}

static grantd_next *look(grantd_op *op, const char *edge, const char *const *query, const char *id)
{
    prepare(op, edge, query, id);
    return me_search(op);
}

static grantd_next *on_member_removed(grantd_op *op, const grantd_doc *a)
{
    return remember(op, a) ? me_fail(op, a) : look_member(op);
}

static grantd_next *look_member(grantd_op *op)
{
    const char *id = NULL;

    (void)surface(op, "member", &id);
    return look(op, grantd_strf(op, "%s/assigned_users", me(op)->id),
                grantd_pairs("business", grantd_arg(op, GRANTD_ARG_HUB_ID), "fields", "id,name,tasks"), id);
}

/* A dead token of the client is no obstacle: the agency gives the asset up by itself. */
static grantd_next *on_partner_removed(grantd_op *op, const grantd_doc *a)
{
    if (remember(op, a))
        return me_fail(op, a);
    return me(op)->refused ? give_up(op) : look_partner(op);
}

static grantd_next *on_dropped(grantd_op *op, const grantd_doc *a)
{
    return remember(op, a) ? me_fail(op, a) : look_partner(op);
}

static grantd_next *look_partner(grantd_op *op)
{
    struct me *m = me(op);

    return look(op, grantd_strf(op, "%s/%s", grantd_arg(op, GRANTD_ARG_HUB_ID), m->kind->clients),
                grantd_pairs("fields", m->kind->fields), m->id);
}

/* A request is not among what is shared; it may still be among what waits. */
static grantd_next *closed_already(grantd_op *op)
{
    struct me *m = me(op);
    const char *id = NULL, *kind = in_work(op, &id);

    if (!strcmp(kind, "request") && !(m->told & LOOKED_AT_PENDING)) {
        m->told |= LOOKED_AT_PENDING;
        prepare(op, grantd_strf(op, "%s/%s", grantd_arg(op, GRANTD_ARG_HUB_ID), m->kind->pending),
                grantd_pairs("fields", m->kind->pending_fields), m->id);
        m->find.inner = m->kind->inner;
        return me_search(op);
    }
    return report(op, kind, id, me(op)->refused ? GRANTD_SURFACE_GONE : GRANTD_SURFACE_CLOSED, NULL);
}

static grantd_next *on_still(grantd_op *op, const grantd_doc *a, const char *row)
{
    (void)a;
    (void)row;
    return still_there(op);
}

static grantd_next *still_there(grantd_op *op)
{
    const char *id = NULL, *kind = in_work(op, &id), *why = me(op)->refusal;

    if (!strcmp(kind, "request"))
        return report(
            op, kind, id, GRANTD_SURFACE_MANUAL,
            grantd_strf(op,
                        "An admin of the agency's portfolio takes the request for %s back, or an admin "
                        "of the portfolio that owns it declines it, in Business settings > Requests%s%s.",
                        me(op)->id, why ? ": " : "", why ? why : ""));
    if (me(op)->refused && me(op)->refused != GRANTD_E_PROTOCOL)
        return report(
            op, kind, id, GRANTD_SURFACE_MANUAL,
            grantd_strf(op,
                        "An admin of the portfolio that owns %s removes the %s in Business settings. "
                        "Meta refused to do it: %s.",
                        me(op)->id, !strcmp(kind, "member") ? "system user" : "agency as partner", why));
    return report(op, kind, id, GRANTD_SURFACE_FAILED, why ? why : "Meta said done, but it is still there");
}

/* Whether our user is on an asset may not be readable any more when the asset is no longer shared to us: then
 * the list of what is shared tells, without a share nobody of ours can be on it. */
static grantd_next *on_look_refused(grantd_op *op, const grantd_doc *a)
{
    const char *id = NULL, *kind = in_work(op, &id);

    if (me_class(op, a) != GRANTD_E_FORBIDDEN)
        return me_fail(op, a);
    if (!strcmp(kind, "member") && !(me(op)->told & LOOKED_AT_SHARES)) {
        me(op)->told |= LOOKED_AT_SHARES;
        return look_partner(op);
    }
    if (!strcmp(kind, "request"))
        return still_there(op);
    return report(op, kind, id, GRANTD_SURFACE_FAILED,
                  grantd_strf(op, "it could not be looked at afterwards: %s", me_why(op, a)));
}

/* ---- the token
 * ---------------------------------------------------------------------------------------------- */
static grantd_next *token_done(grantd_op *op, uint32_t outcome, const char *text)
{
    const char *id = NULL;

    (void)surface(op, "token", &id);
    return report(op, "token", id, outcome, text);
}

static int tried(const grantd_op *op)
{
    return me(op)->told & TRIED;
}

/* A delegated token ends only when the client removes the app (facts: A2, "BISU"). */
static const char by_hand[] =
    "An admin of the client's portfolio removes the app under Business settings > Integrations > Connected "
    "apps. We have forgotten the token; until then it is not proved to be dead.";

/* A short token dies by itself. To wait for that spares what else the person gave this app: there is no call
 * that ends one token of a person and no other. */
static int dies_soon(const grantd_op *op)
{
    int64_t ends = me(op)->seen.expires_at;

    return ends > 0 && ends - grantd_now(op) <= SOON && !strcmp(grantd_option(op, "token_end"), "auto");
}

static grantd_next *await_end(grantd_op *op)
{
    grantd_retry_after(op, me(op)->seen.expires_at + 60);
    return grantd_fail(op, GRANTD_E_LIMITED,
                       "the token was short and ends by itself within hours; it is looked "
                       "at again then");
}

static const char by_person[] =
    "The token is forgotten. The person who logged in can remove the app under Facebook settings > Business "
    "Integrations; that ends whatever else this person gave this app.";

/* Another consent of this person is in use: there is no call that would end this one alone. */
static int is_shared(grantd_op *op)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);

    return grant && grantd_num(op, grant, "siblings", 0) > 0;
}

static grantd_next *token_seen(grantd_op *op)
{
    const char *user = grantd_arg(op, GRANTD_ARG_HUB_ACCOUNT_ID);

    if (me(op)->seen.held) /* it may work again when the person has logged in */
        return token_done(op, GRANTD_SURFACE_MANUAL, by_person);
    if (!me(op)->seen.valid)
        return token_done(op, tried(op) && !me(op)->refused ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE,
                          NULL);
    if (tried(op))
        return token_done(op, GRANTD_SURFACE_FAILED,
                          me(op)->refusal ? me(op)->refusal : "Meta said done, but the token is still valid");
    if (me(op)->seen.type && strcmp(me(op)->seen.type, "USER") != 0)
        return token_done(op, GRANTD_SURFACE_MANUAL, by_hand);
    if (dies_soon(op))
        return await_end(op);
    if (user && me(op)->seen.user && !strcmp(user, me(op)->seen.user))
        return token_done(
            op, GRANTD_SURFACE_MANUAL,
            "The same person connected the hub: taking the app's permissions away would end the "
            "hub's token too. Connect the hub with another login, then revoke again.");
    if (is_shared(op))
        return token_done(op, GRANTD_SURFACE_MANUAL,
                          "another consent of this person is in use and would end with it: the token is "
                          "forgotten here, and ends by itself or with that consent");
    if (!strcmp(grantd_option(op, "token_end"), "forget"))
        return token_done(op, GRANTD_SURFACE_MANUAL, by_person);
    return kill_token(op);
}

/* It removes the app for this person: whatever the person gave this app before ends with it. */
static grantd_next *kill_token(grantd_op *op)
{
    return me_delete(op, ME_CLIENT, "me/permissions", grantd_pairs(NULL), on_permissions);
}

static grantd_next *on_permissions(grantd_op *op, const grantd_doc *a)
{
    if (remember(op, a))
        return me_fail(op, a);
    me(op)->told |= TRIED;
    return me_look_at(op, me_token(op, ME_CLIENT), token_seen);
}

/* ---- the hub's own
 * ------------------------------------------------------------------------------------------ */
static grantd_fn hub_token_seen;

static grantd_next *hub_done(grantd_op *op, uint32_t outcome, const char *text)
{
    grantd_surface(op, .kind = "token", .outcome = outcome, .text = text);
    return grantd_finish(op);
}

grantd_next *me_hub_revoke(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    token = token ? token : grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
    if (!token)
        return hub_done(op, GRANTD_SURFACE_GONE, NULL);
    me(op)->token = token;
    return me_look_at(op, token, hub_token_seen);
}

static grantd_doc_fn on_hub_permissions;

static grantd_next *hub_token_seen(grantd_op *op)
{
    if (!me(op)->seen.valid)
        return hub_done(op, tried(op) && !me(op)->refused ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE,
                        NULL);
    if (tried(op))
        return hub_done(op, GRANTD_SURFACE_FAILED,
                        me(op)->refusal ? me(op)->refusal : "Meta said done, but the token is still valid");
    if (me(op)->seen.type && strcmp(me(op)->seen.type, "USER") != 0)
        return hub_done(op, GRANTD_SURFACE_MANUAL,
                        "Revoke the system user's tokens in the agency's Business settings: what else uses "
                        "them is not for grantd to decide.");
    return me_delete(op, ME_CLIENT, "me/permissions", grantd_pairs(NULL), on_hub_permissions);
}

static grantd_next *on_hub_permissions(grantd_op *op, const grantd_doc *a)
{
    if (remember(op, a))
        return me_fail(op, a);
    me(op)->told |= TRIED;
    return me_look_at(op, me(op)->token, hub_token_seen);
}
