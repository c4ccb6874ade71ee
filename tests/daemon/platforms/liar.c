/* liar.c - a platform for tests only that lies in every field that a platform can fill. Which lie it tells,
 * and in which function, is said by the item's parameter "lie": "grant token_break". Without one it is
 * honest, and it never asks anybody: its tokens are its own. */
#include <grantd/platform.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define YEAR_1E9 (31556952LL * 1000000000)

static grantd_fn again;

static const struct grantd_option options[] = {
    { .key = "client_id", .help = "the app's id", .flags = GRANTD_OPT_REQUIRED },
    { .key = "lie", .help = "what is lied about in notices" },
    { .key = "hub_lie", .help = "what is lied about in scans", .flags = GRANTD_OPT_HUB },
    { .key = "access_token", .help = "the hub's", .flags = GRANTD_OPT_HUB | GRANTD_OPT_SECRET },
    { 0 },
};
static const struct grantd_option params[] = {
    { .key = "lie", .help = "what is lied about" },
    { 0 },
};
static const struct grantd_role roles[] = {
    { "analyst", "Analyst", "see figures", "change anything" },
    { 0 },
};
static const char *const hosts[] = { "liar.test.example", 0 };

static int is_lie(const char *told, const char *function, const char *lie)
{
    size_t n = strlen(function);

    return told && !strncmp(told, function, n) && told[n] == ' ' && !strcmp(told + n + 1, lie);
}

/* Does this function tell that lie? What the grant was asked with is kept for those that get no parameters.
 */
static int lies(grantd_op *op, const char *function, const char *lie)
{
    return is_lie(grantd_param(op, "lie"), function, lie) || is_lie(grantd_kept(op, "lie"), function, lie) ||
           is_lie(grantd_option(op, "lie"), function, lie) ||
           is_lie(grantd_option(op, "hub_lie"), function, lie);
}

static const char *many(grantd_op *op, size_t n, char c)
{
    char *s = grantd_alloc(op, n + 1);

    if (s)
        memset(s, c, n);
    return s;
}

/* ---- what every function can get wrong ---- */

static grantd_next *on_answer(grantd_op *op, const grantd_doc *a)
{
    (void)a;
    return grantd_finish(op);
}

static grantd_next *lie_about_control(grantd_op *op, const char *f)
{
    if (lies(op, f, "unknown_class"))
        return grantd_fail(op, 999, "a class that nobody knows");
    if (lies(op, f, "odd_text"))
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "\xff\xfe\n\x1b[31m{\"level\":\"fatal\"}%s",
                           many(op, 5000, 'x'));
    if (lies(op, f, "two_answers")) {
        grantd_next *first = grantd_finish(op);

        (void)first;
        return grantd_fail(op, GRANTD_E_REAUTH, "both");
    }
    if (lies(op, f, "no_function"))
        return op->host->wait(op, 1, NULL);
    if (lies(op, f, "foreign_host"))
        return grantd_http(op, on_answer, .url = "https://elsewhere.example/");
    if (lies(op, f, "head_break"))
        return grantd_http(op, on_answer, .url = "https://liar.test.example/",
                           .headers = grantd_pairs("X-A", "b\r\nX-C: d"));
    if (lies(op, f, "odd_method"))
        return grantd_http(op, on_answer, .url = "https://liar.test.example/",
                           .method = "GET / HTTP/1.1\r\n");
    if (lies(op, f, "for_ever"))
        return grantd_continue(op, again);
    if (lies(op, f, "long_wait"))
        return grantd_wait(op, UINT32_MAX, again);
    if (lies(op, f, "much_memory"))
        while (grantd_alloc(op, 1024 * 1024)) {}
    if (lies(op, f, "long_note"))
        grantd_note(op, "n", many(op, 100000, 'n'));
    if (lies(op, f, "odd_note"))
        grantd_note(op, "a\nb", "\xff");
    if (lies(op, f, "odd_keep"))
        grantd_keep(op, "region", "\xff\xfe");
    if (lies(op, f, "much_kept")) /* each of them may be, and so many */
        for (int i = 0; i < 10; i++)
            grantd_keep(op, grantd_strf(op, "k%d", i), many(op, 4000, 'k'));
    if (lies(op, f, "many_notes"))
        for (int i = 0; i < 1000; i++)
            grantd_note(op, grantd_strf(op, "n%d", i), "1");
    if (lies(op, f, "odd_warning"))
        grantd_warn(op, "not a word", "%s", "\xff\xfe");
    if (lies(op, f, "many_warnings"))
        for (int i = 0; i < 1000; i++)
            grantd_warn(op, grantd_strf(op, "W%d", i), "%d", i);
    return NULL;
}

/* ---- tokens ---- */

static struct grantd_result honest(grantd_op *op)
{
    struct grantd_result r = { .size = sizeof r,
                               .access_token = grantd_strf(op, "at-%s", grantd_random(op, 24)),
                               .refresh_token = grantd_strf(op, "rt-%s", grantd_random(op, 24)),
                               .expires_in = 3600,
                               .account_id = "anna" };

    return r;
}

static void lie_about_tokens(grantd_op *op, const char *f, struct grantd_result *r)
{
    if (lies(op, f, "token_break"))
        r->access_token = "at\r\nSet-Cookie: a=b";
    if (lies(op, f, "token_no_text"))
        r->refresh_token = "rt\xff\xfe";
    if (lies(op, f, "token_empty"))
        r->access_token = "";
    if (lies(op, f, "token_huge"))
        r->access_token = many(op, 100000, 'a');
    if (lies(op, f, "account_no_text"))
        r->account_id = "an\xc3na";
    if (lies(op, f, "account_huge"))
        r->account_id = many(op, 100000, 'a');
    if (lies(op, f, "scope_no_text"))
        r->scope = "read\nwrite \xff";
    if (lies(op, f, "shape"))
        r->shape = 77;
    if (lies(op, f, "retry_class"))
        r->retry_class = UINT_MAX;
    if (lies(op, f, "size_none"))
        r->size = 0;
    if (lies(op, f, "size_half"))
        r->size = 20;
    if (lies(op, f, "size_huge"))
        r->size = UINT_MAX;
    if (lies(op, f, "far_dates")) {
        r->expires_in = 0;
        r->expires_at = r->refresh_expires_at = r->horizon_at = YEAR_1E9;
    }
    if (lies(op, f, "past_dates")) {
        r->expires_in = 0;
        r->expires_at = INT64_MIN;
        r->refresh_expires_in = INT64_MIN;
        r->horizon_at = -1;
    }
    if (lies(op, f, "long_lives"))
        r->expires_in = r->refresh_expires_in = INT64_MAX;
    if (lies(op, f, "no_rest")) {
        r->margin = UINT_MAX;
        r->idle = 1;
        r->expires_in = 1;
    }
    if (lies(op, f, "no_end"))
        r->min_age = r->idle = r->retry_grace = UINT_MAX;
}

/* ---- assets, surfaces, steps ---- */

static void lie_about_assets(grantd_op *op, const char *f)
{
    if (lies(op, f, "asset_no_id"))
        grantd_asset(op, .kind = "shop");
    if (lies(op, f, "asset_no_text"))
        grantd_asset(op, .kind = "shop", .id = "s\xff");
    if (lies(op, f, "asset_huge"))
        grantd_asset(op, .kind = "shop", .id = "s9", .name = many(op, 1000000, 'n'));
    if (lies(op, f, "asset_size"))
        op->host->asset(op, &(struct grantd_asset){ .size = 3, .kind = "shop", .id = "s9" });
    if (lies(op, f, "asset_layers"))
        grantd_asset(op, .kind = "shop", .id = "s9", .layers = UINT_MAX);
    if (lies(op, f, "asset_problem"))
        grantd_asset(op, .kind = "shop", .id = "s9", .problem = "no word");
    if (lies(op, f, "asset_twice"))
        for (int i = 0; i < 50; i++)
            grantd_asset(op, .kind = "shop", .id = "s1", .name = "Shop 1", .role = "analyst");
    if (lies(op, f, "asset_role"))
        grantd_asset(op, .kind = "shop", .id = "s1", .name = "Shop 1", .role = "emperor <b>");
    if (lies(op, f, "asset_dates"))
        grantd_asset(op, .kind = "shop", .id = "s1", .starts_at = YEAR_1E9, .ends_at = INT64_MIN);
    if (lies(op, f, "asset_thousands"))
        for (int i = 0; i < 5000; i++)
            grantd_asset(op, .kind = "shop", .id = grantd_strf(op, "s%d", i));
    if (lies(op, f, "surface_outcome"))
        grantd_surface(op, .kind = "partner", .id = "p", .outcome = 77);
    if (lies(op, f, "surface_no_kind"))
        grantd_surface(op, .id = "p", .outcome = GRANTD_SURFACE_OPEN);
    if (lies(op, f, "surface_no_text"))
        grantd_surface(op, .kind = "partner", .id = "\xff", .outcome = GRANTD_SURFACE_OPEN);
    if (lies(op, f, "surface_thousands"))
        for (int i = 0; i < 70000; i++)
            grantd_surface(op, .kind = "partner", .id = "p", .outcome = GRANTD_SURFACE_OPEN);
}

static grantd_next *lie_about_steps(grantd_op *op, const char *f)
{
    int64_t at = grantd_now(op) + 3600;

    if (lies(op, f, "step_no_title"))
        grantd_step(op, .text = "do it");
    else if (lies(op, f, "step_script"))
        grantd_step(op, .title = "Go on", .url = "javascript:alert(1)");
    else if (lies(op, f, "step_choices"))
        grantd_step(op, .title = "Choose", .ask = "a", .choices = grantd_pairs("one\ntwo", "x"));
    else if (lies(op, f, "step_thousands"))
        for (int i = 0; i < 1000; i++)
            grantd_step(op, .title = "Go on");
    else if (lies(op, f, "look_in_a_billion_years"))
        at = YEAR_1E9;
    else if (lies(op, f, "look_long_ago"))
        at = INT64_MIN;
    else
        return NULL;
    return grantd_pending(op, at);
}

/* ---- the functions ---- */

static grantd_next *request(grantd_op *op)
{
    grantd_next *n = lie_about_control(op, "request");

    if (n || (n = lie_about_steps(op, "request")))
        return n;
    if (lies(op, "request", "nowhere"))
        return grantd_finish(op);
    if (lies(op, "request", "script"))
        return grantd_done(op, .redirect_url = "javascript:alert(document.cookie)");
    grantd_step(op, .title = "Say when", .ask = "word");
    return grantd_pending(op, grantd_now(op) + 3600);
}

static grantd_next *again(grantd_op *op)
{
    return grantd_continue(op, again);
}

static grantd_next *finish_grant(grantd_op *op)
{
    lie_about_assets(op, "saved");
    grantd_asset(op, .kind = "shop", .id = "s1", .name = "Shop 1", .role = "analyst");
    return grantd_finish(op);
}

static grantd_next *grant(grantd_op *op)
{
    struct grantd_result r = honest(op);
    grantd_next *n = lie_about_control(op, "grant");

    if (n || (n = lie_about_steps(op, "grant")))
        return n;
    grantd_keep(op, "lie", grantd_param(op, "lie"));
    lie_about_tokens(op, "grant", &r);
    lie_about_tokens(op, "saved", &r);
    lie_about_assets(op, "grant");
    if (grantd_param(op, "lie") && !strncmp(grantd_param(op, "lie"), "saved", 5))
        return op->host->save(op, &r, finish_grant);
    if (!grantd_param(op, "lie") || strcmp(grantd_param(op, "lie"), "grant asset_role") != 0)
        grantd_asset(op, .kind = "shop", .id = "s1", .name = "Shop 1", .role = "analyst");
    return op->host->done(op, &r);
}

static grantd_next *refresh(grantd_op *op)
{
    struct grantd_result r = honest(op);
    grantd_next *n = lie_about_control(op, "refresh");

    if (n)
        return n;
    if (is_lie(grantd_kept(op, "lie"), "verify", "forgotten"))
        grantd_keep(op, "lie", NULL);
    lie_about_tokens(op, "refresh", &r);
    return op->host->done(op, &r);
}

static grantd_next *revoke(grantd_op *op)
{
    grantd_next *n = lie_about_control(op, "revoke");

    if (n)
        return n;
    lie_about_assets(op, "revoke");
    if (lies(op, "revoke", "unlisted"))
        grantd_surface(op, .kind = "moon", .id = "m", .outcome = GRANTD_SURFACE_CLOSED);
    else if (!lies(op, "revoke", "silence"))
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_CLOSED);
    return grantd_finish(op);
}

static grantd_next *verify(grantd_op *op)
{
    grantd_next *n = lie_about_control(op, "verify");

    if (n)
        return n;
    if (is_lie(grantd_kept(op, "lie"), "verify", "forgotten"))
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "not yet");
    grantd_observe(op, "alive", "yes");
    if (lies(op, "verify", "odd_key"))
        grantd_observe(op, "A Key\n", "1");
    if (lies(op, "verify", "no_text"))
        grantd_observe(op, "role", "\xff\xfe");
    if (lies(op, "verify", "thousands"))
        for (int i = 0; i < 70000; i++)
            grantd_observe(op, grantd_strf(op, "k%d", i), "1");
    if (lies(op, "verify", "perhaps"))
        grantd_observe(op, "alive", "perhaps");
    if (lies(op, "verify", "emperor"))
        grantd_observe(op, "role", "emperor");
    if (lies(op, "verify", "dates")) {
        grantd_observe(op, "expires_at", "99999999999999999999");
        grantd_observe(op, "starts_at", "31556952000000000");
        grantd_observe(op, "ends_at", "-1");
    }
    if (lies(op, "verify", "native"))
        grantd_observe(op, "native", "sometimes");
    return grantd_finish(op);
}

static grantd_next *scan(grantd_op *op)
{
    grantd_next *n = lie_about_control(op, "scan");

    if (n)
        return n;
    lie_about_assets(op, "scan");
    grantd_asset(op, .kind = "shop", .id = "s1");
    return grantd_finish(op);
}

/* It believes everybody: what it says is what is looked at. */
static grantd_next *notice(grantd_op *op)
{
    struct grantd_result r = { .size = sizeof r, .account_id = "anna", .reply = "heard" };
    grantd_next *n = lie_about_control(op, "notice");

    if (n)
        return n;
    lie_about_tokens(op, "notice", &r);
    if (lies(op, "notice", "odd_reply"))
        r.reply = "<script>\r\n\xff</script>";
    if (lies(op, "notice", "huge_reply"))
        r.reply = many(op, 100000, 'r');
    if (lies(op, "notice", "odd_event"))
        grantd_observe(op, "event", "a\xff");
    else
        grantd_observe(op, "event", "removed");
    return op->host->done(op, &r);
}

GRANTD_PLATFORM(liar, .title = "Liar Ads", .shape = GRANTD_SHAPE_RENEWABLE, .retry_class = GRANTD_RETRY_NONE,
                .caps = GRANTD_CAP_NATIVE, .options = options, .params = params, .roles = roles,
                .hosts = hosts, .request = request, .grant = grant, .refresh = refresh, .revoke = revoke,
                .verify = verify, .scan = scan, .notice = notice);
