/* revoke.c - the end, surface by surface: seats and links first (the client's token may be needed for them),
 * the token last, and only when a person ordered that end. Each begins and ends with a look, so that it may
 * be called as often as it takes (facts: B3 link life cycle, plugin operations; B2 revoke). */
#include "google_ads.h"

/* ---- one after the other ---- */

static grantd_fn each, close_partner, close_member, close_token, on_cancelled, on_withdrawn, on_review_ended;

static grantd_next *report(grantd_op *op, uint32_t outcome, const char *text)
{
    struct ga *st = ga(op);
    const char *key = grantd_equal(st->kind, "token") ? "token" : "at";

    grantd_surface(op, .kind = st->kind, .id = st->line.ref, .outcome = outcome, .text = text);
    grantd_note(op, key, grantd_strf(op, "%lld", (long long)st->at + 1));
    return grantd_continue(op, each);
}

/* Found closed: by us, or before we came. */
static grantd_next *closed(grantd_op *op)
{
    return report(op, ga(op)->closed ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE, NULL);
}

/* The next surface that is not closed; tokens only when everything else was looked at. */
static int next_surface(grantd_op *op, int tokens)
{
    const grantd_doc *g = grantd_document(op, GRANTD_DOC_GRANT);
    const char *from = grantd_noted(op, tokens ? "token" : "at");
    struct ga *st = ga(op);

    for (int64_t i = from ? ga_number(from) : 0; g && i < grantd_len(op, g, "surfaces"); i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);
        const char *outcome = grantd_text(op, g, grantd_strf(op, "%s.outcome", at));

        st->kind = grantd_text(op, g, grantd_strf(op, "%s.kind", at));
        st->line.ref = grantd_text(op, g, grantd_strf(op, "%s.id", at));
        st->at = i;
        if (st->kind && grantd_equal(st->kind, "token") == tokens && !grantd_equal(outcome, "closed") &&
            !grantd_equal(outcome, "gone"))
            return 1;
    }
    return 0;
}

/* "1234567890~5544332211" into account and number; false: it is no such id. */
static int split(grantd_op *op)
{
    struct ga *st = ga(op);
    const char *rest = st->line.ref ? strchr(st->line.ref, '~') : NULL;

    st->line.cid = grantd_strf(op, "%.*s", st->line.ref ? (int)strcspn(st->line.ref, "~") : 0,
                               st->line.ref ? st->line.ref : "");
    st->line.via = st->line.cid;
    st->id = rest && ga_digits(rest + 1) ? rest + 1 : NULL;
    return ga_cid(st->line.cid);
}

static grantd_next *unknown(grantd_op *op)
{
    return report(
        op, GRANTD_SURFACE_MANUAL,
        "this is no access that grantd knows how to end: look in Google Ads under Admin > Access and "
        "security");
}

static grantd_next *close_hierarchy(grantd_op *op);

static grantd_next *each(grantd_op *op)
{
    struct ga *st = ga(op);

    if (next_surface(op, 0)) {
        if (!split(op))
            return unknown(op);
        if (grantd_equal(st->kind, "partner") && st->id)
            return close_partner(op);
        if (grantd_equal(st->kind, "member") && st->id)
            return close_member(op);
        if (grantd_equal(st->kind, "manager_invitation"))
            return ga_withdraw_link(op, on_cancelled);
        if (grantd_equal(st->kind, "user_invitation"))
            return ga_withdraw_user(op, on_withdrawn);
        if (grantd_equal(st->kind, "review") && st->id)
            return ga_withdraw_review(op, st->id, on_review_ended);
        return grantd_equal(st->kind, "hierarchy") ? close_hierarchy(op) : unknown(op);
    }
    return next_surface(op, 1) ? close_token(op) : grantd_finish(op);
}

/* ---- the manager link ---- */

#define THEIRS "it was accepted, and another grant stands on what came of it"

#define BY_HAND                                                                                              \
    "an administrator of account %s opens Admin > Access and security > Managers in Google Ads and removes " \
    "the manager account %s%s%s"

static grantd_fn unlink_next;

static grantd_next *link_stays(grantd_op *op)
{
    struct ga *st = ga(op);

    return report(op, GRANTD_SURFACE_MANUAL,
                  grantd_strf(op, BY_HAND, st->line.cid, grantd_arg(op, GRANTD_ARG_HUB_ID),
                              st->why ? ": " : "", st->why ? st->why : ""));
}

static grantd_next *on_unlinked_look(grantd_op *op)
{
    if (ga_link_over(ga(op)->status))
        return closed(op);
    return report(op, GRANTD_SURFACE_FAILED, "Google still shows the link although it accepted its end");
}

/* What no other way would change; everything else that concerns this account may be tried differently. */
static grantd_next *on_unlink_refused(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);
    struct ga_error e;

    ga_error(op, a, &e);
    if (ga_is(&e, "CLIENT_HAS_NO_ADMIN_USER CANNOT_UNLINK_ACCOUNT_WITHOUT_ACTIVE_USER "
                  "CANNOT_REMOVE_LAST_CLIENT_ACCOUNT_OWNER")) {
        st->why = e.text;
        return link_stays(op);
    }
    if (e.about_account || (st->who == GA_CLIENT && e.fails == GRANTD_E_REAUTH)) {
        st->why = e.text;
        return unlink_next(op);
    }
    return ga_fail_as(op, a, &e);
}

static grantd_next *on_unlinked(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);
    const char *one = grantd_text(op, a, "result.resourceName"),
               *many = grantd_text(op, a, "results.0.resourceName");
    const char *tail = strrchr(one ? one : many ? many : "", '~');

    if (!grantd_ok(op, a))
        return on_unlink_refused(op, a);
    if (!tail || !grantd_equal(tail + 1, st->id))
        return ga_lied(op, "the link that was ended");
    st->closed = 1;
    return ga_look_link(op, st->line.cid, on_unlinked_look, NULL);
}

/* From the client's account: customerManagerLinks, INACTIVE. */
static grantd_next *from_client(grantd_op *op, int who, const char *login)
{
    const struct ga *st = ga(op);

    return ga_mutate(op, who, st->line.cid, login, "customerManagerLinks:mutate",
                     grantd_strf(op,
                                 "{\"operations\":[{\"update\":{\"resourceName\":"
                                 "\"customers/%s/customerManagerLinks/%s~%s\",\"status\":\"INACTIVE\"},"
                                 "\"updateMask\":\"status\"}]}",
                                 st->line.cid, grantd_arg(op, GRANTD_ARG_HUB_ID), st->id),
                     on_unlinked);
}

/* From the manager's account: customerClientLinks, INACTIVE. */
static grantd_next *from_manager(grantd_op *op)
{
    const struct ga *st = ga(op);
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID);

    return ga_mutate(op, GA_HUB, hub, ga_hub_login(op), "customerClientLinks:mutate",
                     grantd_strf(op,
                                 "{\"operation\":{\"update\":{\"resourceName\":"
                                 "\"customers/%s/customerClientLinks/%s~%s\",\"status\":\"INACTIVE\"},"
                                 "\"updateMask\":\"status\"}}",
                                 hub, st->line.cid, st->id),
                     on_unlinked);
}

static int may(const grantd_op *op, const char *way)
{
    const char *by = grantd_option(op, "unlink_by");

    return !by || !strcmp(by, "auto") || !strcmp(by, way);
}

/* The documented way first; whether a manager may end an active link is an open question of the facts (12),
 * so both ways that people report are tried, then a person is asked. */
static grantd_next *unlink_next(grantd_op *op)
{
    struct ga *st = ga(op);

    st->ways++;
    if (st->ways == 1 && !(may(op, "client") && grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)))
        st->ways++;
    if (st->ways == 2 && !may(op, "manager_link"))
        st->ways++;
    if (st->ways == 1)
        return from_client(op, GA_CLIENT, st->line.cid);
    if (st->ways == 2)
        return from_client(op, GA_HUB, ga_hub_login(op));
    return st->ways == 3 && may(op, "client_link") ? from_manager(op) : link_stays(op);
}

static grantd_next *on_partner(grantd_op *op)
{
    struct ga *st = ga(op);

    if (ga_link_over(st->status))
        return closed(op);
    if (!grantd_equal(st->status, "PENDING") && !grantd_equal(st->status, "ACTIVE"))
        return report(op, GRANTD_SURFACE_FAILED, "Google shows the link in a state that is not known");
    st->id = st->link; /* also one that was made anew since: it is the same access */
    return grantd_equal(st->status, "PENDING") ? ga_cancel_link(op, on_cancelled) : unlink_next(op);
}

/* by_hand: what a person has to do, when grantd may not. */
static grantd_next *withdrawn(grantd_op *op, const char *by_hand)
{
    const struct ga *st = ga(op);
    const char *why = st->why ? st->why : "Google does not say why";

    if (!st->stays)
        return closed(op);
    return report(op, st->stays,
                  st->stays == GRANTD_SURFACE_MANUAL ? grantd_strf(op, "%s: %s", by_hand, why) : why);
}

/* Too late: it is a link by now, and ends as one, or is another grant's. */
static grantd_next *on_cancelled(grantd_op *op)
{
    struct ga *st = ga(op);

    st->id = st->link;
    if (st->accepted && grantd_is_others(op, "partner", grantd_strf(op, "%s~%s", st->line.cid, st->link)))
        return report(op, GRANTD_SURFACE_GONE, THEIRS);
    if (st->accepted)
        return unlink_next(op);
    return withdrawn(op, grantd_strf(op,
                                     "somebody of the agency opens Sub-account settings of the manager "
                                     "account %s in Google Ads and cancels the invitation of account %s",
                                     grantd_arg(op, GRANTD_ARG_HUB_ID), st->line.cid));
}

static grantd_next *close_partner(grantd_op *op)
{
    grantd_next *bad = ga_need_hub(op);

    return bad ? bad : ga_look_link(op, ga(op)->line.cid, on_partner, NULL);
}

static grantd_next *on_hierarchy(grantd_op *op)
{
    if (!ga(op)->found)
        return closed(op);
    return report(
        op, GRANTD_SURFACE_MANUAL,
        grantd_strf(op,
                    "account %s is reached through another manager account below %s: end the link of "
                    "those two in Google Ads",
                    ga(op)->line.cid, grantd_arg(op, GRANTD_ARG_HUB_ID)));
}

static grantd_next *close_hierarchy(grantd_op *op)
{
    grantd_next *bad = ga_need_hub(op);

    return bad ? bad : ga_look_hierarchy(op, ga(op)->line.cid, on_hierarchy);
}

/* ---- a user ---- */

static grantd_next *seat_stays(grantd_op *op, const char *why)
{
    return report(
        op, GRANTD_SURFACE_MANUAL,
        grantd_strf(op,
                    "an administrator of account %s opens Admin > Access and security in Google Ads and "
                    "removes the agency's user%s%s",
                    ga(op)->line.cid, why ? ": " : "", why ? why : ""));
}

static int who_removes(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? GA_CLIENT : GA_HUB;
}

static grantd_next *seat_unseen(grantd_op *op)
{
    return seat_stays(op, "the agency's own consent does not reach this account, so that it cannot be looked "
                          "at");
}

static grantd_next *on_seat_hidden(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (ga(op)->who == GA_HUB && ga_is(&e, "USER_PERMISSION_DENIED NOT_ADS_USER"))
        return ga_is_hub_seat(op, closed, seat_unseen); /* let in no more */
    if (e.about_account || e.fails == GRANTD_E_REAUTH)
        return seat_stays(op, e.text);
    return ga_fail_as(op, a, &e);
}

static grantd_next *on_removed_look(grantd_op *op)
{
    if (!ga(op)->user)
        return closed(op);
    return report(op, GRANTD_SURFACE_FAILED, "Google still shows the user although it accepted the removal");
}

static grantd_next *on_removed(grantd_op *op, const grantd_doc *a)
{
    struct ga *st = ga(op);
    struct ga_error e;

    ga_error(op, a, &e);
    if (!grantd_ok(op, a) && e.fails != GRANTD_E_ABSENT)
        return on_seat_hidden(op, a);
    if (grantd_ok(op, a) && grantd_text(op, a, "result.multiPartyAuthReview"))
        return seat_stays(op, "the removal is filed; another administrator approves it there within 20 days");
    if (grantd_ok(op, a) &&
        !grantd_equal(grantd_text(op, a, "result.resourceName"),
                      grantd_strf(op, "customers/%s/customerUserAccesses/%s", st->line.cid, st->id)))
        return ga_lied(op, "the user that was removed");
    st->closed = grantd_ok(op, a);
    return ga_look_user(op, st->who, st->line.cid, st->line.cid, on_removed_look, on_seat_hidden);
}

static grantd_next *on_member(grantd_op *op)
{
    struct ga *st = ga(op);

    if (!st->user)
        return closed(op);
    if (st->user_review)
        return seat_stays(op, "a change of this user waits for another administrator's approval");
    return ga_mutate(op, st->who, st->line.cid, st->line.cid, "customerUserAccesses:mutate",
                     grantd_strf(op, "{\"operation\":{\"remove\":\"customers/%s/customerUserAccesses/%s\"}}",
                                 st->line.cid, st->id),
                     on_removed);
}

static grantd_next *close_member(grantd_op *op)
{
    struct ga *st = ga(op);
    grantd_next *bad = who_removes(op) == GA_HUB ? ga_need_hub(op) : NULL;

    return bad ? bad
               : ga_look_user(op, who_removes(op), st->line.cid, st->line.cid, on_member, on_seat_hidden);
}

/* ---- what was sent and not accepted ---- */

static grantd_next *on_review_ended(grantd_op *op)
{
    return withdrawn(op, grantd_strf(op,
                                     "an administrator of account %s opens Admin > Access and security in "
                                     "Google Ads and takes back what was sent to the agency's address",
                                     ga(op)->line.cid));
}

/* Too late: it is a user by now, and ends as one, or is another grant's. */
static grantd_next *on_withdrawn(grantd_op *op)
{
    struct ga *st = ga(op);

    st->id = st->user;
    if (st->accepted && grantd_is_others(op, "member", grantd_strf(op, "%s~%s", st->line.cid, st->user)))
        return report(op, GRANTD_SURFACE_GONE, THEIRS);
    return st->accepted ? on_member(op) : on_review_ended(op);
}

/* ---- the token ---- */

static int ordered(const grantd_op *op)
{
    return ga_same_text(grantd_input(op, "end_all"), "yes");
}

static grantd_next *on_token_look(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (!grantd_ok(op, a) && ga_is(&e, "invalid_token"))
        return closed(op);
    if (!grantd_ok(op, a))
        return ga_fail_as(op, a, &e);
    if (!grantd_text(op, a, "aud"))
        return ga_fail(op, a);
    return report(op, GRANTD_SURFACE_FAILED, "Google still knows the token; its end may take a little time");
}

static grantd_next *on_ended(grantd_op *op, const grantd_doc *a)
{
    const char *access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
    struct ga_error e;

    ga_error(op, a, &e);
    if (!grantd_ok(op, a) && !(grantd_status(op, a) == 400 && ga_is(&e, "invalid_token")))
        return ga_fail_as(op, a, &e);
    ga(op)->closed = grantd_ok(op, a);
    return access ? ga_ask_token(op, access, on_token_look) : closed(op);
}

/* Google ends the person's consent to the whole Cloud project, all grants and clients of it: a person
 * decides.
 */
static grantd_next *close_token(grantd_op *op)
{
    const char *refresh = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
               *access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
               *person = grantd_arg(op, GRANTD_ARG_ACCOUNT_ID);

    if (!refresh && !access)
        return closed(op);
    if (!ordered(op))
        return report(
            op, GRANTD_SURFACE_MANUAL,
            grantd_strf(
                op,
                "Google can only end everything at once: all that the Google account%s%s gave to this "
                "agency's Google Cloud project, also for other grants of the same person. Order that with "
                "the input end_all=yes, or let the person remove the app in the security settings of the "
                "Google account",
                person ? " " : "", person ? person : ""));
    return ga_end_token(op, refresh ? refresh : access, on_ended);
}

/* Always from the first surface on: what is closed already is seen to be so. */
grantd_next *ga_revoke(grantd_op *op)
{
    grantd_note(op, "at", NULL);
    grantd_note(op, "token", NULL);
    return each(op);
}
