/* share.c - mode partner: with the client's token its Business Center makes the agency's a partner and shares
 * chosen ad accounts (facts: tiktok.md 4.5, Method B). Fan-out over Business Centers, pages and batches of
 * 50; before a batch is sent the place "look" is noted, so that after a lost answer or a crash the share is
 * looked at before anything is sent again. Lists in notes: ids (still to be found), own (of this Business
 * Center, to be shared), cut (shared with a higher role, to be taken back first), done (shared), seen (seen
 * by a check). */
#include "bc.h"

static grantd_doc_fn on_ticked, on_centers, on_own, on_was, on_look, on_added, on_cut, on_check;
static grantd_fn send_add, send_cut;

static const char *center(grantd_op *op)
{
    return tt_nth(op, "bcs", tt_noted(op, "b", 0));
}

/* ---- which ad accounts ------------------------------------------------------------------------------- */

void bc_take_ids(grantd_op *op, const char *text, const char *list)
{
    struct tt_set ids;
    const char *word;

    tt_load(op, &ids, list, TT_IDS_MAX);
    while (text && (word = tt_word(op, &text)))
        if (!tt_digits(word))
            bc_problem(op, grantd_shown(op, word, 64), "ID_WRONG",
                       "this is no ad account id: TikTok's ids are digits");
        else if (ids.n < TT_IDS_MAX)
            tt_put(&ids, word);
    tt_store(op, &ids);
}

grantd_next *bc_choose(grantd_op *op)
{
    return tt_accounts(op, TT_CLIENT, on_ticked);
}

/* The ids that the client ticked at the consent, ending with NULL; NULL when a row has none. */
static const char **ticked(grantd_op *op, const grantd_doc *a, int64_t n)
{
    const char **ids = grantd_alloc(op, ((size_t)n + 1) * sizeof *ids);

    for (int64_t i = 0; ids && i < n; i++) {
        ids[i] = tt_row_id(op, a, i, "advertiser_id");
        if (!ids[i])
            return NULL;
    }
    return ids;
}

enum { CHOICES_MAX = 200 };

static grantd_next *ask_which(grantd_op *op, const grantd_doc *a, const char **ids, int64_t n)
{
    const char **pairs = n <= CHOICES_MAX ? grantd_alloc(op, (2 * (size_t)n + 2) * sizeof *pairs) : NULL;

    for (int64_t i = 0; pairs && i < n; i++) {
        const char *name = tt_row(op, a, i, "advertiser_name");

        pairs[2 * i] = ids[i];
        pairs[2 * i + 1] = name ? grantd_strf(op, "%s (%s)", grantd_shown(op, name, 100), ids[i]) : ids[i];
    }
    grantd_step(op, .title = "Choose the ad accounts to share",
                .text = pairs ? "Only those that you choose are shared with the agency."
                              : "Write the ids of the ad accounts to share, one a line, or the word all for "
                                "all that you ticked. Only those are shared.",
                .ask = "ad_accounts", .ask_label = "Ad accounts", .choices = pairs,
                .flags = pairs ? (uint32_t)GRANTD_STEP_MANY : (uint32_t)GRANTD_STEP_LINES);
    return grantd_pending(op, grantd_now(op) + 21600);
}

static void note_unticked(grantd_op *op, const char **ids, int64_t n)
{
    struct tt_set asked, ticked_ids = { .ids = ids, .n = n, .room = n };

    tt_load(op, &asked, "ids", 0);
    for (int64_t i = asked.n - 1; i >= 0; i--)
        if (tt_at(&ticked_ids, asked.ids[i]) >= 0)
            tt_take(&asked, i);
    asked.name = "unticked";
    tt_store(op, &asked);
}

static void take_all(grantd_op *op, const char **ids, int64_t n)
{
    struct tt_set all = { .name = "ids", .ids = ids, .n = n < TT_IDS_MAX ? n : TT_IDS_MAX };

    tt_store(op, &all);
}

static grantd_next *on_ticked(grantd_op *op, const grantd_doc *a)
{
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID), *chosen = grantd_input(op, "ad_accounts"), **ids;
    int64_t n = grantd_len(op, a, "data.list");

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_CLIENT);
    ids = ticked(op, a, n);
    if (!ids)
        return tt_odd(op, "advertiser_id");
    if (!hint && n == 0)
        return grantd_fail(op, GRANTD_E_FORBIDDEN, "no ad account was ticked at the consent: consent again");
    if (!hint && !chosen && n > 1)
        return ask_which(op, a, ids, n);
    if (!hint && grantd_equal(chosen, "all"))
        take_all(op, ids, n);
    else
        bc_take_ids(op, hint ? hint : chosen ? chosen : ids[0], "ids");
    if (!tt_nth(op, "ids", 0))
        return bc_wrap_up(op);
    note_unticked(op, ids, n);
    return bc_go(op, "centers");
}

/* ---- which Business Center owns them ----------------------------------------------------------------- */

grantd_next *bc_centers(grantd_op *op)
{
    return tt_get(op, TT_CLIENT, "bc/get/", grantd_pairs(BC_PAGE(op, 50)), on_centers);
}

static grantd_next *no_center(grantd_op *op, int64_t total)
{
    return grantd_fail(
        op, GRANTD_E_FORBIDDEN,
        "the person who consented is ADMIN of no enabled Business Center: let an ADMIN of the one "
        "that owns the ad account open the link, or ask again in mode access%s",
        total >= 3 ? " (it is in 3 Business Centers, which is all that a user may be in)" : "");
}

static grantd_next *on_centers(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), page = tt_noted(op, "page", 1);

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_CLIENT);
    for (int64_t i = 0; i < n; i++) {
        const char *id = tt_row_id(op, a, i, "bc_info.bc_id");

        if (!id)
            return tt_odd(op, "bc_id");
        if (grantd_equal(tt_row(op, a, i, "user_role"), "ADMIN") &&
            grantd_equal(tt_row(op, a, i, "bc_info.status"), "ENABLE") &&
            strcmp(id, grantd_arg(op, GRANTD_ARG_HUB_ID)) != 0)
            tt_push(op, "bcs", id);
    }
    if (!tt_last_page(op, a, "data.list", page))
        return bc_next_page(op, "centers");
    if (!tt_nth(op, "bcs", 0))
        return no_center(op, grantd_num(op, a, "data.page_info.total_number", 0));
    return bc_go(op, "own");
}

grantd_next *bc_own(grantd_op *op)
{
    return tt_get(op, TT_CLIENT, "bc/asset/admin/get/",
                  grantd_pairs("bc_id", center(op), "asset_type", "ADVERTISER", BC_PAGE(op, 50)), on_own);
}

static void take_owned(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), at;
    struct tt_set ids, own;

    tt_load(op, &ids, "ids", 0);
    tt_load(op, &own, "own", n);
    for (int64_t i = 0; i < n; i++) {
        const char *id = tt_row_id(op, a, i, "asset_id"), *status = tt_row(op, a, i, "relation_status");

        at = tt_at(&ids, id);
        if (at < 0 || !grantd_equal(tt_row(op, a, i, "relation_type"), "OWNER_BC"))
            continue;
        if (status && strcmp(status, "BOUND") != 0)
            continue;
        tt_take(&ids, at);
        tt_put(&own, id);
    }
    tt_store(op, &ids);
    tt_store(op, &own);
}

static grantd_next *on_own(grantd_op *op, const grantd_doc *a)
{
    if (tt_class(op, a) == GRANTD_E_FORBIDDEN && tt_code(op, a) > 0)
        return bc_go(op, "center");
    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_CLIENT);
    take_owned(op, a);
    if (tt_nth(op, "ids", 0) && !tt_last_page(op, a, "data.list", tt_noted(op, "page", 1)))
        return bc_next_page(op, "own");
    return bc_go(op, tt_nth(op, "own", 0) ? "was" : "center");
}

/* ---- what is shared already -------------------------------------------------------------------------- */

/* A partnership that was there before is not ours to end. */
grantd_next *bc_was(grantd_op *op)
{
    return tt_get(op, TT_CLIENT, "bc/partner/get/", grantd_pairs("bc_id", center(op), BC_PAGE(op, 50)),
                  on_was);
}

static grantd_next *on_was(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_CLIENT);
    for (int64_t i = 0; i < n; i++)
        if (grantd_equal(tt_row(op, a, i, "bc_id"), grantd_arg(op, GRANTD_ARG_HUB_ID))) {
            grantd_note(op, "was", "1");
            return bc_go(op, "look");
        }
    if (!tt_last_page(op, a, "data.list", tt_noted(op, "page", 1)))
        return bc_next_page(op, "was");
    grantd_note(op, "was", "0");
    return bc_go(op, "share");
}

grantd_next *bc_look(grantd_op *op)
{
    return tt_get(op, TT_CLIENT, "bc/partner/asset/get/",
                  grantd_pairs("bc_id", center(op), "partner_id", grantd_arg(op, GRANTD_ARG_HUB_ID),
                               "asset_type", "ADVERTISER", "share_type", "SHARING", BC_PAGE(op, 50)),
                  on_look);
}

/* Raising a role works in place; lowering it needs an end and a new share, and only on order. */
static grantd_next *sort_shared(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list"), asked = bc_rank(bc_role(op)), is, at;
    struct tt_set own, cut, done;

    tt_load(op, &own, "own", 0);
    tt_load(op, &cut, "cut", n);
    tt_load(op, &done, "done", n);
    for (int64_t i = 0; i < n; i++) {
        const char *id = tt_row_id(op, a, i, "asset_id");

        if (!id)
            return tt_odd(op, "asset_id");
        at = tt_at(&own, id);
        is = bc_rank(tt_row(op, a, i, "advertiser_role"));
        if (at < 0 || is < asked)
            continue;
        if (is > asked && tt_flag(grantd_param(op, "lower_role"))) {
            tt_put(&cut, id);
            continue;
        }
        tt_take(&own, at);
        tt_put(&done, id);
    }
    tt_store(op, &own);
    tt_store(op, &cut);
    tt_store(op, &done);
    return NULL;
}

/* Of two that are no partners yet there is nothing to list. */
static int no_partners(grantd_op *op, const grantd_doc *a)
{
    return tt_code(op, a) == 40002 || tt_code(op, a) == 40007;
}

static grantd_next *on_look(grantd_op *op, const grantd_doc *a)
{
    grantd_next *bad;

    if (no_partners(op, a))
        return bc_go(op, "share");
    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, TT_CLIENT);
    bad = sort_shared(op, a);
    if (bad)
        return bad;
    return tt_last_page(op, a, "data.list", tt_noted(op, "page", 1)) ? bc_go(op, "share")
                                                                     : bc_next_page(op, "look");
}

/* ---- sharing ----------------------------------------------------------------------------------------- */

static int64_t batch(grantd_op *op, const char *list)
{
    int64_t n = tt_count(op, list), size = tt_noted(op, "size", TT_BATCH);

    return n < size ? n : size;
}

grantd_next *bc_share(grantd_op *op)
{
    int cut = tt_nth(op, "cut", 0) != NULL;

    if (!cut && !tt_nth(op, "own", 0))
        return bc_go(op, tt_nth(op, "done", 0) ? "check" : "center");
    grantd_note(op, "at", "look");
    tt_note(op, "page", 1);
    for (int64_t i = 0; !cut && i < batch(op, "own"); i++)
        bc_tell(op, tt_nth(op, "own", i), center(op), GRANTD_SURFACE_OPEN);
    return grantd_save(op, cut ? send_cut : send_add, .scope = NULL);
}

static grantd_next *send_cut(grantd_op *op)
{
    return tt_post(op, TT_CLIENT, 0, "bc/partner/asset/delete/",
                   grantd_pairs("bc_id", center(op), "partner_id", grantd_arg(op, GRANTD_ARG_HUB_ID),
                                "asset_type", "ADVERTISER",
                                "asset_ids:=", tt_json_ids(op, "cut", batch(op, "cut"))),
                   on_cut);
}

static grantd_next *on_cut(grantd_op *op, const grantd_doc *a)
{
    if (tt_code(op, a) != 0 && tt_class(op, a) != GRANTD_E_ABSENT)
        return tt_fail(op, a, TT_CLIENT);
    for (int64_t n = batch(op, "cut"); n > 0; n--)
        tt_drop(op, "cut", tt_nth(op, "cut", 0));
    return bc_go(op, "share");
}

static grantd_next *send_add(grantd_op *op)
{
    return tt_post(op, TT_CLIENT, 0, "bc/partner/add/",
                   grantd_pairs("bc_id", center(op), "partner_id", grantd_arg(op, GRANTD_ARG_HUB_ID),
                                "asset_type", "ADVERTISER", "asset_ids:=",
                                tt_json_ids(op, "own", batch(op, "own")), "advertiser_role", bc_role(op)),
                   on_added);
}

/* Several Business Centers may have one ad account: what TikTok says of it is told, and the check decides. */
static int is_linked(grantd_op *op, const grantd_doc *a)
{
    if (!tt_says(op, a, "already") || tt_code(op, a) <= 0 || tt_stops(op, a))
        return 0;
    return tt_says(op, a, "linked") || tt_says(op, a, "Business Center") || tt_says(op, a, "shared");
}

static grantd_next *batch_done(grantd_op *op)
{
    int64_t n = batch(op, "own"), size = tt_noted(op, "size", TT_BATCH) * 2;
    struct tt_set own, done;

    tt_load(op, &own, "own", 0);
    tt_load(op, &done, "done", n);
    for (; n > 0 && own.n > 0; n--) {
        tt_put(&done, own.ids[0]);
        tt_take(&own, 0);
    }
    tt_store(op, &own);
    tt_store(op, &done);
    tt_note(op, "size", size < TT_BATCH ? size : TT_BATCH);
    return bc_go(op, "share");
}

static const char *refusal(grantd_op *op, const grantd_doc *a)
{
    const char *said = tt_said(op, a);

    if (tt_class(op, a) == GRANTD_E_FORBIDDEN)
        return grantd_strf(
            op,
            "TikTok does not allow to share it (%lld%s%s): let an ADMIN of the Business Center that "
            "owns it consent",
            (long long)tt_code(op, a), *said ? ": " : "", said);
    return grantd_strf(op, "TikTok refused to share it (%lld%s%s)", (long long)tt_code(op, a),
                       *said ? ": " : "", said);
}

/* A batch is all or nothing: it is halved until the one that is refused stands alone. */
static grantd_next *refused(grantd_op *op, const grantd_doc *a)
{
    int64_t n = batch(op, "own");
    const char *id = tt_nth(op, "own", 0);

    if (n > 1) {
        tt_note(op, "size", n / 2);
        return bc_go(op, "share");
    }
    bc_tell(op, id, center(op), GRANTD_SURFACE_GONE);
    bc_problem(op, id, tt_class(op, a) == GRANTD_E_FORBIDDEN ? "NOT_ALLOWED" : "REFUSED", refusal(op, a));
    tt_drop(op, "own", id);
    return bc_go(op, "share");
}

/* Some of it, or a twin of this request: what there is must be looked at. */
static grantd_next *unclear(grantd_op *op, int64_t code)
{
    int64_t n = batch(op, "own"), again = tt_noted(op, "again", 0);

    if (again >= 12)
        return grantd_fail(op, GRANTD_E_TRANSIENT, "TikTok shares only a part, again and again (TikTok %lld)",
                           (long long)code);
    tt_note(op, "again", again + 1);
    tt_note(op, "size", code == 20001 && n > 1 ? n / 2 : n);
    return bc_go(op, "look");
}

static grantd_next *on_added(grantd_op *op, const grantd_doc *a)
{
    int64_t code = tt_code(op, a);

    if (code == 0)
        return batch_done(op);
    if (code == 20001 || code == 40050)
        return unclear(op, code);
    if (is_linked(op, a) && batch(op, "own") == 1) { /* of many it is said of one: refused() finds it */
        grantd_warn(
            op, "ALREADY_LINKED",
            "TikTok says that an ad account is linked to a Business Center already: several may have it; "
            "what is shared is checked next");
        return batch_done(op);
    }
    return tt_stops(op, a) ? tt_fail(op, a, TT_CLIENT) : refused(op, a);
}

/* ---- is it there? ------------------------------------------------------------------------------------ */

/* Code 0 is no proof: the share counts when the agency's side sees it (facts: tiktok.md 4.5). */
grantd_next *bc_check(grantd_op *op)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID);
    int mine = tt_token(op, TT_HUB) != NULL;

    if (tt_noted(op, "page", 1) == 1)
        tt_clear(op, "seen");
    return tt_get(op, mine ? TT_HUB : TT_CLIENT, "bc/partner/asset/get/",
                  grantd_pairs("bc_id", mine ? hub : center(op), "partner_id", mine ? center(op) : hub,
                               "asset_type", "ADVERTISER", "share_type", mine ? "SHARED" : "SHARING",
                               BC_PAGE(op, 50)),
                  on_check);
}

static grantd_next *not_yet(grantd_op *op)
{
    grantd_note(op, "at", "check");
    tt_note(op, "page", 1);
    if (bc_mode_is(op, "guided"))
        bc_guided_steps(op);
    else
        grantd_step(op, .title = "Agency: accept the partner in Business Center",
                    .text =
                        "The ad accounts were shared, but the agency's Business Center does not show all of "
                        "them. Open Business Center, Partners, and accept the invitation of this Business "
                        "Center if there is one. It is looked for again by itself.",
                    .copy = center(op));
    return tt_look_again(op);
}

static void take_shared(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");
    int all = grantd_equal(grantd_noted(op, "all"), "1");
    struct tt_set done, seen;

    tt_load(op, &done, "done", n);
    tt_load(op, &seen, "seen", n);
    for (int64_t i = 0; i < n; i++) {
        const char *id = tt_row_id(op, a, i, "asset_id");

        if (all)
            tt_put(&done, id);
        if (tt_at(&done, id) < 0 || tt_at(&seen, id) >= 0)
            continue;
        tt_put(&seen, id);
        bc_report(op, id, tt_row(op, a, i, "asset_name"), tt_row(op, a, i, "advertiser_role"), center(op));
    }
    tt_store(op, &done);
    tt_store(op, &seen);
}

static grantd_next *on_check(grantd_op *op, const grantd_doc *a)
{
    int64_t n = grantd_len(op, a, "data.list");

    if (no_partners(op, a) && tt_nth(op, "done", 0))
        return not_yet(op);
    if (no_partners(op, a))
        return bc_mode_is(op, "guided") ? not_yet(op) : bc_go(op, "center");
    if (!tt_is_list(op, a, "data.list"))
        return tt_fail(op, a, tt_token(op, TT_HUB) ? TT_HUB : TT_CLIENT);
    take_shared(op, a);
    if (!tt_last_page(op, a, "data.list", tt_noted(op, "page", 1)))
        return bc_next_page(op, "check");
    if (tt_count(op, "seen") < tt_count(op, "done") || (!n && grantd_equal(grantd_noted(op, "all"), "1")))
        return not_yet(op);
    return bc_go(op, "staff");
}

/* ---- the next one ------------------------------------------------------------------------------------ */

static void leave_out(grantd_op *op)
{
    struct tt_set ids, unticked;

    tt_load(op, &ids, "ids", 0);
    tt_load(op, &unticked, "unticked", 0);
    for (int64_t i = 0; i < ids.n; i++)
        if (tt_at(&unticked, ids.ids[i]) >= 0)
            bc_problem(op, ids.ids[i], "NOT_TICKED",
                       "it was not ticked at TikTok's consent page: consent again and tick it");
        else
            bc_problem(
                op, ids.ids[i], "NOT_OWNED",
                "no Business Center of the person who consented owns it: let an ADMIN of the owner consent, "
                "or ask for it in mode access");
}

grantd_next *bc_next_center(grantd_op *op)
{
    static const char *const lists[] = { "own", "cut", "done", "seen" };

    tt_note(op, "b", tt_noted(op, "b", 0) + 1);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        tt_clear(op, lists[i]);
    grantd_note(op, "was", NULL);
    grantd_note(op, "size", NULL);
    if (center(op) && tt_nth(op, "ids", 0))
        return bc_go(op, "own");
    leave_out(op);
    return bc_wrap_up(op);
}
