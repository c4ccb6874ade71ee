/* share.c - grant: the client's consent becomes roles of the agency's members on the ad accounts that were
 * named or chosen. One account after another: look first, write when the role is not there, look again when
 * the answer does not show it. Notes "chosen", "done", "bad" and "manual" hold ids, so that a crash repeats
 * nothing; what LinkedIn does not let the client's token do becomes a step by hand, checked hour by hour. */
#include "linkedin.h"

enum { SENT_MAX = 44, AGAIN_S = 3600, ASK_S = 86400, EMAIL_S = 6 * 3600 };

static grantd_fn work, choose, start_sharing, share_next, look, finish_up, check_manual;
static grantd_doc_fn on_who, on_held, on_put, on_readback, on_checked;

static const char *role_asked(const grantd_op *op)
{
    const char *role = grantd_arg(op, GRANTD_ARG_ROLE);

    return role ? role : "";
}

static void put_in(grantd_op *op, const char *note, const char *id)
{
    grantd_note(op, note, li_with(op, grantd_noted(op, note), id));
}

static int is_in(grantd_op *op, const char *note, const char *id)
{
    return li_listed(grantd_noted(op, note), id);
}

/* ---- records
 * -------------------------------------------------------------------------------------------------- */

const char *li_record_role(grantd_op *op, const grantd_doc *answer, const char *account, const char *person)
{
    const char *a = grantd_text(op, answer, "account"), *p = grantd_text(op, answer, "user");
    const char *role = grantd_text(op, answer, "role");

    if (!a || !p || !li_is_word(role) || strcmp(a, grantd_strf(op, "urn:li:sponsoredAccount:%s", account)) ||
        strcmp(p, grantd_strf(op, "urn:li:person:%s", person)))
        return NULL;
    return role;
}

static void say_shared(grantd_op *op, const char *id, const char *name, const char *parent, const char *role)
{
    const char *keep = grantd_option(op, "keep_client_token");
    uint32_t token = keep && !strcmp(keep, "true") && !li_mode_is(op, "manual") ? GRANTD_LAYER_TOKEN : 0;

    grantd_asset(op, .kind = "ad_account", .id = id, .name = name, .parent = parent, .role = role,
                 .layers = GRANTD_LAYER_NATIVE | token);
    if (strcmp(role, role_asked(op)))
        grantd_warn(op, "ROLE_DIFFERS", "on ad account %s the agency has the role %s, asked was %s", id, role,
                    role_asked(op));
}

static void say_problem(grantd_op *op, const char *id, const char *problem, const char *text)
{
    grantd_asset(op, .kind = "ad_account", .id = id, .problem = problem, .text = text);
    put_in(op, "bad", id);
}

/* ---- who consented
 * -------------------------------------------------------------------------------------------- */

static grantd_next *manual(grantd_op *op);

grantd_next *li_grant(grantd_op *op)
{
    grantd_next *bad = li_version(op);

    li(op)->patient = 1;
    if (bad)
        return bad;
    if (li_mode_is(op, "manual"))
        return manual(op);
    if (!grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return li_exchange(op);
    if (!grantd_noted(op, "me"))
        return li_ask_who(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_who);
    return work(op);
}

static const char *name_of(grantd_op *op, const grantd_doc *answer)
{
    const char *first = grantd_text(op, answer, "localizedFirstName"),
               *last = grantd_text(op, answer, "localizedLastName");

    return first && last ? grantd_strf(op, "%s %s", first, last) : NULL;
}

static grantd_next *on_who(grantd_op *op, const grantd_doc *answer)
{
    const char *me = grantd_ok(op, answer) ? li_who_of(op, answer) : NULL, *hub = li_hub_id(op);

    if (!me)
        return li_fail(op, answer, "asking who consented");
    if (li_mode_is(op, GRANTD_MODE_HUB)) {
        if (hub && strcmp(hub, me))
            grantd_warn(op, "HUB_ID_DIFFERS",
                        "LinkedIn knows the member who connected this hub as %s; write that id", me);
        return grantd_done(op, .account_id = me, .account_name = name_of(op, answer));
    }
    grantd_note(op, "me", me);
    return grantd_save(op, work, .account_id = me, .account_name = name_of(op, answer));
}

/* ---- which accounts
 * ------------------------------------------------------------------------------------------- */

static grantd_next *report_all(grantd_op *op)
{
    const struct li *st = li(op);
    const char *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    const char *wanted = asset && *asset ? li_id_list(op, asset, LI_CHOSEN_MAX) : NULL, *id;

    for (size_t i = 0; i < st->accounts; i++)
        grantd_asset(op, .kind = "ad_account", .id = st->account[i].id, .name = st->account[i].name,
                     .parent = st->account[i].parent, .role = st->account[i].role,
                     .layers = GRANTD_LAYER_TOKEN);
    for (size_t i = 0; (id = li_nth(op, wanted, i)); i++) /* however the hint writes it, this is the one */
        if (li_find(st, id))
            grantd_surface(op, .kind = "token", .asset = id, .outcome = GRANTD_SURFACE_OPEN);
        else
            say_problem(op, id, "NOT_YOURS", "the person who approved has no role on this ad account");
    if (!st->accounts && !wanted)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "the person who approved has no role on any ad account");
    return grantd_finish(op);
}

static grantd_next *work(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    const char *hint = asset && *asset ? li_id_list(op, asset, LI_CHOSEN_MAX) : NULL;
    const char *chosen = grantd_noted(op, "chosen"), *me = grantd_noted(op, "me");
    grantd_next *bad;

    li(op)->patient = 1;
    if (li_mode_is(op, "token"))
        return li_list(op, token, hint, report_all);
    bad = li_members(op);
    if (bad)
        return bad;
    for (size_t i = 0; i < li(op)->members; i++)
        if (me && !strcmp(me, li(op)->member[i]))
            return grantd_fail(op, GRANTD_E_FORBIDDEN,
                               "the agency's own member approved; somebody of the client has to");
    if (!li_is_role(role_asked(op)))
        return grantd_fail(op, GRANTD_E_CONFIG, "the role is none that LinkedIn gives to an agency");
    if (!chosen && !hint)
        return li_list(op, token, NULL, choose);
    return li_list(op, token, chosen ? chosen : hint, start_sharing);
}

static int may_share(const struct li_account *a)
{
    return li_rank(a->role) >= li_rank("ACCOUNT_MANAGER") && (!a->status || !strcmp(a->status, "ACTIVE"));
}

static grantd_next *ask(grantd_op *op, size_t n)
{
    const struct li *st = li(op);
    const char **choices = grantd_alloc(op, (2 * n + 2) * sizeof *choices);
    size_t k = 0;

    for (size_t i = 0; choices && i < st->accounts; i++)
        if (may_share(&st->account[i])) {
            choices[k++] = st->account[i].id;
            choices[k++] = st->account[i].name && *st->account[i].name
                               ? grantd_strf(op, "%s (%s)", st->account[i].name, st->account[i].id)
                               : st->account[i].id;
        }
    if (choices)
        grantd_step(
            op, .title = "Choose the ad accounts", .ask = "ad_accounts", .ask_label = "Ad accounts to share",
            .text = grantd_strf(op,
                                "The agency asks for the role %s. It gets it on the ad accounts that you "
                                "choose here, at most %d.",
                                role_asked(op), LI_CHOSEN_MAX),
            .choices = choices, .flags = GRANTD_STEP_MANY);
    return grantd_pending(op, grantd_now(op) + ASK_S);
}

static int all_found(grantd_op *op, const char *list)
{
    const char *id;

    for (size_t i = 0; (id = li_nth(op, list, i)); i++)
        if (!li_find(li(op), id))
            return 0;
    return 1;
}

static grantd_next *choose(grantd_op *op)
{
    const struct li *st = li(op);
    const char *input = grantd_input(op, "ad_accounts");
    const char *list = input ? li_id_list(op, input, LI_CHOSEN_MAX) : NULL;
    size_t n = 0;

    for (size_t i = 0; i < st->accounts; i++)
        n += may_share(&st->account[i]) != 0;
    if (n == 0)
        return grantd_fail(
            op, GRANTD_E_FORBIDDEN,
            "the person who approved may not add people to any active ad account; somebody with the "
            "role Account manager has to approve");
    if (!list || !all_found(op, list))
        return ask(op, n);
    grantd_note(op, "chosen", list);
    return grantd_save(op, share_next);
}

static grantd_next *start_sharing(grantd_op *op)
{
    if (grantd_noted(op, "chosen"))
        return share_next(op);
    grantd_note(op, "chosen", li_id_list(op, grantd_arg(op, GRANTD_ARG_ASSET_ID), LI_CHOSEN_MAX));
    return grantd_save(op, share_next);
}

/* ---- one account after another
 * -------------------------------------------------------------------------------- */

static int is_over(grantd_op *op, const char *id)
{
    return is_in(op, "done", id) || is_in(op, "bad", id) || is_in(op, "manual", id);
}

/* Why this account cannot be shared by this person; NULL: it can. */
static const char *hindrance(const struct li_account *a, const char **ret_text)
{
    if (!a) {
        *ret_text = "the person who approved has no role on this ad account";
        return "NOT_YOURS";
    }
    if (li_rank(a->role) < li_rank("ACCOUNT_MANAGER")) {
        *ret_text = "the person who approved may not add people here; the role Account manager is needed";
        return "ROLE_TOO_LOW";
    }
    if (a->status && (!strcmp(a->status, "CANCELED") || !strcmp(a->status, "REMOVED") ||
                      !strcmp(a->status, "PENDING_DELETION"))) {
        *ret_text = "this ad account is closed at LinkedIn";
        return "ACCOUNT_CLOSED";
    }
    return NULL;
}

static grantd_next *share_next(grantd_op *op)
{
    struct li *st = li(op);
    const char *chosen = grantd_noted(op, "chosen"), *id, *problem, *text;

    for (size_t i = 0; (id = li_nth(op, chosen, i)); i++) {
        if (is_over(op, id))
            continue;
        if (st->at && st->sent > SENT_MAX) /* a fresh run; what is done is noted */
            return grantd_continue(op, work);
        st->at = li_find(st, id);
        problem = hindrance(st->at, &text);
        if (!problem) {
            st->m = 0;
            st->held = NULL;
            return look(op);
        }
        say_problem(op, id, problem, text);
    }
    return finish_up(op);
}

static const char *key_url(grantd_op *op)
{
    const struct li *st = li(op);

    return li_key_url(op, st->at->id, st->member[st->m]);
}

static grantd_next *look(grantd_op *op)
{
    return li_get(op, key_url(op), grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_held);
}

static grantd_next *member_over(grantd_op *op, const char *role)
{
    struct li *st = li(op);

    if (!st->held || li_rank(role) < li_rank(st->held))
        st->held = role;
    if (++st->m < st->members)
        return look(op);
    say_shared(op, st->at->id, st->at->name, st->at->parent, st->held);
    put_in(op, "done", st->at->id);
    st->sent++; /* saving is a step as well */
    return grantd_save(op, share_next);
}

/* Told before it is given: what an item has begun is closed when it ends without a grant. */
static void tell_seat(grantd_op *op, const char *account, const char *member, uint32_t outcome)
{
    grantd_surface(op, .kind = "member", .id = grantd_strf(op, "%s/%s", account, member), .asset = account,
                   .outcome = outcome);
}

static grantd_next *put_role(grantd_op *op)
{
    const struct li *st = li(op);
    const char *body =
        grantd_strf(op,
                    "{\"account\":\"urn:li:sponsoredAccount:%s\",\"user\":\"urn:li:person:%s\","
                    "\"role\":\"%s\"}",
                    st->at->id, st->member[st->m], role_asked(op));

    tell_seat(op, st->at->id, st->member[st->m], GRANTD_SURFACE_OPEN);
    return li_send(op, &(struct li_call){ .method = "PUT",
                                          .url = key_url(op),
                                          .body = body,
                                          .next = on_put,
                                          .bearer = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) });
}

/* The one who pays is never made less by us: that role exists once per account. */
static grantd_next *on_held(grantd_op *op, const grantd_doc *answer)
{
    const struct li *st = li(op);
    const char *role;

    if (grantd_status(op, answer) == 404)
        return put_role(op);
    role = grantd_ok(op, answer) ? li_record_role(op, answer, st->at->id, st->member[st->m]) : NULL;
    if (!role)
        return li_fail(op, answer, "looking whether the agency has a role already");
    if (!strcmp(role, role_asked(op)) || !strcmp(role, "ACCOUNT_BILLING_ADMIN"))
        return member_over(op, role);
    return put_role(op);
}

static grantd_next *confirm_email(grantd_op *op)
{
    const struct li *st = li(op);

    grantd_warn(
        op, "MEMBER_EMAIL_UNCONFIRMED",
        "LinkedIn adds %s to no ad account before that person has confirmed the primary e-mail address there",
        st->member[st->m]);
    grantd_step(
        op, .title = "The agency confirms an e-mail address",
        .text = "LinkedIn waits until the agency's member has confirmed the primary e-mail address. There is "
                "nothing to do for you; it goes on by itself.");
    return grantd_pending(op, grantd_now(op) + EMAIL_S);
}

/* Refused for this account only: a Business Manager owns it, or the app is in the development tier. */
static grantd_next *by_hand(grantd_op *op)
{
    const struct li *st = li(op);

    grantd_warn(op, "ACCOUNT_NOT_WRITABLE",
                "LinkedIn lets this app add nobody to ad account %s (a Business Manager owns it, or the app "
                "is in the "
                "development tier, which edits five accounts): the client is asked to do it by hand",
                st->at->id);
    put_in(op, "manual", st->at->id);
    return grantd_save(op, share_next);
}

static grantd_next *on_put(grantd_op *op, const grantd_doc *answer)
{
    const struct li *st = li(op);
    int status = grantd_status(op, answer);
    const char *word = li_word(op, answer), *role;

    if (status / 100 == 4)
        tell_seat(op, st->at->id, st->member[st->m], GRANTD_SURFACE_GONE);
    if (status == 400 && word && !strcmp(word, "MEMBER_HAD_UNCONFIRMED_EMAIL"))
        return confirm_email(op);
    if (status == 403 || status == 404 || (status == 400 && li_class(op, answer) == GRANTD_E_PROTOCOL))
        return by_hand(op);
    if (!grantd_ok(op, answer))
        return li_fail(op, answer, "giving the role");
    if (grantd_type(op, answer, "role") != GRANTD_IS_TEXT)
        return li_get(op, key_url(op), grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_readback);
    role = li_record_role(op, answer, st->at->id, st->member[st->m]);
    return role ? member_over(op, role) : li_fail(op, answer, "giving the role");
}

static grantd_next *on_readback(grantd_op *op, const grantd_doc *answer)
{
    const struct li *st = li(op);
    const char *role =
        grantd_ok(op, answer) ? li_record_role(op, answer, st->at->id, st->member[st->m]) : NULL;

    if (grantd_status(op, answer) == 404)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "LinkedIn accepted the role and does not show it");
    return role ? member_over(op, role) : li_fail(op, answer, "reading the role back");
}

/* ---- by hand
 * -------------------------------------------------------------------------------------------------- */

void li_manual_steps(grantd_op *op, const char *accounts)
{
    const char *names = grantd_option(op, "member_names");
    const char *who = names && *names ? names : "the agency's member";

    grantd_step(
        op, .title = "Add the agency in Campaign Manager", .copy = names && *names ? names : NULL,
        .text = grantd_strf(op,
                            "Open %s%s in Campaign Manager, then Account settings, Manage access, Add user. "
                            "Enter %s (name or profile URL), choose the role %s and press Add. Only an "
                            "account manager can do this, and only people of up to the third degree are "
                            "found. An account that a Business Manager owns is managed there.",
                            accounts ? "ad account " : "your ad account", accounts ? accounts : "", who,
                            role_asked(op)),
        .ask = accounts ? NULL : "ad_accounts",
        .ask_label = accounts ? NULL : "Numbers of these ad accounts, one a line",
        .flags = accounts ? 0 : GRANTD_STEP_LINES);
}

static grantd_next *manual(grantd_op *op)
{
    const char *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID), *input = grantd_input(op, "ad_accounts");
    const char *list = grantd_noted(op, "manual");
    grantd_next *bad = li_members(op);

    if (bad)
        return bad;
    if (!list)
        list = asset && *asset ? li_id_list(op, asset, LI_CHOSEN_MAX)
               : input         ? li_id_list(op, input, LI_CHOSEN_MAX)
                               : NULL;
    if (!list) {
        li_manual_steps(op, NULL);
        return grantd_pending(op, grantd_now(op) + ASK_S);
    }
    grantd_note(op, "manual", list);
    return finish_up(op);
}

static const char *checking_token(const grantd_op *op)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);

    return hub ? hub : grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
}

static const char *still_open(grantd_op *op)
{
    const char *manual_ids = grantd_noted(op, "manual"), *id, *open = NULL;

    for (size_t i = 0; (id = li_nth(op, manual_ids, i)); i++)
        if (!is_in(op, "done", id))
            open = li_with(op, open, id);
    return open;
}

static grantd_next *end_sharing(grantd_op *op)
{
    const struct li *st = li(op);
    const char *done = grantd_noted(op, "done"), *open = still_open(op), *id;

    grantd_note(op, "looked", NULL);
    if (open) {
        li_manual_steps(op, open);
        return grantd_pending(op, grantd_now(op) + AGAIN_S);
    }
    for (size_t i = 0; (id = li_nth(op, done, i)); i++)
        for (size_t m = 0; m < st->members; m++)
            tell_seat(op, id, st->member[m], GRANTD_SURFACE_OPEN);
    return grantd_finish(op);
}

static grantd_next *finish_up(grantd_op *op)
{
    grantd_next *bad = li_members(op);

    return bad ? bad : check_manual(op);
}

/* Which of the accounts that wait for a hand show the role by now; "looked" are those of this round. */
static grantd_next *check_manual(grantd_op *op)
{
    struct li *st = li(op);
    const char *open = still_open(op), *id;

    for (size_t i = 0; checking_token(op) && (id = li_nth(op, open, i)); i++) {
        struct li_account *a;

        if (is_in(op, "looked", id))
            continue;
        if (st->sent > SENT_MAX)
            return grantd_continue(op, finish_up);
        a = grantd_alloc(op, sizeof *a);
        if (!a)
            return grantd_pending(op, grantd_now(op) + AGAIN_S);
        a->id = id;
        st->at = a;
        st->m = 0;
        st->held = NULL;
        put_in(op, "looked", id);
        return li_get(op, key_url(op), checking_token(op), on_checked);
    }
    return end_sharing(op);
}

static grantd_next *on_checked(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);
    int status = grantd_status(op, answer);
    const char *role =
        grantd_ok(op, answer) ? li_record_role(op, answer, st->at->id, st->member[st->m]) : NULL;

    if (status == 403 || status == 404)
        return check_manual(op);
    if (status == 401)
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the token that looks whether the agency was added is refused; run "
                           "grantctl hub connect again");
    if (!role)
        return li_fail(op, answer, "looking whether the agency was added");
    if (!st->held || li_rank(role) < li_rank(st->held))
        st->held = role;
    if (++st->m < st->members)
        return li_get(op, key_url(op), checking_token(op), on_checked);
    say_shared(op, st->at->id, NULL, NULL, st->held);
    put_in(op, "done", st->at->id);
    return check_manual(op);
}
