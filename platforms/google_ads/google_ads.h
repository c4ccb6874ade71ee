/* google_ads.h - what the files of this platform share. Nothing here outlives a run: every pointer is the
 * host's, every function takes the operation and keeps no state beside op->state and notes. "facts" are
 * meta_google.md, part B with its corrections (0.1). */
#ifndef GOOGLE_ADS_H
#define GOOGLE_ADS_H

#include <grantd/platform_help.h>

#include <stddef.h>
#include <string.h>

/* Whose token a request shows: the agency's own (the hub) or that of the client who consented. */
enum { GA_HUB = 1, GA_CLIENT };

/* How access is given; names in .modes. */
enum { GA_LINK, GA_LINK_MANUAL, GA_USER, GA_USER_MANUAL, GA_TOKEN, GA_MODE_HUB };

/* One account of the item, kept in notes from run to run. */
enum {
    GA_ROOT = 'r',    /* reached directly by the person who consented, not looked at yet */
    GA_WANTED = 'h',  /* hinted by the agency, not found among the person's accounts yet */
    GA_OFFERED = 'o', /* may be chosen */
    GA_CHOSEN = 'c',  /* to be worked on */
    GA_DONE = 'd',
    GA_WAITS = 'w', /* for a person */
    GA_BAD = 'x',   /* problem: ref is its word */
    GA_IGNORED = 'i',
};
struct ga_line {
    char state;
    int64_t since;   /* when it began to wait */
    const char *cid; /* the account's customer id, ten digits */
    const char *via; /* login-customer-id for the client's token; "" none */
    const char *ref; /* link id, user, invitation, review, or the word of a problem; "" none */
    const char *name;
};

/* A GAQL query: all its pages, row by row, then on. */
struct ga_query {
    int who;           /* GA_HUB, GA_CLIENT */
    const char *cid;   /* asked of this account */
    const char *login; /* login-customer-id; NULL: not sent */
    const char *gaql;
    void (*row)(grantd_op *op, const grantd_doc *page, const char *at); /* at: "results.3" */
    grantd_fn *then;
    grantd_doc_fn *refused; /* NULL: ga_fail */
};

/* What an answer that is no success says (facts: error table). */
struct ga_error {
    int fails;          /* GRANTD_E_... */
    int about_account;  /* only this account is concerned, others may go on */
    const char *family; /* key of errorCode; "" none */
    const char *value;  /* its value, or the word of an OAuth error; "" none */
    const char *text;   /* what to do, NULL: nothing written */
};

/* op->state. */
struct ga {
    int who;               /* of the request in flight */
    int again;             /* looked a second time already */
    struct ga_query query; /* in progress */
    const char *page;      /* its page token */
    const char *bad;       /* an answer lied: how */
    struct ga_list *list;  /* lines.c: the accounts as the notes have them; NULL: not read yet */
    int64_t at;            /* index of the account being worked on */
    struct ga_line line;   /* and the account */
    /* link.c: the best link found */
    const char *status, *link, *resource;
    int64_t link_no;
    int found; /* link.c, verify.c: the account is seen by that query */
    /* user.c: the user, invitation or review found */
    const char *user, *user_role, *user_review, *other, *other_mail;
    const char *invitation, *invitation_status, *invitation_role, *invited_at;
    int others, review_open;
    /* accounts.c, verify.c: what the last query of an account said */
    const char *name, *account_status;
    int manager;
    int64_t count;
    const char *last; /* ga_look_clients: the id of the last row */
    /* revoke.c: the surface at hand */
    const char *kind, *id; /* id: also the user, invitation or review that is looked for */
    int ways, closed;      /* ways tried; closed: by us, now */
    const char *why;       /* why it could not be closed */
    /* withdraw.c */
    grantd_fn *then;
    grantd_fn *yes, *no; /* user.c: ga_is_hub_seat */
    uint32_t stays;      /* GRANTD_SURFACE_MANUAL or _FAILED: it is still open; 0: it is not */
    int accepted;        /* somebody was quicker: there is access */
    int invited;         /* accounts.c: of the account at hand an invitation was told to be open */
};
static inline struct ga *ga(const grantd_op *op)
{
    return op->state;
}

/* ---- errors.c ---- */
void ga_error(grantd_op *op, const grantd_doc *answer, struct ga_error *ret);
/* Fails as the facts' tables say; for a request with the hub's token the one to act is the agency. */
grantd_next *ga_fail(grantd_op *op, const grantd_doc *answer);
grantd_next *ga_fail_as(grantd_op *op, const grantd_doc *answer, const struct ga_error *e);
/* The sentence for a word of the table; NULL: none. */
const char *ga_sentence(const char *value);
int ga_is(const struct ga_error *e, const char *words); /* one of words, separated by spaces */

/* ---- call.c: the Ads API ---- */
int ga_mode(const grantd_op *op);
int ga_digits(const char *s);                   /* not empty, digits only, at most 19 */
int ga_cid(const char *s);                      /* ten digits */
int ga_mail(const char *s);                     /* an e-mail address that may stand in texts and queries */
int ga_same_text(const char *a, const char *b); /* letters of any case */
int64_t ga_number(const char *digits);
/* The digits behind prefix when text is exactly prefix + digits, else NULL. */
const char *ga_tail(const char *text, const char *prefix);
/* NULL when the hub's id and token are there, else the failure that says what to do. */
grantd_next *ga_need_hub(grantd_op *op);
const char *ga_hub_login(const grantd_op *op);
void ga_warn_version(grantd_op *op);
grantd_next *ga_search(grantd_op *op, const struct ga_query *q);
grantd_next *ga_list_roots(grantd_op *op, grantd_doc_fn *next);
/* what: "customerClientLinks:mutate"; json: JSON text of the body. Never repeatable. */
grantd_next *ga_mutate(grantd_op *op, int who, const char *cid, const char *login, const char *what,
                       const char *json, grantd_doc_fn *next);
grantd_next *ga_lied(grantd_op *op, const char *what);

/* ---- oauth.c ---- */
grantd_next *ga_authorize(grantd_op *op);
grantd_next *ga_refused_callback(grantd_op *op);
grantd_next *ga_exchange(grantd_op *op); /* then ga_who, with the tokens durable */
grantd_next *ga_who(grantd_op *op);      /* whose token it is, then ga_work */
grantd_next *ga_refresh(grantd_op *op);
grantd_next *ga_ask_token(grantd_op *op, const char *token, grantd_doc_fn *next);
grantd_next *ga_end_token(grantd_op *op, const char *token, grantd_doc_fn *next);
int ga_scope_fits(const char *scope);

/* ---- lines.c: the accounts of the item, by index ---- */
int64_t ga_lines(grantd_op *op);
struct ga_line ga_line(grantd_op *op, int64_t i);
void ga_put(grantd_op *op, int64_t i, const struct ga_line *l); /* replaces, or appends at the end */
void ga_add(grantd_op *op, char state, const char *cid, const char *via, const char *name);
int64_t ga_find(grantd_op *op, const char *cid); /* -1: none */
/* First line in one of states from an index on; -1: none. How many there are. Sets the state (and ref, when
 * not NULL) of all in one of states. */
int64_t ga_next(grantd_op *op, int64_t from, const char *states);
int64_t ga_count(grantd_op *op, const char *states);
void ga_all(grantd_op *op, const char *states, char to, const char *ref);
/* The ids of the hint or of what a person wrote, in the form of the API: how many, at most max; -1: one is no
 * customer id. Separators: comma, blank, line break; dashes are dropped. */
int64_t ga_ids(grantd_op *op, const char *text, const char **ids, int64_t max);
#define GA_IDS_MAX 200

/* ---- accounts.c: which accounts, and how far each is ---- */
grantd_next *ga_work(grantd_op *op); /* grant, from wherever it stands */
/* End the work on the account at hand and go on with the next one. */
grantd_next *ga_line_done(grantd_op *op, const char *ref);
grantd_next *ga_line_waits(grantd_op *op, const char *ref);
grantd_next *ga_line_bad(grantd_op *op, const char *word);
/* A refusal that is about this account only is its problem, any other one ends the operation. */
grantd_next *ga_line_refused(grantd_op *op, const grantd_doc *answer);

/* ---- one account of each mode; the account is in ga(op)->line ---- */
grantd_fn ga_link_one, ga_user_one;
/* Of a link's status, NULL when there is none; a word that Google has added since (or UNKNOWN) ends nothing.
 */
int ga_link_over(const char *status);
/* Link from the manager's side: Q1 of the account; sets status, link, resource. */
grantd_next *ga_look_link(grantd_op *op, const char *cid, grantd_fn *then, grantd_doc_fn *refused);
/* Is it the agency's own address, which the hub's token was given for? Then yes(op), else no(op): that
 * another Google user is let in no more says nothing of the address that has the seat. */
grantd_next *ga_is_hub_seat(grantd_op *op, grantd_fn *yes, grantd_fn *no);
/* Who has access to the account: user (by id or address), then on. */
grantd_next *ga_look_user(grantd_op *op, int who, const char *cid, const char *login, grantd_fn *then,
                          grantd_doc_fn *refused);
grantd_next *ga_look_invitation(grantd_op *op, int who, const char *cid, const char *login, grantd_fn *then,
                                grantd_doc_fn *refused);
/* Is the review ga(op)->id open? Sets review_open. */
grantd_next *ga_look_review(grantd_op *op, grantd_fn *then, grantd_doc_fn *refused);
/* Q4: the account itself, as seen through login. */
grantd_next *ga_look_account(grantd_op *op, int who, const char *cid, const char *login, grantd_fn *then,
                             grantd_doc_fn *refused);
/* All accounts below a manager, by id: at most 1,000 behind after (NULL: from the first), q says whom to ask
 * and what to do with a row. Each row function takes its id from ga_client_id; NULL: it is none. */
grantd_next *ga_look_clients(grantd_op *op, struct ga_query *q, const char *after);
const char *ga_client_id(grantd_op *op, const grantd_doc *a, const char *row);
int ga_clients_left(grantd_op *op); /* there may be more behind ga(op)->last */
/* Q3: is the account seen below the hub's manager? */
grantd_next *ga_look_hierarchy(grantd_op *op, const char *cid, grantd_fn *then);
const char *ga_address(const grantd_op *op); /* the agency's address that is invited; NULL: none */

/* The surface of what is sent to the account at hand and has to be accepted: "manager_invitation" or
 * "user_invitation", by the account's id. */
void ga_tell_invitation(grantd_op *op, uint32_t outcome);
/* The same, when Google has refused to send it: nothing is out, unless it answered with a fault of its own.
 */
void ga_tell_refused(grantd_op *op, const grantd_doc *answer);

/* ---- withdraw.c: of the account at hand; sets closed, stays with why, accepted ---- */
grantd_next *ga_withdraw_link(grantd_op *op, grantd_fn *then);
grantd_next *ga_withdraw_user(grantd_op *op, grantd_fn *then);
grantd_next *ga_withdraw_review(grantd_op *op, const char *id, grantd_fn *then);
grantd_next *ga_cancel_link(grantd_op *op, grantd_fn *then); /* ga(op)->link was seen to be open */

/* ---- the functions of the table ---- */
grantd_fn ga_request, ga_grant, ga_verify, ga_revoke, ga_scan;

#endif
