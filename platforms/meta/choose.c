/* choose.c - which accounts or Pages an item is about when nobody said: the client chooses from its own, or
 * writes the ids down. And what people are told while others have to act. */
#include "meta.h"

static grantd_doc_fn on_mine;
static grantd_next *next_of_mine(grantd_op *op);

enum { LIST_PAGES = 20, PER_PAGE = 50 };

static void partner_step(grantd_op *op, const char *what)
{
    const char *hub = grantd_arg(op, GRANTD_ARG_HUB_ID), *role = me_asked_role(op);

    grantd_step(op, .title = "Add the agency as a partner", .copy = hub,
                .text = grantd_strf(op,
                                    "An admin of your business portfolio opens Business settings, adds the "
                                    "business id %s as a partner, and shares %s with it, with the tasks %s. "
                                    "We look by ourselves and go on as soon as it is there.",
                                    hub ? hub : "", what, me_tasks(op, me_item_kind(op), role)));
}

/* ---- the client writes ids down
 * ----------------------------------------------------------------------------- */
grantd_next *me_ask_which(grantd_op *op)
{
    const struct me_kind *k = me_item_kind(op);
    int page = !strcmp(k->name, "page");

    if (!strcmp(me_mode(op), "manual"))
        partner_step(op, page ? "the Pages" : "the ad accounts");
    grantd_step(op, .title = page ? "Which Pages?" : "Which ad accounts?",
                .text = page
                            ? "Write down the id of each Page, one a line. Business settings shows it."
                            : "Write down the id of each ad account, one a line. Business settings shows it.",
                .ask = k->ask, .ask_label = k->ask_label, .flags = GRANTD_STEP_LINES);
    return grantd_pending(op, me_next_look(op));
}

/* ---- the client chooses
 * ------------------------------------------------------------------------------------- */
static int is_delegate(grantd_op *op)
{
    return !strcmp(me_mode(op), "delegate");
}

/* A delegated login has chosen in Meta's own dialog already. */
static grantd_next *one_or_ask(grantd_op *op)
{
    struct me *m = me(op);
    const struct me_kind *k = me_item_kind(op);

    if (m->nchoices == 0)
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "this login has no %s in a business portfolio that could be shared; somebody who "
                           "is an admin of the portfolio must log in",
                           !strcmp(k->name, "page") ? "Page" : "ad account");
    if (m->nchoices == 1 || is_delegate(op)) {
        for (size_t i = 0; i < m->nchoices && i < ME_TARGETS_MAX; i++)
            (void)me_targets_add(op, m->choices[2 * i]);
        return grantd_continue(op, me_work);
    }
    m->choices[2 * m->nchoices] = NULL;
    grantd_step(op, .title = !strcmp(k->name, "page") ? "Which Pages?" : "Which ad accounts?",
                .text = "Choose what this access shall be for. Nothing else is shared.", .ask = k->ask,
                .ask_label = k->ask_label, .flags = GRANTD_STEP_MANY, .choices = m->choices);
    return grantd_pending(op, me_next_look(op));
}

/* A share works only where a portfolio owns the account (facts: A3); closed ones (101) are of no use. */
static int can_be_shared(grantd_op *op, const grantd_doc *a, const char *row, const struct me_kind *k)
{
    if (strcmp(k->name, "ad_account") != 0 || is_delegate(op))
        return 1;
    return grantd_text(op, a, grantd_strf(op, "%s.business.id", row)) != NULL &&
           grantd_num(op, a, grantd_strf(op, "%s.account_status", row), 1) != 101;
}

static grantd_next *on_mine(grantd_op *op, const grantd_doc *a)
{
    struct me *m = me(op);
    const struct me_kind *k = me_item_kind(op);
    const char *after;
    int odd;

    if (me_bad(op, a))
        return me_fail(op, a);
    after = me_next_page(op, a, &odd);
    for (int64_t i = 0; i < grantd_len(op, a, "data") && !odd && m->nchoices < LIST_PAGES * PER_PAGE; i++) {
        const char *row = grantd_strf(op, "data.%lld", (long long)i);
        const char *id = grantd_text(op, a, grantd_strf(op, "%s.id", row));
        const char *name = grantd_text(op, a, grantd_strf(op, "%s.name", row));

        id = id ? me_id(op, k, id, strlen(id)) : NULL;
        odd = !id;
        if (!id || !can_be_shared(op, a, row, k))
            continue;
        m->choices[2 * m->nchoices] = id;
        m->choices[2 * m->nchoices++ + 1] = name && *name ? grantd_strf(op, "%s (%s)", name, id) : id;
    }
    if (odd || (after && m->find.after && !strcmp(after, m->find.after)))
        return grantd_fail(op, GRANTD_E_PROTOCOL, "%s is no list of accounts, or one that goes round",
                           k->mine);
    m->find.after = after;
    if (after && ++m->find.pages >= LIST_PAGES && !is_delegate(op))
        return me_ask_which(op); /* too many to choose from: ids are written down */
    return after && m->find.pages < LIST_PAGES ? next_of_mine(op) : one_or_ask(op);
}

static grantd_next *next_of_mine(grantd_op *op)
{
    const struct me_kind *k = me_item_kind(op);

    return me_get(op, ME_CLIENT, k->mine,
                  grantd_pairs("fields", k->mine_fields, "limit", "50", me(op)->find.after ? "after" : NULL,
                               me(op)->find.after),
                  on_mine);
}

/* What the client handed in: an id that is none is asked again, with the reason. */
static grantd_next *take_input(grantd_op *op, const char *given)
{
    int odd = me_targets_add(op, given);

    if (odd < 0)
        return grantd_fail(op, GRANTD_E_CONFIG, "more than %d accounts in one item; make several",
                           ME_TARGETS_MAX);
    if (odd > 0 || !me_targets(op)) {
        grantd_note(op, "marks", NULL);
        for (int i = 0; i <= ME_TARGETS_MAX / 150; i++)
            grantd_note(op, grantd_strf(op, "t%d", i), NULL);
        grantd_warn(op, "ID_MALFORMED", "what was handed in holds no usable id, or one that is none");
        return me_ask_which(op);
    }
    return grantd_continue(op, me_work);
}

grantd_next *me_choose(grantd_op *op)
{
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID), *given = grantd_input(op, me_item_kind(op)->ask);
    const char *mode = me_mode(op);

    if (me_targets(op))
        return me_work(op);
    if (hint && *hint)
        return me_targets_add(op, hint) == 0 && me_targets(op)
                   ? grantd_continue(op, me_work)
                   : grantd_fail(op, GRANTD_E_CONFIG, "the asset hint is no list of ids of the kind %s",
                                 me_item_kind(op)->name);
    if (given && *given)
        return take_input(op, given);
    if (strcmp(mode, "share") != 0 && strcmp(mode, "delegate") != 0)
        return me_ask_which(op);
    me(op)->choices = grantd_alloc(op, (2 * LIST_PAGES * PER_PAGE + 2) * sizeof *me(op)->choices);
    if (!me(op)->choices)
        return grantd_finish(op);
    return next_of_mine(op);
}

/* ---- waiting
 * ------------------------------------------------------------------------------------------------ */

/* Ids that carry this mark, for people. */
static const char *listed(grantd_op *op, int mark)
{
    const char *out = "";
    int n = 0;

    for (int i = 0; i < me_targets(op); i++)
        if (me_mark_of(op, i) == mark && n++ < 20)
            out = grantd_strf(op, "%s%s%s", out, *out ? ", " : "", me_target(op, i));
    return n > 20 ? grantd_strf(op, "%s and %d more", out, n - 20) : out;
}

static void guided_step(grantd_op *op)
{
    const char *ids = listed(op, ME_GUIDED);

    if (*ids)
        partner_step(op, ids);
}

void me_steps_waiting(grantd_op *op)
{
    const char *asked = listed(op, ME_ASKED), *review = listed(op, ME_REVIEW);

    if (*asked)
        grantd_step(op, .title = "Approve the agency's request",
                    .text = grantd_strf(op,
                                        "An admin of your business portfolio opens Business settings > "
                                        "Requests and approves the request for %s.",
                                        asked));
    if (*review)
        grantd_step(op, .title = "A second admin must approve",
                    .text =
                        grantd_strf(op,
                                    "Your portfolio asks for a second admin. Another admin opens Business "
                                    "settings > Requests > admin reviews and approves the sharing of %s.",
                                    review));
    guided_step(op);
}

enum { HOUR = 3600, DAY = 86400 };

static int64_t number(const char *text, int64_t dflt)
{
    int64_t n = 0;

    for (size_t i = 0; text && i < 15 && text[i] >= '0' && text[i] <= '9'; i++)
        n = n * 10 + (text[i] - '0');
    return n ? n : dflt;
}

/* Facts: A3, "every few minutes while pending"; no request of Meta tells. After a day once an hour. */
int64_t me_next_look(grantd_op *op)
{
    int64_t now = grantd_now(op), wait = number(grantd_option(op, "poll_minutes"), 5) * 60;
    int64_t since = number(grantd_noted(op, "since"), now);

    if (!grantd_noted(op, "since"))
        grantd_note(op, "since", grantd_strf(op, "%lld", (long long)now));
    if (now - since > DAY && wait < HOUR)
        wait = HOUR;
    return now + wait;
}
