/* share.c - one target with the client's token: it is read, and shared to the agency (facts: A3, mode share).
 * What is there already is not written again, which is what makes a lost answer harmless. Mode delegate only
 * reads: the token itself is the access. */
#include "meta.h"

static grantd_doc_fn on_account, on_page, on_agencies_refused, on_shared, on_delegated;
static grantd_fn share_now, send_share;
static grantd_next *on_agency(grantd_op *op, const grantd_doc *a, const char *row);

enum { CLOSED = 101 };

static int owner(grantd_op *op) /* whose token speaks for the owner: a Page has one of its own */
{
    return me(op)->page_token ? ME_PAGE : ME_CLIENT;
}

/* ---- reading it
 * --------------------------------------------------------------------------------------------- */
grantd_next *me_share_one(grantd_op *op)
{
    struct me *m = me(op);

    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return grantd_fail(op, GRANTD_E_REAUTH, "there is no token of the client to share with");
    if (!strcmp(m->kind->name, "page"))
        return me_get(op, ME_CLIENT, m->id, grantd_pairs("fields", "id,name,access_token"), on_page);
    return me_get(op, ME_CLIENT, m->id,
                  grantd_pairs("fields", "id,account_id,name,account_status,business{id,name}"), on_account);
}

/* NULL when the answer is about the target, else what follows. */
static grantd_next *not_it(grantd_op *op, const grantd_doc *a)
{
    int class = me_bad(op, a) ? me_class(op, a) : 0;

    if (class == GRANTD_E_FORBIDDEN || me_is(op, a, 803, 0))
        return me_problem(op, GRANTD_E_FORBIDDEN, "NOT_VISIBLE",
                          grantd_strf(op, "this login cannot see it: %s", me_why(op, a)));
    if (class)
        return me_fail(op, a);
    if (!me_same_id(grantd_text(op, a, "id"), me(op)->id))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta answered about another id than %s", me(op)->id);
    me(op)->name = grantd_text(op, a, "name");
    return NULL;
}

static grantd_next *look_for_agency(grantd_op *op)
{
    struct me *m = me(op);

    me_use_list(op, grantd_strf(op, "%s/agencies", m->id), owner(op),
                grantd_pairs("fields", "id,name,access_status,permitted_tasks"),
                grantd_arg(op, GRANTD_ARG_HUB_ID));
    m->find.found = on_agency;
    m->find.absent = share_now;
    m->find.refused = on_agencies_refused;
    return me_search(op);
}

static grantd_next *on_account(grantd_op *op, const grantd_doc *a)
{
    grantd_next *stop = not_it(op, a);
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID);

    if (stop)
        return stop;
    me(op)->parent = grantd_text(op, a, "business.id");
    if (grantd_num(op, a, "account_status", 1) == CLOSED)
        return me_problem(op, GRANTD_E_FORBIDDEN, "ACCOUNT_CLOSED", "the ad account is closed");
    if (!me(op)->parent)
        return me_problem(
            op, GRANTD_E_FORBIDDEN, "NO_PORTFOLIO",
            "the ad account is in no business portfolio; its owner adds it to one under Business "
            "settings first");
    if (!strcmp(me(op)->parent, hub))
        return me_problem(op, GRANTD_E_FORBIDDEN, "OWNED_BY_HUB",
                          "the ad account belongs to the agency's own portfolio");
    return look_for_agency(op);
}

/* Owner-side calls on a Page need the Page's own token (facts: A3, last row of the edges). */
static grantd_next *on_page(grantd_op *op, const grantd_doc *a)
{
    grantd_next *stop = not_it(op, a);
    const char *token = stop ? NULL : grantd_text(op, a, "access_token");

    if (stop)
        return stop;
    if (!token || !*token)
        return me_problem(op, GRANTD_E_FORBIDDEN, "NOT_PAGE_ADMIN",
                          "this login has no full control of the Page; one of its admins must log in");
    me(op)->page_token = token;
    return look_for_agency(op);
}

/* ---- sharing it
 * --------------------------------------------------------------------------------------------- */
static int posted(grantd_op *op)
{
    const char *id = grantd_noted(op, "posted");

    return id && !strcmp(id, me(op)->id);
}

/* The agency is in the list: confirmed with enough tasks, or waiting since we asked, or to be confirmed. */
static grantd_next *on_agency(grantd_op *op, const grantd_doc *a, const char *row)
{
    const char *status = grantd_text(op, a, grantd_strf(op, "%s.access_status", row));
    const char *role = me_role_at(op, a, grantd_strf(op, "%s.permitted_tasks", row));
    int confirmed = status && !strcmp(status, "CONFIRMED");

    if (confirmed && me_role_covers(role, me_asked_role(op))) {
        me_remark(op, ME_SHARED);
        return me_native_one(op);
    }
    if (posted(op) && !confirmed)
        return me_mark(op, ME_REVIEW);
    return share_now(op);
}

/* The edge is documented, reading it on an ad account is not (facts: A3): then the agency's side tells. */
static grantd_next *on_agencies_refused(grantd_op *op, const grantd_doc *a)
{
    int class = me_class(op, a);

    if (class == GRANTD_E_FORBIDDEN || (class == GRANTD_E_CONFIG && me(op)->who != ME_HUB))
        return share_now(op);
    return me_fail(op, a);
}

/* That it may have been asked for is durable before it is. */
static grantd_next *share_now(grantd_op *op)
{
    grantd_note(op, "posted", me(op)->id);
    me_tell_sent(op);
    return grantd_save(op, send_share, .access_token = NULL);
}

static grantd_next *send_share(grantd_op *op)
{
    struct me *m = me(op);

    return me_post(op, owner(op), grantd_strf(op, "%s/agencies", m->id),
                   grantd_pairs("business", grantd_arg(op, GRANTD_ARG_HUB_ID), "permitted_tasks",
                                me_tasks(op, m->kind, me_asked_role(op))),
                   on_shared);
}

static grantd_next *guide(grantd_op *op, const grantd_doc *a)
{
    grantd_warn(op, "SHARE_BY_HAND",
                "%s: Meta does not let this app or login share it (%s); the client does it "
                "by the guided step",
                me(op)->id, me_why(op, a));
    return me_mark(op, ME_GUIDED);
}

static grantd_next *on_shared(grantd_op *op, const grantd_doc *a)
{
    int class = me_bad(op, a) ? me_class(op, a) : 0;

    me_tell_refused(op, a);
    if (!class && grantd_num(op, a, "success", 0) != 1)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Meta did not say whether %s was shared", me(op)->id);
    if (!class && grantd_num(op, a, "requires_admin_approval", 0) == 1)
        return me_mark(op, ME_REVIEW);
    if (!class || me_is(op, a, 3944, 0)) { /* the business has it already: seen from its side below */
        me_remark(op, ME_SHARED);
        return me_native_one(op);
    }
    if (me_withdrawn(op, a))
        return guide(op, a);
    if (class == GRANTD_E_FORBIDDEN || me_is(op, a, 100, 0) || me_is(op, a, 3918, 0))
        return me_problem(op, class, "SHARE_REFUSED", me_why(op, a));
    return me_fail(op, a);
}

/* ---- delegate
 * ----------------------------------------------------------------------------------------------- */
grantd_next *me_delegate_one(grantd_op *op)
{
    return me_get(op, ME_CLIENT, me(op)->id,
                  grantd_pairs("fields", !strcmp(me(op)->kind->name, "page")
                                             ? "id,name"
                                             : "id,name,account_status,user_tasks"),
                  on_delegated);
}

static grantd_next *on_delegated(grantd_op *op, const grantd_doc *a)
{
    grantd_next *stop = not_it(op, a);

    if (stop)
        return stop;
    if (grantd_num(op, a, "account_status", 1) == CLOSED)
        return me_problem(op, GRANTD_E_FORBIDDEN, "ACCOUNT_CLOSED", "the ad account is closed");
    me(op)->role = me_role_at(op, a, "user_tasks");
    if (me(op)->role && !grantd_equal(me(op)->role, me_asked_role(op)))
        grantd_warn(op, me_role_covers(me(op)->role, me_asked_role(op)) ? "ROLE_HIGHER" : "ROLE_LOWER",
                    "%s: %s was asked, the login's configuration gives %s", me(op)->id, me_asked_role(op),
                    me(op)->role);
    grantd_asset(op, .kind = me(op)->kind->name, .id = me(op)->id, .name = me(op)->name,
                 .parent = grantd_kept(op, "client_business"),
                 .role = me(op)->role ? me(op)->role : me_asked_role(op), .layers = GRANTD_LAYER_TOKEN);
    grantd_surface(op, .outcome = GRANTD_SURFACE_OPEN, .kind = "token", .asset = me(op)->id);
    return me_mark(op, ME_DONE);
}
