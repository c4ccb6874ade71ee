/* withdraw.c - what was sent and nobody accepted is taken back: the manager's invitation, a user's, and the
 * review that waits for a second administrator (facts: B3 link life cycle, user-access path). Each begins and
 * ends with a look. What came of it: ga(op)->closed, by us; ->stays with ->why; ->accepted: it was too late,
 * there is access now (ga(op)->link or ->user). */
#include "google_ads.h"

static grantd_fn end, on_link, on_link_again, on_invitation, on_invitation_again, on_user, on_review,
    on_review_again;

static grantd_next *end(grantd_op *op)
{
    return ga(op)->then(op);
}

static grantd_next *stays(grantd_op *op, uint32_t outcome, const char *why)
{
    ga(op)->stays = outcome;
    ga(op)->why = why;
    return end(op);
}

/* Google took it and shows it all the same. */
static grantd_next *shown(grantd_op *op)
{
    return stays(op, GRANTD_SURFACE_FAILED, "Google still shows it although it accepted its end");
}

static grantd_next *unknown(grantd_op *op)
{
    return stays(op, GRANTD_SURFACE_FAILED, "Google shows it in a state that is not known");
}

/* What concerns this account or a consent that is gone is a person's; the rest may go well later. */
static grantd_next *refused(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (e.about_account || (ga(op)->who == GA_CLIENT && e.fails == GRANTD_E_REAUTH))
        return stays(op, GRANTD_SURFACE_MANUAL, e.text);
    return ga_fail_as(op, a, &e);
}

/* Somebody was quicker: the next look says how. */
static int was_settled(const struct ga_error *e)
{
    return e->fails == GRANTD_E_ABSENT ||
           ga_is(e,
                 "INVALID_STATUS_CHANGE INVALID_CHANGE INVALID_INVITATION_STATUS INVALID_STATUS_TRANSITION "
                 "INVALID_INVITATION_ID ACCESS_INVITATION_INVALID_STATUS ACCESS_INVITATION_NOT_FOUND "
                 "NO_PENDING_INVITE");
}

/* ---- the manager's invitation ---- */

static grantd_next *on_cancelled(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);
    const char *name = grantd_text(op, a, "result.resourceName"), *tail = name ? strrchr(name, '~') : NULL;
    struct ga_error e;

    ga_error(op, a, &e);
    if (!grantd_ok(op, a) && !was_settled(&e))
        return refused(op, a);
    if (grantd_ok(op, a) && (!tail || !grantd_equal(tail + 1, st->link)))
        return ga_lied(op, "the invitation that was cancelled");
    st->closed = grantd_ok(op, a);
    return ga_look_link(op, st->line.cid, on_link_again, NULL);
}

grantd_next *ga_cancel_link(grantd_op *op, grantd_fn *then)
{
    struct ga *st = ga(op);
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID);

    st->then = then;
    return ga_mutate(op, GA_HUB, hub, ga_hub_login(op), "customerClientLinks:mutate",
                     grantd_strf(op,
                                 "{\"operation\":{\"update\":{\"resourceName\":"
                                 "\"customers/%s/customerClientLinks/%s~%s\",\"status\":\"CANCELED\"},"
                                 "\"updateMask\":\"status\"}}",
                                 hub, st->line.cid, st->link),
                     on_cancelled);
}

static grantd_next *on_link(grantd_op *op)
{
    struct ga *st = ga(op);

    if (grantd_equal(st->status, "PENDING"))
        return ga_cancel_link(op, st->then);
    st->accepted = grantd_equal(st->status, "ACTIVE");
    return st->accepted || ga_link_over(st->status) ? end(op) : unknown(op);
}

static grantd_next *on_link_again(grantd_op *op)
{
    struct ga *st = ga(op);

    st->accepted = grantd_equal(st->status, "ACTIVE");
    if (grantd_equal(st->status, "PENDING"))
        return shown(op);
    return st->accepted || ga_link_over(st->status) ? end(op) : unknown(op);
}

grantd_next *ga_withdraw_link(grantd_op *op, grantd_fn *then)
{
    grantd_next *bad = ga_need_hub(op);

    ga(op)->then = then;
    return bad ? bad : ga_look_link(op, ga(op)->line.cid, on_link, refused);
}

/* ---- a user's invitation, known by its address ---- */

static const char *login(const grantd_op *op)
{
    const struct ga_line *l = &ga(op)->line;

    return *l->via ? l->via : l->cid;
}

static grantd_next *on_removed(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);
    struct ga_error e;

    ga_error(op, a, &e);
    if (!grantd_ok(op, a) && !was_settled(&e))
        return refused(op, a);
    if (grantd_ok(op, a) && !grantd_equal(grantd_text(op, a, "result.resourceName"),
                                          grantd_strf(op, "customers/%s/customerUserAccessInvitations/%s",
                                                      st->line.cid, st->invitation)))
        return ga_lied(op, "the invitation that was removed");
    st->closed = grantd_ok(op, a);
    return ga_look_invitation(op, GA_CLIENT, st->line.cid, login(op), on_invitation_again, refused);
}

static grantd_next *on_invitation(grantd_op *op)
{
    struct ga *st = ga(op);

    if (!grantd_equal(st->invitation_status, "PENDING"))
        return ga_look_user(op, GA_CLIENT, st->line.cid, login(op), on_user, refused);
    return ga_mutate(
        op, GA_CLIENT, st->line.cid, login(op), "customerUserAccessInvitations:mutate",
        grantd_strf(op, "{\"operation\":{\"remove\":\"customers/%s/customerUserAccessInvitations/%s\"}}",
                    st->line.cid, st->invitation),
        on_removed);
}

static grantd_next *on_invitation_again(grantd_op *op)
{
    struct ga *st = ga(op);

    if (grantd_equal(st->invitation_status, "PENDING"))
        return shown(op);
    return st->closed ? end(op) : ga_look_user(op, GA_CLIENT, st->line.cid, login(op), on_user, refused);
}

static grantd_next *on_user(grantd_op *op)
{
    ga(op)->accepted = ga(op)->user != NULL;
    return end(op);
}

#define NO_TOKEN "the client's consent is gone, and without it grantd cannot look"

grantd_next *ga_withdraw_user(grantd_op *op, grantd_fn *then)
{
    struct ga *st = ga(op);

    st->then = then;
    st->id = NULL;
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return stays(op, GRANTD_SURFACE_MANUAL, NO_TOKEN);
    return ga_look_invitation(op, GA_CLIENT, st->line.cid, login(op), on_invitation, refused);
}

/* ---- a review, known by its id ---- */

static grantd_next *on_revoked(grantd_op *op, const grantd_doc *a)
{
    const char *error = grantd_strf(op, "resultOrError.0.%s", "partialFailureError");
    const char *name = grantd_text(op, a, "resultOrError.0.result.multiPartyAuthReview");
    struct ga *st = ga(op);

    if (!grantd_ok(op, a))
        return refused(op, a);
    if (grantd_type(op, a, error) == GRANTD_IS_OBJECT)
        st->why = "Google did not let the one who asked for it take it back";
    else if (!grantd_equal(name,
                           grantd_strf(op, "customers/%s/multiPartyAuthReviews/%s", st->line.cid, st->id)))
        return ga_lied(op, "the review that was revoked");
    st->closed = !st->why;
    return ga_look_review(op, on_review_again, refused);
}

static grantd_next *on_review(grantd_op *op)
{
    const struct ga *st = ga(op);

    if (!st->review_open)
        return end(op);
    return ga_mutate(op, GA_CLIENT, st->line.cid, login(op), "multiPartyAuthReview:resolve",
                     grantd_strf(op,
                                 "{\"operations\":[{\"multiPartyAuthReview\":"
                                 "\"customers/%s/multiPartyAuthReviews/%s\",\"newStatus\":\"REVOKED\"}]}",
                                 st->line.cid, st->id),
                     on_revoked);
}

static grantd_next *on_review_again(grantd_op *op)
{
    if (!ga(op)->review_open)
        return end(op);
    return ga(op)->why ? stays(op, GRANTD_SURFACE_MANUAL, ga(op)->why) : shown(op);
}

grantd_next *ga_withdraw_review(grantd_op *op, const char *id, grantd_fn *then)
{
    struct ga *st = ga(op);

    st->then = then;
    st->id = id;
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return stays(op, GRANTD_SURFACE_MANUAL, NO_TOKEN);
    return ga_look_review(op, on_review, refused);
}
