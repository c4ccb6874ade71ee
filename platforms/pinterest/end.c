/* end.c - looks at what is there, and ends it: the agency's business gives its access back by itself, so no
 * token of the client's is needed for it. */
#include "pinterest.h"

static grantd_next *native_is(grantd_op *op, const char *what)
{
    grantd_observe(op, "native", what);
    return grantd_finish(op);
}

/* "client business~asset" of a surface; false: it is none. */
static int split(grantd_op *op, const char *ref)
{
    struct pin *st = pin(op);
    const char *rest = ref ? strchr(ref, '~') : NULL;

    st->business = grantd_strf(op, "%.*s", rest ? (int)(rest - ref) : 0, rest ? ref : "");
    st->asset = rest ? rest + 1 : NULL;
    return pin_id(st->business) && pin_id(st->asset);
}

/* ---- verify ---- */

static grantd_next *on_native(grantd_op *op)
{
    struct pin *st = pin(op);

    if (!st->held)
        return native_is(op, "gone");
    grantd_observe(op, "role", *st->held ? st->held : NULL);
    grantd_observe(op, "partner", grantd_arg(op, GRANTD_ARG_HUB_ID));
    return native_is(op, "present");
}

/* Spec: a partner that is none any more is not found. */
static grantd_next *on_native_refused(grantd_op *op, const grantd_doc *a)
{
    return grantd_status(op, a) == 404 && grantd_num(op, a, "code", -1) >= 0 ? native_is(op, "gone")
                                                                             : pin_fail(op, a);
}

static grantd_next *native(grantd_op *op)
{
    const grantd_doc *g = grantd_document(op, GRANTD_DOC_GRANT);
    grantd_next *bad;

    for (int64_t i = 0; g && i < grantd_len(op, g, "surfaces"); i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);

        if (!grantd_equal(grantd_text(op, g, grantd_strf(op, "%s.kind", at)), "partner") ||
            !split(op, grantd_text(op, g, grantd_strf(op, "%s.id", at))))
            continue;
        bad = pin_need_hub(op);
        return bad ? bad : pin_look(op, pin(op)->business, on_native, on_native_refused);
    }
    return grantd_finish(op);
}

static grantd_next *after_token(grantd_op *op, const char *alive)
{
    grantd_observe(op, "alive", alive);
    return pin_mode(op) == PIN_AGENCY ? grantd_finish(op) : native(op);
}

static int has_ended(const grantd_op *op)
{
    const char *text = grantd_arg(op, GRANTD_ARG_EXPIRES_AT);
    int64_t end = 0;

    for (; text && *text >= '0' && *text <= '9' && end < INT64_MAX / 100; text++)
        end = end * 10 + (*text - '0');
    return end && end <= grantd_now(op);
}

/* 401 in Pinterest's words: whoever stands before it may say 401 of its own. */
static int is_refused(grantd_op *op, const grantd_doc *a)
{
    return grantd_status(op, a) == 401 && grantd_num(op, a, "code", -1) >= 0;
}

static grantd_next *on_person(grantd_op *op, const grantd_doc *a)
{
    const char *id = grantd_text(op, a, "id");

    if (is_refused(op, a))
        return after_token(op, has_ended(op) ? "unknown" : "no");
    if (!grantd_ok(op, a) || !pin_id(id))
        return pin_fail(op, a);
    grantd_observe(op, "account_id", id);
    if (pin_mode(op) == PIN_AGENCY)
        grantd_observe(op, "native",
                       grantd_equal(id, grantd_arg(op, GRANTD_ARG_HUB_ID)) ? "present" : "gone");
    return after_token(op, "yes");
}

grantd_next *pin_verify(grantd_op *op)
{
    int agency = pin_mode(op) == PIN_AGENCY;

    if (!agency && !grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return native(op);
    return pin_send(op, agency ? PIN_HUB : PIN_CLIENT, "GET", "/user_account", NULL, GRANTD_HTTP_REPEATABLE,
                    on_person);
}

/* ---- revoke ---- */

static grantd_fn each;

static grantd_next *report(grantd_op *op, uint32_t outcome, const char *text)
{
    struct pin *st = pin(op);

    grantd_surface(op, .kind = st->kind, .id = st->id, .outcome = outcome, .text = text);
    grantd_note(op, "at", grantd_strf(op, "%lld", (long long)st->at + 1));
    grantd_note(op, "given", NULL);
    return grantd_continue(op, each);
}

static grantd_next *by_hand(grantd_op *op)
{
    return report(
        op, GRANTD_SURFACE_MANUAL,
        grantd_strf(op,
                    "an administrator of business %s opens Business Manager, Partners, and takes the "
                    "account %s away from the partner %s",
                    pin(op)->business, pin(op)->asset, grantd_arg(op, GRANTD_ARG_HUB_ID)));
}

static grantd_next *on_gone(grantd_op *op)
{
    if (pin(op)->held)
        return report(op, GRANTD_SURFACE_FAILED,
                      "Pinterest still shows the access although it accepted its end");
    return report(op, pin(op)->closed ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE, NULL);
}

/* 404: there is no such partnership any more. */
static grantd_next *on_gone_refused(grantd_op *op, const grantd_doc *a)
{
    return grantd_status(op, a) == 404 && grantd_num(op, a, "code", -1) >= 0 ? on_gone(op) : pin_fail(op, a);
}

static grantd_next *on_ended(grantd_op *op, const grantd_doc *a)
{
    struct pin *st = pin(op);

    if (grantd_status(op, a) == 403 && grantd_num(op, a, "code", -1) >= 0)
        return by_hand(op);
    if (!grantd_ok(op, a) || grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    if (grantd_len(op, a, "items") && !grantd_equal(grantd_text(op, a, "items.0.asset_id"), st->asset))
        return pin_lied(op, "the access to another account was ended");
    st->closed = 1;
    return pin_look(op, st->business, on_gone, on_gone_refused);
}

/* Spec: EXTERNAL ends the access that we have to the partner's asset. Twice does no harm. */
static grantd_next *end_access(grantd_op *op, grantd_doc_fn *next)
{
    const struct pin *st = pin(op);

    return pin_send(op, PIN_HUB, "DELETE",
                    grantd_strf(op, "/businesses/%s/partners/assets", grantd_arg(op, GRANTD_ARG_HUB_ID)),
                    grantd_strf(op,
                                "{\"accesses\":[{\"partner_id\":\"%s\",\"asset_id\":\"%s\","
                                "\"partner_type\":\"EXTERNAL\"}]}",
                                st->business, st->asset),
                    GRANTD_HTTP_REPEATABLE, next);
}

static grantd_next *on_look(grantd_op *op)
{
    return pin(op)->held ? end_access(op, on_ended) : on_gone(op);
}

/* ---- what was sent and not accepted ---- */

static grantd_fn on_sent, on_sent_again, asked_for;

static int is_request(const grantd_op *op)
{
    return grantd_equal(pin(op)->kind, PIN_REQUEST_OUT);
}

static grantd_next *sent_stays(grantd_op *op, const char *why)
{
    return report(op, GRANTD_SURFACE_MANUAL,
                  grantd_strf(op,
                              "an administrator of business %s opens Business Manager, Partners, and cancels "
                              "what was sent to business %s: %s",
                              is_request(op) ? grantd_arg(op, GRANTD_ARG_HUB_ID) : pin(op)->business,
                              is_request(op) ? pin(op)->business : grantd_arg(op, GRANTD_ARG_HUB_ID), why));
}

static grantd_next *on_sent_refused(grantd_op *op, const grantd_doc *a)
{
    int status = grantd_status(op, a);

    if (grantd_num(op, a, "code", -1) >= 0 &&
        (status == 403 || status == 404 || (status == 401 && pin(op)->who == PIN_CLIENT)))
        return sent_stays(op, "Pinterest does not let grantd do it");
    return pin_fail(op, a);
}

/* Spec: DeleteInvitesResultsResponseArray; an exception in place of the invite says why not. */
static grantd_next *on_withdrawn(grantd_op *op, const grantd_doc *a)
{
    struct pin *st = pin(op);
    const char *done = grantd_text(op, a, "items.0.invite.id");

    if (!grantd_ok(op, a))
        return on_sent_refused(op, a);
    if (grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    if (done && !grantd_equal(done, st->invite))
        return pin_lied(op, "another invitation was cancelled");
    st->closed = grantd_type(op, a, "items.0.exception") != GRANTD_IS_OBJECT;
    return pin_find_invite(op, st->kind, st->business, on_sent_again, on_sent_refused);
}

static grantd_next *on_sent(grantd_op *op)
{
    struct pin *st = pin(op);

    if (!st->invite)
        return asked_for(op);
    return pin_send(op, is_request(op) ? PIN_HUB : PIN_CLIENT, "DELETE",
                    grantd_strf(op, "/businesses/%s/invites",
                                is_request(op) ? grantd_arg(op, GRANTD_ARG_HUB_ID) : st->business),
                    grantd_strf(op, "{\"invite_ids\":[\"%s\"]}", st->invite), GRANTD_HTTP_REPEATABLE,
                    on_withdrawn);
}

static grantd_next *on_sent_again(grantd_op *op)
{
    if (!pin(op)->invite)
        return asked_for(op);
    return pin(op)->closed
               ? report(op, GRANTD_SURFACE_FAILED, "Pinterest still shows it although it accepted its end")
               : sent_stays(op, "Pinterest refused to cancel it");
}

static grantd_fn on_given;
static grantd_doc_fn on_given_ended, on_nothing_given;

/* A request may have been agreed to at the last moment: then what it asked for is there, and is given back.
 */
static grantd_next *asked_for(grantd_op *op)
{
    if (!is_request(op) || pin(op)->closed || !pin_ids(op, grantd_arg(op, GRANTD_ARG_ASSET_ID)))
        return on_gone(op);
    pin(op)->asset = NULL;
    return pin_look(op, pin(op)->business, on_given, on_nothing_given);
}

static grantd_next *on_nothing_given(grantd_op *op, const grantd_doc *a)
{
    return on_gone_refused(op, a);
}

/* Another grant stands on this account's access, or an item that is still open. */
static int is_others(grantd_op *op, const char *id)
{
    return grantd_is_others(op, "partner", grantd_strf(op, "%s~%s", pin(op)->business, id));
}

/* One a run: an item may name more accounts than a run has requests. */
static grantd_next *on_given(grantd_op *op)
{
    struct pin *st = pin(op);
    const char *hint = pin_ids(op, grantd_arg(op, GRANTD_ARG_ASSET_ID)), *id,
               *last = grantd_noted(op, "given");
    int64_t i = 0;

    while ((id = pin_nth(op, hint, i)) && (!pin_listed(st->ids, id) || is_others(op, id)))
        i++;
    st->closed = last != NULL;
    if (!id)
        return on_gone(op);
    if (grantd_equal(id, last))
        return report(op, GRANTD_SURFACE_FAILED,
                      "Pinterest still shows an access although it accepted its end");
    st->asset = id;
    return end_access(op, on_given_ended);
}

static grantd_next *on_given_ended(grantd_op *op, const grantd_doc *a)
{
    if (grantd_status(op, a) == 403 && grantd_num(op, a, "code", -1) >= 0)
        return by_hand(op);
    if (!grantd_ok(op, a) || grantd_type(op, a, "items") != GRANTD_IS_LIST)
        return pin_fail(op, a);
    grantd_note(op, "given", pin(op)->asset);
    return grantd_continue(op, each);
}

static grantd_next *take_back(grantd_op *op)
{
    struct pin *st = pin(op);
    grantd_next *bad = is_request(op) ? pin_need_hub(op) : NULL;

    st->business = st->id;
    if (bad)
        return bad;
    if (!is_request(op) && !grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return sent_stays(op, "the client's consent is gone");
    return pin_find_invite(op, st->kind, st->id, on_sent, on_sent_refused);
}

/* ---- the token ---- */

#define FORGET                                                                                        \
    "Pinterest ends no token of a person through its API: the person removes the app in Pinterest's " \
    "settings "                                                                                       \
    "under Security, Connected apps; grantd forgets its copy"

static grantd_next *on_still_there(grantd_op *op, const grantd_doc *a)
{
    if (is_refused(op, a) && !pin(op)->closed && grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN))
        return report(op, GRANTD_SURFACE_MANUAL, FORGET); /* run out, it may be: the other one is not seen */
    if (is_refused(op, a))
        return report(op, pin(op)->closed ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE, NULL);
    return grantd_ok(op, a) && pin_id(grantd_text(op, a, "id")) ? report(op, GRANTD_SURFACE_MANUAL, FORGET)
                                                                : pin_fail(op, a);
}

/* Spec: only tokens of system users; 403 says so. Whether it is the end is seen by using the token. */
static grantd_next *on_token_ended(grantd_op *op, const grantd_doc *a)
{
    int status = grantd_status(op, a);

    if (status == 401 && grantd_num(op, a, "code", -1) >= 0)
        return grantd_fail(op, GRANTD_E_CONFIG, "Pinterest does not accept client_id and client_secret");
    if (status / 100 != 2 && !((status == 403 || status == 400) && grantd_num(op, a, "code", -1) >= 0))
        return pin_fail(op, a);
    pin(op)->closed = status / 100 == 2;
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return report(op, pin(op)->closed ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_MANUAL,
                      pin(op)->closed ? NULL : FORGET);
    return pin_send(op, PIN_CLIENT, "GET", "/user_account", NULL, GRANTD_HTTP_REPEATABLE, on_still_there);
}

static grantd_next *end_token(grantd_op *op)
{
    const char *refresh = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN),
               *access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    if (!refresh && !access)
        return report(op, GRANTD_SURFACE_GONE, NULL);
    return grantd_http(op, on_token_ended,
                       .url = grantd_strf(op, "%s/revoke", grantd_option(op, "token_url")),
                       .form = grantd_pairs("token", refresh ? refresh : access, "token_type_hint",
                                            refresh ? "refresh_token" : "access_token"),
                       .basic_user = grantd_option(op, "client_id"),
                       .basic_pass = grantd_option(op, "client_secret"), .flags = GRANTD_HTTP_REPEATABLE);
}

/* The i-th surface that is still open, from where the notes stand. */
static int next_surface(grantd_op *op)
{
    const grantd_doc *g = grantd_document(op, GRANTD_DOC_GRANT);
    const char *from = grantd_noted(op, "at");
    struct pin *st = pin(op);
    int64_t i = 0;

    for (; from && *from >= '0' && *from <= '9' && i < 1000000; from++)
        i = i * 10 + (*from - '0');
    for (; g && i < grantd_len(op, g, "surfaces"); i++) {
        const char *at = grantd_strf(op, "surfaces.%lld", (long long)i);
        const char *outcome = grantd_text(op, g, grantd_strf(op, "%s.outcome", at));

        st->kind = grantd_text(op, g, grantd_strf(op, "%s.kind", at));
        st->id = grantd_text(op, g, grantd_strf(op, "%s.id", at));
        st->at = i;
        if (st->kind && !grantd_equal(outcome, "closed") && !grantd_equal(outcome, "gone"))
            return 1;
    }
    return 0;
}

static grantd_next *each(grantd_op *op)
{
    struct pin *st = pin(op);
    grantd_next *bad;

    if (!next_surface(op))
        return grantd_finish(op);
    if (grantd_equal(st->kind, "token"))
        return end_token(op);
    if ((grantd_equal(st->kind, PIN_INVITATION) || is_request(op)) && pin_id(st->id))
        return take_back(op);
    if (!grantd_equal(st->kind, "partner") || !split(op, st->id))
        return report(op, GRANTD_SURFACE_MANUAL, "this is no access that grantd knows how to end");
    bad = pin_need_hub(op);
    return bad ? bad : pin_look(op, st->business, on_look, on_gone_refused);
}

grantd_next *pin_revoke(grantd_op *op)
{
    grantd_note(op, "at", NULL);
    return each(op);
}

/* ---- scan ---- */

static void scan_assets(grantd_op *op, const grantd_doc *a, const char *list, const char *kind,
                        const char *owner)
{
    for (int64_t i = 0; i < grantd_len(op, a, list); i++) {
        const char *at = grantd_strf(op, "%s.%lld", list, (long long)i);
        const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", at));
        const char *held = pin_permissions(op, a, grantd_strf(op, "%s.permissions", at));

        if (!pin_id(id))
            pin(op)->bad = "an asset without an id";
        else
            grantd_asset(op, .kind = kind, .id = id, .parent = owner, .role = *held ? held : NULL,
                         .layers = GRANTD_LAYER_NATIVE);
    }
}

static void scan_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", at));

    if (!pin_id(id)) {
        pin(op)->bad = "a partner without an id";
        return;
    }
    scan_assets(op, a, grantd_strf(op, "%s.assets_summary.ad_accounts", at), "ad_account", id);
    scan_assets(op, a, grantd_strf(op, "%s.assets_summary.profiles", at), "profile", id);
}

static const char *const partners_with_assets[] = { "partner_type", "EXTERNAL", "assets_summary", "true",
                                                    NULL };

grantd_next *pin_scan(grantd_op *op)
{
    grantd_next *bad = pin_need_hub(op);

    pin(op)->small = 1; /* a row names all that a partner has shared */
    return bad ? bad
               : pin_list(op, PIN_HUB,
                          grantd_strf(op, "/businesses/%s/partners", grantd_arg(op, GRANTD_ARG_HUB_ID)),
                          partners_with_assets, scan_row, grantd_finish, NULL);
}
