/* tiktok.h - what the files of the stand-in for TikTok share. "tiktok.md" in their comments are the facts;
 * what they mark [assumed] is marked so here. */
#ifndef SB_TIKTOK_H
#define SB_TIKTOK_H

#include "sandbox.h"

#define TT_DAY 86400

/* A parameter of a call: of the query of a GET (arrays and objects as JSON text, tiktok.md 1.2), of the JSON
 * body of a POST. */
enum tt_kind { TT_TEXT, TT_ID, TT_WORD, TT_INT, TT_BOOL, TT_IDS, TT_WORDS, TT_TEXTS, TT_OBJECT };
struct tt_param {
    const char *name;
    enum tt_kind kind;
    bool must;
    const char *words; /* TT_WORD, TT_WORDS: what there is, with blanks between */
    int64_t min, max;  /* of a number; of the members of a list; max: characters of a text; 0, 0: any */
};

/* Whose token the call takes: tiktok.md 1.2. */
enum tt_caller { TT_NOBODY, TT_ADVERTISER, TT_CREATOR };

struct tt_call {
    const char *method, *path; /* below /open_api/v1.3 */
    enum tt_caller caller;
    int64_t scope;          /* tiktok.md 2.9; 0: none */
    const char *permission; /* scope word of a creator's token (3.1) */
    const struct tt_param *params;
    /* args: what arrived, checked; token: the record of the token (its value in r's header), NULL for
     * TT_NOBODY */
    void (*run)(struct sb_req *r, const json_t *args, json_t *token);
};
extern const struct tt_call tiktok_oauth_calls[], tiktok_bc_calls[], tiktok_share_calls[],
    tiktok_spark_calls[], tiktok_creator_calls[];

extern const struct sb_route tiktok_page_routes[]; /* consent pages and Login Kit */
extern const struct sb_act tiktok_acts[];
void tiktok_consent(struct sb_req *r, const struct sb_choice *c);

/* The envelope (tiktok.md 1.3): code 0 with data, or another code with a message; HTTP status 200. */
void tiktok_ok(struct sb_req *r, json_t *data); /* takes the reference */
void tiktok_answer(struct sb_req *r, int code, const char *message, json_t *data);
void tiktok_fail(struct sb_req *r, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* data {key: the asked page of list, "page_info": {...}}; takes the reference. */
void tiktok_page(struct sb_req *r, const json_t *args, const char *key, json_t *list, int64_t dflt_size);
const char *tiktok_masked(struct sb_req *r, const char *email);

/* "user.info.basic,video.list" holds "video.list". */
bool tiktok_scope_word(const char *list, const char *word);

/* tiktok_oauth.c */
/* The app, when app_id and secret are a pair; else NULL with the answer given. */
json_t *tiktok_app(struct sb_req *r, const char *id, const char *secret);

/* tiktok_bc.c: what both halves of the Business Center ask. */
json_t *tiktok_bc(struct sb_req *r, const char *bc_id);
json_t *tiktok_account(struct sb_req *r, const char *id);
/* The Business Center of bc_id when the token's user is its admin (a member, when admin is false); else NULL
 * with the answer given. */
json_t *tiktok_own_bc(struct sb_req *r, const json_t *args, const json_t *token, bool admin);
/* Role with which a Business Center reaches an ad account: "ADMIN" for its own, the role of a share or of an
 * approved request; NULL when it does not. */
const char *tiktok_reach(struct sb_req *r, const char *bc_id, const char *account);
/* ANALYST 1, OPERATOR 2, ADMIN 3; 0 for anything else. */
int tiktok_rank(const char *role);
bool tiktok_share_live(const json_t *share);
void tiktok_changed(struct sb_req *r, const char *bc_id, const json_t *token, const char *type,
                    const char *what);

/* tiktok_spark.c */
json_t *tiktok_creator(struct sb_req *r, const char *open_id);
json_t *tiktok_post(struct sb_req *r, const char *item_id);
/* The code of a post that was not deleted, or NULL. */
json_t *tiktok_code_of(struct sb_req *r, const char *item_id);
json_t *tiktok_code_new(struct sb_req *r, const char *item_id, int64_t days);
void tiktok_code_extend(json_t *code, int64_t days);
bool tiktok_code_used(struct sb_req *r, const json_t *code);
bool tiktok_tt_room(struct sb_req *r, const char *bc_id); /* for one TikTok account more */
json_t *tiktok_tt_asset_new(struct sb_req *r, const char *bc_id, const json_t *creator);

#endif
