/* user.c - a seat for an address of the agency in the client's account: invitation, a second administrator's
 * approval where Google wants it, acceptance by mail, and what was given in the end (facts: B3 user-access
 * path). */
#include "google_ads.h"

#define Q5                                                                               \
    "SELECT customer_user_access.user_id, customer_user_access.email_address, "          \
    "customer_user_access.access_role, customer_user_access.access_creation_date_time, " \
    "customer_user_access.inviter_user_email_address, "                                  \
    "customer_user_access.pending_multi_party_auth_review FROM customer_user_access"
#define Q6                                                                                         \
    "SELECT customer_user_access_invitation.invitation_id, "                                       \
    "customer_user_access_invitation.email_address, customer_user_access_invitation.access_role, " \
    "customer_user_access_invitation.invitation_status, "                                          \
    "customer_user_access_invitation.creation_date_time FROM customer_user_access_invitation"
#define Q7                                                                                  \
    "SELECT multi_party_auth_review.resource_name, multi_party_auth_review.review_status, " \
    "multi_party_auth_review.operation_type, multi_party_auth_review.target_resource, "     \
    "multi_party_auth_review.creation_date_time FROM multi_party_auth_review WHERE "        \
    "multi_party_auth_review.review_status = 'PENDING'"

#define LAG 86400

const char *ga_address(const grantd_op *op)
{
    const char *mail = grantd_param(op, "email");

    return mail ? mail : grantd_option(op, "agency_email");
}

static int rank(const char *role)
{
    return grantd_equal(role, "ADMIN")       ? 4
           : grantd_equal(role, "STANDARD")  ? 3
           : grantd_equal(role, "READ_ONLY") ? 2
                                             : grantd_equal(role, "EMAIL_ONLY");
}

/* ---- users ---- */

/* When the invitation was made, from "i880011@2026-01-01 10:00:00" with the blank as T; NULL: unknown. */
static const char *made_at(grantd_op *op, const char *ref)
{
    const char *at = strchr(ref, '@');

    return at && strlen(at) > 12 ? grantd_strf(op, "%.10s %s", at + 1, at + 12) : NULL;
}

/* The user is known by id (once it is), else by the address that was invited. */
static int is_ours(grantd_op *op, const char *id, const char *mail)
{
    const char *known = ga(op)->id;

    return known ? grantd_equal(known, id) : ga_same_text(mail, ga_address(op));
}

static void user_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct ga *st = ga(op);
    const char *u = grantd_strf(op, "%s.customerUserAccess", at);
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.userId", u));
    const char *mail = grantd_text(op, a, grantd_strf(op, "%s.emailAddress", u));
    const char *made = grantd_text(op, a, grantd_strf(op, "%s.accessCreationDateTime", u));
    const char *invited = st->line.ref ? made_at(op, st->line.ref) : NULL;

    if (!ga_digits(id)) {
        st->bad = "a user without an id";
    } else if (is_ours(op, id, mail)) {
        st->user = id;
        st->user_role = grantd_text(op, a, grantd_strf(op, "%s.accessRole", u));
        st->bad = rank(st->user_role) ? NULL : "a user without a role that is known";
        st->user_review = grantd_text(op, a, grantd_strf(op, "%s.pendingMultiPartyAuthReview", u));
    } else if (invited && made && strcmp(made, invited) >= 0) {
        st->others++;
        st->other = id;
        st->other_mail = mail;
    }
}

grantd_next *ga_look_user(grantd_op *op, int who, const char *cid, const char *login, grantd_fn *then,
                          grantd_doc_fn *refused)
{
    struct ga *st = ga(op);

    st->user = st->user_role = st->user_review = st->other = NULL;
    st->others = 0;
    return ga_search(op, &(struct ga_query){ .who = who,
                                             .cid = cid,
                                             .login = login,
                                             .gaql = Q5,
                                             .row = user_row,
                                             .then = then,
                                             .refused = refused });
}

/* ---- whose seat ---- */

static grantd_next *on_hub_seat(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);

    if (grantd_ok(op, a) && ga_same_text(grantd_text(op, a, "email"), ga_address(op)))
        return st->yes(op);
    return grantd_status(op, a) == 429 || grantd_status(op, a) >= 500 ? ga_fail(op, a) : st->no(op);
}

grantd_next *ga_is_hub_seat(grantd_op *op, grantd_fn *yes, grantd_fn *no)
{
    ga(op)->yes = yes;
    ga(op)->no = no;
    return ga_ask_token(op, grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN), on_hub_seat);
}

/* ---- invitations ---- */

/* Is this the invitation that the line remembers ("i880011@...")? */
static int is_remembered(const char *ref, const char *id)
{
    size_t n = ref && (*ref == 'i' || *ref == 'I') ? strcspn(ref + 1, "@") : 0;

    return n > 0 && id && strlen(id) == n && !strncmp(ref + 1, id, n);
}

/* The open one to our address wins, then the one that was made before. */
static int takes(const grantd_op *op, const char *id, const char *mail, const char *status)
{
    const struct ga *st = ga(op);

    if (st->id)
        return grantd_equal(st->id, id);
    return ga_same_text(mail, ga_address(op)) && !grantd_equal(st->invitation_status, "PENDING") &&
           (grantd_equal(status, "PENDING") || !is_remembered(st->line.ref, st->invitation));
}

static void invitation_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct ga *st = ga(op);
    const char *v = grantd_strf(op, "%s.customerUserAccessInvitation", at);
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.invitationId", v));
    const char *mail = grantd_text(op, a, grantd_strf(op, "%s.emailAddress", v));
    const char *status = grantd_text(op, a, grantd_strf(op, "%s.invitationStatus", v));

    if (!ga_digits(id) || !status) {
        st->bad = "an invitation without an id or a status";
        return;
    }
    if (!takes(op, id, mail, status))
        return;
    st->invitation = id;
    st->invitation_status = status;
    st->invitation_role = grantd_text(op, a, grantd_strf(op, "%s.accessRole", v));
    st->invited_at = grantd_text(op, a, grantd_strf(op, "%s.creationDateTime", v));
}

grantd_next *ga_look_invitation(grantd_op *op, int who, const char *cid, const char *login, grantd_fn *then,
                                grantd_doc_fn *refused)
{
    ga(op)->invitation = ga(op)->invitation_status = NULL;
    return ga_search(op, &(struct ga_query){ .who = who,
                                             .cid = cid,
                                             .login = login,
                                             .gaql = Q6,
                                             .row = invitation_row,
                                             .then = then,
                                             .refused = refused });
}

static void review_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    struct ga *st = ga(op);
    const char *name = grantd_text(op, a, grantd_strf(op, "%s.multiPartyAuthReview.resourceName", at));

    if (!name)
        st->bad = "a review without a name";
    else if (grantd_equal(name,
                          grantd_strf(op, "customers/%s/multiPartyAuthReviews/%s", st->line.cid, st->id)))
        st->review_open = 1;
}

/* ---- one account ---- */

static grantd_fn on_users, on_invitations;
static grantd_doc_fn on_invited, on_raised, on_hidden;

static int who_asks(const grantd_op *op)
{
    return ga_mode(op) == GA_USER_MANUAL ? GA_HUB : GA_CLIENT;
}

/* The agency's user reaches the account directly, or not at all. */
static const char *login(const grantd_op *op)
{
    const struct ga_line *l = &ga(op)->line;

    return *l->via ? l->via : l->cid;
}

static grantd_next *look(grantd_op *op, grantd_fn *then)
{
    ga(op)->id = NULL;
    return ga_look_user(op, who_asks(op), ga(op)->line.cid, login(op), then,
                        who_asks(op) == GA_HUB ? on_hidden : NULL);
}

static grantd_next *seated(grantd_op *op, const char *id, const char *role)
{
    return ga_line_done(op, role ? grantd_strf(op, "u%s:%s", id, role) : grantd_strf(op, "u%s", id));
}

/* The client adds the agency by hand: until then the agency's user is not let in. */
static grantd_next *on_hidden(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (ga_is(&e, "USER_PERMISSION_DENIED NOT_ADS_USER CUSTOMER_NOT_FOUND "
                  "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION"))
        return ga_line_waits(op, "");
    return ga_line_refused(op, a);
}

static grantd_next *send_invitation(grantd_op *op)
{
    const struct ga_line *l = &ga(op)->line;

    return ga_mutate(op, GA_CLIENT, l->cid, login(op), "customerUserAccessInvitations:mutate",
                     grantd_strf(op, "{\"operation\":{\"create\":{\"emailAddress\":%s,\"accessRole\":%s}}}",
                                 grantd_encode(op, GRANTD_JSON, ga_address(op)),
                                 grantd_encode(op, GRANTD_JSON, grantd_arg(op, GRANTD_ARG_ROLE))),
                     on_invited);
}

/* That it may be out is durable before it is. */
static grantd_next *invite(grantd_op *op)
{
    ga_tell_invitation(op, GRANTD_SURFACE_OPEN);
    return grantd_save(op, send_invitation, .access_token = NULL);
}

/* Either the thing itself or a review that has to be approved first (facts: 0.1). */
static grantd_next *filed(grantd_op *op, const grantd_doc *a, const char *kind, char mark, const char *lie)
{
    const char *cid = ga(op)->line.cid;
    const char *id =
        ga_tail(grantd_text(op, a, "result.resourceName"), grantd_strf(op, "customers/%s/%s/", cid, kind));
    const char *review = ga_tail(grantd_text(op, a, "result.multiPartyAuthReview"),
                                 grantd_strf(op, "customers/%s/multiPartyAuthReviews/", cid));

    if (id)
        return ga_line_waits(op, grantd_strf(op, "%c%s", mark, id));
    return review ? ga_line_waits(op, grantd_strf(op, "v%s", review)) : ga_lied(op, lie);
}

static grantd_next *on_invited(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    if (grantd_ok(op, a))
        return filed(op, a, "customerUserAccessInvitations", 'i', "the invitation that was made");
    ga_tell_refused(op, a);
    ga_error(op, a, &e);
    if (ga_is(&e, "EMAIL_ADDRESS_ALREADY_HAS_ACCESS EMAIL_ADDRESS_ALREADY_HAS_PENDING_INVITATION"))
        return ga(op)->again++ ? ga_line_waits(op, ga(op)->line.ref) : look(op, on_users);
    return ga_line_refused(op, a);
}

static grantd_next *raise(grantd_op *op)
{
    const struct ga *st = ga(op);

    return ga_mutate(op, GA_CLIENT, st->line.cid, login(op), "customerUserAccesses:mutate",
                     grantd_strf(op,
                                 "{\"operation\":{\"update\":{\"resourceName\":"
                                 "\"customers/%s/customerUserAccesses/%s\",\"accessRole\":%s},"
                                 "\"updateMask\":\"accessRole\"}}",
                                 st->line.cid, st->user,
                                 grantd_encode(op, GRANTD_JSON, grantd_arg(op, GRANTD_ARG_ROLE))),
                     on_raised);
}

static grantd_next *on_raised(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);

    if (!grantd_ok(op, a))
        return ga_line_refused(op, a);
    if (grantd_text(op, a, "result.multiPartyAuthReview"))
        return filed(op, a, "customerUserAccesses", 'u', "the user that was changed");
    if (!grantd_equal(grantd_text(op, a, "result.resourceName"),
                      grantd_strf(op, "customers/%s/customerUserAccesses/%s", st->line.cid, st->user)))
        return ga_lied(op, "the user that was changed");
    return look(op, on_users);
}

/* More than was asked was there before us: it is told, not taken. */
static grantd_next *on_seat(grantd_op *op)
{
    struct ga *st = ga(op);
    const char *asked = grantd_arg(op, GRANTD_ARG_ROLE);
    int more = rank(st->user_role) - rank(asked);

    if (more > 0)
        grantd_warn(op, "ROLE_HIGHER", "%s has %s in account %s, %s was asked", ga_address(op), st->user_role,
                    st->line.cid, asked);
    if (more >= 0)
        return seated(op, st->user, st->user_role);
    if (st->user_review)
        return ga_line_waits(op, "v");
    if (who_asks(op) == GA_CLIENT && !st->again++)
        return raise(op);
    grantd_warn(op, "ROLE_LOWER", "%s has %s in account %s, %s was asked", ga_address(op),
                st->user_role ? st->user_role : "no role", st->line.cid, asked);
    return seated(op, st->user, st->user_role);
}

static grantd_next *on_users(grantd_op *op)
{
    struct ga *st = ga(op);

    if (st->user)
        return on_seat(op);
    if (who_asks(op) == GA_HUB)
        return ga_line_waits(op, "");
    return ga_look_invitation(op, GA_CLIENT, st->line.cid, login(op), on_invitations, NULL);
}

/* Gone without a user of that address: opened with another Google account, or not seen yet. */
static grantd_next *on_gone(grantd_op *op)
{
    struct ga *st = ga(op);
    const char *ref = st->line.ref;

    if (st->others == 1) {
        grantd_warn(op, "ACCEPTED_BY_ANOTHER_ADDRESS",
                    "the invitation to %s was accepted by %s in account %s", ga_address(op),
                    st->other_mail ? st->other_mail : "another address", st->line.cid);
        return seated(op, st->other, NULL);
    }
    if (*ref == 'i') { /* from now on a day's grace */
        st->line.since = 0;
        return ga_line_waits(op, grantd_strf(op, "I%s", ref + 1));
    }
    return grantd_now(op) - st->line.since < LAG ? ga_line_waits(op, ref)
                                                 : ga_line_bad(op, "INVITATION_GONE");
}

/* Approved reviews have become an invitation or a user by the next look. */
static grantd_next *on_reviews(grantd_op *op)
{
    struct ga *st = ga(op);
    const char *ref = st->line.ref;

    if (st->review_open)
        return ga_line_waits(op, ref);
    return *ref == 'v' ? ga_line_waits(op, grantd_strf(op, "V%s", ref + 1))
                       : ga_line_bad(op, "REVIEW_NOT_APPROVED");
}

grantd_next *ga_look_review(grantd_op *op, grantd_fn *then, grantd_doc_fn *refused)
{
    struct ga *st = ga(op);

    st->review_open = 0;
    return ga_search(op, &(struct ga_query){ .who = GA_CLIENT,
                                             .cid = st->line.cid,
                                             .login = login(op),
                                             .gaql = Q7,
                                             .row = review_row,
                                             .then = then,
                                             .refused = refused });
}

static grantd_next *look_review(grantd_op *op)
{
    ga(op)->id = ga(op)->line.ref + 1;
    return ga_look_review(op, on_reviews, NULL);
}

static grantd_next *on_invitations(grantd_op *op)
{
    struct ga *st = ga(op);
    const char *ref = st->line.ref, *at = st->invited_at;
    int asked = is_remembered(ref, st->invitation);

    if (grantd_equal(st->invitation_status, "PENDING"))
        return ga_line_waits(op, at && strlen(at) == 19 && strspn(at + 11, "0123456789:") == 8
                                     ? grantd_strf(op, "i%s@%.10sT%s", st->invitation, at, at + 11)
                                     : grantd_strf(op, "i%s", st->invitation));
    if (asked && grantd_equal(st->invitation_status, "DECLINED"))
        return ga_line_bad(op, "INVITATION_DECLINED");
    if (asked && grantd_equal(st->invitation_status, "EXPIRED"))
        return ga_line_bad(op, "INVITATION_EXPIRED");
    if (*ref == 'i' || *ref == 'I')
        return on_gone(op);
    if (*ref == 'v' || *ref == 'V')
        return look_review(op);
    return st->again ? ga_line_waits(op, ref) : invite(op);
}

grantd_next *ga_user_one(grantd_op *op)
{
    return look(op, on_users);
}
