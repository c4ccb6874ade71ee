/* target.c - the assets of one item, worked off one a run, so that hundreds of them are no special case and a
 * crash goes on with the one that was in work. Notes: "t0", "t1", ... hold ids, "marks" one letter for each,
 * "at" the one in work. */
#include "meta.h"

enum { PER_NOTE = 150 };

/* ---- which
 * ------------------------------------------------------------------------------------------------- */
int me_targets(const grantd_op *op)
{
    const char *marks = grantd_noted(op, "marks");

    return marks ? (int)strlen(marks) : 0;
}

static const char *chunk(grantd_op *op, int i)
{
    return grantd_noted(op, grantd_strf(op, "t%d", i / PER_NOTE));
}

const char *me_target(grantd_op *op, int i)
{
    const char *at = chunk(op, i);

    for (int k = i % PER_NOTE; at && k > 0; k--) {
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return at ? grantd_strf(op, "%.*s", (int)strcspn(at, ","), at) : "";
}

static int known(grantd_op *op, const char *id)
{
    int n = me_targets(op);
    size_t len = strlen(id);

    for (int i = 0; i < n; i += PER_NOTE)
        for (const char *at = chunk(op, i); at && *at; at += strcspn(at, ","), at += *at == ',')
            if (!strncmp(at, id, len) && (at[len] == ',' || !at[len]))
                return 1;
    return 0;
}

static void add(grantd_op *op, const char *id)
{
    const char *marks = grantd_noted(op, "marks"), *have = chunk(op, me_targets(op));
    const char *name = grantd_strf(op, "t%d", me_targets(op) / PER_NOTE);

    grantd_note(op, name, grantd_strf(op, "%s%s%s", have ? have : "", have ? "," : "", id));
    grantd_note(op, "marks", grantd_strf(op, "%s%c", marks ? marks : "", ME_NEW));
}

int me_targets_add(grantd_op *op, const char *text)
{
    static const char sep[] = ", \t\r\n;";
    const struct me_kind *k = me_item_kind(op);
    int odd = 0;

    while (text && *(text += strspn(text, sep))) {
        size_t n = strcspn(text, sep);
        const char *id = me_id(op, k, text, n);

        if (!id)
            odd++;
        else if (!known(op, id) && me_targets(op) >= ME_TARGETS_MAX)
            return -1;
        else if (!known(op, id))
            add(op, id);
        text += n;
    }
    return odd;
}

/* ---- how far
 * ----------------------------------------------------------------------------------------------- */
int me_mark_of(const grantd_op *op, int i)
{
    const char *marks = grantd_noted(op, "marks");

    return marks && i >= 0 && i < me_targets(op) ? marks[i] : ME_PROBLEM;
}

/* A note of one letter for each target. */
static void set_letter(grantd_op *op, const char *note, char letter)
{
    const char *old = grantd_noted(op, note);
    size_t n = (size_t)me_targets(op);
    char *copy = grantd_alloc(op, n + 1);

    if (!copy || me(op)->at < 0 || (size_t)me(op)->at >= n)
        return;
    for (size_t i = 0; i < n; i++)
        copy[i] = old && i < strlen(old) ? old[i] : ME_NEW;
    copy[me(op)->at] = letter;
    grantd_note(op, note, copy);
}

void me_remark(grantd_op *op, int mark)
{
    set_letter(op, "marks", (char)mark);
}

/* ---- what is out
 * ----------------------------------------------------------------------------------------------- */
enum { OUT = 's' };

static void tell(grantd_op *op, uint32_t outcome)
{
    grantd_surface(op, .kind = "request", .id = grantd_arg(op, GRANTD_ARG_HUB_ID), .asset = me(op)->id,
                   .outcome = outcome);
    set_letter(op, "sent", outcome == GRANTD_SURFACE_OPEN ? OUT : ME_NEW);
}

void me_tell_sent(grantd_op *op)
{
    tell(op, GRANTD_SURFACE_OPEN);
}

void me_tell_settled(grantd_op *op)
{
    const char *sent = grantd_noted(op, "sent");
    int at = me(op)->at;

    if (sent && at >= 0 && (size_t)at < strlen(sent) && sent[at] == OUT)
        tell(op, GRANTD_SURFACE_GONE);
}

int me_vanished(grantd_op *op)
{
    const char *before = grantd_noted(op, "vanished");
    int at = me(op)->at, again = before && at >= 0 && (size_t)at < strlen(before) && before[at] == OUT;

    set_letter(op, "vanished", OUT);
    return again;
}

void me_found(grantd_op *op)
{
    if (grantd_noted(op, "vanished"))
        set_letter(op, "vanished", ME_NEW);
}

void me_tell_refused(grantd_op *op, const grantd_doc *a)
{
    if (me_bad(op, a) && !me_waits(me_class(op, a)) && me_class(op, a) != GRANTD_E_PROTOCOL)
        me_tell_settled(op);
}

grantd_next *me_mark(grantd_op *op, int mark)
{
    me_remark(op, mark);
    if (mark == ME_ASKED || mark == ME_REVIEW)
        me_tell_sent(op);
    grantd_note(op, "at", grantd_strf(op, "%d", me(op)->at + 1));
    return grantd_continue(op, me_work);
}

/* Asking only asks: what comes of it is reported by grant, which begins at once with what is open. */
static int asking(const grantd_op *op)
{
    return grantd_arg(op, GRANTD_ARG_STATE) != NULL;
}

grantd_next *me_problem(grantd_op *op, int class, const char *word, const char *text)
{
    me_tell_settled(op);
    if (asking(op))
        return me_mark(op, ME_NEW);
    if (class == GRANTD_E_DECLINED && me_targets(op) == 1)
        return grantd_fail(op, class, "%s: %s", me(op)->id, text);
    grantd_asset(op, .kind = me(op)->kind->name, .id = me(op)->id, .name = me(op)->name, .problem = word,
                 .text = text);
    return me_mark(op, ME_PROBLEM);
}

/* ---- the pass
 * ---------------------------------------------------------------------------------------------- */
static int first_open(const grantd_op *op)
{
    const char *at = grantd_noted(op, "at");
    int i = 0, n = me_targets(op);

    for (size_t k = 0; at && k < 6 && at[k] >= '0' && at[k] <= '9'; k++)
        i = i * 10 + (at[k] - '0');
    while (i < n && (me_mark_of(op, i) == ME_DONE || me_mark_of(op, i) == ME_PROBLEM))
        i++;
    return i;
}

static int waiting(const grantd_op *op)
{
    for (int i = 0; i < me_targets(op); i++)
        if (me_mark_of(op, i) != ME_DONE && me_mark_of(op, i) != ME_PROBLEM)
            return 1;
    return 0;
}

static int any(const grantd_op *op, int mark, int other)
{
    for (int i = 0; i < me_targets(op); i++)
        if (me_mark_of(op, i) == mark || me_mark_of(op, i) == other)
            return 1;
    return 0;
}

/* Everybody had a turn. Who waits for a person is looked at again from the first one on. */
static grantd_next *over(grantd_op *op)
{
    grantd_note(op, "at", NULL);
    if (!waiting(op))
        return grantd_finish(op);
    if (asking(op) && any(op, ME_NEW, ME_SHARED))
        return grantd_pending(op, grantd_now(op) + 1);
    me_steps_waiting(op);
    return grantd_pending(op, me_next_look(op));
}

grantd_next *me_work(grantd_op *op)
{
    struct me *m = me(op);
    const char *mode = me_mode(op);

    m->at = first_open(op);
    if (m->at >= me_targets(op))
        return over(op);
    grantd_note(op, "at", grantd_strf(op, "%d", m->at));
    m->id = me_target(op, m->at);
    m->kind = me_item_kind(op);
    if (!strcmp(mode, "delegate"))
        return me_delegate_one(op);
    if (!strcmp(mode, "share") && me_mark_of(op, m->at) == ME_NEW)
        return me_share_one(op);
    return me_native_one(op);
}

/* ---- done
 * -------------------------------------------------------------------------------------------------- */
static int keeps_token(const grantd_op *op)
{
    const char *keep = grantd_option(op, "keep_client_token");

    return grantd_arg(op, GRANTD_ARG_ACCESS_TOKEN) && keep && !strcmp(keep, "true");
}

static void tell_role(grantd_op *op)
{
    const char *asked = me_asked_role(op), *held = me(op)->role;

    if (!held || !strcmp(held, asked))
        return;
    grantd_warn(op, me_role_covers(held, asked) ? "ROLE_HIGHER" : "ROLE_LOWER",
                "%s: %s was asked, %s was granted; the client changes it under Business settings > Partners",
                me(op)->id, asked, held);
}

/* Shared to the agency, seen from its side; its member is assigned when there is one. */
grantd_next *me_granted(grantd_op *op)
{
    struct me *m = me(op);
    const char *member = grantd_option(op, "system_user_id");

    if (asking(op))
        return me_mark(op, ME_SHARED);
    tell_role(op);
    me_tell_settled(op);
    grantd_asset(op, .kind = m->kind->name, .id = m->id, .name = m->name, .parent = m->parent,
                 .role = m->role ? m->role : me_asked_role(op),
                 .layers = GRANTD_LAYER_NATIVE | (keeps_token(op) ? GRANTD_LAYER_TOKEN : 0u));
    grantd_surface(op, .outcome = GRANTD_SURFACE_OPEN, .kind = "partner",
                   .id = grantd_arg(op, GRANTD_ARG_HUB_ID), .asset = m->id);
    if (member && grantd_noted(op, "member"))
        grantd_surface(op, .outcome = GRANTD_SURFACE_OPEN, .kind = "member", .id = member, .asset = m->id);
    grantd_note(op, "member", NULL);
    if (keeps_token(op))
        grantd_surface(op, .outcome = GRANTD_SURFACE_OPEN, .kind = "token", .asset = m->id);
    return me_mark(op, ME_DONE);
}
