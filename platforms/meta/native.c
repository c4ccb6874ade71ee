/* native.c - one target from the agency's side, with the hub's token: is it shared to us, do we have to ask
 * for it, is our system user on it (facts: A3, and A5 rows 7, 8 and 10). Every way of sharing ends here, and
 * waiting for people is looking here again. */
#include "meta.h"

static grantd_next *on_shared_to_us(grantd_op *op, const grantd_doc *a, const char *row);
static grantd_next *on_pending(grantd_op *op, const grantd_doc *a, const char *row);
static grantd_next *on_member(grantd_op *op, const grantd_doc *a, const char *row);
static grantd_fn not_shared, not_pending, assign, no_member, ask_now, send_ask;
static grantd_doc_fn on_asked, on_assigned, on_pending_refused, on_members_refused;

static int mark(const grantd_op *op)
{
    return me_mark_of(op, me(op)->at);
}

static const char *hub_edge(grantd_op *op, const char *edge)
{
    return grantd_strf(op, "%s/%s", grantd_arg(op, GRANTD_ARG_HUB_ID), edge);
}

/* ---- is it there
 * -------------------------------------------------------------------------------------------- */
grantd_next *me_native_one(grantd_op *op)
{
    struct me *m = me(op);

    me_use_list(op, hub_edge(op, m->kind->clients), ME_HUB, grantd_pairs("fields", m->kind->fields), m->id);
    m->find.found = on_shared_to_us;
    m->find.absent = not_shared;
    return me_search(op);
}

/* By hand less may have been given than was asked: then the step stays until it is enough. */
static grantd_next *on_shared_to_us(grantd_op *op, const grantd_doc *a, const char *row)
{
    struct me *m = me(op);
    const char *name = grantd_text(op, a, grantd_strf(op, "%s.name", row)),
               *tasks = grantd_strf(op, "%s.permitted_tasks", row);

    if (grantd_type(op, a, tasks) != GRANTD_IS_LIST)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta did not say with which tasks %s is shared", m->id);
    m->role = me_role_at(op, a, tasks);
    m->name = name ? name : m->name;
    if (!m->role || (mark(op) == ME_NEW && !me_role_covers(m->role, me_asked_role(op))))
        return not_shared(op);
    if (mark(op) == ME_GUIDED && !me_role_covers(m->role, me_asked_role(op))) {
        grantd_warn(op, "ROLE_LOWER", "%s is shared, but with fewer tasks than %s needs", m->id,
                    me_asked_role(op));
        return me_mark(op, ME_GUIDED);
    }
    if (grantd_arg(op, GRANTD_ARG_STATE)) /* there already when asked: grant goes on with it */
        return me_granted(op);
    return assign(op);
}

static grantd_next *not_shared(grantd_op *op)
{
    struct me *m = me(op);
    const char *mode = me_mode(op);

    if (!strcmp(mode, "manual") && mark(op) == ME_NEW)
        return me_mark(op, ME_GUIDED);
    if (mark(op) != ME_NEW && mark(op) != ME_ASKED)
        return me_mark(op, mark(op));
    me_use_list(op, hub_edge(op, m->kind->pending), ME_HUB, grantd_pairs("fields", m->kind->pending_fields),
                m->id);
    m->find.inner = m->kind->inner;
    m->find.found = on_pending;
    m->find.absent = not_pending;
    m->find.refused = on_pending_refused;
    return me_search(op);
}

/* ---- asking for it
 * ------------------------------------------------------------------------------------------ */
static grantd_next *on_pending(grantd_op *op, const grantd_doc *a, const char *row)
{
    (void)a;
    (void)row;
    me_found(op);
    return me_mark(op, ME_ASKED);
}

/* Facts: A6, a request that vanishes without the account appearing was declined or withdrawn. */
static grantd_next *not_pending(grantd_op *op)
{
    if (mark(op) == ME_ASKED && !me_vanished(op)) /* it may have been agreed to between both looks */
        return me_mark(op, ME_ASKED);
    if (mark(op) == ME_ASKED)
        return me_problem(op, GRANTD_E_DECLINED, "REQUEST_DECLINED",
                          "the request is no longer pending and nothing was shared: it was declined or "
                          "withdrawn");
    return ask_now(op);
}

static grantd_next *guide(grantd_op *op, const grantd_doc *a)
{
    grantd_warn(op, "REQUEST_BY_HAND",
                "%s: Meta does not let this app ask for it (%s); the client does it by the guided step",
                me(op)->id, me_why(op, a));
    return me_mark(op, ME_GUIDED);
}

static grantd_next *on_pending_refused(grantd_op *op, const grantd_doc *a)
{
    return me_withdrawn(op, a) ? guide(op, a) : me_fail(op, a);
}

static grantd_next *ask_now(grantd_op *op)
{
    me_tell_sent(op);
    return grantd_save(op, send_ask, .access_token = NULL);
}

static grantd_next *send_ask(grantd_op *op)
{
    struct me *m = me(op);

    return me_post(
        op, ME_HUB, hub_edge(op, m->kind->clients),
        grantd_pairs(m->kind->id_param, m->id, "permitted_tasks", me_tasks(op, m->kind, me_asked_role(op))),
        on_asked);
}

/* CONFIRMED at once when the agency has admin rights; every other word means that somebody has to agree. */
static grantd_next *on_asked(grantd_op *op, const grantd_doc *a)
{
    const char *status = grantd_text(op, a, "access_status");

    me_tell_refused(op, a);
    if (me_bad(op, a)) {
        if (me_is(op, a, 3944, 0))
            return me_mark(op, ME_SHARED);
        if (me_withdrawn(op, a))
            return guide(op, a);
        return me_class(op, a) == GRANTD_E_FORBIDDEN || me_is(op, a, 100, 0)
                   ? me_problem(op, me_class(op, a), "REQUEST_REFUSED", me_why(op, a))
                   : me_fail(op, a);
    }
    if (!status && grantd_num(op, a, "success", 0) != 1)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta did not say what became of the request for %s",
                           me(op)->id);
    return me_mark(op, status && !strcmp(status, "CONFIRMED") ? ME_SHARED : ME_ASKED);
}

/* ---- our system user on it
 * ---------------------------------------------------------------------------------- */
static grantd_next *assign(grantd_op *op)
{
    struct me *m = me(op);
    const char *member = grantd_option(op, "system_user_id");

    if (!member)
        return me_granted(op);
    if (!me_digits(member))
        return grantd_fail(op, GRANTD_E_CONFIG, "system_user_id must be digits");
    me_use_list(op, grantd_strf(op, "%s/assigned_users", m->id), ME_HUB,
                grantd_pairs("business", grantd_arg(op, GRANTD_ARG_HUB_ID), "fields", "id,name,tasks"),
                member);
    m->find.found = on_member;
    m->find.absent = no_member;
    m->find.refused = on_members_refused;
    return me_search(op);
}

/* What the agency holds bounds what its people can be given. */
static const char *member_role(grantd_op *op)
{
    const char *held = me(op)->role, *asked = me_asked_role(op);

    return held && !me_role_covers(held, asked) ? held : asked;
}

/* The tasks may be missing (facts: 0.1): being there is then enough. */
static grantd_next *on_member(grantd_op *op, const grantd_doc *a, const char *row)
{
    const char *tasks = grantd_strf(op, "%s.tasks", row);

    if (grantd_type(op, a, tasks) == GRANTD_IS_LIST &&
        !me_role_covers(me_role_at(op, a, tasks), member_role(op)))
        return no_member(op);
    grantd_note(op, "member", "1");
    return me_granted(op);
}

static grantd_next *no_member(grantd_op *op)
{
    struct me *m = me(op);

    return me_post(op, ME_HUB, grantd_strf(op, "%s/assigned_users", m->id),
                   grantd_pairs("user", grantd_option(op, "system_user_id"), "tasks",
                                me_tasks(op, m->kind, member_role(op))),
                   on_assigned);
}

/* The share is there; that our own user is not on it is the agency's to mend. */
static grantd_next *unassigned(grantd_op *op, const grantd_doc *a)
{
    if (me_waits(me_class(op, a)) || me_class(op, a) == GRANTD_E_PROTOCOL)
        return me_fail(op, a);
    grantd_warn(op, "MEMBER_NOT_ASSIGNED",
                "%s is shared, but the system user could not be assigned: %s; assign it in Business settings",
                me(op)->id, me_why(op, a));
    return me_granted(op);
}

static grantd_next *on_members_refused(grantd_op *op, const grantd_doc *a)
{
    return unassigned(op, a);
}

static grantd_next *on_assigned(grantd_op *op, const grantd_doc *a)
{
    if (me_bad(op, a) && !me_is(op, a, 3944, 0))
        return unassigned(op, a);
    if (!me_is(op, a, 3944, 0) && grantd_num(op, a, "success", 0) != 1)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta did not say whether the system user was assigned");
    grantd_note(op, "member", "1");
    return me_granted(op);
}
