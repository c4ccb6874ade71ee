/* meta.h - what the files of this platform share. Nothing here outlives a run: every pointer is the host's,
 * every function takes the operation and keeps no state beside op->state and notes.
 * "facts" in comments is meta_google.md, part A. */
#ifndef META_H
#define META_H

#include <grantd/platform_help.h>

#include <stddef.h>
#include <string.h>

/* ---- words.c: ids, tasks, roles (facts: A1 ids, A3 task vocabularies)
 * ---------------------------------------------------- */

/* Two kinds of asset take the same way over edges of different names. */
struct me_kind {
    const char *name;             /* "ad_account", "page" */
    const char *clients, *fields; /* edge of the agency: what was shared to it, and what is asked of each */
    const char *pending, *pending_fields, *inner;
    const char *own, *id_param; /* edge of the agency for giving one up; its parameter */
    const char *mine, *mine_fields;
    const char *ask, *ask_label;
    const char *scope; /* a granular scope of such assets begins so */
};
enum { ME_ID_MAX = 32 };

/* "act_" and digits: an ad account; digits: a page. */
const struct me_kind *me_kind_of(const char *id);
/* What the item is about, by its parameter "kind". */
const struct me_kind *me_item_kind(const grantd_op *op);
int me_digits(const char *s);
/* The id as paths want it ("123" is "act_123" for an ad account); NULL when it is none of that kind. */
const char *me_id(grantd_op *op, const struct me_kind *k, const char *text, size_t len);
int me_same_id(const char *a, const char *b); /* with or without "act_" */

/* The tasks of a role as the JSON list that goes into a form. */
const char *me_tasks(const grantd_op *op, const struct me_kind *k, const char *role);
/* The best role whose tasks are all in the list at path; NULL when there is none. */
const char *me_role_at(grantd_op *op, const grantd_doc *a, const char *path);
int me_role_covers(const char *held, const char *wanted);
const char *me_asked_role(const grantd_op *op);
const char *me_mode(grantd_op *op);
extern const struct grantd_role me_roles[];

/* ---- call.c: one request, one list
 * ------------------------------------------------------------------------- */
enum { ME_NOBODY, ME_CLIENT, ME_PAGE, ME_HUB, ME_APP }; /* whose token a request shows */

/* A list that is read page by page until something is found in it. */
struct me_find {
    const char *edge, *after;
    const char *const *query;
    const char *id, *inner; /* what is looked for: in "id" of a row, or in that member of it */
    int who, pages;
    grantd_next *(*found)(grantd_op *op, const grantd_doc *a, const char *row);
    grantd_fn *absent;
    grantd_doc_fn *refused; /* NULL: the operation fails as the answer says */
};

/* op->state. */
struct me {
    int who;           /* whose token the last request showed */
    int at_token;      /* it went to the token endpoint */
    int told;          /* warnings that this run gave already */
    const char *token; /* what is looked at or traded in this run; NULL: the argument */
    const char *page_token;
    grantd_fn *then; /* where looking at a token goes on */
    struct me_find find;
    /* the target in work */
    int at;
    const char *id;
    const struct me_kind *kind;
    const char *name, *parent, *role;
    /* what debug_token said */
    struct {
        int valid, held; /* held: not dead, the person has to log in at facebook.com */
        const char *type, *user, *scopes, *why;
        int64_t expires_at, data_ends_at;
    } seen;
    /* the client's accounts, for choosing */
    const char **choices;
    size_t nchoices;
    /* revoke */
    int refused; /* class of what the closing call answered, 0: it was done */
    const char *refusal;
};
static inline struct me *me(const grantd_op *op)
{
    return op->state;
}

const char *me_token(grantd_op *op, int who);
/* path is below the version: "act_1/agencies". Pairs end with NULL; the proof is added. */
grantd_next *me_get(grantd_op *op, int who, const char *path, const char *const *query, grantd_doc_fn *next);
grantd_next *me_post(grantd_op *op, int who, const char *path, const char *const *form, grantd_doc_fn *next);
grantd_next *me_delete(grantd_op *op, int who, const char *path, const char *const *query,
                       grantd_doc_fn *next);
/* The token endpoint: never repeated by itself, and no token is shown. */
grantd_next *me_trade(grantd_op *op, const char *const *query, grantd_doc_fn *next);
grantd_next *me_search(grantd_op *op);
/* Cursor of the next page, NULL after the last; *ret_odd when the answer is no list. */
const char *me_next_page(grantd_op *op, const grantd_doc *a, int *ret_odd);
/* NULL when there is a hub with a token, else the failure. */
grantd_next *me_need_hub(grantd_op *op);
void me_watch_version(grantd_op *op);

/* ---- failure.c: what an answer means (facts: A1 error codes, A4)
 * ------------------------------------------- */
int me_bad(grantd_op *op, const grantd_doc *a);   /* it is an error, or no object at all */
int me_class(grantd_op *op, const grantd_doc *a); /* GRANTD_E_ of a bad answer */
/* What was asked for is not there, or not for this login to see. Of a permission that is missing, or of an
 * app that may not call at all, nothing was said of it. */
int me_unseen(grantd_op *op, const grantd_doc *a);
/* The business-to-business edges are not for this app, or not for this person: a guided step can do it. */
int me_withdrawn(grantd_op *op, const grantd_doc *a);
int me_is(grantd_op *op, const grantd_doc *a, int64_t code, int64_t sub); /* sub 0: any */
const char *me_why(grantd_op *op, const grantd_doc *a);
grantd_next *me_fail(grantd_op *op, const grantd_doc *a);
int me_waits(int class); /* it may go well later */
void me_watch_usage(grantd_op *op, const grantd_doc *a);
void me_watch_served(grantd_op *op, const grantd_doc *a);

/* ---- consent.c: tokens
 * ------------------------------------------------------------------------------------- */
/* Asks what the token is, then goes on in then; a token that is not alive is not a failure here. */
grantd_next *me_look_at(grantd_op *op, const char *token, grantd_fn *then);
int me_alive(grantd_op *op);
grantd_next *me_dialog(grantd_op *op);
grantd_next *me_take_code(grantd_op *op, grantd_fn *then);
/* With the consent had: look at it, trade it for a long one when it is short, then go on. */
grantd_fn me_settle;
grantd_fn me_after_consent; /* where consent goes on: to the work, or to the hub */

/* ---- target.c: the assets of an item, one at a time, with notes
 * -------------------------------------------- */
enum { ME_TARGETS_MAX = 300 };
enum {
    ME_NEW = '.',
    ME_SHARED = 'v', /* shared, not seen from the agency's side yet */
    ME_REVIEW = 'w', /* shared, another admin of the client has to agree */
    ME_ASKED = 'r',  /* asked by the agency, the client has to agree */
    ME_GUIDED = 'g', /* a person has to do it in Meta's pages */
    ME_DONE = 'd',
    ME_PROBLEM = 'x',
};
int me_targets(const grantd_op *op); /* how many, 0: not known yet */
/* Adds ids from a text (commas, blanks, lines); the number of words that are none, or -1: too many. */
int me_targets_add(grantd_op *op, const char *text);
const char *me_target(grantd_op *op, int i);
int me_mark_of(const grantd_op *op, int i);
grantd_next *me_mark(grantd_op *op, int mark); /* and on to the next target */
void me_remark(grantd_op *op, int mark);
/* The surface "request": something was sent for the target in work that somebody has to agree to (or that was
 * not seen to have arrived yet). Told open before it is sent, gone when it is settled. */
void me_tell_sent(grantd_op *op);
void me_tell_settled(grantd_op *op);
/* The same after an answer: what was refused for good is not out. */
void me_tell_refused(grantd_op *op, const grantd_doc *a);
/* This one was not granted; the only one of an item fails with that class. */
grantd_next *me_problem(grantd_op *op, int class, const char *word, const char *text);
/* The target in work was asked for and is neither pending nor there: true at the second look that finds it
 * so.
 */
int me_vanished(grantd_op *op);
void me_found(grantd_op *op); /* it is pending, after all */
grantd_next *me_granted(grantd_op *op);
grantd_fn me_work;

/* ---- what one target needs; choose.c, share.c, native.c
 * ------------------------------------------------------------ */
grantd_fn me_choose, me_ask_which, me_share_one, me_delegate_one, me_native_one;
void me_steps_waiting(grantd_op *op);
int64_t me_next_look(grantd_op *op);
void me_use_list(grantd_op *op, const char *edge, int who, const char *const *query, const char *id);

/* ---- what the table names
 * ---------------------------------------------------------------------------------- */
grantd_fn me_refresh, me_verify, me_revoke, me_scan, me_notice;
grantd_fn me_hub_verify, me_hub_revoke;

#endif
