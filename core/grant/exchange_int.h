/* grant/exchange_int.h - inside of one run of a platform's grant function: exchange.c runs and commits it,
 * brought.c has the records of its answers, made.c turns what came out into grants, settle.c is its end when
 * there are none. */
#ifndef GD_GRANT_EXCHANGE_INT_H
#define GD_GRANT_EXCHANGE_INT_H

#include "grant/about.h"
#include "grant/reports.h"

struct gd_exchange {
    struct gd_broker *b;
    struct gd_flow *f;
    gd_exchange_fn *fn;
    void *arg;
    struct gd_op *op;
    json_t *query, *inputs; /* of the start, while the store is read */
    char *raw;
    char cred[GD_ID_TEXT_MAX], attempt[GD_ID_TEXT_MAX];
    int64_t gen;              /* of what is durable; 0: nothing yet */
    json_t *rec;              /* on its way to the store */
    json_t *rest;             /* grants that did not fit into the record of the tokens */
    char *progress;           /* stored with rec */
    char *about;              /* goes with rec into the spool; NULL: nothing */
    size_t about_read;        /* the first statement that reads it */
    struct gd_secret answer;  /* newest access token */
    struct gd_secret refresh; /* newest refresh token, for answers that bring none */
    struct gd_reports reports;
    json_t *kept, *warnings;
    json_t *news;    /* warnings that were not told yet */
    json_t *same;    /* living grants of this client and app that a new consent may renew, by asset */
    json_t *said;    /* warnings, by the asset that they name; "": none */
    json_t *opened;  /* surfaces that are open, by asset; "": those of none */
    json_t *others;  /* items that have been given flows of their own, to be started */
    json_t *orphans; /* credentials that may be of no use any more */
    char *account, *scope;
    struct gd_clocks clocks; /* of the newest version */
    bool last, waiting;      /* waiting: not from a callback, may go back to waiting */
    bool split, mismatch;    /* mismatch: rec holds another account's tokens: kept, not used */
    bool over;               /* the request has ended: what is not granted by now is taken back */
    bool ends;               /* failed after half of the work: what was opened is to be closed */
    bool leaves;             /* no item goes on with it: nobody is told of a failure */
    bool moved;              /* something new was reported and is durable */
    bool apart;              /* it is known that it meets no closing: meet.c */
    bool met;                /* it meets one, and gives way */
    bool one, uses_token;    /* what made.c found: something was granted; and needs the token */
    size_t outcome;          /* statement that reads the row after the answer */
    size_t taken;            /* the same of the item and what is ending of it, at the end */
    size_t left;             /* the same of flows that no item goes on with */
    size_t closings;         /* the same of what is being closed; while apart is not known */
    bool back; /* it goes on waiting, to be looked at at look_at (0: when somebody hands something in) */
    int64_t look_at, began; /* began: the operation, monotonic */
    char *steps;            /* for a person; NULL: those that are shown already */
    unsigned tries;         /* of a commit, in a drain */
    uv_timer_t again;
    struct gd_exchange_result result;
};

/* ---- exchange.c ---- */
struct gd_exchange *gd_exchange_new(struct gd_broker *b, struct gd_flow *f, gd_exchange_fn *fn, void *arg);
/* The record with its progress; then on, or to the end. */
void gd_exchange_commit(struct gd_exchange *x);
void gd_exchange_add_warnings(struct gd_exchange *x, struct gd_tx *tx);
void gd_exchange_finish(struct gd_exchange *x); /* the outcome is durable */

/* ---- brought.c ---- */
void gd_brought_reports(struct gd_exchange *x, const struct gd_op_result *r);
/* x->rec from what the platform gave; without tokens when there is nothing new about them. */
int gd_brought_record(struct gd_exchange *x, const struct gd_op_result *given, struct gd_err *err);
/* The other items of this consent: each gets a flow of its own, with what a run needs. */
int gd_brought_split(struct gd_exchange *x, struct gd_err *err);
void gd_brought_progress(struct gd_exchange *x, json_t *notes, bool made);
/* What is kept belongs to the credential; as long as there is none the flow holds it, sealed. */
void gd_brought_kept(struct gd_exchange *x, const struct gd_op_result *r);
/* Tokens and very many grants: the tokens first, with the progress; a crash in between goes on from there. */
void gd_brought_part(struct gd_exchange *x, json_t *notes);

/* ---- settle.c ---- */
void gd_exchange_put_back(struct gd_exchange *x); /* it waits, with all that is known */
void gd_exchange_fail(struct gd_exchange *x, bool declined);

/* ---- made.c ---- */
/* Adds the read of the grants that may be renewed, and takes its rows. */
void gd_made_read(const struct gd_exchange *x, struct gd_tx *tx);
void gd_made_same(struct gd_exchange *x, const struct gd_tx *tx);
/* Puts item, grants and flow into x->rec and sets x->result. */
void gd_made(struct gd_exchange *x);
/* Was any asset granted by now? */
bool gd_made_some(const struct gd_exchange *x);
/* A record without tokens. New reference. */
json_t *gd_made_record(const struct gd_exchange *x);
/* After a failure: puts what the platform opened before it into x->rec, as grants that end at once. False:
 * nothing was. */
bool gd_made_failed(struct gd_exchange *x);
/* Adds the read of what became of the item in that commit, and takes its row. */
void gd_made_after(struct gd_exchange *x, struct gd_tx *tx);
void gd_made_taken_back(struct gd_exchange *x, const struct gd_tx *tx);

#endif
