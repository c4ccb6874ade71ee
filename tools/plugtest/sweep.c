/* sweep.c - every tape again, with one thing gone wrong at every place where something can: each answer
 * spoilt in every way, each allocation failed, each turn cancelled, each turn the last before a deadline, and
 * all tapes at once. What must hold: it ends exactly once; it never succeeds on an answer that does not say
 * so; the class fits; no secret is seen in a log line or a sentence. */
#include "plugtest.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define ALLOCS_MAX 20000

static const char *text_of(const json_t *out, const char *key)
{
    return gd_json_text(out, key, "");
}

static bool class_is(const json_t *out, const char *words)
{
    const char *class = text_of(out, "class"), *at = *class ? strstr(words, class) : NULL;

    return at && (at == words || at[-1] == ' ') && (at[strlen(class)] == ' ' || !at[strlen(class)]);
}

/* ---- faults
 * ------------------------------------------------------------------------------------------------ */

/* What people and other programs see of it: everything but tokens and what is sealed with them, and the
 * tape's own sentence about a request that it does not know. */
static char *shown(const struct pt_run *r)
{
    GD_AUTO_JSON j = json_copy(r->out);

    if (gd_tape_problem(r->reel))
        (void)json_object_del(j, "text");
    (void)json_object_del(j, "result");
    (void)json_object_del(j, "kept");
    return j ? gd_json_dump(j) : gd_strdup("");
}

static void check_secrets(struct pt *pt, const struct pt_run *r, const char *what)
{
    GD_AUTO_FREE char *log = pt_run_log(r);
    GD_AUTO_FREE char *out = shown(r);
    GD_AUTO_JSON secrets = pt_secrets(pt, r->tape);
    json_t *s;
    size_t i;

    json_array_foreach(secrets, i, s)
    {
        if (strstr(log, json_string_value(s)))
            pt_bad(pt, "%s: %s: a secret (\"%.3s...\") was written to the log", r->tape->name, what,
                   json_string_value(s));
        if (strstr(out, json_string_value(s)))
            pt_bad(pt, "%s: %s: a secret (\"%.3s...\") is shown, or noted where it is not sealed",
                   r->tape->name, what, json_string_value(s));
    }
}

static size_t closed_surfaces(const json_t *out)
{
    json_t *s;
    size_t i, n = 0;

    json_array_foreach(json_object_get(out, "surfaces"), i, s) n +=
        !strcmp(text_of(s, "outcome"), "closed") || !strcmp(text_of(s, "outcome"), "gone");
    return n;
}

static bool has_tokens(const json_t *out)
{
    return gd_json_text(json_object_get(out, "result"), "access_token", NULL) != NULL;
}

static bool same_member(const json_t *a, const json_t *b, const char *key)
{
    return json_equal(json_object_get(a, key), json_object_get(b, key)) ||
           (!json_object_get(a, key) && !json_object_get(b, key));
}

/* It said done (or pending) although this answer was spoilt: may that be? */
static const char *wrong_success(const struct pt_run *r, const struct pt_fault *f)
{
    const json_t *good = r->tape->golden;

    if (!strcmp(text_of(good, "end"), "failed") && (f->what == PT_NONSENSE || f->what == PT_ODD))
        return NULL; /* what spoils a bad answer may make it good */
    switch (r->tape->kind) {
    case GD_OP_GRANT:
    case GD_OP_REFRESH:
        /* an answer that only adds a name may be missing; tokens never come from nowhere */
        if (f->what != PT_ODD && has_tokens(r->out) &&
            !same_member(json_object_get(r->out, "result"), json_object_get(good, "result"), "access_token"))
            return "it took a token from a spoilt answer";
        if (has_tokens(good) && !has_tokens(r->out))
            return "it succeeded without the tokens";
        return NULL;
    case GD_OP_VERIFY:
        if (f->what == PT_REFUSAL || f->what == PT_LIMITED || f->what == PT_TRANSIENT ||
            f->what == PT_NONSENSE)
            return json_equal(json_object_get(r->out, "observed"), json_object_get(good, "observed")) &&
                           !strcmp(text_of(json_object_get(r->out, "observed"), "alive"), "yes") &&
                           r->tape->played == 1
                       ? "it says alive although the only answer was spoilt"
                       : NULL;
        return NULL;
    case GD_OP_REVOKE:
        if ((f->what == PT_LIMITED || f->what == PT_TRANSIENT) && closed_surfaces(good) &&
            closed_surfaces(r->out) >= closed_surfaces(good))
            return "it says closed although the platform could not do it now";
        return NULL;
    default:
        return NULL;
    }
}

static const char *wrong_failure(const struct pt_run *r, const struct pt_fault *f)
{
    if (class_is(r->out, "plugin nomem cancelled deadline"))
        return "the platform's answer made this our fault";
    switch (f->what) {
    case PT_NO_ANSWER:
        return class_is(r->out, r->repeatable ? "transient protocol" : "uncertain") ? NULL
                                                                                    : "no answer came back";
    case PT_NOT_SENT:
        return class_is(r->out, "transient") ? NULL : "nothing was sent";
    case PT_LIMITED:
        return class_is(r->out, "limited transient") ? NULL : "the platform only asked to wait";
    case PT_TRANSIENT:
        return class_is(r->out, "transient limited uncertain") ? NULL : "the platform only failed for now";
    case PT_ODD:
        return NULL;
    case PT_NONSENSE:
        return class_is(r->out, "reauth declined absent") ? "an unreadable answer is no word of the client"
                                                          : NULL;
    default:
        return NULL;
    }
}

static void judge_fault(struct pt *pt, const struct pt_run *r, const struct pt_fault *f, const char *what)
{
    const char *why = NULL;
    bool later = gd_tape_problem(r->reel) != NULL; /* it went on to a request that the tape does not know */

    if (r->ends != 1)
        why = "it did not end exactly once";
    else if (!strcmp(text_of(r->out, "end"), "failed"))
        why = later ? NULL : wrong_failure(r, f);
    else
        why = wrong_success(r, f);
    if (!why && !strcmp(f->name, "429 with Retry-After") && class_is(r->out, "limited") &&
        !json_object_get(r->out, "retry_at"))
        why = "Retry-After was not heard";
    if (why) {
        pt_bad(pt, "%s: %s: %s (%s %s: %s)", r->tape->name, what, why, text_of(r->out, "end"),
               text_of(r->out, "class"), text_of(r->out, "text"));
        pt_run_print(r);
    }
    check_secrets(pt, r, what);
}

static void sweep_faults(struct pt *pt, struct pt_tape *t)
{
    for (size_t frame = 0; frame < t->played; frame++) {
        struct pt_fault f;

        for (size_t i = 0; pt_fault(i, json_array_get(t->frames, frame), &f); i++) {
            struct pt_plan plan = { .fault_frame = (long)frame, .fault = f.answer };
            struct pt_run r;
            char what[120];

            (void)snprintf(what, sizeof what, "answer %zu spoilt (%s)", frame, f.name);
            pt_now(t, what);
            pt_run_init(&r, pt, t, &plan);
            pt_run_all(&r);
            judge_fault(pt, &r, &f, what);
            pt_run_done(&r);
            json_decref(f.answer);
        }
    }
}

/* ---- allocations
 * ------------------------------------------------------------------------------------------- */

static void sweep_allocations(struct pt *pt, struct pt_tape *t)
{
    for (unsigned n = 1; n < ALLOCS_MAX; n++) {
        struct pt_plan plan = { .fault_frame = -1, .fail_alloc_at = n };
        struct pt_run r;
        bool over;
        char what[60];

        (void)snprintf(what, sizeof what, "allocation %u failed", n);
        pt_now(t, what);
        pt_run_init(&r, pt, t, &plan);
        pt_run_all(&r);
        over = r.out && !class_is(r.out, "nomem");
        if (r.ends != 1 || (over && !json_equal(r.out, t->golden))) {
            pt_bad(pt, "%s: allocation %u failed: %s %s: %s", t->name, n, text_of(r.out, "end"),
                   text_of(r.out, "class"), text_of(r.out, "text"));
            pt_run_print(&r);
        }
        over = over || r.ends != 1;
        pt_run_done(&r);
        if (over) {
            t->allocs = n - 1;
            return;
        }
    }
    pt_bad(pt, "%s: more than %d allocations", t->name, ALLOCS_MAX);
}

/* ---- cancel and deadline
 * ----------------------------------------------------------------------------------- */

/* Gone at once and silent, or detached and heard exactly once. */
static void cancel_at(struct pt *pt, struct pt_tape *t, unsigned turns)
{
    struct pt_plan plan = { .fault_frame = -1 };
    struct gd_op *op;
    struct pt_run r;
    bool comes;
    char what[60];

    (void)snprintf(what, sizeof what, "cancelled after %u turns", turns);
    pt_now(t, what);
    pt_run_init(&r, pt, t, &plan);
    for (unsigned i = 0; i < turns && r.op; i++)
        (void)pt_run_turn(&r);
    op = r.op;
    if (op) {
        comes = gd_op_cancel(&op);
        r.op = comes ? r.op : NULL;
        pt_run_all(&r);
        if (r.ends != (comes ? 1 : 0) || (comes && !r.detached))
            pt_bad(pt, "%s: cancelled after %u turns: it ended %u times", t->name, turns, r.ends);
    }
    pt_run_done(&r);
}

static void deadline_at(struct pt *pt, struct pt_tape *t, unsigned turns, int64_t ms)
{
    struct pt_plan plan = { .fault_frame = -1 };
    struct pt_run r;
    char what[60];

    (void)snprintf(what, sizeof what, "%lld ms after turn %u", (long long)ms, turns);
    pt_now(t, what);
    pt_run_init(&r, pt, t, &plan);
    for (unsigned i = 0; i < turns && r.op; i++)
        (void)pt_run_turn(&r);
    gd_clock_virtual_advance(&r.clock, ms);
    while (r.op && gd_op_tick(r.op))
        continue; /* the time that has come is heard before any answer */
    pt_run_all(&r);
    if (r.ends != 1)
        pt_bad(pt, "%s: %lld ms after turn %u: it ended %u times", t->name, (long long)ms, turns, r.ends);
    else if (!strcmp(text_of(r.out, "end"), "failed") && !json_equal(r.out, t->golden) &&
             !class_is(r.out, "deadline uncertain") &&
             strcmp(text_of(r.out, "class"), text_of(t->golden, "class")))
        pt_bad(pt, "%s: %lld ms after turn %u: %s (%s)", t->name, (long long)ms, turns,
               text_of(r.out, "class"), text_of(r.out, "text"));
    pt_run_done(&r);
}

static void sweep_turns(struct pt *pt, struct pt_tape *t)
{
    for (unsigned turns = 0; turns <= t->ticks; turns++) {
        cancel_at(pt, t, turns);
        deadline_at(pt, t, turns, 60001);
        deadline_at(pt, t, turns, 120001);
    }
}

/* ---- all at once
 * ------------------------------------------------------------------------------------------- */

/* A platform keeps no state of its own: turn about, each tape must still come out as it did alone. */
static void interleave(struct pt *pt)
{
    struct pt_run *runs = gd_new_array(pt->ntapes, sizeof *runs);
    struct pt_plan plan = { .fault_frame = -1 };
    bool moved = true;

    for (size_t i = 0; i < pt->ntapes; i++)
        pt_run_init(&runs[i], pt, &pt->tapes[i], &plan);
    while (moved) {
        moved = false;
        for (size_t i = 0; i < pt->ntapes; i++)
            moved = pt_run_turn(&runs[i]) || moved;
    }
    for (size_t i = 0; i < pt->ntapes; i++) {
        if (!json_equal(runs[i].out, pt->tapes[i].golden))
            pt_bad(pt, "%s: it comes out differently when other operations run in between: hidden state",
                   pt->tapes[i].name);
        pt_run_done(&runs[i]);
    }
    gd_free(runs);
}

static void sweep_nothing(struct pt *pt, struct pt_tape *t)
{
    struct pt_plan plan = { .fault_frame = -1 };
    struct pt_run r;

    pt_run_init(&r, pt, t, &plan);
    pt_run_all(&r);
    check_secrets(pt, &r, "nothing spoilt");
    pt_run_done(&r);
}

void pt_sweep(struct pt *pt)
{
    for (size_t i = 0; i < pt->ntapes; i++) {
        sweep_nothing(pt, &pt->tapes[i]);
        sweep_faults(pt, &pt->tapes[i]);
        sweep_allocations(pt, &pt->tapes[i]);
        sweep_turns(pt, &pt->tapes[i]);
    }
    interleave(pt);
}
