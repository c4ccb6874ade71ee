/* accounts.c - grant, account by account. Which accounts an item is about (the hint, a person's choice, or
 * the only one there is) and how far each of them is stands in notes, one line each; every account is a run
 * of its own, so that neither a crash nor a thousand accounts repeat or lose a step. Assets and surfaces are
 * told at the end, from the notes. */
#include "google_ads.h"

#define STEPS_MAX 20
#define DAY       86400
#define TOO_LATE  "NOT_ACCEPTED_IN_TIME"

/* ---- stages: which accounts ---- */

static grantd_fn walk, choose, each, ending;

static int has_client(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) != NULL && ga_mode(op) != GA_MODE_HUB;
}

static grantd_next *go(grantd_op *op, const char *stage, grantd_fn *next)
{
    grantd_note(op, "stage", stage);
    return grantd_continue(op, next);
}

/* A person reaches this account: one that was hinted is found, else it may be chosen. */
static void reached(grantd_op *op, const char *cid, const char *via, const char *name)
{
    int64_t at = ga_find(op, cid);
    struct ga_line l;

    if (at < 0 && !grantd_noted(op, "hinted"))
        ga_add(op, GA_OFFERED, cid, via, name);
    if (at < 0)
        return;
    l = ga_line(op, at);
    if (l.state != GA_WANTED && l.state != GA_ROOT)
        return;
    l.state = l.state == GA_WANTED ? GA_CHOSEN : GA_OFFERED;
    l.via = via;
    l.name = name;
    ga_put(op, at, &l);
}

static void child_row(grantd_op *op, const grantd_doc *a, const char *at)
{
    const char *c = grantd_strf(op, "%s.customerClient", at);
    const char *id = ga_client_id(op, a, c);
    const char *name = grantd_text(op, a, grantd_strf(op, "%s.descriptiveName", c));
    const char *status = grantd_text(op, a, grantd_strf(op, "%s.status", c));

    if (id && !grantd_num(op, a, grantd_strf(op, "%s.manager", c), 0) && status && !strcmp(status, "ENABLED"))
        reached(op, id, ga(op)->line.cid, name ? name : "");
}

/* Of a manager with very many clients one part a run. */
static grantd_next *after_children(grantd_op *op)
{
    struct ga_line l = ga_line(op, ga(op)->at);
    int more = ga_clients_left(op);

    grantd_note(op, "after", more ? ga(op)->last : NULL);
    if (l.state == GA_ROOT && !more) {
        l.state = GA_IGNORED;
        ga_put(op, ga(op)->at, &l);
    }
    return grantd_continue(op, walk);
}

/* A root that cannot be looked at (cancelled, never finished) is no reason to fail for the others. */
static grantd_next *on_root_refused(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    return e.about_account ? after_children(op) : ga_fail_as(op, a, &e);
}

static grantd_next *on_root(grantd_op *op)
{
    struct ga *st = ga(op);

    if (!st->found)
        return ga_lied(op, "the account itself is missing");
    if (st->manager)
        return ga_look_clients(op,
                               &(struct ga_query){ .who = GA_CLIENT,
                                                   .cid = st->line.cid,
                                                   .login = st->line.cid,
                                                   .row = child_row,
                                                   .then = after_children,
                                                   .refused = on_root_refused },
                               grantd_noted(op, "after"));
    if (st->account_status && !strcmp(st->account_status, "ENABLED"))
        reached(op, st->line.cid, st->line.cid, st->name ? st->name : "");
    return after_children(op);
}

/* The accounts that the person reaches directly, one a run; managers among them are opened. */
static grantd_next *walk(grantd_op *op)
{
    struct ga *st = ga(op);

    st->at = ga_next(op, 0, "r");
    if (st->at < 0 || (grantd_noted(op, "hinted") && ga_next(op, 0, "h") < 0))
        return go(op, "choose", choose);
    st->line = ga_line(op, st->at);
    return ga_look_account(op, GA_CLIENT, st->line.cid, st->line.cid, on_root, on_root_refused);
}

static grantd_next *on_roots(grantd_op *op, const grantd_doc *a)
{
    if (!grantd_ok(op, a))
        return ga_fail(op, a);
    if (grantd_type(op, a, "resourceNames") != GRANTD_IS_LIST)
        return grantd_fail(op, GRANTD_E_PROTOCOL, "Google's answer holds no list of accounts");
    for (int64_t i = 0; i < grantd_len(op, a, "resourceNames"); i++) {
        const char *name = grantd_text(op, a, grantd_strf(op, "resourceNames.%lld", (long long)i));
        const char *cid = ga_tail(name, "customers/");
        int64_t at = ga_cid(cid) ? ga_find(op, cid) : -1;
        struct ga_line l;

        if (!ga_cid(cid))
            return grantd_fail(op, GRANTD_E_PROTOCOL, "Google's list of accounts holds no customer ids");
        if (at < 0) {
            ga_add(op, GA_ROOT, cid, "", "");
            continue;
        }
        l = ga_line(op, at);
        l.state = l.state == GA_WANTED ? GA_CHOSEN : l.state;
        l.via = cid;
        ga_put(op, at, &l);
    }
    return go(op, "walk", walk);
}

/* ---- choosing ---- */

static grantd_next *ask_which(grantd_op *op)
{
    int64_t n = ga_count(op, "o"), k = 0;
    const char **choices = grantd_alloc(op, (size_t)(2 * n + 1) * sizeof *choices);

    for (int64_t i = ga_next(op, 0, "o"); choices && i >= 0; i = ga_next(op, i + 1, "o")) {
        struct ga_line l = ga_line(op, i);

        choices[k++] = l.cid;
        choices[k++] = *l.name ? grantd_strf(op, "%s (%s)", l.name, l.cid) : l.cid;
    }
    grantd_step(op, .title = "Choose the Google Ads accounts",
                .text = "You reach several accounts. Only those that you choose are shared.",
                .ask = "accounts", .ask_label = "Accounts", .choices = choices, .flags = GRANTD_STEP_MANY);
    return grantd_pending(op, grantd_now(op) + DAY);
}

static int chosen(grantd_op *op, const char *text)
{
    const char *ids[GA_IDS_MAX];
    int64_t n = ga_ids(op, text, ids, GA_IDS_MAX);

    for (int64_t i = 0; i < n; i++) {
        int64_t at = ga_find(op, ids[i]);
        struct ga_line l;

        if (at < 0)
            return 0;
        l = ga_line(op, at);
        if (l.state != GA_OFFERED && l.state != GA_CHOSEN)
            return 0;
        l.state = GA_CHOSEN;
        ga_put(op, at, &l);
    }
    return n > 0;
}

/* Does the choice name offered accounts only? Looked at before anything is marked. */
static int all_offered(grantd_op *op, const char *text)
{
    const char *ids[GA_IDS_MAX];
    int64_t n = ga_ids(op, text, ids, GA_IDS_MAX);

    for (int64_t i = 0; i < n; i++) {
        int64_t at = ga_find(op, ids[i]);

        if (at < 0 || ga_line(op, at).state != GA_OFFERED)
            return 0;
    }
    return n > 0;
}

static grantd_next *choose(grantd_op *op)
{
    const char *said = grantd_input(op, "accounts");

    if (grantd_noted(op, "hinted")) {
        ga_all(op, "h", GA_BAD, "ACCOUNT_NOT_REACHED");
        return go(op, "each", each);
    }
    if (ga_count(op, "o") == 0)
        return grantd_fail(op, GRANTD_E_FORBIDDEN,
                           "the Google user who consented reaches no Google Ads account that is enabled");
    if (ga_count(op, "o") == 1 || ga_mode(op) == GA_TOKEN)
        ga_all(op, "o", GA_CHOSEN, NULL);
    else if (!said || !all_offered(op, said) || !chosen(op, said))
        return ask_which(op);
    return go(op, "each", each);
}

/* ---- the first step ---- */

static int64_t take_hint(grantd_op *op, const char *hint, char state)
{
    const char *ids[GA_IDS_MAX];
    int64_t n = ga_ids(op, hint, ids, GA_IDS_MAX);

    for (int64_t i = 0; i < n; i++)
        if (ga_find(op, ids[i]) < 0)
            ga_add(op, state, ids[i], "", "");
    if (n > 0)
        grantd_note(op, "hinted", "yes");
    return n;
}

static grantd_next *ask_id(grantd_op *op)
{
    grantd_step(op, .title = "Your Google Ads customer id",
                .text = "Sign in to Google Ads: the ten digits stand at the top right, like 123-456-7890.",
                .ask = "customer_id", .ask_label = "Customer id", .flags = GRANTD_STEP_LINES);
    return grantd_pending(op, grantd_now(op) + DAY);
}

static grantd_next *begin(grantd_op *op)
{
    const char *hint = grantd_arg(op, GRANTD_ARG_ASSET_ID), *said = grantd_input(op, "customer_id");
    int64_t n = hint ? take_hint(op, hint, has_client(op) ? GA_WANTED : GA_CHOSEN) : 0;

    if (n < 0)
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the asset of the item is no Google Ads customer id (ten digits)");
    ga_warn_version(op);
    if (has_client(op))
        return ga_list_roots(op, on_roots);
    if (n == 0 && (!said || take_hint(op, said, GA_CHOSEN) <= 0))
        return ask_id(op);
    return go(op, "each", each);
}

/* ---- each account ---- */

static grantd_next *token_one(grantd_op *op)
{
    return ga_line_done(op, "");
}

/* One that is chosen; each waiting one is looked at once more in this operation. */
static grantd_next *each(grantd_op *op)
{
    struct ga *st = ga(op);
    int mode = ga_mode(op);

    st->at = ga_next(op, 0, "c");
    if (st->at < 0)
        return ending(op);
    st->line = ga_line(op, st->at);
    if (mode == GA_TOKEN)
        return token_one(op);
    return mode == GA_USER || mode == GA_USER_MANUAL ? ga_user_one(op) : ga_link_one(op);
}

static int is_user(int mode)
{
    return mode == GA_USER || mode == GA_USER_MANUAL;
}

void ga_tell_invitation(grantd_op *op, uint32_t outcome)
{
    struct ga *st = ga(op);
    const char *kind = is_user(ga_mode(op)) ? "user_invitation" : "manager_invitation";

    grantd_surface(op, .kind = kind, .id = st->line.cid, .asset = st->line.cid, .outcome = outcome);
    st->invited = outcome == GRANTD_SURFACE_OPEN;
}

void ga_tell_refused(grantd_op *op, const grantd_doc *a)
{
    if (grantd_status(op, a) / 100 == 4)
        ga_tell_invitation(op, GRANTD_SURFACE_GONE);
}

/* The review that a line waits for ("v990022"); NULL: none. */
static const char *review_of(const char *ref)
{
    return *ref == 'v' && ref[1] ? ref + 1 : NULL;
}

static void tell_review(grantd_op *op, const char *id, uint32_t outcome)
{
    const char *cid = ga(op)->line.cid;

    grantd_surface(op, .kind = "review", .id = grantd_strf(op, "%s~%s", cid, id), .asset = cid,
                   .outcome = outcome);
}

/* An invitation is out, as far as the line knows: a link's number, or what a user waits for. */
static int is_out(int mode, const char *ref)
{
    return is_user(mode) ? *ref && strchr("iIvV", *ref) && ref[1] : ga_digits(ref);
}

/* What is out must be closed when the item ends without a grant; what has become of it is told, too. What
 * nobody accepted in time stays out until then: another item may wait for the same, and only the host knows.
 */
static void tell_waiting(grantd_op *op, char state, const char *ref)
{
    struct ga *st = ga(op);
    int mode = ga_mode(op), out = st->invited || is_out(mode, st->line.ref);
    const char *was = is_user(mode) ? review_of(st->line.ref) : NULL;
    const char *now = is_user(mode) && state == GA_WAITS ? review_of(ref) : NULL;

    if (!strcmp(ref, TOO_LATE))
        return;
    if (state == GA_WAITS && is_out(mode, ref))
        ga_tell_invitation(op, GRANTD_SURFACE_OPEN);
    else if (out && state != GA_WAITS)
        ga_tell_invitation(op, GRANTD_SURFACE_GONE);
    if (was && !(now && !strcmp(was, now)))
        tell_review(op, was, GRANTD_SURFACE_GONE);
    if (now)
        tell_review(op, now, GRANTD_SURFACE_OPEN);
    st->invited = 0;
}

static grantd_next *set(grantd_op *op, char state, const char *ref)
{
    struct ga *st = ga(op);
    int waits = state == GA_WAITS && st->line.since;

    tell_waiting(op, state, ref);
    st->line.since = waits ? st->line.since : grantd_now(op);
    st->line.state = state;
    st->line.ref = ref;
    if (st->name && *st->name)
        st->line.name = st->name;
    ga_put(op, st->at, &st->line);
    return grantd_continue(op, each);
}

grantd_next *ga_line_done(grantd_op *op, const char *ref)
{
    return set(op, GA_DONE, ref);
}

grantd_next *ga_line_waits(grantd_op *op, const char *ref)
{
    const char *days = grantd_option(op, "wait_days");
    int64_t max = days ? ga_number(days) * DAY : 0;

    if (max && ga(op)->line.since && grantd_now(op) - ga(op)->line.since > max)
        return set(op, GA_BAD, TOO_LATE);
    return set(op, GA_WAITS, ref);
}

grantd_next *ga_line_bad(grantd_op *op, const char *why)
{
    return set(op, GA_BAD, why);
}

/* A word that may stand for a problem. */
static int is_problem(const char *s)
{
    return *s && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(s) && strlen(s) <= 63;
}

grantd_next *ga_line_refused(grantd_op *op, const grantd_doc *a)
{
    struct ga_error e;

    ga_error(op, a, &e);
    if (!e.about_account)
        return ga_fail_as(op, a, &e);
    return ga_line_bad(op, is_problem(e.value) ? e.value : "REFUSED_BY_GOOGLE");
}

/* ---- the end ---- */

static const char *problem_text(const char *word)
{
    static const struct {
        const char *word, *text;
    } own[] = {
        { "ACCOUNT_NOT_REACHED",
          "the person who consented does not reach this account: a user of the account has "
          "to consent" },
        { TOO_LATE, "nobody accepted in time: ask again" },
        { "INVITATION_DECLINED", "the invitation was declined: ask again if that was a mistake" },
        { "INVITATION_EXPIRED", "the invitation ran out after 20 days: ask again" },
        { "INVITATION_GONE", "the invitation is gone and nobody has access by it: ask again" },
        { "REVIEW_NOT_APPROVED", "the second administrator did not approve, or not in time: ask again" },
    };
    const char *text = ga_sentence(word);

    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(own[i].word, word))
            text = own[i].text;
    return text ? text : "Google Ads refused this account";
}

static int keeps_token(const grantd_op *op, int mode)
{
    const char *keep = grantd_option(op, "keep_client_token");

    return has_client(op) && (mode != GA_LINK || (keep && !strcmp(keep, "true")));
}

/* A user's is that of the line: "u31337:STANDARD". */
static const char *role_given(const grantd_op *op, int mode, const struct ga_line *l)
{
    const char *held = strchr(l->ref, ':');

    if (!is_user(mode))
        return grantd_arg(op, GRANTD_ARG_ROLE);
    return held ? held + 1 : NULL;
}

static void tell_surface(grantd_op *op, int mode, const struct ga_line *l)
{
    const char *user = *l->ref == 'u' ? l->ref + 1 : "";

    if (mode == GA_TOKEN)
        return;
    if (is_user(mode))
        grantd_surface(op, .kind = "member", .outcome = GRANTD_SURFACE_OPEN, .asset = l->cid,
                       .id = grantd_strf(op, "%s~%.*s", l->cid, (int)strcspn(user, ":"), user));
    else if (!strcmp(l->ref, "hierarchy"))
        grantd_surface(op, .kind = "hierarchy", .outcome = GRANTD_SURFACE_OPEN, .asset = l->cid,
                       .id = l->cid);
    else
        grantd_surface(op, .kind = "partner", .outcome = GRANTD_SURFACE_OPEN, .asset = l->cid,
                       .id = grantd_strf(op, "%s~%s", l->cid, l->ref));
}

static void tell_asset(grantd_op *op, const struct ga_line *l)
{
    int mode = ga_mode(op);
    uint32_t native = mode == GA_TOKEN ? 0 : GRANTD_LAYER_NATIVE;

    if (l->state == GA_BAD) {
        grantd_asset(op, .kind = "ad_account", .id = l->cid, .name = *l->name ? l->name : NULL,
                     .problem = l->ref, .text = problem_text(l->ref));
        return;
    }
    grantd_asset(op, .kind = "ad_account", .id = l->cid, .name = *l->name ? l->name : NULL,
                 .role = role_given(op, mode, l),
                 .parent = native && !is_user(mode) ? grantd_arg(op, GRANTD_ARG_HUB_ID) : NULL,
                 .layers = native | (keeps_token(op, mode) ? GRANTD_LAYER_TOKEN : 0));
    tell_surface(op, mode, l);
}

static void tell_step(grantd_op *op, const struct ga_line *l)
{
    int mode = ga_mode(op);
    const char *which = *l->name ? grantd_strf(op, "%s (%s)", l->name, l->cid) : l->cid;

    if (!is_user(mode))
        grantd_step(op, .title = "Accept the invitation in Google Ads",
                    .text =
                        grantd_strf(op,
                                    "An administrator of the account %s opens Admin > Access and security > "
                                    "Managers in Google Ads and accepts the request of the manager account "
                                    "%s. This page notices by itself.",
                                    which, grantd_arg(op, GRANTD_ARG_HUB_ID)),
                    .copy = grantd_arg(op, GRANTD_ARG_HUB_ID));
    else if (mode == GA_USER_MANUAL)
        grantd_step(op, .title = "Add the agency as a user in Google Ads",
                    .text =
                        grantd_strf(op,
                                    "An administrator of the account %s opens Admin > Access and security in "
                                    "Google Ads and invites this address with the access level %s. This page "
                                    "notices by itself.",
                                    which, grantd_arg(op, GRANTD_ARG_ROLE)),
                    .copy = ga_address(op));
    else if (*l->ref == 'v' || *l->ref == 'V')
        grantd_step(
            op, .title = "A second administrator approves",
            .text = grantd_strf(op,
                                "Google Ads wants another administrator of the account %s to approve the "
                                "new user within 20 days. Google sends no mail: the administrator finds it "
                                "in Google Ads under Admin > Access and security.",
                                which));
    else
        grantd_step(op, .title = "Wait for the agency",
                    .text =
                        grantd_strf(op,
                                    "%s was invited to the account %s and has to open the link in Google's "
                                    "e-mail within 20 days. There is nothing for you to do.",
                                    ga_address(op), which));
}

/* Soon while somebody sits in front of the page, then seldom. */
static int64_t next_look(grantd_op *op)
{
    int64_t now = grantd_now(op), youngest = 0;

    for (int64_t i = ga_next(op, 0, "w"); i >= 0; i = ga_next(op, i + 1, "w"))
        if (ga_line(op, i).since > youngest)
            youngest = ga_line(op, i).since;
    return now + (now - youngest < 3600 ? 60 : now - youngest < DAY ? 900 : 3600);
}

static grantd_next *waiting(grantd_op *op)
{
    int64_t shown = 0;

    for (int64_t i = ga_next(op, 0, "w"); i >= 0 && shown < STEPS_MAX; i = ga_next(op, i + 1, "w"), shown++) {
        struct ga_line l = ga_line(op, i);

        tell_step(op, &l);
    }
    grantd_note(op, "stage", "waits");
    return grantd_pending(op, next_look(op));
}

/* Asking only: what is there already is granted by the look that follows at once. */
static grantd_next *asked(grantd_op *op)
{
    return ga_next(op, 0, "w") >= 0 ? waiting(op) : grantd_pending(op, grantd_now(op));
}

static grantd_next *ending(grantd_op *op)
{
    int token = 0;

    if (grantd_noted(op, "asking"))
        return asked(op);
    for (int64_t i = ga_next(op, 0, "dx"); i >= 0; i = ga_next(op, i + 1, "dx")) {
        struct ga_line l = ga_line(op, i);

        token = token || l.state == GA_DONE;
        tell_asset(op, &l);
    }
    if (token && keeps_token(op, ga_mode(op)))
        grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_OPEN);
    return ga_next(op, 0, "w") >= 0 ? waiting(op) : grantd_finish(op);
}

/* ---- where it stands ---- */

static grantd_next *again(grantd_op *op)
{
    ga_all(op, "w", GA_CHOSEN, NULL);
    return go(op, "each", each);
}

/* The agency's own consent: is this person's manager account the hub? */
static grantd_next *on_own(grantd_op *op)
{
    struct ga *st = ga(op);

    if (!st->found)
        return ga_lied(op, "the manager account itself is missing");
    if (!st->manager)
        return grantd_fail(op, GRANTD_E_CONFIG, "the id of the hub is no manager account");
    grantd_asset(op, .kind = "manager_account", .id = grantd_arg(op, GRANTD_ARG_HUB_ID), .name = st->name,
                 .layers = GRANTD_LAYER_TOKEN);
    grantd_surface(op, .kind = "token", .outcome = GRANTD_SURFACE_OPEN);
    return grantd_finish(op);
}

static grantd_next *own(grantd_op *op)
{
    const char *id = grantd_arg(op, GRANTD_ARG_HUB_ID);

    ga_warn_version(op);
    if (!ga_cid(id))
        return grantd_fail(op, GRANTD_E_CONFIG,
                           "the id of the hub is no customer id (ten digits without dashes)");
    return ga_look_account(op, GA_HUB, id, ga_hub_login(op), on_own, NULL);
}

grantd_next *ga_work(grantd_op *op)
{
    const char *stage = grantd_noted(op, "stage");

    if (ga_mode(op) == GA_MODE_HUB)
        return own(op);
    if (!stage)
        return begin(op);
    if (!strcmp(stage, "walk"))
        return walk(op);
    if (!strcmp(stage, "choose"))
        return choose(op);
    return !strcmp(stage, "waits") ? again(op) : each(op);
}
