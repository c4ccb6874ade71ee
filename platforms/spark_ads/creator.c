/* creator.c - mode creator: the creator consents to biz.spark.auth, and its token makes, extends and reads
 * the codes of the posts that it chose (facts: tiktok.md 3.1, 5.5); then they are redeemed like any other.
 * Bodies may be empty in practice, so what was made is always read back. Notes: posts.*, p the post in hand.
 */
#include "spark.h"

static grantd_doc_fn on_tokens, on_renewed, on_videos, on_status, on_minted;
static grantd_fn check_scope, work, mint_now;

static const char *me(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ACCOUNT_ID) ? grantd_arg(op, GRANTD_ARG_ACCOUNT_ID)
                                                 : grantd_kept(op, "open_id");
}

grantd_next *sp_creator_url(grantd_op *op)
{
    const char *page = grantd_strf(op, "%s/v2/auth/authorize", grantd_option(op, "creator_url"));

    return grantd_done(op, .redirect_url =
                               grantd_url(op, page, "client_key", grantd_option(op, "app_id"), "scope",
                                          grantd_option(op, "creator_scope"), "response_type", "code",
                                          "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI), "state",
                                          grantd_arg(op, GRANTD_ARG_STATE), "disable_auto_auth", "1"));
}

/* ---- tokens ------------------------------------------------------------------------------------------ */

static grantd_next *exchange(grantd_op *op)
{
    const char *code = grantd_arg(op, GRANTD_ARG_CODE);

    if (!code || !*code)
        return grantd_fail(op, GRANTD_E_DECLINED,
                           "TikTok sent the creator back without a code: it was declined");
    return tt_post(op, TT_NOBODY, 0, "tt_user/oauth2/token/",
                   grantd_pairs("client_id", grantd_option(op, "app_id"), "client_secret",
                                grantd_option(op, "secret"), "grant_type", "authorization_code", "auth_code",
                                code, "redirect_uri", grantd_arg(op, GRANTD_ARG_REDIRECT_URI)),
                   on_tokens);
}

/* Printable, without blanks: it goes into queries. */
static int is_open_id(const char *id)
{
    size_t n = id ? strlen(id) : 0;

    return n > 0 && n <= 200 &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == n;
}

static const char *missing(grantd_op *op, const grantd_doc *a)
{
    const char *access = grantd_text(op, a, "data.access_token"),
               *renew = grantd_text(op, a, "data.refresh_token");

    if (!access || !*access)
        return "access_token";
    if (!renew || !*renew)
        return "refresh_token";
    return is_open_id(grantd_text(op, a, "data.open_id")) ? NULL : "open_id";
}

const char *sp_scopes(grantd_op *op, const char *scope)
{
    const char *out = NULL, *word;

    while (scope && (word = tt_word(op, &scope)))
        out = out ? grantd_strf(op, "%s %s", out, word) : word;
    return out;
}

/* NULL: it is as it was. */
static const char *said(grantd_op *op, const grantd_doc *a, const char *path)
{
    const char *text = grantd_text(op, a, path);

    return text && *text ? text : NULL;
}

#define TOKENS(op, a)                                                                                    \
    .access_token = grantd_text(op, a, "data.access_token"),                                             \
    .refresh_token = said(op, a, "data.refresh_token"),                                                  \
    .expires_in = grantd_num(op, a, "data.expires_in", 0),                                               \
    .refresh_expires_in = grantd_num(op, a, "data.refresh_token_expires_in", 0),                         \
    .account_id = said(op, a, "data.open_id"), .scope = sp_scopes(op, grantd_text(op, a, "data.scope")), \
    .shape = GRANTD_SHAPE_ROTATING, .retry_class = GRANTD_RETRY_UNKNOWN

static grantd_next *on_tokens(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0)
        return tt_fail(op, a, TT_CLIENT);
    if (missing(op, a))
        return tt_odd(op, missing(op, a));
    sp(op)->scope = grantd_text(op, a, "data.scope");
    grantd_keep(op, "open_id", grantd_text(op, a, "data.open_id"));
    return grantd_save(op, check_scope, TOKENS(op, a));
}

static grantd_next *check_scope(grantd_op *op)
{
    if (sp(op)->scope && !tt_names(op, sp(op)->scope, "biz.spark.auth"))
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "the creator did not allow biz.spark.auth: ask again, or use mode code");
    return work(op);
}

grantd_next *sp_creator_refresh(grantd_op *op)
{
    return tt_post(op, TT_NOBODY, 0, "tt_user/oauth2/refresh_token/",
                   grantd_pairs("client_id", grantd_option(op, "app_id"), "client_secret",
                                grantd_option(op, "secret"), "grant_type", "refresh_token", "refresh_token",
                                grantd_arg(op, GRANTD_ARG_REFRESH_TOKEN)),
                   on_renewed);
}

static grantd_next *on_renewed(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0)
        return tt_fail(op, a, TT_CLIENT);
    if (!said(op, a, "data.access_token"))
        return tt_odd(op, "access_token");
    return grantd_done(op, TOKENS(op, a)); /* what it does not repeat is as it was: nothing new is dropped */
}

grantd_next *sp_creator_alive(grantd_op *op, grantd_doc_fn *next)
{
    return tt_post(op, TT_NOBODY, GRANTD_HTTP_REPEATABLE, "tt_user/token_info/get/",
                   grantd_pairs("app_id", grantd_option(op, "app_id"), "access_token",
                                grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN)),
                   next);
}

/* ---- which posts ------------------------------------------------------------------------------------- */

grantd_next *sp_creator(grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) ? work(op) : exchange(op);
}

static void take_posts(grantd_op *op, const char *text)
{
    const char *word;
    int64_t n = 0;

    while (text && (word = tt_word(op, &text)))
        if (!tt_digits(word))
            sp_problem(op, "post", grantd_shown(op, word, 64), "ID_WRONG",
                       "this is no post id: they are digits");
        else if (n++ < SP_CODES_MAX)
            tt_push(op, "posts", word);
        else
            sp_problem(op, "post", word, "TOO_MANY", "only 20 posts are taken at once: ask for it again");
}

static grantd_next *work(grantd_op *op)
{
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID), *chosen = grantd_input(op, "posts");

    if (!me(op))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "it is not known whose token this is");
    if (!hint && !chosen)
        return sp_posts(op);
    take_posts(op, hint ? hint : chosen);
    return tt_nth(op, "posts", 0) ? sp_go(op, "status") : grantd_finish(op);
}

grantd_next *sp_posts(grantd_op *op)
{
    return tt_get(op, TT_CLIENT, "business/video/list/",
                  grantd_pairs("business_id", me(op), "fields", "[\"item_id\",\"caption\",\"create_time\"]",
                               "max_count", "20"),
                  on_videos);
}

static const char *video(grantd_op *op, const grantd_doc *a, int64_t i, const char *member)
{
    return grantd_text(op, a, grantd_strf(op, "data.videos.%lld.%s", (long long)i, member));
}

static grantd_next *ask_which(grantd_op *op, const grantd_doc *a, int64_t n)
{
    const char **pairs = grantd_alloc(op, (2 * (size_t)n + 2) * sizeof *pairs);

    for (int64_t i = 0; pairs && i < n; i++) {
        const char *id = video(op, a, i, "item_id"), *caption = video(op, a, i, "caption");

        if (!id || !tt_digits(id))
            return tt_odd(op, "item_id");
        pairs[2 * i] = id;
        pairs[2 * i + 1] =
            caption && *caption ? grantd_strf(op, "%s (%s)", grantd_shown(op, caption, 120), id) : id;
    }
    sp_conditions(op);
    grantd_step(op, .title = "Choose the posts", .text = "Only those that you choose may be used in ads.",
                .ask = "posts", .ask_label = "Posts", .choices = pairs, .flags = GRANTD_STEP_MANY);
    return grantd_pending(op, grantd_now(op) + 86400);
}

/* The latest twenty are offered; older ones are named by the agency (asset hint). */
static grantd_next *on_videos(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.videos");

    if (!tt_is_list(op, a, "data.videos"))
        return tt_fail(op, a, TT_CLIENT);
    if (n == 0)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "the creator's account has no public post");
    return ask_which(op, a, n > SP_CODES_MAX ? SP_CODES_MAX : n);
}

/* ---- a code for each --------------------------------------------------------------------------------- */

static const char *post(grantd_op *op)
{
    return tt_nth(op, "posts", tt_noted(op, "p", 0));
}

static grantd_next *next_post(grantd_op *op)
{
    tt_note(op, "p", tt_noted(op, "p", 0) + 1);
    grantd_note(op, "tried", NULL);
    return sp_go(op, "status");
}

/* What there is decides: nothing is made twice, and no days are added twice. */
grantd_next *sp_status_of(grantd_op *op)
{
    if (!post(op))
        return tt_noted(op, "n", 0) > 0 ? sp_go(op, "code") : grantd_finish(op);
    return tt_get(op, TT_CLIENT, "business/post/authorize/status/",
                  grantd_pairs("business_id", me(op), "item_id", post(op)), on_status);
}

static grantd_next *mint(grantd_op *op, const char *how)
{
    grantd_note(op, "how", how);
    return sp_go(op, "mint");
}

/* It has a code: good enough, or days are added once. */
static grantd_next *has_code(grantd_op *op, const grantd_doc *a, const char *code)
{
    int64_t end = tt_time(grantd_text(op, a, "data.auth_code_end_time")), until = sp_needed_until(op);
    int over = grantd_equal(grantd_text(op, a, "data.auth_code_status"), "EXPIRED") ||
               (end && end <= grantd_now(op));

    if ((over || (until && end && end < until)) && !grantd_noted(op, "tried"))
        return mint(op, "extend");
    if (over) {
        sp_problem(op, "post", post(op), "CODE_EXPIRED",
                   "the code has expired, and TikTok did not extend it");
        return next_post(op);
    }
    sp_keep_code(op, code, post(op));
    return next_post(op);
}

static grantd_next *on_status(grantd_op *op, const grantd_doc *a)
{
    const char *code = grantd_text(op, a, "data.auth_code"), *id = grantd_text(op, a, "data.item_id");

    if (tt_code(op, a) != 0 && tt_stops(op, a))
        return tt_fail(op, a, TT_CLIENT);
    if (tt_code(op, a) == 0 && id && !grantd_equal(id, post(op)))
        return tt_odd(op, "item_id for this post");
    if (tt_code(op, a) == 0 && code && !sp_is_code(code))
        return tt_odd(op, "code");
    if (tt_code(op, a) == 0 && code)
        return has_code(op, a, code);
    if (!grantd_noted(op, "tried"))
        return mint(op, "setting");
    sp_problem(op, "post", post(op), "NOT_AUTHORISED",
               "TikTok took the order, but shows no code for this post");
    return next_post(op);
}

/* ---- making and extending ---------------------------------------------------------------------------- */

/* The fewest days that reach as far as the campaign needs; else as many as were asked for. */
static const char *days(grantd_op *op)
{
    static const int64_t some[] = { 7, 30, 60, 365 };
    int64_t until = sp_needed_until(op), asked = tt_whole(grantd_param(op, "days"), 30),
            need = until > grantd_now(op) ? (until - grantd_now(op) + 86399) / 86400 : 0;

    if (need <= asked)
        return tt_num_text(op, asked);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (some[i] >= need)
            return tt_num_text(op, some[i]);
    return "365";
}

/* Told before it is made: what an item has begun is closed when it ends without a grant. */
static void tell_code(grantd_op *op, uint32_t outcome)
{
    grantd_surface(op, .kind = "authorization", .id = post(op), .asset = post(op), .outcome = outcome);
}

grantd_next *sp_mint(grantd_op *op)
{
    if (!post(op))
        return sp_go(op, "status");
    grantd_note(op, "at", "status");
    tell_code(op, GRANTD_SURFACE_OPEN);
    return grantd_save(op, mint_now, .scope = NULL);
}

/* A boolean and a number are in these bodies, so they are written out. */
static grantd_next *mint_now(grantd_op *op)
{
    int extend = grantd_equal(grantd_noted(op, "how"), "extend");
    const char *body =
        grantd_strf(op, "{\"business_id\":%s,\"item_id\":%s,%s\"authorization_days\":%s}",
                    grantd_encode(op, GRANTD_JSON, me(op)), grantd_encode(op, GRANTD_JSON, post(op)),
                    extend ? "" : "\"is_ad_promotable\":true,", days(op));

    return tt_post_text(op, TT_CLIENT,
                        extend ? "business/post/authorize/" : "business/post/authorize/setting/", body,
                        on_minted);
}

static grantd_next *refused(grantd_op *op, const grantd_doc *a)
{
    const struct sp_verdict *v = sp_verdict_of(op, a);
    const char *said = tt_said(op, a);

    if (!grantd_equal(grantd_noted(op, "how"), "extend"))
        tell_code(op, GRANTD_SURFACE_GONE);
    if (v && v->word && strcmp(v->word, "NOT_YOURS") != 0)
        sp_problem(op, "post", post(op), v->word, v->text);
    else
        sp_problem(
            op, "post", post(op), "NOT_AUTHORISED",
            grantd_strf(op,
                        "TikTok makes no code for it (%lld%s%s): is ad authorization switched on in the app, "
                        "and the post public?",
                        (long long)tt_code(op, a), *said ? ": " : "", said));
    return next_post(op);
}

static grantd_next *on_minted(grantd_op *op, const grantd_doc *a)
{
    const struct sp_verdict *v = sp_verdict_of(op, a);

    if (tt_code(op, a) != 0 && tt_code(op, a) != 40050 && !(v && v->word) && tt_stops(op, a))
        return tt_fail(op, a, TT_CLIENT);
    if (tt_code(op, a) != 0 && tt_code(op, a) != 40050)
        return refused(op, a);
    grantd_note(op, "tried", "1");
    return sp_go(op, "status");
}
