/* oauth2.h - what the files of this platform share. Nothing here outlives a run: every pointer is the host's,
 * every function takes the operation and keeps no state beside op->state. */
#ifndef OAUTH2_H
#define OAUTH2_H

#include <grantd/platform_help.h>

#include <stddef.h>
#include <string.h>

/* A list of pairs that grows: "k","v",...,NULL. */
struct oa_list {
    const char **kv; /* NULL until the first pair */
    size_t n, cap;   /* strings held, strings that fit (with the ending NULL) */
};

/* Credentials and clocks as far as this run knows them; names as in struct grantd_result. */
struct oa_tokens {
    const char *access, *refresh, *id_token, *scope, *account, *account_name;
    int64_t expires_in, expires_at, refresh_expires_in, refresh_expires_at;
};

/* op->state. */
struct oa {
    const grantd_doc *d;    /* the provider description */
    const grantd_doc *meta; /* discovered metadata, NULL: none in this run */
    const grantd_doc *jwks; /* keys for ID tokens, NULL: not fetched */
    const char *issuer;     /* as configured; NULL: none */
    grantd_fn *then;        /* where discovery goes on */
    struct oa_tokens t;     /* what the provider gave, or what it is now */
    const char *why;        /* why a template could not be filled in; NULL: a variable is merely unknown */
    const char *sub;        /* subject of a checked ID token */
    uint8_t refreshing;     /* a refresh, not a grant */
    uint8_t fresh;          /* t came from an answer in this run */
    uint8_t unsaved;        /* t holds what is not durable yet */
    uint8_t exchange;       /* the second step is still to be made */
    uint8_t idtoken_checked, introspected, identified;
    uint8_t closing; /* revoke: the token in flight, OA_REFRESH or OA_ACCESS */
};

static inline struct oa *oa(const grantd_op *op)
{
    return op->state;
}

/* ---- conf.c: reading the description ---------------------------------------------------------------------
 */
const char *oa_text(grantd_op *op, const char *path, const char *dflt);
int64_t oa_num(grantd_op *op, const char *path, int64_t dflt);
/* block.member, or base.member when the block does not say; base may be NULL. */
const char *oa_text2(grantd_op *op, const char *block, const char *base, const char *member,
                     const char *dflt);
/* Path of block.member, or of base.member when the block does not have it. */
const char *oa_path2(grantd_op *op, const char *block, const char *base, const char *member);
int oa_has(grantd_op *op, const char *path);
/* JSON pointer to a member of any name below a dotted path. */
const char *oa_member(grantd_op *op, const char *path, const char *name);
/* Text of the i-th of a text or of a list of texts; NULL past the end. */
const char *oa_nth(grantd_op *op, const char *path, int64_t i);
int oa_listed(grantd_op *op, const char *path, const char *word);
int oa_listed_num(grantd_op *op, const char *path, int64_t n);
/* A number, text or boolean as text; NULL for anything else. */
const char *oa_value(grantd_op *op, const grantd_doc *d, const char *path);
void oa_add(grantd_op *op, struct oa_list *l, const char *name, const char *value);
const char *oa_get(const struct oa_list *l, const char *name);
/* Begins every operation: NULL when the description is there, else the failure to return. */
grantd_next *oa_begin(grantd_op *op);
/* Words separated by any character of sep, joined by join, each once. */
const char *oa_words(grantd_op *op, const char *have, const char *more, const char *sep, const char *join);
int oa_word_in(const char *words, const char *word);
/* The scopes of this app, separated by spaces, with what the request asks added. */
const char *oa_scope(grantd_op *op);
int oa_wants_openid(grantd_op *op);

/* ---- template.c, pattern.c, time.c ------------------------------------------------------------------------
 */
enum { OA_PLAIN, OA_URL };
/* NULL when a variable is unknown, or (op->state why is set) when its value may not stand there. */
const char *oa_expand(grantd_op *op, const char *tpl, int how);
/* The first alternative at the path whose variables are all known. */
const char *oa_expand_url(grantd_op *op, const char *path);
/* Declared input, checked against its pattern, choices and format; NULL: absent or (why is set) wrong. */
const char *oa_input(grantd_op *op, const char *name);
/* Keeps a value under ${saved.NAME}: 0 when its pattern refuses it. */
int oa_save_value(grantd_op *op, const char *name, const char *value);
const char *oa_saved(grantd_op *op, const char *name);
int oa_matches(const char *pattern, const char *text); /* the whole text */
int64_t oa_time_iso(const char *text);                 /* ISO 8601 with a zone; 0: not one */
int64_t oa_time_http(const char *text);                /* RFC 9110 IMF-fixdate; 0: not one */

/* ---- call.c: one request to the provider
 * ------------------------------------------------------------------- */
struct oa_call {
    const char *block, *base; /* description fields: block, and where it inherits from */
    const char *url, *method, *bearer, *basic_user, *basic_pass;
    struct oa_list headers, query, params;
    uint32_t flags;
    int json, in_query;
};
void oa_call_init(grantd_op *op, struct oa_call *c, const char *block, const char *base);
/* A parameter that the protocol knows, under the name the provider wants, unless it wants none. */
void oa_call_add(grantd_op *op, struct oa_call *c, const char *name, const char *value);
/* Client authentication; style NULL: the one of the token endpoint. */
void oa_call_auth(grantd_op *op, struct oa_call *c, const char *style);
/* The description's own parameters of the block come last and never replace what the protocol set. */
grantd_next *oa_call_send(grantd_op *op, struct oa_call *c, grantd_doc_fn *next);
grantd_next *oa_no_url(grantd_op *op, const char *what);

/* ---- failure.c
 * ---------------------------------------------------------------------------------------------- */
enum { OA_AT_TOKEN = 1, OA_AT_API = 2 };
grantd_next *oa_fail(grantd_op *op, const grantd_doc *answer, int at);
/* A callback that carries an error. */
grantd_next *oa_fail_callback(grantd_op *op, const char *error);
int oa_is_odd(grantd_op *op, const grantd_doc *answer);
const char *oa_error_word(grantd_op *op, const grantd_doc *answer);
/* The error that an answer of any status carries, as some say 200 to everything; NULL: none. A bare "code" is
 * none, it stands in many successes. */
const char *oa_body_error(grantd_op *op, const grantd_doc *answer);

/* ---- discover.c
 * ----------------------------------------------------------------------------------------------- */
/* Fetches the metadata when the description asks for it, then goes on in then. */
grantd_next *oa_discover(grantd_op *op, grantd_fn *then);
/* Address of an endpoint: the description's field, what this run discovered, or what an earlier one kept. */
const char *oa_endpoint(grantd_op *op, const char *field, const char *meta_name);
const char *oa_meta(grantd_op *op, const char *name);
void oa_keep_endpoints(grantd_op *op);
int oa_discovers(grantd_op *op);

/* ---- answer.c, token.c, identity.c ------------------------------------------------------------------------
 */
/* Reads tokens and clocks from an answer by the paths under prefix; 0 when it holds no access token. */
int oa_read_tokens(grantd_op *op, const grantd_doc *answer, const char *prefix, struct oa_tokens *ret);
/* NULL when the answer is a success, else the failure. */
grantd_next *oa_check_answer(grantd_op *op, const grantd_doc *answer, const char *block, const char *base,
                             int at);
int oa_save_answer(grantd_op *op, const grantd_doc *answer, const char *path);
grantd_doc_fn oa_on_token;
/* After tokens came: exchange, ID token, introspection, identity, then done. */
grantd_next *oa_advance(grantd_op *op);
grantd_next *oa_exchange(grantd_op *op);
grantd_next *oa_check_idtoken(grantd_op *op);
grantd_next *oa_fetch_keys(grantd_op *op, grantd_doc_fn *next);
grantd_next *oa_introspect(grantd_op *op, grantd_doc_fn *next);
const char *oa_introspect_url(grantd_op *op);
/* The request of the verify block, or userinfo; NULL url: there is none. */
const char *oa_verify_url(grantd_op *op);
grantd_next *oa_verify_call(grantd_op *op, const char *url, grantd_doc_fn *next);
int oa_says_dead(grantd_op *op, const grantd_doc *answer);
int oa_shows_nothing(grantd_op *op, const grantd_doc *answer);
void oa_read_identity(grantd_op *op, const grantd_doc *answer);
grantd_fn oa_introspect_tokens, oa_identify, oa_idtoken_step;
int oa_knows_end(const struct oa_tokens *t);
grantd_next *oa_token_start(grantd_op *op, struct oa_call *c, const char *block, const char *base,
                            const char *grant_type);
void oa_add_steps(grantd_op *op, const char *when);

/* ---- what the table names
 * ------------------------------------------------------------------------------------ */
grantd_fn oa_request, oa_grant, oa_refresh, oa_revoke, oa_verify;
grantd_fn oa_device_request, oa_device_poll;
extern const struct grantd_field oa_fields[];

#endif
