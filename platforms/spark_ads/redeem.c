/* redeem.c - codes become posts that may be used in the agency's ads: each code is looked at (tt_video/info),
 * redeemed for each ad account (tt_video/authorize), and read back (tt_video/list). One call each, one after
 * the other; before an order leaves, the place "look" is noted, so that a lost answer is looked up and never
 * sent again (facts: tiktok.md 5.2). Notes: i the code in hand, j the ad account, item its post, later how
 * often a post was not found yet. */
#include "spark.h"

static grantd_doc_fn on_info, on_look, on_sent, on_read;
static grantd_fn send_now;

static int64_t number(grantd_op *op)
{
    return tt_noted(op, "i", 0);
}

static const char *code(grantd_op *op)
{
    return sp_code(op, number(op));
}

static const char *item(grantd_op *op)
{
    const char *id = grantd_noted(op, "item");

    return id && *id ? id : NULL;
}

static const char *advertiser(grantd_op *op)
{
    return sp_advertiser(op, tt_noted(op, "j", 0));
}

static grantd_next *begin(grantd_op *op, int64_t i)
{
    tt_note(op, "i", i);
    tt_note(op, "j", 0);
    grantd_note(op, "item", NULL);
    grantd_note(op, "good", NULL);
    grantd_note(op, "told", NULL);
    return sp_go(op, "info");
}

grantd_next *sp_start(grantd_op *op)
{
    const char *pasted = grantd_input(op, "codes");

    if (pasted && sp_take_codes(op, pasted) > 0)
        return begin(op, 0);
    if (grantd_noted(op, "why"))
        return grantd_finish(op);
    sp_conditions(op);
    sp_code_steps(op);
    return grantd_pending(op, grantd_now(op) + 86400);
}

/* ---- one code ---------------------------------------------------------------------------------------- */

static int64_t next_kept(grantd_op *op, int64_t i)
{
    int64_t n = tt_noted(op, "n", 0);

    while (i < n && !sp_code(op, i))
        i++;
    return i < n ? i : -1;
}

/* The next one, from the noted place on; after the last, those that TikTok did not find yet are asked for
 * again. */
grantd_next *sp_next_code(grantd_op *op)
{
    static const int64_t after[] = { 30, 120, 300 };
    int64_t round = tt_noted(op, "round", 0), i = next_kept(op, tt_noted(op, "from", 0));

    if (i >= 0)
        return begin(op, i);
    if (next_kept(op, 0) < 0)
        return grantd_finish(op);
    tt_note(op, "round", round + 1);
    tt_note(op, "from", 0);
    grantd_note(op, "at", "code");
    return grantd_pending(op, grantd_now(op) + after[round < 2 ? round : 2]);
}

static grantd_next *leave(grantd_op *op)
{
    tt_note(op, "from", number(op) + 1);
    return sp_go(op, "code");
}

static grantd_next *dealt_with(grantd_op *op)
{
    sp_forget(op, number(op));
    return leave(op);
}

/* Told before it is sent, when its post is known: what an item has begun is closed when it ends without a
 * grant. */
static void tell_code(grantd_op *op, uint32_t outcome)
{
    if (item(op))
        grantd_surface(op, .kind = "code", .id = advertiser(op), .asset = item(op), .outcome = outcome);
}

/* This code cannot be used, or not for this ad account when it is good for another. */
static grantd_next *verdict(grantd_op *op, const struct sp_verdict *v)
{
    if (v->later && tt_noted(op, "round", 0) < 3 && !grantd_noted(op, "good"))
        return leave(op);
    if (grantd_noted(op, "told"))
        tell_code(op, GRANTD_SURFACE_GONE);
    grantd_note(op, "told", NULL);
    if (grantd_noted(op, "good"))
        grantd_warn(op, "NOT_IN_ADVERTISER", "post %s cannot be used in ad account %s: %s", item(op),
                    advertiser(op), v->text);
    else
        sp_problem(op, "post", sp_subject(op, number(op)), v->word, v->text);
    if (grantd_noted(op, "good") && sp_advertiser(op, tt_noted(op, "j", 0) + 1)) {
        tt_note(op, "j", tt_noted(op, "j", 0) + 1);
        return sp_go(op, "send");
    }
    return dealt_with(op);
}

static grantd_next *unknown_refusal(grantd_op *op, const grantd_doc *a)
{
    const char *said = tt_said(op, a);
    struct sp_verdict v = { .word = "REFUSED" };

    v.text =
        grantd_strf(op, "TikTok refused it (%lld%s%s)", (long long)tt_code(op, a), *said ? ": " : "", said);
    return verdict(op, &v);
}

/* ---- looking at it ----------------------------------------------------------------------------------- */

grantd_next *sp_info(grantd_op *op)
{
    if (!code(op))
        return leave(op);
    return tt_get(op, TT_HUB, "tt_video/info/",
                  grantd_pairs("advertiser_id", advertiser(op), "auth_code", code(op)), on_info);
}

static const struct sp_verdict *unfit(grantd_op *op, const grantd_doc *a)
{
    static const struct sp_verdict over = {
        .word = "CODE_EXPIRED", .text = "the window of this code is over: let the creator extend it"
    };
    static const struct sp_verdict kind = { .word = "POST_TYPE",
                                            .text = "a duet or stitch of a duet or stitch cannot be used" };
    int64_t end = tt_time(grantd_text(op, a, "data.auth_info.auth_end_time"));

    if (end && end <= grantd_now(op))
        return &over;
    if (grantd_num(op, a, "data.item_info.is_multi_duet_stitch", 0) == 1)
        return &kind;
    return sp_status(grantd_text(op, a, "data.item_info.status"));
}

/* It may be that a code can only be looked at once it was redeemed: without an answer that is about the code,
 * it is tried (facts: tiktok.md 5.2, open question 4). */
static grantd_next *on_info(grantd_op *op, const grantd_doc *a)
{
    const struct sp_verdict *v = sp_verdict_of(op, a);
    const char *id = grantd_text(op, a, "data.item_info.item_id"),
               *of = grantd_text(op, a, "data.item_info.auth_code");

    if (v && v->word && strcmp(v->word, "NOT_YOURS") != 0)
        return verdict(op, v);
    if (tt_code(op, a) != 0 && !v && tt_stops(op, a))
        return tt_fail(op, a, TT_HUB);
    if (tt_code(op, a) == 0) {
        if (!id || !tt_digits(id) || (sp_is_code(of) && !grantd_equal(of, code(op))))
            return tt_odd(op, "item_id for this code");
        if ((v = unfit(op, a)))
            return verdict(op, v);
        grantd_note(op, "item", id);
    }
    return sp_go(op, "send");
}

/* ---- redeeming --------------------------------------------------------------------------------------- */

grantd_next *sp_send(grantd_op *op)
{
    if (!code(op))
        return leave(op);
    if (!advertiser(op))
        return dealt_with(op);
    grantd_note(op, "at", "look");
    grantd_note(op, "told", "1");
    tell_code(op, GRANTD_SURFACE_OPEN);
    return grantd_save(op, send_now, .scope = NULL);
}

static grantd_next *send_now(grantd_op *op)
{
    return tt_post(op, TT_HUB, 0, "tt_video/authorize/",
                   grantd_pairs("advertiser_id", advertiser(op), "auth_code", code(op)), on_sent);
}

static grantd_next *on_sent(grantd_op *op, const grantd_doc *a)
{
    const struct sp_verdict *v = sp_verdict_of(op, a);

    if (tt_code(op, a) == 0 || tt_code(op, a) == 40050 || (v && !v->word))
        return sp_go(op, "read");
    if (v)
        return verdict(op, v);
    return tt_stops(op, a) ? tt_fail(op, a, TT_HUB) : unknown_refusal(op, a);
}

/* ---- reading it back --------------------------------------------------------------------------------- */

grantd_next *sp_list(grantd_op *op, const char *id, const char *post, grantd_doc_fn *next)
{
    return tt_get(op, TT_HUB, "tt_video/list/",
                  grantd_pairs("advertiser_id", id, "keyword", post, "page",
                               tt_num_text(op, tt_noted(op, "page", 1)), "page_size", post ? "20" : "50"),
                  next);
}

int64_t sp_row(grantd_op *op, const grantd_doc *a, const char *post, const char *own)
{
    int64_t n = grantd_len(op, a, "data.list");

    for (int64_t i = 0; i < n; i++)
        if (post ? grantd_equal(tt_row(op, a, i, "item_info.item_id"), post)
                 : grantd_equal(tt_row(op, a, i, "item_info.auth_code"), own))
            return i;
    return -1;
}

/* After a lost answer: was it redeemed? */
grantd_next *sp_look(grantd_op *op)
{
    if (!code(op))
        return leave(op);
    return sp_list(op, advertiser(op), item(op), on_look);
}

static grantd_next *on_look(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1), i;

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    i = sp_row(op, a, item(op), code(op));
    if (i >= 0)
        return sp_go(op, grantd_equal(tt_row(op, a, i, "auth_info.ad_auth_status"), "AUTHORIZED") ? "read"
                                                                                                  : "send");
    if (tt_last_page(op, a, "data.list", page))
        return sp_go(op, "send");
    tt_note(op, "page", page + 1);
    return grantd_continue(op, sp_look);
}

grantd_next *sp_read(grantd_op *op)
{
    if (!code(op))
        return leave(op);
    return sp_list(op, advertiser(op), item(op), on_read);
}

static void tell_creator(grantd_op *op, const char *id, const char *name)
{
    const char *wanted = grantd_param(op, "creator");

    if (wanted && *wanted == '@')
        wanted++;
    if (wanted && name && strcasecmp(wanted, name) != 0)
        grantd_warn(op, "CREATOR_DIFFERS", "post %s is of %.60s, %.60s was expected", id, name, wanted);
}

static void report(grantd_op *op, const grantd_doc *a, int64_t i, const char *id)
{
    int64_t from = tt_time(tt_row(op, a, i, "auth_info.auth_start_time")),
            end = tt_time(tt_row(op, a, i, "auth_info.auth_end_time"));
    const char *who = tt_row(op, a, i, "user_info.tiktok_name");

    grantd_asset(op, .kind = "post", .id = id, .name = tt_row(op, a, i, "item_info.text"), .parent = who,
                 .role = grantd_arg(op, GRANTD_ARG_ROLE), .starts_at = from, .ends_at = end,
                 .layers =
                     GRANTD_LAYER_NATIVE | (sp_mode_is(op, "creator") ? (uint32_t)GRANTD_LAYER_TOKEN : 0));
    grantd_surface(op, .kind = "code", .id = advertiser(op), .asset = id, .outcome = GRANTD_SURFACE_OPEN);
    if (sp_mode_is(op, "creator"))
        grantd_surface(op, .kind = "authorization", .id = id, .asset = id, .outcome = GRANTD_SURFACE_OPEN);
    sp_tell_window(op, id, from, end);
    tell_creator(op, id, who);
    if (sp_status(tt_row(op, a, i, "item_info.status")))
        grantd_warn(op, "POST_NOT_USABLE", "post %s: %s", id,
                    sp_status(tt_row(op, a, i, "item_info.status"))->text);
}

/* AUTHORIZED, and not over: everything else is none, and its word is told (facts: tiktok.md 5.3). */
static const struct sp_verdict *not_active(grantd_op *op, const grantd_doc *a, int64_t i)
{
    static const struct sp_verdict over = {
        .word = "CODE_EXPIRED", .text = "the window of this code is over: let the creator extend it"
    };
    static const struct sp_verdict pending = { .word = "NOT_AUTHORISED",
                                               .text = "TikTok did not finish the authorisation",
                                               .later = 1 };
    const char *status = tt_row(op, a, i, "auth_info.ad_auth_status");
    int64_t end = tt_time(tt_row(op, a, i, "auth_info.auth_end_time"));

    if (grantd_equal(status, "EXPIRED") || (end && end <= grantd_now(op)))
        return &over;
    return grantd_equal(status, "AUTHORIZED") ? NULL : &pending;
}

static grantd_next *not_listed(grantd_op *op)
{
    static const struct sp_verdict v = { .word = "NOT_FOUND",
                                         .text = "TikTok took the code, but does not list its post",
                                         .later = 1 };

    return verdict(op, &v);
}

static grantd_next *on_read(grantd_op *op, const grantd_doc *a)
{
    int64_t page = tt_noted(op, "page", 1), i;
    const struct sp_verdict *v;
    const char *id;

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_HUB);
    i = sp_row(op, a, item(op), code(op));
    if (i < 0 && tt_last_page(op, a, "data.list", page)) {
        grantd_note(op, "told", NULL); /* TikTok took it: it stays among what has to be closed */
        return not_listed(op);
    }
    if (i < 0) {
        tt_note(op, "page", page + 1);
        return grantd_continue(op, sp_read);
    }
    id = tt_row_id(op, a, i, "item_info.item_id");
    if (!id)
        return tt_odd(op, "item_id");
    if ((v = not_active(op, a, i))) {
        grantd_note(op, "told", NULL);
        return verdict(op, v);
    }
    report(op, a, i, id);
    grantd_note(op, "item", id);
    grantd_note(op, "good", "1");
    tt_note(op, "j", tt_noted(op, "j", 0) + 1);
    return sp_go(op, "send");
}
