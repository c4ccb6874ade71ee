/* tiktok.h - what tiktok_bc and spark_ads share of TikTok's Business API: the envelope and its codes, calls
 * with the client's or the agency's token, the consent of an advertiser, lists of ids in notes, dates.
 * Compiled into each of the two; every pointer is the host's, nothing outlives a run. */
#ifndef TIKTOK_H
#define TIKTOK_H

#include <grantd/platform_help.h>

#include <stddef.h>
#include <string.h>

/* Whose token a call carries: a dead one is the client's matter, or the operator's. */
enum { TT_CLIENT, TT_HUB, TT_NOBODY };

enum {
    TT_PAGE = 50,      /* rows of a page: the most that the bc calls allow (facts: tiktok.md 4.1) */
    TT_BATCH = 50,     /* asset_ids of one bc/partner/add (4.2) */
    TT_IDS_MAX = 3000, /* ad accounts of one Business Center (4.6) */
};

/* First member of op->state of both platforms. */
struct tt {
    grantd_fn *then; /* where a consent, or the end of a token, goes on */
};

static inline struct tt *tt(const grantd_op *op)
{
    return op->state;
}

/* ---- tiktok.c: calls and answers ----------------------------------------------------------------------- */

/* NULL: there is none. In the mode of the hub's own consent the access token is the hub's. */
const char *tt_token(const grantd_op *op, int whose);
int tt_is_hub(const grantd_op *op);
/* path has no leading and a trailing slash ("bc/get/"); flags as of grantd_http. */
grantd_next *tt_get(grantd_op *op, int whose, const char *path, const char *const *query,
                    grantd_doc_fn *next);
grantd_next *tt_post(grantd_op *op, int whose, uint32_t flags, const char *path, const char *const *json,
                     grantd_doc_fn *next);
/* The same with a body of JSON text. */
grantd_next *tt_post_text(grantd_op *op, int whose, const char *path, const char *body, grantd_doc_fn *next);
/* The envelope's code; -1 when the answer is no envelope (no JSON of that kind, or a status of 5xx). */
int64_t tt_code(const grantd_op *op, const grantd_doc *a);
/* Code 0, and a list stands at that path of a list answer. */
int tt_is_list(grantd_op *op, const grantd_doc *a, const char *path);
/* GRANTD_E_... of an answer that is no success, by the table of codes (facts: tiktok.md 1.4). */
int tt_class(grantd_op *op, const grantd_doc *a);
/* True when it is no word on what was asked: try again later, or the token is dead, or the answer is odd. */
int tt_stops(grantd_op *op, const grantd_doc *a);
/* The message contains that part, whatever the case of letters. */
int tt_says(grantd_op *op, const grantd_doc *a, const char *part);
/* What it said, fit to be shown: printable, cut, without a secret in it. */
const char *tt_said(grantd_op *op, const grantd_doc *a);
/* The token itself is dead: not that a login, a scope or a code is missing. */
int tt_dead(grantd_op *op, const grantd_doc *a);
/* What was named is refused, be it that it is not there, or that it may not be seen: which of both is no
 * answer yet. Of an app that is blocked or a version that has ended nothing at all was said. */
int tt_refuses(grantd_op *op, const grantd_doc *a);
grantd_next *tt_fail(grantd_op *op, const grantd_doc *a, int whose);
/* The same at the end of a grant, where REAUTH says that the client's token is gone, and ABSENT that all is.
 */
grantd_next *tt_fail_end(grantd_op *op, const grantd_doc *a, int whose);
/* A success that lacks what it must have. */
grantd_next *tt_odd(grantd_op *op, const char *what);

/* Text of row i of data.list: grantd_text(a, "data.list.<i>.<member>"); NULL when absent. */
const char *tt_row(grantd_op *op, const grantd_doc *a, int64_t i, const char *member);
/* An id of row i when it is made of digits, as all of the Business API's are; NULL otherwise. */
const char *tt_row_id(grantd_op *op, const grantd_doc *a, int64_t i, const char *member);
/* Of a relation_status; a word that TikTok has added since ends nothing. */
int tt_has_ended(const char *status);
/* True when no page comes after this one (facts: tiktok.md 6: page_info may be all zero). */
int tt_last_page(grantd_op *op, const grantd_doc *a, const char *list, int64_t page);
int tt_digits(const char *text);
int tt_flag(const char *text); /* "true" */
int64_t tt_whole(const char *text, int64_t dflt);
const char *tt_num_text(grantd_op *op, int64_t n);

/* ---- progress.c: lists of ids in notes, kept in blocks of less than a note's size
 * -------------------------- */
void tt_push(grantd_op *op, const char *list, const char *id); /* once each */
void tt_drop(grantd_op *op, const char *list, const char *id);
void tt_clear(grantd_op *op, const char *list);
int tt_has(grantd_op *op, const char *list, const char *id);
const char *tt_nth(grantd_op *op, const char *list, int64_t i); /* NULL past the end */
int64_t tt_count(grantd_op *op, const char *list);
/* A JSON array of the first n of a list. */
const char *tt_json_ids(grantd_op *op, const char *list, int64_t n);
/* A whole list in memory, for many questions at once: reading a note costs a copy of it. */
struct tt_set {
    const char *name, **ids; /* ids NULL: no memory */
    int64_t n, room;
};
void tt_load(grantd_op *op, struct tt_set *s, const char *name, int64_t more); /* with room for more */
void tt_store(grantd_op *op, const struct tt_set *s);
int64_t tt_at(const struct tt_set *s, const char *id); /* -1: it is not there */
void tt_put(struct tt_set *s, const char *id);         /* once each, while there is room */
void tt_take(struct tt_set *s, int64_t i);             /* out of it */
/* The next word of *at (blanks, commas, semicolons, quotes between); NULL at the end. */
const char *tt_word(grantd_op *op, const char **at);
int tt_names(grantd_op *op, const char *text, const char *id); /* one of its words is the id */

/* ---- progress.c: numbers in notes, clocks
 * ------------------------------------------------------------------ */
int64_t tt_noted(const grantd_op *op, const char *key, int64_t dflt);
void tt_note(grantd_op *op, const char *key, int64_t n);
/* grantd_pending at a time that moves away with each look: 1, 5, 15 minutes, one hour, six hours. */
grantd_next *tt_look_again(grantd_op *op);
/* "YYYY-MM-DD HH:MM:SS" (UTC), RFC 3339 with its zone, or a date alone; 0: none of them (facts:
 * tiktok.md 5.3). */
int64_t tt_time(const char *text);
/* "YYYY-MM-DD HH:MM UTC" */
const char *tt_when(grantd_op *op, int64_t at);

/* ---- consent.c: an advertiser's consent, whose token does not end by time (2) ----------------------------
 */
grantd_next *tt_consent_url(grantd_op *op);
/* Exchange what the callback brought, save it, ask who it was; then goes on in next with ACCESS_TOKEN. */
grantd_next *tt_exchange(grantd_op *op, grantd_fn *next);
/* refresh: is it alive? */
grantd_next *tt_liveness(grantd_op *op);
/* oauth2/advertiser/get with the client's token: data.list of advertiser_id, advertiser_name. */
grantd_next *tt_accounts(grantd_op *op, int whose, grantd_doc_fn *next);
/* Ends the access token and checks that it is dead; reports the surface, then goes on. */
grantd_next *tt_end_token(grantd_op *op, grantd_fn *next);
/* The hub's own consent: request, grant, verify, revoke of GRANTD_MODE_HUB. */
grantd_next *tt_hub_request(grantd_op *op);
grantd_next *tt_hub_grant(grantd_op *op);
grantd_next *tt_hub_verify(grantd_op *op);
grantd_next *tt_hub_revoke(grantd_op *op);
/* NULL when there is a hub with an id of digits (and, with its token, when token is set); else the failure.
 */
grantd_next *tt_need_hub(grantd_op *op, int token);

/* ---- of the grant that the host knows ---------------------------------------------------------------------
 */
const char *tt_grant_text(grantd_op *op, const char *path);
/* True when revoke has to close a surface of that kind. */
int tt_is_open(grantd_op *op, const char *kind);

/* What both declare alike. */
#define TT_APP_OPTIONS                                                                                      \
    { .key = "app_id", .help = "App ID of the developer app", .flags = GRANTD_OPT_REQUIRED },               \
        { .key = "secret", .help = "Secret of the app", .flags = GRANTD_OPT_REQUIRED | GRANTD_OPT_SECRET }, \
        { .key = "base_url",                                                                                \
          .help = "Address of the Business API and its consent page",                                       \
          .type = GRANTD_URL,                                                                               \
          .dflt = "https://business-api.tiktok.com" },                                                      \
        { .key = "api_version", .help = "Version of the Business API", .dflt = "v1.3" },                    \
        { .key = "api_version_retires",                                                                     \
          .help = "Day on which that version ends, like 2027-08-31: a warning comes 60 days before" },      \
    {                                                                                                       \
        .key = "user_info", .help = "How the person who consented is asked for; off: not at all",           \
        .type = GRANTD_ENUM, .choices = tt_user_info_choices, .dflt = "get"                                 \
    }
extern const char *const tt_user_info_choices[];

#endif
