/* example.c - a platform for grantd, as short as a whole one can be. Copy it, rename it, change it.
 * "Example Ads" is made up: OAuth 2.0, a new refresh token with each use, a list of ad accounts page by page.
 * A platform never talks to the network, never waits, allocates nothing and keeps nothing: each function
 * looks at what it was given and returns what happens next. grantd-plugtest tries it without a network. */
#include <grantd/platform.h>

/* One line per type declares the steps, so that they can be written in the order in which they happen. */
static grantd_fn list_accounts;
static grantd_doc_fn on_tokens, on_accounts, on_renewed, on_revoked, on_look;

/* What the operator writes in grantd.yaml. A URL option also allows its host: see .hosts. */
static const struct grantd_option options[] = {
    { .key = "client_id", .help = "the app's id in the developer portal", .flags = GRANTD_OPT_REQUIRED },
    { .key = "client_secret", .help = "its secret", .flags = GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET },
    { .key = "base_url", .help = "its address", .type = GRANTD_URL, .dflt = "https://ads.example.com" },
    { 0 },
};

/* What the client reads before saying yes; the first is asked when the agency names none. */
static const struct grantd_role roles[] = {
    { "analyst", "Analyst", "see campaigns and their figures", "change anything or spend money" },
    { "advertiser", "Advertiser", "create and change campaigns", "change who pays, or who has access" },
    { 0 },
};
static const char *const hosts[] = { "ads.example.com", 0 };

/* Texts that the host makes (strf, url) need no freeing: they live until the run ends. */
static const char *at(grantd_op *op, const char *path)
{
    return grantd_strf(op, "%s%s", grantd_option(op, "base_url"), path);
}

/* request: where shall the client's browser go? */
static grantd_next *request(grantd_op *op)
{
    const char *url =
        grantd_url(op, at(op, "/authorize?response_type=code&code_challenge_method=S256"), "client_id",
                   grantd_option(op, "client_id"), "scope", grantd_arg(op, GRANTD_ARG_ROLE), "redirect_uri",
                   grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "state", grantd_arg(op, GRANTD_ARG_STATE),
                   "code_challenge", grantd_arg(op, GRANTD_ARG_CODE_CHALLENGE));

    return grantd_done(op, .redirect_url = url);
}

/* Not marked repeatable, because codes can be spent once: without an answer the host ends it as uncertain. */
static grantd_next *post(grantd_op *op, const char *path, const char *const *form, grantd_doc_fn *next)
{
    return grantd_http(op, next, .url = at(op, path), .form = form,
                       .basic_user = grantd_option(op, "client_id"),
                       .basic_pass = grantd_option(op, "client_secret"), .flags = GRANTD_HTTP_BASIC_FORM);
}

/* grant: the browser came back (its state is checked). Called again after a crash, it finds its notes. */
static grantd_next *grant(grantd_op *op)
{
    if (grantd_noted(op, "page"))
        return list_accounts(op);
    if (!grantd_arg(op, GRANTD_ARG_CODE))
        return grantd_fail(op, GRANTD_E_DECLINED, "the client came back without a code");
    return post(op, "/token",
                grantd_pairs("grant_type", "authorization_code", "code", grantd_arg(op, GRANTD_ARG_CODE),
                             "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "code_verifier",
                             grantd_arg(op, GRANTD_ARG_CODE_VERIFIER)),
                on_tokens);
}

#define TOKENS(op, a)                                   \
    .access_token = grantd_text(op, a, "access_token"), \
    .refresh_token = grantd_text(op, a, "refresh_token"), .expires_in = grantd_num(op, a, "expires_in", 0)

/* Tokens are made durable before anything else is asked; then they are arguments. */
static grantd_next *on_tokens(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) || !grantd_text(op, a, "access_token") || !grantd_text(op, a, "refresh_token"))
        return grantd_fail_answer(op, a);
    grantd_note(op, "page", "1");
    return grantd_save(op, list_accounts, TOKENS(op, a));
}

/* One page of accounts a run: a client with 3,000 of them is no special case. Reading is repeatable. */
static grantd_next *list_accounts(grantd_op *op)
{
    return grantd_http(op, on_accounts, .url = at(op, "/accounts"),
                       .query = grantd_pairs("page", grantd_noted(op, "page")),
                       .bearer = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), .flags = GRANTD_HTTP_REPEATABLE);
}

static grantd_next *on_accounts(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) || grantd_type(op, a, "accounts") != GRANTD_IS_LIST)
        return grantd_fail_answer(op, a);
    for (int64_t i = 0; i < grantd_len(op, a, "accounts"); i++)
        grantd_asset(op, .kind = "ad_account", .role = grantd_arg(op, GRANTD_ARG_ROLE),
                     .id = grantd_text(op, a, grantd_strf(op, "accounts.%d.id", (int)i)),
                     .name = grantd_text(op, a, grantd_strf(op, "accounts.%d.name", (int)i)));
    if (!grantd_text(op, a, "next_page"))
        return grantd_finish(op);
    grantd_note(op, "page", grantd_text(op, a, "next_page"));
    return grantd_continue(op, list_accounts);
}

/* refresh: trade the refresh token for a new pair. */
static grantd_next *refresh(grantd_op *op)
{
    const char *old = grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN);

    return post(op, "/token", grantd_pairs("grant_type", "refresh_token", "refresh_token", old), on_renewed);
}

static grantd_next *on_renewed(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) || !grantd_text(op, a, "access_token"))
        return grantd_fail_answer(op, a);
    return grantd_done(op, TOKENS(op, a));
}

/* verify: say what is there now. "No longer alive" is a fact, not a failure. */
static grantd_next *verify(grantd_op *op)
{
    return grantd_http(op, on_look, .url = at(op, "/me"), .bearer = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN),
                       .flags = GRANTD_HTTP_REPEATABLE);
}

static grantd_next *on_look(grantd_op *op, const grantd_doc *a)
{
    if (grantd_status(op, a) != 401 && (!grantd_ok(op, a) || !grantd_text(op, a, "role")))
        return grantd_fail_answer(op, a);
    grantd_observe(op, "alive", grantd_ok(op, a) ? "yes" : "no");
    grantd_observe(op, "role", grantd_text(op, a, "role"));
    return grantd_finish(op);
}

/* revoke: close what was opened, and say so surface by surface. */
static grantd_next *revoke(grantd_op *op)
{
    return post(op, "/revoke", grantd_pairs("token", grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN)), on_revoked);
}

static grantd_next *on_revoked(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a))
        return grantd_fail_answer(op, a);
    grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_CLOSED);
    return grantd_finish(op);
}

GRANTD_PLATFORM(example, .title = "Example Ads", .shape = GRANTD_SHAPE_ROTATING,
                .retry_class = GRANTD_RETRY_STRICT, .options = options, .roles = roles, .hosts = hosts,
                .request = request, .grant = grant, .refresh = refresh, .verify = verify, .revoke = revoke);
