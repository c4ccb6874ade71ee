/* look.c - verify: what is there now; scan: what the hub reaches. The role is looked at with the agency's own
 * token when there is one, so that a grant without a token of the client can be checked as well. */
#include "linkedin.h"

enum { STAGE_HUB, STAGE_CLIENT };

static grantd_fn look_native, look_token;
static grantd_doc_fn on_native, on_self, on_token, on_hub_who;

/* ---- the native layer
 * ----------------------------------------------------------------------------------------- */

static const char *native_token(const grantd_op *op)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);

    return li(op)->stage == STAGE_HUB && hub ? hub : grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);
}

static grantd_next *unknown(grantd_op *op)
{
    grantd_observe(op, "native", "unknown");
    return look_token(op);
}

static grantd_next *look_native(grantd_op *op)
{
    const struct li *st = li(op);
    const char *token = native_token(op);

    return token ? li_get(op, li_key_url(op, grantd_arg(op, GRANTD_ARG_ASSET_ID), st->member[st->m]), token,
                          on_native)
                 : unknown(op);
}

static grantd_next *native_seen(grantd_op *op)
{
    const struct li *st = li(op);

    grantd_observe(op, "native", st->missing ? "gone" : "present");
    grantd_observe(op, "role", st->held);
    grantd_observe(op, "missing_members", st->missing);
    return look_token(op);
}

/* Whose token is in hand; NULL: not known. */
static const char *self(const grantd_op *op)
{
    return native_token(op) == grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? grantd_arg(op, GRANTD_ARG_ACCOUNT_ID)
                                                                       : li_hub_self(op);
}

/* What this token does not show, another one may still show. */
static grantd_next *other_token(grantd_op *op)
{
    struct li *st = li(op);

    st->sees = 0;
    if (st->stage == STAGE_CLIENT || !grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN) ||
        !grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return unknown(op);
    st->stage = STAGE_CLIENT;
    return look_native(op);
}

static grantd_next *refused(grantd_op *op)
{
    if (li(op)->stage == STAGE_HUB && grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN))
        grantd_warn(op, "HUB_CREDENTIAL_REFUSED",
                    "LinkedIn refuses the hub's token; run grantctl hub connect again");
    return other_token(op);
}

static grantd_next *next_member(grantd_op *op)
{
    return ++li(op)->m < li(op)->members ? look_native(op) : native_seen(op);
}

/* No record of this member: is that so, or does this token not show it? */
static grantd_next *no_record(grantd_op *op)
{
    struct li *st = li(op);
    struct li_proof p = { .account = grantd_arg(op, GRANTD_ARG_ASSET_ID),
                          .person = st->member[st->m],
                          .self = self(op),
                          .token = native_token(op),
                          .next = on_self };
    grantd_next *ask = st->sees ? NULL : li_prove(op, &p, other_token);

    if (ask)
        return ask;
    st->missing = li_with(op, st->missing, p.person);
    return next_member(op);
}

static grantd_next *on_self(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);

    if (status == 401)
        return refused(op);
    if (status == 429 || status >= 500)
        return li_fail(op, answer, "looking at the own role");
    if (!li_manages(op, answer, grantd_arg(op, GRANTD_ARG_ASSET_ID), self(op)))
        return other_token(op);
    li(op)->sees = 1;
    return no_record(op);
}

static grantd_next *on_native(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);
    int status = grantd_status(op, answer);
    const char *person = st->member[st->m], *role;

    if (status == 401)
        return refused(op);
    if (status == 403)
        return unknown(op);
    if (status == 404)
        return no_record(op);
    role = grantd_ok(op, answer) ? li_record_role(op, answer, grantd_arg(op, GRANTD_ARG_ASSET_ID), person)
                                 : NULL;
    if (!role)
        return li_fail(op, answer, "looking at the agency's role");
    if (!st->held || li_rank(role) < li_rank(st->held))
        st->held = role;
    return next_member(op);
}

/* ---- the token layer
 * ------------------------------------------------------------------------------------------ */

static grantd_next *look_token(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    return token ? li_introspect(op, token, on_token) : grantd_finish(op);
}

static grantd_next *on_token(grantd_op *op, const grantd_doc *answer)
{
    int64_t end = grantd_num(op, answer, "expires_at", 0);
    const char *scope = li_scope_of(op, grantd_text(op, answer, "scope"));
    int active;

    if (!grantd_ok(op, answer) || grantd_type(op, answer, "active") != GRANTD_IS_BOOL)
        return li_fail_introspect(op, answer);
    active = grantd_num(op, answer, "active", 0) == 1;
    grantd_observe(op, "alive", active ? "yes" : "no");
    if (!active)
        return grantd_finish(op);
    if (end > 0)
        grantd_observe(op, "expires_at", grantd_strf(op, "%lld", (long long)end));
    grantd_observe(op, "scope", scope);
    li_check_scope(op, scope);
    if (li_mode_is(op, GRANTD_MODE_HUB))
        return li_ask_who(op, grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_hub_who);
    return grantd_finish(op);
}

static grantd_next *on_hub_who(grantd_op *op, const grantd_doc *answer)
{
    const char *me = grantd_ok(op, answer) ? li_who_of(op, answer) : NULL;

    if (!me)
        return li_fail(op, answer, "asking who the hub is");
    grantd_observe(op, "account_id", me);
    return grantd_finish(op);
}

static int is_native(grantd_op *op)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);
    const char *mode = grant ? grantd_text(op, grant, "item.mode") : NULL;

    return !li_mode_is(op, GRANTD_MODE_HUB) && !li_mode_is(op, "token") && !(mode && !strcmp(mode, "token"));
}

grantd_next *li_verify(grantd_op *op)
{
    const char *account = grantd_arg(op, GRANTD_ARG_ASSET_ID);
    grantd_next *bad = li_version(op);

    if (bad)
        return bad;
    if (!is_native(op) || !account || !*account)
        return look_token(op);
    if (!li_digits(account))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "the grant's ad account is not a number");
    bad = li_members(op);
    return bad ? bad : look_native(op);
}

/* ---- scan
 * ----------------------------------------------------------------------------------------------------- */

static grantd_next *report(grantd_op *op)
{
    const struct li *st = li(op);

    for (size_t i = 0; i < st->accounts; i++)
        grantd_asset(op, .kind = "ad_account", .id = st->account[i].id, .name = st->account[i].name,
                     .role = st->account[i].role, .parent = st->account[i].parent);
    return grantd_finish(op);
}

grantd_next *li_scan(grantd_op *op)
{
    const char *token = grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
    grantd_next *bad = li_version(op);

    if (bad)
        return bad;
    if (!token)
        return grantd_fail(op, GRANTD_E_CONFIG, "the hub has no token; run grantctl hub connect");
    return li_list(op, token, NULL, report);
}
