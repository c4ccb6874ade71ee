/* verify.c - what is there now, of a grant and of the hub. Differences are facts. The token layer is asked of
 * debug_token, the native layer of the agency's own lists (facts: A3, plugin operations, row verify). */
#include "meta.h"

static grantd_fn token_seen, look_native, gone, not_pending, look_member, member_gone, hub_seen;
static grantd_next *on_present(grantd_op *op, const grantd_doc *a, const char *row);
static grantd_next *on_pending(grantd_op *op, const grantd_doc *a, const char *row);
static grantd_next *on_member(grantd_op *op, const grantd_doc *a, const char *row);
static grantd_doc_fn on_account, on_hub, on_users, on_pending_refused, on_members_refused;

static const char *moment(grantd_op *op, int64_t t)
{
    return t > 0 ? grantd_strf(op, "%lld", (long long)t) : NULL;
}

/* ---- the token
 * ---------------------------------------------------------------------------------------------- */
static void observe_token(grantd_op *op)
{
    struct me *m = me(op);

    grantd_observe(op, "alive", me_alive(op) ? "yes" : "no");
    if (!m->seen.valid)
        grantd_observe(op, "why", m->seen.why);
    if (m->seen.valid && m->seen.user && !grantd_kept(op, "client_business"))
        grantd_observe(op, "account_id", m->seen.user);
    grantd_observe(op, "expires_at", moment(op, m->seen.expires_at));
    grantd_observe(op, "data_access_ends_at", moment(op, m->seen.data_ends_at));
    if (m->seen.valid && m->seen.scopes)
        grantd_observe(op, "scope", m->seen.scopes);
}

grantd_next *me_verify(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    me_watch_version(op);
    if (!strcmp(me_mode(op), GRANTD_MODE_HUB))
        return me_hub_verify(op);
    return token ? me_look_at(op, token, token_seen) : look_native(op);
}

static int is_delegate(grantd_op *op)
{
    return !strcmp(me_mode(op), "delegate");
}

static grantd_next *token_seen(grantd_op *op)
{
    observe_token(op);
    if (!is_delegate(op))
        return grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN) ? look_native(op) : grantd_finish(op);
    me(op)->id = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    me(op)->kind = me_kind_of(me(op)->id);
    if (!me_alive(op) || !me(op)->id)
        return grantd_finish(op);
    return me_get(op, ME_CLIENT, grantd_encode(op, GRANTD_PERCENT, me(op)->id),
                  grantd_pairs("fields", !strcmp(me(op)->kind->name, "page")
                                             ? "id,name"
                                             : "id,name,account_status,user_tasks"),
                  on_account);
}

/* The token lives; what it reaches may be gone all the same. */
static grantd_next *on_account(grantd_op *op, const grantd_doc *a)
{
    int class = me_bad(op, a) ? me_class(op, a) : 0;
    const char *role = me_role_at(op, a, "user_tasks");

    if (class && !me_unseen(op, a))
        return me_fail(op, a);
    if (!class && !me_same_id(grantd_text(op, a, "id"), me(op)->id))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta answered about another id than %s", me(op)->id);
    grantd_observe(op, "asset", class ? "gone" : "present");
    if (!class && role)
        grantd_observe(op, "role", role);
    if (!class && grantd_num(op, a, "account_status", 0))
        grantd_observe(op, "account_status",
                       grantd_strf(op, "%lld", (long long)grantd_num(op, a, "account_status", 0)));
    return grantd_finish(op);
}

/* ---- the share
 * ---------------------------------------------------------------------------------------------- */
static const char *hub_edge(grantd_op *op, const char *edge)
{
    return grantd_strf(op, "%s/%s", grantd_arg(op, GRANTD_ARG_HUB_ID), edge);
}

static grantd_next *look_native(grantd_op *op)
{
    struct me *m = me(op);
    const char *id = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    grantd_next *stop = me_need_hub(op);

    if (stop)
        return stop;
    if (!id)
        return grantd_fail(op, GRANTD_E_CONFIG, "there is no asset to look at");
    m->kind = me_kind_of(id);
    m->id = me_id(op, m->kind, id, strlen(id));
    if (!m->id)
        return grantd_fail(op, GRANTD_E_CONFIG, "the asset id is none of Meta's");
    me_use_list(op, hub_edge(op, m->kind->clients), ME_HUB, grantd_pairs("fields", m->kind->fields), m->id);
    m->find.found = on_present;
    m->find.absent = gone;
    return me_search(op);
}

static grantd_next *on_present(grantd_op *op, const grantd_doc *a, const char *row)
{
    const char *tasks = grantd_strf(op, "%s.permitted_tasks", row), *role = me_role_at(op, a, tasks);
    const char *list = "";

    if (grantd_type(op, a, tasks) != GRANTD_IS_LIST)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta did not say with which tasks %s is shared",
                           me(op)->id);
    for (int64_t i = 0; i < grantd_len(op, a, tasks) && i < 30; i++) {
        const char *task = grantd_text(op, a, grantd_strf(op, "%s.%lld", tasks, (long long)i));

        list = task ? grantd_strf(op, "%s%s%s", list, *list ? " " : "", task) : list;
    }
    grantd_observe(op, "native", "present");
    grantd_observe(op, "partner", grantd_arg(op, GRANTD_ARG_HUB_ID));
    grantd_observe(op, "role", role ? role : "none");
    grantd_observe(op, "tasks", list);
    return look_member(op);
}

static grantd_next *gone(grantd_op *op)
{
    struct me *m = me(op);

    me_use_list(op, hub_edge(op, m->kind->pending), ME_HUB, grantd_pairs("fields", m->kind->pending_fields),
                m->id);
    m->find.inner = m->kind->inner;
    m->find.found = on_pending;
    m->find.absent = not_pending;
    m->find.refused = on_pending_refused;
    return me_search(op);
}

static grantd_next *on_pending(grantd_op *op, const grantd_doc *a, const char *row)
{
    (void)a;
    (void)row;
    grantd_observe(op, "native", "pending");
    return grantd_finish(op);
}

static grantd_next *not_pending(grantd_op *op)
{
    grantd_observe(op, "native", "gone");
    return grantd_finish(op);
}

static grantd_next *on_pending_refused(grantd_op *op, const grantd_doc *a)
{
    return me_withdrawn(op, a) ? not_pending(op) : me_fail(op, a);
}

/* ---- our system user
 * ---------------------------------------------------------------------------------------- */
static const char *member_of(grantd_op *op)
{
    const grantd_doc *d = grantd_document(op, GRANTD_DOC_GRANT);
    int64_t n = d ? grantd_len(op, d, "surfaces") : 0;

    for (int64_t i = 0; i < n; i++) {
        const char *kind = grantd_text(op, d, grantd_strf(op, "surfaces.%lld.kind", (long long)i));
        const char *id = grantd_text(op, d, grantd_strf(op, "surfaces.%lld.id", (long long)i));

        if (kind && !strcmp(kind, "member") && me_digits(id))
            return id;
    }
    return NULL;
}

static grantd_next *look_member(grantd_op *op)
{
    struct me *m = me(op);
    const char *member = member_of(op);

    if (!member)
        return grantd_finish(op);
    me_use_list(op, grantd_strf(op, "%s/assigned_users", m->id), ME_HUB,
                grantd_pairs("business", grantd_arg(op, GRANTD_ARG_HUB_ID), "fields", "id,name,tasks"),
                member);
    m->find.found = on_member;
    m->find.absent = member_gone;
    m->find.refused = on_members_refused;
    return me_search(op);
}

static grantd_next *on_member(grantd_op *op, const grantd_doc *a, const char *row)
{
    const char *role = me_role_at(op, a, grantd_strf(op, "%s.tasks", row));

    grantd_observe(op, "member", "present");
    if (role)
        grantd_observe(op, "member_role", role);
    return grantd_finish(op);
}

static grantd_next *member_gone(grantd_op *op)
{
    grantd_observe(op, "member", "gone");
    grantd_warn(
        op, "MEMBER_NOT_ASSIGNED",
        "%s is shared, but the system user is no longer assigned to it; assign it in Business settings",
        me(op)->id);
    return grantd_finish(op);
}

static grantd_next *on_members_refused(grantd_op *op, const grantd_doc *a)
{
    if (me_class(op, a) != GRANTD_E_FORBIDDEN)
        return me_fail(op, a);
    grantd_observe(op, "member", "unknown");
    return grantd_finish(op);
}

/* ---- the hub itself
 * ----------------------------------------------------------------------------------------- */
static const char *hub_token(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    return token ? token : grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
}

grantd_next *me_hub_verify(grantd_op *op)
{
    if (!me_digits(grantd_arg(op, GRANTD_ARG_HUB_ID)))
        return grantd_fail(op, GRANTD_E_CONFIG, "the hub's id must be the agency's business portfolio id");
    if (!hub_token(op))
        return grantd_fail(op, GRANTD_E_CONFIG, "the hub has no credential; run grantctl hub connect");
    me(op)->token = hub_token(op);
    return me_look_at(op, hub_token(op), hub_seen);
}

static grantd_next *hub_seen(grantd_op *op)
{
    observe_token(op);
    if (me(op)->seen.type)
        grantd_observe(op, "token_type", me(op)->seen.type);
    if (!me_alive(op))
        return grantd_finish(op);
    return me_get(op, ME_CLIENT, grantd_arg(op, GRANTD_ARG_HUB_ID),
                  grantd_pairs("fields", "id,name,primary_page"), on_hub);
}

static grantd_next *on_hub(grantd_op *op, const grantd_doc *a)
{
    const char *name = grantd_text(op, a, "name"), *hub = grantd_arg(op, GRANTD_ARG_HUB_ID);
    int class = me_bad(op, a) ? me_class(op, a) : 0;

    if (class && !me_unseen(op, a))
        return me_fail(op, a);
    if (!class && !me_same_id(grantd_text(op, a, "id"), hub))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta answered about another business than %s", hub);
    grantd_observe(op, "native", class ? "gone" : "present");
    if (class)
        return grantd_finish(op);
    if (name)
        grantd_observe(op, "name", name);
    grantd_observe(op, "primary_page",
                   grantd_type(op, a, "primary_page") == GRANTD_IS_OBJECT ? "present" : "none");
    if (!grantd_option(op, "system_user_id"))
        return grantd_finish(op);
    return me_get(op, ME_CLIENT, grantd_strf(op, "%s/system_users", hub),
                  grantd_pairs("fields", "id,name,role", "limit", "100"), on_users);
}

static grantd_next *on_users(grantd_op *op, const grantd_doc *a)
{
    const char *want = grantd_option(op, "system_user_id");

    if (me_bad(op, a))
        return me_waits(me_class(op, a)) ? me_fail(op, a) : grantd_finish(op);
    for (int64_t i = 0; i < grantd_len(op, a, "data"); i++)
        if (me_same_id(grantd_text(op, a, grantd_strf(op, "data.%lld.id", (long long)i)), want)) {
            grantd_observe(op, "system_user", "present");
            return grantd_finish(op);
        }
    if (grantd_type(op, a, "data") == GRANTD_IS_LIST && !grantd_text(op, a, "paging.next")) {
        grantd_observe(op, "system_user", "gone");
        grantd_warn(op, "SYSTEM_USER_MISSING", "the system user %s is not in the agency's portfolio", want);
    }
    return grantd_finish(op);
}
