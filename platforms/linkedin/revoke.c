/* revoke.c - the end: the roles first, while a token is there that may take them away, then the tokens. Each
 * is looked at again. A surface "member" is named ACCOUNT/PERSON. */
#include "linkedin.h"

#define REVOKE   "https://www.linkedin.com/oauth/v2/revoke"
#define SERVICES "https://www.linkedin.com/psettings/permitted-services"

enum { TOKEN_CLIENT, TOKEN_HUB, TOKEN_NONE };
enum { END_SUPERSEDED = 4, END_ACCESS = END_SUPERSEDED, END_REFRESH, END_OVER };

static grantd_fn next_surface, remove_role, check_role, end_token;
static grantd_doc_fn on_removed, on_role_left, on_self, on_ended, on_dead;

/* The member that the surface is about. */
struct who {
    const char *account, *person;
};

static const char *surface_text(grantd_op *op, const char *member)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);

    return grant ? grantd_text(op, grant,
                               grantd_strf(op, "surfaces.%lld.%s", (long long)li(op)->surface, member))
                 : NULL;
}

static int64_t surfaces(grantd_op *op)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);

    return grant ? grantd_len(op, grant, "surfaces") : 0;
}

static int who_of(grantd_op *op, struct who *ret)
{
    const char *id = surface_text(op, "id"), *slash = id ? strchr(id, '/') : NULL;

    if (!slash)
        return 0;
    ret->account = grantd_strf(op, "%.*s", (int)(slash - id), id);
    ret->person = slash + 1;
    return li_digits(ret->account) && li_person(ret->person);
}

/* Whoever was asked to do it by hand may have done it: that is looked at again, not done again. */
static int is_open(grantd_op *op)
{
    const char *outcome = surface_text(op, "outcome");

    return !outcome || (strcmp(outcome, "closed") && strcmp(outcome, "gone"));
}

/* ---- roles
 * ---------------------------------------------------------------------------------------------------- */

static const char *token_of(grantd_op *op)
{
    struct li *st = li(op);
    const char *client = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
               *hub = grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);

    if (st->stage == TOKEN_CLIENT && !client)
        st->stage = TOKEN_HUB;
    if (st->stage == TOKEN_HUB && !hub)
        st->stage = TOKEN_NONE;
    return st->stage == TOKEN_CLIENT ? client : st->stage == TOKEN_HUB ? hub : NULL;
}

static grantd_next *role_over(grantd_op *op, uint32_t outcome, const char *text)
{
    struct who w = { 0 };

    if (outcome == GRANTD_SURFACE_MANUAL && who_of(op, &w))
        grantd_step(op, .title = "Remove the agency in Campaign Manager",
                    .text =
                        grantd_strf(op,
                                    "Open ad account %s in Campaign Manager, then Account settings, Manage "
                                    "access, and remove the agency's member. An account that a Business "
                                    "Manager owns is managed there.",
                                    w.account));
    grantd_surface(op, .kind = "member", .id = surface_text(op, "id"), .outcome = outcome, .text = text);
    li(op)->surface++;
    return next_surface(op);
}

static grantd_next *to_role(grantd_op *op, const char *method, grantd_doc_fn *next)
{
    struct who w = { 0 };
    const char *token = token_of(op);

    if (!who_of(op, &w))
        return role_over(op, GRANTD_SURFACE_MANUAL,
                         "it is not known whose role this is; look in Campaign Manager");
    if (!token)
        return role_over(
            op, GRANTD_SURFACE_MANUAL,
            "no token is left that may remove it: the client removes the member in Campaign Manager");
    return li_send(op, &(struct li_call){ .method = method,
                                          .url = li_key_url(op, w.account, w.person),
                                          .bearer = token,
                                          .next = next });
}

static grantd_next *remove_role(grantd_op *op)
{
    return to_role(op, "DELETE", on_removed);
}

static grantd_next *check_role(grantd_op *op)
{
    return to_role(op, "GET", on_role_left);
}

static int refuses(int status)
{
    return status == 400 || status == 401 || status == 403;
}

static grantd_next *on_removed(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);
    int status = grantd_status(op, answer);

    if (grantd_ok(op, answer) || status == 404) {
        st->deleted = grantd_ok(op, answer) != 0;
        return check_role(op);
    }
    if (!refuses(status) || li_class(op, answer) == GRANTD_E_CONFIG)
        return li_fail(op, answer, "removing the agency's member");
    st->refused = 1;
    st->stage++;
    if (token_of(op))
        return remove_role(op);
    st->stage = status == 401 ? TOKEN_HUB : TOKEN_CLIENT; /* nobody may: is it perhaps gone? */
    return check_role(op);
}

static const char *self(const grantd_op *op)
{
    return li(op)->stage == TOKEN_CLIENT ? grantd_arg(op, GRANTD_ARG_ACCOUNT_ID) : li_hub_self(op);
}

/* This token does not show who has a role there; the hub's may. */
static grantd_next *unseen(grantd_op *op)
{
    struct li *st = li(op);

    if (st->stage == TOKEN_CLIENT && grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN)) {
        st->stage = TOKEN_HUB;
        return check_role(op);
    }
    return role_over(
        op, GRANTD_SURFACE_MANUAL,
        "no token is left that may see whether it is gone: the client looks in Campaign Manager, "
        "and removes the member if it is there");
}

static grantd_next *is_gone(grantd_op *op)
{
    struct who w = { 0 };
    struct li_proof p = { .self = self(op), .token = token_of(op), .next = on_self };
    grantd_next *ask;

    if (li(op)->deleted || !who_of(op, &w))
        return role_over(op, GRANTD_SURFACE_CLOSED, NULL);
    p.account = w.account;
    p.person = w.person;
    ask = li_prove(op, &p, unseen);
    return ask ? ask : role_over(op, GRANTD_SURFACE_GONE, NULL);
}

static grantd_next *on_self(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);
    struct who w = { 0 };

    if (status == 429 || status >= 500)
        return li_fail(op, answer, "looking at the own role");
    return who_of(op, &w) && li_manages(op, answer, w.account, self(op))
               ? role_over(op, GRANTD_SURFACE_GONE, NULL)
               : unseen(op);
}

/* Who has lost the last role on an account may not even look at it any more. */
static grantd_next *on_role_left(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);
    int status = grantd_status(op, answer);
    struct who w = { 0 };

    if (status == 404 || (status == 403 && st->deleted))
        return is_gone(op);
    if (status == 401 && st->stage == TOKEN_CLIENT) {
        st->stage = TOKEN_HUB;
        return check_role(op);
    }
    if (status == 401 || status == 403)
        return role_over(
            op, GRANTD_SURFACE_MANUAL,
            "no token is left that may remove it: the client removes the member in Campaign Manager");
    if (!grantd_ok(op, answer) || !who_of(op, &w) || !li_record_role(op, answer, w.account, w.person))
        return li_fail(op, answer, "looking whether the role is gone");
    if (st->refused)
        return role_over(
            op, GRANTD_SURFACE_MANUAL,
            "LinkedIn lets no token of ours remove it: the client removes the member in Campaign Manager");
    return role_over(op, GRANTD_SURFACE_FAILED, "LinkedIn accepted the removal and still shows the role");
}

/* ---- tokens
 * --------------------------------------------------------------------------------------------------- */

static const char *kept_token(grantd_op *op, int i)
{
    const char *kept = grantd_kept(op, grantd_strf(op, "old.%d", i)),
               *blank = kept ? strchr(kept, ' ') : NULL;
    int64_t end = blank ? grantd_number(grantd_strf(op, "%.*s", (int)(blank - kept), kept)) : 0;

    return end > grantd_now(op) ? blank + 1 : NULL;
}

/* The tokens that were replaced live on until their own end, so they go too. */
static const char *token_at(grantd_op *op, int i)
{
    if (i < END_SUPERSEDED)
        return kept_token(op, i);
    return grantd_arg(op, i == END_ACCESS ? GRANTD_ARG_ACCESS_TOKEN : GRANTD_ARG_REFRESH_TOKEN);
}

/* Whether LinkedIn ends all tokens of a member with one is not known: nobody else's consent is put at risk.
 */
static int is_shared(grantd_op *op)
{
    const grantd_doc *grant = grantd_document(op, GRANTD_DOC_GRANT);

    return grant && grantd_num(op, grant, "siblings", 0) > 0;
}

static grantd_next *end_token(grantd_op *op)
{
    struct li *st = li(op);
    const char *access = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), *token = NULL;

    if (is_shared(op)) {
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_MANUAL,
                       .text =
                           "another consent of this member is in use and might end with this token: it is "
                           "destroyed here and ends by itself");
        st->surface++;
        return next_surface(op);
    }
    for (; st->stage < END_OVER && !token; st->stage++)
        token = token_at(op, st->stage);
    if (token)
        return grantd_http(op, on_ended, .url = REVOKE,
                           .form = grantd_pairs("client_id", grantd_option(op, "client_id"), "client_secret",
                                                grantd_option(op, "client_secret"), "token", token),
                           .flags = GRANTD_HTTP_REPEATABLE);
    if (access)
        return li_introspect(op, access, on_dead);
    grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_GONE, .text = "no token is left");
    st->surface++;
    return next_surface(op);
}

/* An access token that has merely run out says nothing of the refresh token. */
static int may_be_renewed(grantd_op *op, const grantd_doc *answer)
{
    return grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN) && !li(op)->refresh_ended &&
           grantd_equal(grantd_text(op, answer, "status"), "expired");
}

/* LinkedIn documents no end of a token; whether it worked is seen by looking at it. */
static grantd_next *on_ended(grantd_op *op, const grantd_doc *answer)
{
    int status = grantd_status(op, answer);

    if (status == 429 || status >= 500)
        return li_fail_oauth(op, answer);
    li(op)->deleted |= grantd_ok(op, answer) != 0;
    if (li(op)->stage == END_REFRESH + 1) /* the next one */
        li(op)->refresh_ended = grantd_ok(op, answer) != 0;
    return end_token(op);
}

static grantd_next *on_dead(grantd_op *op, const grantd_doc *answer)
{
    struct li *st = li(op);

    if (grantd_status(op, answer) != 400 &&
        (!grantd_ok(op, answer) || grantd_type(op, answer, "active") != GRANTD_IS_BOOL))
        return li_fail_introspect(op, answer);
    if (grantd_status(op, answer) == 400 || grantd_num(op, answer, "active", 0) ||
        may_be_renewed(op, answer)) { /* 400: nobody can say */
        grantd_step(op, .title = "Remove the app at LinkedIn", .url = SERVICES,
                    .text = "Open Settings, Data privacy, Permitted services, and remove the agency's app.");
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_MANUAL,
                       .text = "LinkedIn does not say that the token is dead: the member removes the app "
                               "under Permitted services");
    } else {
        grantd_surface(op, .kind = "token",
                       .outcome = st->deleted ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_GONE);
    }
    st->surface++;
    return next_surface(op);
}

/* ---- one after another
 * ---------------------------------------------------------------------------------------- */

/* Two rounds over the list: members (m 0), then the token (m 1). */
static grantd_next *next_surface(grantd_op *op)
{
    struct li *st = li(op);

    for (; st->m < 2; st->m++, st->surface = 0)
        for (; st->surface < surfaces(op); st->surface++) {
            const char *kind = surface_text(op, "kind");

            if (!kind || !is_open(op) || strcmp(kind, st->m ? "token" : "member"))
                continue;
            st->stage = st->deleted = st->refused = 0;
            return st->m ? end_token(op) : remove_role(op);
        }
    return grantd_finish(op);
}

grantd_next *li_revoke(grantd_op *op)
{
    grantd_next *bad = li_version(op);

    li(op)->closes = 1;
    return bad ? bad : next_surface(op);
}
