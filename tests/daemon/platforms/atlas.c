/* atlas.c - a platform for tests only: everything that the contract offers and no real platform offers at
 * once. An ad network whose accounts are shared with an agency's hub (native), by the client's token, or
 * both; with campaigns, codes that are pasted, and choices. Its server is in atlas.py. */
#include <grantd/platform.h>

#include <string.h>

static grantd_fn work, share_next, close_next;
static grantd_doc_fn on_tokens, on_renewed, on_accounts, on_shared, on_looked, on_seen, on_closed, on_scanned,
    on_invited;

static const struct grantd_option options[] = {
    { .key = "client_id", .help = "the app's id", .flags = GRANTD_OPT_REQUIRED },
    { .key = "client_secret", .help = "its secret", .flags = GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET },
    { .key = "base_url", .help = "its address", .type = GRANTD_URL, .dflt = "https://atlas.test.example" },
    { 0 },
};
static const char *const goals[] = { "reach", "sales", 0 };
static const struct grantd_option params[] = {
    { .key = "campaign_end", .help = "the last day of the campaign" },
    { .key = "seats", .help = "how many people", .type = GRANTD_INT },
    { .key = "goal", .help = "what for", .type = GRANTD_ENUM, .choices = goals },
    { .key = "site", .help = "where it leads", .type = GRANTD_URL },
    { .key = "insured", .help = "is it insured", .type = GRANTD_BOOL, .dflt = "false" },
    { 0 },
};
static const struct grantd_role roles[] = {
    { "analyst", "Analyst", "see figures", "change anything" },
    { "manager", "Manager", "run campaigns", "change who pays" },
    { 0 },
};
static const char *const modes[] = { "token", "native", "both", "choose", "codes", "invite", 0 };
static const char *const hosts[] = { "atlas.test.example", 0 };

struct state { /* of one run */
    const char *account;
    int64_t at;
};

static const char *at(grantd_op *op, const char *path)
{
    return grantd_strf(op, "%s%s", grantd_option(op, "base_url"), path);
}

static int is_mode(const grantd_op *op, const char *mode)
{
    const char *is = grantd_arg(op, GRANTD_ARG_MODE);

    return is && !strcmp(is, mode);
}

/* ---- request ---- */

static void ask_codes(grantd_op *op)
{
    grantd_step(op, .title = "Paste the codes", .text = "One a line", .ask = "codes", .ask_label = "Codes",
                .flags = GRANTD_STEP_LINES);
}

static grantd_next *post(grantd_op *op, const char *path, const char *const *form, const char *bearer,
                         grantd_doc_fn *next)
{
    return grantd_http(op, next, .url = at(op, path), .form = form, .bearer = bearer);
}

/* The number of the next account: the note is as long. */
static int64_t next_at(const grantd_op *op)
{
    return grantd_noted(op, "next") ? (int64_t)strlen(grantd_noted(op, "next")) : 0;
}

static void note_next(grantd_op *op, int64_t n)
{
    char *next = grantd_alloc(op, (size_t)n + 1);

    if (next)
        memset(next, 'x', (size_t)n);
    grantd_note(op, "next", next);
}

/* The accounts that were named, one after the other, by the agency's own hub; then a word of the client. */
static const char *nth_asked(grantd_op *op, int64_t n)
{
    const char *p = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    while (p && n-- > 0)
        p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL;
    return p ? grantd_strf(op, "%.*s", (int)strcspn(p, ","), p) : NULL;
}

static grantd_next *invite(grantd_op *op)
{
    const char *id = nth_asked(op, next_at(op));

    if (id)
        return post(op, "/share", grantd_pairs("account", id, "partner", grantd_arg(op, GRANTD_ARG_HUB_ID)),
                    grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN), on_invited);
    grantd_step(op, .title = "Accept the invitations", .text = "In your account");
    return grantd_pending(op, grantd_now(op) + 3600);
}

static grantd_next *on_invited(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a))
        return grantd_fail_answer(op, a);
    grantd_surface(op, .kind = "partner", .id = grantd_text(op, a, "id"),
                   .asset = grantd_text(op, a, "account"), .outcome = GRANTD_SURFACE_OPEN);
    note_next(op, next_at(op) + 1);
    return grantd_continue(op, invite);
}

static grantd_next *accepted(grantd_op *op)
{
    for (int64_t i = 0; nth_asked(op, i); i++)
        grantd_asset(op, .kind = "ad_account", .id = nth_asked(op, i), .layers = GRANTD_LAYER_NATIVE);
    return grantd_finish(op);
}

static grantd_next *request(grantd_op *op)
{
    const char *scope = grantd_arg(op, GRANTD_ARG_SCOPE), *end = grantd_param(op, "campaign_end");

    if (!strcmp(grantd_option(op, "client_id"), "broken"))
        return grantd_fail(op, GRANTD_E_CONFIG, "this app is not set up yet");
    if (end && strlen(end) != 10)
        return grantd_fail(op, GRANTD_E_CONFIG, "campaign_end is written YYYY-MM-DD");

    if (is_mode(op, "codes")) {
        ask_codes(op);
        return grantd_pending(op, grantd_now(op) + 3600);
    }
    if (is_mode(op, "invite"))
        return invite(op);
    return grantd_done(
        op, .redirect_url = grantd_url(op, at(op, "/authorize"), "client_id", grantd_option(op, "client_id"),
                                       "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "state",
                                       grantd_arg(op, GRANTD_ARG_STATE), "scope", scope ? scope : "ads"));
}

/* ---- tokens ---- */

#define TOKENS(op, a)                                                                                       \
    .access_token = grantd_text(op, a, "access_token"),                                                     \
    .refresh_token = grantd_text(op, a, "refresh_token"), .expires_in = grantd_num(op, a, "expires_in", 0), \
    .account_id = grantd_text(op, a, "account"), .scope = grantd_text(op, a, "scope")

static grantd_next *on_tokens(grantd_op *op, const grantd_doc *a)
{
    if (grantd_num(op, a, "nothing", 0))
        return grantd_finish(op);
    if (!grantd_ok(op, a) || !grantd_text(op, a, "access_token"))
        return grantd_fail_answer(op, a);
    grantd_keep(op, "region", grantd_text(op, a, "region"));
    if (is_mode(op, GRANTD_MODE_HUB))
        return grantd_done(op, TOKENS(op, a));
    return grantd_save(op, work, TOKENS(op, a));
}

static grantd_next *on_renewed(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a) || !grantd_text(op, a, "access_token"))
        return grantd_fail_answer(op, a);
    return grantd_done(op, TOKENS(op, a));
}

static grantd_next *refresh(grantd_op *op)
{
    return post(op, "/token",
                grantd_pairs("grant_type", "refresh_token", "refresh_token",
                             grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN)),
                NULL, on_renewed);
}

/* ---- codes: native, without any token of the client ---- */

/* "code", or "code~days". */
static void take_code(grantd_op *op, const char *code)
{
    size_t n = strcspn(code, "~");
    int64_t days = 0;

    for (const char *p = code + n + (code[n] != 0); *p; p++)
        days = days * 10 + (*p - '0');
    code = grantd_strf(op, "%.*s", (int)n, code);
    if (!strncmp(code, "dim", 3))
        grantd_warn(op, "POST_PRIVATE", "post %s is private: nobody sees it in %d days", code, (int)days);
    if (!strncmp(code, "bad", 3))
        grantd_asset(op, .kind = "post", .id = code, .problem = "CODE_EXPIRED",
                     .text = "this code is past its date; ask for a new one");
    else
        grantd_asset(op, .kind = "post", .id = code, .parent = "creator1",
                     .ends_at = grantd_now(op) + (days ? days : 30) * 86400);
}

static grantd_next *take_codes(grantd_op *op)
{
    const char *p = grantd_input(op, "codes");

    if (!p) {
        ask_codes(op);
        return grantd_pending(op, grantd_now(op) + 3600);
    }
    while (*p) {
        size_t n = strcspn(p, "\n");

        if (n)
            take_code(op, grantd_strf(op, "%.*s", (int)n, p));
        p += n + (p[n] == '\n');
    }
    return grantd_finish(op);
}

/* ---- work: one account a run ---- */

static int is_native(const grantd_op *op)
{
    return is_mode(op, "native") || is_mode(op, "both");
}

/* What is shared one by one is listed by pages. */
static grantd_next *list(grantd_op *op, grantd_doc_fn *next)
{
    const char *from = is_native(op) ? grantd_strf(op, "%d", (int)next_at(op)) : NULL;

    return grantd_http(op, next, .url = at(op, "/accounts"), .query = grantd_pairs("from", from),
                       .bearer = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), .flags = GRANTD_HTTP_REPEATABLE);
}

static grantd_next *grant(grantd_op *op)
{
    if (is_mode(op, "codes"))
        return take_codes(op);
    if (is_mode(op, "invite"))
        return accepted(op);
    if (grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN))
        return work(op);
    if (!grantd_arg(op, GRANTD_ARG_CODE))
        return grantd_fail(op, GRANTD_E_DECLINED, "the client came back without a code");
    return post(op, "/token",
                grantd_pairs("grant_type", "authorization_code", "code", grantd_arg(op, GRANTD_ARG_CODE)),
                NULL, on_tokens);
}

static grantd_next *work(grantd_op *op)
{
    return list(op, on_accounts);
}

/* Is the account one of those in a list separated by sep? */
static int listed(const char *all, char sep, const char *id)
{
    size_t n = strlen(id);

    for (const char *p = all; p && *p;) {
        const char *end = strchr(p, sep);
        size_t len = end ? (size_t)(end - p) : strlen(p);

        if (len == n && !strncmp(p, id, n))
            return 1;
        p += len + (end != NULL);
    }
    return 0;
}

static grantd_next *ask_accounts(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "accounts");
    const char **choices = grantd_alloc(op, sizeof *choices * (size_t)(2 * n + 1));

    for (int64_t i = 0; choices && i < n; i++) {
        choices[2 * i] = grantd_text(op, a, grantd_strf(op, "accounts.%d.id", (int)i));
        choices[2 * i + 1] = grantd_text(op, a, grantd_strf(op, "accounts.%d.name", (int)i));
    }
    grantd_step(op, .title = "Choose the accounts", .ask = "accounts", .flags = GRANTD_STEP_MANY,
                .choices = choices);
    return grantd_pending(op, grantd_now(op) + 3600);
}

/* Who it is shared with, once for each account: what is noted was chosen already. */
static const char *chosen(grantd_op *op)
{
    const char *input = grantd_input(op, "accounts");

    if (input)
        grantd_note(op, "chosen", input);
    return grantd_noted(op, "chosen");
}

static void report(grantd_op *op, const char *id, const char *name, const char *share)
{
    uint32_t layers = is_mode(op, "native") ? GRANTD_LAYER_NATIVE
                      : is_mode(op, "both") ? GRANTD_LAYER_NATIVE | GRANTD_LAYER_TOKEN
                                            : GRANTD_LAYER_TOKEN;

    grantd_asset(op, .kind = "ad_account", .id = id, .name = name, .layers = layers, .parent = "business1",
                 .role = grantd_arg(op, GRANTD_ARG_ROLE));
    if (share)
        grantd_surface(op, .kind = "partner", .id = share, .asset = id, .outcome = GRANTD_SURFACE_OPEN);
}

static int is_wanted(grantd_op *op, const char *id)
{
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    if (is_mode(op, "token")) /* all that the token reaches; the host knows what was asked */
        return 1;
    if (hint)
        return listed(hint, ',', id);
    return !is_mode(op, "choose") || listed(chosen(op), '\n', id);
}

static grantd_next *on_accounts(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "accounts"), total = grantd_num(op, a, "total", 0);
    struct state *st = op->state;

    if (!grantd_ok(op, a) || grantd_type(op, a, "accounts") != GRANTD_IS_LIST)
        return grantd_fail_answer(op, a);
    if (is_mode(op, "choose") && !grantd_arg(op, GRANTD_ARG_ASSET_ID) && !chosen(op))
        return ask_accounts(op, a);
    if (total > 5)
        grantd_warn(op, "ACCOUNTS_NEAR_LIMIT", "%d of 8 accounts are shared; ask the platform for more",
                    (int)total);
    for (int64_t i = 0; i < n; i++) {
        const char *id = grantd_text(op, a, grantd_strf(op, "accounts.%d.id", (int)i));
        const char *name = grantd_text(op, a, grantd_strf(op, "accounts.%d.name", (int)i));

        if (!id || !is_wanted(op, id))
            continue;
        if (!is_native(op)) {
            report(op, id, name, NULL);
            continue;
        }
        st->account = id;
        st->at = next_at(op) + i;
        return share_next(op);
    }
    if (!is_native(op) || n == 0)
        return grantd_finish(op);
    note_next(op, next_at(op) + n);
    return grantd_continue(op, work);
}

/* A share must not be made twice: it is noted before it is asked for, and a doubt is looked at first. */
static grantd_next *share_next(grantd_op *op)
{
    struct state *st = op->state;
    const char *doing = grantd_noted(op, "doing");

    if (!grantd_arg(op, GRANTD_ARG_HUB_ID))
        return grantd_fail(op, GRANTD_E_CONFIG, "native access needs a hub: `grantctl hub list`");
    if (doing && !strcmp(doing, st->account))
        return grantd_http(
            op, on_looked, .url = at(op, "/shares"), .query = grantd_pairs("account", st->account),
            .bearer = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), .flags = GRANTD_HTTP_REPEATABLE);
    grantd_note(op, "doing", st->account);
    return grantd_continue(op, work);
}

static grantd_next *shared(grantd_op *op, const char *share)
{
    struct state *st = op->state;

    report(op, st->account, NULL, share);
    grantd_note(op, "doing", NULL);
    note_next(op, st->at + 1);
    return grantd_continue(op, work);
}

static grantd_next *on_looked(grantd_op *op, const grantd_doc *a)
{
    struct state *st = op->state;
    const char *share = grantd_text(op, a, "shares.0.id");

    if (!grantd_ok(op, a))
        return grantd_fail_answer(op, a);
    if (share)
        return shared(op, share);
    return post(op, "/share",
                grantd_pairs("account", st->account, "role", grantd_arg(op, GRANTD_ARG_ROLE), "partner",
                             grantd_arg(op, GRANTD_ARG_HUB_ID), "campaign_end",
                             grantd_param(op, "campaign_end"), "insured", grantd_param(op, "insured")),
                grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), on_shared);
}

static grantd_next *on_shared(grantd_op *op, const grantd_doc *a)
{
    const char *share = grantd_text(op, a, "id");

    return grantd_ok(op, a) && share ? shared(op, share) : grantd_fail_answer(op, a);
}

/* ---- verify, scan ---- */

static const char *any_token(grantd_op *op)
{
    const char *own = grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN);

    return own ? own : grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN);
}

static grantd_next *verify(grantd_op *op)
{
    const char *asset = grantd_arg(op, GRANTD_ARG_ASSET_ID);

    return grantd_http(op, on_seen, .url = at(op, "/shares"), .query = grantd_pairs("account", asset),
                       .bearer = any_token(op), .flags = GRANTD_HTTP_REPEATABLE);
}

static grantd_next *on_seen(grantd_op *op, const grantd_doc *a)
{
    grantd_observe(op, "alive", grantd_status(op, a) == 401 ? "no" : "yes");
    if (grantd_ok(op, a))
        grantd_observe(op, "native", grantd_len(op, a, "shares") ? "present" : "gone");
    return grantd_finish(op);
}

static grantd_next *scan(grantd_op *op)
{
    return grantd_http(op, on_scanned, .url = at(op, "/shares"),
                       .bearer = grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN),
                       .flags = GRANTD_HTTP_REPEATABLE);
}

static grantd_next *on_scanned(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a))
        return grantd_fail_answer(op, a);
    for (int64_t i = 0; i < grantd_len(op, a, "shares"); i++)
        grantd_asset(op, .kind = "ad_account",
                     .id = grantd_text(op, a, grantd_strf(op, "shares.%d.account", (int)i)));
    return grantd_finish(op);
}

/* ---- revoke: what is listed, the token last ---- */

static const char *listed_at(grantd_op *op, int64_t i, const char *member)
{
    return grantd_text(op, grantd_document(op, GRANTD_DOC_GRANT),
                       grantd_strf(op, "surfaces.%d.%s", (int)i, member));
}

static grantd_next *close_one(grantd_op *op, int64_t i, int token)
{
    struct state *st = op->state;

    st->at = i;
    if (token)
        return post(
            op, "/revoke",
            grantd_pairs("token", grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN), "all", grantd_input(op, "all")),
            NULL, on_closed);
    return post(op, "/unshare", grantd_pairs("id", listed_at(op, i, "id")),
                grantd_noted(op, "dead") ? grantd_arg(op, GRANTD_ARG_HUB_ACCESS_TOKEN) : any_token(op),
                on_closed);
}

/* Progress: a mark for each that is done. The token stays while anything is still to be closed with it. */
static grantd_next *close_next(grantd_op *op)
{
    int64_t n = grantd_len(op, grantd_document(op, GRANTD_DOC_GRANT), "surfaces");

    for (int token = 0; token < (grantd_noted(op, "left") ? 1 : 2); token++)
        for (int64_t i = 0; i < n; i++) {
            const char *kind = listed_at(op, i, "kind");

            if (kind && (strcmp(kind, "token") == 0) == token &&
                !grantd_noted(op, grantd_strf(op, "closed%d", (int)i)))
                return close_one(op, i, token);
        }
    return grantd_finish(op);
}

static grantd_next *on_closed(grantd_op *op, const grantd_doc *a)
{
    struct state *st = op->state;
    int ok = grantd_ok(op, a) || grantd_status(op, a) == 404;

    if (grantd_status(op, a) == 401 && !grantd_noted(op, "dead")) { /* the client's token: the hub's may do */
        grantd_note(op, "dead", "1");
        return grantd_continue(op, close_next);
    }
    grantd_surface(op, .kind = listed_at(op, st->at, "kind"), .id = listed_at(op, st->at, "id"),
                   .outcome = ok ? GRANTD_SURFACE_CLOSED : GRANTD_SURFACE_FAILED,
                   .text = ok ? NULL : "the server could not do it now");
    grantd_note(op, grantd_strf(op, "closed%d", (int)st->at), "1");
    if (!ok)
        grantd_note(op, "left", "1");
    return grantd_continue(op, close_next);
}

GRANTD_PLATFORM(atlas, .title = "Atlas Ads",
                .caps = GRANTD_CAP_SHARED_CONSENT | GRANTD_CAP_NATIVE | GRANTD_CAP_HUB_CONSENT,
                .state_size = sizeof(struct state), .shape = GRANTD_SHAPE_RENEWABLE,
                .retry_class = GRANTD_RETRY_NONE, .options = options, .params = params, .roles = roles,
                .modes = modes, .hosts = hosts, .request = request, .grant = grant, .refresh = refresh,
                .revoke = close_next, .verify = verify, .scan = scan);
