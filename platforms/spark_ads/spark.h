/* spark.h - what the files of spark_ads share. A post gets into ads when an advertiser of the agency redeems
 * its code with the agency's token; codes are handed in (mode code) or made by the creator's token (mode
 * creator). Codes are secrets: they are kept sealed, never noted, and shown by a digest. */
#ifndef SPARK_H
#define SPARK_H

#include "tiktok.h"

enum { SP_CODES_MAX = 20, SP_CODE_MAX = 200, SP_CODE_MIN = 20 };

/* op->state. */
struct sp {
    struct tt tt;      /* first */
    const char *scope; /* of the creator's consent, until it is saved */
};

static inline struct sp *sp(const grantd_op *op)
{
    return op->state;
}

/* ---- spark_ads.c ---- */
int sp_mode_is(const grantd_op *op, const char *mode);
/* The nth ad account of the agency that uses the posts; NULL past the end. */
const char *sp_advertiser(grantd_op *op, int64_t nth);
grantd_next *sp_go(grantd_op *op, const char *at); /* notes the place, goes on there in a new run */
void sp_conditions(grantd_op *op);
void sp_code_steps(grantd_op *op);
/* Until when the campaign needs its posts, review time included; 0: no campaign was told. */
int64_t sp_needed_until(grantd_op *op);
void sp_tell_window(grantd_op *op, const char *id, int64_t starts_at, int64_t ends_at);
void sp_problem(grantd_op *op, const char *kind, const char *id, const char *word, const char *text);

/* ---- codes.c: what was pasted, and what is wrong with a code ---- */
int64_t sp_take_codes(grantd_op *op, const char *pasted); /* kept and counted; bad forms are reported */
const char *sp_code(grantd_op *op, int64_t i);            /* NULL: past the end, or dealt with */
void sp_forget(grantd_op *op, int64_t i);
void sp_keep_code(grantd_op *op, const char *code, const char *post); /* one more; post NULL: not known */
const char *sp_subject(grantd_op *op, int64_t i); /* its post when that is known, else its label */
const char *sp_label(grantd_op *op, const char *code);
int sp_is_code(const char *text);

/* ---- verdict.c ---- */
struct sp_verdict {
    const char *part, *part2; /* of the message, both must be there; part2 may be NULL */
    int64_t code;             /* or the number in the envelope */
    const char *word, *text;  /* problem; word NULL: it is authorised already */
    int later;                /* no verdict yet: asked again */
};
/* What an answer says of a code or a post; NULL: nothing. */
const struct sp_verdict *sp_verdict_of(grantd_op *op, const grantd_doc *a);
/* Why a post of that status cannot be used, NULL when it can. */
const struct sp_verdict *sp_status(const char *status);

/* ---- redeem.c: places of grant ---- */
grantd_fn sp_start, sp_info, sp_look, sp_send, sp_read, sp_next_code;
/* ---- creator.c ---- */
grantd_next *sp_creator_url(grantd_op *op);
grantd_fn sp_creator, sp_posts, sp_status_of, sp_mint;
/* Scopes with blanks in between, as the host compares them. */
const char *sp_scopes(grantd_op *op, const char *scope);
grantd_next *sp_creator_refresh(grantd_op *op);
grantd_next *sp_creator_alive(grantd_op *op, grantd_doc_fn *next);
/* ---- qr.c ---- */
grantd_fn sp_qr_request, sp_qr, sp_qr_list, sp_link, sp_linked, sp_link_look, sp_seats, sp_identity;
/* ---- look.c, close.c ---- */
grantd_fn sp_verify, sp_scan, sp_revoke;
/* Row of that post in an answer of tt_video/list, -1 when it has none. */
int64_t sp_row(grantd_op *op, const grantd_doc *a, const char *item, const char *code);
grantd_next *sp_list(grantd_op *op, const char *advertiser, const char *item, grantd_doc_fn *next);

#endif
