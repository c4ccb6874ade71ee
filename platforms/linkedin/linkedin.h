/* linkedin.h - what the files of this platform share. Nothing here outlives a run: every pointer is the
 * host's, every function takes the operation and keeps no state beside op->state. */
#ifndef LINKEDIN_H
#define LINKEDIN_H

#include <grantd/platform_help.h>

#include <string.h>

enum { LI_MEMBERS_MAX = 5, LI_ACCOUNTS_MAX = 2000, LI_CHOSEN_MAX = 300, LI_ID_MAX = 64 };

/* One ad account as the person behind a token sees it; texts that are not known are NULL. */
struct li_account {
    const char *id, *role, *name, *status, *parent;
};

/* One request, kept so that it can be sent again. */
struct li_call {
    const char *method, *url, *bearer, *body;
    grantd_doc_fn *next;
};

/* op->state. */
struct li {
    struct li_call call;
    uint32_t sent;           /* requests of this run */
    uint8_t patient, closes; /* grant; revoke: the first refusal of a limit is waited out at once */
    uint8_t revived;         /* a call was sent again, as its token was too young */

    const char *member[LI_MEMBERS_MAX]; /* app-scoped person ids of the agency's members */
    size_t members;

    /* list.c */
    struct li_account *account;
    size_t accounts;
    const char *token, *wanted; /* whose accounts; ids separated by commas, NULL: all */
    const char *page;
    int64_t start;
    grantd_fn *listed;

    /* share.c, look.c, revoke.c */
    const struct li_account *at; /* the account that is being shared */
    size_t m;                    /* and the member it is shared with */
    const char *held;            /* the role that was seen, the lowest of several */
    const char *missing;         /* members without a role */
    uint8_t stage, deleted, refused;
    uint8_t sees;          /* the token in hand shows who has a role on this account, and who has none */
    uint8_t refresh_ended; /* revoke: LinkedIn took the end of the refresh token */
    int64_t surface;
};

static inline struct li *li(const grantd_op *op)
{
    return op->state;
}

/* ---- linkedin.c: what is configured and asked -------------------------------------------------------------
 */
int li_mode_is(const grantd_op *op, const char *mode);
/* Fills op->state's members; NULL or the failure to return. */
grantd_next *li_members(grantd_op *op);
/* The hub's person id as it is configured, NULL: not known yet. */
const char *li_hub_id(const grantd_op *op);
/* The fixed scopes of this app, separated by spaces. */
const char *li_scopes(const grantd_op *op);
int li_is_role(const char *role);
/* One that LinkedIn may have added since is a role all the same. */
int li_is_word(const char *role);
/* How much a role may do; 0: not a role that is known. */
int li_rank(const char *role);
/* NULL, or the failure to return when the version cannot be one; warns before it retires. */
grantd_next *li_version(grantd_op *op);

/* ---- text.c: ids, lists, numbers --------------------------------------------------------------------------
 */
int li_digits(const char *s);
int li_person(const char *s);
/* The id behind "urn:li:sponsoredAccount:" or "urn:li:person:", the text itself without the prefix. */
const char *li_bare(const char *text, const char *prefix);
/* Ad account ids separated by commas, blanks or line breaks become "1,2,3"; NULL when one is none. */
const char *li_id_list(grantd_op *op, const char *text, size_t max);
int li_listed(const char *list, const char *id);
const char *li_with(grantd_op *op, const char *list, const char *id);
/* The i-th of a list, NULL past the end. */
const char *li_nth(grantd_op *op, const char *list, size_t i);
/* Words separated by blanks and commas: is the word there; do both hold the same words. */
int li_has_word(const char *words, const char *word);
int li_same_words(const char *a, const char *b);
int64_t li_month(const char *version); /* months since year 0; -1: no YYYYMM */

/* ---- call.c: one request to LinkedIn, and what a refusal means --------------------------------------------
 */
grantd_next *li_send(grantd_op *op, const struct li_call *call);
grantd_next *li_get(grantd_op *op, const char *url, const char *bearer, grantd_doc_fn *next);
/* Address of the role of one person on one ad account. */
const char *li_key_url(grantd_op *op, const char *account, const char *person);
/* The class of a refusal by the platform's table: GRANTD_E_... */
int li_class(grantd_op *op, const grantd_doc *answer);
grantd_next *li_fail(grantd_op *op, const grantd_doc *answer, const char *what);
const char *li_word(grantd_op *op, const grantd_doc *answer);
/* Before a failure: not before the time that LinkedIn names, else not before the next midnight of UTC. */
void li_park(grantd_op *op, const grantd_doc *answer);

/* ---- token.c: consent, tokens, their life -----------------------------------------------------------------
 */
/* Takes what came back with the browser, then goes on in li_who. */
grantd_next *li_exchange(grantd_op *op);
grantd_next *li_refresh(grantd_op *op);
grantd_next *li_introspect(grantd_op *op, const char *token, grantd_doc_fn *next);
grantd_next *li_fail_oauth(grantd_op *op, const grantd_doc *answer);
/* The same of introspection, which only the app can be refused. */
grantd_next *li_fail_introspect(grantd_op *op, const grantd_doc *answer);
/* Asks whose token it is; next finds op->call's answer. */
grantd_next *li_ask_who(grantd_op *op, const char *token, grantd_doc_fn *next);
/* The person of such an answer, NULL when it names none. */
const char *li_who_of(grantd_op *op, const grantd_doc *answer);
/* Commas or blanks, in any mixture, become single blanks; NULL when nothing is left. */
const char *li_scope_of(grantd_op *op, const char *scope);
void li_check_scope(grantd_op *op, const char *granted);

/* ---- list.c: every ad account that a person has a role on -------------------------------------------------
 */
grantd_next *li_list(grantd_op *op, const char *token, const char *wanted, grantd_fn *then);
const struct li_account *li_find(const struct li *st, const char *id);

/* ---- share.c, look.c, revoke.c: the platform's functions --------------------------------------------------
 */
grantd_next *li_grant(grantd_op *op);
/* Steps by which a person of the client adds the agency's members. */
void li_manual_steps(grantd_op *op, const char *accounts);
grantd_next *li_verify(grantd_op *op);
grantd_next *li_scan(grantd_op *op);
grantd_next *li_revoke(grantd_op *op);
/* 404 says that a role is not there, or that this token may not look (facts: 1.1). It is the first when the
 * token is of that person itself, or of one who manages the account's people: then next, else other. */
struct li_proof {
    const char *account, *person, *self, *token;
    grantd_doc_fn *next; /* finds the record of self, when that must be asked for */
};
/* NULL: it is proved already. */
grantd_next *li_prove(grantd_op *op, const struct li_proof *p, grantd_fn *other);
int li_manages(grantd_op *op, const grantd_doc *answer, const char *account, const char *self);
const char *li_hub_self(const grantd_op *op);
/* The record of a role: checked to be about this account and person; its role, NULL when it lies. */
const char *li_record_role(grantd_op *op, const grantd_doc *answer, const char *account, const char *person);

#endif
